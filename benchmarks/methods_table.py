"""The table of methods, docs/methods.md: `python -m benchmarks.methods_table`.

Words are written here, papers are read from the docstrings, and passes are counted: a layer of the
model counts the rows that come through it forwards and backwards. A formula that disagrees with the
count is an error.
"""

from __future__ import annotations

import ast
import inspect
import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from tb_xai import cam, gradients, importance, perturbation

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "methods.md"

ANY = "all: numbers, token ids, text"
SMOOTH = "numbers; token ids at their embedding"


class Counting(layers.Layer):
    """Passes its input on and counts rows, forwards and backwards."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.__dict__["rows"] = [0, 0]  # past Keras, which would track a list

    def call(self, x: Any) -> Any:
        def count(which: int, tensor: Any) -> Any:
            def counted(array: np.ndarray) -> np.ndarray:
                self.rows[which] += len(array)
                return array

            # Without state, so that a pass whose result nobody needs is dropped, as in any model.
            out = tf.numpy_function(counted, [tensor], tensor.dtype, stateful=False)
            return tf.ensure_shape(out, tensor.shape)

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def through(x: Any) -> Any:
            return count(0, x), lambda dy: count(1, dy)

        return through(x)

    def passes(self) -> tuple[int, int]:
        """Return rows that went forwards alone, and with a gradient, since the last time."""
        both, gradient = self.rows
        self.rows[:] = 0, 0
        return both - gradient, gradient


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Attributes:
        function: the public function.
        answers: the question it answers.
        lies: when its answer misleads.
        inputs: which inputs it takes.
        bind: a binder with small settings, for counting; None for what needs no model.
        forward: formula of the rows that pass forwards alone.
        gradient: formula of the rows that pass forwards and backwards.
        image: whether it is counted on images rather than on a table.
        values: what the letters of the formulas are in the count, beside n examples.
    """

    function: Callable[..., Any]
    answers: str
    lies: str
    inputs: str
    bind: Callable[[], Any] | None = None
    forward: str = "0"
    gradient: str = "0"
    image: bool = True
    values: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.function.__name__


N, SIDE, COLUMNS, CHANNELS = 3, 6, 5, 4
_RNG = np.random.default_rng(0)
IMAGES = _RNG.normal(size=(N, SIDE, SIDE, 1)).astype(np.float32)
TABLE = _RNG.normal(size=(N, COLUMNS)).astype(np.float32)
LABELS = np.arange(N) % 2
NOISE = "noise of the size chosen; the answer changes with it, so keep it over a run"
REMOVAL = "inputs with parts removed look like nothing the model was trained on"

