"""Importance of features for a model's score: what is lost when a feature is shuffled among rows.

The estimand is the all-pairs value of Fisher, Rudin and Dominici. With the loss ``L`` (or a score
with its sign turned),

    PI_j = mean over all pairs (i, k) of L(y_i, f(x_i with x_ij <- x_kj)) - mean_i L(y_i, f(x_i)),

so that a useful feature has a positive importance whatever the metric. Rows ``i`` receive a value,
rows ``k`` donate it.

Design of the shuffles. The rows are put into one random order (from ``seed``), and in repeat r each
row takes the value of the row r places behind it on the ring. Each row then donates exactly once
per repeat, no pair of rows is ever visited twice, and the pairs of a row with itself, whose
difference is zero, cost nothing. Over the random order the estimate is unbiased for the all-pairs
value; independent permutations are unbiased as well, but visit pairs twice, and do not reach the
exact value after n - 1 repeats as this design does. All features share the order, so that their
Monte-Carlo errors go together and differences between features, and between epochs, are sharper
than each value.

Interval. Each row is a receiver in some pairs and a donor in others: the estimate is an
(incomplete) U-statistic of order two, and the influence of row i is its mean difference as a
receiver plus its mean difference as a donor. The variance of these influences holds Monte-Carlo
noise twice over; what is too much is removed without bias (see `_Pairs`). The 95 % interval is
over rows: it is meant to cover the importance in the population that the rows were drawn from.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_xai import gradients, targets

Array = npt.NDArray[Any]
Explain = Callable[..., "Importance"]
"""``explain(x, y, sample_weight=None) -> Importance``, compiled once for a model."""

METRICS = ("log_loss", "brier", "accuracy", "auc", "mse", "mae")
"""Metrics known by name: the errors log_loss, brier, mse and mae, the scores accuracy and auc."""

_SCORES = ("accuracy", "auc")
_VALUES_AT_ONCE = 1 << 20  # values of the metric that are held at a time: 4 MB
_DEFAULT_ROWS = 4096
_FOLDS, _BINS = 5, 16  # of the histograms that judge one column alone


@dataclass(frozen=True)
class Importance:
    """Importance of each feature (or group), in the unit of the metric; positive means useful.

    Attributes:
        mean: (d,) float64, the loss of score (or gain of error) when the feature is replaced.
        low: (d,) lower end of the 95 % interval over rows; NaN where a method has none.
        high: (d,) upper end.
        stderr: (d,) standard error over rows, Monte-Carlo error included.
        score: the metric of the untouched model on the same rows, as the metric gives it.
        names: the d features or groups.
        metric: name of the metric.
    """

    mean: Array
    low: Array
    high: Array
    stderr: Array
    score: float
    names: list[str]
    metric: str


def permutation_importance(
    model: Any,
    x: Any,
    y: Any,
    metric: Any = None,
    n_repeats: int = 10,
    groups: Mapping[str, Any] | None = None,
    sample_weight: Any = None,
    seed: int = 0,
    *,
    feature_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    greater_is_better: bool | None = None,
    conditional: Any = None,
) -> Importance:
    """Return the permutation importance of each feature with a 95 % interval over rows.

    ``PI_j = mean_(i,k) L(y_i, f(x_i with x_ij <- x_kj)) - mean_i L(y_i, f(x_i))``

    Args:
        model: a built Keras model; it is called with ``training=False`` and left as it is.
        x: inputs, a flat array (n, d) of any type, or a dict, list or tuple of columns (n,) and
            arrays (n, d). Inputs of higher rank only with ``groups``.
        y: labels, as `log_loss` and the other metrics want them; passed on as given to a callable
            metric.
        metric: None for the model's own loss per row: log loss for a softmax or sigmoid head, or
            for logits when the compiled loss is a cross-entropy (``from_logits=True``), else the
            squared error. A name out of `METRICS`, a Keras loss, or a callable ``(y_true, y_pred)
            -> (n,)`` in TensorFlow, ``keras.ops`` or NumPy.
        n_repeats: donors per row, at least 1; n - 1 give the exact all-pairs value and more are not
            needed.
        groups: name -> columns that are shuffled together; only the groups are reported. A column
            is a position, a feature name or the name of an input; for inputs of higher rank a
            position along the last axis; or a boolean array of the shape of one example marks a
            region.
        sample_weight: (n,) weights of the rows as receivers and as donors, of any scale: the mean
            equals that of repeated rows. The interval counts each given row as one independent
            observation.
        seed: of the random order of the rows; the same seed gives the same shuffles whatever the
            model.
        feature_names: names of the columns; default ``x0, x1, ...``, the columns of a data frame,
            or ``input[column]`` for several inputs.
        batch_size: perturbed rows in one forward pass; default by the size of an example, at most
            4096.
        greater_is_better: direction of a callable metric; known for names and Keras losses.
        conditional: None for the plain shuffle, which breaks all ties of a feature. "linear" keeps
            its linear dependence on the other columns: only what remains after least squares is
            shuffled (flat numeric inputs, many more rows than columns). An array of strata (n,)
            shuffles within each stratum.

    Returns:
        An `Importance` in the unit of the metric, positive for a useful feature. A feature that the
        model does not use and a constant column get exactly 0 with an interval of no width.

    Raises:
        TypeError: wrong kinds of arguments.
        ValueError: impossible values, shapes or labels; the message ends in what was received.

    Example:
        >>> permutation_importance(model, x_val, y_val, metric="auc").mean

    References:
        A. Fisher, C. Rudin and F. Dominici, "All models are wrong, but many are useful", JMLR 2019,
        https://jmlr.org/papers/v20/18-760.html
        W. Hoeffding, "A class of statistics with asymptotically normal distribution", Annals of
        Mathematical Statistics 1948,
        https://doi.org/10.1214/aoms/1177730196
        P. Hall, "On the removal of skewness by transformation", JRSS B 1992,
        https://doi.org/10.1111/j.2517-6161.1992.tb01876.x

    Differs from the paper:
        Fisher et al. give the ratio of losses as well and average over pairs with i != k; here it
        is the difference, over all pairs. The interval follows from the influence of each row, with
        Hall's correction for skewness.
    """
    explain = permutation(
        n_repeats,
        metric,
        groups,
        seed,
        feature_names=feature_names,
        batch_size=batch_size,
        greater_is_better=greater_is_better,
        conditional=conditional,
    )(model)
    return explain(x, y, sample_weight)


def permutation(
    n_repeats: int = 10,
    metric: Any = None,
    groups: Mapping[str, Any] | None = None,
    seed: int = 0,
    *,
    feature_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    greater_is_better: bool | None = None,
    conditional: Any = None,
) -> Callable[[Any], Explain]:
    """Return a binder for `permutation_importance` that compiles once and serves every epoch.

    Args:
        n_repeats: as for `permutation_importance`, like all others.
        metric: see there.
        groups: see there.
        seed: see there.
        feature_names: see there.
        batch_size: see there.
        greater_is_better: see there.
        conditional: see there.

    Returns:
        ``bind(model) -> explain``, ``explain(x, y, sample_weight=None) -> Importance``.
        ``explain.traces()`` counts how often the computation was traced: once, as long as the
        shapes stay the same.

    Raises:
        TypeError: wrong kinds of arguments.
        ValueError: impossible values.

    Example:
        >>> explain = permutation(n_repeats=5)(model)
        >>> explain(x_val, y_val).mean
    """
    _check_count(n_repeats, "n_repeats")
    if batch_size is not None:
        _check_count(batch_size, "batch_size")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0. Received: {seed!r}")
    _check_metric(metric, greater_is_better)
    _check_groups(groups)
    strata = None if conditional is None or isinstance(conditional, str) else conditional
    if isinstance(conditional, str) and conditional != "linear":
        raise ValueError(
            "conditional must be None, 'linear' or an array of strata (n,). "
            f"Received: {conditional!r}"
        )

    def bind(model: Any) -> Explain:
        return _Substitution(
            targets.bind(model),
            (metric, greater_is_better),
            groups,
            feature_names,
            batch_size,
            n_repeats=int(n_repeats),
            seed=int(seed),
            linear=isinstance(conditional, str),
            strata=None if strata is None else np.asarray(strata),
        )

    bind.method = "permutation_importance"  # type: ignore[attr-defined]
    bind.params = {  # type: ignore[attr-defined]
        "n_repeats": int(n_repeats),
        "metric": None if metric is None else _metric_name(metric),
        "groups": None if groups is None else list(groups),
        "seed": int(seed),
        "batch_size": batch_size,
        "conditional": "strata" if strata is not None else conditional,
    }
    return bind


def ablation_importance(
    model: Any,
    x: Any,
    y: Any,
    metric: Any = None,
    value: Any = "mean",
    groups: Mapping[str, Any] | None = None,
    sample_weight: Any = None,
    *,
    feature_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    greater_is_better: bool | None = None,
) -> Importance:
    """Return what is lost when a feature is replaced by one value in all rows (drop-in ablation).

    ``A_j = mean_i L(y_i, f(x_i with x_ij <- v_j)) - mean_i L(y_i, f(x_i))``

    One pass per feature, but the answer depends on the value: a feature that acts through its
    spread alone may look useless at its mean.

    Args:
        model: as for `permutation_importance`, like all that is not named here.
        x: see there; numbers.
        y: see there.
        metric: see there.
        value: "mean" for the (weighted) mean over the rows, rounded for integers; a number; or one
            example of the shape of ``x[0]`` (or a structure of them).
        groups: see there; replaced jointly.
        sample_weight: see there.
        feature_names: see there.
        batch_size: see there.
        greater_is_better: see there.

    Returns:
        An `Importance`; the interval is over rows, with the replacing values taken as given.

    Raises:
        TypeError: wrong kinds of arguments.
        ValueError: impossible values, shapes or labels; the message ends in what was received.

    Example:
        >>> ablation_importance(model, x_val, y_val, value=0.0).mean
    """
    explain = ablation(
        metric,
        value,
        groups,
        feature_names=feature_names,
        batch_size=batch_size,
        greater_is_better=greater_is_better,
    )(model)
    return explain(x, y, sample_weight)


def ablation(
    metric: Any = None,
    value: Any = "mean",
    groups: Mapping[str, Any] | None = None,
    *,
    feature_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    greater_is_better: bool | None = None,
) -> Callable[[Any], Explain]:
    """Return a binder for `ablation_importance` that compiles once and serves every epoch.

    Args:
        metric: as for `ablation_importance`, like all others.
        value: see there.
        groups: see there.
        feature_names: see there.
        batch_size: see there.
        greater_is_better: see there.

    Returns:
        ``bind(model) -> explain``, as of `permutation`.

    Raises:
        TypeError: wrong kinds of arguments.
        ValueError: impossible values.

    Example:
        >>> explain = ablation(value=0.0)(model)
        >>> explain(x_val, y_val).mean
    """
    if batch_size is not None:
        _check_count(batch_size, "batch_size")
    _check_metric(metric, greater_is_better)
    _check_groups(groups)
    if value is None or (isinstance(value, str) and value != "mean"):
        raise ValueError(f"value must be 'mean', a number or one example. Received: {value!r}")

    def bind(model: Any) -> Explain:
        return _Substitution(
            targets.bind(model),
            (metric, greater_is_better),
            groups,
            feature_names,
            batch_size,
            value=value,
        )

    plain = isinstance(value, (str, int, float))
    bind.method = "ablation_importance"  # type: ignore[attr-defined]
    bind.params = {  # type: ignore[attr-defined]
        "metric": None if metric is None else _metric_name(metric),
        "value": value if plain else "given",
        "groups": None if groups is None else list(groups),
        "batch_size": batch_size,
    }
    return bind


def mutual_information(
    x: Any,
    y: Any,
    *,
    feature_names: Sequence[str] | None = None,
    n_neighbors: int = 3,
    seed: int = 0,
) -> Importance:
    """Return the mutual information of each column with the labels: a baseline without a model.

    ``I(x_j; y) = E log p(x_j, y) / (p(x_j) p(y))``, by nearest neighbours for real numbers, by
    counts for integers, booleans and classes. It sees any dependence of a single column, and none
    that only appears in several together.

    Args:
        x: flat array (n, d) of numbers, or a data frame of them.
        y: labels (n,), (n, 1) or one-hot (n, k). Integers, booleans and strings are classes, other
            numbers are values.
        feature_names: names of the columns; default ``x0, x1, ...``.
        n_neighbors: neighbours of the estimate, at least 1; more smooth it.
        seed: of the tiny noise that breaks ties between real numbers.

    Returns:
        An `Importance` in nats, at least 0. There is no interval (low, high and stderr are NaN):
        rows drawn with replacement hold ties, which ruin nearest-neighbour estimates. The score is
        NaN.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: impossible shapes or values; the message ends in what was received.

    Example:
        >>> mutual_information(x_val, y_val).mean

    References:
        A. Kraskov, H. Stoegbauer and P. Grassberger, "Estimating mutual information",
        Phys. Rev. E 2004, https://doi.org/10.1103/PhysRevE.69.066138
        B. Ross, "Mutual information between discrete and continuous data sets", PLoS ONE 2014,
        https://doi.org/10.1371/journal.pone.0087357
    """
    _check_count(n_neighbors, "n_neighbors")
    selection = _scikit_learn("mutual_information")
    x, labels, classes, names = _baseline_data(x, y, feature_names)
    if classes is None and len(x) <= n_neighbors:
        raise ValueError(
            f"x must have more rows than n_neighbors={n_neighbors}. Received: {len(x)} rows"
        )
    estimate = (
        selection.mutual_info_regression if classes is None else selection.mutual_info_classif
    )
    target = labels if classes is None else classes
    mean = np.zeros(len(names))
    moving = np.flatnonzero((x != x[0]).any(axis=0))  # a constant tells exactly nothing
    if len(moving):
        discrete = x.dtype.kind != "f"
        mean[moving] = estimate(
            x[:, moving],
            target,
            discrete_features=discrete,
            n_neighbors=int(n_neighbors),
            random_state=seed,
        )
    nothing = np.full(len(names), np.nan)
    return Importance(
        mean, nothing, nothing.copy(), nothing.copy(), math.nan, names, "mutual_information"
    )


def correlation(x: Any, y: Any, *, feature_names: Sequence[str] | None = None) -> Importance:
    """Return how strongly each column correlates with the labels: a baseline without a model.

    ``|r_j| = |Cov(x_j, y)| / sqrt(Var x_j Var y)``; for more than two classes the correlation ratio
    ``eta_j = sqrt(variance between classes / variance)``, which is ``|r_j|`` for two.

    Args:
        x: flat array (n, d) of numbers, or a data frame of them.
        y: labels, as for `mutual_information`.
        feature_names: names of the columns; default ``x0, x1, ...``.

    Returns:
        An `Importance` in [0, 1], 0 for a constant column. The interval is Fisher's (by atanh r,
        standard error ``1 / sqrt(n - 3)``), from 0 where r itself may have either sign; NaN for
        more than two classes and for n < 4. The score is NaN.

    Raises:
        ImportError: scikit-learn is not installed.
        ValueError: impossible shapes or values; the message ends in what was received.

    Example:
        >>> correlation(x_val, y_val).mean

    References:
        R. A. Fisher, "On the probable error of a coefficient of correlation", Metron 1921
    """
    selection = _scikit_learn("correlation")
    x, labels, classes, names = _baseline_data(x, y, feature_names)
    n, d = x.shape
    wide = x.astype(np.float64)
    nothing = np.full(d, np.nan)
    if classes is not None and classes.max() > 1:
        k = int(classes.max()) + 1
        share = np.zeros(d)
        moving = np.flatnonzero((wide != wide[0]).any(axis=0))
        if n > k and len(moving):
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = selection.f_classif(wide[:, moving], classes)[0] * (k - 1) / (n - k)
            # F of a perfect separation is infinite
            share[moving] = np.where(np.isinf(ratio), 1.0, ratio / (1.0 + ratio))
        mean = np.sqrt(share)
        return Importance(mean, nothing, nothing.copy(), nothing.copy(), math.nan, names, "eta")
    values = labels if classes is None else classes.astype(np.float64)
    r = np.zeros(d)
    moving = np.flatnonzero((wide != wide[0]).any(axis=0) & (values != values[0]).any())
    if len(moving):
        r[moving] = np.clip(selection.r_regression(wide[:, moving], values), -1.0, 1.0)
    if n < 4:
        low = high = stderr = nothing
    else:
        reach = NormalDist().inv_cdf(0.975) / math.sqrt(n - 3)
        with np.errstate(divide="ignore"):
            ends = np.tanh(np.arctanh(r) + np.array([[-reach], [reach]]))
        ends[:, np.setdiff1d(np.arange(d), moving)] = 0.0
        low = np.where(ends[0] * ends[1] <= 0, 0.0, np.abs(ends).min(axis=0))
        high = np.abs(ends).max(axis=0)
        stderr = (1 - r**2) / math.sqrt(n - 3) * (high > 0)
    return Importance(np.abs(r), low, high, stderr, math.nan, names, "correlation")


def single_feature_score(
    x: Any,
    y: Any,
    *,
    feature_names: Sequence[str] | None = None,
    classes: bool | None = None,
    seed: int = 0,
) -> Importance:
    """Return how well each column alone predicts the labels, without a model: finds leaked labels.

    For classes the area under the ROC curve (AUC) of the column in its better direction,

        AUC_c = P(x_i > x_k) + P(x_i = x_k) / 2 for i of class c and k of another,

    or, where larger, that of a histogram of the column which is fitted on four fifths of the rows
    and judged on the fifth left out: it sees dependence that is not monotone, and chance does not
    raise it. The score is the mean over classes or, where larger, the lower end of the class that
    is told best: a column that gives away one class of many is found, and a rare class that is told
    by chance is not. For values it is |Spearman's rank correlation|, or the square root of the
    share of the variance of the ranks that a histogram explains on rows left out.

    Args:
        x: flat array (n, d) of numbers, or a data frame of them.
        y: labels (n,), (n, 1) or one-hot (n, k).
        feature_names: names of the columns; default ``x0, x1, ...``.
        classes: whether labels are classes. None: booleans, strings and numbers that are all 0 or 1
            are, and integers of at most 10 different values, or 100 if there are five rows for
            each; others are values.
        seed: of the random fifths.

    Returns:
        An `Importance`: for classes in [0.5, 1], where 0.5 is chance; for values in [0, 1], where 0
        is. ``low`` and ``high`` are the ends of a 95 % interval over rows, rather too wide than
        too narrow, and ``low`` allows for the best being picked: ``low > 0.95`` says a leak or a
        very good column, however few the rows; one that separates 20 rows without an error is not
        yet there. NaN for a constant column or constant labels,
        which predict nothing and have nothing to be predicted, and for values of fewer than 4 rows.
        ``stderr`` is 0 for a perfect column: judge by ``low``. The ``score`` is NaN.

    Raises:
        TypeError: ``classes`` is not True, False or None, or labels of values are not numbers.
        ValueError: impossible shapes or values; the message ends in what was received.

    Example:
        >>> found = single_feature_score(x_val, y_val)
        >>> [name for name, low in zip(found.names, found.low) if low > 0.95]

    References:
        J. A. Hanley and B. J. McNeil, "The meaning and use of the area under a receiver operating
        characteristic (ROC) curve", Radiology 1982, https://doi.org/10.1148/radiology.143.1.7063747
        R. G. Newcombe, "Confidence intervals for an effect size measure based on the Mann-Whitney
        statistic. Part 2", Statistics in Medicine 2006, https://doi.org/10.1002/sim.2324
        D. G. Bonett and T. A. Wright, "Sample size requirements for estimating Pearson, Kendall and
        Spearman correlations", Psychometrika 2000, https://doi.org/10.1007/BF02294183
    """
    if classes is not None and not isinstance(classes, (bool, np.bool_)):
        raise TypeError(f"classes must be True, False or None. Received: {classes!r}")
    x, labels, numbers, names = _baseline_data(x, y, feature_names)
    n, d = x.shape
    if classes is None:
        if numbers is None and ((labels == 0) | (labels == 1)).all():
            numbers = labels.astype(np.int64)
        elif labels.dtype.kind in "iu" and numbers is not None:
            numbers = numbers if numbers.max() < min(100, max(10, n // 5)) else None
    elif classes and numbers is None:
        numbers = np.unique(labels, return_inverse=True)[1].reshape(-1)
    elif not classes:
        if labels.dtype.kind not in "biuf":
            raise TypeError(f"y must be numbers to be values. Received: dtype {labels.dtype}")
        numbers = None
    found = np.full((4, d), np.nan)
    moving = np.flatnonzero((x != x[0]).any(axis=0))
    told = (labels != labels[0]).any() and (numbers is not None or n > 3)
    k = 0 if numbers is None else int(numbers.max()) + 1
    slab = max(1, _VALUES_AT_ONCE // max(n, _FOLDS * k * _BINS**2))
    order = np.random.default_rng(seed).permutation(n)
    if numbers is not None:  # as much of each class in each fifth
        order = order[np.argsort(numbers[order], kind="stable")]
    fold = np.empty(n, np.int64)
    fold[order] = np.arange(n) % _FOLDS
    for first in range(0, len(moving) if told else 0, slab):
        some = moving[first : first + slab]
        rank = _midranks(np.ascontiguousarray(x[:, some].T))
        bins = min(_BINS, max(2, n // 20))
        cell = ((rank - 0.5) * (bins / n)).astype(np.int64)
        cell += (np.arange(len(some))[:, None] * _FOLDS + fold) * bins
        if numbers is None:
            found[:, some] = _told_values(rank, cell, fold, bins, labels.astype(np.float64))
        else:
            found[:, some] = _told_classes(rank, cell, bins, numbers)
    mean, low, high, stderr = found
    kind = "rank_correlation" if numbers is None else "auc"
    return Importance(mean, low, high, stderr, math.nan, names, kind)


def select_features(importance: Importance, margin: float = 0.0) -> dict[str, float]:
    """Return the features whose importance is surely above a margin, and by how much.

    A feature is selected when the lower end of its 95 % interval exceeds the margin; of features
    without any importance about one in forty is selected by chance.

    Args:
        importance: of `permutation_importance` or `ablation_importance`.
        margin: in the unit of the importance, default 0.

    Returns:
        Name -> lower end of the interval minus the margin, the largest first.

    Raises:
        TypeError: not an `Importance`.
        ValueError: the importance has no intervals, or the margin is not finite.

    Example:
        >>> list(select_features(permutation_importance(model, x_val, y_val)))
    """
    if not isinstance(importance, Importance):
        raise TypeError(f"importance must be an Importance. Received: {type(importance).__name__}")
    if not np.isfinite(margin):
        raise ValueError(f"margin must be finite. Received: {margin}")
    if len(importance.low) and np.isnan(importance.low).all():
        raise ValueError(
            "importance must have intervals to select by, as permutation_importance gives them. "
            f"Received: {importance.metric} without intervals"
        )
    surplus = importance.low - margin
    order = np.argsort(-surplus, kind="stable")
    return {importance.names[j]: float(surplus[j]) for j in order if surplus[j] > 0}


class _Substitution:
    """A model with its compiled loop over rows in which a feature has other values."""

    def __init__(
        self,
        score: targets.Score,
        asked: tuple[Any, bool | None],
        groups: Mapping[str, Any] | None,
        feature_names: Sequence[str] | None,
        batch_size: int | None,
        *,
        n_repeats: int = 1,
        seed: int = 0,
        linear: bool = False,
        strata: Array | None = None,
        value: Any = None,
    ) -> None:
        self._score = score
        self._asked = asked
        self._groups = groups
        self._feature_names = feature_names
        self._batch_size = batch_size
        self._n_repeats = n_repeats
        self._seed = seed
        self._linear = linear
        self._strata = strata
        self._value = value
        self._metric: _Metric | None = None
        self._traces = 0
        self._compiled: dict[Any, Any] = {}
        self._most: int | None = None  # rows that fitted into memory, when more did not
        self._said = False

    def traces(self) -> int:
        """Return how often the computation was traced so far."""
        return self._traces

    def __call__(self, x: Any, y: Any, sample_weight: Any = None) -> Importance:
        targets.graph_only()
        x, n, names, member = _features(x, self._feature_names, self._groups, self._score.model)
        gradients.check_inputs(self._score.model, _read(self._score.model, x), text=True)
        weight = _check_weight(sample_weight, n)
        if self._metric is None:
            self._metric = _metric(self._score, *self._asked, x, y)
        metric = self._metric
        y = metric.labels(y, n)
        kept = np.arange(n) if weight is None else np.flatnonzero(weight)
        strata = _check_strata(self._strata, n)
        n = len(kept)
        if n < 2:
            raise ValueError(f"x must have at least 2 rows (with weight). Received: {n}")
        order = kept[np.random.default_rng(self._seed).permutation(n)]
        if strata is not None:
            strata = strata[order]
            together = np.argsort(strata, kind="stable")
            order, strata = order[together], strata[together]
        weight = None if weight is None else weight[order]
        pairs = _Pairs(n, min(self._n_repeats, n - 1), weight, strata)
        tried = rows = self._most or self._batch_size or _default_batch(x)
        while True:
            plan = _plan(n, len(names), pairs.repeats, rows)
            try:
                found, score = self._passes(metric, x, y, member, order, pairs, plan, len(names))
                break
            except tf.errors.InvalidArgumentError as error:
                refused = targets.out_of_range(error)
                if refused is None:
                    raise
                raise refused from error
            except tf.errors.ResourceExhaustedError as error:
                rows = plan.repeats * plan.features * plan.rows
                if rows == 1:
                    raise gradients.no_room(error) from error
            # Outside of the handler, whose traceback would hold on to what did not fit.
            self._compiled.clear()
            self._most = rows = rows // 2
        if rows < tried and not self._said:
            self._said = True
            gradients.warn_halved("importance", tried, rows)
        mean, low, high, stderr = found
        return Importance(mean, low, high, stderr, score, names, metric.name)

    def _passes(
        self,
        metric: _Metric,
        x: Any,
        y: Any,
        member: Any,
        order: Array,
        pairs: _Pairs,
        plan: _Plan,
        d: int,
    ) -> tuple[Array, float]:
        """Return mean, low, high and standard error of each feature, (4, d), and the score."""
        n, weight = pairs.n, pairs.weight
        # The rows in their random order; the ring is unrolled so that every block of donors is a
        # plain slice.
        places = np.arange(plan.blocks * plan.rows)
        ring = order[np.arange(len(places) + pairs.repeats + plan.repeats) % n]
        x = tf.nest.map_structure(lambda a: a[ring], x)
        y = tf.nest.map_structure(lambda a: a[ring[: len(places)]], y)
        own_y = tf.nest.map_structure(lambda a: a[:n], y)
        given = {"x": x, "y": y, "member": member}
        if self._linear:
            x = _one_flat(x, "conditional='linear'")
            fit = _linear_fit(x[:n], tf.nest.flatten(member)[0].numpy(), weight)[
                np.arange(len(ring)) % n
            ]
            given["from"], given["plus"] = [x - fit], [fit]
        if self._value is not None:
            given["from"] = _filling(self._value, x, n, weight)
        given = tf.nest.map_structure(tf.convert_to_tensor, given)
        base: Any = None
        score = math.nan
        estimates: list[tuple[float, ...]] = []
        for first in range(0, d, plan.slab_features):
            many = min(plan.slab_features, d - first)
            sums = [_Sums(n) for _ in range(many)]
            for start in range(0, pairs.repeats, plan.slab_repeats):
                count = min(plan.slab_repeats, pairs.repeats - start)
                if pairs.strata is not None:
                    reach = range(start, start + plan.slab_repeats)
                    given["donor"] = tf.constant(
                        np.stack([pairs.donor(r)[places % n] for r in reach])
                    )
                begin = 0 if base is None else plan.blocks  # the untouched rows, once
                stop = -(-many // plan.features) * -(-count // plan.repeats) + 1
                at = tf.constant([first, start, begin, stop * plan.blocks])
                values = self._compile(given, at, plan)(given, at).numpy()
                untouched, perturbed = _unfold(values, n, plan)
                if base is None:
                    base = untouched.copy()
                    if metric.pseudo:
                        base = metric.pseudo(base, own_y, weight)
                    score = float(np.average(base[0, 0].astype(np.float64), weights=weight))
                for j in range(many):
                    own = perturbed(j, count)
                    if metric.pseudo:
                        own = metric.pseudo(own, own_y, weight)
                    place = np.arange(count) % plan.repeats
                    difference = own - base[place, j % plan.features]
                    if self._value is not None:
                        estimates.append(_estimate_rows(difference[0], weight, metric.sign))
                    else:
                        pairs.add(sums[j], difference, start)
            if self._value is None:
                estimates += [pairs.estimate(own, metric.sign) for own in sums]
        return np.array(estimates, np.float64).reshape(d, 4).T.copy(), score

    def _compile(self, given: Any, at: Any, plan: _Plan) -> Any:
        """Return the computation for these shapes, traced when they are seen for the first time."""
        kinds = tuple((tuple(a.shape), a.dtype) for a in tf.nest.flatten(given))
        if (plan, kinds) not in self._compiled:
            function = tf.function(lambda given, at: self._traced(given, at, plan), autograph=False)
            concrete = function.get_concrete_function(given, tf.TensorSpec(at.shape, at.dtype))
            self._compiled[plan, kinds] = concrete
        return self._compiled[plan, kinds]

    def _traced(self, given: Any, at: Any, plan: _Plan) -> Any:
        """Return the metric's values in the batches of a slab, first those of untouched rows.

        ``at`` holds the slab's first feature and first repeat, and the first and last batch.
        """
        self._traces += 1
        assert self._metric is not None
        metric = self._metric
        blocks, rows, m, feature_chunks, q, repeat_chunks = plan[:6]
        first, before, begin, end = tf.unstack(at)
        x, y, donor = given["x"], given["y"], given.get("donor")
        leaves = tf.nest.flatten(x)
        sources = tf.nest.flatten(given.get("from", x))
        added = tf.nest.flatten(given.get("plus", []))

        def block_of(leaf: Any, start: Any) -> Any:
            return tf.ensure_shape(leaf[start : start + rows], (rows, *leaf.shape[1:]))

        def source_rows(leaf: Any, start: Any, repeat: Any, shift: Any) -> Any:
            """The values that q repeats put into a block of rows, (q, rows, ...) or (1, 1, ...)."""
            if leaf.shape[0] == 1:
                return leaf[None]
            if donor is None and q == 1:
                return block_of(leaf, start + shift)[None]
            if donor is None:
                reach = tf.range(rows)[None] + tf.range(q)[:, None] + start + shift
            else:
                reach = donor[repeat : repeat + q, start : start + rows]
                reach = tf.ensure_shape(reach, (q, rows))
            return tf.gather(leaf, reach)

        def substitute(i: int, start: Any, feature: Any, repeat: Any, shift: Any) -> Any:
            """Rows of input i with one feature each from elsewhere, (q * m * rows, ...)."""
            own = block_of(leaves[i], start)
            inner = tuple(own.shape[1:])
            source = source_rows(sources[i], start, repeat, shift)
            if added:
                source += block_of(added[i], start)
            wanted = tf.reshape(feature + tf.range(m), (m, *[1] * len(inner)))
            taken = tf.equal(given["member"][i][None], wanted)
            if q == m == 1:
                return tf.where(taken, source[0], own)
            mixed = tf.where(taken[None, :, None], source[:, None], own[None, None])
            return tf.reshape(mixed, (q * m * rows, *inner))

        def chunk(i: Any, out: Any) -> Any:
            block = i % blocks
            # -1: the untouched rows, in the same places of a batch of the same shape
            j = i // blocks - 1
            feature = tf.where(j < 0, -1 - m, first + (j // repeat_chunks) * m)
            repeat = tf.where(j < 0, 0, (j % repeat_chunks) * q)
            shift = tf.where(j < 0, 0, 1 + before + repeat)
            start = block * rows
            changed = [substitute(i, start, feature, repeat, shift) for i in range(len(leaves))]
            outputs = self._score.forward(tf.nest.pack_sequence_as(x, changed))

            def repeated(part: Any) -> Any:
                part = tf.ensure_shape(part[start : start + rows], (rows, *part.shape[1:]))
                return part if q == m == 1 else tf.tile(part, (q * m, *[1] * (len(part.shape) - 1)))

            values = tf.convert_to_tensor(metric.rows(tf.nest.map_structure(repeated, y), outputs))
            _one_per_row(values.shape, q * m * rows, metric.name)
            return i + 1, out.write(i, tf.cast(values, tf.float32))

        total = blocks * (1 + feature_chunks * repeat_chunks)
        out = tf.TensorArray(tf.float32, total, element_shape=(q * m * rows,))
        _, out = tf.while_loop(lambda i, _: i < end, chunk, (begin, out), parallel_iterations=1)
        return out.stack()


class _Plan(NamedTuple):
    """How perturbed rows are put into batches of ``repeats * features * rows``.

    The values of a slab of features and repeats are held at once. Where all repeats of a feature
    are too many for that, a slab is some of them.
    """

    blocks: int
    rows: int
    features: int
    feature_chunks: int  # of a slab
    repeats: int
    repeat_chunks: int  # of a slab
    slab_features: int
    slab_repeats: int


def _plan(n: int, d: int, repeats: int, batch: int) -> _Plan:
    """Fill batches with a block of rows, else all rows of several features, then of repeats."""

    def even(total: int, most: int) -> int:
        return -(-total // -(-total // max(1, most)))

    slab_repeats = even(repeats, _VALUES_AT_ONCE // n)
    slab_features = even(d, _VALUES_AT_ONCE // (n * repeats))
    rows = even(n, batch)
    m = even(slab_features, batch // rows)
    q = even(slab_repeats, batch // (rows * m) if m == slab_features else 1)
    return _Plan(
        -(-n // rows),
        rows,
        m,
        -(-slab_features // m),
        q,
        -(-slab_repeats // q),
        slab_features,
        slab_repeats,
    )


def _unfold(values: Array, n: int, plan: _Plan) -> tuple[Array, Callable[[int, int], Array]]:
    """Return the untouched rows' values by place, (q, m, n), and a feature's, (repeats, n)."""
    blocks, rows, m, feature_chunks, q, repeat_chunks = plan[:6]
    base = values[:blocks].reshape(blocks, q, m, rows).transpose(1, 2, 0, 3)
    rest = values[blocks:].reshape(feature_chunks, repeat_chunks, blocks, q, m, rows)

    def perturbed(j: int, repeats: int) -> Array:
        own: Array = rest[j // m, :, :, :, j % m].transpose(0, 2, 1, 3)
        return own.reshape(repeat_chunks * q, blocks * rows)[:repeats, :n]

    return base.reshape(q, m, blocks * rows)[:, :, :n], perturbed


def _default_batch(x: Any) -> int:
    cells = sum(int(np.prod(leaf.shape[1:])) for leaf in tf.nest.flatten(x))
    return int(np.clip((1 << 20) // max(1, cells), 32, _DEFAULT_ROWS))


class _Sums:
    """What the differences of the visited pairs of one feature add up to."""

    def __init__(self, n: int) -> None:
        self.any = False
        self.cross = self.square = 0.0
        self.of_row = np.zeros(n)  # as receiver and as donor


class _Pairs:
    """Which rows donate to which, what a pair counts, and what follows from the differences.

    With ``D_ik`` the difference when row i takes the value of row k, ``n`` rows and ``R`` donors
    each, ``h_i`` the mean of ``D - mean`` over the pairs in which i receives plus that over the
    pairs in which i donates, and ``T`` the variance of D,

        Var(mean) = (Var(h) - T / R) / n.

    For the parts ``a_i + b_k + d_ik`` of D: a row's mean as receiver holds ``(Var b + Var d) / R``
    of noise and its mean as donor ``(Var a + Var d) / R``, while the estimate itself, in which
    receivers and donors are balanced, only suffers ``Var d / (n R)``; T is the sum of the three.
    Rows of unequal weight enter through ``w_i w_k (D_ik - mean)``.

    Differences are added repeat after repeat, so that no more of them are held than come at once.

    Attributes:
        n: rows, in the order of the ring.
        repeats: donors of each row; in repeat r row t takes the value of row t + r + 1.
        weight: (n,) positive weights, or None.
        strata: (n,) number of the stratum of each row, where donors come from the same one; rows of
            a stratum lie together.
    """

    def __init__(self, n: int, repeats: int, weight: Array | None, strata: Array | None) -> None:
        self.n, self.repeats, self.weight, self.strata = n, repeats, weight, strata
        self._effective, self._other = float(n), 1.0 - 1.0 / n  # other: pairs of two rows
        self._p: Array | None = None
        if weight is None and strata is None:
            return
        p = np.ones(n) / n if weight is None else weight / weight.sum()
        self._p, self._factor, self._scale = p, np.ones(n), np.ones(1)
        self._effective = 1.0 / float(p @ p)
        visited = np.zeros(n)
        for r in range(repeats):
            visited += self._pair(r)
        if strata is None:
            self._other = 1.0 - 1.0 / self._effective
        else:
            mass = np.bincount(strata, weights=p)
            self._factor = (mass / np.bincount(strata, weights=visited))[strata]
            self._scale = (1.0 - np.bincount(strata, weights=p * p) / mass**2)[strata]
            self._other = 1.0
        self._factor *= n * repeats / float(self._factor @ visited)
        self._of_row, self._square = np.zeros(n), 0.0  # of the pairs' own counts
        for r in range(repeats):
            pair = self._pair(r)
            self._square += float(pair @ pair)
            self._both(self._of_row, pair, r)

    def donor(self, r: int) -> Array:
        """Return the place of each row's donor in repeat r, (n,).

        A stratum has a ring of its own: one of s rows has s - 1 different shifts, which repeat
        after that; a single row is its own donor.
        """
        place = np.arange(self.n)
        if self.strata is None:
            return (place + r + 1) % self.n
        sizes = np.bincount(self.strata)
        start = (np.cumsum(sizes) - sizes)[self.strata]
        size = sizes[self.strata]
        donors: Array = start + (place - start + 1 + r % np.maximum(size - 1, 1)) % size
        return donors.astype(np.int32)

    def _pair(self, r: int) -> Array:
        """Return what the pairs of repeat r count, (n,), one on average."""
        assert self._p is not None
        count: Array = self._factor * self._p * self._p[self.donor(r)]
        return count

    def _both(self, of_row: Array, values: Array, r: int) -> None:
        """Add values of the pairs of repeat r to those who receive and those who donate."""
        of_row += values
        if self.strata is not None:
            of_row[self.donor(r)] += values
        else:
            of_row[r + 1 :] += values[: self.n - r - 1]
            of_row[: r + 1] += values[self.n - r - 1 :]

    def add(self, sums: _Sums, difference: Array, first: int) -> None:
        """Add differences (count, n) of repeats from ``first`` on to the sums of a feature."""
        if not difference.any():
            return
        sums.any = True
        with np.errstate(invalid="ignore", over="ignore"):
            if self._p is None:
                sums.square += float(np.vdot(difference, difference))
                for r, row in enumerate(difference, first):
                    self._both(sums.of_row, row, r)
                return
            for r, row in enumerate(difference, first):
                pair = self._pair(r)
                own = pair * row * self._scale
                sums.cross += float(pair @ own)
                sums.square += float(own @ own)
                self._both(sums.of_row, own, r)

    def moments(self, sums: _Sums, sign: float) -> tuple[float, Array, float]:
        """Return the mean over visited pairs, the influence of each row, and their variance."""
        count = self.n * self.repeats
        mean = float(sums.of_row.sum()) / (2 * count)  # each pair is in there twice
        if self._p is None:
            spread = sums.square / count - mean**2
            influence = sums.of_row
        else:
            square = sums.square - 2 * mean * sums.cross + mean**2 * self._square
            spread = square / count
            influence = sums.of_row - mean * self._of_row
        influence = sign * (influence - influence.mean()) / self.repeats
        total = float(influence @ influence) / (self.n - 1)
        return sign * mean, influence, max(total - spread / self.repeats, 0.1 * total)

    def estimate(self, sums: _Sums, sign: float) -> tuple[float, float, float, float]:
        """Return the all-pairs value, its interval and its standard error; sign: 1 for errors."""
        if not sums.any:
            return 0.0, 0.0, 0.0, 0.0
        with np.errstate(invalid="ignore", over="ignore"):
            mean, influence, variance = self.moments(sums, sign)
            return _summary(mean, influence, variance, self._effective, self._other)


def _estimate_rows(
    difference: Array, weight: Array | None, sign: float
) -> tuple[float, float, float, float]:
    """Return mean, low, high and standard error of a (weighted) mean over rows."""
    n = len(difference)
    if not difference.any():
        return 0.0, 0.0, 0.0, 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        p = np.ones(n) / n if weight is None else weight / weight.sum()
        mean = float(p @ difference)
        influence = sign * n * p * (difference - mean)
        variance = float(influence @ influence) / (n - 1)
        return _summary(sign * mean, influence, variance, 1.0 / float(p @ p), 1.0)


def _summary(
    mean: float, influence: Array, variance: float, effective: float, other: float
) -> tuple[float, float, float, float]:
    if not math.isfinite(mean) or not math.isfinite(variance):
        return math.nan, math.nan, math.nan, math.nan
    n = len(influence)
    stderr = math.sqrt(variance / n)
    third = float((influence * influence) @ influence) / n
    low, high = _interval(mean, stderr, third, n, effective)
    mean *= other
    return mean, min(low, mean), max(high, mean), stderr * other


def _linear_fit(x: Array, member: Array, weight: Array | None) -> Array:
    """Return each column as predicted by least squares from the columns outside its feature.

    The block ``B`` of the inverse correlation matrix gives ``x_G - fit = B_GG^-1 B_G. x``. Constant
    columns and columns of no feature are 0, so that what remains of them is the column itself.
    """
    p = np.ones(len(x)) / len(x) if weight is None else weight / weight.sum()
    wide = x.astype(np.float64)
    moving = np.flatnonzero((x != x[0]).any(axis=0))
    fit = np.zeros_like(wide)
    if len(moving) == 0:
        return fit.astype(x.dtype)
    centre = p @ wide[:, moving]
    z = wide[:, moving] - centre
    scale = np.sqrt(p @ z**2)
    z /= scale
    inverse = np.linalg.inv((z * p[:, None]).T @ z + 1e-10 * np.eye(len(moving)))
    projected = z @ inverse
    for feature in np.unique(member[moving]):
        if feature < 0:
            continue
        own = np.flatnonzero(member[moving] == feature)
        left = projected[:, own] @ np.linalg.inv(inverse[np.ix_(own, own)])
        fit[:, moving[own]] = centre[own] + (z[:, own] - left) * scale[own]
    return fit.astype(x.dtype)


def _interval(
    mean: float, stderr: float, third: float, n: int, effective: float
) -> tuple[float, float]:
    """Return a 95 % t interval with Hall's correction for a skewed mean.

    The end on the side of the long tail gets the whole correction, the other one half of it: small
    samples that missed the tail underestimate the skewness, and the whole correction then cuts the
    short end too hard (coverage 94.0 to 96.3 % over 4,000 simulations each of 19 cases with n from
    100 to 500, where t alone falls to 88.9 % and Hall alone to 92.5 %; `python -m
    benchmarks.intervals` counts them).
    """
    t = _t_quantile(effective - 1.0)
    low, high = mean - t * stderr, mean + t * stderr
    if stderr == 0.0:
        return low, high
    skew: float = third / (stderr**2 * n) ** 1.5 / math.sqrt(n)
    if abs(skew) < 1e-6:
        return low, high

    def back(quantile: float) -> float:
        return 3.0 / skew * (float(np.cbrt(1.0 + skew * (quantile - skew / 6.0))) - 1.0)

    hall_low, hall_high = mean - stderr * back(t), mean - stderr * back(-t)
    if skew > 0:
        return (low + hall_low) / 2, hall_high
    return hall_low, (high + hall_high) / 2


_T_SMALL = (12.706204736, 4.302652730, 3.182446305, 2.776445105, 2.570581836, 2.446911851)


def _t_quantile(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t, also for a fraction of a degree of freedom."""
    if freedom < 1.0:
        return _T_SMALL[0]
    if freedom < len(_T_SMALL):
        k = int(freedom)
        share = (1 / k - 1 / freedom) / (1 / k - 1 / (k + 1))
        return math.exp((1 - share) * math.log(_T_SMALL[k - 1]) + share * math.log(_T_SMALL[k]))
    z = NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    u = 1.0 / freedom
    return z + u * (first + u * (second + u * (third + u * fourth)))


