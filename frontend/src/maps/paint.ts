/** Pixels of a map: a pure function of values, look and size. */
import { indexOf, opacityOf } from "../colour";

/** A picture: one plane of bytes (grey) or three (red, green, blue). */
export interface Picture {
  readonly planes: readonly Uint8Array[];
  readonly height: number;
  readonly width: number;
}

export interface Field {
  readonly values: Float64Array;
  readonly height: number;
  readonly width: number;
}

export interface Look {
  readonly table: Uint8Array;
  readonly signed: boolean;
  readonly smooth: boolean;
  /** what lies under the map */
  readonly picture: "none" | "grey" | "colour";
  /** from the picture alone (0) to the map alone (1) */
  readonly mix: number;
}

interface Axis {
  readonly near: Int32Array;
  readonly from: Int32Array;
  readonly to: Int32Array;
  readonly part: Float64Array;
}

/** Where each of `size` pixels lies between `count` values: pixel centre to value centre, edges repeated. */
function axis(size: number, count: number): Axis {
  const near = new Int32Array(size);
  const from = new Int32Array(size);
  const to = new Int32Array(size);
  const part = new Float64Array(size);
  for (let at = 0; at < size; at++) {
    near[at] = Math.min(count - 1, Math.floor(((at + 0.5) * count) / size));
    const place = Math.min(count - 1, Math.max(0, ((at + 0.5) * count) / size - 0.5));
    from[at] = Math.floor(place);
    to[at] = Math.min(count - 1, Math.floor(place) + 1);
    part[at] = place - Math.floor(place);
  }
  return { near, from, to, part };
}

function isWhole(values: Float64Array): boolean {
  for (const value of values) if (value !== value) return false;
  return true;
}

/**
 * Values at every pixel. A pixel is NaN where its nearest value is; next to such a hole the nearest value stands
 * instead of a mixture.
 */
export function resample(
  { values, height, width }: Field,
  h: number,
  w: number,
  smooth: boolean,
  out: Float64Array = new Float64Array(h * w),
): Float64Array {
  const down = axis(h, height);
  const { near, from, to, part } = axis(w, width);
  const row = new Float64Array(width);
  const whole = isWhole(values);
  for (let y = 0; y < h; y++) {
    const first = y * w;
    const nearest = (down.near[y] as number) * width;
    if (!smooth) {
      for (let x = 0; x < w; x++) out[first + x] = values[nearest + (near[x] as number)] as number;
      continue;
    }
    const a = (down.from[y] as number) * width;
    const b = (down.to[y] as number) * width;
    const lower = down.part[y] as number;
    for (let x = 0; x < width; x++)
      row[x] = (values[a + x] as number) * (1 - lower) + (values[b + x] as number) * lower;
    for (let x = 0; x < w; x++) {
      const right = part[x] as number;
      out[first + x] = (row[from[x] as number] as number) * (1 - right) + (row[to[x] as number] as number) * right;
    }
    if (whole) continue;
    for (let x = 0; x < w; x++) {
      const value = values[nearest + (near[x] as number)] as number;
      const mixed = out[first + x] as number;
      if (value !== value || mixed !== mixed) out[first + x] = value;
    }
  }
  return out;
}

/** Stripes of two greys: the look of "not finite", whatever the colour map. */
const hatch = (x: number, y: number): number => (((x + y) >> 2) & 1 ? 0xff5a5a5a : 0xffc8c8c8);

const palettes = new WeakMap<Uint8Array, Uint32Array>();

/** A colour table as the 32-bit words of an ImageData (little-endian, opaque). */
function wordsOf(table: Uint8Array): Uint32Array {
  let made = palettes.get(table);
  if (!made) {
    made = new Uint32Array(256);
    for (let i = 0; i < 256; i++)
      made[i] =
        (0xff000000 |
          ((table[3 * i + 2] as number) << 16) |
          ((table[3 * i + 1] as number) << 8) |
          (table[3 * i] as number)) >>>
        0;
    palettes.set(table, made);
  }
  return made;
}

