import { h, render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { App } from "../src/app";
import { Ready, useRequest } from "../src/async";
import { wordFor } from "../src/maps/cell";
import { forget } from "../src/maps/store";
import { matching } from "../src/extras/run_list";
import * as state from "../src/state";
import { stepName } from "../src/step_bar";
import { json, safetensors, serve, settle, type Asked } from "./answers";

let root: HTMLElement;
// what the page loads when it is first shown
await import("../src/maps/view");
await import("../src/extras/extras");
const text = (): string => root.textContent ?? "";
const draw = async (): Promise<void> => {
  await act(async () => {
    render(<App />, root);
    await state.refresh();
    await settle();
  });
};
const press = (key: string, on: Element = document.body): Promise<void> =>
  act(() => void on.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true })));

const STEPS = [0, 5, 10];
const HOSTILE = "<img src=x onerror=alert(1)>";
const INDEX = {
  version: 1,
  revision: "a",
  skipped: [{ run: "r", tag: "new", reason: "written by version 2" }],
  runs: [
    {
      name: HOSTILE,
      tags: [
        {
          name: "saliency",
          kind: "attribution",
          method: "saliency",
          signed: true,
          steps: STEPS,
          wall_times: STEPS,
          epochs: STEPS,
          examples: 2,
          probe: "p",
          score_name: "log-odds",
          inputs: [{ name: "x", shape: [2, 2, 1], kind: "image" }],
        },
      ],
    },
  ],
};

function answer({ route, query }: Asked): Response {
  if (route === "index") return json(query.get("revision") === "a" ? { unchanged: true } : INDEX);
  if (route === "probe")
    return new Response(
      safetensors(
        { picture: [[2, 2, 2, 1], new Uint8Array(8)], labels: [[2], Int32Array.of(0, 1)] },
        { kind: "image", examples: [0, 1], class_names: ["cat", "dog"], example_names: null },
      ),
    );
  if (route === "series")
    return new Response(
      safetensors(
        {
          steps: [[3], BigInt64Array.of(0n, 5n, 10n)],
          predicted: [[3, 2], Int32Array.of(1, 1, 0, 1, 0, 1)],
          confidence: [[3, 2], new Float32Array(6).fill(0.75)],
        },
        { kind: "attribution" },
      ),
    );
  const steps = query.getAll("step").map(Number);
  const arrays = Object.fromEntries(
    steps
      .filter((step) => step !== 5)
      .flatMap((step) => [
        [`maps/${step}`, [[2, 2, 2], Uint8Array.of(0, 127, 127, 254, 127, 127, 127, 127)]],
        [`low/${step}`, [[2], Float32Array.of(-0.5, 0)]],
        [`high/${step}`, [[2], Float32Array.of(0.5, 0)]],
      ]),
  ) as Parameters<typeof safetensors>[0];
  const missing = steps.includes(5) ? [{ step: 5, reason: "its file is cut off" }] : [];
  return new Response(safetensors(arrays, { steps: steps.filter((step) => step !== 5), examples: [0, 1], missing }));
}

beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
  // happy-dom lays nothing out
  for (const [side, value] of Object.entries({ clientWidth: 900, clientHeight: 600 }))
    Object.defineProperty(HTMLElement.prototype, side, { configurable: true, get: () => value });
  state.applyLink(new Map([["view", "maps"]]));
});
afterEach(() => {
  render(null, root);
  root.remove();
  forget();
  state.index.value = null;
  state.indexError.value = null;
});

describe("states", () => {
  it("says that it is loading", async () => {
    serve(() => new Promise<Response>(() => undefined));
    await act(() => render(<App />, root));
    expect(text()).toContain("Loading what is logged");
  });

  it("shows the lines to copy when nothing is logged", async () => {
    serve(() => json({ version: 1, revision: "e", runs: [], skipped: [] }));
    // an earlier test's request may still be the one in flight
    await act(() => settle());
    state.index.value = { version: 1, revision: "e", runs: [], skipped: [] };
    await draw();
    await vi.waitFor(() => expect(text()).toContain("No explanations are logged yet"));
    expect(root.querySelector("pre")?.textContent).toContain("SaliencyCallback");
    expect([...root.querySelectorAll("button")].map((button) => button.textContent)).toContain("Copy");
  });
});