# --- metrics
# ---------------------------------------------------------------------------------------


class _Metric(NamedTuple):
    """A metric of single rows.

    Attributes:
        name: as it is logged.
        sign: 1 for errors, -1 for scores.
        rows: ``(y, outputs) -> (n,)``, in the graph.
        labels: ``(y, n) -> y`` as `rows` takes it, or a refusal; on the host.
        pseudo: ``(values (..., n), y, weight) -> (..., n)`` on the host, values whose mean is the
            metric.
    """

    name: str
    sign: float
    rows: Callable[[Any, Any], Any]
    labels: Callable[[Any, int], Any]
    pseudo: Callable[[Array, Any, Array | None], Array] | None = None


def _check_metric(metric: Any, greater_is_better: bool | None) -> None:
    """Refuse what cannot be a metric, before there is a model."""
    if greater_is_better is not None and not isinstance(greater_is_better, (bool, np.bool_)):
        raise TypeError(
            f"greater_is_better must be True, False or None. Received: {greater_is_better!r}"
        )
    if isinstance(metric, str):
        if metric not in METRICS:
            close = difflib.get_close_matches(metric.lower().replace("-", "_"), METRICS, 2, 0.5)
            hint = f" (close: {', '.join(close)})" if close else ""
            raise ValueError(
                f"metric must be one of {', '.join(METRICS)}{hint}, a Keras loss or a callable "
                f"(y_true, y_pred) -> (n,). Received: {metric!r}"
            )
        known: bool | None = metric in _SCORES
    elif metric is None or isinstance(metric, keras.losses.Loss):
        known = False
    elif isinstance(metric, (type, keras.Metric)) or not callable(metric):
        raise TypeError(
            "metric must be None, a name, an instance of a Keras loss or a callable (y_true, "
            "y_pred) -> (n,) with one value "
            f"per row. Received: {metric!r}"
        )
    else:
        known = None
        if greater_is_better is None:
            raise ValueError(
                "greater_is_better must be given for a callable metric: True for a score, False "
                "for an error. "
                f"Received: None with metric={_metric_name(metric)}"
            )
    if known is not None and greater_is_better is not None and greater_is_better != known:
        raise ValueError(
            f"greater_is_better must be {known} (or left out) for metric {_metric_name(metric)}. "
            f"Received: {greater_is_better}"
        )


