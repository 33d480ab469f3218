import { describe, expect, it } from "vitest";
import { axisAvailable, axisText, axisTicks, axisValues, edges, nearest, scale, ticks } from "../../src/features/axis";

const times = { steps: [0, 10, 30], epochs: [0, 0.5, 1.5], wallTimes: [1000, 1060, 1180] };

describe("axis", () => {
  it("maps steps to step, epoch and time since the first step", () => {
    expect(axisValues(times, "step")).toEqual([0, 10, 30]);
    expect(axisValues(times, "epoch")).toEqual([0, 0.5, 1.5]);
    expect(axisValues(times, "time")).toEqual([0, 60, 180]);
  });

  it("falls back to steps without times, and never goes back with a clock that did", () => {
    const none = { ...times, wallTimes: [NaN, NaN, NaN] };
    expect(axisAvailable(none, "time")).toBe(false);
    expect(axisValues(none, "time")).toEqual([0, 10, 30]);
    expect(axisValues({ ...times, wallTimes: [1000, 900, 1180] }, "time")).toEqual([0, 0, 180]);
    expect(axisValues({ ...times, wallTimes: [1000, NaN, 1180] }, "time")).toEqual([0, 90, 180]);
    expect(axisValues({ ...times, epochs: [NaN, 2, NaN] }, "epoch")).toEqual([2, 2, 2]);
  });

  it("puts cell borders half way, also for one step and for equal values", () => {
    expect(edges([0, 10, 30])).toEqual([-5, 5, 20, 40]);
    expect(edges([4])).toEqual([3.5, 4.5]);
    expect(edges([2, 2])).toEqual([1.5, 2, 2.5]);
    const late = edges([0, 0, 10]);
    expect(late).toHaveLength(4);
    expect(late[0]).toBeLessThan(0);
  });

  it("finds the nearest logged step", () => {
    expect([-9, 4, 6, 21, 99].map((x) => nearest([0, 10, 30], x))).toEqual([0, 0, 1, 2, 2]);
    expect(nearest([5], 99)).toBe(0);
  });

  it("scales there and back", () => {
    const x = scale(-5, 40, 54, 504);
    expect(x(-5)).toBe(54);
    expect(x.invert(x(17))).toBeCloseTo(17);
    expect(scale(3, 3, 0, 100)(3)).toBe(0);
  });

  it("has round ticks, whole for steps, in minutes for minutes", () => {
    expect(ticks(-0.02, 0.57, 5)).toEqual([0, 0.2, 0.4]);
    expect(ticks(0, 0.5, 5)).toEqual([0, 0.1, 0.2, 0.3, 0.4, 0.5]);
    expect(axisTicks(-0.5, 2.5, 8, "step")).toEqual([0, 1, 2]);
    expect(axisTicks(-5, 185, 4, "time").map((v) => axisText(v, "time"))).toEqual(["0 s", "1 min", "2 min", "3 min"]);
    expect(axisText(12000, "step")).toBe("12,000");
  });
});
