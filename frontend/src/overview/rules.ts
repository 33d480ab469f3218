/** What is drawn beside a finding, rule by rule; a rule that this page does not know shows its steps. */
import type { Finding } from "../api";
import { short } from "../colour";
import { order } from "../features/rank";
import { at, rowAt, type Series as FeatureSeries } from "../features/series";

/** One figure of each example over the steps, folded to one number per step. */
export interface Curve {
  draw: "curve";
  title: string;
  figure: string;
  /** values of all examples at a step, and at the logged step before */
  fold: (now: readonly number[], before: readonly number[] | null) => number;
  format: (value: number) => string;
  /** the least that there can be */
  floor?: number;
  /** what stands below it in place of its range */
  ends?: readonly [string, string];
  /** cells of a grid over every picture that it is about */
  cells?: { at: readonly number[]; grid: readonly [number, number] };
}

/** A curve of features over the steps. */
export interface FeatureCurve {
  draw: "feature-curve";
  title: string;
  values: (series: FeatureSeries) => number[];
  format: (value: number) => string;
}

/** Bars of a few features at the last step that is spoken of; `marked` are those that the finding is about. */
export interface Bars {
  draw: "bars";
  choose: (series: FeatureSeries, t: number) => number[];
  marked: readonly number[];
}

/** Which of the logged steps are concerned; all that can be shown for a rule that this page does not know. */
export interface Steps {
  draw: "steps";
  steps: readonly number[] | null;
}

/** A figure of columns that is logged once: the largest, and those that the finding is about. */
export interface Columns {
  draw: "columns";
  title: string;
  figure: string;
  marked: readonly number[];
}

/** The words of some layers over the steps. */
export interface Layers {
  draw: "layers";
  names: readonly string[];
}

/** A few numbers side by side. */
export interface Sides {
  draw: "sides";
  title: string;
  sides: readonly (readonly [string, number])[];
}

export type Evidence = Curve | FeatureCurve | Bars | Columns | Layers | Sides | Steps;

export const numbers = (value: unknown): number[] =>
  Array.isArray(value) ? value.filter((one): one is number => typeof one === "number") : [];

const names = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((one): one is string => typeof one === "string") : [];

const percent = (value: number): string => `${short(100 * value)} %`;
const count = (value: number): string => String(Math.round(value));

/** The middle of the finite values, NaN without one. */
export function median(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite).sort((a, b) => a - b);
  const half = finite.length >> 1;
  const upper = finite[half] ?? Number.NaN;
  return finite.length % 2 ? upper : (upper + (finite[half - 1] ?? upper)) / 2;
}

/** Mean of the finite values, NaN without one. */
export function mean(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite);
  return finite.length ? finite.reduce((a, b) => a + b, 0) / finite.length : Number.NaN;
}

/** A feature's share of all positive importance at every step. */
export function shares(series: FeatureSeries, feature: number): number[] {
  return series.steps.map((_, t) => {
    const row = Array.from(rowAt(series.mean, series, t), (value) => Math.max(value, 0));
    const total = row.reduce((a, b) => a + b, 0);
    return total > 0 ? (row[feature] ?? Number.NaN) / total : Number.NaN;
  });
}

/** Examples whose predicted class is not that of the logged step before. */
const changed = (now: readonly number[], before: readonly number[] | null): number =>
  before ? now.filter((value, at) => value >= 0 && (before[at] ?? -1) >= 0 && value !== before[at]).length : Number.NaN;

const CURVES: Readonly<Record<string, Omit<Curve, "draw">>> = {
  all_zero: {
    title: "examples with an explanation of zero",
    figure: "sum_abs",
    fold: (now) => now.filter((value) => value === 0).length,
    format: count,
    floor: 0,
  },
  faded: {
    title: "median strength (logarithmic)",
    figure: "sum_abs",
    fold: (now) => Math.log10(median(now)),
    format: (value) => short(10 ** value),
  },
  concentrated: {
    title: "elements that carry an explanation (median)",
    figure: "entropy",
    fold: (now) => Math.exp(median(now)),
    format: short,
  },
  completeness_gap: {
    title: "examples with a gap above 5 %",
    figure: "gap",
    fold: (now) => now.filter((value) => value > 0.05).length,
    format: count,
    floor: 0,
  },
  class_flips: {
    title: "predictions changed since the step before",
    figure: "predicted",
    fold: changed,
    format: count,
    floor: 0,
  },
  unstable_explanation: {
    title: "change of the maps by noise that nobody sees (mean)",
    figure: "max_sensitivity",
    fold: mean,
    format: percent,
    floor: 0,
  },
  insensitive_to_parameters: {
    title: "rank correlation with the maps of random weights (mean)",
    figure: "randomisation",
    fold: mean,
    format: short,
    floor: 0,
  },
  explanation_never_moved: { title: "mean explained output", figure: "output", fold: mean, format: short },
  explanations_move_predictions_still: { title: "mean explained output", figure: "output", fold: mean, format: short },
};

