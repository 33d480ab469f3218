"""Permutation importance: inputs of every kind, one trace, nothing touched, and every refusal."""

from __future__ import annotations

import builtins
import random
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tb_xai import importance
from tb_xai.importance import (
    Importance,
    ablation,
    ablation_importance,
    correlation,
    mutual_information,
    permutation,
    permutation_importance,
    select_features,
    single_feature_score,
)
from tests.unit.test_memory import Small

L = keras.layers
N = 24


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def dense(d: int = 3, units: int = 1, activation: str | None = None) -> keras.Model:
    model = keras.Sequential([keras.Input((d,)), L.Dense(units, activation)])
    model.set_weights([rng(1).normal(size=(d, units)), rng(2).normal(size=units)])
    return model


X = rng(3).normal(size=(N, 3)).astype("float32")
Y = rng(4).normal(size=N)
C = np.arange(N) % 2


@pytest.fixture(scope="module")
def regression() -> keras.Model:
    return dense()


@pytest.fixture(scope="module")
def binary() -> keras.Model:
    return dense(activation="sigmoid")


# --- one trace, nothing touched ---


def test_one_trace_over_epochs_that_see_the_new_weights(regression):
    model = keras.models.clone_model(regression)
    explain = permutation(n_repeats=3)(model)
    seen = []
    for epoch in range(20):
        model.set_weights([np.full((3, 1), float(epoch)), np.zeros(1)])
        seen.append(explain(X, Y).mean[0])
    assert explain.traces() == 1
    assert len(set(seen)) == 20
    assert seen[0] == 0.0
    explain(X[:-1], Y[:-1])
    explain(X, Y)
    assert explain.traces() == 2


def test_training_is_not_touched():
    model = keras.Sequential(
        [keras.Input((3,)), L.BatchNormalization(), L.Dropout(0.5, seed=1), L.Dense(2, "softmax")]
    )
    model.add(L.ActivityRegularization(l1=0.1))
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, C, epochs=1, verbose=0)
    states = [v.numpy().copy() for v in [*model.variables, *model.metrics_variables]]
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    tf.random.set_seed(5)
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    draw = tf.random.uniform(()).numpy()
    tf.random.set_seed(5)
    one = permutation_importance(model, X, C)
    assert tf.random.uniform(()).numpy() == draw
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
    assert random.getstate() == before[1]
    after = [v.numpy() for v in [*model.variables, *model.metrics_variables]]
    for a, b in zip(states, after, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.mean, permutation_importance(model, X, C).mean)


def test_binder_says_what_it_is():
    bound = permutation(5, "auc", {"g": [0]}, 7, batch_size=64)
    assert bound.method == "permutation_importance"
    assert bound.params == {
        "n_repeats": 5,
        "metric": "auc",
        "groups": ["g"],
        "seed": 7,
        "batch_size": 64,
        "conditional": None,
    }
    assert permutation(conditional="linear").params["conditional"] == "linear"
    assert permutation(conditional=np.zeros(3)).params["conditional"] == "strata"
    assert ablation(value=np.zeros(3)).params["value"] == "given"
    assert ablation().params["value"] == "mean"


def test_result_is_float64_with_ordered_ends(binary):
    found = permutation_importance(binary, X, C)
    for part in (found.mean, found.low, found.high, found.stderr):
        assert part.shape == (3,)
        assert part.dtype == np.float64
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()
    assert isinstance(found.score, float)
    assert found.names == ["x0", "x1", "x2"]


# --- degenerate data ---


def test_two_rows_one_feature_one_repeat():
    model = dense(1)
    w = float(model.layers[0].get_weights()[0][0, 0])
    x = np.array([[0.0], [1.0]])
    y = model(x.astype("float32")).numpy()[:, 0]
    found = permutation_importance(model, x, y, n_repeats=1)
    assert found.mean[0] == pytest.approx(w**2 / 2, rel=1e-5)  # two of four pairs cost w^2
    assert found.low[0] <= found.mean[0] <= found.high[0]


def test_a_model_that_gives_nan_is_not_an_error(regression):
    model = keras.models.clone_model(regression)
    model.set_weights([np.full((3, 1), np.nan), np.zeros(1)])
    found = permutation_importance(model, X, Y)
    assert np.isnan(found.mean).all()
    assert np.isnan(found.low).all()
    assert np.isnan(found.score)
    sigmoid = dense(activation="sigmoid")
    sigmoid.set_weights([np.full((3, 1), np.nan), np.zeros(1)])
    assert np.isnan(permutation_importance(sigmoid, X, C, metric="auc").mean).all()


