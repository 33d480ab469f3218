"""A realistic log directory without training anything: `make_log(path)`.

Needs numpy and `tb_xai.summary` only. Every run has, with the defaults:

- `saliency` and `integrated_gradients`: 16 images of 8 x 8 x 1, signed; integrated gradients is
  additive and has a gap. Maps grow from noise into the digit's shape. In `saliency`, example 1 is
  all zero at step 0, example 2 is NaN at step 1, and step 2 was not logged.
- `grad_cam`: unsigned maps at their native 4 x 4.
- `permutation_importance`: 12 features with 95 % bands; one is unused, one overtakes another half
  way.
- `flat_gradients` (signed, (n, 12)): attributions of flat inputs with means over the examples.
- in the first run only, a tag with a hostile name.

Predicted classes flip from wrong to right at a step that differs from example to example.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tb_xai import summary
from tb_xai.summary import Probe, Record

HOSTILE_TAG = "<img src=x onerror=alert(1)>/../../etc"
START = 1_700_000_000.0
FEATURES = [
    "radius", "texture", "perimeter", "area", "smoothness", "compactness",
    "concavity", "symmetry", "a rather long feature name, in <b>bold</b>", "age", "id", "unused",
]  # fmt: skip


def image_probe(examples: int = 16, side: int = 8, seed: int = 0) -> Probe:
    """Blurred strokes with a class each, whole numbers 0 to 16 as scikit-learn's digits are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    labels = np.arange(examples) % 10
    images = np.zeros((examples, side, side, 1), np.float32)
    for i, label in enumerate(labels):
        angle = label * np.pi / 10
        distance = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
        images[i, ..., 0] = 16 * np.exp(-(distance**2) / 0.02)
        images[i] += rng.uniform(0, 1, images[i].shape)
    images = np.clip(np.round(images), 0, 16)
    meta = {
        "example_names": [f"digit {label} ({i})" for i, label in enumerate(labels)],
        "class_names": [str(k) for k in range(10)],
        "feature_names": None,
    }
    return Probe({"x": images}, labels.astype(np.int64), meta)


