/** The histogram of a layer's gradient over the steps. */
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { useRequest } from "../async";
import { axisText, nearest, scale } from "../features/axis";
import { Chart, type Draw } from "../features/chart";
import { drawCursor, drawX, rule, text } from "../features/paint";
import { short } from "../colour";
import { moveTo } from "../state";
import { plotOf, type Shared } from "./detail";
import { loadHistogram } from "./load";
import { cssOf, drawCells, drawHoles, tableOf } from "../heat";

/** How large the entries of a layer's gradient are, over the steps: bins of |gradient| as rows, the largest on top. */
export function Histogram({ health, line, axis, t, layer, ink, version }: Shared & { version: string }): JSX.Element {
  const name = health.layers[layer] ?? "";
  const key = JSON.stringify([health.run, health.tag, layer, version]);
  const answer = useRequest(health.edges.length ? key : null, (signal) => loadHistogram(health, layer, signal));
  const shares = answer.state === "ready" ? answer.value : null;
  const bins = health.edges.length + 1;
  const table = useMemo(() => tableOf("signed", ink), [ink]);
  // From the largest that occurs down to the smallest, then what is zero or nearly so, which is no neighbour of theirs.
  const seen = useMemo(() => {
    let [low, high, most] = [bins, 0, 0];
    let zeros = false;
    shares?.forEach((share, i) => {
      if (!(share > 0)) return;
      most = Math.max(most, share);
      if (i % bins === 0) zeros = true;
      else [low, high] = [Math.min(low, i % bins), Math.max(high, i % bins)];
    });
    const rows = Array.from({ length: Math.max(0, high - low + 1) }, (_, i) => high - i);
    return most > 0 ? { rows: zeros ? [...rows, 0] : rows, most } : null;
  }, [shares]);
  const edges = [line.edges[0] ?? 0, line.edges.at(-1) ?? 1] as const;
  const place = (width: number, height: number) => {
    const plot = plotOf(width, height, 12);
    return { plot, x: scale(...edges, plot.x, plot.x + plot.w) };
  };
  const draw = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, x } = place(width, height);
      const cells = line.edges.map(x);
      if (shares && seen) {
        const { rows, most } = seen;
        // the blue side of the table: nothing is the panel itself
        const share = (row: number, i: number): number => -(shares[i * bins + (rows[row] ?? 0)] ?? NaN) / most;
        drawHoles(ctx, plot, cells, false, ink);
        drawCells(ctx, plot, cells, rows.length, share, table, ink, false);
        const tall = plot.h / rows.length;
        let free = -Infinity;
        rows.forEach((bin, row) => {
          const y = plot.y + (bin ? row + 1 : row + 0.5) * tall;
          if (bin === 0) rule(ctx, plot.x, plot.y + row * tall, plot.x + plot.w, plot.y + row * tall, ink.muted);
          if (y < free || (bin > 0 && rows.includes(0) && y > plot.y + plot.h - 16)) return;
          text(ctx, bin ? short(health.edges[bin - 1] ?? NaN) : "≈ 0", plot.x - 6, y, ink.muted, "right");
          free = y + 22;
        });
      }
      if (!shares) text(ctx, "loading…", plot.x + plot.w / 2, plot.y + plot.h / 2, ink.muted, "center");
      drawX(ctx, plot, x, axis, ink);
    },
    [shares, seen, line, axis, table, ink],
  );
  const over = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, x } = place(width, height);
      drawCursor(ctx, plot, x(line.xs[t] ?? 0), ink);
    },
    [line, t, ink],
  );
  const none = answer.state === "ready" && !seen ? "No gradient is logged for this layer: it is frozen." : null;
  return (
    <figure class="hx-figure">
      <figcaption>
        <h2>Sizes of its gradient’s entries</h2>
        <small>|gradient|, logarithmic</small>
        {seen && (
          <small class="hx-scale">
            0 %
            <i
              style={{
                background: `linear-gradient(90deg, ${[0, 0.25, 0.5, 0.75, 1].map((s) => cssOf(table, -s)).join(", ")})`,
              }}
            />
            {short(100 * seen.most)} % of the entries
          </small>
        )}
      </figcaption>
      {answer.state === "failed" ? (
        <p class="notice" role="alert">
          {answer.error}{" "}
          <button type="button" onClick={answer.retry}>
            Retry
          </button>
        </p>
      ) : none !== null ? (
        <p class="dim">{none}</p>
      ) : (
        <Chart
          name="health-histogram"
          label={`Histogram of the absolute gradient of ${name} over ${health.steps.length} steps of ${axisText(edges[0], axis)} to ${axisText(edges[1], axis)}`}
          style={{ height: "220px" }}
          draw={draw}
          over={over}
          onPick={(px, _, [w, h]) => {
            const to = health.steps[nearest(line.xs, place(w, h).x.invert(px))];
            if (to !== undefined) moveTo(to);
          }}
        />
      )}
    </figure>
  );
}
