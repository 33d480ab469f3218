/** The steps that tags were logged at. */
import type { TagInfo } from "./api";

export interface Logged {
  steps: number[];
  epochs: number[];
  /** when each step was written, in seconds since 1970; of several tags the first */
  wallTimes: number[];
}

export const NO_STEPS: Logged = { steps: [], epochs: [], wallTimes: [] };

/** Steps, epochs and times of some tags together, ascending. */
export function union(sources: readonly TagInfo[]): Logged {
  const epochs = new Map<number, number>();
  const times = new Map<number, number>();
  for (const source of sources)
    source.steps.forEach((step, at) => {
      epochs.set(step, source.epochs[at] ?? epochs.get(step) ?? Number.NaN);
      const time = source.wall_times[at];
      if (time !== undefined && !((times.get(step) ?? Infinity) <= time)) times.set(step, time);
    });
  const steps = [...epochs.keys()].sort((a, b) => a - b);
  return {
    steps,
    epochs: steps.map((step) => epochs.get(step) ?? Number.NaN),
    wallTimes: steps.map((step) => times.get(step) ?? Number.NaN),
  };
}

/**
 * A tag's steps, with its holes: steps between its first and last that its peers have and it lacks. A tag that lacks more
 * than a fifth of them keeps another schedule, and those are no holes.
 */
export function withHoles(own: TagInfo, peers: readonly TagInfo[]): Logged {
  const mine = union([own]);
  const all = union([...peers, own]);
  const [first, last] = [mine.steps[0] ?? 0, mine.steps.at(-1) ?? 0];
  const inside = (_: unknown, at: number): boolean => (all.steps[at] ?? 0) >= first && (all.steps[at] ?? 0) <= last;
  const kept = all.steps.filter(inside);
  if (mine.steps.length < 0.8 * kept.length) return mine;
  return { steps: kept, epochs: all.epochs.filter(inside), wallTimes: all.wallTimes.filter(inside) };
}
