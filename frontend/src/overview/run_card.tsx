import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { fetchFindings, fetchProbe, fetchSeries, type Finding, type Probe, type RunInfo, type TagInfo } from "../api";
import { Failed, Ready, useRequest, type Async } from "../async";
import { short } from "../colour";
import { Lines } from "../lines";
import { versionOf } from "../features/load";
import { order } from "../features/rank";
import { rowAt } from "../features/series";
import { unitWords } from "../features/words";
import { Swatch } from "../swatch";
import { Spark } from "../spark";
import { firstOf, tagsOf } from "../state";
import { TITLES } from "../pages";
import { FeatureBars } from "./bars";
import { featuresOf, StepStrip } from "./evidence";
import { MovedExamples } from "./examples";
import { FindingItem } from "./finding";
import { checkedIn, counts, severityOf, sorted, tooFew, type Told } from "./findings";
import { Go } from "./go";
import { Health } from "./layers";
import { absentIn, kindWord, linkTo, secondsWords, stepWords, viewOf } from "./logged";
import { meanScore, rightOver } from "./moved";

const TOP = 6;
/** Findings that are open at first. */
const OPEN = 5;
/** Numbers of a tag above which its examples are not fetched for a summary. */
const LARGE = 200_000;

function Findings({ run, findings, probe }: { run: RunInfo; findings: readonly Finding[]; probe: Async<Probe> }) {
  const all = sorted(findings);
  const grave = all.some((one) => severityOf(one) !== "info");
  const checked = checkedIn(run);
  const main = firstOf("maps", tagsOf("maps", run));
  const item = (one: Told): JSX.Element => {
    const same = run.tags.find(({ name }) => name === one.tag)?.probe === main?.probe;
    const known = probe.state === "ready" ? probe.value : probe.last;
    return (
      <FindingItem
        key={`${one.rule} ${one.tag} ${one.first_step}`}
        run={run}
        finding={one}
        probe={same ? known : null}
      />
    );
  };
  return (
    <>
      {!grave && (
        <p class="ov-fine">
          Nothing suspicious was found in what is logged
          {checked.length > 0 && <span class="dim">: looked for {checked.join("; ")}.</span>}
          {tooFew(run) && <> {tooFew(run)}</>}
        </p>
      )}
      {all.length > 0 && <ul class="ov-findings">{all.slice(0, OPEN).map(item)}</ul>}
      {all.length > OPEN && (
        <details>
          <summary>{all.length - OPEN} more</summary>
          <ul class="ov-findings">{all.slice(OPEN).map(item)}</ul>
        </details>
      )}
    </>
  );
}

/** A score over the steps: now, and what it was at first. */
function Score({ title, steps, values, format }: Omit<Parameters<typeof Spark>[0], "cursor">): JSX.Element | null {
  const first = values.findIndex(Number.isFinite);
  if (first < 0) return null;
  const last = values.findLastIndex(Number.isFinite);
  const at = (place: number): string => `step ${steps[place] ?? ""}: ${format(values[place] ?? Number.NaN)}`;
  return (
    <Spark
      title={title}
      steps={steps}
      values={values}
      cursor={steps[last] ?? 0}
      format={format}
      ends={[at(first), last > first ? at(last) : ""]}
    />
  );
}

/** What the features of a run say: the score they are measured by, and the strongest now. */
function Features({ run, tag }: { run: RunInfo; tag: TagInfo }): JSX.Element {
  const answer = useRequest(JSON.stringify([run.name, tag.name, versionOf(tag)]), (signal) =>
    featuresOf(run, tag, signal),
  );
  return (
    <Ready of={answer} what="The features">
      {(series) => {
        if (!series)
          return (
            <section>
              <h3>Top features</h3>
              <p>
                Too many for a summary: <Go to={linkTo(run.name, tag) ?? {}}>show them in Features</Go>
              </p>
            </section>
          );
        const t = series.steps.length - 1;
        return (
          <>
            {series.kind === "importance" && (
              <Score title={series.metric ?? "score"} steps={series.steps} values={series.score} format={short} />
            )}
            <section>
              <h3>
                Top features <small>{unitWords(series)}</small>
              </h3>
              <FeatureBars series={series} t={t} features={order(rowAt(series.mean, series, t)).slice(0, TOP)} />
            </section>
          </>
        );
      }}
    </Ready>
  );
}

