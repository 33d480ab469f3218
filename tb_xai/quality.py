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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_xai import drift, targets
from tb_xai.folding import fold
from tb_xai.gradients import BATCH_SIZE, Attribution, Binder, check_inputs
from tb_xai.targets import Target, log_odds

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Score = Callable[[Any, Any], Any]
"""The explained number: `score(x, y) -> (n,)`."""
Explain = Callable[[Any, Any], Attribution]

FEWEST_COMPARED = 3
"""Elements of which ranks are correlated with those of a random clone, at least."""

KEPT_NUMBERS = 4_000_000
"""Random numbers that are kept from one use to the next; more are drawn again."""


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
        random_normalised: `(n,)` `random`, rescaled like `normalised`.
    """

    fraction: Floats
    score: Floats
    auc: Floats
    normalised: Floats
    random: Floats
    random_stderr: Floats
    random_normalised: Floats


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

    `score(x, y) -> (n,)` float64. The compiled function takes any number of rows up to
    `batch_size`, so that it is traced once; weights are read at each call. The model is never
    changed. When a batch does not fit into memory it goes on with half the rows.

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
        self._compiled: Any = None
        self._form: Any = None

    def __call__(self, x: Any, y: Any = None) -> Floats:
        """Return the target of each row."""
        x, y = self.checked(x, y)
        return self.rows(x, y)(keras.tree.flatten(x), [] if y is None else keras.tree.flatten(y))

    def checked(self, x: Any, y: Any = None) -> tuple[Any, Any]:
        """Return inputs and labels in the types that the model takes, or refuse them."""
        inputs = check_inputs(self.model, x)
        x = inputs.pack(list(inputs.leaves))
        return x, self._score.labels(y, inputs.n, x)

    def rows(self, x: Any, y: Any = None) -> Callable[[list[np.ndarray], list[np.ndarray]], Floats]:
        """Return the function that takes the arrays of such inputs and labels, unchecked."""
        given = (x,) if y is None else (x, y)
        form = [(str(a.dtype), *a.shape[1:]) for a in keras.tree.flatten(given)]
        if form != self._form:
            self._form, self._compiled = form, self._compile(given)
        compiled = self._compiled

        def target(leaves: list[np.ndarray], labels: list[np.ndarray]) -> Floats:
            arrays = [*leaves, *labels]
            found: list[np.ndarray] = []
            start = 0
            while start < len(leaves[0]):
                end = start + self.batch_size
                try:
                    found.append(compiled(*(tf.constant(a[start:end]) for a in arrays)).numpy())
                    start = end
                except tf.errors.ResourceExhaustedError:
                    if self.batch_size == 1:
                        raise
                    self.batch_size = max(1, min(self.batch_size, len(leaves[0]) - start) // 2)
            return np.asarray(np.concatenate(found or [np.empty(0)]), np.float64)

        return target

    def _compile(self, given: Any) -> Any:
        def traced(*arrays: Any) -> Any:
            return self._score(*keras.tree.pack_sequence_as(given, list(arrays)))[0]

        specs = [
            tf.TensorSpec((None, *a.shape[1:]), tf.as_dtype(a.dtype))
            for a in keras.tree.flatten(given)
        ]
        plan = tf.function(traced, autograph=False).get_concrete_function(*specs)
        folded = fold(plan)
        if folded is None:
            return plan

        def cheaper(*arrays: Any) -> Any:
            return folded(folded.weights(), *arrays)

        return tf.function(cheaper, autograph=False).get_concrete_function(*specs)


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
    ask = _Asker(_scorer(model, target), x, y)
    parts, fine = _finite(_values(values, ask.leaves, exact=True))
    noise = _Noise(ask.leaves, parts, stdev, relative, n_samples, seed)
    slopes = parts if baseline is None else slopes_of(parts, ask.leaves, ask.baseline(baseline))
    return noise.infidelity(ask, slopes, fine, ask.as_is())


def max_sensitivity(
    explain: Explain,
    x: Any,
    y: Any = None,
    *,
    radius: float = 0.02,
    n_samples: int = 4,
    seed: int = 0,
    values: Any = None,
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
        values: The explanation of x where it is known already; None explains x.

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
    here = _whole(explain(x, y).values if values is None else values)
    worst = np.zeros(len(here))
    for _ in range(n_samples):
        near = [
            (leaf + radius * _span(leaf) * rng.uniform(-1, 1, leaf.shape)).astype(leaf.dtype)
            if leaf.dtype.kind == "f"
            else leaf
            for leaf in leaves
        ]
        with np.errstate(invalid="ignore"):
            change = _whole(explain(pack(near), y).values) - here
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
    ask = _Asker(_scorer(model, target), x, y)
    parts, fine = _finite(_values(values, ask.leaves, exact=False))
    units = _Units(ask.leaves, parts)
    subsets = _Subsets(ask.n, units.count, share, n_samples, seed)
    return subsets.correlation(
        ask, units, ask.baseline(baseline), units.flat(parts), fine, ask.as_is()
    )


class panel:  # noqa: N801
    """Judge explanations of the same examples again and again, by few passes of the model.

    Perturbations are drawn once: what moves from one explanation to the next is the model. The
    target of the examples comes with each explanation, and deletion and insertion share their
    random orders: to put units back in one order is to take them away in the reverse order.

    Args:
        score: Scorer of the model, under the target that is explained.
        x: Inputs `(n, ...)`, or a structure of them.
        y: Labels.
        baseline: What stands in the place of what is removed: a number, an array that broadcasts
            to `x`, or a structure of them like `x`.
        stdev: Standard deviation of the perturbations of `infidelity`, as a share of each example's
            range.
        n_samples: Perturbations of `infidelity` per example, each a row.
        share: Size of the subsets of `faithfulness`, as a share of the units.
        n_subsets: Subsets of `faithfulness` per example, each a row.
        n_steps: Steps of the curves; `n_steps - 1` rows each for deletion, insertion and every
            random order, and one for the baseline.
        n_random: Random orders.
        seed: Seed of all draws.

    Raises:
        ValueError: A setting is out of range, or the baseline does not fit x.

    Example:
        >>> judge = panel(scorer(model), x, y)
        >>> found = explain(x, y)
        >>> deletion, insertion = judge.curves(found.values, found.output)
    """

    def __init__(
        self,
        score: scorer,
        x: Any,
        y: Any = None,
        *,
        baseline: Any = 0.0,
        stdev: float = 0.2,
        n_samples: int = 6,
        share: float = 0.2,
        n_subsets: int = 12,
        n_steps: int = 6,
        n_random: int = 1,
        seed: int = 0,
    ) -> None:
        _positive(stdev=stdev, n_samples=n_samples, share=share, n_subsets=n_subsets - 2)
        _positive(n_steps=n_steps, n_random=n_random)
        self._ask = _Asker(score, x, y)
        self._other = self._ask.baseline(baseline)
        self._noise_settings = (stdev, True, n_samples, seed)
        self._subset_settings = (share, n_subsets, seed)
        self._order_settings = (n_steps, n_random, seed)
        self._noise: _Noise | None = None
        self._subsets: _Subsets | None = None
        self._orders: _Orders | None = None

    def infidelity(
        self, values: Any, output: npt.ArrayLike, *, contributions: bool = False
    ) -> Estimate:
        """Return `infidelity` of slopes, or of contributions relative to the baseline.

        Args:
            values: As for `infidelity`.
            output: Target of the examples, `(n,)`.
            contributions: Whether values are contributions.
        """
        parts, fine = _finite(_values(values, self._ask.leaves, exact=True))
        if self._noise is None:
            self._noise = _Noise(self._ask.leaves, parts, *self._noise_settings)
        slopes = slopes_of(parts, self._ask.leaves, self._other) if contributions else parts
        return self._noise.infidelity(self._ask, slopes, fine, np.asarray(output, np.float64))

    def faithfulness(self, values: Any, output: npt.ArrayLike) -> Estimate:
        """Return `faithfulness_correlation` of contributions; `output` is the target, `(n,)`."""
        units, flat, fine = self._units(values)
        if self._subsets is None:
            self._subsets = _Subsets(self._ask.n, units.count, *self._subset_settings)
        before = np.asarray(output, np.float64)
        return self._subsets.correlation(self._ask, units, self._other, flat, fine, before)

    def curves(self, values: Any, output: npt.ArrayLike) -> tuple[Curve, Curve]:
        """Return `deletion` and `insertion` of contributions; `output` is the target, `(n,)`."""
        units, flat, fine = self._units(values)
        if self._orders is None:
            self._orders = _Orders(self._ask.n, units.count, *self._order_settings)
        orders = self._orders
        place = orders.place(flat)
        places = np.concatenate([place, place, orders.random])
        put_back = [False, True] + [False] * len(orders.random)
        ends = np.asarray(output, np.float64), units.empty(self._ask, self._other)
        down, up, *others = orders.walk(self._ask, units, self._other, places, put_back, ends)
        random = np.array([orders.area(scores) for scores in others])
        fine = fine & _in_order(flat)
        return orders.curve(down, random, ends, fine), orders.curve(up, random, ends, fine)

    def contributions(self, slopes: Any) -> Any:
        """Return what slopes foresee of the removal of each element, `a_i (x_i - b_i)`."""
        parts, _ = _finite(_values(slopes, self._ask.leaves, exact=True))
        found: list[Any] = [None] * len(self._ask.leaves)
        for i, part in parts.items():
            found[i] = part * (self._ask.leaves[i].astype(np.float64) - self._other[i])
        return self._ask.pack(found)

    def _units(self, values: Any) -> tuple[_Units, Floats, Bools]:
        parts, fine = _finite(_values(values, self._ask.leaves, exact=False))
        units = _Units(self._ask.leaves, parts)
        return units, units.flat(parts), fine


class randomised:  # noqa: N801
    """Compare explanations with that of a clone whose weights are all random, which never changes.

    The quick form of `parameter_randomisation`: one explanation when it is made, none later.

    Args:
        method: Method to check, such as `saliency()`.
        model: Built Keras model of any kind; the weights that it has now set the scale.
        x: Inputs `(n, ...)`, or a structure of them.
        y: Labels.
        target: What is explained.
        batch_size: Perturbed rows that pass through the model at once.
        seed: Seed of the random weights.
        baseline: For methods that multiply by `x - baseline`: that baseline, a number, an array
            that broadcasts to `x`, or a structure of them. Elements that equal it have exactly 0
            whatever the weights, which would look like an agreement; they are left out. None
            compares all elements.
        explain: The method bound to `model` under `target`, where it has explained x already: its
            compiled function then explains the clone too, and nothing is traced.
        chosen: Positions of the examples to compare; None compares all.

    Raises:
        ValueError: The model has no weights, or the baseline does not fit x.

    Example:
        >>> resembles = randomised(saliency(), model, x, y)
        >>> resembles(saliency()(model)(x, y).values)

    References:
        J. Adebayo et al., "Sanity checks for saliency maps", NeurIPS 2018,
        https://arxiv.org/abs/1810.03292

    Differs from the paper: elements that equal the baseline are left out where it is given. Of
    digits on a black ground half the pixels do, which lifts the correlation of integrated gradients
    with those of random weights to 0.9.
    """

    def __init__(
        self,
        method: Binder,
        model: Any,
        x: Any,
        y: Any = None,
        *,
        target: Target = log_odds,
        batch_size: int | None = None,
        seed: int = 0,
        baseline: Any = None,
        explain: Explain | None = None,
        chosen: npt.ArrayLike | None = None,
    ) -> None:
        copy = _Copy(model)
        rng = np.random.default_rng(seed)
        for _, group in reversed(copy.groups):
            _randomise(group, rng)
        found = None if explain is None else _on_copies(explain, copy, x, y)
        if found is None:
            found = method(copy, target, batch_size)(x, y)
        self._chosen = slice(None) if chosen is None else np.asarray(chosen)
        where = None
        if baseline is not None:
            where = _moved(found.values, x, baseline)[self._chosen]
        self._ranks = _Ranks(self._of_chosen(found.values), where)

    def __call__(self, values: Any) -> Floats:
        """Return Spearman's correlation of the magnitudes with those of the clone, `(n,)`.

        Near 0 for an explanation that depends on the weights; NaN where the magnitudes of either
        are all equal or not finite, and where fewer than 3 elements are compared. `values` are
        those of all examples.
        """
        return self._ranks.spearman(self._of_chosen(values))

    def _of_chosen(self, values: Any) -> Floats:
        alone = isinstance(values, np.ndarray)
        parts = [values] if alone else [p for p in keras.tree.flatten(values) if p is not None]
        return _whole([np.asarray(part)[self._chosen] for part in parts])


def _on_copies(explain: Any, copy: _Copy, x: Any, y: Any) -> Attribution | None:
    """Return what an explain function gives on copies of the weights; None where it cannot.

    A compiled function reads weights through the handles that it captured. For one call these are
    those of the copies. That needs one plain variable for each weight, unlike on several devices.
    """
    own: dict[int, Any] = {}
    for weight, other in zip(copy.original.weights, copy.copies, strict=True):
        if hasattr(weight.value, "values"):  # a copy on each device
            return None
        own[id(weight.value.handle)] = other.value.handle
    functions = explain.functions() if hasattr(explain, "functions") else []
    before = [function.captured_inputs for function in functions]
    known = sum(id(capture) in own for captures in before for capture in captures)
    if not known:
        return None
    try:
        for function, captures in zip(functions, before, strict=True):
            function.set_external_captures([own.get(id(c), c) for c in captures])
        traced = explain.traces()
        found: Attribution = explain(x, y)
        return found if explain.traces() == traced else None  # new traces read the live weights
    finally:
        for function, captures in zip(functions, before, strict=True):
            function.set_external_captures(captures)


def _moved(values: Any, x: Any, baseline: Any) -> Bools:
    """Return which of the values stand for something that differs from the baseline, `(n, m)`."""
    leaves, _ = _open(x)
    found = []
    parts = keras.tree.flatten(values) if len(leaves) > 1 else [np.asarray(values)]
    for part, leaf, other in zip(parts, leaves, _baseline(baseline, x, leaves), strict=True):
        if part is None:
            continue
        differs = leaf != other
        if part.shape == leaf.shape[:-1]:
            differs = differs.any(axis=-1)
        elif part.shape == (*leaf.shape[:-1], 1):
            differs = differs.any(axis=-1, keepdims=True)
        elif part.shape != leaf.shape:
            differs = np.ones(part.shape, np.bool_)
        found.append(differs.reshape(len(part), -1))
    return np.concatenate(found, axis=1)


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
    explain = method(copy, target, batch_size)
    leaves, _ = _open(x)
    real = keras.tree.flatten(explain(x, y).values)
    rng = np.random.default_rng(seed)
    rows: list[list[Floats]] = []
    for _, group in reversed(copy.groups):
        _randomise(group, rng)
        found = keras.tree.flatten(explain(x, y).values)
        kept = [
            (a, b, leaf) for a, b, leaf in zip(real, found, leaves, strict=True) if a is not None
        ]
        rows.append(_similarity(kept))
    table = np.array(rows).transpose(1, 0, 2)
    return Randomisation(tuple(name for name, _ in reversed(copy.groups)), *table)


def _randomise(weights: Iterable[Any], rng: np.random.Generator) -> None:
    """Draw kernels anew at the scale they have, and permute vectors."""
    for weight in weights:
        old = np.asarray(weight)
        if old.dtype.kind == "f" or "float" in str(weight.dtype):
            old = old.astype(np.float64)
            if old.ndim >= 2:
                new = np.sqrt(np.mean(old**2)) * rng.standard_normal(old.shape)
            else:
                new = rng.permutation(old.ravel()).reshape(old.shape)
            weight.assign(new)


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
        if not self.groups:
            raise ValueError(f"model must have weights. Received: {model.name!r} without any")
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
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
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
    plain = bool(np.isfinite(top).all() and top.all())
    scaled = magnitude / top if plain else _divide(magnitude, top)
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
    parts = keras.tree.flatten(baseline)
    if len(leaves) == 1 and len(parts) > 1:
        parts = [baseline]  # a list of numbers
    elif len(leaves) > 1:
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


class _Asker:
    """Asks for the target of changed copies of the same examples, as many at once as fill a batch.

    Copies are arrays with `n` rows for each of them, one copy after the other.
    """

    def __init__(self, score: Score, x: Any, y: Any) -> None:
        self._x = x
        self.leaves, self.pack = _open(x)
        self.n = len(self.leaves[0])
        self._together = max(1, getattr(score, "batch_size", BATCH_SIZE) // max(self.n, 1))
        self._types: list[Any] = [leaf.dtype for leaf in self.leaves]
        if isinstance(score, scorer):
            x, y = score.checked(x, y)
            self._types = [leaf.dtype for leaf in keras.tree.flatten(x)]
            self._score = score.rows(x, y)
        self._labels: list[np.ndarray] = []
        if y is not None:
            self._labels, pack_labels = _open(y)
        if not isinstance(score, scorer):
            self._score = lambda leaves, labels: score(
                self.pack(leaves), None if y is None else pack_labels(labels)
            )

    def __call__(self, copies: Callable[[int, int], list[np.ndarray]], count: int) -> Floats:
        """Return the target `(n, count)` of the copies that `copies(first, last)` makes."""
        found = []
        for first in range(0, count, self._together):
            times = min(self._together, count - first)
            rows = [
                leaf.astype(kind, copy=False)
                for leaf, kind in zip(copies(first, first + times), self._types, strict=True)
            ]
            labels = [np.concatenate([a] * times) for a in self._labels]
            scores = np.asarray(self._score(rows, labels), np.float64)
            if scores.shape != (self.n * times,):
                raise ValueError(
                    "A scorer must return one number per row. "
                    f"Received: shape {scores.shape} for {self.n * times} rows"
                )
            found.append(scores.reshape(times, self.n))
        return np.concatenate(found).T if found else np.empty((self.n, 0))

    def as_is(self) -> Floats:
        """Return the target of the examples, `(n,)`."""
        return self(lambda first, last: list(self.leaves), 1)[:, 0]

    def baseline(self, baseline: Any) -> list[np.ndarray]:
        """Return a baseline in the shapes and types of the inputs."""
        return _baseline(baseline, self._x, self.leaves)


class _Noise:
    """Normal perturbations of the inputs that have values; the same ones at every use."""

    def __init__(
        self,
        leaves: list[np.ndarray],
        explained: Iterable[int],
        stdev: float,
        relative: bool,
        n_samples: int,
        seed: int,
    ) -> None:
        self._leaves, self._count, self._seed = leaves, n_samples, seed
        self._stdev = {
            i: stdev * (_span(leaves[i]) if relative else np.ones((len(leaves[i]),)))
            for i in explained
        }
        self._moves = np.any([s.ravel() > 0 for s in self._stdev.values()], axis=0)
        size = n_samples * sum(leaves[i].size for i in self._stdev)
        self._kept = self._samples(0, n_samples) if size <= KEPT_NUMBERS else None

    def _samples(self, first: int, last: int) -> tuple[list[np.ndarray], dict[int, Floats]]:
        """Return the inputs of samples `(samples, n, ...)`, and what was taken away from them."""
        moved = [np.broadcast_to(leaf, (last - first, *leaf.shape)) for leaf in self._leaves]
        taken = {}
        for i, stdev in self._stdev.items():
            leaf = self._leaves[i]
            scale = stdev.reshape(-1, *(1,) * (leaf.ndim - 1))
            draws = [np.random.default_rng([self._seed, i, s]) for s in range(first, last)]
            noise = np.stack([scale * rng.standard_normal(leaf.shape) for rng in draws])
            moved[i] = (leaf - noise).astype(leaf.dtype)
            # What was really taken away, after rounding to the type of the input.
            taken[i] = leaf.astype(np.float64) - moved[i]
        return moved, taken

    def infidelity(
        self, ask: _Asker, slopes: dict[int, Floats], fine: Bools, before: Floats
    ) -> Estimate:
        """Return the mean squared error of what the slopes foresee of the perturbations."""
        foreseen = []

        def copies(first: int, last: int) -> list[np.ndarray]:
            if self._kept is None:
                moved, taken = self._samples(first, last)
            else:
                moved = [leaf[first:last] for leaf in self._kept[0]]
                taken = {i: part[first:last] for i, part in self._kept[1].items()}
            parts = [(taken[i] * slopes[i]).reshape(last - first, ask.n, -1) for i in taken]
            foreseen.append(sum(part.sum(axis=2) for part in parts))
            return [leaf.reshape(-1, *leaf.shape[2:]) for leaf in moved]

        after = ask(copies, self._count)
        error = (np.concatenate(foreseen).T - (before[:, None] - after)) ** 2
        error[~(fine & self._moves)] = np.nan
        return Estimate(error.mean(axis=1), _stderr(error))


class _Units:
    """Inputs in the units that explanations speak of, `(n, units)`, and how to swap units."""

    def __init__(self, leaves: list[np.ndarray], parts: dict[int, Floats]) -> None:
        self._leaves, self._shapes = leaves, {}
        for i, found in parts.items():
            shape = leaves[i].shape
            pooled = found.shape != shape or len(shape) > 3
            self._shapes[i] = (*shape[1:-1], 1) if pooled else shape[1:]
        self.count = sum(math.prod(shape) for shape in self._shapes.values())

    def flat(self, parts: dict[int, Floats]) -> Floats:
        """Return the values `(n, units)`, added over the channels of a pixel."""
        flat = []
        for i, shape in self._shapes.items():
            n = len(parts[i])
            flat.append(parts[i].reshape(n, math.prod(shape), -1).sum(axis=2))
        return np.concatenate(flat, axis=1)

    def empty(self, ask: _Asker, other: list[np.ndarray]) -> Floats:
        """Return the target where all units are those of `other`, `(n,)`."""
        gone = np.ones((1, ask.n, self.count), np.bool_)
        return ask(lambda first, last: self.replace(gone, other), 1)[:, 0]

    def replace(self, gone: Bools, other: list[np.ndarray]) -> list[np.ndarray]:
        """Return copies whose units that are gone, `(copies, n, units)`, are those of `other`."""
        times, n = gone.shape[:2]
        leaves, start = [], 0
        for i, leaf in enumerate(self._leaves):
            if i in self._shapes:
                shape = self._shapes[i]
                end = start + math.prod(shape)
                swapped = gone[:, :, start:end].reshape(times, n, *shape)
                start = end
                leaves.append(np.where(swapped, other[i], leaf).reshape(-1, *leaf.shape[1:]))
            else:
                leaves.append(np.tile(leaf, (times,) + (1,) * (leaf.ndim - 1)))
        return leaves


class _Subsets:
    """Random subsets of one size of the units of each example; the same ones at every use."""

    def __init__(self, n: int, m: int, share: float, n_samples: int, seed: int) -> None:
        size = min(max(1, round(share * m)), m)
        rng = np.random.default_rng(seed)
        self.gone = np.empty((n_samples, n, m), np.bool_)
        for s in range(n_samples):
            self.gone[s] = rng.random((n, m)).argsort(axis=1) < size

    def correlation(
        self,
        ask: _Asker,
        units: _Units,
        other: list[np.ndarray],
        values: Floats,
        fine: Bools,
        before: Floats,
    ) -> Estimate:
        """Return the correlation of sums over subsets with the effect of removing them."""
        count = len(self.gone)
        after = ask(lambda a, b: units.replace(self.gone[a:b], other), count)
        u = np.einsum("snm,nm->ns", self.gone, values)
        v = before[:, None] - after
        # A map whose sums differ by rounding alone foretells nothing.
        fine = fine & (np.ptp(u, axis=1) > 1e-9 * np.abs(values).sum(axis=1))
        fine &= np.ptp(v, axis=1) > 1e-6 * np.abs(before)
        u, v = u - u.mean(axis=1, keepdims=True), v - v.mean(axis=1, keepdims=True)
        r = _divide((u * v).sum(axis=1), _norm(u) * _norm(v))
        r = np.where(fine, np.clip(r, -1.0, 1.0), np.nan)
        return Estimate(r, (1 - r**2) / np.sqrt(count - 1))


class _Orders:
    """Equal steps along orders of the units, and the random orders that curves are compared with.

    Attributes:
        fraction: Share of the units that were changed at each step.
        random: `(orders, n, m)` place of each unit in each random order.
    """

    def __init__(self, n: int, m: int, n_steps: int, n_random: int, seed: int) -> None:
        self._counts = np.unique(np.round(np.linspace(0, m, min(n_steps, m) + 1)).astype(np.int64))
        self.fraction = self._counts / m
        rng = np.random.default_rng(seed)
        # Tied values stand in random order: by position they would be taken from one corner.
        self._ties = rng.random((n, m))
        orders = [rng.random((n, m)).argsort(axis=1) for _ in range(n_random)]
        self.random = np.array(orders, np.int64).reshape(n_random, n, m)

    def place(self, values: Floats) -> npt.NDArray[np.int64]:
        """Return the place of each unit by descending value, `(1, n, m)`."""
        order = np.lexsort((self._ties, -values), axis=-1)
        place = np.empty_like(order)
        np.put_along_axis(place, order, np.arange(order.shape[1])[None], axis=1)
        return place[None]

    def walk(
        self,
        ask: _Asker,
        units: _Units,
        other: list[np.ndarray],
        places: npt.NDArray[np.int64],
        put_back: Sequence[bool],
        ends: tuple[Floats, Floats],
    ) -> list[Floats]:
        """Return the target along each order, `(n, steps)`.

        Args:
            ask: Asks the model.
            units: Units of the inputs.
            other: Baseline.
            places: `(orders, n, m)`.
            put_back: Of each order, whether units are put into the baseline or taken out of x.
            ends: The target of the whole inputs and of the baseline, each `(n,)`.
        """
        inner = self._counts[1:-1]
        back = np.array(put_back)

        def copies(first: int, last: int) -> list[np.ndarray]:
            order, step = np.divmod(np.arange(first, last), len(inner))
            gone = places[order] < inner[step][:, None, None]
            return units.replace(gone != back[order][:, None, None], other)

        found = ask(copies, len(places) * len(inner)).reshape(ask.n, len(places), len(inner))
        full, empty = (end[:, None] for end in ends)
        return [
            np.hstack([empty, found[:, i], full] if up else [full, found[:, i], empty])
            for i, up in enumerate(put_back)
        ]

    def area(self, scores: Floats) -> Floats:
        """Return the area under scores `(n, steps)` by trapezoids."""
        return np.asarray((scores[:, 1:] + scores[:, :-1]) / 2 @ np.diff(self.fraction))

    def curve(
        self, scores: Floats, random: Floats, ends: tuple[Floats, Floats], fine: Bools
    ) -> Curve:
        """Return the curve of one order beside the areas `(r, n)` of random ones."""
        full, empty = ends
        auc = np.where(fine, self.area(scores), np.nan)
        nothing = np.full(len(auc), np.nan)
        chance = random.mean(axis=0) if len(random) else nothing
        return Curve(
            self.fraction,
            np.where(fine[:, None], scores, np.nan),
            auc,
            _divide(auc - empty, full - empty),
            chance,
            _stderr(random.T) if len(random) else nothing,
            _divide(chance - empty, full - empty),
        )


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
    ask = _Asker(_scorer(model, target), x, y)
    parts, fine = _finite(_values(values, ask.leaves, exact=False))
    units, other = _Units(ask.leaves, parts), ask.baseline(baseline)
    flat = units.flat(parts)
    orders = _Orders(ask.n, units.count, n_steps, n_random, seed)
    places = np.concatenate([orders.place(flat), orders.random])
    ends = ask.as_is(), units.empty(ask, other)
    first, *others = orders.walk(ask, units, other, places, [put_back] * len(places), ends)
    random = np.array([orders.area(scores) for scores in others]).reshape(n_random, ask.n)
    return orders.curve(first, random, ends, fine & _in_order(flat))


def _in_order(flat: Floats) -> Bools:
    """Which rows have values that differ, and so an order."""
    return np.asarray(flat.min(axis=1) < flat.max(axis=1))


def slopes_of(
    parts: dict[int, Floats], leaves: list[np.ndarray], base: list[np.ndarray]
) -> dict[int, Floats]:
    """Return contributions relative to a baseline as slopes, `a_i / (x_i - b_i)`."""
    return {i: _divide(a, leaves[i] - base[i], 0.0) for i, a in parts.items()}


def _whole(values: Any) -> Floats:
    """Return the values of all inputs together, `(n, m)`; inputs that were held fixed have none."""
    return np.concatenate([_flat(v) for v in keras.tree.flatten(values) if v is not None], axis=1)


class _Ranks:
    """Ranks of the values of each row, to be correlated with those of other values.

    All rows at once, and in the order of the other values instead of that of the features: this is
    done at every step, and of a small network an explanation costs less than a millisecond.

    Args:
        flat: Values `(n, m)`.
        where: Which of them count, `(n, m)`; None is all.
    """

    def __init__(self, flat: Floats, where: Bools | None = None) -> None:
        self._where = None if where is None or where.all() else where
        self._rows = np.arange(len(flat))[:, None]
        self._places = np.broadcast_to(np.arange(flat.shape[1], dtype=np.float32), flat.shape)
        order, ranks = self._ranked(flat)
        self._ranks = np.empty_like(ranks)
        np.put_along_axis(self._ranks, order, ranks, axis=1)

    def spearman(self, flat: Floats) -> Floats:
        """Return Spearman's correlation with other values; NaN where either gives no order."""
        order, ranks = self._ranked(flat)
        both = (ranks * self._ranks[self._rows, order]).sum(axis=1)
        return np.asarray(np.clip(both, -1.0, 1.0), np.float64)

    def _ranked(self, flat: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """Return the ascending order of magnitudes, and ranks in this order, of unit length."""
        flat, where = np.abs(flat), self._where
        n, m = flat.shape
        fine = np.isfinite(flat.max(axis=1))
        out: Any = 0
        if where is not None:  # what does not count stands below all others
            flat = np.where(where, flat, -1.0)
            out = m - where.sum(axis=1, keepdims=True)
            fine &= out[:, 0] <= m - FEWEST_COMPARED
        order = np.argsort(flat, axis=1)
        ascending = flat[self._rows, order]
        new = ascending[:, 1:] != ascending[:, :-1]
        place: Any = self._places
        if not new.all():  # tied values share the mean of their places
            edge = np.ones((n, 1), np.bool_)
            first = np.where(np.append(edge, new, axis=1), place, 0)
            last = np.where(np.append(new, edge, axis=1), place, m)[:, ::-1]
            np.maximum.accumulate(first, axis=1, out=first)
            place = (first + np.minimum.accumulate(last, axis=1)[:, ::-1]) / 2
        ranks = place - np.asarray((m - 1 + out) / 2, np.float32)
        if where is not None:
            ranks[np.arange(m) < out] = 0
        norm = np.sqrt((ranks**2).sum(axis=1, dtype=np.float64))
        norm[~(fine & (norm > 0))] = np.nan
        return order, (ranks / norm[:, None]).astype(np.float32)


def _stderr(samples: Floats) -> Floats:
    """Return the standard error of the means of samples `(n, samples)`; NaN for a single one."""
    n, count = samples.shape
    if count < 2:
        return np.full(n, np.nan)
    return np.asarray(samples.std(axis=1, ddof=1) / np.sqrt(count))


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
