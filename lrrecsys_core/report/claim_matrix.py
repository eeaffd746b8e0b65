"""The claim matrix: every claim of the paper on every data set, a cell coloured, signed and worded by its verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from lrrecsys_core import paths
from lrrecsys_core.report.formats import named
from lrrecsys_core.report.rules import SHORT
from lrrecsys_core.report.style import SMALL, WIDTH, plain, save_above, use_style

NAME: Final = "claim_matrix"
PROFILE: Final = "demo"
LABELS, LINE, FONT = 2.3, 0.2, 7.5  # inches, and points
NARROW: Final = 0.65  # inches of a column below which its head is slanted
SLANT: Final = 0.3  # inches left free for the end of the last one


class Look(NamedTuple):
    """How a verdict is shown: sign and word in the cell, its colour, and what the legend says; "" for the verdict."""

    cell: str
    colour: str
    legend: str = ""


# Green and purple differ for colour-blind eyes too, and no cell rests on its colour alone.
LOOKS: Final = {
    "supported": Look("✓ yes", "#a6dba0"),
    "not supported": Look("✗ no", "#c2a5cf"),
    "mixed": Look("± some", "#fee8c8", "mixed, in some metrics only"),
    "by construction": Look("= set", "#d9d9d9", "by construction: the answer was programmed"),
    "not tested": Look("– open", "#ffffff", "not tested: LLM, data or power missing, or biases alone"),
}
GROUPS: Final = {"simulated": "Simulated markets", "real": "Real ratings"}


def verdicts_of_runs() -> pl.DataFrame:
    """All verdicts of the runs of profile demo on markets and real data: claim, evidence, dataset, verdict.

    What is the same for all runs, theory and the scoring benchmark, stands once, as the first run has it.
    """
    files = (paths.root() / "paper_tables").glob(f"{PROFILE}*/verdicts.csv")
    runs = sorted((file.parent.name, file) for file in files)
    found = [pl.read_csv(file, infer_schema=False) for run, file in runs if f"{run}-".startswith(f"{PROFILE}-")]
    names = ["claim", "evidence", "dataset", "verdict"]
    cells = pl.concat([frame.select(names) for frame in found]) if found else pl.DataFrame(schema=names)
    return cells.unique(names[:3], keep="first", maintain_order=True)


def claim_matrix(cells: pl.DataFrame) -> Figure:
    """Draw verdicts as a matrix of claims and data sets.

    Parameters
    ----------
    cells : frame
        A line per claim and data set, as :func:`~lrrecsys_core.report.claims.verdicts` and `verdicts_of_runs` return
        it. Evidence that is of no data set (theory, a benchmark) fills the whole line of its claim.
    """
    use_style()
    columns = [(kind, str(name)) for kind in GROUPS for name in _sets(cells, kind)]
    wide = (WIDTH - LABELS) / max(len(columns), 1)
    slanted = wide < NARROW
    right = WIDTH - SLANT * slanted  # the last head reaches beyond its column
    wide = (right - LABELS) / max(len(columns), 1)
    first = LINE * (6.0 if slanted else 2.2)
    height = first + LINE * (len(SHORT) + 4)
    fig = Figure(figsize=(WIDTH, height))
    fig.set_layout_engine("none")
    ax = fig.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
    ax.axis("off")
    for kind, title in GROUPS.items():
        mine = [k for k, column in enumerate(columns) if column[0] == kind]
        if mine:
            start, end = LABELS + mine[0] * wide, LABELS + (mine[-1] + 1) * wide
            ax.text((start + end) / 2, 0.55 * LINE, title, ha="center", va="center", size=FONT, weight="bold")
            ax.plot([start + 0.04, end - 0.04], [1.1 * LINE] * 2, color="#444444", lw=0.8)
    turned = {"rotation": 60, "ha": "left", "rotation_mode": "anchor"} if slanted else {"ha": "center"}
    for k, (_, name) in enumerate(columns):
        middle = LABELS + (k + (0.4 if slanted else 0.5)) * wide
        ax.text(middle, first - 0.3 * LINE, plain(named(name)), size=FONT, **turned)
    at = {claim: first + k * LINE for k, claim in enumerate(SHORT)}
    for claim, top in at.items():
        for left, told in ((0.05, claim), (0.36, SHORT[claim])):
            ax.text(left, top + LINE / 2, plain(told), va="center", size=FONT)
    for line in cells.to_dicts():
        column = (line["evidence"], line["dataset"])
        whole = column not in columns
        left = LABELS + (0 if whole else columns.index(column) * wide)
        box = left, at[line["claim"]], right - LABELS if whole else wide
        _cell(ax, box, line["verdict"], f": {line['dataset']}" if whole else "", f"{line['claim']}-{line['dataset']}")
    ax.legend(handles=_keys(cells), loc="lower left", ncols=2, fontsize=FONT, borderaxespad=0.2, handlelength=1.2)
    return fig


def _sets(cells: pl.DataFrame, kind: str) -> pl.Series:
    return cells.filter(evidence=kind)["dataset"].unique(maintain_order=True)


def _cell(ax: Axes, box: tuple[float, float, float], verdict: str, more: str, name: str) -> None:
    left, top, wide = box
    # A verdict that has no look of its own is shown by its own word.
    look = LOOKS.get(verdict, Look(verdict, "#ffffff"))
    ax.add_patch(Rectangle((left, top), wide, LINE, facecolor=look.colour, edgecolor="white", lw=1.5))
    text = ax.text(left + wide / 2, top + LINE / 2, plain(look.cell + more), ha="center", va="center", size=SMALL)
    text.set_gid(name)


def _keys(cells: pl.DataFrame) -> list[Patch]:
    there = set(cells["verdict"])
    return [
        Patch(facecolor=look.colour, edgecolor="#888888", lw=0.5, label=f"{look.cell}: {look.legend or verdict}")
        for verdict, look in LOOKS.items()
        if verdict in there
    ]


def draw_matrix() -> Path | None:
    """Draw the matrix of all runs of profile demo into ``figures/``; return its PNG file, or None without runs.

    In the SVG file each cell is a group called ``<claim>-<data set>`` with its words as text.
    """
    cells = verdicts_of_runs()
    if cells.is_empty():
        return None
    return save_above(claim_matrix(cells), NAME)
