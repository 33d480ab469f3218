/** The views. The code of each is a file of its own, which is loaded when the view is first shown. */
import type { JSX } from "preact";
import { Loading } from "./async";
import { Needs, part, type Part } from "./lazy";
import type { View } from "./state";

interface Code {
  Page: () => JSX.Element;
}

export const TITLES: Readonly<Record<View, string>> = {
  overview: "Overview",
  maps: "Maps",
  features: "Features",
  quality: "Quality",
  health: "Health",
  text: "Text",
};

const PARTS: Readonly<Record<View, Part<Code>>> = {
  overview: part("overview.js", () => import("./overview/view")),
  maps: part("maps.js", () => import("./maps/view")),
  features: part("features.js", () => import("./features/view")),
  quality: part("quality.js", () => import("./quality/view")),
  health: part("health.js", () => import("./health/view")),
  text: part("text.js", () => import("./text/view")),
};

/** Starts loading a view's code. */
export const bring = (which: View): void => PARTS[which].bring();

/** A view, or that its code is on its way or could not be loaded. */
export const PageOf = ({ which }: { which: View }): JSX.Element => (
  <Needs of={PARTS[which]} what={`“${TITLES[which]}”`} waiting={<Loading what={TITLES[which].toLowerCase()} />}>
    {({ Page }) => <Page />}
  </Needs>
);
