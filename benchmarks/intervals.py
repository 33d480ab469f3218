"""Coverage of every interval and standard error: `python -m benchmarks.intervals [--quick]`.

Each case has a truth in closed form, or by summing over all coalitions or fine quadrature; data
sets or draws are simulated, and counted is how often ``low <= truth <= high`` (or ``|value - truth|
<= 1.96 stderr``). An interval of 95 % is right when that is 95 %.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from tb_xai import gradients, importance, perturbation, targets

Array = np.ndarray


class Coverage(NamedTuple):
    """What one case gave: shares of the simulations.

    Attributes:
        name: the interval.
        case: what was simulated.
        count: simulated intervals.
        covered: share of intervals that hold the truth.
        below: share of intervals that end below the truth.
        above: share of intervals that begin above it.
    """

    name: str
    case: str
    count: int
    covered: float
    below: float
    above: float


def coverage(name: str, case: str, low: Array, high: Array, truth: Any) -> Coverage:
    """Count intervals (simulations, ...) that hold the truth (...)."""
    below, above = float((high < truth).mean()), float((low > truth).mean())
    return Coverage(name, case, low.size, 1 - below - above, below, above)


# --- importance: over rows ------------------------------------------------------------------------

DRAWS: dict[str, Callable[..., Array]] = {  # of unit variance
    "normal": lambda rng, *shape: rng.normal(size=shape),
    "uniform": lambda rng, *shape: rng.uniform(-math.sqrt(3), math.sqrt(3), size=shape),
    "Laplace": lambda rng, *shape: rng.laplace(scale=math.sqrt(0.5), size=shape),
    "exponential": lambda rng, *shape: rng.exponential(size=shape) - 1,
    "1 in 5": lambda rng, *shape: ((rng.uniform(size=shape) < 0.2) - 0.2) / 0.4,
}
FITS = {"perfect": (1.0, 0.0), "noisy": (1.0, 1.0), "misfitted": (0.6, 0.7)}  # b, noise
ROWS = (100, 200, 500)
SMALL = [  # 19 cases
    (draw, fit, n)
    for draw, fit, n in itertools.product(DRAWS, FITS, ROWS)
    if draw == "normal" or (n == 200 and fit != "misfitted") or (n == 500 and fit == "noisy")
][:19]


def of_linear_models(simulations: int) -> Iterator[Coverage]:
    """Permutation importance of y = x + noise under the model b x and the squared error.

    The population value is 2 b Cov(x, y) = 2 b, whatever the distribution of x. The interval stands
    beside its two ingredients, Student's t without a correction and Hall's without a half.
    """
    for draw, fit, n in SMALL:
        b, noise = FITS[fit]
        pairs = importance._Pairs(n, 10, None, None)
        rng = np.random.default_rng(n)
        ends = np.empty((3, 2, simulations))
        for s in range(simulations):
            x = DRAWS[draw](rng, n)
            error = (1 - b) * x + noise * rng.normal(size=n)
            moved = b * (x - np.stack([np.roll(x, -r) for r in range(1, 11)]))
            sums = importance._Sums(n)
            pairs.add(sums, moved * (2 * error + moved), 0)
            mean, influence, variance = pairs.moments(sums, 1.0)
            stderr = math.sqrt(variance / n)
            third = float((influence * influence) @ influence) / n
            ends[0, :, s] = importance._interval(mean, stderr, third, n, float(n))
            reach = importance._t_quantile(n - 1.0) * stderr
            ends[1, :, s] = mean - reach, mean + reach
            ends[2, :, s] = hall(mean, stderr, third, n)
        for name, (low, high) in zip(("interval", "t alone", "Hall alone"), ends, strict=True):
            yield coverage(f"permutation, {name}", f"{draw}, {fit}, {n} rows", low, high, 2 * b)


def hall(mean: float, stderr: float, third: float, n: int) -> tuple[float, float]:
    """Hall's interval for a skewed mean: his cubic transformation, undone at both ends."""
    t = importance._t_quantile(n - 1.0)
    skew = third / (stderr**2 * n) ** 1.5 / math.sqrt(n)
    ends = [
        mean - stderr * 3 / skew * (float(np.cbrt(1 + skew * (q - skew / 6))) - 1) for q in (t, -t)
    ]
    return ends[0], ends[1]


