"""Figures the paper does not have: knowledge dial, controls, cold start, learning curves.

Each has two halves: ``collect_*`` reduces results to a small table, and the other draws that table alone.
"""

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
from lrrecsys_core.report.evidence import Evidence, Panel
from lrrecsys_core.report.style import (
    OTHER,
    OURS,
    POSITIVE,
    Line,
    by_column,
    empty,
    panels,
    plain,
    points,
    table,
    titled,
    told,
    whiskers,
)  # fmt: skip

SHOWN = ("RMSE", "AUC")
ESTIMATE = ("effect", "low", "high")
COLD = 0.01  # of the test records, for a group of their own
LEVELS = {r.TRUE_ATTRIBUTES: ("--", "S* as input"), r.ALL_ATTRIBUTES: (":", "all attributes")}
CONTROLS = {
    r.LR: "LR-Recsys", r.SHUFFLE_ITEM: "shuffled in item", r.SHUFFLE_USER: "shuffled in user",
    r.SHUFFLE_ALL: "shuffled", r.SPURIOUS: "spurious only", r.shifted(r.SPURIOUS): "spurious, shifted",
}  # fmt: skip


def collect_dial(sources: Sequence[Evidence]) -> pl.DataFrame:
    """Improvement over Ablation 1 by the share of S* that the reasoner knows, and of the attributes as inputs."""
    lines: list[Line] = []
    for source in filter(lambda source: source.simulated, sources):
        for metric in SHOWN:
            rows = [(name, share) for share, name in r.DIAL.items()] + [(name, None) for name in LEVELS]
            lines += [
                {"title": titled(source), "metric": metric, "row": name, "share": share}
                | told(source.improvement(metric, name, r.ABLATION1))
                for name, share in rows
            ]
    return table(lines, ("title", "metric", "row"), ("share", *ESTIMATE))


def dial(frame: pl.DataFrame) -> Figure:
    """Improvement over Ablation 1 in percent against the share of S* the reasoner knows, with 95% intervals."""
    if frame.is_empty():
        fig, ((ax,),) = panels(1, 1)
        empty(ax, "Knowledge of the reasoner", "only simulated markets have a known S*")
        return fig
    fig, columns = by_column(frame, 2, 3.2, 2.5)
    for title, axes, part in columns:
        for ax, metric in zip(axes, SHOWN, strict=True):
            own = part.filter(metric=metric)
            found = own.filter(pl.col("share").is_not_null())
            if found["effect"].null_count() == found.height:
                empty(ax, title)
                continue
            points(ax, found["share"].to_list(), found.to_dicts(), OURS, "reasoner")
            for name, (style, label) in LEVELS.items():
                for level in own.filter(row=name)["effect"].drop_nulls():
                    ax.axhline(level, color=OTHER, ls=style, lw=1.2, label=label)
            ax.axhline(0, color="black", lw=0.6)
            ax.set_title(plain(title))
            ax.set_ylabel(f"% better than\nAblation 1 ({metric})")
            ax.set_xticks(list(r.DIAL))
        axes[1].set_xlabel("share of S* known (%)")
    labelled = [ax for line in zip(*(axes for _, axes, _ in columns), strict=True) for ax in line]
    for ax in [ax for ax in labelled if ax.get_legend_handles_labels()[0]][:1]:
        ax.legend(fontsize=6.5)
    return fig


def collect_controls(sources: Sequence[Evidence], null: Sequence[Evidence]) -> pl.DataFrame:
    """Improvement over Ablation 1 of LR-Recsys, its controls and the null market, with what the title has to add."""
    markets = {e.dataset.removeprefix(r.NULL_PREFIX): e for e in null}
    lines: list[Line] = []
    for source in sources:
        for metric in SHOWN:
            common: Line = {"title": titled(source), "metric": metric, "small_print": _small_print(source, metric)}
            shown = {word: source.improvement(metric, name, r.ABLATION1) for name, word in CONTROLS.items()}
            if source.dataset in markets:
                shown["null market"] = markets[source.dataset].improvement(metric, r.LR, r.ABLATION1)
            known = [common | {"row": word} | told(e) for word, e in shown.items() if told(e)]
            lines += known or [common]
    return table(lines, ("title", "metric", "row", "small_print"), ESTIMATE)


def _small_print(source: Evidence, metric: str) -> str:
    """Whose explanations are read, and whether what they are compared with is the biases alone."""
    words = [f"explanations: {source.explainer(r.LR)}"] if source.explainer(r.LR) else []
    for row in (r.ABLATION1, r.LR):
        silent, n = source.silent(row, metric)
        if silent:
            part = "bias-only" if silent == n else f"{silent} of {n} networks bias-only"
            words.append(f"{row}: {part}")
    return "\n".join(words)


