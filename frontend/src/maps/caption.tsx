import type { JSX } from "preact";
import { short } from "../colour";
import { stepName } from "../step_bar";
import { reasonFor, wordFor } from "./cell";
import { className, exampleName, flips, labelOf, predicted } from "../figures";
import type { GridProps } from "./grid";
import { isMap, peakIn, type Found } from "./store";

interface Said {
  /** class predicted in this column, null when there is none */
  readonly now: number | null;
  /** class in the nearest earlier column that has one */
  readonly was: number | null;
  /** how often it changed since then, at hidden steps too */
  readonly changes: number;
}

function said({ seriesOf, columns, by }: GridProps, example: number, at: number): Said {
  const here = columns[at];
  const series = here ? seriesOf(here) : null;
  const now = here ? predicted(series, here.step, example) : null;
  if (!here || now === null) return { now: null, was: null, changes: 0 };
  if (by !== "steps") return { now, was: null, changes: 0 };
  for (let earlier = at - 1; earlier >= 0; earlier--) {
    const { step } = columns[earlier] ?? here;
    const was = predicted(series, step, example);
    if (was !== null) return { now, was, changes: flips(series, step, here.step, example) };
  }
  return { now, was: null, changes: 0 };
}

/** The prediction under a map: said where it starts or changes, with a mark against the label. */
export function Caption({ props, example, at }: { props: GridProps; example: number; at: number }): JSX.Element {
  const { now, was, changes } = said(props, example, at);
  if (now === null) return <div class="caption" />;
  const truth = labelOf(props.probe, example)?.of ?? null;
  const mark = truth === null ? "" : truth === now ? " ✓" : " ✗";
  const kind = truth !== null && truth !== now ? "caption wrong" : "caption";
  const name = className(props.probe, now);
  if (was === null) return <div class={kind}>{name + mark}</div>;
  if (was !== now) return <div class={`${kind} flip`}>{`→ ${name}${mark}`}</div>;
  const hidden = changes ? `The prediction changed ${changes} times between these columns` : undefined;
  return <div class={kind} title={hidden} data-word={changes ? `⇄ ${changes}` : ""} />;
}

/** A map in words, for a screen reader: example, column, prediction and its change, strength or state. */
export function describe(props: GridProps, example: number, at: number, found: Found): string {
  const { probe, columns, by } = props;
  const column = columns[at];
  if (!column) return "";
  const { now, was } = said(props, example, at);
  const changed = was !== null && was !== now ? ` (changed from ${className(probe, was)})` : "";
  const prediction = now === null ? [] : [`predicted ${className(probe, now)}${changed}`];
  const word = wordFor(found);
  const reason = reasonFor(found);
  const peak = peakIn(found);
  const what = isMap(found) && found.of ? "peak difference" : "peak";
  const state = word === null ? `${what} ${short(peak ?? 0)}` : reason === null ? word : `${word}: ${reason}`;
  const where = by === "steps" ? stepName(column.step, column.epoch) : `${column.title}, step ${column.step}`;
  return [exampleName(probe, example), where, ...prediction, state].join(", ");
}
