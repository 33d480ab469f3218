/** What a finding shows as evidence, where it can be looked at, and what was checked where nothing was found. */
import type { Finding, RunInfo, TagInfo } from "../api";
import { short } from "../colour";
import { at, rowAt, type Series as FeatureSeries } from "../features/series";
import { order } from "../features/rank";

export const SEVERITIES = ["alarm", "warning", "info"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** A severity that this page does not know is looked at like a warning. */
export const severityOf = (finding: Finding): Severity =>
  SEVERITIES.find((one) => one === finding.severity) ?? "warning";

export const WORDS: Readonly<Record<Severity, readonly [string, string]>> = {
  alarm: ["alarm", "alarms"],
  warning: ["warning", "warnings"],
  info: ["note", "notes"],
};

/** A finding, and all tags that it was found in. */
export type Told = Finding & { tags: string[] };

/** Gravest first, else as they came; the same words about several tags are said once. */
export function sorted(findings: readonly Finding[]): Told[] {
  const told = new Map<string, Told>();
  for (const one of findings) {
    const key = JSON.stringify([one.rule, one.severity, one.first_step, one.last_step, one.text]);
    const known = told.get(key);
    if (known) known.tags.push(one.tag);
    else told.set(key, { ...one, tags: [one.tag] });
  }
  return [...told.values()].sort((a, b) => SEVERITIES.indexOf(severityOf(a)) - SEVERITIES.indexOf(severityOf(b)));
}

/** "1 alarm, 2 notes", or "" for none. */
export function counts(findings: readonly Finding[]): string {
  return SEVERITIES.flatMap((severity) => {
    const count = findings.filter((one) => severityOf(one) === severity).length;
    return count ? [`${count} ${WORDS[severity][count === 1 ? 0 : 1]}`] : [];
  }).join(", ");
}

/* ---------- evidence ---------- */

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

export type Evidence = Curve | FeatureCurve | Bars | Steps;

const numbers = (value: unknown): number[] =>
  Array.isArray(value) ? value.filter((one): one is number => typeof one === "number") : [];

const percent = (value: number): string => `${short(100 * value)} %`;
const count = (value: number): string => String(Math.round(value));

/** The middle of the finite values, NaN without one. */
export function median(values: readonly number[]): number {
  const finite = values.filter(Number.isFinite).sort((a, b) => a - b);
  const half = finite.length >> 1;
  const upper = finite[half] ?? Number.NaN;
  return finite.length % 2 ? upper : (upper + (finite[half - 1] ?? upper)) / 2;
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
};

/** What is drawn beside a finding. */
export function evidenceOf({ rule, evidence }: Finding): Evidence {
  const feature = typeof evidence["feature"] === "number" ? evidence["feature"] : null;
  const features = numbers(evidence["features"]);
  const curve = CURVES[rule];
  if (curve) return { draw: "curve", ...curve };
  if (rule === "dominant_feature" && feature !== null)
    return { draw: "bars", choose: (series, t) => order(rowAt(series.mean, series, t)).slice(0, 5), marked: [feature] };
  if (rule === "indistinguishable_from_zero") {
    const choose = (series: FeatureSeries, t: number): number[] => {
      // the strongest of the others comes first: it is what the rest is small against
      const strongest = order(rowAt(series.mean, series, t)).find((one) => !features.includes(one));
      return [...(strongest === undefined ? [] : [strongest]), ...features].slice(0, 5);
    };
    return { draw: "bars", choose, marked: features };
  }
  if (rule === "rising_share" && feature !== null)
    return {
      draw: "feature-curve",
      title: "share of all importance",
      values: (series) => shares(series, feature),
      format: percent,
    };
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

/* ---------- where it can be looked at ---------- */

/** When something began or happened is where to look; what lasts is looked at as it is now. */
const AT_FIRST = new Set(["not_finite", "class_flips"]);

/** Parts of the link to the view that shows a finding; null when this page has no such view. */
export function linkOf(run: string, finding: Finding, example?: number): Record<string, string> | null {
  const { view, tag, evidence, rule } = finding;
  const step = String(AT_FIRST.has(rule) ? finding.first_step : finding.last_step);
  if (view === "maps")
    return { view, run, "maps.tag": tag, step, "maps.inspect": example === undefined ? "" : String(example) };
  if (view !== "features") return null;
  const name = typeof evidence["name"] === "string" ? evidence["name"] : "";
  return { view, run, "features.tag": tag, step, "features.pin": name, "features.search": "" };
}

/** Examples that a finding names. */
export const examplesOf = (finding: Finding): number[] =>
  finding.view === "maps" ? numbers(finding.evidence["examples"]) : [];

/* ---------- what was checked ---------- */

const isFlat = (tag: TagInfo): boolean => (tag.inputs ?? []).some(({ kind }) => kind === "flat");

/** What the rules looked for in a run, in words. */
export function checkedIn({ tags }: RunInfo): string[] {
  const maps = tags.filter(({ kind }) => kind === "attribution");
  const importances = tags.filter(({ kind }) => kind === "importance");
  const additive = maps.filter((tag) => tag.additive);
  const [map, importance] = [maps.length > 0, importances.length > 0];
  const several = (all: readonly TagInfo[], least: number): boolean => all.some(({ steps }) => steps.length >= least);
  const checks: [boolean, string][] = [
    [map || importance, "values that are not finite"],
    [map, "explanations that are zero, fade or sit on a handful of elements"],
    [additive.length > 0, "values that do not add up"],
    [several(maps, 4), "predictions that still change late"],
    [importance || additive.some(isFlat), "one feature that dominates"],
    [several(importances, 2), "features that cannot be told from zero, and shares that rise"],
    [several(importances, 4), "importances that move while the score stands still"],
  ];
  return checks.flatMap(([on, words]) => (on ? [words] : []));
}

/** What cannot be seen yet because few steps are logged, in words; "" when there is enough. */
export function tooFew({ tags }: RunInfo): string {
  const most = Math.max(0, ...tags.map(({ steps }) => steps.length));
  if (most >= 4) return "";
  return `Only ${most === 1 ? "one step is" : `${most} steps are`} logged so far; what changes late is judged from the fourth on.`;
}
