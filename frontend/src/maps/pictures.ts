/** What lies under maps or runs over them: the inputs of a probe set, cut into examples once. */
import type { Probe } from "../api";
import type { Under } from "./cell";
import type { Picture } from "./paint";
import type { Line } from "./series_paint";

/** Above this many channels lines cover each other. */
const LINES = 6;

function pictureAt(probe: Probe, example: number): { grey: Picture; colour: Picture } {
  const [, height = 1, width = 1, channels = 1] = probe.picture?.shape ?? [];
  const data = probe.picture?.data ?? [];
  const size = height * width;
  const planes = Array.from({ length: channels }, (_, c) => {
    const plane = new Uint8Array(size);
    for (let at = 0; at < size; at++) plane[at] = data[(example * size + at) * channels + c] ?? 0;
    return plane;
  });
  const colour = { planes, height, width };
  if (channels === 1) return { grey: colour, colour };
  const mean = new Uint8Array(size);
  for (let at = 0; at < size; at++)
    mean[at] = Math.round(planes.reduce((sum, plane) => sum + (plane[at] ?? 0), 0) / channels);
  return { grey: { planes: [mean], height, width }, colour };
}

/** The channels of time series as lines, each in the range that it has over all examples. */
export function linesOf(probe: Probe): Line[][] {
  const { values, kind, tokens } = probe;
  if (kind !== "sequence" || tokens || !values) return [];
  const [n = 0, t = 1, f = 1] = values.shape;
  const ranges = Array.from({ length: f }, (_, c) => {
    let [low, high] = [Infinity, -Infinity];
    for (let at = c; at < values.data.length; at += f) {
      const value = values.data[at] ?? Number.NaN;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    return { low, high };
  });
  return Array.from({ length: n }, (_, example) =>
    ranges.map((range, c) => ({
      ...range,
      values: Float64Array.from({ length: t }, (_, at) => values.data[(example * t + at) * f + c] ?? Number.NaN),
    })),
  );
}

const NOTHING: Under = { grey: null, colour: null, lines: [] };

/** What goes with each example; the same objects as long as the probe set is the same. */
export function undersOf(probe: Probe | null): (example: number) => Under {
  if (!probe) return () => NOTHING;
  const lines = linesOf(probe);
  const made = new Map<number, Under>();
  return (example) => {
    let under = made.get(example);
    if (!under) {
      const pictures = probe.picture ? pictureAt(probe, example) : { grey: null, colour: null };
      const own = lines[example] ?? [];
      under = { ...pictures, lines: own.length <= LINES ? own : [] };
      made.set(example, under);
    }
    return under;
  };
}
