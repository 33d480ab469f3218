"""Callback that logs how much a model's score over a data set depends on each feature."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tb_xai import gradients, importance, summary
from tb_xai.callbacks.base import Examples, Explained, ExplanationCallback, words

# Mutual information by nearest neighbours takes 3 to 5 us for each value: half a second at most.
MOST_VALUES = 100_000


class PermutationImportanceCallback(ExplanationCallback):
    """Logs permutation importance over fixed rows at step 0 and after every epoch.

    `PI_j = mean L(y_i, f(x_i with x_ij <- x_kj)) - mean L(y_i, f(x_i))`: how much worse the metric
    gets when feature j is taken from another row. Positive means useful, for errors and for scores
    alike; an unused feature has exactly 0. The rows and their permutations are the same at every
    step, so that what moves in the log is the model.

    Logged at every step, under `tag`:
        figures per feature or group: `mean`, its 95 % interval over rows `low` and `high`, and
            `stderr`, in the unit of the metric.
        figures per column of a flat input, once, at the first step: `single_score` with its 95 %
            interval `single_low` and `single_high` (how well the column alone tells the label, see
            `tb_xai.importance.single_feature_score`), `scale` (its standard deviation) and, with
            scikit-learn, `mutual_information` (nats; up to 100,000 values) and `correlation` of
            column and label, see the functions of these names. Labels are classes or values as the
            model's loss has it. What was left out is in meta `left_out`, with the reason.
        scalars `xai/<tag>/<name>`, also in Keras' logs as `xai_<tag>_<name>`: `score` (the metric
            on these rows), `top_share` (the largest importance as a share of the sum of the
            positive ones; NaN when none is positive), `seconds`.

    Keras' logs hold at every epoch what was measured last, so that History and CSVLogger have whole
    columns when `every` leaves epochs out. Callbacks that shall see these entries (EarlyStopping,
    ModelCheckpoint, CSVLogger, ReduceLROnPlateau) must stand behind this one in the list.

    Cost: one compiled call per step, traced once; `n_repeats * d + 1` forward passes of the rows.

    Args:
        log_dir: Directory of the run; give `keras.callbacks.TensorBoard` the same one.
        x: Rows with the shape the model takes: an array (n, d), a data frame, a nested structure
            for several inputs, a batched `tf.data.Dataset` or a `keras.utils.PyDataset`. Use rows
            that are not trained on. A dataset is drawn once, when training begins, without
            disturbing its order or any generator.
        y: Labels of the rows as the model's loss takes them; None when `x` is a dataset of (x, y).
        metric: What the importance is measured in; see
            `tb_xai.importance.permutation_importance`. None is the model's own loss.
        n_repeats: Permutations of each feature, at least 1. Default 10.
        groups: Features that are permuted together, by name of the group; None for each alone.
        feature_names: Name of each feature, in one list also for several inputs; None for the
            columns of a data frame or "x0", "x1", ...
        sample_weight: Weight of each row, (n,), or None.
        greater_is_better: Direction of a callable metric; known for the others.
        tag: Name of the series; None is "permutation_importance". Two callbacks of one `log_dir`
            need two.
        every: Explain after every so many epochs, or whenever this callable returns True for the
            number of finished epochs; "log" is after epochs 1 to 9, 10, 20, ... 90, 100, 200, ...
            Step 0 and the last epoch are always logged.
        every_n_batches: Explain after every so many training batches instead; the step axis then
            counts batches. Costs Keras its overlap of callbacks with training.
        budget: Largest share of training time for this after step 0, in (0, 1]. A step that would
            pass it is left out; where more than five in a row would be, rows are
            halved, down to 64, and then repeats, down to an eighth. What
            was reduced is in `meta["skipped"]` and `meta["reduced"]`.
            The last step is always logged. None: no limit.
        seed: Seed of the permutations.
        n_examples: Number of rows at most; None is all of an array, 1024 of a dataset.
        example_names: Name of each row, or None for their positions.
        class_names: Name of each class, or None.
        batch_size: Permuted rows that pass the model at once; None chooses.
        stop_on: What ends training: a finding of severity "alarm", or "warning" and above, or of
            one of a list of rules by name; see `tb_xai.findings`. None: nothing does.
        keep: Steps that keep their maps: a number of newest ones, a `tb_xai.summary.Keep(newest,
            every)`, or None for all. Figures, and the maps of the first step, are always kept.
        scalars: Whether to write the scalar summaries.
        strict: Raise when a step cannot be explained or written after training has begun. By
            default training goes on: a warning is given once, writing is tried again at the next
            step, and what was lost is named at the end.

    Raises:
        TypeError, ValueError: At construction or in the dry run before the first batch, in one
            sentence that ends in what was received: wrong shapes, labels missing or out of range,
            NaN in `x`, no rows, an unknown metric, a group with an unknown column, a log directory
            that cannot be written.

    Example:
        >>> callback = PermutationImportanceCallback("logs/a", x_val, y_val, feature_names=names)
        >>> model.fit(x, y, epochs=20, callbacks=[callback, keras.callbacks.TensorBoard("logs/a")])

    References:
        Fisher, Rudin, Dominici, "All models are wrong, but many are useful",
        https://arxiv.org/abs/1801.01489, 2019.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        x: Any,
        y: Any = None,
        *,
        metric: Any = None,
        n_repeats: int = 10,
        groups: Mapping[str, Any] | None = None,
        feature_names: Sequence[str] | None = None,
        sample_weight: Any = None,
        greater_is_better: bool | None = None,
        tag: str | None = None,
        every: int | str | Callable[[int], bool] = 1,
        every_n_batches: int | None = None,
        budget: float | None = None,
        seed: int = 0,
        n_examples: int | None = None,
        example_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        batch_size: int | None = None,
        stop_on: str | Sequence[str] | None = None,
        keep: int | summary.Keep | None = None,
        scalars: bool = True,
        strict: bool = False,
    ) -> None:
        if feature_names is None and hasattr(x, "columns"):
            feature_names = x.columns
        names = words("feature_names", feature_names)
        super().__init__(
            log_dir,
            x,
            y,
            sample_weight=sample_weight,
            tag="permutation_importance" if tag is None else tag,
            every=every,
            every_n_batches=every_n_batches,
            budget=budget,
            seed=seed,
            n_examples=n_examples,
            example_names=example_names,
            class_names=class_names,
            feature_names=names,
            batch_size=batch_size,
            stop_on=stop_on,
            keep=keep,
            scalars=scalars,
            strict=strict,
            from_dataset=1024,
        )
        self._grouped = groups is not None
        self._has_samples = True
        self._n_repeats = n_repeats
        self._made: Callable[[int], Any] = lambda n_repeats: importance.permutation(
            n_repeats=n_repeats,
            metric=metric,
            groups=groups,
            seed=self.seed,
            feature_names=names,
            batch_size=self.batch_size,
            greater_is_better=greater_is_better,
        )
        self._made(n_repeats)  # wrong settings are refused now

    _fewest = 64
    _shows_examples = False

    def _features(self) -> dict[str, list[str]] | None:
        """Feature names by input; of several inputs one list names all columns, checked later."""
        return super()._features() if len(self.input_names) == 1 else None

    def _bind(self, model: Any, examples: Examples, samples: float) -> Callable[[], Explained]:
        if not isinstance(examples.x, (Mapping, list)):  # of several, Keras lets some be left over
            gradients.check_inputs(model, examples.x, text=True)
        binder = self._made(max(1, round(samples * self._n_repeats)))
        explain = binder(model)
        self.explain = explain
        grouped = self._grouped
        # They stay: the first record has them, and none after a budget took rows.
        first = not grouped and samples == 1 and len(examples) == self._n
        alone = _alone(model, examples) if first else ({}, {})
        calls = 0

        def explained() -> Explained:
            nonlocal calls
            calls += 1
            found = explain(examples.x, examples.y, examples.sample_weight)
            columns = (
                getattr(examples.x, "ndim", 0) == 2 and len(found.names) == examples.x.shape[1]
            )
            useful = found.mean[found.mean > 0]
            top = float(useful.max() / useful.sum()) if len(useful) else float("nan")
            return Explained(
                "importance",
                {
                    "method": binder.method,
                    "params": binder.params,
                    "signed": True,
                    "additive": False,
                    "metric": found.metric,
                    "score_name": found.metric,
                    "score": found.score,
                    "target": "",
                    # Of columns the probe set holds the names; groups have theirs here.
                    **({} if columns and not grouped else {"names": found.names}),
                    **({"left_out": alone[1]} if alone[1] and calls <= 2 else {}),
                },
                {
                    "mean": found.mean,
                    "low": found.low,
                    "high": found.high,
                    "stderr": found.stderr,
                    **(alone[0] if calls <= 2 else {}),  # the dry run is no record
                },
                {"score": found.score, "top_share": top},
                names=None if grouped else found.names,
            )

        return explained


