import type { JSX } from "preact";
import { Extra } from "./extra";
import { Popover } from "./popover";
import { groups, oneRun, run, runs, shownRuns } from "./state";
import { Swatch } from "./swatch";

/** Chooses the run (Maps, Text) or the runs (other views) by a filter and a list. */
export function RunPicker(): JSX.Element | null {
  if (!run.value) return null;
  const many = !oneRun.value;
  const shown = shownRuns.value;
  const single = many && shown.length === 1 ? shown[0] : many ? null : run.value;
  const face = (
    <>
      <span class="dim">{many && shown.length !== 1 ? "Runs" : "Run"}</span>
      {single ? (
        <Swatch name={single.name} />
      ) : (
        shown.slice(0, 5).map((one) => <Swatch key={one.name} name={one.name} />)
      )}
      <span class="name">
        {single ? single.name : `${shown.length} of ${runs.value.length}`}
        {many && groups.value.length < shown.length && `, ${groups.value.length} groups`}
      </span>
    </>
  );
  return (
    <Popover name="Runs" face={face}>
      {() => <Extra what="the list of runs">{({ RunList }) => <RunList />}</Extra>}
    </Popover>
  );
}
