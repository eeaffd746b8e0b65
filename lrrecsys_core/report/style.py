"""One look for every figure, and files that come out byte for byte the same."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
import polars as pl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lrrecsys_core import paths
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.stats import Estimate

Line = dict[str, Any]
Column = tuple[str, list[Axes], pl.DataFrame]
POSITIVE: Final = "#0173b2"
NEGATIVE: Final = "#de8f05"
OURS: Final = "#029e73"
OTHER: Final = "#949494"
SMALLEST_SAMPLE: Final = 3
DENSE: Final = 500
# What a figure is written as, with the marks of time and version that are left out of it.
FORMATS: Final[dict[str, dict[str, Any]]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
}
TOKENS: Final = {
    "positive": POSITIVE,
    "negative": NEGATIVE,
    "user": "#56b4e9",
    "item": "#ece133",
    "sequence": "#cc78bc",
    "context": OTHER,
}


def use_style() -> None:
    """Set the seaborn theme of all figures and notebooks, on matplotlib's own defaults whatever the user's are."""
    matplotlib.rcdefaults()
    sns.set_theme(
        context="paper",
        style="whitegrid",
        palette="colorblind",
        rc={
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "savefig.dpi": 150,
            "pdf.fonttype": 42,
            "font.family": "DejaVu Sans",
            "axes.titlesize": "medium",
            "legend.frameon": False,
        },
    )


def save(fig: Figure, run: str, name: str) -> list[Path]:
    """Write a figure in every one of `FORMATS`, without time stamps or version marks.

    Clouds of more than `DENSE` points become pictures inside the SVG, so that the page stays small.

    Parameters
    ----------
    fig : Figure
    run : str
    name : str
        Without suffix, for example "fig06_movies".
    """
    for cloud in fig.findobj(PathCollection):
        cloud.set_rasterized(len(cloud.get_offsets()) > DENSE)
    files = []
    # Names inside an SVG are drawn by lot otherwise, and must be no other figure's on the same page.
    with matplotlib.rc_context({"svg.hashsalt": f"{run}/{name}", "svg.fonttype": "none"}):
        for suffix, extra in FORMATS.items():
            file = paths.figures(run) / f"{name}.{suffix}"
            with paths.replacing(file) as partial:
                fig.savefig(partial, metadata=extra)
            # The layout found for the first file holds for the others; finding it is half of the work.
            fig.set_layout_engine("none")
            files.append(file)
    return files


def panels(rows: int, columns: int, width: float = 3.2, height: float = 2.6) -> tuple[Figure, list[list[Axes]]]:
    """A grid of axes as a list of rows; sizes in inches per panel.

    The figure stands apart from pyplot, so that no window system is asked for.
    """
    use_style()
    fig = Figure(figsize=(width * columns, height * rows))
    return fig, [list(row) for row in fig.subplots(rows, columns, squeeze=False)]


def plain(text: str, width: int | None = None) -> str:
    """Text shown as it is: nothing in it is read as mathematics, and long lines are wrapped at ``width`` characters."""
    escaped = text.replace("$", r"\$")
    return "\n".join(textwrap.wrap(escaped, width)) if width else escaped


def empty(ax: Axes, title: str, reason: str = "not run") -> None:
    """A panel that says why it shows nothing."""
    ax.set_title(plain(title))
    ax.text(0.5, 0.5, plain(reason, 28), ha="center", va="center", transform=ax.transAxes, color=OTHER)
    ax.set_xticks([])
    ax.set_yticks([])


def table(
    lines: Sequence[Line], text: Sequence[str], real: Sequence[str] = (), whole: Sequence[str] = ()
) -> pl.DataFrame:
    """Lines of an aggregate as a frame: text, real and whole-number columns; what a line does not say is null."""
    schema = dict.fromkeys(text, pl.String) | dict.fromkeys(real, pl.Float64) | dict.fromkeys(whole, pl.Int64)
    if "effect" in real:
        schema["n"] = pl.Int64
    return pl.DataFrame([{name: line.get(name) for name in schema} for line in lines], schema=schema)


def told(estimate: Estimate | None) -> Line:
    """What a figure needs of an estimate: effect, ends of its interval, and what it rests on."""
    if estimate is None or not np.isfinite(estimate.effect):
        return {}
    return {"effect": float(estimate.effect), "low": float(estimate.low), "high": float(estimate.high), "n": estimate.n}


def whiskers(line: Line) -> NDArray[np.float64]:
    """Length of an interval below and above its point, shape (2, 1).

    With two markets the t interval is some twelve standard errors wide: drawn, it would hide everything else, so it is
    left to the tables.
    """
    effect, low, high = (line[name] for name in ("effect", "low", "high"))
    if line["n"] < SMALLEST_SAMPLE or low is None or high is None or not np.isfinite([low, high]).all():
        return np.zeros((2, 1))
    return np.maximum([[effect - low], [high - effect]], 0.0)


def points(ax: Axes, x: Sequence[float], lines: Sequence[Line], colour: str, label: str = "") -> None:
    """Estimates at `x` with their 95% intervals, joined by a line; those that are not known are left out."""
    known = [(at, line) for at, line in zip(x, lines, strict=True) if line.get("effect") is not None]
    if known:
        reach = np.hstack([whiskers(line) for _, line in known])
        at, effect = [at for at, _ in known], [line["effect"] for _, line in known]
        ax.errorbar(at, effect, yerr=reach, fmt="o-", ms=4, lw=1.2, capsize=2.5, color=colour, label=label or None)


def parts_of(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """The frame's lines by their title, in order."""
    return [(str(title), part) for (title,), part in frame.group_by("title", maintain_order=True)]


def by_column(frame: pl.DataFrame, rows: int, width: float, height: float) -> tuple[Figure, list[Column]]:
    """A figure with a column of panels for every title, and each title with its panels and lines."""
    parts = parts_of(frame)
    fig, axes = panels(rows, max(len(parts), 1), width, height)
    return fig, [(title, [line[k] for line in axes], part) for k, (title, part) in enumerate(parts)]


def by_line(frame: pl.DataFrame, columns: int, width: float, height: float) -> tuple[Figure, list[Column]]:
    """The same with a line of panels for every title."""
    parts = parts_of(frame)
    fig, axes = panels(max(len(parts), 1), columns, width, height)
    return fig, [(title, axes[k], part) for k, (title, part) in enumerate(parts)]


def legend_below(fig: Figure, axes: Iterable[Axes], columns: int) -> None:
    """One legend for all `axes` beneath them, each label once."""
    found = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if found:
        fig.legend(found.values(), found.keys(), loc="outside lower center", ncols=columns, fontsize=7)


def titled(source: Evidence | Dataset) -> str:
    """Name of a data set that never hides that it is simulated, nor that its records have no order in time."""
    name = source.name if isinstance(source, Dataset) else source.dataset
    if source.simulated:
        return f"{name} (simulated)"
    return name if source.ordered else f"{name} (unordered)"


def kinds_of(frame: pl.DataFrame) -> str:
    """Whether the data sets that the lines of an aggregate name in their ``title`` are simulated, real or both."""
    simulated = [str(title).endswith("(simulated)") for title in frame["title"]]
    kinds = (("SIMULATED markets", any(simulated)), ("real data", not all(simulated)))
    return " and ".join(kind for kind, there in kinds if there)
