import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { App } from "../../src/app";
import * as state from "../../src/state";
import { json, safetensors, serve, settle, type Asked } from "../answers";

// what the page loads when it is first shown
await import("../../src/quality/view");

const STEPS = [0, 5, 10];
const tagOf = (name: string) => ({
  name,
  kind: "attribution",
  method: name,
  steps: STEPS,
  wall_times: STEPS,
  epochs: STEPS,
  examples: 2,
  probe: "p",
  score_name: "log-odds",
  inputs: [{ name: "x", shape: [2, 2, 1], kind: "image" }],
});
const run = (name: string) => ({ name, tags: [tagOf("ig"), tagOf("saliency")] });
let runs = [run("r")];

const NAN = Number.NaN;
const table = (...values: number[]): [number[], Float32Array] => [[3, 2], Float32Array.from(values)];
const axes = {
  steps: [[3], BigInt64Array.of(0n, 5n, 10n)] as [number[], BigInt64Array],
  wall_times: [[3], Float64Array.from(STEPS)] as [number[], Float64Array],
  epochs: [[3], Float64Array.from(STEPS)] as [number[], Float64Array],
};

function seriesOf(tag: string | null): Response {
  const common = {
    ...axes,
    output: table(0, 0, 1, 1, 2, 2),
    entropy: table(3, 3, 2, 2, 1, 1),
    predicted: [[3, 2], Int32Array.of(0, 0, 0, 1, 0, 0)] as [number[], Int32Array],
  };
  const quality = { faithfulness: table(0.1, NAN, 0.5, 0.7, 0.9, 0.8), gap: table(0.01, 0.02, 0.01, 0.01, 0.2, 0.1) };
  return new Response(
    safetensors(tag === "ig" ? { ...common, ...quality } : common, {
      kind: "attribution",
      missing: [],
      reasons: tag === "ig" ? { infidelity: "It was switched off." } : { gap: "Gradients do not add up to anything." },
    }),
  );
}

const driftAnswer = (complete: boolean): Response =>
  new Response(
    safetensors(
      {
        steps: axes.steps,
        against: [[3], BigInt64Array.of(-1n, 0n, 5n)],
        value: table(NAN, NAN, complete ? 0.25 : NAN, complete ? 0.75 : NAN, 0.5, 0.9),
        mean: [[3], Float64Array.of(NAN, complete ? 0.5 : NAN, 0.7)],
        floor_mean: [[3], Float64Array.of(NAN, complete ? 1 : NAN, 1)],
      },
      {
        deterministic: true,
        complete,
        reasons: ["Nothing was logged before this step.", complete ? null : "It is not computed yet: ask again.", null],
      },
    ),
  );

let asked: Asked[] = [];
let series: (tag: string | null) => Response = seriesOf;
let drift: () => Response = () => driftAnswer(true);
let version = 0;
function answer({ route, query }: Asked): Response {
  if (route === "index") return json({ version: 1, revision: `${version++}`, runs, skipped: [] });
  if (route === "drift") return drift();
  if (route === "probe")
    return new Response(
      safetensors(
        { picture: [[2, 1, 1, 1], new Uint8Array(2)], labels: [[2], Int32Array.of(0, 1)] },
        { kind: "image", examples: [0, 1], class_names: ["cat", "dog"], example_names: ["tom", "rex"] },
      ),
    );
  return series(query.get("tag"));
}

let root: HTMLElement;
const text = (): string => root.textContent ?? "";
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 6; turn++) await act(() => settle());
};
const draw = async (link: Record<string, string> = {}): Promise<void> => {
  state.applyLink(new Map(Object.entries({ view: "quality", ...link })));
  await act(async () => {
    render(<App />, root);
    await state.refresh();
    await settle();
  });
  await settled();
};
const button = (words: string): HTMLButtonElement =>
  [...root.querySelectorAll("button")].find((one) => one.textContent === words) as HTMLButtonElement;
const cells = (selector: string): string[][] =>
  [...root.querySelectorAll(`${selector} tbody tr`)].map((row) =>
    [...row.children].map((cell) => (cell.textContent ?? "").trim()),
  );

beforeEach(() => {
  root = document.createElement("div");
  document.body.append(root);
  runs = [run("r")];
  series = seriesOf;
  drift = () => driftAnswer(true);
  // another wall time each: what was kept from the test before is not this log's
  const later = 1000 * ++version;
  for (const one of runs) for (const tag of one.tags) tag.wall_times = STEPS.map((at) => at + later);
  asked = serve(answer);
});
afterEach(() => {
  render(null, root);
  root.remove();
  state.index.value = null;
});

