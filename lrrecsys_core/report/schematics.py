"""Figures 1-4: drawings of the method, not of results."""

from __future__ import annotations

from typing import Final

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from lrrecsys_core.report.style import OTHER, OURS, panels, plain

_INPUT: Final = "#eaf2f8"
_MODEL: Final = "#e8e8e8"
_OUTPUT: Final = "#e6f4ea"
_PLUS: Final = "#dceaf7"
_MINUS: Final = "#fbeacb"
_LLM: Final = "#f3e3f1"


def _canvas(width: float, height: float, columns: int = 1) -> tuple[Figure, list[Axes]]:
    fig, [axes] = panels(1, columns, width / columns, height)
    for ax in axes:
        ax.set_axis_off()
        ax.set_xlim(0, 100)
        ax.set_ylim(0, 100)
    return fig, axes


def _box(ax: Axes, x: float, y: float, w: float, h: float, text: str, fill: str, size: float = 8) -> None:
    """A rounded box centred at (x, y)."""
    style = "round,pad=0,rounding_size=1.5"
    ax.add_patch(FancyBboxPatch((x - w / 2, y - h / 2), w, h, boxstyle=style, fc=fill, ec="#555555", lw=0.8))
    ax.text(x, y, text, ha="center", va="center", fontsize=size)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], dashed: bool = False) -> None:
    line = "--" if dashed else "-"
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, lw=0.9, color="#444444", ls=line))


def fig01() -> Figure:
    """Fig 1: a generic recommender beside LR-Recsys."""
    fig, (left, right) = _canvas(10, 4.2, 2)
    left.set_title("(a) A generic recommender")
    for y, text in ((80, "Consumer $i$"), (50, "Past purchases\n$j_1, \\ldots, j_n$"), (20, "Product $j$")):
        _box(left, 18, y, 30, 16, text, _INPUT)
        _arrow(left, (33, y), (46, 50 + (y - 50) * 0.18))
    _box(left, 60, 50, 28, 30, "Black-box model\n$f(\\cdot)$", _MODEL)
    _arrow(left, (74, 50), (84, 50))
    _box(left, 92, 50, 15, 16, "$\\hat y_{ij}$", _OUTPUT, 10)

    right.set_title("(b) LR-Recsys: reasons become inputs")
    for y, text in ((88, "Past purchases\n$j_1, \\ldots, j_n$"), (64, "Product $j$")):
        _box(right, 11, y, 21, 15, text, _INPUT, 7.5)
    _box(right, 37, 76, 20, 24, "LLM:\nwhy would she,\nwhy not?", _LLM, 7.5)
    _arrow(right, (21.5, 88), (27, 81))
    _arrow(right, (21.5, 66), (27, 72))
    _box(right, 62, 86, 21, 13, "Positive reason", _PLUS, 7.5)
    _box(right, 62, 66, 21, 13, "Negative reason", _MINUS, 7.5)
    _arrow(right, (47, 79), (51.5, 85))
    _arrow(right, (47, 73), (51.5, 67))
    _box(right, 62, 30, 26, 30, "DNN component", _MODEL)
    _box(right, 87, 76, 19, 18, "AutoEncoder\n$\\mathrm{AE}(\\cdot)$", _MODEL, 7.5)
    _arrow(right, (72.5, 86), (77.5, 80))
    _arrow(right, (72.5, 66), (77.5, 72))
    _arrow(right, (84, 67), (75, 42))
    _box(right, 18, 30, 35, 20, "Consumer $i$, product $j$,\npast purchases", _INPUT, 7.5)
    _arrow(right, (35.5, 30), (49, 30))
    _arrow(right, (75, 30), (83, 30))
    _box(right, 90.5, 30, 15, 16, "$\\hat y_{ij}$", _OUTPUT, 10)
    return fig


def fig02(frame: pl.DataFrame) -> Figure:
    """Fig 2: a toy example of both explanations, by each writer.

    Parameters
    ----------
    frame : writer, history, candidate, positive, negative
    """
    height = 1.1 + 1.4 * frame.height
    fig, axes = _canvas(10, height, 2)
    history, candidate = frame.select("history", "candidate").row(0)
    asked = "\n".join(plain(line, 60) for line in (f"Bought so far: {history}", f"Candidate: {candidate}"))
    share = 100 / height  # of the canvas, for an inch
    sides = (("(a) Why she would buy it", "positive", _PLUS), ("(b) Why she would not", "negative", _MINUS))
    for ax, (title, slot, fill) in zip(axes, sides, strict=True):
        ax.set_title(title)
        _box(ax, 50, 100 - 0.4 * share, 96, 0.7 * share, asked, _INPUT, 8)
        _arrow(ax, (50, 100 - 0.75 * share), (50, 100 - 1.05 * share))
        for place, (writer, answer) in enumerate(frame.select("writer", slot).iter_rows()):
            middle = 100 - (1.9 + 1.4 * place) * share
            ax.text(3, middle + 0.5 * share, plain(writer), color=OTHER, fontsize=7, va="bottom")
            _box(ax, 50, middle, 96, 0.9 * share, plain(answer, 60), fill, 8)
    return fig


