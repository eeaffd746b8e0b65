"""Yelp restaurants with aspect sentiments, as released with MTER (SIGIR 2018) and TheFacT (SIGIR 2019)."""

from pathlib import Path

import polars as pl

from lrrecsys_core.data.columns import find_files, number_column, refuse
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.reading import read_lines
from lrrecsys_core.errors import InputError

_RECORDS = ("yelp_recursive_test.entry", "TheFacT_yelp_test.txt")
_MAPS = ("yelp_recursive.usermap", "yelp_recursive.itemmap", "yelp_recursive.featuremap")


def load_yelp(folder: str | Path) -> Dataset:
    """Load the union of the two published samples; its records carry no time, so the data set is unordered.

    Restaurants have their name and categories (without "Restaurants", which nearly all share). The aspects of a record
    are the mentions, with sentiment, found in its own review, repetitions included: only *other* records may learn from
    them.

    Parameters
    ----------
    folder
        Holds yelp_recursive_test.entry ("user,item,rating,f:s f:s ..."), TheFacT_yelp_test.txt ("user,item,rating,f s f
        s ...") and the .usermap, .itemmap and .featuremap that give the numbers a meaning.

    Returns
    -------
    Dataset
        Named "yelp"; users and items go by their Yelp ids.

    Raises
    ------
    InputError
        If a file is missing or malformed, or the samples disagree about a record.
    """
    paths = find_files(folder, (*_RECORDS, *_MAPS), "the MTER and TheFacT files")
    users = _matches(paths[2], r"^(?<user>\d+)=(?<user_id>.+)$", "number=user id")
    entry = r"^(?<item>\d+)=(?<item_id>[^=]+)=(?<name>.+) \[(?<categories>[^\[\]]*)\]$"
    items = _matches(paths[3], entry, "number=business id=name ['category', ...]")
    features = _matches(paths[4], r"^(?<feature>\d+)=(?<aspect>[^=]+)=\d+$", "number=aspect=count")
    first, second = (_records(path, {"user": (users, paths[2]), "item": (items, paths[3])}) for path in paths[:2])
    pair = ["user_id", "item_id"]
    differing = first.join(second, on=pair).filter(pl.col("rating") != pl.col("rating_right"))
    if not differing.is_empty():
        user, item = differing.select("user", "item").row(0)
        raise InputError(
            f"{paths[1]}: user {user} rates item {item} otherwise than in {paths[0]}; expected one rating."
        )
    records = pl.concat([first, second.join(first, on=pair, how="anti", maintain_order="left")])
    mentions = (
        records.select(*pair, pl.col("mentions").str.extract_all(r"\d+[: ]-?\d+"))
        .explode("mentions")
        .drop_nulls("mentions")
        .with_columns(pl.col("mentions").str.extract_groups(r"(?<feature>\d+)[: ](?<sentiment>-?\d+)"))
        .unnest("mentions")
        .join(features, on="feature", how="left", maintain_order="left")
    )
    where = " and ".join(map(str, paths[:2]))
    refuse(mentions, "feature", pl.col("aspect").is_null(), where, f"a number listed in {paths[4]}")
    categories = pl.col("categories").str.strip_chars("'").str.split("', '")
    rated = items.join(records, on="item_id", how="semi", maintain_order="left").select(
        "item_id", "name", details=categories.list.filter(pl.element() != "Restaurants").list.join("; ")
    )
    return make_dataset(
        "yelp",
        "restaurant",
        records,
        rated,
        aspects=mentions,
        source=str(folder),
        files={"interactions": where, "items": str(paths[3]), "aspects": where},
    )


def _records(path: Path, maps: dict[str, tuple[pl.DataFrame, Path]]) -> pl.DataFrame:
    """Lines "user,item,rating,mentions", a mention being "number:sign" or "number sign"; ids are looked up."""
    form = r"^(?<user>\d+),(?<item>\d+),(?<rating>[^,]*),(?<mentions>(?:\d+[: ]-?1(?: |$))*)$"
    frame = _matches(path, form, "user,item,rating,feature and sign in turn")
    rating = number_column(frame, "rating", str(path), "a number from 1 to 5")
    frame = frame.with_columns(rating)
    for column, (known, listed) in maps.items():
        frame = frame.join(known, on=column, how="left", maintain_order="left")
        refuse(frame, column, pl.col(f"{column}_id").is_null(), str(path), f"a number listed in {listed}")
    return frame


def _matches(path: Path, form: str, expected: str) -> pl.DataFrame:
    """The named groups of a pattern every line of a file must match."""
    lines = pl.DataFrame({"line": read_lines(path)}, schema={"line": pl.String})
    if lines.is_empty():
        raise InputError(f"{path}: the file is empty; expected lines of the form {expected}.")
    groups = lines.select(pl.col("line").str.extract_groups(form)).unnest("line")
    refuse(lines.with_columns(groups[:, 0].alias("_first")), "line", pl.col("_first").is_null(), str(path), expected)
    return groups
