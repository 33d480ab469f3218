"""Explanations from input gradients: the gradient itself, its averages under noise, and its integral along a path.

Every method of this module is a function that returns a *binder*; a binder compiled once for a model returns an *explain*
function. All work of one call happens in one compiled graph: a loop over chunks of at most ``batch_size`` perturbed rows,
padded to one shape, so that memory is bounded by ``batch_size`` whatever the number of examples, steps and samples.
Weights are read when the graph runs, so one binder follows a model through training without being traced again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from tb_xai import targets
from tb_xai.targets import Target, log_odds

BATCH_SIZE = 64
"""Perturbed rows in one chunk when ``batch_size`` is None."""


@dataclass(frozen=True)
class Attribution:
    """What a method found, as NumPy arrays; rows stand in the order of the examples.

    Attributes:
        values: signed float32 in the structure and shape of ``x`` (or the native map of a layer); one value per token for
            inputs that go through an embedding; None for inputs that were held fixed.
        output: (n,) the target at ``x``.
        baseline_output: (n,) the target at the baseline, for methods that have one.
        gap: (n,) ``|sum(values) - (output - baseline_output)| / |output - baseline_output|``, the relative error of
            completeness of an additive method.
        stderr: Monte-Carlo standard error of ``values``, of the same structure, for sampled methods.
        prediction: the model's outputs at ``x``, in the structure the model gives them.
    """

    values: Any
    output: np.ndarray
    baseline_output: np.ndarray | None = None
    gap: np.ndarray | None = None
    stderr: Any | None = None
    prediction: Any = None


class Explain(Protocol):
    """Explains examples: ``explain(x, y) -> Attribution``."""

    def __call__(self, x: Any, y: Any = None) -> Attribution:
        """Explain the examples ``x`` with labels ``y``."""

    def traces(self) -> int:
        """Return how often the model was traced for explaining so far; once is right for one kind of input."""


@dataclass(frozen=True)
class Binder:
    """A method with its settings, ready to be bound to a model: ``binder(model, target, batch_size) -> Explain``.

    Attributes:
        method: name in the log.
        params: settings, as JSON can hold them.
        signed: whether values can be negative.
        additive: whether values add up to a difference of outputs, so that there is a completeness gap.
        bind: compiles the method for a model.
    """

    method: str
    params: Mapping[str, Any]
    signed: bool
    additive: bool
    bind: Callable[[Any, Target, int | None], Explain] = field(repr=False)

    def __call__(
        self, model: Any, target: Target = log_odds, batch_size: int | None = None
    ) -> Explain:
        """Bind the method to a model.

        Args:
            model: a built Keras model of any kind; it is never changed.
            target: what to explain, see `tb_xai.targets`.
            batch_size: perturbed rows that pass through the model at once; None for 64.

        Returns:
            The explain function.

        Raises:
            TypeError: not a Keras model or not a callable target.
            ValueError: the model is not built, or ``batch_size`` is below 1.
        """
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
            raise ValueError(
                f"batch_size must be a whole number of at least 1. Received: batch_size={batch_size!r}"
            )
        return self.bind(model, target, batch_size)


def saliency(*, inputs: Sequence[str | int] | None = None) -> Binder:
    """Explain by the gradient of the target with respect to the input.

    ``a_i = df/dx_i (x)``

    Args:
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None explains all.

    Returns:
        A binder. Values are signed, in units of the target per unit of the input: positive where raising the input raises
        the target. Magnitudes are a matter of display.

    Example:
        >>> explain = saliency()(model)
        >>> explain(x, y).values.shape == x.shape
        True

    References:
        Simonyan, Vedaldi, Zisserman. Deep Inside Convolutional Networks: Visualising Image Classification Models and
        Saliency Maps. https://arxiv.org/abs/1312.6034, 2013.

    Differs from the paper: the sign is kept, no maximum over channels is taken, and the default target is the log-odds.
    """
    return _binder("saliency", {}, inputs, _plain(times_input=False))


def gradient_x_input(*, inputs: Sequence[str | int] | None = None) -> Binder:
    """Explain by the product of gradient and input.

    ``a_i = x_i df/dx_i (x)``

    Args:
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None explains all.

    Returns:
        A binder. Values are signed, in units of the target; for networks of ReLU and max-pooling without biases they add
        up to the target.

    Example:
        >>> explain = gradient_x_input()(model)

    References:
        Shrikumar, Greenside, Shcherbina, Kundaje. Not Just a Black Box: Learning Important Features Through Propagating
        Activation Differences. https://arxiv.org/abs/1605.01713, 2016.
    """
    return _binder("gradient_x_input", {}, inputs, _plain(times_input=True))


def integrated_gradients(
    n_steps: int = 16,
    baseline: Any = 0.0,
    *,
    tolerance: float = 0.05,
    max_steps: int | None = None,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    """Explain by the gradient integrated along the straight line from a baseline to the input.

    ``a_i = (x_i - b_i) * integral_0^1 df/dx_i (b + t (x - b)) dt``, with Gauss-Legendre quadrature.

    Examples whose completeness gap stays above ``tolerance`` are integrated again with twice the steps, and again, up to
    ``max_steps``; the better result is kept and its true gap reported.

    Args:
        n_steps: quadrature nodes, at least 1. 16 leave a smaller gap than 100 steps of a left Riemann sum.
        baseline: what counts as absence: a number, an array of the shape of one example or of ``x``, or a structure of
            these like ``x``. For token ids a number is the value of every embedding component, an array holds ids.
        tolerance: relative completeness gap that calls for more steps; infinity never does.
        max_steps: cap of the doubling; None for ``8 * n_steps``.
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None explains all.

    Returns:
        A binder. Values are signed, in units of the target, and add up to ``output - baseline_output`` but for the
        reported gap.

    Raises:
        ValueError: ``n_steps`` below 1, or a baseline that does not fit the input.

    Example:
        >>> explain = integrated_gradients(n_steps=16, baseline=0.0)(model)
        >>> explain(x, y).gap.max() < 0.05
        True

    References:
        Sundararajan, Taly, Yan. Axiomatic Attribution for Deep Networks. https://arxiv.org/abs/1703.01365, 2017.

    Differs from the paper: Gauss-Legendre nodes replace the Riemann sum.
    """
    _whole("n_steps", n_steps, 1)
    cap = 8 * n_steps if max_steps is None else _whole("max_steps", max_steps, n_steps)
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive. Received: tolerance={tolerance!r}")
    levels = [n_steps]
    while levels[-1] * 2 <= cap and np.isfinite(tolerance):
        levels.append(levels[-1] * 2)
    params = {"n_steps": n_steps, "baseline": _told(baseline), "max_steps": levels[-1]}
    recipe = _path(levels, baseline, float(tolerance))
    return _binder("integrated_gradients", params, inputs, recipe, additive=True)


def gauss_legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of Gauss-Legendre quadrature on [0, 1].

    Args:
        n: number of nodes, at least 1; polynomials up to degree ``2 n - 1`` are integrated exactly.

    Returns:
        Nodes (n,) inside (0, 1), and positive weights (n,) that sum to 1.

    Example:
        >>> nodes, weights = gauss_legendre(2)
        >>> float(weights @ nodes**3)
        0.25
    """
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2


