"""How healthy a network is: gradients, weights and activations of each layer on a fixed batch.

`measure` looks at the model as it is, with ``training=False``, and leaves no trace in it;
`states` turns the figures into words, and `gradient_check` compares the tape with finite
differences in float64.

A layer's activation is what leaves its name scope in the traced graph; where nothing but an
activation function follows (a `ReLU` layer, ``ops.tanh`` in a ``call``), what leaves that. The
model is never changed to see it. Layers whose output cannot be found this way (inside a nested
``tf.function``) have NaN there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tb_xai import gradients, targets

Floats = npt.NDArray[np.float64]

CHUNKS = 2
"""Parts of the batch whose gradients are compared for the noise scale, unless set. Two cost least,
and are enough where a layer has many weights: the difference of two gradients of m entries tells
their variance to about sqrt(2 / m) of itself."""

SATURATED = 0.98
"""|tanh|, or |2 sigmoid - 1|, above which a unit counts as saturated: its slope, 1 minus the square
of that, is then below 4 % of its maximum. The plateaus are those of Glorot and Bengio (2010)."""

SATURATED_SHARE = 0.5
"""Share of saturated activations above which a layer is "saturated": most of its units pass less
than 4 % of the gradient on."""

DEAD_SHARE = 0.5
"""Share of dead units above which a layer is "dead": most of it takes no part. Lu et al. (2019)
call a network dead when a whole layer is; half of it is the warning."""

VANISHING = 1e-4
"""Gradient norm, relative to the largest of all layers, below which gradients are "vanishing". With
the initialisation of Glorot and Bengio (2010) the norms of all layers are of one order; sigmoid
layers lose at least a factor of 4 each (their largest slope), which makes 1e-4 after seven."""

EXPLODING = 1e3
"""Gradient norm, relative to the norm of the layer's own weights, above which gradients are
"exploding": one plain step at the usual rate of 0.01 then overwrites the weights ten times."""

EXPLODING_UPDATE = 10.0
"""Change of a layer's weights since the last measured step, relative to their norm before, from
which on weights are "exploding". Training changes weights by about 1e-3 of their norm per update
(Karpathy 2015), and seldom by more than their norm in an epoch; zero weights are left out."""

EXACT_SIDE = 256
"""Smaller side of a kernel up to which its largest singular value is found by eigenvalues."""

HISTOGRAM_EDGES: tuple[float, ...] = tuple(2.0**e for e in range(-40, 9, 2))
"""Edges of the bins of |gradient|, each four times the one before. The first bin holds all below
the first edge, exact zeros too, and the last all from the last edge on."""

_POWER_STEPS = 100
_POWER_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Health:
    """Figures of each layer that has weights; NaN where a figure does not apply.

    Attributes:
        layers: Names of the l layers, inner ones as "backbone/conv5"; a shared layer stands once.
        n: Number of examples.
        loss: Loss of the batch, penalties included, as training minimises it (but with
            ``training=False``).
        gradient_norm: (l,) Euclidean norm of the gradient of the loss by the layer's trainable
            weights; NaN for a layer that is frozen.
        gradient_histogram: (l, bins) share of the gradient's entries in each bin of |gradient|,
            see `HISTOGRAM_EDGES`.
        weight_norm: (l,) Euclidean norm of the trainable weights, of all weights in a frozen layer.
        update_ratio: (l,) norm of the change of these weights since they were measured last,
            relative to their norm then; NaN at first, infinite when they were all zero.
        activation_mean: (l,) mean over examples, places and units.
        activation_variance: (l,) variance over the same.
        saturated: (l,) share of activations beyond `SATURATED`, for tanh and sigmoid; NaN for
            other functions and for a model's output, which may well be sure of itself.
        dead: (l,) share of units that are zero - or constant, when there are 2 examples or more -
            on the whole batch. A unit that fires for a share r of all examples is seen as dead with
            probability (1 - r)^n: see `dead_bound`.
        spectral_norm: (l,) largest singular value of the layer's kernels, each taken as a matrix
            (fan-in, units); the norm of a convolution as an operator differs from it.
        stable_rank: (l,) squared Frobenius norm over squared spectral norm of that kernel, from 1
            to its rank.
        noise_scale: (l,) simple gradient noise scale tr(Sigma) / |G|^2 in examples: the batch size
            at which noise and signal of the gradient are equal. NaN where the batch is too small
            to tell the signal from 0.
        not_finite: (l,) int32, entries that are NaN or infinite among weights, gradients and
            activations.
        total_gradient_norm: Norm of the gradient by all trainable weights.
        total_noise_scale: Noise scale of all trainable weights together.
    """

    layers: list[str]
    n: int
    loss: float
    gradient_norm: Floats
    gradient_histogram: Floats
    weight_norm: Floats
    update_ratio: Floats
    activation_mean: Floats
    activation_variance: Floats
    saturated: Floats
    dead: Floats
    spectral_norm: Floats
    stable_rank: Floats
    noise_scale: Floats
    not_finite: npt.NDArray[np.int32]
    total_gradient_norm: float
    total_noise_scale: float

    @property
    def dead_bound(self) -> float:
        """Upper 95 % bound on the firing rate of a unit that is dead in n examples: 3 / n."""
        return min(1.0, 3 / self.n)

    def figures(self) -> dict[str, np.ndarray]:
        """Return all arrays by name, floats as float32: (l,), and (l, bins) for the histogram."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        with np.errstate(over="ignore"):
            return {
                name: value if value.dtype == np.int32 else value.astype(np.float32)
                for name, value in found.items()
                if isinstance(value, np.ndarray)
            }


class Explain(Protocol):
    """A measurement that is compiled for one model."""

    def __call__(self, x: Any, y: Any = None, sample_weight: Any = None) -> Health:
        """Measure the model as it is now."""

    def traces(self) -> int:
        """Return how often the computation was traced so far: once for one kind of input."""

    def forget(self) -> None:
        """Forget the weights that were measured last: the next `update_ratio` is NaN."""


