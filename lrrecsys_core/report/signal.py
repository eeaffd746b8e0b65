"""Follow the signal: at which link of the chain from tastes to network what could be explained is lost.

One aggregate, of which the table is written and the figure drawn: a line per data set, task, link and part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from lrrecsys_core import paths
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.formats import Cell, Grid, minus, named, number, write_all
from lrrecsys_core.report.kept import needed
from lrrecsys_core.report.scale import MARGIN
from lrrecsys_core.report.style import (
    OTHER,
    OURS,
    SMALL,
    Line,
    by_column,
    empty,
    kinds_of,
    panels,
    plain,
    table,
    titled,
    told,
    whiskers,
)  # fmt: skip
from lrrecsys_core.stats import paired_t

# In the order of the chain, as `study.signal` names them.
LABELS: Final = {
    "tastes": "true tastes (the ceiling)",
    "balance": "balance of reasons, over S*",
    "words": "words of the two sentences",
    "codes": "their codes, by ridge",
    "trees": "their codes, by boosted trees",
    "fusion": "tokens after fusion, by ridge",
    "network": "one network",
    "networks": "its networks, averaged",
}
# What comes in at a link: what the same kind of reader found one link before.
BEFORE: Final = {
    "balance": "tastes", "words": "balance", "codes": "words", "trees": "words", "fusion": "codes",
    "network": "fusion", "networks": "fusion",
}  # fmt: skip
PARTS: Final = ("validation", "test")
MEASURES: Final = {
    "regression": "Share of the biases' squared error that is removed",
    "classification": "AUC gained over the biases",
}
TITLE: Final = "What each link of the chain explains beyond the user and item biases"
LOSS: Final = 1 / 3  # a link that loses more of what came in is marked
SMALLEST: Final = {"regression": 0.01, "classification": MARGIN["AUC"]}  # of less, no share can be told

# Label, filling and hatching of the bars; all that belongs to our chain is in our colour.
LEGEND: Final = {
    "validation": (OURS, None),
    "validation, where more than a third of what came in is lost": ("white", "/////"),
    "test, computed once beside it": (OTHER, None),
}


def collect_signal(links: pl.DataFrame, found: Sequence[Evidence]) -> pl.DataFrame:
    """Means over replicates, with 95% intervals by market, and what each link loses on validation.

    Parameters
    ----------
    links : columns dataset, replicate, link, task, part, value, sampled, cell.
    found : data sets to show, in order.

    Returns
    -------
    frame : title, dataset, task, link, part, cell, effect, low, high, lost, sampled (1 or 0), n

    """
    lines: list[Line] = []
    for source in found:
        own = links.filter(dataset=source.dataset)
        for task in MEASURES:
            came: dict[str, float] = {}
            for link in LABELS:
                for part in PARTS:
                    kept = own.filter(task=task, link=link, part=part)
                    if kept.is_empty():
                        continue
                    estimate = paired_t(kept["value"])
                    line: Line = told(estimate) if source.simulated else {"effect": estimate.effect, "n": estimate.n}
                    line |= {"title": titled(source), "dataset": source.dataset, "task": task, "link": link}
                    line |= {"part": part, "cell": " ".join(kept["cell"].unique().sort())}
                    line["sampled"] = int(kept["sampled"].any())
                    if part == "validation":
                        line["lost"] = lost(task, came.get(BEFORE.get(link, "")), estimate.effect)
                        # What may be chance, as everything on a null market, cannot be lost.
                        came[link] = 0.0 if source.simulated and estimate.low <= 0 else estimate.effect
                    lines.append(line)
    text = ("title", "dataset", "task", "link", "part", "cell")
    return table(lines, text, ("effect", "low", "high", "lost"), ("sampled",))


def lost(task: str, came: float | None, left: float) -> float | None:
    """Share of what came in at a link that does not leave it, from 0 to 1; None where next to nothing came in."""
    return min(1.0, max(0.0, 1 - left / came)) if came is not None and came >= SMALLEST[task] else None


def loses(line: Line) -> bool:
    """Whether a link loses so much that it is marked."""
    return line.get("lost") is not None and line["lost"] > LOSS


def signal_grids(frame: pl.DataFrame) -> list[Grid]:
    """The aggregate for people: a grid for each task, three columns for each data set."""
    lines = {(line["dataset"], line["task"], line["link"], line["part"]): line for line in frame.to_dicts()}
    names = frame["dataset"].unique(maintain_order=True).to_list()
    grids = []
    for task, measure in MEASURES.items():
        shown = [link for link in LABELS if any(key[1:3] == (task, link) for key in lines)]
        body = []
        for link in shown:
            cells: list[str | Cell] = [LABELS[link]]
            for name in names:
                validation, test = (lines.get((name, task, link, part), {}) for part in PARTS)
                cells += [_value(validation), _value(test), _lost(validation)]
            body.append(cells)
        columns = (*PARTS, "lost here")
        spans = [("", 1), *((named(name), len(columns)) for name in names)]
        grids.append(Grid(measure, ["", *columns * len(names)], body, spans))
    return grids


def _value(line: Line) -> Cell:
    """A mean with its interval, where there is one."""
    ends = [number(line.get(end), 3) for end in ("low", "high")]
    return Cell(number(line.get("effect"), 3), f"[{', '.join(ends)}]" if all(ends) else "")


def _lost(line: Line) -> Cell:
    """What a link loses in percent, marked where it is much."""
    if line.get("lost") is None:
        return Cell("")
    return Cell(f"{100 * line['lost']:.0f}%", "over a third" if loses(line) else "")


def signal_title(frame: pl.DataFrame) -> str:
    """Title of the table, which says whether its data are simulated."""
    return f"{TITLE} ({kinds_of(frame)})"


def signal_notes(frame: pl.DataFrame) -> list[str]:
    """What a reader has to know before looking for the link that loses."""
    notes = [
        "Every link is read on top of the user and item biases. All but trees and networks are read by a ridge "
        "fitted on training records, its penalty chosen on validation; for high and low a logistic one, which weighs "
        "the biases' logit anew and so is a little behind the networks, which add to it.",
        "Lost here: the share of what came in from the link before that is gone, on validation records, where a "
        "diagnosis may be made. Ridge and trees on the codes are both measured against the words, one network "
        f"and their average both against the tokens. Nothing is said where less than {SMALLEST['regression']:g} of "
        f"the error, or {SMALLEST['classification']:g} of AUC, came in, or so little that its interval holds 0. The "
        "test column was computed once, beside it.",
        "A link can gain: tokens after fusion also carry user, item and history, and words more than the balance. "
        "Validation also chose biases, penalties, trees and epochs, so its column is a little too good.",
    ]
    if frame["title"].str.ends_with("(simulated)").any():
        notes.append(
            f"Simulated markets: mean over {_counted(frame)} of each domain [95% interval by market]; tastes and S* "
            "are known there alone."
        )
    if "validation" not in frame["part"].to_list():
        notes.append("No validation records in this run: nothing is said to be lost.")
    sampled = frame.filter(pl.col("sampled") == 1)["dataset"].unique(maintain_order=True).to_list()
    if sampled:
        notes.append(
            f"From the words on, read on a random sample of the training records: {', '.join(map(named, sampled))}."
        )
    return notes


def _counted(frame: pl.DataFrame) -> str:
    """On how many markets the means rest."""
    counts = frame.filter(pl.col("title").str.ends_with("(simulated)"))["n"].drop_nulls().unique().sort().to_list()
    return " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1])))) + " markets" if counts else "the markets"


def write_signal(run: str) -> pl.DataFrame:
    """Write and return the table ``signal`` from what is kept."""
    frame = needed(run, "signal")
    write_all(paths.tables(run), "signal", frame, signal_title(frame), signal_notes(frame), signal_grids(frame))
    return frame


def signal(frame: pl.DataFrame) -> Figure:
    """Bars from the ceiling down to the network, a column for each data set and a line of panels for each task."""
    if frame.is_empty():
        fig, ((ax,),) = panels(1, 1)
        empty(ax, TITLE)
        return fig
    fig, columns = by_column(frame, len(MEASURES), 2.4)
    shown = [link for link in LABELS if link in set(frame["link"])]
    for k, task in enumerate(MEASURES):
        first: Axes | None = None
        for title, axes, part in columns:
            ax, own = axes[k], part.filter(task=task)
            if own.is_empty():
                empty(ax, title)
                continue
            if first is not None:
                ax.sharex(first)
            _bars(ax, own.to_dicts(), shown)
            ax.set_title(plain(title, 15) if k == 0 else "")
            ax.set_yticks(range(len(shown)), [] if first else [plain(LABELS[link]) for link in shown])
            first = first or ax
        columns[(len(columns) - 1) // 2][1][k].set_xlabel(plain(MEASURES[task], 90 if len(columns) > 2 else 30))
    validated = frame.filter(part=PARTS[0]).to_dicts()
    there = (bool(validated), any(map(loses, validated)), True)
    kinds = [look for look, drawn in zip(LEGEND.items(), there, strict=True) if drawn]
    fig.legend(handles=[Patch(**_look(*look), label=label) for label, look in kinds], loc="outside lower center")
    return fig


def _look(fill: str, hatch: str | None) -> Line:
    return {"facecolor": fill, "hatch": hatch, "edgecolor": OURS if hatch else "none", "linewidth": 0.6}


def _bars(ax: Axes, lines: Sequence[Line], shown: Sequence[str]) -> None:
    """Two bars for each link: validation, marked where the link loses much, and test beneath it."""
    two = len({line["part"] for line in lines}) == len(PARTS)
    for line in lines:
        first = line["part"] == PARTS[0]
        at = shown.index(line["link"]) + (0.19 if two else 0.0) * (-1 if first else 1)
        look = list(LEGEND.values())[2 if not first else 1 if loses(line) else 0]
        ax.barh(at, line["effect"], 0.36, **_look(*look))
        reach = whiskers(line)
        if reach.any():
            ax.errorbar(line["effect"], at, xerr=reach, color="black", lw=0.7, capsize=1.5)
        if first and loses(line):
            place = max(line["effect"] + reach[1, 0], 0.0), at
            share = minus(f"-{100 * line['lost']:.0f}%")
            ax.annotate(share, place, (3, 0), textcoords="offset points", va="center", fontsize=SMALL)
    ax.axvline(0, color="black", lw=0.6)
    ax.margins(x=0.22)
    ax.xaxis.set_major_locator(MaxNLocator(3))
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
