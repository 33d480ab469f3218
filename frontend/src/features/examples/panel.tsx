/** Local attributions at the cursor's step: which examples a feature pushes up or down, and whether by high or low values. */
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { fetchMaps, fetchProbe, type Probe, type TagInfo } from "../../api";
import { useRequest } from "../../async";
import { table } from "../../colour_tables";
import { exampleName } from "../../figures";
import { applyLink, linkWith, runs } from "../../state";
import { scale, ticks } from "../axis";
import { Chart, type Draw } from "../chart";
import { versionOf } from "../load";
import { dot, extent } from "../lines";
import type { Marks, Model } from "../model";
import { gutters, rule, text, tickWords, type Box, type Theme } from "../paint";
import { besideOf, direction, drawSwarm, place, shadeColour, swarmRows, type SwarmRow } from "../swarm";
import { number, plural } from "../words";

/** Numbers of one step above which a swarm is not fetched. */
const LARGE = 4_000_000;
const ROW = 34;
/** Rows of dots at most: the strongest of the features that are drawn as lines. */
const ROWS = 20;
const VIRIDIS = table("viridis");

/** The tag whose values are drawn: the ranked one, or of the same run the first that has one value per feature. */
export function swarmTag(model: Model): { run: string; info: TagInfo; input: string } | null {
  const name = model.series.members?.[0] ?? model.series.run;
  const tags = runs.value.find((one) => one.name === name)?.tags ?? [];
  const flat = tags.filter(
    (one) =>
      one.kind === "attribution" && one.value_name === undefined && one.inputs?.some(({ kind }) => kind === "flat"),
  );
  const info = flat.find((one) => one.name === model.series.tag) ?? flat.find((one) => one.additive) ?? flat[0];
  const input = info?.inputs?.find(({ kind }) => kind === "flat");
  return info && input ? { run: name, info, input: input.name } : null;
}

/** Which way a feature pushes, in words. */
function push(row: SwarmRow): string {
  const rho = direction(row);
  if (!Number.isFinite(rho)) return "";
  if (Math.abs(rho) < 0.3) return "its value alone does not tell which way";
  return `high values ${rho > 0 ? "raise" : "lower"} the score (ρ ${number(rho)})`;
}

function layout(rows: number, width: number, height: number, domain: readonly [number, number]) {
  const { right } = gutters(width);
  const plot: Box = { x: 14, y: 6, w: Math.max(40, width - 14 - right), h: Math.max(20, height - 6 - 24) };
  return { plot, margin: right, x: scale(...domain, plot.x, plot.x + plot.w), row: plot.h / Math.max(1, rows) };
}

interface Loaded {
  step: number;
  rows: SwarmRow[];
  probe: Probe | null;
}

