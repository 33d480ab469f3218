import type { JSX } from "preact";
import { short } from "../colour";
import { fetchSeries, Refusal, type Finding, type RunInfo, type Series as Answer, type TagInfo } from "../api";
import { useRequest } from "../async";
import { loadAll, versionOf, width } from "../features/load";
import type { Series } from "../features/series";
import { Spark } from "../spark";
import { FeatureBars } from "./bars";
import { evidenceOf, folded, type Columns, type Curve, type Evidence, type Sides } from "./rules";
import { LayerStrips } from "./layers";

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

/** A figure of a tag; null where it is not logged, which the server refuses to send. */
async function figureOf(run: string, tag: string, figure: string, signal: AbortSignal): Promise<Answer | null> {
  try {
    return await fetchSeries(run, tag, signal, { figure });
  } catch (error) {
    if (error instanceof Refusal && error.status === 400) return null;
    throw error;
  }
}

function CurveOf({ run, tag, finding, curve }: { run: string; tag: TagInfo; finding: Finding; curve: Curve }) {
  const answer = useRequest(JSON.stringify([run, tag.name, curve.figure, versionOf(tag)]), (signal) =>
    figureOf(run, tag.name, curve.figure, signal),
  );
  const series = answer.state === "ready" ? answer.value : answer.last;
  const tensor = series?.arrays.get(curve.figure);
  if (answer.state === "failed") return <NotDrawn why={answer.error} retry={answer.retry} />;
  if (answer.state === "ready" && !tensor) return <StepsOf tag={tag} finding={finding} steps={null} />;
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
      {...(curve.ends && { ends: curve.ends })}
    />
  );
}

/** The cells of a picture that a finding speaks of. */
function Cells({ at, grid: [h, w] }: { at: readonly number[]; grid: readonly [number, number] }): JSX.Element {
  return (
    <svg class="ov-cells" viewBox={`0 0 ${w} ${h}`} aria-hidden="true">
      {Array.from({ length: h * w }, (_, cell) => (
        <rect
          key={cell}
          class={at.includes(cell) ? "on" : ""}
          x={(cell % w) + 0.04}
          y={Math.floor(cell / w) + 0.04}
          width="0.92"
          height="0.92"
        />
      ))}
    </svg>
  );
}

const MOST = 5;

/** A figure of columns that is logged once, largest first. */
function ColumnsOf({ run, tag, of }: { run: string; tag: TagInfo; of: Columns }): JSX.Element {
  const answer = useRequest(JSON.stringify([run, tag.name, of.figure, versionOf(tag)]), (signal) =>
    figureOf(run, tag.name, of.figure, signal),
  );
  const series = answer.state === "ready" ? answer.value : answer.last;
  if (answer.state === "failed") return <NotDrawn why={answer.error} retry={answer.retry} />;
  if (answer.state === "ready" && !series) return <p class="dim">Its figures are not logged.</p>;
  if (!series) return <p class="ov-wait dim">Loading its columns…</p>;
  const { shape = [0, 0], data = [] } = series.arrays.get(of.figure) ?? {};
  const d = shape[1] ?? 0;
  const row = Array.from({ length: shape[0] ?? 0 }, (_, t) => Array.from(data.slice(t * d, (t + 1) * d))).find((one) =>
    one.some(Number.isFinite),
  );
  if (!row) return <p class="dim">Its figures are not logged.</p>;
  const largest = row.map((_, f) => f).sort((a, b) => (row[b] ?? -Infinity) - (row[a] ?? -Infinity));
  const shown = [...new Set([...of.marked, ...largest])].slice(0, MOST);
  const sides = shown.map((f) => [series.names?.[f] ?? `feature ${f}`, row[f] ?? Number.NaN] as const);
  return (
    <SidesOf of={{ title: of.title, sides }} marked={shown.flatMap((f, at) => (of.marked.includes(f) ? [at] : []))} />
  );
}

/** A few numbers side by side, from zero. */
function SidesOf({ of, marked = [] }: { of: Omit<Sides, "draw">; marked?: readonly number[] }): JSX.Element {
  const top = Math.max(0, ...of.sides.map(([, value]) => value).filter(Number.isFinite));
  return (
    <figure class="spark">
      <figcaption>{of.title}</figcaption>
      <ul class="ov-sides">
        {of.sides.map(([name, value], at) => (
          <li key={name} class={marked.includes(at) ? "marked" : ""}>
            <span class="name" title={name}>
              {name}
            </span>
            <span class="track" aria-hidden="true">
              <i style={{ width: `${Math.max(0, (100 * value) / (top || 1))}%` }} />
            </span>
            <span class="value">{short(value)}</span>
          </li>
        ))}
      </ul>
    </figure>
  );
}

/** Which of the logged steps are concerned. */
function StepsOf({ tag, finding, steps }: { tag: TagInfo; finding: Finding; steps: readonly number[] | null }) {
  return (
    <figure class="spark">
      <figcaption>{steps ? "steps concerned" : "from its first to its last step"}</figcaption>
      <StepStrip all={tag.steps} marked={steps} range={[finding.first_step, finding.last_step]} />
      <span class="dim ends" aria-hidden="true">
        <span>step {tag.steps[0]}</span>
        <span>step {tag.steps.at(-1)}</span>
      </span>
    </figure>
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
  switch (evidence.draw) {
    case "curve":
      return (
        <div class={evidence.cells ? "ov-place" : ""}>
          {evidence.cells && <Cells {...evidence.cells} />}
          <CurveOf run={run.name} tag={tag} finding={finding} curve={evidence} />
        </div>
      );
    case "bars":
    case "feature-curve":
      return <FeatureEvidence run={run} tag={tag} finding={finding} evidence={evidence} />;
    case "columns":
      return <ColumnsOf run={run.name} tag={tag} of={evidence} />;
    case "layers":
      return <LayerStrips run={run.name} tag={tag} names={evidence.names} />;
    case "sides":
      return <SidesOf of={evidence} />;
    case "steps":
      return <StepsOf tag={tag} finding={finding} steps={evidence.steps} />;
  }
}
