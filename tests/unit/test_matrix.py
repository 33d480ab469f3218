"""Every method on every kind of model and data: it runs and is right, or says what would work.

Where examples come from (arrays, `tf.data`, `PyDataset`, generators) is in `test_callbacks`.
"""

from __future__ import annotations

import functools
import os
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tb_xai import cam, gradients, perturbation, plugin, reader, targets
from tb_xai.callbacks import (
    AttributionCallback,
    IntegratedGradientsCallback,
    PermutationImportanceCallback,
    SaliencyCallback,
)
from tb_xai.importance import ablation, permutation

N = 3  # examples; two of them pass at a time, so that the last chunk is never full
BATCH = 2
SMALL = 8  # side of a picture
TEXTS = ["the red fox runs", "a dog", "the fox and the dog sleep"]


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(N, *shape)).astype("float32")


def ids(length: int, tokens: int) -> np.ndarray:
    return np.random.default_rng(5).integers(1, tokens, size=(N, length)).astype("int32")


# --- models -------------------------------------------------------------------------------------


WIDE = keras.initializers.RandomNormal(stddev=1.0, seed=2)


def dense(units: int = 6, **options: Any) -> keras.layers.Layer:
    # Not ReLU: a small network of ReLUs is too often dead in one of three examples.
    return layers.Dense(units, activation=options.pop("activation", "tanh"), **options)


def conv(filters: int = 4, **options: Any) -> keras.layers.Layer:
    return layers.Conv2D(filters, 3, activation="softplus", **options)


def tabular(units: int, activation: str | None, **options: Any) -> keras.Model:
    x = keras.Input((5,), name="table")
    head = layers.Dense(units, activation=activation, **options)
    return keras.Model(x, head(dense(**options)(x)))


def picture(channels: int, activation: str | None = "softmax", **options: Any) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((SMALL, SMALL, channels)),
            conv(**options),
            conv(**options),
            layers.GlobalAveragePooling2D(**options),
            layers.Dense(3, activation=activation, **options),
        ]
    )


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = conv(), conv()
        self.noise = layers.Dropout(0.5, seed=1)
        self.head = layers.Dense(3)

    def call(self, x: Any, training: bool = False) -> Any:
        x = self.noise(self.second(self.first(x)), training=training)
        return self.head(keras.ops.mean(x, axis=(1, 2)))


def subclassed() -> keras.Model:
    model = Subclassed()
    model(np.zeros((1, SMALL, SMALL, 3), "float32"))
    return model


def backbone() -> keras.Model:
    inner = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, include_top=False, weights=None, name="backbone"
    )
    for layer in inner.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    inner(draw(32, 32, 3), training=True)  # or untrained statistics would let no signal through
    x = keras.Input((32, 32, 3))
    hidden = layers.GlobalAveragePooling2D()(inner(layers.Rescaling(2.0, -1.0)(x)))
    small = keras.initializers.RandomNormal(stddev=0.05, seed=2)
    head = layers.Dense(3, "softmax", kernel_initializer=small)
    return keras.Model(x, head(layers.Dropout(0.2)(hidden)))


def of_dictionary() -> keras.Model:
    image, table = keras.Input((SMALL, SMALL, 1), name="image"), keras.Input((3,), name="table")
    seen = layers.GlobalAveragePooling2D()(conv()(image))
    joined = layers.Concatenate()([seen, dense()(table)])
    return keras.Model({"image": image, "table": table}, dense(3, activation="softmax")(joined))


def of_list() -> keras.Model:
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    return keras.Model([a, b], dense(3, activation="softmax")(layers.Concatenate()([a, b])))


def two_outputs() -> keras.Model:
    x = keras.Input((5,))
    hidden = dense()(x)
    kind = layers.Dense(3, activation="softmax", name="kind")(hidden)
    return keras.Model(x, {"kind": kind, "age": layers.Dense(1, name="age")(hidden)})


def twins() -> keras.Model:
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    tower = keras.Sequential([dense(), dense(3)], name="tower")
    near = layers.Multiply()([tower(left), tower(right)])
    return keras.Model([left, right], dense(1, activation="sigmoid")(near))


def segmentation() -> keras.Model:
    x = keras.Input((SMALL, SMALL, 1))
    hidden = conv(padding="same")(x)
    return keras.Model(x, layers.Conv2D(2, 1, activation="softmax")(hidden))


def detection() -> keras.Model:
    x = keras.Input((SMALL, SMALL, 1))
    hidden = layers.Flatten()(conv(strides=2)(x))
    boxes = layers.Reshape((4, 4), name="boxes")(layers.Dense(16)(hidden))
    scores = layers.Dense(4, activation="sigmoid", name="scores")(hidden)
    return keras.Model(x, {"boxes": boxes, "scores": scores})


def autoencoder() -> keras.Model:
    x = keras.Input((5,))
    return keras.Model(x, layers.Dense(5)(dense(3)(x)))


