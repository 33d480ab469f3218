"""Records back out of a log directory, whatever happened to it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tb_xai import reader, summary
from tb_xai.summary import Probe, Record
from tests.synthetic import FEATURES, HOSTILE_TAG, image_probe, image_values, make_log

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, *steps: int, tag: str = "t", value: float = 1.0, **fields: Any) -> None:
    writer = summary.writer(path)
    for step in steps:
        x = np.full((3, 2, 2), value + step, np.float32)
        rest = {
            "meta": {"epoch": float(step)},
            "figures": {"output": x[:, 0, 0]},
            "arrays": {"x": x},
        }
        writer.write(Record(tag, step, 100.0 + step, "attribution", **{**rest, **fields}))
    writer.close()


def array_file(run: Path, pattern: str = "*") -> Path:
    (path,) = (run / "xai" / "plugins" / "xai").glob(pattern)
    return path


# --- what is there ------------------------------------------------------------------------------


def test_runs_tags_steps_and_arrays(synthetic_log: Path) -> None:
    log = reader.open(synthetic_log)
    assert log.runs == ["digits", "table"]
    assert {tag: info.kind for tag, info in log.tags("digits").items()} == {
        "saliency": "attribution",
        "integrated_gradients": "attribution",
        "grad_cam": "attribution",
        "flat_gradients": "attribution",
        "permutation_importance": "importance",
        HOSTILE_TAG: "attribution",
    }
    assert log.tags("digits")["saliency"].version == 1
    assert HOSTILE_TAG not in log.tags("table")
    assert log.steps("digits", "integrated_gradients") == [0, 1, 2, 3]
    assert log.steps("digits", "saliency") == [0, 1, 3]
    assert log.skipped() == []

    maps = log.arrays("digits", "saliency", 1)["x"]
    expected = image_values(image_probe(), 1 / 3, 1)
    expected[2] = np.nan
    scale = np.nan_to_num(np.abs(expected)).max(axis=(1, 2, 3), keepdims=True) + 1e-30
    np.testing.assert_allclose(maps / scale, expected / scale, atol=1e-3)
    np.testing.assert_array_equal(log.arrays("digits", "saliency", 1, [5, 0])["x"], maps[[5, 0]])
    assert log.arrays("digits", "saliency", 1, [])["x"].shape == (0, 8, 8, 1)
    assert log.arrays("digits", "permutation_importance", 1) == {}


def test_records_read_their_arrays_when_asked(synthetic_log: Path) -> None:
    log = reader.open(synthetic_log)
    records = log.records("digits", "saliency")
    assert [r.step for r in records] == [0, 1, 3]
    assert list(records[0].arrays) == ["x"]
    assert len(records[0].arrays) == 1
    assert "x" in records[0].arrays
    assert "y" not in records[0].arrays
    with pytest.raises(KeyError):
        records[0].arrays["y"]
    assert not records[0].arrays["x"][1].any()
    assert records[2].figures["predicted"].dtype == np.int32


def test_unknown_names_are_one_sentence(synthetic_log: Path) -> None:
    log = reader.open(synthetic_log)
    for call in (
        lambda: log.tags("nope"),
        lambda: log.steps("nope", "saliency"),
        lambda: log.steps("digits", "nope"),
        lambda: log.arrays("digits", "saliency", 2),
        lambda: log.steps("digits/xai", "saliency"),
        lambda: log.steps("../synthetic/digits", "saliency"),
        lambda: log.probe("digits", "../../etc"),
    ):
        with pytest.raises(reader.UnknownError, match=r"^\w+ must .* Received: .*$"):
            call()
    with pytest.raises(ValueError, match=r"examples must be below 16\. Received: 16"):
        log.arrays("digits", "saliency", 1, [16])
    with pytest.raises(FileNotFoundError, match="logdir must be a directory"):
        reader.open(synthetic_log / "nope")
    for path in (None, "", 3):
        with pytest.raises(TypeError, match=f"logdir must be a path. Received: logdir={path!r}"):
            reader.open(path)  # type: ignore[arg-type]
    with pytest.raises(reader.UnknownError, match="Received: step='1'"):
        log.arrays("digits", "saliency", "1")  # type: ignore[arg-type]


def test_the_training_directory_itself_is_run_dot(tmp_path: Path) -> None:
    write(tmp_path, 0, 1)
    for opened in (tmp_path, tmp_path / "xai"):
        log = reader.open(opened)
        assert log.runs == ["."]
        assert log.arrays(".", "t", 1)["x"].shape == (3, 2, 2)


def test_runs_that_differ_only_in_our_suffix_stay_apart(tmp_path: Path) -> None:
    write(tmp_path / "a", 0, tag="in a")
    write(tmp_path / "b", 0, tag="in b")
    # Somebody copied the events and their arrays one level up: TensorBoard then knows a and a/xai.
    shutil.copytree(tmp_path / "b" / "xai", tmp_path / "a", dirs_exist_ok=True)
    log = reader.open(tmp_path)
    assert log.runs == ["a", "a/.", "b"]
    assert list(log.tags("a")) == ["in a"]
    assert list(log.tags("a/.")) == ["in b"]
    assert log.arrays("a/.", "in b", 0)["x"].shape == (3, 2, 2)


def test_what_is_logged_later_is_seen(tmp_path: Path) -> None:
    write(tmp_path / "a", 0)
    log = reader.open(tmp_path)
    frozen = log.snapshot()
    assert log.steps("a", "t") == [0]
    write(tmp_path / "a", 1)
    write(tmp_path / "b", 0)
    assert log.steps("a", "t") == [0, 1]
    assert log.runs == ["a", "b"]
    assert frozen.runs == ["a"]


def test_a_restart_replaces_what_it_repeats(tmp_path: Path) -> None:
    write(tmp_path, 0, 1, 2, 3, 4)
    write(tmp_path, 2, 3, value=10.0)
    log = reader.open(tmp_path)
    # Step 4 belongs to the training that was abandoned; TensorBoard's fast loader drops it too.
    assert log.steps(".", "t") == [0, 1, 2, 3]
    assert log.arrays(".", "t", 1)["x"][0, 0, 0] == 2
    assert log.arrays(".", "t", 2)["x"][0, 0, 0] == 12
    assert log.outline(".", "t").epochs == [0, 1, 2, 3]


def test_a_step_that_is_logged_twice_counts_once(tmp_path: Path) -> None:
    write(tmp_path, 0, 1)
    write(tmp_path, 1, value=5.0)
    log = reader.open(tmp_path)
    assert log.steps(".", "t") == [0, 1]
    assert log.arrays(".", "t", 1)["x"][0, 0, 0] == 6


def test_several_roots_as_logdir_spec_names_them(tmp_path: Path) -> None:
    write(tmp_path / "one" / "deep", 0, tag="first")
    write(tmp_path / "two", 0, tag="second", value=7.0)
    spec = f"left:{tmp_path}/one,{tmp_path}/two,s3://bucket/x,b:gs://y/z"
    roots = reader.logdirs("", spec)
    assert roots == [
        (f"{tmp_path}/one", "left"),
        (f"{tmp_path}/two", None),
        ("s3://bucket/x", None),
        ("gs://y/z", "b"),
    ]

    class Both:
        """Two roots as TensorBoard's multiplexer names their runs."""

        def __init__(self) -> None:
            self.parts = {
                "left": reader._EventFiles(f"{tmp_path}/one"),
                "": reader._EventFiles(f"{tmp_path}/two"),
            }

        def _all(self, name: str, run_tag_filter: Any = None, **options: Any) -> dict[str, Any]:
            found = {}
            for group, part in self.parts.items():
                for run, tags in getattr(part, name)(None, **options).items():
                    named = f"{group}/{run}" if group else run
                    if run_tag_filter is None or named in run_tag_filter.runs:
                        found[named] = tags
            return found

        def list_tensors(self, ctx: Any, **options: Any) -> dict[str, Any]:
            return self._all("list_tensors", **options)

        def read_tensors(self, ctx: Any, **options: Any) -> dict[str, Any]:
            return self._all("read_tensors", **options)

    log = reader.Log(Both(), roots[:2])
    assert log.runs == [".", "left/deep"]
    assert log.arrays("left/deep", "first", 0)["x"][0, 0, 0] == 1
    assert log.arrays(".", "second", 0)["x"][0, 0, 0] == 7
    assert reader.logdirs("~/logs") == [(str(Path("~/logs").expanduser()), None)]
    assert reader.logdirs(None, None) == []


