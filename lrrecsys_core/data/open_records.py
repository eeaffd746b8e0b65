"""What the loaders of large public releases share: sound records, one of each, and items with something to read."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import polars as pl

from lrrecsys_core.data.columns import number_column, refuse, text_column
from lrrecsys_core.data.json_lines import NUMBER, TEXT, read_json_lines
from lrrecsys_core.data.selection import without_repeats

_ENTITIES = {"&amp;": "&", "&quot;": '"', "&#39;": "'", "&lt;": "<", "&gt;": ">", "&nbsp;": " "}
_KEYS = ("user_id", "item_id", "timestamp")
_YEARS = (1990, 2100)  # a time outside them was written in another unit


def read_records(path: Path, columns: Mapping[str, str], time: pl.DataType, reviews: bool) -> pl.DataFrame:
    """Read JSON Lines of reviews by our names for the columns (user_id, item_id, rating, timestamp, text).

    Parameters
    ----------
    columns
        What the file calls each.
    time
        Type of the timestamp in the file.
    reviews
        Read the column `text` too; without it no review is ever in memory.

    Raises
    ------
    InputError
        As for `read_json_lines`.
    """
    read = {ours: theirs for ours, theirs in columns.items() if ours != "text" or reviews}
    types = {"rating": NUMBER, "timestamp": time}
    schema = {theirs: types.get(ours, TEXT) for ours, theirs in read.items()}
    frame = read_json_lines(path, schema, tuple(theirs for ours, theirs in read.items() if ours != "text"))
    return frame.select(**{ours: pl.col(theirs) for ours, theirs in read.items()})


def told(records: pl.DataFrame) -> pl.DataFrame | None:
    """The reviews among the records, where they were read."""
    return records.filter(pl.col("text").fill_null("") != "") if "text" in records.columns else None


def latest_records(
    frame: pl.DataFrame, where: str, columns: Mapping[str, str], scale: tuple[float, float] = (1.0, 5.0)
) -> tuple[pl.DataFrame, list[str]]:
    """Records without repeats: of one user, item and moment the last in the file stays.

    Parameters
    ----------
    frame
        user_id, item_id, rating and perhaps timestamp and more, in the order of the file.
    columns
        What the file calls them.

    Returns
    -------
    tuple
        The records, and a sentence on how many were left out, if any.

    Raises
    ------
    InputError
        About the first row without a user, an item or a time, or with a rating off the scale.
    """
    for key in ("user_id", "item_id"):
        text_column(frame, key, where, "an id", columns[key])
    stars = f"a number from {scale[0]:g} to {scale[1]:g}"
    number_column(frame, "rating", where, stars, columns["rating"])
    refuse(frame, "rating", ~pl.col("rating").is_between(*scale), where, stars, columns["rating"])
    keys = [key for key in _KEYS if key in frame.columns]
    if "timestamp" in keys:
        moment = f"a time from {_YEARS[0]} to {_YEARS[1]}, in the unit of the release"
        began, ends = datetime(_YEARS[0], 1, 1), datetime(_YEARS[1] + 1, 1, 1)
        outside = ~pl.col("timestamp").is_between(began, ends, closed="left")
        refuse(frame, "timestamp", outside, where, moment, columns["timestamp"])
    kept, repeats = without_repeats(frame, keys, "last")
    what = ", ".join(columns[key] for key in keys)
    return kept, [f"{where}: {repeats:,} records repeat another's {what}; the last is kept."] if repeats else []


def described(records: pl.DataFrame, about: pl.DataFrame, where: str) -> tuple[pl.DataFrame, list[str]]:
    """The items of the records with name and details, by id; those `about` has no name for go by their id.

    Returns
    -------
    tuple
        item_id, name, details; and a sentence on how many have no name, if any.
    """
    first = about.drop_nulls("item_id").unique("item_id", keep="first", maintain_order=True)
    items = records["item_id"].unique().sort().to_frame()
    items = items.join(first, on="item_id", how="left", maintain_order="left")
    named = pl.col("name").fill_null("") != ""
    nameless = items.height - int(items.select(named.sum()).item())
    items = items.with_columns(
        name=pl.when(named).then("name").otherwise("item_id"), details=pl.col("details").fill_null("")
    )
    return items, [f"{where}: {nameless:,} rated items have no name there and go by their id."] if nameless else []


def tidied(column: str) -> pl.Expr:
    """The text of a column on one line, with entities of HTML as the characters they stand for."""
    return _on_one_line(pl.col(column))


def phrases(parts: pl.Expr, *without: str) -> pl.Expr:
    """A list of texts as phrases separated by "; ": each once, empty ones and those of `without` left out."""
    one = pl.element()
    return (
        parts.list.eval(_on_one_line(one))  # apart: within one expression it would be done anew wherever it stands
        .list.eval(one.filter((one.fill_null("") != "") & ~one.is_in(without)))
        .list.unique(maintain_order=True)
        .list.join("; ")
    )


def _on_one_line(text: pl.Expr) -> pl.Expr:
    return text.str.replace_many(_ENTITIES).str.replace_all(r"\s+", " ").str.strip_chars()
