"""Drift: how far an explanation moved between two steps, and how far it moves by chance.

The measures take two arrays of the same shape with examples first, `(n, ...)`, and return one
number per example, `(n,)` float64. They are undefined, and return NaN, where an example

* holds NaN or infinity in either array,
* is all zero in either array (`cosine`: a vector without a direction),
* is constant in either array (all others; in magnitude for `top_k_overlap` and `ndcg`): a map
  whose values are all equal ranks nothing and has no structure.

`spearman` and `kendall` rank the signed values; give them `numpy.abs(a)` to rank magnitudes.
`top_k_overlap` and `ndcg` speak of the most important features and rank magnitudes.

References:
    J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018,
    https://arxiv.org/abs/1810.03292
    A. Ghorbani, A. Abid and J. Zou, "Interpretation of neural networks is fragile", AAAI 2019,
    https://arxiv.org/abs/1710.10547
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from tb_xai.summary import Record

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Measure = Callable[[Floats, Floats], Floats]
"""Compares two arrays of the same shape with examples first: `(n, ...), (n, ...) -> (n,)`."""


def cosine(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Return the cosine of the angle between two explanations.

    `cos = sum_i a_i b_i / sqrt(sum_i a_i^2 sum_i b_i^2)`

    Args:
        a: Explanations, shape `(n, ...)`.
        b: Explanations of the same examples, same shape.

    Returns:
        `(n,)` from -1 (opposite) over 0 (unrelated) to 1 (same up to a positive factor); NaN
        where either is all zero or not finite.

    Raises:
        ValueError: The shapes differ or have no feature axis.

    Example:
        >>> cosine([[1.0, 0.0]], [[1.0, 1.0]]).round(4)
        array([0.7071])
    """

    def one(u: Floats, v: Floats) -> float:
        if not u.any() or not v.any():
            return np.nan
        u, v = u / np.abs(u).max(), v / np.abs(v).max()
        return _ratio(float(u @ v), float(u @ u), float(v @ v))

    return _each(one, a, b, constant=True)


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Return Spearman's rank correlation of the signed values.

    `rho = corr(rank(a), rank(b))`, where tied values share the mean of their ranks.

    Args:
        a: Explanations, shape `(n, ...)`.
        b: Explanations of the same examples, same shape.

    Returns:
        `(n,)` from -1 (reversed order) to 1 (same order); NaN where either is constant or not
        finite.

    Raises:
        ValueError: The shapes differ or have no feature axis.

    Example:
        >>> spearman([[4.0, 3.0, 2.0, 1.0]], [[3.0, 4.0, 2.0, 1.0]]).round(4)
        array([0.8])

    References:
        C. Spearman, "The proof and measurement of association between two things", American
        Journal of Psychology 15, 1904, https://doi.org/10.2307/1412159
    """

    def one(u: Floats, v: Floats) -> float:
        middle = (len(u) - 1) / 2  # the mean of all ranks, whatever is tied
        u, v = (np.add(*tied_ranks(w)) / 2 - middle for w in (u, v))
        return _ratio(float(u @ v), float(u @ u), float(v @ v))

    return _each(one, a, b)


def kendall(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Return Kendall's rank correlation tau-b of the signed values.

    `tau_b = (C - D) / sqrt((C + D + T_a)(C + D + T_b))` over the pairs of features: C in the same
    order, D in the opposite order, T_a and T_b tied in only one of the two. Takes
    `O(m log m)` for m features.

    Args:
        a: Explanations, shape `(n, ...)`.
        b: Explanations of the same examples, same shape.

    Returns:
        `(n,)` from -1 (reversed order) to 1 (same order); NaN where either is constant or not
        finite.

    Raises:
        ValueError: The shapes differ or have no feature axis.

    Example:
        >>> kendall([[4.0, 3.0, 2.0, 1.0]], [[3.0, 4.0, 2.0, 1.0]]).round(4)
        array([0.6667])

    References:
        M. G. Kendall, "The treatment of ties in ranking problems", Biometrika 33, 1945,
        https://doi.org/10.1093/biomet/33.3.239
        W. R. Knight, "A computer method for calculating Kendall's tau with ungrouped data",
        JASA 61, 1966, https://doi.org/10.1080/01621459.1966.10480879
    """

    def one(u: Floats, v: Floats) -> float:
        order = np.lexsort((v, u))
        u, v = u[order], v[order]
        same_u, same_v = u[1:] == u[:-1], np.sort(v)[1:] == np.sort(v)[:-1]
        pairs = len(u) * (len(u) - 1) // 2
        tied_u, tied_v = _pairs_in_runs(same_u), _pairs_in_runs(same_v)
        tied_both = _pairs_in_runs(same_u & (v[1:] == v[:-1]))
        ranks = np.empty(len(v), np.int64)
        ranks[np.argsort(v, kind="stable")] = np.arange(len(v))
        discordant = _inversions(ranks)
        difference = pairs - tied_u - tied_v + tied_both - 2 * discordant
        return _ratio(difference, float(pairs - tied_u), float(pairs - tied_v))

    return _each(one, a, b)


