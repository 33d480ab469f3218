import { afterEach, describe, expect, it } from "vitest";
import type { Series, TagInfo } from "../src/api";
import { chooseColumns, visibleRange } from "../src/maps/columns";
import { figure, flips, predicted } from "../src/figures";
import { askedSize, familyOf, inputOf, layOut, sidesOf } from "../src/maps/screen";
import { Latest } from "../src/maps/latest";
import { sharing } from "../src/maps/scales";
import { failure, find, forget, isMap, want, type Family, type Source } from "../src/maps/store";
import { safetensors, serve, settle, type Asked } from "./answers";

describe("columns", () => {
  it("shows every step when they fit", () => {
    expect(chooseColumns(4, 2, 9)).toEqual([0, 1, 2, 3]);
    expect(chooseColumns(0, 0, 9)).toEqual([]);
  });

  it("always has the first, the cursor and the last, ascending, without repeats", () => {
    for (let count = 4; count < 60; count += 7)
      for (let fits = 3; fits < count; fits += 2)
        for (let cursor = 0; cursor < count; cursor++) {
          const chosen = chooseColumns(count, cursor, fits);
          expect(chosen).toHaveLength(fits);
          expect(chosen[0]).toBe(0);
          expect(chosen.at(-1)).toBe(count - 1);
          expect(chosen).toContain(cursor);
          expect([...new Set(chosen)].sort((a, b) => a - b)).toEqual(chosen);
        }
  });

  it("changes one column at most when the cursor moves off the even choice", () => {
    const base = new Set(chooseColumns(101, 0, 11));
    const moved = chooseColumns(101, 33, 11);
    expect(moved.filter((at) => !base.has(at))).toEqual([33]);
  });

  it("keeps the cursor where only one or two fit", () => {
    expect(chooseColumns(10, 4, 1)).toEqual([4]);
    expect(chooseColumns(10, 4, 2)).toEqual([4, 9]);
  });

  it("draws only what a window shows, and some around it", () => {
    expect(visibleRange(100, 10, 205, 50, 1)).toEqual([19, 27]);
    expect(visibleRange(3, 10, 0, 500, 1)).toEqual([0, 3]);
  });
});

const TAG: TagInfo = {
  name: "ig",
  kind: "attribution",
  steps: [0, 1],
  wall_times: [10, 11],
  epochs: [0, 1],
  examples: 70,
  inputs: [{ name: "x", shape: [224, 112, 3], kind: "image" }],
};

describe("layout", () => {
  it("fits first, cursor and last into 320 pixels", () => {
    const { fits, pitch, label } = layOut({ width: 312, height: 500 }, 120, 50, false, 1);
    expect(fits).toBeGreaterThanOrEqual(3);
    expect(label + fits * pitch.x).toBeLessThanOrEqual(312);
  });

  it("never passes the width it has", () => {
    for (const width of [320, 500, 800, 1400, 2560, 3840])
      for (const count of [1, 3, 8, 21, 1000]) {
        const { fits, pitch, label } = layOut({ width, height: 800 }, 120, count, false, 1);
        expect(label + Math.min(fits, count) * pitch.x).toBeLessThanOrEqual(width);
      }
  });

  it("asks for no more pixels than a cell can show, and for native size when that is smaller", () => {
    expect([askedSize(8, 120, 1), askedSize(224, 120, 1), askedSize(224, 120, 2), askedSize(224, 400, 2)]).toEqual([
      null,
      96,
      192,
      null,
    ]);
  });

  it("knows flat inputs and folds channels of magnitudes by their largest", () => {
    expect(sidesOf({ name: "t", shape: [30], kind: "flat" })).toEqual([1, 30, 1]);
    expect(inputOf(TAG, "other")?.name).toBe("x");
    const family = familyOf("r", TAG, inputOf(TAG, ""), false, 120, 1);
    expect([family.channels, family.size, family.bytes]).toEqual(["max", 96, 4608]);
  });
});

const FAMILY: Family = { run: "r", tag: "t", input: null, size: null, channels: "sum", examples: 2, bytes: 2 };
const source = (step: number, wall = step + 0.5, family = FAMILY): Source => ({ family, step, wall });
const steps = (...all: number[]): Source[] => all.map((step) => source(step));

function maps({ query }: Asked): Response {
  const asked = query.getAll("step").map(Number);
  const arrays = Object.fromEntries(
    asked
      .filter((step) => step !== 9)
      .flatMap((step) => [
        [`maps/${step}`, [[2, 1, 2], Uint8Array.of(0, 254, 127, 127)]],
        [`low/${step}`, [[2], Float32Array.of(-step, 0)]],
        [`high/${step}`, [[2], Float32Array.of(step, 0)]],
      ]),
  ) as Parameters<typeof safetensors>[0];
  const missing = asked.includes(9) ? [{ step: 9, reason: "cut off" }] : [];
  return new Response(safetensors(arrays, { steps: asked.filter((step) => step !== 9), examples: [0, 1], missing }));
}

