/** A beeswarm: each dot is an example, x its attribution, its place across the row only room for the others. */
import type { Probe, StepMaps } from "../api";
import type { Scale } from "./axis";
import { dodge } from "./labels";
import { label, rule, text, type Box, type Context, type Theme } from "./paint";

export interface SwarmRow {
  name: string;
  /** attribution of each example */
  x: Float64Array;
  /** value of the feature in each example, null where several are folded into one */
  value: Float64Array | null;
  /** place of the value among the examples from 0 (lowest) to 1, for colour */
  shade: Float64Array | null;
}

/** Values of one step, (n, d) row-major, NaN where they are not finite. */
export function valuesOf({ shape: [n, h, w], bytes, low, high }: StepMaps): { n: number; d: number; of: Float64Array } {
  const d = h * w;
  const of = Float64Array.from(bytes, (q, at) => {
    const [from, to] = [low[Math.floor(at / d)] ?? NaN, high[Math.floor(at / d)] ?? NaN];
    return q === 255 ? NaN : from + ((to - from) * q) / 254;
  });
  return { n, d, of };
}

/** Mid-ranks scaled to 0..1; all 0.5 where every value is the same. */
export function shades(values: ArrayLike<number>): Float64Array {
  const n = values.length;
  const order = Array.from({ length: n }, (_, i) => i)
    .filter((i) => Number.isFinite(values[i]))
    .sort((a, b) => (values[a] as number) - (values[b] as number));
  const out = new Float64Array(n).fill(NaN);
  for (let from = 0; from < order.length;) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1] as number] === values[order[from] as number]) to++;
    for (let i = from; i <= to; i++)
      out[order[i] as number] = order.length > 1 ? (from + to) / 2 / (order.length - 1) : 0.5;
    from = to + 1;
  }
  return out;
}

/** Rows for some features: `parts` are the columns of each, more than one where features are folded. */
export function swarmRows(
  maps: StepMaps,
  probe: Probe | null,
  rows: readonly { name: string; parts: readonly number[] }[],
): SwarmRow[] {
  const { n, d, of } = valuesOf(maps);
  const table = probe?.values && probe.values.shape[1] === d ? probe.values.data : null;
  return rows.map(({ name, parts }) => {
    const x = Float64Array.from({ length: n }, (_, i) => parts.reduce((sum, f) => sum + (of[i * d + f] ?? NaN), 0));
    const [only] = parts;
    const value =
      table && only !== undefined && parts.length === 1
        ? Float64Array.from({ length: n }, (_, i) => table[i * d + only] ?? NaN)
        : null;
    return { name, x, value, shade: value && shades(value) };
  });
}

/** How far each dot stands from the middle of its row so that none cover each other, at most `most` away. */
export function offsets(px: ArrayLike<number>, radius: number, most: number): Float64Array {
  const out = new Float64Array(px.length).fill(NaN);
  const order = Array.from({ length: px.length }, (_, i) => i)
    .filter((i) => Number.isFinite(px[i]))
    .sort((a, b) => (px[a] as number) - (px[b] as number) || a - b);
  const near = 2 * radius;
  let first = 0;
  order.forEach((i, place) => {
    const x = px[i] as number;
    while (x - (px[order[first] as number] as number) >= near) first++;
    const taken = order.slice(first, place).map((j) => {
      const dx = x - (px[j] as number);
      return [out[j] as number, Math.sqrt(near * near - dx * dx)] as const;
    });
    const free = (y: number): boolean => taken.every(([at, gap]) => Math.abs(y - at) >= gap - 1e-9);
    const wanted = [0, ...taken.flatMap(([at, gap]) => [at + gap, at - gap])].sort(
      (a, b) => Math.abs(a) - Math.abs(b) || b - a,
    );
    const found = wanted.find((y) => Math.abs(y) <= most && free(y));
    // no room left: dots of the fullest place share it
    out[i] = found ?? Math.max(-most, Math.min(most, (wanted[wanted.length - 1] ?? 0) % (most || 1)));
  });
  return out;
}

