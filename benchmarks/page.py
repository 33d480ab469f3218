"""How fast the page is, docs/page_benchmark.md: `python -m benchmarks.page [--minutes 10]`.

A headless Chromium opens the page inside a real TensorBoard, over logs that are generated here.
What is painted is read back from the canvases, so that drawing is not only recorded but done.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Frame, Page, sync_playwright

from benchmarks import report
from tb_xai import summary
from tests.e2e.board import Board, tensorboard
from tests.synthetic import attribution, flat_probe, image_probe, importance

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "page_benchmark.md"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
METHODS = ("saliency", "gradient_x_input", "smooth_grad", "integrated_gradients", "grad_cam")

# Notes when the page starts (its root is put into the document by render() itself) and when what
# is waited for is first there.
WATCH = """
(() => {
  const seen = (window.__bench = {});
  const look = () => {
    if (!seen.start && document.querySelector("#tb-xai")) seen.start = performance.now();
    for (const [name, selector] of [
      ["findings", ".ov-findings, .ov-fine"],
      ["maps", "[role=gridcell] canvas"],
    ])
      if (!seen[name] && document.querySelector(selector)) seen[name] = performance.now();
  };
  new MutationObserver(look).observe(document, { childList: true, subtree: true });
})();
"""

# Does something, and says how long it takes until no map is loading, the step has the name that is
# waited for, no chart waits for its turn (where all are asked for) and every canvas has really been
# drawn.
PAINTED = """
async ({ action, argument, canvases, step, whole }) => {
  const frames = () => new Promise((done) => requestAnimationFrame(() => done()));
  const begin = performance.now();
  if (action === "key")
    document.body.dispatchEvent(
      new KeyboardEvent("keydown", { key: argument, bubbles: true, cancelable: true }),
    );
  else document.querySelector(argument).click();
  const ready = () =>
    (!whole || performance.getEntriesByName("tb-xai charts drawn")[0]?.startTime > begin) &&
    (!step || document.querySelector("output.step-name b")?.textContent.startsWith(step)) &&
    !document.querySelector(".face.loading");
  do await frames();
  while (!ready() && performance.now() - begin < 20000);
  const drawn = [...document.querySelectorAll(canvases)].filter((canvas) => canvas.width);
  for (const canvas of drawn) canvas.getContext("2d").getImageData(0, 0, 1, 1);
  return [performance.now() - begin, drawn.length];
}
"""


# One number for what each canvas shows.
CANVASES = """
(canvases) => [...document.querySelectorAll(canvases)].map((canvas) => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let sum = 0;
  for (let at = 0; at < data.length; at += 37) sum = (31 * sum + data[at]) | 0;
  return sum;
})
"""


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    target: float
    unit: str = "ms"
    note: str = ""
    rounds: int = 1


def many_steps(path: Path, steps: int = 1000) -> None:
    """1000 steps x 64 examples x 5 methods, of 16 x 16 pictures."""
    writer = summary.writer(path / "run")
    probe = image_probe(64, 16)
    assert probe.labels is not None
    hash_ = writer.write_probe(probe)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(8, 64, 16, 16, 1)).astype(np.float32)
    for step in range(steps):
        for i, method in enumerate(METHODS):
            writer.write(
                attribution(
                    method, step, noise[(step + i) % 8] * (1 + step / steps), probe.labels,
                    progress=step / steps, probe=hash_, additive=method == "integrated_gradients",
                )
            )  # fmt: skip
    writer.close()


def large_maps(path: Path, steps: int = 24) -> None:
    """64 maps of 224 x 224 at each step."""
    writer = summary.writer(path / "run")
    probe = image_probe(64, 224)
    assert probe.labels is not None
    hash_ = writer.write_probe(probe)
    rng = np.random.default_rng(0)
    for step in range(steps):
        values = rng.normal(size=(64, 224, 224, 1)).astype(np.float32)
        record = attribution(
            "saliency", step, values, probe.labels, progress=step / steps, probe=hash_
        )
        writer.write(record)
    writer.close()


def many_methods(path: Path, steps: int = 9, methods: int = 11) -> None:
    """64 maps of 224 x 224 of each of several methods at each step, every one another."""
    writer = summary.writer(path / "run")
    probe = image_probe(64, 224)
    assert probe.labels is not None
    hash_ = writer.write_probe(probe)
    values = np.random.default_rng(0).normal(size=(64, 224, 224, 1)).astype(np.float32)
    for step in range(steps):
        for i in range(methods):
            record = attribution(
                f"method_{i:02d}", step, np.roll(values, step * methods + i, axis=0), probe.labels,
                progress=step / steps, probe=hash_,
            )  # fmt: skip
            writer.write(record)
    writer.close()


def features(path: Path, d: int, steps: int = 1000) -> None:
    """Importance of d features over 1000 steps."""
    writer = summary.writer(path / "run")
    probe = flat_probe(4)
    hash_ = writer.write_probe(
        dataclasses.replace(probe, meta={**probe.meta, "feature_names": None})
    )
    rng = np.random.default_rng(0)
    final = rng.exponential(0.1, d)
    for step in range(steps):
        mean = (final * step / steps + rng.normal(0, 0.005, d)).astype(np.float32)
        figures = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
        record = importance(step, progress=step / steps, probe=hash_)
        meta = {**record.meta, "inputs": {"x": {"shape": [d], "kind": "flat"}}}
        writer.write(dataclasses.replace(record, figures=figures, meta=meta))
    writer.close()


class Tab:
    """Our page in a tab of its own."""

    def __init__(self, browser: Browser, board: Board, link: str, height: int = 1300) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1600, "height": height})
        self.page.add_init_script(WATCH)
        self.page.goto(f"{board.url}#xai{link}")
        self.page.wait_for_selector("iframe[src*='plugin_entry.html?name=xai']", timeout=60_000)
        deadline = time.monotonic() + 60
        while not (found := [f for f in self.page.frames if "name=xai" in f.url]):
            assert time.monotonic() < deadline, "the tab did not open"
            self.page.wait_for_timeout(50)
        self.frame: Frame = found[0]

    def first(self, what: str) -> float:
        """Milliseconds from render() until something was there."""
        self.frame.wait_for_function(f"window.__bench && window.__bench.{what}", timeout=60_000)
        return float(self.frame.evaluate(f"window.__bench.{what} - window.__bench.start"))

    def painted(
        self, action: str, argument: str, canvases: str, step: str = "", *, whole: bool = False
    ) -> float:
        """Milliseconds until an action is painted."""
        given = {
            "action": action,
            "argument": argument,
            "canvases": canvases,
            "step": step,
            "whole": whole,
        }
        took, self.canvases = self.frame.evaluate(PAINTED, given)
        return float(took)

    def settle(self, selector: str, seconds: float = 1.5) -> None:
        """Wait for something, and until nothing is loading."""
        self.frame.wait_for_selector(selector, timeout=120_000)
        self.page.wait_for_timeout(1000 * seconds)

    def heap(self) -> float:
        """Megabytes that the page's scripts hold, TensorBoard's own included."""
        session = self.page.context.new_cdp_session(self.page)
        session.send("HeapProfiler.collectGarbage")
        session.send("Performance.enable")
        found = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
        session.detach()
        return float(found["JSHeapUsedSize"]) / 2**20

    def close(self) -> None:
        self.page.close()


def resident(browser: Browser) -> float:
    """Megabytes of the largest renderer process: scripts, pictures and canvases."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    pages = os.sysconf("SC_PAGE_SIZE")
    sizes = [
        int(Path(f"/proc/{process['id']}/statm").read_text().split()[1]) * pages
        for process in found
        if process["type"] == "renderer"
    ]
    return max(sizes) / 2**20


