/** What the view shows, computed from the series, the cursor and the switches; and the switches themselves. */
import { signal } from "@preact/signals";
import { field, setting } from "../state";
import type { Fold } from "./fold";
import { axisAvailable, axisValues, edges, type AxisKind } from "./axis";
import { slots } from "./paint";
import { matcher, order, peaks } from "./rank";
import { ALONE, gapWord, rowAt, type Alone, type Series } from "./series";

export const topK = setting("features.top", "10", ["5", "10", "20", "200"]);
export const rankBy = setting("features.rank", "step", ["step", "peak"]);
export const colourBy = setting("features.colour", "root", ["root", "linear"]);
/** Features that share a part of their name as one row. */
export const foldBy = setting<Fold>("features.fold", "off", ["off", "beginning", "end"]);
/** What stands beside the ranked bars: how a feature does without the model. */
export const beside = setting<Alone | "none">("features.beside", "single_score", [...ALONE, "none"]);
export const search = field<string>("features.search", "");
/** The feature that stays highlighted, by name: names hold across runs and reloads. */
export const pinned = field<string>("features.pin", "");
export const hovered = signal<string | null>(null);

/** The feature that every panel brings out. */
export const highlighted = (): string | null => hovered.value ?? (pinned.value || null);

export const togglePin = (name: string): void => {
  pinned.value = pinned.value === name ? "" : name;
};

/** What the panels bring out together, for code that is loaded apart from them. */
export const marks = { highlighted, hovered, togglePin };
export type Marks = typeof marks;

/** The x axis of the lead run; the same object until the run or the axis changes, so that pictures know when to stay. */
export interface TimeLine {
  axis: AxisKind;
  /** x of every step, borders of its cell, and the first and the last border */
  xs: number[];
  edges: number[];
  domain: [number, number];
}

export function timeLine(series: Series, wish: AxisKind): TimeLine {
  const axis = axisAvailable(series, wish) ? wish : "step";
  const xs = axisValues(series, axis);
  const borders = edges(xs);
  return { axis, xs, edges: borders, domain: [borders[0] ?? 0, borders.at(-1) ?? 1] };
}

export interface Model {
  series: Series;
  others: Series[];
  line: TimeLine;
  /** row of the cursor in the lead run */
  t: number;
  /** all features from first to last, those that match the search, and those drawn as lines */
  ordered: number[];
  found: number[];
  shown: number[];
  /** where the order comes from, in words */
  order: string;
  place: Map<number, number>;
  slots: Map<number, number>;
  /** the features as they were logged, and which of them each row holds where features are folded */
  columns: readonly string[];
  parts: readonly (readonly number[])[] | null;
}

/** Row of the last step at or before the cursor: a run that skipped the step shows the one it had then. */
export const rowOfStep = (series: Series, step: number | null): number =>
  step === null
    ? series.steps.length - 1
    : Math.max(
        0,
        series.steps.findLastIndex((one) => one <= step),
      );

export interface Switches {
  step: number | null;
  top: number;
  by: "step" | "peak";
  search: string;
}

/** Features in the order of their greatest value ever; computed once per series. */
export const everOrder = (series: Series): number[] => order(peaks(series));

const same = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((v, i) => v === b[i]);

/** A step without values keeps the order of the last one that had some. Lists that did not change stay the same objects. */
export function modelOf(
  series: Series,
  others: Series[],
  line: TimeLine,
  ever: number[],
  wish: Switches,
  last: Model | null,
): Model {
  const t = rowOfStep(series, wish.step);
  let from = t;
  while (from > 0 && gapWord(series, from)) from--;
  const keep = (key: "ordered" | "found" | "shown", list: number[]): number[] =>
    last && same(last[key], list) ? last[key] : list;
  const ordered = keep("ordered", wish.by === "peak" ? ever : order(rowAt(series.mean, series, from)));
  const matches = matcher(wish.search);
  const found = keep("found", wish.search ? ordered.filter((f) => matches(series.names[f] ?? "")) : ordered);
  const shown = keep("shown", found.slice(0, wish.top));
  return {
    series,
    others,
    line,
    t,
    ordered,
    found,
    shown,
    order: wish.by === "peak" ? "of their peaks" : `at step ${series.steps[from] ?? ""}`,
    place: new Map(ordered.map((f, i) => [f, i + 1])),
    slots: slots(shown, ever),
    columns: series.columns ?? series.names,
    parts: series.parts,
  };
}
