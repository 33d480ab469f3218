"""What a layer sees: class activation maps, the activations of its filters, its weights.

A map weighs the channels of one layer's activations and adds them up, at the layer's own
resolution; what speaks against the target is cut off by the final ReLU, so maps are never negative.
Gradients are the plain ones. Guided variants (Guided Backpropagation, Guided Grad-CAM) are not
offered: their pictures hardly change when the weights of the network are replaced by random ones
(Adebayo et al., Sanity Checks for Saliency Maps, https://arxiv.org/abs/1810.03292), so they show
the input's edges rather than what the model learned.

Activations are read while the model is traced: the layers' ``call`` is watched by the tracing
thread alone, and is what it was as soon as the trace is done. Weights, graph and layers of the
model are never rebuilt, so nested backbones, shared layers and subclassed models work as they
stand.

`activations` and `weights` show the network instead of its evidence: pictures of single filters,
to be watched while they form.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import math
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tb_xai import targets
from tb_xai.folding import fold
from tb_xai.gradients import BATCH_SIZE, Attribution, Binder, Inputs, Last, _each, check_inputs
from tb_xai.targets import Target


@dataclass(frozen=True)
class LayerAttribution(Attribution):
    """An attribution at the positions of a layer.

    Attributes:
        layer: path of the layer, such as "backbone/conv5".
    """

    layer: str = ""


@dataclass(frozen=True)
class FilterAttribution(LayerAttribution):
    """Pictures of a layer's filters; ``values`` is a dictionary of arrays by name.

    Attributes:
        filters: number of each filter, in the order of the pictures.
        signed: whether values can be negative.
    """

    filters: tuple[int, ...] = ()
    signed: bool = True


@dataclass(frozen=True)
class KernelAttribution(FilterAttribution):
    """Pictures of a layer's weights: rows are its filters, not examples."""


def grad_cam(layer: Any = None) -> Binder:
    r"""Explain by a layer's channels, weighed by their mean gradient.

    ``L_ij = ReLU(sum_k w_k A_kij)`` with ``w_k = mean over positions of df/dA_k``

    Args:
        layer: name or path ("backbone/conv5") of the layer, or the layer itself. None takes the
            last one with a spatial output (n, h, w, c) in front of pooling and flattening, also
            inside nested models; without any, the last with (n, d, h, w, c) or (n, t, c).

    Returns:
        A binder. Values have the layer's resolution, (n, h', w'), and are at least 0, in units of
        the target; the attribution is a `LayerAttribution`.

    Raises:
        ValueError: an unknown or ambiguous layer, no spatial layer, or one that the target does not
            depend on.

    Example:
        >>> explain = grad_cam()(model)
        >>> explain(x, y).values.ndim
        3

    References:
        Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra. Grad-CAM: Visual Explanations from Deep
        Networks via Gradient-based Localization. https://arxiv.org/abs/1610.02391, 2017.

    Differs from the paper: the default target is the log-odds instead of the logit.
    """

    def combine(A: Any, g: Any) -> Any:
        weight = tf.reduce_mean(g, axis=list(range(1, g.shape.rank - 1)))
        return tf.nn.relu(_weighed(A, weight))

    return _binder("grad_cam", layer, combine)


def grad_cam_plus_plus(layer: Any = None) -> Binder:
    r"""Explain by a layer's channels, weighed by their positive gradients, rare positions more.

    ``L_ij = ReLU(sum_k w_k A_kij)`` with ``w_k = sum_ij a_kij ReLU(g_kij)``,
    ``a_kij = g_kij^2 / (2 g_kij^2 + sum_ab A_kab g_kij^3)`` and ``g = df/dA``.

    Args:
        layer: as in `grad_cam`.

    Returns:
        A binder. Values have the layer's resolution and are at least 0; their scale means nothing
        across examples.

    Raises:
        ValueError: as in `grad_cam`.

    Example:
        >>> explain = grad_cam_plus_plus(layer="conv2d_1")(model)

    References:
        Chattopadhay, Sarkar, Howlader, Balasubramanian. Grad-CAM++: Generalized Gradient-based
        Visual Explanations for Deep Convolutional Networks. https://arxiv.org/abs/1710.11063, 2018.

    Differs from the paper: the factor exp(f), one positive number per example, is left out, because
    it overflows; where the denominator is 0, a is 0.
    """

    def combine(A: Any, g: Any) -> Any:
        axes = list(range(1, g.shape.rank - 1))
        total = tf.reduce_sum(A, axis=axes, keepdims=True)
        alpha = tf.math.divide_no_nan(g**2, 2.0 * g**2 + total * g**3)
        return tf.nn.relu(_weighed(A, tf.reduce_sum(alpha * tf.nn.relu(g), axis=axes)))

    return _binder("grad_cam_plus_plus", layer, combine)