METHODS = [
    Method(
        gradients.saliency,
        "How does the target move when this value moves a little?",
        "where the model is flat (saturated) it is 0 though the value matters; noisy for ReLUs",
        SMOOTH,
        gradients.saliency,
        gradient="n",
    ),
    Method(
        gradients.gradient_x_input,
        "How much of the target does a linear model through this point give to each value?",
        "values of 0 get 0 whatever they mean: black pixels, centred columns",
        SMOOTH,
        gradients.gradient_x_input,
        gradient="n",
    ),
    Method(
        gradients.integrated_gradients,
        "How is the difference to a baseline shared out over the values?",
        "the baseline decides: what equals it gets 0; the path leaves the data. See the logged gap",
        SMOOTH,
        lambda: gradients.integrated_gradients(8, tolerance=math.inf),
        "n + 1",
        "s n",
        values={"s": 8},
    ),
    Method(
        gradients.blur_integrated_gradients,
        "At which detail, and where, does the image become what the model sees in it?",
        "edges are favoured; flat colour, which blurring keeps, gets little",
        "images of floats",
        lambda: gradients.blur_integrated_gradients(8, 1.0, tolerance=math.inf),
        "2 n",
        "s n",
        values={"s": 8},
    ),
    Method(
        gradients.smooth_grad,
        "What is the gradient around the input, on average?",
        f"answers for a blurred model: {NOISE}",
        SMOOTH,
        lambda: gradients.smooth_grad(8),
        "n",
        "s n",
        values={"s": 8},
    ),
    Method(
        gradients.smooth_grad_squared,
        "Where is the gradient strong around the input?",
        f"says nothing of the sign, and adds noise to signal; {NOISE}",
        SMOOTH,
        lambda: gradients.smooth_grad_squared(8),
        "n",
        "s n",
        values={"s": 8},
    ),
    Method(
        gradients.var_grad,
        "Where does the gradient change around the input?",
        f"0 where the model is linear, however strong the value is; {NOISE}",
        SMOOTH,
        lambda: gradients.var_grad(8),
        "n",
        "s n",
        values={"s": 8},
    ),
    Method(
        gradients.expected_gradients,
        "How is the difference to the average example shared out over the values?",
        "the background decides; paths mix examples into what no data look like. See the gap",
        SMOOTH,
        lambda: gradients.expected_gradients(IMAGES[:2], 8),
        "n + b",
        "s n",
        values={"s": 8, "b": 2},
    ),
    Method(
        cam.grad_cam,
        "In which region of a layer is the evidence for the target?",
        "only what speaks for the target; averages away channels that matter in one place alone; "
        "as coarse as the layer",
        "models with a spatial layer",
        lambda: cam.grad_cam("conv"),
        gradient="n",
    ),
    Method(
        cam.grad_cam_plus_plus,
        "In which regions, also small or repeated ones, is the evidence?",
        "its scale means nothing between examples; only positive gradients count",
        "models with a spatial layer",
        lambda: cam.grad_cam_plus_plus("conv"),
        gradient="n",
    ),
    Method(
        cam.layer_cam,
        "Which positions of a layer, also an early one, carry the evidence?",
        "only positive gradients count; early layers show edges",
        "models with a spatial layer",
        lambda: cam.layer_cam("conv"),
        gradient="n",
    ),
    Method(
        cam.score_cam,
        "Which regions of a layer score high when the rest of the input is hidden?",
        f"the softmax over channels lets few win; {REMOVAL}",
        "images of floats",
        lambda: cam.score_cam("conv"),
        "(c + 1) n",
        values={"c": CHANNELS},
    ),
    Method(
        cam.activations,
        "What do the filters of a layer respond to that respond most?",
        "a strong response need not reach the output: it says nothing of the target; filters are "
        "chosen once, on the first call",
        "models with a spatial layer",
        lambda: cam.activations("conv", 2),
        "n",
    ),
    Method(
        cam.weights,
        "What do the kernels of a layer, by default the first, look like?",
        "readable in first layers alone; no example takes part",
        "models with a convolution or a Dense layer",
        lambda: cam.weights("conv"),
    ),
    Method(
        perturbation.occlusion,
        "How much does the target fall when this window is hidden?",
        f"misses what is there twice; depends on window and filling; {REMOVAL}",
        ANY,
        lambda: perturbation.occlusion(3),
        "(w + 1) n",
        values={"w": 4},
    ),
    Method(
        perturbation.feature_ablation,
        "How much does the target fall without this feature or group?",
        f"misses what another feature can stand in for; {REMOVAL}",
        ANY,
        perturbation.feature_ablation,
        "(p + 1) n",
        image=False,
        values={"p": COLUMNS},
    ),
    Method(
        perturbation.rise,
        "How much does the target fall without this position, while the others come and go?",
        f"neighbours blur into each other by the grid's cell; {REMOVAL}. See the standard error",
        "numbers; one input at a time",
        lambda: perturbation.rise(8, grid=2),
        "(s + 1) n",
        values={"s": 8},
    ),
    Method(
        perturbation.lime,
        "Which straight line describes the score when parts come and go?",
        f"as good as its fit (R2 is logged) and its kernel; {REMOVAL}",
        ANY,
        lambda: perturbation.lime(16),
        "(s + 1) n",
        image=False,
        values={"s": 16},
    ),
    Method(
        perturbation.kernel_shap,
        "How is the difference to the baseline shared out fairly over players?",
        f"the baseline decides; {REMOVAL}; sharing between features that move together is a "
        "convention",
        ANY,
        perturbation.kernel_shap,
        "2^p n",
        image=False,
        values={"p": COLUMNS},
    ),
    Method(
        perturbation.shapley_sampling,
        "The same, from random orders: unbiased for many players.",
        "as kernel_shap, and noisy: see the standard error",
        ANY,
        lambda: perturbation.shapley_sampling(4),
        "(s (p - 1) + 2) n",
        image=False,
        values={"s": 4, "p": COLUMNS},
    ),
    Method(
        importance.permutation_importance,
        "How much worse does the model score when this column is shuffled?",
        "features that stand in for each other look useless alone (group them); shuffled rows may "
        "be impossible (conditional=...); it is about the model, not about the world",
        "columns of numbers, ids or text; regions and channels as groups",
        lambda: importance.permutation(2, batch_size=N),
        "(r d + 1) n",
        image=False,
        values={"r": 2, "d": COLUMNS},
    ),
    Method(
        importance.ablation_importance,
        "How much worse does the model score when this column is one constant?",
        "a feature that acts through its spread looks useless at its mean",
        "columns of numbers",
        lambda: importance.ablation(batch_size=N),
        "(d + 1) n",
        image=False,
        values={"d": COLUMNS},
    ),
    Method(
        importance.mutual_information,
        "How much does this column alone say about the label, whatever the model?",
        "blind to what only several columns say together; biased for few rows",
        "columns of numbers",
    ),
    Method(
        importance.correlation,
        "How straight is the line between this column and the label, whatever the model?",
        "blind to curves and to interactions",
        "columns of numbers",
    ),
    Method(
        importance.single_feature_score,
        "How well does this column alone predict the label, whatever the model: does it leak?",
        "blind to what only several columns say together; of a class of few rows it says little",
        "columns of numbers",
    ),
]


