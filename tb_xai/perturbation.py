"""Explanations from forward passes alone: parts of the input are removed and scored again.

Nothing here needs a gradient, so every model can be explained: trees of layers, integer ids, raw
text. *Removed* means replaced by a baseline; a *player* is a feature or a group of features that is
removed as one. All methods share one unit: ``score(x) - score(x with the part removed)``, so a
positive value supports the target.

All perturbed rows of one call run through one compiled graph, in chunks of at most ``batch_size``
rows. Random coalitions are keyed by the seed and by the example's content: the same seed gives the
same coalitions in every epoch, an example gets the same explanation alone and in a batch, and
different examples draw independently.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from tb_xai import targets
from tb_xai.folding import fold
from tb_xai.gradients import (
    BATCH_SIZE,
    Attribution,
    Binder,
    Inputs,
    _each,
    check_inputs,
    sampled,
    small_sample,
)
from tb_xai.targets import Target

Groups = Sequence[Any] | Mapping[str, Any] | np.ndarray | None
"""Features that are removed as one: a sequence of index groups, a dictionary name -> indices, or an
integer array of the shape of one example (without its channels, too) whose entries number the
groups, negative for held features. Indices are positions in the flattened example (all explained
inputs one after the other), slices, or the name of a whole input. Features in no group are held and
get 0. Every member of a group carries the value of its whole group."""

EXACT_PLAYERS = 12
"""Most players for whom all coalitions are evaluated by default."""


@dataclass(frozen=True)
class PlayerAttribution(Attribution):
    """An attribution to players, which `values` repeats for every feature that a player owns.

    Attributes:
        players: (n, p) value of each player, float32; None for methods without players.
        players_stderr: (n, p) Monte-Carlo standard errors, for sampled methods.
        names: name of each player, "" for none.
        words: (n, p) the words that `values` belong to, for raw text; "" beyond a text's end.
        r2: (n,) weighted coefficient of determination of the surrogate, for `lime`.
    """

    players: np.ndarray | None = None
    players_stderr: np.ndarray | None = None
    names: tuple[str, ...] = ()
    words: np.ndarray | None = None
    r2: np.ndarray | None = None


# --- one part at a time ---------------------------------------------------------------------------


def occlusion(
    window: Any,
    stride: Any = None,
    value: Any = 0.0,
    *,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    r"""Explain by sliding a window that hides part of the input.

    ``a_i = mean over the windows W that cover i of f(x) - f(x with W replaced)``

    Windows step by ``stride`` from the start of each axis; where the last one would not end at the
    border, one more that does is added, so that every window has full size and every position is
    covered.

    Args:
        window: length of the window: a number for every axis, or one per axis. All axes of the
            example but the last (channels, hidden together) count when it has more than one; a
            tuple with one entry per axis covers the last axis, too. For several inputs, a
            dictionary by input.
        stride: step of the window, at most ``window``, in the same form; None steps by the window
            itself.
        value: what stands in the window: a number, an array that broadcasts to one example, "mean"
            (of each channel of the example), "blur" (the example under a Gaussian of half a
            window), or rows (m, ...) whose scores are averaged. For token ids an id, for raw text a
            word ("" for none).
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None
            explains all.

    Returns:
        A binder. Values are signed, in units of the target, the same for all channels of a
        position; positive where hiding the window lowers the target. They do not add up to
        anything.

    Raises:
        ValueError: a window larger than the input or below 1, or a stride that would leave gaps.

    Example:
        >>> explain = occlusion(window=4, stride=2, value="mean")(model)
        >>> explain(x, y).values.shape == x.shape
        True

    References:
        Zeiler, Fergus. Visualizing and Understanding Convolutional Networks.
        https://arxiv.org/abs/1311.2901, 2013.

    Differs from the paper: the drop of the score is kept instead of the score, and overlapping
    windows are averaged.
    """
    params = {"window": _said(window), "stride": _said(stride), "value": _said(value)}

    def plan(inputs_: Inputs, text: list[bool]) -> _Plan:
        windows = inputs_.spread(window, "window")
        strides = inputs_.spread(stride, "stride")
        names = [inputs_.names[i] for i in inputs_.explained]
        leaves = [inputs_.leaves[i] for i in inputs_.explained]
        covers = [
            _covers(leaf.shape[1:], w, s, name)
            for leaf, w, s, name in zip(leaves, windows, strides, names, strict=True)
        ]
        counts = [math.prod(len(c) for c in cover) for cover in covers]

        def keep(tables: list[Any], i: Any, s: Any) -> list[Any]:
            masks, first = [], 0
            for cover, count, leaf in zip(covers, counts, leaves, strict=True):
                masks.append(~_window(cover, s - first, count, leaf.ndim - 1))
                first += count
            return masks

        def estimate(v: np.ndarray, output: np.ndarray, sums: list[np.ndarray]) -> _Estimate:
            drops = np.split(output[:, None] - v, np.cumsum(counts)[:-1], axis=1)
            values = [
                _average(drop, cover, leaf.shape)
                for drop, cover, leaf in zip(drops, covers, leaves, strict=True)
            ]
            return _Estimate(values=values)

        widths = [_widths(leaf.shape[1:], w) for leaf, w in zip(leaves, windows, strict=True)]
        fill = _replacements(inputs_, value, "value", [[w / 2 for w in ws] for ws in widths], text)
        return _Plan(fill, [], sum(counts), keep, estimate)

    return replace(_binder("occlusion", params, inputs, plan), baseline=value)


def feature_ablation(
    baseline: Any = 0.0,
    groups: Groups = None,
    *,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    r"""Explain by replacing one player at a time.

    ``a_g = f(x) - f(x with group g at the baseline)``

    Args:
        baseline: what counts as removed: a number, an array of the shape of one example, "mean" (of
            each channel of the example), "blur" (the example under a Gaussian of an eighth of each
            axis), a structure of these like ``x``, or rows (m, ...) whose scores are averaged. For
            token ids an id, for raw text a word ("" for none).
        groups: features that are removed as one, see `Groups`; None removes every feature alone.
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None
            explains all.

    Returns:
        A binder. Values are signed, in units of the target; a feature that the model does not use
        gets exactly 0.

    Raises:
        ValueError: groups that overlap or name an unknown column, or a baseline that does not fit.

    Example:
        >>> explain = feature_ablation(groups={"size": [0, 1], "colour": [2]})(model)

    References:
        Li, Monroe, Jurafsky. Understanding Neural Networks through Representation Erasure.
        https://arxiv.org/abs/1612.08220, 2016.
    """
    params = {"baseline": _said(baseline), "groups": _said_groups(groups)}

    def plan(inputs_: Inputs, text: list[bool]) -> _Plan:
        players = _players_of(inputs_, groups)
        p = players.count

        def estimate(v: np.ndarray, output: np.ndarray, sums: list[np.ndarray]) -> _Estimate:
            return _Estimate(players, output[:, None] - v)

        def coalition(tables: list[Any], i: Any, s: Any) -> Any:
            return s[:, None] != tf.range(p, dtype=s.dtype)

        fill = _replacements(inputs_, baseline, "baseline", None, text)
        return _Plan(fill, [], p, players.keep(coalition), estimate)

    return replace(_binder("feature_ablation", params, inputs, plan), baseline=baseline)


# --- random masks ---------------------------------------------------------------------------------


@sampled("n_masks")
def rise(
    n_masks: int = 1000,
    grid: int | Sequence[int] = 7,
    p: float = 0.5,
    seed: int = 0,
    *,
    baseline: Any = 0.0,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    r"""Explain by the covariance of the score with random smooth masks.

    ``a_i = Cov(f(m x + (1 - m) b), m_i) / Var(m_i)``

    A mask is a random grid of zeros and ones (one with probability p), interpolated linearly to the
    input's size and shifted at random by less than one cell. For masks of zeros and ones the
    formula is ``E[f | i kept] - E[f | i removed]``.

    Args:
        n_masks: masks per example, at least 2; a pass each.
        grid: cells along each axis (all axes but the last, channels, when there are several), or
            one number per axis.
        p: probability that a cell is kept, in (0, 1).
        seed: seed of the masks.
        baseline: what counts as removed, as in `feature_ablation`.
        inputs: name (or position) of the one input to explain; the others are held fixed.

    Returns:
        A binder. Values are signed, in units of the target: the mean drop of the score when a
        position is removed while the others are at random. ``stderr`` is their Monte-Carlo standard
        error.

    Raises:
        TypeError: an input of ids or text, which cannot be scaled by a mask.
        ValueError: arguments out of range, or several inputs to explain at once.

    Example:
        >>> explain = rise(n_masks=500, grid=7)(model)

    References:
        Petsiuk, Das, Saenko. RISE: Randomized Input Sampling for Explanation of Black-box Models.
        https://arxiv.org/abs/1806.07421, 2018.

    Differs from the paper: the score's mean is taken out and the result is divided by the mask's
    variance, so that values are signed, do not depend on a constant added to the score and have its
    unit. In expectation, the ranking is the same.
    """
    _whole("n_masks", n_masks, 2)
    _whole("seed", seed, 0)
    if not 0 < p < 1:
        raise ValueError(f"p must lie between 0 and 1. Received: p={p!r}")
    params = {
        "n_masks": n_masks,
        "grid": _said(grid),
        "p": p,
        "seed": seed,
        "baseline": _said(baseline),
    }

    def plan(inputs_: Inputs, text: list[bool]) -> _Plan:
        if len(inputs_.explained) != 1:
            raise ValueError(
                f"rise must explain one input at a time; give inputs=[...]. "
                f"Received: {[inputs_.names[i] for i in inputs_.explained]}"
            )
        leaf = inputs_.leaves[inputs_.explained[0]]
        if leaf.dtype.kind != "f":
            raise TypeError(
                "rise must scale an input of numbers; explain ids and text by lime, kernel_shap or "
                "feature_ablation. "
                f"Received: input {inputs_.names[inputs_.explained[0]]!r} of dtype {leaf.dtype}"
            )
        spatial = _spatial(leaf.shape[1:])
        cells = _per_axis(grid, len(spatial), "grid")
        for count, size in zip(cells, spatial, strict=True):
            if count > size:
                raise ValueError(
                    f"grid must not exceed the input's {size} positions. Received: grid={grid!r}"
                )
        tables = [_phases(size, count) for size, count in zip(spatial, cells, strict=True)]
        nodes = tuple(t.shape[2] for t in tables)
        variance = p * (1 - p) * math.prod(float((t**2).sum(2).mean()) for t in tables)
        keys = _keys(inputs_)
        bits, shifts = [], []
        for key in keys:
            generator = _generator(seed, key)
            bits.append(_pack(generator.random((n_masks, math.prod(nodes))) < p))
            shifts.append([generator.integers(len(t), size=n_masks) for t in tables])
        draws = [np.stack(bits), np.stack(shifts).astype(np.int32)]

        def mask(given: list[Any], i: Any, s: Any) -> Any:
            packed, shift = (tf.gather_nd(given[0], tf.stack([i, s], 1)), tf.gather(given[1], i))
            grid_ = _bits(packed, math.prod(nodes))
            m = tf.reshape(tf.cast(grid_, leaf.dtype), (-1, *nodes))
            for axis, table in enumerate(tables):
                phase = tf.gather(shift[:, axis], s, batch_dims=1)
                weight = tf.gather(tf.constant(table, leaf.dtype), phase)
                m = _interpolate(m, weight, axis)
            return m

        def keep(given: list[Any], i: Any, s: Any) -> list[Any]:
            m = mask(given, i, s)
            return [m[..., None] if leaf.ndim > 2 else m]

        def moments(masks: list[Any], scores: Any) -> list[Any]:
            m = tf.cast(tf.reshape(masks[0], (-1, math.prod(spatial))), scores.dtype) - p
            f = scores[:, None]
            fm = f * m
            return [fm, m, fm * fm, fm * m, m * m]

        def estimate(v: np.ndarray, output: np.ndarray, sums: list[np.ndarray]) -> _Estimate:
            fm, m, ffmm, fmm, mm = (s.astype(np.float64) for s in sums)
            mean = v.mean(axis=1, keepdims=True)
            first = fm - mean * m
            second = ffmm - 2 * mean * fmm + mean**2 * mm
            values = first / ((n_masks - 1) * variance)
            spread = np.maximum(second - first**2 / n_masks, 0.0) / (n_masks * (n_masks - 1))
            error = np.sqrt(spread) / variance
            shape = (len(v), *spatial, *([1] if leaf.ndim > 2 else []))
            whole = [np.broadcast_to(a.reshape(shape), leaf.shape) for a in (values, error)]
            return _Estimate(values=[whole[0]], stderr=[whole[1]])

        fill = _replacements(inputs_, baseline, "baseline", None, text)
        return _Plan(fill, draws, n_masks, keep, estimate, moments)

    return replace(_binder("rise", params, inputs, plan), baseline=baseline)


# --- Shapley values -------------------------------------------------------------------------------


@sampled("n_samples")
def kernel_shap(
    baseline: Any = 0.0,
    groups: Groups = None,
    n_samples: int | None = None,
    seed: int = 0,
    *,
    exact: bool | None = None,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    r"""Explain by Shapley values: exact for few players, by weighted least squares for many.

    ``phi_i = sum_{S without i} |S|! (p - |S| - 1)! / p! (v(S + i) - v(S))``, where ``v(S)`` is the
    score with the players outside S at the baseline (its mean over the rows of a background).

    Sampling evaluates coalitions in pairs with their complements. Sizes that the budget holds are
    enumerated, from single players upwards, the rest is drawn from the kernel's distribution, and
    the weighted least-squares problem is solved under the constraint that values add up exactly.
    Pairs cancel all interactions of even order: a model with pairwise interactions only is
    explained without error.

    Args:
        baseline: what counts as removed, as in `feature_ablation`; an array (m, ...) with m rows of
            examples is a background, which makes a coalition cost m passes.
        groups: features that are removed as one, see `Groups`; None makes every feature a player.
        n_samples: coalitions per example, at least ``2 * players + 32``; None is all of them up to
            12 players, and ``2 * players + 2048`` above. All coalitions are used as soon as
            ``n_samples`` reaches their number.
        seed: seed of the coalitions.
        exact: True enumerates all coalitions (up to 12 players), False samples, None decides by the
            number of players.
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None
            explains all.

    Returns:
        A binder. Values are signed, in units of the target, and the players' values add up to
        ``output - baseline_output``. ``stderr`` is 0 where all coalitions were evaluated; otherwise
        ``1.96 * stderr`` covers the exact value in 95 % of seeds (widened for few samples by
        Student's t); the bias of least squares over drawn pairs is below a third of it.

    Raises:
        ValueError: more players than exact values can be computed for, too few samples, or groups
            that do not fit.

    Example:
        >>> explain = kernel_shap(baseline=x_train[:50])(model)
        >>> a = explain(x, y)
        >>> np.allclose(a.values.sum(1), a.output - a.baseline_output, atol=1e-3)
        True

    References:
        Lundberg, Lee. A Unified Approach to Interpreting Model Predictions.
        https://arxiv.org/abs/1705.07874, 2017. Covert, Lee. Improving KernelSHAP: Practical Shapley
        Value Estimation via Linear Regression. https://arxiv.org/abs/2012.01536, 2021.

    Differs from the paper: sums are exact by elimination instead of a large weight, coalitions are
    always paired, and standard errors come from the residuals of the drawn pairs.
    """
    _whole("seed", seed, 0)
    if n_samples is not None:
        _whole("n_samples", n_samples, 2)
    if exact is True and n_samples is not None:
        raise ValueError(f"n_samples must be None when exact=True. Received: n_samples={n_samples}")
    params = {
        "baseline": _said(baseline),
        "groups": _said_groups(groups),
        "n_samples": n_samples,
        "seed": seed,
        "exact": exact,
    }

    def plan(inputs_: Inputs, text: list[bool]) -> _Plan:
        players = _players_of(inputs_, groups)
        p = players.count
        fill = _replacements(inputs_, baseline, "baseline", None, text)
        if exact and p > EXACT_PLAYERS:
            raise ValueError(
                f"kernel_shap must have at most {EXACT_PLAYERS} players to be exact; form groups "
                "or sample. "
                f"Received: {p} players"
            )
        few = p <= EXACT_PLAYERS and exact is not False
        if p == 1 or (few and (n_samples is None or n_samples >= 2**p)):
            return _exact(players, fill)
        budget = 2 * p + 2048 if n_samples is None else n_samples
        if budget < min(2 * p + 32, 2**p - 2):
            raise ValueError(
                f"n_samples must be at least 2 * players + 32 = {2 * p + 32}. "
                f"Received: n_samples={budget}"
            )
        return _sampled(players, fill, _pairs(p, budget // 2), seed, _keys(inputs_))

    return replace(_binder("kernel_shap", params, inputs, plan, additive=True), baseline=baseline)


@sampled("n_samples")
def shapley_sampling(
    n_samples: int = 128,
    baseline: Any = 0.0,
    groups: Groups = None,
    seed: int = 0,
    *,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    r"""Explain by Shapley values from random orders in which players join.

    ``phi_i = E[v(players up to i) - v(players before i)]`` over orders; every order is used
    forwards and backwards.

    Args:
        n_samples: orders per example, even, at least 4; each costs ``players - 1`` passes.
        baseline: what counts as removed, as in `kernel_shap`.
        groups: features that are removed as one, see `Groups`; None makes every feature a player.
        seed: seed of the orders.
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None
            explains all.

    Returns:
        A binder. Values are signed, in units of the target, unbiased, and the players' values add
        up exactly to ``output - baseline_output``; ``1.96 * stderr`` covers the exact value in 95 %
        of seeds.

    Raises:
        ValueError: an odd number of orders, or fewer than 4.

    Example:
        >>> explain = shapley_sampling(n_samples=200)(model)

    References:
        Castro, Gomez, Tejada. Polynomial calculation of the Shapley value based on sampling.
        https://doi.org/10.1016/j.cor.2008.04.004, 2009.
        Mitchell, Cooper, Frank, Holmes. Sampling Permutations for Shapley Value Estimation.
        https://arxiv.org/abs/2104.12199, 2022 (antithetic orders).
    """
    _whole("n_samples", n_samples, 4)
    _whole("seed", seed, 0)
    if n_samples % 2:
        raise ValueError(
            "n_samples must be even, because every order is used forwards and backwards. "
            f"Received: n_samples={n_samples}"
        )
    params = {
        "n_samples": n_samples,
        "baseline": _said(baseline),
        "groups": _said_groups(groups),
        "seed": seed,
    }

    def plan(inputs_: Inputs, text: list[bool]) -> _Plan:
        players = _players_of(inputs_, groups)
        fill = _replacements(inputs_, baseline, "baseline", None, text)
        if players.count == 1:
            return _exact(players, fill)
        return _orders(players, fill, n_samples // 2, seed, _keys(inputs_))

    return replace(
        _binder("shapley_sampling", params, inputs, plan, additive=True), baseline=baseline
    )


# --- local surrogates -----------------------------------------------------------------------------


@sampled("n_samples")
def lime(
    n_samples: int = 1000,
    baseline: Any = 0.0,
    groups: Groups = None,
    segments: int | Sequence[int] | None = None,
    kernel_width: float = 0.25,
    regularisation: float = 0.0,
    seed: int = 0,
    *,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    r"""Explain by a linear model of the score around the example, fitted over random removals.

    ``min over c, a of sum_s w(z_s) (v(z_s) - c - z_s . a)^2 + regularisation * |a|^2``, where each
    entry of ``z_s`` is 1 (kept) or 0 (removed) with probability 1/2, and ``w(z) = exp(-d^2 / (2
    kernel_width^2))`` with the cosine distance ``d = 1 - sqrt(kept / players)``. The intercept c is
    not penalised.

    Args:
        n_samples: random removals per example, at least ``players + 2``.
        baseline: what counts as removed, as in `feature_ablation`. For tables give the training
            mean or background rows, for images "mean" or "blur", for token ids the id of padding or
            of a mask.
        groups: features that are removed as one, see `Groups`. None: features of a table, tokens of
            a sequence, words of a text, and the segments of an image.
        segments: cells of the grid along each axis that cuts an image into segments; None is 7 for
            examples (h, w, c).
        kernel_width: width of the kernel, positive; infinity weighs all alike.
        regularisation: ridge penalty, at least 0, against the plain weighted sum of squares; 1 is
            what the lime package takes. 0 leaves coefficients unshrunk.
        seed: seed of the removals.
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None
            explains all.

    Returns:
        A binder. Values are signed coefficients in units of the target: what the surrogate loses
        when the player is removed. The attribution is a `PlayerAttribution` whose ``r2`` (n,) says
        how well the surrogate fits the model; ``stderr`` is the sampling error of the coefficients.

    Raises:
        ValueError: fewer samples than players, or arguments out of range.

    Example:
        >>> explain = lime(n_samples=500, baseline="mean", segments=8)(model)
        >>> explain(x, y).r2.shape == (len(x),)
        True

    References:
        Ribeiro, Singh, Guestrin. "Why Should I Trust You?": Explaining the Predictions of Any
        Classifier. https://arxiv.org/abs/1602.04938, 2016.

    Differs from the paper: features of a table are kept or removed as in text, not drawn from a
    normal distribution and cut into quartiles; image segments are cells of a grid; and no features
    are selected beforehand.
    """
    _whole("n_samples", n_samples, 4)
    _whole("seed", seed, 0)
    if not kernel_width > 0:
        raise ValueError(f"kernel_width must be positive. Received: kernel_width={kernel_width!r}")
    if not 0 <= regularisation < math.inf:
        raise ValueError(
            "regularisation must be a number of at least 0. "
            f"Received: regularisation={regularisation!r}"
        )
    if groups is not None and segments is not None:
        raise ValueError(
            f"segments must be None when groups are given. Received: segments={segments!r}"
        )
    params = {
        "n_samples": n_samples,
        "baseline": _said(baseline),
        "groups": _said_groups(groups),
        "segments": _said(segments),
        "kernel_width": kernel_width,
        "regularisation": regularisation,
        "seed": seed,
    }

    def plan(inputs_: Inputs, text: list[bool]) -> _Plan:
        players = _players_of(inputs_, _segmented(inputs_, segments) if groups is None else groups)
        p = players.count
        if n_samples < p + 2:
            raise ValueError(
                f"n_samples must be at least players + 2 = {p + 2}. Received: n_samples={n_samples}"
            )
        bits = np.stack(
            [_pack(_generator(seed, key).random((n_samples, p)) < 0.5) for key in _keys(inputs_)]
        )

        def coalition(tables: list[Any], i: Any, s: Any) -> Any:
            return _bits(tf.gather_nd(tables[0], tf.stack([i, s], 1)), p)

        def estimate(v: np.ndarray, output: np.ndarray, sums: list[np.ndarray]) -> _Estimate:
            values, errors, fits = [], [], []
            for packed, f in zip(bits, v, strict=True):
                z = _unpack(packed, p)
                distance = 1.0 - np.sqrt(z.sum(1) / p)
                weight = np.exp(-(distance**2) / (2.0 * kernel_width**2))
                beta, error, r2 = _ridge(z.astype(np.float64), f, weight, regularisation)
                values.append(beta)
                errors.append(error)
                fits.append(r2)
            return _Estimate(players, np.stack(values), np.stack(errors), r2=np.array(fits))

        fill = _replacements(inputs_, baseline, "baseline", None, text)
        return _Plan(fill, [bits], n_samples, players.keep(coalition), estimate)

    return replace(_binder("lime", params, inputs, plan), baseline=baseline)


def grid_segments(shape: Sequence[int], cells: int | Sequence[int]) -> np.ndarray:
    """Return segment numbers that cut an array into a grid of cells of nearly equal size.

    Args:
        shape: length of each axis, (h, w) for an image.
        cells: cells along each axis, at most its length.

    Returns:
        Integers of that shape, from 0, to be used as ``groups``.

    Raises:
        ValueError: more cells than positions.

    Example:
        >>> grid_segments((2, 4), 2)
        array([[0, 0, 1, 1],
               [2, 2, 3, 3]])
    """
    number = np.zeros(tuple(shape), np.int64)
    counts = _per_axis(cells, len(shape), "cells")
    for axis, (size, count) in enumerate(zip(shape, counts, strict=True)):
        if count > size:
            raise ValueError(
                f"cells must not exceed the axis' {size} positions. Received: cells={cells!r}"
            )
        index = np.arange(size) * count // size
        number = number * count + index.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return number


# --- binding --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Estimate:
    """What a method made of the scores: values of players, or of every input's features.

    ``empty`` (n,) is the score with all players removed, for additive methods.
    """

    players: _Players | None = None
    phi: np.ndarray | None = None
    error: np.ndarray | None = None
    values: list[np.ndarray] | None = None
    stderr: list[np.ndarray] | None = None
    r2: np.ndarray | None = None
    empty: np.ndarray | None = None


@dataclass(frozen=True)
class _Plan:
    """Which perturbed rows one call needs, and what is made of their scores.

    Attributes:
        fill: what replaces removed features of each explained input, (1, ...), (m, ...) or, with
            ``own``, (n, ...).
        tables: random draws, examples first, that ``keep`` reads.
        samples: perturbed versions of each example.
        keep: ``keep(tables, i, s)`` returns, inside the graph, one mask per explained input for
            versions s of examples i.
        estimate: ``estimate(v, output, sums)`` makes values of the scores v (n, samples) and output
            (n,).
        moments: ``moments(masks, scores)`` returns (rows, q) tensors, whose ``sums`` over the
            versions of each example ``estimate`` gets.
    """

    fill: _Fill
    tables: list[np.ndarray]
    samples: int
    keep: Callable[[list[Any], Any, Any], list[Any]]
    estimate: Callable[[np.ndarray, np.ndarray, list[np.ndarray]], _Estimate]
    moments: Callable[[list[Any], Any], list[Any]] | None = None


@dataclass(frozen=True)
class _Fill:
    """Replacements of the explained inputs; ``own`` says that each example has one of its own."""

    arrays: list[np.ndarray]
    own: list[bool]

    @property
    def rows(self) -> int:
        """Number of background rows."""
        return max([1, *(len(a) for a, own in zip(self.arrays, self.own, strict=True) if not own)])


PlanOf = Callable[[Inputs, list[bool]], _Plan]


def _binder(
    method: str,
    params: dict[str, Any],
    inputs: Sequence[str | int] | None,
    plan: PlanOf,
    *,
    additive: bool = False,
) -> Binder:
    if isinstance(inputs, (str, int)):
        inputs = [inputs]
    if inputs is not None:
        params = {**params, "inputs": list(inputs)}

    def bind(model: Any, target: Target, batch_size: int | None) -> _Explain:
        return _Explain(model, target, batch_size or BATCH_SIZE, plan, inputs, additive)

    return Binder(method, params, True, additive, bind)


class _Explain:
    """A method bound to a model: checks and estimates on the host, scores in one compiled graph."""

    def __init__(
        self,
        model: Any,
        target: Target,
        batch: int,
        plan: PlanOf,
        chosen: Sequence[str | int] | None,
        additive: bool,
    ) -> None:
        self._score = targets.bind(model, target)
        self._batch, self._plan, self._chosen, self._additive = batch, plan, chosen, additive
        self._functions: dict[Any, Any] = {}
        self._last: tuple[Any, _Plan] | None = None
        self._traces = 0

    def traces(self) -> int:
        return self._traces

    def functions(self) -> list[Any]:
        return [function for function, _ in self._functions.values()]

    def __call__(self, x: Any, y: Any = None) -> Attribution:
        targets.graph_only()
        given = check_inputs(self._score.model, x, self._chosen, text=True)
        y = self._score.labels(y, given.n, self._pack(given, given.leaves))
        inputs, text = _words(given)
        # The probe set is the same in every epoch: its coalitions are drawn once.
        mark = (_keys(inputs), [(leaf.shape, leaf.dtype) for leaf in inputs.leaves])
        if self._last is None or self._last[0] != mark:
            self._last = mark, self._plan(inputs, text)
        plan = self._last[1]
        rows = given.n * plan.fill.rows * plan.samples
        texts = [leaf for leaf, cut in zip(given.leaves, text, strict=True) if cut]
        arguments = [texts, inputs.leaves, y, plan.fill.arrays, plan.tables]
        specs = _each(_spec, arguments)
        batch = min(self._batch, rows)
        key = (
            repr(specs),
            repr(self._pack(given, list(range(len(given.leaves))))),
            (batch, plan.samples, plan.fill.rows),
        )
        if key not in self._functions:
            self._functions[key] = self._compile(given, inputs, text, plan, batch, specs)
        function, pattern = self._functions[key]
        scores, outputs, versions, sums = function(*_each(tf.convert_to_tensor, arguments))
        output = scores.numpy()
        found = plan.estimate(
            versions.numpy().astype(np.float64),
            output.astype(np.float64),
            [s.numpy() for s in sums],
        )
        prediction = tf.nest.pack_sequence_as(pattern, [o.numpy() for o in outputs])
        return self._attribution(found, inputs, text, output, prediction)

    def _pack(self, given: Inputs, leaves: list[Any]) -> Any:
        """Return flat inputs as the model takes them; a list of one input is that input."""
        single = len(getattr(self._score.model, "inputs", None) or []) == 1
        if len(leaves) == 1 and single and isinstance(given.structure, (list, tuple)):
            return leaves[0]
        return replace(given, explained=list(range(len(leaves)))).pack(leaves)

    def _attribution(
        self,
        found: _Estimate,
        inputs: Inputs,
        text: list[bool],
        output: np.ndarray,
        prediction: Any,
    ) -> Attribution:
        def packed(values: list[np.ndarray] | None) -> Any:
            if values is None:
                return None
            return inputs.pack([np.array(v, np.float32) for v in values])

        words = [inputs.leaves[i] for i in inputs.explained if text[i]]
        empty = found.empty
        if found.players is None or found.phi is None:
            return PlayerAttribution(
                values=packed(found.values),
                stderr=packed(found.stderr),
                output=output,
                prediction=prediction,
                words=words[0] if words else None,
            )
        gap = None
        if self._additive and empty is not None:
            delta = output - empty
            floor = 1e-3 * np.maximum(np.abs(output), np.abs(empty))
            scale = np.maximum(np.maximum(np.abs(delta), floor), 1e-30)
            gap = (np.abs(found.phi.sum(1) - delta) / scale).astype(output.dtype)
        error = found.error
        return PlayerAttribution(
            values=packed(found.players.spread(found.phi)),
            stderr=None if error is None else packed(found.players.spread(error)),
            output=output,
            baseline_output=None if empty is None else empty.astype(output.dtype),
            gap=gap,
            prediction=prediction,
            players=found.phi.astype(np.float32),
            players_stderr=None if error is None else error.astype(np.float32),
            names=found.players.names,
            words=words[0] if words else None,
            r2=None if found.r2 is None else found.r2.astype(np.float32),
        )

    def _compile(
        self,
        given: Inputs,
        inputs: Inputs,
        text: list[bool],
        plan: _Plan,
        batch: int,
        specs: list[Any],
    ) -> Any:
        leaf_specs = [_spec(leaf) for leaf in given.leaves]
        model = tf.function(
            lambda leaves, labels: self._score(self._pack(given, leaves), labels),
            autograph=False,
        ).get_concrete_function(leaf_specs, specs[2])
        folded = fold(model)
        self._traces += 1
        wide, pattern = model.structured_outputs[0].dtype, model.structured_outputs[1]
        kinds = [wide, *(o.dtype for o in tf.nest.flatten(pattern))]
        joins = [
            (leaf.shape[1:] if is_text else None)
            for leaf, is_text in zip(given.leaves, text, strict=True)
        ]
        versions, background, own = plan.samples, plan.fill.rows, plan.fill.own

        def forward(run: Any, leaves: list[Any], y: Any) -> tuple[Any, list[Any]]:
            n = tf.shape(leaves[0])[0]
            count = (n + batch - 1) // batch
            arrays = [tf.TensorArray(kind, count, infer_shape=False) for kind in kinds]

            def body(k: Any, arrays: list[Any]) -> tuple[Any, list[Any]]:
                part = slice(k * batch, tf.minimum((k + 1) * batch, n))
                scores, outputs = run([leaf[part] for leaf in leaves], _each(lambda t: t[part], y))
                found = [scores, *tf.nest.flatten(outputs)]
                return k + 1, [a.write(k, f) for a, f in zip(arrays, found, strict=True)]

            _, arrays = tf.while_loop(
                lambda k, _: k < count, body, [tf.constant(0), arrays], parallel_iterations=1
            )
            scores, *outputs = [a.concat() for a in arrays]
            return scores, outputs

        def perturbed(
            leaves: list[Any], fill: list[Any], tables: list[Any], i: Any, s: Any, b: Any
        ) -> tuple[list[Any], list[Any]]:
            rows = [tf.gather(leaf, i) for leaf in leaves]
            masks = plan.keep(tables, i, s)
            for position, mask, new, each in zip(inputs.explained, masks, fill, own, strict=True):
                row = rows[position]
                # A single replacement broadcasts; it needs no copy for each row.
                base = tf.gather(new, i) if each else new
                if not each and background > 1:
                    base = tf.gather(new, tf.minimum(b, tf.shape(new, b.dtype)[0] - 1))
                if mask.dtype == tf.bool:
                    rows[position] = tf.where(mask, row, base)
                else:
                    rows[position] = base + mask * (row - base)
            for position, shape in enumerate(joins):
                if shape is not None:
                    joined = tf.strings.reduce_join(rows[position], axis=1, separator=" ")
                    joined = tf.strings.strip(tf.strings.regex_replace(joined, " +", " "))
                    rows[position] = tf.reshape(joined, (batch, *shape))
            return rows, masks

        def traced(
            texts: list[Any], leaves: list[Any], y: Any, fill: list[Any], tables: list[Any]
        ) -> tuple[Any, list[Any], Any, list[Any]]:
            left = iter(texts)
            raw = [next(left) if cut else leaf for leaf, cut in zip(leaves, text, strict=True)]
            run = functools.partial(folded, folded.weights()) if folded else model
            output, outputs = forward(run, raw, y)
            n = tf.shape(raw[0], tf.int64)[0]
            each = versions * background
            total = n * each
            count = tf.cast((total + batch - 1) // batch, tf.int32)
            found = tf.TensorArray(wide, count, element_shape=(batch,))
            state: list[Any] = []
            if plan.moments is not None:
                probe = plan.keep(tables, tf.zeros([1], tf.int64), tf.zeros([1], tf.int64))
                shapes = [m.shape[1] for m in plan.moments(probe, tf.zeros([1], wide))]
                state = [tf.zeros([tf.shape(raw[0])[0], q], wide) for q in shapes]

            def body(k: Any, found: Any, state: list[Any]) -> tuple[Any, Any, list[Any]]:
                at = tf.cast(k, tf.int64) * batch + tf.range(batch, dtype=tf.int64)
                used = at < total
                at = tf.minimum(at, total - 1)
                i, s, b = at // each, (at // background) % versions, at % background
                rows, masks = perturbed(leaves, fill, tables, i, s, b)
                scores, _ = run(rows, _each(lambda t: tf.gather(t, i), y))
                if plan.moments is not None:
                    parts = plan.moments(masks, scores)
                    state = [
                        tf.tensor_scatter_nd_add(
                            whole, i[:, None], tf.where(used[:, None], tf.cast(part, wide), 0)
                        )
                        for whole, part in zip(state, parts, strict=True)
                    ]
                return k + 1, found.write(k, tf.ensure_shape(scores, (batch,))), state

            _, found, state = tf.while_loop(
                lambda k, *_: k < count, body, [tf.constant(0), found, state], parallel_iterations=1
            )
            scores = tf.reshape(found.concat()[:total], (n, versions, background))
            return output, outputs, tf.reduce_mean(scores, axis=2), state

        function = tf.function(traced, autograph=False).get_concrete_function(*specs)
        return function, pattern


def _words(given: Inputs) -> tuple[Inputs, list[bool]]:
    """Cut texts (one to an example) into words (n, t), padded with ""; say which were cut."""
    leaves, text = [], []
    for at, leaf in enumerate(given.leaves):
        cut = leaf.dtype == object and math.prod(leaf.shape[1:]) == 1 and at in given.explained
        text.append(cut)
        if not cut:
            leaves.append(leaf)
            continue
        lines = [
            (item.decode() if isinstance(item, bytes) else item).split()
            for item in leaf.reshape(-1)
        ]
        words = np.full((len(lines), max(1, *map(len, lines), 1)), "", object)
        for row, line in zip(words, lines, strict=True):
            row[: len(line)] = line
        leaves.append(words)
    return Inputs(given.structure, leaves, given.names, given.explained), text


def _keys(inputs: Inputs) -> list[int]:
    """Return a number for each example that depends on its content alone."""
    keys = []
    for row in range(inputs.n):
        key = 0
        for leaf in inputs.leaves:
            part = leaf[row]
            content = repr(part.tolist()).encode() if leaf.dtype == object else part.tobytes()
            key = zlib.crc32(content, key)
        keys.append(key)
    return keys


# --- what stands for removed ----------------------------------------------------------------------


def _replacements(
    inputs: Inputs, value: Any, what: str, sigmas: list[list[float]] | None, text: list[bool]
) -> _Fill:
    """Return what replaces removed features of each explained input."""
    single = isinstance(value, str)
    values = [value] * len(inputs.explained) if single else inputs.spread(value, what)
    arrays, own = [], []
    for order, (at, given) in enumerate(zip(inputs.explained, values, strict=True)):
        leaf, name = inputs.leaves[at], inputs.names[at]
        if isinstance(given, str) and leaf.dtype != object:
            spread = sigmas[order] if sigmas else [size / 8 for size in _spatial(leaf.shape[1:])]
            arrays.append(_from_example(leaf, given, what, name, spread))
            own.append(True)
        else:
            arrays.append(_from_value(leaf, given, what, name, text[at]))
            own.append(False)
    fill = _Fill(arrays, own)
    counts = {len(a) for a, each in zip(arrays, own, strict=True) if not each} - {1}
    if len(counts) > 1:
        raise ValueError(
            f"{what} must have the same number of background rows for each input. "
            f"Received: {sorted(counts)} rows"
        )
    return fill


def _from_example(
    leaf: np.ndarray, kind: str, what: str, name: str, sigma: list[float]
) -> np.ndarray:
    """Return the mean or a blurred copy of each example."""
    if kind not in ("mean", "blur"):
        raise ValueError(f'{what} must be a number, an array, "mean" or "blur". Received: {kind!r}')
    if leaf.dtype.kind != "f":
        raise TypeError(
            f"{what} must be an id for input {name!r}, which holds {leaf.dtype}. Received: {kind!r}"
        )
    axes = tuple(range(1, 1 + len(_spatial(leaf.shape[1:]))))
    if kind == "mean":
        mean = leaf.astype(np.float64).mean(axis=axes, keepdims=True)
        return np.ascontiguousarray(np.broadcast_to(mean.astype(leaf.dtype), leaf.shape))
    for axis, width in zip(axes, sigma, strict=True):
        places = np.arange(leaf.shape[axis])
        weight = np.exp(-0.5 * ((places[:, None] - places) / max(width, 1e-6)) ** 2)
        weight = (weight / weight.sum(1, keepdims=True)).astype(leaf.dtype)
        leaf = np.moveaxis(np.tensordot(leaf, weight, axes=(axis, 1)), -1, axis)
    return np.ascontiguousarray(leaf)


def _from_value(leaf: np.ndarray, value: Any, what: str, name: str, text: bool) -> np.ndarray:
    """Return a value as (1, ...), or rows as (m, ...), in the type of the input."""
    shape = leaf.shape[1:]
    array = np.asarray(value)
    if leaf.dtype == object:
        if array.dtype.kind not in "OSU":
            if array.ndim or array != 0 or not text:
                raise TypeError(
                    f"{what} must be text for input {name!r}. Received: {what}={value!r}"
                )
            array = np.asarray("")
        array = array.astype(object)
    else:
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"{what} must hold numbers for input {name!r}. Received: dtype {array.dtype}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{what} must be finite. Received: NaN or infinity for input {name!r}")
        if leaf.dtype.kind in "iu" and (array != np.round(array)).any():
            raise ValueError(
                f"{what} must be a whole number for input {name!r}, which holds ids. "
                f"Received: {what}={value!r}"
            )
        array = targets.narrowed(array, leaf.dtype, what)
    if array.ndim == len(shape) + 1 and array.shape[1:] == shape and len(array):
        return np.ascontiguousarray(array)
    try:
        return np.ascontiguousarray(np.broadcast_to(array, (1, *shape)))
    except ValueError:
        raise ValueError(
            f"{what} must be a number or have shape {shape}, or (m, {', '.join(map(str, shape))}) "
            f"for m background rows, for input {name!r}. Received: shape {array.shape}"
        ) from None


# --- windows and masks ----------------------------------------------------------------------------


def _spatial(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the axes of an example that windows and grids move along: all but channels."""
    return tuple(shape[:-1]) if len(shape) > 1 else tuple(shape)


def _per_axis(value: Any, axes: int, what: str) -> list[int]:
    values = [value] * axes if np.ndim(value) == 0 else list(value)
    if len(values) != axes or not all(
        isinstance(v, (int, np.integer)) and not isinstance(v, bool) and v >= 1 for v in values
    ):
        raise ValueError(
            f"{what} must be a whole number of at least 1, or {axes} of them. "
            f"Received: {what}={value!r}"
        )
    return [int(v) for v in values]


def _widths(shape: Sequence[int], window: Any) -> list[float]:
    return [float(w) for w in _per_axis(window, len(_axes(shape, window)), "window")][
        : len(_spatial(shape))
    ]


def _axes(shape: Sequence[int], window: Any) -> tuple[int, ...]:
    return tuple(shape) if np.ndim(window) and len(window) == len(shape) else _spatial(shape)


def _covers(shape: Sequence[int], window: Any, stride: Any, name: str) -> list[np.ndarray]:
    """Return for each axis which positions (columns) each placement of the window (rows) covers."""
    axes = _axes(shape, window)
    widths = _per_axis(window, len(axes), "window")
    steps = widths if stride is None else _per_axis(stride, len(axes), "stride")
    covers = []
    for size, width, step in zip(axes, widths, steps, strict=True):
        if width > size:
            raise ValueError(
                f"window must fit into input {name!r} of shape {tuple(shape)}. "
                f"Received: window={window!r}"
            )
        if step > width:
            raise ValueError(
                f"stride must not exceed the window, or positions would never be hidden. "
                f"Received: window={window!r}, stride={stride!r}"
            )
        starts = list(range(0, size - width + 1, step))
        if starts[-1] + width < size:
            starts.append(size - width)
        place = np.arange(size) - np.array(starts)[:, None]
        covers.append((place >= 0) & (place < width))
    return covers


def _window(covers: list[np.ndarray], s: Any, count: int, rank: int) -> Any:
    """Return where window s hides, inside the graph: (rows, ...), 1 for channels."""
    inside = (s >= 0) & (s < count)
    rest: Any = tf.clip_by_value(s, 0, count - 1)
    hidden: Any = tf.reshape(inside, [-1] + [1] * len(covers))
    for axis in reversed(range(len(covers))):
        cover = covers[axis]
        part = tf.gather(tf.constant(cover), rest % len(cover))
        rest //= len(cover)
        hidden &= tf.reshape(
            part, [-1, *(cover.shape[1] if a == axis else 1 for a in range(len(covers)))]
        )
    return hidden if rank == len(covers) else hidden[..., None]


def _average(drop: np.ndarray, covers: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Return the mean drop (n, ...) over the windows that cover each position."""
    found = drop.reshape(len(drop), *(len(c) for c in covers))
    for axis, cover in enumerate(covers):
        share = cover / cover.sum(0)
        found = np.moveaxis(np.tensordot(found, share, axes=(axis + 1, 0)), -1, axis + 1)
    if found.ndim < len(shape):
        found = found[..., None]
    return np.broadcast_to(found, shape)


def _phases(size: int, cells: int) -> np.ndarray:
    """Return the interpolation of nodes to positions for each shift, (shifts, size, nodes)."""
    length = -(-size // cells)
    place = np.arange(size) + np.arange(length)[:, None]
    node, fraction = place // length, place % length / length
    table = np.zeros((length, size, int(node.max()) + 2), np.float64)
    np.put_along_axis(table, node[..., None], (1 - fraction)[..., None], axis=2)
    np.put_along_axis(table, node[..., None] + 1, fraction[..., None], axis=2)
    return table


def _interpolate(grid: Any, weight: Any, axis: int) -> Any:
    """Apply interpolation weights (rows, size, nodes) to one axis of (rows, ..., nodes, ...)."""
    letters = "cdefgh"[: grid.shape.rank - 1]
    old = letters[axis]
    return tf.einsum(f"ax{old},a{letters}->a{letters.replace(old, 'x')}", weight, grid)


def _bits(packed: Any, count: int) -> Any:
    """Unpack bits (rows, bytes) to booleans (rows, count) inside the graph."""
    bits = tf.bitwise.right_shift(packed[:, :, None], tf.constant(list(range(8)), tf.uint8))
    wide = tf.reshape(
        tf.bitwise.bitwise_and(bits, tf.constant(1, tf.uint8)), (-1, packed.shape[1] * 8)
    )
    return tf.cast(wide[:, :count], tf.bool)


# --- players --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Players:
    """Which features of the flattened input are removed together.

    Attributes:
        owner: (d,) player of each feature over all inputs in turn, -1 for a feature that is held.
        names: name of each player, "" for none.
        shapes: shape of one example of each input.
    """

    owner: np.ndarray
    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def count(self) -> int:
        return len(self.names)

    def keep(self, coalition: Callable[[list[Any], Any, Any], Any]) -> Callable[..., list[Any]]:
        """Return masks over features, input by input, from which players are kept."""
        sizes = [math.prod(shape) for shape in self.shapes]
        owner = np.where(self.owner < 0, self.count, self.owner)

        def masks(tables: list[Any], i: Any, s: Any) -> list[Any]:
            z = coalition(tables, i, s)
            if not self.single:
                held = tf.ones([tf.shape(z)[0], 1], tf.bool)
                # Columns are chosen as rows of the transpose, which is many times faster.
                columns = tf.transpose(tf.concat([z, held], 1))
                z = tf.transpose(tf.gather(columns, tf.constant(owner)))
            parts = tf.split(z, sizes, axis=1)
            return [
                tf.reshape(a, (-1, *shape)) for a, shape in zip(parts, self.shapes, strict=True)
            ]

        return masks

    @property
    def single(self) -> bool:
        """Whether every feature is its own player, in order."""
        return self.count == len(self.owner) and bool((self.owner == np.arange(self.count)).all())

    def owners(self) -> list[np.ndarray]:
        """Return the owner of each feature, input by input, flat."""
        sizes = [math.prod(shape) for shape in self.shapes]
        return np.split(self.owner, np.cumsum(sizes)[:-1])

    def spread(self, values: np.ndarray) -> list[np.ndarray]:
        """Return (n, ...) for each input: a feature has its player's value, a held one 0."""
        padded = np.concatenate([values, np.zeros((len(values), 1))], axis=1).astype(np.float32)
        return [
            padded[:, own].reshape(len(values), *shape)
            for own, shape in zip(self.owners(), self.shapes, strict=True)
        ]


def _players_of(inputs: Inputs, groups: Groups) -> _Players:
    chosen = inputs.explained
    shapes = [inputs.leaves[i].shape[1:] for i in chosen]
    return _players(groups, shapes, [inputs.names[i] for i in chosen])


def _players(groups: Groups, shapes: Sequence[tuple[int, ...]], inputs: Sequence[str]) -> _Players:
    """Return the players that ``groups`` name; without groups every feature is one."""
    sizes = [math.prod(shape) for shape in shapes]
    d = sum(sizes)
    shapes = tuple(tuple(shape) for shape in shapes)
    if groups is None:
        return _Players(np.arange(d), ("",) * d, shapes)
    labels = _label_map(groups, shapes)
    if labels is not None:
        kept = np.unique(labels[labels >= 0])
        owner = np.where(labels >= 0, np.searchsorted(kept, labels), -1)
        return _Players(owner, tuple(str(k) for k in kept), shapes)
    if isinstance(groups, Mapping):
        named = [(str(name), members) for name, members in groups.items()]
    elif (isinstance(groups, Sequence) and not isinstance(groups, str)) or isinstance(
        groups, np.ndarray
    ):
        named = [("", members) for members in groups]
    else:
        raise TypeError(
            "groups must be a sequence of index groups, a dictionary name -> indices or an integer "
            f"array of the shape of one example. Received: {type(groups).__name__}"
        )
    if not named:
        raise ValueError("groups must name at least one group. Received: groups=" + repr(groups))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    owner = np.full(d, -1)
    for player, (name, members) in enumerate(named):
        what = f"group {name!r}" if name else f"group {player}"
        index = _members(members, d, what, inputs, starts)
        taken = index[owner[index] >= 0]
        if len(taken):
            raise ValueError(
                f"groups must not overlap. Received: feature {taken[0]} in group {owner[taken[0]]} "
                f"and in {what}"
            )
        owner[index] = player
    return _Players(owner, tuple(name for name, _ in named), shapes)


def _label_map(groups: Groups, shapes: Sequence[tuple[int, ...]]) -> np.ndarray | None:
    """Return groups that were given as a picture of segment numbers, flat, or None."""
    if not isinstance(groups, np.ndarray) or groups.dtype.kind not in "iu" or len(shapes) != 1:
        return None
    shape = shapes[0]
    if groups.shape == shape:
        return groups.reshape(-1).astype(np.int64)
    if len(shape) > 1 and groups.shape == shape[:-1]:
        return np.repeat(groups.reshape(-1).astype(np.int64), shape[-1])
    return None


def _members(
    members: Any, d: int, what: str, inputs: Sequence[str], starts: np.ndarray
) -> np.ndarray:
    """Return the positions that one group names among d flattened features."""
    if isinstance(members, str):
        if members not in inputs:
            close = difflib.get_close_matches(members, inputs) or list(inputs)
            raise ValueError(
                f"groups must name known inputs, such as {close}, or positions below {d}. "
                f"Received: {members!r} in {what}"
            )
        at = list(inputs).index(members)
        return np.arange(starts[at], starts[at + 1])
    if isinstance(members, slice):
        index = np.arange(d)[members]
    else:
        array = np.atleast_1d(np.asarray(members))
        if array.dtype == bool and array.shape == (d,):
            array = np.flatnonzero(array)
        if array.dtype.kind not in "iu" and array.size:
            raise TypeError(
                "groups must hold positions of the flattened input, slices or names of inputs. "
                f"Received: {members!r} in {what}"
            )
        index = array.reshape(-1).astype(np.int64)
    outside = index[(index < -d) | (index >= d)]
    if len(outside):
        raise ValueError(
            f"groups must hold columns below {d}. Received: column {outside[0]} in {what}"
        )
    if not len(index):
        raise ValueError(f"groups must not be empty. Received: {members!r} in {what}")
    index = index % d
    if len(np.unique(index)) != len(index):
        raise ValueError(f"groups must name a column once. Received: {members!r} in {what}")
    return index


# --- random designs and their solutions -----------------------------------------------------------


def _generator(seed: int, key: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[seed, key]))


def _pack(keep: np.ndarray) -> np.ndarray:
    """Return booleans (..., p) as bits, 8 to a byte."""
    return np.packbits(keep, axis=-1, bitorder="little")


def _unpack(bits: np.ndarray, count: int) -> np.ndarray:
    return np.unpackbits(bits, axis=-1, count=count, bitorder="little").astype(bool)


@dataclass(frozen=True)
class _Pairs:
    """Which pairs (coalition, complement) KernelSHAP evaluates for p players.

    Attributes:
        known: (e, p) coalitions of the sizes that are enumerated, one of each pair.
        weight: (e,) share of each in the kernel's mass.
        sizes: the sizes that are drawn, may be empty.
        chance: chance of each such size.
        rest: share of the drawn sizes in the kernel's mass.
        drawn: number of pairs to draw.
    """

    known: np.ndarray
    weight: np.ndarray
    sizes: np.ndarray
    chance: np.ndarray
    rest: float
    drawn: int


def _pairs(p: int, budget: int) -> _Pairs:
    """Spend a budget of pairs: sizes that fit are enumerated, smallest first, others drawn."""
    sizes = np.arange(1, p // 2 + 1)
    halves = np.where(2 * sizes == p, 0.5, 1.0)
    mass = halves / (sizes * (p - sizes))
    mass = mass / mass.sum()
    known: list[np.ndarray] = []
    weight: list[np.ndarray] = []
    done, remaining = 0, 2 ** (p - 1) - 1
    while done < len(sizes):
        k = int(sizes[done])
        count = math.comb(p, k) // (2 if 2 * k == p else 1)
        expected = budget * mass[done] / mass[done:].sum()
        # Sixteen pairs at least are left to draw, unless all fit: their spread must be known well.
        if done and remaining > budget and (count > expected or budget - count < 16):
            break
        members = np.array(list(itertools.combinations(range(p), k)))[:count]
        rows = np.zeros((len(members), p), bool)
        np.put_along_axis(rows, members, True, axis=1)
        known.append(rows)
        weight.append(np.full(len(rows), mass[done] / count))
        budget -= count
        remaining -= count
        done += 1
    rest = float(mass[done:].sum())
    return _Pairs(
        np.concatenate(known),
        np.concatenate(weight),
        sizes[done:],
        mass[done:] / rest if rest else mass[done:],
        rest,
        budget if rest else 0,
    )


def _draw_pairs(plan: _Pairs, p: int, generator: np.random.Generator) -> np.ndarray:
    """Return the drawn coalitions, (drawn, p)."""
    if not plan.drawn:
        return np.zeros((0, p), bool)
    k = generator.choice(plan.sizes, size=plan.drawn, p=plan.chance)
    u = generator.random((plan.drawn, p))
    return np.asarray(u <= np.take_along_axis(np.sort(u, axis=1), k[:, None] - 1, axis=1))


def _kernel_solve(
    plan: _Pairs, keep: np.ndarray, contrast: np.ndarray, delta: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Return Shapley values and standard errors of one example from paired coalitions.

    With s = 2z - 1 and t = v(z) - v(complement of z), the kernel's weighted least squares becomes
    min sum_q w_q (t_q - s_q . phi)^2 under sum(phi) = delta. Its error is linear in the drawn
    pairs' residuals, which gives the covariance (jackknife-corrected for leverage).
    """
    p = keep.shape[1]
    drawn = plan.drawn
    w = np.concatenate([plan.weight, np.full(drawn, plan.rest / drawn if drawn else 0.0)])
    S = 2.0 * keep - 1.0
    # Adding a multiple of the constraint's own direction changes no constrained solution and makes
    # the matrix regular.
    inverse = np.linalg.inv((S.T * w) @ S + np.ones((p, p)))
    g = inverse.sum(axis=1)
    B = inverse - np.outer(g, g) / g.sum()
    phi = B @ (S.T @ (w * contrast)) + g * (delta / g.sum())
    if not drawn:
        return phi, np.zeros(p)
    tail = S[-drawn:]
    steps = tail @ B
    residual = (contrast - S @ phi)[-drawn:]
    leverage = np.minimum(w[-drawn:] * np.einsum("qp,qp->q", steps, tail), 0.99)
    psi = steps * (w[-drawn:] * residual / (1.0 - leverage))[:, None]
    psi -= psi.mean(axis=0)
    return phi, np.sqrt((psi**2).sum(axis=0) * (drawn / (drawn - 1))) * small_sample(drawn)


def _exact_shapley(v: np.ndarray, p: int) -> np.ndarray:
    """Return Shapley values (n, p) from the scores (n, 2**p) of all coalitions, by their bits."""
    codes = np.arange(2**p)
    size = ((codes[:, None] >> np.arange(p)) & 1).sum(axis=1)
    weight = np.array([1.0 / (p * math.comb(p - 1, k)) for k in range(p)])
    phi = np.empty((len(v), p))
    for i in range(p):
        without = codes[(codes >> i) & 1 == 0]
        phi[:, i] = (v[:, without | (1 << i)] - v[:, without]) @ weight[size[without]]
    return phi


def _ridge(
    z: np.ndarray, f: np.ndarray, weight: np.ndarray, penalty: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return coefficients, standard errors and R2 of a weighted ridge with free intercept."""
    total = weight.sum()
    zc = z - (weight @ z) / total
    fc = f - (weight @ f) / total
    inverse = np.linalg.inv((zc.T * weight) @ zc + penalty * np.eye(z.shape[1]))
    beta = inverse @ (zc.T @ (weight * fc))
    residual = fc - zc @ beta
    steps = zc @ inverse
    leverage = weight / total + weight * np.einsum("sp,sp->s", steps, zc)
    psi = steps * (weight * residual / (1.0 - np.minimum(leverage, 0.99)))[:, None]
    spread = float(weight @ fc**2)
    # A score that never moves is explained in full by zero coefficients.
    r2 = 1.0 - float(weight @ residual**2) / spread if spread > 1e-12 * total else 1.0
    return beta, np.sqrt((psi**2).sum(axis=0)), r2


def _segmented(inputs: Inputs, segments: int | Sequence[int] | None) -> Groups:
    """Return the segments of images for lime; None where every feature is a player."""
    shapes = [inputs.leaves[i].shape[1:] for i in inputs.explained]
    if segments is None and not any(len(shape) == 3 for shape in shapes):
        return None
    labels, first = [], 0
    for shape in shapes:
        if segments is None and len(shape) != 3:
            part = np.arange(math.prod(shape))
        else:
            spatial = _spatial(shape)
            cells = [min(7, size) for size in spatial] if segments is None else segments
            part = grid_segments(spatial, cells).reshape(-1)
            if len(shape) > 1:
                part = np.repeat(part, shape[-1])
        labels.append(part + first)
        first += int(part.max()) + 1
    joined = np.concatenate(labels)
    return [np.flatnonzero(joined == k) for k in range(first)]


# --- Shapley plans --------------------------------------------------------------------------------


def _exact(players: _Players, fill: _Fill) -> _Plan:
    """Evaluate all coalitions but the whole one, which is the example itself."""
    p = players.count

    def coalition(tables: list[Any], i: Any, s: Any) -> Any:
        bits = tf.bitwise.right_shift(s[:, None], tf.range(p, dtype=s.dtype))
        return tf.cast(tf.bitwise.bitwise_and(bits, tf.constant(1, s.dtype)), tf.bool)

    def estimate(v: np.ndarray, output: np.ndarray, sums: list[np.ndarray]) -> _Estimate:
        phi = _exact_shapley(np.concatenate([v, output[:, None]], axis=1), p)
        return _Estimate(players, phi, np.zeros_like(phi), empty=v[:, 0])

    return _Plan(fill, [], 2**p - 1, players.keep(coalition), estimate)


def _sampled(players: _Players, fill: _Fill, plan: _Pairs, seed: int, keys: list[int]) -> _Plan:
    """Evaluate paired coalitions, and the empty one last."""
    p = players.count
    pairs = len(plan.known) + plan.drawn
    bits = np.stack(
        [
            _pack(np.concatenate([plan.known, _draw_pairs(plan, p, _generator(seed, key))]))
            for key in keys
        ]
    )

    def coalition(tables: list[Any], i: Any, s: Any) -> Any:
        at = tf.minimum(s // 2, pairs - 1)
        z = _bits(tf.gather_nd(tables[0], tf.stack([i, at], 1)), p)
        return (z ^ (s % 2 == 1)[:, None]) & (s < 2 * pairs)[:, None]

    def estimate(v: np.ndarray, output: np.ndarray, sums: list[np.ndarray]) -> _Estimate:
        empty = v[:, -1]
        contrast = v[:, :-1:2] - v[:, 1:-1:2]
        found = [
            _kernel_solve(plan, _unpack(rows, p), t, delta)
            for rows, t, delta in zip(bits, contrast, output - empty, strict=True)
        ]
        phi, error = (np.stack(part) for part in zip(*found, strict=True))
        return _Estimate(players, phi, error, empty=empty)

    return _Plan(fill, [bits], 2 * pairs + 1, players.keep(coalition), estimate)


def _orders(players: _Players, fill: _Fill, orders: int, seed: int, keys: list[int]) -> _Plan:
    """Evaluate the first k players of each order, their complements, and the empty coalition.

    The complement of the first k players is what joins first when the order is reversed.
    """
    p = players.count
    ranks = np.stack(
        [_generator(seed, key).random((orders, p)).argsort(1).argsort(1) for key in keys]
    ).astype(np.int32)
    steps = 2 * (p - 1)

    def coalition(tables: list[Any], i: Any, s: Any) -> Any:
        at = tf.minimum(s // steps, orders - 1)
        rank = tf.gather_nd(tables[0], tf.stack([i, at], 1))
        k = tf.cast(1 + (s // 2) % (p - 1), rank.dtype)
        return ((rank < k[:, None]) ^ (s % 2 == 1)[:, None]) & (s < orders * steps)[:, None]

    def estimate(v: np.ndarray, output: np.ndarray, sums: list[np.ndarray]) -> _Estimate:
        empty = v[:, -1]
        scores = v[:, :-1].reshape(len(v), orders, p - 1, 2)
        delta = np.broadcast_to((output - empty)[:, None, None], (len(v), orders, 1))
        contrast = np.concatenate([-delta, scores[..., 0] - scores[..., 1], delta], axis=2)
        joined = np.take_along_axis(np.diff(contrast, axis=2) / 2, ranks, axis=2)
        error = joined.std(axis=1, ddof=1) / np.sqrt(orders) * small_sample(orders)
        return _Estimate(players, joined.mean(axis=1), error, empty=empty)

    return _Plan(fill, [ranks], orders * steps + 1, players.keep(coalition), estimate)


# --- settings in the log --------------------------------------------------------------------------


def _spec(array: np.ndarray) -> Any:
    return tf.TensorSpec((None, *array.shape[1:]), tf.as_dtype(array.dtype))


def _whole(name: str, value: Any, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ValueError(
            f"{name} must be a whole number of at least {low}. Received: {name}={value!r}"
        )
    return int(value)


def _said(value: Any) -> Any:
    """Return a setting as JSON can hold it: numbers and words, arrays by shape and mean."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _said(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)) and len(value) <= 8:
        return [_said(part) for part in value]
    array = np.asarray(value)
    if array.ndim == 0:
        return array.item()
    mean = f", mean {array.mean():.4g}" if array.size and array.dtype.kind in "biuf" else ""
    return f"array {array.shape}{mean}"


def _said_groups(groups: Groups) -> Any:
    if groups is None:
        return None
    if isinstance(groups, Mapping):
        return [str(name) for name in groups]
    if isinstance(groups, np.ndarray):
        return f"array {groups.shape}"
    return f"{len(groups)} groups" if isinstance(groups, Sequence) else repr(groups)