def linear(*b: float, loss: Any = None) -> keras.Model:
    model = keras.Sequential([keras.Input((len(b),)), keras.layers.Dense(1)])
    model.set_weights([np.array(b, "float32")[:, None], np.zeros(1, "float32")])
    if loss:
        model.compile(loss=loss)
    return model


def of_settings(simulations: int) -> Iterator[Coverage]:
    """The other settings of importance, through the compiled method, and what needs no model."""
    normal = importance.NormalDist().cdf

    def run(name: str, case: str, truth: Any, one: Callable[[Any], Any]) -> Coverage:
        rng = np.random.default_rng(0)
        found = [one(rng) for _ in range(simulations)]
        low, high = (np.array([getattr(f, end) for f in found]) for end in ("low", "high"))
        return coverage(name, case, low, high, truth)

    b, rho, n = np.array([2.0, 1.0]), 0.6, 250

    def related(rng: Any) -> tuple[Array, Array]:
        z = rng.normal(size=(n, 2))
        x = np.stack([z[:, 0], rho * z[:, 0] + math.sqrt(1 - rho**2) * z[:, 1]], axis=1)
        return x, x @ b + 0.5 * rng.normal(size=n)

    both = importance.permutation(groups={"both": [0, 1]})(linear(*b))
    alike = f"two related normals, {n} rows"
    truth: Any = 2 * (b @ b + 2 * rho * b[0] * b[1])
    yield run("permutation of a group", alike, truth, lambda rng: both(*related(rng)))
    rest = importance.permutation(conditional="linear")(linear(*b))
    truth = 2 * b**2 * (1 - rho**2)
    yield run("permutation, conditional", alike, truth, lambda rng: rest(*related(rng)))
    mean = importance.ablation(value=0.0)(linear(*b))
    truth = b**2
    yield run("ablation", alike, truth, lambda rng: mean(*related(rng)))

    narrow = importance.permutation()(linear(1.0))

    def weighted(rng: Any) -> Any:
        x = 1.4 * rng.normal(size=(300, 1))
        weight = np.exp(-(x[:, 0] ** 2) / 2 * (1 - 1 / 1.4**2))
        return narrow(x, x[:, 0] + 0.5 * rng.normal(size=300), weight)

    yield run("permutation, weighted", "a wide normal made narrow, 300 rows", 2.0, weighted)

    # Of scores that are normal in both classes, AUC = Phi(shift / sd); a shuffled column is a
    # mixture of two normals whatever the class.
    shift, share = np.array([0.8, 0.3]), 0.25
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    area = importance.permutation(metric="auc")(linear(1.0, 1.0, loss=loss))

    def classes(rng: Any) -> Any:
        y = (rng.uniform(size=200) < share).astype(int)
        return area(rng.normal(size=(200, 2)) + shift * y[:, None], y)

    def mixed(j: int) -> float:
        own, other = shift[1 - j], shift[j]
        parts = itertools.product(((share, 1), (1 - share, 0)), repeat=2)
        return sum(p * q * normal((own + (u - v) * other) / 2) for (p, u), (q, v) in parts)

    truth = np.array([normal(shift.sum() / 2) - mixed(j) for j in range(2)])
    yield run("permutation, auc", "two shifted normals, 200 rows", truth, classes)

    y = np.arange(200) % 2
    for d in (0.5, 1.0, 2.5):
        x = np.random.default_rng(1).normal(size=(200, simulations)) + d * y[:, None]
        found = importance.single_feature_score(x, y)
        case = f"normals {d} apart, 200 rows"
        truth = normal(d / math.sqrt(2))
        yield coverage("single_feature_score", case, found.low, found.high, truth)
    rng = np.random.default_rng(4)
    drawn = [rng.normal(size=60) for _ in range(simulations)]
    noise = math.sqrt(0.51) * rng.normal(size=(simulations, 60))
    parts = [
        importance.correlation((0.7 * a + e)[:, None], a) for a, e in zip(drawn, noise, strict=True)
    ]
    low, high = (np.array([getattr(f, end) for f in parts]) for end in ("low", "high"))
    yield coverage("correlation", "normals, r = 0.7, 60 rows", low, high, 0.7)