@pytest.mark.parametrize("batch_size", [None, 5, 23, 24, 50, 100])
def test_no_use_is_exactly_zero_at_every_batch_size(batch_size):
    """Matrix products may differ in the last bit by the shape of the batch and the row's place."""
    width = 67
    model = keras.Sequential(
        [keras.Input((7,)), L.Dense(width, "tanh"), L.Dense(33, "gelu"), L.Dense(3, "softmax")]
    )
    keras.utils.set_random_seed(3)
    weights = [rng(i).normal(size=w.shape) for i, w in enumerate(model.get_weights())]
    weights[0][[2, 5]] = 0
    model.set_weights(weights)
    x = rng(6).normal(size=(173, 7)).astype("float32")
    x[:, 4] = -1.7
    y = rng(7).integers(0, 3, 173)
    for metric in ("log_loss", "accuracy"):
        found = permutation_importance(model, x, y, metric=metric, batch_size=batch_size)
        assert np.abs(found.mean[[0, 1, 3, 6]]).min() > 0
        for part in (found.mean, found.low, found.high, found.stderr):
            assert (part[[2, 4, 5]] == 0.0).all()


@pytest.mark.parametrize("activation", ["softplus", "selu"])
@pytest.mark.parametrize(("n", "features"), [(13, 3), (3, 5), (173, 7)])
def test_no_use_is_exactly_zero_where_the_place_in_the_batch_matters(activation, n, features):
    """The last values of an odd batch take another path through the vector units of a CPU."""
    for width, units, head in ((1, 1, None), (7, 5, "softmax"), (33, 1, "sigmoid")):
        model = keras.Sequential(
            [keras.Input((features + 1,)), L.Dense(width, activation), L.Dense(units, head)]
        )
        kernel = np.zeros((features + 1, width))
        kernel[-1] = rng(14).normal(size=width)
        others = [rng(15).normal(size=w.shape) for w in model.get_weights()[1:]]
        model.set_weights([kernel, *others])
        x = rng(16).normal(size=(n, features + 1)).astype("float32")
        y = rng(17).integers(0, max(2, units), n)
        groups = {f"{j}": [j] for j in range(features)}  # none of them is used
        for rows in (n * features, 2 * n * features):
            found = permutation_importance(model, x, y, groups=groups, batch_size=rows)
            assert (found.mean == 0).all()
            assert (found.high == 0).all()


@pytest.mark.parametrize("at_once", [20 * N, 7 * N, 3 * N, 1], ids=lambda v: f"{v} values")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"metric": "auc"},
        {"conditional": "linear"},
        {"conditional": np.arange(N) % 5},
        {"batch_size": 7},
        {"batch_size": 2 * N},
    ],
    ids=["plain", "auc", "linear", "strata", "blocks", "pairs"],
)
def test_few_features_and_repeats_at_a_time_change_nothing(binary, monkeypatch, at_once, settings):
    weight = rng(5).uniform(0.5, 2, N)
    for given in (None, weight):
        whole = permutation(**settings)(binary)(X, C, given)
        with monkeypatch.context() as small:
            small.setattr(importance, "_VALUES_AT_ONCE", at_once)
            explain = permutation(**settings)(binary)
            parts = explain(X, C, given)
        assert explain.traces() == 1
        for name in ("mean", "low", "high", "stderr", "score"):
            np.testing.assert_allclose(
                getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-7, err_msg=name
            )
        assert (whole.mean != 0).all()


# --- what does not fit into memory ---


def picky(rows: int) -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), Small(rows), L.Dense(1)])
    model.set_weights([rng(1).normal(size=(3, 1)), np.zeros(1)])
    return model


@pytest.mark.parametrize("binder", [permutation(20), ablation()], ids=lambda b: b.method)
def test_a_batch_is_halved_until_it_fits_and_said_once(binder):
    plenty, model = picky(10_000), picky(5)
    expected = binder(plenty)(X, Y)
    assert max(plenty.layers[0].seen) > 2 * N
    explain = binder(model)
    with pytest.warns(
        RuntimeWarning, match=r"batch_size=4096 rows did not fit into .*=[345],"
    ) as said:
        found = explain(X, Y)
    assert len(said) == 1
    assert said[0].filename == __file__
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-5)
    np.testing.assert_allclose(found.low, expected.low, rtol=1e-4, atol=1e-6)
    traces = explain.traces()
    model.layers[0].seen.clear()
    explain(X + 1, Y)  # neither a warning nor a trace
    assert explain.traces() == traces
    assert max(model.layers[0].seen) <= 5