def measure(
    *, loss: Any = None, chunks: int = CHUNKS, batch_size: int | None = None
) -> Callable[[Any], Explain]:
    """Return a binder that measures each layer of a model on a batch.

    With the gradients ``G_i`` of the loss on parts of ``b_i`` examples and ``G`` on all ``n``,

        tr(Sigma) = (mean |G_i|^2 - |G|^2) / (mean 1/b_i - 1/n),   noise = tr(Sigma) / |G|^2,

    where ``|G|^2`` is freed of its own noise, ``|G|^2 - tr(Sigma) / n``. Both are unbiased.

    Args:
        loss: None for the loss that the model was compiled with; otherwise a name, a Keras loss or
            a callable (y_true, y_pred), for all outputs or in the structure of the outputs.
            Penalties and added losses of the model count in either case, and a model with a
            ``compute_loss`` of its own is measured by that.
        chunks: Parts that the batch is cut into, at least 2 for a noise scale. Default 2.
        batch_size: Rows that pass the model at once; None for the size of a part.

    Returns:
        ``bind(model) -> explain``; ``explain(x, y, sample_weight=None) -> Health`` is compiled
        once per model, for examples of one shape.

    Raises:
        TypeError, ValueError: In one sentence that ends in what was received: not a model or not
            built, no loss, examples or labels that do not fit.

    Example:
        >>> explain = measure()(model)
        >>> health = explain(x_val[:64], y_val[:64])
        >>> dict(zip(health.layers, states(health)))

    References:
        S. McCandlish et al., "An empirical model of large-batch training",
        https://arxiv.org/abs/1812.06162, 2018.
        X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", https://proceedings.mlr.press/v9/glorot10a.html, 2010.
        L. Lu et al., "Dying ReLU and initialization: theory and numerical examples",
        https://arxiv.org/abs/1903.06733, 2019.
        A. Karpathy, "CS231n: learning and evaluation", https://cs231n.github.io/neural-networks-3,
        2015.
        J. A. Hanley and A. Lippman-Hand, "If nothing goes wrong, is everything all right?",
        https://doi.org/10.1001/jama.1983.03330370053031, 1983 (the rule of three).

    Differs from the paper: the parts of the noise scale may differ in size, dropout is off and
    batch normalisation uses its running statistics.
    """
    for name, value in (
        ("chunks", chunks),
        ("batch_size", 1 if batch_size is None else batch_size),
    ):
        _whole(name, value)
    _check_losses(loss)

    def bind(model: Any) -> Explain:
        return _Measure(model, loss, int(chunks), batch_size)

    bind.method = "model_health"  # type: ignore[attr-defined]
    bind.params = {  # type: ignore[attr-defined]
        "loss": None if loss is None else str(getattr(loss, "name", None) or _name_of(loss)),
        "chunks": int(chunks),
        "batch_size": batch_size,
    }
    return bind


STATES = ("not finite", "exploding", "dead", "saturated", "vanishing", "frozen", "healthy")
"""Words for a layer, the gravest first."""


def states(
    health: Health,
    *,
    vanishing: float = VANISHING,
    exploding: float = EXPLODING,
    exploding_update: float = EXPLODING_UPDATE,
    dead: float = DEAD_SHARE,
    saturated: float = SATURATED_SHARE,
) -> list[str]:
    """Return one word of `STATES` for each layer: the first that holds.

    Args:
        health: Figures of `measure`.
        vanishing: Gradient norm relative to the largest of all layers, in [0, 1), below which
            gradients are "vanishing"; a norm of exactly zero always is.
        exploding: Gradient norm relative to the layer's weight norm above which it is "exploding".
        exploding_update: `update_ratio` above which it is "exploding" as well.
        dead: Share of dead units, in [0, 1), above which a layer is "dead".
        saturated: Share of saturated activations, in [0, 1), above which it is "saturated".

    Returns:
        l words. "not finite" stands for any NaN or infinity in weights, gradients or activations,
        "frozen" for a layer without trainable weights.

    Raises:
        ValueError: A threshold that is negative or NaN, or a share that is not below 1.

    Example:
        >>> states(measure()(model)(x, y))
        ['healthy', 'dead', 'healthy']
    """
    limits = thresholds(
        vanishing=vanishing,
        exploding=exploding,
        exploding_update=exploding_update,
        dead=dead,
        saturated=saturated,
    )
    norm, weight = health.gradient_norm, health.weight_norm
    largest = np.max(norm[np.isfinite(norm)], initial=0.0)
    update = health.update_ratio
    with np.errstate(invalid="ignore", divide="ignore"):
        holds = {
            "not finite": (health.not_finite > 0) | np.isinf(weight) | np.isinf(norm),
            "exploding": ((norm > limits["exploding"] * weight) & (weight > 0))
            | ((update > limits["exploding_update"]) & np.isfinite(update)),
            "dead": health.dead > limits["dead"],
            "saturated": health.saturated > limits["saturated"],
            "vanishing": (norm < limits["vanishing"] * largest) | (norm == 0),
            "frozen": np.isnan(norm),
        }
    return [
        next((word for word, mask in holds.items() if mask[i]), "healthy")
        for i in range(len(health.layers))
    ]


def thresholds(**given: float) -> dict[str, float]:
    """Return the thresholds of `states` by name, with those given in the place of the defaults.

    Args:
        given: Thresholds of `states` by name.

    Returns:
        All five.

    Raises:
        TypeError: An unknown name.
        ValueError: A threshold that is negative or NaN, or a share that is not below 1.

    Example:
        >>> thresholds(dead=0.8)["dead"]
        0.8
    """
    known = {
        "vanishing": VANISHING,
        "exploding": EXPLODING,
        "exploding_update": EXPLODING_UPDATE,
        "dead": DEAD_SHARE,
        "saturated": SATURATED_SHARE,
    }
    for name, value in given.items():
        if name not in known:
            raise TypeError(f"thresholds must be some of {', '.join(known)}. Received: {name!r}")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        share = not name.startswith("exploding")
        if not number or not value >= 0 or (share and value >= 1):
            raise ValueError(
                f"{name} must be a number of at least 0{' and below 1' if share else ''}. "
                f"Received: {name}={value!r}"
            )
    return {name: float(given.get(name, value)) for name, value in known.items()}


