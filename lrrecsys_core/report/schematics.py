"""Figures 1-4: drawings of the method, not of results."""

from __future__ import annotations

from typing import Final

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from lrrecsys_core.report.style import OTHER, POSITIVE, SMALL, WIDTH, panels, plain

_INPUT: Final = "#eaf2f8"
_MODEL: Final = "#e8e8e8"
_OUTPUT: Final = "#e6f4ea"
_PLUS: Final = "#dceaf7"
_MINUS: Final = "#fbeacb"
_LLM: Final = "#f3e3f1"


def _canvas(height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    fig, [axes] = panels(1, columns, height, WIDTH)
    for ax in axes:
        ax.set_axis_off()
        ax.set_xlim(0, 100)
        ax.set_ylim(0, 100)
    return fig, axes


def _box(ax: Axes, x: float, y: float, w: float, h: float, text: str, fill: str, size: float = SMALL) -> None:
    """A rounded box centred at (x, y)."""
    style = "round,pad=0,rounding_size=1.5"
    ax.add_patch(FancyBboxPatch((x - w / 2, y - h / 2), w, h, boxstyle=style, fc=fill, ec="#555555", lw=0.8))
    ax.text(x, y, text, ha="center", va="center", fontsize=size)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], shape: str = "", ls: str = "-") -> None:
    """An arrow, with the shape of what travels along it beside its middle."""
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=8, lw=0.9, color="#444444", ls=ls))
    if shape:
        middle = (start[0] + end[0]) / 2 + 0.8, (start[1] + end[1]) / 2
        ax.text(*middle, shape, va="center", fontsize=SMALL, color="#555555")


def fig01() -> Figure:
    """Fig 1: a generic recommender beside LR-Recsys."""
    fig, (left, right) = _canvas(3.0, 2)
    past = "Past purchases\n$j_1, \\ldots, j_n$"
    left.set_title("(a) A generic recommender")
    for y, text in ((80, "Consumer $i$"), (50, past), (20, "Product $j$")):
        _box(left, 17, y, 31, 16, text, _INPUT)
        _arrow(left, (33, y), (46, 50 + (y - 50) * 0.18))
    _box(left, 61, 50, 29, 30, "Black-box\nmodel $f(\\cdot)$", _MODEL)
    _arrow(left, (76, 50), (84, 50))
    _box(left, 92, 50, 14, 16, "$\\hat y_{ij}$", _OUTPUT, 9)

    right.set_title("(b) LR-Recsys: reasons become inputs")
    for y, text in ((89, past), (63, "Product $j$")):
        _box(right, 14, y, 27, 17, text, _INPUT)
    _box(right, 43, 76, 21, 28, "LLM:\nwhy would\nshe, why\nnot?", _LLM)
    _arrow(right, (28, 88), (32.5, 82))
    _arrow(right, (28, 64), (32.5, 70))
    _box(right, 71, 89, 23, 17, "Positive\nreason", _PLUS)
    _box(right, 71, 63, 23, 17, "Negative\nreason", _MINUS)
    _arrow(right, (53.5, 80), (59.5, 87))
    _arrow(right, (53.5, 72), (59.5, 65))
    _box(right, 88, 36, 22, 15, "AE$(\\cdot)$", _MODEL)
    right.plot([82.5, 95, 95], [89, 89, 43.5], color="#444444", lw=0.9)
    _arrow(right, (95, 60), (95, 43.5))
    _arrow(right, (76, 54.5), (81, 43.5))
    _box(right, 16, 13, 31, 22, "Consumer $i$,\nproduct $j$,\npast purchases", _INPUT)
    _box(right, 57, 13, 24, 22, "DNN\ncomponent", _MODEL)
    _arrow(right, (77, 33), (63, 24))
    _arrow(right, (32, 13), (45, 13))
    _arrow(right, (69, 13), (83, 13))
    _box(right, 91, 13, 15, 16, "$\\hat y_{ij}$", _OUTPUT, 9)
    return fig