def layer_cam(layer: Any = None) -> Binder:
    r"""Explain by a layer's activations, each weighed by its own positive gradient.

    ``L_ij = ReLU(sum_k ReLU(df/dA_kij) A_kij)``

    Sharper than `grad_cam`, and of use at early layers, too.

    Args:
        layer: as in `grad_cam`.

    Returns:
        A binder. Values have the layer's resolution and are at least 0, in units of the target.

    Raises:
        ValueError: as in `grad_cam`.

    Example:
        >>> explain = layer_cam(layer="backbone/conv5")(model)

    References:
        Jiang, Zhang, Hou, Cheng, Wei. LayerCAM: Exploring Hierarchical Class Activation Maps for
        Localization. https://doi.org/10.1109/TIP.2021.3089943, 2021.
    """

    def combine(A: Any, g: Any) -> Any:
        return tf.nn.relu(tf.reduce_sum(tf.nn.relu(g) * A, axis=-1))

    return _binder("layer_cam", layer, combine)


def score_cam(layer: Any = None, *, inputs: str | int | None = None) -> Binder:
    r"""Explain by a layer's channels, weighed by the score of the input that each one lets through.

    ``L_ij = ReLU(sum_k w_k A_kij)`` with ``w = softmax over k of f(x * H_k)``, where ``H_k`` is
    ``A_k`` scaled to [0, 1] and interpolated linearly to the input's size (0 for a constant
    channel).

    Needs no gradient; costs one pass per channel of the layer.

    Args:
        layer: as in `grad_cam`.
        inputs: name or position of the input that is masked; None is the only one whose rank is the
            layer's.

    Returns:
        A binder. Values have the layer's resolution and are at least 0.

    Raises:
        TypeError: an input of ids, which cannot be scaled by a mask.
        ValueError: as in `grad_cam`, or several inputs that could be masked.

    Example:
        >>> explain = score_cam()(model, target=probability)

    References:
        Wang, Wang, Du, Yang, Zhang, Ding, Mardziel, Hu. Score-CAM: Score-Weighted Visual
        Explanations for Convolutional Neural Networks. https://arxiv.org/abs/1910.01279, 2020.

    Differs from the paper: the score of the baseline, a constant under the softmax, is left out.
    """
    params = {} if inputs is None else {"inputs": inputs}
    return _binder("score_cam", layer, None, params, inputs)


# --- the network itself ---------------------------------------------------------------------------


def activations(layer: Any = None, filters: int | Sequence[int] = 8) -> Binder:
    r"""Show the activations of the filters of a layer that respond most.

    ``L_kij = A_kij`` for chosen filters k. The choice is made at the first call: the filters with
    the largest mean over examples of ``max over positions |A_kij|``, largest first. It then stays
    for this binder and model, also in a later `fit`, so that what moves is the model; a new binder
    chooses again.

    Args:
        layer: as in `grad_cam`.
        filters: how many filters, at least 1 (all of a layer that has fewer), or the numbers of
            chosen ones.

    Returns:
        A binder. The attribution is a `FilterAttribution` whose values are a dictionary
        ``{"filter 12": (n, h', w'), ...}`` in the layer's resolution and unit; ``output`` is the
        target at ``x``. ``signed`` is False where the layer's last operation, such as ReLU, shows
        that no value can be negative.

    Raises:
        TypeError: ``filters`` is neither a number nor a list of numbers.
        ValueError: as in `grad_cam`, no filters, or a number that the layer does not have.

    Example:
        >>> explain = activations(layer="conv2d_1", filters=4)(model)
        >>> len(explain(x, y).values)
        4

    References:
        Zeiler, Fergus. Visualizing and Understanding Convolutional Networks.
        https://arxiv.org/abs/1311.2901, 2013.

    Differs from the paper: activations are shown as they are, not projected back to the input.
    """
    chosen = _filters(filters)
    held: weakref.WeakKeyDictionary[Any, tuple[int, ...]] = weakref.WeakKeyDictionary()

    def select(model: Any, found: FilterAttribution) -> Attribution:
        A = found.values
        k = A.shape[-1]
        if model not in held:
            if isinstance(chosen, int):
                peak = np.abs(A).reshape(len(A), -1, k).max(axis=1).mean(axis=0)
                held[model] = tuple(np.argsort(-peak, kind="stable")[:chosen].tolist())
            else:
                held[model] = _below(chosen, k, found.layer)
        numbers = held[model]
        values = {f"filter {j}": np.ascontiguousarray(A[..., j]) for j in numbers}
        return replace(found, values=values, filters=numbers)

    params = {"filters": chosen if isinstance(chosen, int) else list(chosen)}
    return replace(
        _binder("activations", layer, None, params, select=select),
        signed=True,
    )


