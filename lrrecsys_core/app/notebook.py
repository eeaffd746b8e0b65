"""What every notebook calls first: quiet, one thread, short tables."""

from __future__ import annotations

import logging
import os
import warnings

import polars as pl
from IPython.display import Image, Markdown, display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lrrecsys_core import paths
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.report.style import save, titled, use_style


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


def show(figure: Figure, run: str, name: str) -> None:
    """Save a figure as ``figures/<run>/<name>.pdf`` and ``.png``, and show it."""
    files = {file.suffix: file for file in save(figure, run, name)}
    plt.close(figure)  # what is shown is the file, instead of the same drawing made once more
    width = round(figure.get_figwidth() * figure.dpi)
    display(Image(files[".png"], width=width))


def show_table(run: str, name: str) -> Markdown:
    """Return ``paper_tables/<run>/<name>.md`` for a notebook to render."""
    return Markdown((paths.tables(run) / f"{name}.md").read_text(encoding="utf-8"))
