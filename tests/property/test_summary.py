"""Round trips of anything, and decoders against anything."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tb_xai import plugin, reader, summary
from tb_xai.reader import _stack
from tb_xai.summary import ArrayFile, DamagedError, NewerError, Probe, Record

quick = settings(
    deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)

DTYPES = st.sampled_from(
    ["float64", "float32", "float16", "int64", "int32", "int8", "uint8", "uint64", "bool", ">f4"]
)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
ARRAYS = hnp.arrays(DTYPES, SHAPES)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(
    lambda name: not name.endswith(".scale") and not name.startswith("figures/")
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.builds(
    Record,
    tag=NAMES,
    step=st.integers(-(2**63), 2**63 - 1),
    wall_time=st.floats(0, 1e11),
    kind=st.sampled_from(["attribution", "importance", "Something Else", ""]),
    meta=st.dictionaries(TEXT, JSON, max_size=4),
    figures=st.dictionaries(NAMES, ARRAYS, max_size=3),
    arrays=st.dictionaries(NAMES, ARRAYS, max_size=3),
)


def decode_bytes(data: bytes) -> Any:
    return summary.decode_payload(data, tag="t", step=0, wall_time=0.0)


def file_of(data: bytes) -> ArrayFile:
    return ArrayFile(lambda start, length: data[start : start + length], len(data))


@quick
@given(RECORDS)
def test_any_record_comes_back(record: Record) -> None:
    event, file = summary.encode(record, dtype="float32")
    assert (event, file) == summary.encode(record, dtype="float32")
    back = summary.decode(event, file)
    assert (back.tag, back.step, back.wall_time, back.kind) == (
        record.tag, record.step, record.wall_time, record.kind,
    )  # fmt: skip
    assert back.meta == record.meta
    assert set(back.figures) == set(record.figures)
    assert set(back.arrays) == set(record.arrays)
    for name, figure in record.figures.items():
        np.testing.assert_array_equal(back.figures[name], figure)
        assert back.figures[name].shape == figure.shape
    for name, array in record.arrays.items():
        with np.errstate(over="ignore"):
            expected = array.astype(np.float32) if array.dtype.kind == "f" else array
        np.testing.assert_array_equal(back.arrays[name], expected)
    if file is not None:
        assert set(record.arrays) <= set(safetensors.numpy.load(file))


@quick
@given(
    hnp.arrays("float32", hnp.array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=5)),
)
def test_float16_keeps_the_stated_bound_for_any_values(x: np.ndarray) -> None:
    record = Record("t", 0, 0.0, "attribution", {}, {}, {"x": x})
    back = summary.decode(*summary.encode(record)).arrays["x"]
    finite = np.isfinite(x)
    np.testing.assert_array_equal(back[~finite], x[~finite])
    exact = np.where(finite, x, 0).astype(np.float64)
    scale = np.abs(exact).max(axis=tuple(range(1, x.ndim)), keepdims=True)
    bound = np.abs(exact) / 2000 + scale / 2**24 + np.finfo(np.float32).smallest_subnormal
    error = np.abs(np.where(finite, back, 0).astype(np.float64) - exact)
    assert (error <= bound).all()


@quick
@given(RECORDS, st.data())
def test_some_examples_are_the_rows_of_all(record: Record, data: st.DataObject) -> None:
    _, file = summary.encode(record)
    if file is None:
        return
    opened = file_of(file)
    for name in opened.names:
        shape = opened.shape(name)
        if shape and shape[0]:
            examples = data.draw(st.lists(st.integers(0, shape[0] - 1), max_size=6))
            np.testing.assert_array_equal(
                opened.array(name, examples), opened.array(name)[examples]
            )


@quick
@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_damaged_and_nothing_else(data: bytes) -> None:
    for decoder in (summary.decode, decode_bytes, file_of):
        with pytest.raises((DamagedError, NewerError)):
            decoder(data)
    with pytest.raises((DamagedError, NewerError)):
        summary.decode_probe(lambda start, length: data[start : start + length], len(data))
    summary.outline(data)


WORDS = st.sampled_from(
    ["dtype", "shape", "data_offsets", "x", "x.scale", "inputs/x", "labels", "F32", "U8", "F16"]
)
HEADERS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
KEYS = ["version", "kind", "meta", "file", "tag", "step", "nonce", "scaled", "figures", "texts"]


@quick
@given(
    st.dictionaries(WORDS | st.just("figures/y"), HEADERS, max_size=4),
    st.dictionaries(st.sampled_from(KEYS), HEADERS, max_size=4),
    st.binary(max_size=64),
)
def test_hostile_headers_are_damaged_and_nothing_else(
    header: dict[str, Any], about: dict[str, Any], body: bytes
) -> None:
    about = {
        "version": 1,
        "kind": "k",
        "meta": {},
        "scaled": [],
        "figures": [],
        "texts": {},
        **about,
    }
    for key, decoder in {
        "record": decode_bytes,
        "xai": lambda data: [file_of(data).array(n) for n in file_of(data).names],
        "probe": lambda data: summary.decode_probe(lambda s, n: data[s : s + n], len(data)),
    }.items():
        text = json.dumps({"__metadata__": {key: json.dumps(about)}, **header}).encode()
        data = len(text).to_bytes(8, "little") + text + body
        with contextlib.suppress(DamagedError, NewerError):
            decoder(data)


@quick
@given(RECORDS, st.data())
def test_flipped_bytes_give_an_answer_or_damage(record: Record, data: st.DataObject) -> None:
    event, file = summary.encode(record)
    whole = bytearray(file if file is not None else event)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    for damaged in (bytes(whole), cut):
        with contextlib.suppress(DamagedError, NewerError):
            if file is not None:
                summary.decode(event, damaged)
            else:
                summary.decode(damaged)


FIGURES = hnp.arrays(
    st.sampled_from(["float32", "int32", "bool"]),
    hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3),
)


@quick
@given(st.lists(st.none() | FIGURES, min_size=1, max_size=5))
def test_stacks_hold_what_they_were_given(figures: list[np.ndarray | None]) -> None:
    if all(figure is None for figure in figures):
        return
    stacked = _stack(figures)
    assert stacked is not None
    assert len(stacked) == len(figures)
    for row, figure in zip(stacked, figures, strict=True):
        if figure is not None and figure.ndim == stacked.ndim - 1:
            np.testing.assert_array_equal(
                np.asarray(row)[tuple(slice(0, side) for side in figure.shape)], figure
            )


@quick
@given(NAMES, st.integers(-(2**63), 2**63 - 1))
def test_every_tag_and_step_has_a_plain_file_name(tag: str, step: int) -> None:
    name = summary._array_file_name(tag, step, "01234567")
    assert summary.is_array_file_name(name)
    assert "tfevents" not in name.lower()


@quick
@given(st.dictionaries(NAMES, ARRAYS, max_size=2), st.none() | ARRAYS)
def test_any_probe_comes_back(inputs: dict[str, np.ndarray], labels: np.ndarray | None) -> None:
    probe = Probe(inputs, labels, {"example_names": ["a"]})
    data = summary.encode_probe(probe)
    back = summary.decode_probe(lambda start, length: data[start : start + length], len(data))
    assert set(back.inputs) == set(inputs)
    assert back.hash == probe.hash
    for name, array in inputs.items():
        np.testing.assert_array_equal(back.inputs[name], array)


@quick
@given(
    hnp.arrays(
        "float32",
        hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6),
        elements=st.floats(-(2.0**127), 2.0**127, width=32)
        | st.sampled_from([math.nan, math.inf, 0.0]),
    ),
    st.booleans(),
    st.integers(1, 8),
)
def test_any_map_becomes_bytes(maps: np.ndarray, signed: bool, size: int) -> None:
    small = plugin._shrink(maps, size)
    assert max(small.shape[1:]) <= size or max(maps.shape[1:]) <= size
    q, low, high = plugin._quantize(small, signed)
    finite = np.isfinite(small)
    assert ((q == 255) == ~finite).all()
    back = low[:, None, None].astype(float) + (high.astype(float) - low)[:, None, None] * q / 254
    span = (high.astype(float) - low)[:, None, None]
    error = np.abs(back - np.where(finite, small, back).astype(float))
    assert (error <= span / 254 * 0.51 + 1e-44)[finite].all()


@quick
@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 99)), max_size=12),
)
def test_a_restart_never_mixes_trainings(logged: list[tuple[int, int]]) -> None:
    class Datum:
        def __init__(self, order: int, step: int, value: int) -> None:
            self.step, self.wall_time, self.numpy = step, float(order), str(value).encode()

    data = [Datum(order, step, value) for order, (step, value) in enumerate(logged)]
    entries = reader._take("t", data, None)
    steps = [entry.step for entry in entries]
    assert steps == sorted(set(steps))
    # what is kept is in the order it was logged, and ends with the last that was logged
    assert [entry.wall_time for entry in entries] == sorted(entry.wall_time for entry in entries)
    if logged:
        assert (steps[-1], entries[-1].payload) == (logged[-1][0], str(logged[-1][1]).encode())
