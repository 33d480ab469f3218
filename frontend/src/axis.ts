/** The x axis that all views share (step, epoch, time since the first step, time of day) and its words. */

export const AXES = ["step", "epoch", "time", "clock"] as const;
export type AxisKind = (typeof AXES)[number];

export interface StepTimes {
  steps: readonly number[];
  epochs: readonly number[];
  wallTimes: readonly number[];
}

/** Whether an axis can be drawn: every step needs a finite value. */
export function axisAvailable(times: StepTimes, axis: AxisKind): boolean {
  const source = axis === "step" ? times.steps : axis === "epoch" ? times.epochs : times.wallTimes;
  return source.length === times.steps.length && source.some(Number.isFinite);
}

const pad = (value: number): string => String(value).padStart(2, "0");

/** A time of day as people read it; with its day where it is needed to tell. */
export function clockText(seconds: number, withDay = false): string {
  const at = new Date(seconds * 1000);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} `;
  return `${withDay ? day : ""}${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export function axisText(value: number, axis: AxisKind): string {
  if (axis === "clock") {
    const [hour, day] = [clockText(value), clockText(value, true)];
    return hour === "00:00:00" ? day.slice(5, 10) : hour.replace(/:00$/, "");
  }
  if (axis !== "time")
    return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(6)));
  const units: [number, string][] = [
    [86400, "d"],
    [3600, "h"],
    [60, "min"],
  ];
  for (const [size, unit] of units) if (value >= size) return `${Number((value / size).toPrecision(3))} ${unit}`;
  return `${Number(value.toFixed(2))} s`;
}
