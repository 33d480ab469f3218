"""Targets: the head behind a model's outputs, what each target means there, labels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tb_xai import targets
from tb_xai.gradients import saliency

LAYERS = keras.layers
K = 4


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def logsumexp(z: np.ndarray) -> np.ndarray:
    top = z.max(axis=-1)
    return top + np.log(np.exp(z - top[..., None]).sum(axis=-1))


def slow_log_odds(z: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([row[c] - logsumexp(np.delete(row, c)) for row, c in zip(z, y, strict=True)])


class Subclassed(keras.Model):
    """A softmax that no layer owns, behind a cast, a reshape and a squeeze."""

    def __init__(self, kernel: np.ndarray) -> None:
        super().__init__()
        self.dense = LAYERS.Dense(kernel.shape[1])
        self.dense.build((None, kernel.shape[0]))
        self.dense.set_weights([kernel, np.zeros(kernel.shape[1])])
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        p = keras.ops.softmax(self.dense(x)[:, None, :])
        return tf.identity(tf.cast(tf.squeeze(tf.reshape(p, (-1, K, 1)), -1), tf.float64))


class InFunction(keras.Model):
    """A head that is traced as a function of its own."""

    def __init__(self, kernel: np.ndarray, activation: str) -> None:
        super().__init__()
        self.kernel, self.built = tf.constant(kernel, tf.float32), True
        self.activation = getattr(tf.nn, activation)

    @tf.function
    def head(self, x: tf.Tensor) -> tf.Tensor:
        return self.activation(x @ self.kernel)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.head(x)


def dense(kernel: np.ndarray, *heads: keras.layers.Layer, activation: str | None = None):
    layer = LAYERS.Dense(kernel.shape[1], activation=activation, use_bias=False)
    model = keras.Sequential([keras.Input((kernel.shape[0],)), layer, *heads])
    layer.set_weights([kernel])
    return model


def nested(kernel: np.ndarray) -> keras.Model:
    inner = dense(kernel, activation="softmax")
    x = keras.Input((kernel.shape[0],))
    return keras.Model(x, LAYERS.Identity()(keras.Sequential([inner])(x)))


def shared(kernel: np.ndarray) -> keras.Model:
    """A model whose last layer is also used, with other inputs, by a second model."""
    x, other = keras.Input((kernel.shape[0],)), keras.Input((kernel.shape[0],))
    layer = LAYERS.Dense(kernel.shape[1], activation="softmax", use_bias=False)
    model = keras.Model(x, layer(x))
    keras.Model(other, layer(2 * other))
    layer.set_weights([kernel])
    return model


def averaged(kernel: np.ndarray) -> keras.Model:
    x = keras.Input((kernel.shape[0],))
    member = dense(kernel, activation="softmax")
    return keras.Model(x, LAYERS.Average()([member(x), member(x)]))


KERNEL = rng(1).normal(size=(3, K)).astype(np.float32)
X = rng(2).normal(size=(6, 3)).astype(np.float32)
Y = np.array([0, 1, 2, 3, 0, 1])
Z = X.astype(float) @ KERNEL

SOFTMAX_MODELS = {
    "functional": lambda: keras.Model((m := dense(KERNEL, activation="softmax")).inputs, m.outputs),
    "sequential": lambda: dense(KERNEL, activation="softmax"),
    "activation layer": lambda: dense(KERNEL, LAYERS.Activation("softmax")),
    "softmax layer": lambda: dense(KERNEL, LAYERS.Softmax()),
    "log-softmax": lambda: dense(KERNEL, activation="log_softmax"),
    "subclassed": lambda: Subclassed(KERNEL),
    "nested": lambda: nested(KERNEL),
    "shared": lambda: shared(KERNEL),
    "reshaped": lambda: dense(KERNEL, LAYERS.Softmax(), LAYERS.Reshape((K,))),
    "logits": lambda: dense(KERNEL),
    "own function": lambda: InFunction(KERNEL, "softmax"),
    "mean of softmaxes": lambda: averaged(KERNEL),
}


def score(model: keras.Model, target: targets.Target, x: np.ndarray, y: object) -> np.ndarray:
    bound = targets.bind(model, target)
    return bound(tf.constant(x), bound.labels(y, len(x), x))[0].numpy()


@pytest.mark.parametrize("kind", SOFTMAX_MODELS)
def test_log_odds_start_from_the_logits_of_every_kind_of_model(kind: str) -> None:
    model = SOFTMAX_MODELS[kind]()
    expected = slow_log_odds(Z, Y)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(score(model, targets.log_odds, X, Y), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["functional", "subclassed", "nested", "reshaped", "log-softmax"])
def test_logits_are_the_pre_activations_and_not_their_softmax(kind: str) -> None:
    found = score(SOFTMAX_MODELS[kind](), targets.logit, X, Y)
    np.testing.assert_allclose(found, Z[np.arange(6), Y], rtol=1e-5)


@pytest.mark.parametrize("kind", ["functional", "logits", "mean of softmaxes"])
def test_probabilities_of_a_softmax(kind: str) -> None:
    model = SOFTMAX_MODELS[kind]()
    p = np.exp(Z - logsumexp(Z)[:, None])[np.arange(6), Y]
    np.testing.assert_allclose(score(model, targets.probability, X, Y), p, rtol=1e-5)
    np.testing.assert_allclose(
        score(model, targets.log_probability, X, Y), np.log(p), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("in_function", [False, True])
def test_one_sigmoid_unit_has_two_classes(in_function: bool) -> None:
    kernel = KERNEL[:, :1]
    model = InFunction(kernel, "sigmoid") if in_function else dense(kernel, activation="sigmoid")
    z, y = X @ kernel[:, 0], np.array([0, 1, 0, 1, 1, 0])
    signed = np.where(y == 1, z, -z)
    p = 1 / (1 + np.exp(-signed))
    for target, expected in [
        (targets.log_odds, signed),
        (targets.logit, signed),
        (targets.probability, p),
        (targets.log_probability, np.log(p)),
        (targets.value, 1 / (1 + np.exp(-z))),
    ]:
        np.testing.assert_allclose(score(model, target, X, y), expected, rtol=2e-4, atol=1e-5)
    two = np.stack([1 - y, y], axis=1)
    np.testing.assert_array_equal(
        score(model, targets.log_odds, X, two), score(model, targets.log_odds, X, y[:, None])
    )


def test_many_sigmoid_units_do_not_compete() -> None:
    model = dense(KERNEL, activation="sigmoid")
    z = Z[np.arange(6), Y]
    np.testing.assert_allclose(score(model, targets.log_odds, X, Y), z, rtol=1e-5)
    np.testing.assert_allclose(score(model, targets.probability, X, Y), 1 / (1 + np.exp(-z)), 1e-5)


def test_one_unit_without_activation_is_the_value_and_needs_no_labels() -> None:
    model = dense(KERNEL[:, :1])
    for target in (targets.log_odds, targets.logit, targets.value):
        np.testing.assert_allclose(score(model, target, X, None), Z[:, 0], rtol=1e-5)
        np.testing.assert_allclose(score(model, target, X, rng().random(6)), Z[:, 0], rtol=1e-5)
    for target in (targets.probability, targets.log_probability):
        with pytest.raises(ValueError, match=r"softmax or sigmoid head.*Received: one unit"):
            score(model, target, X, None)


def test_outputs_of_rank_one_are_one_unit() -> None:
    x = keras.Input((3,))
    p = LAYERS.Dense(1, activation="sigmoid", use_bias=False)
    model = keras.Model(x, LAYERS.Reshape(())(p(x)))
    p.set_weights([KERNEL[:, :1]])
    found = score(model, targets.log_odds, X, np.ones(6))
    np.testing.assert_allclose(found, Z[:, 0], rtol=1e-5)


def test_values_are_the_outputs_as_they_are() -> None:
    model = dense(KERNEL, LAYERS.Activation("tanh"))
    np.testing.assert_allclose(
        score(model, targets.value, X, Y), np.tanh(Z[np.arange(6), Y]), rtol=1e-5
    )


def test_a_confident_softmax_keeps_exact_log_odds() -> None:
    kernel = np.array([[300.0, 0, -300, 5]], np.float32)
    x, y = np.ones((4, 1), np.float32), np.arange(4)
    model = dense(kernel, activation="softmax")
    found = score(model, targets.log_odds, x, y)
    np.testing.assert_allclose(found, slow_log_odds(kernel.astype(float)[[0] * 4], y), rtol=1e-6)
    assert score(model, targets.probability, x[:1], y[:1]) == 1


def test_gradients_of_probabilities_die_where_log_odds_live() -> None:
    kernel = np.array([[60.0, 0], [0, 1]], np.float32)
    model = dense(kernel, activation="softmax")
    x = np.array([[4.0, 1.0]], np.float32)
    dead = saliency()(model, targets.probability)(x, [0]).values
    alive = saliency()(model, targets.log_odds)(x, [0]).values
    np.testing.assert_array_equal(dead, 0)
    np.testing.assert_allclose(alive, [[60, -1]], rtol=1e-6)


def test_a_softmax_inside_a_function_lives_as_well() -> None:
    model = InFunction(np.array([[30.0, 0], [0, 1]], np.float32), "softmax")
    x = np.array([[1.5, 1.0]], np.float32)
    np.testing.assert_allclose(saliency()(model)(x, [0]).values, [[30, -1]], rtol=1e-4)


def test_a_gate_is_no_head() -> None:
    """A product of a sigmoid and something else is no mixture of probabilities."""
    x = keras.Input((3,))
    gate = LAYERS.Dense(K, activation="sigmoid")(x)
    model = keras.Model(x, LAYERS.Multiply()([gate, LAYERS.Dense(K)(x)]))
    outputs = model(X).numpy().astype(float)
    np.testing.assert_allclose(
        score(model, targets.log_odds, X, Y), slow_log_odds(outputs, Y), rtol=1e-4, atol=1e-5
    )


def test_half_precision_heads_are_computed_in_float32() -> None:
    policy = keras.mixed_precision.DTypePolicy("mixed_float16")
    layer = LAYERS.Dense(K, activation="softmax", use_bias=False, dtype=policy)
    model = keras.Sequential([keras.Input((3,)), layer])
    layer.set_weights([KERNEL])
    found = score(model, targets.log_odds, X, Y)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, slow_log_odds(Z, Y), atol=0.02)


# --- several outputs, callables ---------------------------------------------------------------


@pytest.fixture(scope="module")
def two_outputs() -> keras.Model:
    x = keras.Input((3,))
    kind = LAYERS.Dense(K, activation="softmax", use_bias=False, name="kind")
    age = LAYERS.Dense(1, use_bias=False, name="age")
    model = keras.Model(x, [kind(x), age(x)])
    kind.set_weights([KERNEL])
    age.set_weights([KERNEL[:, :1]])
    return model


@pytest.mark.parametrize("which", [0, "kind"])
def test_one_output_of_a_list(two_outputs: keras.Model, which: int | str) -> None:
    found = score(two_outputs, targets.of_output(which), X, Y)
    np.testing.assert_allclose(found, slow_log_odds(Z, Y), rtol=1e-4, atol=1e-5)


def test_one_output_of_a_dictionary(two_outputs: keras.Model) -> None:
    kind, age = two_outputs.outputs
    model = keras.Model(two_outputs.inputs, {"kind": kind, "age": age})
    found = score(model, targets.of_output("age", targets.value), X, None)
    np.testing.assert_allclose(found, Z[:, 0], rtol=1e-5)
    found = score(model, targets.of_output("kind"), X, {"kind": Y, "age": X[:, 0]})
    np.testing.assert_allclose(found, slow_log_odds(Z, Y), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("labels", [{"kind": Y, "age": X[:, 0]}, [Y, X[:, 0]], Y.tolist()])
@pytest.mark.parametrize("which", ["kind", 0])
def test_labels_of_one_output_are_found_among_those_of_all(
    two_outputs: keras.Model, labels: object, which: str | int
) -> None:
    if isinstance(labels, dict) and which == 0:
        with pytest.raises(ValueError, match=r"one of the model's labels: \['kind', 'age'\]"):
            score(two_outputs, targets.of_output(which), X, labels)
        return
    found = score(two_outputs, targets.of_output(which), X, labels)
    np.testing.assert_allclose(found, slow_log_odds(Z, Y), rtol=1e-4, atol=1e-5)


def test_several_outputs_need_a_choice(two_outputs: keras.Model) -> None:
    with pytest.raises(ValueError, match=r"one output of several, as targets.of_output.*Received"):
        score(two_outputs, targets.log_odds, X, Y)
    with pytest.raises(ValueError, match=r"of_output must name one of .*'age'.*Received: 'sex'"):
        targets.bind(two_outputs, targets.of_output("sex"))
    with pytest.raises(ValueError, match=r"of_output must name one of.*Received: 5"):
        score(two_outputs, targets.of_output(5), X, Y)
    with pytest.raises(TypeError, match=r"name or a position. Received: None"):
        targets.of_output(None)  # type: ignore[arg-type]


def test_a_callable_gets_outputs_and_labels_and_may_use_the_targets_here(
    two_outputs: keras.Model,
) -> None:
    def own(outputs: list[tf.Tensor], y: tf.Tensor) -> tf.Tensor:
        return targets.log_odds(outputs[0], tf.cast(y[:, 0], tf.int32)) + outputs[1][:, 0] * y[:, 1]

    y = np.stack([Y, X[:, 1]], axis=1).astype(np.float32)
    np.testing.assert_allclose(
        score(two_outputs, own, X, y), slow_log_odds(Z, Y) + Z[:, 0] * X[:, 1], rtol=1e-4, atol=1e-5
    )


def test_a_callable_must_return_one_float_per_example() -> None:
    model = dense(KERNEL)
    for target, received in [
        (lambda o, y: o, r"Received: shape \(.*, 4\)"),
        (lambda o, y: tf.reduce_sum(o), r"Received: shape \(\)"),
    ]:
        with pytest.raises(ValueError, match=rf"one score per example.*{received}"):
            saliency()(model, target)(X)
    with pytest.raises(TypeError, match=r"floating-point scores. Received: int64"):
        saliency()(model, lambda o, y: tf.argmax(o, axis=1))(X)
    with pytest.raises(TypeError, match=r"callable .*Received: 'log_odds'"):
        targets.bind(model, "log_odds")  # type: ignore[arg-type]


def test_what_cannot_be_a_head_is_refused() -> None:
    with pytest.raises(ValueError, match="must not end in a softmax over one unit"):
        score(InFunction(KERNEL[:, :1], "softmax"), targets.log_odds, X, Y * 0)
    model = dense(KERNEL, LAYERS.Reshape((2, 2)))
    with pytest.raises(ValueError, match=r"shape \(n, k\) or \(n,\).*Received: output shape"):
        score(model, targets.log_odds, X, Y * 0)


def test_models_must_be_built_keras_models() -> None:
    with pytest.raises(TypeError, match=r"Keras model. Received: function"):
        targets.bind(lambda x: x)
    with pytest.raises(ValueError, match=r"must be built.*Received: the unbuilt model"):
        targets.bind(keras.Sequential([LAYERS.Dense(2)]))


def test_debugging_mode_is_refused() -> None:
    model = dense(KERNEL)
    tf.config.run_functions_eagerly(True)
    try:
        with pytest.raises(RuntimeError, match=r"run_functions_eagerly must be off"):
            saliency()(model)(X, Y)
    finally:
        tf.config.run_functions_eagerly(False)


def test_scores_work_inside_a_function_of_the_user() -> None:
    model = dense(KERNEL, activation="softmax")
    bound = targets.bind(model)
    inside = tf.function(lambda x, y: bound(x, y)[0])(tf.constant(X), tf.constant(Y, tf.int32))
    np.testing.assert_allclose(inside, slow_log_odds(Z, Y), rtol=1e-4, atol=1e-5)


def test_names_for_the_log() -> None:
    def margin(outputs: object, y: object) -> object:
        return outputs

    assert targets.name(targets.log_odds) == "log-odds"
    assert targets.name(targets.log_probability) == "log-probability"
    assert targets.name(targets.of_output("age", targets.value)) == "value of output age"
    assert targets.name(margin) == "margin"
    assert targets.name(lambda o, y: o) == "custom target"


# --- labels -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y",
    [
        [2, 0, 1],
        np.array([[2], [0], [1]], np.uint8),
        np.array([2.0, 0.0, 1.0]),
        np.eye(3)[[2, 0, 1]],
        np.eye(3, dtype=bool)[[2, 0, 1]],
    ],
)
def test_labels_in_every_form(y: object) -> None:
    found = targets.check_labels(y, 3, 3)
    assert found.dtype == np.int32
    assert found.tolist() == [2, 0, 1]


def test_labels_that_are_not_needed_are_not_looked_at() -> None:
    assert targets.check_labels(None, 3, 0).tolist() == [0, 0, 0]
    assert targets.check_labels([np.nan, 1.5, -2], 3, 0).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        (None, ValueError, r"y must hold the class of each example for target log-odds. .*None"),
        ([0, 1, 12], ValueError, r"target must be below 10 classes. Received: target=12"),
        ([0, -1, 2], ValueError, r"target must be below 10 classes. Received: target=-1"),
        ([0, 1], ValueError, r"each of the 3 examples. Received: shape \(2,\)"),
        (4, ValueError, r"each of the 3 examples. Received: shape \(\)"),
        ([0, 1, np.nan], ValueError, r"finite class numbers. Received: nan at \(2,\)"),
        ([0, 1, 2.5], ValueError, r"whole class numbers for target log-odds. Received: y=2.5"),
        (np.ones((3, 10)), ValueError, r"one class per example.*Received: y\[0\]="),
        (np.zeros((3, 10)), ValueError, r"one class per example.*Received: y\[0\]="),
        (np.ones((3, 4)), ValueError, r"one-hot \(3, 10\). Received: shape \(3, 4\)"),
        (["a", "b", "c"], TypeError, r"class numbers or one-hot rows. Received: dtype <U1"),
    ],
)
def test_labels_that_name_no_class_are_refused(
    y: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        targets.check_labels(y, 3, 10)


def test_labels_are_checked_against_the_model_before_anything_is_computed() -> None:
    explain = saliency()(dense(KERNEL, activation="softmax"))
    with pytest.raises(ValueError, match=r"below 4 classes. Received: target=4"):
        explain(X, Y + 1)
    assert explain.traces() == 0
    assert np.isfinite(explain(X, Y).values).all()


@pytest.mark.parametrize("target", [targets.log_odds, lambda outputs, y: outputs[:, 0]])
@pytest.mark.parametrize("which", [0, "answer"])
def test_one_output_is_not_taken_for_several(which: int | str, target: targets.Target) -> None:
    model = keras.Sequential([keras.Input((3,)), LAYERS.Dense(K, "softmax", name="answer")])
    x = rng().normal(size=(K, 3)).astype("float32")  # as many rows as classes
    with pytest.raises(
        ValueError, match=r"without of_output for a model of one output. Received: "
    ):
        saliency()(model, targets.of_output(which, target))(x, np.arange(K))


def test_labels_of_several_outputs_ask_for_the_one_to_explain() -> None:
    model = keras.Sequential([keras.Input((3,)), LAYERS.Dense(K, "softmax")])
    x = rng().normal(size=(2, 3)).astype("float32")
    with pytest.raises(ValueError, match=r"of_output chooses.*Received: keys \['dense'\]$"):
        saliency()(model)(x, {"dense": [0, 1]})
