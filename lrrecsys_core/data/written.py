"""A whole data set in one Parquet file: a row per record, and on it what else is known of item and record."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.domains import Domain
from lrrecsys_core.errors import InputError

_KEY = "lrrecsys"  # of the file's metadata
_SETTINGS = ("rating_min", "rating_max", "liked_from", "context", "release")
_SIDES = {"items": ["item_id"], "texts": ["item_id"], "aspects": ["user_id", "item_id"]}
_SIDES |= {"reviews": ["user_id", "item_id"]}


def write_dataset(dataset: Dataset, path: str | Path) -> None:
    """Write a data set that ``table:PATH`` reads back to the same, by content; only its name becomes the file's.

    Besides the columns of `Dataset.interactions` the file has a list for each other frame, on the first record that a
    row of it is about.

    Raises
    ------
    InputError
        If the name does not end in .parquet, the data are simulated, or a row of a frame is about no record.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        raise InputError(f"{path}: data are written as one Parquet file; end its name in .parquet.")
    if dataset.simulated:
        raise InputError(f"{dataset.name}: a simulated market is drawn from its seed; only real data can be written.")
    whole = dataset.interactions
    for name, keys in _SIDES.items():
        frame = getattr(dataset, name)
        if frame is not None:
            whole = whole.with_columns(_attached(dataset, name, frame, _keys(keys, frame)))
    about = {name: getattr(dataset, name) for name in _SETTINGS} | {"domain": asdict(dataset.domain)}
    about["keys"] = {
        name: _keys(keys, getattr(dataset, name)) for name, keys in _SIDES.items() if name in whole.columns
    }
    with paths.replacing(path) as partial:
        whole.write_parquet(partial, metadata={_KEY: json.dumps(about)})


def is_written(path: Path) -> bool:
    """Whether a file was made by `write_dataset`."""
    try:
        return path.suffix == ".parquet" and path.is_file() and _KEY in pl.read_parquet_metadata(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return False  # reading it as a table says what is wrong with it


def read_dataset(path: Path) -> Dataset:
    """Read what `write_dataset` wrote.

    Raises
    ------
    InputError
        If the file was changed since, so that it breaks a rule of `make_dataset` or cannot be read.
    """
    try:
        about = json.loads(pl.read_parquet_metadata(path)[_KEY])
        whole = pl.read_parquet(path)
        sides: dict[str, Any] = {name: _detached(whole, name, keys) for name, keys in about["keys"].items()}
        settings: dict[str, Any] = {name: about[name] for name in _SETTINGS} | {"context": tuple(about["context"])}
        release, domain = settings.pop("release"), Domain(**about["domain"])
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: written by 'lrrecsys data' and changed or cut since; write it again.") from error
    items = sides.pop("items")
    dataset = make_dataset(
        path.name.split(".")[0], domain, whole.drop([*sides, "items"]), items,
        source=str(path), unit="s", **sides, **settings,
    )  # fmt: skip
    return replace(dataset, release=release)


def _keys(keys: list[str], frame: pl.DataFrame) -> list[str]:
    return [*keys, "timestamp"] if "timestamp" in frame.columns else keys


def _attached(dataset: Dataset, name: str, frame: pl.DataFrame, keys: list[str]) -> pl.Series:
    """(N,) for the first record with each row's keys the list of those rows, their places in the frame included."""
    rows = frame.with_row_index("row").group_by(keys).agg(pl.struct(pl.exclude(keys)).alias(name))
    records = dataset.interactions.select(keys)
    first = records.select(pl.struct(keys).is_first_distinct()).to_series()
    lists = records.join(rows, on=keys, how="left", maintain_order="left").with_columns(_first=first)
    column = lists.select(pl.when("_first").then(pl.col(name)).alias(name)).to_series()
    lost = frame.height - int(column.list.len().sum())
    if lost:
        raise InputError(
            f"{dataset.name}: {lost:,} rows of its {name} are about no record; leave them out to write it."
        )
    return column


def _detached(whole: pl.DataFrame, name: str, keys: list[str]) -> pl.DataFrame:
    """The frame that `_attached` took apart."""
    rows = whole.select(*keys, name).filter(pl.col(name).list.len() > 0).explode(name)
    return rows.unnest(name).sort("row").drop("row")
