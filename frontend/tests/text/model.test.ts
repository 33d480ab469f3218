import { describe, expect, it } from "vitest";
import type { Probe, Series } from "../../src/api";
import {
  type Line,
  directionOf,
  examplesOf,
  lineOf,
  nameOf,
  shownText,
  someSteps,
  strongest,
  wordFor,
  wordsOf,
} from "../../src/text/model";
import { alongAxis } from "../../src/text/detail";
import { toCsv, toJson } from "../../src/text/take";
import { looks, valueWords } from "../../src/text/words";

const texts = (words: readonly { text: string }[]) => words.map(({ text }) => text);

describe("words", () => {
  it("are tokens, with padding at the end told as one", () => {
    expect(texts(wordsOf(["a", "b", "", "", ""]))).toEqual(["a", "b", " × 3"]);
    expect(texts(wordsOf(["a", "no", "no"]))).toEqual(["a", "no", "no"]);
    expect(texts(wordsOf([]))).toEqual([]);
    expect(wordsOf(["[pad]", "[pad]", "[pad]", "[pad]"])).toEqual([{ text: "[pad] × 4", from: 0, to: 4 }]);
  });

  it("run as their first letter does", () => {
    expect(directionOf(wordsOf(["1", "שלום", "film"]))).toBe("rtl");
    expect(directionOf(wordsOf(["film", "مرحبا"]))).toBe("ltr");
    expect(directionOf(wordsOf(["!", "42"]))).toBe("ltr");
    expect(shownText("  ")).toBe("␣");
  });

  it("have the values of their tokens, padding their sum", () => {
    const words = wordsOf(["a", "b", "p", "p", "p"]);
    const values = Float32Array.of(9, 9, 9, 9, 9, 1, -4, 0.5, 0.25, 0.25);
    expect(lineOf(words, { width: 5, values }, 1)).toEqual({ state: "values", values: [1, -4, 1], peak: 4 });
  });

  it("say why they have none", () => {
    const words = wordsOf(["a", "b"]);
    const state = (...values: number[]) => lineOf(words, { width: 2, values: Float32Array.from(values) }, 0).state;
    expect([state(0, 0), state(NaN, NaN), state(NaN, 1)]).toEqual(["zero", "nan", "values"]);
    expect(wordFor(lineOf(words, "absent", 0).state)).toBe("not logged");
    expect(wordFor(lineOf(words, { missing: "The file was deleted." }, 0).state)).toBe(
      "missing: The file was deleted.",
    );
    expect([wordFor("zero"), wordFor("nan"), wordFor("values")]).toEqual(["all zero", "not finite", null]);
  });

  it("are ranked by size, without what is not finite", () => {
    expect(strongest([1, NaN, -3, 1])).toEqual([2, 0, 3]);
  });
});

describe("the look of a word", () => {
  it("tells the sign by more than colour, and strength by thickness", () => {
    expect(looks(2, 2)).toMatchObject({ sign: "up", style: { "--thick": "5.00px", "--wash": "32%" } });
    expect(looks(-1, 2)).toMatchObject({ sign: "down", style: { "--thick": "3.00px" } });
    expect(looks(0.01, 2).sign).toBe("none");
    expect(looks(NaN, 2).sign).toBe("nan");
    expect(looks(0, 0).sign).toBe("none");
    expect(looks(5, 2)).toEqual(looks(2, 2));
  });

  it("is told in words", () => {
    expect(valueWords(2, true)).toBe("+2, raises the score");
    expect(valueWords(-0.5, true)).toBe("−0.5, lowers the score");
    expect([valueWords(0.5, false), valueWords(0, true), valueWords(NaN, true), valueWords(undefined, true)]).toEqual([
      "0.5",
      "0",
      "not finite",
      "no value",
    ]);
  });
});