def weights(layer: Any = None, filters: int | Sequence[int] = 64) -> Binder:
    r"""Show the weights of a layer, by default of the first convolution, as pictures.

    ``L_kijc = W_ijck``: the kernel of every filter, one to a row. Examples and labels play no part.

    Args:
        layer: name or path of a convolution or a Dense layer, or the layer itself. None takes the
            first convolution or, without any, the first Dense layer.
        filters: how many filters, from the first one on, or the numbers of chosen ones.

    Returns:
        A binder. The attribution is a `KernelAttribution` with values ``{"kernel": (filters, kh,
        kw, c)}``, signed: (filters, k, c) of a Conv1D, (filters, d) of a Dense layer, c = 1 of a
        depthwise convolution. ``output`` (filters,) is the Euclidean norm of each kernel.

    Raises:
        TypeError: ``filters`` is neither a number nor a list of numbers.
        ValueError: an unknown layer, one without a kernel, or a number that the layer does not
            have.

    Example:
        >>> explain = weights()(model)
        >>> explain(x).values["kernel"].shape
        (32, 3, 3, 1)

    References:
        Krizhevsky, Sutskever, Hinton. ImageNet Classification with Deep Convolutional Neural
        Networks. https://doi.org/10.1145/3065386, 2012 (its figure 3).
    """
    told = _told_layer(layer)
    chosen = _filters(filters)
    params = {"layer": told, "filters": chosen if isinstance(chosen, int) else list(chosen)}

    def bind(model: Any, target: Target, batch_size: int | None) -> _Kernels:
        return _Kernels(targets.bind(model, target).model, layer, chosen)

    return Binder("weights", params, True, False, bind)


class _Kernels:
    """Reads the weights of one layer; nothing is traced."""

    def __init__(self, model: Any, layer: Any, chosen: int | tuple[int, ...]) -> None:
        paths = _paths(model)
        kernels = {path: one for path, one in paths.items() if isinstance(one, (*_CONV, _DENSE))}
        if layer is not None:
            wanted = _find(paths, layer)
            self._path = next(path for path, one in paths.items() if one is wanted)
        else:
            first = [path for path, one in kernels.items() if isinstance(one, _CONV)]
            self._path = next(iter([*first, *kernels]), "")
        if self._path not in kernels:
            raise ValueError(
                "layer must be a convolution or a Dense layer, whose weights are a kernel, "
                f"one of {list(kernels)[:12]}. Received: layer={self._path or None!r}"
            )
        self._layer = paths[self._path]
        self._numbers = (
            tuple(range(min(chosen, len(self._kernel()))))
            if isinstance(chosen, int)
            else _below(chosen, len(self._kernel()), self._path)
        )

    def traces(self) -> int:
        return 0

    def __call__(self, x: Any = None, y: Any = None) -> Attribution:
        kernel = self._kernel()[list(self._numbers)]
        return KernelAttribution(
            values={"kernel": kernel},
            output=np.sqrt((kernel.reshape(len(kernel), -1).astype(np.float64) ** 2).sum(1)),
            layer=self._path,
            filters=self._numbers,
        )

    def _kernel(self) -> np.ndarray:
        """Return the kernel with its filters first."""
        kernel = keras.ops.convert_to_numpy(self._layer.kernel).astype(np.float32)
        if isinstance(self._layer, _DEPTHWISE):
            kernel = kernel.reshape(*kernel.shape[:-2], 1, -1)
        filters = -2 if isinstance(self._layer, _TRANSPOSED) else -1
        return np.ascontiguousarray(np.moveaxis(kernel, filters, 0))