def lstm() -> keras.Model:
    return keras.Sequential([keras.Input((4, 2)), layers.LSTM(5), layers.Dense(3, "softmax")])


def conv1d() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((6, 2)),
            layers.Conv1D(4, 3, activation="softplus"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, activation="softmax"),
        ]
    )


class Positions(layers.Layer):
    def __init__(self, length: int, width: int) -> None:
        super().__init__()
        self.table = layers.Embedding(length, width)
        self.length = length

    def call(self, x: Any) -> Any:
        return x + self.table(keras.ops.arange(self.length))


def transformer() -> keras.Model:
    x = keras.Input((5,), dtype="int32", name="tokens")
    e = Positions(5, 4)(layers.Embedding(12, 4, WIDE)(x))
    e = layers.LayerNormalization()(e + layers.MultiHeadAttention(2, 2)(e, e))
    e = layers.LayerNormalization()(e + layers.Dense(4)(dense(8)(e)))
    return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(e)))


def masked_tokens() -> keras.Model:
    x = keras.Input((5,), dtype="int32", name="tokens")
    return keras.Model(
        x,
        layers.Dense(3, "softmax")(
            layers.LSTM(4)(layers.Embedding(12, 4, WIDE, mask_zero=True)(x))
        ),
    )


def text() -> keras.Model:
    split = layers.TextVectorization(output_sequence_length=6)
    split.adapt(TEXTS)
    x = keras.Input((1,), dtype="string", name="text")
    e = layers.Embedding(split.vocabulary_size(), 4, WIDE)(split(x))
    return keras.Model(x, layers.Dense(2, "softmax")(layers.GlobalAveragePooling1D()(e)))


def place_and_size() -> keras.Model:
    lookup = layers.StringLookup(vocabulary=["paris", "rome"])
    place, size = keras.Input((1,), dtype="string", name="place"), keras.Input((2,), name="size")
    chosen = layers.Flatten()(layers.Embedding(3, 3, WIDE)(lookup(place)))
    return keras.Model(
        {"place": place, "size": size},
        dense(2, activation="softmax")(dense()(chosen * dense(3)(size))),
    )


def normalised() -> keras.Model:
    scale = layers.Normalization()
    scale.adapt(3.0 + 2.0 * draw(5, seed=7))
    return keras.Sequential([keras.Input((5,)), scale, dense(), dense(3, activation="softmax")])


def bytes_picture() -> keras.Model:
    x = keras.Input((SMALL, SMALL, 1), dtype="uint8")
    hidden = conv()(layers.Rescaling(1 / 255)(x))
    return keras.Model(x, layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(hidden)))


# --- targets of the user's own --------------------------------------------------------------------


def region(outputs: Any, y: Any) -> Any:
    """The mean log-probability of class 1 in the upper left quarter."""
    return tf.reduce_mean(tf.math.log(outputs[:, :4, :4, 1]), axis=(1, 2))


def box_score(outputs: Any, y: Any) -> Any:
    """The log-odds of the box that scores highest."""
    p = tf.reduce_max(outputs["scores"], axis=1)
    return tf.math.log(p) - tf.math.log1p(-p)


def likeness(outputs: Any, y: Any) -> Any:
    """Minus the squared error of the reconstruction."""
    return -tf.reduce_sum((outputs - tf.cast(y, outputs.dtype)) ** 2, axis=1)


# --- the same targets, from outputs alone ---------------------------------------------------------


def odds(p: Any, y: Any) -> Any:
    """The log-odds of class y by their definition, log(p / (1 - p))."""
    p = tf.cast(tf.convert_to_tensor(p), tf.float64)
    if p.shape[1] == 1:
        p = tf.concat([1 - p, p], axis=1)
    p = tf.gather(p, y, axis=1, batch_dims=1)
    return tf.math.log(p) - tf.math.log1p(-p)


def odds_of_logits(z: Any, y: Any) -> Any:
    return odds(tf.nn.softmax(tf.cast(tf.convert_to_tensor(z), tf.float64)), y)


# --- the table ------------------------------------------------------------------------------------

GRADIENTS = (
    "saliency",
    "gradient_x_input",
    "smooth_grad",
    "smooth_grad_squared",
    "var_grad",
    "integrated_gradients",
    "blur_integrated_gradients",
    "expected_gradients",
)
CAMS = ("grad_cam", "grad_cam_plus_plus", "layer_cam", "score_cam")
PERTURBATION = (
    "occlusion",
    "feature_ablation",
    "rise",
    "kernel_shap",
    "shapley_sampling",
    "lime",
)
DATA_SET = ("permutation", "ablation")
METHODS = (*GRADIENTS, *CAMS, *PERTURBATION, *DATA_SET)
# One of each engine, for kinds that differ from others in their head or in one layer only.
EACH = (
    "saliency",
    "integrated_gradients",
    "grad_cam",
    "feature_ablation",
    "kernel_shap",
    "permutation",
)

