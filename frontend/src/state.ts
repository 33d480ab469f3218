/** The page's state: a few addressable fields and what is logged; everything else is computed from them. */
import { batch, computed, effect, signal, type Signal } from "@preact/signals";
import { fetchIndex, type Index, type RunInfo, type TagInfo } from "./api";
import { AXES, type AxisKind } from "./axis";
import { groupsOf, type RunGroup } from "./groups";
import { isVisible, onHashChange, readHash, writeHash } from "./host";
import { NO_STEPS, union, withHoles, type Logged } from "./steps";
import { keep, ourPart, readLink, recall, writeLink } from "./url";

export const VIEWS = ["overview", "maps", "features", "quality", "health", "text"] as const;
export type View = (typeof VIEWS)[number];

/* ---------- fields: what a link holds, what is remembered ---------- */

interface Field {
  signal: Signal<string>;
  initial: string;
  allows: (text: string) => boolean;
  remembered: boolean;
}

const fields = new Map<string, Field>();
/** How many fields there are: views bring their own when they are loaded. */
const known = signal(0);
/** The link that was applied last: what it says of fields that are still to come is theirs. */
let applied: ReadonlyMap<string, string> = new Map();

/** A part of the state that stands in the address; `""` means "automatic" where `initial` is `""`. */
export function field<T extends string>(
  key: string,
  initial: T,
  allowed: readonly T[] | ((text: string) => boolean) = () => true,
  remembered = false,
): Signal<T> {
  const allows =
    typeof allowed === "function" ? allowed : (text: string) => (allowed as readonly string[]).includes(text);
  const text = applied.get(key);
  const made = signal<T>(text !== undefined && allows(text) ? (text as T) : initial);
  fields.set(key, { signal: made as unknown as Signal<string>, initial, allows, remembered });
  known.value = fields.size;
  return made;
}

/** A field that is also remembered in this browser: how things are drawn, never which things. */
export const setting = <T extends string>(
  key: string,
  initial: T,
  allowed: readonly T[] | ((text: string) => boolean) = () => true,
): Signal<T> => field(key, initial, allowed, true);

/** A list of run names as a link holds it, or null when it is not one. */
function namesIn(text: string): string[] | null {
  try {
    const names = JSON.parse(text) as unknown;
    return Array.isArray(names) && names.every((name) => typeof name === "string") ? names : null;
  } catch {
    return null;
  }
}

const wantedView = field<View | "">("view", "", ["", ...VIEWS]);
const wantedRun = field<string>("run", "");
const wantedRuns = field<string>("runs", "", (text) => text === "" || namesIn(text) !== null);
const wantedStep = field<string>("step", "", (text) => text === "" || Number.isFinite(Number(text)));
const wantedTag: Partial<Record<View, Signal<string>>> = {
  maps: field<string>("maps.tag", ""),
  features: field<string>("features.tag", ""),
  quality: field<string>("quality.tag", ""),
  health: field<string>("health.tag", ""),
  text: field<string>("text.tag", ""),
};
export const runFilter = field<string>("filter", "");

/** What stands along the charts and beside the step: its number, its epoch, the time since the first, the time of day. */
export const axis = setting<AxisKind>("axis", "step", AXES);
/** A regular expression; runs whose names are the same without what it matches are one group. "" is no groups. */
export const groupBy = setting<string>("group", "");

/** What differs from a fresh page; a link always names the view, so that it is known as one. */
export function currentLink(): Map<string, string> {
  const link = new Map<string, string>([["view", view.value]]);
  const here = known.value;
  for (const [key, text] of applied) if (here && !fields.has(key)) link.set(key, text);
  for (const [key, { signal: value, initial }] of fields)
    if (value.value !== initial && key !== "view") link.set(key, value.value);
  return link;
}

/** This screen's link with some parts changed; `""` is what a fresh page has. */
export function linkWith(changes: Readonly<Record<string, string>>): Map<string, string> {
  return new Map([...currentLink(), ...Object.entries(changes)].filter(([, text]) => text !== ""));
}