_DENSE = keras.layers.Dense
_TRANSPOSED = tuple(getattr(keras.layers, f"Conv{rank}DTranspose") for rank in (1, 2, 3))
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
_CONV = (
    *(getattr(keras.layers, f"Conv{rank}D") for rank in (1, 2, 3)),
    *_TRANSPOSED,
    *_DEPTHWISE,
)


def _filters(filters: Any) -> int | tuple[int, ...]:
    """Return a number of filters, or the numbers of chosen ones."""
    many = isinstance(filters, (Sequence, np.ndarray)) and not isinstance(filters, str)
    numbers = list(filters) if many else [filters]
    if not all(isinstance(j, (int, np.integer)) and not isinstance(j, bool) for j in numbers):
        raise TypeError(
            "filters must be a number of filters or a list of their numbers. "
            f"Received: filters={filters!r}"
        )
    if not numbers or min(numbers) < (0 if many else 1) or len(set(numbers)) < len(numbers):
        raise ValueError(
            "filters must be at least 1, or different numbers from 0 on. "
            f"Received: filters={filters!r}"
        )
    return tuple(int(j) for j in numbers) if many else int(filters)


def _below(chosen: tuple[int, ...], count: int, layer: str) -> tuple[int, ...]:
    if max(chosen) >= count:
        raise ValueError(
            f"filters must be below {count}, the number of filters of layer {layer!r}. "
            f"Received: filters={list(chosen)}"
        )
    return chosen


# --- binding --------------------------------------------------------------------------------------


def _binder(
    method: str,
    layer: Any,
    combine: Callable[[Any, Any], Any] | None,
    params: dict[str, Any] | None = None,
    masked: str | int | None = None,
    select: Callable[[Any, FilterAttribution], Attribution] | None = None,
) -> Binder:
    told = _told_layer(layer)

    def bind(model: Any, target: Target, batch_size: int | None) -> _Explain:
        return _Explain(model, target, batch_size or BATCH_SIZE, layer, combine, masked, select)

    return Binder(method, {"layer": told, **(params or {})}, False, False, bind)


def _told_layer(layer: Any) -> str | None:
    """Return a layer as the log names it."""
    if not (layer is None or isinstance(layer, (str, keras.Layer))):
        raise TypeError(f"layer must be a name, a path, a layer or None. Received: layer={layer!r}")
    return layer.name if isinstance(layer, keras.Layer) else layer