def flat_probe(examples: int = 16, seed: int = 0) -> Probe:
    """Rows of a table with 12 named features and two classes."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(examples, len(FEATURES))).astype(np.float32)
    meta = {
        "example_names": [f"row {i}" for i in range(examples)],
        "class_names": ["benign", "malignant"],
        "feature_names": {"x": FEATURES},
    }
    return Probe({"x": x}, (x[:, 0] > 0).astype(np.int64), meta)


def attribution(
    tag: str,
    step: int,
    values: np.ndarray,
    labels: np.ndarray,
    *,
    progress: float,
    probe: str,
    classes: int = 10,
    wall_time: float | None = None,
    kind: str = "image",
    seed: int = 0,
    **meta: Any,
) -> Record:
    """A record as the callbacks write it; `progress` (0..1) moves predictions towards labels."""
    rng = np.random.default_rng([seed, step])
    n = len(labels)
    turning = (np.arange(n) + 0.5) / n
    predicted = np.where(progress >= turning, labels, (labels + 1) % classes)
    confidence = 0.3 + 0.65 * np.abs(progress - turning)
    prediction = np.full((n, classes), 0.0)
    prediction += ((1 - confidence) / (classes - 1))[:, None]
    prediction[np.arange(n), predicted] = confidence
    sign = np.where(predicted == labels, 1.0, -1.0)
    flat = values.reshape(n, -1).astype(np.float64)
    magnitude = np.abs(flat)
    total = magnitude.sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = magnitude / total[:, None]
        entropy = -np.where(share > 0, share * np.log(share), 0.0).sum(1)
    figures: dict[str, np.ndarray] = {
        "output": sign * np.log(confidence / (1 - confidence)),
        "prediction": prediction,
        "predicted": predicted.astype(np.int32),
        "confidence": confidence,
        "sum": flat.sum(1),
        "sum_abs": total,
        "entropy": entropy,
        "peak": magnitude.max(1),
    }
    if meta.get("additive"):
        figures["baseline_output"] = np.full(n, -2.2)
        figures["gap"] = np.abs(rng.normal(0, 0.01, n)) + 0.002
    if meta.get("additive"):
        figures |= quality(magnitude, progress, rng)
        half = magnitude.shape[1] // 4
        meta = {
            "quality": {"infidelity": "Infidelity was switched off to save time."},
            "masks": {"stroke": {"area": [0.25] * n, "suspect": False}},
            **meta,
        }
        with np.errstate(divide="ignore", invalid="ignore"):
            figures["mass.stroke"] = magnitude[:, :half].sum(1) / total
    if values.ndim == 2:
        figures["mean"] = flat.mean(0)
        figures["mean_abs"] = magnitude.mean(0)
        half = 1.96 * magnitude.std(0, ddof=1) / np.sqrt(n) if n > 1 else np.zeros(values.shape[1])
        figures["mean_abs_low"] = figures["mean_abs"] - half
        figures["mean_abs_high"] = figures["mean_abs"] + half
    described = {
        "method": tag,
        "params": {},
        "target": "log_odds",
        "score_name": "log-odds",
        "signed": True,
        "additive": False,
        "seconds": 0.05,
        "epoch": float(step),
        "probe": probe,
        "inputs": {"x": {"shape": list(values.shape[1:]), "kind": kind}},
        "for_keras_logs": {},
        **meta,
    }
    time = START + step if wall_time is None else wall_time
    figures = {
        name: np.asarray(v, v.dtype if v.dtype.kind == "i" else np.float32)
        for name, v in figures.items()
    }
    return Record(
        tag, step, time, "attribution", described, figures, {"x": values.astype(np.float32)}
    )


def quality(
    magnitude: np.ndarray, progress: float, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Figures of quality that get better; faithfulness is undefined in the last example."""
    n, m = magnitude.shape
    ordered = np.sort(magnitude, axis=1)
    weights = (2 * np.arange(1, m + 1) - m - 1) / m
    with np.errstate(divide="ignore", invalid="ignore"):
        gini = (ordered @ weights) / ordered.sum(1)
    faithfulness = 0.1 + 0.7 * progress + rng.normal(0, 0.03, n)
    faithfulness[-1] = np.nan
    return {
        "gini": gini,
        "faithfulness": faithfulness,
        "max_sensitivity": 0.5 - 0.3 * progress + rng.normal(0, 0.02, n) ** 2,
        "deletion": 0.5 - 0.3 * progress + rng.normal(0, 0.02, n),
        "deletion_random": 0.5 + rng.normal(0, 0.02, n),
        "insertion": 0.5 + 0.3 * progress + rng.normal(0, 0.02, n),
        "insertion_random": 0.5 + rng.normal(0, 0.02, n),
        "randomisation": 0.9 - 0.8 * progress + rng.normal(0, 0.02, n),
    }


def importance(
    step: int,
    *,
    progress: float,
    probe: str,
    wall_time: float | None = None,
    seed: int = 0,
    tag: str = "permutation_importance",
) -> Record:
    """Importance of `FEATURES`: 'texture' overtakes 'radius' half way, 'unused' is exactly 0."""
    rng = np.random.default_rng([seed, step, 1])
    d = len(FEATURES)
    final = np.array([0.1, 0.5, 0.2, 0.15, 0.05, 0.04, 0.03, 0.02, 0.01, 0.01, 0.3, 0.0])
    early = np.array([0.3, 0.05, 0.1, 0.1, 0.02, 0.02, 0.01, 0.01, 0.0, 0.0, 0.05, 0.0])
    mean = early * (1 - progress) + final * progress
    if progress == 0:
        mean = np.zeros(d)
    stderr = 0.01 + 0.02 * mean
    mean = mean + rng.normal(0, 0.2, d) * stderr
    mean[-1] = stderr[-1] = 0.0
    figures = {
        "mean": mean,
        "low": mean - 1.96 * stderr,
        "high": mean + 1.96 * stderr,
        "stderr": stderr,
    }
    score = 0.69 - 0.6 * progress
    meta = {
        "method": "permutation_importance",
        "params": {"n_repeats": 10, "seed": 0},
        "metric": "log_loss",
        "greater_is_better": False,
        "score": score,
        "score_name": "log loss",
        "target": "",
        "signed": True,
        "additive": False,
        "seconds": 0.4,
        "epoch": float(step),
        "probe": probe,
        "inputs": {"x": {"shape": [d], "kind": "flat"}},
        "for_keras_logs": {},
    }
    time = START + step if wall_time is None else wall_time
    return Record(tag, step, time, "importance", meta, figures)


