"""What every callback shares: schedule, fixed probe set, step 0, budget, life of the writer."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import difflib
import inspect
import math
import numbers
import os
import re
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tb_xai import findings, summary
from tb_xai.callbacks.budget import Budget
from tb_xai.targets import as_numbers, generators_left_alone

# Records that could not be written wait for the next attempt; of more than these the oldest go.
KEPT_FOR_RETRY = 4

# Rules look back on so many records and bytes of figures; of more, every second one is forgotten.
HISTORY, HISTORY_BYTES = 64, 8 * 2**20

# Seconds that an explanation may take before a terminal is told how long it will.
PATIENCE = 5.0

# Share of the free space above which a log is said to be too large for its disk.
FULL = 0.9

# Halves of surrogate pairs, which no encoding can write.
_UNWRITABLE = re.compile("[\ud800-\udfff]")

# Which callback logs which (directory, tag), to find two of them in one fit.
_claims: weakref.WeakValueDictionary[tuple[str, str], ExplanationCallback] = (
    weakref.WeakValueDictionary()
)


@dataclass(frozen=True)
class Explained:
    """One explanation, ready to be logged: what a callback adds to the shared part of a record."""

    kind: str
    meta: Mapping[str, Any]
    figures: Mapping[str, np.ndarray]
    scalars: Mapping[str, float]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    names: Sequence[str] | None = None  # of the features or groups that the figures speak of
    tokens: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)  # by input, example
    probe: summary.Probe | None = None  # what the rows are when they are not the examples


@dataclass(frozen=True)
class Examples:
    """The fixed probe set: NumPy arrays with examples first, in the structure the model takes."""

    x: Any
    y: Any = None
    sample_weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(leaves(self.x).values())))

    def first(self, n: int) -> Examples:
        """The first n of them."""
        if n >= len(self):
            return self
        return Examples(
            *(
                None if part is None else map_leaves(lambda leaf: leaf[:n], part)
                for part in (self.x, self.y, self.sample_weight)
            )
        )


def leaves(structure: Any, name: str = "x") -> dict[str, Any]:
    """Arrays of a nested structure by name: keys and positions joined by "/", "x" when alone."""
    found: dict[str, Any] = {}
    if isinstance(structure, Mapping):
        items = [(str(key), value) for key, value in structure.items()]
    elif isinstance(structure, (list, tuple)):
        items = [(str(index), value) for index, value in enumerate(structure)]
    else:
        return {name: structure}
    for key, value in items:
        found |= leaves(value, key if name == "x" else f"{name}/{key}")
    return found


def map_leaves(function: Callable[..., Any], first: Any, *rest: Any) -> Any:
    """The structure of `first` with `function` applied to the arrays that stand at one place."""
    if isinstance(first, Mapping):
        return {key: map_leaves(function, first[key], *(r[key] for r in rest)) for key in first}
    if isinstance(first, (list, tuple)):
        return type(first)(
            [map_leaves(function, *parts) for parts in zip(first, *rest, strict=True)]
        )
    return function(first, *rest)


def shapes(structure: Any) -> str:
    """Shape of an array, or of each array of a structure, in words for a message."""
    found = {name: tuple(np.shape(leaf)) for name, leaf in leaves(structure).items()}
    return str(found["x"]) if list(found) == ["x"] else str(found)


def kind_of(leaf: np.ndarray, ids: bool = True) -> str:
    """How an input is best looked at: "image", "flat", "sequence" or "other".

    Rows of whole numbers are a sequence where they are `ids`, and columns otherwise.
    """
    if leaf.dtype.kind in "OSU":
        return "other"
    if leaf.ndim == 4:
        return "image"
    if leaf.ndim == 3:
        # A picture without a channel axis has sides of one order; a sequence has few features.
        sides = sorted(leaf.shape[1:])
        return "image" if sides[0] >= 8 and sides[1] <= 2 * sides[0] else "sequence"
    if leaf.ndim == 2:
        return "flat" if leaf.dtype.kind == "f" or not ids else "sequence"
    return "other"


def whole(name: str, value: Any, minimum: int) -> int:
    """`value` as an int of at least `minimum`, or a sentence."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        raise ValueError(
            f"{name} must be a whole number of at least {minimum}. Received: {value!r}"
        )
    return int(value)


def words(name: str, values: Any) -> list[str] | None:
    """`values` as a list of names, or None."""
    if values is None:
        return None
    # An array, the columns of a data frame and the keys of a dictionary are lists of names as well.
    several = hasattr(values, "__iter__") and hasattr(values, "__len__")
    if not several or isinstance(values, (str, bytes, Mapping)):
        raise TypeError(f"{name} must be a list of names. Received: {values!r}")
    return [str(value) for value in values]


