import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { Latest } from "./latest";
import { paintBars, paintPicture, pixelsOf, type Look, type Picture } from "./paint";
import type { Kind } from "./screen";
import { paintSequence, type Line } from "./series_paint";
import { isMap, type Found, type ReadyMap } from "./store";

export interface Box {
  readonly width: number;
  readonly height: number;
}

/** What lies under a map or runs over it. */
export interface Under {
  readonly grey: Picture | null;
  readonly colour: Picture | null;
  readonly lines: readonly Line[];
}

export interface Drawing {
  readonly map: Pick<ReadyMap, "height" | "width" | "values">;
  readonly limit: number;
  readonly look: Look;
  readonly under: Under;
  readonly kind: Kind;
}

/** The largest box of a map's proportions inside a cell. */
export function fitting(height: number, width: number, within: Box): Box {
  const factor = Math.min(within.width / width, within.height / height);
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

export const boxOf = ({ map, kind }: Drawing, within: Box): Box =>
  kind === "image" ? fitting(map.height, map.width, within) : within;

export const pictureUnder = (look: Look, under: Under): Picture | null =>
  look.picture === "none" ? null : under[look.picture];

/** The pixels of a map that is a picture. */
function imageOf({ map, limit, look, under }: Drawing, box: Box): ImageData {
  const { height, width } = map;
  return pixelsOf({ values: map.values(look.signed), height, width }, box, limit, look, pictureUnder(look, under));
}

/** Paints a map into a canvas of its size. */
export function paint(canvas: HTMLCanvasElement, drawing: Drawing, ink: string, halo: string, ratio: number): void {
  const { map, limit, look, under, kind } = drawing;
  if (kind === "bars") paintBars(canvas, map.values(look.signed), limit, look, ink);
  else if (kind === "sequence")
    paintSequence(canvas, map.values(look.signed), limit, look, under.lines, ink, halo, ratio);
  else canvas.getContext("2d")?.putImageData(imageOf(drawing, canvas), 0, 0);
}

interface Painted {
  readonly limit: number;
  readonly look: Look;
  readonly picture: Picture | null;
  readonly image: ImageData;
}

/** Going back and forth between some steps paints no map twice: a screen of them takes as long as a frame. */
const painted = new Latest<Painted>(48_000_000);

function paintAgain(canvas: HTMLCanvasElement, drawing: Drawing): void {
  const { map, limit, look, under } = drawing;
  const { width, height } = canvas;
  const picture = pictureUnder(look, under);
  const known = painted.get(map);
  const same = known?.limit === limit && known.look === look && known.picture === picture;
  const fits = known?.image.width === width && known.image.height === height;
  const image = same && fits ? known.image : imageOf(drawing, canvas);
  if (image !== known?.image) painted.keep(map, { limit, look, picture, image }, image.data.byteLength);
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}

/** Gives a canvas its size; the same size is left alone, because setting it clears what is drawn. */
export function resize(canvas: HTMLCanvasElement, { width, height }: Box, ratio: number): void {
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
}

/** A canvas that repaints only when what it shows has changed. */
export function Canvas({ box, theme, ...drawing }: Drawing & { box: Box; theme: string }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { map, limit, look, under, kind } = drawing;
  const { width, height } = boxOf(drawing, box);
  const ratio = window.devicePixelRatio || 1;
  const below = kind === "image" ? pictureUnder(look, under) : kind === "sequence" ? under.lines : null;
  // only what is drawn in the colours of the page follows its theme
  const inked = kind === "image" ? "" : theme;
  useLayoutEffect(() => {
    const target = canvas.current;
    if (!target) return;
    resize(target, { width, height }, ratio);
    if (kind === "image") return paintAgain(target, drawing);
    const { color, backgroundColor } = getComputedStyle(target);
    paint(target, drawing, color, backgroundColor, ratio);
  }, [map, limit, look, below, width, height, ratio, kind, inked]);
  return <canvas ref={canvas} style={{ width: `${width}px`, height: `${height}px` }} aria-hidden="true" />;
}

/** The input itself. */
export function Thumbnail({ picture, box, smooth }: { picture: Picture; box: Box; smooth: boolean }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height } = fitting(picture.height, picture.width, box);
  const ratio = window.devicePixelRatio || 1;
  useLayoutEffect(() => {
    const target = canvas.current;
    if (!target) return;
    resize(target, { width, height }, ratio);
    paintPicture(target, picture, smooth);
  }, [picture, width, height, ratio, smooth]);
  return <canvas ref={canvas} style={{ width: `${width}px`, height: `${height}px` }} aria-hidden="true" />;
}

/** The word for what stands in place of a map, or null when there are values to see. */
export function wordFor(found: Found): string | null {
  if (found === "loading") return "loading";
  if (found === "failed") return "not loaded";
  if (!isMap(found)) return found.none;
  if (found.state === "zero") return found.of ? "no difference" : "all zero";
  if (found.state === "nan") return "not finite";
  return null;
}

/** The sentence that explains such a word, where there is one. */
export const reasonFor = (found: Found): string | null =>
  typeof found === "object" && "none" in found ? found.reason : null;

/** One map, or the word for its absence with its reason; states differ by pattern and text, never by colour alone. */
export function MapFace({
  found,
  box,
  ...drawing
}: Omit<Drawing, "map"> & { found: Found; box: Box; theme: string }): JSX.Element {
  const word = wordFor(found);
  const style = { width: `${box.width}px`, height: `${box.height}px` };
  if (word === null)
    return (
      <div class="face" style={style}>
        <Canvas map={found as ReadyMap} box={box} {...drawing} />
      </div>
    );
  const reason = reasonFor(found);
  return (
    <div class={`face none ${word.replaceAll(" ", "-")}`} style={style} title={reason ?? undefined} data-word={word}>
      {reason !== null && box.width >= 100 && box.height >= 70 && <small>{reason}</small>}
    </div>
  );
}
