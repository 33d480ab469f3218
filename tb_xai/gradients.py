"""Explanations from input gradients: the gradient, its average under noise, its path integral.

Every method of this module is a function that returns a *binder*; a binder compiled once for a
model returns an *explain* function. All work of one call happens in one compiled graph: a loop over
chunks of at most ``batch_size`` perturbed rows, padded to one shape, so that memory is bounded by
``batch_size`` whatever the number of examples, steps and samples. Weights are read when the graph
runs, so one binder follows a model through training without being traced again.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ParamSpec, Protocol

import numpy as np
import tensorflow as tf

from tb_xai import targets
from tb_xai.folding import captured, fold, needed
from tb_xai.targets import Target, log_odds

P = ParamSpec("P")

SCALE = 2.0**13
"""What the target is multiplied by where a layer computes in float16."""

BATCH_SIZE = 64
"""Perturbed rows in one chunk when ``batch_size`` is None."""


@dataclass(frozen=True)
class Attribution:
    """What a method found, as NumPy arrays; rows stand in the order of the examples.

    Attributes:
        values: signed float32 in the structure and shape of ``x`` (or the native map of a layer);
            one value per token for inputs that go through an embedding; None for inputs that were
            held fixed.
        output: (n,) the target at ``x``.
        baseline_output: (n,) the target at the baseline, for methods that have one.
        gap: (n,) ``|sum(values) - (output - baseline_output)| / |output - baseline_output|``, the
            relative error of completeness of an additive method.
        stderr: Monte-Carlo standard error of ``values``, of the same structure, for sampled
            methods.
        prediction: the model's outputs at ``x``, in the structure the model gives them.
    """

    values: Any
    output: np.ndarray
    baseline_output: np.ndarray | None = None
    gap: np.ndarray | None = None
    stderr: Any | None = None
    prediction: Any = None


class Explain(Protocol):
    """Explains examples: ``explain(x, y) -> Attribution``."""

    def __call__(self, x: Any, y: Any = None) -> Attribution:
        """Explain the examples ``x`` with labels ``y``."""

    def traces(self) -> int:
        """Return how often the method was traced so far: once for one kind of input."""


@dataclass(frozen=True)
class Binder:
    """A method with its settings: ``binder(model, target, batch_size) -> Explain``.

    Attributes:
        method: name in the log.
        params: settings, as JSON can hold them.
        signed: whether values can be negative.
        additive: whether values add up to a difference of outputs, so that there is a completeness
            gap.
        bind: compiles the method for a model.
        baseline: what counts as absence, as it was given; None for a method without.
        fewer: the same method with about this share of its steps or samples, at least two; None for
            a method without.
    """

    method: str
    params: Mapping[str, Any]
    signed: bool
    additive: bool
    bind: Callable[[Any, Target, int | None], Explain] = field(repr=False)
    baseline: Any = field(default=None, repr=False)
    fewer: Callable[[float], Binder] | None = field(default=None, repr=False)

    def __call__(
        self, model: Any, target: Target = log_odds, batch_size: int | None = None
    ) -> Explain:
        """Bind the method to a model.

        Args:
            model: a built Keras model of any kind; it is never changed.
            target: what to explain, see `tb_xai.targets`.
            batch_size: perturbed rows that pass through the model at once; None for 64.

        Returns:
            The explain function. When a chunk does not fit into memory it goes on with half the
            rows, and half of that, and says so once.

        Raises:
            TypeError: not a Keras model or not a callable target.
            ValueError: the model is not built, or ``batch_size`` is below 1.
        """
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
            raise ValueError(
                "batch_size must be a whole number of at least 1. Received: "
                f"batch_size={batch_size!r}"
            )
        return _Halving(lambda rows: self.bind(model, target, rows), batch_size)


def sampled(name: str) -> Callable[[Callable[P, Binder]], Callable[P, Binder]]:
    """Let a method whose argument `name` counts its steps or samples be made with fewer of them."""

    def decorate(factory: Callable[P, Binder]) -> Callable[P, Binder]:
        signature = inspect.signature(factory)

        @functools.wraps(factory)
        def made(*args: P.args, **kwargs: P.kwargs) -> Binder:
            binder = factory(*args, **kwargs)
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            count = given.arguments[name]

            def fewer(share: float) -> Binder:
                # Mirrored pairs need an even number, and standard errors two pairs.
                given.arguments[name] = min(count, max(4, 2 * round(share * count / 2)))
                return replace(factory(*given.args, **given.kwargs), fewer=binder.fewer)

            return replace(binder, fewer=None if count is None else fewer)

        return made

    return decorate


class _Halving:
    """An explain function that is compiled again for half the rows when memory does not suffice."""

    def __init__(self, bind: Callable[[int | None], Explain], batch_size: int | None) -> None:
        self._bind, self._rows = bind, batch_size or BATCH_SIZE
        self._explain = bind(batch_size)
        self._before = 0  # traces of the functions that were given up
        self._said = False

    def traces(self) -> int:
        return self._before + self._explain.traces()

    def functions(self) -> list[Any]:
        """Return the compiled functions, which hold on to the model's variables."""
        return self._explain.functions() if hasattr(self._explain, "functions") else []

    def __call__(self, x: Any, y: Any = None) -> Attribution:
        tried = self._rows
        while True:
            try:
                found = self._explain(x, y)
                break
            except tf.errors.InvalidArgumentError as error:
                refused = targets.out_of_range(error)
                if refused is None:
                    raise
                raise refused from error
            except tf.errors.ResourceExhaustedError as error:
                if self._rows == 1:
                    raise no_room(error) from error
            # Outside of the handler, whose traceback would hold on to what did not fit.
            self._rows //= 2
            self._before += self._explain.traces()
            self._explain = self._bind(self._rows)
        if self._rows < tried and not self._said:
            self._said = True
            warn_halved("explanation", tried, self._rows)
        return found


def no_room(error: tf.errors.OpError) -> ValueError:
    """Return the sentence for a model that has not memory enough for a single row."""
    said = (error.message or "").strip().partition("\n")[0][:200]
    return ValueError(
        "model must have room in memory for one row at a time; use a smaller model or input, or a "
        f"device with more memory. Received: {type(error).__name__}: {said} with batch_size=1"
    )


def warn_halved(what: str, tried: int, rows: int) -> None:
    """Warn the caller's caller that fewer rows pass at once than were asked for."""
    warnings.warn(
        f"batch_size={tried} rows did not fit into memory; the {what} goes on with "
        f"batch_size={rows}, which may be given from the start.",
        RuntimeWarning,
        stacklevel=3,
    )


def saliency(*, inputs: Sequence[str | int] | None = None) -> Binder:
    """Explain by the gradient of the target with respect to the input.

    ``a_i = df/dx_i (x)``

    Args:
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None
            explains all.

    Returns:
        A binder. Values are signed, in units of the target per unit of the input: positive where
        raising the input raises the target. Magnitudes are a matter of display.

    Example:
        >>> explain = saliency()(model)
        >>> explain(x, y).values.shape == x.shape
        True

    References:
        Simonyan, Vedaldi, Zisserman. Deep Inside Convolutional Networks: Visualising Image
        Classification Models and Saliency Maps. https://arxiv.org/abs/1312.6034, 2013.

    Differs from the paper: the sign is kept, no maximum over channels is taken, and the default
        target is the log-odds.
    """
    return _binder("saliency", {}, inputs, _plain(times_input=False))


def gradient_x_input(*, inputs: Sequence[str | int] | None = None) -> Binder:
    """Explain by the product of gradient and input.

    ``a_i = x_i df/dx_i (x)``

    Args:
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None
            explains all.

    Returns:
        A binder. Values are signed, in units of the target; for networks of ReLU and max-pooling
        without biases they add up to the target.

    Example:
        >>> explain = gradient_x_input()(model)

    References:
        Shrikumar, Greenside, Shcherbina, Kundaje. Not Just a Black Box: Learning Important Features
        Through Propagating Activation Differences. https://arxiv.org/abs/1605.01713, 2016.
    """
    return replace(_binder("gradient_x_input", {}, inputs, _plain(times_input=True)), baseline=0.0)


