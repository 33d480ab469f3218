import { describe, expect, it } from "vitest";
import type { Finding, RunInfo, TagInfo } from "../../src/api";
import type { Series } from "../../src/features/series";
import { checkedIn, counts, examplesOf, linkOf, severityOf, sorted, tooFew } from "../../src/overview/findings";
import { evidenceOf, folded, median, shares } from "../../src/overview/rules";
import { layersOf, since } from "../../src/overview/layers";
import { absentIn, kindWord, linkTo, secondsWords, stepWords } from "../../src/overview/logged";

const finding = (rule: string, more: Partial<Finding> = {}): Finding => ({
  rule,
  severity: "warning",
  first_step: 3,
  last_step: 9,
  tag: "t",
  text: rule,
  try_next: "",
  evidence: {},
  view: "maps",
  ...more,
});
const tag = (name: string, kind: string, more: Partial<TagInfo> = {}): TagInfo => ({
  name,
  kind,
  steps: [0, 1, 2, 3],
  wall_times: [0, 1, 2, 3],
  epochs: [0, 1, 2, 3],
  inputs: [{ name: "x", shape: [8, 8, 1], kind: "image" }],
  ...more,
});
const flat = { inputs: [{ name: "x", shape: [3], kind: "flat" as const }] };
const run = (...tags: TagInfo[]): RunInfo => ({ name: "run1", tags });

/** Three features over two steps; the second is negative at first. */
const series: Series = {
  run: "run1",
  tag: "t",
  kind: "importance",
  names: ["a", "b", "c"],
  steps: [0, 9],
  epochs: [0, 9],
  wallTimes: [0, 9],
  mean: Float64Array.of(1, -1, 1, 1, 6, 1),
  low: Float64Array.of(0, -2, 0, 0, 5, -1),
  high: Float64Array.of(2, 0, 2, 2, 7, 2),
  score: [0.7, 0.1],
  metric: "log_loss",
  missing: new Map(),
  additive: false,
  members: null,
  columns: null,
  parts: null,
  alone: null,
};

describe("findings", () => {
  it("stand by severity, and the same words about several tags are said once", () => {
    const all = [
      finding("a", { severity: "info" }),
      finding("b", { tag: "one" }),
      finding("b", { tag: "two" }),
      finding("c", { severity: "alarm" }),
    ];
    expect(sorted(all).map((one) => [one.rule, one.tags])).toEqual([
      ["c", ["t"]],
      ["b", ["one", "two"]],
      ["a", ["t"]],
    ]);
    expect(counts(sorted(all))).toBe("1 alarm, 1 warning, 1 note");
    expect(counts([])).toBe("");
    expect(severityOf(finding("x", { severity: "catastrophe" }))).toBe("warning");
  });

  it("show features like zero beside the strongest of the others", () => {
    const evidence = evidenceOf(finding("indistinguishable_from_zero", { evidence: { features: [0, 2] } }));
    if (evidence.draw !== "bars") throw new Error(evidence.draw);
    expect(evidence.choose(series, 1)).toEqual([1, 0, 2]);
    const all = evidenceOf(finding("indistinguishable_from_zero", { evidence: { features: [0, 1, 2] } }));
    expect(all.draw === "bars" && all.choose(series, 1)).toEqual([0, 1, 2]);
  });

  it("show shares, importances and scores as curves", () => {
    expect(shares(series, 1)).toEqual([0, 0.75]);
    const values = (rule: string, evidence: Record<string, unknown>): number[] | null => {
      const made = evidenceOf(finding(rule, { evidence }));
      return made.draw === "feature-curve" ? made.values(series) : null;
    };
    for (const rule of ["rising_share", "dominant_feature"])
      expect(values(rule, { feature: 1, name: "b" })).toEqual([0, 0.75]);
    const wrong = evidenceOf(
      finding("wrong_gradient", { view: "health", evidence: { layers: ["b"], positions: [1] } }),
    );
    expect(wrong).toMatchObject({ draw: "columns", figure: "gradient_check", marked: [1] });
    expect(values("importance_moves_score_still", { features: [1, 0] })).toEqual([-1, 6]);
    expect(values("score_moves_importance_still", {})).toEqual([0.7, 0.1]);
  });

  it("fold what each example has into one number per step", () => {
    const fold = (rule: string, data: number[], steps: number): [string, number[]] => {
      const made = evidenceOf(finding(rule));
      if (made.draw !== "curve") throw new Error(made.draw);
      return [made.figure, folded(data, steps, made.fold)];
    };
    expect(fold("class_flips", [1, 2, 1, 3, -1, 3], 3)).toEqual(["predicted", [Number.NaN, 1, 0]]);
    expect(fold("all_zero", [0, 0, 0, 2, 3, 4], 2)).toEqual(["sum_abs", [3, 0]]);
    expect(fold("faded", [100, 100, 1, 1], 2)).toEqual(["sum_abs", [2, 0]]);
    expect(fold("completeness_gap", [0.01, 0.06, Number.NaN, 0.05], 2)).toEqual(["gap", [1, 0]]);
    expect(fold("concentrated", [0, 0, 0, 0], 1)).toEqual(["entropy", [1]]);
    expect([median([3, Number.NaN, 1, 2]), median([1, 2]), median([])]).toEqual([2, 1.5, Number.NaN]);
  });

  it("show the steps when there is nothing better, also for rules to come", () => {
    expect(evidenceOf(finding("not_finite", { evidence: { steps: [4, 5] } }))).toEqual({
      draw: "steps",
      steps: [4, 5],
    });
    expect(evidenceOf(finding("a rule to come"))).toEqual({ draw: "steps", steps: null });
    expect(evidenceOf(finding("dominant_feature"))).toEqual({ draw: "steps", steps: null });
  });

  it("link to the view that shows them, where they began or as they are now", () => {
    expect(linkOf("r", finding("not_finite"))).toEqual({
      view: "maps",
      run: "r",
      "maps.tag": "t",
      step: "3",
      "maps.inspect": "",
    });
    expect(linkOf("r", finding("all_zero"), 7)).toMatchObject({ step: "9", "maps.inspect": "7" });
    const dominant = finding("dominant_feature", { view: "features", evidence: { name: "id", feature: 2 } });
    expect(linkOf("r", dominant)).toEqual({
      view: "features",
      run: "r",
      "features.tag": "t",
      step: "9",
      "features.pin": "id",
      "features.search": "",
    });
    expect(linkOf("r", finding("x", { view: "a view to come" }))).toBeNull();
    expect(examplesOf(finding("x", { evidence: { examples: [1, "2", 3] } }))).toEqual([1, 3]);
  });
});

