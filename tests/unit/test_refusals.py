"""Input that cannot be explained is refused in one sentence of our own, alike by every method."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from keras import layers

from tb_xai import cam, gradients, perturbation, targets
from tb_xai.importance import ablation, permutation

N = 4
Y = np.array([0, 1, 2, 1])


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, *shape))


@functools.cache
def table() -> keras.Model:
    return keras.Sequential([keras.Input((5,), name="row"), layers.Dense(3, "softmax")])


@functools.cache
def image() -> keras.Model:
    parts = [layers.Conv2D(2, 3, name="conv_a"), layers.Conv2D(2, 3, name="conv_b")]
    head = [layers.GlobalAveragePooling2D(), layers.Dense(3, "softmax")]
    return keras.Sequential([keras.Input((8, 8, 1), name="image"), *parts, *head])


@functools.cache
def tokens() -> keras.Model:
    x = keras.Input((5,), dtype="int32", name="tokens")
    hidden = layers.GlobalAveragePooling1D()(layers.Embedding(12, 4)(x))
    return keras.Model(x, layers.Dense(3, "softmax")(hidden))


@functools.cache
def two(named: bool) -> keras.Model:
    a, b = keras.Input((3,), name="age"), keras.Input((2,), name="size")
    y = layers.Dense(3, "softmax")(layers.Concatenate()([a, b]))
    return keras.Model({"age": a, "size": b} if named else [a, b], y)


def good(model: keras.Model) -> Any:
    """A background for expected gradients that fits."""
    if model is tokens():
        return np.ones((2, 5), "int32")
    if model is image():
        return draw(8, 8, 1)
    return draw(5) if model is table() else {"age": draw(3), "size": draw(2)}


GRADIENTS: dict[str, Callable[[Any], Any]] = {
    "saliency": lambda _: gradients.saliency(),
    "smooth_grad": lambda _: gradients.smooth_grad(2),
    "integrated_gradients": lambda _: gradients.integrated_gradients(2),
    "expected_gradients": lambda model: gradients.expected_gradients(good(model), 2),
}
PERTURBATION: dict[str, Callable[[Any], Any]] = {
    "occlusion": lambda _: perturbation.occlusion(1),
    "feature_ablation": lambda _: perturbation.feature_ablation(),
    "kernel_shap": lambda _: perturbation.kernel_shap(),
    "shapley_sampling": lambda _: perturbation.shapley_sampling(4),
    "lime": lambda _: perturbation.lime(16),
}
RISE: dict[str, Callable[[Any], Any]] = {"rise": lambda _: perturbation.rise(4, 2)}
CAMS: dict[str, Callable[[Any], Any]] = {
    "grad_cam": lambda _: cam.grad_cam(),
    "layer_cam": lambda _: cam.layer_cam(),
    "activations": lambda _: cam.activations(),
}
DATA_SET: dict[str, Callable[[Any], Any]] = {
    "permutation": lambda _: permutation(2),
    "ablation": lambda _: ablation(),
}
ALL = GRADIENTS | PERTURBATION | DATA_SET

BIG = draw(5)
BIG[1, 2] = 1e300
BIG_IMAGE = draw(8, 8, 1)
BIG_IMAGE[1, 2, 3] = -1e300
INFINITE = draw(5).astype("float32")
INFINITE[0, 4] = np.inf
UNKNOWN = np.ones((N, 5), "int32")
UNKNOWN[2, 3] = 12
PAIR = {"age": draw(3), "size": draw(2)}
CASES: dict[str, tuple[Callable[[], keras.Model], Any, dict[str, Any], str]] = {
    "too large": (table, BIG, ALL | RISE, r"fit into float32, .*Received: 1e\+300$"),
    "too large image": (image, BIG_IMAGE, CAMS, r"fit into float32, .*Received: -1e\+300$"),
    "infinite": (table, INFINITE, ALL | RISE, r"x must be finite. Received: inf at \(0, 4\)"),
    "unknown id": (tokens, UNKNOWN, ALL | CAMS, r"ids from 0 to 11, .*Received: 12$"),
    "width": (table, draw(4), ALL | RISE, r"shape \(n, 5\) for input 'row'. Received: .*4, 4\)$"),
    "channels": (image, draw(8, 8, 3), CAMS, r"shape \(n, 8, 8, 1\) for input 'image'. Received"),
    "width of one of two": (
        lambda: two(False),
        [draw(3), draw(3)],
        ALL,
        r"x must have shape \(n, 2\) for input 'size'. Received: shape \(4, 3\)$",
    ),
    "rows of one of two": (
        lambda: two(True),
        PAIR | {"size": draw(2)[:3]},
        ALL,
        r"same number of (examples|rows).* in each input. Received: ",
    ),
    "one of two": (
        lambda: two(False),
        [draw(3)],
        ALL,
        r"the model's 2 inputs \['age', 'size'\]. Received: 1 arrays$",
    ),
    "three of two": (
        lambda: two(False),
        [draw(3), draw(2), draw(2)],
        ALL,
        r"the model's 2 inputs \['age', 'size'\]. Received: 3 arrays$",
    ),
    "wrong name": (
        lambda: two(True),
        {"age": draw(3), "sice": draw(2)},
        ALL,
        r"the model's inputs \['age', 'size'\] as keys. Received: 'sice'$",
    ),
}
CELLS = [(case, method) for case, (_, _, methods, _) in CASES.items() for method in methods]


@pytest.mark.parametrize(("case", "method"), CELLS)
def test_examples_are_refused(case: str, method: str) -> None:
    build, x, methods, sentence = CASES[case]
    explain = methods[method](build())(build())
    with pytest.raises(ValueError, match=sentence) as caught:
        explain(x, Y)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda v: gradients.integrated_gradients(baseline=v), "baseline must be a number or an"),
        (gradients.expected_gradients, "background must be a number or an array"),
        (lambda v: gradients.smooth_grad(stdev=v), "stdev must be"),
        (perturbation.feature_ablation, 'baseline must be a number, an array, "mean"'),
        (lambda v: perturbation.occlusion(1, value=v), "value must be a number, an array"),
        (lambda v: perturbation.kernel_shap(baseline=v), "baseline must be a number, an array"),
        (lambda v: perturbation.shapley_sampling(4, baseline=v), "baseline must be a number"),
        (lambda v: perturbation.lime(16, baseline=v), "baseline must be a number"),
        (lambda v: ablation(value=v), "value must be 'mean', a number or one example"),
    ],
)
def test_a_colour_is_no_baseline(make: Callable[[Any], Any], sentence: str) -> None:
    with pytest.raises((TypeError, ValueError), match=sentence + ".*Received: 'black'$"):
        make("black")(table())(draw(5), Y)


BASELINES: list[Callable[[Any], Any]] = [
    lambda v: gradients.integrated_gradients(2, baseline=v),
    perturbation.feature_ablation,
    lambda v: perturbation.kernel_shap(baseline=v),
    lambda v: perturbation.shapley_sampling(4, baseline=v),
    lambda v: perturbation.lime(16, baseline=v),
]


@pytest.mark.parametrize("make", [*BASELINES, gradients.expected_gradients])
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (draw(4), r"(have|hold examples of) shape \(5,\).*Received: shape \(4, 4\)$"),
        (draw(5)[:0], r"(have|hold examples of) shape \(5,\).*Received: shape \(0, 5\)$"),
        (BIG, r"must fit into float32, .*Received: 1e\+300$"),
        (draw(5) * np.nan, r"must (be|hold) finite.*Received: "),
    ],
    ids=["width", "empty", "too large", "nan"],
)
def test_baselines_and_backgrounds_must_fit(make: Any, given: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make(given)(table())(draw(5), Y)


@pytest.mark.parametrize(
    "make",
    [
        lambda g: perturbation.feature_ablation(groups=g),
        lambda g: perturbation.kernel_shap(groups=g),
        lambda g: perturbation.shapley_sampling(4, groups=g),
        lambda g: perturbation.lime(16, groups=g),
        lambda g: permutation(2, groups=g),
        lambda g: ablation(groups=g),
    ],
)
def test_groups_must_name_what_there_is(make: Any) -> None:
    with pytest.raises(ValueError, match=r"groups must .*Received: (column )?9 in (group )?'g'$"):
        make({"g": [0, 9]})(table())(draw(5), Y)
    pair = two(True)
    given = {"g": ["ages"]} if make({"g": [0]}).method.endswith("importance") else {"g": "ages"}
    with pytest.raises(ValueError, match=r"groups must name known .*age.*Received: 'ages' in"):
        make(given)(pair)(PAIR, Y)


def test_close_names_are_listed() -> None:
    names = ["age", "income", "height", "weight", "city"]
    asked = permutation(2, groups={"g": ["wieght"]}, feature_names=names)
    with pytest.raises(ValueError, match=r"close: weight.*Received: 'wieght' in 'g'$"):
        asked(table())(draw(5), Y)
    with pytest.raises(ValueError, match=r"close: size.*Received: 'sizes' in 'g'$"):
        permutation(2, groups={"g": ["sizes"]})(two(True))(PAIR, Y)
    for method in (
        cam.grad_cam,
        cam.grad_cam_plus_plus,
        cam.layer_cam,
        cam.score_cam,
        cam.activations,
        cam.weights,
    ):
        with pytest.raises(ValueError, match=r"such as \['conv_b', .*Received: layer='conv_bb'$"):
            method("conv_bb")(image())(draw(8, 8, 1), Y)
    with pytest.raises(ValueError, match=r"some of \['age', 'size'\]. Received: 'agee'"):
        gradients.saliency(inputs=["agee"])(two(True))(PAIR, Y)


def test_too_many_players_to_be_exact() -> None:
    with pytest.raises(ValueError, match=r"at most 12 players .*; form groups or sample. .*64"):
        perturbation.kernel_shap(exact=True)(image())(draw(8, 8, 1), Y)


def test_numbers_are_narrowed_only_where_they_fit() -> None:
    whole = np.array([0, 255, 3])
    assert targets.narrowed(whole, np.uint8, "x").dtype == np.uint8
    for wrong in (np.array([256]), np.array([-1])):
        with pytest.raises(ValueError, match=rf"x must fit into uint8, .*Received: {wrong[0]}$"):
            targets.narrowed(wrong, np.uint8, "x")
    same = draw(3)
    assert targets.narrowed(same, np.float64, "x") is same
    holes = np.array([np.nan, np.inf, 1.0])
    np.testing.assert_array_equal(targets.narrowed(holes, np.float32, "x"), holes)
