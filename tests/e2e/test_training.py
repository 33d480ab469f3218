"""Whole trainings in processes of their own: the demo, and one that is killed again and again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from tb_xai import reader

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}

TRAINING = """
import sys
import keras, numpy as np
from tb_xai.callbacks import IntegratedGradientsCallback, PermutationImportanceCallback
from tb_xai.callbacks import SaliencyCallback

log_dir, initial_epoch = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
x = rng.normal(size=(64, 12, 12, 1)).astype("float32")
y = (x.mean((1, 2, 3)) > 0).astype(int)
model = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Flatten(),
                          keras.layers.Dense(2, activation="softmax")])
model.compile("sgd", "sparse_categorical_crossentropy")
halves = np.arange(144).reshape(12, 12, 1) < 72
say = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch + 1, flush=True))
model.fit(x, y, epochs=100_000, initial_epoch=initial_epoch, verbose=0, callbacks=[
    SaliencyCallback(log_dir, x[:16], y[:16]),
    IntegratedGradientsCallback(log_dir, x[:16], y[:16], n_steps=4),
    PermutationImportanceCallback(log_dir, x, y, n_repeats=2,
                                  groups={"upper": halves, "lower": ~halves}),
    say])
"""
TAGS = ["integrated_gradients", "permutation_importance", "saliency"]


def test_a_killed_training_leaves_whole_steps_and_goes_on(tmp_path: Path) -> None:
    chance = random.Random(7)
    finished = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(tmp_path), str(finished)],
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        ) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first, "the training ended by itself"
            time.sleep(chance.uniform(0, 0.5))
            process.send_signal(signal.SIGKILL)
            said = [first, *process.stdout.read().split("\n")]
        last = max(int(line) for line in said if line.strip().isdigit())
        log = reader.open(tmp_path)
        assert sorted(log.tags(".")) == TAGS
        for tag in TAGS:
            found = log.steps(".", tag)
            # Every step of a finished epoch is there; the one that was being written may be.
            assert found == list(range(len(found)))
            assert last <= found[-1] <= last + 1
            assert log.missing(".", tag) == []
        for step in log.steps(".", "saliency"):
            values = log.arrays(".", "saliency", step)["x"]
            assert values.shape == (16, 12, 12, 1)
            assert np.isfinite(values).all()
        finished = min(log.steps(".", tag)[-1] for tag in TAGS)


def demo(log_dir: Path, *arguments: str) -> list[str]:
    # A shell that starts tests in the background has them ignore Ctrl-C, and their children too.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tb_xai import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    return [sys.executable, "-c", code, "demo", "--logdir", str(log_dir), *arguments]


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is a signal of POSIX")
def test_the_demo_trains_twice_and_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    started = time.perf_counter()
    done = subprocess.run(
        demo(tmp_path, "--no-serve", "--epochs", "3"),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    assert time.perf_counter() - started < 120
    assert done.stderr == ""
    assert "digits CNN  epoch  3/3" in done.stdout
    assert f"tensorboard --logdir {tmp_path}" in done.stdout
    log = reader.open(tmp_path)
    assert {run: sorted(log.tags(run)) for run in ("breast_cancer", "digits")} == {
        "breast_cancer": ["integrated_gradients", "permutation_importance"],
        "digits": ["integrated_gradients", "saliency", "smooth_grad"],
    }
    for run in ("breast_cancer", "digits"):
        for tag in log.tags(run):
            assert log.steps(run, tag) == [0, 1, 2, 3]
        assert list((tmp_path / run / "train").glob("events*"))  # Keras' graph and scalars
    assert (log.feature_names("breast_cancer", "permutation_importance") or [])[0] == "mean radius"

    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = subprocess.Popen(
            demo(tmp_path, "--epochs", "2", "--port", str(port)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=ENVIRONMENT,
        )
        try:
            assert process.stdout is not None
            link = next(line for line in process.stdout if "#xai" in line).split()[-1]
            assert link.startswith("http://localhost:")
            assert link.endswith("/#xai")
            assert f":{port}/" not in link
            with urllib.request.urlopen(link.removesuffix("#xai")) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert process.stdout.read().endswith("Stopped.\n")
        finally:
            process.kill()
            process.communicate()
    log = reader.open(tmp_path)
    assert log.steps("digits", "saliency") == [0, 1, 2]
