/** Records what is drawn on a 2D canvas as SVG: the calls that the marks of this page make, and no others. */

const round = (value: number): string => String(Math.round(value * 100) / 100);
const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

const ANCHORS: Readonly<Record<string, string>> = { right: "end", end: "end", center: "middle" };
const BASELINES: Readonly<Record<string, string>> = { middle: "central", top: "hanging", hanging: "hanging" };
const FIELDS = [
  "fillStyle",
  "strokeStyle",
  "lineWidth",
  "lineJoin",
  "lineCap",
  "globalAlpha",
  "font",
  "textAlign",
  "textBaseline",
] as const;

/** A picture of anything that can be drawn, as a data: address. */
function addressOf(source: CanvasImageSource, from: readonly number[], width: number, height: number): string {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  const [x = 0, y = 0, w = width, h = height] = from;
  canvas.getContext("2d")?.drawImage(source, x, y, w, h, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL();
}

export class Recorder {
  fillStyle = "#000";
  strokeStyle = "#000";
  lineWidth = 1;
  lineJoin = "miter";
  lineCap = "butt";
  globalAlpha = 1;
  font = "10px sans-serif";
  textAlign = "left";
  textBaseline = "alphabetic";
  imageSmoothingEnabled = true;

  readonly parts: string[] = [];
  private path = "";
  private dash: readonly number[] = [];
  private moves: string[] = [];
  private clipped = "";
  private clips = 0;
  private readonly kept: Record<string, unknown>[] = [];
  private readonly ruler = document.createElement("canvas").getContext("2d");

  private put(name: string, attributes: string, content = ""): void {
    const alpha = this.globalAlpha < 1 ? ` opacity="${round(this.globalAlpha)}"` : "";
    const moved = this.moves.length ? ` transform="${this.moves.join(" ")}"` : "";
    const drawn = `<${name} ${attributes}${alpha}${moved}${content ? `>${content}</${name}>` : "/>"}`;
    this.parts.push(this.clipped ? `<g clip-path="url(#${this.clipped})">${drawn}</g>` : drawn);
  }

  private strokes(): string {
    const dash = this.dash.length ? ` stroke-dasharray="${this.dash.join(" ")}"` : "";
    return `fill="none" stroke="${this.strokeStyle}" stroke-width="${round(this.lineWidth)}" stroke-linejoin="${this.lineJoin}"${dash}`;
  }

  save(): void {
    const fields = Object.fromEntries(FIELDS.map((name) => [name, this[name]]));
    this.kept.push({ ...fields, dash: this.dash, moves: [...this.moves], clipped: this.clipped });
  }
  restore(): void {
    Object.assign(this, this.kept.pop() ?? {});
  }
  translate(x: number, y: number): void {
    this.moves.push(`translate(${round(x)} ${round(y)})`);
  }
  rotate(angle: number): void {
    this.moves.push(`rotate(${round((angle * 180) / Math.PI)})`);
  }
  scale(x: number, y: number): void {
    this.moves.push(`scale(${x} ${y})`);
  }
  /** Pictures inside are kept at two dots a pixel. */
  getTransform(): DOMMatrix {
    return { a: 2, d: 2 } as DOMMatrix;
  }
  setLineDash(dash: readonly number[]): void {
    this.dash = dash;
  }

  beginPath(): void {
    this.path = "";
  }
  closePath(): void {
    this.path += "Z";
  }
  moveTo(x: number, y: number): void {
    this.path += `M${round(x)} ${round(y)}`;
  }
  lineTo(x: number, y: number): void {
    this.path += `${this.path ? "L" : "M"}${round(x)} ${round(y)}`;
  }
  rect(x: number, y: number, w: number, h: number): void {
    this.path += `M${round(x)} ${round(y)}h${round(w)}v${round(h)}h${round(-w)}Z`;
  }
  arc(x: number, y: number, radius: number, from: number, to: number): void {
    const at = (angle: number): string =>
      `${round(x + radius * Math.cos(angle))} ${round(y + radius * Math.sin(angle))}`;
    const [r, half] = [round(radius), (from + to) / 2];
    this.path += `${this.path ? "L" : "M"}${at(from)}A${r} ${r} 0 0 1 ${at(half)}A${r} ${r} 0 0 1 ${at(to)}`;
  }
  clip(): void {
    this.clipped = `clip${++this.clips}`;
    this.parts.push(`<clipPath id="${this.clipped}"><path d="${this.path}"/></clipPath>`);
  }
  fill(): void {
    if (this.path) this.put("path", `d="${this.path}" fill="${this.fillStyle}"`);
  }
  stroke(): void {
    if (this.path) this.put("path", `d="${this.path}" ${this.strokes()}`);
  }
  fillRect(x: number, y: number, w: number, h: number): void {
    this.put("rect", `${this.box(x, y, w, h)} fill="${this.fillStyle}"`);
  }
  strokeRect(x: number, y: number, w: number, h: number): void {
    this.put("rect", `${this.box(x, y, w, h)} ${this.strokes()}`);
  }
  /** Each picture starts empty: there is nothing to clear. */
  clearRect(): void {
    return;
  }
  private box(x: number, y: number, w: number, h: number): string {
    return `x="${round(x)}" y="${round(y)}" width="${round(Math.max(0, w))}" height="${round(Math.max(0, h))}"`;
  }

  /** A whole SVG inside of this one. */
  nest(svg: string): void {
    this.put("g", "", svg);
  }

  measureText(text: string): TextMetrics {
    if (!this.ruler) return { width: 6 * text.length } as TextMetrics;
    this.ruler.font = this.font;
    return this.ruler.measureText(text);
  }
  fillText(text: string, x: number, y: number, most = Infinity): void {
    const squeezed =
      this.measureText(text).width > most ? ` textLength="${round(most)}" lengthAdjust="spacingAndGlyphs"` : "";
    const anchor = ANCHORS[this.textAlign] ?? "start";
    const baseline = BASELINES[this.textBaseline] ?? "auto";
    this.put(
      "text",
      `x="${round(x)}" y="${round(y)}" fill="${this.fillStyle}" text-anchor="${anchor}" dominant-baseline="${baseline}"${squeezed} ` +
        `style="font:${escape(this.font)}"`,
      escape(text),
    );
  }
  drawImage(source: CanvasImageSource, ...at: number[]): void {
    const [from, to] = at.length === 8 ? [at.slice(0, 4), at.slice(4)] : [[], at];
    const { width, height } = source as HTMLCanvasElement;
    const [x = 0, y = 0, w = width, h = height] = to;
    const picture = addressOf(source, from, from[2] ?? width, from[3] ?? height);
    const smooth = this.imageSmoothingEnabled ? "" : ' style="image-rendering:pixelated"';
    this.put("image", `${this.box(x, y, w, h)} preserveAspectRatio="none" href="${picture}"${smooth}`);
  }
}

/** A whole SVG file of what `draw` draws. */
export function svgOf(width: number, height: number, draw: (ctx: CanvasRenderingContext2D) => void): string {
  const recorder = new Recorder();
  draw(recorder as unknown as CanvasRenderingContext2D);
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${round(width)}" height="${round(height)}" ` +
    `viewBox="0 0 ${round(width)} ${round(height)}">\n${recorder.parts.join("\n")}\n</svg>\n`
  );
}
