"""Findings: rules that turn what was logged into sentences that a careful colleague would say.

Rules look at the figures of tags over their steps and are computed when they are asked for, so that
old logs gain new rules, and at every step of a training, so that it can be stopped. Only the
comparison of runs reads arrays, those of one step. A rule speaks only where chance is ruled out:

* Tests over examples are paired and one-sided, with Student's t of the examples; tests of
  importances use their logged standard errors.
* The test at the k-th logged step has the level `ERROR_RATE / (k (k + 1))`, divided by the number
  of features, masks or places that are looked at. These levels add up to `ERROR_RATE`, so that it
  is the chance of a false alarm over the whole run, at however many steps it is judged.
* A rule that asks for two things at once (beyond step 0 and beyond the share of the area) needs no
  further correction: both must pass.

With at most five such tests per tag, a model that stands still is flagged in at most 5 % of runs.
Every threshold is a constant of this module with its reason; docs/findings.md lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from tb_xai import drift
from tb_xai.summary import Record

if TYPE_CHECKING:
    from tb_xai.reader import Log

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

ERROR_RATE = 0.01
"""Chance that one test gives a false alarm at any step of a run whose model does not change; with
at most five such tests per tag a run stays below 5 %."""

DOMINANT_SHARE = 0.5
"""Share of all positive importance above which one feature dominates: more than all others
together. With few features that is no news: twice an even share is asked for, up to 0.9."""

NEEDED_GAP = 0.05
"""Relative completeness gap that is too large, as `integrated_gradients` itself sees it."""

GAP_EXAMPLES = 0.1
"""Share of examples above `NEEDED_GAP` that is worth a word: single examples whose output happens
to equal that of the baseline have a large relative gap whatever the number of steps."""

LATE = 0.25
"""The last quarter of the logged steps counts as late in training."""

FLIPPING_EXAMPLES = 0.2
"""Share of examples that late flip back to a class they had before, which is a warning. Examples
that flip once may just have been learned, and a few that go to and fro are borderline cases."""

FEW_FLIPS = 0.05
"""Share of examples below which it is not worth a word that their class still changes late."""

FADED = 1e-3
"""Median strength, relative to the strongest step of the run, below which explanations faded:
log-odds do not saturate, so that three orders of magnitude are lost by dying units alone."""

CONCENTRATED = 0.01
"""Effective number of elements `exp(entropy)`, relative to all, below which a map is concentrated:
fewer than 8 pixels of 28 x 28, and never for inputs of up to 100 elements."""

RISE = 0.2
"""Rise of a feature's share of importance that matters beyond being larger than chance."""

STILL_SCORE = 0.05
"""Change of the score, relative to its range over the run, below which the score stands still."""

MOVED_IMPORTANCE = 0.2
"""Change of a share of importance, relative to the largest share, that matters beyond chance."""

TREND = 0.8
"""Kendall's tau of a score with the step that is a trend: by chance in 1.7 % of 6 steps, and more
rarely with more."""

SHORTCUT_VOTE = 0.05
"""Net share of all evidence for the label, from a place that must not matter, that is a shortcut: a
twentieth. A network that ignores a place leaves well below 0.02 there."""

STRONG_VOTE = 0.25
"""The same, where it may have been there before the first step that was logged."""

SHORTCUT_FACTOR = 1.5
"""Share of an explanation in a place that must not matter, relative to the place's share of the
area, above which it is a shortcut: half as much again as a blind explanation has there."""

LEFT_MASK = 0.1
"""Share of an explanation that left the place where the evidence lies, which is worth a warning."""

CONSTANT_VOTE = 1.0
"""Mean over its standard deviation, over examples, of the evidence for the label in a cell at the
edge of the picture from which on that cell speaks alike in all of them: for 84 of 100 it speaks for
the label if normal. What is looked at lies elsewhere in each picture; a mark does not."""

PLACE_SHARE = 0.25
"""Share of unsigned maps in one cell at the edge of the picture, of 16, that is a shortcut: four
times an even share. Inside, `DOMINANT_SHARE`."""

USEFUL_FEATURES = 0.25
"""Share of features whose 95 % interval lies above zero from which on the model is of use, ten
times what chance leaves (one in forty), even where none passes the stricter test of a whole run."""

LEAK = 0.95
"""Score of one column alone (AUC of a class, |rank correlation| of a value) above which it may hold
the label: real causes seldom leave less than one pair in twenty in the wrong order."""

UNSCALED = 100.0
"""Standard deviation of a column, relative to the median of all, above which it is not scaled. The
curvature of the loss along its weights is 1e4 times the others', and plain gradient descent takes
that many steps more (LeCun et al., Efficient BackProp, 1998)."""

UNSCALED_SHARE = 0.9
"""Share of one feature in the attributions of the untrained model above which it is not scaled:
random weights treat all features alike, so that its values must be tenfold."""

UNSTABLE = 1.0
"""Largest relative change of an explanation under invisible noise that is called unstable: as much
as the explanation itself (max-sensitivity, Yeh et al., 2019)."""

INSENSITIVE = 0.8
"""Rank correlation of magnitudes with those of the randomised model above which an explanation does
not speak of the model: more than 64 % of the ranks' variance (Adebayo et al., 2018)."""

STAYED = 0.95
"""Cosine, by place, with the explanation of the first step above which explanations lie where they
lay before training. Those of networks that learn something moved to 0.75 to 0.92."""

UNCHANGED = 0.99
"""Cosine with the explanation of the first step above which it never moved."""

MOVED_MAP = 0.7
"""Cosine between the maps of an example, cell by cell, below which they moved."""

DISAGREE = 0.25
"""Difference between a feature's shares of importance on two data sets that matters beyond
chance."""

UNLIKE = 0.3
"""Mean cosine between the explanations that two runs give of the same examples below which the runs
disagree: directions that have less than a tenth of their variance in common."""

DRIFT = "explanations_move_predictions_still"
"""The rule on drift: `find` also asks that the maps left their noise floor and the seed band."""

WRONG_GRADIENT = 0.1
"""Relative error of a checked gradient above which it is not the derivative. Rounding errors stay
below 1e-6, and a kink of one unit in one place, between the two points of a difference, changes a
small part of the sum; a factor or a sign that is wrong makes 0.5 or more."""

MOST_RUNS = 8
"""Other runs that one run is compared with, in alphabetical order."""

RULES = (
    *("all_zero", "class_flips", "completeness_gap", "concentrated", "dead_units"),
    *("dominant_feature", "evidence_leaves_mask", "explanation_never_moved"),
    *("explanations_move_predictions_still", "exploding_gradients", "faded"),
    *("importance_moves_score_still", "indistinguishable_from_zero", "insensitive_to_parameters"),
    *("leaked_column", "no_better_than_guess", "not_finite", "not_finite_layers", "one_place"),
    *("reduced_for_budget", "rising_share", "saturated_units", "score_moves_importance_still"),
    *("seeds_disagree", "shortcut", "train_validation_disagree", "unfaithful_explanation"),
    *("unscaled_feature", "unstable_explanation", "vanishing_gradients", "wrong_gradient"),
)
"""Names of all rules, as `Finding.rule` and the callbacks' `stop_on` have them."""

