"""What a notebook computes to compare settings is computed once: for its code, and for all it is given."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrrecsys_core import paths
from lrrecsys_core.app.remembered import remembered
from lrrecsys_core.models.autoencoder import TextCodes, train_autoencoder

SENTENCES = [f"{who} would {what} the quiet {where}" for who in "abcd" for what in ("like", "miss") for where in "xyz"]
trained: list[dict[str, Any]] = []


@wraps(train_autoencoder)
def counted(*given: Any, **named: Any) -> TextCodes:
    trained.append(named)
    return train_autoencoder(*given, **named)


def test_an_autoencoder_is_trained_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained.clear()
    first = remembered(counted, SENTENCES, seed=0, epochs=2)
    again = remembered(counted, SENTENCES, seed=0, epochs=2)
    assert len(trained) == 1
    np.testing.assert_array_equal(again.embed(SENTENCES), first.embed(SENTENCES))
    assert again.facts() == first.facts()
    other = remembered(counted, SENTENCES, seed=1, epochs=2)
    assert len(trained) == 2
    assert not np.array_equal(other.embed(SENTENCES), first.embed(SENTENCES))
    remembered(counted, SENTENCES[1:], seed=0, epochs=2)
    assert len(trained) == 3
    monkeypatch.setattr("lrrecsys_core.app.remembered.code_hash", lambda *_: "other code")
    remembered(counted, SENTENCES, seed=0, epochs=2)
    assert len(trained) == 4


def test_nothing_is_kept_where_memory_is_off(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(paths.MEMORY_VARIABLE, "off")
    trained.clear()
    for _ in range(2):
        remembered(counted, SENTENCES, seed=0, epochs=1)
    assert len(trained) == 2
    assert not (root / "results").exists()
