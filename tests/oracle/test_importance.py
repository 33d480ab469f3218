"""Permutation importance against closed forms, the definition in plain NumPy, and scikit-learn."""

from __future__ import annotations

from statistics import NormalDist

import keras
import numpy as np
import pytest

from tb_xai.importance import (
    ablation_importance,
    correlation,
    mutual_information,
    permutation,
    permutation_importance,
    single_feature_score,
)


def linear(b: list[float], c: float = 0.0) -> keras.Model:
    model = keras.Sequential([keras.Input((len(b),)), keras.layers.Dense(1)])
    model.layers[0].set_weights([np.array(b, "float32")[:, None], np.array([c], "float32")])
    return model


def network(d: int = 5, units: int = 1, activation: str | None = "sigmoid", seed: int = 0):
    """A small network with fixed weights that does not use its last column."""
    rng = np.random.default_rng(seed)
    layers = [keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(units, activation)]
    model = keras.Sequential([keras.Input((d,)), *layers])
    first = rng.normal(size=(d, 16))
    first[-1] = 0
    last = rng.normal(size=(16, units))
    model.set_weights([first, rng.normal(size=16), last, np.zeros(units)])
    return model


def correlated(n: int, rho: float, seed: int) -> np.ndarray:
    z = np.random.default_rng(seed).normal(size=(n, 2))
    return np.stack([z[:, 0], rho * z[:, 0] + np.sqrt(1 - rho**2) * z[:, 1]], axis=1)


def all_pairs(predict, loss, x, y, columns, weight=None) -> float:
    """The definition: mean over all pairs (i, k), minus the mean loss; weights as repeated rows."""
    w = np.ones(len(x)) if weight is None else np.asarray(weight, float)
    w = w / w.sum()
    total = 0.0
    for k in range(len(x)):
        changed = x.copy()
        changed[:, columns] = x[k, columns]
        total += w[k] * float(w @ loss(y, predict(changed)))
    return total - float(w @ loss(y, predict(x)))


def predictions(model: keras.Model):
    return lambda x: np.asarray(model(x.astype("float32"), training=False), np.float64)