def gradient_check(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    loss: Any = None,
    n_checks: int = 10,
    h: float = 1e-5,
    seed: int = 0,
) -> dict[str, float]:
    """Compare the gradient of the loss with central differences, on a float64 copy of the model.

    ``error = |g - d| / max(|g|, |d|, rms(g))`` with ``d = (L(w + h) - L(w - h)) / 2h`` for some
    entries of each layer's trainable weights; rms(g) is the root mean square of the layer's
    gradient, so that an entry that happens to be zero is not judged by its rounding errors. For a
    smooth model errors are below 1e-8; a wrong gradient of a custom layer has one near 1. A kink
    (ReLU at 0, max pooling) between the two points gives a large error by chance.

    Args:
        model: Built Keras model; functional, sequential, nested, or a class of one's own whose
            ``get_config`` gives its arguments. It is not touched.
        x: A few inputs, an array (n, ...) or a structure of them; 2 * n_checks forward passes of
            them are made for each layer.
        y: Their labels, as the loss takes them.
        loss: As for `measure`; None for the compiled loss. ``compute_loss`` is not used here.
        n_checks: Entries per layer, drawn at random; a layer of fewer has all checked. Default 10.
        h: Step of the differences. Default 1e-5.
        seed: Seed of the draw.

    Returns:
        Worst relative error of each layer with trainable weights, by name.

    Raises:
        TypeError, ValueError: In one sentence that ends in what was received; also when the model
            cannot be copied in float64. While this runs, Keras' default float type is float64, and
            is put back after.

    Example:
        >>> max(gradient_check(model, x[:8], y[:8]).values()) < 1e-6
        True

    References:
        Y. LeCun et al., "Efficient backprop", https://doi.org/10.1007/978-3-642-35289-8_3, 2012.
    """
    _whole("n_checks", n_checks)
    if not isinstance(h, float) or not 0 < h < 1:
        raise ValueError(f"h must be a step between 0 and 1. Received: h={h!r}")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0. Received: seed={seed!r}")
    rows = _rows(targets.bind(model).model)
    targets.graph_only()
    _check_loss(model, loss)
    given = gradients.check_inputs(model, x)
    leaves = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in given.leaves]
    labels = _labels(y, given.n, model, loss)
    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    try:
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        with targets.generators_left_alone():  # initialisers of the copy draw seeds
            copy = _in_float64(model, _pack(given, leaves))
        _same_function(model, copy, given, leaves)
        return _worst_errors(
            rows, model, copy, _pack(given, leaves), labels, loss, n_checks, h, seed
        )
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def _worst_errors(
    rows: Sequence[_Row],
    model: Any,
    copy: Any,
    x: Any,
    y: Any,
    loss: Any,
    n_checks: int,
    h: float,
    seed: int,
) -> dict[str, float]:
    """Return the worst error of each layer of a copy in float64."""
    trained = {row.name: row.trainable(model.weights) for row in rows}
    kept = [copy.weights[i] for mine in trained.values() for i in mine]

    def total() -> Any:
        outputs, _, losses = _forward(copy, x)
        # Not by calling the losses, which turn everything into their own type first.
        parts = [
            w * tf.reduce_mean(f.call(tf.convert_to_tensor(a), o))
            for a, o, f, w in _terms(model, loss, y, outputs)
        ]
        with losses:
            parts += [tf.reduce_sum(part) for part in copy.losses]
        return tf.add_n([tf.cast(part, tf.float64) for part in parts])

    def derivatives() -> Any:
        with tf.GradientTape() as tape:
            value = total()
        found = tape.gradient(value, [w.value for w in kept])
        return [
            tf.zeros_like(w.value) if g is None else tf.convert_to_tensor(g)
            for g, w in zip(found, kept, strict=True)
        ]

    compiled = tf.function(total, autograph=False)
    taped = iter(tf.function(derivatives, autograph=False)())
    rng = np.random.default_rng(seed)
    worst: dict[str, float] = {}
    for name, mine in trained.items():
        taken = [(copy.weights[i], next(taped).numpy()) for i in mine]
        places = [(w, g, j) for w, g in taken for j in range(g.size)]
        if places:
            floor = float(np.sqrt(np.mean(np.concatenate([g.ravel() for _, g in taken]) ** 2)))
            chosen = rng.choice(len(places), min(n_checks, len(places)), replace=False)
            drawn = (places[int(c)] for c in chosen)
            worst[name] = max(_error(compiled, w, g, j, h, floor) for w, g, j in drawn)
    return worst


def _error(total: Any, weight: Any, gradient: Any, place: int, h: float, floor: float) -> float:
    """Return the relative error of one entry of a gradient."""
    before = _numbers(weight)
    values = []
    for sign in (1, -1):
        moved = before.copy()
        moved.flat[place] += sign * h
        weight.assign(moved)
        values.append(float(total()))
    weight.assign(before)
    difference = (values[0] - values[1]) / (2 * h)
    taken = float(gradient.flat[place])
    scale = max(abs(difference), abs(taken), floor)
    return abs(difference - taken) / scale if scale > 0 else 0.0


# --- measuring ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A layer that has weights of its own: its name, and where they stand in ``model.weights``."""

    name: str
    layer: Any
    places: list[int]

    def trainable(self, weights: Sequence[Any]) -> list[int]:
        return [i for i in self.places if weights[i].trainable]

    def measured(self, weights: Sequence[Any]) -> list[int]:
        """The weights whose norm is taken: the trainable ones, all where there are none."""
        return self.trainable(weights) or self.places


