"""The grid point each row trains at: chosen by `search` and shipped as a table, for markets and for each public set.

Step size and L2 weight are chosen for each task apart: squared errors on [0, 1] and cross-entropies differ in scale,
so what regularises one shuts the other off. The network's own settings are shared by both tasks. The points for
markets come from settling markets (seeds 0-2); those of a public data set from its validation records. Other data
train at the points of the markets until `lrrecsys search` has chosen their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from lrrecsys_core.models.base import TASKS
from lrrecsys_core.rows import LR, Row

MARKETS = "markets"
SHIPPED = Path(__file__).with_name("chosen_points.json")


@dataclass(frozen=True)
class Step:
    """Step size and L2 weight."""

    lr: float = 0.01
    weight_decay: float = 0.0


@dataclass(frozen=True)
class Point:
    """A point of a model's grid: the step of each task, and the build parameters they share."""

    regression: Step = Step()
    classification: Step = Step()
    params: dict[str, Any] = field(default_factory=dict)


def chosen_point(row: Row, dataset: str = MARKETS) -> Point:
    """The point of a row on a data set: the one chosen for the row it names, else LR-Recsys'."""
    tables = _tables(SHIPPED)
    table = {**tables[MARKETS], **tables.get(dataset, {})}
    return table.get(row.point) or table[LR]


def relative_losses(found: pl.DataFrame, by: str) -> pl.DataFrame:
    """How much worse each candidate is than the best: `by`, metric, loss (1 for the best), averaged over data sets.

    Parameters
    ----------
    found : validation values with columns `by`, dataset, metric (RMSE or AUC, whose loss is 1 - AUC), value.
    """
    loss = pl.when(pl.col("metric") == "AUC").then(1 - pl.col("value")).otherwise(pl.col("value"))
    mean = found.with_columns(loss=loss).group_by(by, "dataset", "metric").agg(pl.col("loss").mean())
    excess = mean.with_columns(pl.col("loss") / pl.col("loss").min().over("dataset", "metric"))
    return excess.group_by(by, "metric").agg(pl.col("loss").mean())


@cache
def _tables(file: Path) -> dict[str, dict[str, Point]]:
    return {
        dataset: {
            name: Point(params=told["params"], **{task: _step(told[task]) for task in TASKS})
            for name, told in listed.items()
        }
        for dataset, listed in json.loads(file.read_text(encoding="utf-8")).items()
    }


def _step(told: dict[str, Any]) -> Step:
    return Step(told["lr"], told["weight_decay"])
