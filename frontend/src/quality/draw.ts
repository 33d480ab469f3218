/** Pictures of curves: pure functions of columns, sizes and colours, made of the marks that all charts share. */
import { scale, ticks, type Scale } from "../features/axis";
import { dot, drawEndLabels, extent, fillBand, lastFinite, strokeLine } from "../features/lines";
import { drawCursor, drawGaps, drawX, drawY, text, type Box, type Context, type Theme } from "../features/paint";
import { placeAt, type Curve } from "./curves";
import type { Measure } from "./measures";
import type { Line } from "./model";

export interface Picture {
  measure: Measure;
  curves: readonly Curve[];
  line: Line;
  /** range of the values */
  y: readonly [number, number];
  /** a word for each step without any value */
  gaps: readonly string[];
}

export function pictureOf(measure: Measure, curves: readonly Curve[], line: Line): Picture {
  const columns = curves.flatMap((one) => [one.y, one.low ?? [], one.high ?? [], one.reference ?? []]);
  const known = new Set<number>();
  const tried = new Map<number, string>();
  for (const one of curves)
    one.steps.forEach((step, i) => {
      if (Number.isFinite(one.y[i])) known.add(step);
      else tried.set(step, one.tracks.some(({ why }) => why.has(step)) ? "missing" : "undefined");
    });
  // before the first value there is nothing to miss: drift begins with the second step
  const first = Math.min(...known);
  const gaps = line.steps.map((step) => (known.has(step) || step < first ? "" : (tried.get(step) ?? "")));
  return { measure, curves, line, y: extent(columns, measure.zero === true), gaps };
}

export interface Layout {
  plot: Box;
  margin: number;
  x: Scale;
  y: Scale;
}

export function layout({ curves, line, y }: Picture, width: number, height: number): Layout {
  const left = width < 420 ? 44 : 54;
  // about as wide as the longest name, and never more than two fifths
  const longest = Math.max(0, ...curves.map((one) => one.label.length));
  const margin = Math.round(Math.min(220, width * 0.42, Math.max(64, 7 * longest + (width < 420 ? 26 : 38))));
  const plot = { x: left, y: 8, w: Math.max(40, width - left - margin), h: Math.max(40, height - 30) };
  return {
    plot,
    margin,
    x: scale(line.domain[0], line.domain[1], plot.x, plot.x + plot.w),
    y: scale(y[0], y[1], plot.y + plot.h, plot.y),
  };
}

export const tickWords = (percent: boolean) => (value: number) =>
  percent
    ? `${String(Number((100 * value).toPrecision(4))).replace("-", "−")} %`
    : String(Number(value.toPrecision(6))).replace("-", "−");

const xsOf = (curve: Curve, { place, xs }: Line, x: Scale): number[] =>
  curve.steps.map((step) => x(xs[place.get(step) ?? -1] ?? Number.NaN));

export function drawPicture(ctx: Context, picture: Picture, width: number, height: number, theme: Theme): void {
  const { curves, line, measure } = picture;
  const { plot, margin, x, y } = layout(picture, width, height);
  drawGaps(ctx, plot, line.edges.map(x), picture.gaps, theme);
  drawY(
    ctx,
    plot,
    y,
    ticks(...picture.y, Math.max(2, Math.floor(plot.h / 36))),
    tickWords(measure.percent === true),
    theme,
  );
  drawX(ctx, plot, x, line.axis, theme);
  const constant = measure.reference?.value;
  if (constant !== undefined && constant >= picture.y[0] && constant <= picture.y[1]) {
    const py = y(constant);
    strokeLine(ctx, [plot.x, plot.x + plot.w], [constant, constant], y, { colour: theme.muted, dash: [2, 3] }, 1.5);
    text(ctx, measure.reference?.name ?? "", plot.x + 4, py - 7 < plot.y ? py + 8 : py - 7, theme.muted);
  }
  const alpha = Math.max(0.08, 0.22 - curves.length * 0.02);
  for (const one of curves)
    if (one.low && one.high) fillBand(ctx, xsOf(one, line, x), one.low, one.high, y, one.style.colour, alpha);
  for (const one of [...curves].reverse()) {
    const xs = xsOf(one, line, x);
    if (one.reference && constant === undefined)
      strokeLine(ctx, xs, one.reference, y, { colour: one.style.colour, dash: [1.5, 3] }, 1.5);
    strokeLine(ctx, xs, one.y, y, one.style, 1.75);
    // costly figures take turns: between its few points a line was not measured
    if (one.steps.length < 0.7 * line.steps.length)
      xs.forEach((px, i) => dot(ctx, px, y(one.y[i] ?? Number.NaN), one.style, theme, 2.5));
  }
  drawEndLabels(ctx, plot, margin, line.xs.map(x), labelsOf(picture, y), theme);
}

/** Names at line ends, placed along all steps of the chart. */
const labelsOf = ({ curves, line }: Picture, y: Scale) =>
  curves.map((one) => {
    const along = new Float64Array(line.steps.length).fill(Number.NaN);
    one.steps.forEach((step, i) => (along[line.place.get(step) ?? -1] = one.y[i] ?? Number.NaN));
    return { label: one.label, style: one.style, y: along, at: y(one.y[lastFinite(one.y)] ?? Number.NaN) };
  });

/** What moves: the cursor, the values under it, and the curve that is pointed at. */
export function drawOver(
  ctx: Context,
  picture: Picture,
  width: number,
  height: number,
  theme: Theme,
  step: number | null,
  pointed: string | null,
): void {
  const { curves, line } = picture;
  const { plot, x, y } = layout(picture, width, height);
  for (const one of curves) if (one.id === pointed) strokeLine(ctx, xsOf(one, line, x), one.y, y, one.style, 4);
  if (step === null) return;
  const at = line.steps.findLastIndex((one) => one <= step);
  if (at < 0) return;
  const cx = x(line.xs[at] ?? 0);
  drawCursor(ctx, plot, cx, theme);
  for (const one of curves) {
    const own = placeAt(one, step);
    const px = x(line.xs[line.place.get(one.steps[own] ?? Number.NaN) ?? -1] ?? Number.NaN);
    if (Number.isFinite(px)) dot(ctx, px, y(one.y[own] ?? Number.NaN), one.style, theme);
  }
}
