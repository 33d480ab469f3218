"""Records back out of a log directory: one reader for the TensorBoard plugin, notebooks and tools.

`open(logdir)` reads the event files itself, so that a notebook needs neither TensorFlow nor the
seconds TensorBoard spends on histograms that nobody asked for; the plugin hands `Log` the data
provider of the TensorBoard that hosts it. From there on both run the same code:

    log = reader.open("logs")
    for run in log.runs:
        for tag, info in log.tags(run).items():
            print(run, tag, info.kind, log.steps(run, tag))
    maps = log.arrays("digits", "saliency", step=3, examples=[0, 1])["x"]   # (2, 8, 8, 1) float32
    table = pandas.DataFrame(log.frame("digits", "permutation_importance"))

Names of runs are those of TensorBoard without our own `/xai`: what was logged into `logs/digits` is
run `digits`; when `logs` itself was the training's directory the run is `.`, as in TensorBoard.

A training that restarts from a checkpoint logs some steps again. As in TensorBoard's fast loader, a
step then replaces itself and every later step that was logged before it: a series never mixes two
trainings, and the last one wins.
"""

from __future__ import annotations

import contextlib
import copy
import math
import os
import posixpath
import re
import stat
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tensorboard.compat.proto import event_pb2
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.context import RequestContext
from tensorboard.data.provider import RunTagFilter

from tb_xai import summary
from tb_xai.summary import DamagedError, NewerError, Probe, Record, Stored

_ALL = 2**31 - 1  # a downsample of 0 returns nothing
_CACHED_BYTES = 16 * 1024 * 1024
_HEAD = 8 * 1024
_LISTED_BYTES = 1024 * 1024
_STACK_LIMIT = 2**27  # numbers
_WINDOW = 4 * 1024 * 1024


class UnknownError(LookupError):
    """A run, tag, step or probe set that was not logged; the message is one sentence."""


class Missing(LookupError):  # noqa: N818
    """Arrays that were logged but cannot be read any more; the message is one sentence."""


@dataclass(frozen=True)
class TagInfo:
    """What a tag holds: the `kind` of its records, and the newest `version` that wrote them."""

    kind: str
    version: int


@dataclass(frozen=True)
class Skipped:
    """Something logged that this version cannot show, and why."""

    run: str
    tag: str
    reason: str


class Provider(Protocol):
    """The two calls that are used of TensorBoard's `DataProvider`."""

    def list_tensors(
        self, ctx: Any, *, experiment_id: str, plugin_name: str, run_tag_filter: Any = None
    ) -> Mapping[str, Mapping[str, Any]]:
        """Return `{run: {tag: series}}`; a series has `max_step` and `max_wall_time`."""

    def read_tensors(
        self,
        ctx: Any,
        *,
        experiment_id: str,
        plugin_name: str,
        downsample: int,
        run_tag_filter: Any = None,
    ) -> Mapping[str, Mapping[str, Sequence[Any]]]:
        """Return `{run: {tag: data}}`; a datum has `step`, `wall_time` and `numpy`."""


def open(logdir: str | os.PathLike[str]) -> Log:  # noqa: A001
    """Open a log directory; what is logged later is seen by later calls.

    Args:
        logdir: what `tensorboard --logdir` takes: a path (`~` is expanded), an fsspec URL, or one
            training's own log directory.

    Returns:
        A `Log`.

    Raises:
        FileNotFoundError: there is no such directory.
        TypeError: not a path.

    Example:
        >>> import tempfile, numpy as np
        >>> folder = tempfile.mkdtemp()
        >>> writer = summary.writer(folder + "/digits")
        >>> maps = {"x": np.ones((2, 4, 4), "float32")}
        >>> writer.write(Record("saliency", 0, 0.0, "attribution", arrays=maps))
        >>> log = open(folder)
        >>> log.runs, log.steps("digits", "saliency")
        (['digits'], [0])
        >>> log.arrays("digits", "saliency", step=0, examples=[1])["x"].shape
        (1, 4, 4)
        >>> writer.close()
    """
    if not isinstance(logdir, (str, os.PathLike)) or not os.fspath(logdir):
        raise TypeError(f"logdir must be a path. Received: logdir={logdir!r}")
    root = os.fspath(logdir)
    if "://" not in root:
        root = str(Path(root).expanduser())
        if not Path(root).is_dir():
            raise FileNotFoundError(f"logdir must be a directory. Received: logdir={root!r}")
    return Log(_EventFiles(root), [(root, None)])


