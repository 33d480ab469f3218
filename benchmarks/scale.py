"""Large logs: what TensorBoard's start, memory and answers cost beside an empty directory.

Run: python -m benchmarks.scale [--quick] [--only maps|runs|features]

Array files are written with their real headers and figures, and holes where the maps would be, so
that 50 GB of maps take seconds and a few MB of disk; what one map takes is measured on a real one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from benchmarks import report
from tb_xai import summary
from tb_xai.summary import Record
from tests.e2e.board import Board, tensorboard

LOADERS = {"python": "--load_fast=false", "fast": "--load_fast=auto"}
# What the callbacks log of each example; `grid` and `prediction` have several columns.
FIGURES = (
    "output", "confidence", "sum", "sum_abs", "entropy", "peak", "gini", "gap", "baseline_output",
    "infidelity", "infidelity_stderr", "faithfulness", "deletion", "deletion_random", "insertion",
    "insertion_random", "randomisation",
)  # fmt: skip


def with_holes(path: Path, small: bytes, shape: Sequence[int]) -> None:
    """Write an array file as if its map "x" had this shape, with a hole in its place."""
    length = int.from_bytes(small[:8], "little")
    header = json.loads(small[8 : 8 + length])
    about = header.pop("__metadata__")
    data, tensors, at = [], {}, 0
    for name, tensor in header.items():
        if name in ("x", "x.scale"):
            continue
        start, stop = tensor["data_offsets"]
        data.append(small[8 + length + start : 8 + length + stop])
        tensors[name] = {**tensor, "data_offsets": [at, at + stop - start]}
        at += stop - start
    for name, dtype, size, its in (("x.scale", "F32", 4, shape[:1]), ("x", "F16", 2, shape)):
        stop = at + size * int(np.prod(its))
        tensors[name] = {"dtype": dtype, "shape": list(its), "data_offsets": [at, stop]}
        at = stop
    text = json.dumps({"__metadata__": about, **tensors}).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(data))
        file.truncate(8 + len(text) + at)


def attribution(tag: str, step: int, n: int, side: int) -> Record:
    """A record as the callbacks write it, with maps of a single element."""
    rng = np.random.default_rng(step)
    figures = {name: rng.random(n).astype(np.float32) for name in FIGURES}
    figures |= {"predicted": np.zeros(n, np.int32), "grid": rng.random((n, 16)).astype(np.float32)}
    figures["prediction"] = rng.random((n, 10)).astype(np.float32)
    meta = {
        "method": tag, "params": {"n_steps": 16}, "signed": True, "additive": True, "probe": "",
        "epoch": float(step), "seconds": 0.5, "score_name": "log-odds", "target": "log_odds",
        "inputs": {"x": {"shape": [side, side, 3], "kind": "image"}},
    }  # fmt: skip
    maps = {"x": np.ones((n, 1, 1, 1), np.float32)}
    return Record(tag, step, 1.7e9 + step, "attribution", meta, figures, maps)


def write_maps(folder: Path, steps: int, n: int, side: int, tags: Sequence[str]) -> None:
    """Write a run with maps of n examples, side x side, at every step of every tag."""
    writer = summary.writer(folder)
    arrays = folder.joinpath("xai", *summary.ARRAY_FOLDER)
    writer._ready()
    for step in range(steps):
        for tag in tags:
            event, name, small = summary._encode(attribution(tag, step, n, side), "float16")
            assert name is not None
            assert small is not None
            with_holes(arrays / name, small, (n, side, side, 3))
            writer._append(event, sync=False)
    writer.close()


def write_features(folder: Path, steps: int, d: int) -> None:
    """Write importances of d features at every step."""
    writer = summary.writer(folder)
    rng = np.random.default_rng(0)
    for step in range(steps):
        mean = rng.random(d, np.float32)
        figures = {"mean": mean, "low": mean - 1, "high": mean + 1, "stderr": mean / 10}
        meta = {"metric": "log_loss", "score": 0.5, "epoch": float(step), "probe": ""}
        writer.write(
            Record("permutation_importance", step, 1.7e9 + step, "importance", meta, figures)
        )
    writer.close()


def write_scalars(folder: Path, runs: int, tags: int, steps: int) -> None:
    """Write as many events as a case has, of a plain scalar each: what TensorBoard itself takes."""
    for run in range(runs):
        writer = summary.writer(folder / f"run{run:03d}")
        for step in range(steps):
            for tag in range(tags):
                writer.scalars({f"scalar_{tag}": 1.0}, step)
        writer.close()


def logged(board: Board) -> int:
    """How many steps of all tags and runs are there."""
    return sum(len(tag["steps"]) for tags in board.index().values() for tag in tags.values())


def wait(board: Board, complete: Callable[[Board], bool]) -> float:
    """Seconds until everything is there."""
    began = time.perf_counter()
    while not complete(board):
        assert time.perf_counter() - began < 300, "TensorBoard did not show everything"
        time.sleep(0.05)
    return time.perf_counter() - began


def started(
    logs: Path, flag: str, complete: Callable[[Board], bool]
) -> Iterator[tuple[Board, float, float]]:
    """A TensorBoard, the seconds until it answered, and those until it showed everything."""
    began = time.perf_counter()
    with tensorboard("--logdir", logs, flag) as board:
        answers = time.perf_counter() - began
        shown = wait(board, complete)
        yield board, answers, shown


def latencies(
    board: Board, routes: Sequence[str], rounds: int = 20
) -> dict[str, tuple[float, float, int]]:
    """p50 and p95 in ms, and bytes, of each route."""
    found = {}
    for route in routes:
        seconds, size = [], 0
        for _ in range(rounds):
            began = time.perf_counter()
            with urllib.request.urlopen(board.route(route), timeout=120) as answer:
                size = len(answer.read())
            seconds.append(1000 * (time.perf_counter() - began))
        p95 = statistics.quantiles(seconds, n=20)[-1]
        found[route.split("?")[0]] = (statistics.median(seconds), p95, size)
    return found


def main(argv: list[str] | None = None) -> int:
    """Measure, print tables and write them into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a twentieth of everything")
    parser.add_argument("--only", choices=("maps", "runs", "features"))
    options = parser.parse_args(argv)
    part = 20 if options.quick else 1
    steps, n, side, tags = 1000 // part, 100, 224, [f"method_{i}" for i in range(5)]
    starts, routes, notes = [], [], []
    one, table = {"run": "run", "tag": tags[0]}, {"run": "run", "tag": "permutation_importance"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "empty").mkdir()
        cases: dict[
            str,
            tuple[
                str,
                Callable[[Path], object],
                tuple[int, int, int],
                Callable[[Board], bool],
                list[str],
            ],
        ] = {
            "maps": (
                f"{steps} steps x {n} examples x 5 methods, {side} x {side}",
                lambda path: write_maps(path / "run", steps, n, side, tags),
                (1, 5, steps),
                lambda board: all(len(board.steps("run", tag)) == steps for tag in tags),
                [
                    "index",
                    "attributions?" + urlencode({**one, "step": 0, "size": 112}),
                    "series?" + urlencode({**one, "figure": "gap"}),
                    "findings?run=run",
                ],
            ),
            "runs": (
                f"{100 // part} runs x 2 methods x 50 steps",
                lambda path: [
                    write_maps(path / f"run{i:03d}", 50, 16, 28, tags[:2])
                    for i in range(100 // part)
                ],
                (100 // part, 2, 50),
                lambda board: logged(board) == 100 * (100 // part),
                ["index", "findings?run=run000"],
            ),
            "features": (
                f"{steps} steps x 10,000 features",
                lambda path: write_features(path / "run", steps, 10_000),
                (1, 1, steps),
                lambda board: len(board.steps("run", "permutation_importance")) == steps,
                [
                    "index",
                    "series?" + urlencode({**table, "columns": "0,1,2,3"}),
                    "findings?run=run",
                ],
            ),
        }
        for loader, flag in LOADERS.items():

            def alone(path: Path, flag: str = flag) -> tuple[float, float]:
                """Seconds until TensorBoard answers, and its memory, without anything of ours."""
                for board, answers, _ in started(path, flag, lambda _: True):
                    board.get("index")
                    time.sleep(15)  # TensorBoard reads every five seconds
                    return answers, report.resident(board.pid)
                raise AssertionError

            answers, empty = alone(folder / "empty")
            starts.append([loader, "empty directory", f"{answers:.1f}", "", f"{empty:.0f}", "", ""])
            for key, (title, make, events, complete, asked) in cases.items():
                if options.only not in (None, key):
                    continue
                logs, twin = folder / key, folder / f"{key} as scalars"
                if not logs.exists():
                    began = time.perf_counter()
                    make(logs)
                    write_scalars(twin, *events)
                    print(f"{title}: written in {time.perf_counter() - began:.0f} s", flush=True)
                _, scalars = alone(twin)
                for board, answers, shown in started(logs, flag, complete):
                    time.sleep(2)
                    memory = report.resident(board.pid)
                    row = [
                        loader, title, f"{answers:.1f}", f"{shown:.1f}", f"{memory:.0f}",
                        f"{memory / empty - 1:+.0%}", f"{memory / scalars - 1:+.0%}",
                    ]  # fmt: skip
                    print(row, flush=True)
                    starts.append(row)
                    for route, (p50, p95, size) in latencies(board, asked).items():
                        routes.append(
                            [loader, title, route, f"{p50:.0f} / {p95:.0f}", f"{size / 2**20:.2f}"]
                        )
                        print(routes[-1], flush=True)
        if options.only in (None, "maps"):
            real = attribution("m", 0, 16, 224)
            real.arrays["x"] = np.ones((16, 224, 224, 3), np.float32)  # type: ignore[index]
            _, file = summary.encode(real)
            run = folder / "maps" / "run" / "xai"
            count = len(list(run.rglob("*.safetensors")))
            index = sum(path.stat().st_size for path in run.glob("*tfevents*"))
            notes.append(
                f"A map of 224 x 224 x 3 takes {len(file or b'') / 16 / 1024:.0f} KiB; the run has "
                f"{count} array files and an index of {index / 2**20:.1f} MiB "
                f"({index / count / 1024:.1f} KiB a step)."
            )
    head = [
        "loader",
        "log",
        "answers after, s",
        "all steps after, s",
        "memory, MiB",
        "beside empty",
        "beside as many scalars",
    ]
    body = f"""{report.table(head, starts)}

{report.table(["loader", "log", "route", "p50 / p95, ms", "answer, MiB"], routes)}

{" ".join(notes)} Memory is that of TensorBoard and its data server, without TensorFlow, once every
step is there; *as many scalars*: as many runs, tags and steps of plain scalars, and nothing of
ours. TensorBoard itself takes some MiB at the first event of any kind, and keeps what it read: of
16 examples an event holds the figures, 4.5 KiB, so that a log behind an object store is read
without a request for each step; of 100 examples they lie in the array files."""
    report.write("Scale of the log", "python -m benchmarks.scale", body)
    print(body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
