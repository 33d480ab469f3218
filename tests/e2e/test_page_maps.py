"""Maps in a real browser: comparisons, pictures, orders and the large map, of known values."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tb_xai import summary
from tb_xai.summary import Probe
from tests.e2e.board import Board, tensorboard
from tests.e2e.test_page import ROOT, Tab, link
from tests.synthetic import attribution

pytestmark = pytest.mark.browser

STEPS = (0, 10, 20, 30)
EXAMPLES = 8
SIDE = 6
GAPS = [0.01, 0.5, 0.02, 0.4, 0.03, 0.3, 0.04, 0.2]


def _pictures(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (EXAMPLES, SIDE, SIDE, 3)).astype(np.float32)


def _values(seed: int, step: int, *, channels: int = 3) -> np.ndarray:
    """Signed maps that grow twentyfold, with one strong place each; example 1 stands still."""
    rng = np.random.default_rng([seed, step])
    values = rng.normal(size=(EXAMPLES, SIDE, SIDE, channels)) * 0.01 * (1 + 2 * step / 3)
    values[np.arange(EXAMPLES), np.arange(EXAMPLES) % SIDE, 2, 0] *= 9
    values[1] = np.random.default_rng(seed).normal(size=values[1].shape)
    return values.astype(np.float32)


def _log(path: Path) -> None:
    """Runs `a` and `b` of the same pictures, `other` of others; `waves` of series; `layers`."""
    for run, seed, pictures in (("a", 1, 0), ("b", 2, 0), ("other", 3, 9)):
        writer = summary.writer(path / run)
        labels = np.arange(EXAMPLES) % 2
        names = [f"{'even' if i % 2 == 0 else 'odd'} {i}" for i in range(EXAMPLES)]
        probe = Probe(
            {"x": _pictures(pictures)}, labels, {"example_names": names, "class_names": ["0", "1"]}
        )
        hash_ = writer.write_probe(probe)
        for at, step in enumerate(STEPS):
            common: dict[str, Any] = {"progress": at / 3, "probe": hash_, "classes": 2}
            values = _values(seed, step)
            record = attribution("saliency", step, values, labels, **common)
            figures = {**record.figures, "gap": np.array(GAPS, np.float32)}
            writer.write(dataclasses.replace(record, figures=figures))
            if step != 20:
                rough = np.abs(_values(seed + 50, step, channels=1))[:, ::2, ::2, 0]
                writer.write(attribution("grad_cam", step, rough, labels, signed=False, **common))
        writer.close()
    writer = summary.writer(path / "waves")
    rng = np.random.default_rng(4)
    waves = rng.normal(size=(4, 20, 2)).astype(np.float32)
    hash_ = writer.write_probe(Probe({"x": waves}, np.arange(4) % 2, {}))
    for step in STEPS[:2]:
        values = (waves * (step + 1)).astype(np.float32)
        record = attribution(
            "saliency", step, values, np.arange(4) % 2,
            progress=step / 10, probe=hash_, classes=2, kind="sequence",
        )  # fmt: skip
        writer.write(record)
    writer.close()
    writer = summary.writer(path / "layers")
    hash_ = writer.write_probe(Probe({"x": _pictures(0)}, np.arange(EXAMPLES) % 2, {}))
    for step in STEPS[:2]:
        filters = np.maximum(_values(6, step), 0)
        record = attribution(
            "conv", step, filters[..., 0], np.arange(EXAMPLES) % 2,
            progress=step / 10, probe=hash_, classes=2, signed=False, value_name="activation",
            inputs={
                f"filter {f}": {"shape": [SIDE, SIDE], "kind": "image", "of": "x"} for f in range(2)
            },
        )  # fmt: skip
        arrays = {f"filter {f}": filters[..., f] for f in range(2)}
        writer.write(dataclasses.replace(record, arrays=arrays))
    writer.close()


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """TensorBoard on a log made for these tests."""
    path = tmp_path_factory.mktemp("maps")
    _log(path)
    with tensorboard("--logdir", path) as served:
        served.until(lambda: served.steps("waves", "saliency") == list(STEPS[:2]))
        yield served


# --- the same pixels, by NumPy --------------------------------------------------------------------


def _tables() -> dict[str, np.ndarray]:
    """The page's colour tables; that they are matplotlib's, byte for byte, its own tests hold."""
    text = (ROOT / "frontend" / "src" / "colour_tables.ts").read_text(encoding="utf-8")
    tables = {}
    for name, first, packed in re.findall(r'^ {2}(\w+): \["(\w{6})", "(.*)"\],$', text, re.M):
        codes = np.array([ord(c) for c in packed.replace("\\\\", "\\").replace('\\"', '"')]) - 35
        steps = np.stack([codes // 9 - 4, codes % 9 - 4], 1).ravel()[:765].reshape(-1, 3)
        start = [int(first[i : i + 2], 16) for i in (0, 2, 4)]
        tables[name] = np.concatenate([[start], start + np.cumsum(steps, 0)])
        assert tables[name].shape == (256, 3)
    return tables


TABLES = _tables()


class Map(NamedTuple):
    """Values as they travel, and how far they reach."""

    values: np.ndarray
    peak: float

    def end(self, share: float) -> float:
        return float(np.quantile(np.abs(self.values), share, method="inverted_cdf"))


def _tensors(board: Board, route: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    status, body = board.get(route)
    assert status == 200, body
    length = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + length])
    kinds = {"U8": np.uint8, "F32": np.float32, "F64": np.float64, "I32": np.int32, "I64": np.int64}
    arrays = {}
    for name, about in header.items():
        if name != "__metadata__":
            start, end = (8 + length + offset for offset in about["data_offsets"])
            flat = np.frombuffer(body[start:end], kinds[about["dtype"]])
            arrays[name] = flat.reshape(about["shape"])
    return json.loads(header["__metadata__"]["answer"]), arrays


def wire(
    board: Board,
    run: str,
    tag: str,
    step: int,
    example: int,
    channels: str = "sum",
    input_: str | None = None,
) -> Map:
    """One map as the page gets it: bytes over its own range."""
    _, arrays = _tensors(
        board,
        f"attributions?run={run}&tag={tag}&step={step}&channels={channels}&examples={example}"
        + (f"&input={quote(input_)}" if input_ else ""),
    )
    low, high = (float(arrays[f"{end}/{step}"][0]) for end in ("low", "high"))
    values = low + ((high - low) * arrays[f"maps/{step}"][0].astype(float)) / 254
    return Map(values, max(abs(low), abs(high)))


def resampled(values: np.ndarray, size: tuple[int, int], smooth: bool) -> np.ndarray:
    """Values at every pixel of a canvas."""
    places = []
    for count, pixels in zip(values.shape, size, strict=True):
        centre = (np.arange(pixels) + 0.5) * count / pixels
        if smooth:
            centre = np.clip(centre - 0.5, 0, count - 1)
        low = np.minimum(count - 1, np.floor(centre)).astype(int)
        places.append((low, np.minimum(count - 1, low + 1), centre - low if smooth else 0 * centre))
    (top, bottom, down), (left, right, across) = places
    rows = values[top] * (1 - down[:, None]) + values[bottom] * down[:, None]
    return np.asarray(rows[:, left] * (1 - across) + rows[:, right] * across)


def rendered(
    values: np.ndarray,
    limit: float,
    size: tuple[int, int],
    *,
    table: str = "RdBu_r",
    signed: bool = True,
    smooth: bool = True,
    picture: np.ndarray | None = None,
    mix: float = 0.5,
) -> np.ndarray:
    """The colours that a canvas must have."""
    at = resampled(values, size, smooth)
    share = at / limit
    index = np.floor((0.5 + 0.5 * share if signed else np.abs(share)) * 255 + 0.5)
    colours = TABLES[table][np.clip(index, 0, 255).astype(int)]
    if picture is None:
        return colours
    base = np.minimum(0.85, 1.25 * np.abs(at) / limit)
    a = (2 * mix * base if mix <= 0.5 else base + (2 * mix - 1) * (1 - base))[..., None]
    planes = [
        resampled(picture[..., c].astype(float), size, smooth) for c in range(picture.shape[-1])
    ]
    under = np.floor(np.stack(planes, -1) + 0.5)
    return np.floor(under + (colours - under) * a + 0.5)


def cell(tab: Tab, row: int, at: int) -> Locator:
    return tab.frame.locator(f"[role=gridcell][data-row='{row}'][data-at='{at}']")


def pixels(canvas: Locator) -> np.ndarray:
    """The colours of a canvas."""
    data = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
    png = base64.b64decode(data.split(",")[1])
    colours = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"), int)
    assert (colours[..., 3] == 255).all()
    assert np.ptp(colours[..., :3]) > 60, "the case must not be trivial"
    return colours[..., :3]


TALL = {"viewport": {"width": 1400, "height": 1700}}


def go(tab: Tab, to: str) -> None:
    """Another screen in the same tab, as a link within the page does it."""
    tab.page.evaluate("hash => { location.hash = hash; }", f"xai{to}")
    tab.page.wait_for_timeout(300)
    expect(tab.frame.locator(".face.loading")).to_have_count(0, timeout=15_000)


def maps(**keys: str) -> str:
    return link(view="maps", run="a", maps__tag="saliency", **keys)


def size_of(colours: np.ndarray) -> tuple[int, int]:
    return int(colours.shape[0]), int(colours.shape[1])


# --- columns --------------------------------------------------------------------------------------


@pytest.mark.parametrize("smooth", ["on", "off"])
def test_a_difference_to_a_step_is_of_values_and_not_of_colours(
    open_tab: Callable[..., Tab], board: Board, smooth: str
) -> None:
    tab = open_tab(maps(maps__minus="step 10", maps__smooth=smooth), **TALL)
    tab.wait_for_maps()
    for example, at in ((0, 3), (5, 0)):
        one, other = (wire(board, "a", "saliency", s, example) for s in (STEPS[at], 10))
        found = pixels(cell(tab, example, at).locator("canvas"))
        expected = rendered(
            one.values - other.values, max(one.peak, other.peak), size_of(found),
            table="PuOr_r", smooth=smooth == "on",
        )  # fmt: skip
        np.testing.assert_array_equal(found, expected)
    assert "no difference" in (cell(tab, 0, 1).get_attribute("aria-label") or "")
    assert "no difference" in (cell(tab, 1, 3).get_attribute("aria-label") or "")
    legend = tab.frame.get_by_role("group", name="Legend")
    expect(legend).to_contain_text("the larger peak of both maps")
    ratio = max(
        max(a, b) / min(a, b)
        for example in range(EXAMPLES)
        for step in STEPS
        for a, b in [[wire(board, "a", "saliency", s, example).peak for s in (step, 10)]]
    )
    expect(legend).to_contain_text(f"strengths differ up to ×{float(f'{ratio:.3g}'):g}")


def test_magnitudes_are_subtracted_where_signs_are_not_shown(
    open_tab: Callable[..., Tab], board: Board
) -> None:
    tab = open_tab(maps(maps__minus="step 0", maps__values="magnitude"))
    tab.wait_for_maps()
    one, other = (wire(board, "a", "saliency", s, 2, "max") for s in (30, 0))
    found = pixels(cell(tab, 2, 3).locator("canvas"))
    expected = rendered(
        np.abs(one.values) - np.abs(other.values), max(one.peak, other.peak), size_of(found),
        table="PuOr_r",
    )  # fmt: skip
    np.testing.assert_array_equal(found, expected)


def test_a_difference_to_a_run_and_a_run_of_other_examples(
    open_tab: Callable[..., Tab], board: Board
) -> None:
    tab = open_tab(maps(maps__by="runs", maps__minus="run b", step="20"))
    tab.wait_for_maps()
    heads = [h.inner_text() for h in tab.frame.get_by_role("columnheader").all()[1:]]
    assert heads == ["a", "b"]
    one, other = (wire(board, run, "saliency", 20, 3) for run in ("a", "b"))
    found = pixels(cell(tab, 3, 0).locator("canvas"))
    expected = rendered(
        one.values - other.values, max(one.peak, other.peak), size_of(found), table="PuOr_r"
    )
    np.testing.assert_array_equal(found, expected)
    assert "no difference" in (cell(tab, 3, 1).get_attribute("aria-label") or "")
    tab.frame.locator("summary").filter(has_text="no maps").click()
    expect(tab.frame.get_by_text("run other: It explains other examples than a")).to_be_visible()
    # every cell says what its own run predicts
    assert "predicted" in (cell(tab, 0, 1).get_attribute("aria-label") or "")


def test_methods_stand_side_by_side_each_in_its_own_colours(
    open_tab: Callable[..., Tab], board: Board
) -> None:
    tab = open_tab(maps(maps__by="methods", maps__picture="none", maps__scale="shared"), **TALL)
    tab.wait_for_maps()
    heads = [h.inner_text() for h in tab.frame.get_by_role("columnheader").all()[1:]]
    assert heads == ["grad_cam", "saliency"]
    for at, (tag, table) in enumerate((("grad_cam", "viridis"), ("saliency", "RdBu_r"))):
        signed = tag == "saliency"
        # a shared scale is that of a method: gradients and activations have no common unit
        limit = max(wire(board, "a", tag, 30, e).peak for e in range(EXAMPLES))
        found = pixels(cell(tab, 4, at).locator("canvas"))
        own = wire(board, "a", tag, 30, 4)
        expected = rendered(own.values, limit, size_of(found), table=table, signed=signed)
        np.testing.assert_array_equal(found, expected)
    tab.press("ArrowLeft")
    said = cell(tab, 0, 0)
    expect(said).to_have_attribute("aria-label", re.compile("grad_cam, step 20, not logged: "))
    expect(said).to_contain_text("the nearest logged steps are 10 and 30")
    tab.frame.get_by_role("columnheader").get_by_role("button", name="grad_cam").click()
    expect(tab.frame.get_by_role("combobox", name="Method")).to_have_value("grad_cam")


def test_d_compares_with_the_cursor_and_the_link_reproduces_it(
    open_tab: Callable[..., Tab],
) -> None:
    tab = open_tab(maps(step="20"))
    tab.wait_for_maps()
    tab.press("d")
    chip = tab.frame.get_by_role("button", name="difference to step 20: stop comparing")
    expect(chip).to_be_visible()
    tab.page.wait_for_timeout(300)
    again = open_tab(tab.page.url.split("#xai", 1)[1])
    again.wait_for_maps()
    expect(
        again.frame.get_by_role("button", name="difference to step 20: stop comparing")
    ).to_be_visible()
    tab.press("d")
    expect(chip).to_have_count(0)
    tab.frame.get_by_role("button", name="Columns").click()
    tab.frame.get_by_label("Difference to").select_option("run b")
    tab.frame.get_by_label("Columns").last.select_option("runs")
    expect(
        tab.frame.get_by_role("button", name="difference to run b: stop comparing")
    ).to_be_visible()
    tab.page.keyboard.press("Escape")
    expect(tab.frame.get_by_role("dialog")).to_have_count(0)
    expect(tab.frame.get_by_role("button", name="Columns")).to_be_focused()


# --- how maps are drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize("clip", ["99", "90"])
def test_a_clipped_scale_is_the_quantile_of_each_map(
    open_tab: Callable[..., Tab], board: Board, clip: str
) -> None:
    tab = open_tab(maps(maps__clip=clip))
    tab.wait_for_maps()
    own = wire(board, "a", "saliency", 30, 2)
    found = pixels(cell(tab, 2, 3).locator("canvas"))
    limit = own.end(float(clip) / 100)
    if clip == "90":
        assert limit < 0.7 * own.peak
    np.testing.assert_array_equal(found, rendered(own.values, limit, size_of(found)))
    legend = tab.frame.get_by_role("group", name="Legend")
    expect(legend).to_contain_text(f"each map’s {clip} % quantile")
    expect(legend).to_contain_text("values beyond take the last colour")


@pytest.mark.parametrize("rule", ["per example", "shared"])
def test_maps_share_a_scale_that_is_chosen_by_keyboard(
    open_tab: Callable[..., Tab], board: Board, rule: str
) -> None:
    tab = open_tab(maps(), **TALL)
    tab.wait_for_maps()
    choice = tab.frame.get_by_label("Scale")
    choice.focus()
    tab.page.keyboard.type(rule)
    tab.page.keyboard.press("Enter")
    expect(choice).to_have_value(rule.removeprefix("per "))
    legend = tab.frame.get_by_role("group", name="Legend")
    whose = {"per example": "each example’s largest peak", "shared": "the largest peak of all"}
    expect(legend).to_contain_text(whose[rule])
    examples = [2] if rule == "per example" else range(EXAMPLES)
    limit = max(wire(board, "a", "saliency", s, e).peak for s in STEPS for e in examples)
    at = 2 if rule == "per example" else 3
    own = wire(board, "a", "saliency", STEPS[at], 2)
    assert limit > 1.2 * own.peak, "the case must not be trivial"
    found = pixels(cell(tab, 2, at).locator("canvas"))
    np.testing.assert_array_equal(found, rendered(own.values, limit, size_of(found)))


def test_a_place_of_a_small_map_is_read_by_pointing(
    open_tab: Callable[..., Tab], board: Board
) -> None:
    tab = open_tab(maps())
    tab.wait_for_maps()
    canvas = cell(tab, 2, 3).locator("canvas")
    box = canvas.bounding_box()
    assert box is not None
    own = wire(board, "a", "saliency", 30, 2).values
    for row, column in ((0, 0), (2, 2), (5, 1)):
        canvas.hover(
            position={
                "x": (column + 0.5) * box["width"] / SIDE,
                "y": (row + 0.5) * box["height"] / SIDE,
            }
        )
        tip = tab.frame.locator(".tip")
        expect(tip).to_contain_text(f"row {row}, column {column}: ")
        said = tip.inner_text().partition(": ")[2].replace("−", "-")
        assert float(said) == pytest.approx(own[row, column], rel=0.01)


def test_a_band_of_a_time_series_has_the_colours_of_its_values(
    open_tab: Callable[..., Tab], board: Board
) -> None:
    tab = open_tab(link(view="maps", run="waves", maps__scale="example"))
    tab.wait_for_maps()
    length = 20
    maps_of = [wire(board, "waves", "saliency", step, 1) for step in STEPS[:2]]
    limit = max(one.peak for one in maps_of)
    for at, own in enumerate(maps_of):
        assert own.values.shape == (1, length)
        found = pixels(cell(tab, 1, at).locator("canvas"))
        expected = rendered(own.values, limit, size_of(found), smooth=False)
        # the lines of the input run over it, and leave the first and the last rows free
        for row in (0, -1):
            np.testing.assert_array_equal(found[row], expected[row])
        inside = slice(found.shape[1] // length, -found.shape[1] // length)
        crossed = (found != expected).any(axis=(0, 2))[inside]
        assert crossed.all(), "a line runs through every column"


def test_activations_are_maps_without_signs_and_no_explanations(
    open_tab: Callable[..., Tab], board: Board
) -> None:
    tab = open_tab(link(view="maps", run="layers"))
    tab.wait_for_maps()
    expect(tab.frame.get_by_role("combobox", name="Method")).to_have_value("conv")
    legend = tab.frame.get_by_role("group", name="Legend")
    expect(legend).to_contain_text("activation")
    expect(legend).not_to_contain_text("raises")
    tab.frame.get_by_role("combobox", name="Input").select_option("filter 1")
    tab.wait_for_maps()
    own = wire(board, "layers", "conv", 10, 1, input_="filter 1")
    canvas = cell(tab, 1, 1).locator("canvas")
    _, probe = _tensors(
        board, f"probe?run=layers&set={board.index()['layers']['conv']['probe']}&examples=1"
    )
    grey = np.floor(probe["picture"][0].astype(float).mean(-1, keepdims=True) + 0.5)
    found = pixels(canvas)
    expected = rendered(
        own.values, own.peak, size_of(found), table="viridis", signed=False,
        picture=np.broadcast_to(grey, (SIDE, SIDE, 3)),
    )  # fmt: skip
    np.testing.assert_array_equal(found, expected)
    cell(tab, 1, 1).press("Enter")
    dialog = tab.frame.get_by_role("dialog")
    expect(dialog).to_contain_text("activations of the network, no explanation")
    tab.page.keyboard.press("Escape")
    for view in ("Quality", "Features"):  # where explanations are judged there is nothing
        tab.view(view)
        expect(
            tab.frame.get_by_role("heading", name=re.compile("^Run “layers” has no"))
        ).to_be_visible()


@pytest.mark.parametrize("kind", ["grey", "colour"])
def test_a_map_fades_over_its_picture(
    open_tab: Callable[..., Tab], board: Board, kind: str
) -> None:
    tab = open_tab(maps(), **TALL)
    tab.wait_for_maps()
    _, probe = _tensors(
        board, f"probe?run=a&set={board.index()['a']['saliency']['probe']}&examples=6"
    )
    picture = probe["picture"][0].astype(float)
    assert picture.shape == (SIDE, SIDE, 3)
    if kind == "grey":
        picture = np.floor(picture.mean(-1, keepdims=True) + 0.5)
    picture = np.broadcast_to(picture, (SIDE, SIDE, 3))
    own = wire(board, "a", "saliency", 30, 6)
    for mix in (0, 30, 50, 80, 100):
        go(tab, maps(maps__picture=kind, maps__mix=str(mix)))
        found = pixels(cell(tab, 6, 3).locator("canvas"))
        expected = rendered(own.values, own.peak, size_of(found), picture=picture, mix=mix / 100)
        np.testing.assert_array_equal(found, expected, err_msg=f"mix {mix}")
    go(tab, maps(maps__picture=kind))
    tab.frame.get_by_role("button", name="Display").click()
    slider = tab.frame.get_by_role("slider", name="Picture to map")
    slider.focus()
    tab.page.keyboard.press("End")
    expect(slider).to_have_value("100")
    np.testing.assert_array_equal(
        pixels(cell(tab, 6, 3).locator("canvas")), rendered(own.values, own.peak, size_of(found))
    )


def test_only_what_changed_is_painted(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(maps())
    tab.wait_for_maps()
    tab.page.wait_for_timeout(300)
    tab.inner.evaluate(
        """() => {
            window.painted = 0;
            const own = CanvasRenderingContext2D.prototype.putImageData;
            CanvasRenderingContext2D.prototype.putImageData = function (...all) {
                window.painted++;
                return own.apply(this, all);
            };
        }"""
    )
    tab.press("ArrowLeft")
    expect(tab.frame.locator("output.step-name b")).to_have_text("step 20")
    tab.page.wait_for_timeout(200)
    assert tab.inner.evaluate("window.painted") == 0, "every step was on screen already"
    tab.frame.get_by_label("Scale").select_option("shared")
    tab.page.wait_for_timeout(200)
    assert tab.inner.evaluate("window.painted") > 0


@pytest.mark.parametrize("by", ["steps", "methods", "runs"])
def test_requests_of_a_cursor_that_moved_on_are_cancelled(
    open_tab: Callable[..., Tab], by: str
) -> None:
    tab = open_tab(
        maps(maps__by=by, step="0", maps__size="large"), viewport={"width": 480, "height": 700}
    )
    tab.wait_for_maps()
    tab.page.wait_for_timeout(500)
    tab.inner.evaluate(
        """() => {
            window.given_up = [];
            const own = window.fetch;
            window.fetch = (url, options) => {
                if (!String(url).includes("/attributions")) return own(url, options);
                return new Promise((_, reject) => options.signal.addEventListener("abort", () => {
                    window.given_up.push(new URL(url, location).searchParams.getAll("step"));
                    reject(new DOMException("given up", "AbortError"));
                }));
            };
        }"""
    )
    tab.frame.get_by_role("combobox", name="Method").select_option("grad_cam")
    tab.page.wait_for_timeout(300)
    assert tab.inner.evaluate("window.given_up") == []
    tab.frame.get_by_role("combobox", name="Method").select_option("saliency")
    tab.page.wait_for_timeout(300)
    if by != "methods":  # there both methods are on screen all the time
        assert tab.inner.evaluate("window.given_up"), "nothing of grad_cam is wanted any more"


# --- which examples -------------------------------------------------------------------------------


def names(tab: Tab) -> list[str]:
    return [one.inner_text() for one in tab.frame.locator(".example b").all()]


ORDERS: list[tuple[dict[str, str], list[int]]] = [
    ({"sort": "gap"}, [1, 3, 5, 7, 6, 4, 2, 0]),
    ({"sort": "gap", "reverse": "yes"}, [0, 2, 4, 6, 7, 5, 3, 1]),
    ({"sort": "name"}, [0, 2, 4, 6, 1, 3, 5, 7]),
    ({"names": "^EVEN [0-4]"}, [0, 2, 4]),
    ({"names": "even ["}, []),
    ({"label": "1"}, [1, 3, 5, 7]),
    # at step 10 a third of the training is over: those that turn until then are right
    ({"only": "right", "step": "10"}, [0, 1, 2]),
    ({"only": "wrong", "step": "10"}, [3, 4, 5, 6, 7]),
    ({"only": "flips until", "step": "10"}, [0, 1, 2]),
    ({"only": "flips", "step": "10"}, list(range(8))),
    ({"said": "1", "step": "10"}, [1, 4, 6]),
    ({"said": "1", "label": "1", "step": "10"}, [1]),
]


def test_examples_are_sorted_and_filtered(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(maps(), **TALL)
    tab.wait_for_maps()
    for keys, numbers in ORDERS:
        go(tab, maps(**{key if key == "step" else f"maps__{key}": v for key, v in keys.items()}))
        expect(tab.frame.locator(".example b")).to_have_count(len(numbers))
        assert [int(name.split()[1]) for name in names(tab)] == numbers, keys
        if not numbers:
            expect(tab.frame.get_by_text("No example is left by the filter")).to_be_visible()
            tab.frame.get_by_role("button", name="Show all").click()
            expect(tab.frame.locator(".example b")).to_have_count(EXAMPLES)


def test_examples_are_chosen_by_keyboard(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(maps(), **TALL)
    tab.wait_for_maps()
    button = tab.frame.get_by_role("button", name="Examples")
    button.press("Enter")
    field = tab.frame.get_by_role("searchbox", name=re.compile("Filter examples"))
    expect(field).to_be_focused()
    tab.page.keyboard.type("[0-5]$")
    expect(tab.frame.locator(".example b")).to_have_count(6)
    for role, name, typed, numbers in (
        ("combobox", "Order", "completeness", [1, 3, 5, 4, 2, 0]),
        ("combobox", "Label", "1", [1, 3, 5]),
        ("checkbox", "Reversed", " ", [5, 3, 1]),
    ):
        tab.frame.get_by_role(role, name=name).focus()
        tab.page.keyboard.type(typed)
        expect(tab.frame.locator(".example b")).to_have_text(
            [f"{['even', 'odd'][i % 2]} {i}" for i in numbers]
        )
    tab.page.keyboard.press("Escape")
    expect(button).to_be_focused()
    expect(button).to_contain_text("3 of 8")


def test_examples_are_sorted_by_how_far_they_moved(
    open_tab: Callable[..., Tab], board: Board
) -> None:
    tab = open_tab(maps(step="20"), **TALL)
    tab.wait_for_maps()
    tab.frame.get_by_role("button", name="Examples").click()
    tab.frame.get_by_label("Order").select_option("drift")
    answer, arrays = _tensors(board, "drift?run=a&tag=saliency&measure=cosine&against=previous")
    while not answer["complete"]:  # a busy machine needs more than one answer
        answer, arrays = _tensors(board, "drift?run=a&tag=saliency&measure=cosine&against=previous")
    moved = np.argsort(arrays["value"][STEPS.index(20)], kind="stable")
    expect(tab.frame.locator(".example b")).to_have_text(
        [f"{['even', 'odd'][i % 2]} {i}" for i in moved]
    )
    assert moved[-1] == 1, "the example that stands still is the last"


def test_a_server_without_drift_hides_the_order(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(maps())
    tab.wait_for_maps()
    tab.page.route(re.compile("/drift"), lambda route: route.fulfill(status=404, body="Not found"))
    tab.frame.get_by_role("button", name="Examples").click()
    order = tab.frame.get_by_label("Order")
    order.locator("option[value=drift]").wait_for(state="attached")
    order.select_option("drift")
    expect(order.locator("option[value=drift]")).to_have_count(0)
    expect(order).to_have_value("")
    # the browser itself says so of every answer that is 404
    tab.complaints = [one for one in tab.complaints if "404" not in one]


# --- the large map --------------------------------------------------------------------------------


def test_the_large_map_reads_a_place_by_keyboard(
    open_tab: Callable[..., Tab], board: Board
) -> None:
    tab = open_tab(maps(maps__inspect="2", maps__place="3,4", step="20"))
    dialog = tab.frame.get_by_role("dialog")
    reading = dialog.locator(".reading")
    exact = _values(1, 20)[2].sum(-1)
    picture = _pictures(0)[2]

    def said() -> tuple[float, list[float]]:
        text = reading.inner_text().replace("−", "-")
        value, _, inputs = text.partition(": ")[2].partition("; input ")
        return float(value), [float(one) for one in inputs.split(", ")]

    expect(reading).to_contain_text("row 3, column 4: ", timeout=15_000)
    expect(reading).to_contain_text("; input ")
    value, inputs = said()
    assert value == pytest.approx(exact[3, 4], rel=0.01)
    assert inputs == pytest.approx(picture[3, 4], rel=0.01)
    tab.page.keyboard.press("Shift+ArrowUp")
    tab.page.keyboard.press("Shift+ArrowRight")
    expect(reading).to_contain_text("row 2, column 5: ")
    assert said()[0] == pytest.approx(exact[2, 5], rel=0.01)
    expect(
        dialog.get_by_role("img", name=re.compile("attribution at row 2, column 5"))
    ).to_be_visible()
    tab.page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("heading")).to_have_text("even 2, step 10")
    tab.page.keyboard.press("ArrowDown")
    expect(dialog.get_by_role("heading")).to_have_text("odd 3, step 10")
    gap = dialog.get_by_role("row").filter(
        has=tab.frame.get_by_role("rowheader", name="completeness gap")
    )
    expect(gap).to_contain_text("40.0 %")
    dialog.get_by_label("Channels").select_option("each")
    expect(dialog.locator(".large canvas")).to_have_count(3)
    expect(dialog.get_by_text("blue")).to_be_visible()
    tab.page.wait_for_timeout(500)
    again = open_tab(tab.page.url.split("#xai", 1)[1])
    expect(again.frame.get_by_role("dialog").locator(".large canvas")).to_have_count(
        3, timeout=15_000
    )
    tab.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_the_large_map_is_read_by_pointing_and_names_every_figure(
    open_tab: Callable[..., Tab], board: Board
) -> None:
    tab = open_tab(maps(maps__inspect="2", step="20"))
    dialog = tab.frame.get_by_role("dialog")
    canvas = dialog.locator(".large canvas")
    expect(canvas).to_have_count(1, timeout=15_000)
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box is not None
    middle = {"x": 4.5 * box["width"] / SIDE, "y": 3.5 * box["height"] / SIDE}
    canvas.hover(position=middle)
    expect(dialog.locator(".reading")).to_contain_text("row 3, column 4: ")
    canvas.click(position=middle)
    tab.page.mouse.move(1, 1)
    # what was clicked stays, with its course over the steps
    expect(dialog.locator(".reading")).to_contain_text("row 3, column 4: ")
    course = dialog.get_by_role("img", name=re.compile("attribution at row 3, column 4"))
    values = [_values(1, step)[2].sum(-1)[3, 4] for step in STEPS]
    said = (course.get_attribute("aria-label") or "").replace("−", "-")
    found = re.search(r"over steps, (\S+) to (\S+), (\S+) at step 20", said)
    assert found is not None, said
    for text, value in zip(found.groups(), (min(values), max(values), values[2]), strict=True):
        assert float(text) == pytest.approx(value, rel=0.01)
    # every figure of single examples that was logged has a row
    _, arrays = _tensors(board, "series?run=a&tag=saliency")
    single = {name for name, values in arrays.items() if values.shape == (len(STEPS), EXAMPLES)}
    names = {
        "output": "score of the target", "sum_abs": "sum of |values|", "entropy": "complexity",
        "peak": "peak |value|", "gap": "completeness gap",
    }  # fmt: skip
    assert single == {*names, "sum", "confidence", "predicted"}
    rows = dialog.locator("table.figures th").all_inner_texts()
    assert sorted(rows) == sorted(names.values())
    for name in ("confidence", "sum of values"):
        expect(dialog.get_by_role("img", name=re.compile(f"^{name} over steps"))).to_be_visible()


def test_the_large_map_of_a_difference_says_both_sides(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(maps(maps__inspect="4", maps__place="1,1", maps__minus="step 0"))
    reading = tab.frame.get_by_role("dialog").locator(".reading")
    expect(reading).to_contain_text("less", timeout=15_000)
    found = re.search(r": (\S+) = (\S+) less ([^\s;]+)", reading.inner_text().replace("−", "-"))
    assert found is not None
    difference, one, other = (float(part) for part in found.groups())
    assert difference == pytest.approx(one - other, abs=0.02 * max(abs(one), abs(other)))
    assert one == pytest.approx(_values(1, 30)[4, 1, 1].sum(), rel=0.02)


def test_a_step_that_is_not_there_is_explained_in_the_large_map(
    open_tab: Callable[..., Tab],
) -> None:
    tab = open_tab(link(view="maps", run="a", maps__tag="grad_cam", maps__inspect="0", step="20"))
    # the cursor of a method that lacks every third step goes where the others go
    expect(tab.frame.get_by_role("dialog")).to_contain_text(
        re.compile("not logged: grad_cam was not logged at step 20|step 10"), timeout=15_000
    )


def test_time_series_are_lines_over_a_band(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(link(view="maps", run="waves", maps__inspect="1", maps__place="0,7"))
    dialog = tab.frame.get_by_role("dialog")
    expect(dialog.locator(".large canvas")).to_have_count(2, timeout=15_000)
    expect(dialog.locator(".reading")).to_contain_text("time 7: ")
    waves = np.random.default_rng(4).normal(size=(4, 20, 2)).astype(np.float32)
    text = dialog.locator(".reading").inner_text().replace("−", "-")
    values, _, inputs = text.partition(": ")[2].partition("; input ")
    assert [float(v) for v in inputs.split(", ")] == pytest.approx(waves[1, 7], rel=0.01)
    assert [float(v) for v in values.split(", ")] == pytest.approx(11 * waves[1, 7], rel=0.01)


# --- taken along, and for everyone ----------------------------------------------------------------


def test_what_is_seen_can_be_taken_along(open_tab: Callable[..., Tab], board: Board) -> None:
    tab = open_tab(maps(maps__names="even [02]", maps__clip="95"))
    tab.wait_for_maps()
    tab.page.wait_for_timeout(500)
    tab.frame.get_by_role("button", name="Export").click()
    said = tab.frame.get_by_role("dialog", name="Export")
    expect(said).to_contain_text("each map’s 95 % quantile")
    expect(said).to_contain_text("Method: saliency")
    lines = tab.take("CSV").decode().splitlines()
    assert lines[0] == "run,tag,step,less,example,name,label,state,row,column,value"
    assert len(lines) == 1 + 2 * len(STEPS) * SIDE * SIDE
    own = wire(board, "a", "saliency", 30, 2)
    last = lines[-1].split(",")
    assert last[:-1] == ["a", "saliency", "30", "", "2", "even 2", "0", "values", "5", "5"]
    assert float(last[-1]) == pytest.approx(own.values[5, 5], rel=1e-5)
    data = json.loads(tab.take("JSON"))["data"]
    assert data[-1]["scale_end"] == pytest.approx(own.end(0.95))
    np.testing.assert_allclose(data[-1]["values"], own.values.ravel(), rtol=1e-5)
    assert tab.take("PNG").startswith(b"\x89PNG")
    pictures = [e for e in ET.fromstring(tab.take("SVG")).iter() if e.tag.endswith("}image")]
    assert len(pictures) == 2 * len(STEPS)  # of each map


SCREENS = {
    "difference": maps(maps__minus="step 0"),
    "methods": maps(maps__by="methods"),
    "runs": maps(maps__by="runs"),
    "large": maps(maps__inspect="1", maps__place="2,2", maps__channels="each"),
    "waves": link(view="maps", run="waves"),
    "nothing left": maps(maps__names="nobody"),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_in_any_screen(open_tab: Callable[..., Tab], theme: str) -> None:
    tab = open_tab(maps(), reduced_motion="reduce")
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
    tab.wait_for_maps()
    for screen, to in SCREENS.items():
        go(tab, to)
        for panel in {"runs": ["Examples"], "difference": ["Columns", "Display"]}.get(screen, []):
            tab.frame.get_by_role("button", name=panel).click()
        tab.page.wait_for_timeout(500)
        found = tab.axe()
        assert not found, json.dumps([screen, found])
        tab.page.keyboard.press("Escape")


@pytest.mark.parametrize("width", [320, 3840])
def test_screens_fit_narrow_and_wide_windows(open_tab: Callable[..., Tab], width: int) -> None:
    tab = open_tab(maps(), viewport={"width": width, "height": 740})
    tab.wait_for_maps()
    for screen, to in SCREENS.items():
        go(tab, to)
        if screen != "large":
            for panel in ("Columns", "Examples", "Display"):
                tab.frame.get_by_role("button", name=panel).click()
                box = tab.frame.get_by_role("dialog", name=panel).bounding_box()
                assert box is not None
                assert box["x"] >= 0, (screen, panel)
                assert box["x"] + box["width"] <= width, (screen, panel)
                tab.page.keyboard.press("Escape")
        over = tab.inner.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert over <= 0, screen
        tab.page.keyboard.press("Escape")
