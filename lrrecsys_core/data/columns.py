"""Columns of foreign tables, with complaints that name the file, the column, the row and what was expected."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from lrrecsys_core.errors import InputError

_MIX = np.uint64(0x9E3779B97F4A7C15)
_SEPARATORS = {"a tab": ("\t", "tab"), "semicolons": (";", "semicolon"), "bars": ("|", "bar"), "'::'": ("::", "::")}
_SEPARATORS |= {"commas": (",", "comma"), "blanks": (" ", "space")}


def clipped(text: str, most: int = 60) -> str:
    """The text on one line, cut where it is longer than so many characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def find_files(folder: str | Path, names: tuple[str, ...], published: str, packed: str = "") -> tuple[Path, ...]:
    """Return the paths of these files in the folder, or of those with the ending `packed`; `published` says in words
    what the folder should hold."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected {published} with {', '.join(names)}.")
    found = []
    for name in names:
        files = [file for end in ("", packed) if (file := folder / f"{name}{end}").is_file()]
        if not files:
            name += f"[{packed}]" if packed else ""
            raise InputError(f"{folder}: the file {name} is missing; expected {published} with {', '.join(names)}.")
        found.append(files[0])
    return tuple(found)


def require_columns(found: Sequence[str], columns: Sequence[str], where: str, line: Sequence[str] = ()) -> None:
    """Raise an InputError naming the first of `columns` that is not among those `found`, and what may be the reason.

    Parameters
    ----------
    line
        Fields of the first line of a text, where the columns go by numbers.
    """
    for column in columns:
        if column not in found:
            raise InputError(f"{where}: column '{clipped(column, 40)}' is missing; {_reason(column, found, columns)}.")


def _reason(column: str, found: Sequence[str], columns: Sequence[str]) -> str:
    """Why a column may be missing: JSON, another separator, no header, a name that is nearly it; or what is there."""
    first = found[0] if found else ""
    if first.lstrip().startswith(("{", "[")):
        return "the first line is JSON: write one object a line and end the file's name in .jsonl"
    reasons, names = [], list(found)
    for called, (separator, word) in _SEPARATORS.items():
        fields = [name.strip().strip('"') for name in first.split(separator)]
        if len(fields) > 1 and len(fields) >= len(found):
            reasons, names = [f"the fields seem to be separated by {called}: say sep={word}"], fields
            break
    if names == [str(k + 1) for k in range(len(names))]:
        reasons.append(f"they go by their numbers, 1 to {len(names)}: say user=1&item=2&rating=3")
    elif any(_is_value(name) for name in names) and not set(names) & set(columns):
        reasons.append("the first line holds values, not names: say header=none and give columns by number, as user=1")
    elif alike := [name for name in names if _alike(name, column)]:
        reasons.append(f"'{clipped(alike[0], 40)}' may be it")
    if reasons:
        return "; ".join(reasons)
    wanted, there = (clipped(", ".join(clipped(name, 40) for name in some), 120) for some in (columns, found))
    return f"expected {wanted}, found {there or 'none'}"


def _alike(name: str, column: str) -> bool:
    """Whether a name may stand for a column's: its letters, whatever their case, and few others."""
    theirs, ours = _letters(name), _letters(column)
    return name != column and bool(ours) and ours in theirs and len(theirs) <= len(ours) + 10


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _is_value(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def refuse(frame: pl.DataFrame, column: str, bad: pl.Expr, where: str, expected: str, label: str | None = None) -> None:
    """Raise an InputError about the first row of `frame` for which `bad` holds, quoting the value found there."""
    rows = frame.select(bad.fill_null(True).arg_true().alias("row").head(1))["row"]
    if len(rows):
        row = int(rows[0])
        place = f"{where}: column '{clipped(label or column, 40)}', data row {row + 1}"
        raise InputError(f"{place}: found {quoted(frame[column][row])}, expected {expected}.")


def quoted(value: object) -> str:
    """A cell as a complaint quotes it."""
    return "nothing" if value is None or value == "" else f"'{clip_cell(str(value))}'"


def clip_cell(text: str) -> str:
    """The first characters of a cell, its line breaks visible."""
    return text[:60].replace("\n", "\\n").replace("\r", "\\r")


def as_written(
    frame: pl.DataFrame, column: str, where: str, label: str | None = None, *, lists: bool = False
) -> pl.Series:
    """Return the column as text, numbers or dates: other types as they would be written.

    Parameters
    ----------
    lists
        Take lists of texts too, joined by "; ".

    Raises
    ------
    InputError
        If its type has no such form: objects, lists, bytes that are no UTF-8 text.
    """
    series = frame[column]
    kind = series.dtype
    if kind.is_float():
        return series.fill_nan(None)
    if kind == pl.String or kind.is_integer() or kind in (pl.Date, pl.Datetime):
        return series
    try:
        if lists and kind in (pl.List, pl.Array) and kind.inner in (pl.String, pl.Categorical, pl.Enum):  # type: ignore[attr-defined]
            return series.cast(pl.List(pl.String)).list.drop_nulls().list.join("; ")
        if kind == pl.Duration:
            return series.dt.to_string("iso")
        if not kind.is_nested() and kind != pl.Object:
            return series.cast(pl.String)
    except pl.exceptions.PolarsError:
        pass
    place = f"{where}: column '{clipped(label or column, 40)}'"
    raise InputError(f"{place} is of type {clipped(str(kind), 80)}; expected text, numbers or dates.")


def blank(series: pl.Series) -> pl.Series:
    """(N,) True where a column, as written, shows no visible character."""
    text = series.cast(pl.String)
    visible = ((text >= "!") & (text < "\x7f")).fill_null(False)  # begins with a sign of ASCII: found without a search
    return ~visible if visible.all() else ~(visible | text.str.contains(r"\S").fill_null(False))


def text_column(frame: pl.DataFrame, column: str, where: str, expected: str, label: str | None = None) -> pl.Series:
    """Return the column as text; every cell must hold a visible character."""
    series = as_written(frame, column, where, label)
    refuse(frame.with_columns(_blank=blank(series)), column, pl.col("_blank"), where, expected, label)
    return series.cast(pl.String)


def numbers(frame: pl.DataFrame, column: str, where: str, label: str | None = None) -> pl.Series:
    """Return the column as float64 numbers, null where a cell is no finite number."""
    series = as_written(frame, column, where, label)
    if series.dtype in (pl.Date, pl.Datetime):
        series = series.cast(pl.String)
    if series.dtype == pl.String:
        series = series.str.strip_chars()
    number = series.cast(pl.Float64, strict=False)
    return number.set(~number.is_finite(), None)


def number_column(frame: pl.DataFrame, column: str, where: str, expected: str, label: str | None = None) -> pl.Series:
    """Return the column as finite float64 numbers."""
    number = numbers(frame, column, where, label)
    refuse(frame.with_columns(_number=number), column, pl.col("_number").is_null(), where, expected, label)
    return number


def row_hashes(frame: pl.DataFrame, keys: Sequence[str]) -> pl.Series:
    """(N,) a number for the keys of each row: the same where they are, and hardly ever elsewhere."""
    mixed = np.zeros(frame.height, np.uint64)
    for key in keys:
        mixed *= _MIX
        mixed += frame[key].hash().to_numpy()
    return pl.Series(mixed)


def refuse_repeats(
    frame: pl.DataFrame, keys: Sequence[str], where: str, label: Callable[[str], str] = str, mend: str = ""
) -> None:
    """Raise an InputError about the first row of `frame` whose keys an earlier row has; `mend` says what to do."""
    ranked = row_hashes(frame, keys).sort().to_numpy()
    if (ranked[1:] != ranked[:-1]).all():
        return  # no two hashes agree, which takes a fraction of the memory of comparing the keys
    for row in frame.select((~pl.struct(keys).is_first_distinct()).arg_true().head(1)).to_series():
        pairs = list(zip(keys, frame.select(keys).row(row), strict=True))
        first = frame.select(pl.all_horizontal(pl.col(k) == v for k, v in pairs).arg_true()).item(0, 0)
        named = ", ".join(f"{clipped(label(k), 40)} {clipped(str(v), 40)}" for k, v in pairs)
        raise InputError(
            f"{where}: data row {row + 1} repeats data row {first + 1} ({named}); expected each once{mend}."
        )
