import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { helpOpen } from "../keys";

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
  ["Shift and ← → on the dots", "in Features: example by example, in the order of their values"],
  ["Esc", "close"],
  ["?", "this help"],
];

export function Help(): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
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
