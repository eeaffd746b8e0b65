"""Figures 6, 7, 9 and 10: who gains, where the attention goes.

Each figure has two halves: ``collect_*`` reduces records to a small table, and the other draws that table alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report.evidence import ATTENTION, Evidence, Panel, attention_panels
from lrrecsys_core.report.formats import p_value, significant
from lrrecsys_core.report.style import (
    NEGATIVE,
    OTHER,
    OURS,
    POSITIVE,
    TOKENS,
    Line,
    by_column,
    by_line,
    empty,
    plain,
    table,
    titled,
    told,
    whiskers,
)  # fmt: skip

BINS: Final = 15
NEAR_UNIFORM: Final = 0.25  # how far about uniform attention a panel reaches at least, as a part of it
NO_ATTENTION: Final = "not run: no attention recorded"


def collect_fig06(sources: Sequence[Evidence]) -> pl.DataFrame:
    """Of every data set: a line per bin of disagreement (mean gain, difference of RMSE) and one per regression line."""
    lines: list[Line] = []
    for source in sources:
        lines += _uncertainty(source) or [{"title": titled(source)}]
    return table(lines, text=("title", "model", "reference"), real=("x", "gain", "rmse", "effect", "low", "high", "p"))


def _uncertainty(source: Evidence) -> list[Line]:
    best, other = source.best_baseline("RMSE"), source.best_baseline("RMSE", rank=1)
    names = [r.LR, *source.baselines]
    found = [p for p in source.panels("regression", names) if all(name in p.predictions for name in names)]
    if best is None or other is None or not found:
        return []
    x = [panel.disagreement(names) for panel in found]
    everything = np.concatenate(x)
    order = np.argsort(everything, kind="stable")
    gains = np.concatenate([panel.squared_error_gain(r.LR, best) for panel in found])
    ours, theirs = (np.concatenate([panel.squared_error(name) for panel in found]) for name in (r.LR, best))
    common: Line = {"title": titled(source), "reference": best}
    lines: list[Line] = [
        common
        | {"x": float(everything[g].mean()), "gain": float(gains[g].mean())}
        | {"rmse": float(np.sqrt(theirs[g].mean()) - np.sqrt(ours[g].mean()))}
        for g in np.array_split(order, min(BINS, order.size))
        if g.size
    ]
    for name in (r.LR, other):
        y = [panel.squared_error_gain(name, best) for panel in found]
        estimate = source.slope(found, x, y, clustered=True)
        if estimate is not None and np.isfinite(estimate.effect):
            centre: Line = {"x": float(everything.mean()), "gain": float(np.mean(np.concatenate(y)))}
            lines.append(common | {"model": name} | centre | told(estimate) | {"p": estimate.p_greater()})
    return lines


def fig06(frame: pl.DataFrame) -> Figure:
    """Fig 6: gain over the best baseline against disagreement of the models, with the placebo.

    One column per data set. Above: squared-error gain of the records with its regression line and that of another model
    in our place. Below: the difference of RMSE in bins of equal size, since one record has no RMSE. Both end with the
    bins: beyond their last mean the lines would be carried by a handful of records.
    """
    fig, columns = by_column(frame, 2, 3.6, 2.8)
    for title, (above, below), part in columns:
        bins = part.filter(pl.col("rmse").is_not_null())
        if bins.is_empty():
            empty(above, title, "not run: needs LR-Recsys, two baselines and their predictions")
            empty(below, "")
            continue
        best, middle = bins["reference"][0], bins["x"].to_list()
        above.set_title(plain(title))
        for line in part.filter(pl.col("model").is_not_null()).to_dicts():
            _regression(above, line, middle)
        above.plot(middle, bins["gain"], "o", ms=3, color=OURS, alpha=0.7)
        above.set_ylabel(plain(f"squared-error gain\nover {best}"))
        above.legend(fontsize=6, loc="upper left")
        above.margins(y=0.3)
        below.plot(middle, bins["rmse"], "o-", ms=3, color=OURS)
        below.set_ylabel(plain(f"RMSE of {best}\nminus ours, by bin"))
        room = 0.04 * (middle[-1] - middle[0]) or 0.02
        for ax in (above, below):
            ax.axhline(0, color="black", lw=0.6)
            ax.set_xlim(middle[0] - room, middle[-1] + room)
            ax.xaxis.set_major_locator(MaxNLocator(6))
        below.set_xlabel("disagreement of the models\n(1: the largest of any record)")
    return fig


def _regression(ax: Axes, line: Line, middle: Sequence[float]) -> None:
    """A line through the mean of all records, shaded between the ends of its slope's interval."""
    ours = line["model"] == r.LR
    label, colour = ("LR-Recsys", OURS) if ours else (f"placebo: {line['model']}", OTHER)
    grid = np.linspace(middle[0], middle[-1], 50)
    down, up = whiskers(line).ravel()
    ends = [line["gain"] + k * (grid - line["x"]) for k in (line["effect"], line["effect"] - down, line["effect"] + up)]
    p = p_value(line["p"])
    relation = f"p {p}" if p.startswith("<") else f"p = {p}" if p else "p unknown"
    words = f"{label}: slope {significant(line['effect'])}, {relation}"
    ax.plot(grid, ends[0], color=colour, lw=1.5, label=plain(words))
    ax.fill_between(grid, np.minimum(*ends[1:]), np.maximum(*ends[1:]), color=colour, alpha=0.15, lw=0)


