"""Permutation importance: laws that hold for every model, table, plan and order."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tb_xai import importance
from tb_xai.importance import _t_quantile, permutation, permutation_importance

few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
many = settings(max_examples=200, deadline=None)
seeds = st.integers(0, 2**31)


def network(rng: np.random.Generator, d: int, units: int = 1, head: str = "linear") -> keras.Model:
    model = keras.Sequential([keras.Input((d,)), keras.layers.Dense(9, "tanh")])
    model.add(keras.layers.Dense(units, head))
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    return model


def table(rng: np.random.Generator, n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.normal(size=(n, d)).astype("float32"), rng.normal(size=n)


@given(seeds, st.integers(2, 40), st.integers(1, 6), st.integers(1, 12), st.integers(1, 300))
@few
def test_batch_size_changes_nothing(seed, n, d, repeats, batch_size):
    rng = np.random.default_rng(seed)
    model, (x, y) = network(rng, d), table(rng, n, d)
    whole = permutation_importance(model, x, y, n_repeats=repeats)
    chunks = permutation_importance(model, x, y, n_repeats=repeats, batch_size=batch_size)
    for part in ("mean", "low", "high", "stderr", "score"):
        np.testing.assert_allclose(
            getattr(chunks, part), getattr(whole, part), rtol=2e-4, atol=2e-5, err_msg=part
        )


@given(seeds, st.integers(2, 30), st.integers(1, 5))
@few
def test_all_seeds_agree_once_all_pairs_are_visited(seed, n, d):
    rng = np.random.default_rng(seed)
    model, (x, y) = network(rng, d), table(rng, n, d)
    one = permutation_importance(model, x, y, n_repeats=n, seed=1)
    two = permutation_importance(model, x, y, n_repeats=10 * n, seed=2)
    np.testing.assert_allclose(one.mean, two.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one.stderr, two.stderr, rtol=1e-2, atol=1e-4)
    again = permutation_importance(model, x, y, n_repeats=3, seed=1)
    same = permutation_importance(model, x, y, n_repeats=3, seed=1)
    np.testing.assert_array_equal(again.low, same.low)
    if n > 10:
        other = permutation_importance(model, x, y, n_repeats=3, seed=2)
        assert (again.mean != other.mean).any()


@given(seeds, st.integers(3, 30), st.integers(2, 5))
@few
def test_features_are_known_by_position_only(seed, n, d):
    """Columns in another order, together with the weights, give the values in that order."""
    rng = np.random.default_rng(seed)
    model, (x, y) = network(rng, d), table(rng, n, d)
    order = rng.permutation(d)
    first, *rest = model.get_weights()
    turned = keras.models.clone_model(model)
    turned.set_weights([first[order], *rest])
    found = permutation_importance(model, x, y)
    other = permutation_importance(turned, x[:, order], y)
    np.testing.assert_allclose(other.mean, found.mean[order], rtol=1e-3, atol=1e-4)
    alone = {f"x{j}": [j] for j in range(d)}
    np.testing.assert_array_equal(
        permutation_importance(model, x, y, groups=alone).mean, found.mean
    )


@given(seeds, st.integers(3, 30), st.floats(0.01, 100))
@few
def test_metric_times_c_is_importance_times_c_and_the_sign_follows_the_direction(seed, n, c):
    rng = np.random.default_rng(seed)
    model, (x, y) = network(rng, 3), table(rng, n, 3)
    weight = rng.uniform(0.1, 3, n)

    def error(y, p):
        return (y - p[:, 0]) ** 2

    plain = permutation_importance(
        model, x, y, error, greater_is_better=False, sample_weight=weight
    )
    score = permutation_importance(
        model,
        x,
        y,
        lambda y, p: 5 - c * error(y, p),
        greater_is_better=True,
        sample_weight=2 * weight,
    )
    scale = np.abs(plain.mean).max() * c + 1e-6
    for part in ("mean", "low", "high", "stderr"):
        np.testing.assert_allclose(
            getattr(score, part) / scale, getattr(plain, part) * c / scale, atol=2e-3, err_msg=part
        )
    assert score.score == pytest.approx(5 - c * plain.score, rel=1e-4, abs=1e-3)


@given(
    seeds,
    st.integers(2, 40),
    st.sampled_from(["log_loss", "brier", "accuracy", "auc", "mse", "mae"]),
    st.integers(1, 8),
)
@few
def test_ends_enclose_the_mean_and_unused_columns_are_zero(seed, n, metric, repeats):
    rng = np.random.default_rng(seed)
    model, (x, _) = network(rng, 5, 1, "sigmoid"), table(rng, n, 5)
    first, *rest = model.get_weights()
    first[1] = 0
    model.set_weights([first, *rest])
    x[:, 3] = rng.normal()
    y = np.arange(n) % 2
    explain = permutation(repeats, metric, batch_size=int(rng.integers(1, 200)))(model)
    for weight in (None, rng.uniform(0.5, 2, n)):
        found = explain(x, y, weight)
        assert (found.low <= found.mean).all()
        assert (found.mean <= found.high).all()
        assert (found.stderr >= 0).all()
        for part in (found.mean, found.low, found.high, found.stderr):
            assert part[1] == part[3] == 0.0
            assert np.isfinite(part).all()
    assert explain.traces() == 1


@given(
    st.integers(1, 500),
    st.integers(1, 40),
    st.integers(1, 30),
    st.integers(1, 3000),
    st.integers(1, 100_000),
)
@many
def test_plan_visits_each_row_feature_and_repeat_once_within_the_batch(
    n, d, repeats, batch, at_once
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance, "_VALUES_AT_ONCE", at_once)
        plan = importance._plan(n, d, repeats, batch)
    blocks, rows, m, feature_chunks, q, repeat_chunks, slab_features, slab_repeats = plan
    assert q * m * rows <= max(batch, 1)
    assert n * slab_features * slab_repeats <= max(at_once, n)
    assert blocks * rows >= n > (blocks - 1) * rows
    assert feature_chunks * m >= slab_features > (feature_chunks - 1) * m
    assert repeat_chunks * q >= slab_repeats > (repeat_chunks - 1) * q
    assert slab_repeats == repeats or slab_features == 1
    # The values of a batch find their way back to feature, repeat and row.
    total = blocks * (1 + feature_chunks * repeat_chunks)
    values = np.empty((total, q * m * rows))
    place = np.arange(q * m * rows)
    for i in range(total):
        j = i // blocks - 1
        row = i % blocks * rows + place % rows
        feature = j // repeat_chunks * m + place // rows % m
        shift = j % repeat_chunks * q + place // (rows * m)
        values[i] = -1 - row if j < 0 else (feature * 1000 + shift) * 1000 + row
    base, perturbed = importance._unfold(values, n, plan)
    assert (base == -1 - np.arange(n)).all()
    for j in (0, slab_features // 2, slab_features - 1):
        expected = (j * 1000 + np.arange(slab_repeats)[:, None]) * 1000 + np.arange(n)
        np.testing.assert_array_equal(perturbed(j, slab_repeats), expected)


@given(st.floats(1, 1e6))
@many
def test_quantile_of_student(freedom):
    stats = pytest.importorskip("scipy.stats")
    assert _t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.03)
    whole = float(round(freedom))
    assert _t_quantile(whole) == pytest.approx(stats.t.ppf(0.975, whole), rel=1e-4)
