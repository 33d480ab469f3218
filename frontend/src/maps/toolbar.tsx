import type { JSX } from "preact";
import { Popover } from "../popover";
import { step } from "../state";
import { Choice, same } from "./choice";
import { Panel } from "./lazy";
import type { RowsProps } from "./panels/rows_panel";
import * as settings from "./settings";

export interface ToolbarProps {
  /** some maps are pictures; some have signs that are shown; some have none */
  readonly image: boolean;
  readonly signed: boolean;
  readonly plain: boolean;
  /** the selected method has signs at all */
  readonly hasSigns: boolean;
  readonly inputs: readonly string[];
  /** how many methods explain the same examples, and the runs that can be compared */
  readonly peers: number;
  readonly runs: readonly string[];
  readonly rows: RowsProps;
}

/** Starts comparing with the step of the cursor, or stops. */
export function toggleDifference(): void {
  settings.minus.value = settings.minus.value === "" && step.value !== null ? `step ${step.value}` : "";
}

/** How the maps are compared, chosen and drawn: what changes their meaning stands open, the rest in panels. */
export function Toolbar(props: ToolbarProps): JSX.Element {
  const { inputs, rows } = props;
  return (
    <div class="display" role="group" aria-label="Display">
      {inputs.length > 1 && <Choice name="Input" of={settings.input} options={same(inputs)} />}
      <Popover
        name="Columns"
        face={
          <>
            <span class="dim">Columns</span> {settings.by.value}
            {settings.minus.value && ", difference"}
          </>
        }
      >
        {() => <Panel>{({ Columns }) => <Columns {...props} />}</Panel>}
      </Popover>
      <Popover
        name="Examples"
        face={
          <>
            <span class="dim">Examples</span>{" "}
            {rows.shown === rows.examples ? rows.examples : `${rows.shown} of ${rows.examples}`}
          </>
        }
      >
        {() => <Panel>{({ Rows }) => <Rows {...rows} />}</Panel>}
      </Popover>
      <Choice
        name="Scale"
        of={settings.scale}
        options={[
          ["map", "per map"],
          ["example", "per example"],
          ["shared", "shared"],
        ]}
      />
      <Popover name="Display" face="Display">
        {() => <Panel>{({ Display }) => <Display {...props} />}</Panel>}
      </Popover>
    </div>
  );
}