HEADS = ("saliency", "grad_cam", "kernel_shap", "permutation")

NO_MAP = r"must have a layer with a spatial output .*; explain others by gradients or perturbation"
NOT_NUMBERS = r"numbers to have gradients; explain text .* by lime, .* or choose other inputs by"
NO_GRADIENT = (
    r"differentiable .*cast whole-number images to float, .* or use permutation_importance"
)
NOT_SCALED = r"must scale an input of floats .*; explain others by grad_cam, layer_cam, occlusion"
NOT_MASKED = r"must scale an input of numbers; explain ids and text by lime, kernel_shap or"
NOT_IMAGES = r"must be given images .* of floats; explain others by integrated_gradients, or"
NO_MEAN = r"must be numbers to be replaced by one value; use permutation_importance"
ONE_INPUT = r"rise must explain one input at a time; give inputs=\["


def refused(sentence: str, *methods: str) -> dict[str, str]:
    return dict.fromkeys(methods, sentence)


@dataclass(frozen=True)
class Kind:
    """A kind of model with three examples.

    Attributes:
        build: makes the model.
        x: examples.
        y: labels for attributions.
        target: what is explained.
        slow: the target once more, from the outputs alone.
        inputs: which inputs are explained.
        groups: players of the methods that have players.
        columns: groups of permutation importance.
        truth: labels for permutation importance, ``y`` when None.
        metric: further arguments of permutation importance.
        window: of occlusion.
        methods: the methods that are tried.
        refuses: what the sentence says of a method that this kind cannot be explained by.
    """

    build: Callable[[], keras.Model]
    x: Any
    y: Any = field(default_factory=lambda: np.array([0, 2, 1]))
    target: Any = targets.log_odds
    slow: Callable[[Any, Any], Any] = odds
    inputs: Any = None
    groups: Any = None
    columns: Any = None
    truth: Any = None
    metric: Mapping[str, Any] = field(default_factory=dict)
    window: Any = 1
    methods: tuple[str, ...] = EACH
    refuses: Mapping[str, str] = field(default_factory=dict)


TABLE = draw(5)
TWO = np.array([0, 1, 1])
QUARTERS = perturbation.grid_segments((SMALL, SMALL), 2)
FLAT = refused(NO_MAP, *CAMS)


def pictures(build: Callable[[], keras.Model], channels: int = 1, **options: Any) -> Kind:
    left = np.zeros((SMALL, SMALL, channels), bool)
    left[:, :4] = True
    x = options.pop("x", draw(SMALL, SMALL, channels))
    return Kind(build, x, groups=QUARTERS, columns={"left": left}, window=4, **options)


def cells(*shape: int) -> np.ndarray:
    """A boolean array that marks the first row of an example."""
    mask = np.zeros(shape, bool)
    mask[0] = True
    return mask


IMAGE_AND_TABLE = {"image": draw(SMALL, SMALL, 1), "table": draw(3)}
PLACE_AND_SIZE = {"place": np.array([["paris"], ["rome"], ["oslo"]]), "size": draw(2)}

