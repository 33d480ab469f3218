/** The Quality view: can these explanations be trusted, and how do they move? */
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import type { Series } from "../api";
import { Ready, useRequest } from "../async";
import { useTheme } from "../features/chart";
import { run, runs, showRun, showTag, shownRuns, step, tag } from "../state";
import { adopt } from "../style";
import { Cards, type Known } from "./cards";
import { curveOf, driftTrack, figureTrack } from "./curves";
import { pictureOf } from "./draw";
import { Examples } from "./examples";
import { useQualityExport } from "./export";
import { Focus, Stroke } from "./focus";
import { keyOf, loadAll, useDrifts, versionIn, type Drifts, type Loaded } from "./load";
import {
  DRIFT_MEASURES,
  DRIFT_WORDS,
  driftMeasures,
  FIGURES,
  maskMeasures,
  type Against,
  type DriftMeasure,
  type Measure,
} from "./measures";
import {
  chosen,
  compares,
  driftBy,
  everyone,
  leader,
  line,
  otherWish,
  peer,
  peers,
  pinned,
  sources,
  who,
} from "./model";
import { ScatterPanel } from "./scatter";
import { Tools } from "./tools";
import css from "./quality.css?inline";

adopt(css);

/** Figures of all lines as one picture, and who has none. */
function knownFigure(measure: Measure, series: ReadonlyMap<string, Series>): Known {
  const absent: Known["absent"][number][] = [];
  const curves = who.value.flatMap((one) => {
    const own = one.runs.flatMap((name) => series.get(keyOf({ run: name, tag: one.tag })) ?? []);
    const tracks = one.runs.flatMap((name) => {
      const found = series.get(keyOf({ run: name, tag: one.tag }));
      return (found && figureTrack(name, found, measure)) ?? [];
    });
    const curve = curveOf(one, tracks);
    const reason = own.map(({ reasons }) => reasons?.[measure.figure ?? ""]).find(Boolean) ?? "";
    if (curve?.y.some(Number.isFinite)) return [curve];
    absent.push({ label: one.label, reason: reason || (curve ? "It is undefined at every step." : "") });
    return [];
  });
  const name = measure.figure ?? "";
  const turns = [...series.values()].find((one) => one.unmeasured?.[name]?.length)?.reasons?.[name];
  const note = curves.length && turns ? { note: turns } : {};
  return { measure, picture: pictureOf(measure, curves, line.value), absent, pending: 0, ...note };
}

function knownDrift(measure: Measure, { found, lost, pending }: Drifts, other: string): Known {
  const absent: Known["absent"][number][] = [];
  const curves = who.value.flatMap((one) => {
    const tracks = one.runs.flatMap((name) => {
      const own = found.get(keyOf({ run: name, tag: one.tag }));
      return own ? [driftTrack(name, own, measure)] : [];
    });
    const curve = curveOf(one, tracks);
    if (curve?.y.some(Number.isFinite)) return [curve];
    if (measure.drift === "other" && one.tag === other) return [];
    const error = one.runs.map((name) => lost.get(keyOf({ run: name, tag: one.tag }))).find(Boolean);
    const why = curve?.tracks.flatMap((each) => [...each.why.values()]).at(-1);
    if (error ?? why) absent.push({ label: one.label, reason: error ?? why ?? "" });
    return [];
  });
  return { measure, picture: pictureOf(measure, curves, line.value), absent, pending };
}

/** Which kinds of drift someone has looked at: none is computed before. */
type Seen = ReadonlySet<Against>;

function useDriftMeasures(seen: Seen): { all: Known[]; drifts: ReadonlyMap<string, Drifts>; retry: () => void } {
  const [again, setAgain] = useState(0);
  const methods = [...new Set(sources.value.map((one) => one.tag))];
  const other = methods.length > 1 ? (tag.value?.name ?? "") : (peer.value ?? "");
  const pin = pinned.value === "" ? null : Number(pinned.value);
  const theme = useTheme();
  const measures = driftMeasures(pinned.value, other).filter((one) => one.drift !== "other" || other);
  const of = (drift: Against): Drifts => {
    const wanted = seen.has(drift) && (drift !== "other" || other) ? sources.value : [];
    return useDrifts(runs.value, wanted, { measure: driftBy.value, drift, pin, other }, again);
  };
  const drifts = new Map<Against, Drifts>([
    ["previous", of("previous")],
    ["first", of("first")],
    ["pin", of("pin")],
    ["other", of("other")],
  ]);
  const found = [...drifts.values()];
  const all = useMemo(
    () => measures.map((one) => knownDrift(one, drifts.get(one.drift as Against) as Drifts, other)),
    [...found, who.value, line.value, other, pinned.value, theme],
  );
  return { all, drifts, retry: () => setAgain((n) => n + 1) };
}

