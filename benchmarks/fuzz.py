"""Hostile input: any request to every route in both loaders, and any bytes to the decoders.

Run: python -m benchmarks.fuzz [--requests 10000] [--mutations 100000] [--seed 0]
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import hypothesis
import numpy as np
from hypothesis import HealthCheck
from hypothesis import strategies as st
from tensorboard import errors
from tensorboard.compat.proto import event_pb2

from benchmarks import report
from tb_xai import plugin, reader, summary
from tests.e2e.board import Board, tensorboard
from tests.synthetic import HOSTILE_TAG, make_log

LOADERS = {"python": "--load_fast=false", "fast": "--load_fast=auto"}
SECRET = "a-secret-that-no-answer-may-hold"
SLOWEST = 10.0  # seconds that one answer may take on a loaded machine
NEEDED = {
    "index": (),
    "attributions": ("run", "tag", "step"),
    "probe": ("run", "set"),
    "series": ("run", "tag"),
    "drift": ("run", "tag", "measure"),
    "findings": ("run",),
}
PATHS = (
    "../secret.txt", "..%2fsecret.txt", "%2e%2e/%2e%2e/secret.txt", "....//secret.txt",
    "/etc/passwd", "..\\secret.txt", "%00", "index.js%00.css", "plugins/xai", "secret.txt",
    "%c0%ae%c0%ae/secret.txt",
)  # fmt: skip


@dataclass
class Tally:
    """What came back."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    largest: int = 0


