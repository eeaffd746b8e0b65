"""What every notebook calls first: quiet, one thread, short tables."""

from __future__ import annotations

import logging
import os
import warnings

import polars as pl
from IPython.display import Image, Markdown, display
from matplotlib import rcParams

from lrrecsys_core import paths
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.report.drawings import BY_NAME, draw, place
from lrrecsys_core.report.kept import keep
from lrrecsys_core.report.style import titled, use_style


def setup() -> None:
    """Make a notebook's output depend on its code alone.

    One thread, so that sums come out in one order on any machine; no warnings, progress bars or log lines, which nbval
    would compare; frames printed in full, without types and shapes.
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
    pl.Config(
        tbl_rows=200,
        tbl_cols=24,
        tbl_width_chars=160,
        fmt_str_lengths=500,
        tbl_hide_column_data_types=True,
        tbl_hide_dataframe_shape=True,
        tbl_formatting="ASCII_MARKDOWN",
        float_precision=4,
    )


def label(dataset: Dataset) -> str:
    """Title of a data set in a figure."""
    return titled(dataset)


def show(run: str, name: str, frame: pl.DataFrame | None = None) -> None:
    """Draw a figure from its aggregate, show it, and print the sentence that reads it, if it has one.

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
    pixels = int.from_bytes(file.read_bytes()[16:20])  # the width in a PNG's header
    display(Image(file, width=round(pixels * rcParams["figure.dpi"] / rcParams["savefig.dpi"])))
    if sentence:
        print(sentence)


def show_table(run: str, name: str) -> Markdown:
    """Return ``paper_tables/<run>/<name>.md`` for a notebook to render."""
    return Markdown((paths.tables(run) / f"{name}.md").read_text(encoding="utf-8"))
