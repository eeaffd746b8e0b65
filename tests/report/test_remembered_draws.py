"""Metrics under resampled users are computed once for the same predictions, users and code."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report import evidence as of_report
from lrrecsys_core.report.claims import evidence_table
from tests.report.synthetic import study

NOISE = {r.LR: 0.1, r.ABLATION1: 0.12}  # both are in some contrast


@pytest.fixture
def found() -> tuple[pl.DataFrame, pl.DataFrame]:
    return study(NOISE, dataset="shop", simulated=False, replicates=2)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of records of every AUC that is drawn, not read."""
    drawn: list[int] = []
    true = stats.UserBootstrap.auc

    def auc(self: stats.UserBootstrap, score: of_report.Floats, liked: of_report.Floats) -> of_report.Floats:
        drawn.append(len(score))
        return true(self, score, liked)

    monkeypatch.setattr(stats.UserBootstrap, "auc", auc)
    return drawn


def test_the_second_table_reads_them(root: Path, found: tuple[pl.DataFrame, pl.DataFrame], drawn: list[int]) -> None:
    first = evidence_table(*found)
    assert len(drawn) == len(NOISE)
    assert_frame_equal(evidence_table(*found), first)
    assert len(drawn) == len(NOISE)
    metrics, predictions = found
    ours = pl.col("row") == r.LR
    moved = predictions.with_columns(prediction=pl.when(ours).then(1 - pl.col("prediction")).otherwise("prediction"))
    assert not evidence_table(metrics, moved).equals(first)
    assert len(drawn) == len(NOISE) + 1, "only the row that predicts otherwise"
    halved = predictions.with_columns(user=pl.col("user") // 2)
    assert not evidence_table(metrics, halved).equals(first)
    assert len(drawn) == 2 * len(NOISE) + 1, "other users, other draws"


@pytest.mark.parametrize("how", ["off", "a file in the way"])
def test_without_a_memory_everything_is_drawn(
    root: Path, found: tuple[pl.DataFrame, pl.DataFrame], drawn: list[int], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    (root / "results").mkdir()
    if how == "off":
        monkeypatch.setenv("LRRECSYS_MEMORY", "off")
    else:
        (root / "results" / ".memory").write_text("")
    first = evidence_table(*found)
    assert_frame_equal(evidence_table(*found), first)
    assert len(drawn) == 2 * len(NOISE)
    assert not (root / "results" / ".memory").is_dir()


def test_other_code_or_a_damaged_file_is_drawn_anew(
    root: Path, found: tuple[pl.DataFrame, pl.DataFrame], drawn: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = evidence_table(*found)
    files = sorted((root / "results" / ".memory").rglob("output.pkl"))
    assert len(files) == 3 * len(NOISE)
    for file in files:
        file.write_bytes(file.read_bytes()[:20])
    assert_frame_equal(evidence_table(*found), first)
    assert len(drawn) == 2 * len(NOISE)
    monkeypatch.setattr(of_report, "_CODE", "other code")
    assert_frame_equal(evidence_table(*found), first)
    assert len(drawn) == 3 * len(NOISE)
