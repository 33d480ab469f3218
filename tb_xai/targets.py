"""What is explained: one number per example, computed from a model's outputs and the labels.

A target is any callable ``(outputs, y) -> (n,)``. The five of this module (`log_odds`, `logit`,
`probability`, `log_probability`, `value`) find the pre-activations of the model's head themselves,
by walking the traced graph back from the outputs; the model is never changed for it. The head
decides what a target means:

========================= ================================================ ==================
head                      `log_odds`                                       labels
========================= ================================================ ==================
softmax over k classes    ``z_c - logsumexp_{j != c} z_j``                 class ``c``
one sigmoid unit          ``+z`` for class 1, ``-z`` for class 0           0 or 1
k sigmoid units           ``z_c``                                          unit ``c``
none, k >= 2 units        the outputs are logits, as for softmax           class ``c``
none, one unit            the output itself (regression)                   not needed
========================= ================================================ ==================
"""

from __future__ import annotations

import contextlib
import random
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

Target = Callable[[Any, Any], Any]
"""Maps the model's outputs and the labels to one score per example, shape (n,)."""


@dataclass(frozen=True)
class Head:
    """How a model's output was made.

    Attributes:
        kind: "softmax" (rows of k logits), "sigmoid" (k independent units) or "value" (one unit
            without activation).
        logits: pre-activations, (n, k), float32 or float64; for "value" the output itself, (n, 1).
        outputs: the output as the model gives it, as (n, k) of the same type.
    """

    kind: str
    logits: Any
    outputs: Any

    @property
    def classes(self) -> int:
        """Number of classes a label may name; 0 when no label is needed."""
        if self.kind == "value":
            return 0
        k = int(self.logits.shape[1])
        return 2 if self.kind == "sigmoid" and k == 1 else k


def log_odds(outputs: Any, y: Any) -> Any:
    """Return the log-odds of class ``y`` against all others: ``z_c - logsumexp_{j != c} z_j``.

    Equals ``log(p_c / (1 - p_c))``, but is computed from the pre-activations, so that neither value
    nor gradient dies as the model grows confident, and (other than a raw logit) does not depend on
    a constant added to all logits.

    Args:
        outputs: the model's output, (n, k), (n, 1) or (n,), as a tensor of the traced graph.
        y: class of each example, (n,) integers; ignored for one unit without activation.

    Returns:
        (n,) in nats; positive when the class is more probable than all others together.

    Example:
        >>> explain = saliency()(model, target=log_odds)
    """
    head = head_of(outputs, "log_odds")
    if head.kind != "softmax":
        return _unit(head, y)
    chosen = tf.one_hot(y, head.logits.shape[1], on_value=True, off_value=False, dtype=tf.bool)
    others = tf.where(chosen, head.logits.dtype.min, head.logits)
    # The one logit by a sum: the gradient of a batched gather takes a score of operations.
    own = tf.reduce_sum(tf.where(chosen, head.logits, 0), axis=1)
    return own - tf.reduce_logsumexp(others, axis=1)


def logit(outputs: Any, y: Any) -> Any:
    """Return the pre-activation ``z_c`` of class ``y``; for a single sigmoid unit ``+z`` or ``-z``.

    Raw logits of a softmax are only known up to a constant that all classes share: prefer
        `log_odds`.

    Args:
        outputs: the model's output, (n, k), (n, 1) or (n,), as a tensor of the traced graph.
        y: class of each example, (n,) integers; ignored for one unit without activation.

    Returns:
        (n,) pre-activations, without unit.

    Example:
        >>> explain = saliency()(model, target=logit)
    """
    head = head_of(outputs, "logit")
    if head.kind != "softmax":
        return _unit(head, y)
    return tf.gather(head.logits, y, axis=1, batch_dims=1)


def probability(outputs: Any, y: Any) -> Any:
    """Return the probability ``p_c`` of class ``y``.

    Its gradient dies as the model grows confident, in both directions: prefer `log_odds`.

    Args:
        outputs: the model's output, (n, k), (n, 1) or (n,), as a tensor of the traced graph.
        y: class of each example, (n,) integers.

    Returns:
        (n,) in [0, 1].

    Raises:
        ValueError: the model ends in one unit without activation, which gives no probability.

    Example:
        >>> explain = saliency()(model, target=probability)
    """
    head = _classifier(outputs, "probability")
    if head.kind == "sigmoid":
        return tf.sigmoid(_unit(head, y))
    return tf.gather(tf.nn.softmax(head.logits), y, axis=1, batch_dims=1)


