"""Blur integrated gradients against their closed form and a slow NumPy version."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tb_xai import targets
from tb_xai.gradients import blur_integrated_gradients, gauss_legendre

LAYERS = keras.layers
SHAPE = (9, 6, 2)


def blur(images: np.ndarray, sigma: float) -> np.ndarray:
    """Weights exp(-d^2 / 2 s^2) that add up to 1 inside the image, pixel by pixel."""
    h, w = images.shape[1:3]
    out = np.zeros(images.shape)
    for i in range(h):
        for j in range(w):
            rows = np.exp(-((np.arange(h) - i) ** 2) / (2 * sigma**2))
            columns = np.exp(-((np.arange(w) - j) ** 2) / (2 * sigma**2))
            weight = np.outer(rows / rows.sum(), columns / columns.sum())
            out[:, i, j] = np.einsum("hw,nhwc->nc", weight, images)
    return out


def pictures(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1, 1, size=(n, *SHAPE)).astype(np.float32)


def sequential(shape: tuple[int, ...], *layers: keras.Layer, seed: int = 1) -> keras.Model:
    model = keras.Sequential([keras.Input(shape), *layers])
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.normal(size=w.shape) / np.sqrt(np.prod(w.shape)) * 3 for w in model.weights]
    )
    return model


@pytest.fixture(scope="module")
def smooth() -> keras.Model:
    return sequential(
        SHAPE, LAYERS.Conv2D(4, 3, activation="tanh"), LAYERS.Flatten(), LAYERS.Dense(1)
    )


@pytest.mark.parametrize("max_sigma", [1.0, 4.0, None, 40.0])
def test_of_a_linear_model_it_is_weight_times_what_the_blur_takes_away(
    max_sigma: float | None,
) -> None:
    model = sequential(SHAPE, LAYERS.Flatten(), LAYERS.Dense(1))
    x = pictures(3)
    away = x - blur(x, max_sigma or SHAPE[0] / 4)
    expected = away * model.weights[0].numpy().reshape(SHAPE)
    assert np.abs(expected).max() > 0.3
    a = blur_integrated_gradients(24, max_sigma)(model, target=targets.value)(x)
    np.testing.assert_allclose(a.values, expected, atol=2e-3)
    np.testing.assert_allclose(a.output - a.baseline_output, expected.sum((1, 2, 3)), atol=1e-4)


def test_the_widest_blur_leaves_the_mean_colour(smooth: keras.Model) -> None:
    x = pictures(2)
    flat = np.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
    a = blur_integrated_gradients(8, 1000.0)(smooth, target=targets.value)(x)
    np.testing.assert_allclose(a.baseline_output, smooth(flat)[:, 0], atol=1e-4)
    np.testing.assert_allclose(blur_integrated_gradients(8, 3)(smooth)(flat).values, 0, atol=1e-5)


def slowly(model: keras.Model, x: np.ndarray, max_sigma: float, steps: int) -> np.ndarray:
    """The paper's sum: the gradient times the difference of two blurred images, small steps."""
    gradient = tf.function(lambda v: tf.gradients(model(v), v)[0])
    widths = np.concatenate([[1e-3], np.geomspace(0.15, max_sigma, steps)])
    found = np.zeros(x.shape)
    finer = blur(x, widths[0])
    for low, high in itertools.pairwise(widths):
        coarser = blur(x, high)
        middle = tf.constant(blur(x, (low + high) / 2), tf.float32)
        found += gradient(middle).numpy() * (finer - coarser)
        finer = coarser
    return found


def test_a_slow_version_agrees(smooth: keras.Model) -> None:
    x = pictures(2)
    expected = slowly(smooth, x, 3.0, 150)
    assert np.abs(expected).max() > 0.1
    a = blur_integrated_gradients(32, 3.0)(smooth, target=targets.value)(x)
    np.testing.assert_allclose(a.values, expected, atol=2e-3 * np.abs(expected).max())
    blurred = smooth(blur(x, 3.0).astype(np.float32))[:, 0]
    np.testing.assert_allclose(a.baseline_output, blurred, atol=1e-5)
    np.testing.assert_allclose(a.values.sum((1, 2, 3)), a.output - blurred, rtol=1e-3)
    assert a.gap.max() < 1e-3


