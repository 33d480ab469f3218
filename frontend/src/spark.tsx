import type { JSX } from "preact";
import { adopt } from "./style";
import css from "./spark.css?inline";

adopt(css);

const WIDTH = 220;
const HEIGHT = 44;

/** A curve as the path of an SVG, with a break wherever a value is not finite; a lone value is a short dash. */
export function pathOf(
  steps: readonly number[],
  values: readonly number[],
  x: (step: number) => number,
  y: (value: number) => number,
): string {
  const finite = (at: number): boolean => Number.isFinite(values[at]);
  return values
    .map((value, at) => {
      if (!finite(at)) return "";
      const here = `${x(steps[at] ?? 0).toFixed(1)} ${y(value).toFixed(1)}`;
      if (finite(at - 1)) return `L${here}`;
      return finite(at + 1) ? `M${here}` : `M${here}h2`;
    })
    .join("");
}

/** A figure over steps, small, with a step marked and its value in words. */
export function Spark({
  title,
  steps,
  values,
  cursor,
  format,
  range,
  floor,
  ends,
  places,
}: {
  title: string;
  steps: readonly number[];
  /** where the steps stand along the axis; without, evenly by their numbers */
  places?: readonly number[];
  values: readonly number[];
  cursor: number;
  format: (value: number) => string;
  /** steps that are spoken of */
  range?: readonly [number, number];
  /** where the scale begins at the latest */
  floor?: number | undefined;
  /** what stands below its ends; without, the steps, and its range behind its title */
  ends?: readonly [string, string];
}): JSX.Element {
  const finite = values.filter(Number.isFinite);
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  const bottom = Math.min(low, floor ?? low);
  const along = places ?? steps;
  const first = along[0] ?? 0;
  const span = (along.at(-1) ?? 0) - first || 1;
  const put = (place: number): number => 3 + ((place - first) / span) * (WIDTH - 6);
  const x = (one: number): number => put(places?.[steps.indexOf(one)] ?? one);
  const y = (value: number): number => HEIGHT - 4 - ((value - bottom) / (high - bottom || 1)) * (HEIGHT - 8);
  const now = values[steps.indexOf(cursor)];
  const here = now !== undefined && Number.isFinite(now) ? format(now) : "not logged";
  return (
    <figure class="spark">
      <figcaption>
        {title} <b>{here}</b>
        {!ends && finite.length > 1 && (
          <small class="dim">
            {" "}
            ({format(low)} to {format(high)})
          </small>
        )}
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`${title} over steps, ${format(low)} to ${format(high)}, ${here} at step ${cursor}`}
      >
        {range && (
          <rect class="range" x={x(range[0]) - 3} y={0} width={x(range[1]) - x(range[0]) + 6} height={HEIGHT} />
        )}
        <path d={pathOf(along, values, put, y)} />
        <line x1={x(cursor)} x2={x(cursor)} y1={0} y2={HEIGHT} />
        {now !== undefined && Number.isFinite(now) && <circle cx={x(cursor)} cy={y(now)} r={3.5} />}
      </svg>
      <span class="dim ends" aria-hidden="true">
        <span>{ends?.[0] ?? `step ${steps[0] ?? ""}`}</span>
        <span>{ends?.[1] ?? `step ${steps.at(-1) ?? ""}`}</span>
      </span>
    </figure>
  );
}
