"""Own data: any CSV, TSV or Parquet table with one row per rating, read through a small column map."""

from pathlib import Path

import polars as pl

from lrrecsys_core.data.columns import read_table, refuse, require_columns
from lrrecsys_core.data.dataset import Dataset, Domain, make_dataset
from lrrecsys_core.errors import InputError


def load_table(
    path: str | Path,
    *,
    user: str = "user_id",
    item: str = "item_id",
    rating: str = "rating",
    timestamp: str | None = None,
    name: str | None = None,
    details: str | None = None,
    review: str | None = None,
    context: tuple[str, ...] = (),
    domain: Domain | str = "product",
    rating_min: float = 1.0,
    rating_max: float = 5.0,
    liked_from: float = 4.0,
) -> Dataset:
    """Load a table of ratings; each argument from `user` to `review` names the column that holds it.

    Parameters
    ----------
    timestamp
        Seconds since 1970 or ISO dates; without it the data set is unordered.
    name
        The item's name; without it items go by their ids. An item has the name and details of its first row.
    details
        Phrases about the item separated by "; ".
    review
        Text of the record's review; empty ones are left out.
    context
        Columns describing the occasion (trip type, season, ...); each becomes a context column.
    domain
        A Domain, or "hotel", "restaurant", "movie" or "product": the words of the prompts.

    Returns
    -------
    Dataset
        Named after the file.

    Raises
    ------
    InputError
        If the file cannot be read or a row breaks a rule of `make_dataset`.
    """
    path, where = Path(path), str(path)
    named = {"user_id": user, "item_id": item, "rating": rating, "timestamp": timestamp, "name": name}
    named |= {"details": details, "text": review}
    chosen = {ours: theirs for ours, theirs in named.items() if theirs is not None}
    for column in context:
        if column in named:
            raise InputError(f"{where}: '{column}' cannot be the name of a context column; rename it in the file.")
    table = read_table(path)
    require_columns(table.columns, (*chosen.values(), *context), where)
    records = table.select(
        **{ours: pl.col(theirs) for ours, theirs in chosen.items()}, **{c: pl.col(c) for c in context}
    )
    if name is None:
        records = records.with_columns(name=pl.col("item_id").cast(pl.String))
    blank = pl.col("name").cast(pl.String).str.strip_chars().fill_null("") == ""
    refuse(records, "name", blank, where, "the name of the item", name)
    goods = ["item_id", "name"] + (["details"] if details else [])
    items = (
        records.select(goods)
        .filter(pl.col("item_id").is_not_null())
        .unique("item_id", keep="first", maintain_order=True)
    )
    keys = ["user_id", "item_id"] + (["timestamp"] if timestamp else [])
    written = pl.col("text").fill_null("") != ""
    return make_dataset(
        path.name.split(".")[0],
        domain,
        records,
        items,
        reviews=records.filter(written).select(*keys, "text") if review else None,
        rating_min=rating_min,
        rating_max=rating_max,
        liked_from=liked_from,
        context=context,
        source=where,
        files={"interactions": where, "items": where, "reviews": where},
        columns=chosen,
    )
