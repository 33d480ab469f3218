/** A request is loading, ready or failed, and each looks the same everywhere. */
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";

export type Async<T> =
  | { state: "loading"; last: T | null }
  | { state: "ready"; value: T }
  | { state: "failed"; error: string; last: T | null; retry: () => void };

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Loads again whenever `key` changes (null: nothing to load) and gives up the request that is no longer wanted.
 * `last` is what was shown before, so that a view need not blink.
 */
export function useRequest<T>(key: string | null, load: (signal: AbortSignal) => Promise<T>): Async<T> {
  const [attempt, setAttempt] = useState(0);
  const [answer, setAnswer] = useState<Async<T> & { key: string | null }>({ state: "loading", last: null, key: null });
  useEffect(() => {
    if (key === null) return;
    const control = new AbortController();
    const last = answer.state === "ready" ? answer.value : answer.last;
    setAnswer({ state: "loading", last, key });
    load(control.signal).then(
      (value) => {
        if (!control.signal.aborted) setAnswer({ state: "ready", value, key });
      },
      (error: unknown) => {
        if (control.signal.aborted) return;
        setAnswer({ state: "failed", error: messageOf(error), last, retry: () => setAttempt((n) => n + 1), key });
      },
    );
    return () => control.abort();
  }, [key, attempt]);
  if (answer.key === key || answer.state === "loading") return answer;
  return { state: "loading", last: answer.state === "ready" ? answer.value : answer.last };
}

export function Loading({ what }: { what: string }): JSX.Element {
  return (
    <p class="state loading" role="status">
      <span class="spinner" aria-hidden="true" /> Loading {what}…
    </p>
  );
}

export function Failed({ what, error, retry }: { what: string; error: string; retry: () => void }): JSX.Element {
  return (
    <div class="state failed" role="alert">
      <p>
        <strong>{what} could not be loaded.</strong>
      </p>
      <p class="words">{error}</p>
      <button type="button" onClick={retry}>
        Retry
      </button>
    </div>
  );
}

/** Draws a request: its loading and failed looks, or `children` with the value. */
export function Ready<T>({
  of,
  what,
  children,
}: {
  of: Async<T>;
  what: string;
  children: (value: T) => ComponentChildren;
}): JSX.Element {
  if (of.state === "failed") return <Failed what={what} error={of.error} retry={of.retry} />;
  if (of.state === "ready") return <>{children(of.value)}</>;
  if (of.last !== null) return <>{children(of.last)}</>;
  return <Loading what={what.toLowerCase()} />;
}
