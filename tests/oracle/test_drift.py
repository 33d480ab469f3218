"""Drift measures against slow definitions, scikit-learn and SciPy; series against hand counts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics import ndcg_score

from tb_xai import drift
from tb_xai.summary import Record

Pair = tuple[np.ndarray, np.ndarray]


def pairs_of(seed: int, n: int = 6, m: int = 23, *, ties: bool) -> Pair:
    """Related explanations (n, m), with many ties if asked."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, m))
    b = 0.6 * a + 0.8 * rng.normal(size=(n, m))
    if ties:
        a, b = np.round(a), np.round(b)
    assert (np.ptp(a, axis=1) > 0).all()
    assert not np.allclose(a, b)
    return a, b


def slow_kendall(u: np.ndarray, v: np.ndarray) -> float:
    concordance = tied_u = tied_v = 0
    for i, j in itertools.combinations(range(len(u)), 2):
        du, dv = np.sign(u[i] - u[j]), np.sign(v[i] - v[j])
        concordance += du * dv
        tied_u += du == 0
        tied_v += dv == 0
    pairs = len(u) * (len(u) - 1) / 2
    return concordance / math.sqrt((pairs - tied_u) * (pairs - tied_v))


def slow_ssim(u: np.ndarray, v: np.ndarray) -> float:
    """Wang et al. (2004), equations 13 to 17, window by window, for two maps (h, w)."""
    span = max(u.max(), v.max()) - min(u.min(), v.min())
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    half = 5
    index = np.arange(-half, half + 1)
    weight = np.exp(-(index[:, None] ** 2 + index[None, :] ** 2) / (2 * 1.5**2))
    weight /= weight.sum()
    found = []
    for i in range(half, u.shape[0] - half):
        for j in range(half, u.shape[1] - half):
            x = u[i - half : i + half + 1, j - half : j + half + 1]
            y = v[i - half : i + half + 1, j - half : j + half + 1]
            mx, my = (weight * x).sum(), (weight * y).sum()
            vx, vy = (weight * (x - mx) ** 2).sum(), (weight * (y - my) ** 2).sum()
            cov = (weight * (x - mx) * (y - my)).sum()
            top = (2 * mx * my + c1) * (2 * cov + c2)
            found.append(top / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(found))


# --- oracles with known answers


def test_the_top_two_of_four_swapped() -> None:
    a, b = np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([[3.0, 4.0, 2.0, 1.0]])
    np.testing.assert_allclose(drift.spearman(a, b), [0.8], rtol=1e-15)
    np.testing.assert_allclose(drift.kendall(a, b), [2 / 3], rtol=1e-15)
    np.testing.assert_array_equal(drift.top_k_overlap(a, b, 2), [1.0])
    np.testing.assert_array_equal(drift.top_k_overlap(a, b, 1), [0.0])
    logs = 1 / np.log2([2, 3, 4, 5])
    expected = ([3, 4, 2, 1] @ logs) / ([4, 3, 2, 1] @ logs)
    np.testing.assert_allclose(drift.ndcg(a, b), [expected], rtol=1e-14)


def test_cosine_of_known_angles() -> None:
    a = np.array([[1.0, 0.0], [1.0, 0.0], [3.0, 4.0], [1.0, 1.0]])
    b = np.array([[1.0, math.sqrt(3)], [0.0, -5.0], [-6.0, -8.0], [7.0, 7.0]])
    np.testing.assert_allclose(drift.cosine(a, b), [0.5, 0.0, -1.0, 1.0], atol=1e-15)


def test_signs_count_for_ranks_and_magnitudes_for_the_top() -> None:
    a, b = np.array([[5.0, 1.0, -4.0]]), np.array([[5.0, 1.0, 4.0]])
    assert drift.spearman(a, b)[0] == pytest.approx(0.5)
    assert drift.spearman(np.abs(a), np.abs(b))[0] == 1.0
    assert drift.top_k_overlap(a, b, 2)[0] == 1.0
    assert drift.ndcg(a, b)[0] == 1.0


