/** Which examples are seen, and in which order. */
import type { Drift, Series } from "../api";
import { figure } from "../figures";
import * as settings from "./settings";

export interface Rule {
  /** "" is as logged; "name", "label", "said", "strength", "flips", "drift", or a figure of the series */
  readonly sort: string;
  readonly reverse: boolean;
  /** class of the label, class that is predicted: null is any */
  readonly label: number | null;
  readonly said: number | null;
  readonly only: string;
  /** a regular expression over names; an unfinished one counts as plain text */
  readonly names: string;
}

/** What is known of an example; null where it is not. */
export interface Facts {
  readonly name: (example: number) => string;
  readonly label: (example: number) => number | null;
  readonly said: (example: number) => number | null;
  readonly flips: (example: number) => number;
  readonly flipsUntil: (example: number) => number;
  readonly value: (sort: string, example: number) => number | null;
}

/** Figures of which a small value is what deserves a look: they are sorted upwards. */
const LOW_FIRST = /^(label|said|drift|confidence|output|gini|faithfulness|insertion|mass\.|rank\.|hit\.)/;

export function matcher(pattern: string): (name: string) => boolean {
  try {
    const expression = new RegExp(pattern, "i");
    return (name) => expression.test(name);
  } catch {
    return (name) => name.includes(pattern);
  }
}

/** Positions of the examples that a rule keeps, in its order: what deserves a look first, the unknown last. */
export function arrange(examples: number, rule: Rule, facts: Facts): number[] {
  const matches = matcher(rule.names);
  const kept = Array.from({ length: examples }, (_, example) => example).filter((example) => {
    const label = facts.label(example);
    const said = facts.said(example);
    if (rule.label !== null && label !== rule.label) return false;
    if (rule.said !== null && said !== rule.said) return false;
    if (rule.only === "wrong" && (label === null || said === null || label === said)) return false;
    if (rule.only === "right" && (label === null || label !== said)) return false;
    if (rule.only === "flips" && !facts.flips(example)) return false;
    if (rule.only === "flips until" && !facts.flipsUntil(example)) return false;
    return !rule.names || matches(facts.name(example));
  });
  if (!rule.sort) return rule.reverse ? kept.reverse() : kept;
  const turn = rule.reverse ? -1 : 1;
  if (rule.sort === "name") {
    const order = new Intl.Collator(undefined, { numeric: true });
    return kept.sort((a, b) => turn * order.compare(facts.name(a), facts.name(b)) || a - b);
  }
  const up = LOW_FIRST.test(rule.sort) ? turn : -turn;
  const values = new Map(kept.map((example) => [example, facts.value(rule.sort, example)]));
  return kept.sort((a, b) => {
    const [x, y] = [values.get(a) ?? null, values.get(b) ?? null];
    if (x === null || y === null) return Number(x === null) - Number(y === null) || a - b;
    return up * (x - y) || a - b;
  });
}

/** The drift of an example's map towards one step, null where there is none. */
export function driftAt(drift: Drift | null, step: number, example: number): number | null {
  const at = drift ? drift.steps.indexOf(step) : -1;
  if (!drift || at < 0 || example >= drift.examples) return null;
  const value = drift.value[at * drift.examples + example];
  return value === undefined || Number.isNaN(value) ? null : value;
}

const HIDDEN = /^(predicted|prediction|grid|steps|wall_times|epochs|mean|mean_abs.*|.*_stderr|.*_random)$/;

/** The figures of single examples that a tag has. */
export const figuresOf = (series: Series | null): string[] =>
  [...(series?.arrays ?? [])]
    .filter(([name, { shape }]) => shape.length === 2 && !HIDDEN.test(name))
    .map(([name]) => name);

/** The value by which examples are sorted, at a step. */
export function sortValue(series: Series | null, sort: string, step: number, example: number): number | null {
  return figure(series, sort === "strength" ? "peak" : sort, step, example);
}

/** Takes every filter away. */
export function showAllRows(): void {
  for (const one of [settings.label, settings.said, settings.names]) one.value = "";
  settings.only.value = "all";
}
