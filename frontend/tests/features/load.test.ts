import { describe, expect, it } from "vitest";
import type { RunInfo, TagInfo } from "../../src/api";
import { loadAll } from "../../src/features/load";
import { safetensors, serve, type Asked } from "../answers";

const [T, D] = [600, 1000];
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const value = (figure: string, step: number, feature: number): number => figure.length + step / 10 + feature / 1e4;

function answer({ query }: Asked): Response {
  const steps = query.getAll("step").length ? query.getAll("step").map(Number) : range(T);
  const columns = query.get("columns")?.split(",").map(Number) ?? range(D);
  const figures = query.getAll("figure").length ? query.getAll("figure") : ["mean", "low", "high", "single_score"];
  const axes = { steps: 0, wall_times: 1, epochs: 2 };
  const arrays: Parameters<typeof safetensors>[0] = {};
  for (const axis of Object.keys(axes)) arrays[axis] = [[steps.length], Float64Array.from(steps)];
  for (const figure of figures)
    arrays[figure] =
      figure === "score"
        ? [[steps.length], Float64Array.from(steps, (step) => step / T)]
        : [
            [steps.length, columns.length],
            Float32Array.from(steps.flatMap((step) => columns.map((column) => value(figure, step, column)))),
          ];
  const names = columns.map((column) => `column ${column}`);
  return new Response(safetensors(arrays, { kind: "importance", names, metric: "auc", missing: [] }));
}

describe("a table that is larger than an answer", () => {
  it("comes in parts, with what needs no model from its first step", async () => {
    const asked = serve(answer);
    const tag: TagInfo = {
      name: "importance",
      kind: "importance",
      steps: range(T),
      wall_times: range(T),
      epochs: range(T),
      features: D,
    };
    const run = { name: "run", tags: [tag] } as unknown as RunInfo;
    const { series, lost } = await loadAll([run], "importance", new AbortController().signal);
    expect(lost).toEqual([]);
    const [made] = series;
    expect(made?.names).toHaveLength(D);
    expect(made?.names[D - 1]).toBe(`column ${D - 1}`);
    for (const [t, f] of [
      [0, 0],
      [T - 1, D - 1],
      [17, 400],
    ] as const) {
      expect(made?.mean[t * D + f]).toBeCloseTo(value("mean", t, f), 4);
      expect(made?.high[t * D + f]).toBeCloseTo(value("high", t, f), 4);
    }
    expect(made?.alone?.single_score).toHaveLength(D);
    expect(made?.alone?.single_score?.[400]).toBeCloseTo(value("single_score", 0, 400), 4);
    expect(asked.filter(({ query }) => query.has("step")).map(({ query }) => query.getAll("step"))).toEqual([["0"]]);
    const whole = asked.filter(({ query }) => !query.has("figure") && !query.has("step"));
    expect(whole).toEqual([]);
  });
});
