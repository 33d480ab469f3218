import type { JSX } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Probe, Series } from "../api";
import { theme } from "../host";
import { Caption, describe } from "./caption";
import { MapFace, type Under } from "./cell";
import { visibleRange } from "./columns";
import { ExampleLabel } from "./label";
import { Head } from "./head";
import type { Look } from "./paint";
import { GAP, type Layout, type Room } from "./screen";
import type { Column, Scene } from "./sources";
import { isMap, type Found } from "./store";
import { useTip } from "./tip";

export interface GridProps {
  room: Room;
  layout: Layout;
  by: Scene["by"];
  columns: readonly Column[];
  cursor: number | null;
  /** the examples that are seen, in their order */
  order: readonly number[];
  found: (column: Column, example: number) => Found;
  look: (column: Column) => Look;
  smooth: boolean;
  /** 0 to 1: how strong a map is beside those it is compared with */
  strength: (example: number, at: number) => number;
  /** end of the colour scale, by example and column */
  ends: readonly (readonly number[])[];
  under: (example: number) => Under;
  /** figures of the selected method; and those behind a column */
  series: Series | null;
  seriesOf: (column: Column) => Series | null;
  probe: Probe | null;
  onRange: (columns: readonly [number, number], rows: readonly [number, number]) => void;
  onPick: (column: Column) => void;
  onInspect: (example: number, column: Column) => void;
}

interface CellProps {
  props: GridProps;
  example: number;
  row: number;
  at: number;
  found: Found;
  /** stands where the keyboard is */
  reached: boolean;
  /** what the columns are, for what is said of the one before */
  steps: string;
}

/** One map with its strength and its caption; made again only when something of it has changed. */
function Cell({ props, example, row, at, found, reached, steps }: CellProps): JSX.Element {
  const { columns, layout, probe, by } = props;
  const column = columns[at] as Column;
  const { width, height } = layout.box;
  const limit = props.ends[example]?.[at] ?? 0;
  const look = props.look(column);
  const under = props.under(example);
  const strength = isMap(found) ? props.strength(example, at) : 0;
  return useMemo(
    () => (
      <div
        role="gridcell"
        class="cell"
        aria-colindex={at + 2}
        aria-label={describe(props, example, at, found)}
        tabIndex={reached ? 0 : -1}
        data-row={row}
        data-at={at}
        style={{ width: `${width}px`, marginRight: `${GAP}px` }}
      >
        <MapFace
          found={found}
          limit={limit}
          look={look}
          under={under}
          box={layout.box}
          kind={column.kind}
          theme={theme.value}
        />
        <div class="strength">
          <i style={{ width: `${100 * strength}%` }} />
        </div>
        <Caption props={props} example={example} at={at} />
      </div>
    ),
    [
      ...[found, limit, look, under, strength, column.kind, width, height, theme.value],
      ...[at, row, reached, steps, by, probe, props.seriesOf(column), example],
    ],
  );
}

const HEAD = 30;

