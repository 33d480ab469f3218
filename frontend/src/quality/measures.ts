/** What is measured, in plain words: what each figure says, and which way is good. */
import type { Mask } from "../api";

/** Where a measure is better: more, less, near zero; or neither, by itself. */
export type Good = "up" | "down" | "zero" | null;

export const GOOD_WORDS: Readonly<Record<"up" | "down" | "zero", string>> = {
  up: "↑ higher is better",
  down: "↓ lower is better",
  zero: "near 0 is better",
};

export const SECTIONS = {
  faithful: "True to the model?",
  place: "Where it should be?",
  model: "Of this model?",
  short: "How concise?",
  drift: "Does it move?",
} as const;

export interface Measure {
  key: string;
  title: string;
  /** one line: what it says */
  says: string;
  good: Good;
  section: keyof typeof SECTIONS;
  /** the figure of `./series` that it is, or what drift compares with */
  figure?: string;
  drift?: Against;
  /** what its curve stands against: another figure, or a number */
  reference?: { name: string; figure?: string; value?: number };
  /** its standard error, per example */
  stderr?: string;
  /** how a step's examples become one number; the mean where nothing is said */
  fold?: "p95";
  /** whether zero always is in its chart */
  zero?: boolean;
  /** drawn as shares in percent */
  percent?: boolean;
}

export type Against = "previous" | "first" | "pin" | "other";

export const FIGURES: readonly Measure[] = [
  {
    key: "gap",
    title: "Completeness gap",
    says: "By how much the values miss adding up to the change of the output; 95 % of the examples lie below. Above 5 %, take more steps of integration.",
    good: "down",
    section: "faithful",
    figure: "gap",
    fold: "p95",
    reference: { name: "limit 5 %", value: 0.05 },
    zero: true,
    percent: true,
  },
  {
    key: "infidelity",
    title: "Infidelity",
    says: "Error when the explanation foretells what a perturbation of the input does to the output; 0 is perfect.",
    good: "down",
    section: "faithful",
    figure: "infidelity",
    stderr: "infidelity_stderr",
    zero: true,
  },
  {
    key: "faithfulness",
    title: "Faithfulness correlation",
    says: "Correlation of the values of removed inputs with the drop of the output: 1 is perfect, 0 is chance.",
    good: "up",
    section: "faithful",
    figure: "faithfulness",
    reference: { name: "chance", value: 0 },
  },
  {
    key: "deletion",
    title: "Deletion",
    says: "Mean output while the most important inputs are removed first. True explanations lie well below the same in random order.",
    good: "down",
    section: "faithful",
    figure: "deletion",
    reference: { name: "random order", figure: "deletion_random" },
  },
  {
    key: "insertion",
    title: "Insertion",
    says: "Mean output while the most important inputs are put back first. True explanations lie well above the same in random order.",
    good: "up",
    section: "faithful",
    figure: "insertion",
    reference: { name: "random order", figure: "insertion_random" },
  },
  {
    key: "max_sensitivity",
    title: "Max-sensitivity",
    says: "The most that an explanation changes when the input hardly does, relative to itself.",
    good: "down",
    section: "faithful",
    figure: "max_sensitivity",
    zero: true,
  },
  {
    key: "r2",
    title: "R² of the surrogate",
    says: "How much of the model's output near the example the simple model behind the explanation explains.",
    good: "up",
    section: "faithful",
    figure: "r2",
  },
  {
    key: "randomisation",
    title: "Randomised weights",
    says: "Rank correlation with the explanation of the same network with random weights. Near 1, the picture does not depend on what was learned.",
    good: "zero",
    section: "model",
    figure: "randomisation",
    reference: { name: "unrelated", value: 0 },
  },
  {
    key: "gini",
    title: "Sparseness (Gini)",
    says: "0: all inputs count the same; towards 1: few carry everything. Neither is good by itself.",
    good: null,
    section: "short",
    figure: "gini",
  },
  {
    key: "entropy",
    title: "Complexity (entropy)",
    says: "Over how many inputs the explanation is spread, as a natural logarithm. A sudden fall is worth a look.",
    good: null,
    section: "short",
    figure: "entropy",
  },
];

const MASKS: Readonly<Record<string, (mask: string) => Pick<Measure, "title" | "says">>> = {
  mass: (mask) => ({ title: `Mass in “${mask}”`, says: "Share of all |values| that lies inside." }),
  rank: (mask) => ({
    title: `Ranks in “${mask}”`,
    says: "Share of the strongest inputs that lie inside, as many as it covers.",
  }),
  hit: (mask) => ({ title: `Hits in “${mask}”`, says: "Share of examples whose strongest input lies inside." }),
};

/** The measures of masks that some figures are of: `mass.border`. */
export function maskMeasures(figures: Iterable<string>, masks: Readonly<Record<string, Mask>>): Measure[] {
  return [...new Set(figures)].flatMap((figure) => {
    const [kind = "", ...rest] = figure.split(".");
    const mask = rest.join(".");
    const words = MASKS[kind]?.(mask);
    if (!words || !mask) return [];
    const suspect = masks[mask]?.suspect === true;
    const where = suspect ? "It marks a place that must not matter." : "It marks where the evidence should be.";
    return [
      {
        ...words,
        key: figure,
        says: `${words.says} ${where}`,
        good: suspect ? ("down" as const) : ("up" as const),
        section: "place" as const,
        figure,
        zero: true,
        percent: true,
        ...(kind !== "hit" && { reference: { name: "its area", figure: `area.${mask}` } }),
      },
    ];
  });
}

export const DRIFT_MEASURES = ["cosine", "spearman", "kendall", "top_k_overlap", "ndcg", "ssim"] as const;
export type DriftMeasure = (typeof DRIFT_MEASURES)[number];

export const DRIFT_WORDS: Readonly<Record<DriftMeasure, string>> = {
  cosine: "cosine",
  spearman: "rank correlation (Spearman)",
  kendall: "rank correlation (Kendall)",
  top_k_overlap: "overlap of the top tenth",
  ndcg: "order of the strongest (nDCG)",
  ssim: "structure of the picture (SSIM)",
};

const NOISE = { name: "the same model explained twice (noise floor)", figure: "floor" };

/** Drift against the step before, the first, a pinned one, and another method. */
export function driftMeasures(pin: string, other: string): Measure[] {
  const of = (drift: Against, title: string, says: string): Measure => ({
    key: `drift.${drift}`,
    title,
    says,
    good: null,
    section: "drift",
    drift,
    reference: drift === "other" ? { name: "unrelated", value: 0 } : NOISE,
  });
  return [
    of(
      "previous",
      "Like the step before",
      "1: the explanation stood still. It moved only where the curve lies below its noise floor.",
    ),
    of("first", "Like the first step", "What is left of the untrained explanation. Near 1, nothing was learned from."),
    of(
      "pin",
      pin ? `Like step ${pin}` : "Like a pinned step",
      "Likeness to a step of your choice: go there and pin it.",
    ),
    of(
      "other",
      other ? `Agrees with ${other}` : "Agreement of methods",
      "Likeness of two methods on the same examples at the same step. They often disagree: neither is the truth.",
    ),
  ];
}
