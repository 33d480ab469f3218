/** What a finding shows as evidence, where it can be looked at, and what was checked where nothing was found. */
import type { Finding, RunInfo, TagInfo } from "../api";
import { accepts } from "../state";
import { numbers } from "./rules";

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

/* ---------- where it can be looked at ---------- */

/** When something began or happened is where to look; what lasts is looked at as it is now. */
const AT_FIRST = new Set([
  "not_finite",
  "class_flips",
  "not_finite_layers",
  "exploding_gradients",
  "dead_units",
  "saturated_units",
  "vanishing_gradients",
]);

/** The measure of layers that a rule speaks of. */
const MEASURES: Readonly<Record<string, string>> = {
  not_finite_layers: "not_finite",
  exploding_gradients: "gradient_norm",
  vanishing_gradients: "gradient_norm",
  dead_units: "dead",
  saturated_units: "saturated",
};
const LAYERS = 6;

/** Parts of the link to the view that shows a finding; null when this page has no such view. */
export function linkOf(run: string, finding: Finding, example?: number): Record<string, string> | null {
  const { view, tag, evidence, rule } = finding;
  const step = String(AT_FIRST.has(rule) ? finding.first_step : finding.last_step);
  if (view === "maps")
    return { view, run, "maps.tag": tag, step, "maps.inspect": example === undefined ? "" : String(example) };
  if (view === "quality") return { view, run, "quality.tag": tag, step };
  if (view === "text") return { view, run, "text.tag": tag, step };
  if (view === "health") {
    const layers = Array.isArray(evidence["layers"]) ? evidence["layers"].slice(0, LAYERS) : [];
    return {
      view,
      run,
      "health.tag": tag,
      step,
      "health.measure": MEASURES[rule] ?? "",
      "health.layers": layers.length ? JSON.stringify(layers) : "",
    };
  }
  if (view !== "features") return null;
  const name = typeof evidence["feature"] === "number" || rule !== "no_better_than_guess" ? evidence["name"] : "";
  const runs = Array.isArray(evidence["runs"]) ? JSON.stringify([run, ...(evidence["runs"] as unknown[])]) : null;
  return {
    view,
    run,
    "features.tag": tag,
    step,
    "features.pin": typeof name === "string" ? name : "",
    "features.search": "",
    ...(runs && { runs }),
  };
}

/** Examples that a finding names. */
export const examplesOf = (finding: Finding): number[] =>
  finding.view === "maps" ? numbers(finding.evidence["examples"]) : [];

/* ---------- what was checked ---------- */

const isFlat = (tag: TagInfo): boolean => (tag.inputs ?? []).some(({ kind }) => kind === "flat");
const isImage = (tag: TagInfo): boolean => (tag.inputs ?? []).some(({ kind }) => kind === "image");

/** What the rules looked for in a run, in words. */
export function checkedIn({ tags }: RunInfo): string[] {
  const maps = tags.filter((tag) => accepts("quality", tag));
  const importances = tags.filter(({ kind }) => kind === "importance");
  const additive = maps.filter((tag) => tag.additive);
  const [map, importance] = [maps.length > 0, importances.length > 0];
  const several = (all: readonly TagInfo[], least: number): boolean => all.some(({ steps }) => steps.length >= least);
  const sets = (all: readonly TagInfo[]): boolean => new Set(all.map(({ probe }) => probe)).size > 1;
  const checks: [boolean, string][] = [
    [map || importance, "values that are not finite"],
    [map, "explanations that are zero, fade or sit on a handful of elements"],
    [map, "explanations that are unstable, unfaithful or the same for random weights, where their quality is logged"],
    [several(maps.filter(isImage), 2), "one place that decides in all pictures, and masks where they were given"],
    [additive.length > 0, "values that do not add up"],
    [several(maps, 4), "predictions that still change late, and maps that move while predictions stand still"],
    [importance || additive.some(isFlat), "one feature that dominates"],
    [importance, "columns that give the label away or are not scaled"],
    [several(importances, 2), "features that cannot be told from zero, and shares that rise"],
    [several(importances, 4), "importances that move while the score stands still"],
    [sets(importances) || sets(maps.filter(isFlat)), "examples of training and of validation that disagree"],
    [
      tags.some(({ kind }) => kind === "health"),
      "layers whose gradients vanish or explode, that are dead, saturated or not finite",
    ],
  ];
  return checks.flatMap(([on, words]) => (on ? [words] : []));
}

/** What cannot be seen yet because few steps are logged, in words; "" when there is enough. */
export function tooFew({ tags }: RunInfo): string {
  const most = Math.max(0, ...tags.map(({ steps }) => steps.length));
  if (most >= 4) return "";
  return `Only ${most === 1 ? "one step is" : `${most} steps are`} logged so far; what changes late is judged from the fourth on.`;
}
