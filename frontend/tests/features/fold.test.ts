import { describe, expect, it } from "vitest";
import { canFold, folds, foldedBy, grouped, refusal, stem } from "../../src/features/fold";
import { at } from "../../src/features/series";
import { bandWords, valueWords } from "../../src/features/words";
import { groupName, groupsOf, SEEDS, suggested } from "../../src/groups";
import { spreadOf } from "../../src/spread";
import { make } from "./make";

describe("groups of runs", () => {
  it("leave the seed out of names", () => {
    const names = ["cnn-seed0", "cnn_s2", "cnn-1", "cnn.4", "cnn/run-3", "cnn"];
    expect(names.map((name) => groupName(name, SEEDS))).toEqual(names.map(() => "cnn"));
    expect(groupName("mlp2wide", SEEDS)).toBe("mlp2wide");
    expect([groupName("42", SEEDS), groupName("a(", "("), groupName("a", "")]).toEqual(["42", "a(", "a"]);
  });

  it("keep their order, and are offered where names are the same without", () => {
    const runs = ["b-1", "a-1", "b-2"].map((name) => ({ name }));
    expect(groupsOf(runs, SEEDS).map(({ name, runs: own }) => [name, own.length])).toEqual([
      ["b", 2],
      ["a", 1],
    ]);
    expect([suggested(runs), suggested([{ name: "a1" }, { name: "b1" }])]).toEqual([SEEDS, ""]);
  });

  it("have a mean, a lowest and a highest of those that are finite", () => {
    const { mean, low, high, n } = spreadOf([
      [1, NaN, 5],
      [3, 4],
      [NaN, NaN],
    ]);
    expect([[...mean], [...low], [...high], [...n]]).toEqual([
      [2, 4, 5],
      [1, 4, 5],
      [3, 4, 5],
      [2, 1, 1],
    ]);
  });

  it("become one series over all their steps and features, by name", () => {
    const a = make([
      [1, 2],
      [3, 4],
    ]);
    const b = { ...make([[30, 20]], 0.1, { names: ["f1", "g"], steps: [1] }), run: "net-2" };
    const [one, ...more] = grouped([{ ...a, run: "net-1" }, b], SEEDS);
    expect(more).toEqual([]);
    if (!one) throw new Error("a group");
    expect([one.run, one.names, one.steps, one.members]).toEqual([
      "net",
      ["f0", "f1", "g"],
      [0, 1],
      ["net-1", "net-2"],
    ]);
    expect([at(one.mean, one, 0, 1), at(one.mean, one, 1, 1)]).toEqual([2, 17]);
    expect([at(one.low, one, 1, 1), at(one.high, one, 1, 1), at(one.mean, one, 0, 2)]).toEqual([4, 30, NaN]);
    expect(bandWords(one)).toBe("lowest to highest of 2 runs");
    expect(valueWords(one, 1, 1)).toBe("17.0 [4.00, 30.0]");
  });
});

describe("folding", () => {
  const names = ["radius mean", "radius error", "texture mean", "net.weight", "net.bias", "alone"];

  it("finds what names share, at their beginning or end", () => {
    expect(names.map((name) => stem(name, "beginning"))).toEqual([
      "radius", "radius", "texture", "net", "net", "alone",
    ]); // prettier-ignore
    expect([stem("mean radius", "end"), stem(".x", "end"), stem("a__b", "beginning")]).toEqual(["radius", ".x", "a"]);
    expect([...folds(names, "beginning").values()]).toEqual([[0, 1], [2], [3, 4], [5]]);
    expect([canFold(names, "beginning"), canFold(["a", "b"], "beginning")]).toEqual([true, false]);
  });

  it("adds up where values add up, without an interval, and refuses elsewhere with a word", () => {
    const one = make([[1, 2, 3, 4, 5, 6]], 0.5, { names, kind: "attribution", additive: true });
    const folded = foldedBy(one, "beginning");
    expect(folded.names).toEqual(["radius (2)", "texture mean", "net (2)", "alone"]);
    expect([...folded.mean]).toEqual([3, 3, 9, 6]);
    expect([...folded.low]).toEqual([NaN, 2.5, NaN, 5.5]);
    expect(folded.parts).toEqual([[0, 1], [2], [3, 4], [5]]);
    expect(refusal(one)).toBe("");
    const shuffled = make([[1, 2, 3, 4, 5, 6]], 0.5, { names });
    expect(foldedBy(shuffled, "beginning")).toBe(shuffled);
    expect(refusal(shuffled)).toContain("does not add up");
    expect(refusal({ ...one, additive: false })).toContain("do not add up");
  });
});
