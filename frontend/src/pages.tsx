/** The views. The code of each is a file of its own, which is loaded when the view is first shown. */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { Failed, Loading, messageOf } from "./async";
import type { View } from "./state";

type Page = () => JSX.Element;

export const TITLES: Readonly<Record<View, string>> = {
  overview: "Overview",
  maps: "Maps",
  features: "Features",
  quality: "Quality",
  health: "Health",
  text: "Text",
};

const FILES: Readonly<Record<View, () => Promise<{ Page: Page }>>> = {
  overview: () => import("./overview/view"),
  maps: () => import("./maps/view"),
  features: () => import("./features/view"),
  quality: () => import("./quality/view"),
  health: () => import("./health/view"),
  text: () => import("./text/view"),
};

const loaded = signal<Partial<Record<View, Page>>>({});
const failed = signal<Partial<Record<View, string>>>({});
/** How often a view's code was asked for. */
const asked = new Map<View, number>();

/** Loads a view's code; a second time under another address, because browsers remember what failed. */
async function load(which: View): Promise<void> {
  const times = asked.get(which) ?? 0;
  asked.set(which, times + 1);
  failed.value = { ...failed.peek(), [which]: undefined };
  try {
    const again = new URL(`./${which}.js?${times}`, /* @vite-ignore */ import.meta.url).href;
    const { Page } = await (times
      ? (import(/* @vite-ignore */ again) as ReturnType<(typeof FILES)[View]>)
      : FILES[which]());
    loaded.value = { ...loaded.peek(), [which]: Page };
  } catch (error) {
    failed.value = { ...failed.peek(), [which]: messageOf(error) };
  }
}

/** Starts loading a view's code, if nobody has. */
export function bring(which: View): void {
  if (!asked.has(which)) void load(which);
}

/** A view, or that its code is on its way or could not be loaded. */
export function PageOf({ which }: { which: View }): JSX.Element {
  useEffect(() => bring(which), [which]);
  const Page = loaded.value[which];
  const error = failed.value[which];
  if (Page) return <Page />;
  if (error === undefined) return <Loading what={TITLES[which].toLowerCase()} />;
  return (
    <Failed
      what={`The code of “${TITLES[which]}”`}
      error={`${error}. If tb_xai was updated while this page was open, reload the page.`}
      retry={() => void load(which)}
    />
  );
}
