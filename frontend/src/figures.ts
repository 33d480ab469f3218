/** Figures of examples over steps, as words and numbers. */
import type { Probe, Series } from "./api";

const places = new WeakMap<Series, ReadonlyMap<number, number>>();

/** Where a step stands among the logged steps. */
function placeOf(series: Series, step: number): number | undefined {
  let known = places.get(series);
  if (!known) places.set(series, (known = new Map(Array.from(series.steps, (one, at) => [one, at] as const))));
  return known.get(step);
}

/** One figure of one example at one logged step; null where it is not logged. */
export function figure(series: Series | null, name: string, step: number, example: number): number | null {
  const tensor = series?.arrays.get(name);
  const at = series ? placeOf(series, step) : undefined;
  if (!tensor || at === undefined || tensor.shape.length !== 2) return null;
  const count = tensor.shape[1] ?? 0;
  const value = example < count ? tensor.data[at * count + example] : undefined;
  return value === undefined || Number.isNaN(value) ? null : value;
}

/** The predicted class, null for regression. */
export function predicted(series: Series | null, step: number, example: number): number | null {
  const found = figure(series, "predicted", step, example);
  return found === null || found < 0 ? null : found;
}

const changes = new WeakMap<Series, Int32Array>();

/** For each step and example, how often the prediction has changed until then. */
function changesOf(series: Series, count: number): Int32Array {
  const known = changes.get(series);
  if (known) return known;
  const made = new Int32Array(series.steps.length * count);
  for (let example = 0; example < count; example++) {
    let last: number | null = null;
    let sum = 0;
    series.steps.forEach((step, at) => {
      const now = predicted(series, step, example);
      if (now !== null && last !== null && now !== last) sum++;
      last = now ?? last;
      made[at * count + example] = sum;
    });
  }
  changes.set(series, made);
  return made;
}

/** How often the prediction changed after step `from` up to step `to`. */
export function flips(series: Series | null, from: number, to: number, example: number): number {
  const count = series?.arrays.get("predicted")?.shape[1] ?? 0;
  if (!series || example >= count) return 0;
  const made = changesOf(series, count);
  const until = (step: number): number => made[(placeOf(series, step) ?? 0) * count + example] ?? 0;
  return until(to) - until(from);
}

export const className = (probe: Probe | null, of: number): string => probe?.class_names?.[of] ?? String(of);

export const exampleName = (probe: Probe | null, example: number): string =>
  probe?.example_names?.[example] ?? `example ${example}`;

/** The label of an example: a class, a value, or nothing. */
export function labelOf(probe: Probe | null, example: number): { text: string; of: number | null } | null {
  const label = probe?.labels?.data[example];
  if (label === undefined || !probe) return null;
  if (!probe.labels_are_classes) return { text: String(Number(label.toPrecision(4))), of: null };
  return { text: className(probe, label), of: label };
}

/** Figures of one example over all logged steps. */
export function curve(series: Series | null, name: string, example: number): { steps: number[]; values: number[] } {
  const steps = Array.from(series?.steps ?? []);
  return { steps, values: steps.map((step) => figure(series, name, step, example) ?? Number.NaN) };
}
