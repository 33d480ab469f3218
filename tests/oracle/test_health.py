"""Health of a network against closed forms and slow versions in plain NumPy."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tb_xai import health

N, D = 30, 4
X = np.random.default_rng(0).normal(size=(N, D)).astype("float32")
Y = (X @ np.array([[1.0], [-2.0], [0.5], [0.0]]) + 0.3).astype("float32")


def built(*parts: Any, loss: Any = "mse", seed: int = 1, **options: Any) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((D,)), *parts])
    model.compile("sgd", loss, **options)
    return model


def linear(w: np.ndarray, b: float, **options: Any) -> keras.Model:
    model = built(layers.Dense(1, name="only"), **options)
    model.set_weights([w.reshape(D, 1), np.array([b])])
    return model


def residual_gradients(x: np.ndarray, y: np.ndarray, w: np.ndarray, b: float) -> np.ndarray:
    """Gradients of the squared error of each example by (w, b), (n, d + 1)."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    residual = x @ w + b - y[:, 0]
    return 2 * residual[:, None] * np.column_stack([x, np.ones(len(x))])


W, B = np.array([0.5, -1.0, 2.0, 0.25]), -0.75


# --- gradients ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("chunks", "batch_size"), [(1, None), (4, None), (7, None), (2, 4)])
def test_gradient_of_a_linear_layer_in_closed_form(chunks: int, batch_size: int | None) -> None:
    explain = health.measure(chunks=chunks, batch_size=batch_size)(linear(W, B))
    found = explain(X, Y)
    gradient = residual_gradients(X, Y, W, B).mean(0)
    assert np.linalg.norm(gradient) > 1
    np.testing.assert_allclose(found.gradient_norm, [np.linalg.norm(gradient)], rtol=1e-5)
    np.testing.assert_allclose(found.total_gradient_norm, np.linalg.norm(gradient), rtol=1e-5)
    np.testing.assert_allclose(found.weight_norm, [np.linalg.norm([*W, B])], rtol=1e-6)
    np.testing.assert_allclose(found.loss, np.mean((X @ W + B - Y[:, 0]) ** 2), rtol=1e-5)
    edges = [-np.inf, *health.HISTOGRAM_EDGES, np.inf]
    counts, _ = np.histogram(np.abs(gradient), edges)
    np.testing.assert_allclose(found.gradient_histogram[0], counts / (D + 1))
    assert explain.traces() == 1


def test_histogram_has_a_place_for_zeros_and_for_the_largest() -> None:
    values = np.array([0.0, -0.0, 2.0**-60, 2.0**-40, -(2.0**-38), 1.0, 3.9, 4.0, 1e30, np.nan])
    shares = health._histogram([values[:4], values[4:]])
    assert shares[0] == 0.3  # two zeros and what is below the first edge
    assert shares[1] == 0.1
    assert shares[2] == 0.1
    assert shares[21] == 0.2  # 1 and 3.9, between 2^0 and 2^2
    assert shares[22] == 0.1
    assert shares[-1] == 0.1
    assert shares.sum() == pytest.approx(0.9)  # NaN is in none


def test_noise_scale_is_that_of_a_slow_version() -> None:
    sizes = [8, 8, 8, 6]
    each = residual_gradients(X, Y, W, B)
    parts = [part.mean(0) for part in np.split(each, np.cumsum(sizes)[:-1])]
    whole = each.mean(0)
    spread = np.mean([p @ p for p in parts]) - whole @ whole
    trace = spread / (np.mean([1 / s for s in sizes]) - 1 / N)
    expected = trace / (whole @ whole - trace / N)
    found = health.measure(chunks=4)(linear(W, B))(X, Y)
    assert 1 < expected < 100
    np.testing.assert_allclose(found.noise_scale, [expected], rtol=1e-3)
    np.testing.assert_allclose(found.total_noise_scale, expected, rtol=1e-3)


def test_noise_scale_tends_to_the_covariance_of_single_examples() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, D)).astype("float32")
    y = (x @ W[:, None] + rng.normal(size=(4000, 1))).astype("float32")
    each = residual_gradients(x, y, W + 0.3, 0.0)
    expected = np.trace(np.cov(each.T)) / np.sum(each.mean(0) ** 2)
    found = health.measure(chunks=400)(linear(W + 0.3, 0.0))(x, y)
    np.testing.assert_allclose(found.noise_scale, [expected], rtol=0.15)


