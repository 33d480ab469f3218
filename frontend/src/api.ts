/** Every request of the page; wire names keep their Python spelling (see tb_xai/http_api.md). */
import { parseSafetensors, type Tensor, type Tensors } from "./safetensors";
import type {
  Attributions,
  Finding,
  HealthAnswer,
  Index,
  Missing,
  Probe,
  RunInfo,
  Series,
  Skipped,
  StepMaps,
  ValueMaps,
} from "./wire";

export type * from "./wire";

type Query = Record<string, string | number | readonly number[] | null | undefined>;

/** A relative address with its query; lists repeat their key. */
export function address(route: string, query: Query = {}): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value === null || value === undefined) continue;
    for (const one of typeof value === "object" ? value : [value]) parameters.append(key, String(one));
  }
  const text = parameters.toString();
  return `./${route}${text ? `?${text}` : ""}`;
}

async function get(url: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, signal ? { signal } : {});
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Error("TensorBoard does not answer. Is it still running?", { cause: error });
  }
  if (response.ok) return response;
  const text = (await response.text().catch(() => "")).trim();
  const readable = text && text.length < 600 && !text.startsWith("<");
  throw new Error(readable ? text : `TensorBoard answered ${response.status} ${response.statusText}`);
}

async function tensors(url: string, signal?: AbortSignal): Promise<[Tensors, Record<string, unknown>]> {
  const answer = parseSafetensors(await (await get(url, signal)).arrayBuffer());
  return [answer, JSON.parse(answer.metadata["answer"] ?? "{}") as Record<string, unknown>];
}

function array<T>(answer: Tensors, name: string, type: new (n: number) => T): T {
  const found = answer.arrays.get(name)?.data;
  if (!(found instanceof type))
    throw new Error(`An answer must hold ${name}. Received: ${[...answer.arrays.keys()].join(", ")}`);
  return found;
}

const list = <T>(value: unknown): T[] => (Array.isArray(value) ? (value as T[]) : []);
const listOrNull = <T>(value: unknown): T[] | null => (Array.isArray(value) ? (value as T[]) : null);

/** What is logged, or null when `revision` is still the current one. */
export async function fetchIndex(revision: string | null, signal?: AbortSignal): Promise<Index | null> {
  const answer = (await (await get(address("index", { revision }), signal)).json()) as Partial<Index> & {
    unchanged?: boolean;
  };
  if (answer.unchanged) return null;
  return {
    version: answer.version ?? 0,
    revision: answer.revision ?? "",
    runs: list<RunInfo>(answer.runs),
    skipped: list<Skipped>(answer.skipped),
  };
}

export interface MapsQuery {
  run: string;
  tag: string;
  input: string | null;
  steps: readonly number[];
  examples: readonly number[];
  size: number | null;
  channels: "sum" | "max";
  /** newest wall time of the asked steps: makes the answer immutable */
  version: number | null;
}

const mapsAddress = (query: MapsQuery, dtype: "uint8" | "float32"): string =>
  address("attributions", {
    run: query.run,
    tag: query.tag,
    step: query.steps,
    examples: query.examples.join(","),
    input: query.input,
    size: query.size,
    channels: query.channels,
    dtype,
    v: query.version,
  });

function sides(tensor: Tensor | undefined): readonly [number, number, number] {
  const [n = 0, h = 1, w = 1] = tensor?.shape ?? [];
  return tensor && tensor.shape.length === 2 ? [n, 1, h] : [n, h, w];
}

/** Maps of some steps and examples in one answer, as bytes with each map's own range. */
export async function fetchMaps(query: MapsQuery, signal?: AbortSignal): Promise<Attributions> {
  const [answer, meta] = await tensors(mapsAddress(query, "uint8"), signal);
  const steps = new Map<number, StepMaps>();
  for (const step of list<number>(meta["steps"])) {
    if (!answer.arrays.has(`maps/${step}`)) continue;
    steps.set(step, {
      shape: sides(answer.arrays.get(`maps/${step}`)),
      bytes: array(answer, `maps/${step}`, Uint8Array),
      low: array(answer, `low/${step}`, Float32Array),
      high: array(answer, `high/${step}`, Float32Array),
    });
  }
  return {
    input: String(meta["input"] ?? ""),
    signed: meta["signed"] !== false,
    examples: list<number>(meta["examples"]),
    steps,
    missing: list<Missing>(meta["missing"]),
  };
}

/** The exact values of one step's maps (float32, native size). */
export async function fetchValues(query: MapsQuery, signal?: AbortSignal): Promise<ValueMaps> {
  const [answer, meta] = await tensors(mapsAddress(query, "float32"), signal);
  const [missing] = list<Missing>(meta["missing"]);
  if (missing) throw new Error(missing.reason);
  const name = `maps/${query.steps[0] ?? ""}`;
  return { shape: sides(answer.arrays.get(name)), values: array(answer, name, Float32Array) };
}

/** The fixed examples that a tag explains. */
export async function fetchProbe(
  run: string,
  set: string,
  input: string | null,
  size: number | null,
  signal?: AbortSignal,
): Promise<Probe> {
  const [answer, meta] = await tensors(address("probe", { run, set, input, size }), signal);
  const classes = answer.arrays.get("labels") ?? null;
  return {
    kind: (meta["kind"] as Probe["kind"] | undefined) ?? "other",
    examples: list<number>(meta["examples"]),
    example_names: listOrNull<string>(meta["example_names"]),
    class_names: listOrNull<string>(meta["class_names"]),
    feature_names: listOrNull<string>(meta["feature_names"]),
    low: Number(meta["low"] ?? 0),
    high: Number(meta["high"] ?? 1),
    picture: answer.arrays.get("picture") ?? null,
    values: answer.arrays.get("values") ?? null,
    labels: classes ?? answer.arrays.get("label_values") ?? null,
    labels_are_classes: classes !== null,
    tokens: listOrNull<string[]>(meta["tokens"]),
  };
}

const healthOf = (meta: Record<string, unknown>): HealthAnswer => ({
  states: list(meta["states"]),
  n: typeof meta["n"] === "number" ? meta["n"] : null,
  dead_bound: typeof meta["dead_bound"] === "number" ? meta["dead_bound"] : null,
  thresholds: (meta["thresholds"] ?? {}) as HealthAnswer["thresholds"],
  histogram_edges: list(meta["histogram_edges"]),
});

/** Figures of one tag over its steps; `part` asks for less when the whole would be too large for one answer. */
export async function fetchSeries(
  run: string,
  tag: string,
  signal?: AbortSignal,
  part: { figure?: string; columns?: readonly number[] } = {},
): Promise<Series> {
  const query = { run, tag, figure: part.figure, columns: part.columns?.join(",") };
  const [answer, meta] = await tensors(address("series", query), signal);
  const column = (name: string): Float64Array =>
    answer.arrays.has(name) ? array(answer, name, Float64Array) : new Float64Array();
  return {
    kind: String(meta["kind"] ?? ""),
    steps: column("steps"),
    wall_times: column("wall_times"),
    epochs: column("epochs"),
    names: listOrNull<string>(meta["names"]),
    metric: typeof meta["metric"] === "string" ? meta["metric"] : null,
    ...(Array.isArray(meta["states"]) && { health: healthOf(meta) }),
    missing: list<Missing>(meta["missing"]),
    arrays: answer.arrays,
  };
}

/** What a careful colleague would say of a run. */
export async function fetchFindings(run: string, signal?: AbortSignal): Promise<Finding[]> {
  const answer = (await (await get(address("findings", { run }), signal)).json()) as { findings?: Finding[] };
  return list<Finding>(answer.findings);
}
