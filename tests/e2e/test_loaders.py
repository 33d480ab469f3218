"""Real TensorBoard processes over a log directory, with both of its loaders."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tb_xai import reader, summary
from tb_xai.summary import Record
from tests.e2e.board import Board, tensorboard
from tests.synthetic import HOSTILE_TAG, make_log

ROOT = Path(__file__).resolve().parents[2]
LOADERS = {"python": "--load_fast=false", "fast": "--load_fast=auto"}


def maps(board: Board, run: str, tag: str, step: int) -> np.ndarray:
    """The values of one step as they travel in full."""
    status, body = board.get(f"/attributions?run={run}&tag={tag}&step={step}&dtype=float32")
    assert status == 200, body
    return safetensors.numpy.load(body)[f"maps/{step}"]


def value(step: int) -> np.ndarray:
    return np.full((2, 3, 4), step + 1, np.float32)


def write(path: Path, *steps: int, tag: str = "t", offset: float = 0.0) -> None:
    writer = summary.writer(path)
    for step in steps:
        x = value(step) + np.float32(offset)
        meta = {"epoch": float(step)}
        figures = {"output": x[:, 0, 0]}
        writer.write(Record(tag, step, time.time(), "attribution", meta, figures, {"x": x}))
    writer.close()


KILLED = """
import sys, time
import numpy as np
from tb_xai import summary
from tb_xai.summary import Record
from tests.e2e.board import Board, tensorboard
w = summary.writer(sys.argv[1])
for step in range(10_000):
    x = np.full((2, 3, 4), step + 1, "float32")
    meta, figures = {"epoch": float(step)}, {"output": x[:, 0, 0]}
    w.write(Record("t", step, time.time(), "attribution", meta, figures, {"x": x}))
    print(step, flush=True)
