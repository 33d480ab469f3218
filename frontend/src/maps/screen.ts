/** What the maps view shows, worked out from what is selected and the room there is. */
import type { InputInfo, TagInfo } from "../api";
import type { Family } from "./store";

export interface Room {
  readonly width: number;
  readonly height: number;
}

export interface Layout {
  readonly label: number;
  readonly box: { readonly width: number; readonly height: number };
  /** distance from one column, one row, to the next */
  readonly pitch: { readonly x: number; readonly y: number };
  readonly fits: number;
}

export const GAP = 6;
const CAPTION = 24;
/** room for a scroll bar, also where it floats */
const SCROLLBAR = 16;

/** The chosen input of a tag. */
export const inputOf = (tag: TagInfo, name: string): InputInfo | null =>
  tag.inputs?.find((one) => one.name === name) ?? tag.inputs?.[0] ?? null;

/** Height, width and channels of a map before its channels are folded, as the server lays it out. */
export function sidesOf(input: InputInfo | null): [number, number, number] {
  const shape = input?.shape ?? [];
  const product = (of: readonly number[]): number => of.reduce((x, y) => x * y, 1);
  const [a = 1, b = 1] = shape;
  if (shape.length < 2 || input?.kind === "flat") return [1, product(shape), 1];
  if (shape.length === 2) return input?.kind === "sequence" ? [1, a, b] : [a, b, 1];
  return [product(shape.slice(0, -2)), ...(shape.slice(-2) as [number, number])];
}

/** How a map is drawn: as a picture, as bars, or as a coloured band along time. */
export type Kind = "image" | "bars" | "sequence";

export function kindOf(input: InputInfo | null): Kind {
  if (sidesOf(input)[0] > 1) return "image";
  return input?.kind === "sequence" ? "sequence" : "bars";
}

/**
 * Cells as large as asked, stretched to fill the width; never so large that fewer than three (first, cursor, last) fit.
 * `aspect` is height by width of a cell's picture.
 */
export function layOut(room: Room, wished: number, count: number, all: boolean, aspect: number): Layout {
  const label = room.width < 600 ? 92 : 180;
  const free = Math.max(60, room.width - label - SCROLLBAR);
  const wide = aspect < 0.7 ? 1.5 : 1;
  const least = Math.min(wished * wide, Math.max(44, Math.floor(free / Math.min(3, Math.max(1, count))) - GAP));
  const fits = Math.max(1, Math.floor(free / (least + GAP)));
  const shown = Math.min(count, fits);
  const stretched = all && count > fits ? least : Math.floor(free / Math.max(1, shown)) - GAP;
  const width = Math.min(stretched, Math.round(least * 1.5));
  const height = Math.max(40, Math.round(width * Math.min(1.25, Math.max(0.3, aspect))));
  return { label, box: { width, height }, pitch: { x: width + GAP, y: height + CAPTION + GAP }, fits };
}

/** The size to ask for: enough for the cell on this display, in few steps so that answers are shared. */
export function askedSize(native: number, cell: number, ratio: number): number | null {
  const size = [96, 192, 384].find((one) => one >= cell * ratio * 0.6) ?? 384;
  return native <= size ? null : size;
}

/** What the requests of one screen share. */
export function familyOf(
  run: string,
  tag: TagInfo,
  input: InputInfo | null,
  signed: boolean,
  cell: number,
  ratio: number,
): Family {
  const [height, width, channels] = sidesOf(input);
  const flat = height === 1;
  const size = flat ? null : askedSize(Math.max(height, width), cell, ratio);
  const sides = Math.min(1, size === null ? 1 : size / Math.max(height, width));
  return {
    run,
    tag: tag.name,
    input: input && (tag.inputs?.length ?? 0) > 1 ? input.name : null,
    size,
    channels: signed || channels === 1 ? "sum" : "max",
    examples: tag.examples ?? 0,
    bytes: Math.max(1, Math.ceil(height * width * sides * sides)),
  };
}
