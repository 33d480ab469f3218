"""The TensorBoard plugin: the HTTP contract of `http_api.md`, and nothing that is computed twice.

A `thing(log, ...)` is a pure function of arguments and data; a `thing_route(request)` parses a
request with `parse` and answers with it. Only GET and HEAD are served; no argument is ever a path.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import json
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from tensorboard import errors, plugin_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers
from werkzeug.datastructures import MultiDict

from tb_xai import drift as drifts
from tb_xai import reader, summary
from tb_xai.reader import Log, Missing, UnknownError

ANSWER_LIMIT = 16 * 1024 * 1024  # bytes of one answer
SOURCE_LIMIT = 512 * 1024 * 1024  # bytes read from disk for one answer
_PART = 2**17  # numbers of maps at a time: three times as fast in a processor's cache
DRIFT_SECONDS = 2.0  # computing for one answer of ./drift; what is left is asked for again
DRIFT_ROWS = 32 * 1024 * 1024  # bytes of drift that are remembered for each experiment
STATIC = Path(__file__).resolve().parent / "static"
SCRIPT = "text/javascript; charset=utf-8"
STATIC_FILES = (
    "index.js",
    "core.js",
    "overview.js",
    "maps.js",
    "features.js",
    "quality.js",
    "health.js",
    "text.js",
    "inspect.js",
    "panels.js",
    "painting.js",
    "figures.js",
    "pieces.js",
    "charts.js",
    "series.js",
    "export.js",
    "examples.js",
    "extras.js",
)
_YEAR = "private, max-age=31536000, immutable"
_NOT_BUILT = (
    "The page of tb_xai was not built: run `npm ci && npm run build` in frontend/, or install "
    "tb_xai from a wheel, and reload."
)
_ONE_BYTE_IS_NOT_FINITE = 255


# --- arguments ----------------------------------------------------------------------------------


def _text(name: str, values: Sequence[str]) -> str:
    if len(values) != 1 or not values[0] or len(values[0]) > 4000:
        raise errors.InvalidArgumentError(
            f"{name} must be given once, as text. Received: {name}={_brief(values)}"
        )
    return values[0]


def _integers(name: str, values: Sequence[str]) -> list[int]:
    """Integers that are repeated or separated by commas, in the order given, each once."""
    parts = [part for value in values for part in value.split(",")]
    try:
        if len(parts) > 100_000 or any(len(part) > 20 for part in parts):
            raise ValueError
        numbers = list(dict.fromkeys(int(part) for part in parts))
    except ValueError:
        raise errors.InvalidArgumentError(
            f"{name} must be integers. Received: {name}={_brief(values)}"
        ) from None
    if any(not -(2**63) <= number < 2**63 for number in numbers):
        raise errors.InvalidArgumentError(
            f"{name} must be integers of 64 bits. Received: {name}={_brief(values)}"
        )
    return numbers


def _examples(name: str, values: Sequence[str]) -> list[int] | None:
    if list(values) == [""]:
        return None
    numbers = _integers(name, values)
    if min(numbers) < 0:
        raise errors.InvalidArgumentError(
            f"{name} must not be negative. Received: {name}={_brief(values)}"
        )
    return numbers


def _size(name: str, values: Sequence[str]) -> int:
    (number,) = _integers(name, values[:1])[:1]
    if len(values) != 1 or not 1 <= number <= 4096:
        raise errors.InvalidArgumentError(
            f"{name} must be an integer from 1 to 4096. Received: {name}={_brief(values)}"
        )
    return number


def _time(name: str, values: Sequence[str]) -> float:
    try:
        number = float(_text(name, values))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise errors.InvalidArgumentError(
            f"{name} must be a time in seconds. Received: {name}={_brief(values)}"
        )
    return number


def _choice(*choices: str) -> Callable[[str, Sequence[str]], str]:
    def one_of(name: str, values: Sequence[str]) -> str:
        if len(values) != 1 or values[0] not in choices:
            raise errors.InvalidArgumentError(
                f"{name} must be one of {', '.join(choices)}. Received: {name}={_brief(values)}"
            )
        return values[0]

    return one_of


def _reference(name: str, values: Sequence[str]) -> str | int:
    """A step to compare with, or the word for one."""
    if len(values) == 1 and values[0] in ("previous", "first"):
        return values[0]
    try:
        (step,) = _integers(name, values)
    except (ValueError, errors.InvalidArgumentError):
        raise errors.InvalidArgumentError(
            f"{name} must be previous, first or a logged step. Received: {name}={_brief(values)}"
        ) from None
    return step


def _texts(name: str, values: Sequence[str]) -> list[str]:
    return [_text(name, [value]) for value in values]


_ARGUMENTS: dict[str, Callable[[str, Sequence[str]], Any]] = {
    "run": _text,
    "tag": _text,
    "set": _text,
    "input": _text,
    "revision": _text,
    "step": _integers,
    "examples": _examples,
    "columns": _examples,
    "figure": _texts,
    "size": _size,
    "channels": _choice("sum", "max", "all"),
    "dtype": _choice("uint8", "float32"),
    "v": _time,
    "measure": _choice(*drifts.MEASURES),
    "against": _reference,
    "other": _text,
}


def parse(
    arguments: MultiDict[str, str], required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the named query arguments, parsed; None for optional ones that are not there.

    Raises:
        tensorboard.errors.InvalidArgumentError: one is missing or not what it must be.
    """
    parsed: dict[str, Any] = {}
    for name in (*required, *optional):
        values = arguments.getlist(name)
        if values:
            parsed[name] = _ARGUMENTS[name](name, values)
        elif name in required:
            raise errors.InvalidArgumentError(f"{name} must be given. Received: no {name}")
        else:
            parsed[name] = None
    return parsed


def _brief(values: Sequence[str]) -> str:
    text = repr(values[0] if len(values) == 1 else list(values))
    return text if len(text) <= 200 else text[:200] + "…"


# --- what is logged -----------------------------------------------------------------------------


