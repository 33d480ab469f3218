import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { fetchValues, type Probe, type Series, type TagInfo } from "../api";
import { Ready, useRequest } from "../async";
import { short } from "../colour";
import { logged, moveBy, step } from "../state";
import { stepName } from "../step_bar";
import { fitting } from "./cell";
import { className, curve, exampleName, figure, labelOf, predicted } from "../figures";
import { paintBars, paintMap, type Grey } from "./paint";
import * as settings from "./settings";
import { Spark } from "../spark";
import type { Family } from "./store";

interface Props {
  family: Family;
  tag: TagInfo;
  example: number;
  examples: number;
  bars: boolean;
  probe: Probe | null;
  series: Series | null;
  grey: Grey | null;
}

interface Exact {
  values: Float64Array;
  height: number;
  width: number;
}

/** The one number that stands for a value under the pointer. */
function Large({
  exact,
  grey,
  bars,
  probe,
}: {
  exact: Exact;
  grey: Grey | null;
  bars: boolean;
  probe: Probe | null;
}): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [under, setUnder] = useState<number | null>(null);
  const look = settings.look.value;
  const side = Math.min(440, window.innerWidth - 80, window.innerHeight - 260);
  const { width, height } = bars
    ? { width: side, height: side / 2 }
    : fitting(exact.height, exact.width, { width: side, height: side });
  const shown = useMemo(() => (look.signed ? exact.values : exact.values.map(Math.abs)), [exact, look.signed]);
  const limit = shown.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
  useEffect(() => {
    const target = canvas.current;
    if (!target) return;
    const ratio = window.devicePixelRatio || 1;
    target.width = Math.round(width * ratio);
    target.height = Math.round(height * ratio);
    if (bars) paintBars(target, shown, limit, look, getComputedStyle(target).color);
    else paintMap(target, { ...exact, values: shown }, limit, look, grey);
  }, [shown, limit, look, grey, width, height, bars]);
  const onMove = (event: PointerEvent & { currentTarget: HTMLCanvasElement }): void => {
    const bounds = event.currentTarget.getBoundingClientRect();
    const column = Math.floor(((event.clientX - bounds.left) / bounds.width) * exact.width);
    const row = bars ? 0 : Math.floor(((event.clientY - bounds.top) / bounds.height) * exact.height);
    const inside = column >= 0 && row >= 0 && column < exact.width && row < exact.height;
    setUnder(inside ? row * exact.width + column : null);
  };
  const state = limit === 0 ? (exact.values.some(Number.isFinite) ? "all zero" : "not finite") : null;
  return (
    <figure>
      <canvas
        ref={canvas}
        style={{ width: `${width}px`, height: `${height}px` }}
        onPointerMove={onMove}
        onPointerLeave={() => setUnder(null)}
        aria-hidden="true"
      />
      <figcaption>
        {state ??
          (under === null
            ? `peak ${short(limit)}; point at the map to read a value`
            : `${bars ? (probe?.feature_names?.[under] ?? `feature ${under}`) : `row ${Math.floor(under / exact.width)}, column ${under % exact.width}`}: ${short(exact.values[under] ?? Number.NaN)}`)}
      </figcaption>
    </figure>
  );
}

/** Strongest features of a flat map, with the input's value. */
function Strongest({ exact, probe, example }: { exact: Exact; probe: Probe | null; example: number }): JSX.Element {
  const order = Array.from(exact.values.keys())
    .sort((a, b) => Math.abs(exact.values[b] ?? 0) - Math.abs(exact.values[a] ?? 0))
    .slice(0, 12);
  const count = probe?.values?.shape[1] ?? 0;
  return (
    <table>
      <caption class="sr">Strongest features</caption>
      <thead>
        <tr>
          <th scope="col">feature</th>
          <th scope="col">attribution</th>
          <th scope="col">input</th>
        </tr>
      </thead>
      <tbody>
        {order.map((feature) => (
          <tr key={feature}>
            <th scope="row">{probe?.feature_names?.[feature] ?? `feature ${feature}`}</th>
            <td>{short(exact.values[feature] ?? Number.NaN)}</td>
            <td>{count ? short(probe?.values?.data[example * count + feature] ?? Number.NaN) : ""}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

const FIGURES: readonly (readonly [string, string, (value: number) => string])[] = [
  ["output", "score of the target", short],
  ["confidence", "confidence", (value) => value.toFixed(3)],
  ["peak", "peak |value|", short],
  ["gap", "completeness gap", (value) => `${(100 * value).toFixed(1)} %`],
];

/** One map, large, with its values and its figures over the steps. */
export function Inspect({ family, tag, example, examples, bars, probe, series, grey }: Props): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const now = step.value ?? 0;
  const at = tag.steps.indexOf(now);
  const wall = tag.wall_times[at] ?? null;
  useEffect(() => {
    if (!dialog.current?.open) dialog.current?.showModal();
  }, []);
  const exact = useRequest<Exact>(JSON.stringify([family, now, wall, example]), async (signal) => {
    const query = { ...family, size: null, steps: [now], examples: [example], version: wall };
    const { shape, values } = await fetchValues(query, signal);
    return { values: Float64Array.from(values), height: shape[1], width: shape[2] };
  });
  const label = labelOf(probe, example);
  const said = predicted(series, now, example);
  const confidence = figure(series, "confidence", now, example);
  const go = (to: number): void => {
    settings.inspected.value = String((to + examples) % examples);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowLeft" || event.key === ",") moveBy(-1);
    else if (event.key === "ArrowRight" || event.key === ".") moveBy(1);
    else if (event.key === "ArrowUp") go(example - 1);
    else if (event.key === "ArrowDown") go(example + 1);
    else return;
    event.preventDefault();
  };
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- arrows walk while the dialog is open
    <dialog
      ref={dialog}
      class="inspect"
      aria-labelledby="inspect-title"
      onClose={() => (settings.inspected.value = "")}
      onKeyDown={onKeyDown}
    >
      <header>
        <h2 id="inspect-title">
          {exampleName(probe, example)}, {stepName(now, logged.value.epochs[at] ?? Number.NaN)}
        </h2>
        <button type="button" onClick={() => dialog.current?.close()}>
          Close
        </button>
      </header>
      <p class="dim">
        {tag.name}
        {label && `, true ${label.text}`}
        {said !== null && `, predicted ${className(probe, said)}`}
        {said !== null && confidence !== null && ` (${confidence.toFixed(2)})`}
      </p>
      <div class="walk" role="group" aria-label="Walk">
        <button type="button" onClick={() => moveBy(-1)} title="←">
          ‹ step
        </button>
        <button type="button" onClick={() => moveBy(1)} title="→">
          step ›
        </button>
        <button type="button" onClick={() => go(example - 1)} title="↑">
          ‹ example
        </button>
        <button type="button" onClick={() => go(example + 1)} title="↓">
          example ›
        </button>
      </div>
      <div class="parts">
        <Ready of={exact} what="The map">
          {(value) => (
            <>
              <Large exact={value} grey={grey} bars={bars} probe={probe} />
              {bars && <Strongest exact={value} probe={probe} example={example} />}
            </>
          )}
        </Ready>
        <div class="sparks">
          {FIGURES.map(([name, title, format]) => {
            const { steps, values } = curve(series, name, example);
            return values.some(Number.isFinite) ? (
              <Spark key={name} title={title} steps={steps} values={values} cursor={now} format={format} />
            ) : null;
          })}
        </div>
      </div>
    </dialog>
  );
}
