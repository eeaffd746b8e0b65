"""MovieLens 100k and 1m as GroupLens publishes them (Harper and Konstan, 2015): text without headers, in latin-1."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lrrecsys_core.data.columns import find_files, number_column, refuse
from lrrecsys_core.data.open_records import described, latest_records
from lrrecsys_core.data.times import seconds_column
from lrrecsys_core.errors import InputError

_COLUMNS = {"user_id": "user", "item_id": "item", "rating": "rating", "timestamp": "time"}
_GENRES = "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|Film-Noir|Horror"
_GENRES += "|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
_BEFORE = 5  # fields of u.item before the flags of genres: id, title, two dates, address


@dataclass(frozen=True)
class Published:
    """A MovieLens folder in one form: records by our names; item_id, name, genres ("A|B") of movies; for complaints
    the files and what they call a column; the smallest rating; and what is to be said of the reading."""

    records: pl.DataFrame
    movies: pl.DataFrame
    files: dict[str, str]
    columns: dict[str, str]
    rating_min: float
    notes: tuple[str, ...] = ()


def read_classic(folder: Path, fold: str) -> Published | None:
    """Read a folder of MovieLens 100k or 1m; None if it is neither.

    Parameters
    ----------
    fold
        An official fold of 100k, such as "u1": u1.base and u1.test become training and test part. A folder without
        u.data that holds one fold is that fold.

    Raises
    ------
    InputError
        If there is no such fold, none is named where there are several, or a file is missing or malformed.
    """
    folds = sorted(path.stem for path in folder.glob("*.base") if path.with_suffix(".test").is_file())
    if not fold and folds and not (folder / "u.data").is_file():
        if len(folds) > 1:
            raise InputError(f"{folder}: no u.data, but folds {', '.join(folds)}; name one: ?fold={folds[0]}.")
        fold = folds[0]
    if fold and fold not in folds:
        raise InputError(f"{folder}: no fold '{fold}'; it holds {', '.join(folds) or 'no .base and .test files'}.")
    if fold:
        names: dict[str, bool | None] = {f"{fold}.base": False, f"{fold}.test": True}
    elif (folder / "u.data").is_file():
        names = {"u.data": None}
    elif (folder / "ratings.dat").is_file():
        names = {"ratings.dat": None}
    else:
        return None
    old = "ratings.dat" in names
    read = [_records(folder / name, "::" if old else "\t", test) for name, test in names.items()]
    (about,) = find_files(folder, ("movies.dat" if old else "u.item",), "a MovieLens folder")
    records = pl.concat([part for part, _ in read])
    movies = (_movies_1m if old else _movies_100k)(about).rename({"genres": "details"})
    items, missing = described(records, movies, str(about))
    return Published(
        records,
        items.rename({"details": "genres"}),
        {"interactions": " and ".join(str(folder / name) for name in names), "items": str(about)},
        _COLUMNS,
        1.0,
        (*(note for _, notes in read for note in notes), *missing),
    )


def _records(path: Path, separator: str, test: bool | None) -> tuple[pl.DataFrame, list[str]]:
    where, between = str(path), {"\t": "tabs"}.get(separator, f"'{separator}'")
    form = separator.join(rf"(?<{column}>[^\t:]*)" for column in _COLUMNS)
    raw = _matches(path, f"^{form}$", f"user, item, rating and time with {between} between them")
    frame = raw.with_columns(
        number_column(raw, "rating", where, "a number from 1 to 5"),
        pl.from_epoch(seconds_column(raw, "timestamp", where, unit="s"), "s"),
    )
    frame, notes = latest_records(frame, where, _COLUMNS)
    return (frame if test is None else frame.with_columns(test=pl.lit(test))), notes


def _movies_1m(path: Path) -> pl.DataFrame:
    """Lines "id::title::genre|genre"."""
    return _matches(path, r"^(?<item_id>\d+)::(?<name>.*\S.*)::(?<genres>[^:]*)$", "id::title::genres")


def _movies_100k(path: Path) -> pl.DataFrame:
    """Lines "id|title|date|date|address|flag|flag ...", a flag for each genre."""
    flags = _GENRES.split("|")
    form = (
        rf"^(?<item_id>\d+)\|(?<name>[^|]*[^|\s][^|]*)(?:\|[^|]*){{{_BEFORE - 2}}}(?<flags>(?:\|[01]){{{len(flags)}}})$"
    )
    movies = _matches(path, form, f"id|title|date|date|address and {len(flags)} flags, 0 or 1")
    named = [
        pl.when(pl.col("flags").str.slice(2 * k + 1, 1) == "1").then(pl.lit(genre))
        for k, genre in enumerate(flags)
        if k > 0  # the first is "unknown"
    ]
    return movies.select("item_id", "name", genres=pl.concat_str(named, separator="|", ignore_nulls=True))


def _matches(path: Path, form: str, expected: str) -> pl.DataFrame:
    """The named groups of a pattern that every line matches; the text is UTF-8 or, as published, latin-1."""
    content = path.read_bytes()
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    frame = pl.DataFrame({"line": lines})
    groups = frame.select(pl.col("line").str.extract_groups(form)).unnest("line")
    refuse(frame.with_columns(groups[:, 0].alias("_first")), "line", pl.col("_first").is_null(), str(path), expected)
    return groups
