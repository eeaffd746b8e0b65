"""One look for every figure, and files that come out byte for byte the same."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Final

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lrrecsys_core import paths
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.stats import Estimate

POSITIVE: Final = "#0173b2"
NEGATIVE: Final = "#de8f05"
OURS: Final = "#029e73"
OTHER: Final = "#949494"
SMALLEST_SAMPLE: Final = 3
TOKENS: Final = {
    "positive": POSITIVE,
    "negative": NEGATIVE,
    "user": "#56b4e9",
    "item": "#ece133",
    "sequence": "#cc78bc",
    "context": OTHER,
}


def use_style() -> None:
    """Set the seaborn theme shared by all figures and notebooks."""
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
    """Write ``figures/<run>/<name>.pdf`` and ``.png``, without time stamps or version marks.

    Parameters
    ----------
    fig : Figure
    run : str
    name : str
        Without suffix, for example "fig06_movies".
    """
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None, "Creator": None}}
    files = []
    for suffix, extra in metadata.items():
        file = paths.figures(run) / f"{name}.{suffix}"
        with paths.replacing(file) as partial:
            fig.savefig(partial, metadata=extra)
        # The layout found for the first file holds for the second; finding it is half of the work.
        fig.set_layout_engine("none")
        files.append(file)
    return files


def panels(rows: int, columns: int, width: float = 3.2, height: float = 2.6) -> tuple[Figure, list[list[Axes]]]:
    """A grid of axes as a list of rows; sizes in inches per panel."""
    use_style()
    fig, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    return fig, [list(row) for row in axes]


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


def whiskers(estimate: Estimate) -> NDArray[np.float64]:
    """Length of an interval below and above its point, shape (2, 1).

    With two markets the t interval is some twelve standard errors wide: drawn, it would hide everything else, so it is
    left to the tables.
    """
    if estimate.n < SMALLEST_SAMPLE or not np.isfinite([estimate.low, estimate.high]).all():
        return np.zeros((2, 1))
    return np.maximum([[estimate.effect - estimate.low], [estimate.high - estimate.effect]], 0.0)


def titled(source: Evidence | Dataset) -> str:
    """Name of a data set that never hides that it is simulated, nor that its records have no order in time."""
    name = source.name if isinstance(source, Dataset) else source.dataset
    if source.simulated:
        return f"{name} (simulated)"
    return name if source.ordered else f"{name} (unordered)"
