/** What the view compares, and its switches: lines are the methods of a run, or runs of one method. */
import { computed, signal } from "@preact/signals";
import type { RunInfo, TagInfo } from "../api";
import { runColour, theme } from "../host";
import { axisAvailable, axisValues, edges, type AxisKind } from "../features/axis";
import { style, type Style } from "../features/paint";
import type { RunGroup } from "../groups";
import { axis, field, groups, run, runs, setting, shownRuns, tag, tagsOf } from "../state";
import { union } from "../steps";
import type { Who } from "./curves";
import type { Source } from "./load";
import { DRIFT_MEASURES, type DriftMeasure } from "./measures";

export const lines = field("quality.lines", "", ["", "methods", "runs"] as const);
export const chosen = field<string>("quality.measure", "");
export const driftBy = setting<DriftMeasure>("quality.drift", "cosine", DRIFT_MEASURES);
export const pinned = field<string>("quality.pin", "", (text) => text === "" || Number.isFinite(Number(text)));
export const scoreWish = field<string>("quality.score", "");
export const otherWish = field<string>("quality.other", "");
export const hovered = signal<string | null>(null);

/** More lines than these cannot be told apart. */
export const MOST = 12;

/** Several runs that explain the same examples are compared; of others, and of one, the methods. */
export const compares = computed<"methods" | "runs">(() => {
  if (lines.value) return lines.value;
  const own = tag.value;
  const sets = shownRuns.value.map((one) => one.tags.find(({ name }) => name === own?.name)?.probe);
  return groups.value.length > 1 && new Set(sets).size === 1 ? "runs" : "methods";
});

/** The run whose methods are shown, with those that differ from it in their seed only. */
export const lead = computed<RunGroup<RunInfo> | null>(() => {
  const own = groups.value.find((group) => group.runs.some((one) => one.name === run.value?.name));
  return own ?? groups.value[0] ?? null;
});

/** A colour of light themes, lighter until it can be seen on a dark page. */
export function lightened(colour: string): string {
  const channels = [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  const bright = (0.21 * (channels[0] ?? 0) + 0.72 * (channels[1] ?? 0) + 0.07 * (channels[2] ?? 0)) / 255;
  const mix = Math.max(0, (0.55 - bright) / (1 - bright));
  return `#${channels
    .map((one) =>
      Math.round(one + mix * (255 - one))
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}

const runStyle = (name: string): Style => {
  const colour = runColour(
    name,
    runs.value.map((one) => one.name),
  );
  return { colour: theme.value === "dark" ? lightened(colour) : colour, dash: [] };
};

const DASHES: Style["dash"][] = [[], [7, 3], [9, 3, 2, 3], [2, 2]];

/** Who has a line: at most `MOST`, the method in focus always. */
export const everyone = computed<Who[]>(() => {
  const own = tag.value?.name ?? "";
  if (compares.value === "runs") {
    const seen = new Map<string, number>();
    return groups.value.map((group) => {
      const looks = runStyle(group.runs[0]?.name ?? "");
      // TensorBoard has seven colours: the eighth run looks like the first, but for its dashes
      const times = seen.get(looks.colour) ?? 0;
      seen.set(looks.colour, times + 1);
      const names = group.runs.map((one) => one.name);
      const label = names.length > 1 ? `${group.name} × ${names.length}` : group.name;
      return {
        id: group.name,
        label,
        tag: own,
        runs: names,
        style: { ...looks, dash: DASHES[times % DASHES.length] ?? [] },
      };
    });
  }
  const members = lead.value?.runs ?? [];
  const names = [...new Set(members.flatMap((one) => tagsOf("quality", one).map(({ name }) => name)))];
  const dark = theme.value === "dark";
  return names.map((name, i) => ({
    id: name,
    label: name,
    tag: name,
    runs: members.filter((one) => one.tags.some((other) => other.name === name)).map((one) => one.name),
    style: style(i, dark),
  }));
});

export const who = computed<Who[]>(() => {
  const all = everyone.value;
  const own = all.findIndex((one) => one.tag === tag.value?.name);
  return compares.value === "runs" || own < MOST
    ? all.slice(0, MOST)
    : [...all.slice(0, MOST - 1), ...all.slice(own, own + 1)];
});

/** The line that the table of examples and the scatter's best steps speak of. */
export const leader = computed<Who | null>(
  () =>
    who.value.find((one) =>
      compares.value === "methods" ? one.tag === tag.value?.name : one.runs.includes(run.value?.name ?? ""),
    ) ??
    who.value[0] ??
    null,
);

export const sources = computed<Source[]>(() =>
  who.value.flatMap((one) => one.runs.map((name) => ({ run: name, tag: one.tag }))),
);

export const infoOf = ({ run: name, tag: of }: Source): TagInfo | undefined =>
  runs.value.find((one) => one.name === name)?.tags.find((one) => one.name === of);

/** Methods that explain the same examples as the one in focus. */
export const peers = computed<string[]>(() => {
  const own = tag.value;
  const all = lead.value?.runs[0] ? tagsOf("quality", lead.value.runs[0]) : [];
  return all.filter((one) => one.name !== own?.name && one.probe === own?.probe).map((one) => one.name);
});

/** The method that runs are compared with. */
export const peer = computed<string | undefined>(() =>
  peers.value.includes(otherWish.value) ? otherWish.value : peers.value[0],
);

/** The importance tags of the runs that are drawn: their score is that of the model on many rows. */
export const scoreTags = computed<string[]>(() => {
  const names = new Set(who.value.flatMap((one) => one.runs));
  const tags = shownRuns.value.filter((one) => names.has(one.name)).flatMap((one) => one.tags);
  return [...new Set(tags.filter((one) => one.kind === "importance").map((one) => one.name))];
});

/** Where every step stands along the shared axis. */
export interface Line {
  axis: AxisKind;
  steps: readonly number[];
  place: ReadonlyMap<number, number>;
  xs: readonly number[];
  edges: readonly number[];
  domain: readonly [number, number];
}

export const line = computed<Line>(() => {
  const times = union(sources.value.flatMap((one) => infoOf(one) ?? []));
  const kind = axisAvailable(times, axis.value) ? axis.value : "step";
  const xs = axisValues(times, kind);
  const borders = edges(xs);
  return {
    axis: kind,
    steps: times.steps,
    place: new Map(times.steps.map((step, i) => [step, i])),
    xs,
    edges: borders,
    domain: [borders[0] ?? 0, borders.at(-1) ?? 1],
  };
});
