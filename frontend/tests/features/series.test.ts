import { describe, expect, it } from "vitest";
import type { Series as Answer, TagInfo } from "../../src/api";
import { fileName } from "../../src/export/panel";
import { toCsv } from "../../src/features/csv";
import { groups, place } from "../../src/features/load";
import { everOrder, modelOf, rowOfStep, timeLine } from "../../src/features/model";
import { gapWord, seriesOf, useful, verdict, verdictAt } from "../../src/features/series";
import { number, unitWords, valueWords } from "../../src/features/words";
import type { Tensor } from "../../src/safetensors";
import { make } from "./make";

const tensor = (shape: number[], data: number[]): Tensor => ({ shape, data: Float32Array.from(data) });
const info: TagInfo = { name: "importance", kind: "importance", steps: [0, 2], wall_times: [], epochs: [] };
const answer: Answer = {
  kind: "importance",
  steps: Float64Array.of(0, 2),
  wall_times: Float64Array.of(5, 9),
  epochs: Float64Array.of(0, 2),
  names: ["a", "b"],
  metric: "log loss",
  missing: [{ step: 1, reason: "the file is damaged" }],
  arrays: new Map<string, Tensor>([
    ["mean", tensor([2, 2], [1, 2, 3, 4])],
    ["low", tensor([2, 2], [0, 1, 2, 3])],
    ["high", tensor([2, 2], [2, 3, 4, 5])],
    ["score", { shape: [2], data: Float64Array.of(0.7, 0.1) }],
  ]),
};

describe("series", () => {
  it("gives a missing step its own row of NaN and a word", () => {
    const series = seriesOf("run", info, answer);
    expect(series?.steps).toEqual([0, 1, 2]);
    expect([...(series?.mean ?? [])]).toEqual([1, 2, NaN, NaN, 3, 4]);
    expect(series && [0, 1, 2].map((t) => gapWord(series, t))).toEqual(["", "missing", ""]);
    expect(series && valueWords(series, 1, 0)).toBe("not logged");
  });

  it("reads attributions of flat inputs and refuses maps without features", () => {
    const flat = new Map([
      ...answer.arrays,
      ["mean_abs", tensor([2, 2], [1, 2, 3, 4])],
      ["output", tensor([2, 2], [1, 3, NaN, 5])],
    ]);
    const series = seriesOf(
      "run",
      { ...info, kind: "attribution", score_name: "log-odds" },
      { ...answer, names: null, arrays: flat },
    );
    expect(series?.names).toEqual(["feature 0", "feature 1"]);
    expect(series?.score).toEqual([2, NaN, 5]);
    expect(series && unitWords(series)).toBe("mean |attribution| over the examples, in units of log-odds");
    expect(seriesOf("run", { ...info, kind: "attribution" }, { ...answer, arrays: new Map() })).toBeNull();
  });

  it("has one definition of unused, unclear, NaN and missing", () => {
    expect(verdict(0, 0, 0)).toBe("unused");
    expect(verdict(0, NaN, NaN)).toBe("unused");
    expect(verdict(0, -1, 1)).toBe("unclear");
    expect(verdict(0.1, -0.1, 0.3)).toBe("unclear");
    expect(verdict(0.1, 0, 0.3)).toBe("unclear");
    expect(verdict(0.2, 0.1, 0.3)).toBe("above");
    expect(verdict(-0.2, -0.3, -0.1)).toBe("below");
    expect(verdict(NaN, 0, 0)).toBe("nan");
    expect(verdict(Infinity, 0, 0)).toBe("nan");
    expect(verdict(NaN, NaN, NaN, true)).toBe("missing");
  });

  it("says each state in words", () => {
    const series = make([[0.25, 0.05, 0, NaN, -0.3]]);
    series.low[2] = series.high[2] = 0;
    expect([0, 1, 2, 3, 4].map((f) => valueWords(series, 0, f))).toEqual([
      "0.250 [0.150, 0.350]",
      "0.0500 [−0.0500, 0.150], not distinguishable from 0",
      "unused (exactly 0)",
      "NaN (not finite)",
      "−0.300 [−0.400, −0.200], below 0",
    ]);
    expect(useful(series, 0, [0, 1, 2, 3, 4])).toEqual([0]);
    expect(verdictAt(series, 0, 2)).toBe("unused");
  });

  it("names the unit by the metric's direction", () => {
    const words = (metric: string) => unitWords(make([[1]], 0.1, { metric }));
    expect(words("log loss")).toBe("increase of log loss when the column is shuffled");
    expect(words("accuracy")).toBe("drop of accuracy when the column is shuffled");
    expect(words("profit")).toBe("worsening of profit when the column is shuffled");
  });

  it("writes numbers with three digits", () => {
    expect([0, -0, 0.5, -0.00012345, 0.00001, 1234.5, NaN].map(number)).toEqual([
      "0",
      "0",
      "0.500",
      "−0.000123",
      "1.0e−5",
      "1235",
      "NaN",
    ]);
  });
});

describe("CSV", () => {
  it("quotes what needs it, leaves a missing step empty and says NaN", () => {
    const series = make([[1, NaN]], 0.5, { run: 'a,"b"', names: ["x\ny", "z"] });
    const lost = make([[NaN, NaN]], 0.5, { names: ["z", "w"], missing: new Map([[0, "gone"]]) });
    expect(toCsv([series, lost], ["x\ny", "z"])).toBe(
      'run,tag,step,feature,mean,low,high\n"a,""b""",importance,0,"x\ny",1,0.5,1.5\n' +
        '"a,""b""",importance,0,z,NaN,NaN,NaN\nrun,importance,0,z,,,\n',
    );
    expect(fileName("../<run>-a b", "csv")).toBe(".._run_-a_b.csv");
  });
});

describe("model", () => {
  const wish = { step: 1, top: 2, by: "step" as const, search: "" };
  const series = make([
    [3, 2, 1],
    [1, 2, 3],
    [NaN, NaN, NaN],
  ]);
  const build = (more: object, last: Parameters<typeof modelOf>[5] = null) =>
    modelOf(series, [], timeLine(series, "step"), everOrder(series), { ...wish, ...more }, last);

  it("ranks at the cursor, at the peak, and keeps the order of before where nothing is", () => {
    expect(build({}).ordered).toEqual([2, 1, 0]);
    expect(build({ by: "peak" }).ordered).toEqual([0, 2, 1]);
    const gap = build({ step: 2 });
    expect([gap.t, gap.ordered, gap.order]).toEqual([2, [2, 1, 0], "at step 1"]);
    expect(build({ search: "f[01]" }).shown).toEqual([1, 0]);
  });

  it("keeps lists that did not change, so that pictures stay", () => {
    const first = build({});
    expect(build({ step: 2 }, first).found).toBe(first.found);
    expect(build({ step: 0 }, first).found).not.toBe(first.found);
  });

  it("stands at the last step at or before the cursor", () => {
    expect([-1, 0, 1.5, 99, null].map((step) => rowOfStep(series, step))).toEqual([0, 0, 1, 2, 2]);
  });
});

describe("large answers", () => {
  it("come in groups of columns that fit and go back to their place", () => {
    const all = groups(1000, 10000, 15 * 2 ** 20);
    expect(all.flat()).toHaveLength(10000);
    expect(Math.max(...all.map((g) => g.length)) * 1000 * 8).toBeLessThanOrEqual(15 * 2 ** 20);
    const into = new Float32Array(6);
    place(into, 3, [1, 2], tensor([2, 2], [1, 2, 3, 4]));
    expect([...into]).toEqual([0, 1, 2, 0, 3, 4]);
  });
});
