"""Sections of `docs/reliability.md`, each written by the command that measured it."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "reliability.md"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def chip() -> str:
    """Return the name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        return (re.findall(r"model name\s*: (.*)", text) or [platform.processor()])[0]
    except OSError:
        return platform.processor() or platform.machine()


def git(*arguments: str) -> str:
    """Return what git says of this repository; nothing where it cannot."""
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def commit() -> str:
    """Return the short name of the commit."""
    return git("rev-parse", "--short", "HEAD") or "unknown"


def machine() -> str:
    """Return when, where and on what the figures were measured, as a sentence."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("tensorboard", "numpy"))
    return (
        f"{date.today().isoformat()}, commit {commit()}. "
        f"{chip()}, {os.cpu_count()} cores. Python {platform.python_version()}, {versions}."
    )


def write(title: str, command: str, body: str) -> None:
    """Put a section into the document, in the place of the one with the same title."""
    text = DOCUMENT.read_text(encoding="utf-8")
    section = f"## {title}\n\n`{command}`: {machine()}\n\n{body.strip()}\n"
    parts = re.split(r"(?m)^(?=## )", text)
    titles = [part.split("\n", 1)[0].removeprefix("## ") for part in parts]
    if title in titles:
        parts[titles.index(title)] = section + "\n"
    else:
        parts.append(section)
    whole = "".join(part.rstrip("\n") + "\n\n" for part in parts).rstrip("\n") + "\n"
    DOCUMENT.write_text(whole, encoding="utf-8")


def resident(pid: int) -> float:
    """Return the resident memory of a process and its children, in MiB."""
    pages = 0
    for one in (pid, *_children(pid)):
        with contextlib.suppress(OSError, IndexError):  # it may end at any moment
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files(pid: int) -> int:
    """Return how many file handles a process holds."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _children(pid: int) -> list[int]:
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        found = [int(c) for t in threads for c in (t / "children").read_text().split()]
    except OSError:
        return []
    return [each for child in found for each in (child, *_children(child))]
