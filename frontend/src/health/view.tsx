import type { JSX } from "preact";
import { tag } from "../state";
import { adopt } from "../style";
import css from "./health.css?inline";

adopt(css);

export function Page(): JSX.Element {
  return <section class="state">{tag.value?.name}</section>;
}
