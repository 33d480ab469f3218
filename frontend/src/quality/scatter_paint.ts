/** Quality against score: a path through the checkpoints, with those marked that no other beats in both. */
import { scale, ticks, type Scale } from "../features/axis";
import { dot, extent, strokeLine } from "../features/lines";
import { drawY, rule, text, type Box, type Context, type Style, type Theme } from "../features/paint";
import { tickWords } from "./draw";
import type { Good } from "./measures";

/** The checkpoints of one curve that have both numbers, by ascending step. */
export interface Path {
  id: string;
  label: string;
  style: Style;
  steps: number[];
  x: number[];
  y: number[];
}

export interface Scatter {
  paths: readonly Path[];
  x: readonly [number, number];
  y: readonly [number, number];
}

const gain = (value: number, good: Good): number =>
  good === "down" ? -value : good === "zero" ? -Math.abs(value) : value;

/** Places of the checkpoints that no other beats in one of the two without losing in the other; none where good has no direction. */
export function best(path: Path, goodX: Good, goodY: Good): number[] {
  if (goodX === null || goodY === null) return [];
  const points = path.x.map((x, i) => [gain(x, goodX), gain(path.y[i] ?? Number.NaN, goodY)] as const);
  return points.flatMap(([x, y], i) =>
    points.some(([a, b], j) => j !== i && a >= x && b >= y && (a > x || b > y)) ? [] : [i],
  );
}

export const scatterOf = (paths: readonly Path[]): Scatter => ({
  paths,
  x: extent(
    paths.map((one) => one.x),
    false,
  ),
  y: extent(
    paths.map((one) => one.y),
    false,
  ),
});

export interface Room {
  plot: Box;
  x: Scale;
  y: Scale;
}

export function room(of: Scatter, width: number, height: number): Room {
  const plot = { x: 54, y: 10, w: Math.max(40, width - 54 - 16), h: Math.max(40, height - 56) };
  return {
    plot,
    x: scale(of.x[0], of.x[1], plot.x, plot.x + plot.w),
    y: scale(of.y[0], of.y[1], plot.y + plot.h, plot.y),
  };
}

const plain = tickWords(false);

export function drawScatter(
  ctx: Context,
  of: Scatter,
  width: number,
  height: number,
  theme: Theme,
  nameX: string,
  marked: ReadonlyMap<string, readonly number[]>,
  percent: boolean,
): void {
  const { plot, x, y } = room(of, width, height);
  drawY(ctx, plot, y, ticks(...of.y, Math.max(2, Math.floor(plot.h / 40))), tickWords(percent), theme);
  const base = plot.y + plot.h;
  rule(ctx, plot.x, base + 0.5, plot.x + plot.w, base + 0.5, theme.grid);
  let free = -Infinity;
  for (const v of ticks(...of.x, Math.max(2, Math.floor(plot.w / 70)))) {
    rule(ctx, x(v), base, x(v), base + 4, theme.muted);
    const half = 4 * plain(v).length;
    if (x(v) - half < free) continue;
    text(ctx, plain(v), x(v), base + 13, theme.muted, "center");
    free = x(v) + half;
  }
  text(ctx, nameX, plot.x + plot.w / 2, base + 31, theme.text, "center");
  for (const path of of.paths) {
    const px = path.x.map(x);
    const thin = { colour: path.style.colour, dash: path.style.dash };
    ctx.globalAlpha = 0.45;
    strokeLine(ctx, px, path.y, y, thin, 1);
    ctx.globalAlpha = 1;
    px.forEach((one, i) => dot(ctx, one, y(path.y[i] ?? Number.NaN), path.style, theme, 2.5));
    for (const i of marked.get(path.id) ?? []) {
      ctx.strokeStyle = path.style.colour;
      ctx.lineWidth = 1.5;
      ctx.beginPath();
      ctx.arc(px[i] ?? 0, y(path.y[i] ?? 0), 6, 0, 2 * Math.PI);
      ctx.stroke();
    }
  }
}

/** The checkpoint under the cursor, large and with its step. */
export function drawScatterOver(
  ctx: Context,
  of: Scatter,
  width: number,
  height: number,
  theme: Theme,
  step: number | null,
): void {
  const { plot, x, y } = room(of, width, height);
  let named = false;
  for (const path of of.paths) {
    const at = step === null ? path.steps.length - 1 : path.steps.findLastIndex((one) => one <= step);
    const [px, py] = [x(path.x[at] ?? Number.NaN), y(path.y[at] ?? Number.NaN)];
    dot(ctx, px, py, path.style, theme, 6);
    if (named || !Number.isFinite(px) || !Number.isFinite(py)) continue;
    named = true;
    const right = px < plot.x + plot.w - 60;
    const words = `step ${path.steps[at] ?? ""}`;
    ctx.font = "600 11px system-ui, sans-serif";
    const wide = ctx.measureText(words).width + 6;
    const top = py - 14 < plot.y ? py + 14 : py - 14;
    ctx.fillStyle = theme.panel;
    ctx.globalAlpha = 0.8;
    ctx.fillRect(right ? px + 5 : px - 5 - wide, top - 8, wide, 16);
    ctx.globalAlpha = 1;
    text(ctx, words, right ? px + 8 : px - 8, top, theme.text, right ? "left" : "right", ctx.font);
  }
}

/** The step of the checkpoint nearest to a point, null where none is within reach. */
export function stepNear(of: Scatter, px: number, py: number, size: readonly [number, number]): number | null {
  const { x, y } = room(of, ...size);
  let [found, distance]: [number | null, number] = [null, 30];
  for (const path of of.paths)
    path.steps.forEach((step, i) => {
      const away = Math.hypot(x(path.x[i] ?? Number.NaN) - px, y(path.y[i] ?? Number.NaN) - py);
      if (away < distance) [found, distance] = [step, away];
    });
  return found;
}
