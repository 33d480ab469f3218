"""The disk contract: how explanations are stored in a log directory, and nothing else.

A log directory `D` gets one run of its own, `D/xai/`:

- `D/xai/events.out.tfevents.*` is the index: one summary event per (tag, step). Its tensor is a
  string that holds safetensors bytes: the record's figures, and in `__metadata__.record` JSON
  `{version, kind, epoch, file, meta}`.
- `D/xai/plugins/xai/<slug>-<sha1>-<step>-<nonce>.safetensors` holds what is larger, one file per
  (tag, step): the arrays, signed, at their own resolution, as float16 with one float32 scale per
  example (`<name>.scale`). `__metadata__.xai` repeats version, tag, step and nonce, so that a
  swapped file is noticed.
- `D/xai/plugins/xai/probe-<hash>.safetensors` holds one set of explained examples, named by its
  content.

An array file is written under a temporary name, synced, renamed, and only then named by an event,
which is flushed and synced in its turn: a process that dies leaves a whole step or none. Needs no
deep-learning framework.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from safetensors.numpy import save
from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

VERSION = 1
PLUGIN_NAME = "xai"
RUN_NAME = "xai"  # our own run: two live event files in one run stop TensorBoard's Python loader
EVENT_LIMIT = 16 * 1024  # bytes; TensorBoard keeps every event in memory
ARRAY_FOLDER = ("plugins", "xai")

_HEADER_LIMIT = 4 * 1024 * 1024
_DTYPES = {
    name: np.dtype(code)
    for name, code in {
        "F64": "<f8",
        "F32": "<f4",
        "F16": "<f2",
        "I64": "<i8",
        "I32": "<i4",
        "I16": "<i2",
        "I8": "|i1",
        "U64": "<u8",
        "U32": "<u4",
        "U16": "<u2",
        "U8": "|u1",
        "BOOL": "|b1",
    }.items()
}
_FILE_NAME = re.compile(r"[A-Za-z0-9_-]{1,120}\.safetensors")
_ARRAYS_OF = re.compile(r"[A-Za-z0-9_-]*-([0-9a-f]{8})-(-?\d{1,19})-[0-9a-f]{8}\.safetensors")
_OUTLINE = re.compile(
    rb'\{"__metadata__":\{"record":"\{\\"version\\":%d,\\"kind\\":\\"([a-z_]+)\\",'
    rb'\\"epoch\\":(-?[0-9]+(?:\.[0-9]+)?),' % VERSION
)
_PROBE_HASH = re.compile(r"[0-9a-f]{16}")


class DamagedError(ValueError):
    """Bytes that are not what this format promises; the message is one sentence."""


class NewerError(ValueError):
    """Bytes that a newer version of the format wrote; the message names both versions."""


@dataclass(frozen=True, eq=False)
class Record:
    """What one explanation says at one step.

    Args:
        tag: name of the series, as the user gave it; any text that is not empty.
        step: position on the step axis (finished epochs, or finished batches).
        wall_time: seconds since 1970.
        kind: `"attribution"` (a value per input element and example) or `"importance"` (a value per
            feature).
        meta: JSON: method, params, target, probe, signed, score_name and whatever else describes
            the step.
        figures: small arrays: one number per example or per feature.
        arrays: large arrays, examples first: `{input name: (n, ...) signed float32}`. Read lazily
            by `tb_xai.reader`.
    """

    tag: str
    step: int
    wall_time: float
    kind: str
    meta: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, np.ndarray] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Probe:
    """The fixed examples that a series explains.

    Args:
        inputs: `{input name: (n, ...)}`; numbers, or text for string inputs.
        labels: `(n,)` classes or values, `(n, k)` one-hot, or None.
        meta: JSON: `example_names`, `class_names`, `feature_names` ({input name: [...]}), or None
            for each.
    """

    inputs: Mapping[str, np.ndarray]
    labels: np.ndarray | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits of the content: equal probes have equal names, in every process."""
        digest = hashlib.sha256()
        tensors, text = _probe_parts(self)
        for name in sorted(tensors):
            array = tensors[name]
            digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
            digest.update(array.tobytes())
        digest.update(text.encode())
        return digest.hexdigest()[:16]


# --- encode -------------------------------------------------------------------------------------


def encode(record: Record, *, dtype: str = "float16") -> tuple[bytes, bytes | None]:
    """Turn a record into the bytes of its event and of its array file.

    Equal records give equal bytes. With `dtype="float16"` a float array with examples first, `(n,
    ...)`, is divided by its example's scale `s = max |x|` (finite values; 1 when all are zero)
    before it is rounded, so that maps of magnitude 1e-9 or 1e30 keep their digits. For every finite
    x the decoded value differs by at most `|x| / 2000 + s / 2**24`; NaN and infinities stay what
    they are.

    Args:
        record: what to store.
        dtype: `"float16"` (default) or `"float32"` (exact, twice the size) for the arrays.

    Returns:
        `(event, file)`: a serialized TensorBoard `Event`, and the array file's bytes or None when
        all figures fit into the event (16 KB) and there are no arrays.

    Raises:
        ValueError: an empty tag, an unknown dtype, an array of objects, names that collide, meta
            that is not JSON.

    Example:
        >>> import numpy as np
        >>> maps = {"x": np.eye(4, dtype="float32")[None]}
        >>> record = Record("saliency", 3, 0.0, "attribution", arrays=maps)
        >>> decode(*encode(record)).arrays["x"][0, 1]
        array([0., 1., 0., 0.], dtype=float32)
    """
    event, _, file = _encode(record, dtype)
    return event, file


