import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { App } from "../../src/app";
import * as state from "../../src/state";
import { forget } from "../../src/text/load";
import { json, safetensors, serve, settle, type Asked } from "../answers";

// what the page loads when it is first shown
await import("../../src/text/view");

const STEPS = [0, 5, 10];
const HOSTILE = "<img src=x onerror=alert(1)>";
const TOKENS = [
  ["good", HOSTILE, "film", "[pad]", "[pad]", "[pad]"],
  ["סרט", "טוב", "מאוד"],
  ["all", "zero", "here"],
];
const VALUES = new Map([
  [0, [1, -1, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
  [5, [2, -4, NaN, 0.5, 0.5, 0, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
]);
const TAG = {
  name: "ig",
  kind: "attribution",
  method: "integrated_gradients",
  steps: STEPS,
  wall_times: [1, 2, 3],
  epochs: STEPS,
  examples: 3,
  probe: "p",
  score_name: "log-odds",
  inputs: [{ name: "x", shape: [6], kind: "sequence", tokens: true }],
};

let broken = false;
function answer({ route, query }: Asked): Response {
  if (route === "index") return json({ version: 1, revision: "a", runs: [{ name: "r", tags: [TAG] }], skipped: [] });
  if (route === "probe")
    return new Response(
      safetensors(
        { labels: [[3], Int32Array.of(1, 0, 1)] },
        {
          kind: "sequence",
          examples: [0, 1, 2],
          class_names: ["bad", "fine"],
          example_names: ["first", "rtl", "2"],
          tokens: TOKENS,
        },
      ),
    );
  if (route === "attributions") {
    if (broken) return new Response("The disk is gone.", { status: 500 });
    const asked = query
      .getAll("step")
      .flatMap((one) => one.split(","))
      .map(Number);
    const steps = asked.filter((step) => VALUES.has(step));
    return new Response(
      safetensors(
        Object.fromEntries(
          steps.map((step) => [`maps/${step}`, [[3, 1, 6], Float32Array.from(VALUES.get(step) ?? [])]]),
        ),
        {
          steps,
          shape: [1, 6],
          missing: asked.filter((s) => !VALUES.has(s)).map((step) => ({ step, reason: "The file was deleted." })),
        },
      ),
    );
  }
  return new Response(
    safetensors(
      {
        steps: [[3], BigInt64Array.of(0n, 5n, 10n)],
        predicted: [[3, 3], Int32Array.of(0, 0, 1, 1, 0, 1, 1, 0, 0)],
        confidence: [[3, 3], new Float32Array(9).fill(0.75)],
      },
      { kind: "attribution" },
    ),
  );
}

let root: HTMLElement;
const all = (selector: string): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(selector)];
const label = (of: string): string[] =>
  all(`.tx-example[aria-label="${of}"] [role=option]`).map((one) => one.getAttribute("aria-label") ?? "");
const draw = async (): Promise<void> => {
  await act(async () => {
    render(<App />, root);
    await state.refresh();
    await settle();
  });
  for (let turn = 0; turn < 6; turn++) await act(() => settle());
};

beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
  broken = false;
  forget();
  serve(answer);
  state.applyLink(
    new Map([
      ["view", "text"],
      ["step", "5"],
    ]),
  );
});
afterEach(() => {
  render(null, root);
  root.remove();
  state.index.value = null;
});

describe("the text view", () => {
  it("tells of each word what it does to the score; markup is text", async () => {
    await draw();
    expect(label("first")).toEqual([
      "good: +2, raises the score",
      `${HOSTILE}: −4, lowers the score`,
      "film: not finite",
      "[pad] × 3: +1, raises the score",
    ]);
    expect(root.querySelector("img")).toBeNull();
    const words = all('.tx-example[aria-label="first"] [role=option]');
    expect(words.map((one) => one.className)).toEqual(["tx-word up", "tx-word down", "tx-word nan", "tx-word up"]);
    expect(words[1]?.style.getPropertyValue("--thick")).toBe("5.00px");
  });

  it("runs from right to left where a text does, and says what is all zero", async () => {
    await draw();
    expect(all(".tx-example .tx-text").map((one) => one.dir)).toEqual(["ltr", "rtl", "ltr"]);
    const zero = root.querySelector('.tx-example[aria-label="text 2"]');
    expect(zero?.querySelector(".tx-state")?.textContent).toBe("all zero");
  });

  it("marks what is wrong and what changed, and filters by it and by a regular expression", async () => {
    await draw();
    const said = (of: string): string =>
      root.querySelector(`.tx-example[aria-label="${of}"] .tx-said`)?.textContent ?? "";
    expect(said("first")).toBe("label fine✓ predicted fine (0.75)⇄ changed once");
    await act(() => state.moveTo(0));
    expect(said("first")).toBe("label fine✗ predicted bad (0.75), wrong");
    const search = root.querySelector<HTMLInputElement>(".tx-tools input") as HTMLInputElement;
    search.value = "^rtl|zero$";
    await act(() => void search.dispatchEvent(new Event("input", { bubbles: true })));
    expect(all(".tx-example").map((one) => one.getAttribute("aria-label"))).toEqual(["rtl"]);
    expect(root.querySelector(".tx-tools [role=status]")?.textContent).toBe("1 of 3 texts");
    search.value = "nothing like it";
    await act(() => void search.dispatchEvent(new Event("input", { bubbles: true })));
    expect(root.textContent).toContain("No text matches.");
  });

  it("chooses the strongest word first, and arrows choose the next one in reading direction", async () => {
    await draw();
    expect(root.querySelector(".tx-chosen")?.textContent).toContain(`${HOSTILE} token 2−4, lowers the score at step 5`);
    const press = (key: string) => {
      const at = document.activeElement ?? document.body;
      return act(() => void at.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })));
    };
    const [first, second] = all('.tx-example[aria-label="rtl"] [role=option]');
    first?.focus();
    await press("ArrowLeft");
    expect(document.activeElement).toBe(second);
    expect(root.querySelector(".tx-chosen")?.textContent).toContain("טוב token 2+2, raises the score at step 5");
    expect(state.step.value).toBe(5);
  });

  it("names a step whose file is gone, and offers a retry when the server fails", async () => {
    await draw();
    await act(() => state.moveTo(10));
    expect(root.querySelector(".tx-example .tx-state")?.textContent).toBe("missing: The file was deleted.");
    render(null, root);
    forget();
    state.index.value = null;
    broken = true;
    await draw();
    expect(root.querySelector("[role=alert]")?.textContent).toContain("The disk is gone.");
    expect(root.querySelector(".tx-example")?.textContent).toContain("loading");
    broken = false;
    await act(() => root.querySelector<HTMLElement>("[role=alert] button")?.click());
    for (let turn = 0; turn < 4; turn++) await act(() => settle());
    expect(root.querySelector("[role=alert]")).toBeNull();
  });
});
