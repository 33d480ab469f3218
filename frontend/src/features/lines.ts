/** Lines with confidence bands over steps, the grey envelope of the rest, and labels at the line ends. */
import type { Scale } from "./axis";
import { dodge } from "./labels";
import { label, rule, text, type Box, type Context, type Style, type Theme } from "./paint";

export interface Line {
  label: string;
  y: ArrayLike<number>;
  low?: ArrayLike<number>;
  high?: ArrayLike<number>;
  style: Style;
}

/** Stretches of consecutive steps where every given column is finite, as [first, last]: NaN is a gap, never a bridge. */
export function finiteRuns(length: number, ...columns: ArrayLike<number>[]): [number, number][] {
  const out: [number, number][] = [];
  let start = -1;
  for (let i = 0; i <= length; i++) {
    const ok = i < length && columns.every((c) => Number.isFinite(c[i]));
    if (ok && start < 0) start = i;
    if (!ok && start >= 0) {
      out.push([start, i - 1]);
      start = -1;
    }
  }
  return out;
}

/** Outline of a band as closed polygons [x0, y0, x1, y1, ...], one per stretch; a lone step becomes a bar of width `lone`. */
export function bandPolygons(
  xs: readonly number[],
  low: ArrayLike<number>,
  high: ArrayLike<number>,
  y: Scale,
  lone = 4,
): number[][] {
  return finiteRuns(xs.length, low, high).map(([first, last]) => {
    const polygon: number[] = [];
    const side = (i: number, v: ArrayLike<number>, shift: number) =>
      polygon.push((xs[i] as number) + shift, y(v[i] as number));
    const shift = first === last ? lone / 2 : 0;
    for (let i = first; i <= last; i++) side(i, high, -shift);
    if (shift) side(first, high, shift);
    for (let i = last; i >= first; i--) side(i, low, shift);
    if (shift) side(first, low, -shift);
    return polygon;
  });
}

export function fillBand(
  ctx: Context,
  xs: readonly number[],
  low: ArrayLike<number>,
  high: ArrayLike<number>,
  y: Scale,
  colour: string,
  alpha: number,
): void {
  ctx.globalAlpha = alpha;
  ctx.fillStyle = colour;
  for (const polygon of bandPolygons(xs, low, high, y)) {
    ctx.beginPath();
    for (let i = 0; i < polygon.length; i += 2) ctx.lineTo(polygon[i] as number, polygon[i + 1] as number);
    ctx.fill();
  }
  ctx.globalAlpha = 1;
}

/** Strokes one curve, with a break wherever a step has no finite value. */
export function strokeLine(
  ctx: Context,
  xs: readonly number[],
  values: ArrayLike<number>,
  y: Scale,
  style: Style,
  width: number,
): void {
  ctx.strokeStyle = style.colour;
  ctx.lineWidth = width;
  ctx.lineJoin = "bevel";
  ctx.setLineDash([...style.dash]);
  ctx.beginPath();
  for (const [first, last] of finiteRuns(xs.length, values)) {
    // A lone step is a short dash, else it would not be seen at all.
    const lone = first === last ? 2 : 0;
    ctx.moveTo((xs[first] as number) - lone, y(values[first] as number));
    for (let i = first; i <= last; i++) ctx.lineTo((xs[i] as number) + lone, y(values[i] as number));
  }
  ctx.stroke();
  ctx.setLineDash([]);
}

/** Lowest and highest number of some columns, zero always inside, with a little air. */
export function extent(columns: Iterable<ArrayLike<number>>, zero = true): [number, number] {
  let lo = zero ? 0 : Infinity;
  let hi = zero ? 0 : -Infinity;
  for (const column of columns)
    for (let i = 0; i < column.length; i++) {
      const v = column[i] as number;
      if (v < lo && v > -Infinity) lo = v;
      if (v > hi && v < Infinity) hi = v;
    }
  if (!(lo <= hi)) return [0, 1];
  const air = (hi - lo || Math.abs(hi) || 1) * 0.04;
  return [zero && lo === 0 ? 0 : lo - air, zero && hi === 0 ? 0 : hi + air];
}

/** Index of the last finite value; -1 when there is none. */
export function lastFinite(values: ArrayLike<number>): number {
  for (let i = values.length - 1; i >= 0; i--) if (Number.isFinite(values[i])) return i;
  return -1;
}