class _Explain:
    """A map bound to a model: examples run through one compiled graph, chunk by chunk."""

    def __init__(
        self,
        model: Any,
        target: Target,
        batch: int,
        layer: Any,
        combine: Callable[[Any, Any], Any] | None,
        masked: str | int | None,
        select: Callable[[Any, FilterAttribution], Attribution] | None,
    ) -> None:
        self._score = targets.bind(model, target)
        self._batch, self._combine, self._masked = batch, combine, masked
        self._select = select
        self._paths = _paths(model)
        self._wanted = None if layer is None else _find(self._paths, layer)
        self._plans: dict[Any, Any] = {}
        self._functions: dict[Any, Any] = {}
        self._last = Last(self._prepare)
        self._traces = 0

    def traces(self) -> int:
        return self._traces

    def functions(self) -> list[Any]:
        return [function for function, *_ in self._functions.values()]

    def __call__(self, x: Any, y: Any = None) -> Attribution:
        targets.graph_only()
        (function, pattern, about), arguments = self._last(x, y)
        scores, maps, outputs = function(*arguments)
        found = LayerAttribution(
            values=maps.numpy().astype(np.float32, copy=False),
            output=scores.numpy(),
            prediction=tf.nest.pack_sequence_as(pattern, [o.numpy() for o in outputs]),
            layer=about["path"],
        )
        if self._select is None:
            return found
        whole_layer = FilterAttribution(**vars(found), signed=about["signed"])
        return self._select(self._score.model, whole_layer)

    def _prepare(self, x: Any, y: Any) -> tuple[Any, list[Any]]:
        """Return the compiled function with what is known of it, and its arguments."""
        given = check_inputs(self._score.model, x, text=True)
        y = self._score.labels(y, given.n, _pack(self._score.model, given, given.leaves))
        arguments = [given.leaves, y]
        specs = _each(
            lambda a: tf.TensorSpec((None, *a.shape[1:]), tf.as_dtype(a.dtype)), arguments
        )
        whole = given.n <= self._batch
        # Known sizes spare the graph their arithmetic.
        sized = _each(lambda a: tf.TensorSpec(a.shape, tf.as_dtype(a.dtype)), arguments)
        structure = _pack(self._score.model, given, list(range(len(given.leaves))))
        key: Any = (repr(specs), repr(structure))
        if key not in self._plans:
            self._plans[key] = self._trace(given, specs)
            self._traces += 1
        plan, about = self._plans[key]
        key = (*key, given.n if whole else 0)
        if key not in self._functions:
            function = self._compile(given, sized if whole else specs, whole, plan)
            self._functions[key] = (*function, about)
        return self._functions[key], _each(tf.convert_to_tensor, arguments)

    def _trace(self, given: Inputs, specs: list[Any]) -> tuple[Any, dict[str, Any]]:
        """Return scores, maps and outputs as a function of one chunk, and what it says of them."""
        found: dict[str, Any] = {}

        def mapped(rows: list[Any], labels: Any) -> tuple[Any, Any, Any]:
            with _watch({id(layer): layer for layer in self._paths.values()}.values()) as calls:
                scores, outputs = self._score(_pack(self._score.model, given, rows), labels)
            layer, A = self._activations(calls, scores, outputs)
            found["path"] = next(path for path, known in self._paths.items() if known is layer)
            found["first"] = _channels_first(layer)
            found["signed"] = not _never_negative(A)
            if self._combine is None:
                return scores, _wide(_last(A, found["first"])), outputs
            g = _gradient(scores, A)
            maps = self._combine(_wide(_last(A, found["first"])), _last(g, found["first"]))
            return scores, maps, outputs

        return tf.function(mapped, autograph=False).get_concrete_function(*specs), found

    def _compile(self, given: Inputs, specs: list[Any], whole: bool, plan: Any) -> tuple[Any, Any]:
        """Return the function of all examples, and the structure of the model's outputs."""
        wide, pattern = plan.structured_outputs[0].dtype, plan.structured_outputs[2]

        def chunk(rows: list[Any], labels: Any) -> list[Any]:
            scores, maps, outputs = plan(rows, labels)
            return [scores, maps, *tf.nest.flatten(outputs)]

        kinds = [
            wide,
            plan.structured_outputs[1].dtype,
            *(o.dtype for o in tf.nest.flatten(pattern)),
        ]

        def traced(leaves: list[Any], y: Any) -> tuple[Any, Any, list[Any]]:
            if whole:
                scores, maps, *outputs = chunk(leaves, y)
            else:
                scores, maps, *outputs = _chunks(chunk, leaves, y, self._batch, kinds)
            if self._combine is None and self._select is None:
                maps.set_shape(plan.structured_outputs[1].shape)
                maps = self._by_score(plan, given, leaves, y, maps)
            return scores, maps, outputs

        function = tf.function(traced, autograph=False).get_concrete_function(*specs)
        return function, pattern

    def _activations(self, calls: list[_Call], scores: Any, outputs: Any) -> tuple[Any, Any]:
        """Return the layer that is mapped and what it gave when it was called last."""
        here = tf.compat.v1.get_default_graph()
        if self._wanted is None:
            layer, A = _last_spatial(calls, scores, outputs, self._combine is not None)
            return layer, A
        layer = self._wanted
        own = [call.output for call in calls if call.layer is layer]
        name = next(path for path, known in self._paths.items() if known is layer)
        if not own:
            raise ValueError(f"layer must be called by the model. Received: layer={name!r}")
        A = own[-1]
        shape = getattr(A, "shape", None)
        if shape is None or shape.rank is None or not 3 <= shape.rank <= 5:
            told = tuple(shape) if shape is not None else type(A).__name__
            raise ValueError(
                f"layer must have a spatial output such as (n, h, w, c). "
                f"Received: layer={name!r} with output {told}"
            )
        if getattr(A, "graph", None) is not here:
            raise ValueError(
                "layer must not be called inside a loop or a compiled function of the model's own. "
                f"Received: layer={name!r}"
            )
        if self._combine is not None and tf.gradients(scores, A)[0] is None:
            raise ValueError(
                f"layer must lie between the inputs and the target. Received: layer={name!r}"
            )
        return layer, A

    def _by_score(self, plan: Any, given: Inputs, leaves: list[Any], y: Any, A: Any) -> Any:
        """Return Score-CAM's maps from activations (n, ..., k)."""
        spatial, k = A.shape[1:-1], A.shape[-1]
        if None in tuple(spatial) or k is None:
            raise ValueError(
                f"score_cam must know the size of the layer's output. Received: {tuple(A.shape)}"
            )
        at = self._position(given, A.shape.rank)
        leaf = given.leaves[at]
        low = tf.reduce_min(A, axis=list(range(1, A.shape.rank - 1)), keepdims=True)
        high = tf.reduce_max(A, axis=list(range(1, A.shape.rank - 1)), keepdims=True)
        masks = tf.math.divide_no_nan(A - low, high - low)
        stretch = [
            tf.constant(_resize(int(old), new), masks.dtype)
            for old, new in zip(spatial, leaf.shape[1:-1], strict=True)
        ]
        folded = fold(plan)
        run = functools.partial(folded, folded.weights()) if folded else plan
        n = tf.shape(A)[0]
        total = n * k
        size = self._batch
        count = (total + size - 1) // size
        array = tf.TensorArray(plan.structured_outputs[0].dtype, count, element_shape=(size,))

        def body(step: Any, array: Any) -> tuple[Any, Any]:
            item = tf.minimum(step * size + tf.range(size), total - 1)
            i, channel = item // k, item % k
            mask = tf.gather(tf.gather(masks, i), channel, axis=A.shape.rank - 1, batch_dims=1)
            for axis, matrix in enumerate(stretch):
                letters = "bcd"[: len(stretch)]
                new = letters.replace(letters[axis], "x")
                mask = tf.einsum(f"a{letters},x{letters[axis]}->a{new}", mask, matrix)
            rows = [tf.gather(part, i) for part in leaves]
            rows[at] *= tf.cast(mask[..., None], rows[at].dtype)
            scores = run(rows, _each(lambda t: tf.gather(t, i), y))[0]
            return step + 1, array.write(step, tf.ensure_shape(scores, (size,)))

        _, array = tf.while_loop(
            lambda step, _: step < count, body, [tf.constant(0), array], parallel_iterations=1
        )
        weight = tf.nn.softmax(tf.reshape(array.concat()[:total], (n, k)))
        return tf.nn.relu(_weighed(A, tf.cast(weight, A.dtype)))

    def _position(self, given: Inputs, rank: int) -> int:
        """Return which input Score-CAM masks."""
        fit = [at for at, leaf in enumerate(given.leaves) if leaf.ndim == rank]
        if self._masked is not None:
            packed = _pack(self._score.model, given, given.leaves)
            fit = check_inputs(self._score.model, packed, [self._masked], text=True).explained
        told = {
            name: f"{leaf.dtype} {leaf.shape}"
            for name, leaf in zip(given.names, given.leaves, strict=True)
        }
        masked = [given.leaves[at] for at in fit]
        if not any(leaf.dtype.kind == "f" and leaf.ndim == rank for leaf in masked):
            raise TypeError(
                f"score_cam must scale an input of floats with {rank - 2} spatial axes and "
                "channels; explain others by grad_cam, layer_cam, occlusion or lime. "
                f"Received: {told}"
            )
        if len(fit) != 1:
            raise ValueError(
                f"score_cam must know which input to mask; give inputs=... . Received: {told}"
            )
        return fit[0]