def log_probability(outputs: Any, y: Any) -> Any:
    """Return ``log p_c`` of class ``y``, minus the cross-entropy loss.

    Args:
        outputs: the model's output, (n, k), (n, 1) or (n,), as a tensor of the traced graph.
        y: class of each example, (n,) integers.

    Returns:
        (n,) in nats, at most 0.

    Raises:
        ValueError: the model ends in one unit without activation, which gives no probability.

    Example:
        >>> explain = saliency()(model, target=log_probability)
    """
    head = _classifier(outputs, "log_probability")
    if head.kind == "sigmoid":
        return tf.math.log_sigmoid(_unit(head, y))
    return tf.gather(tf.nn.log_softmax(head.logits), y, axis=1, batch_dims=1)


def value(outputs: Any, y: Any) -> Any:
    """Return the model's output itself, as it is: of unit ``y``, or of the only unit.

    Args:
        outputs: the model's output, (n, k), (n, 1) or (n,).
        y: unit of each example, (n,) integers; ignored for a single unit.

    Returns:
        (n,) in the unit of the model's output.

    Example:
        >>> explain = saliency()(model, target=value)
    """
    outputs = _matrix(outputs, "value")
    if outputs.shape[1] == 1:
        return outputs[:, 0]
    return tf.gather(outputs, y, axis=1, batch_dims=1)


BUILT_IN: tuple[Target, ...] = (log_odds, logit, probability, log_probability, value)


@dataclass(frozen=True)
class _OfOutput:
    """A target that looks at one output of several."""

    output: str | int
    target: Target

    def __call__(self, outputs: Any, y: Any) -> Any:
        return self.target(self.pick(outputs, "outputs"), y)

    def pick(self, structure: Any, what: str) -> Any:
        if tf.is_tensor(structure):  # whose parts would be examples
            raise ValueError(
                "target must be given without of_output for a model of one output. "
                f"Received: of_output({self.output!r})"
            )
        try:
            return structure[self.output]
        except (KeyError, IndexError, TypeError):
            known = (
                list(structure)
                if isinstance(structure, Mapping)
                else f"positions 0 to {len(structure) - 1}"
            )
            raise ValueError(
                f"of_output must name one of the model's {what}: {known}. Received: {self.output!r}"
            ) from None


def of_output(output: str | int, target: Target = log_odds) -> Target:
    """Return a target that applies ``target`` to one output of a multi-output model.

    Args:
        output: name of the output (key of a dictionary, or name of the output layer), or its
            position.
        target: what to explain of this output.

    Returns:
        A target. Labels are given for this output alone, or as the model's own dictionary or list.

    Example:
        >>> explain = saliency()(model, target=of_output("age", value))
    """
    if not isinstance(output, (str, int)) or isinstance(output, bool):
        raise TypeError(f"output must be a name or a position. Received: {output!r}")
    if not callable(target):
        raise TypeError(f"target must be a callable (outputs, y) -> (n,). Received: {target!r}")
    return _OfOutput(output, target)


def name(target: Target) -> str:
    """Return the name of a target as it stands in the log: "log-odds", or a callable's own name."""
    if isinstance(target, _OfOutput):
        return f"{name(target.target)} of output {target.output}"
    own = getattr(target, "__name__", type(target).__name__)
    if any(target is known for known in BUILT_IN):
        return str(own).replace("_", "-")
    return "custom target" if own in ("<lambda>", "partial") else str(own)


