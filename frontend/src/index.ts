import "./styles.css";
import { h, render as draw } from "preact";
import { App } from "./app";
import { followHost } from "./host";
import { bring } from "./pages";
import { followAddress, poll, refresh, view } from "./state";

/** TensorBoard calls this once in the plugin's frame. */
export async function render(): Promise<void> {
  const asked = refresh();
  document.documentElement.lang = "en";
  document.title = "Explanations";
  const sheet = document.createElement("link");
  sheet.rel = "stylesheet";
  sheet.href = new URL(/* @vite-ignore */ "./index.css", import.meta.url).href;
  const styled = new Promise((resolve) => {
    sheet.onload = sheet.onerror = resolve;
  });
  document.head.append(sheet);
  followHost(() => void refresh());
  followAddress();
  bring(view.peek());
  await styled;
  const root = document.createElement("div");
  root.id = "tb-xai";
  document.body.append(root);
  draw(h(App, null), root);
  poll();
  await asked;
}
