/** Code that is a file of its own, loaded when it is wanted. */
import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Failed, Loading, messageOf } from "./async";

export interface Part<T> {
  readonly code: { value: T | null; peek: () => T | null };
  readonly error: { value: string | null };
  /** asks for it, unless it is here or on its way */
  readonly bring: () => void;
}

/** A file that is asked for once, and after a failure under another address, because browsers remember what failed. */
export function part<T>(file: string, first: () => Promise<T>): Part<T> {
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

/** What is drawn with a part's code, or that the code is on its way or could not be loaded. */
export function Needs<T>({
  of,
  what,
  waiting,
  children,
}: {
  of: Part<T>;
  what: string;
  /** what stands there until then: at first that it is loading */
  waiting?: ComponentChildren;
  children: (code: T) => ComponentChildren;
}): JSX.Element {
  useEffect(of.bring, [of]);
  if (of.code.value) return <>{children(of.code.value)}</>;
  if (of.error.value === null) return <>{waiting === undefined ? <Loading what={what} /> : waiting}</>;
  return (
    <Failed
      what={`The code of ${what}`}
      error={`${of.error.value}. If tb_xai was updated while this page was open, reload the page.`}
      retry={of.bring}
    />
  );
}
