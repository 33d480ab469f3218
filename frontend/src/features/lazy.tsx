/** The panel of examples: code that the other panels can be seen without. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Failed, messageOf } from "../async";
import type { SwarmPanel } from "./examples/panel";
import { marks, type Model } from "./model";
import type { Theme } from "./paint";

interface Code {
  SwarmPanel: typeof SwarmPanel;
}

const code = signal<Code | null>(null);
const failed = signal<string | null>(null);
let times = 0;

/** Asks for it once, and after a failure under another address, because browsers remember what failed. */
function bring(): void {
  if (code.peek() || (times && failed.peek() === null)) return;
  failed.value = null;
  const again = new URL(`./examples.js?${times}`, /* @vite-ignore */ import.meta.url).href;
  const asked = times++ ? (import(/* @vite-ignore */ again) as Promise<Code>) : import("./examples/panel");
  asked.then(
    (loaded) => (code.value = loaded),
    (reason: unknown) => (failed.value = messageOf(reason)),
  );
}

export function Examples(props: { model: Model; theme: Theme }): JSX.Element | null {
  useEffect(bring, []);
  const loaded = code.value;
  if (loaded) return <loaded.SwarmPanel {...props} marks={marks} />;
  if (failed.value === null) return null;
  return <Failed what="The code of the examples" error={failed.value} retry={bring} />;
}
