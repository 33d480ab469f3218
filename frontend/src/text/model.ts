/** Words with their values: what stands in a line, how strong it is, and the words for its state. */
import type { InputInfo, Probe, Series } from "../api";
import { exampleName, flips, labelOf, predicted } from "../figures";

/** A stretch of tokens that is shown as one: a word, or padding that repeats to the end. */
export interface Word {
  text: string;
  from: number;
  to: number;
}

export interface TextInput {
  info: InputInfo;
  /** one list an example */
  tokens: readonly (readonly string[])[];
}

/** Equal tokens at the end that are told as one from so many on: padding. */
const PADDING = 3;

/** The words of a text; a tail of one repeated token is one of them. */
export function wordsOf(tokens: readonly string[]): Word[] {
  const end = tokens.length;
  let tail = end;
  while (tail > 0 && tokens[tail - 1] === tokens[end - 1]) tail--;
  const whole = end - tail < PADDING ? end : tail;
  const words = tokens.slice(0, whole).map((text, at) => ({ text, from: at, to: at + 1 }));
  return whole === end ? words : [...words, { text: `${tokens[end - 1] ?? ""} × ${end - tail}`, from: whole, to: end }];
}

/** What is read of a word: tokens of nothing but blanks have a mark. */
export const shownText = (text: string): string => (text.trim() === "" ? "␣" : text);

const RTL = /^[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;

/** Which way a text runs: as its first letter does. */
export function directionOf(words: readonly Word[]): "ltr" | "rtl" {
  for (const { text } of words) {
    const letter = /\p{L}/u.exec(text)?.[0];
    if (letter) return RTL.test(letter) ? "rtl" : "ltr";
  }
  return "ltr";
}

/** Values of a step's maps: all examples, each of `width`; or why there are none. */
export type StepValues = { width: number; values: Float32Array } | { missing: string };

export type LineState = "values" | "zero" | "nan" | "absent" | "loading" | { missing: string };

export interface Line {
  state: LineState;
  /** of each word */
  values: number[];
  /** largest |value| of a word */
  peak: number;
}

/** The values of one example's words at a step. */
export function lineOf(words: readonly Word[], found: StepValues | "absent" | "loading", example: number): Line {
  if (typeof found === "string") return { state: found, values: [], peak: 0 };
  if ("missing" in found) return { state: { missing: found.missing }, values: [], peak: 0 };
  const start = example * found.width;
  const values = words.map(({ from, to }) => {
    let sum = 0;
    for (let at = from; at < to; at++) sum += at < found.width ? (found.values[start + at] ?? NaN) : 0;
    return sum;
  });
  const finite = values.filter(Number.isFinite);
  const peak = finite.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return { state: finite.length === 0 ? "nan" : peak === 0 ? "zero" : "values", values, peak };
}

/** Why a line has nothing to draw, as a word; null where it has. */
export function wordFor(state: LineState): string | null {
  if (typeof state === "object") return `missing: ${state.missing}`;
  return { values: null, zero: "all zero", nan: "not finite", absent: "not logged", loading: "loading…" }[state];
}

/** An example's name; a mere number says what it counts. */
export function nameOf(probe: Probe | null, example: number): string {
  const name = exampleName(probe, example);
  return /^\d+$/.test(name) ? `text ${name}` : name;
}

export type Show = "all" | "wrong" | "right" | "flipped";

/** Examples whose name or text matches and that are what is asked for, at a step; the first logged step is `first`. */
export function examplesOf(
  count: number,
  show: Show,
  matches: (example: number) => boolean,
  series: Series | null,
  probe: Probe | null,
  first: number,
  step: number,
): number[] {
  return Array.from({ length: count }, (_, example) => example).filter((example) => {
    if (!matches(example)) return false;
    if (show === "all") return true;
    if (show === "flipped") return flips(series, first, step, example) > 0;
    const said = predicted(series, step, example);
    const label = labelOf(probe, example)?.of ?? null;
    return said !== null && label !== null && (said === label) === (show === "right");
  });
}

/** Places of the words, the strongest first; ties in the order of the text. */
export const strongest = (values: readonly number[]): number[] =>
  values
    .map((_, at) => at)
    .filter((at) => Number.isFinite(values[at]))
    .sort((a, b) => Math.abs(values[b] ?? 0) - Math.abs(values[a] ?? 0) || a - b);

/** Up to `most` of the steps, evenly spread, with the first, the last and the cursor's among them. */
export function someSteps(steps: readonly number[], cursor: number | null, most: number): number[] {
  const last = steps.length - 1;
  if (last < most) return [...steps];
  const places = new Set(Array.from({ length: most }, (_, i) => Math.round((i * last) / (most - 1))));
  const at = cursor === null ? -1 : steps.indexOf(cursor);
  if (at >= 0 && !places.has(at)) {
    const inner = [...places].filter((place) => place !== 0 && place !== last);
    inner.sort((a, b) => Math.abs(a - at) - Math.abs(b - at));
    if (inner[0] !== undefined) places.delete(inner[0]);
    places.add(at);
  }
  return [...places].sort((a, b) => a - b).flatMap((place) => steps[place] ?? []);
}
