import { describe, expect, it } from "vitest";
import { scale } from "../../src/features/axis";
import { lanes } from "../../src/features/bump";
import { dodge, listWindow, shorten } from "../../src/features/labels";
import { bandPolygons, extent, finiteRuns, lastFinite, nearestLine } from "../../src/features/lines";
import { columnsAt, columnsOf, fill, ramp, rampIndex, reduce, SIDE } from "../../src/features/matrix";
import { slots, stretches, style, STYLES } from "../../src/features/paint";
import { make } from "./make";

const up = scale(0, 1, 100, 0);

describe("labels at line ends", () => {
  it("stay where they are wanted when they do not touch", () => {
    expect(dodge([90, 10, 50], 14, 0, 100)).toEqual([90, 10, 50]);
  });

  it("never overlap, keep their order and stay inside", () => {
    const wanted = [50, 51, 52, 52, 3, 99, 98];
    const places = dodge(wanted, 12, 0, 100);
    const sorted = [...places].sort((a, b) => a - b);
    sorted.slice(1).forEach((v, i) => expect(v - (sorted[i] as number)).toBeGreaterThanOrEqual(12 - 1e-9));
    expect(sorted[0]).toBeGreaterThanOrEqual(0);
    expect(sorted[6]).toBeLessThanOrEqual(100);
    wanted.forEach((a, i) => wanted.forEach((b, j) => a < b && expect(places[i]).toBeLessThan(places[j] as number)));
    // Colliding neighbours spread around their own middle.
    expect(dodge([50, 50], 10, 0, 100)).toEqual([45, 55]);
  });

  it("share the room when there is too little", () => {
    expect(dodge([5, 5, 5], 50, 0, 60)).toEqual([0, 30, 60]);
    expect(dodge([], 10, 0, 10)).toEqual([]);
  });

  it("shorten in the middle", () => {
    const measure = (text: string) => text.length;
    expect(shorten("worst radius", 12, measure)).toBe("worst radius");
    expect(shorten("worst radius", 8, measure)).toBe("wors…ius");
    expect(shorten("worst", 0, measure)).toBe("w");
  });
});

describe("bands and gaps", () => {
  it("break at NaN instead of bridging it", () => {
    expect(finiteRuns(6, [1, 2, NaN, 4, NaN, 6])).toEqual([
      [0, 1],
      [3, 3],
      [5, 5],
    ]);
    expect(finiteRuns(3, [1, 2, 3], [1, NaN, 3])).toEqual([
      [0, 0],
      [2, 2],
    ]);
    expect(finiteRuns(2, [NaN, Infinity])).toEqual([]);
  });

  it("go along the top and back along the bottom; a lone step has a width", () => {
    const polygons = bandPolygons([0, 10, 20, 30], [0.1, 0.2, NaN, 0.4], [0.3, 0.4, NaN, 0.6], up, 4);
    expect(polygons.map((p) => p.map((v) => Math.round(v)))).toEqual([
      [0, 70, 10, 60, 10, 80, 0, 90],
      [28, 40, 32, 40, 32, 60, 28, 60],
    ]);
  });

  it("name stretches of steps once", () => {
    expect(stretches(["", "missing", "missing", "NaN", "", "missing"])).toEqual([
      [1, 2, "missing"],
      [3, 3, "NaN"],
      [5, 5, "missing"],
    ]);
  });

  it("have an extent with zero inside and without what is not finite", () => {
    expect(extent([[1, 2, NaN, Infinity]])).toEqual([0, 2.08]);
    expect(extent([[NaN]], false)).toEqual([0, 1]);
    expect(extent([[-1, 1]])).toEqual([-1.08, 1.08]);
  });

  it("find the line under the pointer and the last value", () => {
    const lines = [
      [0.2, 0.5],
      [0.8, NaN],
    ].map((y) => ({ label: "", y, style: style(0, false) }));
    expect(nearestLine(lines, 0, 25, up)).toBe(1);
    expect(nearestLine(lines, 1, 25, up)).toBe(0);
    expect(nearestLine(lines, 1, 100, up)).toBeNull();
    expect(lastFinite([1, 2, NaN])).toBe(1);
    expect(lastFinite([NaN])).toBe(-1);
  });
});

describe("styles", () => {
  it("never repeat among the shown and stay with a feature while the cursor moves", () => {
    const preference = Array.from({ length: 60 }, (_, i) => i);
    const shown = [0, 28, 1, 29, 5, 57];
    const found = slots(shown, preference);
    expect(new Set(found.values()).size).toBe(shown.length);
    expect(found.get(0)).toBe(0);
    expect(slots([5, 0], preference).get(5)).toBe(found.get(5));
    expect(new Set(Array.from({ length: STYLES }, (_, i) => JSON.stringify(style(i, true)))).size).toBe(STYLES);
  });
});

describe("matrix", () => {
  const series = make([
    [1, -4, 0, NaN],
    [2, 3, 0, NaN],
  ]);

  it("keeps the strongest value of what shares a cell, with its sign", () => {
    const grid = reduce(series, [0, 1, 2, 3], [0, 1], 2, 2);
    expect([grid.rows, grid.peak]).toEqual([2, 4]);
    expect([...grid.values]).toEqual([-4, 3, 0, 0]);
    expect([...reduce(series, [3], [0, 1], 2, 9).values]).toEqual([NaN, NaN]);
  });

  it("has zero as the panel and the ends at both signs", () => {
    const table = new Uint8Array(ramp("#303030", true).buffer);
    expect([...table.slice(SIDE * 4, SIDE * 4 + 4)]).toEqual([48, 48, 48, 255]);
    expect([rampIndex(0, 5, true), rampIndex(5, 5, true), rampIndex(-5, 5, false), rampIndex(1.25, 5, true)]).toEqual([
      255, 510, 0, 383,
    ]);
    expect(rampIndex(0, 0, true)).toBe(255);
  });

  it("paints each cell at its place and leaves NaN empty", () => {
    const grid = reduce(series, [1, 3], [0, 1], 2, 2);
    const table = ramp("#ffffff", false);
    const image = new Uint32Array(4 * 4);
    fill(image, 4, 4, grid, columnsAt([0, 1, 4], [0, 1], 4, 0), table, false, false);
    const [minus, plus] = [table[rampIndex(-4, 4, false)], table[rampIndex(3, 4, false)]];
    expect([...image]).toEqual([
      ...[minus, plus, plus, plus],
      ...[minus, plus, plus, plus],
      ...new Array<number>(8).fill(0),
    ]);
  });

  it("shares pixel columns when there are more steps than pixels", () => {
    const { of, count } = columnsOf(
      Array.from({ length: 101 }, (_, i) => 10 + i / 10),
      10,
      10,
    );
    expect(count).toBe(10);
    expect(of[0]).toBe(0);
    expect(of[99]).toBe(9);
    expect(of.every((v, i) => i === 0 || v >= (of[i - 1] as number))).toBe(true);
  });
});

describe("lists", () => {
  it("hold only what is on screen, at both ends", () => {
    expect(listWindow(0, 240, 24, 10000, 6)).toEqual({ start: 0, end: 16 });
    expect(listWindow(2400, 240, 24, 10000, 6)).toEqual({ start: 94, end: 116 });
    expect(listWindow(9e9, 240, 24, 5, 6)).toEqual({ start: 5, end: 5 });
    expect(listWindow(0, 0, 24, 0, 6)).toEqual({ start: 0, end: 0 });
  });

  it("put every rank below k into one lane", () => {
    expect([...lanes([1, 5, 99, NaN], 5)]).toEqual([1, 5, 6, NaN]);
  });
});