def _metric_name(metric: Any) -> str:
    if metric is None or isinstance(metric, str):
        return metric or "loss"
    own = getattr(metric, "name", None) or getattr(metric, "__name__", type(metric).__name__)
    return "custom metric" if own in ("<lambda>", "partial") else str(own)


def _metric(
    score: targets.Score, metric: Any, greater_is_better: bool | None, x: Any, y: Any
) -> _Metric:
    """Return the metric for a model, after one look at its outputs for inputs of this kind."""
    seen: dict[str, Any] = {}
    own = _free_labels(y, len(tf.nest.flatten(x)[0]))

    def look(x: Any, y: Any) -> Any:
        outputs = score.forward(x)
        seen["outputs"] = outputs
        if tf.is_tensor(outputs) and outputs.shape.rank in (1, 2):
            seen["head"] = targets.head_of(outputs, "log_odds")
        if callable(metric) and not isinstance(metric, keras.losses.Loss):
            seen["rows"] = _free_rows(metric, y, outputs, sample)
        return outputs

    def sample() -> Any:
        few_x, few_y = tf.nest.map_structure(lambda a: a[:4], (x, own))
        with tf.init_scope():
            outputs = tf.function(score.forward, autograph=False)(few_x)
            return few_y, tf.nest.map_structure(lambda a: a.numpy(), outputs)

    spec = tf.nest.map_structure(
        lambda a: tf.TensorSpec((None, *a.shape[1:]), tf.as_dtype(a.dtype)), (x, own)
    )
    tf.function(look, autograph=False).get_concrete_function(*spec)
    outputs = seen["outputs"]
    loss = _compiled_loss(score.model)
    family, from_logits = _family(loss)
    if (metric is None or isinstance(metric, str)) and not tf.is_tensor(outputs):
        names = list(outputs) if isinstance(outputs, Mapping) else len(tf.nest.flatten(outputs))
        raise ValueError(
            "metric must be a callable (y_true, y_pred) -> (n,) for a model of several outputs, "
            f"for instance the loss of one. Received: metric={metric!r} for outputs {names}"
        )
    head = seen.get("head")
    if metric is None and head is None and isinstance(loss, keras.losses.Loss):
        metric = loss
    if isinstance(metric, keras.losses.Loss):
        return _Metric(_metric_name(metric), 1.0, _loss_rows(metric), _free_labels)
    if "rows" in seen:
        sign = -1.0 if greater_is_better else 1.0
        return _Metric(_metric_name(metric), sign, seen["rows"], _free_labels)

    kind = "value" if head is None else head.kind
    activated = head is not None and head.logits is not head.outputs
    probabilities = False
    if head is not None and not activated:
        if family == "cross":
            kind = "sigmoid" if "binary" in _key(loss) else "softmax"
            probabilities = not from_logits
            if kind == "softmax" and head.outputs.shape[1] == 1:
                kind = "sigmoid"
        elif family == "square" or (
            metric is None and not _look_like_classes(y, head.outputs.shape[1])
        ):
            kind = "value"
    if metric is None:
        metric = "mse" if kind == "value" or family == "square" else "log_loss"
    if metric in ("mse", "mae"):
        shape = tuple(outputs.shape[1:])
        return _Metric(metric, 1.0, _regression(metric), lambda y, n: _values_like(y, n, shape))
    if kind == "value":
        raise ValueError(
            f"metric {metric} must see a model that ends in a softmax or sigmoid, in at least two "
            "logits, or that was compiled with a cross-entropy; use mse, mae or a callable "
            "(y_true, y_pred) -> (n,). "
            f"Received: output shape {tuple(outputs.shape)}"
        )
    assert head is not None
    k = int(head.outputs.shape[1])
    if (
        metric == "auc"
        and not (kind == "sigmoid" and k == 1)
        and not (kind == "softmax" and k == 2)
    ):
        raise ValueError(
            "metric auc must see one sigmoid unit or two classes; use log_loss or accuracy. "
            f"Received: {k} {'classes' if kind == 'softmax' else 'sigmoid units'}"
        )

    def logits_of(outputs: Any) -> Any:
        found = targets.head_of(outputs, metric)
        if not probabilities:
            return found.logits
        tiny = np.finfo(found.outputs.dtype.as_numpy_dtype).tiny
        logs = tf.math.log(tf.maximum(found.outputs, tiny))
        if kind == "softmax":
            return logs
        return logs - tf.math.log(tf.maximum(1 - found.outputs, tiny))

    sign = -1.0 if metric in _SCORES else 1.0
    rows = (
        _softmax_rows(metric, logits_of, k)
        if kind == "softmax"
        else _sigmoid_rows(metric, logits_of)
    )
    if metric == "auc":
        return _Metric(metric, sign, rows, _two_classes, _placements)
    soft = metric in ("log_loss", "brier")
    if kind == "softmax":
        return _Metric(metric, sign, rows, lambda y, n: _class_labels(y, n, k, soft))
    return _Metric(metric, sign, rows, lambda y, n: _unit_labels(y, n, k, soft))


