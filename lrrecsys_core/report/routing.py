"""Routing (Sec 6): what is kept of the gain if explanations are asked for some records only, the uncertain ones first.

An LLM is paid by the record, so the paper proposes to ask it where it helps most and to leave the others to a
recommender without explanations. Two measures of uncertainty are known before anybody is asked. All records in random
order are the reference: any order gains as the share grows, and only what it saves beyond that is worth a router.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report.evidence import Evidence, Panel
from lrrecsys_core.report.scale import MARGIN, VIEW
from lrrecsys_core.report.style import (
    OTHER,
    Line,
    at_least_wide,
    by_column,
    common_labels,
    empty,
    headed,
    legend_below,
    points,
    table,
    titled,
    told,
)  # fmt: skip

Floats = NDArray[np.float64]
SHARES: Final = tuple(range(0, 101, 10))
FEWEST: Final = "fewest training records"
DISAGREEMENT: Final = "disagreement of the baselines"
RANDOM: Final = "random order"
COLOURS: Final = {FEWEST: "#6a3d9a", DISAGREEMENT: "#b15928", RANDOM: OTHER}
CAPTION: Final = (
    "Routing (Sec 6). RMSE if LR-Recsys predicts a share of the records and Ablation 1 the rest, and what the order "
    "saves beyond a random one. The paper routes by uncertainty, of which two measures are known before an explanation "
    "is asked for: few training records of user and item, and disagreement of the baselines (that of Figure 6 without "
    "LR-Recsys, which has read the explanations)"
)


def collect_routing(sources: Sequence[Evidence]) -> pl.DataFrame:
    """RMSE by order and share of the records asked about, and how much less that is than in random order."""
    lines: list[Line] = []
    for source in sources:
        wanted = [r.LR, r.ABLATION1, *source.baselines]
        found = [p for p in source.panels("regression", wanted) if {r.LR, r.ABLATION1} <= set(p.predictions)]
        common: Line = {"title": titled(source)}
        own = [line for order in COLOURS for line in _curve(source, found, order)]
        lines += [common | line for line in own] or [common]
    return table(lines, ("title", "order"), ("rmse", "effect", "low", "high"), ("share",))


def _curve(source: Evidence, found: Sequence[Panel], order: str) -> list[Line]:
    """The lines of one order; none where it is not known."""
    ranks = [rank for panel in found if (rank := _ranks(panel, order, source.baselines)) is not None]
    if not ranks or len(ranks) < len(found):
        return []
    lines: list[Line] = []
    for share in SHARES:
        at = share / 100
        asked = [np.full(len(rank), at) if order == RANDOM else (rank < at).astype(np.float64) for rank in ranks]
        errors = [_errors(panel, part) for panel, part in zip(found, asked, strict=True)]
        rmse = float(np.mean([np.sqrt(routed.mean()) for _, _, routed, _ in errors]))
        saved = _saved(source, found, errors) if order != RANDOM and 0 < share < 100 else None
        lines.append({"order": order, "share": share, "rmse": rmse} | told(saved))
    return lines


def _ranks(panel: Panel, order: str, baselines: Sequence[str]) -> Floats | None:
    """Place of each record in an order, from 0 to below 1, ties at random; None where the order is not known."""
    counts = ("user_count", "item_count")
    if order == FEWEST:
        if any(name not in panel.records.columns or panel.records[name].null_count() for name in counts):
            return None
        # As the variance of a mean of so many records and one more, added up over the two biases.
        uncertain = np.sum([1 / (1 + panel.column(name)) for name in counts], axis=0)
    elif order == DISAGREEMENT:
        complete = [name for name in baselines if name in panel.predictions]
        if len(complete) < 2:
            return None
        uncertain = np.asarray(panel.disagreement(complete))
    else:
        uncertain = np.zeros(panel.records.height)
    places = np.lexsort((np.random.default_rng(0).random(len(uncertain)), -uncertain))
    ranks = np.empty(len(places))
    ranks[places] = np.arange(len(places)) / len(places)
    return ranks


def _errors(panel: Panel, asked: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Squared errors (N,) of LR-Recsys, of Ablation 1 and of the router, and how probably it asks about each record."""
    ours, theirs = panel.squared_error(r.LR), panel.squared_error(r.ABLATION1)
    return ours, theirs, asked * ours + (1 - asked) * theirs, asked


def _saved(source: Evidence, found: Sequence[Panel], errors: Sequence[tuple[Floats, ...]]) -> stats.Estimate:
    """How much lower the router's RMSE is than that of one which asks about as many records at random."""

    def saved(ours: Floats, theirs: Floats, routed: Floats, share: Floats) -> Floats:
        return np.sqrt(share * ours + (1 - share) * theirs) - np.sqrt(routed)

    effects = [saved(*(part.mean() for part in own)) for own in errors]
    if source.simulated:
        return stats.paired_t(effects)
    bootstrap = stats.UserBootstrap(found[0].records["user"].to_numpy())
    return bootstrap.estimate(float(effects[0]), saved(*(bootstrap.mean(part) for part in errors[0])))


def routing(frame: pl.DataFrame) -> Figure:
    """RMSE against the share of records asked about, and beneath it what each order saves beyond the random one."""
    fig, columns = by_column(frame, 2)
    for title, (above, below), part in columns:
        known = part.filter(pl.col("order").is_not_null())
        if known.is_empty():
            for ax in (above, below):
                empty(ax, title)
            continue
        for shift, ((order,), lines) in enumerate(known.group_by("order", maintain_order=True)):
            colour, at = COLOURS[str(order)], lines["share"].to_list()
            style = "--" if order == RANDOM else "-"
            above.plot(at, lines["rmse"].to_list(), style, lw=1.4, color=colour, label=str(order))
            points(below, [share + 1.5 * shift for share in at], lines.to_dicts(), colour)
        headed(above, title)
        below.axhline(0, color="black", lw=0.6)
        for ax in (above, below):
            at_least_wide(ax.yaxis, MARGIN["RMSE"] * VIEW)
        below.set_xlim(above.get_xlim())
    common_labels(columns, "% of records asked about", ["RMSE", "RMSE saved beyond\nrandom order"])
    legend_below(fig, [axes[0] for _, axes, _ in columns])
    return fig