def _encode(record: Record, dtype: str) -> tuple[bytes, str | None, bytes | None]:
    if dtype not in ("float16", "float32"):
        raise ValueError(f"dtype must be 'float16' or 'float32'. Received: dtype={dtype!r}")
    if not isinstance(record.tag, str) or not record.tag or not _is_utf8(record.tag):
        raise ValueError(f"tag must be text that is not empty. Received: tag={record.tag!r}")
    step = int(record.step)
    figures = {name: _plain(name, value) for name, value in record.figures.items()}
    tensors: dict[str, np.ndarray] = {}
    scaled = []
    for name, value in record.arrays.items():
        array = _plain(name, value)
        if array.dtype.kind == "f" and array.ndim > 1 and dtype == "float16":
            array, scale = _to_float16(array)
            _add(tensors, name + ".scale", scale)
            scaled.append(name)
        elif array.dtype.kind == "f":
            array = _to_float32(array)
        _add(tensors, name, array)

    def pack(file_name: str | None, inline: Mapping[str, np.ndarray]) -> bytes:
        # The order matters: `outline` reads the first three without parsing the rest.
        described = {
            "version": VERSION,
            "kind": record.kind,
            "epoch": record.meta.get("epoch", step),
            "file": file_name,
            "meta": record.meta,
        }
        return _event(record, step, save(dict(inline), {"record": _json(described)}))

    overflow: list[str] = []
    file_name = _array_file_name(record.tag, step, "0" * 8) if tensors else None
    event = pack(file_name, figures)
    if len(event) > EVENT_LIMIT and figures:
        overflow = sorted(figures)
        for name in overflow:
            _add(tensors, "figures/" + name, figures[name])
        figures = {}
    if not tensors:
        return event, None, None
    nonce = _nonce(tensors)
    file_name = _array_file_name(record.tag, step, nonce)
    about = {
        "version": VERSION,
        "tag": record.tag,
        "step": step,
        "nonce": nonce,
        "scaled": sorted(scaled),
        "figures": overflow,
    }
    return pack(file_name, figures), file_name, save(tensors, {"xai": _json(about)})


def _event(record: Record, step: int, payload: bytes) -> bytes:
    event = event_pb2.Event(wall_time=float(record.wall_time), step=step)
    value = event.summary.value.add(tag=record.tag)
    # TensorBoard keeps the metadata of a tag's first event only: what may change stands in the
    # payload.
    value.metadata.plugin_data.plugin_name = PLUGIN_NAME
    value.metadata.plugin_data.content = _json({"version": VERSION, "kind": record.kind}).encode()
    value.metadata.data_class = summary_pb2.DATA_CLASS_TENSOR
    value.tensor.dtype = types_pb2.DT_STRING
    value.tensor.tensor_shape.SetInParent()
    value.tensor.string_val.append(payload)
    return bytes(event.SerializeToString(deterministic=True))


def _array_file_name(tag: str, step: int, nonce: str) -> str:
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", tag)[:40]
    # A file whose name contains "tfevents" would be read as an event file, and its folder as a run.
    slug = re.sub("tfevents", "tf-events", slug, flags=re.IGNORECASE)
    return f"{slug}-{_digest(tag)}-{step}-{nonce}.safetensors"


def _digest(tag: str) -> str:
    return hashlib.sha1(tag.encode(), usedforsecurity=False).hexdigest()[:8]


def _nonce(tensors: Mapping[str, np.ndarray]) -> str:
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(f"{name}\0{tensors[name].shape}\0".encode(), crc)
        crc = zlib.crc32(tensors[name].reshape(-1).view(np.uint8).data, crc)
    return f"{crc:08x}"


def _add(tensors: dict[str, np.ndarray], name: str, array: np.ndarray) -> None:
    if not isinstance(name, str) or name in tensors or name == "__metadata__" or not _is_utf8(name):
        raise ValueError(
            "names of arrays must be distinct texts, also once '.scale' is appended. "
            f"Received: {name!r} beside {sorted(tensors)}"
        )
    tensors[name] = array


def _plain(name: str, value: Any) -> np.ndarray:
    """A contiguous little-endian array of a dtype that safetensors knows."""
    array = np.asarray(value)
    if array.dtype.kind == "V" or array.dtype.str[1:] in ("f12", "f16"):
        array = array.astype(np.float32)  # bfloat16, long double
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype not in _DTYPES.values():
        raise ValueError(
            f"figures and arrays must hold numbers. Received: {name!r} of dtype {array.dtype}"
        )
    return np.ascontiguousarray(array).reshape(array.shape)


