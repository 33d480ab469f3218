"""The page in a real browser, inside a real TensorBoard, over a log whose values are known."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, FrameLocator, Page, Route, expect, sync_playwright

from tb_xai import reader, summary
from tests.e2e.board import Board, tensorboard
from tests.synthetic import (
    FEATURES,
    HOSTILE_TAG,
    attribution,
    flat_probe,
    image_probe,
    image_values,
    importance,
    make_log,
)

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
VIEWS = ("Overview", "Maps", "Features", "Quality", "Health", "Text")
# What tells that a view has drawn its data.
DRAWN = {
    "Overview": ".ov-findings, .ov-fine",
    "Maps": ".grid canvas",
    "Features": ".fx-panel canvas",
    "Quality": ".ql canvas",
    "Health": ".hx-matrix canvas",
    "Text": ".tx-line:not(.plain)",
}
# The run of the log that a view shows; the others are asked for their first.
RUN = {"Features": "table", "Health": "layers", "Text": "reviews"}
# ColorBrewer's RdBu, blue first: what the signed maps are coloured with.
RDBU_R = [
    (5, 48, 97), (33, 102, 172), (67, 147, 195), (146, 197, 222), (209, 229, 240), (247, 247, 247),
    (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43), (103, 0, 31),
]  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; without one these tests are skipped, in CI they fail."""
    if CHROMIUM is None:
        reason = "a Chromium must be on PATH, or named by CHROMIUM. Received: none"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield chromium
        chromium.close()


def log_layers(path: Path, steps: int = 6, names: Sequence[str] = ("conv", "head")) -> None:
    """The health of two layers, of which one dies."""
    writer = summary.writer(path)
    for step in range(steps):
        dead = [0.0, float(step > 2)]
        words = ["healthy", "dead" if step > 2 else "healthy"]
        meta = {
            "method": "model_health", "signed": False, "additive": False, "seconds": 0.1,
            "epoch": float(step), "probe": "", "layers": list(names), "states": words, "n": 8,
            "thresholds": {"vanishing": 1e-4, "exploding": 1e3, "exploding_update": 10.0,
                           "dead": 0.5, "saturated": 0.5},
        }  # fmt: skip
        figures = {
            "gradient_norm": np.array([0.1, 0.2], np.float32),
            "weight_norm": np.array([3.0, 2.0], np.float32),
            "dead": np.array(dead, np.float32),
        }
        writer.write(summary.Record("model_health", step, 1.7e9 + step, "health", meta, figures))
    writer.close()


def log_words(path: Path, steps: int = 6, texts: int = 30) -> None:
    """Values of the words of some texts."""
    rng = np.random.default_rng(0)
    words = [["a", "wonderful", f"film{i}", "[pad]", "[pad]", "[pad]"] for i in range(texts)]
    meta = {"example_names": [f"review {i}" for i in range(texts)], "class_names": ["bad", "good"],
            "feature_names": None, "tokens": {"x": words}}  # fmt: skip
    writer = summary.writer(path)
    labels = np.arange(texts) % 2
    probe = writer.write_probe(
        summary.Probe({"x": rng.integers(0, 9, (texts, 6))}, labels.astype(np.int32), meta)
    )
    for step in range(steps):
        about = {
            "method": "integrated_gradients", "signed": True, "additive": True, "seconds": 0.1,
            "epoch": float(step), "score_name": "log-odds", "probe": probe,
            "inputs": {"x": {"shape": [6], "kind": "sequence"}},
        }  # fmt: skip
        figures = {
            "output": np.full(texts, step, np.float32),
            "predicted": np.where(np.arange(texts) < 5 * step, labels, 0).astype(np.int32),
            "confidence": np.full(texts, 0.9, np.float32),
        }
        maps = {"x": (step * rng.normal(size=(texts, 6))).astype(np.float32)}
        kind, time_ = "attribution", 1.7e9 + step
        writer.write(
            summary.Record("integrated_gradients", step, time_, kind, about, figures, maps)
        )
    writer.close()


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """TensorBoard on the synthetic log, as a user starts it."""
    log = make_log(tmp_path_factory.mktemp("log"), steps=6)
    log_layers(log / "layers")
    log_words(log / "reviews")
    with tensorboard("--logdir", log, without_tensorflow=False) as served:
        yield served


