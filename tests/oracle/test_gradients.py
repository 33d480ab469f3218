"""Gradient methods against closed forms, toy networks of the papers, and slow NumPy versions."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from tb_xai import targets
from tb_xai.gradients import (
    Attribution,
    Binder,
    expected_gradients,
    gauss_legendre,
    gradient_x_input,
    integrated_gradients,
    saliency,
    smooth_grad,
    smooth_grad_squared,
    var_grad,
)

LAYERS, OPS = keras.layers, keras.ops


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Formula(keras.Model):
    """A model that is a formula of its input; one unit without activation."""

    def __init__(self, formula: Callable[[tf.Tensor], tf.Tensor]) -> None:
        super().__init__()
        self.formula, self.built = formula, True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.formula(x)


def dense(kernel: np.ndarray, bias: float = 0.0, activation: str | None = None) -> keras.Model:
    layer = LAYERS.Dense(kernel.shape[1], activation=activation)
    model = keras.Sequential([keras.Input((kernel.shape[0],)), layer])
    layer.set_weights([kernel, np.full(kernel.shape[1], bias)])
    return model


def multi_layer() -> keras.Model:
    sizes = [(3, None), (4, "relu"), (2, None)]
    model = keras.Sequential(
        [keras.Input((3,)), *(LAYERS.Dense(k, activation=a) for k, a in sizes)]
    )
    hidden = [np.ones((3, 4)), np.array([-10.0, 1, 1, 1])]
    model.set_weights([np.eye(3), np.zeros(3), *hidden, np.ones((4, 2)), np.array([-1.0, 1.0])])
    return model


def first(outputs: tf.Tensor, y: None) -> tf.Tensor:
    return outputs[:, 0]


# --- integrated gradients ---------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 16, 50])
def test_quadrature_is_exact_up_to_its_degree(n: int) -> None:
    nodes, weights = gauss_legendre(n)
    assert nodes.shape == weights.shape == (n,)
    assert ((nodes > 0) & (nodes < 1) & (weights > 0)).all()
    for degree in range(min(2 * n, 30)):
        assert weights @ nodes**degree == pytest.approx(1 / (degree + 1), rel=1e-12)
    # an inclusive mean of n points is not exact beyond constants and straight lines
    assert abs(np.mean(np.linspace(0, 1, n + 1) ** 2) - 1 / 3) > 1e-5


def kink2(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(tf.nn.relu(x[:, 0]) - 1 - tf.nn.relu(x[:, 1]))[:, None]


def kink3(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.relu(tf.nn.relu(x[:, 0] - 1) - tf.nn.relu(x[:, 1]))[:, None]


@pytest.mark.parametrize("formula", [kink2, kink3])
def test_kinks_of_the_paper(formula: Callable[[tf.Tensor], tf.Tensor]) -> None:
    x = np.array([[3.0, 1.0]])
    a = integrated_gradients(16, max_steps=512, tolerance=0.005)(Formula(formula))(x)
    np.testing.assert_allclose(a.values, [[1.5, -0.5]], atol=0.01)
    assert a.output[0] == 1
    assert a.baseline_output[0] == 0
    plain = saliency()(Formula(formula))(x).values
    np.testing.assert_array_equal(plain, [[1, -1]])


def test_equal_functions_have_equal_explanations() -> None:
    x = np.abs(rng(3).normal(size=(20, 2))) + np.array([1, 0])
    two, three = (
        integrated_gradients(64, max_steps=64)(Formula(f))(x).values for f in (kink2, kink3)
    )
    assert np.abs(two).max() > 0.5
    np.testing.assert_allclose(two, three, atol=1e-6)


def test_multi_layer_with_a_truthful_gap() -> None:
    x = np.array([[20.0, 50, 30]])
    model = multi_layer()
    a = integrated_gradients(16)(model, first)(x)
    np.testing.assert_allclose(a.values, [[78, 195, 117]], rtol=0.005)
    assert (a.output[0], a.baseline_output[0]) == (392, 2)
    gap = abs(a.values.astype(float).sum() - 390) / 390
    assert gap > 1e-4
    assert a.gap[0] == pytest.approx(gap, rel=0.02)
    np.testing.assert_allclose(saliency()(model, first)(x).values, [[4, 4, 4]])


def steep(x: tf.Tensor) -> tf.Tensor:
    """All of the rise lies in the first hundredth of the way; the second feature is straight."""
    return tf.tanh(100 * x[:, :1]) + x[:, 1:]


def test_a_gap_calls_for_more_steps_only_where_it_is_and_only_up_to_the_cap() -> None:
    x = np.array([[0.0, 1.0], [2.0, 0.5], [0.001, 1.0]])
    once = integrated_gradients(2, tolerance=np.inf)(Formula(steep))(x)
    capped = integrated_gradients(2, max_steps=8)(Formula(steep))(x)
    free = integrated_gradients(2, max_steps=1024)(Formula(steep))(x)
    for steps, a in [(2, once), (8, capped)]:
        nodes, weights = gauss_legendre(steps)
        slope = 100 / np.cosh(200 * nodes) ** 2
        assert a.values[1, 0] == pytest.approx(2 * weights @ slope, rel=5e-4)
        truth = abs(a.values[1].sum() - 1.5) / 1.5
        assert a.gap[1] == pytest.approx(truth, rel=1e-3)
        assert a.gap[1] > 0.05
    assert free.gap[1] <= 0.05
    assert free.values[1, 0] == pytest.approx(1, abs=0.08)
    # the others were fine from the start, and stay as they were
    np.testing.assert_allclose(capped.values[[0, 2]], once.values[[0, 2]], rtol=1e-6)


def test_more_steps_than_a_chunk_holds_and_a_number_that_does_not_divide() -> None:
    x = rng(5).normal(size=(5, 2))
    model = Formula(lambda v: tf.sin(3 * v[:, :1]) * tf.exp(v[:, 1:]))
    whole = integrated_gradients(50)(model, batch_size=1000)(x).values
    for batch in (1, 7, 64):
        parts = integrated_gradients(50)(model, batch_size=batch)(x).values
        np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)


def test_products_share_and_sums_separate() -> None:
    x = np.array([[3.0, -2.0], [0.5, 4.0]])
    a = integrated_gradients()(Formula(lambda v: v[:, :1] * v[:, 1:]))(x)
    np.testing.assert_allclose(a.values, np.repeat(x.prod(1)[:, None] / 2, 2, 1), rtol=1e-5)
    parts = (np.sin, np.exp)
    a = integrated_gradients(baseline=0.25)(Formula(lambda v: tf.sin(v[:, :1]) + tf.exp(v[:, 1:])))(
        x
    )
    expected = [[g(v) - g(0.25) for g, v in zip(parts, row, strict=True)] for row in x]
    np.testing.assert_allclose(a.values, expected, rtol=1e-4)
    assert a.gap.max() < 1e-5


def test_baselines_in_every_form() -> None:
    w = rng(1).normal(size=(4, 1))
    x, b = rng(2).normal(size=(5, 4)), rng(3).normal(size=(5, 4))
    model = dense(w, 0.7)
    for baseline in (0.5, b[0], b[:1], b):
        a = integrated_gradients(4, baseline)(model)(x)
        np.testing.assert_allclose(a.values, w[:, 0] * (x - baseline), rtol=1e-4, atol=1e-6)
        expected = np.broadcast_to(baseline, x.shape) @ w[:, 0] + 0.7
        np.testing.assert_allclose(a.baseline_output, expected, rtol=1e-4, atol=1e-6)


def test_a_shared_baseline_is_scored_under_the_label_of_each_example() -> None:
    kernel = rng(1).normal(size=(4, 3))
    model, x, y = dense(kernel, activation="softmax"), rng(2).normal(size=(6, 4)), np.arange(6) % 3
    baseline = rng(3).normal(size=4)
    z = baseline @ kernel
    expected = [z[c] - np.log(np.exp(np.delete(z, c)).sum()) for c in y]
    a = integrated_gradients(baseline=baseline)(model)(x, y)
    np.testing.assert_allclose(a.baseline_output, expected, rtol=1e-4, atol=1e-6)
    assert a.gap.max() < 1e-3


# --- closed forms -----------------------------------------------------------------------------


def test_a_linear_model_is_its_weights() -> None:
    w = rng(1).normal(size=(5, 1))
    x, background = rng(2).normal(size=(7, 5)), rng(3).normal(size=(6, 5))
    model, weights = dense(w, 0.3), np.tile(w[:, 0], (7, 1))
    cases: list[tuple[Binder, np.ndarray]] = [
        (saliency(), weights),
        (gradient_x_input(), weights * x),
        (smooth_grad(4, stdev=2.0, relative=False), weights),
        (smooth_grad_squared(3), weights**2),
        (var_grad(3, stdev=1.0), 0 * weights),
        (expected_gradients(background, 12), weights * (x - background.mean(axis=0))),
    ]
    for binder, expected in cases:
        a = binder(model)(x)
        np.testing.assert_allclose(a.values, expected, rtol=1e-4, atol=1e-5, err_msg=binder.method)
        np.testing.assert_allclose(a.output, x @ w[:, 0] + 0.3, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(a.baseline_output, np.mean(background @ w[:, 0]) + 0.3, rtol=1e-4)
    assert a.gap.max() < 1e-4


def test_networks_without_biases_integrate_to_gradient_times_input() -> None:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            LAYERS.Conv2D(4, 3, activation="relu", use_bias=False),
            LAYERS.MaxPooling2D(),
            LAYERS.Flatten(),
            LAYERS.Dense(6, activation="relu", use_bias=False),
            LAYERS.Dense(1, use_bias=False),
        ]
    )
    x = rng(4).normal(size=(5, 8, 8, 1))
    product, path = gradient_x_input()(model)(x), integrated_gradients(2)(model)(x)
    assert np.abs(product.output).max() > 0.01
    np.testing.assert_allclose(product.values.sum((1, 2, 3)), product.output, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(path.values, product.values, rtol=1e-3, atol=1e-6)


def test_logistic_regression() -> None:
    kernel = rng(1).normal(size=(4, 3))
    x, y = rng(2).normal(size=(6, 4)), np.arange(6) % 3
    z = x @ kernel
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    model = dense(kernel, activation="softmax")
    slope = p[np.arange(6), y][:, None] * (kernel.T[y] - p @ kernel.T)
    found = saliency()(model, targets.probability)(x, y)
    np.testing.assert_allclose(found.values, slope, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.prediction, p, rtol=1e-5)
    others = p * (np.arange(3) != y[:, None])
    slope = kernel.T[y] - (others / others.sum(axis=1, keepdims=True)) @ kernel.T
    np.testing.assert_allclose(saliency()(model)(x, y).values, slope, rtol=1e-4, atol=1e-5)
    two = dense(kernel[:, :2], activation="softmax")
    expected = np.tile(kernel[:, 1] - kernel[:, 0], (6, 1))
    np.testing.assert_allclose(saliency()(two)(x, np.ones(6)).values, expected, rtol=1e-5)


def test_noise_has_the_stated_width() -> None:
    """For f = sum x^3 / 6 the averaged gradient is (x^2 + s^2) / 2 and its variance is known."""
    model = Formula(lambda v: tf.reduce_sum(v**3, axis=1, keepdims=True) / 6)
    x = np.tile([[0.0, 1.0, 3.0]], (40, 1))
    for binder, s in [
        (smooth_grad(400, stdev=0.2), 0.6),
        (smooth_grad(400, stdev=0.6, relative=False), 0.6),
        (smooth_grad(400, stdev=np.array([0.6, 0.6, 0.6]), relative=False), 0.6),
    ]:
        a = binder(model)(x)
        np.testing.assert_allclose(a.values.mean(0), (x[0] ** 2 + s**2) / 2, rtol=0.03)
        # pairs are x^2 + e^2 over 2, whose standard deviation is s^2 / sqrt(2)
        np.testing.assert_allclose(a.stderr.mean(0), s**2 / np.sqrt(2 * 200), rtol=0.08)
        np.testing.assert_allclose(a.values.std(0), a.stderr.mean(0), rtol=0.4)
    variance = s**2 * x[0] ** 2 + s**4 / 2
    found = var_grad(400, stdev=0.2)(model)(x).values
    np.testing.assert_allclose(found.mean(0), variance, rtol=0.06)
    mean = (x[0] ** 2 + s**2) / 2
    squared = smooth_grad_squared(400, stdev=0.2)(model)(x)
    np.testing.assert_allclose(squared.values.mean(0), mean**2 + variance, rtol=0.06)
    np.testing.assert_allclose(squared.values.std(0), squared.stderr.mean(0), rtol=0.4)


def test_noise_widths_may_differ_by_feature_and_be_zero() -> None:
    model = Formula(lambda v: tf.reduce_sum(v**3, axis=1, keepdims=True) / 6)
    x = np.array([[1.0, 2.0]])
    a = smooth_grad(50, stdev=np.array([0.0, 1.0]), relative=False)(model)(x)
    assert a.values[0, 0] == pytest.approx(0.5)
    assert a.stderr[0, 0] == pytest.approx(0, abs=1e-7)
    assert a.stderr[0, 1] > 0.01
    flat = smooth_grad(4)(model)(np.ones((1, 2)))
    np.testing.assert_allclose(flat.values, 0.5)


def test_expected_gradients_agree_with_integrated_gradients_over_the_background() -> None:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            LAYERS.Dense(8, activation="tanh"),
            LAYERS.Dense(3, activation="softmax"),
        ]
    )
    x, y, background = rng(1).normal(size=(3, 4)), [0, 1, 2], rng(2).normal(size=(8, 4))
    truth = np.mean([slow_path(model, x, y, b) for b in background], axis=0)
    a = expected_gradients(background, 512)(model)(x, y)
    assert np.abs(truth).max() > 0.1
    assert (np.abs(a.values - truth) < 4 * a.stderr + 1e-3).all()
    # the paths add up to the mean over all of the background, and the gap tells how far these are
    np.testing.assert_allclose(truth.sum(1), a.output - a.baseline_output, rtol=1e-3, atol=1e-3)
    delta = a.output - a.baseline_output
    np.testing.assert_allclose(a.gap, np.abs(a.values.sum(1) - delta) / np.abs(delta), atol=1e-4)
    assert (a.gap > 1e-4).any()
    noisy = expected_gradients(background, 64, stdev=0.3)(model)(x, y)
    assert not np.allclose(noisy.values, expected_gradients(background, 64)(model)(x, y).values)


def slow_path(model: keras.Model, x: np.ndarray, y: list[int], b: np.ndarray) -> np.ndarray:
    """Integrated gradients from one baseline, in plain NumPy over the model's own gradient."""
    nodes, weights = gauss_legendre(24)
    total = np.zeros_like(x)
    for node, weight in zip(nodes, weights, strict=True):
        total += weight * tape_gradient(model, b + node * (x - b), y)
    return total * (x - b)


