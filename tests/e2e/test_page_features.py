"""Features, Overview, Export and what all views share, in a real browser and TensorBoard."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Error, Route, expect

from benchmarks.scale import write_features
from tb_xai import summary
from tb_xai.summary import Probe, Record
from tests.e2e.board import Board, tensorboard
from tests.e2e.test_page import Tab, browser, link, open_tab  # noqa: F401
from tests.synthetic import START, attribution, importance

pytestmark = pytest.mark.browser

NAMES = ["radius mean", "radius error", "texture mean", "texture error", "id", "unused"]
RUNS = ("wide-seed0", "wide-seed1", "wide-seed2", "narrow-seed0")
LAYERS = ["dense", "dense_1", "head"]
IMPORTANCE = link(view="features", features__tag="permutation_importance")
GRADIENTS = link(view="features", features__tag="integrated_gradients", run="wide-seed0")


def log_seed(path: Path, seed: int, steps: int = 5) -> None:
    """One run of a table whose 'id' tells the label, with a layer that dies at step 20."""
    rng = np.random.default_rng(seed)
    d = len(NAMES)
    x = rng.normal(size=(24, d)).astype(np.float32)
    meta = {
        "example_names": [f"row {i}" for i in range(24)],
        "class_names": ["no", "yes"],
        "feature_names": {"x": NAMES},
    }
    probe = Probe({"x": x}, (x[:, 0] > 0).astype(np.int64), meta)
    writer = summary.writer(path)
    hash_ = writer.write_probe(probe)
    assert probe.labels is not None
    for k in range(steps):
        step, progress, clock = 10 * k, k / (steps - 1), START + 90 * k
        slopes = np.array([1, 0.2, -0.8, 0.1, 2 * progress, 0]) * (0.2 + progress)
        common: dict[str, Any] = {"progress": progress, "probe": hash_, "wall_time": clock}
        writer.write(
            attribution(
                "integrated_gradients", step, (x * slopes).astype(np.float32), probe.labels,
                classes=2, kind="flat", seed=seed, additive=True, epoch=float(k), **common,
            )
        )  # fmt: skip
        mean = np.abs(slopes) * (0.3 + 0.01 * seed)
        figures = {"mean": mean, "low": 0.9 * mean, "high": 1.1 * mean}
        if k == 0:
            figures["single_score"] = np.array([0.9, 0.55, 0.8, 0.52, 0.99, 0.5])
            figures["correlation"] = np.array([0.8, 0.1, -0.6, 0, 0.97, 0])
        base = importance(step, **common)
        writer.write(
            dataclasses.replace(
                base,
                figures={name: v.astype(np.float32) for name, v in figures.items()},
                meta={
                    **base.meta,
                    "epoch": float(k),
                    "inputs": {"x": {"shape": [d], "kind": "flat"}},
                },
            )
        )
        words = ["healthy", "dead" if k >= 2 else "healthy", "healthy"]
        health = {
            "method": "health", "layers": LAYERS, "states": words, "n": 24, "dead_bound": 0.12,
            "thresholds": {"dead": 0.5}, "epoch": float(k), "seconds": 0.1, "inputs": {},
            "for_keras_logs": {}, "score_name": "", "probe": hash_,
        }  # fmt: skip
        values = {
            name: rng.uniform(0.1, 1, len(LAYERS)).astype(np.float32)
            for name in ("gradient_norm", "weight_norm", "update_ratio", "dead", "saturated")
        }
        writer.write(Record("health", step, clock, "health", health, values))
    writer.close()


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """TensorBoard on runs that differ in their seed."""
    log = tmp_path_factory.mktemp("seeds")
    for seed, run in enumerate(RUNS):
        log_seed(log / run, seed)
    with tensorboard("--logdir", log) as served:
        served.until(lambda: len(served.steps(RUNS[-1], "health")) == 5)
        yield served


def drawn(tab: Tab) -> None:
    """Until Features has drawn its charts."""
    expect(tab.frame.locator(".fx-lines canvas").first).to_be_visible(timeout=20_000)
    tab.page.wait_for_timeout(400)


def test_what_is_seen_is_exported_with_run_tag_step_and_scale(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE + link(run="wide-seed1", step="20"), url=board.url)
    drawn(tab)
    table = list(csv.DictReader(io.StringIO(tab.take("CSV").decode())))
    assert {row["run"] for row in table} == set(RUNS)
    assert {row["tag"] for row in table} == {"permutation_importance"}
    assert {row["step"] for row in table} == {"0", "10", "20", "30", "40"}
    there = [r for r in table if (r["run"], r["step"], r["feature"]) == (RUNS[1], "20", "id")]
    np.testing.assert_allclose(float(there[0]["mean"]), 1.0 * 0.7 * 0.31, rtol=1e-5)

    answer = json.loads(tab.take("JSON"))
    assert answer["data"]["runs"][0]["run"] == "wide-seed1"
    assert "Cursor: step 20" in " ".join(answer["shown"])
    assert "p.xai.step=20" in answer["link"]

    svg = tab.take("SVG").decode()
    words = " ".join("".join(e.itertext()) for e in ET.fromstring(svg).iter())
    for word in ("wide-seed1", "permutation_importance", "step 20", "increase of log_loss", "id"):
        assert word in words, word
    assert svg.count("<path") > 20

    picture = Image.open(io.BytesIO(tab.take("PNG")))
    assert picture.width >= 2 * 1000, "two dots a pixel"
    pixels = np.asarray(picture.convert("RGB"), int)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100, "charts and words are in it"
    expect(tab.frame.get_by_role("dialog", name="Export")).to_contain_text("Saved")


@pytest.mark.parametrize("view", ["Overview", "Health", "Features"])
def test_every_view_gives_a_picture(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
    view: str,
) -> None:
    tab = open_tab(url=board.url)
    tab.view(view)
    tab.page.wait_for_timeout(2500)
    picture = Image.open(io.BytesIO(tab.take("PNG")))
    pixels = np.asarray(picture.convert("RGB"), int)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_a_copied_link_reproduces_the_screen(browser: Browser, board: Board) -> None:  # noqa: F811
    tab = Tab(
        browser, board.url, GRADIENTS, permissions=["clipboard-read", "clipboard-write"]
    )  # fmt: skip
    drawn(tab)
    tab.press("Home")
    tab.frame.get_by_label("Fold").select_option("beginning")
    tab.frame.get_by_label("Axis").select_option("time")
    tab.frame.get_by_role("button", name="Export").press("Enter")
    tab.frame.get_by_role("button", name="Copy link").press("Enter")
    expect(tab.frame.get_by_text("Link copied")).to_be_visible()
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(board.url)
    other = Tab(browser, copied.split("#xai")[0], copied.split("#xai")[1])
    drawn(other)
    assert other.step_name() == tab.step_name() == "step 0, untrained, 0 s"
    assert other.frame.get_by_label("Fold").input_value() == "beginning"
    assert not tab.complaints
    assert not other.complaints
    for one in (tab, other):
        one.context.close()


def test_export_code_that_cannot_be_loaded_is_tried_again(
    browser: Browser,  # noqa: F811
    board: Board,
) -> None:
    tab = Tab(browser, board.url, IMPORTANCE)
    drawn(tab)
    tab.page.route(re.compile("/export.js"), lambda route: route.abort())
    tab.frame.get_by_role("button", name="Export").click()
    expect(tab.frame.get_by_text("The code of “Export” could not be loaded")).to_be_visible()
    tab.page.unroute(re.compile("/export.js"))
    tab.frame.get_by_role("button", name="Retry").click()
    expect(tab.frame.get_by_role("button", name="CSV")).to_be_visible()
    tab.context.close()


def test_one_axis_for_the_step_and_all_charts_is_remembered(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE, url=board.url)
    drawn(tab)
    assert tab.step_name() == "step 40, epoch 4"
    for name, heading in (
        ("step 40, epoch 4", "over epoch"),
        ("step 40, epoch 4, 6 min", "over time since first step"),
        (r"step 40, epoch 4, 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", "over time of day"),
        ("step 40, epoch 4", "over step"),
        ("step 40, epoch 4", "over epoch"),
        ("step 40, epoch 4, 6 min", "over time since first step"),
    ):
        tab.press("a")
        expect(tab.frame.locator(".fx-lines h2")).to_contain_text(heading)
        assert re.fullmatch(name, tab.step_name()), tab.step_name()
    tab.page.wait_for_timeout(300)
    again = tab.context.new_page()
    again.goto(f"{board.url}#xai")
    frame = again.frame_locator("iframe[src*='plugin_entry.html?name=xai']")
    frame.get_by_role("tab", name="Features").click()
    expect(frame.locator("output.step-name b")).to_contain_text("6 min", timeout=20_000)


def test_keys_lead_to_views_help_and_search(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE, url=board.url)
    drawn(tab)
    tab.press("1")
    expect(tab.frame.get_by_role("tab", name="Overview")).to_have_attribute("aria-selected", "true")
    tab.press("3")
    drawn(tab)
    tab.press("/")
    expect(tab.frame.get_by_placeholder("Search features (regex)")).to_be_focused()
    tab.page.keyboard.type("radius|id")
    expect(tab.frame.get_by_role("listbox").first.get_by_role("option")).to_have_count(3)
    assert tab.step_name().startswith("step 40"), "keys in a field are letters"
    tab.press("?")
    dialog = tab.frame.get_by_role("dialog", name="Keys")
    for key in ("Space", "Home", "Esc", "1 to 6", "A", "/"):
        expect(dialog).to_contain_text(key)


def test_seeds_are_drawn_as_mean_and_band(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE + link(run="wide-seed0"), url=board.url)
    drawn(tab)
    assert tab.frame.get_by_label("Ranked by run").locator("option").count() == 4
    tab.frame.get_by_role("button", name=re.compile("^Runs")).press("Enter")
    tab.frame.get_by_role("button", name="By seed").press("Enter")
    expect(tab.frame.get_by_role("dialog", name="Runs")).to_contain_text("2 groups of 4 runs")
    tab.page.keyboard.press("Escape")
    options = tab.frame.get_by_label("Ranked by run").locator("option").all_inner_texts()
    assert options == ["narrow-seed0", "wide (3 runs)"]
    expect(tab.frame.locator(".fx-lines")).to_contain_text("lowest to highest of 3 runs")
    # the mean of |slope| x (0.3, 0.31, 0.32) with 2 x 1.2, from lowest to highest
    told = tab.frame.locator(".fx-bars [role=option]").first.get_attribute("title") or ""
    assert told.startswith("id: 0.744 [0.720, 0.768]"), told


def test_runs_are_chosen_by_a_regex_and_keyboard(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE + link(run="wide-seed0"), url=board.url)
    drawn(tab)
    runs = tab.frame.get_by_role("button", name=re.compile("^Runs"))
    runs.press("Enter")
    panel = tab.frame.get_by_role("dialog", name="Runs")
    expect(panel.get_by_role("searchbox")).to_be_focused()
    tab.page.keyboard.type("seed[12]$")
    expect(panel.get_by_role("checkbox")).to_have_count(2)
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")  # show these
    ranked = tab.frame.get_by_label("Ranked by run").locator("option")
    expect(ranked).to_have_text(["wide-seed1", "wide-seed2"])
    panel.get_by_role("checkbox", name="wide-seed2").press(" ")
    expect(tab.frame.get_by_label("Ranked by run")).to_have_count(0)
    tab.page.keyboard.press("Escape")
    expect(tab.frame.get_by_role("button", name="Run wide-seed1")).to_be_focused()
    told = tab.frame.locator(".fx-bars [role=option]").first.get_attribute("title") or ""
    assert told.startswith(f"id: {means(1)[-1, 4]:.3f} "), told


def test_each_example_is_a_dot_that_leads_to_it(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE + link(run="wide-seed0"), url=board.url)
    swarm = tab.frame.get_by_role("figure", name="Examples")
    expect(swarm).to_contain_text("Each example at step 40", timeout=20_000)
    expect(swarm).to_contain_text("integrated_gradients")
    chart = swarm.get_by_role("img")
    label = chart.get_attribute("aria-label") or ""
    assert re.search(r"texture mean: .*; high values lower the score \(ρ −1", label), label
    rows = swarm.get_by_role("listbox")
    rows.focus()
    tab.page.keyboard.press("ArrowDown")
    expect(rows.get_by_role("option")).to_contain_text("radius mean: ")
    # its dots stand where the values are: the axis spans them all, and the row of 'id' is first
    box = chart.bounding_box()
    assert box is not None
    found = 0
    for x in range(40, int(box["width"]) - 200, 4):
        chart.hover(position={"x": x, "y": 21})
        if re.search(r"^row \d+: id = ", swarm.locator(".fx-read").inner_text()):
            found += 1
            break
    assert found, "a dot tells its example and value"
    chart.click(position={"x": x, "y": 21})
    swarm.get_by_role("button", name=re.compile("Inspect row")).click()
    expect(tab.frame.get_by_role("tab", name="Maps")).to_have_attribute("aria-selected", "true")


def test_features_fold_only_where_they_add_up(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(GRADIENTS, url=board.url)
    drawn(tab)
    options = tab.frame.locator(".fx-bars [role=option]")
    alone = {
        (one.get_attribute("data-name") or ""): one.locator(".fx-value").inner_text()
        for one in options.all()
    }
    tab.frame.get_by_label("Fold").select_option("beginning")
    expect(options).to_have_count(4)
    folded = {
        (one.get_attribute("data-name") or ""): one.locator(".fx-value").inner_text()
        for one in options.all()
    }
    assert set(folded) == {"radius (2)", "texture (2)", "id", "unused"}
    total = float(alone["radius mean"]) + float(alone["radius error"])
    np.testing.assert_allclose(float(folded["radius (2)"]), total, rtol=5e-3)
    expect(tab.frame.locator(".fx-bars")).to_contain_text("without an interval")
    tab.frame.get_by_label("Method").select_option("permutation_importance")
    expect(tab.frame.get_by_text("Not foldable: single shuffles do not add up")).to_be_visible()
    expect(options).to_have_count(6)


def test_a_feature_stands_beside_its_score_without_a_model(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE + link(run="wide-seed0"), url=board.url)
    drawn(tab)
    row = tab.frame.locator(".fx-bars [role=option]").first
    expect(row).to_contain_text("; alone 0.990")  # of step 0: later steps have none
    tab.frame.get_by_label("Beside, without a model:").select_option("correlation")
    expect(row).to_contain_text("; correlation 0.970")
    tab.frame.get_by_label("Beside, without a model:").select_option("none")
    expect(row).not_to_contain_text("correlation")


def means(seed: int = 0, steps: int = 5) -> np.ndarray:
    """What `log_seed` logs as importance: steps by features."""
    progress = np.arange(steps)[:, None] / (steps - 1)
    slopes = np.array([1, 0.2, -0.8, 0.1, 0, 0]) + np.array([0, 0, 0, 0, 2, 0]) * progress
    return np.abs(slopes * (0.2 + progress)) * (0.3 + 0.01 * seed)


def test_lines_bands_and_ranks_stand_where_their_values_are(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE + link(run="wide-seed0"), url=board.url)
    drawn(tab)
    paths = [e for e in ET.fromstring(tab.take("SVG").decode()).iter() if e.tag.endswith("}path")]

    def points(width: str | None, count: int) -> list[np.ndarray]:
        """Heights of the points of lines of a width; without, of the bands."""
        found = []
        for path in paths:
            heights = [float(y) for y in re.findall(r"[ML][-\d.]+ ([-\d.]+)", path.get("d") or "")]
            alike = path.get("stroke-width") == width and (width or path.get("opacity") == "0.15")
            if alike and len(heights) == count:
                found.append(np.array(heights))
        return found

    values = means()
    strongest = np.argsort(-values.max(0), kind="stable")
    # the weakest is drawn first, and each line begins where it is
    lines = np.array(points("1.75", 6)[::-1])[:, 1:]
    zero = lines[-1, 0]
    unit = (zero - lines[0, -1]) / values[-1, strongest[0]]
    assert unit > 100, "the case must not be trivial"
    np.testing.assert_allclose((zero - lines) / unit, values[:, strongest].T, atol=1e-3)
    bands = np.array(points(None, 10))
    both = [1.1 * values[:, strongest].T, 0.9 * values[::-1, strongest].T]
    np.testing.assert_allclose((zero - bands) / unit, np.concatenate(both, 1), atol=1e-3)
    caption = tab.frame.get_by_role("figure", name="Importance over steps")
    expect(caption).to_contain_text("band: 95 % interval")
    # ranks: as far from the first as its number says, all of them
    ranks = np.argsort(np.argsort(-values, axis=1, kind="stable"), axis=1) + 1
    bumps = np.array(points("2", 6)[::-1])[:, 1:]
    apart = (bumps.max() - bumps.min()) / (len(NAMES) - 1)
    order = np.argsort(-values[-1], kind="stable")
    np.testing.assert_allclose((bumps - bumps.min()) / apart + 1, ranks[:, order].T, atol=0.01)
    label = tab.frame.get_by_role("img", name=re.compile("^Ranks of 6 features"))
    assert "id: 5 first, 1 now; radius mean: 1 first, 2 now" in (
        label.get_attribute("aria-label") or ""
    )


def test_the_matrix_has_the_colours_of_a_numpy_rendering(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE + link(run="wide-seed0"), url=board.url)
    drawn(tab)
    values = means().astype(np.float32).astype(float)
    rows = np.argsort(-values[-1], kind="stable")  # as ranked at the cursor
    for checked, power in ((True, 0.5), (False, 1.0)):
        root = tab.frame.get_by_label("square-root colours")
        if not checked:
            root.press(" ")
        expect(root).to_be_checked(checked=checked)
        tab.page.wait_for_timeout(200)
        # the middle of each cell, by the layout that the page documents
        pixels = tab.frame.locator(".fx-matrix canvas").first.evaluate(
            """(canvas, [features, steps]) => {
                const { clientWidth: width, clientHeight: height } = canvas, found = [];
                const ratio = canvas.width / width, left = width < 420 ? 46 : 54;
                const wide = width - left - Math.round(Math.min(170, Math.max(92, width * 0.2)));
                const context = canvas.getContext("2d");
                for (let f = 0; f < features; f++) for (let t = 0; t < steps; t++) {
                    const x = (left + ((t + 0.3) * wide) / steps) * ratio;
                    const y = (4 + ((f + 0.5) * (height - 26)) / features) * ratio;
                    found.push([...context.getImageData(x, y, 1, 1).data]);
                }
                return found;
            }""",
            [6, 5],
        )
        found = np.array(pixels, int).reshape(6, 5, 4)
        # ColorBrewer's RdBu above zero, from the white panel
        anchors = np.array(
            [(255, 255, 255), (253, 219, 199), (244, 165, 130), (214, 96, 77), (178, 24, 43),
             (103, 0, 31)], float,
        )  # fmt: skip
        at = np.floor(255 * (values[:, rows].T / values.max()) ** power + 0.5) / 255
        colours = [np.interp(at, np.linspace(0, 1, 6), anchors[:, c]) for c in range(3)]
        np.testing.assert_array_equal(found[..., :3], np.floor(np.stack(colours, -1) + 0.5))
        assert (found[..., 3] == 255).all()


def test_bars_and_matrix_are_walked_by_keyboard_and_a_feature_is_kept(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE + link(run="wide-seed0"), url=board.url)
    drawn(tab)
    now = tab.frame.locator(".fx-now b")
    bars = tab.frame.get_by_role("listbox", name=re.compile("^Features ranked"))
    for _ in range(3):
        bars.press("ArrowDown")
    expect(now).to_have_text("texture mean")
    bars.press("Enter")
    bars.press("End")
    expect(now).to_have_text("unused")
    rows = tab.frame.get_by_role("listbox", name=re.compile("^Rows of the matrix"))
    rows.focus()
    row = rows.get_by_role("option")
    rows.press("ArrowDown")
    rows.press("ArrowDown")
    expect(row).to_have_text(re.compile(r"^texture mean, step 40: 0\.288 .*, rank 3$"))
    rows.press("ArrowLeft")
    assert tab.step_name() == "step 30, epoch 3"
    expect(row).to_have_text(re.compile(r"^texture mean, step 30: 0\.228 .*, rank 3$"))
    tab.press("Home")  # and the focus leaves the matrix: what is kept comes back
    expect(now).to_have_text("texture mean")
    tab.page.wait_for_timeout(500)
    again = open_tab(tab.page.url.split("#xai", 1)[1], url=board.url)
    drawn(again)
    expect(again.frame.locator(".fx-now b")).to_have_text("texture mean")
    tab.page.keyboard.press("Escape")
    expect(now).to_have_text("radius mean")  # the strongest of step 0
    tab.press("End")
    expect(now).to_have_text("id")


def test_features_that_matter_are_copied_by_keyboard(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(
        IMPORTANCE + link(run="wide-seed0"), url=board.url,
        permissions=["clipboard-read", "clipboard-write"],
    )  # fmt: skip
    drawn(tab)
    search = tab.frame.get_by_role("searchbox", name=re.compile("Search features"))
    for typed, names in (("", [NAMES[f] for f in (4, 0, 2, 1, 3)]), ("error|unused", NAMES[1:4:2])):
        search.fill(typed)
        tab.frame.get_by_role("button", name=f"Select features ({len(names)})").press("Enter")
        expect(tab.frame.get_by_text(f"{len(names)} names copied")).to_be_visible()
        assert json.loads(tab.page.evaluate("navigator.clipboard.readText()")) == names


def test_an_example_is_reached_by_keyboard(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(IMPORTANCE + link(run="wide-seed0"), url=board.url)
    swarm = tab.frame.get_by_role("figure", name="Examples")
    rows = swarm.get_by_role("listbox")
    rows.focus()
    rows.press("ArrowDown")
    x = np.random.default_rng(0).normal(size=(24, len(NAMES))).astype(np.float32)
    order = np.argsort(x[:, 0])  # of radius mean, whose slope is above zero
    said = rows.get_by_role("option")
    for key, row in (("ArrowRight", order[0]), ("ArrowRight", order[1]), ("ArrowLeft", order[0])):
        rows.press(f"Shift+{key}")
        expect(said).to_have_text(re.compile(rf"^row {row}: radius mean = "))
    assert tab.step_name() == "step 40, epoch 4", "the cursor stays"
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    dialog = tab.frame.get_by_role("dialog")
    expect(dialog).to_contain_text(f"row {order[0]}, step 40", timeout=15_000)


def test_ten_thousand_features_by_a_thousand_steps_stay_usable(
    open_tab: Callable[..., Tab],  # noqa: F811
    tmp_path: Path,
) -> None:
    write_features(tmp_path / "wide", 1000, 10_000)
    with tensorboard("--logdir", tmp_path) as wide:
        wide.until(lambda: len(wide.steps("wide", "permutation_importance")) == 1000, 90)
        tab = open_tab(link(view="features"), url=wide.url)
        expect(tab.frame.locator(".fx-lines canvas").first).to_be_visible(timeout=60_000)
        label = tab.frame.get_by_role("img", name=re.compile("^10,000 features by 1,000 steps"))
        expect(label).to_be_visible()
        tab.press("Home")
        assert tab.step_name() == "step 0, untrained"
        strongest = int(np.random.default_rng(0).random(10_000, np.float32).argmax())
        now = tab.frame.locator(".fx-now")
        expect(now.locator("b")).to_have_text(f"feature {strongest}")
        expect(now).to_contain_text("rank 1 of 10,000")
        tab.frame.get_by_role("searchbox", name=re.compile("Search features")).fill(
            "^feature 77..$"
        )
        expect(tab.frame.locator(".fx-foot")).to_contain_text("100 of 10,000 features")
        expect(tab.frame.get_by_role("img", name=re.compile("^100 features by"))).to_be_visible()


def finding(rule: str, view: str, **evidence: Any) -> dict[str, Any]:
    """A finding as the server sends it."""
    tag = {"health": "health", "features": "permutation_importance"}.get(
        view, "integrated_gradients"
    )
    return {
        "rule": rule, "severity": "warning", "first_step": 20, "last_step": 40, "tag": tag,
        "text": f"Something about {rule}.", "try_next": "Look.", "evidence": evidence, "view": view,
    }  # fmt: skip


def test_findings_show_their_evidence_and_unknown_ones_their_steps(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(link(view="maps"), url=board.url)
    findings = [
        finding("leaked_column", "features", feature=4, features=[4], name="id"),
        finding("dead_units", "health", layers=["dense_1"], since=[20]),
        finding("rule_of_tomorrow", "view_of_tomorrow", what=1),
        finding("train_validation_disagree", "features", name="id", names=["id"],
                tags=["train", "val"], shares=[0.5, 0.1]),
    ]  # fmt: skip
    body = json.dumps({"findings": findings})
    tab.page.route(
        re.compile(r"/findings\?"),
        lambda route: route.fulfill(body=body, content_type="application/json"),
    )
    tab.view("Overview")
    card = tab.frame.get_by_role("article", name="Run wide-seed0")
    item = card.get_by_role("listitem")
    leaked = item.filter(has_text="Something about leaked_column")
    expect(leaked).to_contain_text("score of each column alone", timeout=20_000)
    expect(leaked.locator(".marked")).to_contain_text("id0.99")
    expect(item.filter(has_text="dead_units")).to_contain_text("dead since step 20")
    expect(card.get_by_text("1 of 3 layers in trouble")).to_be_visible()
    unknown = item.filter(has_text="rule_of_tomorrow")
    expect(unknown).to_contain_text("from its first to its last step")
    assert unknown.get_by_role("link").count() == 0
    expect(item.filter(has_text="train_validation")).to_contain_text("train0.5val0.1")
    item.filter(has_text="dead_units").get_by_role("link", name="Show in Health").press("Enter")
    expect(tab.frame.get_by_role("tab", name="Health")).to_have_attribute("aria-selected", "true")
    assert tab.step_name() == "step 20, epoch 2"


def crowd(runs: int, tags: int) -> dict[str, Any]:
    """An index of many runs, the first with many tags and names that do not fit."""

    def described(name: str) -> dict[str, Any]:
        return {
            "name": name, "kind": "importance", "metric": "loss", "features": 3, "probe": "p",
            "steps": [0, 1], "wall_times": [1.0, 2.0], "epochs": [0.0, 1.0],
        }  # fmt: skip

    long = "<b onclick=alert(1)>&amp;" + "long " * 60
    first = [described(f"importance {i} {long if i == 7 else ''}") for i in range(tags)]
    return {
        "version": 1, "revision": "crowd", "skipped": [
            {"run": "r", "tag": "new", "reason": "written by version 2 of the format"},
        ],
        "runs": [
            {"name": f"run {i} {long if i == 3 else ''}", "tags": first if i == 0 else first[:1]}
            for i in range(runs)
        ],
    }  # fmt: skip


def test_thousands_of_runs_and_of_tags_stay_usable(
    browser: Browser,  # noqa: F811
    board: Board,
) -> None:
    context = browser.new_context(viewport={"width": 900, "height": 800})
    body = json.dumps(crowd(3000, 3000))
    context.route(
        re.compile(r"/xai/index"),
        lambda route: route.fulfill(body=body, content_type="application/json"),
    )
    page = context.new_page()
    page.goto(f"{board.url}#xai{link(view='features')}")
    frame = page.frame_locator("iframe[src*='plugin_entry.html?name=xai']")
    start = time.monotonic()
    frame.get_by_role("button", name=re.compile("^Runs")).click(timeout=30_000)
    panel = frame.get_by_role("dialog", name="Runs")
    expect(panel).to_contain_text("2800 more: narrow the filter")
    panel.get_by_role("searchbox").fill("run 2999")
    expect(panel).to_contain_text("1 of 3000 runs")
    page.keyboard.press("Escape")
    frame.get_by_role("button", name=re.compile("^Method")).press("Enter")
    panel = frame.get_by_role("dialog", name="Methods")
    expect(panel).to_contain_text("2800 more")
    panel.get_by_role("searchbox").fill("importance 2999")
    panel.get_by_role("radio").check()
    page.keyboard.press("Escape")
    expect(frame.get_by_role("button", name=re.compile("^Method"))).to_contain_text("2999")
    assert time.monotonic() - start < 20
    # the server knows none of these runs: the page says so and offers to try again
    expect(frame.get_by_role("button", name="Retry").first).to_be_visible()
    expect(frame.get_by_text("One tag is logged but not shown")).to_be_visible()
    inner = next(f for f in page.frames if "name=xai" in f.url)
    over = "document.documentElement.scrollWidth - window.innerWidth"
    assert inner.evaluate(over) <= 0
    page.set_viewport_size({"width": 320, "height": 700})
    assert inner.evaluate(over) <= 0
    assert frame.locator("b[onclick]").count() == 0
    context.close()


def test_a_server_that_is_slow_or_gone_leaves_the_page_usable(
    browser: Browser,  # noqa: F811
    board: Board,
) -> None:
    tab = Tab(browser, board.url, link(view="maps"))
    tab.wait_for_maps()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)  # and never answer

    tab.page.route(re.compile(r"/series\?"), hold)
    tab.view("Features")
    expect(tab.frame.get_by_text("Loading feature importance…")).to_be_visible()
    tab.view("Overview")
    expect(tab.frame.locator(".ov-card").first).to_be_visible()
    tab.page.route(re.compile(r"/series\?"), lambda route: route.fulfill(status=500, body="<html>"))
    for route in held:
        with contextlib.suppress(Error):  # the page gave up those of the view that it left
            route.abort()
    tab.view("Features")
    expect(tab.frame.get_by_text("TensorBoard answered 500").first).to_be_visible(timeout=15_000)
    tab.page.unroute(re.compile(r"/series\?"))
    tab.frame.get_by_role("button", name="Retry").first.click()
    drawn(tab)
    tab.page.route(re.compile(r"/xai/index"), lambda route: route.abort())
    expect(tab.frame.get_by_text("No live update: TensorBoard does not answer")).to_be_visible(
        timeout=20_000
    )
    tab.press("Home")
    assert tab.step_name().startswith("step 0")
    tab.page.unroute(re.compile(r"/xai/index"))
    tab.frame.get_by_role("button", name="Retry").first.click()
    expect(tab.frame.get_by_text("No live update")).to_be_hidden()
    tab.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_features_with_everything_on(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
    theme: str,
) -> None:
    tab = open_tab(IMPORTANCE + link(run="wide-seed0"), url=board.url)
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
    drawn(tab)
    expect(tab.frame.locator(".fx-swarm canvas").first).to_be_visible()
    assert not tab.axe()
    for name in ("Export", re.compile("^Runs")):
        tab.frame.get_by_role("button", name=name).click()
        tab.page.wait_for_timeout(300)
        assert not tab.axe()
        tab.page.keyboard.press("Escape")
    tab.view("Overview")
    expect(tab.frame.locator(".ov-layers").first).to_be_visible(timeout=20_000)
    assert not tab.axe()


def test_high_contrast_and_reduced_motion(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
) -> None:
    tab = open_tab(
        IMPORTANCE, url=board.url, forced_colors="active", reduced_motion="reduce", contrast="more"
    )
    drawn(tab)
    tab.inner.evaluate("document.body.insertAdjacentHTML('beforeend', '<i class=spinner></i>')")
    style = "getComputedStyle(document.querySelector('.spinner')).animationName"
    assert tab.inner.evaluate(style) == "none"
    bar = "getComputedStyle(document.querySelector('.fx-bar i')).backgroundColor"
    assert tab.inner.evaluate(bar) not in ("rgba(0, 0, 0, 0)", "rgb(255, 255, 255)")
    assert not tab.axe()


@pytest.mark.parametrize("width", [320, 3840])
def test_features_fit_from_narrow_to_4k(
    open_tab: Callable[..., Tab],  # noqa: F811
    board: Board,
    width: int,
) -> None:
    tab = open_tab(IMPORTANCE, url=board.url, viewport={"width": width, "height": 1000})
    drawn(tab)
    assert tab.inner.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    heads = tab.frame.locator(".tabs button").all()
    assert all(
        (box := head.bounding_box()) is not None and box["x"] + box["width"] <= width
        for head in heads
    )
