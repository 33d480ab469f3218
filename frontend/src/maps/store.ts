/** Maps that have arrived, and the requests for those that have not: one answer per screen, kept until they are too many. */
import { signal } from "@preact/signals";
import { fetchMaps, type MapsQuery, type StepMaps } from "../api";
import { messageOf } from "../async";
import { decode, peakOf, stateOf, type MapBytes, type MapState } from "../colour";

/** What all maps of a screen share. */
export interface Family {
  readonly run: string;
  readonly tag: string;
  readonly input: string | null;
  readonly size: number | null;
  readonly channels: "sum" | "max";
  readonly examples: number;
  /** most bytes of one map */
  readonly bytes: number;
}

export interface LoggedStep {
  readonly step: number;
  /** wall time: a step that was written again is another step */
  readonly wall: number | null;
}

/** One map with what is asked of it again and again; identical as long as its bytes are. */
export interface ReadyMap extends MapBytes {
  readonly state: MapState;
  readonly peak: number;
  readonly values: (signed: boolean) => Float64Array;
}

type Block = { wall: number | null } & ({ maps: readonly ReadyMap[] } | { reason: string });

interface Flight {
  control: AbortController;
  keys: ReadonlySet<string>;
}

/** Examples that travel together. */
export const BLOCK = 64;
const ANSWER_LIMIT = 8_000_000;
const CACHE_LIMIT = 128_000_000;

/** Counts arrivals: whoever reads it draws again. */
export const arrivals = signal(0);
export const failure = signal<string | null>(null);

const cache = new Map<string, Block>();
const flights = new Set<Flight>();

const nameOf = ({ run, tag, input, size, channels }: Family): string =>
  JSON.stringify([run, tag, input, size, channels]);
const keyOf = (family: string, block: number, step: number): string => `${family} ${block} ${step}`;

function ready(maps: StepMaps, at: number): ReadyMap {
  const [, height, width] = maps.shape;
  const map: MapBytes = {
    bytes: maps.bytes.subarray(at * height * width, (at + 1) * height * width),
    height,
    width,
    low: maps.low[at] ?? Number.NaN,
    high: maps.high[at] ?? Number.NaN,
  };
  let known: { signed: boolean; values: Float64Array } | null = null;
  const values = (signed: boolean): Float64Array => {
    if (known?.signed !== signed) known = { signed, values: decode(map, signed) };
    return known.values;
  };
  return { ...map, state: stateOf(map), peak: peakOf(map), values };
}

export type Found = ReadyMap | { missing: string } | "absent" | "loading" | "failed";

/** The map of one example at one step, or why there is none. */
export function find(family: Family, { step, wall }: LoggedStep, example: number): Found {
  const block = cache.get(keyOf(nameOf(family), Math.floor(example / BLOCK), step));
  if (!block || block.wall !== wall) return failure.value === null ? "loading" : "failed";
  if ("reason" in block) return { missing: block.reason };
  return block.maps[example % BLOCK] ?? "absent";
}

/** The largest |value| of a map, null where there is no map. */
export const peakIn = (found: Found): number | null =>
  typeof found === "object" && "peak" in found ? found.peak : null;

function keep(key: string, block: Block): void {
  cache.delete(key);
  cache.set(key, block);
}

function shrink(needed: ReadonlySet<string>): void {
  let total = 0;
  const weigh = (block: Block): number =>
    "maps" in block ? block.maps.reduce((sum, { bytes }) => sum + bytes.length, 0) : 0;
  for (const block of cache.values()) total += weigh(block);
  for (const [key, block] of cache) {
    if (total <= CACHE_LIMIT) return;
    if (needed.has(key)) continue;
    total -= weigh(block);
    cache.delete(key);
  }
}

async function fly(family: Family, block: number, steps: readonly LoggedStep[]): Promise<void> {
  const name = nameOf(family);
  const flight: Flight = {
    control: new AbortController(),
    keys: new Set(steps.map(({ step }) => keyOf(name, block, step))),
  };
  const walls = steps.map(({ wall }) => wall).filter((wall) => wall !== null);
  const count = Math.min(BLOCK, family.examples - block * BLOCK);
  const query: MapsQuery = {
    ...family,
    steps: steps.map(({ step }) => step),
    examples: Array.from({ length: count }, (_, at) => block * BLOCK + at),
    version: walls.length === steps.length ? Math.max(...walls) : null,
  };
  flights.add(flight);
  try {
    const answer = await fetchMaps(query, flight.control.signal);
    for (const { step, wall } of steps) {
      const maps = answer.steps.get(step);
      const reason = answer.missing.find((one) => one.step === step)?.reason;
      const made: Block =
        maps && !reason
          ? { wall, maps: Array.from({ length: maps.shape[0] }, (_, at) => ready(maps, at)) }
          : { wall, reason: reason ?? "The server sent no map of this step." };
      keep(keyOf(name, block, step), made);
    }
    failure.value = null;
    arrivals.value++;
  } catch (error) {
    if (!flight.control.signal.aborted) failure.value = messageOf(error);
  } finally {
    flights.delete(flight);
  }
}

/**
 * Asks for what is not here yet, in as few answers as fit, and gives up requests of which nothing is wanted any more.
 * `soon` may be dropped or left out; `now` is what the screen shows.
 */
export function want(
  family: Family,
  blocks: readonly number[],
  now: readonly LoggedStep[],
  soon: readonly LoggedStep[] = [],
): void {
  const name = nameOf(family);
  const keys = (steps: readonly LoggedStep[]): string[] =>
    blocks.flatMap((block) => steps.map(({ step }) => keyOf(name, block, step)));
  const needed = new Set(keys([...now, ...soon]));
  for (const flight of flights) {
    if ([...flight.keys].some((key) => needed.has(key))) continue;
    flights.delete(flight);
    flight.control.abort();
  }
  shrink(needed);
  const coming = new Set([...flights].flatMap((flight) => [...flight.keys]));
  const most = Math.max(1, Math.floor(ANSWER_LIMIT / (family.bytes * Math.min(BLOCK, family.examples))));
  for (const steps of [now, soon]) {
    for (const block of blocks) {
      const absent = steps.filter(({ step, wall }) => {
        const key = keyOf(name, block, step);
        return !coming.has(key) && cache.get(key)?.wall !== wall;
      });
      for (let at = 0; at < absent.length; at += most) void fly(family, block, absent.slice(at, at + most));
      for (const { step } of absent) coming.add(keyOf(name, block, step));
    }
  }
}

/** Gives up everything that is on its way. */
export function cancel(): void {
  for (const { control } of flights) control.abort();
  flights.clear();
}

/** Forgets everything (tests). */
export function forget(): void {
  cancel();
  cache.clear();
  failure.value = null;
}
