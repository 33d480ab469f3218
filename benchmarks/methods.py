"""CPU time, memory and traces of every method: `python -m benchmarks.methods [--quick] [--peers]`.

Each case runs in a process of its own, with one thread. Raw passes and method take turns in it, and
what is reported is the median over rounds of the ratio of their CPU times: what else the machine
does meanwhile hits both.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from benchmarks import report
from benchmarks.cases import BATCH, MODELS, Case, Passes, cases, raw_passes
from tb_xai import cam, gradients, importance, perturbation

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
UPDATES = 20  # of the weights, after which a method must still have been traced once
COPIES = 9  # of raw passes and method: where buffers come to lie in memory may cost 50 %
AT_LEAST = 0.15  # seconds of CPU time in one measurement


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds, no MobileNet, no file")
    parser.add_argument("--only", default="", help="cases whose name holds this; writes no file")
    parser.add_argument("--peers", action="store_true", help="install and measure other packages")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, help="measurements of each case (default: 9)")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (3 if arguments.quick else 9)
    if arguments.case:
        one_thread()
        print("\n" + json.dumps(one(arguments.case, rounds)))
        return 0
    wanted = [
        case
        for case in cases()
        if arguments.only in case.key and not (arguments.quick and case.model == "mobilenet")
    ]
    print(line(HEAD))
    results = []
    for case in wanted:
        results.append(in_a_process("--case", case.key, "--rounds", str(rounds)))
        print(line(row(case, results[-1])), flush=True)
    if arguments.only:
        return 0
    gaps = in_a_process("--case", "gaps")
    print("\n" + told_gaps(gaps))
    others = peers(rounds) if arguments.peers else in_a_process("--case", "peer/scikit-learn")
    print("\n" + told_peers(others))
    if not arguments.quick:
        whole = list(zip(wanted, results, strict=True))
        DOCUMENT.write_text(document(whole, gaps, others, rounds))
        print(f"\nWrote {DOCUMENT.relative_to(ROOT)}")
    return 0


def one(key: str, rounds: int) -> dict[str, Any]:
    """Return what one process measures."""
    if key == "gaps":
        return quadrature_gaps()
    if key.startswith("peer/"):
        return peer(key.removeprefix("peer/"), rounds)
    return measure(next(case for case in cases() if case.key == key), rounds)


def in_a_process(*arguments: str, python: str = sys.executable) -> dict[str, Any]:
    """Run one case in a process of its own and return what it measured."""
    command = [python, "-m", "benchmarks.methods", *arguments]
    # NumPy's own threads would spin while they wait, which counts as CPU time.
    alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | alone, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def one_thread() -> None:
    """Make TensorFlow, which has not started yet, run everything in one thread."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


# --- one case -------------------------------------------------------------------------------------


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Return CPU times, memory and traces of one case."""
    keras.utils.set_random_seed(0)
    model = MODELS[case.model].build()
    x, y = MODELS[case.model].examples(case.n)
    raws = [raw_passes(model, x, y, case.raw, case.layer) for _ in range(COPIES)]
    explains = [case.bind(1)(model) for _ in range(COPIES)]
    wider = case.bind(4)(model)
    methods = [lambda explain=explain: explain(x, y) for explain in explains]
    memory = [[peak(raw) for raw in raws][-1], peak(methods[0]), peak(methods[1])]
    memory.append(peak(lambda: wider(x, y)))
    return {"memory": memory, **race(raws, methods, rounds), **traces(case, model)}


def race(
    raws: Sequence[Callable[[], Any]], methods: Sequence[Callable[[], Any]], rounds: int
) -> dict[str, Any]:
    """Return CPU seconds of both and the ratio's median and quartiles, measured in turns."""
    for function in (*raws, *methods):
        function()
    times = max(1, math.ceil(AT_LEAST / max(seconds(raws[0], 1), 1e-6)))
    found = []
    for turn in range(rounds * (3 if times > 1 else 1)):  # what is short is disturbed the more
        both = raws[turn % len(raws)], methods[turn % len(methods)]
        pair = [seconds(f, times) for f in (both if turn % 2 else both[::-1])]
        found.append(pair if turn % 2 else pair[::-1])
    raw, method = np.array(found).T
    quartiles = np.quantile(method / raw, [0.25, 0.5, 0.75])
    return {
        "raw": float(np.median(raw)),
        "method": float(np.median(method)),
        "ratio": quartiles.tolist(),
    }