/** Rows are examples; columns are steps, methods or runs. Draws only what the window shows. */
export function Grid(props: GridProps): JSX.Element {
  const { room, layout, columns, order } = props;
  const examples = order.length;
  const scroller = useRef<HTMLDivElement>(null);
  const [place, setPlace] = useState({ x: 0, y: 0 });
  const [focus, setFocus] = useState({
    row: 0,
    at: Math.max(
      0,
      columns.findIndex((c) => c.current),
    ),
    wanted: false,
  });
  const { label, pitch, box } = layout;
  const [firstRow, endRow] = visibleRange(examples, pitch.y, place.y, room.height - HEAD, 1);
  const [first, end] = visibleRange(columns.length, pitch.x, place.x, room.width - label, 1);
  // before it is painted: what the view knows of these rows is drawn with them
  useLayoutEffect(() => props.onRange([first, end], [firstRow, endRow]), [first, end, firstRow, endRow]);

  const row = Math.max(0, Math.min(focus.row, examples - 1));
  const column = Math.max(0, Math.min(focus.at, columns.length - 1));
  useLayoutEffect(() => {
    if (!focus.wanted) return;
    const cell = scroller.current?.querySelector<HTMLElement>(`[data-row="${row}"][data-at="${column}"]`);
    cell?.focus({ preventScroll: true });
    if (cell) setFocus({ row, at: column, wanted: false });
  });

  /** Scrolls just so far that a cell is whole in sight. */
  const reveal = (toRow: number | null, to: number): void => {
    const area = scroller.current;
    if (!area) return;
    const near = (now: number, start: number, size: number, window: number): number =>
      Math.min(start, Math.max(now, start + size - window));
    if (toRow !== null) area.scrollTop = near(area.scrollTop, toRow * pitch.y, pitch.y, room.height - HEAD);
    area.scrollLeft = near(area.scrollLeft, to * pitch.x, pitch.x, area.clientWidth - label);
    setPlace({ x: area.scrollLeft, y: area.scrollTop });
  };
  const mark = columns.findIndex((c) => c.current);
  useLayoutEffect(() => {
    if (mark >= 0 && columns.length * pitch.x > room.width - label) reveal(null, mark);
  }, [mark, columns.length, pitch.x]);

  const go = (toRow: number, to: number): void => {
    const next = { row: Math.min(examples - 1, Math.max(0, toRow)), at: Math.min(columns.length - 1, Math.max(0, to)) };
    reveal(next.row, next.at);
    setFocus({ ...next, wanted: true });
  };

  const cellAt = (target: EventTarget | null): { row: number; at: number; node: HTMLElement } | null => {
    const node = target instanceof Element ? target.closest<HTMLElement>("[data-at]") : null;
    return node ? { row: Number(node.dataset["row"]), at: Number(node.dataset["at"]), node } : null;
  };
  const inspect = (of: { row: number; at: number }): void => {
    const column = columns[of.at];
    const example = order[of.row];
    setFocus({ row: of.row, at: of.at, wanted: false });
    if (column && example !== undefined) props.onInspect(example, column);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const on = cellAt(event.target);
    if (!on || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor((room.height - HEAD) / pitch.y));
    if (event.key === "Enter" || event.key === " ") inspect(on);
    else if (event.key === "ArrowLeft") go(on.row, on.at - 1);
    else if (event.key === "ArrowRight") go(on.row, on.at + 1);
    else if (event.key === "ArrowUp") go(on.row - 1, on.at);
    else if (event.key === "ArrowDown") go(on.row + 1, on.at);
    else if (event.key === "Home") go(on.row, 0);
    else if (event.key === "End") go(on.row, columns.length - 1);
    else if (event.key === "PageUp") go(on.row - page, on.at);
    else if (event.key === "PageDown") go(on.row + page, on.at);
    else return;
    event.preventDefault();
  };
  const tip = useTip((target) => {
    const on = cellAt(target);
    const column = on && columns[on.at];
    if (!on || !column) return null;
    return { found: props.found(column, order[on.row] ?? 0), probe: props.probe, kind: column.kind };
  });

  const shown = columns.slice(first, end);
  const steps = columns.map((c) => `${c.run} ${c.tag.name} ${c.step}`).join("\n");
  const width = label + columns.length * pitch.x;
  return (
    <>
      <div
        ref={scroller}
        class="grid"
        role="grid"
        aria-label={`Maps: examples by ${props.by}`}
        aria-rowcount={examples + 1}
        aria-colcount={columns.length + 1}
        tabIndex={-1}
        onScroll={(event) => setPlace({ x: event.currentTarget.scrollLeft, y: event.currentTarget.scrollTop })}
        onClick={(event) => {
          const on = cellAt(event.target);
          if (on) inspect(on);
        }}
        onKeyDown={onKeyDown}
        {...tip.listeners}
      >
        <div class="grid-head" role="row" aria-rowindex={1} style={{ width: `${width}px`, height: `${HEAD}px` }}>
          <div role="columnheader" class="corner" style={{ width: `${label}px` }}>
            <span>example</span>
            <span>{{ steps: "step", methods: "method", runs: "run" }[props.by]}</span>
          </div>
          <span style={{ width: `${first * pitch.x}px` }} aria-hidden="true" />
          {shown.map((c, at) => (
            <div
              key={first + at}
              role="columnheader"
              aria-colindex={first + at + 2}
              style={{ width: `${box.width}px`, marginRight: `${GAP}px` }}
            >
              <Head column={c} by={props.by} wide={box.width > 86} onPick={props.onPick} />
            </div>
          ))}
        </div>
        <div class="grid-body" role="rowgroup" style={{ width: `${width}px`, height: `${examples * pitch.y}px` }}>
          {mark >= 0 && (
            <div
              class="cursor"
              aria-hidden="true"
              style={{ left: `${label + mark * pitch.x - GAP / 2}px`, width: `${pitch.x}px` }}
            />
          )}
          {order.slice(firstRow, endRow).map((example, offset) => {
            const one = firstRow + offset;
            return (
              <div
                key={example}
                class="grid-row"
                role="row"
                aria-rowindex={one + 2}
                style={{ top: `${one * pitch.y}px`, height: `${pitch.y}px`, width: `${width}px` }}
              >
                <ExampleLabel {...props} example={example} width={label} />
                <span style={{ width: `${first * pitch.x}px`, flex: "none" }} aria-hidden="true" />
                {shown.map((c, place) => {
                  const at = first + place;
                  const found = props.found(c, example);
                  return (
                    <Cell
                      key={at}
                      props={props}
                      example={example}
                      row={one}
                      at={at}
                      found={found}
                      reached={one === row && at === column}
                      steps={steps}
                    />
                  );
                })}
              </div>
            );
          })}
        </div>
      </div>
      {tip.element}
    </>
  );
}
