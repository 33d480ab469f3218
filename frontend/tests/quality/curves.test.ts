import { describe, expect, it } from "vitest";
import type { Drift, Series } from "../../src/api";
import { scale } from "../../src/features/axis";
import {
  curveOf,
  driftTrack,
  examplesAt,
  figureTrack,
  p95,
  placeAt,
  stepBefore,
  whyAt,
  type Who,
} from "../../src/quality/curves";
import { pictureOf } from "../../src/quality/draw";
import { worstFirst } from "../../src/quality/examples";
import { driftMeasures, FIGURES, maskMeasures, type Measure } from "../../src/quality/measures";
import type { Line } from "../../src/quality/model";
import { best, stepNear, type Path } from "../../src/quality/scatter_paint";
import { goodOf, outputTrack, rightTrack } from "../../src/quality/scores";
import { reading, summary } from "../../src/quality/words";

const NAN = Number.NaN;
const of = (key: string): Measure => FIGURES.find((one) => one.key === key) as Measure;

function series(arrays: Record<string, number[][]>, more: Partial<Series> = {}): Series {
  const rows = Object.values(arrays)[0] ?? [];
  return {
    kind: "attribution",
    steps: Float64Array.from(rows, (_, i) => 10 * i),
    wall_times: Float64Array.from(rows, (_, i) => i),
    epochs: Float64Array.from(rows, (_, i) => i),
    names: null,
    metric: null,
    missing: [],
    arrays: new Map(
      Object.entries(arrays).map(([name, table]) => [
        name,
        { shape: [table.length, table[0]?.length ?? 0], data: Float64Array.from(table.flat()) },
      ]),
    ),
    ...more,
  };
}

const WHO: Who = { id: "a", label: "a", tag: "ig", runs: ["r"], style: { colour: "#000000", dash: [] } };
const line = (steps: number[]): Line => ({
  axis: "step",
  steps,
  place: new Map(steps.map((step, i) => [step, i])),
  xs: steps,
  edges: [steps[0] ?? 0, ...steps],
  domain: [steps[0] ?? 0, steps.at(-1) ?? 1],
});

describe("a figure over steps", () => {
  it("is the mean of the examples that are defined, and NaN where none is", () => {
    const found = figureTrack(
      "r",
      series({
        faithfulness: [
          [1, NAN, 3],
          [NAN, NAN, NAN],
        ],
      }),
      of("faithfulness"),
    );
    expect(Array.from(found?.y ?? [])).toEqual([2, NAN]);
    expect(Array.from(found?.defined ?? [])).toEqual([2, 0]);
    expect(Array.from(found?.reference ?? [])).toEqual([0, 0]);
    expect(figureTrack("r", series({ other: [[1]] }), of("faithfulness"))).toBeNull();
  });

  it("that takes turns is drawn through the steps it was measured at; there undefined is a gap", () => {
    const answer = series(
      {
        insertion: [
          [1, 3],
          [NAN, NAN],
          [NAN, NAN],
          [5, 7],
        ],
      },
      { unmeasured: { insertion: [10] } },
    );
    const track = figureTrack("r", answer, of("insertion"));
    expect(track?.steps).toEqual([0, 20, 30]);
    expect(Array.from(track?.y ?? [])).toEqual([2, NAN, 6]);
    expect(stepBefore(answer, of("insertion"), 15)).toBe(0);
    expect(stepBefore(answer, of("insertion"), 25)).toBe(20);
  });

  it("of the gap is what 95 % of the examples lie below, as NumPy's quantile", () => {
    // numpy.quantile(range(1, 12), 0.95) == 10.5, and of [3, 1] it is 2.9
    expect(p95([7, 1, 2, 3, 4, 5, 6, 11, 8, 9, 10])).toBeCloseTo(10.5, 12);
    expect(p95([3, 1])).toBeCloseTo(2.9, 12);
    expect(p95([])).toBeNaN();
    expect(figureTrack("r", series({ gap: [[1, 3]] }), of("gap"))?.y[0]).toBeCloseTo(2.9, 12);
  });

  it("stands against its own reference, and has the error of a mean", () => {
    const deletion = figureTrack("r", series({ deletion: [[1, 3]], deletion_random: [[4, 6]] }), of("deletion"));
    expect(Array.from(deletion?.reference ?? [])).toEqual([5]);
    const answer = series({ infidelity: [[1, 3]], infidelity_stderr: [[3, 4]] });
    const curve = curveOf(
      WHO,
      [figureTrack("r", answer, of("infidelity"))].flatMap((one) => one ?? []),
    );
    // the mean of two independent errors 3 and 4 has the error 5 / 2
    expect(curve?.high?.[0]).toBeCloseTo(2 + 1.96 * 2.5, 12);
    expect(curve?.low?.[0]).toBeCloseTo(2 - 1.96 * 2.5, 12);
  });

  it("of a mask stands against its area, and is bad where the place must not matter", () => {
    const masks = { border: { area: [0.1, 0.3, null], suspect: true }, cell: { area: [], suspect: false } };
    const [border, cell, hit] = maskMeasures(["mass.border", "mass.cell", "hit.cell", "gap"], masks);
    expect([border?.good, cell?.good, hit?.good]).toEqual(["down", "up", "up"]);
    expect(border?.says).toContain("must not matter");
    expect(hit?.reference).toBeUndefined();
    const track = figureTrack("r", series({ "mass.border": [[0.5, 0.7]] }, { masks }), border as Measure);
    expect(track?.reference?.[0]).toBeCloseTo(0.2, 12);
  });
});

