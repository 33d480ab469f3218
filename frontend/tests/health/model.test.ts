import { afterEach, describe, expect, it } from "vitest";
import { applyLink } from "../../src/state";
import { boundWords } from "../../src/health/detail";
import { choose, chosen } from "../../src/health/choice";
import { measureOf, rulerOf, thresholdsOf, valueWords } from "../../src/health/measures";
import { at, curve, rowOf } from "../../src/health/model";
import { cssOf, gridOf, tableOf } from "../../src/heat";
import { gravest } from "../../src/health/paint";
import { gravity, isBad, markOf, meaning, spells, verdicts, when, worst } from "../../src/health/states";
import { toCsv } from "../../src/health/take";
import { answer, health } from "./make";

const NO_WORDS = { states: [], n: null, dead_bound: null, thresholds: {}, histogram_edges: [] };
const THEME = { dark: false, text: "#000000", muted: "#555555", grid: "#dddddd", panel: "#ffffff" };

describe("the states of layers", () => {
  it("are stretches of steps, and their gravest is the verdict", () => {
    const one = health();
    expect(spells(one, 0)).toEqual([]);
    expect(spells(one, 1)).toEqual([
      { state: "vanishing", first: 1, last: 1 },
      { state: "dead", first: 2, last: 3 },
    ]);
    expect(worst(one, 1)).toEqual({ state: "dead", first: 2, last: 3 });
    expect(worst(one, 0)).toBeNull();
    expect(verdicts(one)).toEqual([{ state: "dead", when: "from 20", first: 2, layers: [1], over: false }]);
  });

  it("name what holds at the end beside what was gravest", () => {
    const words = ["exploding", "healthy", "dead", "dead"].map((state) => ["healthy", state, "healthy"]);
    const base = answer().health;
    const one = health({ ...(base && { health: { ...base, states: words } }) });
    expect(verdicts(one).map((verdict) => [verdict.state, verdict.when])).toEqual([
      ["exploding", "at 0"],
      ["dead", "from 20"],
    ]);
  });

  it("say when in words", () => {
    const one = health();
    expect(when(one, { state: "dead", first: 0, last: 3 })).toBe("always");
    expect(when(one, { state: "dead", first: 1, last: 2 })).toBe("10 to 20");
    expect(when(one, { state: "dead", first: 1, last: 1 })).toBe("at 10");
  });

  it("have marks of their own, and words of a newer version count as trouble", () => {
    const words = ["not finite", "exploding", "dead", "saturated", "vanishing", "frozen", "healthy", "odd"];
    expect(new Set(words.map(markOf)).size).toBe(words.length);
    expect(["odd", "frozen", "healthy", ""].map(isBad)).toEqual([true, false, false, false]);
    expect(gravity("dead")).toBeLessThan(gravity("vanishing"));
    for (const word of words) expect(meaning(word, health())).toMatch(/\w/);
    expect(meaning("dead", health())).toBe("more than 50 % of its units give the same for all 64 examples");
    expect(boundWords(health())).toContain("0 of 64 examples: it fires for at most 4.69 % of all");
  });

  it("of several steps in one column are their gravest", () => {
    expect(gravest(health(), 1, 0, 2)).toBe("dead");
    expect(gravest(health(), 1, 0, 1)).toBe("vanishing");
  });
});

describe("an answer", () => {
  it("gets a row of NaN with its reason for a step that is missing", () => {
    const one = health({ missing: [{ step: 15, reason: "The file was deleted." }] });
    expect(one.steps).toEqual([0, 10, 15, 20, 30]);
    expect(one.states[2]).toBeNull();
    expect(at(one, "gradient_norm", 2, 0)).toBeNaN();
    expect(curve(one, "gradient_norm", 2)).toEqual([2, 2, NaN, 2, NaN]);
    expect(one.missing.get(15)).toBe("The file was deleted.");
    expect([rowOf(one, 14), rowOf(one, 20), rowOf(one, null), rowOf(one, -3)]).toEqual([1, 3, 4, 0]);
  });

  it("without words or names is still drawn", () => {
    const one = health({ names: null, health: NO_WORDS });
    expect(one.states).toEqual([null, null, null, null]);
    expect(verdicts(one)).toEqual([]);
    expect(health({ names: null }).layers).toEqual(["layer 0", "layer 1", "layer 2"]);
    expect(one.layers).toHaveLength(3);
  });

  it("says -1 where whole numbers were not logged", () => {
    expect([at(health(), "not_finite", 2, 1), at(health(), "not_finite", 3, 1)]).toEqual([7, NaN]);
  });
});