class _Measure:
    """A model with its compiled pass over one part of the batch, and the weights seen last."""

    def __init__(self, model: Any, loss: Any, chunks: int, batch_size: int | None) -> None:
        self._model = targets.bind(model).model
        self._loss = loss
        own = getattr(type(model), "compute_loss", keras.Model.compute_loss)
        self._own_loss = loss is None and own is not keras.Model.compute_loss
        if not self._own_loss:
            _check_loss(model, loss)
        self._chunks, self._batch_size = chunks, batch_size
        self._rows = _rows(model)
        self._half = any(
            getattr(layer, "compute_dtype", "") == "float16" for layer in model._flatten_layers()
        )
        self._functions: dict[Any, tuple[Any, list[list[int]], list[Any]]] = {}
        self._last = gradients.Last(self._prepare)
        self._before: list[np.ndarray] | None = None
        self._traces = 0

    def traces(self) -> int:
        return self._traces

    def forget(self) -> None:
        self._before = None

    def __call__(self, x: Any, y: Any = None, sample_weight: Any = None) -> Health:
        targets.graph_only()
        given, data, form, parts = (
            self._last(x, y) if sample_weight is None else self._prepare(x, y, sample_weight)
        )
        weights = list(self._model.weights)
        trainable = [row.trainable(weights) for row in self._rows]
        key = (form, repr(trainable))
        if key not in self._functions:
            self._functions[key] = self._compile(given, data, weights, trainable)
        function, units, sums = self._functions[key]
        found = []
        for rows, part in parts:
            # float16 swallows small gradients and overflows at large ones: see tb_xai.gradients.
            scale = gradients.SCALE * rows if self._half else 1.0
            for attempt in range(5 if self._half else 1):
                try:
                    one = function(tf.constant(scale / 16**attempt, tf.float32), *part, *sums)
                except tf.errors.InvalidArgumentError as error:
                    refused = targets.out_of_range(error)
                    if refused is None:
                        raise
                    raise refused from error
                if np.isfinite(one["squares"].numpy()).all():
                    break
            sums = one.pop("sums")
            found.append((rows, {name: value.numpy() for name, value in one.items()}))
        return self._health(given.n, weights, trainable, units, sums, found)

    def _prepare(self, x: Any, y: Any, sample_weight: Any = None) -> tuple[Any, Any, str, Any]:
        """Return inputs, all arrays, what a trace depends on, and the parts of the batch."""
        given = gradients.check_inputs(self._model, x, text=True)
        labels = _labels(y, given.n, self._model, self._loss, needed=not self._own_loss)
        data = [given.leaves, labels, _check_weight(sample_weight, given.n)]
        size = -(-given.n // self._chunks)
        size = min(size, self._batch_size or size)
        arrays = [a for a in tf.nest.flatten(data) if a is not None]
        parts = []
        for start in range(0, given.n, size):
            part = [tf.convert_to_tensor(a[start : start + size]) for a in arrays]
            parts.append((int(part[0].shape[0]), part))
        return given, data, repr(_each(_spec, data)), parts

    def _compile(
        self, given: gradients.Inputs, data: Any, weights: list[Any], trainable: list[list[int]]
    ) -> tuple[Any, list[list[int]], list[Any]]:
        """Return the compiled pass over a part, the units it finds, and sums to begin with."""
        units: list[list[int]] = []
        sums = [tf.zeros(weights[i].shape, _wide(weights[i])) for m in trainable for i in m]

        # Flat arguments: to bind nested ones takes longer than a pass of a small model.
        def traced(scale: Any, *arrays: Any) -> Any:
            self._traces += 1
            flat = iter(arrays)
            structured = _each(lambda _: next(flat), data)
            return self._graph(given, structured, list(flat), scale, trainable, units)

        concrete = tf.function(traced, autograph=False).get_concrete_function(
            tf.TensorSpec((), tf.float32),
            *(_spec(a) for a in tf.nest.flatten(data) if a is not None),
            *(tf.TensorSpec(total.shape, total.dtype) for total in sums),
        )
        return concrete, units, sums

    def _graph(
        self,
        given: gradients.Inputs,
        data: Any,
        sums: list[Any],
        scale: Any,
        trainable: list[list[int]],
        units: list[list[int]],
    ) -> dict[str, Any]:
        """Return the loss, gradients and activations of one part of the batch, in the graph."""
        leaves, y, weight = data
        model, x = self._model, _pack(given, leaves)
        kept = [model.weights[i].value for mine in trainable for i in mine]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in kept:
                tape.watch(variable)
            outputs, activations, losses = _forward(model, x, self._rows)
            with losses:
                if self._own_loss:
                    loss = _overridden_loss(model, x, y, outputs, weight)
                else:
                    loss = _total(model, _terms(model, self._loss, y, outputs), weight)
            scaled = loss * tf.cast(scale, loss.dtype)
        found = tape.gradient(scaled, kept)
        rows = tf.shape(leaves[0])[0]
        steps: list[Any] = []
        for gradient, total in zip(found, sums, strict=True):
            dense = tf.zeros_like(total) if gradient is None else tf.convert_to_tensor(gradient)
            steps.append(tf.cast(dense, total.dtype) / tf.cast(scale, total.dtype))
        squares, place = [], 0
        for mine in trainable:
            own = steps[place : place + len(mine)]
            place += len(mine)
            parts = [tf.reduce_sum(tf.square(tf.cast(g, tf.float64))) for g in own]
            squares.append(tf.add_n(parts) if parts else tf.constant(0.0, tf.float64))
        # Part by part: a mean of means would lose the sizes of the parts.
        sums = [s + g * tf.cast(rows, g.dtype) for s, g in zip(sums, steps, strict=True)]
        units.clear()
        moments, low, high = [], [], []
        for calls in activations:
            units.append([])
            each = []
            for tensor, axis, slope in calls:
                a = tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)
                each.append(_moments(a, slope))
                others = [i for i in range(a.shape.rank) if i != axis % a.shape.rank]
                if a.shape[axis] is not None:
                    units[-1].append(int(a.shape[axis]))
                    low.append(tf.cast(tf.reduce_min(a, others), tf.float64))
                    high.append(tf.cast(tf.reduce_max(a, others), tf.float64))
            moments.append(_joined(each))
        none = [tf.zeros([0], tf.float64)]
        return {
            "sums": sums,
            "loss": tf.cast(loss, tf.float64),
            "squares": tf.stack(squares),
            "moments": tf.stack(moments),
            "low": tf.concat(low or none, 0),
            "high": tf.concat(high or none, 0),
        }

    def _health(
        self,
        n: int,
        weights: list[Any],
        trainable: list[list[int]],
        units: list[list[int]],
        sums: list[Any],
        found: list[tuple[int, dict[str, Any]]],
    ) -> Health:
        """Return what the parts of a batch say together."""
        sizes = np.array([rows for rows, _ in found], np.float64)
        squares = np.stack([one["squares"] for _, one in found])
        summed = iter(sums)
        gradient = [[next(summed).numpy() / n for _ in mine] for mine in trainable]
        whole = np.array([_norm(own) ** 2 for own in gradient])
        frozen = np.array([not mine for mine in trainable])
        noise = _noise_scale(
            np.append(squares, squares.sum(1, keepdims=True), 1),
            np.append(whole, whole.sum()),
            sizes,
        )
        current = [_numbers(weights[i]) for row in self._rows for i in row.measured(weights)]
        counts = [len(row.measured(weights)) for row in self._rows]
        before = self._before if self._before is not None else [a * np.nan for a in current]
        self._before = current
        now, old = iter(current), iter(before)
        ours = [[next(now) for _ in range(count)] for count in counts]
        theirs = [[next(old) for _ in range(count)] for count in counts]
        spectra = np.array([_spectrum(own) for own in ours])
        with np.errstate(invalid="ignore", over="ignore"):
            moved = np.array(
                [
                    _norm([a - b for a, b in zip(u, v, strict=True)])
                    for u, v in zip(ours, theirs, strict=True)
                ]
            )
        norm_before = np.array([_norm(own) for own in theirs])
        moments = _merged(np.stack([one["moments"] for _, one in found], 1))
        low = np.min([one["low"] for _, one in found], axis=0)
        high = np.max([one["high"] for _, one in found], axis=0)
        bad = [
            sum(int((~np.isfinite(a)).sum()) for a in (*g, *w))
            for g, w in zip(gradient, ours, strict=True)
        ]
        with np.errstate(invalid="ignore", divide="ignore"):
            update = np.where(moved == 0, 0.0, moved / norm_before)
        return Health(
            layers=[row.name for row in self._rows],
            n=n,
            loss=float(np.average([one["loss"] for _, one in found], weights=sizes)),
            gradient_norm=np.where(frozen, np.nan, np.sqrt(whole)),
            gradient_histogram=np.array([_histogram(own) for own in gradient]),
            weight_norm=np.array([_norm(own) for own in ours]),
            update_ratio=update,
            activation_mean=moments[:, 1],
            activation_variance=moments[:, 2],
            saturated=moments[:, 3],
            dead=_dead(units, low, high, n),
            spectral_norm=spectra[:, 0],
            stable_rank=spectra[:, 1],
            noise_scale=np.where(frozen, np.nan, noise[:-1]),
            not_finite=np.minimum(bad + np.nan_to_num(moments[:, 4]), 2**31 - 1).astype(np.int32),
            total_gradient_norm=float(np.sqrt(whole.sum())),
            total_noise_scale=float(noise[-1]),
        )


