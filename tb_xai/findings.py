"""Findings: rules that turn what was logged into sentences that a careful colleague would say.

Rules look at the figures of one tag over its steps, never at arrays, and are computed when they are
asked for, so that old logs gain new rules. A rule speaks only where the logged intervals rule out
chance: tests are corrected for the number of features, so that a model that stands still is flagged
in at most 5 % of runs. Every threshold is a constant of this module with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
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
"""Chance of a false alarm of one test on a model that does not change; with at most four such tests
per tag a run stays below 5 %."""

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
"""Share of examples flipping late that is a warning; fewer are borderline cases and an info."""

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
"""Change of an importance, relative to the largest importance, that matters beyond chance."""

TREND = 0.8
"""Kendall's tau of a score with the step that is a trend: by chance in 1.7 % of 6 steps, and more
rarely with more."""

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
        evidence: Features, examples and figures, as JSON can hold them.
        view: View that shows it: "maps" or "features".
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


def find(log: Log, run: str) -> list[Finding]:
    """Return what the rules find in a run, the gravest first.

    Args:
        log: What was logged, see `reader.open`.
        run: Name of the run.

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
    for tag, info in log.tags(run).items():
        if info.kind in _RULES:
            records = log.records(run, tag)
            found += judge(records, log.feature_names(run, tag), _example_names(log, run, records))
    # What speaks of the model alone is said once, not for every explanation of the same examples.
    unique = {
        (f.tag if f.rule != "class_flips" else str(f.evidence), f.rule): f for f in reversed(found)
    }
    return _sorted(list(unique.values()))