/** Above this many, lines can be followed one at a time only: bands and dashes are left to the one that is brought out. */
export const CROWD = 30;

/** All lines: bands first, then the lines from the weakest to the strongest. */
export function drawLines(
  ctx: Context,
  box: Box,
  margin: number,
  xs: readonly number[],
  y: Scale,
  lines: readonly Line[],
  theme: Theme,
): void {
  const crowd = lines.length > CROWD;
  const alpha = Math.max(0.05, 0.2 - lines.length * 0.008);
  for (const line of crowd ? [] : lines)
    if (line.low && line.high) fillBand(ctx, xs, line.low, line.high, y, line.style.colour, alpha);
  for (const { y: values, style } of [...lines].reverse())
    strokeLine(ctx, xs, values, y, crowd ? { ...style, dash: [] } : style, crowd ? 1 : 1.75);
  drawEndLabels(
    ctx,
    box,
    margin,
    xs,
    lines.map((line) => ({ ...line, at: y(line.y[lastFinite(line.y)] ?? NaN) })),
    theme,
  );
}

export interface EndLabel {
  label: string;
  y: ArrayLike<number>;
  style: Style;
  /** wanted height in pixels */
  at: number;
}

const LABEL = 14;

/** Names in the margin right of the box, joined to their line's last point by a leader in the line's own colour and dash. */
export function drawEndLabels(
  ctx: Context,
  box: Box,
  margin: number,
  xs: readonly number[],
  all: readonly EndLabel[],
  theme: Theme,
  bold?: string,
): void {
  const right = box.x + box.w;
  const leader = margin < 120 ? 16 : 28;
  const most = Math.max(1, Math.floor(box.h / LABEL) + 1);
  const finite = all.filter((one) => Number.isFinite(one.at));
  const labels = finite.slice(0, most);
  const places = dodge(
    labels.map((one) => one.at),
    LABEL,
    box.y,
    box.y + box.h,
  );
  labels.forEach((one, i) => {
    const py = places[i] as number;
    const end = lastFinite(one.y);
    ctx.strokeStyle = one.style.colour;
    ctx.lineWidth = 1.25;
    ctx.setLineDash([...one.style.dash]);
    ctx.beginPath();
    // A line that ends early, or far from the margin, is not joined: the stroke would look like data.
    if (end === xs.length - 1 && (xs[end] ?? 0) > right - 90) {
      ctx.moveTo((xs[end] as number) + 2, one.at);
      ctx.lineTo(right, one.at);
    }
    ctx.lineTo(right + leader / 2, py);
    ctx.lineTo(right + leader, py);
    ctx.stroke();
    ctx.setLineDash([]);
    label(ctx, one.label, right + leader + 4, py, margin - leader - 6, theme, one.label === bold);
  });
  const left = finite.length - labels.length;
  if (left > 0) text(ctx, `+${left}`, right + leader + 4, box.y + box.h + 13, theme.muted);
}

/** The line nearest to a point, among the values at one step; null when none is within reach. */
export function nearestLine(lines: readonly Line[], step: number, py: number, y: Scale, reach = 40): number | null {
  let best: number | null = null;
  let distance = reach;
  lines.forEach((line, i) => {
    const gap = Math.abs(y(line.y[step] ?? NaN) - py);
    if (gap < distance) {
      distance = gap;
      best = i;
    }
  });
  return best;
}

export const dot = (ctx: Context, x: number, y: number, style: Style, theme: Theme, radius = 3): void => {
  if (!Number.isFinite(y)) return;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = style.colour;
  ctx.fill();
  ctx.strokeStyle = theme.panel;
  ctx.lineWidth = 1;
  ctx.stroke();
};

/** A slim strip with one curve. */
export function drawStrip(
  ctx: Context,
  box: Box,
  xs: readonly number[],
  y: Scale,
  values: ArrayLike<number>,
  theme: Theme,
): void {
  rule(ctx, box.x, Math.round(box.y) + 0.5, box.x + box.w, Math.round(box.y) + 0.5, theme.grid);
  strokeLine(ctx, xs, values, y, { colour: theme.text, dash: [] }, 1.5);
}