def index(log: Log) -> dict[str, Any]:
    """Return runs, their tags with steps and what they hold, and what was skipped and why."""
    log = log.snapshot()
    runs = []
    skipped = []
    for run, tags in log.versions().items():
        described = []
        for tag in tags:
            try:
                outline = log.outline(run, tag)
            except Exception as error:  # one tag that cannot be read must not hide the others
                skipped.append({"run": run, "tag": tag, "reason": f"It cannot be read: {error}"})
                continue
            skipped += [{"run": run, "tag": tag, "reason": why} for why in outline.reasons]
            if outline.last is not None:
                described.append(_describe(log, run, tag, outline, outline.last))
        if described:
            runs.append({"name": run, "tags": described})
    return {"version": summary.VERSION, "runs": runs, "skipped": skipped}


def _describe(
    log: Log, run: str, tag: str, outline: reader.Outline, last: summary.Record
) -> dict[str, Any]:
    meta, figures = last.meta, last.figures
    described: dict[str, Any] = {
        "name": tag,
        "kind": last.kind,
        "method": str(meta.get("method") or tag),
        "signed": meta.get("signed") is not False,
        "additive": meta.get("additive") is True,
        "score_name": str(meta.get("score_name") or ""),
        "probe": str(meta.get("probe") or ""),
        "inputs": _inputs(meta),
    }
    if last.kind == "attribution":
        worded = _worded(log, run, meta)
        for each in described["inputs"]:
            if each["name"] in worded:
                each["tokens"] = True
    if isinstance(meta.get("value_name"), str):
        described["value_name"] = meta["value_name"]
    if last.kind == "importance":
        described["metric"] = str(meta.get("metric") or "")
        described["features"] = _length(figures, "mean")
    elif last.kind == "health":
        described["layers"] = _length(figures, "weight_norm")
    else:
        described["examples"] = _length(figures, "output", "sum_abs", "sum")
    described["steps"] = outline.steps
    described["wall_times"] = [_finite(time) for time in outline.wall_times]
    described["epochs"] = [_finite(epoch) for epoch in outline.epochs]
    if isinstance(meta.get("seconds"), (int, float)):
        described["seconds"] = meta["seconds"]
    return described


def _inputs(meta: Mapping[str, Any]) -> list[dict[str, Any]]:
    inputs = meta.get("inputs")
    described = []
    for name, about in inputs.items() if isinstance(inputs, dict) else ():
        about = about if isinstance(about, dict) else {}  # noqa: PLW2901
        shape = about.get("shape")
        described.append(
            {
                "name": str(name),
                "shape": [int(side) for side in shape if isinstance(side, int)]
                if isinstance(shape, list)
                else [],
                "kind": _kind_of(meta, str(name)) or "other",
                **({"of": about["of"]} if isinstance(about.get("of"), str) else {}),
            }
        )
    return described


_worded_inputs: OrderedDict[str, frozenset[str]] = OrderedDict()
"""Inputs with words or tokens, by the hash of a probe set, which is that of its content."""


def _worded(log: Log, run: str, meta: Mapping[str, Any]) -> frozenset[str]:
    """Names of the explained inputs beside whose values words or tokens stand."""
    probe_hash, inputs = str(meta.get("probe") or ""), meta.get("inputs")
    kinds = [_kind_of(meta, str(name)) for name in inputs] if isinstance(inputs, dict) else []
    if not probe_hash or not {"sequence", "other"} & set(kinds):
        return frozenset()  # pictures and tables have none: their probe sets need not be opened
    known = _worded_inputs.get(probe_hash)
    if known is None:
        try:
            named = log.probe(run, probe_hash, inputs=()).meta.get("tokens")
        except LookupError:  # deleted or damaged, which may pass
            return frozenset()
        known = frozenset(named if isinstance(named, dict) else ())
        _worded_inputs[probe_hash] = known
        while len(_worded_inputs) > 10_000:
            _worded_inputs.popitem(last=False)
    return known


def _length(figures: Mapping[str, np.ndarray], *names: str) -> int:
    return next((len(figures[n]) for n in names if n in figures and figures[n].ndim), 0)