def test_when_not_even_one_row_fits_a_sentence_says_so():
    with pytest.raises(
        ValueError, match=r"one row at a time.*Received: Resource.*batch_size=1$"
    ) as caught:
        permutation(batch_size=2)(picky(0))(X, Y)
    assert "\n" not in str(caught.value)
    with pytest.warns(RuntimeWarning, match="batch_size=2 rows .* batch_size=1,"):
        permutation(batch_size=2)(picky(1))(X, Y)


# --- kinds of inputs ---


def test_names_of_columns(regression):
    frame = pd.DataFrame(X.astype("float64"), columns=["age", "height", "weight"])
    from_frame = permutation_importance(regression, frame, Y)
    assert from_frame.names == ["age", "height", "weight"]
    named = permutation_importance(regression, X, Y, feature_names=["a", "b", "c"])
    assert named.names == ["a", "b", "c"]
    np.testing.assert_allclose(from_frame.mean, named.mean)
    grouped = permutation_importance(
        regression, frame, Y, groups={"body": ["height", "weight"], "age": [0]}
    )
    assert grouped.names == ["body", "age"]
    assert grouped.mean[1] == pytest.approx(named.mean[0])


def several(structure: str) -> keras.Model:
    parts = [keras.Input((2,), name="wide"), keras.Input((1,), name="alone")]
    out = L.Dense(1)(L.Concatenate()(parts))
    inputs = {"wide": parts[0], "alone": parts[1]} if structure == "dict" else parts
    model = keras.Model(inputs, out)
    model.set_weights([np.array([[1.0], [2.0], [3.0]]), np.zeros(1)])
    return model


@pytest.mark.parametrize("structure", ["dict", "list"])
def test_several_inputs_equal_one(structure, regression):
    flat = keras.models.clone_model(regression)
    flat.set_weights([np.array([[1.0], [2.0], [3.0]]), np.zeros(1)])
    expected = permutation_importance(flat, X, Y)
    x = {"wide": X[:, :2], "alone": X[:, 2:]} if structure == "dict" else [X[:, :2], X[:, 2:]]
    found = permutation_importance(several(structure), x, Y)
    names = ["wide[0]", "wide[1]", "alone"]
    assert sorted(found.names) == sorted(names)
    order = [found.names.index(name) for name in names]
    np.testing.assert_allclose(found.mean[order], expected.mean, rtol=1e-5)
    joint = permutation_importance(flat, X, Y, groups={"g": [0, 1]})
    whole = permutation_importance(several(structure), x, Y, groups={"g": ["wide"]})
    np.testing.assert_allclose(whole.mean, joint.mean, rtol=1e-5)
    mixed = permutation_importance(several(structure), x, Y, groups={"g": ["wide[0]", "alone"]})
    other = permutation_importance(flat, X, Y, groups={"g": [0, 2]})
    np.testing.assert_allclose(mixed.mean, other.mean, rtol=1e-5)


def test_integers_and_strings_need_no_gradient():
    ids = keras.Input((4,), dtype="int32")
    tokens = keras.Model(ids, L.Dense(1)(L.Flatten()(L.Embedding(9, 3)(ids))))
    x = rng(8).integers(0, 9, (N, 4))
    found = permutation_importance(tokens, x, Y)
    assert (found.mean != 0).all()
    words = keras.Input((1,), dtype="string")
    lookup = L.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot")
    model = keras.Model(words, L.Dense(1)(lookup(words)))
    names = np.array(list("abcb" * 6))[:, None]
    y = model(tf.constant(names)).numpy()[:, 0]
    assert permutation_importance(model, names, y).low[0] > 0


