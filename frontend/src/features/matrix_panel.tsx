/** Feature x step: one row per feature in the current order, one column per logged step. */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { moveTo } from "../state";
import { nearest, scale } from "./axis";
import { Chart, type Draw } from "./chart";
import { columnsAt, columnsOf, fill, ramp, rampIndex, reduce } from "./matrix";
import { colourBy, highlighted, hovered, togglePin, type Model } from "./model";
import { drawCursor, drawX, gutters, hatch, label, stretches, text, upright, type Box, type Theme } from "./paint";
import { gapWord } from "./series";
import { number, plural, valueWords } from "./words";

const NAMED_ROW = 12;
const TALLEST = 560;

function layout(model: Model, width: number, height: number) {
  const { left, right } = gutters(width);
  const plot: Box = { x: left, y: 4, w: Math.max(40, width - left - right), h: Math.max(20, height - 4 - 22) };
  const x = scale(...model.line.domain, plot.x, plot.x + plot.w);
  return { plot, margin: right, x, cells: model.line.edges.map(x), row: plot.h / Math.max(1, model.found.length) };
}

/** CSS colours along the ramp, for the legend. */
function legend(theme: Theme, low: number, high: number, peak: number, root: boolean): string {
  const table = new Uint8Array(ramp(theme.panel, theme.dark).buffer);
  const stops = Array.from({ length: 13 }, (_, i) => {
    const k = rampIndex(low + ((high - low) * i) / 12, peak, root) * 4;
    return `rgb(${table[k] ?? 0} ${table[k + 1] ?? 0} ${table[k + 2] ?? 0})`;
  });
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

function range(values: ArrayLike<number>): [number, number] {
  let lo = 0;
  let hi = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i] as number;
    if (v < lo && v > -Infinity) lo = v;
    if (v > hi && v < Infinity) hi = v;
  }
  return [lo, hi];
}

