/** Draws an element of the page as it stands on screen: boxes, words, pictures and small charts at their places. */
import type { Recorder } from "./svg";

const CLEAR = /^(transparent|rgba\(.*, 0\)|color\(.* \/ 0\))$/;
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
  for (const side of SIDES) {
    const width = parseFloat(css[`border${side}Width`]);
    const [style, colour] = [css[`border${side}Style`], css[`border${side}Color`]];
    if (!(width > 0) || style === "none" || CLEAR.test(colour)) continue;
    const [left, top] = [side === "Right" ? x + w - width / 2 : x, side === "Bottom" ? y + h - width / 2 : y];
    const upright = side === "Left" || side === "Right";
    pen.strokeStyle = colour;
    pen.lineWidth = width;
    pen.setLineDash(style === "dashed" ? [2 * width, width] : style === "dotted" ? [width, width] : []);
    pen.beginPath();
    pen.moveTo(
      upright && side === "Left" ? left + width / 2 : left,
      upright ? top : top + (side === "Top" ? width / 2 : 0),
    );
    pen.lineTo(
      upright ? (side === "Left" ? left + width / 2 : left) : x + w,
      upright ? y + h : top + (side === "Top" ? width / 2 : 0),
    );
    pen.stroke();
    pen.setLineDash([]);
  }
}

/** A text in the lines that the page broke it into. */
function words(pen: Recorder, node: Text, css: CSSStyleDeclaration, at: DOMRect): void {
  const range = document.createRange();
  let line = "";
  let box: DOMRect | null = null;
  const write = (): void => {
    if (box && line.trim()) pen.fillText(line.trim(), box.left - at.left, box.top - at.top + box.height / 2);
    [line, box] = ["", null];
  };
  pen.fillStyle = css.color;
  pen.font = `${css.fontStyle} ${css.fontWeight} ${css.fontSize} ${css.fontFamily}`;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  for (const found of node.data.matchAll(/\s*\S+/g)) {
    const word = found[0].trimStart();
    const from = found.index + found[0].length - word.length;
    range.setStart(node, from);
    range.setEnd(node, from + word.length);
    const here = range.getBoundingClientRect();
    if (!here.width) continue;
    if (box && Math.abs(here.top - box.top) > 2) write();
    line += line ? ` ${word}` : word;
    box ??= here;
  }
  write();
}

/** Draws an element and all in it, from `at` on; what scrolls away in it is cut off, as on screen. */
export function drawElement(pen: Recorder, element: Element, at = element.getBoundingClientRect()): void {
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
  if (css.overflow !== "visible" && (element.scrollHeight > h + 1 || element.scrollWidth > w + 1)) {
    pen.beginPath();
    pen.rect(x, y, w, h);
    pen.clip();
  }
  if (element instanceof HTMLInputElement || element instanceof HTMLSelectElement) field(pen, element, css, x, y, h);
  else
    for (const child of element.childNodes)
      if (child instanceof Text) words(pen, child, css, at);
      else if (child instanceof Element) drawElement(pen, child, at);
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
