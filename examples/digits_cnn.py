"""A CNN on scikit-learn's digits, explained while it trains.

Run: python examples/digits_cnn.py && tensorboard --logdir logs
"""

from __future__ import annotations

import keras
from sklearn.datasets import load_digits

from tb_xai.callbacks import AttributionCallback, IntegratedGradientsCallback, SaliencyCallback
from tb_xai.gradients import smooth_grad

digits = load_digits()
x, y = (digits.images / 16.0).astype("float32")[..., None], digits.target
x_train, y_train, x_val, y_val = x[:1400], y[:1400], x[1400:], y[1400:]

model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu", padding="same"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

# The same sixteen pictures at every step: what moves in the log is the model.
pictures, labels = x_val[:16], y_val[:16]
names = {"class_names": [str(digit) for digit in range(10)]}
model.fit(
    x_train,
    y_train,
    validation_data=(x_val, y_val),
    epochs=10,
    callbacks=[
        SaliencyCallback("logs/digits", pictures, labels, **names),
        IntegratedGradientsCallback("logs/digits", pictures, labels, n_steps=16, **names),
        AttributionCallback("logs/digits", pictures, labels, method=smooth_grad(), **names),
        # Callbacks that shall see the figures of the others stand behind them.
        keras.callbacks.TensorBoard("logs/digits"),
    ],
)