# --- damage -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "harm", ["deleted", "cut", "empty", "foreign", "garbage", "directory", "pipe"]
)
def test_an_array_file_that_is_gone_or_damaged_is_missing(tmp_path: Path, harm: str) -> None:
    write(tmp_path, 0, 1)
    path = array_file(tmp_path, "*-0-*")
    whole = path.read_bytes()
    path.unlink()
    if harm == "cut":
        path.write_bytes(whole[:-5])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "foreign":
        import safetensors.numpy

        path.write_bytes(safetensors.numpy.save({"x": np.zeros((3, 2, 2), np.float32)}))
    elif harm == "garbage":
        path.write_bytes(np.random.default_rng(0).bytes(len(whole)))
    elif harm == "directory":
        path.mkdir()
    elif harm == "pipe":
        os.mkfifo(path)
    log = reader.open(tmp_path)
    assert log.steps(".", "t") == [0, 1]
    with pytest.raises(reader.Missing, match=r"^The file of step 0 .*\.$") as missing:
        log.arrays(".", "t", 0)
    if harm == "pipe":
        assert "it is not a plain file" in str(missing.value)
    with pytest.raises(LookupError):
        log.records(".", "t")[0].arrays["x"]
    assert log.arrays(".", "t", 1)["x"].shape == (3, 2, 2)
    assert log.series(".", "t")["output"].shape == (2, 3)


