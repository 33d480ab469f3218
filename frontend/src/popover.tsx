import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

/** A button that opens a small panel; Escape, a click elsewhere and leaving by keyboard close it. */
export function Popover({
  name,
  face,
  children,
}: {
  name: string;
  face: ComponentChildren;
  children: () => ComponentChildren;
}): JSX.Element {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    // what it holds may still be on its way
    const enter = (): void => {
      const first = box.current?.querySelector<HTMLElement>(".panel input, .panel select");
      if (!first) return;
      coming.disconnect();
      if (!document.activeElement?.closest(".panel")) first.focus();
    };
    const coming = new MutationObserver(enter);
    if (box.current) coming.observe(box.current, { childList: true, subtree: true });
    enter();
    const leave = (event: Event): void => {
      if (event.target instanceof Node && !box.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", leave);
    document.addEventListener("focusin", leave);
    return () => {
      coming.disconnect();
      document.removeEventListener("pointerdown", leave);
      document.removeEventListener("focusin", leave);
    };
  }, [open]);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== "Escape" || !open) return;
    setOpen(false);
    button.current?.focus();
    event.stopPropagation();
  };
  return (
    // eslint-disable-next-line jsx-a11y/no-static-element-interactions -- Escape bubbles here from what it holds
    <div class="popover" ref={box} onKeyDown={onKeyDown}>
      <button type="button" ref={button} aria-expanded={open} aria-haspopup="dialog" onClick={() => setOpen(!open)}>
        {face}
        <span aria-hidden="true">▾</span>
      </button>
      {open && (
        <div class="panel" role="dialog" aria-label={name}>
          {children()}
        </div>
      )}
    </div>
  );
}
