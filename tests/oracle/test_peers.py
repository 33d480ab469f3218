"""The same values as shap and lime, which run in interpreters of their own.

Peers are optional (`pip install "tb_xai[peers]"`) and never imported here: some of them patch the
framework they explain. Each is handed weights, examples and settings in a file and writes what it
finds into another, so that nothing but numbers is shared.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tb_xai import targets
from tb_xai.gradients import expected_gradients
from tb_xai.perturbation import PlayerAttribution, grid_segments, kernel_shap, lime

FEATURES, HIDDEN = 6, 8

# What every script starts with: the model as a formula, and where numbers come from.
OPENING = """
import sys
import numpy as np

given = dict(np.load(sys.argv[1]))

def f(x):
    x = np.asarray(x).reshape(len(x), -1)
    return np.tanh(x @ given["w"] + given["b"]) @ given["v"]
"""
CLOSING = """
np.savez(sys.argv[2], **found)
"""


def needs(peer: str) -> pytest.MarkDecorator:
    absent = importlib.util.find_spec(peer) is None
    return pytest.mark.skipif(absent, reason=f'needs {peer} (pip install "tb_xai[peers]")')


def peer(script: str, folder: Path, **given: np.ndarray) -> dict[str, np.ndarray]:
    """What a script of a peer finds, run alone."""
    (folder / "peer.py").write_text(OPENING + script + CLOSING)
    np.savez(folder / "given.npz", **given)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "peer.py", "given.npz", "found.npz"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(np.load(folder / "found.npz"))


def weights(seed: int, d: int = FEATURES) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "w": rng.normal(size=(d, HIDDEN)).astype(np.float32),
        "b": rng.normal(size=HIDDEN).astype(np.float32),
        "v": rng.normal(size=HIDDEN).astype(np.float32),
    }


def network(w: np.ndarray, b: np.ndarray, v: np.ndarray, *shape: int) -> keras.Model:
    """The scripts' formula as a model of examples of some shape."""
    hidden, last = keras.layers.Dense(HIDDEN, activation="tanh"), keras.layers.Dense(1)
    model = keras.Sequential(
        [keras.Input(shape or w.shape[:1]), keras.layers.Flatten(), hidden, last]
    )
    hidden.set_weights([w, b])
    last.set_weights([v[:, None], np.zeros(1)])
    return model


def examples(seed: int, n: int, d: int = FEATURES) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


# --- shap -----------------------------------------------------------------------------------------

SHAPLEY = """
import os
os.environ["NUMBA_DISABLE_JIT"] = "1"  # compiling takes longer than what is computed
import shap

x, background = given["x"], given["background"]
everything = 2 ** x.shape[1]
explainer = shap.KernelExplainer(f, background, silent=True)
found = {
    "kernel": explainer.shap_values(x, nsamples=everything, l1_reg=0, silent=True),
    "empty": explainer.expected_value,
    "exact": shap.explainers.Exact(f, shap.maskers.Independent(background))(x).values,
}
"""


@needs("shap")
def test_shapley_values_are_those_of_shap(tmp_path: Path) -> None:
    net, x, background = weights(1), examples(2, 4), examples(3, 20)
    found = peer(SHAPLEY, tmp_path, x=x, background=background, **net)
    a = kernel_shap(background)(network(**net), target=targets.value)(x)
    assert a.values.std() > 0.1
    np.testing.assert_allclose(a.values, found["exact"], atol=1e-4)
    np.testing.assert_allclose(a.values, found["kernel"], atol=1e-3)
    np.testing.assert_allclose(a.baseline_output, found["empty"], atol=1e-4)


@needs("shap")
def test_sampled_shapley_values_tend_to_the_exact_ones_of_shap(tmp_path: Path) -> None:
    net, x, background = weights(4, 13), examples(5, 2, 13), examples(6, 3, 13)
    found = peer(SHAPLEY, tmp_path, x=x, background=background, **net)
    a = kernel_shap(background, n_samples=400)(network(**net), target=targets.value)(x)
    error = (a.values - found["exact"]) / a.stderr
    assert 0 < a.stderr.max() < 0.1 * np.abs(a.values).max()
    assert np.abs(error).max() < 4  # 26 values
    assert np.abs(error).mean() > 0.1


EXPECTED = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
import keras
import shap

hidden = keras.layers.Dense(len(given["v"]), activation="tanh")
last = keras.layers.Dense(1)
model = keras.Sequential([keras.Input(given["w"].shape[:1]), hidden, last])
hidden.set_weights([given["w"], given["b"]])
last.set_weights([given["v"][:, None], np.zeros(1)])
samples = 2000
explainer = shap.GradientExplainer(model, given["background"], batch_size=1000)
values, variances = explainer.shap_values(
    given["x"], nsamples=samples, rseed=0, return_variances=True
)
# shap divides the variance of its samples by the root of their number.
stderr = np.sqrt(np.array(variances) * samples**0.5 / samples)
found = {"values": np.squeeze(values, -1), "stderr": np.squeeze(stderr, 0)}
"""


@needs("shap")
def test_expected_gradients_are_those_of_shap(tmp_path: Path) -> None:
    net, x, background = weights(7), examples(8, 3), examples(9, 20)
    found = peer(EXPECTED, tmp_path, x=x, background=background, **net)
    a = expected_gradients(background, 2000)(network(**net), target=targets.value)(x)
    stderr = np.hypot(a.stderr, found["stderr"])
    assert 0 < stderr.max() < 0.1 * np.abs(a.values).max()
    assert np.abs((a.values - found["values"]) / stderr).max() < 4  # 18 values


# --- lime -----------------------------------------------------------------------------------------

# Features that are x or the baseline with probability 1/2 each: for lime, categories with two
# values; "on" is the value of the example.
TABULAR = """
from lime.lime_tabular import LimeTabularExplainer
from sklearn.linear_model import Ridge