# --- attributions: over draws ---------------------------------------------------------------------


class Game(NamedTuple):
    """``f(z) = c . tanh(A z + a)`` of p players, with the same model seen many times.

    The model has one more input that it does not use: it makes examples differ, so that each has
    draws of its own.
    """

    model: keras.Model
    A: Array
    a: Array
    c: Array

    def __call__(self, z: Array) -> Array:
        value: Array = np.tanh(z @ self.A + self.a) @ self.c
        return value

    def gradient(self, z: Array) -> Array:
        slope: Array = ((1 - np.tanh(z @ self.A + self.a) ** 2) * self.c) @ self.A.T
        return slope


def game(p: int, seed: int, scale: float) -> Game:
    r = np.random.default_rng(seed)
    A, a, c = scale * r.normal(size=(p, 6)), r.normal(size=6), r.normal(size=6)
    layers = [keras.layers.Dense(6, "tanh"), keras.layers.Dense(1, use_bias=False)]
    model = keras.Sequential([keras.Input((p + 1,)), *layers])
    model.set_weights([np.concatenate([A, np.zeros((1, 6))]), a, c[:, None]])
    return Game(model, A, a, c)


def corners(p: int) -> Array:
    return np.array(list(itertools.product([0.0, 1.0], repeat=p)))


def shapley(f: Game, p: int) -> Array:
    """The definition: marginal contributions, over all coalitions."""
    Z = corners(p)
    v, size = f(Z), Z.sum(axis=1).astype(int)
    factor = [math.factorial(s) * math.factorial(p - s - 1) / math.factorial(p) for s in range(p)]
    phi = np.empty(p)
    for i in range(p):
        out = np.flatnonzero(Z[:, i] == 0)
        gain = v[out + (1 << (p - 1 - i))] - v[out]
        phi[i] = np.array(factor)[size[out]] @ gain
    return phi


def kept_or_not(f: Game, p: int) -> Array:
    """What RISE estimates: the mean with a player less the mean without."""
    Z = corners(p)
    return np.array([f(Z[Z[:, i] == 1]).mean() - f(Z[Z[:, i] == 0]).mean() for i in range(p)])


def surrogate(f: Game, p: int) -> Array:
    """What LIME estimates: weighted least squares over all coalitions."""
    Z = corners(p)
    w = np.exp(-((1 - np.sqrt(Z.mean(axis=1))) ** 2) / (2 * 0.25**2))
    design = np.concatenate([Z, np.ones((len(Z), 1))], axis=1)
    solved: Array = np.linalg.solve(design.T * w @ design, design.T @ (w * f(Z)))
    return solved[:p]


def smoothed(f: Game, x: Array, stdev: float, power: int) -> Array:
    """E[gradient ** power] under normal noise around x of two features, by quadrature."""
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    z = x + stdev * np.stack(np.meshgrid(node, node, indexing="ij"), axis=-1).reshape(-1, 2)
    found: Array = np.outer(weight, weight).reshape(-1) @ f.gradient(z) ** power
    return found


def along_paths(f: Game, x: Array, background: Array) -> Array:
    """Integrated gradients, averaged over all of the background."""
    node, weight = np.polynomial.legendre.leggauss(60)
    total = sum(
        w / 2 * f.gradient(background + (1 + t) / 2 * (x - background)) * (x - background)
        for t, w in zip(node, weight, strict=True)
    )
    mean: Array = np.mean(total, axis=0)
    return mean