function Examples({ run, tag, probe }: { run: RunInfo; tag: TagInfo; probe: Async<Probe> }): JSX.Element {
  const examples = tag.examples ?? 0;
  const part = tag.steps.length * examples > LARGE ? { figure: "output" } : {};
  const answer = useRequest(JSON.stringify([run.name, tag.name, versionOf(tag)]), (signal) =>
    fetchSeries(run.name, tag.name, signal, part),
  );
  const known = probe.state === "ready" ? probe.value : probe.last;
  const answered = answer.state === "ready" && !("figure" in part) ? answer.value : null;
  useEffect(() => {
    if (answered) figuresOf.value = { ...figuresOf.peek(), [run.name]: new Set(answered.arrays.keys()) };
  }, [answered]);
  return (
    <Ready of={answer} what="The examples">
      {(series) => {
        const steps = Array.from(series.steps);
        const right = rightOver(series, known, examples);
        return (
          <>
            {right ? (
              <Score
                title="examples right"
                steps={steps}
                values={right}
                format={(value) => `${value} of ${examples}`}
              />
            ) : (
              <Score
                title={`mean ${tag.score_name || "score"} of ${examples} examples`}
                steps={steps}
                values={meanScore(series, examples)}
                format={short}
              />
            )}
            <MovedExamples run={run.name} tag={tag} series={series} probe={known} />
          </>
        );
      }}
    </Ready>
  );
}

/** The figures of each run's main explanation, once they are known. */
const figuresOf = signal<Readonly<Record<string, ReadonlySet<string>>>>({});

function Logged({ run }: { run: RunInfo }): JSX.Element {
  const absent = absentIn(run, figuresOf.value[run.name] ?? null);
  return (
    <section class="ov-logged">
      <h3>Logged</h3>
      <ul>
        {run.tags.map((tag) => {
          const link = linkTo(run.name, tag);
          const view = viewOf(tag);
          return (
            <li key={tag.name}>
              <span class="name">{link ? <Go to={link}>{tag.name}</Go> : tag.name}</span>
              <span class="dim">{kindWord(tag)}</span>
              <StepStrip all={tag.steps} range={[-Infinity, Infinity]} />
              <span>
                {stepWords(tag)}
                {typeof tag.seconds === "number" && <span class="dim">, {secondsWords(tag.seconds)} each</span>}
                {view && <span class="sr">, shown in {TITLES[view]}</span>}
              </span>
            </li>
          );
        })}
      </ul>
      {absent.length > 0 && (
        <>
          <h3>Not logged</h3>
          {absent.map((one) => (
            <details key={one.what}>
              <summary>
                {one.what}: <span class="dim">{one.why}</span>
              </summary>
              <Lines code={one.lines} />
            </details>
          ))}
        </>
      )}
    </section>
  );
}

/** What was found in each run. */
export const told = signal<Readonly<Record<string, readonly Told[]>>>({});

/** All there is to say about one run: findings first, then its score, features and examples, then what is logged. */
export function RunCard({ run }: { run: RunInfo }): JSX.Element {
  const version = JSON.stringify([run.name, run.tags.map((tag) => [tag.name, versionOf(tag)])]);
  const findings = useRequest(version, (signal) => fetchFindings(run.name, signal));
  const maps = firstOf("maps", tagsOf("maps", run));
  const features = firstOf("features", tagsOf("features", run));
  const [health] = tagsOf("health", run);
  // pictures small enough that all of them are 200 KB
  const side = Math.max(4, Math.min(32, Math.floor(Math.sqrt(200_000 / (3 * (maps?.examples ?? 1))))));
  const probe = useRequest(maps?.probe ? JSON.stringify([run.name, maps.probe]) : null, (signal) =>
    fetchProbe(run.name, maps?.probe ?? "", null, side, signal),
  );
  const found = findings.state === "ready" ? findings.value : findings.last;
  useEffect(() => {
    if (found) told.value = { ...told.peek(), [run.name]: sorted(found) };
  }, [found]);
  const last = Math.max(...run.tags.map(({ steps }) => steps.at(-1) ?? 0));
  return (
    <article class="ov-card" aria-label={`Run ${run.name}`} data-run={run.name} tabIndex={-1}>
      <header>
        <h2>
          <Swatch name={run.name} /> <span class="name">{run.name}</span>
        </h2>
        <span class="dim" role="status">
          {found ? counts(sorted(found)) || "no findings" : ""} · newest step {last}
        </span>
      </header>
      <div class="ov-columns">
        <div class="ov-main">
          <h3>Findings</h3>
          <Ready of={findings} what="The findings">
            {(all) => <Findings run={run} findings={all} probe={probe} />}
          </Ready>
        </div>
        <div class="ov-side">
          {maps && <Examples run={run} tag={maps} probe={probe} />}
          {probe.state === "failed" && <Failed what="The examples" error={probe.error} retry={probe.retry} />}
          {features && <Features run={run} tag={features} />}
          {health && <Health run={run.name} tag={health} />}
        </div>
        <Logged run={run} />
      </div>
    </article>
  );
}
