"""What callbacks log of the quality of explanations: figures, turns, reasons, masks, findings."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tb_xai import cam, drift, findings, gradients, importance, perturbation, quality, reader
from tb_xai.callbacks import (
    AttributionCallback,
    ModelHealthCallback,
    PermutationImportanceCallback,
    SaliencyCallback,
)
from tb_xai.callbacks.quality import SETTINGS

N = 32
RNG = np.random.default_rng(0)
FLAT = RNG.normal(size=(N, 5)).astype("float32")
PICTURES = RNG.random((N, 8, 8, 1)).astype("float32")
Y = (FLAT[:, 0] > 0).astype("int64")
MEASURES = ("infidelity", "faithfulness", "deletion", "insertion", "max_sensitivity")


def mlp(policy: str = "float32") -> keras.Model:
    keras.utils.set_random_seed(1)
    with_policy: dict[str, Any] = {"dtype": policy}
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6, activation="relu", **with_policy),
            layers.Dense(2, activation="softmax", dtype="float32"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def cnn() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def logged(
    log_dir: Path, model: keras.Model, x: Any, method: Any, epochs: int = 1, **options: Any
) -> tuple[list[Any], Any]:
    """The records of a short training, and its callback."""
    n = options.pop("n", 8)
    probe = tf.nest.map_structure(lambda a: a[:n], x)
    callback = AttributionCallback(log_dir, probe, Y[:n], method=method, **options)
    model.fit(x, Y, epochs=epochs, batch_size=16, verbose=0, callbacks=[callback])
    return reader.open(log_dir).records(".", callback.tag), callback


def test_figures_are_those_of_the_measures(tmp_path: Path) -> None:
    model = cnn()
    method = gradients.integrated_gradients(8, baseline=0.5)
    found, _ = logged(tmp_path, model, PICTURES, method, quality="full")
    last, x, y = found[-1].figures, PICTURES[:8], Y[:8]
    values = method(model)(x, y).values
    settings: dict[str, Any] = {"baseline": 0.5, "seed": 0}
    close = {"rtol": 2e-3, "atol": 1e-5}
    np.testing.assert_allclose(last["gini"], quality.sparseness(values), **close)
    infidelity = quality.infidelity(
        values, model, x, y, n_samples=SETTINGS["n_samples"], **settings
    )
    np.testing.assert_allclose(last["infidelity"], infidelity.value, **close)
    np.testing.assert_allclose(last["infidelity_stderr"], infidelity.stderr, **close)
    faith = quality.faithfulness_correlation(
        values, model, x, y, n_samples=SETTINGS["n_subsets"], **settings
    )
    np.testing.assert_allclose(last["faithfulness"], faith.value, **close)
    assert np.ptp(last["faithfulness"]) > 0.01
    curve = quality.deletion(
        values, model, x, y, n_steps=SETTINGS["n_steps"], n_random=1, **settings
    )
    # In units of the distance between the target at x and at the baseline, whatever its sign.
    sign = np.sign(curve.score[:, 0] - curve.score[:, -1])
    known = np.isfinite(last["deletion"])
    assert known.any()
    np.testing.assert_allclose(last["deletion"][known], (sign * curve.normalised)[known], **close)
    random = (curve.random - curve.score[:, -1]) / np.abs(curve.score[:, 0] - curve.score[:, -1])
    np.testing.assert_allclose(last["deletion_random"][known], random[known], **close)
    up = quality.insertion(values, model, x, y, n_steps=SETTINGS["n_steps"], **settings)
    np.testing.assert_allclose(last["insertion"][known], (sign * up.normalised)[known], **close)
    # To put units back in one order is to take them away in the reverse order.
    np.testing.assert_array_equal(last["insertion_random"], last["deletion_random"])
    change = quality.max_sensitivity(method(model), x, y, n_samples=1)
    np.testing.assert_allclose(last["max_sensitivity"], change, **close)
    cells = np.abs(values).reshape(8, 4, 2, 4, 2).sum(axis=(2, 4)).reshape(8, 16)
    np.testing.assert_allclose(last["grid"], cells / cells.sum(1, keepdims=True), **close)
    assert found[-1].meta["grid"] == [4, 4]
    signed = values.reshape(8, 4, 2, 4, 2).sum(axis=(2, 4)).reshape(8, 16)
    np.testing.assert_allclose(
        last["grid_signed"], signed / np.abs(values).sum((1, 2, 3))[:, None], **close
    )
    assert (last["grid_signed"] < -0.01).any()


def test_some_examples_have_the_figures_that_all_would_have(tmp_path: Path) -> None:
    figures = []
    for quality_ in (True, "full"):
        found, _ = logged(
            tmp_path / str(quality_), cnn(), PICTURES, gradients.saliency(), n=24, quality=quality_
        )
        figures.append(found[0])
    some, whole = figures
    chosen = some.meta["quality_params"]["examples"]
    assert 1 < len(chosen) < 24
    rest = np.setdiff1d(np.arange(24), chosen)
    for name in ("infidelity", "faithfulness", "deletion", "insertion", "randomisation"):
        assert np.isnan(some.figures[name][rest]).all()
        assert np.isfinite(some.figures[name][chosen]).any()
    # No draws: the same for each example, however many there are.
    one, other = some.figures["randomisation"], whole.figures["randomisation"]
    np.testing.assert_allclose(one[chosen], other[chosen], atol=1e-5)
    x, y = PICTURES[chosen], Y[chosen]
    slopes = gradients.saliency()(cnn())(x, y).values
    direct = quality.infidelity(slopes, cnn(), x, y, n_samples=SETTINGS["n_samples"])
    np.testing.assert_allclose(some.figures["infidelity"][chosen], direct.value, rtol=2e-3)
    direct = quality.faithfulness_correlation(
        slopes * x, cnn(), x, y, n_samples=SETTINGS["n_subsets"]
    )
    np.testing.assert_allclose(some.figures["faithfulness"][chosen], direct.value, atol=2e-3)


def test_resemblance_to_a_random_clone_is_spearmans(tmp_path: Path) -> None:
    model = cnn()
    x, y = PICTURES[:6], Y[:6]
    resembles = quality.randomised(gradients.saliency(), model, x, y, seed=3)
    real = gradients.saliency()(model)(x, y).values
    full = quality.parameter_randomisation(gradients.saliency(), model, x, y, seed=3)
    np.testing.assert_allclose(resembles(real), full.spearman_magnitude[-1], atol=1e-5)
    rng = np.random.default_rng(1)
    tied = rng.integers(0, 3, (4, 30)).astype(float)
    other = rng.integers(0, 3, (4, 30)).astype(float)
    found = quality._Ranks(tied).spearman(other)
    np.testing.assert_allclose(found, drift.spearman(tied, other), atol=1e-5)
    assert np.isnan(quality._Ranks(tied).spearman(np.ones((4, 30)))).all()


def test_resemblance_leaves_out_what_equals_the_baseline(tmp_path: Path) -> None:
    pictures = np.where(PICTURES > 0.6, PICTURES, 0.0).astype("float32")
    model = cnn()
    method = gradients.integrated_gradients(8)
    seen = []
    original = quality.randomised.__init__

    def spy(self: Any, *args: Any, **options: Any) -> None:
        seen.append(options)
        original(self, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality.randomised, "__init__", spy)
        found, callback = logged(tmp_path, model, pictures, method, quality="full")
        assert callback.explain.traces() == 1
        logged(tmp_path / "slopes", cnn(), pictures, gradients.saliency())
    assert seen[0]["baseline"].shape[1:] == (8, 8, 1)
    assert not seen[0]["baseline"].any()
    assert seen[1]["baseline"] is None
    x, y = pictures[:8], Y[:8]
    # The clone is made of the weights before training.
    keep = quality.randomised(method, cnn(), x, y, baseline=0.0)
    values = method(model)(x, y).values
    np.testing.assert_allclose(found[-1].figures["randomisation"], keep(values), atol=5e-3)
    everything = quality.randomised(method, cnn(), x, y)(values)
    assert (everything > found[-1].figures["randomisation"] + 0.05).all()


def test_measures_take_turns_within_the_passes_of_the_explanations(tmp_path: Path) -> None:
    found, callback = logged(tmp_path, cnn(), PICTURES, gradients.saliency(), epochs=90, n=16)
    assert all(measure in found[0].figures for measure in MEASURES)  # of the dry run
    about = found[1].meta["quality_params"]
    period, examples = about["period"], about["examples"]
    assert 1 < period <= 40
    rows = 0
    for k, record in enumerate(found[1:], start=1):
        rows += sum(
            len(examples) * each
            for measure, each in (("infidelity", 6), ("faithfulness", 12), ("deletion", 16))
            if measure in record.figures
        )
        rows += 16 * ("max_sensitivity" in record.figures)
        assert rows <= 16 * k
        for measure in MEASURES:
            assert (measure in record.figures) != (measure in record.meta["quality"])
    for measure in MEASURES:
        steps = [record.step for record in found[1:] if measure in record.figures]
        assert set(np.diff(steps)) == {period}
        known = {i for i in range(16) if np.isfinite(found[0].figures[measure][i])}
        assert known
        assert known <= set(range(16) if measure == "max_sensitivity" else examples)
    assert callback.explain.traces() == 1
    series = reader.open(tmp_path).series(".", "saliency")
    assert np.isfinite(series["gini"]).all()
    assert np.isfinite(series["faithfulness"]).any(axis=1).sum() == sum(
        "faithfulness" in record.figures for record in found
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_training_with_quality_is_training_without(tmp_path: Path, policy: str) -> None:
    weights = []
    for log in (None, tmp_path):
        model = mlp(policy)
        options: dict[str, Any] = {"suspects": np.arange(5) < 2, "quality": "full"}
        callbacks = [] if log is None else [SaliencyCallback(log, FLAT[:4], Y[:4], **options)]
        model.fit(FLAT, Y, epochs=3, batch_size=8, verbose=0, callbacks=callbacks)
        weights.append([np.asarray(w) for w in model.weights])
    for a, b in zip(*weights, strict=True):
        np.testing.assert_array_equal(a, b)
    last = reader.open(tmp_path).records(".", "saliency")[-1].figures
    assert all(np.isfinite(last[measure]).any() for measure in MEASURES)


def test_masks_say_where_the_evidence_lies(tmp_path: Path) -> None:
    corner = np.zeros((8, 8), bool)
    corner[:2, :2] = True
    each = np.zeros((8, 8, 8), bool)
    each[1:, 4:] = True
    model = cnn()
    method = gradients.saliency()
    found, _ = logged(
        tmp_path, model, PICTURES, method, masks={"object": each}, suspects=corner, quality=True
    )
    record = found[-1]
    values = method(model)(PICTURES[:8], Y[:8]).values
    inside = np.broadcast_to(corner, (8, 8, 8))
    expected = quality.relevance_mass(values, inside)
    np.testing.assert_allclose(record.figures["mass.suspect"], expected, rtol=1e-3)
    expected = quality.relevance_rank(values, inside)
    np.testing.assert_allclose(record.figures["rank.suspect"], expected, rtol=1e-3)
    assert record.meta["masks"]["suspect"] == {"area": [0.0625] * 8, "suspect": True}
    assert record.meta["masks"]["object"] == {"area": [0.0, *[0.5] * 7], "suspect": False}
    assert np.isnan(record.figures["hit.object"][0])
    assert np.isfinite(record.figures["hit.object"][1:]).all()
    assert "1 of 8 examples" in record.meta["quality"]["hit.object"]


def test_signed_shares_of_masks_tell_for_from_against(tmp_path: Path) -> None:
    options: dict[str, Any] = {"feature_names": list("abcde"), "suspects": {"leak": ["b", "d"]}}
    method = gradients.integrated_gradients(8)
    found, _ = logged(tmp_path, mlp(), FLAT, method, **options)
    values = reader.open(tmp_path).arrays(".", "integrated_gradients", 1)["x"]
    leak, total = values[:, [1, 3]], np.abs(values).sum(axis=1)
    signed = found[-1].figures["signed.leak"]
    np.testing.assert_allclose(signed, leak.sum(1) / total, rtol=1e-3)
    assert (signed < 0).any()
    assert (signed > 0).any()


def test_masks_of_coarse_maps_and_of_features(tmp_path: Path) -> None:
    half = np.zeros((8, 8), bool)
    half[:, :4] = True
    model = cnn()
    method = cam.grad_cam(layer=model.layers[1].name)  # of pooled maps, 4 x 4
    found, _ = logged(tmp_path / "cam", model, PICTURES, method, masks=half, quality="full")
    assert found[-1].meta["layer"]
    coarse = reader.open(tmp_path / "cam").arrays(".", "grad_cam", found[-1].step)["x"]
    assert coarse.shape[1:3] != (8, 8)
    fine = tf.image.resize(coarse[..., None], (8, 8)).numpy()[..., 0]
    mass, expected = found[-1].figures["mass.mask"], fine[:, :, :4].sum((1, 2)) / fine.sum((1, 2))
    assert np.nanstd(expected) > 0.01
    np.testing.assert_allclose(mass, expected, rtol=2e-3)
    assert "grad_cam" in found[-1].meta["quality"]["infidelity"]
    assert np.isnan(found[-1].figures["infidelity"]).all()
    found, _ = logged(
        tmp_path / "flat",
        mlp(),
        FLAT,
        perturbation.feature_ablation(groups={"ab": [0, 1], "rest": [2, 3, 4]}),
        feature_names=list("abcde"),
        suspects={"leak": ["b", "d"]},
    )
    last = found[-1]
    assert last.meta["masks"]["leak"]["area"] == [0.4] * 8
    values = reader.open(tmp_path / "flat").arrays(".", "feature_ablation", last.step)["x"]
    total, leak = np.abs(values).sum(axis=1), values[:, [1, 3]]
    np.testing.assert_allclose(last.figures["mass.leak"], np.abs(leak).sum(1) / total, rtol=1e-3)
    assert "signed.leak" not in last.figures  # groups do not add up
    assert found[-1].meta["players"] == ["ab", "rest"]
    assert np.shape(found[-1].meta["player_values"]) == (8, 2)
    assert "single elements" in found[-1].meta["quality"]["infidelity"]


@pytest.mark.parametrize(
    ("masks", "sentence"),
    [
        (np.ones((3, 3), bool), r"must have the shape of an input.*Received: shape \(3, 3\)"),
        (np.zeros((8, 8), bool), "must mark at least one place"),
        (np.full((8, 8), 0.5), r"must hold booleans, or 0 and 1\. Received: 0.5"),
        ("corner", "must be an array of booleans"),
        (["nobody"], "must name features of feature_names. Received: .'nobody'."),
    ],
)
def test_masks_that_are_refused(tmp_path: Path, masks: Any, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence):
        logged(tmp_path, cnn(), PICTURES, gradients.saliency(), masks=masks)


def test_what_is_undefined_says_why(tmp_path: Path) -> None:
    found, _ = logged(tmp_path / "a", cnn(), PICTURES, cam.activations(), quality="full")
    reasons = found[-1].meta["quality"]
    assert set(MEASURES) <= set(reasons)
    assert "explain no target" in reasons["deletion"]
    found, _ = logged(tmp_path / "w", cnn(), PICTURES, cam.weights(), quality="full")
    assert "explain no target" in found[-1].meta["quality"]["deletion"]
    ids = RNG.integers(1, 9, (N, 6))
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(9, 4),
            layers.Flatten(),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    found, _ = logged(tmp_path / "ids", model, ids, gradients.saliency(), quality="full")
    assert "ids" in found[-1].meta["quality"]["infidelity"]
    assert np.isfinite(found[-1].figures["deletion_random"]).any()
    assert math.isfinite(float(np.nanmean(found[-1].figures["randomisation"])))
    found, _ = logged(tmp_path / "off", cnn(), PICTURES, gradients.saliency(), quality=False)
    assert "gini" not in found[-1].figures
    assert "quality" not in found[-1].meta


def test_several_inputs_have_their_quality(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    a, b = keras.Input((5,), name="a"), keras.Input((8, 8, 1), name="b")
    both = layers.Concatenate()([a, layers.Flatten()(b)])
    model = keras.Model({"a": a, "b": b}, layers.Dense(2, activation="softmax")(both))
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = {"a": FLAT, "b": PICTURES}
    found, _ = logged(tmp_path, model, x, gradients.saliency(), quality="full")
    # The log-odds of two classes are linear in both inputs: a gradient has no infidelity.
    last = found[-1].figures
    np.testing.assert_allclose(last["infidelity"], 0, atol=1e-6)
    np.testing.assert_allclose(last["faithfulness"], 1, atol=1e-3)
    np.testing.assert_allclose(last["max_sensitivity"], 0, atol=1e-4)


def first_importance(log_dir: Path, x: Any, y: Any, loss: str, units: int) -> list[Any]:
    keras.utils.set_random_seed(0)
    end = {1: None, 2: "softmax"}[units]
    model = keras.Sequential([keras.Input((5,)), layers.Dense(units, activation=end)])
    model.compile("sgd", loss)
    callback = PermutationImportanceCallback(log_dir, x, y, n_repeats=2)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[callback])
    return reader.open(log_dir).records(".", callback.tag)


def test_the_first_importance_says_what_columns_tell_without_a_model(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype("float32")
    x[:, 4] *= 30
    y = (x[:, 0] > 0).astype("int64")
    found = first_importance(tmp_path / "a", x, y, "sparse_categorical_crossentropy", 2)
    first = found[0].figures
    np.testing.assert_allclose(first["scale"], x.std(axis=0), rtol=1e-4)
    close = {"rtol": 1e-5, "atol": 1e-7}
    expected = importance.mutual_information(x, y).mean
    np.testing.assert_allclose(first["mutual_information"], expected, **close)
    np.testing.assert_allclose(first["correlation"], importance.correlation(x, y).mean, **close)
    single = importance.single_feature_score(x, y)
    np.testing.assert_allclose(first["single_score"], single.mean, **close)
    assert first["mutual_information"].argmax() == first["correlation"].argmax() == 0
    assert first["single_score"][0] == 1
    for later in found[1:]:
        assert not {"single_score", "scale", "mutual_information", "correlation"} & set(
            later.figures
        )
    # Few whole numbers are values where the loss says so, and classes where it does not.
    count = np.digitize(x[:, 0], [-1, 0, 1])
    first = first_importance(tmp_path / "b", x, count, "mse", 1)[0].figures
    values = importance.single_feature_score(x, count, classes=False)
    np.testing.assert_allclose(first["single_score"], values.mean, **close)
    expected = importance.correlation(x, count.astype(float)).mean
    np.testing.assert_allclose(first["correlation"], expected, **close)
    assert not np.allclose(expected, importance.correlation(x, count).mean, atol=1e-4)
    many = rng.integers(0, 2, 200).astype("float32")  # classes, in floating point
    first = first_importance(tmp_path / "c", x, many, "sparse_categorical_crossentropy", 2)[0]
    expected = importance.mutual_information(x, many.astype(int)).mean
    np.testing.assert_allclose(first.figures["mutual_information"], expected, **close)


def test_what_would_take_long_or_a_library_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tb_xai.callbacks import importance as module

    monkeypatch.setattr(module, "MOST_VALUES", 10)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    first = first_importance(tmp_path, FLAT, Y, "sparse_categorical_crossentropy", 2)[0]
    assert "too long for 160 values" in first.meta["left_out"]["mutual_information"]
    assert "scikit-learn must be installed" in first.meta["left_out"]["correlation"]
    assert "single_score" in first.figures
    assert not {"mutual_information", "correlation"} & set(first.figures)


def test_a_finding_is_logged_warned_of_once_and_stops_training(tmp_path: Path) -> None:
    model = mlp()
    model.compile(keras.optimizers.SGD(1e30), "sparse_categorical_crossentropy")
    health = ModelHealthCallback(tmp_path, FLAT, Y, stop_on="alarm")
    with pytest.warns(RuntimeWarning, match="which stops training") as warned:
        history = model.fit(FLAT, Y, epochs=9, batch_size=16, verbose=0, callbacks=[health])
    assert len(history.epoch) < 3
    stopping = [w for w in warned if "which stops training" in str(w.message)]
    assert len(stopping) == 1
    last = reader.open(tmp_path).records(".", "model_health")[-1]
    assert {f["severity"] for f in last.meta["findings"]} & {"alarm"}
    assert all(f["last_step"] == last.step for f in last.meta["findings"])


def test_a_rule_that_fails_never_stops_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no such figure")

    monkeypatch.setattr(findings, "judge", broken)
    callback = PermutationImportanceCallback(tmp_path, FLAT, Y, n_repeats=2, stop_on="warning")
    with pytest.warns(RuntimeWarning, match="could not look for findings at step 0"):
        mlp().fit(FLAT, Y, epochs=2, verbose=0, callbacks=[callback])
    assert len(reader.open(tmp_path).records(".", callback.tag)) == 3


def test_an_unknown_rule_is_refused_with_close_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = {"dead_units": None, "not_finite": None}
    monkeypatch.setattr(findings, "RULES", rules)
    with pytest.raises(ValueError, match=r"\(close: dead_units\)\. Received: 'dead_unit'"):
        SaliencyCallback(tmp_path, FLAT, Y, stop_on=["not_finite", "dead_unit"])
    with pytest.raises(ValueError, match=r"\(rules: dead_units, not_finite\)\. Received: 'zzz'"):
        SaliencyCallback(tmp_path, FLAT, Y, stop_on=["zzz"])
    assert SaliencyCallback(tmp_path, FLAT, Y, stop_on=list(rules)).stop_on == list(rules)


@pytest.mark.parametrize("stop_on", ["info", [], 3])
def test_stop_on_is_refused(tmp_path: Path, stop_on: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="stop_on must be"):
        SaliencyCallback(tmp_path, FLAT, Y, stop_on=stop_on)


def test_health_and_quality_under_a_distribution_strategy(tmp_path: Path) -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = mlp()
    health = ModelHealthCallback(tmp_path, FLAT[:8], Y[:8])
    saliency = SaliencyCallback(tmp_path, FLAT[:8], Y[:8], quality="full")
    model.fit(FLAT, Y, epochs=2, batch_size=16, verbose=0, callbacks=[health, saliency])
    log = reader.open(tmp_path)
    assert np.isfinite(log.records(".", "model_health")[-1].figures["gradient_norm"]).all()
    last = log.records(".", "saliency")[-1]
    assert all(np.isfinite(last.figures[measure]).any() for measure in MEASURES)
    assert "randomisation" not in last.meta["quality"]


TWO_DEVICES = """
import contextlib, sys
import keras, numpy as np, tensorflow as tf
from keras import layers
from tb_xai import cam, gradients, reader
from tb_xai.callbacks import AttributionCallback, ModelHealthCallback

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
x = np.random.default_rng(0).random((32, 8, 8, 1)).astype("float32")
y = (x.mean((1, 2, 3)) > 0.5).astype("int64")