def test_a_swapped_file_is_missing(tmp_path: Path) -> None:
    write(tmp_path / "a", 0, 1)
    write(tmp_path / "b", 0, value=9.0)
    shutil.copy(array_file(tmp_path / "a", "*-1-*"), array_file(tmp_path / "a", "*-0-*"))
    log = reader.open(tmp_path)
    with pytest.raises(reader.Missing, match="belongs to tag 't', step 1"):
        log.arrays("a", "t", 0)
    shutil.copy(array_file(tmp_path / "b"), array_file(tmp_path / "a", "*-0-*"))
    with pytest.raises(reader.Missing, match="replaced by another"):
        log.arrays("a", "t", 0)


def test_links_out_of_the_run_are_missing(tmp_path: Path) -> None:
    secret = tmp_path / "secret.safetensors"
    write(tmp_path / "logs" / "a", 0)
    path = array_file(tmp_path / "logs" / "a")
    shutil.move(path, secret)
    path.symlink_to(secret)
    log = reader.open(tmp_path / "logs")
    with pytest.raises(reader.Missing, match="outside of its run's directory"):
        log.arrays("a", "t", 0)
    # A run's directory may itself be a link, as people link their best run.
    path.unlink()
    shutil.move(secret, path)
    (tmp_path / "logs" / "best").symlink_to(tmp_path / "logs" / "a")
    assert reader.open(tmp_path / "logs" / "best").arrays(".", "t", 0)["x"].shape == (3, 2, 2)
    # A loop of links is no reason to fail either.
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(reader.Missing):
        log.arrays("a", "t", 0)