def fig02(frame: pl.DataFrame) -> Figure:
    """Fig 2: a toy example of both explanations, by each writer.

    Parameters
    ----------
    frame : writer, history, candidate, positive, negative
    """
    height = 1.1 + 1.4 * frame.height
    fig, axes = _canvas(height, 2)
    history, candidate = frame.select("history", "candidate").row(0)
    asked = "\n".join(plain(line, 46) for line in (f"Bought so far: {history}", f"Candidate: {candidate}"))
    share = 100 / height  # of the canvas, for an inch
    sides = (("(a) Why she would buy it", "positive", _PLUS), ("(b) Why she would not", "negative", _MINUS))
    for ax, (title, slot, fill) in zip(axes, sides, strict=True):
        ax.set_title(title)
        _box(ax, 50, 100 - 0.4 * share, 96, 0.7 * share, asked, _INPUT)
        _arrow(ax, (50, 100 - 0.75 * share), (50, 100 - 1.05 * share))
        for place, (writer, answer) in enumerate(frame.select("writer", slot).iter_rows()):
            middle = 100 - (1.9 + 1.4 * place) * share
            ax.text(3, middle + 0.5 * share, plain(writer), color="#666666", fontsize=SMALL, va="bottom")
            _box(ax, 50, middle, 96, 0.9 * share, plain(answer, 48), fill)
    return fig


def fig03(context: bool = True) -> Figure:
    """Fig 3: the architecture, from texts and ids to the predicted outcome.

    Parameters
    ----------
    context : whether the sixth token is drawn (Sec 3.5.3 lists it, App 10.1 does not).
    """
    fig, (ax,) = _canvas(6.6)
    for x, width, title in ((0.5, 38, "Explanation generator"), (40.5, 59, "DNN recommendation component (width 8)")):
        style = "round,pad=0,rounding_size=1.5"
        ax.add_patch(FancyBboxPatch((x, 0.5), width, 99, boxstyle=style, fc="none", ec=OTHER, ls="--"))
        ax.text(x + 1.5, 96.5, title, fontsize=8, weight="bold", va="center")
    _generator(ax)
    names = ["positive", "negative", "consumer", "product", "sequence", *(["context"] if context else [])]
    step = 57 / len(names)
    centres = [41.5 + step * (k + 0.5) for k in range(len(names))]
    for name, x in zip(names, centres, strict=True):
        _box(ax, x, 56, step - 1, 6, name, {"positive": _PLUS, "negative": _MINUS}.get(name, _INPUT))
        _arrow(ax, (x, 59), (x, 66.5), "8")
    sources = ("Consumer\nid", "Product\nid", "Last five\nitems", "Context\ncolumns")
    parts = ("Table\n$E_c$", "Table\n$E_p$", "Attention\n(Eq 6-9),\nGRU", "MLP")
    for k, x in enumerate(centres[2:]):
        _box(ax, x, 9, step - 1, 9, sources[k], _INPUT)
        _box(ax, x, 32, step - 0.6, 13, parts[k], _MODEL)
        _arrow(ax, (x, 13.5), (x, 25.5), ("1", "1", "5", "")[k])
        _arrow(ax, (x, 38.5), (x, 53), "8")
    # Both codes travel over the generator's top edge and down between the frames to their tokens.
    for k, x in enumerate((10.5, 28.5)):
        across, down, into = 93.0 - 1.6 * k, 39.9 - 0.8 * k, 44.0 - 3.0 * k
        ax.plot([x, x, down, down, centres[k]], [88, across, across, into, into], color="#444444", lw=0.9)
        _arrow(ax, (centres[k], into), (centres[k], 53), "8")
    middle, width = 70, 55
    _box(ax, middle, 70, width, 7, "Self-attention over the tokens (Eq 26-28)", _MODEL)
    _arrow(ax, (middle, 73.5), (middle, 78.5), f"{len(names)} \N{MULTIPLICATION SIGN} 8 = {8 * len(names)}")
    _box(ax, middle, 81.5, width, 6, "MLP 64, 8, 1 with ReLU", _MODEL)
    _arrow(ax, (middle, 84.5), (middle, 88.5), "1")
    _box(ax, middle, 91.3, 26, 5.5, "Sigmoid: $\\hat y_{ij}$", _OUTPUT)
    return fig


