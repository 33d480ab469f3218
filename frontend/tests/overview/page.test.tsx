import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { App } from "../../src/app";
import { mostMoved, rightOver } from "../../src/overview/moved";
import type { Probe, Series } from "../../src/api";
import * as state from "../../src/state";
import { json, safetensors, serve, settle, type Asked } from "../answers";

// what the page loads when it is first shown
await import("../../src/overview/view");

const STEPS = [0, 5, 10];
/** Three examples: the first flips late, the second early and back, the third never. */
const PREDICTED = [1, 0, 2, 1, 1, 2, 0, 0, 2];
const OUTPUT = [-1, 1, 2, -1, -1, 3, 1, 1, 5];

const RUN = {
  name: "r",
  tags: [
    {
      name: "saliency",
      kind: "attribution",
      method: "saliency",
      steps: STEPS,
      wall_times: STEPS,
      epochs: STEPS,
      examples: 3,
      probe: "p",
      score_name: "log-odds",
      inputs: [{ name: "x", shape: [2, 2, 1], kind: "image" }],
    },
  ],
};
const FINDING = {
  rule: "class_flips",
  severity: "warning",
  first_step: 10,
  last_step: 10,
  tag: "saliency",
  text: "The predicted class of 1 of 3 examples still changed.",
  try_next: "Compare their maps.",
  evidence: { examples: [0] },
  view: "maps",
};

let findings: () => Response = () => json({ findings: [FINDING] });
function answer({ route }: Asked): Response {
  if (route === "index") return json({ version: 1, revision: "a", runs: [RUN], skipped: [] });
  if (route === "findings") return findings();
  if (route === "probe")
    return new Response(
      safetensors(
        { picture: [[3, 2, 2, 1], new Uint8Array(12)], labels: [[3], Int32Array.of(0, 0, 2)] },
        { kind: "image", examples: [0, 1, 2], class_names: ["cat", "dog", "owl"], example_names: ["a", "b", "c"] },
      ),
    );
  return new Response(
    safetensors(
      {
        steps: [[3], BigInt64Array.of(0n, 5n, 10n)],
        predicted: [[3, 3], Int32Array.from(PREDICTED)],
        output: [[3, 3], Float32Array.from(OUTPUT)],
      },
      { kind: "attribution" },
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
  state.applyLink(new Map());
  serve(answer);
});
afterEach(() => {
  render(null, root);
  root.remove();
  state.index.value = null;
});

describe("the overview", () => {
  it("opens first, with the findings in words and a way to the view that shows each", async () => {
    findings = () => json({ findings: [FINDING] });
    await draw();
    expect(root.querySelector("[role=tab][aria-selected=true]")?.textContent).toBe("Overview");
    for (const said of ["warning", "step 10", FINDING.text, FINDING.try_next, "predictions changed since"])
      expect(text()).toContain(said);
    const link = [...root.querySelectorAll("a")].find((one) => one.textContent === "Show in Maps");
    expect(link?.getAttribute("href")).toContain("p.xai.view=maps");
    await act(() => link?.click());
    expect([state.view.value, state.run.value?.name, state.tag.value?.name, state.step.value]).toEqual([
      "maps",
      "r",
      "saliency",
      10,
    ]);
  });

  it("tells how many are right, what moved, what is logged and what is not", async () => {
    await draw();
    expect(text()).toContain("examples right 3 of 3");
    expect(text()).toContain("step 0: 2 of 3");
    expect(text()).toContain("3 steps, 0 to 10");
    expect(text()).toContain("Values that add up");
    const moved = [...root.querySelectorAll(".ov-moved .name")].map((one) => one.textContent);
    expect(moved).toEqual(["b", "a", "c"]);
  });

  it("names what was checked where nothing was found", async () => {
    findings = () => json({ findings: [] });
    await draw();
    expect(text()).toContain("Nothing suspicious was found in what is logged: looked for values that are not finite");
    expect(text()).toContain("Only 3 steps are logged so far");
  });

  it("shows the server's words when the findings fail, and asks again", async () => {
    findings = () => new Response("The rules are out.", { status: 500 });
    await draw();
    expect(root.querySelector("[role=alert]")?.textContent).toContain("The rules are out.");
    findings = () => json({ findings: [FINDING] });
    await act(() => root.querySelector<HTMLElement>("[role=alert] button")?.click());
    await act(() => settle());
    expect(text()).toContain(FINDING.text);
  });

  it("says that no run is chosen", async () => {
    await draw();
    await act(() => state.showRuns([]));
    expect(text()).toContain("No run is chosen.");
  });
});

describe("examples", () => {
  const series = {
    steps: Float64Array.from(STEPS),
    arrays: new Map([
      ["predicted", { shape: [3, 3], data: Int32Array.from(PREDICTED) }],
      ["output", { shape: [3, 3], data: Float32Array.from(OUTPUT) }],
    ]),
  } as unknown as Series;

  it("are ordered by flips, then by how late, then by how far their score moved", () => {
    expect(mostMoved(series, 3, 2)).toEqual([
      { example: 1, flips: 2, last: { step: 10, from: 1, to: 0 }, change: 0 },
      { example: 0, flips: 1, last: { step: 10, from: 1, to: 0 }, change: 2 },
    ]);
    expect(mostMoved(series, 3, 9)[2]).toEqual({ example: 2, flips: 0, last: null, change: 3 });
  });

  it("are counted as right where they have classes", () => {
    const probe = {
      labels: { shape: [3], data: Int32Array.of(0, 0, 2) },
      labels_are_classes: true,
    } as unknown as Probe;
    expect(rightOver(series, probe, 3)).toEqual([2, 1, 3]);
    expect(rightOver(series, null, 3)).toBeNull();
  });
});