export function SwarmPanel({ model, theme, marks }: { model: Model; theme: Theme; marks: Marks }): JSX.Element | null {
  const source = swarmTag(model);
  const cursor = model.series.steps[model.t] ?? 0;
  const at = source?.info.steps.findLastIndex((one) => one <= cursor) ?? -1;
  const step = source?.info.steps[at];
  const n = source?.info.examples ?? 0;
  const width = source?.info.inputs?.find(({ name }) => name === source.input)?.shape.reduce((a, b) => a * b, 1) ?? 1;
  const wanted = source && step !== undefined && n * width <= LARGE ? source : null;
  const probe = useRequest(
    wanted?.info.probe ? JSON.stringify([wanted.run, wanted.info.probe, wanted.input]) : null,
    (signal) => fetchProbe(wanted?.run ?? "", wanted?.info.probe ?? "", wanted?.input ?? "", null, signal),
  );
  const key = wanted
    ? JSON.stringify([wanted.run, wanted.info.name, wanted.input, step, versionOf(wanted.info)])
    : null;
  const maps = useRequest(key, async (signal) => {
    const answer = await fetchMaps(
      {
        run: wanted?.run ?? "",
        tag: wanted?.info.name ?? "",
        input: wanted?.input ?? "",
        steps: [step ?? 0],
        examples: Array.from({ length: n }, (_, i) => i),
        size: null,
        channels: "sum",
        version: wanted?.info.wall_times[at] ?? null,
      },
      signal,
    );
    const found = answer.steps.get(step ?? 0);
    if (!found) throw new Error(answer.missing[0]?.reason ?? "The step has no values");
    return { step: step ?? 0, maps: found };
  });
  const known = probe.state === "ready" ? probe.value : probe.last;
  const found = maps.state === "ready" ? maps.value : maps.last;
  const { series, shown, parts } = model;
  const loaded = useMemo<Loaded | null>(() => {
    if (!found) return null;
    const names = known?.feature_names ?? (source?.info.name === series.tag ? model.columns : null);
    const rows = shown.slice(0, ROWS).flatMap((f) => {
      const columns = (parts?.[f] ?? [f]).map((one) => names?.indexOf(model.columns[one] ?? "") ?? one);
      return columns.every((column) => column >= 0) ? [{ name: series.names[f] ?? "", parts: columns }] : [];
    });
    return { step: found.step, rows: swarmRows(found.maps, known, rows), probe: known };
  }, [found, known, series, shown, parts]);
  if (!source) return null;
  return (
    <figure class="fx-panel fx-swarm" aria-label="Examples">
      <figcaption>
        <h2>Each example at step {loaded?.step ?? step}</h2>
        <small>
          {source.info.name}
          {series.members && ` of ${source.run}`}: a dot is an example; right of the line it raises the{" "}
          {source.info.score_name ?? "score"}
        </small>
        <Legend />
      </figcaption>
      {maps.state === "failed" && (
        <p class="words">
          No values of step {step}: {maps.error}{" "}
          <button type="button" onClick={maps.retry}>
            Retry
          </button>
        </p>
      )}
      {!wanted && <p class="dim">Too many values for dots ({plural(n * width, "number")} a step).</p>}
      {wanted && !loaded && maps.state === "loading" && <p class="dim">Loading the examples…</p>}
      {loaded && !loaded.rows.length && <p class="dim">The features above are none of {source.info.name}’s.</p>}
      {loaded && loaded.rows.length > 0 && <Dots loaded={loaded} theme={theme} link={source} marks={marks} />}
    </figure>
  );
}

function Legend(): JSX.Element {
  const stops = [0, 0.25, 0.5, 0.75, 1].map((share) => shadeColour(VIRIDIS, share, { muted: "" } as Theme)).join(", ");
  return (
    <span class="fx-legend">
      <i>feature low</i>
      <b style={{ background: `linear-gradient(90deg, ${stops})` }} />
      <i>high</i>
    </span>
  );
}