def _generator(ax: Axes) -> None:
    """The left half of Figure 3: items to sentences to codes, past the profiles or through them."""
    times = "\N{MULTIPLICATION SIGN}"
    _box(ax, 9.5, 6.5, 16, 9, "Last five items\n$j_1, \\ldots, j_5$", _INPUT)
    _box(ax, 29.5, 6.5, 16, 9, "Candidate $j$", _INPUT)
    _box(ax, 19.5, 22.5, 15, 9, "LLM: profiles\n(optional)", _LLM)
    for x, slot, fill in ((10.5, "did", _PLUS), (28.5, "did not", _MINUS)):
        outer = 4.5 if slot == "did" else 34.5
        _box(ax, x, 44, 17, 11, f"LLM: one\nsentence why the\nconsumer {slot}", fill)
        _arrow(ax, (outer, 14), (outer, 38.5))
        _arrow(ax, (0.5 * x + 9.75, 27), (x + (2 if slot == "did" else -2), 38.5), ls="--")
        _arrow(ax, (x, 49.5), (x, 60), "50 words")
        _arrow(ax, (x, 73), (x, 81), "8")
        _box(ax, x, 84.5, 16, 7, "AE(positive)" if fill == _PLUS else "AE(negative)", fill)
    # Both meet in one line, from which either sentence is asked for, with profiles or without.
    ax.plot([4.5, 34.5], [14, 14], color="#444444", lw=0.9)
    ax.plot([9.5, 9.5, 29.5, 29.5], [11, 14, 14, 11], color="#444444", lw=0.9)
    _arrow(ax, (19.5, 14), (19.5, 18), ls="--")
    _box(ax, 19.5, 66.5, 35, 13, f"AutoEncoder, encoder half:\n50 words {times} 8 = 400,\nto 64, to 8", _MODEL)


def fig04() -> Figure:
    """Fig 4: the AutoEncoder that turns a sentence into eight numbers."""
    fig, (ax,) = _canvas(2.7)
    times = "\N{MULTIPLICATION SIGN}"
    layers = (
        (27, 80, "400", f"word vectors,\n50 {times} 8"),
        (38.5, 56, "64", "ReLU"),
        (50, 24, "8", "code\nAE$(\\cdot)$"),
        (61.5, 56, "64", "ReLU"),
        (73, 80, "400", f"read as\n50 {times} 8"),
    )
    for k, (x, height, width, below) in enumerate(layers):
        _box(ax, x, 57, 6.5, height, width, _PLUS if width == "8" else _MODEL, 8)
        ax.text(x, 57 - height / 2 - 2, below, ha="center", va="top", fontsize=SMALL)
        if k:
            _arrow(ax, (layers[k - 1][0] + 3.3, 57), (x - 3.3, 57))
    _box(ax, 9, 57, 17, 30, "Words of one\nexplanation,\nat most 50", _INPUT)
    _arrow(ax, (17.5, 57), (23.7, 57))
    _box(ax, 91, 57, 17, 30, f"Scores against\nthe word table,\n50 {times} $|V|$", _INPUT)
    _arrow(ax, (76.3, 57), (82.5, 57))
    for x, half in ((38.5, "encoder"), (61.5, "decoder")):
        ax.text(x, 99, half, ha="center", va="top", color=POSITIVE, fontsize=8)
    _box(ax, 91, 15, 17, 26, "Loss:\ncross-entropy over\nthe real words", _OUTPUT)
    _arrow(ax, (91, 42), (91, 28))
    ax.plot([9, 9, 82.5], [42, 3, 3], color="#444444", lw=0.9, ls="--")
    _arrow(ax, (81, 3), (82.5, 3))
    return fig
