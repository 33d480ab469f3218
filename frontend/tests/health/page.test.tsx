import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { App } from "../../src/app";
import * as state from "../../src/state";
import { json, safetensors, serve, settle, type Asked } from "../answers";
import { LAYERS, NORMS, STATES, STEPS } from "./make";

// what the page loads when it is first shown
await import("../../src/health/view");

const TAG = {
  name: "model_health",
  kind: "health",
  method: "model_health",
  steps: STEPS,
  wall_times: STEPS,
  epochs: STEPS.map((step) => step / 10),
  layers: 3,
  inputs: [],
};
const RUNS = ["a", "b"].map((name) => ({ name, tags: [TAG] }));
const ABOUT = {
  kind: "health",
  names: LAYERS,
  states: STATES,
  n: 64,
  dead_bound: 3 / 64,
  thresholds: { vanishing: 1e-4, exploding: 1000, exploding_update: 10, dead: 0.5, saturated: 0.5 },
  histogram_edges: [0.001, 0.01],
  missing: [] as unknown[],
};
const steps = BigInt64Array.from(STEPS, BigInt);

let checked: Float32Array | null = null;
let refused: string | null = null;
let about: Record<string, unknown> = ABOUT;
function answer({ route, query }: Asked): Response {
  if (route === "index") return json({ version: 1, revision: "a", runs: RUNS, skipped: [] });
  if (refused === query.get("run") || refused === "*") return new Response("The disk is gone.", { status: 500 });
  if (query.get("figure") === "gradient_histogram")
    return new Response(
      safetensors({ steps: [[4], steps], gradient_histogram: [[4, 1, 3], new Float32Array(12).fill(1 / 3)] }, about),
    );
  return new Response(
    safetensors(
      {
        steps: [[4], steps],
        gradient_norm: [[4, 3], Float32Array.from(NORMS)],
        weight_norm: [[4, 3], new Float32Array(12).fill(3)],
        ...(checked && { gradient_check: [[4, 3], checked] }),
        dead: [[4, 3], Float32Array.of(0, 0, 0, 0, 0.25, 0, 0, 1, 0, 0, 1, NaN)],
      },
      about,
    ),
  );
}

let root: HTMLElement;
const text = (): string => root.textContent ?? "";
const draw = async (): Promise<void> => {
  await act(async () => {
    render(<App />, root);
    await state.refresh();
    await settle();
  });
  for (let turn = 0; turn < 5; turn++) await act(() => settle());
};

beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
  refused = null;
  checked = null;
  about = ABOUT;
  serve(answer);
  state.applyLink(new Map([["view", "health"]]));
});
afterEach(() => {
  render(null, root);
  root.remove();
  state.index.value = null;
});

describe("the health view", () => {
  it("says which layer fell ill and when, for every run that is shown", async () => {
    await draw();
    expect([...root.querySelectorAll(".hx-verdicts")].map((one) => one.textContent)).toEqual([
      "✕ dead from step 20: backbone/conv_b",
      "✕ dead from step 20: backbone/conv_b",
    ]);
    expect(root.querySelectorAll("[role=grid]")).toHaveLength(2);
    expect(root.querySelector(".hx-facts")?.textContent).toContain("0 of 64 examples");
    expect(text()).toContain("Is the gradient itself right?");
    expect(text()).toContain("gradient_check=True");
  });

  it("says of which layer the gradient was wrong, where it was checked", async () => {
    checked = Float32Array.of(3e-9, 0.66, NaN, ...new Array<number>(9).fill(NaN));
    await draw();
    const rows = [...root.querySelectorAll(".hx-check tr")].map((row) =>
      [...row.children].map((cell) => cell.textContent.trim()),
    );
    expect(rows).toEqual([
      ["backbone/conv_b", "0.66", "✕ not the derivative"],
      ["dense", "3.0e−9", "✓ right"],
    ]);
    expect(root.querySelector(".hx-check")?.textContent).toContain("step 0");
  });

  it("leads from a layer's name to its first bad step, and arrows go on from there", async () => {
    await draw();
    await act(() => root.querySelector<HTMLElement>(".hx-name")?.click());
    expect(state.step.value).toBe(20);
    const cell = (): HTMLElement => root.querySelector(".hx-cell.on") as HTMLElement;
    expect(cell().getAttribute("aria-label")).toBe("backbone/conv_b, step 20: dead, gradient norm 0");
    const press = (key: string) =>
      act(() => void cell().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })));
    await press("ArrowLeft");
    expect(cell().getAttribute("aria-label")).toBe("backbone/conv_b, step 10: vanishing, gradient norm 1.0e−5");
    await press("ArrowDown");
    await press("End");
    expect(cell().getAttribute("aria-label")).toBe("head, step 30: frozen, gradient norm does not apply");
    expect(state.step.value).toBe(30);
  });

  it("shows another measure, with its scale in words", async () => {
    await draw();
    const picker = root.querySelector<HTMLSelectElement>(".hx-tools select") as HTMLSelectElement;
    picker.value = "dead";
    await act(() => void picker.dispatchEvent(new Event("change", { bubbles: true })));
    expect(root.querySelector(".hx-legend")?.textContent).toContain("linear scale");
    expect(state.currentLink().get("health.measure")).toBe("dead");
  });

  it("goes on without a run that fails, and asks again where none could be read", async () => {
    refused = "b";
    await draw();
    expect(text()).toContain("Run “b” is not shown: The disk is gone.");
    expect(root.querySelectorAll("[role=grid]")).toHaveLength(1);
    render(null, root);
    state.index.value = null;
    refused = "*";
    await draw();
    expect(root.querySelector("[role=alert]")?.textContent).toContain("The disk is gone.");
    refused = null;
    await act(() => root.querySelector<HTMLElement>("[role=alert] button")?.click());
    await act(() => settle());
    expect(root.querySelectorAll("[role=grid]")).toHaveLength(2);
  });

  it("names a step that is missing, and a log without words", async () => {
    about = { ...ABOUT, missing: [{ step: 40, reason: "The file of step 40 was deleted." }] };
    await draw();
    expect(root.querySelector("[role=gridcell]")?.getAttribute("aria-label")).toContain("step 30");
    expect(text()).not.toContain("No words for the state");
    render(null, root);
    about = { ...ABOUT, states: [null, null, null, null] };
    state.index.value = null;
    await draw();
    expect(text()).toContain("No words for the state of layers are logged.");
  });

  it("says that no run is chosen", async () => {
    await draw();
    await act(() => state.showRuns([]));
    expect(text()).toContain("No run is chosen.");
  });
});