/** Rules about a place: the share of the explanation that lies there. */
function placeOf({ rule, evidence }: Finding): Curve | null {
  const name = typeof evidence["name"] === "string" ? evidence["name"] : "";
  if (rule === "shortcut" || rule === "evidence_leaves_mask") {
    const mass = typeof evidence["mass"] === "number";
    const area = typeof evidence["area"] === "number" ? `area ${percent(evidence["area"])}` : "";
    return {
      draw: "curve",
      title: mass ? `share of the explanation in “${name}”` : `net evidence for the label from “${name}”`,
      figure: `${mass ? "mass" : "signed"}.${name}`,
      fold: mean,
      format: percent,
      floor: 0,
      ...(mass && area && { ends: [area, ""] as const }),
    };
  }
  const [h, w] = numbers(evidence["grid"]);
  const cells = numbers(evidence["cells"]);
  if (rule !== "one_place" || h === undefined || w === undefined || !cells.length) return null;
  return {
    draw: "curve",
    title: `share of the explanations at the ${name || "marked cells"}`,
    figure: "grid",
    fold: (now) => {
      const examples = Math.floor(now.length / (h * w));
      const shares = Array.from({ length: examples }, (_, n) =>
        cells.reduce((sum, cell) => sum + (now[n * h * w + cell] ?? Number.NaN), 0),
      );
      return mean(shares);
    },
    format: percent,
    floor: 0,
    cells: { at: cells, grid: [h, w] },
  };
}

/** What is drawn beside a finding. */
export function evidenceOf(finding: Finding): Evidence {
  const { rule, evidence } = finding;
  const place = placeOf(finding);
  if (place) return place;
  if (rule === "wrong_gradient")
    return {
      draw: "columns",
      title: "relative error of each layer’s gradient",
      figure: "gradient_check",
      marked: numbers(evidence["positions"]),
    };
  const layers = names(evidence["layers"]);
  if (finding.view === "health" && layers.length) return { draw: "layers", names: layers };
  const feature = typeof evidence["feature"] === "number" ? evidence["feature"] : null;
  const features = numbers(evidence["features"]);
  const curve = CURVES[rule];
  if (curve) return { draw: "curve", ...curve };
  if (rule === "unfaithful_explanation") {
    const figure = evidence["name"] === "deletion" ? "deletion" : "faithfulness";
    return { draw: "curve", title: `${figure} (mean)`, figure, fold: mean, format: short };
  }
  if (rule === "leaked_column")
    return { draw: "columns", title: "score of each column alone", figure: "single_score", marked: features };
  if (rule === "unscaled_feature" && typeof evidence["ratio"] === "number")
    return { draw: "columns", title: "standard deviation of each column", figure: "scale", marked: features };
  const [here, there] = numbers(evidence["shares"]);
  const [one, other] = names(evidence["tags"]);
  if (rule === "train_validation_disagree" && here !== undefined && there !== undefined)
    return {
      draw: "sides",
      title: `share of all importance: ${names(evidence["names"])[0] ?? ""}`,
      sides: [
        [one ?? "here", here],
        [other ?? "there", there],
      ],
    };
  if ((rule === "dominant_feature" || rule === "rising_share") && feature !== null)
    return {
      draw: "feature-curve",
      title: "its share of all importance",
      values: (series) => shares(series, feature),
      format: percent,
    };
  if (rule === "unscaled_feature" && feature !== null)
    return { draw: "bars", choose: (series, t) => order(rowAt(series.mean, series, t)).slice(0, 5), marked: [feature] };
  if (rule === "no_better_than_guess")
    return { draw: "bars", choose: (series, t) => order(rowAt(series.mean, series, t)).slice(0, 5), marked: [] };
  if (rule === "indistinguishable_from_zero") {
    const choose = (series: FeatureSeries, t: number): number[] => {
      // the strongest of the others comes first: it is what the rest is small against
      const strongest = order(rowAt(series.mean, series, t)).find((one) => !features.includes(one));
      return [...(strongest === undefined ? [] : [strongest]), ...features].slice(0, 5);
    };
    return { draw: "bars", choose, marked: features };
  }
  if (rule === "importance_moves_score_still" && features[0] !== undefined) {
    const [moved] = features;
    return {
      draw: "feature-curve",
      title: `importance of ${typeof evidence["name"] === "string" ? evidence["name"] : `feature ${moved}`}`,
      values: (series) => series.steps.map((_, t) => at(series.mean, series, t, moved)),
      format: short,
    };
  }
  if (rule === "score_moves_importance_still")
    return { draw: "feature-curve", title: "score", values: ({ score }) => score, format: short };
  const steps = numbers(evidence["steps"]);
  return { draw: "steps", steps: steps.length ? steps : null };
}

/** One number per step from a figure (t, n). */
export function folded(data: ArrayLike<number>, steps: number, fold: Curve["fold"]): number[] {
  const n = steps ? data.length / steps : 0;
  let before: number[] | null = null;
  return Array.from({ length: steps }, (_, t) => {
    const now = Array.from({ length: n }, (__, i) => data[t * n + i] as number);
    const value = fold(now, before);
    before = now;
    return value;
  });
}
