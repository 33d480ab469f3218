/** The steps that tags were logged at. */
import type { TagInfo } from "./api";

export interface Logged {
  steps: number[];
  epochs: number[];
}

/** Steps and epochs of some tags together, ascending. */
export function union(sources: readonly TagInfo[]): Logged {
  const epochs = new Map<number, number>();
  for (const source of sources)
    source.steps.forEach((step, at) => epochs.set(step, source.epochs[at] ?? epochs.get(step) ?? Number.NaN));
  const steps = [...epochs.keys()].sort((a, b) => a - b);
  return { steps, epochs: steps.map((step) => epochs.get(step) ?? Number.NaN) };
}

/**
 * A tag's steps, with its holes: steps between its first and last that its peers have and it lacks. A tag that lacks more
 * than a fifth of them keeps another schedule, and those are no holes.
 */
export function withHoles(own: TagInfo, peers: readonly TagInfo[]): Logged {
  const mine = union([own]);
  const { steps, epochs } = union([...peers, own]);
  const inside = steps.map((one, at) => [one, epochs[at] ?? Number.NaN] as const);
  const [first, last] = [mine.steps[0] ?? 0, mine.steps.at(-1) ?? 0];
  const kept = inside.filter(([one]) => one >= first && one <= last);
  if (mine.steps.length < 0.8 * kept.length) return mine;
  return { steps: kept.map(([one]) => one), epochs: kept.map(([, epoch]) => epoch) };
}
