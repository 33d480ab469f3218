/** The words for layers: their order, their marks, what they mean, and when they first held. */
import { stretches } from "../features/paint";
import { short } from "../colour";
import type { Health } from "./model";

/** The gravest first, as the server's. */
export const STATES = ["not finite", "exploding", "dead", "saturated", "vanishing", "frozen", "healthy"] as const;

const MARKS: Readonly<Record<string, string>> = {
  "not finite": "!",
  exploding: "▲",
  dead: "✕",
  saturated: "■",
  vanishing: "▼",
  frozen: "=",
  healthy: "✓",
};

/** A mark that is told from the others without colour; words of a newer version have one too. */
export const markOf = (state: string): string => MARKS[state] ?? "?";

/** Frozen layers are meant to be; everything else but healthy is trouble. */
export const isBad = (state: string): boolean => state !== "" && state !== "healthy" && state !== "frozen";

/** How grave a word is, 0 is worst; words that are not known count as trouble. */
export const gravity = (state: string): number => {
  const at = (STATES as readonly string[]).indexOf(state);
  return at < 0 ? 0.5 : at;
};

const percent = (share: number | undefined): string =>
  share === undefined ? "?" : `${Number((100 * share).toPrecision(3))} %`;

/** What a word means, with the thresholds that it was given by. */
export function meaning(state: string, { n, thresholds: limit }: Pick<Health, "n" | "thresholds">): string {
  const all = n === null ? "all examples" : `all ${n} examples`;
  const of = (name: string): string => (limit[name] === undefined ? "?" : short(limit[name]));
  switch (state) {
    case "not finite":
      return "NaN or infinity among its weights, gradients or activations";
    case "exploding":
      return `gradient norm above ${of("exploding")} × its weight norm, or weights changed by more than ${of("exploding_update")} × their norm`;
    case "dead":
      return `more than ${percent(limit["dead"])} of its units give the same for ${all}`;
    case "saturated":
      return `more than ${percent(limit["saturated"])} of its activations are at the flat ends of tanh or sigmoid`;
    case "vanishing":
      return `gradient norm below ${of("vanishing")} of the largest layer's, or exactly 0`;
    case "frozen":
      return "no weight of it is trained";
    case "healthy":
      return "no sign of the troubles that are looked for";
    default:
      return "a word of a newer tb_xai";
  }
}

export interface Spell {
  state: string;
  /** rows of the first and the last step */
  first: number;
  last: number;
}

/** The stretches of steps in which a layer was anything but healthy, in time. */
export function spells(health: Health, layer: number): Spell[] {
  const words = health.states.map((row) => row?.[layer] ?? "");
  return stretches(words.map((word) => (word === "healthy" ? "" : word))).map(([first, last, state]) => ({
    state,
    first,
    last,
  }));
}

/** The gravest stretch of a layer, the earliest of its kind; null where it was always healthy. */
export function worst(health: Health, layer: number): Spell | null {
  return spells(health, layer).reduce<Spell | null>(
    (found, one) => (found && gravity(found.state) <= gravity(one.state) ? found : one),
    null,
  );
}

/** When a stretch was, short: "always", "from 7", "7 to 9", "at 7". */
export function when(health: Health, { first, last }: Spell): string {
  const end = health.steps.length - 1;
  const [a, b] = [health.steps[first] ?? 0, health.steps[last] ?? 0];
  if (last === end && first === 0) return end === 0 ? `at ${a}` : "always";
  if (last === end) return `from ${a}`;
  return first === last ? `at ${a}` : `${a} to ${b}`;
}

export interface Verdict {
  state: string;
  when: string;
  /** row of the first step */
  first: number;
  /** in the order of the model: the first is where to look */
  layers: number[];
  /** whether it does not hold at the last step any more */
  over: boolean;
}

/**
 * What is wrong with a run: of each layer its gravest stretch, and the one that holds at the end. Layers that fell ill at
 * the same steps with the same word stand together; the gravest first, what still holds before what is over.
 */
export function verdicts(health: Health): Verdict[] {
  const end = health.steps.length - 1;
  const found = new Map<string, Verdict>();
  health.layers.forEach((_, layer) => {
    const last = spells(health, layer).at(-1);
    const told = new Map([worst(health, layer), last?.last === end ? last : null].map((one) => [one?.first, one]));
    for (const spell of told.values()) {
      if (!spell || !isBad(spell.state)) continue;
      const again = spells(health, layer).filter(({ state }) => state === spell.state).length - 1;
      const said = `${when(health, spell)}${again > 0 ? ` and ${again === 1 ? "once" : `${again} times`} more` : ""}`;
      const key = `${spell.state}/${said}`;
      const known = found.get(key);
      if (known) known.layers.push(layer);
      else
        found.set(key, { state: spell.state, when: said, first: spell.first, layers: [layer], over: spell.last < end });
    }
  });
  return [...found.values()].sort(
    (a, b) => gravity(a.state) - gravity(b.state) || Number(a.over) - Number(b.over) || a.first - b.first,
  );
}

/** What an error of the gradient check says: its mark, its words, and whether something is wrong. */
export function checkWord(error: number): readonly [mark: string, word: string, bad: boolean] {
  if (!(error <= 0.1)) return ["✕", "not the derivative", true];
  return error > 1e-6 ? ["~", "a kink nearby", false] : ["✓", "right", false];
}
