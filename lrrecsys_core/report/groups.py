"""Groups of about equal size by a number that records have, and the mean of another over each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from lrrecsys_core import stats
from lrrecsys_core.report.evidence import Evidence, Panel

COLD: Final = 0.01  # of the test records, for a group of their own


def grouped(
    source: Evidence, found: Sequence[Panel], edges: np.ndarray, x: Sequence[np.ndarray], y: Sequence[np.ndarray]
) -> list[stats.Estimate | None]:
    """Mean of `y` over the records of every group of `x`, whose upper ends are `edges`."""
    groups = [np.searchsorted(edges, values, side="left") for values in x]
    estimates = []
    for group in range(edges.size + 1):
        inside = [own == group for own in groups]
        parts = [(p, at, values) for p, at, values in zip(found, inside, y, strict=True) if at.any()]
        chosen = [Panel(p.records.filter(pl.Series(at)), {}) for p, at, _ in parts]
        estimates.append(source.mean(chosen, [values[at] for _, at, values in parts]))
    return estimates


def edges_of(activity: np.ndarray, groups: int = 5) -> np.ndarray:
    """Upper ends of all groups of about equal size but the last, none of them empty.

    Quantiles may coincide where many share one count, so there may be fewer groups. Users or items without training
    records are a group of their own if they have one record in a hundred: they alone are cold.
    """
    cold = [0.0] if np.mean(activity == 0) >= COLD else []
    edges = np.unique([*cold, *np.quantile(activity, np.arange(1, groups) / groups, method="lower")])
    return edges[edges < activity.max()]


def ranges(activity: np.ndarray, edges: np.ndarray) -> list[str]:
    """The least and the largest count of every group, as printed."""
    group = np.searchsorted(edges, activity, side="left")
    ends = [(int(activity[group == k].min()), int(activity[group == k].max())) for k in range(edges.size + 1)]
    return [str(low) if low == high else f"{low}-{high}" for low, high in ends]
