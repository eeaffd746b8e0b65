"""What a data set is, before any run: what was found in it, how a prompt shows its items, and what may be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import polars as pl

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.releases import RELEASES, counts
from lrrecsys_core.data.split import Split
from lrrecsys_core.explain.prompts import ITEM_CHARACTERS, item_lines

SHOWN = 3  # items whose lines are shown
MOST = 0.5  # share from which on something is worth a remark


def found(split: Split) -> pl.DataFrame:
    """What there is: two columns of text, ``what`` and ``found``."""
    data = split.dataset
    records, rating = data.interactions, data.interactions["rating"].to_numpy()
    shares = split.shares
    lines = {of: f"{n:,}" + _printed(data, of) for of, n in counts(data).items()}
    lines["span"] = _span(data)
    lines["ratings"] = (
        f"{rating.min():g} to {rating.max():g} on a scale of {data.rating_min:g} to {data.rating_max:g}, "
        f"mean {rating.mean():.2f}; {(rating >= data.liked_from).mean():.0%} liked (from {data.liked_from:g} on)"
    )
    lines["ties"] = f"{_ties(data):.1%} of the records share user and time with another"
    pairs = records.select("user_id", "item_id").n_unique()
    lines["repeated"] = f"{records.height - pairs:,} records of an item that the user rated before"
    rule = _RULES[split.by] if data.ordered or data.given_split else "in random order"
    lines["split"] = (
        f"{rule}: {shares['train']:.1%} train, {shares['validation']:.1%} validate, {shares['test']:.1%} test"
    )
    lines["cold"] = (
        f"{shares['test_cold_users']:.1%} of the test records have a user, {shares['test_cold_items']:.1%} an item "
        f"that training has not seen; {shares['test_empty_history']:.1%} have no history"
    )
    lines["item texts"] = (
        f"{_share(data.items['name'] != data.items['item_id'])} of the items have a name, "
        f"{_share(data.items['details'] != '')} details"
    )
    for name in ("reviews", "aspects", "texts"):
        frame = getattr(data, name)
        lines[name] = "none" if frame is None else f"{frame.height:,}"
    for number, line in enumerate(item_lines(split, None)[:SHOWN], 1):
        lines[f"item {number} in a prompt"] = line if len(line) <= 200 else f"{line[:199]}…"
    return pl.DataFrame({"what": list(lines), "found": list(lines.values())})


_RULES = {"user_time": "by each user's time", "global_time": "by one moment", "given": "given split"}


def doubts(split: Split) -> list[str]:
    """What may be wrong, a sentence each."""
    return [*split.dataset.notes, *_about_split(split), *_about_values(split.dataset), *_about_items(split.dataset)]


def _about_split(split: Split) -> Iterator[str]:
    data, shares = split.dataset, split.shares
    if not len(split.test):
        yield "no record tests: no user has two records, and no run can be made"
    elif not len(split.validation):
        yield "no record validates: no user has three records, and no run but paper_strict can be made"
    for part, name in ((split.train, "training"), (split.test, "test")):
        if len(part) and len(set(split.liked[part].tolist())) == 1:
            liked = "liked" if split.liked[part[0]] else "not liked"
            yield f"all {name} records are {liked}: high and low cannot be told apart"
    if not data.ordered:
        yield "no order: without times the split and histories are drawn at random"
    for key, what in (("test_cold_users", "a user"), ("test_cold_items", "an item")):
        if shares[key] >= MOST:
            yield f"{shares[key]:.0%} of the test records have {what} that training has not seen"


def _about_values(data: Dataset) -> Iterator[str]:
    records = data.interactions
    rating = records["rating"].to_numpy()
    if np.ptp(rating) == 0:
        yield f"all ratings are {rating[0]:g}: there is nothing to predict"
    elif np.ptp(rating) < MOST * (data.rating_max - data.rating_min):
        yield f"ratings use less than half of the scale {data.rating_min:g} to {data.rating_max:g}: is it theirs?"
    if data.ordered and (share := _ties(data)) >= MOST:
        yield f"{share:.0%} of the records share user and time with another: their order is that of the item ids"
    if data.ordered and (late := int((records["timestamp"] > datetime.now(UTC).timestamp()).sum())):
        yield f"{late:,} records lie in the future"
    for column in ("user_id", "item_id"):
        ids = records[column].unique()
        stripped = ids.str.strip_chars()
        if odd := int((ids != stripped).sum()):
            merged = len(ids) - stripped.n_unique()
            yield f"{odd:,} values of {column} have white space around them; {merged:,} differ by it alone"


def _about_items(data: Dataset) -> Iterator[str]:
    names = data.items["name"]
    if not data.item_text:
        yield "no item texts: prompts show ids, and rows that read texts have nothing to read"
    elif shared := int(names.is_duplicated().sum()):
        yield f"{shared:,} items share their name with another"
    long = data.items.select(pl.col("name").str.len_chars() + pl.col("details").str.len_chars() > ITEM_CHARACTERS)
    if cut := int(long.to_series().sum()):
        yield f"{cut:,} items have more than {ITEM_CHARACTERS:,} characters, of which prompts show the first"


def _printed(data: Dataset, of: str) -> str:
    """The paper's count beside ours, where the data are one of its releases."""
    release = RELEASES.get(data.release)
    return f" (the paper: {getattr(release, of):,})" if release else ""


def _span(data: Dataset) -> str:
    if not data.ordered:
        return "no times"
    ends = (data.interactions["timestamp"].min(), data.interactions["timestamp"].max())
    return " to ".join(_day(int(end)) for end in ends)  # type: ignore[arg-type]


def _day(seconds: int) -> str:
    day = pl.Series([seconds]).cast(pl.Int64)
    shown = pl.from_epoch(day, "s").dt.to_string("%Y-%m-%d")[0] if abs(seconds) < 2**38 else None
    return str(shown or f"second {seconds}")


def _share(marks: pl.Series) -> str:
    return f"{marks.to_numpy().mean():.0%}"


def _ties(data: Dataset) -> float:
    """Share of records that have another one of their user at their moment."""
    if not data.ordered:
        return 0.0
    return float(data.interactions.select(pl.len().over("user_id", "timestamp") > 1).to_series().mean())  # type: ignore[arg-type]
