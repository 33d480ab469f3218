"""Frozen graphs: a traced function in which per-channel scales became part of the kernels.

In inference, batch normalisation is ``x * s + t`` with one s and t for each channel, made of
weights alone. Behind a convolution or a Dense layer it is a convolution again,
``conv(x, K) * s + t = conv(x, K s) + t``, which saves two passes over the activations, and the same
again in the gradient. The trace of a model is searched for this pattern; its layers, of whatever
kind and however nested, are not looked at and never changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf


def fold(plan: Any) -> Folded | None:
    """Return a traced function with its scales folded into kernels.

    Scales are folded where they multiply the output of a convolution or matrix product that nobody
    else reads, with or without biases in between, and depend on no input. In half precision, where
    normalisation is computed in float32 between two casts, there are none.

    Args:
        plan: a concrete function of tensors that captures variables.

    Returns:
        The folded function; None where there is nothing to fold, or where the graph holds what is
        not copied: calls of other functions, and operations with a state.

    Example:
        >>> plan = tf.function(score).get_concrete_function(x, y)
        >>> folded = fold(plan)
        >>> @tf.function
        ... def scores(x, y):
        ...     weights = folded.weights()  # once, of the variables as they are now
        ...     return folded(weights, x, y)
    """
    operations = plan.graph.get_operations()
    if not all(map(_copied, operations)):
        return None
    first = len(plan.inputs) - len(plan.captured_inputs)
    varying = {t.op for t in plan.inputs[:first]}
    for op in operations:
        if any(t.op in varying for t in op.inputs):
            varying.add(op)
    outputs = {id(t) for t in plan.outputs}
    found = [_site(op, varying, outputs) for op in operations if op.type == "Mul"]
    sites = [site for site in found if site is not None]
    return Folded(plan, sites) if sites else None


class Folded:
    """A traced function whose folded kernels are computed apart, once for many calls."""

    def __init__(self, plan: Any, sites: list[_Site]) -> None:
        self._plan, self._sites = plan, sites
        self._before = plan.graph.as_graph_def()
        folded = tf.compat.v1.GraphDef()
        folded.CopyFrom(self._before)
        nodes = {node.name: node for node in folded.node}
        self._places: list[str] = []
        for number, site in enumerate(sites):
            dtype = site.product.outputs[0].dtype.as_datatype_enum
            for what in ("kernel", "offset"):
                self._places.append(f"folded_{what}_{number}")
                place = folded.node.add(name=self._places[-1], op="Placeholder")
                place.attr["dtype"].type = dtype
                place.attr["shape"].shape.unknown_rank = True
            nodes[site.product.name].input[1] = self._places[-2]
            end = nodes[site.end.name]
            end.Clear()
            end.name, end.op = site.end.name, "BiasAdd"
            end.input.extend([site.product.name, self._places[-1]])
            end.attr["T"].type = dtype
        self._wanted = [t.name for t in plan.outputs]
        self._graph = needed(folded, {t.op.name for t in plan.outputs})

    def weights(self) -> list[Any]:
        """Return kernels and offsets, two for each site, of the variables as they are."""
        names = [t.name for site in self._sites for t in site.tensors]
        part = needed(self._before, {name.split(":")[0] for name in names})
        values = iter(_import(part, captured(self._plan), names))
        found = []
        for site in self._sites:
            kernel, scale, *biases = [next(values) for _ in site.tensors]
            channels = site.channels
            scale = tf.reshape(scale, (-1,)) + tf.zeros(channels, scale.dtype)
            offset = tf.zeros_like(scale)
            for bias, before in zip(biases, site.before, strict=True):
                flat = tf.reshape(bias, (-1,))
                offset += flat * scale if before else flat
            # The channels of a depthwise kernel (h, w, c, m) are its last two axes.
            shape = kernel.shape[2:] if site.product.type == _DEPTHWISE else (channels,)
            found += [kernel * tf.reshape(scale, shape), offset]
        return found

    def __call__(self, weights: list[Any], *arguments: Any) -> Any:
        """Return what the function gives for its arguments, with kernels of `weights`."""
        here = tf.compat.v1.get_default_graph()
        given = [t for t in tf.nest.flatten(arguments) if t is not None]
        places = captured(self._plan)
        places |= {t.name: value for t, value in zip(self._plan.inputs, given, strict=False)}
        places |= {
            f"{name}:0": here.capture(weight)
            for name, weight in zip(self._places, weights, strict=True)
        }
        found = _import(self._graph, places, self._wanted)
        return tf.nest.pack_sequence_as(self._plan.structured_outputs, found)


@dataclass(frozen=True)
class _Site:
    """One place where a scale is folded.

    Attributes:
        product: the convolution or matrix product.
        end: the operation whose result the folded product, with its offset, takes the place of.
        tensors: kernel, scale and biases.
        before: of each bias, whether it is added before the scale.
    """

    product: Any
    end: Any
    tensors: list[Any]
    before: list[bool]

    @property
    def channels(self) -> int:
        return int(self.product.outputs[0].shape[-1])


_DEPTHWISE = "DepthwiseConv2dNative"
_PRODUCTS = ("Conv2D", "Conv3D", _DEPTHWISE, "MatMul")
_ADDS = ("BiasAdd", "AddV2", "Add")
_READS = ("ReadVariableOp", "ResourceGather")


def _copied(op: Any) -> bool:
    """Whether an operation may be copied: it has no state and calls no function."""
    attributes = op.node_def.attr.values()
    calls = any(a.HasField("func") or a.list.func for a in attributes)
    return not calls and (not op.op_def.is_stateful or op.type in _READS)


def _site(mul: Any, varying: set[Any], outputs: set[int]) -> _Site | None:
    """Return the site whose scale a multiplication is, if it is one."""

    def split(op: Any) -> tuple[Any, Any] | None:
        """Return the operation before and the weight, of an operation that joins the two."""
        moving = [t for t in op.inputs if t.op in varying]
        fixed = [t for t in op.inputs if t.op not in varying]
        return (moving[0].op, fixed[0]) if len(moving) == len(fixed) == 1 else None

    def alone(op: Any) -> bool:
        """Whether a single operation, and nobody outside, reads the result."""
        result = op.outputs[0]
        return id(result) not in outputs and len(result.consumers()) == 1

    parts = split(mul)
    if parts is None:
        return None
    op, scale = parts
    biases, before, end = [], [], mul
    while op.type in _ADDS and alone(op):
        parts = split(op)
        if parts is None:
            return None
        biases.append(parts[1])
        before.append(True)
        op = parts[0]
    if not (op.type in _PRODUCTS and alone(op) and _channels_last(op, varying)):
        return None
    if alone(mul):
        (after,) = mul.outputs[0].consumers()
        parts = split(after) if after.type in _ADDS else None
        if parts is not None and _per_channel(parts[1], op):
            biases.append(parts[1])
            before.append(False)
            end = after
    if not all(_per_channel(t, op) for t in (scale, *biases)):
        return None
    return _Site(op, end, [op.inputs[1], scale, *biases], before)


def _channels_last(product: Any, varying: set[Any]) -> bool:
    """Whether a product has a kernel of weights whose outputs stand on the last axis."""
    value, kernel = product.inputs
    if kernel.op in varying or value.op not in varying or product.outputs[0].shape[-1] is None:
        return False
    if not (kernel.shape.is_fully_defined() and kernel.dtype.is_floating):
        return False
    if product.type == "MatMul":
        return not (product.get_attr("transpose_a") or product.get_attr("transpose_b"))
    return bool(product.get_attr("data_format") in (b"NHWC", b"NDHWC"))


def _per_channel(tensor: Any, product: Any) -> bool:
    """Whether a tensor broadcasts along the channels of a product's result alone."""
    result = product.outputs[0]
    shape = tensor.shape
    if not shape.is_fully_defined() or shape.rank > result.shape.rank:
        return False
    size = shape.num_elements()
    return bool(size == 1 or (size == result.shape[-1] and shape[-1] == size))


