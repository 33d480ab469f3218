import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Probe, RunInfo, Series, TagInfo } from "../../api";
import { Failed, Loading } from "../../async";
import { className, curve, exampleName, figure, labelOf, predicted } from "../../figures";
import { short } from "../../colour";
import { logged, moveBy, runs, step } from "../../state";
import { stepName } from "../../step_bar";
import { Spark } from "../../spark";
import { adopt } from "../../style";
import { Choice } from "../choice";
import { inputOf, sidesOf } from "../screen";
import * as settings from "../settings";
import { columnsOf, type Column, type Scene } from "../sources";
import { formatOf, titleOf } from "../words";
import { curveAt, useExact, useInput, useStack, type Exact } from "./exact";
import { Figures, Strongest } from "./figures";
import { endOf, Pictures, stateOf } from "./large";
import { useParts } from "./parts";
import { positionOf, readingOf, type At } from "./reading";
import css from "./inspect.css?inline";

adopt(css);

export interface InspectProps {
  readonly run: RunInfo;
  readonly tag: TagInfo;
  /** the examples that are seen, in their order */
  readonly order: readonly number[];
  readonly probe: Probe | null;
  readonly series: Series | null;
  readonly scene: Scene | null;
}

function placeIn(text: string): At | null {
  const [row, column] = text.split(",").map(Number);
  return row === undefined || column === undefined ? null : [row, column];
}

/** The map itself, with what is read from it. */
function Body({
  exact,
  column,
  example,
  probe,
  series,
  tag,
}: {
  exact: Exact;
  column: Column;
  example: number;
  probe: Probe | null;
  series: Series | null;
  tag: TagInfo;
}): JSX.Element {
  const [pointed, point] = useState<At | null>(null);
  const place = placeIn(settings.place.value);
  const input = useInput(
    column.run,
    tag,
    inputOf(tag, settings.input.value)?.of ?? column.place.source?.family.input ?? null,
    example,
  );
  const parts = useParts(exact, column, input, probe, example);
  const stack = useStack(column.place.source, tag, example, exact.height * exact.width);
  const inside = place && place[0] < exact.height && place[1] < exact.width ? place : null;
  const at = pointed ?? inside;
  const what = tag.value_name ?? "attribution";
  const state = stateOf(exact.values, exact.of !== null);
  const now = step.value ?? 0;
  const say = (of: At): string => readingOf({ exact, at: of, kind: column.kind, probe, input, inputRow: 0 });
  return (
    <>
      <div class="seen">
        <Pictures
          parts={parts}
          place={inside}
          onPoint={point}
          onPlace={(to) => (settings.place.value = to.join(","))}
        />
        <p class="reading">
          {state ??
            (at
              ? say(at)
              : `peak ${exact.of ? "difference " : ""}${short(endOf(exact.values))}; point at a place to read it, click or Shift and arrows to keep it`)}
        </p>
        <p class="sr" role="status">
          {inside && !state ? say(inside) : ""}
        </p>
        {inside && stack && (
          <>
            <Spark
              title={`${what} at ${positionOf(inside, column.kind, probe)}${exact.channels > 1 ? ", all channels" : ""}`}
              {...curveAt(stack, tag, inside[0] * exact.width + inside[1])}
              cursor={now}
              format={short}
            />
            {stack.left > 0 && (
              <p class="dim">{stack.left} steps are left out of this curve: all would be too much to fetch</p>
            )}
          </>
        )}
        {column.kind === "bars" && <Strongest values={exact.values} probe={input} example={0} what={what} />}
      </div>
      {series && (
        <div class="told">
          {["confidence", "sum"].map((name) => {
            const { steps, values } = curve(series, name, example);
            return values.some(Number.isFinite) ? (
              <Spark
                key={name}
                title={titleOf(name)}
                steps={steps}
                values={values}
                cursor={now}
                format={formatOf(name)}
              />
            ) : null;
          })}
          <Figures series={series} example={example} now={now} />
        </div>
      )}
    </>
  );
}

/** One map, large, with its values and its figures over the steps. */
export function Inspect({ run, tag, order, probe, series, scene }: InspectProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const now = step.value ?? 0;
  const example = Math.min((tag.examples ?? 1) - 1, Number(settings.inspected.value));
  useEffect(() => {
    if (!dialog.current?.open) dialog.current?.showModal();
  }, []);
  const [column] = scene ? columnsOf({ ...scene, by: "steps" }, 1, false, runs.value) : [];
  const channels = column ? channelsOf(tag) : 1;
  const each = channels > 1 && (column?.kind === "sequence" || settings.channels.value === "each");
  const exact = useExact(column ?? null, example, each);
  const found = exact.state === "ready" ? exact.value : exact.last;
  const none = column && [column.place, column.minus].find((one) => one && !one.source);
  const label = labelOf(probe, example);
  const said = predicted(series, now, example);
  const confidence = figure(series, "confidence", now, example);
  const at = logged.value.steps.indexOf(now);
  const place = order.indexOf(example);
  const go = (by: number): void => {
    const to = order[(Math.max(0, place) + by + order.length) % order.length];
    if (to !== undefined) settings.inspected.value = String(to);
  };
  const move = (down: number, across: number): void => {
    if (!found || "missing" in found) return;
    const from = placeIn(settings.place.value) ?? [Math.floor(found.height / 2), Math.floor(found.width / 2)];
    const within = (one: number, count: number): number => Math.min(count - 1, Math.max(0, one));
    settings.place.value = `${within(from[0] + down, found.height)},${within(from[1] + across, found.width)}`;
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLSelectElement) return;
    const { key, shiftKey } = event;
    const arrows: Readonly<Record<string, readonly [number, number]>> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    const [down, across] = arrows[key] ?? [0, key === "," ? -1 : key === "." ? 1 : 0];
    if (!down && !across) return;
    if (shiftKey) move(down, across);
    else if (down) go(down);
    else moveBy(across);
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
        {run.name}, {tag.name}
        {tag.value_name && ` (${tag.value_name}s of the network, no explanation)`}
        {settings.minus.value && `, less ${settings.minus.value}`}
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
        <button type="button" onClick={() => go(-1)} title="↑">
          ‹ example
        </button>
        <button type="button" onClick={() => go(1)} title="↓">
          example ›
        </button>
        <span class="dim">
          {place + 1} of {order.length}
        </span>
        {channels > 1 && column?.kind === "image" && (
          <Choice
            name="Channels"
            of={settings.channels}
            options={[
              ["folded", column.signed ? "summed" : "strongest"],
              ["each", `each of ${channels}`],
            ]}
          />
        )}
      </div>
      <div class="parts">
        {none && !none.source ? (
          <p class="state">
            {none.none}: {none.reason}
          </p>
        ) : exact.state === "failed" ? (
          <Failed what="The map" error={exact.error} retry={exact.retry} />
        ) : !found || !column ? (
          <Loading what="the map" />
        ) : "missing" in found ? (
          <p class="state">missing: {found.missing}</p>
        ) : (
          <Body exact={found} column={column} example={example} probe={probe} series={series} tag={tag} />
        )}
      </div>
    </dialog>
  );
}

const channelsOf = (tag: TagInfo): number => sidesOf(inputOf(tag, settings.input.value))[2];
