"""The numbers of the paper's Tables 2-6 as printed, and what its improvements should be by its own means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core.report.formats import percent
from lrrecsys_core.report.notes import MISPRINT


def paper_values() -> pl.DataFrame:
    """The 351 published numbers of Tables 2-6, as printed: table, row, dataset, metric, mean, sd."""
    return pl.read_csv(Path(__file__).parent / "paper_values.csv")


@cache
def published() -> dict[tuple[int | str, str, str, str], tuple[float, float | None]]:
    """Mean and standard deviation by table, row, the paper's data set and metric."""
    return {(*key, metric): (mean, sd) for *key, metric, mean, sd in paper_values().iter_rows()}


def improved(dataset: str, metric: str) -> float:
    """Improvement of LR-Recsys over the paper's best baseline by the means of its Table 2, in percent."""
    printed, name = published(), r.PAPER_DATASET[dataset]
    theirs = [printed[2, row, name, metric][0] for row in r.BASELINES]
    best = min(theirs) if m.LOWER_IS_BETTER[metric] else max(theirs)
    return float(m.improvement(metric, printed[2, r.LR, name, metric][0], best))


def misprinted(line: Mapping[str, Any]) -> bool:
    """Whether a printed improvement is another than the printed means give, by more than rounding."""
    return abs(line["paper_mean"] - improved(line["dataset"], line["metric"])) > 0.0051


def misprints(table: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """What the paper prints as an improvement and its own means do not give."""
    printed = table.filter(pl.col("row") == r.IMPROVED, pl.col("dataset").is_in(list(names)))
    return [
        f"{MISPRINT} {r.PAPER_DATASET[x['dataset']]} {x['metric']}: the paper prints {percent(x['paper_mean'])}; its "
        f"own means give {percent(improved(x['dataset'], x['metric']))}."
        for x in printed.to_dicts()
        if misprinted(x)
    ]
