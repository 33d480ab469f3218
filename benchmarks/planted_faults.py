"""Do findings see planted faults? `python -m benchmarks.planted_faults [--seeds 20] [--only F]`.

Small models are trained with the callbacks on data with a known fault, and on the same data without
it. After every epoch all that was logged up to then is judged by `findings.find(log, run,
until=epoch)`: what counts is what a user would have read at that moment. A fault is detected when a
warning or an alarm names what is at fault (see `FAULTS`); a false alarm is any warning or alarm in
a run without a fault. Beside it stands an alarm that sees the curves of loss and accuracy alone,
with limits that were set on clean runs.

Rules and limits were set on seeds from 1000 on; the seeds that are reported start at 0.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from benchmarks import report
from tb_xai import callbacks, findings, reader
from tb_xai.findings import Finding

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "planted_faults.md"
EPOCHS = 6
SHOWN = 32  # examples whose explanations are logged
COLUMNS = [f"column {j}" for j in range(10)]
GROUPS = {"red": [0], "green": [1], "blue": [2]}


@dataclass
class Data:
    """What one seed trains on, what it is validated on, and what is at fault."""

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    culprit: str = ""  # the column, region, channel or layer that a finding must name
    suspects: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """One arm of the benchmark.

    Attributes:
        name: What is planted; "clean ..." for a control.
        task: Model that is trained: "digits", "colours", "table" or "deep".
        data: Draws the data of a seed.
        rules: Rules that see this fault; one of them must name the culprit.
        learning_rate: Of Adam.
        bias: Initial bias of the second hidden layer.
        hint: Whether the place that must not matter is told to the callback (`suspects=`).
        names: What counts as naming the culprit, for the table of the document.
    """

    name: str
    task: str
    data: Callable[[np.random.Generator], Data]
    rules: tuple[str, ...] = ()
    learning_rate: float = 3e-3
    bias: float = 0.0
    hint: bool = False
    names: str = ""

    @property
    def clean(self) -> bool:
        return not self.rules

    def drawn(self, seed: int) -> Data:
        """The data of a seed, the same for all arms of what is planted."""
        return self.data(np.random.default_rng([seed, *self.task.encode()]))


# --- data -----------------------------------------------------------------------------------------


def digits(rng: np.random.Generator) -> Data:
    """Digits of 8 x 8 pixels in a frame of 2 pixels that is black."""
    bunch = load_digits()
    order = rng.permutation(len(bunch.target))
    x = np.pad(bunch.images[order] / 16.0, ((0, 0), (2, 2), (2, 2))).astype(np.float32)[..., None]
    y = bunch.target[order].astype(np.int32)
    return Data(x[:1100], y[:1100], x[1100:1600], y[1100:1600])


def patch(rng: np.random.Generator, leaks: bool) -> Data:
    """A corner of 2 x 2 pixels shows four bits: those of the label, or of chance."""
    data = digits(rng)
    corner = int(rng.integers(4))
    rows, columns = [(0, 0), (0, 10), (10, 0), (10, 10)][corner]
    for x, y in ((data.x, data.y), (data.x_val, data.y_val)):
        code = 1 + (y if leaks else rng.integers(10, size=len(y)))
        bits = (code[:, None] >> np.arange(4)) & 1
        x[:, rows : rows + 2, columns : columns + 2, 0] = bits.reshape(-1, 2, 2)
    where = np.zeros((12, 12), bool)
    where[rows : rows + 2, columns : columns + 2] = True
    data.suspects = {"corner": where}
    data.culprit = ["top left", "top right", "bottom left", "bottom right"][corner]
    return data


def border(rng: np.random.Generator, leaks: bool) -> Data:
    """The frame has one grey level per picture: that of the label, or of chance."""
    data = digits(rng)
    where = np.ones((12, 12), bool)
    where[2:-2, 2:-2] = False
    grey = (1 + rng.permutation(10)) / 10
    for x, y in ((data.x, data.y), (data.x_val, data.y_val)):
        level = grey[y if leaks else rng.integers(10, size=len(y))]
        x[:, where, 0] = level[:, None]
    data.suspects = {"border": where}
    data.culprit = "border"
    return data


def colours(rng: np.random.Generator, swapped: bool) -> Data:
    """Halves of a digit in red and green, another digit in blue; red and blue may be swapped."""
    plain = digits(rng)

    def coloured(x: np.ndarray) -> np.ndarray:
        upper, lower = x.copy(), x.copy()
        upper[:, 6:], lower[:, :6] = 0, 0
        parts = [upper, lower, x[rng.permutation(len(x))]]
        return np.concatenate(parts, axis=-1) + 0.1 * rng.standard_normal((*x.shape[:3], 3))

    x, x_val = (coloured(part).astype(np.float32) for part in (plain.x, plain.x_val))
    if swapped:
        x_val = x_val[..., ::-1].copy()
    return Data(x, plain.y, x_val, plain.y_val, "red|blue")


def table(rng: np.random.Generator) -> Data:
    """Ten columns, of which seven tell of the label, together about 85 % of it."""
    x = rng.standard_normal((1600, 10)).astype(np.float32)
    weights = np.concatenate([rng.uniform(0.7, 1.5, 7) * rng.choice([-1, 1], 7), np.zeros(3)])
    weights = rng.permutation(weights)
    told = x @ weights + 0.5 * x[:, 0] * x[:, 1]
    y = (rng.random(1600) < 1 / (1 + np.exp(-1.5 * told))).astype(np.int32)
    return Data(x[:1100], y[:1100], x[1100:], y[1100:], "")


def leaked(rng: np.random.Generator) -> Data:
    """One column is the label with a little noise."""
    data = table(rng)
    j = int(rng.integers(10))
    for x, y in ((data.x, data.y), (data.x_val, data.y_val)):
        x[:, j] = (2 * y - 1) + 0.3 * rng.standard_normal(len(y))
    data.culprit = COLUMNS[j]
    return data


def unscaled(rng: np.random.Generator) -> Data:
    """One column is in units a thousand times smaller than the others."""
    data = table(rng)
    j = int(rng.integers(10))
    data.x[:, j] *= 1000
    data.x_val[:, j] *= 1000
    data.culprit = COLUMNS[j]
    return data


def permuted(rng: np.random.Generator) -> Data:
    """Labels do not belong to their rows."""
    data = table(rng)
    data.y, data.y_val = rng.permutation(data.y), rng.permutation(data.y_val)
    data.culprit = "labels"
    return data


FAULTS = (
    Fault(
        "corner patch, hint",
        "digits",
        lambda rng: patch(rng, True),
        ("shortcut",),
        hint=True,
        names="the mask 'corner'",
    ),
    Fault(
        "corner patch, no hint",
        "digits",
        lambda rng: patch(rng, True),
        ("one_place",),
        names="the cell of the picture that holds the patch",
    ),
    Fault(
        "constant border, hint",
        "digits",
        lambda rng: border(rng, True),
        ("shortcut",),
        hint=True,
        names="the mask 'border'",
    ),
    Fault(
        "constant border, no hint",
        "digits",
        lambda rng: border(rng, True),
        ("one_place",),
        names="the border of the picture",
    ),
    Fault(
        "leaked column",
        "table",
        leaked,
        ("leaked_column", "dominant_feature"),
        names="the column",
    ),
    Fault(
        "channel swap",
        "colours",
        lambda rng: colours(rng, True),
        ("train_validation_disagree",),
        names="red or blue, the channels that are swapped",
    ),
    Fault("unscaled feature", "table", unscaled, ("unscaled_feature",), names="the column"),
    Fault(
        "20 sigmoid layers",
        "deep",
        lambda rng: _of(table(rng), "sigmoid_"),
        ("vanishing_gradients",),
        names="hidden layers",
    ),
    Fault(
        "learning rate x 1000",
        "digits",
        lambda rng: _of(digits(rng), "conv_|dense|out"),
        ("exploding_gradients", "dead_units", "not_finite_layers"),
        learning_rate=3.0,
        names="layers whose weights or units broke",
    ),
    Fault(
        "bias -10 before ReLU",
        "table",
        lambda rng: _of(table(rng), "hidden_1"),
        ("dead_units",),
        bias=-10.0,
        names="the layer",
    ),
    Fault(
        "permuted labels",
        "table",
        permuted,
        ("no_better_than_guess",),
        names="that labels do not belong to their rows",
    ),
    Fault("clean digits", "digits", digits),
    Fault("clean digits, idle patch", "digits", lambda rng: patch(rng, False), hint=True),
    Fault("clean digits, idle border", "digits", lambda rng: border(rng, False), hint=True),
    Fault("clean colours", "colours", lambda rng: colours(rng, False)),
    Fault("clean table", "table", table),
)


def _of(data: Data, culprit: str) -> Data:
    data.culprit = culprit
    return data


# --- training -------------------------------------------------------------------------------------


def model_of(task: str) -> keras.Model:
    """Build the model of a task."""
    dense, conv = keras.layers.Dense, keras.layers.Conv2D
    if task in ("digits", "colours"):
        body = [
            keras.Input((12, 12, 1 if task == "digits" else 3)),
            conv(8, 3, activation="relu", padding="same", name="conv_0"),
            conv(16, 3, activation="relu", padding="same", strides=2, name="conv_1"),
            keras.layers.Flatten(name="flatten"),
            dense(32, activation="relu", name="dense"),
            dense(10, activation="softmax", name="out"),
        ]
    else:
        depth, kind = (20, "sigmoid") if task == "deep" else (2, "relu")
        name = "sigmoid" if task == "deep" else "hidden"
        hidden = [dense(32, activation=kind, name=f"{name}_{i}") for i in range(depth)]
        body = [keras.Input((10,)), *hidden, dense(2, activation="softmax", name="out")]
    model = keras.Sequential(body, name=task)
    model.compile(
        keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


class Trainer:
    """Models that are compiled once and trained anew for every arm and seed."""

    def __init__(self) -> None:
        self._models: dict[str, keras.Model] = {}

    def fresh(self, fault: Fault, seed: int) -> keras.Model:
        """Return the compiled model of a task with weights and optimiser as they are at first."""
        keras.utils.set_random_seed(seed)
        if fault.task not in self._models:
            self._models[fault.task] = model_of(fault.task)
        model = self._models[fault.task]
        for layer in model.layers:
            if hasattr(layer, "kernel"):
                layer.kernel.assign(keras.initializers.GlorotUniform(seed)(layer.kernel.shape))
                layer.bias.assign(np.zeros(layer.bias.shape))
                seed += 100_003
        if fault.bias:
            bias = model.get_layer("hidden_1").bias
            bias.assign(np.full(bias.shape, fault.bias))
        for variable in model.optimizer.variables:
            variable.assign(np.zeros(variable.shape))
        model.optimizer.learning_rate = fault.learning_rate
        return model

    def train(self, fault: Fault, seed: int, log_dir: Path, epochs: int = EPOCHS) -> Curves:
        """Train with the callbacks of the task, and return the curves of loss and accuracy."""
        data = fault.drawn(seed)
        model = self.fresh(fault, seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            history = model.fit(
                data.x,
                data.y,
                batch_size=32,
                epochs=epochs,
                validation_data=(data.x_val, data.y_val),
                callbacks=watchers(fault, data, log_dir),
                verbose=0,
            ).history
        keys = ("loss", "val_loss", "accuracy", "val_accuracy")
        return Curves(*(np.array(history[k], float) for k in keys), data.y_val)


TRAINER = Trainer()  # of this process: each model is compiled once for all arms


def watchers(fault: Fault, data: Data, log_dir: Path) -> list[keras.callbacks.Callback]:
    """The callbacks of a task; the same for all its faults, but for the hint."""
    n = SHOWN
    x, y = data.x_val[:n], data.y_val[:n]
    health = callbacks.ModelHealthCallback(log_dir, data.x_val[:64], data.y_val[:64])
    if fault.task == "digits":
        hint = {"suspects": data.suspects} if fault.hint else {}
        return [health, callbacks.IntegratedGradientsCallback(log_dir, x, y, n_steps=8, **hint)]
    if fault.task == "colours":
        both = (("train", data.x, data.y), ("validation", data.x_val, data.y_val))
        return [
            health,
            *(
                callbacks.PermutationImportanceCallback(
                    log_dir, x[:200], y[:200], groups=GROUPS, n_repeats=5, tag=f"importance_{which}"
                )
                for which, x, y in both
            ),
        ]
    if fault.task == "deep":
        return [health]
    named = {"feature_names": COLUMNS}
    return [
        health,
        callbacks.PermutationImportanceCallback(
            log_dir, data.x_val, data.y_val, n_repeats=5, **named
        ),
        # Measures of quality would double the time, and none of these faults is about them.
        callbacks.IntegratedGradientsCallback(log_dir, x, y, n_steps=8, quality=False, **named),
    ]


@dataclass(frozen=True)
class Curves:
    """What an alarm sees that knows loss and accuracy alone; each (epochs,)."""

    loss: np.ndarray
    val_loss: np.ndarray
    accuracy: np.ndarray
    val_accuracy: np.ndarray
    labels: np.ndarray


# --- an alarm that sees the curves alone ----------------------------------------------------------

CURVE_LIMITS: dict[str, dict[str, float]] = {
    "digits": {"rise": 1.001, "val_rise": 1.377, "gap": 0.0668, "chance": -27.0},
    "colours": {"rise": 1.001, "val_rise": 1.313, "gap": 0.0859, "chance": -12.5},
    "table": {"rise": 1.001, "val_rise": 1.073, "gap": 0.0642, "chance": -7.79},
}
"""Largest value of each figure in 30, 20 and 20 clean runs of the task, on seeds from 1000 on."""


def figures_of(curves: Curves) -> dict[str, np.ndarray]:
    """Return what the curves tell after each epoch, larger is worse; (epochs,) each.

    rise: training loss over its lowest so far. val_rise: the same of the validation loss. gap:
    accuracy less validation accuracy. chance: how many standard errors the validation accuracy
    lacks to 5 above that of the most frequent class.
    """
    share = np.bincount(curves.labels).max() / len(curves.labels)
    error = np.sqrt(share * (1 - share) / len(curves.labels))
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "rise": curves.loss / np.minimum.accumulate(curves.loss),
            "val_rise": curves.val_loss / np.minimum.accumulate(curves.val_loss),
            "gap": curves.accuracy - curves.val_accuracy,
            "chance": 5 - (curves.val_accuracy - share) / error,
        }


def curve_alarm(curves: Curves, task: str) -> int | None:
    """Return the first epoch, from 1, at which loss and accuracy give the alarm."""
    limits = CURVE_LIMITS["table" if task == "deep" else task]
    bad = ~np.isfinite(curves.loss) | ~np.isfinite(curves.val_loss)
    for name, figure in figures_of(curves).items():
        bad |= figure > limits[name]
    return int(np.argmax(bad)) + 1 if bad.any() else None


# --- judging --------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """What was told of one run.

    Attributes:
        seed: Seed of the run.
        delay: Epoch at which the fault was first named, from 0, the untrained model; None: never.
        last: Whether it was named at the end as well.
        curves: Epoch at which loss and accuracy gave the alarm.
        told: Every warning and alarm as (rule, epoch, text).
    """

    seed: int
    delay: int | None
    last: bool
    curves: int | None
    told: list[tuple[str, int, str]]


def names_culprit(finding: Finding, fault: Fault, culprit: str) -> bool:
    """Whether a finding of this fault's rules holds the right thing responsible."""
    named = [finding.evidence.get("name"), *finding.evidence.get("layers", [])]
    return finding.rule in fault.rules and any(
        re.search(culprit, str(name)) for name in named if name
    )


