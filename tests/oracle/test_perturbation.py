"""Perturbation methods against closed forms, brute force and slow NumPy versions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tb_xai import targets
from tb_xai.gradients import Binder
from tb_xai.perturbation import (
    PlayerAttribution,
    feature_ablation,
    grid_segments,
    kernel_shap,
    lime,
    occlusion,
    rise,
    shapley_sampling,
)

LAYERS = keras.layers


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Formula(keras.Model):
    """A model that is a formula of its input; one unit without activation."""

    def __init__(self, formula: Callable[[Any], Any]) -> None:
        super().__init__()
        self.formula, self.built = formula, True

    def call(self, x: Any) -> Any:
        return self.formula(x)


def multi_layer() -> keras.Model:
    sizes = [(3, None), (4, "relu"), (2, None)]
    model = keras.Sequential(
        [keras.Input((3,)), *(LAYERS.Dense(k, activation=a) for k, a in sizes)]
    )
    hidden = [np.ones((3, 4)), np.array([-10.0, 1, 1, 1])]
    model.set_weights([np.eye(3), np.zeros(3), *hidden, np.ones((4, 2)), np.array([-1.0, 1.0])])
    return model


X = np.array([[20.0, 50.0, 30.0]])


@pytest.fixture(scope="module")
def multi() -> keras.Model:
    return multi_layer()


def first(outputs: Any, y: Any) -> Any:
    return outputs[:, 0]


# --- published toy network ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("binder", "expected"),
    [
        (feature_ablation(), (80, 200, 120)),
        (occlusion(1), (80, 200, 120)),
        (feature_ablation(groups=[[0, 1], [2]]), (280, 280, 120)),
        (kernel_shap(), (230 / 3, 590 / 3, 350 / 3)),
        (kernel_shap(groups=[[0, 1], [2]]), (275, 275, 115)),
        (kernel_shap(groups={"big": [0, 1]}), (390 - 115 + 5, 280, 0)),
        (shapley_sampling(2000), (230 / 3, 590 / 3, 350 / 3)),
    ],
)
def test_multi_layer_network(multi: keras.Model, binder: Binder, expected: Any) -> None:
    a = binder(multi, target=first)(X)
    atol = 0.3 if binder.method == "shapley_sampling" else 1e-3
    np.testing.assert_allclose(a.values[0], expected, atol=atol)
    assert a.output == pytest.approx([392.0])
    if binder.additive and "big" not in str(binder.params):
        assert a.baseline_output == pytest.approx([2.0])
        np.testing.assert_allclose(a.players.sum(1), a.output - a.baseline_output, rtol=1e-6)
        assert a.gap.max() < 1e-6


# --- closed forms ---------------------------------------------------------------------------------

W = np.array([[1.5, -2.0], [0.0, 0.5], [3.0, 1.0], [-1.0, 2.0], [0.25, -0.75]])
LINEAR: list[tuple[Binder, float]] = [
    (occlusion(1, value=0.5), 1e-4),
    (feature_ablation(0.5), 1e-4),
    (kernel_shap(0.5), 1e-4),
    (kernel_shap(0.5, n_samples=30, exact=False), 1e-4),
    (shapley_sampling(4, baseline=0.5), 1e-4),
    (lime(60, baseline=0.5), 1e-4),
    (lime(60, baseline=0.5, kernel_width=math.inf), 1e-4),
]


@pytest.fixture(scope="module")
def linear() -> keras.Model:
    model = keras.Sequential([keras.Input((5,)), LAYERS.Dense(2)])
    model.set_weights([W, np.array([0.3, -0.4])])
    return model


@pytest.mark.parametrize(("binder", "atol"), LINEAR, ids=lambda b: getattr(b, "method", ""))
def test_of_a_linear_model_all_are_weight_times_difference(
    linear: keras.Model, binder: Binder, atol: float
) -> None:
    x, y = rng(1).normal(size=(4, 5)), np.array([0, 1, 1, 0])
    expected = (x - 0.5) * W[:, y].T
    assert np.abs(expected).max() > 1
    a = binder(linear, target=targets.value)(x, y)
    np.testing.assert_allclose(a.values, expected, atol=atol)
    if a.stderr is not None:
        assert a.stderr.max() < 1e-3
    if binder.method == "lime":
        np.testing.assert_allclose(a.r2, 1, atol=1e-5)


def test_of_a_linear_model_rise_tends_to_weight_times_difference(linear: keras.Model) -> None:
    x, y = rng(1).normal(size=(3, 5)), np.array([0, 1, 1])
    a = rise(4000, grid=5, baseline=0.5)(linear, target=targets.value)(x, y)
    error = (a.values - (x - 0.5) * W[:, y].T) / a.stderr
    assert a.stderr.max() < 0.15
    assert np.abs(error).max() < 3.5


def test_a_background_is_averaged_over(linear: keras.Model) -> None:
    x, y = rng(1).normal(size=(3, 5)), np.array([0, 1, 1])
    background = rng(2).normal(size=(7, 5))
    expected = (x - background.mean(0)) * W[:, y].T
    for binder in (
        kernel_shap(background),
        feature_ablation(background),
        shapley_sampling(4, background),
        lime(40, background),
    ):
        a = binder(linear, target=targets.value)(x, y)
        np.testing.assert_allclose(a.values, expected, atol=1e-4)
    # The baseline is the mean score, not the score of the mean.
    square = Formula(lambda x: tf.reduce_sum(x**2, 1, keepdims=True))
    a = kernel_shap(background)(square)(x)
    np.testing.assert_allclose(a.baseline_output, (background**2).sum(1).mean(), rtol=1e-5)
    np.testing.assert_allclose(a.values, x**2 - (background**2).mean(0), atol=1e-4)


def test_separable_and_pairwise_models() -> None:
    # f = sum g_i(x_i): every Shapley value is g_i(x_i) - g_i(b_i).
    g = Formula(lambda x: tf.reduce_sum(tf.sin(x), 1, keepdims=True))
    x = rng(3).normal(size=(3, 6))
    for binder in (
        kernel_shap(0.25),
        shapley_sampling(8, 0.25),
        kernel_shap(0.25, n_samples=44, exact=False),
    ):
        np.testing.assert_allclose(binder(g)(x).values, np.sin(x) - np.sin(0.25), atol=1e-5)
    # f = x1 x2 shares out evenly; the third feature is unused and gets exactly 0.
    product = Formula(lambda x: x[:, :1] * x[:, 1:2])
    for binder in (kernel_shap(), shapley_sampling(4), kernel_shap(n_samples=6, exact=False)):
        values = binder(product)(np.array([[3.0, 4.0, 9.0]])).values[0]
        np.testing.assert_allclose(values, [6, 6, 0], atol=1e-5)
    assert (feature_ablation()(product)(x[:, :3]).values[:, 2] == 0).all()
    assert (kernel_shap()(product)(x[:, :3]).values[:, 2] == 0).all()


def test_pairs_cancel_interactions_of_two() -> None:
    # x'Qx at x = 1, b = 0 has phi_i = Q_ii + sum_{j != i} (Q_ij + Q_ji) / 2, whatever is drawn.
    Q = rng(4).normal(size=(14, 14))
    model = Formula(lambda x: tf.einsum("ni,ij,nj->n", x, tf.constant(Q, tf.float32), x)[:, None])
    expected = (Q + Q.T).sum(0) / 2
    for binder in (kernel_shap(n_samples=60), shapley_sampling(4), kernel_shap()):
        a = binder(model)(np.ones((1, 14)))
        np.testing.assert_allclose(a.values[0], expected, atol=2e-4)
        assert a.stderr.max() < 1e-4


# --- brute force ----------------------------------------------------------------------------------


def shapley_by_hand(v: Callable[[np.ndarray], float], p: int) -> np.ndarray:
    """The definition: mean marginal contribution, subset by subset."""
    phi = np.zeros(p)
    for i in range(p):
        rest = [j for j in range(p) if j != i]
        for size in range(p):
            weight = math.factorial(size) * math.factorial(p - size - 1) / math.factorial(p)
            for members in itertools.combinations(rest, size):
                z = np.zeros(p)
                z[list(members)] = 1
                with_i = z.copy()
                with_i[i] = 1
                phi[i] += weight * (v(with_i) - v(z))
    return phi


def game(p: int, seed: int = 0) -> tuple[Callable[[Any], Any], Callable[[np.ndarray], float]]:
    """A game with interactions of all orders, in TensorFlow (first p features) and NumPy."""
    r = rng(seed)
    A, a, c = r.normal(size=(p, 6)), r.normal(size=6), r.normal(size=6)

    def graph(x: Any) -> Any:
        return tf.tanh(2 * x[:, :p] @ A.astype("f4") + a.astype("f4")) @ c.astype("f4")[:, None]

    return graph, lambda z: float(np.tanh(2 * z @ A + a) @ c)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 7, 10])
def test_exact_shapley_values_are_those_of_the_definition(p: int) -> None:
    graph, v = game(p, p)
    expected = shapley_by_hand(v, p)
    a = kernel_shap()(Formula(graph))(np.ones((1, p)))
    np.testing.assert_allclose(a.values[0], expected, atol=2e-6 * 2**p)
    assert np.abs(expected).max() > 0.05
    assert (a.stderr == 0).all()


@pytest.mark.parametrize("p", [5, 6, 7, 8])
def test_least_squares_over_all_coalitions_are_the_shapley_values(p: int) -> None:
    graph, v = game(p, p)
    a = kernel_shap(n_samples=2**p, exact=False)(Formula(graph))(np.ones((1, p)))
    np.testing.assert_allclose(a.values[0], shapley_by_hand(v, p), atol=1e-4)
    assert (a.stderr == 0).all()


def replicas(n: int, p: int) -> np.ndarray:
    """The same game n times; a feature that the model does not see gives each its own draws."""
    return np.concatenate([np.ones((n, p)), np.arange(n)[:, None]], axis=1)


def check_coverage(a: Any, exact: np.ndarray, biased: bool = False) -> None:
    p = len(exact)
    values, error = a.values[:, :p].astype(float), a.stderr[:, :p].astype(float)
    assert error.min() > 1e-4
    assert len(np.unique(values[:, 0])) > len(values) / 5
    covered = (np.abs(values - exact) <= 1.96 * error).mean()
    assert 0.93 <= covered <= 0.97
    # Least squares with drawn weights have a bias, far below their spread; the others have none.
    bias = np.abs((values - exact).mean(0)) / values.std(0)
    assert bias.max() < (0.35 if biased else 4 / np.sqrt(len(values)))


@pytest.mark.parametrize(
    ("p", "binder"),
    [
        (6, lambda g: kernel_shap(groups=g, n_samples=44, exact=False)),
        (8, lambda g: kernel_shap(groups=g, n_samples=64)),
        (8, lambda g: kernel_shap(groups=g, n_samples=150)),
        (4, lambda g: shapley_sampling(128, groups=g)),
        (8, lambda g: shapley_sampling(100, groups=g)),
    ],
    ids=["kernel 6/44", "kernel 8/64", "kernel 8/150", "orders 4/128", "orders 8/100"],
)
def test_intervals_cover_the_exact_shapley_value(p: int, binder: Any) -> None:
    graph, v = game(p, 3)
    method = binder([[i] for i in range(p)])
    a = method(Formula(graph), batch_size=4096)(replicas(1000, p))
    np.testing.assert_allclose(a.players.sum(1), a.output - a.baseline_output, atol=1e-4)
    check_coverage(a, shapley_by_hand(v, p), method.method == "kernel_shap")


def test_intervals_of_rise_cover_its_expectation() -> None:
    p = 6
    graph, v = game(p, 3)
    Z = np.array(list(itertools.product([0.0, 1.0], repeat=p)))
    f = np.array([v(z) for z in Z])
    exact = np.array([f[Z[:, i] == 1].mean() - f[Z[:, i] == 0].mean() for i in range(p)])
    a = rise(150, grid=p + 1)(Formula(graph), batch_size=4096)(replicas(1000, p))
    check_coverage(a, exact)


def test_intervals_of_lime_cover_its_expectation() -> None:
    p = 6
    graph, v = game(p, 3)
    Z = np.array(list(itertools.product([0.0, 1.0], repeat=p)))
    f = np.array([v(z) for z in Z])
    w = np.exp(-((1 - np.sqrt(Z.mean(1))) ** 2) / (2 * 0.25**2))
    design = np.concatenate([Z, np.ones((len(Z), 1))], axis=1)
    exact = np.linalg.solve(design.T * w @ design, design.T @ (w * f))[:p]
    a = lime(200, groups=[[i] for i in range(p)])(Formula(graph), batch_size=4096)(
        replicas(1000, p)
    )
    check_coverage(a, exact, biased=True)
    # R2 of the population fit.
    residual = f - design @ np.linalg.solve(design.T * w @ design, design.T @ (w * f))
    r2 = 1 - (w @ residual**2) / (w @ (f - (w @ f) / w.sum()) ** 2)
    assert a.r2.mean() == pytest.approx(r2, abs=0.03)


def test_lime_is_a_weighted_ridge_regression() -> None:
    # One example whose coalitions can be read back: the model returns what it saw.
    seen: list[np.ndarray] = []

    def spy(x: np.ndarray) -> np.ndarray:
        seen.append(np.array(x))
        return np.sin(3 * x.sum(1, keepdims=True)).astype(np.float32)

    def graph(x: Any) -> Any:
        out = tf.numpy_function(spy, [x], tf.float32)
        return tf.ensure_shape(out, (None, 1))

    for penalty in (0.0, 1.0, 20.0):
        seen.clear()
        a = lime(64, regularisation=penalty, kernel_width=0.4)(Formula(graph))(np.ones((1, 4)))
        Z = np.concatenate([rows for rows in seen if len(rows) == 64]).astype(float)
        w = np.exp(-((1 - np.sqrt(Z.mean(1))) ** 2) / (2 * 0.4**2))
        design = np.concatenate([Z, np.ones((64, 1))], axis=1)
        f = np.sin(3 * Z.sum(1))
        normal = design.T * w @ design + np.diag([penalty] * 4 + [0])
        fit = np.linalg.solve(normal, design.T @ (w * f))
        np.testing.assert_allclose(a.values[0], fit[:4], atol=1e-5)
        mean = (w @ f) / w.sum()
        r2 = 1 - w @ (f - design @ fit) ** 2 / (w @ (f - mean) ** 2)
        np.testing.assert_allclose(a.r2, r2, atol=1e-5)
        assert abs(r2) < 0.9


# --- occlusion, slowly ----------------------------------------------------------------------------


def slow_starts(size: int, window: int, stride: int) -> list[int]:
    starts, at = [], 0
    while at + window <= size:
        starts.append(at)
        at += stride
    if starts[-1] + window != size:
        starts.append(size - window)
    return starts


def slow_occlusion(
    f: Callable[[np.ndarray], float], x: np.ndarray, window: Any, stride: Any, fill: np.ndarray
) -> np.ndarray:
    total, count = np.zeros(x.shape), np.zeros(x.shape)
    axes = [slow_starts(s, w, t) for s, w, t in zip(x.shape, window, stride, strict=True)]
    for corner in itertools.product(*axes):
        place = tuple(slice(c, c + w) for c, w in zip(corner, window, strict=True))
        hidden = x.copy()
        hidden[place] = fill[place]
        total[place] += f(x) - f(hidden)
        count[place] += 1
    assert count.min() >= 1
    return total / count


def slow_blur(x: np.ndarray, sigma: list[float]) -> np.ndarray:
    for axis, width in enumerate(sigma):
        out = np.zeros_like(x)
        for i in range(x.shape[axis]):
            weight = [math.exp(-0.5 * ((i - j) / width) ** 2) for j in range(x.shape[axis])]
            for j, share in enumerate(weight):
                part = share / sum(weight) * np.take(x, j, axis)
                index: list[Any] = [slice(None)] * x.ndim
                index[axis] = i
                out[tuple(index)] += part
        x = out
    return x


CASES: list[tuple[tuple[int, ...], Any, Any, tuple[int, ...], tuple[int, ...]]] = [
    ((7,), 3, 2, (3,), (2,)),
    ((7,), 2, None, (2,), (2,)),
    ((8, 2), 3, 1, (3, 2), (1, 2)),
    ((8, 2), (3, 1), (2, 1), (3, 1), (2, 1)),
    ((5, 6, 2), 2, None, (2, 2, 2), (2, 2, 2)),
    ((5, 6, 2), (3, 2), (1, 2), (3, 2, 2), (1, 2, 2)),
    ((4, 3, 3, 1), 2, 1, (2, 2, 2, 1), (1, 1, 1, 1)),
]


@pytest.mark.parametrize("value", ["number", "mean", "blur", "array", "rows"])
@pytest.mark.parametrize(("shape", "window", "stride", "slow_window", "slow_stride"), CASES)
def test_occlusion_is_the_slow_loop(
    shape: Any, window: Any, stride: Any, slow_window: Any, slow_stride: Any, value: str
) -> None:
    if value != "number" and stride is not None:
        stride, slow_stride = None, slow_window
    r = rng(len(shape))
    x = r.normal(size=(2, *shape))
    w = r.normal(size=(math.prod(shape), 4))
    model = Formula(
        lambda t: tf.reduce_sum(
            tf.tanh(tf.reshape(t, (-1, w.shape[0])) @ w.astype("f4")), 1, keepdims=True
        )
    )

    def f(one: np.ndarray) -> float:
        return float(np.tanh(one.reshape(-1) @ w).sum())

    spatial = tuple(range(max(1, len(shape) - 1)))
    given: Any = {"number": 0.3, "mean": "mean", "blur": "blur"}.get(value)
    if value == "array":
        given = r.normal(size=shape[-1])
    if value == "rows":
        given = r.normal(size=(3, *shape))
    a = occlusion(window, stride, given)(model, batch_size=7)(x)
    for row, found in zip(x, a.values, strict=True):
        if value == "mean":
            fills = [np.broadcast_to(row.mean(axis=spatial, keepdims=True), shape)]
        elif value == "blur":
            fills = [slow_blur(row, [slow_window[i] / 2 for i in spatial])]
        else:
            fills = list(given) if value == "rows" else [np.broadcast_to(given, shape)]
        slow = [slow_occlusion(f, row, slow_window, slow_stride, fill) for fill in fills]
        assert np.abs(slow[0]).max() > 0.1
        np.testing.assert_allclose(found, np.mean(slow, axis=0), atol=2e-5)
    assert a.values.shape == x.shape


def test_rise_masks_cover_every_position_alike() -> None:
    # Of a linear model on 2-d inputs the expectation is a smoothed w * x; compare with slow masks.
    shape, cells, p = (5, 4), (2, 2), 0.4
    w = rng(2).normal(size=20)
    x = rng(3).normal(size=(1, *shape, 1))
    model = Formula(lambda t: tf.reshape(t, (-1, 20)) @ w.astype("f4")[:, None])
    length = [math.ceil(s / c) for s, c in zip(shape, cells, strict=True)]
    nodes = [(s + n - 2) // n + 2 for s, n in zip(shape, length, strict=True)]
    cov, count = np.zeros((20, 20)), 0
    for shift in itertools.product(*(range(n) for n in length)):
        # Each mask is linear in independent bits: Cov(m) = p (1 - p) L L', L the interpolation.
        L = np.zeros((*shape, *nodes))
        for i, j in np.ndindex(*shape):
            for di, dj in itertools.product((0, 1), repeat=2):
                at = [(i + shift[0]) / length[0], (j + shift[1]) / length[1]]
                low = [int(a) for a in at]
                t = [a - b for a, b in zip(at, low, strict=True)]
                share = (t[0] if di else 1 - t[0]) * (t[1] if dj else 1 - t[1])
                if share:
                    L[i, j, low[0] + di, low[1] + dj] += share
        L = L.reshape(20, -1)
        cov += p * (1 - p) * L @ L.T
        count += 1
    cov /= count
    np.testing.assert_allclose(np.diag(cov), cov[0, 0])
    expected = cov @ (w * x.reshape(-1)) / cov[0, 0]
    a = rise(6000, cells, p)(model, batch_size=1000)(x)
    error = (a.values.reshape(-1) - expected) / a.stderr.reshape(-1)
    assert np.abs(expected).max() > 3 * a.stderr.max()
    assert np.abs(error).max() < 3.5
    assert (error**2).mean() < 2


# --- kinds of input -------------------------------------------------------------------------------


def test_token_ids_and_words() -> None:
    table = rng(1).normal(size=(9, 1))
    table[0] = 0
    embed = LAYERS.Embedding(9, 1)
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), embed, LAYERS.Lambda(lambda e: tf.reduce_sum(e, 1))]
    )
    embed.set_weights([table])
    ids = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    expected = table[ids][..., 0]
    for binder in (kernel_shap(), occlusion(1)):
        a = binder(model)(ids)
        np.testing.assert_allclose(a.values, expected, atol=1e-5)
    np.testing.assert_allclose(
        feature_ablation(2)(model)(ids).values, expected - table[2], atol=1e-5
    )
    with pytest.raises(ValueError, match=r"whole number .*Received: baseline=0.5"):
        kernel_shap(0.5)(model)(ids)
    with pytest.raises(TypeError, match="explain ids and text by lime"):
        rise(10, 2)(model)(ids)

    vectors = LAYERS.TextVectorization(vocabulary=["good", "bad", "film"], output_sequence_length=4)
    embed = LAYERS.Embedding(5, 1)
    text = keras.Input((1,), dtype="string")
    model = keras.Model(text, LAYERS.Lambda(lambda e: tf.reduce_sum(e, 1))(embed(vectors(text))))
    embed.set_weights([np.array([[0.0], [0.1], [2.0], [-3.0], [0.5]])])
    x = np.array([["Good  film"], ["a bad bad film"]], object)
    for binder in (kernel_shap(), occlusion(1), lime(60)):
        a = binder(model)(x)
        np.testing.assert_allclose(a.values, [[2, 0.5, 0, 0], [0.1, -3, -3, 0.5]], atol=1e-4)
        assert a.words.tolist() == [["Good", "film", "", ""], ["a", "bad", "bad", "film"]]
    swapped = feature_ablation("bad")(model)(x).values
    np.testing.assert_allclose(swapped[0, :2], [5, 3.5], atol=1e-4)


def test_several_inputs_groups_and_held_inputs() -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((2, 2, 1), name="b")
    dense = LAYERS.Dense(1)
    model = keras.Model({"b": b, "a": a}, dense(LAYERS.Concatenate()([a, LAYERS.Flatten()(b)])))
    w = np.arange(1.0, 7.0)
    dense.set_weights([w[:, None], np.zeros(1)])
    x = {"a": rng(1).normal(size=(3, 2)), "b": rng(2).normal(size=(3, 2, 2, 1))}
    parts = {"a": x["a"] * w[:2], "b": x["b"] * w[2:].reshape(2, 2, 1)}
    for binder in (feature_ablation(), lime(40), shapley_sampling(4)):
        found = binder(model)(x).values
        assert list(found) == list(x)
        for name in x:
            np.testing.assert_allclose(found[name], parts[name], atol=1e-4)
    whole = kernel_shap(groups={"table": "a", "picture": "b"})(model)(x)
    assert whole.names == ("table", "picture")
    sums = np.stack([parts["a"].sum(1), parts["b"].sum((1, 2, 3))], axis=1)
    np.testing.assert_allclose(whole.players, sums, atol=1e-4)
    np.testing.assert_allclose(whole.values["b"][:, 1, 0, 0], sums[:, 1], atol=1e-4)
    held = kernel_shap(inputs=["b"])(model)(x)
    assert held.values["a"] is None
    np.testing.assert_allclose(held.values["b"], parts["b"], atol=1e-4)
    np.testing.assert_allclose(held.baseline_output, parts["a"].sum(1), atol=1e-4)
    other = feature_ablation({"a": 1.0, "b": np.ones((2, 2, 1))})(model)(x).values
    np.testing.assert_allclose(other["a"], (x["a"] - 1) * w[:2], atol=1e-4)


def test_a_list_of_one_input_and_double_precision() -> None:
    inputs = keras.Input((4,), dtype="float64")
    dense = LAYERS.Dense(1, dtype="float64")
    model = keras.Model([inputs], dense(inputs))
    dense.set_weights([np.array([[1.0], [-2.0], [0.0], [1e-9]]), np.array([1.0])])
    x = rng(1).normal(size=(2, 4)) + 2
    expected = x * dense.get_weights()[0].T
    for given in (x, [x]):
        a = kernel_shap()(model)(given)
        values = a.values[0] if isinstance(given, list) else a.values
        # Beside values of order 1, float32 could not see 1e-9.
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-13)
        assert a.output.dtype == np.float64
    assert np.abs(rise(500, 4)(model)(x).values - expected).max() < 1


def test_segments_of_images() -> None:
    labels = grid_segments((5, 4), (2, 2))
    assert labels.tolist() == [[0, 0, 1, 1]] * 3 + [[2, 2, 3, 3]] * 2
    x = rng(1).normal(size=(2, 5, 4, 3))
    w = rng(2).normal(size=(5, 4, 3))
    model = Formula(lambda t: tf.reduce_sum(t * w.astype("f4"), [1, 2, 3])[:, None])
    expected = np.zeros(x.shape)
    for k in range(4):
        inside = labels == k
        expected[:, inside] = (x * w)[:, inside].sum((1, 2))[:, None, None]
    for binder in (lime(40, segments=2), kernel_shap(groups=labels), lime(40, groups=labels)):
        np.testing.assert_allclose(binder(model)(x).values, expected, atol=1e-4)
    assert lime(100)(model)(x).players.shape == (2, 20)


def test_one_trace_over_epochs_and_weights_are_followed(linear: keras.Model) -> None:
    x, y = rng(1).normal(size=(4, 5)), np.array([0, 1, 1, 0])
    for binder in (occlusion(1), kernel_shap(n_samples=30, exact=False), rise(20, 5)):
        explain = binder(linear, target=targets.value)
        before = explain(x, y).values
        linear.set_weights([W * 2, np.zeros(2)])
        after = explain(x, y).values
        linear.set_weights([W, np.array([0.3, -0.4])])
        np.testing.assert_allclose(after, 2 * before, atol=1.0 if binder.method == "rise" else 1e-3)
        assert not np.allclose(after, before)
        np.testing.assert_array_equal(explain(x, y).values, before)
        assert explain.traces() == 1


# --- sentences ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("binder", "message"),
    [
        (lambda: kernel_shap(groups=[[0, 1], [1, 2]]), r"must not overlap. Received: feature 1"),
        (lambda: kernel_shap(groups=[[0, 9]]), r"columns below 3. Received: column 9"),
        (lambda: kernel_shap(groups={"a": "nothing"}), r"known inputs.*Received: 'nothing'"),
        (lambda: kernel_shap(groups=[]), r"at least one group. Received"),
        (lambda: kernel_shap(groups=[[]]), r"must not be empty. Received"),
        (lambda: kernel_shap(np.zeros((4, 2))), r"background rows.*Received: shape \(4, 2\)"),
        (lambda: kernel_shap(np.nan), r"finite. Received"),
        (lambda: kernel_shap("middle"), r"Received: 'middle'"),
        (lambda: occlusion(4), r"must fit into input.*Received: window=4"),
        (lambda: occlusion(0), r"at least 1.*Received: window=0"),
        (lambda: occlusion(1, 2), r"stride must not exceed the window.*stride=2"),
        (lambda: occlusion((1, 1)), r"or 1 of them. Received: window=\(1, 1\)"),
        (lambda: rise(10, grid=4), r"exceed the input's 3 positions. Received: grid=4"),
        (lambda: lime(4), r"players \+ 2 = 5. Received: n_samples=4"),
    ],
)
def test_sentences_when_explaining(
    multi: keras.Model, binder: Callable[[], Binder], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        binder()(multi, target=first)(X)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rise(1, 2), r"n_masks must be .*Received: n_masks=1"),
        (lambda: rise(10, 2, p=1.0), r"p must lie between 0 and 1. Received: p=1.0"),
        (lambda: shapley_sampling(5), r"must be even.*Received: n_samples=5"),
        (lambda: lime(kernel_width=0), "kernel_width must be positive. Received: kernel_width=0"),
        (lambda: lime(regularisation=-1), r"regularisation must .*Received: regularisation=-1"),
        (lambda: kernel_shap(exact=True, n_samples=10), r"n_samples must be None.*n_samples=10"),
        (lambda: grid_segments((2, 2), 3), r"cells must not exceed.*Received: cells=3"),
    ],
)
def test_sentences_at_once(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_sentences_about_the_number_of_players() -> None:
    model = Formula(lambda x: tf.reduce_sum(x, 1, keepdims=True))
    x = np.ones((1, 13))
    with pytest.raises(ValueError, match=r"at most 12 players to be exact.*Received: 13 players"):
        kernel_shap(exact=True)(model)(x)
    with pytest.raises(ValueError, match=r"players \+ 32 = 58. Received: n_samples=57"):
        kernel_shap(n_samples=57)(model)(x)
    with pytest.raises(TypeError, match=r"groups must be a sequence.*Received: int"):
        kernel_shap(groups=3)(model)(x)


def test_what_binders_tell_the_log() -> None:
    binder = kernel_shap(np.zeros((3, 2)), groups={"a": [0], "b": [1]}, n_samples=50, seed=4)
    assert binder.params == {
        "baseline": "array (3, 2), mean 0",
        "groups": ["a", "b"],
        "n_samples": 50,
        "seed": 4,
        "exact": None,
    }
    assert binder.signed
    assert binder.additive
    assert not lime().additive
    a = kernel_shap()(multi_layer(), target=first)(X)
    assert isinstance(a, PlayerAttribution)
    assert a.prediction.shape == (1, 2)
    assert a.values.dtype == np.float32