class Score:
    """The score of a model: ``score(x, y) -> (scores (n,), outputs)``, eager or in ``tf.function``.

    `labels` validates labels on the host; it must be called before a score is computed from them,
    because a traced graph cannot refuse an impossible class. A call leaves no trace in the model:
    weights, statistics, seeds, metrics and losses are as before.
    """

    def __init__(self, model: Any, target: Target) -> None:
        self.model = model
        self._named, self.target = target, _by_position(model, target)
        self.name = name(target)
        self._base = self.target
        while isinstance(self._base, _OfOutput):
            self._base = self._base.target
        self.built_in = any(self._base is known for known in BUILT_IN)
        self.classes: int | None = None
        self._function = tf.function(self._traced, autograph=False)

    def __call__(self, x: Any, y: Any = None) -> tuple[Any, Any]:
        """Return the scores (n,) and the model's outputs for ``x``; ``y`` as `labels` gave it."""
        if tf.executing_eagerly():
            graph_only()
            return self._function(x, y)  # type: ignore[no-any-return]
        return self._traced(x, y)

    def of(self, outputs: Any, y: Any) -> Any:
        """Return the scores (n,) of outputs that were computed in the same graph by `forward`."""
        if self.built_in:
            picked = outputs
            target = self.target
            while isinstance(target, _OfOutput):
                picked, target = target.pick(picked, "outputs"), target.target
            if self._base is value:
                k = int(_matrix(picked, "value").shape[1])
                self.classes = 0 if k == 1 else k
            else:
                self.classes = head_of(picked, self._base.__name__).classes
        scores = tf.convert_to_tensor(self.target(outputs, y))
        rows = tf.nest.flatten(outputs)[0].shape[0]
        if scores.shape.rank != 1 or not scores.shape.is_compatible_with([rows]):
            raise ValueError(
                f"target must return one score per example, shape ({rows or 'n'},). "
                f"Received: shape {tuple(scores.shape)} from {self.name}"
            )
        if not scores.dtype.is_floating:
            raise TypeError(
                f"target must return floating-point scores. Received: {scores.dtype.name} from "
                f"{self.name}"
            )
        return scores if scores.dtype == tf.float64 else tf.cast(scores, tf.float32)

    def forward(self, x: Any) -> Any:
        """Return the model's outputs for ``x`` without touching its state."""
        # What a layer would assign (statistics, seeds, metrics) or add as a loss ends in the scope
        # and is dropped with it.
        with keras.StatelessScope(collect_losses=True, initialize_variables=False):
            return self.model(x, training=False)

    def cross(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return scores of each row of ``x`` under each of its labels, and outputs, inside a graph.

        Args:
            x: r rows of inputs.
            y: r * t labels, t for each row in order (t = 1: one label per row).

        Returns:
            Scores (r * t,) and the model's outputs for the r rows.
        """
        outputs = self.forward(x)
        if y is None:
            return self.of(outputs, y), outputs
        rows = tf.shape(tf.nest.flatten(outputs)[0])[0]
        times = tf.shape(tf.nest.flatten(y)[0])[0] // rows
        return self.of(tf.nest.map_structure(lambda o: _repeat(o, times), outputs), y), outputs

    def labels(self, y: Any, n: int, x: Any = None) -> np.ndarray | Any | None:
        """Validate labels on the host and return them in the form the score takes.

        Args:
            y: labels of the n examples, or None.
            n: number of examples.
            x: inputs, needed only when no score was traced yet (the number of classes is found by
                tracing once).

        Returns:
            (n,) int32 for the targets of this module (zeros where none are needed); as given for
            other targets.

        Raises:
            ValueError: labels are missing, out of range, of the wrong length or not one class per
                example.
        """
        named, placed = self._named, self.target
        while isinstance(named, _OfOutput) and isinstance(placed, _OfOutput):
            if isinstance(y, Mapping):
                y = named.pick(y, "labels")
            elif _is_list_of_arrays(y):
                y = placed.pick(y, "labels")
            named, placed = named.target, placed.target
        if not self.built_in:
            return _free_labels(y, n)
        if isinstance(y, Mapping):
            raise ValueError(
                f"y must be one array of labels for target {self.name}; of several outputs, "
                f"targets.of_output chooses the one to explain. Received: keys {list(y)}"
            )
        if self.classes is None:
            spec = tf.nest.map_structure(
                lambda a: tf.TensorSpec((None, *np.shape(a)[1:]), tf.as_dtype(a.dtype)), x
            )
            graph_only()
            self._function.get_concrete_function(spec, tf.TensorSpec((None,), tf.int32))
        assert self.classes is not None
        return check_labels(y, n, self.classes, self.name)

    def _traced(self, x: Any, y: Any) -> tuple[Any, Any]:
        outputs = self.forward(x)
        return self.of(outputs, y), outputs


def bind(model: Any, target: Target = log_odds) -> Score:
    """Return the score of ``model`` under ``target``, as ``score(x, y) -> (scores (n,), outputs)``.

    Args:
        model: a built Keras model on the TensorFlow backend, of any kind.
        target: a target of this module or any callable ``(outputs, y) -> (n,)``.

    Returns:
        A `Score`, usable in eager code and inside ``tf.function``.

    Raises:
        TypeError: not a Keras model, or not a callable target.
        ValueError: the model is not built, or Keras runs on another backend.

    Example:
        >>> score = bind(model, log_odds)
        >>> scores, outputs = score(x, score.labels(y, len(x), x))
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Keras must run on the TensorFlow backend. Received: {keras.backend.backend()}"
        )
    if not isinstance(model, keras.Layer):
        raise TypeError(f"model must be a Keras model. Received: {type(model).__name__}")
    if not callable(target):
        raise TypeError(f"target must be a callable (outputs, y) -> (n,). Received: {target!r}")
    if not model.built:
        raise ValueError(
            "model must be built before it is explained: call it once on data, or "
            "model.build(input_shape). "
            f"Received: the unbuilt model {model.name!r}"
        )
    return Score(model, target)