def square(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return (y - p[:, 0]) ** 2


def cross_entropy(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    p = p[:, 0]
    return -np.where(y == 1, np.log(p), np.log(1 - p))


# --- the estimate ---


def test_perfect_linear_fit_gives_twice_b_squared_variance():
    x = np.random.default_rng(0).normal(size=(4000, 5))
    x[:, 4] = 3.0
    b = [2.0, 1.0, 0.5, 0.0, 7.0]
    found = permutation_importance(linear(b), x, x @ b)
    np.testing.assert_allclose(found.mean[:3], [8, 2, 0.5], rtol=0.06)
    assert (found.low[:3] < np.array([8, 2, 0.5])).all()
    assert (found.high[:3] > np.array([8, 2, 0.5])).all()
    # An unused feature and a constant column: exactly nothing, and no doubt about it.
    for part in (found.mean, found.low, found.high, found.stderr):
        assert (part[3:] == 0.0).all()
    assert found.score == pytest.approx(0, abs=1e-10)
    assert found.metric == "mse"


def test_misfitted_linear_model_gives_twice_b_covariance():
    n = 60
    x = correlated(n, 0.6, 1)
    y = x @ [2.0, -0.7] + 0.3 * np.random.default_rng(2).normal(size=n)
    b = np.array([0.5, 0.4])
    found = permutation_importance(linear(list(b), 0.3), x, y, n_repeats=n)
    for j in range(2):
        rest = y - x[:, 1 - j] * b[1 - j]
        expected = 2 * b[j] * np.cov(x[:, j], rest, bias=True)[0, 1]
        assert abs(expected / (2 * b[j] ** 2) - 1) > 0.3  # not the case of a perfect fit
        assert found.mean[j] == pytest.approx(expected, rel=1e-4)


def test_group_is_shuffled_jointly():
    x = correlated(8000, 0.8, 3)
    y = x @ [2.0, 1.0]
    joint = permutation_importance(linear([2, 1]), x, y, groups={"both": [0, 1]}, n_repeats=20)
    single = permutation_importance(linear([2, 1]), x, y, n_repeats=20)
    assert joint.names == ["both"]
    assert joint.mean[0] == pytest.approx(16.4, rel=0.04)
    assert single.mean.sum() == pytest.approx(10, rel=0.04)
    assert joint.low[0] < 16.4 < joint.high[0]


@pytest.mark.parametrize("batch_size", [None, 7, 64])
def test_all_repeats_give_the_exact_value_over_all_pairs(batch_size):
    n = 41
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(n, 5)).astype("float32"), rng.integers(0, 2, n)
    model = network()
    found = permutation_importance(model, x, y, n_repeats=n, batch_size=batch_size)
    exact = [all_pairs(predictions(model), cross_entropy, x, y, [j]) for j in range(5)]
    assert np.abs(exact[:4]).min() > 1e-3
    np.testing.assert_allclose(found.mean, exact, rtol=1e-4, atol=1e-6)
    assert found.mean[4] == found.low[4] == found.high[4] == 0.0
    assert found.score == pytest.approx(cross_entropy(y, predictions(model)(x)).mean(), rel=1e-5)
    assert found.metric == "log_loss"


def test_few_repeats_are_unbiased_for_the_value_over_all_pairs():
    n, draws_of_order = 40, 300
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(n, 5)).astype("float32"), rng.integers(0, 2, n)
    model = network()
    exact = np.array([all_pairs(predictions(model), cross_entropy, x, y, [j]) for j in range(4)])
    explain = permutation(n_repeats=3)(model)
    draws = []
    for _ in range(draws_of_order):  # rows in another order are another random order of the ring
        rows = rng.permutation(n)
        draws.append(explain(x[rows], y[rows]).mean[:4])
    draws = np.array(draws)
    error = draws.std(axis=0, ddof=1) / np.sqrt(draws_of_order)
    assert (error > 0).all()
    assert (np.abs(draws.mean(axis=0) - exact) < 3.5 * error).all()
    # Independent permutations have the spread of 3 means of n pairs; the ring must not be worse.
    predict, base = predictions(model), cross_entropy(y, predictions(model)(x)).mean()
    free = []
    for seed in range(100):
        order = np.random.default_rng(seed)
        one = []
        for _ in range(3):
            changed = x.copy()
            changed[:, 0] = x[order.permutation(n), 0]
            one.append(cross_entropy(y, predict(changed)).mean() - base)
        free.append(np.mean(one))
    assert draws[:, 0].std() < 1.1 * np.std(free)


def test_scikit_learn_agrees_within_its_standard_error():
    inspection = pytest.importorskip("sklearn.inspection")
    base = pytest.importorskip("sklearn.base")
    n, repeats = 300, 60
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(n, 5)).astype("float32"), rng.integers(0, 2, n)
    model = network()
    predict = predictions(model)

    class Wrapped(base.ClassifierMixin, base.BaseEstimator):
        def fit(self, x, y):
            return self

    def scores(_, x, y):
        p = predict(x)
        return {"log_loss": -cross_entropy(y, p).mean(), "accuracy": ((p[:, 0] > 0.5) == y).mean()}

    theirs = inspection.permutation_importance(
        Wrapped(), x, y, scoring=scores, n_repeats=repeats, random_state=0
    )
    for metric in ("log_loss", "accuracy"):
        ours = permutation_importance(model, x, y, metric=metric, n_repeats=repeats)
        other = theirs[metric]
        error = other.importances_std[:4] / np.sqrt(repeats)
        assert (error > 0).all()
        difference = np.abs(ours.mean[:4] - other.importances_mean[:4])
        assert (difference < 3.5 * np.sqrt(2) * error).all()


