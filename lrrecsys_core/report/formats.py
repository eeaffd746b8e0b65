"""A grid of text as CSV, Markdown and LaTeX, escaped, byte for byte the same on every run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from lrrecsys_core import paths

P_DIGITS: Final = 3  # decimals of a printed p-value, by which verdicts go too
_LATEX: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
        "\n": " ", "\r": " ", "*": r"\(*\)", "[": "{[}", "±": r"\(\pm\)",
    }
)  # fmt: skip
_MARKDOWN: Final = str.maketrans(
    {c: "\\" + c for c in "\\`*_[]|#"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " ", "\r": " "}
)


@dataclass(frozen=True, slots=True)
class Grid:
    """A titled grid of unescaped text.

    Parameters
    ----------
    caption : str
    header : sequence of str
    body : sequence of rows, each as long as the header
    """

    caption: str
    header: Sequence[str]
    body: Sequence[Sequence[str]]


def latex(text: str) -> str:
    """Text in which nothing is a LaTeX command any more."""
    return text.translate(_LATEX)


def markdown(text: str) -> str:
    """Text in which nothing is Markdown or HTML any more."""
    return text.translate(_MARKDOWN)


def number(value: object, digits: int = 4) -> str:
    """A figure with fixed decimals; "" for None and NaN."""
    if value is None or not isinstance(value, int | float) or math.isnan(value):
        return ""
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return f"{value:.{digits}f}"


def effect(value: object) -> str:
    """A difference: four decimals, or two significant digits down to a millionth, where these would say too little."""
    if isinstance(value, float) and 1e-6 <= abs(value) < 1e-3:
        return significant(value)
    return number(value)


def significant(value: float, digits: int = 2) -> str:
    """A number with so many significant digits and no exponent: a small slope is not a slope of zero."""
    return np.format_float_positional(value, precision=digits, unique=False, fractional=False).rstrip(".")


def p_value(value: object) -> str:
    """A p-value with three decimals, "<0.001" below that; "" for None and NaN."""
    if not isinstance(value, float) or math.isnan(value):
        return ""
    return "<0.001" if value < 0.001 else f"{value:.{P_DIGITS}f}"


def one_note(*parts: str) -> str:
    """The parts that say something, separated by "; "."""
    return "; ".join(filter(None, parts))


def to_markdown(title: str, notes: Iterable[str], grids: Iterable[Grid]) -> str:
    """One Markdown document."""
    lines = [f"# {markdown(title)}", ""]
    for note in notes:
        lines += [markdown(note), ""]
    for grid in grids:
        lines += [f"**{markdown(grid.caption)}**", ""] if grid.caption else []
        lines.append("| " + " | ".join(markdown(cell) for cell in grid.header) + " |")
        lines.append("|" + " --- |" * len(grid.header))
        lines += ["| " + " | ".join(markdown(cell) for cell in row) + " |" for row in grid.body]
        lines.append("")
    return "\n".join(lines)


def to_latex(title: str, notes: Iterable[str], grids: Iterable[Grid]) -> str:
    """LaTeX ``table`` environments (packages booktabs and graphicx)."""
    notes = list(notes)
    lines = []
    for grid in grids:
        lines += [
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{latex(title + ('. ' + grid.caption if grid.caption else ''))}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{{'l' * len(grid.header)}}}",
            r"\toprule",
            " & ".join(latex(cell) for cell in grid.header) + r" \\",
            r"\midrule",
            *(" & ".join(latex(cell) for cell in row) + r" \\" for row in grid.body),
            r"\bottomrule",
            r"\end{tabular}}",
            *(rf"\par\footnotesize {latex(note)}" for note in notes),
            r"\end{table}",
            "",
        ]
    return "\n".join(lines)


def write_all(
    folder: Path, stem: str, frame: pl.DataFrame, title: str, notes: Sequence[str], grids: Sequence[Grid]
) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex``, each atomically.

    Floats of the CSV are rounded to six decimals, beyond which sums in another order may differ.
    """
    rounded = frame.with_columns(pl.col(pl.Float64, pl.Float32).round(6))
    contents = {
        "csv": rounded.write_csv(),
        "md": to_markdown(title, notes, grids),
        "tex": to_latex(title, notes, grids),
    }
    for suffix, content in contents.items():
        with paths.replacing(folder / f"{stem}.{suffix}") as partial:
            partial.write_text(content, encoding="utf-8", newline="\n")
