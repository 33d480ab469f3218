/** The inside of “Export”, loaded when it is first opened. */
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { messageOf } from "../async";
import { copy } from "../lines";
import type { Picture, Shown } from "../export";
import { drawElement } from "./page";
import { svgOf, type Recorder } from "./svg";
import { addressWith, readHash } from "../host";
import { currentLink } from "../state";
import { writeLink } from "../url";
import { adopt } from "../style";
import css from "./export.css?inline";

adopt(css);

/** Dots a CSS pixel has in a PNG, and the longest side that browsers draw. */
const SHARP = 2;
const LONGEST = 16_000;
const MARGIN = 16;
const LINE = 18;

const linkHere = (): string => addressWith(writeLink(readHash(), currentLink()));

/** A file name that every system accepts. */
export const fileName = (name: string, end: string): string =>
  `${name.replace(/[^\w.-]+/g, "_").slice(0, 80) || "tb_xai"}.${end}`;

export function download(name: string, content: Blob): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Words in pieces that are at most `width` wide. */
function wrapped(ctx: CanvasRenderingContext2D, line: string, width: number): string[] {
  const out: string[] = [];
  let now = "";
  for (const word of line.split(" ")) {
    const next = now ? `${now} ${word}` : word;
    if (now && ctx.measureText(next).width > width) {
      out.push(now);
      now = word;
    } else now = next;
  }
  return [...out, now];
}

/** The picture with its title and lines above it, on the page's ground. */
export function printed({ title, lines }: Shown, picture: Picture): Picture {
  const css = getComputedStyle(document.documentElement);
  const colour = (name: string, fallback: string): string => css.getPropertyValue(name).trim() || fallback;
  const width = Math.max(picture.width, 320) + 2 * MARGIN;
  const ruler = document.createElement("canvas").getContext("2d");
  if (ruler) ruler.font = "12px system-ui, sans-serif";
  const words = lines.flatMap((line) => (ruler ? wrapped(ruler, line, width - 2 * MARGIN) : [line]));
  const head = MARGIN + LINE * (words.length + 1) + 8;
  return {
    width,
    height: head + picture.height + MARGIN,
    draw: (ctx) => {
      ctx.fillStyle = colour("--bg", "#ffffff");
      ctx.fillRect(0, 0, width, head + picture.height + MARGIN);
      ctx.textAlign = "left";
      ctx.textBaseline = "middle";
      ctx.fillStyle = colour("--text", "#1f2124");
      ctx.font = "600 15px system-ui, sans-serif";
      ctx.fillText(title, MARGIN, MARGIN + LINE / 2);
      ctx.font = "12px system-ui, sans-serif";
      ctx.fillStyle = colour("--dim", "#5a5f66");
      words.forEach((line, at) => ctx.fillText(line, MARGIN, MARGIN + LINE * (at + 1.5)));
      ctx.save();
      ctx.translate(MARGIN, head);
      picture.draw(ctx);
      ctx.restore();
    },
  };
}

/** Fields and canvases hold what they show outside of the tree: it is written into the copy. */
function copyOf(element: Element): Element {
  const made = element.cloneNode(true) as Element;
  const own = [...element.querySelectorAll("canvas, input, select")];
  [...made.querySelectorAll("canvas, input, select")].forEach((one, at) => {
    const from = own[at];
    if (from instanceof HTMLInputElement) {
      one.setAttribute("value", from.value);
      one.toggleAttribute("checked", from.checked);
    }
    if (from instanceof HTMLSelectElement)
      [...one.querySelectorAll("option")].forEach((option, i) =>
        option.toggleAttribute("selected", i === from.selectedIndex),
      );
    if (!(from instanceof HTMLCanvasElement)) return;
    const image = document.createElement("img");
    for (const name of ["class", "style"]) image.setAttribute(name, from.getAttribute(name) ?? "");
    const css = getComputedStyle(from);
    for (const name of ["position", "inset", "width", "height", "imageRendering", "display"] as const)
      image.style[name] = css[name];
    if (from.width && from.height) image.src = from.toDataURL();
    one.replaceWith(image);
  });
  return made;
}

const sizeOf = (element: Element): readonly [number, number] => {
  const { width, height } = element.getBoundingClientRect();
  return [Math.ceil(Math.max(element.scrollWidth, width)), Math.ceil(Math.max(element.scrollHeight, height))];
};

