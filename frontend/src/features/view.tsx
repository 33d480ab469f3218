import type { JSX } from "preact";

export function FeaturesView(): JSX.Element {
  return <p class="state">Features</p>;
}
