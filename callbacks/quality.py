"""What the callbacks measure of the quality of each explanation, within the cost of explaining."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from tb_xai import cam, gradients, quality
from tb_xai.callbacks.base import Examples, kind_of, leaves
from tb_xai.cam import _resize
from tb_xai.perturbation import _replacements

SLOPES = ("saliency", "smooth_grad")
"""Methods whose values are units of the target per unit of the input."""

CONTRIBUTIONS = (
    "gradient_x_input",
    "integrated_gradients",
    "feature_ablation",
    "kernel_shap",
    "shapley_sampling",
    "lime",
)
"""Methods whose values say what the removal of an element to one baseline does to the target."""

SQUARES = ("smooth_grad_squared", "var_grad")
"""Methods whose values have an order, but no sign and no unit of the target."""

SHARE = 0.6
"""Passes of all measures together, in those of the explanations: the rest of what these cost is
left for preparing rows and for what is computed without the model."""

TURNS = 13
"""Steps over which the measures of a cheap method take turns."""

SETTINGS = {"n_samples": 6, "n_subsets": 12, "n_steps": 6}
"""Of `quality.panel`: few rows, as each costs a pass; the same ones at every step."""

ROWS = {
    "infidelity": SETTINGS["n_samples"],
    "faithfulness": SETTINGS["n_subsets"],
    "curves": 3 * (SETTINGS["n_steps"] - 1) + 1,
}
"""Rows per example of each measure that asks the model for the target."""

GRID = (4, 4)

FIGURES = (
    "gini",
    "infidelity",
    "faithfulness",
    "max_sensitivity",
    "deletion",
    "insertion",
    "randomisation",
)

_OF = {
    "curves": ("deletion", "deletion_random", "insertion", "insertion_random"),
    "faithfulness": ("faithfulness",),
    "infidelity": ("infidelity", "infidelity_stderr"),
    "max_sensitivity": ("max_sensitivity",),
}
"""The figures of each measure that asks the model, in the order in which they take turns."""

Figures = dict[str, np.ndarray]


@dataclass
class Judged:
    """What was measured of one explanation.

    Attributes:
        figures: per example, float32; figures whose turn it is not are left out.
        scalars: means over the examples where they are defined.
        meta: entries of the record's meta.
    """

    figures: Figures = field(default_factory=dict)
    scalars: dict[str, float] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Mask:
    """Places of the input where evidence should lie or, for a suspect, should not.

    Attributes:
        name: name in the log.
        given: booleans in the shape of an input, with or without examples and channels, or names
            of features.
        suspect: whether the places must not matter.
    """

    name: str
    given: np.ndarray | list[str]
    suspect: bool


def masks_of(masks: Any, suspects: Any) -> list[Mask]:
    """Check what was given as `masks` and `suspects`, as far as that is possible without a model.

    Raises:
        TypeError: not an array, a list of feature names, or a dict of them.
        ValueError: not booleans, no place at all, or one name twice.
    """
    found: list[Mask] = []
    for what, given, unnamed in (("masks", masks, "mask"), ("suspects", suspects, "suspect")):
        if given is None:
            continue
        named = given if isinstance(given, Mapping) else {unnamed: given}
        for name, places in named.items():
            found.append(Mask(str(name), _places(what, str(name), places), what == "suspects"))
    names = [mask.name for mask in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(
            "masks and suspects must have different names. "
            f"Received: {twice[0]!r} in both of masks and suspects"
        )
    return found


def _places(what: str, name: str, given: Any) -> np.ndarray | list[str]:
    if isinstance(given, (list, tuple)) and given and all(isinstance(g, str) for g in given):
        return [str(g) for g in given]
    try:
        array = np.asarray(given)
    except ValueError:
        array = np.asarray(None)
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise TypeError(
            f"{what} must be an array of booleans, a list of names of features, or a dict of them. "
            f"Received: {given!r} for {name!r}"
        )
    if not np.isin(array, (0, 1)).all():
        raise ValueError(
            f"{what} must hold booleans, or 0 and 1. "
            f"Received: {array[~np.isin(array, (0, 1))][0]} in {name!r}"
        )
    if not array.any():
        raise ValueError(
            f"{what} must mark at least one place. Received: {name!r} of shape {array.shape}, "
            "all False"
        )
    return array.astype(np.bool_)


class Judge:
    """Measures each explanation of fixed examples; made once per fit.

    Measures that need the explanation alone are taken at every step. Those that ask the model take
    turns, on some of the examples, so that up to any step they have cost at most as many passes as
    the explanations themselves.

    Args:
        model: the model that trains; it is never changed.
        binder: the method.
        explain: the method, bound to the model.
        target: what is explained.
        examples: the probe set.
        names: names of the inputs, in the order of the arrays of x.
        features: names of features by input.
        masks: see `masks_of`.
        seed: of all draws, which are the same at every step.
        batch_size: rows that pass the model at once; None chooses.
        total: number of examples that masks were given for, of which these are the first.
        full: whether all measures are taken of all examples at every step, whatever they cost.
        failed: told of an error in the place of what it ended: a model that explains but cannot be
            measured goes on training, and the log says why. None: errors are raised.
    """

    def __init__(
        self,
        model: Any,
        binder: gradients.Binder,
        explain: gradients.Explain,
        target: Any,
        examples: Examples,
        names: Sequence[str],
        features: Mapping[str, Sequence[str]] | None,
        masks: Sequence[Mask],
        seed: int,
        batch_size: int | None,
        full: bool = False,
        total: int | None = None,
        failed: Callable[[str], None] | None = None,
    ) -> None:
        self._full, self._failed = full, failed
        self._model, self._binder, self._explain, self._target = model, binder, explain, target
        self._examples, self._seed, self._batch_size = examples, seed, batch_size
        self._inputs = dict(zip(names, leaves(examples.x).values(), strict=True))
        self._n = len(examples)
        self._total = total or self._n
        self._masks = [self._fitted(mask, features or {}) for mask in masks]
        self._step = -1  # of the dry run, which takes all measures once
        self._dry_run: tuple[list[np.ndarray], Figures] = ([], {})
        self._reasons: dict[str, str] = {}
        self._ids: list[str] = []
        self._times_change = False  # whether values are multiples of x - baseline
        self._randomised: quality.randomised | None = None
        self._panel: quality.panel | None = None
        self._at = np.arange(0)
        self._turns: dict[str, int] = {}
        self._impossible = ""  # why nothing can be measured
        self._means: set[str] = set()  # names of scalars, which a step that fails has too
        self._waiting: dict[str, str] = {}  # why a figure that is defined is not there at a step
        self.period = 1

    def __call__(self, a: gradients.Attribution) -> Judged:
        """Measure one explanation; the first call is the dry run."""
        why = self._impossible
        if not why:
            try:
                return self._measure(a)
            except Exception as error:
                why = self._excuse(error)
                if self._step < 0:
                    self._impossible = why
                self._step += 1
        unknown = dict.fromkeys(self._means, math.nan)
        return Judged(scalars=unknown, meta={"quality": dict.fromkeys([*FIGURES, *_all(_OF)], why)})

    def _excuse(self, error: Exception) -> str:
        """Why something was not measured; raises the error where nobody is to be told."""
        if self._failed is None:
            raise error
        why = f"Could not be measured: {' '.join(str(error).split())[:500]}"
        self._failed(why)
        return why

    def _measure(self, a: gradients.Attribution) -> Judged:
        if self._step < 0:
            self._prepare(a)
        found = Judged()
        reasons = dict(self._reasons)
        values = _raw(a)
        found.figures["gini"] = quality.sparseness(_together(values))
        if self._randomised is not None:
            found.figures["randomisation"] = self._scattered(self._randomised(a.values))
        maps = None if isinstance(a, cam.FilterAttribution) else self._maps(a)
        self._look(maps, found, reasons)
        asked = self._asked(a, values, maps, reasons)
        found.figures |= asked
        for figure, why in self._waiting.items():
            if figure not in asked:
                reasons.setdefault(figure, why)
        for figure in self._reasons:
            found.figures.setdefault(figure, np.full(self._n, np.nan))
        if isinstance(a, cam.KernelAttribution):  # rows are filters, not examples
            found.figures = {"gini": found.figures["gini"]}
        for figure, each in found.figures.items():
            known = figure in FIGURES or figure.partition(".")[0] in ("mass", "rank", "hit")
            if known and figure not in self._reasons:
                defined = each[np.isfinite(each)]
                found.scalars[figure] = float(defined.mean()) if len(defined) else math.nan
        found.figures = {k: np.asarray(v, np.float32) for k, v in found.figures.items()}
        found.meta |= {"quality": reasons} | self._about()
        self._means |= found.scalars.keys()
        self._step += 1
        return found

    def _asked(
        self,
        a: gradients.Attribution,
        values: list[np.ndarray],
        maps: dict[str, np.ndarray] | None,
        reasons: dict[str, str],
    ) -> Figures:
        """Take the measures that ask the model and have their turn; all of them at step 0.

        The dry run has taken them of the same model, unless weights were restored in between.
        """
        if self._step == 0:
            before, known = self._dry_run
            self._dry_run = [], {}
            if all(np.array_equal(u, v) for u, v in zip(values, before, strict=True)):
                return known
        asked: Figures = {}
        for measure, turn in list(self._turns.items()):
            if self._step > 0 and (self._step - 1) % self.period != turn:
                continue
            try:
                asked |= self._ask(measure, a, maps)
            except Exception as error:
                reasons |= dict.fromkeys(_OF[measure], self._excuse(error))
                if self._step < 0:  # nor will it be at another step
                    del self._turns[measure]
                    self._reasons |= {figure: reasons[figure] for figure in _OF[measure]}
        if self._step < 0:
            self._dry_run = values, asked
        return asked

    # What is measured, and at what cost.

    def _prepare(self, a: gradients.Attribution) -> None:
        """Find out what is defined for this method and input, and draw what is asked later."""
        no = self._reasons
        if isinstance(a, cam.FilterAttribution):
            what = "weights" if isinstance(a, cam.KernelAttribution) else "activations"
            for figure in [f for f in FIGURES if f != "gini"] + _all(_OF):
                no[figure] = f"Undefined for {what}: they explain no target."
            return
        baseline = self._define(a)
        self._plan(a, baseline)
        try:
            self._randomised = quality.randomised(
                self._binder,
                self._model,
                self._examples.x,
                self._examples.y,
                target=self._target,
                batch_size=self._batch_size,
                seed=self._seed,
                baseline=self._removed(baseline),
                explain=self._explain,
                chosen=self._at,
            )
        except Exception as error:
            no["randomisation"] = f"Could not be measured: {' '.join(str(error).split())}"

    def _define(self, a: gradients.Attribution) -> Any:
        """Note what is undefined and why, and return the baseline."""
        method, no = self._binder.method, self._reasons
        texts = [name for name, leaf in self._inputs.items() if leaf.dtype.kind in "OSU"]
        if texts:
            for figure in _all(_OF):
                no[figure] = f"Undefined for raw text: input {texts[0]!r} holds no numbers."
            return 0.0
        maps = self._maps(a)
        if maps is None:
            for figure in _all(_OF):
                if figure != "max_sensitivity":
                    no[figure] = (
                        f"Undefined: the map has another rank than every input, "
                        f"{_told_shapes(self._inputs)}."
                    )
        self._ids = self._find_ids()
        ids = self._ids
        if ids or not any(leaf.dtype.kind == "f" for leaf in self._inputs.values()):
            which = ids or list(self._inputs)
            for figure in (*_OF["infidelity"], *_OF["max_sensitivity"]):
                no[figure] = f"Undefined for input {which[0]!r} of ids: they have no near values."
        single = maps is not None and self._single(a, maps)
        self._times_change = method in CONTRIBUTIONS and single and not ids
        if method not in SLOPES and not (method in CONTRIBUTIONS and single):
            for figure in _OF["infidelity"]:
                no.setdefault(
                    figure,
                    f"Undefined for {method}: its values are neither slopes of the target nor "
                    "contributions of single elements relative to one baseline.",
                )
        if method in SQUARES:
            for figure in _OF["faithfulness"]:
                no[figure] = f"Undefined for {method}: its values are not in units of the target."
        baseline: Any = 0.0
        # No id has an embedding of a given number: in its place stands id 0.
        given = self._binder.baseline
        if given is not None and not (ids and isinstance(given, (int, float))):
            try:
                baseline, several = self._baseline(given)
            except (TypeError, ValueError) as error:
                several = True
                for figure in (*_OF["faithfulness"], *_OF["curves"]):
                    no[figure] = f"Undefined without one baseline: {error}"
            if several:
                self._times_change = False
                for figure in _OF["infidelity"]:
                    no.setdefault(figure, "Undefined: the method has several baselines.")
        return baseline

    def _plan(self, a: gradients.Attribution, baseline: Any) -> None:
        """Choose examples and turns so that the passes never outnumber those of explaining."""
        wanted = [name for name in _OF if any(figure not in self._reasons for figure in _OF[name])]
        every = sum(ROWS.get(name, 0) for name in wanted)
        rows = self._n * rows_of(self._binder, a, self._inputs)
        again = rows if "max_sensitivity" in wanted else 0
        pays = SHARE * rows  # what one step pays for
        m = self._n
        if every and not self._full:
            m = min(m, max(1, int((TURNS * pays - again) // every)))
        # From the middle of equal parts: the examples may be sorted by class.
        self._at = np.unique((np.arange(m) + 0.5) * self._n / m).astype(np.int64)
        chosen = self._chosen(self._examples.x)
        elements = sum(leaf[0].size for leaf in leaves(chosen).values())
        # Of a small input, what a call takes on the host is worth many rows.
        small = int(np.clip(2048 // elements, 1, 16))
        spent = 0
        for name in wanted:
            spent += 4 * small + (again if name == "max_sensitivity" else ROWS[name] * m)
            self._turns[name] = 0 if self._full else math.ceil(spent / pays) - 1
        self.period = 1 if self._full else max(1, math.ceil(spent / pays))
        self._waiting = dict.fromkeys(
            (f for f in _all({name: _OF[name] for name in self._turns}) if f not in self._reasons),
            f"Measured at one of {self.period} steps, in turn with others, so that all cost no "
            "more than the explanation.",
        )
        if every:
            batch = self._batch_size or gradients.BATCH_SIZE * small
            self._panel = quality.panel(
                quality.scorer(self._model, self._target, batch),
                chosen,
                None if self._examples.y is None else self._chosen(self._examples.y),
                baseline=self._of_chosen(baseline),
                seed=self._seed,
                **SETTINGS,
            )

    def _ask(
        self, measure: str, a: gradients.Attribution, maps: dict[str, np.ndarray] | None
    ) -> Figures:
        """Take one measure; examples that it is not taken of have NaN."""
        if measure == "max_sensitivity":
            return {"max_sensitivity": self._sensitivity(a)}
        panel = self._panel
        assert panel is not None  # for mypy: without either, no measure has a turn
        assert maps is not None
        values = self._structured(
            {name: self._fitting(name, part[self._at]) for name, part in maps.items()}
        )
        output = np.asarray(a.output, np.float64)[self._at]
        slopes = self._binder.method in SLOPES
        if measure == "infidelity":
            estimate = panel.infidelity(values, output, contributions=not slopes)
            found = {"infidelity": estimate.value, "infidelity_stderr": estimate.stderr}
        else:
            if slopes and not self._ids:
                values = panel.contributions(values)
            if measure == "faithfulness":
                found = {"faithfulness": panel.faithfulness(values, output).value}
            else:
                deletion, insertion = panel.curves(values, output)
                found = _normalised(deletion, insertion)
        return {
            name: self._scattered(part) for name, part in found.items() if name not in self._reasons
        }

    def _scattered(self, part: np.ndarray) -> np.ndarray:
        """Figures of the chosen examples, NaN for the others."""
        whole = np.full(self._n, np.nan)
        whole[self._at] = part
        return whole

    def _sensitivity(self, a: gradients.Attribution) -> np.ndarray:
        x, y = self._examples.x, self._examples.y
        return quality.max_sensitivity(
            self._explain, x, y, n_samples=1, seed=self._seed, values=a.values
        )

    # What needs the explanation alone.

    def _look(
        self,
        maps: dict[str, np.ndarray] | None,
        found: Judged,
        reasons: dict[str, str],
    ) -> None:
        """Take the measures of where evidence lies."""
        about = {}
        for mask, name, places in self._masks:
            figures = [f"{measure}.{mask.name}" for measure in ("mass", "rank", "hit")]
            each = places.reshape(len(places), -1).mean(axis=1)
            share = np.broadcast_to(each, (self._n,))
            about[mask.name] = {
                "area": [round(float(s), 6) for s in share],
                "suspect": mask.suspect,
            }
            part = None if maps is None else maps.get(name)
            if part is None:
                for figure in figures:
                    found.figures[figure] = np.full(self._n, np.nan)
                    reasons[figure] = f"Undefined: the explanation has no values of {name!r}."
                continue
            part = self._fitting(name, part)
            inside = places.any(axis=-1) if part.ndim < places.ndim else places
            measures = (quality.relevance_mass, quality.relevance_rank, quality.pointing_game)
            for figure, measure in zip(figures, measures, strict=True):
                found.figures[figure] = measure(part, inside)
            if self._binder.additive:
                found.figures[f"signed.{mask.name}"] = _votes(part, inside)
            empty = int((share == 0).sum())
            if empty:
                for figure in figures:
                    reasons[figure] = (
                        f"Undefined for {empty} of {self._n} examples, whose mask is empty."
                    )
        if about:
            found.meta["masks"] = about
        for name, part in (maps or {}).items():
            if kind_of(self._inputs[name]) == "image":
                if min(self._inputs[name].shape[1:3]) < max(GRID):
                    break  # fewer rows or columns than cells
                coarse = min(part.shape[1:3]) < max(GRID)
                found.figures["grid"] = _cells(self._fitting(name, part) if coarse else part)
                if self._binder.additive:
                    found.figures["grid_signed"] = _cells(part, signed=True)
                found.meta["grid"] = list(GRID)
                break

    def _fitted(
        self, mask: Mask, features: Mapping[str, Sequence[str]]
    ) -> tuple[Mask, str, np.ndarray]:
        """Return a mask with the input that it fits and its places, examples first."""
        if isinstance(mask.given, list):
            for name, known in features.items():
                if name in self._inputs and set(mask.given) <= set(known):
                    return mask, name, np.isin(np.array(list(known)), mask.given)[None]
            known = [feature for each in features.values() for feature in each]
            raise ValueError(
                f"{'suspects' if mask.suspect else 'masks'} must name features of feature_names. "
                f"Received: {[g for g in mask.given if g not in known] or mask.given} for "
                f"{mask.name!r}"
            )
        given = mask.given
        for name, leaf in self._inputs.items():
            shape = leaf.shape[1:]
            for fits in [shape, shape[:-1]] if len(shape) > 1 else [shape]:
                if given.shape[1:] == fits and len(given) in (1, self._total):
                    return mask, name, given[: self._n]
        for name, leaf in self._inputs.items():
            shape = leaf.shape[1:]
            if given.shape in (shape, shape[:-1] if len(shape) > 1 else shape):
                return mask, name, given[None]
        raise ValueError(
            f"{'suspects' if mask.suspect else 'masks'} must have the shape of an input, with or "
            "without its channels, for all examples or each of them: "
            f"{_told_shapes(self._inputs)}. Received: shape {given.shape} for {mask.name!r}"
        )

    # Values and inputs.

    def _maps(self, a: gradients.Attribution) -> dict[str, np.ndarray] | None:
        """Values by input; None when they fit none. Maps of a layer have their own resolution."""
        if isinstance(a, cam.LayerAttribution):
            rank = np.ndim(a.values) + 1
            for name, leaf in self._inputs.items():
                if leaf.ndim == rank and leaf.dtype.kind not in "OSU":
                    return {name: a.values}
            return None
        found = list(leaves(a.values).values())
        names = list(self._inputs)
        if len(found) != len(names):
            return None
        return {
            name: np.asarray(part)
            for name, part in zip(names, found, strict=True)
            if part is not None
        }

    def _fitting(self, name: str, part: np.ndarray) -> np.ndarray:
        """Values at the resolution of an input."""
        shape = self._inputs[name].shape[1:]
        if part.ndim == len(shape) and part.shape[1:] != shape[:-1]:
            return _enlarged(part, shape[:-1])
        return part

    def _structured(self, maps: Mapping[str, np.ndarray]) -> Any:
        """Values by input in the structure of x."""
        parts = [maps.get(name) for name in self._inputs]
        return _rebuilt(self._examples.x, iter(parts))

    def _chosen(self, structure: Any) -> Any:
        return _rebuilt(structure, iter([leaf[self._at] for leaf in leaves(structure).values()]))

    def _removed(self, baseline: Any) -> Any:
        """The baseline at which elements have exactly 0 whatever the weights; None without one."""
        if not self._times_change:
            return None
        if isinstance(baseline, dict):
            return _rebuilt(self._examples.x, iter(baseline.values()))
        return baseline

    def _of_chosen(self, baseline: Any) -> Any:
        """The baseline of the chosen examples, where each example has its own."""
        if isinstance(baseline, dict):
            parts = [
                part[self._at] if len(part) == self._n and self._n > 1 else part
                for part in baseline.values()
            ]
            return _rebuilt(self._examples.x, iter(parts))
        return baseline

    def _find_ids(self) -> list[str]:
        """Inputs that hold ids: one value per token."""
        embeds = any(isinstance(layer, keras.layers.Embedding) for layer in _layers(self._model))
        return [
            name
            for name, leaf in self._inputs.items()
            if embeds and leaf.ndim == 2 and leaf.dtype.kind in "iuf" and not (leaf % 1).any()
        ]

    def _single(self, a: gradients.Attribution, maps: Mapping[str, np.ndarray]) -> bool:
        """Whether each element has a value of its own."""
        players = getattr(a, "players", None)
        return players is None or players.shape[1] == sum(p[0].size for p in maps.values())

    def _baseline(self, given: Any) -> tuple[dict[str, np.ndarray], bool]:
        """The method's own baseline by input, and whether it is the mean of several."""
        inputs = gradients.check_inputs(self._model, self._examples.x)
        fill = _replacements(inputs, given, "baseline", None, [False] * len(inputs.leaves))
        found, several = {}, False
        for name, rows, own in zip(self._inputs, fill.arrays, fill.own, strict=True):
            # Of integrated gradients, an array like x holds one baseline for each example.
            one_each = self._binder.method == "integrated_gradients" and len(rows) == self._n
            many = len(rows) > 1 and not own and not one_each
            several |= many
            found[name] = rows.mean(axis=0, keepdims=True).astype(rows.dtype) if many else rows
        return found, several

    def _about(self) -> dict[str, Any]:
        """What a reader must know of how the figures came about."""
        if not self._turns:
            return {}
        return {
            "quality_params": {
                "examples": self._at.tolist(),
                "period": self.period,
                **SETTINGS,
                "values": "slope times (x - baseline)"
                if self._binder.method in SLOPES
                else "as logged",
                "seed": self._seed,
            }
        }


