"""Activations and weights of layers against the formulas, and back out of the log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tb_xai import findings, plugin, reader
from tb_xai.callbacks import AttributionCallback
from tb_xai.cam import FilterAttribution, KernelAttribution, activations, weights
from tb_xai.gradients import Attribution, saliency

LAYERS = keras.layers
SHAPE = (6, 5, 2)


def network(activation: str | None = "relu", k: int = 5) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            LAYERS.Conv2D(k, 3, activation=activation, name="conv"),
            LAYERS.GlobalAveragePooling2D(),
            LAYERS.Dense(3, activation="softmax", name="head"),
        ]
    )
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return model


def examples(n: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return rng.normal(size=(n, *SHAPE)).astype(np.float32), np.arange(n) % 3


def convolution(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """A valid convolution, position by position."""
    kh, kw = kernel.shape[:2]
    out = np.empty((len(x), x.shape[1] - kh + 1, x.shape[2] - kw + 1, kernel.shape[-1]))
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            patch = x[:, i : i + kh, j : j + kw]
            out[:, i, j] = np.einsum("nhwc,hwck->nk", patch, kernel) + bias
    return out


def filtered(a: Attribution) -> FilterAttribution:
    assert isinstance(a, FilterAttribution)
    return a


# --- activations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", None])
def test_activations_are_those_of_the_layer(activation: str | None) -> None:
    model, (x, y) = network(activation), examples()
    expected = convolution(x, *model.layers[0].get_weights())
    expected = np.maximum(expected, 0) if activation else expected
    peak = np.abs(expected).max((1, 2)).mean(0)
    order = sorted(range(5), key=lambda k: -peak[k])
    assert order[:3] != [0, 1, 2]
    a = filtered(activations("conv", 3)(model)(x, y))
    assert a.filters == tuple(order[:3])
    assert list(a.values) == [f"filter {k}" for k in order[:3]]
    for k in order[:3]:
        np.testing.assert_allclose(a.values[f"filter {k}"], expected[..., k], atol=1e-5)
    assert a.signed is (activation is None)
    assert a.layer == "conv"
    np.testing.assert_allclose(a.output, saliency()(model)(x, y).output, atol=1e-5)
    np.testing.assert_allclose(a.prediction, model(x), atol=1e-5)
    assert (a.gap, a.baseline_output, a.stderr) == (None, None, None)


def test_the_choice_of_filters_stays_while_the_model_moves() -> None:
    model, (x, y) = network(), examples()
    binder = activations("conv", 2)
    explain = binder(model)
    before = filtered(explain(x, y)).filters
    kernel, bias = model.layers[0].get_weights()
    other = [k for k in range(5) if k not in before]
    kernel[..., other] *= 10
    model.layers[0].set_weights([kernel, bias])
    after = filtered(explain(x, y))
    assert after.filters == before
    expected = np.maximum(convolution(x, kernel, bias), 0)
    for k in before:
        np.testing.assert_allclose(after.values[f"filter {k}"], expected[..., k], atol=1e-4)
    assert explain.traces() == 1
    assert filtered(binder(model, batch_size=2)(x, y)).filters == before  # the next fit
    assert set(filtered(activations("conv", 2)(model)(x, y)).filters) <= set(other)
    assert filtered(binder(network())(x, y)).filters == before  # of its own, and equal


def test_chunks_chosen_filters_and_more_than_there_are() -> None:
    model, (x, y) = network(), examples(7)
    whole = filtered(activations("conv", 99)(model)(x, y))
    assert sorted(whole.filters) == [0, 1, 2, 3, 4]
    chosen = filtered(activations("conv", [4, 1])(model, batch_size=3)(x, y))
    assert chosen.filters == (4, 1)
    for name, values in chosen.values.items():
        np.testing.assert_allclose(values, whole.values[name], atol=1e-5)
    assert filtered(activations()(model)(x, y)).layer == "conv"


@pytest.mark.parametrize(
    ("layers", "signed"),
    [
        ([LAYERS.Conv2D(2, 3), LAYERS.ReLU(), LAYERS.MaxPooling2D(2, name="last")], False),
        ([LAYERS.Conv2D(2, 3), LAYERS.BatchNormalization(), LAYERS.ReLU(6, name="last")], False),
        ([LAYERS.Conv2D(2, 3, activation="relu"), LAYERS.BatchNormalization(name="last")], True),
        ([LAYERS.Conv2D(2, 3, activation="leaky_relu", name="last")], True),
        ([LAYERS.Conv2D(2, 3, activation="sigmoid", name="last")], False),
    ],
)
def test_values_are_signed_unless_no_value_can_be_negative(
    layers: list[keras.Layer], signed: bool
) -> None:
    model = keras.Sequential(
        [keras.Input(SHAPE), *layers, LAYERS.Flatten(), LAYERS.Dense(2, activation="softmax")]
    )
    x, _ = examples()
    assert filtered(activations("last")(model)(x, np.zeros(4, int))).signed is signed


def test_sequences_and_half_precision() -> None:
    model = keras.Sequential(
        [
            keras.Input((7, 3)),
            LAYERS.Conv1D(4, 2, name="conv", dtype="mixed_float16"),
            LAYERS.GlobalMaxPooling1D(),
            LAYERS.Dense(1),
        ]
    )
    x = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    a = filtered(activations(filters=2)(model)(x))
    kernel, bias = model.layers[0].get_weights()
    expected = convolution(x[:, :, None], kernel[:, None], bias)[:, :, 0]
    for k in a.filters:
        assert a.values[f"filter {k}"].dtype == np.float32
        np.testing.assert_allclose(a.values[f"filter {k}"], expected[..., k], atol=0.02)


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"filters": 0}, ValueError, "at least 1.*Received: filters=0"),
        ({"filters": []}, ValueError, "at least 1"),
        ({"filters": [1, 1]}, ValueError, "different numbers"),
        ({"filters": "conv"}, TypeError, "list of their numbers. Received: filters='conv'"),
        ({"filters": True}, TypeError, "list of their numbers"),
        ({"filters": [5]}, ValueError, r"below 5, .*layer 'conv'. Received: filters=\[5\]"),
        ({"layer": "cnv"}, ValueError, r"such as \['conv'.*Received: layer='cnv'"),
        ({"layer": 3}, TypeError, "a name, a path, a layer or None. Received: layer=3"),
    ],
)
@pytest.mark.parametrize("method", [activations, weights])
def test_what_is_refused(
    method: Any, settings: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    x, y = examples()
    with pytest.raises(error, match=sentence):
        method(**settings)(network())(x, y)


# --- weights --------------------------------------------------------------------------------------


def kernels(a: Attribution) -> KernelAttribution:
    assert isinstance(a, KernelAttribution)
    return a


def test_weights_are_the_kernels_of_the_first_convolution() -> None:
    model, (x, _) = network(), examples()
    explain = weights()(model)
    a = kernels(explain(x))
    kernel = model.layers[0].get_weights()[0]
    assert a.values["kernel"].shape == (5, 3, 3, 2)
    for k in range(5):
        np.testing.assert_array_equal(a.values["kernel"][k], kernel[..., k])
        assert a.output[k] == pytest.approx(np.linalg.norm(kernel[..., k].ravel()))
    model.layers[0].set_weights([2 * kernel, np.zeros(5)])
    np.testing.assert_array_equal(kernels(explain(x)).values["kernel"], 2 * a.values["kernel"])
    assert kernels(weights(filters=[3, 0])(model)(x)).filters == (3, 0)
    assert kernels(weights(filters=2)(model)(x)).filters == (0, 1)
    head = kernels(weights("head")(model)(x))
    np.testing.assert_array_equal(head.values["kernel"], model.layers[-1].get_weights()[0].T)


def test_kernels_of_other_layers_have_their_filters_first() -> None:
    layers: list[tuple[keras.Layer, tuple[int, ...], tuple[int, ...]]] = [
        (LAYERS.Conv1D(4, 3), (8, 2), (4, 3, 2)),
        (LAYERS.Conv3D(4, 2), (3, 3, 3, 2), (4, 2, 2, 2, 2)),
        (LAYERS.Conv2DTranspose(4, 3), (5, 5, 2), (4, 3, 3, 2)),
        (LAYERS.DepthwiseConv2D(3, depth_multiplier=2), (5, 5, 2), (4, 3, 3, 1)),
        (LAYERS.Dense(4), (6,), (4, 6)),
    ]
    for layer, shape, expected in layers:
        model = keras.Sequential([keras.Input(shape), LAYERS.Activation("linear"), layer])
        a = kernels(weights()(model, target=lambda outputs, y: outputs)(np.zeros((1, *shape))))
        assert a.values["kernel"].shape == expected
    # a filter of the depthwise convolution makes one channel of the output
    x = np.random.default_rng(1).normal(size=(1, 5, 5, 2)).astype(np.float32)
    layer = LAYERS.DepthwiseConv2D(3, depth_multiplier=2)
    out = layer(x).numpy()
    model = keras.Sequential([keras.Input((5, 5, 2)), layer])
    picture = kernels(weights()(model, target=lambda outputs, y: outputs)(x)).values["kernel"]
    for k in range(4):
        mine = convolution(x[..., [k // 2]], picture[k][..., None], np.zeros(1))
        np.testing.assert_allclose(out[..., k], mine[..., 0], atol=1e-5)


def test_a_layer_without_a_kernel_is_refused() -> None:
    model = network()
    pooling = model.layers[1]
    with pytest.raises(ValueError, match=r"one of \['conv', 'head'\]. Received: layer='global"):
        weights(pooling)(model)
    bare = keras.Sequential([keras.Input((3,)), LAYERS.Activation("tanh")])
    with pytest.raises(ValueError, match="Received: layer=None"):
        weights()(bare)


# --- in the log -----------------------------------------------------------------------------------


def test_they_are_logged_over_training_and_come_back(tmp_path: Path) -> None:
    model, (x, y) = network(), examples()
    model.compile("adam", "sparse_categorical_crossentropy")
    seen: list[np.ndarray] = []
    watch = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append(model.layers[0].kernel.numpy()),
        on_epoch_end=lambda epoch, logs: seen.append(model.layers[0].kernel.numpy()),
    )
    names = ["a", "b", "c", "d"]
    each = [
        AttributionCallback(tmp_path, x, y, method=activations("conv", 2), example_names=names),
        AttributionCallback(tmp_path, x, method=weights("conv", [4, 2, 0])),
    ]
    model.fit(x, y, epochs=2, verbose=0, callbacks=[watch, *each])

    log = reader.open(tmp_path)
    run = log.runs[0]
    (filters,) = {tuple(log.arrays(run, "activations", step)) for step in (0, 1, 2)}
    assert len(filters) == 2
    expected = np.maximum(convolution(x, *model.layers[0].get_weights()), 0)
    for name in filters:
        last = log.arrays(run, "activations", 2)[name]
        np.testing.assert_allclose(last, expected[..., int(name.split()[1])], atol=2e-3)
    for step in range(3):
        kernel = log.arrays(run, "weights", step)["kernel"]
        truth = np.moveaxis(seen[step], -1, 0)[[4, 2, 0]]
        np.testing.assert_allclose(kernel, truth, atol=2e-3)
    assert np.abs(seen[2] - seen[0]).max() > 1e-3

    told = {tag["name"]: tag for tag in plugin.index(log)["runs"][0]["tags"]}
    maps = told["activations"]
    assert [(i["name"], i["shape"], i["of"]) for i in maps["inputs"]] == [
        (name, [4, 3], "x") for name in filters
    ]
    assert (maps["signed"], maps["value_name"], maps["examples"]) == (False, "activation", 4)
    rows = told["weights"]
    assert rows["inputs"] == [{"name": "kernel", "shape": [3, 3, 2], "kind": "image"}]
    assert (rows["signed"], rows["value_name"], rows["examples"]) == (True, "weight", 3)

    for name in filters:
        _, answer = plugin.attributions(log, run, "activations", [0, 1, 2], input=name)
        assert (answer["steps"], answer["shape"], answer["missing"]) == ([0, 1, 2], [4, 3], [])
    _, answer = plugin.attributions(log, run, "weights", [0, 2], [1])
    assert (answer["shape"], answer["signed"]) == ([3, 3], True)
    _, answer = plugin.probe(log, run, maps["probe"], input="x")
    assert answer["example_names"] == names
    _, answer = plugin.probe(log, run, rows["probe"], [0, 2])
    assert answer["example_names"] == ["filter 4", "filter 0"]

    assert [f for f in findings.find(log, run) if f.tag == "weights"] == []
    assert "predicted" in log.series(run, "activations")
    series = log.series(run, "weights")
    assert "predicted" not in series
    assert "gap" not in series
    np.testing.assert_allclose(
        series["output"][2], np.linalg.norm(seen[2][..., [4, 2, 0]].reshape(-1, 3), axis=0), 1e-4
    )


def test_weights_of_a_table_are_named_by_its_features(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((3,)), LAYERS.Dense(4, name="first"), LAYERS.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    callback = AttributionCallback(
        tmp_path, x, method=weights(), feature_names=["age", "height", "weight"]
    )
    model.fit(x, x[:, 0], verbose=0, callbacks=[callback])
    log = reader.open(tmp_path)
    series = log.series(log.runs[0], "weights")
    kernel = log.arrays(log.runs[0], "weights", 1)["kernel"]
    np.testing.assert_allclose(series["mean_abs"][1], np.abs(kernel).mean(0), atol=1e-3)
    record = log.records(log.runs[0], "weights")[-1]
    probe = log.probe(log.runs[0], record.meta["probe"])
    assert probe.meta["feature_names"] == {"kernel": ["age", "height", "weight"]}
    assert record.meta["layer"] == "first"