class Tab:
    """Our tab, opened at a link, with what the browser complained of."""

    def __init__(self, browser: Browser, url: str, link: str = "", **context: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1400, "height": 900}, **context}
        )
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(f"{url}#xai{link}")
        self.frame: FrameLocator = self.page.frame_locator(
            "iframe[src*='plugin_entry.html?name=xai']"
        )
        expect(self.frame.get_by_role("heading", name="Explanations").first).to_be_visible(
            timeout=30_000
        )

    def _listen(self, message: Any) -> None:
        """Errors of ours: those of TensorBoard's other tabs are not."""
        ours = "xai" in str(message.location) or "plugin_entry" in str(message.location)
        refused = re.search(r"Content Security Policy|Refused to", message.text)
        # a test may stop its server before its tab: what the page then asks for is refused
        stopped = "net::ERR_CONNECTION_REFUSED" in message.text
        if refused or (message.type == "error" and ours and not stopped):
            self.complaints.append(f"{message.text} {message.location}")

    @property
    def inner(self) -> Any:
        """The frame of the page itself."""
        return next(f for f in self.page.frames if "plugin_entry.html?name=xai" in f.url)

    def take(self, kind: str) -> bytes:
        """Save a file through the Export control."""
        panel = self.frame.get_by_role("dialog", name="Export")
        if not panel.is_visible():
            self.frame.get_by_role("button", name="Export").click()
        with self.page.expect_download(timeout=20_000) as found:
            panel.get_by_role("button", name=kind, exact=True).click()
        assert re.fullmatch(rf"[\w.-]+\.{kind.lower()}", found.value.suggested_filename)
        return Path(found.value.path()).read_bytes()

    def axe(self) -> list[dict[str, Any]]:
        """What axe finds wrong with the page as it stands."""
        if not AXE.is_file():
            pytest.fail("axe-core must be installed: npm ci in frontend/")
        self.inner.evaluate(AXE.read_text(encoding="utf-8") + "; void 0")
        found = self.inner.evaluate("axe.run(document).then(r => r.violations)")
        return [
            {"rule": v["id"], "help": v["help"], "at": [n["html"][:200] for n in v["nodes"]]}
            for v in found
        ]

    def view(self, name: str) -> None:
        """Go to a view by its name."""
        self.frame.get_by_role("tab", name=name, exact=True).click()

    def wait_for(self, view: str) -> None:
        """Until a view has drawn what it shows."""
        self.frame.locator(DRAWN[view]).first.wait_for(timeout=20_000)

    def step_name(self) -> str:
        """What the step cursor says."""
        return self.frame.locator("output.step-name b").inner_text()

    def press(self, key: str) -> None:
        """Press a key while the page, and nothing in it, has the focus."""
        self.frame.get_by_role("heading", name="Explanations").first.click()
        self.page.keyboard.press(key)

    def cells(self) -> list[str]:
        """What a screen reader is told of every map on screen."""
        cells = self.frame.get_by_role("gridcell")
        return [cell.get_attribute("aria-label") or "" for cell in cells.all()]

    def wait_for_maps(self) -> None:
        """Until no map is loading any more."""
        expect(self.frame.locator("canvas").first).to_be_visible(timeout=15_000)
        expect(self.frame.locator(".face.loading")).to_have_count(0, timeout=15_000)


@pytest.fixture
def open_tab(browser: Browser, board: Board) -> Iterator[Callable[..., Tab]]:
    """Open our tab at a link; the browser must not have complained when the test ends."""
    tabs: list[Tab] = []

    def open_at(link: str = "", *, url: str = board.url, **context: Any) -> Tab:
        tabs.append(Tab(browser, url, link, **context))
        return tabs[-1]

    yield open_at
    for tab in tabs:
        tab.context.close()
    assert not [complaint for tab in tabs for complaint in tab.complaints]


def link(**keys: str) -> str:
    """The page's part of an address."""
    return "".join(f"&p.xai.{key.replace('__', '.')}={value}" for key, value in keys.items())


DIGITS = link(view="maps", run="digits", maps__tag="integrated_gradients")
TABLE = link(view="features", run="table", features__tag="permutation_importance")


def of(view: str) -> str:
    """The link to a view with something to draw."""
    return link(view=view.lower(), run=RUN.get(view, "digits"))


def rdbu_r(index: np.ndarray) -> np.ndarray:
    """Rows of the 256-entry table, interpolated from the published colours."""
    anchors = np.array(RDBU_R, float)
    at = np.asarray(index) / 255 * (len(anchors) - 1)
    return np.stack([np.interp(at, range(len(anchors)), anchors[:, c]) for c in range(3)], -1)


