"""The table of the data: counts of every data set and shares of its split."""

from __future__ import annotations

from typing import Final

import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.report.formats import Grid, named, number, write_all
from lrrecsys_core.report.kept import needed
from lrrecsys_core.report.notes import unordered_note

TIED: Final = "tied cuts"
CUTS: Final = "A tied cut is a user whose last training and first test record have the same time."
FLAGS: Final = ("simulated", "ordered", "given split")


def description_title(kept: pl.DataFrame) -> str:
    """Title of the table, which says whether its data are simulated."""
    return f"Data and split ({'SIMULATED markets' if kept['simulated'].any() else 'real data'})"


def description_notes(kept: pl.DataFrame) -> list[str]:
    """What the shares are shares of, and which data sets have no time or a test part of their own."""
    notes = [f"Shares of all records; cold users and items as shares of the test (or validation) records. {CUTS}"]
    untimed = kept.filter(~pl.col("ordered"))["data set"].to_list()
    notes += [unordered_note(untimed)] if untimed else []
    given = [str(line["data set"]) for line in kept.to_dicts() if line.get("given split")]
    return notes + (
        [f"Given split (the data bring their own test part): {', '.join(map(named, given))}."] if given else []
    )


def description_grid(kept: pl.DataFrame) -> Grid:
    """The counts and shares for people, a column a data set."""
    lines = kept.to_dicts()
    body = [
        [key, *("no time" if key == TIED and not line["ordered"] else _told(key, line[key]) for line in lines)]
        for key in _counts(kept).columns[1:]
    ]
    return Grid("", ["", *(named(str(name)) for name in kept["data set"])], body)


def _counts(kept: pl.DataFrame) -> pl.DataFrame:
    return kept.drop(FLAGS, strict=False)  # a run that is older than given splits has no such column


def write_description(run: str) -> pl.DataFrame:
    """Write and return the table ``data`` from the kept counts, a line a data set."""
    kept = needed(run, "description")
    title, notes = description_title(kept), description_notes(kept)
    write_all(paths.tables(run), "data", _counts(kept), title, notes, [description_grid(kept)])
    return _counts(kept)


def _told(key: str, value: object) -> str:
    """A count, a share, or yes or no."""
    if key == "validation by random users":
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else number(value, 3)
