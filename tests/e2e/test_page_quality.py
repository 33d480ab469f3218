"""The Quality view in a real browser, in a real TensorBoard, over a log whose values are known."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tb_xai import drift, reader
from tests.e2e.board import Board, tensorboard
from tests.e2e.test_page import Tab, browser, link, open_tab
from tests.synthetic import make_log

__all__ = ["browser", "open_tab"]
pytestmark = pytest.mark.browser

STEPS = 6
QUALITY = link(view="quality", run="cnn_s0", quality__tag="integrated_gradients")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> reader.Log:
    """Two trainings that differ in their seed alone."""
    path = tmp_path_factory.mktemp("quality")
    for seed in range(2):
        make_log(path, (f"cnn_s{seed}",), STEPS, hostile=False, damage=False, seed=seed)
    return reader.open(path)


@pytest.fixture(scope="module")
def board(log: reader.Log) -> Iterator[Board]:
    """TensorBoard on that log."""
    with tensorboard("--logdir", log._roots[0][0]) as served:
        yield served


def opened(open_tab: Callable[..., Tab], more: str = "", **context: object) -> Tab:
    tab = open_tab(QUALITY + more, **context)
    tab.frame.locator(".ql canvas").first.wait_for(timeout=20_000)
    return tab


def cells(tab: Tab, table: str) -> list[list[str]]:
    """What the rows of a table say."""
    rows = tab.frame.locator(f"{table} tbody tr").all()
    return [[cell.strip() for cell in row.locator("th, td").all_inner_texts()] for row in rows]


def test_every_logged_measure_is_drawn_and_told(
    open_tab: Callable[..., Tab], log: reader.Log
) -> None:
    tab = opened(open_tab, link(quality__measure="faithfulness", step="4"))
    faithfulness = log.series("cnn_s0", "integrated_gradients")["faithfulness"]
    (row,) = cells(tab, ".ql-focus")
    assert row[0] == "integrated_gradients"
    assert float(row[1].split()[0]) == pytest.approx(np.nanmean(faithfulness[4]), abs=5e-4)
    assert "undefined for 1 of 16 examples" in row[1]
    titles = tab.frame.locator(".ql-card h3").all_inner_texts()
    assert {"Completeness gap", "Deletion", "Mass in “stroke”", "Like the step before"} <= set(
        titles
    )
    assert (
        "Infidelity was switched off"
        in tab.frame.locator(".ql-card", has_text="Infidelity").first.inner_text()
    )
    card = tab.frame.locator(".ql-card", has_text="Insertion").first
    card.scroll_into_view_if_needed()
    picture = Image.open(io.BytesIO(card.locator(".fx-chart").screenshot()))
    colours = {pixel for _, pixel in picture.convert("RGB").getcolors(1 << 20) or []}
    assert any(max(pixel) - min(pixel) > 80 for pixel in colours)  # a line in the method's colour


def test_drift_on_screen_is_that_of_numpy(open_tab: Callable[..., Tab], log: reader.Log) -> None:
    wish = link(quality__measure="drift.previous", quality__drift="spearman", step="3")
    tab = opened(open_tab, wish)
    # each method's drift is an answer of its own
    expect(tab.frame.locator(".ql-focus tbody tr")).to_have_count(4, timeout=20_000)
    tags = [row[0] for row in cells(tab, ".ql-focus")]
    assert tags == ["flat_gradients", "grad_cam", "integrated_gradients", "saliency"]
    expect(tab.frame.locator(".ql .spinner")).to_have_count(0, timeout=20_000)
    for tag, value, floor, *_ in cells(tab, ".ql-focus"):
        expected = drift.series(log.records("cnn_s0", tag), drift.spearman).mean[3]
        assert float(value.replace("−", "-")) == pytest.approx(expected, rel=5e-3)
        assert floor == "1.00"
    first = tab.frame.locator(".ql-card", has_text="Like the first step").first
    first.scroll_into_view_if_needed()
    expect(first.locator("canvas").first).to_be_visible(timeout=20_000)
    tab.frame.get_by_role("button", name="Pin step 3").click()
    tab.frame.get_by_role("button", name="Like step 3", exact=True).click()
    expect(tab.frame.locator(".ql-focus td b").first).to_have_text("1.00", timeout=20_000)


def test_the_cursor_is_moved_by_click_drag_and_keys(open_tab: Callable[..., Tab]) -> None:
    tab = opened(open_tab)
    chart = tab.frame.locator(".ql-focus .fx-chart")
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": 60, "y": 100})
    assert tab.step_name() == "step 0, untrained"
    tab.page.mouse.move(box["x"] + 60, box["y"] + 100)
    tab.page.mouse.down()
    tab.page.mouse.move(box["x"] + 60 + (box["width"] - 270) * 0.55, box["y"] + 90, steps=5)
    tab.page.mouse.up()
    dragged = tab.step_name()
    assert dragged in {"step 2", "step 3", "step 4"}
    tab.press("ArrowRight")
    assert tab.step_name() == f"step {int(dragged.split()[1]) + 1}"
    ringed = tab.frame.locator(".ql-best button").first
    goal = ringed.inner_text()
    ringed.focus()
    tab.page.keyboard.press("Enter")
    assert tab.step_name().startswith(goal)
    assert f"at {goal}" in tab.frame.locator(".ql-focus thead").inner_text()


def test_quality_stands_against_the_score_and_a_point_is_a_checkpoint(
    open_tab: Callable[..., Tab], log: reader.Log
) -> None:
    wish = link(quality__measure="faithfulness", quality__score="permutation_importance", step="0")
    tab = opened(open_tab, wish)
    panel = tab.frame.get_by_role("figure", name="Quality against score")
    chart = panel.get_by_role("img")
    expect(chart).to_have_attribute("aria-label", re.compile("against log loss"), timeout=15_000)
    loss = [
        float(log.record("cnn_s0", "permutation_importance", step).meta["score"])
        for step in range(STEPS)
    ]
    own = np.nanmean(log.series("cnn_s0", "integrated_gradients")["faithfulness"], axis=1)

    def undominated(score: np.ndarray) -> list[int]:
        """Steps that no other beats in both, more of each being better."""
        return [
            i
            for i in range(STEPS)
            if not any(
                score[j] >= score[i]
                and own[j] >= own[i]
                and (score[j], own[j]) != (score[i], own[i])
                for j in range(STEPS)
            )
        ]

    ringed = panel.locator(".ql-best button")
    expect(ringed).to_have_text([f"step {i}" for i in undominated(-np.array(loss))])
    # another score, by keyboard: which of the examples are right
    choice = panel.get_by_label("Score")
    choice.focus()
    tab.page.keyboard.type("share")
    expect(chart).to_have_attribute("aria-label", re.compile("against share of the examples"))
    predicted = log.series("cnn_s0", "integrated_gradients")["predicted"]
    right = (predicted == np.arange(predicted.shape[1]) % 10).mean(axis=1)
    expect(ringed).to_have_text([f"step {i}" for i in undominated(right)])
    # points stand where their two numbers are: a click goes to the checkpoint
    box = chart.bounding_box()
    assert box is not None

    def share(values: np.ndarray, i: int) -> float:
        return float(0.04 + (values[i] - values.min()) / np.ptp(values)) / 1.08

    for i in (4, 1):
        x = 54 + (box["width"] - 70) * share(right, i)
        y = 10 + (box["height"] - 56) * (1 - share(own, i))
        chart.click(position={"x": x, "y": y})
        assert tab.step_name() == f"step {i}"
        expect(tab.frame.locator(".ql-focus thead")).to_contain_text(f"at step {i}")


def test_a_measure_is_chosen_and_an_example_inspected_by_keyboard(
    open_tab: Callable[..., Tab], log: reader.Log
) -> None:
    tab = opened(open_tab, link(step="3"))
    for title, name in (("Deletion", "deletion"), ("Completeness gap", "gap")):
        tab.frame.get_by_role("button", name=title, exact=True).press("Enter")
        row = next(r for r in cells(tab, ".ql-focus") if r[0] == "integrated_gradients")
        values = log.series("cnn_s0", "integrated_gradients")[name][3]
        expected = np.quantile(values, 0.95) * 100 if name == "gap" else values.mean()
        assert float(row[1].split()[0]) == pytest.approx(expected, rel=5e-3)
    deletion = tab.frame.get_by_role("button", name="Deletion", exact=True)
    deletion.press("Enter")
    row = next(r for r in cells(tab, ".ql-focus") if r[0] == "integrated_gradients")
    chance = log.series("cnn_s0", "integrated_gradients")["deletion_random"][3].mean()
    assert any(cell == f"{chance:.3g}" or cell == f"{chance:.3f}" for cell in row), row
    tab.frame.locator(".ql-examples summary").press("Enter")
    tab.frame.locator(".ql-examples tbody a").first.press("Enter")
    tab.wait_for_maps()
    assert tab.step_name() == "step 3"


def test_examples_lead_to_their_maps(open_tab: Callable[..., Tab], log: reader.Log) -> None:
    tab = opened(open_tab, link(quality__measure="faithfulness", step="2"))
    tab.frame.locator(".ql-examples summary").click()
    tab.frame.locator(".ql-examples tbody tr").first.wait_for()
    worst = cells(tab, ".ql-examples")[0]
    values = log.series("cnn_s0", "integrated_gradients")["faithfulness"][2]
    assert worst[0].endswith(f"({np.nanargmin(values)})")
    assert float(worst[1]) == pytest.approx(np.nanmin(values), rel=5e-3)
    tab.frame.locator(".ql-examples a").first.click()
    tab.wait_for_maps()
    assert tab.step_name() == "step 2"


def test_seeds_are_one_line_with_a_band(open_tab: Callable[..., Tab], log: reader.Log) -> None:
    wish = link(quality__measure="deletion", quality__lines="runs", group="_s%5Cd%2B%24", step="5")
    tab = opened(open_tab, wish)
    (row,) = cells(tab, ".ql-focus")
    both = [
        log.series(f"cnn_s{seed}", "integrated_gradients")["deletion"][5].mean() for seed in (0, 1)
    ]
    assert row[0] == "cnn × 2"
    assert float(row[1].split()[0]) == pytest.approx(np.mean(both), rel=5e-3)
    low, high = (float(part) for part in row[2].split(" to "))
    assert (low, high) == (pytest.approx(min(both), rel=5e-3), pytest.approx(max(both), rel=5e-3))


def test_what_is_seen_can_be_taken_along(open_tab: Callable[..., Tab], log: reader.Log) -> None:
    tab = opened(open_tab, link(quality__measure="gap"))
    tab.frame.get_by_role("button", name="Export").click()
    with tab.page.expect_download() as started:
        tab.frame.get_by_role("button", name="CSV").click()
    text = started.value.path().read_text(encoding="utf-8")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    gap = [row for row in rows if row["measure"] == "gap" and row["tag"] == "integrated_gradients"]
    assert [int(row["step"]) for row in gap] == list(range(STEPS))
    expected = np.quantile(log.series("cnn_s0", "integrated_gradients")["gap"], 0.95, axis=1)
    np.testing.assert_allclose([float(row["value"]) for row in gap], expected, rtol=1e-6)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 320])
def test_axe_finds_nothing(open_tab: Callable[..., Tab], scheme: str, width: int) -> None:
    tab = opened(open_tab, viewport={"width": width, "height": 900})
    if scheme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        expect(tab.frame.locator("html[data-theme=dark]")).to_have_count(1)
    tab.frame.locator(".ql-examples summary").click()
    tab.frame.locator(".ql-examples tbody tr").first.wait_for()
    assert tab.inner.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not tab.axe()