def test_regions_and_channels_of_images():
    pixels = keras.Input((4, 4, 2))
    model = keras.Model(pixels, L.Dense(1)(L.Flatten()(pixels)))
    kernel = np.zeros((4, 4, 2))
    kernel[:2, :2, 0] = 1
    model.set_weights([kernel.reshape(-1, 1), np.zeros(1)])
    x = rng(9).normal(size=(400, 4, 4, 2)).astype("float32")
    y = x[:, :2, :2, 0].sum(axis=(1, 2))
    corner = np.zeros((4, 4, 2), bool)
    corner[:2, :2] = True
    found = permutation_importance(model, x, y, groups={"corner": corner, "rest": ~corner})
    assert found.mean[0] == pytest.approx(8, rel=0.15)  # 2 Var of a sum of four
    assert found.mean[1] == 0.0
    channels = permutation_importance(model, x, y, groups={"first": [0], "second": [1]})
    assert channels.mean[0] == pytest.approx(found.mean[0], rel=1e-4)
    assert channels.mean[1] == 0.0
    assert ablation_importance(model, x, y, groups={"corner": corner}).mean[0] == pytest.approx(
        4, rel=0.2
    )


def test_subclassed_model_mixed_precision_and_float64():
    class Sub(keras.Model):
        def __init__(self, dtype):
            super().__init__(dtype=dtype)
            self.d = L.Dense(1, "sigmoid", dtype=dtype)

        def call(self, x):
            return self.d(x)

    expected = None
    for dtype in ("float32", "float64", "mixed_float16"):
        model = Sub(dtype)
        model(X.astype("float64" if dtype == "float64" else "float32"))
        model.set_weights([np.array([[2.0], [-1.0], [0.5]]), np.zeros(1)])
        found = permutation_importance(model, X, C, metric="log_loss")
        expected = found.mean if expected is None else expected
        np.testing.assert_allclose(found.mean, expected, rtol=0.05, atol=2e-3)


def test_several_outputs_take_a_callable():
    given = keras.Input((3,))
    model = keras.Model(given, {"a": L.Dense(1)(given), "b": L.Dense(2, "softmax")(given)})
    found = permutation_importance(
        model,
        X,
        {"a": Y, "b": C},
        metric=lambda y, out: tf.square(y["a"] - out["a"][:, 0]),
        greater_is_better=False,
    )
    assert (found.mean != 0).all()
    with pytest.raises(ValueError, match=r"several outputs.*Received: metric=None"):
        permutation_importance(model, X, Y)


def test_weights_of_zero_drop_rows(regression):
    weight = np.ones(N)
    weight[::3] = 0
    dropped = permutation_importance(regression, X[weight > 0], Y[weight > 0])
    found = permutation_importance(regression, X, Y, sample_weight=weight)
    assert found.mean.shape == dropped.mean.shape
    full = permutation_importance(regression, X, Y, sample_weight=weight, n_repeats=N)
    again = permutation_importance(regression, X[weight > 0], Y[weight > 0], n_repeats=N)
    np.testing.assert_allclose(full.mean, again.mean, rtol=1e-5)
    np.testing.assert_allclose(full.stderr, again.stderr, rtol=1e-5)


# --- metrics ---


def test_natural_metric_follows_loss_head_and_labels():
    logits = dense(units=3)
    classes = rng(10).integers(0, 3, N)
    assert permutation_importance(logits, X, classes).metric == "log_loss"
    assert permutation_importance(logits, X, rng(11).normal(size=(N, 3))).metric == "mse"
    logits.compile(loss="mse")
    assert permutation_importance(logits, X, np.eye(3)[classes]).metric == "mse"
    one = dense()
    assert permutation_importance(one, X, Y).metric == "mse"
    for from_logits in (True, False):
        one.compile(loss=keras.losses.BinaryCrossentropy(from_logits=from_logits))
        expected = float(keras.losses.BinaryCrossentropy(from_logits=True)(C[:, None], one(X)))
        found = permutation_importance(one, X, C)
        assert found.metric == "log_loss"
        if from_logits:
            assert found.score == pytest.approx(expected, rel=1e-5)


def test_numpy_and_tensorflow_callables_agree(regression):
    in_numpy = permutation_importance(
        regression,
        X,
        Y,
        lambda y, p: np.abs(np.asarray(y) - p[:, 0].astype("float64")),
        greater_is_better=False,
    )
    in_graph = permutation_importance(
        regression, X, Y, lambda y, p: tf.abs(y - p[:, 0]), greater_is_better=False
    )
    by_name = permutation_importance(regression, X, Y, "mae")
    np.testing.assert_allclose(in_numpy.mean, by_name.mean, rtol=1e-4)
    np.testing.assert_allclose(in_graph.mean, by_name.mean, rtol=1e-4)
    assert in_graph.metric == "custom metric"


