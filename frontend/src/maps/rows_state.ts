/** Which examples Maps shows: the rule from the link, the facts from what is logged. */
import { useState } from "preact/hooks";
import { fetchDrift, Refusal, type Drift, type Probe, type Series, type TagInfo } from "../api";
import { useRequest, type Async } from "../async";
import { className, exampleName, flips, labelOf, predicted } from "../figures";
import type { Options } from "./choice";
import { arrange, driftAt, figuresOf, sortValue, type Facts } from "./rows";
import type { RowsProps } from "./panels/rows_panel";
import * as settings from "./settings";

const numberOrNull = (text: string): number | null => (/^-?\d+$/.test(text) ? Number(text) : null);

/** The classes among some numbers, in words. */
function classesOf(all: Iterable<number | null>, probe: Probe | null): Options {
  const found = [...new Set(all)].filter((one) => one !== null).sort((a, b) => a - b);
  return found.map((one) => [String(one), className(probe, one)]);
}

export interface Rows {
  readonly order: readonly number[];
  readonly panel: RowsProps;
  /** what went wrong while the drift was loaded */
  readonly drift: Async<Drift>;
}

export function useRows(
  run: string,
  tag: TagInfo | null,
  series: Series | null,
  probe: Probe | null,
  step: number,
  stamp: string,
): Rows {
  // a server of an earlier version cannot say how maps move
  const [able, setAble] = useState(true);
  const wanted = settings.sort.value === "drift" && able && tag !== null;
  const drift = useRequest(wanted ? JSON.stringify([run, tag.name, stamp]) : null, (signal) =>
    fetchDrift(run, tag?.name ?? "", "cosine", signal).catch((error: unknown) => {
      if (error instanceof Refusal && error.status === 404) setAble(false);
      throw error;
    }),
  );
  const moved = drift.state === "ready" ? drift.value : drift.last;
  const examples = tag?.examples ?? 0;
  const [first, last] = [series?.steps[0] ?? 0, series?.steps.at(-1) ?? 0];
  const facts: Facts = {
    name: (example) => exampleName(probe, example),
    label: (example) => labelOf(probe, example)?.of ?? null,
    said: (example) => predicted(series, step, example),
    flips: (example) => flips(series, first, last, example),
    flipsUntil: (example) => flips(series, first, step, example),
    value: (sort, example) => {
      if (sort === "label") return facts.label(example);
      if (sort === "said") return facts.said(example);
      if (sort === "flips") return facts.flips(example);
      return sort === "drift" ? driftAt(moved, step, example) : sortValue(series, sort, step, example);
    },
  };
  const rule = {
    sort: settings.sort.value,
    reverse: settings.reverse.value === "yes",
    label: numberOrNull(settings.label.value),
    said: numberOrNull(settings.said.value),
    only: settings.only.value,
    names: settings.names.value,
  };
  const order = arrange(examples, rule, facts);
  const all = Array.from({ length: examples }, (_, example) => example);
  const said = series?.arrays.get("predicted")?.data;
  return {
    order,
    drift,
    panel: {
      examples,
      shown: order.length,
      labels: classesOf(all.map(facts.label), probe),
      said: classesOf(said ? Array.from(said, (one) => (one < 0 ? null : one)) : [], probe),
      figures: figuresOf(series),
      drift: able && (tag?.steps.length ?? 0) > 1,
    },
  };
}
