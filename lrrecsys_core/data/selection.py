"""Which records of a foreign table stay: sound rows, one of each, users and items with enough of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from lrrecsys_core.data.columns import as_written, blank, clipped, numbers, quoted, row_hashes
from lrrecsys_core.data.reading import BROKEN, broken
from lrrecsys_core.data.times import EXPECTED, read_times
from lrrecsys_core.errors import InputError

SHOWN = 3  # bad rows of each kind that are quoted


def without_bad_rows(
    frame: pl.DataFrame,
    path: Path,
    columns: Mapping[str, str],
    scale: tuple[float, float],
    unit: str,
    items: pl.DataFrame | None,
) -> tuple[pl.DataFrame, list[str]]:
    """Drop the rows of a table that `make_dataset` would refuse.

    Parameters
    ----------
    frame
        user_id, item_id, rating and perhaps timestamp, name and `BROKEN`, as read.
    columns
        What the file calls them.
    scale
        Smallest and largest rating.
    items
        item_id of the known items, where there is a table of them.

    Returns
    -------
    tuple
        The other rows, and for each kind of fault how many rows have it first, with the first three of them.

    Raises
    ------
    InputError
        If no row is sound, or a column as a whole cannot be read.
    """
    where = str(path)
    label = {ours: f"column '{clipped(theirs, 40)}'" for ours, theirs in columns.items()}
    faults: list[tuple[str, str, pl.Series]] = []
    if BROKEN in frame.columns:
        faults.append(("", f"a row that {broken(path)}", frame[BROKEN]))
    for key in ("user_id", "item_id", "name"):
        if key in frame.columns:
            faults.append((key, f"{label[key]}: nothing there", blank(as_written(frame, key, where, columns[key]))))
    rating = numbers(frame, "rating", where, columns["rating"])
    bad = ~rating.is_between(*scale).fill_null(False)
    faults.append(("rating", f"{label['rating']}: no number from {scale[0]:g} to {scale[1]:g}", bad))
    if "timestamp" in frame.columns:
        time = read_times(frame, "timestamp", where, columns["timestamp"], unit)
        faults.append(("timestamp", f"{label['timestamp']}: expected {EXPECTED}", time.is_null()))
    if items is not None:
        known = (
            as_written(frame, "item_id", where, columns["item_id"]).cast(pl.String).is_in(items["item_id"].implode())
        )
        faults.append(("item_id", f"{label['item_id']}: not in the table of items", ~known.fill_null(False)))
    dropped, notes = pl.zeros(frame.height, pl.Boolean, eager=True), []
    for column, reason, bad in faults:
        rows = (bad & ~dropped).arg_true()
        dropped = dropped | bad
        if len(rows):
            quotes = [
                f"row {row + 1} {quoted(frame[column][row]) if column else ''}".rstrip() for row in rows.head(SHOWN)
            ]
            more = ", ..." if len(rows) > SHOWN else ""
            notes.append(
                f"{path.name}: {len(rows):,} row{'s' * (len(rows) > 1)} dropped, {reason} ({', '.join(quotes)}{more})"
            )
    if dropped.all():
        raise InputError(f"{where}: no row is left; {clipped(notes[0], 250)}.")
    return frame.filter(~dropped), notes


def without_repeats(records: pl.DataFrame, keys: Sequence[str], keep: str) -> tuple[pl.DataFrame, int]:
    """One record of those with equal keys, and how many went: the first, the last, or the first with mean rating."""
    if keep == "mean":
        rest = [name for name in records.columns if name not in (*keys, "rating")]
        means = records.group_by(keys, maintain_order=True).agg(pl.col("rating").mean(), pl.col(rest).first())
        kept = means.select(records.columns)
    else:
        # Equal keys have equal hashes, so that only the few suspects are compared as they are.
        marks = row_hashes(records, keys)
        ranked = marks.sort()
        twice = ranked.filter((ranked == ranked.shift(1)).fill_null(False)).unique()
        if twice.is_empty():
            return records, 0
        suspect = marks.is_in(twice.implode())
        rows = records.select(keys).with_row_index("_row").filter(suspect)
        one = pl.struct(keys).is_first_distinct() if keep == "first" else pl.struct(keys).is_last_distinct()
        again = pl.zeros(records.height, pl.Boolean, eager=True).scatter(rows.filter(~one)["_row"], True)
        kept = records.filter(~again)
    return kept, records.height - kept.height


def k_core(records: pl.DataFrame, k: int, where: str) -> pl.DataFrame:
    """The largest part in which every user and every item has at least k records.

    Raises
    ------
    InputError
        If it is empty.
    """
    enough = (pl.len().over("user_id") >= k) & (pl.len().over("item_id") >= k)
    left = -1
    while left != records.height:
        left, records = records.height, records.filter(enough)
    if not left:
        raise InputError(f"{where}: no users and items have {k} records each; lower min_records.")
    return records


def of_users(records: pl.DataFrame, n: int, seed: int) -> pl.DataFrame:
    """The records of n users drawn at random, of all if there are no more; the order of rows does not matter."""
    users = records["user_id"].unique().sort()
    drawn = np.random.default_rng(seed).permutation(len(users))[:n]
    return records.filter(pl.col("user_id").is_in(users.gather(drawn).implode()))
