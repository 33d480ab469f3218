/** The numbers behind the view: one tag's features over steps, and the one definition of missing, not finite and unused. */

import type { Series as Answer, TagInfo } from "../api";
import type { Tensor } from "../safetensors";

export type Numbers = Float32Array | Float64Array;

/** Row-major (t, d) vectors of one (run, tag); a step that could not be read is a row of NaN with its reason in `missing`. */
export interface Series {
  run: string;
  tag: string;
  kind: "importance" | "attribution";
  names: string[];
  steps: number[];
  epochs: number[];
  wallTimes: number[];
  mean: Numbers;
  low: Numbers;
  high: Numbers;
  /** The model's score (importance) or its mean explained output (attribution), (t,). */
  score: number[];
  metric: string | null;
  missing: Map<number, string>;
  /** whether its values add up to the change of the score */
  additive: boolean;
  /** runs that it is the mean of; low and high are then the lowest and highest of them */
  members: readonly string[] | null;
  /** names of the features as they were logged, and which of them each row holds, where features are folded */
  columns: readonly string[] | null;
  parts: readonly (readonly number[])[] | null;
  /** how well each feature does alone, whatever the model: measures by name, of the last step that has them */
  alone: Readonly<Partial<Record<Alone, Numbers>>> | null;
}

/** Measures of a feature that need no model. */
export const ALONE = ["single_score", "mutual_information", "correlation"] as const;
export type Alone = (typeof ALONE)[number];

/** The last row of each measure that has a finite value; null where none is logged. */
function aloneOf(answer: Answer, d: number): Series["alone"] {
  const found: Partial<Record<Alone, Numbers>> = {};
  for (const name of ALONE) {
    const tensor = answer.arrays.get(name);
    const [t = 0, width] = tensor?.shape ?? [];
    if (width !== d) continue;
    const all = floats(tensor, t * d);
    for (let row = t - 1; row >= 0 && !found[name]; row--) {
      const values = all.subarray(row * d, (row + 1) * d);
      if (values.some(Number.isFinite)) found[name] = values;
    }
  }
  return Object.keys(found).length ? found : null;
}

const floats = (tensor: Tensor | undefined, size: number): Numbers => {
  if (!tensor) return new Float32Array(size).fill(NaN);
  const { data } = tensor;
  return data instanceof Float32Array || data instanceof Float64Array ? data : Float64Array.from(data);
};

/** Mean over the second axis, NaN left out; NaN when nothing is left. */
const rowMeans = (values: readonly number[], t: number): number[] => {
  const n = t ? values.length / t : 0;
  return Array.from({ length: t }, (_, i) => {
    const finite = values.slice(i * n, (i + 1) * n).filter(Number.isFinite);
    return finite.length ? finite.reduce((a, b) => a + b, 0) / finite.length : NaN;
  });
};

/** The answer of `./series` as columns of features, or null when the tag has none (maps of pictures have none). */
export function seriesOf(run: string, info: TagInfo, answer: Answer): Series | null {
  const importance = info.kind === "importance";
  const main = answer.arrays.get(importance ? "mean" : "mean_abs");
  const d = main?.shape[1] ?? 0;
  if (!main || !d) return null;
  const t = answer.steps.length;
  const values = (name: string): number[] => Array.from(answer.arrays.get(name)?.data ?? []);
  const perStep = (source: ArrayLike<number>): number[] =>
    source.length === t ? Array.from(source) : new Array<number>(t).fill(NaN);
  const metric = (importance ? (answer.metric ?? info.metric) : info.score_name) ?? null;
  return withMissing({
    run,
    tag: info.name,
    kind: importance ? "importance" : "attribution",
    names: Array.from({ length: d }, (_, f) => answer.names?.[f] ?? `feature ${f}`),
    steps: Array.from(answer.steps),
    epochs: perStep(answer.epochs),
    wallTimes: perStep(answer.wall_times),
    mean: floats(main, t * d),
    low: floats(answer.arrays.get(importance ? "low" : "mean_abs_low"), t * d),
    high: floats(answer.arrays.get(importance ? "high" : "mean_abs_high"), t * d),
    score: perStep(importance ? values("score") : rowMeans(values("output"), t)),
    metric,
    missing: new Map(answer.missing.map(({ step, reason }) => [step, reason])),
    additive: info.additive === true,
    members: null,
    columns: null,
    parts: null,
    alone: aloneOf(answer, d),
  });
}

/** Steps that are named missing but have no row get one of NaN, so that every panel shows the gap at its place. */
export function withMissing(series: Series): Series {
  const absent = [...series.missing.keys()].filter((step) => !series.steps.includes(step));
  if (!absent.length) return series;
  const steps = [...series.steps, ...absent].sort((a, b) => a - b);
  const from = steps.map((step) => series.steps.indexOf(step));
  const d = series.names.length;
  const spread = (source: Numbers): Numbers => {
    const out = new Float64Array(steps.length * d).fill(NaN);
    from.forEach((row, i) => row >= 0 && out.set(source.subarray(row * d, (row + 1) * d), i * d));
    return out;
  };
  const pick = (source: number[]) => from.map((row) => source[row] ?? NaN);
  return {
    ...series,
    steps,
    epochs: pick(series.epochs),
    wallTimes: pick(series.wallTimes),
    score: pick(series.score),
    mean: spread(series.mean),
    low: spread(series.low),
    high: spread(series.high),
  };
}

export const at = (values: Numbers, series: Series, t: number, f: number): number =>
  values[t * series.names.length + f] ?? NaN;

export const rowAt = (values: Numbers, series: Series, t: number): Numbers =>
  values.subarray(t * series.names.length, (t + 1) * series.names.length);

/** One feature over all steps. */
export function curve(values: Numbers, series: Series, f: number): Float64Array {
  const d = series.names.length;
  const out = new Float64Array(series.steps.length);
  for (let t = 0; t < out.length; t++) out[t] = values[t * d + f] ?? NaN;
  return out;
}

export type Verdict = "missing" | "nan" | "unused" | "unclear" | "above" | "below";

/**
 * What a value with its 95 % interval says. Exactly zero with no width is `unused`; an interval that holds zero is `unclear`;
 * without an interval the sign decides.
 */
export function verdict(mean: number, low: number, high: number, missing = false): Verdict {
  if (missing) return "missing";
  if (!Number.isFinite(mean)) return "nan";
  const known = Number.isFinite(low) && Number.isFinite(high);
  if (mean === 0 && (!known || (low === 0 && high === 0))) return "unused";
  if (known && low <= 0 && high >= 0) return "unclear";
  return mean > 0 ? "above" : "below";
}

export const verdictAt = (series: Series, t: number, f: number): Verdict =>
  verdict(
    at(series.mean, series, t, f),
    at(series.low, series, t, f),
    at(series.high, series, t, f),
    series.missing.has(series.steps[t] ?? NaN),
  );

/** Why a whole step has nothing to draw, as one word for the gap; '' when it has something. */
export function gapWord(series: Series, t: number): "" | "missing" | "NaN" {
  if (series.missing.has(series.steps[t] ?? NaN)) return "missing";
  return rowAt(series.mean, series, t).some(Number.isFinite) ? "" : "NaN";
}

/** Features whose interval lies wholly above zero at a step, strongest first. */
export function useful(series: Series, t: number, ordered: readonly number[]): number[] {
  return ordered.filter((f) => at(series.low, series, t, f) > 0);
}
