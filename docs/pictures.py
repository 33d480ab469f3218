"""Screenshots of the page inside TensorBoard, over the demo's log: `scripts/pictures [logdir]`.

Every view in both themes and in a narrow window, what opens in them, and the states that a log or a
server can bring the page into: empty, loading, partial, an error, gone. They are looked at before
they are committed: a picture shows what no test asks.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import FrameLocator, Page, Route, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.board import tensorboard  # noqa: E402

PICTURES = Path(__file__).parent / "pictures"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
WIDE = {"width": 1400, "height": 900}
NARROW = {"width": 360, "height": 740}
DIGITS = "&p.xai.run=digits&p.xai.maps.tag=integrated_gradients"
VIEWS = {
    "overview": "&p.xai.view=overview&p.xai.runs=%5B%22digits_with_shortcut%22%5D",
    "maps": f"&p.xai.view=maps{DIGITS}",
    "features": "&p.xai.view=features&p.xai.run=breast_cancer",
    "quality": "&p.xai.view=quality&p.xai.run=digits&p.xai.quality.tag=integrated_gradients",
    "health": "&p.xai.view=health&p.xai.run=digits",
    "text": "&p.xai.view=text&p.xai.run=sentences",
}
MORE = {
    "maps_difference": f"&p.xai.view=maps{DIGITS}&p.xai.maps.minus=step%200",
    "maps_flat": "&p.xai.view=maps&p.xai.run=breast_cancer",
}
ONCE = {
    "overview_runs": "&p.xai.view=overview",
    "maps_methods": f"&p.xai.view=maps{DIGITS}&p.xai.maps.by=methods",
}
FAULTS = {"run_a": "shortcut", "run_b": "leaked_column", "run_c": "dead_layer"}
# What tells that a view has drawn its data; a state has words of its own.
DRAWN = ".ov-findings, .ov-fine, canvas, .tx-word"
WORKING = ".spinner, .face.loading"
LEVEL = 8
"""A channel of a picture is rounded to a multiple of this."""


def save(page: Page, name: str) -> None:
    """Write a screenshot whose levels are rounded to a few: two thirds of the bytes, no bands."""
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"), np.int32)
    few = np.minimum(255, (shot + LEVEL // 2) // LEVEL * LEVEL).astype(np.uint8)
    picture = Image.fromarray(few)
    if picture.getcolors(256):
        picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    picture.save(PICTURES / f"{name}.png", optimize=True)


def open_at(page: Page, url: str, link: str, theme: str, waits_for: str = DRAWN) -> FrameLocator:
    """Open our tab at a link in one of TensorBoard's themes; its frame once it has drawn."""
    page.goto("about:blank")
    page.goto(f"{url}#xai{link}")
    if theme == "dark":
        page.evaluate("document.body.classList.add('dark-mode')")
    frame = page.frame_locator("iframe[src*='plugin_entry.html?name=xai']")
    frame.locator(waits_for).first.wait_for(timeout=30_000)
    if waits_for == DRAWN:
        frame.locator(WORKING).first.wait_for(state="detached", timeout=30_000)
    page.wait_for_timeout(1200)
    return frame


def views(wide: Page, narrow: Page, url: str) -> None:
    """Every view, and what opens in it."""
    for theme in ("light", "dark"):
        for name, link in (VIEWS | MORE | (ONCE if theme == "light" else {})).items():
            open_at(wide, url, link, theme)
            save(wide, f"{name}_{theme}")
        frame = open_at(wide, url, VIEWS["maps"], theme)
        frame.locator("[role=gridcell][tabindex='0']").press("Enter")
        frame.locator("dialog canvas").first.wait_for()
        wide.wait_for_timeout(1500)
        save(wide, f"inspect_{theme}")
    for name, link in VIEWS.items():
        open_at(narrow, url, link, "light")
        save(narrow, f"{name}_narrow")
    frame = open_at(wide, url, VIEWS["quality"], "light")
    frame.get_by_role("heading").first.click()
    wide.keyboard.press("?")
    frame.locator("dialog.help").wait_for()
    save(wide, "help_light")


