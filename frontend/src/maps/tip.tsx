import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { Probe } from "../api";
import { short } from "../colour";
import { barAt } from "./paint";
import { wordFor } from "./cell";
import type { Found } from "./store";

export interface Under {
  readonly found: Found;
  readonly probe: Probe | null;
  readonly bars: boolean;
}

/** The index whose value a bar chart of `size` pixels shows at `at`. */
function featureAt(values: Float64Array, share: number, size: number): number {
  const bars = Math.min(values.length, size);
  return barAt(values, Math.min(bars - 1, Math.max(0, Math.floor(share * bars))), bars);
}

/** What stands under the pointer: row, column and value, or the feature and its value. */
export function textUnder({ found, probe, bars }: Under, x: number, y: number, size: number): string {
  const word = wordFor(found);
  if (typeof found === "string") return word ?? "";
  if ("missing" in found) return `missing: ${found.missing}`;
  const values = found.values(true);
  if (bars) {
    const feature = featureAt(values, x, size);
    return `${probe?.feature_names?.[feature] ?? `feature ${feature}`}: ${short(values[feature] ?? Number.NaN)}`;
  }
  const row = Math.min(found.height - 1, Math.max(0, Math.floor(y * found.height)));
  const column = Math.min(found.width - 1, Math.max(0, Math.floor(x * found.width)));
  return `row ${row}, column ${column}: ${short(values[row * found.width + column] ?? Number.NaN)}`;
}

/** A note that follows the pointer; written without drawing the page again. */
export function useTip(under: (target: EventTarget | null) => Under | null): {
  element: JSX.Element;
  listeners: { onPointerMove: (event: PointerEvent) => void; onPointerLeave: () => void };
} {
  const note = useRef<HTMLDivElement>(null);
  const hide = (): void => {
    if (note.current) note.current.hidden = true;
  };
  const onPointerMove = (event: PointerEvent): void => {
    const node = note.current;
    const what = event.pointerType === "touch" ? null : under(event.target);
    const face = event.target instanceof HTMLCanvasElement ? event.target : null;
    if (!node || !what || !face) return hide();
    const bounds = face.getBoundingClientRect();
    node.textContent = textUnder(
      what,
      (event.clientX - bounds.left) / bounds.width,
      (event.clientY - bounds.top) / bounds.height,
      face.width,
    );
    node.hidden = false;
    const left = Math.min(event.clientX + 14, window.innerWidth - node.offsetWidth - 6);
    const top = event.clientY + 18 + node.offsetHeight > window.innerHeight ? event.clientY - 30 : event.clientY + 18;
    node.style.transform = `translate(${left}px, ${top}px)`;
  };
  return {
    element: <div ref={note} class="tip" hidden aria-hidden="true" />,
    listeners: { onPointerMove, onPointerLeave: hide },
  };
}
