import type { JSX } from "preact";
import { at, verdictAt, type Series } from "../features/series";
import { number, valueWords, VERDICT_WORDS } from "../features/words";
import { Go } from "./go";

/** A few features at one step with their intervals; marked ones stand out, the others are context. */
export function FeatureBars({
  series,
  t,
  features,
  marked,
}: {
  series: Series;
  t: number;
  features: readonly number[];
  marked?: readonly number[];
}): JSX.Element {
  const reach = features.flatMap((f) => [at(series.mean, series, t, f), at(series.high, series, t, f)]);
  const depth = features.flatMap((f) => [at(series.mean, series, t, f), at(series.low, series, t, f)]);
  const top = Math.max(0, ...reach.filter(Number.isFinite));
  const bottom = Math.min(0, ...depth.filter(Number.isFinite));
  const percent = (value: number): number => (100 * (value - bottom)) / (top - bottom || 1);
  return (
    <ul class="ov-bars">
      {features.map((f) => {
        const name = series.names[f] ?? "";
        const [mean, low, high] = [series.mean, series.low, series.high].map((v) => at(v, series, t, f)) as [
          number,
          number,
          number,
        ];
        const state = verdictAt(series, t, f);
        const drawn = state === "unclear" || state === "above" || state === "below";
        const words = valueWords(series, t, f);
        return (
          <li key={f} class={marked?.includes(f) ? "marked" : ""} title={`${name}: ${words}`}>
            <Go
              to={{
                view: "features",
                run: series.run,
                "features.tag": series.tag,
                "features.pin": name,
                "features.search": "",
              }}
            >
              <span class="name">{name}</span>
              <span class="bar" aria-hidden="true">
                <b style={{ left: `${percent(0)}%` }} />
                {drawn && (
                  <i
                    class={state === "unclear" ? "hollow" : ""}
                    style={{
                      left: `${percent(Math.min(0, mean))}%`,
                      width: `${percent(Math.max(0, mean)) - percent(Math.min(0, mean))}%`,
                    }}
                  />
                )}
                {drawn && Number.isFinite(low) && Number.isFinite(high) && (
                  <u style={{ left: `${percent(low)}%`, width: `${percent(high) - percent(low)}%` }} />
                )}
              </span>
              <span class="value" aria-hidden="true">
                {drawn ? number(mean) : VERDICT_WORDS[state].split(" ")[0]}
              </span>
              <span class="sr">{words}</span>
            </Go>
          </li>
        );
      })}
    </ul>
  );
}
