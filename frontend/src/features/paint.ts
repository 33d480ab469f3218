/** What every chart draws with: colours, line styles, axes, gaps and text on a 2D canvas. */
import { axisText, axisTicks, type AxisKind, type Scale } from "./axis";
import { shorten } from "./labels";

export interface Box {
  x: number;
  y: number;
  w: number;
  h: number;
}

export interface Theme {
  dark: boolean;
  text: string;
  muted: string;
  grid: string;
  panel: string;
}

export interface Style {
  colour: string;
  dash: readonly number[];
}

// Okabe and Ito's hues, darkened or lightened until each has 3:1 against the panel; dashes tell apart what colour does not.
const LIGHT = ["#0072b2", "#c84f00", "#00805c", "#ad4f85", "#1b8ec4", "#9a6a00", "#3d3d3d"];
const DARK = ["#4aa8e8", "#f2873f", "#2cc79a", "#e195c1", "#9adcff", "#f0e06a", "#d6d6d6"];
const DASHES: readonly (readonly number[])[] = [[], [7, 3], [2, 3], [9, 3, 2, 3]];
export const STYLES = LIGHT.length * DASHES.length;

/** The style of a slot: seven colours, then the same seven dashed, dotted, dash-dotted. */
export const style = (slot: number, dark: boolean): Style => ({
  colour: (dark ? DARK : LIGHT)[slot % LIGHT.length] as string,
  dash: DASHES[Math.floor(slot / LIGHT.length) % DASHES.length] as readonly number[],
});

/**
 * A style slot for each shown feature. A feature keeps the slot of its place in `preference` (its rank over all steps), so
 * its looks do not change while the cursor moves; if another holds it, it takes the next free one.
 */
export function slots(shown: readonly number[], preference: readonly number[]): Map<number, number> {
  const place = new Map(preference.map((f, i) => [f, i]));
  const taken = new Set<number>();
  const out = new Map<number, number>();
  for (const f of [...shown].sort((a, b) => (place.get(a) ?? 0) - (place.get(b) ?? 0))) {
    let slot = (place.get(f) ?? 0) % STYLES;
    while (taken.has(slot) && taken.size < STYLES) slot = (slot + 1) % STYLES;
    taken.add(slot);
    out.set(f, slot);
  }
  return out;
}

export const FONT = "12px system-ui, sans-serif";
export const SMALL = "11px system-ui, sans-serif";

export type Context = CanvasRenderingContext2D;

export function text(
  ctx: Context,
  words: string,
  x: number,
  y: number,
  colour: string,
  align: CanvasTextAlign = "left",
  font = SMALL,
): void {
  ctx.font = font;
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  ctx.fillStyle = colour;
  ctx.fillText(words, x, y);
}

export function rule(
  ctx: Context,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  colour: string,
  dash: readonly number[] = [],
  width = 1,
): void {
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.setLineDash([...dash]);
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
  ctx.setLineDash([]);
}

const crisp = (v: number): number => Math.round(v) + 0.5;

/** Horizontal grid with its values; zero stands out. */
export function drawY(
  ctx: Context,
  box: Box,
  y: Scale,
  values: readonly number[],
  words: (v: number) => string,
  theme: Theme,
): void {
  for (const v of values) {
    const py = crisp(y(v));
    rule(ctx, box.x, py, box.x + box.w, py, v === 0 ? theme.muted : theme.grid);
    text(ctx, words(v), box.x - 6, py, theme.muted, "right");
  }
}

/** Tick marks and their words under a box, as many as fit without touching. */
export function drawX(ctx: Context, box: Box, x: Scale, axis: AxisKind, theme: Theme): void {
  const [lo, hi] = x.domain;
  const base = box.y + box.h;
  rule(ctx, box.x, crisp(base), box.x + box.w, crisp(base), theme.grid);
  let free = -Infinity;
  ctx.font = SMALL;
  for (const v of axisTicks(lo, hi, Math.max(2, Math.floor(box.w / 70)), axis)) {
    const px = x(v);
    if (px < box.x - 1 || px > box.x + box.w + 1) continue;
    const words = axisText(v, axis);
    const half = ctx.measureText(words).width / 2;
    rule(ctx, crisp(px), base, crisp(px), base + 4, theme.muted);
    if (px - half < free) continue;
    text(ctx, words, px, base + 12, theme.muted, "center");
    free = px + half + 8;
  }
}