def _compiled_loss(model: Any) -> Any:
    """Return the loss that a model was compiled with, if it is a single one."""
    loss = getattr(model, "loss", None)
    if isinstance(loss, Mapping):
        loss = list(loss.values())
    if isinstance(loss, (list, tuple)):
        loss = loss[0] if len(loss) == 1 else None
    return keras.losses.get(loss) if isinstance(loss, str) else loss


def takes_classes(model: Any, y: Any) -> bool | None:
    """Return whether the loss that a model was compiled with takes labels for classes.

    Args:
        model: Keras model.
        y: labels.

    Returns:
        True for a sparse cross-entropy, False for a distance between values, such as the mean
        squared error; None for anything else, for several losses, and for one-hot rows, which are
        classes whatever the loss.

    Example:
        >>> single_feature_score(x_val, y_val, classes=takes_classes(model, y_val))
    """
    loss = _compiled_loss(model)
    if loss is None or np.ndim(y) == 0 or np.shape(y)[1:] not in ((), (1,)):
        return None
    if _key(loss).startswith("sparse"):
        return True
    return False if _family(loss)[0] == "square" else None


def _key(loss: Any) -> str:
    own = getattr(loss, "__name__", type(loss).__name__)
    return str(own).replace("_", "").lower()


def _family(loss: Any) -> tuple[str, bool]:
    """Return "cross", "square" or "" for a loss, and whether it takes logits."""
    if loss is None:
        return "", False
    key = _key(loss)
    if key.endswith("crossentropy"):
        config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
        return "cross", bool(config.get("from_logits", False))
    distances = ("meansquarederror", "meanabsoluteerror", "huber", "logcosh")
    more = ("meanabsolutepercentageerror", "meansquaredlogarithmicerror")
    return ("square" if key in distances + more else ""), False


