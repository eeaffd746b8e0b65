"""Figures the paper does not have: knowledge dial, controls, cold start, learning curves, keywords."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report.evidence import Evidence, Panel, null_markets, sources
from lrrecsys_core.report.style import NEGATIVE, OTHER, OURS, POSITIVE, empty, panels, plain, titled, whiskers


def _bars(
    ax: Axes, x: Sequence[float], estimates: Sequence[stats.Estimate | None], colour: str, label: str = ""
) -> None:
    """Points with their 95% intervals, joined by a line."""
    known = [(at, e) for at, e in zip(x, estimates, strict=True) if e is not None and np.isfinite(e.effect)]
    if not known:
        return
    at, effect = [k for k, _ in known], [e.effect for _, e in known]
    reach = np.hstack([whiskers(e) for _, e in known])
    ax.errorbar(at, effect, yerr=reach, fmt="o-", ms=4, lw=1.2, capsize=2.5, color=colour, label=label or None)


def dial(sources: Sequence[Evidence]) -> Figure:
    """Improvement over Ablation 1 in percent against the share of S* the reasoner knows, with 95% intervals."""
    markets = [s for s in sources if s.simulated]
    fig, axes = panels(2, max(len(markets), 1), 3.2, 2.5)
    if not markets:
        empty(axes[0][0], "Knowledge of the reasoner", "only simulated markets have a known S*")
        axes[1][0].set_axis_off()
    for column, source in enumerate(markets):
        for ax, metric in ((axes[0][column], "RMSE"), (axes[1][column], "AUC")):
            found = [source.improvement(metric, name, r.ABLATION1) for name in r.DIAL.values()]
            if all(e is None for e in found):
                empty(ax, titled(source))
                continue
            _bars(ax, list(r.DIAL), found, OURS, "reasoner")
            for name, style, label in (
                (r.TRUE_ATTRIBUTES, "--", "S* as input"),
                (r.ALL_ATTRIBUTES, ":", "all attributes"),
            ):
                reference = source.improvement(metric, name, r.ABLATION1)
                if reference is not None:
                    ax.axhline(reference.effect, color=OTHER, ls=style, lw=1.2, label=label)
            ax.axhline(0, color="black", lw=0.6)
            ax.set_title(plain(titled(source)))
            ax.set_ylabel(f"% better than\nAblation 1 ({metric})")
            ax.set_xticks(list(r.DIAL))
        axes[1][column].set_xlabel("share of S* known (%)")
    _first_legend(axes)
    return fig


def _first_legend(axes: Sequence[Sequence[Axes]]) -> None:
    for line in axes:
        for ax in line:
            if ax.get_legend_handles_labels()[0]:
                ax.legend(fontsize=6.5)
                return


def controls(metrics: pl.DataFrame, predictions: pl.LazyFrame | pl.DataFrame | None = None) -> Figure:
    """Improvement over Ablation 1 of LR-Recsys, its shuffled controls and the null markets, with 95% intervals."""
    found = sources(metrics, predictions)
    null = {e.dataset.removeprefix(r.NULL_PREFIX): e for e in null_markets(metrics, predictions)}
    fig, axes = panels(2, max(len(found), 1), 3.3, 2.4)
    labels = {
        r.LR: "LR-Recsys", r.SHUFFLE_ITEM: "shuffled in item", r.SHUFFLE_USER: "shuffled in user",
        r.SHUFFLE_ALL: "shuffled", r.SPURIOUS: "spurious only", r.shifted(r.SPURIOUS): "spurious, shifted",
    }  # fmt: skip
    for column, source in enumerate(found):
        for ax, metric in ((axes[0][column], "RMSE"), (axes[1][column], "AUC")):
            shown = {word: source.improvement(metric, name, r.ABLATION1) for name, word in labels.items()}
            if source.dataset in null:
                shown["null market"] = null[source.dataset].improvement(metric, r.LR, r.ABLATION1)
            known = {word: e for word, e in shown.items() if e is not None}
            if not known:
                empty(ax, titled(source))
                continue
            for y, (word, e) in enumerate(known.items()):
                ax.errorbar(
                    [e.effect],
                    [y],
                    xerr=whiskers(e),
                    fmt="o",
                    ms=4,
                    capsize=2.5,
                    color=OURS if word == "LR-Recsys" else OTHER,
                )
            ax.set_yticks(range(len(known)), list(known), fontsize=7)
            ax.invert_yaxis()
            ax.axvline(0, color="black", lw=0.6)
            ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.set_title(plain(titled(source)))
            _small_print(ax, source, metric)
            ax.set_xlabel(f"% better than Ablation 1 ({metric})")
    return fig


def _small_print(ax: Axes, source: Evidence, metric: str) -> None:
    """Beneath a title: whose explanations are read, and whether what they are compared with is the biases alone."""
    words = [f"explanations: {source.explainer(r.LR)}"] if source.explainer(r.LR) else []
    for row in (r.ABLATION1, r.LR):
        silent, n = source.silent(row, metric)
        if silent:
            part = "silent, the biases alone" if silent == n else f"{silent} of {n} networks silent"
            words.append(f"{row}: {part}")
    if words:
        text = "\n".join(plain(line, 62) for line in words)
        ax.set_title(ax.get_title(), pad=6 + 8 * (text.count("\n") + 1))
        ax.annotate(text, (0.5, 1), (0, 3), "axes fraction", "offset points", ha="center", va="bottom", fontsize=6)


def cold_start(sources: Sequence[Evidence]) -> Figure:
    """Squared-error gain of LR-Recsys by activity of user and item, over the best baseline and over Ablation 1."""
    fig, axes = panels(2, max(len(sources), 1), 3.3, 2.5)
    for column, source in enumerate(sources):
        best = source.best_baseline("RMSE")
        references = [name for name in (best, r.ABLATION1) if name]
        found = source.panels("regression", [r.LR, *references])
        for ax, side in ((axes[0][column], "user"), (axes[1][column], "item")):
            count = f"{side}_count"
            usable = [p for p in found if count in p.records.columns and p.records[count].null_count() == 0]
            usable = [p for p in usable if r.LR in p.predictions and any(n in p.predictions for n in references)]
            if not usable:
                empty(ax, titled(source), "not run: needs LR-Recsys, a reference and the activity of users and items")
                continue
            _by_activity(ax, source, usable, count, references)
            ax.set_title(plain(titled(source)))
            ax.set_xlabel(f"training records of the {side}")
            bottom, top = ax.get_ylim()
            ax.set_ylim(bottom, top + 0.3 * (top - bottom))
            ax.legend(fontsize=6.5, loc="upper right")
    return fig


def _by_activity(ax: Axes, source: Evidence, found: Sequence[Panel], count: str, references: Sequence[str]) -> None:
    activity = np.concatenate([panel.column(count) for panel in found])
    edges = _edges(activity)
    labels = _ranges(activity, edges)
    for shift, (reference, colour) in enumerate(zip(references, (OURS, OTHER), strict=False)):
        estimates = []
        for group in range(edges.size + 1):
            parts = []
            for panel in found:
                inside = np.searchsorted(edges, panel.column(count), side="left") == group
                if reference in panel.predictions and inside.any():
                    gain = panel.squared_error_gain(r.LR, reference)[inside]
                    parts.append((Panel(panel.records.filter(pl.Series(inside)), {}), gain))
            estimates.append(source.mean([p for p, _ in parts], [g for _, g in parts]) if parts else None)
        _bars(ax, [k + 0.12 * shift for k in range(edges.size + 1)], estimates, colour, plain(f"over {reference}"))
    ax.set_xticks(range(edges.size + 1), labels, fontsize=7)
    ax.axhline(0, color="black", lw=0.6)
    ax.set_ylabel("squared-error gain")


def _edges(activity: np.ndarray) -> np.ndarray:
    """Upper ends of all groups of about equal size but the last, none of them empty.

    Quantiles may coincide where many share one count, so there may be fewer than five groups.
    """
    edges = np.unique(np.quantile(activity, [0.2, 0.4, 0.6, 0.8], method="lower"))
    return edges[edges < activity.max()]


def _ranges(activity: np.ndarray, edges: np.ndarray) -> list[str]:
    group = np.searchsorted(edges, activity, side="left")
    ends = [(int(activity[group == k].min()), int(activity[group == k].max())) for k in range(edges.size + 1)]
    return [str(low) if low == high else f"{low}-{high}" for low, high in ends]


def _less_and_less(name: str) -> list[str]:
    """The rows of a model from the smallest share of the training data to all of it."""
    return [r.at_fraction(name, p) if p < 100 else name for p in sorted(r.FRACTIONS)]


def learning(sources: Sequence[Evidence]) -> Figure:
    """Table 3 as curves: every model's figure against the share of the training data, same test set.

    All points of a panel rest on the n replicates that all its rows have, or the models would differ by their markets.
    A best baseline that was run on all the data only is a level: a line across the panel.
    """
    fig, axes = panels(len(m.METRICS), max(len(sources), 1), 3.2, 2.3)
    percents = sorted(r.FRACTIONS)
    for column, source in enumerate(sources):
        for line, metric in zip(axes, m.METRICS, strict=True):
            ax = line[column]
            best = source.best_baseline(metric)
            models = (*source.baselines, r.BIASES, r.LR)
            rows = [row for name in models for row in _less_and_less(name)]
            present = [row for row in rows if source.values(row, metric)]
            shared = dict(zip(present, source.paired(metric, *present), strict=True))
            n = len(shared[present[0]]) if present else 0
            drawn, others = False, "other baselines"
            for name in models:
                estimates = [stats.paired_t(shared[row]) if row in shared else None for row in _less_and_less(name)]
                if not any(estimates):
                    continue
                drawn = True
                if name == r.LR and n > 2:
                    _bars(ax, percents, estimates, OURS, f"LR-Recsys, n = {n}")
                else:
                    points = [(p, e.effect) for p, e in zip(percents, estimates, strict=True) if e is not None]
                    x, y = zip(*points, strict=True)
                    if name == r.LR:  # an interval from two replicates would fill the panel
                        ax.plot(x, y, "o-", lw=1.4, ms=4, color=OURS, label=f"LR-Recsys, n = {n}")
                    elif name == r.BIASES:
                        ax.plot(x, y, "o:", lw=1.4, ms=2.5, color="black", label=f"{name}, n = {n}")
                    elif name == best:
                        label = plain(f"{name} (best on validation), n = {n}")
                        if x == (100,):
                            ax.axhline(y[0], ls="--", lw=1.4, color=POSITIVE, label=label)
                        else:
                            ax.plot(x, y, "o-", lw=1.4, ms=3, color=POSITIVE, label=label)
                    else:
                        ax.plot(x, y, "o-", lw=0.8, ms=2.5, color=OTHER, alpha=0.6, label=others)
                        others = ""  # once in the legend
            if not drawn:
                empty(ax, titled(source))
                continue
            ax.set_title(plain(titled(source)))
            ax.set_xscale("log")
            ax.set_xticks(percents, [str(p) for p in percents])
            ax.minorticks_off()
            ax.set_ylabel(metric)
            bottom, top = ax.get_ylim()
            ax.set_ylim(bottom, top + 0.6 * (top - bottom))  # room for the legend
            ax.legend(fontsize=6, loc="upper center")
    for ax in axes[-1]:
        ax.set_xlabel("% of the training data")
    return fig


def keywords(
    positive: Sequence[tuple[str, int]],
    negative: Sequence[tuple[str, int]],
    title: str,
    *,
    explainer: str = "",
    notes: Sequence[str] = ("", ""),
    left_out: str = "",
) -> Figure:
    """Top words of all positive and all negative explanations of one item (Sec 5.5.3).

    Parameters
    ----------
    positive, negative : (word, count), most frequent first.
    title : the item's name.
    explainer : who wrote the explanations.
    notes : what to say beneath the positive and the negative words.
    left_out : which words are not shown.
    """
    fig, (axes,) = panels(1, 2, 3.6, 3.0)
    for ax, words, colour, label, note in zip(
        axes, (positive, negative), (POSITIVE, NEGATIVE), ("positive", "negative"), notes, strict=True
    ):
        words = [(word, count) for word, count in words if count > 0]
        if not words:
            empty(ax, f"{label} explanations", "no explanations")
            continue
        ax.barh([plain(word) for word, _ in words], [count for _, count in words], color=colour)
        ax.invert_yaxis()
        ax.grid(axis="y", visible=False)
        ax.set_title(f"{label} explanations")
        ax.set_xlabel("texts with the word" + (f"\n({plain(note)})" if note else ""))
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    fig.suptitle(plain(title + (f" ({explainer})" if explainer else ""), 80), fontsize=10)
    if left_out:
        fig.supxlabel(plain(f"Left out: {left_out}", 120), fontsize=7, color="#555555")
    return fig
