"""The main contrasts of a run beside their placebos as a forest plot, and those of all real data sets in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lrrecsys_core import rows as r
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.kept import kept, runs
from lrrecsys_core.report.rules import writers
from lrrecsys_core.report.style import (
    NOT_RUN,
    OTHER,
    OURS,
    SMALL,
    WIDTH,
    Line,
    empty,
    legend_below,
    parts_of,
    plain,
    save_above,
    table,
    titled,
    told,
    use_style,
    whiskers,
)  # fmt: skip

SHOWN: Final = ("RMSE", "AUC")
ALL_SETS: Final = "real_ratings"  # its files above the runs
LINE, MARGINS = 0.135, 0.95  # inches a line, and of heads and foot
PLACEBO: Final = "placebo"
CAPTION: Final = (
    "Gains in percent of the row behind 'over', with 95% intervals (t over markets; on real data users resampled, the "
    "predictions of all seeds averaged). Filled: contrasts that should gain if what the texts say helps; open: "
    "placebos, which should not. With product: the product of id vectors is added to both rows"
)


def contrasts(source: Evidence, metric: str) -> list[tuple[str, str, str, str]]:
    """What a forest shows of a data set: label, row, the row it is compared with, and "placebo" or ""."""
    best = {name: source.best_baseline(name) or r.BIASES for name in SHOWN}  # of each metric its own
    named = " / ".join(dict.fromkeys(best.values()))
    found = [
        (f"LR-Recsys over {named} (best baseline)", r.LR, best[metric], ""),
        ("LR-Recsys over biases alone", r.LR, r.BIASES, ""),
        ("LR-Recsys over free vectors", r.LR, r.ABLATION1, ""),
        ("LR-Recsys over shuffled within item", r.LR, r.SHUFFLE_ITEM, ""),
        ("LR-Recsys over late ensemble", r.LR, r.LATE_ENSEMBLE, ""),
        ("LR-Recsys over free vectors, with product", r.PRODUCT, r.PRODUCT_FREE, ""),
        ("LR-Recsys over shuffled within item, with product", r.PRODUCT, r.PRODUCT_SHUFFLED, ""),
        ("shuffled (within item) over free vectors, with product", r.PRODUCT_SHUFFLED, r.PRODUCT_FREE, PLACEBO),
        ("shuffled (all) over free vectors", r.SHUFFLE_ALL, r.ABLATION1, PLACEBO),
        ("shuffled (within item) over free vectors", r.SHUFFLE_ITEM, r.ABLATION1, PLACEBO),
    ]
    for writer in writers(source):
        name, placebo = writer.removeprefix(r.WITH), r.placebo_in(source.rows, writer)
        found.append((f"{name} over free vectors", writer, r.ABLATION1, ""))
        if placebo is not None:
            found.append((f"{name} over its texts shuffled", writer, placebo, ""))
            found.append((f"{name}, shuffled, over free vectors", placebo, r.ABLATION1, PLACEBO))
    return found


def collect_forest(found: Sequence[Evidence]) -> pl.DataFrame:
    """Gains in percent with their intervals, of those contrasts whose rows were run."""
    lines: list[Line] = []
    for source in found:
        known: list[Line] = []
        for metric in SHOWN:
            for label, ours, reference, kind in contrasts(source, metric):
                if estimate := told(source.improvement(metric, ours, reference)):
                    known.append({"title": titled(source), "label": label, "kind": kind, "metric": metric} | estimate)
        lines += known or [{"title": titled(source), "label": NOT_RUN}]
    return table(lines, ("title", "label", "kind", "metric"), ("effect", "low", "high"))


def forest(frame: pl.DataFrame) -> Figure:
    """A line per contrast beneath the name of its data set, a panel per metric."""
    use_style()
    parts = [(title, part, list(dict.fromkeys(part["label"]))) for title, part in parts_of(frame)]
    count = sum(1 + len(labels) for _, _, labels in parts)
    fig = Figure(figsize=(WIDTH, MARGINS + LINE * max(count, 3)))
    axes = fig.subplots(1, len(SHOWN), sharey=True, squeeze=False)[0]
    if not frame["metric"].count():
        for ax in axes:
            empty(ax, "", NOT_RUN)
        return fig
    names: list[str] = []
    for title, part, labels in parts:
        top = len(names)
        names += [title, *labels]
        for ax, metric in zip(axes, SHOWN, strict=True):
            _panel(ax, part.filter(metric=metric).to_dicts(), top + 1, labels)
    for ax, metric in zip(axes, SHOWN, strict=True):
        ax.axvline(0, color="black", lw=0.6)
        ax.set_xlabel(f"gain in {metric}, %")
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.grid(axis="y", visible=False)
    axes[0].set_yticks(range(len(names)), [plain(name) for name in names], fontsize=SMALL)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    heads = {title for title, _, _ in parts}
    for text, name in zip(axes[0].get_yticklabels(), names, strict=True):
        text.set_weight("bold" if name in heads else "normal")
    legend_below(fig, axes)
    return fig


def _panel(ax: Axes, lines: Iterable[Line], top: int, labels: Sequence[str]) -> None:
    for line in lines:
        placebo = line["kind"] == PLACEBO
        ax.errorbar(
            [line["effect"]], [top + labels.index(line["label"])], xerr=whiskers(line), fmt="o", capsize=1.5, lw=0.9,
            color=OTHER if placebo else OURS, mfc="white" if placebo else OURS,
            label="placebo: should not gain" if placebo else "should gain if what texts say helps",
        )  # fmt: skip


def draw_real() -> Path | None:
    """Draw the forest of all runs of profile demo on real ratings into ``figures/``; its PNG file, or None without."""
    found = [kept(run, "forest") for run in runs() if run.startswith("demo-")]
    frames = [frame for frame in found if frame is not None and frame["metric"].count()]
    if not frames:
        return None
    return save_above(forest(pl.concat(frames)), ALL_SETS)
