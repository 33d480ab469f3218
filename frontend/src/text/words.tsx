/** A line of words, each underlined by how much it moves the score. */
import type { CSSProperties, JSX } from "preact";
import { short } from "../colour";
import { directionOf, shownText, wordFor, type Line, type Word } from "./model";

/** "wonderful: +2.13, raises the score" */
export function valueWords(value: number | undefined, signed: boolean): string {
  if (value === undefined) return "no value";
  if (!Number.isFinite(value)) return "not finite";
  if (value === 0) return "0";
  if (!signed) return short(value);
  return `${value > 0 ? "+" : ""}${short(value)}, ${value > 0 ? "raises" : "lowers"} the score`;
}

const LEAST = 0.03;

/** Thickness in tenths of a pixel-like unit and depth of the wash; nothing below 3 % of the scale. */
export function looks(value: number, limit: number): { sign: "up" | "down" | "none" | "nan"; style: CSSProperties } {
  if (!Number.isFinite(value)) return { sign: "nan", style: {} };
  const share = limit > 0 ? Math.min(1, Math.abs(value) / limit) : 0;
  if (share < LEAST) return { sign: "none", style: {} };
  return {
    sign: value > 0 ? "up" : "down",
    style: {
      "--thick": `${(1 + 4 * share).toFixed(2)}px`,
      "--wash": `${Math.round(6 + 26 * share)}%`,
    } as CSSProperties,
  };
}

interface Props {
  words: readonly Word[];
  line: Line;
  limit: number;
  signed: boolean;
  name: string;
  id: string;
  /** place of the chosen word, -1 when it stands elsewhere */
  chosen: number;
  onChoose: (place: number) => void;
  onHover: (place: number | null) => void;
}

/** Words as options of a list: one of them is the stop of the Tab key, arrows go on from it. */
export function Words({ words, line, limit, signed, name, id, chosen, onChoose, onHover }: Props): JSX.Element {
  const direction = directionOf(words);
  const state = wordFor(line.state);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || !(event.target instanceof HTMLElement)) return;
    const here = Number(event.target.dataset["place"]);
    const on = direction === "rtl" ? -1 : 1;
    const to = { ArrowRight: here + on, ArrowLeft: here - on, Home: 0, End: words.length - 1 }[event.key];
    if (event.key === "Enter" || event.key === " ") onChoose(here);
    else if (to !== undefined) {
      const next = Math.min(words.length - 1, Math.max(0, to));
      onChoose(next);
      const list = event.target.parentElement;
      list?.querySelector<HTMLElement>(`[data-place="${next}"]`)?.focus();
    } else return;
    event.preventDefault();
  };
  const placeOf = (target: EventTarget | null): number | null => {
    const node = target instanceof Element ? target.closest<HTMLElement>("[data-place]") : null;
    return node ? Number(node.dataset["place"]) : null;
  };
  return (
    <div class="tx-text" dir={direction}>
      {/* eslint-disable-next-line jsx-a11y/interactive-supports-focus -- focus stands on the words, keys bubble */}
      <div
        role="listbox"
        id={id}
        class={typeof line.state === "string" && line.state === "values" ? "tx-line" : "tx-line plain"}
        aria-label={`${name}${state ? `, ${state}` : ""}`}
        aria-orientation="horizontal"
        onKeyDown={onKeyDown}
        onClick={(event) => {
          const place = placeOf(event.target);
          if (place !== null) onChoose(place);
        }}
        onPointerOver={(event) => onHover(placeOf(event.target))}
        onPointerLeave={() => onHover(null)}
      >
        {words.map(({ text, from }, place) => {
          const value = line.values[place];
          const { sign, style } = value === undefined ? { sign: "none", style: {} } : looks(value, limit);
          return (
            <span
              key={from}
              role="option"
              class={`tx-word ${sign}`}
              style={style}
              tabIndex={place === Math.max(0, chosen) ? 0 : -1}
              aria-selected={place === chosen}
              aria-label={`${shownText(text)}: ${state ?? valueWords(value, signed)}`}
              data-place={place}
            >
              {shownText(text)}
            </span>
          );
        })}
      </div>
      {state && (
        <span class="tx-state" dir="ltr">
          {state}
        </span>
      )}
    </div>
  );
}
