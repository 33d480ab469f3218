/** Quality against score: which checkpoint is right for the right reasons. */
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import type { Series } from "../api";
import { useRequest } from "../async";
import { Chart, type Draw } from "../features/chart";
import type { Theme } from "../features/paint";
import { moveTo, step } from "../state";
import type { Known } from "./cards";
import { curveOf } from "./curves";
import { keyOf } from "./load";
import { GOOD_WORDS } from "./measures";
import { infoOf, leader, scoreTags, scoreWish, sources } from "./model";
import { best, drawScatter, drawScatterOver, scatterOf, stepNear, type Path } from "./scatter_paint";
import { goodOf, scoresOf, type Score } from "./scores";

/** What the score can be, best first: of many rows, share of the examples that are right, their mean output. */
function offers(series: ReadonlyMap<string, Series>): Score[] {
  const all: Score[] = scoreTags.value.map((tag) => {
    const metric = sources.value.map(({ run }) => infoOf({ run, tag })?.metric).find(Boolean) ?? "score";
    return { key: tag, name: `${metric.replaceAll("_", " ")} (${tag})`, good: goodOf(metric) };
  });
  if ([...series.values()].some((one) => one.arrays.has("predicted")))
    all.push({ key: "right", name: "share of the examples that are right", good: "up" });
  const [first] = sources.value;
  const score = (first && infoOf(first)?.score_name) || "explained output";
  all.push({ key: "output", name: `mean ${score} of the examples`, good: "up" });
  return all;
}

export function ScatterPanel({
  known,
  series,
  version,
  theme,
}: {
  known: Known;
  series: ReadonlyMap<string, Series>;
  version: string;
  theme: Theme;
}): JSX.Element {
  const all = offers(series);
  const score = all.find((one) => one.key === scoreWish.value) ?? (all[0] as Score);
  const loaded = useRequest(`${score.key} ${version}`, (signal) => scoresOf(score.key, sources.value, series, signal));
  const tracks = loaded.state === "ready" ? loaded.value : null;
  const { measure, picture } = known;
  const of = useMemo(() => {
    const paths = picture.curves.flatMap((curve): Path[] => {
      const own = curveOf(
        curve,
        curve.runs.flatMap((run) => tracks?.get(keyOf({ run, tag: curve.tag })) ?? []),
      );
      const at = new Map(own?.steps.map((one, i) => [one, own.y[i] ?? Number.NaN]));
      const both = curve.steps.filter((one, i) => Number.isFinite(curve.y[i]) && Number.isFinite(at.get(one)));
      if (!both.length) return [];
      const y = both.map((one) => curve.y[curve.steps.indexOf(one)] as number);
      return [{ ...curve, steps: both, x: both.map((one) => at.get(one) as number), y }];
    });
    return scatterOf(paths);
  }, [picture, tracks]);
  const own = of.paths.find((one) => one.id === leader.value?.id) ?? of.paths[0];
  const top = useMemo(() => (own ? best(own, score.good, measure.good) : []), [own, score.good, measure.good]);
  const marked = useMemo(() => new Map(own ? [[own.id, top]] : []), [own, top]);
  const draw = useMemo<Draw>(
    () => (ctx, width, height) =>
      drawScatter(ctx, of, width, height, theme, score.name, marked, measure.percent === true),
    [of, theme, score.name, marked, measure],
  );
  const over = useMemo<Draw>(
    () => (ctx, width, height) => drawScatterOver(ctx, of, width, height, theme, step.value),
    [of, theme],
  );
  const steps = own ? top.map((i) => own.steps[i] as number) : [];
  return (
    <figure class="ql-panel ql-scatter" aria-label="Quality against score">
      <figcaption>
        <h2>{measure.good ? "Right for the right reasons?" : "Against the score"}</h2>
        <label class="pick">
          <span>Score</span>
          <select value={score.key} onChange={(event) => (scoreWish.value = event.currentTarget.value)}>
            {all.map((one) => (
              <option key={one.key} value={one.key}>
                {one.name}
              </option>
            ))}
          </select>
        </label>
        <p class="dim">
          “{measure.title}” of every checkpoint against its score
          {score.good && score.good !== "zero" ? ` (${GOOD_WORDS[score.good].slice(2)})` : ""}; a thin line joins the
          steps. Click a point to go there.
        </p>
      </figcaption>
      {of.paths.length ? (
        <>
          <Chart
            label={`${measure.title} against ${score.name}: ${of.paths.length} lines. ${
              steps.length ? `No other step is better in both than ${steps.join(", ")}.` : ""
            }`}
            draw={draw}
            over={over}
            onPick={(px, py, size) => {
              const to = stepNear(of, px, py, size);
              if (to !== null) moveTo(to);
            }}
          />
          {own && steps.length > 0 && (
            <p class="ql-best">
              <span class="dim">Ringed: no other step of {own.label} is better in both:</span>{" "}
              {steps.slice(-8).map((one) => (
                <button type="button" key={one} aria-pressed={step.value === one} onClick={() => moveTo(one)}>
                  step {one}
                </button>
              ))}
              {steps.length > 8 && <span class="dim"> and {steps.length - 8} before</span>}
            </p>
          )}
          {!measure.good && <p class="dim">Neither more nor less of it is good by itself, so no step is marked.</p>}
        </>
      ) : (
        <p class="ql-none" role="status">
          {tracks || loaded.state === "failed" ? "No step has both a score and this measure." : "Loading the score…"}
        </p>
      )}
    </figure>
  );
}