/** Sets every field from a link; what the link does not name becomes its default, so that a link shows one screen. */
export function applyLink(link: ReadonlyMap<string, string>): void {
  batch(() => {
    applied = link;
    for (const [key, { signal: value, initial, allows }] of fields) {
      const text = link.get(key);
      value.value = text !== undefined && allows(text) ? text : initial;
    }
  });
}

function remember(): void {
  const kept = new Map([...recall()].filter(([key]) => !fields.has(key)));
  for (const [key, { signal: value, initial, remembered }] of known.value ? fields : [])
    if (remembered && value.value !== initial) kept.set(key, value.value);
  keep(kept);
}

/** Reads the address (or, without one, what is remembered) and keeps both up to date from then on. */
export function followAddress(): void {
  const link = readLink(readHash());
  applyLink(link.size ? link : recall());
  let last = ourPart(readHash());
  // after what changed is painted: writing an address takes as long as drawing twenty maps
  const publishSoon = (): void => void requestAnimationFrame(() => setTimeout(publish));
  const publish = (): void => {
    if (!isVisible()) return;
    const there = ourPart(readHash());
    // an address that was changed from outside is about to be heard of
    if (there !== last && there !== "#") publishSoon();
    else writeHash(writeLink(readHash(), currentLink()));
    last = ourPart(readHash());
  };
  effect(() => {
    currentLink();
    publishSoon();
  });
  effect(remember);
  window.addEventListener("resize", publish);
  onHashChange(() => {
    last = ourPart(readHash());
    const changed = readLink(last);
    if (changed.size && isVisible()) applyLink(changed);
  });
}

/* ---------- what is logged ---------- */

export const index = signal<Index | null>(null);
export const indexError = signal<string | null>(null);

let asking: Promise<void> | null = null;

/** Asks what is logged; keeps the last answer when there is no new one. */
export function refresh(): Promise<void> {
  asking ??= (async () => {
    try {
      const answer = await fetchIndex(index.peek()?.revision ?? null);
      batch(() => {
        if (answer) index.value = answer;
        indexError.value = null;
      });
    } catch (error) {
      indexError.value = error instanceof Error ? error.message : String(error);
    } finally {
      asking = null;
    }
  })();
  return asking;
}

/** Polls while the tab is looked at; data is on disk some seconds before TensorBoard has read it. */
export function poll(milliseconds = 5000): void {
  const look = (): void => {
    if (isVisible()) void refresh();
  };
  setInterval(look, milliseconds);
  document.addEventListener("visibilitychange", look);
}

/* ---------- what is selected ---------- */

/** Whether a tag has maps that are pictures. */
const ofImages = (tag: TagInfo): boolean => tag.kind === "attribution" && tag.inputs?.[0]?.kind === "image";

/** Views that show one run: the others draw several beside each other. */
export const ONE_RUN: ReadonlySet<View> = new Set<View>(["maps", "text"]);
/** What stands side by side in Maps. */
export const mapsBy = field("maps.by", "steps", ["steps", "methods", "runs"] as const);
export const oneRun = computed(() => ONE_RUN.has(view.value) && !(view.value === "maps" && mapsBy.value === "runs"));

/** Whether a view can draw a tag. */
export function accepts(which: View, tag: TagInfo): boolean {
  if (which === "overview") return true;
  if (which === "maps") return tag.kind === "attribution";
  if (which === "quality") return tag.kind === "attribution" && tag.value_name === undefined;
  if (which === "health") return tag.kind === "health";
  if (which === "text") return tag.kind === "attribution" && (tag.inputs ?? []).some((one) => one.tokens);
  return tag.kind === "importance" || (tag.kind === "attribution" && (tag.inputs ?? []).some((i) => i.kind === "flat"));
}

export const tagsOf = (which: View, of: RunInfo | null): TagInfo[] =>
  (of?.tags ?? []).filter((tag) => accepts(which, tag));