# --- slow definitions, SciPy and scikit-learn


@pytest.mark.parametrize("ties", [False, True])
def test_rank_correlations_are_those_of_scipy_and_of_the_definition(ties: bool) -> None:
    a, b = pairs_of(1, ties=ties)
    rho = [stats.spearmanr(u, v).statistic for u, v in zip(a, b, strict=True)]
    tau = [stats.kendalltau(u, v, variant="b").statistic for u, v in zip(a, b, strict=True)]
    np.testing.assert_allclose(drift.spearman(a, b), rho, rtol=1e-12)
    np.testing.assert_allclose(drift.kendall(a, b), tau, rtol=1e-12)
    slow = [slow_kendall(u, v) for u, v in zip(a, b, strict=True)]
    np.testing.assert_allclose(drift.kendall(a, b), slow, rtol=1e-12)


@pytest.mark.parametrize("k", [None, 1, 5, 23])
@pytest.mark.parametrize("ties", [False, True])
def test_ndcg_is_that_of_scikit_learn(ties: bool, k: int | None) -> None:
    a, b = pairs_of(2, ties=ties)
    expected = [ndcg_score(np.abs(a[i : i + 1]), np.abs(b[i : i + 1]), k=k) for i in range(len(a))]
    np.testing.assert_allclose(drift.ndcg(a, b, k), expected, rtol=1e-12)


def test_top_k_overlap_is_the_intersection_of_sets() -> None:
    a, b = pairs_of(3, ties=False)
    for k in (1, 7, 23):
        sets = [
            len(set(np.argsort(-np.abs(u))[:k]) & set(np.argsort(-np.abs(v))[:k])) / k
            for u, v in zip(a, b, strict=True)
        ]
        np.testing.assert_allclose(drift.top_k_overlap(a, b, k), sets, rtol=1e-14)


def test_a_tie_at_the_border_of_the_top_k_is_shared() -> None:
    a, b = np.array([[3.0, 1.0, 1.0, 0.0]]), np.array([[3.0, 1.0, 0.5, 0.0]])
    # Places: feature 0 has one; of a, features 1 and 2 have half of the second, of b 1 has all.
    np.testing.assert_array_equal(drift.top_k_overlap(a, b, 2), [(1 + 0.5) / 2])
    np.testing.assert_array_equal(drift.top_k_overlap(a, a, 2), [1.0])


def test_ssim_is_the_definition_of_wang() -> None:
    rng = np.random.default_rng(4)
    a = rng.normal(size=(3, 17, 14)).cumsum(axis=1)
    b = a + rng.normal(size=a.shape)
    slow = [slow_ssim(u, v) for u, v in zip(a, b, strict=True)]
    assert 0.1 < min(slow) < max(slow) < 0.95
    np.testing.assert_allclose(drift.ssim(a, b), slow, rtol=1e-10)
    # Channels are averaged under the one range that they share.
    both = drift.ssim(np.stack([a[:1], a[:1]], -1), np.stack([b[:1], a[:1]], -1))
    np.testing.assert_allclose(both, [(slow[0] + 1) / 2], rtol=1e-10)


def test_ssim_has_a_closed_form_for_scaled_and_for_shifted_maps() -> None:
    rng = np.random.default_rng(5)
    a = rng.normal(size=(1, 11, 11))  # one window
    g = np.exp(-((np.arange(11) - 5.0) ** 2) / 4.5)
    weight = np.outer(g, g) / np.outer(g, g).sum()
    mean = (weight * a[0]).sum()
    var = (weight * (a[0] - mean) ** 2).sum()
    span = max(a.max(), 2 * a.max()) - min(a.min(), 2 * a.min())
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    expected = (4 * mean**2 + c1) / (5 * mean**2 + c1) * (4 * var + c2) / (5 * var + c2)
    np.testing.assert_allclose(drift.ssim(a, 2 * a), [expected], rtol=1e-12)
    # The range is shared: the same picture at half the strength is not the same map.
    assert drift.ssim(a, 2 * a)[0] < 0.9


