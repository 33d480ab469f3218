"""Laws that perturbation methods obey on any game: the game itself is part of the drawn input."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tb_xai.gradients import Attribution, Binder
from tb_xai.perturbation import (
    feature_ablation,
    kernel_shap,
    lime,
    occlusion,
    rise,
    shapley_sampling,
)

P, N = 5, 3
GROUPS = [[i] for i in range(P)]
# Features: P players, then three rows of P weights and two shares, which no method removes.
WIDTH = P + 3 * P + 2


class Game(keras.Model):
    """u tanh(z.a + (z.b)(z.c)) + v (z.c)^3, with a, b, c, u, v read from the example itself."""

    def __init__(self) -> None:
        super().__init__()
        self.built = True

    def call(self, x: Any) -> Any:
        z = x[:, :P]
        a, b, c = (tf.reduce_sum(z * x[:, P * k : P * (k + 1)], 1) for k in (1, 2, 3))
        u, v = x[:, -2], x[:, -1]
        return (u * tf.tanh(a + b * c) + v * c**3)[:, None]


METHODS: dict[str, Binder] = {
    "feature_ablation": feature_ablation(groups=GROUPS),
    "exact": kernel_shap(groups=GROUPS),
    "kernel_shap": kernel_shap(groups=[*GROUPS, [P], [P + 1], [2 * P]], n_samples=60, exact=False),
    "shapley_sampling": shapley_sampling(8, groups=GROUPS),
    "lime": lime(40, groups=GROUPS),
    "occlusion": occlusion(3, 2),
    "rise": rise(30, 6),
}
EXACT = ("feature_ablation", "exact", "occlusion")


@functools.cache
def bound(name: str, batch_size: int | None = None) -> Any:
    return METHODS[name](Game(), batch_size=batch_size)


@st.composite
def examples(draw: st.DrawFn) -> np.ndarray:
    number = st.floats(-1.5, 1.5, width=16)
    return draw(arrays(np.float32, (N, WIDTH), elements=number))


few = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
each = pytest.mark.parametrize("name", list(METHODS))


def close(a: Any, b: Any, x: np.ndarray, scale: float = 1e-5) -> None:
    np.testing.assert_allclose(a, b, atol=scale * (1 + np.abs(x).max() ** 6 * 25))


@each
@few
@given(x=examples())
def test_an_example_is_explained_alike_alone_in_a_batch_and_in_chunks(
    name: str, x: np.ndarray
) -> None:
    whole: Attribution = bound(name)(x)
    again = bound(name)(x)
    np.testing.assert_array_equal(whole.values, again.values)
    chunked = bound(name, 7)(x[::-1])
    close(chunked.values[::-1], whole.values, x)
    alone = bound(name)(x[1:2])
    close(alone.values[0], whole.values[1], x)
    if whole.stderr is not None:
        close(alone.stderr[0], whole.stderr[1], x)
    assert bound(name).traces() <= 2  # chunks are no longer than the rows of one example


@pytest.mark.parametrize("name", ["exact", "kernel_shap", "shapley_sampling"])
@few
@given(x=examples())
def test_values_add_up(name: str, x: np.ndarray) -> None:
    a = bound(name)(x)
    close(a.players.sum(1), a.output - a.baseline_output, x)


@pytest.mark.parametrize("name", ["feature_ablation", "exact", "lime", "occlusion", "rise"])
@few
@given(x=examples(), player=st.integers(0, P - 1))
def test_what_changes_nothing_gets_nothing(name: str, x: np.ndarray, player: int) -> None:
    x = x.copy()
    x[:, player] = 0.0  # already at the baseline
    a = bound(name)(x)
    if name in ("feature_ablation", "exact"):
        close(a.values[:, player], 0, x, 1e-6)
    # With every player at the baseline there is nothing to explain at all.
    x[:, :P] = 0.0
    if name not in ("occlusion", "rise"):
        close(bound(name)(x).values, 0, x, 1e-6)


@pytest.mark.parametrize("name", ["feature_ablation", "exact"])
@few
@given(x=examples(), pair=st.permutations(range(P)))
def test_players_that_do_the_same_get_the_same(name: str, x: np.ndarray, pair: list[int]) -> None:
    x = x.copy()
    i, j = pair[:2]
    for row in range(4):
        x[:, row * P + j] = x[:, row * P + i]
    values = bound(name)(x).values
    close(values[:, i], values[:, j], x)


@pytest.mark.parametrize("name", ["feature_ablation", "exact"])
@few
@given(x=examples())
def test_explanations_add_up_as_models_do(name: str, x: np.ndarray) -> None:
    left, right = x.copy(), x.copy()
    left[:, -1] = 0
    right[:, -2] = 0
    explain = bound(name)
    close(explain(left).values + explain(right).values, explain(x).values, x)


@pytest.mark.parametrize("name", ["kernel_shap", "shapley_sampling", "lime", "rise"])
def test_seeds_change_the_draws_and_examples_draw_apart(name: str) -> None:
    x = np.random.default_rng(0).normal(size=(2, WIDTH))
    x[1] = x[0]
    other: dict[str, Any] = {
        "kernel_shap": lambda: kernel_shap(
            0.0, [*GROUPS, [P], [P + 1], [2 * P]], 60, 1, exact=False
        ),
        "shapley_sampling": lambda: shapley_sampling(8, groups=GROUPS, seed=1),
        "lime": lambda: lime(40, groups=GROUPS, seed=1),
        "rise": lambda: rise(30, 6, seed=1),
    }
    first = bound(name)(x).values
    np.testing.assert_array_equal(first[0], first[1])
    second = other[name]()(Game())(x).values
    assert np.abs(first - second).max() > 1e-4
    x[1, P:] = x[0, P:]
    x[1, -2:] *= 2  # the same game at twice the size, with draws of its own
    apart = bound(name)(x).values
    assert np.abs(apart[1, :P] - 2 * apart[0, :P]).max() > 1e-4
