/** Order and ranks of features. Larger is more important, NaN comes last, ties keep the order of the columns. */
import { rowAt, type Series } from "./series";

/** Indices from the largest value to the smallest. */
export function order(values: ArrayLike<number>): number[] {
  const index = Array.from({ length: values.length }, (_, i) => i);
  const key = (i: number) => {
    const v = values[i] ?? NaN;
    return Number.isNaN(v) ? -Infinity : v;
  };
  return index.sort((a, b) => {
    const va = key(a);
    const vb = key(b);
    return va === vb ? a - b : va < vb ? 1 : -1;
  });
}

/** The largest value of each feature over all steps; NaN when it never had one. */
export function peaks(series: Series): Float64Array {
  const d = series.names.length;
  const out = new Float64Array(d).fill(NaN);
  for (let t = 0; t < series.steps.length; t++) {
    const row = rowAt(series.mean, series, t);
    for (let f = 0; f < d; f++) {
      const v = row[f] as number;
      const best = out[f] as number;
      if (v > best || (best !== best && v === v)) out[f] = v;
    }
  }
  return out;
}

/**
 * Ranks (1 = largest among all features) of a few features at every step, as rows of `features.length`; NaN where the
 * feature has no value. Counts instead of sorting: one comparison per feature that is below them all.
 */
export function ranksOver(series: Series, features: readonly number[]): Float64Array {
  const k = features.length;
  const d = series.names.length;
  const out = new Float64Array(series.steps.length * k).fill(NaN);
  for (let t = 0; t < series.steps.length; t++) {
    const row = rowAt(series.mean, series, t);
    // From strongest to weakest; `above[j]` counts the features that stand before the j-th but after the one before it.
    const chosen = features.map((_, i) => i).filter((i) => !Number.isNaN(row[features[i] as number]));
    chosen.sort((a, b) => {
      const fa = features[a] as number;
      const fb = features[b] as number;
      return (row[fb] as number) - (row[fa] as number) || fa - fb;
    });
    const weakest = chosen[chosen.length - 1];
    if (weakest === undefined) continue;
    const floor = row[features[weakest] as number] as number;
    const above = new Float64Array(chosen.length);
    for (let f = 0; f < d; f++) {
      const v = row[f] as number;
      if (!(v >= floor)) continue;
      for (let j = 0; j < chosen.length; j++) {
        const g = features[chosen[j] as number] as number;
        const w = row[g] as number;
        if (v > w || (v === w && f < g)) {
          above[j] = (above[j] as number) + 1;
          break;
        }
      }
    }
    let before = 0;
    chosen.forEach((i, j) => {
      before += above[j] as number;
      out[t * k + i] = before + 1;
    });
  }
  return out;
}

/** Lowest and highest value at each step over the features that are not drawn as lines; NaN when there is none. */
export function envelope(series: Series, drawn: ReadonlySet<number>): { low: Float64Array; high: Float64Array } {
  const t = series.steps.length;
  const low = new Float64Array(t).fill(NaN);
  const high = new Float64Array(t).fill(NaN);
  for (let i = 0; i < t; i++) {
    const row = rowAt(series.mean, series, i);
    let a = Infinity;
    let b = -Infinity;
    for (let f = 0; f < row.length; f++) {
      const v = row[f] as number;
      if (v < a && !drawn.has(f)) a = v;
      if (v > b && !drawn.has(f)) b = v;
    }
    if (a <= b) {
      low[i] = a;
      high[i] = b;
    }
  }
  return { low, high };
}

/** A search as typed: a regular expression when it is one, else the text itself; empty matches all. Case does not matter. */
export function matcher(search: string): (name: string) => boolean {
  if (!search.trim()) return () => true;
  try {
    const pattern = new RegExp(search, "i");
    return (name) => pattern.test(name);
  } catch {
    const text = search.toLowerCase();
    return (name) => name.toLowerCase().includes(text);
  }
}