def _chunks(
    chunk: Callable[[list[Any], Any], list[Any]],
    leaves: list[Any],
    y: Any,
    size: int,
    kinds: list[Any],
) -> list[Any]:
    """Return what ``chunk`` gives for all examples, at most ``size`` at a time."""
    n = tf.shape(leaves[0])[0]
    count = (n + size - 1) // size
    arrays = [tf.TensorArray(kind, count, infer_shape=False) for kind in kinds]

    def body(step: Any, arrays: list[Any]) -> tuple[Any, list[Any]]:
        part = slice(step * size, tf.minimum((step + 1) * size, n))
        found = chunk([leaf[part] for leaf in leaves], _each(lambda t: t[part], y))
        return step + 1, [a.write(step, f) for a, f in zip(arrays, found, strict=True)]

    _, arrays = tf.while_loop(
        lambda step, _: step < count, body, [tf.constant(0), arrays], parallel_iterations=1
    )
    return [a.concat() for a in arrays]


def _pack(model: Any, given: Inputs, leaves: list[Any]) -> Any:
    """Return flat inputs as the model takes them; a list of one input is that input."""
    single = len(getattr(model, "inputs", None) or []) == 1
    if len(leaves) == 1 and single and isinstance(given.structure, (list, tuple)):
        return leaves[0]
    return replace(given, explained=list(range(len(leaves)))).pack(leaves)