def answer(status: int, body: str) -> Callable[[Route], None]:
    """What a server says instead."""
    return lambda route: route.fulfill(status=status, content_type="text/plain", body=body)


def states(page: Page, url: str) -> None:
    """What a slow, a failing and a lost server look like."""
    maps = VIEWS["maps"]
    for name, what, does, says in (
        ("loading", "**/xai/attributions**", lambda route: None, ".face.loading"),
        (
            "error",
            "**/xai/attributions**",
            answer(500, "The disk of the log directory does not answer."),
            ".failed",
        ),
        ("gone", "**/xai/index**", lambda route: route.abort(), ".failed"),
    ):
        page.route(what, does)
        for theme in ("light", "dark"):
            open_at(page, url, maps, theme, says)
            save(page, f"{name}_{theme}")
        page.unroute(what)


def planted(log: Path) -> None:
    """Three runs of 12 epochs with a fault: from the start, or after the sixth epoch."""
    import keras

    from benchmarks import planted_faults as faults

    def train(name: str, task: str, clean: faults.Data, bad: faults.Data, *more: object) -> None:
        keras.utils.set_random_seed(0)
        model = faults.model_of(task)
        watched = faults.watchers(faults.Fault(name, task, faults.table), bad, log / name)
        for data, begin, end in ((clean, 0, 6), (bad, 6, 12)):
            model.fit(
                data.x,
                data.y,
                batch_size=32,
                initial_epoch=begin,
                epochs=end,
                validation_data=(data.x_val, data.y_val),
                callbacks=[*watched, *more],
                verbose=0,
            )

    rng = np.random.default_rng
    shortcut = faults.patch(rng(1), True)
    train("run_a", "digits", shortcut, shortcut)
    train("run_b", "table", faults.table(rng(2)), faults.leaked(rng(2)))

    class Kills(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 6:
                bias = self.model.get_layer("hidden_1").bias
                bias.assign(np.full(bias.shape, -10.0))

    train("run_c", "table", faults.table(rng(3)), faults.table(rng(3)), Kills())


def partial(page: Page, log: Path, scratch: Path) -> None:
    """A log whose newest file of maps, and one in the middle, were deleted."""
    copy = scratch / "partial"
    shutil.copytree(log, copy)
    with tensorboard("--logdir", copy) as board:
        tag = board.index()["digits"]["integrated_gradients"]
        lost = [tag["steps"][len(tag["steps"]) // 2], tag["steps"][-1]]
        files = sorted((copy / "digits").rglob("integrated_gradients-*.safetensors"))
        gone = [file for file in files if int(file.stem.split("-")[-2]) in lost]
        assert gone, f"no file of steps {lost}. Received: {[f.name for f in files[:3]]}"
        for file in gone:
            file.unlink()
        for theme in ("light", "dark"):
            open_at(page, board.url, VIEWS["maps"], theme)
            save(page, f"partial_{theme}")


def main() -> None:
    """Train unless a log is given, serve it, and take the pictures."""
    log = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="tb_xai_pictures_"))
    if not log.exists() or not any(log.iterdir()):
        command = [sys.executable, "-m", "tb_xai.cli", "demo", "--no-serve", "--logdir", str(log)]
        subprocess.run(command, check=True)  # noqa: S603
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as scratch:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        wide = browser.new_page(viewport=WIDE)
        with tensorboard("--logdir", log) as board:
            views(wide, browser.new_page(viewport=NARROW), board.url)
            states(wide, board.url)
        partial(wide, log, Path(scratch))
        planted(Path(scratch) / "faults")
        with tensorboard("--logdir", Path(scratch) / "faults") as board:
            for run, name in FAULTS.items():
                alone = f"&p.xai.view=overview&p.xai.runs=%5B%22{run}%22%5D"
                open_at(wide, board.url, alone, "light")
                save(wide, f"fault_{name}_light")
        nothing = Path(scratch) / "nothing"
        nothing.mkdir()
        with tensorboard("--logdir", nothing) as board:
            for theme in ("light", "dark"):
                open_at(wide, board.url, "", theme, ".empty")
                save(wide, f"empty_{theme}")
        browser.close()


if __name__ == "__main__":
    main()