/** Colours `values` (h x w, as resampled) into 32-bit pixels; the planes of a picture have the same size. */
export function colour(
  out: Uint32Array,
  values: Float64Array,
  width: number,
  limit: number,
  look: Look,
  picture: readonly Float64Array[] | null,
): void {
  const palette = wordsOf(look.table);
  const { signed, mix } = look;
  if (!picture) {
    for (let at = 0; at < values.length; at++) {
      const value = values[at] as number;
      out[at] =
        value === value
          ? (palette[indexOf(value, limit, signed)] as number)
          : hatch(at % width, Math.floor(at / width));
    }
    return;
  }
  const [red, green = red, blue = red] = picture as [Float64Array, Float64Array?, Float64Array?];
  for (let at = 0; at < values.length; at++) {
    const value = values[at] as number;
    if (value !== value) {
      out[at] = hatch(at % width, Math.floor(at / width));
      continue;
    }
    const word = palette[indexOf(value, limit, signed)] as number;
    const a = opacityOf(value, limit, mix);
    const r0 = red[at] as number;
    const g0 = green[at] as number;
    const b0 = blue[at] as number;
    const r = Math.floor(r0 + ((word & 255) - r0) * a + 0.5);
    const g = Math.floor(g0 + (((word >> 8) & 255) - g0) * a + 0.5);
    const b = Math.floor(b0 + (((word >> 16) & 255) - b0) * a + 0.5);
    out[at] = (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  }
}

const pictures = new WeakMap<Picture, { key: string; planes: readonly Float64Array[] }>();

/** The planes of a picture at a size, as whole levels; the last size is kept, because all cells of a row share it. */
function planesOf(picture: Picture, h: number, w: number, smooth: boolean): readonly Float64Array[] {
  const key = `${h} ${w} ${smooth}`;
  const known = pictures.get(picture);
  if (known?.key === key) return known.planes;
  const { height, width } = picture;
  const planes = picture.planes.map((plane) =>
    resample({ values: Float64Array.from(plane), height, width }, h, w, smooth).map((value) => Math.floor(value + 0.5)),
  );
  pictures.set(picture, { key, planes });
  return planes;
}

let scratch = new Float64Array();

/** A map as pixels of some size, over a picture where there is one. */
export function pixelsOf(
  field: Field,
  { width, height }: { readonly width: number; readonly height: number },
  limit: number,
  look: Look,
  picture: Picture | null,
): ImageData {
  const image = new ImageData(width, height);
  if (scratch.length !== width * height) scratch = new Float64Array(width * height);
  const values = resample(field, height, width, look.smooth, scratch);
  const planes = picture && planesOf(picture, height, width, look.smooth);
  colour(new Uint32Array(image.data.buffer), values, width, limit, look, planes);
  return image;
}

/** Paints a picture alone. */
export function paintPicture(canvas: HTMLCanvasElement, picture: Picture, smooth: boolean): void {
  const { width, height } = canvas;
  const image = new ImageData(width, height);
  const out = new Uint32Array(image.data.buffer);
  const [red, green = red, blue = red] = planesOf(picture, height, width, smooth) as [
    Float64Array,
    Float64Array?,
    Float64Array?,
  ];
  for (let at = 0; at < out.length; at++)
    out[at] = (0xff000000 | ((blue[at] as number) << 16) | ((green[at] as number) << 8) | (red[at] as number)) >>> 0;
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}

/** The value that stands for `at` of `size` pixels of a bar chart: the strongest of those that share it. */
export function barAt(values: Float64Array, at: number, size: number): number {
  const from = Math.floor((at * values.length) / size);
  const to = Math.max(from + 1, Math.floor(((at + 1) * values.length) / size));
  let best = from;
  for (let one = from; one < to; one++) if (Math.abs(values[one] ?? 0) > Math.abs(values[best] ?? 0)) best = one;
  return best;
}

/** Rows of a signed table for bars: their length says how much, so that their colour need only say which side. */
export const BAR_ROWS = [30, 225] as const;

/** Paints a flat map as bars around (signed) or above (magnitude) zero. */
export function paintBars(
  canvas: HTMLCanvasElement,
  values: Float64Array,
  limit: number,
  look: Look,
  ink: string,
): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const { width, height } = canvas;
  const zero = look.signed ? Math.round(height / 2) : height - 1;
  const reach = (look.signed ? height / 2 : height) - 2;
  const bars = Math.min(values.length, width);
  const gap = width / bars >= 4 ? 1 : 0;
  context.clearRect(0, 0, width, height);
  for (let bar = 0; bar < bars; bar++) {
    const value = values[barAt(values, bar, bars)] ?? Number.NaN;
    const left = Math.round((bar * width) / bars);
    const wide = Math.max(1, Math.round(((bar + 1) * width) / bars) - left - gap);
    if (!Number.isFinite(value)) {
      context.fillStyle = ink;
      for (let y = 0; y < height; y += 6) context.fillRect(left, y, wide, 2);
      continue;
    }
    const row = 3 * (look.signed ? BAR_ROWS[value < 0 ? 0 : 1] : indexOf(value, limit, false));
    context.fillStyle = `rgb(${look.table[row]} ${look.table[row + 1]} ${look.table[row + 2]})`;
    const long = limit > 0 ? Math.round(Math.min(1, Math.abs(value) / limit) * reach) : 0;
    context.fillRect(left, value < 0 && look.signed ? zero : zero - long, wide, long);
  }
  context.fillStyle = ink;
  context.fillRect(0, zero, width, 1);
}
