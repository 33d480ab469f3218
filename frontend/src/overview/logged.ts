/** What a run has logged, what it has not, and the lines that would add it. */
import type { RunInfo, TagInfo } from "../api";
import { accepts, type View } from "../state";

export interface Absent {
  what: string;
  why: string;
  lines: string;
}

/** Figures of which each says how good an explanation is. */
const QUALITY = ["faithfulness", "deletion", "max_sensitivity", "infidelity", "randomisation", "gini"];

const KINDS: Readonly<Record<string, string>> = { attribution: "maps", importance: "importance", health: "health" };

/** What a tag holds, in a word. */
export const kindWord = ({ kind }: TagInfo): string => KINDS[kind] ?? kind;

/** The view that draws a tag, best first. */
export const viewOf = (tag: TagInfo): Exclude<View, "overview"> | null =>
  (["text", "maps", "features", "health"] as const).find((which) => accepts(which, tag)) ?? null;

/** Parts of the link to a tag. */
export function linkTo(run: string, tag: TagInfo): Record<string, string> | null {
  const view = viewOf(tag);
  return view && { view, run, [`${view}.tag`]: tag.name };
}

/** How often a tag was logged. */
export function stepWords({ steps }: TagInfo): string {
  const [first, last] = [steps[0], steps.at(-1)];
  if (first === undefined || last === undefined) return "no step";
  return steps.length === 1 ? `step ${first}` : `${steps.length} steps, ${first} to ${last}`;
}

export const secondsWords = (seconds: number): string =>
  seconds < 1 ? `${Number((1000 * seconds).toPrecision(2))} ms` : `${Number(seconds.toPrecision(2))} s`;

const call = (run: string, name: string, rest: string): string =>
  `from tb_xai.callbacks import ${name}\n\n${name}(${JSON.stringify(run === "." ? "logs" : `logs/${run}`)}, ${rest}),`;

/** What could be logged of a run and is not. */
export function absentIn({ name, tags }: RunInfo, figures: ReadonlySet<string> | null = null): Absent[] {
  const maps = tags.filter(({ kind }) => kind === "attribution");
  const inputs = tags.flatMap((tag) => tag.inputs ?? []);
  const logs = (kind: string): boolean => tags.some((tag) => tag.kind === kind);
  const absent: Absent[] = [];
  if (!maps.some(({ additive }) => additive))
    absent.push({
      what: maps.length ? "Values that add up" : "Maps",
      why: maps.length
        ? "integrated gradients, which sum to the change of the score and report their own error"
        : "which parts of each example the model uses, from the untrained model on",
      lines: call(name, "IntegratedGradientsCallback", "x_val[:16], y_val[:16]"),
    });
  if (!logs("importance") && inputs.some(({ kind }) => kind === "flat"))
    absent.push({
      what: "Importance of features",
      why: "what the model loses when a column is shuffled, with intervals",
      lines: call(name, "PermutationImportanceCallback", "x_val, y_val, feature_names=names"),
    });
  if (!logs("health"))
    absent.push({
      what: "Health of the layers",
      why: "gradients that vanish or explode, dead and saturated units",
      lines: call(name, "ModelHealthCallback", "x_val[:64], y_val[:64]"),
    });
  const has = (of: readonly string[]): boolean => [...(figures ?? [])].some((one) => of.includes(one));
  const masked = [...(figures ?? [])].some((one) => one.startsWith("mass."));
  const pictures = inputs.some(({ kind }) => kind === "image");
  if (figures && !has(QUALITY))
    absent.push({
      what: "Quality of the explanations",
      why: "whether they are faithful, stable and speak of the weights",
      lines: call(name, "IntegratedGradientsCallback", "x_val[:16], y_val[:16], quality=True"),
    });
  else if (figures && pictures && !masked)
    absent.push({
      what: "Places that must or must not matter",
      why: "masks: the share of each explanation in the object, or in a watermark or border",
      lines: call(
        name,
        "IntegratedGradientsCallback",
        'x_val[:16], y_val[:16], masks={"object": object_masks}, suspects={"border": border}',
      ),
    });
  return absent;
}
