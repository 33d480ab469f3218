"""Callback that logs how healthy each layer of a model is while it trains."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tb_xai import health, summary
from tb_xai.callbacks.base import Examples, Explained, ExplanationCallback

CHECKED = 8
"""Examples that a gradient is checked on."""


class ModelHealthCallback(ExplanationCallback):
    """Logs gradients, weights and activations of each layer at step 0 and after every epoch.

    All is measured on one fixed batch with `training=False`, so that what moves in the log is the
    model; see `tb_xai.health.Health` for what each figure means and `tb_xai.health.states` for the
    words.

    Logged at every step, under `tag`:
        figures per layer with weights, inner ones as "backbone/conv5": `gradient_norm`,
            `weight_norm`, `update_ratio` (change of the weights since the step that was logged
            before, relative to their norm; NaN at first), `activation_mean`,
            `activation_variance`, `saturated` and `dead` (shares), `spectral_norm`, `stable_rank`,
            `noise_scale` (in examples), `not_finite` (entries), and `gradient_histogram` (layers,
            bins). NaN where a figure does not apply. With `gradient_check`, the first step that is
            logged also has `gradient_check`: the worst relative error of the layer's gradient.
        meta: `layers` (names), `states` (one word per layer), `n`, `dead_bound` (a unit that is
            dead in n examples fires for at most this share of all, with 95 % confidence),
            `histogram_edges`, `thresholds`.
        scalars `xai/<tag>/<name>`, also in Keras' logs as `xai_<tag>_<name>`: `loss` (on the
            batch), `gradient_norm` (of all weights), `gradient_ratio` (smallest gradient norm of a
            layer over the largest), `update_ratio`, `dead` and `saturated` (largest of all layers),
            `noise_scale` (of all weights), `unhealthy` (number of layers that are neither healthy
            nor frozen), `seconds`.

    Keras' logs hold at every epoch what was measured last, so that History and CSVLogger have whole
    columns when `every` leaves epochs out. Callbacks that shall see these entries (EarlyStopping,
    ModelCheckpoint, CSVLogger, ReduceLROnPlateau) must stand behind this one in the list.

    Cost: compiled calls that are traced once, in all one forward and backward pass of the batch,
    and one pass over the weights. 64 examples or more give dead units and the noise scale meaning.

    Args:
        log_dir: Directory of the run; give `keras.callbacks.TensorBoard` the same one.
        x: Examples with the shape the model takes: an array (n, ...), a nested structure for
            several inputs, a batched `tf.data.Dataset` or a `keras.utils.PyDataset`. A dataset is
            drawn once, when training begins, without disturbing its order or any generator.
        y: Labels as the model's loss takes them; None when `x` is a dataset of (x, y), or when the
            model has no loss but its own penalties.
        loss: None for the loss that the model was compiled with; see `tb_xai.health.measure`.
        chunks: Parts that the batch is cut into for the noise scale. Default 2.
        thresholds: Thresholds of `tb_xai.health.states` by name, where others than the defaults
            are wanted: vanishing, exploding, exploding_update, dead, saturated.
        sample_weight: Weight of each example, (n,), or None.
        gradient_check: Whether to compare the gradient of the loss with finite differences before
            training begins, on the first 8 examples and a copy of the model in float64; see
            `tb_xai.health.gradient_check`. Takes 20 forward passes of them per layer. For layers
            and losses of one's own. Default False.
        tag: Name of the series. Two callbacks of one `log_dir` need two.
        every: Measure after every so many epochs, or whenever this callable returns True for the
            number of finished epochs; "log" is after epochs 1 to 9, 10, 20, ... 90, 100, 200, ...
            Step 0 and the last epoch are always logged.
        every_n_batches: Measure after every so many training batches instead; the step axis then
            counts batches. Costs Keras its overlap of callbacks with training.
        budget: Largest share of training time for this after step 0, in (0, 1]. A step that would
            pass it is left out; where more than five in a row would be, examples
            are halved, down to 4. What
            was reduced is in `meta["skipped"]` and `meta["reduced"]`.
            The last step is always logged. None: no limit.
        seed: Seed of the callback's own draws; measuring draws nothing.
        n_examples: Number of examples at most; None is all of an array, 64 of a dataset.
        example_names: Name of each example, or None for their positions.
        class_names: Name of each class, or None.
        batch_size: Rows that pass the model at once; None for a part of the batch.
        stop_on: What ends training: a finding of severity "alarm", or "warning" and above, or of
            one of a list of rules by name; see `tb_xai.findings`. None: nothing does.
        keep: Steps that keep their maps: a number of newest ones, a `tb_xai.summary.Keep(newest,
            every)`, or None for all. Figures, and the maps of the first step, are always kept.
        scalars: Whether to write the scalar summaries.
        strict: Raise when a step cannot be measured or written after training has begun. By default
            training goes on: a warning is given once, writing is tried again at the next step, and
            what was lost is named at the end.

    Raises:
        TypeError, ValueError: At construction or in the dry run before the first batch, in one
            sentence that ends in what was received: wrong shapes, labels that are missing, NaN in
            `x`, an empty batch, a model without a loss or without weights, an unknown threshold, a
            model that cannot be copied for `gradient_check`, a log directory that cannot be
            written.

    Example:
        >>> callback = ModelHealthCallback("logs/a", x_val[:64], y_val[:64])
        >>> model.fit(x, y, epochs=20, callbacks=[callback, keras.callbacks.TensorBoard("logs/a")])
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        x: Any,
        y: Any = None,
        *,
        loss: Any = None,
        chunks: int = health.CHUNKS,
        thresholds: Mapping[str, float] | None = None,
        sample_weight: Any = None,
        gradient_check: bool = False,
        tag: str = "model_health",
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
        super().__init__(
            log_dir,
            x,
            y,
            sample_weight=sample_weight,
            tag=tag,
            every=every,
            every_n_batches=every_n_batches,
            budget=budget,
            seed=seed,
            n_examples=n_examples,
            example_names=example_names,
            class_names=class_names,
            batch_size=batch_size,
            stop_on=stop_on,
            keep=keep,
            scalars=scalars,
            strict=strict,
            from_dataset=64,
        )
        if thresholds is not None and not isinstance(thresholds, Mapping):
            raise TypeError(
                f"thresholds must be a dictionary from a name to a number. Received: {thresholds!r}"
            )
        self.thresholds = health.thresholds(**(thresholds or {}))
        self.gradient_check, self._loss = bool(gradient_check), loss
        self._binder: Any = health.measure(loss=loss, chunks=chunks, batch_size=self.batch_size)

    def _bind(self, model: Any, examples: Examples, samples: float) -> Callable[[], Explained]:
        explain = self._binder(model)
        self.explain = explain
        checked: dict[str, float] = {}

        def explained() -> Explained:
            found = explain(examples.x, examples.y, examples.sample_weight)
            figures = found.figures()
            if self._tried is None:  # the dry run: the first step sees the same weights once more
                explain.forget()
                if self.gradient_check:
                    few = examples.first(CHECKED)
                    checked.update(health.gradient_check(model, few.x, few.y, loss=self._loss))
            elif checked:
                errors = [checked.get(layer, np.nan) for layer in found.layers]
                figures["gradient_check"] = np.array(errors, np.float32)
                checked.clear()
            states = health.states(found, **self.thresholds)
            norms = found.gradient_norm[~np.isnan(found.gradient_norm)]
            largest = norms.max(initial=0.0)
            return Explained(
                "health",
                {
                    "method": self._binder.method,
                    "params": self._binder.params,
                    "signed": False,
                    "additive": False,
                    "target": "",
                    "layers": found.layers,
                    "states": states,
                    "n": found.n,
                    "dead_bound": found.dead_bound,
                    "histogram_edges": list(health.HISTOGRAM_EDGES),
                    "thresholds": self.thresholds,
                },
                figures,
                {
                    "loss": found.loss,
                    "gradient_norm": found.total_gradient_norm,
                    "gradient_ratio": norms.min() / largest if largest > 0 else np.nan,
                    "update_ratio": _largest(found.update_ratio),
                    "dead": _largest(found.dead),
                    "saturated": _largest(found.saturated),
                    "noise_scale": found.total_noise_scale,
                    "unhealthy": sum(state not in ("healthy", "frozen") for state in states),
                },
            )

        return explained


def _largest(figures: Any) -> float:
    """Largest of all layers that have this figure."""
    known = figures[~np.isnan(figures)]
    return float(known.max()) if len(known) else float("nan")
