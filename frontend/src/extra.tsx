/** Parts of the shell that nobody sees at first: help, lists that open, the page of an empty log. */
import type { ComponentChildren, JSX } from "preact";
import type * as Extras from "./extras/extras";
import { Needs, part } from "./lazy";

export const extras = part<typeof Extras>("extras.js", () => import("./extras/extras"));

export const Extra = (props: {
  what: string;
  waiting?: ComponentChildren;
  children: (code: typeof Extras) => ComponentChildren;
}): JSX.Element => <Needs of={extras} {...props} />;
