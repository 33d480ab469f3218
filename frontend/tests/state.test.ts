import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Index, TagInfo } from "../src/api";
import { signedMap } from "../src/maps/settings";
import * as state from "../src/state";
import { withHoles } from "../src/steps";
import { readLink, writeLink } from "../src/url";
import { json, serve } from "./answers";

const tag = (name: string, steps: number[], more: Partial<TagInfo> = {}): TagInfo => ({
  name,
  kind: "attribution",
  method: name,
  steps,
  wall_times: steps.map((step) => step + 0.5),
  epochs: steps.map((step) => step / 10),
  examples: 2,
  inputs: [{ name: "x", shape: [8, 8, 1], kind: "image" }],
  ...more,
});

const INDEX: Index = {
  version: 1,
  revision: "a",
  skipped: [],
  runs: [
    {
      name: "digits",
      tags: [tag("saliency", [0, 10, 30, 40, 50]), tag("integrated_gradients", [0, 10, 20, 30, 40, 50])],
    },
    { name: "table", tags: [tag("importance", [0, 20], { kind: "importance", inputs: [] })] },
    { name: "table2", tags: [tag("importance", [0, 10, 30], { kind: "importance", inputs: [] })] },
  ],
};

const MAPS = new Map([["view", "maps"]]);

beforeEach(() => {
  state.applyLink(MAPS);
  state.index.value = INDEX;
});
afterEach(() => {
  state.index.value = null;
  state.indexError.value = null;
});

describe("links", () => {
  const link = new Map([
    ["view", "maps"],
    ["run", "a&b=c/ü%"],
    ["maps.tag", "<img src=x onerror=1>"],
  ]);

  it("come back whole, with foreign keys kept", () => {
    const hash = writeLink("#xai&darkMode=1&p.other.key=a%20b&p.xai.view=features", link);
    expect(hash.startsWith("#xai&darkMode=1&p.other.key=a%20b&")).toBe(true);
    expect(hash).not.toContain("<");
    expect(readLink(hash)).toEqual(link);
    expect(writeLink(hash, link)).toBe(hash);
  });

  it("survive a hash that is not ours or not well encoded", () => {
    expect(readLink("").size).toBe(0);
    expect(readLink("#scalars&run=%E0%A4%A").size).toBe(0);
    expect(readLink("#xai&p.xai.run=%E0%A4%A").get("run")).toBe("%E0%A4%A");
  });

  it("reproduce the state, and name no defaults but the view", () => {
    expect(state.currentLink()).toEqual(new Map([["view", "maps"]]));
    state.showRun("digits");
    state.showTag("saliency");
    state.moveTo(30);
    signedMap.value = "vik";
    const saved = readLink(writeLink("#xai", state.currentLink()));
    state.applyLink(MAPS);
    expect([state.tag.value?.name, state.step.value, signedMap.value]).toEqual(["integrated_gradients", 50, "RdBu_r"]);
    state.applyLink(saved);
    expect([state.tag.value?.name, state.step.value, signedMap.value]).toEqual(["saliency", 30, "vik"]);
    expect(state.currentLink()).toEqual(saved);
  });

  it("keep what belongs to a view that is still to be loaded, for when it is", () => {
    state.applyLink(
      new Map([
        ["view", "maps"],
        ["later.rank", "peak"],
        ["later.top", "many"],
      ]),
    );
    expect([...state.currentLink()]).toEqual([
      ["view", "maps"],
      ["later.rank", "peak"],
      ["later.top", "many"],
    ]);
    const rank = state.setting("later.rank", "step", ["step", "peak"]);
    const top = state.setting("later.top", "10", ["5", "10"]);
    expect([rank.value, top.value]).toEqual(["peak", "10"]);
    rank.value = "step";
    expect([...state.currentLink().keys()]).toEqual(["view"]);
  });

  it("with values that are not allowed fall back to defaults", () => {
    state.applyLink(
      new Map([
        ["view", "nonsense"],
        ["step", "many"],
        ["runs", "{}"],
        ["maps.signed_map", "jet"],
        ["run", "gone"],
      ]),
    );
    expect(state.view.value).toBe("overview");
    state.showView("maps");
    expect([state.view.value, state.step.value, signedMap.value, state.run.value?.name]).toEqual([
      "maps",
      50,
      "RdBu_r",
      "digits",
    ]);
  });
});

