import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import { panels } from "./lazy";
import type { Pointed } from "./panels/under";

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
    const textUnder = panels.code.peek()?.textUnder;
    if (!node || !what || !face || !textUnder) return hide();
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
