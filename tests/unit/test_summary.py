"""The disk contract: encode, decode, and a writer that survives what happens to trainings."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from tensorboard.compat.proto import event_pb2, summary_pb2

from tb_xai import reader, summary
from tb_xai.summary import DamagedError, NewerError, Probe, Record

ROOT = Path(__file__).resolve().parents[2]


def record(step: int = 0, tag: str = "saliency", **changes) -> Record:
    rng = np.random.default_rng(step)
    fields = {
        "tag": tag,
        "step": step,
        "wall_time": 1.7e9 + step,
        "kind": "attribution",
        "meta": {"method": "saliency", "epoch": float(step), "probe": ""},
        "figures": {"output": rng.normal(size=4).astype(np.float32), "predicted": np.arange(4)},
        "arrays": {"x": rng.normal(size=(4, 5, 6)).astype(np.float32)},
        **changes,
    }
    return Record(**fields)


def run_python(code: str, *arguments: object, **options) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, **options)


# --- encode and decode --------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was() -> None:
    written = record(
        7, meta={"a": np.float32(1.5), "b": np.arange(3), "c": [None, True, "é\u2028<b>"]}
    )
    back = summary.decode(*summary.encode(written))
    assert (back.tag, back.step, back.wall_time, back.kind) == (
        "saliency",
        7,
        1.7e9 + 7,
        "attribution",
    )
    assert back.meta == {"a": 1.5, "b": [0, 1, 2], "c": [None, True, "é\u2028<b>"]}
    for name, figure in written.figures.items():
        np.testing.assert_array_equal(back.figures[name], figure)
        assert back.figures[name].dtype == figure.dtype
    assert back.arrays["x"].dtype == np.float32


@pytest.mark.parametrize("magnitude", [1e-42, 1e-30, 1e-9, 1e-4, 1.0, 1e4, 1e30, 3e38])
def test_float16_with_a_scale_keeps_the_stated_error(magnitude: float) -> None:
    rng = np.random.default_rng(3)
    # values over many orders of magnitude below the largest one, which is where plain float16 fails
    x = (rng.uniform(-1, 1, (5, 40, 40)) * 10.0 ** rng.uniform(-9, 0, (5, 40, 40))).astype(
        np.float32
    )
    x[0] *= 1e-3
    x = (x.astype(np.float64) * magnitude).astype(np.float32)
    back = summary.decode(*summary.encode(record(arrays={"x": x}))).arrays["x"]
    scale = np.abs(x).max(axis=(1, 2), keepdims=True).astype(np.float64)
    bound = (
        np.abs(x.astype(np.float64)) / 2000
        + scale / 2**24
        + np.finfo(np.float32).smallest_subnormal
    )
    error = np.abs(back.astype(np.float64) - x)
    assert (error <= bound).all()
    # The bound is not idle (below the normal range of float32 the values themselves are coarse).
    if magnitude >= 1e-30:
        assert error.max() > bound.max() / 50


def test_zero_nan_and_infinity_stay_what_they_are() -> None:
    x = np.zeros((4, 3, 3), np.float32)
    x[1, 0] = [np.nan, np.inf, -np.inf]
    x[1, 1, 0] = 4.0
    x[2] = np.nan
    x[3, 0, 0] = -1e-45
    back = summary.decode(*summary.encode(record(arrays={"x": x}))).arrays["x"]
    np.testing.assert_array_equal(back, x)


def test_float32_on_request_is_exact_and_integers_always_are() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 7)).astype(np.float32) * 1e-20
    ids = rng.integers(-(2**62), 2**62, (3, 7))
    event, file = summary.encode(record(arrays={"x": x, "ids": ids}), dtype="float32")
    back = summary.decode(event, file)
    np.testing.assert_array_equal(back.arrays["x"], x)
    np.testing.assert_array_equal(back.arrays["ids"], ids)
    half = summary.decode(*summary.encode(record(arrays={"ids": ids, "v": x[:, 0]})))
    np.testing.assert_array_equal(half.arrays["ids"], ids)
    np.testing.assert_array_equal(half.arrays["v"], x[:, 0])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 4, 4), np.float32),
        np.zeros((4, 0), np.float32),
        np.arange(6.0).reshape(2, 3)[:, ::-1],  # not contiguous
        np.arange(6, dtype=">f8").reshape(2, 3),  # big-endian
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([[True, False]]),
        np.float16([[1.5, -2.0]]),
    ],
)
def test_odd_arrays_survive(array: np.ndarray) -> None:
    back = summary.decode(*summary.encode(record(figures={}, arrays={"x": array})))
    np.testing.assert_allclose(back.arrays["x"], array, rtol=1e-3)
    assert back.arrays["x"].shape == array.shape


def test_equal_records_give_equal_bytes_in_every_process() -> None:
    code = """
        import sys, hashlib, numpy as np
        from tb_xai.summary import Record, Probe, encode
        x = np.linspace(-1, 1, 60, dtype="float32").reshape(2, 5, 6)
        names = ["gap", "output", "peak", "sum", "entropy"]
        meta, figures = {"b": {"y": 1, "x": 2}}, {n: x[:, 0, 0] for n in names}
        event, file = encode(Record("t", 1, 2.0, "attribution", meta, figures, {"x": x, "y": x}))
        print(hashlib.sha1(event + file).hexdigest(), Probe({"x": x}, None, {"a": 1}).hash)
    """
    outputs = set()
    for seed in ("0", "1", "77"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        with run_python(code, stdout=subprocess.PIPE, env=environment) as process:
            outputs.add(process.communicate()[0])
        assert process.returncode == 0
    assert len(outputs) == 1


def test_an_event_is_what_tensorboard_keeps() -> None:
    event = event_pb2.Event.FromString(summary.encode(record(3))[0])
    (value,) = event.summary.value
    assert (event.step, event.wall_time, value.tag) == (3, 1.7e9 + 3, "saliency")
    assert value.metadata.data_class == summary_pb2.DATA_CLASS_TENSOR
    assert value.metadata.plugin_data.plugin_name == "xai"
    assert json.loads(value.metadata.plugin_data.content) == {"version": 1, "kind": "attribution"}


def test_anyone_can_open_an_array_file() -> None:
    _, file = summary.encode(record())
    assert file is not None
    loaded = safetensors.numpy.load(file)
    assert set(loaded) == {"x", "x.scale"}
    assert loaded["x"].dtype == np.float16
    np.testing.assert_allclose(
        loaded["x"] * loaded["x.scale"].reshape(-1, 1, 1),
        record().arrays["x"],
        rtol=1e-3,
        atol=1e-6,
    )


def test_large_figures_move_to_the_array_file_and_nobody_notices() -> None:
    mean = np.random.default_rng(0).normal(size=10_000)
    written = Record("i", 1, 0.0, "importance", {}, {"mean": mean, "low": mean - 1}, {})
    event, file = summary.encode(written)
    assert file is not None
    assert len(event) < 1000
    back = summary.decode(event, file)
    np.testing.assert_array_equal(back.figures["mean"], mean)
    np.testing.assert_array_equal(back.figures["low"], mean - 1)
    assert not back.arrays
    small = Record("i", 1, 0.0, "importance", {}, {"mean": mean[:100]}, {})
    assert summary.encode(small)[1] is None


def test_encoding_is_fast() -> None:
    x = np.random.default_rng(0).normal(size=(64, 224, 224)).astype(np.float32)
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        summary.encode(record(arrays={"x": x}))
        best = min(best, time.perf_counter() - start)
    assert best < 0.15  # about 0.01 on an idle core


def test_what_cannot_be_stored_is_refused_with_a_sentence() -> None:
    x = np.ones((2, 2), np.float32)
    for changes in (
        {"tag": ""},
        {"tag": "\ud800"},
        {"figures": {"a": np.array(["text"])}},
        {"figures": {"a": np.array([object()])}},
        {"arrays": {"x": x, "x.scale": x}},
        {"arrays": {"__metadata__": x}},
        {"meta": {"f": lambda: 0}},
    ):
        with pytest.raises(ValueError, match=r"must .*Received: "):
            summary.encode(record(**changes))
    with pytest.raises(ValueError, match=r"dtype must be .* Received: dtype='float8'"):
        summary.encode(record(), dtype="float8")


def test_a_newer_version_is_named_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "VERSION", 2)
    event, file = summary.encode(record())
    monkeypatch.undo()
    with pytest.raises(NewerError, match=r"written by version 2 .* reads up to 1"):
        summary.decode(event, file)
    assert file is not None
    old_event, _ = summary.encode(record())
    with pytest.raises(NewerError):
        summary.decode(old_event, file)


def test_a_file_of_another_step_tag_or_training_is_noticed() -> None:
    event, file = summary.encode(record(1))
    for other in (record(2), record(1, tag="ig"), record(1, arrays={"x": np.ones((4, 5, 6))})):
        _, foreign = summary.encode(other)
        assert foreign != file
        with pytest.raises(DamagedError):
            summary.decode(event, foreign)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 50, 200, -1])
def test_cut_files_are_damaged(size: int) -> None:
    event, file = summary.encode(record())
    assert file is not None
    with pytest.raises(DamagedError):
        summary.decode(event, file[:size])


def test_the_first_bytes_tell_kind_and_epoch() -> None:
    for epoch in (0, 0.0, 12.25, 3):
        event = event_pb2.Event.FromString(summary.encode(record(meta={"epoch": epoch}))[0])
        payload = event.summary.value[0].tensor.string_val[0]
        assert summary.outline(payload) == ("attribution", float(epoch))
    assert summary.outline(b"") is None
    assert summary.outline(b"x" * 100) is None


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tag",
    [
        "../../etc/passwd",
        "<img src=x onerror=alert(1)>",
        "a\0b",
        "tfevents",
        "TFEvents/x",
        "é" * 90,
        " ",
        "-",
        "/",
    ],
)
def test_hostile_tags_give_plain_file_names(tag: str, tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    writer.write(record(tag=tag))
    writer.close()
    (file,) = (tmp_path / "xai" / "plugins" / "xai").iterdir()
    assert summary.is_array_file_name(file.name)
    assert "tfevents" not in file.name.lower()
    log = reader.open(tmp_path)
    assert list(log.tags(".")) == [tag]
    assert log.arrays(".", tag, 0)["x"].shape == (4, 5, 6)


def test_tags_that_look_alike_do_not_share_files(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    for tag in ("a b", "a/b", "a.b"):
        writer.write(record(tag=tag))
    writer.close()
    assert len(list((tmp_path / "xai" / "plugins" / "xai").iterdir())) == 3


@pytest.mark.parametrize(
    "name", ["", "a/b.safetensors", "../x.safetensors", "x", ".x.safetensors", 3, None]
)
def test_only_plain_names_are_pointers(name: object) -> None:
    assert not summary.is_array_file_name(name)


# --- probe sets ---------------------------------------------------------------------------------


def test_a_probe_set_is_named_by_its_content(tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(size=(4, 3, 3, 1)).astype(np.float32)
    words = np.array(["a good film", "naïve", "", "<b>"])
    probe = Probe({"x": x, "text": words}, np.arange(4), {"class_names": ["a", "b"]})
    assert (
        probe.hash
        == Probe({"x": x.copy(), "text": words}, np.arange(4), {"class_names": ["a", "b"]}).hash
    )
    different = [
        Probe({"x": x + 1, "text": words}, np.arange(4), {"class_names": ["a", "b"]}),
        Probe({"x": x, "text": words}, np.arange(4)[::-1], {"class_names": ["a", "b"]}),
        Probe({"x": x, "text": words[::-1]}, np.arange(4), {"class_names": ["a", "b"]}),
        Probe({"x": x, "text": words}, np.arange(4), {}),
        Probe({"x": x.reshape(4, 9), "text": words}, np.arange(4), {"class_names": ["a", "b"]}),
    ]
    assert len({probe.hash, *(p.hash for p in different)}) == 6
    writer = summary.writer(tmp_path)
    assert writer.write_probe(probe) == probe.hash == writer.write_probe(probe)
    writer.write(record())
    writer.close()
    back = reader.open(tmp_path).probe(".", probe.hash)
    np.testing.assert_array_equal(back.inputs["x"], x)
    assert list(back.inputs["text"]) == list(words)
    assert back.labels is not None
    np.testing.assert_array_equal(back.labels, np.arange(4))
    some = reader.open(tmp_path).probe(".", probe.hash, examples=[3, 1], inputs=["x"])
    np.testing.assert_array_equal(some.inputs["x"], x[[3, 1]])
    assert back.hash == probe.hash


def test_a_damaged_probe_file_is_written_again(tmp_path: Path) -> None:
    probe = Probe({"x": np.ones((2, 2), np.float32)})
    writer = summary.writer(tmp_path)
    writer.write_probe(probe)
    (path,) = (tmp_path / "xai" / "plugins" / "xai").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    writer.write_probe(probe)
    writer.close()
    assert path.read_bytes() == whole


# --- the writer ---------------------------------------------------------------------------------


def test_one_directory_has_one_writer(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    first, second = summary.writer(tmp_path / "real"), summary.writer(str(tmp_path / "link") + "/")
    assert first is second
    first.write(record(0))
    first.close()
    second.write(record(1))
    second.close()
    with pytest.raises(ValueError, match="must be open to write"):
        second.write(record(2))
    assert len(list((tmp_path / "real" / "xai").glob("*tfevents*"))) == 1
    assert reader.open(tmp_path / "real").steps(".", "saliency") == [0, 1]
    assert summary.writer(tmp_path / "real") is not first
    summary.writer(tmp_path / "real").close()


def test_a_home_directory_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    writer = summary.writer("~/logs")
    writer.write(record())
    writer.close()
    assert (tmp_path / "logs" / "xai").is_dir()
    assert reader.open("~/logs").runs == ["."]


def test_a_directory_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    for path in (
        tmp_path / "file",
        tmp_path / "file" / "below",
        "/proc/nowhere",
        "nosuch://x/y",
        "a\0b",
    ):
        with pytest.raises(ValueError, match=r"log_dir must be a directory .*Received: log_dir="):
            summary.writer(path)
    for path in (None, 3, ""):
        with pytest.raises(TypeError, match="log_dir must be a path"):
            summary.writer(path)  # type: ignore[arg-type]


def test_scalars_are_standard(tmp_path: Path) -> None:
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    writer = summary.writer(tmp_path)
    writer.scalars({"xai/saliency/gap": 0.25}, 3, 1.5)
    writer.scalars({"xai/saliency/gap": math.nan}, 4)
    writer.close()
    (path,) = (tmp_path / "xai").glob("*tfevents*")
    records, events = PyRecordReader_New(str(path)), []
    for _ in range(3):
        records.GetNext()
        events.append(event_pb2.Event.FromString(records.record()))
    assert events[0].file_version == "brain.Event:2"
    value = events[1].summary.value[0]
    assert (value.tag, events[1].step, events[1].wall_time) == ("xai/saliency/gap", 3, 1.5)
    assert value.tensor.float_val[0] == 0.25
    assert value.metadata.plugin_data.plugin_name == "scalars"
    assert value.metadata.data_class == summary_pb2.DATA_CLASS_SCALAR
    assert math.isnan(events[2].summary.value[0].tensor.float_val[0])


def test_a_clock_that_went_back_does_not_hide_the_new_file(tmp_path: Path) -> None:
    run = tmp_path / "xai"
    run.mkdir()
    for name in ("events.out.tfevents.4000000000.host.1.0", "events.out.tfevents.9999999999.zzz"):
        (run / name).write_bytes(b"")
        writer = summary.writer(tmp_path)
        writer.write(record())
        writer.close()
        names = sorted(p.name for p in run.glob("*tfevents*"))
        assert names[-1] != name
        if name.endswith(".0"):
            assert names[-1].startswith("events.out.tfevents.4000000001.")
        assert (run / names[-1]).stat().st_size > 0


def test_two_processes_always_append_to_the_newest_file(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    writer.write(record(0, tag="ours"))
    code = """
        import sys, time
        from tb_xai import summary
        w = summary.writer(sys.argv[1])
        w.write(summary.Record("theirs", 0, time.time(), "importance"))
        w.close()
    """
    assert run_python(code, tmp_path).wait() == 0
    writer.write(record(1, tag="ours"))
    writer.close()
    files = sorted((tmp_path / "xai").glob("*tfevents*"))
    assert len(files) == 3
    log = reader.open(tmp_path)
    assert log.steps(".", "ours") == [0, 1]
    assert log.steps(".", "theirs") == [0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_write_into_its_parents_file(tmp_path: Path) -> None:
    code = """
        import os, signal, sys, threading, time
        from tb_xai import summary
        from tb_xai.summary import Record
        w = summary.writer(sys.argv[1])
        w.write(Record("parent", 0, time.time(), "importance"))
        held, done = threading.Event(), threading.Event()
        def another_thread_writes():
            with w._lock:
                held.set()
                done.wait(20)
        threading.Thread(target=another_thread_writes).start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            signal.alarm(15)
            w.write(Record("child", 0, time.time(), "importance"))
            summary.writer(sys.argv[1]).write(Record("child", 1, time.time(), "importance"))
            os._exit(0)
        done.set()
        assert os.waitpid(pid, 0)[1] == 0
        w.write(Record("parent", 1, time.time(), "importance"))
    """
    assert run_python(code, tmp_path).wait() == 0
    log = reader.open(tmp_path)
    assert log.steps(".", "parent") == [0, 1]
    assert log.steps(".", "child") == [0, 1]
    first, *_ = sorted((tmp_path / "xai").glob("*tfevents*"))
    assert b"child" not in first.read_bytes()


def test_a_deleted_directory_is_made_again(tmp_path: Path) -> None:
    import shutil

    writer = summary.writer(tmp_path)
    writer.write(record(0))
    shutil.rmtree(tmp_path / "xai")
    writer.write(record(1))
    shutil.rmtree(tmp_path / "xai" / "plugins")
    writer.write(record(2))
    writer.close()
    log = reader.open(tmp_path)
    assert log.steps(".", "saliency") == [1, 2]
    assert log.arrays(".", "saliency", 2)["x"].shape == (4, 5, 6)


def test_left_over_temporary_files_go(tmp_path: Path) -> None:
    arrays = tmp_path / "xai" / "plugins" / "xai"
    arrays.mkdir(parents=True)
    dead = run_python("pass")
    assert dead.wait() == 0
    host = summary._host()
    gone = [f".a.safetensors.{host}.{dead.pid}.tmp", ".b.safetensors.00000000.1.tmp"]
    kept = [f".c.safetensors.{host}.{os.getpid()}.tmp", ".d.safetensors.00000000.1.tmp"]
    for name in gone + kept:
        (arrays / name).write_bytes(b"half")
    os.utime(arrays / gone[1], (0, 0))
    writer = summary.writer(tmp_path)
    writer.close()
    assert sorted(p.name for p in arrays.iterdir()) == sorted(kept)


def test_a_full_disk_costs_a_step_and_not_the_log(tmp_path: Path) -> None:
    code = """
        import resource, signal, sys, time
        import numpy as np
        from tb_xai import summary
        from tb_xai.summary import Record
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        w = summary.writer(sys.argv[1])
        def write(step):
            w.write(Record("t", step, time.time(), "importance", {}, {"mean": np.zeros(100)}))
        write(0)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, hard))
        try:
            write(1)
            sys.exit("the disk was not full")
        except OSError:
            pass
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        write(2)
    """
    assert run_python(code, tmp_path).wait() == 0
    assert reader.open(tmp_path).steps(".", "t") == [0, 2]


def test_after_sigkill_every_finished_step_is_whole(tmp_path: Path) -> None:
    code = """
        import sys, time
        import numpy as np
        from tb_xai import summary
        from tb_xai.summary import Record
        w = summary.writer(sys.argv[1])
        for step in range(int(sys.argv[2]), 100_000):
            x = np.full((4, 50, 50), step, "float32")
            figures = {"output": x[:, 0, 0]}
            meta = {"epoch": step}
            w.write(Record("t", step, time.time(), "attribution", meta, figures, {"x": x}))
            print(step, flush=True)
    """
    rng = np.random.default_rng(0)
    start = 0
    for _ in range(4):
        with run_python(code, tmp_path, start, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(float(rng.uniform(0, 0.08)))
            process.send_signal(signal.SIGKILL)
            finished = [start, *map(int, process.stdout.read().split())]
        log = reader.open(tmp_path)
        steps = log.steps(".", "t")
        assert steps == list(range(len(steps)))
        assert finished[-1] <= steps[-1] <= finished[-1] + 1
        for step in steps[start:]:
            arrays = log.arrays(".", "t", step)
            np.testing.assert_allclose(arrays["x"], np.full((4, 50, 50), step), rtol=1e-3)
        start = steps[-1] + 1
    assert start > 8
    # the next writer clears what the killed ones left behind
    summary.writer(tmp_path).close()
    arrays_folder = tmp_path / "xai" / "plugins" / "xai"
    assert not list(arrays_folder.glob(".*"))


def test_a_half_written_event_does_not_reach_the_next_training(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    for step in range(3):
        writer.write(record(step))
    writer.close()
    (path,) = (tmp_path / "xai").glob("*tfevents*")
    path.write_bytes(path.read_bytes()[:-20])
    writer = summary.writer(tmp_path)
    for step in (2, 3):
        writer.write(record(step))
    writer.close()
    assert len(list((tmp_path / "xai").glob("*tfevents*"))) == 2
    assert reader.open(tmp_path).steps(".", "saliency") == [0, 1, 2, 3]


def test_remote_directories_work_through_fsspec() -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    url = "memory://test-summary/logs/run"
    probe = Probe({"x": np.ones((2, 3), np.float32)})
    for start in (0, 3):
        writer = summary.writer(url)
        assert summary.writer(url + "/") is writer
        assert writer.write_probe(probe) == probe.hash
        for step in range(start, start + 3):
            writer.write(record(step, meta={"probe": probe.hash}))
            writer.scalars({"xai/saliency/gap": 1.0}, step)
        writer.close()
        writer.close()
    log = reader.open("memory://test-summary/logs")
    assert log.runs == ["run"]
    assert log.steps("run", "saliency") == list(range(6))
    np.testing.assert_allclose(
        log.arrays("run", "saliency", 4, [2])["x"], record(4).arrays["x"][[2]], rtol=1e-3, atol=1e-6
    )
    np.testing.assert_array_equal(log.probe("run", probe.hash).inputs["x"], np.ones((2, 3)))
    assert len(fs.glob("/test-summary/logs/run/xai/*tfevents*")) == 2
    fs.rm("/test-summary", recursive=True)
    assert log.runs == []


# --- pruning ------------------------------------------------------------------------------------


def logged(folder: Path, steps: range, *, wide: bool = False) -> None:
    """Records of two tags at these steps; `wide` ones have figures that lie in the array file."""
    w = summary.writer(folder)
    for step in steps:
        figures = {"mean": np.full(10_000 if wide else 3, step, np.float32)}
        for tag in ("a", "b"):
            maps = {"x": np.full((2, 16, 16), step + 1, np.float32)}
            w.write(Record(tag, step, time.time(), "attribution", {}, figures, maps))
    w.close()


def test_keep_always_has_the_first_and_the_last_step() -> None:
    for seed in range(20):
        steps = np.random.default_rng(seed).integers(0, 100, 20).tolist()
        for keep in (summary.Keep(3), summary.Keep(every=7), summary.Keep(1, 10)):
            kept = keep(steps)
            assert {min(steps), max(steps)} <= kept <= set(steps)
            assert keep(kept) == kept  # again changes nothing
    assert summary.Keep(2)([]) == set()
    for wrong in ({}, {"newest": 0}, {"every": -1}, {"newest": True}, {"newest": 2.0}):
        with pytest.raises(ValueError, match=r"must be .*Received: "):
            summary.Keep(**wrong)


@pytest.mark.parametrize("wide", [False, True])
def test_pruning_removes_maps_and_keeps_every_figure(tmp_path: Path, wide: bool) -> None:
    logged(tmp_path, range(10), wide=wide)
    before = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    counted = summary.prune(tmp_path, summary.Keep(2, 5), tags=["a"], dry_run=True)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors")) == before
    removed = summary.prune(tmp_path, summary.Keep(2, 5), tags=["a"])
    after = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    assert removed == counted == summary.Pruned(6, before - after)
    assert summary.prune(tmp_path, summary.Keep(2, 5), tags=["a"]) == summary.Pruned()
    log = reader.open(tmp_path)
    assert log.steps(".", "a") == list(range(10))
    for step in range(10):
        pruned = log.record(".", "a", step)
        assert pruned.figures["mean"][0] == step
        assert dict(log.record(".", "b", step).arrays)["x"].max() == step + 1
        if step in (0, 5, 8, 9):
            np.testing.assert_array_equal(pruned.arrays["x"], np.float32(step + 1))
        elif wide:
            assert not list(pruned.arrays)
        else:
            with pytest.raises(reader.Missing, match="was deleted"):
                pruned.arrays["x"]


def test_pruning_leaves_what_it_does_not_know(tmp_path: Path) -> None:
    logged(tmp_path, range(4))
    arrays = tmp_path / "xai" / "plugins" / "xai"
    digest = next(arrays.glob("a-*")).name.split("-")[1]
    foreign = ["notes.txt", "probe-0123456789abcdef.safetensors", "a-b-c.safetensors"]
    damaged = f"a-{digest}-2-00000000.safetensors"
    for name in (*foreign, damaged):
        (arrays / name).write_bytes(b"something else")
    assert summary.prune(tmp_path, summary.Keep(1)).files == 4
    assert all((arrays / name).exists() for name in (*foreign, damaged))


def test_pruning_behind_fsspec() -> None:
    folder = "memory://pruning/run"
    w = summary.writer(folder)
    for step in range(5):
        maps = {"x": np.ones((1, 8, 8), np.float32)}
        w.write(Record("a", step, time.time(), "attribution", {}, {}, maps))
    assert w.prune("a", summary.Keep(1)).files == 3
    assert w.prune("b", summary.Keep(1)).files == 0
    w.close()
