"""A chunk that does not fit into memory is halved, for every kind of method, and said once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tb_xai import reader, targets
from tb_xai.callbacks import AttributionCallback
from tb_xai.cam import layer_cam, score_cam
from tb_xai.gradients import Binder, integrated_gradients, saliency, smooth_grad
from tb_xai.perturbation import kernel_shap, occlusion

LAYERS = keras.layers


class Small(keras.Layer):
    """Passes rows on; a device on which only so many fit at once."""

    def __init__(self, rows: int, **rest: Any) -> None:
        super().__init__(**rest)
        self.rows = rows
        self.seen: list[int] = []

    def call(self, x: Any) -> Any:
        def count(n: np.ndarray) -> None:
            self.seen.append(int(n))
            if n > self.rows:
                raise MemoryError(f"OOM when allocating a tensor for {n} rows\nand more words")

        if tf.executing_eagerly():
            return x
        with tf.control_dependencies([tf.numpy_function(count, [tf.shape(x)[0]], [])]):
            return tf.identity(x)


def picky(rows: int) -> keras.Model:
    keras.utils.set_random_seed(3)
    layers = [LAYERS.Conv2D(2, 3, activation="relu", name="conv"), LAYERS.GlobalMaxPooling2D()]
    return keras.Sequential(
        [keras.Input((5, 5, 1)), Small(rows, name="small"), *layers, LAYERS.Dense(2)]
    )


X = np.random.default_rng(0).normal(size=(12, 5, 5, 1)).astype(np.float32)
Y = np.arange(12) % 2

METHODS: list[Callable[[], Binder]] = [
    saliency,
    lambda: integrated_gradients(4),
    lambda: smooth_grad(6),
    lambda: occlusion(2),
    lambda: kernel_shap(groups=[[0, 1], list(range(5, 20))]),
    lambda: layer_cam("conv"),
    lambda: score_cam("conv"),
]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m().method)
def test_a_chunk_is_halved_until_it_fits_and_said_once(method: Callable[[], Binder]) -> None:
    plenty, model = picky(10_000), picky(5)
    expected = method()(plenty)(X, Y)
    assert max(plenty.get_layer("small").seen) > 5
    explain = method()(model, batch_size=16)
    with pytest.warns(
        RuntimeWarning, match=r"batch_size=16 rows did not fit.*batch_size=4"
    ) as said:
        a = explain(X, Y)
    assert len(said) == 1
    assert said[0].filename == __file__
    np.testing.assert_allclose(a.values, expected.values, atol=1e-5)
    np.testing.assert_allclose(a.output, expected.output, atol=1e-5)
    traces = explain.traces()
    model.get_layer("small").seen.clear()
    explain(X + 1, Y)  # neither a warning nor a trace
    assert explain.traces() == traces
    assert max(model.get_layer("small").seen) <= 5


def test_what_fits_is_left_alone() -> None:
    model = picky(16)
    explain = saliency()(model, batch_size=16)
    explain(X, Y)
    assert explain.traces() == 1
    assert max(model.get_layer("small").seen) == 12


def test_single_rows_are_tried() -> None:
    explain = saliency()(picky(1), batch_size=4)
    with pytest.warns(RuntimeWarning, match="batch_size=1,"):
        assert explain(X, Y).values.shape == X.shape


def test_when_not_even_one_row_fits_a_sentence_says_so() -> None:
    explain = saliency()(picky(0), batch_size=2)
    with pytest.raises(
        ValueError, match=r"one row at a time.*Received: Resource.*batch_size=1$"
    ) as e:
        explain(X, Y)
    assert isinstance(e.value.__cause__, tf.errors.ResourceExhaustedError)
    assert "\n" not in str(e.value)


def test_other_errors_pass_through() -> None:
    with pytest.raises(ValueError, match="finite"):
        saliency()(picky(5))(np.full_like(X, np.nan), Y)


def test_a_callback_goes_on_with_less(tmp_path: Path) -> None:
    model = picky(10_000)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callback = AttributionCallback(
        tmp_path, X, Y, method=saliency(), target=targets.log_odds, batch_size=8
    )
    model.get_layer("small").rows = 4  # of the explanation; training uses batches of 3
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(X, Y, epochs=2, batch_size=3, verbose=0, callbacks=[callback])
    assert [str(w.message)[:12] for w in said if w.category is RuntimeWarning] == ["batch_size=8"]
    log = reader.open(tmp_path)
    assert log.steps(log.runs[0], "saliency") == [0, 1, 2]
