"""The command `tb-xai`: demo (train, open TensorBoard), export (CSV), prune (remove old maps)."""

from __future__ import annotations

import argparse
import contextlib
import csv
import math
import os
import shlex
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

DEFAULT_LOGDIR = "tb_xai_demo"
DEFAULT_PORT = 6006


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `tb-xai export ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, LookupError, OSError) as error:
        told = error.args[0] if isinstance(error, LookupError) and error.args else error
        print(f"tb-xai {arguments.command}: {told}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tb-xai", description="Watch what a Keras model looks at while it learns."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    demo = commands.add_parser(
        "demo",
        help="train four small models with the callbacks, then serve TensorBoard",
        description="Train a CNN on scikit-learn's digits, the same CNN on digits with a mark that "
        "gives the label away, an MLP on its breast cancer data and a model of made-up sentences "
        "with the callbacks of tb_xai and Keras' own TensorBoard callback, then serve TensorBoard. "
        "Nothing is downloaded. A second run in the same directory starts the series anew.",
    )
    demo.add_argument(
        "--logdir",
        default=DEFAULT_LOGDIR,
        help="where the runs are written, a directory each (default: ./%(default)s)",
    )
    demo.add_argument(
        "--epochs", type=_at_least(1), default=20, help="epochs of each model (default: 20)"
    )
    demo.add_argument(
        "--port",
        type=_at_least(0, 65535),
        default=DEFAULT_PORT,
        help="port of TensorBoard; the next free one when it is taken (default: %(default)s)",
    )
    demo.add_argument(
        "--host", default="localhost", help="address TensorBoard listens on (default: %(default)s)"
    )
    demo.add_argument(
        "--no-serve", action="store_true", help="only train and write; do not serve TensorBoard"
    )
    demo.set_defaults(run=_demo)

    export = commands.add_parser(
        "export",
        help="write a tag's figures over steps as CSV",
        description="Write the figures of one tag as CSV, one row per step and example, feature or "
        "layer, or per step. Without --run and --tag, when there are several, says what there is.",
    )
    export.add_argument("logdir", help="log directory, as for tensorboard --logdir")
    export.add_argument("--run", dest="of_run", help="name of the run")
    export.add_argument("--tag", help="name of the tag")
    export.add_argument(
        "--by",
        choices=("example", "feature", "layer", "step"),
        help="what a row is beside its step (default: examples of attributions, features of "
        "importances, layers of health)",
    )
    export.add_argument("--out", help="file to write (default: standard output)")
    export.set_defaults(run=_export)

    prune = commands.add_parser(
        "prune",
        help="remove the maps of old steps to save space",
        description="Remove the maps of steps that are not kept. The first and the last step of "
        "every tag are always kept, and so are all figures and curves: a step without its maps is "
        "shown as such. Safe while a training writes.",
    )
    prune.add_argument("logdir", help="log directory, as for tensorboard --logdir")
    prune.add_argument("--newest", type=_at_least(1), help="keep so many of the last steps")
    prune.add_argument("--every", type=_at_least(1), help="keep steps that are multiples of this")
    prune.add_argument("--run", dest="of_run", help="only this run")
    prune.add_argument("--tag", help="only this tag")
    prune.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    prune.set_defaults(run=_prune)
    return parser


def _at_least(minimum: int, most: float = math.inf) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}. Received: {text}")
        if value > most:
            raise argparse.ArgumentTypeError(f"must be at most {most}. Received: {text}")
        return value

    number.__name__ = "whole number"
    return number


# --- export and prune ---------------------------------------------------------------------------


def _opened(logdir: str) -> Any:
    from tb_xai import reader

    if not Path(logdir).expanduser().is_dir() and "://" not in logdir:
        raise ValueError(f"logdir must be a directory. Received: {logdir!r}")
    return reader.open(logdir)


def _prune(arguments: argparse.Namespace) -> int:
    from tb_xai import summary

    if arguments.newest is None and arguments.every is None:
        raise ValueError(
            "--newest or --every must say which steps keep their maps. Received: neither"
        )
    keep = summary.Keep(arguments.newest, arguments.every)
    log = _opened(arguments.logdir)
    runs = [run for run in log.runs if arguments.of_run in (None, run)]
    if not runs:
        raise ValueError(
            f"--run must be one of {', '.join(map(repr, log.runs)) or 'no runs'}. "
            f"Received: --run {arguments.of_run!r}"
        )
    tags = None if arguments.tag is None else {arguments.tag}
    if tags and not any(tags & set(log.tags(run)) for run in runs):
        known = sorted({tag for run in runs for tag in log.tags(run)})
        raise ValueError(
            f"--tag must be one of {', '.join(map(repr, known))}. Received: --tag {arguments.tag!r}"
        )
    would = "would be removed" if arguments.dry_run else "removed"
    total = summary.Pruned()
    for run in runs:
        root = arguments.logdir.rstrip("/") or "/"
        log_dir = root if run == "." else f"{root}/{run}"
        removed = summary.prune(log_dir, keep, tags=tags, dry_run=arguments.dry_run)
        print(f"{run}: {removed.files} files, {removed.bytes / 1e6:.1f} MB {would}")
        total += removed
    if len(runs) > 1:
        print(f"in all: {total.files} files, {total.bytes / 1e6:.1f} MB {would}")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    log = _opened(arguments.logdir)
    there = {(run, tag) for run in log.runs for tag in log.tags(run)}
    wanted = sorted(
        (run, tag)
        for run, tag in there
        if arguments.of_run in (None, run) and arguments.tag in (None, tag)
    )
    if len(wanted) != 1:
        known = ", ".join(f"--run {run!r} --tag {tag!r}" for run, tag in sorted(there)) or "nothing"
        raise ValueError(
            f"--run and --tag must name one of what {arguments.logdir!r} holds: {known}. "
            f"Received: --run {arguments.of_run!r} --tag {arguments.tag!r}"
        )
    table = log.frame(*wanted[0], by=arguments.by)
    if not len(table["step"]):
        raise ValueError(
            f"--by must be what the tag {wanted[0][1]!r} has figures of. "
            f"Received: --by {arguments.by}"
        )
    with contextlib.ExitStack() as stack:
        out = sys.stdout
        if arguments.out is not None:
            path = Path(arguments.out).expanduser()
            try:
                out = stack.enter_context(path.open("w", newline="", encoding="utf-8"))
            except OSError as error:
                raise ValueError(
                    f"--out must be a file that can be written. Received: {arguments.out!r} "
                    f"({error.strerror})"
                ) from error
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(table)
        rows.writerows(zip(*(column.tolist() for column in table.values()), strict=True))
        out.flush()
    return 0


# --- demo ---------------------------------------------------------------------------------------


def _demo(arguments: argparse.Namespace) -> int:
    logdir = Path(arguments.logdir).expanduser()
    try:
        with _quiet_start():
            import keras
            import sklearn.datasets
    except ModuleNotFoundError as error:
        raise ValueError(
            "the demo needs TensorFlow, Keras and scikit-learn, which `pip install "
            f'"tb_xai[demo]"` installs. Received: {error}'
        ) from error

    try:
        logdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=logdir):
            pass
    except OSError as error:
        raise ValueError(
            f"--logdir must be a directory that can be written. Received: {arguments.logdir!r} "
            f"({error.strerror})"
        ) from error
    if not arguments.no_serve and not _is_free(arguments.host, 0):  # any port: said before training
        raise ValueError(f"--host must be an address of this machine. Received: {arguments.host!r}")
    began = time.perf_counter()
    with _progress() as show:
        for name, train in (
            ("digits", _digits),
            ("digits_with_shortcut", partial(_digits, shortcut=True)),
            ("breast_cancer", _breast_cancer),
            ("sentences", _sentences),
        ):
            keras.utils.set_random_seed(0)
            train(keras, sklearn.datasets, logdir / name, arguments.epochs, show)
    print(f"Trained in {time.perf_counter() - began:.0f} s; the log is in {logdir}")
    if arguments.no_serve:
        print(f"See it with: tensorboard --logdir {shlex.quote(str(logdir))}")
        return 0
    return _serve(str(logdir), arguments.host, arguments.port)


