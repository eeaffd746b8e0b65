"""Figures 6, 7, 9 and 10: who gains, where the attention goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report.evidence import ATTENTION, Evidence, Panel
from lrrecsys_core.report.formats import p_value, significant
from lrrecsys_core.report.style import (
    NEGATIVE,
    OTHER,
    OURS,
    POSITIVE,
    TOKENS,
    empty,
    panels,
    plain,
    titled,
    whiskers,
)

BINS: Final = 15
NEAR_UNIFORM: Final = 0.25  # how far about uniform attention a panel reaches at least, as a part of it
NO_ATTENTION: Final = "not run: no attention recorded"


def fig06(sources: Sequence[Evidence]) -> Figure:
    """Fig 6: gain over the best baseline against disagreement of the models, with the placebo.

    One column per data set. Above: squared-error gain of the records with its regression line and that of another model
    in our place. Below: the difference of RMSE in bins of equal size, since one record has no RMSE. Both end with the
    bins: beyond their last mean the lines would be carried by a handful of records.
    """
    fig, axes = panels(2, max(len(sources), 1), 3.6, 2.8)
    for column, source in enumerate(sources):
        _uncertainty(axes[0][column], axes[1][column], source)
    return fig


def _uncertainty(above: Axes, below: Axes, source: Evidence) -> None:
    best, other = source.best_baseline("RMSE"), source.best_baseline("RMSE", rank=1)
    names = [r.LR, *source.baselines]
    found = [p for p in source.panels("regression", names) if all(name in p.predictions for name in names)]
    if best is None or other is None or not found:
        empty(above, titled(source), "not run: needs LR-Recsys, two baselines and their predictions")
        empty(below, "")
        return
    x = [panel.disagreement(names) for panel in found]
    everything = np.concatenate(x)
    order = np.argsort(everything, kind="stable")
    groups = [g for g in np.array_split(order, min(BINS, order.size)) if g.size]
    middle = [float(everything[g].mean()) for g in groups]
    above.set_title(plain(titled(source)))
    for name, colour, label in ((r.LR, OURS, "LR-Recsys"), (other, OTHER, f"placebo: {other}")):
        y = [panel.squared_error_gain(name, best) for panel in found]
        estimate = source.slope(found, x, y, clustered=True)
        if estimate is None or not np.isfinite(estimate.effect):
            continue
        centre = float(everything.mean()), float(np.mean(np.concatenate(y)))
        grid = np.linspace(middle[0], middle[-1], 50)
        down, up = whiskers(estimate).ravel()
        slopes = (estimate.effect, estimate.effect - down, estimate.effect + up)
        ends = [centre[1] + k * (grid - centre[0]) for k in slopes]
        p = p_value(estimate.p_greater())
        relation = f"p {p}" if p.startswith("<") else f"p = {p}" if p else "p unknown"
        words = f"{label}: slope {significant(estimate.effect)}, {relation}"
        above.plot(grid, ends[0], color=colour, lw=1.5, label=plain(words))
        above.fill_between(
            grid, np.minimum(ends[1], ends[2]), np.maximum(ends[1], ends[2]), color=colour, alpha=0.15, lw=0
        )
    gains = np.concatenate([panel.squared_error_gain(r.LR, best) for panel in found])
    ours = np.concatenate([panel.squared_error(r.LR) for panel in found])
    theirs = np.concatenate([panel.squared_error(best) for panel in found])
    above.plot(middle, [float(gains[g].mean()) for g in groups], "o", ms=3, color=OURS, alpha=0.7)
    above.axhline(0, color="black", lw=0.6)
    above.set_ylabel(plain(f"squared-error gain\nover {best}"))
    above.legend(fontsize=6, loc="upper left")
    above.margins(y=0.3)
    below.plot(
        middle, [float(np.sqrt(theirs[g].mean()) - np.sqrt(ours[g].mean())) for g in groups], "o-", ms=3, color=OURS
    )
    below.axhline(0, color="black", lw=0.6)
    below.set_ylabel(plain(f"RMSE of {best}\nminus ours, by bin"))
    room = 0.04 * (middle[-1] - middle[0]) or 0.02
    for ax in (above, below):
        ax.set_xlim(middle[0] - room, middle[-1] + room)
        ax.xaxis.set_major_locator(MaxNLocator(6))
    below.set_xlabel("disagreement of the models\n(1: the largest of any record)")


def _attention_panels(source: Evidence) -> list[Panel]:
    found = source.panels("classification", [r.LR])
    return [
        p for p in found if set(ATTENTION[:2]) <= set(p.records.columns) and not p.records[ATTENTION[0]].null_count()
    ]


def _tokens(found: Sequence[Panel]) -> list[str]:
    """The attention columns of the tokens that the network has."""
    known = found[0].records
    return [name for name in ATTENTION if name in known.columns and known[name].fill_null(0).sum()]


def fig07(source: Evidence) -> Figure:
    """Fig 7: attention on positive and negative explanations, one data set."""
    return fig09([source])


def fig09(sources: Sequence[Evidence]) -> Figure:
    """Fig 9: the same for every data set; left the high-rated records, right the low-rated ones.

    Uniform attention is drawn and always has room about it, so that a gap is seen beside the share it is a part of.
    """
    fig, axes = panels(max(len(sources), 1), 2, 3.8, 2.3)
    for line, source in zip(axes, sources, strict=False):
        found = _attention_panels(source)
        if not found:
            for ax in line:
                empty(ax, titled(source), NO_ATTENTION)
            continue
        columns = {n: np.concatenate([p.column(n) for p in found]) for n in (*ATTENTION[:2], "liked")}
        high = columns["liked"] > 0.5
        shares = np.concatenate([columns[name] for name in ATTENTION[:2]])
        edges = np.linspace(np.quantile(shares, 0.002), np.quantile(shares, 0.998), 36)
        uniform = 1 / len(_tokens(found))
        limits = min(edges[0], (1 - NEAR_UNIFORM) * uniform), max(edges[-1], (1 + NEAR_UNIFORM) * uniform)
        for ax, side, word in ((line[0], high, "high-rated"), (line[1], ~high, "low-rated")):
            for name, colour, label in zip(ATTENTION[:2], (POSITIVE, NEGATIVE), ("positive", "negative"), strict=True):
                values = columns[name][side]
                if values.size and edges[-1] > edges[0]:
                    ax.hist(
                        values,
                        bins=list(edges),
                        density=True,
                        histtype="stepfilled",
                        alpha=0.45,
                        color=colour,
                        label=label,
                    )
                    ax.axvline(float(values.mean()), color=colour, lw=1.2, ls="--")
            ax.axvline(uniform, color="black", lw=1, ls=":", label=f"uniform, {uniform:.3f}")
            positive, negative = (columns[name][side] for name in ATTENTION[:2])
            d = stats.cohens_d(positive, negative)
            if np.isfinite(d):
                words = f"positive - negative:\n{positive.mean() - negative.mean():+.4f}\nCohen's d = {d:.2f}"
                ax.text(0.02, 0.96, words, transform=ax.transAxes, va="top", fontsize=7)
            ax.set_xlim(*limits)
            ax.set_title(plain(f"{titled(source)}: {word}"))
            ax.set_xlabel("share of attention")
            ax.set_ylabel("density")
        line[0].legend(fontsize=7, loc="upper right")
    return fig


def fig10(sources: Sequence[Evidence]) -> Figure:
    """Fig 10: attention per token as pies, each beside what uniform attention would give."""
    fig, axes = panels(2, max(len(sources), 1), 3.0, 2.7)
    for column, source in enumerate(sources):
        found = _attention_panels(source)
        if not found:
            empty(axes[0][column], titled(source), NO_ATTENTION)
            axes[1][column].set_axis_off()
            continue
        present = _tokens(found)
        shares = np.array([np.mean([panel.column(name).mean() for panel in found]) for name in present])
        tokens = [name.removeprefix("attention_") for name in present]
        uniform = np.full(len(present), 1 / len(present))
        for ax, values, title in (
            (axes[0][column], shares, f"{titled(source)}\nexplanations {100 * shares[:2].sum():.1f}%"),
            (axes[1][column], uniform, f"uniform\nexplanations {100 * uniform[:2].sum():.1f}%"),
        ):
            ax.pie(
                values, labels=tokens, colors=[TOKENS[t] for t in tokens], autopct="%.1f%%", startangle=90,
                counterclock=False, textprops={"fontsize": 7}, wedgeprops={"linewidth": 0.5, "edgecolor": "white"},
                radius=0.95,
            )  # fmt: skip
            ax.set_title(plain(title))
    return fig
