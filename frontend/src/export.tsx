/**
 * What a view lets people take along. A view calls `useExport` with a function that says what is seen; the control in the
 * page's head does the rest: files that name their run, tag, step and scale, and a link to the screen.
 */
import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Choices } from "./export/panel";
import { Needs, part } from "./lazy";
import { Popover } from "./popover";
import { oneRun, run, shownRuns, step, tag } from "./state";
import { nameOfStep } from "./step_bar";

/** Something drawn by functions of a 2D canvas, in CSS pixels. The same function makes the PNG and the SVG. */
export interface Picture {
  width: number;
  height: number;
  draw: (ctx: CanvasRenderingContext2D) => void;
}

/** What is seen in a view. Functions are called when a file is asked for. */
export interface Shown {
  /** start of the name of a file: run, tag */
  name: string;
  title: string;
  /** printed in every picture: run, tag, step, scale; one line each */
  lines: readonly string[];
  /** a picture, or an element that is drawn as it stands on screen; without it the whole view is */
  png?: () => Picture | Element | null;
  /** a picture in lines and words, for print; without it the whole view is drawn */
  svg?: () => Picture;
  /** a table whose rows name run, tag and step themselves */
  csv?: () => string;
  json?: () => unknown;
}

/** What the view on screen offers, null where it offers nothing. */
export const offered = signal<(() => Shown) | null>(null);

/** Offers what a view shows, as long as the view is there; `make` is called when someone wants it. */
export function useExport(make: () => Shown): void {
  const latest = useRef(make);
  latest.current = make;
  useEffect(() => {
    const own = (): Shown => latest.current();
    offered.value = own;
    return () => {
      if (offered.peek() === own) offered.value = null;
    };
  }, []);
}

const LISTED = 12;

/** Run or runs, tag and step of the screen, as the lines that every picture has; a view adds its scale. */
export function seen(...more: readonly string[]): string[] {
  const names = (oneRun.value ? [run.value] : shownRuns.value).flatMap((one) => (one ? [one.name] : []));
  const rest = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
  return [
    `${names.length === 1 ? "Run" : "Runs"}: ${names.slice(0, LISTED).join(", ")}${rest}`,
    ...(tag.value ? [`Method: ${tag.value.name}`] : []),
    ...(step.value === null ? [] : [`Cursor: ${nameOfStep(step.value)}`]),
    ...more,
  ];
}

interface Inside {
  Choices: typeof Choices;
}

const inside = part<Inside>("export.js", () => import("./export/panel"));

export function Export(): JSX.Element {
  return (
    <Popover name="Export" face="Export">
      {() => (
        <Needs of={inside} what="“Export”" waiting={<p class="dim">Loading…</p>}>
          {({ Choices }) => <Choices of={offered.value?.() ?? null} />}
        </Needs>
      )}
    </Popover>
  );
}