def tape_gradient(model: keras.Model, x: np.ndarray, y: list[int]) -> np.ndarray:
    """Gradient of the log-odds by an eager tape, through the probabilities."""
    v = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(v)
        p = tf.gather(model(v, training=False), y, axis=1, batch_dims=1)
        odds = tf.math.log(p) - tf.math.log1p(-p)
    return tape.gradient(odds, v).numpy()


# --- slow versions from the papers ------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            LAYERS.Conv2D(4, 3, activation="gelu"),
            LAYERS.BatchNormalization(),
            LAYERS.Dropout(0.5),
            LAYERS.Flatten(),
            LAYERS.Dense(3, activation="softmax"),
        ]
    )


IMAGES, CLASSES = rng(8).normal(size=(5, 6, 6, 2)), [0, 1, 2, 1, 0]


def test_saliency_equals_an_eager_tape(network: keras.Model) -> None:
    expected = tape_gradient(network, IMAGES, CLASSES)
    np.testing.assert_allclose(
        saliency()(network, batch_size=2)(IMAGES, CLASSES).values, expected, rtol=1e-3, atol=1e-5
    )


def test_integrated_gradients_equal_a_fine_midpoint_sum(network: keras.Model) -> None:
    baseline = rng(9).normal(size=(6, 6, 2))
    n = 200
    total = sum(
        tape_gradient(network, baseline + (k + 0.5) / n * (IMAGES - baseline), CLASSES)
        for k in range(n)
    )
    expected = (IMAGES - baseline) * total / n
    a = integrated_gradients(16, baseline)(network)(IMAGES, CLASSES)
    np.testing.assert_allclose(a.values, expected, rtol=0.01, atol=2e-4)
    delta = a.output - a.baseline_output
    np.testing.assert_allclose(a.values.sum((1, 2, 3)), delta, rtol=0.01)


