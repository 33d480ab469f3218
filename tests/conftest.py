"""Fixtures that several test modules share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.synthetic import make_log


@pytest.fixture(scope="session")
def synthetic_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory of two runs (`tests.synthetic`); no test may change it."""
    return make_log(tmp_path_factory.mktemp("synthetic"))


def _fix_weights() -> None:
    # Weights are drawn from Keras' global generator: they must not depend on the tests before.
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def same_weights_in_every_order_of_modules() -> None:
    """Models that a module shares have the same weights in every run."""
    _fix_weights()


@pytest.fixture(autouse=True)
def same_weights_in_every_order_of_tests() -> None:
    """Models that a test builds have the same weights in every run."""
    _fix_weights()
