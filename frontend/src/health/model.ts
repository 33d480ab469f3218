/** The health of a run's layers over steps, as the server tells it. */
import type { Series } from "../api";

export interface Health {
  run: string;
  tag: string;
  layers: string[];
  steps: number[];
  epochs: number[];
  wallTimes: number[];
  /** for each step one word per layer; null where none was logged */
  states: (string[] | null)[];
  /** row-major (t, l) */
  figures: ReadonlyMap<string, Float64Array>;
  n: number | null;
  deadBound: number | null;
  thresholds: Readonly<Record<string, number>>;
  /** borders of the bins of |gradient| */
  edges: number[];
  missing: ReadonlyMap<number, string>;
}

const NOTHING = { states: [], n: null, dead_bound: null, thresholds: {}, histogram_edges: [] };

/** An answer of `./series`, with a row of NaN for each step that is named missing but has none. */
export function healthOf(run: string, tag: string, answer: Series): Health {
  const missing = new Map(answer.missing.map(({ step, reason }) => [step, reason]));
  const own = Array.from(answer.steps);
  const steps = [...new Set([...own, ...missing.keys()])].sort((a, b) => a - b);
  const from = steps.map((step) => own.indexOf(step));
  const about = answer.health ?? NOTHING;
  const width = answer.names?.length ?? answer.arrays.get("weight_norm")?.shape[1] ?? 0;
  const figures = new Map<string, Float64Array>();
  for (const [name, { shape, data }] of answer.arrays) {
    if (shape.length !== 2 || shape[1] !== width) continue;
    const whole = data instanceof Int32Array;
    const spread = new Float64Array(steps.length * width).fill(NaN);
    from.forEach((row, t) => {
      if (row < 0) return;
      for (let l = 0; l < width; l++) {
        const value = data[row * width + l] as number;
        spread[t * width + l] = whole && value === -1 ? NaN : value;
      }
    });
    figures.set(name, spread);
  }
  return {
    run,
    tag,
    layers: Array.from({ length: width }, (_, l) => answer.names?.[l] ?? `layer ${l}`),
    steps,
    epochs: from.map((row) => answer.epochs[row] ?? NaN),
    wallTimes: from.map((row) => answer.wall_times[row] ?? NaN),
    states: from.map((row) => about.states[row] ?? null),
    figures,
    n: about.n,
    deadBound: about.dead_bound,
    thresholds: about.thresholds,
    edges: about.histogram_edges,
    missing,
  };
}

export const at = (health: Health, figure: string, t: number, layer: number): number =>
  health.figures.get(figure)?.[t * health.layers.length + layer] ?? NaN;

/** One figure of one layer over the steps. */
export const curve = (health: Health, figure: string, layer: number): number[] =>
  health.steps.map((_, t) => at(health, figure, t, layer));

/** Row of the last step at or before the cursor: a run that skipped the step shows the one it had then. */
export const rowOf = (health: Health, step: number | null): number =>
  step === null
    ? health.steps.length - 1
    : Math.max(
        0,
        health.steps.findLastIndex((one) => one <= step),
      );
