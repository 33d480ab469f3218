"""Screenshots of the page inside TensorBoard, over the demo's log: `scripts/pictures [logdir]`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import FrameLocator, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.e2e.board import tensorboard  # noqa: E402

PICTURES = Path(__file__).parent / "pictures"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
VIEWS = {
    "overview": "&p.xai.view=overview",
    "maps": "&p.xai.view=maps&p.xai.run=digits&p.xai.maps.tag=integrated_gradients",
    "maps_flat": "&p.xai.view=maps&p.xai.run=breast_cancer",
    "features": "&p.xai.view=features&p.xai.run=breast_cancer",
}


def open_at(page: Page, url: str, link: str, theme: str) -> FrameLocator:
    """Open our tab at a link in one of TensorBoard's themes; its frame once something is drawn."""
    page.goto("about:blank")
    page.goto(f"{url}#xai{link}")
    frame = page.frame_locator("iframe[src*='plugin_entry.html?name=xai']")
    frame.get_by_role("heading").first.wait_for(timeout=30_000)
    if theme == "dark":
        page.evaluate("document.body.classList.add('dark-mode')")
    if "maps" in link or "features" in link:
        frame.locator("canvas").first.wait_for(timeout=30_000)
    page.wait_for_timeout(2500)
    return frame


def main() -> None:
    """Train unless a log is given, serve it, and take the pictures."""
    log = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="tb_xai_pictures_"))
    if not log.exists() or not any(log.iterdir()):
        command = [sys.executable, "-m", "tb_xai.cli", "demo", "--no-serve", "--logdir", str(log)]
        subprocess.run(command, check=True)  # noqa: S603
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        wide = browser.new_page(viewport={"width": 1400, "height": 900})
        narrow = browser.new_page(viewport={"width": 360, "height": 740})
        with tensorboard("--logdir", log) as board:
            for theme in ("light", "dark"):
                for name, link in VIEWS.items():
                    open_at(wide, board.url, link, theme)
                    wide.screenshot(path=PICTURES / f"{name}_{theme}.png")
            frame = open_at(wide, board.url, VIEWS["maps"], "light")
            frame.locator("[role=gridcell][tabindex='0']").press("Enter")
            wide.wait_for_timeout(800)
            wide.screenshot(path=PICTURES / "inspect_light.png")
            for name in ("overview", "maps", "features"):
                open_at(narrow, board.url, VIEWS[name], "light")
                narrow.screenshot(path=PICTURES / f"{name}_narrow.png")
        with (
            tempfile.TemporaryDirectory() as nothing,
            tensorboard("--logdir", nothing) as board,
        ):
            open_at(wide, board.url, "", "light")
            wide.screenshot(path=PICTURES / "empty_light.png")
        browser.close()


if __name__ == "__main__":
    main()