export const runs = computed<RunInfo[]>(() => index.value?.runs ?? []);

export const view = computed<View>(() => wantedView.value || "overview");

/** The run in focus: the one Maps shows. */
export const run = computed<RunInfo | null>(() => {
  const all = runs.value;
  const wanted = all.find((one) => one.name === wantedRun.value);
  if (wanted) return wanted;
  const pictured = view.value === "maps" ? all.find((one) => one.tags.some(ofImages)) : undefined;
  return pictured ?? all.find((one) => tagsOf(view.value, one).length) ?? all[0] ?? null;
});

export const tags = computed<TagInfo[]>(() => tagsOf(view.value, run.value));

/** What a view shows before anyone chose: integrated gradients and images for maps, importance for features. */
export function firstOf(which: View, all: readonly TagInfo[]): TagInfo | null {
  const best =
    which === "features"
      ? all.find((one) => one.kind === "importance")
      : (all.find((one) => one.method === "integrated_gradients" && ofImages(one)) ?? all.find(ofImages));
  return best ?? all[0] ?? null;
}

/** The tag in the current view and run; the overview is of all tags. */
export const tag = computed<TagInfo | null>(() => {
  const wanted = wantedTag[view.value];
  if (!wanted) return null;
  const name = wanted.value;
  return tags.value.find((one) => one.name === name) ?? firstOf(view.value, tags.value);
});

/** Whether a run has what is shown now. */
export function hasTag(of: RunInfo): boolean {
  const name = tag.value?.name;
  return tagsOf(view.value, of).some((one) => name === undefined || one.name === name);
}

/** Runs that views with several draw: the chosen ones, at first every run that has the tag (at most 12). */
export const shownRuns = computed<RunInfo[]>(() => {
  const having = runs.value.filter(hasTag);
  const names = namesIn(wantedRuns.value);
  if (!names) return having.slice(0, 12);
  const chosen = new Set(names);
  return having.filter((one) => chosen.has(one.name));
});

/** The shown runs in groups of seeds, each a group of its own where nothing groups them. */
export const groups = computed<RunGroup<RunInfo>[]>(() => groupsOf(shownRuns.value, groupBy.value));

/** The exact logged steps that the cursor moves over, with their epochs. */
export const logged = computed<Logged>(() => {
  const own = tag.value;
  if (!own) return NO_STEPS;
  if (oneRun.value) return withHoles(own, tags.value);
  // rows of maps are examples: what explains others has no place beside them
  const fits = (one: TagInfo): boolean => one.name === own.name && (view.value !== "maps" || one.probe === own.probe);
  return union(shownRuns.value.flatMap((one) => one.tags.filter(fits)));
});

/** The cursor: an exact logged step. Without a wish it is the last one and follows the training. */
export const step = computed<number | null>(() => {
  const { steps } = logged.value;
  if (wantedStep.value === "") return steps.at(-1) ?? null;
  const wanted = Number(wantedStep.value);
  return steps.findLast((one) => one <= wanted) ?? steps[0] ?? null;
});

export const followsLast = computed(() => wantedStep.value === "");

/* ---------- what a person does ---------- */

export const playing = signal(false);

export function showView(which: View): void {
  wantedView.value = which;
}

export function showRun(name: string): void {
  wantedRun.value = name;
}

export function showRuns(names: readonly string[] | null): void {
  wantedRuns.value = names ? JSON.stringify(names) : "";
}

export function showTag(name: string): void {
  const wanted = wantedTag[view.value];
  if (wanted) wanted.value = name;
}

export function moveTo(to: number): void {
  wantedStep.value = to === logged.value.steps.at(-1) ? "" : String(to);
}

/** Moves the cursor by logged steps; `Infinity` is the last. */
export function moveBy(count: number): void {
  const { steps } = logged.value;
  if (step.value === null) return;
  const at = Math.min(steps.length - 1, Math.max(0, steps.indexOf(step.value) + count));
  const to = steps[at];
  if (to !== undefined) moveTo(to);
}