"""


def killed_training(path: Path) -> int:
    """Kill a training in the middle of a step; returns the last step it finished."""
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(7):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    return int(rest[-1]) if rest else last


@pytest.fixture(scope="module", params=LOADERS)
def loader(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory, loader: str) -> Path:
    """Everything that may lie in a log directory, so that one TensorBoard shows it all."""
    path = tmp_path_factory.mktemp(f"logs with a space and tfevents {loader}")
    make_log(path, ["many"], steps=200, examples=4, hostile=False, damage=False)
    make_log(path, ["digits", "<img src=x onerror=alert(1)>"], steps=4, examples=4)
    write(path / "restarted", 0, 1, 2, 3, 4)
    write(path / "restarted", 3, 4, 5, offset=0.5)
    last = killed_training(path / "killed")
    (path / "killed" / "last").write_text(str(last))
    (events,) = (path / "killed" / "xai").glob("*tfevents*")
    with events.open("ab") as file:  # the record that the kill cut off
        file.write(events.read_bytes()[-200:-50])
    write(path / "killed", last + 1, last + 2)
    for step in range(3):
        write(path / "holes", step)
    for name, harm in (("*-0-*", None), ("*-1-*", b"foreign")):
        (file_path,) = (path / "holes" / "xai" / "plugins" / "xai").glob(name)
        file_path.unlink()
        if harm is not None:
            file_path.write_bytes(harm)
    rng = np.random.default_rng(0)
    for name in ("garbage", "empty"):
        (path / name).mkdir()
        data = rng.bytes(3000) if name == "garbage" else b""
        (path / name / "events.out.tfevents.1700000000.host").write_bytes(data)
    return path


@pytest.fixture(scope="module")
def board(logs: Path, loader: str) -> Iterator[Board]:
    with tensorboard("--logdir", logs, LOADERS[loader]) as running:
        last = int((logs / "killed" / "last").read_text())
        running.until(lambda: len(running.steps("many", "saliency")) == 200, 60)
        running.until(lambda: running.steps("restarted", "t") == list(range(6)), 60)
        running.until(lambda: last + 2 in running.steps("killed", "t"), 60)
        running.until(lambda: "holes" in running.index(), 60)
        yield running


def test_all_200_steps_arrive_without_a_flag(board: Board) -> None:
    tags = board.index()["many"]
    assert len(tags) == 5
    for tag in tags.values():
        assert tag["steps"] == list(range(200))
        assert tag["epochs"] == list(range(200))
    status, body = board.get("/series?run=many&tag=saliency")
    assert status == 200
    assert safetensors.numpy.load(body)["output"].shape == (200, 4)


def test_the_tab_is_active_and_its_module_is_served(board: Board) -> None:
    listing = board.url + "data/plugins_listing"
    with urllib.request.urlopen(listing) as response:
        told = json.loads(response.read())["xai"]
    assert told["enabled"] is True
    assert told["tab_name"] == "Explanations"
    with urllib.request.urlopen(board.route("static/index.js")) as response:
        assert response.headers["Content-Type"].startswith("text/javascript")


def test_the_same_records_as_in_a_notebook(board: Board, logs: Path) -> None:
    log = reader.open(logs)
    index = board.index()
    assert sorted(index) == log.runs
    for run in log.runs:
        assert {tag: described["steps"] for tag, described in index[run].items()} == {
            tag: log.steps(run, tag) for tag in log.tags(run)
        }
    np.testing.assert_array_equal(
        maps(board, "digits", "saliency", 3), log.arrays("digits", "saliency", 3)["x"][..., 0]
    )


def test_a_restart_shows_the_new_training(board: Board) -> None:
    assert board.steps("restarted", "t") == [0, 1, 2, 3, 4, 5]
    assert maps(board, "restarted", "t", 2)[0, 0, 0] == 3
    assert maps(board, "restarted", "t", 4)[0, 0, 0] == 5.5


def test_a_killed_training_continues(board: Board, logs: Path) -> None:
    last = int((logs / "killed" / "last").read_text())
    steps = board.steps("killed", "t")
    assert steps == list(range(last + 3))
    for step in (0, last, last + 1, last + 2):
        assert maps(board, "killed", "t", step)[0, 0, 0] == step + 1


def test_holes_are_missing_and_the_rest_is_there(board: Board) -> None:
    status, body = board.get("/attributions?run=holes&tag=t&step=0&step=1&step=2")
    assert status == 200
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    answer = json.loads(header["__metadata__"]["answer"])
    assert answer["steps"] == [2]
    assert [entry["step"] for entry in answer["missing"]] == [0, 1]


def test_hostile_names_and_requests(board: Board) -> None:
    assert HOSTILE_TAG in board.index()["digits"]
    assert "<img src=x onerror=alert(1)>" in board.index()
    for address, status in {
        "/attributions?run=..%2F..&tag=t&step=0": 404,
        "/attributions?run=digits&tag=saliency&step=x": 400,
        "/static/..%2f..%2fplugin.py": 404,
        "/static/../plugin.py": 404,
        "/probe?run=digits&set=..%2f..%2fx": 404,
    }.items():
        found, body = board.get(address)
        assert found == status, address
        assert b"Traceback" not in body
    request = urllib.request.Request(board.route("index"), data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 405
    refused.value.close()


def test_a_step_appears_while_tensorboard_runs(board: Board, logs: Path) -> None:
    writer = summary.writer(logs / "live")
    for step in range(3):
        x = value(step)
        figures = {"output": x[:, 0, 0]}
        writer.write(Record("t", step, time.time(), "attribution", {}, figures, {"x": x}))
        seconds = board.until(lambda: board.steps("live", "t") == list(range(step + 1)))  # noqa: B023
        assert seconds < 10
        assert maps(board, "live", "t", step)[0, 0, 0] == step + 1
    writer.close()
    shutil.rmtree(logs / "live")


def test_a_second_process_in_the_same_directory_hides_nothing(board: Board, logs: Path) -> None:
    writer = summary.writer(logs / "two")
    for step in range(3):
        writer.write(Record("ours", step, time.time(), "importance", {}, {"mean": np.ones(3)}))
        code = (
            "import sys, time; from tb_xai import summary; w = summary.writer(sys.argv[1]); "
            "w.write(summary.Record('theirs', int(sys.argv[2]), time.time(), 'importance'))"
        )
        subprocess.run([sys.executable, "-c", code, logs / "two", str(step)], cwd=ROOT, check=True)
        both = list(range(step + 1))
        board.until(
            lambda: board.steps("two", "ours") == both == board.steps("two", "theirs")  # noqa: B023
        )
    writer.close()


def test_logdir_spec_finds_the_arrays_of_each_root(tmp_path: Path) -> None:
    write(tmp_path / "one", 0)
    write(tmp_path / "two" / "deep", 0, offset=7.0)
    spec = f"left:{tmp_path}/one,right:{tmp_path}/two"
    with tensorboard("--logdir_spec", spec) as board:
        board.until(lambda: len(board.index()) == 2)
        assert sorted(board.index()) == ["left", "right/deep"]
        assert maps(board, "left", "t", 0)[0, 0, 0] == 1
        assert maps(board, "right/deep", "t", 0)[0, 0, 0] == 8


def test_a_home_directory_a_prefix_and_the_users_own_flag(
    tmp_path: Path, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "logs", *range(30))
    arguments = ["--logdir", "~/logs", "--path_prefix", "/a/b", "--samples_per_plugin", "xai=7"]
    with tensorboard(LOADERS[loader], *arguments) as board:
        board.until(lambda: "." in board.index())
        steps = board.steps(".", "t")
        assert 5 <= len(steps) <= 8
        assert steps[-1] == 29
        assert maps(board, ".", "t", steps[0]).shape == (2, 3, 4)


def test_an_empty_log_directory_is_no_trouble(tmp_path: Path, loader: str) -> None:
    with tensorboard(LOADERS[loader], "--logdir", tmp_path) as board:
        assert board.index() == {}
        assert board.get("/attributions?run=a&tag=b&step=0")[0] == 404


def test_tensorboard_does_not_import_a_framework_because_of_us(synthetic_log: Path) -> None:
    code = """if True:
        import sys, types
        from tb_xai.loader import Loader
        assert "tb_xai.plugin" not in sys.modules and "numpy" not in sys.modules
        from tensorboard.plugins import base_plugin
        from tb_xai import reader
        flags = types.SimpleNamespace(logdir=sys.argv[1], logdir_spec="")
        provider = reader._EventFiles(sys.argv[1])
        context = base_plugin.TBContext(data_provider=provider, logdir=sys.argv[1], flags=flags)
        served = Loader().load(context)
        from werkzeug.test import Client
        apps = served.get_plugin_apps()
        assert Client(apps["/index"]).get("/index").status_code == 200
        assert Client(apps["/series"]).get("/series?run=digits&tag=saliency").status_code == 200
        loaded = {name.split(".")[0] for name in sys.modules}
        assert not loaded & {"tensorflow", "keras", "jax", "torch"}, loaded
    """
    subprocess.run([sys.executable, "-c", code, synthetic_log], cwd=ROOT, check=True)
