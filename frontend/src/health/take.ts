/** What can be taken along: the matrix as a picture, and its numbers. */
import { field } from "../csv";
import { seen, type Shown } from "../export";
import { onScreen } from "../features/chart";
import type { Loaded } from "./load";
import { MEASURES, type Measure, type Ruler } from "./measures";
import { at, type Health } from "./model";

/** One line per run, step and layer: its word and every measure. */
export function toCsv(all: readonly Health[]): string {
  const lines = [["run", "tag", "step", "layer", "state", ...MEASURES.map(({ key }) => key)].join(",")];
  for (const health of all)
    health.steps.forEach((step, t) =>
      health.layers.forEach((name, l) => {
        const numbers = MEASURES.map(({ key }) => String(at(health, key, t, l)));
        const state = health.states[t]?.[l] ?? (health.missing.has(step) ? "missing" : "");
        lines.push([field(health.run), field(health.tag), String(step), field(name), state, ...numbers].join(","));
      }),
    );
  return `${lines.join("\n")}\n`;
}

export function shown({ all }: Loaded, health: Health | undefined, measure: Measure, ruler: Ruler): Shown {
  const picture = health && onScreen.get(`health ${health.run}`);
  return {
    name: `${health?.run ?? "runs"}-${health?.tag ?? "health"}`,
    title: `${measure.title} of the layers${health ? ` of ${health.run}` : ""}`,
    lines: seen(`Measure: ${measure.title}, ${measure.what}; ${ruler.words}`),
    ...(picture && { png: picture, svg: picture }),
    csv: () => toCsv(all),
    json: () =>
      all.map(({ figures, missing, ...rest }) => ({
        ...rest,
        missing: Object.fromEntries(missing),
        figures: Object.fromEntries([...figures].map(([name, values]) => [name, Array.from(values)])),
      })),
  };
}
