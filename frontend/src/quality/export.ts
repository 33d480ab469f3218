/** What is seen, to take along: the chosen measure as a picture, and all that is drawn as a table. */
import { field } from "../csv";
import { useTheme } from "../features/chart";
import { seen, useExport } from "../export";
import { step } from "../state";
import type { Known } from "./cards";
import { drawOver, drawPicture } from "./draw";
import { compares, driftBy } from "./model";

const COLUMNS = ["measure", "run", "tag", "step", "value", "reference", "defined", "examples"] as const;
type Row = Readonly<Record<(typeof COLUMNS)[number], string | number | null>>;

const orNull = (value: number | undefined): number | null =>
  value !== undefined && Number.isFinite(value) ? value : null;

/** One row for every measure, run, method and step that is drawn; null is undefined. */
export function rowsOf(all: readonly Known[], by: string): Row[] {
  return all.flatMap(({ measure, picture }) =>
    picture.curves.flatMap((curve) =>
      curve.tracks.flatMap((one) =>
        one.steps.map((at, i) => ({
          measure: measure.drift ? `${measure.key}.${by}` : measure.key,
          run: one.run,
          tag: curve.tag,
          step: at,
          value: orNull(one.y[i]),
          reference: orNull(one.reference?.[i]),
          defined: one.defined[i] ?? null,
          examples: one.examples,
        })),
      ),
    ),
  );
}

const cell = (value: string | number | null): string => field(value === null ? "" : String(value));

export const csvOf = (rows: readonly Row[]): string =>
  [COLUMNS.join(","), ...rows.map((row) => COLUMNS.map((name) => cell(row[name])).join(","))].join("\r\n") + "\r\n";

export function useQualityExport(known: Known, all: readonly Known[]): void {
  const theme = useTheme();
  useExport(() => {
    const { measure, picture } = known;
    const drawn = {
      width: 900,
      height: 420,
      draw: (ctx: CanvasRenderingContext2D): void => {
        drawPicture(ctx, picture, 900, 420, theme);
        drawOver(ctx, picture, 900, 420, theme, step.value, null);
      },
    };
    const name = `quality_${measure.key.replace(/[^\w.-]+/g, "_")}`;
    return {
      name,
      title: measure.title,
      lines: seen(
        `Measure: ${measure.title}${measure.drift ? ` (${driftBy.value})` : ""}`,
        `Lines: ${compares.value}; ${measure.fold === "p95" ? "95 % of the examples lie below" : "mean over the examples"}`,
        ...(measure.reference ? [`Dotted: ${measure.reference.name}`] : []),
      ),
      png: () => drawn,
      svg: () => drawn,
      csv: () => csvOf(rowsOf(all, driftBy.value)),
      json: () => rowsOf(all, driftBy.value),
    };
  });
}
