import { render } from "preact";
import { act } from "preact/test-utils";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { offered, seen, useExport, type Shown } from "../src/export";
import { Choices, fileName, printed } from "../src/export/panel";
import { svgOf } from "../src/export/svg";
import { stacked } from "../src/features/exports";
import * as state from "../src/state";
import { settle } from "./answers";

const element = (svg: string): Element => new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;

describe("drawing as SVG", () => {
  it("records lines, bands, bars, dots and words at their places", () => {
    const svg = element(
      svgOf(100, 50, (ctx) => {
        ctx.strokeStyle = "#123456";
        ctx.lineWidth = 2;
        ctx.setLineDash([3, 1]);
        ctx.beginPath();
        ctx.moveTo(1, 2);
        ctx.lineTo(10.004, 20);
        ctx.stroke();
        ctx.setLineDash([]);
        ctx.globalAlpha = 0.5;
        ctx.fillStyle = "red";
        ctx.fillRect(1, 2, 3, 4);
        ctx.globalAlpha = 1;
        ctx.save();
        ctx.translate(5, 6);
        ctx.rotate(-Math.PI / 2);
        ctx.textAlign = "right";
        ctx.textBaseline = "middle";
        ctx.font = "12px sans-serif";
        ctx.fillText("<b>&", 0, 0);
        ctx.restore();
        ctx.beginPath();
        ctx.rect(0, 0, 9, 9);
        ctx.clip();
        ctx.beginPath();
        ctx.arc(10, 10, 5, 0, 2 * Math.PI);
        ctx.fill();
      }),
    );
    const [line, dot] = [...svg.querySelectorAll("path")].filter((path) => !path.closest("clipPath"));
    expect(line?.getAttribute("d")).toBe("M1 2L10 20");
    expect([line?.getAttribute("stroke"), line?.getAttribute("stroke-dasharray")]).toEqual(["#123456", "3 1"]);
    expect(dot?.getAttribute("d")).toBe("M15 10A5 5 0 0 1 5 10A5 5 0 0 1 15 10");
    const bar = svg.querySelector("rect");
    expect(["x", "y", "width", "height", "opacity"].map((name) => bar?.getAttribute(name))).toEqual([
      "1",
      "2",
      "3",
      "4",
      "0.5",
    ]);
    const text = svg.querySelector("text");
    expect(text?.textContent).toBe("<b>&");
    expect(text?.getAttribute("transform")).toBe("translate(5 6) rotate(-90)");
    expect(text?.getAttribute("text-anchor")).toBe("end");
    expect(svg.querySelector("b")).toBeNull();
  });

  it("gives back what was saved", () => {
    const svg = svgOf(9, 9, (ctx) => {
      ctx.fillStyle = "blue";
      ctx.save();
      ctx.fillStyle = "green";
      ctx.translate(1, 1);
      ctx.restore();
      ctx.fillRect(0, 0, 1, 1);
    });
    expect(svg).toContain('fill="blue"');
    expect(svg).not.toContain("transform");
  });
});

describe("a picture with what it shows", () => {
  const shown: Shown = { name: "a/b", title: "Title", lines: ["Run: r", "Scale: s"] };

  it("has its title and lines above, and room for both", () => {
    const picture = printed(shown, { width: 400, height: 100, draw: (ctx) => ctx.fillRect(0, 0, 7, 7) });
    const svg = element(svgOf(picture.width, picture.height, picture.draw));
    expect([...svg.querySelectorAll("text")].map((one) => one.textContent)).toEqual(["Title", "Run: r", "Scale: s"]);
    const mark = [...svg.querySelectorAll("rect")].find((one) => one.getAttribute("width") === "7");
    expect(mark?.getAttribute("transform")).toMatch(/^translate\(16 \d+\)$/);
    expect(picture.height).toBeGreaterThan(150);
  });

  it("puts charts below each other, each under its name", () => {
    const one = (height: number) => () => ({ width: 50, height, draw: () => undefined });
    const picture = stacked(
      new Map([
        ["A", one(30)],
        ["B", one(40)],
      ]),
    );
    const svg = element(svgOf(picture.width, picture.height, picture.draw));
    expect([...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getAttribute("transform")])).toEqual(
      [
        ["A", "translate(0 0)"],
        ["B", "translate(0 52)"],
      ],
    );
    expect([picture.width, picture.height]).toEqual([50, 114]);
  });

  it("names its file so that every system takes it", () => {
    expect(fileName("a/b <c>", "png")).toBe("a_b_c_.png");
    expect(fileName("x".repeat(300), "csv")).toHaveLength(84);
    expect(fileName("", "svg")).toBe("tb_xai.svg");
  });
});

describe("the control", () => {
  let root: HTMLElement;
  beforeEach(() => {
    root = document.createElement("div");
    document.body.append(root);
    state.applyLink(new Map([["view", "features"]]));
  });
  afterEach(() => {
    render(null, root);
    root.remove();
  });

  it("offers what the view on screen says, as long as it is there", async () => {
    const View = ({ title }: { title: string }) => {
      useExport(() => ({ name: "n", title, lines: [] }));
      return null;
    };
    await act(() => render(<View title="one" />, root));
    await act(() => render(<View title="two" />, root));
    expect(offered.value?.().title).toBe("two");
    await act(() => render(null, root));
    expect(offered.value).toBeNull();
  });

  it("shows the kinds that there are, and says when one could not be made", async () => {
    const shown: Shown = {
      name: "n",
      title: "t",
      lines: ["Run: r"],
      csv: () => {
        throw new Error("too large");
      },
      json: () => ({ a: [Number.NaN, Float32Array.of(1)] }),
    };
    await act(() => render(<Choices of={shown} />, root));
    const buttons = [...root.querySelectorAll("button")];
    expect(buttons.map((one) => one.textContent)).toEqual(["PNG", "SVG", "CSV", "JSON", "Copy link"]);
    expect(root.textContent).toContain("Run: r");
    await act(async () => {
      buttons[2]?.click();
      await settle();
    });
    expect(root.querySelector("[role=status]")?.textContent).toBe("No CSV: too large");
    const saved: Blob[] = [];
    vi.spyOn(URL, "createObjectURL").mockImplementation((blob) => `blob:${saved.push(blob as Blob)}`);
    await act(async () => {
      buttons[3]?.click();
      await settle();
    });
    const answer = JSON.parse((await saved[0]?.text()) ?? "") as Record<string, unknown>;
    expect(answer).toMatchObject({ title: "t", shown: ["Run: r"], data: { a: ["NaN", [1]] } });
    expect(String(answer["link"])).toContain("p.xai.view=features");
  });

  it("says run, method, step and scale", () => {
    const tag = { name: "imp", kind: "importance", steps: [0, 60], wall_times: [100, 160], epochs: [0, 2] };
    state.index.value = {
      version: 1,
      revision: "x",
      skipped: [],
      runs: ["a", "b"].map((name) => ({ name, tags: [tag] })),
    };
    state.axis.value = "time";
    expect(seen("Scale: loss")).toEqual([
      "Runs: a, b",
      "Method: imp",
      "Cursor: step 60, epoch 2, 1 min",
      "Scale: loss",
    ]);
    state.index.value = null;
    state.axis.value = "step";
  });
});
