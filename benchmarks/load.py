"""Many browsers at once, while a training writes into the log.

Run: python -m benchmarks.load [--browsers 50] [--seconds 60] [--loader fast|python]

Each browser does what the page does: it polls the index, moves the cursor once a second and opens
figures and findings now and then; what it has seen of immutable answers it does not ask for again.
Where there are two cores or more, the training has one for itself, so that what is measured is
whether reading a log slows its writer, not that a computer has only so many cores.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import multiprocessing
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from benchmarks import report
from tests.e2e.board import Board, tensorboard
from tests.synthetic import make_log

ROOT = Path(__file__).resolve().parents[1]
LOADERS = {"python": "--load_fast=false", "fast": "--load_fast=auto"}
TRAINING = """
import os, sys, time
if len(os.sched_getaffinity(0)) > 1:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import keras, numpy as np
from tb_xai.callbacks import IntegratedGradientsCallback, SaliencyCallback
rng = np.random.default_rng(0)
x, y = rng.random((2048, 28, 28, 1), np.float32), rng.integers(0, 10, 2048)
model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(16, 3, activation="relu"),
    keras.layers.MaxPooling2D(), keras.layers.Flatten(), keras.layers.Dense(10)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
class Told(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.process_time(), time.perf_counter()
    def on_epoch_end(self, epoch, logs=None):
        cpu, wall = time.process_time() - self.began[0], time.perf_counter() - self.began[1]
        print(time.time(), cpu, wall, flush=True)
model.fit(x, y, epochs=100_000, batch_size=32, verbose=0, callbacks=[
    SaliencyCallback(sys.argv[1], x[:16], y[:16]),
    IntegratedGradientsCallback(sys.argv[1], x[:16], y[:16]), Told()])
"""


def browse(
    url: str, browsers: int, until: float, seed: int, found: list[tuple[str, int, float]]
) -> None:
    """Be several browsers, one thread each, until a moment."""

    def one(number: int) -> None:
        rng = random.Random(f"{seed} {number}")
        place = urlsplit(url)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        seen: set[str] = set()
        revision = ""

        def get(route: str) -> bytes:
            began = time.perf_counter()
            try:
                connection.request("GET", f"{place.path}data/plugin/xai/{route}")
                answer = connection.getresponse()
                body = answer.read()
                status = answer.status
            except (http.client.HTTPException, OSError):
                connection.close()
                body, status = b"", 599
            found.append((route.partition("?")[0], status, time.perf_counter() - began))
            return body

        time.sleep(rng.random())
        while time.time() < until:
            body = get(f"index?{urlencode({'revision': revision})}" if revision else "index")
            with contextlib.suppress(ValueError, IndexError):
                revision = body.split(b'"revision":', 1)[1].split(b'"')[1].decode()
            for _ in range(5):
                run, tag = (
                    rng.choice(["digits", "training"]),
                    rng.choice(["saliency", "integrated_gradients"]),
                )
                step = rng.randrange(4)
                asked = urlencode({"run": run, "tag": tag, "step": step, "size": 64, "v": "1"})
                if asked not in seen:
                    seen.add(asked)
                    get(f"attributions?{asked}")
                if rng.random() < 0.1:
                    get(f"series?{urlencode({'run': run, 'tag': tag})}")
                if rng.random() < 0.03:
                    get(f"findings?{urlencode({'run': run})}")
                time.sleep(0.5 + rng.random())
        connection.close()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(browsers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _browse(url: str, browsers: int, until: float, seed: int, queue: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    found: list[tuple[str, int, float]] = []
    browse(url, browsers, until, seed, found)
    queue.put(found)


def loaded(board: Board, browsers: int, seconds: float) -> list[tuple[str, int, float]]:
    """What that many browsers got within that time: route, status, seconds."""
    queue: multiprocessing.Queue[list[tuple[str, int, float]]] = multiprocessing.Queue()
    process = multiprocessing.Process(
        target=_browse, args=(board.url, browsers, time.time() + seconds, 0, queue)
    )
    process.start()
    found = queue.get(timeout=seconds + 120)
    process.join()
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure, print a table and write it into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browsers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--loader", choices=LOADERS, action="append")
    options = parser.parse_args(argv)
    rows = []
    for name in options.loader or LOADERS:
        with tempfile.TemporaryDirectory() as temporary:
            logs = make_log(temporary, ["digits"], steps=4, hostile=False, damage=False)
            environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
            training = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", TRAINING, str(logs / "training")],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
            )  # fmt: skip
            epochs: list[list[float]] = []

            def listen(training=training, epochs=epochs) -> None:  # type: ignore[no-untyped-def]
                for line in training.stdout or ():
                    epochs.append([float(part) for part in line.split()])

            listener = threading.Thread(target=listen, daemon=True)
            listener.start()
            try:
                with tensorboard("--logdir", logs, LOADERS[name]) as board:
                    if len(cores := os.sched_getaffinity(0)) > 1:
                        rest = cores - {min(cores)}
                        for pid in (board.pid, *report._children(board.pid)):
                            for task in Path(f"/proc/{pid}/task").iterdir():
                                with contextlib.suppress(OSError):
                                    os.sched_setaffinity(int(task.name), rest)
                        os.sched_setaffinity(0, rest)
                    board.until(lambda b=board: len(b.steps("training", "saliency")) > 5, 120)
                    loaded(board, options.browsers, 3)  # caches fill
                    quiet = [time.time(), 0.0]
                    time.sleep(options.seconds)
                    quiet[1] = time.time()
                    sizes = [report.resident(board.pid)]
                    busy = [time.time(), 0.0]
                    found = loaded(board, options.browsers, options.seconds)
                    busy[1] = time.time()
                    sizes.append(report.resident(board.pid))
                    training.send_signal(signal.SIGSTOP)
                    for _ in range(2):  # the last steps are read, and then nothing is new
                        found += loaded(board, options.browsers, options.seconds)
                        sizes.append(report.resident(board.pid))
                    os.sched_setaffinity(0, cores)
            finally:
                training.kill()
                training.wait()
                listener.join(5)

        def epoch(when: list[float], epochs=epochs) -> float:  # type: ignore[no-untyped-def]
            return statistics.median(wall for at, _, wall in epochs if when[0] < at < when[1])

        times = [1000 * seconds for _, _, seconds in found]
        errors = sum(status >= 400 for _, status, _ in found)
        slower = epoch(busy) / epoch(quiet) - 1
        quantiles = statistics.quantiles(times, n=20)
        rows.append(
            [name, options.browsers, len(found), f"{len(found) / options.seconds / 3:.0f}",
             f"{quantiles[9]:.0f} / {quantiles[18]:.0f}", errors,
             *(f"{after - at:+.0f} MiB" for at, after in itertools.pairwise(sizes)),
             f"{slower:+.1%}"]
        )  # fmt: skip
        print(rows[-1], flush=True)
    head = [
        "loader",
        "browsers",
        "requests",
        "per s",
        "p50 / p95, ms",
        "errors",
        "memory",
        "at rest",
        "and again",
        "epoch",
    ]
    body = f"""{report.table(head, rows)}

{options.seconds:.0f} s, after as many without. *memory*: what TensorBoard and its data server
grew by while the log grew; *at rest*, *and again*: twice as long after that, while the training
was stopped; *epoch*: how much longer the median epoch of the training took with browsers than
without. The training has a core for itself; TensorBoard and the browsers share the others."""
    report.write("Load", "python -m benchmarks.load", body)
    print(body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
