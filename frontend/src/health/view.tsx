/** The Health view: which layer fell ill, when, and what its figures are. */
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { Ready, useRequest } from "../async";
import { axisAvailable, axisValues, edges } from "../features/axis";
import { useTheme } from "../features/chart";
import { versionOf } from "../features/load";
import { plural } from "../features/words";
import { addressWith } from "../host";
import { Swatch } from "../swatch";
import { axis, moveTo, run, showRun, shownRuns, step, tag } from "../state";
import { adopt } from "../style";
import { Check } from "./check";
import { choose, chosen, measureKey } from "./choice";
import { boundWords, Facts, MeasureLines } from "./detail";
import css from "./health.css?inline";
import { shown } from "./take";
import { useExport } from "../export";
import { Histogram } from "./histogram";
import { loadAll, type Loaded } from "./load";
import { Matrix, type Line } from "./matrix";
import { measureOf, MEASURES, rulerOf, type Measure, type Ruler } from "./measures";
import { rowOf, type Health } from "./model";
import { cssOf, tableOf } from "../heat";
import { type Ink } from "./paint";
import { gravity, isBad, markOf, meaning, STATES, verdicts } from "./states";

adopt(css);

const NAMED = 8;

/** What is wrong with a run, in sentences whose names lead to the cell. */
function Verdicts({ health }: { health: Health }): JSX.Element {
  const found = useMemo(() => verdicts(health), [health]);
  const known = health.states.filter((row) => row !== null).length;
  const show = (layer: number, first: number): void => {
    showRun(health.run);
    choose(health.layers[layer] ?? "");
    const to = health.steps[first];
    if (to !== undefined) moveTo(to);
  };
  if (!known) return <p class="hx-verdict dim">No words for the state of layers are logged.</p>;
  if (!found.length)
    return (
      <p class="hx-verdict">
        <span aria-hidden="true">{markOf("healthy")}</span> All {plural(health.layers.length, "layer")} healthy at all{" "}
        {plural(known, "step")}
      </p>
    );
  return (
    <ul class="hx-verdicts">
      {found.slice(0, 6).map((one) => (
        <li key={`${one.state} ${one.when}`}>
          <b class="bad">
            <span aria-hidden="true">{markOf(one.state)}</span> {one.state}{" "}
            {one.when === "always"
              ? "at all steps"
              : one.when.replace(/^(from|at)/, "$1 step").replace(/^(\d)/, "steps $1")}
            :
          </b>{" "}
          {one.layers.slice(0, NAMED).map((layer) => (
            <button key={layer} type="button" class="hx-name" onClick={() => show(layer, one.first)}>
              {health.layers[layer]}
            </button>
          ))}
          {one.layers.length > NAMED && <span class="dim">and {one.layers.length - NAMED} more</span>}
        </li>
      ))}
      {found.length > 6 && <li class="dim">and {found.length - 6} more: see the matrix</li>}
    </ul>
  );
}

function ColourScale({ measure, ruler, table }: { measure: Measure; ruler: Ruler; table: Uint32Array }): JSX.Element {
  const low = ruler.signed ? -1 : 0;
  const stops = Array.from({ length: 17 }, (_, i) => cssOf(table, low + ((1 - low) * i) / 16));
  return (
    <div
      class="hx-legend"
      role="img"
      aria-label={`Colours: ${measure.title}, ${ruler.words}, ${ruler.ticks.map(([, words]) => words).join(", ")}`}
    >
      <span class="dim">
        <b>{measure.title}</b>: {measure.what}; {ruler.words}
      </span>
      <span class="hx-bar" style={{ background: `linear-gradient(90deg, ${stops.join(", ")})` }}>
        {ruler.ticks.map(([share, words]) => (
          <small key={share} style={{ left: `${(100 * (share - low)) / (1 - low)}%` }}>
            {words}
          </small>
        ))}
      </span>
    </div>
  );
}

