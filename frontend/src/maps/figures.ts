/** Figures of examples over steps, as words and numbers. */
import type { Probe, Series } from "../api";

/** One figure of one example at one logged step; null where it is not logged. */
export function figure(series: Series | null, name: string, step: number, example: number): number | null {
  const tensor = series?.arrays.get(name);
  const at = series?.steps.indexOf(step) ?? -1;
  if (!tensor || at < 0 || tensor.shape.length !== 2) return null;
  const count = tensor.shape[1] ?? 0;
  const value = example < count ? tensor.data[at * count + example] : undefined;
  return value === undefined || Number.isNaN(value) ? null : value;
}

/** The predicted class, null for regression. */
export function predicted(series: Series | null, step: number, example: number): number | null {
  const found = figure(series, "predicted", step, example);
  return found === null || found < 0 ? null : found;
}

/** How often the prediction changed after step `from` up to step `to`. */
export function flips(series: Series | null, from: number, to: number, example: number): number {
  let count = 0;
  let last: number | null = null;
  for (const step of series?.steps ?? []) {
    if (step < from || step > to) continue;
    const now = predicted(series, step, example);
    if (now === null) continue;
    if (last !== null && now !== last) count++;
    last = now;
  }
  return count;
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