def test_the_nodes_are_those_of_gauss_and_legendre(
    smooth: keras.Model,
) -> None:
    """With few steps the error of the quadrature is large, and known."""
    x, steps = pictures(1), 2
    gradient = tf.function(lambda v: tf.gradients(smooth(v), v)[0])
    expected = np.zeros(x.shape)

    def width(t: float) -> float:
        """Equal ratios above 0.4 pixels, the fourth root below, 3 pixels at t = 0."""
        return 0.4 * float(((1 + (3 / 0.4) ** 4) ** (1 - t) - 1) ** 0.25)

    assert width(0) == pytest.approx(3)
    for t, weight in zip(*gauss_legendre(steps), strict=True):
        around = [width(t + e) for e in (-1e-4, 0, 1e-4)]
        before, point, after = (blur(x, sigma) for sigma in around)
        g = gradient(tf.constant(point, tf.float32)).numpy()
        expected += weight * g * (after - before) / 2e-4
    a = blur_integrated_gradients(steps, 3.0, tolerance=np.inf)(smooth, target=targets.value)(x)
    np.testing.assert_allclose(a.values, expected, atol=1e-3 * np.abs(expected).max())
    delta = a.output - a.baseline_output
    truth = np.abs(expected.sum() - delta) / np.abs(delta)
    assert a.gap[0] > 0.02
    assert a.gap[0] == pytest.approx(truth[0], rel=0.02)
    finer = blur_integrated_gradients(steps, 3.0)(smooth, target=targets.value)(x)
    assert finer.gap[0] < a.gap[0] / 2


def test_a_batch_is_its_examples_and_chunks_are_the_whole() -> None:
    layers = [LAYERS.Conv2D(3, 3, activation="relu"), LAYERS.GlobalAveragePooling2D()]
    model = sequential(SHAPE, *layers, LAYERS.Dense(4, activation="softmax"))
    x, y = pictures(5), np.array([0, 1, 2, 3, 0])
    explain = blur_integrated_gradients(8)(model)
    whole = explain(x, y)
    assert np.abs(whole.values).max() > 0.01
    explain(x + 1, y)
    assert explain.traces() == 1
    small = blur_integrated_gradients(8)(model, batch_size=3)(x, y)
    np.testing.assert_allclose(small.values, whole.values, atol=1e-5)
    for i in range(5):
        one = explain(x[i : i + 1], y[i : i + 1])
        np.testing.assert_allclose(one.values[0], whole.values[i], atol=1e-5)
        np.testing.assert_allclose(one.baseline_output[0], whole.baseline_output[i], atol=1e-5)


def test_other_inputs_are_held() -> None:
    image, table = keras.Input(SHAPE, name="image"), keras.Input((3,), name="table")
    flat = LAYERS.Flatten()(image)
    model = keras.Model([image, table], LAYERS.Dense(1)(LAYERS.concatenate([flat, table])))
    x = {"image": pictures(2), "table": np.ones((2, 3), np.float32)}
    a = blur_integrated_gradients(24, 2.0, inputs=["image"])(model)(x)
    kernel = model.weights[0].numpy()[: np.prod(SHAPE)].reshape(SHAPE)
    expected = (x["image"] - blur(x["image"], 2.0)) * kernel
    np.testing.assert_allclose(a.values["image"], expected, atol=1e-3)
    assert a.values["table"] is None
    with pytest.raises(ValueError, match=r"images \(n, h, w, c\).*inputs=.*Received: .*table"):
        blur_integrated_gradients()(model)(x)


def test_double_and_half_precision(smooth: keras.Model) -> None:
    x = pictures(1)
    expected = blur_integrated_gradients(16, 2.0)(smooth)(x).values
    for policy, rtol in (("float64", 1e-4), ("mixed_float16", 0.05)):
        layers = [LAYERS.Conv2D(4, 3, activation="tanh", dtype=policy), LAYERS.Flatten()]
        model = keras.Sequential(
            [
                keras.Input(SHAPE),
                *layers,
                LAYERS.Dense(1, dtype=policy.replace("mixed_float16", "float32")),
            ]
        )
        model.set_weights(smooth.get_weights())
        values = blur_integrated_gradients(16, 2.0)(model)(x).values
        np.testing.assert_allclose(values, expected, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"n_steps": 0}, "n_steps must be a whole number of at least 1. Received: n_steps=0"),
        ({"max_sigma": 0.2}, "at least 0.5 pixels. Received: max_sigma=0.2"),
        ({"max_sigma": float("nan")}, "at least 0.5 pixels. Received: max_sigma=nan"),
        ({"tolerance": 0}, "tolerance must be positive. Received: tolerance=0"),
        ({"max_steps": 8}, "max_steps must be a whole number of at least 16"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        blur_integrated_gradients(**settings)


def test_what_is_not_an_image_is_refused() -> None:
    model = sequential((5, 2), LAYERS.Flatten(), LAYERS.Dense(1))
    with pytest.raises(ValueError, match=r"integrated_gradients, or .*shape \(3, 5, 2\)"):
        blur_integrated_gradients()(model)(np.ones((3, 5, 2)))


def test_what_the_log_tells() -> None:
    binder = blur_integrated_gradients(8, 5.0)
    assert (binder.method, binder.signed, binder.additive) == (
        "blur_integrated_gradients",
        True,
        True,
    )
    assert binder.params == {"n_steps": 8, "max_sigma": 5.0, "max_steps": 64}