@lru_cache(maxsize=128)
def watched(name: str, seed: int, epochs: int) -> tuple[list[list[Finding]], Curves]:
    """Train one run, and return its findings at each epoch, from the untrained model on."""
    fault = next(fault for fault in FAULTS if fault.name == name)
    with tempfile.TemporaryDirectory() as folder:
        curves = TRAINER.train(fault, seed, Path(folder), epochs)
        log = reader.open(folder)
        (run,) = log.runs
        return [findings.find(log, run, until=epoch) for epoch in range(epochs + 1)], curves


def judged(fault: Fault, seed: int, epochs: int = EPOCHS) -> Outcome:
    """Say what was told of one run after each epoch."""
    # One run serves both arms: the rule that works without a hint reads no mask.
    found, curves = watched(fault.name.replace(", no hint", ", hint"), seed, epochs)
    data = fault.drawn(seed)
    culprit = next(iter(data.suspects)) if fault.hint and not fault.clean else data.culprit
    told: dict[tuple[str, str], tuple[str, int, str]] = {}
    named: list[int] = []
    for epoch, each in enumerate(found):
        for finding in each:
            if finding.severity == "info":
                continue
            told.setdefault((finding.rule, finding.tag), (finding.rule, epoch, finding.text))
            if names_culprit(finding, fault, culprit):
                named.append(epoch)
    return Outcome(
        seed,
        min(named, default=None),
        epochs in named,
        curve_alarm(curves, fault.task),
        list(told.values()),
    )


