import { describe, expect, it } from "vitest";
import { layout, pictureOf } from "../../src/quality/draw";
import { csvOf } from "../../src/quality/export";
import { FIGURES, type Measure } from "../../src/quality/measures";
import { lightened, type Line } from "../../src/quality/model";

const LINE: Line = {
  axis: "step",
  steps: [0, 1],
  place: new Map([
    [0, 0],
    [1, 1],
  ]),
  xs: [0, 1],
  edges: [0, 0.5, 1],
  domain: [0, 1],
};

describe("what is taken along", () => {
  it("is a table whose rows name run, tag and step, with nothing for undefined", () => {
    const row = {
      measure: "gap",
      run: 'a, "b"',
      tag: "ig",
      step: 3,
      value: null,
      reference: 0.05,
      defined: 0,
      examples: 16,
    };
    expect(csvOf([row])).toBe(
      'measure,run,tag,step,value,reference,defined,examples\r\ngap,"a, ""b""",ig,3,,0.05,0,16\r\n',
    );
  });
});

describe("colours and room", () => {
  it("of dark runs are lightened on a dark page, bright ones stay", () => {
    expect(lightened("#12b5cb")).toBe("#12b5cb");
    const slate = lightened("#425066");
    const brightness = [1, 3, 5].map((at) => Number.parseInt(slate.slice(at, at + 2), 16) / 255);
    expect(0.21 * (brightness[0] ?? 0) + 0.72 * (brightness[1] ?? 0) + 0.07 * (brightness[2] ?? 0)).toBeCloseTo(
      0.55,
      2,
    );
  });

  it("a chart keeps more than half of a narrow screen for its lines, whatever the names", () => {
    const style = { colour: "#000000", dash: [] };
    const curve = { id: "a", label: "m".repeat(300), tag: "a", runs: [], style, steps: [0], y: Float64Array.of(1) };
    const picture = pictureOf(
      FIGURES[0] as Measure,
      [{ ...curve, low: null, high: null, reference: null, tracks: [] }],
      LINE,
    );
    const { plot, margin } = layout(picture, 260, 150);
    expect(margin).toBeLessThanOrEqual(0.42 * 260 + 1);
    expect(plot.w).toBeGreaterThan(100);
  });
});
