import { describe, expect, it, vi } from "vitest";
import {
  address,
  PATIENCE,
  fetchIndex,
  fetchMaps,
  fetchProbe,
  fetchSeries,
  fetchValues,
  type MapsQuery,
} from "../src/api";
import { parseSafetensors } from "../src/safetensors";
import { json, safetensors, serve } from "./answers";

const QUERY: MapsQuery = {
  run: "a/b&c",
  tag: "<img onerror=1>",
  input: null,
  steps: [0, 7],
  examples: [0, 1],
  size: null,
  channels: "sum",
  version: 1700000000.25,
};

describe("safetensors", () => {
  it("reads every dtype of the contract, also where offsets are not aligned", () => {
    const answer = parseSafetensors(
      safetensors(
        {
          odd: [[3], Uint8Array.of(1, 2, 255)],
          f32: [[2, 1], Float32Array.of(0.5, -2)],
          f64: [[2], Float64Array.of(1e-300, Number.NaN)],
          i32: [[1], Int32Array.of(-1)],
          i64: [[2], BigInt64Array.of(3n, 4_000_000_000n)],
        },
        { run: "a" },
      ),
    );
    expect([...(answer.arrays.get("odd")?.data ?? [])]).toEqual([1, 2, 255]);
    expect(answer.arrays.get("f32")).toEqual({ shape: [2, 1], data: Float32Array.of(0.5, -2) });
    expect([...(answer.arrays.get("f64")?.data ?? [])]).toEqual([1e-300, Number.NaN]);
    expect([...(answer.arrays.get("i32")?.data ?? [])]).toEqual([-1]);
    expect([...(answer.arrays.get("i64")?.data ?? [])]).toEqual([3, 4_000_000_000]);
    expect(JSON.parse(answer.metadata["answer"] ?? "")).toEqual({ run: "a" });
  });

  it.each([
    ["nothing", new ArrayBuffer(0), /header. Received: 0 bytes/],
    [
      "a header longer than the answer",
      new Uint8Array([255, 0, 0, 0, 0, 0, 0, 0, 1]).buffer,
      /header. Received: 9 bytes/,
    ],
  ])("refuses %s with a sentence", (_, bytes, sentence) => {
    expect(() => parseSafetensors(bytes)).toThrow(sentence);
  });

  it("refuses an array that is cut off, and one of another type", () => {
    const whole = safetensors({ maps: [[4], Float32Array.of(1, 2, 3, 4)] }, {});
    expect(() => parseSafetensors(whole.slice(0, whole.byteLength - 4))).toThrow(/whole. Received: 16 bytes for maps/);
    const text = new TextEncoder().encode('{"x":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}');
    const half = new Uint8Array(8 + text.length + 2);
    half[0] = text.length;
    half.set(text, 8);
    expect(() => parseSafetensors(half.buffer)).toThrow(/Received: F16 \(x\)/);
  });
});