/** The keys of the drawn lines: a click chooses the method or the run in focus. */
function Legend(): JSX.Element {
  return (
    <ul class="ql-legend" aria-label="Lines">
      {who.value.map((one) => (
        <li key={one.id}>
          <button
            type="button"
            class="quiet"
            aria-pressed={leader.value?.id === one.id}
            title={`${one.tag} of ${one.runs.join(", ")}: examples and best steps are of this line`}
            onClick={() => {
              showTag(one.tag);
              if (!one.runs.includes(run.value?.name ?? "") && one.runs[0]) showRun(one.runs[0]);
            }}
          >
            <Stroke of={one} /> {one.label}
          </button>
        </li>
      ))}
      {everyone.value.length > who.value.length && (
        <li class="dim">and {everyone.value.length - who.value.length} more that are not drawn</li>
      )}
    </ul>
  );
}

function Pin(): JSX.Element {
  return (
    <p class="ql-pin">
      <button type="button" disabled={step.value === null} onClick={() => (pinned.value = String(step.value))}>
        Pin step {step.value}
      </button>
      {pinned.value !== "" && (
        <button type="button" onClick={() => (pinned.value = "")}>
          Unpin
        </button>
      )}
    </p>
  );
}

/** Runs are compared with another method of theirs: which one. */
function Other(): JSX.Element | null {
  if (compares.value === "methods" || peers.value.length < 2) return null;
  return (
    <label class="pick">
      <span>with</span>
      <select value={peer.value ?? ""} onChange={(event) => (otherWish.value = event.currentTarget.value)}>
        {peers.value.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
    </label>
  );
}

function DriftBy(): JSX.Element {
  return (
    <label class="pick">
      <span>by</span>
      <select value={driftBy.value} onChange={(event) => (driftBy.value = event.currentTarget.value as DriftMeasure)}>
        {DRIFT_MEASURES.map((one) => (
          <option key={one} value={one}>
            {DRIFT_WORDS[one]}
          </option>
        ))}
      </select>
    </label>
  );
}

function Panels({ loaded, version }: { loaded: Loaded; version: string }): JSX.Element {
  const theme = useTheme();
  const [seen, setSeen] = useState<Seen>(new Set());
  const { series, lost } = loaded;
  const figures = useMemo(() => {
    const names = [...series.values()].flatMap((one) => [...one.arrays.keys()]);
    const masks = Object.assign({}, ...[...series.values()].map((one) => one.masks)) as NonNullable<Series["masks"]>;
    return [...FIGURES, ...maskMeasures(names, masks)].map((one) => knownFigure(one, series));
  }, [series, who.value, line.value]);
  const { all: moving, drifts, retry } = useDriftMeasures(seen);
  const all = [...figures, ...moving];
  const known =
    all.find((one) => one.measure.key === chosen.value) ??
    figures.find((one) => one.picture.curves.length) ??
    (moving[0] as Known);
  const see = (against: Against): void => setSeen((now) => (now.has(against) ? now : new Set([...now, against])));
  useQualityExport(known, all);
  const drift = known.measure.drift;
  useEffect(() => {
    if (drift) see(drift);
  }, [drift]);
  const own = leader.value;
  const source = own && { run: own.runs.find((one) => one === run.value?.name) ?? own.runs[0] ?? "", tag: own.tag };
  const failed = [...drifts.values()].some((one) => one.lost.size > 0);
  return (
    <div class="ql">
      <Tools />
      <Legend />
      {lost.map((one) => (
        <p class="notice" key={keyOf(one)}>
          {one.tag} of run “{one.run}” is not shown: {one.reason}
        </p>
      ))}
      {failed && (
        <p class="notice" role="status">
          Some drift could not be computed.
          <button type="button" onClick={retry}>
            Retry
          </button>
        </p>
      )}
      <div class="ql-top">
        <Focus known={known} theme={theme} />
        <ScatterPanel known={known} series={series} version={version} theme={theme} />
      </div>
      {source && (
        <details class="ql-examples">
          <summary>Single examples of {own.label}</summary>
          <Examples
            source={source}
            measure={known.measure}
            series={series.get(keyOf(source)) ?? null}
            drift={(drift && drifts.get(drift)?.found.get(keyOf(source))) ?? null}
          />
        </details>
      )}
      <Cards
        all={all}
        theme={theme}
        current={known.measure.key}
        see={see}
        by={<DriftBy />}
        pin={<Pin />}
        other={<Other />}
      />
    </div>
  );
}

export function Page(): JSX.Element {
  const wanted = sources.value;
  const version = JSON.stringify(wanted.map((one) => [keyOf(one), versionIn(runs.value, one)]));
  const loaded = useRequest(wanted.length ? version : null, (signal) => loadAll(runs.value, wanted, signal));
  if (!shownRuns.value.length) return <p class="state">No run is chosen. Choose one or more under “Runs”.</p>;
  if (!wanted.length) return <p class="state">The chosen runs have no explanations to judge.</p>;
  return (
    <Ready of={loaded} what="The quality of explanations">
      {(value) => <Panels loaded={value} version={version} />}
    </Ready>
  );
}
