"""Figures 6, 7, 9 and 10: who gains, where the attention goes.

Each figure has two halves: ``collect_*`` reduces records to a small table, and the other draws that table alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report.claims import ALPHA
from lrrecsys_core.report.evidence import ATTENTION, Evidence, Panel, attention_panels
from lrrecsys_core.report.formats import minus, p_value, significant
from lrrecsys_core.report.scale import MARGIN_PERCENT, VIEW
from lrrecsys_core.report.style import (
    BASELINE,
    NEGATIVE,
    OTHER,
    OURS,
    POSITIVE,
    SMALL,
    TOKENS,
    Line,
    at_least_wide,
    by_column,
    by_line,
    common_labels,
    empty,
    headed,
    legend_below,
    plain,
    table,
    titled,
    told,
    whiskers,
    with_missing,
)  # fmt: skip

BINS: Final = 15
MAPS: Final = ("one record", "mean of the test records")
NEAR_UNIFORM: Final = 0.25  # how far about uniform attention a panel reaches at least, as a part of it
PERMUTED: Final = "explanations permuted"
NO_ATTENTION: Final = "not run: no attention recorded"


def collect_fig06(sources: Sequence[Evidence]) -> pl.DataFrame:
    """Of every data set: a line per bin of disagreement with the mean gain, and one per regression line."""
    lines: list[Line] = []
    for source in sources:
        lines += _uncertainty(source) or [{"title": titled(source)}]
    return table(lines, text=("title", "model", "reference"), real=("x", "gain", "effect", "low", "high", "p"))


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
    common: Line = {"title": titled(source), "reference": best}
    lines: list[Line] = [
        common | {"x": float(everything[g].mean()), "gain": float(gains[g].mean())}
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


def fig06(frame: pl.DataFrame) -> tuple[Figure, str]:
    """Fig 6: squared-error gain over the best baseline against disagreement of the models, with the placebo.

    One panel per data set, on one scale. Points are means of the same records that the regression line is of; both end
    with the bins: beyond their last mean the line would be carried by a handful of records.
    """
    fig, columns = by_column(frame, 1, 2.6)
    words, axes = [], [ax for _, (ax,), _ in columns]
    for title, (ax,), part in columns:
        bins = part.filter(pl.col("x").is_not_null(), pl.col("model").is_null())
        if bins.is_empty():
            empty(ax, title, "not run: needs LR-Recsys, two baselines and their predictions")
            continue
        middle = bins["x"].to_list()
        lines = part.filter(pl.col("model").is_not_null()).to_dicts()
        for line in lines:
            _regression(ax, line, middle)
        ax.plot(middle, bins["gain"], "o", color=OURS, label="LR-Recsys, mean of a bin")
        ax.axhline(0, color="black", lw=0.6)
        room = 0.04 * (middle[-1] - middle[0]) or 0.02
        ax.set_xlim(middle[0] - room, middle[-1] + room)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        headed(ax, title, f"best baseline: {bins['reference'][0]}", *(_slope(line) for line in lines))
        words += [f"{title} {_slope(line)}" for line in lines if line["model"] == r.LR]
        ax.sharey(first := next(ax for ax in axes if ax.lines))
        ax.tick_params(labelleft=ax is first)
    common_labels(columns, "disagreement of the models (1: the largest of any record)", ["squared-error gain"])
    legend_below(fig, axes)
    if not words:
        return fig, ""
    return fig, f"Slope of the gain over the best baseline on disagreement: {'; '.join(words)}. {_above(frame)}"


def _above(frame: pl.DataFrame) -> str:
    """How many slopes are above 0, ours and the placebo's."""
    slopes = frame.filter(pl.col("effect").is_not_null(), pl.col("p").is_not_nan())
    counted = [
        f"{part.filter(pl.col('effect') > 0, pl.col('p') < ALPHA).height} of {part.height} {whose}"
        for whose, mine in (("of LR-Recsys", True), ("of the placebo", False))
        if (part := slopes.filter((pl.col("model") == r.LR) == mine)).height
    ]
    return f"Above 0 with p below {ALPHA:g}: {', '.join(counted)}." if counted else ""


