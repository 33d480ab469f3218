import type { JSX } from "preact";
import { short } from "../colour";
import { stepName } from "../step_bar";
import { wordFor } from "./cell";
import { className, exampleName, flips, labelOf, predicted } from "../figures";
import type { GridProps } from "./grid";
import { peakIn, type Found } from "./store";

interface Said {
  /** class predicted in this column, null when there is none */
  readonly now: number | null;
  /** class in the nearest earlier column that has one */
  readonly was: number | null;
  /** how often it changed since then, at hidden steps too */
  readonly changes: number;
}

function said({ series, columns }: GridProps, row: number, at: number): Said {
  const here = columns[at];
  const now = here ? predicted(series, here.step, row) : null;
  if (!here || now === null) return { now: null, was: null, changes: 0 };
  for (let earlier = at - 1; earlier >= 0; earlier--) {
    const { step } = columns[earlier] ?? here;
    const was = predicted(series, step, row);
    if (was !== null) return { now, was, changes: flips(series, step, here.step, row) };
  }
  return { now, was: null, changes: 0 };
}

/** The prediction under a map: said where it starts or changes, with a mark against the label. */
export function Caption({ props, row, at }: { props: GridProps; row: number; at: number }): JSX.Element {
  const { now, was, changes } = said(props, row, at);
  if (now === null) return <div class="caption" />;
  const truth = labelOf(props.probe, row)?.of ?? null;
  const mark = truth === null ? "" : truth === now ? " ✓" : " ✗";
  const kind = truth !== null && truth !== now ? "caption wrong" : "caption";
  const name = className(props.probe, now);
  if (was === null) return <div class={kind}>{name + mark}</div>;
  if (was !== now) return <div class={`${kind} flip`}>{`→ ${name}${mark}`}</div>;
  const hidden = changes ? `The prediction changed ${changes} times between these columns` : undefined;
  return <div class={kind} title={hidden} data-word={changes ? `⇄ ${changes}` : ""} />;
}

/** A map in words, for a screen reader: example, step, prediction and its change, strength or state. */
export function describe(props: GridProps, row: number, at: number, found: Found): string {
  const { probe, columns } = props;
  const column = columns[at];
  if (!column) return "";
  const { now, was } = said(props, row, at);
  const changed = was !== null && was !== now ? ` (changed from ${className(probe, was)})` : "";
  const prediction = now === null ? [] : [`predicted ${className(probe, now)}${changed}`];
  const peak = peakIn(found);
  const state = wordFor(found) ?? (peak === null ? "" : `peak ${short(peak)}`);
  return [exampleName(probe, row), stepName(column.step, column.epoch), ...prediction, state].join(", ");
}