describe("findings of places, columns, layers and several runs", () => {
  it("follow the share of the explanation in a mask, beside its area", () => {
    const evidence = { name: "corner", mass_first: 0.05, mass: 0.6, area: 0.0625 };
    const made = evidenceOf(finding("shortcut", { evidence }));
    if (made.draw !== "curve") throw new Error(made.draw);
    expect([made.figure, made.ends]).toEqual(["mass.corner", ["area 6.25 %", ""]]);
    expect(folded([0.1, 0.3, Number.NaN, 0.5], 2, made.fold)).toEqual([0.2, 0.5]);
    const votes = evidenceOf(finding("shortcut", { evidence: { name: "corner", vote: 0.3 } }));
    expect(votes).toMatchObject({ draw: "curve", figure: "signed.corner" });
  });

  it("add up the cells of a grid, and mark them", () => {
    const evidence = { name: "top left corner", cells: [0, 3], grid: [2, 2], share: 0.5 };
    const made = evidenceOf(finding("one_place", { evidence }));
    if (made.draw !== "curve") throw new Error(made.draw);
    expect(made.cells).toEqual({ at: [0, 3], grid: [2, 2] });
    // one step of two examples of four cells: shares 0.5 and 0.9
    expect(folded([0.2, 0.3, 0.2, 0.3, 0.5, 0.05, 0.05, 0.4], 1, made.fold)[0]).toBeCloseTo(0.7);
    expect(evidenceOf(finding("one_place")).draw).toBe("steps");
  });

  it("show a column that tells the label, widths of columns, and layers by name", () => {
    expect(evidenceOf(finding("leaked_column", { evidence: { feature: 2, features: [2] } }))).toMatchObject({
      draw: "columns",
      figure: "single_score",
      marked: [2],
    });
    const wide = { feature: 0, features: [0], ratio: 1000 };
    expect(evidenceOf(finding("unscaled_feature", { evidence: wide }))).toMatchObject({ figure: "scale" });
    expect(evidenceOf(finding("unscaled_feature", { evidence: { feature: 0, share: 0.9 } })).draw).toBe("bars");
    const dead = finding("dead_units", { view: "health", evidence: { layers: ["dense"], since: [3] } });
    expect(evidenceOf(dead)).toEqual({ draw: "layers", names: ["dense"] });
    const sides = { names: ["id"], tags: ["train", "val"], shares: [0.5, 0.1], features: [0] };
    expect(evidenceOf(finding("train_validation_disagree", { evidence: sides }))).toEqual({
      draw: "sides",
      title: "share of all importance: id",
      sides: [
        ["train", 0.5],
        ["val", 0.1],
      ],
    });
  });

  it("link to the layers at the step where it began, to quality, and to all runs that disagree", () => {
    const dead = finding("dead_units", { view: "health", evidence: { layers: ["a", "b"] } });
    expect(linkOf("r", dead)).toEqual({
      view: "health",
      run: "r",
      "health.tag": "t",
      step: "3",
      "health.measure": "dead",
      "health.layers": '["a","b"]',
    });
    expect(linkOf("r", finding("unstable_explanation", { view: "quality" }))).toEqual({
      view: "quality",
      run: "r",
      "quality.tag": "t",
      step: "9",
    });
    const seeds = finding("seeds_disagree", { view: "features", evidence: { runs: ["s"], features: [] } });
    expect(linkOf("r", seeds)).toMatchObject({ runs: '["r","s"]', "features.pin": "" });
  });

  it("say of layers since when", () => {
    const health = { states: [["healthy", "dead"], null, ["dead", "dead"]], n: 4, dead_bound: 0.5, thresholds: {} };
    const { layers, steps } = layersOf({
      steps: Float64Array.of(0, 5, 9),
      names: ["a", "b"],
      health: { ...health, histogram_edges: [] },
    });
    expect(layers.map((layer) => since(layer, steps))).toEqual(["dead since step 9", "dead since step 9"]);
    expect(since({ name: "c", words: ["healthy"] }, [0])).toBe("healthy");
    expect(since({ name: "c", words: ["saturated", "saturated"] }, [0, 1])).toBe("saturated from the first step");
    expect(since({ name: "c", words: [] }, [])).toBe("not logged");
  });
});