describe("runs of a group", () => {
  const track = (run: string, steps: number[], y: number[]) => ({
    run,
    steps,
    y: Float64Array.from(y),
    reference: null,
    stderr: null,
    defined: Int32Array.from(y, () => 2),
    examples: 2,
    why: new Map<number, string>(),
  });

  it("are one curve over all their steps: mean, lowest and highest of those that have the step", () => {
    const curve = curveOf(WHO, [track("a", [0, 10], [1, 2]), track("b", [0, 20], [3, NAN])]);
    expect(curve?.steps).toEqual([0, 10, 20]);
    expect(Array.from(curve?.y ?? [])).toEqual([2, 2, NAN]);
    expect(Array.from(curve?.low ?? [])).toEqual([1, 2, NAN]);
    expect(Array.from(curve?.high ?? [])).toEqual([3, 2, NAN]);
    expect(curveOf(WHO, [])).toBeNull();
  });

  it("hatch only steps that were tried and have no value, never those before the first", () => {
    const one = curveOf(WHO, [track("a", [0, 10, 20, 30], [NAN, 1, NAN, 2])]);
    const picture = pictureOf(of("gini"), one ? [one] : [], line([0, 5, 10, 20, 30]));
    expect(picture.gaps).toEqual(["", "", "", "undefined", ""]);
  });
});

describe("drift", () => {
  const drift: Drift = {
    steps: Float64Array.of(0, 10, 20),
    against: Float64Array.of(-1, 0, 10),
    examples: 2,
    value: Float32Array.of(NAN, NAN, 0.5, 0.25, NAN, NAN),
    mean: Float64Array.of(NAN, 0.375, NAN),
    floor: Float64Array.of(NAN, 1, NAN),
    deterministic: true,
    reasons: ["Nothing was logged before this step.", null, "The file of step 20 was deleted."],
    compared: null,
  };
  const [previous, , , other] = driftMeasures("", "saliency") as [Measure, Measure, Measure, Measure];

  it("stands against its noise floor and says why a step has nothing", () => {
    const curve = curveOf(WHO, [driftTrack("r", drift, previous)]);
    expect(Array.from(curve?.reference ?? [])).toEqual([NAN, 1, NAN]);
    expect(curve && whyAt(curve, 2)).toBe("The file of step 20 was deleted.");
    expect(curve && reading(curve, previous, 20).words).toBe("The file of step 20 was deleted.");
    expect(curve && reading(curve, previous, 15)).toMatchObject({ step: 10, words: "0.375", reference: "1.00" });
    expect(examplesAt(drift, previous, 10)).toEqual([0.5, 0.25]);
    expect(examplesAt(drift, previous, 11)).toBeNull();
    const picture = pictureOf(previous, curve ? [curve] : [], line([0, 10, 20]));
    expect(picture.gaps).toEqual(["", "", "missing"]);
    expect(summary(picture, 10)).toContain("at step 10: a 0.375 (the same model explained twice (noise floor) 1.00)");
  });

  it("between methods stands against what is unrelated", () => {
    expect(Array.from(driftTrack("r", { ...drift, floor: null }, other).reference ?? [])).toEqual([0, 0, 0]);
  });
});