def _to_float32(array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(np.float32, copy=False)


def _to_float16(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    array = _to_float32(array)
    rounded = np.empty(array.shape, "<f2")
    scale = np.ones(len(array), "<f4")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for i, one in enumerate(array):
            top = np.abs(one).max(initial=0.0)
            if not np.isfinite(top):
                top = np.abs(one[np.isfinite(one)]).max(initial=0.0)
            if top > 0:
                scale[i] = top
            rounded[i] = one / scale[i]
    return rounded, scale


def _json(value: Any) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), default=_json_default)
    except (TypeError, ValueError) as error:
        raise ValueError(f"meta must be JSON. Received: {value!r} ({error})") from error


def _json_default(value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _probe_parts(probe: Probe) -> tuple[dict[str, np.ndarray], str]:
    tensors: dict[str, np.ndarray] = {}
    texts = {}
    for name, value in probe.inputs.items():
        array = np.asarray(value)
        if array.dtype.kind in "OSU":
            texts[name] = {"shape": array.shape, "values": [_text(v) for v in array.reshape(-1)]}
        else:
            _add(tensors, "inputs/" + name, _plain(name, array))
    if probe.labels is not None:
        _add(tensors, "labels", _plain("labels", probe.labels))
    return tensors, _json({"version": VERSION, "meta": probe.meta, "texts": texts})


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


# --- decode -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Stored:
    """A record as its event of `size` bytes tells it; the rest lies in the array file, if any."""

    record: Record
    file: str | None
    size: int


def decode(event: bytes, file: bytes | None = None) -> Record:
    """Turn the bytes of an event, and of its array file, back into a record.

    Args:
        event: a serialized TensorBoard `Event`.
        file: the bytes of the array file; None leaves the record's arrays empty.

    Returns:
        The record; arrays as float32.

    Raises:
        DamagedError: the bytes are not a record, or the file belongs to another tag or step.
        NewerError: a newer version wrote them.
    """
    try:
        message = event_pb2.Event.FromString(event)
    except Exception as error:
        raise DamagedError(f"an event must be a TensorBoard event. Received: {error}") from error
    for value in message.summary.value:
        if value.metadata.plugin_data.plugin_name == PLUGIN_NAME:
            payload = value.tensor.string_val[0] if value.tensor.string_val else b""
            stored = decode_payload(
                payload, tag=value.tag, step=message.step, wall_time=message.wall_time
            )
            break
    else:
        raise DamagedError(
            f"an event must hold a summary of plugin {PLUGIN_NAME!r}. Received: none"
        )
    record = stored.record
    if file is None or stored.file is None:
        return record
    opened = ArrayFile(lambda start, length: file[start : start + length], len(file))
    opened.expect(record.tag, record.step, stored.file)
    return Record(
        record.tag,
        record.step,
        record.wall_time,
        record.kind,
        record.meta,
        {**record.figures, **opened.figures()},
        {name: opened.array(name) for name in opened.names},
    )


def outline(payload: bytes) -> tuple[str, float] | None:
    """Return `(kind, epochs finished)` of a record from the first bytes of its event's tensor.

    Listing what is logged needs no more, and decoding a record takes twenty times as long. None
    when the bytes start otherwise than this version writes them: then `decode_payload` decides.
    """
    found = _OUTLINE.match(payload, 8)
    return (found[1].decode(), float(found[2])) if found else None


def decode_payload(payload: bytes, *, tag: str, step: int, wall_time: float) -> Stored:
    """Decode the string tensor of one event; raises `DamagedError` or `NewerError`."""
    opened = _Safetensors(lambda start, length: payload[start : start + length], len(payload))
    about = opened.json("record")
    meta, file, kind = about.get("meta"), about.get("file"), about.get("kind")
    if not isinstance(meta, dict) or not isinstance(kind, str):
        raise DamagedError(f"a record must have a kind and meta. Received: {about!r:.200}")
    if file is not None and not is_array_file_name(file):
        raise DamagedError(f"a record must name a plain array file. Received: file={file!r:.200}")
    figures = {name: opened.read(name) for name in opened.tensors}
    record = Record(tag, int(step), float(wall_time), kind, meta, figures, {})
    return Stored(record, file, len(payload))


def is_array_file_name(name: Any) -> bool:
    """Whether a pointer is a plain file name of ours: no folders, nothing hidden."""
    return isinstance(name, str) and _FILE_NAME.fullmatch(name) is not None


def probe_file_name(probe_hash: str) -> str | None:
    """The file name of a probe set, or None when this cannot be one's hash."""
    return f"probe-{probe_hash}.safetensors" if _PROBE_HASH.fullmatch(probe_hash) else None


def encode_probe(probe: Probe) -> bytes:
    """The bytes of a probe set's file."""
    tensors, text = _probe_parts(probe)
    return bytes(save(tensors, {"probe": text}))


def decode_probe(
    read: Callable[[int, int], bytes],
    size: int,
    examples: Sequence[int] | None = None,
    inputs: Sequence[str] | None = None,
) -> Probe:
    """Decode a probe set's file, reading only the asked examples and inputs (None: all).

    Labels and names are always whole. Raises `DamagedError` or `NewerError`.
    """
    opened = _Safetensors(read, size)
    about = opened.json("probe")
    meta, texts = about.get("meta"), about.get("texts")
    if not isinstance(meta, dict) or not isinstance(texts, dict):
        raise DamagedError("a probe set must have meta and texts. Received: neither")
    arrays = {}
    for name in opened.tensors:
        key = name.removeprefix("inputs/")
        if key != name and (inputs is None or key in inputs):
            arrays[key] = opened.read(name, examples)
    try:
        for name, text in texts.items():
            if inputs is None or name in inputs:
                array = np.array(text["values"], object).reshape(text["shape"])
                arrays[name] = array if examples is None else array[list(examples)]
    except (TypeError, KeyError, ValueError, IndexError) as error:
        raise DamagedError(f"texts of a probe set must have shape and values ({error})") from error
    labels = opened.read("labels") if "labels" in opened.tensors else None
    return Probe(arrays, labels, meta)


class _Tensor(NamedTuple):
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int


class _Safetensors:
    """Safetensors bytes behind `read(offset, length)`.

    The library maps files into memory, where a file that is cut while it is read kills the process;
    this one reads the header, checks it against the size, and then reads exactly the rows that are
    asked for.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        prefix = read(0, 8)
        length = int.from_bytes(prefix, "little")
        if len(prefix) < 8 or length > min(size - 8, _HEADER_LIMIT):
            raise DamagedError(f"a safetensors file must be whole. Received: {size} bytes")
        try:
            header = json.loads(read(8, length))
            if not isinstance(header, dict):
                raise ValueError("the header is not an object")
            self._metadata = header.pop("__metadata__", {})
            self.tensors = {
                str(name): _tensor(entry, 8 + length, size) for name, entry in header.items()
            }
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DamagedError(f"a safetensors header must be readable ({error!s:.200})") from error

    def json(self, key: str) -> dict[str, Any]:
        """The JSON object in one metadata entry, of a version that can be read."""
        try:
            value = json.loads(self._metadata[key])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DamagedError(
                f"safetensors metadata must hold {key!r} ({error!s:.200})"
            ) from error
        version = value.get("version") if isinstance(value, dict) else None
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            raise DamagedError(f"version must be a positive integer. Received: {version!r:.200}")
        if version > VERSION:
            raise NewerError(
                f"written by version {version} of the format; this tb_xai reads up to {VERSION}"
            )
        return dict(value)

    def read(self, name: str, examples: Sequence[int] | None = None) -> np.ndarray:
        """One tensor, or only some of its first axis' rows."""
        tensor = self.tensors[name]
        if examples is None:
            return self._rows(tensor, tensor.start, tensor.stop, tensor.shape)
        n, row_shape = tensor.shape[0] if tensor.shape else 0, tensor.shape[1:]
        outside = [i for i in examples if not 0 <= i < n]
        if outside:
            raise DamagedError(f"example must be below {n}. Received: {outside[0]}")
        row = (tensor.stop - tensor.start) // n if n else 0
        parts = []
        for first, count in _runs(examples):
            start = tensor.start + first * row
            parts.append(self._rows(tensor, start, start + count * row, (count, *row_shape)))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts or [np.empty((0, *row_shape), tensor.dtype)])

    def read_together(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Several tensors, in one piece where hardly anything else lies between them."""
        tensors = [self.tensors[name] for name in names]
        start = min((tensor.start for tensor in tensors), default=0)
        stop = max((tensor.stop for tensor in tensors), default=0)
        if stop - start > 2 * sum(tensor.stop - tensor.start for tensor in tensors):
            return {name: self.read(name) for name in names}
        data = self._bytes(start, stop)
        return {
            name: np.ndarray(tensor.shape, tensor.dtype, data, tensor.start - start)
            for name, tensor in zip(names, tensors, strict=True)
        }

    def _bytes(self, start: int, stop: int) -> bytes:
        data = self._read(start, stop - start)
        if len(data) != stop - start:
            raise DamagedError(
                f"a safetensors file must be whole. Received: {len(data)} of {stop - start} bytes"
            )
        return data

    def _rows(self, tensor: _Tensor, start: int, stop: int, shape: tuple[int, ...]) -> np.ndarray:
        rows: np.ndarray = np.ndarray(shape, tensor.dtype, self._bytes(start, stop))
        return rows


def _tensor(entry: Any, base: int, size: int) -> _Tensor:
    dtype = _DTYPES[entry["dtype"]]
    shape = tuple(entry["shape"])
    start, stop = entry["data_offsets"]
    for number in (*shape, start, stop):
        if type(number) is not int or not 0 <= number <= 2**40:
            raise ValueError(f"{number!r:.50} is not a natural number, or too large")
    if stop - start != math.prod(shape) * dtype.itemsize or base + stop > size:
        raise ValueError(f"offsets {start}..{stop} do not fit shape {shape} in {size} bytes")
    return _Tensor(dtype, shape, base + start, base + stop)


def _runs(examples: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Neighbours, to read in one piece, as `(first, count)`."""
    at = 0
    while at < len(examples):
        count = 1
        while at + count < len(examples) and examples[at + count] == examples[at] + count:
            count += 1
        yield examples[at], count
        at += count


class ArrayFile:
    """The arrays of one record, behind `read(offset, length)` on a local or remote file.

    Raises `DamagedError` or `NewerError` when the header is not what `encode` writes.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._file = _Safetensors(read, size)
        self._about = self._file.json("xai")
        scaled, overflow = self._about.get("scaled"), self._about.get("figures")
        if not isinstance(scaled, list) or not isinstance(overflow, list):
            raise DamagedError("an array file must list its scaled arrays. Received: none")
        self.pruned = self._about.get("pruned") is True
        self._scaled = {name for name in scaled if isinstance(name, str)}
        self._overflow = [name for name in overflow if isinstance(name, str)]
        hidden = {name + ".scale" for name in self._scaled}
        hidden |= {"figures/" + name for name in self._overflow}
        if not (self._scaled | hidden) <= set(self._file.tensors):
            raise DamagedError(
                "an array file must hold what it lists. Received: a file that does not"
            )
        for name in self._scaled:
            shape = self._file.tensors[name].shape
            if len(shape) < 2 or self._file.tensors[name + ".scale"].shape != shape[:1]:
                raise DamagedError(
                    f"a scale must fit its array. Received: {name!r} of shape {shape}"
                )
        self.names: list[str] = [name for name in self._file.tensors if name not in hidden]

    def expect(self, tag: str, step: int, file_name: str) -> None:
        """Raise `DamagedError` when this is not the file that the record of (tag, step) named."""
        about = self._about
        if about.get("tag") != tag or about.get("step") != step:
            raise DamagedError(
                f"the array file of tag {tag!r:.100}, step {step} belongs to "
                f"tag {about.get('tag')!r:.100}, step {about.get('step')!r:.40}"
            )
        if _array_file_name(tag, step, str(about.get("nonce"))) != file_name:
            raise DamagedError(f"the array file of step {step} was replaced by another one")

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one array, examples first."""
        return self._file.tensors[name].shape

    def array(self, name: str, examples: Sequence[int] | None = None) -> np.ndarray:
        """One array as it was logged (floats as float32), or only some of its examples."""
        values = self._file.read(name, examples)
        if name not in self._scaled:
            return values
        scale = self._file.read(name + ".scale", examples)
        with np.errstate(over="ignore", invalid="ignore"):
            restored = values.astype(np.float32)
            restored *= scale.astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
        return restored

    def figures(self) -> dict[str, np.ndarray]:
        """The figures that did not fit into the event."""
        found = self._file.read_together(["figures/" + name for name in self._overflow])
        return {name.removeprefix("figures/"): array for name, array in found.items()}

    def without_arrays(self) -> bytes | None:
        """The same file with its figures alone; None where it holds no figures."""
        if not self._overflow:
            return None
        tensors = {"figures/" + name: figure for name, figure in self.figures().items()}
        return bytes(save(tensors, {"xai": _json({**self._about, "scaled": [], "pruned": True})}))


# --- keep ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keep:
    """Which steps keep their maps: the first one, and whatever these say.

    Args:
        newest: how many of the last steps, at least 1; None for the last one alone.
        every: steps that are multiples of this, at least 1; None for none.

    Raises:
        ValueError: a number below 1, or neither was given, which would keep almost nothing.

    Example:
        >>> sorted(Keep(newest=2, every=4)(range(10)))
        [0, 4, 8, 9]
    """

    newest: int | None = None
    every: int | None = None

    def __post_init__(self) -> None:
        """Refuse what would delete everything."""
        for name in ("newest", "every"):
            value = getattr(self, name)
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, int) or value < 1
            ):
                raise ValueError(
                    f"{name} must be a whole number of at least 1. Received: {value!r}"
                )
        if self.newest is None and self.every is None:
            raise ValueError(
                "newest or every must be given: nothing else would keep the maps between the first "
                "and the last step. Received: neither"
            )

    def __call__(self, steps: Iterable[int]) -> set[int]:
        """Return those of the logged steps that are kept."""
        logged = sorted(set(steps))
        kept = {*logged[:1], *logged[-(self.newest or 1) :]}
        return kept | {step for step in logged if self.every and step % self.every == 0}