def _normalised(deletion: quality.Curve, insertion: quality.Curve) -> Figures:
    """Areas from f(b), in units of |f(x) - f(b)|: a low deletion is good whatever the sign.

    NaN where the curves span more than ten times as much: the unit is too small to be one.
    """
    rise = deletion.score[:, 0] - deletion.score[:, -1]
    span = np.ptp(np.hstack([deletion.score, insertion.score]), axis=1)
    sign = np.where(10 * np.abs(rise) >= span, np.sign(rise), np.nan)
    return {
        "deletion": sign * deletion.normalised,
        "deletion_random": sign * deletion.random_normalised,
        "insertion": sign * insertion.normalised,
        "insertion_random": sign * insertion.random_normalised,
    }


def rows_of(
    binder: gradients.Binder, a: gradients.Attribution, inputs: Mapping[str, np.ndarray]
) -> int:
    """Rows that one example's explanation sends through the model, at least.

    A gradient counts as one row: between one and four times a forward row, as measured.
    """
    params = binder.params
    for name in ("n_steps", "n_samples", "n_masks"):
        if isinstance(params.get(name), int):
            return int(params[name])
    players = getattr(a, "players", None)
    if players is not None:
        return int(players.shape[1])
    window, stride = params.get("window"), params.get("stride")
    if binder.method == "occlusion" and isinstance(window, int):
        step = stride if isinstance(stride, int) else window
        shapes = [leaf.shape[1:-1] or leaf.shape[1:] for leaf in inputs.values()]
        return sum(math.prod(-(-side // step) for side in shape) for shape in shapes)
    return 1


def _all(figures: Mapping[str, Sequence[str]]) -> list[str]:
    return [figure for each in figures.values() for figure in each]


def _together(values: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([part.reshape(len(part), -1) for part in values], axis=1)


def _raw(a: gradients.Attribution) -> list[np.ndarray]:
    """The values of each input as they were explained."""
    return [np.asarray(part) for part in leaves(a.values).values() if part is not None]


def _rebuilt(structure: Any, parts: Iterator[Any]) -> Any:
    """A structure like this one with other arrays."""
    if isinstance(structure, Mapping):
        return {key: _rebuilt(value, parts) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        return type(structure)([_rebuilt(value, parts) for value in structure])
    return next(parts)


def _enlarged(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Maps (n, ...) at another resolution, linear between the centres of cells."""
    found = np.asarray(values, np.float64)
    for axis, side in enumerate(shape, start=1):
        matrix = _resize(found.shape[axis], side)
        found = np.moveaxis(np.tensordot(found, matrix, axes=(axis, 1)), -1, axis)
    return found


@functools.cache
def _edges(side: int, count: int) -> np.ndarray:
    """Where each of so many equal parts of a side begins."""
    edges: np.ndarray = np.linspace(0, side, count + 1).round().astype(np.int64)[:-1]
    return edges


def _cells(part: np.ndarray, *, signed: bool = False) -> np.ndarray:
    """Share of |values| in each cell of the grid, row by row; NaN where there are none.

    With `signed` the sum of the signed values over that of all |values|: what a cell says for the
    target, on balance.
    """
    values = part.astype(np.float64)
    total = np.abs(values).reshape(len(values), -1).sum(axis=1, keepdims=True)
    cells = values if signed else np.abs(values)
    if cells.ndim == 4:
        cells = cells.sum(axis=3)
    for axis, count in enumerate(GRID, start=1):
        cells = np.add.reduceat(cells, _edges(cells.shape[axis], count), axis=axis)
    flat = cells.reshape(len(cells), -1)
    found: np.ndarray = np.full_like(flat, np.nan)
    np.divide(flat, total, out=found, where=total > 0)
    return found


def _votes(part: np.ndarray, inside: Any) -> np.ndarray:
    """Sum of the signed values at some places over that of all |values|; NaN where all are 0."""
    values = part.astype(np.float64)
    places = inside if inside.ndim == values.ndim else inside[..., None]
    axes = tuple(range(1, values.ndim))
    total, found = np.abs(values).sum(axis=axes), np.full(len(values), np.nan)
    sums = np.where(places, values, 0.0).sum(axis=axes)
    known = (total > 0) & np.broadcast_to(places.any(axis=axes), total.shape)
    np.divide(sums, total, out=found, where=known)
    return found


def _layers(model: Any) -> Iterator[Any]:
    """All layers of a model, inner ones too."""
    flatten = getattr(model, "_flatten_layers", None)
    return iter(flatten()) if flatten is not None else iter(())


def _told_shapes(inputs: Mapping[str, np.ndarray]) -> str:
    return ", ".join(f"{leaf.shape} of {name!r}" for name, leaf in inputs.items())