_SEVERITIES = ("alarm", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """One sentence about a run, with its evidence.

    Attributes:
        rule: Name of the rule, such as "dominant_feature".
        severity: "info" (good to know), "warning" (look at it) or "alarm" (something is broken).
        first_step: First step that it holds for.
        last_step: Last step that it holds for.
        tag: Tag of the explanation.
        text: What was found, in plain words with figures.
        try_next: What to do about it.
        evidence: Features, examples, layers and figures, as JSON can hold them; "name" is what the
            finding holds responsible, where that is one thing.
        view: View that shows it: "maps", "features", "quality" or "health".
    """

    rule: str
    severity: Literal["info", "warning", "alarm"]
    first_step: int
    last_step: int
    tag: str
    text: str
    try_next: str
    evidence: dict[str, Any]
    view: str


def find(log: Log, run: str, until: int | None = None) -> list[Finding]:
    """Return what the rules find in a run, the gravest first.

    Args:
        log: What was logged, see `reader.open`.
        run: Name of the run.
        until: Look at steps up to this one only, as if the run had just come there; None: all.

    Returns:
        Findings by severity and first step; empty where there is nothing to say, and for a run
        without explanations.

    Raises:
        reader.UnknownError: There is no such run.

    Example:
        >>> for finding in find(reader.open("logs"), "run1"):
        ...     print(finding.severity, finding.text)
    """
    found: list[Finding] = []
    tables: list[_Table] = []
    for tag, info in log.tags(run).items():
        if info.kind not in _RULES:
            continue
        records = log.records(run, tag)
        if until is not None:
            records = [record for record in records if record.step <= until]
        if records:
            features = log.feature_names(run, tag)
            examples = _example_names(log, run, records)
            judged = _told(tag, records[-1].step, judge, records, features, examples)
            table = _Table(records, features or (), examples or ())
            found += [f for f in judged if f.rule != DRIFT or _left_noise(log, run, table, f)]
            tables.append(table)
    for i, one in enumerate(tables):
        step = one.records[-1].step
        for other in tables[i + 1 :]:
            found += _told(one.tag, step, _sides_disagree, one, other)
        found += _told(one.tag, step, _runs_disagree, log, run, one)
    # What speaks of the model alone is said once, not for every explanation of the same examples.
    unique = {
        (f.tag if f.rule != "class_flips" else str(f.evidence), f.rule, f.evidence.get("name")): f
        for f in reversed(found)
    }
    return _sorted(_causes_first(list(unique.values())))


_CAUSES = ("not_finite_layers", "exploding_gradients", "dead_units")
_EFFECTS = ("all_zero", "faded", "no_better_than_guess", "vanishing_gradients", "saturated_units")


def _causes_first(found: list[Finding]) -> list[Finding]:
    """Say of what follows from broken layers that it does; a cause is as grave as its effects."""
    causes = [f for f in found if f.rule in _CAUSES]
    told = []
    for f in found:
        cause = next((c for c in causes if c.first_step <= f.first_step), None)
        if f.rule in _EFFECTS and cause is not None:
            names = _listed([str(name) for name in cause.evidence["layers"]])
            hint = f"It may follow from {names}, see above: mend that first."
            f = replace(f, try_next=hint, evidence={**f.evidence, "cause": cause.rule})  # noqa: PLW2901
        told.append(f)
    effects = [f for f in told if "cause" in f.evidence]
    for i, f in enumerate(told):
        grave = {e.severity for e in effects if f in causes and e.first_step >= f.first_step}
        if "alarm" in grave:
            told[i] = replace(f, severity="alarm")
    return told


def _left_noise(log: Log, run: str, table: _Table, finding: Finding) -> bool:
    """Whether the maps that a rule on drift speaks of left their noise floor and the seed band.

    The floor is what two independent explanations of the last step show; the band, where at least
    two other runs explained the same examples alike, is what their maps did between the steps.
    Maps that are no longer stored are believed.
    """
    first, last = int(finding.evidence["from_step"]), finding.last_step

    def drifted(records: Mapping[int, Record]) -> Floats:
        both = [records[first], records[last]]
        return np.asarray(drift.series(both, drift.cosine, first).values[1])

    here = {record.step: record for record in table.records}
    moved = drifted(here)
    floor = drift.noise_floor([here[last]], drift.cosine).values[0]
    if not len(moved) or not np.isfinite(moved).any():
        return True
    if not _surely((floor - moved)[None], 1)[0]:
        return False
    seeds = [
        float(np.nanmean(each))
        for _, there in _siblings(log, run, table)
        if {first, last} <= set(there) and np.isfinite(each := drifted(there)).any()
    ]
    return len(seeds) < 2 or float(np.nanmean(moved)) < min(seeds)


def _siblings(log: Log, run: str, table: _Table) -> Iterator[tuple[str, dict[int, Record]]]:
    """Other runs that explained the same examples in the same way, and their records by step."""
    mine = table.records[-1]
    for other in [each for each in log.runs if each != run][:MOST_RUNS]:
        if table.tag not in log.tags(other):
            continue
        there = {record.step: record for record in log.records(other, table.tag)}
        if not there:
            continue
        its = there[max(there)]
        alike = its.kind == mine.kind and _same_meta(mine, its)
        if alike and its.meta.get("probe") == mine.meta.get("probe"):
            yield other, there


def _told(
    tag: str, step: int, rules: Callable[..., Iterable[Finding]], *given: Any
) -> list[Finding]:
    """What rules say; figures that no callback writes must not hide what others have to say."""
    try:
        return list(rules(*given))
    except Exception as error:
        return [
            Finding(
                "not_judged",
                "info",
                step,
                step,
                tag,
                f"The figures of {tag!r} could not be judged: {type(error).__name__}: {error}.",
                "If tb_xai wrote them, please report this.",
                {},
                "overview",
            )
        ]


def judge(
    records: Sequence[Record],
    feature_names: Sequence[str] | None = None,
    example_names: Sequence[str] | None = None,
) -> list[Finding]:
    """Return what the rules find in the records of one tag, wherever they come from.

    Args:
        records: Records of one tag, of one kind; those so far while training goes on. A finding
            that holds now has the newest step as its `last_step`.
        feature_names: Names of the features; None calls them by their position.
        example_names: Names of the examples; None calls them by their position.

    Returns:
        Findings by severity and first step; empty for no records and for kinds without rules.

    Example:
        >>> judge([])
        []
    """
    if not records:
        return []
    table = _Table(records, feature_names or (), example_names or ())
    rules = _RULES.get(table.records[-1].kind, ())
    return _sorted([finding for rule in rules for finding in rule(table)])


def _sorted(found: list[Finding]) -> list[Finding]:
    def key(f: Finding) -> tuple[Any, ...]:
        return (_SEVERITIES.index(f.severity), "cause" in f.evidence, f.first_step, f.tag, f.rule)

    return sorted(found, key=key)


def _example_names(log: Log, run: str, records: Sequence[Record]) -> list[str] | None:
    try:
        probe = log.probe(run, str(records[-1].meta.get("probe", "")), inputs=())
    except (LookupError, ValueError):
        return None
    names = probe.meta.get("example_names")
    return [str(name) for name in names] if isinstance(names, list) else None


# --- what the rules read ------------------------------------------------------------------------


class _Table:
    """Figures of one tag; a step counts for a rule when it holds the figures the rule reads."""

    def __init__(
        self, records: Sequence[Record], features: Sequence[str], examples: Sequence[str]
    ) -> None:
        self.records = sorted(records, key=lambda record: record.step)
        self.tag, self.meta = self.records[-1].tag, self.records[-1].meta
        self._features, self._examples = features, examples
        self._rows: dict[tuple[str, ...], tuple[list[int], list[Floats]]] = {}
        self._matrices: dict[tuple[str, int], tuple[list[int], Floats]] = {}

    def rows(self, *figures: str) -> tuple[list[int], list[Floats]]:
        """Return the steps that hold all these figures and the figures, each `(t, n)`.

        Steps whose figures have another size than the last one's, or speak of other examples, are
        left out; infinite figures count as NaN.
        """
        if figures not in self._rows:
            self._rows[figures] = self._read(*figures)
        return self._rows[figures]

    def _read(self, *figures: str) -> tuple[list[int], list[Floats]]:
        have = [r for r in self.records if all(_is_vector(r, f) for f in figures)]
        nothing: tuple[list[int], list[Floats]] = ([], [np.empty((0, 0)) for _ in figures])
        if not have:
            return nothing
        columns = [[r.figures[f] for r in have] for f in figures]
        sizes = [len(column[-1]) for column in columns]
        probe = have[-1].meta.get("probe")
        same = [
            t
            for t, r in enumerate(have)
            if r.meta.get("probe") == probe
            and all(len(c[t]) == size for c, size in zip(columns, sizes, strict=True))
        ]
        if 0 in sizes:
            return nothing
        table = [
            np.concatenate([c[t] for t in same], dtype=np.float64, casting="unsafe").reshape(-1, n)
            for c, n in zip(columns, sizes, strict=True)
        ]
        return [have[t].step for t in same], [np.where(np.isfinite(t), t, np.nan) for t in table]

    def matrix(self, figure: str, columns: int) -> tuple[list[int], Floats]:
        """Return the steps that hold a figure (n, columns) and the figure, `(t, n, columns)`."""
        key = (figure, columns)
        if key not in self._matrices:
            self._matrices[key] = self._read_matrix(figure, columns)
        return self._matrices[key]

    def _read_matrix(self, figure: str, columns: int) -> tuple[list[int], Floats]:
        holding = [r for r in self.records if figure in r.figures]
        last = holding[-1].figures[figure] if holding else None
        if last is None or last.ndim != 2 or last.shape[1] != columns or not len(last):
            return [], np.empty((0, 0, columns))
        probe = self.meta.get("probe")
        have = [
            r
            for r in holding
            if r.meta.get("probe") == probe
            and getattr(r.figures.get(figure), "shape", None) == last.shape
        ]
        rows = [r.figures[figure] for r in have]
        table = np.concatenate(rows, dtype=np.float64, casting="unsafe").reshape(-1, *last.shape)
        return [r.step for r in have], np.where(np.isfinite(table), table, np.nan)

    def first(self, figure: str) -> tuple[int, Floats] | None:
        """Return the first step that holds a figure and the figure; what is logged once."""
        for record in self.records:
            if _is_vector(record, figure) and len(record.figures[figure]):
                return record.step, np.asarray(record.figures[figure], np.float64)
        return None

    def scores(self, steps: Sequence[int]) -> Floats:
        """Return the score of each of these steps, NaN where there is none."""
        known = {r.step: r.meta.get("score") for r in self.records}
        found = (known.get(step) for step in steps)
        return np.array([float(s) if isinstance(s, (int, float)) else np.nan for s in found])

    def feature(self, j: int) -> str:
        return f"'{self._features[j]}'" if j < len(self._features) else f"feature {j}"

    def example(self, i: int) -> str:
        known = i < len(self._examples) and self._examples[i] != str(i)
        return f"'{self._examples[i]}'" if known else f"example {i}"


# --- rules about the importance of features -----------------------------------------------------


def _dominant(table: _Table) -> Iterator[Finding]:
    """One feature carries more than all others together, beyond its interval."""
    if table.records[-1].kind == "importance":
        steps, (mean, stderr) = table.rows("mean", "stderr")
    else:
        if not table.meta.get("additive"):
            return  # slopes of features in different units cannot be compared
        steps, (mean, high) = table.rows("mean_abs", "mean_abs_high")
        stderr = (high - mean) / _z(0.05)
    if not steps or mean.shape[1] < 2 or not np.isfinite([mean[-1], stderr[-1]]).all():
        return
    top = int(np.argmax(mean[-1]))
    limit = max(DOMINANT_SHARE, min(2 / mean.shape[1], 0.9))
    share, error = (found[:, 0] for found in _shares(mean, stderr, [top]))
    sure = share - _limits(len(steps)) * error
    first = _since(sure > limit)
    if first is None:
        return
    name = table.feature(top)
    # Early in training features are found one after the other: one alone for a step is no news.
    passing = len(steps) > 1 and first == len(steps) - 1
    yield Finding(
        "dominant_feature",
        "info" if passing else "warning",
        steps[first],
        steps[-1],
        table.tag,
        f"{name[0].upper() + name[1:]} alone carries {_percent(share[-1])} of the importance of "
        f"all {mean.shape[1]} features (at least {_percent(sure[-1])})"
        f"{_when(steps, first)}.",
        "Ask whether this feature is known when the model is used, and whether it leaks the label: "
        "train once without it and compare the score on data from another source.",
        {
            "feature": top,
            "name": name.strip("'"),
            "share": float(share[-1]),
            "share_low": float(sure[-1]),
            "limit": limit,
        },
        "features",
    )


def _irrelevant(table: _Table) -> Iterator[Finding]:
    """Features whose importance cannot be told from zero, once the model was trained."""
    steps, (mean, low, high) = table.rows("mean", "low", "high")
    if len(steps) < 2 or not np.isfinite([mean[-1], low[-1], high[-1]]).all():
        return
    zero = (low[-1] <= 0) & (high[-1] >= 0)
    where = [int(j) for j in np.flatnonzero(zero)]
    d = mean.shape[1]
    # Where nothing matters at all, `_no_better_than_guess` says more.
    if not where or len(where) == d:
        return
    unused = int((zero & (low[-1] == 0) & (high[-1] == 0)).sum())
    exactly = f", {unused} of them exactly zero" if unused else ""
    yield Finding(
        "indistinguishable_from_zero",
        "info",
        steps[-1],
        steps[-1],
        table.tag,
        f"At step {steps[-1]} the importance of {len(where)} of {d} features cannot be told "
        f"from zero{exactly}: {_listed([table.feature(j) for j in where])}.",
        "Group features that say the same (groups=...) before dropping any: of two copies "
        "neither is missed alone. More rows make the intervals narrower.",
        {"features": where[:100], "count": len(where), "of": d, "exactly_zero": unused},
        "features",
    )


def _no_better_than_guess(table: _Table) -> Iterator[Finding]:
    """After training began, no feature is of any use: the model knows no more than a constant."""
    steps, (mean, stderr) = table.rows("mean", "stderr")
    if len(steps) < 2 or not np.isfinite([mean[-1], stderr[-1]]).all():
        return
    d = mean.shape[1]
    useful: Bools = np.asarray((mean > _limits(len(steps), d)[:, None] * stderr).any(axis=1))
    # Of many features that say the same each is missed little: together they are no chance.
    useful |= (mean > _z(0.05) * stderr).mean(axis=1) > USEFUL_FEATURES
    # The untrained model is not blamed for knowing nothing.
    first = _since(~useful & np.isfinite(mean).all(axis=1) & (np.arange(len(steps)) > 0))
    if first is None:
        return
    top = int(np.argmax(mean[-1]))
    exactly = int(((mean[-1] == 0) & (stderr[-1] == 0)).sum())
    score = table.scores(steps[-1:])[0]
    metric = str(table.meta.get("metric") or "score")
    told = f" ({metric} {_figure(score)})" if np.isfinite(score) else ""
    yield Finding(
        "no_better_than_guess",
        "warning",
        steps[first],
        steps[-1],
        table.tag,
        f"{'None' if d > 1 else 'Nothing'} of {d} features matters{_when(steps, first)}{told}: "
        f"the importance of each cannot be told from zero"
        f"{f', that of {exactly} is exactly zero' if exactly else ''}, as for a constant guess.",
        "Labels that do not belong to their rows look like this: check that labels and rows were "
        "shuffled together, on rows that you look at; then that the learning rate moves the "
        "weights, and that units are alive.",
        {
            "name": "labels",
            "features": list(range(min(d, 100))),
            "of": d,
            "exactly_zero": exactly,
            "largest": float(mean[-1, top]),
            "largest_of": table.feature(top).strip("'"),
        },
        "features",
    )


def _leaked(table: _Table) -> Iterator[Finding]:
    """One column alone tells the label, and none of the others comes near."""
    known = table.first("single_score")
    if known is None:
        return
    step, score = known
    low = table.first("single_low")
    high = table.first("single_high")
    bottom = low[1] if low and len(low[1]) == len(score) else score
    upper = high[1] if high and len(high[1]) == len(score) else score
    where = np.flatnonzero(bottom > LEAK)
    if not len(where):
        return
    top = int(where[np.argmax(bottom[where])])
    others = np.delete(upper, top)
    others = others[np.isfinite(others)]
    alone = len(where) == 1 and (not len(others) or float(others.max()) < bottom[top])
    name = table.feature(top)
    names = [table.feature(int(j)) for j in where]
    told = (
        f"{name[0].upper() + name[1:]} alone tells the label almost without error"
        if alone
        else f"Each of {_listed(names)} alone tells the label almost without error"
    )
    yield Finding(
        "leaked_column",
        "warning" if alone else "info",
        step,
        table.records[-1].step,
        table.tag,
        f"{told} (score {_figure(score[top])}, at least {_figure(bottom[top])}; 1 is perfect)"
        f"{', as no other column does' if alone else ''}.",
        "Ask when and from what this column is computed: if it is known only after the label, or "
        "copies it, train without it.",
        {
            "feature": top,
            "features": [int(j) for j in where][:100],
            "name": name.strip("'"),
            "score": float(score[top]),
            "score_low": float(bottom[top]),
            "limit": LEAK,
        },
        "features",
    )


def _unscaled(table: _Table) -> Iterator[Finding]:
    """One column's values are of another order than all others'."""
    known = table.first("scale")
    if known is None:
        return
    step, scale = known
    moving = np.isfinite(scale) & (scale > 0)
    if moving.sum() < 3:
        return
    ratio = np.where(moving, scale, 0.0) / np.median(scale[moving])
    where = [int(j) for j in np.argsort(-ratio) if ratio[j] > UNSCALED]
    if not where:
        return
    top = where[0]
    names = _listed([table.feature(j) for j in where])
    several = len(where) > 1
    yield Finding(
        "unscaled_feature",
        "warning",
        step,
        table.records[-1].step,
        table.tag,
        f"{names[0].upper() + names[1:]} {'are' if several else 'is'} not scaled: "
        f"{'up to ' if several else ''}{_figure(ratio[top])} times as wide as the median column.",
        _SCALE_HINT,
        {
            "feature": top,
            "features": where[:100],
            "name": table.feature(top).strip("'"),
            "ratio": float(ratio[top]),
            "limit": UNSCALED,
        },
        "features",
    )


def _unscaled_from_start(table: _Table) -> Iterator[Finding]:
    """Contributions to the untrained model's output come from one feature alone."""
    if not table.meta.get("additive"):
        return
    steps, (mean, high) = table.rows("mean_abs", "mean_abs_high")
    if not steps or mean.shape[1] < 3 or steps[0] != table.records[0].step or steps[0] != 0:
        return
    if not np.isfinite([mean[0], high[0]]).all():
        return
    top = int(np.argmax(mean[0]))
    share, error = (found[0, top] for found in _shares(mean[:1], (high - mean)[:1] / _z(0.05)))
    sure = share - _limits(1)[0] * error
    if not sure > UNSCALED_SHARE:
        return
    name = table.feature(top)
    yield Finding(
        "unscaled_feature",
        "warning",
        steps[0],
        table.records[-1].step,
        table.tag,
        f"{name[0].upper() + name[1:]} makes {_percent(share)} of the untrained model's output, "
        f"out of {mean.shape[1]} features: its values are far larger than the others'.",
        _SCALE_HINT,
        {
            "feature": top,
            "features": [top],
            "name": name.strip("'"),
            "share": float(share),
            "share_low": float(sure),
            "limit": UNSCALED_SHARE,
        },
        "features",
    )


def _rising(table: _Table) -> Iterator[Finding]:
    """The share of one feature rose beyond its interval since the first step."""
    steps, (mean, stderr) = table.rows("mean", "stderr")
    if len(steps) < 2 or mean.shape[1] < 2:
        return
    if not np.isfinite([mean[0], mean[-1], stderr[0], stderr[-1]]).all():
        return
    d = mean.shape[1]
    z = np.append(1.0, _limits(len(steps) - 1, d))
    shares, errors = _shares(mean[[0, -1]], stderr[[0, -1]])
    rise = shares[1] - shares[0]
    risen = (rise > RISE) & (rise > z[-1] * np.hypot(*errors))
    if not risen.any():
        return
    j = int(np.argmax(np.where(risen, rise, -1.0)))
    share, error = (found[:, 0] for found in _shares(mean, stderr, [j]))
    rise = share - share[0]
    first = _since((rise > RISE) & (rise > z * np.hypot(error, error[0]))) or 0
    name = table.feature(j)
    yield Finding(
        "rising_share",
        "info",
        steps[first],
        steps[-1],
        table.tag,
        f"The share of {name} in all importance rose from {_percent(share[0])} at step {steps[0]} "
        f"to {_percent(share[-1])} at step {steps[-1]}, beyond what the intervals allow.",
        "Expected for the feature that should decide. For any other it hints at a shortcut: look "
        "at what it knows of the label, and train once without it.",
        {
            "feature": j,
            "name": name.strip("'"),
            "share_first": float(share[0]),
            "share_last": float(share[-1]),
        },
        "features",
    )


def _moving(table: _Table) -> Iterator[Finding]:
    """Late in training importances move while the score stands still, or the reverse."""
    steps, (mean, stderr) = table.rows("mean", "stderr")
    if len(steps) < 4:
        return
    score = table.scores(steps)
    start = len(steps) // 2
    late, curve = steps[start:], score[start:]
    ends = np.array([mean[start], mean[-1], stderr[start], stderr[-1]])
    if not np.isfinite(ends).all() or not np.isfinite(score).all():
        return
    shares, errors = _shares(mean[[start, -1]], stderr[[start, -1]])
    shift = shares[1] - shares[0]
    z = _limits(len(steps), 2 * mean.shape[1])[-1]  # either way
    # In shares: a model that grows more certain multiplies all importances.
    moved = (np.abs(shift) > z * np.hypot(*errors)) & (
        np.abs(shift) > MOVED_IMPORTANCE * float(shares.max())
    )
    change, noise = mean[-1] - mean[start], np.hypot(stderr[start], stderr[-1])
    step = float(curve[-1] - curve[0])
    still = float(np.ptp(curve)) <= STILL_SCORE * float(np.ptp(score))
    metric = str(table.meta.get("metric") or "score")
    scores = f"{_figure(curve[0])} to {_figure(curve[-1])}"
    evidence: dict[str, Any] = {"score_first": float(curve[0]), "score_last": float(curve[-1])}
    if moved.any() and still:
        order = [int(j) for j in np.argsort(-np.abs(shift)) if moved[j]]
        j = order[0]
        yield Finding(
            "importance_moves_score_still",
            "warning",
            late[0],
            late[-1],
            table.tag,
            f"Between steps {late[0]} and {late[-1]} the {metric} stood still ({scores}) while "
            f"importances moved beyond their intervals: {table.feature(j)} from "
            f"{_percent(shares[0, j])} to {_percent(shares[1, j])} of all"
            f"{f' and {len(order) - 1} more' if len(order) > 1 else ''}.",
            "The model trades features of equal use: look at correlated features as a group, and "
            "choose the step to keep by more than its score.",
            {**evidence, "features": order[:100], "name": table.feature(j).strip("'")},
            "features",
        )
        return
    if len(late) < 6 or still or np.ptp(curve) == 0:
        return
    tau = float(drift.kendall(np.arange(len(late))[None], curve[None])[0])
    relative = abs(step) / max(abs(float(curve[0])), abs(float(curve[-1])))
    quiet = (np.abs(change) <= _z(0.05) * noise).all()
    j = int(np.argmax(mean[-1]))
    # The intervals must be narrow enough to have shown a change of the score's size.
    sharp = mean[-1, j] > 0 and _z(0.05) * noise[j] < relative * mean[-1, j]
    if abs(tau) >= TREND and relative > 0.1 and quiet and sharp:
        yield Finding(
            "score_moves_importance_still",
            "info",
            late[0],
            late[-1],
            table.tag,
            f"Between steps {late[0]} and {late[-1]} the {metric} moved steadily ({scores}) while "
            "no importance left its interval.",
            "The model changes in what no single feature shows: look at groups of features, at the "
            "calibration of its outputs, and at the maps.",
            evidence,
            "features",
        )


def _importance_not_finite(table: _Table) -> Iterator[Finding]:
    """An importance or the score is NaN or infinite."""
    bad = [
        (r.step, [int(j) for j in np.flatnonzero(~np.isfinite(r.figures["mean"]))])
        for r in table.records
        if _is_vector(r, "mean")
        and not (np.isfinite(r.figures["mean"]).all() and _finite(r.meta.get("score", 0.0)))
    ]
    if bad:
        features = sorted({j for _, each in bad for j in each})
        names = f" ({_listed([table.feature(j) for j in features])})" if features else ""
        yield Finding(
            "not_finite",
            "alarm",
            bad[0][0],
            bad[-1][0],
            table.tag,
            f"The score or importances{names} are NaN or infinite at {_steps(bad)}.",
            _NAN_HINT,
            {"steps": [step for step, _ in bad][:100], "features": features[:100]},
            "features",
        )


# --- rules about attributions -------------------------------------------------------------------


def _not_finite(table: _Table) -> Iterator[Finding]:
    """Outputs or explanations are NaN or infinite."""
    bad: list[tuple[int, Bools]] = []
    for r in table.records:
        known = [r.figures[f] for f in ("output", "sum_abs") if _is_vector(r, f)]
        if known and len({len(k) for k in known}) == 1:
            finite = np.isfinite(np.asarray(known, np.float64))
            broken: Bools = np.asarray(~finite.all(axis=0))
            if broken.any():
                bad.append((r.step, broken))
    if bad:
        worst = bad[-1][1]
        where = [int(i) for i in np.flatnonzero(worst)]
        yield Finding(
            "not_finite",
            "alarm",
            bad[0][0],
            bad[-1][0],
            table.tag,
            f"Outputs or explanations are NaN or infinite at {_steps(bad)}; at step {bad[-1][0]} "
            f"for {len(where)} of {len(worst)} examples.",
            _NAN_HINT,
            {"steps": [step for step, _ in bad][:100], "examples": where[:100]},
            "maps",
        )


def _all_zero(table: _Table) -> Iterator[Finding]:
    """Explanations that are zero everywhere, up to the last step."""
    steps, (strength,) = table.rows("sum_abs")
    if not steps:
        return
    zero = strength == 0
    first = _since(zero.any(axis=1))
    if first is None:
        return
    where = [int(i) for i in np.flatnonzero(zero[-1])]
    n = strength.shape[1]
    most = len(where) * 2 >= n
    # A map of what speaks for the label may be empty: only that of most examples is news.
    one_sided = table.meta.get("signed") is False
    if one_sided:
        yield Finding(
            "all_zero",
            "warning" if most else "info",
            steps[first],
            steps[-1],
            table.tag,
            f"Nothing speaks for the label of {len(where)} of {n} examples in this layer"
            f"{_when(steps, first)}: {_listed([table.example(i) for i in where])}.",
            "This method shows evidence for the label alone. Look at a method with signs, such as "
            "integrated gradients, for what speaks against it, and at earlier layers.",
            {"examples": where[:100], "count": len(where), "of": n},
            "maps",
        )
        return
    yield Finding(
        "all_zero",
        "alarm" if most else "warning",
        steps[first],
        steps[-1],
        table.tag,
        f"The explanation is zero everywhere for {len(where)} of {n} examples"
        f"{_when(steps, first)}: {_listed([table.example(i) for i in where])}.",
        "Nothing the model sees of these examples reaches its output: look for units that are "
        "never active (large negative biases, a learning rate too high) and for inputs equal to "
        "the baseline.",
        {"examples": where[:100], "count": len(where), "of": n},
        "maps",
    )


def _faded(table: _Table) -> Iterator[Finding]:
    """Explanations lost orders of magnitude against the strongest step."""
    steps, (strength,) = table.rows("sum_abs")
    if len(steps) < 2 or not np.isfinite(strength).all():
        return
    middle = np.median(strength, axis=1)
    best = int(np.argmax(middle))
    first = _since((middle < FADED * middle[best]) & (middle > 0))
    if first is None:
        return
    yield Finding(
        "faded",
        "warning",
        steps[first],
        steps[-1],
        table.tag,
        f"Explanations faded: their median strength fell from {_figure(middle[best])} at step "
        f"{steps[best]} to {_figure(middle[-1])} at step {steps[-1]}.",
        "If the target is a probability, explain the log-odds instead. Otherwise look for units "
        "that died or saturated.",
        {"strength_best": float(middle[best]), "strength_last": float(middle[-1])},
        "maps",
    )


def _concentrated(table: _Table) -> Iterator[Finding]:
    """Most explanations sit on a handful of elements."""
    steps, (entropy,) = table.rows("entropy")
    inputs = table.meta.get("inputs")
    shapes = (
        [v.get("shape") for v in inputs.values() if isinstance(v, Mapping)]
        if isinstance(inputs, Mapping)
        else []
    )
    try:
        size = sum(int(np.prod([int(s) for s in shape])) for shape in shapes if shape)
    except (TypeError, ValueError):
        return
    if not steps:
        return
    count = np.exp(_medians(entropy))
    first = _since(count < CONCENTRATED * size)
    if first is None:
        return
    yield Finding(
        "concentrated",
        "warning",
        steps[first],
        steps[-1],
        table.tag,
        f"Half of the explanations sit on {_figure(count[-1])} or fewer of {size} elements"
        f"{_when(steps, first)}.",
        "Look whether it is the same place in all examples (a mark, a border, a corner): then "
        "cover it in the data and train again.",
        {"effective_elements": float(count[-1]), "of": size},
        "maps",
    )


def _gap(table: _Table) -> Iterator[Finding]:
    """The values of an additive method do not add up."""
    steps, (gap,) = table.rows("gap")
    if not steps:
        return
    large = gap > NEEDED_GAP
    count = large.sum(axis=1)
    flagged = np.flatnonzero((count > GAP_EXAMPLES * gap.shape[1]) & (count >= 2))
    if not len(flagged):
        return
    t = int(flagged[-1])
    n = gap.shape[1]
    now = t == len(steps) - 1
    nodes = table.meta.get("params", {})
    settings = nodes.get("n_steps") if isinstance(nodes, Mapping) else None
    yield Finding(
        "completeness_gap",
        "warning" if now else "info",
        steps[int(flagged[0])],
        steps[t],
        table.tag,
        f"The values miss what they should add up to by more than {_percent(NEEDED_GAP)} for "
        f"{int(count[t])} of {n} examples at step {steps[t]} (median gap "
        f"{_percent(np.nanmedian(gap[t]))}).",
        f"Raise n_steps{f' above {settings}' if settings is not None else ''}; where the output "
        "hardly differs from that of the baseline, choose another baseline.",
        {
            "examples": [int(i) for i in np.flatnonzero(large[t])][:100],
            "share": float(count[t] / n),
            "median_gap": float(np.nanmedian(gap[t])),
            "steps": [steps[int(i)] for i in flagged][:100],
        },
        "maps",
    )


def _flips(table: _Table) -> Iterator[Finding]:
    """Predicted classes still change late in training."""
    steps, (predicted,) = table.rows("predicted")
    late = int(np.ceil(LATE * len(steps)))
    if len(steps) < 4:
        return
    known = (predicted[1:] >= 0) & (predicted[:-1] >= 0)
    flips = (known & (predicted[1:] != predicted[:-1]))[-late:]
    where = [int(i) for i in np.flatnonzero(flips.any(axis=0))]
    n = predicted.shape[1]
    if len(where) < FEW_FLIPS * n:
        return
    turns = known & (predicted[1:] != predicted[:-1])
    back = np.zeros(n, bool)
    for t in np.flatnonzero(flips.any(axis=1)) + len(steps) - late:
        back |= turns[t - 1] & (predicted[: t - 1] == predicted[t]).any(axis=0)
    many = int(back.sum()) >= 2 and int(back.sum()) > FLIPPING_EXAMPLES * n
    changed = np.flatnonzero(flips.any(axis=1)) + len(steps) - late
    yield Finding(
        "class_flips",
        "warning" if many else "info",
        steps[int(changed[0])],
        steps[int(changed[-1])],
        table.tag,
        f"The predicted class of {len(where)} of {n} examples still changed after step "
        f"{steps[-late - 1]}: {_listed([table.example(i) for i in where])}.",
        "Compare their maps before and after the change. If many flip, lower the learning rate or "
        "train longer; if few do, look at their labels.",
        {
            "examples": where[:100],
            "count": len(where),
            "of": n,
            "flips": int(flips.sum()),
            "flipped_back": int(back.sum()),
        },
        "maps",
    )


def _shortcut(table: _Table) -> Iterator[Finding]:
    """Evidence lies in a place that must not matter, more than at first and than its area."""
    masks = _masks(table, suspect=True)
    for name, area in masks.items():
        tests = 2 * len(masks)
        found: list[tuple[int, int]] = []
        evidence: dict[str, Any] = {"name": name}
        steps, (mass,) = table.rows(f"mass.{name}")
        said = ""
        if len(steps) > 1:
            mean = _means(mass)
            larger = _surely(mass - area, tests) & _surely(mass - mass[0], tests)
            since = _since(larger & (mean > SHORTCUT_FACTOR * float(np.mean(area))))
            evidence |= {
                "mass_first": float(mean[0]),
                "mass": float(mean[-1]),
                "area": float(np.mean(area)),
            }
            said = (
                f"Its share of the explanation went from {_percent(mean[0])} to "
                f"{_percent(mean[-1])}, on {_percent(float(np.mean(area)))} of the area."
            )
            if since is not None:
                found.append((steps[since], steps[-1]))
        at, (vote,) = table.rows(f"signed.{name}")
        if table.meta.get("additive") and len(at) > 1:
            mean = _means(vote)
            rises = _surely(vote, tests) & _surely(vote - vote[0], tests) & (mean > SHORTCUT_VOTE)
            since = _since(rises | _surely(vote - STRONG_VOTE, tests))
            evidence |= {"vote_first": float(mean[0]), "vote": float(mean[-1])}
            if since is not None:
                found.append((at[since], at[-1]))
                said = (
                    f"Of all evidence, {_signed(mean[-1])} net speaks for the label from there at "
                    f"step {at[-1]}, {_signed(mean[0])} at step {at[0]}. {said}"
                ).rstrip()
        if found:
            first = min(found)[0]
            order = np.argsort(-np.nan_to_num(mass[-1] if len(steps) else vote[-1]))
            yield Finding(
                "shortcut",
                "warning",
                first,
                found[0][1],
                table.tag,
                f"A shortcut: '{name}' must not matter, and does since step {first}. {said}",
                "Cover or randomise this place in the training data and train again; until then "
                "trust no score on data that have it too.",
                {**evidence, "examples": [int(i) for i in order[:20]]},
                "maps",
            )


def _left_mask(table: _Table) -> Iterator[Finding]:
    """Explanations leave the place where the evidence lies."""
    masks = _masks(table, suspect=False)
    for name, area in masks.items():
        steps, (mass,) = table.rows(f"mass.{name}")
        if len(steps) < 2:
            continue
        mean, tests = _means(mass), len(masks)
        fell = _surely(mass[0] - mass, tests) & _surely(area - mass, tests)
        first = _since(fell & (mean[0] - mean > LEFT_MASK))
        if first is None:
            continue
        order = np.argsort(np.nan_to_num(mass[-1], nan=np.inf))
        yield Finding(
            "evidence_leaves_mask",
            "warning",
            steps[first],
            steps[-1],
            table.tag,
            f"Explanations left '{name}', where the evidence lies, since step {steps[first]}: its "
            f"share fell from {_percent(mean[0])} at step {steps[0]} to {_percent(mean[-1])}, on "
            f"{_percent(float(np.mean(area)))} of the area.",
            "Look at the maps for what the model uses in its place: a background, a mark, a frame.",
            {
                "name": name,
                "mass_first": float(mean[0]),
                "mass": float(mean[-1]),
                "area": float(np.mean(area)),
                "examples": [int(i) for i in order[:20]],
            },
            "maps",
        )


def _one_place(table: _Table) -> Iterator[Finding]:
    """The same cell at the edge of all pictures, or the whole edge, speaks for the label."""
    grid = table.meta.get("grid")
    try:
        h, w = (int(side) for side in grid)  # type: ignore[union-attr]
    except (TypeError, ValueError):
        return
    if min(h, w) < 3:
        return
    inside = np.zeros((h, w), bool)
    inside[1:-1, 1:-1] = True
    edge = [int(c) for c in np.flatnonzero(~inside.ravel())]
    middle = [int(c) for c in np.flatnonzero(inside.ravel())]
    additive = bool(table.meta.get("additive"))
    steps, cells = table.matrix("grid_signed" if additive else "grid", h * w)
    cells = cells[:, np.isfinite(cells).all(axis=(0, 2))]
    if len(steps) < 2 or cells.shape[1] < 3:
        return
    # Where it is: its cells, how many tests it shares its chance of a false alarm with, and where
    # it stands out. A picture of the last step alone tells which need a look at the others.
    if additive:
        places = [([c], 2 * len(edge), 0.0) for c in edge] + [(edge, 2, 0.0)]
    else:
        places = [([c], h * w, PLACE_SHARE if c in edge else DOMINANT_SHARE) for c in range(h * w)]
    found: list[tuple[bool, float, int, list[int], Floats]] = []
    for where, tests, least in places:
        if not cells[-1][:, where].sum(axis=1).mean() > max(least, SHORTCUT_VOTE):
            continue
        share = cells[:, :, where].sum(axis=2)
        holds = _surely(share - least, tests) & _surely(share - share[0], tests)
        if additive:
            holds &= (_constancy(share) > CONSTANT_VOTE) & (_means(share) > SHORTCUT_VOTE)
        if where == edge:
            holds &= share.mean(axis=1) > cells[:, :, middle].sum(axis=2).mean(axis=1)
        since = _since(holds)
        if since is not None:
            found.append((where == edge, float(share[-1].mean()), since, where, share))
    if not found:
        return
    # Where the whole edge speaks, its cells need no mention, unless it is one of them that does.
    whole, _, first, where, share = max(found, key=lambda each: each[:2])
    cell = max(found, key=lambda each: (not each[0], each[1]))
    if whole and not cell[0] and cell[1] > share[-1].mean() / 2:
        whole, _, first, where, share = cell
    name, mean = "border" if whole else _cell(where[0], h, w), share.mean(axis=1)
    count, area = int((share[-1] > 0).sum()), _percent(len(where) / (h * w))
    what = (
        f"On balance {_percent(mean[-1])} of all evidence speaks for the label from there, in "
        f"{count} of {len(share[-1])} examples; it is {area} of the picture."
        if additive
        else f"{_percent(mean[-1])} of each explanation lie there, on {area} of the picture."
    )
    yield Finding(
        "one_place",
        "warning",
        steps[first],
        steps[-1],
        table.tag,
        f"The same place matters in all pictures since step {steps[first]}: the {name}. {what}",
        "Look whether a mark, a frame or a watermark there goes with the label; cover it in the "
        "data and train again.",
        {
            "name": name,
            "cells": where,
            "grid": [h, w],
            "share_first": float(mean[0]),
            "share": float(mean[-1]),
            "examples": [int(i) for i in np.argsort(-share[-1])[:20]],
            "count": count,
        },
        "maps",
    )


def _unstable(table: _Table) -> Iterator[Finding]:
    """Explanations change by more than themselves when the input hardly does."""
    steps, (change,) = table.rows("max_sensitivity")
    if not steps:
        return
    first = _since(_surely(change - UNSTABLE, 1))
    if first is None:
        return
    mean = float(_means(change)[-1])
    yield Finding(
        "unstable_explanation",
        "warning",
        steps[first],
        steps[-1],
        table.tag,
        f"Explanations are unstable{_when(steps, first)}: noise of the input that nobody sees "
        f"changes them by {_percent(mean)} of their own size.",
        "Average over noise (smooth_grad), or explain with integrated gradients or by "
        "perturbation; read no detail from single maps.",
        {
            "max_sensitivity": mean,
            "examples": [int(i) for i in np.argsort(-np.nan_to_num(change[-1]))[:20]],
        },
        "quality",
    )


def _unfaithful(table: _Table) -> Iterator[Finding]:
    """What the explanation calls important matters no more to the output than what it does not."""
    for figure, words in (
        ("faithfulness", "removing what it calls important changes the output the other way"),
        ("deletion", "removing elements in its order lowers the output later than in random order"),
    ):
        if figure == "deletion":
            steps, (found, random) = table.rows("deletion", "deletion_random")
            worse = found - random
        else:
            steps, (found,) = table.rows(figure)
            worse = -found
        if not steps:
            continue
        first = _since(_surely(worse, 2))
        if first is None:
            continue
        yield Finding(
            "unfaithful_explanation",
            "info",
            steps[first],
            steps[-1],
            table.tag,
            f"The explanation is unfaithful{_when(steps, first)}: {words} (mean {figure} "
            f"{_figure(float(_means(found)[-1]))}).",
            "Compare with another method on the same examples; for slopes this is usual where "
            "strong inputs already saturate, and contributions (integrated gradients) do better.",
            {"name": figure, figure: float(_means(found)[-1])},
            "quality",
        )


def _insensitive(table: _Table) -> Iterator[Finding]:
    """Explanations are those of a model with random weights, or never left the first ones."""
    steps, (kept,) = table.rows("randomisation")
    same = _surely(kept - INSENSITIVE, 1) if steps else np.zeros(0, bool)
    first = _since(same)
    if first is not None:
        # What is zero in the input ranks last whatever the weights are: that alone is no fault.
        known = _since_first(table)
        stayed = np.array([known.get(step, 0.0) > STAYED for step in steps])
        grave = _since(same & stayed)
        first = first if grave is None else grave
        mean = float(_means(kept)[-1])
        yield Finding(
            "insensitive_to_parameters",
            "info" if grave is None else "warning",
            steps[first],
            steps[-1],
            table.tag,
            (
                "Which elements are strongest says little of what was learned"
                f"{_when(steps, first)}: a copy with random weights ranks them alike (rank "
                f"correlation {_figure(mean)})."
                if grave is None
                else f"Explanations do not speak of the model{_when(steps, first)}: a copy with "
                f"random weights ranks the elements alike (rank correlation {_figure(mean)}), and "
                f"they lie where they lay before training (cosine by place "
                f"{_figure(known[steps[-1]])})."
            ),
            "Compare with a method that depends on the weights more. Where most of the input is "
            "zero or constant, look at signs and at the places that are not.",
            {
                "randomisation": mean,
                "limit": INSENSITIVE,
                **({} if grave is None else {"cosine": known[steps[-1]]}),
            },
            "quality",
        )
    steps, maps, (output,) = _profiles(table, "output")
    if len(steps) < 2 or not _means(_cosines(maps[-1:], maps[:1]))[0] > UNCHANGED:
        return
    alike = _cosines(maps, maps[:1])
    moved = np.abs(output - output[0]) > np.abs(output[0])
    never = _since(
        (_means(alike) > UNCHANGED) & (moved.mean(axis=1) > 0.5) & (np.arange(len(steps)) >= 1)
    )
    if never is not None:
        yield Finding(
            "explanation_never_moved",
            "info",
            steps[never],
            steps[-1],
            table.tag,
            f"The model's outputs moved, and its explanations are still those of step {steps[0]} "
            f"(cosine {_figure(float(_means(alike)[-1]))} by place).",
            "Either training kept what was there before, or the method shows the input and not the "
            "model: look at the parameter randomisation.",
            {"cosine": float(_means(alike)[-1])},
            "quality",
        )


def _maps_move(table: _Table) -> Iterator[Finding]:
    """Late in training explanations move while the predictions stand still."""
    steps, maps, (output, predicted) = _profiles(table, "output", "predicted")
    if len(steps) < 4:
        return
    start = len(steps) // 2
    late, outputs, classes = maps[start:], output[start:], predicted[start:]
    if not np.isfinite(outputs).all() or (classes != classes[0]).any():
        return
    mean = outputs.mean(axis=1)
    still = np.ptp(mean) <= STILL_SCORE * np.ptp(output.mean(axis=1))
    alike = _cosines(late, late[:1])
    limit = 0.0 * alike + MOVED_MAP
    moved = _since(_surely(limit - alike, 1))
    if not still or moved is None or moved == 0:
        return
    yield Finding(
        DRIFT,
        "warning",
        steps[start + moved],
        steps[-1],
        table.tag,
        f"Between steps {steps[start]} and {steps[-1]} no prediction changed, and the explanations "
        f"did (cosine {_figure(float(_means(alike)[-1]))} by place).",
        "The model found other reasons for the same answers: compare the maps of both steps, and "
        "choose the step to keep by more than its score.",
        {
            "from_step": steps[start],
            "cosine": float(_means(alike)[-1]),
            "examples": [int(i) for i in np.argsort(np.nan_to_num(alike[-1], nan=1.0))[:20]],
        },
        "maps",
    )


# --- rules about the health of layers -----------------------------------------------------------


def _reduced(table: _Table) -> Iterator[Finding]:
    """A budget took examples, samples or many steps."""
    have = [r for r in table.records if "budget" in r.meta]
    if not have:
        return
    last = have[-1]
    skipped = sum(int(r.meta.get("skipped") or 0) for r in have)
    reduced = last.meta.get("reduced")
    words = []
    if isinstance(reduced, Mapping):
        now, of = reduced.get("examples") or (0, 0)
        if now < of:
            words.append(f"{now} of {of} examples")
        if float(reduced.get("samples") or 1) < 1:
            words.append(f"{_percent(float(reduced['samples']))} of the steps or samples")
    due = len(have) + skipped
    if skipped > due / 2:
        words.append(f"{len(have)} of {due} scheduled steps")
    if not words:
        return
    first = next(r.step for r in have if r.meta.get("reduced") or r.meta.get("skipped"))
    yield Finding(
        "reduced_for_budget",
        "info",
        first,
        last.step,
        table.tag,
        f"To stay within {_percent(float(last.meta['budget']))} of training time, only "
        f"{' and '.join(words)} are explained.",
        "Intervals and gaps are those of what was done. Raise budget=, explain fewer examples from "
        "the start, or choose a cheaper method.",
        {"skipped": skipped, "reduced": dict(reduced) if isinstance(reduced, Mapping) else {}},
        "maps" if last.kind == "attribution" else "features",
    )


_HEALTH: tuple[tuple[str, str, Literal["info", "warning", "alarm"], str, str, str], ...] = (
    (
        "not finite",
        "not_finite_layers",
        "alarm",
        "holds NaN or infinite weights, gradients or activations",
        "hold NaN or infinite weights, gradients or activations",
        "Stop here: lower the learning rate, clip gradients, or look for inputs that are not "
        "finite. Nothing that is logged after the first such step means anything.",
    ),
    (
        "exploding",
        "exploding_gradients",
        "alarm",
        "explodes: one step overwrites the weights, or just did",
        "explode: one step overwrites the weights, or just did",
        "Lower the learning rate by a factor of ten or more, clip gradients, and scale the inputs.",
    ),
    (
        "dead",
        "dead_units",
        "warning",
        "is dead: most of its units never fire on the probe examples",
        "are dead: most of the units never fire on the probe examples",
        "Look at the biases and the learning rate; a leaky activation, or He initialisation, keeps "
        "units alive. More examples make sure that rare units are not called dead.",
    ),
    (
        "saturated",
        "saturated_units",
        "warning",
        "is saturated: most activations sit where the slope is nearly zero",
        "are saturated: most activations sit where the slope is nearly zero",
        "Scale the inputs, start from smaller weights, or use an activation without plateaus.",
    ),
    (
        "vanishing",
        "vanishing_gradients",
        "warning",
        "hardly learns: its gradient is thousands of times smaller than those of others",
        "hardly learn: their gradients are thousands of times smaller than those of others",
        "Use ReLU-like activations, residual connections or normalisation, or fewer layers.",
    ),
)


def _health(table: _Table) -> Iterator[Finding]:
    """Layers that are not healthy, by the words that were logged with the thresholds of then."""
    layers = table.meta.get("layers")
    if not isinstance(layers, list) or not layers:
        return
    have = [
        r
        for r in table.records
        if r.meta.get("layers") == layers
        and isinstance(r.meta.get("states"), list)
        and len(r.meta["states"]) == len(layers)
    ]
    if not have:
        return
    steps = [r.step for r in have]
    words = [r.meta["states"] for r in have]
    now = words[-1]
    for word, rule, severity, one, several, hint in _HEALTH:
        where = [i for i, state in enumerate(now) if state == word]
        if not where:
            continue
        since = []
        for i in where:
            t = len(words) - 1
            while t > 0 and words[t - 1][i] == word:
                t -= 1
            since.append(t)
        first = min(since)
        names = [str(layers[i]) for i in where]
        n = table.meta.get("n")
        among = f" (on {n} examples)" if word in ("dead", "saturated") and n else ""
        yield Finding(
            rule,
            severity,
            steps[first],
            steps[-1],
            table.tag,
            f"{len(names)} of {len(layers)} layers {one if len(names) == 1 else several}{among}"
            f"{_when(steps, first)}: {_listed(names)}.",
            hint,
            {
                "layers": names[:100],
                "count": len(names),
                "of": len(layers),
                "since": [steps[t] for t in since][:100],
                **({"name": names[0]} if len(names) == 1 else {}),
            },
            "health",
        )


def _wrong_gradient(table: _Table) -> Iterator[Finding]:
    """Layers whose gradient was checked and is not the derivative of the loss."""
    layers = table.meta.get("layers")
    if not isinstance(layers, list):
        return
    found = [(r.step, r.figures.get("gradient_check")) for r in table.records]
    checked = [(t, e) for t, e in found if e is not None and e.shape == (len(layers),)]
    if not checked:
        return
    step, errors = checked[-1]
    where = [int(i) for i in np.flatnonzero(errors > WRONG_GRADIENT)]
    if not where:
        return
    names = [str(layers[i]) for i in where]
    worst = errors[where].max()
    yield Finding(
        "wrong_gradient",
        "warning",
        step,
        table.records[-1].step,
        table.tag,
        f"The gradient of {len(names)} of {len(layers)} layers is not the derivative of the loss: "
        f"it is off by up to {_percent(worst)} from finite differences in float64: "
        f"{_listed(names)}.",
        "The fault sits in the last of these layers, in the one behind it, or in the loss: look "
        "for a custom_gradient, stop_gradient, or rounding there. A straight-through estimator "
        "differs on purpose.",
        {
            "layers": names[:100],
            "positions": where[:100],
            "errors": [float(errors[i]) for i in where][:100],
            **({"name": names[0]} if len(names) == 1 else {}),
        },
        "health",
    )


# --- rules about several tags, and several runs -------------------------------------------------


def _sides_disagree(one: _Table, other: _Table) -> list[Finding]:
    """Features matter differently on two sets of examples: of training and of validation, say."""
    if one.meta.get("probe") == other.meta.get("probe") or not _same_measure(one, other):
        return []
    tables = []
    for table in (one, other):
        figures = ("mean", "stderr")
        if table.records[-1].kind != "importance":
            figures = ("mean_abs", "mean_abs_high")
        steps, (mean, error) = table.rows(*figures)
        if figures[1] == "mean_abs_high":
            error = (error - mean) / _z(0.05)
        tables.append((steps, mean, error))
    common = sorted(set(tables[0][0]) & set(tables[1][0]))
    if not common or tables[0][1].shape[1] != tables[1][1].shape[1] or tables[0][1].shape[1] < 2:
        return []
    sides = []
    for steps, mean, error in tables:
        rows = [steps.index(step) for step in common]
        with np.errstate(invalid="ignore"):
            sides.append(_shares(np.nan_to_num(mean[rows]), np.nan_to_num(error[rows], nan=np.inf)))
    (share_a, error_a), (share_b, error_b) = sides
    d = share_a.shape[1]
    gap, noise = np.abs(share_a - share_b), np.hypot(error_a, error_b)
    limit = _limits(len(common), 2 * d)[:, None]  # either way
    with np.errstate(invalid="ignore"):
        apart: Bools = np.asarray((gap > DISAGREE) & (gap > limit * noise))
    first = _since(np.asarray(apart.any(axis=1)))
    if first is None:
        return []
    # Where one feature loses its share the others gain some: what lost most is what is misread.
    lost = gap[-1] / np.maximum(np.maximum(share_a[-1], share_b[-1]), 1e-12)
    order = [int(j) for j in np.argsort(-lost) if apart[-1, j]]
    top = order[0]
    names = [one.feature(j) for j in order]
    return [
        Finding(
            "train_validation_disagree",
            "warning",
            common[first],
            common[-1],
            other.tag,
            f"What matters differs between the examples of '{one.tag}' and of '{other.tag}'"
            f"{_when(common, first)}: {_listed(names)} "
            f"{'carry' if len(names) > 1 else 'carries'} {_percent(share_a[-1, top])} of the "
            f"importance here and {_percent(share_b[-1, top])} there"
            f"{' (the first of them)' if len(names) > 1 else ''}.",
            "Compare how both sets are read and prepared: the order of columns or channels, units, "
            "scaling, and what was filled in for missing values.",
            {
                "name": names[0].strip("'"),
                "names": [name.strip("'") for name in names][:100],
                "features": order[:100],
                "tags": [one.tag, other.tag],
                "shares": [float(share_a[-1, top]), float(share_b[-1, top])],
            },
            "features",
        )
    ]


def _runs_disagree(log: Log, run: str, table: _Table) -> list[Finding]:
    """Other runs explain the same examples differently: their seeds decide what matters."""
    mine = table.records[-1]
    kind = mine.kind
    if kind not in ("importance", "attribution"):
        return []
    apart: list[str] = []
    compared: list[str] = []
    figures: list[float] = []
    names: list[str] = []
    here = table.records
    for other, there in _siblings(log, run, table):
        common = [r for r in here if r.step in there and r.step > here[0].step]
        if not common:
            continue
        a, b = common[-1], there[common[-1].step]
        if not _same_meta(a, b):
            continue
        if kind == "importance":
            swapped = _swapped(a, b)
            if swapped is None:
                continue
            compared.append(other)
            if swapped:
                apart.append(other)
                names += [table.feature(j) for j in swapped if table.feature(j) not in names]
            continue
        alike = drift.series([a, _at_step(b, a.step + 1)], drift.cosine).values[1]
        alike = alike[np.isfinite(alike)]
        if len(alike) < 3:
            continue
        compared.append(other)
        if _surely(UNLIKE - alike[None], 1)[0]:
            apart.append(other)
            figures.append(float(alike.mean()))
    if not apart:
        return []
    said = (
        f"{_listed(names)} {'are' if len(names) > 1 else 'is'} ranked the other way round"
        if kind == "importance"
        else f"mean cosine of the maps {_figure(float(np.mean(figures)))}"
    )
    most = len(compared) >= 2 and 2 * len(apart) > len(compared)
    last = here[-1].step
    return [
        Finding(
            "seeds_disagree",
            "warning" if most else "info",
            last,
            last,
            table.tag,
            f"{len(apart)} of {len(compared)} other runs with the same examples and method explain "
            f"differently than this one ({_listed(apart)}): {said}.",
            "If they differ in their seed alone, no single run's explanation can be relied on: "
            "average over runs, or group features that can stand for each other.",
            {
                "runs": apart,
                "compared": len(compared),
                "features": [],
                **({"names": [name.strip("'") for name in names][:100]} if names else {}),
                **({"cosine": float(np.mean(figures))} if figures else {}),
            },
            "features" if kind == "importance" else "maps",
        )
    ]


def _swapped(a: Record, b: Record) -> list[int] | None:
    """Features that are above another in one record and below it in the other, beyond chance."""
    if not all(_is_vector(r, f) for r in (a, b) for f in ("mean", "stderr")):
        return None
    m, n = (np.asarray(r.figures["mean"], np.float64) for r in (a, b))
    e, f = (np.asarray(r.figures["stderr"], np.float64) for r in (a, b))
    d = len(m)
    if len(n) != d or d < 2 or d > 1000 or not np.isfinite([m, n, e, f]).all():
        return None
    z = _limits(1, d * (d - 1))[0]
    top = max(float(np.abs(m).max()), float(np.abs(n).max()))

    def above(mean: Floats, error: Floats) -> Bools:
        gap = mean[:, None] - mean[None]
        matters = gap > MOVED_IMPORTANCE * top
        return np.asarray(matters & (gap > z * np.hypot(error[:, None], error[None])))

    pairs = above(m, e) & above(n, f).T
    return [
        int(j)
        for j in np.argsort(-pairs.sum(axis=1) - pairs.sum(axis=0))
        if pairs[j].any() or pairs[:, j].any()
    ]


def _at_step(record: Record, step: int) -> Record:
    """The same record at another step, for what compares steps."""
    return Record(
        record.tag, step, record.wall_time, record.kind, record.meta, record.figures, record.arrays
    )


_MEASURE = ("method", "params", "target", "metric", "names", "inputs")


def _same_meta(a: Record, b: Record) -> bool:
    return all(a.meta.get(key) == b.meta.get(key) for key in _MEASURE)


def _same_measure(one: _Table, other: _Table) -> bool:
    a, b = one.records[-1], other.records[-1]
    return a.kind == b.kind and a.kind != "health" and _same_meta(a, b)


_SCALE_HINT = (
    "Scale the columns (subtract the mean, divide by the standard deviation of the training data), "
    "or take the logarithm of what spans orders of magnitude."
)

_NAN_HINT = (
    "Stop here and lower the learning rate, clip gradients, or look for inputs that are not "
    "finite; explanations after the first such step say nothing."
)

_RULES: dict[str, tuple[Callable[[_Table], Iterator[Finding]], ...]] = {
    "importance": (
        _importance_not_finite,
        _leaked,
        _unscaled,
        _dominant,
        _no_better_than_guess,
        _irrelevant,
        _rising,
        _moving,
        _reduced,
    ),
    "attribution": (
        _not_finite,
        _all_zero,
        _faded,
        _shortcut,
        _left_mask,
        _one_place,
        _unscaled_from_start,
        _concentrated,
        _dominant,
        _gap,
        _unstable,
        _unfaithful,
        _insensitive,
        _maps_move,
        _flips,
        _reduced,
    ),
    "health": (_health, _wrong_gradient, _reduced),
}


# --- figures and words --------------------------------------------------------------------------


def _z(error: float) -> float:
    """Half width of a two-sided normal interval with this chance of a miss, in standard errors."""
    return NormalDist().inv_cdf(1 - error / 2)


def _levels(steps: int, tests: int) -> Floats:
    """Level of a one-sided test at each of so many steps: they add up to `ERROR_RATE / tests`."""
    k = np.arange(1, steps + 1)
    return np.asarray(ERROR_RATE / tests / (k * (k + 1)))


def _limits(steps: int, tests: int = 1) -> Floats:
    """Standard errors above which an estimate is surely too large, at each of so many steps."""
    return _quantiles(1 << max(steps - 1, 0).bit_length(), tests)[:steps]


@lru_cache(maxsize=64)
def _quantiles(steps: int, tests: int) -> Floats:
    normal = NormalDist()
    return np.array([-normal.inv_cdf(float(level)) for level in _levels(steps, tests)])


def _surely(excess: Floats, tests: int) -> Bools:
    """Whether the mean over examples is above zero beyond chance, at each step; `(t, n)` -> `(t,)`.

    Student's one-sided test at the levels of `_levels`. Examples that are undefined at any step are
    left out, and fewer than three say nothing. All False where it fails at the last step: rules ask
    since when something holds up to now.
    """
    excess = excess[:, np.isfinite(excess).all(axis=0)]
    steps, n = excess.shape
    nothing = np.zeros(steps, bool)
    if n < 3 or not steps:
        return nothing
    levels = _levels(steps, tests)

    def test(rows: Floats, levels: Floats) -> Bools:
        mean, error = rows.mean(axis=1), rows.std(axis=1, ddof=1) / np.sqrt(n)
        certain = np.where(mean > 0, np.inf, 0.0)  # where all examples agree
        t = np.divide(mean, error, out=certain, where=error > 1e-12 * np.abs(mean))
        return np.asarray(_student_tail(t, n - 1) < levels)

    return test(excess, levels) if test(excess[-1:], levels[-1:])[0] else nothing


def _student_tail(t: Floats, freedom: int) -> Floats:
    """Chance that Student's t exceeds t: the finite series in the angle atan(t / sqrt(freedom)).

    Above 200 degrees of freedom those of 200, whose tails are heavier by less than 2 % at 3
    standard errors. (Abramowitz and Stegun, 26.7.3 and 26.7.4.)
    """
    v = min(freedom, 200)
    angle = np.arctan(np.asarray(t, np.float64) / np.sqrt(v))
    sine, cosine = np.sin(angle), np.cos(angle)
    term = np.ones_like(angle) if v % 2 == 0 else cosine.copy()
    total = term.copy() if v > 1 else np.zeros_like(angle)
    for k in range(2 if v % 2 == 0 else 3, v - 1, 2):
        term = term * cosine**2 * (k - 1) / k
        total += term
    between = sine * total if v % 2 == 0 else 2 / np.pi * (angle + sine * total)
    return np.asarray((1 - between) / 2)


def _means(values: Floats) -> Floats:
    """Mean over examples at each step, without those that are undefined; NaN where all are."""
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=1)
    count = known.sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))


