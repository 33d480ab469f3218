import type { JSX } from "preact";
import type { Finding, Probe, RunInfo } from "../api";
import { exampleName } from "../figures";
import { TITLES } from "../pages";
import { VIEWS } from "../state";
import { EvidenceOf } from "./evidence";
import { examplesOf, linkOf, severityOf, WORDS, type Severity, type Told } from "./findings";
import { Go } from "./go";

const SHAPES: Readonly<Record<Severity, string>> = {
  alarm: "M5.2 1h5.6L15 5.2v5.6L10.8 15H5.2L1 10.8V5.2z",
  warning: "M8 1.2 15.3 14.6H.7z",
  info: "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1z",
};
const EXAMPLES = 5;

/** The sign of a severity: another shape for each, so that it does not hang on colour. */
export function Sign({ of }: { of: Severity }): JSX.Element {
  const [top, middle, bottom] = of === "warning" ? [5.6, 9.6, 12.3] : of === "info" ? [7, 11.6, 4.6] : [4, 8.8, 11.6];
  return (
    <svg class={`ov-sign ${of}`} width="18" height="18" viewBox="0 0 16 16" aria-hidden="true">
      <path d={SHAPES[of]} />
      <path class="mark" d={`M8 ${top}V${middle}M8 ${bottom}v.1`} />
    </svg>
  );
}

const stepsOf = ({ first_step: first, last_step: last }: Finding): string =>
  first === last ? `step ${first}` : `steps ${first} to ${last}`;

/** One finding: what, since when, what to try, its evidence, and the way to where it can be seen. */
export function FindingItem({
  run,
  finding,
  probe,
}: {
  run: RunInfo;
  finding: Told;
  probe: Probe | null;
}): JSX.Element {
  const severity = severityOf(finding);
  const [word] = WORDS[severity];
  const link = linkOf(run.name, finding);
  const title = VIEWS.find((one) => one === finding.view);
  const examples = link ? examplesOf(finding) : [];
  const { count } = finding.evidence;
  const more = (typeof count === "number" ? Math.max(count, examples.length) : examples.length) - EXAMPLES;
  return (
    <li class={`ov-finding ${severity}`}>
      <div class="ov-said">
        <p class="ov-what">
          <Sign of={severity} />
          <b class="ov-word">{word}</b>
          <span class="dim">
            {stepsOf(finding)} · {finding.tags.join(", ")}
          </span>
        </p>
        <p class="ov-text">{finding.text}</p>
        <p class="dim">
          <b>Try next:</b> {finding.try_next}
        </p>
        {link && title && (
          <p class="ov-links">
            <Go to={link} class="ov-go">
              Show in {TITLES[title]}
            </Go>
            {examples.slice(0, EXAMPLES).map((example) => (
              <Go key={example} to={linkOf(run.name, finding, example) ?? link}>
                {exampleName(probe, example)}
              </Go>
            ))}
            {examples.length > 0 && more > 0 && <span class="dim">and {more} more</span>}
          </p>
        )}
      </div>
      <div class="ov-evidence">
        <EvidenceOf run={run} finding={finding} />
      </div>
    </li>
  );
}