describe("maps in store", () => {
  afterEach(() => forget());

  it("asks once for a whole screen, and never again for what is here", async () => {
    const asked = serve(maps);
    want({ sources: steps(1, 2, 9), blocks: [0] });
    expect(find(source(1), 0)).toBe("loading");
    await settle();
    want({ sources: steps(1, 2), blocks: [0] });
    await settle();
    expect(asked.map(({ query }) => query.getAll("step"))).toEqual([["1", "2", "9"]]);
    expect(asked[0]?.query.get("v")).toBe("9.5");
    const found = find(source(2), 0);
    expect(found).toMatchObject({ state: "values", peak: 2, height: 1, width: 2 });
    expect(find(source(2), 0)).toBe(found);
    expect(find(source(2), 1)).toMatchObject({ state: "zero" });
    expect(find(source(2), 5)).toMatchObject({ none: "not logged" });
    expect(find(source(9), 0)).toEqual({ none: "missing", reason: "cut off" });
  });

  it("asks again for a step that was written again", async () => {
    const asked = serve(maps);
    want({ sources: [source(1, 1)], blocks: [0] });
    await settle();
    want({ sources: [source(1, 2)], blocks: [0] });
    await settle();
    expect(asked.map(({ query }) => query.get("v"))).toEqual(["1", "2"]);
  });

  it("gives up requests of which nothing is wanted any more, and no other", async () => {
    const asked = serve(() => new Promise<Response>(() => undefined));
    want({ sources: steps(1, 2), blocks: [0] });
    want({ sources: steps(2, 3), blocks: [0] });
    want({ sources: steps(3), blocks: [0] });
    await settle();
    expect(asked.map(({ query, signal }) => [query.getAll("step"), signal?.aborted])).toEqual([
      [["1", "2"], true],
      [["3"], false],
    ]);
    expect(failure.value).toBeNull();
  });

  it("asks in several answers when one would be too large", () => {
    const asked = serve(() => new Promise<Response>(() => undefined));
    const large = { ...FAMILY, bytes: 2_000_000 };
    want({ sources: [1, 2, 3, 4, 5].map((step) => source(step, step, large)), blocks: [0] });
    expect(asked.map(({ query }) => query.getAll("step"))).toEqual([["1", "2"], ["3", "4"], ["5"]]);
  });

  it("asks for blocks that lack the same steps in one answer, and gives each its own maps", async () => {
    const many = { ...FAMILY, examples: 20 };
    const asked = serve(({ query }) => {
      const examples = (query.get("examples") ?? "").split(",").map(Number);
      const n = examples.length;
      const arrays = {
        "maps/1": [[n, 1, 2], Uint8Array.from(examples.flatMap((example) => [127, 127 + example]))],
        "low/1": [[n], new Float32Array(n).fill(-127)],
        "high/1": [[n], new Float32Array(n).fill(127)],
      } as Parameters<typeof safetensors>[0];
      return new Response(safetensors(arrays, { steps: [1], examples, missing: [] }));
    });
    const sources = [source(1, 1, many)];
    want({ sources, blocks: [1] });
    await settle();
    want({ sources, blocks: [2, 1, 0] });
    await settle();
    expect(asked.map(({ query }) => query.get("examples"))).toEqual([
      "8,9,10,11,12,13,14,15",
      "16,17,18,19,0,1,2,3,4,5,6,7",
    ]);
    for (let example = 0; example < 20; example++) {
      const found = find(source(1, 1, many), example);
      expect(isMap(found) && [...found.values(true)]).toEqual([0, example]);
    }
  });

  it("does not ask for more maps of large pictures than one answer may hold", () => {
    const asked = serve(() => new Promise<Response>(() => undefined));
    const large = { ...FAMILY, examples: 64, bytes: 400_000 };
    want({ sources: [source(1, 1, large)], blocks: [0, 1, 2, 3, 4] });
    expect(asked.map(({ query }) => query.get("examples")?.split(",").length)).toEqual([16, 16, 8]);
  });

  it("puts maps on one scale that does not move with a few rows", () => {
    expect(sharing([0], 20)).toEqual([0, 1, 2]);
    expect(sharing([1, 2], 500)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(sharing([9], 100)).toEqual([8, 9, 10, 11, 12]);
  });

  it("keeps what was used last", () => {
    const latest = new Latest<string>(10);
    const [a, b, c] = [{}, {}, {}];
    latest.keep(a, "a", 4);
    latest.keep(b, "b", 4);
    expect(latest.get(a)).toBe("a");
    latest.keep(c, "c", 4);
    expect([a, b, c].map((key) => latest.get(key))).toEqual(["a", undefined, "c"]);
    latest.keep(a, "larger", 20);
    expect([a, c].map((key) => latest.get(key))).toEqual(["larger", undefined]);
    latest.keep(c, "c", 1);
    expect([a, c].map((key) => latest.get(key))).toEqual([undefined, "c"]);
  });

  it("keeps the server's words of a failure", async () => {
    serve(() => new Response("step must be logged. Received: 1", { status: 404 }));
    want({ sources: steps(1), blocks: [0] });
    await settle();
    expect(failure.value).toBe("step must be logged. Received: 1");
  });
});

describe("figures", () => {
  const series: Series = {
    kind: "attribution",
    steps: Float64Array.of(0, 10, 20, 30),
    wall_times: new Float64Array(4),
    epochs: new Float64Array(4),
    names: null,
    metric: null,
    missing: [],
    arrays: new Map([
      ["predicted", { shape: [4, 2], data: Int32Array.of(3, 1, 7, 1, 3, -1, 7, 2) }],
      ["gap", { shape: [4, 2], data: Float32Array.of(0.5, Number.NaN, 1, 1, 1, 1, 1, 1) }],
    ]),
  };

  it("reads one figure of one example at one step", () => {
    expect(figure(series, "gap", 0, 0)).toBe(0.5);
    expect(figure(series, "gap", 0, 1)).toBeNull();
    expect(figure(series, "gap", 5, 0)).toBeNull();
    expect(figure(series, "gap", 0, 2)).toBeNull();
    expect(figure(null, "gap", 0, 0)).toBeNull();
    expect(predicted(series, 20, 1)).toBeNull();
  });

  it("counts changes of the prediction also at steps that are not shown", () => {
    expect(flips(series, 0, 30, 0)).toBe(3);
    expect(flips(series, 0, 20, 0)).toBe(2);
    expect(flips(series, 20, 30, 0)).toBe(1);
    expect(flips(series, 0, 30, 1)).toBe(1);
  });
});
