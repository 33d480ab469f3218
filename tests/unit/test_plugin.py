"""The HTTP routes as pure functions, and as a WSGI application that strangers call."""

from __future__ import annotations

import dataclasses
import gzip
import json
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tensorboard import errors
from tensorboard.plugins import base_plugin
from werkzeug.test import Client, TestResponse

from tb_xai import drift, plugin, reader, summary
from tb_xai.loader import Loader
from tb_xai.plugin import Plugin
from tb_xai.summary import Probe, Record
from tests.synthetic import HOSTILE_TAG, image_probe, image_values, make_log


def unpack(body: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    length = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + length])
    return safetensors.numpy.load(body), json.loads(header["__metadata__"]["answer"])


def make_plugin(path: Path) -> Plugin:
    flags = types.SimpleNamespace(logdir=str(path), logdir_spec="")
    provider = reader._EventFiles(str(path))
    return Plugin(base_plugin.TBContext(data_provider=provider, logdir=str(path), flags=flags))


Get = Callable[..., TestResponse]


def getter(served: Plugin) -> Get:
    apps = served.get_plugin_apps()

    def get(path: str, method: str = "GET", **options: Any) -> TestResponse:
        route = path.split("?", maxsplit=1)[0]
        app = apps.get(route) or apps["/static/*"]
        return Client(app).open(path, method=method, **options)

    return get


@pytest.fixture(scope="module")
def log(synthetic_log: Path) -> reader.Log:
    return reader.open(synthetic_log)


@pytest.fixture(scope="module")
def get(synthetic_log: Path) -> Get:
    return getter(make_plugin(synthetic_log))


# --- maps ---------------------------------------------------------------------------------------


def restored(tensors: dict[str, np.ndarray], step: int) -> np.ndarray:
    q = tensors[f"maps/{step}"].astype(np.float64)
    low, high = tensors[f"low/{step}"][:, None, None], tensors[f"high/{step}"][:, None, None]
    return np.where(q == 255, np.nan, low + (high - low) * q / 254)


def test_bytes_are_the_logged_values_within_half_a_step(log: reader.Log) -> None:
    body, answer = plugin.attributions(log, "digits", "integrated_gradients", [0, 3])
    tensors, packed = unpack(body)
    assert packed == json.loads(json.dumps(answer))
    assert answer["shape"] == [8, 8]
    assert answer["examples"] == list(range(16))
    for step, progress in ((0, 0.0), (3, 1.0)):
        probe = image_probe()
        expected = (image_values(probe, progress, step) * probe.inputs["x"] / 16)[..., 0]
        peak = np.abs(expected).max((1, 2), keepdims=True)
        assert (peak > 0).all()
        error = np.abs(restored(tensors, step) - expected)
        assert (error <= peak * (1 / 254 + 1e-3)).all()
        np.testing.assert_array_equal(tensors[f"low/{step}"], -tensors[f"high/{step}"])
        values, _ = plugin.attributions(
            log, "digits", "integrated_gradients", [step], dtype="float32"
        )
        np.testing.assert_allclose(
            unpack(values)[0][f"maps/{step}"], expected, rtol=1e-3, atol=peak.max() * 1e-6
        )


def test_zero_and_not_finite_have_bytes_of_their_own(log: reader.Log) -> None:
    tensors, _ = unpack(plugin.attributions(log, "digits", "saliency", [0, 1])[0])
    assert (tensors["maps/0"][1] == 127).all()
    assert tensors["low/0"][1] == tensors["high/0"][1] == 0
    assert (tensors["maps/1"][2] == 255).all()
    assert tensors["low/1"][2] == tensors["high/1"][2] == 0
    assert not (tensors["maps/1"][3] == 255).any()


@pytest.mark.parametrize("signed", [True, False])
def test_quantizing_is_exact_where_it_must_be(signed: bool) -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(40, 5, 7)).astype(np.float32)
    maps *= 10.0 ** rng.uniform(-40, 37, (40, 1, 1))
    maps[rng.uniform(size=maps.shape) < 0.1] = 0
    maps[0, 0, :3] = [np.nan, np.inf, -np.inf]
    maps[1] = 0
    maps[2] = np.nan
    maps[3] = 3.4e38
    maps[4] = -3.4e38
    if not signed:
        maps = np.abs(maps)
    q, low, high = plugin._quantize(maps, signed)
    finite = np.isfinite(maps)
    assert ((q == 255) == ~finite).all()
    assert (q[finite & (maps == 0)] == (127 if signed else 0)).all()
    span = high.astype(np.float64) - low
    back = low[:, None, None] + span[:, None, None] * q / 254.0
    error = np.abs(back - np.where(finite, maps, back).astype(np.float64))
    assert (error <= span[:, None, None] / 254 * 0.5000001 + 1e-44).all()
    if signed:
        np.testing.assert_array_equal(low, -high)
    else:
        assert (low == 0).all()


def test_maps_shrink_by_averaging_whole_blocks() -> None:
    maps = np.arange(2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7)
    small = plugin._shrink(maps, 3)  # blocks of 3 x 3; those at the edge are smaller
    assert small.shape == (2, 2, 3)
    for i in range(2):
        for r in range(2):
            for c in range(3):
                block = maps[i, 3 * r : 3 * r + 3, 3 * c : 3 * c + 3]
                assert small[i, r, c] == pytest.approx(block.mean())
    maps[0, 0, 0] = np.nan
    maps[1, 3:, 3:6] = np.inf
    small = plugin._shrink(maps, 3)
    assert small[0, 0, 0] == pytest.approx(np.nanmean(maps[0, :3, :3]))
    assert np.isnan(small[1, 1, 1])
    assert plugin._shrink(maps, 7) is maps


