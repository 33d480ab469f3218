/** The Text view: words underlined by how much they move the score, over training. */
import { signal } from "@preact/signals";
import { Fragment, type JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { fetchSeries, type Series, type TagInfo } from "../api";
import { Failed, Ready, useRequest } from "../async";
import { seen, useExport } from "../export";
import { useSize } from "../features/chart";
import { matcher } from "../features/rank";
import { axis, field, run, setting, step, tag } from "../state";
import { adopt } from "../style";
import { alongAxis, Chosen, OverSteps, WordMatrix, type Story } from "./detail";
import { Example } from "./example";
import { loadTexts, loadValues, stepsFor, valuesAt, type Texts } from "./load";
import { examplesOf, lineOf, nameOf, wordsOf, type Line, type Show } from "./model";
import { toCsv, toJson } from "./take";
import css from "./text.css?inline";

adopt(css);

const SHOWS = ["all", "wrong", "right", "flipped"] as const;
const SCALES = ["line", "example", "all"] as const;
const search = field<string>("text.search", "");
const show = field<Show>("text.show", "all", SHOWS);
const scaleRule = setting("text.scale", "line", SCALES);
/** The chosen example, and its word as "input/place". */
const wantedExample = field<string>("text.example", "", (text) => /^\d*$/.test(text));
const wantedWord = field<string>("text.word", "", (text) => /^(\d+\/\d+)?$/.test(text));

/** Counts answers that arrived: whoever reads it draws again. */
const arrivals = signal(0);
const PAGE = 20;
/** Below this width an example's steps stand under it instead of beside the list. */
const NARROW = 860;

function Tools({ found, count }: { found: number; count: number }): JSX.Element {
  return (
    <div class="tx-tools">
      <input
        type="search"
        placeholder="Search texts (regex)"
        aria-label="Search texts and names by a regular expression"
        value={search.value}
        onInput={(event) => (search.value = event.currentTarget.value)}
      />
      <label class="pick">
        <span>Examples</span>
        <select value={show.value} onChange={(event) => (show.value = event.currentTarget.value as Show)}>
          <option value="all">all</option>
          <option value="wrong">wrong at this step</option>
          <option value="right">right at this step</option>
          <option value="flipped">changed their class</option>
        </select>
      </label>
      <label class="pick">
        <span>Scale</span>
        <select
          value={scaleRule.value}
          onChange={(event) => (scaleRule.value = event.currentTarget.value as (typeof SCALES)[number])}
        >
          <option value="line">per line</option>
          <option value="example">per example, over steps</option>
          <option value="all">shared</option>
        </select>
      </label>
      <span role="status" class="dim">
        {found} of {count} texts
      </span>
    </div>
  );
}

function Legend({ signed, scoreName }: { signed: boolean; scoreName: string }): JSX.Element {
  const score = scoreName ? `the ${scoreName} of its label` : "the score";
  const look = (thick: number) => ({ "--thick": `${thick}px`, "--wash": `${6 * thick}%` });
  if (!signed)
    return (
      <p class="tx-legend dim">
        <span class="tx-word up" style={look(2)}>
          thin
        </span>{" "}
        <span class="tx-word up" style={look(5)}>
          thick
        </span>{" "}
        underline: a little, a lot
      </p>
    );
  return (
    <p class="tx-legend">
      <span class="tx-word up" style={look(4)}>
        solid
      </span>{" "}
      raises {score},{" "}
      <span class="tx-word down" style={look(4)}>
        dashed
      </span>{" "}
      lowers it; the thicker, the more
    </p>
  );
}

function Panels({ texts, info, series }: { texts: Texts; info: TagInfo; series: Series | null }): JSX.Element {
  void arrivals.value;
  const theRun = run.value?.name ?? "";
  const now = step.value ?? 0;
  const box = useRef<HTMLDivElement>(null);
  const [width] = useSize(box);
  const narrow = width > 0 && width < NARROW;
  // what is chosen starts at its first page
  const filter = JSON.stringify([search.value, show.value]);
  const [opened, open] = useState({ pages: 1, filter });
  const pages = opened.filter === filter ? opened.pages : 1;
  const [over, setOver] = useState<readonly [number, number, number] | null>(null);
  const { inputs, probe } = texts;
  const count = Math.min(info.examples ?? Infinity, ...inputs.map((one) => one.tokens.length));
  const words = useMemo(() => inputs.map((one) => one.tokens.map(wordsOf)), [inputs]);
  const steps = stepsFor(info, inputs, now);
  const key = JSON.stringify([theRun, info.name, info.probe, steps, info.wall_times]);
  const request = useRequest(key, (signal) =>
    loadValues(theRun, info, inputs, steps, now, () => arrivals.value++, signal),
  );
  const signed = info.signed !== false;
  const scoreName = info.score_name ?? "";

  const line = (which: number, example: number, at: number): Line => {
    const found = info.steps.includes(at) ? valuesAt(theRun, info, inputs[which]?.info.name ?? "", at) : "absent";
    return lineOf(words[which]?.[example] ?? [], found ?? "loading", example);
  };
  const peaks = useMemo(() => {
    const most = Array.from({ length: count }, (_, example) =>
      Math.max(0, ...steps.flatMap((at) => inputs.map((__, which) => line(which, example, at).peak))),
    );
    return { most, all: Math.max(0, ...most) };
  }, [key, count, arrivals.value]);
  const limitOf = (example: number, lines: readonly Line[]): number => {
    if (scaleRule.value === "all") return peaks.all;
    if (scaleRule.value === "example") return peaks.most[example] ?? 0;
    return Math.max(0, ...lines.map(({ peak }) => peak));
  };

  const matches = matcher(search.value);
  const textOf = (example: number): string =>
    `${nameOf(probe, example)} ${inputs.map((one) => one.tokens[example]?.join(" ") ?? "").join(" ")}`;
  const found = examplesOf(
    count,
    show.value,
    (example) => matches(textOf(example)),
    series,
    probe,
    info.steps[0] ?? 0,
    now,
  );
  const example = found.includes(Number(wantedExample.value || NaN)) ? Number(wantedExample.value) : (found[0] ?? 0);
  const choose = (to: number, which: number, place: number): void => {
    setOver(null); // a pointer that rests somewhere does not hide what the keyboard chooses
    wantedExample.value = String(to);
    wantedWord.value = `${which}/${place}`;
  };
  const stories: Story[] = inputs.map(({ info: { name } }, which) => ({
    input: name,
    words: words[which]?.[example] ?? [],
    steps,
    lines: steps.map((at) => line(which, example, at)),
  }));
  const strongestWord = (): readonly [number, number] => {
    let best: readonly [number, number] = [0, 0];
    let size = -1;
    inputs.forEach((_, which) =>
      line(which, example, now).values.forEach((value, place) => {
        if (Math.abs(value) > size) [best, size] = [[which, place], Math.abs(value)];
      }),
    );
    return best;
  };
  const [which = 0, place = 0] = wantedWord.value ? wantedWord.value.split("/").map(Number) : strongestWord();
  const at = over && over[0] === example ? ([over[1], over[2]] as const) : ([which, place] as const);
  useExport(() => ({
    name: `${theRun}-${info.name}`,
    title: `Words of ${found.length} texts`,
    lines: seen(
      `Scale: ${scaleRule.value === "line" ? "per line" : scaleRule.value === "all" ? "shared" : "per example"}`,
    ),
    csv: () => toCsv(theRun, info.name, found, inputs, words, steps, line, (one) => nameOf(probe, one)),
    json: () => toJson(theRun, info.name, found, inputs, words, steps, line, (one) => nameOf(probe, one)),
  }));

  const along = useMemo(() => {
    const of = (all: readonly number[] | undefined): number[] =>
      steps.map((at) => all?.[info.steps.indexOf(at)] ?? Number.NaN);
    return alongAxis({ steps, epochs: of(info.epochs), wallTimes: of(info.wall_times) }, axis.value);
  }, [key, axis.value]);
  const detail = {
    along,
    name: nameOf(probe, example),
    stories,
    at,
    step: now,
    signed,
    scoreName,
    limit: (lines: readonly Line[]) => limitOf(example, lines),
    choose: (to: number, where: number) => choose(example, to, where),
  };
  const side = (
    <aside class="tx-side" aria-label={`${detail.name}, over steps`}>
      <h2>{detail.name}</h2>
      <Chosen {...detail} />
      <WordMatrix {...detail} />
      <OverSteps {...detail} />
      {steps.length < info.steps.length && (
        <p class="dim">
          {steps.length} of {info.steps.length} logged steps are drawn; the cursor reaches all.
        </p>
      )}
    </aside>
  );
  return (
    <div class="tx" ref={box}>
      <Tools found={found.length} count={count} />
      <Legend signed={signed} scoreName={scoreName} />
      {request.state === "failed" && <Failed what="Values of the words" error={request.error} retry={request.retry} />}
      {!found.length && <p class="state">No text matches.</p>}
      <div class="tx-body">
        <div class="tx-list">
          {found.slice(0, PAGE * pages).map((one) => {
            const lines = inputs.map((_, input) => line(input, one, now));
            return (
              <Fragment key={one}>
                <Example
                  example={one}
                  on={one === example}
                  probe={probe}
                  series={series}
                  info={info}
                  step={now}
                  inputs={inputs.map(({ info: { name } }, input) => ({
                    name,
                    words: words[input]?.[one] ?? [],
                    line: lines[input] as Line,
                  }))}
                  limit={limitOf(one, lines)}
                  most={peaks.most[one] ?? 0}
                  signed={signed}
                  at={one === example ? [which, place] : null}
                  choose={(input, to) => choose(one, input, to)}
                  hover={(input, to) => setOver(to === null ? null : [one, input, to])}
                />
                {narrow && one === example && side}
              </Fragment>
            );
          })}
          {found.length > PAGE * pages && (
            <button type="button" onClick={() => open({ pages: pages + 1, filter })}>
              Show {Math.min(PAGE, found.length - PAGE * pages)} more
            </button>
          )}
        </div>
        {found.length > 0 && !narrow && side}
      </div>
    </div>
  );
}

export function Page(): JSX.Element {
  const info = tag.value;
  const theRun = run.value?.name ?? "";
  const texts = useRequest(info && JSON.stringify([theRun, info.name, info.probe]), (signal) =>
    loadTexts(theRun, info as TagInfo, signal),
  );
  const stamp = `${info?.wall_times.at(-1) ?? ""} ${info?.steps.length ?? 0}`;
  const series = useRequest(info && JSON.stringify([theRun, info.name, stamp]), (signal) =>
    fetchSeries(theRun, info?.name ?? "", signal),
  );
  const figures = series.state === "ready" ? series.value : series.last;
  return (
    <Ready of={texts} what="Texts">
      {(value) => <>{info && <Panels key={`${theRun}/${info.name}`} texts={value} info={info} series={figures} />}</>}
    </Ready>
  );
}
