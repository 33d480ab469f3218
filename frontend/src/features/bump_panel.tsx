/** Ranks over steps of the features that are drawn as lines. */
import type { CSSProperties, JSX } from "preact";
import { useMemo } from "preact/hooks";
import { moveTo } from "../state";
import { nearest, scale } from "./axis";
import { drawBump, lanes, type Bump } from "./bump";
import { Chart, type Draw } from "./chart";
import { dot, drawEndLabels, lastFinite, nearestLine, strokeLine } from "./lines";
import { highlighted, hovered, type Model } from "./model";
import { drawCursor, drawGaps, drawX, style, veil, type Box, type Theme } from "./paint";
import { ranksOver } from "./rank";
import { gapWord } from "./series";
import { plural } from "./words";

function layout(model: Model, k: number, width: number, height: number) {
  // Half of a narrow page: names get a larger share than under the wide lines.
  const margin = Math.round(Math.min(170, Math.max(92, width * 0.32)));
  const plot: Box = {
    x: 34,
    y: 26,
    w: Math.max(40, width - 34 - margin),
    h: Math.max(40, height - 26 - 22),
  };
  const x = scale(model.line.edges[0] ?? 0, model.line.edges.at(-1) ?? 1, plot.x, plot.x + plot.w);
  return { plot, margin, x, xs: model.line.xs.map(x), y: scale(1, k + 1, plot.y + 6, plot.y + plot.h - 8) };
}

export function BumpPanel({ model, top, theme }: { model: Model; top: number; theme: Theme }): JSX.Element {
  const { series, shown, t } = model;
  const k = Math.min(top, series.names.length);
  const chart = useMemo(() => {
    const ranks = ranksOver(series, shown);
    const bumps: Bump[] = shown.map((f, i) => ({
      label: series.names[f] ?? "",
      ranks: Float64Array.from(series.steps, (_, row) => ranks[row * shown.length + i] ?? NaN),
      style: style(model.slots.get(f) ?? 0, theme.dark),
    }));
    return { bumps, gaps: series.steps.map((_, i) => gapWord(series, i)) };
  }, [series, shown, theme]);

  const draw = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, margin, x, xs, y } = layout(model, k, width, height);
      drawGaps(ctx, { ...plot, y: plot.y - 22, h: plot.h + 22 }, model.line.edges.map(x), chart.gaps, theme);
      drawBump(ctx, plot, margin, xs, y, chart.bumps, k, theme);
      drawX(ctx, plot, x, model.line.axis, theme);
    },
    [chart, k, model.line, theme],
  );

  const over = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, margin, xs, y } = layout(model, k, width, height);
      const bump = chart.bumps.find((one) => one.label === highlighted());
      if (bump) {
        veil(ctx, plot, margin, theme);
        const lane = lanes(bump.ranks, k);
        strokeLine(ctx, xs, lane, y, bump.style, 3);
        lane.forEach((rank, i) => i === t && dot(ctx, xs[i] ?? 0, y(rank), bump.style, theme, 5));
        const end = bump.ranks[lastFinite(bump.ranks)] ?? NaN;
        const label = {
          label: end > k ? `${bump.label} (${end})` : bump.label,
          y: lane,
          style: bump.style,
          at: y(Math.min(end, k + 1)),
        };
        drawEndLabels(ctx, plot, margin, xs, [label], theme, label.label);
      }
      drawCursor(ctx, plot, xs[t] ?? plot.x, theme);
    },
    [chart, k, model.line, t, theme],
  );

  const lines = useMemo(
    () => chart.bumps.map((bump) => ({ label: bump.label, y: lanes(bump.ranks, k), style: bump.style })),
    [chart, k],
  );
  const stepAt = (px: number, size: readonly [number, number]) =>
    nearest(model.line.xs, layout(model, k, ...size).x.invert(px));
  const words = chart.bumps.map((bump) => `${bump.label}: ${bump.ranks[0] ?? "?"} first, ${bump.ranks[t] ?? "?"} now`);
  return (
    <figure class="fx-panel fx-bump" aria-label="Rank over steps">
      <figcaption>
        <h2>Rank over steps</h2>
        <small>1 = most important of {plural(series.names.length, "feature")}</small>
      </figcaption>
      <Chart
        name="Rank over steps"
        label={`Ranks of ${plural(shown.length, "feature")} over ${plural(series.steps.length, "step")}. ${words.slice(0, 5).join("; ")}.`}
        style={{ "--lanes": k + 1 } as CSSProperties}
        draw={draw}
        over={over}
        onHover={(px, py, size) => {
          const found = nearestLine(lines, stepAt(px, size), py, layout(model, k, ...size).y, 20);
          hovered.value = found === null ? null : (lines[found]?.label ?? null);
        }}
        onLeave={() => (hovered.value = null)}
        onPick={(px, _, size) => {
          const to = series.steps[stepAt(px, size)];
          if (to !== undefined) moveTo(to);
        }}
      />
    </figure>
  );
}
