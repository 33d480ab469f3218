/** What stands in each column: the steps of a method, its peers at one step, or the same method in other runs. */
import type { RunInfo, TagInfo } from "../api";
import type { Logged } from "../steps";
import { chooseColumns } from "./columns";
import { differenceOf } from "./difference";
import { familyOf, inputOf, kindOf, type Kind } from "./screen";
import { find, type Found, type Source } from "./store";

/** One map of an example, or why there is none. */
type Place = { readonly source: Source } | { readonly source: null; readonly none: string; readonly reason: string };

export interface Column {
  readonly key: string;
  readonly run: string;
  readonly tag: TagInfo;
  readonly step: number;
  readonly epoch: number;
  /** what the header says, and what a screen reader is told */
  readonly title: string;
  readonly kind: Kind;
  /** whether its values are shown with their signs */
  readonly signed: boolean;
  /** stands for what is selected */
  readonly current: boolean;
  readonly place: Place;
  /** what is taken away; null: the maps themselves are seen */
  readonly minus: Place | null;
}

/** What the columns are made of. */
export interface Scene {
  readonly by: "steps" | "methods" | "runs";
  readonly run: RunInfo;
  readonly tag: TagInfo;
  /** the runs that are compared */
  readonly runs: readonly RunInfo[];
  readonly logged: Logged;
  readonly step: number | null;
  readonly minus: string;
  readonly input: string;
  readonly showsSigns: (tag: TagInfo) => boolean;
  /** of a cell, in pixels of the display */
  readonly cell: number;
  readonly ratio: number;
}

/** Methods whose maps are of the same examples. */
export const peersOf = (run: RunInfo, tag: TagInfo): TagInfo[] =>
  run.tags.filter(
    (one) => one.kind === "attribution" && (one === tag || (one.probe !== undefined && one.probe === tag.probe)),
  );

const named = (run: RunInfo | undefined, tag: string): TagInfo | undefined =>
  run?.tags.find((one) => one.name === tag && one.kind === "attribution");

/** The logged steps around one that was not logged, in words. */
function around(tag: TagInfo, step: number): string {
  const before = tag.steps.findLast((one) => one < step);
  const after = tag.steps.find((one) => one > step);
  const near = [before, after].filter((one) => one !== undefined);
  return near.length ? `; the nearest logged ${near.length > 1 ? "steps are" : "step is"} ${near.join(" and ")}` : "";
}

/** Whether a run explains the same examples with the selected method. */
const alike = (scene: Scene, run: RunInfo): boolean => named(run, scene.tag.name)?.probe === scene.tag.probe;

const others = (who: string, { name }: RunInfo): string =>
  `${who} explains other examples than ${name}, so its maps are not of these rows.`;

/** Shown runs that cannot stand beside each other, because the method explains other examples there; with the reason. */
export const strangersOf = (scene: Scene): [string, string][] =>
  scene.by !== "runs"
    ? []
    : scene.runs.filter((run) => !alike(scene, run)).map(({ name }) => [name, others("It", scene.run)]);

/** How many columns there are to choose from. */
export function countOf(scene: Scene): number {
  if (scene.by === "steps") return scene.logged.steps.length;
  return scene.by === "methods"
    ? peersOf(scene.run, scene.tag).length
    : scene.runs.filter((one) => alike(scene, one)).length;
}

/** The run and the step of what is taken away from a map. */
function pinned(minus: string): { run?: string; step?: number } | null {
  if (minus.startsWith("step ")) return { step: Number(minus.slice(5)) };
  return minus.startsWith("run ") ? { run: minus.slice(4) } : null;
}

export function columnsOf(scene: Scene, fits: number, all: boolean, everyRun: readonly RunInfo[]): Column[] {
  const { by, run, tag, logged } = scene;
  const cursor = Math.max(0, logged.steps.indexOf(scene.step ?? Number.NaN));
  const away = pinned(scene.minus);

  const place = (of: RunInfo | undefined, name: string, which: TagInfo | undefined, step: number): Place => {
    const absent = (none: string, reason: string): Place => ({ source: null, none, reason });
    if (!of || !which) return absent("not logged", `${name} has no maps of ${tag.name}.`);
    if (which.probe !== tag.probe) return absent("other examples", others(name, run));
    const at = which.steps.indexOf(step);
    if (at < 0)
      return absent(
        "not logged",
        `${which.name}${of === run ? "" : ` of ${name}`} was not logged at step ${step}${around(which, step)}.`,
      );
    const family = familyOf(
      of.name,
      which,
      inputOf(which, scene.input),
      scene.showsSigns(which),
      scene.cell,
      scene.ratio,
    );
    return { source: { family, step, wall: which.wall_times[at] ?? null } };
  };
  const column = (of: RunInfo, which: TagInfo | undefined, at: number, title: string, current: boolean): Column => {
    const step = logged.steps[at] ?? 0;
    const from = away?.run === undefined ? of : everyRun.find((one) => one.name === away.run);
    const its = which ?? tag;
    return {
      key: title,
      run: of.name,
      tag: its,
      step,
      epoch: logged.epochs[at] ?? Number.NaN,
      title,
      kind: kindOf(inputOf(its, scene.input)),
      signed: scene.showsSigns(its),
      current,
      place: place(of, of.name, which, step),
      minus: away && place(from, away.run ?? of.name, from && named(from, its.name), away.step ?? step),
    };
  };

  if (by === "methods")
    return peersOf(run, tag).map((one) => column(run, one, cursor, one.name, one.name === tag.name));
  if (by === "runs")
    return scene.runs
      .filter((one) => alike(scene, one))
      .map((one) => column(one, named(one, tag.name), cursor, one.name, one.name === run.name));
  const chosen = chooseColumns(logged.steps.length, cursor, all ? Infinity : fits);
  return chosen.map((at) => column(run, tag, at, String(logged.steps[at] ?? 0), at === cursor));
}

/** What must be fetched to draw a column. */
export const sourcesOf = (column: Column): Source[] =>
  [column.place, column.minus].flatMap((one) => (one?.source ? [one.source] : []));

const seen = (place: Place, example: number): Found =>
  place.source ? find(place.source, example) : { none: place.none, reason: place.reason };

/** What a cell shows: a map, the difference of two, or why there is none. */
export function see(column: Column, example: number): Found {
  const own = seen(column.place, example);
  return column.minus ? differenceOf(own, seen(column.minus, example), column.signed) : own;
}