/** Spearman's correlation of values and attributions, NaN where either is constant: which way the feature pushes. */
export function direction({ x, value }: SwarmRow): number {
  if (!value) return NaN;
  const both = Array.from(x, (_, i) => i).filter((i) => Number.isFinite(x[i]) && Number.isFinite(value[i]));
  const [a, b] = [shades(both.map((i) => x[i] as number)), shades(both.map((i) => value[i] as number))];
  const sum = (of: (i: number) => number): number => both.reduce((total, _, i) => total + of(i), 0);
  const at = (of: Float64Array, i: number): number => (of[i] as number) - 0.5;
  const size = Math.sqrt(sum((i) => at(a, i) ** 2) * sum((i) => at(b, i) ** 2));
  return size > 0 ? sum((i) => at(a, i) * at(b, i)) / size : NaN;
}

export interface Dots {
  /** px and py of every dot of a row */
  px: Float64Array;
  py: Float64Array;
}

export function place(rows: readonly SwarmRow[], box: Box, x: Scale, radius: number): Dots[] {
  const height = box.h / Math.max(1, rows.length);
  return rows.map((row, r) => {
    const px = row.x.map((value) => x(value));
    const middle = box.y + (r + 0.5) * height;
    return { px, py: offsets(px, radius, height / 2 - radius - 1).map((off) => middle + off) };
  });
}

/** Colour of a dot: a row of a table of 256 colours; without a value, the colour of plain text. */
export const shadeColour = (table: Uint8Array, shade: number, theme: Theme): string => {
  if (!Number.isFinite(shade)) return theme.muted;
  const at = 3 * Math.round(shade * 255);
  return `rgb(${table[at] ?? 0} ${table[at + 1] ?? 0} ${table[at + 2] ?? 0})`;
};

export function drawSwarm(
  ctx: Context,
  box: Box,
  margin: number,
  rows: readonly SwarmRow[],
  dots: readonly Dots[],
  x: Scale,
  radius: number,
  table: Uint8Array,
  theme: Theme,
): void {
  const height = box.h / Math.max(1, rows.length);
  const names = dodge(
    rows.map((_, r) => box.y + (r + 0.5) * height),
    14,
    box.y,
    box.y + box.h,
  );
  const zero = Math.round(x(0)) + 0.5;
  rule(ctx, zero, box.y, zero, box.y + box.h, theme.muted);
  rows.forEach((row, r) => {
    const middle = Math.round(box.y + (r + 0.5) * height) + 0.5;
    rule(ctx, box.x, middle, box.x + box.w, middle, theme.grid, [1, 3]);
    const { px, py } = dots[r] as Dots;
    ctx.lineWidth = 0.75;
    ctx.strokeStyle = theme.muted;
    px.forEach((at, i) => {
      if (!Number.isFinite(py[i])) return;
      ctx.beginPath();
      ctx.arc(at, py[i] as number, radius, 0, 2 * Math.PI);
      ctx.fillStyle = shadeColour(table, row.shade?.[i] ?? NaN, theme);
      ctx.fill();
      ctx.stroke();
    });
    label(ctx, row.name, box.x + box.w + 8, names[r] as number, margin - 12, theme);
    if (!row.x.some(Number.isFinite)) text(ctx, "not finite", box.x + 6, middle, theme.muted);
  });
}

/** The example beside another in the order of a row's values; without one, the first from that side. */
export function besideOf({ x }: SwarmRow, example: number | null, by: 1 | -1): number | null {
  const along = [...x.keys()].filter((i) => Number.isFinite(x[i]));
  along.sort((a, b) => (x[a] as number) - (x[b] as number) || a - b);
  const at = example === null ? -1 : along.indexOf(example);
  const to = at < 0 ? (by > 0 ? 0 : along.length - 1) : Math.min(along.length - 1, Math.max(0, at + by));
  return along[to] ?? null;
}
