/** What stands at one place of a map, in words: the position, the value, and the input there. */
import type { Probe } from "../../api";
import { short } from "../../colour";
import type { Kind } from "../screen";
import type { Exact } from "./exact";

export type At = readonly [number, number];

export function positionOf([row, column]: At, kind: Kind, probe: Probe | null): string {
  if (kind === "image") return `row ${row}, column ${column}`;
  if (kind === "sequence") return `time ${column}`;
  return probe?.feature_names?.[column] ?? `feature ${column}`;
}

/** The values of a map at a place, one per channel. */
export const valuesAt = (exact: Exact, [row, column]: At): number[] =>
  Array.from(
    { length: exact.channels },
    (_, c) => exact.values[(row * exact.width + column) * exact.channels + c] ?? Number.NaN,
  );

/** The input's values at a place of a map, one per channel; none where the map has another grid than the input. */
export function inputAt(probe: Probe | null, row: number, exact: Exact, [y, x]: At): number[] {
  const tensor = probe?.picture ?? probe?.values;
  if (!probe || !tensor || probe.tokens) return [];
  const shape = tensor.shape.slice(1);
  const channels = shape.length > (exact.height > 1 ? 2 : 1) ? (shape.at(-1) ?? 1) : 1;
  const places = shape.reduce((a, b) => a * b, 1) / channels;
  if (places !== exact.height * exact.width) return [];
  const from = (row * places + y * exact.width + x) * channels;
  const scaled = (value: number): number =>
    probe.picture ? probe.low + ((probe.high - probe.low) * value) / 255 : value;
  return Array.from({ length: channels }, (_, c) => scaled(tensor.data[from + c] ?? Number.NaN));
}

const LISTED = 4;

/** Some numbers in words: all where they are few. */
export function listed(values: readonly number[]): string {
  const said = values.slice(0, LISTED).map(short).join(", ");
  return values.length > LISTED ? `${said}, and ${values.length - LISTED} more` : said;
}

export interface Said {
  readonly exact: Exact;
  readonly at: At;
  readonly kind: Kind;
  readonly probe: Probe | null;
  /** the input, and which of its rows the example is */
  readonly input: Probe | null;
  readonly inputRow: number;
}

/** "row 3, column 5: −0.03; input 0.5"; of a difference also both sides. */
export function readingOf({ exact, at, kind, probe, input, inputRow }: Said): string {
  const place = at[0] * exact.width + at[1];
  const sides = exact.of?.map((side) =>
    listed(Array.from(side.slice(place * exact.channels, (place + 1) * exact.channels))),
  );
  const value = listed(valuesAt(exact, at)) + (sides ? ` = ${sides[0]} less ${sides[1]}` : "");
  const inputs = inputAt(input, inputRow, exact, at);
  return `${positionOf(at, kind, probe)}: ${value}${inputs.length ? `; input ${listed(inputs)}` : ""}`;
}