KINDS: dict[str, Kind] = {
    # how a model is built
    "functional": Kind(
        lambda: tabular(3, "softmax"),
        TABLE,
        methods=METHODS,
        refuses=FLAT | refused(NOT_IMAGES, "blur_integrated_gradients"),
    ),
    "sequential": pictures(lambda: picture(1), methods=METHODS),
    "subclassed": pictures(
        subclassed, 3, slow=odds_of_logits, methods=(*EACH, "blur_integrated_gradients")
    ),
    "backbone": Kind(
        backbone,
        np.random.default_rng(4).random((N, 32, 32, 3), "float32"),
        groups=perturbation.grid_segments((32, 32), 2),
        methods=("saliency", "grad_cam", "feature_ablation"),
    ),
    "dictionary": Kind(
        of_dictionary,
        IMAGE_AND_TABLE,
        groups={"image": "image", "table": "table"},
        columns={"image": ["image"], "table": ["table"]},
        window={"image": 4, "table": 1},
        methods=(
            "saliency",
            "smooth_grad",
            "expected_gradients",
            "grad_cam",
            "score_cam",
            *PERTURBATION,
            "permutation",
        ),
        refuses=refused(ONE_INPUT, "rise"),
    ),
    "image of a dictionary": Kind(
        of_dictionary,
        IMAGE_AND_TABLE,
        inputs=["image"],
        columns={"image": ["image"]},
        methods=("saliency", "blur_integrated_gradients"),
    ),
    "one of a dictionary": Kind(
        of_dictionary,
        IMAGE_AND_TABLE,
        inputs=["table"],
        columns={"table": ["table"]},
        methods=(
            "integrated_gradients",
            "expected_gradients",
            "kernel_shap",
            "rise",
            "permutation",
        ),
    ),
    "list": Kind(of_list, [draw(3), draw(2, seed=1)], refuses=FLAT),
    "two outputs": Kind(
        two_outputs,
        TABLE,
        target=targets.of_output("kind"),
        slow=lambda outputs, y: odds(outputs["kind"], y),
        metric={
            "metric": lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p["kind"]),
            "greater_is_better": False,
        },
        methods=HEADS,
        refuses=FLAT,
    ),
    "age of two outputs": Kind(
        two_outputs,
        TABLE,
        y=None,
        target=targets.of_output("age", targets.value),
        slow=lambda outputs, y: outputs["age"][:, 0],
        methods=("saliency", "kernel_shap"),
    ),
    "twins": Kind(twins, [draw(4), draw(4, seed=1)], y=TWO, methods=HEADS, refuses=FLAT),
    # what it predicts
    "one sigmoid": Kind(lambda: tabular(1, "sigmoid"), TABLE, y=TWO, methods=HEADS, refuses=FLAT),
    "many sigmoids": Kind(
        lambda: tabular(3, "sigmoid"),
        TABLE,
        truth=np.eye(3)[[0, 2, 1]],
        methods=HEADS,
        refuses=FLAT,
    ),
    "logits": Kind(
        lambda: tabular(3, None), TABLE, slow=odds_of_logits, methods=HEADS, refuses=FLAT
    ),
    "regression": Kind(
        lambda: tabular(1, None),
        TABLE,
        y=None,
        truth=TABLE[:, 0],
        slow=lambda outputs, y: outputs[:, 0],
        refuses=FLAT,
    ),
    "segmentation": pictures(
        segmentation,
        y=None,
        target=region,
        slow=region,
        truth=np.ones((N, SMALL, SMALL), int),
        metric={"metric": keras.losses.SparseCategoricalCrossentropy()},
        methods=(*EACH, "blur_integrated_gradients", "ablation"),
    ),
    "detection": pictures(
        detection,
        y=None,
        target=box_score,
        slow=box_score,
        truth=np.ones((N, 4)),
        metric={
            "metric": lambda y, p: keras.losses.binary_crossentropy(y, p["scores"]),
            "greater_is_better": False,
        },
    ),
    "autoencoder": Kind(autoencoder, TABLE, y=TABLE, target=likeness, slow=likeness, refuses=FLAT),
    # what it sees
    "5 channels": pictures(
        lambda: picture(5, None),
        5,
        slow=odds_of_logits,
        methods=(
            "saliency",
            "blur_integrated_gradients",
            "grad_cam",
            "occlusion",
            "permutation",
        ),
    ),
    "lstm": Kind(lstm, draw(4, 2), columns={"first": cells(4, 2)}, refuses=FLAT),
    "conv1d": Kind(
        conv1d,
        draw(6, 2),
        groups=perturbation.grid_segments((6,), 3),
        columns={"channel": [0]},
        methods=(*EACH, "score_cam", "rise", "occlusion"),
    ),
    "transformer": Kind(
        transformer,
        ids(5, 12),
        slow=odds_of_logits,
        methods=(
            "saliency",
            "integrated_gradients",
            "expected_gradients",
            "grad_cam",
            "score_cam",
            *PERTURBATION,
            "permutation",
        ),
        refuses=refused(NOT_SCALED, "score_cam") | refused(NOT_MASKED, "rise"),
    ),
    "masked tokens": Kind(
        masked_tokens, ids(5, 12), methods=("saliency", "feature_ablation", "permutation")
    ),
    "text": Kind(
        text,
        np.array(TEXTS),
        y=TWO,
        methods=(*GRADIENTS, "grad_cam", "score_cam", *PERTURBATION, "permutation", "ablation"),
        refuses=refused(NOT_NUMBERS, *GRADIENTS)
        | refused(NO_MEAN, "ablation")
        | refused(NOT_SCALED, "score_cam")
        | refused(NOT_MASKED, "rise"),
    ),
    "place and size": Kind(
        place_and_size,
        PLACE_AND_SIZE,
        y=TWO,
        refuses=refused(NOT_NUMBERS, "saliency", "integrated_gradients") | FLAT,
    ),
    "size at a place": Kind(
        place_and_size,
        PLACE_AND_SIZE,
        y=TWO,
        inputs=["size"],
        methods=("saliency", "integrated_gradients", "expected_gradients", "rise"),
    ),
    "normalised": Kind(normalised, 3 + 2 * TABLE, refuses=FLAT),
    "uint8": pictures(
        bytes_picture,
        x=np.random.default_rng(0).integers(0, 256, (N, SMALL, SMALL, 1)).astype("uint8"),
        methods=(*GRADIENTS, "grad_cam", "score_cam", "feature_ablation", "rise", "kernel_shap"),
        refuses=refused(NO_GRADIENT, *GRADIENTS)
        | refused(NOT_SCALED, "score_cam")
        | refused(NOT_MASKED, "rise"),
    ),
    # in which precision
    "float16": pictures(
        lambda: picture(1, dtype="mixed_float16"),
        methods=(*EACH, "score_cam", "rise", "blur_integrated_gradients"),
    ),
    "float64": Kind(
        lambda: tabular(3, "softmax", dtype="float64"),
        TABLE.astype("float64"),
        methods=(*EACH, "expected_gradients", "rise"),
        refuses=FLAT,
    ),
}
CELLS = [(name, method) for name, kind in KINDS.items() for method in kind.methods]
RUNS = [(name, method) for name, method in CELLS if method not in KINDS[name].refuses]
REFUSES = [(name, method) for name, method in CELLS if method in KINDS[name].refuses]