export function MatrixPanel({ model, theme }: { model: Model; theme: Theme }): JSX.Element {
  const { series, found, t } = model;
  const root = colourBy.value === "root";
  const [low, high] = useMemo(() => range(series.mean), [series]);
  const peak = Math.max(-low, high);
  const [row, setRow] = useState(0);

  const draw = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, margin, x, cells, row: rowHeight } = layout(model, width, height);
      const from = cells[0] ?? plot.x;
      const to = cells[cells.length - 1] ?? plot.x + plot.w;
      if (!found.length) return drawX(ctx, plot, x, model.line.axis, theme);
      hatch(ctx, { ...plot, x: from, w: to - from }, theme, true);
      const words = series.steps.map((_, i) => gapWord(series, i));
      for (const [first, last] of stretches(words.map((word) => (word === "missing" ? word : "")))) {
        const gap = { ...plot, x: cells[first] ?? 0, w: (cells[last + 1] ?? 0) - (cells[first] ?? 0) };
        ctx.fillStyle = theme.panel;
        ctx.fillRect(gap.x, gap.y, gap.w, gap.h);
        hatch(ctx, gap, theme, false);
      }
      drawCells(ctx, plot, from, to, cells);
      for (const [first, last, word] of stretches(words)) {
        const wide = (cells[last + 1] ?? 0) - (cells[first] ?? 0);
        if (wide >= 12) upright(ctx, word, (cells[first] ?? 0) + wide / 2, plot.y + 36, theme);
      }
      drawNames(ctx, plot, margin, rowHeight);
      drawX(ctx, plot, x, model.line.axis, theme);
    },
    [series, found, model.line, root, theme],
  );

  /** The cells at the screen's own resolution, so that borders stay sharp. */
  function drawCells(ctx: CanvasRenderingContext2D, plot: Box, from: number, to: number, cells: number[]): void {
    const ratio = ctx.getTransform().a;
    const w = Math.max(1, Math.round((to - from) * ratio));
    const h = Math.max(1, Math.round(plot.h * ratio));
    const sharp = cells.map((edge) => edge * ratio);
    const { of, count } = columnsOf(sharp, w, from * ratio);
    const grid = { ...reduce(series, found, of, count, h), peak };
    const image = new ImageData(w, h);
    fill(
      new Uint32Array(image.data.buffer),
      w,
      h,
      grid,
      columnsAt(sharp, of, w, from * ratio),
      ramp(theme.panel, theme.dark),
      root,
      plot.h / found.length >= 6,
    );
    const off = new OffscreenCanvas(w, h);
    off.getContext("2d")?.putImageData(image, 0, 0);
    ctx.drawImage(off, from, plot.y, to - from, plot.h);
  }

  function drawNames(ctx: CanvasRenderingContext2D, plot: Box, margin: number, rowHeight: number): void {
    const each = Math.max(1, Math.ceil(NAMED_ROW / rowHeight));
    const right = plot.x + plot.w + 8;
    if (each === 1)
      found.forEach((f, i) => {
        const y = plot.y + (i + 0.5) * rowHeight;
        text(ctx, String(model.place.get(f) ?? ""), plot.x - 8, y, theme.muted, "right");
        label(ctx, series.names[f] ?? "", right, y, margin - 12, theme);
      });
    else {
      const marks = [1, ...Array.from({ length: 4 }, (_, i) => Math.round((found.length * (i + 1)) / 4))];
      for (const place of marks)
        text(
          ctx,
          place.toLocaleString("en"),
          plot.x - 6,
          plot.y + Math.min(Math.max((place - 0.5) * rowHeight, 6), plot.h - 6),
          theme.muted,
          "right",
        );
    }
  }

  const over = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, margin, cells, row: rowHeight } = layout(model, width, height);
      const name = highlighted();
      const i = name === null ? -1 : found.findIndex((f) => series.names[f] === name);
      if (i >= 0) {
        const y = plot.y + i * rowHeight;
        const h = Math.max(rowHeight, 3);
        ctx.strokeStyle = theme.text;
        ctx.lineWidth = 1.5;
        ctx.strokeRect((cells[0] ?? 0) - 1, y - 0.75, (cells.at(-1) ?? 0) - (cells[0] ?? 0) + 2, h + 1.5);
        const middle = Math.min(Math.max(y + h / 2, plot.y + 7), plot.y + plot.h - 7);
        const left = plot.x + plot.w + 4;
        ctx.fillStyle = theme.panel;
        ctx.fillRect(left, middle - 8, margin, 16);
        label(ctx, name ?? "", left + 4, middle, margin - 12, theme, true);
      }
      const middle = ((cells[t] ?? 0) + (cells[t + 1] ?? 0)) / 2;
      if ((cells[t + 1] ?? 0) - (cells[t] ?? 0) < 6) return drawCursor(ctx, plot, middle, theme);
      ctx.strokeStyle = theme.text;
      ctx.lineWidth = 1.5;
      ctx.strokeRect((cells[t] ?? 0) - 0.25, plot.y - 0.75, (cells[t + 1] ?? 0) - (cells[t] ?? 0) - 0.5, plot.h + 1.5);
    },
    [series, found, model.line, t, theme],
  );

  const [pointed, setPointed] = useState<number | null>(null);
  const cellAt = (px: number, py: number, size: readonly [number, number]) => {
    const { plot, x, row: rowHeight } = layout(model, ...size);
    if (py < plot.y || py >= plot.y + plot.h) return null;
    return {
      i: Math.min(found.length - 1, Math.floor((py - plot.y) / rowHeight)),
      at: nearest(model.line.xs, x.invert(px)),
    };
  };
  const current = Math.min(row, found.length - 1);
  const name = highlighted();
  const f = name === null ? found[current] : series.names.indexOf(name);
  const read = pointed ?? t;
  const readOut =
    f === undefined || f < 0
      ? ""
      : `${series.names[f] ?? ""}, step ${series.steps[read] ?? ""}: ${valueWords(series, read, f)}, rank ${model.place.get(f) ?? "?"}`;

  const go = (event: KeyboardEvent): void => {
    const move = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10 }[event.key];
    const feature = found[current];
    if (event.key === "Enter" && feature !== undefined) togglePin(series.names[feature] ?? "");
    if (move === undefined) return;
    event.preventDefault();
    const next = Math.min(found.length - 1, Math.max(0, current + move));
    setRow(next);
    hovered.value = series.names[found[next] ?? 0] ?? null;
  };
  return (
    <figure class="fx-panel fx-matrix" aria-label="Feature by step">
      <figcaption>
        <h2>Every feature at every step</h2>
        <small>
          rows in the order {model.order}
          {found.length > TALLEST &&
            `; a line of pixels shows the strongest of about ${Math.round(found.length / TALLEST)}`}
        </small>
        <span class="fx-legend">
          {low < 0 && <i>{number(low)}</i>}
          <b style={{ background: legend(theme, low, high, peak, root) }} />
          <i>{number(high)}</i>
          <label>
            <input
              type="checkbox"
              checked={root}
              onChange={(event) => (colourBy.value = event.currentTarget.checked ? "root" : "linear")}
            />
            square-root colours
          </label>
        </span>
      </figcaption>
      <div class="fx-stack">
        <Chart
          name="Every feature at every step"
          label={`${plural(found.length, "feature")} by ${plural(series.steps.length, "step")} as colours. ${readOut}`}
          style={{ height: `${Math.min(TALLEST, Math.max(120, found.length * 16)) + 26}px` }}
          draw={draw}
          over={over}
          onHover={(px, py, size) => {
            const cell = cellAt(px, py, size);
            const feature = cell ? found[cell.i] : undefined;
            setPointed(cell ? cell.at : null);
            hovered.value = feature === undefined ? null : (series.names[feature] ?? null);
          }}
          onLeave={() => {
            setPointed(null);
            hovered.value = null;
          }}
          onPick={(px, py, size) => {
            const cell = cellAt(px, py, size);
            const to = cell && series.steps[cell.at];
            if (typeof to === "number") moveTo(to);
            if (cell) setRow(cell.i);
          }}
        />
        <div
          class="fx-keys"
          role="listbox"
          tabIndex={0}
          aria-label="Rows of the matrix: up and down move over features, left and right over steps"
          aria-activedescendant="fx-matrix-row"
          onKeyDown={go}
          onFocus={() => {
            hovered.value = series.names[found[current] ?? 0] ?? null;
          }}
          onBlur={() => (hovered.value = null)}
        >
          <div
            role="option"
            id="fx-matrix-row"
            aria-selected="true"
            aria-posinset={current + 1}
            aria-setsize={found.length}
          >
            {readOut}
          </div>
        </div>
      </div>
      <p class="fx-read">{readOut}</p>
    </figure>
  );
}
