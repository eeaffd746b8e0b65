"""Reading columns of foreign tables, with complaints that name the file, the column, the row and what was expected."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from lrrecsys_core.errors import InputError

_DATE_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.fZ", "%Y/%m/%d")


def read_table(path: str | Path, separator: str | None = None) -> pl.DataFrame:
    """Read a CSV, TSV (also gzipped) or Parquet file; text formats come back as text, unparsed.

    Parameters
    ----------
    path
        File to read; ``.parquet`` is read as Parquet, everything else as delimited text with a header line.
    separator
        Field separator of a text file; by default a tab for ``.tsv`` and a comma otherwise. Tab-separated text is
        taken literally (quotation marks are ordinary characters).

    Raises
    ------
    InputError
        If the file is missing, empty, or not what its name says.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a CSV, TSV or Parquet table there.")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: the file is empty; expected a header line and at least one record.")
    if separator is None:
        separator = "\t" if ".tsv" in path.suffixes else ","
    try:
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path)
        else:
            frame = pl.read_csv(
                path, separator=separator, infer_schema=False, quote_char=None if separator == "\t" else '"'
            )
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        reason = str(error).strip().split("\n")[0].rstrip(".")
        raise InputError(f"{path}: cannot be read as a table ({reason}).") from error
    if frame.is_empty():
        raise InputError(f"{path}: the file holds no records; expected at least one row below the header.")
    return frame


def find_files(folder: str | Path, names: tuple[str, ...], published: str) -> tuple[Path, ...]:
    """Return the paths of these files in the folder; `published` says in words what the folder should hold."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected {published} with {', '.join(names)}.")
    for name in names:
        if not (folder / name).is_file():
            raise InputError(f"{folder}: the file {name} is missing; expected {published} with {', '.join(names)}.")
    return tuple(folder / name for name in names)


def require_columns(found: Sequence[str], columns: Sequence[str], where: str) -> None:
    """Raise an InputError naming the first of `columns` that is not among those `found`."""
    for column in columns:
        if column not in found:
            names = ", ".join(found) or "none"
            raise InputError(f"{where}: column '{column}' is missing; expected {', '.join(columns)}, found {names}.")


def refuse(frame: pl.DataFrame, column: str, bad: pl.Expr, where: str, expected: str, label: str | None = None) -> None:
    """Raise an InputError about the first row of `frame` for which `bad` holds, quoting the value found there."""
    rows = frame.select(bad.fill_null(True).arg_true().alias("row").head(1))["row"]
    if len(rows):
        row = int(rows[0])
        value = frame[column][row]
        shown = "nothing" if value is None or value == "" else f"'{str(value)[:60]}'"
        place = f"{where}: column '{label or column}', data row {row + 1}"
        raise InputError(f"{place}: found {shown}, expected {expected}.")


def text_column(frame: pl.DataFrame, column: str, where: str, expected: str, label: str | None = None) -> pl.Series:
    """Return the column as text; every cell must hold a visible character."""
    blank = pl.col(column).cast(pl.String).str.strip_chars().fill_null("") == ""
    refuse(frame, column, blank, where, expected, label)
    return frame[column].cast(pl.String)


def number_column(frame: pl.DataFrame, column: str, where: str, expected: str, label: str | None = None) -> pl.Series:
    """Return the column as finite float64 numbers."""
    number = _stripped(frame, column).cast(pl.Float64, strict=False)
    refuse(frame.with_columns(_number=number), column, ~pl.col("_number").is_finite(), where, expected, label)
    return number


def seconds_column(frame: pl.DataFrame, column: str, where: str, label: str | None = None) -> pl.Series:
    """Return the column as whole seconds since 1970 (int64): whole numbers, dates, or ISO dates written as text."""
    series = _stripped(frame, column)
    cell = pl.col(column)
    number = cell.cast(pl.Float64, strict=False)
    # integers first: a float cannot hold every int64
    whole = [
        cell.cast(pl.Int64, strict=False),
        pl.when(number == number.floor()).then(number.cast(pl.Int64, strict=False)),
    ]
    if series.dtype in (pl.Date, pl.Datetime):
        found = cell.dt.epoch("s")
    elif series.dtype == pl.String:
        dates = [cell.str.to_datetime(form, strict=False, exact=True).dt.epoch("s") for form in _DATE_FORMATS]
        found = pl.coalesce(*whole, *dates)
    else:
        found = whole[1] if series.dtype.is_float() else whole[0]
    seconds = series.to_frame().select(found).to_series()
    expected = "whole seconds since 1970 or a date such as 2008-12-31 or 2008-12-31 23:59:59"
    refuse(frame.with_columns(_seconds=seconds), column, pl.col("_seconds").is_null(), where, expected, label)
    return seconds.cast(pl.Int64)


def _stripped(frame: pl.DataFrame, column: str) -> pl.Series:
    series = frame[column]
    return series.str.strip_chars() if series.dtype == pl.String else series
