"""A baseline added as CONTRIBUTING says: its file, its test, its class in rows.py; then it is in Table 2."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = '''"""Popularity: one trained number for each item.

Deviations: D1 sigmoid link and residual biases (rules P1, P2).
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding


class Popularity(Recommender):
    """One number for each item."""

    name: ClassVar[str] = "Popularity"
    inputs: ClassVar[tuple[str, ...]] = ("user", "item")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item",)}
    tables: ClassVar[dict[str, str]] = {"items.weight": "item"}
    tier: ClassVar[str] = "faithful"
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": decay} for lr in (1e-3, 1e-2) for decay in (0.0, 1e-5, 1e-4, 1e-3)
    ]

    def __init__(self, sizes: Sizes, rate: float = 0.5, biases: bool = True) -> None:
        super().__init__(sizes, rate, biases)
        self.items = embedding(sizes.items, 1)

    def score(self, batch: Batch) -> Tensor:
        return self.items(batch["item"]).squeeze(-1)
'''
TEST = """import torch

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.popularity import Popularity


def test_an_item_has_one_score() -> None:
    model = Popularity(Sizes(4, 4))
    assert model.score({"item": torch.tensor([1, 1, 2])})[:2].unique().numel() == 1
"""
TABLE = """
from lrrecsys_core import rows
from lrrecsys_core.profiles import Profile
from lrrecsys_core.report.tables import result_table
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.study import Study

tiny = Profile("tiny", users=30, items=25, records_per_user=8, replicates=1, epochs=1, patience=1, autoencoder_epochs=9,
               side_replicates=1)
study = Study(tiny)
for row in ("Popularity", rows.without_biases("Popularity")):
    Cell(study, "hotels", row).compute()
table = result_table(2, study.metrics([2]))
print(table.filter(row="Popularity", dataset="hotels", metric="RMSE")["ours_mean"].item())
"""


@pytest.mark.slow
def test_a_baseline_is_a_file_a_test_and_a_line(tmp_path: Path) -> None:
    for name in ("lrrecsys_core", "tests", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "lrrecsys_core" / "models" / "popularity.py").write_text(MODEL)
    (tmp_path / "tests" / "models" / "test_popularity.py").write_text(TEST)
    rows = tmp_path / "lrrecsys_core" / "rows.py"
    code = rows.read_text()
    assert code.count("(mter.ComparER, BiasedMF)") == 1
    code = code.replace("(mter.ComparER, BiasedMF)", "(mter.ComparER, BiasedMF, Popularity)")
    imported = "from lrrecsys_core.models.lr_recsys import LRRecsys\n"
    rows.write_text(code.replace(imported, imported + "from lrrecsys_core.models.popularity import Popularity\n"))

    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "LRRECSYS_ROOT": str(tmp_path), "OMP_NUM_THREADS": "1"}

    def run(*command: str) -> str:
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    checks = ["tests/models/test_popularity.py", "tests/models/test_invariants.py", "-k", "Popularity or one_score"]
    assert "passed" in run("-m", "pytest", "-q", "-p", "no:nbval", "-p", "no:cacheprovider", *checks)
    assert 0 < float(run("-c", TABLE)) < 1