describe("requests", () => {
  it("repeats lists, encodes names and leaves out what is not asked", () => {
    expect(address("attributions", { run: "a&b", step: [1, 2], input: null })).toBe(
      "./attributions?run=a%26b&step=1&step=2",
    );
  });

  it("asks for maps as the contract says and keeps missing steps apart", async () => {
    const asked = serve(
      () =>
        new Response(
          safetensors(
            {
              "maps/0": [[2, 1, 3], Uint8Array.of(0, 127, 254, 255, 255, 255)],
              "low/0": [[2], Float32Array.of(-1, 0)],
              "high/0": [[2], Float32Array.of(1, 0)],
            },
            { input: "x", steps: [0], examples: [0, 1], signed: true, missing: [{ step: 7, reason: "damaged" }] },
          ),
        ),
    );
    const maps = await fetchMaps(QUERY);
    expect(asked[0]?.query.getAll("step")).toEqual(["0", "7"]);
    expect(asked[0]?.query.get("run")).toBe("a/b&c");
    expect(asked[0]?.query.get("v")).toBe("1700000000.25");
    expect(asked[0]?.query.has("size")).toBe(false);
    expect(maps.steps.get(0)?.shape).toEqual([2, 1, 3]);
    expect(maps.missing).toEqual([{ step: 7, reason: "damaged" }]);
  });

  it("keeps the server's words for a step without exact values, beside those that have some", async () => {
    serve(
      () =>
        new Response(
          safetensors(
            { "maps/7": [[1, 1, 2, 2], Float32Array.of(1, 2, 3, 4)] },
            { steps: [7], shape: [1, 2, 2], missing: [{ step: 0, reason: "the file is cut off" }] },
          ),
        ),
    );
    const found = await fetchValues(QUERY);
    expect(found.shape).toEqual([1, 2, 2]);
    expect([...(found.steps.get(7) ?? [])]).toEqual([1, 2, 3, 4]);
    expect(found.steps.has(0)).toBe(false);
    expect(found.missing).toEqual([{ step: 0, reason: "the file is cut off" }]);
  });

  it("tells classes from values of a probe set", async () => {
    serve(
      () => new Response(safetensors({ label_values: [[1], Float32Array.of(2.5)] }, { kind: "flat", examples: [0] })),
    );
    const probe = await fetchProbe("r", "s", null, null);
    expect([probe.labels_are_classes, probe.labels?.data[0], probe.picture]).toEqual([false, 2.5, null]);
  });

  it("reads series with 64-bit steps", async () => {
    serve(
      () =>
        new Response(
          safetensors(
            {
              steps: [[2], BigInt64Array.of(0n, 5n)],
              wall_times: [[2], Float64Array.of(1, 2)],
              epochs: [[2], Float64Array.of(0, 0.5)],
              score: [[2], Float32Array.of(1, 2)],
            },
            { kind: "importance", names: ["a"], metric: "log loss", missing: [] },
          ),
        ),
    );
    const series = await fetchSeries("r", "t");
    expect([...series.steps]).toEqual([0, 5]);
    expect([...series.epochs]).toEqual([0, 0.5]);
    expect(series.metric).toBe("log loss");
  });

  it("asks one by one for the figures that an answer could not hold, but for those that none can", async () => {
    const axes: Record<string, [number[], BigInt64Array]> = { steps: [[1], BigInt64Array.of(0n)] };
    const asked = serve(({ query }) => {
      const figure = query.get("figure");
      return new Response(
        figure === null
          ? safetensors({ ...axes, gap: [[1, 1], Float32Array.of(1)] }, { omitted: { gini: 9e6, mean: 99e6 } })
          : safetensors({ ...axes, [figure]: [[1, 1], Float32Array.of(2)] }, { unmeasured: { [figure]: [3] } }),
      );
    });
    const series = await fetchSeries("r", "t");
    expect(asked.map(({ query }) => query.get("figure"))).toEqual([null, "gini"]);
    expect([...series.arrays.keys()].sort()).toEqual(["gap", "gini", "steps"]);
    expect(series.unmeasured).toEqual({ gini: [3] });
  });

  it("says null for an unchanged index and asks with the revision", async () => {
    const asked = serve(() => json({ version: 1, revision: "r", unchanged: true }));
    expect(await fetchIndex("r")).toBeNull();
    expect(asked[0]?.query.get("revision")).toBe("r");
  });

  it("speaks the server's words, or its own when the server has none", async () => {
    serve(() => new Response("run must be one of a, b. Received: c", { status: 404 }));
    await expect(fetchIndex(null)).rejects.toThrow("run must be one of a, b. Received: c");
    serve(() => new Response("<html>oops</html>", { status: 502, statusText: "Bad Gateway" }));
    await expect(fetchIndex(null)).rejects.toThrow("TensorBoard answered 502 Bad Gateway");
    serve(() => Promise.reject(new TypeError("network")));
    await expect(fetchIndex(null)).rejects.toThrow("TensorBoard does not answer. Is it still running?");
  });

  it("gives a silent server up, but no answer that has begun", async () => {
    vi.useFakeTimers();
    vi.stubGlobal("fetch", (_: string, { signal }: RequestInit) => {
      return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(new Error("aborted"))));
    });
    const asked = expect(fetchIndex(null)).rejects.toThrow("TensorBoard has not answered for 60 s");
    await vi.advanceTimersByTimeAsync(PATIENCE);
    await asked;
    let signal: AbortSignal | null | undefined;
    vi.stubGlobal("fetch", (_: string, options: RequestInit) => {
      signal = options.signal;
      return Promise.resolve(json({ version: 1, revision: "r", unchanged: true }));
    });
    await fetchIndex("r");
    await vi.advanceTimersByTimeAsync(2 * PATIENCE);
    expect(signal?.aborted).toBe(false);
    vi.useRealTimers();
  });
});
