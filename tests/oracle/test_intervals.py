"""Intervals cover the truth as often as they say: a short run of `benchmarks.intervals`."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from benchmarks import intervals
from tb_xai import perturbation


@pytest.fixture(scope="module")
def games() -> list[intervals.Coverage]:
    return list(intervals.of_games(400, seeds=2))


@pytest.mark.parametrize(
    "name",
    ["shapley_sampling", "kernel_shap", "lime", "rise", "smooth_grad_squared"],
)
def test_standard_errors_cover_the_truth(games: list[intervals.Coverage], name: str) -> None:
    found = [g for g in games if g.name == name]
    assert found
    assert 0.93 <= np.mean([each.covered for each in found]) <= 0.97
    for each in found:  # 400 draws of two games leave a percent of noise
        assert 0.92 <= each.covered <= 0.98, each
        assert min(each.below, each.above) > 0.01, each


def test_standard_errors_that_are_known_to_be_rough_are_as_told(
    games: list[intervals.Coverage],
) -> None:
    smooth = [g for g in games if g.name == "smooth_grad"]
    assert [0.85 < g.covered < 0.96 for g in smooth] == [True, True]
    free, few, balanced = (g for g in games if g.name == "expected_gradients")
    assert 0.92 <= free.covered <= 0.98
    assert 0.92 <= few.covered <= 0.98
    assert balanced.covered > 0.97  # an upper estimate, as it says


def test_intervals_over_rows_cover_the_population_value() -> None:
    found = list(intervals.of_linear_models(400))
    assert len(found) == 3 * 19
    plain = [f for f in found if f.name == "permutation, interval"]
    assert len({f.case for f in plain}) == 19
    shares = np.array([f.covered for f in plain])
    assert 0.945 < shares.mean() < 0.965
    assert shares.min() > 0.915
    # What it is made of does worse where data are skewed.
    skewed = "exponential, perfect, 200 rows"
    ours, student, _ = (f.covered for f in found if f.case == skewed)
    assert student < ours - 0.03
    for other in intervals.of_settings(120):
        assert other.covered > 0.89, other


def test_truths_are_those_of_slow_definitions() -> None:
    f = intervals.game(4, 3, 2.0)
    orders = list(itertools.permutations(range(4)))
    phi = np.zeros(4)
    for order in orders:
        z = np.zeros(4)
        for i in order:
            before = f(z)
            z[i] = 1
            phi[i] += (f(z) - before) / len(orders)
    np.testing.assert_allclose(intervals.shapley(f, 4), phi, atol=1e-12)
    x = np.array([[0.3, -0.2, 0.5, 1.0, 0.9]])
    assert float(f.model(x)[0, 0]) == pytest.approx(float(f(x[0, :4])), rel=1e-5)
    steps = 1e-6 * np.eye(4)
    slope = [(f(x[0, :4] + h) - f(x[0, :4] - h)) / 2e-6 for h in steps]
    np.testing.assert_allclose(f.gradient(x[0, :4]), slope, rtol=1e-6)
    # Paths of one baseline add up to the difference; noise of no width is the gradient.
    base = np.array([[0.1, 0.4, -0.3, 0.0]])
    total = intervals.along_paths(f, x[0, :4], base).sum()
    assert total == pytest.approx(float(f(x[0, :4]) - f(base[0])), rel=1e-9)
    two = intervals.game(2, 0, 1.0)
    point = np.array([0.0, 1.0])
    still = intervals.smoothed(two, point, 1e-9, 2)
    np.testing.assert_allclose(still, two.gradient(point) ** 2, rtol=1e-6)
    # Hall's interval without skewness is Student's.
    low, high = intervals.hall(1.0, 0.1, 1e-9, 50)
    assert (low + high) / 2 == pytest.approx(1.0)
    assert math.isclose(high - low, 0.2 * 2.0096, rel_tol=1e-3)


def test_errors_that_are_too_small_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    f = intervals.coverage("a", "b", np.array([0.0, 2.0, -3.0]), np.array([1.0, 3.0, -2.0]), 0.5)
    assert f[2:] == (3, pytest.approx(1 / 3), pytest.approx(1 / 3), pytest.approx(1 / 3))
    monkeypatch.setattr(perturbation, "small_sample", lambda m: 0.8)
    some = itertools.islice(intervals.of_games(100, seeds=1), 8)
    assert np.mean([g.covered for g in some if g.name == "kernel_shap"]) < 0.9
    assert "%" in intervals.line(f)
