"""The callbacks: what they log and when, what they refuse, and that training never notices them."""

from __future__ import annotations

import gc
import os
import random
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tb_xai import gradients, reader, targets
from tb_xai.callbacks import (
    AttributionCallback,
    IntegratedGradientsCallback,
    ModelHealthCallback,
    PermutationImportanceCallback,
    SaliencyCallback,
)
from tb_xai.callbacks.attribution import Head, by_feature, predictions, strength
from tb_xai.callbacks.base import kind_of
from tb_xai.importance import permutation_importance

N, D, K = 48, 5, 3
X = np.random.default_rng(0).normal(size=(N, D)).astype("float32")
Y = (X[:, 0] > 0).astype("int64") + (X[:, 1] > 0.5)
BATCHES = 4  # of 12 rows


def mlp(inputs: int = D, units: int = K, activation: str | None = "softmax") -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((inputs,)),
            layers.Dense(6, activation="relu"),
            layers.Dense(units, activation=activation),
        ]
    )
    loss = {
        "softmax": "sparse_categorical_crossentropy",
        "sigmoid": "binary_crossentropy",
        None: "mse",
    }[activation]
    model.compile("sgd", loss)
    return model


def fit(model: keras.Model, callbacks: list[Any], x: Any = X, y: Any = Y, **options: Any) -> Any:
    options = {"epochs": 2, "batch_size": N // BATCHES, "verbose": 0, **options}
    return model.fit(x, y, callbacks=callbacks, **options).history


def steps(log_dir: Path, tag: str = "saliency") -> list[int]:
    log = reader.open(log_dir)
    return log.steps(".", tag) if "." in log.runs and tag in log.tags(".") else []


# --- what is logged -----------------------------------------------------------------------------


def test_every_step_reads_back_with_its_figures(tmp_path: Path) -> None:
    model = mlp()
    callback = IntegratedGradientsCallback(tmp_path, X[:6], Y[:6], n_steps=8)
    fit(model, [callback], epochs=3)
    log = reader.open(tmp_path)
    assert log.steps(".", "integrated_gradients") == [0, 1, 2, 3]
    last = log.records(".", "integrated_gradients")[-1]
    direct = gradients.integrated_gradients(8)(model)(X[:6], Y[:6])
    maps = log.arrays(".", "integrated_gradients", 3)["x"]
    scale = np.abs(direct.values).max(axis=1, keepdims=True)
    assert (np.abs(maps - direct.values) <= scale / 1000).all()
    np.testing.assert_allclose(last.figures["output"], direct.output, rtol=1e-5)
    np.testing.assert_allclose(last.figures["baseline_output"], direct.baseline_output, rtol=1e-5)
    np.testing.assert_allclose(last.figures["gap"], direct.gap, atol=1e-5)
    probabilities = model(X[:6]).numpy()
    np.testing.assert_allclose(last.figures["prediction"], probabilities, rtol=1e-5)
    assert last.figures["predicted"].tolist() == probabilities.argmax(1).tolist()
    np.testing.assert_allclose(last.figures["confidence"], probabilities.max(1), rtol=1e-5)
    np.testing.assert_allclose(last.figures["sum"], direct.values.sum(1), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(last.figures["mean"], direct.values.mean(0), rtol=1e-4, atol=1e-6)
    meta = last.meta
    assert (meta["method"], meta["signed"], meta["additive"]) == (
        "integrated_gradients",
        True,
        True,
    )
    assert meta["target"] == meta["score_name"] == "log-odds"
    assert meta["inputs"] == {"x": {"shape": [D], "kind": "flat"}}
    assert [r.meta["epoch"] for r in log.records(".", "integrated_gradients")] == [0, 1, 2, 3]
    assert callback.explain.traces() == 1


def test_step_0_is_the_untrained_model_and_there_before_the_first_batch(tmp_path: Path) -> None:
    model = mlp()
    untrained = gradients.saliency()(model)(X[:4], Y[:4])
    seen: list[list[int]] = []
    look = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: seen.append(steps(tmp_path))
    )
    fit(model, [SaliencyCallback(tmp_path, X[:4], Y[:4]), look], epochs=1)
    assert seen[0] == [0]
    first = reader.open(tmp_path).arrays(".", "saliency", 0)["x"]
    assert (np.abs(first - untrained.values) <= np.abs(untrained.values).max() / 1000).all()


def test_importance_is_logged_with_names_and_interval(tmp_path: Path) -> None:
    names = [f"column {i}" for i in range(D)]
    callback = PermutationImportanceCallback(tmp_path, X, Y, n_repeats=3, feature_names=names)
    history = fit(mlp(), [callback])
    log = reader.open(tmp_path)
    records = log.records(".", "permutation_importance")
    assert [r.step for r in records] == [0, 1, 2]
    assert all(r.kind == "importance" for r in records)
    figures = records[-1].figures
    assert (figures["low"] <= figures["mean"]).all()
    assert (figures["mean"] <= figures["high"]).all()
    assert log.feature_names(".", "permutation_importance") == names
    assert history["xai_permutation_importance_score"] == [r.meta["score"] for r in records[1:]]
    useful = np.maximum(figures["mean"], 0)
    share = history["xai_permutation_importance_top_share"][-1]
    np.testing.assert_allclose(share, useful.max() / useful.sum())
    assert callback.explain.traces() == 1


def test_what_columns_tell_without_a_model_is_in_the_frame(tmp_path: Path) -> None:
    fit(mlp(), [PermutationImportanceCallback(tmp_path, X, Y, n_repeats=2)])
    log = reader.open(tmp_path)
    frame = log.frame(".", "permutation_importance")
    for name in ("single_score", "single_low", "single_high", "scale"):
        first = log.records(".", "permutation_importance")[0].figures[name]
        np.testing.assert_array_equal(frame[name][:D], first)


def test_groups_keep_their_names(tmp_path: Path) -> None:
    groups = {"left": [0, 1], "right": [2, 3, 4]}
    fit(mlp(), [PermutationImportanceCallback(tmp_path, X, Y, n_repeats=2, groups=groups)])
    assert reader.open(tmp_path).feature_names(".", "permutation_importance") == ["left", "right"]


def test_probe_set_holds_examples_labels_and_names_and_is_written_once(tmp_path: Path) -> None:
    shared = {"example_names": ["a", "b"], "class_names": ["u", "v", "w"]}
    fit(
        mlp(),
        [
            SaliencyCallback(tmp_path, X[:2], Y[:2], **shared),
            IntegratedGradientsCallback(tmp_path, X[:2], Y[:2], n_steps=2, **shared),
        ],
    )
    log = reader.open(tmp_path)
    hashes = {log.records(".", tag)[0].meta["probe"] for tag in log.tags(".")}
    assert len(hashes) == len(list(tmp_path.rglob("probe-*"))) == 1
    probe = log.probe(".", hashes.pop())
    np.testing.assert_array_equal(probe.inputs["x"], X[:2])
    np.testing.assert_array_equal(probe.labels, Y[:2])
    assert {name: probe.meta[name] for name in shared} == shared


def test_probe_set_stays_when_the_arrays_it_came_from_change(tmp_path: Path) -> None:
    x, y = X[:4].copy(), Y[:4].copy()

    def change(epoch: int, logs: Any) -> None:
        x.fill(0.0)
        y[:] = (y + 1) % K

    model = mlp()
    model.optimizer.learning_rate = 0.0
    changing = keras.callbacks.LambdaCallback(on_epoch_begin=change)
    fit(model, [SaliencyCallback(tmp_path, x, y), changing])
    first, *later = reader.open(tmp_path).records(".", "saliency")
    assert len(later) == 2
    assert not x.any()
    for record in later:
        np.testing.assert_array_equal(record.figures["output"], first.figures["output"])


def test_scalars_are_written_for_the_scalars_tab(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing import event_accumulator

    fit(
        mlp(),
        [
            IntegratedGradientsCallback(tmp_path, X[:4], Y[:4], tag="ig", n_steps=2),
            SaliencyCallback(tmp_path, X[:4], Y[:4], scalars=False),
        ],
    )
    events = event_accumulator.EventAccumulator(str(tmp_path / "xai")).Reload()
    figures = ("infidelity", "faithfulness", "max_sensitivity", "deletion", "insertion")
    plain = ("gap", "sum_abs", "entropy", "seconds", "gini", "randomisation")
    tags = {f"xai/ig/{name}" for name in (*plain, *figures)}
    assert {tag for tag in events.Tags()["tensors"] if tag.startswith("xai/")} == tags
    assert [event.step for event in events.Tensors("xai/ig/gap")] == [0, 1, 2]


def test_figures_reach_keras_logs_and_callbacks_that_stand_later(tmp_path: Path) -> None:
    model = mlp()
    best = tmp_path / "best.weights.h5"
    stop = keras.callbacks.EarlyStopping("xai_saliency_sum_abs", mode="max", patience=0)
    save = keras.callbacks.ModelCheckpoint(
        best, "xai_saliency_entropy", mode="min", save_best_only=True, save_weights_only=True
    )
    table = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = fit(
        model,
        [SaliencyCallback(tmp_path / "log", X[:4], Y[:4], every=2), save, table, stop],
        epochs=6,
    )
    # Epoch 1 is left out and holds what step 0 measured; epoch 2 equals or beats it, and so on.
    column = history["xai_saliency_sum_abs"]
    logged = reader.open(tmp_path / "log").frame(".", "saliency")
    per_step = {
        step: logged["sum_abs"][logged["step"] == step].mean() for step in set(logged["step"])
    }
    np.testing.assert_allclose(column[0], per_step[0], rtol=1e-6)
    np.testing.assert_allclose(column[1], per_step[2], rtol=1e-6)
    assert best.exists()
    assert (tmp_path / "log.csv").read_text().count("\n") == 1 + len(column)
    assert len(column) == 6 or stop.stopped_epoch == len(column) - 1


# --- schedule -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "epochs", "expected"),
    [
        ({}, 3, [0, 1, 2, 3]),
        ({"every": 2}, 5, [0, 2, 4, 5]),
        ({"every": 10}, 3, [0, 3]),
        ({"every": lambda done: done in (1, 4)}, 5, [0, 1, 4, 5]),
        ({"every_n_batches": 3}, 2, [0, 3, 6, 8]),
        ({"every_n_batches": 4}, 2, [0, 4, 8]),
        ({"every_n_batches": 100}, 1, [0, 4]),
    ],
)
def test_schedule(tmp_path: Path, schedule: Any, epochs: int, expected: list[int]) -> None:
    history = fit(mlp(), [SaliencyCallback(tmp_path, X[:4], Y[:4], **schedule)], epochs=epochs)
    assert steps(tmp_path) == expected
    assert len(history["xai_saliency_entropy"]) == epochs
    last = reader.open(tmp_path).records(".", "saliency")[-1].meta["for_keras_logs"]
    assert history["xai_saliency_entropy"][-1] == last["entropy"]


def test_epoch_is_a_fraction_between_batches(tmp_path: Path) -> None:
    fit(mlp(), [SaliencyCallback(tmp_path, X[:4], Y[:4], every_n_batches=3)])
    epochs = [r.meta["epoch"] for r in reader.open(tmp_path).records(".", "saliency")]
    np.testing.assert_allclose(epochs, [0, 0.75, 1.5, 2], atol=1e-6)


def test_the_last_epoch_is_logged_when_training_stops_early(tmp_path: Path) -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 2

    model = mlp()
    fit(model, [SaliencyCallback(tmp_path, X[:4], Y[:4], every=2), Stop()], epochs=9)
    assert steps(tmp_path) == [0, 2, 3]


def test_only_steps_within_an_epoch_cost_the_async_dispatch(tmp_path: Path) -> None:
    # Keras looks at this mark of the bound hook to decide whether callbacks may run aside.
    if not hasattr(keras.callbacks.Callback.on_train_batch_end, "_is_default"):
        pytest.skip("this Keras never runs callbacks aside")
    default = SaliencyCallback(tmp_path, X, Y)
    assert getattr(default.on_train_batch_end, "_is_default", False)
    batches = SaliencyCallback(tmp_path, X, Y, every_n_batches=1)
    assert not getattr(batches.on_train_batch_end, "_is_default", False)


def test_a_restart_continues_the_series(tmp_path: Path) -> None:
    model = mlp()
    fit(model, [SaliencyCallback(tmp_path, X[:4], Y[:4])], epochs=3)
    fit(model, [SaliencyCallback(tmp_path, X[:4], Y[:4])], epochs=5, initial_epoch=3)
    assert steps(tmp_path) == [0, 1, 2, 3, 4, 5]


def test_a_restart_explains_the_weights_that_were_restored(tmp_path: Path) -> None:
    model = mlp()
    backup = tmp_path / "backup"

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    keep = keras.callbacks.BackupAndRestore
    with pytest.raises(KeyboardInterrupt):
        fit(model, [keep(backup, delete_checkpoint=False), Interrupt()], epochs=4)
    trained = gradients.saliency()(model)(X[:4], Y[:4]).values
    fresh = mlp()
    fit(fresh, [SaliencyCallback(tmp_path, X[:4], Y[:4]), keep(backup)], epochs=3)
    assert steps(tmp_path) == [2, 3]
    first = reader.open(tmp_path).arrays(".", "saliency", 2)["x"]
    assert np.abs(first - trained).max() <= np.abs(trained).max() / 1000


@pytest.mark.parametrize(("at_once", "expected"), [(2, [0, 2, 4, 6, 8]), (3, [0, 3, 4, 7, 8])])
def test_batches_are_counted_as_they_are_when_several_are_one_execution(
    tmp_path: Path, at_once: int, expected: list[int]
) -> None:
    model = mlp()
    model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=at_once)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fit(model, [SaliencyCallback(tmp_path, X[:4], Y[:4], every_n_batches=1)])
    if any("ran out of data" in str(w.message) for w in told):
        pytest.skip("this Keras drops an execution that is short")
    assert steps(tmp_path) == expected
    epochs = [r.meta["epoch"] for r in reader.open(tmp_path).records(".", "saliency")]
    np.testing.assert_allclose(epochs, np.array(expected) / BATCHES)


