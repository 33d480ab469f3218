/** The words of layers over the steps, small: what is trouble, since when. */
import type { JSX } from "preact";
import { fetchSeries, type Series, type TagInfo } from "../api";
import { useRequest, type Async } from "../async";
import { versionOf } from "../features/load";
import { plural } from "../features/words";
import { Go } from "./go";

const MOST = 6;
const FINE = new Set(["healthy", "frozen", ""]);
const SIGNS: Readonly<Record<string, string>> = {
  "not finite": "!",
  exploding: "▲",
  dead: "✕",
  saturated: "■",
  vanishing: "▼",
};

interface Layer {
  name: string;
  /** its word at each step, "" where there is none */
  words: string[];
}

const isIll = (layer: Layer): boolean => !FINE.has(layer.words.at(-1) ?? "");

/** What a health tag says of each layer; the words come with any figure, so the smallest is asked for. */
export function useLayers(run: string, tag: TagInfo): Async<{ steps: number[]; layers: Layer[] }> {
  const key = JSON.stringify([run, tag.name, versionOf(tag)]);
  return useRequest(key, async (signal) => layersOf(await fetchSeries(run, tag.name, signal, { figure: "dead" })));
}

export function layersOf({ steps, names, health }: Pick<Series, "steps" | "names" | "health">): {
  steps: number[];
  layers: Layer[];
} {
  const states = health?.states ?? [];
  const layers = (names ?? []).map((name, at) => ({ name, words: states.map((row) => row?.[at] ?? "") }));
  return { steps: Array.from(steps), layers };
}

/** A layer's last word and since when, such as "dead since step 40". */
export function since({ words }: Layer, steps: readonly number[]): string {
  const last = words.at(-1) ?? "";
  const from = words.findLastIndex((word) => word !== last) + 1;
  if (FINE.has(last)) return last || "not logged";
  return from === 0 ? `${last} from the first step` : `${last} since step ${steps[from] ?? "?"}`;
}

function Strip({ layer, steps }: { layer: Layer; steps: readonly number[] }): JSX.Element {
  const n = layer.words.length;
  return (
    <li>
      <span class="name" title={layer.name}>
        {layer.name}
      </span>
      <svg viewBox={`0 0 ${Math.max(1, n)} 1`} preserveAspectRatio="none" aria-hidden="true">
        {layer.words.map((word, t) => (
          <rect key={t} class={FINE.has(word) ? word || "none" : "ill"} x={t} y={0} width={1} height={1} />
        ))}
      </svg>
      <span class={isIll(layer) ? "ill" : "dim"}>
        <span aria-hidden="true">{SIGNS[layer.words.at(-1) ?? ""] ?? ""}</span> {since(layer, steps)}
      </span>
    </li>
  );
}

/** Some layers by name, or without names those in trouble first. */
export function LayerStrips({
  run,
  tag,
  names,
}: {
  run: string;
  tag: TagInfo;
  names?: readonly string[];
}): JSX.Element | null {
  const answer = useLayers(run, tag);
  if (answer.state === "failed")
    return (
      <p class="words">
        The layers could not be loaded: {answer.error}{" "}
        <button type="button" onClick={answer.retry}>
          Retry
        </button>
      </p>
    );
  const known = answer.state === "ready" ? answer.value : answer.last;
  if (!known) return <p class="ov-wait dim">Loading its layers…</p>;
  const { layers, steps } = known;
  const ill = layers.filter(isIll);
  const wanted = names ? layers.filter(({ name }) => names.includes(name)) : ill.length ? ill : layers;
  const shown = wanted.slice(0, MOST);
  if (!shown.length) return null;
  return (
    <figure class="spark">
      <figcaption>
        {names
          ? "the layers over the steps"
          : ill.length
            ? `${ill.length} of ${plural(layers.length, "layer")} in trouble`
            : `all ${plural(layers.length, "layer")} healthy`}
        {wanted.length > shown.length && (
          <span class="dim">
            , {shown.length} of {wanted.length} shown
          </span>
        )}
      </figcaption>
      <ul class="ov-layers">
        {shown.map((layer) => (
          <Strip key={layer.name} layer={layer} steps={steps} />
        ))}
        <li aria-hidden="true">
          <span class="dim ends">
            <span>step {steps[0]}</span>
            <span>step {steps.at(-1)}</span>
          </span>
        </li>
      </ul>
    </figure>
  );
}

/** A run's layers in a few lines, and the way to all of them. */
export function Health({ run, tag }: { run: string; tag: TagInfo }): JSX.Element {
  return (
    <section>
      <h3>
        Health <small>{tag.name}</small>
      </h3>
      <LayerStrips run={run} tag={tag} />
      <Go to={{ view: "health", run, "health.tag": tag.name }}>Show all layers</Go>
    </section>
  );
}