/** The same in lines and words; it can be drawn as SVG alone. */
function linesOf(element: Element): Picture {
  const [width, height] = sizeOf(element);
  return { width, height, draw: (ctx) => drawElement(ctx as unknown as Recorder, element) };
}

function viewOnScreen(): Element {
  const found = document.querySelector("#page");
  if (!found) throw new Error("Nothing is drawn yet");
  return found;
}

/** An element as it stands on screen, with all that scrolls inside of its box. */
async function pictureOf(element: Element): Promise<Picture> {
  const [width, height] = sizeOf(element);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", String(width));
  svg.setAttribute("height", String(height));
  svg.dataset["theme"] = document.documentElement.dataset["theme"] ?? "light";
  const foreign = document.createElementNS("http://www.w3.org/2000/svg", "foreignObject");
  foreign.setAttribute("width", "100%");
  foreign.setAttribute("height", "100%");
  const ground = document.createElement("div");
  ground.setAttribute("style", "height:100%;color:var(--text);background:var(--bg)");
  const style = document.createElement("style");
  style.textContent = [...document.querySelectorAll("style")].map((one) => one.textContent).join("\n");
  ground.append(style, copyOf(element));
  foreign.append(ground);
  svg.append(foreign);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
  await image.decode();
  return { width, height, draw: (ctx) => ctx.drawImage(image, 0, 0, width, height) };
}

async function png(shown: Shown): Promise<Blob> {
  const found = shown.png?.() ?? viewOnScreen();
  const { width, height, draw } = printed(shown, found instanceof Element ? await pictureOf(found) : found);
  const ratio = Math.min(SHARP, LONGEST / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const ctx = canvas.getContext("2d");
  if (!ctx) throw new Error("The browser gives no canvas");
  ctx.scale(ratio, ratio);
  draw(ctx);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Error("The browser could not draw a picture of this size");
  return blob;
}

/** NaN and infinities are no JSON: they are written as words. */
const plain = (_: string, value: unknown): unknown => {
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<number>);
  return value;
};

type Kind = "PNG" | "SVG" | "CSV" | "JSON";

async function fileOf(kind: Kind, shown: Shown): Promise<Blob> {
  if (kind === "PNG") return png(shown);
  if (kind === "CSV") return new Blob([shown.csv?.() ?? ""], { type: "text/csv" });
  if (kind === "JSON") {
    const answer = { title: shown.title, shown: shown.lines, link: linkHere(), data: shown.json?.() ?? null };
    return new Blob([JSON.stringify(answer, plain, 1)], { type: "application/json" });
  }
  const { width, height, draw } = printed(shown, shown.svg?.() ?? linesOf(viewOnScreen()));
  return new Blob([svgOf(width, height, draw)], { type: "image/svg+xml" });
}

const WHAT: Readonly<Record<Kind, string>> = {
  PNG: "picture",
  SVG: "picture in lines, for print",
  CSV: "table",
  JSON: "values for programs",
};

/** The files that a view offers, what is printed in them, and the link to this screen. */
export function Choices({ of }: { of: Shown | null }): JSX.Element {
  const [said, say] = useState("");
  const shown: Shown = of ?? { name: "tb_xai", title: document.title, lines: [] };
  const kinds: Kind[] = ["PNG", "SVG"];
  if (shown.csv) kinds.push("CSV");
  if (shown.json) kinds.push("JSON");
  const take = async (kind: Kind): Promise<void> => {
    say(`Making the ${kind}…`);
    try {
      const name = fileName(shown.name, kind.toLowerCase());
      download(name, await fileOf(kind, shown));
      say(`Saved ${name}`);
    } catch (error) {
      say(`No ${kind}: ${messageOf(error)}`);
    }
  };
  return (
    <>
      <div class="export-kinds">
        {kinds.map((kind) => (
          <button type="button" key={kind} title={WHAT[kind]} onClick={() => void take(kind)}>
            {kind}
          </button>
        ))}
        <button
          type="button"
          title="The address of this screen: views, runs, step and switches"
          onClick={() => void copy(linkHere()).then((done) => say(done ? "Link copied" : "The browser refused"))}
        >
          Copy link
        </button>
      </div>
      <p role="status" class="export-said">
        {said}
      </p>
      {shown.lines.length > 0 && (
        <div class="dim export-lines">
          <p>Printed in the picture:</p>
          <ul>
            {shown.lines.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </div>
      )}
    </>
  );
}
