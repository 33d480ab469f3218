"""The models and settings that are measured, and the raw passes that each of them cannot avoid.

A raw pass is what one would write by hand: a compiled function, called once for each chunk of rows
on a tensor that is on the device already. It checks nothing, perturbs nothing and keeps nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tb_xai import cam, gradients, importance, perturbation

BATCH = 64  # rows at once, the methods' default


@dataclass(frozen=True)
class Model:
    """A model with random weights, and examples for it."""

    title: str
    build: Callable[[], keras.Model]
    shape: tuple[int, ...]
    classes: int

    def examples(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(0)
        x = rng.normal(0.5, 0.3, size=(n, *self.shape)).astype(np.float32)
        y = rng.integers(self.classes, size=n).astype(np.int32)
        x.flags.writeable = y.flags.writeable = False  # as the callbacks fix their probe set
        return x, y


def small_cnn() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def mobilenet() -> keras.Model:
    return keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10)


def tabular_mlp() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((30,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ]
    )


MODELS = {
    "cnn": Model("small CNN, 28 x 28 x 1", small_cnn, (28, 28, 1), 10),
    "mobilenet": Model("MobileNetV2, 96 x 96 x 3", mobilenet, (96, 96, 3), 10),
    "mlp": Model("MLP, 30 columns", tabular_mlp, (30,), 2),
}


@dataclass(frozen=True)
class Passes:
    """Raw passes: ``rows`` rows of one kind, ``chunk`` at a time.

    Attributes:
        kind: "forward", "gradient" (of one output with respect to the input) or "layer" (the
            output, a layer's activations, and the gradient with respect to these).
        rows: how many rows pass in all.
        chunk: how many pass at once.
    """

    kind: str
    rows: int
    chunk: int = BATCH


@dataclass(frozen=True)
class Case:
    """One method on one model.

    Attributes:
        model: key of `MODELS`.
        name: the method with the settings that differ from its defaults.
        n: examples.
        bind: binder with ``times`` as many steps, samples or windows.
        raw: the passes that cannot be avoided.
        target: largest multiple of the raw passes' CPU time that is aimed at.
        layer: name of the layer whose activations the "layer" passes return.
    """

    model: str
    name: str
    n: int
    bind: Callable[[int], Any]
    raw: Sequence[Passes]
    target: float | None = None
    layer: str | None = None

    @property
    def key(self) -> str:
        return f"{self.model}/{self.name}"


def cases() -> list[Case]:
    """Return everything that is measured, model by model."""
    found: list[Case] = []

    def add(model: str, name: str, n: int, bind: Any, *raw: Passes, **more: Any) -> None:
        found.append(Case(model, name, n, bind, raw, **more))

    for model, n, window in (("cnn", 64, 4), ("mobilenet", 16, 14), ("mlp", 2048, 1)):
        shape = MODELS[model].shape
        add(
            model,
            "saliency",
            n,
            lambda times: gradients.saliency(),
            Passes("gradient", n, min(n, BATCH)),
            target=1.10,
        )
        add(
            model,
            "integrated_gradients",
            n,
            lambda times: gradients.integrated_gradients(16 * times, tolerance=math.inf),
            Passes("gradient", 16 * n),
            Passes("forward", n, min(n, BATCH)),
            target=1.10,
        )
        add(
            model,
            "smooth_grad",
            n,
            lambda times: gradients.smooth_grad(20 * times),
            Passes("gradient", 20 * n, 40 if n == 16 else 60),
            Passes("forward", n, min(n, BATCH)),
            target=1.10,
        )
        if len(shape) == 3:
            windows = math.prod(-(-size // window) for size in shape[:2])
            add(
                model,
                "occlusion",
                n,
                lambda times, w=window: perturbation.occlusion(
                    w, stride=w if times == 1 else w // 2
                ),
                Passes("forward", windows * n),
                Passes("forward", n, min(n, BATCH)),
                target=0.80 if model == "mobilenet" else 1.10,
            )
            layer = "out_relu" if model == "mobilenet" else "conv2d_1"
            add(
                model,
                "grad_cam",
                n,
                lambda times: cam.grad_cam(),
                Passes("layer", n, min(n, BATCH)),
                target=1.15,
                layer=layer,
            )
    add(
        "cnn",
        "blur_integrated_gradients",
        64,
        lambda times: gradients.blur_integrated_gradients(16 * times, tolerance=math.inf),
        Passes("gradient", 16 * 64),
        Passes("forward", 2 * 64),
    )
    background = MODELS["cnn"].examples(8)[0]
    add(
        "cnn",
        "expected_gradients",
        64,
        lambda times: gradients.expected_gradients(background, 100 * times),
        Passes("gradient", 100 * 64),
        Passes("forward", 64),
    )
    add(
        "cnn",
        "rise",
        16,
        lambda times: perturbation.rise(500 * times),
        Passes("forward", 500 * 16),
        Passes("forward", 16, 16),
    )
    add(
        "cnn",
        "score_cam",
        16,
        lambda times: cam.score_cam(),
        Passes("forward", 32 * 16),
        Passes("forward", 16, 16),
    )
    add(
        "cnn",
        "lime",
        16,
        lambda times: perturbation.lime(1000 * times),
        Passes("forward", 1000 * 16),
        Passes("forward", 16, 16),
        target=1.15,
    )
    segments = perturbation.grid_segments((28, 28), 4)
    add(
        "cnn",
        "kernel_shap",
        16,
        lambda times: perturbation.kernel_shap(groups=segments, n_samples=1024 * times),
        Passes("forward", (1024 + 1) * 16),
        Passes("forward", 16, 16),
        target=1.15,
    )
    add(
        "mlp",
        "feature_ablation",
        2048,
        lambda times: perturbation.feature_ablation(),
        Passes("forward", 30 * 2048),
        Passes("forward", 2048),
    )
    add(
        "mlp",
        "lime",
        40,
        lambda times: perturbation.lime(1000 * times),
        Passes("forward", 1000 * 40),
        Passes("forward", 40, 40),
        target=1.15,
    )
    add(
        "mlp",
        "kernel_shap",
        40,
        lambda times: perturbation.kernel_shap(n_samples=2108 * times),
        Passes("forward", (2108 + 1) * 40),
        Passes("forward", 40, 40),
        target=1.15,
    )
    for n, target in ((2000, 0.75), (10_000, 1.05)):
        add(
            "mlp",
            f"permutation_importance, {n} rows",
            n,
            lambda times: importance.permutation(10 * times),
            Passes("forward", (30 * 10 + 1) * n, n),
            target=target,
        )
    return found


def raw_passes(
    model: keras.Model, x: np.ndarray, y: np.ndarray, passes: Sequence[Passes], layer: str | None
) -> Callable[[], None]:
    """Return a function that makes the raw passes, compiled, on tensors that are there already."""
    inside = (
        keras.Model(model.inputs, [model.get_layer(layer).output, model.outputs[0]]) if layer else 0
    )

    @tf.function(autograph=False)
    def forward(x: Any, y: Any) -> Any:
        return model(x, training=False)

    @tf.function(autograph=False)
    def gradient(x: Any, y: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            own = tf.gather(model(x, training=False), y, axis=1, batch_dims=1)
        return tape.gradient(own, x)

    @tf.function(autograph=False)
    def activations(x: Any, y: Any) -> Any:
        A, outputs = inside(x, training=False)
        return A, outputs, tf.gradients(tf.gather(outputs, y, axis=1, batch_dims=1), A)

    kinds = {"forward": forward, "gradient": gradient, "layer": activations}
    calls = []
    for part in passes:
        for rows, times in ((part.chunk, part.rows // part.chunk), (part.rows % part.chunk, 1)):
            if rows and times:
                at = np.arange(rows) % len(x)
                chunk = tf.constant(x[at]), tf.constant(y[at])
                calls.append((kinds[part.kind].get_concrete_function(*chunk), chunk, times))

    def run() -> None:
        for function, chunk, times in calls:
            for _ in range(times):
                function(*chunk)

    return run
