"""The benchmark of planted faults on one seed; its data, its totals, and its rival."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest

from benchmarks import planted_faults
from benchmarks.planted_faults import CURVE_LIMITS, FAULTS, Curves, Fault, Outcome, curve_alarm
from tb_xai import findings

BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.mark.parametrize(("name", "latest"), [("unscaled feature", 0), ("corner patch, hint", 2)])
def test_a_planted_fault_is_named(name: str, latest: int) -> None:
    fault = BY_NAME[name]
    found = planted_faults.judged(fault, seed=1003, epochs=2)
    assert found.delay is not None
    assert found.delay <= latest
    assert {rule for rule, _, _ in found.told} & set(fault.rules)
    table = planted_faults.row(fault, [found])
    assert (table[0], table[2], len(table)) == (name, "1/1", len(planted_faults.HEAD))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_data_of_every_arm_are_what_it_says(fault: Fault) -> None:
    data = fault.data(np.random.default_rng(7))
    again = fault.data(np.random.default_rng(7))
    assert np.array_equal(data.x, again.x)
    assert np.isfinite(data.x).all()
    assert len(data.x_val) >= 64
    assert fault.clean == (fault.names == "") == (fault.rules == ())
    assert bool(data.suspects) or not fault.hint
    if not fault.clean:
        assert data.culprit
        # Every rule exists: a name that no finding has would never be detected.
        source = Path(findings.__file__).read_text(encoding="utf-8")
        assert all(f'"{rule}"' in source for rule in fault.rules)


def test_marks_tell_the_label_only_where_that_is_planted() -> None:
    """From the patch or frame alone the nearest training row knows the label, or does not."""
    for name, leaks in (
        ("corner patch, hint", True),
        ("constant border, hint", True),
        ("clean digits, idle patch", False),
        ("clean digits, idle border", False),
    ):
        data = BY_NAME[name].data(np.random.default_rng(3))
        (place,) = data.suspects.values()
        train, held = data.x[:, place, 0], data.x_val[:, place, 0]
        nearest = ((held[:, None] - train[None]) ** 2).sum(axis=-1).argmin(axis=1)
        right = float((data.y[nearest] == data.y_val).mean())
        assert (right == 1) if leaks else (right < 0.3), (name, right)


def test_the_alarm_of_the_curves() -> None:
    labels = np.arange(500) % 10
    fine = {
        "loss": np.array([1.0, 0.5, 0.3]),
        "val_loss": np.array([1.1, 0.6, 0.5]),
        "accuracy": np.array([0.7, 0.8, 0.9]),
        "val_accuracy": np.array([0.69, 0.79, 0.88]),
    }

    def alarm(**other: list[float]) -> int | None:
        curves = Curves(**{k: np.array(v) for k, v in {**fine, **other}.items()}, **rest)
        return curve_alarm(curves, "digits")

    rest = {"labels": labels}
    assert alarm() is None
    assert alarm(loss=[1.0, 1.1, 0.3]) == 2
    assert alarm(val_loss=[1.1, 0.6, np.nan]) == 3
    assert alarm(val_loss=[1.0, 0.5, 0.5 * CURVE_LIMITS["digits"]["val_rise"] + 0.01]) == 3
    assert alarm(accuracy=[0.8, 0.8, 0.9]) == 1
    assert alarm(val_accuracy=[0.1, 0.79, 0.88], accuracy=[0.1, 0.8, 0.9]) == 1


def test_totals_count_hints_no_hints_and_clean_runs_apart() -> None:
    def one(delay: int | None, told: int = 0, curves: int | None = None) -> Outcome:
        return Outcome(0, delay, delay is not None, curves, [("rule", 1, "text")] * told)

    results = {
        "leaked column": [one(0), one(2), one(None, curves=1)],
        "corner patch, no hint": [one(None), one(4)],
        "clean table": [one(None), one(None, told=2, curves=3)],
    }
    totals = planted_faults.summed(results)
    assert totals["faults"] == {"runs": 3, "found": 2, "delay": 1.0, "curves": 1}
    assert totals["no hint"] == {"runs": 2, "found": 1, "delay": 4.0, "curves": 0}
    assert totals["clean"] == {"runs": 2, "found": 1, "delay": None, "curves": 1}
    text = planted_faults.document(results, range(2), 60.0)
    assert "| leaked column | the column | 2/3 | 2/3 | 1 (2) | 1/3, median 1 |" in text
    assert "Clean runs with a warning or an alarm: 1 of 2 (50 %)" in text
    assert "- clean table, seed 0, epoch 1: `rule`: text" in text