@pytest.mark.parametrize("side", [3, 4, 8, 11])
def test_ssim_answers_for_small_native_maps(side: int) -> None:
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(2, 4, side, side + 1))
    np.testing.assert_allclose(drift.ssim(a, a), 1.0, rtol=1e-12)
    assert (np.abs(drift.ssim(a, b)) < 0.9).all()


# --- invariants

MEASURES: dict[str, Callable[..., np.ndarray]] = {
    "cosine": drift.cosine,
    "spearman": drift.spearman,
    "kendall": drift.kendall,
    "top_k_overlap": lambda a, b: drift.top_k_overlap(a, b, 3),
    "ndcg": drift.ndcg,
    "ssim": lambda a, b: drift.ssim(np.reshape(a, (-1, 3, 4)), np.reshape(b, (-1, 3, 4))),
}
MAPS = hnp.arrays(
    np.float64,
    (2, 12),
    elements=st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6, width=32)),
)


@pytest.mark.parametrize("name", MEASURES)
@given(a=MAPS, b=MAPS)
@settings(max_examples=60, deadline=None)
def test_measures_stay_in_range_and_an_explanation_agrees_with_itself(
    name: str, a: np.ndarray, b: np.ndarray
) -> None:
    measure = MEASURES[name]
    with np.errstate(all="raise", under="ignore"):
        between, itself = measure(a, b), measure(a, a)
    low = 0.0 if name in ("top_k_overlap", "ndcg") else -1.0
    assert ((between >= low - 1e-9) & (between <= 1 + 1e-9) | np.isnan(between)).all()
    for value, row in zip(itself, a, strict=True):
        flat = np.abs(row) if name in ("top_k_overlap", "ndcg") else row
        if not (row.any() if name == "cosine" else np.ptp(flat)):
            assert np.isnan(value)
        else:
            assert value == pytest.approx(1.0, abs=1e-9)
    if name != "ndcg":
        np.testing.assert_allclose(between, measure(b, a), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["cosine", "spearman", "kendall", "top_k_overlap", "ndcg"])
@given(a=MAPS, b=MAPS, seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_features_does_not_matter(
    name: str, a: np.ndarray, b: np.ndarray, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(a.shape[1])
    measure = MEASURES[name]
    np.testing.assert_allclose(measure(a[:, order], b[:, order]), measure(a, b), atol=1e-12)


@given(
    v=hnp.arrays(np.int64, st.integers(1, 40), elements=st.integers(-4, 4)),
    w=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_kendall_of_any_length_is_the_count_of_pairs(v: np.ndarray, w: object) -> None:
    u = np.array([w.randint(-3, 3) for _ in v])  # type: ignore[attr-defined]
    found = drift.kendall(u[None], v[None])[0]
    if np.ptp(u) == 0 or np.ptp(v) == 0:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(slow_kendall(u, v), abs=1e-12)


def test_kendall_is_not_quadratic() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(2, 1, 224 * 224))
    assert abs(drift.kendall(a, b)[0]) < 0.02  # 50,176 features: a pair table would be 20 GB
    np.testing.assert_array_equal(drift.kendall(a, -a), [-1.0])


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e150])
def test_measures_do_not_depend_on_a_common_unit(scale: float) -> None:
    a, b = pairs_of(8, m=12, ties=False)
    for name, measure in MEASURES.items():
        np.testing.assert_allclose(
            measure(a * scale, b * scale), measure(a, b), rtol=1e-6, err_msg=name
        )


# --- undefined and wrong


@pytest.mark.parametrize("name", MEASURES)
def test_undefined_is_nan_for_this_example_alone(name: str) -> None:
    a, b = pairs_of(9, n=5, m=12, ties=False)
    whole = MEASURES[name](a, b)
    a[1, 3], b[2, 4], a[3] = np.nan, np.inf, 0.0
    found = MEASURES[name](a, b)
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, True, False])
    np.testing.assert_array_equal(found[[0, 4]], whole[[0, 4]])