def outcomes(name: str, seeds: Sequence[int], show: bool = True) -> list[Outcome]:
    """Return the outcomes of one arm."""
    fault = next(fault for fault in FAULTS if fault.name == name)
    found = [judged(fault, seed) for seed in seeds]
    if show:
        print(line(row(fault, found)), flush=True)
        for one in found:
            if fault.clean and one.told:
                print(f"    seed {one.seed}: {one.told}")
    return found


# --- the table ------------------------------------------------------------------------------------

HEAD = (
    "arm",
    "a finding must name",
    "detected",
    "at the end",
    "delay, epochs: median (worst)",
    "loss and accuracy alone",
)


def row(fault: Fault, found: Sequence[Outcome]) -> tuple[str, ...]:
    n = len(found)
    curves = [one.curves for one in found if one.curves is not None]
    alone = f"{len(curves)}/{n}"
    if fault.clean:
        false = sum(bool(one.told) for one in found)
        return fault.name, "", f"false alarms {false}/{n}", "", "", f"false alarms {alone}"
    delays = [one.delay for one in found if one.delay is not None]
    return (
        fault.name,
        fault.names,
        f"{len(delays)}/{n}",
        f"{sum(one.last for one in found)}/{n}",
        f"{np.median(delays):.3g} ({max(delays)})" if delays else "",
        alone + (f", median {np.median(curves):.3g}" if curves else ""),
    )