def test_budget_leaves_out_what_would_cost_too_much(tmp_path: Path) -> None:
    fit(mlp(), [SaliencyCallback(tmp_path / "a", X[:4], Y[:4], budget=1e-9)], epochs=4)
    assert steps(tmp_path / "a") == [0, 4]
    meta = reader.open(tmp_path / "a").records(".", "saliency")[-1].meta
    assert (meta["budget"], meta["skipped"]) == (1e-9, 3)

    class Slow(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            time.sleep(0.05)

    fit(mlp(), [SaliencyCallback(tmp_path / "b", X[:4], Y[:4], budget=1.0), Slow()], epochs=3)
    assert steps(tmp_path / "b") == [0, 1, 2, 3]


# --- probe sets ---------------------------------------------------------------------------------


class Rows(keras.utils.PyDataset):
    def __init__(self, size: int = 12) -> None:
        super().__init__()
        self.size = size
        self.rng = np.random.default_rng(5)

    def __len__(self) -> int:
        return N // self.size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(index * self.size, (index + 1) * self.size)
        noise = self.rng.normal(size=(self.size, 1)) + random.random()
        noise += np.random.rand()  # noqa: NPY002
        return (X[part] + 1e-3 * noise).astype("float32"), Y[part]


@pytest.mark.parametrize(
    ("examples", "labels"),
    [
        (X[:16].tolist(), Y[:16].tolist()),
        (tf.constant(X[:16]), tf.constant(Y[:16])),
        (X[:16].astype("float64"), Y[:16, None]),
        (X[:16], np.eye(K)[Y[:16]]),
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(5), None),
        (tf.data.Dataset.from_tensor_slices((X, Y)).repeat().batch(40), None),
        (Rows(), None),
    ],
    ids=["lists", "tensors", "float64", "one-hot", "tf.data", "endless tf.data", "PyDataset"],
)
def test_probe_sets_of_every_kind(tmp_path: Path, examples: Any, labels: Any) -> None:
    callback = SaliencyCallback(tmp_path, examples, labels, n_examples=16)
    fit(mlp(), [callback], epochs=1)
    log = reader.open(tmp_path)
    probe = log.probe(".", log.records(".", "saliency")[0].meta["probe"])
    np.testing.assert_allclose(probe.inputs["x"], X[:16], atol=0.01)
    assert log.arrays(".", "saliency", 1)["x"].shape == (16, D)