def _look_like_classes(y: Any, k: int) -> bool:
    """Whether labels for k units without activation are class numbers or one-hot rows."""
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == k > 1:
        return bool(((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all())
    return k > 1 and (y.ndim == 1 or y.shape[1:] == (1,))


def _softmax_rows(
    metric: str, logits_of: Callable[[Any], Any], k: int
) -> Callable[[Any, Any], Any]:
    def rows(y: Any, outputs: Any) -> Any:
        z = logits_of(outputs)
        if metric == "accuracy":
            return tf.cast(tf.equal(tf.argmax(z, axis=1, output_type=tf.int32), y), tf.float32)
        if metric == "auc":
            return z[:, 1] - z[:, 0]
        if metric == "brier":
            hot = tf.one_hot(y, k, dtype=z.dtype) if y.dtype == tf.int32 else tf.cast(y, z.dtype)
            return tf.reduce_sum(tf.square(tf.nn.softmax(z) - hot), axis=1)
        if y.dtype == tf.int32 and k == 2:  # the same number, in a third of the time
            return tf.nn.softplus((z[:, 1] - z[:, 0]) * (1 - 2 * tf.cast(y, z.dtype)))
        if y.dtype == tf.int32:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=z)
        return tf.nn.softmax_cross_entropy_with_logits(labels=tf.cast(y, z.dtype), logits=z)

    return rows


def _sigmoid_rows(metric: str, logits_of: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def rows(y: Any, outputs: Any) -> Any:
        z = logits_of(outputs)
        if metric == "auc":
            return z[:, 0]
        y = tf.cast(y, z.dtype)
        if metric == "accuracy":
            values = tf.cast(tf.equal(z > 0, y > 0.5), tf.float32)
        elif metric == "brier":
            values = tf.square(tf.sigmoid(z) - y)
        else:
            values = tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z)
        return values[:, 0] if z.shape[1] == 1 else tf.reduce_mean(values, axis=1)

    return rows


def _regression(metric: str) -> Callable[[Any, Any], Any]:
    def rows(y: Any, outputs: Any) -> Any:
        wide = outputs if outputs.dtype == tf.float64 else tf.cast(outputs, tf.float32)
        error = wide - tf.cast(y, wide.dtype)
        error = tf.square(error) if metric == "mse" else tf.abs(error)
        if error.shape.rank == 1:
            return error
        return tf.reduce_mean(tf.reshape(error, (error.shape[0], -1)), axis=1)

    return rows


def _loss_rows(loss: Any) -> Callable[[Any, Any], Any]:
    def rows(y: Any, outputs: Any) -> Any:
        y, outputs = tf.nest.map_structure(
            lambda a: tf.cast(a, tf.float64 if a.dtype == tf.float64 else tf.float32), (y, outputs)
        )
        values = tf.convert_to_tensor(loss.call(y, outputs))
        inner = list(range(1, values.shape.rank or 0))
        return tf.reduce_mean(values, axis=inner) if inner else values

    return rows


def _free_rows(
    metric: Callable[[Any, Any], Any], y: Any, outputs: Any, sample: Callable[[], Any]
) -> Callable[[Any, Any], Any]:
    """Return a callable metric as it is when it runs in the graph of ``outputs``, else in NumPy."""
    try:
        metric(y, outputs)
    except Exception:
        few, values = sample()
        checked = np.asarray(metric(few, values))  # its own words, if NumPy is not enough either
        _one_per_row(checked.shape, len(tf.nest.flatten(values)[0]), metric)

        def rows(y: Any, outputs: Any) -> Any:
            def run(*parts: Any) -> Any:
                pair = tf.nest.pack_sequence_as((y, outputs), list(parts))
                return np.asarray(metric(*pair), np.float32)

            values = tf.numpy_function(run, tf.nest.flatten((y, outputs)), tf.float32)
            return tf.ensure_shape(values, tf.nest.flatten(outputs)[0].shape[:1])

        return rows
    return metric


def _one_per_row(shape: Any, n: int, metric: Any) -> None:
    if tuple(shape) != (n,):
        raise ValueError(
            f"metric must return one value per row, shape ({n},). Received: shape {tuple(shape)} "
            f"from {_metric_name(metric)}"
        )


def _placements(values: Array, y: Array, weight: Array | None) -> Array:
    """Return values with the area under the ROC curve as mean and its influence as spread.

    A positive row's placement is the share of negative rows below it (ties count half), a negative
    row's the share of positive rows above it; both have the area as their mean (DeLong 1988).
    """
    one = y.reshape(-1) > 0.5
    w = np.ones(len(one)) if weight is None else weight / weight.mean()
    out = np.empty(values.shape, np.float32)
    for place in np.ndindex(values.shape[:-1]):
        s = values[place]
        if not np.isfinite(s).all() or one.all() or not one.any():
            out[place] = np.nan
            continue
        below = _share_below(s[~one], w[~one], s[one])
        above = 1.0 - _share_below(s[one], w[one], s[~one])
        area = float(np.average(below, weights=w[one]))
        out[place][one] = area + (below - area) * (w.sum() / w[one].sum())
        out[place][~one] = area + (above - area) * (w.sum() / w[~one].sum())
    return out


def _share_below(others: Array, weight: Array, own: Array) -> Array:
    """Return the weighted share of others below each own value, ties counted half."""
    order = np.argsort(others, kind="stable")
    ranked = others[order]
    mass = np.concatenate([[0.0], np.cumsum(weight[order])])
    left = mass[np.searchsorted(ranked, own, side="left")]
    right = mass[np.searchsorted(ranked, own, side="right")]
    share: Array = (left + right) / (2 * mass[-1])
    return share


# --- one column alone
# ------------------------------------------------------------------------------


def _midranks(x: Array) -> Array:
    """Return ranks from 1 along the last axis, equal values share their mean rank."""
    order = np.argsort(x, axis=-1)
    ordered = np.take_along_axis(x, order, axis=-1)
    n = x.shape[-1]
    place = np.broadcast_to(np.arange(n), x.shape)
    step = ordered[..., 1:] != ordered[..., :-1]
    edge = np.ones((*x.shape[:-1], 1), bool)
    first = np.maximum.accumulate(
        np.where(np.concatenate([edge, step], axis=-1), place, 0), axis=-1
    )
    last = np.where(np.concatenate([step, edge], axis=-1), place, n)
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    ranks: Array = np.empty(x.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=-1)
    return ranks


def _told_classes(rank: Array, cell: Array, bins: int, classes: Array) -> Array:
    """Return score, low, high and standard error of columns (d, n) for classes, (4, d).

    ``cell`` numbers the bin of each row within its fold and column.
    """
    d, n = rank.shape
    k = int(classes.max()) + 1
    own = np.bincount(classes, minlength=k)  # rows of each class, (k,)
    rest = n - own
    hot = np.zeros((n, k))
    hot[np.arange(n), classes] = 1.0
    plain = (rank @ hot - own * (own + 1) / 2) / (own * rest)

    at = (cell // bins * k + classes) * bins + cell % bins
    size = d * _FOLDS * k * bins
    counts = np.bincount(at.reshape(-1), minlength=size).reshape(d, _FOLDS, k, bins)
    others = counts.sum(axis=2, keepdims=True) - counts
    left = counts.sum(axis=1, keepdims=True) - counts
    seen = left.sum(axis=2, keepdims=True)
    share = left.sum(axis=3, keepdims=True) / seen.sum(axis=3, keepdims=True)
    score = (left + share) / (seen + 1)  # of each bin, from the rows of the other folds
    below = (score[..., None] > score[..., None, :]) + 0.5 * (
        score[..., None] == score[..., None, :]
    )
    wins = np.einsum("dfcb,dfcbe,dfce->dc", counts, below, others, optimize=True)
    pairs = (counts.sum(axis=3) * others.sum(axis=3)).sum(axis=1)
    binned = np.maximum(wins / np.maximum(pairs, 1), 0.5)

    if k == 2:  # both say the same
        plain, binned, own, rest = plain[:, 1:], binned[:, 1:], own[1:], rest[1:]
    better = np.maximum(plain, 1 - plain)
    area = np.maximum(better, binned)
    # Two candidates for each class: the lower ends of all hold together.
    low = _lower_area(area, own, rest, 0.025 / 2)
    surely = _lower_area(area, own, rest, 0.025 / (2 * len(own))).max(axis=1)
    high = 1 - _lower_area(1 - area, own, rest, 0.025)
    mean = np.maximum(area.mean(axis=1), surely)
    stderr = np.sqrt(_area_variance(area, own, rest)).mean(axis=1)
    least = np.maximum(np.maximum(low.mean(axis=1), surely), 0.5)
    return np.stack([mean, least, np.maximum(high.mean(axis=1), mean), stderr])


def _area_variance(area: Array, own: Array, rest: Array) -> Array:
    """Return the variance of an AUC of ``own`` and ``rest`` rows (Hanley and McNeil, Newcombe)."""
    half = (own + rest) / 2 - 1
    spread = 1 + half * ((1 - area) / (2 - area) + area / (1 + area))
    variance: Array = area * (1 - area) * spread / (own * rest)
    return variance


def _lower_area(area: Array, own: Array, rest: Array, share: float) -> Array:
    """Return the AUC that is exceeded as far as found with probability ``share``: a score end.

    It solves ``area - a = z sqrt(Var(a))`` for a, so that a perfect separation of few rows does not
    count as certain.
    """
    z = NormalDist().inv_cdf(1 - share)
    low, high = np.zeros_like(area), area.copy()
    for _ in range(40):
        middle = (low + high) / 2
        under = area - middle > z * np.sqrt(_area_variance(middle, own, rest))
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    return low


def _told_values(rank: Array, cell: Array, fold: Array, bins: int, labels: Array) -> Array:
    """Return score, low, high and standard error of columns (d, n) for values, (4, d)."""
    d, n = rank.shape
    place = _midranks(labels) - (n + 1) / 2  # ranks have the mean (n + 1) / 2
    total = float(place @ place)
    own = rank - (n + 1) / 2
    plain = np.abs(own @ place) / np.sqrt(np.square(own).sum(axis=1) * total)

    at, size = cell.reshape(-1), d * _FOLDS * bins
    counts = np.bincount(at, minlength=size).reshape(d, _FOLDS, bins)
    sums = np.bincount(at, np.tile(place, d), minlength=size).reshape(d, _FOLDS, bins)
    seen, known = (a.sum(axis=1, keepdims=True) - a for a in (counts, sums))
    usual = known.sum(axis=2, keepdims=True) / seen.sum(axis=2, keepdims=True)
    guess = (known + usual) / (seen + 1)
    error = total + (counts * guess**2 - 2 * guess * sums).sum(axis=(1, 2))
    r = np.clip(np.maximum(plain, np.sqrt(np.maximum(1 - error / total, 0.0))), 0.0, 1.0)
    width = np.sqrt((1 + r**2 / 2) / (n - 3))
    near = np.arctanh(np.minimum(r, 1 - 1 / n))  # a perfect order of few rows is not certain
    normal = NormalDist()
    low = np.maximum(np.tanh(near - normal.inv_cdf(1 - 0.025 / 2) * width), 0.0)
    with np.errstate(divide="ignore"):
        high = np.tanh(np.arctanh(r) + normal.inv_cdf(0.975) * width)
    return np.stack([r, low, high, (1 - r**2) * width])


# --- what is given
# ---------------------------------------------------------------------------------


def _check_count(count: Any, what: str) -> None:
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)):
        raise TypeError(f"{what} must be an integer of at least 1. Received: {count!r}")
    if count < 1:
        raise ValueError(f"{what} must be at least 1. Received: {count}")


