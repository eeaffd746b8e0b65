"""Which records train, validate and test (Sec 5.1, App 10.1; the rules are spelt out at `make_split`)."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.earlier import Ints, earlier_training, order_by
from lrrecsys_core.errors import InputError

HISTORY = 5
Marks = NDArray[np.bool_]  # True for some of the records


@dataclass(frozen=True)
class Cut:
    """The records that are kept, in the order of `sorted_records`, and which of them test and validate.

    Attributes
    ----------
    dataset
        Whose records they are.
    by
        The rule: "user_time", "global_time" or "given".
    record, user, item
        (N,) rows of `dataset.interactions`, numbers of user and item among all: see `sorted_records`.
    time
        (N,) seconds, or None.
    test, held
        (N,) True for the records that test and that validate.
    shares
        What is to be said of the cuts.
    """

    dataset: Dataset
    by: str
    record: Ints
    user: Ints
    item: Ints
    time: Ints | None
    test: Marks
    held: Marks
    shares: dict[str, float]

    @property
    def train(self) -> Marks:
        """(N,) True for the records that train."""
        return ~self.test & ~self.held

    def past(self, seed: int) -> Ints:
        """(N, 5) records whose items are the history of each record, newest last; -1 where there are fewer.

        With time they are the last strictly earlier ones of the user, without it random other training records. Beside
        a given test part, which may be older than what trains, they are not of that part.
        """
        if self.time is None:
            return earlier_training(self.user, None, self.train).draw(HISTORY, np.random.default_rng([seed, 3]))
        known = ~self.test if self.by == "given" else np.ones_like(self.test)
        return earlier_training(self.user, self.time, known).last(HISTORY)


def cut_records(dataset: Dataset, by: str, validation: bool, train_fraction: float, seed: int) -> Cut:
    """Sort the records and say which of them are kept, test and validate; parameters as for `make_split`."""
    record, user, item = sorted_records(dataset, seed)
    time = dataset.interactions["timestamp"].to_numpy()[record] if dataset.ordered else None
    if dataset.given_split:
        by, test = "given", _given_test(dataset, by)[record]
    elif by == "global_time" and time is not None:
        test = from_moment(time, 8, dataset.name)
    else:
        first, size = runs(user)
        test = np.arange(len(user)) - first >= np.maximum(1, 4 * size // 5)
    tied, complete = (0, 0) if dataset.given_split else tied_cuts(user, time, test)
    if train_fraction < 1:
        kept = keep_share(test, train_fraction, seed)
        record, user, item, test = record[kept], user[kept], item[kept], test[kept]
        time = None if time is None else time[kept]
    fallback = False
    held = np.zeros_like(test)
    if validation and by == "global_time" and time is not None:
        held[~test] = from_moment(time[~test], 9, dataset.name)
    elif validation:
        held, fallback = last_tenth(user, test, seed)
    shares = {"tied_cuts": tied / complete if complete else 0.0, "validation_by_random_users": float(fallback)}
    return Cut(dataset, by, record, user, item, time, test, held, shares)


def _given_test(dataset: Dataset, by: str) -> Marks:
    """The test part that the data bring; nothing else may be asked for, and something must be left to train on."""
    if by != "user_time":
        raise InputError(f"{dataset.name} brings its own test part: leave it out, or the split by {by!r}.")
    test = dataset.interactions["test"].to_numpy()
    if test.all():
        raise InputError(f"{dataset.name}: all records are in the given test part; expected some to train on.")
    return np.asarray(test, dtype=np.bool_)


def sorted_records(dataset: Dataset, seed: int) -> tuple[Ints, Ints, Ints]:
    """Row of each record in the order of user, time (or a random key) and item id; its user's and item's number.

    Users are numbered in the order of their ids, items by their rows in `dataset.items`.
    """
    records, ids = dataset.interactions, dataset.items["item_id"]
    user = _user_numbers(records["user_id"])
    item = _numbers(records["item_id"], ids)
    place = np.empty(len(ids), np.int64)
    place[ids.arg_sort().to_numpy()] = np.arange(len(ids))
    if dataset.ordered:
        order = order_by(user, records["timestamp"].to_numpy(), place[item])
    else:
        order = order_by(user, place[item])
        key = np.random.default_rng([seed, 0]).permutation(len(order))
        order = order[order_by(user[order], key)]
    return order, user[order], item[order]


def _user_numbers(ids: pl.Series) -> Ints:
    """(N,) place of each id among the different ones, sorted."""
    known = ids.gather(ids.hash().arg_unique()).sort()
    number = _numbers(ids, known)
    if (known.gather(number) == ids).all():
        return number
    # Different ids with one hash passed for one user. That hardly ever happens, and hashes take half the time.
    return _numbers(ids, ids.unique().sort())


def _numbers(ids: pl.Series, known: pl.Series) -> Ints:
    """(N,) row of each id among those known, which are all there are."""
    hashes = known.hash()
    if hashes.n_unique() == len(known):  # then they stand for the texts, and are matched in half the time
        ids, known = ids.hash(), hashes
    rows = known.to_frame("id").with_row_index("row")
    found = ids.to_frame("id").join(rows, on="id", how="left", maintain_order="left")
    return found["row"].to_numpy().astype(np.int64)


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
