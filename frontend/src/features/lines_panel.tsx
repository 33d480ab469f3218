/** Lines over steps with their bands, the rest as an envelope, and the model's score under them on the same axis. */
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { runColour } from "../host";
import { moveTo, runs } from "../state";
import { axisValues, AXIS_WORDS, nearest, scale, ticks, type Scale } from "./axis";
import { Chart, type Draw } from "./chart";
import {
  CROWD,
  dot,
  drawEndLabels,
  drawLines,
  drawStrip,
  extent,
  fillBand,
  lastFinite,
  nearestLine,
  strokeLine,
  type Line,
} from "./lines";
import { highlighted, hovered, type Model } from "./model";
import {
  drawCursor,
  drawGaps,
  drawX,
  drawY,
  gutters,
  rule,
  style,
  text,
  tickWords,
  veil,
  type Box,
  type Theme,
} from "./paint";
import { envelope } from "./rank";
import { curve, gapWord, type Series } from "./series";
import { bandWords, number, summary, unitWords } from "./words";

/** Where things stand in a chart of this size. */
function layout(model: Model, width: number, height: number, y: readonly [number, number], hasScore: boolean) {
  const { left, right } = gutters(width);
  const strip = hasScore ? Math.max(34, Math.round(height * 0.13)) : 0;
  const plot: Box = {
    x: left,
    y: 8,
    w: Math.max(40, width - left - right),
    h: Math.max(40, height - 8 - 20 - (strip ? strip + 12 : 0)),
  };
  const x = scale(...model.line.domain, plot.x, plot.x + plot.w);
  return {
    plot,
    strip: { x: plot.x, y: plot.y + plot.h + 12, w: plot.w, h: strip } satisfies Box,
    x,
    xs: model.line.xs.map(x),
    y: scale(y[0], y[1], plot.y + plot.h, plot.y),
  };
}

/** The same feature of another run, as far as the lead run goes; null when it has none. */
function twin(other: Series, name: string, model: Model): { xs: number[]; y: Float64Array } | null {
  const f = other.names.indexOf(name);
  if (f < 0) return null;
  const all = axisValues(other, model.line.axis);
  const from = Math.max(
    0,
    all.findIndex((x) => x >= model.line.domain[0]),
  );
  const xs = all.slice(from).filter((x) => x <= model.line.domain[1]);
  return { xs, y: curve(other.mean, other, f).subarray(from, from + xs.length) };
}