describe("examples", () => {
  const series = {
    steps: Float64Array.of(0, 5),
    arrays: new Map([["predicted", { shape: [2, 3], data: Int32Array.of(0, 1, 1, 0, 0, 1) }]]),
  } as unknown as Series;
  const probe = { labels: { shape: [3], data: Int32Array.of(0, 1, 1) }, labels_are_classes: true } as unknown as Probe;
  const of = (show: Parameters<typeof examplesOf>[1], step = 5) =>
    examplesOf(3, show, () => true, series, probe, 0, step);

  it("are those that are right, wrong or changed at a step", () => {
    expect([of("all"), of("right"), of("wrong"), of("flipped")]).toEqual([[0, 1, 2], [0, 2], [1], [1]]);
    expect([of("wrong", 0), of("flipped", 0)]).toEqual([[], []]);
    expect(examplesOf(3, "all", (one) => one === 2, series, probe, 0, 5)).toEqual([2]);
  });

  it("without classes are neither right nor wrong", () => {
    expect(examplesOf(3, "right", () => true, series, null, 0, 5)).toEqual([]);
  });

  it("that are named by their number say so", () => {
    expect(nameOf({ example_names: ["7", "review 7"] } as unknown as Probe, 0)).toBe("text 7");
    expect(nameOf({ example_names: ["7", "review 7"] } as unknown as Probe, 1)).toBe("review 7");
  });
});

it("some steps are even, with the first, the last and the cursor", () => {
  const steps = Array.from({ length: 21 }, (_, i) => 10 * i);
  expect(someSteps(steps, 200, 5)).toEqual([0, 50, 100, 150, 200]);
  expect(someSteps(steps, 110, 5)).toEqual([0, 50, 110, 150, 200]);
  expect(someSteps([1, 2], 2, 5)).toEqual([1, 2]);
  expect(someSteps(steps, null, 3)).toEqual([0, 100, 200]);
});

it("takes words and values along", () => {
  const words = [[wordsOf(["a,b", "c"])]];
  const inputs = [{ info: { name: "x", shape: [2], kind: "sequence" as const }, tokens: [["a,b", "c"]] }];
  const line = () => ({ state: "values" as const, values: [1, NaN], peak: 1 });
  expect(toCsv("r", "ig", [0], inputs, words, [5], line, () => "first")).toBe(
    'run,tag,step,example,input,position,word,value\nr,ig,5,first,x,0,"a,b",1\nr,ig,5,first,x,1,c,NaN\n',
  );
});

describe("what is taken along", () => {
  const words = [
    [
      [
        { text: "good", from: 0, to: 1 },
        { text: "[pad] × 3", from: 1, to: 4 },
      ],
    ],
  ];
  const line = (_: number, __: number, step: number): Line =>
    step === 0
      ? { state: "values", values: [1.5, Number.NaN], peak: 1.5 }
      : { state: { missing: "gone" }, values: [], peak: 0 };
  const inputs = [{ info: { name: "x", shape: [4], kind: "sequence" as const }, tokens: [] }];

  it("is words once and a list of values a step, null where there is none", () => {
    expect(toJson("r", "ig", [0], inputs, words, [0, 5], line, () => "first")).toEqual({
      run: "r",
      tag: "ig",
      steps: [0, 5],
      texts: [
        {
          example: "first",
          input: "x",
          words: ["good", "[pad] × 3"],
          positions: [0, 1],
          values: [
            [1.5, null],
            [null, null],
          ],
        },
      ],
    });
  });
});

describe("the axis of the details", () => {
  const times = { steps: [0, 10, 20], epochs: [0, 0.5, 1], wallTimes: [100, 160, 400] };

  it("is that of all views", () => {
    expect(alongAxis(times, "epoch")).toEqual({ axis: "epoch", xs: [0, 0.5, 1] });
    expect(alongAxis(times, "time")).toEqual({ axis: "time", xs: [0, 60, 300] });
  });

  it("is by step where the steps lack what it needs", () => {
    const none = [Number.NaN, Number.NaN, Number.NaN];
    expect(alongAxis({ ...times, epochs: none }, "epoch")).toEqual({ axis: "step", xs: [0, 10, 20] });
  });
});
