/** The Features view: what the model uses, over training. */
import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { Ready, useRequest } from "../async";
import { runColour } from "../host";
import { axis, groupBy, run, runs, showRun, shownRuns, step, tag } from "../state";
import { BarsPanel } from "./bars_panel";
import { BumpPanel } from "./bump_panel";
import { useTheme } from "./chart";
import { useFeatureExport } from "./exports";
import { canFold, foldedBy, grouped, refusal, type Fold } from "./fold";
import { loadAll, versionOf, type Loaded } from "./load";
import { LinesPanel } from "./lines_panel";
import { MatrixPanel } from "./matrix_panel";
import {
  everOrder,
  foldBy,
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
import { Examples } from "./lazy";
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

/** The run that stands for a series: the first of a group. */
const nameOf = (series: Series): string => series.members?.[0] ?? series.run;

const FOLDS: readonly (readonly [Fold, string])[] = [
  ["off", "no"],
  ["beginning", "same beginning"],
  ["end", "same end"],
];

/** Features that share a part of their name as one row, or why that would not be honest. */
function Folding({ series }: { series: Series }): JSX.Element | null {
  const names = series.columns ?? series.names;
  const possible = FOLDS.filter(([one]) => canFold(names, one));
  const why = refusal(series);
  if (possible.length < 2) return null;
  if (why)
    return (
      <span class="dim fx-no-fold" title={why}>
        Not foldable: {series.kind === "importance" ? "single shuffles do not add up" : "values do not add up"}
        <span class="sr">. {why}</span>
      </span>
    );
  return (
    <label class="pick" title="Sums mean |attribution| of features whose names share a part">
      <span>Fold</span>
      <select value={foldBy.value} onChange={(event) => (foldBy.value = event.currentTarget.value as Fold)}>
        {possible.map(([one, words]) => (
          <option key={one} value={one}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}

function Bar({ model, all }: { model: Model; all: readonly Series[] }): JSX.Element {
  return (
    <div class="fx-tools">
      {all.length > 1 && (
        <label class="pick">
          <span>Ranked by run</span>
          <select value={nameOf(model.series)} onChange={(event) => showRun(event.currentTarget.value)}>
            {all.map((one) => (
              <option key={one.run} value={nameOf(one)}>
                {one.run}
                {one.members && ` (${one.members.length} runs)`}
              </option>
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
        value={topK.value as "5" | "10" | "20" | "200"}
        pick={(to) => (topK.value = to)}
        of={[
          ["5", "5"],
          ["10", "10"],
          ["20", "20"],
          ["200", "200"],
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
      <Folding series={model.series} />
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
      nameOf(one),
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
  const all = useMemo(
    () => grouped(loaded.series, groupBy.value).map((one) => foldedBy(one, foldBy.value)),
    [loaded, groupBy.value, foldBy.value],
  );
  const lead = run.value?.name ?? "";
  const series = all.find((one) => one.run === lead || one.members?.includes(lead)) ?? all[0];
  const others = useMemo(() => all.filter((one) => one !== series), [all, series]);
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
  useFeatureExport(model);
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
      <Bar model={model} all={all} />
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
        <Examples model={model} theme={theme} />
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
