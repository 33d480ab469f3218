import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { axis, logged, moveBy, showView, VIEWS } from "./state";
import { AXES, axisAvailable } from "./features/axis";
import { togglePlay } from "./step_bar";

export const helpOpen = signal(false);

const KEYS: readonly (readonly [string, string])[] = [
  ["← →  or  , .", "previous, next step"],
  ["Home  End", "first, newest step (the newest is followed while training runs)"],
  ["Space", "play or pause"],
  ["1 to 6", "Overview, Maps, Features, Quality, Health, Text"],
  ["A", "next axis: step, epoch, time since the start, time of day"],
  ["/", "search, where a view has a search"],
  ["Arrows in the maps", "move over examples and steps"],
  ["D", "in Maps: the difference to this step, and back"],
  ["Enter on a map", "inspect it, large; there arrows walk, Shift and arrows read a place"],
  ["Enter on a feature or row", "keep it highlighted; again or Esc lets go"],
  ["Esc", "close"],
  ["?", "this help"],
];

const MOVES: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  ",": -1,
  ".": 1,
  Home: -Infinity,
  End: Infinity,
};

/** Fields, sliders and grids keep the keys that mean something to them. */
function keeps(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest("dialog[open], textarea, select, input:not([type=checkbox], [type=radio], [type=range])"))
    return true;
  if (key === " ") return target.closest("button, input, summary, [role=gridcell]") !== null;
  return !",.?/".includes(key) && target.closest("input, [role=grid], [role=tablist]") !== null;
}

function nextAxis(): void {
  const can = AXES.filter((one) => axisAvailable(logged.peek(), one));
  axis.value = can[(can.indexOf(axis.peek()) + 1) % can.length] ?? "step";
}

function onKeyDown(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || keeps(event.target, event.key))
    return;
  const move = MOVES[event.key];
  if (move !== undefined) moveBy(move);
  else if (event.key === " ") togglePlay();
  else if (event.key === "?") helpOpen.value = true;
  else if (event.key === "a" || event.key === "A") nextAxis();
  else if (event.key === "/") {
    const search = document.querySelector<HTMLInputElement>("#page input[type=search]");
    if (!search) return;
    search.select();
    search.focus();
  } else if (/^[1-6]$/.test(event.key)) showView(VIEWS[Number(event.key) - 1] ?? "overview");
  else return;
  event.preventDefault();
}

export function useKeys(): void {
  useEffect(() => {
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);
}

export function Help(): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (helpOpen.value) dialog.current?.showModal();
  }, [helpOpen.value]);
  return (
    <dialog ref={dialog} class="help" aria-labelledby="help-title" onClose={() => (helpOpen.value = false)}>
      <h2 id="help-title">Keys</h2>
      <dl>
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <h2>How to read it</h2>
      <p>
        The examples, their targets and the baseline stay the same over the whole run: what moves on screen is the
        model. The target is the class of the label, also where the model predicts another.
      </p>
      <form method="dialog">
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}
