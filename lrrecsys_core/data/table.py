"""The general loader: any table with one row per rating, read through a small column map."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from urllib.parse import unquote_plus

import polars as pl

from lrrecsys_core.data.columns import as_written, clipped, number_column, refuse, refuse_repeats, text_column
from lrrecsys_core.data.dataset import Dataset, check_scale, make_dataset
from lrrecsys_core.data.reading import BROKEN, SEPARATORS, read_table
from lrrecsys_core.data.releases import RELEASES
from lrrecsys_core.data.selection import k_core, of_users, without_bad_rows, without_repeats
from lrrecsys_core.data.times import UNITS, seconds_column
from lrrecsys_core.data.written import is_written, read_dataset
from lrrecsys_core.errors import InputError

_CHOICES = {
    "header": ("none",),
    "unit": (*UNITS, "date"),
    "duplicates": ("refuse", "first", "last", "mean"),
    "release": tuple(RELEASES),
}
_MEND = "; duplicates=first, last or mean keeps one"


@dataclass(frozen=True)
class TableMap:
    """Which column of a table holds what, and how the table is read; the words are the keys of ``table:FILE?...``.

    Attributes
    ----------
    user, item, rating, timestamp, name, details, review, aspects, context
        Names of columns; without `timestamp` the data set is unordered, without `name` items go by their ids. An item
        has the name and details of its first row. `details` and `aspects` hold phrases separated by "; ", an aspect
        perhaps with + or - in front for its sentiment. `context` columns describe the occasion (trip type, season).
    sep, header
        Separator of a text (a word of `SEPARATORS` or the characters themselves), and "none" if its first line is a
        record: columns then go by their numbers, from 1.
    items, item_key
        A file beside the table that holds `name` and `details` instead, and its column of ids (by default `item`).
    test
        A file beside the table, read like it, whose records are the test part.
    unit
        Of numeric times, as for `times.read_times`.
    domain
        hotel, restaurant, movie or product: the words of the prompts.
    rating_min, rating_max, liked_from
        The scale; ratings are liked from three quarters of it on unless said otherwise (4 of 1 to 5).
    duplicates
        What becomes of records of equal user, item and time: "refuse", "first", "last" or "mean" (of the ratings).
    lenient
        Drop rows that would be refused, and say how many and which.
    min_records
        Keep users and items with so many records, again and again until all have them (the k-core).
    sample_users, seed
        Of these, keep so many users, drawn at random.
    release
        Which of the paper's releases the table holds, by a word of `releases.RELEASES`.
    """

    user: str = "user_id"
    item: str = "item_id"
    rating: str = "rating"
    timestamp: str = ""
    name: str = ""
    details: str = ""
    review: str = ""
    aspects: str = ""
    context: tuple[str, ...] = ()
    sep: str = ""
    header: str = ""
    items: str = ""
    item_key: str = ""
    test: str = ""
    unit: str = ""
    domain: str = "product"
    rating_min: float = 1.0
    rating_max: float = 5.0
    liked_from: float | None = None
    duplicates: str = "refuse"
    lenient: bool = False
    min_records: int = 1
    sample_users: int = 0
    seed: int = 0
    release: str = ""

    @property
    def columns(self) -> dict[str, str]:
        """Our names of the columns of the table of ratings, and theirs."""
        named = {"user_id": self.user, "item_id": self.item, "rating": self.rating, "timestamp": self.timestamp}
        goods = {} if self.items else {"name": self.name, "details": self.details}
        named |= goods | {"text": self.review, "aspect": self.aspects}
        return {ours: theirs for ours, theirs in named.items() if theirs}

    @property
    def keys(self) -> list[str]:
        """What tells records apart."""
        return ["user_id", "item_id", *(["timestamp"] if self.timestamp else [])]

    @property
    def separator(self) -> str | None:
        """The characters between two fields, or None for what the file's name says."""
        return SEPARATORS.get(self.sep, self.sep.replace("\\t", "\t")) or None


def parse_table(place: str) -> tuple[Path, TableMap]:
    """Understand ``FILE?key=value&...``, with the attributes of `TableMap` as keys; `lenient` needs no value.

    Raises
    ------
    InputError
        If it cannot be understood.
    """
    path, _, query = place.partition("?")
    known = {field.name: str(field.type) for field in fields(TableMap)}
    given: dict[str, object] = {}
    for pair in filter(None, query.split("&")):
        key, equals, value = (unquote_plus(part) for part in pair.partition("="))
        if not equals and key != "lenient":
            raise InputError(
                f"'{clipped(pair)}' after the ? of '{clipped(place, 120)}' cannot be read; expected key=column."
            )
        if key not in known:
            raise InputError(f"unknown key '{clipped(key)}' in the table's spec; expected some of {', '.join(known)}.")
        if not value and key in ("user", "item", "rating"):
            raise InputError(f"{key}= in '{clipped(place, 120)}' names no column; expected {key}=COLUMN.")
        given[key] = _value(key, value, known[key], place)
    return Path(path), TableMap(**given)  # type: ignore[arg-type]


