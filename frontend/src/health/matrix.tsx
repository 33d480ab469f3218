/** Layer x step of one run: colours for a measure, words for what is wrong, and the cell that the keyboard moves. */
import type { JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { nearest, scale, type AxisKind } from "../features/axis";
import { Chart, useSize, type Draw } from "../features/chart";
import { drawCursor, drawX, stretches, upright, type Box } from "../features/paint";
import { plural } from "../features/words";
import { moveTo, showRun } from "../state";
import { stepName } from "../step_bar";
import { choose } from "./choice";
import { valueWords, type Measure, type Ruler } from "./measures";
import { at, type Health } from "./model";
import { drawCells, drawHoles } from "../heat";
import { drawName, drawSpell, drawVerdict, type Ink } from "./paint";
import { spells, worst } from "./states";

/** Where the steps of all shown runs stand, so that their matrices lie under each other. */
export interface Frame {
  axis: AxisKind;
  domain: readonly [number, number];
}

/** A run's steps along the axis: their places, and the borders of their cells. */
export interface Line {
  xs: number[];
  edges: number[];
}

const TOP = 4;
const FOOT = 22;
const NAMED = 13;

/** Rows have names as long as the matrix stays on a screen or two; then every second one, every third... */
export const rowHeight = (layers: number): number =>
  Math.min(
    24,
    Math.max(4, Math.floor(640 / Math.max(1, layers)), Math.min(14, Math.floor(1400 / Math.max(1, layers)))),
  );

/** Left for names, right for words; the same in every matrix. */
const gutters = (width: number): { left: number; right: number } => ({
  left: Math.round(Math.min(230, Math.max(86, width * 0.2))),
  right: width < 560 ? 20 : 160,
});

function layout(frame: Frame, line: Line, layers: number, width: number) {
  const { left, right } = gutters(width);
  const row = rowHeight(layers);
  const plot: Box = { x: left, y: TOP, w: Math.max(40, width - left - right), h: row * layers };
  const x = scale(...frame.domain, plot.x, plot.x + plot.w);
  return { plot, x, cells: line.edges.map(x), row, right };
}

/** Everything about a cell in one sentence. */
export function cellWords(health: Health, measure: Measure, layer: number, t: number): string {
  const step = stepName(health.steps[t] ?? 0, health.epochs[t] ?? NaN);
  const name = health.layers[layer] ?? "";
  const lost = health.missing.get(health.steps[t] ?? NaN);
  if (lost !== undefined) return `${name}, ${step}, missing: ${lost}`;
  const state = health.states[t]?.[layer];
  const value = `${measure.title.toLowerCase()} ${valueWords(measure, at(health, measure.key, t, layer))}`;
  return `${name}, ${step}: ${state ? `${state}, ` : ""}${value}`;
}

interface Props {
  health: Health;
  line: Line;
  frame: Frame;
  measure: Measure;
  ruler: Ruler;
  table: Uint32Array;
  ink: Ink;
  /** row of the cursor, and the layers in focus and beside it */
  t: number;
  layer: number;
  beside: readonly number[];
  /** whether this run is the one in focus */
  focused: boolean;
}

export function Matrix({
  health,
  line,
  frame,
  measure,
  ruler,
  table,
  ink,
  t,
  layer,
  beside,
  focused,
}: Props): JSX.Element {
  const { layers, steps, run } = health;
  const box = useRef<HTMLDivElement>(null);
  const cell = useRef<HTMLDivElement>(null);
  const [width] = useSize(box);
  const [tip, setTip] = useState<{ x: number; y: number; words: string } | null>(null);
  const worstOf = useMemo(() => layers.map((_, l) => worst(health, l)), [health]);
  const spellsOf = useMemo(() => layers.map((_, l) => spells(health, l)), [health]);

  const draw = useMemo<Draw>(
    () => (ctx, w) => {
      const { plot, x, cells, row, right } = layout(frame, line, layers.length, w);
      drawHoles(ctx, plot, cells, false, ink);
      const share = (l: number, i: number): number => ruler.share(at(health, measure.key, i, l));
      drawCells(ctx, plot, cells, layers.length, share, table, ink);
      layers.forEach((name, l) => {
        const y = plot.y + l * row;
        for (const spell of spellsOf[l] ?? []) {
          const from = cells[spell.first] ?? plot.x;
          drawSpell(ctx, spell, { x: from, y, w: (cells[spell.last + 1] ?? from) - from, h: row }, ink);
        }
        if (row < NAMED && l % Math.ceil(NAMED / row)) return;
        drawName(ctx, name, plot.x - 8, y + row / 2, plot.x - 12, ink, false);
        drawVerdict(ctx, health, worstOf[l] ?? null, plot.x + plot.w + 7, y + row / 2, right - 8, ink);
      });
      for (const [first, last, word] of stretches(steps.map((step) => (health.missing.has(step) ? "missing" : "")))) {
        const from = cells[first] ?? plot.x;
        const wide = (cells[last + 1] ?? from) - from;
        if (wide >= 12) upright(ctx, word, from + wide / 2, plot.y + plot.h / 2, ink);
      }
      drawX(ctx, plot, x, frame.axis, ink);
    },
    [health, line, frame, measure, ruler, table, ink],
  );

  const over = useMemo<Draw>(
    () => (ctx, w) => {
      const { plot, cells, row } = layout(frame, line, layers.length, w);
      const [from, to] = [cells[t] ?? 0, cells[t + 1] ?? 0];
      if (to - from < 6) drawCursor(ctx, plot, (from + to) / 2, ink);
      else {
        ctx.strokeStyle = ink.text;
        ctx.lineWidth = 1.5;
        ctx.strokeRect(from + 0.25, plot.y - 1.5, to - from - 0.5, plot.h + 3);
      }
      if (!focused) return;
      for (const l of beside) {
        const y = plot.y + l * row;
        ctx.fillStyle = ink.panel;
        ctx.fillRect(0, y, plot.x - 1, row);
        drawName(ctx, layers[l] ?? "", plot.x - 8, y + row / 2, plot.x - 12, ink, true);
        ctx.fillStyle = ink.text;
        ctx.fillRect(0, y + 1, 3, row - 2);
      }
    },
    [health, line, frame, t, beside, focused, ink],
  );

  const cellAt = (px: number, py: number, w: number): { layer: number; t: number } | null => {
    const { plot, x, row } = layout(frame, line, layers.length, w);
    if (py < plot.y || py >= plot.y + plot.h) return null;
    return { layer: Math.floor((py - plot.y) / row), t: nearest(line.xs, x.invert(px)) };
  };
  const go = (to: { layer: number; t: number }, keep = false): void => {
    showRun(run);
    choose(layers[to.layer] ?? "", keep);
    const step = steps[to.t];
    if (step !== undefined) moveTo(step);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const clamp = (value: number, count: number): number => Math.min(count - 1, Math.max(0, value));
    const moves: Record<string, [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
      Home: [0, -Infinity],
      End: [0, Infinity],
      PageUp: [-10, 0],
      PageDown: [10, 0],
    };
    const move = moves[event.key];
    if (move) go({ layer: clamp(layer + move[0], layers.length), t: clamp(t + move[1], steps.length) }, event.shiftKey);
    else if (event.key === "Enter" || event.key === " ") go({ layer, t });
    else return;
    event.preventDefault();
  };

  const place = layout(frame, line, layers.length, width || 600);
  const words = cellWords(health, measure, layer, t);
  return (
    <div class="hx-matrix" ref={box}>
      <Chart
        name={`health ${run}`}
        label={`${plural(layers.length, "layer")} by ${plural(steps.length, "step")} of run ${run}, coloured by ${measure.title.toLowerCase()}`}
        style={{ height: `${TOP + rowHeight(layers.length) * layers.length + FOOT}px` }}
        draw={draw}
        over={over}
        onHover={(px, py, [w]) => {
          const found = cellAt(px, py, w);
          setTip(found ? { x: px, y: py, words: cellWords(health, measure, found.layer, found.t) } : null);
        }}
        onLeave={() => setTip(null)}
        onPick={(px, py, [w]) => {
          const found = cellAt(px, py, w);
          if (!found) return;
          go(found);
          cell.current?.focus({ preventScroll: true });
        }}
      />
      <div
        role="grid"
        class="hx-grid"
        aria-label={`Layers by steps of run ${run}: arrows move over layers and steps, with Shift layers are compared`}
        aria-rowcount={layers.length}
        aria-colcount={steps.length}
      >
        <div role="row" aria-rowindex={layer + 1}>
          <div
            ref={cell}
            role="gridcell"
            class={focused ? "hx-cell on" : "hx-cell"}
            tabIndex={0}
            aria-colindex={t + 1}
            aria-selected={focused}
            aria-label={words}
            style={{
              left: `${(place.cells[t] ?? 0) - 1}px`,
              top: `${place.plot.y + layer * place.row - 1}px`,
              width: `${Math.max(6, (place.cells[t + 1] ?? 0) - (place.cells[t] ?? 0) + 2)}px`,
              height: `${Math.max(6, place.row + 2)}px`,
            }}
            onKeyDown={onKeyDown}
          />
        </div>
      </div>
      {tip && (
        <div
          class="hx-tip"
          aria-hidden="true"
          style={{
            top: `${tip.y + 16}px`,
            ...(tip.x > width / 2 ? { right: `${width - tip.x + 4}px` } : { left: `${tip.x + 12}px` }),
          }}
        >
          {tip.words}
        </div>
      )}
    </div>
  );
}