# --- binding -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Recipe:
    """One method: ``graph`` builds its tensors, ``extra`` gives its own input tensors for n examples, on the host."""

    graph: Callable[..., dict[str, Any]]
    samples: int = 1
    rows: int = 1
    extra: Callable[[_Inputs], list[np.ndarray]] = lambda inputs: []


@dataclass(frozen=True)
class _Inputs:
    """Examples on the host: flat arrays, which of them are explained, and the structure they came in."""

    structure: Any
    leaves: list[np.ndarray]
    names: list[str]
    explained: list[int]

    @property
    def n(self) -> int:
        return len(self.leaves[0])

    def pack(self, values: list[Any]) -> Any:
        """Return one value per explained input in the structure of x, None elsewhere."""
        flat: list[Any] = [None] * len(self.leaves)
        for position, value in zip(self.explained, values, strict=True):
            flat[position] = value
        return _rebuild(self.structure, iter(flat))

    def per_example(self, values: Any, what: str) -> list[Any]:
        """Return ``values`` (a number, an array or a structure like x) as one entry per explained input."""
        if np.ndim(values) == 0 and not isinstance(values, Mapping):
            return [values] * len(self.explained)
        if isinstance(values, (Mapping, list, tuple)) and len(self.leaves) > 1:
            try:
                flat = _flatten(values, self.structure)
            except (KeyError, ValueError, TypeError):
                flat = []
            if len(flat) == len(self.leaves):
                return [flat[i] for i in self.explained]
            raise ValueError(
                f"{what} must have the structure of x, with inputs {self.names}. "
                f"Received: {what} with {sorted(values) if isinstance(values, Mapping) else len(values)}"
            )
        if len(self.explained) > 1:
            raise ValueError(
                f"{what} must be a number or have the structure of x, with inputs {self.names}. "
                f"Received: one array"
            )
        return [values]