def files_of(place: str) -> list[Path]:
    """The files that ``FILE?key=value&...`` is read from."""
    path, table = parse_table(place)
    return [path, *(path.parent / name for name in (table.items, table.test) if name)]


def _value(key: str, text: str, kind: str, place: str) -> object:
    expected = ""
    if kind == "bool":
        expected = "" if text.lower() in ("", "1", "true", "yes", "0", "false", "no") else "yes or no"
    elif kind == "int":
        expected = "" if text.isdecimal() else "a whole number, 0 or more"
    elif kind.startswith("float"):
        try:
            return float(text)
        except ValueError:
            expected = "a number"
    elif text and text not in _CHOICES.get(key, (text,)):
        expected = f"one of {', '.join(_CHOICES[key])}"
    if expected:
        raise InputError(f"{key}={clipped(text)} in '{clipped(place, 120)}' is unknown; expected {expected}.")
    if kind == "bool":
        return text.lower() not in ("0", "false", "no")
    if kind == "int":
        return int(text[:18])
    return tuple(filter(None, text.split(","))) if kind.startswith("tuple") else text


def load_table(path: str | Path, options: TableMap | None = None) -> Dataset:
    """Load a table of ratings: CSV, TSV, JSON Lines (all also .gz) or Parquet.

    Returns
    -------
    Dataset
        Named after the file; its `notes` say what was dropped or merged.

    Raises
    ------
    InputError
        If a file cannot be read or a row breaks a rule of `make_dataset`.
    """
    path, table = Path(path), options or TableMap()
    if is_written(path):
        return _selected(_alone(read_dataset(path), table), table)
    low, high = table.rating_min, table.rating_max
    liked = low + 0.75 * (high - low) if table.liked_from is None else table.liked_from
    check_scale(str(path), low, high, liked)
    items, where = _items(path, table)
    records, notes = _records(path, table, items)
    if table.test:
        records, more = _with_test(records, path, table, items)
        notes += more
    if items is None:
        items = _goods(records, table)
    written = pl.col("text").fill_null("").str.strip_chars() != ""
    dataset = make_dataset(
        path.name.split(".")[0],
        table.domain,
        records,
        items,
        aspects=_aspects(records, table.keys) if table.aspects else None,
        reviews=records.filter(written).select(*table.keys, "text") if table.review else None,
        rating_min=low,
        rating_max=high,
        liked_from=liked,
        context=table.context,
        source=str(path),
        files={"interactions": str(path), "items": where, "reviews": str(path), "aspects": str(path)},
        columns=table.columns | ({"name": table.name} if table.name else {}),
        unit="s",
    )
    if table.items:
        dataset = dataset.restricted(dataset.interactions)  # to the items that were rated
    return _selected(replace(dataset, release=table.release, notes=tuple(notes)), table)


def _selected(dataset: Dataset, table: TableMap) -> Dataset:
    """The part of a data set that is asked for."""
    chosen = dataset.interactions
    if table.min_records > 1:
        chosen = k_core(chosen, table.min_records, dataset.source)
    if table.sample_users:
        chosen = of_users(chosen, table.sample_users, table.seed)
    return dataset.restricted(chosen) if chosen.height < dataset.interactions.height else dataset


def _alone(dataset: Dataset, table: TableMap) -> Dataset:
    """The data set, if nothing is said of columns that it knows itself."""
    part = TableMap(min_records=table.min_records, sample_users=table.sample_users, seed=table.seed)
    for field in fields(TableMap):
        if getattr(table, field.name) != getattr(part, field.name):
            raise InputError(
                f"{dataset.source}: written by 'lrrecsys data', it knows its columns; leave {field.name} out and say"
                " min_records, sample_users and seed at most."
            )
    return dataset


