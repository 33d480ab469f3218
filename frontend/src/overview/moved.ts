/** Which examples moved most, and how many are right. */
import type { Probe, Series } from "../api";
import { figure, labelOf, predicted } from "../figures";

export interface Moved {
  example: number;
  /** how often the prediction changed */
  flips: number;
  /** its last change */
  last: { step: number; from: number; to: number } | null;
  /** change of the target's score from the first step to the last */
  change: number;
}

/** Examples by how often their prediction changed, then how late, then how far their score moved. */
export function mostMoved(series: Series, examples: number, most: number): Moved[] {
  const steps = Array.from(series.steps);
  const all = Array.from({ length: examples }, (_, example): Moved => {
    let [flips, before, last] = [0, null as number | null, null as Moved["last"]];
    for (const step of steps) {
      const now = predicted(series, step, example);
      if (now !== null && before !== null && now !== before) {
        flips++;
        last = { step, from: before, to: now };
      }
      before = now ?? before;
    }
    const scores = steps.map((step) => figure(series, "output", step, example)).filter((one) => one !== null);
    return { example, flips, last, change: (scores.at(-1) ?? Number.NaN) - (scores[0] ?? Number.NaN) };
  });
  const size = ({ change }: Moved): number => (Number.isFinite(change) ? Math.abs(change) : -1);
  return all
    .filter((one) => one.flips > 0 || size(one) > 0)
    .sort((a, b) => b.flips - a.flips || (b.last?.step ?? 0) - (a.last?.step ?? 0) || size(b) - size(a))
    .slice(0, most);
}

/** Share of the examples whose predicted class is their label at every step; null where there are no classes. */
export function rightOver(series: Series, probe: Probe | null, examples: number): number[] | null {
  if (!probe?.labels_are_classes || !series.arrays.has("predicted")) return null;
  const labels = Array.from({ length: examples }, (_, example) => labelOf(probe, example)?.of ?? null);
  return Array.from(series.steps, (step) => {
    const said = labels.flatMap((label, example) => {
      const now = predicted(series, step, example);
      return label === null || now === null ? [] : [now === label];
    });
    return said.length ? said.filter(Boolean).length : Number.NaN;
  });
}

/** Mean score of the target over the examples at every step. */
export function meanScore(series: Series, examples: number): number[] {
  return Array.from(series.steps, (step) => {
    const all = Array.from({ length: examples }, (_, one) => figure(series, "output", step, one)).filter(
      (one): one is number => one !== null && Number.isFinite(one),
    );
    return all.length ? all.reduce((a, b) => a + b, 0) / all.length : Number.NaN;
  });
}