def _digits(
    keras: Any, datasets: Any, log_dir: Path, epochs: int, show: Any, shortcut: bool = False
) -> None:
    """A small CNN on 8 x 8 pictures of digits; with `shortcut` a mark tells the digit."""
    import numpy as np

    from tb_xai.callbacks import (
        AttributionCallback,
        IntegratedGradientsCallback,
        ModelHealthCallback,
        SaliencyCallback,
    )
    from tb_xai.cam import grad_cam
    from tb_xai.gradients import smooth_grad

    data = datasets.load_digits()
    x, y = (data.images / 16.0).astype("float32")[..., None], data.target
    held, rest = _split(len(x), 360)
    edge = np.zeros((8, 8, 1), bool)
    edge[0] = edge[-1] = True
    if shortcut:  # a bright pixel at the edge, whose place tells the digit
        x[:, edge[..., 0]] = 0.0
        rows, columns = np.divmod(y, 5)
        x[np.arange(len(x)), 7 * rows, columns + 1] = 1.0
    # Two examples of each of eight digits, so that a column of maps can be compared at a glance.
    probe = np.concatenate([held[y[held] == digit][:2] for digit in range(8)])
    shared: dict[str, Any] = {
        "class_names": [str(digit) for digit in range(10)],
        "example_names": [f"{y[i]} (picture {i})" for i in probe],
    }
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu", padding="same"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(32, 3, activation="relu", padding="same"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ],
        name="digits_cnn",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        x[rest],
        y[rest],
        validation_data=(x[held], y[held]),
        batch_size=64,
        epochs=epochs,
        verbose=0,
        callbacks=[
            SaliencyCallback(log_dir, x[probe], y[probe], **shared),
            IntegratedGradientsCallback(
                log_dir, x[probe], y[probe], n_steps=16, suspects={"edge": edge}, **shared
            ),
            AttributionCallback(log_dir, x[probe], y[probe], method=smooth_grad(), **shared),
            AttributionCallback(log_dir, x[probe], y[probe], method=grad_cam(), **shared),
            ModelHealthCallback(log_dir, x[held[:64]], y[held[:64]], gradient_check=True),
            keras.callbacks.TensorBoard(log_dir),
            _report(keras, show, f"digits{' with shortcut' if shortcut else ''}", epochs),
        ],
    )