def seconds(function: Callable[[], Any], times: int) -> float:
    """Return the CPU seconds of one call, the mean of some."""
    began = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - began) / times


def peak(function: Callable[[], Any]) -> float | None:
    """Return the process' largest memory so far, after a call, in MiB; None off Linux.

    TensorFlow keeps what it once took, and a first call compiles: what counts is by how much this
    rises from one call to the next.
    """
    function()
    gc.collect()
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    except OSError:
        return None
    return int(found.group(1)) / 1024 if found else None


def traces(case: Case, model: keras.Model, updates: int = UPDATES) -> dict[str, Any]:
    """Return how often a method is traced while the weights change, by two counts.

    The method counts its own traces; beside that, the Python code of the model must not run any
    more once the method was called for the first time.
    """
    explain = case.bind(1)(model)
    x, y = MODELS[case.model].examples(case.n)
    if not case.name.startswith("permutation"):
        x, y = x[:2], y[:2]
    calls, call = [0], model.call

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        return call(*args, **kwargs)

    vars(model)["call"] = counted
    kernel = model.trainable_variables[0]
    after_first = 0
    for update in range(updates):
        explain(x, y)
        kernel.assign(kernel * 0.99)
        after_first = calls[0] if update == 0 else after_first
    del vars(model)["call"]
    return {"traces": explain.traces(), "late_calls": calls[0] - after_first}


# --- how exact integrated gradients are -----------------------------------------------------------


def quadrature_gaps() -> dict[str, Any]:
    """Return completeness gaps of integrated gradients on the held-out digits of the demo's CNN."""
    from sklearn import datasets

    from tb_xai import cli
    from tb_xai.gradients import blur_integrated_gradients, integrated_gradients

    class Keeping:
        """Keras for the demo's code, which keeps the model that is made."""

        model: Any = None

        def __getattr__(self, name: str) -> Any:
            return getattr(keras, name)

        def Sequential(self, *args: Any, **kwargs: Any) -> Any:  # noqa: N802
            self.model = keras.Sequential(*args, **kwargs)
            return self.model

    keeping, epochs = Keeping(), 20
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as log_dir:
        cli._digits(keeping, datasets, Path(log_dir), epochs, lambda *_: None)
    data = datasets.load_digits()
    held, _ = cli._split(len(data.images), 360)
    x, y = (data.images / 16.0).astype("float32")[held, ..., None], data.target[held]
    found = {"pictures": len(x), "epochs": epochs}
    for name, binder in (
        ("default", integrated_gradients()),
        ("along the blur, default", blur_integrated_gradients()),
        ("16 steps, none repeated", integrated_gradients(16, tolerance=math.inf)),
        ("8 steps, none repeated", integrated_gradients(8, tolerance=math.inf)),
    ):
        gap = binder(keeping.model)(x, y).gap
        assert gap is not None
        found[name] = [float(np.quantile(gap, 0.95)), float(gap.max())]
    return found


def told_gaps(gaps: dict[str, Any]) -> str:
    parts = [
        f"{name}: {100 * value[0]:.2f} % (largest {100 * value[1]:.1f} %)"
        for name, value in gaps.items()
        if isinstance(value, list)
    ]
    return (
        "Relative completeness gap of integrated gradients, 95th percentile over the "
        f"{gaps['pictures']} held-out digits of the demo's CNN after {gaps['epochs']} epochs: "
        + "; ".join(parts)
    )


# --- peers ----------------------------------------------------------------------------------------

PEERS = {
    "scikit-learn": [],
    "lime": ["lime"],
    "shap": ["shap"],
    "tf-explain": ["tf-explain", "opencv-python-headless"],
}


def peers(rounds: int) -> dict[str, Any]:
    """Measure every peer that installs, each in a virtual environment of its own.

    It sees the packages of this one, so that only the peer and what it lacks are installed.
    """
    found: dict[str, Any] = {}
    for name, packages in PEERS.items():
        with tempfile.TemporaryDirectory() as directory:
            venv.create(directory, with_pip=True)
            python = Path(directory) / "bin" / "python"
            (site,) = Path(directory).glob("lib/*/site-packages")
            (site / "this.pth").write_text("\n".join(p for p in sys.path if "site-packages" in p))
            try:
                if packages:
                    install = [python, "-m", "pip", "install", "--quiet", *packages]
                    subprocess.run(install, check=True, capture_output=True, text=True)
                found |= in_a_process(
                    "--case", f"peer/{name}", "--rounds", str(rounds), python=str(python)
                )
            except (subprocess.CalledProcessError, RuntimeError) as error:
                last = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
                found[name] = {"failed": last[:200]}
    return found


