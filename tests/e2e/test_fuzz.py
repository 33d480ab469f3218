"""Short versions of `scripts/fuzz`: hostile requests, hostile bytes, damaged directories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import fuzz
from tb_xai import plugin
from tests.e2e.board import tensorboard
from tests.synthetic import make_log


@pytest.mark.parametrize("loader", fuzz.LOADERS)
def test_no_request_breaks_the_server(tmp_path: Path, loader: str) -> None:
    (tmp_path / "secret.txt").write_text(fuzz.SECRET)
    logs = make_log(tmp_path / "logs", steps=3, examples=4)
    (logs / "linked").symlink_to(tmp_path)
    with tensorboard("--logdir", logs, fuzz.LOADERS[loader]) as board:
        board.until(lambda: len(board.index()) >= 2)
        tally = fuzz.fuzz_routes(board, 250)
    assert sum(tally.statuses.values()) >= 250
    assert {200, 400, 404, 405} <= set(tally.statuses)


def test_the_fuzzer_sees_a_broken_promise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = make_log(tmp_path, steps=3, examples=4)
    monkeypatch.setattr(fuzz, "SECRET", "Received: ")  # stands in every refusal
    with tensorboard("--logdir", logs, fuzz.LOADERS["python"]) as board:
        board.until(lambda: len(board.index()) >= 2)
        with pytest.raises(AssertionError):
            fuzz.fuzz_routes(board, 250)


def test_no_bytes_break_a_decoder() -> None:
    outcome = fuzz.fuzz_decoders(4000)
    for name in ("event", "payload", "array file", "probe set"):
        assert outcome[f"{name}: read"] > 0
        assert outcome[f"{name}: refused"] > 0


def test_no_damage_breaks_the_reader(tmp_path: Path) -> None:
    outcome = fuzz.fuzz_directories(tmp_path, 5)
    assert 0 < outcome["answered"] < outcome["asked"]


def test_every_route_is_fuzzed() -> None:
    class Context:
        logdir, flags, data_provider = "", None, None

    routes = {
        route.strip("/*").split("/")[0] for route in plugin.Plugin(Context()).get_plugin_apps()
    }
    assert routes == {*fuzz.NEEDED, "static"} & routes
    rng = np.random.default_rng(0)
    data = bytes(range(256))
    assert len({fuzz.mutated(data, rng) for _ in range(200)}) > 150
