import { describe, expect, it } from "vitest";
import type { Probe, StepMaps } from "../../src/api";
import { scale } from "../../src/features/axis";
import {
  besideOf,
  direction,
  offsets,
  place,
  shades,
  swarmRows,
  valuesOf,
  type SwarmRow,
} from "../../src/features/swarm";

const row = (x: number[], value: number[] | null): SwarmRow => ({
  name: "f",
  x: Float64Array.from(x),
  value: value && Float64Array.from(value),
  shade: value && shades(value),
});

describe("beeswarm", () => {
  it("reads values from bytes, each example by its own range", () => {
    const maps: StepMaps = {
      shape: [2, 1, 3],
      bytes: Uint8Array.of(0, 127, 254, 254, 255, 0),
      low: Float32Array.of(-1, 0),
      high: Float32Array.of(1, 10),
    };
    expect([...valuesOf(maps).of]).toEqual([-1, 0, 1, 10, NaN, 0]);
    const probe = { values: { shape: [2, 3], data: Float32Array.of(5, 6, 7, 8, 9, 10) } } as unknown as Probe;
    const [one, both] = swarmRows(maps, probe, [
      { name: "a", parts: [0] },
      { name: "b (2)", parts: [0, 2] },
    ]);
    expect([[...(one?.x ?? [])], [...(one?.value ?? [])], [...(one?.shade ?? [])]]).toEqual([
      [-1, 10],
      [5, 8],
      [0, 1],
    ]);
    expect([[...(both?.x ?? [])], both?.value]).toEqual([[0, 10], null]);
  });

  it("shades by mid-rank", () => {
    expect([...shades([10, 30, 20, 20, NaN])]).toEqual([0, 1, 0.5, 0.5, NaN]);
    expect([...shades([4, 4])]).toEqual([0.5, 0.5]);
    expect([...shades([4])]).toEqual([0.5]);
  });

  it("lets no dot cover another while there is room, and none leave its row", () => {
    const px = Array.from({ length: 60 }, (_, i) => 50 + 8 * Math.sin(i * 12.9898));
    const out = offsets(px, 2, 40);
    for (let i = 0; i < px.length; i++)
      for (let j = 0; j < i; j++)
        expect(Math.hypot((px[i] ?? 0) - (px[j] ?? 0), (out[i] ?? 0) - (out[j] ?? 0))).toBeGreaterThan(4 - 1e-6);
    const crowded = offsets(new Array<number>(500).fill(5), 2, 9);
    expect(Math.max(...crowded.map(Math.abs))).toBeLessThanOrEqual(9);
    expect([...offsets([1, NaN], 2, 9)]).toEqual([0, NaN]);
  });

  it("stands at its value, in its row", () => {
    const [dots] = place([row([0, 1], null)], { x: 10, y: 20, w: 100, h: 30 }, scale(0, 1, 10, 110), 3);
    expect([[...(dots?.px ?? [])], [...(dots?.py ?? [])]]).toEqual([
      [10, 110],
      [35, 35],
    ]);
  });

  it("says which way high values push", () => {
    expect(direction(row([1, 2, 3], [10, 20, 30]))).toBeCloseTo(1);
    expect(direction(row([3, 2, 1], [10, 20, 30]))).toBeCloseTo(-1);
    // two of four swapped: Spearman 0.8
    expect(direction(row([1, 2, 4, 3], [1, 2, 3, 4]))).toBeCloseTo(0.8);
    expect([direction(row([1, 1], [1, 2])), direction(row([1, 2], null))]).toEqual([NaN, NaN]);
  });

  it("goes from example to example in the order of their values", () => {
    const one = row([3, NaN, 1, 2], null);
    expect([besideOf(one, null, 1), besideOf(one, null, -1)]).toEqual([2, 0]);
    expect([besideOf(one, 2, 1), besideOf(one, 3, 1), besideOf(one, 0, 1), besideOf(one, 2, -1)]).toEqual([3, 0, 0, 2]);
    expect(besideOf(row([NaN], null), null, 1)).toBeNull();
  });
});
