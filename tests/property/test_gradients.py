"""Laws that gradient methods keep for any model, input and chunk size, and what they refuse."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tb_xai import targets
from tb_xai.gradients import (
    Binder,
    expected_gradients,
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


X, Y = rng(1).normal(size=(7, 5)).astype(np.float32), np.arange(7) % 3
METHODS: dict[str, Binder] = {
    b.method: b
    for b in (
        saliency(),
        gradient_x_input(),
        integrated_gradients(5),
        smooth_grad(6, seed=3),
        smooth_grad_squared(5, seed=3),
        var_grad(5, seed=3),
        expected_gradients(rng(2).normal(size=(4, 5)), 10, seed=3),
    )
}
FIXED = ["saliency", "gradient_x_input", "integrated_gradients"]


class Sampling(keras.layers.Layer):
    """Draws from a seed generator in inference as well, counts its calls and adds a loss."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(5)
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, x: tf.Tensor) -> tf.Tensor:
        self.calls.assign_add(1.0)
        self.add_loss(OPS.mean(x))
        return x + 1e-3 * keras.random.normal(OPS.shape(x), seed=self.seeds)


def build(seed: int = 0, *, noisy: bool = False) -> keras.Model:
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((5,)),
            LAYERS.Dense(6, activation="gelu"),
            LAYERS.BatchNormalization(),
            LAYERS.Dropout(0.5),
            *([Sampling()] if noisy else []),
            LAYERS.Dense(3, activation="softmax"),
        ]
    )


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build()