def first_content(browser: Browser, board: Board, rounds: int) -> list[Figure]:
    """What is there first, on the log of many steps."""
    out = []
    for what, link in (("findings", "&p.xai.view=overview"), ("maps", "&p.xai.view=maps")):
        found = []
        for _ in range(rounds):
            tab = Tab(browser, board, link)
            found.append(tab.first(what))
            tab.close()
        name = f"first {what} after render(), 1000 steps x 64 examples x 5 methods"
        note = f"the first time {found[0]:.0f} ms"
        out.append(Figure(name, statistics.median(found), 1000, "ms", note, rounds))
    return out


def cursor(browser: Browser, board: Board, rounds: int, by: str) -> list[Figure]:
    """Moving the cursor over large maps: steps not seen before, then the same again."""
    canvases = "[role=gridcell] canvas"
    fresh, again, count, changed = [], [], 0, set()
    for _ in range(max(1, rounds // 3)):
        tab = Tab(browser, board, f"&p.xai.view=maps&p.xai.maps.by={by}&p.xai.step=0", height=900)
        tab.settle(canvases, 4)
        shown = tab.frame.evaluate(CANVASES, canvases)
        for to in range(1, 9):
            fresh.append(tab.painted("key", "ArrowRight", canvases, f"step {to}"))
            before, shown = shown, tab.frame.evaluate(CANVASES, canvases)
            changed.add(sum(a != b for a, b in zip(before, shown, strict=True)))
        count = tab.canvases
        back = reversed(range(8))
        again += [tab.painted("key", "ArrowLeft", canvases, f"step {to}") for to in back]
        tab.close()
    note = f"{count} maps of 224 x 224 on screen, {max(changed)} of which change with a step"
    return [
        Figure(
            f"cursor to a step {seen}, {by} as columns", statistics.median(took), target, "ms",
            note, len(took),
        )
        for seen, took, target in (("not seen before", fresh, 50), ("seen before", again, 16))
    ]  # fmt: skip


def painting(browser: Browser, lines: Board, matrix: Board, rounds: int) -> list[Figure]:
    """Painting many lines, and a large matrix."""
    tab = Tab(browser, lines, "&p.xai.view=features&p.xai.features.top=200")
    tab.settle(".fx-lines canvas", 3)
    charts = ".fx-lines canvas, .fx-bump canvas, .fx-matrix canvas"
    first = [tab.painted("key", "a", ".fx-lines canvas") for _ in range(rounds)]
    tab.page.wait_for_timeout(1000)
    whole = [tab.painted("key", "a", charts, whole=True) for _ in range(rounds)]
    tab.close()
    out = [
        Figure(
            "200 lines x 1000 steps", statistics.median(first), 150, "ms",
            "key to lines painted anew", rounds,
        ),
        Figure(
            "the same, their ranks and their matrix", statistics.median(whole), float("nan"), "ms",
            "key to all charts painted anew", rounds,
        ),
    ]  # fmt: skip
    tab = Tab(browser, matrix, "&p.xai.view=features")
    tab.settle(".fx-matrix canvas", 4)
    box = ".fx-matrix input[type=checkbox]"
    found = [tab.painted("click", box, ".fx-matrix canvas", whole=True) for _ in range(rounds)]
    tab.close()
    took = statistics.median(found)
    name = "matrix of 10,000 features x 1000 steps"
    return [*out, Figure(name, took, 300, "ms", "click to painted", rounds)]


def play(browser: Browser, board: Board, minutes: float) -> list[Figure]:
    """Memory after playing over large maps."""
    tab = Tab(browser, board, "&p.xai.view=maps&p.xai.step=0")
    tab.settle("[role=gridcell] canvas", 3)
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        if tab.frame.get_by_role("button", name="Play the steps").count():
            tab.frame.get_by_role("button", name="Play the steps").click()
        tab.page.wait_for_timeout(min(1000.0, max(0.0, 1000 * (until - time.monotonic()))))
    heap = tab.heap()
    process = resident(browser)
    tab.close()
    name = f"after {minutes:g} minutes of play"
    return [
        Figure(f"scripts' memory {name}", heap, float("nan"), "MB",
               "TensorBoard's own page included"),
        Figure(f"memory of the tab's process {name}", process, 300, "MB",
               "scripts, pictures, canvases, Chromium's own code"),
    ]  # fmt: skip


def table(figures: list[Figure]) -> str:
    """The document."""
    rows = [
        f"| {f.name} | {f.value:.0f} {f.unit} | "
        f"{'' if np.isnan(f.target) else f'{f.target:.0f} {f.unit}'} | {f.rounds} | {f.note} |"
        for f in figures
    ]
    size = ", ".join(
        f"{path.name} {path.stat().st_size / 1000:.0f} KB"
        for path in sorted((ROOT / "tb_xai" / "static").glob("*.js"))
    )
    return "\n".join(
        [
            "# How fast the page is",
            "",
            "Written by `python -m benchmarks.page`; do not edit.",
            "",
            f"{time.strftime('%Y-%m-%d')}, commit {report.commit()}. {os.cpu_count()} cores, "
            f"{platform.machine()}, headless Chromium without a GPU, inside TensorBoard, whose "
            "server runs on the same cores. Medians; load of the machine at the end: "
            f"{os.getloadavg()[0]:.1f}.",
            "",
            "| what | median | target | rounds | |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"Files, minified: {size}.",
            "",
        ]
    )


def main() -> None:
    """Generate logs, measure, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long to play")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=1000, help="of the log of many steps")
    parser.add_argument("--logs", type=Path, help="keep the logs here, and use what is there")
    options = parser.parse_args()
    makers: dict[str, Callable[[Path], None]] = {
        "many": lambda path: many_steps(path, options.steps),
        "large": large_maps,
        "methods": many_methods,
        "lines": lambda path: features(path, 200),
        "matrix": lambda path: features(path, 10_000),
    }
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        logs = options.logs or Path(temporary)
        for name, make in makers.items():
            if not (logs / name).exists():
                start = time.monotonic()
                make(logs / name)
                gc.collect()
                print(f"log '{name}' written in {time.monotonic() - start:.0f} s", flush=True)
        figures: list[Figure] = []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

        def note(found: list[Figure]) -> None:
            figures.extend(found)
            for one in found:
                print(f"{one.name}: {one.value:.0f} {one.unit} ({one.note})", flush=True)

        with tensorboard("--logdir", logs / "many") as board:
            board.until(lambda: len(board.steps("run", METHODS[0])) == options.steps, 120)
            note(first_content(browser, board, options.rounds))
        with (
            tensorboard("--logdir", logs / "lines") as lines,
            tensorboard("--logdir", logs / "matrix") as matrix,
        ):
            for board in (lines, matrix):
                tag = "permutation_importance"
                board.until(lambda: len(board.steps("run", tag)) == 1000, 120)  # noqa: B023
            note(painting(browser, lines, matrix, options.rounds))
        with tensorboard("--logdir", logs / "large") as board:
            board.until(lambda: len(board.steps("run", "saliency")) == 24, 120)
            note(cursor(browser, board, options.rounds, "steps"))
            note(play(browser, board, options.minutes))
        with tensorboard("--logdir", logs / "methods") as board:
            board.until(lambda: len(board.steps("run", "method_10")) == 9, 120)
            note(cursor(browser, board, options.rounds, "methods"))
        browser.close()
    text = table(figures)
    DOCUMENT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
