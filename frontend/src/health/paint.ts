/** Marks on a canvas: cells of layers and steps, and the words for what is wrong with them. */
import { table as colours, type ColourMap } from "../colour_tables";
import { shorten } from "../features/labels";
import { columnsAt, columnsOf, fill, ramp, SIDE, type Grid } from "../features/matrix";
import { FONT, hatch, rule, SMALL, text, type Box, type Context, type Theme } from "../features/paint";
import { gravity, isBad, markOf, when, type Spell } from "./states";
import type { Health } from "./model";

export interface Ink extends Theme {
  /** of words for trouble */
  alarm: string;
}

/** The 511 colours of the matrix's table: a scale from 0 to 1 uses the upper half, one around 0 both. */
export function tableOf(map: ColourMap | "signed", theme: Theme): Uint32Array {
  if (map === "signed") return ramp(theme.panel, theme.dark);
  const words = new Uint32Array(2 * SIDE + 1);
  const bytes = new Uint8Array(words.buffer);
  const from = colours(map);
  for (let i = 0; i < words.length; i++) {
    const row = 3 * Math.max(0, i - SIDE);
    bytes.set([from[row] as number, from[row + 1] as number, from[row + 2] as number, 255], 4 * i);
  }
  return words;
}

/** The colour of a share as CSS, for legends. */
export function cssOf(table: Uint32Array, share: number): string {
  const bytes = new Uint8Array(table.buffer);
  const at = 4 * (SIDE + Math.sign(share) * Math.round(SIDE * Math.abs(share)));
  return `rgb(${bytes[at] ?? 0} ${bytes[at + 1] ?? 0} ${bytes[at + 2] ?? 0})`;
}

/** Shares (rows, steps) as a grid; where several steps stand in one column, the one farthest from 0 counts. */
export function gridOf(
  share: (row: number, t: number) => number,
  rows: number,
  columnOf: ArrayLike<number>,
  columns: number,
): Grid {
  const values = new Float32Array(rows * columns).fill(NaN);
  for (let row = 0; row < rows; row++)
    for (let t = 0; t < columnOf.length; t++) {
      const value = share(row, t);
      const cell = row * columns + (columnOf[t] as number);
      if (!Number.isNaN(value) && !(Math.abs(values[cell] as number) >= Math.abs(value))) values[cell] = value;
    }
  return { rows, columns, values, peak: 1 };
}

/** Cells at the screen's own resolution, so that their borders are sharp. */
export function drawCells(
  ctx: Context,
  box: Box,
  cells: readonly number[],
  rows: number,
  share: (row: number, t: number) => number,
  table: Uint32Array,
  theme: Theme,
  gaps = true,
): void {
  const from = cells[0] ?? box.x;
  const to = cells.at(-1) ?? box.x + box.w;
  const ratio = ctx.getTransform().a;
  const w = Math.max(1, Math.round((to - from) * ratio));
  const h = Math.max(1, Math.round(box.h * ratio));
  const sharp = cells.map((edge) => edge * ratio);
  const { of, count } = columnsOf(sharp, w, from * ratio);
  const image = new ImageData(w, h);
  const columns = columnsAt(sharp, of, w, from * ratio);
  fill(new Uint32Array(image.data.buffer), w, h, gridOf(share, rows, of, count), columns, table, false, false);
  const off = new OffscreenCanvas(w, h);
  off.getContext("2d")?.putImageData(image, 0, 0);
  ctx.drawImage(off, from, box.y, to - from, box.h);
  if (gaps && box.h / rows >= 8)
    for (let row = 1; row < rows; row++) {
      const y = Math.round(box.y + (row * box.h) / rows);
      rule(ctx, from, y, to, y, theme.panel, [], 2);
    }
}