def _binder(
    method: str,
    params: dict[str, Any],
    inputs: Sequence[str | int] | None,
    recipe: _Recipe,
    *,
    signed: bool = True,
    additive: bool = False,
) -> Binder:
    if isinstance(inputs, (str, int)):
        inputs = [inputs]
    if inputs is not None:
        params = {**params, "inputs": list(inputs)}

    def bind(model: Any, target: Target, batch_size: int | None) -> Explain:
        return _Explain(model, target, batch_size or BATCH_SIZE, recipe, inputs)

    return Binder(method, params, signed, additive, bind)


class _Explain:
    """A recipe bound to a model: checks on the host, then one compiled graph."""

    def __init__(
        self,
        model: Any,
        target: Target,
        batch: int,
        recipe: _Recipe,
        chosen: Sequence[str | int] | None,
    ) -> None:
        self._score = targets.bind(model, target)
        self._recipe, self._chosen, self._batch = recipe, chosen, batch
        self._plans: dict[Any, _Space] = {}
        self._functions: dict[Any, Any] = {}
        self._traces = 0

    def traces(self) -> int:
        return self._traces

    def __call__(self, x: Any, y: Any = None) -> Attribution:
        targets.graph_only()
        inputs = check_inputs(self._score.model, x, self._chosen)
        y = self._score.labels(y, inputs.n, _rebuild(inputs.structure, iter(inputs.leaves)))
        extra = self._recipe.extra(inputs)
        layout = _layout(inputs.n, self._recipe.samples, max(1, self._batch // self._recipe.rows))
        arguments = [inputs.leaves, y, extra]
        specs = _each(lambda a: tf.TensorSpec((None, *a.shape[1:]), a.dtype), arguments)
        key = (repr(specs), tuple(inputs.explained), repr(_shape_of(inputs.structure)), layout)
        if key not in self._functions:
            space = self._space(inputs, specs)
            self._functions[key] = self._compile(space, layout, specs), space
        function, space = self._functions[key]
        found = function(*_each(tf.convert_to_tensor, arguments))
        return _attribution(found, inputs, space)

    def _space(self, inputs: _Inputs, specs: list[Any]) -> _Space:
        key = (repr(specs[:2]), tuple(inputs.explained), repr(_shape_of(inputs.structure)))
        if key not in self._plans:
            self._plans[key] = _Space(self._score, inputs, specs[0], specs[1], self._batch)
        return self._plans[key]

    def _compile(self, space: _Space, layout: tuple[int, int, int], specs: list[Any]) -> Any:
        def traced(leaves: list[Any], y: Any, extra: list[Any]) -> dict[str, Any]:
            return self._recipe.graph(space, layout, leaves, y, extra)

        function = tf.function(traced, autograph=False).get_concrete_function(*specs)
        self._traces += 1
        return function


class _Space:
    """The model as a function of the explained inputs, inside a graph."""

    def __init__(
        self, score: targets.Score, inputs: _Inputs, leaves: list[Any], y: Any, batch: int
    ) -> None:
        self.score, self.structure, self.batch = score, inputs.structure, batch
        self.explained, self.names = inputs.explained, inputs.names
        self.held = [i for i in range(len(leaves)) if i not in inputs.explained]
        self.half = any(
            getattr(layer, "compute_dtype", "") == "float16"
            for layer in score.model._flatten_layers()
        )
        self._function = tf.function(
            lambda rows, labels: score.cross(self.pack(rows), labels), autograph=False
        )
        self.plan = self._function.get_concrete_function(leaves, y)
        self.wide = self.plan.structured_outputs[0].dtype
        self.outputs = tf.nest.flatten(self.plan.structured_outputs[1])
        self.fixed = all(
            o.dtype.is_floating and o.shape[1:].is_fully_defined() for o in self.outputs
        )

    def pack(self, leaves: Sequence[Any]) -> Any:
        return _rebuild(self.structure, iter(leaves))

    def unpack_outputs(self, flat: Sequence[Any]) -> Any:
        return tf.nest.pack_sequence_as(self.plan.structured_outputs[1], list(flat))

    def open(self, rows: list[Any]) -> list[Any]:
        """Return what is differentiated, for chosen rows."""
        return [rows[i] for i in self.explained]

    def close(self, values: list[Any]) -> list[Any]:
        """Return values in the shape of the inputs."""
        return values

    def replaced(self, v: list[Any], rows: list[Any]) -> list[Any]:
        """Return all inputs with the explained ones replaced."""
        rows = list(rows)
        for i, part in zip(self.explained, v, strict=True):
            rows[i] = part
        return rows

    def gradient(self, v: list[Any], rows: list[Any], y: Any) -> tuple[list[Any], Any, Any]:
        """Return the gradients of the target at the points ``v``, the scores and (but in float16) the outputs."""
        scores, outputs = self.score(self.pack(self.replaced(v, rows)), y)
        return self._derive(scores, v, rows), scores, tf.nest.flatten(outputs)

    def _derive(self, scores: Any, v: list[Any], rows: list[Any]) -> list[Any]:
        found = tf.gradients(scores, v)
        if any(g is None for g in found):
            raise ValueError("model must be differentiable at its inputs.")
        return [tf.convert_to_tensor(g) for g in found]

    def forward(self, leaves: list[Any], y: Any, times: Any = 1) -> tuple[Any, list[Any]]:
        """Return scores (rows * times,) and flat outputs (rows, ...), chunk by chunk."""
        total = tf.shape(leaves[0])[0]
        size = self.batch
        count = (total + size - 1) // size
        kinds = [self.wide, *(o.dtype for o in self.outputs)]
        arrays = [tf.TensorArray(k, count, infer_shape=False) for k in kinds]

        def body(i: Any, arrays: list[Any]) -> tuple[Any, list[Any]]:
            low, high = i * size, tf.minimum((i + 1) * size, total)
            labels = _each(lambda t: t[low * times : high * times], y)
            scores, outputs = self.plan([leaf[low:high] for leaf in leaves], labels)
            found = [scores, *tf.nest.flatten(outputs)]
            return i + 1, [a.write(i, f) for a, f in zip(arrays, found, strict=True)]

        _, arrays = tf.while_loop(
            lambda i, _: i < count, body, [tf.constant(0), arrays], parallel_iterations=1
        )
        scores, *outputs = [a.concat() for a in arrays]
        return scores, outputs


def _attribution(found: dict[str, Any], inputs: _Inputs, space: _Space) -> Attribution:
    def host(name: str) -> np.ndarray | None:
        return found[name].numpy() if name in found else None

    stderr = found.get("stderr")
    output = host("output")
    assert output is not None
    return Attribution(
        values=inputs.pack([v.numpy().astype(np.float32) for v in found["values"]]),
        output=output,
        baseline_output=host("baseline_output"),
        gap=host("gap"),
        stderr=None
        if stderr is None
        else inputs.pack([s.numpy().astype(np.float32) for s in stderr]),
        prediction=space.unpack_outputs([o.numpy() for o in found["outputs"]]),
    )


# --- loops over chunks -------------------------------------------------------------------------------------------------


def _layout(n: int, samples: int, batch: int) -> tuple[int, int, int]:
    """Return (lanes, size, blocks): a chunk holds ``lanes`` examples with ``size`` of their samples each.

    An example has ``blocks`` blocks; as soon as there is more than one, a chunk holds one example.
    """
    blocks = -(-samples // batch)
    size = -(-samples // blocks)
    lanes = min(n, max(1, batch // size))
    return -(-n // -(-n // lanes)), size, blocks


def _items(
    order: Any, blocks: Any, lanes: int, step: Callable[..., list[Any]], state: list[Any]
) -> list[Any]:
    """Run ``step`` over all (example, block) pairs, ``lanes`` at a time; examples run fastest.

    ``step(examples, blocks, used, state)`` returns the new state; lanes beyond the end repeat an example and are not used.
    """
    count = tf.shape(order)[0]
    total = count * blocks

    def body(start: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        item = start + tf.range(lanes)
        item = tf.ensure_shape(item, (lanes,))
        used = item < total
        kept = tf.minimum(item, total - 1)
        return start + lanes, step(tf.gather(order, kept % count), kept // count, used, state)

    _, state = tf.while_loop(
        lambda start, _: start < total, body, [tf.constant(0), state], parallel_iterations=1
    )
    return state


def _add(whole: Any, examples: Any, used: Any, part: Any) -> Any:
    """Return ``whole`` with ``part`` added to the rows of the examples, where lanes are used."""
    part = tf.where(_like(used, part), part, tf.zeros_like(part))
    return tf.tensor_scatter_nd_add(whole, examples[:, None], tf.cast(part, whole.dtype))


def _like(lanes: Any, tensor: Any) -> Any:
    """Return one number per lane in the rank of ``tensor``."""
    return tf.reshape(lanes, [-1] + [1] * (tensor.shape.rank - 1))


def _rows(leaves: Any, examples: Any) -> Any:
    return _each(lambda leaf: tf.gather(leaf, examples), leaves)


def _each(change: Callable[[Any], Any], arrays: Any) -> Any:
    """Apply ``change`` to every array of a structure; labels that were not given stay None."""
    return tf.nest.map_structure(lambda a: None if a is None else change(a), arrays)


def _zeros(n: Any, like: Any, dtype: Any = None) -> Any:
    return tf.zeros(tf.concat([[n], like.shape[1:]], 0), dtype or like.dtype)


# --- recipes -----------------------------------------------------------------------------------------------------------


def _plain(times_input: bool) -> _Recipe:
    def graph(
        space: _Space, layout: tuple[int, int, int], leaves: list[Any], y: Any, extra: list[Any]
    ) -> dict[str, Any]:
        n = tf.shape(leaves[0])[0]
        together = space.fixed and not space.half
        shapes = [leaves[i] for i in space.explained]
        state = [_zeros(n, s) for s in shapes]
        if together:
            state += [tf.zeros([n], space.wide), *(_zeros(n, o) for o in space.outputs)]

        def step(examples: Any, _: Any, used: Any, state: list[Any]) -> list[Any]:
            rows, labels = _rows(leaves, examples), _rows(y, examples)
            v = space.open(rows)
            gradients, scores, outputs = space.gradient(v, rows, labels)
            if times_input:
                gradients = [g * part for g, part in zip(gradients, v, strict=True)]
            found = space.close(gradients)
            if together:
                found = [*found, scores, *outputs]
            return [_add(s, examples, used, f) for s, f in zip(state, found, strict=True)]

        found = _items(tf.range(n), 1, layout[0], step, state)
        values = found[: len(shapes)]
        if together:
            return {
                "values": values,
                "output": found[len(shapes)],
                "outputs": found[len(shapes) + 1 :],
            }
        scores, outputs = space.forward(leaves, y)
        return {"values": values, "output": scores, "outputs": outputs}

    return _Recipe(graph)


def _path(levels: list[int], baseline: Any, tolerance: float) -> _Recipe:
    def extra(inputs: _Inputs) -> list[np.ndarray]:
        return [
            _baseline(b, inputs.leaves[i], inputs.names[i])
            for b, i in zip(inputs.per_example(baseline, "baseline"), inputs.explained, strict=True)
        ]

    def graph(
        space: _Space, layout: tuple[int, int, int], leaves: list[Any], y: Any, extra: list[Any]
    ) -> dict[str, Any]:
        lanes, size, _ = layout
        n = tf.shape(leaves[0])[0]
        nodes, weights, first, blocks = _quadrature(levels, size, space.wide)
        output, outputs = space.forward(leaves, y)
        baseline_output = _at_baseline(space, leaves, y, extra)
        delta = output - baseline_output
        scale = _scale(delta, output, baseline_output)

        def level(
            k: Any, order: Any, values: list[Any], gap: Any
        ) -> tuple[Any, Any, list[Any], Any]:
            def step(examples: Any, block: Any, used: Any, state: list[Any]) -> list[Any]:
                rows, labels = _rows(leaves, examples), _rows(y, examples)
                v, b = space.open(rows), _base(extra, examples)
                at = tf.gather(first, k) + block
                alpha, weight = tf.gather(nodes, at), tf.gather(weights, at)
                way = [p - q for p, q in zip(v, b, strict=True)]
                points = [
                    _fold(q[:, None] + _spread(alpha, p) * w[:, None])
                    for p, q, w in zip(v, b, way, strict=True)
                ]
                many = tf.repeat(tf.range(lanes), size)
                gradients, _, _ = space.gradient(points, _rows(rows, many), _rows(labels, many))
                parts = [
                    w * tf.reduce_sum(_unfold(g, lanes, size) * _spread(weight, w), axis=1)
                    for g, w in zip(gradients, way, strict=True)
                ]
                parts = space.close(parts)
                return [_add(s, examples, used, p) for s, p in zip(state, parts, strict=True)]

            found = _items(
                order, tf.gather(blocks, k), lanes, step, [tf.zeros_like(s) for s in values]
            )
            total = tf.add_n(
                [tf.reduce_sum(tf.cast(f, gap.dtype), range(1, f.shape.rank)) for f in found]
            )
            new = tf.abs(total - delta) / scale
            chosen = tf.scatter_nd(order[:, None], tf.ones_like(order), [n]) > 0
            better = chosen & ((k == 0) | (new < gap))
            values = [tf.where(_like(better, s), f, s) for f, s in zip(found, values, strict=True)]
            gap = tf.where(better, new, gap)
            return k + 1, tf.cast(tf.where(gap > tolerance)[:, 0], tf.int32), values, gap

        start = [
            tf.constant(0),
            tf.range(n),
            [_zeros(n, leaves[i]) for i in space.explained],
            tf.zeros_like(delta),
        ]
        loose = [
            tf.TensorShape([]),
            tf.TensorShape([None]),
            [s.shape for s in start[2]],
            start[3].shape,
        ]
        _, _, values, gap = tf.while_loop(
            lambda k, order, *_: (k < len(levels)) & (tf.size(order) > 0),
            level,
            start,
            shape_invariants=loose,
            parallel_iterations=1,
        )
        return {
            "values": values,
            "output": output,
            "outputs": outputs,
            "baseline_output": baseline_output,
            "gap": gap,
        }

    return _Recipe(graph, samples=levels[0], extra=extra)


def _quadrature(levels: list[int], size: int, dtype: Any) -> tuple[Any, Any, Any, Any]:
    """Return nodes and weights as rows of ``size``, and for each level its first row and number of rows."""
    nodes, weights, first, blocks = [], [], [], []
    for steps in levels:
        at, weight = gauss_legendre(steps)
        rows = -(-steps // size)
        first.append(sum(blocks))
        blocks.append(rows)
        nodes.append(np.pad(at, (0, rows * size - steps)).reshape(rows, size))
        weights.append(np.pad(weight, (0, rows * size - steps)).reshape(rows, size))
    return (
        tf.constant(np.concatenate(nodes), dtype),
        tf.constant(np.concatenate(weights), dtype),
        tf.constant(first, tf.int32),
        tf.constant(blocks, tf.int32),
    )


def _scale(delta: Any, output: Any, baseline_output: Any) -> Any:
    """Return what a gap is measured against: the difference, but no less than a thousandth of the outputs."""
    floor = 1e-3 * tf.maximum(tf.abs(output), tf.abs(baseline_output))
    return tf.maximum(tf.maximum(tf.abs(delta), floor), delta.dtype.as_numpy_dtype(1e-30))


def _base(extra: list[Any], examples: Any) -> list[Any]:
    return [tf.gather(b, tf.minimum(examples, tf.shape(b)[0] - 1)) for b in extra]


def _at_baseline(space: _Space, leaves: list[Any], y: Any, extra: list[Any]) -> Any:
    """Return the target at the baseline (n,); a baseline that all examples share passes through the model once."""
    n = tf.shape(leaves[0])[0]
    if space.held:
        rows = tf.minimum
        full = [tf.gather(b, rows(tf.range(n), tf.shape(b)[0] - 1)) for b in extra]
        return space.forward(space.replaced(full, leaves), y)[0]
    count = tf.reduce_max([tf.shape(b)[0] for b in extra])
    full = [tf.gather(b, tf.minimum(tf.range(count), tf.shape(b)[0] - 1)) for b in extra]
    return space.forward(space.replaced(full, leaves), y, n // count)[0]


def _fold(tensor: Any) -> Any:
    """Return (lanes, size, ...) as rows."""
    return tf.reshape(tensor, (tensor.shape[0] * tensor.shape[1], *tensor.shape[2:]))


def _unfold(rows: Any, lanes: int, size: int) -> Any:
    return tf.reshape(rows, (lanes, size, *rows.shape[1:]))


def _spread(numbers: Any, like: Any) -> Any:
    """Return numbers (lanes, size) with axes of length 1 for the features of ``like``."""
    return tf.reshape(tf.cast(numbers, like.dtype), (*numbers.shape, *[1] * (like.shape.rank - 1)))


# --- checks on the host ------------------------------------------------------------------------------------------------


def check_inputs(model: Any, x: Any, chosen: Sequence[str | int] | None = None) -> _Inputs:
    """Return examples as flat arrays in the type the model reads, or refuse them with a sentence.

    Args:
        model: a built Keras model.
        x: an array, or a dictionary, list or tuple of arrays, examples first.
        chosen: names or positions of the inputs to explain; None for all.

    Returns:
        The flat inputs.

    Raises:
        TypeError: not numbers.
        ValueError: no examples, different numbers of examples, a shape the model does not take, or values that are not
            finite.
    """
    structure = x if isinstance(x, Mapping) or _is_structure(x) else np.asarray(x)
    leaves = [np.asarray(leaf) for leaf in _flatten(structure, structure)]
    symbolic = list(getattr(model, "inputs", None) or [])
    names = _names(structure, symbolic, len(leaves))
    if symbolic and len(symbolic) != len(leaves):
        raise ValueError(
            f"x must hold the model's {len(symbolic)} inputs {[s.name for s in symbolic]}. "
            f"Received: {len(leaves)} arrays"
        )
    wide = np.float64 if getattr(model, "compute_dtype", "") == "float64" else np.float32
    for i, leaf in enumerate(leaves):
        expected = symbolic[i] if symbolic else None
        if isinstance(structure, Mapping) and symbolic:
            expected = next((s for s in symbolic if s.name == names[i]), expected)
        leaves[i] = _leaf(leaf, names[i], expected, wide)
    if len({len(leaf) for leaf in leaves}) > 1:
        raise ValueError(
            f"x must have the same number of examples in each input. "
            f"Received: {dict(zip(names, map(len, leaves), strict=True))}"
        )
    return _Inputs(structure, leaves, names, _chosen(chosen, names))


def _leaf(leaf: np.ndarray, name: str, expected: Any, wide: Any) -> np.ndarray:
    if leaf.dtype.kind not in "biuf":
        raise TypeError(
            f"x must hold numbers to have gradients; explain text and categories by permutation_importance, "
            f"feature_ablation or occlusion. Received: input {name!r} of dtype {leaf.dtype}"
        )
    if leaf.ndim == 0 or leaf.size == 0:
        raise ValueError(f"x must hold at least one example. Received: shape {leaf.shape}")
    if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(leaf))[0])
        raise ValueError(f"x must be finite. Received: {leaf[at]} at {at} of input {name!r}")
    if expected is not None:
        shape = tuple(expected.shape)
        fits = len(shape) == leaf.ndim and all(
            a is None or a == b for a, b in zip(shape[1:], leaf.shape[1:], strict=True)
        )
        squeezed = leaf.ndim == len(shape) - 1 and shape[-1] == 1
        expanded = leaf.ndim == len(shape) + 1 and leaf.shape[-1] == 1
        if not (fits or squeezed or expanded):
            told = ", ".join("n" if i == 0 else str(a or "any") for i, a in enumerate(shape))
            raise ValueError(
                f"x must have shape ({told}) for input {name!r}. Received: shape {leaf.shape}"
            )
        return leaf.astype(expected.dtype if expected.dtype != "float16" else np.float32)
    return leaf.astype(wide) if leaf.dtype.kind == "f" else leaf


def _baseline(baseline: Any, leaf: np.ndarray, name: str) -> np.ndarray:
    """Return a baseline as (1, ...) or (n, ...) in the type of the input."""
    array = np.asarray(baseline, leaf.dtype)
    if not np.isfinite(array).all():
        raise ValueError(
            f"baseline must be finite. Received: a baseline with NaN or infinity for {name!r}"
        )
    if array.shape == leaf.shape:
        return array
    try:
        return np.ascontiguousarray(np.broadcast_to(array, (1, *leaf.shape[1:])))
    except ValueError:
        raise ValueError(
            f"baseline must be a number or have shape {leaf.shape[1:]} or {leaf.shape} for input {name!r}. "
            f"Received: shape {array.shape}"
        ) from None


def _chosen(chosen: Sequence[str | int] | None, names: list[str]) -> list[int]:
    if chosen is None:
        return list(range(len(names)))
    found = []
    for which in chosen:
        if which in names:
            found.append(names.index(str(which)))
        elif isinstance(which, int) and 0 <= which < len(names):
            found.append(which)
        else:
            raise ValueError(f"inputs must name some of {names}. Received: {which!r}")
    if not found:
        raise ValueError(f"inputs must name at least one of {names}. Received: {list(chosen)}")
    return sorted(set(found))


def _is_structure(x: Any) -> bool:
    """Whether a list or tuple holds arrays of its own rather than numbers."""
    return isinstance(x, (list, tuple)) and any(
        hasattr(part, "shape") and np.ndim(part) > 0 or isinstance(part, Mapping) for part in x
    )


def _flatten(values: Any, structure: Any) -> list[Any]:
    """Return the leaves of ``values`` in the order of ``structure`` (keys of dictionaries sorted)."""
    if isinstance(structure, Mapping):
        return [leaf for key in sorted(structure) for leaf in _flatten(values[key], structure[key])]
    if _is_structure(structure):
        pairs = zip(values, structure, strict=True)
        return [leaf for part, shape in pairs for leaf in _flatten(part, shape)]
    return [values]


def _rebuild(structure: Any, leaves: Any) -> Any:
    """Return a structure like ``structure`` from the leaves of `_flatten`."""
    if isinstance(structure, Mapping):
        found = {key: _rebuild(structure[key], leaves) for key in sorted(structure)}
        return {key: found[key] for key in structure}
    if _is_structure(structure):
        return type(structure)([_rebuild(part, leaves) for part in structure])
    return next(leaves)


def _shape_of(structure: Any) -> Any:
    return _rebuild(structure, iter([0] * len(_flatten(structure, structure))))


def _names(structure: Any, symbolic: list[Any], count: int) -> list[str]:
    if isinstance(structure, Mapping) and len(structure) == count:
        return [str(key) for key in sorted(structure)]
    if len(symbolic) == count:
        return [str(s.name) for s in symbolic]
    return ["x"] if count == 1 else [f"x{i}" for i in range(count)]


def _whole(name: str, value: Any, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ValueError(
            f"{name} must be a whole number of at least {low}. Received: {name}={value!r}"
        )
    return int(value)


def _told(values: Any) -> Any:
    """Return a setting as JSON can hold it: numbers as they are, arrays by their shape and mean."""
    if isinstance(values, Mapping):
        return {str(key): _told(part) for key, part in values.items()}
    if np.ndim(values) == 0:
        return float(values)
    array = np.asarray(values)
    return f"array {array.shape}, mean {array.mean():.4g}"
