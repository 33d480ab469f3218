"""Quality: how good an explanation is, measured on the explanation alone or against the model.

The first measures need arrays only, the others ask the model. All return one number per example,
`(n,)` float64, and NaN where the number is undefined: for values that are NaN or infinite, for an
all-zero explanation (there is nothing to measure), and as each measure says.

A measure that asks the model takes the model itself, which is then compiled for this call under
`target`, or a scorer that was compiled once by `scorer` and serves all measures and epochs. Any
function `(x, y) -> (n,)` is a scorer too. Explanations are judged in the units they speak of: one
pixel with all its channels for images `(n, h, w, c)`, one element for anything else, one token for
values that have no axis of embedding components.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from tb_xai import drift, targets
from tb_xai.gradients import BATCH_SIZE, Attribution, Binder, check_inputs
from tb_xai.targets import Target, log_odds

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Score = Callable[[Any, Any], Any]
"""The explained number: `score(x, y) -> (n,)`."""
Explain = Callable[[Any, Any], Attribution]


# --- on the explanation alone -------------------------------------------------------------------


def sparseness(values: npt.ArrayLike) -> Floats:
    """Return the Gini index of the magnitudes: how few features carry the explanation.

    `G = 1 - 2 sum_{r=1..m} |a|_(r) / sum|a| * (m - r + 1/2) / m`, magnitudes ascending.

    Args:
        values: Explanations `(n, ...)` with m values per example.

    Returns:
        `(n,)` from 0 (all equal) to `1 - 1/m` (one value alone); NaN for an all-zero explanation.

    Raises:
        ValueError: The values have no feature axis.

    Example:
        >>> sparseness([[0.0, 0.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
        array([0.75, 0.  ])

    References:
        N. Hurley and S. Rickard, "Comparing measures of sparsity", IEEE Transactions on
        Information Theory 55, 2009, https://arxiv.org/abs/0811.4706
        P. Chalasani et al., "Concise explanations of neural networks using adversarial training",
        ICML 2020, https://arxiv.org/abs/1810.06583
    """
    share = np.sort(_shares(_flat(values)), axis=1)
    m = share.shape[1]
    return np.asarray(1.0 - 2.0 * share @ ((m - np.arange(1, m + 1) + 0.5) / m))


def complexity(values: npt.ArrayLike) -> Floats:
    """Return the entropy of the magnitudes: over how many features the explanation spreads.

    `H = -sum_i p_i ln p_i`, `p_i = |a_i| / sum|a|`; `exp(H)` is an effective number of features.

    Args:
        values: Explanations `(n, ...)` with m values per example.

    Returns:
        `(n,)` in nats from 0 (one value alone) to `ln m` (all equal); NaN for an all-zero
        explanation.

    Raises:
        ValueError: The values have no feature axis.

    Example:
        >>> complexity([[0.0, 0.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0]]).round(4)
        array([0.    , 1.3863])

    References:
        U. Bhatt, A. Weller and J. M. F. Moura, "Evaluating and aggregating feature-based model
        explanations", IJCAI 2020, https://arxiv.org/abs/2005.00631
    """
    share = _shares(_flat(values))
    log = np.log(share, out=np.zeros_like(share), where=share > 0)
    return np.asarray(np.abs((share * log).sum(axis=1)))


def relevance_mass(values: npt.ArrayLike, mask: npt.ArrayLike) -> Floats:
    """Return the share of the explanation that lies inside a mask.

    `sum_{i in mask} |a_i| / sum_i |a_i|`. A uniform explanation scores the share of the mask.

    Args:
        values: Explanations `(n, ...)`. Magnitudes count; give `numpy.maximum(values, 0)` to count
            positive evidence alone.
        mask: What should matter: booleans (or 0 and 1) of the shape of `values`, with or without
            its last axis (channels); a first axis of 1 serves all examples.

    Returns:
        `(n,)` from 0 to 1; NaN for an all-zero explanation and for an empty mask.

    Raises:
        ValueError: The mask does not fit the values or holds other numbers than 0 and 1.

    Example:
        >>> relevance_mass([[3.0, -1.0, 0.0]], [[True, False, False]])
        array([0.75])

    References:
        L. Arras, A. Osman and W. Samek, "CLEVR-XAI: A benchmark dataset for the ground truth
        evaluation of neural network explanations", Information Fusion 81, 2022,
        https://arxiv.org/abs/2003.07258
    """
    magnitude, inside = _masked(values, mask)
    found = np.where(inside, _shares(magnitude), 0.0).sum(axis=1)
    return np.where(inside.any(axis=1) & _ranked(magnitude, zero_only=True), found, np.nan)


def relevance_rank(values: npt.ArrayLike, mask: npt.ArrayLike) -> Floats:
    """Return how many of the k strongest places lie inside a mask of k places, as a share.

    `|top_k(|a|) & mask| / k`, `k = |mask|`. Places tied at the border count by their chance to be
    among the k. Random explanations score the share of the mask.

    Args:
        values: Explanations `(n, ...)`; with a mask without channels, the magnitudes of a place
            are added over its channels.
        mask: As for `relevance_mass`.

    Returns:
        `(n,)` from 0 to 1; NaN where all magnitudes are equal and for an empty mask.

    Raises:
        ValueError: The mask does not fit the values or holds other numbers than 0 and 1.

    Example:
        >>> relevance_rank([[3.0, -2.0, 1.0, 0.0]], [[True, False, True, False]])
        array([0.5])

    References:
        L. Arras, A. Osman and W. Samek, "CLEVR-XAI: A benchmark dataset for the ground truth
        evaluation of neural network explanations", Information Fusion 81, 2022,
        https://arxiv.org/abs/2003.07258
    """
    return _hits(values, mask, None)


def pointing_game(values: npt.ArrayLike, mask: npt.ArrayLike) -> Floats:
    """Return whether the strongest place lies inside a mask.

    `1 if argmax|a| in mask else 0`; of several places equally strong, the share inside.

    Args:
        values: Explanations `(n, ...)`; with a mask without channels, the magnitudes of a place
            are added over its channels.
        mask: As for `relevance_mass`.

    Returns:
        `(n,)`, 1 for a hit and 0 for a miss; NaN where all magnitudes are equal, and for an empty
        mask: nothing could be hit.

    Raises:
        ValueError: The mask does not fit the values or holds other numbers than 0 and 1.

    Example:
        >>> pointing_game([[3.0, -4.0]], [[False, True]])
        array([1.])

    References:
        J. Zhang et al., "Top-down neural attention by excitation backprop", IJCV 126, 2018,
        https://arxiv.org/abs/1608.00507

    Differs from the paper: there is no tolerance of 15 pixels around the mask; widen the mask.
    """
    return _hits(values, mask, 1)


def completeness_gap(
    values: npt.ArrayLike, output: npt.ArrayLike, baseline_output: npt.ArrayLike
) -> Floats:
    """Return by how much an additive explanation misses what it should add up to.

    `|sum_i a_i - (f(x) - f(b))| / |f(x) - f(b)|`

    Args:
        values: Explanations `(n, ...)`.
        output: `f(x)` of each example, `(n,)`.
        baseline_output: `f(b)` of each example, `(n,)` or one number.

    Returns:
        `(n,)`, relative, 0 is complete; NaN where `f(x) = f(b)`: there is nothing to add up to.

    Raises:
        ValueError: The values have no feature axis.

    Example:
        >>> completeness_gap([[1.0, 1.5]], [2.0], [0.0])
        array([0.25])

    References:
        M. Sundararajan, A. Taly and Q. Yan, "Axiomatic attribution for deep networks", ICML 2017,
        https://arxiv.org/abs/1703.01365
    """
    difference = np.asarray(output, np.float64) - np.asarray(baseline_output, np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.abs(_flat(values).sum(axis=1) - difference)
    return _divide(gap, np.abs(difference))


def feature_agreement(a: npt.ArrayLike, b: npt.ArrayLike, k: int) -> Floats:
    """Return the share of the k strongest features that two methods have in common.

    The measure is `drift.top_k_overlap`.

    Args:
        a: Explanations `(n, ...)` by one method.
        b: Explanations of the same examples by another, same shape.
        k: Number of features.

    Returns:
        `(n,)` from 0 to 1; NaN where the magnitudes of either are all equal.

    Raises:
        ValueError: The shapes differ, or k is out of range.

    Example:
        >>> feature_agreement([[3.0, 2.0, 1.0]], [[-3.0, 1.0, 2.0]], k=2)
        array([0.5])

    References:
        S. Krishna et al., "The disagreement problem in explainable machine learning: a
        practitioner's perspective", TMLR 2024, https://arxiv.org/abs/2202.01602
    """
    return drift.top_k_overlap(a, b, k)


def sign_agreement(a: npt.ArrayLike, b: npt.ArrayLike, k: int) -> Floats:
    """Return the share of the k strongest features that two methods share with the same sign.

    `|{i in top_k(a) & top_k(b): sign(a_i) = sign(b_i)}| / k`

    Args:
        a: Explanations `(n, ...)` by one method.
        b: Explanations of the same examples by another, same shape.
        k: Number of features.

    Returns:
        `(n,)` from 0 to 1; NaN where the magnitudes of either are all equal.

    Raises:
        ValueError: The shapes differ, or k is out of range.

    Example:
        >>> sign_agreement([[3.0, 2.0, 1.0]], [[-3.0, 2.0, 1.0]], k=2)
        array([0.5])

    References:
        S. Krishna et al., "The disagreement problem in explainable machine learning: a
        practitioner's perspective", TMLR 2024, https://arxiv.org/abs/2202.01602
    """

    def shared(u: Floats, v: Floats, a: _Places, b: _Places) -> Floats:
        among = (np.clip((k - p.first) / p.size, 0.0, 1.0) for p in (a, b))
        return np.where(np.sign(u) == np.sign(v), np.minimum(*among), 0.0)

    return _agreement(a, b, k, shared)


def rank_agreement(a: npt.ArrayLike, b: npt.ArrayLike, k: int) -> Floats:
    """Return the share of the k strongest features that stand in the same place for two methods.

    `|{i in top_k(a) & top_k(b): rank_a(i) = rank_b(i)}| / k` by magnitude. Tied features share
    their places evenly.

    Args:
        a: Explanations `(n, ...)` by one method.
        b: Explanations of the same examples by another, same shape.
        k: Number of features.

    Returns:
        `(n,)` from 0 to 1; NaN where the magnitudes of either are all equal.

    Raises:
        ValueError: The shapes differ, or k is out of range.

    Example:
        >>> rank_agreement([[3.0, 2.0, 1.0, 0.0]], [[3.0, 1.0, 2.0, 0.0]], k=3).round(4)
        array([0.3333])

    References:
        S. Krishna et al., "The disagreement problem in explainable machine learning: a
        practitioner's perspective", TMLR 2024, https://arxiv.org/abs/2202.01602
    """

    def shared(u: Floats, v: Floats, a: _Places, b: _Places) -> Floats:
        end = np.minimum(np.minimum(a.last, b.last), k - 1)
        common = np.maximum(end - np.maximum(a.first, b.first) + 1, 0)
        return np.asarray(common / np.maximum(a.size, b.size))

    return _agreement(a, b, k, shared)


# --- against the model --------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A sampled measure with its Monte-Carlo standard error.

    Attributes:
        value: `(n,)`.
        stderr: `(n,)`; NaN where the value is, and for a single sample.
    """

    value: Floats
    stderr: Floats


@dataclass(frozen=True)
class Curve:
    """The target while the input is taken away, or put back, unit by unit.

    Attributes:
        fraction: `(s,)` share of the units changed so far, from 0 to 1.
        score: `(n, s)` the target there.
        auc: `(n,)` area under `score` over `fraction`, in units of the target.
        normalised: `(n,)` area with the target rescaled so that the whole input has 1 and the
            baseline 0; NaN where both have the same target.
        random: `(n,)` mean `auc` over random orders: what an order that knows nothing reaches.
        random_stderr: `(n,)` standard error of that mean; NaN for fewer than two orders.
    """

    fraction: Floats
    score: Floats
    auc: Floats
    normalised: Floats
    random: Floats
    random_stderr: Floats


@dataclass(frozen=True)
class Randomisation:
    """What is left of an explanation when the model's weights are randomised from the top down.

    Attributes:
        layers: Names of the layers from the output to the input; row i of the measures has the
            layers 0..i randomised.
        spearman: `(l, n)` rank correlation of the signed values with those of the real model.
        spearman_magnitude: `(l, n)` the same of the magnitudes.
        ssim: `(l, n)` structural similarity of the signed maps; NaN for what is no image.
        ssim_magnitude: `(l, n)` the same of the magnitudes.
    """

    layers: tuple[str, ...]
    spearman: Floats
    spearman_magnitude: Floats
    ssim: Floats
    ssim_magnitude: Floats


class scorer:  # noqa: N801
    """Compile the target of a model once, for all measures of this module and all epochs.

    `score(x, y) -> (n,)` float64. Rows pass through the model in chunks of one size, so that it is
    traced once; weights are read at each call. The model is never changed.

    Args:
        model: Built Keras model of any kind.
        target: What is explained, see `tb_xai.targets`.
        batch_size: Rows that pass through the model at once.

    Raises:
        TypeError: Not a Keras model, or not a callable target.
        ValueError: The model is not built, or `batch_size` is below 1.

    Example:
        >>> score = scorer(model, log_odds)
        >>> deletion(explain(x, y).values, score, x, y).auc
    """

    def __init__(self, model: Any, target: Target = log_odds, batch_size: int = BATCH_SIZE) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1. Received: batch_size={batch_size}")
        self.model, self.target, self.batch_size = model, target, batch_size
        self._score = targets.bind(model, target)

    def __call__(self, x: Any, y: Any = None) -> Floats:
        """Return the target of each row."""
        inputs = check_inputs(self.model, x)
        y = self._score.labels(y, inputs.n, inputs.pack(list(inputs.leaves)))
        found = []
        for start in range(0, inputs.n, self.batch_size):
            rows = np.minimum(np.arange(start, start + self.batch_size), inputs.n - 1)
            labels = None if y is None else keras.tree.map_structure(lambda a, r=rows: a[r], y)
            scores, _ = self._score(inputs.pack([leaf[rows] for leaf in inputs.leaves]), labels)
            found.append(np.asarray(scores, np.float64)[: inputs.n - start])
        return np.concatenate(found)


def infidelity(
    values: Any,
    model: Any,
    x: Any,
    y: Any = None,
    *,
    target: Target = log_odds,
    baseline: Any = None,
    stdev: float = 0.2,
    relative: bool = True,
    n_samples: int = 16,
    seed: int = 0,
) -> Estimate:
    """Return how far an explanation is from predicting what perturbations do to the target.

    `E_I (sum_i I_i phi_i - (f(x) - f(x - I)))^2` with normal I.

    Args:
        values: Explanations in the structure and shape of `x`: slopes, in units of the target per
            unit of the input (`saliency`, `smooth_grad`), or contributions if `baseline` is given.
        model: Keras model, or a scorer of it.
        x: Inputs `(n, ...)` of floating point, or a structure of them.
        y: Labels.
        target: What was explained, if a model is given.
        baseline: None for slopes. For contributions (`integrated_gradients`, Shapley values) the
            baseline they are relative to; `phi_i = a_i / (x_i - b_i)`, 0 where `x_i = b_i`.
        stdev: Standard deviation of I.
        relative: Whether `stdev` is a share of each example's range or in units of the input.
        n_samples: Perturbations per example.
        seed: Seed of the perturbations; the same seed gives the same ones at every step.

    Returns:
        `Estimate`, in squared units of the target, 0 is best; NaN where the explanation is not
        finite, and where nothing is perturbed because the input is constant.

    Raises:
        ValueError: The values do not fit x, x is not floating point, or a setting is out of range.

    Example:
        >>> infidelity(saliency()(model)(x, y).values, model, x, y).value

    References:
        C.-K. Yeh et al., "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019,
        https://arxiv.org/abs/1901.09392
    """
    _positive(n_samples=n_samples, stdev=stdev)
    score = _scorer(model, target)
    leaves, pack = _open(x)
    parts, fine = _finite(_values(values, leaves, exact=True))
    n = len(leaves[0])
    spans = {
        i: _span(leaves[i]) if relative else np.ones((n,) + (1,) * (leaves[i].ndim - 1))
        for i in parts
    }
    fine &= np.any([span.ravel() > 0 for span in spans.values()], axis=0)
    slopes = dict(parts)
    if baseline is not None:
        base = _baseline(baseline, x, leaves)
        slopes = {i: _divide(a, leaves[i] - base[i], 0.0) for i, a in parts.items()}
    rng = np.random.default_rng(seed)
    foreseen: list[Floats] = []

    def perturbed() -> Iterator[Any]:
        for _ in range(n_samples):
            moved, total = list(leaves), np.zeros(n)
            for i, span in spans.items():
                noise = stdev * span * rng.standard_normal(leaves[i].shape)
                moved[i] = (leaves[i] - noise).astype(leaves[i].dtype)
                # What was really taken away, after rounding to the type of the input.
                taken = leaves[i].astype(np.float64) - moved[i]
                total += (taken * slopes[i]).reshape(n, -1).sum(axis=1)
            foreseen.append(total)
            yield pack(moved)

    after = _evaluate(score, perturbed(), y, n)
    before = _evaluate(score, [pack(list(leaves))], y, n)
    error = (np.stack(foreseen, axis=1) - (before - after)) ** 2
    error[~fine] = np.nan
    stderr = error.std(axis=1, ddof=1) / np.sqrt(n_samples) if n_samples > 1 else np.full(n, np.nan)
    return Estimate(error.mean(axis=1), stderr)


def max_sensitivity(
    explain: Explain,
    x: Any,
    y: Any = None,
    *,
    radius: float = 0.02,
    n_samples: int = 4,
    seed: int = 0,
) -> Floats:
    """Return the largest relative change of an explanation in a small neighbourhood of the input.

    `max_r ||phi(x + r) - phi(x)|| / ||phi(x)||` over r uniform in
    `[-radius, radius]` times the range of the example, in the Euclidean norm.

    Args:
        explain: Bound method, `explain(x, y) -> Attribution`.
        x: Inputs `(n, ...)`, or a structure of them; inputs that are not floating point stay.
        y: Labels.
        radius: Half width of the neighbourhood, as a share of each example's range.
        n_samples: Neighbours per example; each costs one explanation. The maximum grows with it.
        seed: Seed of the neighbours; the same seed gives the same ones at every step.

    Returns:
        `(n,)`, 0 is best; NaN where the explanation is all zero or not finite.

    Raises:
        ValueError: A setting is out of range.

    Example:
        >>> max_sensitivity(saliency()(model), x, y)

    References:
        C.-K. Yeh et al., "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019,
        https://arxiv.org/abs/1901.09392

    Differs from the paper: divided by the norm of the explanation, as in its experiments, so that
    steps can be compared; a sampled maximum is a lower bound.
    """
    _positive(radius=radius, n_samples=n_samples)
    leaves, pack = _open(x)
    rng = np.random.default_rng(seed)

    def flat(inputs: Any) -> Floats:
        kept = [v for v in keras.tree.flatten(explain(inputs, y).values) if v is not None]
        return np.concatenate([_flat(v) for v in kept], axis=1)

    here = flat(x)
    worst = np.zeros(len(here))
    for _ in range(n_samples):
        near = [
            (leaf + radius * _span(leaf) * rng.uniform(-1, 1, leaf.shape)).astype(leaf.dtype)
            if leaf.dtype.kind == "f"
            else leaf
            for leaf in leaves
        ]
        with np.errstate(invalid="ignore"):
            change = flat(pack(near)) - here
        worst = np.maximum(worst, _norm(change))
    return _divide(worst, _norm(here))


def deletion(
    values: Any,
    model: Any,
    x: Any,
    y: Any = None,
    *,
    target: Target = log_odds,
    baseline: Any = 0.0,
    n_steps: int = 16,
    n_random: int = 2,
    seed: int = 0,
) -> Curve:
    """Take the input away, the most important units first, and watch the target fall.

    `auc = integral_0^1 f(x without the share t of units of highest value) dt`, by trapezoids.

    Args:
        values: Explanations, signed, with one value per element or per unit of `x`.
        model: Keras model, or a scorer of it.
        x: Inputs `(n, ...)`, or a structure of them; the units of all inputs form one order.
        y: Labels.
        target: What was explained, if a model is given.
        baseline: What stands in the place of what is taken away: a number, an array that
            broadcasts to `x`, or a structure of them like `x`.
        n_steps: Equal steps; all units one by one if there are fewer.
        n_random: Random orders for the reference; each costs as much as the curve itself.
        seed: Seed of the random orders, and of the order of tied values.

    Returns:
        `Curve`; a good explanation has a small area, below that of random orders. NaN where the
        explanation is constant or not finite: it gives no order.

    Raises:
        ValueError: The values do not fit x, or a setting is out of range.

    Example:
        >>> curve = deletion(explain(x, y).values, model, x, y)
        >>> curve.auc < curve.random

    References:
        V. Petsiuk, A. Das and K. Saenko, "RISE: randomized input sampling for explanation of
        black-box models", BMVC 2018, https://arxiv.org/abs/1806.07421

    Differs from the paper: the target is the log-odds unless said otherwise, and a random-order
    reference is reported beside it.
    """
    return _curve(values, model, x, y, target, baseline, n_steps, n_random, seed, put_back=False)


def insertion(
    values: Any,
    model: Any,
    x: Any,
    y: Any = None,
    *,
    target: Target = log_odds,
    baseline: Any = 0.0,
    n_steps: int = 16,
    n_random: int = 2,
    seed: int = 0,
) -> Curve:
    """Put the input back into the baseline, the most important units first.

    `auc = integral_0^1 f(b with the share t of units of highest value of x) dt`, by trapezoids.
    For an additive model, the areas of deletion and insertion add up to `f(x) + f(b)`.

    Args:
        values: Explanations, signed, with one value per element or per unit of `x`.
        model: Keras model, or a scorer of it.
        x: Inputs `(n, ...)`, or a structure of them; the units of all inputs form one order.
        y: Labels.
        target: What was explained, if a model is given.
        baseline: Where the curve starts: a number, an array that broadcasts to `x` (a blurred
            picture, as in the paper), or a structure of them like `x`.
        n_steps: Equal steps; all units one by one if there are fewer.
        n_random: Random orders for the reference; each costs as much as the curve itself.
        seed: Seed of the random orders, and of the order of tied values.

    Returns:
        `Curve`; a good explanation has a large area, above that of random orders. NaN where the
        explanation is constant or not finite: it gives no order.

    Raises:
        ValueError: The values do not fit x, or a setting is out of range.

    Example:
        >>> curve = insertion(explain(x, y).values, model, x, y)
        >>> curve.auc > curve.random

    References:
        V. Petsiuk, A. Das and K. Saenko, "RISE: randomized input sampling for explanation of
        black-box models", BMVC 2018, https://arxiv.org/abs/1806.07421
    """
    return _curve(values, model, x, y, target, baseline, n_steps, n_random, seed, put_back=True)


def faithfulness_correlation(
    values: Any,
    model: Any,
    x: Any,
    y: Any = None,
    *,
    target: Target = log_odds,
    baseline: Any = 0.0,
    share: float = 0.2,
    n_samples: int = 32,
    seed: int = 0,
) -> Estimate:
    """Return whether the sum of values over a subset foretells the effect of removing it.

    `corr_S(sum_{i in S} a_i, f(x) - f(x with x_S <- b_S))` over random subsets S of one size.

    Args:
        values: Contributions, signed, with one value per element or per unit of `x`.
        model: Keras model, or a scorer of it.
        x: Inputs `(n, ...)`, or a structure of them.
        y: Labels.
        target: What was explained, if a model is given.
        baseline: What stands in the place of what is removed: a number, an array that broadcasts
            to `x`, or a structure of them like `x`.
        share: Size of the subsets as a share of the units, at least one unit.
        n_samples: Subsets per example, at least 3.
        seed: Seed of the subsets; the same seed gives the same ones at every step.

    Returns:
        `Estimate` from -1 to 1 (best), with the large-sample standard error
        `(1 - r^2) / sqrt(n_samples - 1)`; NaN where the sums or the effects do not vary.

    Raises:
        ValueError: The values do not fit x, or a setting is out of range.

    Example:
        >>> faithfulness_correlation(explain(x, y).values, model, x, y).value

    References:
        U. Bhatt, A. Weller and J. M. F. Moura, "Evaluating and aggregating feature-based model
        explanations", IJCAI 2020, https://arxiv.org/abs/2005.00631
    """
    _positive(share=share, n_samples=n_samples - 2)
    score = _scorer(model, target)
    units = _Units(values, x)
    other = _baseline(baseline, x, units.leaves)
    size = min(max(1, round(share * units.values.shape[1])), units.values.shape[1])
    rng = np.random.default_rng(seed)
    sums: list[Floats] = []

    def removed() -> Iterator[Any]:
        for _ in range(n_samples):
            places = np.argsort(rng.random(units.values.shape), axis=1)
            gone = places < size
            sums.append(np.where(gone, units.values, 0.0).sum(axis=1))
            yield units.replace(gone, other)

    after = _evaluate(score, removed(), y, units.n)
    before = _evaluate(score, [units.pack(list(units.leaves))], y, units.n)
    u, v = np.stack(sums, axis=1), before - after
    # A map whose sums differ by rounding alone foretells nothing.
    fine = units.fine & (np.ptp(u, axis=1) > 1e-9 * np.abs(units.values).sum(axis=1))
    fine &= np.ptp(v, axis=1) > 1e-6 * np.abs(before[:, 0])
    u, v = u - u.mean(axis=1, keepdims=True), v - v.mean(axis=1, keepdims=True)
    r = _divide((u * v).sum(axis=1), _norm(u) * _norm(v))
    r = np.where(fine, np.clip(r, -1.0, 1.0), np.nan)
    return Estimate(r, (1 - r**2) / np.sqrt(n_samples - 1))


def parameter_randomisation(
    method: Binder,
    model: Any,
    x: Any,
    y: Any = None,
    *,
    target: Target = log_odds,
    batch_size: int | None = None,
    seed: int = 0,
) -> Randomisation:
    """Randomise a model layer by layer from the output down, and see what of the explanation stays.

    An explanation that stays the same when the weights are random does not explain them. All of it
    happens on copies of the weights; the model, of whatever kind, is not touched. Kernels are drawn
    from a normal distribution with mean 0 and the mean square of the kernel; vectors (biases,
    statistics of normalisation) are permuted.

    Args:
        method: Method to check, such as `saliency()`.
        model: Built Keras model of any kind.
        x: Inputs `(n, ...)`, or a structure of them.
        y: Labels.
        target: What is explained.
        batch_size: Perturbed rows that pass through the model at once.
        seed: Seed of the random weights.

    Returns:
        `Randomisation`, near 0 for an explanation that depends on the weights. Costs one
        explanation per layer.

    Raises:
        ValueError: The model has no weights.

    Example:
        >>> parameter_randomisation(saliency(), model, x, y).spearman.mean(axis=1)

    References:
        J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018,
        https://arxiv.org/abs/1810.03292

    Differs from the paper: weights are drawn at the scale of the trained ones, not by the layers'
    initialisers, so that the test asks for their values and not for their size.
    """
    copy = _Copy(model)
    if not copy.groups:
        raise ValueError(f"model must have weights. Received: {model.name!r} without any")
    explain = method(copy, target, batch_size)
    leaves, _ = _open(x)
    real = keras.tree.flatten(explain(x, y).values)
    rng = np.random.default_rng(seed)
    rows: list[list[Floats]] = []
    for _, group in reversed(copy.groups):
        for weight in group:
            old = np.asarray(weight)
            if old.dtype.kind == "f" or "float" in str(weight.dtype):
                old = old.astype(np.float64)
                if old.ndim >= 2:
                    new = np.sqrt(np.mean(old**2)) * rng.standard_normal(old.shape)
                else:
                    new = rng.permutation(old.ravel()).reshape(old.shape)
                weight.assign(new)
        found = keras.tree.flatten(explain(x, y).values)
        kept = [
            (a, b, leaf) for a, b, leaf in zip(real, found, leaves, strict=True) if a is not None
        ]
        rows.append(_similarity(kept))
    table = np.array(rows).transpose(1, 0, 2)
    return Randomisation(tuple(name for name, _ in reversed(copy.groups)), *table)


_FORM = ("inputs", "outputs", "input_names", "output_names", "_inputs_struct", "_outputs_struct")


class _Copy(keras.Model):  # type: ignore[misc]
    """A model on copies of another's weights: the other's code runs, its variables are not read."""

    def __init__(self, model: Any) -> None:
        super().__init__(name=f"copy_of_{model.name}", dtype=model.dtype_policy)
        self.original = model
        self.copies = [
            keras.Variable(np.asarray(v), dtype=v.dtype, trainable=v.trainable, name=v.name)
            for v in model.weights
        ]
        self.groups: list[tuple[str, list[Any]]] = []
        for v, own in zip(model.weights, self.copies, strict=True):
            name = v.path.rpartition("/")[0] or v.path
            if not self.groups or self.groups[-1][0] != name:
                self.groups.append((name, []))
            self.groups[-1][1].append(own)
        self.built = True

    def call(self, x: Any) -> Any:
        mapping = list(zip(self.original.weights, (own.value for own in self.copies), strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return self.original(x, training=False)

    def __getattr__(self, name: str) -> Any:
        # The form of inputs and outputs is that of the original.
        if name in _FORM:
            return getattr(self.original, name, None)
        raise AttributeError(name)


# --- shared -------------------------------------------------------------------------------------


def _flat(values: npt.ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim < 2 or 0 in array.shape[1:]:
        raise ValueError(
            f"values must have examples first, shape (n, ...). Received: shape {array.shape}"
        )
    return array.reshape(len(array), math.prod(array.shape[1:]))


def _divide(a: Any, b: Any, otherwise: float = np.nan) -> Floats:
    """Return a / b, `otherwise` where b is zero, NaN where either is not finite."""
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    fine = np.isfinite(a) & np.isfinite(b)
    result = np.where(fine, otherwise, np.nan)
    return np.asarray(np.divide(a, b, out=result, where=fine & (b != 0)))


def _norm(flat: Floats) -> Floats:
    """Euclidean norm of each row, without overflow on the way."""
    with np.errstate(invalid="ignore"):
        top = np.abs(flat).max(axis=1, keepdims=True)
        scaled = np.divide(flat, top, out=np.zeros_like(flat), where=top > 0)
        norm = top[:, 0] * np.sqrt((scaled**2).sum(axis=1))
    return np.where(np.isfinite(top[:, 0]), norm, np.nan)


def _shares(flat: Floats) -> Floats:
    """Magnitudes that add up to 1; NaN throughout where they cannot."""
    magnitude = np.abs(flat)
    top = magnitude.max(axis=1, keepdims=True)
    scaled = _divide(magnitude, top)
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def _ranked(magnitude: Floats, *, zero_only: bool = False) -> Bools:
    """Which rows are finite and not all equal (not all zero)."""
    low, high = magnitude.min(axis=1), magnitude.max(axis=1)
    return np.asarray(np.isfinite(high) & (high > (0 if zero_only else low)))


def _masked(values: npt.ArrayLike, mask: npt.ArrayLike) -> tuple[Floats, Bools]:
    """Magnitudes and mask as `(n, places)`."""
    magnitude = np.abs(np.asarray(values, np.float64))
    _flat(magnitude)
    inside = np.asarray(mask)
    if inside.dtype != np.bool_ and not np.isin(inside, (0, 1)).all():
        raise ValueError(
            f"mask must hold booleans, or 0 and 1. Received: {inside[~np.isin(inside, (0, 1))][0]}"
        )
    if inside.ndim == magnitude.ndim - 1 and magnitude.ndim > 2:
        inside = inside[..., None]
    pool = magnitude.ndim > 2 and inside.shape[-1:] == (1,)
    if pool:
        magnitude = magnitude.sum(axis=-1, keepdims=True)
    n = len(magnitude)
    if inside.shape not in (magnitude.shape, (1, *magnitude.shape[1:])):
        raise ValueError(
            "mask must have the shape of values, with or without its last axis, and one or all "
            f"examples first. Received: mask {np.shape(mask)} for values {np.shape(values)}"
        )
    inside = np.broadcast_to(inside.astype(np.bool_), magnitude.shape)
    return magnitude.reshape(n, -1), inside.reshape(n, -1)


def _hits(values: npt.ArrayLike, mask: npt.ArrayLike, k: int | None) -> Floats:
    """Share of the k strongest places inside the mask; as many as it has for None."""
    magnitude, inside = _masked(values, mask)
    result = np.full(len(magnitude), np.nan)
    for i in np.flatnonzero(_ranked(magnitude) & inside.any(axis=1)):
        first, last = drift.tied_ranks(-magnitude[i])
        most = int(inside[i].sum()) if k is None else k
        chance = np.clip((most - first) / (last - first + 1), 0.0, 1.0)
        result[i] = chance[inside[i]].sum() / most
    return result


class _Places:
    """Where each feature stands by magnitude: `first..last` of `size` places, from 0."""

    def __init__(self, row: Floats) -> None:
        self.first, self.last = drift.tied_ranks(-np.abs(row))
        self.size = self.last - self.first + 1


def _agreement(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    k: int,
    shared: Callable[[Floats, Floats, _Places, _Places], Floats],
) -> Floats:
    u, v = _flat(a), _flat(b)
    if np.shape(a) != np.shape(b):
        raise ValueError(
            f"Both arrays must have the same shape. Received: {np.shape(a)} and {np.shape(b)}"
        )
    drift.check_k(k, u)
    result = np.full(len(u), np.nan)
    for i in np.flatnonzero(_ranked(np.abs(u)) & _ranked(np.abs(v))):
        result[i] = shared(u[i], v[i], _Places(u[i]), _Places(v[i])).sum() / k
    return result


def _positive(**settings: float) -> None:
    for name, setting in settings.items():
        if not setting > 0:
            raise ValueError(f"{name} must be positive. Received: {name}={setting}")


def _scorer(model: Any, target: Target) -> Score:
    if isinstance(model, keras.Layer):
        return scorer(model, target)
    if not callable(model):
        raise TypeError(f"model must be a Keras model or a scorer. Received: {model!r}")
    if target is not log_odds and target is not getattr(model, "target", None):
        raise ValueError(
            "A scorer has its own target: scorer(model, target=...). "
            f"Received: a scorer and target={targets.name(target)}"
        )
    return model  # type: ignore[no-any-return]


def _open(x: Any) -> tuple[list[np.ndarray], Callable[[list[Any]], Any]]:
    """Return the arrays of a structure and the function that puts such arrays into it."""
    if not any(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x)):
        x = np.asarray(x)
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(x)]
    return leaves, lambda parts: keras.tree.pack_sequence_as(x, parts)


def _values(values: Any, leaves: list[np.ndarray], *, exact: bool) -> dict[int, Floats]:
    """Return the values by the position of their input; inputs that were held fixed have none."""
    parts = keras.tree.flatten(values) if not isinstance(values, np.ndarray) else [values]
    if len(parts) != len(leaves) and len(leaves) == 1:
        parts = [np.asarray(values)]
    if len(parts) != len(leaves):
        raise ValueError(
            f"values must have the structure of x. Received: {len(parts)} arrays for {len(leaves)}"
        )
    found = {i: np.asarray(p, np.float64) for i, p in enumerate(parts) if p is not None}
    for i, part in found.items():
        shape = leaves[i].shape
        if exact and leaves[i].dtype.kind != "f":
            raise ValueError(
                f"x must be floating point to be perturbed. Received: dtype {leaves[i].dtype}"
            )
        smaller = (shape[:-1], (*shape[:-1], 1)) if len(shape) > 2 and not exact else ()
        if part.shape not in (shape, *smaller):
            raise ValueError(
                "values must have the shape of x (resize maps of a layer first). "
                f"Received: values {part.shape} for x {shape}"
            )
    return found


def _finite(parts: dict[int, Floats]) -> tuple[dict[int, Floats], Bools]:
    """Return the values with 0 for what is not finite, and which examples have none of it."""
    fine = np.logical_and.reduce(
        [np.isfinite(part).reshape(len(part), -1).all(axis=1) for part in parts.values()]
    )
    return {i: np.where(np.isfinite(part), part, 0.0) for i, part in parts.items()}, fine


def _baseline(baseline: Any, x: Any, leaves: list[np.ndarray]) -> list[np.ndarray]:
    parts = [baseline]
    if len(leaves) > 1:
        parts = keras.tree.flatten(baseline)
        parts = parts * len(leaves) if np.ndim(baseline) == 0 and len(parts) == 1 else parts
    if len(parts) != len(leaves):
        raise ValueError(
            "baseline must be a number or have the structure of x. "
            f"Received: {len(parts)} arrays for {len(leaves)}"
        )
    try:
        return [
            np.broadcast_to(np.asarray(part).astype(leaf.dtype), leaf.shape)
            for part, leaf in zip(parts, leaves, strict=True)
        ]
    except ValueError:
        raise ValueError(
            "baseline must broadcast to x. "
            f"Received: shapes {[np.shape(part) for part in parts]} "
            f"for {[leaf.shape for leaf in leaves]}"
        ) from None


class _Units:
    """Inputs in the units that explanations speak of, `(n, units)`, and how to swap units."""

    def __init__(self, values: Any, x: Any) -> None:
        self.leaves, self.pack = _open(x)
        self.n = len(self.leaves[0])
        self._shapes: dict[int, tuple[int, ...]] = {}
        flat = []
        parts, self.fine = _finite(_values(values, self.leaves, exact=False))
        for i, found in parts.items():
            shape = self.leaves[i].shape
            part = found.sum(axis=-1) if len(shape) > 3 and found.shape == shape else found
            pooled = part.size * shape[-1] == self.leaves[i].size and part.shape != shape
            self._shapes[i] = (*shape[:-1], 1) if pooled else shape
            flat.append(part.reshape(self.n, -1))
        self.values = np.concatenate(flat, axis=1)

    def replace(self, gone: Bools, other: list[np.ndarray]) -> Any:
        """Return x with the units that are gone taken from `other`."""
        leaves, start = list(self.leaves), 0
        for i, shape in self._shapes.items():
            end = start + int(np.prod(shape[1:]))
            leaves[i] = np.where(gone[:, start:end].reshape(shape), other[i], leaves[i])
            start = end
        return self.pack(leaves)


def _evaluate(score: Score, variants: Iterable[Any], y: Any, n: int) -> Floats:
    """Return the scores `(n, variants)`; as many variants at once as fill a batch."""
    together = max(1, getattr(score, "batch_size", BATCH_SIZE) // max(n, 1))
    variants, found = iter(variants), []
    known, pack = ([], list) if y is None else _open(y)
    while block := list(islice(variants, together)):
        stacked = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *block)
        labels = None if y is None else pack([np.concatenate([a] * len(block)) for a in known])
        scores = np.asarray(score(stacked, labels), np.float64)
        if scores.shape != (n * len(block),):
            raise ValueError(
                "A scorer must return one number per row. "
                f"Received: shape {scores.shape} for {n * len(block)} rows"
            )
        found.append(scores.reshape(len(block), n))
    return np.asarray(np.concatenate(found).T)


def _curve(
    values: Any,
    model: Any,
    x: Any,
    y: Any,
    target: Target,
    baseline: Any,
    n_steps: int,
    n_random: int,
    seed: int,
    *,
    put_back: bool,
) -> Curve:
    _positive(n_steps=n_steps, n_random=n_random + 1)
    score = _scorer(model, target)
    units = _Units(values, x)
    other = _baseline(baseline, x, units.leaves)
    m = units.values.shape[1]
    counts = np.unique(np.round(np.linspace(0, m, min(n_steps, m) + 1)).astype(np.int64))
    fraction = counts / m
    rng = np.random.default_rng(seed)
    # Tied values stand in random order: by position they would be taken from one corner.
    first = np.lexsort((rng.random(units.values.shape), -units.values), axis=-1)
    orders = [first, *(rng.random(units.values.shape).argsort(axis=1) for _ in range(n_random))]

    def variants() -> Iterator[Any]:
        yield units.replace(np.full(units.values.shape, put_back), other)
        yield units.replace(np.full(units.values.shape, not put_back), other)
        for order in orders:
            place = np.argsort(order, axis=1)
            for count in counts[1:-1]:
                yield units.replace((place < count) != put_back, other)

    found = _evaluate(score, variants(), y, units.n)
    start, end = found[:, :1], found[:, 1:2]
    inner = found[:, 2:].reshape(units.n, len(orders), len(counts) - 2)
    scores = [np.hstack([start, inner[:, i], end]) for i in range(len(orders))]
    areas = [((s[:, 1:] + s[:, :-1]) / 2) @ np.diff(fraction) for s in scores]
    reference = np.array(areas[1:]).reshape(n_random, units.n)
    full, empty = (end, start) if put_back else (start, end)
    fine = units.fine & (units.values.min(axis=1) < units.values.max(axis=1))
    auc = np.where(fine, areas[0], np.nan)
    nothing = np.full(units.n, np.nan)
    return Curve(
        fraction,
        np.where(fine[:, None], scores[0], np.nan),
        auc,
        _divide(auc - empty[:, 0], (full - empty)[:, 0]),
        reference.mean(axis=0) if n_random else nothing,
        reference.std(axis=0, ddof=1) / np.sqrt(n_random) if n_random > 1 else nothing,
    )


def _span(leaf: np.ndarray) -> Floats:
    """Range of each example, `(n, 1, ...)`."""
    axes = tuple(range(1, leaf.ndim))
    return np.asarray(leaf.max(axis=axes, keepdims=True) - leaf.min(axis=axes, keepdims=True))


def _similarity(pairs: list[tuple[Any, Any, np.ndarray]]) -> list[Floats]:
    """Spearman and SSIM of signed values and of magnitudes, over all inputs together."""
    a, b = (np.concatenate([_flat(pair[i]) for pair in pairs], axis=1) for i in range(2))
    images = [
        (np.asarray(u), np.asarray(v))
        for u, v, leaf in pairs
        if leaf.ndim == 4 and np.ndim(u) in (3, 4) and min(np.shape(u)[1:3]) > 2
    ]
    found = [drift.spearman(a, b), drift.spearman(np.abs(a), np.abs(b))]
    for change in (np.asarray, np.abs):
        maps = [drift.ssim(change(u), change(v)) for u, v in images]
        found.append(np.mean(maps, axis=0) if maps else np.full(len(a), np.nan))
    return found
