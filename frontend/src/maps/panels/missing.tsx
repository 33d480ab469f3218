import type { JSX } from "preact";
import type { Scene } from "../sources";

/** Columns without maps, each with the reason; more in a cell than a word is rarely legible. */
export function MissingNotice({
  by,
  missing,
}: {
  by: Scene["by"];
  missing: readonly (readonly [string, string])[];
}): JSX.Element {
  const [one, many] = { steps: ["step", "steps"], methods: ["method", "methods"], runs: ["run", "runs"] }[by] as [
    string,
    string,
  ];
  return (
    <details class="notice">
      <summary>
        {missing.length === 1 ? `A ${one} has` : `${missing.length} ${many} have`} no maps:{" "}
        {missing.map(([title]) => title).join(", ")}
      </summary>
      <ul>
        {missing.map(([title, reason]) => (
          <li key={title}>
            {one} {title}: {reason}
          </li>
        ))}
      </ul>
    </details>
  );
}