def _tokens(found: Sequence[Panel]) -> list[str]:
    """The attention columns of the tokens that the network has."""
    known = found[0].records
    return [name for name in ATTENTION if name in known.columns and known[name].fill_null(0).sum()]


def collect_fig09(sources: Sequence[Evidence]) -> pl.DataFrame:
    """Histograms of the attention on either explanation, of high- and low-rated records, with means and Cohen's d."""
    lines: list[Line] = []
    for source in sources:
        found = attention_panels(source)
        lines += _histograms(titled(source), found) if found else [{"title": titled(source)}]
    real = ("left", "right", "density", "mean", "d", "uniform", "from", "to")
    return table(lines, text=("title", "records", "token"), real=real)


def _histograms(title: str, found: Sequence[Panel]) -> list[Line]:
    columns = {n: np.concatenate([p.column(n) for p in found]) for n in (*ATTENTION[:2], "liked")}
    high = columns["liked"] > 0.5
    shares = np.concatenate([columns[name] for name in ATTENTION[:2]])
    edges = np.linspace(np.quantile(shares, 0.002), np.quantile(shares, 0.998), 36)
    uniform = 1 / len(_tokens(found))
    low, top = min(edges[0], (1 - NEAR_UNIFORM) * uniform), max(edges[-1], (1 + NEAR_UNIFORM) * uniform)
    lines: list[Line] = []
    for word, side in (("high-rated", high), ("low-rated", ~high)):
        pair = [columns[name][side] for name in ATTENTION[:2]]
        common: Line = {"title": title, "records": word, "uniform": uniform, "from": low, "to": top}
        common["d"] = stats.cohens_d(*pair)
        for token, values in zip(("positive", "negative"), pair, strict=True):
            own = common | {"token": token, "mean": float(values.mean()) if values.size else None}
            if not values.size or edges[-1] <= edges[0]:
                lines.append(own)
                continue
            density, _ = np.histogram(values, bins=edges, density=True)
            lines += [
                own | {"left": float(a), "right": float(b), "density": float(height)}
                for a, b, height in zip(edges[:-1], edges[1:], density, strict=True)
            ]
    return lines


def fig09(frame: pl.DataFrame) -> Figure:
    """Figs 7 and 9: attention on either explanation, a line per data set; left high-rated records, right low-rated.

    Uniform attention is drawn and always has room about it, so that a gap is seen beside the share it is a part of.
    """
    fig, lines = by_line(frame, 2, 3.8, 2.3)
    for title, axes, part in lines:
        if part["token"].null_count():
            for ax in axes:
                empty(ax, title, NO_ATTENTION)
            continue
        for ax, word in zip(axes, ("high-rated", "low-rated"), strict=True):
            _attention(ax, part.filter(records=word))
            ax.set(title=plain(f"{title}: {word}"), xlabel="share of attention", ylabel="density")
        axes[0].legend(fontsize=7, loc="upper right")
    return fig


def _attention(ax: Axes, part: pl.DataFrame) -> None:
    """Two histograms with their means, the uniform share, and the gap between the means."""
    means = []
    for token, colour in (("positive", POSITIVE), ("negative", NEGATIVE)):
        own = part.filter(token=token)
        means.append(own["mean"][0])
        if not own["left"].null_count():
            edges = [*own["left"], own["right"][-1]]
            ax.stairs(own["density"].to_list(), edges, fill=True, alpha=0.45, color=colour, label=token)
            ax.axvline(means[-1], color=colour, lw=1.2, ls="--")
    uniform, d = part["uniform"][0], part["d"][0]
    ax.axvline(uniform, color="black", lw=1, ls=":", label=f"uniform, {uniform:.3f}")
    if d is not None and np.isfinite(d):
        words = f"positive - negative:\n{means[0] - means[1]:+.4f}\nCohen's d = {d:.2f}"
        ax.text(0.02, 0.96, words, transform=ax.transAxes, va="top", fontsize=7)
    ax.set_xlim(part["from"][0], part["to"][0])


def collect_fig10(sources: Sequence[Evidence]) -> pl.DataFrame:
    """Mean attention on each token that the network has."""
    lines: list[Line] = []
    for source in sources:
        found = attention_panels(source)
        lines += [
            {"title": titled(source), "token": name.removeprefix("attention_")}
            | {"share": float(np.mean([panel.column(name).mean() for panel in found]))}
            for name in (_tokens(found) if found else [])
        ] or [{"title": titled(source)}]
    return table(lines, text=("title", "token"), real=("share",))


def fig10(frame: pl.DataFrame) -> Figure:
    """Fig 10: attention per token as pies, each beside what uniform attention would give."""
    fig, columns = by_column(frame, 2, 3.0, 2.7)
    for title, (above, below), part in columns:
        if part["token"].null_count():
            empty(above, title, NO_ATTENTION)
            below.set_axis_off()
            continue
        tokens, shares = part["token"].to_list(), part["share"].to_numpy()
        for ax, values, name in ((above, shares, title), (below, np.full(len(shares), 1 / len(shares)), "uniform")):
            ax.pie(
                values, labels=tokens, colors=[TOKENS[t] for t in tokens], autopct="%.1f%%", startangle=90,
                counterclock=False, textprops={"fontsize": 7}, wedgeprops={"linewidth": 0.5, "edgecolor": "white"},
                radius=0.95,
            )  # fmt: skip
            ax.set_title(plain(f"{name}\nexplanations {100 * values[:2].sum():.1f}%"))
    return fig
