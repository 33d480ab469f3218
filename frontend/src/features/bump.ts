/** Ranks over steps: one line per feature, a lane below for those that are not among the first k. */
import type { Scale } from "./axis";
import { CROWD, drawEndLabels, dot, lastFinite, strokeLine } from "./lines";
import { rule, text, type Box, type Context, type Style, type Theme } from "./paint";

export interface Bump {
  label: string;
  /** rank among all features at every step, 1 = strongest; NaN = no value */
  ranks: Float64Array;
  style: Style;
}

/** Ranks as lanes: 1..k keep theirs, all others share lane k + 1. */
export const lanes = (ranks: ArrayLike<number>, k: number): Float64Array =>
  Float64Array.from(ranks, (rank) => (Number.isNaN(rank) ? NaN : Math.min(rank, k + 1)));

export function drawBump(
  ctx: Context,
  box: Box,
  margin: number,
  xs: readonly number[],
  y: Scale,
  bumps: readonly Bump[],
  k: number,
  theme: Theme,
): void {
  const each = Math.max(1, Math.ceil(14 / Math.max(1, Math.abs(y(2) - y(1)))));
  for (let rank = 1; rank <= k; rank += rank === 1 && each > 1 ? each - 1 : each) {
    const py = Math.round(y(rank)) + 0.5;
    rule(ctx, box.x, py, box.x + box.w, py, theme.grid);
    text(ctx, String(rank), box.x - 8, py, theme.muted, "right");
  }
  const floor = Math.round(y(k + 1)) + 0.5;
  rule(ctx, box.x, floor, box.x + box.w, floor, theme.grid, [2, 4]);
  text(ctx, `> ${k}`, box.x - 8, floor, theme.muted, "right");
  const apart = xs.length > 1 ? ((xs[xs.length - 1] as number) - (xs[0] as number)) / (xs.length - 1) : box.w;
  const drawn = bumps.map((bump) => ({ ...bump, lane: lanes(bump.ranks, k) }));
  for (const bump of [...drawn].reverse()) {
    const crowd = bumps.length > CROWD;
    strokeLine(ctx, xs, bump.lane, y, crowd ? { ...bump.style, dash: [] } : bump.style, crowd ? 1 : 2);
    if (apart >= 11)
      xs.forEach(
        (x, t) =>
          (bump.lane[t] as number) <= k &&
          dot(ctx, x, y(bump.lane[t] as number), bump.style, theme, Math.min(4, apart / 4)),
      );
  }
  const ends = drawn.map((bump) => {
    const rank = bump.ranks[lastFinite(bump.ranks)] ?? NaN;
    return {
      label: rank > k ? `${bump.label} (${rank})` : bump.label,
      y: bump.lane,
      style: bump.style,
      at: y(Math.min(rank, k + 1)),
      rank,
    };
  });
  ends.sort((a, b) => a.rank - b.rank);
  drawEndLabels(ctx, box, margin, xs, ends, theme);
}
