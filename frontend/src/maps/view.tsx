import type { JSX } from "preact";

export function MapsView(): JSX.Element {
  return <p class="state">Maps</p>;
}