def peer(name: str, rounds: int) -> dict[str, Any]:
    """Return what a peer and our method take for the same work, in turns."""
    if name == "tf-explain":
        return _tf_explain(rounds) | _epochs()
    keras.utils.set_random_seed(0)
    model = MODELS["mlp"].build()
    forward = tf.function(lambda x: model(x, training=False), autograph=False)
    predict = forward.get_concrete_function(tf.TensorSpec((None, 30), tf.float32))

    def probabilities(x: Any) -> np.ndarray:
        found: np.ndarray = predict(tf.convert_to_tensor(np.asarray(x, np.float32))).numpy()
        return found

    n = 2000 if name == "scikit-learn" else 5
    x, y = MODELS["mlp"].examples(n)
    if name == "scikit-learn":
        work = "permutation importance, 2000 rows, 10 repeats"
        theirs = _scikit_learn(probabilities, x, y)
        ours, rows = _ours(importance.permutation(10), model, x, y), 301 * n
    elif name == "lime":
        work = "LIME, 5 rows of 30 columns, 1000 samples"
        theirs = _lime(probabilities, x)
        ours, rows = _ours(perturbation.lime(1000), model, x, y), 1001 * n
    else:
        work = "KernelSHAP, 5 rows of 30 columns, 2108 samples"
        theirs = _shap(probabilities, x)
        ours, rows = _ours(perturbation.kernel_shap(), model, x, y), 2110 * n
    raw = raw_passes(model, x, y, [Passes("forward", rows, n if n > 5 else 64)], None)
    both = [race([raw], [f], min(rounds, 5)) for f in (theirs, ours)]
    return {name: {"work": work, "theirs": both[0]["ratio"][1], "ours": both[1]["ratio"][1]}}


def _tf_explain(rounds: int) -> dict[str, Any]:
    """Return what tf-explain takes on the CNN, for one class, as is all it can explain at once."""
    from tf_explain.core.grad_cam import GradCAM
    from tf_explain.core.integrated_gradients import IntegratedGradients
    from tf_explain.core.occlusion_sensitivity import OcclusionSensitivity
    from tf_explain.core.smoothgrad import SmoothGrad
    from tf_explain.core.vanilla_gradients import VanillaGradients

    keras.utils.set_random_seed(0)
    sequential = MODELS["cnn"].build()
    # Some of them refuse a Sequential, and lists of one input and output.
    model = keras.Model(sequential.inputs[0], sequential.outputs[0])
    keras.utils.disable_interactive_logging()
    n, layer = 16, "conv2d_1"
    x, y = MODELS["cnn"].examples(n)
    data, y = (x, None), np.zeros_like(y)
    forward, gradient = Passes("forward", n, n), Passes("gradient", n, n)
    work: dict[str, tuple[Any, Any, list[Passes], str | None]] = {
        "gradient": (
            lambda: VanillaGradients().explain(data, model, 0),
            gradients.saliency(),
            [gradient],
            None,
        ),
        "integrated gradients, 16 steps": (
            lambda: IntegratedGradients().explain(data, model, 0, n_steps=16),
            gradients.integrated_gradients(16, tolerance=math.inf),
            [Passes("gradient", 16 * n), forward],
            None,
        ),
        "SmoothGrad, 20 samples": (
            lambda: SmoothGrad().explain(data, model, 0, num_samples=20, noise=0.15),
            gradients.smooth_grad(20),
            [Passes("gradient", 20 * n), forward],
            None,
        ),
        "Grad-CAM": (
            lambda: GradCAM().explain(data, model, 0, layer, use_guided_grads=False),
            cam.grad_cam(layer),
            [Passes("layer", n, n)],
            layer,
        ),
        "occlusion, 49 windows": (
            lambda: OcclusionSensitivity(BATCH).explain(data, model, 0, 4),
            perturbation.occlusion(4),
            [Passes("forward", 49 * n), forward],
            None,
        ),
    }
    found = {}
    for title, (theirs, binder, passes, named) in work.items():
        raw = raw_passes(model, x, y, passes, named)
        cell: dict[str, Any] = {"work": f"{title}, {n} pictures"}
        cell["ours"] = race([raw], [_ours(binder, model, x, y)], min(rounds, 5))["ratio"][1]
        try:
            cell["theirs"] = race([raw], [theirs], 3)["ratio"][1]
        except Exception as error:
            last = str(error).strip().splitlines()[-1].strip()
            cell["failed"] = f"{type(error).__name__}: {last}"[:160]
        found[f"tf-explain: {title}"] = cell
    return found


