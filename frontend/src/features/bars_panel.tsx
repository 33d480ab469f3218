/** Every feature at the cursor's step, ranked, with its 95 % interval: a list to the eye, the keyboard and a screen reader. */
import type { CSSProperties, JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useSize } from "./chart";
import { listWindow } from "./labels";
import { extent } from "./lines";
import { beside, highlighted, hovered, togglePin, type Model } from "./model";
import { Select } from "./exports";
import { style, type Style, type Theme } from "./paint";
import { ALONE, at, rowAt, verdictAt, type Numbers, type Verdict } from "./series";
import { ALONE_WORDS, bandWords, number, plural, unitWords, valueWords, VERDICT_WORDS } from "./words";

export const ROW = 24;

/** Counts of what the bars say at a step, in words. */
export function verdictCounts(model: Model): string {
  const counts = new Map<Verdict, number>();
  for (const f of model.found) {
    const state = verdictAt(model.series, model.t, f);
    counts.set(state, (counts.get(state) ?? 0) + 1);
  }
  const say: [Verdict, string][] = [
    ["unclear", "not distinguishable from 0 (hollow)"],
    ["below", "below 0"],
    ["unused", "unused (exactly 0)"],
    ["nan", "NaN"],
    ["missing", "not logged"],
  ];
  return say
    .flatMap(([state, words]) =>
      counts.has(state) ? [`${counts.get(state)?.toLocaleString("en") ?? ""} ${words}`] : [],
    )
    .join(" · ");
}

function Swatch({ looks }: { looks: Style | null }): JSX.Element {
  return (
    <svg width="18" height="8" aria-hidden="true">
      {looks && (
        <line
          x1="0"
          x2="18"
          y1="4"
          y2="4"
          stroke={looks.colour}
          stroke-width="2.5"
          stroke-dasharray={looks.dash.join(" ")}
        />
      )}
    </svg>
  );
}

interface RowProps {
  model: Model;
  f: number;
  i: number;
  domain: readonly [number, number];
  looks: Style | null;
  alone: Beside | null;
}

/** What stands beside the bars: a measure that needs no model, on its own scale. */
interface Beside {
  what: keyof typeof ALONE_WORDS;
  values: Numbers;
  domain: readonly [number, number];
}

function besideOf({ series }: Model): Beside | null {
  const wish = beside.value;
  const what = wish === "none" ? undefined : [wish, ...ALONE].find((one) => series.alone?.[one]);
  const values = what && series.alone?.[what];
  if (!what || !values) return null;
  // of classes chance is 0.5, of values 0: scores of classes never lie below
  const chance = what === "single_score" && values.every((v) => !(v < 0.5));
  return { what, values, domain: chance ? [0.5, 1] : (ALONE_WORDS[what].range ?? extent([values])) };
}

const aloneWords = ({ what, values }: Beside, f: number): string =>
  `${ALONE_WORDS[what].name} ${number(values[f] ?? NaN)}`;

function AloneBar({ alone: { values, domain, what }, f }: { alone: Beside; f: number }): JSX.Element {
  const value = values[f] ?? NaN;
  const percent = (v: number) => ((v - domain[0]) / (domain[1] - domain[0])) * 100;
  const from = percent(what === "single_score" ? domain[0] : 0);
  const to = percent(value);
  return (
    <span class="fx-alone" aria-hidden="true" style={{ "--zero": `${from}%` } as CSSProperties}>
      {Number.isFinite(value) && <i style={{ left: `${Math.min(from, to)}%`, width: `${Math.abs(to - from)}%` }} />}
    </span>
  );
}

function Bar({ model, f, domain, looks }: Omit<RowProps, "i" | "alone">): JSX.Element {
  const { series, t } = model;
  const state = verdictAt(series, t, f);
  const mean = at(series.mean, series, t, f);
  const low = at(series.low, series, t, f);
  const high = at(series.high, series, t, f);
  const percent = (v: number) => ((v - domain[0]) / (domain[1] - domain[0])) * 100;
  const drawn = state === "unclear" || state === "above" || state === "below";
  const [a, b] = [percent(Math.min(0, mean)), percent(Math.max(0, mean))];
  const reach = percent(Math.max(0, mean, Number.isFinite(high) ? high : 0));
  const word = state === "unclear" && reach < 45 ? "may be 0" : state === "below" ? VERDICT_WORDS.below : "";
  return (
    <span
      class="fx-bar"
      aria-hidden="true"
      style={{ "--zero": `${percent(0)}%`, "--hue": looks?.colour ?? "var(--fx-rest)" } as CSSProperties}
    >
      {drawn && <i class={state === "unclear" ? "hollow" : ""} style={{ left: `${a}%`, width: `${b - a}%` }} />}
      {drawn && Number.isFinite(low) && Number.isFinite(high) && (
        <u style={{ left: `${percent(low)}%`, width: `${percent(high) - percent(low)}%` }} />
      )}
      {word && <em style={{ left: `calc(${reach}% + 8px)` }}>{word}</em>}
    </span>
  );
}

