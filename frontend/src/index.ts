import { h, render as draw } from "preact";
import { App } from "./app";
import { followHost } from "./host";
import { bring } from "./pages";
import { followAddress, poll, refresh, view } from "./state";
import { adopt } from "./style";
import css from "./styles.css?inline";

/** TensorBoard calls this once in the plugin's frame. */
export async function render(): Promise<void> {
  const asked = refresh();
  document.documentElement.lang = "en";
  document.title = "Explanations";
  adopt(css);
  followHost(() => void refresh());
  followAddress();
  bring(view.peek());
  const root = document.createElement("div");
  root.id = "tb-xai";
  document.body.append(root);
  draw(h(App, null), root);
  poll();
  await asked;
}
