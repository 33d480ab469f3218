"""ModelHealthCallback and its measurement: records, refusals, and that training is the same."""

from __future__ import annotations

import json
import os
import random as pyrandom
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from keras import layers

from tb_xai import cli, health, plugin, reader
from tb_xai.callbacks import ModelHealthCallback, SaliencyCallback

N, D = 48, 5
X = np.random.default_rng(0).normal(size=(N, D)).astype("float32")
Y = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0.5)
FIGURES = (
    "gradient_norm",
    "weight_norm",
    "update_ratio",
    "activation_mean",
    "activation_variance",
    "saturated",
    "dead",
    "spectral_norm",
    "stable_rank",
    "noise_scale",
    "not_finite",
)
SCALARS = (
    "loss",
    "gradient_norm",
    "gradient_ratio",
    "update_ratio",
    "dead",
    "saturated",
    "noise_scale",
    "unhealthy",
    "seconds",
)


def compiled(model: keras.Model, loss: Any = "sparse_categorical_crossentropy") -> keras.Model:
    model.compile("adam", loss, metrics=None)
    return model


def mlp() -> keras.Model:
    """Everything that draws or keeps statistics."""
    keras.utils.set_random_seed(1)
    parts = [
        layers.Dense(6, activation="relu", name="first"),
        layers.BatchNormalization(name="norm"),
        layers.Dropout(0.4),
        layers.GaussianNoise(0.1),
        layers.Dense(3, activation="softmax", name="head"),
    ]
    return compiled(keras.Sequential([keras.Input((D,)), *parts]))


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.block = [layers.Dense(6, activation="relu"), layers.Dropout(0.3)]
        self.head = layers.Dense(3, activation="softmax", name="head")
        self.scale = self.add_weight(shape=(3,), initializer="ones", name="scale")

    def call(self, x: Any, training: bool = False) -> Any:
        for layer in self.block:
            x = layer(x, training=training)
        return self.head(x) * self.scale


def subclassed() -> keras.Model:
    keras.utils.set_random_seed(2)
    return compiled(Subclassed())


class OwnLoss(Subclassed):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # type: ignore[no-untyped-def]
        return 2 * super().compute_loss(x, y, y_pred, sample_weight)


def own_loss() -> keras.Model:
    keras.utils.set_random_seed(2)
    return compiled(OwnLoss())


def nested() -> keras.Model:
    keras.utils.set_random_seed(3)
    back = keras.Sequential(
        [keras.Input((D,)), layers.Dense(6, "relu", name="conv5"), layers.BatchNormalization()],
        name="backbone",
    )
    x = keras.Input((D,))
    return compiled(keras.Model(x, layers.Dense(3, "softmax", name="head")(back(x))))


def mixed() -> keras.Model:
    keras.utils.set_random_seed(4)
    hidden = layers.Dense(6, "relu", dtype="mixed_float16", name="hidden")
    head = layers.Dense(3, "softmax", dtype="float32", name="head")
    return compiled(keras.Sequential([keras.Input((D,)), hidden, head]))


def two_inputs_and_outputs() -> keras.Model:
    keras.utils.set_random_seed(5)
    a, b = keras.Input((D,), name="a"), keras.Input((2,), name="b")
    h = layers.Dense(4, "tanh", name="left")(layers.Concatenate()([a, b]))
    outputs = {
        "classes": layers.Dense(3, "softmax", name="classes")(h),
        "number": layers.Dense(1, name="number")(h),
    }
    model = keras.Model({"a": a, "b": b}, outputs)
    return compiled(model, {"classes": "sparse_categorical_crossentropy", "number": "mse"})


TWO = {"a": X, "b": X[:, :2]}, {"classes": Y, "number": X[:, :1]}
MODELS: dict[str, tuple[Callable[[], keras.Model], Any, Any, list[str]]] = {
    "sequential": (mlp, X, Y, ["first", "norm", "head"]),
    "subclassed": (subclassed, X, Y, ["dense", "head", "subclassed"]),
    "own loss": (own_loss, X, Y, ["dense", "head", "own_loss"]),
    "nested": (nested, X, Y, ["backbone/conv", "backbone/batch_normalization", "head"]),
    "mixed": (mixed, X, Y, ["hidden", "head"]),
    "two": (two_inputs_and_outputs, *TWO, ["left", "classes", "number"]),
}


