/** What can be taken along: what is seen, and the names of the features that matter. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { copy } from "../lines";
import { seen, useExport, type Picture } from "../export";
import { onScreen } from "./chart";
import { toCsv } from "./csv";
import type { Model } from "./model";
import { at, useful, verdictAt } from "./series";
import { bandWords, plural, unitWords } from "./words";
import { AXIS_WORDS } from "./axis";

/** Rows of a table that is downloaded; beyond this the weakest features are left out, and the file says so. */
const CSV_ROWS = 500_000;
const HEAD = 22;

/** The charts on screen below each other, each under its name. */
export function stacked(charts: ReadonlyMap<string, () => Picture>): Picture {
  const all = [...charts].map(([name, make]) => ({ name, ...make() }));
  return {
    width: Math.max(1, ...all.map(({ width }) => width)),
    height: all.reduce((sum, { height }) => sum + height + HEAD, 0),
    draw: (ctx) => {
      const ink = ctx.fillStyle;
      let top = 0;
      for (const { name, height, draw } of all) {
        ctx.save();
        ctx.translate(0, top);
        ctx.fillStyle = ink;
        ctx.font = "600 13px system-ui, sans-serif";
        ctx.textAlign = "left";
        ctx.textBaseline = "middle";
        ctx.fillText(name, 0, 9);
        ctx.translate(0, HEAD);
        draw(ctx);
        ctx.restore();
        top += height + HEAD;
      }
    },
  };
}

/** Features of all runs that a table holds, strongest first. */
function kept({ series, others, found }: Model): { names: string[]; left: number } {
  const steps = [series, ...others].reduce((sum, one) => sum + one.steps.length, 0);
  const many = Math.max(1, Math.floor(CSV_ROWS / Math.max(1, steps)));
  return { names: found.slice(0, many).map((f) => series.names[f] ?? ""), left: Math.max(0, found.length - many) };
}

/** Offers what the view shows: its picture, its charts in lines, and all values of the features that match. */
export function useFeatureExport(model: Model | null): void {
  useExport(() => {
    if (!model) return { name: "features", title: "Features", lines: seen() };
    const { series, others, t } = model;
    const { left, names } = kept(model);
    const all = [series, ...others];
    return {
      name: `${series.run}-${series.tag}-step_${series.steps[t] ?? ""}`,
      title: `${series.kind === "importance" ? "Importance" : "Attribution"} of features, ${series.tag}`,
      lines: seen(
        `Scale: ${unitWords(series)}; bands: ${bandWords(series)}`,
        `Ranked by ${series.run}, ${model.order}; axis: ${AXIS_WORDS[model.line.axis]}`,
        ...(series.members ? [`${series.run}: mean of ${series.members.join(", ")}`] : []),
        ...(left ? [`Tables hold the ${names.length} strongest features; ${left} are left out`] : []),
      ),
      png: () => document.querySelector(".fx"),
      svg: () => stacked(onScreen),
      csv: () => toCsv(all, names),
      json: () => ({
        unit: unitWords(series),
        interval: bandWords(series),
        runs: all.map((one) => ({
          run: one.run,
          tag: one.tag,
          mean_of: one.members,
          metric: one.metric,
          steps: one.steps,
          epochs: one.epochs,
          wall_times: one.wallTimes,
          score: one.score,
          missing: Object.fromEntries(one.missing),
          features: names.flatMap((name) => {
            const f = one.names.indexOf(name);
            if (f < 0) return [];
            const over = (values: typeof one.mean) => one.steps.map((_, row) => at(values, one, row, f));
            const verdict = one === series ? verdictAt(one, t, f) : undefined;
            return [{ name, verdict, mean: over(one.mean), low: over(one.low), high: over(one.high) }];
          }),
        })),
      }),
    };
  });
}

/** Copies the names of the features that matter. */
export function Select({ model }: { model: Model }): JSX.Element {
  const [said, say] = useState("");
  const { series, t } = model;
  const names = useful(series, t, model.found).map((f) => series.names[f] ?? "");
  return (
    <div class="fx-exports">
      <button
        type="button"
        disabled={!names.length}
        title={`Copies the names whose lower bound is above 0 at step ${series.steps[t] ?? ""}, as a list for Python`}
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