def logdirs(logdir: str | None, logdir_spec: str | None = None) -> list[tuple[str, str | None]]:
    """Return the roots of TensorBoard's flags `--logdir` and `--logdir_spec` as `(path, name)`."""
    if logdir:
        return [(logdir if "://" in logdir else str(Path(logdir).expanduser()), None)]
    roots: list[tuple[str, str | None]] = []
    for part in (logdir_spec or "").split(","):
        name, path = None, part
        url = re.match(r"[a-zA-Z][0-9a-zA-Z.]*://", part)
        if ":" in part and not part.startswith("/") and not url and not os.path.splitdrive(part)[0]:
            name, _, path = part.partition(":")
        if path:
            roots.append((path if "://" in path else str(Path(path).expanduser()), name))
    return roots


@dataclass(frozen=True)
class Outline:
    """When a tag was logged: columns of equal length, by ascending step."""

    steps: list[int]
    wall_times: list[float]
    epochs: list[float]
    last: Record | None
    reasons: list[str]


@dataclass(eq=False)
class _Entry:
    """One event: what can be told at once, and the rest when it is asked for."""

    tag: str
    step: int
    wall_time: float
    payload: bytes

    @cached_property
    def stored(self) -> Stored | str:
        """The decoded event, or why it cannot be decoded."""
        try:
            return summary.decode_payload(
                self.payload, tag=self.tag, step=self.step, wall_time=self.wall_time
            )
        except (DamagedError, NewerError) as error:
            return str(error)

    @cached_property
    def epoch(self) -> float | None:
        """Finished epochs; None when the event cannot be decoded."""
        found = summary.outline(self.payload)
        if found is not None:
            return found[1]
        if isinstance(self.stored, str):
            return None
        return _number(self.stored.record.meta.get("epoch"), self.step)


@dataclass(eq=False)
class _Series:
    """What is known of one (run, tag), as of `key`; read from the moment `began` on."""

    key: tuple[Any, ...]
    entries: list[_Entry]
    began: float

    @cached_property
    def size(self) -> int:
        """Bytes held."""
        return sum(len(entry.payload) for entry in self.entries)

    @cached_property
    def stored(self) -> list[Stored]:
        """The records that can be decoded."""
        return [e.stored for e in self.entries if not isinstance(e.stored, str)]

    def reasons(self, entries: Sequence[_Entry]) -> list[str]:
        """Why some of these entries cannot be decoded."""
        counted = Counter(entry.stored for entry in entries if isinstance(entry.stored, str))
        n = len(self.entries)
        return [
            reason if count == n else f"{count} of {n} steps: {reason}"
            for reason, count in sorted(counted.items())
        ]


