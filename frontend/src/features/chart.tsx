/** A canvas that keeps its size, sharpness and theme; what is drawn comes from outside as a function. */
import { effect } from "@preact/signals";
import type { CSSProperties, JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { theme as shade } from "../host";
import type { Picture } from "../export";
import type { Context, Theme } from "./paint";

export type Draw = (ctx: Context, width: number, height: number) => void;

/** The shell's colours as the canvas needs them; new whenever the theme changes. */
export function useTheme(): Theme {
  const dark = shade.value === "dark";
  return useMemo(() => {
    const css = getComputedStyle(document.documentElement);
    const read = (name: string, fallback: string) => {
      const found = css.getPropertyValue(name).trim() || fallback;
      return found.replace(/^#(\w)(\w)(\w)$/, "#$1$1$2$2$3$3");
    };
    return {
      dark,
      text: read("--text", dark ? "#e8eaed" : "#202124"),
      muted: read("--dim", dark ? "#a8abb0" : "#5f6368"),
      grid: read("--line", dark ? "#45484c" : "#dadce0"),
      panel: read("--bg", dark ? "#303030" : "#ffffff"),
    };
  }, [dark]);
}

/** Width and height of an element in CSS pixels, kept up to date. */
export function useSize(ref: { current: HTMLElement | null }): readonly [number, number] {
  const [size, setSize] = useState<readonly [number, number]>([0, 0]);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const measure = () => {
      const next = [element.clientWidth, element.clientHeight] as const;
      setSize((last) => (last[0] === next[0] && last[1] === next[1] ? last : next));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    measure();
    return () => observer.disconnect();
  }, []);
  return size;
}

function paint(canvas: HTMLCanvasElement | null, [width, height]: readonly [number, number], draw: Draw): void {
  const ctx = canvas?.getContext("2d");
  if (!canvas || !ctx || !width || !height) return;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  ctx.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
  draw(ctx, width, height);
}

/** Milliseconds of one frame that charts may draw in; what is left comes in the next. */
const FRAME = 12;
/** Mark in the browser's time line: no chart waits to be drawn. */
const DRAWN = "tb-xai charts drawn";
const waiting = new Set<() => void>();
let began = 0;
let asked = 0;

function drawWaiting(): void {
  asked = 0;
  began = performance.now();
  for (const task of waiting) {
    waiting.delete(task);
    task();
    if (performance.now() - began > FRAME) break;
  }
  if (waiting.size) asked = requestAnimationFrame(drawWaiting);
  else {
    performance.clearMarks(DRAWN);
    performance.mark(DRAWN);
  }
}

/** Draws now while a frame has time, else in one of the next frames, in the order of asking; gives a way to call it off. */
function inTurn(task: () => void): () => void {
  if (!asked) {
    began = performance.now();
    asked = requestAnimationFrame(drawWaiting);
  }
  if (!waiting.size && performance.now() - began <= FRAME) task();
  else waiting.add(task);
  return () => waiting.delete(task);
}

interface Pointers {
  /** pointer over the chart, in CSS pixels; and gone */
  onHover?: (x: number, y: number, size: readonly [number, number]) => void;
  onLeave?: () => void;
  onPick?: (x: number, y: number, size: readonly [number, number]) => void;
}

/** The charts on screen by their names, to be drawn elsewhere. */
export const onScreen = new Map<string, () => Picture>();

interface Props extends Pointers {
  /** under which it can be drawn elsewhere */
  name?: string;
  label: string;
  class?: string;
  style?: CSSProperties;
  /** painted when it changes */
  draw: Draw;
  /** painted over it whenever a signal that it reads changes */
  over: Draw;
}

/** Two canvases on top of each other: the picture, and the cheap layer that follows cursor and pointer. */
export function Chart({ name, label, class: kind = "", style, draw, over, ...pointers }: Props): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const base = useRef<HTMLCanvasElement>(null);
  const top = useRef<HTMLCanvasElement>(null);
  const calls = useRef<Pointers>(pointers);
  calls.current = pointers;
  const size = useSize(box);
  useLayoutEffect(() => inTurn(() => paint(base.current, size, draw)), [size, draw]);
  useEffect(() => effect(() => paint(top.current, size, over)), [size, over]);
  useEffect(() => {
    if (name === undefined) return;
    const picture = (): Picture => {
      const [width, height] = size;
      const both = (ctx: Context): void => [draw, over].forEach((part) => part(ctx, width, height));
      return { width, height, draw: both };
    };
    onScreen.set(name, picture);
    return () => {
      if (onScreen.get(name) === picture) onScreen.delete(name);
    };
  }, [name, size, draw, over]);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const listen = (name: "onHover" | "onPick") => (event: MouseEvent) => {
      const place = element.getBoundingClientRect();
      calls.current[name]?.(event.clientX - place.left, event.clientY - place.top, [place.width, place.height]);
    };
    const listeners: [string, (event: MouseEvent) => void][] = [
      ["pointermove", listen("onHover")],
      ["click", listen("onPick")],
      ["pointerleave", () => calls.current.onLeave?.()],
    ];
    for (const [type, on] of listeners) element.addEventListener(type, on as EventListener);
    return () => {
      for (const [type, on] of listeners) element.removeEventListener(type, on as EventListener);
    };
  }, []);
  return (
    <div class={`fx-chart ${kind}`} style={style} ref={box} role="img" aria-label={label}>
      <canvas ref={base} />
      <canvas ref={top} />
    </div>
  );
}