def of_games(simulations: int, seeds: int = 3) -> Iterator[Coverage]:
    """Sampled attributions of random games, by 1.96 standard errors."""

    def run(
        name: str,
        case: str,
        x: Array,
        method: gradients.Binder,
        truth: Callable[[Game], Array],
        scale: float = 2.0,
    ) -> Coverage:
        p = len(x)
        misses = []
        for seed in range(seeds):
            f = game(p, seed, scale)
            marks = np.arange(simulations) / simulations  # between 0 and 1, within the range of x
            rows = np.concatenate([np.tile(x, (simulations, 1)), marks[:, None]], axis=1)
            a = method(f.model, target=targets.value, batch_size=4096)(rows)
            misses.append((a.values[:, :p] - truth(f)) / a.stderr[:, :p])
        found = np.array(misses)
        return coverage(name, case, found - 1.96, found + 1.96, 0.0)

    for p, samples in ((4, 64), (6, 64), (8, 64), (8, 200)):
        g = [[i] for i in range(p)]
        method = perturbation.shapley_sampling(samples, groups=g)
        case = f"{p} players, {samples} samples"
        yield run("shapley_sampling", case, np.ones(p), method, lambda f, p=p: shapley(f, p))
    for p, samples in ((6, 44), (7, 80), (8, 64), (8, 150)):
        g = [[i] for i in range(p)]
        method = perturbation.kernel_shap(groups=g, n_samples=samples, exact=False)
        case = f"{p} players, {samples} samples"
        yield run("kernel_shap", case, np.ones(p), method, lambda f, p=p: shapley(f, p))
    g = [[i] for i in range(6)]
    six = "6 players, 200 samples"
    lime = perturbation.lime(200, groups=g)
    yield run("lime", six, np.ones(6), lime, lambda f: surrogate(f, 6))
    rise = perturbation.rise(200, grid=7)
    yield run("rise", six, np.ones(6), rise, lambda f: kept_or_not(f, 6))
    x = np.array([0.0, 1.0])
    for samples in (20, 100):
        case = f"2 features, {samples} samples"
        plain = gradients.smooth_grad(samples, 0.15)
        yield run("smooth_grad", case, x, plain, lambda f: smoothed(f, x, 0.15, 1), 1.0)
        squared = gradients.smooth_grad_squared(samples, 0.15)
        yield run("smooth_grad_squared", case, x, squared, lambda f: smoothed(f, x, 0.15, 2), 1.0)
    x = np.ones(3)
    for many, samples in ((1000, 100), (1000, 20), (20, 100)):
        background = np.random.default_rng(7).normal(size=(many, 4)) * 0.5
        expected = gradients.expected_gradients(background, samples)
        yield run(
            "expected_gradients",
            f"background of {many}, {samples} samples",
            x,
            expected,
            lambda f, b=background: along_paths(f, x, b[:, :3]),
            1.0,
        )


# --- the table ------------------------------------------------------------------------------------


def line(found: Coverage) -> str:
    shares = f"{100 * found.covered:6.1f} %  {100 * found.below:5.1f} %  {100 * found.above:5.1f} %"
    return f"{found.name:26}  {found.case:34}  {found.count:8}  {shares}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intervals", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the simulations")
    parser.add_argument("--simulations", type=int, help="of each linear case (default: 4000)")
    arguments = parser.parse_args()
    many = arguments.simulations or (400 if arguments.quick else 4000)
    head = f"{'interval':26}  {'case':34}  {'number':>8}  covered    below    above"
    print(head, flush=True)
    span: dict[str, list[float]] = {}
    some = max(many // 4, 50)
    for found in itertools.chain(of_linear_models(many), of_settings(some), of_games(some)):
        print(line(found), flush=True)
        span.setdefault(found.name, []).append(found.covered)
    print()
    for name, shares in span.items():
        print(f"{name:26}  {100 * min(shares):.1f} to {100 * max(shares):.1f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