def top_k_overlap(a: npt.ArrayLike, b: npt.ArrayLike, k: int) -> Floats:
    """Return the share of the k most important features that two explanations have in common.

    `|top_k(|a|) & top_k(|b|)| / k`. Features tied at the border share the places that are left:
    each belongs to the top k to the same degree `p_i`, and the overlap is
    `sum_i min(p_i, q_i) / k`, so that it depends on no order of features and an explanation
    overlaps itself by 1.

    Args:
        a: Explanations, shape `(n, ...)` with m values per example.
        b: Explanations of the same examples, same shape.
        k: Number of features, 1 to m. Unrelated explanations overlap by `k / m` on average.

    Returns:
        `(n,)` from 0 to 1; NaN where the magnitudes of either are constant or not finite.

    Raises:
        ValueError: The shapes differ or have no feature axis, or k is out of range.

    Example:
        >>> top_k_overlap([[3.0, -4.0, 1.0, 0.0]], [[3.0, 0.0, 1.0, 4.0]], k=2)
        array([0.5])

    References:
        A. Ghorbani, A. Abid and J. Zou, "Interpretation of neural networks is fragile", AAAI 2019,
        https://arxiv.org/abs/1710.10547
    """
    check_k(k, a)

    def degree(u: Floats) -> Floats:
        first, last = tied_ranks(-u)
        return np.clip((k - first) / (last - first + 1), 0.0, 1.0)

    def one(u: Floats, v: Floats) -> float:
        return float(np.minimum(degree(u), degree(v)).sum() / k)

    return _each(one, a, b, magnitude=True)


def ndcg(a: npt.ArrayLike, b: npt.ArrayLike, k: int | None = None) -> Floats:
    """Return the normalised discounted cumulative gain of the order of b, with gains from a.

    `DCG(order) = sum_{r=1..k} |a|_order(r) / log2(r + 1)`, divided by the DCG of the order of
    `|a|` itself. Features tied in `|b|` share the mean of their discounts, which is the expected
    gain over all orders of the tied ones. Errors among the most important features weigh most.

    Args:
        a: Reference explanations, whose magnitudes are the gains, shape `(n, ...)`.
        b: Explanations of the same examples whose order is judged, same shape.
        k: Number of places that count, 1 to m; None means all m.

    Returns:
        `(n,)` from above 0 to 1 (same order); not symmetric. NaN where the magnitudes of either
        are constant or not finite.

    Raises:
        ValueError: The shapes differ or have no feature axis, or k is out of range.

    Example:
        >>> ndcg([[3.0, 2.0, 0.0]], [[2.0, 3.0, 0.0]]).round(4)
        array([0.9134])

    References:
        K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM
        TOIS 20, 2002, https://doi.org/10.1145/582415.582418
        F. McSherry and M. Najork, "Computing information retrieval performance measures
        efficiently in the presence of tied scores", ECIR 2008,
        https://doi.org/10.1007/978-3-540-78646-7_38
    """
    if k is not None:
        check_k(k, a)

    def one(u: Floats, v: Floats) -> float:
        discount = 1.0 / np.log2(np.arange(len(u)) + 2.0)
        discount[len(u) if k is None else k :] = 0.0
        until = np.concatenate([[0.0], np.cumsum(discount)])
        first, last = tied_ranks(-v)
        gains = u / u.max()
        reached = gains @ ((until[last + 1] - until[first]) / (last - first + 1))
        return float(min(reached / (-np.sort(-gains) @ discount), 1.0))

    return _each(one, a, b, magnitude=True)