def test_a_keras_loss_over_positions_is_averaged_per_row():
    given = keras.Input((5, 2))
    model = keras.Model(given, L.Dense(3, "softmax")(given))
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy())
    x = rng(12).normal(size=(N, 5, 2)).astype("float32")
    y = rng(13).integers(0, 3, (N, 5))
    found = permutation_importance(model, x, y, groups={"a": [0], "b": [1]})
    expected = float(keras.losses.SparseCategoricalCrossentropy()(y, model(x)))
    assert found.score == pytest.approx(expected, rel=1e-5)
    assert (found.mean != 0).all()


def test_select_features_sorts_by_the_lower_bound():
    low = np.array([0.1, -0.2, 0.4, 0.0, np.nan])
    found = Importance(low + 0.1, low, low + 0.2, low * 0, 1.0, list("abcde"), "mse")
    assert list(select_features(found).items()) == [("c", 0.4), ("a", 0.1)]
    assert list(select_features(found, 0.3)) == ["c"]


def test_single_score_of_what_says_nothing_is_nan():
    x = np.column_stack([np.ones(N), C, rng().normal(size=N)])
    for y in (C, Y):
        found = single_feature_score(x, y, feature_names=["one", "label", "noise"])
        assert found.names == ["one", "label", "noise"]
        for part in (found.mean, found.low, found.high, found.stderr):
            assert np.isnan(part).tolist() == [True, False, False]
            assert part.dtype == np.float64
    for y in (np.zeros(N, int), np.full(N, 0.3)):
        assert np.isnan(single_feature_score(x, y).mean).all()
    assert np.isnan(single_feature_score(x[:3], Y[:3]).mean).all()
    assert single_feature_score(x[:3], C[:3]).mean[1] == 1.0


def test_single_score_takes_labels_as_classes_or_values():
    x, counts = rng().normal(size=(60, 2)), rng(1).integers(0, 50, 60)
    whole = {"classes": True}, {"classes": False}, {}
    kinds = [single_feature_score(x, counts, **given).metric for given in whole]
    assert kinds == ["auc", "rank_correlation", "rank_correlation"]
    assert single_feature_score(x, counts % 3).metric == "auc"
    assert single_feature_score(x, counts % 3 + 0.5).metric == "rank_correlation"
    assert single_feature_score(x, counts % 3 + 0.5, classes=True).metric == "auc"
    with pytest.raises(TypeError, match=r"classes must be True, False or None. Received: 'no'"):
        single_feature_score(x, counts, classes="no")
    with pytest.raises(TypeError, match=r"y must be numbers to be values. Received: dtype <U1"):
        single_feature_score(x, np.array(list("ab") * 30), classes=False)


def test_single_score_of_few_columns_at_a_time_is_the_same(monkeypatch):
    x = rng().normal(size=(90, 7))
    for y in (np.arange(90) % 3, x[:, 0] + x[:, 1] ** 2):
        whole = single_feature_score(x, y)
        with monkeypatch.context() as small:
            small.setattr(importance, "_VALUES_AT_ONCE", 1)
            parts = single_feature_score(x, y)
        for name in ("mean", "low", "high", "stderr"):
            np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)
        assert (single_feature_score(x, y, seed=1).mean != whole.mean).any()