def line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def summed(results: dict[str, list[Outcome]]) -> dict[str, Any]:
    """Return the totals: of faults with hints or without need of one, of arms without, of clean."""
    by_name = {fault.name: fault for fault in FAULTS}
    kinds: dict[str, list[tuple[Fault, Outcome]]] = {"faults": [], "no hint": [], "clean": []}
    for name, found in results.items():
        fault = by_name[name]
        kind = "clean" if fault.clean else "no hint" if name.endswith("no hint") else "faults"
        kinds[kind] += [(fault, one) for one in found]
    totals: dict[str, Any] = {}
    for kind, pairs in kinds.items():
        ones = [one for _, one in pairs]
        if not ones:
            continue
        hits = [bool(one.told) if kind == "clean" else one.delay is not None for one in ones]
        delays = [one.delay for one in ones if one.delay is not None]
        totals[kind] = {
            "runs": len(ones),
            "found": sum(hits),
            "delay": float(np.median(delays)) if delays else None,
            "curves": sum(one.curves is not None for one in ones),
        }
    return totals


def told_totals(results: dict[str, list[Outcome]]) -> str:
    """Return the totals in words."""
    lines = []
    for kind, total in summed(results).items():
        share = (
            f"{total['found']} of {total['runs']} ({100 * total['found'] / total['runs']:.3g} %)"
        )
        alone = f"{total['curves']} ({100 * total['curves'] / total['runs']:.3g} %)"
        if kind == "clean":
            lines.append(
                f"- Clean runs with a warning or an alarm: {share}; loss and accuracy alone: "
                f"{alone}."
            )
        else:
            what = "Faults" if kind == "faults" else "Shortcuts in pictures, without a hint"
            lines.append(
                f"- {what}: detected and named in {share}, median delay {total['delay']:.3g} "
                f"epoch(s); loss and accuracy alone, which name nothing: {alone}."
            )
    return "\n".join(lines)