/** Hatches what has no colour: crossed where a value is not finite, single where there is no such figure. */
export function drawHoles(ctx: Context, box: Box, cells: readonly number[], crossed: boolean, theme: Theme): void {
  const from = cells[0] ?? box.x;
  hatch(ctx, { ...box, x: from, w: (cells.at(-1) ?? from) - from }, theme, crossed);
}

/** One stretch of trouble: a frame with a thick first edge, and its word or mark where there is room. */
export function drawSpell(ctx: Context, spell: Spell, box: Box, ink: Ink): void {
  const bad = isBad(spell.state);
  const colour = bad ? ink.alarm : ink.muted;
  const y = box.y + 1;
  const h = Math.max(2, box.h - 2);
  ctx.lineWidth = 2.5;
  ctx.strokeStyle = ink.panel;
  ctx.strokeRect(box.x + 1.5, y + 0.5, Math.max(1, box.w - 3), h - 1);
  ctx.lineWidth = bad ? 1.25 : 1;
  ctx.strokeStyle = colour;
  ctx.setLineDash(bad ? [] : [3, 2]);
  ctx.strokeRect(box.x + 1.5, y + 0.5, Math.max(1, box.w - 3), h - 1);
  ctx.setLineDash([]);
  if (bad) rule(ctx, box.x + 1.5, y, box.x + 1.5, y + h, colour, [], 3);
  if (box.h < 11) return;
  const mark = markOf(spell.state);
  ctx.font = `600 ${SMALL}`;
  const said = [`${mark} ${spell.state}`, mark].find((words) => ctx.measureText(words).width + 12 <= box.w);
  if (!said) return;
  const wide = ctx.measureText(said).width + 8;
  const left = said === mark ? box.x + (box.w - wide) / 2 : box.x + 3;
  ctx.fillStyle = ink.panel;
  ctx.fillRect(left, y + 1, wide, h - 2);
  text(ctx, said, left + 4, box.y + box.h / 2 + 0.5, colour, "left", `600 ${SMALL}`);
}

/** A layer's name, right-aligned: what it lies in is dim, and is given up first where there is no room. */
export function drawName(
  ctx: Context,
  name: string,
  x: number,
  y: number,
  width: number,
  ink: Ink,
  bold: boolean,
): void {
  const cut = name.lastIndexOf("/") + 1;
  const font = bold ? `600 ${FONT}` : FONT;
  ctx.font = font;
  const measure = (words: string): number => ctx.measureText(words).width;
  const own = shorten(name.slice(cut), width, measure);
  const room = width - measure(own);
  text(ctx, own, x, y, ink.text, "right", font);
  if (!cut) return;
  const within = measure(name.slice(0, cut)) <= room ? name.slice(0, cut) : measure("…/") <= room ? "…/" : "";
  text(ctx, within, x - measure(own), y, ink.muted, "right", FONT);
}

/** What was worst about a layer and when, at the right of its row. */
export function drawVerdict(
  ctx: Context,
  health: Health,
  spell: Spell | null,
  x: number,
  y: number,
  width: number,
  ink: Ink,
): void {
  const state = spell?.state ?? (health.states.some((row) => row !== null) ? "healthy" : "");
  if (!state) return;
  const bad = isBad(state);
  const font = bad ? `600 ${FONT}` : FONT;
  ctx.font = font;
  const mark = markOf(state);
  const wishes = spell
    ? [`${mark} ${state} ${when(health, spell)}`, `${mark} ${state}`, mark]
    : [`${mark} ${state}`, mark];
  const said = wishes.find((words) => ctx.measureText(words).width <= width) ?? mark;
  text(ctx, said, x, y, bad ? ink.alarm : ink.muted, "left", font);
}

/** The gravest word of a layer between two rows, for cells that stand for several steps. */
export function gravest(health: Health, layer: number, first: number, last: number): string {
  let found = "";
  for (let t = first; t <= last; t++) {
    const word = health.states[t]?.[layer] ?? "";
    if (word && (!found || gravity(word) < gravity(found))) found = word;
  }
  return found;
}
