/** Code that Maps can be seen without: the panels above it and the large map. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Needs, part } from "../lazy";
import type * as Dialog from "./inspect/dialog";
import type * as Panels from "./panels/panels";

export const panels = part<typeof Panels>("panels.js", () => import("./panels/panels"));
const dialog = part<typeof Dialog>("inspect.js", () => import("./inspect/dialog"));

/** Brings the panels when there is nothing more urgent. */
export function useLazyPanels(ready: boolean): void {
  useEffect(() => {
    if (!ready) return;
    const timer = setTimeout(panels.bring, 200);
    return () => clearTimeout(timer);
  }, [ready]);
}

/** The inside of a panel. */
export const Panel = ({ children }: { children: (code: typeof Panels) => ComponentChildren }): JSX.Element => (
  <Needs of={panels} what="this panel">
    {children}
  </Needs>
);

/** One map, large. */
export const Inspected = (props: Dialog.InspectProps): JSX.Element => (
  <Needs of={dialog} what="the large map">
    {({ Inspect }) => <Inspect {...props} />}
  </Needs>
);