def check_labels(y: Any, n: int, classes: int, what: str = "log-odds") -> np.ndarray:
    """Return labels as (n,) int32 classes, or refuse them with a sentence.

    Args:
        y: integers (n,) or (n, 1) (also as whole floats or booleans), or one-hot rows (n, classes),
            or None.
        n: number of examples.
        classes: number of classes; 0 when the target needs no labels.
        what: name of the target, for messages.

    Returns:
        (n,) int32 in [0, classes); zeros when no labels are needed.

    Raises:
        TypeError: labels are not numbers.
        ValueError: labels are missing, out of range, of the wrong length, NaN, or not one class per
            example.

    Example:
        >>> check_labels([[0, 1], [1, 0]], n=2, classes=2)
        array([1, 0], dtype=int32)
    """
    if classes == 0:
        return np.zeros(n, np.int32)
    if y is None:
        raise ValueError(f"y must hold the class of each example for target {what}. Received: None")
    y = np.asarray(y)
    if y.dtype.kind not in "biuf":
        raise TypeError(f"y must be class numbers or one-hot rows. Received: dtype {y.dtype}")
    if y.ndim == 0 or len(y) != n:
        raise ValueError(
            f"y must have one label for each of the {n} examples. Received: shape {y.shape}"
        )
    if not np.isfinite(y).all():
        raise ValueError(
            f"y must hold finite class numbers. Received: {y[~np.isfinite(y)][0]} "
            f"at {_first(~np.isfinite(y))}"
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.shape[1] == classes:
        hot = ((y == 0) | (y == 1)).all(axis=1) & (y.sum(axis=1) == 1)
        if not hot.all():
            row = int(np.flatnonzero(~hot)[0])
            raise ValueError(
                "y must name one class per example, as numbers or one-hot rows; explain several "
                "classes by calling once for "
                f"each. Received: y[{row}]={np.array2string(y[row], threshold=8)}"
            )
        return np.asarray(np.argmax(y, axis=1), np.int32)
    if y.ndim != 1:
        raise ValueError(
            f"y must have shape ({n},), ({n}, 1) or one-hot ({n}, {classes}). Received: shape "
            f"{y.shape}"
        )
    if y.dtype.kind == "f" and (y != np.round(y)).any():
        wrong = y[y != np.round(y)][0]
        raise ValueError(f"y must hold whole class numbers for target {what}. Received: y={wrong}")
    outside = (y < 0) | (y >= classes)
    if outside.any():
        raise ValueError(
            f"target must be below {classes} classes. Received: target={y[outside][0]:g}"
        )
    return np.asarray(y, np.int32)


def head_of(output: Any, what: str = "log_odds") -> Head:
    """Return how an output tensor of a traced graph was made, with its pre-activations.

    The walk goes back through Identity, Cast, Reshape and Squeeze to a Softmax, LogSoftmax or
    Sigmoid operation. Behind a mean or mixture of softmaxes the logarithm of the mixture takes the
    place of the logits.

    Args:
        output: (n, k), (n, 1) or (n,) tensor of a graph that is being traced.
        what: name of the target, for messages.

    Returns:
        The head.

    Raises:
        ValueError: several outputs, more than one unit axis, or a softmax over a single unit.
    """
    matrix = _matrix(output, what)
    k = int(matrix.shape[1])
    kind, tensor = _activation(output)
    if kind in ("Softmax", "probabilities") and k == 1:
        raise ValueError(
            "model must not end in a softmax over one unit, which is always 1; use a sigmoid. "
            f"Received: output shape {tuple(output.shape)}"
        )
    if kind == "probabilities":
        logits = tf.math.log(tf.maximum(matrix, np.finfo(matrix.dtype.as_numpy_dtype).tiny))
        return Head("softmax", logits, matrix)
    if kind == "hidden sigmoid":
        tiny = np.finfo(matrix.dtype.as_numpy_dtype).eps
        p = tf.clip_by_value(matrix, tiny, 1 - tiny)
        return Head("sigmoid", tf.math.log(p) - tf.math.log1p(-p), matrix)
    if kind == "":
        return Head("value" if k == 1 else "softmax", matrix, matrix)
    logits = tf.reshape(_wide(tensor), tf.shape(matrix))
    logits.set_shape(matrix.shape)
    return Head("sigmoid" if kind == "Sigmoid" else "softmax", logits, matrix)


_THROUGH = ("Identity", "IdentityN", "Cast", "Reshape", "Squeeze", "ExpandDims")
_CALLS = ("PartitionedCall", "StatefulPartitionedCall")
_MIXES = (
    "AddV2",
    "Add",
    "AddN",
    "Mul",
    "RealDiv",
    "Mean",
    "Sum",
    "Pack",
    "ConcatV2",
    "ClipByValue",
)


def _activation(tensor: Any, graph: Any = None) -> tuple[str, Any]:
    """Return the activation behind a tensor ("" for none) and its pre-activation."""
    if not hasattr(tensor, "op"):
        return "", None
    while True:
        op = tensor.op
        if op.type in ("Softmax", "LogSoftmax", "Sigmoid"):
            return ("Softmax" if op.type == "LogSoftmax" else op.type), op.inputs[0]
        if op.type == "IdentityN":
            tensor = op.inputs[tensor.value_index]
        elif op.type in _THROUGH:
            tensor = op.inputs[0]
        else:
            break
    if op.type in _CALLS:
        return _inside_call(tensor)
    if op.type in _MIXES and _mixes_softmaxes(op):
        return "probabilities", None
    return "", None


def _inside_call(tensor: Any) -> tuple[str, Any]:
    """Return the activation at the end of a nested function, whose own tensors are out of reach."""
    op = tensor.op
    function = op.graph._get_function(op.get_attr("f").name)
    if function is None or getattr(function, "graph", None) is None:
        return "", None
    kind, _ = _activation(function.graph.outputs[tensor.value_index])
    return {"Softmax": "probabilities", "Sigmoid": "hidden sigmoid"}.get(kind, kind), None


def _mixes_softmaxes(op: Any) -> bool:
    """Whether an operation joins nothing but softmaxes and constants."""
    found = False
    waiting, seen = deque([op]), set()
    while waiting:
        for tensor in waiting.popleft().inputs:
            other = tensor.op
            if id(other) in seen or other.type in ("Const", "ReadVariableOp", "Placeholder"):
                continue
            seen.add(id(other))
            if other.type == "Softmax":
                found = True
            elif other.type in _MIXES or other.type in _THROUGH:
                waiting.append(other)
            elif other.type not in ("Shape", "StridedSlice", "Range", "Prod", "Maximum"):
                return False
    return found


def _repeat(output: Any, times: Any) -> Any:
    """Return each row ``times`` times, with an activation that is found again."""
    kind, tensor = _activation(output)
    if tensor is None:
        return tf.repeat(output, times, axis=0)
    function = tf.sigmoid if kind == "Sigmoid" else tf.nn.softmax
    wide = tf.reshape(_wide(tensor), tf.shape(output))
    wide.set_shape(output.shape)
    return tf.cast(function(tf.repeat(wide, times, axis=0)), output.dtype)


def _matrix(output: Any, what: str) -> Any:
    """Return an output as (n, k) in float32 or float64."""
    if not tf.is_tensor(output):
        flat = list(output) if isinstance(output, Mapping) else len(tf.nest.flatten(output))
        raise ValueError(
            f"target {what} must be given one output of several, as "
            f"targets.of_output(name_or_position, {what}). "
            f"Received: outputs {flat}"
        )
    if output.shape.rank == 1:
        output = output[:, None]
    if output.shape.rank != 2 or output.shape[1] is None:
        raise ValueError(
            f"target {what} must see outputs of shape (n, k) or (n,); reduce others in a callable "
            "(outputs, y) -> (n,). "
            f"Received: output shape {tuple(output.shape)}"
        )
    return _wide(output)


def _wide(tensor: Any) -> Any:
    return tensor if tensor.dtype in (tf.float32, tf.float64) else tf.cast(tensor, tf.float32)


def _unit(head: Head, y: Any) -> Any:
    """Return the score of a head without competing classes."""
    if head.logits.shape[1] > 1:
        return tf.gather(head.logits, y, axis=1, batch_dims=1)
    z = head.logits[:, 0]
    return z if head.kind == "value" else tf.where(tf.equal(y, 1), z, -z)


def _classifier(outputs: Any, what: str) -> Head:
    head = head_of(outputs, what)
    if head.kind == "value":
        raise ValueError(
            f"target {what} must see a softmax or sigmoid head or at least two logits; use "
            "targets.value. "
            "Received: one unit without activation"
        )
    return head


def _by_position(model: Any, target: Target) -> Target:
    """Return the target with an output's name replaced by its position where outputs are a list."""
    names = getattr(model, "output_names", None)
    structure = getattr(model, "_outputs_struct", None)
    if (
        isinstance(target, _OfOutput)
        and isinstance(target.output, str)
        and names
        and not isinstance(structure, Mapping)
    ):
        if target.output not in names:
            raise ValueError(
                f"of_output must name one of the model's outputs {list(names)}. Received: "
                f"{target.output!r}"
            )
        return _OfOutput(list(names).index(target.output), target.target)
    return target


def _free_labels(y: Any, n: int) -> Any:
    """Return the labels of a user's own target as given, after a look at their length."""
    if y is None:
        return None
    structure = isinstance(y, (Mapping, tuple)) or _is_list_of_arrays(y)
    y = tf.nest.map_structure(np.asarray, y) if structure else np.asarray(y)
    for part in tf.nest.flatten(y):
        if part.ndim == 0 or len(part) != n:
            raise ValueError(
                f"y must have one label for each of the {n} examples. Received: shape {part.shape}"
            )
    return y


def _is_list_of_arrays(y: Any) -> bool:
    return isinstance(y, (list, tuple)) and any(len(getattr(p, "shape", ())) for p in y)


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])