def judge(
    records: Sequence[Record],
    feature_names: Sequence[str] | None = None,
    example_names: Sequence[str] | None = None,
) -> list[Finding]:
    """Return what the rules find in the records of one tag, wherever they come from.

    Args:
        records: Records of one tag, of one kind.
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
    return sorted(found, key=lambda f: (_SEVERITIES.index(f.severity), f.first_step, f.tag, f.rule))


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

    def rows(self, *figures: str) -> tuple[list[int], list[Floats]]:
        """Return the steps that hold all these figures and the figures, each `(t, n)`.

        Steps whose figures have another size than the last one's, or speak of other examples, are
        left out; infinite figures count as NaN.
        """
        have = [r for r in self.records if all(_is_vector(r, f) for f in figures)]
        sizes = [tuple(len(r.figures[f]) for f in figures) for r in have]
        probe = have[-1].meta.get("probe") if have else None
        same = [
            r
            for r, size in zip(have, sizes, strict=True)
            if size == sizes[-1] and r.meta.get("probe") == probe
        ]
        if not same or 0 in sizes[-1]:
            return [], [np.empty((0, 0)) for _ in figures]
        table = [np.stack([np.asarray(r.figures[f], np.float64) for r in same]) for f in figures]
        return [r.step for r in same], [np.where(np.isfinite(t), t, np.nan) for t in table]

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
    share, error = (found[:, top] for found in _shares(mean, stderr))
    sure = share - _z(ERROR_RATE) * error
    first = _since(sure > limit)
    if first is None:
        return
    name = table.feature(top)
    yield Finding(
        "dominant_feature",
        "warning",
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
    if not where:
        return
    d = mean.shape[1]
    everything = len(where) == d
    unused = int((zero & (low[-1] == 0) & (high[-1] == 0)).sum())
    exactly = f", {unused} of them exactly zero" if unused else ""
    if everything:
        text = (
            f"At step {steps[-1]} no feature matters: the importance of all {d} cannot be told "
            f"from zero{exactly}."
        )
        hint = (
            "Compare the score with that of a constant guess; check that labels belong to their "
            "rows, and that training moves the weights at all."
        )
    else:
        text = (
            f"At step {steps[-1]} the importance of {len(where)} of {d} features cannot be told "
            f"from zero{exactly}: {_listed([table.feature(j) for j in where])}."
        )
        hint = (
            "Group features that say the same (groups=...) before dropping any: of two copies "
            "neither is missed alone. More rows make the intervals narrower."
        )
    yield Finding(
        "indistinguishable_from_zero",
        "warning" if everything else "info",
        steps[-1],
        steps[-1],
        table.tag,
        text,
        hint,
        {"features": where[:100], "count": len(where), "of": d, "exactly_zero": unused},
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
    z = _z(2 * ERROR_RATE / d)
    shares, errors = _shares(mean, stderr)
    rise = shares - shares[0]
    risen = (rise > RISE) & (rise > z * np.hypot(errors, errors[0]))
    if not risen[-1].any():
        return
    j = int(np.argmax(np.where(risen[-1], rise[-1], -1.0)))
    share = shares[:, j]
    first = _since(risen[:, j]) or 0
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
    change = mean[-1] - mean[start]
    noise = np.hypot(stderr[start], stderr[-1])
    top = float(np.abs(mean[[start, -1]]).max())
    z = _z(ERROR_RATE / mean.shape[1])
    moved = (np.abs(change) > z * noise) & (np.abs(change) > MOVED_IMPORTANCE * top)
    step = float(curve[-1] - curve[0])
    still = float(np.ptp(curve)) <= STILL_SCORE * float(np.ptp(score))
    metric = str(table.meta.get("metric") or "score")
    scores = f"{_figure(curve[0])} to {_figure(curve[-1])}"
    evidence: dict[str, Any] = {"score_first": float(curve[0]), "score_last": float(curve[-1])}
    if moved.any() and still:
        order = [int(j) for j in np.argsort(-np.abs(change)) if moved[j]]
        j = order[0]
        yield Finding(
            "importance_moves_score_still",
            "warning",
            late[0],
            late[-1],
            table.tag,
            f"Between steps {late[0]} and {late[-1]} the {metric} stood still ({scores}) while "
            f"importances moved beyond their intervals: {table.feature(j)} from "
            f"{_figure(mean[start, j])} to {_figure(mean[-1, j])}"
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
    count = np.array(
        [
            np.median(np.exp(row[np.isfinite(row)])) if np.isfinite(row).any() else np.nan
            for row in entropy
        ]
    )
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
    if not where:
        return
    n = predicted.shape[1]
    many = len(where) >= 2 and len(where) > FLIPPING_EXAMPLES * n
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
        {"examples": where[:100], "count": len(where), "of": n, "flips": int(flips.sum())},
        "maps",
    )


_NAN_HINT = (
    "Stop here and lower the learning rate, clip gradients, or look for inputs that are not "
    "finite; explanations after the first such step say nothing."
)

_RULES: dict[str, tuple[Callable[[_Table], Iterator[Finding]], ...]] = {
    "importance": (_importance_not_finite, _dominant, _irrelevant, _rising, _moving),
    "attribution": (_not_finite, _all_zero, _faded, _concentrated, _dominant, _gap, _flips),
}


# --- figures and words --------------------------------------------------------------------------


def _z(error: float) -> float:
    """Half width of a two-sided normal interval with this chance of a miss, in standard errors."""
    return NormalDist().inv_cdf(1 - error / 2)


def _shares(mean: Floats, stderr: Floats) -> tuple[Floats, Floats]:
    """Share of each feature in the positive importance of all, and its standard error, `(t, d)`.

    The standard error is that of `a / (a + b)`, a and b independent, to first order; infinite
    where nothing is positive.
    """
    a = np.maximum(mean, 0.0)
    total = np.broadcast_to(a.sum(axis=1, keepdims=True), a.shape)
    # Features at or below zero may be positive in truth: their error counts as well.
    square = stderr**2
    error_b = np.sqrt(np.maximum(square.sum(axis=1, keepdims=True) - square, 0.0))
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


def _figure(value: float) -> str:
    return f"{value:.3g}"


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
