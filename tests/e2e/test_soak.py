"""A short version of `scripts/soak`: nothing grows while a training runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import soak


def test_memory_handles_and_traces_stay_flat(tmp_path: Path) -> None:
    found = soak.soak(tmp_path, 60, epochs=40)
    assert len(found["memory"]) == 40
    assert found["traces"][0] == found["traces"][-1] > 0
    assert found["handles"][-1] <= found["handles"][8]
    # A leak of one array of gradients an epoch would be more; the first epochs fill caches.
    assert np.median(found["memory"][-5:]) - np.median(found["memory"][15:20]) < 16


def test_growth_is_seen() -> None:
    rng = np.random.default_rng(0)
    flat = 500 + rng.normal(size=200)
    assert abs(soak.growth(flat)) < 2
    assert soak.growth(flat + np.arange(200) / 10) > 13