def fig03(context: bool = True) -> Figure:
    """Fig 3: the architecture, from texts and ids to the predicted outcome.

    Parameters
    ----------
    context : whether the sixth token is drawn (Sec 3.5.3 lists it, App 10.1 does not).
    """
    fig, (ax,) = _canvas(10, 6.2)
    ax.add_patch(
        FancyBboxPatch((1, 1), 46, 97, boxstyle="round,pad=0,rounding_size=1.5", fc="none", ec=OTHER, ls="--", lw=0.9)
    )
    ax.add_patch(
        FancyBboxPatch((50, 1), 49, 97, boxstyle="round,pad=0,rounding_size=1.5", fc="none", ec=OTHER, ls="--", lw=0.9)
    )
    ax.text(3, 94.5, "Contrastive-explanation generator", fontsize=9, weight="bold", va="center")
    ax.text(52, 94.5, "DNN recommendation component (width 8)", fontsize=9, weight="bold", va="center")
    _box(ax, 12, 8, 18, 8, "Last five items\n$j_1, \\ldots, j_5$", _INPUT, 7.5)
    _box(ax, 36, 8, 18, 8, "Candidate $j$", _INPUT, 7.5)
    _box(ax, 24, 24, 38, 8, "LLM: item profiles (optional)", _LLM, 7.5)
    _arrow(ax, (12, 12), (17, 20), dashed=True)
    _arrow(ax, (36, 12), (31, 20), dashed=True)
    _box(ax, 13, 42, 20, 11, "LLM: one sentence\nwhy the consumer did", _PLUS, 7.5)
    _box(ax, 35, 42, 20, 11, "LLM: one sentence\nwhy the consumer did not", _MINUS, 7.5)
    _arrow(ax, (18, 28), (14, 36.5))
    _arrow(ax, (30, 28), (34, 36.5))
    _box(ax, 24, 63, 38, 11, "AutoEncoder, encoder half\n50 words x 8 = 400 to 64 to 8", _MODEL, 7.5)
    _arrow(ax, (13, 47.5), (16, 57.5))
    _arrow(ax, (35, 47.5), (32, 57.5))
    _box(ax, 13, 82, 20, 9, "$\\mathrm{AE}$(positive)", _PLUS, 7.5)
    _box(ax, 35, 82, 20, 9, "$\\mathrm{AE}$(negative)", _MINUS, 7.5)
    _arrow(ax, (16, 68.5), (13, 77.5))
    _arrow(ax, (32, 68.5), (35, 77.5))
    tokens = [
        ("positive", _PLUS),
        ("negative", _MINUS),
        ("consumer", _INPUT),
        ("product", _INPUT),
        ("sequence", _INPUT),
    ]
    tokens += [("context", _INPUT)] if context else []
    step = 45 / len(tokens)
    centres = [52 + step * (k + 0.5) for k in range(len(tokens))]
    for x, (name, fill) in zip(centres, tokens, strict=True):
        _box(ax, x, 52, step - 1, 7, name, fill, 7)
        _arrow(ax, (x, 55.5), (x, 61))
    sources = {2: "Consumer\nid", 3: "Product\nid", 4: "Last five\nitems", 5: "Context\ncolumns"}
    parts = {2: "Table\n$E_c$", 3: "Table\n$E_p$", 4: "Self-attention,\nthen GRU", 5: "MLP"}
    for k in range(2, len(tokens)):
        _box(ax, centres[k], 12, step - 1, 10, sources[k], _INPUT, 7)
        _box(ax, centres[k], 32, step - (0.2 if k == 4 else 1), 12, parts[k], _MODEL, 6 if k == 4 else 7)
        _arrow(ax, (centres[k], 17), (centres[k], 26))
        _arrow(ax, (centres[k], 38), (centres[k], 48.5))
    # Both codes travel over the generator's top edge and down between the frames to their tokens.
    for k, x in enumerate((13, 35)):
        across, down, into = 90.0 - 1.6 * k, 48.9 - 0.8 * k, 41.0 - 3.0 * k
        ax.plot([x, x, down, down, centres[k]], [86.5, across, across, into, into], color="#444444", lw=0.9)
        _arrow(ax, (centres[k], into), (centres[k], 48.5))
    _box(ax, 74.5, 65, 45, 8, "Self-attention over the tokens (Eq 26-28)", _MODEL, 7.5)
    _arrow(ax, (74.5, 69), (74.5, 73))
    _box(ax, 74.5, 77, 45, 8, "MLP 64, 8, 1 with ReLU", _MODEL, 7.5)
    _arrow(ax, (74.5, 81), (74.5, 84))
    _box(ax, 74.5, 87.5, 24, 7, "Sigmoid: $\\hat y_{ij}$", _OUTPUT, 8)
    return fig


def fig04() -> Figure:
    """Fig 4: the AutoEncoder that turns a sentence into eight numbers."""
    fig, (ax,) = _canvas(10, 3.8)
    layers = (
        (26, 84, "400", "word vectors,\n50 x 8"),
        (38, 56, "64", "ReLU"),
        (50, 22, "8", "code\n$\\mathrm{AE}(\\cdot)$"),
        (62, 56, "64", "ReLU"),
        (74, 84, "400", "read as\n50 x 8"),
    )
    for k, (x, height, width, below) in enumerate(layers):
        _box(ax, x, 56, 6, height, width, _OUTPUT if width == "8" else _MODEL, 9)
        ax.text(x, 56 - height / 2 - 3, below, ha="center", va="top", fontsize=7)
        if k:
            _arrow(ax, (layers[k - 1][0] + 3, 56), (x - 3, 56))
    _box(ax, 9, 56, 16, 26, "Words of one\nexplanation,\nat most 50", _INPUT, 8)
    _arrow(ax, (17, 56), (23, 56))
    _box(ax, 91, 56, 16, 26, "Scores against\nthe word table,\n50 x |V|", _INPUT, 8)
    _arrow(ax, (77, 56), (83, 56))
    ax.text(38, 99, "encoder", ha="center", va="top", color=OURS, fontsize=8)
    ax.text(62, 99, "decoder", ha="center", va="top", color=OURS, fontsize=8)
    ax.text(9, 24, "Loss: cross-entropy over\nthe real words", ha="center", va="top", fontsize=7)
    return fig
