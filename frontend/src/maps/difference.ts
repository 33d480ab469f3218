/** The signed difference of two maps, of values and not of colours: each is decoded by its own range. */
import type { MapState } from "../colour";
import { decoded, isMap, type Found, type ReadyMap } from "./store";

interface Made {
  other: ReadyMap;
  signed: boolean;
  map: ReadyMap;
}

const known = new WeakMap<ReadyMap, Made>();

function subtract(one: ReadyMap, other: ReadyMap, signed: boolean): ReadyMap {
  const key = {};
  const values = (): Float64Array =>
    decoded(key, () => {
      const b = other.values(signed);
      return one.values(signed).map((value, at) => value - (b[at] as number));
    });
  // most differences are off screen: nothing is subtracted before it is asked for
  let known: { peak: number; state: MapState } | null = null;
  const summary = (): { peak: number; state: MapState } => {
    if (known) return known;
    let peak = 0;
    let finite = 0;
    for (const value of values()) {
      if (value !== value) continue;
      finite++;
      peak = Math.max(peak, Math.abs(value));
    }
    known = { peak: finite ? peak : Number.NaN, state: finite === 0 ? "nan" : peak === 0 ? "zero" : "values" };
    return known;
  };
  return {
    height: one.height,
    width: one.width,
    get state() {
      return summary().state;
    },
    get peak() {
      return summary().peak;
    },
    end: (share) => Math.max(one.end(share), other.end(share)),
    values,
    of: [one, other],
  };
}

/** `one - other` (of magnitudes where signs are not shown), or why there is none; the same object for the same maps. */
export function differenceOf(one: Found, other: Found, signed: boolean): Found {
  if (!isMap(one)) return one;
  if (!isMap(other))
    return typeof other === "string" ? other : { none: other.none, reason: `To compare with: ${other.reason}` };
  if (one.height !== other.height || one.width !== other.width)
    return {
      none: "other size",
      reason: `Its maps are ${one.height} × ${one.width}, those to compare with ${other.height} × ${other.width}.`,
    };
  const made = known.get(one);
  if (made?.other === other && made.signed === signed) return made.map;
  const map = subtract(one, other, signed);
  known.set(one, { other, signed, map });
  return map;
}

/** By how much the strength of two compared maps differs: the larger peak over the smaller. */
export function strengthRatio(map: ReadyMap): number | null {
  if (!map.of) return null;
  const [a, b] = map.of.map(({ peak }) => peak) as [number, number];
  const ratio = Math.max(a, b) / Math.min(a, b);
  return Number.isFinite(ratio) ? ratio : null;
}
