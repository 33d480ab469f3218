"""Cost of the quality measures beside the explanations they judge: `python -m benchmarks.quality`.

Each case runs in a process of its own, with one thread. Explanations and what the callbacks measure
of them, at default settings, take turns over whole rounds of the measures; what is reported is the
ratio of their CPU times. Below 1, quality costs less than the explanation itself.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from benchmarks.cases import MODELS, Model
from benchmarks.methods import ROOT, one_thread
from tb_xai import cam, gradients, perturbation
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--quick", action="store_true", help="the demo's two networks only")
    arguments = parser.parse_args()
    if arguments.case:
        one_thread()
        print("\n" + json.dumps(measure(*arguments.case.split("/"))))
        return 0
    print("| network | method | examples | explanation, ms | quality, ms | quality / explanation |")
    print("|---|---|---|---|---|---|")
    worst = 0.0
    for network, method, n in cases():
        case = f"{network}/{method}/{n}"
        if arguments.only not in case or (arguments.quick and "demo" not in network):
            continue
        found = in_a_process(case)
        ratio = found["quality"] / found["explanation"]
        worst = max(worst, ratio)
        print(
            f"| {network} | {method} | {n} | {found['explanation'] * 1e3:.2f} | "
            f"{found['quality'] * 1e3:.2f} | {ratio:.2f} |",
            flush=True,
        )
    print(f"\nWorst: {worst:.2f}")
    return 0


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
