"""The Text view in a real browser, over a log whose words and values are known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tb_xai import summary
from tb_xai.summary import Probe, Record
from tests.e2e.board import Board, tensorboard
from tests.e2e.test_page import Tab, browser, link  # noqa: F401  (browser is a fixture)

pytestmark = pytest.mark.browser

HOSTILE = "<img src=x onerror=alert(1)>"
TOKENS = [
    ["a", "wonderful", "film", HOSTILE, "[pad]", "[pad]", "[pad]", "[pad]"],
    ["הסרט", "היה", "נפלא", "ומרגש", "[pad]", "[pad]", "[pad]", "[pad]"],
    ["never", "boring", "x" * 300, "and", "short", "but", "it", "ends"],
]
STEPS = [0, 1, 2, 3]
RED, BLUE = (178, 24, 43), (33, 102, 172)


def values(row: int) -> np.ndarray:
    """Words gain value with the steps; one example is all zero at first, one word is NaN later."""
    one = np.zeros((3, 8), np.float32)
    one[0, :4] = [0.1, row, -0.5 * row, -2.0]
    one[1, :4] = [0.5, -0.5, 1.0 + row, 0.0]
    one[2] = np.linspace(-row, row, 8)
    if row == 3:
        one[0, 2] = np.nan
    return one


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """TensorBoard on one run with texts of one input and of two."""
    log = tmp_path_factory.mktemp("text")
    rng = np.random.default_rng(0)
    ids = {"review": rng.integers(0, 9, (3, 8)), "title": rng.integers(0, 9, (3, 2))}
    tokens = {"review": TOKENS, "title": [["the", "title"]] * 3}
    names = {"example_names": ["good one", "rtl", "long"], "class_names": ["bad", "good"]}
    writer = summary.writer(log / "reviews")
    for tag, inputs in (("one_input", ["review"]), ("two_inputs", ["review", "title"])):
        meta = {**names, "feature_names": None, "tokens": {k: tokens[k] for k in inputs}}
        chosen = {k: ids[k] for k in inputs}
        probe = writer.write_probe(Probe(chosen, np.array([1, 1, 0]), meta))
        for row, step in enumerate(STEPS):
            figures = {
                "output": np.full(3, row, np.float32),
                "predicted": np.array([row > 1, 1, 0], np.int32),
                "confidence": np.full(3, 0.9, np.float32),
            }
            about = {
                "method": "integrated_gradients", "signed": True, "additive": True, "epoch": row,
                "score_name": "log-odds", "probe": probe, "seconds": 0.1,
                "inputs": {k: {"shape": [ids[k].shape[1]], "kind": "sequence"} for k in inputs},
            }  # fmt: skip
            maps = {"review": values(row), "title": np.full((3, 2), 0.25, np.float32)}
            arrays = {k: maps[k] for k in inputs}
            writer.write(Record(tag, step, 1.7e9 + row, "attribution", about, figures, arrays))
    writer.close()
    with tensorboard("--logdir", log) as served:
        yield served


@pytest.fixture
def open_tab(browser: Browser, board: Board) -> Iterator[Callable[..., Tab]]:  # noqa: F811
    """Open our tab at a link; the browser must not have complained when the test ends."""
    tabs: list[Tab] = []

    def open_at(tag: str = "one_input", more: str = "", **context: Any) -> Tab:
        there = link(view="text", text__tag=tag) + more
        tabs.append(Tab(browser, board.url, there, **context))
        tabs[-1].frame.locator(".tx-line:not(.plain)").first.wait_for(timeout=20_000)
        return tabs[-1]

    yield open_at
    for tab in tabs:
        tab.context.close()
    assert not [complaint for tab in tabs for complaint in tab.complaints]


def words_of(tab: Tab, example: str) -> list[str]:
    """What a screen reader is told of the words of an example at the cursor."""
    options = tab.frame.locator(f".tx-example[aria-label='{example}'] [role=option]")
    return [option.get_attribute("aria-label") or "" for option in options.all()]


def test_words_say_what_they_do_to_the_score_and_markup_is_inert(
    open_tab: Callable[..., Tab],
) -> None:
    tab = open_tab(more=link(step="2"))
    assert words_of(tab, "good one") == [
        "a: +0.1, raises the score", "wonderful: +2, raises the score",
        "film: −1, lowers the score", f"{HOSTILE}: −2, lowers the score", "[pad] × 4: 0",
    ]  # fmt: skip
    assert tab.frame.locator("img").count() == 0
    expect(tab.frame.locator(".tx-text").nth(1)).to_have_attribute("dir", "rtl")
    # The first word of a text that runs from right to left stands at the right.
    boxes = [
        tab.frame.locator(".tx-example").nth(1).locator("[role=option]").nth(i).bounding_box()
        for i in range(2)
    ]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["x"] > boxes[1]["x"]


def test_underlines_have_the_sign_as_colour_and_dashes_and_the_size_as_thickness(
    open_tab: Callable[..., Tab],
) -> None:
    tab = open_tab(more=link(step="2"))
    found = tab.frame.locator(".tx-example").first.locator("[role=option]").evaluate_all(
        """words => words.map(word => {
            const css = getComputedStyle(word);
            return [css.borderBottomWidth, css.borderBottomStyle, css.borderBottomColor];
        })"""
    )  # fmt: skip
    expected = values(2)[0][:4]
    peak = np.abs(expected).max()
    for (width, style, colour), value in zip(found, expected, strict=False):
        # Browsers round borders down to whole pixels of the screen.
        assert float(width.removesuffix("px")) == np.floor(1 + 4 * abs(value) / peak)
        assert style == ("solid" if value > 0 else "dashed")
        assert tuple(map(int, re.findall(r"\d+", colour))) == (RED if value > 0 else BLUE)
    assert found[4][0] == "0px"  # padding moves nothing


def test_states_have_words(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab()
    assert "film: not finite" in words_of(tab, "good one")
    tab.press("Home")
    assert tab.step_name() == "step 0, untrained"
    expect(tab.frame.locator(".tx-example[aria-label=long] .tx-state")).to_have_text("all zero")
    said = tab.frame.locator(".tx-example").first
    expect(said).to_contain_text("predicted bad (0.90), wrong")
    tab.press("End")
    expect(said).to_contain_text("changed once")


def test_words_are_walked_by_keyboard_and_show_their_curve(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(more=link(step="2"))
    words = tab.frame.locator(".tx-example").first.locator("[role=option]")
    words.nth(1).click()
    chosen = tab.frame.locator(".tx-chosen")
    expect(chosen).to_contain_text("wonderful")
    expect(chosen).to_contain_text("+2, raises the score at step 2, number 1 of 5 by size")
    tab.page.keyboard.press("ArrowRight")
    expect(words.nth(2)).to_be_focused()
    expect(chosen).to_contain_text("film")
    assert tab.step_name() == "step 2"  # arrows stay with the words; other keys move the cursor
    tab.page.keyboard.press(",")
    assert tab.step_name() == "step 1"
    expect(chosen).to_contain_text("−0.5, lowers the score at step 1")
    words.nth(0).hover()
    words.nth(1).hover()
    expect(chosen).to_contain_text("wonderful")


def test_the_matrix_has_the_colours_of_the_values_and_moves_the_cursor(
    open_tab: Callable[..., Tab],
) -> None:
    tab = open_tab(more=link(step="3", text__example="2"))
    canvas = tab.frame.locator(".tx-matrix canvas").first
    pixels = canvas.evaluate(
        """canvas => {
            const ratio = canvas.width / canvas.clientWidth, width = canvas.clientWidth;
            const left = Math.round(Math.min(150, Math.max(70, width * 0.26)));
            const context = canvas.getContext("2d"), found = [];
            for (let row = 0; row < 8; row++) for (let t = 0; t < 4; t++) {
                const x = (left + (t + 0.3) * (width - left - 8) / 4) * ratio;
                const y = (2 + (row + 0.5) * 16) * ratio;
                found.push([...context.getImageData(Math.round(x), Math.round(y), 1, 1).data]);
            }
            return found;
        }"""
    )
    found = np.array(pixels, int).reshape(8, 4, 4)[..., :3]
    share = np.stack([values(row)[2] for row in range(4)], axis=1) / 3
    # ColorBrewer's RdBu from the white panel: red above zero, blue below.
    anchors = {
        1: [(255, 255, 255), (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43),
            (103, 0, 31)],
        -1: [(255, 255, 255), (209, 229, 240), (146, 197, 222), (67, 147, 195), (33, 102, 172),
             (5, 48, 97)],
    }  # fmt: skip
    for row in range(8):
        for t in range(4):
            table = np.array(anchors[1 if share[row, t] >= 0 else -1], float)
            at = np.round(abs(share[row, t]) * 255) / 255
            expected = [np.interp(at, np.linspace(0, 1, 6), table[:, c]) for c in range(3)]
            assert np.abs(found[row, t] - expected).max() <= 1, (row, t)
    box = canvas.bounding_box()
    assert box is not None
    tab.page.mouse.click(box["x"] + box["width"] * 0.35, box["y"] + 10)
    assert tab.step_name() == "step 0, untrained"


def test_two_inputs_stand_under_each_other_and_search_finds_texts(
    open_tab: Callable[..., Tab],
) -> None:
    tab = open_tab("two_inputs")
    first = tab.frame.locator(".tx-example").first
    expect(first.locator("[role=listbox]")).to_have_count(2)
    expect(first).to_contain_text("title")
    search = tab.frame.get_by_label("Search texts and names by a regular expression")
    search.fill("^rtl|boring")
    expect(tab.frame.locator(".tx-example")).to_have_count(2)
    tab.frame.get_by_label("Examples").select_option("wrong")
    expect(tab.frame.get_by_text("No text matches.")).to_be_visible()


def test_the_screen_is_taken_as_lines_and_words(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(link(view="text", tag="one_input", step="3"))
    tab.frame.locator(".tx-word").first.wait_for()
    picture = ET.fromstring(tab.take("SVG"))
    names = {element.tag.rpartition("}")[2] for element in picture.iter()}
    drawn = {"svg", "g", "rect", "path", "line", "circle", "text", "image"}
    assert drawn <= names <= drawn | {"clipPath"}
    said = [element.text for element in picture.iter() if element.tag.endswith("}text")]
    for words in ("wonderful", HOSTILE, "Run: reviews", "Scale: per line"):
        assert words in said
    # A word without spaces stands in the lines that the page broke it into.
    parts = [words for words in said if words and set(words) == {"x"}]
    assert len(parts) > 1
    assert sum(map(len, parts)) == 300


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(open_tab: Callable[..., Tab], theme: str) -> None:
    tab = open_tab("two_inputs", link(step="2"))
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
    tab.page.wait_for_timeout(600)
    found = tab.axe()
    assert not found, json.dumps(found, indent=1)


def test_a_narrow_window_has_no_sideways_scroll(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(viewport={"width": 320, "height": 700})
    tab.page.wait_for_timeout(400)
    over = tab.inner.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0
