/** Draws an element of the page as it stands on screen: boxes, words, pictures and small charts at their places. */
import type { Recorder } from "./svg";

const CLEAR = /^(transparent|rgba\(.*, 0\)|color\(.* \/ 0\))$/;
const COLOUR = /(?:rgba?|color)\([^)]*\)/g;
const SIDES = ["Top", "Right", "Bottom", "Left"] as const;
/** What a small chart takes from style sheets, which do not travel with it. */
const INLINED = [
  "fill",
  "stroke",
  "stroke-width",
  "stroke-dasharray",
  "opacity",
  "fill-opacity",
  "font",
  "text-anchor",
];

const hidden = (css: CSSStyleDeclaration): boolean =>
  css.display === "none" || css.visibility === "hidden" || css.opacity === "0" || css.clipPath === "inset(50%)";

function ground(pen: Recorder, css: CSSStyleDeclaration, x: number, y: number, w: number, h: number): void {
  if (!CLEAR.test(css.backgroundColor)) {
    pen.fillStyle = css.backgroundColor;
    pen.fillRect(x, y, w, h);
  }
  // The colour scale of a legend, as the steps that it is made of.
  const scale = css.backgroundImage.startsWith("linear-gradient(90deg") ? css.backgroundImage.match(COLOUR) : null;
  scale?.forEach((colour, at, all) => {
    pen.fillStyle = colour;
    pen.fillRect(x + (at * w) / all.length, y, w / all.length, h);
  });
  for (const side of SIDES) {
    const width = parseFloat(css[`border${side}Width`]);
    const [style, colour] = [css[`border${side}Style`], css[`border${side}Color`]];
    if (!(width > 0) || style === "none" || CLEAR.test(colour)) continue;
    const [left, right, top, bottom] = [x + width / 2, x + w - width / 2, y + width / 2, y + h - width / 2];
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.setLineDash(style === "dashed" ? [2 * width, width] : style === "dotted" ? [width, width] : []);
    pen.beginPath();
    if (side === "Top" || side === "Bottom") {
      pen.moveTo(x, side === "Top" ? top : bottom);
      pen.lineTo(x + w, side === "Top" ? top : bottom);
    } else {
      pen.moveTo(side === "Left" ? left : right, y);
      pen.lineTo(side === "Left" ? left : right, y + h);
    }
    pen.stroke();
    pen.setLineDash([]);
  }
}

const CASES: Readonly<Record<string, (text: string) => string>> = {
  uppercase: (text) => text.toUpperCase(),
  lowercase: (text) => text.toLowerCase(),
  capitalize: (text) => text.replace(/(?<!\S)\S/g, (letter) => letter.toUpperCase()),
};

/** A text in the lines that the page broke it into. */
function words(pen: Recorder, node: Text, css: CSSStyleDeclaration, at: DOMRect): void {
  const range = document.createRange();
  const boxOf = (from: number, to: number): DOMRect[] => {
    range.setStart(node, from);
    range.setEnd(node, to);
    return [...range.getClientRects()];
  };
  let line = "";
  let [left, top, middle] = [0, 0, 0];
  const write = (): void => {
    if (line) pen.fillText(CASES[css.textTransform]?.(line) ?? line, left - at.left, middle - at.top);
    line = "";
  };
  const add = (text: string, box: DOMRect | undefined, gap: string): void => {
    if (!box?.width) return;
    if (line && Math.abs(box.top - top) > 2) write();
    left = line ? Math.min(left, box.left) : box.left;
    if (!line) [top, middle] = [box.top, box.top + box.height / 2];
    line += line ? gap + text : text;
  };
  pen.fillStyle = css.color;
  pen.font = `${css.fontStyle} ${css.fontWeight} ${css.fontSize} ${css.fontFamily}`;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  for (const { 0: word, index } of node.data.matchAll(/\S+/g)) {
    const boxes = boxOf(index, index + word.length);
    if (boxes.length < 2) add(word, boxes[0], " ");
    else [...word].forEach((letter, i) => add(letter, boxOf(index + i, index + i + 1)[0], i ? "" : " "));
  }
  write();
}

/** Draws an element and all in it, whole, its corner at 0; what scrolls away in a part of it is cut off, as on screen. */
export function drawElement(pen: Recorder, root: Element): void {
  const { left, top } = root.getBoundingClientRect();
  draw(pen, root, new DOMRect(left - root.scrollLeft, top - root.scrollTop), true);
}

function draw(pen: Recorder, element: Element, at: DOMRect, whole = false): void {
  const css = getComputedStyle(element);
  if (hidden(css)) return;
  const box = element.getBoundingClientRect();
  const [x, y, w, h] = [box.left - at.left, box.top - at.top, box.width, box.height];
  if (element instanceof SVGSVGElement) return pen.nest(chart(element, { x, y, width: w, height: h }));
  pen.save();
  pen.globalAlpha *= parseFloat(css.opacity || "1");
  if (w && h) ground(pen, css, x, y, w, h);
  if (element instanceof HTMLCanvasElement) {
    if (element.width && element.height) {
      pen.imageSmoothingEnabled = css.imageRendering !== "pixelated";
      pen.drawImage(element, x, y, w, h);
    }
    return pen.restore();
  }
  if (!whole && css.overflow !== "visible" && (element.scrollHeight > h + 1 || element.scrollWidth > w + 1)) {
    pen.beginPath();
    pen.rect(x, y, w, h);
    pen.clip();
  }
  if (element instanceof HTMLInputElement || element instanceof HTMLSelectElement) field(pen, element, css, x, y, h);
  else
    for (const child of element.childNodes)
      if (child instanceof Text) words(pen, child, css, at);
      else if (child instanceof Element) draw(pen, child, at);
  pen.restore();
}

function field(
  pen: Recorder,
  element: HTMLInputElement | HTMLSelectElement,
  css: CSSStyleDeclaration,
  x: number,
  y: number,
  h: number,
): void {
  const box = element instanceof HTMLInputElement && /checkbox|radio/.test(element.type);
  const said = box
    ? element.checked
      ? "☑"
      : "☐"
    : element instanceof HTMLSelectElement
      ? (element.selectedOptions[0]?.text ?? "")
      : element.type === "range"
        ? ""
        : element.value || element.placeholder;
  pen.fillStyle = css.color;
  pen.font = `${css.fontSize} ${css.fontFamily}`;
  pen.textBaseline = "middle";
  pen.fillText(said, x + (box ? 0 : parseFloat(css.paddingLeft || "0") + 2), y + h / 2);
}

/** A small chart with the looks that style sheets gave it. */
function chart(svg: SVGSVGElement, box: Readonly<Record<string, number>>): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const own = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((one, i) => {
    const css = getComputedStyle(own[i] as Element);
    one.setAttribute("style", INLINED.map((name) => `${name}:${css.getPropertyValue(name)}`).join(";"));
  });
  for (const [name, value] of Object.entries(box)) copy.setAttribute(name, value.toFixed(1));
  return new XMLSerializer().serializeToString(copy);
}
