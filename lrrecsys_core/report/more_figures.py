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
from scipy.stats import t as student

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report.evidence import Evidence, Panel
from lrrecsys_core.report.formats import named
from lrrecsys_core.report.groups import edges_of, grouped, ranges
from lrrecsys_core.report.scale import MARGIN_PERCENT, VIEW
from lrrecsys_core.report.style import (
    BASELINE,
    OTHER,
    OURS,
    SMALLEST_SAMPLE,
    Line,
    at_least_wide,
    by_column,
    common_labels,
    empty,
    headed,
    legend_below,
    panels,
    plain,
    points,
    table,
    titled,
    told,
    whiskers,
)  # fmt: skip

SHOWN = ("RMSE", "AUC")
ROLES = {  # label, colour, line and its width
    "other": ("other baselines", "#c4c4c4", "-", 0.8),
    "best": ("best baseline on validation", BASELINE, "o-", 1.2),
    "biases": (r.BIASES, BASELINE, "o:", 1.2),
    "ours": ("LR-Recsys", OURS, "o-", 1.4),
}
ESTIMATE = ("effect", "low", "high")
OUTCOMES = {"regression": "target", "classification": "liked"}
BETTER = [f"% better than\nAblation 1 ({metric})" for metric in SHOWN]
# Rows without texts, drawn right of the shares: place, marker, label.
INPUTS = {
    r.TRUE_ATTRIBUTES: (115, "s", "S* as input, no texts"), r.ALL_ATTRIBUTES: (125, "D", "all attributes, no texts"),
}  # fmt: skip
CONTROLS = {
    r.LR: "LR-Recsys", r.SHUFFLE_ITEM: "shuffled in item", r.SHUFFLE_USER: "shuffled in user",
    r.SHUFFLE_ALL: "shuffled", r.SPURIOUS: "spurious only", r.shifted(r.SPURIOUS): "spurious, shifted",
}  # fmt: skip


def collect_dial(sources: Sequence[Evidence]) -> pl.DataFrame:
    """Improvement over Ablation 1 by the share of S* that the reasoner knows, and of the attributes as inputs."""
    lines: list[Line] = []
    for source in filter(lambda source: source.simulated, sources):
        for metric in SHOWN:
            rows = [(name, share) for share, name in r.DIAL.items()] + [(name, None) for name in INPUTS]
            lines += [
                {"title": titled(source), "metric": metric, "row": name, "share": share}
                | told(source.improvement(metric, name, r.ABLATION1))
                for name, share in rows
            ]
    return table(lines, ("title", "metric", "row"), ("share", *ESTIMATE))


def dial(frame: pl.DataFrame) -> Figure:
    """Improvement over Ablation 1 in percent against the share of S* the reasoner knows, and beside it that of two
    networks that read attributes in place of texts, all with 95% intervals."""
    if frame.is_empty():
        fig, ((ax,),) = panels(1, 1)
        empty(ax, "Knowledge of the reasoner", "only simulated markets have a known S*")
        return fig
    fig, columns = by_column(frame, 2)
    for title, axes, part in columns:
        for ax, metric in zip(axes, SHOWN, strict=True):
            own = part.filter(metric=metric)
            found = own.filter(pl.col("share").is_not_null())
            if found["effect"].null_count() == found.height:
                empty(ax, title)
                continue
            points(ax, found["share"].to_list(), found.to_dicts(), OURS, "reasoner")
            for name, (at, marker, label) in INPUTS.items():
                points(ax, [at], own.filter(row=name).to_dicts(), OTHER, plain(label), marker=marker)
            ax.axhline(0, color="black", lw=0.6)
            ax.set_title(plain(title) if ax is axes[0] else "")
            ax.set_xticks(list(r.DIAL))
    common_labels(columns, plain("share of S* known (%)"), BETTER)
    legend_below(fig, [ax for _, axes, _ in columns for ax in axes])
    return fig


def collect_controls(sources: Sequence[Evidence], null: Sequence[Evidence]) -> pl.DataFrame:
    """Improvement over Ablation 1 of LR-Recsys, its controls and the null market, with what the caption has to add."""
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