def _medians(values: Floats) -> Floats:
    """Median over examples at each step, without those that are undefined; NaN where all are."""
    known = np.isfinite(values)
    found = np.median(np.where(known, values, 0.0), axis=1)
    for t in np.flatnonzero(~known.all(axis=1)):
        found[t] = np.median(values[t, known[t]]) if known[t].any() else np.nan
    return np.asarray(found)


def _constancy(votes: Floats) -> Floats:
    """Mean over standard deviation, over examples, at each step; 0 where there is no variance."""
    votes = votes[:, np.isfinite(votes).all(axis=0)]
    if votes.shape[1] < 2:
        return np.zeros(len(votes))
    spread = votes.std(axis=1, ddof=1)
    return np.asarray(
        np.divide(votes.mean(axis=1), spread, out=np.zeros(len(votes)), where=spread > 0)
    )


def _masks(table: _Table, *, suspect: bool) -> dict[str, Floats]:
    """Area of each mask of one kind, one share or one for each example."""
    masks = table.meta.get("masks")
    found = {}
    for name, about in masks.items() if isinstance(masks, Mapping) else ():
        area = about.get("area") if isinstance(about, Mapping) else None
        if area is None or bool(about.get("suspect")) != suspect:
            continue
        shares = np.atleast_1d(np.asarray(area, np.float64))
        figures = table.records[-1].figures
        known = {len(figures[k]) for k in (f"mass.{name}", f"signed.{name}") if k in figures}
        if np.isfinite(shares).all() and (len(shares) == 1 or {len(shares)} == known):
            found[str(name)] = shares
    return found