@pytest.mark.parametrize("full", [True, False])
def test_weights_act_as_repeated_rows(full):
    n = 30
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(n, 5)).astype("float32"), rng.integers(0, 2, n)
    weight = rng.integers(0, 4, n)
    assert (weight == 0).any()
    model = network()
    exact = np.array(
        [all_pairs(predictions(model), cross_entropy, x, y, [j], weight) for j in range(5)]
    )
    plain = np.array([all_pairs(predictions(model), cross_entropy, x, y, [j]) for j in range(5)])
    assert np.abs(exact - plain)[:4].min() > 1e-4
    copies = np.repeat(np.arange(n), weight)
    again = [
        all_pairs(predictions(model), cross_entropy, x[copies], y[copies], [j]) for j in range(5)
    ]
    np.testing.assert_allclose(exact, again, rtol=1e-6, atol=1e-9)
    if full:
        found = permutation_importance(model, x, y, n_repeats=n, sample_weight=weight)
        np.testing.assert_allclose(found.mean, exact, rtol=1e-4, atol=1e-6)
        base = cross_entropy(y, predictions(model)(x))
        assert found.score == pytest.approx(np.average(base, weights=weight), rel=1e-5)
        scaled = permutation_importance(model, x, y, n_repeats=n, sample_weight=weight * 0.37)
        np.testing.assert_allclose(scaled.low, found.low, rtol=1e-9)
        even = permutation_importance(model, x, y, sample_weight=np.full(n, 2.5))
        none = permutation_importance(model, x, y)
        for part in ("mean", "low", "high", "stderr"):
            np.testing.assert_allclose(getattr(even, part), getattr(none, part), rtol=1e-5)
    else:
        explain = permutation(n_repeats=5)(model)
        rows = [rng.permutation(n) for _ in range(100)]
        draws = np.array([explain(x[r], y[r], weight[r]).mean for r in rows])
        error = draws.std(axis=0, ddof=1) / 10
        assert (np.abs(draws.mean(axis=0) - exact)[:4] < 3.7 * error[:4]).all()


def test_errors_and_scores_both_give_positive_importance():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(400, 5)).astype("float32")
    model = network()
    y = (predictions(model)(x)[:, 0] > rng.uniform(size=400)).astype(int)
    values = np.arange(5.0)
    for metric in ("log_loss", "brier", "accuracy", "auc", "mse", "mae"):
        found = permutation_importance(model, x, y, metric=metric)
        top = int(np.argmax(found.mean))
        assert found.low[top] > 0, metric
        assert found.metric == metric
        values = found.mean
        assert values[4] == 0.0
    hit = lambda y, p: 1.0 * ((p[:, 0] > 0.5) == (y == 1))  # noqa: E731
    score = permutation_importance(model, x, y, metric=hit, greater_is_better=True)
    error = permutation_importance(
        model, x, y, metric=lambda y, p: 1.0 - hit(y, p), greater_is_better=False
    )
    same = permutation_importance(model, x, y, metric="accuracy")
    np.testing.assert_allclose(score.mean, same.mean, rtol=1e-6)
    np.testing.assert_allclose(error.mean, same.mean, rtol=1e-6)
    assert same.mean.max() > 0.02


# --- the interval ---


@pytest.mark.parametrize(
    ("n", "noise", "fitted"),
    [(120, 0.0, [2.0, 1.0, 0.5]), (250, 1.0, [2.0, 0.6, 0.3]), (400, 0.7, [1.5, 1.2, -0.4])],
)
def test_interval_covers_the_population_value_in_95_percent_of_simulations(n, noise, fitted):
    """x normal with correlation 0.5 of neighbours; y = 2 x0 + x1 + 0.5 x2 + noise."""
    cov = np.array([[1, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 1]])
    true, b = np.array([2.0, 1.0, 0.5]), np.array(fitted)
    # Population value: 2 b_j Cov(x_j, y - sum of the other b_l x_l).
    population = 2 * b * (cov @ (true - b) + b * np.diag(cov))
    root = np.linalg.cholesky(cov)
    explain = permutation(n_repeats=10)(linear(fitted))
    rng = np.random.default_rng(n)
    inside = np.zeros(3)
    below = np.zeros(3)
    for _ in range(1000):
        x = rng.normal(size=(n, 3)) @ root.T
        y = x @ true + noise * rng.normal(size=n)
        found = explain(x, y)
        inside += (found.low <= population) & (population <= found.high)
        below += population < found.low
    assert explain.traces() == 1
    assert (inside >= 930).all(), inside
    assert (inside <= 970).all(), inside
    assert (below >= 5).all(), below  # both ends do their part
    assert (1000 - inside - below >= 5).all(), (inside, below)


@pytest.mark.parametrize("repeats", [1, 10])
def test_standard_error_is_the_spread_over_data_sets(repeats):
    explain = permutation(n_repeats=repeats)(linear([2, 1]))
    rng = np.random.default_rng(repeats)
    means, errors = [], []
    for _ in range(600):
        x = rng.normal(size=(80, 2))
        found = explain(x, x @ [2, 1] + rng.normal(size=80))
        means.append(found.mean)
        errors.append(found.stderr)
    spread = np.std(means, axis=0, ddof=1)
    typical = np.sqrt(np.mean(np.square(errors), axis=0))
    np.testing.assert_allclose(typical, spread, rtol=0.12)