describe("what was checked", () => {
  it("hangs on what is logged, and on how often", () => {
    expect(checkedIn(run(tag("s", "attribution", { steps: [0] })))).toEqual([
      "values that are not finite",
      "explanations that are zero, fade or sit on a handful of elements",
      "explanations that are unstable, unfaithful or the same for random weights, where their quality is logged",
    ]);
    expect(checkedIn(run(tag("p", "importance", flat)))).toEqual([
      "values that are not finite",
      "one feature that dominates",
      "columns that give the label away or are not scaled",
      "features that cannot be told from zero, and shares that rise",
      "importances that move while the score stands still",
    ]);
    expect(checkedIn(run(tag("ig", "attribution", { additive: true })))).toContain("values that do not add up");
    expect(checkedIn(run(tag("h", "another kind")))).toEqual([]);
    expect(checkedIn(run(tag("h", "health")))).toEqual([
      "layers whose gradients vanish or explode, that are dead, saturated or not finite",
    ]);
    const both = [tag("p", "importance", { ...flat, probe: "a" }), tag("q", "importance", { ...flat, probe: "b" })];
    expect(checkedIn(run(...both))).toContain("examples of training and of validation that disagree");
    expect([tooFew(run(tag("s", "attribution", { steps: [0] }))), tooFew(run(tag("s", "attribution")))]).toEqual([
      "Only one step is logged so far; what changes late is judged from the fourth on.",
      "",
    ]);
  });
});

describe("what is logged", () => {
  it("is told in words, with the view that draws it", () => {
    expect(stepWords(tag("s", "attribution"))).toBe("4 steps, 0 to 3");
    expect(stepWords(tag("s", "attribution", { steps: [7] }))).toBe("step 7");
    expect([secondsWords(0.00203), secondsWords(2.345)]).toEqual(["2 ms", "2.3 s"]);
    expect([kindWord(tag("s", "attribution")), kindWord(tag("s", "other"))]).toEqual(["maps", "other"]);
    expect(linkTo("r", tag("p", "importance", flat))).toEqual({ view: "features", run: "r", "features.tag": "p" });
    expect(linkTo("r", tag("s", "attribution"))).toEqual({ view: "maps", run: "r", "maps.tag": "s" });
    expect(linkTo("r", tag("h", "other"))).toBeNull();
  });

  it("leaves what could be added, with lines for this run", () => {
    const what = (...tags: TagInfo[]): string[] => absentIn(run(...tags)).map((one) => one.what);
    const maps = tag("s", "attribution");
    expect(what(maps)).toEqual(["Values that add up", "Health of the layers"]);
    expect(what(tag("s", "attribution", { additive: true, ...flat }))).toEqual([
      "Importance of features",
      "Health of the layers",
    ]);
    expect(what(tag("p", "importance", flat), tag("h", "health"))).toEqual(["Maps"]);
    expect(what({ ...maps, additive: true }, tag("h", "health"))).toEqual([]);
    expect(absentIn(run(maps))[0]?.lines).toContain(
      'IntegratedGradientsCallback("logs/run1", x_val[:16], y_val[:16]),',
    );
    expect(absentIn({ name: ".", tags: [maps] })[0]?.lines).toContain('Callback("logs", ');
  });
});