def train(log_dir, strategy):
    keras.utils.set_random_seed(1)
    with strategy.scope() if strategy else contextlib.nullcontext():
        parts = [layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dropout(0.0)]
        model = keras.Sequential(
            [keras.Input((8, 8, 1)), *parts, layers.Dense(2, activation="softmax")]
        )
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    callbacks = [] if log_dir is None else [
        ModelHealthCallback(log_dir, x[:16], y[:16]),
        *(
            AttributionCallback(log_dir, x[:8], y[:8], method=method, quality="full")
            for method in (gradients.integrated_gradients(4), cam.grad_cam())
        ),
    ]
    model.fit(x, y, epochs=2, batch_size=16, verbose=0, shuffle=False, callbacks=callbacks)
    for callback in callbacks:
        assert callback.explain.traces() == 1
    return [np.asarray(w) for w in model.weights]

def both():
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

folder = sys.argv[1]
train(folder + "/one", None)
with_callbacks = train(folder + "/two", both())
for a, b in zip(with_callbacks, train(None, both()), strict=True):
    np.testing.assert_array_equal(a, b)
one, two = reader.open(folder + "/one"), reader.open(folder + "/two")
compared = 0
for tag in ("model_health", "integrated_gradients", "grad_cam"):
    for a, b in zip(one.records(".", tag), two.records(".", tag), strict=True):
        assert set(a.figures) == set(b.figures)
        assert a.meta.get("quality") == b.meta.get("quality")
        for name, figure in a.figures.items():
            if name != "gradient_histogram":  # a gradient at an edge may fall on either side
                np.testing.assert_allclose(figure, b.figures[name], 2e-3, 1e-4, err_msg=name)
                compared += 1