@dataclass(frozen=True)
class Pruned:
    """What pruning removed, or would remove: array files and their bytes."""

    files: int = 0
    bytes: int = 0

    def __add__(self, other: Pruned) -> Pruned:
        """Return both together."""
        return Pruned(self.files + other.files, self.bytes + other.bytes)


def prune(
    log_dir: str | os.PathLike[str],
    keep: Keep,
    *,
    tags: Iterable[str] | None = None,
    dry_run: bool = False,
) -> Pruned:
    """Remove the maps of steps that are not kept; their figures, and every curve, stay.

    The index is left as it is: a step without its maps is shown as such. Safe while a training
    writes into the directory.

    Args:
        log_dir: as the callbacks got it; its sub-directory `xai` is pruned.
        keep: which steps keep their maps.
        tags: tags to prune; None for all.
        dry_run: only count.

    Returns:
        What was removed.

    Raises:
        ValueError: there is no such directory.
        OSError: a file could not be removed.

    Example:
        >>> prune("logs/run1", Keep(newest=10, every=50))  # doctest: +SKIP
        Pruned(files=180, bytes=1156208640)
    """
    store, _ = _store(os.fspath(log_dir))
    return _prune(store, keep, None if tags is None else set(tags), dry_run=dry_run)


def _prune(
    store: _Disk | _Remote, keep: Keep, tags: set[str] | None, *, dry_run: bool = False
) -> Pruned:
    digests = None if tags is None else {_digest(tag) for tag in tags}
    sizes = store.arrays()
    files: dict[str, dict[str, int]] = {}
    for name in sizes:
        found = _ARRAYS_OF.fullmatch(name)
        if found and (digests is None or found[1] in digests):
            files.setdefault(found[1], {})[name] = int(found[2])
    removed = Pruned()
    for steps in files.values():
        kept = keep(steps.values())
        for name in (name for name, step in steps.items() if step not in kept):
            try:
                file = ArrayFile(partial(store.read, name), sizes[name])
                if file.pruned:
                    continue
                rest = file.without_arrays()
            except (FileNotFoundError, DamagedError, NewerError):
                continue  # not ours to judge
            if not dry_run:
                if rest is None:
                    store.remove(name)
                else:
                    store.put(name, rest)
            removed += Pruned(1, sizes[name] - len(rest or b""))
    return removed


