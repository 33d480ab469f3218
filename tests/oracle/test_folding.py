"""Scales folded into kernels: the same scores and gradients as the model itself, and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tb_xai import targets
from tb_xai.cam import score_cam
from tb_xai.folding import fold
from tb_xai.gradients import integrated_gradients, saliency, smooth_grad
from tb_xai.perturbation import occlusion, rise

LAYERS = keras.layers
SHAPE = (6, 6, 3)


def functional(body: Callable[[Any], Any], shape: tuple[int, ...] = SHAPE) -> keras.Model:
    inputs = keras.Input(shape)
    h = LAYERS.Flatten()(body(inputs))
    return keras.Model(inputs, LAYERS.Dense(3)(h))


def normed(layer: keras.Layer, **options: Any) -> Callable[[Any], Any]:
    return lambda h: LAYERS.ReLU(6.0)(LAYERS.BatchNormalization(**options)(layer(h)))


def chain(*steps: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def body(h: Any) -> Any:
        for step in steps:
            h = step(h)
        return h

    return body


def conv(**options: Any) -> keras.Layer:
    return LAYERS.Conv2D(4, 3, **options)


def nested() -> keras.Model:
    inner = keras.Input(SHAPE)
    backbone = keras.Model(inner, normed(conv())(inner), name="backbone")
    return keras.Sequential([keras.Input(SHAPE), backbone, LAYERS.Flatten(), LAYERS.Dense(3)])


def shared() -> keras.Model:
    """One convolution with a normalisation of its own for each of its two calls."""
    layer = conv(padding="same")

    def body(h: Any) -> Any:
        one, two = (LAYERS.BatchNormalization()(layer(part)) for part in (h, 2 * h))
        return LAYERS.ReLU()(one - two)

    return functional(body)


def shared_norm() -> keras.Model:
    """One normalisation behind two convolutions."""
    norm = LAYERS.BatchNormalization()
    return functional(lambda h: norm(conv()(h)) * norm(conv(strides=1)(h)))


def two_readers() -> keras.Model:
    """The convolution's own output is read beside the normalised one."""

    def body(h: Any) -> Any:
        h = conv()(h)
        return LAYERS.Concatenate()([h, LAYERS.BatchNormalization()(h)])

    return functional(body)


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = conv(), LAYERS.BatchNormalization(), LAYERS.Dense(3)

    def call(self, x: Any, training: bool = False) -> Any:
        h = self.norm(self.conv(x), training=training)
        return self.head(tf.reshape(tf.nn.relu(h), (-1, 64)))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, *SHAPE), np.float32))
    return model


CASES: dict[str, tuple[Callable[[], keras.Model], int]] = {
    "conv": (lambda: functional(normed(conv(use_bias=False))), 1),
    "conv with bias": (lambda: functional(normed(conv())), 1),
    "no scale": (lambda: functional(normed(conv(), scale=False)), 1),
    "no centre": (lambda: functional(normed(conv(), center=False)), 1),
    "strided, dilated": (
        lambda: functional(chain(normed(conv(strides=2)), normed(LAYERS.Conv2D(2, 2)))),
        2,
    ),
    # Keras compiles these in a function of their own on a CPU.
    "groups": (lambda: functional(normed(LAYERS.Conv2D(6, 3, groups=3))), 0),
    "depthwise": (lambda: functional(normed(LAYERS.DepthwiseConv2D(3))), 1),
    "depthwise, two of each": (
        lambda: functional(normed(LAYERS.DepthwiseConv2D(3, depth_multiplier=2))),
        1,
    ),
    "separable": (lambda: functional(normed(LAYERS.SeparableConv2D(4, 3))), 1),
    "dense": (
        lambda: functional(chain(LAYERS.Flatten(), normed(LAYERS.Dense(7)))),
        1,
    ),
    "volumes": (
        lambda: functional(normed(LAYERS.Conv3D(2, 2)), (4, 4, 4, 2)),
        1,
    ),
    "sequences": (lambda: functional(normed(LAYERS.Conv1D(4, 3)), (9, 3)), 0),
    "sequential": (
        lambda: keras.Sequential(
            [
                keras.Input(SHAPE),
                conv(activation="relu"),
                LAYERS.BatchNormalization(),
                conv(),
                LAYERS.BatchNormalization(),
                LAYERS.Flatten(),
                LAYERS.Dense(1),
            ]
        ),
        1,
    ),
    "nested": (nested, 1),
    "subclassed": (subclassed, 1),
    "shared convolution": (shared, 2),
    "shared normalisation": (shared_norm, 2),
    "two readers": (two_readers, 0),
    "behind the activation": (
        lambda: functional(chain(conv(activation="relu"), LAYERS.BatchNormalization())),
        0,
    ),
    "at the input": (lambda: functional(chain(LAYERS.BatchNormalization(), conv())), 0),
    "of rows": (lambda: functional(normed(conv(), axis=1)), 0),
    "twice": (
        lambda: functional(chain(conv(), LAYERS.BatchNormalization(), LAYERS.BatchNormalization())),
        1,
    ),
}


def spread(model: keras.Model, seed: int = 0) -> keras.Model:
    """Draw all weights and statistics, so that none is where it cannot be seen."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        low = 0.3 if "variance" in variable.path or "gamma" in variable.path else -0.7
        variable.assign(rng.uniform(low, 1.0, variable.shape))
    return model


def examples(model: keras.Model, n: int = 5) -> tuple[np.ndarray, np.ndarray]:
    shape = model.inputs[0].shape[1:] if getattr(model, "inputs", None) else SHAPE
    x = np.random.default_rng(1).normal(size=(n, *shape)).astype(np.float32)
    return x, np.arange(n) % 2


def by_tape(model: keras.Model, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs of the label's unit and their gradients, from the model itself."""
    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        outputs = model(tensor, training=False)
        at = y if outputs.shape[1] > 1 else np.zeros_like(y)
        own = tf.gather(outputs, at, axis=1, batch_dims=1)
    return own.numpy(), tape.gradient(own, tensor).numpy()


