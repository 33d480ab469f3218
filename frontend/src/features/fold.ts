/** Several runs as one series, and several features as one row: only where the numbers may be put together. */
import { groupsOf } from "../groups";
import { spreadOf } from "../spread";
import { rowAt, type Series } from "./series";

/** One series of a group of runs: the mean over them, and from lowest to highest; a step that only some have counts those. */
function together(name: string, runs: readonly Series[]): Series {
  const [first] = runs;
  if (!first || runs.length < 2) return first as Series;
  const names = [...new Set(runs.flatMap((one) => one.names))];
  const steps = [...new Set(runs.flatMap((one) => one.steps))].sort((a, b) => a - b);
  const d = names.length;
  const [mean, low, high] = [0, 1, 2].map(() => new Float64Array(steps.length * d).fill(NaN)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const places = runs.map((one) => ({
    one,
    row: new Map(one.steps.map((step, t) => [step, t])),
    column: names.map((feature) => one.names.indexOf(feature)),
  }));
  const per = (pick: (one: Series) => readonly number[], step: number): number => {
    const values = places.map(({ one, row }) => pick(one)[row.get(step) ?? -1] ?? NaN).filter(Number.isFinite);
    return values.length ? values.reduce((a, b) => a + b, 0) / values.length : NaN;
  };
  steps.forEach((step, t) => {
    const rows = places.map(({ one, row, column }) => {
      const values = row.has(step) ? rowAt(one.mean, one, row.get(step) ?? 0) : null;
      return Float64Array.from(column, (f) => (f >= 0 && values ? (values[f] ?? NaN) : NaN));
    });
    const spread = spreadOf(rows);
    mean.set(spread.mean, t * d);
    low.set(spread.low, t * d);
    high.set(spread.high, t * d);
  });
  return {
    ...first,
    run: name,
    names,
    steps,
    epochs: steps.map((step) => per((one) => one.epochs, step)),
    wallTimes: steps.map((step) => per((one) => one.wallTimes, step)),
    score: steps.map((step) => per((one) => one.score, step)),
    mean,
    low,
    high,
    missing: new Map(),
    alone: null,
    members: runs.map((one) => one.run),
  };
}

/** Series of runs, those of one group as one. */
export const grouped = (all: readonly Series[], pattern: string): Series[] =>
  groupsOf(
    all.map((series) => ({ name: series.run, series })),
    pattern,
  ).map(({ name, runs }) =>
    together(
      name,
      runs.map(({ series }) => series),
    ),
  );

export type Fold = "off" | "beginning" | "end";

const CUT = /[\s./:]+|__/g;

/** What a name shares with others: all but its last part ("radius mean": "radius") or but its first ("mean radius"). */
export function stem(name: string, fold: Fold): string {
  const cuts = [...name.matchAll(CUT)].filter((cut) => cut.index > 0 && cut.index + cut[0].length < name.length);
  const cut = fold === "beginning" ? cuts.at(-1) : cuts[0];
  if (fold === "off" || !cut) return name;
  return fold === "beginning" ? name.slice(0, cut.index) : name.slice(cut.index + cut[0].length);
}

/** Features by stem; those that share none are alone. */
export function folds(names: readonly string[], fold: Fold): Map<string, number[]> {
  const found = new Map<string, number[]>();
  names.forEach((name, f) => {
    const key = stem(name, fold);
    found.set(key, [...(found.get(key) ?? []), f]);
  });
  return found;
}

export const canFold = (names: readonly string[], fold: Fold): boolean =>
  fold === "off" || [...folds(names, fold).values()].some((features) => features.length > 1);

/** Why rows of a series must not be added up; "" where they may. */
export function refusal(series: Series): string {
  if (series.kind === "importance")
    return "What the score loses when single columns are shuffled does not add up. Log groups to shuffle columns together: groups={…}.";
  if (!series.additive) return `Values of ${series.tag} do not add up, so features are not folded.`;
  return "";
}

/** Features that share a part of their name as one row: their mean |attribution| summed. Intervals are no sums: they are left out. */
export function foldedBy(series: Series, fold: Fold): Series {
  if (fold === "off" || refusal(series) || !canFold(series.names, fold)) return series;
  const groups = [...folds(series.names, fold)];
  const d = groups.length;
  const made = [series.mean, series.low, series.high].map(() => new Float64Array(series.steps.length * d).fill(NaN));
  series.steps.forEach((_, t) => {
    const rows = [series.mean, series.low, series.high].map((one) => rowAt(one, series, t));
    groups.forEach(([, features], g) => {
      const [only] = features;
      rows.forEach((row, which) => {
        const into = made[which] as Float64Array;
        if (features.length === 1) into[t * d + g] = row[only ?? 0] ?? NaN;
        else if (which === 0) into[t * d + g] = features.reduce((sum, f) => sum + (row[f] ?? NaN), 0);
      });
    });
  });
  const [mean, low, high] = made as [Float64Array, Float64Array, Float64Array];
  const names = groups.map(([name, features]) =>
    features.length > 1 ? `${name} (${features.length})` : (series.names[features[0] ?? 0] ?? name),
  );
  const parts = groups.map(([, features]) => features);
  return { ...series, names, mean, low, high, alone: null, columns: series.names, parts };
}