def controls(frame: pl.DataFrame) -> tuple[Figure, str]:
    """Improvement over Ablation 1 of LR-Recsys, its shuffled controls and the null markets, with 95% intervals."""
    fig, columns = by_column(frame, 2, 1.9)
    places = [word for word in (*CONTROLS.values(), "null market") if word in set(frame["row"])]
    for title, axes, part in columns:
        for ax, metric in zip(axes, SHOWN, strict=True):
            known = part.filter(pl.col("row").is_not_null(), metric=metric).to_dicts()
            if not known:
                empty(ax, title)
                continue
            for line in known:
                colour, y = OURS if line["row"] == "LR-Recsys" else OTHER, places.index(line["row"])
                ax.errorbar([line["effect"]], [y], xerr=whiskers(line), fmt="o", capsize=2, color=colour)
            ax.set_yticks(range(len(places)), places)
            ax.set_ylim(len(places) - 0.5, -0.5)
            ax.tick_params(labelleft=title == columns[0][0])
            ax.axvline(0, color="black", lw=0.6)
            ax.xaxis.set_major_locator(MaxNLocator(4))
            at_least_wide(ax.xaxis, MARGIN_PERCENT * VIEW)
            headed(ax, title if ax is axes[0] else "")
    for ax, metric in zip(columns[(len(columns) - 1) // 2][1], SHOWN, strict=True):
        ax.set_xlabel(f"% better than Ablation 1 ({metric})")
    return fig, _in_words(frame)


def _in_words(frame: pl.DataFrame) -> str:
    """The small print of all panels as sentences for the caption; what several share is said once."""
    said: dict[str, dict[str, None]] = {}
    for title, metric, small in frame.select("title", "metric", "small_print").unique(maintain_order=True).rows():
        for line in (small or "").splitlines():
            # who explains is the same for both metrics
            place = named(title) if line.startswith("explanations") else f"{named(title)}, {metric}"
            said.setdefault(line, {})[place] = None
    return " ".join(f"{line[0].upper()}{line[1:]}, in {'; '.join(places)}." for line, places in said.items())


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
    activity = [panel.column(count) for panel in found]
    edges = edges_of(np.concatenate(activity))
    labels = ranges(np.concatenate(activity), edges)
    lines: list[Line] = []
    for reference in references:
        usable = [(p, x) for p, x in zip(found, activity, strict=True) if reference in p.predictions]
        gains = [p.squared_error_gain(r.LR, reference) for p, _ in usable]
        estimates = grouped(source, [p for p, _ in usable], edges, [x for _, x in usable], gains)
        lines += [
            {"reference": reference, "group": group, "records": label} | told(estimate)
            for group, (label, estimate) in enumerate(zip(labels, estimates, strict=True))
        ]
    return lines


def cold_start(frame: pl.DataFrame) -> Figure:
    """Squared-error gain of LR-Recsys by activity of user and item, over the best baseline and over Ablation 1."""
    fig, columns = by_column(frame, 2)
    for title, axes, part in columns:
        for ax, side in zip(axes, ("user", "item"), strict=True):
            own = part.filter(pl.col("side") == side, pl.col("group").is_not_null())
            if own.is_empty():
                empty(ax, title, "not run: needs LR-Recsys, a reference and the activity of users and items")
                continue
            for shift, ((reference,), lines) in enumerate(own.group_by("reference", maintain_order=True)):
                at = [k + 0.12 * shift for k in lines["group"]]
                colour = OTHER if reference == r.ABLATION1 else BASELINE
                points(ax, at, lines.to_dicts(), colour, plain(f"over {reference}"))
            labels = own.unique("group").sort("group")
            ax.set_xticks(labels["group"].to_list(), [str(text) for text in labels["records"]], rotation=30)
            ax.axhline(0, color="black", lw=0.6)
            ax.set_title(plain(title) if side == "user" else "")
            if title == columns[(len(columns) - 1) // 2][0]:
                ax.set_xlabel(f"training records of the {side}")
    common_labels(columns, columns[(len(columns) - 1) // 2][1][1].get_xlabel(), ["squared-error gain"] * 2)
    legend_below(fig, [ax for _, axes, _ in columns for ax in axes])
    return fig


def collect_reliability(sources: Sequence[Evidence]) -> pl.DataFrame:
    """Mean prediction of LR-Recsys and mean outcome in groups of equal size by prediction, for both tasks."""
    lines: list[Line] = []
    for source in sources:
        for task, outcome in OUTCOMES.items():
            found = [p for p in source.panels(task, [r.LR]) if r.LR in p.predictions]
            common: Line = {"title": titled(source), "task": task}
            if not found:
                lines.append(common)
                continue
            x, y = [p.predictions[r.LR] for p in found], [p.column(outcome) for p in found]
            edges = edges_of(np.concatenate(x), 10)
            predicted, true = (grouped(source, found, edges, x, values) for values in (x, y))
            lines += [
                common | {"predicted": at.effect} | told(estimate)
                for at, estimate in zip(predicted, true, strict=True)
                if at is not None
            ]
    return table(lines, ("title", "task"), ("predicted", *ESTIMATE))


def reliability(frame: pl.DataFrame) -> Figure:
    """Predicted against true: above ratings on [0, 1], below the probability of a high rating; on the line is right."""
    fig, columns = by_column(frame, 2)
    for title, axes, part in columns:
        for ax, task in zip(axes, OUTCOMES, strict=True):
            known = part.filter(pl.col("task") == task, pl.col("effect").is_not_null())
            if known.is_empty():
                empty(ax, title)
                continue
            ends = known["predicted"].to_numpy()[[0, -1]]
            ax.plot(ends, ends, "--", color="black", lw=0.8, label="as predicted")
            points(ax, known["predicted"].to_list(), known.to_dicts(), OURS, "LR-Recsys")
            ax.set_title(plain(title) if ax is axes[0] else "")
    common_labels(columns, "predicted", ["rating on [0, 1]", "share rated high"])
    legend_below(fig, [ax for _, axes, _ in columns for ax in axes])
    return fig


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
    fig, columns = by_column(frame, len(m.METRICS), 1.8)
    percents = sorted(r.FRACTIONS)
    for title, axes, part in columns:
        for ax, metric in zip(axes, m.METRICS, strict=True):
            own = part.filter(pl.col("metric") == metric, pl.col("effect").is_not_null())
            if own.is_empty():
                empty(ax, title)
                continue
            for (role,), lines in own.group_by("role", maintain_order=True):
                for (_,), curve in lines.group_by("model", maintain_order=True):
                    _curve(ax, str(role), curve)
            small = [f"n = {own['n'][0]}", *(f"best baseline {name}" for name in own.filter(role="best")["model"][:1])]
            headed(ax, title if ax is axes[0] else "", ", ".join(small))
            ax.set_xscale("log")
            ax.set_xticks(percents, [str(p) for p in percents])
            ax.minorticks_off()
    common_labels(columns, "% of the training data", m.METRICS)
    legend_below(fig, [ax for _, axes, _ in columns for ax in axes])
    return fig


def _curve(ax: Axes, role: str, lines: pl.DataFrame) -> None:
    label, colour, style, width = ROLES[role]
    x, y = lines["percent"].to_list(), lines["effect"].to_list()
    if x == [100] and role == "best":
        ax.axhline(y[0], ls="--", color=colour, label=label)
        return
    if len(x) == 1 and role == "other":
        return  # a point of a line without points
    ax.plot(x, y, style, lw=width, color=colour, label=label)
    n = lines["n"][0]
    if role == "ours" and n >= SMALLEST_SAMPLE:
        # The interval is t standard errors wide on either side; of a few replicates it would fill the panel.
        spread = (lines["high"] - lines["low"]).to_numpy() / 2 * np.sqrt(n) / student.ppf(0.975, n - 1)
        ax.fill_between(x, y - spread, y + spread, color=colour, alpha=0.2, lw=0, label=f"{label}, mean ± sd")
