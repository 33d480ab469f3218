/** A map as the pictures it is looked at: whole, channel by channel, a time series as small multiples. */
import { useMemo } from "preact/hooks";
import type { Probe } from "../../api";
import type { Box, Drawing, Under } from "../cell";
import { linesOf, undersOf } from "../pictures";
import * as settings from "../settings";
import type { Column } from "../sources";
import type { Exact } from "./exact";
import { channelOf, endOf, type Part } from "./large";

/** Channels that are drawn: more would be too small to see, so the strongest are. */
const MANY = 12;
const RGB = ["red", "green", "blue"] as const;

const mapOf = (values: Float64Array, height: number, width: number): Drawing["map"] => {
  const sizes = values.map(Math.abs);
  return { height, width, values: (signed) => (signed ? values : sizes) };
};

function boxFor(column: Column, count: number): Box {
  const side = Math.max(200, Math.min(440, window.innerWidth - 72, window.innerHeight - 250));
  if (column.kind === "image")
    return count === 1 ? { width: side, height: side } : { width: side / 2 - 6, height: side / 2 - 6 };
  if (column.kind === "bars") return { width: side, height: side / 2 };
  return { width: side, height: count === 1 ? 150 : Math.max(44, Math.min(110, 380 / count)) };
}

export function useParts(
  exact: Exact,
  column: Column,
  input: Probe | null,
  probe: Probe | null,
  example: number,
): Part[] {
  const { difference, signed, plain } = settings.looks.value;
  const look = column.minus ? difference : column.signed ? signed : plain;
  const under = useMemo(() => undersOf(input)(0), [input]);
  const lines = useMemo(() => (probe ? (linesOf(probe)[example] ?? []) : []), [probe, example]);
  const made = useMemo(() => {
    const { height, width, channels } = exact;
    const all = Array.from({ length: channels }, (_, channel) => ({ channel, values: channelOf(exact, channel) }));
    const shown = channels <= MANY ? all : [...all].sort((a, b) => endOf(b.values) - endOf(a.values)).slice(0, MANY);
    return shown.map(({ channel, values }) => ({ channel, map: mapOf(values, height, width) }));
  }, [exact]);
  const limit = useMemo(() => Math.max(...(exact.of ?? [exact.values]).map(endOf)), [exact]);
  const box = boxFor(column, made.length);
  const unders = useMemo(
    () =>
      made.map(({ channel }): Under => ({
        ...under,
        lines: made.length === 1 && lines.length > 1 ? lines : lines.slice(channel, channel + 1),
      })),
    [made, under, lines],
  );
  return made.map(({ channel, map }, at): Part => {
    const colours = exact.channels === 3 && column.kind === "image" ? RGB[channel] : undefined;
    return {
      name: exact.channels === 1 ? "the map" : (colours ?? `channel ${channel}`),
      drawing: { map, limit, look, kind: column.kind, under: unders[at] ?? under },
      box,
    };
  });
}