describe("the cursor", () => {
  it("moves over exact logged steps and stops at the ends", () => {
    const seen = [state.step.value];
    for (const move of [-1, -1, -Infinity, -1, 1, Infinity, 1]) {
      state.moveBy(move);
      seen.push(state.step.value);
    }
    expect(seen).toEqual([50, 40, 30, 0, 0, 10, 50, 50]);
  });

  it("follows the training at the newest step, and stays elsewhere", () => {
    const grown = structuredClone(INDEX);
    grown.runs[0]?.tags[1]?.steps.push(60);
    state.index.value = grown;
    expect(state.step.value).toBe(60);
    state.moveTo(20);
    state.index.value = INDEX;
    expect(state.step.value).toBe(20);
  });

  it("stands at the logged step before a step that a method lacks", () => {
    state.moveTo(20);
    state.showView("features");
    state.showRun("table2");
    state.showRuns(["table2"]);
    expect(state.step.value).toBe(10);
    state.showRuns(null);
    expect(state.logged.value.steps).toEqual([0, 10, 20, 30]);
  });

  it("shows holes of a tag that its peers fill, but not another schedule or steps still to come", () => {
    const every = tag("a", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(withHoles(tag("b", [0, 1, 2, 3, 5, 6, 7, 8]), [every]).steps).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(withHoles(tag("b", [0, 2, 4, 6, 8]), [every]).steps).toEqual([0, 2, 4, 6, 8]);
  });
});

describe("what is selected", () => {
  it("is the overview of every run at first", () => {
    state.applyLink(new Map());
    expect([state.view.value, state.tag.value, state.step.value]).toEqual(["overview", null, null]);
    expect(state.shownRuns.value.map((run) => run.name)).toEqual(["digits", "table", "table2"]);
    state.showRuns(["table"]);
    expect(state.shownRuns.value.map((run) => run.name)).toEqual(["table"]);
  });

  it("chooses the run and tag that have something for the view", () => {
    expect([state.view.value, state.run.value?.name, state.tag.value?.name]).toEqual([
      "maps",
      "digits",
      "integrated_gradients",
    ]);
    state.showView("features");
    expect([state.run.value?.name, state.tag.value?.name]).toEqual(["table", "importance"]);
    expect(state.shownRuns.value.map((run) => run.name)).toEqual(["table", "table2"]);
    state.showRuns(["table2"]);
    expect(state.shownRuns.value.map((run) => run.name)).toEqual(["table2"]);
  });

  it("opens maps on the run with pictures, wherever it stands, unless another is wished", () => {
    const rows = tag("gradients", [0], { inputs: [{ name: "x", shape: [30], kind: "flat" }] });
    state.index.value = { ...INDEX, runs: [{ name: "a table", tags: [rows] }, ...INDEX.runs] };
    state.showView("maps");
    expect(state.run.value?.name).toBe("digits");
    state.showRun("a table");
    expect([state.run.value?.name, state.tag.value?.name]).toEqual(["a table", "gradients"]);
    state.index.value = { ...INDEX, runs: [{ name: "a table", tags: [rows] }] };
    state.applyLink(new Map([["view", "maps"]]));
    expect(state.run.value?.name).toBe("a table");
  });

  it("is nothing when nothing is logged", () => {
    state.index.value = { version: 1, revision: "", runs: [], skipped: [] };
    expect([state.view.value, state.run.value, state.tag.value, state.step.value]).toEqual(["maps", null, null, null]);
    state.moveBy(1);
    expect(state.step.value).toBeNull();
  });
});

describe("polling", () => {
  it("asks with the revision, keeps the index when it is unchanged or the server is gone, and says so", async () => {
    const asked = serve(() => json({ unchanged: true }));
    await state.refresh();
    expect(asked[0]?.query.get("revision")).toBe("a");
    expect(state.index.value).toBe(INDEX);
    serve(() => new Response("cannot be read", { status: 404 }));
    await state.refresh();
    expect([state.index.value, state.indexError.value]).toEqual([INDEX, "cannot be read"]);
    serve(() => json({ version: 1, revision: "b", runs: [] }));
    await state.refresh();
    expect([state.index.value?.revision, state.indexError.value]).toEqual(["b", null]);
  });

  it("asks once at a time", async () => {
    const asked = serve(() => json({ unchanged: true }));
    await Promise.all([state.refresh(), state.refresh()]);
    expect(asked).toHaveLength(1);
  });
});