def test_a_shuffled_dataset_is_drawn_once_and_kept(tmp_path: Path) -> None:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(N, seed=1).batch(8)
    callback = SaliencyCallback(tmp_path, data)
    model = mlp()
    fit(model, [callback])
    fit(model, [callback])
    log = reader.open(tmp_path)
    assert len({r.meta["probe"] for r in log.records(".", "saliency")}) == 1
    probe = log.probe(".", log.records(".", "saliency")[0].meta["probe"])
    assert probe.inputs["x"].shape == (16, D)
    assert not np.allclose(probe.inputs["x"], X[:16])


@pytest.mark.parametrize("form", ["dict", "list"])
def test_several_inputs(tmp_path: Path, form: str) -> None:
    keras.utils.set_random_seed(0)
    left, right = keras.Input((2,), name="left"), keras.Input((3,), name="right")
    hidden = layers.Dense(4, activation="tanh")(layers.Concatenate()([left, right]))
    inputs = {"left": left, "right": right} if form == "dict" else [left, right]
    model = keras.Model(inputs, layers.Dense(K, activation="softmax")(hidden))
    model.compile("sgd", "sparse_categorical_crossentropy")
    parts = {"left": X[:, :2], "right": X[:, 2:]}
    x: Any = parts if form == "dict" else list(parts.values())
    names = {"left": ["a", "b"], "right": ["c", "d", "e"]}
    few = {k: v[:4] for k, v in parts.items()} if form == "dict" else [v[:4] for v in x]
    fit(
        model,
        [
            SaliencyCallback(tmp_path, few, Y[:4], feature_names=names),
            PermutationImportanceCallback(tmp_path, x, Y, n_repeats=2),
        ],
        x=x,
    )
    log = reader.open(tmp_path)
    arrays = log.arrays(".", "saliency", 2)
    assert {name: arrays[name].shape for name in arrays} == {"left": (4, 2), "right": (4, 3)}
    record = log.records(".", "saliency")[-1]
    assert record.figures["right.mean_abs"].shape == (3,)
    assert set(record.meta["inputs"]) == {"left", "right"}
    assert len(log.feature_names(".", "permutation_importance") or []) == 5


