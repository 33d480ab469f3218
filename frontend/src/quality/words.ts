/** Values, states and charts in words. */
import { number } from "../features/words";
import { placeAt, whyAt, type Curve } from "./curves";
import type { Picture } from "./draw";
import type { Measure } from "./measures";

export const valueOf = (measure: Measure, value: number): string =>
  measure.percent && Number.isFinite(value) ? `${number(100 * value)} %` : number(value);

export interface Reading {
  step: number | null;
  value: number;
  /** the value, or why there is none */
  words: string;
  range: string;
  reference: string;
  /** how many examples are undefined, where some are */
  partly: string;
}

/** What a curve says at the cursor. */
export function reading(curve: Curve, measure: Measure, step: number | null): Reading {
  const at = placeAt(curve, step);
  const own = curve.steps[at];
  if (own === undefined)
    return { step: null, value: Number.NaN, words: "not logged yet", range: "", reference: "", partly: "" };
  const value = curve.y[at] ?? Number.NaN;
  const [low, high] = [curve.low?.[at] ?? Number.NaN, curve.high?.[at] ?? Number.NaN];
  const reference = curve.reference?.[at] ?? Number.NaN;
  const counts = curve.tracks.flatMap((one) => {
    const place = one.steps.indexOf(own);
    return place < 0 || !Number.isFinite(one.y[place]) ? [] : [one.examples - (one.defined[place] ?? 0)];
  });
  const undefinedOnes = Math.max(0, ...counts);
  return {
    step: own,
    value,
    words: Number.isFinite(value) ? valueOf(measure, value) : whyAt(curve, at),
    range: Number.isFinite(low) && Number.isFinite(high) ? `${valueOf(measure, low)} to ${valueOf(measure, high)}` : "",
    reference: Number.isFinite(reference) ? valueOf(measure, reference) : "",
    partly: undefinedOnes > 0 ? `undefined for ${undefinedOnes} of ${curve.tracks[0]?.examples ?? 0} examples` : "",
  };
}

/** A chart in a sentence or two, for those who cannot see it. */
export function summary({ measure, curves, line }: Picture, step: number | null): string {
  const said = curves.map((one) => {
    const { words, reference } = reading(one, measure, step);
    return `${one.label} ${words}${reference ? ` (${measure.reference?.name ?? ""} ${reference})` : ""}`;
  });
  const span = `steps ${line.steps[0] ?? "?"} to ${line.steps.at(-1) ?? "?"}`;
  return `${measure.title} over ${span}; at step ${step ?? "?"}: ${said.join("; ")}`;
}
