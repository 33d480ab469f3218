import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { paintBars, paintGrey, paintMap, type Grey, type Look } from "./paint";
import type { Found, ReadyMap } from "./store";

export interface Box {
  readonly width: number;
  readonly height: number;
}

/** The largest box of a map's proportions inside a cell. */
export function fitting(height: number, width: number, within: Box): Box {
  const factor = Math.min(within.width / width, within.height / height);
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

/** A canvas that repaints only when what it shows has changed. */
export function Canvas({
  map,
  limit,
  look,
  grey,
  box,
  bars,
}: {
  map: ReadyMap;
  limit: number;
  look: Look;
  grey: Grey | null;
  box: Box;
  bars: boolean;
}): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height } = bars ? box : fitting(map.height, map.width, box);
  const ratio = window.devicePixelRatio || 1;
  const under = look.picture ? grey : null;
  useLayoutEffect(() => {
    const target = canvas.current;
    if (!target) return;
    target.width = Math.round(width * ratio);
    target.height = Math.round(height * ratio);
    const values = map.values(look.signed);
    if (bars) paintBars(target, values, limit, look, getComputedStyle(target).color);
    else paintMap(target, { values, height: map.height, width: map.width }, limit, look, under);
  }, [map, limit, look, under, width, height, ratio, bars]);
  return <canvas ref={canvas} style={{ width: `${width}px`, height: `${height}px` }} aria-hidden="true" />;
}

/** The input itself, grey. */
export function Thumbnail({ grey, box, smooth }: { grey: Grey; box: Box; smooth: boolean }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height } = fitting(grey.height, grey.width, box);
  const ratio = window.devicePixelRatio || 1;
  useLayoutEffect(() => {
    const target = canvas.current;
    if (!target) return;
    target.width = Math.round(width * ratio);
    target.height = Math.round(height * ratio);
    paintGrey(target, grey, smooth);
  }, [grey, width, height, ratio, smooth]);
  return <canvas ref={canvas} style={{ width: `${width}px`, height: `${height}px` }} aria-hidden="true" />;
}

/** The word for what stands in place of a map, or null when there are values to see. */
export function wordFor(found: Found): string | null {
  if (found === "loading") return "loading";
  if (found === "failed") return "not loaded";
  if (found === "absent") return "not logged";
  if ("missing" in found) return "missing";
  if (found.state === "zero") return "all zero";
  if (found.state === "nan") return "not finite";
  return null;
}

/** One map, or the word for its absence; states differ by pattern and text, never by colour alone. */
export function MapFace({
  found,
  ...drawing
}: {
  found: Found;
  limit: number;
  look: Look;
  grey: Grey | null;
  box: Box;
  bars: boolean;
}): JSX.Element {
  const word = wordFor(found);
  const { width, height } = drawing.box;
  const style = { width: `${width}px`, height: `${height}px` };
  if (word !== null) {
    const reason = typeof found === "object" && "missing" in found ? found.missing : undefined;
    return <div class={`face none ${word.replace(" ", "-")}`} style={style} title={reason} data-word={word} />;
  }
  return (
    <div class="face" style={style}>
      <Canvas map={found as ReadyMap} {...drawing} />
    </div>
  );
}
