import type { JSX } from "preact";
import { short } from "../../colour";
import { theme } from "../../host";
import { boxOf, Canvas, type Box, type Drawing } from "../cell";
import { barAt } from "../paint";
import type { Exact } from "./exact";

/** One of the pictures that a map is drawn as: the whole, or one of its channels. */
export interface Part {
  readonly name: string;
  readonly drawing: Drawing;
  readonly box: Box;
}

/** The values of one channel, or all of them where there is one. */
export function channelOf(exact: Exact, channel: number): Float64Array {
  if (exact.channels === 1) return exact.values;
  return Float64Array.from(
    { length: exact.height * exact.width },
    (_, at) => exact.values[at * exact.channels + channel] ?? Number.NaN,
  );
}

export const endOf = (values: Float64Array): number =>
  values.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);

/** Why there is nothing to see, in a word. */
export function stateOf(values: Float64Array, difference: boolean): string | null {
  if (!values.some(Number.isFinite)) return "not finite";
  if (endOf(values) > 0) return null;
  return difference ? "no difference" : "all zero";
}

/** One picture that is read by pointing, and keeps a place when it is clicked. */
export function Large({
  part,
  place,
  onPoint,
  onPlace,
}: {
  part: Part;
  place: readonly [number, number] | null;
  onPoint: (at: readonly [number, number] | null) => void;
  onPlace: (at: readonly [number, number]) => void;
}): JSX.Element {
  const { drawing } = part;
  const { height, width } = drawing.map;
  const box = boxOf(drawing, part.box);
  const under = (event: MouseEvent & { currentTarget: HTMLElement }): readonly [number, number] | null => {
    const bounds = event.currentTarget.getBoundingClientRect();
    const x = (event.clientX - bounds.left) / bounds.width;
    const y = (event.clientY - bounds.top) / bounds.height;
    if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
    if (drawing.kind !== "bars") return [Math.floor(y * height), Math.floor(x * width)];
    const bars = Math.min(width, Math.round(box.width * (window.devicePixelRatio || 1)));
    return [0, barAt(drawing.map.values(true), Math.floor(x * bars), bars)];
  };
  return (
    // eslint-disable-next-line jsx-a11y/no-static-element-interactions, jsx-a11y/click-events-have-key-events -- Shift and arrows move the place by keyboard
    <div
      class="large"
      style={{ width: `${box.width}px`, height: `${box.height}px` }}
      onPointerMove={(event) => onPoint(under(event))}
      onPointerLeave={() => onPoint(null)}
      onClick={(event) => {
        const at = under(event);
        if (at) onPlace(at);
      }}
    >
      <Canvas {...drawing} box={part.box} theme={theme.value} />
      {place && place[0] < height && place[1] < width && (
        <i
          class="place"
          style={{
            left: `${(100 * place[1]) / width}%`,
            width: `${100 / width}%`,
            ...(drawing.kind === "image"
              ? { top: `${(100 * place[0]) / height}%`, height: `${100 / height}%` }
              : { top: "0", height: "100%" }),
          }}
        />
      )}
    </div>
  );
}

/** A map's pictures below or beside each other, each with its name and the end of its scale. */
export function Pictures({
  parts,
  ...reading
}: {
  parts: readonly Part[];
  place: readonly [number, number] | null;
  onPoint: (at: readonly [number, number] | null) => void;
  onPlace: (at: readonly [number, number]) => void;
}): JSX.Element {
  const many = parts.length > 1;
  return (
    <div class={many ? "pictures many" : "pictures"}>
      {parts.map((part) => (
        <figure key={part.name}>
          {many && (
            <figcaption>
              {part.name} <span class="dim">to {short(part.drawing.limit)}</span>
            </figcaption>
          )}
          <Large part={part} {...reading} />
        </figure>
      ))}
    </div>
  );
}
