"""Findings: each rule on a run where it must speak, on one where it must not, and on no change."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

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


ROOT = Path(__file__).resolve().parent.parent.parent
GUESS = "no_better_than_guess"
MOVES = "explanations_move_predictions_still"
EX = "explanation"
INSENSITIVE = "insensitive_to_parameters"


def only(found: list[Finding], rule: str) -> Finding:
    assert [f.rule for f in found] == [rule], found
    json.dumps(asdict(found[0]), allow_nan=False)
    return found[0]


def test_the_document_names_every_rule_and_no_other() -> None:
    source = Path(findings.__file__).read_text(encoding="utf-8")
    rules = {
        *re.findall(r'Finding\(\s*"([a-z_]+)"', source),
        findings.DRIFT,
        *(rule for _, rule, *_ in findings._HEALTH),
    } - {"not_judged"}  # what stands where a rule fails
    assert rules == set(findings.RULES)
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([a-z]+(?:_[a-z]+)+|faded|concentrated|shortcut)`", text))
    assert len(rules) > 25
    assert rules <= told, rules - told
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", text, flags=re.MULTILINE)
    assert {rule for row in rows for rule in re.findall("[a-z_]+", row)} <= rules


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
    # share_low from the delta method, a / (a + b) with a = 0.8, b = 0.2, by hand; at the fourth
    # step the level is 0.01 / (4 * 5), one-sided: 3.2905 standard errors
    error = math.hypot(0.2 * 0.01, 0.8 * 0.01 * math.sqrt(3))
    assert f.evidence["share_low"] == pytest.approx(0.8 - 3.2905 * error, abs=1e-4)


def test_a_feature_that_dominates_for_one_step_is_a_note() -> None:
    means = [[0.1, 0.1, 0.1, 0.1], [0.3, 0.1, 0.1, 0.1], [0.8, 0.1, 0.05, 0.05]]

    def severity(means: list[list[float]]) -> str:
        found = judge(importance(means))
        return next(f.severity for f in found if f.rule == "dominant_feature")

    assert severity(means) == "info"
    assert severity([*means, means[-1]]) == "warning"
    assert severity(means[-1:]) == "warning"  # explained once: there is nothing to wait for


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


def test_a_model_that_is_no_better_than_a_guess() -> None:
    nothing = [0.01] * 3
    f = only(judge(importance([[0.0] * 3, nothing, nothing], 0.01, [0.7, 0.69, 0.69])), GUESS)
    assert (f.severity, f.first_step, f.last_step) == ("warning", 1, 2)
    assert f.text.startswith("None of 3 features matters since step 1 (log_loss 0.69): ")
    assert (f.evidence["name"], f.evidence["of"]) == ("labels", 3)
    # The untrained model is not blamed for knowing nothing.
    assert judge(importance([[0.0] * 3])) == []
    # One useful feature is enough, and features that do harm are none.
    assert GUESS not in {f.rule for f in judge(importance([nothing, [0.01, 0.01, 0.1]]))}
    assert GUESS in {f.rule for f in judge(importance([nothing, [0.01, 0.01, -0.1]]))}
    # Unused: exactly zero, without any error.
    f = only(judge(importance([[0.0] * 3] * 2, 0.0)), GUESS)
    assert f.evidence["exactly_zero"] == 3
    assert "that of 3 is exactly zero" in f.text
    # It was so, and is no longer.
    assert GUESS not in {f.rule for f in judge(importance([nothing, nothing, [0.5, 0.3, 0.2]]))}


def test_many_features_that_say_the_same_are_of_use_together() -> None:
    # Each at 2.5 standard errors: none passes the test of a whole run, a quarter and more do 95 %.
    mean = np.r_[np.full(12, 0.25), np.zeros(18)]
    records = importance([mean] * 12, 0.1)
    assert GUESS not in {f.rule for f in judge(records)}
    few = importance([np.r_[np.full(3, 0.25), np.zeros(27)]] * 12, 0.1)
    assert GUESS in {f.rule for f in judge(few)}


def with_baseline(**figures: Sequence[float]) -> list[Record]:
    """Three healthy steps, of which the first holds what is logged once."""
    d = len(next(iter(figures.values())))
    records = importance([[0.3] * d] * 3)
    first = {**records[0].figures, **{k: np.array(v, float) for k, v in figures.items()}}
    later = {k: np.full(d, math.nan) for k in figures}
    return [
        Record("pi", 0, 0.0, "importance", records[0].meta, first),
        *(
            Record("pi", r.step, 0.0, "importance", r.meta, {**r.figures, **later})
            for r in records[1:]
        ),
    ]


def test_a_column_that_tells_the_label_alone_is_named() -> None:
    scores = {
        "single_score": [0.7, 0.99, 0.6],
        "single_low": [0.65, 0.97, 0.5],
        "single_high": [0.75, 1.0, 0.7],
    }
    f = only(judge(with_baseline(**scores), ["age", "outcome_code", "pay"]), "leaked_column")
    assert (f.severity, f.first_step, f.last_step) == ("warning", 0, 2)
    assert f.text.startswith("'outcome_code' alone tells the label almost without error (score")
    assert (f.evidence["name"], f.evidence["score_low"]) == ("outcome_code", 0.97)
    # Sure of 0.95 only as far as the rows allow.
    assert judge(with_baseline(**{**scores, "single_low": [0.65, 0.94, 0.5]})) == []
    # Several good columns, or one that is not clear of the next, are a note.
    good = {
        "single_score": [0.98, 0.99, 0.6],
        "single_low": [0.96, 0.97, 0.5],
        "single_high": [0.99, 1.0, 0.7],
    }
    f = only(judge(with_baseline(**good)), "leaked_column")
    assert (f.severity, f.evidence["features"]) == ("info", [0, 1])
    near = {**scores, "single_high": [0.98, 1.0, 0.7]}
    assert only(judge(with_baseline(**near)), "leaked_column").severity == "info"
    # Constant columns have no score; logs without intervals are judged by the score itself.
    alone = {"single_score": [math.nan, 0.99, 0.6]}
    assert only(judge(with_baseline(**alone)), "leaked_column").evidence["feature"] == 1
    assert judge(with_baseline(single_score=[math.nan] * 3)) == []


def test_an_unscaled_column_is_named() -> None:
    f = only(judge(with_baseline(scale=[1.0, 1000.0, 0.5, 2.0])), "unscaled_feature")
    assert (f.severity, f.first_step, f.last_step) == ("warning", 0, 2)
    assert f.evidence["name"] == "feature 1"
    assert f.evidence["ratio"] == pytest.approx(1000 / 1.5)
    assert "is not scaled: 667 times as wide as the median column" in f.text
    f = only(judge(with_baseline(scale=[1, 1, 1, 1, 1, 300, 2000.0])), "unscaled_feature")
    assert f.evidence["features"] == [6, 5]
    for scale in ([1.0, 90.0, 1.0, 1.0], [1.0, 1000.0, 0.0, math.nan], [0.0, 0.0, 0.0, 0.0]):
        assert judge(with_baseline(scale=scale)) == []


def test_an_untrained_model_that_sees_one_feature_only() -> None:
    mean = np.array([[0.97, 0.01, 0.01, 0.01], [0.3, 0.2, 0.2, 0.2]])
    figures = {"mean_abs": mean, "mean_abs_high": mean + 0.002}
    f = only(judge(attribution(2, {"additive": True}, **figures)), "unscaled_feature")
    assert (f.severity, f.first_step, f.last_step, f.evidence["feature"]) == ("warning", 0, 1, 0)
    assert judge(attribution(2, {"additive": False}, **figures)) == []  # slopes have units
    later = attribution(2, {"additive": True}, **figures)[1:]
    assert judge(later) == []  # what a trained model prefers is another matter
    wide = {"mean_abs": mean, "mean_abs_high": mean + 0.3}
    assert judge(attribution(2, {"additive": True}, **wide)) == []


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


def test_maps_of_evidence_for_the_label_alone_may_be_empty() -> None:
    strength = [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    found = only(judge(attribution(2, {"signed": False}, sum_abs=strength)), "all_zero")
    assert found.severity == "info"
    assert "Nothing speaks for the label of 1 of 3 examples" in found.text
    strength = [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    found = only(judge(attribution(2, {"signed": False}, sum_abs=strength)), "all_zero")
    assert found.severity == "warning"


def test_what_a_budget_took_is_said() -> None:
    budget = {"budget": 0.05, "skipped": 3}
    records = attribution(4, budget, sum_abs=np.ones((4, 8)))
    found = only(judge(records), "reduced_for_budget")
    assert found.text.startswith(
        "To stay within 5 % of training time, only 4 of 16 scheduled steps"
    )
    reduced = {**budget, "skipped": 0, "reduced": {"examples": [8, 16], "samples": 0.5}}
    found = only(judge(attribution(4, reduced, sum_abs=np.ones((4, 8)))), "reduced_for_budget")
    assert "only 8 of 16 examples and 50 % of the steps or samples are explained" in found.text
    enough = attribution(4, {"budget": 0.5, "skipped": 0}, sum_abs=np.ones((4, 8)))
    assert "reduced_for_budget" not in [f.rule for f in judge(enough)]


def test_figures_that_cannot_be_judged_hide_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = summary.writer(tmp_path)
    for tag in ("a", "b"):
        figures = {"sum_abs": np.zeros(4)}
        writer.write(Record(tag, 0, 0.0, "attribution", {"probe": ""}, figures, {}))
    writer.close()
    judged = findings.judge

    def broken(records: Sequence[Record], *names: Any) -> list[Finding]:
        if records[0].tag == "a":
            raise ZeroDivisionError("of a rule")
        return judged(records, *names)

    monkeypatch.setattr(findings, "judge", broken)
    found = {f.tag: f for f in findings.find(reader.open(tmp_path), ".")}
    assert found["a"].rule == "not_judged"
    assert "ZeroDivisionError: of a rule" in found["a"].text
    assert found["b"].rule == "all_zero"


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
    classes[7, :3] = 1
    f = only(judge(attribution(8, predicted=classes)), "class_flips")
    assert (f.severity, f.first_step, f.last_step) == ("warning", 7, 7)
    assert f.evidence == {
        "examples": [0, 1, 2],
        "count": 3,
        "of": 10,
        "flips": 3,
        "flipped_back": 3,
    }
    assert "3 of 10 examples still changed after step 5" in f.text
    classes[7, :3] = 2  # to a class they never had: they may just have been learned
    f = only(judge(attribution(8, predicted=classes)), "class_flips")
    assert (f.severity, f.evidence["flipped_back"]) == ("info", 0)
    classes[7, :3] = [1, 0, 0]
    assert only(judge(attribution(8, predicted=classes)), "class_flips").severity == "info"
    classes[7, 0] = -1  # unknown is not another class
    assert judge(attribution(8, predicted=classes)) == []
    assert judge(attribution(3, predicted=[[0, 0], [1, 1], [0, 0]])) == []  # no late to speak of
    few = np.zeros((8, 30), int)
    few[7, 0] = 1
    assert judge(attribution(8, predicted=few)) == []  # one of thirty is not worth a word
    few[7, 1] = 1
    only(judge(attribution(8, predicted=few)), "class_flips")


# --- places


def spread(mean: Sequence[float], sd: float, n: int = 24) -> np.ndarray:
    """Figures (t, n) with exactly these means, and this standard deviation over examples."""
    z = np.sin(np.arange(n) * 1.7)
    z = (z - z.mean()) / z.std(ddof=1)
    return np.asarray(mean)[:, None] + sd * z


def masks(area: float = 0.1, n: int = 24, *, suspect: bool = True) -> dict[str, Any]:
    return {"masks": {"logo": {"area": [area] * n, "suspect": suspect}}}


def test_a_shortcut_is_seen_in_the_magnitudes_of_a_place() -> None:
    mass = spread([0.1, 0.11, 0.3, 0.4], 0.05)
    mass[2:] += spread([0.0, 0.0], 0.01)[:, ::-1]  # paired differences are not all the same
    f = only(judge(attribution(4, masks(), **{"mass.logo": mass})), "shortcut")
    assert (f.severity, f.first_step, f.last_step, f.view) == ("warning", 2, 3, "maps")
    assert f.evidence["name"] == "logo"
    assert f.evidence["mass"] == pytest.approx(0.4)
    assert "'logo' must not matter, and does since step 2. Its share of the explanation" in f.text
    assert "from 10 % to 40 %, on 10 % of the area" in f.text
    for rows, area in (
        (mass, 0.3),  # no more than its area
        (mass[[3, 2]], 0.1),  # it was there at first: nothing emerged
        (spread([0.1, 0.2], 0.4), 0.1),  # the rise is sure, that it is above the area is not
        (mass[::-1], 0.1),  # it went away
    ):
        found = judge(attribution(len(rows), masks(area), **{"mass.logo": rows}))
        assert "shortcut" not in {f.rule for f in found}
    assert judge(attribution(4, masks(suspect=False), **{"mass.logo": mass})) == []


def test_a_shortcut_is_seen_in_the_votes_of_a_place() -> None:
    """A bright border holds half of each map; only where it tells the label does it vote."""
    figures = {
        "mass.logo": spread([0.6, 0.45, 0.45], 0.1),
        "signed.logo": spread([0.0, 0.15, 0.3], 0.1),
    }
    additive = {"additive": True}
    f = only(judge(attribution(3, masks(0.5) | additive, **figures)), "shortcut")
    assert (f.first_step, f.last_step) == (1, 2)
    assert f.evidence["vote"] == pytest.approx(0.3)
    assert "+30 % net speaks for the label from there at step 2, 0 % at step 0. Its" in f.text
    assert judge(attribution(3, masks(0.5), **figures)) == []  # signs of slopes are no votes
    idle = figures | {"signed.logo": spread([0.0, 0.01, 0.02], 0.01)}
    assert judge(attribution(3, masks(0.5) | additive, **idle)) == []  # sure, and too little
    noisy = figures | {"signed.logo": spread([0.0, 0.15, 0.15], 0.5)}
    assert judge(attribution(3, masks(0.5) | additive, **noisy)) == []
    # A network that had learned it before the first logged step.
    before = {"signed.logo": spread([0.4, 0.4], 0.1)}
    assert only(judge(attribution(2, masks() | additive, **before)), "shortcut").first_step == 0


def test_evidence_that_leaves_its_mask() -> None:
    mass = spread([0.5, 0.45, 0.2], 0.05)
    f = only(
        judge(attribution(3, masks(0.4, suspect=False), **{"mass.logo": mass})),
        "evidence_leaves_mask",
    )
    assert (f.severity, f.first_step, f.evidence["name"]) == ("warning", 2, "logo")
    assert judge(attribution(3, masks(0.1, suspect=False), **{"mass.logo": mass})) == []
    assert judge(attribution(3, masks(0.4), **{"mass.logo": mass})) == []


def test_masks_that_do_not_fit_are_left_out() -> None:
    mass = spread([0.1, 0.5], 0.05)
    for about in (None, 3, {"logo": 3}, {"logo": {"suspect": True}}, {"other": {"area": 0.1}}):
        assert judge(attribution(2, {"masks": about}, **{"mass.logo": mass})) == []
    wrong = {"logo": {"area": [0.1] * 7, "suspect": True}}
    assert judge(attribution(2, {"masks": wrong}, **{"mass.logo": mass})) == []
    one = {"logo": {"area": 0.1, "suspect": True}}
    assert only(judge(attribution(2, {"masks": one}, **{"mass.logo": mass})), "shortcut")
    mass[1] = np.nan  # undefined: nothing is said
    assert judge(attribution(2, masks(), **{"mass.logo": mass})) == []


def cells(steps: int, votes: dict[int, Sequence[float]], sd: float, n: int = 24) -> list[Record]:
    """Image records whose cells of 4 x 4 vote like this on average; others are noise around 0."""
    rng = np.random.default_rng(5)
    about = {
        "inputs": {"x": {"shape": [28, 28, 1]}},
        "additive": True,
        "grid": [4, 4],
    }
    table = 0.02 * rng.normal(size=(steps, n, 16))
    for cell, mean in votes.items():
        table[:, :, cell] = spread(mean, sd, n)
    return [
        Record("ig", t, 0.0, "attribution", about, {"grid_signed": table[t]}) for t in range(steps)
    ]


def test_a_mark_in_the_corner_is_found_without_a_hint() -> None:
    f = only(judge(cells(3, {3: [0.0, 0.1, 0.2]}, 0.05)), "one_place")
    assert (f.severity, f.first_step, f.last_step) == ("warning", 1, 2)
    assert (f.evidence["name"], f.evidence["cells"]) == ("top right corner", [3])
    assert "since step 1: the top right corner. On balance 20 % of all evidence" in f.text
    assert (
        judge(cells(3, {4: [0.0, 0.1, 0.2]}, 0.05))[0].evidence["name"]
        == "cell in row 2, column 1 of 4 x 4"
    )
    # The middle of pictures is where things are; what differs between pictures is no mark.
    assert judge(cells(3, {5: [0.0, 0.1, 0.2]}, 0.05)) == []
    assert judge(cells(3, {3: [0.0, 0.1, 0.2]}, 0.25)) == []
    assert judge(cells(3, {3: [0.2, 0.2, 0.2]}, 0.05)) == []
    assert judge(cells(3, {3: [0.0, 0.02, 0.04]}, 0.01)) == []


def test_a_frame_is_found_without_a_hint() -> None:
    edge = [c for c in range(16) if c not in (5, 6, 9, 10)]
    f = only(judge(cells(3, {c: [0.0, 0.02, 0.03] for c in edge}, 0.02)), "one_place")
    assert (f.evidence["name"], f.evidence["cells"]) == ("border", edge)
    assert f.evidence["share"] == pytest.approx(0.36)
    inner = {c: [0.0, 0.1, 0.12] for c in (5, 6, 9, 10)}
    assert judge(cells(3, {c: [0.0, 0.02, 0.03] for c in edge} | inner, 0.02)) == []


def test_unsigned_maps_that_sit_in_one_cell() -> None:
    about = {"inputs": {"x": {"shape": [28, 28, 1]}}, "grid": [4, 4]}

    def records(cell: int, share: Sequence[float]) -> list[Record]:
        table = np.zeros((len(share), 24, 16))
        table[:, :, cell] = spread(share, 0.05)
        return [
            Record("cam", t, 0.0, "attribution", about, {"grid": rows})
            for t, rows in enumerate(table)
        ]

    f = only(judge(records(0, [0.1, 0.35])), "one_place")
    assert f.evidence["name"] == "top left corner"
    assert "35 % of each explanation lie there" in f.text
    assert judge(records(5, [0.1, 0.35])) == []
    assert only(judge(records(5, [0.1, 0.6])), "one_place").evidence["cells"] == [5]
    for grid in (None, 4, [4], [2, 8], ["a", 4]):
        odd = [
            Record("cam", r.step, 0.0, r.kind, about | {"grid": grid}, r.figures)
            for r in records(0, [0.1, 0.35])
        ]
        assert judge(odd) == []


# --- quality


def test_explanations_that_are_unstable() -> None:
    f = only(judge(attribution(3, max_sensitivity=spread([0.2, 1.5, 1.6], 0.3))), "unstable_" + EX)
    assert (f.severity, f.first_step, f.view) == ("warning", 1, "quality")
    assert judge(attribution(3, max_sensitivity=spread([0.2, 0.9, 0.9], 0.3))) == []
    assert judge(attribution(3, max_sensitivity=spread([1.1] * 3, 2.0))) == []


def test_explanations_that_are_unfaithful() -> None:
    f = only(judge(attribution(2, faithfulness=spread([0.3, -0.4], 0.2))), "unfaithful_" + EX)
    assert (f.severity, f.first_step, f.evidence["name"]) == ("info", 1, "faithfulness")
    assert judge(attribution(2, faithfulness=spread([0.3, 0.0], 0.2))) == []
    late = {"deletion": spread([0.6, 0.6], 0.05), "deletion_random": spread([0.5, 0.5], 0.03)}
    f = only(judge(attribution(2, **late)), "unfaithful_" + EX)
    assert f.evidence["name"] == "deletion"
    early = {"deletion": late["deletion_random"], "deletion_random": late["deletion"]}
    assert judge(attribution(2, **early)) == []


def test_explanations_that_do_not_depend_on_the_weights() -> None:
    blind = spread([0.95, 0.95, 0.95], 0.05, 12)
    f = only(judge(attribution(3, randomisation=blind)), "insensitive_to_parameters")
    assert (f.severity, f.first_step, f.view) == ("info", 0, "quality")
    assert judge(attribution(3, randomisation=spread([0.5, 0.7, 0.7], 0.1))) == []
    # It is grave where they also lie as before training: zeros of the input alone do not do that.
    rng = np.random.default_rng(2)
    first, other = rng.dirichlet(np.ones(16), size=(2, 12))
    f = only(judge(in_cells(np.stack([first, other, first]), randomisation=blind)), INSENSITIVE)
    assert (f.severity, f.first_step, f.evidence["cosine"]) == ("warning", 2, pytest.approx(1))
    f = only(judge(in_cells(np.stack([first, other, other]), randomisation=blind)), INSENSITIVE)
    assert f.severity == "info"
    mean = np.array([[0.5, 0.3, 0.2, 0.1], [0.5, 0.3, 0.2, 0.12], [0.5, 0.3, 0.2, 0.11]])
    f = only(judge(attribution(3, randomisation=blind, mean_abs=mean)), INSENSITIVE)
    assert (f.severity, f.first_step) == ("warning", 1)


def in_cells(rows: np.ndarray, **figures: Any) -> list[Record]:
    """Image records with the magnitudes of cells (t, n, 16) and other figures (t, n)."""
    about = {"grid": [4, 4]}
    return [
        Record(
            "s", t, 0.0, "attribution", about, {"grid": r, **{k: v[t] for k, v in figures.items()}}
        )
        for t, r in enumerate(rows)
    ]


def test_explanations_that_stay_while_outputs_move() -> None:
    rng = np.random.default_rng(3)
    first = rng.dirichlet(np.ones(16), size=12)
    same = np.stack([first] * 3) + 1e-3 * rng.random((3, 12, 16))
    output = spread([0.1, 2.0, 4.0], 0.3, 12)
    f = only(judge(in_cells(same, output=output)), "explanation_never_moved")
    assert (f.severity, f.first_step, f.last_step) == ("info", 1, 2)
    assert judge(in_cells(same, output=spread([2.0, 2.1, 2.2], 0.3, 12))) == []
    other = np.stack([first, rng.dirichlet(np.ones(16), size=12), first[::-1]])
    assert judge(in_cells(other, output=output)) == []


def test_explanations_that_move_while_predictions_stay() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.dirichlet(np.full(16, 0.3), size=(2, 12))
    rows = np.stack([a, a, a, a, b, b])
    output = spread([0.0, 3.0, 4.0, 4.0, 4.0, 4.01], 0.3, 12)
    classes = np.ones((6, 12), np.int32)
    f = only(judge(in_cells(rows, output=output, predicted=classes)), MOVES)
    assert (f.severity, f.first_step, f.last_step) == ("warning", 4, 5)
    flips = classes.copy()
    flips[5, 0] = 0
    for figures in (
        {"output": output, "predicted": flips},
        {"output": spread([0.0, 3.0, 4.0, 4.0, 5.0, 6.0], 0.3, 12), "predicted": classes},
    ):
        assert MOVES not in {f.rule for f in judge(in_cells(rows, **figures))}
    still = judge(in_cells(rows[[0] * 6], output=output, predicted=classes))
    assert MOVES not in {f.rule for f in still}


def drifting(folder: Path, shift: float, stderr: float, seed: int = 0) -> None:
    """A run whose maps turn by `shift` late in training, while all predictions stand still."""
    rng = np.random.default_rng(seed)
    a, b = (np.abs(np.random.default_rng(s).normal(size=(12, 8, 8, 1))) for s in (1, 2))
    writer = summary.writer(folder)
    for step in range(6):
        x = a + (shift * (b - a) if step > 3 else 0.0)
        noisy = x + stderr * rng.standard_normal(x.shape)
        cells = np.abs(noisy).reshape(12, 2, 4, 2, 4).sum((2, 4)).reshape(12, 4)
        # Few cells, far apart: what the rule itself sees is large in every run of this test.
        cells = np.eye(4)[np.full(12, int(step > 3))] + 1e-3 * cells / cells.sum(1, keepdims=True)
        figures = {
            "output": np.r_[0.0, 3.0, 4.0, 4.0, 4.0, 4.01][step] + np.zeros(12),
            "predicted": np.ones(12, np.int32),
            "grid": cells,
        }
        meta = {"probe": "", "grid": [2, 2], "method": "ig", "signed": True}
        maps = {"x": noisy, "x.stderr": np.full(x.shape, stderr)}
        writer.write(Record("ig", step, float(step), "attribution", meta, figures, maps))
    writer.close()


def test_a_flag_of_drift_must_leave_the_noise_floor_and_the_seed_band(tmp_path: Path) -> None:
    def flagged(logdir: Path, run: str) -> bool:
        return MOVES in {f.rule for f in findings.find(reader.open(logdir), run)}

    drifting(tmp_path / "alone" / "moved", 0.8, 0.01)
    drifting(tmp_path / "alone" / "noisy", 0.0, 3.0)
    assert flagged(tmp_path / "alone", "moved")
    assert not flagged(tmp_path / "alone", "noisy")  # two explanations of one model differ as much
    for seed in range(3):
        drifting(tmp_path / "seeds" / f"seed{seed}", 0.8, 0.01, seed)
    drifting(tmp_path / "seeds" / "other", 1.0, 0.01)
    assert flagged(tmp_path / "seeds", "other")
    assert sum(flagged(tmp_path / "seeds", f"seed{seed}") for seed in range(3)) == 0


# --- health


def health(*states: Sequence[str], **meta: Any) -> list[Record]:
    layers = [f"dense_{i}" for i in range(len(states[0]))]
    about = {"layers": layers, "n": 64, **meta}
    return [
        Record("model_health", t, 0.0, "health", {**about, "states": list(words)})
        for t, words in enumerate(states)
    ]


@pytest.mark.parametrize(
    ("word", "rule", "severity"),
    [
        ("not finite", "not_finite_layers", "alarm"),
        ("exploding", "exploding_gradients", "alarm"),
        ("dead", "dead_units", "warning"),
        ("saturated", "saturated_units", "warning"),
        ("vanishing", "vanishing_gradients", "warning"),
    ],
)
def test_layers_that_are_not_healthy_are_named(word: str, rule: str, severity: str) -> None:
    good = ["healthy", "frozen", "healthy"]
    f = only(judge(health(good, good, ["healthy", "frozen", word], [word, "frozen", word])), rule)
    assert (f.severity, f.first_step, f.last_step, f.view) == (severity, 2, 3, "health")
    assert f.evidence["layers"] == ["dense_0", "dense_2"]
    assert f.evidence["since"] == [3, 2]
    assert "2 of 3 layers" in f.text
    assert "since step 2: dense_0, dense_2." in f.text
    f = only(judge(health(["healthy", word])), rule)
    assert f.evidence["name"] == "dense_1"
    assert judge(health([word, "healthy"], ["healthy", "healthy"])) == []  # it recovered
    assert judge(health([word], ["healthy"], [word]))[0].first_step == 2


def test_a_checked_gradient_that_is_wrong_is_named() -> None:
    records = health(["healthy"] * 3, ["healthy"] * 3)
    assert judge(records) == []
    for errors, wrong in (
        ([1e-9, math.nan, 0.099], []),
        ([0.5, 1e-9, math.nan], [0]),
        ([0.5, math.inf, 0.1], [0, 1]),
    ):
        records[0].figures["gradient_check"] = np.array(errors, np.float32)
        found = judge(records)
        assert [f.evidence["positions"] for f in found] == ([wrong] if wrong else [])
        for f in found:
            assert (f.rule, f.first_step, f.last_step, f.view) == ("wrong_gradient", 0, 1, "health")
            assert f.evidence["layers"] == [f"dense_{i}" for i in wrong]
            assert f"{len(wrong)} of 3 layers" in f.text
    records[0].figures["gradient_check"] = np.array([1.0], np.float32)  # of other layers
    assert judge(records) == []


def test_a_cause_stands_before_what_follows_from_it(tmp_path: Path) -> None:
    writer = summary.writer(tmp_path / "run")
    for step in range(4):
        words = ["dead" if step > 1 else "healthy", "healthy"]
        writer.write(replace(health(words)[0], step=step, tag="model_health"))
        values = np.full(8, 0.0 if step > 1 else 1.0, np.float32)
        writer.write(Record("ig", step, 0.0, "attribution", {}, {"sum_abs": values}))
    writer.close()
    first, second = findings.find(reader.open(tmp_path), "run")
    assert (first.rule, first.severity, first.first_step) == ("dead_units", "alarm", 2)
    assert (second.rule, second.severity, second.first_step) == ("all_zero", "alarm", 2)
    assert second.evidence["cause"] == "dead_units"
    assert second.try_next == "It may follow from dense_0, see above: mend that first."


def test_health_records_without_words_say_nothing() -> None:
    dead = ["dead", "dead"]
    assert judge(health(dead, layers=None)) == []
    assert judge(health(dead, layers=["a"])) == []
    broken = [Record("h", 0, 0.0, "health", {"layers": ["a"], "states": 3})]
    assert judge(broken) == []


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


@pytest.mark.parametrize("freedom", [2, 3, 4, 7, 12, 31, 64, 199, 200])
def test_students_tail(freedom: int) -> None:
    t = np.array([-3.0, -0.5, 0.0, 0.3, 1.0, 2.5, 4.0, 6.0])
    expected = stats.t.sf(t, freedom)
    assert findings._student_tail(t, freedom) == pytest.approx(expected, rel=1e-6, abs=1e-13)
    assert findings._student_tail(np.array([np.inf]), freedom) == pytest.approx(0, abs=1e-13)


def test_levels_of_all_steps_add_up_to_the_error_rate() -> None:
    levels = findings._levels(100_000, 4)
    assert levels.sum() == pytest.approx(findings.ERROR_RATE / 4, rel=1e-4)
    assert levels.sum() < findings.ERROR_RATE / 4
    limits = findings._limits(5, 3)
    assert stats.norm.sf(limits) == pytest.approx(findings._levels(5, 3), rel=1e-6)
    assert findings._limits(3, 3) == pytest.approx(limits[:3])


def test_a_test_keeps_its_level_over_all_steps_of_a_run() -> None:
    """Of runs at exactly the border, the share that is ever flagged, judged at every step."""
    rng = np.random.default_rng(6)
    runs, steps, n = 3000, 12, 16
    ever = 0
    for _ in range(runs):
        excess = rng.normal(size=(steps, n))
        ever += any(findings._surely(excess[:t], 1)[-1] for t in range(1, steps + 1))
    expected = findings._levels(steps, 1).sum() * runs
    assert expected / 2 < ever < expected + 3 * math.sqrt(expected), ever


def still_records(rng: np.random.Generator, steps: int, n: int) -> list[list[Record]]:
    """Every figure that a rule reads, as noise around constants of every example."""

    def around(
        low: float, high: float, sd: float, shape: tuple[int, ...] = (), skew: bool = False
    ) -> np.ndarray:
        truth = rng.uniform(low, high, size=(n, *shape))
        noise = rng.normal(size=(steps, n, *shape))
        if skew:  # shares are: mostly small, sometimes large
            noise = rng.exponential(size=noise.shape) - 1
        return truth + sd * noise

    grid = rng.dirichlet(np.ones(16), size=(n,)) + 0.01 * rng.normal(size=(steps, n, 16))
    votes = 0.3 * rng.dirichlet(np.ones(16), size=(n,)) + 0.02 * rng.normal(size=(steps, n, 16))
    figures = {
        "output": around(1, 5, 0.3),
        "predicted": np.zeros((steps, n), np.int32),
        "sum_abs": around(1, 2, 0.1),
        "entropy": around(4, 5, 0.1),
        "gap": np.abs(around(0, 0.02, 0.005)),
        "mass.logo": around(0.02, 0.2, 0.05, skew=True),
        "signed.logo": around(-0.02, 0.06, 0.05, skew=True),
        "mass.object": around(0.3, 0.7, 0.1),
        "max_sensitivity": around(0.1, 1.2, 0.3, skew=True),
        "faithfulness": around(-0.2, 0.5, 0.3),
        "deletion": around(0.2, 0.5, 0.1),
        "deletion_random": around(0.2, 0.5, 0.1),
        "randomisation": around(0.3, 0.95, 0.1),
        "grid": grid,
        "grid_signed": votes,
    }
    about = {
        "inputs": {"x": {"shape": [28, 28, 1], "kind": "image"}},
        "grid": [4, 4],
        "masks": {
            "logo": {"area": [0.1] * n, "suspect": True},
            "object": {"area": [0.5] * n, "suspect": False},
        },
    }
    runs = [
        [
            Record(tag, t, 0.0, "attribution", about | {"additive": additive}, row)
            for t in range(steps)
            for row in [{k: v[t] for k, v in figures.items()}]
        ]
        for tag, additive in (("ig", True), ("saliency", False))
    ]
    d = 8
    truth, stderr = rng.choice([0.05, 0.1, 0.2, 0.4], size=d), rng.uniform(0.01, 0.04, size=d)
    means = truth + stderr * rng.normal(size=(steps, d))
    scores = 0.5 + 0.01 * rng.normal(size=steps)
    records = importance(means, stderr, scores)
    single = {"single_score": rng.uniform(0.5, 0.9, d), "scale": rng.uniform(0.5, 2, d)}
    records[0] = Record(
        "pi", 0, 0.0, "importance", records[0].meta, {**records[0].figures, **single}
    )
    return [*runs, records, health(*[["healthy"] * 4] * steps)]


@pytest.mark.parametrize("n", [6, 24])
def test_runs_that_stand_still_are_flagged_in_at_most_one_of_twenty(n: int) -> None:
    """All rules, on two attribution tags, importances and health; judged at every step."""
    rng = np.random.default_rng(n)
    runs, steps = 120, 9
    flagged: Counter[str] = Counter()
    for _ in range(runs):
        rules = {
            f.rule
            for records in still_records(rng, steps, n)
            for t in range(1, steps + 1)
            for f in judge([r for r in records if r.step < t])
            if f.rule != "indistinguishable_from_zero"  # true of what is below its interval
        }
        flagged.update(rules)
        flagged["any"] += bool(rules)
    assert flagged["any"] <= 0.05 * runs, flagged


def test_judging_a_long_training_is_cheap() -> None:
    records = still_records(np.random.default_rng(0), 1000, 32)
    for tag in records:
        judge(tag)
        began = time.process_time()
        judge(tag)
        spent = time.process_time() - began
        assert spent < 0.25, (tag[0].tag, spent)  # some 20 ms, and room for a busy machine


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
        ("info", "dominant_feature", "pi"),
        ("info", "rising_share", "pi"),
    ]
    (early,) = findings.find(log, run, until=0)
    assert (early.rule, early.last_step) == ("all_zero", 0)
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


# --- several tags, several runs


def logged(folder: Path, records: Sequence[Record]) -> Path:
    writer = summary.writer(folder)
    for record in records:
        writer.write(record)
    writer.close()
    return folder


def of_tag(records: Sequence[Record], tag: str, probe: str, **meta: Any) -> list[Record]:
    return [
        Record(tag, r.step, 1.0, r.kind, {**r.meta, "probe": probe, **meta}, r.figures, r.arrays)
        for r in records
    ]


SIDES = "train_validation_disagree"


def test_two_sets_of_examples_on_which_other_features_matter(tmp_path: Path) -> None:
    train = importance([[0.0, 0.0, 0.0], [0.4, 0.4, 0.02], [0.5, 0.5, 0.02]])
    swapped = importance([[0.0, 0.0, 0.0], [0.3, 0.4, 0.02], [0.0, 0.9, 0.05]])
    names = {"names": ["red", "green", "blue"]}

    def found(where: str, other: Sequence[Record], **meta: Any) -> list[Finding]:
        folder = logged(
            tmp_path / where,
            [*of_tag(train, "train", "a" * 16, **names), *of_tag(other, "val", **names | meta)],
        )
        log = reader.open(folder)
        return [f for f in findings.find(log, log.runs[0]) if f.rule == SIDES]

    (f,) = found("swap", swapped, probe="b" * 16)
    assert (f.severity, f.first_step, f.last_step, f.tag) == ("warning", 2, 2, "val")
    # Red lost all, which gives green more: red is what is misread.
    assert (f.evidence["name"], f.evidence["names"]) == ("red", ["red", "green"])
    assert "'red', 'green' carry 49 % of the importance here and 0 % there" in f.text
    assert found("same examples", swapped, probe="a" * 16) == []
    assert found("other metric", swapped, probe="b" * 16, metric="auc") == []
    assert found("alike", importance([[0.0] * 3, [0.4, 0.3, 0.1]]), probe="b" * 16) == []
    # Three times as large, as overfitting makes it: the shares are the same.
    larger = importance([[3 * v for v in r.figures["mean"]] for r in train], 0.03)
    assert found("larger", larger, probe="b" * 16) == []
    noisy = importance([[0.0, 0.0, 0.0], [0.0, 0.9, 0.05]], 0.4)
    assert found("noisy", noisy, probe="b" * 16) == []


def test_contributions_that_differ_between_two_sets(tmp_path: Path) -> None:
    mean = np.array([0.6, 0.3, 0.1])
    one, other = (
        attribution(2, mean_abs=m, mean_abs_high=m + 0.05) for m in (mean, mean[[2, 1, 0]])
    )
    folder = logged(tmp_path, [*of_tag(one, "a", "a" * 16), *of_tag(other, "b", "b" * 16)])
    log = reader.open(folder)
    (f,) = findings.find(log, log.runs[0])
    assert (f.rule, f.evidence["tags"], sorted(f.evidence["features"])) == (
        SIDES,
        ["a", "b"],
        [0, 2],
    )


def test_sides_of_noise_disagree_by_chance_only() -> None:
    rng = np.random.default_rng(9)
    runs, flagged = 400, 0
    for _ in range(runs):
        truth = rng.choice([0.1, 0.2, 0.4], size=6)
        stderr = rng.uniform(0.02, 0.1, size=6)
        sides = [
            findings._Table(
                of_tag(importance(truth + stderr * rng.normal(size=(8, 6)), stderr), tag, probe),
                (),
                (),
            )
            for tag, probe in (("a", "a"), ("b", "b"))
        ]
        flagged += bool(findings._sides_disagree(*sides))
    assert flagged <= 0.02 * runs


def seeds(tmp_path: Path, *runs: Sequence[Record], probe: str = "a" * 16) -> Path:
    for i, records in enumerate(runs):
        logged(tmp_path / f"seed{i}", of_tag(records, "x", probe))
    return tmp_path


def test_seeds_that_rank_features_the_other_way_round(tmp_path: Path) -> None:
    one = importance([[0.0, 0.0, 0.0], [0.5, 0.2, 0.1]])
    other = importance([[0.0, 0.0, 0.0], [0.2, 0.5, 0.1]])
    log = reader.open(seeds(tmp_path / "two", one, other))
    assert len(log.runs) == 2
    for run in log.runs:
        (f,) = [f for f in findings.find(log, run) if f.rule == "seeds_disagree"]
        assert (f.severity, f.last_step, f.evidence["compared"]) == ("info", 1, 1)
        assert sorted(f.evidence["names"]) == ["feature 0", "feature 1"]
        assert f.evidence["runs"] == [other for other in log.runs if other != run]
    # Of four, the one that differs from the others is worth a warning.
    log = reader.open(seeds(tmp_path / "four", one, one, other, one))
    told = {
        run: [f.severity for f in findings.find(log, run) if f.rule == "seeds_disagree"]
        for run in log.runs
    }
    assert list(told.values()) == [["info"], ["info"], ["warning"], ["info"]]
    wide = [importance([[0.0] * 3, [0.5, 0.2, 0.1]], 0.2), importance([[0.0] * 3, [0.2, 0.5, 0.1]])]
    log = reader.open(seeds(tmp_path / "wide", *wide))
    assert "seeds_disagree" not in {f.rule for f in findings.find(log, log.runs[0])}


def test_seeds_whose_maps_point_elsewhere(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)

    def run(maps: np.ndarray) -> list[Record]:
        return [
            Record("x", t, 1.0, "attribution", {}, {"sum_abs": np.ones(8)}, {"x": maps[t]})
            for t in (0, 1)
        ]

    maps = rng.normal(size=(2, 8, 12)).astype(np.float32)
    near = maps + 0.3 * rng.normal(size=maps.shape).astype(np.float32)
    far = rng.normal(size=maps.shape).astype(np.float32)
    log = reader.open(seeds(tmp_path / "near", run(maps), run(near)))
    assert findings.find(log, log.runs[0]) == []
    log = reader.open(seeds(tmp_path / "far", run(maps), run(far)))
    f = only(findings.find(log, log.runs[0]), "seeds_disagree")
    assert (f.severity, f.view) == ("info", "maps")
    assert abs(f.evidence["cosine"]) < 0.3
    # Other examples cannot be compared, nor runs that share no step but the first.
    logged(tmp_path / "other" / "b", of_tag(run(far), "x", "b" * 16))
    logged(tmp_path / "other" / "a", of_tag(run(maps), "x", "a" * 16))
    logged(tmp_path / "other" / "c", of_tag(run(far)[:1], "x", "a" * 16))
    log = reader.open(tmp_path / "other")
    assert [findings.find(log, run) for run in log.runs] == [[], [], []]
