/** Brings the health of several runs. */
import { fetchSeries, type RunInfo, type Series, type TagInfo } from "../api";
import type { Tensor } from "../safetensors";
import { MEASURES } from "./measures";
import { healthOf, type Health } from "./model";

/** Bytes of one answer that the server still sends. */
const ANSWER = 15 * 2 ** 20;

async function load(run: string, info: TagInfo, signal: AbortSignal): Promise<Health> {
  const size = 4 * info.steps.length * (info.layers ?? 1) * MEASURES.length;
  if (size < ANSWER) return healthOf(run, info.name, await fetchSeries(run, info.name, signal));
  const arrays = new Map<string, Tensor>();
  let answer: Series | null = null;
  for (const { key } of MEASURES) {
    answer = await fetchSeries(run, info.name, signal, { figure: key });
    for (const [name, array] of answer.arrays) arrays.set(name, array);
  }
  // Only what was checked has it, and only its first step.
  const checked = await fetchSeries(run, info.name, signal, { figure: "gradient_check" }).catch(() => null);
  for (const [name, array] of checked?.arrays ?? []) arrays.set(name, array);
  if (!answer) throw new Error("There must be measures.");
  return healthOf(run, info.name, { ...answer, arrays });
}

export interface Loaded {
  all: Health[];
  /** runs that could not be read, with the reason */
  lost: { run: string; reason: string }[];
}

/** The same tag of several runs; fails only when none could be read. */
export async function loadAll(runs: readonly RunInfo[], tag: string, signal: AbortSignal): Promise<Loaded> {
  const wanted = runs.flatMap((run) =>
    run.tags.filter((one) => one.name === tag).map((info) => ({ run: run.name, info })),
  );
  const answers = await Promise.allSettled(wanted.map(({ run, info }) => load(run, info, signal)));
  const out: Loaded = { all: [], lost: [] };
  answers.forEach((answer, i) => {
    const run = wanted[i]?.run ?? "";
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