# --- refusals: one sentence that ends in what was received ---


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (
            {"metric": "logloss"},
            ValueError,
            r"log_loss, brier.*close: log_loss.*Received: 'logloss'",
        ),
        ({"metric": "zzz"}, ValueError, r"Received: 'zzz'$"),
        ({"metric": 3}, TypeError, r"Received: 3$"),
        ({"metric": keras.losses.MeanSquaredError}, TypeError, "instance of a Keras loss"),
        ({"metric": keras.metrics.AUC()}, TypeError, "one value per row"),
        (
            {"metric": lambda y, p: y},
            ValueError,
            r"greater_is_better must be given.*Received: None",
        ),
        (
            {"metric": "auc", "greater_is_better": False},
            ValueError,
            r"must be True.*Received: False",
        ),
        (
            {"metric": "mse", "greater_is_better": True},
            ValueError,
            r"must be False.*Received: True",
        ),
        ({"metric": "mse", "greater_is_better": 1}, TypeError, "Received: 1"),
        ({"n_repeats": 0}, ValueError, r"n_repeats must be at least 1. Received: 0"),
        ({"n_repeats": 2.0}, TypeError, r"n_repeats must be an integer.*Received: 2.0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"seed": -1}, ValueError, r"seed must be.*Received: -1"),
        ({"groups": [[0]]}, TypeError, "groups must be a dictionary.*Received: list"),
        ({"groups": {}}, ValueError, "at least one group"),
        ({"groups": {1: [0]}}, TypeError, "named by strings"),
        ({"groups": {"g": "x0"}}, TypeError, "list of columns"),
        ({"groups": {"g": 3}}, TypeError, "list of columns"),
        ({"groups": {"g": []}}, ValueError, r"must not be empty. Received: 'g': \[\]"),
        ({"conditional": "tree"}, ValueError, r"conditional must be None.*Received: 'tree'"),
    ],
)
def test_impossible_settings_are_refused_before_there_is_a_model(given, error, words):
    with pytest.raises(error, match=words):
        permutation(**given)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"groups": {"g": [3]}}, ValueError, r"from 0 to 2. Received: 3 in 'g'"),
        ({"groups": {"g": [-1]}}, ValueError, r"Received: -1 in 'g'"),
        (
            {"groups": {"g": ["x9"]}},
            ValueError,
            r"known columns \(x0, x1, x2; close: .*'x9' in 'g'",
        ),
        ({"groups": {"g": [1.5]}}, TypeError, r"positions or names.*Received: 1.5"),
        (
            {"groups": {"g": [0, 1], "h": [1]}},
            ValueError,
            r"overlap. Received: column 1 in 'g' and",
        ),
        ({"groups": {"g": [0, 0]}}, ValueError, r"overlap. Received: column 0 twice"),
        ({"groups": {"g": np.ones(4, bool)}}, ValueError, r"shape of one example, \(3,\)"),
        ({"groups": {"g": np.zeros(3, bool)}}, ValueError, "without a marked cell"),
        ({"feature_names": ["a"]}, ValueError, r"each of the 3 columns. Received: 1 names"),
        ({"feature_names": ["a", "b", "a"]}, ValueError, r"differ.*Received: 'a' twice"),
        ({"sample_weight": np.ones(5)}, ValueError, r"each of the 24 rows. Received: shape \(5,\)"),
        ({"sample_weight": -np.ones(N)}, ValueError, r"at least 0. Received: -1.0 at row 0"),
        ({"sample_weight": np.full(N, np.nan)}, ValueError, r"Received: nan"),
        (
            {"sample_weight": np.eye(N)[0]},
            ValueError,
            r"at least 2 rows \(with weight\). Received: 1",
        ),
        ({"x": np.full((N, 3), np.nan)}, ValueError, r"free of NaN. Received: NaN at \(0, 0\)"),
        ({"x": X.astype(complex)}, TypeError, "numbers or strings"),
        ({"x": np.array([[{}] * 3] * N)}, TypeError, "mixed objects"),
        ({"x": {"a": X, "b": X[:5]}}, ValueError, "same number of rows"),
        ({"x": np.zeros((0, 3))}, ValueError, "at least one"),
        ({"x": np.zeros((N, 3, 2))}, ValueError, r"must be flat.*boolean array of shape \(3, 2\)"),
        ({"y": None}, ValueError, "Received: None"),
        ({"y": Y[:5]}, ValueError, r"each of the 24 rows. Received: shape \(5,\)"),
        ({"y": np.full(N, np.inf)}, ValueError, r"y must be finite. Received: inf at \(0,\)"),
        ({"y": np.zeros((N, 2))}, ValueError, r"shape of the model's outputs, \(n, 1\).*\(24, 2\)"),
        ({"y": np.array(["a"] * N)}, TypeError, "y must be numbers"),
        ({"metric": "log_loss"}, ValueError, r"softmax or sigmoid.*Received: output shape"),
        ({"metric": "auc"}, ValueError, "metric auc must see"),
        ({"conditional": np.zeros(4)}, ValueError, r"stratum of each of the 24 rows"),
        (
            {"metric": lambda y, p: tf.reduce_mean(p), "greater_is_better": True},
            ValueError,
            r"one value per row, shape \(24,\)|one value per row.*Received: shape \(\)",
        ),
        (
            {"metric": lambda y, p: np.asarray(p).mean(), "greater_is_better": True},
            ValueError,
            r"one value per row, shape \(4,\). Received: shape \(\) from custom metric",
        ),
    ],
)
def test_impossible_data_are_refused(regression, given, error, words):
    arguments = {"x": X, "y": Y, **given}
    with pytest.raises(error, match=words):
        permutation_importance(regression, **arguments)