def test_noise_without_signal_has_no_scale_and_one_part_none() -> None:
    rng = np.random.default_rng(4)
    y = rng.normal(size=(N, 1)).astype("float32")
    best = np.linalg.lstsq(np.column_stack([X, np.ones(N)]), y[:, 0], rcond=None)[0]
    found = health.measure()(linear(best[:D], best[D]))(X, y)
    assert np.isnan(found.total_noise_scale)
    assert np.isnan(health.measure(chunks=1)(linear(W, B))(X, Y).total_noise_scale)
    assert np.isnan(health.measure()(linear(W, B))(X[:1], Y[:1]).total_noise_scale)


def test_update_ratio_of_one_step_of_gradient_descent() -> None:
    model = linear(W, B)
    model.optimizer.learning_rate = 0.05
    explain = health.measure()(model)
    assert np.isnan(explain(X, Y).update_ratio).all()
    model.fit(X, Y, batch_size=N, shuffle=False, verbose=0)
    step = 0.05 * np.linalg.norm(residual_gradients(X, Y, W, B).mean(0))
    expected = step / np.linalg.norm([*W, B])
    np.testing.assert_allclose(explain(X, Y).update_ratio, [expected], rtol=1e-4)
    assert explain(X, Y).update_ratio.tolist() == [0.0]
    explain.forget()
    assert np.isnan(explain(X, Y).update_ratio).all()


def test_weights_weigh_rows_as_training_does() -> None:
    weight = np.linspace(0, 2, N).astype("float32")
    found = health.measure(chunks=1)(linear(W, B))(X, Y, weight)
    gradient = (residual_gradients(X, Y, W, B) * weight[:, None]).mean(0)
    np.testing.assert_allclose(found.gradient_norm, [np.linalg.norm(gradient)], rtol=1e-4)


def test_penalties_belong_to_the_loss() -> None:
    model = built(layers.Dense(1, name="only", kernel_regularizer=keras.regularizers.L2(0.3)))
    model.set_weights([W[:, None], np.array([B])])
    found = health.measure()(model)(X, Y)
    gradient = residual_gradients(X, Y, W, B).mean(0) + np.append(0.6 * W, 0)
    np.testing.assert_allclose(found.gradient_norm, [np.linalg.norm(gradient)], rtol=1e-5)
    np.testing.assert_allclose(found.loss, model.evaluate(X, Y, verbose=0), rtol=1e-5)


# --- activations --------------------------------------------------------------------------------