def test_smooth_grad_equals_a_loop_with_numpy_noise(network: keras.Model) -> None:
    noise = (
        rng(10).normal(size=(1000, *IMAGES.shape))
        * 0.1
        * np.ptp(IMAGES, axis=(1, 2, 3))[:, None, None, None]
    )
    samples = [
        tape_gradient(network, IMAGES + s * e, CLASSES) for e in noise[:100] for s in (1, -1)
    ]
    expected, spread = np.mean(samples, 0), np.std(samples, 0) / np.sqrt(len(samples))
    a = smooth_grad(200, stdev=0.1)(network)(IMAGES, CLASSES)
    z = (a.values - expected) / np.sqrt(spread**2 + a.stderr**2)
    assert np.abs(z).max() < 5
    assert 0.5 < z.std() < 1.2


# --- precision --------------------------------------------------------------------------------


def test_float64_models_are_explained_in_float64() -> None:
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="float64"),
            LAYERS.Dense(5, activation="tanh", dtype="float64"),
            LAYERS.Dense(2, activation="softmax", dtype="float64"),
        ]
    )
    x = rng(3).normal(size=(4, 3))
    a = integrated_gradients(24)(model)(x, [0, 1, 0, 1])
    assert a.output.dtype == np.float64
    assert a.gap.max() < 1e-11
    assert smooth_grad(4)(model)(x, [0, 1, 0, 1]).values.dtype == np.float32


