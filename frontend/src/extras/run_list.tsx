/** What the run picker opens: a filter, the runs, and how they are grouped. */
import type { JSX } from "preact";
import type { RunInfo } from "../api";
import { SEEDS, suggested } from "../groups";
import {
  groupBy,
  groups,
  hasTag,
  oneRun,
  run,
  runFilter,
  runs,
  showRun,
  showRuns,
  shownRuns,
  tagsOf,
  view,
} from "../state";
import { Swatch } from "../swatch";

const SHOWN = 200;

/** Runs whose name matches a regular expression; an unfinished expression counts as plain text. */
export function matching(all: readonly RunInfo[], filter: string): RunInfo[] {
  let matches = (name: string): boolean => name.includes(filter);
  try {
    const expression = new RegExp(filter, "i");
    matches = (name) => expression.test(name);
  } catch {
    /* plain text it is */
  }
  return all.filter((one) => matches(one.name));
}

function Row({ one, many }: { one: RunInfo; many: boolean }): JSX.Element {
  const usable = many ? hasTag(one) : tagsOf(view.value, one).length > 0;
  const names = shownRuns.value.map((other) => other.name);
  const chosen = many ? names.includes(one.name) : run.value?.name === one.name;
  const toggle = (): void => {
    if (!many) showRun(one.name);
    else showRuns(chosen ? names.filter((name) => name !== one.name) : [...names, one.name]);
  };
  return (
    <label class={usable ? "" : "dim"} title={one.name}>
      <input
        type={many ? "checkbox" : "radio"}
        name="run"
        checked={chosen}
        disabled={many && !usable}
        onChange={toggle}
      />
      <Swatch name={one.name} />
      <span class="name">{one.name}</span>
      {!usable && <small>nothing for this view</small>}
    </label>
  );
}

/** Runs that differ in their seed only are drawn as one: a mean and a band. */
function Grouping(): JSX.Element {
  const offer = groupBy.value === "" && suggested(shownRuns.value) !== "";
  return (
    <div class="grouping">
      <label>
        <span>Group runs</span>
        <input
          type="text"
          placeholder="regex to leave out of names"
          title="Runs whose names are the same without what this matches are drawn as one: mean and band"
          value={groupBy.value}
          onInput={(event) => (groupBy.value = event.currentTarget.value)}
        />
      </label>
      {offer && (
        <button type="button" onClick={() => (groupBy.value = SEEDS)}>
          By seed: names end in numbers
        </button>
      )}
      {groupBy.value !== "" && (
        <p class="dim" role="status">
          {groups.value.length === shownRuns.value.length
            ? "No two names are the same without it"
            : `${groups.value.length} ${groups.value.length === 1 ? "group" : "groups"} of ${shownRuns.value.length} runs`}{" "}
          <button type="button" onClick={() => (groupBy.value = "")}>
            Each run alone
          </button>
        </p>
      )}
    </div>
  );
}

export function RunList(): JSX.Element {
  const many = !oneRun.value;
  const found = matching(runs.value, runFilter.value);
  return (
    <>
      <input
        type="search"
        aria-label="Filter runs by a regular expression"
        placeholder="Filter runs (regex)"
        value={runFilter.value}
        onInput={(event) => (runFilter.value = event.currentTarget.value)}
      />
      {many && (
        <p>
          <button type="button" onClick={() => showRuns(found.map((one) => one.name))}>
            Show these
          </button>{" "}
          <button type="button" onClick={() => showRuns([])}>
            None
          </button>
        </p>
      )}
      <div class="list">
        {found.slice(0, SHOWN).map((one) => (
          <Row key={one.name} one={one} many={many} />
        ))}
      </div>
      <p class="dim" role="status">
        {found.length === 0
          ? "No run matches"
          : found.length > SHOWN
            ? `${found.length - SHOWN} more: narrow the filter`
            : `${found.length} of ${runs.value.length} runs`}
      </p>
      {many && view.value !== "overview" && <Grouping />}
    </>
  );
}