function Words({ states, about }: { states: readonly string[]; about: Health | undefined }): JSX.Element {
  return (
    <dl>
      {states.map((state) => (
        <div key={state}>
          <dt class={isBad(state) ? "bad" : ""}>
            <span aria-hidden="true">{markOf(state)}</span> {state}
          </dt>
          <dd>
            {about && meaning(state, about)}
            {about && state === "dead" && `. ${boundWords(about) ?? ""}`}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** What each mark means, with the thresholds of this log. */
function Marks({ all }: { all: readonly Health[] }): JSX.Element {
  const known = new Set(all.flatMap((one) => one.states.flatMap((row) => row ?? [])));
  const absent = STATES.filter((state) => !known.has(state));
  return (
    <section class="hx-marks" aria-label="What the marks mean">
      <Words states={[...known].sort((a, b) => gravity(a) - gravity(b))} about={all[0]} />
      <p>
        <i class="hx-hatch" /> hatched: this layer has no such figure, or it is not finite
      </p>
      {absent.length > 0 && (
        <details>
          <summary>Words that do not occur here</summary>
          <Words states={absent} about={all[0]} />
        </details>
      )}
    </section>
  );
}

/** The layer to look at before one was chosen: the gravest that is still ill, the first in the model. */
function first(health: Health): number {
  const found = verdicts(health);
  return (found.find(({ over }) => !over) ?? found[0])?.layers[0] ?? 0;
}

function Panels({ loaded, version }: { loaded: Loaded; version: string }): JSX.Element {
  const theme = useTheme();
  const ink = useMemo<Ink>(() => {
    const css = getComputedStyle(document.documentElement);
    return { ...theme, alarm: css.getPropertyValue("--error").trim() || theme.text };
  }, [theme]);
  const measure = measureOf(measureKey.value);
  const { all } = loaded;
  const ruler = useMemo(() => rulerOf(measure, all), [measure, all]);
  const table = useMemo(() => tableOf(ruler.signed ? "signed" : "viridis", ink), [ruler, ink]);
  const wish = axis.value;
  const lines = useMemo<Line[]>(
    () =>
      all.map((health) => {
        const xs = axisValues(health, axisAvailable(health, wish) ? wish : "step");
        return { xs, edges: edges(xs) };
      }),
    [all, wish],
  );
  const frame = useMemo(() => {
    const kind = all.every((health) => axisAvailable(health, wish)) ? wish : ("step" as const);
    const ends = lines.flatMap((line) => line.edges);
    return { axis: kind, domain: [Math.min(...ends), Math.max(...ends)] as const };
  }, [all, lines, wish]);

  const inFocus = Math.max(
    0,
    all.findIndex((one) => one.run === run.value?.name),
  );
  const health = all[inFocus];
  const names = chosen();
  const beside = useMemo(() => {
    const found = names.flatMap((name) => {
      const l = health?.layers.indexOf(name) ?? -1;
      return l < 0 ? [] : [l];
    });
    return found.length || !health ? found : [first(health)];
  }, [health, names.join("\n")]);
  const others = useMemo(
    () => all.flatMap((one, i) => (i === inFocus ? [] : [{ health: one, line: lines[i] as Line }])),
    [all, lines, inFocus],
  );
  const line = lines[inFocus];
  useExport(() => shown(loaded, health, measure, ruler));
  if (!health || !line) return <p class="state">No layers are logged.</p>;
  const layer = beside[0] ?? 0;
  const shared = { health, line, axis: frame.axis, t: rowOf(health, step.value), layer, ink };
  const graph = addressWith("#graphs");
  return (
    <div class="hx">
      <div class="hx-tools">
        <label class="pick">
          <span>Measure</span>
          <select value={measure.key} onChange={(event) => (measureKey.value = event.currentTarget.value)}>
            {MEASURES.map((one) => (
              <option key={one.key} value={one.key}>
                {one.title}
              </option>
            ))}
          </select>
        </label>
        <ColourScale measure={measure} ruler={ruler} table={table} />
        {graph !== "#graphs" && (
          <a
            href={graph}
            target="_parent"
            title="TensorBoard’s Graphs tab; it needs keras.callbacks.TensorBoard in the same log directory"
          >
            Graph of the model ↗
          </a>
        )}
      </div>
      {loaded.lost.map((one) => (
        <p class="notice" key={one.run}>
          Run “{one.run}” is not shown: {one.reason}
        </p>
      ))}
      <div class="hx-body">
        <div class="hx-runs">
          {all.map((one, i) => (
            <section key={one.run} aria-label={`Run ${one.run}`}>
              <h2>
                <Swatch name={one.run} /> {one.run}
              </h2>
              <Verdicts health={one} />
              <Matrix
                health={one}
                line={lines[i] as Line}
                frame={frame}
                measure={measure}
                ruler={ruler}
                table={table}
                ink={ink}
                t={rowOf(one, step.value)}
                layer={i === inFocus ? layer : first(one)}
                beside={i === inFocus ? beside : []}
                focused={i === inFocus}
              />
            </section>
          ))}
        </div>
        {/* eslint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- a region that scrolls must take the keyboard */}
        <aside class="hx-side" role="region" aria-label="The chosen layer" tabIndex={0}>
          <Facts {...shared} />
          <MeasureLines {...shared} others={others} beside={beside} measure={measure} ruler={ruler} />
          <Histogram {...shared} version={version} />
          <Check health={health} />
        </aside>
        <Marks all={all} />
      </div>
    </div>
  );
}

export function Page(): JSX.Element {
  const name = tag.value?.name ?? "";
  const shown = shownRuns.value;
  const key = shown.length
    ? JSON.stringify([name, shown.map((one) => [one.name, ...one.tags.filter((t) => t.name === name).map(versionOf)])])
    : null;
  const loaded = useRequest(key, (signal) => loadAll(shown, name, signal));
  if (!shown.length) return <p class="state">No run is chosen. Choose one or more under “Runs”.</p>;
  return (
    <Ready of={loaded} what="Model health">
      {(value) => <Panels loaded={value} version={key ?? ""} />}
    </Ready>
  );
}