def _finite(value: Any, default: float = 0.0) -> float:
    """A number that JSON can hold."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return float(value)
    return float(default)


# --- maps ---------------------------------------------------------------------------------------


def attributions(
    log: Log,
    run: str,
    tag: str,
    steps: Sequence[int],
    examples: Sequence[int] | None = None,
    input: str | None = None,  # noqa: A002
    size: int | None = None,
    channels: str = "sum",
    dtype: str = "uint8",
) -> tuple[bytes, dict[str, Any]]:
    """Return the maps of some steps and examples as safetensors bytes, and the answer's JSON."""
    if channels == "all" and dtype != "float32":
        raise errors.InvalidArgumentError(
            f"dtype must be float32 when channels=all. Received: dtype={dtype}"
        )
    tensors: dict[str, np.ndarray] = {}
    missing: list[dict[str, Any]] = []
    budget = _Budget()
    shape: list[int] = []
    shown: list[int] = []
    signed = True
    wanted = list(examples) if examples is not None else None
    answered: list[int] = wanted or []
    most = 0
    logged = {each.record.step: each for each in log.stored(run, tag, steps)}
    for step in steps:
        record = logged[step].record
        if record.kind != "attribution":
            raise errors.InvalidArgumentError(
                f"tag must hold maps. Received: tag={tag!r} of kind {record.kind!r}"
            )
        try:
            with log.array_file(run, logged[step]) as file:
                name = _input_name(file.names, record.meta, input)
                n = file.shape(name)[0]
                most = max(most, n)
                if wanted is not None and max(wanted, default=-1) >= n:
                    raise Missing(f"Step {step} has {n} examples; {max(wanted)} was asked for.")
                count = n if wanted is None else len(wanted)
                kind = _kind_of(record.meta, name)
                budget.take(count, file.shape(name)[1:], kind, size, channels, dtype)
                signed = record.meta.get("signed") is not False and not name.endswith(".stderr")
                signed = signed and channels != "max"
                rows = range(n) if wanted is None else wanted
                part = max(1, _PART // max(1, math.prod(file.shape(name)[1:])))
                parts: list[tuple[np.ndarray, ...]] = []
                for at in range(0, max(1, count), part):
                    planes = _planes(file.array(name, rows[at : at + part]), kind)
                    maps = _fold(planes, channels)
                    if size is not None:
                        maps = _shrink(maps, size)
                    exact = dtype == "float32"
                    parts.append((maps,) if exact else _quantize(maps, signed))
                if wanted is None and n > len(answered):
                    answered = list(range(n))
        except Missing as error:
            missing.append({"step": step, "reason": str(error)})
            continue
        shape, input = list(parts[0][0].shape[1:]), name  # noqa: A001
        shown.append(step)
        for key, pieces in zip(("maps", "low", "high"), zip(*parts, strict=True), strict=False):
            tensors[f"{key}/{step}"] = np.concatenate(pieces)
    if wanted and most and max(wanted) >= most:
        raise errors.InvalidArgumentError(
            f"examples must be below {most}. Received: examples={max(wanted)}"
        )
    answer = {
        "run": run,
        "tag": tag,
        "input": input or "",
        "steps": shown,
        "examples": answered,
        "shape": shape,
        "signed": signed,
        "missing": missing,
        "wall_time": max((logged[step].record.wall_time for step in steps), default=0.0),
    }
    return _pack(tensors, answer), answer


@dataclasses.dataclass
class _Budget:
    """Stops an answer before it grows over the limit, and before the disk is read for it."""

    answer: int = 0
    source: int = 0

    def take(
        self,
        n: int,
        shape: Sequence[int],
        kind: str,
        size: int | None,
        channels: str,
        dtype: str,
    ) -> None:
        h, w, c = _plane_shape(shape, kind)
        block = math.ceil(max(h, w, 1) / size) if size else 1
        pixels = math.ceil(h / block) * math.ceil(w / block)
        width = 4 if dtype == "float32" else 1
        self.answer += n * pixels * width * (c if channels == "all" else 1)
        self.source += 2 * n * math.prod(shape)
        if self.answer > ANSWER_LIMIT or self.source > SOURCE_LIMIT:
            raise errors.InvalidArgumentError(
                f"An answer must not be larger than {ANSWER_LIMIT // 2**20} MB; ask for fewer "
                "steps, fewer examples or a smaller size. "
                f"Received: {n} examples of {h} x {w} and more"
            )


def _input_name(names: Sequence[str], meta: Mapping[str, Any], asked: str | None) -> str:
    if not names:
        raise Missing("Its maps were removed to save space; its figures are still there.")
    if asked is not None:
        if asked not in names:
            raise errors.InvalidArgumentError(
                f"input must be one of {sorted(names)}. Received: input={asked!r}"
            )
        return asked
    described = meta.get("inputs")
    for name in described if isinstance(described, dict) else ():
        if name in names:
            return str(name)
    for name in names:
        if not name.endswith(".stderr"):
            return name
    raise Missing("Its array file holds no maps.")


def _kind_of(meta: Mapping[str, Any], name: str) -> str:
    inputs = meta.get("inputs")
    about = inputs.get(name.removesuffix(".stderr")) if isinstance(inputs, dict) else None
    return str(about.get("kind") or "") if isinstance(about, dict) else ""


def _plane_shape(shape: Sequence[int], kind: str) -> tuple[int, int, int]:
    """How values of one example are laid out as h rows, w columns and c channels."""
    if len(shape) < 2:
        return 1, math.prod(shape), 1
    if len(shape) == 2:
        return (1, shape[0], shape[1]) if kind == "sequence" else (shape[0], shape[1], 1)
    return math.prod(shape[:-2]), shape[-2], shape[-1]


def _planes(values: np.ndarray, kind: str) -> np.ndarray:
    planes = np.asarray(values, np.float32)
    return planes.reshape(len(planes), *_plane_shape(planes.shape[1:], kind))


def _fold(planes: np.ndarray, channels: str) -> np.ndarray:
    if channels == "all":
        return planes
    if channels == "max":
        planes = np.abs(planes)
    if planes.shape[-1] == 1:
        return planes[..., 0]
    if planes.shape[-1] == 0:
        return np.zeros(planes.shape[:-1], np.float32)
    if channels == "max":
        largest: np.ndarray = planes.max(-1)
        return largest
    with np.errstate(over="ignore", invalid="ignore"):
        summed: np.ndarray = planes.sum(-1)
    return summed


def _shrink(maps: np.ndarray, size: int) -> np.ndarray:
    """Average over square blocks so that the longer side is at most `size`; NaN is left out."""
    h, w = maps.shape[1:3]
    block = math.ceil(max(h, w, 1) / size)
    if block == 1 or 0 in maps.shape:
        return maps
    finite = np.isfinite(maps)
    if finite.all():
        total = _summed(_summed(maps, block, 1), block, 2)
        lengths = [np.minimum(block, side - np.arange(0, side, block)) for side in (h, w)]
        count = np.outer(*lengths).reshape(1, *total.shape[1:3], *[1] * (maps.ndim - 3))
    else:
        total = _summed(_summed(np.where(finite, maps, 0), block, 1), block, 2)
        count = _summed(_summed(finite, block, 1), block, 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        shrunk: np.ndarray = (total / count).astype(np.float32)
    return shrunk


def _summed(values: np.ndarray, block: int, axis: int) -> np.ndarray:
    """Sums of so many neighbours along an axis, the last of what is left, in float64."""
    shape = list(values.shape)
    shape[axis] = math.ceil(shape[axis] / block)
    total = np.zeros(shape)
    for first in range(min(block, values.shape[axis])):
        part = values[(slice(None),) * axis + (slice(first, None, block),)]
        total[(slice(None),) * axis + (slice(part.shape[axis]),)] += part
    return total


def _quantize(maps: np.ndarray, signed: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bytes 0..254 over each map's own range; signed ranges are symmetric, 255 is not finite."""
    finite = np.isfinite(maps)
    whole = bool(finite.all())
    values = maps.astype(np.float64) if whole else np.where(finite, maps, 0).astype(np.float64)
    if whole:
        top, bottom = values.max((1, 2), initial=-math.inf), values.min((1, 2), initial=math.inf)
    else:
        top = values.max((1, 2), initial=-math.inf, where=finite)
        bottom = values.min((1, 2), initial=math.inf, where=finite)
    empty = ~np.isfinite(top)
    top[empty] = bottom[empty] = 0
    if signed:
        high = np.maximum(np.abs(top), np.abs(bottom))
        low = -high
    else:
        low, high = np.minimum(bottom, 0), np.maximum(top, 0)
    span = high - low
    scaled = (values - low[:, None, None]) / np.where(span > 0, span, 1)[:, None, None]
    if signed:
        scaled[span == 0] = 0.5
    quantized = np.rint(scaled * 254).astype(np.uint8)
    if not whole:
        quantized[~finite] = _ONE_BYTE_IS_NOT_FINITE
    return quantized, low.astype(np.float32), high.astype(np.float32)


# --- the examples -------------------------------------------------------------------------------


def probe(
    log: Log,
    run: str,
    set: str,  # noqa: A002
    examples: Sequence[int] | None = None,
    input: str | None = None,  # noqa: A002
    size: int | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """Return the explained examples as safetensors bytes, and the answer's JSON."""
    found = log.probe(run, set)
    names = list(found.inputs)
    if input is not None and input not in names:
        raise errors.InvalidArgumentError(
            f"input must be one of {sorted(names)}. Received: input={input!r}"
        )
    if not names:
        raise UnknownError(
            "set must hold examples; of the rows of an importance only names are kept. "
            f"Received: set={set!r} without any"
        )
    name = names[0] if input is None else input
    array = found.inputs[name]
    n = len(array) if array.ndim else 0
    outside = [i for i in examples or () if i >= n]
    if outside:
        raise errors.InvalidArgumentError(
            f"examples must be below {n}. Received: examples={outside[0]}"
        )
    asked = list(range(n)) if examples is None else list(examples)
    kind = _input_kind(array)
    tensors: dict[str, np.ndarray] = {}
    answer: dict[str, Any] = {
        "set": set,
        "input": name,
        "inputs": names,
        "kind": kind,
        "examples": asked,
        "example_names": _names(found.meta.get("example_names"), n, asked),
        "class_names": _names(found.meta.get("class_names")),
        "feature_names": _feature_names(found, name),
        "tokens": _tokens(found, name, n, asked),
        "low": 0.0,
        "high": 1.0,
    }
    if array.dtype.kind == "O":
        answer["texts"] = [np.asarray(array[i]).tolist() for i in asked]
    else:
        finite = array[np.isfinite(array)] if array.dtype.kind == "f" else array
        if finite.size:
            answer["low"], answer["high"] = float(finite.min()), float(finite.max())
        picked = array[asked]
        if kind == "image":
            tensors["picture"] = _picture(picked, answer["low"], answer["high"], size)
        else:
            tensors["values"] = np.ascontiguousarray(picked.astype(np.float32))
    if found.labels is not None and len(found.labels) == n:
        tensors.update(_labels(found.labels[asked]))
    written = len(json.dumps([answer.get("texts"), answer["tokens"]]))
    if written + sum(tensor.nbytes for tensor in tensors.values()) > ANSWER_LIMIT:
        raise errors.InvalidArgumentError(_too_large(len(asked)))
    return _pack(tensors, answer), answer


def _too_large(n: int) -> str:
    return (
        f"An answer must not be larger than {ANSWER_LIMIT // 2**20} MB; ask for fewer examples or "
        f"a smaller size. Received: {n} examples"
    )


def _input_kind(array: np.ndarray) -> str:
    """How an input is looked at; the same rule as the callbacks' for what they log."""
    if array.dtype.kind == "O":
        return "other"
    if array.ndim == 4:
        return "image"
    if array.ndim == 3:
        # A picture without a channel axis has sides of one order; a sequence has few features.
        sides = sorted(array.shape[1:])
        return "image" if sides[0] >= 8 and sides[1] <= 2 * sides[0] else "sequence"
    if array.ndim == 2:
        return "flat" if array.dtype.kind == "f" else "sequence"
    return "other"


def _picture(images: np.ndarray, low: float, high: float, size: int | None) -> np.ndarray:
    """Bytes (n, h, w, 1 or 3) over the range of the whole set."""
    values = images.astype(np.float32)
    values = values.reshape(*values.shape[:3], -1)
    if values.shape[-1] not in (1, 3):
        values = values.mean(-1, keepdims=True)
    if size is not None:
        values = _shrink(values, size)
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = (values - np.float32(low)) * np.float32(255 / (high - low) if high > low else 0)
    picture: np.ndarray = np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255)).astype(np.uint8)
    return picture


def _labels(labels: np.ndarray) -> dict[str, np.ndarray]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    one_hot = labels.ndim == 2 and labels.shape[1] > 1 and ((labels == 0) | (labels == 1)).all()
    if one_hot and (labels.sum(1) == 1).all():
        return {"labels": labels.argmax(1).astype(np.int32)}
    if labels.ndim == 1 and labels.dtype.kind in "iub":
        return {"labels": np.clip(labels, -(2**31), 2**31 - 1).astype(np.int32)}
    return {"label_values": np.ascontiguousarray(labels.astype(np.float32))}


def _names(
    names: Any, length: int | None = None, asked: Sequence[int] | None = None
) -> list[str] | None:
    if not isinstance(names, list) or (length is not None and len(names) != length):
        return None
    return [str(name) for name in (names if asked is None else [names[i] for i in asked])]


def _feature_names(found: summary.Probe, name: str) -> list[str] | None:
    named = found.meta.get("feature_names")
    return _names(named.get(name) if isinstance(named, dict) else named)


def _tokens(
    found: summary.Probe, name: str, n: int, asked: Sequence[int]
) -> list[list[str]] | None:
    """The words or tokens of each asked example, or None where there are none that fit."""
    named = found.meta.get("tokens")
    lines = named.get(name) if isinstance(named, dict) else None
    if not isinstance(lines, list) or len(lines) != n:
        return None
    if not all(isinstance(line, list) for line in lines):
        return None
    return [[str(token) for token in lines[i]] for i in asked]


# --- figures over steps -------------------------------------------------------------------------


def series(
    log: Log,
    run: str,
    tag: str,
    figures: Sequence[str] | None = None,
    columns: Sequence[int] | None = None,
    steps: Sequence[int] | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """Return a tag's figures over steps as safetensors bytes, and the answer's JSON."""
    log = log.snapshot()
    found = log.series(run, tag, steps)
    axes = ("steps", "wall_times", "epochs")
    if figures is not None:
        unknown = [name for name in figures if name not in found]
        if unknown:
            raise errors.InvalidArgumentError(
                f"figure must be one of {sorted(set(found) - {*axes})}. "
                f"Received: figure={unknown[0]!r}"
            )
        found = {name: found[name] for name in dict.fromkeys((*axes, *figures))}
    else:
        for large in ("prediction", "gradient_histogram", "grid", "grid_signed"):
            found.pop(large, None)
    last = log.record(run, tag, int(found["steps"][-1])) if len(found["steps"]) else None
    names = log.feature_names(run, tag)
    if last is not None and last.kind == "health":
        names = _names(last.meta.get("layers"), _length(last.figures, "weight_norm"))
    if columns is not None:
        width = max((array.shape[1] for array in found.values() if array.ndim > 1), default=0)
        if max(columns, default=-1) >= width:
            raise errors.InvalidArgumentError(
                f"columns must be below {width}. Received: columns={max(columns)}"
            )
        found = {
            name: array[:, [i for i in columns if i < array.shape[1]]] if array.ndim > 1 else array
            for name, array in found.items()
        }
    omitted = _omitted(found) if figures is None else {}
    found = {name: array for name, array in found.items() if name not in omitted}
    if sum(array.nbytes for array in found.values()) > ANSWER_LIMIT:
        raise errors.InvalidArgumentError(
            f"An answer must not be larger than {ANSWER_LIMIT // 2**20} MB; ask for single "
            f"figures or columns. Received: {len(found)} figures of {len(found['steps'])} steps"
        )
    answer: dict[str, Any] = {
        "run": run,
        "tag": tag,
        "kind": last.kind if last else "",
        "names": names if names is None or columns is None else _picked(names, columns),
        "columns": list(columns) if columns is not None else None,
        "metric": str(last.meta["metric"]) if last and last.meta.get("metric") else None,
        "missing": [{"step": step, "reason": why} for step, why in log.missing(run, tag, steps)],
    }
    if omitted:
        answer["omitted"] = omitted
    answer["reasons"], answer["unmeasured"] = _reasons(log.stored(run, tag, steps), found)
    if last is not None and isinstance(last.meta.get("masks"), dict):
        answer["masks"] = _masks(last.meta["masks"], columns)
    if last is not None and last.kind == "health":
        answer |= _health(log.records(run, tag, steps), columns)
    wire = {name: _for_the_wire(name, array) for name, array in found.items()}
    return _pack(wire, answer), answer


def _omitted(figures: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The largest figures with their bytes, where all are too many for one answer."""
    rest = sum(array.nbytes for array in figures.values())
    omitted = {}
    for name in sorted(figures, key=lambda name: (-figures[name].nbytes, name)):
        if rest <= ANSWER_LIMIT:
            break
        if figures[name].ndim > 1:
            omitted[name] = figures[name].nbytes
            rest -= omitted[name]
    return omitted


def _reasons(
    stored: Sequence[summary.Stored], figures: Mapping[str, np.ndarray]
) -> tuple[dict[str, str], dict[str, list[int]]]:
    """Why figures of quality are not there, by figure; and at which steps, of those that are."""
    reasons: dict[str, str] = {}
    steps: dict[str, list[int]] = {}
    for each in stored:
        said = each.record.meta.get("quality")
        for figure, reason in said.items() if isinstance(said, dict) else ():
            reasons[str(figure)] = str(reason)
            if figure in figures:
                steps.setdefault(str(figure), []).append(each.record.step)
    return reasons, steps


def _masks(masks: Mapping[str, Any], columns: Sequence[int] | None) -> dict[str, Any]:
    """Of each mask the share of an example that it covers, and whether it marks a suspect place."""
    described = {}
    for name, about in masks.items():
        about = about if isinstance(about, dict) else {}  # noqa: PLW2901
        area = about.get("area")
        area = list(area) if isinstance(area, (list, tuple)) else []
        picked = area if columns is None else [area[i] for i in columns if i < len(area)]
        described[str(name)] = {"area": picked, "suspect": about.get("suspect") is True}
    return described


def _health(records: Sequence[summary.Record], columns: Sequence[int] | None) -> dict[str, Any]:
    """What a matrix of layers and steps shows beside its figures, of each step or of the last."""
    meta = records[-1].meta
    words = [_names(record.meta.get("states")) for record in records]
    return {
        "states": [
            row if row is None or columns is None else _picked(row, columns) for row in words
        ],
        "n": meta.get("n"),
        "dead_bound": meta.get("dead_bound"),
        "thresholds": meta.get("thresholds"),
        "histogram_edges": meta.get("histogram_edges"),
    }


def _picked(names: Sequence[str], columns: Sequence[int]) -> list[str]:
    return [names[i] for i in columns if i < len(names)]


def _for_the_wire(name: str, array: np.ndarray) -> np.ndarray:
    """Only dtypes that the page reads: I64 steps, F64 axes and scores, I32 and F32 figures."""
    if name in ("steps", "wall_times", "epochs") or array.ndim == 1:
        return array if array.dtype.kind in "iu" else array.astype(np.float64)
    if array.dtype.kind in "iub":
        figures: np.ndarray = np.clip(array, -(2**31), 2**31 - 1).astype(np.int32)
        return figures
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


# --- drift ---------------------------------------------------------------------------------------


class _Rows:
    """Drift that was computed before, by the records it is of: what was logged does not change."""

    def __init__(self) -> None:
        self._rows: OrderedDict[Any, tuple[np.ndarray, np.ndarray | None, str]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Any) -> tuple[np.ndarray, np.ndarray | None, str] | None:
        """Values, floor and words of a pair of records; None where they are not known."""
        with self._lock:
            if key in self._rows:
                self._rows.move_to_end(key)
            return self._rows.get(key)

    def put(self, key: Any, row: tuple[np.ndarray, np.ndarray | None, str]) -> None:
        """Remember them, and forget what was not asked for the longest."""
        with self._lock:
            self._size += self._weight(row) - self._weight(self._rows.get(key))
            self._rows[key] = row
            while self._size > DRIFT_ROWS:
                self._size -= self._weight(self._rows.popitem(last=False)[1])

    @staticmethod
    def _weight(row: tuple[np.ndarray, np.ndarray | None, str] | None) -> int:
        if row is None:
            return 0
        return 500 + row[0].nbytes + (0 if row[1] is None else row[1].nbytes)


class _Source:
    """The records of a tag as `drift` reads them: each once, and never more than one answer may."""

    def __init__(self, log: Log, run: str, tag: str, examples: Sequence[int] | None) -> None:
        self.stored = {each.record.step: each for each in log.stored(run, tag)}
        self._log, self._run, self._tag, self._examples = log, run, tag, examples
        self._kept: OrderedDict[int, drifts.Loaded] = OrderedDict()
        self.read = 0
        self.examples = 0

    def identity(self, step: int) -> tuple[Any, ...]:
        """What a record is known by; a step that is logged again is another one."""
        each = self.stored[step]
        return (step, each.record.wall_time, each.file)

    def deterministic(self) -> bool:
        """Whether the newest readable record has no standard errors."""
        for step in reversed(self.stored):
            record = self.stored[step].record
            try:
                if record.kind == "importance":
                    return "stderr" not in self._log.record(self._run, self._tag, step).figures
                with self._log.array_file(self._run, self.stored[step]) as file:
                    return not any(name.endswith(".stderr") for name in file.names)
            except Missing:
                continue
        return True

    def load(self, step: int) -> drifts.Loaded:
        """What a record says of the examples, or why it says nothing."""
        if step in self._kept:
            self._kept.move_to_end(step)
            return self._kept[step]
        record = self.stored[step].record
        try:
            loaded = drifts.load(self._record(record))
        except Missing as error:
            loaded = drifts.Loaded(record, None, None, str(error))
        self._kept[step] = loaded
        while len(self._kept) > 2:
            self._kept.popitem(last=False)
        return loaded

    def _record(self, record: summary.Record) -> summary.Record:
        if record.kind == "importance":
            self.examples = 1
            return self._log.record(self._run, self._tag, record.step)
        with self._log.array_file(self._run, self.stored[record.step]) as file:
            shapes = {name: file.shape(name) for name in file.names}
        n = max((shape[0] for shape in shapes.values()), default=0)
        self.examples = max(self.examples, n)
        asked = self._examples
        if asked is not None and max(asked, default=-1) >= n:
            raise Missing(f"Step {record.step} has {n} examples; {max(asked)} was asked for.")
        share = 1.0 if asked is None or not n else len(asked) / n
        size = int(2 * share * sum(math.prod(shape) for shape in shapes.values()))
        if size > SOURCE_LIMIT // 4:
            raise Missing(
                f"Step {record.step} alone is too large to be compared: ask for fewer examples."
            )
        self.read += size
        arrays = self._log.arrays(self._run, self._tag, record.step, asked)
        return dataclasses.replace(record, arrays=arrays)


def drift(
    log: Log,
    run: str,
    tag: str,
    measure: str,
    against: str | int | None = None,
    other: str | None = None,
    examples: Sequence[int] | None = None,
    rows: _Rows | None = None,
) -> tuple[bytes, dict[str, Any]]:
    """Return how far explanations moved, or agree with another tag's, and the answer's JSON.

    The newest steps come first; what takes longer than `DRIFT_SECONDS` is left to the next
    request, which finds in `rows` what this one computed.
    """
    started, rows = time.monotonic(), rows or _Rows()
    log = log.snapshot()
    own = _Source(log, run, tag, examples)
    theirs = own if other is None else _Source(log, run, other, examples)
    steps = list(own.stored)
    for source, name in ((own, tag), (theirs, other or tag)):
        kinds = {each.record.kind for each in source.stored.values()}
        if not kinds <= {"attribution", "importance"}:
            raise errors.InvalidArgumentError(
                f"tag must hold explanations. Received: tag={name!r} of kind {sorted(kinds)[0]!r}"
            )
    if isinstance(against, int) and against not in own.stored:
        raise UnknownError(f"against must be a step that tag {tag!r} logged. Received: {against}")
    pairs = [(step, _compared(steps, i, against, theirs, own)) for i, step in enumerate(steps)]
    deterministic = other is None and own.deterministic()
    found: dict[int, tuple[np.ndarray, np.ndarray | None, str]] = {}
    reasons: dict[int, str] = {}
    fresh = 0
    for step, reference in reversed(pairs):
        if reference is None:
            reasons[step] = (
                f"Tag {other!r} did not log step {step}."
                if other is not None
                else "Nothing was logged before this step."
            )
            continue
        same = None if examples is None else tuple(examples)
        key = (run, tag, other, measure, same, own.identity(step), theirs.identity(reference))
        known = rows.get(key)
        if known is None:
            late = time.monotonic() - started > DRIFT_SECONDS
            if fresh and (late or own.read + (theirs.read if other else 0) > SOURCE_LIMIT // 2):
                reasons[step] = "It is not computed yet: ask again."
                continue
            moved = _moved(measure, own.load(step), theirs.load(reference), other, deterministic)
            fresh += 1
            if isinstance(moved, str):
                reasons[step] = moved
                continue
            known = moved
            rows.put(key, known)
        found[step] = known
    if examples and not found and max(examples) >= own.examples > 0:
        raise errors.InvalidArgumentError(
            f"examples must be below {own.examples}. Received: examples={max(examples)}"
        )
    n = max((len(row[0]) for row in found.values()), default=0)
    value, floor = np.full((2, len(steps), n), np.nan, np.float32)
    for i, step in enumerate(steps):
        if step in found:
            value[i, : len(found[step][0])] = found[step][0]
            noise = found[step][1]
            if noise is not None:
                floor[i, : len(noise)] = noise
    tensors: dict[str, np.ndarray] = {
        "steps": np.array(steps, np.int64),
        "against": np.array([-1 if r is None else r for _, r in pairs], np.int64),
        "value": value,
        "mean": _row_means(value),
    }
    if other is None:
        tensors |= {"floor": floor, "floor_mean": _row_means(floor)}
    answer = {
        "run": run,
        "tag": tag,
        "measure": measure,
        "against": "previous" if against is None and other is None else against,
        "other": other,
        "deterministic": deterministic,
        "reasons": [reasons.get(step) for step in steps],
        "compared": next((row[2] for row in found.values() if row[2]), None),
        "complete": not any("not computed yet" in reason for reason in reasons.values()),
    }
    return _pack(tensors, answer), answer


def _compared(
    steps: Sequence[int], i: int, against: str | int | None, theirs: _Source, own: _Source
) -> int | None:
    """The step that the i-th one is compared with, None where there is none."""
    if theirs is not own:
        return steps[i] if steps[i] in theirs.stored else None
    if isinstance(against, int):
        return against
    if against == "first":
        return steps[0]
    return steps[i - 1] if i else None


def _moved(
    measure: str,
    now: drifts.Loaded,
    reference: drifts.Loaded,
    other: str | None,
    deterministic: bool,
) -> tuple[np.ndarray, np.ndarray | None, str] | str:
    """Values of one step, their noise floor and what was compared; or the reason why not."""
    compare, words = drifts.MEASURES[measure], ""
    picture = all(_is_picture(loaded) for loaded in (now, reference))
    if measure == "ssim" and now.values is not None and not picture:
        return "SSIM compares pictures of at least 3 x 3, and this tag holds none."
    try:
        if other is None:
            row = drifts.compare(compare, reference, now)
        else:
            row, words = drifts.agreement(compare, reference, now)
        if row.reason:
            return row.reason
        values = row.values.astype(np.float32)
        if other is not None:
            return values, None, words
        if deterministic:  # it agrees with itself exactly, wherever the measure is defined
            return values, np.where(np.isfinite(values), np.float32(1), np.float32(np.nan)), words
        draws = 8 if now.values is not None and now.values.size <= 2**14 else 2
        return values, drifts.floor(compare, now, n_draws=draws).values.astype(np.float32), words
    except ValueError as error:
        return str(error)


def _is_picture(loaded: drifts.Loaded) -> bool:
    if loaded.values is None:
        return True  # has a reason of its own
    kinds = {_kind_of(loaded.record.meta, name) for name in loaded.record.arrays}
    shape = loaded.values.shape
    return kinds <= {"image", ""} and len(shape) in (3, 4) and min(shape[1:3]) >= 3


def _row_means(values: np.ndarray) -> np.ndarray:
    """Mean of each row over what is finite, NaN where nothing is."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0.0).sum(1, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: np.ndarray = total / finite.sum(1)
    return means


# --- findings -----------------------------------------------------------------------------------


def findings(log: Log, run: str) -> dict[str, Any]:
    """Return what a careful colleague would say of a run."""
    log = log.snapshot()
    from tb_xai import findings as rules

    if run not in log.versions():
        raise UnknownError(f"run must be one that was logged. Received: run={run!r}")
    return {"run": run, "findings": [dataclasses.asdict(each) for each in rules.find(log, run)]}


# --- answers ------------------------------------------------------------------------------------


def _pack(tensors: Mapping[str, np.ndarray], answer: Mapping[str, Any]) -> bytes:
    contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    return bytes(save(contiguous, {"answer": json.dumps(_clean(answer), allow_nan=False)}))


def _clean(value: Any) -> Any:
    """JSON without NaN, and without text that is no Unicode."""
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, np.generic):
        return _clean(value.item())
    if isinstance(value, np.ndarray):
        return _clean(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)


def _respond(
    request: wrappers.Request,
    body: bytes,
    content_type: str,
    *,
    status: int = 200,
    cache: str = "no-store",
    headers: Sequence[tuple[str, str]] = (),
) -> wrappers.Response:
    response = wrappers.Response(body, status=status, content_type=content_type)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = cache
    for name, value in headers:
        response.headers[name] = value
    textual = not content_type.startswith("application/octet-stream")
    if textual and len(body) > 1000:
        response.headers["Vary"] = "Accept-Encoding"
        if request.accept_encodings["gzip"] > 0:
            response.set_data(gzip.compress(body, 5, mtime=0))
            response.headers["Content-Encoding"] = "gzip"
    if request.method == "HEAD":
        length = response.headers["Content-Length"]
        response.set_data(b"")
        response.headers["Content-Length"] = length
    return response


def _route(answer: Callable[[Any, wrappers.Request], wrappers.Response]) -> Callable[..., Any]:
    """A WSGI application of a method: GET and HEAD only, public errors as one sentence."""

    def route(self: Any, environ: Any, start_response: Any) -> Any:
        request = wrappers.Request(environ)
        if request.method not in ("GET", "HEAD"):
            response = _refuse(
                request, 405, f"The method must be GET. Received: {request.method[:20]}"
            )
            response.headers["Allow"] = "GET, HEAD"
            return response(environ, start_response)
        try:
            response = answer(self, request)
        except errors.PublicError as error:
            sentence = str(error).removeprefix("Invalid argument: ").removeprefix("Not found: ")
            response = _refuse(request, error.http_code, sentence)
        except (UnknownError, Missing) as error:
            response = _refuse(request, 404, str(error))
        return response(environ, start_response)

    route.__name__, route.__doc__ = answer.__name__, answer.__doc__
    return route


def _refuse(request: wrappers.Request, status: int, sentence: str) -> wrappers.Response:
    body = sentence.encode("utf-8", "replace")
    return _respond(request, body, "text/plain; charset=utf-8", status=status)


@dataclasses.dataclass(frozen=True)
class _Answer:
    """A JSON answer, as of `key`; made from the moment `began` on."""

    key: Any
    began: float
    body: bytes

    @functools.cached_property
    def revision(self) -> str:
        """Changes with the answer and only then."""
        return hashlib.sha256(self.body).hexdigest()[:16]


class _Answers:
    """The last JSON answers, each made by one of many who ask for it at once.

    An answer holds as long as its key does, and for whoever asked before it was begun.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(
        self, name: Hashable, key: Callable[[], Any], make: Callable[[], dict[str, Any]]
    ) -> _Answer:
        asked = time.monotonic()
        now = key()
        with self._lock:
            known = self._kept.get(name)
            if known is not None and known.key == now:
                self._kept.move_to_end(name)
                return known
            making = self._making.setdefault(name, threading.Lock())
        with making:
            known = self._kept.get(name)
            if known is not None and known.began >= asked:
                return known
            began = time.monotonic()
            try:
                now = key()
                text = json.dumps(_clean(make()), allow_nan=False, separators=(",", ":"))
                made = _Answer(now, began, text.encode())
                with self._lock:
                    self._kept[name] = made
                    self._kept.move_to_end(name)
                    if len(self._kept) > self._most:
                        self._making.pop(self._kept.popitem(last=False)[0], None)
                return made
            finally:
                if name not in self._kept:  # there is no such run
                    self._making.pop(name, None)


class Plugin(base_plugin.TBPlugin):  # type: ignore[misc]
    """Serves the page and its data; see `http_api.md`."""

    plugin_name = summary.PLUGIN_NAME

    def __init__(self, context: Any) -> None:
        """Keep what TensorBoard gives; nothing is read before it is asked for."""
        self._provider = context.data_provider
        flags = context.flags
        self._roots = reader.logdirs(
            getattr(flags, "logdir", None) or context.logdir, getattr(flags, "logdir_spec", None)
        )
        self._logs: OrderedDict[str, Log] = OrderedDict()
        self._indexes = _Answers(8)
        self._findings = _Answers(64)
        self._rows: dict[str, _Rows] = {}
        self._lock = threading.Lock()

    def get_plugin_apps(self) -> dict[str, Any]:
        """Return the routes."""
        return {
            "/index": self.index_route,
            "/attributions": self.attributions_route,
            "/probe": self.probe_route,
            "/series": self.series_route,
            "/drift": self.drift_route,
            "/findings": self.findings_route,
            "/static/index.js": self.static_route,
            "/static/*": self.static_route,
        }

    def is_active(self) -> bool:
        """Return False: TensorBoard sees by itself whether there is data of `data_plugin_names`."""
        return False

    def data_plugin_names(self) -> tuple[str, ...]:
        """Return whose data makes the tab appear."""
        return (summary.PLUGIN_NAME,)

    def frontend_metadata(self) -> Any:
        """Return the page's module and the tab's name."""
        return base_plugin.FrontendMetadata(
            es_module_path="/static/index.js", tab_name="Explanations"
        )

    def log(self, request: wrappers.Request) -> Log:
        """Return the log of a request's experiment; what was read stays cached in it."""
        experiment = plugin_util.experiment_id(request.environ)
        with self._lock:
            log = self._logs.get(experiment)
            if log is None:
                log = Log(self._provider, self._roots, experiment=experiment)
                self._logs[experiment] = log
                while len(self._logs) > 8:
                    gone = self._logs.popitem(last=False)[0]
                    self._rows.pop(gone, None)
            return log

    @_route
    def index_route(self, request: wrappers.Request) -> wrappers.Response:
        """`GET ./index`."""
        asked = parse(request.args, [], ["revision"])
        log = self.log(request)
        experiment = plugin_util.experiment_id(request.environ)
        known = self._indexes.get(experiment, log.versions, lambda: index(log))
        body = b'{"revision":"%s",' % known.revision.encode() + known.body[1:]
        if asked["revision"] == known.revision:
            unchanged = {
                "version": summary.VERSION,
                "revision": known.revision,
                "unchanged": True,
            }
            body = json.dumps(unchanged).encode()
        return _respond(request, body, "application/json")

    @_route
    def attributions_route(self, request: wrappers.Request) -> wrappers.Response:
        """`GET ./attributions`."""
        optional = ["examples", "input", "size", "channels", "dtype", "v"]
        asked = parse(request.args, ["run", "tag", "step"], optional)
        log = self.log(request)
        body, answer = attributions(
            log,
            asked["run"],
            asked["tag"],
            asked["step"],
            asked["examples"],
            asked["input"],
            asked["size"],
            asked["channels"] or "sum",
            asked["dtype"] or "uint8",
        )
        settled = asked["v"] == answer["wall_time"] and not answer["missing"]
        return _respond(
            request, body, "application/octet-stream", cache=_YEAR if settled else "no-store"
        )

    @_route
    def probe_route(self, request: wrappers.Request) -> wrappers.Response:
        """`GET ./probe`."""
        asked = parse(request.args, ["run", "set"], ["examples", "input", "size"])
        body, _ = probe(self.log(request), **asked)
        return _respond(request, body, "application/octet-stream", cache=_YEAR)

    @_route
    def series_route(self, request: wrappers.Request) -> wrappers.Response:
        """`GET ./series`."""
        asked = parse(request.args, ["run", "tag"], ["figure", "columns", "step"])
        body, _ = series(
            self.log(request),
            asked["run"],
            asked["tag"],
            asked["figure"],
            asked["columns"],
            asked["step"],
        )
        return _respond(request, body, "application/octet-stream")

    @_route
    def drift_route(self, request: wrappers.Request) -> wrappers.Response:
        """`GET ./drift`."""
        asked = parse(request.args, ["run", "tag", "measure"], ["against", "other", "examples"])
        log = self.log(request)
        with self._lock:
            rows = self._rows.setdefault(plugin_util.experiment_id(request.environ), _Rows())
        body, _ = drift(log, **asked, rows=rows)
        return _respond(request, body, "application/octet-stream")

    @_route
    def findings_route(self, request: wrappers.Request) -> wrappers.Response:
        """`GET ./findings`."""
        asked = parse(request.args, ["run"])
        log = self.log(request)
        run = asked["run"]
        known = self._findings.get(
            (plugin_util.experiment_id(request.environ), run),
            lambda: log.versions().get(run),
            lambda: findings(log, run),
        )
        return _respond(request, known.body, "application/json")

    @_route
    def static_route(self, request: wrappers.Request) -> wrappers.Response:
        """`GET ./static/<file>`."""
        name = request.path.rsplit("/static/", 1)[-1]
        try:
            if name not in STATIC_FILES:
                raise FileNotFoundError(name)
            body = (STATIC / name).read_bytes()
        except OSError:
            if name == "index.js":
                script = "export function render() { document.body.textContent = %s; }"
                script %= json.dumps(_NOT_BUILT)
                return _respond(request, script.encode(), SCRIPT)
            raise errors.NotFoundError(
                f"The file must be one of {', '.join(STATIC_FILES)}. Received: {_brief([name])}"
            ) from None
        etag = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
        headers = [("ETag", etag)]
        if request.if_none_match.contains(etag.strip('"')):
            return _respond(request, b"", SCRIPT, status=304, cache="no-cache", headers=headers)
        return _respond(request, body, SCRIPT, cache="no-cache", headers=headers)