@pytest.mark.parametrize(
    ("shape", "kind", "expected"),
    [
        ((3, 9), "flat", (3, 1, 9)),
        ((3, 6, 5), "image", (3, 6, 5)),
        ((3, 6, 5), "sequence", (3, 1, 6)),
        ((3, 6, 5, 4), "image", (3, 6, 5)),
        ((3, 2, 6, 5, 4), "other", (3, 12, 5)),
        ((3,), "", (3, 1, 1)),
    ],
)
def test_every_shape_becomes_rows_and_columns(
    shape: tuple[int, ...], kind: str, expected: tuple[int, ...], tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    writer = summary.writer(tmp_path)
    meta = {"inputs": {"x": {"shape": list(shape[1:]), "kind": kind}}}
    writer.write(Record("t", 0, 0.0, "attribution", meta, {}, {"x": x}), dtype="float32")
    writer.close()
    log = reader.open(tmp_path)
    for channels in ("sum", "max", "all"):
        body, answer = plugin.attributions(log, ".", "t", [0], channels=channels, dtype="float32")
        maps = unpack(body)[0]["maps/0"]
        assert maps.shape[:3] == expected
        assert answer["shape"] == list(maps.shape[1:])
        assert answer["signed"] == (channels != "max")
        c = x.size // int(np.prod(expected))
        planes = x.reshape(*expected, c)
        folded = {"sum": planes.sum(-1), "max": np.abs(planes).max(-1), "all": planes}[channels]
        np.testing.assert_allclose(maps, folded, rtol=1e-6)


@pytest.mark.parametrize(
    "asked",
    [{}, {"size": 5}, {"dtype": "float32"}, {"examples": [6, 0, 1, 5]}, {"channels": "max"}],
    ids=str,
)
def test_maps_made_in_parts_are_those_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    values = np.random.default_rng(0).normal(size=(7, 12, 9, 3)).astype(np.float32)
    values[3, 4:] = np.nan
    writer = summary.writer(tmp_path / "run")
    writer.write(Record("t", 0, 1.0, "attribution", arrays={"x": values}))
    writer.close()
    log = reader.open(tmp_path)
    whole = plugin.attributions(log, "run", "t", [0], **asked)
    for examples in (1, 2, 3):
        monkeypatch.setattr(plugin, "_PART", examples * 12 * 9 * 3)
        assert plugin.attributions(log, "run", "t", [0], **asked) == whole


def test_several_inputs_and_standard_errors(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    arrays = {
        "b": np.full((2, 3), 2.0, np.float32),
        "b.stderr": np.full((2, 3), 0.5, np.float32),
        "a": np.full((2, 4), 1.0, np.float32),
    }
    meta = {"inputs": {name: {"shape": [3], "kind": "flat"} for name in ("b", "a")}}
    writer.write(Record("t", 0, 0.0, "attribution", meta, {}, arrays))
    writer.close()
    log = reader.open(tmp_path)
    first, answer = plugin.attributions(log, ".", "t", [0], dtype="float32")
    assert answer["input"] == "b"
    assert unpack(first)[0]["maps/0"].shape == (2, 1, 3)
    _, answer = plugin.attributions(log, ".", "t", [0], input="a")
    assert answer["shape"] == [1, 4]
    body, answer = plugin.attributions(log, ".", "t", [0], input="b.stderr")
    assert not answer["signed"]
    assert (restored(unpack(body)[0], 0) == 0.5).all()
    with pytest.raises(errors.InvalidArgumentError, match=r"input must be one of .*'a', 'b'"):
        plugin.attributions(log, ".", "t", [0], input="c")


def test_lost_files_are_entries_not_errors(tmp_path: Path) -> None:
    make_log(tmp_path, ["digits"], steps=4, damage=False, hostile=False)
    arrays = tmp_path / "digits" / "xai" / "plugins" / "xai"
    (gone,) = arrays.glob("saliency-*-1-*")
    gone.unlink()
    (cut,) = arrays.glob("saliency-*-3-*")
    cut.write_bytes(cut.read_bytes()[:-1])
    get = getter(make_plugin(tmp_path))
    address = "/attributions?run=digits&tag=saliency&step=0&step=1,2&step=3&v=1700000003.0"
    response = get(address)
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    tensors, answer = unpack(response.data)
    assert answer["steps"] == [0, 2]
    assert set(tensors) == {f"{name}/{step}" for name in ("maps", "low", "high") for step in (0, 2)}
    assert [entry["step"] for entry in answer["missing"]] == [1, 3]
    assert answer["missing"][0]["reason"] == "The file of step 1 was deleted."
    assert "damaged" in answer["missing"][1]["reason"]
    assert get("/index").status_code == 200
    set_ = reader.open(tmp_path).records("digits", "saliency")[0].meta["probe"]
    for path in arrays.glob("probe-*"):
        path.unlink()
    response = get(f"/probe?run=digits&set={set_}")
    assert (response.status_code, response.text) == (
        404,
        f"The file of probe set {set_} was deleted.",
    )


def test_an_example_that_one_step_lacks_is_missing_there(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    for step, n in enumerate((2, 4)):
        x = {"x": np.ones((n, 3), np.float32)}
        writer.write(Record("t", step, 0.0, "attribution", {}, {"output": x["x"][:, 0]}, x))
    writer.close()
    log = reader.open(tmp_path)
    _, answer = plugin.attributions(log, ".", "t", [0, 1], [3])
    assert answer["steps"] == [1]
    assert answer["missing"] == [{"step": 0, "reason": "Step 0 has 2 examples; 3 was asked for."}]
    with pytest.raises(errors.InvalidArgumentError, match=r"examples must be below 4"):
        plugin.attributions(log, ".", "t", [0, 1], [4])


def test_no_answer_is_larger_than_16_mb(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    x = np.zeros((64, 224, 224), np.float32)
    for step in range(12):
        writer.write(Record("t", step, 0.0, "attribution", {}, {}, {"x": x}))
    wide = {"mean": np.zeros(200_000)}
    for step in range(12):
        writer.write(Record("wide", step, 0.0, "importance", {}, wide))
    writer.close()
    get = getter(make_plugin(tmp_path))
    steps = ",".join(map(str, range(12)))
    for address in (
        f"/attributions?run=.&tag=t&step={steps}",
        "/attributions?run=.&tag=t&step=0,1&dtype=float32",
        "/series?run=.&tag=wide&figure=mean",
    ):
        response = get(address)
        assert response.status_code == 400
        assert "larger than 16 MB; ask for " in response.text
    for address in (
        f"/attributions?run=.&tag=t&step={steps}&size=112",
        "/attributions?run=.&tag=t&step=0&dtype=float32",
        "/series?run=.&tag=wide",
        "/series?run=.&tag=wide&columns=0,199999",
        "/series?run=.&tag=wide&figure=mean&columns=5",
    ):
        response = get(address)
        assert response.status_code == 200
        assert len(response.data) <= 16 * 2**20


def test_disk_reads_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "SOURCE_LIMIT", 1000)
    write = summary.writer(tmp_path)
    write.write(Record("t", 0, 0.0, "attribution", {}, {}, {"x": np.zeros((9, 8, 8))}))
    write.close()
    log = reader.open(tmp_path)
    with pytest.raises(errors.InvalidArgumentError, match="ask for fewer"):
        plugin.attributions(log, ".", "t", [0], size=1)


# --- probe sets ---------------------------------------------------------------------------------


def test_pictures_span_the_range_of_the_whole_set(log: reader.Log) -> None:
    set_ = log.records("digits", "saliency")[0].meta["probe"]
    x = image_probe().inputs["x"]
    tensors, answer = unpack(plugin.probe(log, "digits", set_, [2, 9])[0])
    assert (answer["low"], answer["high"]) == (x.min(), x.max())
    expected = (x[[2, 9]] - x.min()) / (x.max() - x.min()) * 255
    assert np.abs(tensors["picture"] - expected).max() <= 0.5001
    assert tensors["labels"].tolist() == [2, 9]
    small, _ = unpack(plugin.probe(log, "digits", set_, [2], size=4)[0])
    assert small["picture"].shape == (1, 4, 4, 1)


def test_probe_sets_of_other_shapes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (2, 4, 4, 3)).astype(np.uint8)
    cases = {
        "rgb": (rgb, "image", ("picture", (2, 4, 4, 3))),
        "channels": (rng.uniform(size=(2, 4, 4, 5)), "image", ("picture", (2, 4, 4, 1))),
        "grey": (rng.uniform(size=(2, 9, 9)), "image", ("picture", (2, 9, 9, 1))),
        "constant": (np.full((2, 9, 9), 3.0), "image", ("picture", (2, 9, 9, 1))),
        "ids": (rng.integers(0, 99, (2, 7)), "sequence", ("values", (2, 7))),
        "steps": (rng.uniform(size=(2, 30, 3)), "sequence", ("values", (2, 30, 3))),
        "scalar": (rng.uniform(size=2), "other", ("values", (2,))),
    }
    labels = {
        "rgb": (np.eye(3)[[2, 0]], "labels", [2, 0]),
        "channels": (np.array([[1], [0]]), "labels", [1, 0]),
        "grey": (np.array([0.5, 1.5]), "label_values", [0.5, 1.5]),
        "constant": (np.array([True, False]), "labels", [1, 0]),
        "ids": (np.array([[1.0, 1.0], [0.0, 0.0]]), "label_values", [[1, 1], [0, 0]]),
    }
    writer = summary.writer(tmp_path)
    sets = {
        name: writer.write_probe(Probe({"x": x}, labels[name][0] if name in labels else None))
        for name, (x, _, _) in cases.items()
    }
    texts = writer.write_probe(Probe({"words": np.array([["a", "<b>"], ["c", "d"]])}))
    writer.write(Record("t", 0, 0.0, "importance"))
    writer.close()
    log = reader.open(tmp_path)
    for name, (_, kind, (tensor, shape)) in cases.items():
        tensors, answer = unpack(plugin.probe(log, ".", sets[name])[0])
        assert (answer["kind"], tensors[tensor].shape) == (kind, shape), name
        if name in labels:
            _, which, expected = labels[name]
            assert tensors[which].tolist() == expected
    assert (unpack(plugin.probe(log, ".", sets["constant"])[0])[0]["picture"] == 0).all()
    _, answer = unpack(plugin.probe(log, ".", texts, [1])[0])
    assert answer["texts"] == [["c", "d"]]
    with pytest.raises(errors.InvalidArgumentError, match="input must be one of"):
        plugin.probe(log, ".", texts, input="x")


# --- series and findings ------------------------------------------------------------------------


def test_the_largest_figures_are_left_out_of_what_would_be_too_large(
    log: reader.Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = plugin.series(log, "digits", "saliency")
    assert "omitted" not in whole
    found = log.series("digits", "saliency")
    sizes = {name: array.nbytes for name, array in found.items()}
    for name in ("prediction", "gradient_histogram", "grid", "grid_signed"):
        sizes.pop(name, None)
    largest = max(sizes, key=lambda name: (sizes[name], name))
    monkeypatch.setattr(plugin, "ANSWER_LIMIT", sum(sizes.values()) - 1)
    body, answer = plugin.series(log, "digits", "saliency")
    (omitted,) = answer["omitted"].items()
    assert omitted == (omitted[0], sizes[largest])
    assert omitted[0] not in safetensors.numpy.load(body)
    body, answer = plugin.series(log, "digits", "saliency", [omitted[0]])
    assert omitted[0] in safetensors.numpy.load(body)


def test_series_arrive_in_dtypes_that_the_page_reads(log: reader.Log) -> None:
    for tag in log.tags("digits"):
        tensors, answer = unpack(plugin.series(log, "digits", tag)[0])
        assert {t.dtype.name for t in tensors.values()} <= {"int64", "float64", "float32", "int32"}
        assert tensors["steps"].tolist() == log.steps("digits", tag)
        assert answer["missing"] == []
        assert "prediction" not in tensors
    tensors, _ = unpack(plugin.series(log, "digits", "saliency", ["prediction"])[0])
    assert tensors["prediction"].shape == (3, 16, 10)


def test_columns_and_figures_are_chosen(log: reader.Log) -> None:
    whole, _ = unpack(plugin.series(log, "digits", "permutation_importance")[0])
    some, answer = unpack(
        plugin.series(log, "digits", "permutation_importance", ["mean"], [11, 1])[0]
    )
    np.testing.assert_array_equal(some["mean"], whole["mean"][:, [11, 1]])
    assert answer["names"] == ["unused", "texture"]
    assert set(some) == {"steps", "wall_times", "epochs", "mean"}
    with pytest.raises(errors.InvalidArgumentError, match="columns must be below 12"):
        plugin.series(log, "digits", "permutation_importance", columns=[12])
    with pytest.raises(errors.InvalidArgumentError, match="figure must be one of"):
        plugin.series(log, "digits", "permutation_importance", ["median"])


def test_single_steps_are_chosen(log: reader.Log, get: Get) -> None:
    whole, about = unpack(plugin.series(log, "digits", "integrated_gradients")[0])
    some, chosen = unpack(plugin.series(log, "digits", "integrated_gradients", steps=[3, 1])[0])
    assert set(some) == set(whole)
    for name, values in some.items():
        np.testing.assert_array_equal(values, whole[name][[1, 3]])
    assert chosen["masks"] == about["masks"]
    answer = get("/series?run=digits&tag=integrated_gradients&step=2&figure=output")
    assert unpack(answer.data)[0]["steps"].tolist() == [2]
    assert get("/series?run=digits&tag=saliency&step=2&step=77").status_code == 404
    assert get("/series?run=digits&tag=saliency&step=two").status_code == 400


def test_findings_are_plain_json(get: Get) -> None:
    response = get("/findings?run=digits")
    assert response.status_code == 200
    answer = json.loads(response.data)
    assert answer["run"] == "digits"
    for finding in answer["findings"]:
        assert {"rule", "severity", "first_step", "last_step", "tag", "text"} <= set(finding)
    assert get("/findings?run=nope").status_code == 404


# --- drift --------------------------------------------------------------------------------------


def test_drift_is_that_of_the_module_on_the_logged_values(log: reader.Log) -> None:
    records = log.records("digits", "integrated_gradients")
    rows = plugin._Rows()  # what one question leaves there is no answer to another
    for name, measure in drift.MEASURES.items():
        tensors, answer = unpack(
            plugin.drift(log, "digits", "integrated_gradients", name, rows=rows)[0]
        )
        expected = drift.series(records, measure)
        np.testing.assert_allclose(tensors["value"], expected.values, rtol=1e-6)
        np.testing.assert_allclose(tensors["mean"], expected.mean, rtol=1e-6)
        assert tensors["against"].tolist() == [-1, 0, 1, 2]
        assert answer["reasons"] == ["Nothing was logged before this step.", None, None, None]
        assert answer["deterministic"]
        assert answer["complete"]
        assert (tensors["floor"][1:] == 1).all()
        assert np.ptp(tensors["value"][1:]) > 0.01
    for against, reference in (("first", 0), (2, 2)):
        found, answer = unpack(
            plugin.drift(log, "digits", "integrated_gradients", "cosine", against, rows=rows)[0]
        )
        expected = drift.series(records, reference=reference)
        np.testing.assert_allclose(found["value"], expected.values, rtol=1e-6)
        assert found["against"].tolist() == [reference] * 4
        assert answer["against"] == against
        assert answer["reasons"] == [None] * 4


def test_undefined_examples_are_nan_and_count_in_no_mean(log: reader.Log) -> None:
    tensors, _ = unpack(plugin.drift(log, "digits", "saliency", "cosine")[0])
    value = tensors["value"]
    assert tensors["steps"].tolist() == [0, 1, 3]
    assert np.flatnonzero(np.isnan(value[1])).tolist() == [1, 2]  # all zero before, NaN now
    assert np.flatnonzero(np.isnan(value[2])).tolist() == [2]
    assert tensors["mean"][1] == pytest.approx(np.nanmean(value[1]))
    assert np.isnan(tensors["floor"][1, 1])


def test_methods_are_compared_at_the_same_steps(log: reader.Log) -> None:
    body, _ = plugin.drift(log, "digits", "grad_cam", "spearman", other="saliency", examples=[3, 0])
    tensors, answer = unpack(body)
    a = log.arrays("digits", "saliency", 3, [3, 0])["x"].sum(-1, dtype=np.float64)
    b = log.arrays("digits", "grad_cam", 3, [3, 0])["x"]
    halves = np.abs(a).reshape(2, 4, 2, 4, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(tensors["value"][3], drift.spearman(halves, b), rtol=1e-6)
    assert answer["compared"] == "magnitudes, maps of 4 x 4"
    assert answer["reasons"][2] == "Tag 'saliency' did not log step 2."
    assert "floor" not in tensors
    _, answer = unpack(plugin.drift(log, "digits", "saliency", "cosine", other="flat_gradients")[0])
    assert "explained other examples" in answer["reasons"][0]


def noisy(path: Path, steps: int = 4) -> Path:
    """A sampled method over a table, with standard errors of a fifth of the values' spread."""
    rng = np.random.default_rng(0)
    writer = summary.writer(path)
    for step in range(steps):
        values = rng.normal(size=(3, 9))
        arrays = {"x": values, "x.stderr": np.full((3, 9), 0.2)}
        writer.write(Record("shap", step, float(step), "attribution", {}, {}, arrays))
        figures = {"mean": values[0], "stderr": np.full(9, 0.2)}
        writer.write(Record("importance", step, float(step), "importance", {}, figures))
    writer.close()
    return path


def test_sampled_methods_have_a_noise_floor_below_one(tmp_path: Path) -> None:
    log = reader.open(noisy(tmp_path))
    for tag in ("shap", "importance"):
        tensors, answer = unpack(plugin.drift(log, ".", tag, "cosine")[0])
        expected = drift.noise_floor(log.records(".", tag))
        np.testing.assert_allclose(tensors["floor"][1:], expected.values[1:], rtol=1e-6)
        assert not answer["deterministic"]
        assert (tensors["floor_mean"][1:] < 0.995).all()
        assert (tensors["floor_mean"][1:] > 0.8).all()
    _, answer = unpack(plugin.drift(log, ".", "shap", "ssim")[0])
    assert set(answer["reasons"][1:]) == {
        "SSIM compares pictures of at least 3 x 3, and this tag holds none."
    }


def test_a_growing_log_computes_new_pairs_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_log(tmp_path, ("digits",), steps=4, hostile=False)
    ask = getter(make_plugin(tmp_path))
    read: list[int] = []
    arrays = reader.Log.arrays

    def counted(self: reader.Log, run: str, tag: str, step: int, *rest: Any) -> Any:
        read.append(step)
        return arrays(self, run, tag, step, *rest)

    monkeypatch.setattr(reader.Log, "arrays", counted)
    address = "/drift?run=digits&tag=integrated_gradients&measure=cosine"
    first = ask(address)
    assert first.headers["Cache-Control"] == "no-store"
    assert sorted(read) == [0, 1, 2, 3]  # each record once, though most are in two pairs
    read.clear()
    assert ask(address).data == first.data
    assert read == []
    writer = summary.writer(tmp_path / "digits")
    (last,) = reader.open(tmp_path).records("digits", "integrated_gradients")[-1:]
    arrays_again = {"x": -last.arrays["x"]}
    for step, values in ((3, arrays_again), (4, dict(last.arrays))):  # step 3 is logged again
        writer.write(dataclasses.replace(last, step=step, wall_time=9e9 + step, arrays=values))
    writer.close()
    read.clear()
    tensors, _ = unpack(ask(address).data)
    assert sorted(read) == [2, 3, 4]
    assert tensors["mean"][4] == pytest.approx(-1)
    before = unpack(first.data)[0]
    np.testing.assert_array_equal(tensors["mean"][:3], before["mean"][:3])
    assert tensors["mean"][3] == pytest.approx(-before["mean"][3])


def test_a_long_computation_is_answered_in_parts(
    log: reader.Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = unpack(plugin.drift(log, "digits", "integrated_gradients", "kendall")[0])[0]
    record = 16 * 64 * 2  # bytes
    parts = (("DRIFT_SECONDS", -1.0, [1, 2, 3]), ("SOURCE_LIMIT", 4 * record, [2, 3, 3]))
    for name, limit, expected in parts:
        with monkeypatch.context() as patched:
            patched.setattr(plugin, name, limit)
            rows = plugin._Rows()
            known = []
            for _ in range(3):
                body, answer = plugin.drift(
                    log, "digits", "integrated_gradients", "kendall", rows=rows
                )
                tensors, _ = unpack(body)
                known.append(int(np.isfinite(tensors["mean"]).sum()))
                assert answer["complete"] == (known[-1] == 3)
        assert known == expected
        np.testing.assert_array_equal(tensors["value"], whole["value"])


def test_drift_that_was_computed_is_forgotten_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "DRIFT_ROWS", 3 * 540)
    rows = plugin._Rows()
    row = (np.zeros(10, np.float32), None, "")
    for key in "abc":
        rows.put(key, row)
    assert rows.get("a") is not None
    rows.put("d", row)
    assert [key for key in "abcd" if rows.get(key)] == ["a", "c", "d"]


def test_a_lost_file_is_a_reason_and_no_error(tmp_path: Path) -> None:
    make_log(tmp_path, ("digits",), steps=5, hostile=False, damage=False)
    ask = getter(make_plugin(tmp_path))
    log = reader.open(tmp_path)
    names = {each.record.step: each.file for each in log.stored("digits", "saliency")}
    files = {step: next(tmp_path.rglob(str(name))) for step, name in names.items()}
    files[1].unlink()
    files[3].write_bytes(files[3].read_bytes()[:50])
    for against in ("previous", "first", "1"):
        response = ask(f"/drift?run=digits&tag=saliency&measure=cosine&against={against}")
        assert response.status_code == 200
        tensors, answer = unpack(response.data)
        assert answer["complete"]
        lost = {"previous": [0, 1, 2, 3, 4], "first": [1, 3], "1": [0, 1, 2, 3, 4]}[against]
        assert np.flatnonzero(np.isnan(tensors["mean"])).tolist() == lost
        assert [i for i, reason in enumerate(answer["reasons"]) if reason] == lost
        assert answer["reasons"][1] == "The file of step 1 was deleted."
        if against != "1":
            assert "The file of step 3 is damaged" in answer["reasons"][3]


def test_figures_of_quality_come_with_reasons_and_masks(log: reader.Log) -> None:
    tensors, answer = unpack(
        plugin.series(log, "digits", "integrated_gradients", columns=[15, 0])[0]
    )
    assert np.isnan(tensors["faithfulness"][:, 0]).all()
    assert np.isfinite(tensors["faithfulness"][:, 1]).all()
    assert answer["reasons"]["infidelity"].endswith(".")
    assert answer["masks"] == {"stroke": {"area": [0.25, 0.25], "suspect": False}}
    assert answer["unmeasured"] == {}
    _, answer = unpack(plugin.series(log, "digits", "saliency")[0])
    assert answer["reasons"] == {}
    assert "masks" not in answer


def test_a_figure_that_takes_turns_names_the_steps_without(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    turn = "Measured at one of 2 steps."
    for step in range(4):
        quality = {"insertion": turn} if step % 2 else {}
        figures = {"output": np.zeros(3)} | ({} if step % 2 else {"insertion": np.ones(3)})
        quality["gap"] = "This method has none."
        writer.write(Record("ig", step, 0.0, "attribution", {"quality": quality}, figures))
    writer.close()
    tensors, answer = unpack(plugin.series(reader.open(tmp_path), ".", "ig")[0])
    assert answer["reasons"] == {"insertion": turn, "gap": "This method has none."}
    assert answer["unmeasured"] == {"insertion": [1, 3]}
    assert np.isfinite(tensors["insertion"]).all(axis=1).tolist() == [True, False, True, False]


# --- the index ----------------------------------------------------------------------------------


def test_the_revision_changes_with_the_answer_and_only_then(tmp_path: Path) -> None:
    make_log(tmp_path, ["a"], steps=2)
    get = getter(make_plugin(tmp_path))
    first = json.loads(get("/index").data)
    assert json.loads(get("/index").data) == first
    again = json.loads(get(f"/index?revision={first['revision']}").data)
    assert again == {"version": 1, "revision": first["revision"], "unchanged": True}
    assert json.loads(getter(make_plugin(tmp_path))("/index").data) == first
    writer = summary.writer(tmp_path / "a")
    writer.scalars({"xai/saliency/gap": 1.0}, 5)
    assert json.loads(get("/index").data) == first
    writer.write(Record("new", 0, 0.0, "importance"))
    writer.close()
    second = json.loads(get(f"/index?revision={first['revision']}").data)
    assert second["revision"] != first["revision"]
    assert "new" in {tag["name"] for tag in second["runs"][0]["tags"]}


def test_of_many_who_ask_at_once_one_makes_the_answer() -> None:
    made, version = [], [0]
    begun, go_on = threading.Event(), threading.Event()

    def make() -> dict[str, Any]:
        made.append(version[0])
        begun.set()
        assert go_on.wait(10)
        return {"answer": made[-1]}

    answers = plugin._Answers(2)
    bodies: list[bytes] = []

    def ask() -> None:
        bodies.append(answers.get("run", lambda: version[0], make).body)

    first = threading.Thread(target=ask)
    first.start()
    assert begun.wait(10)
    version[0] = 1  # the log grows while the first answer is made
    others = [threading.Thread(target=ask) for _ in range(8)]
    for thread in others:
        thread.start()
    while not all(thread.is_alive() for thread in others):
        time.sleep(0.01)
    time.sleep(0.1)
    go_on.set()
    for thread in (first, *others):
        thread.join(10)
    assert made == [0, 1]
    assert sorted(bodies) == [b'{"answer":0}'] + 8 * [b'{"answer":1}']
    assert answers.get("run", lambda: 1, make).body == b'{"answer":1}'
    assert made == [0, 1]


def test_answers_are_forgotten_and_failures_never_kept() -> None:
    answers = plugin._Answers(2)
    made: list[int] = []

    def make(number: int) -> dict[str, Any]:
        made.append(number)
        if number < 0:
            raise KeyError(number)
        return {"number": number}

    for number in (1, 2, 1, 3, 2):
        answers.get(number, lambda: "same", lambda number=number: make(number))  # type: ignore[misc]
    assert made == [1, 2, 3, 2]
    for _ in range(2):
        with pytest.raises(KeyError):
            answers.get(-1, lambda: "same", lambda: make(-1))
    assert set(answers._making) == set(answers._kept) == {3, 2}


def test_an_empty_log_is_an_empty_index(tmp_path: Path) -> None:
    answer = json.loads(getter(make_plugin(tmp_path))("/index").data)
    assert (answer["runs"], answer["skipped"]) == ([], [])


def test_hostile_meta_does_not_break_the_index(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    odd: dict[str, dict[str, Any]] = {
        "inputs is text": {"inputs": "x", "epoch": "later"},
        "inputs holds text": {"inputs": {"x": "y"}, "method": None},
        "shape is text": {"inputs": {"x": {"shape": "big", "kind": 3}}, "signed": "no"},
        "nan": {"epoch": float("nan"), "score": float("inf"), "metric": ["a"]},
        "probe is a path": {"probe": "../../x", "names": [1, None]},
    }
    for tag, meta in odd.items():
        for kind in ("attribution", "importance", "Some Kind"):
            figures = {"output": np.float32(1), "mean": np.zeros((2, 2, 2)), "sum": np.zeros(0)}
            figures["peak"] = np.zeros((2**39, 0))
            writer.write(Record(f"{tag} {kind}", 0, float("inf"), kind, meta, figures))
            figures["peak"] = np.zeros((0, 2**39))
            writer.write(Record(f"{tag} {kind}", 1, float("inf"), kind, meta, figures))
    writer.close()
    get = getter(make_plugin(tmp_path))
    response = get("/index")
    assert response.status_code == 200
    answer = json.loads(response.data, parse_constant=pytest.fail)
    (run,) = answer["runs"]
    assert len(run["tags"]) == 3 * len(odd)
    for tag in run["tags"]:
        for route in ("series?", "attributions?step=0&"):
            quoted = tag["name"].replace(" ", "%20")
            status = get(f"/{route}run=.&tag={quoted}").status_code
            assert status in (200, 400)


def test_one_tag_that_cannot_be_read_does_not_hide_the_others(synthetic_log: Path) -> None:
    class Failing(reader._EventFiles):
        def read_tensors(self, ctx: Any, *, run_tag_filter: Any, **options: Any) -> Any:
            if "saliency" in run_tag_filter.tags:
                raise errors.PublicError("too large")
            return super().read_tensors(ctx, run_tag_filter=run_tag_filter, **options)

    log = reader.Log(Failing(str(synthetic_log)), [(str(synthetic_log), None)])
    answer = plugin.index(log)
    assert {s["tag"] for s in answer["skipped"]} == {"saliency"}
    assert all(len(run["tags"]) >= 4 for run in answer["runs"])


def test_the_index_says_which_inputs_have_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    inputs = {"title": rng.integers(0, 9, (3, 4)), "body": rng.integers(0, 9, (3, 6))}
    writer = summary.writer(tmp_path)
    words = [["a"] * 6, ["<b>"] * 6, ["\u05d0"] * 2]
    with_words = writer.write_probe(Probe(inputs, meta={"tokens": {"body": words}}))
    without = writer.write_probe(Probe(inputs))
    shapes = {name: {"shape": list(x.shape[1:]), "kind": "sequence"} for name, x in inputs.items()}
    arrays = {name: x.astype(np.float32) for name, x in inputs.items()}
    figures = {"output": np.zeros(3, np.float32)}
    for tag, probe in (("words", with_words), ("ids", without), ("lost", "0" * 16)):
        meta = {"probe": probe, "inputs": shapes}
        writer.write(Record(tag, 0, 1.7e9, "attribution", meta, figures, arrays))
    writer.close()
    for _ in range(2):  # the second time from what is known of the probe set
        (run,) = plugin.index(reader.open(tmp_path))["runs"]
        found = {tag["name"]: [i.get("tokens") for i in tag["inputs"]] for tag in run["tags"]}
        assert found == {"words": [None, True], "ids": [None, None], "lost": [None, None]}
    _, answer = plugin.probe(reader.open(tmp_path), ".", with_words, [2, 1], "body")
    assert answer["tokens"] == [words[2], words[1]]


# --- requests -----------------------------------------------------------------------------------

BAD = [
    "/attributions",
    "/attributions?run=digits",
    "/attributions?run=digits&tag=saliency",
    "/attributions?run=&tag=saliency&step=0",
    "/attributions?run=digits&run=table&tag=saliency&step=0",
    "/attributions?run=digits&tag=saliency&step=",
    "/attributions?run=digits&tag=saliency&step=one",
    "/attributions?run=digits&tag=saliency&step=1.5",
    "/attributions?run=digits&tag=saliency&step=1e3",
    "/attributions?run=digits&tag=saliency&step=" + "9" * 30,
    "/attributions?run=digits&tag=saliency&step=18446744073709551616",
    "/attributions?run=digits&tag=saliency&step=0&examples=-1",
    "/attributions?run=digits&tag=saliency&step=0&examples=16",
    "/attributions?run=digits&tag=saliency&step=0&examples=a",
    "/attributions?run=digits&tag=saliency&step=0&size=0",
    "/attributions?run=digits&tag=saliency&step=0&size=5000",
    "/attributions?run=digits&tag=saliency&step=0&size=4&size=5",
    "/attributions?run=digits&tag=saliency&step=0&channels=mean",
    "/attributions?run=digits&tag=saliency&step=0&channels=all",
    "/attributions?run=digits&tag=saliency&step=0&dtype=float64",
    "/attributions?run=digits&tag=saliency&step=0&v=nan",
    "/attributions?run=digits&tag=saliency&step=0&v=soon",
    "/attributions?run=digits&tag=saliency&step=0&input=y",
    "/attributions?run=digits&tag=permutation_importance&step=0",
    "/attributions?run=" + "r" * 5000 + "&tag=saliency&step=0",
    "/probe?run=digits",
    "/series?run=digits",
    "/series?run=digits&tag=saliency&columns=99",
    "/drift?run=digits&tag=saliency",
    "/drift?run=digits&tag=saliency&measure=likeness",
    "/drift?run=digits&tag=saliency&measure=cosine&against=last",
    "/drift?run=digits&tag=saliency&measure=cosine&against=0,1",
    "/drift?run=digits&tag=saliency&measure=cosine&examples=16",
    "/findings",
    "/index?revision=",
]
UNKNOWN = [
    "/attributions?run=nope&tag=saliency&step=0",
    "/attributions?run=digits&tag=nope&step=0",
    "/attributions?run=digits&tag=saliency&step=2",
    "/attributions?run=../digits&tag=saliency&step=0",
    "/attributions?run=%2e%2e%2fdigits&tag=saliency&step=0",
    "/attributions?run=digits&tag=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&step=0",
    "/attributions?run=digits%00&tag=saliency&step=0",
    "/probe?run=digits&set=../../../etc/passwd",
    "/probe?run=digits&set=0123456789abcdef",
    "/probe?run=nope&set=0123456789abcdef",
    "/series?run=digits&tag=nope",
    "/drift?run=digits&tag=nope&measure=cosine",
    "/drift?run=digits&tag=saliency&measure=cosine&other=nope",
    "/drift?run=digits&tag=saliency&measure=cosine&against=2",
    "/static/../plugin.py",
    "/static/%2e%2e/plugin.py",
    "/static/..%2fplugin.py",
    "/static//etc/passwd",
    "/static/",
    "/static/index.js/x",
]


@pytest.mark.parametrize("address", BAD)
def test_bad_arguments_are_400_with_a_sentence(get: Get, address: str) -> None:
    response = get(address)
    assert response.status_code == 400
    check_sentence(response)


@pytest.mark.parametrize("address", UNKNOWN)
def test_unknown_things_are_404_with_a_sentence(get: Get, address: str) -> None:
    response = get(address)
    assert response.status_code == 404
    check_sentence(response)


def check_sentence(response: TestResponse) -> None:
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    assert 20 < len(response.text) < 600
    assert "Traceback" not in response.text
    assert "\n" not in response.text.strip()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_only_get_and_head_are_served(get: Get, method: str) -> None:
    for route in (
        "/index",
        "/attributions",
        "/probe",
        "/series",
        "/drift",
        "/findings",
        "/static/index.js",
    ):
        response = get(route, method)
        assert response.status_code == 405
        assert response.headers["Allow"] == "GET, HEAD"


def test_head_is_get_without_a_body(get: Get) -> None:
    for route in ("/index", "/series?run=digits&tag=saliency", "/static/index.js"):
        whole, head = get(route), get(route, "HEAD")
        assert head.status_code == 200
        assert head.data == b""
        assert head.headers["Content-Length"] == str(len(whole.data))
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]


def test_hostile_tags_are_served_as_names(get: Get) -> None:
    response = get("/attributions", query_string={"run": "digits", "tag": HOSTILE_TAG, "step": "0"})
    assert response.status_code == 200
    assert unpack(response.data)[1]["tag"] == HOSTILE_TAG
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_only_settled_answers_are_cached(get: Get) -> None:
    address = "/attributions?run=digits&tag=saliency&step=0&step=1"
    year = "private, max-age=31536000, immutable"
    assert get(f"{address}&v=1700000001.0").headers["Cache-Control"] == year
    assert get(f"{address}&v=1700000001").headers["Cache-Control"] == year
    for other in ("", "&v=1700000000.0", "&v=0"):
        assert get(address + other).headers["Cache-Control"] == "no-store"
    assert get("/index").headers["Cache-Control"] == "no-store"
    assert get("/series?run=digits&tag=saliency").headers["Cache-Control"] == "no-store"


def test_json_is_gzipped_when_asked_and_arrays_are_not(get: Get) -> None:
    headers = {"Accept-Encoding": "br, gzip"}
    plain, zipped = get("/index"), get("/index", headers=headers)
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(zipped.data) == plain.data
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in get("/index", headers={"Accept-Encoding": "gzip;q=0"}).headers
    arrays = get("/series?run=digits&tag=saliency", headers=headers)
    assert "Content-Encoding" not in arrays.headers


# --- the page -----------------------------------------------------------------------------------


def test_static_files_have_literal_types_and_etags(
    get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "STATIC", tmp_path)
    views = {f"{view}.js" for view in ("overview", "maps", "features", "quality", "health", "text")}
    assert views < set(plugin.STATIC_FILES)
    for name in plugin.STATIC_FILES:
        (tmp_path / name).write_text("export function render() {}\n" * 100)
    (tmp_path / "secret.txt").write_text("secret")
    for name in plugin.STATIC_FILES:
        response = get(f"/static/{name}")
        assert response.status_code == 200
        assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-cache"
        etag = response.headers["ETag"]
        again = get(f"/static/{name}", headers={"If-None-Match": etag})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == etag
    assert get("/static/secret.txt").status_code == 404
    (tmp_path / "index.js").write_text("changed")
    assert get("/static/index.js").data == b"changed"


def test_a_page_that_was_not_built_says_so(
    get: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "STATIC", tmp_path)
    response = get("/static/index.js")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert "export function render()" in response.text
    assert "npm ci" in response.text
    assert get("/static/maps.js").status_code == 404


def test_what_tensorboard_is_told(synthetic_log: Path) -> None:
    served = make_plugin(synthetic_log)
    assert served.plugin_name == "xai"
    assert served.is_active() is False
    assert served.data_plugin_names() == ("xai",)
    told = served.frontend_metadata()
    assert told.es_module_path in served.get_plugin_apps()
    assert told.tab_name == "Explanations"


# --- the loader ---------------------------------------------------------------------------------


def test_the_loader_keeps_all_steps_unless_the_user_says_otherwise() -> None:
    flags = types.SimpleNamespace(samples_per_plugin={"scalars": 5})
    Loader().fix_flags(flags)
    assert flags.samples_per_plugin == {"xai": 0, "scalars": 5}
    flags = types.SimpleNamespace(samples_per_plugin={"xai": 7})
    Loader().fix_flags(flags)
    assert flags.samples_per_plugin == {"xai": 7}
    for odd in (None, {}):
        flags = types.SimpleNamespace(samples_per_plugin=odd)
        Loader().fix_flags(flags)
        assert flags.samples_per_plugin == {"xai": 0}


def test_the_loader_never_stops_tensorboard(caplog: pytest.LogCaptureFixture) -> None:
    Loader().fix_flags(object())
    Loader().define_flags(None)
    assert Loader().load(None) is None
    assert "tb_xai could not be loaded" in caplog.text
    context = base_plugin.TBContext(data_provider=None, logdir="", flags=None)
    assert isinstance(Loader().load(context), Plugin)
