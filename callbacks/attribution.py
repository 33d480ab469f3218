"""Callbacks that log which parts of each probe example moved the model's output, and how much."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from tb_xai import cam, gradients, perturbation, summary, targets
from tb_xai.callbacks.base import (
    Examples,
    Explained,
    ExplanationCallback,
    leaves,
    map_leaves,
    words,
)
from tb_xai.callbacks.quality import Judge, Judged, masks_of

# Vectors over the features of a flat input, and rows of predictions, are logged up to these widths.
MOST_FEATURES = 10_000
MOST_OUTPUTS = 32
# Values of players stand in the record's own event up to this number.
MOST_PLAYER_VALUES = 512


class AttributionCallback(ExplanationCallback):
    """Logs an attribution of fixed examples at step 0 and after every epoch.

    For each example the value `target` is attributed to the input: `values` has the shape of the
    input, is signed and keeps its own scale. What is explained stays fixed over the whole run - the
    examples, the label of each as its target, the baseline and the random draws - so that what
    moves in the log is the model.

    Logged at every step, under `tag`:
        maps: `values` of each example, signed float32.
        figures per example: `output` (the target's value), `prediction` (up to 32 outputs),
            `predicted` class and its `confidence`, `sum` (signed) and `sum_abs` of the values,
            `entropy` of |values| / sum |values| in nats (uniform over d elements: ln d), `peak`
            (largest |value|), and for additive methods `baseline_output` and `gap`, the relative
            completeness gap |sum - (output - baseline_output)| / |output - baseline_output|; for
            LIME `r2`, how well the surrogate fits.
        `cam.activations` has one map per filter and example; `cam.weights` has filters in the place
            of examples, and of the figures only those that speak of values, with `output` the norm.
        figures of quality per example, see `tb_xai.quality`: `gini` and `randomisation` (Spearman's
            correlation of magnitudes with the explanation of a clone with random weights) at every
            step; `deletion` and `insertion` with `deletion_random` and `insertion_random` (areas
            from the target at the baseline, in units of its distance to that at x, beside those
            of a random order), `faithfulness`, `infidelity` with `infidelity_stderr`, and
            `max_sensitivity` in turns; for images also `grid` (n, 16), the share of |values| in
            each cell of 4 x 4, and for additive methods `grid_signed`, the net evidence there for
            the label over the sum of |values|. They use the target, the baseline and the label of
            the explanation; slopes count as slope times (x - baseline) where contributions are
            asked for. For each name m in `masks` and `suspects`: `mass.m`, `rank.m`, `hit.m`, for
            additive methods `signed.m` (net evidence inside, as in `grid_signed`), and meta `masks`
            with the share of the input that they cover. Undefined is NaN, with the reason in meta
            `quality`; what has no turn at a step is left out.
        meta `findings`: what `tb_xai.findings` has to say at this step; alarms are warnings, too.
        figures per feature, for flat inputs: `mean_abs` with its 95 % interval over examples, and
            `mean` (signed).
        scalars `xai/<tag>/<name>`, also in Keras' logs as `xai_<tag>_<name>`: `sum_abs` and
            `entropy` (means over examples), `gap` (95th percentile), `seconds`, and figures of
            quality (means over the examples where they are defined).

    Keras' logs hold at every epoch what was measured last, so that History and CSVLogger have whole
    columns when `every` leaves epochs out. Callbacks that shall see these entries (EarlyStopping,
    ModelCheckpoint, CSVLogger, ReduceLROnPlateau) must stand behind this one in the list.

    Cost: one compiled call per step, traced once; the method's passes over `n` examples. Quality
    costs at most as much again: measures that need the model take turns over the steps, on some of
    the examples: 16 pictures of 28 x 28 have each of them every 16th step when explained by a
    gradient, and every 6th when by 16-step integrated gradients. All are taken at step 0, in the
    dry run before training, which also explains a clone with random weights. `quality="full"` takes
    all of them of all examples at every step, whatever it costs: 34 forward passes per example and
    one explanation.

    Args:
        log_dir: Directory of the run; give `keras.callbacks.TensorBoard` the same one.
        x: Examples with the shape the model takes: an array (n, ...), a nested structure for
            several inputs, a batched `tf.data.Dataset` or a `keras.utils.PyDataset`. A dataset is
            drawn once, when training begins, without disturbing its order or any generator.
        y: Class of each example, (n,), (n, 1) or one-hot (n, k); None when the target needs none
            (regression) or `x` is a dataset of (x, y).
        method: Binder such as `tb_xai.gradients.smooth_grad(n_samples=20)`.
        target: What is explained: a target of `tb_xai.targets` or any callable
            (outputs, y) -> (n,).
        tag: Name of the series; None is the method's name. Two callbacks of one `log_dir` need two.
        every: Explain after every so many epochs, or whenever this callable returns True for the
            number of finished epochs; "log" is after epochs 1 to 9, 10, 20, ... 90, 100, 200, ...
            Step 0 and the last epoch are always logged.
        every_n_batches: Explain after every so many training batches instead; the step axis then
            counts batches. Costs Keras its overlap of callbacks with training.
        budget: Largest share of training time for this after step 0, in (0, 1]. A step that would
            pass it is left out; where more than five in a row would be, examples are
            halved, down to 4, and then steps or samples, down to an eighth. What
            was reduced is in `meta["skipped"]` and `meta["reduced"]`.
            The last step is always logged. None: no limit.
        seed: Seed of the callback's own draws; gradients draw nothing, and a sampling method has
            a seed of its own.
        n_examples: Number of examples at most; None is all of an array, 16 of a dataset.
        example_names: Name of each example, or None for their positions.
        class_names: Name of each class, or None.
        feature_names: Name of each feature of a flat input; a dict by input name when there are
            several; or None.
        token_names: Name of each token id (a vocabulary) for inputs of token ids, so that words are
            shown beside their values; a dict by input name when there are several; or None.
        batch_size: Rows that pass the model at once, perturbed ones counted; None chooses.
        quality: Whether the quality of each explanation is measured; "full": always all of it.
        masks: Where evidence should lie: booleans in the shape of an input, with or without
            examples and channels, or a list of names of features; or a dict of these by name.
        suspects: The same of places that must not matter: a watermark, a border, a corner.
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
            NaN in `x`, an empty probe set, names of the wrong number, an input that is not
            differentiable, a log directory that cannot be written.

    Example:
        >>> callback = AttributionCallback("logs/a", x[:16], y[:16], method=smooth_grad())
        >>> model.fit(x, y, epochs=20, callbacks=[callback, keras.callbacks.TensorBoard("logs/a")])
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        x: Any,
        y: Any = None,
        *,
        method: gradients.Binder,
        target: Callable[[Any, Any], Any] = targets.log_odds,
        tag: str | None = None,
        every: int | str | Callable[[int], bool] = 1,
        every_n_batches: int | None = None,
        budget: float | None = None,
        seed: int = 0,
        n_examples: int | None = None,
        example_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        token_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        batch_size: int | None = None,
        quality: bool | Literal["full"] = True,
        masks: Any = None,
        suspects: Any = None,
        stop_on: str | Sequence[str] | None = None,
        keep: int | summary.Keep | None = None,
        scalars: bool = True,
        strict: bool = False,
    ) -> None:
        if not isinstance(method, gradients.Binder):
            raise TypeError(
                "method must be a binder of this package, such as gradients.saliency(). "
                f"Received: method={method!r}"
            )
        if not callable(target):
            raise TypeError(
                "target must be a target of tb_xai.targets or a callable (outputs, y) -> (n,). "
                f"Received: target={target!r}"
            )
        super().__init__(
            log_dir,
            x,
            y,
            tag=method.method if tag is None else tag,
            every=every,
            every_n_batches=every_n_batches,
            budget=budget,
            seed=seed,
            n_examples=n_examples,
            example_names=example_names,
            class_names=class_names,
            feature_names=feature_names,
            batch_size=batch_size,
            stop_on=stop_on,
            keep=keep,
            scalars=scalars,
            strict=strict,
            from_dataset=16,
        )
        self.method = method
        if not isinstance(quality, bool) and quality != "full":
            raise ValueError(f'quality must be True, False or "full". Received: {quality!r}')
        self.quality = quality
        self._masks = masks_of(masks, suspects)
        self._has_samples = method.fewer is not None
        self.target = target
        self.token_names = _vocabularies(token_names)

    def _bind(self, model: Any, examples: Examples, samples: float) -> Callable[[], Explained]:
        # Before anything traces the model with it.
        read = _as_read(examples, gradients.check_inputs(model, examples.x, text=True))
        method = self.method
        if samples < 1 and method.fewer is not None:
            method = method.fewer(samples)
        explain = method(model, target=self.target, batch_size=self.batch_size)
        self.explain = explain
        names = self.input_names
        inputs = dict(zip(names, leaves(examples.x).values(), strict=True))
        about = {
            "method": method.method,
            "params": dict(method.params),
            "signed": method.signed,
            "additive": method.additive,
            "target": targets.name(self.target),
            "score_name": targets.name(self.target),
        }

        ids = self._tokens(inputs)
        texts = {name: leaf for name, leaf in inputs.items() if leaf.dtype.kind == "U"}
        lines = ids | {name: _split(leaf) for name, leaf in texts.items()}
        head = head_of(model, self.target, examples)
        outputs = list(getattr(model, "output_names", None) or [])
        if self.class_names is not None and head.classes not in (0, len(self.class_names)):
            raise ValueError(
                f"class_names must have one name for each of the {head.classes} classes. "
                f"Received: {len(self.class_names)} names"
            )

        judge: Any = _no_judge
        if self.quality:
            judge = Judge(
                model,
                method,
                explain,
                self.target,
                read,
                names,
                self._features(),
                self._masks,
                self.seed,
                self.batch_size,
                full=self.quality == "full",
                total=self._n,
                failed=None if self.strict else self._not_measured,
            )

        def named(values: Any) -> dict[str, np.ndarray]:
            """Values by input; those of inputs that were held fixed are None."""
            found = leaves(values)
            keys = names if len(found) == len(names) else list(found)
            return {
                name: np.asarray(leaf, np.float32)
                for name, leaf in zip(keys, found.values(), strict=True)
                if leaf is not None
            }

        def explained() -> Explained:
            a = explain(examples.x, examples.y)
            judged = judge(a)
            if isinstance(a, cam.KernelAttribution):
                return self._of_kernels(a, about, judged)
            more: dict[str, Any] = {}
            if isinstance(a, cam.FilterAttribution):
                arrays, more = dict(a.values), about_filters(a, inputs)
            else:
                arrays = named(a.values)
                more = about_parts(a)
            tokens = {
                name: tokens
                for name, tokens in (ids if getattr(a, "words", None) is None else lines).items()
                if name in arrays and arrays[name].shape[1:] == (max(map(len, tokens)),)
            }
            figures = {"output": a.output, **predictions(a.prediction, head, outputs)}
            figures |= strength(list(arrays.values()))
            scalars = {
                "sum_abs": _mean(figures["sum_abs"]),
                "entropy": _mean(figures["entropy"], beside=figures["sum_abs"]),
            }
            if a.baseline_output is not None:
                figures["baseline_output"] = a.baseline_output
            if isinstance(a, perturbation.PlayerAttribution) and a.r2 is not None:
                figures["r2"] = a.r2
            if a.gap is not None:
                figures["gap"] = a.gap
                scalars["gap"] = float(np.quantile(a.gap, 0.95))
            for name, values in arrays.items():
                if name in inputs and values.shape == inputs[name].shape and values.ndim == 2:
                    prefix = "" if len(arrays) == 1 else f"{name}."
                    figures |= {prefix + k: v for k, v in by_feature(values).items()}
            if a.stderr is not None:
                arrays |= {f"{name}.stderr": values for name, values in named(a.stderr).items()}
            meta = about | more | judged.meta
            figures, scalars = figures | judged.figures, scalars | judged.scalars
            return Explained("attribution", meta, figures, scalars, arrays, tokens=tokens)

        return explained

    def _not_measured(self, why: str) -> None:
        self._warn(
            "quality",
            f"{type(self).__name__} explains, but not all of how good its explanations are is "
            f"measured; training goes on. {why}",
        )

    def _of_kernels(
        self, a: cam.KernelAttribution, about: Mapping[str, Any], judged: Judged
    ) -> Explained:
        """The record of a layer's weights, whose rows are filters."""
        figures = {"output": a.output, **strength([a.values["kernel"]]), **judged.figures}
        shape = a.values["kernel"].shape[1:]
        if len(shape) == 1:
            figures |= by_feature(a.values["kernel"])
        names = self._features()
        of_inputs = next(iter((names or {}).values()), None)
        meta = {
            "example_names": [f"filter {number}" for number in a.filters],
            "class_names": None,
            "feature_names": {"kernel": of_inputs} if shape == (len(of_inputs or ()),) else None,
        }
        kind = "flat" if len(shape) == 1 else "image" if len(shape) < 4 else "other"
        more = {
            "inputs": {"kernel": {"shape": list(shape), "kind": kind}},
            "layer": a.layer,
            "score_name": "norm",
            "value_name": "weight",
            **judged.meta,
        }
        scalars = {
            **judged.scalars,
            "sum_abs": _mean(figures["sum_abs"]),
            "entropy": _mean(figures["entropy"], beside=figures["sum_abs"]),
        }
        probe = summary.Probe(dict(a.values), meta=meta)
        return Explained("attribution", {**about, **more}, figures, scalars, a.values, probe=probe)

    def _tokens(self, inputs: Mapping[str, np.ndarray]) -> dict[str, list[list[str]]]:
        """The names of token ids, input by input."""
        found = {}
        for name, leaf in inputs.items():
            known = self.token_names
            if isinstance(known, dict):
                known = known.get(name)
            if known is None or leaf.dtype.kind not in "iu" or leaf.ndim != 2:
                continue
            if leaf.min() < 0 or leaf.max() >= len(known):
                raise ValueError(
                    f"token_names must have a name for each id from 0 to {leaf.max()} of input "
                    f"{name!r}. Received: {len(known)} names, ids from {leaf.min()}"
                )
            found[name] = [[known[i] for i in row] for row in leaf.tolist()]
        return found


