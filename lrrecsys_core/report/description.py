"""The table of the data: counts of every data set and shares of its split."""

from __future__ import annotations

from typing import Final

import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.report.formats import Grid, number, write_all
from lrrecsys_core.report.kept import needed
from lrrecsys_core.report.notes import unordered_note

TIED: Final = "tied cuts"
CUTS: Final = "A tied cut is a user whose last training and first test record have the same time."
FLAGS: Final = ("simulated", "ordered", "given split")


def write_description(run: str) -> pl.DataFrame:
    """Write and return the table ``data`` from the kept counts, a line a data set."""
    kept = needed(run, "description")
    table = kept.drop(FLAGS, strict=False)  # a run that is older than given splits has no such column
    lines = kept.to_dicts()
    body = [
        [key, *("no time" if key == TIED and not line["ordered"] else _told(key, line[key]) for line in lines)]
        for key in table.columns[1:]
    ]
    title = f"Data and split ({'SIMULATED markets' if kept['simulated'].any() else 'real data'})"
    notes = ["Shares of all records; cold users and items as shares of the test (or validation) records.", CUTS]
    untimed = kept.filter(~pl.col("ordered"))["data set"].to_list()
    notes += [unordered_note(untimed)] if untimed else []
    given = [str(line["data set"]) for line in lines if line.get("given split")]
    notes += [f"Given split (the data bring their own test part): {', '.join(given)}."] if given else []
    header = ["", *(str(name) for name in kept["data set"])]
    write_all(paths.tables(run), "data", table, title, notes, [Grid("", header, body)])
    return table


def _told(key: str, value: object) -> str:
    """A count, a share, or yes or no."""
    if key == "validation by random users":
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else number(value, 3)
