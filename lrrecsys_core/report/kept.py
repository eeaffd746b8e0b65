"""Aggregates committed beside the figures and tables that are drawn from them, so that nothing is trained to redraw.

What is kept of a run lies in ``figures/<run>/data/``: a table a figure as CSV, and wherever types matter or lines are
many, Parquet. Of real data these are means, counts and shares only, never a record, a name or a text.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError

PARQUET: Final = frozenset({"metrics", "evidence"})


def file_of(run: str, name: str) -> Path:
    """Where the aggregate `name` of a run is kept: rows of simulations and of the metrics as Parquet, others as CSV."""
    folder = paths.figures(run) / "data"
    rows = folder / f"{name}.parquet"
    return rows if name in PARQUET or rows.is_file() else folder / f"{name}.csv"


def keep(run: str, name: str, frame: pl.DataFrame, *, rows: bool = False) -> None:
    """Write an aggregate, as Parquet if `rows`; a file that says the same already stays as old as it is."""
    file = paths.figures(run) / "data" / f"{name}.{'parquet' if rows or name in PARQUET else 'csv'}"
    buffer = io.BytesIO()
    if file.suffix == ".csv":
        frame.write_csv(buffer)
    else:
        frame.write_parquet(buffer)
    if not file.is_file() or file.read_bytes() != buffer.getvalue():
        with paths.replacing(file) as partial:
            partial.write_bytes(buffer.getvalue())


def kept(run: str, name: str) -> pl.DataFrame | None:
    """An aggregate of a run, or None.

    Raises
    ------
    InputError
        Its file is damaged.
    """
    file = file_of(run, name)
    if not file.is_file():
        return None
    try:
        return pl.read_csv(file, infer_schema_length=None) if file.suffix == ".csv" else pl.read_parquet(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0][:120]
        raise InputError(f"{file} cannot be read ({reason}): restore it, or delete it and run the notebooks") from error


def needed(run: str, name: str) -> pl.DataFrame:
    """An aggregate of a run.

    Raises
    ------
    InputError
        The run has none.
    """
    frame = kept(run, name)
    if frame is None:
        raise InputError(f"run {run!r} keeps no {name} in figures/{run}/data: make it by {command_of(run)}")
    return frame


@contextmanager
def understood(run: str) -> Iterator[None]:
    """Read inside what a run keeps: what is not there, since an older version kept it, is one sentence.

    Raises
    ------
    InputError
        A column, or a key, is missing.
    """
    try:
        yield
    except (pl.exceptions.ColumnNotFoundError, KeyError) as error:
        reason = str(error).partition("\n")[0][:100]
        raise InputError(
            f"run {run!r} keeps aggregates of an older version in figures/{run}/data (not found there: {reason}): "
            f"make them anew by {command_of(run)}"
        ) from error


def command_of(run: str) -> str:
    """The command that makes a run, read from its name."""
    profile, _, data = run.partition("-")
    if profile == "theory":
        return f"`lrrecsys reproduce --profile {data or 'demo'}`"
    return f"`lrrecsys reproduce --profile {profile}" + (f" --datasets ...`, with the data {data!r}" if data else "`")


def runs() -> list[str]:
    """Names of the runs with kept aggregates below ``figures/``; those of the theory are not among them."""
    return sorted(file.parent.parent.name for file in (paths.root() / "figures").glob("*/data/metrics.parquet"))


def theory_of(run: str) -> str:
    """Name under which the simulations of theory behind a run are kept: smoke runs have their own, smaller ones."""
    return "theory-smoke" if run.partition("-")[0] == "smoke" else "theory"