def controls(frame: pl.DataFrame) -> Figure:
    """Improvement over Ablation 1 of LR-Recsys, its shuffled controls and the null markets, with 95% intervals."""
    fig, columns = by_column(frame, 2, 3.3, 2.4)
    for title, axes, part in columns:
        for ax, metric in zip(axes, SHOWN, strict=True):
            own = part.filter(metric=metric)
            known = own.filter(pl.col("row").is_not_null()).to_dicts()
            if not known:
                empty(ax, title)
                continue
            for y, line in enumerate(known):
                colour = OURS if line["row"] == "LR-Recsys" else OTHER
                ax.errorbar([line["effect"]], [y], xerr=whiskers(line), fmt="o", ms=4, capsize=2.5, color=colour)
            ax.set_yticks(range(len(known)), [line["row"] for line in known], fontsize=7)
            ax.invert_yaxis()
            ax.axvline(0, color="black", lw=0.6)
            ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.set_title(plain(title))
            _beneath(ax, own["small_print"][0])
            ax.set_xlabel(f"% better than Ablation 1 ({metric})")
    return fig


def _beneath(ax: Axes, small_print: str | None) -> None:
    """Small print between a title and its panel."""
    if small_print:
        text = "\n".join(plain(line, 62) for line in small_print.splitlines())
        ax.set_title(ax.get_title(), pad=6 + 8 * (text.count("\n") + 1))
        ax.annotate(text, (0.5, 1), (0, 3), "axes fraction", "offset points", ha="center", va="bottom", fontsize=6)


def collect_cold_start(sources: Sequence[Evidence]) -> pl.DataFrame:
    """Squared-error gain over the best baseline and over Ablation 1 in groups of equal activity of user and item."""
    lines: list[Line] = []
    for source in sources:
        best = source.best_baseline("RMSE")
        references = [name for name in (best, r.ABLATION1) if name]
        found = source.panels("regression", [r.LR, *references])
        for side in ("user", "item"):
            count = f"{side}_count"
            usable = [p for p in found if count in p.records.columns and p.records[count].null_count() == 0]
            usable = [p for p in usable if r.LR in p.predictions and any(n in p.predictions for n in references)]
            common: Line = {"title": titled(source), "side": side}
            own = _by_activity(source, usable, count, references) if usable else [{}]
            lines += [common | line for line in own]
    return table(lines, ("title", "side", "reference", "records"), ESTIMATE, ("group",))


def _by_activity(source: Evidence, found: Sequence[Panel], count: str, references: Sequence[str]) -> list[Line]:
    activity = np.concatenate([panel.column(count) for panel in found])
    edges = _edges(activity)
    lines: list[Line] = []
    for reference in references:
        for group, label in enumerate(_ranges(activity, edges)):
            parts = []
            for panel in found:
                inside = np.searchsorted(edges, panel.column(count), side="left") == group
                if reference in panel.predictions and inside.any():
                    gain = panel.squared_error_gain(r.LR, reference)[inside]
                    parts.append((Panel(panel.records.filter(pl.Series(inside)), {}), gain))
            estimate = source.mean([p for p, _ in parts], [g for _, g in parts]) if parts else None
            lines.append({"reference": reference, "group": group, "records": label} | told(estimate))
    return lines


def _edges(activity: np.ndarray) -> np.ndarray:
    """Upper ends of all groups of about equal size but the last, none of them empty.

    Quantiles may coincide where many share one count, so there may be fewer than five groups. Users or items without
    training records are a group of their own if they have one record in a hundred: they alone are cold.
    """
    cold = [0.0] if np.mean(activity == 0) >= COLD else []
    edges = np.unique([*cold, *np.quantile(activity, [0.2, 0.4, 0.6, 0.8], method="lower")])
    return edges[edges < activity.max()]


def _ranges(activity: np.ndarray, edges: np.ndarray) -> list[str]:
    group = np.searchsorted(edges, activity, side="left")
    ends = [(int(activity[group == k].min()), int(activity[group == k].max())) for k in range(edges.size + 1)]
    return [str(low) if low == high else f"{low}-{high}" for low, high in ends]


