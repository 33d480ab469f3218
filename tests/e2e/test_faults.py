"""Disks that are full or gone, storage that fails, clocks that go back: training goes on."""

from __future__ import annotations

import contextlib
import itertools
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import keras
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tb_xai import reader
from tb_xai.callbacks import IntegratedGradientsCallback, PermutationImportanceCallback

ROOT = Path(__file__).resolve().parents[2]
X = np.random.default_rng(0).normal(size=(48, 16, 16, 1)).astype("float32")
Y = (X.mean((1, 2, 3)) > 0).astype("int64")
MAPS, COLUMNS = "integrated_gradients", "permutation_importance"
Event = Callable[[], object]


class At(keras.callbacks.Callback):
    """Does something at the beginning of some epochs."""

    def __init__(self, events: dict[int, Event]) -> None:
        super().__init__()
        self.events = events

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.events.get(epoch, lambda: None)()


def train(
    log_dir: str | Path | None, events: dict[int, Event] | None = None, epochs: int = 6
) -> tuple[list[float], np.ndarray]:
    """Losses and weights of a training; without a log directory, of one without callbacks."""
    keras.utils.set_random_seed(1)
    layers = [keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callbacks: list[Any] = [At(events or {})]
    if log_dir is not None:
        callbacks += [
            IntegratedGradientsCallback(log_dir, X[:16], Y[:16], n_steps=2),
            PermutationImportanceCallback(
                log_dir, X, Y, n_repeats=2, groups={"all": np.ones((16, 16, 1), bool)}
            ),
        ]
    history = model.fit(X, Y, epochs=epochs, batch_size=12, verbose=0, callbacks=callbacks).history
    return history["loss"], model.get_weights()[0]


def survives(
    log_dir: str | Path, events: dict[int, Event], epochs: int = 6
) -> tuple[reader.Log, list[str]]:
    """Train while things happen; the training must be the one without callbacks."""
    with pytest.warns(RuntimeWarning) as warned:
        loss, weights = train(log_dir, events, epochs)
    untouched = train(None, epochs=epochs)
    assert loss == untouched[0]
    np.testing.assert_array_equal(weights, untouched[1])
    log = reader.open(log_dir)
    for tag in (MAPS, COLUMNS):
        assert log.missing(".", tag) == []
        for step in log.steps(".", tag):
            record = log.record(".", tag, step)
            assert np.isfinite(record.figures["mean" if tag == COLUMNS else "output"]).all()
            assert all(np.isfinite(values).all() for values in record.arrays.values())
    told = [str(w.message) for w in warned if w.category is RuntimeWarning]
    return log, [sentence for sentence in told if "tb_xai" in sentence or "Callback" in sentence]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> None:
    with contextlib.suppress(OSError), (place / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_a_full_disk_that_is_freed_in_time_loses_nothing(small_disk: Path) -> None:
    events: dict[int, Event] = {
        2: lambda: fill(small_disk),
        4: (small_disk / "ballast").unlink,
    }
    log, told = survives(small_disk / "log", events)
    assert log.steps(".", MAPS) == log.steps(".", COLUMNS) == list(range(7))
    assert len(told) == 2
    assert all("could not write step" in sentence for sentence in told), told
    assert "No space left" in told[0]


def test_what_a_full_disk_cost_is_named_at_the_end(small_disk: Path) -> None:
    log, told = survives(small_disk / "log", {2: lambda: fill(small_disk)}, epochs=9)
    kept = log.steps(".", MAPS)
    assert kept == list(range(len(kept)))
    assert 3 <= len(kept) < 10
    assert any(f"lacks steps of {MAPS!r}" in sentence for sentence in told)
    assert not list((small_disk / "log").rglob("*.tmp"))


def test_a_disk_that_turns_read_only(small_disk: Path) -> None:
    def remount(how: str) -> Event:
        command = ["mount", "-o", f"remount,{how}", str(small_disk)]
        # A file that is open for writing keeps the kernel from it; then nothing is tried.
        return lambda: subprocess.run(command, capture_output=True, check=False)

    def lock() -> None:
        from tb_xai import summary

        for writer in list(summary._writers.values()):
            writer._shut()
        assert remount("ro")().returncode == 0  # type: ignore[attr-defined]

    log, told = survives(small_disk / "log", {2: lock, 4: remount("rw")})
    assert log.steps(".", MAPS) == list(range(7))
    assert "Read-only file system" in told[0]


def test_a_directory_that_vanishes_is_made_again(tmp_path: Path) -> None:
    log_dir = tmp_path / "log"
    train(log_dir, {3: lambda: shutil.rmtree(log_dir)})
    log = reader.open(log_dir)
    for tag in (MAPS, COLUMNS):
        assert log.steps(".", tag) == [4, 5, 6]
        assert log.missing(".", tag) == []
    assert log.probe(".", log.record(".", MAPS, 4).meta["probe"]).inputs["x"].shape == X[:16].shape


class Flaky(MemoryFileSystem):  # type: ignore[misc]
    """Storage that fails in one of three writes once it was told to, and is slow."""

    protocol = "flaky"
    chance = random.Random(0)
    failing = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("flaky://", "memory://")))

    def pipe_file(self, path: str, value: bytes, **options: Any) -> None:
        time.sleep(0.001)
        if Flaky.failing and Flaky.chance.random() < 1 / 3:
            raise ConnectionError("injected")
        super().pipe_file(path, value, **options)


def test_storage_that_fails_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setattr(Flaky, "failing", False)
    events: dict[int, Event] = {
        1: lambda: setattr(Flaky, "failing", True),
        10: lambda: setattr(Flaky, "failing", False),
    }
    log, told = survives("flaky://run", events, epochs=12)
    assert log.steps(".", MAPS) == log.steps(".", COLUMNS) == list(range(13))
    assert 1 <= len(told) <= 2
    assert "injected" in told[0]


def test_a_clock_that_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(2_000_000_000, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
    train(tmp_path, epochs=4)
    monkeypatch.undo()
    log = reader.open(tmp_path)
    assert log.steps(".", MAPS) == log.steps(".", COLUMNS) == list(range(5))


BOTH = """
import sys, time
import numpy as np
from tb_xai import summary
w = summary.writer(sys.argv[1])
for step in range(40):
    maps = {"x": np.full((2, 3, 4), step + 1, "float32")}
    w.write(summary.Record("t", step, time.time(), "attribution", {}, {}, maps))
"""


def test_two_trainings_into_one_directory_leave_whole_steps(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BOTH, str(tmp_path)]
    running = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    log = reader.open(tmp_path)
    found = log.steps(".", "t")
    assert found[-1] == 39
    assert log.missing(".", "t") == []
    for step in found:
        np.testing.assert_array_equal(log.arrays(".", "t", step)["x"], np.float32(step + 1))
