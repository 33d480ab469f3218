import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { Probe } from "../api";
import { short } from "../colour";
import { barAt } from "./paint";
import { reasonFor, wordFor } from "./cell";
import type { Kind } from "./screen";
import { isMap, type Found, type ReadyMap } from "./store";

export interface Pointed {
  readonly found: Found;
  readonly probe: Probe | null;
  readonly kind: Kind;
}

/** The index whose value a bar chart of `size` pixels shows at `at`. */
function featureAt(values: Float64Array, share: number, size: number): number {
  const bars = Math.min(values.length, size);
  return barAt(values, Math.min(bars - 1, Math.max(0, Math.floor(share * bars))), bars);
}

/** A value in words; of a difference also what it is the difference of. */
function said(found: ReadyMap, at: number): string {
  const value = short(found.values(true)[at] ?? Number.NaN);
  if (!found.of) return value;
  const [one, other] = found.of.map((map) => short(map.values(true)[at] ?? Number.NaN));
  return `${value} = ${one} less ${other}`;
}

/** What stands under the pointer: row, column and value, or the feature and its value. */
export function textUnder({ found, probe, kind }: Pointed, x: number, y: number, size: number): string {
  if (!isMap(found)) return reasonFor(found) ?? wordFor(found) ?? "";
  const within = (share: number, count: number): number => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
  if (kind === "bars") {
    const feature = featureAt(found.values(true), x, size);
    return `${probe?.feature_names?.[feature] ?? `feature ${feature}`}: ${said(found, feature)}`;
  }
  const column = within(x, found.width);
  if (kind === "sequence") return `time ${column}: ${said(found, column)}`;
  const row = within(y, found.height);
  return `row ${row}, column ${column}: ${said(found, row * found.width + column)}`;
}

/** A note that follows the pointer; written without drawing the page again. */
export function useTip(under: (target: EventTarget | null) => Pointed | null): {
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