function Row({ model, f, i, domain, looks, alone }: RowProps): JSX.Element {
  const { series, t } = model;
  const name = series.names[f] ?? "";
  const state = verdictAt(series, t, f);
  const short = { missing: "not logged", nan: "NaN", unused: "unused", unclear: "", above: "", below: "" }[state];
  const place = model.place.get(f) ?? 0;
  return (
    <div
      role="option"
      id={`fx-option-${f}`}
      data-name={name}
      class={`fx-row${highlighted() === name ? " on" : ""}`}
      aria-selected={highlighted() === name}
      aria-posinset={i + 1}
      aria-setsize={model.found.length}
      title={`${name}: ${valueWords(series, t, f)}${alone ? `; ${aloneWords(alone, f)}` : ""}`}
    >
      <span class="fx-place">{place}</span>
      <Swatch looks={looks} />
      <span class="fx-name">{name}</span>
      <Bar model={model} f={f} domain={domain} looks={looks} />
      <span class="fx-value" aria-hidden="true">
        {short || number(at(series.mean, series, t, f))}
      </span>
      {alone && <AloneBar alone={alone} f={f} />}
      <span class="sr">
        {valueWords(series, t, f)}
        {alone && `; ${aloneWords(alone, f)}`}
      </span>
    </div>
  );
}

function BesidePicker({ model, alone }: { model: Model; alone: Beside | null }): JSX.Element {
  return (
    <label class="fx-besides" title={alone ? ALONE_WORDS[alone.what].what : ""}>
      <span class="dim">Beside, without a model:</span>
      <select
        value={alone?.what ?? "none"}
        onChange={(event) => (beside.value = event.currentTarget.value as typeof beside.value)}
      >
        {ALONE.filter((one) => model.series.alone?.[one]).map((one) => (
          <option key={one} value={one}>
            {ALONE_WORDS[one].long}
          </option>
        ))}
        <option value="none">nothing</option>
      </select>
    </label>
  );
}

export function BarsPanel({ model, theme }: { model: Model; theme: Theme }): JSX.Element {
  const { series, found, t } = model;
  const list = useRef<HTMLDivElement>(null);
  const [, height] = useSize(list);
  const [top, setTop] = useState(0);
  const { start, end } = listWindow(top, height, ROW, found.length);
  const domain = useMemo(
    () => extent([series.mean, series.low, series.high].map((v) => rowAt(v, series, t))),
    [series, t],
  );
  const alone = useMemo(() => besideOf(model), [series, beside.value]);
  const active = found.findIndex((f) => series.names[f] === highlighted());

  useEffect(() => {
    list.current?.scrollTo({ top: 0 });
  }, [series.run, series.tag, found.length]);

  const go = (event: KeyboardEvent): void => {
    const move = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Enter" && active >= 0) togglePin(series.names[found[active] ?? 0] ?? "");
    if (move === undefined || !found.length) return;
    event.preventDefault();
    const next = Math.min(found.length - 1, Math.max(0, (active < 0 && move > 0 ? -1 : active) + move));
    hovered.value = series.names[found[next] ?? 0] ?? null;
    const box = list.current;
    if (!box) return;
    if (next * ROW < box.scrollTop) box.scrollTop = next * ROW;
    else if ((next + 1) * ROW > box.scrollTop + box.clientHeight) box.scrollTop = (next + 1) * ROW - box.clientHeight;
  };
  const nameAt = (event: Event): string | null =>
    event.target instanceof Element
      ? (event.target.closest<HTMLElement>("[data-name]")?.dataset["name"] ?? null)
      : null;

  return (
    <figure class={`fx-panel fx-bars${alone ? " fx-beside" : ""}`} aria-label="Ranked features">
      <figcaption>
        <h2>Features at step {series.steps[t]}</h2>
        <small>
          {unitWords(series)},{" "}
          {series.parts ? "(2): sum of two features, without an interval" : `with ${bandWords(series)}`}
          {verdictCounts(model) && <> · {verdictCounts(model)}</>}
        </small>
      </figcaption>
      {series.alone && <BesidePicker model={model} alone={alone} />}
      {found.length === 0 && <p class="dim">No feature matches the search.</p>}
      <div
        class="fx-list"
        role="listbox"
        ref={list}
        tabIndex={0}
        aria-label={`Features ranked by importance at step ${series.steps[t] ?? ""}; Enter keeps one highlighted`}
        aria-activedescendant={active >= start && active < end ? `fx-option-${found[active] ?? 0}` : undefined}
        onScroll={(event) => setTop(event.currentTarget.scrollTop)}
        onKeyDown={go}
        onPointerMove={(event) => (hovered.value = nameAt(event))}
        onPointerLeave={() => (hovered.value = null)}
        onClick={(event) => {
          const name = nameAt(event);
          if (name !== null) togglePin(name);
        }}
        onBlur={() => (hovered.value = null)}
      >
        <div class="fx-space" role="presentation" style={{ height: `${found.length * ROW}px` }}>
          <div role="presentation" style={{ transform: `translateY(${start * ROW}px)` }}>
            {found.slice(start, end).map((f, i) => {
              const slot = model.slots.get(f);
              return (
                <Row
                  key={f}
                  model={model}
                  f={f}
                  i={start + i}
                  domain={domain}
                  looks={slot === undefined ? null : style(slot, theme.dark)}
                  alone={alone}
                />
              );
            })}
          </div>
        </div>
      </div>
      <div class="fx-foot">
        <span class="dim" role="status">
          {found.length === series.names.length
            ? plural(found.length, "feature")
            : `${found.length.toLocaleString("en")} of ${plural(series.names.length, "feature")}`}
        </span>
        <Select model={model} />
      </div>
    </figure>
  );
}