def sites(model: keras.Model, target: Any = targets.value) -> int:
    x, _ = examples(model)
    score = targets.bind(model, target)
    specs = tf.TensorSpec((None, *x.shape[1:]), tf.float32), tf.TensorSpec((None,), tf.int32)
    folded = fold(tf.function(score, autograph=False).get_concrete_function(*specs))
    return len(folded._sites) if folded else 0


@pytest.mark.parametrize("name", CASES)
def test_folded_models_are_the_models(name: str) -> None:
    build, count = CASES[name]
    keras.utils.set_random_seed(0)
    model = spread(build())
    assert sites(model) == count
    x, y = examples(model)
    before = [np.array(w) for w in model.get_weights()]
    explain = saliency()(model, target=targets.value)
    hidden = occlusion(2)(model, target=targets.value)
    # Statistics and weights move between calls, as in training.
    for seed in (0, 1):
        spread(model, seed)
        own, gradient = by_tape(model, x, y)
        assert np.abs(gradient).max() > 1e-3
        a = explain(x, y)
        np.testing.assert_allclose(a.output, own, rtol=2e-5, atol=1e-5)
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(a.values, gradient, rtol=1e-4, atol=1e-5 * scale)
        o = hidden(x, y)
        np.testing.assert_allclose(o.output, own, rtol=2e-5, atol=1e-5)
        corner = x.copy()
        corner[(slice(None), *[slice(2)] * max(1, x.ndim - 2))] = 0
        drop = own - by_tape(model, corner, y)[0]
        at = (slice(None), *[0] * (x.ndim - 1))
        np.testing.assert_allclose(o.values[at], drop, rtol=1e-4, atol=2e-5)
    assert (explain.traces(), hidden.traces()) == (1, 1)
    spread(model, 0)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_methods_of_many_passes_equal_the_model_with_folded_weights() -> None:
    """The same function without normalisation, its weights folded by hand."""
    keras.utils.set_random_seed(0)
    model = spread(functional(normed(conv())))
    plain = functional(chain(conv(), LAYERS.ReLU(6.0)))
    kernel, bias, gamma, beta, mean, variance, head, shift = model.get_weights()
    s = gamma / np.sqrt(variance + 1e-3)
    plain.set_weights([kernel * s, (bias - mean) * s + beta, head, shift])
    x, y = examples(model, 7)
    for binder in (
        integrated_gradients(8),
        smooth_grad(6),
        rise(40, grid=3),
        score_cam(),
    ):
        a, b = (binder(m, batch_size=4)(x, y) for m in (model, plain))
        assert np.abs(a.values).max() > 1e-2
        np.testing.assert_allclose(a.values, b.values, rtol=2e-3, atol=2e-5, err_msg=binder.method)


def test_half_precision_is_left_as_it_is() -> None:
    keras.utils.set_random_seed(0)
    policy = keras.dtype_policies.get("mixed_float16")
    norm = LAYERS.BatchNormalization(dtype=policy)
    model = spread(functional(chain(conv(dtype=policy), norm, LAYERS.ReLU(dtype=policy))))
    assert sites(model) == 0
    x, y = examples(model)
    own, gradient = by_tape(model, x, y)
    a = saliency()(model, target=targets.value)(x, y)
    np.testing.assert_allclose(a.output, own, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(a.values, gradient, rtol=2e-2, atol=2e-3)


def test_double_precision_is_folded() -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE, dtype="float64")
    h = LAYERS.Conv2D(4, 3, dtype="float64")(inputs)
    h = LAYERS.Flatten(dtype="float64")(LAYERS.BatchNormalization(dtype="float64")(h))
    model = spread(keras.Model(inputs, LAYERS.Dense(3, dtype="float64")(h)))
    x, y = examples(model)
    own, _ = by_tape(model, x.astype(np.float64), y)
    a = saliency()(model, target=targets.value)(x.astype(np.float64), y)
    np.testing.assert_allclose(a.output, own, rtol=1e-12)


class Noise(keras.layers.Layer):
    def call(self, x: Any) -> Any:
        return x + tf.random.normal(tf.shape(x), stddev=1e-6)


@pytest.mark.parametrize(
    "layer", [Noise(), LAYERS.Lambda(tf.function(lambda x: 2 * x))], ids=["a state", "a function"]
)
def test_graphs_that_are_not_copied_keep_their_plain_pass(layer: keras.Layer) -> None:
    keras.utils.set_random_seed(0)
    model = spread(functional(chain(normed(conv()), layer)))
    assert sites(model) == 0
    x, y = examples(model)
    own, gradient = by_tape(model, x, y)
    a = saliency()(model, target=targets.value)(x, y)
    np.testing.assert_allclose(a.output, own, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(a.values, gradient, rtol=1e-2, atol=1e-4)


def test_the_log_odds_of_a_normalised_head_are_folded_too() -> None:
    """A scale right behind the last product, in front of the softmax."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    h = LAYERS.BatchNormalization()(LAYERS.Dense(3)(inputs))
    model = spread(keras.Model(inputs, LAYERS.Softmax()(h)))
    assert sites(model, targets.log_odds) == 1
    x, y = examples(model)
    p = model(x).numpy().astype(np.float64)[np.arange(5), y]
    np.testing.assert_allclose(
        saliency()(model)(x, y).output, np.log(p / (1 - p)), rtol=1e-4, atol=1e-5
    )
