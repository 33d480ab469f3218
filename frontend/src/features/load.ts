/** Brings the series of several runs, kept for when they are wanted again, in parts when they are large. */
import { fetchSeries, type RunInfo, type Series as Answer, type TagInfo } from "../api";
import type { Tensor } from "../safetensors";
import { ALONE, seriesOf, type Series } from "./series";

/** Bytes of float64 on the server that one answer may hold, with room for the axes. */
const ANSWER = 15 * 2 ** 20;
const FIGURES = { importance: ["mean", "low", "high"], attribution: ["mean_abs", "mean_abs_low", "mean_abs_high"] };

/** How many features a tag has, as the index tells. */
export const width = (info: TagInfo): number =>
  info.features ?? Math.max(1, ...(info.inputs ?? []).map((input) => input.shape.reduce((a, b) => a * b, 1)));

/** Columns in groups that fit into one answer each. */
export function groups(steps: number, features: number, limit = ANSWER): number[][] {
  const each = Math.max(1, Math.floor(limit / (8 * Math.max(1, steps))));
  return Array.from({ length: Math.ceil(features / each) }, (_, g) =>
    Array.from({ length: Math.min(each, features - g * each) }, (__, i) => g * each + i),
  );
}

/** Puts the columns of a group at their place in a row-major (t, d) array. */
export function place(into: Float32Array, d: number, columns: readonly number[], part: Tensor | undefined): void {
  const from = columns[0] ?? 0;
  const w = part?.shape[1] ?? 0;
  const rows = part?.shape[0] ?? 0;
  for (let t = 0; t < rows; t++) for (let i = 0; i < w; i++) into[t * d + from + i] = part?.data[t * w + i] as number;
}

/** The whole answer at once, or figure by figure and group by group when it would be larger than the server sends. */
async function fetchWhole(run: string, info: TagInfo, signal: AbortSignal): Promise<Answer> {
  const importance = info.kind === "importance";
  const d = width(info);
  if (info.steps.length * d * 8 * 4 < ANSWER) return fetchSeries(run, info.name, signal);
  const first = await fetchSeries(run, info.name, signal, { figure: importance ? "score" : "output" });
  const t = first.steps.length;
  const arrays = new Map(first.arrays);
  const names: string[] = [];
  for (const figure of FIGURES[importance ? "importance" : "attribution"]) {
    const data = new Float32Array(t * d).fill(NaN);
    for (const columns of groups(t, d)) {
      const part = await fetchSeries(run, info.name, signal, { figure, columns });
      place(data, d, columns, part.arrays.get(figure));
      part.names?.forEach((name, i) => (names[(columns[0] ?? 0) + i] = name));
    }
    arrays.set(figure, { shape: [t, d], data });
  }
  // what needs no model stands at the first step alone
  if (importance && info.steps[0] !== undefined) {
    const start = await fetchSeries(run, info.name, signal, { step: info.steps[0] });
    for (const name of ALONE) {
      const tensor = start.arrays.get(name);
      if (tensor) arrays.set(name, tensor);
    }
  }
  return { ...first, names: names.length ? names : null, arrays };
}

/** Answers that were used lately, so that a run switched off and on again costs no request. */
const kept = new Map<string, Series | null>();
const KEEP = 24;

export const versionOf = (info: TagInfo): string =>
  `${info.steps.length}/${info.wall_times.at(-1) ?? ""}/${info.probe ?? ""}`;

async function load(run: string, info: TagInfo, signal: AbortSignal): Promise<Series | null> {
  const key = JSON.stringify([run, info.name, versionOf(info)]);
  const held = kept.get(key);
  const series = held === undefined ? seriesOf(run, info, await fetchWhole(run, info, signal)) : held;
  kept.delete(key);
  kept.set(key, series);
  for (const old of [...kept.keys()].slice(0, Math.max(0, kept.size - KEEP))) kept.delete(old);
  return series;
}

export interface Loaded {
  series: Series[];
  /** runs whose answer failed or has no features, with the reason */
  lost: { run: string; reason: string }[];
}

/** The same tag of several runs; fails only when nothing at all could be read. */
export async function loadAll(runs: readonly RunInfo[], tag: string, signal: AbortSignal): Promise<Loaded> {
  const wanted = runs.flatMap((run) => {
    const info = run.tags.find((one) => one.name === tag);
    return info ? [{ run: run.name, info }] : [];
  });
  const answers = await Promise.allSettled(wanted.map(({ run, info }) => load(run, info, signal)));
  const out: Loaded = { series: [], lost: [] };
  answers.forEach((answer, i) => {
    const run = wanted[i]?.run ?? "";
    if (answer.status === "rejected") out.lost.push({ run, reason: String((answer.reason as Error).message) });
    else if (answer.value) out.series.push(answer.value);
    else out.lost.push({ run, reason: "has no figures per feature" });
  });
  const [first] = out.lost;
  if (!out.series.length && first) throw new Error(first.reason);
  return out;
}
