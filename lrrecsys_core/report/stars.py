"""The stars of Table 2: how sure it is that LR-Recsys beats a baseline, by our rule and by the paper's likely one.

The paper marks *** p < .01 and ** p < .05 and does not name its test. Ours is that of claim C1: one-sided, users
resampled or markets paired, Holm's correction within the claim. Its own is probably a t-test over ten runs, which
takes seeds for data: on real data it says how sure the seeds are, and nothing about other users.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
import polars as pl
from scipy.stats import ttest_ind_from_stats

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.finding import versus

LEVELS: Final = ((0.01, "***"), (0.05, "**"))
SCHEMA: Final = {
    "best": pl.Boolean, "p": pl.Float64, "stars": pl.String, "p_runs": pl.Float64, "stars_runs": pl.String,
}  # fmt: skip


def marked(line: dict[str, object], source: Evidence, contrasts: pl.DataFrame | None) -> dict[str, object]:
    """What a line of Table 2 says of significance, with the columns of :data:`SCHEMA`; nothing for other rows.

    A baseline's ``p`` and ``p_runs`` compare LR-Recsys with it; those of LR-Recsys itself, and of what it improves by,
    are the largest p of all fourteen, where all were run, and that over the best one. ``best`` marks the baseline that
    validation chose.

    Parameters
    ----------
    line : with ``dataset``, ``row`` and ``metric``; of another data set, it stays as it is.
    source : results of one data set.
    contrasts : as :func:`~lrrecsys_core.report.claims.evidence_table`; None before there is one, and then no ``p``.
    """
    row, metric = str(line["row"]), str(line["metric"])
    if line["dataset"] != source.dataset or row not in (r.LR, r.IMPROVED, *source.baselines):
        return {}
    best = source.best_baseline(metric)
    compared = [row] if row in source.baselines else r.BASELINES
    p = None if contrasts is None else _largest(_judged(contrasts, source.dataset, metric, name) for name in compared)
    p_runs = _over_runs(source, metric, row if row in source.baselines else best)
    return {"best": row == best, "p": p, "stars": stars(p), "p_runs": p_runs, "stars_runs": stars(p_runs)}


def stars(p: float | None) -> str:
    """As the paper prints them."""
    return "" if p is None else next((mark for level, mark in LEVELS if p < level), "")


def _judged(contrasts: pl.DataFrame, dataset: str, metric: str, baseline: str) -> float | None:
    """The corrected p-value of the contrast behind C1, or None where it could not be tested."""
    made = contrasts.filter(claim="C1", dataset=dataset, metric=metric, contrast=versus(r.LR, baseline))
    return made.filter(pl.col("verdict") != "not tested")["p_holm"].fill_nan(None).max()  # type: ignore[return-value]


def _largest(found: Iterable[float | None]) -> float | None:
    values = list(found)
    return None if None in values else max(values)  # type: ignore[type-var]


def _over_runs(source: Evidence, metric: str, baseline: str | None) -> float | None:
    """One-sided p-value of Student's t for two samples, the runs of LR-Recsys and of a baseline."""
    runs = [np.array(list(source.values(name, metric).values())) for name in (r.LR, baseline or "")]
    if min(map(len, runs)) < 2 or not any(values.std() for values in runs):
        return None
    side = "less" if m.LOWER_IS_BETTER[metric] else "greater"
    sample = (part for values in runs for part in (values.mean(), values.std(ddof=1), len(values)))
    return float(ttest_ind_from_stats(*sample, alternative=side).pvalue)
