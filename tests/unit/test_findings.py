"""Findings: each rule on a run where it must speak, on one where it must not, and on no change."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tb_xai import findings, reader, summary
from tb_xai.findings import Finding, judge
from tb_xai.summary import Record


def importance(
    means: Sequence[Sequence[float]],
    stderr: float | Sequence[float] = 0.01,
    scores: Sequence[float] | None = None,
    steps: Sequence[int] | None = None,
) -> list[Record]:
    """Importance records of consecutive steps, with 95 % intervals."""
    records = []
    for t, mean in enumerate(means):
        m, se = np.array(mean, float), np.broadcast_to(stderr, len(mean)).astype(float)
        figures = {"mean": m, "stderr": se, "low": m - 1.96 * se, "high": m + 1.96 * se}
        meta: dict[str, Any] = {"metric": "log_loss"}
        if scores is not None:
            meta["score"] = float(scores[t])
        step = t if steps is None else steps[t]
        records.append(Record("pi", step, float(step), "importance", meta, figures))
    return records


def attribution(steps: int = 1, meta: dict[str, Any] | None = None, **figures: Any) -> list[Record]:
    """Attribution records; figures (t, n), or (n,) for all steps."""
    about = {"inputs": {"x": {"shape": [28, 28, 1], "kind": "image"}}, **(meta or {})}
    rows = {k: np.asarray(v) for k, v in figures.items()}
    rows = {k: np.broadcast_to(v, (steps, v.shape[-1])) for k, v in rows.items()}
    return [
        Record("ig", t, float(t), "attribution", about, {k: v[t] for k, v in rows.items()})
        for t in range(steps)
    ]


def only(found: list[Finding], rule: str) -> Finding:
    assert [f.rule for f in found] == [rule], found
    json.dumps(asdict(found[0]), allow_nan=False)
    return found[0]


# --- importance


def test_a_dominant_feature_is_named_since_it_dominates() -> None:
    means = [
        [0.1, 0.1, 0.1, 0.1],
        [0.3, 0.1, 0.1, 0.1],
        [0.6, 0.1, 0.1, 0.1],
        [0.8, 0.1, 0.05, 0.05],
    ]
    found = [
        f for f in judge(importance(means), ["id", "age", "sex", "pay"]) if f.severity != "info"
    ]
    f = only(found, "dominant_feature")
    assert (f.severity, f.first_step, f.last_step, f.view) == ("warning", 2, 3, "features")
    assert f.text.startswith(
        "'id' alone carries 80 % of the importance of all 4 features (at least"
    )
    assert f.text.endswith("since step 2.")
    assert f.evidence["share"] == pytest.approx(0.8)
    # share_low from the delta method, a / (a + b) with a = 0.8, b = 0.2, by hand
    error = math.hypot(0.2 * 0.01, 0.8 * 0.01 * math.sqrt(3))
    assert f.evidence["share_low"] == pytest.approx(0.8 - 2.5758 * error, abs=1e-4)


@pytest.mark.parametrize(
    ("last", "stderr"),
    [
        ([0.8, 0.1, 0.05, 0.05], 0.15),  # the interval allows less than a half
        ([0.5, 0.3, 0.1, 0.1], 0.001),  # not more than all others together
        ([0.85, 0.15], 0.001),  # one of two is no news
        ([0.6, 0.2, 0.2], 0.001),  # nor is less than twice an even share
        ([-0.8, -0.1, -0.1, -0.1], 0.001),  # nothing is positive
        ([0.8], 0.001),
    ],
)
def test_no_feature_dominates(last: list[float], stderr: float) -> None:
    found = judge(importance([last, last], stderr))
    assert "dominant_feature" not in {f.rule for f in found}


def test_a_feature_that_no_longer_dominates_is_no_finding() -> None:
    means = [[0.8, 0.1, 0.05, 0.05], [0.3, 0.3, 0.2, 0.2]]
    assert "dominant_feature" not in {f.rule for f in judge(importance(means))}


def test_features_at_zero_are_counted_and_named() -> None:
    means = [[0.0] * 4, [0.3, 0.3, 0.01, 0.0]]
    f = only(judge(importance(means, [0.01, 0.01, 0.01, 0.0])), "indistinguishable_from_zero")
    assert f.severity == "info"
    assert f.evidence == {"features": [2, 3], "count": 2, "of": 4, "exactly_zero": 1}
    assert "2 of 4 features cannot be told from zero, 1 of them exactly zero: feature 2" in f.text
    nothing = only(judge(importance([[0.0] * 3, [0.01] * 3])), "indistinguishable_from_zero")
    assert nothing.severity == "warning"
    assert "no feature matters" in nothing.text
    # The untrained model is not blamed for knowing nothing.
    assert judge(importance([[0.0] * 3])) == []


def test_a_rising_share_is_a_hint() -> None:
    even = [0.2, 0.2, 0.2, 0.2]
    means = [even, even, [0.2, 0.2, 0.2, 0.6], [0.2, 0.2, 0.2, 0.5]]
    f = only(judge(importance(means, 0.005), ["a", "b", "c", "leak"]), "rising_share")
    assert (f.severity, f.first_step, f.last_step) == ("info", 2, 3)
    assert "'leak' in all importance rose from 25 % at step 0 to 45 % at step 3" in f.text
    assert judge(importance(means, 0.08)) == []  # within the intervals
    assert judge(importance([even, [0.2, 0.2, 0.2, 0.3]], 0.001)) == []  # too little to matter


def test_importances_that_move_while_the_score_stands_still() -> None:
    means = [[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.5, 0.3, 0.2], [0.55, 0.25, 0.2]]
    scores = [2.0, 1.0, 0.51, 0.5, 0.5]
    f = only(judge(importance(means, 0.01, scores)), "importance_moves_score_still")
    assert (f.severity, f.first_step, f.last_step) == ("warning", 2, 4)
    assert "log_loss stood still (0.51 to 0.5)" in f.text
    assert sorted(f.evidence["features"]) == [0, 1]
    assert judge(importance(means, 0.06, scores)) == []  # within the intervals
    assert judge(importance(means, 0.01, [2.0, 1.0, 0.7, 0.5, 0.4])) == []  # the score moves too
    assert judge(importance(means, 0.01)) == []  # no score was logged


def test_a_score_that_moves_while_importances_stand_still() -> None:
    scores = np.linspace(2, 1, 12)
    f = only(
        judge(importance([[0.4, 0.4, 0.2]] * 12, 0.01, scores)), "score_moves_importance_still"
    )
    assert (f.severity, f.first_step, f.last_step) == ("info", 6, 11)
    coarse = judge(importance([[0.4, 0.4, 0.2]] * 12, 0.06, scores))  # too coarse to tell
    assert coarse == []
    wiggle = np.where(np.arange(12) % 2, 1.0, 2.0)
    assert judge(importance([[0.4, 0.4, 0.2]] * 12, 0.01, wiggle)) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_importances_that_are_not_finite_are_an_alarm(bad: float) -> None:
    f = only(judge(importance([[0.3, 0.3], [0.3, bad]])), "not_finite")
    assert (f.severity, f.first_step, f.last_step) == ("alarm", 1, 1)
    assert "(feature 1)" in f.text
    f = only(judge(importance([[0.3, 0.3]] * 2, 0.01, [bad, bad])), "not_finite")
    assert "2 steps from 0 to 1" in f.text


# --- attributions


def test_explanations_that_are_not_finite_are_an_alarm() -> None:
    output = [[1.0, 2.0, 3.0], [1.0, np.nan, 3.0]]
    strength = [[1.0, 1.0, 1.0], [1.0, 1.0, np.inf]]
    f = only(judge(attribution(2, output=output, sum_abs=strength)), "not_finite")
    assert (f.severity, f.first_step, f.evidence["examples"]) == ("alarm", 1, [1, 2])
    assert "for 2 of 3 examples" in f.text


def test_all_zero_explanations() -> None:
    strength = [[1.0, 1.0, 1.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]]
    f = only(judge(attribution(3, sum_abs=strength), None, ["cat", "dog", "cow"]), "all_zero")
    assert (f.severity, f.first_step, f.evidence["count"]) == ("alarm", 1, 2)
    assert "2 of 3 examples since step 1: 'cat', 'dog'." in f.text
    assert only(judge(attribution(2, sum_abs=strength[:2])), "all_zero").severity == "warning"
    assert judge(attribution(3, sum_abs=strength[::-1])) == []  # they came to life


def test_faded_explanations() -> None:
    f = only(judge(attribution(3, sum_abs=[[1.0, 2.0], [10.0, 20.0], [1e-3, 2e-3]])), "faded")
    assert (f.severity, f.first_step) == ("warning", 2)
    assert "from 15 at step 1 to 0.0015 at step 2" in f.text
    assert judge(attribution(3, sum_abs=[[1e-6, 2e-6], [10.0, 20.0], [0.1, 0.2]])) == []


def test_concentrated_explanations() -> None:
    f = only(judge(attribution(2, entropy=np.log([[300, 300, 300], [3, 3, 300]]))), "concentrated")
    assert (f.first_step, f.evidence["of"]) == (1, 784)
    assert f.evidence["effective_elements"] == pytest.approx(3)
    assert judge(attribution(2, entropy=np.log([[300, 300, 300], [3, 30, 300]]))) == []
    small = {"inputs": {"x": {"shape": [30], "kind": "flat"}}}
    assert judge(attribution(2, small, entropy=np.zeros((2, 3)))) == []
    for inputs in (None, {}, {"x": 3}, {"x": {"shape": None}}, {"x": {"shape": ["a"]}}):
        assert judge(attribution(1, {"inputs": inputs}, entropy=np.zeros(3))) == []


def test_contributions_of_a_dominant_feature() -> None:
    mean = np.array([0.8, 0.1, 0.05, 0.05])
    figures = {"mean_abs": mean, "mean_abs_high": mean + 0.02}
    f = only(judge(attribution(1, {"additive": True}, **figures)), "dominant_feature")
    assert "at least" in f.text
    assert judge(attribution(1, {"additive": False}, **figures)) == []  # slopes have units


def test_a_large_completeness_gap() -> None:
    gap = np.full((2, 20), 0.01)
    gap[:, :3] = 0.2
    about = {"params": {"n_steps": 16}}
    f = only(judge(attribution(2, about, gap=gap)), "completeness_gap")
    assert (f.severity, f.evidence["share"]) == ("warning", 0.15)
    assert "by more than 5 % for 3 of 20 examples at step 1 (median gap 1 %)" in f.text
    assert f.try_next.startswith("Raise n_steps above 16")
    gap[1] = 0.01
    f = only(judge(attribution(2, about, gap=gap)), "completeness_gap")
    assert (f.severity, f.last_step) == ("info", 0)  # it was, and is no longer
    gap[0, 2] = 0.01
    assert judge(attribution(2, about, gap=gap)) == []  # 2 of 20 is not more than a tenth


def test_classes_that_flip_late() -> None:
    classes = np.zeros((8, 10), int)
    classes[1, :] = 1  # early: no matter
    classes[7, :3] = 2
    f = only(judge(attribution(8, predicted=classes)), "class_flips")
    assert (f.severity, f.first_step, f.last_step) == ("warning", 7, 7)
    assert f.evidence == {"examples": [0, 1, 2], "count": 3, "of": 10, "flips": 3}
    assert "3 of 10 examples still changed after step 5" in f.text
    classes[7, 1:3] = 0
    assert only(judge(attribution(8, predicted=classes)), "class_flips").severity == "info"
    classes[7, 0] = -1  # unknown is not another class
    assert judge(attribution(8, predicted=classes)) == []
    assert judge(attribution(3, predicted=[[0, 0], [1, 1], [0, 0]])) == []  # no late to speak of


# --- robustness


def test_nothing_to_say_of_nothing() -> None:
    assert judge([]) == []
    for kind in ("attribution", "importance", "health"):
        assert judge([Record("t", 0, 0.0, kind)]) == []
        assert judge([Record("t", s, 0.0, kind) for s in range(5)]) == []


@pytest.mark.parametrize("n", [0, 1, 2])
@pytest.mark.parametrize("fill", [0.0, 1.0, math.nan, math.inf, -1.0])
@pytest.mark.parametrize("steps", [1, 2, 9])
def test_any_figures_give_findings_that_json_can_hold(n: int, fill: float, steps: int) -> None:
    names = ("output", "sum_abs", "entropy", "gap", "predicted", "mean_abs", "mean_abs_high")
    row = np.full(n, fill)
    found = judge(attribution(steps, {"additive": True}, **dict.fromkeys(names, row)))
    found += judge(importance([row.tolist()] * steps, 1.0, [fill] * steps))
    if math.isfinite(fill):
        json.dumps([asdict(f) for f in found], allow_nan=False)
    else:
        assert n == 0 or {f.rule for f in found} >= {"not_finite"}


def test_steps_without_figures_and_other_examples_are_left_out() -> None:
    records = importance([[0.3, 0.3]] * 4)
    records[1] = Record("pi", 1, 1.0, "importance")
    records[2] = Record("pi", 2, 2.0, "importance", {}, {"mean": np.zeros(5), "stderr": np.ones(5)})
    assert judge(records[::-1]) == []
    assert judge(attribution(3, sum_abs=[[0.0], [1.0], [1.0]])[::-1]) == []  # alive at the end
    classes = attribution(8, predicted=np.zeros((8, 4), int))
    classes += [
        Record("ig", s, 0.0, "attribution", {"probe": "b"}, {"predicted": np.full(4, s % 2)})
        for s in (8, 9)
    ]
    assert judge(classes) == []  # two steps of the new examples are too few


def test_the_gravest_comes_first() -> None:
    classes = np.zeros((8, 10), int)
    classes[6, :1] = 1
    strength = np.ones((8, 10))
    strength[7] = 0
    found = judge(attribution(8, predicted=classes, sum_abs=strength))
    assert [(f.severity, f.first_step) for f in found] == [("alarm", 7), ("info", 6)]


# --- error rates


def test_a_model_that_does_not_change_is_flagged_in_at_most_one_run_of_twenty() -> None:
    """Steps are independent estimates of one truth: more noise than common permutations leave."""
    rng = np.random.default_rng(0)
    flagged: Counter[str] = Counter()
    runs = 600
    for _ in range(runs):
        truth = rng.choice([0.05, 0.1, 0.2, 0.4], size=8)
        stderr = rng.uniform(0.01, 0.04, size=8)
        means = truth + stderr * rng.normal(size=(13, 8))
        scores = 0.5 + 0.01 * rng.normal(size=13)
        found = judge(importance(means, stderr, scores))
        flagged.update({f.rule for f in found if f.rule != "indistinguishable_from_zero"})
        flagged["any"] += any(f.rule != "indistinguishable_from_zero" for f in found)
        share = truth.max() / truth.sum()
        assert share < 0.55
    assert flagged["any"] <= 0.05 * runs, flagged


def test_a_feature_at_one_half_is_called_dominant_by_chance_only() -> None:
    rng = np.random.default_rng(1)
    runs, d = 2000, 5
    truth = np.array([0.5, 0.125, 0.125, 0.125, 0.125])
    flagged = 0
    for _ in range(runs):
        means = truth + 0.03 * rng.normal(size=(1, d))
        flagged += any(f.rule == "dominant_feature" for f in judge(importance(means, 0.03)))
    assert flagged <= findings.ERROR_RATE * runs + 3 * math.sqrt(findings.ERROR_RATE * runs)
    means = truth * [1.8, 0.4, 0.4, 0.4, 0.4] + 0.03 * rng.normal(size=(1, d))
    assert any(f.rule == "dominant_feature" for f in judge(importance(means, 0.03)))


def test_untrained_noise_is_no_shortcut() -> None:
    """Importances around zero at the start: shares are undefined there, and nothing rose."""
    rng = np.random.default_rng(2)
    flagged = 0
    for _ in range(400):
        means = 0.02 * rng.normal(size=(2, 6))
        found = judge(importance(means, 0.02))
        flagged += any(f.rule in ("rising_share", "dominant_feature") for f in found)
    assert flagged <= 20


# --- through a log directory


def test_findings_of_a_log_directory(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    names = ["id", "age", "sex", "pay"]
    probe = summary.Probe(
        {"x": np.zeros((3, 4), np.float32)},
        np.array([0, 1, 0]),
        {"feature_names": {"x": names}, "example_names": ["ann", "bob", "eve"]},
    )
    known = writer.write_probe(probe)
    for record in importance([[0.1, 0.1, 0.1, 0.1], [0.8, 0.1, 0.1, 0.1]], 0.01, [1.0, 0.5]):
        meta = {**record.meta, "probe": known}
        writer.write(Record("pi", record.step, 1.0, "importance", meta, record.figures))
    for record in attribution(2, {"probe": known}, output=[1.0, 2, 3], sum_abs=[1.0, 0.0, 1.0]):
        writer.write(record)
    writer.close()
    log = reader.open(tmp_path)
    (run,) = log.runs
    found = findings.find(log, run)
    assert [(f.severity, f.rule, f.tag) for f in found] == [
        ("warning", "all_zero", "ig"),
        ("warning", "dominant_feature", "pi"),
        ("info", "rising_share", "pi"),
    ]
    assert "'bob'" in found[0].text
    assert "'id'" in found[1].text.lower()
    with pytest.raises(LookupError):
        findings.find(log, "other")


def test_a_flip_is_told_once_whatever_explains_it(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path)
    classes = np.zeros((8, 3), int)
    classes[7, 1] = 1
    for tag in ("saliency", "ig"):
        for r in attribution(8, predicted=classes, gap=np.full(3, 0.5)):
            writer.write(Record(tag, r.step, 1.0, r.kind, r.meta, r.figures))
    writer.close()
    log = reader.open(tmp_path)
    found = findings.find(log, log.runs[0])
    assert [(f.rule, f.tag) for f in found] == [
        ("completeness_gap", "ig"),
        ("completeness_gap", "saliency"),
        ("class_flips", "ig"),
    ]
    assert "example 1." in found[-1].text