function Dots({
  loaded,
  theme,
  link,
  marks: { highlighted, hovered, togglePin },
}: {
  loaded: Loaded;
  theme: Theme;
  link: { run: string; info: TagInfo };
  marks: Marks;
}): JSX.Element {
  const { rows, probe, step } = loaded;
  const [near, point] = useState<readonly [number, number] | null>(null);
  const [chosen, choose] = useState<readonly [number, number] | null>(null);
  const [current, setCurrent] = useState(0);
  const domain = useMemo(() => extent(rows.map((row) => row.x)), [rows]);
  const examples = rows[0]?.x.length ?? 0;
  const radius = examples > 400 ? 1.75 : examples > 120 ? 2.5 : 3.5;
  const draw = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, margin, x } = layout(rows.length, width, height, domain);
      for (const value of ticks(...domain, Math.max(2, Math.floor(plot.w / 80)))) {
        const px = Math.round(x(value)) + 0.5;
        rule(ctx, px, plot.y, px, plot.y + plot.h, theme.grid);
        text(ctx, tickWords(value), px, plot.y + plot.h + 12, theme.muted, "center");
      }
      drawSwarm(ctx, plot, margin, rows, place(rows, plot, x, radius), x, radius, VIRIDIS, theme);
    },
    [rows, domain, theme, radius],
  );
  const over = useMemo<Draw>(
    () => (ctx, width, height) => {
      const { plot, x, row: tall } = layout(rows.length, width, height, domain);
      const r = rows.findIndex(({ name }) => name === highlighted());
      if (r >= 0) {
        ctx.strokeStyle = theme.text;
        ctx.lineWidth = 1.5;
        ctx.strokeRect(plot.x - 4, plot.y + r * tall + 1, plot.w + 8, tall - 2);
      }
      const example = (near ?? chosen)?.[1];
      if (example === undefined) return;
      // the same example in every row
      place(rows, plot, x, radius).forEach(({ px, py }) =>
        dot(ctx, px[example] ?? NaN, py[example] ?? NaN, { colour: theme.text, dash: [] }, theme, radius + 1.5),
      );
    },
    [rows, domain, theme, radius, near, chosen],
  );
  const dotAt = (px: number, py: number, [width, height]: readonly [number, number]) => {
    const { plot, x, row: tall } = layout(rows.length, width, height, domain);
    const r = Math.floor((py - plot.y) / tall);
    if (r < 0 || r >= rows.length) return null;
    const placed = place(rows, plot, x, radius)[r];
    let best: readonly [number, number] | null = null;
    let distance = 12;
    placed?.px.forEach((at, i) => {
      const gap = Math.hypot(at - px, (placed.py[i] ?? NaN) - py);
      if (gap < distance) [best, distance] = [[r, i], gap];
    });
    return { r, dot: best as readonly [number, number] | null };
  };
  const told = near ?? chosen;
  const spoken = rows[told?.[0] ?? rows.findIndex(({ name }) => name === highlighted())] ?? rows[current];
  const ofRow = (row: SwarmRow): string => {
    const [low, high] = extent([row.x], false);
    const finite = row.x.some(Number.isFinite);
    const way = push(row);
    return `${row.name}: ${finite ? `${number(low)} to ${number(high)} over ${plural(examples, "example")}` : "not finite"}${way ? `; ${way}` : ""}`;
  };
  const ofDot = ([r, i]: readonly [number, number]): string => {
    const row = rows[r];
    const value = row?.value?.[i];
    return `${exampleName(probe, i)}: ${row?.name ?? ""}${value === undefined ? "" : ` = ${number(value)}`}, ${number(row?.x[i] ?? NaN)}`;
  };
  const readOut = told ? ofDot(told) : spoken ? ofRow(spoken) : "";
  const go = (event: KeyboardEvent): void => {
    const move = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity }[event.key];
    const across = event.shiftKey ? ({ ArrowLeft: -1, ArrowRight: 1 } as const)[event.key] : undefined;
    const row = rows[current];
    if (event.key === "Enter") togglePin(row?.name ?? "");
    if (across && row) {
      event.preventDefault();
      const next = besideOf(row, chosen?.[0] === current ? chosen[1] : null, across);
      choose(next === null ? null : [current, next]);
    }
    if (move === undefined) return;
    event.preventDefault();
    const next = Math.min(rows.length - 1, Math.max(0, current + move));
    setCurrent(next);
    choose(null);
    hovered.value = rows[next]?.name ?? null;
  };
  return (
    <>
      <div class="fx-stack">
        <Chart
          name="Each example"
          label={`Attributions of ${plural(examples, "example")} at step ${step} for ${plural(rows.length, "feature")}. ${rows.slice(0, 5).map(ofRow).join(". ")}`}
          style={{ height: `${rows.length * ROW + 30}px` }}
          draw={draw}
          over={over}
          onHover={(px, py, size) => {
            const found = dotAt(px, py, size);
            point(found?.dot ?? null);
            hovered.value = found ? (rows[found.r]?.name ?? null) : null;
          }}
          onLeave={() => {
            point(null);
            hovered.value = null;
          }}
          onPick={(px, py, size) => choose(dotAt(px, py, size)?.dot ?? null)}
        />
        <div
          class="fx-keys"
          role="listbox"
          tabIndex={0}
          aria-label="Features of the examples: up and down move over them, Shift with left and right over examples"
          aria-activedescendant="fx-swarm-row"
          onKeyDown={go}
          onFocus={() => (hovered.value = rows[current]?.name ?? null)}
          onBlur={() => (hovered.value = null)}
        >
          <div
            role="option"
            id="fx-swarm-row"
            aria-selected="true"
            aria-posinset={current + 1}
            aria-setsize={rows.length}
          >
            {readOut}
          </div>
        </div>
      </div>
      <p class="fx-read">
        {readOut}
        {told && (
          <button
            type="button"
            class="quiet"
            onClick={() =>
              applyLink(
                linkWith({
                  view: "maps",
                  run: link.run,
                  "maps.tag": link.info.name,
                  step: String(step),
                  "maps.inspect": String(told[1]),
                }),
              )
            }
          >
            Inspect {exampleName(probe, told[1])}
          </button>
        )}
      </p>
    </>
  );
}
