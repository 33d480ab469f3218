"""Whole trainings in processes of their own: the demo, and one that is killed again and again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from benchmarks import kills
from tb_xai import reader

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def test_a_killed_training_leaves_whole_steps_and_goes_on(tmp_path: Path) -> None:
    found = kills.kill(tmp_path, 6, seed=7)
    assert found["steps"] >= 2
    assert found["checked"] >= 6


def demo(log_dir: Path, *arguments: str) -> list[str]:
    # A shell that starts tests in the background has them ignore Ctrl-C, and their children too.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tb_xai import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    return [sys.executable, "-c", code, "demo", "--logdir", str(log_dir), *arguments]


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is a signal of POSIX")
def test_the_demo_trains_twice_and_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    started = time.perf_counter()
    done = subprocess.run(
        demo(tmp_path, "--no-serve", "--epochs", "3"),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        check=True,
    )
    assert time.perf_counter() - started < 240
    assert done.stderr == ""
    assert "digits with shortcut  epoch  3/3" in done.stdout
    assert f"tensorboard --logdir {tmp_path}" in done.stdout
    log = reader.open(tmp_path)
    maps = ["grad_cam", "integrated_gradients", "model_health", "saliency", "smooth_grad"]
    assert {run: sorted(log.tags(run)) for run in log.runs} == {
        "breast_cancer": ["integrated_gradients", "model_health", "permutation_importance"],
        "digits": maps,
        "digits_with_shortcut": maps,
        "sentences": ["integrated_gradients", "model_health"],
    }
    for run in log.runs:
        for tag in log.tags(run):
            assert log.steps(run, tag) == [0, 1, 2, 3]
        assert list((tmp_path / run / "train").glob("events*"))  # Keras' graph and scalars
    assert (log.feature_names("breast_cancer", "permutation_importance") or [])[0] == "mean radius"

    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = subprocess.Popen(
            demo(tmp_path, "--epochs", "2", "--port", str(port)),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=ENVIRONMENT,
        )
        try:
            assert process.stdout is not None
            link = next(line for line in process.stdout if "#xai" in line).split()[-1]
            assert link.startswith("http://localhost:")
            assert link.endswith("/#xai")
            assert f":{port}/" not in link
            with urllib.request.urlopen(link.removesuffix("#xai")) as answer:
                assert answer.status == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert process.stdout.read().endswith("Stopped.\n")
        finally:
            process.kill()
            process.communicate()
    log = reader.open(tmp_path)
    assert log.steps("digits", "saliency") == [0, 1, 2]