def requests(known: dict[str, list[str]]) -> st.SearchStrategy[tuple[str, str]]:
    """Return methods and addresses: sensible, half sensible and senseless."""
    junk = (
        st.text(max_size=30)
        | st.sampled_from([*PATHS, "", " ", "NaN", "1e999", "-1", "0x10", "null", "٣", "9" * 5000])
        | st.integers(-(2**70), 2**70).map(str)
        | st.floats().map(str)
        | st.lists(st.integers(-3, 10**6), max_size=50).map(lambda all_: ",".join(map(str, all_)))
    )
    pairs = st.lists(
        st.sampled_from([*plugin._ARGUMENTS, "nonsense"]).flatmap(
            lambda name: st.tuples(st.just(name), st.sampled_from(known.get(name, ["1"])) | junk)
        ),
        max_size=4,
    )
    sensible = st.sampled_from(sorted(NEEDED)).flatmap(
        lambda route: st.tuples(
            st.just(route),
            st.tuples(
                *(st.tuples(st.just(n), st.sampled_from(known[n])) for n in NEEDED[route])
            ).flatmap(lambda needed: pairs.map(lambda more: [*needed, *more])),
        )
    )
    paths = st.sampled_from(sorted(NEEDED)) | st.tuples(
        st.sampled_from(["static", "static", "index", "", "series"]),
        st.sampled_from([*PATHS, *plugin.STATIC_FILES]) | st.text(max_size=20).map(quote),
    ).map("/".join)
    methods = st.sampled_from(["GET"] * 12 + ["HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])

    def address(path: str, pairs: list[tuple[str, str]]) -> str:
        query = "&".join(f"{name}={quote(text, errors='replace')}" for name, text in pairs)
        return f"{path}?{query}" if query else path

    asked = sensible | sensible | st.tuples(paths, pairs)
    return st.tuples(methods, asked.map(lambda parts: address(*parts)))


def fuzz_routes(board: Board, n: int, seed: int = 0) -> Tally:
    """Send n requests; raises AssertionError for the first answer that breaks a promise."""
    runs = board.index()
    known = {
        "run": list(runs),
        "tag": [tag for tags in runs.values() for tag in tags],
        "set": [about["probe"] for tags in runs.values() for about in tags.values()],
        "step": ["0", "1", "3", "0,1,2"],
        "examples": ["0", "0,1,2", ""],
        "columns": ["0", "0,1"],
        "input": ["x", "x.stderr"],
        "figure": ["sum_abs", "mean", "prediction"],
        "size": ["1", "8", "4096"],
        "channels": ["sum", "max", "all"],
        "dtype": ["uint8", "float32"],
        "measure": ["cosine", "ssim", "kendall"],
        "against": ["previous", "first", "1"],
        "v": ["1700000000.0"],
    }
    place = urlsplit(board.url)
    tally = Tally()
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=n, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @hypothesis.given(requests(known))
    def one(asked: tuple[str, str]) -> None:
        nonlocal connection
        method, address = asked
        began = time.perf_counter()
        try:
            connection.request(method, f"{place.path}data/plugin/xai/{address}")
            answer = connection.getresponse()
            body = answer.read()
        except (http.client.HTTPException, OSError):
            connection.close()
            connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
            raise
        seconds = time.perf_counter() - began
        tally.statuses[answer.status] += 1
        tally.seconds.append(seconds)
        tally.largest = max(tally.largest, len(body))
        assert answer.status < 500, (asked, answer.status, body[:500])
        assert len(body) <= plugin.ANSWER_LIMIT + 2**20, (asked, len(body))
        assert SECRET.encode() not in body, asked
        assert seconds < SLOWEST, (asked, seconds)
        if method not in ("GET", "HEAD"):
            assert answer.status in (404, 405), (asked, answer.status)
        if answer.status == 400:
            assert b"Received: " in body or method == "HEAD", (asked, body[:500])

    try:
        one()
    finally:
        connection.close()
    return tally


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes that were cut, flipped, overwritten, doubled or mixed with others."""
    array = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at, length = int(rng.integers(0, len(array) + 1)), int(rng.integers(0, 40))
        match rng.integers(0, 6):
            case 0:
                del array[at:]
            case 1:
                array[at : at + length] = rng.bytes(length)
            case 2:
                array[at:at] = array[: length * 4]
            case 3 if at < len(array):
                array[at] ^= 1 << int(rng.integers(0, 8))
            case 4:
                del array[at : at + length]
            case 5:
                array[:8] = int(rng.integers(0, 2**62)).to_bytes(8, "little")
    return bytes(array)


def fuzz_decoders(n: int, seed: int = 0) -> Counter[str]:
    """Decode n mutated events, array files and probe sets; raises for any error but ours."""
    rng = np.random.default_rng(seed)
    maps = {"x": rng.standard_normal((3, 5, 4)).astype("float32")}
    wide = {"mean": np.arange(6000.0)}
    record = summary.Record("t", 3, 0.0, "attribution", {"inputs": {"x": {}}}, wide, maps)
    event, file = summary.encode(record)
    probe = summary.encode_probe(summary.Probe(maps, np.arange(3), {"example_names": None}))
    assert file is not None

    payload = event_pb2.Event.FromString(event).summary.value[0].tensor.string_val[0]

    def decode_payload(data: bytes) -> None:
        summary.outline(data)
        summary.decode_payload(data, tag="t", step=3, wall_time=0.0)

    def array_file(data: bytes) -> None:
        opened = summary.ArrayFile(lambda start, size: data[start : start + size], len(data))
        opened.figures()
        for name in opened.names:
            opened.array(name)

    def probe_set(data: bytes) -> None:
        summary.decode_probe(lambda start, size: data[start : start + size], len(data))

    sources: list[tuple[str, bytes, Callable[[bytes], Any]]] = [
        ("event", event, summary.decode),
        ("payload", payload, decode_payload),
        ("array file", file, array_file),
        ("probe set", probe, probe_set),
    ]
    outcome: Counter[str] = Counter()
    for number in range(n):
        name, data, decode = sources[number % len(sources)]
        try:
            decode(mutated(data, rng))
            outcome[f"{name}: read"] += 1
        except (summary.DamagedError, summary.NewerError):
            outcome[f"{name}: refused"] += 1
    return outcome


def reads(log: reader.Log, index: dict[str, Any]) -> Iterator[Callable[[], Any]]:
    """Every other answer about what an index names."""
    for run in index["runs"]:
        name = run["name"]
        yield partial(plugin.findings, log, name)
        for tag in run["tags"]:
            yield partial(plugin.series, log, name, tag["name"])
            yield partial(plugin.attributions, log, name, tag["name"], tag["steps"])
            yield partial(plugin.probe, log, name, tag["probe"])


def fuzz_directories(folder: Path, n: int, seed: int = 0) -> Counter[str]:
    """Damage files of a log n times and read all of it; raises for any error but ours."""
    rng = np.random.default_rng(seed)
    whole = make_log(folder / "whole", steps=3, examples=3, side=4)
    outcome: Counter[str] = Counter()
    for number in range(n):
        damaged = folder / "damaged"
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.copytree(whole, damaged)
        files = sorted(path for path in damaged.rglob("*") if path.is_file())
        for path in rng.choice(np.array(files, object), 3, replace=False):
            other = files[int(rng.integers(len(files)))].read_bytes()
            path.write_bytes(other if rng.random() < 0.2 else mutated(path.read_bytes(), rng))
        log = reader.open(damaged)
        answer = plugin.index(log)
        json.dumps(answer, allow_nan=False)
        for read in reads(log, answer):
            with contextlib.suppress(errors.PublicError, reader.UnknownError, reader.Missing):
                outcome["asked"] += 1
                read()
                outcome["answered"] += 1
        outcome["directories"] = number + 1
    return outcome


def main(argv: list[str] | None = None) -> int:
    """Fuzz everything, print a table and write it into the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000, help="to each loader")
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--directories", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "secret.txt").write_text(SECRET)
        logs = make_log(folder / "logs", steps=4, examples=8)
        with contextlib.suppress(OSError):
            (logs / "linked").symlink_to(folder)
        for name, flag in LOADERS.items():
            with tensorboard("--logdir", logs, flag) as board:
                board.until(lambda b=board: len(b.index()) >= 2)
                board.get("attributions?run=digits&tag=saliency&step=0")
                fuzz_routes(board, min(options.requests, 500), options.seed + 1)  # caches fill
                before = report.resident(board.pid)
                tally = fuzz_routes(board, options.requests, options.seed)
                grown = report.resident(board.pid) - before
            answered = ", ".join(f"{k}: {v}" for k, v in sorted(tally.statuses.items()))
            p50, p95 = 1000 * np.quantile(tally.seconds, [0.5, 0.95])
            times, largest = f"{p50:.1f} / {p95:.1f} ms", f"{tally.largest / 2**20:.2f} MB"
            rows.append(
                [f"requests, {name} loader", len(tally.seconds), answered, times, largest,
                 f"{grown:+.0f} MiB"]
            )  # fmt: skip
            print(rows[-1], flush=True)
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        decoded = fuzz_decoders(options.mutations, options.seed)
        each = 1000 * (time.perf_counter() - began) / max(1, options.mutations)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        told = ", ".join(f"{k} {v}" for k, v in sorted(decoded.items()))
        rows.append(
            [
                "mutated bytes",
                options.mutations,
                told,
                f"{each:.2f} ms each",
                "",
                f"{grown:+.0f} MiB",
            ]
        )
        print(rows[-1], flush=True)
        read = fuzz_directories(folder, options.directories, options.seed)
        told = f"{read['asked']} questions, {read['answered']} answered, the others refused"
        rows.append(["damaged log directories", options.directories, told, "", "", ""])
        print(rows[-1], flush=True)
    head = ["input", "n", "outcome", "p50 / p95", "largest answer", "memory"]
    body = f"""{report.table(head, rows)}

No answer was a server error, larger than 16 MB, held a file from outside the log directory, or took
longer than {SLOWEST:.0f} s; nothing but GET and HEAD was served; every decoder read its bytes or
refused them with a sentence. The log holds a link that leads out of it, damaged files and a tag
named `{HOSTILE_TAG}`."""
    report.write("Hostile input", "scripts/fuzz", body)
    return 0


if __name__ == "__main__":
    sys.exit(main())
