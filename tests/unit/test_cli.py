"""The command line: exports what the reader gives, and says what is wrong in one sentence."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tb_xai import cli, reader
from tests.synthetic import make_log

ROOT = Path(__file__).resolve().parents[2]


def first_of_kind(log: reader.Log, kind: str) -> tuple[str, str]:
    return next(
        (run, tag) for run in log.runs for tag, info in log.tags(run).items() if info.kind == kind
    )


@pytest.mark.parametrize("kind", ["attribution", "importance"])
def test_export_writes_what_the_reader_gives(
    synthetic_log: Path, tmp_path: Path, kind: str
) -> None:
    log = reader.open(synthetic_log)
    run, tag = first_of_kind(log, kind)
    out = tmp_path / "figures.csv"
    assert (
        cli.main(["export", str(synthetic_log), "--run", run, "--tag", tag, "--out", str(out)]) == 0
    )
    frame = log.frame(run, tag)
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(frame)
    assert len(rows) == len(frame["step"]) > 0
    name = "sum_abs" if kind == "attribution" else "mean"
    np.testing.assert_array_equal([float(row[name]) for row in rows], frame[name])


def test_export_to_standard_output_by_step(
    synthetic_log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = reader.open(synthetic_log)
    run, tag = first_of_kind(log, "importance")
    arguments = ["export", str(synthetic_log), "--run", run, "--tag", tag, "--by", "step"]
    assert cli.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step,wall_time,epoch")
    assert len(lines) == 1 + len(log.steps(run, tag))


def test_export_says_what_there_is(synthetic_log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(synthetic_log), "--run", "nowhere"]) == 1
    said = capsys.readouterr().err
    run, tag = first_of_kind(reader.open(synthetic_log), "importance")
    assert f"--run {run!r} --tag {tag!r}" in said
    assert said.endswith("Received: --run 'nowhere' --tag None\n")


def test_export_of_no_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(tmp_path / "nowhere")]) == 1
    assert "logdir must be a directory. Received: " in capsys.readouterr().err
    assert cli.main(["export", str(tmp_path)]) == 1
    assert "holds: nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["demo", "--epochs", "0"],
        ["demo", "--port", "x"],
        ["demo", "--port", "65536"],
        ["export"],
        [],
    ],
)
def test_wrong_arguments_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: tb-xai" in capsys.readouterr().err


def test_export_of_what_a_tag_has_not(
    synthetic_log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, tag = first_of_kind(reader.open(synthetic_log), "importance")
    export = ["export", str(synthetic_log), "--run", run, "--tag", tag]
    assert cli.main([*export, "--by", "example"]) == 1
    said = capsys.readouterr()
    assert "--by must be what the tag" in said.err
    assert said.err.endswith("Received: --by example\n")
    assert not said.out
    assert cli.main([*export, "--out", str(tmp_path / "no" / "a.csv")]) == 1
    assert "--out must be a file that can be written. Received: " in capsys.readouterr().err


def test_demo_says_what_is_wrong_before_it_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("keras")
    (tmp_path / "file").write_text("not a directory")
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        assert cli.main(["demo", "--no-serve", "--logdir", str(wrong)]) == 1
        said = capsys.readouterr()
        assert "--logdir must be a directory that can be written. Received: " in said.err
        assert said.err.count("\n") == 1
        assert not said.out
    for host in ("192.0.2.1", "no host"):
        assert cli.main(["demo", "--logdir", str(tmp_path / "log"), "--host", host]) == 1
        said = capsys.readouterr()
        assert f"--host must be an address of this machine. Received: {host!r}" in said.err
        assert not said.out


@pytest.mark.parametrize("missing", ["keras", "sklearn"])
def test_demo_without_its_extra_says_what_to_install(tmp_path: Path, missing: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from tb_xai import cli; sys.exit(cli.main(['demo', '--no-serve']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 1
    assert 'pip install "tb_xai[demo]"' in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_progress_is_plain_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with cli._progress() as show:
        show("digits CNN", 3, 20, 0.5, 0.9, 1.25)
    expected = "digits CNN  epoch  3/20  loss 0.500  accuracy 0.900  explaining 1.2 s\n"
    assert capsys.readouterr().out == expected


def test_prune_says_what_it_removes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logdir = make_log(tmp_path, steps=6, examples=2, damage=False)
    runs = list(reader.open(logdir).runs)
    arguments = ["prune", str(logdir), "--newest", "2", "--run", "digits", "--tag", "saliency"]
    files = sorted(logdir.rglob("*.safetensors"))
    assert cli.main([*arguments, "--dry-run"]) == 0
    assert "digits: 3 files" in (said := capsys.readouterr().out)
    assert "would be removed" in said
    assert sorted(logdir.rglob("*.safetensors")) == files
    assert cli.main(arguments) == 0
    assert "digits: 3 files" in (said := capsys.readouterr().out)
    assert "would" not in said
    assert len(list(logdir.rglob("*.safetensors"))) == len(files) - 3
    assert cli.main(["prune", str(logdir), "--every", "100"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(runs) + 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "--newest or --every must say"),
        (["--newest", "1", "--run", "nowhere"], "--run must be one of 'digits'"),
        (["--newest", "1", "--tag", "nothing"], "--tag must be one of"),
    ],
)
def test_prune_refuses_what_would_do_nothing_or_everything(
    synthetic_log: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert cli.main(["prune", str(synthetic_log), *arguments]) == 1
    assert sentence in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["prune", str(synthetic_log), "--newest", "0"])
    assert "must be at least 1" in capsys.readouterr().err