def _slope(line: Line) -> str:
    """The slope of a regression line in words."""
    p = p_value(line["p"])
    relation = f"p < {p[1:]}" if p.startswith("<") else f"p = {p}" if p else "p unknown"
    name = "LR-Recsys" if line["model"] == r.LR else f"placebo {line['model']}"
    return f"{name}: {significant(line['effect'])} ({relation})"


def _regression(ax: Axes, line: Line, middle: Sequence[float]) -> None:
    """A line through the mean of all records, shaded between the ends of its slope's interval."""
    label, colour = ("LR-Recsys", OURS) if line["model"] == r.LR else ("placebo: second-best baseline", OTHER)
    grid = np.linspace(middle[0], middle[-1], 50)
    down, up = whiskers(line).ravel()
    ends = [line["gain"] + k * (grid - line["x"]) for k in (line["effect"], line["effect"] - down, line["effect"] + up)]
    ax.plot(grid, ends[0], color=colour, label=label)
    ax.fill_between(grid, np.minimum(*ends[1:]), np.maximum(*ends[1:]), color=colour, alpha=0.15, lw=0)


def _tokens(found: Sequence[Panel]) -> list[str]:
    """The attention columns of the tokens that the network has."""
    known = found[0].records
    return [name for name in ATTENTION if name in known.columns and known[name].fill_null(0).sum()]


def collect_fig09(sources: Sequence[Evidence], *, predicted: bool = False) -> pl.DataFrame:
    """Histograms of the attention on either explanation, of high- and low-rated records, with means and Cohen's d.

    Parameters
    ----------
    sources
    predicted
        Split the records by the predicted outcome instead of the rating, which is not known when serving.
    """
    lines: list[Line] = []
    for source in sources:
        found = attention_panels(source)
        high = [(p.predictions[r.LR] if predicted else p.column("liked")) >= 0.5 for p in found]
        lines += _histograms(titled(source), found, np.concatenate(high)) if found else [{"title": titled(source)}]
    real = ("left", "right", "density", "mean", "d", "uniform", "from", "to")
    return table(lines, text=("title", "records", "token"), real=real)


def _histograms(title: str, found: Sequence[Panel], high: np.ndarray) -> list[Line]:
    columns = {n: np.concatenate([p.column(n) for p in found]) for n in ATTENTION[:2]}
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
    fig, lines = by_line(frame, 2, 1.9)
    for title, axes, part in lines:
        if part["token"].null_count():
            for ax in axes:
                empty(ax, title, NO_ATTENTION)
            continue
        for ax, word in zip(axes, ("high-rated", "low-rated"), strict=True):
            _attention(ax, f"{title}: {word}", part.filter(records=word))
        axes[0].set_ylabel("density")
        axes[1].sharey(axes[0])
        axes[0].set_ylim(0, 1.08 * float(str(part["density"].max())))
    for ax in lines[-1][1] if lines else ():
        ax.set_xlabel("share of attention")
    legend_below(fig, [ax for _, axes, _ in lines for ax in axes])
    return fig


def _attention(ax: Axes, title: str, part: pl.DataFrame) -> None:
    """Two outlines with their means, the uniform share, and above them the gap between the means."""
    means = []
    for token, colour in (("positive", POSITIVE), ("negative", NEGATIVE)):
        own = part.filter(token=token)
        means.append(own["mean"][0])
        if not own["left"].null_count():
            edges = [*own["left"], own["right"][-1]]
            ax.stairs(own["density"].to_list(), edges, lw=1.2, color=colour, label=token)
            ax.axvline(means[-1], color=colour, lw=1, ls="--", label=f"mean, {token}")
    d = part["d"][0]
    ax.axvline(part["uniform"][0], color="black", lw=1, ls=":", label="uniform")
    known = d is not None and np.isfinite(d)
    words = f"positive - negative: {means[0] - means[1]:+.4f}, Cohen's d = {d:.2f}" if known else ""
    headed(ax, title, minus(words), width=64)
    ax.set_xlim(part["from"][0], part["to"][0])


def collect_fig10(sources: Sequence[Evidence]) -> pl.DataFrame:
    """Mean attention on each token that the network has, and what permuting the explanations does to the AUC."""
    lines: list[Line] = []
    for source in sources:
        found, common = attention_panels(source), {"title": titled(source)}
        for name in _tokens(found) if found else []:
            share = told(source.mean(found, [panel.column(name) for panel in found]))
            lines.append(common | share | {"token": name.removeprefix("attention_"), "share": share.get("effect")})
        permuted = told(source.improvement("AUC", r.PERMUTED, r.LR)) if found else {}
        lines.append(common | ({"token": PERMUTED} | permuted if permuted else {}))
    return table(lines, text=("title", "token"), real=("share", "effect", "low", "high"))


