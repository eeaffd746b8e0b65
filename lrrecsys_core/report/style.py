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
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from lrrecsys_core import paths
from lrrecsys_core import rows as r
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.formats import named
from lrrecsys_core.stats import Estimate

Line = dict[str, Any]
Column = tuple[str, list[Axes], pl.DataFrame]
WIDTH: Final = 6.5  # inches, in print
ALONE: Final = 4.4  # of a single panel
SMALL: Final = 7.0  # points; no text is smaller
SMALLEST_SAMPLE: Final = 3
# One colour for one thing, in every figure.
POSITIVE: Final = "#0173b2"
NEGATIVE: Final = "#de8f05"
OURS: Final = "#029e73"
BASELINE: Final = "#333333"
OTHER: Final = "#949494"
DENSE: Final = 500
NOT_RUN: Final = "not run"
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
    "item": "#c9b800",
    "sequence": "#cc78bc",
    "context": "#ca9161",
}
METHODS: Final = {
    "oracle": "black",
    "Lasso": "#d55e00",
    "EILLS": "#332288",
    "pooled": "#882255",
    "ICP": "#999933",
    "net": "#aa4499",
    "nearest neighbours": "#661100",
    "kernel ridge": "#6699cc",
}


def use_style() -> None:
    """Set the seaborn theme of all figures and notebooks, on matplotlib's own defaults whatever the user's are."""
    matplotlib.rcdefaults()
    sizes = ("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "legend.title_fontsize")
    sns.set_theme(
        context="paper",
        style="whitegrid",
        palette="colorblind",
        rc={
            "axes.formatter.useoffset": False,
            "axes.formatter.limits": (-7, 7),  # ticks are the numbers themselves
            "figure.constrained_layout.use": True,
            "figure.dpi": 110,
            "savefig.dpi": 150,
            "pdf.fonttype": 42,
            "font.family": "DejaVu Sans",
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.labelsize": 7.5,
            "figure.titlesize": 8.5,
            "legend.frameon": False,
            "lines.linewidth": 1.2,
            "lines.markersize": 3.5,
            **dict.fromkeys(sizes, SMALL),
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
        cloud.set_rasterized(np.shape(cloud.get_offsets())[0] > DENSE)
    return _write(fig, paths.figures(run), name, f"{run}/{name}")


def save_above(fig: Figure, name: str) -> Path:
    """Write a figure that belongs to no run into ``figures/``; its PNG file."""
    return next(file for file in _write(fig, paths.root() / "figures", name, name) if file.suffix == ".png")


def _write(fig: Figure, folder: Path, name: str, salt: str) -> list[Path]:
    files = []
    # Names inside an SVG are drawn by lot otherwise, and must be no other figure's on the same page.
    with matplotlib.rc_context({"svg.hashsalt": salt, "svg.fonttype": "none"}):
        for suffix, extra in FORMATS.items():
            file = folder / f"{name}.{suffix}"
            with paths.replacing(file) as partial:
                fig.savefig(partial, metadata=extra)
            # The layout found for the first file holds for the others; finding it is half of the work. An engine in its
            # place, which is what "none" puts there, would still have all drawn twice.
            setattr(fig, "get_layout_engine", lambda: None)  # noqa: B010
            files.append(file)
    return files


def panels(
    rows: int, columns: int, height: float = 2.0, width: float | None = None, ratios: Sequence[float] | None = None
) -> tuple[Figure, list[list[Axes]]]:
    """A grid of axes as a list of rows, as wide as a page of print (a single panel less), `height` inches a row.

    The figure stands apart from pyplot, so that no window system is asked for.
    """
    use_style()
    wide = width or (ALONE if columns == 1 else max(WIDTH, 1.5 * columns))
    fig = Figure(figsize=(wide, height * rows))
    return fig, [list(row) for row in fig.subplots(rows, columns, squeeze=False, height_ratios=ratios)]


def plain(text: str, width: int | None = None) -> str:
    """Text shown as it is: of it only S* and |E| are set as mathematics; long lines are wrapped at ``width``."""
    lines = textwrap.wrap(text, width) if width else [text]
    return "\n".join(lines).replace("$", r"\$").replace("S*", "$S^*$").replace("|E|", "$|E|$")


def headed(ax: Axes, title: str, *small: str, width: int = 42) -> None:
    """The title of a panel, and beneath it in small print what would lie on the data inside."""
    lines = [line for text in small for line in text.splitlines() if line]
    if lines:
        ax.annotate(
            "\n".join(plain(line, width) for line in lines), (0.5, 1), (0, 3), "axes fraction", "offset points",
            ha="center", va="bottom", fontsize=SMALL,
        )  # fmt: skip
    count = sum(plain(line, width).count("\n") + 1 for line in lines)
    ax.set_title(plain(title), pad=5 + 1.25 * SMALL * count)


# As in the tables: 1,000 and not 1000.
THOUSANDS: Final = FuncFormatter(lambda value, _: f"{value:,.10g}".replace("-", "−"))


def log_ticks(axis: Axis) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5, or at powers alone where these would be many."""
    low, high = axis.get_view_interval()
    subs = (1, 2, 5) if high < 100 * low else (1, 3) if high < 1e3 * low else (1,)
    axis.set_major_locator(LogLocator(subs=subs) if high > 4 * low else MaxNLocator(4))
    axis.set_major_formatter(THOUSANDS)
    axis.set_minor_formatter(NullFormatter())


def levels(values: Iterable[float]) -> dict[float, str]:
    """A colour for each of some amounts, dark for little."""
    found = sorted(set(values))
    colours = sns.color_palette("viridis", len(found) + 1).as_hex()  # the last is too light for a line
    return dict(zip(found, colours, strict=False))


def at_least_wide(axis: Axis, width: float) -> None:
    """Widen the view of an axis that shows less than `width`: rounding should not look like an effect."""
    low, high = axis.get_view_interval()
    if high - low < width:
        move = axis.axes.set_xlim if axis is axis.axes.xaxis else axis.axes.set_ylim
        move((low + high - width) / 2, (low + high + width) / 2)


def empty(ax: Axes, title: str, reason: str = NOT_RUN) -> None:
    """A panel that says why it shows nothing."""
    ax.set_title(plain(named(title)))
    ax.text(0.5, 0.5, plain(reason, 26), ha="center", va="center", transform=ax.transAxes, color="#666666")
    ax.set_xticks([])
    ax.set_yticks([])


def nothing_drawn(fig: Figure) -> str:
    """Why a figure shows nothing, in the words of its panels, or "" where one of them shows something."""
    if any(ax.has_data() for ax in fig.axes):
        return ""
    reasons = dict.fromkeys(" ".join(text.get_text().split()) for ax in fig.axes for text in ax.texts)
    told = "; ".join(reasons).removeprefix(f"{NOT_RUN}: ")
    return "none of the rows it shows was run" if told == NOT_RUN else told


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


def points(
    ax: Axes, x: Sequence[float], lines: Sequence[Line], colour: str, label: str = "", *, marker: str = "o"
) -> None:
    """Estimates at `x` with their 95% intervals, joined by a line; those that are not known are left out."""
    known = [(at, line) for at, line in zip(x, lines, strict=True) if line.get("effect") is not None]
    if known:
        reach = np.hstack([whiskers(line) for _, line in known])
        at, effect = [at for at, _ in known], [line["effect"] for _, line in known]
        ax.errorbar(at, effect, yerr=reach, fmt=f"{marker}-", capsize=2, color=colour, label=label or None)


def with_missing(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """An aggregate kept before it had these columns of numbers: they are null."""
    return frame.with_columns(pl.lit(None, pl.Float64).alias(name) for name in columns if name not in frame.columns)


def parts_of(frame: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """The frame's lines by their title, in the order of the tables, with the names of the data sets."""
    parts = [(str(title), part) for (title,), part in frame.group_by("title", maintain_order=True)]
    order = {name: place for place, name in enumerate(r.PAPER_DATASET)}
    parts.sort(key=lambda part: order.get(part[0].partition(" ")[0], len(order)))
    return [(named(title), part) for title, part in parts]


def by_column(
    frame: pl.DataFrame, rows: int, height: float = 2.0, ratios: Sequence[float] | None = None
) -> tuple[Figure, list[Column]]:
    """A figure with a column of panels for every title, and each title with its panels and lines."""
    parts = parts_of(frame)
    fig, axes = panels(rows, max(len(parts), 1), height, ratios=ratios)
    return fig, [(title, [line[k] for line in axes], part) for k, (title, part) in enumerate(parts)]


def by_line(frame: pl.DataFrame, columns: int, height: float = 2.0) -> tuple[Figure, list[Column]]:
    """The same with a line of panels for every title."""
    parts = parts_of(frame)
    fig, axes = panels(max(len(parts), 1), columns, height)
    return fig, [(title, axes[k], part) for k, (title, part) in enumerate(parts)]


def common_labels(columns: Sequence[Column], x: str, y: Sequence[str]) -> None:
    """`x` under the middle column alone, and `y` at the first, a label for each of its rows."""
    columns[(len(columns) - 1) // 2][1][-1].set_xlabel(x)
    for ax, label in zip(columns[0][1], y, strict=True):
        ax.set_ylabel(label)


def legend_below(fig: Figure, axes: Iterable[Axes]) -> None:
    """One legend for all `axes` beneath them, each label once, in as many columns as the page has room for."""
    found = {label: handle for ax in axes for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    if found:
        inches = 0.5 + SMALL / 125 * max(len(label) for label in found)
        columns = max(1, int(fig.get_figwidth() / inches))
        fig.legend(found.values(), found.keys(), loc="outside lower center", ncols=columns)


def legend_under(ax: Axes, columns: int = 1) -> None:
    """The legend of one panel beneath its label, each label once."""
    found = {label: handle for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    ax.legend(
        found.values(), found.keys(), loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.6, ncols=columns
    )


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
