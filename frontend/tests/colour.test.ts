import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { decode, indexOf, limits, opacityOf, peakOf, short, stateOf, type MapBytes } from "../src/colour";
import { table, type ColourMap } from "../src/colour_tables";
import { barAt, colour, resample } from "../src/maps/paint";

const map = (bytes: number[], low: number, high: number, width = bytes.length): MapBytes => ({
  bytes: Uint8Array.from(bytes),
  height: bytes.length / width,
  width,
  low,
  high,
});

describe("colour tables", () => {
  // SHA-256 of matplotlib 3.11's (and cmcrameri 1.10's) `cmap(numpy.arange(256), bytes=True)[:, :3]`
  it.each<[ColourMap, string]>([
    ["RdBu_r", "dc2f97fae8e1ee24"],
    ["PuOr_r", "c7905e5200af2250"],
    ["vik", "5880898ae1e97f3f"],
    ["viridis", "96a1f6f37d4041f9"],
    ["cividis", "8a6c6bf382be7cc3"],
    ["magma", "e2e7c21b2cdebd6f"],
    ["gray", "c15598e2bf5c6ff3"],
  ])("%s has the bytes of its reference", (name, hash) => {
    expect(createHash("sha256").update(table(name)).digest("hex").slice(0, 16)).toBe(hash);
  });
});

describe("from a value to a colour", () => {
  it("puts zero at 128, the ends at 0 and 255, and clamps beyond", () => {
    expect([-2, -1, 0, 1, 2].map((v) => indexOf(v, 1, true))).toEqual([0, 0, 128, 255, 255]);
    expect([-1, 0, 0.5, 3].map((v) => indexOf(v, 1, false))).toEqual([255, 0, 128, 255]);
    expect([indexOf(0, 0, true), indexOf(0, 0, false), opacityOf(1, 0)]).toEqual([128, 0, 0]);
  });

  it("decodes bytes by the range of their map", () => {
    const decoded = decode(map([0, 127, 254, 255], -0.5, 0.5), true);
    expect([...decoded]).toEqual([-0.5, 0, 0.5, Number.NaN]);
    expect([...decode(map([0, 127, 254], -0.5, 0.5), false)]).toEqual([0.5, 0, 0.5]);
  });

  it("knows zero, not finite and values apart", () => {
    expect(stateOf(map([127, 127], 0, 0))).toBe("zero");
    expect(stateOf(map([255, 255], 0, 0))).toBe("nan");
    expect(stateOf(map([0, 1], Number.NaN, Number.NaN))).toBe("nan");
    expect(stateOf(map([255, 3], -1, 1))).toBe("values");
    expect(peakOf(map([0], -3, 1))).toBe(3);
  });

  it("scales per map, per example and shared, leaving out what is not there", () => {
    const peaks = [
      [1, 4, null],
      [2, Number.NaN, 8],
    ];
    expect(limits(peaks, "map")).toEqual([
      [1, 4, 0],
      [2, 0, 8],
    ]);
    expect(limits(peaks, "example")).toEqual([
      [4, 4, 4],
      [8, 8, 8],
    ]);
    expect(limits(peaks, "shared")).toEqual([
      [8, 8, 8],
      [8, 8, 8],
    ]);
    expect(limits([], "shared")).toEqual([]);
  });

  it("says numbers shortly", () => {
    expect([0, 0.123456, -1234.5, 1e-7, 2e9, Number.NaN].map(short)).toEqual([
      "0",
      "0.123",
      "−1230",
      "1.0e−7",
      "2.0e9",
      "not finite",
    ]);
  });
});

describe("pixels", () => {
  const field = { values: Float64Array.of(0, 1, 2, 3), height: 2, width: 2 };

  it("repeats values when sharp", () => {
    expect([...resample(field, 4, 4, false)]).toEqual([0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]);
  });

  it("interpolates a plane exactly between pixel centres, repeating edges, when smooth", () => {
    const out = resample(field, 8, 8, true);
    for (let y = 0; y < 8; y++)
      for (let x = 0; x < 8; x++) {
        const place = (at: number): number => Math.min(1, Math.max(0, (at + 0.5) / 4 - 0.5));
        expect(out[y * 8 + x]).toBeCloseTo(place(x) + 2 * place(y), 12);
      }
  });

  it("keeps holes as holes and never lets them spread", () => {
    const holed = { values: Float64Array.of(Number.NaN, 1, 2, 3), height: 2, width: 2 };
    const out = resample(holed, 8, 8, true);
    expect(out.filter(Number.isNaN).length).toBe(16);
    expect(out[7 * 8 + 7]).toBe(3);
  });

  it("lays the colour over the picture with the documented opacity", () => {
    const look = { table: table("viridis"), signed: false, smooth: false, picture: "grey" as const, mix: 0.5 };
    const out = new Uint32Array(3);
    colour(out, Float64Array.of(0, 0.4, 1), 3, 1, look, [Float64Array.of(200, 200, 200)]);
    const expected = [0, 0.4, 1].map((v) => {
      const row = 3 * Math.floor(v * 255 + 0.5);
      const a = Math.min(0.85, 1.25 * v);
      return [0, 1, 2].map((c) => Math.floor(200 + ((look.table[row + c] ?? 0) - 200) * a + 0.5));
    });
    expect([...out].map((word) => [word & 255, (word >> 8) & 255, (word >> 16) & 255])).toEqual(expected);
  });

  it("draws not finite as stripes, whatever the table", () => {
    const out = new Uint32Array(8);
    const look = { table: table("gray"), signed: false, smooth: false, picture: "none" as const, mix: 0.5 };
    colour(out, new Float64Array(8).fill(Number.NaN), 8, 1, look, null);
    expect(new Set(out)).toEqual(new Set([0xffc8c8c8, 0xff5a5a5a]));
  });

  it("lets the strongest of the values that share a bar stand for it", () => {
    expect([0, 1].map((bar) => barAt(Float64Array.of(1, -5, 2, 0), bar, 2))).toEqual([1, 2]);
  });
});
