/** Brings the figures of the methods that are compared, and drift, which the server computes when asked. */
import { useEffect, useState } from "preact/hooks";
import { fetchDrift, fetchSeries, type Drift, type RunInfo, type Series } from "../api";
import { messageOf } from "../async";
import { versionOf } from "./curves";
import type { Against, DriftMeasure } from "./measures";

/** One run and tag. */
export interface Source {
  run: string;
  tag: string;
}

export const keyOf = ({ run, tag }: Source): string => JSON.stringify([run, tag]);

export interface Loaded {
  series: ReadonlyMap<string, Series>;
  /** sources whose answer failed, with the reason */
  lost: readonly (Source & { reason: string })[];
}

const kept = new Map<string, Series>();
const KEEP = 60;
const AT_ONCE = 3;

function keep<T>(cache: Map<string, T>, key: string, value: T, most: number): T {
  cache.delete(key);
  cache.set(key, value);
  for (const old of [...cache.keys()].slice(0, Math.max(0, cache.size - most))) cache.delete(old);
  return value;
}

/** A line in which jobs wait: `most` of them run at once. */
function line(most: number): (job: () => Promise<void>) => Promise<void> {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async (job) => {
    if (running >= most) await new Promise<void>((go) => waiting.push(go));
    else running++;
    try {
      await job();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running--;
    }
  };
}

/** Drift is work for the server: more at once would only make each of them slower. */
const inTurn = line(2);

/** What a source's answer depends on: it changes when something was logged. */
export function versionIn(runs: readonly RunInfo[], { run, tag }: Source): string {
  const info = runs.find((one) => one.name === run)?.tags.find((one) => one.name === tag);
  return info ? versionOf(info) : "";
}

/** The series of some sources; fails only when nothing at all could be read. */
export async function loadAll(
  runs: readonly RunInfo[],
  sources: readonly Source[],
  signal: AbortSignal,
): Promise<Loaded> {
  const series = new Map<string, Series>();
  const lost: (Source & { reason: string })[] = [];
  const atOnce = line(AT_ONCE);
  await Promise.all(
    sources.map((source) =>
      atOnce(async () => {
        const version = `${keyOf(source)} ${versionIn(runs, source)}`;
        try {
          const held = kept.get(version) ?? (await fetchSeries(source.run, source.tag, signal));
          series.set(keyOf(source), keep(kept, version, held, KEEP));
        } catch (error) {
          if (signal.aborted) throw error;
          lost.push({ ...source, reason: messageOf(error) });
        }
      }),
    ),
  );
  const [first] = lost;
  if (!series.size && first) throw new Error(first.reason);
  return { series, lost };
}

const drifts = new Map<string, Drift>();

export interface Drifts {
  found: ReadonlyMap<string, Drift>;
  lost: ReadonlyMap<string, string>;
  pending: number;
}

export interface DriftWanted {
  measure: DriftMeasure;
  drift: Against;
  pin: number | null;
  other: string;
}

/** Drift of some sources, filling up while the answers come; what was shown before stays until its own answer is there. */
export function useDrifts(
  runs: readonly RunInfo[],
  sources: readonly Source[],
  { measure, drift, pin, other }: DriftWanted,
  again: number,
): Drifts {
  const [state, setState] = useState<Drifts & { what: string }>({
    found: new Map(),
    lost: new Map(),
    pending: 0,
    what: "",
  });
  const against = drift === "pin" ? pin : drift;
  const has = ({ run }: Source): boolean => versionIn(runs, { run, tag: other }) !== "";
  const wanted =
    drift === "pin" && pin === null
      ? []
      : drift === "other"
        ? sources.filter((one) => one.tag !== other && has(one))
        : sources;
  const what = JSON.stringify([measure, against, drift === "other" ? other : ""]);
  const versions = wanted.map((source) =>
    JSON.stringify([
      source,
      versionIn(runs, source),
      drift === "other" ? versionIn(runs, { ...source, tag: other }) : "",
    ]),
  );
  useEffect(() => {
    const control = new AbortController();
    const found = new Map<string, Drift>();
    const lost = new Map<string, string>();
    let pending = wanted.length;
    const show = (): void => {
      if (!control.signal.aborted) setState({ found: new Map(found), lost: new Map(lost), pending, what });
    };
    for (const source of wanted) {
      const old = state.what === what ? state.found.get(keyOf(source)) : undefined;
      if (old) found.set(keyOf(source), old);
    }
    show();
    void Promise.all(
      wanted.map((source, i) =>
        inTurn(async () => {
          if (control.signal.aborted) return;
          const cached = `${what} ${versions[i] ?? ""}`;
          try {
            const part = (so_far: Drift): void => {
              found.set(keyOf(source), so_far);
              show();
            };
            const how = drift === "other" ? { other, part } : { against: against ?? "previous", part };
            const answer =
              drifts.get(cached) ?? (await fetchDrift(source.run, source.tag, measure, control.signal, how));
            found.set(keyOf(source), keep(drifts, cached, answer, 200));
          } catch (error) {
            if (control.signal.aborted) throw error;
            lost.set(keyOf(source), messageOf(error));
          }
          pending--;
          show();
        }),
      ),
    ).catch(() => undefined);
    return () => control.abort();
  }, [what, versions.join("\n"), again]);
  return state.what === what ? state : { found: new Map(), lost: new Map(), pending: wanted.length };
}