def half_model(scale: float) -> tuple[keras.Model, np.ndarray]:
    kernel = (rng(1).normal(size=(4, 3)) * scale).astype(np.float16).astype(float)
    policy = keras.mixed_precision.DTypePolicy("mixed_float16")
    layers = [
        LAYERS.Dense(4, use_bias=False, dtype=policy),
        LAYERS.Dense(3, use_bias=False, dtype=policy),
        LAYERS.Activation("softmax", dtype="float32"),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.set_weights([np.eye(4) * 1e-4, kernel])
    return model, 1e-4 * (kernel[:, 1] - kernel[:, 0])


def test_half_precision_neither_underflows_nor_overflows() -> None:
    x, y = rng(2).normal(size=(3, 4)) * 0.01, [1, 1, 1]
    for scale in (1e-3, 1.0, 1e4):
        model, _ = half_model(scale)
        kernel = model.get_weights()[1].astype(float)
        score = targets.bind(model, targets.logit)
        assert score(x.astype(np.float32), np.array(y, np.int32))[0].dtype == tf.float32
        found = saliency()(model, targets.logit)(x, y).values
        np.testing.assert_allclose(found, np.tile(1e-4 * kernel[:, 1], (3, 1)), rtol=0.01)
        assert (found != 0).all()
    plain = tf.constant(x, tf.float32)
    model, _ = half_model(1e-3)
    with tf.GradientTape() as tape:
        tape.watch(plain)
        z = model.layers[1](model.layers[0](plain))[:, 1]
    assert (tape.gradient(z, plain).numpy() == 0).any()


def test_path_and_noise_methods_work_in_half_precision() -> None:
    model, slope = half_model(1.0)
    x = rng(2).normal(size=(3, 4))
    two = lambda o, y: targets.logit(o, y) - targets.logit(o, 0 * y)  # noqa: E731
    y = np.ones(3, np.int32)
    a = integrated_gradients(4)(model, two)(x, y)
    np.testing.assert_allclose(a.values, x * slope, rtol=0.02, atol=1e-7)
    np.testing.assert_allclose(smooth_grad(4)(model, two)(x, y).values, [slope] * 3, rtol=0.02)


# --- accuracy on a trained network ------------------------------------------------------------


def test_default_steps_leave_a_small_gap_on_trained_digits() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8, 1).astype(np.float32)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            LAYERS.Conv2D(16, 3, activation="relu", padding="same"),
            LAYERS.MaxPooling2D(),
            LAYERS.Flatten(),
            LAYERS.Dense(64, activation="relu"),
            LAYERS.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x[:1500], y[:1500], epochs=12, batch_size=32, verbose=0)
    assert history.history["accuracy"][-1] > 0.9
    a: Attribution = integrated_gradients()(model)(x[1500:1700], y[1500:1700])
    single = integrated_gradients(tolerance=np.inf)(model)(x[1500:1700], y[1500:1700])
    assert np.percentile(single.gap, 95) < 0.015
    assert np.percentile(a.gap, 95) < 0.015
    assert (a.gap <= single.gap + 1e-6).all()
    assert (a.gap < 0.05).mean() >= (single.gap < 0.05).mean()
    total = a.values.astype(float).sum((1, 2, 3))
    truth = np.abs(total - (a.output - a.baseline_output)) / np.abs(a.output - a.baseline_output)
    np.testing.assert_allclose(a.gap, truth, atol=1e-4)