describe("maps", () => {
  beforeEach(async () => {
    serve(answer);
    state.index.value = structuredClone(INDEX) as typeof state.index.value;
    await draw();
  });

  it("labels every map for a screen reader, with its state, prediction and change", () => {
    const labels = [...root.querySelectorAll("[role=gridcell]")].map((cell) => cell.getAttribute("aria-label"));
    expect(labels).toEqual([
      "example 0, step 0, untrained, predicted dog, peak 0.5",
      "example 0, step 5, predicted cat (changed from dog), missing: its file is cut off",
      "example 0, step 10, predicted cat, peak 0.5",
      "example 1, step 0, untrained, predicted dog, all zero",
      "example 1, step 5, predicted dog, missing: its file is cut off",
      "example 1, step 10, predicted dog, all zero",
    ]);
  });

  it("names missing steps with the server's reason, and what is skipped", async () => {
    await vi.waitFor(() => expect(text()).toContain("A step has no maps: 5"), 5000);
    expect(text()).toContain("step 5: its file is cut off");
    expect(text()).toContain("written by version 2");
  });

  it("shows names as text, whatever they hold", () => {
    expect(root.querySelector("img")).toBeNull();
    expect(text()).toContain(HOSTILE);
  });

  it("moves the cursor by keys, and the focus by arrows in the grid", async () => {
    expect(state.step.value).toBe(10);
    await press("ArrowLeft");
    expect(state.step.value).toBe(5);
    await press("Home");
    expect(state.step.value).toBe(0);
    await press(".");
    expect(state.step.value).toBe(5);
    const cells = [...root.querySelectorAll<HTMLElement>("[role=gridcell]")];
    expect(cells.filter((cell) => cell.tabIndex === 0)).toHaveLength(1);
    cells[0]?.focus();
    await press("ArrowDown", cells[0]);
    expect(document.activeElement?.getAttribute("aria-label")).toMatch(/^example 1, step 0/);
    expect(state.step.value).toBe(5);
  });

  it("has the tab list, one current column and one slider over the exact steps", () => {
    expect(root.querySelectorAll("[role=tab]")).toHaveLength(6);
    expect(root.querySelector("[aria-current=step]")?.textContent).toBe("10");
    const slider = root.querySelector<HTMLInputElement>("input[type=range]");
    expect([slider?.max, slider?.getAttribute("aria-valuetext")]).toEqual(["2", "step 10"]);
  });
});

describe("a request", () => {
  it("shows what it is, fails with words, and succeeds on retry", async () => {
    let fail = true;
    const Probe = () => {
      const answer = useRequest("key", () =>
        fail ? Promise.reject(new Error("no such run")) : Promise.resolve("fine"),
      );
      return (
        <Ready of={answer} what="Curves">
          {(value) => <b>{value}</b>}
        </Ready>
      );
    };
    await act(async () => {
      render(h(Probe, {}), root);
      await settle();
    });
    expect(root.querySelector("[role=alert]")?.textContent).toContain("no such run");
    fail = false;
    await act(() => root.querySelector("button")?.click());
    await act(() => settle());
    expect(root.querySelector("b")?.textContent).toBe("fine");
  });

  it("gives up the answer of an earlier key", async () => {
    const answers: ((value: string) => void)[] = [];
    const signals: AbortSignal[] = [];
    const Probe = ({ of }: { of: string }) => {
      const answer = useRequest(of, (signal) => {
        signals.push(signal);
        return new Promise<string>((resolve) => answers.push(resolve));
      });
      return <b>{answer.state === "ready" ? answer.value : answer.state}</b>;
    };
    await act(() => render(<Probe of="one" />, root));
    await act(() => render(<Probe of="two" />, root));
    await act(async () => {
      answers[1]?.("second");
      answers[0]?.("first");
      await settle();
    });
    expect(signals.map((signal) => signal.aborted)).toEqual([true, false]);
    expect(root.textContent).toBe("second");
  });
});

describe("words", () => {
  it("are one per state", () => {
    expect([wordFor("loading"), wordFor({ none: "not logged", reason: "x" }), wordFor("failed")]).toEqual([
      "loading",
      "not logged",
      "not loaded",
    ]);
  });

  it("name steps with the epoch where it is another number", () => {
    expect([stepName(0, 0), stepName(5, 5), stepName(900, 2.25), stepName(7, Number.NaN)]).toEqual([
      "step 0, untrained",
      "step 5",
      "step 900, epoch 2.25",
      "step 7",
    ]);
  });

  it("filter runs by an expression, or by its text while it is unfinished", () => {
    const runs = ["a1", "b2", "c(3"].map((name) => ({ name, tags: [] }));
    expect(matching(runs, "^[ab]").map((run) => run.name)).toEqual(["a1", "b2"]);
    expect(matching(runs, "(").map((run) => run.name)).toEqual(["c(3"]);
  });
});