def small_model(counting: Counting, image: bool) -> keras.Model:
    """Return a model for images or for rows of a table, with the counting layer inside."""
    if image:
        inner = [
            keras.Input((SIDE, SIDE, 1)),
            layers.Conv2D(CHANNELS, 3, padding="same", activation="tanh", name="conv"),
            counting,
            layers.Flatten(),
        ]
    else:
        inner = [keras.Input((COLUMNS,)), layers.Dense(4, activation="tanh"), counting]
    return keras.Sequential([*inner, layers.Dense(2, activation="softmax")])


def counted(method: Method) -> tuple[int, int]:
    """Return the rows that one call sends forwards alone, and with a gradient, by counting them."""
    assert method.bind is not None
    counting = Counting()
    model = small_model(counting, method.image)
    binder = method.bind()
    # Chunks of one row: a last chunk that is not full would count its empty places.
    explain = binder(model) if method.name in IMPORTANCE else binder(model, batch_size=1)
    counting.passes()
    explain(IMAGES if method.image else TABLE, LABELS)
    return counting.passes()


IMPORTANCE = ("permutation_importance", "ablation_importance")


def expected(method: Method) -> tuple[int, int]:
    """Return what the formulas say of the same call."""

    def value(formula: str) -> int:
        spelled = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", formula).replace("^", "**")
        tree = ast.parse(spelled, mode="eval")
        letters = {"n": N, **method.values}
        return int(eval(compile(tree, formula, "eval"), {"__builtins__": {}}, letters))

    return value(method.forward), value(method.gradient)


