"""Trainings that are killed at random moments and go on: is every step whole?

Run: python -m benchmarks.kills [--kills 200] [--seed 0]

One process imports Keras and forks a training for each kill; TensorFlow starts its threads with the
first operation, so a child that has run none yet is a process like any other.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import report
from tb_xai import reader

ROOT = Path(__file__).resolve().parents[1]
TAGS = ["health", "integrated_gradients", "permutation_importance", "saliency"]
NURSERY = """
import os, sys
import keras, numpy as np
from tb_xai.callbacks import (IntegratedGradientsCallback, ModelHealthCallback,
                              PermutationImportanceCallback, SaliencyCallback)

def train(log_dir, initial_epoch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 12, 12, 1)).astype("float32")
    y = (x.mean((1, 2, 3)) > 0).astype(int)
    model = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    halves = np.arange(144).reshape(12, 12, 1) < 72
    say = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: print("begin", epoch, flush=True),
        on_epoch_end=lambda epoch, logs: print("end", epoch + 1, flush=True))
    model.fit(x, y, epochs=100_000, initial_epoch=initial_epoch, verbose=0, callbacks=[
        SaliencyCallback(log_dir, x[:16], y[:16]),
        IntegratedGradientsCallback(log_dir, x[:16], y[:16], n_steps=4),
        PermutationImportanceCallback(log_dir, x, y, n_repeats=2,
                                      groups={"upper": halves, "lower": ~halves}),
        ModelHealthCallback(log_dir, x, y, tag="health"), say])

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        train(sys.argv[1], int(line))
    print("pid", pid, flush=True)
    os.waitpid(pid, 0)
    print("dead", pid, flush=True)
"""


def kill(log_dir: Path, kills: int, seed: int = 0) -> dict[str, float]:
    """Train, kill and go on, `kills` times; raises AssertionError for a step that is not whole."""
    chance = random.Random(seed)
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_NUM_INTRAOP_THREADS": "1",
    }  # fmt: skip
    nursery = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", NURSERY, str(log_dir)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    finished = checked = 0
    cut = 0  # kills that left a step half done, which nobody must see
    try:
        for number in range(kills):
            print(finished, file=nursery.stdin, flush=True)
            word, pid = nursery.stdout.readline().split()
            assert word == "pid"
            last = finished
            # Half of the kills hit the first step, where files are made, the others any later one.
            waits_for = ("begin", "end")[number % 2]
            while True:
                word, value = nursery.stdout.readline().split()
                assert word != "dead", "the training ended by itself"
                if word == "end":
                    last = max(last, int(value))
                if word == waits_for or (word == "begin" and int(value) > finished):
                    break
            time.sleep(chance.uniform(0, 0.3))
            os.kill(int(pid), signal.SIGKILL)
            while True:
                word, value = nursery.stdout.readline().split()
                if word == "dead":
                    break
                if word == "end":
                    last = max(last, int(value))
            log = reader.open(log_dir)
            ends = []
            for tag in TAGS:
                if tag not in log.tags("."):
                    assert last == 0
                    ends.append(-1)
                    continue
                steps = log.steps(".", tag)
                assert steps == list(range(len(steps))), (number, tag, steps)
                assert last <= steps[-1] <= last + 1, (number, tag, last, steps[-1])
                assert log.missing(".", tag) == []
                ends.append(steps[-1])
            for step in log.steps(".", "saliency")[max(0, finished - 1) :]:
                values = log.arrays(".", "saliency", step)["x"]
                assert values.shape == (16, 12, 12, 1)
                assert np.isfinite(values).all()
                checked += 1
            cut += min(ends) != max(ends) or any(log_dir.rglob("*.tmp"))
            finished = max(0, min(ends))
    finally:
        nursery.kill()
        nursery.wait()
        nursery.stdin.close()
        nursery.stdout.close()
    return {"kills": kills, "steps": finished, "checked": checked, "cut": cut}


def main(argv: list[str] | None = None) -> int:
    """Kill, print a table and write it into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = kill(Path(folder), options.kills, options.seed)
    body = f"""{
        report.table(
            ["kills", "steps logged in the end", "array files read back", "kills inside a step"],
            [[found["kills"], found["steps"], found["checked"], found["cut"]]],
        )
    }

Four callbacks, SIGKILL at a random moment, again and again in one directory. After every kill each
step of a finished epoch was there in every tag, without a gap and with its arrays; of the step that
was being written a tag had all or nothing."""
    report.write("Killed trainings", "python -m benchmarks.kills", body)
    print(body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
