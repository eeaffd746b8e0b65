"""Which records train, validate and test (Sec 5.1, App 10.1; the rules are spelt out at `make_split`)."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.earlier import Ints, Positions, Whole, earlier_training, order_by, run_starts
from lrrecsys_core.errors import InputError

HISTORY = 5
_ROWS = 1 << 18  # records looked at together, and a few more
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
    user: Positions
    item: Positions
    time: Ints | None
    test: Marks
    held: Marks
    shares: dict[str, float]

    @property
    def train(self) -> Marks:
        """(N,) True for the records that train."""
        return ~self.test & ~self.held

    def history(self, seed: int) -> Positions:
        """(N, 5) numbers of the items in the history of each record, newest last; -1 where there are fewer.

        With time they are of the last strictly earlier records of the user, without it of random other training
        records. Beside a given test part, which may be older than what trains, they are not of that part.
        """
        if self.time is None:
            found = earlier_training(self.user, None, self.train).draw(HISTORY, np.random.default_rng([seed, 3]))
            return _ended(self.item)[found]
        known = ~self.test if self.by == "given" else np.ones_like(self.test)
        items = np.empty((len(self.user), HISTORY), np.int32)
        for part in _some_users(self.user):
            found = earlier_training(self.user[part], self.time[part], known[part]).last(HISTORY)
            items[part] = _ended(self.item[part])[found]
        return items


def cut_records(dataset: Dataset, by: str, validation: bool, train_fraction: float, seed: int) -> Cut:
    """Sort the records and say which of them are kept, test and validate; parameters as for `make_split`."""
    record, user, item = sorted_records(dataset, seed)
    time = dataset.interactions["timestamp"].to_numpy()[record] if dataset.ordered else None
    if dataset.given_split:
        by, test = "given", _given_test(dataset, by)[record]
    elif by == "global_time" and time is not None:
        test = from_moment(time, 8, dataset.name)
    else:
        size = run_sizes(user)
        test = last_of_runs(size, size - np.maximum(1, 4 * size // 5))
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


def sorted_records(dataset: Dataset, seed: int) -> tuple[Ints, Positions, Positions]:
    """Row of each record in the order of user, time (or a random key) and item id; its user's and item's number.

    Users are numbered in the order of their ids, items by their rows in `dataset.items`.
    """
    ids = dataset.items["item_id"]
    user, item = dataset.user_number, dataset.item_row.to_numpy()
    place = np.empty(len(ids), np.uint32)
    place[ids.arg_sort().to_numpy()] = np.arange(len(ids))
    if dataset.ordered:
        order = order_by(user, dataset.interactions["timestamp"].to_numpy(), place[item])
    else:
        order = order_by(user, place[item])
        key = np.random.default_rng([seed, 0]).permutation(len(order))
        order = order[order_by(user[order], key)]
    return order, user[order].astype(np.int32), item[order].astype(np.int32)


def _ended(item: Positions) -> Positions:
    """The items and a last entry, which is what -1 finds: -1, for none."""
    return np.append(item, np.int32(-1))


def _some_users(user: Positions) -> Iterator[slice]:
    """All records (N,), sorted by user, those of some users at a time, which bounds memory."""
    ends = np.append(run_starts(user), len(user))
    ends = np.unique(ends[np.searchsorted(ends, np.append(np.arange(0, len(user), _ROWS), len(user)))])
    yield from map(slice, ends[:-1], ends[1:])


def run_sizes(group: Whole) -> Ints:
    """(groups,) number of records of each of the sorted groups (N,)."""
    return np.diff(run_starts(group), append=len(group))


def last_of_runs(size: Ints, count: Ints) -> Marks:
    """(N,) True for the last records of runs of these sizes, so many of each as `count` says."""
    marks: Marks = np.repeat(np.tile([False, True], len(size)), np.column_stack([size - count, count]).ravel())
    return marks


def from_moment(time: Ints, tenths: int, name: str) -> Marks:
    """True from the moment on at which so many tenths of the records have been written; never all of them."""
    moment = np.sort(time)[tenths * len(time) // 10]
    if moment == time.min():
        raise InputError(f"{name}: too many records share one timestamp for a split by global time; use 'user_time'.")
    late: Marks = time >= moment
    return late


def tied_cuts(user: Positions, time: Ints | None, test: Marks) -> tuple[int, int]:
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


def last_tenth(user: Positions, test: Marks, seed: int) -> tuple[Marks, bool]:
    """Mark the validation records among those before the test part; also say whether random users had to do."""
    rest = ~test
    size = np.add.reduceat(rest, run_starts(user), dtype=np.int64)
    held = np.zeros_like(test)
    held[rest] = last_of_runs(size, (size + 5) // 10)
    if held.sum() >= 0.05 * rest.sum():
        return held, False
    last = np.flatnonzero(rest)[last_of_runs(size, (size >= 2).astype(np.int64))]
    held[:] = False
    held[np.random.default_rng([seed, 2]).permutation(last)[: -(-rest.sum() // 10)]] = True
    return held, True