@pytest.mark.parametrize(
    ("activation", "units", "metric", "y", "words"),
    [
        ("softmax", 3, None, np.full(N, 3), r"below 3 classes. Received: target=3"),
        ("softmax", 3, "auc", C, r"two classes.*Received: 3 classes"),
        ("softmax", 3, None, np.full((N, 3), 0.5), "sum to 1"),
        ("softmax", 3, "accuracy", np.full((N, 3), 1 / 3), "one class per example"),
        ("sigmoid", 1, None, np.full(N, 2.0), r"between 0 and 1 .*Received: 2"),
        ("sigmoid", 1, "accuracy", np.full(N, 0.5), r"0 or 1 for sigmoid units. Received: 0.5"),
        ("sigmoid", 2, None, C, r"each of the 2 sigmoid unit\(s\)"),
        ("sigmoid", 2, "auc", np.eye(2)[C], "Received: 2 sigmoid units"),
        ("sigmoid", 1, "auc", np.zeros(N), r"both classes.*Received: only 0"),
    ],
)
def test_impossible_labels_are_refused(activation, units, metric, y, words):
    with pytest.raises(ValueError, match=words):
        permutation_importance(dense(3, units, activation), X, y, metric)


def test_other_refusals(regression, monkeypatch):
    with pytest.raises(TypeError, match="model must be a Keras model"):
        permutation_importance(len, X, Y)
    with pytest.raises(ValueError, match="one flat input"):
        permutation_importance(regression, X.astype(int), Y, conditional="linear")
    with pytest.raises(ValueError, match=r"value must be 'mean'.*Received: 'median'"):
        ablation(value="median")
    with pytest.raises(ValueError, match=r"shape of one example, \[\(3,\)\]. Received: \[\(2,\)\]"):
        ablation_importance(regression, X, Y, value=np.zeros(2))
    with pytest.raises(TypeError, match="must be an Importance"):
        select_features([1.0])
    plain = correlation(X, Y)
    with pytest.raises(ValueError, match=r"margin must be finite"):
        select_features(plain, np.nan)
    with pytest.raises(ValueError, match=r"must have intervals.*mutual_information"):
        select_features(mutual_information(X, Y))
    with pytest.raises(ValueError, match="one flat array"):
        correlation({"a": X, "b": X}, Y)
    with pytest.raises(ValueError, match="one label per row"):
        correlation(X, rng().normal(size=(N, 2)))
    with pytest.raises(ValueError, match="more rows than n_neighbors=3"):
        mutual_information(X[:3], Y[:3])
    real = builtins.__import__

    def no_sklearn(name, *args, **kwargs):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    for name in [n for n in sys.modules if n.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", no_sklearn)
    with pytest.raises(ImportError, match="scikit-learn must be installed for correlation"):
        correlation(X, Y)


def test_a_loss_says_whether_labels_are_classes():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    y = np.arange(6)
    for loss, expected in (
        ("mse", False),
        (keras.losses.Huber(), False),
        ("sparse_categorical_crossentropy", True),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), True),
        ("categorical_crossentropy", None),
        (["mse", "mae"], None),
        (lambda y, p: p[:, 0], None),
        (None, None),
    ):
        model.compile("sgd", loss)
        assert importance.takes_classes(model, y) is expected
        assert importance.takes_classes(model, y[:, None]) is expected
    model.compile("sgd", "mse")
    assert importance.takes_classes(model, np.eye(3)) is None
    assert importance.takes_classes(model, {"a": y}) is None
    assert importance.takes_classes(model, None) is None


def test_labels_of_several_outputs_may_stand_in_a_list() -> None:
    inputs = keras.Input((3,))
    model = keras.Model(inputs, [L.Dense(1)(inputs), L.Dense(2, "softmax")(inputs)])

    def squared(y: list[tf.Tensor], outputs: list[tf.Tensor]) -> tf.Tensor:
        return tf.square(tf.cast(y[0], tf.float32) - outputs[0][:, 0])

    settings = {"metric": squared, "greater_is_better": False}
    listed = permutation_importance(model, X, [Y, C], **settings)
    np.testing.assert_array_equal(
        listed.mean, permutation_importance(model, X, (Y, C), **settings).mean
    )
    with pytest.raises(ValueError, match=r"several outputs.*Received: metric=None"):
        permutation_importance(model, X, [Y, C])