def test_a_data_frame_names_its_columns(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcde"))
    frame["b"] = frame["b"] > 0  # numbers and flags together
    fit(
        mlp(),
        [
            SaliencyCallback(tmp_path, frame[:4], Y[:4]),
            PermutationImportanceCallback(tmp_path, frame, pandas.Series(Y), n_repeats=2),
        ],
    )
    log = reader.open(tmp_path)
    for tag in ("saliency", "permutation_importance"):
        assert log.feature_names(".", tag) == list("abcde")


def test_one_list_names_the_columns_of_several_inputs(tmp_path: Path) -> None:
    inputs = {"left": keras.Input((2,), name="left"), "right": keras.Input((3,), name="right")}
    joined = layers.Concatenate()(list(inputs.values()))
    model = keras.Model(inputs, layers.Dense(K, activation="softmax")(joined))
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = {"left": X[:, :2], "right": X[:, 2:]}
    named = PermutationImportanceCallback(
        tmp_path, x, Y, n_repeats=2, feature_names=list("abcde"), tag="named"
    )
    left_over = {**x, "unread": X[:, :1]}
    more = PermutationImportanceCallback(tmp_path, left_over, Y, n_repeats=2, tag="more")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The structure of `inputs`", UserWarning)
        fit(model, [named, more], x=x)
    log = reader.open(tmp_path)
    assert log.feature_names(".", "named") == list("abcde")
    assert log.records(".", "more")[-1].figures["mean"][-1] == 0
    short = PermutationImportanceCallback(tmp_path, x, Y, n_repeats=2, feature_names=list("abc"))
    with pytest.raises(ValueError, match=r"feature_names must .* 5 columns\. Received: 3 names"):
        fit(model, [short], x=x)


def test_names_may_be_columns_keys_and_arrays(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    columns = pandas.Index(list("abcde"))
    classes = {"one": 1, "two": 2, "three": 3}.keys()
    fit(
        mlp(),
        [
            SaliencyCallback(
                tmp_path,
                X[:4],
                Y[:4],
                feature_names=np.array(columns),
                class_names=classes,
                example_names=pandas.RangeIndex(4),
            ),
            PermutationImportanceCallback(tmp_path, X, Y, n_repeats=2, feature_names=columns),
        ],
    )
    log = reader.open(tmp_path)
    for tag in ("saliency", "permutation_importance"):
        assert log.feature_names(".", tag) == list("abcde")
    meta = log.probe(".", log.records(".", "saliency")[0].meta["probe"]).meta
    assert meta["class_names"] == list(classes)
    assert meta["example_names"] == list("0123")


@pytest.mark.parametrize(
    ("units", "activation", "labels"),
    [(1, "sigmoid", Y > 0), (1, None, None), (K, None, Y), (K, "sigmoid", Y)],
    ids=["one sigmoid", "regression", "logits", "many sigmoids"],
)
def test_heads(tmp_path: Path, units: int, activation: str | None, labels: Any) -> None:
    model = mlp(units=units, activation=activation)
    some = None if labels is None else labels[:6]
    goal = X[:, :units] if activation is None else (X[:, :units] > 0).astype("float32")
    fit(model, [SaliencyCallback(tmp_path, X[:6], some)], y=goal)
    figures = reader.open(tmp_path).records(".", "saliency")[-1].figures
    out = model(X[:6]).numpy()
    if units == 1 and activation is None:
        assert "predicted" not in figures
    elif units == 1:
        assert figures["predicted"].tolist() == (out[:, 0] > 0.5).astype(int).tolist()
        np.testing.assert_allclose(figures["confidence"], np.maximum(out, 1 - out)[:, 0], rtol=1e-5)
    else:
        assert figures["predicted"].tolist() == out.argmax(1).tolist()
        assert (figures["confidence"] <= 1).all()


def test_one_output_of_several(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    source = keras.Input((D,))
    hidden = layers.Dense(4, activation="relu")(source)
    outputs = {
        "kind": layers.Dense(K, activation="softmax", name="kind")(hidden),
        "size": layers.Dense(1, name="size")(hidden),
    }
    model = keras.Model(source, outputs)
    model.compile("sgd", {"kind": "sparse_categorical_crossentropy", "size": "mse"})
    callback = SaliencyCallback(tmp_path, X[:4], Y[:4], target=targets.of_output("kind"))
    fit(model, [callback], y={"kind": Y, "size": X[:, :1]})
    figures = reader.open(tmp_path).records(".", "saliency")[-1].figures
    assert figures["predicted"].tolist() == model(X[:4])["kind"].numpy().argmax(1).tolist()


# --- training does not notice -------------------------------------------------------------------


def generator() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    while True:
        rows = np.random.randint(0, N, 12)  # noqa: NPY002
        yield X[rows] + np.float32(random.random()), Y[rows]


class Lazy(keras.Model):
    """A model that nothing is known of before its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = [layers.Dense(6, activation="relu"), layers.Dropout(0.3), layers.Dense(K)]

    def call(self, x: Any, training: bool | None = None) -> Any:
        hidden = self.parts[1](self.parts[0](x), training=training)
        return keras.ops.softmax(self.parts[2](hidden))


def run(kind: str, log_dir: Path | None) -> list[np.ndarray]:
    """Train in one way, with callbacks or without, and return everything that training leaves."""
    keras.utils.clear_session()  # older Keras keeps its own generator when it is given a seed
    keras.utils.set_random_seed(3)
    head = [layers.Dense(K, activation="softmax", dtype="float32")]
    stack = [layers.Dense(6, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.3)]
    if kind == "mixed":
        stack = [
            layers.Dense(6, activation="relu", dtype="mixed_float16"),
            layers.BatchNormalization(dtype="mixed_float16"),
            layers.Dropout(0.3, dtype="mixed_float16"),
        ]
    model = Lazy() if kind == "lazy" else keras.Sequential([keras.Input((D,)), *stack, *head])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    slices = tf.data.Dataset.from_tensor_slices((X, Y))
    noise = layers.GaussianNoise(0.1)
    data: Any = {
        "tf.data": slices.shuffle(N).batch(12).prefetch(2),
        "augmented": slices.batch(12).map(lambda x, y: (noise(x, training=True), y)),
        "PyDataset": Rows(),
        "generator": generator(),
    }.get(kind)
    probe = (X[:8], Y[:8]) if data is None or kind == "generator" else (data, None)
    callbacks = (
        []
        if log_dir is None
        else [
            SaliencyCallback(log_dir, *probe),
            IntegratedGradientsCallback(log_dir, *probe, n_steps=2),
            AttributionCallback(log_dir, *probe, method=gradients.smooth_grad(n_samples=2)),
            PermutationImportanceCallback(log_dir, *probe, n_repeats=2),
            ModelHealthCallback(log_dir, *probe, gradient_check=kind != "lazy"),
            *([SaliencyCallback(log_dir, *probe, tag="b", every_n_batches=3)] * (kind == "arrays")),
        ]
    )
    options = {"steps_per_epoch": 4} if kind == "generator" else {}
    arguments = (X, Y) if data is None else (data,)
    history = model.fit(
        *arguments,
        epochs=2,
        batch_size=12 if data is None else None,
        shuffle=data is None,
        verbose=0,
        validation_data=(X[:12], Y[:12]),
        callbacks=callbacks,
        **options,
    ).history
    state = [
        np.asarray(v) for v in (*model.variables, *model.optimizer.variables, *noise.variables)
    ]
    state += [np.array(v) for name, v in sorted(history.items()) if not name.startswith("xai_")]
    if kind != "generator":  # Keras' own thread draws ahead of the end by chance
        state.append(np.array(random.getstate()[1]))
        state.append(np.random.get_state()[1])  # noqa: NPY002
        state.append(keras.random.uniform((3,)).numpy())
    return [*state, tf.random.uniform((3,)).numpy()]


@pytest.mark.parametrize(
    "kind",
    ["arrays", "tf.data", "augmented", "PyDataset", "generator", "mixed", "lazy"],
)
def test_fit_with_callbacks_equals_fit_without_bit_for_bit(kind: str, tmp_path: Path) -> None:
    without, with_all = run(kind, None), run(kind, tmp_path)
    assert len(reader.open(tmp_path).tags(".")) >= 4
    assert len(without) == len(with_all) > 10
    for a, b in zip(without, with_all, strict=True):
        np.testing.assert_array_equal(a, b)


# --- several fits, interruptions, faults --------------------------------------------------------


def test_one_instance_serves_several_fits(tmp_path: Path) -> None:
    callback = SaliencyCallback(tmp_path, X[:4], Y[:4])
    model = mlp()
    fit(model, [callback], epochs=3)
    fit(mlp(), [callback], epochs=1)
    assert steps(tmp_path) == [0, 1]
    assert not list(tmp_path.rglob("*.tmp"))


class InterruptAt(keras.callbacks.Callback):
    def __init__(self, epoch: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        super().__init__()
        self.epoch, self.error = epoch, error

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_fit_keeps_what_was_logged(tmp_path: Path, error: Any) -> None:
    callback = SaliencyCallback(tmp_path, X[:4], Y[:4])
    model = mlp()
    with pytest.raises(error):
        fit(model, [callback, InterruptAt(2, error)], epochs=5)
    assert steps(tmp_path) == [0, 1, 2]
    other = SaliencyCallback(tmp_path, X[:4], Y[:4])  # the first one is still alive
    fit(model, [other], epochs=5, initial_epoch=2)
    assert steps(tmp_path) == [0, 1, 2, 3, 4, 5]
    fit(model, [callback], epochs=1)
    assert steps(tmp_path) == [0, 1]


def test_two_callbacks_of_one_tag_are_refused(tmp_path: Path) -> None:
    pair = [SaliencyCallback(tmp_path, X[:4], Y[:4]) for _ in range(2)]
    with pytest.raises(ValueError, match=r"different tags.* Received: tag='saliency' twice"):
        fit(mlp(), pair)
    fit(mlp(), [pair[0], SaliencyCallback(tmp_path, X[:4], Y[:4], tag="other")])
    assert steps(tmp_path, "other") == [0, 1, 2]


class Break(keras.callbacks.Callback):
    """Puts a file where the log directory was, and takes it away again."""

    def __init__(self, log_dir: Path, first: int, last: int) -> None:
        super().__init__()
        self.log_dir, self.first, self.last = log_dir, first, last

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.first:
            shutil.rmtree(self.log_dir)
            self.log_dir.write_text("in the way")
        if epoch == self.last:
            self.log_dir.unlink()


def sentences(warned: Any) -> list[str]:
    """What we warned of; frameworks may warn of themselves in between."""
    return [str(w.message) for w in warned if w.category is RuntimeWarning]


def test_training_survives_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    log_dir = tmp_path / "log"
    callback = SaliencyCallback(log_dir, X[:4], Y[:4])
    with pytest.warns(RuntimeWarning) as warned:
        history = fit(mlp(), [callback, Break(log_dir, 1, 3)], epochs=5)
    assert len(history["loss"]) == 5
    told = sentences(warned)
    assert len(told) == 1  # nothing is lost in the end, so nothing more is said
    assert "could not write step 2; training goes on" in told[0]
    assert steps(log_dir) == [2, 3, 4, 5]  # what waited is written first
    log = reader.open(log_dir)
    assert log.probe(".", log.records(".", "saliency")[0].meta["probe"]).inputs["x"].shape == (4, D)


def test_what_is_lost_is_said_at_the_end(tmp_path: Path) -> None:
    log_dir = tmp_path / "log"
    callback = SaliencyCallback(log_dir, X[:4], Y[:4])
    with pytest.warns(RuntimeWarning) as warned:
        fit(mlp(), [callback, Break(log_dir, 1, 99)], epochs=8)
    told = sentences(warned)
    assert len(told) == 2
    assert "lacks steps of 'saliency'" in told[1]
    assert told[1].endswith("Received: 7 steps, [2, 3, 4, 5, 6, 7, 8]")


def test_strict_raises_when_the_log_cannot_be_written(tmp_path: Path) -> None:
    log_dir = tmp_path / "log"
    callback = SaliencyCallback(log_dir, X[:4], Y[:4], strict=True)
    with pytest.raises((ValueError, OSError)):
        fit(mlp(), [callback, Break(log_dir, 1, 99)], epochs=3)


class Poison(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.model.layers[-1].kernel.assign(np.full((6, K), np.nan))


def test_weights_of_nan_are_logged_as_nan(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="alarm at step 2"):
        history = fit(
            mlp(),
            [
                IntegratedGradientsCallback(tmp_path, X[:4], Y[:4], n_steps=2),
                PermutationImportanceCallback(tmp_path, X, Y, n_repeats=2),
                Poison(),
            ],
        )
    log = reader.open(tmp_path)
    assert steps(tmp_path, "integrated_gradients") == [0, 1, 2]
    assert np.isnan(log.arrays(".", "integrated_gradients", 2)["x"]).all()
    figures = log.records(".", "integrated_gradients")[-1].figures
    assert figures["predicted"].tolist() == [-1] * 4
    assert np.isnan(figures["entropy"]).all()
    assert np.isfinite(history["xai_integrated_gradients_entropy"][0])
    assert np.isnan(history["xai_integrated_gradients_entropy"][1])
    assert np.isnan(history["xai_permutation_importance_score"][1])


def picky(outputs: Any, y: Any) -> Any:
    score = tf.gather(outputs, y, axis=1, batch_dims=1)
    with tf.control_dependencies([tf.debugging.assert_all_finite(score, "not finite")]):
        return tf.identity(score)


def test_an_explanation_that_fails_later_does_not_stop_training(tmp_path: Path) -> None:
    callback = SaliencyCallback(tmp_path, X[:4], Y[:4], target=picky)
    with pytest.warns(RuntimeWarning) as warned:
        history = fit(mlp(), [callback, Poison()], epochs=4)
    assert steps(tmp_path) == [0, 1]
    assert len(history["loss"]) == 4
    assert np.isnan(history["xai_saliency_sum_abs"][1:]).all()
    told = sentences(warned)
    assert "could not explain step 2; training goes on" in told[0]
    assert told[1].endswith("could not be explained. Received: 3 steps, [2, 3, 4]")
    strict = SaliencyCallback(tmp_path, X[:4], Y[:4], target=picky, tag="s", strict=True)
    with pytest.raises(tf.errors.InvalidArgumentError):
        fit(mlp(), [strict, Poison()])


def test_a_callback_without_a_fit_holds_no_file_open(tmp_path: Path) -> None:
    model = mlp()
    with pytest.raises(RuntimeError):
        fit(model, [SaliencyCallback(tmp_path, X[:4], Y[:4]), InterruptAt(0, RuntimeError)])
    model = None
    gc.collect()
    descriptors = Path("/proc/self/fd")
    if descriptors.is_dir():
        links = [d.readlink() for d in descriptors.iterdir() if d.is_symlink()]
        assert not [link for link in links if str(tmp_path) in str(link)]


# --- bad input ----------------------------------------------------------------------------------

NAN = X[:4].copy()
NAN[2, 1] = np.nan
WRONG_AT_ONCE: list[tuple[str, Callable[[Path], Any], str]] = [
    ("log_dir", lambda d: SaliencyCallback(None, X, Y), "log_dir must be .*Received: None"),
    (
        "x first",
        lambda d: SaliencyCallback(X, Y, d),
        r"log_dir .*Received: array of shape \(48, 5\)$",
    ),
    (
        "nobody's log_dir",
        lambda d: SaliencyCallback("~nobody.here/a", X, Y),
        "log_dir .*Received: '~",
    ),
    (
        "every of nothing",
        lambda d: SaliencyCallback(d, X, Y, every=lambda: True),
        "every must take the number of finished epochs.*Received: <function",
    ),
    ("empty log_dir", lambda d: SaliencyCallback("", X, Y), "log_dir must be .*Received: ''"),
    ("every", lambda d: SaliencyCallback(d, X, Y, every=0), "every must be .*Received: 0"),
    ("every float", lambda d: SaliencyCallback(d, X, Y, every=1.5), "every must .*Received: 1.5"),
    (
        "every_n_batches",
        lambda d: SaliencyCallback(d, X, Y, every_n_batches=-1),
        "every_n_batches must be .*Received: -1",
    ),
    (
        "both schedules",
        lambda d: SaliencyCallback(d, X, Y, every=2, every_n_batches=2),
        "every and every_n_batches must not .*Received: every=2",
    ),
    ("budget", lambda d: SaliencyCallback(d, X, Y, budget=0), "budget must be .*Received: 0"),
    ("large budget", lambda d: SaliencyCallback(d, X, Y, budget=1.5), "budget .*Received: 1.5"),
    ("seed", lambda d: SaliencyCallback(d, X, Y, seed=-1), "seed must be .*Received: -1"),
    ("batch", lambda d: SaliencyCallback(d, X, Y, batch_size=0), "batch_size must .*Received: 0"),
    ("n_examples", lambda d: SaliencyCallback(d, X, Y, n_examples=0), "n_examples .*Received: 0"),
    ("tag", lambda d: SaliencyCallback(d, X, Y, tag=" "), "tag must be .*Received: ' '"),
    ("odd tag", lambda d: SaliencyCallback(d, X, Y, tag="a\udc80"), "tag must be .*Received: 'a"),
    ("NaN", lambda d: SaliencyCallback(d, NAN, Y[:4]), "x must be finite.*first of them 2$"),
    (
        "empty",
        lambda d: SaliencyCallback(d, X[:0], Y[:0]),
        r"at least one example.*Received: x of shape \(0, 5\)",
    ),
    ("no arrays", lambda d: SaliencyCallback(d, {}, None), "at least one array.*Received: {}"),
    ("None", lambda d: SaliencyCallback(d, None), "x must be an array.*Received: None"),
    (
        "generator",
        lambda d: SaliencyCallback(d, generator()),
        "x must be an array.*Received: <generator",
    ),
    (
        "iterator",
        lambda d: SaliencyCallback(d, iter(tf.data.Dataset.from_tensor_slices((X, Y)).batch(4))),
        "x must be an array, .*a tf.data.Dataset or a PyDataset. Received: <.*OwnedIterator",
    ),
    (
        "thresholds",
        lambda d: ModelHealthCallback(d, X, Y, thresholds=0.5),
        "thresholds must be a dictionary .*Received: 0.5$",
    ),
    (
        "loss",
        lambda d: ModelHealthCallback(d, X, Y, loss="mseee"),
        "loss must be a name of Keras.*Received: 'mseee'$",
    ),
    (
        "thing for a loss",
        lambda d: ModelHealthCallback(d, X, Y, loss={"a": 3}),
        "loss must be a name, .*Received: 3$",
    ),
    ("ragged", lambda d: SaliencyCallback(d, [[1.0], [1.0, 2.0]]), "x must be an array.*Received"),
    ("objects", lambda d: SaliencyCallback(d, np.array([[None]])), "x must be .*Received: array"),
    (
        "lengths",
        lambda d: SaliencyCallback(d, X[:4], Y[:3]),
        "same number of examples. Received: x 4, y 3",
    ),
    (
        "labels beside a dataset",
        lambda d: SaliencyCallback(d, Rows(), Y),
        "y and sample_weight must be left out.*Received: y=array",
    ),
    (
        "example_names",
        lambda d: SaliencyCallback(d, X[:4], Y[:4], example_names=["a"]),
        "example_names must have one name for each of the 4 examples. Received: 1",
    ),
    (
        "names as text",
        lambda d: SaliencyCallback(d, X[:4], Y[:4], class_names="abc"),
        "class_names must be a list of names. Received: 'abc'",
    ),
    (
        "method",
        lambda d: AttributionCallback(d, X, Y, method="saliency"),
        "method must be a binder.*Received: method='saliency'",
    ),
    (
        "target",
        lambda d: SaliencyCallback(d, X, Y, target="log_odds"),
        "target must be a.*Received: target='log_odds'",
    ),
    ("n_steps", lambda d: IntegratedGradientsCallback(d, X, Y, n_steps=0), "n_steps.*Received: "),
    (
        "metric",
        lambda d: PermutationImportanceCallback(d, X, Y, metric="nonsense"),
        "metric must .*Received: .*nonsense",
    ),
    (
        "n_repeats",
        lambda d: PermutationImportanceCallback(d, X, Y, n_repeats=0),
        "n_repeats must .*Received: .*0",
    ),
]


@pytest.mark.parametrize(
    ("make", "sentence"), [case[1:] for case in WRONG_AT_ONCE], ids=[c[0] for c in WRONG_AT_ONCE]
)
def test_refused_at_construction(tmp_path: Path, make: Any, sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        make(tmp_path)


WRONG_FOR_THE_MODEL: list[tuple[str, Callable[[Path], Any], str]] = [
    (
        "shape",
        lambda d: SaliencyCallback(d, X[:4, :3], Y[:4]),
        r"x must have .*Received: .*shape \(4, 3\)",
    ),
    ("no labels", lambda d: SaliencyCallback(d, X[:4]), "y must .*Received: None"),
    (
        "labels out of range",
        lambda d: SaliencyCallback(d, X[:4], Y[:4] + 7),
        "must be below 3 classes. Received: target=",
    ),
    (
        "class_names",
        lambda d: SaliencyCallback(d, X[:4], Y[:4], class_names=["a"]),
        "class_names must have one name for each of the 3 classes. Received: 1",
    ),
    (
        "feature_names",
        lambda d: SaliencyCallback(d, X[:4], Y[:4], feature_names=["a", "b"]),
        "feature_names must have .*Received: 2 names",
    ),
    (
        "unknown input",
        lambda d: SaliencyCallback(d, X[:4], Y[:4], feature_names={"z": list("abcde")}),
        "feature_names must have .*Received: 5 names for 'z'",
    ),
    (
        "unwritable",
        lambda d: SaliencyCallback((d / "file"), X[:4], Y[:4]),
        "^log_dir must be a directory that can be written. Received: log_dir='[^:]*: [^:]*$",
    ),
    (
        "a target that is not one score per example",
        lambda d: SaliencyCallback(d, X[:4], Y[:4], target=lambda outputs, y: outputs),
        "target must return one score per example.*Received: ",
    ),
    (
        "a target that fails",
        lambda d: SaliencyCallback(d, X[:4], Y[:4], target=lambda outputs, y: outputs["a"]),
        "Received: ",
    ),
    (
        "importance without labels",
        lambda d: PermutationImportanceCallback(d, X),
        "y must .*Received: None",
    ),
    (
        "importance shape",
        lambda d: PermutationImportanceCallback(d, X[:, :3], Y),
        r"x must have shape \(n, 5\) for input .*Received: shape \(48, 3\)$",
    ),
    (
        "health, class out of range",
        lambda d: ModelHealthCallback(d, X[:4], [0, 1, 2, 3]),
        "^target must be below 3 classes. Received: target=3$",
    ),
    (
        "health, negative class",
        lambda d: ModelHealthCallback(d, X[:4], [0, 1, 2, -3]),
        "^y must hold class numbers of at least 0. Received: -3$",
    ),
    (
        "health, one-hot labels of a loss that takes numbers",
        lambda d: ModelHealthCallback(d, X, np.eye(3)[Y]),
        r"^ModelHealthCallback must .*shape \(48, 5\) and y of shape \(48, 3\). Received: ValueErr",
    ),
    (
        "an operation that fails",
        lambda d: SaliencyCallback(
            d,
            X[:4],
            Y[:4],
            target=lambda o, y: tf.debugging.check_numerics(o[:, 0] / 0.0, "odd"),
        ),
        r"^SaliencyCallback must be able(?!.*(Detected at|node)).*Received: Invalid[^\n]*$",
    ),
    (
        "unknown column",
        lambda d: PermutationImportanceCallback(d, X, Y, groups={"a": ["zz"]}),
        "Received: .*zz",
    ),
]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [case[1:] for case in WRONG_FOR_THE_MODEL],
    ids=[c[0] for c in WRONG_FOR_THE_MODEL],
)
def test_refused_before_the_first_epoch(tmp_path: Path, make: Any, sentence: str) -> None:
    (tmp_path / "file").write_text("not a directory")
    begun: list[int] = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda b, logs: begun.append(b))
    with pytest.raises((ValueError, TypeError), match=sentence):
        fit(mlp(), [make(tmp_path), watch])
    assert not begun


def test_a_share_may_be_a_number_of_numpy(tmp_path: Path) -> None:
    assert SaliencyCallback(tmp_path, X[:4], Y[:4], budget=np.float32(0.5)).budget == 0.5


def test_one_callback_stands_once_in_a_fit(tmp_path: Path) -> None:
    callback = SaliencyCallback(tmp_path, X[:4], Y[:4])
    with pytest.raises(ValueError, match=r"must stand once.*Received: SaliencyCallback of tag"):
        fit(mlp(), [callback, callback])
    fit(mlp(), [callback])  # the next fit is another one
    assert steps(tmp_path) == [0, 1, 2]


def test_a_single_image_is_no_examples(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 1), name="image"), layers.Flatten(), layers.Dense(K, "softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.zeros((N, 8, 8, 1), "float32")
    with pytest.raises(
        ValueError, match=r"shape \(n, 8, 8, 1\) for input 'image'. Received: shape"
    ):
        fit(model, [SaliencyCallback(tmp_path, x[0], Y[:8])], x)
    fit(model, [SaliencyCallback(tmp_path, x[:4, ..., 0], Y[:4])], x)  # Keras adds the channel


def test_one_directory_under_two_names_is_one_directory(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for other in (tmp_path / "link", f"{tmp_path}/b/../a/"):
        twice = [SaliencyCallback(place, X[:4], Y[:4]) for place in (tmp_path / "a", other)]
        with pytest.raises(ValueError, match=r"must have different tags.*Received: tag='saliency'"):
            fit(mlp(), twice)


def test_an_input_without_gradient_is_refused(tmp_path: Path) -> None:
    model = keras.Sequential(
        [keras.Input((D,)), layers.Lambda(tf.round), layers.Dense(K, "softmax")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="Received: "):
        fit(model, [SaliencyCallback(tmp_path, X[:4], Y[:4])])


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (tf.data.Dataset.from_tensor_slices((X, Y)).take(0).batch(4), "probe set is empty"),
        (
            tf.data.Dataset.from_tensor_slices((X, Y)),
            r"x must be a dataset of batches, such as dataset.batch\(32\). Received: <",
        ),
    ],
    ids=["empty", "not batched"],
)
def test_datasets_that_are_refused(tmp_path: Path, data: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        fit(mlp(), [SaliencyCallback(tmp_path, data)])


# --- figures ------------------------------------------------------------------------------------


def test_strength_of_known_maps() -> None:
    maps = np.array([[1, 1, 1, -1], [0, 5, 0, 0], [0, 0, 0, 0], [1, np.nan, 0, 0]], "float32")
    found = strength([maps])
    np.testing.assert_allclose(found["entropy"], [np.log(4), 0, np.nan, np.nan], atol=1e-12)
    np.testing.assert_allclose(found["sum"], [2, 5, 0, np.nan])
    np.testing.assert_allclose(found["sum_abs"], [4, 5, 0, np.nan])
    np.testing.assert_allclose(found["peak"], [1, 5, 0, np.nan])
    halves = strength([maps[:2, :2], maps[:2, 2:]])
    np.testing.assert_allclose(halves["entropy"], found["entropy"][:2])


@pytest.mark.parametrize("n", [2, 3, 4, 8, 16, 200])
def test_interval_over_examples_is_students(n: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(n).normal(3, 1, (n, 4))
    found = by_feature(values)
    half = stats.t.ppf(0.975, n - 1) * np.abs(values).std(0, ddof=1) / np.sqrt(n)
    np.testing.assert_allclose(found["mean_abs"], np.abs(values).mean(0))
    np.testing.assert_allclose(found["mean_abs_high"] - found["mean_abs"], half, rtol=0.005)
    assert (found["mean_abs_low"] >= 0).all()
    np.testing.assert_allclose(found["mean"], values.mean(0))
    assert np.isnan(by_feature(values[:1])["mean_abs_low"]).all()


def test_predictions_of_each_head() -> None:
    logits = np.array([[2.0, 0.0], [np.nan, 1.0]])
    found = predictions(logits, Head("logits", 2), [])
    assert found["predicted"].tolist() == [0, -1]
    np.testing.assert_allclose(found["confidence"], [1 / (1 + np.exp(-2)), np.nan], rtol=1e-6)
    listed = predictions([logits, logits[:, :1]], Head("value", 0, "b"), ["a", "b"])
    assert listed["prediction"].shape == (2, 1)
    assert "predicted" not in listed
    assert predictions(np.zeros((2, 33)), Head("softmax", 33), [])["predicted"].shape == (2,)
    assert "prediction" not in predictions(np.zeros((2, 33)), Head("softmax", 33), [])
    assert predictions({"a": logits}, Head(), []) == {}


@pytest.mark.parametrize(
    ("shape", "dtype", "kind"),
    [
        ((2, 8, 8, 1), "float32", "image"),
        ((2, 28, 28), "float32", "image"),
        ((2, 50, 3), "float32", "sequence"),
        ((2, 30), "float32", "flat"),
        ((2, 30), "int32", "sequence"),
        ((2, 4, 4, 4, 1), "float32", "other"),
    ],
)
def test_kind_of_an_input(shape: tuple[int, ...], dtype: str, kind: str) -> None:
    assert kind_of(np.zeros(shape, dtype)) == kind


@pytest.mark.parametrize("dtype", ["int64", "bool", "uint8"])
def test_whole_numbers_are_columns_where_the_model_reads_floats(tmp_path: Path, dtype: str) -> None:
    x = (X > 0).astype(dtype)
    fit(mlp(), [SaliencyCallback(tmp_path, x[:6], Y[:6])], x)
    assert reader.open(tmp_path).records(".", "saliency")[0].meta["inputs"]["x"]["kind"] == "flat"


@pytest.mark.parametrize("take", [np.array, tf.constant])
def test_bfloat16_is_numbers(tmp_path: Path, take: Any) -> None:
    x = take(X.astype(tf.bfloat16.as_numpy_dtype))
    near = np.asarray(x).astype("float32")
    model = mlp()
    np.testing.assert_array_equal(
        gradients.saliency()(model)(x, Y).values, gradients.saliency()(model)(near, Y).values
    )
    assert permutation_importance(model, x, Y).score == permutation_importance(model, near, Y).score
    fit(model, [ModelHealthCallback(tmp_path, x, Y), SaliencyCallback(tmp_path, x, Y)])
    assert steps(tmp_path) == [0, 1, 2]
    with pytest.raises(ValueError, match="x must be finite"):
        SaliencyCallback(tmp_path, x * np.nan, Y)


@pytest.mark.parametrize("declared", ["int32", "float32"])
def test_whole_numbers_are_a_sequence_where_they_are_embedded(
    tmp_path: Path, declared: str
) -> None:
    parts = [layers.Embedding(4, 3), layers.Flatten(), layers.Dense(K, "softmax")]
    model = keras.Sequential([keras.Input((D,), dtype=declared), *parts])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = (X > 0).astype("int32")
    fit(model, [SaliencyCallback(tmp_path, x[:6], Y[:6])], x)
    inputs = reader.open(tmp_path).records(".", "saliency")[0].meta["inputs"]
    assert inputs["x"]["kind"] == "sequence"


def test_no_warning_in_an_ordinary_training(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fit(mlp(), [SaliencyCallback(tmp_path, X[:4], Y[:4])])
