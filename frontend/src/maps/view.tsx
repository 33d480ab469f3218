import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { fetchProbe, fetchSeries, type Series } from "../api";
import { Failed, useRequest } from "../async";
import { useExport } from "../export";
import { logged, moveTo, run, runs, showRun, showTag, shownRuns, step, tag } from "../state";
import { adopt } from "../style";
import { Grid } from "./grid";
import { Inspected, Panel, panels, useLazyPanels } from "./lazy";
import { Legend } from "./legend";
import css from "./maps.css?inline";
import { undersOf } from "./pictures";
import { showAllRows } from "./rows";
import { useRows } from "./rows_state";
import { scalesOf, sharing } from "./scales";
import { askedSize, inputOf, kindOf, layOut, sidesOf, type Room } from "./screen";
import * as settings from "./settings";
import { columnsOf, countOf, peersOf, see, sourcesOf, strangersOf, type Column, type Scene } from "./sources";
import { arrivals, BLOCK, blocksOf, cancel, failure, want, type Found, type Source } from "./store";
import { toggleDifference, Toolbar } from "./toolbar";

adopt(css);

/** Bytes of maps that are fetched ahead of the cursor. */
const AHEAD = 8_000_000;
/** Milliseconds after which the rows above and below are fetched. */
const RESTS = 200;

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

/**
 * The steps that may be looked at next, in three parts of which the cursor is in the middle one: something is asked for
 * only when it leaves that one. All, when they are few bytes.
 */
function aheadOf(count: number, at: number, bytes: number): number[] {
  const affordable = Math.floor(AHEAD / Math.max(1, bytes));
  if (affordable < 1) return [];
  const part = count <= affordable ? count : Math.max(1, Math.floor(affordable / 3));
  const from = Math.max(0, (Math.floor(at / part) - 1) * part);
  return Array.from({ length: Math.min(count - from, 3 * part) }, (_, one) => from + one);
}

/** "d" compares with the step of the cursor, and stops. */
function useDifferenceKey(): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent): void => {
      const busy = event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey;
      const field =
        event.target instanceof Element && event.target.closest("dialog, select, textarea, input:not([type=range])");
      if (event.key.toLowerCase() !== "d" || busy || field) return;
      toggleDifference();
      event.preventDefault();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}

/** Figures of the same method in several runs; a run whose figures cannot be read goes without. */
async function figuresOfRuns(names: readonly string[], of: string, signal: AbortSignal): Promise<Map<string, Series>> {
  const all = await Promise.all(
    names.map(async (name) => {
      const made = await fetchSeries(name, of, signal).catch(() => null);
      return made ? ([[name, made]] as const) : [];
    }),
  );
  return new Map(all.flat());
}

