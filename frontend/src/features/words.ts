/** Numbers and states in words. */
import { at, verdictAt, type Alone, type Series, type Verdict } from "./series";

/** Three significant digits, with powers of ten only where plain digits would mislead. */
export function number(value: number): string {
  if (!Number.isFinite(value)) return "NaN";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text =
    size < 1e-4 || size >= 1e6 ? value.toExponential(1) : size >= 1000 ? value.toFixed(0) : value.toPrecision(3);
  return text.replaceAll("-", "−");
}

export const VERDICT_WORDS: Record<Verdict, string> = {
  missing: "not logged",
  nan: "NaN (not finite)",
  unused: "unused (exactly 0)",
  unclear: "not distinguishable from 0",
  above: "",
  below: "below 0",
};

const LOSSES = /loss|error|entropy|mse|mae|rmse|deviance|perplexity/i;
const SCORES = /accuracy|auc|r2|r²|precision|recall|f1|score|correlation/i;

/** What a value means and its unit, in words. */
export function unitWords(series: Series): string {
  const metric = series.metric ?? "";
  if (series.kind === "attribution")
    return `mean |attribution| over the examples${metric ? `, in units of ${metric}` : ""}`;
  const change = LOSSES.test(metric) ? "increase of" : SCORES.test(metric) ? "drop of" : "worsening of";
  return `${change} ${metric || "the score"} when the column is shuffled`;
}

/** Value with its interval, or the word for its state. */
export function valueWords(series: Series, t: number, f: number): string {
  const state = verdictAt(series, t, f);
  if (state === "missing" || state === "nan" || state === "unused") return VERDICT_WORDS[state];
  const low = at(series.low, series, t, f);
  const high = at(series.high, series, t, f);
  const interval = Number.isFinite(low) && Number.isFinite(high) ? ` [${number(low)}, ${number(high)}]` : "";
  const word = series.members && state === "unclear" ? "runs disagree on its sign" : VERDICT_WORDS[state];
  return `${number(at(series.mean, series, t, f))}${interval}${word ? `, ${word}` : ""}`;
}

/** What a band or whisker is, in words. */
export const bandWords = (series: Series): string =>
  series.members ? `lowest to highest of ${series.members.length} runs` : "95 % interval";

interface AloneWords {
  name: string;
  long: string;
  what: string;
  /** of the bars; null: of the values */
  range: readonly [number, number] | null;
}

export const ALONE_WORDS: Record<Alone, AloneWords> = {
  single_score: {
    name: "alone",
    long: "score of the feature alone",
    what: "How well the feature alone tells the label: 1 is perfect; 0.5 is chance for classes, 0 for values",
    range: [0, 1],
  },
  mutual_information: {
    name: "mutual information",
    long: "mutual information with the label",
    what: "In nats; 0 is independent",
    range: null,
  },
  correlation: {
    name: "correlation",
    long: "correlation with the label",
    what: "From −1 to 1; 0 is none",
    range: [-1, 1],
  },
};

export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** The chart in two sentences for those who cannot see it. */
export function summary(series: Series, t: number, ordered: readonly number[]): string {
  const first = series.steps[0];
  const last = series.steps[series.steps.length - 1];
  const top = ordered.slice(0, 3).map((f) => `${series.names[f] ?? ""} ${valueWords(series, t, f)}`);
  const gaps = series.missing.size ? ` ${plural(series.missing.size, "step is", "steps are")} missing.` : "";
  return (
    `${plural(series.names.length, "feature")} over ${plural(series.steps.length, "logged step")}, ${first ?? "?"} to ${last ?? "?"}: ` +
    `${unitWords(series)}. At step ${series.steps[t] ?? "?"}: ${top.join("; ")}.${gaps}`
  );
}
