/** The feature x step matrix: values to a grid, a grid to pixels. */
import { rowAt, type Series } from "./series";

type Rgb = readonly [number, number, number];

// The halves of RdBu_r, as in the maps: red above zero, blue below; zero is the panel itself, in either theme.
const ABOVE: Record<"light" | "dark", readonly Rgb[]> = {
  light: [
    [253, 219, 199],
    [244, 165, 130],
    [214, 96, 77],
    [178, 24, 43],
    [103, 0, 31],
  ],
  dark: [
    [92, 44, 44],
    [150, 52, 50],
    [214, 96, 77],
    [244, 165, 130],
    [255, 232, 218],
  ],
};
const BELOW: Record<"light" | "dark", readonly Rgb[]> = {
  light: [
    [209, 229, 240],
    [146, 197, 222],
    [67, 147, 195],
    [33, 102, 172],
    [5, 48, 97],
  ],
  dark: [
    [40, 58, 82],
    [33, 92, 150],
    [67, 147, 195],
    [146, 197, 222],
    [220, 238, 248],
  ],
};

export const SIDE = 255;

/** A colour written as #rrggbb. */
export const rgb = (hex: string): Rgb => {
  const n = Number.parseInt(hex.slice(1), 16);
  return hex.length === 7 && Number.isFinite(n) ? [n >> 16, (n >> 8) & 255, n & 255] : [255, 255, 255];
};

/** 511 colours as RGBA words in memory order, from -1 over 0 (index 255) to +1. */
export function ramp(panel: string, dark: boolean): Uint32Array {
  const table = new Uint32Array(2 * SIDE + 1);
  const bytes = new Uint8Array(table.buffer);
  for (let i = -SIDE; i <= SIDE; i++) {
    const anchors = [rgb(panel), ...(i < 0 ? BELOW : ABOVE)[dark ? "dark" : "light"]];
    const place = (Math.abs(i) / SIDE) * (anchors.length - 1);
    const k = Math.min(Math.floor(place), anchors.length - 2);
    const [from, to] = [anchors[k] as Rgb, anchors[k + 1] as Rgb];
    for (let c = 0; c < 3; c++)
      bytes[(i + SIDE) * 4 + c] = Math.round(
        (from[c] as number) + ((to[c] as number) - (from[c] as number)) * (place - k),
      );
    bytes[(i + SIDE) * 4 + 3] = 255;
  }
  return table;
}

export interface Grid {
  rows: number;
  columns: number;
  /** Value with the largest magnitude among the features and steps that share the cell; NaN when none is finite. */
  values: Float32Array;
  /** largest magnitude of the whole grid */
  peak: number;
}

/** Reduces (t, d) in the given row order to at most `maxRows` x `maxColumns` cells, keeping the strongest value of each. */
export function reduce(
  series: Series,
  ordered: readonly number[],
  columnOf: ArrayLike<number>,
  columns: number,
  maxRows: number,
): Grid {
  const n = ordered.length;
  const rows = Math.max(1, Math.min(n, Math.floor(maxRows)));
  const values = new Float32Array(rows * columns).fill(NaN);
  const index = Int32Array.from(ordered);
  const rowOf = Int32Array.from({ length: n }, (_, i) => Math.floor((i * rows) / n));
  let peak = 0;
  for (let t = 0; t < series.steps.length; t++) {
    const row = rowAt(series.mean, series, t);
    const column = columnOf[t] as number;
    for (let i = 0; i < n; i++) {
      const v = row[index[i] as number] as number;
      const size = v < 0 ? -v : v;
      if (!(size < Infinity)) continue;
      const cell = (rowOf[i] as number) * columns + column;
      const held = values[cell] as number;
      if (!((held < 0 ? -held : held) >= size)) values[cell] = v;
      if (size > peak) peak = size;
    }
  }
  return { rows, columns, values, peak };
}

/** -1 .. 1 to a ramp index; `root` spreads the small ones. */
export const rampIndex = (value: number, peak: number, root: boolean): number => {
  const share = peak > 0 ? Math.min(Math.abs(value) / peak, 1) : 0;
  return SIDE + Math.sign(value) * Math.round(SIDE * (root ? Math.sqrt(share) : share));
};

/**
 * Fills an RGBA image (as 32-bit words) from a grid. `columnAt` names the grid column of every pixel column; cells that are
 * large enough keep one pixel of the panel between their rows; cells without a finite value stay transparent for a hatch beneath.
 */
export function fill(
  image: Uint32Array,
  width: number,
  height: number,
  grid: Grid,
  columnAt: ArrayLike<number>,
  table: Uint32Array,
  root: boolean,
  gap: boolean,
): void {
  const colours = new Uint32Array(grid.values.length);
  for (let i = 0; i < colours.length; i++) {
    const v = grid.values[i] as number;
    colours[i] = Number.isNaN(v) ? 0 : (table[rampIndex(v, grid.peak, root)] as number);
  }
  let before = -1;
  let drawn = -1;
  for (let py = 0; py < height; py++) {
    const row = Math.min(grid.rows - 1, Math.floor((py * grid.rows) / height));
    const border = gap && row !== before && py > 0;
    before = row;
    const start = py * width;
    if (border) {
      image.fill(table[SIDE] as number, start, start + width);
      continue;
    }
    if (drawn === row) image.copyWithin(start, start - width, start);
    else
      for (let px = 0; px < width; px++)
        image[start + px] = colours[row * grid.columns + (columnAt[px] as number)] as number;
    drawn = row;
  }
}

/** The grid column under every pixel column; cells may differ in width. */
export function columnsAt(
  edges: readonly number[],
  columnOf: ArrayLike<number>,
  width: number,
  left: number,
): Int32Array {
  const out = new Int32Array(width);
  let t = 0;
  for (let px = 0; px < width; px++) {
    while (t < edges.length - 2 && (edges[t + 1] as number) <= left + px + 0.5) t++;
    out[px] = columnOf[t] as number;
  }
  return out;
}

/** Grid columns for steps: one each while they are wider than a pixel, else one per pixel column. */
export function columnsOf(edges: readonly number[], width: number, left: number): { of: Int32Array; count: number } {
  const t = edges.length - 1;
  if (t <= width) return { of: Int32Array.from({ length: t }, (_, i) => i), count: t };
  const count = Math.max(1, Math.floor(width));
  const of = Int32Array.from({ length: t }, (_, i) => {
    const middle = ((edges[i] as number) + (edges[i + 1] as number)) / 2 - left;
    return Math.min(count - 1, Math.max(0, Math.floor((middle / width) * count)));
  });
  return { of, count };
}
