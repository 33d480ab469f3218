import type { JSX } from "preact";
import { runColour } from "./host";
import { runs } from "./state";

/** TensorBoard’s colour of a run. */
export function Swatch({ name }: { name: string }): JSX.Element {
  const colour = runColour(
    name,
    runs.value.map((one) => one.name),
  );
  return <span class="swatch" style={{ background: colour }} aria-hidden="true" />;
}
