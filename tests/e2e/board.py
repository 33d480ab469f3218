"""A real TensorBoard in a process of its own, for the tests that need one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STARTS_WITHIN = 60.0  # seconds
# A None in sys.modules is how an import fails: TensorBoard without TensorFlow starts in a second.
MAIN = """
import sys
if {without_tensorflow}:
    sys.modules["tensorflow"] = None
from tensorboard.main import run_main
run_main()
"""


@dataclass(frozen=True)
class Board:
    """A running TensorBoard; its address ends in a slash."""

    url: str
    pid: int = 0

    def get(self, route: str) -> tuple[int, bytes]:
        """Status and body of one of our routes."""
        try:
            with urllib.request.urlopen(self.route(route), timeout=20) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def route(self, route: str) -> str:
        """The address of one of our routes."""
        return f"{self.url}data/plugin/xai/{route.removeprefix('/')}"

    def index(self) -> dict[str, dict[str, Any]]:
        """`{run: {tag: described}}`."""
        status, body = self.get("index")
        assert status == 200, body
        return {
            run["name"]: {tag["name"]: tag for tag in run["tags"]}
            for run in json.loads(body)["runs"]
        }

    def steps(self, run: str, tag: str) -> list[int]:
        """The steps of a tag, none when it is not there."""
        found = self.index().get(run, {}).get(tag)
        return [] if found is None else list(found["steps"])

    def until(self, condition: Callable[[], bool], seconds: float = 25.0) -> float:
        """Wait for a condition; how long it took."""
        start = time.monotonic()
        while not condition():
            assert time.monotonic() - start < seconds, "TensorBoard did not show it in time"
            time.sleep(0.2)
        return time.monotonic() - start


@contextlib.contextmanager
def tensorboard(*arguments: str | Path, without_tensorflow: bool = True) -> Iterator[Board]:
    """Run TensorBoard, with what is installed as its plugins, on a free port.

    Args:
        arguments: of TensorBoard's command line, such as `"--logdir", path`.
        without_tensorflow: hide TensorFlow from it, as where only tb_xai is installed.
    """
    code = MAIN.format(without_tensorflow=without_tensorflow)
    process = subprocess.Popen(
        [
            sys.executable, "-W", "ignore", "-c", code,
            "--port", "0", "--reload_interval", "1", *map(str, arguments),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    said: list[str] = []
    found: list[str] = []

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if match := re.search(r"at (http://\S+)", line):
                found.append(match[1])

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    deadline = time.monotonic() + STARTS_WITHIN
    try:
        while not found:
            assert process.poll() is None, f"TensorBoard ended: {''.join(said)}"
            assert time.monotonic() < deadline, f"TensorBoard did not start: {''.join(said)}"
            time.sleep(0.05)
        yield Board(found[0].rstrip("/") + "/", process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        listener.join(5)
        assert process.stdout is not None
        process.stdout.close()
