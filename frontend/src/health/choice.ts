/** What is chosen in the view: a measure and some layers, by name. */
import { field } from "../state";
import { MEASURES } from "./measures";

/** The measure that colours the matrix, and the layers that stand beside it; their first is the one in focus. */
export const measureKey = field<string>("health.measure", "gradient_norm", (text) =>
  MEASURES.some((one) => one.key === text),
);
export const chosenLayers = field<string>("health.layers", "", (text) => text === "" || listIn(text).length > 0);

/** Layers that are compared at most. */
const MOST = 6;

function listIn(text: string): string[] {
  try {
    const names = JSON.parse(text) as unknown;
    return Array.isArray(names) && names.every((name) => typeof name === "string") ? names : [];
  } catch {
    return [];
  }
}

export const chosen = (): string[] => listIn(chosenLayers.value);

/** Puts a layer in focus; `beside` keeps those that are chosen, or takes it away where it was one of several. */
export function choose(name: string, beside = false): void {
  const others = chosen().filter((one) => one !== name);
  const drop = beside && others.length > 0 && others.length < chosen().length;
  const next = drop ? others : beside ? [name, ...others].slice(0, MOST) : [name];
  chosenLayers.value = JSON.stringify(next);
}