class Hand(keras.Model):
    """A subclassed model that applies its activation functions itself."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.first, self.last = layers.Dense(8, name="first"), layers.Dense(1, name="last")
        self.function = function

    def call(self, x: Any) -> Any:
        return self.last(self.function(self.first(x)))


def three_ways(name: str) -> list[keras.Model]:
    """Fused, as a layer, and in the code of a class: the same network."""
    fused = built(layers.Dense(8, activation=name, name="first"), layers.Dense(1, name="last"))
    apart = built(
        layers.Dense(8, name="first"), layers.Activation(name), layers.Dense(1, name="last")
    )
    keras.utils.set_random_seed(1)
    hand = Hand(getattr(keras.ops, name))
    hand.compile("sgd", "mse")
    hand(X)
    return [fused, apart, hand]


def test_units_with_a_bias_of_minus_ten_are_dead() -> None:
    for model in three_ways("relu"):
        kernel, bias, *rest = model.get_weights()
        bias[:6] = -10
        model.set_weights([kernel * 0.5, bias, *rest])
        found = health.measure()(model)(X, Y)
        assert found.layers == ["first", "last"]
        assert found.dead.tolist() == [0.75, 0.0]
        assert found.dead_bound == pytest.approx(3 / N)
        assert health.states(found) == ["dead", "healthy"]
        hidden = np.maximum(X @ kernel * 0.5 + bias, 0)
        assert (hidden.max(0) > 0).sum() == 2
        np.testing.assert_allclose(found.activation_mean[0], hidden.mean(), rtol=1e-5)
        np.testing.assert_allclose(found.activation_variance[0], hidden.var(), rtol=1e-5)


def test_rule_of_three_bounds_the_firing_rate() -> None:
    # The exact 95 % bound of a unit that never fired in n examples is 1 - 0.05^(1/n).
    for n in (20, 64, 1000):
        found = health.measure(chunks=1)(linear(W, B))(np.ones((n, D)), np.ones((n, 1)))
        assert 1 - 0.05 ** (1 / n) <= found.dead_bound <= 1.15 * (1 - 0.05 ** (1 / n))


@pytest.mark.parametrize("name", ["tanh", "sigmoid"])
def test_saturated_share_is_counted(name: str) -> None:
    for model in three_ways(name):
        kernel, bias, *rest = model.get_weights()
        model.set_weights([kernel * 6, bias + 1, *rest])
        z = (X @ (kernel * 6) + bias + 1).astype(np.float64)
        slope = 1 - np.tanh(z if name == "tanh" else z / 2) ** 2
        expected = (slope < 1 - health.SATURATED**2).mean()
        found = health.measure()(model)(X, Y)
        assert 0.1 < expected < 0.9
        np.testing.assert_allclose(found.saturated[0], expected, atol=1 / (N * 8))
        assert np.isnan(found.saturated[1])


def test_a_head_that_is_sure_is_not_saturated() -> None:
    model = built(layers.Dense(1, activation="sigmoid"), loss="binary_crossentropy")
    model.set_weights([100 * W[:, None], np.zeros(1)])
    assert np.isnan(health.measure()(model)(X, Y > 0).saturated).all()


def test_activations_of_every_kind_of_layer() -> None:
    keras.utils.set_random_seed(2)
    shared = layers.Dense(D, name="shared")
    x = keras.Input((D,))
    back = keras.Sequential(
        [keras.Input((D,)), layers.Dense(6, name="inner"), layers.BatchNormalization(name="norm")],
        name="backbone",
    )
    image = layers.Reshape((2, 3, 1))(layers.Dropout(0.5)(back(shared(shared(x)))))
    conv = layers.Conv2D(5, 2, activation="relu", name="conv")(image)
    steps = layers.Reshape((2, 5))(conv)
    out = layers.Dense(1, name="out")(layers.LSTM(3, name="memory")(steps))
    model = keras.Model(x, out)
    model.compile("sgd", "mse")
    found = health.measure()(model)(X, Y)
    names = ["shared", "backbone/inner", "backbone/norm", "conv", "memory", "out"]
    assert sorted(found.layers) == sorted(names)
    once = shared(X)
    inner = back.layers[0](shared(once))
    normal = back(shared(once))
    spots = model.get_layer("conv")(tf.reshape(normal, (N, 2, 3, 1)))
    memory = model.get_layer("memory")(tf.reshape(spots, (N, 2, 5)))
    expected = {
        "shared": np.concatenate([once, shared(once)]),
        "backbone/inner": inner,
        "backbone/norm": normal,
        "conv": spots,
        "memory": memory,
        "out": model(X),
    }
    for i, name in enumerate(found.layers):
        values = np.asarray(expected[name], np.float64)
        np.testing.assert_allclose(found.activation_mean[i], values.mean(), atol=1e-6)
        np.testing.assert_allclose(found.activation_variance[i], values.var(), rtol=1e-4)
        flat = values.reshape(-1, values.shape[-1])
        assert found.dead[i] == (flat.max(0) == flat.min(0)).mean()
    assert np.isfinite(found.gradient_norm).all()


# --- spectrum -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 4), (7, 300), (300, 7), (3, 3, 8, 16), (1, 5), (400, 300)])
def test_largest_singular_value_and_stable_rank(shape: tuple[int, ...]) -> None:
    kernel = np.random.default_rng(5).normal(size=shape).astype("float32")
    singular = np.linalg.svd(kernel.reshape(-1, shape[-1]).astype(np.float64), compute_uv=False)
    found = health._spectrum([np.ones(3, "float32"), kernel])
    assert (min(kernel.reshape(-1, shape[-1]).shape) > health.EXACT_SIDE) == (shape == (400, 300))
    rtol = 5e-3 if shape == (400, 300) else 1e-6
    np.testing.assert_allclose(found[0], singular[0], rtol=rtol)
    np.testing.assert_allclose(found[1], (singular**2).sum() / singular[0] ** 2, rtol=2 * rtol)


def test_spectrum_of_a_dominant_direction_and_of_nothing() -> None:
    rng = np.random.default_rng(6)
    u, v = rng.normal(size=(2, 500))
    kernel = (np.outer(u, v) / 30 + rng.normal(size=(500, 500)) / 30).astype("float32")
    exact = np.linalg.norm(kernel.astype(np.float64), 2)
    np.testing.assert_allclose(health._spectrum([kernel])[0], exact, rtol=1e-6)
    assert health._spectrum([np.zeros((300, 300), "float32")])[0] == 0
    assert np.isnan(health._spectrum([np.full((3, 3), np.inf, "float32")])).all()
    assert np.isnan(health._spectrum([np.ones(3, "float32")])).all()


# --- losses -------------------------------------------------------------------------------------


def two_outputs(kind: str, **options: Any) -> keras.Model:
    keras.utils.set_random_seed(3)
    a, b = keras.Input((D,), name="a"), keras.Input((2,), name="b")
    h = layers.Concatenate()([layers.Dense(5, activation="tanh", name="left")(a), b])
    number = layers.Dense(1, name="number")(h)
    classes = layers.Dense(3, activation="softmax", name="classes")(h)
    outputs = {"number": number, "classes": classes} if kind == "dict" else [number, classes]
    model = keras.Model([a, b], outputs)
    model.compile("sgd", **options)
    return model


@pytest.mark.parametrize(("kind", "by_name"), [("dict", True), ("list", True), ("list", False)])
def test_loss_of_several_outputs_is_that_of_training(kind: str, by_name: bool) -> None:
    losses: Any = {"number": "mae", "classes": keras.losses.SparseCategoricalCrossentropy()}
    weights: Any = {"number": 0.5, "classes": 2.0}
    y: Any = {"number": Y, "classes": np.arange(N) % 3}
    if not by_name:
        losses, weights, y = list(losses.values()), list(weights.values()), list(y.values())
    model = two_outputs(kind, loss=losses, loss_weights=weights)
    x = [X, X[:, :2]]
    found = health.measure(chunks=3)(model)(x, y)
    real = model.evaluate(x, y, batch_size=N, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(found.loss, real, rtol=1e-5)
    assert sorted(found.layers) == ["classes", "left", "number"]
    assert np.isfinite(found.gradient_norm).all()
    check = health.gradient_check(model, x, y)
    assert np.median(list(check.values())) < 1e-8


@pytest.mark.parametrize(
    ("loss", "units", "y"),
    [
        ("sparse_categorical_crossentropy", 3, np.arange(N) % 3),
        ("categorical_crossentropy", 3, np.eye(3)[np.arange(N) % 3]),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), 3, np.arange(N) % 3),
        (keras.losses.BinaryCrossentropy(from_logits=True), 1, np.arange(N) % 2),
        (keras.losses.Huber(0.5), 1, Y[:, 0]),
        (keras.losses.MeanSquaredError(reduction="sum"), 1, Y),
        (lambda a, b: tf.abs(a - b), 1, Y),
    ],
)
def test_loss_is_that_of_training(loss: Any, units: int, y: Any) -> None:
    softmax = isinstance(loss, str)
    model = built(layers.Dense(units, activation="softmax" if softmax else None), loss=loss)
    found = health.measure(chunks=1)(model)(X, y)
    real = model.evaluate(X, y, batch_size=N, verbose=0)
    np.testing.assert_allclose(found.loss, real, rtol=1e-5)


def test_half_precision_keeps_small_gradients() -> None:
    norms = []
    for policy in ("float32", "mixed_float16"):
        keras.utils.set_random_seed(5)  # layers draw their seeds when they are made
        parts = [
            layers.Dense(8, activation="tanh", dtype=policy, name="a"),
            layers.Dense(8, activation="tanh", dtype=policy, name="b"),
            layers.Dense(1, dtype="float32", name="c"),
        ]
        model = built(*parts, loss=lambda a, b: 1e-6 * tf.square(a - b))
        norms.append(health.measure()(model)(X, Y).gradient_norm)
    assert norms[0].max() < 1e-5  # single entries are below what float16 resolves without scale
    np.testing.assert_allclose(norms[0], norms[1], rtol=0.01)


# --- words --------------------------------------------------------------------------------------


def test_a_deep_sigmoid_network_has_vanishing_gradients() -> None:
    parts = [layers.Dense(8, activation="sigmoid", name=f"s{i}") for i in range(20)]
    found = health.measure()(built(*parts, layers.Dense(1, name="out")))(X, Y)
    words = health.states(found)
    assert words[:10] == ["vanishing"] * 10
    assert "vanishing" not in words[18:]


def test_a_small_loss_alone_is_not_vanishing() -> None:
    parts = layers.Dense(8, activation="tanh"), layers.Dense(1)
    found = health.measure()(built(*parts, loss=lambda a, b: 1e-9 * tf.square(a - b)))(X, Y)
    assert found.gradient_norm.max() < health.VANISHING
    assert health.states(found) == ["healthy", "healthy"]


def test_weights_that_blow_up_explode_and_then_are_not_finite() -> None:
    model = built(layers.Dense(8, activation="relu"), layers.Dense(1))
    explain = health.measure()(model)
    assert health.states(explain(X, Y)) == ["healthy", "healthy"]
    model.set_weights([w * 1e4 for w in model.get_weights()])
    assert health.states(explain(X, Y)) == ["exploding", "exploding"]
    model.set_weights([w * np.nan for w in model.get_weights()])
    found = explain(X, Y)
    assert health.states(found) == ["not finite", "not finite"]
    assert (found.not_finite >= 8).all()


def test_frozen_and_healthy_and_saturated() -> None:
    model = built(
        layers.Dense(6, activation="tanh"), layers.Dense(5, activation="tanh"), layers.Dense(1)
    )
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    kernel, bias = model.layers[1].get_weights()
    model.layers[1].set_weights([kernel * 100, bias])
    found = health.measure()(model)(X, Y)
    assert health.states(found) == ["frozen", "saturated", "healthy"]
    assert np.isnan(found.gradient_norm[0])
    assert np.isnan(found.gradient_histogram[0]).all()
    assert health.states(found, saturated=0.999999)[1] == "healthy"


# --- gradient check -----------------------------------------------------------------------------


def test_gradients_of_smooth_models_are_right() -> None:
    model = built(
        layers.Dense(6, activation="tanh", name="a"),
        layers.BatchNormalization(name="norm"),
        layers.Dropout(0.5),
        layers.Dense(5, activation="gelu", name="b"),
        layers.Dense(3, activation="softmax", name="out"),
        loss="sparse_categorical_crossentropy",
    )
    before = [w.copy() for w in model.get_weights()]
    found = health.gradient_check(model, X, np.arange(N) % 3, n_checks=20)
    assert list(found) == ["a", "norm", "b", "out"]
    assert np.median(list(found.values())) < 1e-8
    assert max(found.values()) < 1e-6
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert keras.config.floatx() == "float32"
    assert keras.config.dtype_policy().name == "float32"
    assert found == health.gradient_check(model, X, np.arange(N) % 3, n_checks=20)


class WrongSquare(layers.Layer):
    """x^2 times a weight, whose gradient by x claims to be that of x^2 / 2."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, x: Any) -> Any:
        @tf.custom_gradient
        def square(x: Any) -> Any:
            return x * x, lambda upstream: upstream * x

        return square(x) * self.scale


