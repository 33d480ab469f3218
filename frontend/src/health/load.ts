/** Brings the health of several runs. */
import { fetchSeries, type RunInfo } from "../api";
import { healthOf, type Health } from "./model";

export interface Loaded {
  all: Health[];
  /** runs that could not be read, with the reason */
  lost: { run: string; reason: string }[];
}

/** The same tag of several runs; fails only when none could be read. */
export async function loadAll(runs: readonly RunInfo[], tag: string, signal: AbortSignal): Promise<Loaded> {
  const wanted = runs.filter((run) => run.tags.some((one) => one.name === tag)).map(({ name }) => name);
  const answers = await Promise.allSettled(
    wanted.map(async (run) => healthOf(run, tag, await fetchSeries(run, tag, signal))),
  );
  const out: Loaded = { all: [], lost: [] };
  answers.forEach((answer, i) => {
    const run = wanted[i] ?? "";
    if (answer.status === "fulfilled" && answer.value.layers.length) out.all.push(answer.value);
    else
      out.lost.push({
        run,
        reason: answer.status === "rejected" ? String((answer.reason as Error).message) : "It has no layers.",
      });
  });
  const [first] = out.lost;
  if (!out.all.length && first) throw new Error(first.reason);
  return out;
}

/** |gradient| of one layer over the steps: (t, bins) shares. */
export async function loadHistogram(health: Health, layer: number, signal: AbortSignal): Promise<Float64Array> {
  const answer = await fetchSeries(health.run, health.tag, signal, {
    figure: "gradient_histogram",
    columns: [layer],
  });
  const own = Array.from(answer.steps);
  const found = answer.arrays.get("gradient_histogram");
  const bins = found?.shape[2] ?? 0;
  const out = new Float64Array(health.steps.length * bins).fill(NaN);
  health.steps.forEach((step, t) => {
    const row = own.indexOf(step);
    if (row < 0) return;
    for (let bin = 0; bin < bins; bin++) out[t * bins + bin] = found?.data[row * bins + bin] ?? NaN;
  });
  return out;
}
