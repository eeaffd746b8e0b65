"""Times as seconds: what is read, and that no other unit passes for seconds."""

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core.data.times import UNITS, read_times, seconds_column
from lrrecsys_core.errors import InputError

few = settings(max_examples=60, deadline=None)
moments = st.integers(31_536_000 * 2, 4_102_444_000)  # 1972 to 2100


def read(values: list[object] | pl.Series, unit: str = "") -> list[int | None]:
    frame = pl.DataFrame({"t": values}, strict=False)
    return read_times(frame, "t", "f.csv", unit=unit).to_list()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("2020-01-01", 1577836800),
        ("2020/1/1", 1577836800),
        ("2020-01-01 10:30", 1577874600),
        ("2020-01-01T10:30:05", 1577874605),
        ("2020-01-01 10:30:05.999", 1577874605),
        ("2020-01-01 10:30:05,5", 1577874605),
        ("2020-01-01T00:00:00Z", 1577836800),
        ("2020-01-01 00:00:00 UTC", 1577836800),
        ("2020-01-01T00:00:00+02:00", 1577829600),
        ("2020-01-01T00:00:00.25-0330", 1577849400),
        ("2020-01-01T00:00+02", 1577829600),
        ("1577836800", 1577836800),
        ("1577836800.75", 1577836800),
        ("1.5778368e9", 1577836800),
        (" 7 ", 7),
        ("-1.5", -2),
        ("2009-02-30", None),
        ("2020-01-01 25:00", None),
        ("12/31/2008", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("", None),
    ],
)
def test_what_a_cell_says(written: str, seconds: int | None) -> None:
    assert read([written, "2020-01-01"])[0] == seconds


@few
@given(moments, st.integers(-14 * 60, 14 * 60), st.integers(0, 999_999))
def test_a_moment_is_the_same_in_every_zone(seconds: int, east: int, micro: int) -> None:
    there = (
        datetime.fromtimestamp(seconds, UTC).replace(microsecond=micro).astimezone(timezone(timedelta(minutes=east)))
    )
    assert read([there.isoformat()]) == [seconds]
    assert read(pl.Series([there.astimezone(UTC).replace(tzinfo=None)])) == [seconds]


@few
@given(st.lists(moments, min_size=1, max_size=6), st.sampled_from(["ms", "us", "ns"]), st.booleans())
def test_another_unit_is_refused_and_the_one_named_reads_it(times: list[int], unit: str, as_text: bool) -> None:
    stamps = [t * UNITS[unit] + UNITS[unit] - 1 for t in times]
    values = [str(s) for s in stamps] if as_text else stamps
    with pytest.raises(InputError, match=f"f.csv: column 't': {stamps[0]} counts no seconds.*say unit={unit}"):
        read(values)
    assert read(values, unit) == times, "parts of seconds are dropped, and large numbers are exact"


def test_seconds_pass_for_no_other_unit() -> None:
    for unit in ("ms", "us", "ns"):
        with pytest.raises(InputError, match=f"unit={unit} puts every time before 1971"):
            read([1577836800, 1577836801], unit)


def test_one_odd_number_among_seconds_is_that_rows_fault() -> None:
    frame = pl.DataFrame({"t": [1577836800, 1577836800000, 1577836801]})
    assert read_times(frame, "t", "f").to_list() == [1577836800, None, 1577836801]
    with pytest.raises(InputError, match="data row 2: found '1577836800000', expected seconds since 1970"):
        seconds_column(frame, "t", "f")
    assert read(frame["t"], "s") == frame["t"].to_list(), "unit=s says that they are"


def test_dates_without_dashes_want_a_word() -> None:
    for values in (["20200101", "20081231"], [20200101, 20081231], [20200101.0, 20081231.0]):
        with pytest.raises(InputError, match="looks like a date; say unit=date"):
            read(values)
        assert read(values, "date") == [1577836800, 1230681600]
        assert read(values, "s") == [20200101, 20081231]
    assert read([20200101, 20209999]) == [20200101, 20209999], "not all of them are dates"


def test_order_numbers_and_typed_columns() -> None:
    assert read([0, 1, 2]) == [0, 1, 2]
    assert read([1.0, None, float("nan")]) == [1, None, None]
    assert read(pl.Series([0, 86400], dtype=pl.UInt64)) == [0, 86400]
    assert read(pl.Series(["2020-01-01", "7"], dtype=pl.Categorical)) == [1577836800, 7]
    assert read(pl.Series(["1577836800.50"]).cast(pl.Decimal(20, 2))) == [1577836800]


@pytest.mark.parametrize("kind", [pl.Time, pl.Duration("ms"), pl.Boolean])
def test_clocks_spans_and_truths_are_no_moments(kind: pl.DataType) -> None:
    frame = pl.DataFrame({"t": pl.Series([1, 0]).cast(kind)})
    with pytest.raises(InputError, match="column 't', data row 1: found '.*', expected seconds since 1970"):
        seconds_column(frame, "t", "f.parquet")