class SaliencyCallback(AttributionCallback):
    """Logs the signed gradient of the target by the input, for fixed examples.

    `values = d target / d x`: the sensitivity of each example's log-odds to each of its elements,
    in units of the target per unit of the input (Simonyan et al., 2014). Magnitudes are taken on
    screen; the sign is kept.

    What is logged, and every argument: see `AttributionCallback`; `method` is
    `tb_xai.gradients.saliency()`, `tag` is "saliency" when None.

    Cost: one forward and one backward pass of `x` per step.

    Example:
        >>> model.fit(x, y, callbacks=[SaliencyCallback("logs/run1", x_val[:16], y_val[:16])])

    References:
        Simonyan, Vedaldi, Zisserman, "Deep inside convolutional networks",
        https://arxiv.org/abs/1312.6034, 2014.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        x: Any,
        y: Any = None,
        *,
        target: Callable[[Any, Any], Any] = targets.log_odds,
        tag: str | None = None,
        every: int | str | Callable[[int], bool] = 1,
        every_n_batches: int | None = None,
        budget: float | None = None,
        seed: int = 0,
        n_examples: int | None = None,
        example_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        token_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        batch_size: int | None = None,
        quality: bool | Literal["full"] = True,
        masks: Any = None,
        suspects: Any = None,
        stop_on: str | Sequence[str] | None = None,
        keep: int | summary.Keep | None = None,
        scalars: bool = True,
        strict: bool = False,
    ) -> None:
        super().__init__(
            log_dir,
            x,
            y,
            method=gradients.saliency(),
            target=target,
            tag=tag,
            every=every,
            every_n_batches=every_n_batches,
            budget=budget,
            seed=seed,
            n_examples=n_examples,
            example_names=example_names,
            class_names=class_names,
            feature_names=feature_names,
            token_names=token_names,
            batch_size=batch_size,
            quality=quality,
            masks=masks,
            suspects=suspects,
            stop_on=stop_on,
            keep=keep,
            scalars=scalars,
            strict=strict,
        )


class IntegratedGradientsCallback(AttributionCallback):
    """Logs integrated gradients of the target from a baseline to fixed examples.

    `values = (x - b) * integral over a in [0, 1] of d target / d x at b + a (x - b)`, with
    Gauss-Legendre nodes. Per example the values add up to `output - baseline_output`, but for the
    error of the quadrature, which is logged as `gap`; raise `n_steps` where it stays above 5 %.

    What is logged, and every other argument: see `AttributionCallback`; `method` is
    `tb_xai.gradients.integrated_gradients(n_steps, baseline)`, `tag` is "integrated_gradients" when
    None.

    Cost: `n_steps` forward and backward passes of `x` per step; examples whose gap is above 5 % are
    done again with twice the steps, up to `8 * n_steps`.

    Args:
        log_dir: Directory of the run.
        x: Examples.
        y: Class of each example, or None.
        n_steps: Nodes of the quadrature, at least 1. Default 16.
        baseline: What "absent" is: a number, an array of the shape of one example or of `x`, or
            a structure of them. Default 0.

    Example:
        >>> callback = IntegratedGradientsCallback("logs/run1", x_val[:16], y_val[:16], n_steps=16)
        >>> model.fit(x, y, epochs=20, callbacks=[callback])

    References:
        Sundararajan, Taly, Yan, "Axiomatic attribution for deep networks",
        https://arxiv.org/abs/1703.01365, 2017.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        x: Any,
        y: Any = None,
        *,
        n_steps: int = 16,
        baseline: Any = 0.0,
        target: Callable[[Any, Any], Any] = targets.log_odds,
        tag: str | None = None,
        every: int | str | Callable[[int], bool] = 1,
        every_n_batches: int | None = None,
        budget: float | None = None,
        seed: int = 0,
        n_examples: int | None = None,
        example_names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        feature_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        token_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        batch_size: int | None = None,
        quality: bool | Literal["full"] = True,
        masks: Any = None,
        suspects: Any = None,
        stop_on: str | Sequence[str] | None = None,
        keep: int | summary.Keep | None = None,
        scalars: bool = True,
        strict: bool = False,
    ) -> None:
        super().__init__(
            log_dir,
            x,
            y,
            method=gradients.integrated_gradients(n_steps=n_steps, baseline=baseline),
            target=target,
            tag=tag,
            every=every,
            every_n_batches=every_n_batches,
            budget=budget,
            seed=seed,
            n_examples=n_examples,
            example_names=example_names,
            class_names=class_names,
            feature_names=feature_names,
            token_names=token_names,
            batch_size=batch_size,
            quality=quality,
            masks=masks,
            suspects=suspects,
            stop_on=stop_on,
            keep=keep,
            scalars=scalars,
            strict=strict,
        )