def _weighed(A: Any, weight: Any) -> Any:
    """Return the sum over channels of A (n, ..., k) by weights (n, k); A is read once."""
    shape = tf.shape(A)
    flat = tf.reshape(A, (shape[0], -1, A.shape[-1] or shape[-1]))
    # `tf.matmul` is handed to oneDNN on a CPU, which takes twice as long for a single column.
    total = tf.raw_ops.BatchMatMulV3(x=flat, y=weight[:, :, None], Tout=A.dtype)
    return tf.ensure_shape(tf.reshape(total, shape[:-1]), A.shape[:-1])


def _wide(tensor: Any) -> Any:
    return tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)


def _never_negative(tensor: Any) -> bool:
    """Whether the operations that made a tensor show that it holds no negative number."""
    op = tensor.op
    while op.type in _KEEP_SIGN and op.inputs:
        op = op.inputs[0].op
    return op.type in ("Relu", "Relu6", "Sigmoid", "Softmax", "Softplus", "Exp", "Square", "Abs")


_KEEP_SIGN = (
    *("Identity", "Cast", "Reshape", "Squeeze", "ExpandDims", "Transpose"),
    *("MaxPool", "MaxPoolV2", "MaxPool3D", "AvgPool", "AvgPool3D"),
)


def _last(tensor: Any, first: bool) -> Any:
    """Return a tensor with its channels last."""
    if not first:
        return tensor
    rank = tensor.shape.rank
    return tf.transpose(tensor, [0, *range(2, rank), 1])


def _gradient(scores: Any, A: Any) -> Any:
    """Return dscores/dA in at least float32; in float16 without underflow or overflow."""
    if A.dtype not in (tf.float16, tf.bfloat16):
        return tf.convert_to_tensor(tf.gradients(scores, A)[0])
    plain = tf.cast(tf.gradients(scores, A)[0], tf.float32)
    scaled = tf.cast(
        tf.gradients(scores, A, grad_ys=tf.fill(tf.shape(scores), 2.0**13))[0], tf.float32
    )
    fine = tf.reduce_all(
        tf.math.is_finite(scaled), axis=list(range(1, scaled.shape.rank)), keepdims=True
    )
    return tf.where(fine, scaled / 2.0**13, plain)


def _resize(old: int, new: int) -> np.ndarray:
    """Return the matrix (new, old) of linear interpolation between centres of cells."""
    place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.minimum(np.floor(place).astype(int), max(old - 2, 0))
    matrix = np.zeros((new, old))
    matrix[np.arange(new), low] = 1.0 - (place - low)
    if old > 1:
        matrix[np.arange(new), low + 1] = place - low
    return matrix


# --- layers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    layer: Any
    output: Any


_WATCH = threading.RLock()


