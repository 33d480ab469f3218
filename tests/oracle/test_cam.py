"""Class activation maps against a convolutional network that is written out in NumPy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tb_xai import targets
from tb_xai.cam import (
    LayerAttribution,
    grad_cam,
    grad_cam_plus_plus,
    layer_cam,
    score_cam,
)
from tb_xai.gradients import Binder

LAYERS = keras.layers
METHODS = (grad_cam, grad_cam_plus_plus, layer_cam, score_cam)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- the slow network: convolution, ReLU, flatten, one tanh unit row, dense -----------------------


class Slow:
    """x (h, w, c) -> A = ReLU(conv(x)) -> z = V tanh(U A + u) + v, with gradients by hand."""

    def __init__(self, seed: int = 0) -> None:
        r = rng(seed)
        self.kernel = r.normal(size=(2, 3, 2, 4))
        self.bias = r.normal(size=4) * 0.3
        self.U = r.normal(size=(4 * 3 * 4, 5)) * 0.4
        self.u = r.normal(size=5)
        self.V = r.normal(size=(5, 3))
        self.v = r.normal(size=3)

    def activations(self, x: np.ndarray) -> np.ndarray:
        h, w = x.shape[0] - 1, x.shape[1] - 2
        out = np.zeros((h, w, 4))
        for i in range(h):
            for j in range(w):
                patch = x[i : i + 2, j : j + 3]
                for k in range(4):
                    out[i, j, k] = max(0.0, (patch * self.kernel[..., k]).sum() + self.bias[k])
        return out

    def logits(self, A: np.ndarray) -> np.ndarray:
        return np.tanh(A.reshape(-1) @ self.U + self.u) @ self.V + self.v

    def score(self, x: np.ndarray, c: int) -> float:
        z = self.logits(self.activations(x))
        return float(z[c] - np.log(np.exp(np.delete(z, c)).sum()))

    def gradient(self, A: np.ndarray, c: int) -> np.ndarray:
        z = self.logits(A)
        rest = np.exp(z - np.delete(z, c).max())
        rest[c] = 0.0
        dz = -rest / rest.sum()
        dz[c] = 1.0
        t = np.tanh(A.reshape(-1) @ self.U + self.u)
        return (self.U @ ((1 - t**2) * (self.V @ dz))).reshape(A.shape)

    def keras(self, activation: str | None = "softmax") -> keras.Model:
        conv = LAYERS.Conv2D(4, (2, 3), activation="relu", name="conv")
        hidden = LAYERS.Dense(5, activation="tanh", name="hidden")
        head = LAYERS.Dense(3, activation=activation, name="head")
        model = keras.Sequential([keras.Input((5, 5, 2)), conv, LAYERS.Flatten(), hidden, head])
        # The slow network flattens (4, 3, 4) in the same order as Keras.
        conv.set_weights([self.kernel, self.bias])
        hidden.set_weights([self.U, self.u])
        head.set_weights([self.V, self.v])
        return model


def slow_grad_cam(A: np.ndarray, g: np.ndarray) -> np.ndarray:
    out = np.zeros(A.shape[:2])
    for k in range(A.shape[2]):
        out += g[..., k].mean() * A[..., k]
    return np.maximum(out, 0)


def slow_plus_plus(A: np.ndarray, g: np.ndarray) -> np.ndarray:
    out = np.zeros(A.shape[:2])
    for k in range(A.shape[2]):
        weight = 0.0
        for i, j in np.ndindex(*A.shape[:2]):
            down = 2 * g[i, j, k] ** 2 + A[..., k].sum() * g[i, j, k] ** 3
            alpha = g[i, j, k] ** 2 / down if down else 0.0
            weight += alpha * max(0.0, g[i, j, k])
        out += weight * A[..., k]
    return np.maximum(out, 0)


def slow_layer_cam(A: np.ndarray, g: np.ndarray) -> np.ndarray:
    out = np.zeros(A.shape[:2])
    for k in range(A.shape[2]):
        for i, j in np.ndindex(*A.shape[:2]):
            out[i, j] += max(0.0, g[i, j, k]) * A[i, j, k]
    return np.maximum(out, 0)


def slow_score_cam(slow: Slow, x: np.ndarray, c: int) -> np.ndarray:
    A = slow.activations(x)
    scores = []
    for k in range(A.shape[2]):
        low, high = A[..., k].min(), A[..., k].max()
        mask = (A[..., k] - low) / (high - low) if high > low else np.zeros(A.shape[:2])
        big = tf.image.resize(mask[..., None], x.shape[:2], "bilinear").numpy()
        scores.append(slow.score(x * big, c))
    weight = np.exp(np.array(scores) - max(scores))
    weight /= weight.sum()
    return np.maximum((weight * A).sum(2), 0)


@pytest.fixture(scope="module")
def slow() -> Slow:
    return Slow()


@pytest.fixture(scope="module")
def model(slow: Slow) -> keras.Model:
    return slow.keras()


def data(n: int = 5) -> tuple[np.ndarray, np.ndarray]:
    return rng(1).normal(size=(n, 5, 5, 2)).astype(np.float32), rng(2).integers(0, 3, n)


@pytest.mark.parametrize(
    ("method", "formula"),
    [(grad_cam, slow_grad_cam), (grad_cam_plus_plus, slow_plus_plus), (layer_cam, slow_layer_cam)],
)
def test_maps_are_those_of_the_slow_network(
    slow: Slow, model: keras.Model, method: Callable[[], Binder], formula: Any
) -> None:
    x, y = data()
    a = method()(model, batch_size=2)(x, y)
    expected = []
    for row, c in zip(x.astype(float), y, strict=True):
        A = slow.activations(row)
        expected.append(formula(A, slow.gradient(A, c)))
    # Not trivial: positive somewhere, cut off somewhere (but for LayerCAM, which has no such cut).
    assert (np.array(expected).max((1, 2)) > 1e-3).sum() >= 3
    np.testing.assert_allclose(a.values, expected, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(
        a.output, [slow.score(r.astype(float), c) for r, c in zip(x, y, strict=True)], rtol=1e-4
    )
    assert a.values.dtype == np.float32
    assert isinstance(a, LayerAttribution)
    assert a.layer == "conv"


def test_the_slow_gradient_is_right(slow: Slow) -> None:
    A = slow.activations(data()[0][0].astype(float))

    def score(A: np.ndarray) -> float:
        z = slow.logits(A)
        return float(z[1] - np.log(np.exp(z[[0, 2]]).sum()))

    step = np.zeros_like(A)
    step[1, 2, 3] = 1e-5
    numeric = (score(A + step) - score(A - step)) / 2e-5
    assert abs(numeric) > 1e-3
    assert slow.gradient(A, 1)[1, 2, 3] == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_score_cam_is_that_of_the_slow_network(
    slow: Slow, model: keras.Model, batch_size: int
) -> None:
    x, y = data(4)
    a = score_cam()(model, batch_size=batch_size)(x, y)
    expected = [slow_score_cam(slow, r.astype(float), c) for r, c in zip(x, y, strict=True)]
    assert np.array(expected).max() > 0.1
    np.testing.assert_allclose(a.values, expected, rtol=1e-4, atol=1e-5)


def test_with_global_average_pooling_grad_cam_is_cam() -> None:
    # CAM: sum_k w_ck A_k; pooling divides the gradient by the number of positions.
    conv = LAYERS.Conv2D(4, 3, activation="relu")
    head = LAYERS.Dense(3, activation="softmax")
    model = keras.Sequential([keras.Input((8, 7, 2)), conv, LAYERS.GlobalAveragePooling2D(), head])
    head.set_weights([rng(5).normal(size=(4, 3)), np.zeros(3)])
    x, y = rng(3).normal(size=(4, 8, 7, 2)).astype(np.float32), np.array([0, 1, 2, 1])
    A = np.maximum(conv(x).numpy(), 0)
    cam = np.einsum("nijk,kn->nij", A, head.get_weights()[0][:, y]) / 30
    assert (cam < 0).any()
    assert (cam > 0).any()
    a = grad_cam()(model, target=targets.logit)(x, y)
    np.testing.assert_allclose(a.values, np.maximum(cam, 0), rtol=1e-4, atol=1e-6)
    # With a positive activation everywhere, LayerCAM weighs only the positive classes' weights.
    w = np.maximum(head.get_weights()[0][:, y], 0)
    b = layer_cam()(model, target=targets.logit)(x, y)
    np.testing.assert_allclose(b.values, np.einsum("nijk,kn->nij", A, w) / 30, rtol=1e-4, atol=1e-6)


def test_maps_keep_the_batch_apart_and_follow_the_weights(slow: Slow) -> None:
    model = slow.keras()
    x, y = data(5)
    explain, alone = grad_cam()(model, batch_size=2), grad_cam()(model)
    whole = explain(x, y).values
    for i in range(5):
        np.testing.assert_allclose(alone(x[i : i + 1], y[i : i + 1]).values[0], whole[i], rtol=1e-5)
    assert (explain.traces(), alone.traces()) == (1, 1)
    model.layers[0].set_weights([slow.kernel * 2, slow.bias])
    assert not np.allclose(explain(x, y).values, whole)
    assert explain.traces() == 1
    explain(x[:1], y[:1])  # less than a chunk, after several of them
    assert explain.traces() == 1


# --- which layer ----------------------------------------------------------------------------------


def tail(h: Any, k: int = 3) -> Any:
    return LAYERS.Dense(k, activation="softmax")(LAYERS.Flatten()(h))


def nested() -> tuple[keras.Model, keras.Model]:
    backbone = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            LAYERS.Conv2D(3, 3, name="conv4"),
            LAYERS.ReLU(name="act4"),
            LAYERS.MaxPooling2D(name="pool4"),
            LAYERS.Conv2D(4, 2, activation="relu", name="conv5"),
        ],
        name="backbone",
    )
    inputs = keras.Input((8, 8, 1))
    h = LAYERS.Rescaling(0.5, name="scale")(inputs)
    model = keras.Model(inputs, tail(backbone(h)))
    return model, backbone


class Subclassed(keras.Model):
    def __init__(self, backbone: Any = None) -> None:
        super().__init__()
        self.first = LAYERS.Conv2D(2, 3, name="first")
        self.blocks = [LAYERS.Conv2D(3, 3, name=f"block{i}", padding="same") for i in range(2)]
        self.pool = LAYERS.MaxPooling2D(name="pool")
        self.flat, self.head = LAYERS.Flatten(), LAYERS.Dense(2, name="head")

    def call(self, x: Any) -> Any:
        h = self.first(x)
        for block in self.blocks:
            h = tf.nn.relu(block(h))
        return self.head(self.flat(self.pool(h)))


def test_the_last_spatial_layer_is_found_inside_nested_models() -> None:
    model, backbone = nested()
    x, y = rng(4).normal(size=(2, 8, 8, 1)), np.array([0, 2])
    a = grad_cam()(model)(x, y)
    assert a.layer == "backbone/conv5"
    assert a.values.shape == (2, 2, 2)
    for layer in ("backbone/conv5", "conv5", backbone.get_layer("conv5")):
        np.testing.assert_array_equal(grad_cam(layer)(model)(x, y).values, a.values)
    b = grad_cam("backbone/act4")(model)(x, y)
    assert b.values.shape == (2, 6, 6)
    assert b.layer == "backbone/act4"
    # The gradient at an inner layer, taken by a tape through the model's two halves.
    scaled = tf.constant(x * 0.5, tf.float32)
    A = tf.nn.relu(backbone.get_layer("conv4")(scaled))
    with tf.GradientTape() as tape:
        tape.watch(A)
        h = backbone.get_layer("conv5")(backbone.get_layer("pool4")(A))
        dense = model.layers[-1]
        z = LAYERS.Flatten()(h) @ dense.kernel + dense.bias
        picked = tf.gather(z, y, axis=1, batch_dims=1)
        others = tf.where(tf.one_hot(y, 3) > 0, -np.inf, z)
        score = picked - tf.reduce_logsumexp(others, 1)
    g = tape.gradient(score, A).numpy()
    expected = np.maximum((A.numpy() * g.mean((1, 2), keepdims=True)).sum(3), 0)
    assert expected.max() > 1e-3
    np.testing.assert_allclose(b.values, expected, rtol=1e-3, atol=1e-6)


def test_pooling_and_dropout_behind_the_last_convolution_are_passed_over() -> None:
    stack = [LAYERS.Conv2D(3, 3, name="c"), LAYERS.BatchNormalization(name="b")]
    stack += [LAYERS.ReLU(name="r"), LAYERS.Dropout(0.5), LAYERS.MaxPooling2D(), LAYERS.Flatten()]
    model = keras.Sequential([keras.Input((8, 8, 1)), *stack, LAYERS.Dense(2)])
    a = grad_cam()(model)(rng().normal(size=(2, 8, 8, 1)), np.array([0, 1]))
    assert a.layer == "r"
    assert a.values.shape == (2, 6, 6)


def test_subclassed_models_and_shared_layers() -> None:
    model = Subclassed()
    x, y = rng(3).normal(size=(3, 8, 8, 1)).astype(np.float32), np.array([0, 1, 1])
    model(x)
    a = grad_cam()(model)(x, y)
    assert a.layer == "block1"
    assert a.values.shape == (3, 6, 6)
    inputs = keras.Input((8, 8, 2))
    shared = LAYERS.Conv2D(2, 3, padding="same", name="shared")
    model = keras.Model(inputs, tail(shared(LAYERS.ReLU()(shared(inputs)))))
    x = rng(3).normal(size=(2, 8, 8, 2)).astype(np.float32)
    values = grad_cam("shared")(model)(x, np.array([0, 1])).values
    last = shared(tf.nn.relu(shared(x)))
    with tf.GradientTape() as tape:
        tape.watch(last)
        z = LAYERS.Flatten()(last) @ model.layers[-1].kernel
        rest = tf.where(tf.one_hot([0, 1], 3) > 0, -np.inf, z)
        score = tf.gather(z, [0, 1], axis=1, batch_dims=1) - tf.reduce_logsumexp(rest, 1)
    g = tape.gradient(score, last).numpy()
    expected = np.maximum((g.mean((1, 2), keepdims=True) * last.numpy()).sum(3), 0)
    assert expected.max() > 1e-4
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-6)


def test_sequences_volumes_tokens_and_several_inputs() -> None:
    r = rng(8)
    seq = keras.Sequential(
        [
            keras.Input((9, 2)),
            LAYERS.Conv1D(3, 2, activation="relu"),
            LAYERS.Flatten(),
            LAYERS.Dense(2),
        ]
    )
    for method in METHODS:
        assert method()(seq)(r.normal(size=(2, 9, 2)), np.array([0, 1])).values.shape == (2, 8)
    volume = keras.Sequential(
        [keras.Input((4, 4, 4, 1)), LAYERS.Conv3D(2, 2), LAYERS.Flatten(), LAYERS.Dense(2)]
    )
    assert grad_cam()(volume)(r.normal(size=(1, 4, 4, 4, 1)), np.array([0])).values.shape == (
        1,
        3,
        3,
        3,
    )
    ids = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            LAYERS.Embedding(9, 4),
            LAYERS.Conv1D(3, 2),
            LAYERS.GlobalAveragePooling1D(),
            LAYERS.Dense(2),
        ]
    )
    assert grad_cam()(ids)(r.integers(0, 9, (2, 6)), np.array([0, 1])).values.shape == (2, 5)
    a, b = keras.Input((6, 6, 1), name="a"), keras.Input((4,), name="b")
    h = LAYERS.Concatenate()([LAYERS.Flatten()(LAYERS.Conv2D(2, 3, name="conv")(a)), b])
    both = keras.Model(
        {"a": a, "b": b}, [LAYERS.Dense(2, name="one")(h), LAYERS.Dense(1, name="two")(h)]
    )
    x = {"a": r.normal(size=(3, 6, 6, 1)), "b": r.normal(size=(3, 4))}
    for method in METHODS:
        explain = method()(both, target=targets.of_output("one"))
        assert explain(x, np.array([0, 1, 0])).values.shape == (3, 4, 4)


def test_float16_gradients_do_not_vanish() -> None:
    def build(policy: str) -> keras.Model:
        conv = LAYERS.Conv2D(3, 3, activation="relu", dtype=policy)
        hidden = LAYERS.Dense(4, dtype=policy)
        head = LAYERS.Dense(2, dtype=policy)
        model = keras.Sequential([keras.Input((8, 8, 1)), conv, LAYERS.Flatten(), hidden, head])
        conv.set_weights([rng(1).normal(size=(3, 3, 1, 3)), np.zeros(3)])
        hidden.set_weights([rng(2).normal(size=(108, 4)) * 1e-4, np.zeros(4)])
        head.set_weights([rng(4).normal(size=(4, 2)) * 1e-4, np.zeros(2)])
        return model

    x, y = rng(3).normal(size=(2, 8, 8, 1)), np.array([0, 1])
    exact = grad_cam()(build("float32"), target=targets.logit)(x, y).values
    half = grad_cam()(build("mixed_float16"), target=targets.logit)(x, y).values
    # Gradients lie below 6e-8, the smallest number of float16.
    assert 0 < exact.max() < 5e-8
    np.testing.assert_allclose(half, exact, rtol=0.02, atol=0.02 * exact.max())


# --- the model is left alone ----------------------------------------------------------------------


def test_the_model_keeps_no_trace() -> None:
    model, _ = nested()
    layers = model._flatten_layers()
    before = [dict(vars(layer)) for layer in layers]
    weights = [w.copy() for w in model.get_weights()]
    x, y = rng(4).normal(size=(2, 8, 8, 1)), np.array([0, 2])
    for method in METHODS:
        method()(model)(x, y)
    for layer, old in zip(layers, before, strict=True):
        assert "call" not in vars(layer)
        assert set(vars(layer)) == set(old)
    for new, old in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(new, old)


def test_a_call_from_another_thread_is_not_taken_for_the_explained_one() -> None:
    model, _ = nested()
    x, y = rng(4).normal(size=(2, 8, 8, 1)).astype(np.float32), np.array([0, 2])
    expected = grad_cam("conv5")(model)(x, y).values
    stop, failed = threading.Event(), []

    def work() -> None:
        try:
            while not stop.is_set():
                model(x)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(3):
            np.testing.assert_allclose(grad_cam("conv5")(model)(x, y).values, expected, rtol=1e-5)
    finally:
        stop.set()
        thread.join()
    assert not failed


def test_a_failing_trace_puts_the_layers_back() -> None:
    model, _ = nested()

    def wrong(outputs: Any, y: Any) -> Any:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        grad_cam()(model, target=wrong)(np.zeros((1, 8, 8, 1)), None)
    assert all("call" not in vars(layer) for layer in model._flatten_layers())


# --- sentences ------------------------------------------------------------------------------------


def test_an_unknown_layer_is_answered_with_close_names() -> None:
    model, _ = nested()
    with pytest.raises(ValueError, match=r"conv5.*Received: layer='conv6'"):
        grad_cam("conv6")(model)
    with pytest.raises(ValueError, match=r"part of the model. Received: layer 'other'"):
        grad_cam(LAYERS.Conv2D(1, 1, name="other"))(model)
    with pytest.raises(TypeError, match=r"layer must be .*Received: layer=3"):
        grad_cam(3)


def test_an_ambiguous_name_asks_for_the_path() -> None:
    def part(name: str) -> keras.Model:
        return keras.Sequential(
            [keras.Input((6, 6, 1)), LAYERS.Conv2D(2, 3, name="conv")], name=name
        )

    inputs = keras.Input((6, 6, 1))
    model = keras.Model(inputs, tail(LAYERS.Add()([part("left")(inputs), part("right")(inputs)])))
    with pytest.raises(ValueError, match=r"\['left/conv', 'right/conv'\]. Received: layer='conv'"):
        grad_cam("conv")(model)
    assert grad_cam("right/conv")(model)(np.ones((1, 6, 6, 1)), [0]).layer == "right/conv"


def test_models_without_a_spatial_layer_are_refused() -> None:
    flat = keras.Sequential([keras.Input((4,)), LAYERS.Dense(3, name="dense"), LAYERS.Dense(2)])
    with pytest.raises(ValueError, match=r"spatial output.*Received: dense"):
        grad_cam()(flat)(np.ones((1, 4)), [0])
    with pytest.raises(ValueError, match=r"spatial output.*'dense' with output \(None, 3\)"):
        grad_cam("dense")(flat)(np.ones((1, 4)), [0])
    # A layer that only rescales pixels has learned nothing that could be shown.
    pixels = keras.Sequential(
        [keras.Input((4, 4, 1)), LAYERS.Rescaling(2.0), LAYERS.Flatten(), LAYERS.Dense(2)]
    )
    with pytest.raises(ValueError, match="spatial output"):
        grad_cam()(pixels)(np.ones((1, 4, 4, 1)), [0])


def test_a_layer_beside_the_target_is_refused_and_passed_over() -> None:
    inputs = keras.Input((6, 6, 1))
    main = LAYERS.Conv2D(2, 3, name="main")(inputs)
    side = LAYERS.Conv2D(2, 3, name="side")(main)
    model = keras.Model(inputs, {"a": tail(main), "b": tail(side)})
    x = np.ones((1, 6, 6, 1))
    assert grad_cam()(model, target=targets.of_output("a"))(x, [0]).layer == "main"
    assert grad_cam()(model, target=targets.of_output("b"))(x, [0]).layer == "side"
    with pytest.raises(
        ValueError, match=r"between the inputs and the target. Received: layer='side'"
    ):
        grad_cam("side")(model, target=targets.of_output("a"))(x, [0])


@pytest.mark.parametrize("method", METHODS)
def test_what_a_binder_tells_the_log(method: Callable[..., Binder]) -> None:
    binder = method(layer="conv")
    assert binder.method == method.__name__
    assert binder.params == {"layer": "conv"}
    assert (binder.signed, binder.additive) == (False, False)