def test_weighted_interval_covers_the_population_value():
    """Rows drawn from a wide distribution, weighted back to the narrow one."""
    explain = permutation(n_repeats=10)(linear([1.0]))
    rng = np.random.default_rng(9)
    inside = 0
    for _ in range(600):
        x = rng.normal(size=(300, 1)) * 1.4
        weight = 1.4 * np.exp(-(x[:, 0] ** 2) / 2 + x[:, 0] ** 2 / (2 * 1.4**2))
        found = explain(x, x[:, 0] + 0.5 * rng.normal(size=300), weight)
        inside += found.low[0] <= 2.0 <= found.high[0]
    assert 0.925 * 600 <= inside <= 0.975 * 600


# --- metrics ---


def area(y: np.ndarray, s: np.ndarray) -> float:
    positive, negative = s[y == 1], s[y == 0]
    above = positive[:, None] > negative[None]
    ties = positive[:, None] == negative[None]
    return float((above + 0.5 * ties).mean())


def test_area_under_the_curve_by_its_definition():
    n = 61
    rng = np.random.default_rng(10)
    x = rng.normal(size=(n, 5)).astype("float32").round(0)  # ties
    y = rng.integers(0, 2, n)
    model = linear([1, 2, -1, 3, 0])
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    found = permutation_importance(model, x, y, metric="auc", n_repeats=n, batch_size=32)
    predict = predictions(model)
    assert found.score == pytest.approx(area(y, predict(x)[:, 0]), abs=1e-6)
    order = np.random.default_rng(0).permutation(n)
    for j in range(5):
        areas = []
        for r in range(1, n):
            changed = x.copy()
            changed[order, j] = x[np.roll(order, -r), j]
            areas.append(area(y, predict(changed)[:, 0]))
        expected = (found.score - np.mean(areas)) * (n - 1) / n
        assert found.mean[j] == pytest.approx(expected, abs=1e-5)
    assert found.mean[4] == found.high[4] == 0.0


def test_interval_of_the_area_covers_the_population_value():
    model = linear([1.0, 1.0])
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    explain = permutation(metric="auc", n_repeats=10)(model)

    def draw(rng, n):
        y = (rng.uniform(size=n) < 0.25).astype(int)
        return rng.normal(size=(n, 2)) + np.array([0.8, 0.3]) * y[:, None], y

    # Of two normal scores: Phi(shift / sd). Shuffling x_j mixes its two classes.
    big_x, big_y = draw(np.random.default_rng(11), 400_000)
    full = area_fast(big_y, big_x.sum(axis=1))
    order = np.random.default_rng(12).permutation(len(big_y))
    population = np.array(
        [full - area_fast(big_y, big_x[:, 1 - j] + big_x[order, j]) for j in range(2)]
    )
    rng = np.random.default_rng(13)
    inside = np.zeros(2)
    for _ in range(500):
        found = explain(*draw(rng, 200))
        inside += (found.low <= population) & (population <= found.high)
    assert (inside >= 0.925 * 500).all(), inside
    assert (inside <= 0.975 * 500).all(), inside


def area_fast(y: np.ndarray, s: np.ndarray) -> float:
    rank = np.empty(len(s))
    rank[np.argsort(s)] = np.arange(1, len(s) + 1)
    ones = int(y.sum())
    return float((rank[y == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(s) - ones)))


@pytest.mark.parametrize("head", ["softmax", "logits", "uncompiled logits", "one-hot", "soft"])
def test_log_loss_of_classes_by_its_definition(head):
    n, k = 37, 3
    rng = np.random.default_rng(14)
    x = rng.normal(size=(n, 4)).astype("float32")
    y = rng.integers(0, k, n)
    model = network(4, k, None if "logits" in head else "softmax")
    if head == "logits":
        model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    q = np.eye(k)[y]
    if head == "soft":
        q = 0.8 * q + 0.2 / k

    def loss(_, z):
        if "logits" in head:
            z = np.exp(z - z.max(axis=1, keepdims=True))
            z /= z.sum(axis=1, keepdims=True)
        return -(q * np.log(z)).sum(axis=1)

    given = q if head in ("one-hot", "soft") else y
    found = permutation_importance(model, x, given, n_repeats=n)
    assert found.metric == "log_loss"
    exact = [all_pairs(predictions(model), loss, x, y, [j]) for j in range(4)]
    np.testing.assert_allclose(found.mean, exact, rtol=1e-4, atol=1e-5)


