"""From theory to the system: how good are recommendations when the reasoner knows what |E| environments revealed?"""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.figure import Figure

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report.style import METHODS as COLOURS
from lrrecsys_core.report.style import (
    Line,
    by_column,
    common_labels,
    empty,
    legend_below,
    panels,
    plain,
    points,
    table,
    told,
)  # fmt: skip

LASSO = "Lasso on own records"
METHODS = {"EILLS": r.FROM_EILLS, "pooled regression": r.FROM_POOLED}
ROWS = (r.ABLATION1, r.LASSO_REASONER, *r.FROM_EILLS.values(), *r.FROM_POOLED.values())
_COLOURS = {"EILLS": COLOURS["EILLS"], "pooled regression": COLOURS["pooled"]}


def improvements(metrics: pl.DataFrame, dataset: str, metric: str, names: list[str]) -> np.ndarray | None:
    """Percent better than Ablation 1, markets x names; None where a row is missing."""
    part = metrics.filter(dataset=dataset, metric=metric, part="test")
    values = {row: part.filter(row=row).sort("replicate")["value"].to_numpy() for row in (*names, r.ABLATION1)}
    if any(not len(value) for value in values.values()):
        return None
    return np.column_stack([m.improvement(metric, values[name], values[r.ABLATION1]) for name in names])


def _named(named: dict[int, str], shifted: bool) -> list[str]:
    return [r.shifted(name) if shifted else name for name in named.values()]


def collect_bridge(metrics: pl.DataFrame) -> pl.DataFrame:
    """RMSE improvement over Ablation 1 by the number of environments that taught the reasoner, here and shifted."""
    listed = metrics.filter(pl.col("simulated") & ~pl.col("dataset").str.starts_with(r.NULL_PREFIX))
    lines: list[Line] = []
    for dataset in sorted(set(listed["dataset"])):
        for shifted in (False, True):
            common: Line = {"title": f"{dataset} (simulated)", "environment": "shifted" if shifted else "own"}
            found = []
            for method, named in (METHODS | {LASSO: {1: r.LASSO_REASONER}}).items():
                values = improvements(metrics, dataset, "RMSE", _named(named, shifted))
                if values is not None:
                    found += [
                        common | {"method": method, "environments": count} | told(stats.paired_t(column))
                        for count, column in zip(named, values.T, strict=True)
                    ]
            lines += found or [common]
    return table(lines, ("title", "environment", "method"), ("effect", "low", "high"), ("environments",))


def bridge(frame: pl.DataFrame) -> Figure:
    """RMSE improvement over Ablation 1 against the number of environments, in the same and in a shifted environment.

    Every market estimates S* from other markets of its own drawing; 95% intervals are over markets.
    """
    if frame.is_empty():
        fig, ((ax,),) = panels(1, 1)
        empty(ax, "From theory to the system", "only simulated markets have other environments")
        return fig
    fig, columns = by_column(frame, 2)
    for title, axes, part in columns:
        for ax, environment in zip(axes, ("own", "shifted"), strict=True):
            own = part.filter(environment=environment)
            for method, aside in zip(METHODS, (0.95, 1.05), strict=True):
                lines = own.filter(method=method)
                at = [count and aside * count for count in lines["environments"]]
                points(ax, at, lines.to_dicts(), _COLOURS[method], method)
            for level in own.filter(method=LASSO)["effect"]:
                ax.axhline(level, color=COLOURS["Lasso"], ls="--", label=LASSO)
            ax.axhline(0, color="black", lw=0.6)
            ax.set_xscale("log", base=2)
            ax.set_xticks(list(r.ENVIRONMENTS), [str(n) for n in r.ENVIRONMENTS])
            ax.set_title(plain(title) if environment == "own" else "")
    better = "% better than\nAblation 1 (RMSE)"
    common_labels(columns, "environments that taught the reasoner", [better, better + ",\nshifted environment"])
    legend_below(fig, columns[0][1][:1])
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
