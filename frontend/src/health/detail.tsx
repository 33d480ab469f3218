/** What stands beside the matrices: one layer in words, and its measure over the steps. */
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { AXIS_WORDS, nearest, scale, type AxisKind } from "../features/axis";
import { Chart, type Draw } from "../features/chart";
import { drawLines, fillBand, strokeLine, type Line as Curve } from "../features/lines";
import { drawCursor, drawX, drawY, style, text, type Box, type Context } from "../features/paint";
import { short } from "../colour";
import { runColour } from "../host";
import { moveTo, runs } from "../state";
import { stepName } from "../step_bar";
import type { Line } from "./matrix";
import { MEASURES, thresholdsOf, valueWords, type Measure, type Ruler } from "./measures";
import { at, curve, type Health } from "./model";
import type { Ink } from "./paint";
import { isBad, markOf, meaning } from "./states";

export interface Shared {
  health: Health;
  line: Line;
  axis: AxisKind;
  t: number;
  layer: number;
  ink: Ink;
}

export const plotOf = (width: number, height: number, right: number): Box => ({
  x: 58,
  y: 8,
  w: Math.max(40, width - 58 - right),
  h: Math.max(40, height - 8 - 22),
});

/** "0 of 64 examples: ..." : what a share of dead units says, and what it cannot say. */
export function boundWords({ n, deadBound }: Pick<Health, "n" | "deadBound">): string | null {
  if (n === null || deadBound === null) return null;
  return `A unit counts as dead when it fires for 0 of ${n} examples: it fires for at most ${short(100 * deadBound)} % of all, 95 % sure.`;
}