# --- write --------------------------------------------------------------------------------------


class _Appendable(Protocol):
    def write(self, data: bytes) -> Any: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


class _Disk:
    """A run directory on a local file system."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._arrays = run.joinpath(*ARRAY_FOLDER)

    def make(self) -> None:
        self._arrays.mkdir(parents=True, exist_ok=True)
        for path in self._arrays.glob(".*.tmp"):
            if _is_left_over(path):
                path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise OSError unless files can be written here."""
        self.make()
        self.put("writable", b"")
        (self._arrays / "writable").unlink()

    def names(self) -> list[str]:
        return [path.name for path in self._run.iterdir()]

    def append(self, name: str) -> _Appendable:
        return (self._run / name).open("ab", buffering=0)

    def sync(self, file: Any) -> None:
        os.fsync(file.fileno())

    def has(self, name: str) -> bool:
        try:
            with (self._arrays / name).open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                _Safetensors(lambda start, length: _pread(file, start, length), size)
        except (OSError, DamagedError):
            return False
        return True

    def free(self) -> int | None:
        try:
            return shutil.disk_usage(self._run).free
        except OSError:
            return None

    def arrays(self) -> dict[str, int]:
        """Bytes of each array file."""
        found = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self._arrays) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    found[entry.name] = entry.stat(follow_symlinks=False).st_size
        return found

    def read(self, name: str, start: int, length: int) -> bytes:
        with (self._arrays / name).open("rb") as file:
            return _pread(file, start, length)

    def remove(self, name: str) -> None:
        (self._arrays / name).unlink(missing_ok=True)

    def put(self, name: str, data: bytes) -> None:
        temporary = self._arrays / f".{name}.{_host()}.{os.getpid()}.tmp"
        self._arrays.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._arrays / name)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