def _alone(model: Any, examples: Examples) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What columns of a flat input say without the model, and why something of it is left out."""
    x, y = examples.x, examples.y
    if not isinstance(x, np.ndarray) or x.ndim != 2 or x.dtype.kind not in "biuf":
        return {}, {}
    figures = {"scale": x.astype(np.float64).std(axis=0)}
    try:
        classes = importance.takes_classes(model, y)
        found = importance.single_feature_score(x, y, classes=classes)
    except (TypeError, ValueError) as error:  # labels of several outputs, or of none
        names = ("single_score", "mutual_information", "correlation")
        return figures, dict.fromkeys(names, f"Left out: {error}")
    figures |= {"single_score": found.mean, "single_low": found.low, "single_high": found.high}
    labels = y if np.ndim(y) > 1 and np.shape(y)[1] > 1 else np.asarray(y).reshape(-1)
    if found.metric == "auc":
        labels = labels if labels.ndim > 1 else np.unique(labels, return_inverse=True)[1]
    else:
        labels = labels.astype(np.float64)
    left_out = {}
    for measure in (importance.mutual_information, importance.correlation):
        name = measure.__name__
        if measure is importance.mutual_information and x.size > MOST_VALUES:
            left_out[name] = (
                f"Left out: it takes too long for {x.size} values, more than {MOST_VALUES}."
            )
            continue
        try:
            figures[name] = measure(x, labels).mean
        except (ImportError, TypeError, ValueError) as error:
            left_out[name] = f"Left out: {error}"
    return figures, left_out