export function Page(): JSX.Element {
  const [area, room] = useRoom();
  const [range, setRange] = useState<{ columns: readonly [number, number]; rows: readonly [number, number] } | null>(
    null,
  );
  const [attempt, setAttempt] = useState(0);
  useDifferenceKey();
  const theTag = tag.value;
  const theRun = run.value;
  void arrivals.value;

  const input = theTag ? inputOf(theTag, settings.input.value) : null;
  const [height, width] = sidesOf(input);
  const by = settings.by.value;
  const all = by !== "steps" || settings.columns.value === "all";
  const ratio = window.devicePixelRatio || 1;
  const sceneIn = (cell: number): Scene | null =>
    theTag &&
    theRun && {
      by,
      run: theRun,
      tag: theTag,
      runs: shownRuns.value,
      logged: logged.value,
      step: step.value,
      minus: settings.minus.value,
      input: settings.input.value,
      showsSigns: settings.showsSigns,
      cell,
      ratio,
    };
  const count = sceneIn(0) ? countOf(sceneIn(0) as Scene) : 0;
  const aspect = kindOf(input) === "image" ? height / width : 0.55;
  const layout = room && layOut(room, settings.CELL[settings.cellSize.value], count, all, aspect);
  const scene = layout && sceneIn(Math.max(layout.box.width, layout.box.height));
  const made = scene ? columnsOf(scene, layout.fits, all, runs.value) : [];
  const columns = useMemo(() => made, [JSON.stringify(made.map((one) => ({ ...one, tag: one.tag.name })))]);

  const stamp = `${theTag?.wall_times.at(-1) ?? ""} ${theTag?.steps.length ?? 0}`;
  const series = useRequest(theTag && theRun && JSON.stringify([theRun.name, theTag.name, stamp]), (signal) =>
    fetchSeries(theRun?.name ?? "", theTag?.name ?? "", signal),
  );
  const names = by === "runs" ? shownRuns.value.map(({ name }) => name) : [];
  const others = useRequest(names.length ? JSON.stringify([names, theTag?.name, stamp]) : null, (signal) =>
    figuresOfRuns(names, theTag?.name ?? "", signal),
  );
  const family = columns.find(({ current }) => current)?.place.source?.family;
  const pictured = input?.of ?? family?.input ?? ((theTag?.inputs?.length ?? 0) > 1 ? (input?.name ?? null) : null);
  const size = scene && kindOf(input) === "image" ? askedSize(Infinity, scene.cell, ratio) : null;
  const probe = useRequest(
    theTag?.probe && layout ? JSON.stringify([theRun?.name, theTag.probe, pictured, size]) : null,
    (signal) => fetchProbe(theRun?.name ?? "", theTag?.probe ?? "", pictured, size, signal),
  );
  const theProbe = probe.state === "ready" ? probe.value : probe.last;
  const theSeries = series.state === "ready" ? series.value : series.last;
  const runSeries = others.state === "ready" ? others.value : others.last;
  const under = useMemo(() => undersOf(theProbe), [theProbe]);
  const rows = useRows(theRun?.name ?? "", theTag, theSeries, theProbe, step.value ?? 0, stamp);
  const { order } = rows;

  const [from, to] = all ? (range?.columns ?? [0, layout?.fits ?? 1]) : [0, columns.length];
  const shown = columns.slice(from, to);
  const now = shown.flatMap(sourcesOf);
  const [firstRow, endRow] = range?.rows ?? [0, 1];
  const examples = theTag?.examples ?? 0;
  const drawn = blocksOf(order.slice(firstRow, endRow));
  const blocks = settings.scale.value === "shared" ? sharing(drawn, examples) : drawn;
  const around = blocksOf(order.slice(Math.max(0, firstRow - BLOCK), endRow + BLOCK));
  const cursorAt = logged.value.steps.indexOf(step.value ?? Number.NaN);
  const nowKey = JSON.stringify([now, blocks, around]);
  const first = order[firstRow] ?? 0;
  const here = now.length > 0 && shown.every((column) => typeof see(column, first) === "object");
  useEffect(() => {
    if (!scene || !now.length) return cancel();
    const seen = { sources: now, blocks };
    if (!here) return want(seen);
    const bytes = now.reduce((sum, { family }) => sum + family.bytes * Math.min(BLOCK * blocks.length, examples), 0);
    const next = aheadOf(logged.value.steps.length, cursorAt, by === "steps" ? bytes / now.length : bytes);
    const sources = next.flatMap((at): Source[] =>
      columnsOf({ ...scene, step: logged.value.steps[at] ?? null }, 1, by !== "steps", runs.value).flatMap(sourcesOf),
    );
    const ahead = { sources, blocks };
    want(seen, ahead);
    const timer = setTimeout(() => want(seen, ahead, { sources: now, blocks: around }), RESTS);
    return () => clearTimeout(timer);
  }, [nowKey, attempt, here, here ? cursorAt : null, stamp, by]);
  useEffect(() => cancel, []);

  const looks = settings.looks.value;
  const look = (column: Column) => (column.minus ? looks.difference : column.signed ? looks.signed : looks.plain);
  const found = Array.from({ length: examples }, (_, example) =>
    blocks.includes(Math.floor(example / BLOCK)) ? columns.map((column): Found => see(column, example)) : [],
  );
  const share = Number(settings.clip.value) / 100;
  const scales = scalesOf(found, columns, by, settings.scale.value, share, look);
  useLazyPanels(here);
  useExport(() => {
    const all = {
      run: theRun?.name ?? "",
      tag: theTag,
      by,
      columns,
      order,
      found,
      scales,
      look,
      under,
      probe: theProbe,
      layout,
    };
    const name = `${all.run} ${theTag?.name ?? ""}`;
    return panels.code.value?.exportOf({ ...all, range: [firstRow, endRow] }) ?? { name, title: "Maps", lines: [] };
  });

  if (!theTag || !theRun) return <></>;
  const missing = [
    ...(scene ? strangersOf(scene) : []),
    ...shown.flatMap((column, at): [string, string][] => {
      const one = found[first]?.[from + at];
      return one && typeof one === "object" && "none" in one ? [[column.title, one.reason]] : [];
    }),
  ];
  const retry = (): void => {
    failure.value = null;
    setAttempt(attempt + 1);
  };
  const pick = (column: Column): void => {
    if (by === "methods") showTag(column.tag.name);
    else if (by === "runs") showRun(column.run);
    else moveTo(column.step);
  };
  return (
    <>
      <div class="maps-tools">
        <Legend scales={scales.legend} by={by} />
        <Toolbar
          image={columns.some(({ kind }) => kind === "image")}
          signed={columns.some(({ signed }) => signed)}
          plain={columns.some(({ signed }) => !signed)}
          hasSigns={columns.some(({ tag: one }) => one.signed !== false)}
          inputs={(theTag.inputs ?? []).map((one) => one.name)}
          peers={peersOf(theRun, theTag).length}
          runs={runs.value.filter((one) => one.tags.some(({ name }) => name === theTag.name)).map(({ name }) => name)}
          rows={rows.panel}
        />
      </div>
      {failure.value && <Failed what="Some maps" error={failure.value} retry={retry} />}
      {series.state === "failed" && <Failed what="Predictions and figures" error={series.error} retry={series.retry} />}
      {probe.state === "failed" && <Failed what="The examples" error={probe.error} retry={probe.retry} />}
      {rows.drift.state === "failed" && settings.sort.value === "drift" && (
        <Failed what="How maps move" error={rows.drift.error} retry={rows.drift.retry} />
      )}
      {missing.length > 0 && <Panel>{({ MissingNotice }) => <MissingNotice by={by} missing={missing} />}</Panel>}
      <div class="grid-area" ref={area}>
        {layout && columns.length > 0 && order.length > 0 && (
          <Grid
            room={room}
            layout={layout}
            by={by}
            columns={columns}
            cursor={step.value}
            order={order}
            found={(column, example) => found[example]?.[columns.indexOf(column)] ?? "loading"}
            look={look}
            smooth={settings.smooth.value === "on"}
            strength={scales.strength}
            ends={scales.ends}
            under={under}
            series={theSeries}
            seriesOf={(column) =>
              by === "runs" ? (runSeries?.get(column.run) ?? null) : by === "steps" ? theSeries : null
            }
            probe={theProbe}
            onRange={(c, r) => setRange({ columns: c, rows: r })}
            onPick={pick}
            onInspect={(example, column) => {
              pick(column);
              settings.inspected.value = String(example);
            }}
          />
        )}
        {layout && order.length === 0 && (
          <p class="state">
            No example is left by the filter.{" "}
            <button type="button" onClick={showAllRows}>
              Show all
            </button>
          </p>
        )}
        {layout && columns.length === 0 && <p class="state">No run is chosen. Choose some above, under “Runs”.</p>}
      </div>
      {settings.inspected.value !== "" && (
        <Inspected run={theRun} tag={theTag} order={order} probe={theProbe} series={theSeries} scene={scene} />
      )}
    </>
  );
}