@contextlib.contextmanager
def generators_left_alone() -> Iterator[None]:
    """Put Python's and NumPy's global generators back, from which training may draw."""
    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)  # noqa: NPY002


def graph_only() -> None:
    """Refuse TensorFlow's debugging mode, in which nothing is traced.

    Raises:
        RuntimeError: ``tf.config.run_functions_eagerly(True)`` is on.
    """
    if tf.config.functions_run_eagerly():
        raise RuntimeError(
            "tf.config.run_functions_eagerly must be off while a model is explained. Received: True"
        )


def as_numbers(values: Any) -> np.ndarray:
    """Return an array whose numbers NumPy can count with: bfloat16 and float8 become float32."""
    found = np.asarray(values)
    borrowed = found.dtype.kind == "V" and found.dtype.name.startswith(("bfloat", "float"))
    return found.astype(np.float32) if borrowed else found


def narrowed(values: np.ndarray, dtype: Any, what: str) -> np.ndarray:
    """Return numbers in the type that a model reads, or refuse what that type cannot hold."""
    dtype = np.dtype(dtype)
    if values.dtype == dtype or dtype.kind not in "iuf" or values.dtype.kind not in "iuf":
        return values.astype(dtype, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        found = values.astype(dtype, copy=False)
    if dtype.kind == "f":
        lost = ~np.isfinite(found) & np.isfinite(values)
    else:
        ends = np.iinfo(dtype)
        lost = (values < ends.min) | (values > ends.max)
    if lost.any():
        raise ValueError(
            f"{what} must fit into {dtype.name}, the type that the model reads. "
            f"Received: {values[lost][0]}"
        )
    return found


def out_of_range(error: tf.errors.InvalidArgumentError) -> ValueError | None:
    """Return what to say of an id or class that the model does not have; None for other errors."""
    told = error.message or ""
    found = re.search(r"indices\[[\d,]*\] = (-?\d+) is not in \[0, (\d+)\)", told)
    if found is not None:
        return ValueError(
            f"x must hold ids from 0 to {int(found[2]) - 1}, the rows of the model's embedding "
            f"(and so must a baseline or background). Received: {found[1]}"
        )
    found = re.search(r"label value of (-?\d+) which is outside .* range of \[0, (\d+)\)", told)
    if found is not None:
        return ValueError(
            f"target must be below {found[2]} classes. Received: target={found[1]}"
            if int(found[1]) >= 0
            else f"y must hold class numbers of at least 0. Received: {found[1]}"
        )
    return None