def scheduled(every: Any) -> int | Callable[[int], bool]:
    """`every` as a whole number of epochs or a callable of one argument, or a sentence."""
    if every == "log":
        return logarithmic
    if isinstance(every, str):
        raise ValueError(
            f'every must be a whole number of epochs, "log" or a callable. Received: {every!r}'
        )
    if not callable(every):
        return whole("every", every, 1)
    try:
        inspect.signature(every).bind(0)
    except TypeError as error:
        raise TypeError(
            "every must take the number of finished epochs when it is a callable. "
            f"Received: {every!r} ({error})"
        ) from error
    except ValueError:  # a built-in that does not tell its arguments
        pass
    checked: Callable[[int], bool] = every
    return checked


def logarithmic(done: int) -> bool:
    """Whether so many finished epochs are 1 to 9, 10, 20, ... 90, 100, 200 and so on."""
    return done > 0 and done % 10 ** (len(str(done)) - 1) == 0


def keeping(keep: Any) -> summary.Keep | None:
    """`keep` as a rule of which steps keep their maps, or a sentence."""
    if keep is None or isinstance(keep, summary.Keep):
        return keep
    if isinstance(keep, bool) or not isinstance(keep, (int, np.integer)) or keep < 1:
        raise ValueError(
            "keep must be a number of newest steps of at least 1, a tb_xai.summary.Keep, or None. "
            f"Received: {keep!r}"
        )
    return summary.Keep(newest=int(keep))


class ExplanationCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Explains a fixed probe set on a schedule while a model trains, and logs what it finds.

    A callback of this package says how to explain (`_bind`); this class does the rest. It never
    touches training: the model is called with `training=False`, no global random generator moves,
    and nothing is written into the model.

    Args:
        log_dir: Directory of the run, local or an fsspec URL; records go to `<log_dir>/xai`.
        x: Examples: an array, a nested structure of arrays, a batched `tf.data.Dataset` or a
            `PyDataset`. A dataset is drawn once, when training begins, on a copy of its own.
        y: Labels, where the target needs them; None when `x` is a dataset, which brings its own.
        sample_weight: Weight of each example, shape (n,), or None.
        tag: Name of the series in the log.
        every: Explain when the number of finished epochs is a multiple of this, or when this
            callable says so of it; "log" is 1 to 9, 10, 20, ... 90, 100, 200, ... Step 0 and the
            last epoch are always there.
        every_n_batches: Explain after every so many training batches instead, which makes the
            step axis count batches. Keras then no longer overlaps callbacks with training.
        budget: Largest share of training time that explanations after step 0 may take, in (0, 1].
            To keep it, steps are left out, then examples, then samples; the log says which. The
            last step is always explained.
        seed: Seed of the callback's own random draws.
        n_examples: How many examples at most; None is all of an array and `from_dataset` of a
            dataset.
        example_names: Name of each example, or None.
        class_names: Name of each class, or None.
        feature_names: Name of each feature of a flat input, or None.
        batch_size: Rows that pass the model at once, perturbed ones counted; None chooses.
        stop_on: What ends training: a finding of severity "alarm", or "warning" and above, or of
            one of a list of rules by name; None: nothing does.
        keep: Which steps keep their maps: a number of newest ones, a `tb_xai.summary.Keep`, or None
            for all. Figures are always kept, and so are the maps of the first step.
        scalars: Whether standard scalar summaries `xai/<tag>/<name>` are written as well.
        strict: Raise when an explanation or its writing fails after training has begun; otherwise
            training goes on, a warning is given once, and writing is tried again.
        from_dataset: Examples drawn from a dataset when `n_examples` is None.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        x: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        tag: str,
        every: int | str | Callable[[int], bool] = 1,
        every_n_batches: int | None = None,
        budget: float | None = None,
        seed: int = 0,
        n_examples: int | None = None,
        example_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        feature_names: Any = None,
        batch_size: int | None = None,
        stop_on: str | Sequence[str] | None = None,
        keep: int | summary.Keep | None = None,
        scalars: bool = True,
        strict: bool = False,
        from_dataset: int = 16,
    ) -> None:
        super().__init__()
        path = os.fspath(log_dir) if isinstance(log_dir, (str, os.PathLike)) else ""
        if not path:
            raise TypeError(f"log_dir must be the path of a directory. Received: {_brief(log_dir)}")
        try:
            self.log_dir = path if "://" in path else str(Path(path).expanduser().absolute())
        except RuntimeError as error:  # no such user
            raise ValueError(
                f"log_dir must be the path of a directory. Received: {path!r} ({error})"
            ) from error
        if not isinstance(tag, str) or not tag.strip() or _UNWRITABLE.search(tag):
            raise ValueError(
                "tag must be a name that is not empty and can be written as UTF-8. "
                f"Received: {tag!r}"
            )
        self.tag = tag
        self.every = scheduled(every)
        self.every_n_batches = (
            None if every_n_batches is None else whole("every_n_batches", every_n_batches, 1)
        )
        if self.every_n_batches and every != 1:
            raise ValueError(
                "every and every_n_batches must not be given together: one counts epochs, the "
                f"other batches. Received: every={every!r}, every_n_batches={every_n_batches!r}"
            )
        if budget is not None and (
            isinstance(budget, bool)
            or not isinstance(budget, (int, float, np.floating, np.integer))
            or not 0 < budget <= 1
        ):
            raise ValueError(
                "budget must be a share of training time above 0 and at most 1, or None. "
                f"Received: {budget!r}"
            )
        self.budget = None if budget is None else float(budget)
        self.seed = whole("seed", seed, 0)
        self.n_examples = None if n_examples is None else whole("n_examples", n_examples, 1)
        self.batch_size = None if batch_size is None else whole("batch_size", batch_size, 1)
        self.example_names = words("example_names", example_names)
        self.class_names = words("class_names", class_names)
        self.feature_names = (
            {str(k): words("feature_names", v) or [] for k, v in feature_names.items()}
            if isinstance(feature_names, Mapping)
            else words("feature_names", feature_names)
        )
        if feature_names is None and hasattr(x, "columns"):
            self.feature_names = words("feature_names", x.columns)
        self.stop_on = _stopping(stop_on)
        self.keep = keeping(keep)
        self.scalars = bool(scalars)
        self.strict = bool(strict)
        self._from_dataset = from_dataset
        self._source = (x, y, sample_weight)
        if _is_dataset(x):
            if y is not None or sample_weight is not None:
                raise ValueError(
                    "y and sample_weight must be left out when x is a dataset, which brings its "
                    f"own. Received: y={_brief(y)}, sample_weight={_brief(sample_weight)}"
                )
            self._examples: Examples | None = None
        else:
            self._examples = _from_arrays(x, y, sample_weight, self.n_examples)
            self._check_names(self._examples)
        if self.every_n_batches:
            # Only a bound hook: a method of the class would cost every fit its async dispatch.
            self.on_train_batch_end = self._after_batch
        self._close: Callable[[], Any] = _nothing
        self._reset()

    def _reset(self) -> None:
        """Forget everything that belongs to one fit."""
        self._running = False
        self._fit: Any = None  # what Keras gave all callbacks of this fit
        self._step: int | None = None  # finished epochs, or batches, since the untrained model
        self._epoch = 0.0
        self._epoch_starts_at = 0
        self._tried: int | None = None  # the last step that was explained
        self._scalars: dict[str, float] = {}
        self._epoch_seconds = 0.0
        self._cost = 0.0  # seconds of explaining and writing the last step
        self._began = 0.0
        self._budget: Budget | None = None
        self._bound = (0, 1.0)  # examples and share of the samples that are explained now
        self._dry_run_seconds: float | None = None
        self._unwritten: list[summary.Record] = []
        self._lost: list[int] = []
        self._failed: list[int] = []
        self._warned: set[str] = set()
        self._history: list[summary.Record] = []  # without arrays
        self._history_bytes = 0

    # What a callback adds.

    # Whether the log keeps the examples; otherwise it keeps their names and a hash of them.
    _shows_examples = True

    # Names of token ids, where a callback takes them.
    token_names: Any = None

    # Examples that a budget leaves, and whether the method has samples that it may take.
    _fewest = 4
    _has_samples = False

    def _bind(self, model: Any, examples: Examples, samples: float) -> Callable[[], Explained]:
        """Compile the explanation of `examples` for `model`, once per fit and reduction.

        `samples` is the share of the method's samples to draw, 1 unless a budget took some.
        """
        raise NotImplementedError

    # Keras' hooks.

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Draw the probe set, explain it once in a dry run, and open the log."""
        again = self._running and self._step is None and self.params is not None
        if again and self._fit is self.params:  # Keras makes one dict for each fit
            raise ValueError(
                "A callback must stand once in the list of callbacks of a fit. "
                f"Received: {type(self).__name__} of tag {self.tag!r} twice"
            )
        self._close()  # of a fit that was interrupted
        self._reset()
        self._fit = self.params
        self._claim()
        if self._examples is None:
            examples = _draw(self._source[0], self.n_examples or self._from_dataset)
            self._check_names(examples)
            self._examples = examples
        examples = self._examples
        self.input_names = _input_names(self.model, examples.x)
        self._about_inputs = {
            name: {"shape": list(leaf.shape[1:]), "kind": kind_of(leaf, ids)}
            for (name, leaf), ids in zip(
                zip(self.input_names, leaves(examples.x).values(), strict=True),
                _may_be_ids(self.model, examples.x, self.token_names),
                strict=True,
            )
        }
        self._check_features(examples)
        began = time.perf_counter()
        try:
            if not self.model.built:  # a model without a declared input is built by its first call
                self.model(map_leaves(lambda leaf: leaf[:1], examples.x), training=False)
            self._explain = self._bind(self.model, examples, 1.0)
            dry_run = self._explain()
        except Exception as error:
            if _is_ours(error):
                raise
            labels = "" if examples.y is None else f" and y of shape {shapes(examples.y)}"
            raise ValueError(
                f"{type(self).__name__} must be able to explain the model before training starts, "
                f"with x of shape {shapes(examples.x)}{labels}. Received: {_told(error)}"
            ) from error
        self._cost = self._dry_run_seconds = time.perf_counter() - began
        self._bound = (len(examples), 1.0)
        if self.budget is not None:
            self._budget = Budget(
                self.budget, len(examples), fewest=self._fewest, samples=self._has_samples
            )
        self._scalars = {name: float(value) for name, value in dry_run.scalars.items()}
        self._open(examples, dry_run)
        self._running = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the model as it is before the first batch: step 0, or the epoch it goes on from."""
        if not self._running:
            return
        self._epoch = float(epoch)
        if self._step is None:
            per_epoch = (self.params or {}).get("steps") or 0
            self._step = epoch * per_epoch if self.every_n_batches else epoch
            self._epoch_seconds = self._dry_run_seconds or 0.0
            self._log()
            self._began = time.perf_counter()
            self._say_if_too_large()
        self._epoch_starts_at = self._step

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Explain when this epoch is due, and put the figures into Keras' logs."""
        if not self._running or self._step is None:
            return
        done = epoch + 1
        last = done == (self.params or {}).get("epochs")
        self._epoch = float(done)
        if not self.every_n_batches:
            self._step = done
            due = self.every(done) if callable(self.every) else done % self.every == 0
            if due or last:
                self._log(last=last)
        elif last and self._tried != self._step:
            self._log(last=True)
        if logs is not None:
            figures = {**self._scalars, "seconds": self._epoch_seconds}
            logs.update({f"xai_{self.tag}_{name}": value for name, value in figures.items()})
        self._epoch_seconds = 0.0

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Explain the final model if that is missing, say what was lost, and let go of the log."""
        if not self._running:
            return
        try:
            if self._step is not None and self._tried != self._step:
                self._log(last=True)
            self._write_all()
            self._say_what_is_missing()
        finally:
            self._running = False
            self._close()

    def _after_batch(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Explain when a multiple of `every_n_batches` was passed; stands in for Keras' hook."""
        if not self._running or self._step is None or not self.every_n_batches:
            return
        per_epoch = (self.params or {}).get("steps")
        # Of several steps per execution, older Keras tells the first and newer the last.
        at_once = getattr(self.model, "steps_per_execution", None) or 1
        done = (batch // at_once + 1) * at_once
        if per_epoch:
            done = min(done, per_epoch)  # the last execution may be short
            self._epoch = math.floor(self._epoch) + min(done / per_epoch, 1 - 1e-9)
        before, self._step = self._step, self._epoch_starts_at + done
        if self._step // self.every_n_batches > before // self.every_n_batches:
            self._log()

    # One step.

    def _log(self, last: bool = False) -> None:
        """Explain the model as it is now and write the record of this step."""
        step = self._step
        if step is None:
            return
        began = time.perf_counter()
        budget, first = self._budget, self._tried is None
        if budget is not None and not first and not last:
            if not budget.affords(began - self._began - budget.spent):
                return
            reduced = (budget.examples, budget.samples)
        else:
            reduced = self._bound
        self._tried = step
        try:
            with _patience(f"{self.tag}, step {step}", self._cost):
                if reduced != self._bound:
                    assert self._examples is not None  # they were drawn when training began
                    some = self._examples.first(reduced[0])
                    self._explain = self._bind(self.model, some, reduced[1])
                    self._bound = reduced
                explained = self._explain()
        except Exception as error:
            if self.strict:
                raise
            self._failed.append(step)
            self._scalars = dict.fromkeys(self._scalars, math.nan)
            self._warn(
                "explain",
                f"{type(self).__name__} could not explain step {step}; training goes on. "
                f"Received: {_told(error)}",
            )
            return
        seconds = time.perf_counter() - began
        measured = {name: float(value) for name, value in explained.scalars.items()}
        self._scalars |= measured
        meta = {
            "inputs": self._about_inputs,
            **explained.meta,
            "probe": self._probe.hash,
            "epoch": self._epoch,
            "seconds": seconds,
            "for_keras_logs": measured,
        }
        if self._dry_run_seconds is not None:
            meta["dry_run_seconds"], self._dry_run_seconds = self._dry_run_seconds, None
        if budget is not None:
            meta |= {"budget": budget.share, "skipped": budget.skipped}
            if self._bound != (self._n, 1.0):
                meta["reduced"] = {"examples": [self._bound[0], self._n], "samples": self._bound[1]}
        record = summary.Record(
            tag=self.tag,
            step=step,
            wall_time=time.time(),
            kind=explained.kind,
            meta=meta,
            figures=explained.figures,
            arrays=explained.arrays,
        )
        meta["findings"] = self._judge(record, explained.names)
        self._unwritten.append(record)
        self._write_all()
        self._cost = time.perf_counter() - began
        self._epoch_seconds += self._cost
        if budget is not None:
            budget.paid(self._cost, free=first)

    @property
    def _n(self) -> int:
        """How many examples there are."""
        return 0 if self._examples is None else len(self._examples)

    def _judge(self, record: summary.Record, names: Sequence[str] | None) -> list[dict[str, Any]]:
        """Return the findings that hold at this step; warn of alarms, and stop when asked to."""
        self._remember(record)
        features = names or next(iter((self._features() or {}).values()), None)
        try:
            found = findings.judge(self._history, features, self.example_names)
        except Exception as error:
            if self.strict:
                raise
            self._warn(
                "judge",
                f"{type(self).__name__} could not look for findings at step {record.step}; "
                f"training goes on. Received: {_told(error)}",
            )
            return []
        found = [finding for finding in found if finding.last_step == record.step]
        for finding in found:
            stops = self._stops(finding)
            if stops:
                self.model.stop_training = True
            if stops or finding.severity == "alarm":
                told = f"{finding.severity} at step {record.step}" + (
                    ", which stops training" if stops else ""
                )
                self._warn(
                    f"finding {finding.rule}{stops}",
                    f"{self.tag}: {told}: {finding.text} {finding.try_next}",
                )
        return [dataclasses.asdict(finding) for finding in found]

    def _remember(self, record: summary.Record) -> None:
        """Keep a record for the rules, and so few that memory stays flat."""
        history = self._history
        history.append(dataclasses.replace(record, arrays={}))
        self._history_bytes += _bytes(record)
        while len(history) > 4 and (len(history) > HISTORY or self._history_bytes > HISTORY_BYTES):
            del history[1:-1:2]  # the first and the last one stay
            self._history_bytes = sum(map(_bytes, history))

    def _stops(self, finding: findings.Finding) -> bool:
        if self.stop_on is None:
            return False
        if isinstance(self.stop_on, str):
            return finding.severity in ("alarm", self.stop_on)
        return finding.rule in self.stop_on

    # The log.

    def _claim(self) -> None:
        """Refuse a second callback with this tag and directory in the same fit."""
        place = self.log_dir if "://" in self.log_dir else os.path.realpath(self.log_dir)
        other = _claims.get((place, self.tag))
        # Keras hands the same dict of parameters to every callback of one fit.
        if other not in (None, self) and other._running and other.params is self.params:
            raise ValueError(
                "Callbacks that share a log_dir must have different tags: give one of them "
                f"tag=... . Received: tag={self.tag!r} twice, log_dir={self.log_dir!r}"
            )
        _claims[place, self.tag] = self

    def _open(self, examples: Examples, dry_run: Explained) -> None:
        """Open the shared writer of the directory and write the probe set."""
        by_input = None
        flat = len(self.input_names) == 1 and getattr(examples.x, "ndim", 0) == 2
        if dry_run.names is not None and flat:
            by_input = {self.input_names[0]: list(dry_run.names)}
        stored = map_leaves(
            lambda leaf: leaf.astype(np.float32) if leaf.dtype == np.float64 else leaf, examples.x
        )
        probe = summary.Probe(
            inputs=dict(zip(self.input_names, leaves(stored).values(), strict=True)),
            labels=None if isinstance(examples.y, (Mapping, list, tuple)) else examples.y,
            meta={
                "example_names": self.example_names or [str(i) for i in range(len(examples))],
                "class_names": self.class_names,
                "feature_names": self._features() or by_input,
                **({"tokens": dry_run.tokens} if dry_run.tokens else {}),
            },
        )
        if dry_run.probe is not None:
            probe = dry_run.probe
        if not self._shows_examples:
            about = {**probe.meta, "example_names": self.example_names, "content": probe.hash}
            probe = summary.Probe({}, meta=about)
        writer = None
        try:
            writer = summary.writer(self.log_dir)
            writer.write_probe(probe)
        except Exception as error:
            if writer is not None:
                writer.close()
            if _is_ours(error):
                raise
            raise ValueError(
                "log_dir must be a directory that can be written. "
                f"Received: {self.log_dir!r} ({_told(error)})"
            ) from error
        self._writer, self._probe = writer, probe
        # Also when the callback is dropped after a fit that was interrupted, and at exit.
        self._close = weakref.finalize(self, writer.close)

    def _write_all(self) -> None:
        """Write what waits to be written; what fails is kept for the next step."""
        while self._unwritten:
            record = self._unwritten[0]
            try:
                self._writer.write_probe(self._probe)  # there already, unless it was deleted
                if self.scalars:
                    figures = {**record.meta["for_keras_logs"], "seconds": record.meta["seconds"]}
                    by_tag = {f"xai/{self.tag}/{name}": value for name, value in figures.items()}
                    self._writer.scalars(by_tag, record.step, record.wall_time)
                self._writer.write(record)  # syncs the file, and with it the scalars
            except Exception as error:
                if self.strict:
                    raise
                self._warn(
                    "write",
                    f"{type(self).__name__} could not write step {record.step}; training goes on "
                    "and writing is tried again at the next step. "
                    f"Received: {_told(error)}",
                )
                while len(self._unwritten) > KEPT_FOR_RETRY:
                    self._lost.append(self._unwritten.pop(0).step)
                return
            self._unwritten.pop(0)
            self._prune()

    def _prune(self) -> None:
        """Remove the maps of steps that are not kept."""
        if self.keep is None:
            return
        try:
            self._writer.prune(self.tag, self.keep)
        except Exception as error:
            if self.strict:
                raise
            self._warn(
                "prune",
                f"{type(self).__name__} could not remove the maps of old steps; training goes on. "
                f"Received: {_told(error)}",
            )

    def _say_if_too_large(self) -> None:
        """Warn before a run would fill its disk, all callbacks of the directory counted."""
        each = self._writer.bytes_of(self.tag)
        params = self.params or {}
        epochs, batches = params.get("epochs") or 0, params.get("steps") or 0
        if self.every_n_batches:
            steps = epochs * batches // self.every_n_batches
        elif callable(self.every):
            steps = 0 if self.every is not logarithmic else sum(map(logarithmic, range(epochs + 1)))
        else:
            steps = epochs // self.every
        if self.keep is not None:
            steps = len(self.keep(range(steps + 1)))
        before = self._writer.expected()
        expected = self._writer.expected(self.tag, each * steps)
        free = self._writer.free()
        if free is not None and before <= FULL * free < expected:
            self._warn(
                "too large",
                f"The log {self.log_dir!r} will need about {expected / 1e9:.2g} GB, of which "
                f"{self.tag!r} takes {each / 1e6:.2g} MB at each of {steps} steps: give keep=, "
                'every= (such as "log") or fewer examples. '
                f"Received: a disk with {free / 1e9:.2g} GB free",
            )

    def _say_what_is_missing(self) -> None:
        lost = [*self._lost, *(record.step for record in self._unwritten)]
        for steps, reason in ((lost, "written"), (self._failed, "explained")):
            if steps:
                self._warn(
                    reason,
                    f"{type(self).__name__}: the log {self.log_dir!r} lacks steps of {self.tag!r} "
                    f"that could not be {reason}. Received: {len(steps)} steps, {_brief(steps)}",
                )

    def _warn(self, trouble: str, sentence: str) -> None:
        """Give a warning once per fit for each kind of trouble."""
        if trouble not in self._warned:
            self._warned.add(trouble)
            warnings.warn(sentence, RuntimeWarning, stacklevel=3)

    # Names.

    def _check_names(self, examples: Examples) -> None:
        if self.example_names is not None and len(self.example_names) != len(examples):
            raise ValueError(
                f"example_names must have one name for each of the {len(examples)} examples. "
                f"Received: {len(self.example_names)} names"
            )

    def _check_features(self, examples: Examples) -> None:
        inputs = dict(zip(self.input_names, leaves(examples.x).values(), strict=True))
        for name, features in (self._features() or {}).items():
            leaf = inputs.get(name)
            if leaf is None or len(features) != leaf.shape[-1]:
                raise ValueError(
                    "feature_names must have one name for each feature of an input. Received: "
                    f"{len(features)} names for {name!r}, x of shape {shapes(examples.x)}"
                )

    def _features(self) -> dict[str, list[str]] | None:
        """Feature names by input."""
        if self.feature_names is None or isinstance(self.feature_names, dict):
            return self.feature_names
        return {self.input_names[0]: self.feature_names}


def _stopping(stop_on: Any) -> str | list[str] | None:
    """`stop_on` as a severity or a list of rules, or a sentence."""
    if stop_on is None or (isinstance(stop_on, str) and stop_on in ("alarm", "warning")):
        return stop_on
    rules = [] if isinstance(stop_on, str) else words("stop_on", stop_on) or []
    if not rules:
        raise ValueError(
            f'stop_on must be "alarm", "warning" or a list of names of rules. Received: {stop_on!r}'
        )
    known = sorted(findings.RULES)
    for rule in rules:
        if rule not in known:
            close = difflib.get_close_matches(rule, known, 3, 0.5)
            hint = f"close: {', '.join(close)}" if close else f"rules: {', '.join(known)}"
            raise ValueError(f"stop_on must name rules of findings ({hint}). Received: {rule!r}")
    return rules


def _bytes(record: summary.Record) -> int:
    """How much memory the figures of a record take."""
    return sum(figure.nbytes for figure in record.figures.values())


def _nothing() -> None:
    """Do nothing."""


@contextlib.contextmanager
def _patience(what: str, seconds: float) -> Iterator[None]:
    """Tell a terminal how far an explanation is that will take long, judged by the last one."""
    if seconds < PATIENCE or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    began = time.perf_counter()

    def tell() -> None:
        while not done.wait(0.5):
            spent = time.perf_counter() - began
            share = min(spent / seconds, 0.99)
            bar = "=" * round(20 * share)
            sys.stderr.write(
                f"\rexplaining {what} [{bar:20}] {spent:.0f} of about {seconds:.0f} s "
            )
            sys.stderr.flush()

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()
        sys.stderr.write("\r\033[K")  # the line is free again for Keras' own display
        sys.stderr.flush()


def _brief(value: Any) -> str:
    """A value in at most a line."""
    text = f"array of shape {value.shape}" if hasattr(value, "shape") else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _is_ours(error: Exception) -> bool:
    """Whether an error is a sentence of this package: Keras ends many of its own alike."""
    if not isinstance(error, (ValueError, TypeError)) or "Received: " not in str(error):
        return False
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and str(place.tb_frame.f_globals.get("__name__")).startswith("tb_xai.")


def _told(error: BaseException) -> str:
    """What an error of a framework says, on one line, without its colours and its trace."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
    text = re.sub(r'Detected at node .* File "[^"]*", line \d+, in \S+ ', "", text)
    text = re.sub(r" \[\[\{\{node .*", "", text)
    return f"{type(error).__name__}: {text}"


def _is_dataset(x: Any) -> bool:
    """Whether x can be drawn from again and again: an iterator cannot."""
    return isinstance(x, keras.utils.PyDataset) or (
        hasattr(x, "element_spec") and hasattr(x, "__iter__") and not hasattr(x, "__next__")
    )


def _is_structure(x: Any) -> bool:
    """Whether x is several arrays; a plain list of numbers is one array."""
    return isinstance(x, Mapping) or (
        isinstance(x, (list, tuple))
        and any(len(getattr(part, "shape", ())) > 0 or _is_structure(part) for part in x)
    )


def _array(name: str, value: Any) -> np.ndarray:
    """An array with examples first."""
    if value is None or callable(value) or hasattr(value, "__next__"):
        raise TypeError(
            f"{name} must be an array, a nested structure of arrays, a tf.data.Dataset or a "
            f"PyDataset. Received: {_brief(value)}"
        )
    try:
        array = as_numbers(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of one shape. Received: {error}") from error
    if array.dtype == object and all(isinstance(v, (numbers.Real, np.bool_)) for v in array.flat):
        array = array.astype(np.float64)  # the columns of a data frame may be numbers and flags
    if array.dtype.kind in "OS" and array.ndim and array.size:
        items = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in array.flat]
        if all(isinstance(item, str) for item in items):
            return np.array(items).reshape(array.shape)
    if array.dtype == object or array.ndim == 0:
        raise ValueError(
            f"{name} must be an array of numbers or text with examples first. "
            f"Received: {_brief(value)} with dtype {array.dtype}"
        )
    return array


def _arrays(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _arrays(f"{name}[{key!r}]", part) for key, part in value.items()}
    if _is_structure(value):
        return [_arrays(f"{name}[{index}]", part) for index, part in enumerate(value)]
    return _array(name, value)


def _from_arrays(x: Any, y: Any, sample_weight: Any, n: int | None) -> Examples:
    """A checked probe set, of the first n examples when n is given."""
    x = _arrays("x", x)
    if not leaves(x):
        raise ValueError(f"x must have at least one array. Received: {x!r}")
    y = None if y is None else _arrays("y", y)
    if sample_weight is not None:
        sample_weight = _array("sample_weight", sample_weight)
    counts = {name: len(leaf) for name, leaf in leaves(x).items()}
    counts |= {f"y {name}": len(leaf) for name, leaf in leaves(y).items()} if y is not None else {}
    counts |= {"sample_weight": len(sample_weight)} if sample_weight is not None else {}
    if len(set(counts.values())) > 1:
        raise ValueError(
            "x, y and sample_weight must have the same number of examples. Received: "
            + ", ".join(f"{name.replace('y x', 'y')} {count}" for name, count in counts.items())
        )
    if 0 in counts.values():
        raise ValueError(
            "x must have at least one example; the probe set is empty. "
            f"Received: x of shape {shapes(x)}"
        )
    if n is not None:
        x, y, sample_weight = (
            None if part is None else map_leaves(lambda leaf: leaf[:n], part)
            for part in (x, y, sample_weight)
        )
    for name, leaf in {**leaves(x), **(leaves(y, "y") if y is not None else {})}.items():
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            bad = np.flatnonzero(~np.isfinite(leaf.reshape(len(leaf), -1)).all(axis=1))
            raise ValueError(
                f"{name} must be finite. Received: NaN or infinity in {len(bad)} of {len(leaf)} "
                f"examples, the first of them {bad[0]}"
            )
    return Examples(
        *(None if part is None else map_leaves(_fixed, part) for part in (x, y, sample_weight))
    )


def _fixed(leaf: np.ndarray) -> np.ndarray:
    """A copy that nobody changes: what moves in the log is the model."""
    copied: np.ndarray = leaf.copy()
    copied.flags.writeable = False
    return copied


def _draw(source: Any, n: int) -> Examples:
    """The first n examples of a dataset, which is left as it was."""
    if any(len(s) == 0 for s in _shapes_of_elements(source)):
        raise ValueError(
            f"x must be a dataset of batches, such as dataset.batch(32). Received: {_brief(source)}"
        )
    parts: list[tuple[Any, ...]] = []
    count = 0
    with generators_left_alone():
        batches = _batches_of_copy(source)
        try:
            for batch in batches:
                part = batch if isinstance(batch, tuple) else (batch,)
                parts.append(tuple(None if p is None else _arrays("x", p) for p in part))
                count += len(next(iter(leaves(parts[-1][0]).values())))
                if count >= n:
                    break
        finally:
            batches.close()
            del batches
    if not parts:
        raise ValueError(
            "x must have at least one example; the probe set is empty. "
            f"Received: {type(source).__name__} without a batch"
        )
    try:
        whole_parts = [
            None if together[0] is None else map_leaves(lambda *a: np.concatenate(a), *together)
            for together in zip(*parts, strict=True)
        ]
    except ValueError as error:
        raise ValueError(
            "The batches of a dataset must have one shape behind the examples. "
            f"Received: {_brief([shapes(part[0]) for part in parts])}"
        ) from error
    x, y, sample_weight = (*whole_parts, None, None)[:3]
    return _from_arrays(x, y, sample_weight, n)


def _shapes_of_elements(dataset: Any) -> list[Any]:
    """The shapes of what a tf.data.Dataset yields, where they have a known rank."""
    spec = getattr(dataset, "element_spec", ())
    found = leaves(spec).values()
    return [s.shape for s in found if getattr(getattr(s, "shape", None), "rank", None) is not None]


def _batches_of_copy(source: Any) -> Generator[Any, None, None]:
    """Batches of a dataset, drawn in a way that its own next epoch does not notice."""
    if isinstance(source, keras.utils.PyDataset):
        large = {id(v): v for v in vars(source).values() if isinstance(v, np.ndarray)}
        try:
            source = copy.deepcopy(source, large)  # its own state, the same arrays
        except Exception as error:
            _say_not_copied(source, error)
        number = source.num_batches
        index = 0
        while number is None or index < number:
            yield source[index]
            index += 1
        return
    variables = _variables_of(source)
    before = [variable.numpy() for variable in variables]
    iterator = iter(_unshuffled_copy(source))
    try:
        yield from iterator
    finally:
        del iterator  # joins the threads that draw ahead
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def _nodes(dataset: Any) -> Iterable[Any]:
    """A tf.data.Dataset and everything it is made from."""
    yield dataset
    for part in dataset._inputs():
        yield from _nodes(part)


def _variables_of(dataset: Any) -> list[Any]:
    """Variables that the functions mapped over a dataset hold, such as the seeds of a layer."""
    found: dict[int, Any] = {}
    for node in _nodes(dataset):
        function = getattr(getattr(node, "_map_func", None), "function", None)
        found |= {id(v): v for v in getattr(function, "variables", ())}
    return list(found.values())


def _unshuffled_copy(dataset: Any) -> Any:
    """The same dataset with its own seeds for shuffling.

    Every iterator over a shuffled dataset advances a seed generator that belongs to the dataset,
    so that drawing from it here would change the order in which training sees its examples.
    """
    if not any("Shuffle" in type(node).__name__ for node in _nodes(dataset)):
        return dataset
    import tensorflow as tf

    try:
        graph = tf.compat.v1.GraphDef.FromString(
            tf.raw_ops.DatasetToGraphV2(
                input_dataset=dataset._variant_tensor, external_state_policy=1
            ).numpy()
        )
        fresh = graph.node.add(name="tb_xai_fresh_seeds", op="DummySeedGenerator").name
        for node in graph.node:
            if node.op == "ShuffleDatasetV3":
                node.input[4] = fresh
            elif node.op == "ShuffleAndRepeatDatasetV2":
                node.input[5] = fresh
        variant = tf.raw_ops.DatasetFromGraph(graph_def=graph.SerializeToString())
        from tensorflow.python.data.ops.dataset_ops import from_variant

        return from_variant(variant, dataset.element_spec)
    except Exception as error:
        _say_not_copied(dataset, error)
        return dataset


def _say_not_copied(source: Any, error: Exception) -> None:
    warnings.warn(
        "The probe set is drawn from the dataset itself because it could not be copied; give the "
        "callback a dataset of its own if training uses this one too. "
        f"Received: {type(source).__name__}, {_told(error)}",
        RuntimeWarning,
        stacklevel=4,
    )


def _input_names(model: Any, x: Any) -> list[str]:
    """Names of the arrays of x: its keys, the model's names for a list, "x" for a single array."""
    names = list(leaves(x))
    declared = _declared(model)
    if isinstance(x, list) and len(declared) == len(names):
        return [tensor.name for tensor in declared]
    return names


def _may_be_ids(model: Any, x: Any, token_names: Any) -> list[bool]:
    """Whether whole numbers of each input may be ids.

    They are none where a model without an embedding reads them as floats.
    """
    names, declared = list(leaves(x)), _declared(model)
    embeds = any(isinstance(layer, keras.layers.Embedding) for layer in model._flatten_layers())
    if embeds or token_names is not None or len(declared) != len(names):
        return [True] * len(names)
    by_name = {tensor.name: tensor for tensor in declared}
    keyed = isinstance(x, Mapping) and set(by_name) == set(names)
    asked = [by_name[name] for name in names] if keyed else declared
    return ["float" not in str(tensor.dtype) for tensor in asked]


def _declared(model: Any) -> list[Any]:
    """The inputs a model declares; a subclassed or unbuilt one declares none."""
    try:
        return list(model.inputs or [])
    except (AttributeError, ValueError):
        return []
