/** How good the model was at each step: what stands along the bottom of quality against score. */
import { fetchProbe, fetchSeries, type Probe, type Series } from "../api";
import { mean, type Track } from "./curves";
import { keyOf, type Source } from "./load";
import type { Good } from "./measures";
import { infoOf } from "./model";

/** A score: "right", "output", or the tag of an importance, whose score is of many rows. */
export interface Score {
  key: string;
  name: string;
  good: Good;
}

const LOSSES = /loss|error|entropy|mse|mae|rmse|deviance|perplexity/i;
const SCORES = /accuracy|auc|r2|r²|precision|recall|f1|score|correlation/i;

/** Which way a metric is good, by its name; null where the name does not tell. */
export const goodOf = (metric: string): Good => (LOSSES.test(metric) ? "down" : SCORES.test(metric) ? "up" : null);

const track = (run: string, steps: readonly number[], y: Float64Array): Track => ({
  run,
  steps,
  y,
  reference: null,
  stderr: null,
  defined: new Int32Array(steps.length),
  examples: 0,
  why: new Map(),
});

/** Mean explained output over the examples. */
export function outputTrack(run: string, series: Series): Track {
  const tensor = series.arrays.get("output");
  const n = tensor?.shape[1] ?? 0;
  const rows = (_: number, i: number): number =>
    mean(Array.from(tensor?.data.subarray(i * n, (i + 1) * n) ?? []).filter(Number.isFinite));
  return track(run, Array.from(series.steps), series.steps.map(rows));
}

/** Share of the examples whose predicted class is their label. */
export function rightTrack(run: string, series: Series, probe: Probe): Track | null {
  const predicted = series.arrays.get("predicted");
  const labels = probe.labels_are_classes ? probe.labels?.data : undefined;
  const n = predicted?.shape[1] ?? 0;
  if (!predicted || !labels || !n) return null;
  const rows = (_: number, i: number): number => {
    const known = Array.from(predicted.data.subarray(i * n, (i + 1) * n), (of, at) => [of, labels[at]] as const);
    const told = known.filter(([of]) => of >= 0);
    return told.length ? told.filter(([of, label]) => of === label).length / told.length : Number.NaN;
  };
  return track(run, Array.from(series.steps), series.steps.map(rows));
}

/** The probe set of a source without its pictures' detail: for names and labels. */
export const probeOf = async (source: Source, signal: AbortSignal): Promise<Probe | null> => {
  const set = infoOf(source)?.probe;
  return set ? fetchProbe(source.run, set, null, 1, signal).catch(() => null) : null;
};

/** A score of every source, by its key; sources that have none are left out. */
export async function scoresOf(
  key: string,
  sources: readonly Source[],
  series: ReadonlyMap<string, Series>,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Track>> {
  const found = new Map<string, Track>();
  const asked = new Map<string, Promise<Series | Probe | null>>();
  const once = <T extends Series | Probe | null>(name: string, load: () => Promise<T>): Promise<T> => {
    const known = (asked.get(name) ?? load()) as Promise<T>;
    asked.set(name, known);
    return known;
  };
  await Promise.all(
    sources.map(async (source) => {
      const own = series.get(keyOf(source));
      let made: Track | null = null;
      if (!own) return;
      if (key === "output") made = outputTrack(source.run, own);
      else if (key === "right") {
        const probe = await once(JSON.stringify([source.run, infoOf(source)?.probe]), () => probeOf(source, signal));
        made = probe && rightTrack(source.run, own, probe);
      } else if (infoOf({ run: source.run, tag: key })) {
        const answer = await once(source.run, () =>
          fetchSeries(source.run, key, signal, { figure: "score" }).catch(() => null),
        );
        const values = answer?.arrays.get("score")?.data;
        made = answer && values ? track(source.run, Array.from(answer.steps), Float64Array.from(values)) : null;
      }
      if (made?.y.some(Number.isFinite)) found.set(keyOf(source), made);
    }),
  );
  return found;
}
