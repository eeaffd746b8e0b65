"""What is wrong with the answers behind the tables: shares of each fault by who wrote them and for what."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lrrecsys_core import paths
from lrrecsys_core.explain.checks import COPIED, FAULTS, MOST_WORDS, RUN, SAME_TO_ALL, TWICE
from lrrecsys_core.explain.fault_report import DISTINCT, NEARLY_ALL, SAME
from lrrecsys_core.report.formats import Grid, named, write_all
from lrrecsys_core.report.kept import needed
from lrrecsys_core.report.style import SMALL, WIDTH, empty, kinds_of, panels, plain

TITLE: Final = "Faults of the answers"
KEYS: Final = ("title", "slot", "fault")
COLUMNS: Final = (*FAULTS, SAME)
LINE, LABELS = 0.26, 1.6  # inches of a slot, and of the faults' names beneath


def faults_title(frame: pl.DataFrame) -> str:
    """Title of the table, which says whether its data are simulated."""
    return f"{TITLE} ({kinds_of(frame)})"


def faults_notes(frame: pl.DataFrame) -> list[str]:
    """How the shares are to be read, and who is told the same as nearly everybody."""
    shown = set(frame.filter(pl.col("records") > 0)["fault"])
    absent = ", ".join(fault for fault in FAULTS if fault not in shown) or "nothing"
    notes = [
        "Shares of the records (of the items for profiles) by answers as they came, before second tries. Each is "
        "judged by what its own prompt asks for. An answer may have several faults; those without one stand under "
        f"none. Looked for and found nowhere: {absent}.",
        f"Copied, or the question repeated: at least {COPIED:.0%} of the answer's words stand in runs of {RUN} that "
        "the example's output, or the instruction, has too. The same twice: a sentence or a run of "
        f"{TWICE} words. Unfinished: cut at the limit of tokens, or over {MOST_WORDS // 2} words without a full stop.",
        f"Same ten sentences: records told one of the ten most frequent ones; over {SAME_TO_ALL:.0%}, {NEARLY_ALL}. "
        "Distinct: how many different ones there are.",
    ]
    for line in frame.filter(pl.col("fault") == SAME, pl.col("share") > SAME_TO_ALL).to_dicts():
        whose = f"{named(line['title'])}, {line['slot']} by {line['explainer']}"
        notes.append(f"{whose}: {NEARLY_ALL}, {line['share']:.0%} on ten sentences.")
    return notes


def faults_grids(frame: pl.DataFrame) -> list[Grid]:
    """A line for each data set, explainer and slot; faults that nothing shows are left out."""
    found = set(frame.filter(pl.col("records") > 0)["fault"])
    columns = ["none", *(fault for fault in FAULTS if fault in found), SAME, DISTINCT]
    body = []
    for (title, explainer, slot), part in frame.group_by("title", "explainer", "slot", maintain_order=True):
        lines = {line["fault"]: line for line in part.to_dicts()}
        cells = [f"{lines[column]['share']:.1%}" for column in columns[:-1]]
        body.append([named(str(title)), str(explainer), str(slot), *cells, f"{lines[DISTINCT]['records']:,}"])
    return [Grid("", ["data set", "explainer", "slot", *columns], body)]


def write_faults(run: str) -> pl.DataFrame:
    """Write and return the table ``faults`` from what is kept."""
    frame = needed(run, "faults")
    write_all(paths.tables(run), "faults", frame, faults_title(frame), faults_notes(frame), faults_grids(frame))
    return frame


def faults(frame: pl.DataFrame) -> Figure:
    """Shares of each fault as a heatmap, a panel for each explainer and a line for each of its slots."""
    parts = [(str(name), part) for (name,), part in frame.group_by("explainer", maintain_order=True)]
    if not parts:
        fig, ((ax,),) = panels(1, 1)
        empty(ax, TITLE, "no answers")
        return fig
    sizes = [part.select("title", "slot").n_unique() for _, part in parts]
    fig, _ = panels(1, 1, LINE * (sum(sizes) + 2 * len(sizes)) + LABELS, WIDTH)
    fig.clear()
    axes = fig.subplots(len(parts), 1, squeeze=False, height_ratios=sizes)[:, 0]
    for ax, (name, part) in zip(axes, parts, strict=True):
        _heatmap(ax, part)
        ax.set_title(plain(name, 90), loc="left")
    for ax in axes[:-1]:
        ax.set_xticks([])
    axes[-1].set_xlabel("per cent of the slot's answers; blank: none")
    return fig


def _heatmap(ax: Axes, part: pl.DataFrame) -> None:
    """The shares of one explainer, in per cent; the last column is about the slot as a whole and stands apart."""
    slots = part.select("title", "slot").unique(maintain_order=True).rows()
    shares = {(title, slot, fault): share for title, slot, fault, share in part.select(*KEYS, "share").rows()}
    values = np.array([[shares[*slot, fault] for fault in COLUMNS] for slot in slots])
    told = [[_percent(value) for value in line] for line in values]
    sns.heatmap(
        values, ax=ax, vmin=0, vmax=1, cmap="Blues", annot=told, fmt="", annot_kws={"fontsize": SMALL}, cbar=False,
        linewidths=0.6, linecolor="#dddddd", xticklabels=list(COLUMNS),
        yticklabels=[plain(f"{named(title)}: {slot}", 30) for title, slot in slots],
    )  # fmt: skip
    ax.axvline(len(FAULTS), color="black", lw=1.2)
    ax.set_xticklabels(ax.get_xticklabels(), rotation=38, ha="right", rotation_mode="anchor")
    ax.tick_params(axis="y", rotation=0)


def _percent(share: float) -> str:
    return "" if not share else f"{100 * share:.0f}" if share >= 0.005 else "<1"