def _breast_cancer(keras: Any, datasets: Any, log_dir: Path, epochs: int, show: Any) -> None:
    """A small MLP on 30 measurements of cell nuclei."""
    from tb_xai.callbacks import (
        IntegratedGradientsCallback,
        ModelHealthCallback,
        PermutationImportanceCallback,
    )

    data = datasets.load_breast_cancer()
    names = [str(name) for name in data.feature_names]
    classes = [str(name) for name in data.target_names]
    held, rest = _split(len(data.data), 170)
    mean, std = data.data[rest].mean(axis=0), data.data[rest].std(axis=0)
    x, y = ((data.data - mean) / std).astype("float32"), data.target
    probe = held[:16]
    model = keras.Sequential(
        [
            keras.Input((30,)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ],
        name="breast_cancer_mlp",
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(
        x[rest],
        y[rest],
        validation_data=(x[held], y[held]),
        batch_size=32,
        epochs=epochs,
        verbose=0,
        callbacks=[
            PermutationImportanceCallback(
                log_dir, x[held], y[held], feature_names=names, class_names=classes
            ),
            IntegratedGradientsCallback(
                log_dir,
                x[probe],
                y[probe],
                feature_names=names,
                class_names=classes,
                example_names=[f"{classes[y[i]]} (row {i})" for i in probe],
            ),
            ModelHealthCallback(log_dir, x[held[:64]], y[held[:64]]),
            keras.callbacks.TensorBoard(log_dir),
            _report(keras, show, "breast cancer", epochs),
        ],
    )


_OPINIONS = {
    1: ["splendid", "lovely", "warm", "clever", "moving", "gentle", "bright", "memorable"],
    -1: ["tedious", "clumsy", "hollow", "bitter", "noisy", "dreary", "careless", "stale"],
    0: ["the", "film", "story", "music", "cast", "scene", "ending", "plot", "camera", "town"],
}  # fmt: skip


def _sentences(keras: Any, datasets: Any, log_dir: Path, epochs: int, show: Any) -> None:
    """Made-up reviews of ten words, good when more of them praise than blame."""
    import numpy as np

    from tb_xai.callbacks import IntegratedGradientsCallback, ModelHealthCallback

    words = ["", *(word for known in _OPINIONS.values() for word in known)]
    weight = np.array([0, *(sign for sign, known in _OPINIONS.items() for _ in known)])
    rng = np.random.default_rng(0)
    neutral, opinions = np.flatnonzero(weight == 0)[1:], np.flatnonzero(weight)
    x = rng.choice(neutral, (1200, 10))
    places = rng.random(x.shape) < 0.35
    x[places] = rng.choice(opinions, places.sum())
    x[np.arange(10) >= rng.integers(6, 11, (1200, 1))] = 0
    x = x[weight[x].sum(axis=1) != 0]
    y = (weight[x].sum(axis=1) > 0).astype(int)
    rest, probe = slice(200, None), slice(0, 16)
    model = keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            keras.layers.Embedding(len(words), 8),
            keras.layers.Conv1D(16, 2, activation="relu"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(2, activation="softmax"),
        ],
        name="sentences_cnn",
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        x[rest],
        y[rest],
        validation_data=(x[:200], y[:200]),
        batch_size=32,
        epochs=epochs,
        verbose=0,
        callbacks=[
            IntegratedGradientsCallback(
                log_dir, x[probe], y[probe], token_names=words, class_names=["bad", "good"]
            ),
            ModelHealthCallback(log_dir, x[:64], y[:64]),
            keras.callbacks.TensorBoard(log_dir),
            _report(keras, show, "sentences", epochs),
        ],
    )


def _split(n: int, held: int) -> tuple[Any, Any]:
    """Positions held out for validation, and the rest."""
    import numpy as np

    order = np.random.default_rng(0).permutation(n)
    return order[:held], order[held:]


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep what TensorFlow's native code says while it starts, unless starting fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        descriptor = sys.stderr.fileno()
    except (OSError, AttributeError, ValueError):  # no real file: nothing to keep quiet
        yield
        return
    saved = os.dup(descriptor)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), descriptor)
        try:
            yield
            # Devices are looked for when first asked for, with words about those not found.
            with contextlib.suppress(ImportError):
                import tensorflow as tf

                tf.config.list_logical_devices()
        except ModuleNotFoundError:
            raise
        except BaseException:
            said.seek(0)
            os.write(saved, said.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, descriptor)
            os.close(saved)