def test_a_wrong_gradient_is_found_where_it_acts() -> None:
    parts = layers.Dense(4, activation="tanh", name="before"), WrongSquare(name="wrong")
    found = health.gradient_check(built(*parts, layers.Dense(1, name="after")), X, Y)
    assert found["before"] > 0.3
    assert found["wrong"] < 1e-6
    assert found["after"] < 1e-6


@keras.saving.register_keras_serializable("tb_xai_tests")
class Own(keras.Model):
    """A subclassed model that can be rebuilt."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.first, self.last = layers.Dense(units, activation="tanh"), layers.Dense(1)

    def call(self, x: Any) -> Any:
        return self.last(self.first(x))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def test_gradient_check_of_nested_subclassed_and_mixed_models() -> None:
    own = Own(4)
    own.compile("sgd", "mse")
    own(X)
    back = keras.Sequential([keras.Input((D,)), layers.Dense(4, activation="tanh")], name="back")
    nested = built(back, layers.Lambda(lambda t: t * 2), layers.Dense(1, name="out"))
    half = built(layers.Dense(4, "tanh", dtype="mixed_float16"), layers.Dense(1, dtype="float32"))
    tokens = keras.Sequential(
        [keras.Input((3,), dtype="int32"), layers.Embedding(9, 4), layers.LSTM(3), layers.Dense(1)]
    )
    tokens.compile("sgd", "mse")
    ids = np.random.default_rng(7).integers(0, 9, (N, 3))
    for model, x in ((own, X), (nested, X), (half, X), (tokens, ids)):
        found = health.gradient_check(model, x, Y, n_checks=5)
        assert len(found) >= 2
        assert max(found.values()) < 1e-6