@pytest.mark.parametrize(
    "pointer", ["../../../b/xai/plugins/xai/x.safetensors", "/etc/passwd", "..", "a\0b", 3, ["x"]]
)
def test_hostile_pointers_are_named(
    tmp_path: Path, pointer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "b", 0)
    with monkeypatch.context() as patched:
        patched.setattr(summary, "_array_file_name", lambda tag, step, nonce: pointer)
        event, _ = summary.encode(
            Record("t", 0, 0.0, "attribution", {}, {}, {"x": np.ones((1, 2))})
        )
    writer = summary.writer(tmp_path / "a")
    writer._ready()
    writer._append(event, sync=True)
    writer.close()
    log = reader.open(tmp_path)
    assert log.tags("a") == {}
    (skipped,) = log.skipped()
    assert (skipped.run, skipped.tag) == ("a", "t")
    assert "must name a plain array file" in skipped.reason
    assert log.tags("b")


def test_newer_versions_are_skipped_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 0, 1)
    with monkeypatch.context() as patched:
        patched.setattr(summary, "VERSION", 2)
        write(tmp_path, 2)
        write(tmp_path, 0, tag="future")
    log = reader.open(tmp_path)
    assert list(log.tags(".")) == ["t"]
    assert log.steps(".", "t") == [0, 1]
    newer = "written by version 2 of the format; this tb_xai reads up to 1"
    assert log.skipped() == [
        reader.Skipped(".", "future", newer),
        reader.Skipped(".", "t", f"1 of 3 steps: {newer}"),
    ]
    assert log.outline(".", "t").steps == [0, 1]
    assert log.outline(".", "t").reasons == [f"1 of 3 steps: {newer}"]


def test_damaged_event_files_do_not_touch_other_runs(tmp_path: Path) -> None:
    write(tmp_path / "good", 0, 1)
    rng = np.random.default_rng(0)
    for name, data in {
        "empty": b"",
        "random": rng.bytes(5000),
        "text": b"hello" * 100,
        "long": (2**62).to_bytes(8, "little") + rng.bytes(100),
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "events.out.tfevents.1.x").write_bytes(data)
    (tmp_path / "folder" / "events.out.tfevents.2").mkdir(parents=True)
    (tmp_path / "loop").symlink_to(tmp_path)
    write(tmp_path / "damaged", 0, 1)
    (events,) = (tmp_path / "damaged" / "xai").glob("*tfevents*")
    data = bytearray(events.read_bytes())
    data[-200:-150] = bytes(50)
    events.write_bytes(data)
    log = reader.open(tmp_path)
    assert log.runs == ["damaged", "good"]
    assert log.steps("good", "t") == [0, 1]
    assert log.steps("damaged", "t")[0] == 0