describe("scales", () => {
  it("that are logarithmic give equal steps to equal factors, and zeros a place of their own", () => {
    const ruler = rulerOf(measureOf("gradient_norm"), [health()]);
    const share = (v: number) => ruler.share(v);
    expect(share(0)).toBe(0);
    expect(share(1e-5)).toBeGreaterThan(0.05);
    expect(share(2)).toBeCloseTo(1);
    expect(share(1e-3) - share(1e-4)).toBeCloseTo(share(1e-1) - share(1e-2));
    expect([share(NaN), share(-1)]).toEqual([NaN, NaN]);
    expect(share(Infinity)).toBe(1);
    expect(ruler.ticks[0]).toEqual([0, "0"]);
    expect(ruler.words).toContain("logarithmic");
  });

  it("around zero are odd, of shares are linear, of counts begin at zero", () => {
    const mean = rulerOf(measureOf("activation_mean"), [health()]);
    expect(mean.share(-3)).toBeCloseTo(-mean.share(3));
    expect([mean.share(8), mean.share(0)]).toEqual([1, 0]);
    expect(rulerOf(measureOf("dead"), [health()]).share(0.25)).toBe(0.25);
    const count = rulerOf(measureOf("not_finite"), [health()]);
    expect([count.share(0), count.share(7)]).toEqual([0, 1]);
  });

  it("stand where nothing is finite", () => {
    const { arrays, ...rest } = answer();
    const none = new Map(
      [...arrays].map(([name, { shape }]) => [name, { shape, data: new Float32Array(12).fill(NaN) }]),
    );
    for (const key of ["gradient_norm", "activation_mean", "not_finite", "dead"]) {
      const ruler = rulerOf(measureOf(key), [health({ ...rest, arrays: none })]);
      expect(ruler.ticks.every(([share, words]) => Number.isFinite(share) && words !== "")).toBe(true);
    }
  });

  it("know the thresholds of words", () => {
    const [exploding, vanishing] = thresholdsOf(measureOf("gradient_norm"), health(), 1);
    expect(exploding?.values).toEqual([3000, 3000, 3000, 3000]);
    expect(vanishing?.values.map((v) => Number(v.toPrecision(3)))).toEqual([2e-4, 2e-4, 2e-4, 1e-4]);
    expect(thresholdsOf(measureOf("dead"), health(), 0)[0]?.values).toEqual([0.5, 0.5, 0.5, 0.5]);
    expect(thresholdsOf(measureOf("weight_norm"), health(), 0)).toEqual([]);
  });

  it("say values in words", () => {
    expect(valueWords(measureOf("dead"), 0.046875)).toBe("4.69 %");
    expect(valueWords(measureOf("weight_norm"), NaN)).toBe("does not apply");
    expect(valueWords(measureOf("update_ratio"), Infinity)).toBe("infinite");
    expect(valueWords(measureOf("not_finite"), 1234)).toBe("1,234");
  });
});

describe("cells", () => {
  it("keep the strongest of the steps that share a column, and NaN where there is none", () => {
    const values = [
      [0.1, 0.9, NaN, NaN],
      [-0.8, 0.2, 0, 0.3],
    ];
    const grid = gridOf((row, t) => values[row]?.[t] ?? NaN, 2, [0, 0, 1, 1], 2);
    expect(Array.from(grid.values, (v) => Math.round(10 * v) / 10)).toEqual([0.9, NaN, -0.8, 0.3]);
  });

  it("have the colours of viridis, and the panel for nothing of a signed scale", () => {
    const table = tableOf("viridis", THEME);
    expect([cssOf(table, 0), cssOf(table, 1)]).toEqual(["rgb(68 1 84)", "rgb(253 231 36)"]);
    expect(cssOf(tableOf("signed", THEME), 0)).toBe("rgb(255 255 255)");
  });
});

describe("what is chosen", () => {
  afterEach(() => applyLink(new Map()));

  it("is one layer, or several that are compared", () => {
    choose("a");
    choose("b", true);
    expect(chosen()).toEqual(["b", "a"]);
    choose("b", true);
    expect(chosen()).toEqual(["a"]);
    choose("c");
    expect(chosen()).toEqual(["c"]);
  });
});

it("takes every number along, with names that hold commas", () => {
  const csv = toCsv([{ ...health(), layers: ["a,b", "c", "d"] }]).split("\n");
  expect(csv[0]).toMatch(/^run,tag,step,layer,state,gradient_norm,update_ratio/);
  expect(csv).toHaveLength(14);
  expect(csv[1]).toMatch(/^r,model_health,0,"a,b",healthy,1,NaN,3,0,/);
});
