/** Values, scales and ticks of the shared x axis. */
import { axisAvailable, type AxisKind, type StepTimes } from "../axis";

export * from "../axis";

export const AXIS_WORDS: Record<AxisKind, string> = {
  step: "steps",
  epoch: "epochs",
  time: "time since first step",
  clock: "time of day",
};

/** Values with those that are not finite put evenly between their neighbours, or level with the only one. */
function bridged(values: readonly number[]): number[] {
  const known = values.map((_, i) => i).filter((i) => Number.isFinite(values[i]));
  return values.map((value, i) => {
    if (Number.isFinite(value)) return value;
    const after = known.find((k) => k > i);
    const before = known.findLast((k) => k < i);
    const [a, b] = [values[before ?? after ?? i] as number, values[after ?? before ?? i] as number];
    return before === undefined || after === undefined ? a : a + ((b - a) * (i - before)) / (after - before);
  });
}

/** x of every step, never going back: a clock that was set back repeats the time before it, a step without one stands between. */
export function axisValues(times: StepTimes, axis: AxisKind): number[] {
  if (axis === "step" || !axisAvailable(times, axis)) return [...times.steps];
  const source = bridged(axis === "epoch" ? times.epochs : times.wallTimes);
  const zero = axis === "time" ? (source[0] ?? 0) : 0;
  let reached = -Infinity;
  return source.map((value) => (reached = Math.max(reached, value - zero)));
}

/** Cell borders halfway between neighbours: n values give n + 1 edges, so that a matrix column and a line's point share an x. */
export function edges(values: readonly number[]): number[] {
  const n = values.length;
  const first = values[0];
  const last = values[n - 1];
  if (first === undefined || last === undefined) return [0, 1];
  if (n === 1 || first === last) return Array.from({ length: n + 1 }, (_, i) => first - 0.5 + i / n);
  const middle = values.slice(1).map((v, i) => (v + (values[i] as number)) / 2);
  const left = first - ((middle[0] as number) - first || (last - first) / (2 * n));
  const right = last + (last - (middle[n - 2] as number) || (last - first) / (2 * n));
  return [left, ...middle, right];
}

/** Index of the value nearest to x in an ascending list. */
export function nearest(values: readonly number[], x: number): number {
  let lo = 0;
  let hi = values.length - 1;
  while (hi - lo > 1) {
    const mid = (lo + hi) >> 1;
    if ((values[mid] as number) <= x) lo = mid;
    else hi = mid;
  }
  return hi > lo && (values[hi] as number) - x < x - (values[lo] as number) ? hi : Math.max(lo, 0);
}

export interface Scale {
  (value: number): number;
  invert: (pixel: number) => number;
  domain: readonly [number, number];
}

export function scale(d0: number, d1: number, r0: number, r1: number): Scale {
  const k = (r1 - r0) / (d1 - d0 || 1);
  const to = (value: number) => r0 + (value - d0) * k;
  return Object.assign(to, { invert: (pixel: number) => d0 + (pixel - r0) / (k || 1), domain: [d0, d1] as const });
}

/** About n round numbers in [lo, hi]. */
export function ticks(lo: number, hi: number, n: number, whole = false): number[] {
  const span = hi - lo;
  if (!(span > 0) || n < 1) return Number.isFinite(lo) ? [lo] : [];
  const rough = span / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const factor = [1, 2, 5, 10].find((f) => f * power >= rough * 0.999) ?? 10;
  return every(lo, hi, whole ? Math.max(1, Math.round(factor * power)) : factor * power);
}

const every = (lo: number, hi: number, step: number): number[] => {
  const out: number[] = [];
  for (let i = Math.ceil(lo / step - 1e-9); i * step <= hi + step * 1e-9; i++)
    out.push(Number((i * step).toPrecision(12)));
  return out;
};

const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

/** Round times of day: those of the clock on the wall, not of Greenwich. */
function clockTicks(lo: number, hi: number, n: number): number[] {
  const offset = -60 * new Date(lo * 1000).getTimezoneOffset();
  return axisTicks(lo + offset, hi + offset, n, "time").map((at) => at - offset);
}

export function axisTicks(lo: number, hi: number, n: number, axis: AxisKind): number[] {
  if (axis === "clock") return clockTicks(lo, hi, n);
  // a chart begins half a cell before its first step: there is nothing below 0
  if (axis !== "time" || hi - lo < 2) return ticks(lo, hi, n, axis === "step").filter((tick) => tick >= 0);
  const step = SECONDS.find((s) => s * n >= hi - lo);
  return step ? every(Math.max(lo, 0), hi, step) : ticks(lo / 86400, hi / 86400, n, true).map((day) => day * 86400);
}
