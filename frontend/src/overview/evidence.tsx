import type { JSX } from "preact";
import { fetchSeries, type Finding, type RunInfo, type TagInfo } from "../api";
import { useRequest } from "../async";
import { loadAll, versionOf, width } from "../features/load";
import type { Series } from "../features/series";
import { Spark } from "../spark";
import { FeatureBars } from "./bars";
import { evidenceOf, folded, type Curve, type Evidence } from "./findings";

/** Values above which the features of a tag are not fetched for a small picture. */
const LARGE = 400_000;

/** The features of a tag over its steps, or null where they are too many for a summary or there are none. */
export async function featuresOf(run: RunInfo, tag: TagInfo, signal: AbortSignal): Promise<Series | null> {
  if (tag.steps.length * width(tag) > LARGE) return null;
  return (await loadAll([{ ...run, tags: [tag] }], tag.name, signal)).series[0] ?? null;
}

/** Logged steps as ticks, with those that are spoken of marked. */
export function StepStrip({
  all,
  marked,
  range,
}: {
  all: readonly number[];
  marked?: readonly number[] | null;
  range?: readonly [number, number];
}): JSX.Element {
  const first = all[0] ?? 0;
  const span = (all.at(-1) ?? 0) - first || 1;
  const x = (step: number): number => 3 + (294 * (step - first)) / span;
  const on = new Set(marked ?? (range ? all.filter((step) => step >= range[0] && step <= range[1]) : []));
  const path = (steps: readonly number[]): string => steps.map((step) => `M${x(step).toFixed(1)} 2V14`).join("");
  return (
    <svg class="ov-strip" viewBox="0 0 300 16" preserveAspectRatio="none" aria-hidden="true">
      <path d={path(all.filter((step) => !on.has(step)))} />
      <path class="on" d={path([...on])} />
    </svg>
  );
}

function CurveOf({ run, tag, finding, curve }: { run: string; tag: TagInfo; finding: Finding; curve: Curve }) {
  const answer = useRequest(JSON.stringify([run, tag.name, curve.figure, versionOf(tag)]), (signal) =>
    fetchSeries(run, tag.name, signal, { figure: curve.figure }),
  );
  const series = answer.state === "ready" ? answer.value : answer.last;
  const tensor = series?.arrays.get(curve.figure);
  if (answer.state === "failed") return <NotDrawn why={answer.error} retry={answer.retry} />;
  if (!series || !tensor) return <p class="ov-wait dim">Loading its curve…</p>;
  const steps = Array.from(series.steps);
  return (
    <Spark
      title={curve.title}
      steps={steps}
      values={folded(tensor.data, steps.length, curve.fold)}
      cursor={finding.last_step}
      range={[finding.first_step, finding.last_step]}
      floor={curve.floor}
      format={curve.format}
    />
  );
}

function NotDrawn({ why, retry }: { why: string; retry: () => void }): JSX.Element {
  return (
    <p class="words">
      Its evidence could not be loaded: {why}{" "}
      <button type="button" onClick={retry}>
        Retry
      </button>
    </p>
  );
}

function FeatureEvidence(props: {
  run: RunInfo;
  tag: TagInfo;
  finding: Finding;
  evidence: Extract<Evidence, { draw: "bars" | "feature-curve" }>;
}): JSX.Element | null {
  const { run, tag, finding, evidence } = props;
  const answer = useRequest(JSON.stringify([run.name, tag.name, versionOf(tag)]), (signal) =>
    featuresOf(run, tag, signal),
  );
  if (answer.state === "failed") return <NotDrawn why={answer.error} retry={answer.retry} />;
  if (answer.state === "loading" && !answer.last) return <p class="ov-wait dim">Loading its features…</p>;
  const series = answer.state === "ready" ? answer.value : answer.last;
  if (!series) return null;
  if (evidence.draw === "bars") {
    const t = Math.max(0, series.steps.indexOf(finding.last_step));
    return (
      <FeatureBars
        series={series}
        t={t}
        features={evidence.choose(series, t).filter((f) => f < series.names.length)}
        marked={evidence.marked}
      />
    );
  }
  return (
    <Spark
      title={evidence.title}
      steps={series.steps}
      values={evidence.values(series)}
      cursor={finding.last_step}
      range={[finding.first_step, finding.last_step]}
      format={evidence.format}
    />
  );
}

/** The evidence of a finding, drawn small. */
export function EvidenceOf({ run, finding }: { run: RunInfo; finding: Finding }): JSX.Element | null {
  const tag = run.tags.find((one) => one.name === finding.tag);
  if (!tag) return null;
  const evidence = evidenceOf(finding);
  if (evidence.draw === "curve") return <CurveOf run={run.name} tag={tag} finding={finding} curve={evidence} />;
  if (evidence.draw !== "steps") return <FeatureEvidence run={run} tag={tag} finding={finding} evidence={evidence} />;
  return (
    <figure class="spark">
      <figcaption>{evidence.steps ? "steps concerned" : "from its first to its last step"}</figcaption>
      <StepStrip all={tag.steps} marked={evidence.steps} range={[finding.first_step, finding.last_step]} />
      <span class="dim ends" aria-hidden="true">
        <span>step {tag.steps[0]}</span>
        <span>step {tag.steps.at(-1)}</span>
      </span>
    </figure>
  );
}
