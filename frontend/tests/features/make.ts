import type { Series } from "../../src/features/series";

/** A series from rows of means, with intervals of a given half width around them. */
export function make(rows: number[][], half = 0.1, more: Partial<Series> = {}): Series {
  const flat = rows.flat();
  return {
    run: "run",
    tag: "importance",
    kind: "importance",
    names: (rows[0] ?? []).map((_, f) => `f${f}`),
    steps: rows.map((_, t) => t),
    epochs: rows.map((_, t) => t),
    wallTimes: rows.map((_, t) => 100 + 10 * t),
    mean: Float64Array.from(flat),
    low: Float64Array.from(flat, (v) => v - half),
    high: Float64Array.from(flat, (v) => v + half),
    score: rows.map(() => 1),
    metric: "log loss",
    missing: new Map(),
    additive: false,
    members: null,
    columns: null,
    parts: null,
    alone: null,
    ...more,
  };
}
