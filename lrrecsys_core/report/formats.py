"""A grid of text as CSV, Markdown and LaTeX, escaped, byte for byte the same on every run."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from lrrecsys_core import paths

P_DIGITS: Final = 3  # decimals of a printed p-value, by which verdicts go too
_LATEX: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\(\sim\)", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
        "\n": " ", "\r": " ", "*": r"\(*\)", "[": "{[}", "±": r"\(\pm\)", "≠": r"\(\neq\)", "°": r"\(\circ\)",
        "†": r"\(\dagger\)", "‡": r"\(\ddagger\)", "∅": r"\(\emptyset\)", "⊘": r"\(\oslash\)", "–": "--", "−": r"\(-\)",
        "↓": r"\(\downarrow\)", "↑": r"\(\uparrow\)",
    }
)  # fmt: skip
# Points of LaTeX: the text of a page is 6.5 inches wide, a gap twice 2.5; letters of Computer Modern at 7 points.
_ROOM: Final = 469.0
_GAP: Final = 5.0
_POINTS: Final = {
    **dict.fromkeys("ABCDEFGHIJKLNOPQRSTUVXYZ+=≠~−", 6.2), **dict.fromkeys("MW%mw–", 7.4),
    **dict.fromkeys("0123456789*°∅⊘", 4.15), **dict.fromkeys("ijlrtfs.,:;!'()[]/|- ", 3.2),
}  # fmt: skip
NAMES: Final = {
    "movielens": "MovieLens", "tripadvisor": "TripAdvisor (LARA)", "yelp": "Yelp", "amazon": "Amazon Movie",
    "movielens-imported": "MovieLens (imported texts)", "movielens-u1": "MovieLens u1",
    "amazon_upr": "Amazon (UPR)", "tripadvisor_peter_fifth": "TripAdvisor, a fifth",
    "tripadvisor-peter": "TripAdvisor (PETER)",
    "yelp-open": "Yelp (open)", "hotels": "Hotels", "restaurants": "Restaurants", "movies": "Movies",
    "theory": "Theory",
    "null-hotels": "Null hotels", "null-restaurants": "Null restaurants", "null-movies": "Null movies",
}  # fmt: skip
NOTES: Final = 3  # lines of notes under a table; further ones lie in a file beside it
_MARKDOWN: Final = str.maketrans(
    {c: "\\" + c for c in "\\`*_[]|#~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;", "\n": " ", "\r": " "}
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that is more than a string; all text is unescaped.

    Parameters
    ----------
    text : str
    below : a second line, as a standard deviation.
    look : "bold", "underlined", both, or what the page calls its style.
    """

    text: str
    below: str = ""
    look: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A titled grid of unescaped text.

    Parameters
    ----------
    caption : str
    header : sequence of str
    body : sequence of rows, each as long as the header
    groups : names above the header and how many columns each spans, all columns in order; none if empty
    rules : where a rule stands before a row: the row's index, and a name for what follows, or ""
    foot : what stands beneath it
    """

    caption: str
    header: Sequence[str]
    body: Sequence[Sequence[str | Cell]]
    groups: Sequence[tuple[str, int]] = ()
    rules: Mapping[int, str] = field(default_factory=dict)
    foot: Sequence[str] = ()

    @property
    def cells(self) -> list[list[Cell]]:
        """The body with every cell as a `Cell`."""
        return [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in self.body]


def latex(text: str) -> str:
    """Text in which nothing is a LaTeX command any more."""
    return re.sub(r"(?:\\\(\*\\\))+", lambda stars: rf"\(^{{{'*' * (len(stars[0]) // 5)}}}\)", text.translate(_LATEX))


def markdown(text: str) -> str:
    """Text in which nothing is Markdown or HTML any more."""
    return text.translate(_MARKDOWN)


def minus(text: str) -> str:
    """A number with the sign that its axis has."""
    return text.replace("-", "\N{MINUS SIGN}")


def number(value: object, digits: int = 4) -> str:
    """A figure with fixed decimals, no sign before zero; "" for None and NaN."""
    if value is None or not isinstance(value, int | float) or math.isnan(value):
        return ""
    return minus(str(value) if math.isinf(value) else f"{value:z.{digits}f}")


def percent(value: float) -> str:
    """A gain in percent, signed."""
    return minus(f"{value:+z.2f}%")


def effect(value: object) -> str:
    """A difference: four decimals, or two significant digits down to a millionth, where these would say too little."""
    if isinstance(value, float) and 1e-6 <= abs(value) < 1e-3:
        return significant(value)
    return number(value)


def significant(value: float, digits: int = 2) -> str:
    """A number with so many significant digits and no exponent: a small slope is not a slope of zero."""
    return minus(np.format_float_positional(value, precision=digits, unique=False, fractional=False).rstrip("."))


def named(title: str) -> str:
    """A title with the proper name of its data set."""
    name = re.split("[ :]", title, maxsplit=1)[0]
    return NAMES.get(name, name) + title[len(name) :]


def p_value(value: object) -> str:
    """A p-value with three decimals, "<0.001" below that; "" for None and NaN."""
    if not isinstance(value, float) or math.isnan(value):
        return ""
    return "<0.001" if value < 0.001 else f"{value:.{P_DIGITS}f}"


def one_note(*parts: str) -> str:
    """The parts that say something, separated by "; "."""
    return "; ".join(filter(None, parts))


def to_markdown(title: str, notes: Iterable[str], grids: Iterable[Grid]) -> str:
    """One Markdown document, its notes under the grids."""
    lines = [f"# {markdown(title)}", ""]
    for grid in grids:
        lines += [f"**{markdown(grid.caption)}**", ""] if grid.caption else []
        above = [name for name, count in grid.groups for _ in range(count)] or [""] * len(grid.header)
        names = [f"{group} {name}".strip() for group, name in zip(above, grid.header, strict=True)]
        lines.append("| " + " | ".join(map(markdown, names)) + " |")
        lines.append("|" + " --- |" * len(grid.header))
        for k, row in enumerate(grid.cells):
            if grid.rules.get(k):
                lines.append(f"| *{markdown(grid.rules[k])}* |" + " |" * (len(grid.header) - 1))
            lines.append("| " + " | ".join(map(_in_markdown, row)) + " |")
        lines.append("")
        lines += [line for foot in grid.foot for line in (markdown(foot), "")]
    for note in notes:
        lines += [markdown(note), ""]
    return "\n".join(lines)


def _in_markdown(cell: Cell) -> str:
    text = markdown(cell.text)
    text = f"**{text}**" if "bold" in cell.look else text
    text = f"<u>{text}</u>" if "underlined" in cell.look else text
    return text + (f"<br>{markdown(cell.below)}" if cell.below else "")


def to_latex(title: str, notes: Iterable[str], grids: Iterable[Grid], label: str = "tab") -> str:
    r"""LaTeX ``longtable`` environments in \scriptsize, 6.5 inches wide (packages array, booktabs and longtable).

    LaTeX numbers tables itself, so the paper's number is left out of the caption; the label has it.
    """
    named = re.sub(r"^(Table \d+|Side table)\. ", "", title)
    lines = [r"{\scriptsize\raggedright\setlength{\tabcolsep}{2.5pt}\setlength{\LTcapwidth}{\textwidth}"]
    parts = [part for grid in grids for part in _that_fit(grid)]
    for k, grid in enumerate(parts):
        caption = latex(named + (f". {grid.caption}" if grid.caption else ""))
        lines += _long_table(grid, rf"\caption{{{caption}}}\label{{{label}{f'-{k + 1}' if k else ''}}}\\")
        lines += [rf"\noindent {latex(foot)}\par" for foot in grid.foot]
    lines += [rf"\noindent {latex(note)}\par" for note in notes]
    return "\n".join([*lines, "}", ""])


def _long_table(grid: Grid, caption: str) -> list[str]:
    above = [name for name, count in grid.groups for _ in range(count)] or [""] * len(grid.header)
    columns = "".join(
        rf">{{\{'centering' if group else 'raggedright'}\arraybackslash}}p{{{width:.1f}pt}}"
        for group, width in zip(above, _widths(grid), strict=True)
    )
    head = [r"\toprule"]
    if grid.groups:
        spans, rules, at = [], "", 1
        for name, count in grid.groups:
            spans.append(rf"\multicolumn{{{count}}}{{c}}{{{latex(name)}}}" if name else "&" * (count - 1))
            rules += rf"\cmidrule(lr){{{at}-{at + count - 1}}}" if name else ""
            at += count
        head += [" & ".join(spans) + r" \\", rules]
    head += [" & ".join(map(latex, grid.header)) + r" \\", r"\midrule"]
    lines = [rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}", caption, *head, r"\endfirsthead", *head, r"\endhead"]
    for k, row in enumerate(grid.cells):
        if k in grid.rules:
            lines += [r"\midrule"] if k else []
            name = rf"\multicolumn{{{len(grid.header)}}}{{@{{}}l}}{{\textit{{{latex(grid.rules[k])}}}}} \\*"
            lines += [name] if grid.rules[k] else []
        lines.append(" & ".join(map(_in_latex, row)) + r" \\")
    return [*lines, r"\bottomrule", r"\end{longtable}"]


def _in_latex(cell: Cell) -> str:
    text = latex(cell.text)
    text = rf"\textbf{{{text}}}" if "bold" in cell.look else text
    text = rf"\underline{{{text}}}" if "underlined" in cell.look else text
    return text + (rf"\newline {latex(cell.below)}" if cell.below else "")


def _columns(grid: Grid) -> list[list[tuple[str, float]]]:
    """The lines of text of each column, header first, with a factor for their width."""
    body = list(zip(*grid.cells, strict=True)) or [()] * len(grid.header)
    return [
        [(name, 1.0), *((cell.text, 1.16 if "bold" in cell.look else 1.0) for cell in column)]
        + [(cell.below, 1.0) for cell in column]
        for name, column in zip(grid.header, body, strict=True)
    ]


def _widest_word(lines: Sequence[tuple[str, float]]) -> float:
    return max(_points(word, factor) for line, factor in lines for word in line.split(" "))


def _points(text: str, factor: float = 1.0) -> float:
    return factor * sum(_POINTS.get(letter, 4.4) for letter in text)


def _that_fit(grid: Grid) -> list[Grid]:
    """The grid, or several of neighbouring columns beside the first one, no group of columns torn apart."""
    least = [_widest_word(lines) + _GAP for lines in _columns(grid)]
    spans = list(grid.groups) or [("", 1)] * len(grid.header)
    at, parts = spans[0][1], [[0]]
    for _, count in spans[1:]:
        if sum(least[k] for k in parts[-1]) + sum(least[at : at + count]) > _ROOM and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1] += range(at, at + count)
        at += count
    if len(parts) == 1:
        return [grid]
    of = [k for k, (_, count) in enumerate(spans) for _ in range(count)]
    return [
        replace(
            grid,
            header=[grid.header[k] for k in part],
            body=[[row[k] for k in part] for row in grid.body],
            groups=[spans[k] for k in dict.fromkeys(of[k] for k in part)] if grid.groups else (),
        )
        for part in parts
    ]


def _widths(grid: Grid) -> list[float]:
    """Width of each column in points: its widest word's, then more for whichever column breaks most lines."""
    columns = [[_points(*line) for line in lines] for lines in _columns(grid)]
    widths = [_widest_word(lines) for lines in _columns(grid)]
    step, room = 4.0, _ROOM - _GAP * (len(widths) - 1)
    while sum(widths) + step <= room:
        broken = [
            sum(max(0.0, line / width - 1) for line in lines) for lines, width in zip(columns, widths, strict=True)
        ]
        if not any(broken):
            break
        widths[broken.index(max(broken))] += step
    return widths


def write_all(
    folder: Path, stem: str, frame: pl.DataFrame, title: str, notes: Sequence[str], grids: Sequence[Grid]
) -> None:
    """Write ``<stem>.csv``, ``.md`` and ``.tex``, each atomically; notes beyond three into ``<stem>_notes.md``.

    Floats of the CSV are rounded to six decimals, beyond which sums in another order may differ.
    """
    rounded = frame.with_columns(pl.col(pl.Float64, pl.Float32).round(6))
    under, beside = list(notes[:NOTES]), notes[NOTES:]
    further = f"{stem}_notes.md"
    if beside:
        under[-1] += f" Further notes: {further}."
    contents = {
        f"{stem}.csv": rounded.write_csv(),
        f"{stem}.md": to_markdown(title, under, grids),
        f"{stem}.tex": to_latex(title, under, grids, f"tab:{folder.name}-{stem}"),
    }
    if beside:
        contents[further] = to_markdown(f"Notes on {title}", beside, [])
    else:
        (folder / further).unlink(missing_ok=True)
    for name, content in contents.items():
        with paths.replacing(folder / name) as partial:
            partial.write_text(content, encoding="utf-8", newline="\n")
