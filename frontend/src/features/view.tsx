/** The Features view: what the model uses, over training. */
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Ready, useRequest } from "../async";
import { runColour } from "../host";
import { axis, run, runs, showRun, shownRuns, step, tag } from "../state";
import { BarsPanel } from "./bars_panel";
import { BumpPanel } from "./bump_panel";
import { useTheme } from "./chart";
import { loadAll, versionOf, type Loaded } from "./load";
import { LinesPanel } from "./lines_panel";
import { MatrixPanel } from "./matrix_panel";
import {
  everOrder,
  highlighted,
  hovered,
  modelOf,
  timeLine,
  pinned,
  rankBy,
  rowOfStep,
  search,
  topK,
  type Model,
} from "./model";
import { at, type Series } from "./series";
import { number, plural, valueWords } from "./words";
import { adopt } from "../style";
import css from "./features.css?inline";

adopt(css);

function Choice<T extends string>({
  name,
  of,
  value,
  pick,
}: {
  name: string;
  of: readonly (readonly [T, string])[];
  value: T;
  pick: (to: T) => void;
}): JSX.Element {
  return (
    <fieldset class="fx-choice">
      <legend>{name}</legend>
      {of.map(([one, words]) => (
        <label key={one} class={value === one ? "on" : ""}>
          <input type="radio" name={`fx-${name}`} checked={value === one} onChange={() => pick(one)} />
          {words}
        </label>
      ))}
    </fieldset>
  );
}

function Bar({ model, loaded }: { model: Model; loaded: Loaded }): JSX.Element {
  return (
    <div class="fx-tools">
      {loaded.series.length > 1 && (
        <label class="pick">
          <span>Ranked by run</span>
          <select value={model.series.run} onChange={(event) => showRun(event.currentTarget.value)}>
            {loaded.series.map((one) => (
              <option key={one.run}>{one.run}</option>
            ))}
          </select>
        </label>
      )}
      <input
        type="search"
        class="fx-search"
        placeholder="Search features (regex)"
        aria-label="Search features by a regular expression"
        value={search.value}
        onInput={(event) => (search.value = event.currentTarget.value)}
      />
      <Choice
        name="Top"
        value={topK.value as "5" | "10" | "20"}
        pick={(to) => (topK.value = to)}
        of={[
          ["5", "5"],
          ["10", "10"],
          ["20", "20"],
        ]}
      />
      <Choice
        name="Ranked at"
        value={rankBy.value as "step" | "peak"}
        pick={(to) => (rankBy.value = to)}
        of={[
          ["step", "this step"],
          ["peak", "their peak"],
        ]}
      />
    </div>
  );
}

/** What stands under the pointer, or the strongest feature: one line that never moves the page. */
function ReadOut({ model }: { model: Model }): JSX.Element {
  const { series, others } = model;
  const name = highlighted() ?? series.names[model.ordered[0] ?? 0] ?? "";
  const f = series.names.indexOf(name);
  const having = others.filter((one) => one.names.includes(name));
  const colour = (one: Series) =>
    runColour(
      one.run,
      runs.value.map(({ name: other }) => other),
    );
  return (
    <p class="fx-read fx-now" role="status">
      <b>{name}</b>{" "}
      {f >= 0 && (
        <>
          at step {series.steps[model.t]}: {valueWords(series, model.t, f)}, rank {model.place.get(f)} of{" "}
          {series.names.length.toLocaleString("en")}
        </>
      )}
      {having.map((one) => (
        <span key={one.run}>
          <i class="swatch" style={{ background: colour(one) }} /> {one.run}{" "}
          {number(at(one.mean, one, rowOfStep(one, series.steps[model.t] ?? null), one.names.indexOf(name)))}
        </span>
      ))}
      {having.length < others.length && (
        <span class="dim">not in {plural(others.length - having.length, "other run")}</span>
      )}
      {pinned.value === name && (
        <button type="button" class="quiet" onClick={() => (pinned.value = "")}>
          unpin
        </button>
      )}
    </p>
  );
}

function Panels({ loaded }: { loaded: Loaded }): JSX.Element {
  const theme = useTheme();
  const series = loaded.series.find((one) => one.run === run.value?.name) ?? loaded.series[0];
  const others = useMemo(() => loaded.series.filter((one) => one !== series), [loaded, series]);
  const ever = useMemo(() => (series ? everOrder(series) : []), [series]);
  const line = useMemo(() => (series ? timeLine(series, axis.value) : null), [series, axis.value]);
  const wish = {
    step: step.value,
    top: Number(topK.value),
    by: rankBy.value as "step" | "peak",
    search: search.value,
  };
  const last = useRef<Model | null>(null);
  const model = useMemo(
    () => (series && line ? modelOf(series, others, line, ever, wish, last.current) : null),
    [series, others, line, ever, ...Object.values(wish)],
  );
  last.current = model;
  useEffect(() => {
    hovered.value = null;
  }, [series?.run, series?.tag]);
  useEffect(() => {
    const unpin = (event: KeyboardEvent): void => {
      if (event.key === "Escape" && !event.defaultPrevented) pinned.value = "";
    };
    document.addEventListener("keydown", unpin);
    return () => document.removeEventListener("keydown", unpin);
  }, []);
  if (!model) return <p class="state">This tag has no figures per feature.</p>;
  const reason = model.series.missing.get(model.series.steps[model.t] ?? NaN);
  return (
    <div class="fx">
      <Bar model={model} loaded={loaded} />
      {loaded.lost.map((one) => (
        <p class="notice" key={one.run}>
          Run “{one.run}” is not shown: {one.reason}
        </p>
      ))}
      {reason !== undefined && (
        <p class="notice">
          Step {model.series.steps[model.t]} is missing: {reason}
        </p>
      )}
      <ReadOut model={model} />
      <div class="fx-grid">
        <LinesPanel model={model} theme={theme} />
        <BarsPanel model={model} theme={theme} />
        <MatrixPanel model={model} theme={theme} />
        <BumpPanel model={model} top={wish.top} theme={theme} />
      </div>
    </div>
  );
}

export function Page(): JSX.Element {
  const name = tag.value?.name ?? "";
  const chosen = shownRuns.value;
  const key = chosen.length
    ? JSON.stringify([name, chosen.map((one) => [one.name, ...one.tags.filter((t) => t.name === name).map(versionOf)])])
    : null;
  const loaded = useRequest(key, (signal) => loadAll(chosen, name, signal));
  if (!chosen.length) return <p class="state">No run is chosen. Choose one or more under “Runs”.</p>;
  return (
    <Ready of={loaded} what="Feature importance">
      {(value) => <Panels loaded={value} />}
    </Ready>
  );
}
