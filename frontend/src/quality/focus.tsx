/** The chosen measure, large: its lines with their values at the cursor as a table. */
import type { JSX } from "preact";
import type { Theme } from "../features/paint";
import { valueOf, reading, summary } from "./words";
import { step } from "../state";
import { Absent, Goodness, Says, type Known } from "./cards";
import type { Curve } from "./curves";
import { hovered } from "./model";
import { Plot } from "./plot";

/** A line's colour and dash, as it stands in the chart. */
export const Stroke = ({ of }: { of: Pick<Curve, "style"> }): JSX.Element => (
  <svg class="ql-stroke" viewBox="0 0 24 8" aria-hidden="true">
    <line
      x1={0}
      x2={24}
      y1={4}
      y2={4}
      stroke={of.style.colour}
      stroke-width={2.5}
      stroke-dasharray={of.style.dash.join(" ")}
    />
  </svg>
);

function Row({ curve, known, banded }: { curve: Curve; known: Known; banded: boolean }): JSX.Element {
  const { measure } = known;
  const now = reading(curve, measure, step.value);
  const first = curve.y.find(Number.isFinite) ?? Number.NaN;
  const change = now.value - first;
  return (
    <tr
      class={hovered.value === curve.id ? "on" : ""}
      onPointerEnter={() => (hovered.value = curve.id)}
      onPointerLeave={() => (hovered.value = null)}
    >
      <th scope="row">
        <Stroke of={curve} /> {curve.label}
      </th>
      <td>
        {Number.isFinite(now.value) ? <b>{now.words}</b> : <span class="dim">{now.words}</span>}
        {now.partly && <small class="dim"> {now.partly}</small>}
        {now.step !== null && now.step !== step.value && (
          <small class="dim">
            {now.partly && ","} at step {now.step}
          </small>
        )}
      </td>
      {banded && <td>{now.range || "–"}</td>}
      {measure.reference?.figure && <td>{now.reference || "–"}</td>}
      <td>{Number.isFinite(change) ? `${change > 0 ? "+" : ""}${valueOf(measure, change)}` : "–"}</td>
    </tr>
  );
}

export function Focus({ known, theme }: { known: Known; theme: Theme }): JSX.Element {
  const { measure, picture, absent, pending } = known;
  const banded = picture.curves.some((one) => one.low);
  const many = picture.curves.some((one) => one.tracks.length > 1);
  return (
    <figure class="ql-panel ql-focus" aria-label={measure.title}>
      <figcaption>
        <h2>{measure.title}</h2> <Goodness measure={measure} />
        <Says
          of={known}
          {...(banded && { more: `Band: ${many ? "from the lowest to the highest run" : "95 % of its own error"}.` })}
        />
      </figcaption>
      {picture.curves.length ? (
        <Plot picture={picture} theme={theme} label={summary(picture, step.value)} />
      ) : (
        <p class="ql-none" role="status">
          {pending ? (
            <>
              <span class="spinner" aria-hidden="true" /> Computing…
            </>
          ) : (
            "It has no value for what is shown."
          )}
        </p>
      )}
      {picture.curves.length > 0 && (
        <div class="ql-scroll">
          <table>
            <caption class="sr">
              {measure.title} at step {step.value}
            </caption>
            <thead>
              <tr>
                <td />
                <th scope="col">at step {step.value}</th>
                {banded && <th scope="col">{many ? "lowest to highest run" : "95 % interval"}</th>}
                {measure.reference?.figure && (
                  <th scope="col">
                    {measure.drift && measure.drift !== "other" ? "noise floor" : measure.reference.name}
                  </th>
                )}
                <th scope="col">since its first</th>
              </tr>
            </thead>
            <tbody>
              {picture.curves.map((curve) => (
                <Row key={curve.id} curve={curve} known={known} banded={banded} />
              ))}
            </tbody>
          </table>
        </div>
      )}
      <Absent of={absent} />
    </figure>
  );
}
