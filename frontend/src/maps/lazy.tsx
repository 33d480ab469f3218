/** Code that Maps can be seen without: the panels above it and the large map. */
import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Failed, Loading, messageOf } from "../async";
import type * as Dialog from "./inspect/dialog";
import type * as Panels from "./panels/panels";

interface Part<T> {
  readonly code: { value: T | null; peek: () => T | null };
  readonly error: { value: string | null };
  readonly bring: () => void;
}

/** A file that is asked for once, and after a failure under another address, because browsers remember what failed. */
function part<T>(file: string, first: () => Promise<T>): Part<T> {
  const code = signal<T | null>(null);
  const error = signal<string | null>(null);
  let times = 0;
  const bring = (): void => {
    if (code.peek() || (times && error.peek() === null)) return;
    error.value = null;
    const again = new URL(`./${file}?${times}`, /* @vite-ignore */ import.meta.url).href;
    (times++ ? (import(/* @vite-ignore */ again) as Promise<T>) : first()).then(
      (loaded) => (code.value = loaded),
      (reason: unknown) => (error.value = messageOf(reason)),
    );
  };
  return { code, error, bring };
}

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

function Needs<T>({
  of,
  what,
  children,
}: {
  of: Part<T>;
  what: string;
  children: (code: T) => ComponentChildren;
}): JSX.Element {
  useEffect(of.bring, [of]);
  if (of.code.value) return <>{children(of.code.value)}</>;
  if (of.error.value !== null) return <Failed what={what} error={of.error.value} retry={of.bring} />;
  return <Loading what={what.toLowerCase()} />;
}

/** The inside of a panel. */
export const Panel = ({ children }: { children: (code: typeof Panels) => ComponentChildren }): JSX.Element => (
  <Needs of={panels} what="The code of this panel">
    {children}
  </Needs>
);

/** One map, large. */
export const Inspected = (props: Dialog.InspectProps): JSX.Element => (
  <Needs of={dialog} what="The code of the large map">
    {({ Inspect }) => <Inspect {...props} />}
  </Needs>
);