@pytest.mark.parametrize("method", METHODS)
def test_every_chunk_size_gives_the_same(model: keras.Model, method: str) -> None:
    whole = METHODS[method](model, batch_size=10_000)(X, Y)
    assert np.abs(whole.values).max() > 1e-3
    assert np.ptp(whole.values, axis=0).max() > 1e-4
    for batch in (1, 6):
        parts = METHODS[method](model, batch_size=batch)(X, Y)
        for name in ("values", "stderr", "output", "baseline_output", "gap", "prediction"):
            if getattr(whole, name) is not None:
                np.testing.assert_allclose(
                    getattr(parts, name),
                    getattr(whole, name),
                    rtol=2e-4,
                    atol=2e-6,
                    err_msg=name,
                )


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_bits_and_one_trace_through_training(method: str) -> None:
    model = build(1)
    explain = METHODS[method](model)
    start = explain(X, Y)
    np.testing.assert_array_equal(start.values, explain(X, Y).values)
    weights = rng(4)
    for _ in range(20):
        model.set_weights(
            [w + 0.1 * np.abs(weights.normal(size=w.shape)) for w in model.get_weights()]
        )
        now = explain(X, Y)
        assert not np.allclose(now.values, start.values)
    assert explain.traces() == 1
    fresh = METHODS[method](model)(X, Y)
    np.testing.assert_allclose(now.values, fresh.values, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", METHODS)
def test_arrays_that_change_in_place_are_read_again(model: keras.Model, method: str) -> None:
    explain = METHODS[method](model)
    x, y = X.copy(), Y.copy()
    before = explain(x, y)
    np.testing.assert_array_equal(explain(x.copy(), y.copy()).values, before.values)
    x[2] *= -3
    after = explain(x, y).values
    assert not np.allclose(after[2], before.values[2])
    np.testing.assert_array_equal(after, METHODS[method](model)(x, y).values)
    y[:] = (y + 1) % 3
    np.testing.assert_array_equal(explain(x, y).values, METHODS[method](model)(x, y).values)
    with pytest.raises(ValueError, match="target must be below 3 classes"):
        explain(x, y + 3)
    with pytest.raises(ValueError, match="y must hold the class"):
        explain(x)
    x[0, 0] = np.nan
    with pytest.raises(ValueError, match="x must be finite"):
        explain(x, y)


def test_other_seeds_and_examples_have_other_noise(model: keras.Model) -> None:
    twice = np.concatenate([X[:1], X[:1]])
    a, b = (smooth_grad(4, seed=s)(model)(twice, [0, 0]).values for s in (0, 1))
    assert not np.allclose(a, b)
    assert not np.allclose(a[0], a[1])
    before = smooth_grad(4)(model)(X[:3], Y[:3]).values
    np.testing.assert_allclose(smooth_grad(4)(model)(X, Y).values[:3], before, rtol=1e-5)


@pytest.mark.parametrize("method", FIXED)
def test_a_batch_is_a_loop_over_examples(model: keras.Model, method: str) -> None:
    explain = METHODS[method](model)
    whole = explain(X, Y)
    singles = [explain(X[i : i + 1], Y[i : i + 1]).values[0] for i in range(len(X))]
    np.testing.assert_allclose(whole.values, singles, rtol=2e-4, atol=1e-6)
    order = rng(5).permutation(len(X))
    np.testing.assert_allclose(
        explain(X[order], Y[order]).values, whole.values[order], rtol=2e-4, atol=1e-6
    )


@pytest.mark.parametrize("seed", range(3))
def test_completeness_of_random_networks(seed: int) -> None:
    model = build(seed)
    x = rng(seed).normal(size=(20, 5)) * 2
    for target in (targets.log_odds, targets.logit, targets.log_probability):
        a = integrated_gradients(24, rng(seed).normal(size=5))(model, target)(x, np.arange(20) % 3)
        total, delta = a.values.astype(float).sum(1), a.output - a.baseline_output
        assert np.abs(delta).max() > 0.1
        assert np.percentile(a.gap, 90) < 0.01
        scale = np.maximum(np.abs(delta), 1e-3 * np.maximum(abs(a.output), abs(a.baseline_output)))
        np.testing.assert_allclose(a.gap, np.abs(total - delta) / scale, atol=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_an_unused_input_gets_exactly_nothing(method: str) -> None:
    model = build(2)
    kernel, *rest = model.get_weights()
    kernel[2] = 0
    model.set_weights([kernel, *rest])
    values = METHODS[method](model)(X, Y).values
    np.testing.assert_array_equal(values[:, 2], 0)
    assert (np.abs(values[:, [0, 1, 3, 4]]).max(axis=0) > 0).all()


@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "smooth_grad"])
def test_explanations_are_linear_in_the_target(model: keras.Model, method: str) -> None:
    def mix(outputs: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return 2 * targets.logit(outputs, y) - 3 * targets.log_odds(outputs, y)

    y = Y.astype(np.int32)
    a = {t: METHODS[method](model, t)(X, y).values for t in (targets.logit, targets.log_odds, mix)}
    expected = 2 * a[targets.logit] - 3 * a[targets.log_odds]
    np.testing.assert_allclose(a[mix], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_nothing_of_the_model_is_touched(method: str) -> None:
    model = build(3, noisy=True)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(X, Y)

    def state() -> list[np.ndarray]:
        tracked = model.variables + model.optimizer.variables + model.metrics_variables
        return [v.numpy() for v in tracked]

    before, numpy_state = state(), np.random.get_state()[1].copy()  # noqa: NPY002
    tensorflow_state = tf.random.get_global_generator().state.numpy()
    losses = list(model.losses)
    METHODS[method](model)(X, Y)
    for old, new in zip(before, state(), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002
    np.testing.assert_array_equal(tensorflow_state, tf.random.get_global_generator().state.numpy())
    assert {id(v) for v in model.losses} <= {id(v) for v in losses}


def test_training_goes_on_bit_for_bit() -> None:
    def train(explained: bool) -> list[np.ndarray]:
        model = build(4, noisy=True)
        model.compile("adam", "sparse_categorical_crossentropy")
        explain = [smooth_grad(4)(model), integrated_gradients(4)(model)] if explained else []
        for _ in range(3):
            for each in explain:
                each(X, Y)
            model.fit(X, Y, epochs=1, verbose=0, batch_size=3)
        return model.get_weights()

    for plain, watched in zip(train(False), train(True), strict=True):
        np.testing.assert_array_equal(plain, watched)


# --- structures of inputs ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_inputs() -> keras.Model:
    keras.utils.set_random_seed(6)
    a, b = keras.Input((3,), name="wide"), keras.Input((2, 2), name="deep")
    both = LAYERS.Concatenate()([a, LAYERS.Flatten()(LAYERS.Activation("tanh")(b))])
    return keras.Model({"wide": a, "deep": b}, LAYERS.Dense(3, activation="softmax")(both))


PARTS = {
    "wide": rng(1).normal(size=(4, 3)).astype(np.float32),
    "deep": rng(2).normal(size=(4, 2, 2)).astype(np.float32),
}
LABELS = [0, 1, 2, 0]


@pytest.mark.parametrize(
    "binder",
    [
        saliency(),
        integrated_gradients(6, {"wide": 0.5, "deep": PARTS["deep"][0]}),
        smooth_grad(4, {"wide": 0.1, "deep": 0.2}),
        expected_gradients(PARTS, 16),
    ],
    ids=lambda b: b.method,
)
def test_dictionaries_of_inputs(two_inputs: keras.Model, binder: Binder) -> None:
    a = binder(two_inputs)(PARTS, LABELS)
    assert {k: v.shape for k, v in a.values.items()} == {"wide": (4, 3), "deep": (4, 2, 2)}
    assert list(a.values) == list(PARTS)
    assert all(np.abs(v).max() > 1e-4 for v in a.values.values())
    if binder.method == "integrated_gradients":
        total = a.values["wide"].sum(1) + a.values["deep"].sum((1, 2))
        np.testing.assert_allclose(total, a.output - a.baseline_output, rtol=5e-3, atol=1e-4)


def test_lists_of_inputs_and_a_choice_among_them(two_inputs: keras.Model) -> None:
    wide, deep = two_inputs.input["wide"], two_inputs.input["deep"]
    model = keras.Model([wide, deep], two_inputs.outputs[0])
    x = [PARTS["wide"], PARTS["deep"]]
    whole = integrated_gradients(8)(model)(x, LABELS)
    assert [v.shape for v in whole.values] == [(4, 3), (4, 2, 2)]
    for chosen in (["wide"], [0]):
        a = integrated_gradients(8, inputs=chosen)(model)(x, LABELS)
        assert a.values[1] is None
        held = two_inputs.predict({"wide": 0 * x[0], "deep": x[1]}, verbose=0)[range(4), LABELS]
        np.testing.assert_allclose(
            a.baseline_output, np.log(held / (1 - held)), rtol=1e-3, atol=1e-5
        )
        np.testing.assert_allclose(
            a.values[0].sum(1), a.output - a.baseline_output, rtol=1e-3, atol=1e-4
        )
    np.testing.assert_allclose(
        saliency(inputs=["deep"])(model)(x, LABELS).values[1],
        saliency()(model)(x, LABELS).values[1],
    )
    b = expected_gradients([x[0][:2], x[1][:2]], 64, inputs=["wide"])(model)(x, LABELS)
    assert b.values[1] is None
    assert b.gap.max() < 0.2


class Tokens(keras.Model):
    """Token ids through a table, a mask and a pooling, next to a plain input."""

    def __init__(self) -> None:
        super().__init__()
        self.table = LAYERS.Embedding(11, 4, mask_zero=True)
        self.pool, self.head = (
            LAYERS.GlobalAveragePooling1D(),
            LAYERS.Dense(3, activation="softmax"),
        )
        self.table.build((None, 6))
        self.head.build((None, 5))
        self.built = True

    def call(self, x: dict[str, tf.Tensor]) -> tf.Tensor:
        pooled = self.pool(self.table(x["ids"]))
        return self.head(OPS.concatenate([OPS.tanh(pooled), x["age"]], axis=1))


IDS = {
    "ids": np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 0, 0], [8, 9, 10, 1, 1, 2]]),
    "age": rng(3).normal(size=(3, 1)).astype(np.float32),
}