def _check_weight(weight: Any, n: int) -> Array | None:
    if weight is None:
        return None
    given: Array = np.asarray(weight, np.float64)
    if given.shape == (n, 1):
        given = given[:, 0]
    if given.shape != (n,):
        raise ValueError(
            f"sample_weight must have one weight for each of the {n} rows. Received: shape "
            f"{given.shape}"
        )
    wrong = ~np.isfinite(given) | (given < 0)
    if wrong.any():
        raise ValueError(
            f"sample_weight must be finite and at least 0. Received: {given[wrong][0]} at row "
            f"{int(np.argmax(wrong))}"
        )
    return given


def _scikit_learn(what: str) -> Any:
    try:
        from sklearn import feature_selection
    except ImportError:
        raise ImportError(
            f"scikit-learn must be installed for {what}: pip install scikit-learn. Received: no "
            "module named sklearn"
        ) from None
    return feature_selection


def _baseline_data(
    x: Any, y: Any, feature_names: Sequence[str] | None
) -> tuple[Array, Array, Array | None, list[str]]:
    """Return flat inputs, labels (n,), their class numbers (None for values), and names."""
    flat, n, names, _ = _features(x, feature_names, None, None)
    if tf.nest.is_nested(flat) or flat.dtype.kind not in "biuf" or flat.ndim != 2:
        raise ValueError(
            "x must be one flat array (n, d) of numbers. "
            f"Received: {[f'{a.dtype} {a.shape}' for a in tf.nest.flatten(flat)]}"
        )
    labels = _rows_of(y, n)
    if n < 2:
        raise ValueError(f"x must have at least 2 rows. Received: {n}")
    if labels.ndim == 2 and labels.shape[1] > 1:
        if ((labels != 0) & (labels != 1)).any() or (labels.sum(axis=1) != 1).any():
            raise ValueError(
                "y must be one label per row, (n,), or one-hot rows. "
                f"Received: shape {labels.shape}"
            )
        labels = labels.argmax(axis=1)
    labels = labels.reshape(n, -1)
    if labels.shape[1] != 1:
        raise ValueError(f"y must be one label per row, (n,). Received: shape {np.shape(y)}")
    labels = labels[:, 0]
    if labels.dtype.kind == "f":
        return flat, labels.astype(np.float64), None, names
    return flat, labels, np.unique(labels, return_inverse=True)[1].reshape(-1), names


