/** The panel of examples: code that the other panels can be seen without. */
import type { JSX } from "preact";
import { Needs, part } from "../lazy";
import type { SwarmPanel } from "./examples/panel";
import { marks, type Model } from "./model";
import type { Theme } from "./paint";

interface Code {
  SwarmPanel: typeof SwarmPanel;
}

const examples = part<Code>("examples.js", () => import("./examples/panel"));

export const Examples = (props: { model: Model; theme: Theme }): JSX.Element => (
  <Needs of={examples} what="the examples" waiting={null}>
    {({ SwarmPanel }) => <SwarmPanel {...props} marks={marks} />}
  </Needs>
);
