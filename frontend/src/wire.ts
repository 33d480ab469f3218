/** What the server sends; names keep their Python spelling (see tb_xai/http_api.md). */
import type { Numbers, Tensor } from "./safetensors";

export interface InputInfo {
  name: string;
  shape: number[];
  kind: "image" | "flat" | "sequence" | "other";
  /** the input of the probe set that this is shown over, where it is none itself (a filter of a layer) */
  of?: string;
  /** whether words or tokens stand beside its values */
  tokens?: boolean;
}

export interface TagInfo {
  name: string;
  kind: string;
  method?: string;
  steps: number[];
  wall_times: number[];
  epochs: number[];
  signed?: boolean;
  additive?: boolean;
  score_name?: string;
  /** what the values are, where they do not explain the score: "activation", "weight" */
  value_name?: string;
  probe?: string;
  examples?: number;
  inputs?: InputInfo[];
  metric?: string;
  features?: number;
  layers?: number;
  /** what the last step took to compute and write */
  seconds?: number | null;
}

export interface RunInfo {
  name: string;
  tags: TagInfo[];
}

export interface Skipped {
  run: string;
  tag: string;
  reason: string;
}

export interface Index {
  version: number;
  revision: string;
  runs: RunInfo[];
  skipped: Skipped[];
}

export interface Missing {
  step: number;
  reason: string;
}

/** Maps of one step: `bytes` holds n maps of h x w; byte q is low + (high - low) * q / 254, 255 is not finite. */
export interface StepMaps {
  shape: readonly [number, number, number];
  bytes: Uint8Array;
  low: Float32Array;
  high: Float32Array;
}

export interface Attributions {
  input: string;
  signed: boolean;
  examples: number[];
  steps: Map<number, StepMaps>;
  missing: Missing[];
}

export interface ValueMaps {
  /** of one map: rows, columns and, where they are not folded, channels */
  shape: readonly number[];
  steps: ReadonlyMap<number, Float32Array>;
  missing: Missing[];
}

/** How alike explanations are, from 1 (the same) down, to those of an earlier step or of another tag; NaN is undefined. */
export interface Drift {
  steps: Float64Array;
  /** the step that each is compared with, -1 where there is none */
  against: Float64Array;
  examples: number;
  /** (t, n) */
  value: Numbers;
  mean: Float64Array;
  /** the same measure between two explanations of one model; null between methods */
  floor: Float64Array | null;
  deterministic: boolean;
  /** why a step has no values */
  reasons: (string | null)[];
  /** what was compared, where explanations are not alike in form */
  compared: string | null;
}

/** Where evidence should lie, or must not (`suspect`): the share of each example that a mask covers. */
export interface Mask {
  area: (number | null)[];
  suspect: boolean;
}

export interface Probe {
  kind: InputInfo["kind"];
  examples: number[];
  example_names: string[] | null;
  class_names: string[] | null;
  feature_names: string[] | null;
  low: number;
  high: number;
  /** uint8 (n, h, w, c) of image inputs */
  picture: Tensor | null;
  /** float32 (n, d) of flat inputs */
  values: Tensor | null;
  /** classes (integers) or values */
  labels: Tensor | null;
  labels_are_classes: boolean;
  /** words of a text or names of token ids, one list an example; a short text has fewer than there are values */
  tokens?: string[][] | null;
}

/** What stands beside the figures of layers: one word per layer for each step, and the rest as of the last step. */
export interface HealthAnswer {
  states: (string[] | null)[];
  /** examples in the batch that was measured */
  n: number | null;
  /** a unit that is dead on all n examples fires for at most this share of all, 95 % */
  dead_bound: number | null;
  thresholds: Readonly<Record<string, number>>;
  histogram_edges: number[];
}

/** Figures over steps; `arrays` has the steps first: (t,), (t, n) or (t, d). NaN (class: -1) is "not logged". */
export interface Series {
  kind: string;
  steps: Float64Array;
  wall_times: Float64Array;
  epochs: Float64Array;
  names: string[] | null;
  metric: string | null;
  missing: Missing[];
  health?: HealthAnswer;
  /** why a figure of quality is undefined for this method or input */
  reasons?: Readonly<Record<string, string>>;
  /** steps at which a figure was not measured, because costly ones take turns */
  unmeasured?: Readonly<Record<string, readonly number[]>>;
  masks?: Readonly<Record<string, Mask>>;
  arrays: ReadonlyMap<string, Tensor>;
}

export interface Finding {
  rule: string;
  severity: string;
  first_step: number;
  last_step: number;
  tag: string;
  text: string;
  try_next: string;
  evidence: Record<string, unknown>;
  view: string;
}
