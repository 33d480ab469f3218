"""When a callback explains, how much of it, and how long its maps are kept."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tb_xai import gradients, reader, summary
from tb_xai.callbacks import (
    AttributionCallback,
    IntegratedGradientsCallback,
    ModelHealthCallback,
    PermutationImportanceCallback,
    SaliencyCallback,
    base,
)
from tb_xai.callbacks.base import logarithmic

N, D = 128, 5
X = np.random.default_rng(0).normal(size=(N, D)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


def fit(callbacks: list[Any], epochs: int = 3, **options: Any) -> Any:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((D,)), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(X, Y, epochs=epochs, batch_size=32, verbose=0, callbacks=callbacks, **options)
    return model


def test_the_logarithmic_schedule() -> None:
    for done in range(1, 2000):
        assert logarithmic(done) == (set(str(done)[1:]) <= {"0"})
    assert not logarithmic(0)


def test_log_is_a_schedule_and_other_words_are_not(tmp_path: Path) -> None:
    fit([SaliencyCallback(tmp_path, X[:4], Y[:4], every="log")], epochs=23)
    steps = reader.open(tmp_path).steps(".", "saliency")
    assert steps == [*range(11), 20, 23]
    with pytest.raises(ValueError, match=r'"log" or a callable. Received: \'linear\''):
        SaliencyCallback(tmp_path, X[:4], Y[:4], every="linear")
    with pytest.raises(ValueError, match="must not be given together"):
        SaliencyCallback(tmp_path, X[:4], Y[:4], every="log", every_n_batches=2)


# --- keep ---------------------------------------------------------------------------------------


def maps(log: reader.Log, tag: str) -> list[int]:
    """Steps whose maps can be read."""
    found = []
    for step in log.steps(".", tag):
        with contextlib.suppress(reader.Missing):
            log.arrays(".", tag, step)["x"]
            found.append(step)
    return found


@pytest.mark.parametrize(
    ("keep", "kept"),
    [(None, [*range(8)]), (2, [0, 6, 7]), (summary.Keep(1, every=3), [0, 3, 6, 7])],
)
def test_keep_leaves_figures_of_all_steps(tmp_path: Path, keep: Any, kept: list[int]) -> None:
    fit([SaliencyCallback(tmp_path, X[:4], Y[:4], keep=keep, quality=False)], epochs=7)
    log = reader.open(tmp_path)
    assert log.steps(".", "saliency") == list(range(8))
    assert np.isfinite(log.series(".", "saliency")["sum_abs"]).all()
    assert maps(log, "saliency") == kept


@pytest.mark.parametrize("keep", [0, -1, True, 1.5, "newest"])
def test_keep_that_deletes_everything_is_refused(tmp_path: Path, keep: Any) -> None:
    with pytest.raises(ValueError, match=r"keep must be a number of newest steps.*Received: "):
        SaliencyCallback(tmp_path, X[:4], Y[:4], keep=keep)


def test_a_log_that_would_fill_its_disk_is_said_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary.Writer, "free", lambda self: 20_000)
    both = [
        SaliencyCallback(tmp_path, X[:4], Y[:4], quality=False),
        SaliencyCallback(tmp_path, X[:4], Y[:4], quality=False, tag="second"),
    ]
    with pytest.warns(RuntimeWarning, match=r"will need about .* GB.*give keep=.*free") as warned:
        fit(both, epochs=20)
    assert len([w for w in warned if "will need" in str(w.message)]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit([SaliencyCallback(tmp_path, X[:4], Y[:4], quality=False, tag="c", keep=2)], epochs=5)


# --- budget -------------------------------------------------------------------------------------


class Slow(keras.callbacks.Callback):
    """Makes an epoch last this long, on a clock that only tests wind."""

    def __init__(self, clock: list[float], seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.clock[0] += self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(base.time, "perf_counter", lambda: now[0])
    return now


def costing(callback: Any, clock: list[float], seconds: float) -> Any:
    """Let each explanation of all examples and samples take so long."""
    bind = callback._bind

    def slow(model: Any, examples: Any, samples: float) -> Any:
        explained = bind(model, examples, samples)

        def wound() -> Any:
            clock[0] += seconds * len(examples) / callback._n * samples
            return explained()

        return wound

    callback._bind = slow
    return callback


def test_a_budget_gives_up_steps_then_examples_then_samples(
    tmp_path: Path, clock: list[float]
) -> None:
    method = gradients.smooth_grad(n_samples=32)
    callback = AttributionCallback(
        tmp_path, X[:16], Y[:16], method=method, budget=0.05, quality=False
    )
    fit([costing(callback, clock, 3.0), Slow(clock, 1.0)], epochs=60)
    log = reader.open(tmp_path)
    records = log.records(".", "smooth_grad")
    assert records[0].meta["skipped"] == 0
    assert len(records[0].figures["output"]) == 16
    assert "reduced" not in records[0].meta
    late = records[-2]
    assert late.meta["reduced"] == {"examples": [4, 16], "samples": 0.25}
    assert len(late.figures["output"]) == 4
    assert late.meta["params"]["n_samples"] == 8
    assert late.meta["skipped"] > 0
    assert log.arrays(".", "smooth_grad", late.step)["x"].shape == (4, D)
    spent = sum(record.meta["seconds"] for record in records[1:-1])
    assert spent <= 0.05 * 60
    np.testing.assert_array_equal(late.figures["output"].shape, (4,))


def test_a_budget_that_suffices_changes_nothing(tmp_path: Path, clock: list[float]) -> None:
    callback = IntegratedGradientsCallback(tmp_path, X[:8], Y[:8], budget=0.5, quality=False)
    fit([costing(callback, clock, 0.1), Slow(clock, 1.0)], epochs=6)
    records = reader.open(tmp_path).records(".", "integrated_gradients")
    assert [record.step for record in records] == list(range(7))
    assert all("reduced" not in record.meta for record in records)
    assert callback.explain.traces() == 1


def test_intervals_of_fewer_rows_are_wider(tmp_path: Path, clock: list[float]) -> None:
    callback = PermutationImportanceCallback(tmp_path, X, Y, budget=0.05)
    fit([costing(callback, clock, 0.5), Slow(clock, 1.0)], epochs=12)
    records = reader.open(tmp_path).records(".", "permutation_importance")
    whole, part = records[0], records[-2]
    assert part.meta["reduced"]["examples"] == [64, N]
    # The model has learned since, so that compare what the rows alone do: their errors' ratio.
    again = PermutationImportanceCallback(tmp_path / "again", X, Y)
    fit([again], epochs=part.step)
    full = reader.open(tmp_path / "again").record(".", "permutation_importance", part.step)
    assert part.figures["stderr"][0] > 1.1 * full.figures["stderr"][0]
    assert whole.meta["params"]["n_repeats"] == 10


def test_masks_of_each_example_follow_the_examples(tmp_path: Path, clock: list[float]) -> None:
    mask = np.zeros((16, D), bool)
    mask[:, 0] = True
    callback = SaliencyCallback(tmp_path, X[:16], Y[:16], budget=0.05, masks=mask)
    fit([costing(callback, clock, 1.0), Slow(clock, 1.0)], epochs=12)
    late = reader.open(tmp_path).records(".", "saliency")[-2]
    assert late.figures["mass.mask"].shape == (4,)


@pytest.mark.parametrize("budget", [0, -0.1, 1.1, "5 %", True, float("nan")])
def test_budgets_that_are_no_share_are_refused(tmp_path: Path, budget: Any) -> None:
    with pytest.raises(ValueError, match="budget must be a share of training time"):
        ModelHealthCallback(tmp_path, X, Y, budget=budget)


# --- what rules look back on, and what a terminal is told ---------------------------------------


def test_what_rules_look_back_on_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "HISTORY", 10)
    callback = SaliencyCallback(tmp_path, X[:4], Y[:4], quality=False)
    fit([callback], epochs=40)
    steps = [record.step for record in callback._history]
    assert len(steps) <= 10
    assert (steps[0], steps[-1]) == (0, 40)
    assert steps == sorted(set(steps))
    monkeypatch.setattr(base, "HISTORY_BYTES", 1)
    fit([callback], epochs=40)
    assert len(callback._history) <= 5


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_explanation_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with base._patience("saliency, step 3", 6.0):
        time.sleep(0.8)
    told = terminal.getvalue()
    assert re.search(r"\rexplaining saliency, step 3 \[=+ +\] \d+ of about 6 s", told)
    assert told.endswith("\r\033[K")
    monkeypatch.setattr(sys, "stderr", quick := Terminal())
    with base._patience("saliency, step 3", 1.0):
        pass
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    with base._patience("saliency, step 3", 60.0):
        time.sleep(0.6)
    assert quick.getvalue() == file.getvalue() == ""