def _profiles(table: _Table, *figures: str) -> tuple[list[int], Floats, list[Floats]]:
    """Shares of the cells of each picture, `(t, n, cells)`, and figures of its steps `(t, n)`."""
    grid = table.meta.get("grid")
    try:
        cells = int(np.prod([int(side) for side in grid])) if grid else 0
    except (TypeError, ValueError):
        cells = 0
    steps, maps = table.matrix("grid", cells) if cells else ([], np.empty((0, 0, 0)))
    known, rows = table.rows(*figures) if figures else (steps, [])
    if not steps or steps != known or any(r.shape[1] != maps.shape[1] for r in rows):
        return [], np.empty((0, 0, 0)), [np.empty((0, 0)) for _ in figures]
    return steps, maps, rows


def _since_first(table: _Table) -> dict[int, float]:
    """Mean cosine by place with the first step, for each later step: cells, or features."""
    steps, maps, _ = _profiles(table)
    if not steps:
        steps, (mean,) = table.rows("mean_abs")
        maps = mean[:, None]
    if len(steps) < 2:
        return {}
    alike = _means(_cosines(maps, maps[:1]))
    return {step: float(one) for step, one in zip(steps[1:], alike[1:], strict=True)}


def _cosines(maps: Floats, others: Floats) -> Floats:
    """Cosine over the last axis; NaN where either is all zero."""
    product = (maps * others).sum(axis=-1)
    size = np.sqrt((maps**2).sum(axis=-1) * (others**2).sum(axis=-1))
    return np.asarray(np.divide(product, size, out=np.full(size.shape, np.nan), where=size > 0))


