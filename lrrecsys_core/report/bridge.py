"""From theory to the system: how good are recommendations when the reasoner knows what |E| environments revealed?"""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report.style import NEGATIVE, OTHER, OURS, empty, panels, whiskers

METHODS = {"EILLS": r.FROM_EILLS, "pooled regression": r.FROM_POOLED}
ROWS = (r.ABLATION1, r.LASSO_REASONER, *r.FROM_EILLS.values(), *r.FROM_POOLED.values())
_COLOURS = {"EILLS": OURS, "pooled regression": NEGATIVE}


def improvements(metrics: pl.DataFrame, dataset: str, metric: str, names: list[str]) -> np.ndarray | None:
    """Percent better than Ablation 1, markets x names; None where a row is missing."""
    part = metrics.filter(dataset=dataset, metric=metric, part="test")
    values = {row: part.filter(row=row).sort("replicate")["value"].to_numpy() for row in (*names, r.ABLATION1)}
    if any(not len(value) for value in values.values()):
        return None
    return np.column_stack([m.improvement(metric, values[name], values[r.ABLATION1]) for name in names])


def _named(named: dict[int, str], shifted: bool) -> list[str]:
    return [r.shifted(name) if shifted else name for name in named.values()]


def bridge(metrics: pl.DataFrame) -> Figure:
    """RMSE improvement over Ablation 1 against the number of environments, in the same and in a shifted environment.

    Every market estimates S* from other markets of its own drawing; 95% intervals are over markets.
    """
    listed = metrics.filter(pl.col("simulated") & ~pl.col("dataset").str.starts_with(r.NULL_PREFIX))
    markets = sorted(set(listed["dataset"]))
    fig, axes = panels(2, max(len(markets), 1), 3.2, 2.5)
    if not markets:
        empty(axes[0][0], "From theory to the system", "only simulated markets have other environments")
        axes[1][0].set_axis_off()
    for column, dataset in enumerate(markets):
        for line, shifted in enumerate((False, True)):
            ax = axes[line][column]
            for method, named in METHODS.items():
                values = improvements(metrics, dataset, "RMSE", _named(named, shifted))
                if values is None:
                    continue
                found = [stats.paired_t(value) for value in values.T]
                reach = np.hstack([whiskers(e) for e in found])
                middle = [e.effect for e in found]
                ax.errorbar(
                    list(named),
                    middle,
                    yerr=reach,
                    fmt="o-",
                    ms=4,
                    lw=1.2,
                    capsize=2.5,
                    color=_COLOURS[method],
                    label=method,
                )
            own = improvements(metrics, dataset, "RMSE", _named({1: r.LASSO_REASONER}, shifted))
            if own is not None:
                ax.axhline(float(own.mean()), color=OTHER, ls="--", lw=1.2, label="Lasso on own records")
            ax.axhline(0, color="black", lw=0.6)
            ax.set_xscale("log", base=2)
            ax.set_xticks(list(r.ENVIRONMENTS), [str(n) for n in r.ENVIRONMENTS])
            ax.set_title(f"{dataset} (simulated){', shifted' if shifted else ''}")
            if not column:
                ax.set_ylabel("% better than\nAblation 1 (RMSE)")
        axes[1][column].set_xlabel("environments that taught the reasoner")
    if markets and (drawn := axes[0][0].get_legend_handles_labels())[0]:
        fig.legend(*drawn, loc="outside lower center", ncols=3, fontsize=7)
    return fig


def trends(metrics: pl.DataFrame) -> pl.DataFrame:
    """Change of the improvement (percentage points) per doubling of the environments, tested against no increase.

    Returns
    -------
    One row a data set, metric, method and environment: effect, low, high, p (one-sided), markets.
    """
    found = []
    doublings = np.log2(list(r.ENVIRONMENTS))
    for dataset in sorted(set(metrics.filter(pl.col("simulated"))["dataset"])):
        for metric in ("RMSE", "AUC"):
            for method, named in METHODS.items():
                for shifted in (False, True):
                    values = improvements(metrics, dataset, metric, _named(named, shifted))
                    if values is None or len(values) < 2:
                        continue
                    e = stats.trend(values, doublings)
                    where = "shifted" if shifted else "own"
                    found.append((dataset, metric, method, where, e.effect, e.low, e.high, e.p_greater(), len(values)))
    return pl.DataFrame(
        found,
        schema=dict.fromkeys(["dataset", "metric", "method", "environment"], pl.String)
        | dict.fromkeys(["effect", "low", "high", "p"], pl.Float64)
        | {"markets": pl.Int64},
        orient="row",
    )
