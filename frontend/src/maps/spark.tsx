import type { JSX } from "preact";

const WIDTH = 220;
const HEIGHT = 44;

/** A figure over steps, small, with the cursor's step marked and its value in words. */
export function Spark({
  title,
  steps,
  values,
  cursor,
  format,
}: {
  title: string;
  steps: readonly number[];
  values: readonly number[];
  cursor: number;
  format: (value: number) => string;
}): JSX.Element {
  const finite = values.filter(Number.isFinite);
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  const first = steps[0] ?? 0;
  const span = (steps.at(-1) ?? 0) - first || 1;
  const x = (one: number): number => 3 + ((one - first) / span) * (WIDTH - 6);
  const y = (value: number): number => HEIGHT - 4 - ((value - low) / (high - low || 1)) * (HEIGHT - 8);
  let pen = "M";
  const path = values
    .map((value, at) => {
      if (!Number.isFinite(value)) {
        pen = "M";
        return "";
      }
      const part = `${pen}${x(steps[at] ?? 0).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = "L";
      return part;
    })
    .join("");
  const now = values[steps.indexOf(cursor)];
  const here = now !== undefined && Number.isFinite(now) ? format(now) : "not logged";
  return (
    <figure class="spark">
      <figcaption>
        {title} <b>{here}</b>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={`${title} over steps, ${format(low)} to ${format(high)}, ${here} at step ${cursor}`}
      >
        <path d={path} />
        <line x1={x(cursor)} x2={x(cursor)} y1={0} y2={HEIGHT} />
        {now !== undefined && Number.isFinite(now) && <circle cx={x(cursor)} cy={y(now)} r={3.5} />}
      </svg>
      <span class="dim ends" aria-hidden="true">
        <span>min {format(low)}</span>
        <span>max {format(high)}</span>
      </span>
    </figure>
  );
}