def image_values(probe: Probe, progress: float, step: int, seed: int = 0) -> np.ndarray:
    """Signed maps that move from noise to the picture's own shape, and grow while they do."""
    rng = np.random.default_rng([seed, step, 2])
    images = np.asarray(probe.inputs["x"], np.float32)
    centred = images - images.mean(axis=(1, 2, 3), keepdims=True)
    noise = rng.normal(size=images.shape) * images.std()
    values = progress * centred + (1 - progress) * noise
    return (values * 10.0 ** (-4 + 3 * progress)).astype(np.float32)


def make_log(
    path: str | Path,
    runs: Sequence[str] = ("digits", "table"),
    steps: int | Sequence[int] = 4,
    examples: int = 16,
    side: int = 8,
    *,
    hostile: bool = True,
    damage: bool = True,
    seed: int = 0,
) -> Path:
    """Write a log directory and return its path.

    Args:
        path: the directory; created when it is not there.
        runs: names of sub-directories; "." logs into `path` itself.
        steps: the logged steps, or how many: `4` is 0, 1, 2, 3.
        examples: number of probe examples.
        side: height and width of the images.
        hostile: add a tag with a hostile name to the first run.
        damage: make the all-zero map, the NaN map and the missing step of `saliency`.
        seed: of all draws.
    """
    logged = list(range(steps)) if isinstance(steps, int) else list(steps)
    last = max(1, *logged)
    for index, run in enumerate(runs):
        images, table = (
            image_probe(examples, side, seed + index),
            flat_probe(examples, seed + index),
        )
        assert images.labels is not None
        assert table.labels is not None
        writer = summary.writer(Path(path) / run)
        picture_set, row_set = writer.write_probe(images), writer.write_probe(table)
        for step in logged:
            progress = step / last
            common: dict[str, Any] = {
                "progress": progress,
                "probe": picture_set,
                "seed": seed + index,
            }
            values = image_values(images, progress, step, seed + index)
            saliency = values.copy()
            if damage and step == logged[0] and examples > 1:
                saliency[1] = 0
            if damage and step == logged[min(1, len(logged) - 1)] and examples > 2:
                saliency[2] = np.nan
            records = [
                attribution("saliency", step, saliency, images.labels, **common),
                attribution(
                    "integrated_gradients", step, values * images.inputs["x"] / 16, images.labels,
                    additive=True, **common,
                ),
                attribution(
                    "grad_cam", step, np.abs(values[:, : side // 2, : side // 2, 0]), images.labels,
                    signed=False, layer="conv2d_1", **common,
                ),
                attribution(
                    "flat_gradients", step, values.reshape(examples, -1)[:, : len(FEATURES)],
                    table.labels,
                    classes=2, kind="flat", progress=progress, probe=row_set, seed=seed + index,
                ),
                importance(step, progress=progress, probe=row_set, seed=seed + index),
            ]  # fmt: skip
            if damage and len(logged) > 2 and step == logged[2]:
                records.pop(0)
            if hostile and index == 0:
                records.append(attribution(HOSTILE_TAG, step, values, images.labels, **common))
            for record in records:
                writer.write(record)
                shown = {"sum_abs", "entropy", "gap"} & set(record.figures)
                for name in sorted(shown):
                    mean = float(np.mean(record.figures[name]))
                    writer.scalars({f"xai/{record.tag}/{name}": mean}, step, record.wall_time)
        writer.close()
    return Path(path)