def test_a_constant_map_ranks_nothing_but_has_a_direction() -> None:
    a, b = np.ones((1, 12)), np.arange(12.0)[None]
    for name, measure in MEASURES.items():
        assert np.isnan(measure(a, b)[0]) == (name != "cosine"), name
        assert np.isnan(measure(b, a)[0]) == (name != "cosine"), name
    assert drift.cosine(a, a)[0] == 1.0
    assert np.isnan(drift.spearman([[1.0]], [[2.0]])[0])
    assert drift.cosine(np.empty((0, 3)), np.empty((0, 3))).shape == (0,)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"Received: shapes \(1, 2\) and \(1, 3\)"):
        drift.cosine([[1.0, 2.0]], [[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match="examples first"):
        drift.spearman([1.0, 2.0], [1.0, 2.0])
    for k in (0, 4, True, 1.5):
        with pytest.raises(ValueError, match="k must be a whole number from 1 to 3"):
            drift.top_k_overlap([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]], k)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="SSIM compares maps"):
        drift.ssim(np.ones((2, 30)), np.ones((2, 30)))


# --- series over records


def record(step: int, values: np.ndarray, stderr: np.ndarray | None = None, **meta: str) -> Record:
    arrays = {"x": values} if stderr is None else {"x": values, "x.stderr": stderr}
    return Record("ig", step, float(step), "attribution", meta, {}, arrays)


def test_series_compare_with_the_step_before_or_with_a_pinned_one() -> None:
    rng = np.random.default_rng(10)
    maps = rng.normal(size=(3, 4, 5, 5))
    records = [record(s, m) for s, m in zip([0, 50, 100], maps, strict=True)]
    before = drift.series(records[::-1], drift.spearman)
    np.testing.assert_array_equal(before.steps, [0, 50, 100])
    np.testing.assert_array_equal(before.against, [-1, 0, 50])
    assert np.isnan(before.values[0]).all()
    assert before.reasons[0] == "Nothing was logged before this step."
    np.testing.assert_array_equal(before.values[2], drift.spearman(maps[1], maps[2]))
    assert before.mean[2] == pytest.approx(before.values[2].mean())
    pinned = drift.series(records, drift.spearman, reference=50)
    np.testing.assert_array_equal(pinned.values[1], np.ones(4))
    np.testing.assert_array_equal(pinned.values[2], before.values[2])
    with pytest.raises(ValueError, match="reference must be"):
        drift.series(records, reference=3)


def test_series_say_why_a_step_has_no_value() -> None:
    rng = np.random.default_rng(11)
    maps = rng.normal(size=(6, 2, 7))
    records = [
        record(0, maps[0]),
        Record("ig", 1, 1.0, "attribution", {}, {}, {}),
        record(2, maps[2]),
        record(3, maps[3], probe="other"),
        record(4, maps[4][:, :3], probe="other"),
        record(5, maps[5][:, :3], probe="other"),
    ]
    found = drift.series(records)
    np.testing.assert_array_equal(np.isfinite(found.values).all(axis=1), [0, 0, 0, 0, 0, 1])
    assert "not stored" in found.reasons[1]
    assert "not stored" in found.reasons[2]
    assert found.reasons[3] == "Step 2 explained other examples."
    assert "shape" in found.reasons[4]
    assert found.reasons[5] == ""
    assert drift.series([]).values.shape == (0, 0)


def test_several_inputs_are_compared_side_by_side_or_by_name() -> None:
    rng = np.random.default_rng(12)
    image, flat = rng.normal(size=(2, 3, 4, 4)), rng.normal(size=(2, 3, 2))
    records = [
        Record("ig", s, 0.0, "attribution", {}, {}, {"image": image[s], "flat": flat[s]})
        for s in range(2)
    ]
    side = [np.concatenate([flat[s], image[s].reshape(3, -1)], axis=1) for s in range(2)]
    np.testing.assert_allclose(drift.series(records).values[1], drift.cosine(*side))
    found = drift.series(records, drift.ssim, name="image").values[1]
    np.testing.assert_array_equal(found, drift.ssim(*image))
    with pytest.raises(ValueError, match="name must be an explained input"):
        drift.series(records, name="text")