def _check_strata(strata: Array | None, n: int) -> Array | None:
    """Return strata as numbers from 0, (n,)."""
    if strata is None:
        return None
    if strata.shape != (n,):
        raise ValueError(
            f"conditional must give the stratum of each of the {n} rows. "
            f"Received: shape {strata.shape}"
        )
    return np.unique(strata, return_inverse=True)[1].reshape(-1)


def _one_flat(x: Any, what: str) -> Array:
    if tf.nest.is_nested(x) or x.ndim != 2 or x.dtype.kind != "f":
        kinds = [f"{a.dtype} {a.shape[1:]}" for a in tf.nest.flatten(x)]
        raise ValueError(f"{what} must have one flat input (n, d) of floats. Received: {kinds}")
    flat: Array = x
    return flat


def _filling(value: Any, x: Any, n: int, weight: Array | None) -> list[Array]:
    """Return the value that takes the place of a feature, (1, ...) for each input."""
    leaves = tf.nest.flatten(x)
    if any(a.dtype.kind not in "biuf" for a in leaves):
        raise TypeError(
            "x must be numbers to be replaced by one value; use permutation_importance. "
            f"Received: {[str(a.dtype) for a in leaves]}"
        )
    if isinstance(value, str):
        means = [np.average(a[:n], axis=0, weights=weight) for a in leaves]
    elif np.ndim(value) == 0 and not isinstance(value, Mapping):
        means = [np.full(a.shape[1:], value, np.float64) for a in leaves]
    else:
        means = [np.asarray(a, np.float64) for a in tf.nest.flatten(value)]
        if [a.shape for a in means] != [a.shape[1:] for a in leaves]:
            raise ValueError(
                f"value must have the shape of one example, {[a.shape[1:] for a in leaves]}. "
                f"Received: {[a.shape for a in means]}"
            )
    filled = [
        (mean if a.dtype.kind == "f" else np.round(mean)).astype(a.dtype)[None]
        for mean, a in zip(means, leaves, strict=True)
    ]
    for fill, a in zip(filled, leaves, strict=True):  # the mean of a constant is the constant
        if isinstance(value, str):
            fill[0] = np.where((a == a[:1]).all(axis=0), a[0], fill[0])
    return filled