export function LinesPanel({ model, theme }: { model: Model; theme: Theme }): JSX.Element {
  const { series, shown, others, t } = model;
  const chart = useMemo(() => {
    const lines: Line[] = shown.map((f) => ({
      label: series.names[f] ?? "",
      y: curve(series.mean, series, f),
      low: curve(series.low, series, f),
      high: curve(series.high, series, f),
      style: style(model.slots.get(f) ?? 0, theme.dark),
    }));
    const rest = series.names.length > shown.length ? envelope(series, new Set(shown)) : null;
    const twins = others.flatMap((other) => lines.flatMap((line) => twin(other, line.label, model)?.y ?? []));
    const columns = [
      ...lines.flatMap((l) => [l.y, l.low ?? [], l.high ?? []]),
      ...(rest ? [rest.low, rest.high] : []),
      ...twins,
    ];
    return {
      lines,
      rest,
      y: extent(columns),
      gaps: series.steps.map((_, i) => gapWord(series, i)),
      score: series.score.some(Number.isFinite),
    };
  }, [series, others, shown, model.line, theme]);
  const place = (width: number, height: number) => layout(model, width, height, chart.y, chart.score);

  const draw = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, strip, x, xs, y } = place(width, height);
      drawGaps(ctx, plot, model.line.edges.map(x), chart.gaps, theme);
      drawY(ctx, plot, y, ticks(...chart.y, Math.max(2, Math.floor(plot.h / 36))), tickWords, theme);
      if (chart.rest) fillBand(ctx, xs, chart.rest.low, chart.rest.high, y, theme.muted, 0.2);
      drawLines(ctx, plot, gutters(width).right, xs, y, chart.lines, theme);
      if (!chart.score) return drawX(ctx, plot, x, model.line.axis, theme);
      const range = extent([series.score], false);
      const ys = scale(range[0], range[1], strip.y + strip.h - 3, strip.y + 3);
      drawStrip(ctx, strip, xs, ys, series.score, theme);
      const finite = series.score.filter(Number.isFinite);
      for (const [value, py] of [
        [Math.max(...finite), strip.y + 6],
        [Math.min(...finite), strip.y + strip.h - 6],
      ] as const)
        text(ctx, number(value), strip.x - 6, py, theme.muted, "right");
      text(
        ctx,
        `${series.kind === "importance" ? "" : "mean "}${series.metric ?? "score"}`,
        strip.x + strip.w + 8,
        strip.y + strip.h / 2,
        theme.muted,
      );
      drawX(ctx, strip, x, model.line.axis, theme);
    },
    [chart, model.line, theme],
  );

  const over = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, strip, x, xs, y } = place(width, height);
      const name = highlighted();
      const f = name === null ? -1 : series.names.indexOf(name);
      if (name !== null && f >= 0) drawHighlight(name, f);
      const cx = xs[t] ?? plot.x;
      drawCursor(ctx, { ...plot, h: (chart.score ? strip.y + strip.h : plot.y + plot.h) - plot.y }, cx, theme);
      for (const line of chart.lines)
        if (name === null || name === line.label) dot(ctx, cx, y(line.y[t] ?? NaN), line.style, theme);

      function drawHighlight(label: string, feature: number): void {
        veil(ctx, plot, gutters(width).right, theme);
        const line = chart.lines.find((one) => one.label === label);
        const looks = line?.style ?? { colour: theme.text, dash: [] };
        const own = line?.y ?? curve(series.mean, series, feature);
        fillBand(
          ctx,
          xs,
          curve(series.low, series, feature),
          curve(series.high, series, feature),
          y,
          looks.colour,
          0.22,
        );
        rule(ctx, plot.x, Math.round(y(0)) + 0.5, plot.x + plot.w, Math.round(y(0)) + 0.5, theme.muted);
        const ends = [
          {
            label,
            y: own,
            style: looks,
            at: y(own[lastFinite(own)] ?? NaN),
          },
        ];
        for (const other of others) {
          const found = twin(other, label, model);
          if (!found) continue;
          const colour = runColour(
            other.members?.[0] ?? other.run,
            runs.value.map((one) => one.name),
          );
          const dashed = { colour, dash: [5, 4] };
          const { y: values } = found;
          strokeLine(ctx, found.xs.map(x), values, y, dashed, 1.75);
          ends.push({ label: other.run, y: values, style: dashed, at: y(values[lastFinite(values)] ?? NaN) });
        }
        strokeLine(ctx, xs, own, y, looks, 2.5);
        drawEndLabels(ctx, plot, gutters(width).right, xs, ends, theme, ends[0]?.label);
      }
    },
    [chart, model.line, t, theme],
  );

  const stepAt = (px: number, x: Scale) => nearest(model.line.xs, x.invert(px));
  return (
    <figure class="fx-panel fx-lines" aria-label="Importance over steps">
      <figcaption>
        <h2>
          {series.kind === "importance" ? "Importance" : "Attribution"} over {AXIS_WORDS[model.line.axis]}
        </h2>
        <small>
          {unitWords(series)}; band{shown.length > CROWD ? " of the highlighted one" : ""}: {bandWords(series)}
          {chart.rest && `; grey: the other ${(series.names.length - shown.length).toLocaleString("en")}`}
        </small>
      </figcaption>
      <Chart
        name="Importance over steps"
        label={summary(series, t, model.ordered)}
        draw={draw}
        over={over}
        onHover={(px, py, size) => {
          const { x, y, plot } = place(...size);
          const found = py > plot.y + plot.h ? null : nearestLine(chart.lines, stepAt(px, x), py, y);
          hovered.value = found === null ? null : (chart.lines[found]?.label ?? null);
        }}
        onLeave={() => (hovered.value = null)}
        onPick={(px, _, size) => {
          const to = series.steps[stepAt(px, place(...size).x)];
          if (to !== undefined) moveTo(to);
        }}
      />
    </figure>
  );
}
