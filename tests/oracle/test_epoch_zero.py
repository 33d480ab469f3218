"""The epoch-0 similarity curve tells methods that follow the model from one that does not.

Adebayo et al., "Sanity checks for saliency maps", 2018: guided backpropagation recovers the picture
whatever the layers on top have learned. Here it is a toy for this test; the package does not offer
it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from tb_xai import drift
from tb_xai.cam import grad_cam
from tb_xai.gradients import saliency
from tb_xai.summary import Record


def guided_backprop(model: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradients of the logit of y with negative parts left out at every ReLU."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def rectify(z: Any) -> Any:
        return tf.nn.relu(z), lambda g: tf.nn.relu(g) * tf.cast(z > 0, g.dtype)

    first, second, _, dense = model.layers
    v = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(v)
        h = rectify(tf.nn.conv2d(v, first.kernel.value, 1, "SAME") + first.bias.value)
        h = rectify(tf.nn.conv2d(h, second.kernel.value, 1, "SAME") + second.bias.value)
        z = tf.reshape(h, (len(x), -1)) @ dense.kernel.value + dense.bias.value
        chosen = tf.gather(z, y, axis=1, batch_dims=1)
    return np.asarray(tape.gradient(chosen, v))


def test_gradients_and_grad_cam_leave_epoch_zero_and_guided_backprop_stays() -> None:
    digits = load_digits()
    x = (digits.images / 16.0).astype("float32")[..., None]
    y = digits.target
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu", padding="same"),
            keras.layers.Conv2D(16, 3, activation="relu", padding="same"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    probe, labels = x[:24], y[:24]
    slope, cam = saliency()(model), grad_cam()(model)
    curves: dict[str, list[Record]] = {"saliency": [], "grad_cam": [], "guided": []}

    def explain(epoch: int) -> None:
        found = {
            "saliency": slope(probe, labels).values,
            "grad_cam": cam(probe, labels).values,
            "guided": guided_backprop(model, probe, labels),
        }
        for name, values in found.items():
            maps = {"x": np.abs(np.asarray(values, np.float64))}
            curves[name].append(Record(name, epoch, 0.0, "attribution", {}, {}, maps))

    explain(0)
    told = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: explain(epoch + 1))
    model.fit(x[24:1400], y[24:1400], epochs=5, batch_size=32, verbose=0, callbacks=[told])
    alike = {name: drift.series(each, drift.cosine, 0).mean for name, each in curves.items()}
    assert np.allclose([curve[0] for curve in alike.values()], 1.0)
    for name in ("saliency", "grad_cam"):
        assert alike["guided"][-1] > alike[name][-1] + 0.15
        assert (np.diff(alike[name][:3]) < 0).all()