def _rows_of(y: Any, n: int) -> Array:
    if y is None:
        raise ValueError(
            "y must hold a label for each row: importance is a loss of score. Received: None"
        )
    labels: Array = np.asarray(y)
    if labels.ndim == 0 or len(labels) != n:
        raise ValueError(
            f"y must have one label for each of the {n} rows. Received: shape {labels.shape}"
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError(
            f"y must be finite. Received: {labels[~np.isfinite(labels)][0]} at "
            f"{tuple(np.argwhere(~np.isfinite(labels))[0].tolist())}"
        )
    return labels


def _free_labels(y: Any, n: int) -> Any:
    """Labels of a Keras loss or a callable: any structure with one entry per row."""

    def part(y: Any) -> Array:
        checked = _rows_of(y, n)
        return checked.astype(np.float32) if checked.dtype == np.float64 else checked

    several = isinstance(y, (Mapping, tuple)) or (
        isinstance(y, list)
        and len(y) != n  # not rows
        and all(np.ndim(a) > 0 and len(a) == n for a in y)
    )
    return tf.nest.map_structure(part, y) if several else part(y)


def _class_labels(y: Any, n: int, k: int, soft: bool) -> Array:
    """Class numbers (n,) int32, or rows of probabilities (n, k) where the metric takes them."""
    labels: Array = _rows_of(y, n)
    if soft and labels.shape == (n, k) and k > 1 and ((labels != 0) & (labels != 1)).any():
        wrong = (labels < 0).any(axis=1) | (np.abs(labels.sum(axis=1) - 1) > 1e-3)
        if wrong.any():
            raise ValueError(
                "y must hold probabilities that sum to 1 in each row. "
                f"Received: {labels[wrong][0].tolist()}"
            )
        return labels.astype(np.float32)
    return targets.check_labels(labels, n, k, "metric")


def _unit_labels(y: Any, n: int, k: int, soft: bool) -> Array:
    """Labels of k sigmoid units, (n, k) float32 in [0, 1]."""
    labels: Array = _rows_of(y, n)
    if k == 1 and labels.shape == (n, 2):
        return targets.check_labels(labels, n, 2, "metric").astype(np.float32)[:, None]
    if labels.dtype.kind not in "biuf" or labels.size != n * k:
        raise ValueError(
            f"y must have one label for each of the {k} sigmoid unit(s), shape ({n}, {k}). "
            f"Received: shape {labels.shape}, dtype {labels.dtype}"
        )
    labels = labels.reshape(n, k).astype(np.float32)
    wrong = (labels < 0) | (labels > 1) if soft else (labels != 0) & (labels != 1)
    if wrong.any():
        raise ValueError(
            f"y must be {'between 0 and 1' if soft else '0 or 1'} for sigmoid units. Received: "
            f"{labels[wrong][0]:g}"
        )
    return labels


def _two_classes(y: Any, n: int) -> Array:
    classes = targets.check_labels(_rows_of(y, n), n, 2, "auc")
    if classes.min() == classes.max():
        raise ValueError(
            f"y must hold both classes for metric auc. Received: only {classes[0]} in {n} rows"
        )
    return classes


def _values_like(y: Any, n: int, shape: tuple[int | None, ...]) -> Array:
    """Labels of a regression in the shape of the outputs."""
    labels: Array = _rows_of(y, n)
    if labels.dtype.kind not in "biuf":
        raise TypeError(f"y must be numbers. Received: dtype {labels.dtype}")
    fits = [a for a in shape if a != 1] == [a for a in labels.shape[1:] if a != 1] or None in shape
    if not fits:
        raise ValueError(
            f"y must have the shape of the model's outputs, (n, {', '.join(map(str, shape))}), for "
            f"a squared or absolute error. Received: shape {labels.shape}"
        )
    return labels if None in shape else labels.reshape(n, *shape)


def _check_groups(groups: Any) -> None:
    if groups is None:
        return
    if not isinstance(groups, Mapping):
        raise TypeError(
            f"groups must be a dictionary from a name to its columns. Received: "
            f"{type(groups).__name__}"
        )
    if not groups:
        raise ValueError(
            "groups must hold at least one group; leave it out for single columns. Received: {}"
        )
    for name, columns in groups.items():
        if not isinstance(name, str):
            raise TypeError(f"groups must be named by strings. Received: {name!r}")
        if isinstance(columns, (str, bytes)) or not hasattr(columns, "__iter__"):
            raise TypeError(
                f"groups must give each name a list of columns or a boolean array. Received: "
                f"{name!r}: {columns!r}"
            )
        if len(list(columns)) == 0:
            raise ValueError(f"groups must not be empty. Received: {name!r}: []")


def _features(
    x: Any, feature_names: Sequence[str] | None, groups: Mapping[str, Any] | None, model: Any
) -> tuple[Any, int, list[str], list[Any]]:
    """Return the inputs as arrays, n, the features' names, and the feature of each cell."""
    if hasattr(x, "columns") and hasattr(x, "to_numpy"):  # a data frame
        feature_names = feature_names or [str(c) for c in x.columns]
        x = x.to_numpy()
    single = not isinstance(x, (Mapping, list, tuple)) or (
        isinstance(x, (list, tuple)) and len(x) > 0 and np.ndim(x[0]) == 0
    )
    if single:
        x = np.asarray(x)
    elif isinstance(x, (list, tuple)) and not any(hasattr(a, "shape") for a in x):
        x, single = np.asarray(x), True
    wide = getattr(model, "variable_dtype", "float32") == "float64"
    x = tf.nest.map_structure(lambda a: _input(a, wide), x)
    leaves = tf.nest.flatten(x)
    n = len(leaves[0]) if leaves else 0
    if n == 0 or any(len(a) != n for a in leaves):
        raise ValueError(
            f"x must have the same number of rows, at least one, in each input. Received: shapes "
            f"{[a.shape for a in leaves]}"
        )
    inputs = [""] if single else _input_names(x, model)
    widths = [1 if a.ndim == 1 else int(a.shape[-1]) for a in leaves]
    names = []
    for title, leaf, width in zip(inputs, leaves, widths, strict=True):
        if single:
            names += [f"x{j}" for j in range(width)]
        elif leaf.ndim == 1 or leaf.shape[1:] == (1,):
            names.append(title)
        else:
            names += [f"{title}[{j}]" for j in range(width)]
    if feature_names is not None:
        given = [str(name) for name in feature_names]
        if len(given) != len(names):
            raise ValueError(
                f"feature_names must name each of the {len(names)} columns. Received: {len(given)} "
                f"names"
            )
        if len(set(given)) != len(given):
            twice = next(name for name in given if given.count(name) > 1)
            raise ValueError(
                f"feature_names must differ from each other. Received: {twice!r} twice"
            )
        names = given
    deep = [a.shape for a in leaves if a.ndim > 2]
    if groups is None:
        if deep:
            cells = deep[0][1:]
            raise ValueError(
                "x must be flat, (n, d), to shuffle single columns; for inputs of higher rank give "
                "groups, for instance "
                f"{{'channel 0': [0]}} along the last axis or "
                f"{{'corner': boolean array of shape {cells}}}. "
                f"Received: shape {deep[0]}"
            )
        starts = np.cumsum([0, *widths])
        member = [
            (np.arange(w) + s if a.ndim == 2 else np.array(s)).astype(np.int32)
            for a, w, s in zip(leaves, widths, starts[:-1], strict=True)
        ]
        return x, n, names, [tf.constant(m) for m in member]
    member = _members(groups, names, inputs, leaves, widths, single)
    return x, n, list(groups), [tf.constant(m) for m in member]


def _members(
    groups: Mapping[str, Any],
    names: list[str],
    inputs: list[str],
    leaves: list[Array],
    widths: list[int],
    single: bool,
) -> list[Array]:
    """Return for each input the number of the group that each cell belongs to, -1 for none."""
    member = [np.full(a.shape[1:], -1, np.int32) for a in leaves]
    titles = list(groups)
    starts = np.cumsum([0, *widths])

    def claim(leaf: int, where: Any, group: int, what: str) -> None:
        taken = np.unique(member[leaf][where])
        if (taken >= 0).any():
            other = titles[int(taken[taken >= 0][0])]
            twice = "twice" if other == titles[group] else f"in {other!r} and {titles[group]!r}"
            raise ValueError(f"groups must not overlap. Received: {what} {twice}")
        member[leaf][where] = group

    for g, columns in enumerate(groups.values()):
        region = np.asarray(columns) if not isinstance(columns, (set, frozenset)) else None
        if region is not None and region.dtype == bool:
            if not single or region.shape != leaves[0].shape[1:]:
                raise ValueError(
                    f"groups must mark a region by a boolean array of the shape of one example, "
                    f"{leaves[0].shape[1:]}, of a "
                    f"model with one input. Received: {titles[g]!r} of shape {region.shape}"
                )
            if not region.any():
                raise ValueError(
                    f"groups must not be empty. Received: {titles[g]!r} without a marked cell"
                )
            claim(0, region, g, "cells")
            continue
        for column in columns:
            if isinstance(column, str) and column not in names and column in inputs:
                claim(inputs.index(column), ..., g, f"input {column!r}")
                continue
            at = _column(column, names, titles[g], inputs)
            leaf = int(np.searchsorted(starts, at, side="right")) - 1
            where = ... if leaves[leaf].ndim == 1 else (..., at - int(starts[leaf]))
            claim(leaf, where, g, f"column {column!r}")
    return member


def _column(column: Any, names: list[str], group: str, inputs: list[str]) -> int:
    """Return the position of a column given by position or name."""
    if isinstance(column, (int, np.integer)) and not isinstance(column, bool):
        if 0 <= column < len(names):
            return int(column)
        raise ValueError(
            f"groups must name columns from 0 to {len(names) - 1}. Received: {int(column)} in "
            f"{group!r}"
        )
    if isinstance(column, str):
        if column in names:
            return names.index(column)
        close = difflib.get_close_matches(column, [*filter(None, inputs), *names], 3, 0.5)
        hint = f"; close: {', '.join(close)}" if close else ""
        shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
        raise ValueError(
            f"groups must name known columns ({shown}{hint}). Received: {column!r} in {group!r}"
        )
    raise TypeError(
        f"groups must hold positions or names of columns. Received: {column!r} in {group!r}"
    )


def _input(a: Any, wide: bool) -> Array:
    array: Array = targets.as_numbers(a)
    if array.ndim == 0:
        raise ValueError(f"x must have rows first, (n, d). Received: shape {array.shape}")
    if array.dtype.kind in "OSU":
        if array.dtype.kind == "O" and not all(isinstance(v, (str, bytes)) for v in array.flat):
            raise TypeError(
                "x must be numbers or strings, not mixed objects. Received: dtype object"
            )
        return array.astype(object)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"x must be numbers or strings. Received: dtype {array.dtype}")
    if array.dtype.kind == "f":
        if np.isnan(array).any():
            raise ValueError(
                f"x must be free of NaN. Received: NaN at "
                f"{tuple(np.argwhere(np.isnan(array))[0].tolist())}"
            )
        return targets.narrowed(array, np.float64 if wide else np.float32, "x")
    return array


def _read(model: Any, x: Any) -> Any:
    """Return the inputs that a model reads: of a dictionary, Keras lets others be left over."""
    own = {tensor.name for tensor in getattr(model, "inputs", None) or []}
    if isinstance(x, Mapping) and own and own <= set(x):
        return {name: part for name, part in x.items() if name in own}
    return x


def _input_names(x: Any, model: Any) -> list[str]:
    """Return a name for each input of a structure, in the order in which it is flattened."""
    if isinstance(x, Mapping):
        flat: list[str] = []
        for key in sorted(x):
            parts = tf.nest.flatten(x[key])
            flat += [str(key)] if len(parts) == 1 else [f"{key}.{i}" for i in range(len(parts))]
        return flat
    count = len(tf.nest.flatten(x))
    known = [getattr(t, "name", None) for t in getattr(model, "inputs", None) or []]
    if len(known) == count and all(known) and len(set(known)) == count:
        return [str(name) for name in known]
    return [f"input{i}" for i in range(count)]
