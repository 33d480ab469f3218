import type { Signal } from "@preact/signals";
import type { JSX } from "preact";

export type Options<T extends string = string> = readonly (readonly [T, string])[];

/** A labelled list to choose from. */
export function Choice<T extends string>({
  name,
  of,
  options,
}: {
  name: string;
  of: Signal<T>;
  options: Options<T>;
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

export const same = <T extends string>(values: readonly T[]): Options<T> => values.map((one) => [one, one]);
