/** Every request of the page; wire names keep their Python spelling (see tb_xai/http_api.md). */
import { parseSafetensors, type Tensor, type Tensors } from "./safetensors";
import type {
  Attributions,
  Drift,
  Finding,
  HealthAnswer,
  Index,
  Mask,
  Missing,
  Probe,
  RunInfo,
  Series,
  Skipped,
  StepMaps,
  ValueMaps,
} from "./wire";

export type * from "./wire";

type Query = Record<string, string | number | readonly (string | number)[] | null | undefined>;

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

/** The server's refusal: its words and its status. */
export class Refusal extends Error {
  constructor(
    words: string,
    readonly status: number,
  ) {
    super(words);
  }
}

/** Milliseconds after which a server that has not begun to answer is given up, so that it can be asked again. */
export const PATIENCE = 60_000;

async function get(url: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  const control = new AbortController();
  const stop = (): void => control.abort();
  if (signal?.aborted) stop();
  signal?.addEventListener("abort", stop, { once: true });
  const timer = setTimeout(stop, PATIENCE);
  try {
    response = await fetch(url, { signal: control.signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    const silent = control.signal.aborted ? ` has not answered for ${PATIENCE / 1000} s` : " does not answer";
    throw new Error(`TensorBoard${silent}. Is it still running?`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
  if (response.ok) return response;
  const text = (await response.text().catch(() => "")).trim();
  const readable = text && text.length < 600 && !text.startsWith("<");
  throw new Refusal(
    readable ? text : `TensorBoard answered ${response.status} ${response.statusText}`,
    response.status,
  );
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
  /** how channels are folded; "all" leaves them, for values only */
  channels: "sum" | "max" | "all";
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

/** The exact values of maps (float32), step by step; steps without are named with their reason. */
export async function fetchValues(query: MapsQuery, signal?: AbortSignal): Promise<ValueMaps> {
  const [answer, meta] = await tensors(mapsAddress(query, "float32"), signal);
  const asked = list<number>(meta["steps"]).filter((step) => answer.arrays.has(`maps/${step}`));
  return {
    shape: list<number>(meta["shape"]),
    steps: new Map(asked.map((step) => [step, array(answer, `maps/${step}`, Float32Array)])),
    missing: list<Missing>(meta["missing"]),
  };
}

/** The fixed examples that a tag explains. */
export async function fetchProbe(
  run: string,
  set: string,
  input: string | null,
  size: number | null,
  signal?: AbortSignal,
  examples?: readonly number[],
): Promise<Probe> {
  const query = { run, set, input, size, examples: examples?.join(",") };
  const [answer, meta] = await tensors(address("probe", query), signal);
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

/** Bytes of a figure that an answer can hold beside its axes. */
const ALONE = 15 * 2 ** 20;

/** Figures of one tag over its steps, in several answers where one cannot hold them; `part` asks for less. */
export async function fetchSeries(
  run: string,
  tag: string,
  signal?: AbortSignal,
  part: { figure?: string | readonly string[]; columns?: readonly number[]; step?: number } = {},
): Promise<Series> {
  const query = { run, tag, ...part, columns: part.columns?.join(",") };
  const [answer, meta] = await tensors(address("series", query), signal);
  const arrays = new Map(answer.arrays);
  const unmeasured = (meta["unmeasured"] ?? {}) as Record<string, number[]>;
  for (const [figure, bytes] of Object.entries((meta["omitted"] ?? {}) as Record<string, number>)) {
    if (bytes > ALONE) continue; // whoever needs it asks for some columns
    const [more, about] = await tensors(address("series", { ...query, figure }), signal);
    for (const [name, tensor] of more.arrays) arrays.set(name, tensor);
    Object.assign(unmeasured, about["unmeasured"]);
  }
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
    reasons: (meta["reasons"] ?? {}) as Record<string, string>,
    unmeasured,
    masks: (meta["masks"] ?? {}) as Record<string, Mask>,
    arrays,
  };
}

/** What drift is measured against: the logged step before (default), the first or any logged one; or another tag. */
export interface DriftWish {
  against?: string | number;
  other?: string;
  /** told of every answer that is not the last: what is known so far */
  part?: (so_far: Drift) => void;
}

/** How alike explanations are over steps; asks again for as long as the server has more to compute. */
export async function fetchDrift(
  run: string,
  tag: string,
  measure: string,
  signal?: AbortSignal,
  { against, other, part }: DriftWish = {},
): Promise<Drift> {
  let reached = -1;
  for (;;) {
    const [answer, meta] = await tensors(address("drift", { run, tag, measure, against, other }), signal);
    const [t = 0, n = 0] = answer.arrays.get("value")?.shape ?? [];
    const reasons = list<string | null>(meta["reasons"]);
    const drift: Drift = {
      steps: array(answer, "steps", Float64Array),
      against: array(answer, "against", Float64Array),
      examples: n,
      value: t * n ? array(answer, "value", Float32Array) : new Float32Array(),
      mean: array(answer, "mean", Float64Array),
      floor: answer.arrays.has("floor_mean") ? array(answer, "floor_mean", Float64Array) : null,
      deterministic: meta["deterministic"] === true,
      reasons,
      compared: typeof meta["compared"] === "string" ? meta["compared"] : null,
    };
    const known = reasons.filter((one) => one === null).length;
    // a server that gets no further is not asked for ever
    if (meta["complete"] !== false || known <= reached) return drift;
    reached = known;
    part?.(drift);
  }
}

/** What a careful colleague would say of a run. */
export async function fetchFindings(run: string, signal?: AbortSignal): Promise<Finding[]> {
  const answer = (await (await get(address("findings", { run }), signal)).json()) as { findings?: Finding[] };
  return list<Finding>(answer.findings);
}
