/** The Overview: what a careful colleague would say of each run, and where it can be seen. */
import type { JSX } from "preact";
import { seen, useExport } from "../export";
import { showRuns, shownRuns, runs } from "../state";
import { Swatch } from "../swatch";
import { Sign } from "./finding";
import { counts, severityOf } from "./findings";
import { RunCard, told } from "./run_card";
import { taken } from "./take";
import { adopt } from "../style";
import css from "./overview.css?inline";

adopt(css);

/** Of several runs: what was found in each, and a way to its card. */
function Runs({ names }: { names: readonly string[] }): JSX.Element {
  const goTo = (name: string): void => {
    const card = [...document.querySelectorAll<HTMLElement>(".ov-card")].find((one) => one.dataset["run"] === name);
    card?.scrollIntoView({ block: "start" });
    card?.focus({ preventScroll: true });
  };
  return (
    <nav class="ov-runs" aria-label="Findings of each run">
      {names.map((name) => {
        const found = told.value[name];
        const [worst] = found ?? [];
        return (
          <button type="button" key={name} onClick={() => goTo(name)}>
            <Swatch name={name} /> <b class="name">{name}</b>
            {worst && <Sign of={severityOf(worst)} />}
            <span class="dim">{found ? counts(found) || "no findings" : "…"}</span>
          </button>
        );
      })}
    </nav>
  );
}

export function Page(): JSX.Element {
  const shown = shownRuns.value;
  useExport(() => {
    const names = shown.map((run) => run.name);
    return { name: "findings", title: "Findings", lines: seen(), ...taken(names, told.value) };
  });
  if (!shown.length)
    return (
      <section class="state">
        <p>No run is chosen.</p>
        <button type="button" onClick={() => showRuns(null)}>
          Show the first runs
        </button>
      </section>
    );
  return (
    <div class="ov">
      {shown.length > 1 && <Runs names={shown.map((run) => run.name)} />}
      {shown.map((run) => (
        <RunCard key={run.name} run={run} />
      ))}
      {shown.length < runs.value.length && (
        <p class="dim">
          {shown.length} of {runs.value.length} runs are shown; choose others above, under “Run”.
        </p>
      )}
    </div>
  );
}