@sampled("n_steps")
def integrated_gradients(
    n_steps: int = 16,
    baseline: Any = 0.0,
    *,
    tolerance: float = 0.05,
    max_steps: int | None = None,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    """Explain by the gradient integrated along the straight line from a baseline to the input.

    ``a_i = (x_i - b_i) * integral_0^1 df/dx_i (b + t (x - b)) dt``, with Gauss-Legendre quadrature.

    Examples whose completeness gap stays above ``tolerance`` are integrated again with twice the
    steps, and again, up to ``max_steps``; the better result is kept and its true gap reported.

    Args:
        n_steps: quadrature nodes, at least 1. 16 leave a smaller gap than 100 steps of a left
            Riemann sum.
        baseline: what counts as absence: a number, an array of the shape of one example or of
            ``x``, or a structure of these like ``x``. For token ids a number is the value of every
            embedding component, an array holds ids.
        tolerance: relative completeness gap that calls for more steps; infinity never does.
        max_steps: cap of the doubling; None for ``8 * n_steps``.
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None
            explains all.

    Returns:
        A binder. Values are signed, in units of the target, and add up to ``output -
        baseline_output`` but for the reported gap.

    Raises:
        ValueError: ``n_steps`` below 1, or a baseline that does not fit the input.

    Example:
        >>> explain = integrated_gradients(n_steps=16, baseline=0.0)(model)
        >>> explain(x, y).gap.max() < 0.05
        True

    References:
        Sundararajan, Taly, Yan. Axiomatic Attribution for Deep Networks.
        https://arxiv.org/abs/1703.01365, 2017.

    Differs from the paper: Gauss-Legendre nodes replace the Riemann sum.
    """
    levels = _levels(n_steps, max_steps, tolerance)
    params = {"n_steps": n_steps, "baseline": _told(baseline, "baseline"), "max_steps": levels[-1]}
    recipe = _path(levels, _straight(baseline), float(tolerance))
    return replace(
        _binder("integrated_gradients", params, inputs, recipe, additive=True), baseline=baseline
    )


@sampled("n_steps")
def blur_integrated_gradients(
    n_steps: int = 16,
    max_sigma: float | None = None,
    *,
    tolerance: float = 0.05,
    max_steps: int | None = None,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    """Explain images by the gradient integrated along the way from a blurred copy to the image.

    ``a_i = integral_0^1 df/dx_i (z(t)) dz_i/dt dt``, ``z(t) = x blurred by s(t)``, where the width
    s of the Gaussian falls from ``max_sigma`` to nothing, in equal ratios down to half a pixel.
    Needs no baseline: absence is the lack of detail, coarse before fine.

    The blur runs along h and w, one channel at a time, with weights ``exp(-d^2 / (2 s^2))`` that
    add up to 1 inside the image; ``dz/dt`` is exact. Steps double as in `integrated_gradients`.

    Args:
        n_steps: Gauss-Legendre nodes, at least 1.
        max_sigma: standard deviation of the widest Gaussian in pixels, at least 0.5; None is a
            quarter of the image's longer side, which leaves little but the mean colours.
        tolerance: as for `integrated_gradients`.
        max_steps: as for `integrated_gradients`.
        inputs: names (or positions) of the inputs to explain, which must be images (n, h, w, c);
            the others are held fixed. None explains all.

    Returns:
        A binder. Values are signed, in units of the target, and add up to ``output -
        baseline_output``, the rise of the target from the blurred image to the image, but for the
        reported gap.

    Raises:
        ValueError: ``n_steps`` below 1, ``max_sigma`` below 0.5, or an input that is not an image.

    Example:
        >>> explain = blur_integrated_gradients(n_steps=16, max_sigma=8)(model)

    References:
        Xu, Venugopalan, Sundararajan. Attribution in Scale and Space.
        https://arxiv.org/abs/2004.03383, 2020.

    Differs from the paper: Gauss-Legendre nodes, dense where images change most, replace a Riemann
    sum over equal steps of the width, and the exact derivative a difference; neither changes the
    integral.
    """
    if max_sigma is not None and not 0.5 <= max_sigma < np.inf:
        raise ValueError(
            f"max_sigma must be a number of at least 0.5 pixels. Received: max_sigma={max_sigma!r}"
        )
    levels = _levels(n_steps, max_steps, tolerance)
    params = {"n_steps": n_steps, "max_sigma": max_sigma, "max_steps": levels[-1]}
    recipe = _path(levels, _blurring(max_sigma), float(tolerance))
    return _binder("blur_integrated_gradients", params, inputs, recipe, additive=True)


@sampled("n_samples")
def smooth_grad(
    n_samples: int = 20,
    stdev: Any = 0.15,
    seed: int = 0,
    *,
    relative: bool = True,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    """Explain by the gradient averaged over normal noise around the input.

    ``a_i = E[df/dx_i (x + e)], e ~ N(0, s^2)``, estimated from mirrored pairs ``x + e``, ``x - e``.

    Args:
        n_samples: noisy copies of each example, at least 1; drawn as mirrored pairs, so an odd
            number gets one more. 20 are as good as 50 that are independent.
        stdev: standard deviation s, not negative: a number, or an array of the shape of one
            example. Relative to the range (maximum - minimum) of each example and input, unless
            ``relative`` is False.
        seed: of the noise, which depends on (seed, example, sample) alone: the same in every call
            and for every ``batch_size``.
        relative: whether ``stdev`` is a share of each example's range or in units of the input.
        inputs: names (or positions) of the inputs to explain; the others are held fixed. None
            explains all.

    Returns:
        A binder. Values are signed, in units of the target per unit of the input; ``stderr`` is
        their standard error over pairs, widened for few of them by Student's t (NaN for one). What
        mirrored pairs leave is skewed: ``1.96 * stderr`` covers the mean in 92 % of seeds for 50
        pairs of a smooth function, in 88 % for 10.

    Raises:
        ValueError: ``n_samples`` below 1 or a negative ``stdev``.

    Example:
        >>> explain = smooth_grad(n_samples=20, stdev=0.15)(model)

    References:
        Smilkov, Thorat, Kim, Viegas, Wattenberg. SmoothGrad: removing noise by adding noise.
        https://arxiv.org/abs/1706.03825, 2017.

    Differs from the paper: noise comes in mirrored pairs, and the sign of gradients is kept.
    """
    return _noisy("smooth_grad", _mean, n_samples, stdev, seed, relative, inputs, mirrored=True)


@sampled("n_samples")
def smooth_grad_squared(
    n_samples: int = 20,
    stdev: Any = 0.15,
    seed: int = 0,
    *,
    relative: bool = True,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    """Explain by the squared gradient averaged over normal noise around the input.

    ``a_i = E[(df/dx_i (x + e))^2], e ~ N(0, s^2)``, from independent samples.

    Args:
        n_samples: noisy copies of each example, at least 1.
        stdev: standard deviation, as for `smooth_grad`.
        seed: of the noise, as for `smooth_grad`.
        relative: as for `smooth_grad`.
        inputs: names (or positions) of the inputs to explain; None explains all.

    Returns:
        A binder. Values are not negative, in squared units of the gradient, with ``stderr``,
        widened for few samples by Student's t.

    Raises:
        ValueError: ``n_samples`` below 1 or a negative ``stdev``.

    Example:
        >>> explain = smooth_grad_squared(n_samples=20)(model)

    References:
        Hooker, Erhan, Kindermans, Kim. A Benchmark for Interpretability Methods in Deep Neural
        Networks. https://arxiv.org/abs/1806.10758, 2019.
    """
    return _noisy("smooth_grad_squared", _mean_of_squares, n_samples, stdev, seed, relative, inputs)


@sampled("n_samples")
def var_grad(
    n_samples: int = 20,
    stdev: Any = 0.15,
    seed: int = 0,
    *,
    relative: bool = True,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    """Explain by the variance of the gradient under normal noise around the input.

    ``a_i = Var[df/dx_i (x + e)], e ~ N(0, s^2)``, the unbiased variance of independent samples.

    Args:
        n_samples: noisy copies of each example, at least 2.
        stdev: standard deviation, as for `smooth_grad`.
        seed: of the noise, as for `smooth_grad`.
        relative: as for `smooth_grad`.
        inputs: names (or positions) of the inputs to explain; None explains all.

    Returns:
        A binder. Values are not negative, in squared units of the gradient; 0 for a linear model.

    Raises:
        ValueError: ``n_samples`` below 2 or a negative ``stdev``.

    Example:
        >>> explain = var_grad(n_samples=20)(model)

    References:
        Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim. Sanity Checks for Saliency Maps.
        https://arxiv.org/abs/1810.03292, 2018.
    """
    _whole("n_samples", n_samples, 2)
    return _noisy("var_grad", _variance, n_samples, stdev, seed, relative, inputs)


@sampled("n_samples")
def expected_gradients(
    background: Any,
    n_samples: int = 100,
    seed: int = 0,
    *,
    stdev: Any = 0.0,
    inputs: Sequence[str | int] | None = None,
) -> Binder:
    """Explain by integrated gradients averaged over baselines drawn from background examples.

    ``a_i = E[(x_i - b_i) df/dx_i (b + t (x - b))], b ~ background, t ~ U(0, 1)``

    Each baseline is used at ``t`` and at ``1 - t``. Baselines are drawn without replacement until
    all were used, so a linear model is explained exactly by ``2 * len(background)`` samples.

    Args:
        background: examples that stand for absence, in the structure of ``x``, at least one.
        n_samples: gradients for each example, at least 1; an odd number gets one more.
        seed: of baselines and positions, which depend on (seed, example, sample) alone.
        stdev: standard deviation of normal noise added to ``x``, in units of the input; 0 adds none
            (GradientSHAP adds some).
        inputs: names (or positions) of the inputs to explain; the others are held fixed at their
            own values. None explains all.

    Returns:
        A binder. Values are signed, in units of the target, and add up to ``output -
        baseline_output``, the mean target over the background, but for the reported gap. ``stderr``
        is the standard error of independent draws (widened for few by Student's t), an upper
        estimate: these are balanced.

    Raises:
        ValueError: ``n_samples`` below 1, a negative ``stdev``, or a background that does not fit.

    Example:
        >>> explain = expected_gradients(x_train[:50])(model)

    References:
        Erion, Janizek, Sturmfels, Lundberg, Lee. Improving performance of deep learning models with
        axiomatic attribution priors and expected gradients. https://arxiv.org/abs/1906.10670, 2021.

    Differs from the paper: positions come in mirrored pairs and baselines without replacement.
    """
    units = -(-_whole("n_samples", n_samples, 1) // 2)
    params = {
        "n_samples": 2 * units,
        "background": _told(background, "background"),
        "seed": _whole("seed", seed, 0),
    }
    if np.any(_check_stdev(stdev)):
        params["stdev"] = _told(stdev, "stdev")
    recipe = _expected(background, units, seed, stdev)
    return replace(
        _binder("expected_gradients", params, inputs, recipe, additive=True), baseline=background
    )


def gauss_legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of Gauss-Legendre quadrature on [0, 1].

    Args:
        n: number of nodes, at least 1; polynomials up to degree ``2 n - 1`` are integrated exactly.

    Returns:
        Nodes (n,) inside (0, 1), and positive weights (n,) that sum to 1.

    Example:
        >>> nodes, weights = gauss_legendre(2)
        >>> float(weights @ nodes**3)
        0.25
    """
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (nodes + 1) / 2, weights / 2


# --- binding ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Inputs:
    """Examples on the host: flat arrays, which of them are explained, and how they came in."""

    structure: Any
    leaves: list[np.ndarray]
    names: list[str]
    explained: list[int]

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.leaves[0])

    def pack(self, values: list[Any]) -> Any:
        """Return one value per explained input in the structure of x, None elsewhere."""
        flat: list[Any] = [None] * len(self.leaves)
        for position, value in zip(self.explained, values, strict=True):
            flat[position] = value
        return _rebuild(self.structure, iter(flat))

    def spread(self, values: Any, what: str) -> list[Any]:
        """Return a number, an array or a structure like x as one entry per explained input."""
        if not isinstance(values, (Mapping, list, tuple)) and np.ndim(values) == 0:
            return [values] * len(self.explained)
        if len(self.leaves) == 1:
            return _flatten(values, self.structure) if _same(values, self.structure) else [values]
        if _same(values, self.structure):
            flat = _flatten(values, self.structure)
            return [flat[i] for i in self.explained]
        if len(self.explained) == 1 and hasattr(values, "shape"):
            return [values]
        raise ValueError(
            f"{what} must be a number or have the structure of x, with inputs {self.names}. "
            f"Received: {_form(values)}"
        )


@dataclass(frozen=True)
class _Recipe:
    """One method.

    Attributes:
        graph: builds its tensors from (space, layout, leaves, y, extra).
        samples: samples of each example, each of ``rows`` rows through the model.
        rows: rows of one sample.
        given: gives tensors of its own, on the host, for (inputs, space).
        straight: whether ``graph`` goes without a loop when the number of examples, in the shape of
            the leaves, says that one chunk holds them all.
    """

    graph: Callable[..., dict[str, Any]]
    samples: int = 1
    rows: int = 1
    given: Callable[[Inputs, _Space], list[Any]] = lambda inputs, space: []
    straight: bool = False


def _binder(
    method: str,
    params: dict[str, Any],
    inputs: Sequence[str | int] | None,
    recipe: _Recipe,
    *,
    signed: bool = True,
    additive: bool = False,
) -> Binder:
    chosen = [inputs] if isinstance(inputs, (str, int)) else inputs
    if chosen is not None:
        params = {**params, "inputs": list(chosen)}

    def bind(model: Any, target: Target, batch_size: int | None) -> Explain:
        return _Explain(model, target, batch_size or BATCH_SIZE, recipe, chosen)

    return Binder(method, params, signed, additive, bind)


class Last:
    """Prepares examples and labels for a compiled function; the same ones again, once.

    A probe set comes in every epoch, and to check it and to copy it to the device takes as long as
    a small model needs for it. What was prepared is kept while arrays of the same content come.
    """

    def __init__(self, prepare: Callable[[Any, Any], Any]) -> None:
        self._prepare = prepare
        self._kept: tuple[Any, Any, Any] | None = None

    def __call__(self, x: Any, y: Any) -> Any:
        """Return ``prepare(x, y)``."""
        if self._kept is not None and _equal(x, self._kept[0]) and _equal(y, self._kept[1]):
            return self._kept[2]
        self._kept = None
        prepared = self._prepare(x, y)
        plain = isinstance(x, np.ndarray) and (y is None or isinstance(y, np.ndarray))
        if plain and x.dtype.kind in "biuf" and x.nbytes <= KEPT:
            self._kept = _kept(x), None if y is None else _kept(y), prepared
        return prepared


KEPT = 2**24
"""Bytes of examples that are kept from one call to the next at most."""


def _kept(array: np.ndarray) -> np.ndarray:
    """Return an array that stays as it is, also when the caller changes his."""
    fixed = array.flags.owndata and not array.flags.writeable
    return array if fixed else array.copy()


def _equal(given: Any, kept: Any) -> bool:
    if given is None or kept is None or given is kept:
        return given is kept
    same = type(given) is np.ndarray and given.dtype == kept.dtype and given.shape == kept.shape
    return same and bool((given == kept).all())


class _Explain:
    """A recipe bound to a model: checks on the host, then one compiled graph."""

    def __init__(
        self,
        model: Any,
        target: Target,
        batch: int,
        recipe: _Recipe,
        chosen: Sequence[str | int] | None,
    ) -> None:
        self._score = targets.bind(model, target)
        self._recipe, self._chosen, self._batch = recipe, chosen, batch
        self._spaces: dict[Any, _Space] = {}
        self._functions: dict[Any, Any] = {}
        self._last = Last(self._prepare)
        self._traces = 0

    def traces(self) -> int:
        return self._traces

    def functions(self) -> list[Any]:
        return list(self._functions.values())

    def __call__(self, x: Any, y: Any = None) -> Attribution:
        targets.graph_only()
        function, arguments, inputs, space = self._last(x, y)
        return _attribution(function(*arguments), inputs, space)

    def _prepare(self, x: Any, y: Any) -> tuple[Any, list[Any], Inputs, _Space]:
        """Return the compiled function, its arguments, and what they are made of."""
        inputs = check_inputs(self._score.model, x, self._chosen)
        leaves = _each(_spec, inputs.leaves)
        if self._score.built_in:
            labels: Any = tf.TensorSpec((None,), tf.int32)
        else:
            y = self._score.labels(y, inputs.n)
            labels = _each(_spec, y)
        key: Any = (repr(_emptied(inputs.structure)), repr(leaves), repr(labels))
        if key not in self._spaces:
            self._spaces[key] = _Space(self._score, inputs, leaves, labels, self._batch)
        space = self._spaces[key]
        if self._score.built_in:
            y = self._score.labels(y, inputs.n)
        extra = self._recipe.given(inputs, space)
        layout = _layout(inputs.n, self._recipe.samples, max(1, self._batch // self._recipe.rows))
        specs = [leaves, labels, _each(_spec, extra)]
        if self._recipe.straight and layout[0] == inputs.n:
            specs[:2] = _each(lambda s: tf.TensorSpec((inputs.n, *s.shape[1:]), s.dtype), specs[:2])
        key = (*key, repr(specs[2]), layout, specs[0][0].shape[0])
        if key not in self._functions:
            self._functions[key] = self._compile(space, layout, specs)
        arguments = _each(tf.convert_to_tensor, [inputs.leaves, y, extra])
        return self._functions[key], arguments, inputs, space

    def _compile(self, space: _Space, layout: tuple[int, int, int], specs: list[Any]) -> Any:
        def traced(leaves: list[Any], y: Any, extra: list[Any]) -> dict[str, Any]:
            self._traces += 1
            space.start()
            return self._recipe.graph(space, layout, leaves, y, extra)

        return tf.function(traced, autograph=False).get_concrete_function(*specs)


class _Space:
    """The model as a function of what is differentiated, inside a graph.

    That is an input itself or, for inputs that only choose rows of a table (token ids), the chosen
    rows: the model's graph is then copied with these rows as a new input. The model is unaware.
    """

    def __init__(
        self, score: targets.Score, inputs: Inputs, leaves: Any, y: Any, batch: int
    ) -> None:
        self.score, self.structure, self.batch = score, inputs.structure, batch
        self.explained, self.names = inputs.explained, inputs.names
        self.single = len(getattr(score.model, "inputs", None) or []) == 1
        self.half = any(
            getattr(layer, "compute_dtype", "") == "float16"
            for layer in score.model._flatten_layers()
        )
        self.shapes = [tuple(leaf.shape[1:]) for leaf in leaves]
        whole = tf.function(lambda x, labels: score.cross(self.pack(x), labels), autograph=False)
        self.plan = whole.get_concrete_function(leaves, y)
        self.folded = fold(self.plan)
        self.weights: list[Any] = []
        self.graph_def: Any = None
        self.wide = self.plan.structured_outputs[0].dtype
        self.outputs = tf.nest.flatten(self.plan.structured_outputs[1])
        self.fixed = all(
            o.dtype.is_floating and o.shape[1:].is_fully_defined() for o in self.outputs
        )
        self.cuts = [self._cuts(i) for i in self.explained]
        # Whether a point depends on more of its example than what is explained.
        self.tied = any(self.cuts) or len(self.explained) < len(leaves)

    def pack(self, leaves: Sequence[Any]) -> Any:
        """Return inputs as the model takes them; a list of one input is that input."""
        if len(leaves) == 1 and isinstance(self.structure, (list, tuple)) and self.single:
            return leaves[0]
        return _rebuild(self.structure, iter(leaves))

    def unpack_outputs(self, flat: Sequence[Any]) -> Any:
        return tf.nest.pack_sequence_as(self.plan.structured_outputs[1], list(flat))

    def zeros(self, n: Any) -> list[Any]:
        """Return zeros in the shape of the explained inputs."""
        return [tf.zeros(tf.stack([n, *self.shapes[i]]), self.wide) for i in self.explained]

    def replaced(self, parts: list[Any], rows: list[Any]) -> list[Any]:
        """Return all inputs with the explained ones replaced, where there is something to take."""
        rows = list(rows)
        for i, part in zip(self.explained, parts, strict=True):
            rows[i] = rows[i] if part is None else part
        return rows

    def open(self, rows: list[Any]) -> list[Any]:
        """Return what is differentiated: the explained inputs, or the table rows they choose."""
        if not any(self.cuts):
            return [rows[i] for i in self.explained]
        chosen = iter(self._copy(rows, None, {}, [cut for cuts in self.cuts for cut in cuts]))
        found = []
        for i, cuts in zip(self.explained, self.cuts, strict=True):
            if not cuts:
                found.append(rows[i])
            for cut in cuts:
                part = next(chosen)
                part.set_shape((rows[i].shape[0], *cut.shape[1:]))
                found.append(_wide(part))
        return found

    def close(self, values: list[Any]) -> list[Any]:
        """Return one value per entry of the inputs: the entries of a table row are summed."""
        if not any(self.cuts):
            return values
        rest, found = iter(values), []
        for i, cuts in zip(self.explained, self.cuts, strict=True):
            if not cuts:
                found.append(next(rest))
                continue
            parts = [tf.reduce_sum(next(rest), axis=-1) for _ in cuts]
            found.append(tf.reshape(tf.add_n(parts), (parts[0].shape[0], *self.shapes[i])))
        return found

    def start(self) -> None:
        """Prepare for a graph that begins now; kernels are folded once in it, before all loops."""
        self.weights = self.folded.weights() if self.folded else []

    def run(self, rows: list[Any], y: Any) -> tuple[Any, Any]:
        """Return scores and outputs of all inputs."""
        if self.folded is not None:
            return self.folded(self.weights, rows, y)  # type: ignore[no-any-return]
        return self.plan(rows, y)  # type: ignore[no-any-return]

    def at(self, v: list[Any], rows: list[Any], y: Any) -> tuple[Any, Any]:
        """Return scores and outputs at ``v``; the model is traced in the current graph."""
        if not any(self.cuts):
            rows = self.replaced(v, rows)
            return self.run(rows, y) if self.folded else self.score(self.pack(rows), y)
        rest, rows, fed = iter(v), list(rows), {}
        for i, cuts in zip(self.explained, self.cuts, strict=True):
            if not cuts:
                rows[i] = next(rest)
            for cut in cuts:
                fed[cut.name] = tf.cast(next(rest), cut.dtype)
        flat = self._copy(rows, y, fed, self.plan.graph.outputs)
        scores, outputs = tf.nest.pack_sequence_as(self.plan.structured_outputs, flat)
        return scores, outputs

    def gradient(self, v: list[Any], rows: list[Any], y: Any) -> tuple[list[Any], Any, list[Any]]:
        """Return the gradients of the target at the points ``v``, the scores, and flat outputs.

        Where a layer computes in float16, whose smallest number would swallow most gradients, they
        are taken of the scaled target, with less scale for rows that overflow; outputs are then
        left to `forward`.
        """
        if not self.half:
            scores, outputs = self.at(v, rows, y)
            return self._derive(scores, v, None), scores, tf.nest.flatten(outputs)
        count = v[0].shape[0]

        def attempt(
            tries: Any, scale: Any, done: Any, found: list[Any], _: Any
        ) -> tuple[Any, Any, Any, list[Any], Any]:
            scores, _ = self.at(v, rows, y)
            new = [g / tf.cast(_like(scale, g), g.dtype) for g in self._derive(scores, v, scale)]
            found = [tf.where(_like(done, g), f, g) for f, g in zip(found, new, strict=True)]
            finite = [tf.reduce_all(tf.math.is_finite(_flat(g)), 1) for g in found]
            done = tf.reduce_all(tf.stack(finite), axis=0)
            return tries + 1, tf.where(done, scale, scale / 16), done, found, scores

        start = (
            tf.constant(0),
            tf.fill([count], tf.constant(SCALE, self.wide)),
            tf.zeros([count], tf.bool),
            [tf.zeros_like(part) for part in v],
            tf.zeros([count], self.wide),
        )
        _, _, _, found, scores = tf.while_loop(
            lambda tries, _, done, *__: (tries < 5) & ~tf.reduce_all(done),
            attempt,
            start,
            parallel_iterations=1,
        )
        return found, scores, []

    def forward(
        self,
        leaves: list[Any],
        y: Any,
        times: Any = 1,
        move: Callable[[Any, list[Any]], list[Any]] | None = None,
    ) -> tuple[Any, list[Any]]:
        """Return scores (rows * times,) and flat outputs (rows, ...), chunk by chunk.

        Args:
            leaves: all inputs.
            y: labels, ``times`` for each row.
            times: labels per row.
            move: gives the points for chosen (examples, rows); None stays at the inputs.
        """
        total = tf.shape(leaves[0])[0]
        size = tf.clip_by_value(_SCORES // times, 1, self.batch)
        count = (total + size - 1) // size
        kinds = [self.wide, *(o.dtype for o in self.outputs)]
        arrays = [tf.TensorArray(k, count, infer_shape=False) for k in kinds]

        def body(i: Any, arrays: list[Any]) -> tuple[Any, list[Any]]:
            low, high = i * size, tf.minimum((i + 1) * size, total)
            rows = [leaf[low:high] for leaf in leaves]
            labels = _each(lambda t: t[low * times : high * times], y)
            if move is None:
                scores, outputs = self.run(rows, labels)
            else:
                scores, outputs = self.at(move(tf.range(low, high), rows), rows, labels)
            found = [scores, *tf.nest.flatten(outputs)]
            return i + 1, [a.write(i, f) for a, f in zip(arrays, found, strict=True)]

        _, arrays = tf.while_loop(
            lambda i, _: i < count, body, [tf.constant(0), arrays], parallel_iterations=1
        )
        scores, *outputs = [a.concat() for a in arrays]
        return tf.reshape(scores, [-1]), outputs

    def _derive(self, scores: Any, v: list[Any], scale: Any) -> list[Any]:
        found = tf.gradients(scores, v, grad_ys=scale)
        owners = [
            i for i, cuts in zip(self.explained, self.cuts, strict=True) for _ in cuts or [None]
        ]
        for i, g, part in zip(owners, found, v, strict=True):
            if g is None and self._reaches(i):
                raise ValueError(_not_differentiable(self.names[i], part.dtype.name))
        # An input that the target does not see at all has a gradient of exactly 0.
        return [
            tf.zeros_like(part) if g is None else tf.convert_to_tensor(g)
            for g, part in zip(found, v, strict=True)
        ]

    def _cuts(self, i: int) -> list[Any]:
        """Return the table rows that an input chooses; none when it is differentiable itself."""
        place = self.plan.inputs[i]
        found, differentiable = _chosen_rows(place)
        if differentiable or not self._reaches(i):
            return []
        size = int(np.prod(self.shapes[i]))
        if found and all(
            t.shape.rank >= 2
            and t.shape[1:].is_fully_defined()
            and size * t.shape[-1] == t.shape[1:].num_elements()
            for t in found
        ):
            return found
        raise ValueError(_not_differentiable(self.names[i], place.dtype.name))

    def _reaches(self, i: int) -> bool:
        """Whether the score depends on an input at all."""
        goal = self.plan.inputs[i].op
        waiting, seen = [self.plan.outputs[0].op], set()
        while waiting:
            op = waiting.pop()
            if op is goal:
                return True
            if op not in seen:
                seen.add(op)
                waiting += [t.op for t in op.inputs]
        return False

    def _copy(self, rows: list[Any], y: Any, fed: dict[str, Any], wanted: list[Any]) -> list[Any]:
        """Return tensors of a copy of the model's graph, with ``fed`` in the place of others."""
        graph = self.plan.graph
        if self.graph_def is None:
            self.graph_def = graph.as_graph_def()
        part = needed(self.graph_def, {t.op.name for t in wanted})
        inside = {node.name for node in part.node}
        given = [*rows, *(t for t in tf.nest.flatten(y) if t is not None)]
        places = captured(self.plan)
        places |= {t.name: value for t, value in zip(self.plan.inputs, given, strict=False)}
        mapping = {k: t for k, t in (places | fed).items() if k.split(":")[0] in inside}
        return list(
            tf.graph_util.import_graph_def(
                part, input_map=mapping, return_elements=[t.name for t in wanted], name="copy"
            )
        )


_SCORES = 2**16
"""Scores that one chunk of `_Space.forward` computes at most."""


def _chosen_rows(place: Any) -> tuple[list[Any], bool]:
    """Return the tables' rows that an input chooses, and whether it is differentiable itself.

    The walk follows whole numbers (and floats that stand for them) forward until they index a
    table.
    """
    found: list[Any] = []
    differentiable = False
    waiting, seen = [place], set()
    while waiting:
        tensor = waiting.pop()
        for op in tensor.consumers():
            if op.type in ("GatherV2", "ResourceGather", "OneHot"):
                at = 0 if op.type == "OneHot" else 1
                if op.inputs[at] is tensor and op.outputs[0].dtype.is_floating:
                    found += [t for t in op.outputs if all(t is not f for f in found)]
                    continue
            for out in op.outputs:
                if id(out) in seen:
                    continue
                seen.add(id(out))
                if out.dtype.is_integer or (out.dtype.is_floating and op.type in _SAME):
                    waiting.append(out)
                elif out.dtype.is_floating and tensor.dtype.is_floating:
                    differentiable = True
    return found, differentiable


_SAME = ("Identity", "Reshape", "ExpandDims", "Squeeze")


def _not_differentiable(name: str, dtype: str) -> str:
    return (
        "model must be differentiable at the inputs to explain (or embed them as one vector per "
        "entry); cast whole-number images to float, choose others by inputs=[...], or use "
        "permutation_importance, feature_ablation or occlusion. "
        f"Received: input {name!r} of dtype {dtype} without a gradient"
    )


def _attribution(found: dict[str, Any], inputs: Inputs, space: _Space) -> Attribution:
    def host(name: str) -> np.ndarray | None:
        return found[name].numpy() if name in found else None

    def packed(name: str) -> Any:
        if name not in found:
            return None
        return inputs.pack([part.numpy().astype(np.float32, copy=False) for part in found[name]])

    return Attribution(
        values=packed("values"),
        output=found["output"].numpy(),
        baseline_output=host("baseline_output"),
        gap=host("gap"),
        stderr=packed("stderr"),
        prediction=space.unpack_outputs([part.numpy() for part in found["outputs"]]),
    )


# --- loops over chunks ------------------------------------------------------------------------


def _layout(n: int, samples: int, batch: int) -> tuple[int, int, int]:
    """Return (lanes, size, blocks): a chunk holds ``lanes`` examples with ``size`` samples each.

    An example has ``blocks`` blocks; as soon as there is more than one, a chunk holds one example.
    """
    blocks = -(-samples // batch)
    size = -(-samples // blocks)
    # The last chunk is filled up, and a chunk costs as much as a few rows by itself.
    most = min(n, max(1, batch // size))
    lanes = min(range(most, 0, -1), key=lambda lanes: -(-n // lanes) * (lanes * size + 4))
    return lanes, size, blocks


def _items(
    order: Any, blocks: Any, lanes: int, step: Callable[..., list[Any]], state: list[Any]
) -> list[Any]:
    """Run ``step`` over all pairs (example, block), ``lanes`` at a time; examples run fastest.

    ``step(examples, block, used, state)`` returns the new state; lanes beyond the end repeat a pair
    and are not used.
    """
    count = tf.shape(order)[0]
    total = count * blocks

    def body(start: Any, state: list[Any]) -> tuple[Any, list[Any]]:
        item = start + tf.range(lanes)
        kept = tf.minimum(item, total - 1)
        examples = tf.gather(order, kept % count)
        return start + lanes, step(examples, kept // count, item < total, state)

    _, state = tf.while_loop(
        lambda start, _: start < total, body, [tf.constant(0), state], parallel_iterations=1
    )
    return state


def _add(whole: Any, examples: Any, used: Any, part: Any) -> Any:
    """Return ``whole`` with ``part`` added to the rows of the examples, where lanes are used."""
    part = tf.where(_like(used, part), part, tf.zeros_like(part))
    return tf.tensor_scatter_nd_add(whole, examples[:, None], tf.cast(part, whole.dtype))


def _merge(
    state: list[Any], examples: Any, block: Any, used: Any, units: int, found: list[Any]
) -> list[Any]:
    """Return running means and sums of squared deviations with one more block of samples.

    Args:
        state: mean and sum of squared deviations of each part in turn, (n, ...).
        examples: rows that the lanes speak of.
        block: which block of each example this is.
        used: which lanes count.
        units: samples of an example in all.
        found: new samples of each part, (lanes, size, ...).
    """
    size = found[0].shape[1]
    if size == units:
        averages = [tf.reduce_mean(part, axis=1) for part in found]
        squares = [
            tf.reduce_sum(tf.math.squared_difference(part, average[:, None]), axis=1)
            for part, average in zip(found, averages, strict=True)
        ]
        parts = [part for pair in zip(averages, squares, strict=True) for part in pair]
        return [_add(s, examples, used, part) for s, part in zip(state, parts, strict=True)]
    valid = block[:, None] * size + tf.range(size) < units
    new = []
    for mean, deviation, part in zip(state[::2], state[1::2], found, strict=True):
        kept = _spread(valid, part, tf.bool)
        now = _like(tf.reduce_sum(tf.cast(valid, mean.dtype), axis=1), mean)
        before = _like(tf.cast(block * size, mean.dtype), mean)
        part = tf.where(kept, tf.cast(part, mean.dtype), tf.zeros([], mean.dtype))  # noqa: PLW2901
        average = tf.reduce_sum(part, axis=1) / now
        off = tf.where(kept, part - average[:, None], tf.zeros([], mean.dtype))
        shift = average - tf.gather(mean, examples)
        squares = tf.reduce_sum(off * off, axis=1) + shift * shift * before * now / (before + now)
        new += [_add(mean, examples, used, shift * now / (before + now))]
        new += [_add(deviation, examples, used, squares)]
    return new


def _rows(leaves: Any, examples: Any) -> Any:
    return _each(lambda leaf: tf.gather(leaf, examples), leaves)


def _each(change: Callable[[Any], Any], arrays: Any) -> Any:
    """Apply ``change`` to every array of a structure; labels that were not given stay None."""
    # The frequent kinds by hand: `tf.nest` takes longer than a small model's pass.
    if isinstance(arrays, list):
        return [_each(change, part) for part in arrays]
    if type(arrays) is dict:
        return {key: _each(change, part) for key, part in arrays.items()}
    if type(arrays) is tuple:
        return tuple(_each(change, part) for part in arrays)
    if isinstance(arrays, (Mapping, tuple)):
        return tf.nest.map_structure(lambda a: None if a is None else change(a), arrays)
    return None if arrays is None else change(arrays)


def _like(lanes: Any, tensor: Any) -> Any:
    """Return one number per lane in the rank of ``tensor``."""
    return tf.reshape(lanes, [-1] + [1] * (tensor.shape.rank - 1))


def _spread(numbers: Any, like: Any, dtype: Any = None) -> Any:
    """Return numbers (lanes, size) in the rank of ``like`` (lanes, size, ...)."""
    shape = (*numbers.shape, *[1] * (like.shape.rank - 2))
    return tf.reshape(tf.cast(numbers, dtype or like.dtype), shape)


def _flat(tensor: Any) -> Any:
    return tf.reshape(tensor, (tensor.shape[0], -1))


def _fold(tensor: Any) -> Any:
    """Return (lanes, size, ...) as rows."""
    return tf.reshape(tensor, (tensor.shape[0] * tensor.shape[1], *tensor.shape[2:]))


def _unfold(rows: Any, lanes: int, size: int) -> Any:
    """Return rows as (lanes, size, ...)."""
    return tf.reshape(rows, (lanes, size, *rows.shape[1:]))


def _spec(array: Any) -> Any:
    return tf.TensorSpec((None, *array.shape[1:]) if array.ndim else (), array.dtype)


def _wide(tensor: Any) -> Any:
    return tensor if tensor.dtype in (tf.float32, tf.float64) else tf.cast(tensor, tf.float32)


# --- recipes ----------------------------------------------------------------------------------


def _plain(times_input: bool) -> _Recipe:
    def graph(
        space: _Space, layout: tuple[int, int, int], leaves: list[Any], y: Any, _: list[Any]
    ) -> dict[str, Any]:
        n = tf.shape(leaves[0])[0]
        # One pass gives everything, unless the outputs' shapes are unknown or float16 needs tries.
        together = space.fixed and not space.half
        state = space.zeros(n)
        parts = len(state)
        if together:
            state += [tf.zeros([n], space.wide)]
            state += [tf.zeros(tf.concat([[n], o.shape[1:]], 0), o.dtype) for o in space.outputs]

        def derive(rows: list[Any], labels: Any) -> list[Any]:
            v = space.open(rows)
            found, scores, outputs = space.gradient(v, rows, labels)
            if times_input:
                found = [g * part for g, part in zip(found, v, strict=True)]
            found = space.close(found)
            return [*found, scores, *outputs] if together else found

        def step(examples: Any, _: Any, used: Any, state: list[Any]) -> list[Any]:
            found = derive(_rows(leaves, examples), _rows(y, examples))
            return [_add(s, examples, used, f) for s, f in zip(state, found, strict=True)]

        if leaves[0].shape[0] is None:
            found = _items(tf.range(n), 1, layout[0], step, state)
        else:
            found = [tf.cast(f, s.dtype) for f, s in zip(derive(leaves, y), state, strict=True)]
        if together:
            scores, outputs = found[parts], found[parts + 1 :]
        else:
            scores, outputs = space.forward(leaves, y)
        return {"values": found[:parts], "output": scores, "outputs": outputs}

    return _Recipe(graph, straight=True)


@dataclass(frozen=True)
class _Way:
    """A way through the input space from what stands for absence, t = 0, to the example, t = 1.

    Attributes:
        given: gives tensors of its own, on the host, for (inputs, space).
        start: gives the target at t = 0, (n,), from (space, leaves, y, own tensors).
        along: gives for (space, own tensors, examples, rows, t) the points at t (lanes, size) and
            their derivatives by t, each (lanes, size, ...), or (lanes, 1, ...) for a constant.
    """

    given: Callable[[Inputs, _Space], list[Any]]
    start: Callable[[_Space, list[Any], Any, list[Any]], Any]
    along: Callable[[_Space, list[Any], Any, list[Any], Any], tuple[list[Any], list[Any]]]


def _straight(baseline: Any) -> _Way:
    def given(inputs: Inputs, space: _Space) -> list[Any]:
        return _points(inputs, space, baseline, "baseline")

    def along(
        space: _Space, extra: list[Any], examples: Any, rows: list[Any], t: Any
    ) -> tuple[list[Any], list[Any]]:
        v, b = space.open(rows), _base(space, extra, examples, rows)
        way = [(p - q)[:, None] for p, q in zip(v, b, strict=True)]
        points = [q[:, None] + _spread(t, w) * w for q, w in zip(b, way, strict=True)]
        return points, way

    return _Way(given, _at_baseline, along)


SHARP = 0.4
"""Width of a Gaussian, in pixels, at which a picture is nearly sharp: a neighbour weighs 4 %, and
at half of it 4e-6."""


def _blurring(max_sigma: float | None) -> _Way:
    def given(inputs: Inputs, space: _Space) -> list[Any]:
        for i in inputs.explained:
            leaf = inputs.leaves[i]
            if leaf.ndim != 4 or leaf.dtype.kind != "f":
                raise ValueError(
                    "blur_integrated_gradients must be given images (n, h, w, c) of floats; "
                    "explain others by integrated_gradients, or choose the images by inputs=[...]. "
                    f"Received: input {inputs.names[i]!r} of shape {leaf.shape} and dtype "
                    f"{leaf.dtype}"
                )
        return []

    def widest(part: Any) -> float:
        return max(0.5, max(part.shape[1:3]) / 4 if max_sigma is None else max_sigma)

    def width(part: Any, t: Any) -> tuple[Any, Any]:
        """Return the widths at t and their derivatives.

        They fall in equal ratios while they are wide and, as (1 - t)^(1/4), fast where pictures
        hardly change any more: nodes are spent where the target moves.
        """
        rate = float(np.log1p((widest(part) / SHARP) ** 4))
        rise = tf.math.expm1((1 - tf.cast(t, part.dtype)) * rate)
        sigma = SHARP * rise**0.25
        return sigma, -rate / 4 * (1 + 1 / rise) * sigma

    def along(
        space: _Space, extra: list[Any], examples: Any, rows: list[Any], t: Any
    ) -> tuple[list[Any], list[Any]]:
        points, speeds = [], []
        for part in space.open(rows):
            sigma, falling = width(part, t)
            (down, by_down), (across, by_across) = (_gaussian(k, sigma) for k in part.shape[1:3])
            half, by_half = (tf.einsum("nsab,nbwc->nsawc", m, part) for m in (down, by_down))
            point, first, second = (
                tf.einsum("nsab,nshbc->nshac", m, part)
                for m, part in ((across, half), (across, by_half), (by_across, half))
            )
            points.append(point)
            speeds.append((first + second) * _spread(falling, point))
        return points, speeds

    def blurred(part: Any) -> Any:
        sigma = tf.constant(widest(part), part.dtype)
        down, across = (_gaussian(k, sigma)[0] for k in part.shape[1:3])
        return tf.einsum("ab,nbwc->nawc", down, tf.einsum("ab,nhbc->nhac", across, part))

    def start(space: _Space, leaves: list[Any], y: Any, extra: list[Any]) -> Any:
        return space.forward(leaves, y, 1, lambda _, rows: [*map(blurred, space.open(rows))])[0]

    return _Way(given, start, along)


def _gaussian(side: int, sigma: Any) -> tuple[Any, Any]:
    """Return blurs (..., side, side) of some widths, rows adding up to 1, and d/dwidth."""
    place = np.arange(side)
    square = tf.constant((place[:, None] - place) ** 2, sigma.dtype)
    sigma = sigma[..., None, None]
    weight = tf.nn.softmax(-square / (2 * sigma**2))
    change = square / sigma**3
    mean = tf.reduce_sum(weight * change, axis=-1, keepdims=True)
    return weight, weight * (change - mean)


def _levels(n_steps: int, max_steps: int | None, tolerance: float) -> list[int]:
    """Return the numbers of steps that are tried in turn."""
    _whole("n_steps", n_steps, 1)
    cap = 8 * n_steps if max_steps is None else _whole("max_steps", max_steps, n_steps)
    if not tolerance > 0:
        raise ValueError(f"tolerance must be positive. Received: tolerance={tolerance!r}")
    levels = [n_steps]
    while levels[-1] * 2 <= cap and np.isfinite(tolerance):
        levels.append(levels[-1] * 2)
    return levels


def _path(levels: list[int], way: _Way, tolerance: float) -> _Recipe:
    def graph(
        space: _Space, layout: tuple[int, int, int], leaves: list[Any], y: Any, extra: list[Any]
    ) -> dict[str, Any]:
        lanes, size, _ = layout
        n = tf.shape(leaves[0])[0]
        nodes, weights, first, blocks = _quadrature(levels, size, space.wide)
        output, outputs = space.forward(leaves, y)
        baseline_output = way.start(space, leaves, y, extra)
        delta = output - baseline_output
        scale = _scale(output, baseline_output)

        def level(
            k: Any, order: Any, values: list[Any], gap: Any
        ) -> tuple[Any, Any, list[Any], Any]:
            def step(examples: Any, block: Any, used: Any, state: list[Any]) -> list[Any]:
                rows = _rows(leaves, examples)
                at = tf.gather(first, k) + block
                points, speed = way.along(space, extra, examples, rows, tf.gather(nodes, at))
                many = tf.repeat(tf.range(lanes), size)
                labels = _rows(_rows(y, examples), many)
                found, _, _ = space.gradient([*map(_fold, points)], _rows(rows, many), labels)
                parts = []
                for g, s in zip(found, speed, strict=True):
                    part = _unfold(g, lanes, size) * _spread(tf.gather(weights, at), s)
                    if s.shape[1] == 1:
                        parts.append(tf.reduce_sum(part, 1) * s[:, 0])
                    else:
                        parts.append(tf.reduce_sum(part * s, 1))
                return [
                    _add(s, examples, used, p)
                    for s, p in zip(state, space.close(parts), strict=True)
                ]

            found = _items(order, tf.gather(blocks, k), lanes, step, space.zeros(n))
            new = tf.abs(_total(found, delta) - delta) / scale
            tried = tf.scatter_nd(order[:, None], tf.ones_like(order), tf.shape(delta)) > 0
            better = tried & ((k == 0) | (new < gap))
            values = [tf.where(_like(better, s), f, s) for f, s in zip(found, values, strict=True)]
            gap = tf.where(better, new, gap)
            return k + 1, tf.cast(tf.where(gap > tolerance)[:, 0], tf.int32), values, gap

        zeros, start = space.zeros(n), tf.zeros_like(delta)
        shapes = [tf.TensorShape([]), tf.TensorShape([None]), [z.shape for z in zeros], start.shape]
        _, _, values, gap = tf.while_loop(
            lambda k, order, *_: (k < len(levels)) & (tf.size(order) > 0),
            level,
            [tf.constant(0), tf.range(n), zeros, start],
            shape_invariants=shapes,
            parallel_iterations=1,
        )
        return {
            "values": values,
            "output": output,
            "outputs": outputs,
            "baseline_output": baseline_output,
            "gap": gap,
        }

    return _Recipe(graph, samples=levels[0], given=way.given)


def _quadrature(levels: list[int], size: int, dtype: Any) -> tuple[Any, Any, Any, Any]:
    """Return nodes and weights as rows of ``size``, and each level's first row and their number."""
    nodes: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    first: list[int] = []
    blocks: list[int] = []
    for steps in levels:
        count = -(-steps // size)
        first.append(sum(blocks))
        blocks.append(count)
        for whole, part in zip((nodes, weights), gauss_legendre(steps), strict=True):
            whole.append(np.pad(part, (0, count * size - steps)).reshape(count, size))
    return (
        tf.constant(np.concatenate(nodes), dtype),
        tf.constant(np.concatenate(weights), dtype),
        tf.constant(first, tf.int32),
        tf.constant(blocks, tf.int32),
    )


def _scale(output: Any, baseline_output: Any) -> Any:
    """Return what a gap is measured against.

    The difference, but no less than a thousandth of the outputs, below which it is rounding.
    """
    floor = 1e-3 * tf.maximum(tf.abs(output), tf.abs(baseline_output))
    return tf.maximum(tf.maximum(tf.abs(output - baseline_output), floor), 1e-30)


def _total(values: list[Any], like: Any) -> Any:
    """Return the sum of all values of each example."""
    sums = [tf.reduce_sum(tf.cast(v, like.dtype), list(range(1, v.shape.rank))) for v in values]
    return tf.add_n(sums)


def _points(inputs: Inputs, space: _Space, given: Any, what: str) -> list[Any]:
    """Return baselines as arrays; a number for table rows stays a number."""
    return [
        np.asarray(b, np.float32)
        if cuts and np.ndim(b) == 0
        else _baseline(b, inputs.leaves[i], inputs.names[i], what)
        for b, i, cuts in zip(inputs.spread(given, what), inputs.explained, space.cuts, strict=True)
    ]


def _base(space: _Space, extra: list[Any], examples: Any, rows: list[Any]) -> list[Any]:
    """Return the baseline of chosen examples as points; a number fills whole table rows."""
    moved = [
        tf.gather(b, tf.minimum(examples, tf.shape(b)[0] - 1)) if b.shape.rank else None
        for b in extra
    ]
    points, found = iter(space.open(space.replaced(moved, rows))), []
    for b, cuts in zip(extra, space.cuts, strict=True):
        for _ in cuts or [None]:
            point = next(points)
            found.append(point if b.shape.rank else tf.zeros_like(point) + tf.cast(b, point.dtype))
    return found


def _at_baseline(space: _Space, leaves: list[Any], y: Any, extra: list[Any]) -> Any:
    """Return the target at the baseline (n,); one that is shared passes through the model once."""
    n = tf.shape(leaves[0])[0]
    if space.tied:
        return space.forward(leaves, y, 1, lambda at, rows: _base(space, extra, at, rows))[0]
    count = tf.reduce_max([tf.shape(b)[0] for b in extra])
    full = [tf.gather(b, tf.minimum(tf.range(count), tf.shape(b)[0] - 1)) for b in extra]
    scores, _ = space.forward(full, y, n // count)
    return scores if y is not None else tf.repeat(scores, n // count)


def _mean(mean: Any, deviation: Any, units: int) -> tuple[Any, Any]:
    if units == 1:
        return mean, deviation * np.nan
    return mean, tf.sqrt(deviation / (units * (units - 1))) * small_sample(units)


def small_sample(m: int) -> float:
    """Return the factor by which 1.96 standard errors from m draws cover 95 % (Student's t)."""
    z, v = 1.959964, m - 1
    if v <= 5:
        return (12.7062, 4.3027, 3.1824, 2.7764, 2.5706)[v - 1] / z
    t = z + (z**3 + z) / (4 * v) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    return float(t / z)


def _mean_of_squares(mean: Any, deviation: Any, units: int) -> tuple[Any, Any]:
    return _mean(mean, deviation, units)


def _variance(mean: Any, deviation: Any, units: int) -> tuple[Any, Any]:
    return deviation / (units - 1), None


def _noisy(
    method: str,
    finish: Callable[[Any, Any, int], tuple[Any, Any]],
    n_samples: int,
    stdev: Any,
    seed: int,
    relative: bool,
    inputs: Sequence[str | int] | None,
    *,
    mirrored: bool = False,
) -> Binder:
    copies = 2 if mirrored else 1
    units = -(-_whole("n_samples", n_samples, 1) // copies)
    _check_stdev(stdev)
    params = {
        "n_samples": units * copies,
        "stdev": _told(stdev, "stdev"),
        "relative": bool(relative),
        "seed": _whole("seed", seed, 0),
    }

    def given(inputs: Inputs, space: _Space) -> list[Any]:
        return _widths(inputs, space, stdev)

    def graph(
        space: _Space, layout: tuple[int, int, int], leaves: list[Any], y: Any, extra: list[Any]
    ) -> dict[str, Any]:
        lanes, size, blocks = layout
        n = tf.shape(leaves[0])[0]

        def step(examples: Any, block: Any, used: Any, state: list[Any]) -> list[Any]:
            rows = _rows(leaves, examples)
            v, points = space.open(rows), []
            for k, (part, width) in enumerate(zip(v, _owned(space, extra), strict=True)):
                noise = _normal(seed, k, examples[0] * units + block[0] * size, lanes * size, part)
                spread = tf.cast(width, part.dtype)
                if relative:
                    flat = _flat(part)
                    spread *= _like(tf.reduce_max(flat, 1) - tf.reduce_min(flat, 1), part)
                noise = _unfold(noise, lanes, size) * (spread + tf.zeros_like(part))[:, None]
                both = tf.stack([noise, -noise], axis=2) if mirrored else noise[:, :, None]
                points.append(_fold(_fold(part[:, None, None] + both)))
            many = tf.repeat(tf.range(lanes), size * copies)
            labels = _rows(_rows(y, examples), many)
            found, _, _ = space.gradient(points, _rows(rows, many), labels)
            samples = [
                tf.reduce_mean(_unfold(_unfold(g, lanes * size, copies), lanes, size), axis=2)
                for g in space.close(found)
            ]
            if finish is _mean_of_squares:
                samples = [s * s for s in samples]
            return _merge(state, examples, block, used, units, samples)

        state = [z for part in space.zeros(n) for z in (part, part)]
        state = _items(tf.range(n), blocks, lanes, step, state)
        pairs = zip(state[::2], state[1::2], strict=True)
        values, stderr = zip(*(finish(m, d, units) for m, d in pairs), strict=True)
        output, outputs = space.forward(leaves, y)
        found = {"values": list(values), "output": output, "outputs": outputs}
        return found if stderr[0] is None else {**found, "stderr": list(stderr)}

    recipe = _Recipe(graph, samples=units, rows=copies, given=given)
    return _binder(method, params, inputs, recipe, signed=finish is _mean)


def _expected(background: Any, units: int, seed: int, stdev: Any) -> _Recipe:
    def given(inputs: Inputs, space: _Space) -> list[Any]:
        parts = [
            _background(part, inputs.leaves[i], inputs.names[i])
            for part, i in zip(
                inputs.spread(background, "background"), inputs.explained, strict=True
            )
        ]
        if len({len(part) for part in parts}) > 1:
            raise ValueError(
                "background must have the same number of examples in each input. "
                f"Received: {[len(part) for part in parts]}"
            )
        chosen, places = _draws(inputs.n, units, len(parts[0]), seed)
        return [
            parts,
            chosen,
            places.astype(space.wide.as_numpy_dtype),
            _widths(inputs, space, stdev),
        ]

    def graph(
        space: _Space, layout: tuple[int, int, int], leaves: list[Any], y: Any, extra: list[Any]
    ) -> dict[str, Any]:
        lanes, size, blocks = layout
        parts, chosen, places, widths = extra
        n = tf.shape(leaves[0])[0]

        def step(examples: Any, block: Any, used: Any, state: list[Any]) -> list[Any]:
            many = tf.repeat(tf.range(lanes), size)
            column = tf.minimum(block[:, None] * size + tf.range(size), units - 1)
            rows, labels = _rows(_rows(leaves, examples), many), _rows(_rows(y, examples), many)
            drawn = tf.reshape(tf.gather(chosen, examples), (lanes, units))
            drawn = tf.reshape(tf.gather(drawn, column, axis=1, batch_dims=1), (-1,))
            t = tf.gather(tf.gather(places, examples), column, axis=1, batch_dims=1)
            t = tf.reshape(t, (lanes * size, 1))
            v = space.open(rows)
            b = space.open(space.replaced([tf.gather(p, drawn) for p in parts], rows))
            if np.any(_check_stdev(stdev)):
                first = examples[0] * units + block[0] * size
                v = [
                    part + _normal(seed, k, first, lanes * size, part) * tf.cast(width, part.dtype)
                    for k, (part, width) in enumerate(zip(v, _owned(space, widths), strict=True))
                ]
            way = [p - q for p, q in zip(v, b, strict=True)]
            pair = tf.concat([t, 1 - t], axis=1)
            points = [
                _fold(q[:, None] + _spread(pair, w[:, None]) * w[:, None])
                for q, w in zip(b, way, strict=True)
            ]
            twice = tf.repeat(tf.range(lanes * size), 2)
            found, _, _ = space.gradient(points, _rows(rows, twice), _rows(labels, twice))
            samples = [
                w * tf.reduce_mean(_unfold(g, lanes * size, 2), axis=1)
                for g, w in zip(found, way, strict=True)
            ]
            samples = space.close(samples)
            if space.tied:
                samples.append(space.at(b, rows, labels)[0])
            return _merge(
                state, examples, block, used, units, [_unfold(s, lanes, size) for s in samples]
            )

        zeros = space.zeros(n)
        if space.tied:
            zeros.append(tf.zeros([n], space.wide))
        state = _items(
            tf.range(n), blocks, lanes, step, [z for part in zeros for z in (part, part)]
        )
        found = [_mean(m, d, units) for m, d in zip(state[::2], state[1::2], strict=True)]
        output, outputs = space.forward(leaves, y)
        if space.tied:
            baseline_output = found.pop()[0]
        else:
            count = tf.shape(parts[0])[0]
            tiled = _each(lambda t: tf.tile(t, tf.stack([count, *[1] * (t.shape.rank - 1)])), y)
            scores, _ = space.forward(parts, tiled, n)
            scores = tf.reshape(scores, tf.stack([count, -1]))
            baseline_output = tf.reduce_mean(scores, axis=0) + tf.zeros_like(output)
        values = [mean for mean, _ in found]
        delta = output - baseline_output
        return {
            "values": values,
            "stderr": [spread for _, spread in found],
            "output": output,
            "outputs": outputs,
            "baseline_output": baseline_output,
            "gap": tf.abs(_total(values, delta) - delta) / _scale(output, baseline_output),
        }

    return _Recipe(graph, samples=units, rows=2, given=given)


def _draws(n: int, units: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which background example each sample uses, (n, units), and where it stands, [0, 1)."""
    chosen, places = np.empty((n, units), np.int32), np.empty((n, units))
    for example in range(n):
        rng = np.random.default_rng([seed, example])
        rounds = [rng.permutation(count) for _ in range(-(-units // count))]
        chosen[example] = np.concatenate(rounds)[:units]
        places[example] = rng.random(units)
    return chosen, places


def _normal(seed: int, part: int, first: Any, count: int, like: Any) -> Any:
    """Return standard normal noise (count, ...) for the samples from number ``first`` on.

    The numbers of a sample depend on the seed and the sample's own number alone: they are counted
    off a Philox stream, from which each sample takes as many whole steps as it needs.
    """
    numbers = 4 if like.dtype == tf.float32 else 2
    size = int(np.prod(like.shape[1:]))
    steps = -(-size // numbers)
    key = int(np.random.SeedSequence([seed, part]).generate_state(1, np.uint64)[0])
    counter = tf.stack([tf.cast(first, tf.uint64) * np.uint64(steps), tf.zeros([], tf.uint64)])
    noise = tf.raw_ops.StatelessRandomNormalV2(
        shape=(count, steps * numbers),
        key=tf.constant([key], tf.uint64),
        counter=counter,
        alg=1,  # Philox, on every device
        dtype=like.dtype,
    )
    return tf.reshape(noise[:, :size], (count, *like.shape[1:]))


def _owned(space: _Space, per_input: list[Any]) -> list[Any]:
    """Return one number or array per point from one per explained input."""
    pairs = zip(per_input, space.cuts, strict=True)
    return [part[0] if part.shape.rank else part for part, cuts in pairs for _ in cuts or [None]]


def check_inputs(
    model: Any, x: Any, chosen: Sequence[str | int] | None = None, *, text: bool = False
) -> Inputs:
    """Return examples as flat arrays in the type the model reads, or refuse them with a sentence.

    Args:
        model: a built Keras model.
        x: an array, or a dictionary, list or tuple of arrays, examples first.
        chosen: names or positions of the inputs to explain; None for all.
        text: whether an input to explain may hold text; one that is held fixed always may.

    Returns:
        The flat inputs; text as objects.

    Raises:
        TypeError: not numbers, nor text where it may stand.
        ValueError: no examples, different numbers of examples, a shape the model does not take, or
            values that are not finite.
    """
    structure = x if isinstance(x, Mapping) or _is_structure(x) else np.asarray(x)
    leaves = [targets.as_numbers(leaf) for leaf in _flatten(structure, structure)]
    symbolic = list(getattr(model, "inputs", None) or [])
    names = _names(structure, symbolic, len(leaves))
    if symbolic and len(symbolic) != len(leaves):
        raise ValueError(
            f"x must hold the model's {len(symbolic)} inputs {[s.name for s in symbolic]}. "
            f"Received: {len(leaves)} arrays"
        )
    if symbolic and isinstance(structure, Mapping) and len(structure) == len(symbolic):
        own = {s.name for s in symbolic}
        whole = getattr(model, "input", None)
        known = sorted(map(str, whole)) if isinstance(whole, Mapping) else sorted(own)
        if unknown := [key for key in structure if key not in own and key not in known]:
            raise ValueError(
                f"x must have the model's inputs {known} as keys. Received: {unknown[0]!r}"
            )
    wide = np.float64 if getattr(model, "compute_dtype", "") == "float64" else np.float32
    explained = _chosen(chosen, names)
    for i, leaf in enumerate(leaves):
        expected = symbolic[i] if symbolic else None
        if isinstance(structure, Mapping) and symbolic:
            expected = next((s for s in symbolic if s.name == names[i]), expected)
        if leaf.dtype.kind in "OSU" and (text or i not in explained):
            leaves[i] = _text(leaf, names[i])
        else:
            leaves[i] = _leaf(leaf, names[i], expected, wide)
    if len({len(leaf) for leaf in leaves}) > 1:
        raise ValueError(
            f"x must have the same number of examples in each input. "
            f"Received: {dict(zip(names, map(len, leaves), strict=True))}"
        )
    return Inputs(structure, leaves, names, explained)


def _text(leaf: np.ndarray, name: str) -> np.ndarray:
    if leaf.ndim == 0 or leaf.size == 0:
        raise ValueError(f"x must hold at least one example. Received: shape {leaf.shape}")
    if not all(isinstance(item, (str, bytes)) for item in leaf.flat):
        raise TypeError(f"x must hold numbers or text. Received: input {name!r} of mixed objects")
    return leaf.astype(object)


def _leaf(leaf: np.ndarray, name: str, expected: Any, wide: Any) -> np.ndarray:
    if leaf.dtype.kind not in "biuf":
        raise TypeError(
            "x must hold numbers to have gradients; explain text and categories by lime, "
            "kernel_shap, feature_ablation, occlusion or permutation_importance, or choose other "
            f"inputs by inputs=[...]. Received: input {name!r} of dtype {leaf.dtype}"
        )
    if leaf.ndim == 0 or leaf.size == 0:
        raise ValueError(f"x must hold at least one example. Received: shape {leaf.shape}")
    if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(leaf))[0])
        raise ValueError(f"x must be finite. Received: {leaf[at]} at {at} of input {name!r}")
    if expected is not None:
        shape = tuple(expected.shape)
        # As Keras does, an axis of one channel may be left out, or added.
        taken = leaf.shape
        if leaf.ndim == len(shape) - 1 and shape[-1] == 1:
            taken = (*leaf.shape, 1)
        elif leaf.ndim == len(shape) + 1 and leaf.shape[-1] == 1:
            taken = leaf.shape[:-1]
        fits = len(shape) == len(taken) and all(
            a is None or a == b for a, b in zip(shape[1:], taken[1:], strict=True)
        )
        if not fits:
            told = ", ".join("n" if i == 0 else str(a or "any") for i, a in enumerate(shape))
            raise ValueError(
                f"x must have shape ({told}) for input {name!r}. Received: shape {leaf.shape}"
            )
        return targets.narrowed(leaf, _dtype(expected), f"x for input {name!r}")
    return targets.narrowed(leaf, wide, f"x for input {name!r}") if leaf.dtype.kind == "f" else leaf


def _dtype(expected: Any) -> Any:
    """Return the type in which an input is perturbed: never less than float32."""
    return np.float32 if expected.dtype in ("float16", "bfloat16") else np.dtype(expected.dtype)


def _baseline(values: Any, leaf: np.ndarray, name: str, what: str) -> np.ndarray:
    """Return a baseline as (1, ...) or (n, ...) in the type of the input."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(f"{what} must hold finite numbers. Received: {array} for input {name!r}")
    array = targets.narrowed(array, leaf.dtype, what)
    if array.shape == leaf.shape:
        return array
    try:
        return np.ascontiguousarray(np.broadcast_to(array, (1, *leaf.shape[1:])))
    except ValueError:
        raise ValueError(
            f"{what} must be a number or have shape {leaf.shape[1:]} or {leaf.shape} for input "
            f"{name!r}. Received: shape {array.shape}"
        ) from None


def _background(values: Any, leaf: np.ndarray, name: str) -> np.ndarray:
    """Return background examples (N, ...) in the type of the input."""
    array = np.asarray(values)
    if array.shape[1:] != leaf.shape[1:] or array.size == 0:
        raise ValueError(
            f"background must hold examples of shape {leaf.shape[1:]} for input {name!r}. "
            f"Received: shape {array.shape}"
        )
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(
            f"background must hold finite numbers. Received: dtype {array.dtype} for input {name!r}"
        )
    return targets.narrowed(array, leaf.dtype, "background")


def _widths(inputs: Inputs, space: _Space, stdev: Any) -> list[Any]:
    """Return one standard deviation per explained input, a number or (1, ...)."""
    found = []
    given = inputs.spread(stdev, "stdev")
    for width, i, cuts in zip(given, inputs.explained, space.cuts, strict=True):
        array = np.asarray(width, np.float32)
        if array.ndim and (cuts or array.shape != inputs.leaves[i].shape[1:]):
            raise ValueError(
                "stdev must be a number, or an array of the shape of one example of an input that "
                f"is not embedded. Received: shape {array.shape} for input {inputs.names[i]!r}"
            )
        found.append(array[None] if array.ndim else array)
    return found


def _check_stdev(stdev: Any) -> Any:
    for part in stdev.values() if isinstance(stdev, Mapping) else [stdev]:
        array = np.asarray(part)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"stdev must be a number or an array of numbers. Received: {part!r}")
        if not (np.isfinite(array).all() and (array >= 0).all()):
            raise ValueError(f"stdev must not be negative. Received: stdev={part!r}")
    return [np.any(part) for part in stdev.values()] if isinstance(stdev, Mapping) else stdev


def _chosen(chosen: Sequence[str | int] | None, names: list[str]) -> list[int]:
    if chosen is None:
        return list(range(len(names)))
    found = []
    for which in chosen:
        if which in names:
            found.append(names.index(str(which)))
        elif isinstance(which, int) and 0 <= which < len(names):
            found.append(which)
        else:
            raise ValueError(f"inputs must name some of {names}. Received: {which!r}")
    if not found:
        raise ValueError(f"inputs must name at least one of {names}. Received: {list(chosen)}")
    return sorted(set(found))


def _is_structure(x: Any) -> bool:
    """Whether a list or tuple holds arrays of its own rather than numbers."""
    return isinstance(x, (list, tuple)) and any(
        isinstance(part, Mapping) or (hasattr(part, "shape") and np.ndim(part) > 0) for part in x
    )


def _flatten(values: Any, structure: Any) -> list[Any]:
    """Return the leaves of ``values`` in the order of ``structure``, keys sorted."""
    if isinstance(structure, Mapping):
        return [leaf for key in sorted(structure) for leaf in _flatten(values[key], structure[key])]
    if _is_structure(structure):
        pairs = zip(values, structure, strict=True)
        return [leaf for part, shape in pairs for leaf in _flatten(part, shape)]
    return [values]


def _rebuild(structure: Any, leaves: Any) -> Any:
    """Return a structure like ``structure`` from the leaves of `_flatten`."""
    if isinstance(structure, Mapping):
        found = {key: _rebuild(structure[key], leaves) for key in sorted(structure)}
        return {key: found[key] for key in structure}
    if _is_structure(structure):
        return type(structure)([_rebuild(part, leaves) for part in structure])
    return next(leaves)


def _same(values: Any, structure: Any) -> bool:
    """Whether values have the structure of x."""
    if isinstance(structure, Mapping):
        return (
            isinstance(values, Mapping)
            and values.keys() >= structure.keys()
            and all(_same(values[key], structure[key]) for key in structure)
        )
    if _is_structure(structure):
        return (
            isinstance(values, (list, tuple))
            and len(values) == len(structure)
            and all(map(_same, values, structure))
        )
    return not isinstance(values, Mapping)


def _form(values: Any) -> str:
    if isinstance(values, Mapping):
        return f"a dictionary of {sorted(map(str, values))}"
    if isinstance(values, (list, tuple)):
        return f"{type(values).__name__} of {len(values)}"
    return f"array of shape {np.shape(values)}"


def _emptied(structure: Any) -> Any:
    return _rebuild(structure, iter([0] * len(_flatten(structure, structure))))


def _names(structure: Any, symbolic: list[Any], count: int) -> list[str]:
    if isinstance(structure, Mapping) and len(structure) == count:
        return [str(key) for key in sorted(structure)]
    if len(symbolic) == count:
        return [str(s.name) for s in symbolic]
    return ["x"] if count == 1 else [f"x{i}" for i in range(count)]


def _whole(name: str, value: Any, low: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise ValueError(
            f"{name} must be a whole number of at least {low}. Received: {name}={value!r}"
        )
    return int(value)


def _told(values: Any, what: str) -> Any:
    """Return a setting as JSON can hold it: numbers as they are, arrays by their shape and mean."""
    if isinstance(values, Mapping):
        return {str(key): _told(part, what) for key, part in values.items()}
    if _is_structure(values):
        return [_told(part, what) for part in values]
    array = np.asarray(values)
    if array.ndim == 0:
        if array.dtype.kind not in "biuf":
            raise TypeError(f"{what} must be a number or an array of numbers. Received: {values!r}")
        return float(array)
    counts = array.size and array.dtype.kind in "biuf"
    return f"array {array.shape}" + (f", mean {array.mean():.4g}" if counts else "")