describe("the Quality view", () => {
  it("shows every measure that is logged, its values at the cursor, and which way is good", async () => {
    await draw();
    expect(root.querySelector("[role=tab][aria-selected=true]")?.textContent).toBe("Quality");
    expect(button("Completeness gap").getAttribute("aria-pressed")).toBe("true");
    expect(text()).toContain("↓ lower is better");
    await act(() => button("Faithfulness correlation").click());
    await settled();
    const [row] = cells(".ql-focus");
    expect(row?.[0]).toBe("ig");
    expect(row?.[1]).toBe("0.850");
    await act(() => state.moveTo(0));
    expect(cells(".ql-focus")[0]?.[1]).toBe("0.100 undefined for 1 of 2 examples");
    const chart = root.querySelector(".ql-focus [role=img]")?.getAttribute("aria-label");
    expect(chart).toContain("Faithfulness correlation over steps 0 to 10; at step 0: ig 0.100");
  });

  it("says why a measure is undefined, and names what is not logged at all", async () => {
    await draw();
    expect(text()).toContain("ig: It was switched off.");
    expect(text()).toContain("saliency: Gradients do not add up to anything.");
    expect(root.querySelector(".ql-left")?.textContent).toContain("deletion, insertion, max-sensitivity");
    expect(button("Deletion")).toBeUndefined();
  });

  it("computes drift when it is looked at, in as many answers as it takes", async () => {
    let complete = false;
    drift = () => {
      const now = complete;
      complete = true;
      return driftAnswer(now);
    };
    await draw({ "quality.measure": "drift.previous", "quality.drift": "spearman" });
    const asks = asked.filter(({ route, query }) => route === "drift" && query.get("against") === "previous");
    expect(new Set(asks.map(({ query }) => query.get("measure")))).toEqual(new Set(["spearman"]));
    expect(asks.length).toBe(3); // two methods, one of them in two parts
    await act(() => state.moveTo(5));
    expect(cells(".ql-focus").map((row) => [row[0], row[1], row[2]])).toEqual([
      ["ig", "0.500", "1.00"],
      ["saliency", "0.500", "1.00"],
    ]);
    expect(root.querySelector(".ql-focus [role=img]")?.getAttribute("aria-label")).toContain("noise floor");
  });

  it("pins the step at the cursor and compares with it", async () => {
    await draw();
    await act(() => state.moveTo(5));
    await act(() => button("Pin step 5").click());
    expect(state.currentLink().get("quality.pin")).toBe("5");
    await act(() => button("Like step 5").click());
    await settled();
    expect(asked.some(({ route, query }) => route === "drift" && query.get("against") === "5")).toBe(true);
  });

  it("keeps what could be computed when an answer fails, and asks again", async () => {
    drift = () => new Response("The disk is on fire.", { status: 500 });
    await draw({ "quality.measure": "drift.previous" });
    expect(text()).toContain("The disk is on fire.");
    drift = () => driftAnswer(true);
    await act(() => button("Retry").click());
    await settled();
    expect(text()).not.toContain("The disk is on fire.");
    expect(cells(".ql-focus")[0]?.[1]).toBe("0.700");
  });

  it("marks the steps that no other beats in score and quality, and goes there", async () => {
    await draw({ "quality.measure": "gap", "quality.score": "right" });
    // examples right: 1, 2, 1 of 2; gap 0.0195, 0.01, 0.195
    const marked = [...root.querySelectorAll(".ql-best button")].map((one) => one.textContent);
    expect(marked).toEqual(["step 5"]);
    await act(() => button("step 5").click());
    expect(state.step.value).toBe(5);
  });

  it("lists examples from the worst, with label, prediction and a way to the map", async () => {
    await draw({ "quality.measure": "faithfulness", step: "5" });
    const shown = cells(".ql-examples");
    expect(shown.map((row) => row.slice(0, 4))).toEqual([
      ["tom", "0.500", "cat", "cat"],
      ["rex", "0.700", "dog", "dog"],
    ]);
    const link = root.querySelector<HTMLAnchorElement>(".ql-examples a");
    expect(link?.href).toContain("p.xai.view=maps");
    expect(link?.href).toContain("p.xai.step=5");
    await act(() => state.moveTo(0));
    expect(cells(".ql-examples").map((row) => row.slice(0, 4))).toEqual([
      ["tom", "0.100", "cat", "cat"],
      ["rex", "undefined", "dog", "cat wrong"],
    ]);
  });

  it("compares runs, and draws those that differ in their seed as one", async () => {
    runs = [run("cnn_s0"), run("cnn_s1"), run("wide")];
    await draw({ group: "_s\\d+$" });
    const legend = (): string[] =>
      [...root.querySelectorAll(".ql-legend button")].map((one) => (one.textContent ?? "").trim());
    expect(legend()).toEqual(["cnn × 2", "wide"]);
    expect(text()).toContain("Band: from the lowest to the highest run");
    const methods = [...root.querySelectorAll<HTMLInputElement>(".ql-choice input")][0];
    await act(() => methods?.click());
    await settled();
    expect(legend()).toEqual(["ig", "saliency"]);
    expect(state.currentLink().get("quality.lines")).toBe("methods");
  });

  it("shows the rest when the answer of one method fails, and all of it as an error when every one does", async () => {
    series = (tag) => (tag === "ig" ? new Response("Too large.", { status: 400 }) : seriesOf(tag));
    await draw();
    expect(root.querySelector(".notice")?.textContent).toContain("ig of run “r” is not shown: Too large.");
    expect(button("Complexity (entropy)")).toBeDefined();
    render(null, root);
    series = () => new Response("No answer.", { status: 500 });
    for (const tag of runs[0]?.tags ?? []) tag.wall_times = [1, 2, version++];
    await draw();
    expect(root.querySelector("[role=alert]")?.textContent).toContain("No answer.");
  });
});