n, d = given["x"].shape
values = []
for x in given["x"]:
    explainer = LimeTabularExplainer(
        np.stack([x, given["baseline"]]),
        mode="regression",
        categorical_features=list(range(d)),
        kernel_width=float(given["kernel_width"]),
        feature_selection="none",
        discretize_continuous=False,
        random_state=0,
    )
    explained = explainer.explain_instance(
        x,
        f,
        num_features=d,
        num_samples=int(given["samples"]),
        distance_metric="cosine",
        model_regressor=Ridge(alpha=float(given["penalty"])),
    )
    values.append([value for _, value in sorted(explained.local_exp[1])])
found = {"values": values}
"""


@needs("lime")
@pytest.mark.parametrize(("kernel_width", "penalty"), [(0.25, 0.0), (0.15, 100.0)])
def test_coefficients_of_a_table_are_those_of_lime(
    tmp_path: Path, kernel_width: float, penalty: float
) -> None:
    net, x, baseline = weights(10), examples(11, 3), examples(12, 1)[0]
    settings = {"kernel_width": kernel_width, "penalty": penalty, "samples": 4000}
    arrays = {name: np.array(value) for name, value in settings.items()}
    found = peer(TABULAR, tmp_path, x=x, baseline=baseline, **arrays, **net)
    binder = lime(4000, baseline, kernel_width=kernel_width, regularisation=penalty)
    model = network(**net)
    a = binder(model, target=targets.value)(x)
    spread = 2**0.5 * a.stderr
    assert spread.max() < 0.1 * np.abs(a.values).max()
    assert np.abs((a.values - found["values"]) / spread).max() < 4  # 18 values
    # What is compared depends on the kernel and the penalty by more than that.
    other = lime(4000, baseline, kernel_width=np.inf)(model, target=targets.value)(x)
    assert np.abs((other.values - found["values"]) / spread).max() > 6


SLOPES = """
from lime.lime_tabular import LimeTabularExplainer
from sklearn.linear_model import LinearRegression

rng = np.random.default_rng(0)
background = rng.normal(size=(500, len(given["slope"]))) * given["scale"]
explainer = LimeTabularExplainer(
    background, mode="regression", feature_selection="none", discretize_continuous=False,
    random_state=0,
)
values = []
for x in given["x"]:
    explained = explainer.explain_instance(
        x, lambda rows: rows @ given["slope"], num_features=len(x), num_samples=200,
        model_regressor=LinearRegression(),
    )
    values.append([value for _, value in sorted(explained.local_exp[1])])
found = {"values": values / background.std(0)}
"""


@needs("lime")
def test_of_a_linear_model_both_find_the_slope(tmp_path: Path) -> None:
    """lime draws continuous features from a normal, we remove them: the plane is the same."""
    slope, x = np.array([1.5, -2.0, 0.0, 3.0]), examples(13, 3, 4)
    scale = np.array([1.0, 2.0, 0.5, 4.0])
    found = peer(SLOPES, tmp_path, x=x, slope=slope, scale=scale, **weights(0))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.set_weights([slope[:, None], np.array([0.7])])
    a = lime(100, 0.5)(model, target=targets.value)(x)
    np.testing.assert_allclose(a.values / (x - 0.5), found["values"], atol=1e-3)
    np.testing.assert_allclose(found["values"], np.tile(slope, (3, 1)), atol=1e-3)


IMAGE = """
from lime.lime_image import LimeImageExplainer
from sklearn.linear_model import LinearRegression

explained = LimeImageExplainer(kernel_width=0.25, feature_selection="none").explain_instance(
    given["x"][0],
    lambda rows: f(rows)[:, None],
    labels=(0,),
    top_labels=None,
    hide_color=0,
    num_samples=4000,
    batch_size=500,
    segmentation_fn=lambda image: given["segments"],
    model_regressor=LinearRegression(),
    random_seed=0,
)
found = {
    "values": [value for _, value in sorted(explained.local_exp[0])],
    "r2": explained.score[0] if isinstance(explained.score, dict) else explained.score,
}
"""


@needs("lime")
def test_coefficients_of_an_image_are_those_of_lime(tmp_path: Path) -> None:
    shape = (6, 6, 3)
    net, segments = weights(14, 108), grid_segments((6, 6), (2, 3))
    net["w"] /= 3
    x = np.random.default_rng(15).normal(size=(1, *shape)).astype(np.float32)
    found = peer(IMAGE, tmp_path, x=x, segments=segments, **net)
    a = lime(4000, groups=segments)(network(*net.values(), *shape), target=targets.value)(x)
    assert isinstance(a, PlayerAttribution)
    spread = 2**0.5 * a.players_stderr[0]
    assert spread.max() < 0.1 * np.abs(a.players).max()
    assert np.abs((a.players[0] - found["values"]) / spread).max() < 4  # 6 values
    assert a.r2[0] == pytest.approx(found["r2"], abs=0.02)
