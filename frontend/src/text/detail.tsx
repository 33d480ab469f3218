/** One example over the steps: the chosen word's curve, the text at some steps, and every word by every step. */
import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { short } from "../colour";
import {
  axisAvailable,
  AXIS_WORDS,
  axisValues,
  edges,
  nearest,
  scale,
  type AxisKind,
  type StepTimes,
} from "../features/axis";
import { Chart, useTheme, type Draw } from "../features/chart";
import { drawCursor, drawX, label, stretches, upright, type Box } from "../features/paint";
import { cssOf, drawCells, drawHoles, tableOf } from "../heat";
import { Spark } from "../spark";
import { moveTo } from "../state";
import { shownText, someSteps, strongest, wordFor, type Line, type Word } from "./model";
import { valueWords, Words } from "./words";

/** One input of an example with its lines at the logged steps. */
export interface Story {
  input: string;
  words: Word[];
  steps: number[];
  lines: Line[];
}

/** Where the drawn steps stand along the axis of all views. */
export interface Along {
  axis: AxisKind;
  xs: readonly number[];
}

/** By step, where the steps do not have what the wished axis needs. */
export function alongAxis(times: StepTimes, wish: AxisKind): Along {
  const axis = axisAvailable(times, wish) ? wish : "step";
  return { axis, xs: axisValues(times, axis) };
}

interface Props {
  name: string;
  stories: readonly Story[];
  /** story and word that are chosen */
  at: readonly [number, number];
  step: number;
  signed: boolean;
  scoreName: string;
  along: Along;
  /** the end of the scale for lines that stand together */
  limit: (lines: readonly Line[]) => number;
  choose: (story: number, place: number) => void;
}

const ROW = 16;
const MOST_ROWS = 40;
const MOST_STEPS = 5;

/** The word that is spoken of, and how its value moved. */
export function Chosen({ stories, at: [which, place], step, signed, scoreName, along }: Props): JSX.Element | null {
  const story = stories[which];
  const word = story?.words[place];
  if (!story || !word) return null;
  const now = story.lines[story.steps.indexOf(step)];
  const value = now?.values[place];
  const order = now ? strongest(now.values) : [];
  const curve = story.lines.map((line) => line.values[place] ?? NaN);
  return (
    <section class="tx-chosen" aria-label="The chosen word">
      <p role="status">
        <b dir="auto" class="tx-quote">
          {shownText(word.text)}
        </b>{" "}
        <span class="dim">
          {word.to - word.from > 1 ? `tokens ${word.from + 1} to ${word.to}, together` : `token ${word.from + 1}`}
          {stories.length > 1 && ` of ${story.input}`}
        </span>
        <br />
        {now ? (wordFor(now.state) ?? valueWords(value, signed)) : "not logged"} at step {step}
        {value !== undefined &&
          order.includes(place) &&
          value !== 0 &&
          `, number ${order.indexOf(place) + 1} of ${order.length} by size`}
      </p>
      {curve.some(Number.isFinite) && (
        <Spark
          title={`Its ${scoreName ? `part of the ${scoreName}` : "value"} over ${AXIS_WORDS[along.axis]}:`}
          steps={story.steps}
          places={along.xs}
          values={curve}
          cursor={step}
          format={short}
          floor={0}
        />
      )}
    </section>
  );
}

const lineAt = (story: Story, step: number): Line | undefined => story.lines[story.steps.indexOf(step)];

/** The text at a few steps, one below the other. */
export function OverSteps({ name, stories, at, step, signed, limit, choose }: Props): JSX.Element {
  const steps = someSteps(stories[0]?.steps ?? [], step, MOST_STEPS);
  return (
    <section class="tx-steps" aria-label={`${name} over steps`}>
      <h3>Over steps</h3>
      {steps.map((one) => (
        <div key={one} class={one === step ? "tx-step current" : "tx-step"}>
          <button
            type="button"
            class="quiet"
            aria-current={one === step ? "step" : undefined}
            onClick={() => moveTo(one)}
          >
            {one}
          </button>
          <div>
            {stories.map((story, which) => {
              const line = lineAt(story, one);
              return (
                line && (
                  <Words
                    key={story.input}
                    words={story.words}
                    line={line}
                    limit={limit(stories.flatMap((other) => lineAt(other, one) ?? []))}
                    signed={signed}
                    name={`${name} at step ${one}`}
                    id={`tx-step-${one}-${which}`}
                    chosen={at[0] === which ? at[1] : -1}
                    onChoose={(place) => choose(which, place)}
                    onHover={() => undefined}
                  />
                )
              );
            })}
          </div>
        </div>
      ))}
    </section>
  );
}

