/** Tokens and values of texts, kept for when they are wanted again. */
import { fetchProbe, fetchValues, type Probe, type TagInfo } from "../api";
import type { StepValues, TextInput } from "./model";

export interface Texts {
  inputs: TextInput[];
  probe: Probe;
}

/** The tokens of every input that has some. */
export async function loadTexts(run: string, tag: TagInfo, signal: AbortSignal): Promise<Texts> {
  const worded = (tag.inputs ?? []).filter((one) => one.tokens);
  const probes = await Promise.all(worded.map((one) => fetchProbe(run, tag.probe ?? "", one.name, null, signal)));
  const inputs = worded.flatMap((info, i) => {
    const tokens = probes[i]?.tokens;
    return tokens ? [{ info, tokens }] : [];
  });
  const [probe] = probes;
  if (!probe || !inputs.length) throw new Error("The examples must have words. Received: none that fit their number");
  return { inputs, probe };
}

/** Bytes of values that are brought for one screen, and of one answer. */
const SCREEN = 24_000_000;
const ANSWER = 6_000_000;
const KEEP = 600;

const kept = new Map<string, StepValues>();

export const keyOf = (run: string, tag: TagInfo, input: string, step: number): string =>
  JSON.stringify([run, tag.name, input, step, tag.wall_times[tag.steps.indexOf(step)] ?? null, tag.probe]);

export const valuesAt = (run: string, tag: TagInfo, input: string, step: number): StepValues | null =>
  kept.get(keyOf(run, tag, input, step)) ?? null;

/** The longest text of an input, in tokens. */
const widthOf = ({ tokens }: TextInput): number => tokens.reduce((most, one) => Math.max(most, one.length), 1);

/** Steps whose values are brought: the cursor's, and as many others as fit, evenly spread. */
export function stepsFor(tag: TagInfo, inputs: readonly TextInput[], cursor: number | null): number[] {
  const each = 4 * Math.max(1, tag.examples ?? 1) * inputs.reduce((sum, one) => sum + widthOf(one), 0);
  const most = Math.max(1, Math.floor(SCREEN / each));
  const every = Math.ceil(tag.steps.length / most);
  const last = tag.steps.length - 1;
  return tag.steps.filter((step, at) => step === cursor || (last - at) % every === 0);
}

/** Brings what is not here yet, the cursor's step first; `arrived` is told after each answer. */
export async function loadValues(
  run: string,
  tag: TagInfo,
  inputs: readonly TextInput[],
  steps: readonly number[],
  cursor: number | null,
  arrived: () => void,
  signal: AbortSignal,
): Promise<true> {
  const examples = Array.from({ length: tag.examples ?? 0 }, (_, at) => at);
  for (const input of inputs) {
    const { name } = input.info;
    const absent = steps.filter((step) => !kept.has(keyOf(run, tag, name, step)));
    absent.sort((a, b) => Number(b === cursor) - Number(a === cursor));
    const most = Math.max(1, Math.floor(ANSWER / (4 * Math.max(1, examples.length) * widthOf(input))));
    for (let at = 0; at < absent.length; at += most) {
      const asked = absent.slice(at, at + most);
      const walls = asked.map((step) => tag.wall_times[tag.steps.indexOf(step)] ?? NaN);
      const version = walls.every(Number.isFinite) ? Math.max(...walls) : null;
      const query = {
        run,
        tag: tag.name,
        input: name,
        steps: asked,
        examples,
        size: null,
        channels: "sum",
        version,
      } as const;
      const answer = await fetchValues(query, signal);
      const width = answer.shape.reduce((product, side) => product * side, 1);
      for (const step of asked) {
        const values = answer.steps.get(step);
        const reason = answer.missing.find((one) => one.step === step)?.reason ?? "The server sent no values.";
        kept.set(keyOf(run, tag, name, step), values ? { width, values } : { missing: reason });
      }
      arrived();
    }
  }
  for (const old of [...kept.keys()].slice(0, Math.max(0, kept.size - KEEP - steps.length * inputs.length)))
    kept.delete(old);
  return true;
}

/** Forgets everything (tests). */
export const forget = (): void => kept.clear();
