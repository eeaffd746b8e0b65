"""What notebooks show and how: quiet, one thread, tables and figures that read the same everywhere."""

from __future__ import annotations

import inspect
import logging
import math
import os
import textwrap
import warnings
from collections.abc import Callable

import numpy as np
import polars as pl
from IPython import get_ipython
from IPython.display import Image, Markdown, display
from matplotlib import rcParams

from lrrecsys_core import paths
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.report.drawings import BY_NAME, draw, place
from lrrecsys_core.report.formats import Grid, markdown, named, significant, to_markdown
from lrrecsys_core.report.kept import keep
from lrrecsys_core.report.style import titled, use_style
from lrrecsys_core.study.study import Study

OUTCOME = "what came out"  # of the box that `opening` shows and `came_out` fills in


def setup() -> None:
    """Make a notebook's output depend on its code alone.

    One thread, so that sums come out in one order on any machine; no warnings, log lines or bars of other libraries,
    which nbval would compare.
    """
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["PYTHONWARNINGS"] = "ignore"  # for the worker processes
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    import torch

    torch.set_num_threads(1)
    use_style()
    _box("Run the cells below: what came out then stands here.", update=False)


def label(dataset: Dataset) -> str:
    """Title of a data set in a figure."""
    return titled(dataset)


def came_out(*sentences: str) -> Markdown:
    """Fill in the box at the top of the notebook with what its cells found, and show it here as well."""
    told = sentences or ("nothing that could be compared was run",)
    return _box("\n".join(f"> - {markdown(sentence)}" for sentence in told), update=True)


def verdict_lines(verdicts: pl.DataFrame) -> list[str]:
    """A sentence per claim: its statement, and each verdict with the data sets that gave it."""
    lines = []
    for (claim, statement), part in verdicts.group_by("claim", "statement", maintain_order=True):
        words = part.group_by("verdict", maintain_order=True).agg("dataset").rows()
        told = (f"{verdict} ({', '.join(map(named, where))})" for verdict, where in words)
        lines.append(f"{claim}, {statement}: " + "; ".join(told))
    return lines


def _box(text: str, *, update: bool) -> Markdown:
    box = Markdown(f"> **What came out**\n>\n> {text.removeprefix('> ')}")
    display(box, display_id=OUTCOME, update=update)
    return box


def table(frame: pl.DataFrame) -> Markdown:
    """A frame to be read: left-aligned, data sets by name (in columns `dataset` or `data set`, and as headings),
    three digits of the largest number of a column."""
    columns = [_printed(column) for column in frame]
    heads = ["data set" if name == "dataset" else named(name).replace("_", " ") for name in frame.columns]
    lines = [heads, *(list(row) for row in zip(*columns, strict=True))]
    header, *body = ("| " + " | ".join(markdown(cell) for cell in line) + " |" for line in lines)
    return Markdown("\n".join([header, "|" + " :--- |" * frame.width, *body]))


def _printed(column: pl.Series) -> list[str]:
    if not column.dtype.is_numeric():
        texts = ["" if value is None else str(value) for value in column]
        return list(map(named, texts)) if column.name in ("dataset", "data set") else texts
    values = column.cast(pl.Float64).to_numpy()
    largest = np.max(np.abs(values), where=np.isfinite(values), initial=0.0)
    exact = column.dtype.is_integer() or not largest
    digits = 0 if exact else min(max(2 - math.floor(math.log10(largest)), 0), 4)

    def printed(value: float) -> str:
        if not math.isfinite(value):
            return ""
        small = 0 < abs(value) < 0.5 * 10**-digits  # 0.0004 is not 0.00
        text = significant(value, 1) if small else f"{value:z,.{digits}f}"
        return text.replace("-", "−")

    return list(map(printed, values))


def source(*things: Callable[..., object]) -> Markdown:
    """The code of functions and methods, as it runs."""
    code = "\n\n".join(textwrap.dedent(inspect.getsource(thing)).strip() for thing in things)
    return Markdown(f"```python\n{code}\n```")


def with_texts(study: Study) -> list[str]:
    """Names of the data sets whose items have something to read; says why the others are left out."""
    reasons = {name: study.absence(name) for name in study.datasets}
    for name, reason in reasons.items():
        if reason:
            display(Markdown(f"**{markdown(named(name))}** is left out below, not run: {markdown(reason)}."))
    return [name for name, reason in reasons.items() if not reason]


def skip_rest() -> None:
    """Say that the cells below have nothing to do, and let them do nothing until the kernel is started again."""
    display(Markdown("**The cells below are skipped**: they need item texts, and none of these data have any."))
    shell = get_ipython()
    shell.input_transformers_cleanup.append(lambda lines: [])


def show(run: str, name: str, frame: pl.DataFrame | None = None) -> None:
    """Draw a figure from its aggregate and show it, with the sentence that reads it; or say why it shows nothing.

    Parameters
    ----------
    run
        That the figure belongs to.
    name
        In :data:`~lrrecsys_core.report.drawings.DRAWINGS`.
    frame
        The aggregate, which is kept first; None where it is kept already or the figure needs none.
    """
    drawing = BY_NAME[name]
    if frame is not None:
        keep(place(run, drawing), name, frame, rows=drawing.rows)
    file, sentence = draw(run, name)
    if file is None:
        display(Markdown(f"*{markdown(drawing.title)}*: not drawn, {markdown(sentence)}."))
        return
    pixels = int.from_bytes(file.read_bytes()[16:20])  # the width in a PNG's header
    display(Image(file, width=round(pixels * rcParams["figure.dpi"] / rcParams["savefig.dpi"])))
    if sentence:
        display(Markdown(markdown(sentence)))


def show_grid(grid: Grid) -> Markdown:
    """A grid of the page or of a table, as its Markdown file has it."""
    return Markdown(to_markdown("", (), [grid]).partition("\n")[2])


def show_table(run: str, name: str) -> Markdown:
    """Return ``paper_tables/<run>/<name>.md`` for a notebook to render; its title is bold, as headings are its own.

    A table that the run did not write, because the data lack what all of its rows read, is one sentence.
    """
    file = paths.tables(run) / f"{name}.md"
    if not file.is_file():
        return Markdown("None of this table's rows can be run on these data.")
    title, _, rest = file.read_text(encoding="utf-8").partition("\n")
    return Markdown(f"**{title.removeprefix('# ')}**\n{rest}")
