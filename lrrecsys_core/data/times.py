"""Times of foreign tables as whole seconds since 1970; a number whose unit is not clear is refused, never guessed."""

import polars as pl

from lrrecsys_core.data.columns import as_written, clipped, refuse
from lrrecsys_core.errors import InputError

UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EXPECTED = "seconds since 1970 or a date such as 2008-12-31 or 2008-12-31 23:59:59"
_LEAST, _MOST = -2_208_988_800, 4_102_444_800  # 1900 and 2100: beyond them a number counts no seconds
_LATEST = 31_536_000  # 1971: a larger unit that puts all times before it was no such unit
_DATE = (
    r"^(?<day>\d{4}[-/]\d{1,2}[-/]\d{1,2})"
    r"(?:[T ]+(?<clock>\d{1,2}:\d{2})(?::(?<seconds>\d{2})(?:[.,]\d+)?)?\s*(?<zone>Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?)?$"
)


def seconds_column(frame: pl.DataFrame, column: str, where: str, label: str | None = None, unit: str = "") -> pl.Series:
    """Return the column as whole seconds since 1970 (int64), parts of seconds dropped; faults as for `read_times`."""
    seconds = read_times(frame, column, where, label, unit)
    refuse(frame.with_columns(_seconds=seconds), column, pl.col("_seconds").is_null(), where, EXPECTED, label)
    return seconds


def read_times(frame: pl.DataFrame, column: str, where: str, label: str | None = None, unit: str = "") -> pl.Series:
    """Read numbers, typed dates, and ISO dates written as text; null where a cell is none of them.

    Dates without a zone are taken as UTC. Numbers are seconds, or of the `unit`. Without one they are seconds only from
    1900 to 2100, so that no other unit passes for them, and not if all are dates written without dashes (20081231).

    Parameters
    ----------
    unit
        "s", "ms", "us", "ns", "date" (20081231), or "" for what is clear without being told.

    Raises
    ------
    InputError
        If most numbers lie outside these years, all are dates without dashes, or the unit puts them all before 1971.
    """
    series = as_written(frame, column, where, label)
    if series.dtype in (pl.Date, pl.Datetime):
        return series.dt.epoch("s").cast(pl.Int64).rename(column)
    text = series.str.strip_chars() if series.dtype == pl.String else None
    cells = series if text is None else text
    number = cells.cast(pl.Float64, strict=False)
    number = number.set(~number.is_finite(), None)
    per = UNITS.get(unit, 1)
    whole = cells.cast(pl.Int64, strict=False, wrap_numerical=False)  # first: a float cannot hold every int64
    whole = whole.set(whole.cast(pl.Float64) != number, None) // per
    base = whole.zip_with(whole.is_not_null(), (number / per).floor().cast(pl.Int64, strict=False))
    base = _checked(base, cells, unit, f"{where}: column '{clipped(label or column, 40)}'")
    if text is not None and base.has_nulls():
        dates = [_dates(part.to_series()) for part in text.to_frame().iter_slices(1 << 20)]  # which bounds memory
        base = base.zip_with(base.is_not_null(), pl.concat(dates))
    return base.rename(column)


def _checked(base: pl.Series, cells: pl.Series, unit: str, place: str) -> pl.Series:
    """Numbers in seconds, null where they are none; refused as `read_times` says."""
    known = base.drop_nulls()
    if unit == "date":
        return _compact(base)
    if unit in ("", "ms", "us", "ns") and len(known):
        shown = clipped(str(cells.filter(base.is_not_null())[0]), 30)
        if unit and not (known >= _LATEST).any():
            raise InputError(f"{place}: unit={unit} puts every time before 1971, the first one being {shown}.")
        if unit:
            return base
        if known.is_between(19_000_101, 21_001_231).all() and _compact(known).null_count() == 0:
            raise InputError(
                f"{place}: {shown} looks like a date; say unit=date if it is, unit=s if it counts seconds."
            )
        beyond = ~base.is_between(_LEAST, _MOST)
        if 2 * int(beyond.sum()) > len(known):
            shown = clipped(str(cells.filter(beyond.fill_null(False))[0]), 30)
            raise InputError(f"{place}: {shown} counts no seconds of our time; {_unit(known.median())}.")
        return base.set(beyond, None)
    return base


def _compact(numbers: pl.Series) -> pl.Series:
    """Seconds of dates written as a number, 20081231."""
    return numbers.cast(pl.String).str.to_datetime("%Y%m%d", strict=False).dt.epoch("s")


def _unit(middle: object) -> str:
    """The unit in which a number is a moment of our time."""
    for unit, per in list(UNITS.items())[1:]:
        if isinstance(middle, float | int) and _LATEST < abs(middle) / per <= _MOST:
            return f"say unit={unit}, as it seems to be"
    return "say unit=s, ms, us or ns"


def _dates(text: pl.Series) -> pl.Series:
    """Seconds of ISO dates, perhaps with a clock and a zone."""
    part = text.to_frame("text").select(pl.col("text").str.extract_groups(_DATE)).unnest("text")
    clock = pl.concat_str(
        pl.col("day").str.replace_all("/", "-"),
        pl.lit(" "),
        pl.col("clock").fill_null("00:00"),
        pl.lit(":"),
        pl.col("seconds").fill_null("00"),
    )
    hours = pl.col("zone").str.extract(r"^[+-](\d{2})").cast(pl.Int64).fill_null(0)
    minutes = pl.col("zone").str.extract(r"^[+-]\d{2}:?(\d{2})$").cast(pl.Int64).fill_null(0)
    east = pl.when(pl.col("zone").str.starts_with("-")).then(-1).otherwise(1)
    moment = clock.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False).dt.epoch("s")
    return part.select(moment - east.fill_null(1) * (hours * 3600 + minutes * 60)).to_series()
