"""Rows whose networks would not fit into memory are refused before any is built, with the number that stops them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from lrrecsys_core import rows
from lrrecsys_core.errors import InputError
from lrrecsys_core.study import cell as cells
from lrrecsys_core.study.train_row import Training

GIB = 2**30


def refused(name: str, free: float, monkeypatch: pytest.MonkeyPatch, **params: Any) -> str:
    """What is said of a row on 10 seeds and 2 tasks at the size of the paper's largest set; "" if it may run."""
    monkeypatch.setattr(cells.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    split = SimpleNamespace(n_users=6_503_430, n_items=747_911, context_sizes=(), aspect_names=("",))
    given: Any = [SimpleNamespace(split=split, networks=(("regression", None), ("classification", None)))] * 10
    row = rows.row_named(name)
    try:
        cells.refuse_beyond_memory(replace(row, params={**row.params, **params}), "amazon", given, Training())
    except InputError as error:
        return str(error)
    return ""


def test_tables_of_all_networks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # 20 networks x 6 copies x (6,503,430 + 747,911) vectors x 8 numbers x 4 bytes
    needed = 20 * 6 * (6_503_430 + 747_911) * 8 * 4
    said = refused(rows.LR, needed - 1, monkeypatch)
    assert said.startswith(
        "amazon: 20 networks of LR-Recsys (Ours) for 6,503,429 users and 747,910 items need 25.9 GiB, and 25.9 are"
    )
    assert refused(rows.LR, needed, monkeypatch) == ""
    assert "51.9 GiB" in refused(rows.LR, needed, monkeypatch, width=16)


def test_a_model_without_a_table_of_users_needs_the_items_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 20 * 6 * 747_911 * 8 * 4
    assert refused("SASRec", needed, monkeypatch) == "" != refused("SASRec", needed - 1, monkeypatch)


def test_a_softmax_over_all_items_counts_its_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "24.1 GiB" in refused("BERT4Rec", 4 * GIB, monkeypatch, schedule="joint")
    assert refused("BERT4Rec", 4 * GIB, monkeypatch, schedule="point") == ""


def test_rows_without_a_network_are_never_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(rows.BIASES, 0, monkeypatch) == ""