describe("the cursor", () => {
  it("shows what a curve had at the last step before it", () => {
    expect(placeAt({ steps: [5, 10] }, 7)).toBe(0);
    expect(placeAt({ steps: [5, 10] }, 3)).toBe(-1);
    expect(placeAt({ steps: [5, 10] }, null)).toBe(1);
  });

  it("names examples that are undefined, and those of a run that is not logged yet", () => {
    const answer = series({ faithfulness: [[1, NAN, 3]] });
    const curve = curveOf(
      WHO,
      [figureTrack("r", answer, of("faithfulness"))].flatMap((one) => one ?? []),
    );
    expect(curve && reading(curve, of("faithfulness"), 0).partly).toBe("undefined for 1 of 3 examples");
    expect(curve && reading(curve, of("faithfulness"), -1).words).toBe("not logged yet");
  });
});

describe("quality against score", () => {
  const path = (x: number[], y: number[]): Path => ({
    id: "a",
    label: "a",
    style: WHO.style,
    steps: x.map((_, i) => i),
    x,
    y,
  });

  it("marks the steps that no other beats in both, whichever way is good", () => {
    const one = path([1, 2, 3, 3], [3, 2, 1, 0.5]);
    expect(best(one, "up", "up")).toEqual([0, 1, 2]);
    expect(best(one, "down", "up")).toEqual([0]);
    expect(best(one, "up", "down")).toEqual([3]);
    expect(best(path([1, 2], [-0.1, 0.5]), "down", "zero")).toEqual([0]);
    expect(best(path([1, 1], [2, 2]), "up", "up")).toEqual([0, 1]);
    expect(best(one, null, "up")).toEqual([]);
  });

  it("finds the point under the pointer, and none far away", () => {
    const of_ = { paths: [path([0, 1], [0, 1])], x: [0, 1] as const, y: [0, 1] as const };
    const x = scale(0, 1, 54, 400 - 16);
    expect(stepNear(of_, x(1) - 5, 12, [400, 300])).toBe(1);
    expect(stepNear(of_, x(0.5), 12, [400, 300])).toBeNull();
  });

  it("knows scores: losses are good when low, shares of right examples when high", () => {
    expect(["log_loss", "accuracy", "r2", "of_my_own"].map(goodOf)).toEqual(["down", "up", "up", null]);
    const answer = series({
      output: [
        [1, 3],
        [NAN, 5],
      ],
      predicted: [
        [0, 1],
        [1, -1],
      ],
    });
    expect(Array.from(outputTrack("r", answer).y)).toEqual([2, 5]);
    const probe = { labels_are_classes: true, labels: { shape: [2], data: Int32Array.of(0, 0) } };
    expect(Array.from(rightTrack("r", answer, probe as never)?.y ?? [])).toEqual([0.5, 0]);
    expect(rightTrack("r", answer, { labels_are_classes: false, labels: null } as never)).toBeNull();
  });
});

describe("examples", () => {
  it("stand from the worst to the best, the undefined ones last", () => {
    const values = [0.5, NAN, -0.9, 0.1];
    const measure = (good: Measure["good"]): Measure => ({ ...of("gini"), good });
    expect(worstFirst(values, measure("up"))).toEqual([2, 3, 0, 1]);
    expect(worstFirst(values, measure("down"))).toEqual([0, 3, 2, 1]);
    expect(worstFirst(values, measure("zero"))).toEqual([2, 0, 3, 1]);
    expect(worstFirst(values, measure(null))).toEqual([0, 3, 2, 1]);
    expect(worstFirst(values, { ...measure(null), drift: "previous" })).toEqual([2, 3, 0, 1]);
  });
});