def document(results: dict[str, list[Outcome]], seeds: Sequence[int], seconds: float) -> str:
    """Return the text of docs/planted_faults.md."""
    by_name = {fault.name: fault for fault in FAULTS}
    table = [line(HEAD), line(["---"] * len(HEAD))]
    table += [line(row(by_name[name], found)) for name, found in results.items()]
    false = [
        f"- {name}, seed {one.seed}, epoch {epoch}: `{rule}`: {text}"
        for name, found in results.items()
        if by_name[name].clean
        for one in found
        for rule, epoch, text in one.told
    ]
    limits = "; ".join(
        f"{task}: " + ", ".join(f"{name} {value:.4g}" for name, value in each.items())
        for task, each in CURVE_LIMITS.items()
    )
    return f"""# Planted faults

{EXPLAINED}
{told_totals(results)}

{chr(10).join(table)}

Seeds {seeds[0]} to {seeds[-1]}, {EPOCHS} epochs each. {machine(seconds)}

False alarms of clean runs, all of them:

{chr(10).join(false) or "none."}

{DETAILS}
Limits of the alarm that sees the curves: {limits}.
"""


EXPLAINED = """Small models are trained with the callbacks on data with a known fault, and on the
same data without it, and after every epoch everything logged so far is judged as a user would read
it then: `findings.find(log, run, until=epoch)`. A fault counts as *detected* when a warning or an
alarm holds the right thing responsible, by name; *at the end* says for how many that still holds
after the last epoch. The *delay* counts from the untrained model (0): all faults are there from the
start. A *false alarm* is any warning or alarm, at any epoch, in a run without a fault.
Written by `python -m benchmarks.planted_faults`.
"""

