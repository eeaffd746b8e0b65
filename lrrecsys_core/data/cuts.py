"""Which records train, validate and test (Sec 5.1, App 10.1; the rules are spelt out at `make_split`)."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.earlier import Ints
from lrrecsys_core.errors import InputError

Marks = NDArray[np.bool_]


def sorted_records(dataset: Dataset, seed: int) -> pl.DataFrame:
    """Records with their numbers `_record`, `_user` and `_item`, sorted by user, time (or a random key) and item id."""
    numbers = dataset.items.select("item_id").with_row_index("_item")
    records = dataset.interactions.with_row_index("_record").join(
        numbers, on="item_id", how="left", maintain_order="left"
    )
    if dataset.ordered:
        records = records.sort("user_id", "timestamp", "item_id")
    else:
        records = records.sort("user_id", "item_id")
        key = np.random.default_rng([seed, 0]).permutation(records.height)
        records = records.with_columns(_key=key).sort("user_id", "_key").drop("_key")
    return records.with_columns(_user=pl.col("user_id").rle_id())


def runs(group: Ints) -> tuple[Ints, Ints]:
    """For sorted groups (N,): index of the first member of each record's group, and the group's size."""
    begins = np.concatenate([[True], np.diff(group) != 0])
    starts = np.flatnonzero(begins)
    number = np.cumsum(begins) - 1
    return starts[number], np.diff(np.append(starts, len(group)))[number]


def from_moment(time: Ints, tenths: int, name: str) -> Marks:
    """True from the moment on at which so many tenths of the records have been written; never all of them."""
    moment = np.sort(time)[tenths * len(time) // 10]
    if moment == time.min():
        raise InputError(f"{name}: too many records share one timestamp for a split by global time; use 'user_time'.")
    late: Marks = time >= moment
    return late


def tied_cuts(user: Ints, time: Ints | None, test: Marks) -> tuple[int, int]:
    """Number of users whose cut falls inside a tie, and number of users with both parts."""
    cut = np.flatnonzero(test[1:] & ~test[:-1] & (user[1:] == user[:-1]))
    return (0 if time is None else int((time[cut] == time[cut + 1]).sum())), len(cut)


def keep_share(test: Marks, share: float, seed: int) -> Marks:
    """Mark the test records and that share of the others, at random."""
    pool = np.flatnonzero(~test)
    # one permutation for all shares, so that 12% lies inside 25% inside 50%
    shuffled = np.random.default_rng([seed, 1]).permutation(pool)
    kept = test.copy()
    kept[shuffled[: max(1, round(share * len(pool)))]] = True
    return kept


def last_tenth(user: Ints, test: Marks, seed: int) -> tuple[Marks, bool]:
    """Mark the validation records among those before the test part; also say whether random users had to do."""
    pool = np.flatnonzero(~test)
    first, size = runs(user[pool])
    place = np.arange(len(pool)) - first
    held = np.zeros_like(test)
    held[pool[place >= size - (size + 5) // 10]] = True
    if held.sum() >= 0.05 * len(pool):
        return held, False
    last = np.random.default_rng([seed, 2]).permutation(pool[(place == size - 1) & (size >= 2)])
    held[:] = False
    held[last[: -(-len(pool) // 10)]] = True
    return held, True
