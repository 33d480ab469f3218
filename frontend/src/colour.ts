/**
 * From a value to a colour, exactly:
 *
 * - a stored byte q is the value v = low + (high - low) * q / 254 (q = 255: not finite); magnitudes are |v|;
 * - smooth maps interpolate values bilinearly between pixel centres, edges repeated, first down, then across;
 * - signed:    i = floor((0.5 + 0.5 * v / limit) * 255 + 0.5), zero is 128;
 *   magnitude: i = floor(|v| / limit * 255 + 0.5); i is clamped to 0..255, limit = 0 counts as v = 0;
 * - the colour is row i of the map's table; over a picture p it is floor(p + (colour - p) * a + 0.5) in each channel,
 *   with b = min(0.85, 1.25 * |v| / limit) and a = b at mix 0.5, 2 * mix * b below, b + (2 * mix - 1) * (1 - b) above:
 *   0 is the picture alone, 1 the map alone;
 * - limit is the largest |v|, or, clipped at a share, the smallest |v| that so many of a map's values do not pass
 *   (numpy.quantile(..., method="inverted_cdf")), and the largest where that is 0;
 * - a difference is v - w of two maps, each by its own range; its limit is the larger of both maps' limits, so that what
 *   hardly changed is pale.
 *
 * All in double precision, so that NumPy gives the same bytes.
 */
import type { ColourMap } from "./colour_tables";

export const SIGNED_MAPS = ["RdBu_r", "PuOr_r", "vik"] as const satisfies readonly ColourMap[];
export const PLAIN_MAPS = ["viridis", "cividis", "magma", "gray"] as const satisfies readonly ColourMap[];

/** Row of the colour table for a value; `limit` is the value at the end of the scale. */
export function indexOf(value: number, limit: number, signed: boolean): number {
  const share = limit > 0 ? value / limit : 0;
  const place = (signed ? 0.5 + 0.5 * share : Math.abs(share)) * 255 + 0.5;
  return place < 0 ? 0 : place >= 255 ? 255 : place | 0;
}

/** How much of the colour covers a picture under the map; `mix` fades from the picture (0) to the map (1). */
export function opacityOf(value: number, limit: number, mix = 0.5): number {
  const base = limit > 0 ? Math.min(0.85, (1.25 * Math.abs(value)) / limit) : 0;
  return mix <= 0.5 ? 2 * mix * base : base + (2 * mix - 1) * (1 - base);
}

/** One map as it travels; `low` and `high` are its range. */
export interface MapBytes {
  readonly bytes: Uint8Array;
  readonly height: number;
  readonly width: number;
  readonly low: number;
  readonly high: number;
}

/** Values of a map in double precision, NaN where they are not finite. */
export function decode({ bytes, low, high }: MapBytes, signed: boolean): Float64Array {
  const levels = new Float64Array(256).fill(Number.NaN);
  for (let q = 0; q < 255; q++) {
    const value = low + ((high - low) * q) / 254;
    levels[q] = signed ? value : Math.abs(value);
  }
  const values = new Float64Array(bytes.length);
  for (let at = 0; at < bytes.length; at++) values[at] = levels[bytes[at] as number] as number;
  return values;
}

/** Largest |value| of a map. */
export const peakOf = ({ low, high }: MapBytes): number => Math.max(Math.abs(low), Math.abs(high));

/** The smallest |value| that a share of a map's finite values does not pass; the largest where that is 0. */
export function clippedPeakOf(map: MapBytes, share: number): number {
  const { bytes, low, high } = map;
  if (share >= 1) return peakOf(map);
  const counts = new Uint32Array(256);
  for (const q of bytes) counts[q] = (counts[q] as number) + 1;
  const finite = bytes.length - (counts[255] as number);
  const sizes = Array.from({ length: 255 }, (_, q) => [Math.abs(low + ((high - low) * q) / 254), counts[q]] as const);
  let left = Math.max(1, Math.ceil(share * finite));
  for (const [size, count = 0] of sizes.sort((a, b) => a[0] - b[0])) {
    left -= count;
    if (left <= 0) return size || peakOf(map);
  }
  return peakOf(map);
}

export type MapState = "values" | "zero" | "nan";

/** All zero and nothing finite are states of their own, never just a colour. */
export function stateOf(map: MapBytes): MapState {
  if (!Number.isFinite(map.low) || !Number.isFinite(map.high) || map.bytes.every((q) => q === 255)) return "nan";
  return map.low === 0 && map.high === 0 ? "zero" : "values";
}

export type ScaleRule = "map" | "example" | "shared";

/** The value at the end of the colour scale, for each map: rows are examples, columns are steps. */
export function limits(peaks: readonly (readonly (number | null)[])[], rule: ScaleRule): number[][] {
  const finite = (peak: number | null): number => (peak !== null && Number.isFinite(peak) ? peak : 0);
  const rows = peaks.map((row) => row.reduce<number>((most, peak) => Math.max(most, finite(peak)), 0));
  const all = Math.max(0, ...rows);
  return peaks.map((row, at) =>
    row.map((peak) => (rule === "map" ? finite(peak) : rule === "example" ? (rows[at] ?? 0) : all)),
  );
}

/** A number as short as it can be said: three digits, powers of ten only when needed. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "not finite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return text.replaceAll("-", "−").replace("e+", "e");
}