def test_importances_drift_as_one_example() -> None:
    means = [np.array([3.0, 2.0, 1.0]), np.array([3.0, 1.0, 2.0])]
    records = [
        Record("pi", s, 0.0, "importance", {}, {"mean": m, "stderr": np.full(3, 0.1)})
        for s, m in enumerate(means)
    ]
    assert drift.series(records, drift.spearman).values[1] == pytest.approx([0.5])
    floor = drift.noise_floor(records, drift.cosine)
    assert ((floor.values > 0.98) & (floor.values < 1)).all()


# --- agreement between methods


def loaded(values: np.ndarray, tag: str = "ig", step: int = 0, **meta: object) -> drift.Loaded:
    return drift.load(Record(tag, step, 0.0, "attribution", dict(meta), {}, {"x": values}))


@pytest.mark.parametrize("grid", [(4, 4), (3, 5), (1, 1), (8, 6)])
def test_a_coarser_grid_holds_means_by_area(grid: tuple[int, int]) -> None:
    maps = np.random.default_rng(20).normal(size=(3, 8, 6))
    h, w = grid
    # Every fine cell cut into h x w equal parts: then each coarse cell is a block of whole parts.
    parts = maps.repeat(h, axis=1).repeat(w, axis=2)
    slow = parts.reshape(3, h, 8, w, 6).mean(axis=(2, 4))
    np.testing.assert_allclose(drift.coarser(maps, h, w), slow, atol=1e-14)
    np.testing.assert_allclose(slow.mean(axis=(1, 2)), maps.mean(axis=(1, 2)), atol=1e-14)


def test_methods_agree_on_what_they_have_in_common() -> None:
    rng = np.random.default_rng(21)
    fine, coarse = rng.normal(size=(4, 8, 8, 3)), np.abs(rng.normal(size=(4, 2, 2)))
    row, words = drift.agreement(
        drift.spearman, loaded(coarse, "cam", signed=False), loaded(fine, signed=True)
    )
    blocks = np.abs(fine.sum(-1)).reshape(4, 2, 4, 2, 4).mean(axis=(2, 4))
    np.testing.assert_allclose(row.values, drift.spearman(coarse, blocks))
    assert np.ptp(row.values) > 0
    assert words == "magnitudes, maps of 2 x 2"
    same, words = drift.agreement(drift.cosine, loaded(fine), loaded(-fine))
    np.testing.assert_allclose(same.values, -1.0)
    assert words == ""
    same, words = drift.agreement(drift.cosine, loaded(fine, signed=False), loaded(-fine))
    np.testing.assert_allclose(same.values, 1.0)
    assert words == "magnitudes"


def test_methods_that_cannot_be_compared_say_why() -> None:
    maps, rows = np.ones((4, 8, 8, 1)), np.ones((4, 12))
    row, _ = drift.agreement(drift.cosine, loaded(rows, "table"), loaded(maps))
    assert row.reason == ("The explanations of 'table' have the shape (4, 12), not (4, 8, 8, 1).")
    row, _ = drift.agreement(drift.cosine, loaded(maps, "b", probe="p"), loaded(maps, probe="q"))
    assert row.reason == "Tag 'b' explained other examples."
    assert (row.n, row.values.shape) == (4, (0,))
    gone = drift.load(Record("cam", 0, 0.0, "attribution"))
    row, _ = drift.agreement(drift.cosine, gone, loaded(maps))
    assert row.reason == "The arrays of this step are not stored."


def test_every_measure_has_a_name_and_is_1_of_the_same_map() -> None:
    maps = np.random.default_rng(22).normal(size=(2, 5, 6))
    for name, measure in drift.MEASURES.items():
        np.testing.assert_allclose(measure(maps, maps), 1.0, err_msg=name)
    top = drift.MEASURES["top_k_overlap"](maps, -maps[::-1])
    np.testing.assert_array_equal(top, drift.top_k_overlap(maps, -maps[::-1], 5))