def _epochs(epochs: int = 12) -> dict[str, Any]:
    """Return CPU seconds of an epoch of `fit`: alone, with our callback, with tf-explain's."""
    from tf_explain.callbacks.integrated_gradients import IntegratedGradientsCallback as Theirs

    from tb_xai.callbacks import AttributionCallback

    x, y = MODELS["cnn"].examples(2048)
    shown, classes = x[:16], y[:16]

    class Clock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.times = [time.process_time()]

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.times.append(time.process_time())

    def epoch(callbacks: list[Any]) -> float:
        keras.utils.set_random_seed(0)
        sequential = MODELS["cnn"].build()
        model = keras.Model(sequential.inputs[0], sequential.outputs[0])
        model.compile("adam", "sparse_categorical_crossentropy")
        clock = Clock()
        model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=[clock, *callbacks])
        # Without the first two, in which functions are compiled.
        return float(np.median(np.diff(clock.times[3:])))

    with tempfile.TemporaryDirectory() as logs:
        method = gradients.integrated_gradients(16, tolerance=math.inf)
        ours = AttributionCallback(f"{logs}/a", shown, classes, method=method, quality=False)
        found = {
            "alone": epoch([]),
            "ours": epoch([ours]),
            "theirs": epoch([Theirs((shown, None), 0, 16, f"{logs}/b")]),
        }
    return {"fit": found}


def _ours(binder: Any, model: keras.Model, x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    explain = binder(model)
    return lambda: explain(x, y)


def _scikit_learn(predict: Any, x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    from sklearn.inspection import permutation_importance

    def score(estimator: Any, x: np.ndarray, y: np.ndarray) -> float:
        return float(np.log(predict(x)[np.arange(len(y)), y]).mean())

    class Fitted:
        def fit(self, x: Any, y: Any) -> None: ...

    return lambda: permutation_importance(
        Fitted(), x, y, scoring=score, n_repeats=10, random_state=0
    )


def _lime(predict: Any, x: np.ndarray) -> Callable[[], Any]:
    from lime.lime_tabular import LimeTabularExplainer

    background = MODELS["mlp"].examples(500)[0]
    explainer = LimeTabularExplainer(background, random_state=0)

    def run() -> None:
        for row in x:
            explainer.explain_instance(row, predict, num_features=30, num_samples=1000)

    return run


def _shap(predict: Any, x: np.ndarray) -> Callable[[], Any]:
    import shap

    explainer = shap.KernelExplainer(lambda x: predict(x)[:, 1], np.zeros((1, 30), np.float32))
    return lambda: explainer.shap_values(x, nsamples=2108, silent=True)


def told_peers(found: dict[str, Any]) -> str:
    lines = ["| peer | work | peer, x raw | tb_xai, x raw |", "|---|---|---|---|"]
    for name, value in found.items():
        if name == "fit":
            continue
        ours = f"{value['ours']:.2f}" if "ours" in value else ""
        theirs = f"does not run: {value['failed']}" if "failed" in value else ""
        theirs = theirs or f"{value['theirs']:.2f}"
        lines.append(f"| {name.split(':')[0]} | {value.get('work', '')} | {theirs} | {ours} |")
    if "fit" in found:
        alone, ours, theirs = (1e3 * found["fit"][key] for key in ("alone", "ours", "theirs"))
        lines += [
            "",
            "An epoch of `fit` (small CNN, 2048 pictures) with integrated gradients of 16 pictures "
            f"at 16 steps at its end, CPU time: {alone:.0f} ms without a callback, {ours:.0f} ms "
            f"(+ {ours - alone:.0f}) with tb_xai's, {theirs:.0f} ms (+ {theirs - alone:.0f}) with "
            "tf-explain's, which explains one class for all pictures and logs one picture.",
        ]
    return "\n".join(lines)


# --- the tables -----------------------------------------------------------------------------------

HEAD = (
    "model",
    "method",
    "n",
    "raw ms",
    "method ms",
    "x raw",
    "quartiles",
    "target",
    "above raw",
    "4 times",
    "traces",
)


def row(case: Case, found: dict[str, Any]) -> tuple[str, ...]:
    low, middle, high = found["ratio"]
    late = f" (+{found['late_calls']})" if found["late_calls"] else ""
    memory = found["memory"]
    above, growth = ("", "")
    if None not in memory:
        raw, first, again, wider = memory
        # A second copy at the same size shows what compiling takes by itself.
        above = f"{max(first - raw - (again - first), 0):.0f}"
        growth = f"{max(wider - again - (again - first), 0):.0f}"
    return (
        case.model,
        case.name,
        str(case.n),
        f"{1e3 * found['raw']:.1f}",
        f"{1e3 * found['method']:.1f}",
        f"{middle:.2f}",
        f"{low:.2f}-{high:.2f}",
        f"{case.target:.2f}" if case.target else "",
        above,
        growth,
        f"{found['traces']}{late}",
    )


def line(cells: tuple[str, ...]) -> str:
    widths = (10, 34, 6, 8, 10, 6, 10, 7, 10, 8, 7)
    return "  ".join(
        cell.ljust(w) if i < 2 else cell.rjust(w)
        for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
    )


def document(
    results: list[tuple[Case, dict[str, Any]]],
    gaps: dict[str, Any],
    others: dict[str, Any],
    rounds: int,
) -> str:
    """Return docs/benchmarks.md."""
    rows = [row(case, found) for case, found in results]
    above = [
        f"{cells[0]} {cells[1]} ({cells[5]})"
        for cells, (case, found) in zip(rows, results, strict=True)
        if case.target and found["ratio"][1] > case.target
    ]
    verdict = (
        f"Above its target: {', '.join(above)}." if above else "No method is above its target."
    )
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `python -m benchmarks.methods`; do not edit.",
            "",
            machine(rounds),
            "",
            "## CPU time, memory, traces",
            "",
            "| " + " | ".join(HEAD) + " |",
            "|" + "---|" * len(HEAD),
            *("| " + " | ".join(cells) + " |" for cells in rows),
            "",
            verdict,
            "",
            NOTES,
            "",
            "## Exactness of integrated gradients",
            "",
            told_gaps(gaps) + ".",
            "",
            "## Peers",
            "",
            "The same work with the same compiled forward function, CPU time as a multiple of the "
            "same raw passes.",
            "",
            told_peers(others),
            "",
        ]
    )


