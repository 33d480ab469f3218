import type { JSX } from "preact";
import { Choice, type Options } from "../choice";
import { showAllRows } from "../rows";
import * as settings from "../settings";
import { titleOf } from "../words";

export interface RowsProps {
  readonly examples: number;
  readonly shown: number;
  /** classes of labels and of predictions, by their names; empty where there are none */
  readonly labels: Options;
  readonly said: Options;
  /** figures that examples can be sorted by */
  readonly figures: readonly string[];
  /** whether the server knows how maps move between steps */
  readonly drift: boolean;
}

/** Which examples are seen, and in which order. */
export function Rows({ examples, shown, labels, said, figures, drift }: RowsProps): JSX.Element {
  const classes = said.length > 0;
  const known = new Set(["output", "confidence", "peak", "sum", "sum_abs"]);
  const orders: Options = [
    ["", "as logged"],
    ["name", "by name"],
    ...(labels.length ? ([["label", "by label"]] as const) : []),
    ...(classes
      ? ([
          ["said", "by prediction"],
          ["flips", "most flips first"],
        ] as const)
      : []),
    ["strength", "strongest map first"],
    ...(drift ? ([["drift", "most changed since the step before"]] as const) : []),
    ...[...figures]
      .filter((one) => one !== "peak")
      .sort((a, b) => Number(known.has(b)) - Number(known.has(a)))
      .map((one) => [one, titleOf(one)] as const),
  ];
  const any = [["", "any"]] as const;
  return (
    <div class="choices">
      <label class="pick">
        <span>Names</span>
        <input
          type="search"
          placeholder="regex"
          aria-label="Filter examples by a regular expression over their names"
          value={settings.names.value}
          onInput={(event) => (settings.names.value = event.currentTarget.value)}
        />
      </label>
      <Choice name="Order" of={settings.sort} options={orders} />
      <label class="pick">
        <span>Reversed</span>
        <input
          type="checkbox"
          checked={settings.reverse.value === "yes"}
          onChange={(event) => (settings.reverse.value = event.currentTarget.checked ? "yes" : "")}
        />
      </label>
      {labels.length > 0 && <Choice name="Label" of={settings.label} options={[...any, ...labels]} />}
      {classes && <Choice name="Predicted" of={settings.said} options={[...any, ...said]} />}
      {classes && (
        <Choice
          name="Only"
          of={settings.only}
          options={[
            ["all", "all"],
            ...(labels.length
              ? ([
                  ["wrong", "wrong at this step"],
                  ["right", "right at this step"],
                ] as const)
              : []),
            ["flips", "with a flip at any step"],
            ["flips until", "with a flip until this step"],
          ]}
        />
      )}
      <p class="dim" role="status">
        {shown} of {examples} examples
        {shown < examples && (
          <>
            {" "}
            <button type="button" onClick={showAllRows}>
              Show all
            </button>
          </>
        )}
      </p>
    </div>
  );
}
