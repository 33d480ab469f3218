"""Cost of the quality measures and of the health callback: `python -m benchmarks.quality`.

Each case runs in a process of its own, with one thread. Explanations and what the callbacks measure
of them, at default settings, take turns over whole rounds of the measures; what is reported is the
ratio of their CPU times. Below 1, quality costs less than the explanation itself. Health is
measured in a training of the demo's network for digits, beside the rest of each epoch. A whole run
writes `docs/quality_cost.md`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks import report
from benchmarks.cases import MODELS, Model
from benchmarks.methods import ROOT, one_thread
from tb_xai import cam, gradients, perturbation
from tb_xai.callbacks import ModelHealthCallback
from tb_xai.callbacks.base import Examples
from tb_xai.callbacks.quality import Judge
from tb_xai.targets import log_odds

STEPS = 48


def demo_cnn() -> keras.Model:
    """The demo's network for digits."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu", padding="same"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ]
    )


def demo_mlp() -> keras.Model:
    """The demo's network for cell nuclei."""
    return keras.Sequential(
        [
            keras.Input((30,)),
            layers.Dense(16, activation="relu"),
            layers.Dense(16, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


NETWORKS = {
    "demo CNN": Model("digits", demo_cnn, (8, 8, 1), 10),
    "demo MLP": Model("cell nuclei", demo_mlp, (30,), 2),
    "CNN": MODELS["cnn"],
    "MLP": MODELS["mlp"],
    "MobileNetV2": MODELS["mobilenet"],
}

METHODS: dict[str, Callable[[], gradients.Binder]] = {
    "saliency": gradients.saliency,
    "integrated_gradients": gradients.integrated_gradients,
    "smooth_grad": gradients.smooth_grad,
    "grad_cam": cam.grad_cam,
    "occlusion": lambda: perturbation.occlusion(4),
    "feature_ablation": perturbation.feature_ablation,
}


DOCUMENT = ROOT / "docs" / "quality_cost.md"

HEALTH = "health"
EPOCHS = 40

TEXT = """# What quality and health cost

Written by `python -m benchmarks.quality`; do not edit.

{machine} TensorFlow {tensorflow}, Keras {keras}, one thread. Load of the machine at the end:
{load}.

## Quality of explanations

CPU time of one explanation, and of what the callback measures of it at default settings, per step:
the median over whole rounds of the measures, which take turns. Below 1, quality costs less than the
explanation.

{quality}

Worst: {worst:.2f}.

## Health

CPU time of an epoch of the demo's network for digits (1437 pictures, batches of 64) without the
callback, and of `ModelHealthCallback` with 64 examples at the end of each: measuring, judging by
`tb_xai.findings` and writing. Medians over {epochs} epochs; the last ten are those with the longest
history to judge.

{health}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--quick", action="store_true", help="the demo's two networks only")
    arguments = parser.parse_args()
    if arguments.case:
        one_thread()
        found = health() if arguments.case == HEALTH else measure(*arguments.case.split("/"))
        print("\n" + json.dumps(found))
        return 0
    head = ["network", "method", "examples", "explanation, ms", "quality, ms", "ratio"]
    print(report.table(head, []), flush=True)
    rows: list[list[str]] = []
    for network, method, n in cases():
        case = f"{network}/{method}/{n}"
        if arguments.only not in case or (arguments.quick and "demo" not in network):
            continue
        found = in_a_process(case)
        times = [f"{found[key] * 1e3:.2f}" for key in ("explanation", "quality")]
        ratio = f"{found['quality'] / found['explanation']:.2f}"
        rows.append([network, method, str(n), *times, ratio])
        print(f"| {' | '.join(rows[-1])} |", flush=True)
    found = in_a_process(HEALTH)
    parts = [[name, f"{found[key] * 1e3:.2f}"] for name, key in PARTS.items()]
    of_epoch = report.table(["what", "ms"], parts)
    share = f"The callback takes {found['all'] / found['epoch']:.1%} of an epoch"
    of_epoch += f"\n\n{share}, {found['late'] / found['epoch']:.1%} at the end."
    print("\n" + of_epoch)
    if not (arguments.only or arguments.quick):
        DOCUMENT.write_text(
            TEXT.format(
                machine=report.machine(),
                tensorflow=tf.__version__,
                keras=keras.__version__,
                quality=report.table(head, rows),
                load=f"{os.getloadavg()[0]:.1f}",
                worst=max(float(row[5]) for row in rows),
                epochs=EPOCHS,
                health=of_epoch,
            ),
            encoding="utf-8",
        )
    return 0


PARTS = {
    "epoch without the callback": "epoch",
    "callback, whole": "all",
    "of it findings": "judge",
    "callback, last ten epochs": "late",
    "of it findings, last ten epochs": "late_judge",
}


class _Timed(ModelHealthCallback):
    """Knows what it cost."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.times: list[list[float]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self.began = time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        between = time.process_time()
        super().on_epoch_end(epoch, logs)
        self.times.append([between - self.began, time.process_time() - between, self.judged])

    def _judge(self, *args: Any) -> Any:
        began = time.process_time()
        found = super()._judge(*args)
        self.judged = time.process_time() - began
        return found


def health() -> dict[str, float]:
    """Return CPU seconds of an epoch, of the health callback, and of its findings."""
    keras.utils.set_random_seed(0)
    model = demo_cnn()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x, y = rng.random((1437, 8, 8, 1), np.float32), rng.integers(0, 10, 1437)
    with tempfile.TemporaryDirectory() as log_dir:
        callback = _Timed(log_dir, x[:64], y[:64])
        model.fit(x, y, batch_size=64, epochs=EPOCHS, verbose=0, callbacks=[callback])
    epoch, all_, judge = np.median(callback.times[1:], axis=0)  # the first epoch traces
    late = np.median(callback.times[-10:], axis=0)
    keys = {"epoch": epoch, "all": all_, "judge": judge, "late": late[1], "late_judge": late[2]}
    return {key: float(seconds) for key, seconds in keys.items()}


def cases() -> list[tuple[str, str, int]]:
    """Networks and the methods that fit them."""
    images = ["saliency", "integrated_gradients", "smooth_grad", "grad_cam", "occlusion"]
    flat = ["saliency", "integrated_gradients", "smooth_grad", "feature_ablation"]
    return [
        *((network, method, 16) for network in ("demo CNN", "CNN") for method in images),
        *(("CNN", method, 64) for method in ("saliency", "grad_cam")),
        *((network, method, 16) for network in ("demo MLP", "MLP") for method in flat),
        *(("MobileNetV2", method, 16) for method in ("saliency", "integrated_gradients")),
    ]


def in_a_process(case: str) -> dict[str, float]:
    """Measure one case in a process of its own."""
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.quality", "--case", case],
        cwd=ROOT,
        env=os.environ | alone,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{case} failed:\n{done.stderr[-4000:]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure(network: str, method: str, n: str) -> dict[str, float]:
    """Return CPU seconds of one explanation and of what is measured of it, per step."""
    keras.utils.set_random_seed(0)
    model = NETWORKS[network].build()
    x, y = NETWORKS[network].examples(int(n))
    binder = METHODS[method]()
    explain = binder(model)
    judge = Judge(
        model, binder, explain, log_odds, Examples(x, y), ["x"], None, [], seed=0, batch_size=None
    )
    kernel = model.trainable_variables[0]
    for _ in range(2):  # the dry run, in which all is traced, and step 0, which takes its figures
        judge(explain(x, y))
    times: dict[str, list[float]] = {"explanation": [], "quality": []}
    steps = judge.period * max(2, STEPS // judge.period)
    for _ in range(steps):
        kernel.assign(kernel * 0.99)  # what a step of training leaves: other weights
        began = time.process_time()
        a: Any = explain(x, y)
        between = time.process_time()
        judge(a)
        times["quality"].append(time.process_time() - between)
        times["explanation"].append(between - began)
    return {
        "explanation": float(np.median(times["explanation"])),
        # Measures take turns: the median over rounds of the mean of a round.
        "quality": float(np.median(np.reshape(times["quality"], (-1, judge.period)).mean(axis=1))),
    }


if __name__ == "__main__":
    sys.exit(main())
