/** The examples behind a point of the curve, the worst first, each with the way to its map. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Drift, Series } from "../api";
import { Ready, useRequest } from "../async";
import { className, exampleName, labelOf, predicted } from "../figures";
import { Go } from "../overview/go";
import { step } from "../state";
import { examplesAt, stepBefore } from "./curves";
import { keyOf, type Source } from "./load";
import type { Measure } from "./measures";
import { infoOf } from "./model";
import { probeOf } from "./scores";
import { valueOf } from "./words";

const FIRST = 12;

/** Examples from the worst: by the measure's own direction, else the least alike or the greatest; undefined ones last. */
export function worstFirst(values: readonly number[], { good, drift }: Measure): number[] {
  const ascending = good === "up" || drift !== undefined;
  const badness = (i: number): number => {
    const value = values[i] ?? Number.NaN;
    return good === "zero" ? Math.abs(value) : ascending ? -value : value;
  };
  const order = values.map((_, i) => i);
  return order.sort((a, b) => {
    const [x, y] = [badness(a), badness(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number(Number.isNaN(x)) - Number(Number.isNaN(y)) || a - b;
    return y - x || a - b;
  });
}

export function Examples({
  source,
  measure,
  series,
  drift,
}: {
  source: Source;
  measure: Measure;
  series: Series | null;
  drift: Drift | null;
}): JSX.Element {
  const [all, showAll] = useState(false);
  const set = infoOf(source)?.probe ?? "";
  const probe = useRequest(JSON.stringify([source.run, set]), (signal) => probeOf(source, signal));
  const from = measure.drift ? drift : series;
  const now = step.value;
  const at = from && now !== null ? stepBefore(from, measure, now) : undefined;
  const values = from && at !== undefined ? examplesAt(from, measure, at) : null;
  if (!values?.length || at === undefined)
    return (
      <p class="dim">
        At step {now} there is no value for single examples of {source.tag}.
      </p>
    );
  const order = worstFirst(values, measure);
  const shown = all ? order : order.slice(0, FIRST);
  const first = measure.drift ? "least alike first" : measure.good ? "worst first" : "highest first";
  return (
    <Ready of={probe} what="The examples">
      {(known) => (
        <div class="ql-scroll">
          <table key={keyOf(source)}>
            <caption>
              {measure.title} of {source.tag} in run {source.run} at step {at}, {first}
            </caption>
            <thead>
              <tr>
                <th scope="col">example</th>
                <th scope="col">value</th>
                <th scope="col">label</th>
                <th scope="col">predicted</th>
                <th scope="col">maps</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((i) => {
                const label = labelOf(known, i);
                const of = predicted(series, at, i);
                const value = values[i] ?? Number.NaN;
                return (
                  <tr key={i}>
                    <th scope="row">{exampleName(known, i)}</th>
                    <td>{Number.isFinite(value) ? valueOf(measure, value) : <span class="dim">undefined</span>}</td>
                    <td>{label?.text ?? "–"}</td>
                    <td class={label?.of !== null && of !== null && label?.of !== of ? "ql-wrong" : ""}>
                      {of === null ? "–" : className(known, of)}
                      {label?.of !== null && of !== null && label && label.of !== of && <small> wrong</small>}
                    </td>
                    <td>
                      <Go to={{ view: "maps", run: source.run, "maps.tag": source.tag, step: String(at) }}>
                        Show<span class="sr"> {exampleName(known, i)} in Maps</span>
                      </Go>
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
          {order.length > FIRST && (
            <button type="button" onClick={() => showAll(!all)}>
              {all ? "Fewer" : `All ${order.length}`}
            </button>
          )}
        </div>
      )}
    </Ready>
  );
}