class _Remote:
    """A run directory behind fsspec; an object is whole or not there, so nothing is renamed."""

    def __init__(self, fs: Any, run: str) -> None:
        self._fs = fs
        self._run = run
        self._arrays = "/".join((run, *ARRAY_FOLDER))

    def make(self) -> None:
        self._fs.makedirs(self._arrays, exist_ok=True)

    def check(self) -> None:
        """Raise OSError unless objects can be written here."""
        self.make()
        self.put("writable", b"")
        self._fs.rm_file(f"{self._arrays}/writable")

    def names(self) -> list[str]:
        self._fs.invalidate_cache()
        return [path.rsplit("/", 1)[-1] for path in self._fs.ls(self._run, detail=False)]

    def append(self, name: str) -> _Appendable:
        return _RemoteObject(self._fs, f"{self._run}/{name}")

    def sync(self, file: Any) -> None:
        pass

    def has(self, name: str) -> bool:
        return bool(self._fs.exists(f"{self._arrays}/{name}"))

    def free(self) -> int | None:
        return None

    def arrays(self) -> dict[str, int]:
        """Bytes of each array file."""
        self._fs.invalidate_cache()
        try:
            listed = self._fs.ls(self._arrays, detail=True)
        except FileNotFoundError:
            return {}
        return {each["name"].rsplit("/", 1)[-1]: int(each.get("size") or 0) for each in listed}

    def read(self, name: str, start: int, length: int) -> bytes:
        end = start + length
        return bytes(self._fs.cat_file(f"{self._arrays}/{name}", start=start, end=end))

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(f"{self._arrays}/{name}")

    def put(self, name: str, data: bytes) -> None:
        self._fs.pipe_file(f"{self._arrays}/{name}", data)