def test_log_loss_survives_a_confident_softmax():
    """Probabilities of float32 end at exactly 0; the loss goes on through the logits."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    model.set_weights([np.array([[400.0, -400.0], [0, 0]]), np.zeros(2)])
    x = np.array([[1.0, 5], [-1, 6], [1, 7], [-1, 8]])
    y = np.array([0, 1, 0, 1])
    found = permutation_importance(model, x, y, n_repeats=4)
    # Half of the pairs (i, k) flip the sign: a loss of 800 nats.
    assert found.mean[0] == pytest.approx(400, rel=1e-5)
    assert found.mean[1] == 0.0


def test_several_sigmoid_units_average_their_losses():
    n = 29
    rng = np.random.default_rng(15)
    x, y = rng.normal(size=(n, 4)).astype("float32"), rng.integers(0, 2, (n, 3))
    model = network(4, 3, "sigmoid")

    def loss(y, p):
        return -np.where(y == 1, np.log(p), np.log(1 - p)).mean(axis=1)

    found = permutation_importance(model, x, y, n_repeats=n)
    exact = [all_pairs(predictions(model), loss, x, y, [j]) for j in range(4)]
    np.testing.assert_allclose(found.mean, exact, rtol=1e-4, atol=1e-6)


def test_keras_loss_equals_the_metric_of_the_same_name():
    rng = np.random.default_rng(16)
    x, y = rng.normal(size=(50, 5)).astype("float32"), rng.integers(0, 2, 50)
    model = network()
    ours = permutation_importance(model, x, y, metric="log_loss")
    keras_loss = permutation_importance(
        model, x, y[:, None], metric=keras.losses.BinaryCrossentropy()
    )
    np.testing.assert_allclose(ours.mean, keras_loss.mean, rtol=1e-3, atol=1e-5)
    assert keras_loss.metric == "binary_crossentropy"
    assert keras_loss.mean.max() > 0.01


# --- conditional, ablation, baselines ---


def test_conditional_shuffle_leaves_what_the_other_columns_tell():
    """2 b^2 (1 - rho^2) for a perfect fit, where the plain shuffle gives 2 b^2."""
    rho, b = 0.8, np.array([2.0, 1.0])
    x = correlated(4000, rho, 17)
    found = permutation_importance(linear(list(b)), x, x @ b, conditional="linear", n_repeats=20)
    expected = 2 * b**2 * (1 - rho**2)
    np.testing.assert_allclose(found.mean, expected, rtol=0.06)
    assert ((found.low < expected) & (expected < found.high)).all()
    both = permutation_importance(
        linear(list(b)), x, x @ b, conditional="linear", groups={"both": [0, 1]}, n_repeats=20
    )
    # Nothing is left to depend on: the plain joint shuffle, 2 b' S b.
    assert both.mean[0] == pytest.approx(16.4, rel=0.06)
    wide = np.column_stack([x, np.full(len(x), 2.0)])
    with_constant = permutation_importance(linear([2, 1, 3]), wide, x @ b + 6, conditional="linear")
    assert with_constant.mean[2] == with_constant.high[2] == 0.0


def test_residuals_of_the_conditional_shuffle_are_those_of_least_squares():
    n, b = 50, np.array([1.0, -2.0, 0.5])
    rng = np.random.default_rng(18)
    x = (rng.normal(size=(n, 3)) @ rng.normal(size=(3, 3)) + 3).astype("float32")
    y = x @ b + rng.normal(size=n)
    found = permutation_importance(linear(list(b)), x, y, conditional="linear", n_repeats=n)
    for j in range(3):
        rest = np.column_stack([np.ones(n), np.delete(x, j, axis=1)])
        fit = rest @ np.linalg.lstsq(rest, x[:, j].astype(float), rcond=None)[0]
        loss = [
            np.square(y - x @ b - b[j] * (fit + x[k, j] - fit[k] - x[:, j])).mean()
            for k in range(n)
        ]
        expected = np.mean(loss) - np.square(y - x @ b).mean()
        assert found.mean[j] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_strata_take_donors_from_their_own_stratum(weighted):
    n = 15
    rng = np.random.default_rng(19)
    strata = np.array(["a"] * 5 + ["b"] * 9 + ["alone"])[rng.permutation(n)]
    x, y = rng.normal(size=(n, 5)).astype("float32"), rng.integers(0, 2, n)
    w = rng.integers(1, 4, n).astype(float) if weighted else np.ones(n)
    model = network()
    predict = predictions(model)
    exact = np.zeros(5)
    for s in np.unique(strata):
        own = strata == s
        for j in range(5):
            value = all_pairs(predict, cross_entropy, x[own], y[own], [j], w[own])
            exact[j] += w[own].sum() / w.sum() * value
    # 8 repeats are two rounds over the 4 shifts of "a" and one over the 8 of "b".
    found = permutation_importance(
        model, x, y, conditional=strata, n_repeats=8, sample_weight=w, batch_size=20
    )
    plain = permutation_importance(model, x, y, n_repeats=n, sample_weight=w).mean
    assert np.abs(plain - exact)[:4].min() > 1e-4
    np.testing.assert_allclose(found.mean, exact, rtol=1e-4, atol=1e-6)
    assert found.mean[4] == found.high[4] == 0.0


def test_conditional_interval_covers_the_population_value():
    b, rho = np.array([2.0, 1.0]), 0.6
    explain = permutation(conditional="linear")(linear(list(b)))
    population = 2 * b**2 * (1 - rho**2)
    inside = np.zeros(2)
    for seed in range(600):
        x = correlated(250, rho, seed)
        y = x @ b + 0.5 * np.random.default_rng(10_000 + seed).normal(size=250)
        found = explain(x, y)
        inside += (found.low <= population) & (population <= found.high)
    assert (inside >= 0.925 * 600).all(), inside
    assert (inside <= 0.975 * 600).all(), inside


def test_ablation_replaces_a_column_by_its_mean():
    n = 50
    rng = np.random.default_rng(20)
    x, y = rng.normal(size=(n, 5)).astype("float32"), rng.integers(0, 2, n)
    w = rng.integers(0, 3, n)
    model = network()
    predict = predictions(model)
    found = ablation_importance(model, x, y, sample_weight=w)
    for j in range(5):
        changed = x.copy()
        changed[:, j] = np.average(x[:, j], weights=w)
        loss = cross_entropy(y, predict(changed)) - cross_entropy(y, predict(x))
        assert found.mean[j] == pytest.approx(np.average(loss, weights=w), rel=1e-4, abs=1e-6)
    assert found.mean[4] == found.high[4] == 0.0
    # Linear, perfect fit: the variance, half of what a shuffle costs; its error that of a mean.
    b = np.array([2.0, 1.0, 0.5])
    x = rng.normal(size=(500, 3))
    found = ablation_importance(linear(list(b)), x, x @ b)
    np.testing.assert_allclose(found.mean, b**2 * x.var(axis=0), rtol=1e-3)
    squares = b**2 * (x - x.mean(axis=0)) ** 2
    np.testing.assert_allclose(found.stderr, squares.std(axis=0, ddof=1) / np.sqrt(500), rtol=1e-3)
    at_two = ablation_importance(linear(list(b)), x, x @ b, value=2.0)
    np.testing.assert_allclose(at_two.mean, b**2 * np.square(x - 2).mean(axis=0), rtol=1e-3)


def test_mutual_information_of_normals_and_of_a_perfect_class():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(21)
    n, rho = 4000, 0.9
    y = rng.normal(size=n)
    x = np.column_stack([rho * y + np.sqrt(1 - rho**2) * rng.normal(size=n), np.ones(n)])
    found = mutual_information(x, y)
    assert found.mean[0] == pytest.approx(-0.5 * np.log(1 - rho**2), abs=0.05)
    assert found.mean[1] == 0.0
    assert np.isnan(found.low).all()
    label = rng.integers(0, 2, n)
    counted = mutual_information(np.column_stack([label, rng.integers(0, 2, n)]), label)
    np.testing.assert_allclose(counted.mean, [np.log(2), 0], atol=2e-3)


def test_correlation_and_its_interval():
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(22)
    inside = 0
    for _ in range(400):
        y = rng.normal(size=60)
        x = np.column_stack([-0.7 * y + np.sqrt(0.51) * rng.normal(size=60), rng.normal(size=60)])
        found = correlation(x, y)
        inside += found.low[0] <= 0.7 <= found.high[0]
    assert found.mean[0] == pytest.approx(abs(np.corrcoef(x[:, 0], y)[0, 1]), rel=1e-5)
    assert 0.925 * 400 <= inside <= 0.975 * 400
    x = rng.normal(size=(90, 2))
    x[:, 1] = 4.0
    y = rng.integers(0, 3, 90)
    x[:, 0] += y
    groups = np.array([x[y == c, 0].mean() for c in range(3)])
    eta = np.sqrt(
        np.square(groups[y] - x[:, 0].mean()).sum() / np.square(x[:, 0] - x[:, 0].mean()).sum()
    )
    found = correlation(x, y)
    np.testing.assert_allclose(found.mean, [eta, 0.0], rtol=1e-5)


# --- one column alone ---


def fifths(n: int, classes: np.ndarray | None = None) -> np.ndarray:
    """The fold of each row, as the score draws them with seed 0."""
    order = np.random.default_rng(0).permutation(n)
    if classes is not None:
        order = order[np.argsort(classes[order], kind="stable")]
    fold = np.empty(n, int)
    fold[order] = np.arange(n) % 5
    return fold


def histogram(x: np.ndarray) -> np.ndarray:
    """The bin of each value: at most 16 of equal mass, 20 rows each, by mean ranks."""
    n, bins = len(x), min(16, len(x) // 20)
    rank = np.array([(x < v).sum() + ((x == v).sum() + 1) / 2 for v in x])
    return ((rank - 0.5) * bins / n).astype(int)


def told_slowly(x: np.ndarray, y: np.ndarray) -> float:
    """The area for two classes: of the column either way, or of shares in bins of other rows."""
    direct = area(y, x)
    fold, bins = fifths(len(x), y), histogram(x)
    right, pairs = 0.0, 0
    for f in range(5):
        other, held = fold != f, fold == f
        share = y[other].mean()
        guess = np.empty(len(x))
        for b in range(bins.max() + 1):
            own = other & (bins == b)
            guess[bins == b] = (y[own].sum() + share) / (own.sum() + 1)
        count = (y[held] == 1).sum() * (y[held] == 0).sum()
        right, pairs = right + count * area(y[held], guess[held]), pairs + count
    return max(direct, 1 - direct, right / pairs)


def test_single_score_of_shifted_normals_is_phi_of_the_shift_by_root_two():
    n = 20_000
    rng = np.random.default_rng(30)
    shift = np.array([0.0, 0.5, -1.0, 2.0, 3.0])
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 5)) + y[:, None] * shift
    found = single_feature_score(x, y)
    expected = np.array([NormalDist().cdf(abs(d) / 2**0.5) for d in shift])
    np.testing.assert_allclose(found.mean, expected, atol=0.01)
    assert ((found.low <= expected) & (expected <= found.high)).all()
    assert (found.metric, np.isnan(found.score)) == ("auc", True)
    # The same for labels of other kinds.
    for other in (y.astype("float32"), y == 1, np.array(["no", "yes"])[y], np.eye(2)[y]):
        np.testing.assert_array_equal(single_feature_score(x, other).mean, found.mean)


@pytest.mark.parametrize("digits", [8, 0], ids=["", "ties"])
def test_single_score_of_two_classes_by_its_definition(digits):
    n = 130
    rng = np.random.default_rng(31)
    y = (rng.uniform(size=n) < 0.4).astype(int)
    x = rng.normal(size=(n, 4)).round(digits)
    x[:, 0] += y
    x[:, 1] = (x[:, 1] * np.where(y == 1, 0.3, 2.0)).round(digits)  # told by its spread
    x[:, 2] -= 2 * y
    slow = [told_slowly(x[:, j], y) for j in range(4)]
    plain = area(y, x[:, 1])
    assert slow[1] > max(plain, 1 - plain) + 0.05
    np.testing.assert_allclose(single_feature_score(x, y).mean, slow, atol=1e-12)


def test_single_score_names_leaks_of_every_kind_and_no_noise():
    n, k = 1500, 6
    rng = np.random.default_rng(32)
    y = rng.integers(0, k, n)
    codes = rng.permutation(k)
    x = np.column_stack(
        [
            y + 0.05 * rng.normal(size=n),  # in order
            codes[y],  # in any order
            y == 3,  # of one class only
            np.where(rng.uniform(size=n) < 0.02, rng.integers(0, k, n), y),  # with a few errors
            *rng.normal(size=(40, n)),
        ]
    )
    found = single_feature_score(x, y)
    assert (found.low[:4] > 0.95).all()
    assert (found.mean[4:] < 0.56).all()
    assert found.mean[4:].mean() < 0.53
    assert (found.low[4:] < 0.53).all()
    assert ((found.low <= found.mean) & (found.mean <= found.high)).all()
    # A rare class that a column tells by chance is no leak.
    rare = np.zeros(n, int)
    rare[np.argsort(x[:, 10])[:3]] = 1
    lucky = single_feature_score(x[:, [10]], rare)
    assert lucky.mean[0] > 0.99
    assert lucky.low[0] < 0.8
    few = single_feature_score(np.arange(20)[:, None], np.arange(20) >= 10)
    assert few.mean[0] == few.high[0] == 1
    assert 0.6 < few.low[0] < 0.9


def test_single_score_sees_what_is_not_monotone():
    n = 2000
    z = np.random.default_rng(33).normal(size=n)
    inside = np.abs(z) < NormalDist().inv_cdf(0.75)  # the middle half
    assert max(area_fast(inside, z), 1 - area_fast(inside, z)) < 0.55
    found = single_feature_score(z[:, None], inside)
    assert found.mean[0] > 0.99
    assert found.low[0] > 0.95
    square = single_feature_score(z[:, None], z**2)
    assert abs(np.corrcoef(z, z**2)[0, 1]) < 0.3
    assert square.mean[0] > 0.95


def test_single_score_of_values_is_spearman_or_what_a_histogram_explains():
    n, rho = 20_000, 0.7
    rng = np.random.default_rng(34)
    y = rng.normal(size=n)
    x = np.column_stack([np.exp(-rho * y + np.sqrt(1 - rho**2) * rng.normal(size=n)), y**3])
    found = single_feature_score(x, y)
    # Of two normals: 6 / pi asin(rho / 2).
    np.testing.assert_allclose(found.mean, [6 / np.pi * np.arcsin(rho / 2), 1.0], atol=0.01)
    assert found.metric == "rank_correlation"
    # Slowly, on fewer rows, for a curve with ties.
    n = 110
    x, y = rng.normal(size=n).round(1), rng.normal(size=n)
    y += 2 * np.abs(x)
    fold, bins = fifths(n), histogram(x)
    rank = np.array([(y < v).sum() + 1.0 for v in y])
    error = 0.0
    for i in range(n):
        other = fold != fold[i]
        own = other & (bins == bins[i])
        guess = (rank[own].sum() + rank[other].mean()) / (own.sum() + 1)
        error += (rank[i] - guess) ** 2
    r = np.sqrt(1 - error / np.square(rank - rank.mean()).sum())
    assert r > 0.5
    assert single_feature_score(x[:, None], y).mean[0] == pytest.approx(r, abs=1e-3)


@pytest.mark.parametrize(
    ("shift", "n", "share"), [(0.5, 100, 0.5), (1.5, 80, 0.3), (2.3, 300, 0.1)]
)
def test_interval_of_the_single_score_covers_the_population_value(shift, n, share):
    y = (np.arange(n) < share * n).astype(int)
    truth = NormalDist().cdf(shift / 2**0.5)
    x = np.random.default_rng(n).normal(size=(n, 600)) + shift * y[:, None]
    found = single_feature_score(x, y)
    inside = ((found.low <= truth) & (truth <= found.high)).mean()
    assert 0.935 <= inside < 1.0
    assert (found.low > truth).mean() < 0.025
    assert found.stderr.mean() == pytest.approx(found.mean.std(), rel=0.35)
    y = np.random.default_rng(0).normal(size=80)
    x = 0.6 * y[:, None] + 0.8 * np.random.default_rng(n).normal(size=(80, 600))
    found = single_feature_score(x, y)
    truth = 6 / np.pi * np.arcsin(0.3)
    assert 0.93 <= ((found.low <= truth) & (truth <= found.high)).mean() < 1.0
