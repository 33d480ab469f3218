/** The features on screen as a table for other programs. */
import { field } from "../csv";
import { at, type Series } from "./series";

const value = (v: number): string => (Number.isNaN(v) ? "NaN" : String(v));

/** One line per run, step and feature; a step that is missing has empty values, a value that is not finite says NaN. */
export function toCsv(all: readonly Series[], featureNames: readonly string[]): string {
  const lines = ["run,tag,step,feature,mean,low,high"];
  for (const series of all) {
    const index = new Map(series.names.map((name, f) => [name, f]));
    series.steps.forEach((step, t) => {
      const lost = series.missing.has(step);
      for (const name of featureNames) {
        const f = index.get(name);
        if (f === undefined) continue;
        const numbers = [series.mean, series.low, series.high].map((v) => (lost ? "" : value(at(v, series, t, f))));
        lines.push([field(series.run), field(series.tag), String(step), field(name), ...numbers].join(","));
      }
    });
  }
  return lines.join("\n") + "\n";
}
