import type { JSX } from "preact";
import { short } from "../colour";
import { tag } from "../state";
import { BAR_ROWS, type Look } from "./paint";
import * as settings from "./settings";
import type { Column, Scene } from "./sources";

/** What the colours of some columns mean. */
export interface Scale {
  readonly look: Look;
  readonly columns: readonly Column[];
  /** least and largest end of the colours; null: nothing is drawn yet */
  readonly ends: readonly [number, number] | null;
  /** largest ratio of the strengths of two compared maps */
  readonly ratio: number | null;
}

/** The colours from one end to the other; bars have one colour to each side of zero. */
function Ramp({ look, bars }: { look: Look; bars: boolean }): JSX.Element {
  const { table, signed } = look;
  const rowOf = (share: number): number =>
    bars && signed ? (share < 0.5 ? BAR_ROWS[0] : BAR_ROWS[1]) : Math.round(share * 255);
  const stops = Array.from({ length: 18 }, (_, at) => {
    const row = 3 * rowOf(at / 17);
    return `rgb(${table[row]} ${table[row + 1]} ${table[row + 2]})`;
  });
  return (
    <span class="ramp" style={{ background: `linear-gradient(to right, ${stops.join(", ")})` }} aria-hidden="true">
      {signed && <i>0</i>}
    </span>
  );
}

/** The scale in words. */
export function wordsOf(scale: Scale, by: Scene["by"]): { low: string; high: string; to: string } {
  const { look, ends, columns } = scale;
  const score = tag.value?.score_name ?? "score";
  const what = tag.value?.value_name;
  const minus = settings.minus.value;
  const share = settings.clip.value === "100" ? "peak" : `${settings.clip.value} % quantile`;
  const rule = settings.scale.value;
  const whose = minus
    ? {
        map: `the larger ${share} of both maps`,
        example: `the example’s largest ${share}`,
        shared: `the largest ${share}`,
      }
    : by === "methods"
      ? { map: `each map’s ${share}`, example: `each map’s ${share}`, shared: `each method’s largest ${share}` }
      : {
          map: `each map’s ${share}`,
          example: `each example’s largest ${share}`,
          shared: `the largest ${share} of all`,
        };
  const range = ends === null ? "" : ends[0] === ends[1] ? short(ends[1]) : `${short(ends[0])} to ${short(ends[1])}`;
  const to = `to ${look.signed ? "± " : ""}${whose[rule]}${range && `: ${range}`}`;
  if (minus) {
    const magnitude = columns.some(({ signed }) => !signed) ? "|value| " : "";
    return { low: `${magnitude}less`, high: `${magnitude}more`, to };
  }
  if (!look.signed) return { low: "0", high: what ?? `moves ${score}`, to };
  return what
    ? { low: `negative ${what}`, high: `positive ${what}`, to }
    : { low: `lowers ${score}`, high: `raises ${score}`, to };
}

/** The scales in words and numbers: what the ends of the colours mean. */
export function Legend({ scales, by }: { scales: readonly Scale[]; by: Scene["by"] }): JSX.Element {
  const minus = settings.minus.value;
  return (
    <div class="legend" role="group" aria-label="Legend">
      {minus && (
        <button
          type="button"
          class="chip"
          title="Stop comparing (d)"
          aria-label={`difference to ${minus}: stop comparing`}
          onClick={() => (settings.minus.value = "")}
        >
          difference to {minus} <span aria-hidden="true">✕</span>
        </button>
      )}
      {scales.map((scale) => {
        const { low, high, to } = wordsOf(scale, by);
        const key = `${scale.look.signed} ${minus}`;
        return (
          <span class="scale" key={key}>
            <span>{low}</span>
            <Ramp look={scale.look} bars={scale.columns.some(({ kind }) => kind === "bars")} />
            <span>{high}</span>
            <span class="dim">{to}</span>
            {scale.ratio !== null && scale.ratio >= 2 && (
              <span
                class="dim"
                title="Values are subtracted, not colours: where one map is much stronger, the difference is mostly its strength"
              >
                strengths differ up to ×{short(scale.ratio)}
              </span>
            )}
          </span>
        );
      })}
      <span class="dim strength-key">
        <i aria-hidden="true" /> {minus ? "largest difference" : "peak"} within the{" "}
        {by === "methods" ? "column on screen" : "row"}
      </span>
      {settings.clip.value !== "100" && <span class="dim">values beyond take the last colour</span>}
    </div>
  );
}
