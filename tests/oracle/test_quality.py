"""Quality measures against closed forms, slow definitions and models whose answers are known."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tb_xai import cam, drift, gradients, perturbation, quality
from tb_xai.gradients import Attribution, Binder, integrated_gradients, saliency
from tb_xai.targets import log_odds, logit, of_output, probability, value

W = np.array([4.0, 3.0, 2.0, 1.0])


def linear(x: np.ndarray, y: Any = None) -> np.ndarray:
    """f(x) = w.x / 10, 1 at x = 1."""
    return np.asarray(x, np.float64) @ W / 10


def quadratic(x: np.ndarray, y: Any = None) -> np.ndarray:
    """f(x) = x.x / 2, whose gradient is x."""
    return (np.asarray(x, np.float64) ** 2).sum(axis=1) / 2


ONES = np.ones((1, 4))

# --- on the explanation alone


def test_gini_and_entropy_of_known_maps() -> None:
    maps = np.zeros((3, 16))
    maps[0, 5], maps[1], maps[2, ::4] = -3.0, 0.2, 7.0
    np.testing.assert_allclose(quality.sparseness(maps), [0.9375, 0.0, 0.75], atol=1e-15)
    expected = [0.0, np.log(16), np.log(4)]
    np.testing.assert_allclose(quality.complexity(maps), expected, atol=1e-15)
    pictures = maps.reshape(3, 2, 4, 2)
    np.testing.assert_allclose(quality.sparseness(pictures), [0.9375, 0.0, 0.75], atol=1e-15)


@given(
    a=hnp.arrays(np.float64, (3, 9), elements=st.floats(-1e6, 1e6, width=32)),
    scale=st.sampled_from([1e-200, 1.0, 1e200]),
)
@settings(max_examples=60, deadline=None)
def test_gini_is_the_mean_difference_and_entropy_is_bounded(a: np.ndarray, scale: float) -> None:
    sparse, spread = quality.sparseness(a * scale), quality.complexity(a * scale)
    for row, g, h in zip(np.abs(a), sparse, spread, strict=True):
        if not row.any():
            assert np.isnan(g)
            assert np.isnan(h)
            continue
        slow = np.abs(row[:, None] - row[None, :]).sum() / (2 * len(row) * row.sum())
        assert g == pytest.approx(slow, abs=1e-12)
        assert -1e-12 <= h <= np.log(9) + 1e-12


def test_relevance_of_known_maps() -> None:
    values = np.array([[4.0, -3.0, 2.0, 1.0]] * 3)
    mask = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(quality.relevance_mass(values, mask), [0.7, 0.6, 0.1])
    np.testing.assert_allclose(quality.relevance_rank(values, mask), [1.0, 0.5, 0.0])
    np.testing.assert_allclose(quality.pointing_game(values, mask), [1.0, 1.0, 0.0])
    positive = np.maximum(values, 0)
    np.testing.assert_allclose(quality.relevance_mass(positive, mask), [4 / 7, 6 / 7, 1 / 7])


def test_ties_at_the_border_count_by_their_chance() -> None:
    values, mask = np.array([[5.0, 5.0, 5.0, 1.0]]), np.array([[True, True, False, True]])
    # Three places of three: the tied ones fill them all, two of them inside.
    np.testing.assert_allclose(quality.relevance_rank(values, mask), [2 / 3])
    np.testing.assert_allclose(quality.pointing_game(values, mask), [2 / 3])
    values = np.array([[9.0, 5.0, 5.0, 5.0]])
    # The second place belongs to the three tied ones; one of them is inside, with a chance of 1/3.
    mask = np.array([[True, True, False, False]])
    np.testing.assert_allclose(quality.relevance_rank(values, mask), [(1 + 1 / 3) / 2])


def test_a_random_map_scores_the_share_of_the_mask() -> None:
    rng = np.random.default_rng(0)
    values, mask = rng.normal(size=(2000, 25)), np.arange(25)[None] < 5
    for measure in (quality.relevance_mass, quality.relevance_rank, quality.pointing_game):
        found = measure(values, mask)
        assert abs(found.mean() - 0.2) < 4 * found.std() / np.sqrt(2000)


def test_masks_without_channels_pool_the_channels_of_a_pixel() -> None:
    values = np.zeros((1, 2, 2, 3))
    values[0, 0, 0] = [2, -2, 2]  # strongest as a pixel
    values[0, 1, 1, 0] = 5  # strongest element
    mask = np.array([[[True, False], [False, False]]])
    for shaped in (mask, mask[..., None]):
        assert quality.pointing_game(values, shaped)[0] == 1.0
        assert quality.relevance_rank(values, shaped)[0] == 1.0
        assert quality.relevance_mass(values, shaped)[0] == pytest.approx(6 / 11)
    whole = np.repeat(mask[..., None], 3, axis=-1)
    assert quality.pointing_game(values, whole)[0] == 0.0


def test_undefined_is_nan() -> None:
    bad = np.array([[0.0, 0, 0], [np.nan, 1, 2], [np.inf, 1, 2], [1.0, 2, 3]])
    mask = np.array([[True, False, False]] * 4)
    for measure in (quality.sparseness, quality.complexity):
        np.testing.assert_array_equal(np.isnan(measure(bad)), [1, 1, 1, 0])
    for measure in (quality.relevance_mass, quality.relevance_rank, quality.pointing_game):
        np.testing.assert_array_equal(np.isnan(measure(bad, mask)), [1, 1, 1, 0])
        assert np.isnan(measure(bad[3:], mask[:1] & False)[0])  # an empty mask is not a miss
    assert np.isnan(quality.pointing_game([[2.0, 2.0]], [[True, False]])[0])
    for measure in (quality.feature_agreement, quality.sign_agreement, quality.rank_agreement):
        other = np.array([[3.0, 1.0, 2.0]] * 4)
        np.testing.assert_array_equal(np.isnan(measure(bad, other, 2)), [1, 1, 1, 0])
        np.testing.assert_array_equal(np.isnan(measure(other, bad, 2)), [1, 1, 1, 0])
    assert quality.sparseness(np.empty((0, 3))).shape == (0,)


def test_completeness_gap() -> None:
    gap = quality.completeness_gap([[1.0, 1.5], [1.0, -2.0], [1.0, 1.0]], [2.0, 0.0, 3.0], 1.0)
    np.testing.assert_allclose(gap, [1.5, 0.0, 0.0])
    np.testing.assert_array_equal(
        np.isnan(quality.completeness_gap([[1.0], [np.nan]], [0, 1], 0)), [True, True]
    )


def test_agreement_is_that_of_the_definitions() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(size=(40, 8))
    b = 0.7 * a + 0.7 * rng.normal(size=a.shape)
    for k in (1, 3, 8):
        expected: list[list[float]] = [[], [], []]
        for u, v in zip(a, b, strict=True):
            top_u, top_v = np.argsort(-np.abs(u))[:k], np.argsort(-np.abs(v))[:k]
            common = set(top_u) & set(top_v)
            expected[0].append(len(common) / k)
            expected[1].append(sum(u[i] * v[i] > 0 for i in common) / k)
            expected[2].append(sum(i == j for i, j in zip(top_u, top_v, strict=True)) / k)
        assert 0 < np.mean(expected[2]) < 1
        np.testing.assert_allclose(quality.feature_agreement(a, b, k), expected[0])
        np.testing.assert_allclose(quality.sign_agreement(a, b, k), expected[1])
        np.testing.assert_allclose(quality.rank_agreement(a, b, k), expected[2])


@given(
    a=hnp.arrays(np.int64, (1, 7), elements=st.integers(-2, 2)),
    b=hnp.arrays(np.int64, (1, 7), elements=st.integers(-2, 2)),
    k=st.integers(1, 7),
)
@settings(max_examples=80, deadline=None)
def test_agreement_with_ties_is_ordered_and_complete(a: np.ndarray, b: np.ndarray, k: int) -> None:
    feature, sign, rank = (
        f(a, b, k)[0]
        for f in (quality.feature_agreement, quality.sign_agreement, quality.rank_agreement)
    )
    if np.ptp(np.abs(a)) == 0 or np.ptp(np.abs(b)) == 0:
        assert np.isnan([feature, sign, rank]).all()
        return
    assert 0 <= sign <= feature + 1e-12 <= 1 + 2e-12
    assert 0 <= rank <= feature + 1e-12
    for measure in (quality.feature_agreement, quality.sign_agreement, quality.rank_agreement):
        assert measure(a, a, k)[0] == pytest.approx(1.0)


def test_wrong_arrays_are_named() -> None:
    with pytest.raises(ValueError, match=r"examples first, shape \(n, \.\.\.\). Received"):
        quality.sparseness([1.0, 2.0])
    with pytest.raises(ValueError, match="mask must have the shape of values"):
        quality.relevance_mass(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="mask must have the shape of values"):
        quality.relevance_mass(np.ones((4, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"mask must hold booleans.* Received: 0\.5"):
        quality.pointing_game(np.ones((1, 2)), [[0.5, 1.0]])
    with pytest.raises(ValueError, match="same shape"):
        quality.rank_agreement(np.ones((1, 2)), np.ones((1, 3)), 1)
    with pytest.raises(ValueError, match="k must be"):
        quality.sign_agreement(np.ones((1, 2)), np.ones((1, 2)), 3)


# --- against a model: closed forms


def test_deletion_and_insertion_of_a_linear_model() -> None:
    best = quality.deletion(W[None], linear, ONES)
    np.testing.assert_allclose(best.fraction, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(best.score, [[1, 0.6, 0.3, 0.1, 0]])
    np.testing.assert_allclose(best.auc, [0.375])
    np.testing.assert_allclose(quality.deletion(-W[None], linear, ONES).auc, [0.625])
    np.testing.assert_allclose(quality.insertion(W[None], linear, ONES).auc, [0.625])
    np.testing.assert_allclose(quality.insertion(-W[None], linear, ONES).auc, [0.375])


def test_areas_of_one_order_add_up_for_an_additive_model() -> None:
    rng = np.random.default_rng(2)
    x, values = rng.normal(size=(2, 5, 4))
    settings_ = {"baseline": 0.7, "n_steps": 3}
    down = quality.deletion(values, quadratic, x, **settings_)
    up = quality.insertion(values, quadratic, x, **settings_)
    ends = quadratic(x) + quadratic(np.full_like(x, 0.7))
    assert np.ptp(down.auc / ends) > 0.01
    np.testing.assert_allclose(down.auc + up.auc, ends)
    np.testing.assert_allclose(down.normalised + up.normalised, 1.0)
    np.testing.assert_allclose(down.random + up.random, ends)


def test_random_orders_of_a_linear_model_reach_half() -> None:
    x = np.ones((200, 4))
    curve = quality.deletion(np.tile(W, (200, 1)), linear, x, n_random=8)
    assert abs(curve.random.mean() - 0.5) < 4 * curve.random.std() / np.sqrt(200)
    assert curve.random.std() > 0.01
    # The standard error is that of the mean of 8 orders.
    assert np.sqrt((curve.random_stderr**2).mean()) == pytest.approx(curve.random.std(), rel=0.15)
    assert np.isnan(quality.deletion(W[None], linear, ONES, n_random=0).random[0])
    assert np.isnan(quality.deletion(W[None], linear, ONES, n_random=1).random_stderr[0])


def test_normalised_areas_do_not_depend_on_the_scale_of_the_model() -> None:
    curve = quality.deletion(W[None], lambda x, y: 7 * linear(x) - 3, ONES)
    np.testing.assert_allclose(curve.normalised, [0.375])
    assert np.isnan(quality.deletion(W[None], lambda x, y: 0 * linear(x), ONES).normalised[0])


def test_tied_values_are_taken_in_random_order() -> None:
    x = np.ones((400, 4))
    values = np.tile([1.0, 1.0, 1.0, 0.0], (400, 1))
    auc = quality.deletion(values, linear, x).auc
    # Known: w4 leaves last; the first three in any order, each 3 on average.
    assert auc.std() > 0.01
    assert auc.mean() == pytest.approx((0.5 + 0.7 + 0.4 + 0.1) / 4, abs=4 * auc.std() / 20)


def test_faithfulness_correlation_of_a_linear_model() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(6, 4))
    contributions = W * (x - 0.5) / 10
    for sign in (1, -1):
        found = quality.faithfulness_correlation(
            sign * contributions, linear, x, baseline=0.5, share=0.5
        )
        np.testing.assert_allclose(found.value, sign, rtol=1e-12)
        np.testing.assert_allclose(found.stderr, 0.0, atol=1e-12)


@pytest.mark.parametrize(("share", "size"), [(0.01, 1), (0.2, 8), (0.5, 20)])
def test_faithfulness_removes_the_share_it_says(share: float, size: int) -> None:
    x = np.arange(1.0, 41.0)[None]

    def score(rows: np.ndarray, y: Any) -> np.ndarray:
        gone = (rows == 0).sum(axis=1)
        assert np.isin(gone, (0, size)).all()
        assert len(rows) == 1 or (gone == size).all()
        return rows.sum(axis=1)

    assert quality.faithfulness_correlation(x, score, x, share=share).value[0] == pytest.approx(1)


def test_faithfulness_correlation_of_unrelated_values_is_none_within_its_error() -> None:
    rng = np.random.default_rng(4)
    x, values = rng.normal(size=(2, 300, 40))
    weights = rng.normal(size=40)
    found = quality.faithfulness_correlation(values, lambda x, y: x @ weights, x, n_samples=64)
    # The true correlation of one example is not 0, but it is over examples.
    assert abs(found.value.mean()) < 4 * found.value.std() / np.sqrt(300)
    truth = quality.faithfulness_correlation(
        values[:20], lambda x, y: x @ weights, x[:20], n_samples=4000, seed=9
    )
    z = (found.value[:20] - truth.value) / found.stderr[:20]
    assert 0.6 < np.sqrt((z**2).mean()) < 1.5


def test_infidelity_of_a_gradient() -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(50, 4))
    exact = quality.infidelity(np.tile(W / 10, (50, 1)), linear, x)
    np.testing.assert_allclose(exact.value, 0.0, atol=1e-25)
    # f = x.x/2: I.x - (f(x) - f(x - I)) = I.I/2, and E (I.I/2)^2 = s^4 (d^2 + 2 d) / 4.
    found = quality.infidelity(x, quadratic, x, stdev=0.3, relative=False, n_samples=400)
    expected = 0.3**4 * (16 + 8) / 4
    np.testing.assert_allclose(found.value.mean(), expected, rtol=0.05)
    z = (found.value - expected) / found.stderr
    assert 0.7 < z.std() < 1.4


def test_infidelity_of_contributions() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(5, 4))
    contributions = W / 10 * (x - 0.5)
    found = quality.infidelity(contributions, linear, x, baseline=0.5)
    np.testing.assert_allclose(found.value, 0.0, atol=1e-20)
    assert (quality.infidelity(contributions, linear, x).value > 1e-3).all()


def test_infidelity_is_relative_to_the_range_of_each_example() -> None:
    x = np.array([[0.0, 1.0, 0.0, 0.0], [0.0, 100.0, 0.0, 0.0]])
    found = quality.infidelity(x, quadratic, x, n_samples=500)
    assert found.value[1] / found.value[0] == pytest.approx(1e8, rel=0.5)
    assert np.isnan(quality.infidelity(ONES, quadratic, ONES).value[0])  # nothing is perturbed
    assert np.isnan(quality.infidelity(x, quadratic, x, n_samples=1).stderr).all()


def explainer(function: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Attribution]:
    return lambda x, y=None: Attribution(function(np.asarray(x)), np.zeros(len(x)))


def test_max_sensitivity_of_gradients() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(size=(6, 4))
    constant = quality.max_sensitivity(explainer(lambda x: np.tile(W, (len(x), 1))), x)
    np.testing.assert_array_equal(constant, 0.0)
    # The gradient of x.x/2 is x: the change is r itself, at most radius * range * sqrt(d).
    found = quality.max_sensitivity(explainer(lambda x: x), x, radius=0.1, n_samples=2000)
    bound = 0.1 * np.ptp(x, axis=1) * 2 / np.linalg.norm(x, axis=1)
    assert (found <= bound).all()
    assert (found > 0.85 * bound).all()
    assert np.isnan(quality.max_sensitivity(explainer(lambda x: 0 * x), x)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_broken_explanation_is_nan_for_this_example_alone(bad: float) -> None:
    rng = np.random.default_rng(8)
    x, values = rng.normal(size=(2, 3, 4))
    values[1, 2] = bad
    for found in (
        quality.infidelity(values, linear, x).value,
        quality.infidelity(values, linear, x, baseline=0.0).value,
        quality.deletion(values, linear, x).auc,
        quality.insertion(values, linear, x).normalised,
        quality.faithfulness_correlation(values, linear, x, share=0.5).value,
        quality.max_sensitivity(explainer(lambda x: values + 0 * x), x),
    ):
        np.testing.assert_array_equal(np.isnan(found), [False, True, False])
    flat = np.ones((3, 4))
    assert np.isnan(quality.deletion(flat, linear, x).auc).all()
    assert np.isnan(quality.faithfulness_correlation(flat, linear, x).value).all()
    still = quality.faithfulness_correlation(values, lambda x, y: np.ones(len(x)), x)
    assert np.isnan(still.value).all()


def test_units_are_pixels_for_images_and_tokens_for_text() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(size=(2, 3, 3, 2))
    weights = rng.normal(size=(3, 3, 2))
    values = weights * x

    def score(rows: np.ndarray, y: Any) -> np.ndarray:
        # A pixel is taken away with all its channels or not at all.
        gone = rows == 0
        assert (gone.all(axis=-1) == gone.any(axis=-1)).all()
        return (rows * weights).reshape(len(rows), -1).sum(axis=1)

    curve = quality.deletion(values, score, x, n_steps=9)
    assert curve.score.shape == (2, 10)
    pixel = -np.sort(-values.sum(axis=-1).reshape(2, -1), axis=1)
    expected = values.sum(axis=(1, 2, 3))[:, None] - np.cumsum(pixel, axis=1)
    np.testing.assert_allclose(curve.score[:, 1:], expected, atol=1e-12)
    same = quality.deletion(values.sum(axis=-1), score, x, n_steps=9)
    np.testing.assert_allclose(same.score, curve.score)
    tokens = np.array([[5, 6, 7, 8]])
    ids = quality.deletion([[4.0, 3, 2, 1]], lambda x, y: x.sum(axis=1) * 1.0, tokens)
    np.testing.assert_array_equal(ids.score, [[26, 21, 15, 8, 0]])
    parts = quality.deletion(
        np.ones((2, 3, 3)) * np.arange(3),
        lambda x, y: x.sum(axis=(1, 2)),
        np.ones((2, 3, 3)),
        n_steps=3,
    )
    np.testing.assert_allclose(parts.score[0], [9, 6, 3, 0])


def test_several_inputs_form_one_order_and_held_ones_stay() -> None:
    rng = np.random.default_rng(10)
    x = {"b": rng.normal(size=(3, 2)), "a": rng.normal(size=(3, 2, 2, 1))}
    values = {"b": 2 * x["b"], "a": x["a"]}

    def score(rows: dict[str, np.ndarray], y: np.ndarray) -> np.ndarray:
        assert (y == np.tile([0, 1, 2], len(y) // 3)).all()
        return rows["a"].sum(axis=(1, 2, 3)) + 2 * rows["b"].sum(axis=1)

    y = [0, 1, 2]
    curve = quality.deletion(values, score, x, y, n_steps=6)
    order = np.concatenate([values["a"].reshape(3, -1), values["b"]], axis=1)
    expected = order.sum(axis=1)[:, None] - np.cumsum(-np.sort(-order, axis=1), axis=1)
    np.testing.assert_allclose(curve.score[:, 1:], expected, atol=1e-12)
    held = quality.deletion({"b": values["b"], "a": None}, score, x, y)
    np.testing.assert_allclose(held.score[:, -1], x["a"].sum(axis=(1, 2, 3)))
    slopes = {"b": np.full((3, 2), 2.0), "a": np.ones((3, 2, 2, 1))}
    np.testing.assert_allclose(quality.infidelity(slopes, score, x, y).value, 0, atol=1e-25)
    other = {"b": np.zeros(2), "a": np.ones((2, 2, 1))}
    moved = quality.deletion(values, score, x, y, baseline=other)
    np.testing.assert_allclose(moved.score[:, -1], 4.0)


def test_wrong_arguments_are_named() -> None:
    x = np.ones((2, 4))
    with pytest.raises(ValueError, match="values must have the shape of x"):
        quality.deletion(np.ones((2, 3)), linear, x)
    with pytest.raises(ValueError, match="values must have the structure of x"):
        quality.deletion(np.ones((2, 4)), linear, {"a": x, "b": x})
    with pytest.raises(ValueError, match="baseline must broadcast to x"):
        quality.deletion(x, linear, x, baseline=np.ones(3))
    with pytest.raises(ValueError, match="baseline must be a number or have the structure"):
        quality.deletion({"a": x, "b": x}, linear, {"a": x, "b": x}, baseline=np.ones(4))
    with pytest.raises(ValueError, match=r"n_steps must be positive\. Received: n_steps=0"):
        quality.insertion(x, linear, x, n_steps=0)
    with pytest.raises(ValueError, match="floating point"):
        quality.infidelity(x, linear, x.astype(int))
    with pytest.raises(ValueError, match="one number per row"):
        quality.infidelity(x, lambda x, y: x, x)
    with pytest.raises(TypeError, match="Keras model or a scorer"):
        quality.infidelity(x, 3, x)
    with pytest.raises(ValueError, match="A scorer has its own target"):
        quality.infidelity(x, linear, x, target=probability)


# --- against Keras models


@pytest.fixture(scope="module")
def cnn() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.layers.Input((10, 10, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )


def images(n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    return rng.random((n, 10, 10, 1), np.float32), np.arange(n) % 4


def test_a_scorer_gives_the_target_whatever_the_number_of_rows(cnn: keras.Model) -> None:
    x, y = images(7)
    p = np.asarray(cnn(x), np.float64)[np.arange(7), y]
    for batch in (2, 64):
        score = quality.scorer(cnn, batch_size=batch)
        np.testing.assert_allclose(score(x, y), np.log(p / (1 - p)), rtol=1e-4)
        np.testing.assert_allclose(score(x[:1], y[:1]), np.log(p / (1 - p))[:1], rtol=1e-4)
    np.testing.assert_allclose(quality.scorer(cnn, probability)(x, y), p, rtol=1e-5)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        quality.scorer(cnn, batch_size=0)


def test_a_scorer_goes_on_with_less_memory() -> None:
    seen: list[int] = []

    def count(outputs: np.ndarray) -> np.ndarray:
        seen.append(len(outputs))
        if len(outputs) > 3:
            raise MemoryError("OOM")
        return outputs

    def hungry(outputs: Any, y: Any) -> Any:
        rows = tf.numpy_function(count, [outputs], tf.float32)
        return tf.ensure_shape(rows, (None, 1))[:, 0]

    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(11, 4)).astype("float32")
    score = quality.scorer(model, hungry, batch_size=8)
    np.testing.assert_allclose(score(x), np.asarray(model(x))[:, 0], rtol=1e-5)
    assert seen[0] == 8
    seen.clear()
    score(x)
    assert max(seen) <= 3
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
    seen.clear()
    nothing = quality.scorer(model, lambda o, y: hungry(tf.repeat(o, 4, axis=0), y)[::4])
    with pytest.raises(tf.errors.ResourceExhaustedError):
        nothing(x[:2])


def test_a_scorer_follows_the_weights_and_is_traced_once() -> None:
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, use_bias=False)])
    traced: list[int] = []

    def counted(outputs: Any, y: Any) -> Any:
        traced.append(1)
        return outputs[:, 0]

    score = quality.scorer(model, counted, batch_size=8)
    for scale in (1.0, 2.0):
        model.layers[-1].set_weights([scale * W[:, None] / 10])
        curve = quality.deletion(W[None], score, ONES.astype("float32"))
        np.testing.assert_allclose(curve.auc, [scale * 0.375], rtol=1e-6)
        quality.infidelity(np.tile(W, (5, 1)), score, np.eye(5, 4, dtype="float32"))
    assert len(traced) == 1


def test_measures_of_a_keras_model_are_those_of_its_function(cnn: keras.Model) -> None:
    x, y = images(5)
    values = integrated_gradients(tolerance=np.inf)(cnn)(x, y).values
    rows = quality.scorer(cnn, batch_size=7)
    for measure in (quality.deletion, quality.insertion):
        np.testing.assert_allclose(
            measure(values, cnn, x, y).auc, measure(values, rows, x, y).auc, rtol=1e-6
        )
    good, bad = (quality.deletion(sign * values, cnn, x, y) for sign in (1, -1))
    assert (good.auc < good.random).all()
    assert (bad.auc > bad.random).all()
    faith = quality.faithfulness_correlation(values, cnn, x, y)
    assert (faith.value > 0.5).all()
    slope = saliency()(cnn)
    found = quality.infidelity(slope(x, y).values, cnn, x, y, stdev=1e-2)
    assert (
        found.value < 1e-4 * quality.infidelity(values, cnn, x, y, stdev=1e-2).value + 1e-5
    ).all()
    logits = quality.infidelity(
        saliency()(cnn, target=logit)(x, y).values, cnn, x, y, target=logit, stdev=1e-2
    )
    assert (logits.value < 1e-4).all()
    assert (quality.max_sensitivity(slope, x, y) < 1).all()


def guided_backprop() -> Any:
    """A method that looks right and does not depend on what the network learnt on top."""

    def bind(model: Any, target: Any = log_odds, batch_size: int | None = None) -> Any:
        k1, b1, k2, b2, wd, bd = model.copies
        rectify = tf.custom_gradient(
            lambda z: (tf.nn.relu(z), lambda g: tf.nn.relu(g) * tf.cast(z > 0, g.dtype))
        )

        def explain(x: np.ndarray, y: np.ndarray) -> Attribution:
            v = tf.convert_to_tensor(x)
            with tf.GradientTape() as tape:
                tape.watch(v)
                h = rectify(tf.nn.conv2d(v, k1.value, 1, "VALID") + b1.value)
                h = rectify(tf.nn.conv2d(h, k2.value, 1, "VALID") + b2.value)
                z = tf.reshape(h, (len(x), -1)) @ wd.value + bd.value
                chosen = tf.gather(z, y, axis=1, batch_dims=1)
            return Attribution(tape.gradient(chosen, v).numpy(), chosen.numpy())

        return explain

    return bind


def test_randomisation_tells_a_gradient_from_guided_backprop(cnn: keras.Model) -> None:
    x, y = images()
    before = [w.copy() for w in cnn.get_weights()]
    tf.random.set_seed(5)
    drawn = tf.random.uniform(())
    tf.random.set_seed(5)
    honest = quality.parameter_randomisation(saliency(), cnn, x, y)
    assert tf.random.uniform(()) == drawn  # no global generator was used
    blind = quality.parameter_randomisation(guided_backprop(), cnn, x, y)
    for old, new in zip(before, cnn.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert len(honest.layers) == 3
    assert honest.layers[0].endswith(cnn.layers[-1].name)
    assert honest.spearman.shape == honest.ssim_magnitude.shape == (3, 6)
    # The top layer alone is random: a gradient has changed, guided backprop hardly.
    assert np.abs(honest.spearman[0]).mean() < 0.4
    assert blind.spearman[0].mean() > honest.spearman[0].mean() + 0.3
    assert honest.ssim[0].mean() < 0.5
    assert np.abs(honest.spearman[-1]).mean() < 0.3
    again = quality.parameter_randomisation(saliency(), cnn, x, y)
    np.testing.assert_array_equal(again.spearman, honest.spearman)


def test_randomisation_goes_from_the_output_to_the_input_and_keeps_the_size(
    cnn: keras.Model,
) -> None:
    x, y = images()
    seen: list[list[np.ndarray]] = []

    def watching(copy: Any, target: Any, batch_size: int | None) -> Any:
        def explain(x: np.ndarray, y: np.ndarray) -> Attribution:
            seen.append([np.asarray(v).copy() for v in copy.copies[::2]])
            return Attribution(x, np.zeros(len(x)))

        return explain

    quality.parameter_randomisation(watching, cnn, x, y)
    real = cnn.get_weights()[::2]
    changed = [[not np.array_equal(a, b) for a, b in zip(now, real, strict=True)] for now in seen]
    assert changed == [[False] * 3, [False, False, True], [False, True, True], [True] * 3]
    for now, then in zip(seen[-1], real, strict=True):
        assert np.std(now) == pytest.approx(np.std(then), rel=0.3)


def test_randomisation_of_a_method_that_ignores_the_model_is_one(cnn: keras.Model) -> None:
    x, y = images()
    method = lambda model, target, batch: explainer(lambda x: x)  # noqa: E731
    found = quality.parameter_randomisation(method, cnn, x, y)
    for table in (found.spearman, found.spearman_magnitude, found.ssim, found.ssim_magnitude):
        np.testing.assert_allclose(table, 1.0)


def normalised_cnn(policy: str = "float32") -> keras.Model:
    """With scales that a compiled function folds into kernels."""
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.layers.Input((10, 10, 1)),
            keras.layers.Conv2D(4, 3, name="conv", dtype=policy),
            keras.layers.BatchNormalization(beta_initializer="random_normal", dtype=policy),
            keras.layers.ReLU(dtype=policy),
            keras.layers.Flatten(),
            keras.layers.Dense(4, activation="softmax", dtype="float32"),
        ]
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize(
    "method",
    [
        saliency(),
        integrated_gradients(4),
        gradients.smooth_grad(n_samples=4),
        cam.grad_cam(),
        perturbation.occlusion(5),
        perturbation.feature_ablation(groups={"left": range(50), "right": range(50, 100)}),
    ],
    ids=lambda method: method.method,
)
def test_a_compiled_method_explains_the_random_clone_without_a_trace(
    method: Binder, policy: str
) -> None:
    model = normalised_cnn(policy)
    x, y = images(5)
    before = [w.copy() for w in model.get_weights()]
    explain = method(model)
    real = explain(x, y)
    traced = explain.traces()
    quick = quality.randomised(method, model, x, y, seed=4, explain=explain, chosen=[1, 3])
    assert explain.traces() == traced
    slow = quality.randomised(method, model, x, y, seed=4)
    rng = np.random.default_rng(0)
    for values in (real.values, rng.normal(size=np.shape(real.values))):
        np.testing.assert_allclose(quick(values), slow(values)[[1, 3]], atol=2e-3)
    assert (slow(real.values) < 0.999).any()
    # The live model is explained again, and was never changed.
    np.testing.assert_array_equal(explain(x, y).values, real.values)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_handles_are_given_back_when_the_clone_cannot_be_explained() -> None:
    model = normalised_cnn()
    x, y = images(4)
    explain = saliency()(model)
    real = explain(x, y)
    function = explain.functions()[0]
    captures = [id(c) for c in function.captured_inputs]
    with pytest.raises(ValueError, match="Received"):
        quality._on_copies(explain, quality._Copy(model), x, y + 9)
    assert [id(c) for c in function.captured_inputs] == captures
    np.testing.assert_array_equal(explain(x, y).values, real.values)
    # Other inputs need another trace, which would read the weights of the live model.
    assert quality._on_copies(explain, quality._Copy(model), x[:3], y[:3]) is None


def test_elements_that_equal_the_baseline_are_no_agreement_of_random_weights() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Input((40,)), keras.layers.Dense(3)])
    rng = np.random.default_rng(14)
    x, y = rng.normal(size=(6, 40)).astype("float32"), np.array([0, 1, 2, 0, 1, 2])
    x[:, ::2] = 0.5
    x[4] = x[5] = 0.5
    x[4, :3], x[5, :2] = [1, 2, 3], [1, 2]
    method = integrated_gradients(2, baseline=0.5)
    values = method(model)(x, y).values
    clone = quality._Copy(model)
    draws = np.random.default_rng(7)
    for _, group in reversed(clone.groups):
        quality._randomise(group, draws)
    other = method(clone)(x, y).values
    found = quality.randomised(method, model, x, y, seed=7, baseline=0.5)(values)
    for i in range(5):
        kept = x[i] != 0.5
        one, two = np.abs(values[i, kept])[None], np.abs(other[i, kept])[None]
        assert found[i] == pytest.approx(drift.spearman(one, two)[0], abs=1e-5)
    assert np.isnan(found[5])  # two elements are too few
    # As they are in both, zeros look like an agreement.
    assert (quality.randomised(method, model, x, y, seed=7)(values)[:4] > found[:4] + 0.2).all()
    each = np.full((6, 40), 0.5, np.float32)
    same = quality.randomised(method, model, x, y, seed=7, baseline=each, chosen=[0, 2])
    np.testing.assert_allclose(same(values), found[[0, 2]])


def test_pixels_that_equal_the_baseline_in_all_channels_are_left_out() -> None:
    x = np.zeros((1, 2, 2, 2), np.float32)
    x[0, 0, 0, 1] = x[0, 1] = 1
    for shape in ((1, 2, 2), (1, 2, 2, 1)):
        moved = quality._moved(np.ones(shape), x, 0.0)
        np.testing.assert_array_equal(moved, [[True, False, True, True]])
    assert quality._moved(np.ones((1, 3, 3)), x, 0.0).all()
    both = {"b": x, "a": np.zeros((1, 2))}
    moved = quality._moved(
        {"b": None, "a": np.ones((1, 2))}, both, {"b": 0.0, "a": np.array([0.0, 1.0])}
    )
    np.testing.assert_array_equal(moved, [[False, True]])


class Subclassed(keras.Model):
    """Without get_config, with a nested model and state."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.inner = keras.Sequential(
            [keras.layers.Dense(units, activation="relu"), keras.layers.BatchNormalization()]
        )
        self.drop = keras.layers.Dropout(0.5)
        self.top = keras.layers.Dense(3, activation="softmax")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.top(self.drop(self.inner(x, training=training), training=training))


