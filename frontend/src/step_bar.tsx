import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { AXES, axisAvailable, axisText, clockText, type AxisKind } from "./axis";
import { axis, followsLast, logged, moveBy, moveTo, playing, step } from "./state";

const PLAY_INTERVAL = 350;

/** How a step is named everywhere: its number, and the epoch where that is another number. */
export function stepName(one: number, epoch: number): string {
  if (one === 0 && !(epoch > 0)) return "step 0, untrained";
  if (!Number.isFinite(epoch) || epoch === one) return `step ${one}`;
  return `step ${one}, epoch ${Number(epoch.toFixed(2))}`;
}

/** A step's name with what the axis says of it: "step 300, 12 min". */
export function nameOfStep(one: number): string {
  const { steps, epochs, wallTimes } = logged.value;
  const at = steps.indexOf(one);
  const name = stepName(one, epochs[at] ?? Number.NaN);
  const [time, zero] = [wallTimes[at] ?? Number.NaN, wallTimes.find(Number.isFinite) ?? Number.NaN];
  if (!Number.isFinite(time)) return name;
  if (axis.value === "time") return `${name}, ${axisText(Math.max(0, time - zero), "time")}`;
  return axis.value === "clock" ? `${name}, ${clockText(time, true)}` : name;
}

const AXIS_NAMES: Readonly<Record<AxisKind, string>> = {
  step: "step",
  epoch: "epoch",
  time: "time since start",
  clock: "time of day",
};

/** What all charts have along the bottom. */
function AxisPicker(): JSX.Element {
  return (
    <label class="pick">
      <span>Axis</span>
      <select value={axis.value} onChange={(event) => (axis.value = event.currentTarget.value as AxisKind)}>
        {AXES.map((one) => (
          <option key={one} value={one} disabled={!axisAvailable(logged.value, one)}>
            {AXIS_NAMES[one]}
          </option>
        ))}
      </select>
    </label>
  );
}

export function togglePlay(): void {
  const { steps } = logged.value;
  if (!playing.value && step.value === steps.at(-1) && steps[0] !== undefined) moveTo(steps[0]);
  playing.value = !playing.value && steps.length > 1;
}

function usePlay(): void {
  const on = playing.value;
  useEffect(() => {
    if (!on) return;
    const timer = setInterval(() => {
      moveBy(1);
      if (step.value === logged.value.steps.at(-1)) playing.value = false;
    }, PLAY_INTERVAL);
    return () => clearInterval(timer);
  }, [on]);
}

/** The one cursor: a slider over the exact logged steps. */
export function StepBar(): JSX.Element | null {
  usePlay();
  const { steps } = logged.value;
  if (step.value === null) return null;
  const at = steps.indexOf(step.value);
  const name = nameOfStep(step.value);
  const last = steps.length - 1;
  return (
    <>
      <div class="steps" role="group" aria-label="Step">
        <button
          type="button"
          aria-label="Previous step"
          title="Previous step (←)"
          disabled={at === 0}
          onClick={() => moveBy(-1)}
        >
          ‹
        </button>
        <button
          type="button"
          aria-label={playing.value ? "Pause" : "Play the steps"}
          title="Play or pause (space)"
          disabled={last < 1}
          onClick={togglePlay}
        >
          {playing.value ? "❚❚" : "▶"}
        </button>
        <button
          type="button"
          aria-label="Next step"
          title="Next step (→)"
          disabled={at === last}
          onClick={() => moveBy(1)}
        >
          ›
        </button>
        <input
          type="range"
          aria-label="Step"
          aria-valuetext={name}
          min={0}
          max={Math.max(last, 1)}
          step={1}
          value={at}
          disabled={last < 1}
          onInput={(event) => {
            const to = steps[Number(event.currentTarget.value)];
            if (to !== undefined) moveTo(to);
          }}
        />
        <output class="step-name">
          <b>{name}</b>
          <span class="dim">
            {at + 1} of {steps.length}
            {followsLast.value && last > 0 ? ", newest" : ""}
          </span>
        </output>
      </div>
      <AxisPicker />
    </>
  );
}
