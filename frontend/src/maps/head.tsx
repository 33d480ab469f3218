import type { JSX } from "preact";
import { Swatch } from "../swatch";
import { stepName } from "../step_bar";
import type { Column, Scene } from "./sources";

/** What stands over a column; choosing it selects its step, its method or its run. */
export function Head({
  column,
  by,
  wide,
  onPick,
}: {
  column: Column;
  by: Scene["by"];
  wide: boolean;
  onPick: (column: Column) => void;
}): JSX.Element {
  const { step, epoch, title, current } = column;
  return (
    <button
      type="button"
      class={current ? "quiet current" : "quiet"}
      aria-current={current ? (by === "steps" ? "step" : "true") : undefined}
      aria-label={by === "steps" ? stepName(step, epoch) : title}
      title={by === "steps" ? undefined : title}
      onClick={() => onPick(column)}
    >
      {by === "runs" && <Swatch name={column.run} />}
      {title}
      {by === "steps" && step === 0 && wide && !(epoch > 0) && <small> untrained</small>}
      {by === "steps" && wide && Number.isFinite(epoch) && epoch !== step && (
        <small> epoch {Number(epoch.toFixed(1))}</small>
      )}
    </button>
  );
}