def _noise_scale(squares: Floats, whole: Floats, sizes: Floats) -> Floats:
    """Return tr(Sigma) / |G|^2 from squared norms of parts (parts, l) and of the whole (l,)."""
    n = sizes.sum()
    if len(sizes) < 2:
        return np.full(len(whole), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        trace = (squares.mean(0) - whole) / (np.mean(1 / sizes) - 1 / n)
        signal = whole - trace / n
        return np.where(signal > 0, np.maximum(trace, 0) / signal, np.nan)


def _norm(arrays: Sequence[np.ndarray]) -> float:
    """Return the Euclidean norm of all entries, summed in float64."""
    flat = [
        a.reshape(-1) if a.dtype in (np.float32, np.float64) else a.ravel().astype(np.float64)
        for a in arrays
    ]
    return float(np.sqrt(sum(float(np.einsum("i,i->", a, a, dtype=np.float64)) for a in flat)))


def _histogram(arrays: Sequence[np.ndarray]) -> Floats:
    """Return the share of entries in each bin of |gradient|; NaN without entries."""
    first, bins = int(np.log2(HISTOGRAM_EDGES[0])), len(HISTOGRAM_EDGES) + 1
    counts, size = np.zeros(bins), 0
    for array in arrays:
        flat = np.abs(array.reshape(-1))
        size += flat.size
        flat = flat[np.isfinite(flat)]
        # frexp gives the exponent e of 2^(e - 1) <= a < 2^e, and 0 for 0.
        place = (np.frexp(flat)[1] - 1 - first) // 2 + 1
        place[flat == 0] = 0
        counts += np.bincount(np.clip(place, 0, bins - 1), minlength=bins)
    return counts / size if size else np.full(bins, np.nan)


def _spectrum(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return the largest singular value of all matrices, and the stable rank of its matrix."""
    best = (np.nan, np.nan)
    for array in arrays:
        if array.ndim < 2 or 0 in array.shape or array.dtype.kind == "i":
            continue
        kind: Any = np.float64 if array.dtype == np.float64 else np.float32
        matrix = np.asarray(array.reshape(-1, array.shape[-1]), kind)
        if not np.isfinite(matrix).all():
            return np.nan, np.nan
        largest = _largest_singular_value(matrix)
        if not largest <= best[0]:
            square = _norm([matrix]) ** 2
            best = largest, (max(1.0, square / largest**2) if largest > 0 else np.nan)
    return best


def _largest_singular_value(matrix: np.ndarray) -> float:
    """Return it from the smaller Gram matrix, or by power iteration from a fixed start."""
    if matrix.shape[0] < matrix.shape[1]:
        matrix = matrix.T
    if matrix.shape[1] <= EXACT_SIDE:
        wide = np.asarray(matrix, np.float64)
        return float(np.sqrt(max(np.linalg.eigvalsh(wide.T @ wide)[-1], 0.0)))
    start: Floats = np.random.default_rng(0).standard_normal((matrix.shape[1],))
    v = start.astype(matrix.dtype)
    found = 0.0
    for _ in range(_POWER_STEPS):
        u = matrix @ (v / max(float(np.linalg.norm(v)), np.finfo(v.dtype).tiny))
        before, found = found, float(np.linalg.norm(u))
        if found - before <= _POWER_TOLERANCE * found:
            break
        v = matrix.T @ u
    return found


def _dead(units: list[list[int]], low: Floats, high: Floats, n: int) -> Floats:
    """Return the share of units without any change, from the extremes of each unit."""
    shares, start = [], 0
    for calls in units:
        count = sum(calls)
        if not count:
            shares.append(np.nan)
            continue
        least, most = low[start : start + count], high[start : start + count]
        start += count
        if len(set(calls)) == 1:  # a layer that is called twice has the same units in both calls
            least = least.reshape(len(calls), -1).min(0)
            most = most.reshape(len(calls), -1).max(0)
        constant = (least == most) & ((n > 1) | (most == 0))
        shares.append(float(constant.mean()))
    return np.array(shares)


# --- forward passes -----------------------------------------------------------------------------


def _forward(model: Any, x: Any, rows: Sequence[_Row] = ()) -> tuple[Any, Any, Any]:
    """Return outputs, activations of layers, and a scope in which the model's losses are known.

    What the model would assign (statistics, seeds, metrics) or add as a loss ends in the scopes.
    """
    forward = keras.StatelessScope(collect_losses=True, initialize_variables=False)
    with forward:
        outputs = model(x, training=False)
    activations = _activations(model, rows, outputs) if rows else []
    # Penalties on weights look for these in the scope; the layers above read them by themselves,
    # which tells where they are.
    known = [(v, v.value) for v in model.trainable_variables]
    losses = keras.StatelessScope(known, collect_losses=True, initialize_variables=False)
    losses.losses.extend(forward.losses)
    return outputs, activations, losses


# --- activations --------------------------------------------------------------------------------

_SAME = ("Identity", "IdentityN", "Cast", "Reshape", "Squeeze", "ExpandDims", "EnsureShape")
_FUNCTIONS = ("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Tanh", "Sigmoid", "Softsign")


def _activations(
    model: Any, rows: Sequence[_Row], outputs: Any
) -> list[list[tuple[Any, int, str]]]:
    """Return for each layer what left it in each call: tensor, axis of its units, function.

    Found in the graph that is being traced: the layer's scope is where its weights are read.
    """
    graph = tf.compat.v1.get_default_graph()
    inner = {id(outer): place for outer, place in graph.captures}
    final = {t.ref() for t in tf.nest.flatten(outputs) if tf.is_tensor(t)}
    heads = {_origin(t).ref() for t in tf.nest.flatten(outputs) if tf.is_tensor(t)}
    scopes: dict[str, int] = {}
    for r, row in enumerate(rows):
        pattern = re.compile(re.escape(row.layer.name) + r"(_\d+)?")
        for i in row.places:
            place = inner.get(id(getattr(model.weights[i].value, "handle", None)))
            for op in place.consumers() if place is not None else ():
                parts = op.name.split("/")[:-1]
                depth = max((d for d, p in enumerate(parts) if pattern.fullmatch(p)), default=-1)
                if depth >= 0:
                    scopes["/".join(parts[: depth + 1])] = r
    left: dict[str, Any] = {}
    for op in graph.get_operations():
        parts = op.name.split("/")
        for depth in range(1, len(parts)):
            scope = "/".join(parts[:depth])
            if scope not in scopes or op.type in ("ReadVariableOp", "Const", "Placeholder"):
                continue
            for t in op.outputs:
                leaves = t.ref() in final or any(
                    not c.name.startswith(scope + "/") for c in t.consumers()
                )
                rows_first = (t.shape.rank or 0) >= 2 and t.shape[0] is None
                if leaves and rows_first and t.dtype.is_floating:
                    left.setdefault(scope, t)
    found: list[list[tuple[Any, int, str]]] = [[] for _ in rows]
    for scope, t in left.items():
        row = rows[scopes[scope]]
        rank = t.shape.rank
        followers = t.consumers()
        followed = len(followers) == 1 and followers[0].type in _FUNCTIONS and t.ref() not in final
        seen = followers[0].outputs[0] if followed else t
        origin = _origin(seen)
        slope = origin.op.type if origin.ref() not in heads else ""
        axis = getattr(row.layer, "axis", -1)
        if getattr(row.layer, "data_format", None) == "channels_first":
            axis = 1
        axis = axis if isinstance(axis, int) and -rank <= axis < rank else -1
        found[scopes[scope]].append((seen, axis, slope))
    return found


def _origin(tensor: Any) -> Any:
    """Return the tensor that this one is, in another shape or type."""
    while tensor.op.type in _SAME:
        index = tensor.value_index if tensor.op.type == "IdentityN" else 0
        tensor = tensor.op.inputs[index]
    return tensor


def _moments(a: Any, slope: str) -> Any:
    """Return count, mean, sum of squared deviations, saturated and not finite entries, float64."""
    mean = tf.reduce_mean(a)
    bound = {"Tanh": a, "Sigmoid": 2 * a - 1}.get(slope)
    beyond = np.nan if bound is None else tf.math.count_nonzero(tf.abs(bound) > SATURATED)
    parts = [
        tf.size(a),
        mean,
        tf.reduce_sum(tf.square(a - mean)),
        beyond,
        tf.math.count_nonzero(~tf.math.is_finite(a)),
    ]
    return tf.stack([tf.cast(part, tf.float64) for part in parts])


def _joined(each: list[Any]) -> Any:
    """Return the moments of the calls of a layer, (calls, 5), as one row (5,)."""
    if not each:
        return tf.fill([5], tf.constant(np.nan, tf.float64))
    if len(each) == 1:
        return each[0]
    table = tf.stack(each)
    count = tf.reduce_sum(table[:, 0])
    mean = tf.reduce_sum(table[:, 0] * table[:, 1]) / count
    spread = tf.reduce_sum(table[:, 2] + table[:, 0] * tf.square(table[:, 1] - mean))
    return tf.stack([count, mean, spread, *tf.unstack(tf.reduce_sum(table[:, 3:], axis=0))])


def _merged(parts: Floats) -> Floats:
    """Return count, mean, variance, saturated share and not finite entries of (l, parts, 5)."""
    count = parts[..., 0].sum(1)
    mean = (parts[..., 0] * parts[..., 1]).sum(1) / count
    with np.errstate(invalid="ignore", over="ignore"):
        spread = parts[..., 2] + parts[..., 0] * (parts[..., 1] - mean[:, None]) ** 2
    rest = parts[..., 3].sum(1) / count, parts[..., 4].sum(1)
    return np.stack([count, mean, spread.sum(1) / count, *rest], axis=1)


# --- layers -------------------------------------------------------------------------------------


def _rows(model: Any) -> list[_Row]:
    """Return the layers that hold weights of their own, in the order of the model."""
    places = {id(w): i for i, w in enumerate(model.weights)}
    found: list[_Row] = []
    names: dict[str, int] = {}
    seen: set[int] = set()
    for name, layer in _walk(model, "", seen):
        inner = list(layer._flatten_layers(include_self=False, recursive=False))
        below = set() if _is_whole(layer) else {id(w) for part in inner for w in part.weights}
        own = [w for w in layer.weights if id(w) not in below and id(w) in places]
        own = [w for w in own if "float" in str(w.dtype)]
        if own:
            mine = [places.pop(id(w)) for w in own]
            names[name] = names.get(name, 0) + 1
            unique = name if names[name] == 1 else f"{name} ({names[name]})"
            found.append(_Row(unique, layer, mine))
    if not found:
        raise ValueError(f"model must have weights. Received: {model.name!r} without any")
    return found


def _walk(layer: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield layers inside a model by name, each once: inner ones before the one that holds them."""
    for part in layer._flatten_layers(include_self=False, recursive=False):
        if id(part) in seen:
            continue
        seen.add(id(part))
        name = f"{path}/{part.name}" if path else part.name
        if _is_whole(part):
            yield name, part
        else:
            yield from _walk(part, name, seen)
    yield path or layer.name, layer


def _is_whole(layer: Any) -> bool:
    """Whether a layer is one although it has parts: the cell of an RNN is not called by itself."""
    return isinstance(layer, keras.layers.RNN)


# --- losses -------------------------------------------------------------------------------------


class _Function(keras.losses.Loss):  # type: ignore[misc]
    """A loss function of two arguments as a Keras loss, which brings masks and weights."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__(name="function_of_outputs")
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if len(y_true.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
            y_true = y_true[..., None]
        elif len(y_true.shape) == len(y_pred.shape) + 1 and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        return self.function(y_true, y_pred)


def _check_loss(model: Any, loss: Any) -> None:
    chosen = getattr(model, "loss", None) if loss is None else loss
    if chosen is None and not getattr(model, "losses", None):
        raise ValueError(
            "model must be compiled with a loss, or loss=... be given. "
            f"Received: the model {model.name!r} without a loss"
        )
    _check_losses(chosen)


def _check_losses(chosen: Any) -> None:
    """Refuse what cannot be a loss, before there is a model."""
    for part in tf.nest.flatten(chosen):
        if part is not None and not isinstance(part, str) and not callable(part):
            raise TypeError(
                "loss must be a name, a Keras loss or a callable (y_true, y_pred). "
                f"Received: {part!r}"
            )
        if isinstance(part, str):
            try:
                keras.losses.get(part)
            except ValueError as error:
                raise ValueError(
                    'loss must be a name of Keras, such as "mse", a Keras loss or a callable '
                    f"(y_true, y_pred). Received: {part!r}"
                ) from error


def _terms(model: Any, loss: Any, y: Any, outputs: Any) -> list[tuple[Any, Any, Any, float]]:
    """Return (labels, output, loss, weight) for each output that has a loss."""
    weights = getattr(model, "_compile_loss", None) if loss is None else None
    weights = getattr(weights, "_user_loss_weights", None)
    loss = getattr(model, "loss", None) if loss is None else loss
    if tf.is_tensor(outputs):
        names: list[Any] = list(getattr(model, "output_names", None) or [0])[:1]
        flat = [outputs]
    elif isinstance(outputs, Mapping):
        names, flat = list(outputs), list(outputs.values())
    else:
        flat = list(outputs)
        names = list(getattr(model, "output_names", None) or range(len(flat)))
    if not all(tf.is_tensor(part) for part in flat):
        raise ValueError(
            "model must give a tensor, or a list or dictionary of tensors. "
            f"Received: outputs {tf.nest.map_structure(lambda t: tuple(t.shape), outputs)}"
        )

    def spread(given: Any, what: str) -> list[Any]:
        if isinstance(given, Mapping):
            if set(given) - set(names):
                raise ValueError(
                    f"{what} must name the model's outputs {names}. "
                    f"Received: {sorted(map(str, given))}"
                )
            return [given.get(name) for name in names]
        if isinstance(given, (list, tuple)):
            if len(given) != len(flat):
                raise ValueError(
                    f"{what} must have one part for each of the {len(flat)} outputs {names}. "
                    f"Received: {len(given)}"
                )
            return list(given)
        if what == "y" and len(flat) > 1:
            raise ValueError(
                f"y must have one part for each of the {len(flat)} outputs {names}. "
                f"Received: {'None' if given is None else 'one array'}"
            )
        return [given] * len(flat)

    terms = []
    losses, labels, weighing = spread(loss, "loss"), spread(y, "y"), spread(weights, "loss_weights")
    for a, o, f, w in zip(labels, flat, losses, weighing, strict=True):
        if f is None or a is None:
            continue
        function = keras.losses.get(f) if isinstance(f, str) else f
        if not isinstance(function, keras.losses.Loss):
            function = _Function(function)
        terms.append((a, o, function, 1.0 if w is None else float(w)))
    return terms


def _total(model: Any, terms: Sequence[tuple[Any, Any, Any, float]], weight: Any) -> Any:
    """Return the sum of losses and penalties as training minimises it, one number."""
    parts = [w * tf.convert_to_tensor(f(a, o, sample_weight=weight)) for a, o, f, w in terms]
    parts += [tf.convert_to_tensor(part) for part in model.losses]
    wide = [p if p.dtype == tf.float64 else tf.cast(p, tf.float32) for p in parts]
    kind = tf.float64 if any(p.dtype == tf.float64 for p in wide) else tf.float32
    return tf.add_n([tf.cast(tf.reduce_sum(p) if p.shape.rank else p, kind) for p in wide])


def _labels(y: Any, n: int, model: Any, loss: Any, needed: bool = True) -> Any:
    """Return labels as arrays with one entry per example, or refuse them with a sentence."""
    if y is None:
        if needed and (loss is not None or getattr(model, "loss", None) is not None):
            raise ValueError("y must hold the labels that the loss takes. Received: None")
        return None

    def part(y: Any) -> np.ndarray:
        array = np.asarray(y)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"y must be numbers. Received: dtype {array.dtype}")
        if array.ndim == 0 or len(array) != n:
            raise ValueError(
                f"y must have one label for each of the {n} examples. Received: shape {array.shape}"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
            raise ValueError(f"y must be finite. Received: {array[at]} at {at}")
        return array

    if isinstance(y, Mapping):
        return {key: part(value) for key, value in y.items()}
    if isinstance(y, (list, tuple)) and any(len(getattr(p, "shape", ())) for p in y):
        return [part(value) for value in y]
    return part(y)


def _check_weight(weight: Any, n: int) -> np.ndarray | None:
    if weight is None:
        return None
    array = np.asarray(weight, np.float32)
    if array.shape != (n,) or not (np.isfinite(array).all() and (array >= 0).all()):
        raise ValueError(
            f"sample_weight must have a finite weight of at least 0 for each of the {n} examples. "
            f"Received: shape {array.shape}, {array.min(initial=0)} to {array.max(initial=0)}"
        )
    return array


# --- a copy in float64 --------------------------------------------------------------------------


def _in_float64(model: Any, x: Any) -> Any:
    """Return a copy of a model that computes in float64, with the same weights."""
    try:
        copy = _rebuilt(model)
        if not copy.built or not copy.weights:
            copy(x, training=False)
        copy.set_weights([_numbers(w) for w in model.weights])
        narrow = [
            w.path for w in copy.weights if str(w.dtype) in ("float16", "bfloat16", "float32")
        ]
        reason = f"weights {narrow[:3]} stayed narrow" if narrow else ""
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if reason:
        raise ValueError(
            "model must be one that can be rebuilt in float64: functional, sequential, or of a "
            "class whose get_config() gives the arguments of its layers and of itself. "
            f"Received: {type(model).__name__} {model.name!r} ({reason})"
        )
    return copy


def _rebuilt(model: Any) -> Any:
    """Return a model of float64 layers; functional ones get float64 inputs as well."""
    copies: dict[int, Any] = {}

    def copied(layer: Any) -> Any:
        if id(layer) not in copies:
            if isinstance(layer, keras.layers.Lambda):
                copies[id(layer)] = keras.layers.Lambda(
                    layer.function, arguments=layer.arguments, name=layer.name, dtype="float64"
                )
            elif isinstance(layer, keras.Model):
                copies[id(layer)] = _rebuilt(layer)
            else:
                copies[id(layer)] = type(layer).from_config(_widened(layer.get_config()))
        return copies[id(layer)]

    if not any(
        getattr(model, kind, None) is not None for kind in ("_inputs_struct", "_functional")
    ):
        return type(model).from_config(_widened(model.get_config()))

    def wide(t: Any) -> Any:
        kind = "float64" if "float" in str(t.dtype) else t.dtype
        return keras.Input(batch_shape=t.shape, dtype=kind, name=t.name)

    if isinstance(model, keras.Sequential):
        return keras.Sequential(
            [wide(model.inputs[0]), *map(copied, model.layers)], name=model.name
        )
    tensors = keras.tree.map_structure(wide, model.input)
    return keras.models.clone_model(model, input_tensors=tensors, clone_function=copied)


def _overridden_loss(model: Any, x: Any, y: Any, outputs: Any, weight: Any) -> Any:
    """Return the loss of a model that overrides `compute_loss`."""
    if hasattr(model, "_compute_loss"):  # takes `training` also where the override does not
        return model._compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weight, training=False)
    return model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=weight)


def _widened(config: Any) -> Any:
    """Return a layer's configuration with every floating type turned into float64."""
    if isinstance(config, Mapping):
        return {
            key: "float64"
            if key == "dtype" and (value is None or "float" in str(value))
            else _widened(value)
            for key, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)([_widened(part) for part in config])
    return config


def _same_function(model: Any, copy: Any, given: gradients.Inputs, leaves: list[Any]) -> None:
    """Refuse a copy that does not compute what the model computes."""
    half = any("float16" in str(layer.compute_dtype) for layer in model._flatten_layers())

    def computed(which: Any, leaves: list[Any]) -> list[np.ndarray]:
        run = tf.function(lambda x: tf.nest.flatten(_forward(which, x)[0]), autograph=False)
        return [tf.cast(t, tf.float64).numpy() for t in run(_pack(given, leaves))]

    real, double = computed(model, given.leaves), computed(copy, leaves)
    for a, b in zip(real, double, strict=True):
        tolerance = (0.1 if half else 1e-3) * max(1.0, float(np.abs(a).max(initial=0)))
        if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True):
            raise ValueError(
                "model must compute the same when it is rebuilt from its configuration. Received: "
                f"{type(model).__name__} {model.name!r} whose outputs differ by "
                f"{float(np.abs(a - b).max()) if a.shape == b.shape else 'their shape'}"
            )


# --- shared -------------------------------------------------------------------------------------


def _pack(given: gradients.Inputs, leaves: Any) -> Any:
    """Return inputs in the structure that was given."""
    return gradients._rebuild(given.structure, iter(leaves))


def _each(change: Callable[[Any], Any], structure: Any) -> Any:
    """Return a structure with every array changed; None stays."""
    return tf.nest.map_structure(lambda a: None if a is None else change(a), structure)


def _spec(array: np.ndarray) -> Any:
    return tf.TensorSpec((None, *array.shape[1:]), tf.as_dtype(array.dtype))


def _wide(weight: Any) -> Any:
    return tf.float64 if str(weight.dtype) == "float64" else tf.float32


def _numbers(weight: Any) -> np.ndarray:
    """Return a copy of a weight's value, which training goes on to change in place."""
    value = weight.value
    return np.array(value.numpy() if hasattr(value, "numpy") else np.asarray(value))


def _name_of(loss: Any) -> str:
    return str(loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__))


def _whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1. Received: {name}={value!r}")
