/** Exact values of one example: of one step at once, of its steps for curves, whole and channel by channel. */
import { fetchProbe, fetchValues, type MapsQuery, type Probe, type TagInfo } from "../../api";
import { useRequest, type Async } from "../../async";
import { chooseColumns } from "../columns";
import type { Column } from "../sources";
import { sourcesOf } from "../sources";
import type { Source } from "../store";

/** Bytes of an answer with many steps, and of all of them together. */
const ANSWER = 8_000_000;
const CURVE = 32_000_000;

export interface Exact {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  /** (h, w, channels); of a difference the difference */
  readonly values: Float64Array;
  /** the two sides of a difference */
  readonly of: readonly [Float64Array, Float64Array] | null;
}

export type Whole = Exact | { readonly missing: string };

const queryOf = ({ family, wall }: Source, example: number, steps: readonly number[], each: boolean): MapsQuery => ({
  run: family.run,
  tag: family.tag,
  input: family.input,
  size: null,
  channels: each ? "all" : family.channels,
  steps,
  examples: [example],
  version: steps.length === 1 ? wall : null,
});

async function one(source: Source, example: number, each: boolean, signal: AbortSignal): Promise<Whole> {
  const { shape, steps, missing } = await fetchValues(queryOf(source, example, [source.step], each), signal);
  const values = steps.get(source.step);
  if (!values) return { missing: missing[0]?.reason ?? "The server sent no map of this step." };
  const [height = 1, width = 1, channels = 1] = shape;
  return { height, width, channels, values: Float64Array.from(values), of: null };
}

/** The exact values behind a column, or of a difference; magnitudes are subtracted where signs are not shown. */
async function whole(column: Column, example: number, each: boolean, signal: AbortSignal): Promise<Whole> {
  const [a, b] = await Promise.all(sourcesOf(column).map((source) => one(source, example, each, signal)));
  if (!a) return { missing: "It was not logged." };
  if (!column.minus || "missing" in a) return a;
  if (!b || "missing" in b) return b ?? { missing: "What it is compared with was not logged." };
  if (a.values.length !== b.values.length) return { missing: "The two maps are of different sizes." };
  const sides = [a, b].map(({ values }) => (column.signed ? values : values.map(Math.abs))) as [
    Float64Array,
    Float64Array,
  ];
  return { ...a, values: sides[0].map((value, at) => value - (sides[1][at] ?? Number.NaN)), of: sides };
}

export function useExact(column: Column | null, example: number, each: boolean): Async<Whole> {
  const sources = column ? sourcesOf(column) : [];
  const ready = column?.place.source && (!column.minus || column.minus.source);
  const key = ready ? JSON.stringify([sources, example, each, column.signed]) : null;
  return useRequest(key, (signal) => whole(column as Column, example, each, signal));
}

/** Folded values of one example by step. */
export interface Stack {
  readonly of: string;
  readonly width: number;
  readonly steps: ReadonlyMap<number, Float32Array>;
  /** how many logged steps it leaves out, because all would be too many bytes */
  readonly left: number;
}

/** All logged steps of an example, or as many, evenly spaced, as may be fetched. */
export function useStack(source: Source | null, tag: TagInfo, example: number, pixels: number): Stack | null {
  const stamp = `${tag.wall_times.at(-1) ?? ""} ${tag.steps.length}`;
  const of =
    source && pixels
      ? JSON.stringify([source.family.run, tag.name, source.family.input, source.family.channels, example, stamp])
      : null;
  const answer = useRequest(of, async (signal): Promise<Stack> => {
    const bytes = pixels * 4;
    const fits = Math.max(3, Math.floor(CURVE / bytes));
    const asked = chooseColumns(tag.steps.length, tag.steps.indexOf(source?.step ?? 0), fits).map(
      (at) => tag.steps[at] ?? 0,
    );
    const most = Math.max(1, Math.min(200, Math.floor(ANSWER / bytes)));
    const steps = new Map<number, Float32Array>();
    let width = 1;
    for (let at = 0; at < asked.length; at += most) {
      const part = await fetchValues(queryOf(source as Source, example, asked.slice(at, at + most), false), signal);
      width = part.shape[1] ?? 1;
      for (const [step, values] of part.steps) steps.set(step, values);
    }
    return { of: of ?? "", width, steps, left: tag.steps.length - asked.length };
  });
  const stack = answer.state === "ready" ? answer.value : null;
  return stack?.of === of ? stack : null;
}

/** The value of one place at every step; NaN where it is not there. */
export function curveAt(stack: Stack, tag: TagInfo, at: number): { steps: number[]; values: number[] } {
  const steps = tag.steps.filter((step) => stack.steps.has(step));
  return { steps, values: steps.map((step) => stack.steps.get(step)?.[at] ?? Number.NaN) };
}

/** The input of one example at its own size. */
export function useInput(run: string, tag: TagInfo, input: string | null, example: number): Probe | null {
  const key = tag.probe ? JSON.stringify([run, tag.probe, input, example]) : null;
  const answer = useRequest(key, async (signal) => {
    const probe = await fetchProbe(run, tag.probe ?? "", input, null, signal, [example]);
    return { key, probe };
  });
  const found = answer.state === "ready" ? answer.value : null;
  return found?.key === key ? (found?.probe ?? null) : null;
}
