/** What was found, as a table and for programs. */
import { field } from "../csv";
import type { Shown } from "../export";
import type { Told } from "./findings";

/** The findings of the runs on screen; a run without any has an empty list, one that is not judged yet is left out. */
export function taken(
  names: readonly string[],
  told: Readonly<Record<string, readonly Told[]>>,
): Required<Pick<Shown, "csv" | "json">> {
  const judged = names.flatMap((run) => (told[run] ? [{ run, findings: told[run] }] : []));
  return {
    csv: () => {
      const lines = judged.flatMap(({ run, findings }) =>
        findings.map(({ severity, rule, tags, first_step, last_step, text, try_next }) =>
          [run, severity, rule, tags.join(" "), String(first_step), String(last_step), text, try_next]
            .map(field)
            .join(","),
        ),
      );
      return `${["run,severity,rule,tags,first_step,last_step,text,try_next", ...lines].join("\n")}\n`;
    },
    json: () => Object.fromEntries(judged.map(({ run, findings }) => [run, findings])),
  };
}