class _RemoteObject:
    """An append-only object: the index is small, so it is kept and rewritten whole."""

    def __init__(self, fs: Any, path: str) -> None:
        self._fs = fs
        self._path = path
        self._data = bytearray()
        self._written = -1

    def write(self, data: bytes) -> None:
        self._data += data

    def flush(self) -> None:
        if self._written != len(self._data):
            self._fs.pipe_file(self._path, bytes(self._data))
            self._written = len(self._data)

    def close(self) -> None:
        self.flush()


def _pread(file: Any, start: int, length: int) -> bytes:
    file.seek(start)
    return bytes(file.read(length))


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _is_left_over(path: Path) -> bool:
    """Whether a temporary file's process is gone from this machine, or the file is an hour old."""
    host, pid = path.name.split(".")[-3:-1]
    if os.name == "posix" and host == _host() and pid.isdigit():
        try:
            os.kill(int(pid), 0)
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:
            return False
        return False
    try:
        return time.time() - path.stat().st_mtime > 3600
    except OSError:
        return False


class Writer:
    """Writes records and scalars into one log directory; made by `writer`, shared by all callers.

    Everything is written by the calling thread and is on disk when a method returns. An event file
    is only ever appended to by the process that made it and only while it is the newest one of its
    run, because TensorBoard's Python loader never comes back to an older file.
    """

    def __init__(self, store: _Disk | _Remote) -> None:
        self._store = store
        self._lock = threading.RLock()
        self._users = 0
        self._pid = 0
        self._name = ""
        self._file: _Appendable | None = None
        self._bytes: dict[str, int] = {}
        self._expected: dict[str, int] = {}

    def write(self, record: Record, *, dtype: str = "float16") -> None:
        """Store one record: array file first, then its event.

        Args:
            record: what to store; steps of one tag should ascend (see `tb_xai.reader` on restarts).
            dtype: `"float16"` (default) or `"float32"` for the arrays.

        Raises:
            ValueError: the record cannot be encoded, or the writer was closed.
            OSError: the disk refused; the next write starts a new event file.
        """
        event, name, file = _encode(record, dtype)
        with self._lock:
            self._ready()
            if name is not None and file is not None:
                self._store.put(name, file)
            self._append(event, sync=True)
            self._bytes[record.tag] = len(event) + len(file or b"")

    def write_probe(self, probe: Probe) -> str:
        """Store a probe set once; its hash belongs into `meta["probe"]` of what explains it."""
        name = probe_file_name(probe.hash)
        assert name is not None
        with self._lock:
            self._ready()
            if not self._store.has(name):
                self._store.put(name, encode_probe(probe))
        return probe.hash

    def scalars(
        self, values: Mapping[str, float], step: int, wall_time: float | None = None
    ) -> None:
        """Write one point of each curve, for the Scalars tab and all that reads scalars."""
        event = event_pb2.Event(
            wall_time=time.time() if wall_time is None else float(wall_time), step=int(step)
        )
        for tag, value in values.items():
            point = event.summary.value.add(tag=tag)
            point.metadata.plugin_data.plugin_name = "scalars"
            point.metadata.data_class = summary_pb2.DATA_CLASS_SCALAR
            point.tensor.dtype = types_pb2.DT_FLOAT
            point.tensor.tensor_shape.SetInParent()
            point.tensor.float_val.append(float(np.float32(value)))
        with self._lock:
            self._ready()
            self._append(event.SerializeToString(), sync=False)

    def bytes_of(self, tag: str) -> int:
        """Bytes of the last record of a tag that was written; 0 for none."""
        return self._bytes.get(tag, 0)

    def expected(self, tag: str | None = None, size: int = 0) -> int:
        """Bytes that all tags will still need, after noting what one of them will."""
        with self._lock:
            if tag is not None:
                self._expected[tag] = size
            return sum(self._expected.values())

    def free(self) -> int | None:
        """Free bytes of the disk; None where that cannot be known."""
        return self._store.free()

    def prune(self, tag: str, keep: Keep) -> Pruned:
        """Remove the maps of a tag's steps that `keep` does not keep; see `prune`."""
        with self._lock:
            return _prune(self._store, keep, {tag})

    def flush(self) -> None:
        """Ask the operating system to put everything written so far on the disk itself."""
        with self._lock:
            if self._file is not None and self._pid == os.getpid():
                self._file.flush()
                self._store.sync(self._file)

    def close(self) -> None:
        """Give the writer back; the last user's call closes the event file."""
        with _registry_lock:
            self._users = max(0, self._users - 1)
            if self._users == 0:
                for key in [key for key, value in _writers.items() if value is self]:
                    del _writers[key]
                self._shut()

    def _ready(self) -> None:
        if self._users == 0:
            raise ValueError("a writer must be open to write. Received: a write after close()")
        mine = self._file is not None and self._pid == os.getpid()
        # Listing a remote directory for each write would cost a request.
        if mine and (isinstance(self._store, _Remote) or _newest(self._listed()) == self._name):
            return
        # A first write, a fork, a deleted directory, or a second process that has started a newer
        # file.
        self._shut()
        self._store.make()
        self._name = _event_file_name(self._listed())
        self._pid = os.getpid()
        self._file = self._store.append(self._name)
        start = event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2")
        start.source_metadata.writer = "tb_xai.summary"
        self._append(start.SerializeToString(), sync=False)

    def _listed(self) -> list[str]:
        try:
            return self._store.names()
        except FileNotFoundError:
            return []

    def _append(self, event: bytes, *, sync: bool) -> None:
        assert self._file is not None
        try:
            RecordWriter(_Whole(self._file)).write(event)
            if sync:
                self._file.flush()  # a remote object is written whole: once a record, not a scalar
                self._store.sync(self._file)
        except BaseException:
            self._shut()  # what follows half a record cannot be read: start a new file
            raise

    def _shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