def rows(structure: Any, n: int) -> Any:
    return tf.nest.map_structure(lambda a: a[:n], structure)


def fit(model: keras.Model, callbacks: list[Any], x: Any = X, y: Any = Y, **options: Any) -> Any:
    options = {"epochs": 2, "batch_size": 12, "verbose": 0, **options}
    return model.fit(x, y, callbacks=callbacks, **options).history


def logged(log_dir: Path) -> list[Any]:
    return reader.open(log_dir).records(".", "model_health")


def plain(name: str) -> str:
    """A layer's name without the number that Keras appends to it."""
    return "/".join(part.rstrip("0123456789").rstrip("_") for part in name.split("/"))


@pytest.mark.parametrize("kind", MODELS)
def test_training_is_the_same_bit_for_bit_and_every_figure_is_logged(
    kind: str, tmp_path: Path
) -> None:
    make, x, y, names = MODELS[kind]
    callback = ModelHealthCallback(tmp_path, rows(x, 20), rows(y, 20))
    without, watched = make(), make()
    real = fit(without, [], x, y)
    history = fit(watched, [callback], x, y)
    for a, b in zip(without.variables, watched.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for a, b in zip(without.optimizer.variables, watched.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert {name: history[name] for name in real} == real
    assert callback.explain.traces() == 1
    records = logged(tmp_path)
    assert [r.step for r in records] == [0, 1, 2]
    for record in records:
        assert record.kind == "health"
        names_logged = [plain(name) for name in record.meta["layers"]]
        if kind in ("sequential", "nested", "mixed", "two"):
            assert sorted(names_logged) == sorted(names)
        assert len(set(record.meta["layers"])) == len(names)
        assert len(record.meta["states"]) == len(names)
        assert set(record.meta["states"]) <= set(health.STATES)
        assert (record.meta["n"], record.meta["dead_bound"]) == (20, 0.15)
        assert set(record.figures) == {*FIGURES, "gradient_histogram"}
        assert all(record.figures[name].shape == (len(names),) for name in FIGURES)
        bins = len(record.meta["histogram_edges"]) + 1
        assert record.figures["gradient_histogram"].shape == (len(names), bins)
        for name in ("gradient_norm", "weight_norm", "activation_mean", "dead"):
            assert np.isfinite(record.figures[name]).all(), name
        np.testing.assert_allclose(record.figures["gradient_histogram"].sum(1), 1, rtol=1e-6)
    assert np.isnan(records[0].figures["update_ratio"]).all()
    assert (records[1].figures["update_ratio"] > 0).all()
    assert {f"xai_model_health_{name}" for name in SCALARS} <= set(history)


def test_figures_follow_the_model_of_each_step(tmp_path: Path) -> None:
    model = mlp()
    seen = []
    direct = health.measure()(model)
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((direct(X[:20], Y[:20]), dict(logs)))
    )
    fit(model, [ModelHealthCallback(tmp_path, X[:20], Y[:20]), look])
    for record, (found, logs) in zip(logged(tmp_path)[1:], seen, strict=True):
        for name, figure in found.figures().items():
            if name != "update_ratio":
                np.testing.assert_array_equal(record.figures[name], figure)
        assert record.meta["layers"] == found.layers
        assert record.meta["states"] == health.states(found)
        assert logs["xai_model_health_loss"] == found.loss
        assert logs["xai_model_health_dead"] == found.dead.max()
        norms = found.gradient_norm
        assert logs["xai_model_health_gradient_ratio"] == norms.min() / norms.max()
    np.testing.assert_allclose(
        logged(tmp_path)[2].figures["update_ratio"], seen[1][0].update_ratio, rtol=1e-6
    )


def test_a_loss_of_its_own_counts() -> None:
    found = []
    for make in (subclassed, own_loss):
        model = make()
        fit(model, [], epochs=1, steps_per_epoch=1)
        model.set_weights([np.full_like(w, 0.1) for w in model.get_weights()])
        found.append(health.measure(chunks=1)(model)(X, Y).loss)
    assert found[1] == pytest.approx(2 * found[0], rel=1e-5)


def test_measuring_touches_nothing() -> None:
    model = mlp()
    fit(model, [])
    state = [v.numpy().copy() for v in (*model.variables, *model.optimizer.variables)]
    metrics = [v.numpy().copy() for m in model.metrics for v in m.variables]
    losses = list(model.losses)
    random = np.random.get_state()[1].copy()  # noqa: NPY002
    health.measure()(model)(X, Y)
    pythons = pyrandom.getstate()
    health.gradient_check(model, X[:4], Y[:4], n_checks=2)
    assert pyrandom.getstate() == pythons
    after = [v.numpy() for v in (*model.variables, *model.optimizer.variables)]
    for a, b in zip(state, after, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(metrics, [v.numpy() for m in model.metrics for v in m.variables], strict=True):
        np.testing.assert_array_equal(a, b)
    assert list(model.losses) == losses
    assert (np.random.get_state()[1] == random).all()  # noqa: NPY002
    assert "call" not in vars(model.layers[0])


def test_schedule_of_batches_and_the_last_epoch(tmp_path: Path) -> None:
    fit(mlp(), [ModelHealthCallback(tmp_path / "a", X[:20], Y[:20], every=3)], epochs=4)
    assert [r.step for r in logged(tmp_path / "a")] == [0, 3, 4]
    fit(mlp(), [ModelHealthCallback(tmp_path / "b", X[:20], Y[:20], every_n_batches=3)])
    assert [r.step for r in logged(tmp_path / "b")] == [0, 3, 6, 8]


def test_a_second_fit_starts_without_a_last_update(tmp_path: Path) -> None:
    callback = ModelHealthCallback(tmp_path, X[:20], Y[:20])
    model = mlp()
    fit(model, [callback])
    fit(model, [callback], initial_epoch=2, epochs=3)
    updates = {r.step: r.figures["update_ratio"] for r in logged(tmp_path)}
    assert np.isnan(updates[2]).all()
    assert (updates[3] > 0).all()


def test_datasets_and_other_callbacks_beside(tmp_path: Path) -> None:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(10)
    beside = SaliencyCallback(tmp_path, X[:4], Y[:4])
    fit(mlp(), [ModelHealthCallback(tmp_path, data, n_examples=24), beside])
    assert logged(tmp_path)[-1].meta["n"] == 24
    log = reader.open(tmp_path)
    assert set(log.tags(".")) == {"model_health", "saliency"}
    assert log.feature_names(".", "model_health") is None
    series = log.series(".", "model_health")
    assert series["gradient_norm"].shape == (3, 3)


def test_thresholds_change_the_words_and_are_logged(tmp_path: Path) -> None:
    strict = {"dead": 0.0, "vanishing": 0.999}
    fit(mlp(), [ModelHealthCallback(tmp_path, X[:20], Y[:20], thresholds=strict)])
    last = logged(tmp_path)[-1]
    assert last.meta["states"].count("vanishing") + last.meta["states"].count("dead") >= 2
    assert last.meta["thresholds"] == {**health.thresholds(), **strict}


def test_training_that_diverges_is_logged_to_the_end(tmp_path: Path) -> None:
    model = mlp()
    model.compile(keras.optimizers.SGD(1e30), "sparse_categorical_crossentropy")
    with pytest.warns(RuntimeWarning, match="model_health: alarm at step"):
        fit(model, [ModelHealthCallback(tmp_path, X[:20], Y[:20])])
    last = logged(tmp_path)[-1]
    assert "not_finite_layers" in [finding["rule"] for finding in last.meta["findings"]]
    assert "not finite" in last.meta["states"]
    assert last.figures["not_finite"].sum() > 0


def test_the_page_gets_a_matrix_of_layers_and_steps(tmp_path: Path) -> None:
    fit(mlp(), [ModelHealthCallback(tmp_path, X[:20], Y[:20])])
    log = reader.open(tmp_path)
    (tag,) = plugin.index(log)["runs"][0]["tags"]
    assert (tag["name"], tag["kind"], tag["layers"]) == ("model_health", "health", 3)
    body, answer = plugin.series(log, ".", "model_health")
    tensors = safetensors.numpy.load(body)
    assert set(tensors) == {"steps", "wall_times", "epochs", *FIGURES}
    assert all(tensors[name].shape == (3, 3) for name in FIGURES)
    assert tensors["not_finite"].dtype == np.int32
    records = logged(tmp_path)
    assert answer["kind"] == "health"
    assert answer["names"] == records[0].meta["layers"]
    assert answer["states"] == [record.meta["states"] for record in records]
    assert (answer["n"], answer["dead_bound"]) == (20, 0.15)
    assert answer["thresholds"] == health.thresholds()
    json.dumps(answer)
    body, answer = plugin.series(log, ".", "model_health", ["gradient_histogram", "dead"], [2])
    tensors = safetensors.numpy.load(body)
    bins = len(answer["histogram_edges"]) + 1
    assert tensors["gradient_histogram"].shape == (3, 1, bins)
    assert tensors["dead"].shape == (3, 1)
    assert answer["names"] == ["head"]
    assert [len(words) for words in answer["states"]] == [1, 1, 1]


# --- refusals -----------------------------------------------------------------------------------


def refused(call: Callable[[], Any], words: str, kind: type[Exception] = ValueError) -> None:
    with pytest.raises(kind) as caught:
        call()
    said = str(caught.value)
    assert words in said
    assert "Received: " in said
    assert "\n" not in said


def no_loss() -> keras.Model:
    model = keras.Sequential([keras.Input((D,)), layers.Dense(3)])
    model.compile("sgd")
    return model


def test_what_cannot_be_measured_is_refused_in_a_sentence() -> None:
    model = mlp()
    explain = health.measure()(model)
    measured = health.measure
    refused(lambda: measured(chunks=0), "chunks must be a whole number of at least 1")
    refused(lambda: measured(batch_size=0), "batch_size must be a whole number")
    refused(lambda: measured(loss=3)(model), "loss must be a name, a Keras loss or", TypeError)
    refused(lambda: measured()("model"), "model must be a Keras model", TypeError)
    refused(lambda: measured()(Subclassed()), "model must be built")
    refused(lambda: measured()(no_loss()), "model must be compiled with a loss")
    empty = compiled(keras.Sequential([keras.Input((3,)), layers.Softmax()]))
    refused(lambda: measured()(empty), "model must have weights")
    refused(lambda: explain(X, None), "y must hold the labels")
    refused(lambda: explain(X, Y[:3]), "y must have one label for each of the 48 examples")
    refused(lambda: explain(X, Y * np.nan), "y must be finite")
    refused(lambda: explain(X, np.full(N, "a")), "y must be numbers", TypeError)
    refused(lambda: explain(X[:0], Y[:0]), "x must hold at least one example")
    refused(lambda: explain(X * np.inf, Y), "x must be finite")
    refused(lambda: explain(X[:, :2], Y), "x must have shape (n, 5)")
    refused(lambda: explain(X, Y, np.ones(3)), "sample_weight must have a finite weight")
    refused(lambda: explain(X, Y, -np.ones(N)), "sample_weight must have a finite weight")
    two = health.measure()(two_inputs_and_outputs())
    refused(lambda: two(TWO[0], Y), "y must have one part for each of the 2 outputs")
    refused(lambda: two(TWO[0], [Y, Y, Y]), "y must have one part for each of the 2 outputs")
    refused(lambda: two(TWO[0], {"other": Y}), "y must name the model's outputs")


def test_a_gradient_check_is_logged_once_and_judged(tmp_path: Path) -> None:
    class Doubled(layers.Layer):
        def call(self, x: Any) -> Any:
            return tf.custom_gradient(lambda x: (1.0 * x, lambda g: 2.0 * g))(x)

    for name, between in (("right", layers.Identity()), ("wrong", Doubled())):
        model = keras.Sequential(
            [
                keras.Input((D,)),
                layers.Dense(4, "tanh", name="a"),
                between,
                layers.Dense(3, "softmax", name="b"),
            ]
        )
        callback = ModelHealthCallback(tmp_path / name, X, Y, gradient_check=True)
        fit(compiled(model), [callback], epochs=2)
        first, *later = reader.open(tmp_path / name).records(".", "model_health")
        error = dict(zip(first.meta["layers"], first.figures["gradient_check"], strict=True))
        assert error["b"] < 1e-6
        assert (error["a"] > 0.4) if name == "wrong" else (error["a"] < 1e-6)
        assert len(later) == 2
        assert not any("gradient_check" in r.figures for r in later)
        rules = [[f["rule"] for f in record.meta["findings"]] for record in (first, *later)]
        assert all(("wrong_gradient" in said) == (name == "wrong") for said in rules)
        log = reader.open(tmp_path / name)
        assert np.isfinite(log.series(".", "model_health")["gradient_check"]).any(1).tolist() == [
            *(True, False, False)
        ]


def test_thresholds_and_checks_are_refused_in_a_sentence() -> None:
    model = mlp()
    found = health.measure()(model)(X, Y)
    refused(lambda: health.states(found, dead=1.0), "dead must be a number of at least 0 and below")
    refused(lambda: health.states(found, exploding=-1), "exploding must be a number of at least 0")
    refused(lambda: health.states(found, vanishing=np.nan), "vanishing must be a number")
    refused(lambda: health.thresholds(alive=1), "thresholds must be some of", TypeError)
    check = health.gradient_check
    refused(lambda: check(model, X, Y, n_checks=0), "n_checks must be a whole number")
    refused(lambda: check(model, X, Y, h=0.0), "h must be a step between 0 and 1")
    refused(lambda: check(model, X, Y, seed=-1), "seed must be a whole number")
    refused(lambda: check(no_loss(), X, Y), "model must be compiled with a loss")
    own = subclassed()
    own(X)
    refused(lambda: check(own, X, Y), "model must be one that can be rebuilt in float64")
    assert keras.config.floatx() == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_the_callback_refuses_before_the_first_batch(tmp_path: Path) -> None:
    def begin(model: keras.Model, *given: Any, **options: Any) -> Callable[[], Any]:
        return lambda: fit(model, [ModelHealthCallback(tmp_path, *given, **options)])

    refused(begin(mlp(), X), "y must hold the labels")
    refused(begin(mlp(), X[:0], Y[:0]), "the probe set is empty")
    refused(begin(mlp(), X, Y[:3]), "same number of examples")
    refused(begin(mlp(), X, Y, chunks=0), "chunks must be a whole number")
    refused(begin(mlp(), X, Y, thresholds={"x": 1}), "thresholds must be some of", TypeError)
    model = mlp()
    before = [w.copy() for w in model.get_weights()]
    refused(begin(model, X[:, :3], Y), "x must have shape (n, 5)")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_model_of_text_is_measured(tmp_path: Path) -> None:
    texts = np.array(["good film", "bad film", "so good", "so bad"] * 4)
    words = layers.TextVectorization(output_sequence_length=3)
    words.adapt(texts)
    parts = [words, layers.Embedding(12, 4), layers.GlobalAveragePooling1D(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((), dtype="string"), *parts, layers.Softmax()])
    model.compile("sgd", "sparse_categorical_crossentropy")
    y = np.array([1, 0, 1, 0] * 4)
    data = tf.data.Dataset.from_tensor_slices((texts, y)).batch(4)
    callback = ModelHealthCallback(tmp_path, texts, y)
    model.fit(data, verbose=0, shuffle=False, callbacks=[callback])
    found = reader.open(tmp_path).records(".", "model_health")[-1]
    assert np.isfinite(found.figures["gradient_norm"]).all()


def test_layers_are_rows_for_pandas_and_for_export(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    parts = [layers.Dense(4, "relu", name="first"), layers.Dense(3, "softmax", name="last")]
    model = keras.Sequential([keras.Input((D,)), *parts])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[ModelHealthCallback(tmp_path / "run", X, Y)])
    frame = reader.open(tmp_path).frame("run", "model_health")
    assert frame["layer"].tolist() == ["first", "last"] * 3
    assert frame["step"].tolist() == [0, 0, 1, 1, 2, 2]
    logged = reader.open(tmp_path).series("run", "model_health")["weight_norm"]
    np.testing.assert_array_equal(frame["weight_norm"], logged.reshape(-1))
    out = tmp_path / "health.csv"
    assert cli.main(["export", str(tmp_path), "--by", "layer", "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 1 + 6
