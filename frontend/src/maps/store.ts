/** Maps that have arrived, and the requests for those that have not: one answer per screen, kept until they are too many. */
import { signal } from "@preact/signals";
import { fetchMaps, type MapsQuery, type StepMaps } from "../api";
import { messageOf } from "../async";
import { clippedPeakOf, decode, peakOf, stateOf, type MapBytes, type MapState } from "../colour";

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

/** A step of what a family names. */
export interface Source extends LoggedStep {
  readonly family: Family;
}

/** One map with what is asked of it again and again; identical as long as its bytes are. */
export interface ReadyMap {
  readonly height: number;
  readonly width: number;
  readonly state: MapState;
  /** largest |value| */
  readonly peak: number;
  /** the |value| at the end of its own scale, which covers a share of its values */
  readonly end: (share: number) => number;
  readonly values: (signed: boolean) => Float64Array;
  /** the two maps of a difference */
  readonly of?: readonly [ReadyMap, ReadyMap];
}

/** A map, or why there is none: the word for it and a sentence. */
export type Found = ReadyMap | { readonly none: string; readonly reason: string } | "loading" | "failed";

export const isMap = (found: Found): found is ReadyMap => typeof found === "object" && "peak" in found;

type Block = { wall: number | null } & (
  { maps: readonly ReadyMap[]; bytes: number } | { reason: string; found: Found }
);

interface Flight {
  control: AbortController;
  keys: ReadonlySet<string>;
}

/** Examples that travel together. */
export const BLOCK = 64;
const ANSWER_LIMIT = 8_000_000;
const CACHE_LIMIT = 96_000_000;
/** Decoded values are eight times their bytes: only the latest are kept. */
const DECODED_LIMIT = 96_000_000;

/** Counts arrivals: whoever reads it draws again. */
export const arrivals = signal(0);
export const failure = signal<string | null>(null);

const cache = new Map<string, Block>();
const flights = new Set<Flight>();

const named = new WeakMap<Family, string>();

function nameOf(family: Family): string {
  let name = named.get(family);
  if (name === undefined) {
    const { run, tag, input, size, channels } = family;
    named.set(family, (name = JSON.stringify([run, tag, input, size, channels])));
  }
  return name;
}
const keyOf = (family: string, block: number, step: number): string => `${family} ${block} ${step}`;

const latest = new Map<object, Float64Array>();
let latestBytes = 0;

/** Values that can be made again, kept while they are among the latest. */
export function decoded(key: object, make: () => Float64Array): Float64Array {
  const found = latest.get(key);
  if (found) return found;
  const made = make();
  latest.set(key, made);
  latestBytes += made.byteLength;
  for (const [old, values] of latest) {
    if (latestBytes <= DECODED_LIMIT || old === key) break;
    latest.delete(old);
    latestBytes -= values.byteLength;
  }
  return made;
}

function ready(maps: StepMaps, at: number): ReadyMap {
  const [, height, width] = maps.shape;
  const map: MapBytes = {
    bytes: maps.bytes.subarray(at * height * width, (at + 1) * height * width),
    height,
    width,
    low: maps.low[at] ?? Number.NaN,
    high: maps.high[at] ?? Number.NaN,
  };
  const keys = [{}, {}] as const;
  const values = (signed: boolean): Float64Array => decoded(keys[signed ? 1 : 0], () => decode(map, signed));
  let clipped: { share: number; end: number } | null = null;
  const end = (share: number): number => {
    if (clipped?.share !== share) clipped = { share, end: clippedPeakOf(map, share) };
    return clipped.end;
  };
  return { height, width, state: stateOf(map), peak: peakOf(map), end, values };
}

const none = (word: string, reason: string): Found => ({ none: word, reason });
const OUTSIDE = none("not logged", "This step has fewer examples.");

/** The map of one example at one step, or why there is none. */
export function find({ family, step, wall }: Source, example: number): Found {
  const block = cache.get(keyOf(nameOf(family), Math.floor(example / BLOCK), step));
  if (!block || block.wall !== wall) return failure.value === null ? "loading" : "failed";
  if ("reason" in block) return block.found;
  return block.maps[example % BLOCK] ?? OUTSIDE;
}

/** The largest |value| of a map, null where there is no map. */
export const peakIn = (found: Found): number | null => (isMap(found) ? found.peak : null);

function keep(key: string, block: Block): void {
  cache.delete(key);
  cache.set(key, block);
}

function shrink(needed: ReadonlySet<string>): void {
  let total = 0;
  const weigh = (block: Block): number => ("maps" in block ? block.bytes : 0);
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
      const reason = answer.missing.find((one) => one.step === step)?.reason ?? "The server sent no map of this step.";
      const made: Block = maps
        ? { wall, bytes: maps.bytes.length, maps: Array.from({ length: maps.shape[0] }, (_, at) => ready(maps, at)) }
        : { wall, reason, found: none("missing", reason) };
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

/** Sources of one family together, each step once. */
function byFamily(sources: readonly Source[]): { family: Family; steps: LoggedStep[] }[] {
  const made = new Map<string, { family: Family; steps: LoggedStep[] }>();
  for (const { family, step, wall } of sources) {
    const group = made.get(nameOf(family)) ?? { family, steps: [] };
    made.set(nameOf(family), group);
    if (!group.steps.some((one) => one.step === step)) group.steps.push({ step, wall });
  }
  return [...made.values()];
}

/**
 * Asks for what is not here yet, in as few answers as fit, and gives up requests of which nothing is wanted any more.
 * `soon` may be dropped or left out; `now` is what the screen shows.
 */
export function want(blocks: readonly number[], now: readonly Source[], soon: readonly Source[] = []): void {
  const needed = new Set(
    blocks.flatMap((block) => [...now, ...soon].map(({ family, step }) => keyOf(nameOf(family), block, step))),
  );
  for (const flight of flights) {
    if ([...flight.keys].some((key) => needed.has(key))) continue;
    flights.delete(flight);
    flight.control.abort();
  }
  shrink(needed);
  const coming = new Set([...flights].flatMap((flight) => [...flight.keys]));
  for (const { family, steps } of [now, soon].flatMap(byFamily)) {
    const name = nameOf(family);
    const most = Math.max(1, Math.floor(ANSWER_LIMIT / (family.bytes * Math.min(BLOCK, family.examples))));
    for (const block of blocks) {
      if (block * BLOCK >= family.examples) continue;
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
  latest.clear();
  latestBytes = 0;
  failure.value = null;
}
