"""The examples run as they stand."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from lrrecsys_core import rows
from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.split import make_split

ROOT = Path(__file__).parents[1]


def test_the_first_row_trains_and_prints_its_number(tmp_path: Path) -> None:
    file = ROOT / "examples" / "first_row.py"
    assert len(file.read_text().splitlines()) < 40
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert run.returncode == 0, run.stderr
    *_, last = run.stdout.splitlines()
    assert last.startswith("RMSE on ") and 0.05 < float(last.split()[-1]) < 0.4
    assert not any(tmp_path.iterdir()), "it keeps nothing"


def test_a_planted_product_is_learnt_where_the_score_has_one() -> None:
    rng = np.random.default_rng(0)
    taste, kind = rng.choice([-1, 1], 80), rng.choice([-1, 1], 50)
    met = [(u, i) for u in range(80) for i in rng.permutation(50)[:30]]
    ratings = [(f"u{u}", f"i{i}", 3 + 2 * int(taste[u] * kind[i]), k) for k, (u, i) in enumerate(met)]
    frame = pl.DataFrame(ratings, schema=["user_id", "item_id", "rating", "timestamp"], orient="row")
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(50)]}).with_columns(name=pl.col("item_id"))
    compare = runpy.run_path(str(ROOT / "examples" / "product_of_ids.py"))["compare"]
    found = compare(make_split(make_dataset("planted", "movie", frame, items)))  # too few steps for the network alone
    assert list(found) == [rows.BIASES, "the network", "with the product", rows.BIASED_MF]
    base = found[rows.BIASES][1]
    assert base > 0.45, "a user's or an item's mean says nothing"
    assert found["with the product"][1] < 0.7 * base and found[rows.BIASED_MF][1] < 0.7 * base
