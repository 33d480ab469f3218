"""Fixtures that several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthetic import make_log


@pytest.fixture(scope="session")
def synthetic_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log directory of two runs (`tests.synthetic`); no test may change it."""
    return make_log(tmp_path_factory.mktemp("synthetic"))
