/** One example at the cursor: its name, what is predicted, and its words. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Probe, Series, TagInfo } from "../api";
import { short } from "../colour";
import { className, figure, flips, labelOf, predicted } from "../figures";
import { nameOf, type Line, type Word } from "./model";
import { Words } from "./words";

export interface Shown {
  name: string;
  words: readonly Word[];
  line: Line;
}

interface Props {
  example: number;
  on: boolean;
  probe: Probe;
  series: Series | null;
  info: TagInfo;
  step: number;
  inputs: readonly Shown[];
  limit: number;
  /** largest |value| of a word at any step */
  most: number;
  signed: boolean;
  at: readonly [number, number] | null;
  choose: (input: number, place: number) => void;
  hover: (input: number, place: number | null) => void;
}

/** Words of a text that are shown before one asks for the rest. */
const CLIP = 150;

/** True class, predicted class, whether it is right, and how often it changed. */
function Said({
  example,
  probe,
  series,
  info,
  step,
}: Pick<Props, "example" | "probe" | "series" | "info" | "step">): JSX.Element {
  const label = labelOf(probe, example);
  const said = predicted(series, step, example);
  const confidence = figure(series, "confidence", step, example);
  const score = figure(series, "output", step, example);
  const changes = flips(series, info.steps[0] ?? 0, step, example);
  const wrong = said !== null && label?.of !== null && label?.of !== undefined && said !== label.of;
  return (
    <span class="tx-said">
      {label && <span>label {label.text}</span>}
      {said !== null && (
        <span class={wrong ? "bad" : ""}>
          {label?.of !== null && label !== null && <span aria-hidden="true">{wrong ? "✗ " : "✓ "}</span>}
          predicted {className(probe, said)}
          {confidence !== null && ` (${confidence.toFixed(2)})`}
          {wrong && ", wrong"}
        </span>
      )}
      {said === null && score !== null && <span>score {short(score)}</span>}
      {changes > 0 && (
        <span class="tx-flips" title="how often the predicted class changed up to this step">
          ⇄ changed {changes === 1 ? "once" : `${changes} times`}
        </span>
      )}
    </span>
  );
}

export function Example(props: Props): JSX.Element {
  const { example, on, probe, inputs, limit, most, signed, step, at, choose, hover } = props;
  const [whole, setWhole] = useState(false);
  const name = nameOf(probe, example);
  const peak = Math.max(0, ...inputs.map(({ line }) => line.peak));
  const longest = Math.max(0, ...inputs.map(({ words }) => words.length));
  const [which, place] = at ?? [-1, -1];
  return (
    <article class={on ? "tx-example on" : "tx-example"} aria-label={name}>
      <header>
        <button
          type="button"
          class="quiet"
          aria-pressed={on}
          onClick={() => choose(which < 0 ? 0 : which, Math.max(0, place))}
        >
          {name}
        </button>
        <Said {...props} />
        {peak > 0 && (
          <span class="tx-strength" title={`strongest word ${short(peak)}; at any step ${short(most)}`}>
            <span class="sr">strongest word {short(peak)}</span>
            <i style={{ width: `${most > 0 ? (100 * peak) / most : 0}%` }} />
          </span>
        )}
      </header>
      {inputs.map(({ name: input, words, line }, index) => (
        <div key={input} class="tx-input">
          {inputs.length > 1 && <small class="dim">{input}</small>}
          <Words
            words={
              whole || words.length <= CLIP + 20
                ? words
                : words.slice(0, Math.max(CLIP, index === which ? place + 1 : 0))
            }
            line={line}
            limit={limit}
            signed={signed}
            name={`${inputs.length > 1 ? `${input} of ` : ""}${name} at step ${step}`}
            id={`tx-${example}-${index}`}
            chosen={index === which ? place : -1}
            onChoose={(to) => choose(index, to)}
            onHover={(to) => hover(index, to)}
          />
        </div>
      ))}
      {longest > CLIP + 20 && (
        <button type="button" aria-expanded={whole} onClick={() => setWhole(!whole)}>
          {whole ? "Less" : `All ${longest} words`}
        </button>
      )}
    </article>
  );
}
