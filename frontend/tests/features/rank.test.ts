import { describe, expect, it } from "vitest";
import { envelope, matcher, order, peaks, ranksOver } from "../../src/features/rank";
import { make } from "./make";

describe("ranking", () => {
  it("is from large to small, ties by column, NaN last", () => {
    expect(order([1, NaN, 3, 1, -2])).toEqual([2, 0, 3, 4, 1]);
    expect(order([0, -0, 0])).toEqual([0, 1, 2]);
    expect(order([NaN, NaN])).toEqual([0, 1]);
  });

  it("takes the greatest value over all steps, passing over NaN", () => {
    expect([
      ...peaks(
        make([
          [1, NaN, -3],
          [0, NaN, -1],
          [5, NaN, NaN],
        ]),
      ),
    ]).toEqual([5, NaN, -1]);
  });

  it("gives the ranks that sorting every step gives", () => {
    let seed = 7;
    const draw = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
    // Coarse values make many ties, some are not finite.
    const rows = Array.from({ length: 12 }, () =>
      Array.from({ length: 40 }, () => (draw() < 0.1 ? NaN : Math.round(draw() * 12) / 4)),
    );
    const series = make(rows);
    const chosen = [3, 39, 0, 17, 8, 21, 22];
    const ranks = ranksOver(series, chosen);
    rows.forEach((row, t) => {
      const sorted = order(row);
      chosen.forEach((f, i) => {
        const expected = Number.isNaN(row[f]) ? NaN : sorted.indexOf(f) + 1;
        expect(ranks[t * chosen.length + i]).toEqual(expected);
      });
    });
  });

  it("spans what is not drawn as a line", () => {
    const { low, high } = envelope(
      make([
        [9, 1, 2, NaN],
        [NaN, NaN, NaN, NaN],
      ]),
      new Set([0]),
    );
    expect([low[0], high[0]]).toEqual([1, 2]);
    expect([low[1], high[1]]).toEqual([NaN, NaN]);
  });

  it("searches by expression, or by plain text while that is unfinished", () => {
    const names = ["Radius (mean)", "radius error", "area"];
    expect(names.filter(matcher("^radius"))).toEqual(["Radius (mean)", "radius error"]);
    expect(names.filter(matcher("radius ("))).toEqual(["Radius (mean)"]);
    expect(names.filter(matcher("  "))).toEqual(names);
  });
});
