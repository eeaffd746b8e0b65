"""The grid point each row trains at: chosen on validation, on settling markets (seeds 0-9), shipped as a table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from lrrecsys_core import rows


@dataclass(frozen=True)
class Point:
    """A point of a model's grid: step size, L2 weight, build parameters."""

    lr: float = 0.01
    weight_decay: float = 0.0
    params: dict[str, Any] = field(default_factory=dict)


@cache
def _table() -> dict[str, Point]:
    listed = json.loads(files("lrrecsys_core").joinpath("chosen_points.json").read_text(encoding="utf-8"))
    return {
        name: Point(**{k: v for k, v in point.items() if k in Point.__dataclass_fields__})
        for name, point in listed.items()
    }


def chosen_point(row: str) -> Point:
    """The point of a row: a baseline's own; rows built on LR-Recsys share the one of LR-Recsys."""
    table = _table()
    base = next((name for name in rows.BASELINES if row.startswith(f"{name} ")), row)
    return table.get(base) or table.get(rows.LR, Point())