# --- noise floor and seed band


def test_a_deterministic_method_agrees_with_itself() -> None:
    rng = np.random.default_rng(13)
    records = [record(s, rng.normal(size=(3, 8))) for s in range(2)]
    records.append(record(2, np.zeros((3, 8))))
    floor = drift.noise_floor(records, drift.kendall)
    np.testing.assert_array_equal(floor.values[:2], 1.0)
    assert np.isnan(floor.values[2]).all()
    np.testing.assert_array_equal(floor.against, floor.steps)


@pytest.mark.parametrize("sigma", [0.5, 2.0, 9.0])
def test_the_noise_floor_is_that_of_two_real_estimates(sigma: float) -> None:
    """Monte-Carlo means of s draws: the floor from one record against fresh pairs of estimates."""
    rng = np.random.default_rng(14)
    m, draws = 400, 20
    truth = rng.normal(size=(6, m))

    def estimate() -> tuple[np.ndarray, np.ndarray]:
        samples = truth + sigma * rng.normal(size=(draws, *truth.shape))
        return samples.mean(axis=0), samples.std(axis=0, ddof=1) / math.sqrt(draws)

    real = np.mean([drift.cosine(estimate()[0], estimate()[0]) for _ in range(20)])
    assert real == pytest.approx(1 / (1 + sigma**2 / draws), abs=0.01)
    floors = [drift.noise_floor([record(0, *estimate())], drift.cosine).mean[0] for _ in range(5)]
    assert np.mean(floors) == pytest.approx(real, abs=0.02)


def test_the_noise_floor_is_seeded_by_step() -> None:
    rng = np.random.default_rng(15)
    values, stderr = rng.normal(size=(2, 5)), np.full((2, 5), 0.3)
    records = [record(s, values, stderr) for s in (0, 7)]
    first = drift.noise_floor(records, seed=1)
    np.testing.assert_array_equal(drift.noise_floor(records[1:], seed=1).values[0], first.values[1])
    assert (first.values[0] != first.values[1]).all()
    assert (drift.noise_floor(records, seed=2).values != first.values).all()
    with pytest.raises(ValueError, match="n_draws must be at least 1"):
        drift.noise_floor(records, n_draws=0)


def curve(values: list[float], steps: list[int]) -> drift.Series:
    table = np.array(values)[:, None] * np.ones(2)
    return drift.Series(np.array(steps), table, np.array(steps), ("",) * len(steps))


def test_a_seed_band_spans_the_runs_step_by_step() -> None:
    runs = [
        curve([np.nan, 0.5, 0.9], [0, 1, 2]),
        curve([np.nan, 0.7, 0.8], [0, 1, 2]),
        curve([0.2, 0.95], [1, 2]),
        curve([0.1], [3]),
    ]
    band = drift.seed_band(runs)
    np.testing.assert_array_equal(band.steps, [1, 2])
    np.testing.assert_allclose(band.low, [0.2, 0.8])
    np.testing.assert_allclose(band.middle, [0.5, 0.9])
    np.testing.assert_allclose(band.high, [0.7, 0.95])
    np.testing.assert_allclose(band.coverage, [0.5, 0.5])
    with pytest.raises(ValueError, match="at least two runs"):
        drift.seed_band(runs[:1])


def test_a_seed_band_covers_one_more_run_as_often_as_it_says() -> None:
    rng = np.random.default_rng(16)
    inside, trials, r = 0, 2000, 5
    for _ in range(trials):
        draws = rng.exponential(size=r + 1)
        band = drift.seed_band([curve([v], [0]) for v in draws[:r]])
        inside += band.low[0] <= draws[r] <= band.high[0]
    expected = band.coverage[0]
    assert expected == pytest.approx(4 / 6)
    assert abs(inside / trials - expected) < 4 * math.sqrt(expected * (1 - expected) / trials)
