import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { fetchProbe, fetchSeries, type Probe } from "../api";
import { Failed, useRequest } from "../async";
import { limits } from "../colour";
import { logged, moveTo, playing, run, step, tag } from "../state";
import { Grid } from "./grid";
import { Inspect } from "./inspect";
import type { Grey } from "./paint";
import { columnOf, columnsOf, familyOf, inputOf, layOut, sidesOf, type Column, type Room } from "./screen";
import * as settings from "./settings";
import { arrivals, BLOCK, cancel, failure, find, peakIn, want, type Found } from "./store";
import { Display, Legend } from "./toolbar";
import { adopt } from "../style";
import css from "./maps.css?inline";

adopt(css);

/** Bytes of maps that are fetched ahead of the cursor. */
const AHEAD = 6_000_000;

function useRoom(): [{ current: HTMLDivElement | null }, Room | null] {
  const area = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState<Room | null>(null);
  useLayoutEffect(() => {
    const node = area.current;
    if (!node) return;
    const measure = (): void => {
      const { clientWidth: width, clientHeight: height } = node;
      // a tab that TensorBoard hides has no size: keep the last one
      if (width > 0 && height > 0)
        setRoom((old) => (old?.width === width && old.height === height ? old : { width, height }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(node);
    return () => observer.disconnect();
  }, []);
  return [area, room];
}

/** The grey pictures of a probe set, cut into examples once. */
function greysOf(probe: Probe | null): Grey[] {
  if (!probe?.picture) return [];
  const [n = 0, height = 1, width = 1, channels = 1] = probe.picture.shape;
  const { data } = probe.picture;
  return Array.from({ length: n }, (_, example) => {
    const bytes = new Uint8Array(height * width);
    for (let at = 0; at < bytes.length; at++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += data[(example * height * width + at) * channels + c] ?? 0;
      bytes[at] = Math.round(sum / channels);
    }
    return { bytes, height, width };
  });
}

/** The steps that may be looked at next: all when they are few bytes, else those after the cursor. */
function aheadOf(count: number, at: number, bytes: number, on: boolean): number[] {
  const affordable = Math.floor(AHEAD / Math.max(1, bytes));
  if (count <= affordable) return Array.from({ length: count }, (_, one) => one);
  const reach = Math.min(on ? 8 : 2, affordable);
  return Array.from({ length: 2 * reach + 1 }, (_, one) => at - (on ? 0 : reach) + one).filter(
    (one) => one >= 0 && one < count,
  );
}

export function Page(): JSX.Element {
  const [area, room] = useRoom();
  const [range, setRange] = useState<{ columns: readonly [number, number]; rows: readonly [number, number] } | null>(
    null,
  );
  const [attempt, setAttempt] = useState(0);
  const theTag = tag.value;
  const theRun = run.value?.name ?? "";
  void arrivals.value;

  const input = theTag ? inputOf(theTag, settings.input.value) : null;
  const [height, width] = sidesOf(input);
  const bars = height === 1;
  const all = settings.columns.value === "all";
  const signed = settings.signed.value;
  const ratio = window.devicePixelRatio || 1;
  const wished = settings.CELL[settings.cellSize.value];
  const layout =
    room && theTag ? layOut(room, wished, logged.value.steps.length, all, bars ? 0.55 : height / width) : null;

  const columnsKey = JSON.stringify([
    logged.value.steps,
    theTag?.wall_times,
    all ? null : step.value,
    layout?.fits,
    all,
  ]);
  const columns = useMemo<Column[]>(
    () => (theTag && layout ? columnsOf(theTag, logged.value, step.value, layout.fits, all) : []),
    [columnsKey],
  );
  const cell = Math.max(layout?.box.width ?? 0, layout?.box.height ?? 0);
  const family = theTag ? familyOf(theRun, theTag, input, signed, cell, ratio) : null;
  const familyKey = JSON.stringify(family);

  const stamp = `${theTag?.wall_times.at(-1) ?? ""} ${theTag?.steps.length ?? 0}`;
  const series = useRequest(theTag && JSON.stringify([theRun, theTag.name, stamp]), (signal) =>
    fetchSeries(theRun, theTag?.name ?? "", signal),
  );
  const size = family?.size ?? null;
  const pictured = input?.of ?? family?.input ?? null;
  const probe = useRequest(
    theTag?.probe && layout ? JSON.stringify([theRun, theTag.probe, pictured, size]) : null,
    (signal) => fetchProbe(theRun, theTag?.probe ?? "", pictured, size, signal),
  );
  const theProbe = probe.state === "ready" ? probe.value : probe.last;
  const theSeries = series.state === "ready" ? series.value : series.last;
  const greys = useMemo(() => greysOf(theProbe), [theProbe]);

  const [from, to] = all ? (range?.columns ?? [0, layout?.fits ?? 1]) : [0, columns.length];
  const shown = columns.slice(from, to);
  const now = shown.filter((c) => c.logged);
  const [firstRow, endRow] = range?.rows ?? [0, 1];
  const blocks = [Math.floor(firstRow / BLOCK), Math.floor(Math.max(0, endRow - 1) / BLOCK)];
  const cursorAt = logged.value.steps.indexOf(step.value ?? Number.NaN);
  const nowKey = JSON.stringify([now.map((c) => [c.step, c.wall]), blocks]);
  const here = family !== null && now.every((c) => typeof find(family, c, firstRow) === "object");
  useEffect(() => {
    if (!family || !theTag || !now.length) return;
    const bytes = family.bytes * Math.min(BLOCK, family.examples);
    const soon = here ? aheadOf(logged.value.steps.length, cursorAt, bytes, playing.value) : [];
    want(
      family,
      [...new Set(blocks)],
      now,
      soon.map((at) => columnOf(theTag, logged.value, at)).filter((c) => c.logged),
    );
  }, [familyKey, nowKey, attempt, here, here ? cursorAt : null, stamp]);
  useEffect(() => cancel, []);

  if (!theTag) return <></>;
  const examples = theTag.examples ?? 0;
  const found = (column: Column, example: number): Found =>
    column.logged && family ? find(family, column, example) : "absent";
  const peaks = Array.from({ length: examples }, (_, one) => columns.map((c) => peakIn(found(c, one))));
  const ends = limits(peaks, settings.scale.value);
  const known = ends.flat().filter((limit) => limit > 0);
  const reach = known.length ? ([Math.min(...known), Math.max(...known)] as const) : null;
  const missing = shown.flatMap((c) => {
    const first = found(c, firstRow);
    if (first === "absent") return [[c.step, `not logged by ${theTag.name}`] as const];
    return typeof first === "object" && "missing" in first ? [[c.step, first.missing] as const] : [];
  });
  const retry = (): void => {
    failure.value = null;
    setAttempt(attempt + 1);
  };
  return (
    <>
      <div class="tools">
        <Legend ends={reach} bars={bars} />
        <Display image={!bars} inputs={(theTag.inputs ?? []).map((one) => one.name)} />
      </div>
      {failure.value && <Failed what="Some maps" error={failure.value} retry={retry} />}
      {series.state === "failed" && <Failed what="Predictions and figures" error={series.error} retry={series.retry} />}
      {probe.state === "failed" && <Failed what="The examples" error={probe.error} retry={probe.retry} />}
      {missing.length > 0 && (
        <details class="notice">
          <summary>
            {missing.length === 1 ? "A step has" : `${missing.length} steps have`} no maps:{" "}
            {missing.map(([at]) => at).join(", ")}
          </summary>
          <ul>
            {missing.map(([at, reason]) => (
              <li key={at}>
                step {at}: {reason}
              </li>
            ))}
          </ul>
        </details>
      )}
      <div class="grid-area" ref={area}>
        {room && layout && family && (
          <Grid
            room={room}
            layout={layout}
            columns={columns}
            cursor={step.value}
            examples={examples}
            found={found}
            peaks={peaks}
            ends={ends}
            look={settings.look.value}
            bars={bars}
            grey={(example) => greys[example] ?? null}
            series={theSeries}
            probe={theProbe}
            onRange={(c, r) => setRange({ columns: c, rows: r })}
            onInspect={(example, at) => {
              moveTo(at);
              settings.inspected.value = String(example);
            }}
          />
        )}
      </div>
      {settings.inspected.value !== "" && family && (
        <Inspect
          family={family}
          tag={theTag}
          example={Math.min(examples - 1, Number(settings.inspected.value))}
          examples={examples}
          bars={bars}
          probe={theProbe}
          series={theSeries}
          grey={greys[Number(settings.inspected.value)] ?? null}
        />
      )}
    </>
  );
}