def fig10(frame: pl.DataFrame) -> Figure:
    """Fig 10: attention per token as its difference from uniform attention, and permutation importance beneath it."""
    fig, columns = by_column(with_missing(frame, "effect", "low", "high", "n"), 2, 1.5, ratios=(3, 1))
    shown = [token for token in TOKENS if token in set(frame["token"])]
    for title, (above, below), part in columns:
        tokens = part.filter(pl.col("share").is_not_null()).to_dicts()
        if not tokens:
            empty(above, title, NO_ATTENTION)
            below.set_axis_off()
            continue
        uniform = 1 / len(tokens)
        for line in tokens:
            # Percentage points; an aggregate kept before intervals were has the share alone.
            known = {"n": 0} | {k: 100 * (line[k] - uniform) for k in ("low", "high") if line[k] is not None}
            gap = {"low": None, "high": None} | known | {"effect": 100 * (line["share"] - uniform)}
            _dot(above, shown.index(line["token"]), gap | {"n": line["n"] or 0}, TOKENS[line["token"]])
        both = 100 * sum(line["share"] for line in tokens[:2])
        above.sharex(next(axes[0] for _, axes, _ in columns if axes[0].lines))
        headed(above, title, f"explanations {both:.1f}%, uniform {200 * uniform:.1f}%")
        above.set_yticks(range(len(shown)), shown)
        permuted = part.filter(token=PERMUTED).to_dicts()
        for line in permuted:
            _dot(below, 0, line, BASELINE)
        if not permuted:
            below.text(0.5, 0.5, "not kept by this run", ha="center", va="center", transform=below.transAxes)
        below.set_yticks([0], [plain(PERMUTED, 12)])
        for ax in (above, below):
            ax.axvline(0, color="black", lw=0.6)
            ax.margins(x=0.25)
            ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.set_ylim((len(shown) if ax is above else 1) - 0.5, -0.5)
            ax.tick_params(labelleft=ax in columns[0][1])
        at_least_wide(below.xaxis, MARGIN_PERCENT * VIEW)
    middle = columns[(len(columns) - 1) // 2][1]
    middle[0].set_xlabel("attention minus uniform, percentage points")
    middle[1].set_xlabel("change of AUC, %")
    return fig


def _dot(ax: Axes, y: float, line: Line, colour: str) -> None:
    """An estimate with its interval at height `y`."""
    ax.errorbar([line["effect"]], [y], xerr=whiskers(line), fmt="o", capsize=2, color=colour)


def attention_map(frame: pl.DataFrame) -> Figure:
    """Attention of each token (line) on every token (column): above of one market record, below the mean of all.

    Of real data alone there is the mean alone.
    """
    shown = [what for what in MAPS if what in set(frame["what"])] or list(MAPS[1:])
    fig, columns = by_column(frame, len(shown), 2.3)
    for title, axes, part in columns:
        for ax, what in zip(axes, shown, strict=True):
            own = part.filter(what=what)
            if own.is_empty():
                empty(ax, title, "records of real data are not shown" if what == MAPS[0] else NO_ATTENTION)
                continue
            names = own["to"].unique(maintain_order=True).to_list()
            shares = own["share"].to_numpy().reshape(len(names), -1)
            words = [
                [f"{share:.2f}".removeprefix("0") for share in line] for line in shares
            ]  # six fit beside each other
            uniform = 1 / len(names)
            sns.heatmap(
                shares, ax=ax, vmin=uniform - 0.1, vmax=uniform + 0.1, cmap="PRGn", annot=np.array(words), fmt="",
                annot_kws={"fontsize": SMALL}, cbar=False, square=True, xticklabels=names, yticklabels=names,
            )  # fmt: skip
            ax.tick_params(axis="y", rotation=0)
            ax.tick_params(axis="x", rotation=90)
            headed(ax, title if ax is axes[0] else "", what)
    common_labels(columns, "attention on", ["attention of"] * len(shown))
    return fig
