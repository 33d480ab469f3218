"""Keras callbacks that explain a model while it trains and log what they find for TensorBoard.

They stand in the list of `model.fit` like any other callback, before those that shall see their
figures (`EarlyStopping`, `ModelCheckpoint`, `CSVLogger`, `keras.callbacks.TensorBoard`).
"""

from __future__ import annotations

from tb_xai.callbacks.attribution import (
    AttributionCallback,
    IntegratedGradientsCallback,
    SaliencyCallback,
)
from tb_xai.callbacks.health import ModelHealthCallback
from tb_xai.callbacks.importance import PermutationImportanceCallback

__all__ = [
    "AttributionCallback",
    "IntegratedGradientsCallback",
    "ModelHealthCallback",
    "PermutationImportanceCallback",
    "SaliencyCallback",
]
