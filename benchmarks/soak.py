"""A long training with every callback at every epoch: do memory, handles and time stay flat?

Run: python -m benchmarks.soak [--minutes 30]
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks import report

WARM_UP = 0.2  # share of the epochs before which caches fill


def soak(log_dir: Path, seconds: float, epochs: int = 10**6) -> dict[str, np.ndarray]:
    """Train for so long; returns per epoch memory (MiB), handles, seconds and traces."""
    import keras

    from tb_xai import cam, gradients, perturbation, summary
    from tb_xai.callbacks import (
        AttributionCallback,
        IntegratedGradientsCallback,
        ModelHealthCallback,
        PermutationImportanceCallback,
        SaliencyCallback,
    )

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 12, 12, 1)).astype("float32")
    y = (x.mean((1, 2, 3)) > 0).astype(int)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    halves = np.arange(144).reshape(12, 12, 1) < 72
    px, py = x[:8], y[:8]
    methods = {
        "smooth_grad": gradients.smooth_grad(n_samples=4),
        "expected_gradients": gradients.expected_gradients(x[8:16], n_samples=4),
        "grad_cam": cam.grad_cam(),
        "occlusion": perturbation.occlusion(window=4, stride=4),
        "rise": perturbation.rise(n_masks=16),
    }
    callbacks: list[Any] = [
        SaliencyCallback(log_dir, px, py),
        IntegratedGradientsCallback(log_dir, px, py, n_steps=4),
        *(AttributionCallback(log_dir, px, py, method=m) for m in methods.values()),
        PermutationImportanceCallback(
            log_dir, x, y, n_repeats=2, groups={"upper": halves, "lower": ~halves}
        ),
        ModelHealthCallback(log_dir, x[:64], y[:64]),
    ]
    rows: list[tuple[float, float, float, float]] = []
    ends = time.monotonic() + seconds

    class Watch(keras.callbacks.Callback):  # type: ignore[misc]
        began = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            now = time.monotonic()
            traces = sum(
                int(each.explain.traces()) for each in callbacks if hasattr(each.explain, "traces")
            )
            memory, handles = report.resident(os.getpid()), report.open_files(os.getpid())
            rows.append((memory, handles, now - self.began, traces))
            if epoch % 50 == 49:
                gc.collect()
                for callback in callbacks:  # what is kept is the disk's matter, not this one's
                    summary.prune(log_dir, summary.Keep(newest=5), tags=[callback.tag])
            self.model.stop_training = now > ends
            self.began = time.monotonic()

    model.fit(x, y, epochs=epochs, batch_size=64, verbose=0, callbacks=[*callbacks, Watch()])
    memory, handles, times, traces = np.array(rows).T
    return {"memory": memory, "handles": handles, "seconds": times, "traces": traces}


def growth(values: np.ndarray) -> float:
    """By how much a line through the values after the warm-up rises from its start to its end."""
    late = values[int(WARM_UP * len(values)) :]
    return float(np.polyfit(np.arange(len(late)), late, 1)[0] * len(late))


def main(argv: list[str] | None = None) -> int:
    """Train, print a table and write it into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), 60 * options.minutes)
    start = int(WARM_UP * len(found["memory"]))
    rows = [
        [
            f"{options.minutes:g}",
            len(found["memory"]),
            f"{found['memory'][start]:.0f}",
            f"{growth(found['memory']):+.1f}",
            f"{found['handles'][start]:.0f} / {found['handles'][-1]:.0f}",
            f"{1000 * np.median(found['seconds'][start:]):.0f}",
            f"{growth(found['seconds']) / np.median(found['seconds']):+.1%}",
            f"{found['traces'][0]:.0f} / {found['traces'][-1]:.0f}",
        ]
    ]
    head = [
        "minutes", "epochs", "memory, MiB", "rise, MiB", "handles", "epoch, ms", "rise", "traces",
    ]  # fmt: skip
    body = f"""{report.table(head, rows)}

A small CNN with nine callbacks at every epoch. *rise*: of a straight line through the epochs after
the first fifth; *handles* and *traces*: after the warm-up (the first epoch) and at the end."""
    report.write("Long run", "scripts/soak", body)
    print(body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