@dataclass(frozen=True)
class Head:
    """How a prediction is to be read."""

    kind: str = ""  # "softmax", "logits", "sigmoid", "value"; "" when it is none of these
    classes: int = 0
    output: str | int | None = None  # which of several outputs is explained


def head_of(model: Any, target: Any, examples: Examples) -> Head:
    """Find the head that `target` looks at, by tracing the model on one example."""
    which = getattr(target, "output", None)
    found = []

    def look(outputs: Any, y: Any) -> Any:
        with contextlib.suppress(ValueError):  # several outputs, or none of the known heads
            head = targets.head_of(outputs)
            linear = head.kind == "softmax" and head.logits is head.outputs
            found.append(Head("logits" if linear else head.kind, head.classes, which))
        return tf.zeros(tf.shape(tf.nest.flatten(outputs)[0])[:1])

    spy = look if which is None else targets.of_output(which, look)
    score = targets.bind(model, spy)
    one = map_leaves(lambda leaf: tf.convert_to_tensor(leaf[:1]), examples.x)
    tf.function(score, autograph=False).get_concrete_function(one)
    return found[-1] if found else Head()


def predictions(prediction: Any, head: Head, names: Sequence[str]) -> dict[str, np.ndarray]:
    """What the model predicts for each example.

    Args:
        prediction: Outputs of the model.
        head: How to read them.
        names: Names of the model's outputs, to find the explained one in a list.

    Returns:
        `prediction` (n, k) for at most 32 outputs; for classes also `predicted` (n,) int32, -1
        where the outputs are not finite, and its `confidence` (n,).
    """
    if head.output is not None:
        which = head.output
        if isinstance(prediction, (list, tuple)) and isinstance(which, str):
            which = list(names).index(which)
        prediction = prediction[which]
    if isinstance(prediction, (Mapping, list, tuple)):
        return {}
    values = np.asarray(prediction, np.float32)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2:
        return {}
    found = {"prediction": values} if values.shape[1] <= MOST_OUTPUTS else {}
    if head.kind in ("", "value"):
        return found
    p = values
    if head.kind == "logits" or (head.kind == "softmax" and (values < 0).any()):
        with np.errstate(invalid="ignore"):
            p = np.exp(values - values.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
    elif values.shape[1] == 1:
        p = np.concatenate([1 - values, values], axis=1)
    known = np.isfinite(p).all(axis=1)
    p = np.where(known.reshape(-1, 1), p, 0.0)
    return {
        **found,
        "predicted": np.where(known, p.argmax(axis=1), -1).astype(np.int32),
        "confidence": np.where(known, p.max(axis=1), np.nan).astype(np.float32),
    }


def strength(maps: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Sum, strength, spread and peak of each example's values, over all inputs together.

    `entropy = -sum p ln p` with `p = |a| / sum |a|`, in nats; NaN for an example whose values are
    all zero or not finite.

    Args:
        maps: Values of each input, (n, ...).

    Returns:
        `sum`, `sum_abs`, `entropy` and `peak`, each (n,) float64.
    """
    flat = np.concatenate([m.reshape(len(m), -1) for m in maps], axis=1).astype(np.float64)
    size = np.abs(flat)
    total = size.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = size / total[:, None]
        entropy = -np.where(p > 0, p * np.log(p), p * 0).sum(axis=1)
    return {
        "sum": flat.sum(axis=1),
        "sum_abs": total,
        "entropy": entropy,
        "peak": size.max(axis=1, initial=0.0),
    }


def about_filters(a: cam.FilterAttribution, inputs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """What the log says of activation maps: each filter is shown like an input, over one of them.

    Args:
        a: Activations of filters.
        inputs: The examples by input.

    Returns:
        Entries of a record's meta.
    """
    shape = next(iter(a.values.values())).shape[1:]
    rank = len(shape) + 2
    under = next((name for name, leaf in inputs.items() if leaf.ndim == rank), next(iter(inputs)))
    kind = {1: "sequence", 2: "image"}.get(len(shape), "other")
    return {
        "inputs": {name: {"shape": list(shape), "kind": kind, "of": under} for name in a.values},
        "layer": a.layer,
        "signed": a.signed,
        "value_name": "activation",
    }


def about_parts(a: gradients.Attribution) -> dict[str, Any]:
    """What the log says of the layer that a map belongs to, and of players that groups are.

    Args:
        a: An attribution.

    Returns:
        `layer`, its path; or `players`, their names, with the `player_values` of each example where
        these are few: values of elements repeat that of their group.
    """
    if isinstance(a, cam.LayerAttribution):
        return {"layer": a.layer}
    if isinstance(a, perturbation.PlayerAttribution) and a.players is not None and any(a.names):
        about: dict[str, Any] = {"players": list(a.names)}
        if a.players.size <= MOST_PLAYER_VALUES:
            about["player_values"] = [[float(f"{v:.6g}") for v in row] for row in a.players]
        return about
    return {}


def by_feature(values: np.ndarray) -> dict[str, np.ndarray]:
    """Mean of |values| over examples with its 95 % interval, and mean of the signed values.

    The interval is Student's, over n examples, cut at zero; NaN when n = 1.

    Args:
        values: Attributions of a flat input, (n, d).

    Returns:
        `mean_abs`, `mean_abs_low`, `mean_abs_high` and `mean`, each (d,); empty above 10,000
        features.
    """
    n, d = values.shape
    if d > MOST_FEATURES:
        return {}
    size = np.abs(values.astype(np.float64))
    mean = size.mean(axis=0)
    half = np.full(d, np.nan)
    if n > 1:
        half = _student(n - 1) * size.std(axis=0, ddof=1) / np.sqrt(n)
    return {
        "mean_abs": mean,
        "mean_abs_low": np.maximum(mean - half, 0.0),
        "mean_abs_high": mean + half,
        "mean": values.astype(np.float64).mean(axis=0),
    }


def _as_read(examples: Examples, inputs: gradients.Inputs) -> Examples:
    """The examples with whole numbers and flags as floats, where the model reads them as floats."""
    checked = inputs.pack(inputs.leaves)

    def one(given: np.ndarray, found: np.ndarray) -> np.ndarray:
        return found if given.dtype.kind in "biu" and found.dtype.kind == "f" else given

    return dataclasses.replace(examples, x=map_leaves(one, examples.x, checked))


def _no_judge(a: gradients.Attribution) -> Judged:
    return Judged()


def _vocabularies(names: Any) -> list[str] | dict[str, list[str]] | None:
    if isinstance(names, Mapping):
        return {str(name): words("token_names", each) or [] for name, each in names.items()}
    return words("token_names", names)


def _split(texts: np.ndarray) -> list[list[str]]:
    """The words of each text, as perturbation methods cut them."""
    return [text.split() for text in texts.reshape(-1).tolist()]


def _student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, to 0.1 %: from the table to 5, Cornish-Fisher above."""
    if freedom <= 5:
        return (12.7062, 4.3027, 3.1824, 2.7764, 2.5706)[freedom - 1]
    z = 1.959964
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + float(sum(term / freedom ** (i + 1) for i, term in enumerate(terms)))


def _mean(values: np.ndarray, beside: np.ndarray | None = None) -> float:
    """Mean over examples, without those where it is undefined although `beside` is finite."""
    if beside is not None and np.isfinite(beside).all():
        values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")
