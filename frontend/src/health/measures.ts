/** What can be seen of layers, and the scales that turn it into colours and heights. */
import { short } from "../colour";
import { at, type Health } from "./model";

export interface Measure {
  key: string;
  title: string;
  /** log: from the smallest to the largest; share: 0 to 1; signed: around zero; count: whole numbers from 0 */
  kind: "log" | "share" | "signed" | "count";
  what: string;
}

export const MEASURES: readonly Measure[] = [
  { key: "gradient_norm", title: "Gradient norm", kind: "log", what: "norm of the loss gradient by its weights" },
  {
    key: "update_ratio",
    title: "Update ratio",
    kind: "log",
    what: "change of its weights since the step before, relative to their norm",
  },
  { key: "weight_norm", title: "Weight norm", kind: "log", what: "Euclidean norm of its weights" },
  { key: "dead", title: "Dead units", kind: "share", what: "share of units that give the same for every example" },
  {
    key: "saturated",
    title: "Saturated activations",
    kind: "share",
    what: "share at the flat ends of tanh or sigmoid",
  },
  { key: "activation_mean", title: "Activation mean", kind: "signed", what: "mean over examples, places and units" },
  {
    key: "activation_variance",
    title: "Activation variance",
    kind: "log",
    what: "variance over examples, places and units",
  },
  { key: "spectral_norm", title: "Spectral norm", kind: "log", what: "largest singular value of its kernel" },
  {
    key: "stable_rank",
    title: "Stable rank",
    kind: "log",
    what: "squared Frobenius over squared spectral norm: directions its kernel uses",
  },
  {
    key: "noise_scale",
    title: "Gradient noise scale",
    kind: "log",
    what: "batch size, in examples, at which noise and signal of its gradient are equal",
  },
  {
    key: "not_finite",
    title: "Not finite",
    kind: "count",
    what: "entries that are NaN or infinite among weights, gradients and activations",
  },
];

export const measureOf = (key: string): Measure => MEASURES.find((one) => one.key === key) ?? (MEASURES[0] as Measure);

/** A value of a measure in words; NaN is a figure that a layer does not have. */
export function valueWords(measure: Measure, value: number): string {
  if (Number.isNaN(value)) return "does not apply";
  if (!Number.isFinite(value)) return "infinite";
  if (measure.kind === "share") return `${Number((100 * value).toPrecision(3))} %`;
  return measure.kind === "count" ? value.toLocaleString("en") : short(value);
}

export interface Ruler {
  /** 0 .. 1, signed -1 .. 1; NaN for what has no place */
  share: (value: number) => number;
  signed: boolean;
  /** marks along it, from low to high */
  ticks: readonly (readonly [share: number, words: string])[];
  /** what kind of scale it is, in words */
  words: string;
}

/** Most powers of ten that colours are spread over: what is smaller counts as the smallest. */
const DECADES = 12;
/** Part of a logarithmic scale that belongs to exact zeros, where there are some. */
const ZERO = 0.06;

const clamp = (share: number, low = 0): number => Math.min(1, Math.max(low, share));

function logarithmic(lo: number, hi: number, zeros: boolean): Ruler {
  const few = hi / lo < 10;
  const top = Math.log10(hi) + (few ? 0.5 : 0);
  const bottom = Math.max(Math.log10(lo) - (few ? 0.5 : 0), top - DECADES);
  const start = zeros ? ZERO : 0;
  const share = (value: number): number => {
    if (Number.isNaN(value) || value < 0) return NaN;
    if (value === 0) return 0;
    return clamp(start + ((1 - start) * (Math.log10(value) - bottom)) / (top - bottom), start);
  };
  const each = Math.max(1, Math.ceil((top - bottom) / 5));
  const powers: number[] = [];
  for (let power = Math.ceil(bottom); power <= top; power += each) powers.push(power);
  const round = powers.length > 1 ? powers.map((power) => 10 ** power) : [10 ** bottom, 10 ** top];
  const ticks = round.map((value) => [share(value), short(value)] as const);
  return {
    share,
    signed: false,
    ticks: zeros ? [[0, "0"], ...ticks.filter(([place]) => place > 0.12)] : ticks,
    words: "logarithmic scale",
  };
}

