"""Which rows compile their step: those whose compilation enough steps an epoch pay for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from lrrecsys_core import rows
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.run import Run

ALONE, SHARED = "SASRec", rows.LR  # a network of one row, and one that many rows train


def compiled(run: Run, dataset: str, name: str) -> bool:
    return Cell(run, dataset, name).training.compiled


def table(folder: Path, records: int) -> Run:
    """Real ratings, ten of each user, of as many records."""
    of_user = np.arange(records) // 10
    items = [f"i{(7 * u + k) % 50}" for k, u in enumerate(of_user)]
    frame = pl.DataFrame({"user_id": [f"u{u}" for u in of_user], "item_id": items, "timestamp": range(records)})
    frame = frame.unique(["user_id", "item_id"]).with_columns(rating=1 + pl.col("timestamp") % 5)
    frame.with_columns(name="item_id", details=pl.lit("quiet")).write_parquet(folder / "t.parquet")
    where = f"table:{folder}/t.parquet?timestamp=timestamp&name=name&details=details"
    return Run(get_profile("demo"), [where])


def test_on_small_markets_networks_of_many_rows_do() -> None:
    demo = Run("demo")
    assert compiled(demo, "hotels", SHARED)
    assert not compiled(demo, "hotels", ALONE)
    assert not compiled(demo, "hotels", "LR-Recsys 50% Training Data")
    assert not compiled(Run("smoke"), "hotels", SHARED), "a profile of few epochs never does"


def test_on_real_data_of_many_records_all_do_and_on_those_of_few_none_alone(tmp_path: Path) -> None:
    many = table(tmp_path, 60_000)
    (name,) = many.datasets
    assert all(compiled(many, name, row) for row in (SHARED, ALONE, "LR-Recsys 50% Training Data"))
    few = table(tmp_path, 6_000)
    (name,) = few.datasets
    assert compiled(few, name, SHARED) and not compiled(few, name, ALONE)