def _report(keras: Any, show: Any, title: str, epochs: int) -> Any:
    """A callback, last in the list, that hands each epoch's figures to the progress display."""
    spent = 0.0

    def epoch_end(epoch: int, logs: dict[str, Any]) -> None:
        nonlocal spent
        spent += sum(
            value
            for name, value in logs.items()
            if name.startswith("xai_") and name.endswith("_seconds")
        )
        show(title, epoch + 1, epochs, logs["loss"], logs["val_accuracy"], spent)

    return keras.callbacks.LambdaCallback(on_epoch_end=epoch_end)


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    """A function that shows an epoch: live bars on a terminal, plain lines elsewhere."""
    line = "loss {:.3f}  accuracy {:.3f}  explaining {:.1f} s"

    def plain(title: str, epoch: int, epochs: int, *figures: float) -> None:
        print(f"{title}  epoch {epoch:2d}/{epochs}  {line.format(*figures)}", flush=True)

    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    except ModuleNotFoundError:
        yield plain
        return
    console = Console()
    if not console.is_terminal:
        yield plain
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    ) as bars:
        tasks: dict[str, Any] = {}

        def live(title: str, epoch: int, epochs: int, *figures: float) -> None:
            if title not in tasks:
                tasks[title] = bars.add_task(title, total=epochs, figures="")
            bars.update(tasks[title], completed=epoch, figures=line.format(*figures))

        yield live


def _serve(logdir: str, host: str, port: int) -> int:
    """Serve TensorBoard until Ctrl-C."""
    from tensorboard import default, program

    from tb_xai.loader import Loader

    plugins = list(default.get_plugins())
    if not any(getattr(p, "__module__", "") == Loader.__module__ for p in plugins):
        plugins.append(Loader)  # a source tree that was not installed has no entry point
    url = None
    for candidate in range(port, port + 1 if port == 0 else min(port + 100, 65536)):
        if candidate and not _is_free(host, candidate):
            continue
        board = program.TensorBoard(plugins)
        board.configure(
            argv=[None, "--logdir", logdir, "--host", host, "--port", str(candidate)],
        )
        try:
            url = board.launch()
            break
        except program.TensorBoardPortInUseError:
            continue
    if url is None:
        raise ValueError(
            f"a port from {port} on must be free on {host}; give another with --port. "
            f"Received: --port {port}"
        )
    print(f"\nExplanations:  {url.rstrip('/')}/#xai\n\nPress Ctrl-C to stop.", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    print("\nStopped.")
    return 0


def _is_free(host: str, port: int) -> bool:
    """Whether nothing listens on a port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise ValueError(
            f"--host must be an address of this machine. Received: {host!r} ({error})"
        ) from error
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