def cold_start(frame: pl.DataFrame) -> Figure:
    """Squared-error gain of LR-Recsys by activity of user and item, over the best baseline and over Ablation 1."""
    fig, columns = by_column(frame, 2, 3.3, 2.5)
    for title, axes, part in columns:
        for ax, side in zip(axes, ("user", "item"), strict=True):
            own = part.filter(pl.col("side") == side, pl.col("group").is_not_null())
            if own.is_empty():
                empty(ax, title, "not run: needs LR-Recsys, a reference and the activity of users and items")
                continue
            groups = own.group_by("reference", maintain_order=True)
            for shift, (((reference,), lines), colour) in enumerate(zip(groups, (OURS, OTHER), strict=False)):
                at = [k + 0.12 * shift for k in lines["group"]]
                points(ax, at, lines.to_dicts(), colour, plain(f"over {reference}"))
            labels = own.unique("group").sort("group")
            ax.set_xticks(labels["group"].to_list(), [str(text) for text in labels["records"]], fontsize=7)
            ax.axhline(0, color="black", lw=0.6)
            ax.set(title=plain(title), ylabel="squared-error gain", xlabel=f"training records of the {side}")
            _room_for_legend(ax, 0.3)
            ax.legend(fontsize=6.5, loc="upper right")
    return fig


def _room_for_legend(ax: Axes, share: float) -> None:
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top + share * (top - bottom))


def collect_learning(sources: Sequence[Evidence]) -> pl.DataFrame:
    """Every model's figure by share of the training data; all of a panel rest on the n replicates its rows share."""
    lines: list[Line] = []
    for source in sources:
        for metric in m.METRICS:
            best = source.best_baseline(metric)
            models = (*source.baselines, r.BIASES, r.LR)
            rows = {(name, p): r.at_fraction(name, p) if p < 100 else name for name in models for p in r.FRACTIONS}
            present = {key: row for key, row in rows.items() if source.values(row, metric)}
            shared = dict(zip(present, source.paired(metric, *present.values()), strict=True))
            roles = {r.LR: "ours", r.BIASES: "biases"} | ({best: "best"} if best else {})
            lines += [
                {"title": titled(source), "metric": metric, "model": name, "role": roles.get(name, "other")}
                | {"percent": p}
                | told(stats.paired_t(shared[name, p]))
                for name, p in sorted(shared, key=lambda key: (models.index(key[0]), key[1]))
            ] or [{"title": titled(source), "metric": metric}]
    return table(lines, ("title", "metric", "model", "role"), ESTIMATE, ("percent",))


def learning(frame: pl.DataFrame) -> Figure:
    """Table 3 as curves: every model's figure against the share of the training data, same test set.

    A best baseline that was run on all the data only is a level: a line across the panel.
    """
    fig, columns = by_column(frame, len(m.METRICS), 3.2, 2.3)
    percents = sorted(r.FRACTIONS)
    for title, axes, part in columns:
        for ax, metric in zip(axes, m.METRICS, strict=True):
            own = part.filter(pl.col("metric") == metric, pl.col("effect").is_not_null())
            if own.is_empty():
                empty(ax, title)
                continue
            for (name, role), lines in own.group_by("model", "role", maintain_order=True):
                _curve(ax, str(name), str(role), lines)
            ax.set(title=plain(title), xscale="log", ylabel=metric)
            ax.set_xticks(percents, [str(p) for p in percents])
            ax.minorticks_off()
            _room_for_legend(ax, 0.6)
            handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
            ax.legend(handles.values(), handles.keys(), fontsize=6, loc="upper center")
        axes[-1].set_xlabel("% of the training data")
    return fig


def _curve(ax: Axes, name: str, role: str, lines: pl.DataFrame) -> None:
    x, y, n = lines["percent"].to_list(), lines["effect"].to_list(), lines["n"][0]
    if role == "ours" and n > 2:
        points(ax, x, lines.to_dicts(), OURS, f"LR-Recsys, n = {n}")
    elif role == "ours":  # an interval from two replicates would fill the panel
        ax.plot(x, y, "o-", lw=1.4, ms=4, color=OURS, label=f"LR-Recsys, n = {n}")
    elif role == "biases":
        ax.plot(x, y, "o:", lw=1.4, ms=2.5, color="black", label=f"{name}, n = {n}")
    elif role == "best":
        label = plain(f"{name} (best on validation), n = {n}")
        if x == [100]:
            ax.axhline(y[0], ls="--", lw=1.4, color=POSITIVE, label=label)
        else:
            ax.plot(x, y, "o-", lw=1.4, ms=3, color=POSITIVE, label=label)
    else:
        ax.plot(x, y, "o-", lw=0.8, ms=2.5, color=OTHER, alpha=0.6, label="other baselines")
