/** One measure over steps, with the shared cursor: click or drag moves it to a logged step. */
import type { JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { nearest } from "../features/axis";
import { Chart, type Draw } from "../features/chart";
import { nearestLine } from "../features/lines";
import type { Theme } from "../features/paint";
import { moveTo, step } from "../state";
import { drawOver, drawPicture, layout, type Picture } from "./draw";
import { hovered } from "./model";

export function Plot({ picture, theme, label }: { picture: Picture; theme: Theme; label: string }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  const draw = useMemo<Draw>(
    () => (ctx, width, height) => drawPicture(ctx, picture, width, height, theme),
    [picture, theme],
  );
  const over = useMemo<Draw>(
    () => (ctx, width, height) => drawOver(ctx, picture, width, height, theme, step.value, hovered.value),
    [picture, theme],
  );
  const go = (px: number, width: number): void => {
    const { line } = picture;
    const to = line.steps[nearest(line.xs, layout(picture, width, 100).x.invert(px))];
    if (to !== undefined) moveTo(to);
  };
  const drag = (event: PointerEvent): void => {
    const place = box.current?.getBoundingClientRect();
    if (place && event.buttons & 1) go(event.clientX - place.left, place.width);
  };
  const point = (px: number, py: number, [width, height]: readonly [number, number]): void => {
    const { curves, line } = picture;
    const { x, y } = layout(picture, width, height);
    const at = line.steps[nearest(line.xs, x.invert(px))];
    const now = curves.map(({ label: name, style, steps, y: values }) => ({
      label: name,
      style,
      y: [values[steps.indexOf(at ?? Number.NaN)] ?? Number.NaN],
    }));
    const found = nearestLine(now, 0, py, y, 24);
    hovered.value = found === null ? null : (curves[found]?.id ?? null);
  };
  return (
    <div class="ql-plot" ref={box} role="presentation" onPointerMove={drag}>
      <Chart
        label={label}
        draw={draw}
        over={over}
        onHover={point}
        onLeave={() => (hovered.value = null)}
        onPick={(px, _, [width]) => go(px, width)}
      />
    </div>
  );
}
