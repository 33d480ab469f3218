/** A log of health as the server sends it: three layers over four steps, whose second dies at step 20. */
import type { Series } from "../../src/api";
import { healthOf, type Health } from "../../src/health/model";

export const STEPS = [0, 10, 20, 30];
export const LAYERS = ["dense", "backbone/conv_b", "head"];
export const STATES = [
  ["healthy", "healthy", "healthy"],
  ["healthy", "vanishing", "healthy"],
  ["healthy", "dead", "healthy"],
  ["healthy", "dead", "frozen"],
];
/** Row-major steps x layers. */
export const NORMS = [1, 0.5, 2, 1, 1e-5, 2, 1, 0, 2, 1, 0, NaN];

export const answer = (over: Partial<Series> = {}): Series => ({
  kind: "health",
  steps: Float64Array.from(STEPS),
  wall_times: Float64Array.from(STEPS, (step) => 1000 + step),
  epochs: Float64Array.from(STEPS, (step) => step / 10),
  names: LAYERS,
  metric: null,
  missing: [],
  health: {
    states: STATES,
    n: 64,
    dead_bound: 3 / 64,
    thresholds: { vanishing: 1e-4, exploding: 1000, exploding_update: 10, dead: 0.5, saturated: 0.5 },
    histogram_edges: [0.001, 0.01, 0.1],
  },
  arrays: new Map([
    ["gradient_norm", { shape: [4, 3], data: Float32Array.from(NORMS) }],
    ["weight_norm", { shape: [4, 3], data: new Float32Array(12).fill(3) }],
    ["dead", { shape: [4, 3], data: Float32Array.of(0, 0, 0, 0, 0.25, 0, 0, 1, 0, 0, 1, NaN) }],
    ["activation_mean", { shape: [4, 3], data: Float32Array.of(-8, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 8) }],
    ["not_finite", { shape: [4, 3], data: Int32Array.of(0, 0, 0, 0, 0, 0, 0, 7, 0, 0, -1, 0) }],
  ]),
  ...over,
});

export const health = (over: Partial<Series> = {}): Health => healthOf("r", "model_health", answer(over));
