/** Whether the gradient itself is right: finite differences in float64, checked once. */
import type { JSX } from "preact";
import { short } from "../colour";
import { plural } from "../features/words";
import { Lines } from "../lines";
import { at, type Health } from "./model";
import { checkWord } from "./states";

const LOG_IT = `ModelHealthCallback("logs/run1", x_val[:64], y_val[:64], gradient_check=True)`;
const MOST = 12;

/** The worst relative error of each layer's gradient, the largest first. */
export function Check({ health }: { health: Health }): JSX.Element {
  const t = health.steps.findLastIndex((_, i) =>
    health.layers.some((_name, l) => !Number.isNaN(at(health, "gradient_check", i, l))),
  );
  if (t < 0)
    return (
      <details class="hx-check">
        <summary>Is the gradient itself right?</summary>
        <p>Layers and losses of your own can be compared with finite differences in float64, once before training:</p>
        <Lines code={LOG_IT} />
      </details>
    );
  const errors = health.layers
    .map((name, l) => ({ name, error: at(health, "gradient_check", t, l) }))
    .filter(({ error }) => !Number.isNaN(error))
    .sort((one, other) => other.error - one.error);
  return (
    <section class="hx-check hx-facts" aria-label="Gradient check">
      <h2>Gradient check</h2>
      <p class="dim">Worst relative error against finite differences in float64, step {health.steps[t]}</p>
      <table>
        <tbody>
          {errors.slice(0, MOST).map(({ name, error }) => {
            const [mark, word, bad] = checkWord(error);
            return (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td>{short(error)}</td>
                <td class={bad ? "bad" : "dim"}>
                  <span aria-hidden="true">{mark}</span> {word}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
      {errors.length > MOST && <p class="dim">and {plural(errors.length - MOST, "layer")} with less</p>}
    </section>
  );
}