/** Every measure of one layer at the cursor, with the limits that words are given by. */
export function Facts({ health, t, layer }: Pick<Shared, "health" | "t" | "layer">): JSX.Element {
  const lost = health.missing.get(health.steps[t] ?? NaN);
  const state = health.states[t]?.[layer] ?? "";
  return (
    <section class="hx-facts" aria-label="Layer at the cursor">
      <h2>{health.layers[layer]}</h2>
      <p class="dim">
        {health.run}, {stepName(health.steps[t] ?? 0, health.epochs[t] ?? NaN)}, layer {layer + 1} of{" "}
        {health.layers.length}
      </p>
      {lost !== undefined && <p class="notice">This step is missing: {lost}</p>}
      {state && (
        <p class={isBad(state) ? "hx-word bad" : "hx-word"}>
          <b>
            <span aria-hidden="true">{markOf(state)}</span> {state}
          </b>
          : {meaning(state, health)}
        </p>
      )}
      <table>
        <tbody>
          {MEASURES.map((measure) => {
            const value = at(health, measure.key, t, layer);
            const limits = thresholdsOf(measure, health, layer).filter(({ values }) => Number.isFinite(values[t]));
            return (
              <tr key={measure.key} class={Number.isNaN(value) ? "dim" : ""} title={measure.what}>
                <th scope="row">{measure.title}</th>
                <td>{valueWords(measure, value)}</td>
                <td class="dim">
                  {limits.map(({ words, values }) => `${words} ${valueWords(measure, values[t] ?? NaN)}`).join("; ")}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {at(health, "dead", t, layer) > 0 && <p class="dim">{boundWords(health)}</p>}
    </section>
  );
}

interface LinesProps extends Shared {
  others: readonly { health: Health; line: Line }[];
  beside: readonly number[];
  measure: Measure;
  ruler: Ruler;
}

/** The measure over the steps: chosen layers, the same layer of the other runs, limits, and the rest in grey. */
export function MeasureLines(props: LinesProps): JSX.Element {
  const { health, others, line, axis, t, layer, beside, measure, ruler, ink } = props;
  const chart = useMemo(() => {
    const shares = (one: Health, l: number): number[] => curve(one, measure.key, l).map((v) => ruler.share(v));
    const lines: Curve[] = beside.map((l, i) => ({
      label: (health.layers[l] ?? "").replace(/^.*\//, ""),
      y: shares(health, l),
      style: style(i, ink.dark),
    }));
    const rest = health.layers.map((_, l) => l).filter((l) => !beside.includes(l));
    const ends = (best: (...values: number[]) => number): number[] =>
      health.steps.map((_, i) => {
        const all = rest.map((l) => ruler.share(at(health, measure.key, i, l))).filter(Number.isFinite);
        return all.length ? best(...all) : NaN;
      });
    const limits = thresholdsOf(measure, health, layer).map(({ words, values }) => ({
      words,
      y: values.map((v) => ruler.share(v)),
    }));
    return { lines, limits, rest: rest.length, low: ends(Math.min), high: ends(Math.max), shares };
  }, [health, beside, layer, measure, ruler, ink]);
  const bottom = ruler.signed ? -1 : 0;
  const edges = [line.edges[0] ?? 0, line.edges.at(-1) ?? 1] as const;
  const place = (width: number, height: number) => {
    const right = width < 420 ? 84 : 118;
    const plot = plotOf(width, height, right);
    const x = scale(...edges, plot.x, plot.x + plot.w);
    return { right, plot, x, y: scale(bottom, 1.02, plot.y + plot.h, plot.y) };
  };

  const draw = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { right, plot, x, y } = place(width, height);
      const xs = line.xs.map(x);
      const words = new Map(ruler.ticks);
      drawY(ctx, plot, y, [...words.keys()], (v) => words.get(v) ?? "", ink);
      fillBand(ctx, xs, chart.low, chart.high, y, ink.muted, 0.18);
      for (const limit of chart.limits) drawLimit(ctx, plot, xs, y, limit, ink);
      const name = health.layers[layer] ?? "";
      for (const other of others) {
        const l = other.health.layers.indexOf(name);
        if (l < 0) continue;
        const colour = runColour(
          other.health.run,
          runs.value.map((one) => one.name),
        );
        const theirs = other.line.xs.filter((at) => at <= edges[1]);
        strokeLine(ctx, theirs.map(x), chart.shares(other.health, l), y, { colour, dash: [5, 4] }, 1.5);
      }
      drawLines(ctx, plot, right, xs, y, chart.lines, ink);
      drawX(ctx, plot, x, axis, ink);
    },
    [chart, line, axis, ruler, ink, others],
  );
  const over = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, x } = place(width, height);
      drawCursor(ctx, plot, x(line.xs[t] ?? 0), ink);
    },
    [line, t, ruler, ink],
  );
  const name = health.layers[layer] ?? "";
  const twins = others.filter((one) => one.health.layers.includes(name));
  return (
    <figure class="hx-figure">
      <figcaption>
        <h2>
          {measure.title} over {AXIS_WORDS[axis]}
        </h2>
        <small>
          {ruler.words}
          {chart.rest > 0 && "; grey: range of the other layers"}
          {chart.limits.length > 0 && "; dotted: thresholds"}
        </small>
        {twins.length > 0 && (
          <small>
            {name} of other runs, dashed:{" "}
            {twins.map(({ health: one }) => (
              <span key={one.run} class="hx-run">
                <i
                  class="swatch"
                  style={{
                    background: runColour(
                      one.run,
                      runs.value.map((other) => other.name),
                    ),
                  }}
                />{" "}
                {one.run}
              </span>
            ))}
          </small>
        )}
      </figcaption>
      <Chart
        name="health-lines"
        label={`${measure.title} of ${beside.map((l) => health.layers[l]).join(", ")} over ${health.steps.length} steps: ${beside
          .map((l) => `${health.layers[l] ?? ""} ${valueWords(measure, at(health, measure.key, t, l))} at the cursor`)
          .join("; ")}`}
        style={{ height: "230px" }}
        draw={draw}
        over={over}
        onPick={(px, _, [w, h]) => {
          const to = health.steps[nearest(line.xs, place(w, h).x.invert(px))];
          if (to !== undefined) moveTo(to);
        }}
      />
    </figure>
  );
}

/** A dotted limit with its words above its last point. */
function drawLimit(
  ctx: Context,
  plot: Box,
  xs: readonly number[],
  y: (v: number) => number,
  limit: { words: string; y: number[] },
  ink: Ink,
): void {
  const inside = limit.y.map((v) => (v > 0 && v < 1 ? v : NaN));
  const last = inside.findLastIndex(Number.isFinite);
  if (last < 0) return;
  strokeLine(
    ctx,
    xs,
    inside,
    Object.assign(y, { invert: Number, domain: [0, 1] as const }),
    { colour: ink.alarm, dash: [2, 3] },
    1.25,
  );
  const py = Math.max(plot.y + 6, y(inside[last] as number) - 8);
  text(ctx, limit.words, Math.max(xs[last] ?? 0, plot.x + 96) - 4, py, ink.alarm, "right");
}