@functools.cache
def model_of(build: Callable[[], keras.Model]) -> keras.Model:
    keras.utils.set_random_seed(3)
    return build()


def binder(method: str, kind: Kind) -> Any:
    some = {"inputs": kind.inputs}
    players = {"groups": kind.groups, **some}
    return {
        "saliency": lambda: gradients.saliency(**some),
        "gradient_x_input": lambda: gradients.gradient_x_input(**some),
        "smooth_grad": lambda: gradients.smooth_grad(n_samples=4, **some),
        "smooth_grad_squared": lambda: gradients.smooth_grad_squared(n_samples=4, **some),
        "var_grad": lambda: gradients.var_grad(n_samples=4, **some),
        "integrated_gradients": lambda: gradients.integrated_gradients(8, **some),
        "blur_integrated_gradients": lambda: gradients.blur_integrated_gradients(16, **some),
        "expected_gradients": lambda: gradients.expected_gradients(kind.x, 32, **some),
        "grad_cam": cam.grad_cam,
        "grad_cam_plus_plus": cam.grad_cam_plus_plus,
        "layer_cam": cam.layer_cam,
        "score_cam": cam.score_cam,
        "occlusion": lambda: perturbation.occlusion(kind.window, **some),
        "feature_ablation": lambda: perturbation.feature_ablation(**players),
        "rise": lambda: perturbation.rise(16, 2, **some),
        "kernel_shap": lambda: perturbation.kernel_shap(**players),
        "shapley_sampling": lambda: perturbation.shapley_sampling(4, **players),
        "lime": lambda: perturbation.lime(32, **players),
    }[method]()


def explained(name: str, method: str) -> tuple[Any, Any]:
    """The explain function and what it finds for all examples of a kind."""
    kind = KINDS[name]
    model = model_of(kind.build)
    if method in DATA_SET:
        settings = {"groups": kind.columns, "batch_size": BATCH, **kind.metric}
        maker = permutation(2, **settings) if method == "permutation" else ablation(**settings)
        explain = maker(model)
        return explain, explain(kind.x, kind.y if kind.truth is None else kind.truth)
    explain = binder(method, kind)(model, kind.target, BATCH)
    return explain, explain(kind.x, kind.y)


def some_of(values: Any, rows: list[int]) -> Any:
    """Chosen rows of a structure of arrays."""
    return None if values is None else tf.nest.map_structure(lambda a: np.asarray(a)[rows], values)


def leaves_of(values: Any) -> list[Any]:
    if isinstance(values, Mapping):
        return [values[key] for key in sorted(values)]
    return list(values) if isinstance(values, (list, tuple)) else [values]


def state(model: keras.Model) -> list[Any]:
    """Everything that an explanation must leave alone."""
    return [
        *(variable.numpy() for variable in model.variables),
        np.random.get_state()[1],  # noqa: NPY002
        np.array(random.getstate()[1]),
        keras.config.dtype_policy().name,
        len(model.losses),
    ]


# Where the inputs themselves are differentiated, in a precision that bears comparison.
DIFFERENTIABLE = set(KINDS) - {"transformer", "masked tokens", "float16", "backbone"}


PLACED = ("smooth_grad", "smooth_grad_squared", "var_grad", "expected_gradients")


