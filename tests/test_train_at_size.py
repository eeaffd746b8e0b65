"""The benchmark of training at the paper's size, at a size of a second: what it reaches into may not move unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import train_at_size
from lrrecsys_core.models import biases


def test_steps_of_a_network_and_a_fit_of_the_biases_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_at_size, "SIZES", {"small": (600, 90, 60), "large": (1200, 180, 120)})
    monkeypatch.setattr(train_at_size, "TURN", 2)
    before = biases.minimize
    for size in train_at_size.SIZES:
        train_at_size.make(tmp_path, size)
    of_biases, of_network = train_at_size.biases_of(tmp_path), train_at_size.steps_of("Biased MF", tmp_path, 4)
    for found in (of_biases, of_network):
        assert list(found) == ["small", "large"]
        assert all(told["cpu_seconds_per_million"] > 0 for told in found.values())
    assert all(told["evaluations"] > 3 for told in of_biases.values())
    assert biases.minimize is before
