/** How strong maps are beside each other, where their colours end, and what the legend says of it. */
import { limits, type ScaleRule } from "../colour";
import { strengthRatio } from "./difference";
import type { Scale } from "./legend";
import type { Look } from "./paint";
import type { Column, Scene } from "./sources";
import { BLOCK, isMap, peakIn, type Found } from "./store";

const finite = (peak: number | null): number => (peak !== null && Number.isFinite(peak) ? peak : 0);

/** Blocks that share one scale: it must not depend on how far somebody has scrolled, nor on all of a thousand maps. */
const SHARED = 8;

/** The blocks whose maps are on one scale with those of some blocks. */
export const sharing = (blocks: readonly number[], examples: number): number[] =>
  Array.from({ length: Math.ceil(examples / BLOCK) }, (_, block) => block).filter((block) =>
    blocks.some((one) => Math.floor(one / SHARED) === Math.floor(block / SHARED)),
  );

export interface Scales {
  /** by example and column: the end of the colours */
  readonly ends: number[][];
  /** 0 to 1: how strong a map is beside those it is compared with */
  readonly strength: (example: number, at: number) => number;
  readonly legend: Scale[];
}

/**
 * Rows are compared with rows. Methods have units of their own: there each column is a scale for itself, and a scale per
 * example would be one per map.
 */
export function scalesOf(
  found: readonly (readonly Found[])[],
  columns: readonly Column[],
  by: Scene["by"],
  rule: ScaleRule,
  share: number,
  look: (column: Column) => Look,
): Scales {
  const own = by === "methods";
  const reach = found.map((row) => row.map((one) => (isMap(one) ? one.end(share) : null)));
  const apart = (values: (number | null)[][], of: ScaleRule): number[][] => {
    if (!own) return limits(values, of);
    const parts = columns.map((_, at) =>
      limits(
        values.map((row) => [row[at] ?? null]),
        of,
      ),
    );
    return values.map((row, example) => row.map((_, at) => parts[at]?.[example]?.[0] ?? 0));
  };
  const ends = apart(reach, rule);
  // a row is asked for when it is drawn: differences off screen are never made
  const rows = new Map<number, number>();
  const tops = new Map<number, number>();
  const top = (known: Map<number, number>, at: number, of: () => readonly Found[]): number => {
    let most = known.get(at);
    if (most === undefined) {
      most = of().reduce((sum, one) => Math.max(sum, finite(peakIn(one))), 0);
      known.set(at, most);
    }
    return most;
  };
  const strength = (example: number, at: number): number => {
    const one = found[example]?.[at];
    const most = own
      ? top(tops, at, () => found.map((row) => row[at] ?? "loading"))
      : top(rows, example, () => found[example] ?? []);
    return one && most > 0 ? finite(peakIn(one)) / most : 0;
  };
  const looks = [...new Set(columns.map(look))];
  const legend = looks.map((one): Scale => {
    const at = columns.flatMap((column, index) => (look(column) === one ? [index] : []));
    let [least, largest, ratio] = [Infinity, 0, 0];
    found.forEach((row, example) => {
      for (const index of at) {
        const map = row[index];
        const end = ends[example]?.[index] ?? 0;
        if (!map || !isMap(map) || !(end > 0)) continue;
        least = Math.min(least, end);
        largest = Math.max(largest, end);
        ratio = Math.max(ratio, strengthRatio(map) ?? 0);
      }
    });
    return {
      look: one,
      columns: at.flatMap((index) => columns[index] ?? []),
      ends: largest > 0 ? [least, largest] : null,
      ratio: ratio || null,
    };
  });
  return { ends, strength, legend };
}