def slow_gradient(kind: Kind, model: keras.Model) -> list[Any]:
    """The gradient of the target by each input, by an eager tape."""
    x = tf.nest.map_structure(tf.convert_to_tensor, kind.x)
    sources = [leaf for leaf in leaves_of(x) if leaf.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        score = kind.slow(model(x, training=False), kind.y)
    found = iter(tape.gradient(score, sources))
    return [next(found).numpy() if leaf.dtype.is_floating else None for leaf in leaves_of(x)]


def slow_ablation(kind: Kind, model: keras.Model, shape: tuple[int, ...]) -> np.ndarray:
    """What the target loses without each part, by one call of the model for each."""
    players = np.arange(np.prod(shape)).reshape(shape) if kind.groups is None else kind.groups
    values = np.zeros((N, *shape))
    whole = np.asarray(kind.slow(model(kind.x, training=False), kind.y))
    for part in range(int(players.max()) + 1):
        if kind.x.dtype.kind == "U":
            lines = [line.split() for line in kind.x]
            x = np.array([" ".join(line[:part] + line[part + 1 :]) for line in lines])
        else:
            x = kind.x.copy()
            x[:, players == part] = 0
        drop = whole - np.asarray(kind.slow(model(x, training=False), kind.y))
        values[:, players == part] = drop.reshape(N, *[1] * (values[:, players == part].ndim - 1))
    return values


@pytest.mark.parametrize(("name", "method"), RUNS)
def test_runs_and_is_right(name: str, method: str) -> None:
    kind = KINDS[name]
    model = model_of(kind.build)
    before = state(model)
    explain, a = explained(name, method)
    assert explain.traces() == 1
    for was, now in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(was, now)
    if method in DATA_SET:
        assert a.mean.dtype == np.float64
        assert a.mean.shape == a.low.shape == (len(a.names),)
        assert np.isfinite([a.mean, a.low, a.high, a.stderr, np.full(len(a.mean), a.score)]).all()
        assert a.mean.any()
        return

    values, x = leaves_of(a.values), leaves_of(kind.x)
    if method in CAMS:
        assert len(values) == 1
        assert values[0].shape[0] == N
        assert values[0].min() >= 0
        if name in ("transformer", "text"):  # a value for each token, not for attention heads
            assert values[0].shape == (N, 5 if name == "transformer" else 6)
    else:
        assert type(a.values) is type(kind.x)
        keys = sorted(kind.x) if isinstance(kind.x, dict) else range(len(x))
        held = [kind.inputs is not None and key not in kind.inputs for key in keys]
        assert [v is None for v in values] == held
        for v, leaf in zip(values, x, strict=True):
            words = getattr(a, "words", None)
            assert v is None or v.shape == (words.shape if name == "text" else leaf.shape)
    values = [v for v in values if v is not None]
    for v in values:
        assert v.dtype == np.float32
        assert np.isfinite(v).all()
        assert v.any()

    # What is explained is the target at x, of the model as it is.
    outputs = model(kind.x, training=False)
    rough = {"float16": 5e-3, "backbone": 5e-4}.get(name, 2e-5)
    for was, now in zip(tf.nest.flatten(outputs), tf.nest.flatten(a.prediction), strict=True):
        np.testing.assert_allclose(now, was, rtol=rough, atol=rough)
    score = kind.slow(outputs, kind.y)
    np.testing.assert_allclose(a.output, score, rtol=rough, atol=rough * 10)

    if binder(method, kind).additive:
        total = sum(v.reshape(N, -1).sum(1, dtype=float) for v in values)
        if kind.groups is not None and method in PERTURBATION:
            total = a.players.sum(1, dtype=float)
        delta = a.output - a.baseline_output
        assert abs(delta).max() > 1e-3
        allowed = 0.05 * abs(delta) + 1e-4 if "integrated" in method else 1e-3
        if method == "expected_gradients":  # a sampled sum, off by no more than its errors
            allowed = 5 * sum(s.reshape(N, -1).sum(1) for s in leaves_of(a.stderr) if s is not None)
        assert (abs(total - delta) <= allowed).all()

    if method == "saliency" and name in DIFFERENTIABLE:
        for v, slow in zip(leaves_of(a.values), slow_gradient(kind, model), strict=True):
            if v is not None:
                np.testing.assert_allclose(v, slow, rtol=1e-3, atol=1e-4 * abs(slow).max())
    if method == "feature_ablation" and isinstance(kind.x, np.ndarray) and name != "float16":
        slow = slow_ablation(kind, model, a.values.shape[1:])
        np.testing.assert_allclose(a.values, slow, rtol=rough, atol=rough * 5)

    # An example is explained alike in any company (and, where draws belong to places, any place).
    rows = [0, 1, 0] if method in PLACED else [2, 0, 1]
    again = leaves_of(explain(some_of(kind.x, rows), some_of(kind.y, rows)).values)
    assert explain.traces() == 1
    for v, other in zip(values, [v for v in again if v is not None], strict=True):
        part = slice(2 if rows[2] == rows[0] else N)
        close = {"rtol": rough * 10, "atol": rough * 10 * abs(v).max()}
        np.testing.assert_allclose(other[part], v[rows][part], **close)


@pytest.mark.parametrize(("name", "method"), REFUSES)
def test_refuses_and_says_what_would_work(name: str, method: str) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        explained(name, method)
    sentence = str(caught.value)
    assert re.search(KINDS[name].refuses[method], sentence), sentence
    assert "Received: " in sentence
    # What the sentence promises does work on this kind.
    promised = re.findall(r"\w+", sentence.partition("explain ")[2].partition("Received")[0])
    assert not set(promised) & set(KINDS[name].refuses) or "inputs=[...]" in sentence


# Kinds that are not asked for a map above.
NO_MAPS = {name for name, kind in KINDS.items() if kind.refuses.get("grad_cam") == NO_MAP}
NO_MAPS |= {"age of two outputs", "size at a place"}


@pytest.mark.parametrize("name", KINDS)
def test_filters_and_weights_of_layers_are_shown(name: str) -> None:
    kind = KINDS[name]
    model = model_of(kind.build)
    before = state(model)
    (pictures_of,) = leaves_of(cam.weights()(model, kind.target)(kind.x, kind.y).values)
    kernels = [np.moveaxis(w.numpy(), -1, 0) for w in model.weights if len(w.shape) > 1]
    assert any(
        k.shape == pictures_of.shape and np.allclose(k, pictures_of, rtol=1e-6) for k in kernels
    )
    explain = cam.activations(filters=2)(model, kind.target, BATCH)
    if name in NO_MAPS:
        with pytest.raises(ValueError, match=NO_MAP):
            explain(kind.x, kind.y)
        return
    found = leaves_of(explain(kind.x, kind.y).values)
    assert len(found) == 2
    turned = leaves_of(explain(some_of(kind.x, [2, 0, 1]), some_of(kind.y, [2, 0, 1])).values)
    assert explain.traces() == 1
    for maps, other in zip(found, turned, strict=True):
        assert maps.shape[0] == N
        assert np.isfinite(maps).all()
        assert maps.any()
        np.testing.assert_allclose(other, maps[[2, 0, 1]], rtol=1e-2, atol=1e-2 * abs(maps).max())
    for was, now in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(was, now)


def test_unrefined_importance_of_pictures_and_sequences_asks_for_groups() -> None:
    for name in ("sequential", "lstm", "dictionary"):
        kind = KINDS[name]
        with pytest.raises(ValueError, match=r"flat, \(n, d\), .* give groups, .*Received: shape"):
            permutation()(model_of(kind.build))(kind.x, kind.y)


def test_structured_outputs_ask_for_a_callable() -> None:
    sentences = {
        "segmentation": r"reduce others in a callable \(outputs, y\) -> \(n,\)",
        "detection": r"one output of several, as targets.of_output",
        "two outputs": r"one output of several, as targets.of_output",
    }
    for name, sentence in sentences.items():
        kind = KINDS[name]
        for binder_ in (gradients.saliency(), perturbation.feature_ablation(), cam.grad_cam()):
            with pytest.raises(ValueError, match=sentence):
                binder_(model_of(kind.build))(kind.x, TWO)
    kind = KINDS["two outputs"]
    with pytest.raises(ValueError, match=r"metric must be a callable .*several outputs"):
        permutation()(model_of(kind.build))(kind.x, TWO)


def test_tokens_are_explained_at_their_embedding() -> None:
    kind = KINDS["transformer"]
    model = model_of(kind.build)
    table = next(layer for layer in model.layers if isinstance(layer, layers.Embedding))
    with tf.GradientTape() as tape:
        score = kind.slow(model(kind.x, training=False), kind.y)
    # The gradient of the table is that of its rows, summed over the places that look one up.
    rows = tf.convert_to_tensor(tape.gradient(score, table.embeddings.value)).numpy().sum(1)
    found = explained("transformer", "saliency")[1].values
    summed = np.zeros(len(rows))
    np.add.at(summed, kind.x.reshape(-1), found.reshape(-1))
    np.testing.assert_allclose(summed, rows, atol=1e-5)


# --- training -------------------------------------------------------------------------------------

NAMES = [f"token {i}" for i in range(12)]
LOGGED: dict[str, tuple[str, Callable[..., Any], dict[str, Any]]] = {
    "tokens": ("masked tokens", SaliencyCallback, {"token_names": NAMES}),
    "dictionary": ("dictionary", IntegratedGradientsCallback, {"n_steps": 2}),
    "words": ("text", AttributionCallback, {"method": perturbation.feature_ablation()}),
    "map over words": ("text", AttributionCallback, {"method": cam.grad_cam()}),
    "held text": (
        "size at a place",
        AttributionCallback,
        {"method": gradients.saliency(inputs=["size"])},
    ),
    "backbone": ("backbone", AttributionCallback, {"method": cam.grad_cam()}),
    "importance of text": ("text", PermutationImportanceCallback, {"n_repeats": 2}),
    "importance of a table": (
        "functional",
        PermutationImportanceCallback,
        {"n_repeats": 2, "feature_names": list("abcde")},
    ),
}


def logged(case: str, folder: Path) -> tuple[Kind, reader.Log, list[Any]]:
    """Fit a model for an epoch with a callback, and read back what it logged."""
    name, callback, options = LOGGED[case]
    kind = KINDS[name]
    keras.utils.set_random_seed(3)
    model = kind.build()
    for layer in model.layers:
        layer.trainable = not isinstance(layer, keras.Model)  # a backbone is frozen
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x = tf.nest.map_structure(tf.convert_to_tensor, kind.x)
    data = tf.data.Dataset.from_tensor_slices((x, kind.y)).batch(BATCH)
    model.fit(
        data, verbose=0, shuffle=False, callbacks=[callback(folder, data, tag="a", **options)]
    )
    log = reader.open(folder)
    records = log.records(".", "a")
    assert [record.step for record in records] == [0, 1]
    return kind, log, records


@pytest.mark.parametrize("case", [c for c in LOGGED if not c.startswith("importance")])
def test_what_callbacks_log_of_a_kind_is_read_and_served(case: str, tmp_path: Path) -> None:
    kind, log, records = logged(case, tmp_path)
    given = kind.x if isinstance(kind.x, dict) else {"x": kind.x}
    hashed = records[0].meta["probe"]
    probe = log.probe(".", hashed)
    assert probe.inputs.keys() == given.keys() == records[0].meta["inputs"].keys()
    for name, values in given.items():
        np.testing.assert_array_equal(probe.inputs[name], values)
        _, answer = plugin.probe(log, ".", hashed, input=name)
        assert answer["kind"] == records[0].meta["inputs"][name]["kind"]
        assert ("texts" in answer) == (values.dtype.kind == "U")
    arrays = log.arrays(".", "a", 1)
    assert all(np.isfinite(values).all() and values.any() for values in arrays.values())
    for name in arrays:
        _, answer = plugin.attributions(log, ".", "a", [0, 1], input=name)
        assert (answer["missing"], answer["examples"]) == ([], [0, 1, 2])
    assert np.isfinite(plugin.series(log, ".", "a")[1]["columns"] or 0)
    tokens = plugin.probe(log, ".", hashed, examples=[2, 0])[1]["tokens"]
    if case == "tokens":
        assert tokens == [[f"token {i}" for i in kind.x[row]] for row in (2, 0)]
    elif case == "words":
        assert tokens == [TEXTS[2].split(), TEXTS[0].split()]
        # A value stands beside each word, and zeros behind the last.
        np.testing.assert_array_equal(
            arrays["x"] != 0, [[1, 1, 1, 1, 0, 0], [1, 1, *[0] * 4], [1] * 6]
        )
    else:
        assert tokens is None
    shapes = {name: values.shape[1:] for name, values in arrays.items()}
    assert (
        shapes
        == {
            "tokens": {"x": (5,)},
            "dictionary": {"image": (SMALL, SMALL, 1), "table": (3,)},
            "words": {"x": (6,)},
            "map over words": {"x": (6,)},
            "held text": {"size": (2,)},
            "backbone": {"x": (3, 3)},
        }[case]
    )


@pytest.mark.parametrize("case", [c for c in LOGGED if c.startswith("importance")])
def test_importance_keeps_names_and_no_rows(case: str, tmp_path: Path) -> None:
    kind, log, records = logged(case, tmp_path)
    probe = log.probe(".", records[0].meta["probe"])
    assert (probe.inputs, probe.labels, probe.meta["example_names"]) == ({}, None, None)
    table = case == "importance of a table"
    assert log.feature_names(".", "a") == (list("abcde") if table else ["x0"])
    assert plugin.series(log, ".", "a")[1]["names"] == (list("abcde") if table else ["x0"])
    with pytest.raises(
        reader.UnknownError, match="of the rows of an importance only names are kept"
    ):
        plugin.probe(log, ".", records[0].meta["probe"])
    # Other rows are another set, although nothing of them is kept.
    other = PermutationImportanceCallback(
        tmp_path, kind.x[::-1], kind.y[::-1], tag="b", n_repeats=2
    )
    model = model_of(kind.build)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    other.set_model(model)
    other.set_params({"epochs": 1, "steps": 1})
    other.on_train_begin()
    other.on_epoch_begin(0)
    other.on_train_end()
    assert reader.open(tmp_path).records(".", "b")[0].meta["probe"] != records[0].meta["probe"]


def test_every_token_id_must_have_a_name(tmp_path: Path) -> None:
    kind = KINDS["masked tokens"]
    few = NAMES[: kind.x.max()]
    callback = SaliencyCallback(tmp_path, kind.x, kind.y, token_names={"tokens": few, "x": few})
    callback.set_model(model_of(kind.build))
    with pytest.raises(ValueError, match=r"token_names must have a name for each id .*Received: "):
        callback.on_train_begin()
    with pytest.raises(TypeError, match="token_names must be a list of names"):
        SaliencyCallback(tmp_path, kind.x, kind.y, token_names="abc")