print(compared)
"""


def test_two_devices_log_what_one_logs(tmp_path: Path) -> None:
    """Variables have a copy on each device; the random clone is then traced."""
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES, str(tmp_path)],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > 60


WHOLE = RNG.integers(0, 9, (N, 5))


@pytest.mark.parametrize("make", [gradients.saliency, gradients.smooth_grad])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_whole_numbers_are_judged_as_the_floats_that_the_model_reads(
    tmp_path: Path, make: Any, dtype: str
) -> None:
    x = (WHOLE > 4 if dtype == "bool" else WHOLE).astype(dtype)
    whole, _ = logged(tmp_path / "whole", mlp(), x, make())
    floats, _ = logged(tmp_path / "floats", mlp(), x.astype("float32"), make())
    assert np.isfinite(floats[0].figures["infidelity"]).any()
    for figure in MEASURES:
        np.testing.assert_array_equal(whole[0].figures[figure], floats[0].figures[figure])


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 9, 1), (3, 3, 1)])
def test_an_image_of_fewer_rows_than_the_grid_has_cells_has_no_grid(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    parts = [keras.Input(shape), layers.Flatten(), layers.Dense(2, "softmax")]
    model = keras.Sequential(parts)
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = RNG.normal(size=(N, *shape)).astype("float32")
    found, _ = logged(tmp_path, model, x, gradients.gradient_x_input())
    assert np.isfinite(found[-1].figures["gini"]).all()
    assert not {"grid", "grid_signed"} & found[-1].figures.keys()
    assert "grid" not in found[-1].meta


@pytest.mark.parametrize("form", [dict, list])
def test_a_baseline_may_stand_in_the_structure_of_a_single_input(tmp_path: Path, form: Any) -> None:
    def run(name: str, build: Any) -> Any:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((5,), name="row")
        model = keras.Model(build(inputs), layers.Dense(2, "softmax")(inputs))
        model.compile("sgd", "sparse_categorical_crossentropy")
        method = gradients.integrated_gradients(4, baseline=build(FLAT[8:16]))
        return logged(tmp_path / name, model, build(FLAT), method)[0][0].figures

    plain = run("plain", lambda a: a)
    structured = run("structured", lambda a: {"row": a} if form is dict else [a])
    for figure in ("faithfulness", "deletion", "insertion"):
        assert np.isfinite(plain[figure]).any()
        np.testing.assert_allclose(structured[figure], plain[figure], rtol=1e-4)


@pytest.mark.parametrize("broken", ["faithfulness", "infidelity", "curves"])
def test_a_measure_that_fails_is_named_and_ends_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the model\ncannot take this")

    monkeypatch.setattr(quality.panel, broken, fail)
    callback = SaliencyCallback(tmp_path, PICTURES[:4], Y[:4], quality="full")
    with pytest.warns(RuntimeWarning, match="not all of .* is measured; training goes on"):
        cnn().fit(PICTURES, Y, epochs=2, verbose=0, callbacks=[callback])
    lost = {"curves": "deletion"}.get(broken, broken)
    kept = {"faithfulness": "infidelity"}.get(broken, "faithfulness")
    for record in reader.open(tmp_path).records(".", "saliency"):
        why = "Could not be measured: the model cannot take this"
        assert record.meta["quality"][lost] == why
        assert np.isnan(record.figures[lost]).all()
        assert np.isfinite(record.figures[kept]).all()
    strict = SaliencyCallback(tmp_path / "strict", PICTURES[:4], Y[:4], quality="full", strict=True)
    with pytest.raises(ValueError, match="cannot take this"):
        cnn().fit(PICTURES, Y, epochs=1, verbose=0, callbacks=[strict])


@pytest.mark.parametrize("from_step", [-1, 1])
def test_quality_that_fails_as_a_whole_leaves_the_explanations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_step: int
) -> None:
    calls = [-2]
    measure = quality.sparseness

    def sparseness(values: Any) -> Any:
        calls[0] += 1
        if calls[0] == from_step or from_step < 0:
            raise ValueError("too much")
        return measure(values)

    monkeypatch.setattr(quality, "sparseness", sparseness)
    callback = SaliencyCallback(tmp_path, PICTURES[:4], Y[:4])
    with pytest.warns(RuntimeWarning, match="Could not be measured: too much"):
        history = cnn().fit(PICTURES, Y, epochs=3, verbose=0, callbacks=[callback]).history
    records = reader.open(tmp_path).records(".", "saliency")
    assert [record.step for record in records] == [0, 1, 2, 3]
    failed = [record.step for record in records if "gini" not in record.figures]
    assert failed == ([0, 1, 2, 3] if from_step < 0 else [1])
    for record in records:
        assert np.isfinite(record.figures["sum_abs"]).all()
        if record.step in failed:
            assert record.meta["quality"]["gini"] == "Could not be measured: too much"
    assert all(len(values) == 3 for values in history.values())
