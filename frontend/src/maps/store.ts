/** Maps that have arrived, and the requests for those that have not: one answer per screen, kept until they are too many. */
import { signal } from "@preact/signals";
import { fetchMaps, type MapsQuery, type StepMaps } from "../api";
import { messageOf } from "../async";
import { clippedPeakOf, decode, peakOf, stateOf, type MapBytes, type MapState } from "../colour";
import { Latest } from "./latest";

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

/** Examples that travel together: about what a screen shows. */
export const BLOCK = 8;
const ANSWER_LIMIT = 8_000_000;
/** Blocks that one answer holds at most: of large pictures the server reads far more than it sends. */
const ANSWER_BLOCKS = 8;
const CACHE_LIMIT = 96_000_000;
/** Decoded values are eight times their bytes: only the latest are kept. */
const DECODED_LIMIT = 32_000_000;

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

const latest = new Latest<Float64Array>(DECODED_LIMIT);

/** Values that can be made again, kept while they are among the latest. */
export function decoded(key: object, make: () => Float64Array): Float64Array {
  const found = latest.get(key);
  if (found) return found;
  const made = make();
  return latest.keep(key, made, made.byteLength);
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

export const blocksOf = (examples: readonly number[]): number[] => [
  ...new Set(examples.map((example) => Math.floor(example / BLOCK))),
];

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

/** The examples of a block that a family has. */
const examplesOf = (family: Family, block: number): number[] =>
  Array.from({ length: Math.min(BLOCK, family.examples - block * BLOCK) }, (_, at) => block * BLOCK + at);

let announced = 0;

/** Answers that arrive together are drawn together. */
function announce(): void {
  announced ||= requestAnimationFrame(() => {
    announced = 0;
    arrivals.value++;
  });
}

async function fly(family: Family, blocks: readonly number[], steps: readonly LoggedStep[]): Promise<void> {
  const name = nameOf(family);
  const flight: Flight = {
    control: new AbortController(),
    keys: new Set(blocks.flatMap((block) => steps.map(({ step }) => keyOf(name, block, step)))),
  };
  const walls = steps.map(({ wall }) => wall).filter((wall) => wall !== null);
  const query: MapsQuery = {
    ...family,
    steps: steps.map(({ step }) => step),
    examples: blocks.flatMap((block) => examplesOf(family, block)),
    version: walls.length === steps.length ? Math.max(...walls) : null,
  };
  flights.add(flight);
  try {
    const answer = await fetchMaps(query, flight.control.signal);
    for (const { step, wall } of steps) {
      const maps = answer.steps.get(step);
      const reason = answer.missing.find((one) => one.step === step)?.reason ?? "The server sent no map of this step.";
      let at = 0;
      for (const block of blocks) {
        const here = examplesOf(family, block).map(() => at++);
        const made: Block = maps
          ? {
              wall,
              bytes: here.length * family.bytes,
              maps: here.filter((one) => one < maps.shape[0]).map((one) => ready(maps, one)),
            }
          : { wall, reason, found: none("missing", reason) };
        keep(keyOf(name, block, step), made);
      }
    }
    failure.value = null;
    announce();
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

/** Maps that somebody wants: blocks of examples from some sources. */
export interface Wish {
  readonly sources: readonly Source[];
  readonly blocks: readonly number[];
}

function* parts<T>(all: readonly T[], most: number): Generator<T[]> {
  for (let at = 0; at < all.length; at += most) yield all.slice(at, at + most);
}

/**
 * Asks for what is not here yet, in as few answers as fit, and gives up requests of which nothing is wanted any more.
 * Wishes come in the order of their haste.
 */
export function want(...wishes: readonly Wish[]): void {
  const needed = new Set(
    wishes.flatMap(({ sources, blocks }) =>
      sources.flatMap(({ family, step }) => blocks.map((block) => keyOf(nameOf(family), block, step))),
    ),
  );
  for (const flight of flights) {
    if ([...flight.keys].some((key) => needed.has(key))) continue;
    flights.delete(flight);
    flight.control.abort();
  }
  shrink(needed);
  const coming = new Set([...flights].flatMap((flight) => [...flight.keys]));
  for (const { sources, blocks } of wishes)
    for (const { family, steps } of byFamily(sources)) {
      const name = nameOf(family);
      const lacks = (block: number, { step, wall }: LoggedStep): boolean => {
        const key = keyOf(name, block, step);
        return !coming.has(key) && cache.get(key)?.wall !== wall;
      };
      const there = blocks.filter((block) => block * BLOCK < family.examples && steps.some((one) => lacks(block, one)));
      const absent = steps.filter((one) => there.some((block) => lacks(block, one)));
      const bytes = family.bytes * Math.min(BLOCK, family.examples);
      const most = Math.min(ANSWER_BLOCKS, Math.max(1, Math.floor(ANSWER_LIMIT / bytes)));
      for (const together of parts(there, most))
        for (const some of parts(absent, Math.max(1, Math.floor(ANSWER_LIMIT / (bytes * together.length))))) {
          void fly(family, together, some);
          for (const block of together) for (const { step } of some) coming.add(keyOf(name, block, step));
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
  failure.value = null;
}
