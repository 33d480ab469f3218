/** Figures of single examples in words. */
import { short } from "../colour";

interface Word {
  readonly title: string;
  readonly format?: (value: number) => string;
  /** what it means, and which way is better */
  readonly about?: string;
}

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;
const plain = (value: number): string => String(Number(value.toFixed(3))).replace("-", "−");

const WORDS: Readonly<Record<string, Word>> = {
  output: { title: "score of the target" },
  baseline_output: { title: "score of the baseline" },
  confidence: { title: "confidence", format: plain },
  sum: { title: "sum of values", about: "additive methods: the score less that of the baseline" },
  sum_abs: { title: "sum of |values|" },
  peak: { title: "peak |value|" },
  entropy: { title: "complexity", format: plain, about: "entropy of the shares of |values|: low is focused" },
  gini: { title: "sparseness", format: plain, about: "Gini index: 0 is spread evenly, 1 is one place" },
  gap: { title: "completeness gap", format: percent, about: "above 5 %: more steps are needed" },
  infidelity: { title: "infidelity", about: "lower is better" },
  faithfulness: { title: "faithfulness", format: plain, about: "correlation with what removing does: 1 is best" },
  max_sensitivity: { title: "sensitivity", about: "largest change under small noise: lower is better" },
  deletion: {
    title: "deletion",
    format: plain,
    about: "area under the score while the strongest are removed: lower is better",
  },
  insertion: {
    title: "insertion",
    format: plain,
    about: "area under the score while the strongest are put in: higher is better",
  },
  randomisation: { title: "likeness to a random model", format: plain, about: "rank correlation: near 0 is right" },
};

const MASKS: Readonly<Record<string, string>> = {
  mass: "share of evidence inside",
  rank: "share of the strongest inside",
  hit: "strongest place inside",
};

function wordOf(name: string): Word {
  const known = WORDS[name];
  if (known) return known;
  const [kind = "", ...mask] = name.split(".");
  const about = MASKS[kind];
  if (about && mask.length)
    return { title: `${about} “${mask.join(".")}”`, format: kind === "hit" ? (v) => (v ? "yes" : "no") : percent };
  return { title: name.replaceAll("_", " ") };
}

export const titleOf = (name: string): string => wordOf(name).title;
export const aboutOf = (name: string): string | undefined => wordOf(name).about;
export const formatOf = (name: string): ((value: number) => string) => wordOf(name).format ?? short;