def ssim(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    """Return the mean structural similarity of two maps.

    Over all windows that fit into the map, with Gaussian weights (11 x 11, sigma 1.5):
    `(2 m_a m_b + C1)(2 s_ab + C2) / ((m_a^2 + m_b^2 + C1)(s_a^2 + s_b^2 + C2))`, `C1 = (0.01 L)^2`,
    `C2 = (0.03 L)^2`, where m, s^2 and s_ab are weighted means, variances and covariance, and
    L is the range that both maps share, `max(a, b) - min(a, b)`: a scale of its own for each map
    would hide a change of strength. Maps are taken as they are, with their signs.

    Args:
        a: Maps `(n, h, w)` or `(n, h, w, c)`, at least 3 x 3; channels are averaged.
        b: Maps of the same examples, same shape.

    Returns:
        `(n,)` from -1 to 1 (same map); NaN where either map is constant or not finite.

    Raises:
        ValueError: The shapes differ, or are not those of maps of at least 3 x 3.

    Example:
        >>> ramp = np.arange(256.0).reshape(1, 16, 16)
        >>> ssim(ramp, ramp)
        array([1.])

    References:
        Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality assessment: from
        error visibility to structural similarity", IEEE Transactions on Image Processing 13, 2004,
        https://doi.org/10.1109/TIP.2003.819861

    Differs from the paper: a map below 11 pixels is compared in windows of its own (odd) size, so
    that the native map of a late layer has an answer; L is the shared range of both maps where
    the paper has the fixed range of the pixels.
    """
    shape = np.shape(a)
    if len(shape) not in (3, 4) or min(shape[1:3]) < 3:
        raise ValueError(
            "SSIM compares maps of shape (n, h, w) or (n, h, w, c) with h, w >= 3. "
            f"Received: shape {shape}"
        )
    side = min(11, *(s - 1 + s % 2 for s in shape[1:3]))
    weights = np.exp(-0.5 * ((np.arange(side) - side // 2) / 1.5) ** 2)
    weights /= weights.sum()

    def blur(z: Floats) -> Floats:  # (h, w, c), only where the whole window fits
        h, w = z.shape[0] - side + 1, z.shape[1] - side + 1
        rows = sum(g * z[i : i + h] for i, g in enumerate(weights))
        return np.asarray(sum(g * rows[:, i : i + w] for i, g in enumerate(weights)))

    def one(u: Floats, v: Floats) -> float:
        low = min(u.min(), v.min())
        unit = max(u.max(), v.max()) - low
        # Variances are taken around the middle of the range, where they do not cancel.
        middle = low / unit + 0.5
        u, v = (w.reshape(*shape[1:3], -1) / unit - middle for w in (u, v))
        mu, mv = blur(u), blur(v)
        su, sv, suv = blur(u * u) - mu * mu, blur(v * v) - mv * mv, blur(u * v) - mu * mv
        mu, mv = mu + middle, mv + middle
        c1, c2 = 0.01**2, 0.03**2
        alike = (2 * mu * mv + c1) * (2 * suv + c2)
        return float((alike / ((mu**2 + mv**2 + c1) * (su + sv + c2))).mean())

    return _each(one, a, b)


def default_k(m: int) -> int:
    """Return the k of `top_k_overlap` where nobody chose one: a tenth of m values, at least 5.

    Where there are fewer than 10 values it is half of them. Unrelated explanations overlap by
    `k / m` on average.

    Example:
        >>> [default_k(m) for m in (3, 12, 784)]
        [2, 5, 78]
    """
    return max(min(5, (m + 1) // 2), m // 10)


def _top(a: npt.ArrayLike, b: npt.ArrayLike) -> Floats:
    return top_k_overlap(a, b, default_k(int(np.prod(np.shape(a)[1:]))))


MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "cosine": cosine,
        "spearman": spearman,
        "kendall": kendall,
        "top_k_overlap": _top,
        "ndcg": ndcg,
        "ssim": ssim,
    }
)
"""Every measure by its name, as the dashboard asks for it; `top_k_overlap` with `default_k`."""


def tied_ranks(values: Floats) -> tuple[Ints, Ints]:
    """Return the first and the last place of each value in ascending order, counted from 0.

    The two differ where values are tied: the tied ones share the places `first..last`.

    Args:
        values: `(m,)` without NaN.

    Returns:
        Two arrays `(m,)` of integers.

    Example:
        >>> tied_ranks(np.array([5.0, 1.0, 5.0]))
        (array([1, 0, 1]), array([2, 0, 2]))
    """
    order = np.argsort(values)
    ascending = values[order]
    new = np.concatenate([[True], ascending[1:] != ascending[:-1]])
    start = np.flatnonzero(new)
    end = np.append(start[1:], len(values)) - 1
    block = np.cumsum(new) - 1
    first, last = np.empty(len(values), np.int64), np.empty(len(values), np.int64)
    first[order], last[order] = start[block], end[block]
    return first, last


def check_k(k: int, values: npt.ArrayLike) -> None:
    """Raise unless k is a number of features that `values`, examples first, can give."""
    most = int(np.prod(np.shape(values)[1:]))
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or not 1 <= k <= most:
        raise ValueError(f"k must be a whole number from 1 to {most} features. Received: k={k!r}")


@dataclass(frozen=True)
class Series:
    """One drift measure over the steps of a run.

    Attributes:
        steps: `(s,)` logged steps, ascending.
        values: `(s, n)` measure per step and example; NaN where undefined.
        against: `(s,)` step that each is compared with; -1 where there is none.
        reasons: One sentence per step that says why the step has no value; empty where it has.
    """

    steps: Ints
    values: Floats
    against: Ints
    reasons: tuple[str, ...]

    @property
    def mean(self) -> Floats:
        """Mean over the examples that are defined, `(s,)`; NaN where none is."""
        return _mean(self.values)


@dataclass(frozen=True)
class Band:
    """Where runs that differ in their seed alone lie.

    Attributes:
        steps: `(s,)` steps that at least two runs have a value for.
        low: `(s,)` lowest run.
        middle: `(s,)` median run.
        high: `(s,)` highest run.
        runs: `(s,)` number of runs behind each step.
        coverage: `(s,)` chance that one more run of the same kind lies inside, `(r - 1) / (r + 1)`
            for r runs, whatever the distribution: 0.33 for 2 runs, 0.67 for 5, 0.9 for 19.
    """

    steps: Ints
    low: Floats
    middle: Floats
    high: Floats
    runs: Ints
    coverage: Floats


def series(
    records: Iterable[Record],
    measure: Measure = cosine,
    reference: int | Literal["previous"] = "previous",
    *,
    name: str | None = None,
) -> Series:
    """Return how a run's explanations differ from earlier ones, per example.

    Args:
        records: Records of one run and tag. "importance" records count as one example whose
            values are the mean importances.
        measure: Any function of two arrays with examples first; `cosine` by default. Bind further
            arguments: `lambda a, b: top_k_overlap(a, b, k=10)`.
        reference: "previous" compares each step with the logged step before it; a step compares
            all with that one.
        name: Explained input to compare; None takes the only one, or all inputs side by side,
            `(n, m)`.

    Returns:
        `Series` with one row per logged step. A step is undefined (NaN, with its reason) where
        there is nothing before it, where it or its reference is not stored, and where the two
        do not explain the same examples.

    Raises:
        ValueError: The reference is no logged step, or the name no explained input.

    Example:
        >>> records = [Record("ig", s, 0.0, "importance", {}, {"mean": np.eye(2)[s]}, {})
        ...            for s in range(2)]
        >>> series(records).values
        array([[nan],
               [ 0.]])
    """
    logged = sorted(records, key=lambda record: record.step)
    steps = [record.step for record in logged]
    other: Loaded | None = None
    if reference != "previous":
        if reference not in steps:
            raise ValueError(
                f"reference must be 'previous' or a logged step of {steps}. Received: {reference!r}"
            )
        other = load(logged[steps.index(reference)], name)
    rows: list[Row] = []
    against: list[int] = []
    for record in logged:
        now = load(record, name)
        against.append(-1 if other is None else other.record.step)
        rows.append(compare(measure, other, now))
        if reference == "previous":
            other = now
    return _series(steps, against, rows)


def noise_floor(
    records: Iterable[Record],
    measure: Measure = cosine,
    *,
    name: str | None = None,
    n_draws: int = 8,
    seed: int = 0,
) -> Series:
    """Return the measure between two independent explanations of the same model, per step.

    Two explanations `s v + stderr * z` and `s v + stderr * z'` are drawn from independent normal z
    `n_draws` times, and the measure between them is averaged: what a drift curve shows when the
    model stands still. `s^2 = max(0, 1 - |stderr|^2 / |v|^2)` takes out of v the noise that it
    holds itself. A deterministic method stores no standard error and agrees with itself exactly.
    For importances, whose standard error is over rows that all steps share, this is an upper bound
    of the noise between steps.

    Args:
        records: Records of one run and tag, as for `series`.
        measure: The measure of the drift curve.
        name: Explained input, as for `series`.
        n_draws: Pairs of explanations to average, 1 or more.
        seed: Seed of the draws; a step's floor does not depend on the other steps.

    Returns:
        `Series` whose steps are compared with themselves.

    Raises:
        ValueError: The name is no explained input, or `n_draws` is below 1.

    Example:
        >>> record = Record("ig", 3, 0.0, "importance", {}, {"mean": np.array([1.0, 2.0])}, {})
        >>> noise_floor([record]).values
        array([[1.]])
    """
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1. Received: n_draws={n_draws}")
    logged = sorted(records, key=lambda record: record.step)
    rows = [floor(measure, load(record, name), n_draws=n_draws, seed=seed) for record in logged]
    steps = [record.step for record in logged]
    return _series(steps, steps, rows)


class Loaded(NamedTuple):
    """What a record says of its examples, read once for as many comparisons as are wanted.

    Attributes:
        record: The record.
        values: `(n, ...)` explanations; None where they are not stored.
        stderr: Their standard errors, same shape; None for a deterministic method.
        reason: Why there are no values; empty where there are.
    """

    record: Record
    values: npt.NDArray[Any] | None
    stderr: npt.NDArray[Any] | None = None
    reason: str = ""


class Row(NamedTuple):
    """One step of a series: a value per example, or none of n and the reason.

    Attributes:
        values: `(n,)` values, NaN where undefined; empty where there is a reason.
        reason: One sentence that says why the step has no value; empty where it has.
        n: Number of examples of the step.
    """

    values: Floats
    reason: str
    n: int


def load(record: Record, name: str | None = None) -> Loaded:
    """Read what a record says of its examples, for `compare` and `floor`.

    Args:
        record: A record with arrays, or an "importance" record, which counts as one example.
        name: Explained input; None takes the only one, or all inputs side by side, `(n, m)`.

    Returns:
        `Loaded`; arrays that are not stored, or cannot be read any more, are its `reason`.

    Raises:
        ValueError: The name is no explained input.

    Example:
        >>> load(Record("ig", 3, 0.0, "importance", {}, {"mean": np.array([1.0, 2.0])}, {})).values
        array([[1., 2.]])
    """
    if record.kind == "importance":
        if "mean" not in record.figures:
            return Loaded(record, None, None, "The record holds no mean of the importances.")
        mean = np.asarray(record.figures["mean"], np.float64)[None]
        stderr = record.figures.get("stderr")
        return Loaded(record, mean, None if stderr is None else np.asarray(stderr)[None])
    try:
        names = list(record.arrays)
        stored = sorted(key for key in names if not key.endswith(".stderr"))
        if name is not None and stored and name not in stored:
            raise ValueError(f"name must be an explained input of {stored}. Received: {name!r}")
        keys = stored if name is None else [name]
        if not keys or any(key not in names for key in keys):
            return Loaded(record, None, None, "The arrays of this step are not stored.")
        values = _beside([record.arrays[key] for key in keys])
        if any(key + ".stderr" not in names for key in keys):
            return Loaded(record, values)
        return Loaded(record, values, _beside([record.arrays[key + ".stderr"] for key in keys]))
    except (OSError, LookupError) as missing:
        return Loaded(record, None, None, str(missing))


def compare(measure: Measure, other: Loaded | None, now: Loaded) -> Row:
    """Measure one step against another, or say why they cannot be compared.

    Args:
        measure: Any function of two arrays with examples first.
        other: The step that is compared with; None where there is none.
        now: The step itself.

    Returns:
        `Row` of `measure(other, now)`. It has a reason instead where either is not stored, where
        there is no other, and where the two do not explain the same examples in the same shape.

    Example:
        >>> steps = [load(Record("ig", s, 0.0, "importance", {}, {"mean": np.eye(2)[s]}, {}))
        ...          for s in range(2)]
        >>> compare(cosine, *steps).values
        array([0.])
    """
    trouble = _incomparable(other, now, f"Step {other.record.step}" if other else "")
    if trouble is None and other and other.values is not None and now.values is not None:
        a, b = other.values.shape, now.values.shape
        if a == b:
            return _row(measure, other.values, now.values)
        trouble = f"The explanations of step {other.record.step} have the shape {a}, not {b}."
    return Row(np.empty(0), trouble or "", 0 if now.values is None else len(now.values))


def agreement(measure: Measure, other: Loaded, now: Loaded) -> tuple[Row, str]:
    """Measure how far two methods agree on the same examples of the same step.

    Explanations that are not alike in form are brought to what they have in common: where one of
    the two has no sign, magnitudes are compared; maps of different size are compared on the
    coarser grid, after summing the channels, where each cell is the mean of what it covers.

    Args:
        measure: Any function of two arrays with examples first.
        other: The other method's explanations.
        now: This method's explanations.

    Returns:
        `Row` of the measure, or its reason; and what was compared, in words: empty where the
        explanations were taken as they are.

    Example:
        >>> maps = {"fine": np.arange(16.0).reshape(1, 4, 4, 1), "coarse": np.eye(2)[None]}
        >>> both = (Loaded(Record(k, 0, 0.0, "attribution", {}), v) for k, v in maps.items())
        >>> row, words = agreement(cosine, *both)
        >>> row.values.round(4), words
        (array([0.6196]), 'maps of 2 x 2')

    References:
        S. Krishna et al., "The disagreement problem in explainable machine learning", 2022,
        https://arxiv.org/abs/2202.01602
    """
    n = 0 if now.values is None else len(now.values)
    trouble = _incomparable(other, now, f"Tag {other.record.tag!r}")
    if trouble is not None or other.values is None or now.values is None:
        return Row(np.empty(0), trouble or "", n), ""
    a, b, words = np.asarray(other.values), np.asarray(now.values), []
    if a.shape != b.shape:
        if len(a) != len(b) or not (_is_map(a) and _is_map(b)):
            shapes = f"{a.shape}, not {b.shape}"
            reason = f"The explanations of {other.record.tag!r} have the shape {shapes}."
            return Row(np.empty(0), reason, n), ""
        a, b = (w if w.ndim == 3 else w.sum(-1) for w in (a, b))
    signs = {loaded.record.meta.get("signed") is not False for loaded in (other, now)}
    if signs == {True, False}:
        a, b, words = np.abs(a), np.abs(b), ["magnitudes"]
    if a.shape != b.shape:
        h, w = (min(a.shape[axis], b.shape[axis]) for axis in (1, 2))
        a, b = coarser(a, h, w), coarser(b, h, w)
        words.append(f"maps of {h} x {w}")
    return _row(measure, a, b), ", ".join(words)


def coarser(maps: npt.ArrayLike, h: int, w: int) -> Floats:
    """Return maps on a coarser grid: each cell is the mean of what it covers, by area.

    Args:
        maps: `(n, H, W)`.
        h: Rows, at most H.
        w: Columns, at most W.

    Returns:
        `(n, h, w)`; the mean over a map stays what it was.

    Example:
        >>> coarser([[[1.0, 2.0, 3.0]]], 1, 2).round(3)
        array([[[1.333, 2.667]]])
    """
    maps = np.asarray(maps, np.float64)

    def cover(many: int, few: int) -> Floats:
        at = np.arange(many + 1) * few / many  # borders of the fine cells, in coarse ones
        low = np.maximum(at[None, :-1], np.arange(few)[:, None])
        high = np.minimum(at[None, 1:], np.arange(few)[:, None] + 1)
        return np.asarray(np.maximum(high - low, 0.0))

    return np.asarray(cover(maps.shape[1], h) @ maps @ cover(maps.shape[2], w).T)


def floor(measure: Measure, now: Loaded, *, n_draws: int = 8, seed: int = 0) -> Row:
    """Measure two independent explanations of the same model: one step of `noise_floor`.

    Args:
        measure: The measure of the drift curve.
        now: The step.
        n_draws: Pairs of explanations to average, 1 or more.
        seed: Seed of the draws.

    Returns:
        `Row`; of a deterministic method, the measure between the step and itself.

    Example:
        >>> record = Record("ig", 3, 0.0, "importance", {}, {"mean": np.array([1.0, 2.0])}, {})
        >>> floor(cosine, load(record)).values
        array([1.])
    """
    if now.values is None:
        return Row(np.empty(0), now.reason, 0)
    if now.stderr is None:
        return _row(measure, now.values, now.values)
    rng = np.random.default_rng([seed, now.record.step])
    found = np.zeros(len(now.values))
    for i, (values, stderr) in enumerate(zip(now.values, now.stderr, strict=True)):
        # The estimate holds its own noise already: without it, draws are as strong as estimates.
        noise, all_ = float((stderr**2).sum()), float((values**2).sum())
        signal = values * np.sqrt(max(0.0, 1.0 - noise / all_)) if all_ > 0 else values
        for _ in range(n_draws):
            a, b = signal + stderr * rng.standard_normal((2, *values.shape))
            found[i] += measure(a[None], b[None])[0] / n_draws
    return Row(found, "", len(found))


def seed_band(runs: Sequence[Series]) -> Band:
    """Return the band of drift curves over runs that differ in their seed alone.

    Args:
        runs: One `Series` per run; each counts by the mean over its examples.

    Returns:
        `Band` from the lowest to the highest run, over the steps that two or more runs share,
        with the chance that one more such run lies inside.

    Raises:
        ValueError: There are fewer than two runs.

    Example:
        >>> runs = [Series(np.array([0]), np.array([[v]]), np.array([-1]), ("",)) for v in (1., 3.)]
        >>> seed_band(runs).low, seed_band(runs).high
        (array([1.]), array([3.]))
    """
    if len(runs) < 2:
        raise ValueError(f"A seed band needs at least two runs. Received: {len(runs)}")
    steps = np.unique(np.concatenate([run.steps for run in runs]))
    table = np.full((len(runs), len(steps)), np.nan)
    for row, run in zip(table, runs, strict=True):
        row[np.searchsorted(steps, run.steps)] = run.mean
    count = np.isfinite(table).sum(axis=0)
    shared = count >= 2
    table, steps, count = table[:, shared], steps[shared], count[shared]
    return Band(
        steps,
        np.nanmin(table, axis=0),
        np.nanmedian(table, axis=0),
        np.nanmax(table, axis=0),
        count,
        (count - 1) / (count + 1),
    )


def _each(
    one: Callable[[Floats, Floats], float],
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    magnitude: bool = False,
    constant: bool = False,
) -> Floats:
    """Apply `one` to each pair of examples as flat vectors; NaN where either is not finite.

    With `magnitude` the vectors are magnitudes; without `constant`, constant ones give NaN.
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim < 2 or 0 in a.shape[1:]:
        raise ValueError(
            "Both arrays must have the same shape (n, ...), examples first. "
            f"Received: shapes {a.shape} and {b.shape}"
        )
    result = np.full(len(a), np.nan)
    for i, pair in enumerate(zip(a, b, strict=True)):
        # float64 one example at a time: a record of a gigabyte need not stand in memory twice
        u, v = (np.asarray(w, np.float64).ravel() for w in pair)
        if magnitude:
            u, v = np.abs(u), np.abs(v)
        finite = np.isfinite(u).all() and np.isfinite(v).all()
        if finite and (constant or (u.min() < u.max() and v.min() < v.max())):
            result[i] = one(u, v)
    return result


def _ratio(product: float, square_a: float, square_b: float) -> float:
    """Return `product / sqrt(square_a square_b)`, kept within [-1, 1] against rounding."""
    return max(-1.0, min(1.0, product / math.sqrt(square_a * square_b)))


def _pairs_in_runs(same: npt.NDArray[np.bool_]) -> int:
    """Count the pairs inside runs of equal neighbours, given which neighbours are equal."""
    borders = np.concatenate([[0], np.flatnonzero(~same) + 1, [len(same) + 1]])
    length = np.diff(borders)
    return int((length * (length - 1) // 2).sum())


def _inversions(permutation: Ints) -> int:
    """Count the pairs `i < j` with `p_i > p_j` of a permutation of 0..m-1 in `O(m log m)`.

    Halves the values bit by bit: within each block, every upper value that stands before a lower
    one is an inversion; then each block is split into its lower and its upper values, in order.
    """
    size = 1 << max(len(permutation) - 1, 0).bit_length()
    blocks = np.concatenate([permutation, np.arange(len(permutation), size)]).reshape(1, size)
    total = 0
    while size > 1:
        half = size // 2
        lower = blocks & half == 0
        # A lower value at place p with q lower ones before it has p - q upper ones before it.
        total += int((lower @ np.arange(size)).sum()) - len(blocks) * (half * (half - 1) // 2)
        split = blocks[lower].reshape(-1, 1, half), blocks[~lower].reshape(-1, 1, half)
        blocks = np.concatenate(split, axis=1).reshape(-1, half)
        size = half
    return total


def _beside(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """One array as it is, several as one flat vector per example."""
    if len(arrays) == 1:
        return np.asarray(arrays[0])
    return np.concatenate([array.reshape(len(array), -1) for array in arrays], axis=1)


def _incomparable(other: Loaded | None, now: Loaded, who: str) -> str | None:
    """Why two steps cannot be compared example by example, whatever their shapes."""
    if now.values is None:
        return now.reason
    if other is None:
        return "Nothing was logged before this step."
    if other.values is None:
        return other.reason
    if now.record.meta.get("probe", "") != other.record.meta.get("probe", ""):
        return f"{who} explained other examples."
    return None


def _row(measure: Measure, a: Any, b: Any) -> Row:
    values = np.asarray(measure(a, b), np.float64)
    return Row(values, "", len(values))


def _is_map(values: npt.NDArray[Any]) -> bool:
    return values.ndim in (3, 4) and 0 not in values.shape


def _series(steps: Sequence[int], against: Sequence[int], rows: Sequence[Row]) -> Series:
    """Put the rows under each other, NaN where there is no value."""
    table = np.full((len(rows), max((row.n for row in rows), default=0)), np.nan)
    for line, row in zip(table, rows, strict=True):
        line[: len(row.values)] = row.values
    reasons = tuple(row.reason for row in rows)
    return Series(np.array(steps, np.int64), table, np.array(against, np.int64), reasons)


def _mean(values: Floats) -> Floats:
    """Mean over the last axis without NaN, NaN where nothing is left."""
    count = np.isfinite(values).sum(axis=-1)
    total = np.where(np.isfinite(values), values, 0.0).sum(axis=-1)
    return np.asarray(np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0))
