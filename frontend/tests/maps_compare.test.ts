import { describe, expect, it } from "vitest";
import type { RunInfo, TagInfo } from "../src/api";
import { clippedPeakOf, opacityOf, type MapBytes } from "../src/colour";
import { differenceOf, strengthRatio } from "../src/maps/difference";
import { valuesAt, inputAt, readingOf } from "../src/maps/inspect/reading";
import { arrange, type Facts, type Rule } from "../src/maps/rows";
import { scalesOf } from "../src/maps/scales";
import { kindOf, sidesOf } from "../src/maps/screen";
import { columnsOf, countOf, peersOf, sourcesOf, strangersOf, type Scene } from "../src/maps/sources";
import { isMap, type Found, type ReadyMap } from "../src/maps/store";

const mapOf = (values: number[], peak = Math.max(...values.map(Math.abs))): ReadyMap => ({
  height: 1,
  width: values.length,
  state: "values",
  peak,
  end: (share) => share * peak,
  values: (signed) => Float64Array.from(values, (value) => (signed ? value : Math.abs(value))),
});

describe("a clipped scale", () => {
  const map = (bytes: number[], low: number, high: number): MapBytes => ({
    bytes: Uint8Array.from(bytes),
    height: 1,
    width: bytes.length,
    low,
    high,
  });

  it("is the smallest |value| that so many values do not pass, whatever their sign", () => {
    const bytes = Array.from({ length: 100 }, (_, at) => (at % 2 ? 127 + at : 127 - at));
    const sizes = bytes.map((q) => Math.abs(-1 + (2 * q) / 254)).sort((a, b) => a - b);
    for (const share of [0.5, 0.9, 0.95, 0.99])
      expect(clippedPeakOf(map(bytes, -1, 1), share)).toBe(sizes[Math.ceil(share * 100) - 1]);
    expect(clippedPeakOf(map(bytes, -1, 1), 1)).toBe(1);
    // half of three values are two of them, as numpy.quantile(..., method="inverted_cdf") has it
    expect(clippedPeakOf(map([127, 190, 254], -2, 2), 0.5)).toBe(Math.abs(-2 + (4 * 190) / 254));
  });

  it("leaves out what is not finite, and is the peak where most values are zero", () => {
    expect(clippedPeakOf(map([255, 255, 255, 127, 254], -2, 2), 0.5)).toBe(2);
    expect(clippedPeakOf(map([...new Array<number>(99).fill(127), 254], -3, 3), 0.95)).toBe(3);
    expect(clippedPeakOf(map([255, 255], 0, 0), 0.95)).toBe(0);
  });
});

describe("the mix of picture and map", () => {
  it("is the picture alone at 0, as it was in the middle, the map alone at 1", () => {
    for (const value of [0, 0.2, -0.6, 1]) {
      expect(opacityOf(value, 1, 0)).toBe(0);
      expect(opacityOf(value, 1, 0.5)).toBe(Math.min(0.85, 1.25 * Math.abs(value)));
      expect(opacityOf(value, 1, 1)).toBe(1);
      expect(opacityOf(value, 1, 0.7)).toBeGreaterThan(opacityOf(value, 1, 0.6));
    }
  });
});

describe("a difference", () => {
  const [one, other] = [mapOf([1, -4, 0]), mapOf([3, -4, Number.NaN], 4)];

  it("is of values, or of magnitudes, and the same object for the same maps", () => {
    const made = differenceOf(one, other, true);
    expect(isMap(made) && [...made.values(true)]).toEqual([-2, 0, Number.NaN]);
    expect(isMap(made) && [made.peak, made.state, made.end(0.5)]).toEqual([2, "values", 2]);
    expect(differenceOf(one, other, true)).toBe(made);
    const sizes = differenceOf(mapOf([-5, 1]), mapOf([2, 1]), false);
    expect(isMap(sizes) && [...sizes.values(true)]).toEqual([3, 0]);
  });

  it("has a word for nothing, for maps of other sizes and for maps that are not there", () => {
    const same = differenceOf(one, mapOf([1, -4, 0]), true);
    expect(isMap(same) && same.state).toBe("zero");
    expect(differenceOf(one, mapOf([1]), true)).toMatchObject({ none: "other size" });
    const absent: Found = { none: "missing", reason: "cut off" };
    expect(differenceOf(absent, other, true)).toBe(absent);
    expect(differenceOf(one, absent, true)).toEqual({ none: "missing", reason: "To compare with: cut off" });
    expect(differenceOf(one, "loading", true)).toBe("loading");
  });

  it("knows by how much the strengths differ", () => {
    expect(strengthRatio(differenceOf(mapOf([0.5]), mapOf([4]), true) as ReadyMap)).toBe(8);
    expect(strengthRatio(differenceOf(mapOf([0.5]), mapOf([0]), true) as ReadyMap)).toBeNull();
    expect(strengthRatio(one)).toBeNull();
  });
});