def test_a_large_foreign_record_is_passed_over(tmp_path: Path) -> None:
    """Event files of other tools hold records larger than what is read at once."""
    from tensorboard.compat.proto import event_pb2
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    write(tmp_path, 0)
    (events,) = (tmp_path / "xai").glob("*tfevents*")
    graph = event_pb2.Event(graph_def=b"g" * (reader._WINDOW + 1000)).SerializeToString()
    header = len(graph).to_bytes(8, "little")
    framed = header + masked_crc32c(header).to_bytes(4, "little") + graph + bytes(4)
    whole = events.read_bytes()
    events.write_bytes(framed + whole[: len(whole) // 2])
    log = reader.open(tmp_path)
    assert log.runs == []
    events.write_bytes(framed + whole)
    assert log.steps(".", "t") == [0]


def test_a_run_name_cannot_lead_out_of_the_root(tmp_path: Path) -> None:
    """TensorBoard makes names of runs from directories; a data provider might make others."""
    write(tmp_path / "other", 0)
    (tmp_path / "logs").mkdir()

    class Elsewhere(reader._EventFiles):
        def list_tensors(self, ctx: Any, **options: Any) -> Any:
            return {"../other/xai": super().list_tensors(ctx, **options)["other/xai"]}

        def read_tensors(self, ctx: Any, *, run_tag_filter: Any, **options: Any) -> Any:
            return {"../other/xai": super().read_tensors(ctx, **options)["other/xai"]}

    provider = Elsewhere(str(tmp_path))
    provider._read = lambda filter_, *, poll: reader._EventFiles._read(provider, None, poll=poll)
    log = reader.Log(provider, [(str(tmp_path / "logs"), None)])
    assert log.runs == ["../other"]
    with pytest.raises(reader.Missing):
        log.arrays("../other", "t", 0)


@dataclass
class Datum:
    step: int
    wall_time: float
    numpy: Any


@pytest.mark.parametrize(
    "value", [np.array(3.0), np.array([b"a", b"b"], object), np.array("text", object), None, b""]
)
def test_foreign_tensors_under_our_name_are_skipped(value: Any) -> None:
    class Foreign:
        def list_tensors(self, ctx: Any, **options: Any) -> Any:
            return {"r/xai": {"t": type("Series", (), {"max_step": 0, "max_wall_time": 0.0})}}

        def read_tensors(self, ctx: Any, **options: Any) -> Any:
            return {"r/xai": {"t": [Datum(0, 0.0, value)]}}

    log = reader.Log(Foreign(), [])
    assert log.tags("r") == {}
    assert len(log.skipped()) == 1
    assert log.outline("r", "t").last is None


# --- columns ------------------------------------------------------------------------------------


def test_series_are_stacked_with_steps_first(synthetic_log: Path) -> None:
    series = reader.open(synthetic_log).series("digits", "permutation_importance")
    assert series["steps"].tolist() == [0, 1, 2, 3]
    assert series["epochs"].tolist() == [0, 1, 2, 3]
    assert series["mean"].shape == (4, 12)
    assert series["score"].shape == (4,)
    np.testing.assert_allclose(series["score"], 0.69 - 0.6 * np.arange(4) / 3)
    assert (series["mean"][:, -1] == 0).all()


def test_a_step_that_lacks_a_figure_holds_nan(tmp_path: Path) -> None:
    ones = np.ones(3, np.float32)
    write(tmp_path, 0, figures={"output": ones, "predicted": np.arange(3, dtype=np.int32)})
    write(tmp_path, 1, figures={"output": ones[:2], "gap": ones[:2]})
    series = reader.open(tmp_path).series(".", "t")
    np.testing.assert_array_equal(series["output"], [[1, 1, 1], [1, 1, np.nan]])
    np.testing.assert_array_equal(series["gap"], [[np.nan, np.nan], [1, 1]])
    np.testing.assert_array_equal(series["predicted"], [[0, 1, 2], [-1, -1, -1]])


def test_figures_in_a_lost_file_are_named(tmp_path: Path) -> None:
    many = np.ones(9000)
    for step in (0, 1):
        write(tmp_path, step, figures={"mean": many}, arrays={})
    array_file(tmp_path, "*-0-*").unlink()
    log = reader.open(tmp_path)
    assert log.missing(".", "t") == [(0, "The file of step 0 was deleted.")]
    series = log.series(".", "t")
    assert np.isnan(series["mean"][0]).all()
    assert (series["mean"][1] == 1).all()
    array_file(tmp_path, "*-1-*").unlink()
    assert set(log.series(".", "t")) == {"steps", "wall_times", "epochs"}


def test_frames_are_ready_for_pandas(synthetic_log: Path) -> None:
    log = reader.open(synthetic_log)
    table = pd.DataFrame(log.frame("digits", "saliency"))
    assert len(table) == 3 * 16
    assert {"step", "epoch", "example", "sum_abs", "predicted"} <= set(table.columns)
    by_step = table.groupby("step")["sum_abs"].mean()
    np.testing.assert_allclose(
        by_step[0], log.series("digits", "saliency")["sum_abs"][0].mean(), rtol=1e-6
    )
    features = pd.DataFrame(log.frame("digits", "permutation_importance"))
    assert len(features) == 4 * len(FEATURES)
    assert features[features.feature == "unused"]["mean"].eq(0).all()
    assert features[features.step == 3].set_index("feature")["mean"].idxmax() == "texture"
    flat = pd.DataFrame(log.frame("digits", "flat_gradients", by="feature"))
    assert list(flat.feature[:12]) == FEATURES
    assert {"mean", "mean_abs", "mean_abs_low", "mean_abs_high"} <= set(flat.columns)
    steps = pd.DataFrame(log.frame("digits", "permutation_importance", by="step"))
    assert list(steps.columns) == ["step", "wall_time", "epoch", "score"]
    with pytest.raises(ValueError, match="by must be one of"):
        log.frame("digits", "saliency", by="class")


def test_feature_names_are_found_where_they_fit(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    x = {"a": np.ones((2, 2)), "b": np.ones((2, 1))}
    names = {"a": ["a0", "a1"], "b": ["b0"]}
    both = writer.write_probe(Probe(x, None, {"feature_names": names}))
    groups = writer.write_probe(Probe(x, None, {"feature_names": names, "names": ["g", "h", "i"]}))
    cases = {
        "one input": ({"probe": both}, 2, ["a0", "a1"]),
        "all inputs": ({"probe": both}, 3, ["a0", "a1", "b0"]),
        "groups": ({"probe": groups}, 3, ["g", "h", "i"]),
        "own": ({"probe": both, "names": ["u", "v", "w"]}, 3, ["u", "v", "w"]),
        "none fits": ({"probe": both}, 7, None),
        "no probe": ({}, 3, None),
    }
    for tag, (meta, d, _) in cases.items():
        writer.write(Record(tag, 0, 0.0, "importance", meta, {"mean": np.zeros(d)}))
    writer.close()
    log = reader.open(tmp_path)
    for tag, (_, _, expected) in cases.items():
        assert log.feature_names(".", tag) == expected, tag


# --- cost ---------------------------------------------------------------------------------------


def test_only_the_asked_examples_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(64, 64, 64)).astype(np.float32)
    write(tmp_path, 0, arrays={"x": x})
    asked: list[int] = []
    opened_local = reader._opened_local

    @reader.contextlib.contextmanager
    def counting(path: Path) -> Any:
        with opened_local(path) as (read, size):
            yield (lambda start, length: (asked.append(length), read(start, length))[1]), size

    monkeypatch.setattr(reader, "_opened_local", counting)
    log = reader.open(tmp_path)
    log.steps(".", "t")
    asked.clear()
    found = log.arrays(".", "t", 0, [3, 4, 60])["x"]
    scale = np.abs(x).max(axis=(1, 2), keepdims=True)[[3, 4, 60]]
    np.testing.assert_allclose(found / scale, x[[3, 4, 60]] / scale, atol=1e-3)
    assert sum(asked) < 3 * 64 * 64 * 2 + 2000


def test_old_records_leave_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_log(tmp_path, ["a"], steps=3, examples=2)
    monkeypatch.setattr(reader, "_CACHED_BYTES", 4000)
    log = reader.open(tmp_path)
    for tag in log.tags("a"):
        assert len(log.records("a", tag)) >= 2
    assert sum(series.size for series in log._cache.values()) < 8000


def test_listing_a_large_log_keeps_only_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_log(tmp_path, ["a"], steps=3, examples=2)
    monkeypatch.setattr(reader, "_LISTED_BYTES", 0)
    log = reader.open(tmp_path)
    asked, *others = log.versions()["a"]
    assert others
    log.records("a", asked)
    steps = {tag: log.outline("a", tag).steps for tag in [asked, *others]}
    assert [tag for _, tag in log._cache] == [asked]
    assert steps == {tag: log.steps("a", tag) for tag in steps}


def test_reading_needs_no_framework(synthetic_log: Path) -> None:
    code = """if True:
        import sys
        from tb_xai import reader
        log = reader.open(sys.argv[1])
        log.arrays("digits", "saliency", 0), log.frame("digits", "permutation_importance")
        loaded = {name.split(".")[0] for name in sys.modules}
        assert not loaded & {"tensorflow", "keras", "jax", "torch"}, loaded
    """
    subprocess.run([sys.executable, "-c", code, synthetic_log], cwd=ROOT, check=True)
