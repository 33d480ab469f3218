/** TensorBoard around the page: theme, run colours, address and messages. Works the same without it. */
import { signal } from "@preact/signals";

const PALETTE = ["#425066", "#12b5cb", "#e52592", "#f9ab00", "#9334e6", "#7cb342", "#e8710a"] as const;

export const theme = signal<"light" | "dark">("light");

const hostRuns = signal<readonly string[]>([]);

/** What the window around us allows, or `fallback` when it is out of reach. */
function attempt<T>(fallback: T, read: () => T): T {
  try {
    return read();
  } catch {
    return fallback;
  }
}

/** The window that holds the address: TensorBoard's when we may touch it, else our own. */
function frame(): Window {
  return attempt<Window>(window, () => (window.parent.document.body ? window.parent : window));
}

/** TensorBoard's colour of a run (our records stand in its `xai` sub-run). */
export function runColour(name: string, among: readonly string[] = []): string {
  const hosted = hostRuns.value;
  const sub = name === "." || name === "" ? "xai" : `${name}/xai`;
  const at = [hosted.indexOf(sub), hosted.indexOf(name), among.indexOf(name), 0].find((place) => place >= 0) ?? 0;
  return PALETTE[at % PALETTE.length] ?? PALETTE[0];
}

/** The whole address of the page with another hash: what a link to it holds. */
export const addressWith = (hash: string): string =>
  attempt(hash, () => frame().location.href.replace(/#.*$/, "") + hash);

export const readHash = (): string => attempt("", () => frame().location.hash);

export function writeHash(hash: string): void {
  attempt(undefined, () => {
    const { location, history } = frame();
    if (location.hash !== hash) history.replaceState(history.state, "", location.pathname + location.search + hash);
  });
}

export function onHashChange(listener: () => void): void {
  attempt(undefined, () => {
    frame().addEventListener("hashchange", listener);
    frame().addEventListener("popstate", listener);
  });
}

/** TensorBoard hides a tab by giving it no height; the document still counts as visible. */
export const isVisible = (): boolean => window.innerHeight > 0 && document.visibilityState === "visible";

function followTheme(): void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const body = frame() === window ? null : attempt(null, () => window.parent.document.body);
  const update = (): void => {
    const on = body ? attempt(dark.matches, () => body.classList.contains("dark-mode")) : dark.matches;
    theme.value = on ? "dark" : "light";
    document.documentElement.dataset["theme"] = theme.value;
  };
  dark.addEventListener("change", update);
  if (body) new MutationObserver(update).observe(body, { attributeFilter: ["class"] });
  update();
}

interface Message {
  type?: string;
  id?: number;
  payload?: unknown;
  error?: string | null;
  isReply?: boolean;
}

/** Speaks TensorBoard's (unpublished) bridge: asks for the runs and hears of reloads. */
function connect(onReload: () => void): void {
  if (window.parent === window) return;
  const { port1, port2 } = new MessageChannel();
  let id = 0;
  const askRuns = (): void => {
    port1.postMessage(
      JSON.stringify({ type: "experimental.GetRuns", id: id++, payload: null, error: null, isReply: false }),
    );
  };
  port1.onmessage = ({ data }: MessageEvent<string>) => {
    const message = JSON.parse(data) as Message;
    if (message.isReply) {
      if (Array.isArray(message.payload)) hostRuns.value = message.payload.map(String);
      return;
    }
    port1.postMessage(
      JSON.stringify({ type: message.type, id: message.id, payload: null, error: null, isReply: true }),
    );
    askRuns();
    onReload();
  };
  attempt(undefined, () => window.parent.postMessage("experimental.bootstrap", "*", [port2]));
  askRuns();
}

/** Starts following the host; `onReload` is called when TensorBoard has read new data. */
export function followHost(onReload: () => void): void {
  followTheme();
  attempt(undefined, () => connect(onReload));
}
