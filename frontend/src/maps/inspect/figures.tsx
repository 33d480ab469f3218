import type { JSX } from "preact";
import type { Probe, Series } from "../../api";
import { short } from "../../colour";
import { curve, figure } from "../../figures";
import { pathOf } from "../../spark";
import { figuresOf } from "../rows";
import { aboutOf, formatOf, titleOf } from "../words";

const WIDTH = 110;
const HEIGHT = 22;

/** The last logged value up to a step. */
function lastOf(series: Series, name: string, example: number, now: number): { step: number; value: number } | null {
  const { steps, values } = curve(series, name, example);
  for (let at = steps.length - 1; at >= 0; at--) {
    const [step, value] = [steps[at] ?? 0, values[at] ?? Number.NaN];
    if (step <= now && Number.isFinite(value)) return { step, value };
  }
  return null;
}

/** A figure's course over the steps, as small as a word. */
function Course({
  series,
  name,
  example,
  now,
}: {
  series: Series;
  name: string;
  example: number;
  now: number;
}): JSX.Element {
  const { steps, values } = curve(series, name, example);
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const first = steps[0] ?? 0;
  const span = (steps.at(-1) ?? 0) - first || 1;
  const x = (step: number): number => 2 + ((step - first) / span) * (WIDTH - 4);
  const y = (value: number): number => HEIGHT - 3 - ((value - low) / (high - low || 1)) * (HEIGHT - 6);
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} width={WIDTH} height={HEIGHT} aria-hidden="true">
      <line x1={x(now)} x2={x(now)} y1={0} y2={HEIGHT} />
      <path d={pathOf(steps, values, x, y)} />
      {steps.map((step, at) => {
        const value = values[at] ?? Number.NaN;
        const alone = !Number.isFinite(values[at - 1]) && !Number.isFinite(values[at + 1]);
        return alone && Number.isFinite(value) ? <circle key={step} cx={x(step)} cy={y(value)} r={2} /> : null;
      })}
    </svg>
  );
}

/** Every figure of one example at one step, with its course; what is undefined says why. */
export function Figures({ series, example, now }: { series: Series; example: number; now: number }): JSX.Element {
  const logged = series.steps.includes(now);
  const reasons = series.reasons ?? {};
  // those two stand above as curves
  const names = figuresOf(series)
    .filter((name) => name !== "confidence" && name !== "sum")
    .sort((a, b) => titleOf(a).localeCompare(titleOf(b)));
  const absent = Object.keys(reasons).filter((name) => !names.includes(name));
  return (
    <table class="figures">
      <caption>Figures of this example</caption>
      <tbody>
        {names.map((name) => {
          const value = figure(series, name, now, example);
          const last = value === null ? lastOf(series, name, example, now) : null;
          const reason = reasons[name] ?? (logged && last ? "It was not computed at this step." : undefined);
          return (
            <tr key={name}>
              <th scope="row" title={aboutOf(name)}>
                {titleOf(name)}
              </th>
              <td title={value === null ? reason : undefined}>
                {value !== null
                  ? formatOf(name)(value)
                  : last
                    ? formatOf(name)(last.value)
                    : logged
                      ? "undefined"
                      : "not logged"}
                {last && <small class="dim"> at step {last.step}</small>}
              </td>
              <td>
                <Course series={series} name={name} example={example} now={now} />
              </td>
            </tr>
          );
        })}
        {absent.map((name) => (
          <tr key={name}>
            <th scope="row">{titleOf(name)}</th>
            <td colSpan={2} class="why">
              undefined: {reasons[name]}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** Strongest features of a flat map, with the input's value. */
export function Strongest({
  values,
  probe,
  example,
  what,
}: {
  values: Float64Array;
  probe: Probe | null;
  example: number;
  what: string;
}): JSX.Element {
  const size = (at: number): number => Math.abs(values[at] ?? 0) || 0;
  const order = Array.from(values.keys())
    .sort((a, b) => size(b) - size(a))
    .slice(0, 12);
  const count = probe?.values?.shape.slice(1).reduce((a, b) => a * b, 1) ?? 0;
  return (
    <table>
      <caption class="sr">Strongest features</caption>
      <thead>
        <tr>
          <th scope="col">feature</th>
          <th scope="col">{what}</th>
          <th scope="col">input</th>
        </tr>
      </thead>
      <tbody>
        {order.map((feature) => (
          <tr key={feature}>
            <th scope="row">{probe?.feature_names?.[feature] ?? `feature ${feature}`}</th>
            <td>{short(values[feature] ?? Number.NaN)}</td>
            <td>{count ? short(probe?.values?.data[example * count + feature] ?? Number.NaN) : ""}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