/** A name that fits in `width`, its middle left out when it must be. */
export function label(
  ctx: Context,
  name: string,
  x: number,
  y: number,
  width: number,
  theme: Theme,
  bold = false,
): void {
  ctx.font = bold ? `600 ${FONT}` : FONT;
  const fitting = shorten(name, width, (words) => ctx.measureText(words).width);
  text(ctx, fitting, x, y, theme.text, "left", ctx.font);
}

/** Lets what is beneath show through only faintly, so that one thing can stand out; the margin is cleared for its label. */
export function veil(ctx: Context, box: Box, margin: number, theme: Theme): void {
  ctx.fillStyle = theme.panel;
  ctx.globalAlpha = 0.72;
  ctx.fillRect(box.x + 1, box.y - 8, box.w - 1, box.h + 8);
  ctx.globalAlpha = 1;
  ctx.fillRect(box.x + box.w, 0, margin, box.y + box.h + 8);
}

/** Stretches of steps with the same word ('' is left out), as [first, last, word]. */
export function stretches(words: readonly string[]): [number, number, string][] {
  const out: [number, number, string][] = [];
  words.forEach((word, i) => {
    const last = out[out.length - 1];
    if (last && last[1] === i - 1 && last[2] === word) last[1] = i;
    else if (word) out.push([i, i, word]);
  });
  return out;
}

/** Hatched columns where nothing could be drawn, each with its word. */
export function drawGaps(
  ctx: Context,
  box: Box,
  edges: readonly number[],
  words: readonly string[],
  theme: Theme,
): void {
  let free = -Infinity;
  let line = 0;
  for (const [first, last, word] of stretches(words)) {
    const x0 = edges[first] ?? box.x;
    const x1 = edges[last + 1] ?? x0 + 1;
    hatch(ctx, { x: x0, y: box.y, w: Math.max(x1 - x0, 1), h: box.h }, theme, word === "NaN");
    ctx.font = SMALL;
    const half = ctx.measureText(word).width / 2 + 3;
    const middle = Math.min(Math.max((x0 + x1) / 2, box.x + half), box.x + box.w - half);
    // Words that would touch the one before stand a line lower, at most three lines deep.
    line = middle - half < free ? (line + 1) % 3 : 0;
    free = middle + half;
    ctx.fillStyle = theme.panel;
    ctx.fillRect(middle - half, box.y + 1 + line * 15, half * 2, 15);
    text(ctx, word, middle, box.y + 9 + line * 15, theme.muted, "center");
  }
}

/** Diagonal lines for what is missing, crossed ones for what is not finite. */
export function hatch(ctx: Context, box: Box, theme: Theme, crossed: boolean): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.x, box.y, box.w, box.h);
  ctx.clip();
  ctx.strokeStyle = theme.grid;
  ctx.lineWidth = 1;
  ctx.beginPath();
  for (let d = -box.h; d < box.w; d += 6) {
    ctx.moveTo(box.x + d, box.y + box.h);
    ctx.lineTo(box.x + d + box.h, box.y);
    if (crossed) {
      ctx.moveTo(box.x + d, box.y);
      ctx.lineTo(box.x + d + box.h, box.y + box.h);
    }
  }
  ctx.stroke();
  ctx.restore();
}

/** A word that reads upwards, on the panel's own ground. */
export function upright(ctx: Context, word: string, x: number, y: number, theme: Theme): void {
  ctx.save();
  ctx.translate(x, y);
  ctx.rotate(-Math.PI / 2);
  ctx.font = SMALL;
  const half = ctx.measureText(word).width / 2 + 4;
  ctx.fillStyle = theme.panel;
  ctx.fillRect(-half, -7, 2 * half, 14);
  text(ctx, word, 0, 0, theme.muted, "center");
  ctx.restore();
}

/** The step cursor: a dashed line through every panel. */
export const drawCursor = (ctx: Context, box: Box, x: number, theme: Theme): void =>
  rule(ctx, crisp(x), box.y, crisp(x), box.y + box.h, theme.text, [3, 3], 1.25);

/** Left for values, right for names; the same in every panel of a column so that their steps stand under each other. */
export const gutters = (width: number): { left: number; right: number } => ({
  left: width < 420 ? 46 : 54,
  right: Math.round(Math.min(170, Math.max(92, width * 0.2))),
});

export const tickWords = (v: number): string => String(Number(v.toPrecision(6))).replace("-", "−");