const tag = (name: string, probe: string, steps: number[], more: Partial<TagInfo> = {}): TagInfo => ({
  name,
  kind: "attribution",
  probe,
  steps,
  wall_times: steps,
  epochs: steps,
  examples: 2,
  signed: true,
  inputs: [{ name: "x", shape: [4, 4, 1], kind: "image" }],
  ...more,
});
const A: RunInfo = {
  name: "a",
  tags: [tag("ig", "p", [0, 5, 9]), tag("cam", "p", [0, 9], { signed: false }), tag("table", "q", [0])],
};
const B: RunInfo = { name: "b", tags: [tag("ig", "p", [0, 9])] };
const C: RunInfo = { name: "c", tags: [tag("ig", "other", [0, 9])] };
const scene = (changes: Partial<Scene> = {}): Scene => ({
  by: "steps",
  run: A,
  tag: A.tags[0] as TagInfo,
  runs: [A, B, C],
  logged: { steps: [0, 5, 9], epochs: [0, 5, 9], wallTimes: [0, 5, 9] },
  step: 5,
  minus: "",
  input: "",
  showsSigns: (one) => one.signed !== false,
  cell: 100,
  ratio: 1,
  ...changes,
});
const columns = (of: Scene) => columnsOf(of, 9, true, [A, B, C]);

describe("columns", () => {
  it("are the steps, the methods of the same examples, or the runs of the same examples", () => {
    expect(columns(scene()).map(({ title, current }) => [title, current])).toEqual([
      ["0", false],
      ["5", true],
      ["9", false],
    ]);
    expect(peersOf(A, A.tags[0] as TagInfo).map(({ name }) => name)).toEqual(["ig", "cam"]);
    expect(columns(scene({ by: "methods" })).map(({ title, signed }) => [title, signed])).toEqual([
      ["ig", true],
      ["cam", false],
    ]);
    expect(columns(scene({ by: "runs" })).map(({ title }) => title)).toEqual(["a", "b"]);
    expect([scene(), scene({ by: "methods" }), scene({ by: "runs" })].map(countOf)).toEqual([3, 2, 2]);
    expect(strangersOf(scene({ by: "runs" })).map(([name]) => name)).toEqual(["c"]);
    expect(strangersOf(scene())).toEqual([]);
  });

  it("say why there is no map, with the logged steps around", () => {
    expect(columns(scene({ by: "methods" }))[1]?.place).toMatchObject({
      none: "not logged",
      reason: "cam was not logged at step 5; the nearest logged steps are 0 and 9.",
    });
    expect(columns(scene({ by: "runs" }))[1]?.place).toMatchObject({
      reason: expect.stringContaining("ig of b was not logged at step 5") as string,
    });
  });

  it("fetch both sides of a difference: another step, or another run", () => {
    const to = (minus: string) =>
      columns(scene({ minus })).map((one) => sourcesOf(one).map(({ family, step }) => `${family.run} ${step}`));
    expect(to("step 0")).toEqual([
      ["a 0", "a 0"],
      ["a 5", "a 0"],
      ["a 9", "a 0"],
    ]);
    expect(to("run b")).toEqual([["a 0", "b 0"], ["a 5"], ["a 9", "b 9"]]);
    expect(columns(scene({ minus: "run b" }))[1]?.minus).toMatchObject({ none: "not logged" });
    expect(columns(scene({ minus: "run c" }))[0]?.minus).toMatchObject({ none: "other examples" });
    expect(columns(scene({ minus: "run gone" }))[0]?.minus).toMatchObject({ none: "not logged" });
  });
});

