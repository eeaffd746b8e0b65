"""The paper's numbers against ours: Table 2 as a figure."""

from __future__ import annotations

from typing import Final

import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lrrecsys_core import rows as r
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.style import (
    BASELINE,
    NOT_RUN,
    OTHER,
    OURS,
    SMALL,
    by_column,
    empty,
    headed,
    legend_below,
    titled,
)
from lrrecsys_core.report.tables import result_table

SHOWN: Final = ("RMSE", "AUC")


def against(metrics: pl.DataFrame) -> Figure:
    """Published number and ours of every row of Table 2, joined by a line; a column for each data set."""
    table = result_table(2, metrics).filter(pl.col("metric").is_in(SHOWN), pl.col("row") != r.IMPROVED)
    titles = {name: titled(Evidence(name, metrics)) for name in table["dataset"].unique()}
    fig, columns = by_column(table.with_columns(title=pl.col("dataset").replace_strict(titles)), len(SHOWN), 2.9)
    names = list(dict.fromkeys([r.LR, *r.BASELINES]))
    for title, axes, part in columns:
        theirs = r.PAPER_DATASET.get(part["dataset"][0], "")
        for ax, metric in zip(axes, SHOWN, strict=True):
            lines = [line for line in part.filter(metric=metric).to_dicts() if line["row"] in names]
            both = [line for line in lines if line["paper_mean"] is not None and line["ours_mean"] is not None]
            if not both:
                empty(ax, title, "no published number for these data" if not theirs else NOT_RUN)
                continue
            for line in both:
                y, colour = names.index(line["row"]), OURS if line["row"] == r.LR else BASELINE
                ax.plot([line["paper_mean"], line["ours_mean"]], [y, y], color=OTHER, lw=1)
                ax.plot(line["paper_mean"], y, "o", mfc="white", mec=colour, label="published" if y else "")
                ax.plot(line["ours_mean"], y, "o", color=colour, label="ours" if y else "")
            drawn, at = {line["row"] for line in both}, ax.get_yaxis_transform()
            for y, row in enumerate(names):
                if row not in drawn:
                    ax.text(0.02, y, NOT_RUN, transform=at, va="center", size=SMALL, color=OTHER)
            ax.xaxis.set_major_locator(MaxNLocator(5))
            ax.set_yticks(range(len(names)), names)
            ax.set_ylim(len(names) - 0.5, -0.5)
            ax.tick_params(labelleft=title == columns[0][0])
            ax.grid(axis="y", visible=False)
            headed(ax, title if ax is axes[0] else "", f"published: {theirs}")
    for ax, metric in zip(columns[(len(columns) - 1) // 2][1], SHOWN, strict=True):
        ax.set_xlabel(metric)
    legend_below(fig, [ax for _, axes, _ in columns for ax in axes])
    return fig