/** Words by steps as colours around zero. */
export function WordMatrix({ name, stories, at, step, signed, along, choose }: Props): JSX.Element | null {
  const theme = useTheme();
  const [which, chosen] = at;
  const story = stories[which];
  const table = useMemo(() => tableOf("signed", theme), [theme]);
  const peak = Math.max(0, ...(story?.lines ?? []).map((line) => line.peak));
  const rows = useMemo(() => {
    if (!story) return [];
    const sizes = story.words.map((_, place) =>
      Math.max(0, ...story.lines.map((line) => Math.abs(line.values[place] ?? 0)).filter(Number.isFinite)),
    );
    return strongest(sizes)
      .slice(0, MOST_ROWS)
      .sort((a, b) => a - b);
  }, [story]);
  const line = useMemo(() => ({ xs: along.xs, edges: edges(along.xs) }), [along]);
  const place = (width: number) => {
    const left = Math.round(Math.min(150, Math.max(70, width * 0.26)));
    const plot: Box = { x: left, y: 2, w: Math.max(40, width - left - 8), h: rows.length * ROW };
    const x = scale(line.edges[0] ?? 0, line.edges.at(-1) ?? 1, plot.x, plot.x + plot.w);
    return { plot, x, cells: line.edges.map(x) };
  };
  const draw = useMemo<Draw>(
    () => (ctx, width) => {
      if (!story) return;
      const { plot, x, cells } = place(width);
      drawHoles(ctx, plot, cells, false, theme);
      const share = (row: number, t: number): number => {
        const value = story.lines[t]?.values[rows[row] ?? 0];
        return value === undefined || !Number.isFinite(value) ? NaN : peak > 0 ? value / peak : 0;
      };
      drawCells(ctx, plot, cells, rows.length, share, table, theme);
      const gaps = story.lines.map(({ state }) =>
        typeof state === "object" ? "missing" : state === "nan" ? "NaN" : state === "loading" ? "loading" : "",
      );
      for (const [first, last, word] of stretches(gaps)) {
        const from = cells[first] ?? plot.x;
        const wide = (cells[last + 1] ?? from) - from;
        if (wide >= 12) upright(ctx, word, from + wide / 2, plot.y + plot.h / 2, theme);
      }
      rows.forEach((row, i) => {
        const words = shownText(story.words[row]?.text ?? "");
        label(ctx, words, 4, plot.y + (i + 0.5) * ROW, plot.x - 10, theme, row === chosen);
      });
      drawX(ctx, plot, x, along.axis, theme);
    },
    [story, rows, line, peak, table, theme, chosen],
  );
  const over = useMemo<Draw>(
    () => (ctx, width) => {
      const { plot, cells } = place(width);
      const t = story?.steps.indexOf(step) ?? -1;
      const [from, to] = [cells[t] ?? 0, cells[t + 1] ?? 0];
      if (t >= 0) drawCursor(ctx, plot, (from + to) / 2, theme);
      const i = rows.indexOf(chosen);
      if (i < 0) return;
      ctx.strokeStyle = theme.text;
      ctx.lineWidth = 1.5;
      ctx.strokeRect(plot.x - 1, plot.y + i * ROW, plot.w + 2, ROW);
    },
    [story, rows, line, step, chosen, theme],
  );
  if (!story || story.steps.length < 2 || !rows.length) return null;
  const stops = [-1, -0.5, 0, 0.5, 1].filter((one) => signed || one >= 0).map((one) => cssOf(table, one));
  return (
    <figure class="tx-matrix">
      <figcaption>
        <h3>Words by {AXIS_WORDS[along.axis]}</h3>
        <small>
          {signed ? `lowers −${short(peak)}` : "0"}
          <i style={{ background: `linear-gradient(90deg, ${stops.join(", ")})` }} />
          {signed ? `raises +${short(peak)}` : short(peak)}
        </small>
        {rows.length < story.words.length && (
          <small>
            the {rows.length} strongest of {story.words.length} words, in their order
          </small>
        )}
      </figcaption>
      <Chart
        name="text-matrix"
        label={`${rows.length} words of ${name} by ${story.steps.length} steps, coloured by value`}
        style={{ height: `${rows.length * ROW + 26}px` }}
        draw={draw}
        over={over}
        onPick={(px, py, [width]) => {
          const { plot, x } = place(width);
          const row = rows[Math.floor((py - plot.y) / ROW)];
          if (row !== undefined) choose(which, row);
          const to = story.steps[nearest(line.xs, x.invert(px))];
          if (px > plot.x && to !== undefined) moveTo(to);
        }}
      />
    </figure>
  );
}
