/** Columns of numbers behind the charts: one curve per method and group of runs, over the steps that it was logged at. */
import type { Drift, Series, TagInfo } from "../api";
import { spreadOf } from "../spread";
import type { Style } from "../features/paint";
import type { Measure } from "./measures";

/** A measure of one run and tag over its own steps; NaN is undefined. */
export interface Track {
  run: string;
  steps: readonly number[];
  y: Float64Array;
  reference: Float64Array | null;
  stderr: Float64Array | null;
  /** examples that are defined, of how many */
  defined: Int32Array;
  examples: number;
  /** why single steps have nothing */
  why: ReadonlyMap<number, string>;
}

/** What one line stands for. */
export interface Who {
  id: string;
  label: string;
  tag: string;
  runs: readonly string[];
  style: Style;
}

export interface Curve extends Who {
  steps: number[];
  y: Float64Array;
  /** from the lowest to the highest run of a group; of a single run the 95 % interval, where it is known */
  low: Float64Array | null;
  high: Float64Array | null;
  reference: Float64Array | null;
  tracks: readonly Track[];
}

const finite = (row: readonly number[]): number[] => row.filter(Number.isFinite);

/** The value below which 95 % of some numbers lie, between neighbours as NumPy takes it; NaN of none. */
export function p95(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (!sorted.length) return Number.NaN;
  const at = 0.95 * (sorted.length - 1);
  const low = sorted[Math.floor(at)] as number;
  return low + (at - Math.floor(at)) * ((sorted[Math.ceil(at)] as number) - low);
}

export const mean = (values: readonly number[]): number =>
  values.length ? values.reduce((a, b) => a + b, 0) / values.length : Number.NaN;

/** Rows of a (t, n) figure; null where it is not logged. */
function rowsOf(series: Series, name: string): number[][] | null {
  const tensor = series.arrays.get(name);
  if (!tensor || tensor.shape.length > 2) return null;
  const t = tensor.shape[0] ?? 0;
  const n = tensor.shape.length === 1 ? 1 : (tensor.shape[1] ?? 0);
  return Array.from({ length: t }, (_, i) => Array.from(tensor.data.subarray(i * n, (i + 1) * n)));
}

/** What a figure stands against at each step. */
function referenceOf(series: Series, measure: Measure): Float64Array | null {
  const t = series.steps.length;
  const { value, figure } = measure.reference ?? {};
  if (value !== undefined) return new Float64Array(t).fill(value);
  if (figure?.startsWith("area.")) {
    const area = mean((series.masks?.[figure.slice(5)]?.area ?? []).flatMap((one) => (one === null ? [] : [one])));
    return Number.isFinite(area) ? new Float64Array(t).fill(area) : null;
  }
  const rows = figure ? rowsOf(series, figure) : null;
  return rows && Float64Array.from(rows, (row) => mean(finite(row)));
}

/** A figure of one run over the steps that it was measured at, its examples folded; null where there is none. */
export function figureTrack(run: string, series: Series, measure: Measure): Track | null {
  const name = measure.figure ?? "";
  const all = rowsOf(series, name);
  if (!all) return null;
  const without = new Set(series.unmeasured?.[name]);
  const at = all.flatMap((_, i) => (without.has(series.steps[i] ?? Number.NaN) ? [] : [i]));
  const rows = at.map((i) => all[i] ?? []);
  const errors = measure.stderr ? rowsOf(series, measure.stderr) : null;
  const reference = referenceOf(series, measure);
  const fold = measure.fold === "p95" ? p95 : mean;
  return {
    run,
    steps: at.map((i) => series.steps[i] ?? Number.NaN),
    y: Float64Array.from(rows, (row) => fold(finite(row))),
    reference: reference && Float64Array.from(at, (i) => reference[i] ?? Number.NaN),
    stderr:
      errors &&
      Float64Array.from(at, (i) => {
        const known = finite(errors[i] ?? []);
        return Math.sqrt(known.reduce((sum, e) => sum + e * e, 0)) / known.length;
      }),
    defined: Int32Array.from(rows, (row) => finite(row).length),
    examples: all[0]?.length ?? 0,
    why: new Map(series.missing.map(({ step, reason }) => [step, reason])),
  };
}

/** Drift of one run over its steps. */
export function driftTrack(run: string, drift: Drift, measure: Measure): Track {
  const steps = Array.from(drift.steps);
  const value = measure.reference?.value;
  const n = drift.examples;
  return {
    run,
    steps,
    y: drift.mean,
    reference: drift.floor ?? (value === undefined ? null : new Float64Array(steps.length).fill(value)),
    stderr: null,
    defined: Int32Array.from(steps, (_, i) => finite(Array.from(drift.value.subarray(i * n, (i + 1) * n))).length),
    examples: n,
    why: new Map(drift.reasons.flatMap((reason, i) => (reason ? [[steps[i] ?? 0, reason] as const] : []))),
  };
}

/** The last step until another at which there are values of single examples. */
export function stepBefore(source: Series | Drift, measure: Measure, step: number): number | undefined {
  const without = "value" in source ? [] : (source.unmeasured?.[measure.figure ?? ""] ?? []);
  const skipped = new Set(without);
  return source.steps.findLast((one) => one <= step && !skipped.has(one));
}

/** One value per example at a step, NaN where undefined; null where there is nothing. */
export function examplesAt(source: Series | Drift, measure: Measure, step: number): number[] | null {
  const at = source.steps.indexOf(step);
  if (at < 0) return null;
  if ("value" in source) return Array.from(source.value.subarray(at * source.examples, (at + 1) * source.examples));
  return (measure.figure && rowsOf(source, measure.figure)?.[at]) || null;
}

/** The runs of a group as one curve: their mean and from the lowest to the highest; null where none has anything. */
export function curveOf(who: Who, tracks: readonly Track[]): Curve | null {
  const [only] = tracks;
  if (!only) return null;
  if (tracks.length === 1) {
    const { stderr } = only;
    const side = (sign: number) => stderr && only.y.map((v, i) => v + sign * 1.96 * (stderr[i] ?? Number.NaN));
    return { ...who, ...only, steps: [...only.steps], low: side(-1), high: side(1), tracks };
  }
  const steps = [...new Set(tracks.flatMap((one) => one.steps))].sort((a, b) => a - b);
  const spread = (pick: (one: Track) => Float64Array | null) =>
    spreadOf(
      tracks.map((one) => {
        const place = new Map(one.steps.map((step, i) => [step, i]));
        return Float64Array.from(steps, (step) => pick(one)?.[place.get(step) ?? -1] ?? Number.NaN);
      }),
    );
  const { mean: y, low, high } = spread((one) => one.y);
  const reference = tracks.some((one) => one.reference) ? spread((one) => one.reference).mean : null;
  return { ...who, steps, y, low, high, reference, tracks };
}

/** Place of the last step of a curve at or before a step, -1 where it has not begun. */
export const placeAt = (curve: Pick<Curve, "steps">, step: number | null): number =>
  step === null ? curve.steps.length - 1 : curve.steps.findLastIndex((one) => one <= step);

/** Why a curve has no value at one of its places. */
export function whyAt(curve: Curve, at: number): string {
  const step = curve.steps[at] ?? Number.NaN;
  for (const { why } of curve.tracks) {
    const reason = why.get(step);
    if (reason) return reason;
  }
  return "undefined for every example";
}

/** Changes whenever something was logged for a tag. */
export const versionOf = (info: TagInfo): string => `${info.steps.length}/${info.wall_times.at(-1) ?? ""}`;