def _cell(cell: int, h: int, w: int) -> str:
    """Name a cell of a grid: "top left corner", or by its row and column from 1."""
    row, column = divmod(cell, w)
    if row in (0, h - 1) and column in (0, w - 1):
        return f"{'top' if row == 0 else 'bottom'} {'left' if column == 0 else 'right'} corner"
    return f"cell in row {row + 1}, column {column + 1} of {h} x {w}"


def _shares(
    mean: Floats, stderr: Floats, only: Sequence[int] | None = None
) -> tuple[Floats, Floats]:
    """Share of each feature in the positive importance of all, and its standard error, `(t, d)`.

    The standard error is that of `a / (a + b)`, a and b independent, to first order; infinite
    where nothing is positive. With `only`, of these features alone.
    """
    a = np.maximum(mean, 0.0)
    total = a.sum(axis=1, keepdims=True)
    # Features at or below zero may be positive in truth: their error counts as well.
    squares = np.einsum("td,td->t", stderr, stderr)[:, None]
    if only is not None:
        a, stderr = a[:, only], stderr[:, only]
    total = np.broadcast_to(total, a.shape)
    error_b = np.sqrt(np.maximum(squares - stderr**2, 0.0))
    share = np.divide(a, total, out=np.zeros_like(a), where=total > 0)
    error = np.hypot((1 - share) * stderr, share * error_b)
    return share, np.divide(error, total, out=np.full_like(a, np.inf), where=total > 0)