def captured(plan: Any) -> dict[str, Any]:
    """Return what a traced function captured, in the current graph, by the names of its places."""
    here = tf.compat.v1.get_default_graph()
    first = len(plan.inputs) - len(plan.captured_inputs)
    pairs = zip(plan.inputs[first:], plan.captured_inputs, strict=True)
    return {place.name: here.capture(weight) for place, weight in pairs}


def needed(graph: Any, wanted: set[str]) -> Any:
    """Return the part of a graph definition that the wanted operations depend on."""
    nodes = {node.name: node for node in graph.node}
    waiting, seen = list(wanted), set(wanted)
    while waiting:
        before = {i.lstrip("^").split(":")[0] for i in nodes[waiting.pop()].input} - seen
        seen |= before
        waiting += before
    part = tf.compat.v1.GraphDef(versions=graph.versions, library=graph.library)
    part.node.extend(node for node in graph.node if node.name in seen)
    return part


def _import(part: Any, places: dict[str, Any], wanted: list[str]) -> list[Any]:
    inside = {node.name for node in part.node}
    mapping = {name: t for name, t in places.items() if name.split(":")[0] in inside}
    return list(
        tf.graph_util.import_graph_def(
            part, input_map=mapping, return_elements=wanted, name="folded"
        )
    )
