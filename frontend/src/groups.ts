/** Runs that differ in their seed only, as one. */

export interface RunGroup<R extends { name: string } = { name: string }> {
  /** what the names have in common */
  name: string;
  runs: R[];
}

/** Where names end in seed0, -1, _s2, run-3 or .4 */
export const SEEDS = "[-_./ ]*(?:seed|run|rep|fold|s|r)?[-_=]?\\d+$";

/** A name without what matches; a name that is nothing else is kept. An unfinished expression matches nothing. */
export function groupName(name: string, pattern: string): string {
  if (!pattern) return name;
  try {
    return name.replace(new RegExp(pattern, "i"), "").replace(/^[-_./ ]+|[-_./ ]+$/g, "") || name;
  } catch {
    return name;
  }
}

/** Runs by their common name, in the order of their first. */
export function groupsOf<R extends { name: string }>(runs: readonly R[], pattern: string): RunGroup<R>[] {
  const groups = new Map<string, RunGroup<R>>();
  for (const one of runs) {
    const name = groupName(one.name, pattern);
    const known = groups.get(name);
    if (known) known.runs.push(one);
    else groups.set(name, { name, runs: [one] });
  }
  return [...groups.values()];
}

/** The expression to offer, where names end in numbers of seeds and are the same without; "" where they do not. */
export function suggested(runs: readonly { name: string }[]): string {
  return groupsOf(runs, SEEDS).some((group) => group.runs.length > 1) ? SEEDS : "";
}
