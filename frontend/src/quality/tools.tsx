/** What the lines are, and whose. */
import type { JSX } from "preact";
import { groups, showRun, tag } from "../state";
import { compares, lead, lines } from "./model";

export function Tools(): JSX.Element {
  const now = compares.value;
  const several = groups.value.length > 1;
  const choices = [
    ["methods", "methods of a run"],
    ["runs", `runs of ${tag.value?.name ?? "a method"}`],
  ] as const;
  return (
    <div class="ql-tools">
      <fieldset class="ql-choice">
        <legend>Lines</legend>
        {choices.map(([one, words]) => (
          <label key={one} class={now === one ? "on" : ""}>
            <input type="radio" name="ql-lines" checked={now === one} onChange={() => (lines.value = one)} />
            {words}
          </label>
        ))}
      </fieldset>
      {now === "methods" && several && (
        <label class="pick">
          <span>Run</span>
          <select value={lead.value?.runs[0]?.name} onChange={(event) => showRun(event.currentTarget.value)}>
            {groups.value.map((one) => (
              <option key={one.name} value={one.runs[0]?.name}>
                {one.runs.length > 1 ? `${one.name} × ${one.runs.length}` : one.name}
              </option>
            ))}
          </select>
        </label>
      )}
    </div>
  );
}