@contextlib.contextmanager
def _watch(layers: Any) -> Iterator[list[_Call]]:
    """Record what layers return while the body runs in this thread, in the order calls end.

    The instances' ``call`` is replaced for that time and then put back; other threads that call a
    layer meanwhile get its result as ever and leave no record.
    """
    calls: list[_Call] = []
    me = threading.get_ident()

    def watched(layer: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def through(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            if threading.get_ident() == me:
                calls.append(_Call(layer, output))
            return output

        return through

    with _WATCH:
        before: list[tuple[dict[str, Any], str, Any]] = []
        try:
            for layer in layers:
                name = "quantized_call" if getattr(layer, "quantization_mode", None) else "call"
                # Through __dict__, because Keras' own __setattr__ would track what is set.
                own = vars(layer)
                before.append((own, name, own.get(name)))
                own[name] = watched(layer, getattr(layer, name))
            yield calls
        finally:
            for own, name, call in reversed(before):
                if call is None:
                    own.pop(name, None)
                else:
                    own[name] = call


def _paths(model: Any) -> dict[str, Any]:
    """Return every layer inside a model by its path of names."""
    found: dict[str, Any] = {}

    def walk(layer: Any, prefix: str, above: tuple[int, ...]) -> None:
        children = list(layer.layers) if isinstance(layer, keras.Model) else []
        inner = getattr(layer, "_functional", None)
        for child in layer._flatten_layers(include_self=False, recursive=False):
            if child is not inner and not any(child is known for known in children):
                children.append(child)
        for child in children:
            path = f"{prefix}{child.name}"
            if id(child) in above or path in found:
                continue
            found[path] = child
            walk(child, f"{path}/", (*above, id(child)))

    walk(model, "", (id(model),))
    return found


def _find(paths: dict[str, Any], layer: Any) -> Any:
    """Return the layer of a model that a name, a path or a layer means."""
    if isinstance(layer, keras.Layer):
        if not any(layer is known for known in paths.values()):
            raise ValueError(f"layer must be part of the model. Received: layer {layer.name!r}")
        return layer
    if layer in paths:
        return paths[layer]
    ends = {id(known): path for path, known in paths.items() if path.endswith(f"/{layer}")}
    if len(ends) == 1:
        return paths[next(iter(ends.values()))]
    if ends:
        raise ValueError(
            f"layer must name one layer; give its path, one of {sorted(ends.values())}. "
            f"Received: layer={layer!r}"
        )
    names = list(dict.fromkeys([*paths, *(path.rsplit("/", 1)[-1] for path in paths)]))
    close = difflib.get_close_matches(layer, names, n=5, cutoff=0.4)
    hint = f"such as {close}" if close else f"one of {list(paths)[:12]}"
    raise ValueError(f"layer must name a layer of the model, {hint}. Received: layer={layer!r}")


_POOLING = tuple(
    getattr(keras.layers, f"{kind}Pooling{rank}D")
    for kind in ("Max", "Average", "GlobalMax", "GlobalAverage")
    for rank in (1, 2, 3)
)


# Inside them, projections (n, t, heads, c) look like pictures.
_ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)


def _channels_first(layer: Any) -> bool:
    form = getattr(layer, "data_format", None) or keras.config.image_data_format()
    return bool(form == "channels_first")


def _last_spatial(calls: list[_Call], scores: Any, outputs: Any, gradient: bool) -> tuple[Any, Any]:
    """Return the last layer with a learned spatial output that the target depends on."""
    here = tf.compat.v1.get_default_graph()
    final = {id(tensor) for tensor in tf.nest.flatten(outputs)}
    pooled = {id(call.output) for call in calls if isinstance(call.layer, _POOLING)}
    attention = [call.layer for call in calls if isinstance(call.layer, _ATTENTION)]
    inner = {id(p) for layer in attention for p in layer._flatten_layers(include_self=False)}
    learned = False
    fits: list[_Call] = []
    for call in calls:
        if id(call.layer) in inner:
            continue
        learned |= any(len(weight.shape) > 1 for weight in call.layer.weights)
        A = call.output
        if not (learned and getattr(A, "graph", None) is here and A.dtype.is_floating):
            continue
        if A.shape.rank not in (3, 4, 5) or id(A) in final | pooled:
            continue
        spatial = tuple(A.shape[2:] if _channels_first(call.layer) else A.shape[1:-1])
        if None in spatial or math.prod(spatial) > 1:
            fits.append(call)
    for rank in (4, 5, 3):
        ranked = [call for call in fits if call.output.shape.rank == rank]
        for call in reversed(ranked):
            if not gradient or tf.gradients(scores, call.output)[0] is not None:
                # The innermost of nested layers that return the same tensor gives it its name.
                return next((c.layer, c.output) for c in ranked if c.output is call.output)
    seen: Sequence[str] = [
        f"{call.layer.name} {tuple(call.output.shape)}"
        for call in calls
        if getattr(call.output, "shape", None) is not None
    ]
    raise ValueError(
        "model must have a layer with a spatial output such as (n, h, w, c) in front of its head; "
        f"explain others by gradients or perturbation. Received: {', '.join(seen[-6:])}"
    )
