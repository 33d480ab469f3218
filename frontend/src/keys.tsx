import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { axis, logged, moveBy, showView, VIEWS } from "./state";
import { AXES, axisAvailable } from "./axis";
import { togglePlay } from "./step_bar";

export const helpOpen = signal(false);

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