def _records(path: Path, table: TableMap, items: pl.DataFrame | None) -> tuple[pl.DataFrame, list[str]]:
    """The rows of a file by our names and of our types, and what is to be said of them."""
    where, columns = str(path), table.columns
    wanted = tuple(dict.fromkeys((*columns.values(), *table.context)))
    found = read_table(path, table.separator, header=table.header != "none", columns=wanted, lenient=table.lenient)
    raw = found.select(
        **{ours: pl.col(theirs) for ours, theirs in columns.items()},
        **{column: pl.col(column) for column in table.context if column not in columns},
        **({BROKEN: pl.col(BROKEN)} if BROKEN in found.columns else {}),
    )
    del found
    notes: list[str] = []
    if table.lenient:
        raw, notes = without_bad_rows(raw, path, columns, (table.rating_min, table.rating_max), table.unit, items)
    records = pl.DataFrame(_typed(raw, where, table))
    if table.duplicates != "refuse":
        records, repeats = without_repeats(records, table.keys, table.duplicates)
        notes += (
            [f"{path.name}: {repeats:,} repeated records merged (duplicates={table.duplicates})"] if repeats else []
        )
    else:
        refuse_repeats(records, table.keys, where, lambda key: columns.get(key, key), _MEND)
    return records, notes


def _typed(raw: pl.DataFrame, where: str, table: TableMap) -> list[pl.Series]:
    columns = table.columns
    scale = f"a number from {table.rating_min:g} to {table.rating_max:g}"
    found = [text_column(raw, key, where, "a non-empty value", columns[key]) for key in ("user_id", "item_id")]
    rating = number_column(raw, "rating", where, scale, columns["rating"])
    outside = ~rating.is_between(table.rating_min, table.rating_max)
    mend = f"{scale} (rating_min and rating_max say another scale)"
    refuse(raw.with_columns(_outside=outside), "rating", pl.col("_outside"), where, mend, columns["rating"])
    found.append(rating)
    if table.timestamp:
        found.append(seconds_column(raw, "timestamp", where, table.timestamp, table.unit))
    for column in raw.columns:
        if column == "name":
            found.append(text_column(raw, column, where, "the name of the item", table.name))
        elif column not in ("user_id", "item_id", "rating", "timestamp", BROKEN):
            lists = column in ("details", "text", "aspect")
            found.append(as_written(raw, column, where, columns.get(column), lists=lists).cast(pl.String))
    return found


def _with_test(
    records: pl.DataFrame, path: Path, table: TableMap, items: pl.DataFrame | None
) -> tuple[pl.DataFrame, list[str]]:
    """The records and, marked, those of the given test part; no record is in both."""
    other = path.parent / table.test
    tested, notes = _records(other, table, items)
    both = records.join(tested, on=table.keys, how="semi")
    if both.height:
        shown = ", ".join(f"{key} {clipped(str(both[key][0]), 40)}" for key in table.keys)
        raise InputError(f"{other}: a record of it is in {path} too ({shown}); expected each in one part alone.")
    mark = [part.with_columns(test=pl.lit(is_test)) for part, is_test in ((records, False), (tested, True))]
    return pl.concat(mark), notes


def _items(path: Path, table: TableMap) -> tuple[pl.DataFrame | None, str]:
    """The table of items, if there is one of its own, and the file they come from."""
    if not table.items:
        return None, str(path)
    file = path.parent / table.items
    named = {"item_id": table.item_key or table.item, "name": table.name or "name", "details": table.details}
    named = {ours: theirs for ours, theirs in named.items() if theirs}
    found = read_table(file, columns=tuple(dict.fromkeys(named.values())), lenient=table.lenient)
    frame = found.select(**{ours: pl.col(theirs) for ours, theirs in named.items()})
    if table.lenient:
        shown = (
            as_written(frame, "name", str(file), named["name"]).cast(pl.String).str.strip_chars().fill_null("") != ""
        )
        frame = frame.filter(shown).unique("item_id", keep="first", maintain_order=True)
    return frame.with_columns(text_column(frame, "item_id", str(file), "the id of an item", named["item_id"])), str(
        file
    )


def _goods(records: pl.DataFrame, table: TableMap) -> pl.DataFrame:
    """Id, name and details of each item, from its first row."""
    goods = records.select("item_id", *(column for column in ("name", "details") if column in records.columns))
    goods = goods.unique("item_id", keep="first", maintain_order=True)
    return goods if table.name else goods.with_columns(name=pl.col("item_id"))


def _aspects(records: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """A row for each phrase of a record's aspects: "+service; -price; pool" has sentiments 1, -1 and none."""
    said = records.select(*keys, pl.col("aspect").str.split(";")).explode("aspect")
    phrase = pl.col("aspect").str.strip_chars()
    sign = pl.when(phrase.str.starts_with("+")).then(1).when(phrase.str.starts_with("-")).then(-1)
    told = said.with_columns(sentiment=sign, aspect=phrase.str.strip_chars_start("+-").str.strip_chars())
    return told.filter(pl.col("aspect").fill_null("") != "")
