/** A time series as what it is: the values of the map as a coloured band along time, the input as a line over it. */
import { pixelsOf, type Look } from "./paint";

/** One channel of a series and the range that its line is drawn in. */
export interface Line {
  readonly values: ArrayLike<number>;
  readonly low: number;
  readonly high: number;
}

/** The canvas with a line of the input from left to right; a break wherever it is not finite. */
function trace(context: CanvasRenderingContext2D, line: Line, width: number, height: number, margin: number): void {
  const { values, low, high } = line;
  const span = high - low || 1;
  let pen = false;
  context.beginPath();
  for (let at = 0; at < values.length; at++) {
    const value = values[at] as number;
    if (!Number.isFinite(value)) {
      pen = false;
      continue;
    }
    // a value stands in the middle of its own piece of the band
    const x = ((at + 0.5) * width) / values.length;
    const y = height - margin - ((value - low) / span) * (height - 2 * margin);
    if (pen) context.lineTo(x, y);
    else context.moveTo(x, y);
    pen = true;
  }
  context.stroke();
}

/** Paints the band and its lines: each in ink, with a halo that keeps it readable on every colour. */
export function paintSequence(
  canvas: HTMLCanvasElement,
  values: Float64Array,
  limit: number,
  look: Look,
  lines: readonly Line[],
  ink: string,
  halo: string,
  ratio: number,
): void {
  const context = canvas.getContext("2d");
  if (!context) return;
  const band = { values, height: 1, width: values.length };
  context.putImageData(pixelsOf(band, canvas, limit, { ...look, smooth: false, picture: "none" }, null), 0, 0);
  context.lineJoin = "round";
  for (const [style, width] of [
    [halo, 3.5],
    [ink, 1.4],
  ] as const) {
    context.strokeStyle = style;
    context.lineWidth = width * ratio;
    for (const line of lines) trace(context, line, canvas.width, canvas.height, 4 * ratio);
  }
}