def test_the_tab_opens_on_maps_of_every_example(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(DIGITS)
    tab.wait_for_maps()
    assert tab.step_name() == "step 5"
    told = tab.cells()
    assert any(re.search(r"digit 0 \(0\), step 0, untrained, predicted \d, peak", t) for t in told)
    assert (
        tab.page.get_by_role("tab", name="Explanations")
        .or_(tab.page.get_by_text("EXPLANATIONS", exact=False))
        .first.is_visible()
    )


@pytest.mark.parametrize("example", [0, 3])
def test_a_pixel_is_the_colour_of_the_recorded_value(
    open_tab: Callable[..., Tab],
    board: Board,
    tmp_path_factory: pytest.TempPathFactory,
    example: int,
) -> None:
    tab = open_tab(DIGITS + link(step="5", maps__smooth="off", maps__values="signed"))
    tab.wait_for_maps()
    cell = tab.frame.locator(f"[role=gridcell][data-row='{example}'][aria-label*='step 5']")
    pixels = cell.locator("canvas").evaluate(
        """canvas => {
            const { width: w, height: h } = canvas, side = 8, found = [];
            const data = canvas.getContext("2d").getImageData(0, 0, w, h).data;
            for (let row = 0; row < side; row++) for (let column = 0; column < side; column++) {
                const x = Math.floor((column + 0.5) * w / side);
                const y = Math.floor((row + 0.5) * h / side);
                found.push([...data.slice(4 * (y * w + x), 4 * (y * w + x) + 4)]);
            }
            return found;
        }"""
    )
    # What make_log stored, computed anew: values, then the byte on the wire, then the colour.
    probe = image_probe(16, 8, 0)
    values = (image_values(probe, 1.0, 5, 0) * probe.inputs["x"] / 16)[example, ..., 0]
    peak = np.abs(values).max()
    wire = np.round((values / peak + 1) * 127) / 127 - 1
    colours = rdbu_r(np.clip(np.floor((0.5 + 0.5 * wire) * 255 + 0.5), 0, 255))
    found = np.array(pixels, float).reshape(8, 8, 4)
    assert np.ptp(colours[..., 0]) > 100, "the case must not be trivial"
    assert (found[..., 3] == 255).all()
    # One level of a byte on the wire is half a row of the table.
    assert np.abs(found[..., :3] - colours).max() <= 4
    assert np.abs(found[..., :3] - colours).mean() < 1


def test_words_for_zero_nan_and_a_step_that_was_not_logged(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(link(view="maps", run="digits", maps__tag="saliency"))
    tab.wait_for_maps()
    told = "\n".join(tab.cells())
    assert re.search(r"digit 1 \(1\), step 0, untrained.*all zero", told), told
    assert re.search(r"digit 2 \(2\), step 1,.*not finite", told)
    assert "digit 0 (0), step 2, not logged" in told


def test_the_keyboard_moves_the_step(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(DIGITS)
    tab.wait_for_maps()
    for key, name in (
        ("ArrowLeft", "step 4"),
        ("Home", "step 0, untrained"),
        ("ArrowRight", "step 1"),
        (".", "step 2"),
        (",", "step 1"),
        ("End", "step 5"),
    ):
        tab.press(key)
        assert tab.step_name() == name, key
    tab.press("?")
    expect(tab.frame.get_by_role("dialog")).to_be_visible()
    tab.page.keyboard.press("Escape")
    expect(tab.frame.get_by_role("dialog")).to_be_hidden()


def test_a_map_is_inspected_by_keyboard(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(DIGITS)
    tab.wait_for_maps()
    focus = tab.frame.locator("[role=gridcell][tabindex='0']")
    focus.focus()
    focus.press("ArrowDown")
    tab.frame.locator("[role=gridcell]:focus").press("Enter")
    dialog = tab.frame.get_by_role("dialog")
    expect(dialog).to_contain_text("digit 1 (1)")
    expect(dialog.locator("canvas").first).to_be_visible()
    tab.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


@pytest.mark.parametrize("view", VIEWS)
def test_the_address_reproduces_the_screen(open_tab: Callable[..., Tab], view: str) -> None:
    first = open_tab(DIGITS if view == "Maps" else TABLE if view == "Features" else of(view))
    first.view(view)
    first.wait_for(view)
    first.press("Home")
    first.press("ArrowRight")
    if view == "Maps":
        first.frame.get_by_label("Scale").select_option("shared")
        first.wait_for_maps()
    first.page.wait_for_timeout(1500)
    second = open_tab(first.page.url.split("#xai", 1)[1])
    second.wait_for(view)
    if view == "Maps":
        second.wait_for_maps()
        assert second.frame.get_by_label("Scale").input_value() == "shared"
    second.page.wait_for_timeout(1500)
    if view != "Overview":  # it is of all steps
        assert second.step_name() == first.step_name() == "step 1"
    shots = [tab.frame.locator("body").screenshot() for tab in (first, second)]
    pictures = [np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), int) for shot in shots]
    assert np.abs(pictures[0] - pictures[1]).max() <= 2  # rounding of blended edges


def test_dark_mode_follows_live(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(DIGITS)
    tab.wait_for_maps()
    brightness = "getComputedStyle(document.body).backgroundColor"
    colours = [tab.inner.evaluate(brightness)]
    for _ in range(2):
        tab.page.evaluate("document.body.classList.toggle('dark-mode')")
        tab.page.wait_for_timeout(300)
        colours.append(tab.inner.evaluate(brightness))
    light, dark, again = (sum(map(int, re.findall(r"\d+", c)[:3])) / 3 for c in colours)
    assert light == again > 200
    assert dark < 60


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(open_tab: Callable[..., Tab], view: str, theme: str) -> None:
    tab = open_tab(of(view))
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
    tab.wait_for(view)
    tab.page.wait_for_timeout(800)
    found = tab.axe()
    assert not found, json.dumps(found, indent=1)


@pytest.mark.parametrize("width", [320, 3840])
@pytest.mark.parametrize("view", VIEWS)
def test_windows_from_narrow_to_4k_have_no_sideways_scroll(
    open_tab: Callable[..., Tab], view: str, width: int
) -> None:
    tab = open_tab(of(view), viewport={"width": width, "height": 700 if width < 400 else 2160})
    tab.wait_for(view)
    tab.page.wait_for_timeout(500)
    over = tab.inner.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0


def test_a_finding_leads_to_the_view_that_shows_it(
    open_tab: Callable[..., Tab], tmp_path: Path
) -> None:
    """A planted leak: one feature takes over, and it is where the link leads."""
    writer = summary.writer(tmp_path / "leak")
    rows = writer.write_probe(flat_probe(4))
    for step in range(6):
        record = importance(step, progress=0.2 + step / 10, probe=rows)
        grown = {name: values.copy() for name, values in record.figures.items()}
        for name in ("mean", "low", "high"):
            grown[name][FEATURES.index("id")] += 0.6 * step
        writer.write(dataclasses.replace(record, figures=grown))
    writer.close()
    with tensorboard("--logdir", tmp_path) as leaking:
        tab = open_tab(url=leaking.url)
        finding = tab.frame.get_by_role("listitem").filter(has_text="'id' alone carries").first
        expect(finding).to_contain_text("warning", timeout=20_000)
        expect(finding.locator("figcaption")).to_contain_text("its share of all importance")
        finding.get_by_role("link", name="Show in Features").focus()
        tab.page.keyboard.press("Enter")
        expect(tab.frame.get_by_role("tab", name="Features")).to_have_attribute(
            "aria-selected", "true"
        )
        expect(tab.frame.locator(".fx-now b")).to_have_text("id")
        assert tab.step_name() == "step 5"


def test_code_that_cannot_be_loaded_is_tried_again(browser: Browser, board: Board) -> None:
    tab = Tab(browser, board.url, link(view="overview"))
    tab.wait_for("Overview")
    for lost, view in (("/maps.js", "Maps"), ("/quality.js", "Quality")):
        tab.page.route(re.compile(lost), lambda route: route.abort())
        tab.view(view)
        expect(tab.frame.get_by_text(f"The code of “{view}” could not be loaded")).to_be_visible()
        tab.page.unroute(re.compile(lost))
        tab.frame.get_by_role("button", name="Retry").click()
        tab.wait_for(view)
    tab.context.close()


def test_help_and_lists_that_cannot_be_loaded_are_tried_again(
    browser: Browser, board: Board
) -> None:
    """They come as a file of their own; a list takes the focus also when it comes late."""
    context = browser.new_context()
    context.route(re.compile("extras.js"), lambda route: route.abort())
    page = context.new_page()
    page.goto(f"{board.url}#xai{DIGITS}")
    frame = page.frame_locator("iframe[src*='plugin_entry.html?name=xai']")
    runs = frame.get_by_role("button", name=re.compile("^Run"))
    runs.click(timeout=30_000)
    expect(frame.get_by_text("The code of the list of runs could not be loaded")).to_be_visible()
    context.unroute(re.compile("extras.js"))
    frame.get_by_role("dialog").get_by_role("button", name="Retry").press("Enter")
    expect(frame.get_by_role("searchbox", name=re.compile("Filter runs"))).to_be_visible()
    expect(frame.get_by_role("radio", name="digits")).to_be_checked()
    page.keyboard.press("Escape")
    runs.press("Enter")
    expect(frame.get_by_role("searchbox", name=re.compile("Filter runs"))).to_be_focused()
    page.keyboard.press("Escape")
    expect(runs).to_be_focused()
    frame.get_by_role("button", name="Keys and help").press("Enter")
    expect(frame.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(frame.get_by_role("button", name="Keys and help")).to_be_focused()
    context.close()


@pytest.mark.parametrize("lost", ["figures.js", "series.js"])
def test_code_that_views_share_is_tried_again(browser: Browser, board: Board, lost: str) -> None:
    context = browser.new_context()
    context.route(re.compile(lost), lambda route: route.abort())
    page = context.new_page()
    page.goto(f"{board.url}#xai")
    frame = page.frame_locator("iframe[src*='plugin_entry.html?name=xai']")
    expect(frame.get_by_text("could not be loaded")).to_be_visible(timeout=30_000)
    context.unroute(re.compile(lost))
    frame.get_by_role("button", name="Retry").click()
    expect(frame.locator(DRAWN["Overview"]).first).to_be_visible(timeout=20_000)
    context.close()


def test_the_page_works_below_a_path_prefix(open_tab: Callable[..., Tab], tmp_path: Path) -> None:
    log = make_log(tmp_path, runs=["digits"], steps=2)
    log_layers(log / "layers", 2)
    log_words(log / "reviews", 2, 3)
    with tensorboard("--logdir", log, "--path_prefix", "/some/where") as moved:
        assert "/some/where/" in moved.url
        tab = open_tab(url=moved.url)
        for view in VIEWS:
            tab.view(view)
            tab.wait_for(view)


def test_features_tell_values_with_their_intervals(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(TABLE)
    tab.view("Features")
    tab.frame.locator("canvas").first.wait_for()
    text = tab.frame.locator("body").inner_text()
    assert "texture" in text
    assert "unused" in text


def test_a_filter_of_texts_starts_at_its_first_page(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(of("Text"))
    tab.wait_for("Text")
    texts = tab.frame.locator(".tx-example")
    expect(texts).to_have_count(20)
    tab.frame.get_by_role("button", name="Show 10 more").click()
    expect(texts).to_have_count(30)
    search = tab.frame.get_by_role("searchbox", name=re.compile("Search texts"))
    search.fill("review")
    expect(texts).to_have_count(20)
    search.fill("film2")
    expect(texts).to_have_count(11)


def test_details_of_a_text_follow_the_axis(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(of("Text"))
    tab.wait_for("Text")
    side = tab.frame.locator(".tx-side")
    expect(side).to_contain_text("over steps:")
    tab.press("a")
    expect(side).to_contain_text("over epochs:")
    tab.press("a")
    expect(side.get_by_role("heading", name="Words by time since first step")).to_be_visible()


def test_hostile_names_are_text(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(link(run="digits"))
    said: list[str] = []
    tab.page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    tab.wait_for("Overview")
    expect(tab.frame.get_by_text(HOSTILE_TAG).first).to_be_visible()
    tab.view("Maps")
    tab.wait_for_maps()
    tab.frame.get_by_label("Method").select_option(HOSTILE_TAG)
    tab.wait_for_maps()
    tab.view("Features")
    tab.page.wait_for_timeout(1000)
    assert not said
    assert tab.frame.locator("img[src='x']").count() == 0


def test_names_of_300_characters_leave_every_view_in_its_width(
    open_tab: Callable[..., Tab], tmp_path: Path
) -> None:
    def long(of: object) -> str:
        return f"<i class=evil>{of}</i>" + "x" * 300

    writer = summary.writer(tmp_path / "long")
    rows, pictures = flat_probe(6), image_probe(6)
    for probe in (rows, pictures):
        probe.meta["example_names"] = [long(i) for i in range(6)]
        probe.meta["class_names"] = [long(i) for i in range(10)]
    rows.meta["feature_names"] = {"x": [long(name) for name in FEATURES]}
    assert pictures.labels is not None
    hashes = [writer.write_probe(probe) for probe in (rows, pictures)]
    for step in range(3):
        progress = step / 2
        writer.write(importance(step, progress=progress, probe=hashes[0]))
        values = image_values(pictures, progress, step)
        common: dict[str, Any] = {"progress": progress, "probe": hashes[1], "additive": True}
        writer.write(attribution("saliency", step, values, pictures.labels, **common))
    writer.close()
    log_layers(tmp_path / "layers", names=[long("conv"), f"{long('block')}/{long('head')}"])
    with tensorboard("--logdir", tmp_path) as served:
        tab = open_tab(url=served.url)
        for view in VIEWS[:-1]:
            to = link(view=view.lower(), run="layers" if view == "Health" else "long")
            tab.page.evaluate("hash => { location.hash = hash; }", f"xai{to}")
            tab.wait_for(view)
            if view == "Maps":
                tab.wait_for_maps()
            for width in (320, 1400):
                tab.page.set_viewport_size({"width": width, "height": 900})
                tab.page.wait_for_timeout(300)
                # lines of code, tables and the maps scroll for themselves, nothing else does
                wide = """[...document.querySelectorAll("html, #page, #page *")].filter(one =>
                    (one === document.documentElement ||
                        /auto|scroll/.test(getComputedStyle(one).overflowX)) &&
                    !one.matches("pre, .grid, .ql-scroll") &&
                    one.scrollWidth > one.clientWidth).map(one => one.tagName + one.className)"""
                assert tab.inner.evaluate(wide) == [], (view, width)
            assert tab.frame.locator(".evil").count() == 0


def test_an_empty_log_shows_the_lines_to_add(open_tab: Callable[..., Tab], tmp_path: Path) -> None:
    writer = summary.writer(tmp_path / "run")
    writer.scalars({"loss": 1.0}, 0)
    writer.close()
    with tensorboard("--logdir", tmp_path) as empty:
        page = open_tab_without_data(open_tab, empty)
        expect(page.frame.get_by_text("No explanations are logged yet")).to_be_visible()
        expect(page.frame.get_by_text("SaliencyCallback(").first).to_be_visible()


def open_tab_without_data(open_tab: Callable[..., Tab], empty: Board) -> Tab:
    """TensorBoard lists a tab without data as inactive; its link opens it all the same."""
    return open_tab(url=empty.url)


def test_a_failed_request_says_so_and_can_be_tried_again(browser: Browser, board: Board) -> None:
    tab = Tab(browser, board.url, DIGITS)
    tab.wait_for_maps()
    tab.page.route(
        re.compile("/attributions"),
        lambda route: route.fulfill(
            status=500, content_type="text/plain", body="The disk is gone."
        ),
    )
    tab.frame.get_by_label("Method").select_option("grad_cam")
    expect(tab.frame.get_by_text("The disk is gone.").first).to_be_visible()
    tab.page.unroute(re.compile("/attributions"))
    tab.frame.get_by_role("button", name="Retry").first.click()
    tab.wait_for_maps()
    tab.context.close()


def test_a_new_step_appears_while_the_page_is_open(
    open_tab: Callable[..., Tab], tmp_path: Path
) -> None:
    probe = image_probe(4, 8)
    assert probe.labels is not None
    writer = summary.writer(tmp_path / "live")
    hash_ = writer.write_probe(probe)

    def log(step: int) -> None:
        values = image_values(probe, step / 4, step)
        assert probe.labels is not None
        writer.write(
            attribution(
                "saliency", step, values, probe.labels, progress=step / 4, probe=hash_,
                wall_time=time.time(),
            )
        )  # fmt: skip

    log(0)
    log(1)
    with tensorboard("--logdir", tmp_path) as live:
        tab = open_tab(url=live.url)
        expect(tab.frame.get_by_text("2 steps, 0 to 1").first).to_be_visible(timeout=20_000)
        log(2)
        expect(tab.frame.get_by_text("3 steps, 0 to 2").first).to_be_visible(timeout=20_000)
        tab.view("Maps")
        tab.wait_for_maps()
        assert tab.step_name() == "step 2"
        log(3)
        expect(tab.frame.locator("output.step-name b")).to_have_text("step 3", timeout=20_000)
        tab.press("Home")
        log(4)
        expect(tab.frame.locator("output.step-name")).to_contain_text("of 5", timeout=20_000)
        assert tab.step_name() == "step 0, untrained", "a cursor that was placed must stay"
    writer.close()
    assert reader.open(str(tmp_path)).steps("live", "saliency") == [0, 1, 2, 3, 4]


def test_a_card_has_score_features_examples_and_what_is_not_logged(
    open_tab: Callable[..., Tab],
) -> None:
    tab = open_tab(link(view="overview"))
    card = tab.frame.get_by_role("article", name="Run digits")
    score = card.get_by_role("img", name=re.compile("^log_loss over steps"))
    expect(score).to_have_attribute(
        "aria-label", re.compile(r"0\.09 to 0\.69, 0\.09 at step 5$"), timeout=20_000
    )
    mean = importance(5, progress=1.0, probe="").figures["mean"]
    strongest = [FEATURES[f] for f in np.argsort(-mean)[:6]]
    top = card.locator("section").filter(has_text="Top features")
    expect(top.locator(".ov-bars .name")).to_have_text(strongest)
    # predictions turn one after the other: the last ones moved last
    moved = card.locator(".ov-moved a")
    expect(moved.locator(".name")).to_have_text(
        [f"digit {i % 10} ({i})" for i in range(15, 10, -1)]
    )
    expect(moved.first).to_contain_text("6 ✗ (wrong) → 5 ✓ (right) at step 5")
    absent = card.locator("details").filter(has_text="Health of the layers")
    absent.locator("summary").press("Enter")
    lines = absent.get_by_role("region", name="Lines to add")
    expect(lines).to_contain_text('ModelHealthCallback("logs/digits", x_val[:64], y_val[:64])')
    expect(card.locator(".ov-logged")).to_contain_text("grad_cam")
    moved.first.press("Enter")
    expect(tab.frame.get_by_role("dialog")).to_contain_text("digit 5 (15), step 5", timeout=15_000)
    # health, in the run that logs it, and the way to all of it
    tab = open_tab(link(view="overview"))
    strip = tab.frame.get_by_role("article", name="Run layers")
    expect(strip.locator(".ov-layers").first).to_contain_text("dead since step 3", timeout=20_000)
    strip.get_by_role("link", name="Show all layers").press("Enter")
    tab.wait_for("Health")


def test_one_cursor_stands_on_the_exact_steps_of_all_runs_and_views(
    open_tab: Callable[..., Tab], tmp_path: Path
) -> None:
    logged = {"one": [0, 10, 20, 40], "two": [0, 5, 20, 30]}
    for run, steps in logged.items():
        make_log(tmp_path, (run,), steps, hostile=False, damage=False)
    with tensorboard("--logdir", tmp_path) as served:
        served.until(lambda: served.steps("two", "integrated_gradients") == logged["two"])
        served.until(lambda: served.steps("one", "integrated_gradients") == logged["one"])
        tab = open_tab(link(view="features", run="one"), url=served.url)
        tab.wait_for("Features")
        seen = []
        tab.press("Home")
        while True:
            seen.append(tab.step_name().split()[1].strip(","))
            if seen[-1] == "40":
                break
            tab.press("ArrowRight")
        assert seen == ["0", "5", "10", "20", "30", "40"]
        tab.press("ArrowLeft")
        now = tab.frame.locator(".fx-now")
        # the run in front was last logged at 20, the other one is there
        expect(now).to_contain_text("at step 20: ")
        assert tab.step_name() == "step 30"
        tab.press("4")
        expect(tab.frame.locator(".ql-focus thead")).to_contain_text("at step 30", timeout=20_000)
        assert tab.step_name() == "step 30"
        tab.press("2")
        tab.wait_for_maps()
        assert tab.step_name() == "step 20", "Maps is of one run: its last step until there"
        tab.frame.get_by_role("button", name="Columns").press("Enter")
        tab.frame.get_by_role("combobox", name="Columns").select_option("runs")
        tab.page.keyboard.press("Escape")
        tab.wait_for_maps()
        assert tab.step_name() == "step 30"
        told = tab.cells()
        assert any("one, step 30, not logged: " in t and "steps are 20 and 40" in t for t in told)
        assert any(re.search(r"two, step 30, .*peak", one) for one in told)


def test_space_plays_the_steps_until_the_last(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(DIGITS)
    tab.wait_for_maps()
    tab.press("Home")
    tab.page.keyboard.press(" ")
    expect(tab.frame.get_by_role("button", name="Pause")).to_be_visible()
    name = tab.frame.locator("output.step-name b")
    expect(name).to_have_text("step 2", timeout=10_000)
    tab.page.keyboard.press(" ")
    expect(tab.frame.get_by_role("button", name="Play the steps")).to_be_visible()
    paused = tab.step_name()
    tab.page.keyboard.press(" ")
    expect(name).to_have_text("step 5", timeout=10_000)
    expect(tab.frame.get_by_role("button", name="Play the steps")).to_be_visible()
    assert paused != "step 5"


def test_settings_are_remembered_and_what_is_shown_is_not(
    open_tab: Callable[..., Tab], board: Board
) -> None:
    tab = open_tab(DIGITS)
    tab.wait_for_maps()
    tab.frame.get_by_label("Scale").select_option("shared")
    tab.press("Home")
    tab.page.wait_for_timeout(300)
    again = tab.context.new_page()
    again.goto(f"{board.url}#xai")
    frame = again.frame_locator("iframe[src*='plugin_entry.html?name=xai']")
    expect(frame.get_by_role("tab", name="Overview")).to_have_attribute(
        "aria-selected", "true", timeout=30_000
    )
    frame.get_by_role("tab", name="Maps").press("Enter")
    expect(frame.get_by_label("Scale")).to_have_value("shared", timeout=20_000)
    expect(frame.locator("output.step-name b")).to_have_text("step 5")


def test_runs_have_tensorboards_colours(open_tab: Callable[..., Tab], board: Board) -> None:
    tab = open_tab(link(view="overview"))
    tab.wait_for("Overview")
    swatches = (
        "heads => heads.map(h => getComputedStyle(h.querySelector('.swatch')).backgroundColor)"
    )
    names = tab.frame.locator(".ov-card h2").all_inner_texts()
    ours = dict(
        zip(
            [name.strip() for name in names],
            tab.frame.locator(".ov-card h2").evaluate_all(swatches),
            strict=True,
        )
    )
    assert len(set(ours.values())) == len(ours) == 4
    theirs = tab.context.new_page()
    theirs.goto(f"{board.url}#timeseries")
    for name, colour in ours.items():
        row = theirs.locator("tb-data-table-content-row").filter(has_text=f"{name}/xai")
        swatch = row.locator(".run-color-swatch")
        expect(swatch).to_have_css("background-color", colour, timeout=30_000)


def test_a_live_log_leaves_everything_in_its_place(
    open_tab: Callable[..., Tab], tmp_path: Path
) -> None:
    make_log(tmp_path, ("digits",), 3, hostile=False, damage=False)
    writer = summary.writer(tmp_path / "digits")
    probe = image_probe(16, 8)
    assert probe.labels is not None
    hash_ = writer.write_probe(probe)

    def log(step: int) -> None:
        values = image_values(probe, 1.0, step)
        assert probe.labels is not None
        common: dict[str, Any] = {"progress": 1.0, "probe": hash_, "wall_time": time.time()}
        writer.write(attribution("saliency", step, values, probe.labels, **common))
        rows = writer.write_probe(flat_probe(16))
        writer.write(importance(step, progress=1.0, probe=rows, wall_time=time.time()))

    with tensorboard("--logdir", tmp_path) as live:
        there = link(view="maps", run="digits", maps__tag="saliency", step="1")
        tab = open_tab(there, url=live.url, viewport={"width": 1000, "height": 500})
        tab.wait_for_maps()
        tab.frame.locator("[role=gridcell][tabindex='0']").focus()
        for _ in range(7):
            tab.page.keyboard.press("ArrowDown")
        focused = tab.frame.locator("[role=gridcell]:focus")
        expect(focused).to_have_attribute("aria-label", re.compile(r"^digit 7 \(7\), step 1,"))
        place = "document.querySelector('.grid').scrollTop"
        scrolled = tab.inner.evaluate(place)
        assert scrolled > 100
        log(3)
        expect(tab.frame.locator("output.step-name")).to_contain_text("of 4", timeout=20_000)
        assert tab.step_name() == "step 1"
        assert tab.inner.evaluate(place) == scrolled
        expect(focused).to_have_attribute("aria-label", re.compile(r"^digit 7 \(7\), step 1,"))
        tab.view("Features")
        tab.wait_for("Features")
        search = tab.frame.get_by_role("searchbox", name=re.compile("Search features"))
        search.fill("a")
        tab.inner.evaluate("document.querySelector('.fx-swarm').scrollIntoView()")
        search.evaluate("one => one.focus({ preventScroll: true })")
        top = "document.querySelector('.fx-swarm').getBoundingClientRect().top"
        before = tab.inner.evaluate(top)
        log(4)
        expect(tab.frame.locator("output.step-name")).to_contain_text("of 5", timeout=20_000)
        expect(search).to_be_focused()
        expect(search).to_have_value("a")
        assert tab.inner.evaluate(top) == before
        assert tab.step_name() == "step 1"
    writer.close()


def test_a_log_that_changes_while_it_is_read_says_what_is_missing(
    open_tab: Callable[..., Tab], tmp_path: Path
) -> None:
    make_log(tmp_path, ("digits",), 3, hostile=False, damage=False)
    with tensorboard("--logdir", tmp_path) as served:
        served.until(lambda: served.steps("digits", "saliency") == [0, 1, 2])
        tab = open_tab(DIGITS, url=served.url)
        tab.wait_for_maps()
        for file in (tmp_path / "digits").rglob("grad_cam*.safetensors"):
            file.unlink()
        tab.frame.get_by_label("Method").select_option("grad_cam")
        gone = tab.frame.locator("[role=gridcell][aria-label*='missing']")
        expect(gone.first).to_be_visible(timeout=20_000)
        tab.frame.get_by_label("Method").select_option("integrated_gradients")
        tab.wait_for_maps()
        assert not any("missing" in told for told in tab.cells())
        # a training that starts anew in the same place writes its steps again
        peak = tab.frame.locator("[role=gridcell][data-row='3'][aria-label*='step 2']")
        first = peak.get_attribute("aria-label") or ""
        probe = image_probe(16, 8)
        assert probe.labels is not None
        writer = summary.writer(tmp_path / "digits")
        hash_ = writer.write_probe(probe)
        values = 77 * image_values(probe, 1.0, 2)
        record = attribution(
            "integrated_gradients", 2, values, probe.labels,
            progress=1.0, probe=hash_, additive=True, wall_time=time.time(),
        )  # fmt: skip
        writer.write(record)
        writer.close()
        expect(peak).not_to_have_attribute("aria-label", first, timeout=20_000)
        said = re.search(r"peak (\S+)$", peak.get_attribute("aria-label") or "")
        assert said is not None
        assert float(said[1]) == pytest.approx(np.abs(values[3]).max(), rel=0.01)


def test_a_log_of_a_newer_version_is_named_and_not_guessed(
    open_tab: Callable[..., Tab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_log(tmp_path, ("digits",), 2, hostile=False, damage=False)
    with monkeypatch.context() as later:
        later.setattr(summary, "VERSION", summary.VERSION + 1)
        log_layers(tmp_path / "tomorrow")
    with tensorboard("--logdir", tmp_path) as served:
        tab = open_tab(url=served.url)
        notice = tab.frame.locator("details.notice")
        expect(notice).to_contain_text("One tag is logged but not shown", timeout=20_000)
        notice.locator("summary").press("Enter")
        expect(notice).to_contain_text(
            "tomorrow, model_health: written by version 2 of the format; this tb_xai reads up to 1"
        )
        tab.wait_for("Overview")


@pytest.mark.parametrize("how", ["500", "not at all"])
@pytest.mark.parametrize("view", VIEWS)
def test_each_view_says_that_the_server_fails_and_is_tried_again_by_keyboard(
    browser: Browser, board: Board, view: str, how: str
) -> None:
    tab = Tab(browser, board.url, link(view="maps" if view != "Maps" else "features", run="digits"))
    data = re.compile(r"/plugin/xai/(attributions|series|findings|probe|drift)")

    def fail(route: Route) -> None:
        if how == "500":
            route.fulfill(status=500, content_type="text/plain", body="The disk is gone.")
        else:
            route.abort()

    tab.page.route(data, fail)
    tab.page.evaluate("hash => { location.hash = hash; }", f"xai{of(view)}")
    words = "The disk is gone." if how == "500" else "TensorBoard does not answer"
    expect(tab.frame.get_by_text(words).first).to_be_visible(timeout=20_000)
    tab.frame.get_by_role("tab", name=view, exact=True).focus()
    tab.page.unroute(data)
    tab.frame.get_by_role("button", name="Retry").first.press("Enter")
    tab.wait_for(view)
    tab.context.close()


def test_a_server_that_stays_silent_is_given_up_and_asked_again(
    browser: Browser, board: Board
) -> None:
    tab = Tab(browser, board.url, DIGITS)
    tab.wait_for_maps()
    tab.inner.evaluate(  # a minute passes in a second
        """() => {
            const own = window.setTimeout;
            window.setTimeout = (call, wait, ...more) => own(call, wait / 60, ...more);
        }"""
    )
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)  # and never answer

    tab.page.route(re.compile(r"/series\?"), hold)
    tab.view("Features")
    expect(tab.frame.get_by_text("Loading feature importance…")).to_be_visible()
    expect(tab.frame.get_by_text("TensorBoard has not answered for 60 s")).to_be_visible()
    tab.page.unroute(re.compile(r"/series\?"))
    tab.frame.get_by_role("button", name="Retry").press("Enter")
    tab.wait_for("Features")
    assert held
    tab.context.close()


@pytest.mark.parametrize("view", VIEWS)
def test_high_contrast_and_reduced_motion_in_every_view(
    open_tab: Callable[..., Tab], view: str
) -> None:
    tab = open_tab(of(view), forced_colors="active", reduced_motion="reduce", contrast="more")
    tab.wait_for(view)
    assert not tab.axe()
    moving = tab.inner.evaluate(
        "document.getAnimations().filter(a => a.playState === 'running').length"
    )
    assert moving == 0
    # what is chosen is more than a colour that such a theme takes away
    chosen = tab.frame.get_by_role("tab", name=view, exact=True)
    looks = "one => getComputedStyle(one).borderBottom + getComputedStyle(one).fontWeight"
    other = tab.frame.get_by_role("tab", selected=False).first
    assert chosen.evaluate(looks) != other.evaluate(looks)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_taken_along_in_every_kind_of_file(
    open_tab: Callable[..., Tab], view: str
) -> None:
    run = RUN.get(view, "digits")
    tab = open_tab(of(view) + link(step="1") + link(runs=json.dumps([run])))
    tab.wait_for(view)
    if view == "Maps":
        tab.wait_for_maps()
    tab.frame.get_by_role("button", name="Export").press("Enter")
    panel = tab.frame.get_by_role("dialog", name="Export")
    expect(panel.get_by_role("button", name="JSON", exact=True)).to_be_visible(timeout=15_000)
    picture = np.asarray(Image.open(io.BytesIO(tab.take("PNG"))).convert("RGB"), int)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50, "charts and words are in it"
    words = [
        "".join(e.itertext())
        for e in ET.fromstring(tab.take("SVG")).iter()
        if e.tag.endswith("}text")
    ]
    printed = " ".join(words)
    answer = json.loads(tab.take("JSON"))
    assert f"p.xai.view={view.lower()}" in answer["link"]
    assert answer["data"]
    tag = {
        "Maps": "integrated_gradients", "Features": "permutation_importance",
        "Quality": "integrated_gradients", "Health": "model_health", "Text": "integrated_gradients",
    }.get(view)  # fmt: skip
    if tag:  # the overview is of all tags and steps
        for said in (printed, " ".join(answer["shown"])):
            assert f"Method: {tag}" in said
            assert "Cursor: step 1" in said
    assert f": {run}" in printed
    scale = {"Overview": "", "Maps": "Colours: ", "Features": "Scale: ", "Text": "Scale: "}
    assert scale.get(view, "Measure: ") in printed
    rows = list(csv.DictReader(io.StringIO(tab.take("CSV").decode())))
    if view == "Overview":
        assert {row["run"] for row in rows} <= {run}
    else:
        assert {row["run"] for row in rows} == {run}
        assert tag in {row["tag"] for row in rows}
        assert "1" in {row["step"] for row in rows}