def papers(method: Method) -> str:
    """Return links to the papers that the docstring refers to."""
    text = inspect.getdoc(method.function) or ""
    found = re.search(r"References:\n(.*?)(?=\n\n|\Z)", text, re.S)
    if not found:
        return ""
    references = re.sub(r"\s+", " ", found.group(1)).strip()
    links = []
    for link in re.finditer(r"https?://\S+?(?=,|\s|$)", references):
        before = references[: link.start()]
        start = max(
            (m.end() for m in re.finditer(r"https?://\S+(?:\s\d{4}\.?)?\s?", before)), default=0
        )
        words = re.findall(r"[^\W\d_][\w'-]+", before[start:])
        author = words[0] if words else "paper"
        year = re.search(r"\b(?:19|20)\d\d\b", before[start:] + references[link.end() :])
        links.append(
            f"[{author} {year.group() if year else ''}]({link.group()})".replace(" ]", "]")
        )
    return ", ".join(links) or re.sub(r"\s+", " ", references)


def cost(method: Method) -> str:
    """Return the formula and the count, or fail where they disagree."""
    if method.bind is None:
        return "none"
    found, told = counted(method), expected(method)
    if found != told:
        raise ValueError(
            f"the formulas of {method.name} must give what was counted, {found} rows forwards and "
            f"with a gradient. Received: {told}"
        )
    if not any(found):
        return "none"
    kinds = zip(
        (method.gradient, method.forward), found[::-1], ("gradient", "forward"), strict=True
    )
    parts = [(f"{formula} {kind}", f"{count}") for formula, count, kind in kinds if count]
    letters = ", ".join(f"{k} = {v}" for k, v in {"n": N, **method.values}.items())
    return (
        " + ".join(formula for formula, _ in parts)
        + f" ({letters}: {' + '.join(count for _, count in parts)})"
    )


def table() -> str:
    """Return docs/methods.md."""
    lines = [
        "# Methods",
        "",
        "Written by `python -m benchmarks.methods_table`; do not edit. Formulas are of their "
        "docstrings: `help(tb_xai.gradients.saliency)`.",
        "",
        "| method | paper | what it answers | when it lies | cost in passes | inputs |",
        "|---|---|---|---|---|---|",
    ]
    for method in METHODS:
        module = method.function.__module__.rsplit(".", 1)[-1]
        cells = [
            f"`{module}.{method.name}`",
            papers(method),
            method.answers,
            method.lies,
            cost(method),
            method.inputs,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", NOTES, ""]
    return "\n".join(lines)


NOTES = """\
**Cost.** A *forward* pass is one row through the model; a *gradient* pass is one row forwards and
backwards. n examples (rows for importance), s steps or samples, b
background examples of expected gradients, c channels of the layer, w windows, p players, d columns,
r repeats. The numbers in brackets were counted, by a layer inside a small model, in a call with
these settings. A background of m rows multiplies the passes of perturbation methods by m.
Integrated gradients repeat examples whose gap stays above `tolerance` with twice the steps. The
last chunk of a call is filled up to `batch_size` rows. `kernel_shap` takes 2^p n passes up to 12
players; above, or with `n_samples`, that many and two per example. CAM gradients end at the layer.
Batch normalisation right behind a convolution or a Dense layer is folded into its kernel, once per
explanation and from the weights as they are (gradients, Score-CAM, perturbation): passes then cost
two thirds to four fifths.

**Signs.** Attributions are signed but those of `smooth_grad_squared`, `var_grad` and the four CAMs;
activations are not signed behind a ReLU.
CPU time, memory and exactness are measured in [benchmarks.md](benchmarks.md).

**Not offered:** Guided Backpropagation and Guided Grad-CAM. Their pictures hardly change when the
model's weights are replaced by random ones ([Adebayo et al.](https://arxiv.org/abs/1810.03292)), so
they show the input's edges, not what the model learned."""


def main() -> int:
    DOCUMENT.write_text(table())
    print(f"Wrote {DOCUMENT.relative_to(DOCUMENT.parent.parent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
