/** Cells of rows and steps as colours: shares to a grid, a grid to pixels. */
import { table as colours, type ColourMap } from "./colour_tables";
import { columnsAt, columnsOf, fill, ramp, SIDE, type Grid } from "./features/matrix";
import { hatch, rule, type Box, type Context, type Theme } from "./features/paint";

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
      rule(ctx, from, y, to, y, theme.panel, [], box.h / rows < 14 ? 1 : 2);
    }
}

/** Hatches what has no colour: crossed where a value is not finite, single where there is no such figure. */
export function drawHoles(ctx: Context, box: Box, cells: readonly number[], crossed: boolean, theme: Theme): void {
  const from = cells[0] ?? box.x;
  hatch(ctx, { ...box, x: from, w: (cells.at(-1) ?? from) - from }, theme, crossed);
}