function counting(hi: number): Ruler {
  const most = Math.log1p(Math.max(1, hi));
  const share = (value: number): number => (Number.isNaN(value) ? NaN : clamp(Math.log1p(value) / most));
  const ticks = [0, 1, 10, 100, 1000, 1e4, 1e6].filter((value) => value <= Math.max(1, hi));
  return {
    share,
    signed: false,
    ticks: ticks.map((value) => [share(value), value.toLocaleString("en")] as const),
    words: "scale of log(1 + n)",
  };
}

function around(sizes: number[]): Ruler {
  const sorted = sizes.filter((size) => size > 0).sort((a, b) => a - b);
  const peak = sorted.at(-1) ?? 1;
  // below it the scale is nearly linear: most values lie above, a few tiny ones do not stretch it
  const knee = sorted[Math.floor(sorted.length / 10)] ?? 1;
  const most = Math.log1p(peak / knee);
  const share = (value: number): number =>
    Number.isNaN(value) ? NaN : clamp((Math.sign(value) * Math.log1p(Math.abs(value) / knee)) / most, -1);
  return {
    share,
    signed: true,
    ticks: [-peak, -knee, 0, knee, peak]
      .filter((value) => Math.abs(value) !== knee || (share(knee) > 0.2 && share(knee) < 0.75))
      .map((value) => [share(value), short(value)] as const),
    words: "logarithmic scale on both sides of 0",
  };
}

/** One scale for all that is shown, so that runs can be compared. */
export function rulerOf({ kind, key }: Measure, all: readonly Health[]): Ruler {
  let [lo, hi, zeros] = [Infinity, 0, false];
  const sizes: number[] = [];
  for (const { figures } of all)
    for (const value of figures.get(key) ?? []) {
      if (!Number.isFinite(value)) continue;
      if (kind === "signed") sizes.push(Math.abs(value));
      else if (value === 0) zeros = true;
      else if (value > 0) [lo, hi] = [Math.min(lo, value), Math.max(hi, value)];
    }
  if (kind === "signed") return around(sizes);
  if (kind === "count") return counting(hi);
  if (kind === "log") return hi > 0 ? logarithmic(lo, hi, zeros) : logarithmic(0.1, 1, true);
  return {
    share: (value) => (Number.isNaN(value) ? NaN : clamp(value)),
    signed: false,
    ticks: [0, 0.25, 0.5, 0.75, 1].map((value) => [value, `${100 * value} %`] as const),
    words: "linear scale",
  };
}

export interface Threshold {
  words: string;
  /** at each step, as some move with other layers */
  values: number[];
}

/** The limits that words are given by, as lines of a measure of one layer. */
export function thresholdsOf({ key }: Measure, health: Health, layer: number): Threshold[] {
  const { thresholds: limit, steps, layers } = health;
  const made = (name: string, words: string, value: (given: number, t: number) => number): Threshold[] => {
    const given = limit[name];
    return given === undefined ? [] : [{ words, values: steps.map((_, t) => value(given, t)) }];
  };
  const largest = (t: number): number =>
    layers.reduce((most, _, other) => {
      const norm = at(health, "gradient_norm", t, other);
      return Number.isFinite(norm) ? Math.max(most, norm) : most;
    }, 0);
  if (key === "dead") return made("dead", "dead above", (given) => given);
  if (key === "saturated") return made("saturated", "saturated above", (given) => given);
  if (key === "update_ratio") return made("exploding_update", "exploding above", (given) => given);
  if (key !== "gradient_norm") return [];
  return [
    ...made("exploding", "exploding above", (given, t) => given * at(health, "weight_norm", t, layer)),
    ...made("vanishing", "vanishing below", (given, t) => given * largest(t)),
  ];
}
