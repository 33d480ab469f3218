/** The words and values on screen as a table. */
import { field } from "../csv";
import type { Line, TextInput, Word } from "./model";

/** One line per step, example, input and word; steps without values have none. */
export function toCsv(
  run: string,
  tag: string,
  examples: readonly number[],
  inputs: readonly TextInput[],
  words: readonly (readonly (readonly Word[])[])[],
  steps: readonly number[],
  line: (input: number, example: number, step: number) => Line,
  nameOf: (example: number) => string,
): string {
  const lines = ["run,tag,step,example,input,position,word,value"];
  for (const step of steps)
    for (const example of examples)
      inputs.forEach(({ info }, input) => {
        const { values } = line(input, example, step);
        words[input]?.[example]?.forEach(({ text, from }, place) => {
          const value = values[place];
          const said = value === undefined ? "" : String(value);
          const names = [run, tag, String(step), nameOf(example), info.name, String(from), text];
          lines.push([...names.map(field), said].join(","));
        });
      });
  return `${lines.join("\n")}\n`;
}

/** The same, one entry an example and input: its words once, and a list of values a step; null where there is none. */
export function toJson(
  run: string,
  tag: string,
  examples: readonly number[],
  inputs: readonly TextInput[],
  words: readonly (readonly (readonly Word[])[])[],
  steps: readonly number[],
  line: (input: number, example: number, step: number) => Line,
  nameOf: (example: number) => string,
): unknown {
  const finite = (value: number | undefined): number | null =>
    value !== undefined && Number.isFinite(value) ? value : null;
  return {
    run,
    tag,
    steps,
    texts: examples.flatMap((example) =>
      inputs.map(({ info }, input) => {
        const said = words[input]?.[example] ?? [];
        return {
          example: nameOf(example),
          input: info.name,
          words: said.map(({ text }) => text),
          positions: said.map(({ from }) => from),
          values: steps.map((step) => {
            const { values } = line(input, example, step);
            return said.map((_, place) => finite(values[place]));
          }),
        };
      }),
    ),
  };
}