def _since(holds: Bools) -> int | None:
    """Return since which position something holds without a break up to the last; None if not."""
    if not len(holds) or not holds[-1]:
        return None
    breaks = np.flatnonzero(~holds)
    return int(breaks[-1]) + 1 if len(breaks) else 0


def _is_vector(record: Record, figure: str) -> bool:
    return figure in record.figures and record.figures[figure].ndim == 1


def _finite(value: Any) -> bool:
    return not isinstance(value, (int, float)) or bool(np.isfinite(value))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _signed(share: float) -> str:
    if abs(share) < 5e-4:
        return "0 %"
    return f"{100 * share:+.0f} %" if abs(share) >= 0.1 else f"{100 * share:+.1f} %"


def _figure(value: float) -> str:
    """Three digits, and no exponent where people need none."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def _when(steps: Sequence[int], first: int) -> str:
    if len(steps) == 1:
        return ""
    return " at all logged steps" if first == 0 else f" since step {steps[first]}"


def _steps(bad: Sequence[tuple[int, Any]]) -> str:
    if len(bad) == 1:
        return f"step {bad[0][0]}"
    return f"{len(bad)} steps from {bad[0][0]} to {bad[-1][0]}"


def _listed(names: Sequence[str], most: int = 5) -> str:
    """Name the first few, and say how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
