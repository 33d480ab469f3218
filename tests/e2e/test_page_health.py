"""The Health view in a real browser, over logs whose figures are known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tb_xai import summary
from tests.e2e.board import Board, tensorboard
from tests.e2e.test_page import Tab, browser, link  # noqa: F401  (browser is a fixture)
from tests.e2e.test_page_maps import TABLES

pytestmark = pytest.mark.browser

LAYERS = ["conv_a", "backbone/conv_b", "<b>neck</b>", "head"]
STEPS = [0, 10, 20, 30, 40, 50]
DIED = 3  # row of the step at which the second layer is dead
EDGES = [10.0**e for e in range(-6, 1)]


def norms(step_row: int, faulty: bool) -> np.ndarray:
    """Gradient norms of one step: a decade apart from layer to layer, growing; zero once dead."""
    values = 10.0 ** (np.arange(4) - 3.0) * (1 + step_row)
    if faulty and step_row >= DIED:
        values[1] = 0
    return values


def record(row: int, faulty: bool) -> summary.Record:
    """A record as `ModelHealthCallback` writes it."""
    dead = np.array([0.0, 1.0 if faulty and row >= DIED else 0.1, 0.0, np.nan])
    histogram = np.zeros((4, len(EDGES) + 1))
    histogram[:, 4] = (row + 1) / len(STEPS)
    histogram[:, 2] = 1 - histogram[:, 4]
    states = ["healthy", "dead" if faulty and row >= DIED else "healthy", "healthy", "healthy"]
    figures = {
        "gradient_norm": norms(row, faulty),
        "weight_norm": np.full(4, 3.0),
        "update_ratio": np.full(4, np.nan if row == 0 else 1e-2),
        "activation_mean": np.array([-1.0, 0.0, 0.5, 2.0]) * (row + 1),
        "activation_variance": np.full(4, 0.5),
        "saturated": np.full(4, np.nan),
        "dead": dead,
        "spectral_norm": np.full(4, 2.0),
        "stable_rank": np.full(4, 1.5),
        "noise_scale": np.full(4, np.nan),
        "gradient_histogram": histogram,
    }
    meta = {
        "method": "model_health", "signed": False, "additive": False, "seconds": 0.1,
        "epoch": float(row), "probe": "", "layers": LAYERS, "states": states, "n": 64,
        "dead_bound": 3 / 64, "histogram_edges": EDGES,
        "thresholds": {"vanishing": 1e-4, "exploding": 1e3, "exploding_update": 10.0,
                       "dead": 0.5, "saturated": 0.5},
    }  # fmt: skip
    arrays = {name: np.asarray(value, np.float32) for name, value in figures.items()}
    arrays["not_finite"] = np.zeros(4, np.int32)
    if row == 0 and faulty:
        arrays["gradient_check"] = np.array([0.66, 3e-4, 2e-9, np.nan], np.float32)
    return summary.Record("model_health", STEPS[row], 1.7e9 + row, "health", meta, arrays)


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """TensorBoard on a run whose layer dies and one that is well."""
    log = tmp_path_factory.mktemp("health")
    for run in ("dies", "fine"):
        writer = summary.writer(log / run)
        for row in range(len(STEPS)):
            writer.write(record(row, run == "dies"))
        writer.close()
    with tensorboard("--logdir", log) as served:
        yield served


@pytest.fixture
def open_tab(browser: Browser, board: Board) -> Iterator[Callable[..., Tab]]:  # noqa: F811
    """Open our tab at a link; the browser must not have complained when the test ends."""
    tabs: list[Tab] = []

    def open_at(more: str = "", **context: Any) -> Tab:
        tabs.append(Tab(browser, board.url, link(view="health") + more, **context))
        tabs[-1].frame.locator(".hx-matrix canvas").first.wait_for(timeout=20_000)
        return tabs[-1]

    yield open_at
    for tab in tabs:
        tab.context.close()
    assert not [complaint for tab in tabs for complaint in tab.complaints]


ONE = link(runs="%5B%22dies%22%5D")


def test_a_gradient_that_was_checked_has_its_words(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab("&p.xai.run=dies")
    rows = tab.frame.get_by_role("region", name="Gradient check").get_by_role("row")
    assert [row.split("\t") for row in rows.all_inner_texts()] == [
        ["conv_a", "0.66", "✕ not the derivative"],
        ["backbone/conv_b", "0.0003", "~ a kink nearby"],
        ["<b>neck</b>", "2.0e−9", "✓ right"],
    ]
    tab = open_tab("&p.xai.run=fine")
    tab.frame.get_by_text("Is the gradient itself right?").press("Enter")
    expect(tab.frame.get_by_text("gradient_check=True")).to_be_visible()


def test_the_screen_says_which_layer_died_and_when(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab()
    verdicts = tab.frame.locator(".hx-verdicts").first
    expect(verdicts).to_contain_text(re.compile(r"dead from step 30\s*:\s*backbone/conv_b"))
    expect(tab.frame.get_by_text("All 4 layers healthy at all 6 steps")).to_be_visible()
    facts = tab.frame.get_by_role("region", name="Layer at the cursor")
    expect(facts).to_contain_text("backbone/conv_b")
    expect(facts).to_contain_text("0 of 64 examples: it fires for at most 4.69 % of all")
    # Markup in a layer's name is a name.
    assert tab.frame.locator(".hx b:text-is('neck')").count() == 0


def test_cells_have_the_colours_of_a_numpy_rendering(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(ONE)
    # The middle of each cell, by the layout that the page documents: 24 pixels a row.
    pixels = tab.frame.locator(".hx-matrix canvas").first.evaluate(
        """(canvas, [layers, steps]) => {
            const ratio = canvas.width / canvas.clientWidth;
            const left = Math.min(230, Math.max(86, canvas.clientWidth * 0.2));
            const right = canvas.clientWidth < 560 ? 20 : 160;
            const wide = (canvas.clientWidth - Math.round(left) - right) / steps;
            const context = canvas.getContext("2d"), found = [];
            for (let l = 0; l < layers; l++) for (let t = 0; t < steps; t++) {
                const x = (Math.round(left) + (t + 0.5) * wide) * ratio;
                const y = (4 + (l + 0.5) * 24) * ratio;
                found.push([...context.getImageData(Math.round(x), Math.round(y), 1, 1).data]);
            }
            return found;
        }""",
        [4, 6],
    )
    found = np.array(pixels, float).reshape(4, 6, 4)
    values = np.stack([norms(row, True) for row in range(6)], axis=1)
    values = values.astype(np.float32).astype(float)
    low, high = np.log10(values[values > 0].min()), np.log10(values.max())
    with np.errstate(divide="ignore"):
        share = 0.06 + 0.94 * (np.log10(values) - low) / (high - low)
    index = np.where(values > 0, np.floor(share * 255 + 0.5), 0).astype(int)
    plain = np.ones((4, 6), bool)
    plain[1, DIED:] = False  # a word stands there
    assert np.ptp(index[plain]) > 200, "the case must not be trivial"
    assert (found[..., 3] == 255).all()
    np.testing.assert_array_equal(found[..., :3][plain], TABLES["viridis"][index][plain])


def test_the_histogram_has_the_colours_of_its_shares_and_moves_the_cursor(
    open_tab: Callable[..., Tab],
) -> None:
    tab = open_tab(ONE)
    chart = tab.frame.get_by_role("img", name=re.compile("^Histogram of the absolute gradient"))
    figure = tab.frame.locator(".hx-figure").filter(has=chart)
    expect(figure).to_contain_text("100 % of the entries")
    tab.page.wait_for_timeout(300)
    # the middle of each cell, by the layout that the page documents: the largest bin on top
    pixels = chart.locator("canvas").first.evaluate(
        """(canvas, [bins, steps]) => {
            const { clientWidth: width, clientHeight: height } = canvas, found = [];
            const ratio = canvas.width / width, context = canvas.getContext("2d");
            for (let b = 0; b < bins; b++) for (let t = 0; t < steps; t++) {
                const x = (58 + ((t + 0.3) * (width - 70)) / steps) * ratio;
                const y = (8 + ((b + 0.5) * (height - 30)) / bins) * ratio;
                found.push([...context.getImageData(x, y, 1, 1).data]);
            }
            return found;
        }""",
        [3, 6],
    )
    found = np.array(pixels, int).reshape(3, 6, 4)
    logged = record(0, True).figures["gradient_histogram"].shape
    assert logged == (4, len(EDGES) + 1)
    shares = np.stack([record(row, True).figures["gradient_histogram"][1] for row in range(6)], 1)
    # ColorBrewer's RdBu below zero, from the white panel
    anchors = np.array(
        [(255, 255, 255), (209, 229, 240), (146, 197, 222), (67, 147, 195), (33, 102, 172),
         (5, 48, 97)], float,
    )  # fmt: skip
    at = np.floor(255 * shares[4:1:-1].astype(float) + 0.5) / 255
    colours = [np.interp(at, np.linspace(0, 1, 6), anchors[:, c]) for c in range(3)]
    np.testing.assert_array_equal(found[..., :3], np.floor(np.stack(colours, -1) + 0.5))
    assert np.ptp(at) == 1, "the case must not be trivial"
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": 58 + (box["width"] - 70) * 1.5 / 6, "y": 60})
    assert tab.step_name().startswith("step 10")


def test_a_click_moves_the_cursor_and_the_keyboard_goes_on(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(ONE)
    tab.frame.get_by_role("button", name="backbone/conv_b").click()
    assert tab.step_name().startswith("step 30")
    cell = tab.frame.get_by_role("gridcell")
    cell.focus()
    expect(cell).to_have_attribute("aria-label", re.compile(r"backbone/conv_b, step 30.*dead, "))
    for key, said in (
        ("ArrowUp", "conv_a, step 30"),
        ("ArrowLeft", "conv_a, step 20"),
        ("End", "conv_a, step 50"),
        ("PageDown", "head, step 50"),
        ("Home", "head, step 0"),
    ):
        cell.press(key)
        expect(cell).to_have_attribute("aria-label", re.compile(f"^{said}"))
    assert tab.step_name().startswith("step 0")
    box = tab.frame.locator(".hx-matrix").bounding_box()
    assert box is not None
    tab.page.mouse.click(box["x"] + box["width"] * 0.5, box["y"] + 4 + 12)
    expect(cell).to_have_attribute("aria-label", re.compile("^conv_a, step [2-4]0"))
    step = re.search(r"step (\d+)", cell.get_attribute("aria-label") or "")
    assert step
    assert tab.step_name().startswith(step[0])


def test_every_measure_is_drawn_and_the_link_holds_it(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(ONE)
    picker = tab.frame.get_by_label("Measure")
    for measure in picker.locator("option").evaluate_all("o => o.map(x => x.value)"):
        picker.select_option(measure)
        expect(tab.frame.locator(".hx-figure canvas").first).to_be_visible()
    picker.select_option("activation_mean")
    expect(tab.frame.locator(".hx-legend")).to_contain_text("both sides of 0")
    tab.page.wait_for_timeout(500)
    assert "p.xai.health.measure=activation_mean" in tab.page.url


def test_the_graph_of_the_model_is_a_link_to_tensorboards_tab(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(ONE)
    tab.frame.get_by_role("link", name="Graph of the model").press("Enter")
    tab.page.wait_for_url("**/#graphs")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(open_tab: Callable[..., Tab], theme: str) -> None:
    tab = open_tab()
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
    for details in tab.frame.locator("details").all():
        details.locator("summary").click()
    tab.page.wait_for_timeout(600)
    found = tab.axe()
    assert not found, json.dumps(found, indent=1)


def test_a_narrow_window_has_no_sideways_scroll(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(viewport={"width": 320, "height": 700})
    tab.page.wait_for_timeout(400)
    over = tab.inner.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0


def test_a_log_that_lost_a_file_says_which_step(browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    writer = summary.writer(tmp_path / "wide")
    many = [f"block_{i // 10}/dense_{i}" for i in range(220)]
    for row in range(3):
        base = record(row, True)
        figures = {n: np.repeat(a[:1], len(many), axis=0) for n, a in base.figures.items()}
        meta = {**base.meta, "layers": many, "states": ["healthy"] * len(many)}
        writer.write(summary.Record(base.tag, base.step, base.wall_time, "health", meta, figures))
    writer.close()
    files = sorted((tmp_path / "wide").rglob("*.safetensors"))
    with tensorboard("--logdir", tmp_path) as served:
        if files:  # 220 layers are too many for an event
            files[1].unlink()
        tab = Tab(browser, served.url, link(view="health"))
        tab.frame.locator(".hx-matrix canvas").first.wait_for(timeout=20_000)
        expect(tab.frame.locator("aside")).to_contain_text("block_0/dense_0")
        if files:
            tab.frame.get_by_label("Previous step").click()
            expect(tab.frame.locator(".hx-facts .notice")).to_contain_text("missing")
        complaints = list(tab.complaints)
        tab.context.close()
    assert not complaints
