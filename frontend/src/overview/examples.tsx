import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Probe, Series, TagInfo } from "../api";
import { short } from "../colour";
import { className, curve, exampleName, labelOf } from "../figures";
import { pathOf } from "../spark";
import { Go } from "./go";
import { mostMoved, type Moved } from "./moved";

const SHOWN = 5;

/** The picture of an example. */
function Thumb({ probe, example }: { probe: Probe; example: number }): JSX.Element | null {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [, height = 1, width = 1, channels = 1] = probe.picture?.shape ?? [];
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !probe.picture) return;
    const image = context.createImageData(width, height);
    const start = example * height * width * channels;
    for (let at = 0; at < height * width; at++)
      for (let c = 0; c < 4; c++)
        image.data[4 * at + c] =
          c === 3 ? 255 : (probe.picture.data[start + at * channels + (channels > 1 ? c : 0)] ?? 0);
    context.putImageData(image, 0, 0);
  }, [probe, example, height, width, channels]);
  return probe.picture && <canvas ref={canvas} width={width} height={height} aria-hidden="true" />;
}

/** How the score of an example's target went. */
function Mini({ series, example }: { series: Series; example: number }): JSX.Element {
  const { steps, values } = curve(series, "output", example);
  const finite = values.filter(Number.isFinite);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  const first = steps[0] ?? 0;
  const span = (steps.at(-1) ?? 0) - first || 1;
  const path = pathOf(
    steps,
    values,
    (step) => 1 + (78 * (step - first)) / span,
    (value) => 19 - (18 * (value - low)) / (high - low || 1),
  );
  return (
    <svg class="ov-mini" viewBox="0 0 80 20" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

function Change({ moved, probe }: { moved: Moved; probe: Probe | null }): JSX.Element | null {
  const { last, flips, example } = moved;
  if (!last) return <>prediction unchanged</>;
  const label = labelOf(probe, example)?.of ?? null;
  const said = (of: number): JSX.Element => (
    <b class={label === null || label === of ? "" : "wrong"}>
      {className(probe, of)}
      {label !== null && <span aria-hidden="true">{of === label ? " ✓" : " ✗"}</span>}
      {label !== null && <span class="sr">{of === label ? " (right)" : " (wrong)"}</span>}
    </b>
  );
  return (
    <>
      {said(last.from)} → {said(last.to)} at step {last.step}
      {flips > 1 && <span class="dim">, {flips} changes in all</span>}
    </>
  );
}

/** The examples that moved most, each with a link to its map where it changed last. */
export function MovedExamples(props: {
  run: string;
  tag: TagInfo;
  series: Series;
  probe: Probe | null;
}): JSX.Element | null {
  const { run, tag, series, probe } = props;
  const moved = mostMoved(series, tag.examples ?? 0, SHOWN);
  if (!moved.length) return null;
  return (
    <section>
      <h3>
        Most moved examples <small>curve and change: {tag.score_name || "score"}</small>
      </h3>
      <ul class="ov-moved">
        {moved.map((one) => (
          <li key={one.example}>
            <Go
              to={{
                view: "maps",
                run,
                "maps.tag": tag.name,
                step: String(one.last?.step ?? series.steps.at(-1) ?? ""),
                "maps.inspect": String(one.example),
              }}
            >
              {probe && <Thumb probe={probe} example={one.example} />}
              <span class="who">
                <span class="name">{exampleName(probe, one.example)}</span>
                <span>
                  <Change moved={one} probe={probe} />
                </span>
              </span>
              <Mini series={series} example={one.example} />
              <span class="value">
                {one.change > 0 ? "+" : ""}
                {short(one.change)}
              </span>
            </Go>
          </li>
        ))}
      </ul>
    </section>
  );
}
