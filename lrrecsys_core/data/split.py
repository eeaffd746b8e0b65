"""From records to model inputs: who learns from what, and nothing from its own future (Sec 5.1, 5.2, App 10.1)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lrrecsys_core.data.cuts import HISTORY as HISTORY
from lrrecsys_core.data.cuts import Cut, Marks, cut_records
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.earlier import Earlier, Ints, Positions, earlier_training
from lrrecsys_core.errors import InputError

ASPECTS = 3
_CELLS = 1 << 24
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)  # one split is equal to itself alone, so that it can be a key
class Split:
    """All N records of a data set as model inputs, and which of them train, validate and test.

    Records are sorted by user, time and item id; every array is read-only. Model rows count from 1; row 0 stands for
    whatever the training part has not seen. Build it with `make_split`.

    Attributes
    ----------
    record
        (N,) row in `dataset.interactions`; names a record across splits of the same data set.
    user, item
        (N,) model rows.
    history
        (N, 5) model rows of the last five items of the user with a strictly earlier timestamp, newest last, padded on
        the left with 0; without time, up to five random other training items.
    history_mask
        (N, 5) True where `history` is not 0.
    user_position
        (N,) number of the user among all users of the data set, cold ones included.
    item_position, history_position
        (N,) and (N, 5) rows of `dataset.items`; -1 where the history is shorter.
    rating, target, liked
        (N,) raw rating (float64), rating on [0, 1] (float32), 1 if liked and else 0 (float32).
    timestamp
        (N,) seconds, or None.
    context, context_sizes
        (N, C) codes from 1, 0 where unknown or not seen in training; number of codes of each column, 0 included.
    aspects, aspect_names
        (N, 3) places in `aspect_names`, 0 for none: see `make_split`.
    train, validation, test
        Record indices; disjoint, together all N.
    n_users, n_items
        Sizes of the tables: 1 + number of users and items of the training part.
    item_rows
        (items,) model row of each row of `dataset.items`.
    shares
        What to print about the split: see `make_split`.
    """

    dataset: Dataset
    by: str
    train_fraction: float
    seed: int
    record: Ints
    user: Ints
    item: Ints
    history: Ints
    history_mask: Marks
    user_position: Positions
    item_position: Positions
    history_position: Positions
    rating: NDArray[np.float64]
    target: NDArray[np.float32]
    liked: NDArray[np.float32]
    timestamp: Ints | None
    context: Ints
    context_sizes: tuple[int, ...]
    aspects: Ints
    aspect_names: tuple[str, ...]
    train: Ints
    validation: Ints
    test: Ints
    n_users: int
    n_items: int
    item_rows: Ints
    shares: dict[str, float]

    def fields(self) -> dict[str, NDArray[np.generic]]:
        """Return the arrays a model may see, by the name they have in a batch."""
        names = ("user", "item", "history", "history_mask", "target", "liked", "context", "aspects")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def user_ids(self) -> tuple[str, ...]:
        """Id of the user in each model row; "" for row 0."""
        # model rows count the seen users in the order of their numbers, which is that of their ids
        seen = np.unique(self.user_position[self.train])
        return ("", *self.dataset.interactions["user_id"].unique().sort().gather(seen))

    @cached_property
    def in_training(self) -> Marks:
        """(N,) True for the records of `train`."""
        return _frozen(np.isin(np.arange(len(self.user)), self.train))

    @cached_property
    def earlier_of_user(self) -> Earlier:
        """The training records of its user each record may learn from (strictly earlier ones, never itself)."""
        return earlier_training(self.user_position, self.timestamp, self.in_training)

    @cached_property
    def earlier_of_item(self) -> Earlier:
        """The training records of its item each record may learn from (strictly earlier ones, never itself)."""
        return earlier_training(self.item_position, self.timestamp, self.in_training)

    def records_of(self, frame: pl.DataFrame) -> Ints:
        """(rows,) record each row of `dataset.aspects` or `dataset.reviews` belongs to; -1 if that record was dropped.

        A row without a timestamp belongs to the user's *latest* record of the item, so that nothing said at a second
        encounter can pass for knowledge from the first.
        """
        place = np.full(self.dataset.interactions.height, -1, np.int64)
        place[self.record] = np.arange(len(self.record))
        return place[_rows_of(self.dataset, frame)]


def make_split(
    dataset: Dataset,
    *,
    by: Literal["user_time", "global_time"] = "user_time",
    validation: bool = True,
    train_fraction: float = 1.0,
    seed: int = 0,
) -> Split:
    """Split a data set and prepare every input the models share.

    *Test*: the latest records of each user, all but the first max(1, floor(0.8 n)) in the order of time and item id
    (`user_time`); or every record from the moment on at which 80% of all records have been written (`global_time`).
    *Validation*: the last 10% (rounded, halves upwards) of each user's remaining records; if these come to less than
    5% of them all, the last remaining record of random users with at least two, until 10%. With `global_time`, the
    latest 10% of the remaining records, again cut between two moments.
    *Less training data* (Table 3): that share of the records before the test part is kept at random, smaller shares
    inside larger ones, and the others are as if never written; the test records stay the same.
    *Aspect terms*: aspects are ranked by in how many strictly earlier training records of the user, plus of the item,
    they are mentioned (a record counts an aspect once; ties by name); the three first ones with at least one mention.
    Validation and test records never contribute, and only aspects of training records have a name.
    *A given split* (`Dataset.given_split`) takes the place of the rule for test records, and `by` then says "given".
    Validation is cut from the rest as for `user_time`. Its test records may be older than training records, so that
    histories hold strictly earlier records outside the test part only.
    *Without time* the order of a user's records is random, a history holds up to five random other training items and
    "strictly earlier" reads "other": every table made of it must say "unordered".

    Parameters
    ----------
    validation
        False leaves all remaining records to training (the paper mentions no validation part).
    train_fraction
        Share of the training records to keep, above 0 and at most 1.
    seed
        Decides the random choices named above; the plain split by time has none.

    Returns
    -------
    Split
        Its `shares` hold the share of train, validation and test records; of test records whose user or item is cold
        (row 0) or whose history is empty; of validation records whose item is cold; of users without a test record;
        of users with both parts whose last training and first test record have the same timestamp (tied_cuts); and 1
        or 0 for whether validation took the random-user rule.

    Raises
    ------
    InputError
        For an unknown `by`, a fraction outside (0, 1], `global_time` where time is unknown or constant or the split is
        given, or a given split without training records.
    """
    if by not in ("user_time", "global_time"):
        raise InputError(f"unknown split '{by}'; expected 'user_time' or 'global_time'.")
    if not 0 < train_fraction <= 1:
        raise InputError(f"train_fraction is {train_fraction}; expected a number above 0 and at most 1.")
    if by == "global_time" and not dataset.ordered:
        raise InputError(f"{dataset.name}: a split by global time needs a timestamp column; use 'user_time'.")
    cut = cut_records(dataset, by, validation, train_fraction, seed)
    record, user, item, time, train = cut.record, cut.user, cut.item, cut.time, cut.train
    user_rows = _table(user[train], int(user.max()) + 1)
    item_rows = _table(item[train], dataset.items.height)
    users, items = user_rows[user], item_rows[item]
    history_position = cut.history(seed)
    begun = history_position[:, -1] >= 0
    history = np.append(item_rows, 0)[history_position]
    context, sizes = _context_codes(cut)
    aspects, names = _aspect_terms(cut)
    rating = dataset.interactions["rating"].to_numpy()[record]
    return Split(
        dataset=dataset,
        by=cut.by,
        train_fraction=train_fraction,
        seed=seed,
        record=_frozen(record),
        user=_frozen(users),
        item=_frozen(items),
        history=_frozen(history),
        history_mask=_frozen(history != 0),
        user_position=_frozen(user),
        item_position=_frozen(item),
        history_position=_frozen(history_position),
        rating=_frozen(rating),
        target=_frozen(dataset.scale(rating).astype(np.float32)),
        liked=_frozen((rating >= dataset.liked_from).astype(np.float32)),
        timestamp=None if time is None else _frozen(time),
        context=_frozen(context),
        context_sizes=sizes,
        aspects=_frozen(aspects),
        aspect_names=names,
        train=_frozen(np.flatnonzero(train)),
        validation=_frozen(np.flatnonzero(cut.held)),
        test=_frozen(np.flatnonzero(cut.test)),
        n_users=int(user_rows.max()) + 1,
        n_items=int(item_rows.max()) + 1,
        item_rows=_frozen(item_rows),
        shares=_shares(user, begun, (train, cut.held, cut.test), (users == 0, items == 0)) | cut.shares,
    )


def _shares(user: Positions, begun: Marks, parts: tuple[Marks, ...], cold: tuple[Marks, Marks]) -> dict[str, float]:
    """The shares of `Split` that follow from begun histories, parts (train, validation, test) and cold users, items."""
    train, held, test = parts
    return {
        "train": float(train.mean()),
        "validation": float(held.mean()),
        "test": float(test.mean()),
        "test_cold_users": _share(cold[0], test),
        "test_cold_items": _share(cold[1], test),
        "test_empty_history": _share(~begun, test),
        "validation_cold_items": _share(cold[1], held),
        "users_without_test": 1 - _distinct(user[test]) / _distinct(user),
    }


def _table(seen: Positions, size: int) -> Ints:
    """(size,) model row of each position: 1, 2, ... for those seen, in their order, and 0 for the others."""
    present = np.zeros(size, bool)
    present[seen] = True
    return np.where(present, np.cumsum(present), 0)


def _context_codes(cut: Cut) -> tuple[Ints, tuple[int, ...]]:
    columns = cut.dataset.context
    codes, sizes = np.zeros((len(cut.record), len(columns)), np.int64), []
    for place, column in enumerate(columns):
        records = cut.dataset.interactions.select(pl.col(column).gather(cut.record))
        names = records.filter(cut.train).filter(pl.col(column).fill_null("") != "").unique().sort(column)
        coded = records.join(names.with_row_index("code", offset=1), on=column, how="left", maintain_order="left")
        codes[:, place] = coded["code"].fill_null(0).to_numpy()
        sizes.append(names.height + 1)
    return codes, tuple(sizes)


def _rows_of(dataset: Dataset, frame: pl.DataFrame) -> Ints:
    """(rows,) row of `dataset.interactions` each row of a frame about records belongs to (see `Split.records_of`)."""
    keys = [key for key in ("user_id", "item_id", "timestamp") if key in frame.columns]
    records = dataset.interactions.with_row_index("row")
    if dataset.ordered:
        records = records.sort("timestamp", maintain_order=True)
    found = frame.select(keys).join(
        records.select(*keys, "row").unique(keys, keep="last"), on=keys, how="left", maintain_order="left"
    )
    return found["row"].to_numpy().astype(np.int64)


def _aspect_terms(cut: Cut) -> tuple[Ints, tuple[str, ...]]:
    """Rank the aspects of each record as `make_split` says, a block of aspects at a time to bound memory."""
    dataset, train, height = cut.dataset, cut.train, len(cut.record)
    best = np.zeros((height, ASPECTS), np.int64)
    if dataset.aspects is None:
        return best, ("",)
    place = np.full(dataset.interactions.height, -1, np.int64)
    place[cut.record[train]] = np.flatnonzero(train)
    mentions = pl.DataFrame({"record": place[_rows_of(dataset, dataset.aspects)], "aspect": dataset.aspects["aspect"]})
    mentions = mentions.filter(pl.col("record") >= 0).unique()
    names = mentions.select("aspect").unique().sort("aspect")
    mentions = mentions.join(names.with_row_index("number", offset=1), on="aspect").sort("number")
    record, number = mentions["record"].to_numpy(), mentions["number"].to_numpy().astype(np.int64)
    score = np.zeros((height, ASPECTS), np.int32)
    of_user, of_item = (earlier_training(group, cut.time, train) for group in (cut.user, cut.item))
    width = max(1, _CELLS // height)
    for low in range(1, names.height + 1, width):
        high = min(low + width, names.height + 1)
        block = slice(*np.searchsorted(number, [low, high]))
        said = np.zeros((height, high - low), np.int32)
        said[record[block], number[block] - low] = 1
        count = of_user.sums(said) + of_item.sums(said)
        scores = np.hstack([score, count])
        candidates = np.hstack([best, np.broadcast_to(np.arange(low, high), count.shape)])
        for rank in range(ASPECTS):
            # argmax takes the first of equals, and columns are in the order of names
            top = scores.argmax(1)[:, None]
            score[:, rank] = np.take_along_axis(scores, top, 1)[:, 0]
            best[:, rank] = np.take_along_axis(candidates, top, 1)[:, 0]
            np.put_along_axis(scores, top, -1, 1)
    return np.where(score > 0, best, 0), ("", *names["aspect"])


def _distinct(group: Positions) -> int:
    """Number of different groups in sorted groups (N,)."""
    return int((np.diff(group) != 0).sum()) + (len(group) > 0)


def _share(mark: Marks, among: Marks) -> float:
    return float(mark[among].mean()) if among.any() else 0.0


def _frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    array.setflags(write=False)
    return array
