import type { JSX } from "preact";
import { Thumbnail } from "./cell";
import { className, exampleName, figure, labelOf, predicted } from "../figures";
import type { GridProps } from "./grid";
import { tag } from "../state";

/** Name, input, true and (at the cursor) predicted class of an example. */
export function ExampleLabel(props: GridProps & { example: number; width: number }): JSX.Element {
  const { probe, series, example: row, cursor, width, layout } = props;
  const label = labelOf(probe, row);
  const now = cursor === null ? null : predicted(series, cursor, row);
  const confidence = cursor === null ? null : figure(series, "confidence", cursor, row);
  const output = cursor === null || now !== null ? null : figure(series, "output", cursor, row);
  const picture = props.under(row).colour;
  const side = Math.min(52, layout.box.height, Math.floor(width * 0.33));
  const wrong = label?.of !== null && label?.of !== undefined && now !== null && now !== label.of;
  return (
    <div class="example" role="rowheader" aria-colindex={1} style={{ width: `${width}px` }}>
      {picture && <Thumbnail picture={picture} box={{ width: side, height: side }} smooth={props.smooth} />}
      <div>
        <b title={exampleName(probe, row)}>{exampleName(probe, row)}</b>
        {label && (
          <span>
            <span class="dim">true</span> {label.text}
          </span>
        )}
        {now !== null && (
          <span class={wrong ? "wrong" : ""}>
            <span class="dim">says</span> {className(probe, now)}
            {label?.of !== null && label?.of !== undefined && (
              <span>
                <span aria-hidden="true">{wrong ? " ✗" : " ✓"}</span>
                <span class="sr">{wrong ? "wrong" : "right"}</span>
              </span>
            )}
            {confidence !== null && ` ${confidence.toFixed(2)}`}
          </span>
        )}
        {output !== null && (
          <span>
            <span class="dim">{tag.value?.value_name ? (tag.value.score_name ?? "score") : "says"}</span>{" "}
            {Number(output.toPrecision(4))}
          </span>
        )}
      </div>
    </div>
  );
}
