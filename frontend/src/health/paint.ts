/** Marks on the matrix: names of layers, and the words for what is wrong with them. */
import { shorten } from "../features/labels";
import { FONT, rule, SMALL, text, type Box, type Context, type Theme } from "../features/paint";
import { gravity, isBad, markOf, when, type Spell } from "./states";
import type { Health } from "./model";

export interface Ink extends Theme {
  /** of words for trouble */
  alarm: string;
}

/** One stretch of trouble: a frame with a thick first edge, and its word or mark where there is room. */
export function drawSpell(ctx: Context, spell: Spell, box: Box, ink: Ink): void {
  const bad = isBad(spell.state);
  const colour = bad ? ink.alarm : ink.muted;
  const y = box.y + 1;
  const h = Math.max(2, box.h - 2);
  ctx.lineWidth = 2.5;
  ctx.strokeStyle = ink.panel;
  ctx.strokeRect(box.x + 1.5, y + 0.5, Math.max(1, box.w - 3), h - 1);
  ctx.lineWidth = bad ? 1.25 : 1;
  ctx.strokeStyle = colour;
  ctx.setLineDash(bad ? [] : [3, 2]);
  ctx.strokeRect(box.x + 1.5, y + 0.5, Math.max(1, box.w - 3), h - 1);
  ctx.setLineDash([]);
  if (bad) rule(ctx, box.x + 1.5, y, box.x + 1.5, y + h, colour, [], 3);
  if (box.h < 13) return;
  const mark = markOf(spell.state);
  ctx.font = `600 ${SMALL}`;
  const said = [`${mark} ${spell.state}`, mark].find((words) => ctx.measureText(words).width + 12 <= box.w);
  if (!said) return;
  const wide = ctx.measureText(said).width + 8;
  const left = said === mark ? box.x + (box.w - wide) / 2 : box.x + 3;
  ctx.fillStyle = ink.panel;
  ctx.fillRect(left, y + 1, wide, h - 2);
  text(ctx, said, left + 4, box.y + box.h / 2 + 0.5, colour, "left", `600 ${SMALL}`);
}

/** A layer's name, right-aligned: what it lies in is dim, and is given up first where there is no room. */
export function drawName(
  ctx: Context,
  name: string,
  x: number,
  y: number,
  width: number,
  ink: Ink,
  bold: boolean,
): void {
  const cut = name.lastIndexOf("/") + 1;
  const font = bold ? `600 ${FONT}` : FONT;
  ctx.font = font;
  const measure = (words: string): number => ctx.measureText(words).width;
  const own = shorten(name.slice(cut), width, measure);
  const room = width - measure(own);
  text(ctx, own, x, y, ink.text, "right", font);
  if (!cut) return;
  const within = measure(name.slice(0, cut)) <= room ? name.slice(0, cut) : measure("…/") <= room ? "…/" : "";
  text(ctx, within, x - measure(own), y, ink.muted, "right", FONT);
}

/** What was worst about a layer and when, at the right of its row. */
export function drawVerdict(
  ctx: Context,
  health: Health,
  spell: Spell | null,
  x: number,
  y: number,
  width: number,
  ink: Ink,
): void {
  const state = spell?.state ?? (health.states.some((row) => row !== null) ? "healthy" : "");
  if (!state) return;
  const bad = isBad(state);
  const font = bad ? `600 ${FONT}` : FONT;
  ctx.font = font;
  const mark = markOf(state);
  const wishes = spell
    ? [`${mark} ${state} ${when(health, spell)}`, `${mark} ${state}`, mark]
    : [`${mark} ${state}`, mark];
  const said = wishes.find((words) => ctx.measureText(words).width <= width) ?? mark;
  text(ctx, said, x, y, bad ? ink.alarm : ink.muted, "left", font);
}

/** The gravest word of a layer between two rows, for cells that stand for several steps. */
export function gravest(health: Health, layer: number, first: number, last: number): string {
  let found = "";
  for (let t = first; t <= last; t++) {
    const word = health.states[t]?.[layer] ?? "";
    if (word && (!found || gravity(word) < gravity(found))) found = word;
  }
  return found;
}