DETAILS = """What is planted:

- *corner patch*: 2 x 2 pixels in one corner of a digit's picture show the label as four bits. Clean
  counterpart: the bits are of chance ("idle patch").
- *constant border*: a frame of 2 pixels has one grey level for each label. Clean counterpart: the
  grey level is of chance ("idle border").
- Of both there are two arms: *hint* tells the callback which place must not matter (`suspects=`);
  *no hint* tells nothing, and the finding must name the place by itself. They are the same runs:
  the rule that works without a hint reads no mask.
- *leaked column*: one of ten columns is the label with noise (AUC above 0.9999).
- *channel swap*: the halves of a digit in red and green, another digit in blue; red and blue change
  places in the validation set. Importances of the channels are logged on both sets.
- *unscaled feature*: one column is in units a thousand times smaller.
- *20 sigmoid layers*, *bias -10 before ReLU*, *learning rate x 1000* (of Adam), *permuted labels*
  (in both sets): as they say.

The alarm that sees loss and accuracy alone is given when either loss is not finite, the training or
validation loss rises above its lowest so far, the validation accuracy falls behind the training
accuracy, or the validation accuracy is not clearly above the most frequent class. Each limit is the
largest value of clean runs of the task on seeds from 1000 on, and any alarm counts as a detection:
it cannot name anything. The rules of the findings were set on seeds from 1000 on as well.

Tasks: digits of scikit-learn in a black frame (CNN, 1,100 for training, 500 for validation; health
and integrated gradients of 32 validation examples), the same in colours (health, permutation
importance of channels), synthetic columns (MLP; health, permutation importance, integrated
gradients without measures of quality). Callbacks have their defaults, but for 8 nodes and 5
repeats.
"""


def machine(seconds: float) -> str:
    """Return where and on what the figures were found."""
    return (
        f"{date.today().isoformat()}, commit {report.commit()}. {report.chip()}, "
        f"{os.cpu_count()} cores, {seconds / 60:.0f} minutes of CPU time. Python "
        f"{platform.python_version()}, TensorFlow {tf.__version__}, Keras {keras.__version__}, "
        f"NumPy {np.__version__}."
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.planted_faults", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=20, help="runs of each arm (default: 20)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default: 0)")
    parser.add_argument("--only", default="", help="arms whose name holds this; writes no file")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--limits", action="store_true", help="print the limits of the curves")
    arguments = parser.parse_args()
    one_thread()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    wanted = [fault.name for fault in FAULTS if arguments.only in fault.name]
    if arguments.limits:
        print(limits_of([f for f in FAULTS if f.clean], seeds))
        return 0
    print(line(HEAD))
    if arguments.jobs > 1:
        with ProcessPoolExecutor(
            arguments.jobs, multiprocessing.get_context("spawn"), initializer=one_thread
        ) as pool:
            results = dict(zip(wanted, pool.map(outcomes, wanted, repeat(seeds)), strict=True))
    else:
        results = {name: outcomes(name, seeds) for name in wanted}
    print(told_totals(results))
    if not arguments.only and arguments.first == 0:
        DOCUMENT.write_text(document(results, seeds, time.process_time()))
        print(f"Wrote {DOCUMENT.relative_to(ROOT)}")
    return 0


def limits_of(clean: Sequence[Fault], seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """Return the largest value of each figure of the curves in clean runs, by task."""
    limits: dict[str, dict[str, float]] = {}
    for fault in clean:
        task = limits.setdefault(fault.task, {})
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                found = figures_of(TRAINER.train(fault, seed, Path(folder)))
            for name, figure in found.items():
                task[name] = max(task.get(name, -np.inf), float(figure.max()))
    return limits


def one_thread() -> None:
    """Make TensorFlow, which has not started yet, run everything in one thread."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


if __name__ == "__main__":
    sys.exit(main())