def test_randomisation_serves_models_that_cannot_be_cloned() -> None:
    keras.utils.set_random_seed(1)
    model = Subclassed(8)
    rng = np.random.default_rng(12)
    x, y = rng.normal(size=(4, 6)).astype("float32"), np.array([0, 1, 2, 0])
    model(x)
    before = [w.copy() for w in model.get_weights()]
    copy = quality._Copy(model)
    ours, theirs = saliency()(copy)(x, y), saliency()(model)(x, y)
    np.testing.assert_allclose(ours.values, theirs.values, rtol=1e-6)
    np.testing.assert_allclose(ours.output, theirs.output, rtol=1e-6)
    found = quality.parameter_randomisation(saliency(), model, x, y)
    assert found.spearman.shape == (3, 4)
    assert (found.spearman[-1] < 0.95).all()
    assert np.isnan(found.ssim).all()  # no image
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_randomisation_of_several_inputs_and_outputs_in_half_precision() -> None:
    keras.utils.set_random_seed(2)
    policy = "mixed_float16"
    a, b = keras.Input((4, 4, 1), name="a"), keras.Input((3,), name="b")
    h = keras.layers.Concatenate()([keras.layers.Flatten()(a), b])
    h = keras.layers.Dense(8, activation="tanh", dtype=policy)(h)
    age = keras.layers.Dense(1, name="age", dtype="float32")(h)
    kind = keras.layers.Dense(3, activation="softmax", name="kind", dtype="float32")(h)
    model = keras.Model([a, b], {"age": age, "kind": kind})
    rng = np.random.default_rng(13)
    x = [rng.normal(size=(4, 4, 4, 1)).astype("float32"), rng.normal(size=(4, 3)).astype("float32")]
    found = quality.parameter_randomisation(
        integrated_gradients(4, tolerance=np.inf), model, x, target=of_output("age", value)
    )
    assert len(found.layers) == 3
    assert np.isfinite(found.spearman).all()
    assert np.isfinite(found.ssim).all()
    empty = keras.Sequential([keras.layers.Input((3,)), keras.layers.Softmax()])
    with pytest.raises(ValueError, match="model must have weights"):
        quality.parameter_randomisation(saliency(), empty, x[1], [0, 1, 2, 0])