describe("scales", () => {
  const found = [
    [mapOf([1]), mapOf([100])],
    [mapOf([2]), "loading" as const],
  ];
  const two = columns(scene({ by: "methods" }));
  const look = () => ({}) as never;

  it("compare rows with rows, but methods with nothing but themselves", () => {
    const rows = scalesOf(found, two, "steps", "example", 1, look);
    expect(rows.ends).toEqual([
      [100, 100],
      [2, 2],
    ]);
    expect([rows.strength(0, 0), rows.strength(0, 1), rows.strength(1, 1)]).toEqual([0.01, 1, 0]);
    const methods = scalesOf(found, two, "methods", "shared", 1, look);
    expect(methods.ends).toEqual([
      [2, 100],
      [2, 100],
    ]);
    expect([methods.strength(0, 0), methods.strength(1, 0)]).toEqual([0.5, 1]);
    expect(scalesOf(found, two, "methods", "example", 1, look).ends[0]).toEqual([1, 100]);
    expect(scalesOf(found, two, "steps", "map", 0.5, look).ends[0]).toEqual([0.5, 50]);
  });
});

describe("rows", () => {
  const facts: Facts = {
    name: (at) => ["b 10", "b 9", "a 1", "a 2"][at] ?? "",
    label: (at) => at % 2,
    said: (at) => [0, 0, 1, null][at] ?? null,
    flips: (at) => [2, 0, 1, 0][at] ?? 0,
    flipsUntil: (at) => [0, 0, 1, 0][at] ?? 0,
    value: (sort, at) => (sort === "gap" ? [0.1, null, 0.3, 0.2] : [0.9, 0.1, null, 0.5])[at] ?? null,
  };
  const rule = (changes: Partial<Rule>): Rule => ({
    sort: "",
    reverse: false,
    label: null,
    said: null,
    only: "all",
    names: "",
    ...changes,
  });
  const rows = (changes: Partial<Rule>) => arrange(4, rule(changes), facts);

  it("come as logged, or what deserves a look first, the unknown last", () => {
    expect(rows({})).toEqual([0, 1, 2, 3]);
    expect(rows({ reverse: true })).toEqual([3, 2, 1, 0]);
    expect(rows({ sort: "name" })).toEqual([2, 3, 1, 0]);
    expect(rows({ sort: "gap" })).toEqual([2, 3, 0, 1]);
    expect(rows({ sort: "gap", reverse: true })).toEqual([0, 3, 2, 1]);
    expect(rows({ sort: "drift" })).toEqual([1, 3, 0, 2]);
  });

  it("are kept by class, by being wrong or right, by flips and by name; unknown predictions are neither", () => {
    expect(rows({ only: "wrong" })).toEqual([1, 2]);
    expect(rows({ only: "right" })).toEqual([0]);
    expect(rows({ only: "flips" })).toEqual([0, 2]);
    expect(rows({ only: "flips until" })).toEqual([2]);
    expect(rows({ label: 1, said: 0 })).toEqual([1]);
    expect(rows({ names: "^A" })).toEqual([2, 3]);
    expect(rows({ names: "b (" })).toEqual([]);
  });
});

describe("shapes", () => {
  it("are laid out as the server does", () => {
    const of = (shape: number[], kind: "image" | "flat" | "sequence" | "other") => ({ name: "x", shape, kind });
    expect(sidesOf(of([9, 4], "sequence"))).toEqual([1, 9, 4]);
    expect(sidesOf(of([9, 4], "image"))).toEqual([9, 4, 1]);
    expect(sidesOf(of([2, 3, 4, 5], "other"))).toEqual([6, 4, 5]);
    expect(kindOf(of([9, 4], "sequence"))).toBe("sequence");
    expect(kindOf(of([9], "flat"))).toBe("bars");
    expect(kindOf(of([9, 4, 3], "image"))).toBe("image");
  });

  it("are read at a place, channel by channel, with the input only where it has the same grid", () => {
    const exact = { height: 1, width: 2, channels: 2, values: Float64Array.of(1, 2, 3, 4), of: null };
    expect(valuesAt(exact, [0, 1])).toEqual([3, 4]);
    const probe = {
      kind: "sequence" as const,
      examples: [0],
      example_names: null,
      class_names: null,
      feature_names: null,
      low: 0,
      high: 1,
      picture: null,
      values: { shape: [2, 2, 2], data: Float32Array.of(0, 0, 0, 0, 5, 6, 7, 8) },
      labels: null,
      labels_are_classes: false,
    };
    expect(inputAt(probe, 1, exact, [0, 1])).toEqual([7, 8]);
    expect(inputAt(probe, 1, { ...exact, width: 1 }, [0, 0])).toEqual([]);
    const said = { exact, at: [0, 1] as const, kind: "sequence" as const, probe, input: probe, inputRow: 1 };
    expect(readingOf(said)).toBe("time 1: 3, 4; input 7, 8");
  });
});