class _Whole:
    """RecordWriter calls `write` once per record and ignores how much of it was taken."""

    def __init__(self, file: _Appendable) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            taken = self._file.write(bytes(rest))
            rest = rest[len(rest) if taken is None else taken :]


def _newest(names: Sequence[str]) -> str:
    return max((name for name in names if "tfevents" in name), default="")


def _event_file_name(existing: Sequence[str]) -> str:
    """A name that sorts after every event file there is, also when the clock went back."""
    newest = _newest(existing)
    found = re.match(r"events\.out\.tfevents\.(\d{10})\.", newest)
    seconds = max(int(time.time()), int(found[1]) + 1 if found else 0)
    origin = f"{socket.gethostname()}.{os.getpid()}.{next(_counter)}"
    name = f"events.out.tfevents.{seconds:010d}.{origin}"
    return name if name > newest else newest + ".1"


_counter = itertools.count()
_writers: dict[str, Writer] = {}
_registry_lock = threading.RLock()


def writer(log_dir: str | os.PathLike[str]) -> Writer:
    """Return the one writer of a log directory in this process; match each call by a `close()`.

    Args:
        log_dir: where the training logs, a local path (`~` is expanded) or an fsspec URL (`gs://`,
            `s3://`, `memory://`). Records go to its sub-directory `xai`.

    Returns:
        The shared writer: equal directories, also through links, give the same object.

    Raises:
        TypeError: `log_dir` is not a path.
        ValueError: the directory cannot be written.

    Example:
        >>> import numpy as np, tempfile, time
        >>> w = writer(tempfile.mkdtemp())
        >>> maps = {"x": np.zeros((2, 8, 8))}
        >>> w.write(Record("saliency", 0, time.time(), "attribution", arrays=maps))
        >>> w.close()
    """
    if not isinstance(log_dir, (str, os.PathLike)) or not os.fspath(log_dir):
        raise TypeError(f"log_dir must be a path. Received: log_dir={log_dir!r}")
    path = os.fspath(log_dir)
    if not isinstance(path, str):
        raise TypeError(f"log_dir must be a path of text. Received: log_dir={log_dir!r}")
    try:
        store, key = _store(path)
        with _registry_lock:
            found = _writers.get(key)
            if found is None:
                store.check()
                found = _writers[key] = Writer(store)
            found._users += 1
            return found
    except (OSError, ImportError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"log_dir must be a directory that can be written. Received: log_dir={path!r} ({error})"
        ) from error


def _store(path: str) -> tuple[_Disk | _Remote, str]:
    """Where the records of a log directory lie, and a key that is equal for equal directories."""
    if "://" in path and not path.startswith("file://"):
        import fsspec

        fs, root = fsspec.core.url_to_fs(path)
        return _Remote(fs, root.rstrip("/") + "/" + RUN_NAME), path.rstrip("/")
    folder = Path(path.removeprefix("file://")).expanduser().resolve()
    return _Disk(folder / RUN_NAME), str(folder)


def _close_all() -> None:
    for each in list(_writers.values()):
        each._shut()


def _after_fork() -> None:
    # Another thread of the parent may have held a lock: the child starts with fresh ones.
    globals()["_registry_lock"] = threading.RLock()
    for each in _writers.values():
        each._lock = threading.RLock()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
