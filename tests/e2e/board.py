"""A real TensorBoard in a process of its own, for the tests that need one."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STARTS_WITHIN = 60.0  # seconds


@dataclass(frozen=True)
class Board:
    """A running TensorBoard: its address, ending in a slash, and its process."""

    url: str
    process: subprocess.Popen[str]

    def plugin(self, route: str) -> str:
        """The address of one of our routes."""
        return f"{self.url}data/plugin/xai/{route}"


@contextlib.contextmanager
def tensorboard(logdir: str | Path, *flags: str) -> Iterator[Board]:
    """Serve a log directory on a free port; `flags` go to TensorBoard."""
    command = [sys.executable, "-W", "ignore", "-m", "tensorboard.main", "--logdir", str(logdir)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--reload_interval", "1", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
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
        yield Board(found[0].rstrip("/") + "/", process)
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