class Log:
    """What was logged under some roots.

    Args:
        data_provider: a TensorBoard data provider (see `Provider`).
        logdirs: `[(path, name or None)]`: where runs lie, as `logdirs()` returns them.
        experiment: the experiment's id, for data providers that have several.

    All methods raise `UnknownError` for a run, tag or step that was not logged. Thread-safe.
    """

    def __init__(
        self,
        data_provider: Provider,
        logdirs: Sequence[tuple[str, str | None]],
        *,
        experiment: str = "",
    ) -> None:
        self._provider = data_provider
        self._roots = list(logdirs)
        self._experiment = experiment
        self._context = RequestContext()
        self._cache: OrderedDict[tuple[str, str], _Series] = OrderedDict()
        self._outlines: dict[tuple[str, str], tuple[tuple[Any, ...], Outline]] = {}
        self._lock = threading.Lock()
        self._reading: dict[tuple[str, str], threading.Lock] = {}
        self._listing: Mapping[str, Mapping[str, Any]] | None = None

    def snapshot(self) -> Log:
        """Return this log as it is now: many questions, one look at what is there."""
        taken = copy.copy(self)
        taken._listing = self._list(None)
        return taken

    # --- names ------------------------------------------------------------------------------------

    @property
    def runs(self) -> list[str]:
        """Names of the runs that hold explanations, in alphabetical order."""
        return sorted(self.versions())

    def versions(self) -> dict[str, dict[str, tuple[Any, ...]]]:
        """Return `{run: {tag: key}}`, where a key changes when something was logged; cheap."""
        found = self._list(None)
        names = _display_names(found)
        return {
            names[run]: {tag: _key(series) for tag, series in sorted(tags.items())}
            for run, tags in sorted(found.items())
        }

    def tags(self, run: str) -> dict[str, TagInfo]:
        """Return the tags of a run that can be read; see `skipped` for the others."""
        tags = {}
        for tag in self._tags(run):
            stored = self._series(run, tag).stored
            if stored:
                tags[tag] = TagInfo(stored[-1].record.kind, summary.VERSION)
        return tags

    def skipped(self) -> list[Skipped]:
        """Return what was logged but cannot be shown: newer versions of the format, damage."""
        return [
            Skipped(run, tag, reason)
            for run, tags in self.versions().items()
            for tag in tags
            for reason in self.reasons(run, tag)
        ]

    def reasons(self, run: str, tag: str) -> list[str]:
        """Why steps of one tag were skipped; empty when none was."""
        series = self._series(run, tag)
        return series.reasons(series.entries)

    def outline(self, run: str, tag: str) -> Outline:
        """Return when a tag was logged, decoding its newest record only."""
        name, key = self._find(run, tag)
        known = self._outlines.get((name, tag))
        if known is not None and known[0] == key:
            return known[1]
        series = self._series(run, tag, keep=False)
        readable = [entry for entry in series.entries if entry.epoch is not None]
        last = readable[-1].stored if readable else None
        if isinstance(last, str):  # its first bytes were right and the others are not
            readable = [entry for entry in readable if not isinstance(entry.stored, str)]
            last = readable[-1].stored if readable else None
        outline = Outline(
            [entry.step for entry in readable],
            [entry.wall_time for entry in readable],
            [entry.epoch or 0.0 for entry in readable],
            None if last is None or isinstance(last, str) else self._record(run, tag, last),
            series.reasons([e for e in series.entries if "stored" in e.__dict__]),
        )
        self._outlines[name, tag] = (key, outline)
        return outline

    # --- records ----------------------------------------------------------------------------------

    def steps(self, run: str, tag: str) -> list[int]:
        """Return the logged steps of a tag, ascending."""
        return [stored.record.step for stored in self._series(run, tag).stored]

    def records(self, run: str, tag: str, steps: Sequence[int] | None = None) -> list[Record]:
        """Return the records of a tag by ascending step, or only those of some steps.

        `record.arrays` is a mapping that reads the array file when it is asked, and raises
        `Missing` when that cannot be done.
        """
        return [self._record(run, tag, stored) for stored in self.stored(run, tag, steps)]

    def stored(self, run: str, tag: str, steps: Sequence[int] | None = None) -> list[Stored]:
        """Return the records as their events tell them, without touching an array file."""
        stored = self._series(run, tag).stored
        if steps is None:
            return stored
        logged = {each.record.step: each for each in stored}
        for step in steps:
            if step not in logged:
                raise UnknownError(
                    f"step must be one that tag {tag!r} logged. Received: step={step!r}"
                )
        return [logged[step] for step in sorted(set(steps))]

    def record(self, run: str, tag: str, step: int) -> Record:
        """Return one record."""
        return self._record(run, tag, self._stored(run, tag, step))

    def arrays(
        self, run: str, tag: str, step: int, examples: Sequence[int] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the arrays of one step, examples first, as they were logged.

        Args:
            run: name of the run.
            tag: name of the tag.
            step: a logged step.
            examples: positions in the probe set; only these are read from disk. None: all.

        Returns:
            `{input name: (n, ...) float32}`; empty for records without arrays.

        Raises:
            UnknownError: no such run, tag or step.
            ValueError: an example is out of range.
            Missing: the array file was deleted, cut, swapped or lies elsewhere.
        """
        stored = self._stored(run, tag, step)
        if stored.file is None:
            return {}
        with self.array_file(run, stored) as file:
            return {name: _some(file, name, examples) for name in file.names}

    def probe(
        self,
        run: str,
        probe_hash: str,
        examples: Sequence[int] | None = None,
        inputs: Sequence[str] | None = None,
    ) -> Probe:
        """Return the examples that a record explains; its hash is `record.meta["probe"]`.

        Args:
            run: name of the run.
            probe_hash: 16 hexadecimal digits.
            examples: positions to read (inputs only; labels and names stay whole). None: all.
            inputs: names of inputs to read. None: all.

        Raises:
            UnknownError: no such run, or not a hash.
            Missing: the file was deleted or damaged.
        """
        name = summary.probe_file_name(probe_hash)
        if name is None:
            raise UnknownError(
                f"set must be the hash of a probe set. Received: set={str(probe_hash)[:100]!r}"
            )
        with self._opened(run, name, f"probe set {probe_hash}") as (read, size):
            return summary.decode_probe(read, size, examples, inputs)

    def feature_names(self, run: str, tag: str) -> list[str] | None:
        """Return the names of a tag's features, or None where they have none that fit."""
        stored = self._series(run, tag).stored
        if not stored:
            return None
        record = self._record(run, tag, stored[-1])
        wanted = {
            len(record.figures[name]) for name in ("mean", "mean_abs") if name in record.figures
        }
        own = record.meta.get("names")
        if isinstance(own, list) and len(own) in wanted:
            return [str(name) for name in own]
        try:
            probe = self.probe(run, str(record.meta.get("probe")), inputs=())
        except LookupError:
            return None
        named = probe.meta.get("feature_names")
        groups = list(named.values()) if isinstance(named, dict) else [named]
        groups.insert(0, probe.meta.get("names"))
        flat = [str(name) for group in groups[1:] if isinstance(group, list) for name in group]
        for candidate in [*groups, flat]:
            if isinstance(candidate, list) and len(candidate) in wanted:
                return [str(name) for name in candidate]
        return None

    # --- columns ----------------------------------------------------------------------------------

    def series(
        self, run: str, tag: str, steps: Sequence[int] | None = None
    ) -> dict[str, np.ndarray]:
        """Return the figures of a tag over its steps, steps first.

        Args:
            run: name of the run.
            tag: name of the tag.
            steps: logged steps; only these are read. None: all.

        Returns:
            `steps` int64 (t,), `wall_times` float64 (t,), `epochs` float64 (t,), and every figure
            stacked: `(t,)`, `(t, n)`, `(t, d)` or `(t, n, k)`; for importances also `score` (t,).
            Where a step lacks a figure, or has fewer examples, stands NaN (integers: -1).
        """
        records = self.records(run, tag, steps)
        columns: dict[str, np.ndarray] = {
            "steps": np.array([r.step for r in records], np.int64),
            "wall_times": np.array([r.wall_time for r in records], np.float64),
            "epochs": np.array([_number(r.meta.get("epoch"), r.step) for r in records], np.float64),
        }
        for name in sorted({name for r in records for name in r.figures} - set(columns)):
            stacked = _stack([r.figures.get(name) for r in records])
            if stacked is not None:
                columns[name] = stacked
        if any("score" in r.meta for r in records) and "score" not in columns:
            columns["score"] = np.array([_number(r.meta.get("score")) for r in records], np.float64)
        return columns

    def missing(
        self, run: str, tag: str, steps: Sequence[int] | None = None
    ) -> list[tuple[int, str]]:
        """Return `(step, reason)` for steps whose figures lie in a file that cannot be read."""
        found = []
        for stored in self.stored(run, tag, steps):
            if not stored.record.figures and stored.file is not None:
                try:
                    with self.array_file(run, stored):
                        pass
                except Missing as error:
                    found.append((stored.record.step, str(error)))
        return found

    def frame(self, run: str, tag: str, by: str | None = None) -> dict[str, np.ndarray]:
        """Return figures as equal-length columns, ready for `pandas.DataFrame`.

        Args:
            run: name of the run.
            tag: name of the tag.
            by: what a row is beside its step: `"example"`, `"feature"`, `"layer"` or `"step"`.
                None: examples for attributions, features for importances, layers for health.

        Returns:
            `step`, `wall_time`, `epoch`, then `example`, `feature` or `layer` (its name where there
            is one), then one column per figure that has one number per row.

        Raises:
            ValueError: `by` is none of these.
            UnknownError: no such run or tag.

        Example:
            `pandas.DataFrame(log.frame("digits", "saliency")).groupby("step")["sum_abs"].mean()`
        """
        kinds = ("example", "feature", "layer", "step")
        if by is not None and by not in kinds:
            raise ValueError(f"by must be one of {kinds} or None. Received: by={by!r}")
        columns = self.series(run, tag)
        records = self.records(run, tag)
        if by is None:
            kind = records[-1].kind if records else ""
            by = {"attribution": "example", "importance": "feature", "health": "layer"}.get(
                kind, "step"
            )
        t = len(columns["steps"])
        heads = {"step": "steps", "wall_time": "wall_times", "epoch": "epochs"}
        rest = {name: array for name, array in columns.items() if name not in heads.values()}
        if by == "step":
            table = {name: columns[head] for name, head in heads.items()}
            return {**table, **{name: array for name, array in rest.items() if array.ndim == 1}}
        leading = {
            "example": ("output", "sum", "sum_abs", "entropy", "peak", "confidence"),
            "feature": ("mean_abs", "mean"),
            "layer": ("gradient_norm",),
        }[by]
        width = next((rest[n].shape[1] for n in leading if n in rest and rest[n].ndim == 2), 0)
        per_feature = {"mean", "mean_abs", "mean_abs_low", "mean_abs_high", "low", "high", "stderr"}
        per_feature |= {"single_score", "single_low", "single_high", "scale"}
        per_feature |= {"mutual_information", "correlation"}
        table = {name: np.repeat(columns[head], width) for name, head in heads.items()}
        rows: np.ndarray = np.arange(width)
        if by == "feature":
            names = self.feature_names(run, tag)
            if names is not None and len(names) == width:
                rows = np.array(names, object)
        elif by == "layer":
            layers = records[-1].meta.get("layers") if records else None
            if isinstance(layers, list) and len(layers) == width:
                rows = np.array(layers, object)
        table[by] = np.tile(rows, t)
        for name, array in rest.items():
            if array.shape == (t, width) and (name in per_feature) == (by == "feature"):
                table[name] = array.reshape(-1)
            elif array.ndim == 1 and name not in table:
                table[name] = np.repeat(array, width)
        return table

    # --- from the provider ------------------------------------------------------------------------

    def _list(self, filter_: RunTagFilter | None) -> Mapping[str, Mapping[str, Any]]:
        if self._listing is not None:
            return self._listing
        return self._provider.list_tensors(
            self._context,
            experiment_id=self._experiment,
            plugin_name=summary.PLUGIN_NAME,
            run_tag_filter=filter_,
        )

    def _tags(self, run: str) -> list[str]:
        tags = self.versions().get(run)
        if tags is None:
            raise UnknownError(f"run must be one that was logged. Received: run={run!r}")
        return list(tags)

    def _find(self, run: str, tag: str) -> tuple[str, tuple[Any, ...]]:
        """TensorBoard's own name of a run, and the key of one of its tags."""
        candidates = _tensorboard_names(run)
        found = self._list(RunTagFilter(runs=candidates, tags=[tag]))
        for candidate in candidates:
            shown = _display_names([candidate])[candidate]
            if tag in found.get(candidate, {}) and run in (shown, shown + "/."):
                return candidate, _key(found[candidate][tag])
        self._tags(run)
        raise UnknownError(f"tag must be one that run {run!r} logged. Received: tag={tag!r}")

    def _series(self, run: str, tag: str, *, keep: bool = True) -> _Series:
        """What is known of a tag; unless `keep`, a tag that is new fills no more than a corner."""
        asked = time.monotonic()
        name, key = self._find(run, tag)
        with self._lock:
            reading = self._reading.setdefault((name, tag), threading.Lock())
        with reading:  # of many who ask at once, one reads
            with self._lock:
                known = self._cache.get((name, tag))
                if known is not None:
                    self._cache.move_to_end((name, tag))
            if known is not None and (known.key == key or known.began >= asked):
                return known
            began = time.monotonic()
            read = self._provider.read_tensors(
                self._context,
                experiment_id=self._experiment,
                plugin_name=summary.PLUGIN_NAME,
                downsample=_ALL,
                run_tag_filter=RunTagFilter(runs=[name], tags=[tag]),
            )
            taken = _take(tag, read.get(name, {}).get(tag, ()), known)
            series = _Series(key, taken, began)
            with self._lock:
                others = (each.size for at, each in self._cache.items() if at != (name, tag))
                total = series.size + sum(others)
                if known is None and not keep and total > _LISTED_BYTES:
                    return series
                self._cache[name, tag] = series
                self._cache.move_to_end((name, tag))
                while total > _CACHED_BYTES and len(self._cache) > 1:
                    total -= self._cache.popitem(last=False)[1].size
            return series

    def _stored(self, run: str, tag: str, step: int) -> Stored:
        return self.stored(run, tag, [step])[0]

    def _record(self, run: str, tag: str, stored: Stored) -> Record:
        if stored.file is None:
            return stored.record
        record = stored.record
        figures = record.figures
        if not figures:
            try:
                with self.array_file(run, stored) as file:
                    figures = file.figures()
            except Missing:
                figures = {}
        arrays = _Arrays(lambda: self.array_file(run, stored))
        return Record(tag, record.step, record.wall_time, record.kind, record.meta, figures, arrays)

    # --- from the array files ---------------------------------------------------------------------

    @contextlib.contextmanager
    def array_file(self, run: str, stored: Stored) -> Iterator[summary.ArrayFile]:
        """Open the array file of one record, for names, shapes and parts; raises `Missing`."""
        record, name = stored.record, stored.file
        if name is None:
            raise Missing(f"Nothing but figures was logged at step {record.step}.")
        with self._opened(run, name, f"step {record.step}") as (read, size):
            file = summary.ArrayFile(read, size)
            file.expect(record.tag, record.step, name)
            yield file

    @contextlib.contextmanager
    def _opened(
        self, run: str, name: str, what: str
    ) -> Iterator[tuple[Callable[[int, int], bytes], int]]:
        """Open a file of a run's array folder by its plain name; every trouble is `Missing`."""
        folders = self._folders(run)
        trouble = f"The file of {what} was deleted."
        with contextlib.ExitStack() as stack:
            opened = None
            for folder in folders:
                try:
                    opened = stack.enter_context(_open_contained(folder, name))
                    break
                except FileNotFoundError:
                    continue
                except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
                    trouble = f"The file of {what} cannot be read: {_why(error)}."
            if opened is None:
                raise Missing(trouble)
            try:
                yield opened
            except DamagedError as error:
                raise Missing(f"The file of {what} is damaged: {error}.") from error
            except NewerError as error:
                raise Missing(f"The file of {what} was {error}.") from error
            except OSError as error:
                raise Missing(f"The file of {what} cannot be read: {_why(error)}.") from error

    def _folders(self, run: str) -> list[str]:
        """Where a run's directory may lie; of several roots the one that has the file counts."""
        folders = []
        for name in _tensorboard_names(run):
            for root, group in self._roots:
                if group is None:
                    rest = name
                elif name == group or name.startswith(group + "/"):
                    rest = name[len(group) + 1 :] or "."
                else:
                    continue
                joined = posixpath.normpath(rest.replace(os.sep, "/"))
                if joined.startswith(("../", "/")) or joined == "..":
                    continue
                folders.append(root.rstrip("/") + ("" if joined == "." else "/" + joined))
        return folders


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


class _Arrays(Mapping[str, np.ndarray]):
    """The arrays of one record, read when they are asked for."""

    def __init__(
        self, opened: Callable[[], contextlib.AbstractContextManager[summary.ArrayFile]]
    ) -> None:
        self._opened = opened

    def _names(self) -> list[str]:
        with self._opened() as file:
            return file.names

    def __getitem__(self, name: str) -> np.ndarray:
        with self._opened() as file:
            if name not in file.names:
                raise KeyError(name)
            return file.array(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())


def _some(file: summary.ArrayFile, name: str, examples: Sequence[int] | None) -> np.ndarray:
    n = file.shape(name)[0] if file.shape(name) else 0
    outside = [i for i in examples or () if not 0 <= i < n]
    if outside:
        raise ValueError(f"examples must be below {n}. Received: {outside[0]}")
    return file.array(name, examples)


def _take(tag: str, data: Sequence[Any], known: _Series | None) -> list[_Entry]:
    """Entries by ascending step; what was decoded before is kept.

    A step replaces itself and all later steps that were logged before it.
    """
    kept: list[Any] = []
    for datum in data:
        while kept and kept[-1].step >= datum.step:
            kept.pop()
        kept.append(datum)
    entries = [_Entry(tag, int(d.step), float(d.wall_time), _payload(d.numpy)) for d in kept]
    if known is None:
        return entries
    before = {(e.step, e.wall_time, e.payload): e for e in known.entries}
    return [before.get((e.step, e.wall_time, e.payload), e) for e in entries]


def _payload(value: Any) -> bytes:
    """The bytes in a string tensor; nothing for any other tensor."""
    item = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    return item if isinstance(item, bytes) else b""


def _key(series: Any) -> tuple[Any, ...]:
    return (series.max_step, series.max_wall_time)


def _display_names(runs: Iterable[str]) -> dict[str, str]:
    """TensorBoard's names to ours: without `/xai`, unless that name is taken."""
    names, runs = {}, list(runs)
    for run in runs:
        base = posixpath.normpath(run.replace(os.sep, "/"))
        if posixpath.basename(base) == summary.RUN_NAME:
            names[run] = posixpath.dirname(base) or "."
    taken = set(names.values())
    for run in runs:
        if run not in names:
            base = posixpath.normpath(run.replace(os.sep, "/"))
            names[run] = base if base not in taken else base + "/."
    return names


def _tensorboard_names(run: str) -> list[str]:
    """The names under which TensorBoard may know one of our runs; the inverse of the above."""
    own = summary.RUN_NAME
    if run == ".":
        return [own, "./" + own, "."]
    if run.endswith("/."):
        return [run[:-2], run]
    names = [f"{run}/{own}", run, f"{run}/."]
    return names + [name.replace("/", os.sep) for name in names] if os.sep != "/" else names


def _number(value: Any, default: float = float("nan")) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    return float(default)


def _stack(figures: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Stack arrays of one rank, filling up what is missing or shorter with NaN (integers: -1)."""
    present = [f for f in figures if f is not None]
    rank = Counter(f.ndim for f in present).most_common(1)[0][0]
    present = [f for f in present if f.ndim == rank]
    shape = tuple(max(f.shape[axis] for f in present) for axis in range(rank))
    if len(figures) * math.prod(shape) > _STACK_LIMIT:
        return None  # no series of ours: shapes that have nothing in common
    integers = all(f.dtype.kind in "iub" for f in present)
    if integers:
        dtype: Any = np.int32 if all(f.dtype.itemsize <= 4 for f in present) else np.int64
    else:
        dtype = np.result_type(np.float32, *(f.dtype for f in present))
    stacked = np.full((len(figures), *shape), -1 if integers else np.nan, dtype)
    for i, figure in enumerate(figures):
        if figure is not None and figure.ndim == rank:
            place: tuple[Any, ...] = (i, *(slice(0, side) for side in figure.shape))
            stacked[place] = figure
    return stacked


# --- files --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _open_contained(folder: str, name: str) -> Iterator[tuple[Callable[[int, int], bytes], int]]:
    """Open a file of a run directory's array folder, which no link may leave."""
    if not (summary.is_array_file_name(name)):
        raise OSError("its name is not one of ours")
    if "://" in folder:
        with _opened_remote("/".join((folder, *summary.ARRAY_FOLDER, name))) as opened:
            yield opened
        return
    run = os.path.realpath(folder)
    path = os.path.realpath(Path(run, *summary.ARRAY_FOLDER, name), strict=True)
    if os.path.commonpath([run, path]) != run:
        raise OSError("it lies outside of its run's directory")
    with _opened_local(path) as opened:
        yield opened


@contextlib.contextmanager
def _opened_local(path: str | Path) -> Iterator[tuple[Callable[[int, int], bytes], int]]:
    # Without O_NONBLOCK a named pipe would hold the server for ever.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is not a plain file")
        head = file.read(_HEAD) or b""

        def read(start: int, length: int) -> bytes:
            if start + length <= len(head):
                return head[start : start + length]
            file.seek(start)
            parts = []
            while length > 0 and (part := file.read(length)):
                parts.append(part)
                length -= len(part)
            return parts[0] if len(parts) == 1 else b"".join(parts)

        yield read, status.st_size


@contextlib.contextmanager
def _opened_remote(url: str) -> Iterator[tuple[Callable[[int, int], bytes], int]]:
    import fsspec

    def read(start: int, length: int) -> bytes:
        try:
            return bytes(fs.cat_file(path, start=start, end=start + length)) if length else b""
        except OSError:
            raise
        except Exception as error:
            raise OSError(str(error)) from error

    try:
        fs, path = fsspec.core.url_to_fs(url)
        size = int(fs.info(path)["size"])
    except OSError:
        raise
    except Exception as error:
        raise OSError(str(error)) from error
    yield read, size


@dataclass(frozen=True)
class _Datum:
    step: int
    wall_time: float
    numpy: bytes


@dataclass(frozen=True)
class _Listed:
    max_step: int
    max_wall_time: float


@dataclass
class _EventFile:
    """How far one event file was read."""

    offset: int = 0
    stopped: bool = False
    data: dict[str, list[_Datum]] = field(default_factory=dict)


class _EventFiles:
    """A `Provider` over the event files below a directory or URL; reads only what is new.

    Event files of other tools are skipped record by record without being decoded. A record that is
    cut off (a training that was killed, or is writing) ends its file until there is more; bytes
    that are no records end it for good. Neither touches another file or run.
    """

    def __init__(self, root: str) -> None:
        self._root = root.rstrip("/") or "/"
        self._runs: dict[str, dict[str, _EventFile]] = {}
        self._lock = threading.Lock()

    def list_tensors(
        self, ctx: Any, *, experiment_id: str, plugin_name: str, run_tag_filter: Any = None
    ) -> Mapping[str, Mapping[str, Any]]:
        del ctx, experiment_id, plugin_name
        return {
            run: {
                tag: _Listed(max(d.step for d in data), max(d.wall_time for d in data))
                for tag, data in tags.items()
            }
            for run, tags in self._read(run_tag_filter, poll=True).items()
        }

    def read_tensors(
        self,
        ctx: Any,
        *,
        experiment_id: str,
        plugin_name: str,
        downsample: int,
        run_tag_filter: Any = None,
    ) -> Mapping[str, Mapping[str, Sequence[Any]]]:
        del ctx, experiment_id, plugin_name, downsample
        return self._read(run_tag_filter, poll=False)

    def _read(self, filter_: Any, *, poll: bool) -> dict[str, dict[str, list[_Datum]]]:
        runs = None if filter_ is None else filter_.runs
        tags = None if filter_ is None else filter_.tags
        found: dict[str, dict[str, list[_Datum]]] = {}
        with self._lock:
            if poll:
                self._poll()
            for run in self._runs if runs is None else [r for r in runs if r in self._runs]:
                for _, file in sorted(self._runs[run].items()):
                    for tag, data in file.data.items():
                        if tags is None or tag in tags:
                            found.setdefault(run, {}).setdefault(tag, []).extend(data)
        return found

    def _poll(self) -> None:
        present: dict[str, dict[str, _EventFile]] = {}
        for run, path in _event_files(self._root):
            file = self._runs.get(run, {}).get(path, _EventFile())
            present.setdefault(run, {})[path] = file
            if not file.stopped:
                with contextlib.suppress(OSError):
                    _read_events(path, file)
        self._runs = present


def _event_files(root: str) -> Iterator[tuple[str, str]]:
    """Every event file below a root with the name TensorBoard would give its run."""
    if "://" in root:
        import fsspec

        fs, base = fsspec.core.url_to_fs(root)
        scheme = root.split("://", 1)[0]
        fs.invalidate_cache()
        for path in fs.find(base):
            if "tfevents" in posixpath.basename(path):
                run = posixpath.relpath(posixpath.dirname(path), base)
                yield run, f"{scheme}://{path}"
        return
    seen = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for name in names:
            if "tfevents" in name:
                yield os.path.relpath(folder, root), str(Path(folder, name))


def _read_events(path: str, file: _EventFile) -> None:
    """Append what an event file holds behind its offset; see `RecordWriter` for the framing."""
    opened = _opened_remote(path) if "://" in path else _opened_local(Path(path))
    marker = b"\x0a" + bytes([len(summary.PLUGIN_NAME)]) + summary.PLUGIN_NAME.encode()
    with opened as (read, size):
        base, window = file.offset, b""
        while file.offset + 16 <= size:
            wanted = 12
            for _ in range(2):
                if file.offset + wanted > base + len(window):
                    base = file.offset
                    window = read(base, min(size - base, max(wanted, _WINDOW)))
                at = file.offset - base
                header = window[at : at + 12]
                if masked_crc32c(header[:8]) != int.from_bytes(header[8:], "little"):
                    file.stopped = len(header) == 12
                    return
                wanted = 16 + int.from_bytes(header[:8], "little")
                if file.offset + wanted > size:
                    return
            data = window[at + 12 : at + wanted - 4]
            if len(data) < wanted - 16:
                return
            file.offset += wanted
            if marker in data:
                _read_event(data, file)


def _read_event(data: bytes, file: _EventFile) -> None:
    try:
        event = event_pb2.Event.FromString(data)
    except Exception:
        return
    for value in event.summary.value:
        if value.metadata.plugin_data.plugin_name == summary.PLUGIN_NAME:
            payload = value.tensor.string_val[0] if value.tensor.string_val else b""
            datum = _Datum(event.step, event.wall_time, payload)
            file.data.setdefault(value.tag, []).append(datum)
