"""The grid point each row trains at: chosen on validation and shipped as a table, for markets and for each public set.

The points for markets come from settling markets (seeds 0-9); those of a public data set from a sample of its users.
Other data train at the points of the markets until `lrrecsys search` has chosen their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lrrecsys_core import rows

MARKETS = "markets"
SHIPPED = Path(__file__).with_name("chosen_points.json")


@dataclass(frozen=True)
class Point:
    """A point of a model's grid: step size, L2 weight, build parameters."""

    lr: float = 0.01
    weight_decay: float = 0.0
    params: dict[str, Any] = field(default_factory=dict)


def chosen_point(row: str, dataset: str = MARKETS) -> Point:
    """The point of a row on a data set: a baseline's own; rows built on LR-Recsys share the one of LR-Recsys."""
    tables = _tables(SHIPPED)
    table = {**tables[MARKETS], **tables.get(dataset, {})}
    base = next((name for name in (*rows.BASELINES, rows.COMPARER) if row.startswith(f"{name} ")), row)
    return table.get(base) or table[rows.LR]


@cache
def _tables(file: Path) -> dict[str, dict[str, Point]]:
    return {
        dataset: {
            name: Point(**{k: v for k, v in point.items() if k in Point.__dataclass_fields__})
            for name, point in listed.items()
        }
        for dataset, listed in json.loads(file.read_text(encoding="utf-8")).items()
    }