def test_tokens_are_explained_at_their_embedding() -> None:
    keras.utils.set_random_seed(8)
    model = Tokens()
    rows = model.table.embeddings.numpy()[IDS["ids"]]
    mask = (IDS["ids"] > 0)[..., None]

    def odds(embedded: tf.Tensor) -> tf.Tensor:
        pooled = tf.reduce_sum(embedded * mask, 1) / mask.sum(1)
        z = tf.concat([tf.tanh(pooled), IDS["age"]], 1) @ model.head.kernel + model.head.bias
        p = tf.gather(tf.nn.softmax(z), LABELS[:3], axis=1, batch_dims=1)
        return tf.math.log(p) - tf.math.log1p(-p)

    v = tf.constant(rows)
    with tf.GradientTape() as tape:
        tape.watch(v)
        score = odds(v)
    expected = tape.gradient(score, v).numpy()
    assert np.abs(expected).max() > 1e-3
    a = saliency()(model)(IDS, LABELS[:3])
    np.testing.assert_allclose(a.values["ids"], expected.sum(-1), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(a.output, score, rtol=1e-4)
    product = gradient_x_input()(model)(IDS, LABELS[:3]).values["ids"]
    np.testing.assert_allclose(product, (expected * rows).sum(-1), rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(product[0, 3:], 0)

    path = integrated_gradients(baseline={"ids": 0.0, "age": 0.0})(model)(IDS, LABELS[:3])
    pooled = tf.concat([tf.zeros((3, 4)), tf.zeros((3, 1))], 1) @ model.head.kernel
    p = tf.gather(tf.nn.softmax(pooled + model.head.bias), LABELS[:3], axis=1, batch_dims=1)
    np.testing.assert_allclose(path.baseline_output, np.log(p / (1 - p)), rtol=1e-4, atol=1e-6)
    assert path.gap.max() < 1e-3
    other = np.full((1, 6), 5)
    moved = integrated_gradients(baseline={"ids": other, "age": 0.0}, inputs=["ids"])(model)
    b = moved(IDS, LABELS[:3])
    swapped = odds(tf.constant(np.broadcast_to(model.table.embeddings.numpy()[5], rows.shape)))
    np.testing.assert_allclose(b.baseline_output, swapped, rtol=1e-3, atol=1e-5)
    assert moved.traces() == 1
    assert b.values["age"] is None
    c = smooth_grad(4)(model)(IDS, LABELS[:3])
    assert c.stderr["ids"].shape == (3, 6)
    d = expected_gradients({k: v[:2] for k, v in IDS.items()}, 32)(model)(IDS, LABELS[:3])
    assert d.gap.max() < 0.5


def test_tokens_in_a_sequential_model_that_declares_no_integers() -> None:
    keras.utils.set_random_seed(9)
    model = keras.Sequential(
        [keras.Input((4,)), LAYERS.Embedding(7, 3), LAYERS.LSTM(4), LAYERS.Dense(2)]
    )
    ids = rng(1).integers(0, 7, (5, 4))
    for x in (ids, ids.astype(np.float32)):
        a = integrated_gradients()(model)(x, [0, 1, 0, 1, 1])
        assert a.values.shape == (5, 4)
        assert np.abs(a.values).max() > 1e-5
        assert a.gap.max() < 1e-3


# --- refusals ---------------------------------------------------------------------------------


class Integers(keras.Model):
    """Reads whole numbers and casts them to floats itself, which has no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.built = LAYERS.Dense(2), True
        self.head.build((None, 5))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self.head(OPS.cast(OPS.round(OPS.cast(x, "int32")), "float32"))


def test_inputs_without_a_gradient_are_refused_and_named() -> None:
    for x in ((X * 10).astype(np.int32), X):
        with pytest.raises(
            ValueError, match=r"differentiable.*feature_ablation.*input 'x' of dtype"
        ):
            saliency()(Integers())(x, Y % 2)
    with pytest.raises(TypeError, match=r"permutation_importance.*of dtype <U"):
        saliency()(build())(np.array([["a"] * 5]), [0])


def test_an_input_the_target_never_sees_is_exactly_zero() -> None:
    a, b = keras.Input((3,), name="used"), keras.Input((2,), name="unused")
    model = keras.Model([a, b], LAYERS.Dense(1)(a) + 0 * OPS.stop_gradient(OPS.sum(b)) * 0)
    with pytest.raises(ValueError, match="input 'unused'"):
        saliency()(model)([X[:, :3], X[:, :2]])
    model = keras.Model([a, b], [LAYERS.Dense(1)(a), LAYERS.Dense(1)(b)])
    values = saliency()(model, targets.of_output(0))([X[:, :3], X[:, :2]]).values
    np.testing.assert_array_equal(values[1], 0)
    assert np.abs(values[0]).max() > 0


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.where(X > 1, np.nan, X), r"x must be finite. Received: nan at \(\d, \d\)"),
        (X[:0], r"at least one example. Received: shape \(0, 5\)"),
        (X[:, :4], r"x must have shape \(n, 5\) for input .* Received: shape \(7, 4\)"),
        (X[0], r"x must have shape \(n, 5\).*Received: shape \(5,\)"),
        ([X, X], r"model's 1 inputs .*Received: 2 arrays"),
    ],
)
def test_examples_that_do_not_fit_are_refused(model: keras.Model, x: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        saliency()(model)(x, Y)


def test_inputs_of_different_lengths_are_refused(two_inputs: keras.Model) -> None:
    with pytest.raises(ValueError, match=r"same number of examples.*Received: .*'wide': 4"):
        saliency()(two_inputs)({**PARTS, "deep": PARTS["deep"][:3]}, LABELS)
    with pytest.raises(ValueError, match=r"inputs must name some of .*Received: 'tall'"):
        saliency(inputs=["tall"])(two_inputs)(PARTS, LABELS)
    with pytest.raises(ValueError, match=r"baseline must be a number or have the structure of x"):
        integrated_gradients(baseline=np.zeros(3))(two_inputs)(PARTS, LABELS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: integrated_gradients(0),
            "n_steps must be a whole number of at least 1.*n_steps=0",
        ),
        (lambda: integrated_gradients(8, max_steps=4), "max_steps must be .* at least 8"),
        (lambda: integrated_gradients(tolerance=0), "tolerance must be positive"),
        (lambda: smooth_grad(0), "n_samples must be a whole number of at least 1"),
        (lambda: smooth_grad(stdev=-1), "stdev must not be negative. Received: stdev=-1"),
        (lambda: smooth_grad(seed=-1), "seed must be a whole number"),
        (lambda: var_grad(1), "n_samples must be a whole number of at least 2"),
        (lambda: expected_gradients(X, 2.5), "n_samples must be a whole number"),
        (lambda: saliency()(build(), batch_size=0), "batch_size must be .* batch_size=0"),
        (lambda: integrated_gradients(baseline=np.zeros(4))(build())(X, Y), "have shape .*5"),
        (lambda: integrated_gradients(baseline=np.nan)(build())(X, Y), "finite numbers"),
        (lambda: expected_gradients(X[:, :4])(build())(X, Y), "background must hold examples"),
        (lambda: expected_gradients(X[:0])(build())(X, Y), "background must hold examples"),
        (lambda: smooth_grad(stdev=np.ones(4))(build())(X, Y), "stdev must be a number, or"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


def test_whole_number_images_are_read_as_the_model_declares() -> None:
    model = build()
    x = (np.abs(X) * 50).astype(np.uint8)
    np.testing.assert_array_equal(
        saliency()(model)(x, Y).values, saliency()(model)(x.astype(np.float32), Y).values
    )
    single = keras.Sequential([keras.Input((5, 1)), LAYERS.Flatten(), LAYERS.Dense(2)])
    assert saliency()(single)(X, Y % 2).values.shape == X.shape


@pytest.mark.parametrize("form", [tf.constant, lambda x: x.tolist(), lambda x: [x], np.float64])
def test_examples_in_every_form(model: keras.Model, form: object) -> None:
    found = saliency()(model)(form(X), Y).values  # type: ignore[operator]
    expected = saliency()(model)(X, Y).values
    np.testing.assert_array_equal(np.squeeze(found), expected)


def test_one_pair_has_no_standard_error(model: keras.Model) -> None:
    a = smooth_grad(1)(model)(X, Y)
    assert np.isnan(a.stderr).all()
    assert np.isfinite(a.values).all()


def test_binders_tell_what_they_are() -> None:
    import json

    for method, binder in METHODS.items():
        assert binder.method == method
        assert json.loads(json.dumps(binder.params)) == binder.params
        assert binder.additive == (method in ("integrated_gradients", "expected_gradients"))
        assert binder.signed == (method not in ("smooth_grad_squared", "var_grad"))