NOTES = f"""\
Models have random weights: {"; ".join(f"`{key}` {m.title}" for key, m in MODELS.items())}.

- *x raw*: CPU time of the method as a multiple of the raw passes, the median over rounds, and its
  quartiles. Raw passes are what one would write by hand: a compiled function (outputs, or the
  gradient of one of them with respect to the input; for Grad-CAM with respect to the layer), called
  once per chunk on tensors that are there already, for exactly the rows the method needs. Chunks
  are the method's own, {BATCH} rows; for permutation importance, all rows of the table at once, as
  often as features times repeats and once more. Below 1 the method spends less on its loop, which
  is part of its graph, than Python on calling a compiled function; and where batch normalisation
  is folded into kernels, once per explanation, which raw passes do not (MobileNetV2).
- *above raw*: MiB by which the process' peak memory rises above that of the raw passes; *4 times*:
  MiB by which it rises again with four times the steps, samples, repeats or windows (methods
  without any: the same again). Both less what binding and calling the method once more adds, which
  is what compiling takes. A few MiB are noise.
- *traces*: how often the method was traced over {UPDATES} updates of the weights. In brackets, if
  any: calls of the model's Python code after the first update.
- Integrated gradients are measured without repeated examples (`tolerance=inf`)."""


def machine(rounds: int) -> str:
    """Return where and on what the figures were measured."""
    changed = report.git("status", "--porcelain", "--", "tb_xai/*.py")
    commit = report.commit() + (" with local changes" if changed else "")
    return (
        f"{date.today().isoformat()}, commit {commit}. {report.chip()}, {os.cpu_count()} cores, "
        f"one thread used. Python {platform.python_version()}, TensorFlow {tf.__version__}, Keras "
        f"{keras.__version__}, NumPy {np.__version__}. {rounds} rounds, of what takes less than "
        f"{AT_LEAST:g} s three times as many."
    )


if __name__ == "__main__":
    sys.exit(main())
