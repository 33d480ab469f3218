"""An MLP on scikit-learn's breast cancer data, with the importance of its columns over training.

Run: python examples/breast_cancer_mlp.py && tensorboard --logdir logs
"""

from __future__ import annotations

import keras
from sklearn.datasets import load_breast_cancer

from tb_xai import reader
from tb_xai.callbacks import IntegratedGradientsCallback, PermutationImportanceCallback

data = load_breast_cancer(as_frame=True)
x = ((data.data - data.data.mean()) / data.data.std()).astype("float32")
x_train, y_train, x_val, y_val = x[:400], data.target[:400], x[400:], data.target[400:]

model = keras.Sequential(
    [
        keras.Input((30,)),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
names = {"class_names": list(data.target_names)}
model.fit(
    x_train,
    y_train,
    validation_data=(x_val, y_val),
    epochs=10,
    callbacks=[
        # Names of features are the columns of the data frame.
        PermutationImportanceCallback("logs/breast_cancer", x_val, y_val, n_repeats=10, **names),
        IntegratedGradientsCallback(
            "logs/breast_cancer", x_val[:16], y_val[:16], feature_names=list(x.columns), **names
        ),
        # The share of the strongest column is a figure like any other: stop when it takes over.
        keras.callbacks.EarlyStopping(
            "xai_permutation_importance_top_share", mode="min", patience=8
        ),
        keras.callbacks.TensorBoard("logs/breast_cancer"),
    ],
)

# What was logged, as columns; `pandas.DataFrame(table)` takes them as they are.
table = reader.open("logs/breast_cancer").frame(".", "permutation_importance")
last = table["step"] == table["step"].max()
top = sorted(zip(table["mean"][last], table["feature"][last], strict=True), reverse=True)[:5]
print("Most important at the end:", ", ".join(f"{name} {gain:.3f}" for gain, name in top))
