/** What is seen in Maps, to take along: a picture with everything printed in it, and the values. */
import { field } from "../../csv";
import type { Probe, TagInfo } from "../../api";
import { seen, type Picture as Drawn, type Shown } from "../../export";
import { className, exampleName, labelOf } from "../../figures";
import { boxOf, paint, wordFor, type Drawing, type Under } from "../cell";
import { wordsOf } from "../legend";
import type { Look } from "../paint";
import type { Scales } from "../scales";
import type { Layout } from "../screen";
import * as settings from "../settings";
import type { Column, Scene } from "../sources";
import { isMap, type Found, type ReadyMap } from "../store";

export interface Seen {
  readonly run: string;
  readonly tag: TagInfo | null;
  readonly by: Scene["by"];
  readonly columns: readonly Column[];
  readonly order: readonly number[];
  /** first and one past the last row on screen */
  readonly range: readonly [number, number];
  readonly found: readonly (readonly Found[])[];
  readonly scales: Scales;
  readonly look: (column: Column) => Look;
  readonly under: (example: number) => Under;
  readonly probe: Probe | null;
  readonly layout: Layout | null;
}

const HEAD = 24;
const LABEL = 150;
/** Dots per pixel of the page in a picture. */
const SHARP = 2;

function pictureOf(all: Seen): Drawn {
  const { columns, found, scales, look, under, probe, layout, order, range } = all;
  const box = layout?.box ?? { width: 120, height: 120 };
  const rows = order.slice(...range);
  const [across, down] = [box.width + 6, box.height + 10];
  return {
    width: LABEL + columns.length * across,
    height: HEAD + rows.length * down,
    draw: (ctx) => {
      const css = getComputedStyle(document.documentElement);
      const [text, dim, ground] = ["--text", "--dim", "--bg"].map((name) => css.getPropertyValue(name).trim()) as [
        string,
        string,
        string,
      ];
      const write = (words: string, x: number, y: number, width: number, ink: string): void => {
        ctx.fillStyle = ink;
        ctx.font = "12px system-ui, sans-serif";
        ctx.textBaseline = "middle";
        ctx.fillText(words, x, y, width);
      };
      columns.forEach((column, at) =>
        write(
          all.by === "steps" ? `step ${column.title}` : column.title,
          LABEL + at * across,
          HEAD / 2,
          box.width,
          text,
        ),
      );
      rows.forEach((example, row) => {
        const top = HEAD + row * down;
        const label = labelOf(probe, example);
        write(exampleName(probe, example), 0, top + 10, LABEL - 8, text);
        if (label) write(`true ${label.text}`, 0, top + 28, LABEL - 8, dim);
        columns.forEach((column, at) => {
          const one = found[example]?.[at] ?? "loading";
          const left = LABEL + at * across;
          const word = wordFor(one);
          if (word !== null) return write(word, left + 4, top + box.height / 2, box.width - 8, dim);
          const drawing: Drawing = {
            map: one as ReadyMap,
            limit: scales.ends[example]?.[at] ?? 0,
            look: look(column),
            under: under(example),
            kind: column.kind,
          };
          const size = boxOf(drawing, box);
          const canvas = document.createElement("canvas");
          canvas.width = size.width * SHARP;
          canvas.height = size.height * SHARP;
          paint(canvas, drawing, text, ground, SHARP);
          ctx.drawImage(canvas, left + (box.width - size.width) / 2, top, size.width, size.height);
        });
      });
    },
  };
}

interface MapRow {
  run: string;
  tag: string;
  step: number;
  less: string | null;
  example: number;
  name: string;
  label: string | null;
  state: string;
  peak: number | null;
  scale_end: number;
  height: number;
  width: number;
  values: readonly number[];
}

/** The maps on screen, one by one, with what is needed to read them. */
function mapsOf({ columns, found, scales, probe, order, range }: Seen): MapRow[] {
  return order.slice(...range).flatMap((example) =>
    columns.map((column, at): MapRow => {
      const one = found[example]?.[at] ?? "loading";
      const map = isMap(one) ? one : null;
      return {
        run: column.run,
        tag: column.tag.name,
        step: column.step,
        less: settings.minus.value || null,
        example,
        name: exampleName(probe, example),
        label: labelOf(probe, example)?.text ?? null,
        state: wordFor(one) ?? "values",
        peak: map?.peak ?? null,
        scale_end: scales.ends[example]?.[at] ?? 0,
        height: map?.height ?? 0,
        width: map?.width ?? 0,
        values: map ? Array.from(map.values(column.signed), (value) => Number(value.toPrecision(6))) : [],
      };
    }),
  );
}

/** One line per value; a map without values has one line with its word. */
export function csvOf(all: Seen): string {
  const lines = ["run,tag,step,less,example,name,label,state,row,column,value"];
  for (const map of mapsOf(all)) {
    const head = [
      map.run,
      map.tag,
      String(map.step),
      map.less ?? "",
      String(map.example),
      map.name,
      map.label ?? "",
      map.state,
    ]
      .map(field)
      .join(",");
    if (!map.values.length) lines.push(`${head},,,`);
    map.values.forEach((value, at) =>
      lines.push(`${head},${Math.floor(at / map.width)},${at % map.width},${Number.isNaN(value) ? "NaN" : value}`),
    );
  }
  return lines.join("\n") + "\n";
}

/** What the page's export control offers for this screen. */
export function exportOf(all: Seen): Shown {
  const scale = all.scales.legend.map((one) => {
    const { low, high, to } = wordsOf(one, all.by);
    return `Colours: ${low} to ${high}, ${to}`;
  });
  const minus = settings.minus.value;
  const label = settings.label.value;
  return {
    name: `${all.run} ${all.tag?.name ?? ""} ${all.by}`,
    title: `${minus ? `Difference to ${minus}` : "Maps"} by ${all.by}`,
    lines: seen(...scale, ...(label ? [`Label: ${className(all.probe, Number(label))}`] : [])),
    png: () => pictureOf(all),
    svg: () => pictureOf(all),
    csv: () => csvOf(all),
    json: () => mapsOf(all),
  };
}
