import type { Signal } from "@preact/signals";
import type { JSX } from "preact";
import { PLAIN_MAPS, short, SIGNED_MAPS } from "../colour";
import { Popover } from "../popover";
import { tag } from "../state";
import { BAR_ROWS } from "./paint";
import * as settings from "./settings";

function Choice<T extends string>({
  name,
  of,
  options,
}: {
  name: string;
  of: Signal<T>;
  options: readonly (readonly [T, string])[];
}): JSX.Element {
  // The inputs of this method may not be those of the last one: then the first is shown.
  const known = options.some(([value]) => value === of.value);
  return (
    <label class="pick">
      <span>{name}</span>
      <select
        value={known ? of.value : options[0]?.[0]}
        onChange={(event) => (of.value = event.currentTarget.value as T)}
      >
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

const same = <T extends string>(values: readonly T[]): (readonly [T, string])[] => values.map((one) => [one, one]);

/** The scale in words and numbers: what the ends of the colours mean. Bars have one colour to each side of zero. */
export function Legend({ ends, bars }: { ends: readonly [number, number] | null; bars: boolean }): JSX.Element {
  const { table, signed } = settings.look.value;
  const rowOf = (share: number): number =>
    bars && signed ? (share < 0.5 ? BAR_ROWS[0] : BAR_ROWS[1]) : Math.round(share * 255);
  const stops = Array.from({ length: 18 }, (_, at) => {
    const row = 3 * rowOf(at / 17);
    return `rgb(${table[row]} ${table[row + 1]} ${table[row + 2]})`;
  });
  const score = tag.value?.score_name ?? "score";
  const what = tag.value?.value_name;
  const whose = { map: "each map’s peak", example: "each example’s peak", shared: "the peak of all" }[
    settings.scale.value
  ];
  const range = ends === null ? "" : ends[0] === ends[1] ? short(ends[1]) : `${short(ends[0])} to ${short(ends[1])}`;
  return (
    <div class="legend" role="group" aria-label="Legend">
      <span>{!signed ? "0" : what ? `negative ${what}` : `lowers ${score}`}</span>
      <span class="ramp" style={{ background: `linear-gradient(to right, ${stops.join(", ")})` }} aria-hidden="true">
        {signed && <i>0</i>}
      </span>
      <span>{what ? (signed ? `positive ${what}` : what) : signed ? `raises ${score}` : `moves ${score}`}</span>
      <span class="dim">
        to {signed ? "± " : ""}
        {whose}
        {range && `: ${range}`}
      </span>
      <span class="dim strength-key">
        <i aria-hidden="true" /> peak within the row
      </span>
    </div>
  );
}

/** How the maps are drawn: what changes their meaning stands open, the rest in a panel. */
export function Display({ image, inputs }: { image: boolean; inputs: readonly string[] }): JSX.Element {
  const { values, signed, signedMap, plainMap, scale, smooth, picture, columns, cellSize, input } = settings;
  return (
    <div class="display" role="group" aria-label="Display">
      {inputs.length > 1 && <Choice name="Input" of={input} options={same(inputs)} />}
      {tag.value?.signed !== false && <Choice name="Values" of={values} options={same(["signed", "magnitude"])} />}
      <Choice
        name="Scale"
        of={scale}
        options={[
          ["map", "per map"],
          ["example", "per example"],
          ["shared", "shared"],
        ]}
      />
      <Popover name="Display" face="Display">
        {() => (
          <div class="choices">
            {signed.value ? (
              <Choice name="Colours" of={signedMap} options={same(SIGNED_MAPS)} />
            ) : (
              <Choice name="Colours" of={plainMap} options={same(PLAIN_MAPS)} />
            )}
            {image && (
              <Choice
                name="Picture"
                of={picture}
                options={[
                  ["auto", signed.value ? "auto (none)" : "auto (grey)"],
                  ["none", "none"],
                  ["grey", "grey"],
                ]}
              />
            )}
            {image && (
              <Choice
                name="Between pixels"
                of={smooth}
                options={[
                  ["on", "smooth"],
                  ["off", "sharp"],
                ]}
              />
            )}
            <Choice
              name="Columns"
              of={columns}
              options={[
                ["fit", "as many as fit"],
                ["all", "every step"],
              ]}
            />
            <Choice name="Size" of={cellSize} options={same(["small", "medium", "large"])} />
          </div>
        )}
      </Popover>
    </div>
  );
}
