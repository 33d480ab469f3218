/** What can be taken along: the table that is seen, and the names of the features that matter. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { copy } from "../empty";
import { download, fileName, toCsv } from "./csv";
import type { Model } from "./model";
import { useful } from "./series";
import { plural } from "./words";

/** Rows of a table that is downloaded; beyond this the weakest features are left out, and the button says so. */
const CSV_ROWS = 500_000;

export function Exports({ model }: { model: Model }): JSX.Element {
  const [said, say] = useState("");
  const { series, others, t, found } = model;
  const all = [series, ...others];
  const steps = all.reduce((sum, one) => sum + one.steps.length, 0);
  const kept = found.slice(0, Math.max(1, Math.floor(CSV_ROWS / Math.max(1, steps))));
  const names = useful(series, t, model.found).map((f) => series.names[f] ?? "");
  const at = `at step ${series.steps[t] ?? ""}`;
  return (
    <div class="fx-exports">
      <button
        type="button"
        title={`${plural(kept.length, "feature")}${kept.length < found.length ? " (the strongest)" : ""} × ${plural(steps, "logged step")} of ${plural(all.length, "run")}: run, tag, step, feature, mean, low, high`}
        onClick={() =>
          download(
            fileName(series.run, series.tag),
            toCsv(
              all,
              kept.map((f) => series.names[f] ?? ""),
            ),
          )
        }
      >
        CSV
      </button>
      <button
        type="button"
        disabled={!names.length}
        title={`Copies the names whose lower bound is above 0 ${at}, as a list for Python`}
        onClick={() =>
          void copy(JSON.stringify(names)).then((done) =>
            say(done ? `${plural(names.length, "name")} copied` : "The browser refused the clipboard"),
          )
        }
      >
        Select features ({names.length.toLocaleString("en")})
      </button>
      <span role="status" class="dim">
        {said}
      </span>
    </div>
  );
}
