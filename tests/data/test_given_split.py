"""A test part that the data bring: honoured, never learned from, and part of every key."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.study.fingerprints import split_hash

Record = tuple[str, str, int, float, bool, str]  # user, item, time, rating, test, aspect


def dataset_of(records: list[Record], ordered: bool = True, marked: bool = True) -> Dataset:
    columns = ["user_id", "item_id", "timestamp", "rating", "test", "aspect"]
    frame = pl.DataFrame(records, schema=columns, orient="row")
    said = frame.select("user_id", "item_id", "timestamp", "aspect").filter(pl.col("aspect") != "")
    left = frame.drop([] if ordered else "timestamp", [] if marked else "test")
    said = said if ordered else said.drop("timestamp")
    items = frame.select("item_id", name="item_id").unique().sort("item_id")
    return make_dataset("folds", "movie", left, items, aspects=said if said.height else None)


def ids(split: Split, places: np.ndarray) -> set[tuple[str, str]]:
    rows = split.dataset.interactions[split.record[places].tolist()]
    return set(zip(rows["user_id"], rows["item_id"], strict=True))


# u's records b and d test, the second training item c lies between them
BY_HAND: list[Record] = [
    ("u", "a", 1, 5.0, False, "food"),
    ("u", "b", 2, 1.0, True, "noise"),
    ("u", "c", 3, 4.0, False, ""),
    ("u", "d", 4, 2.0, True, ""),
    ("v", "d", 1, 3.0, False, ""),
]


def test_the_given_part_tests_and_enters_no_history() -> None:
    split = make_split(dataset_of(BY_HAND), validation=False)
    assert split.by == "given"
    assert ids(split, split.test) == {("u", "b"), ("u", "d")}
    assert ids(split, split.train) == {("u", "a"), ("u", "c"), ("v", "d")}
    items = split.dataset.items["item_id"].to_list()
    told = [[items[p] for p in row if p >= 0] for row in split.history_position]
    assert told == [[], ["a"], ["a"], ["a", "c"], []], "b tests, so that c and d do not know of it"
    assert split.aspect_names == ("", "food")
    assert split.shares["tied_cuts"] == 0 and split.shares["test"] == 0.4


def test_validation_is_the_last_tenth_of_what_is_left() -> None:
    records = [("u", f"i{k:02}", k, 3.0, k % 5 == 0, "") for k in range(25)]
    split = make_split(dataset_of(records))
    assert len(split.test) == 5
    assert ids(split, split.validation) == {("u", "i23"), ("u", "i24")}, "20 are left, the last two validate"


def test_it_moves_fingerprint_and_key_and_survives_a_selection() -> None:
    plain, marked = dataset_of(BY_HAND, marked=False), dataset_of(BY_HAND)
    other = dataset_of([(*r[:4], not r[4], r[5]) for r in BY_HAND])
    assert not plain.given_split and marked.given_split
    assert len({plain.fingerprint, marked.fingerprint, other.fingerprint}) == 3
    assert plain.records_fingerprint == marked.records_fingerprint, "texts about records do not hang on the split"
    assert len({split_hash(make_split(d)) for d in (plain, marked, other)}) == 3
    part = marked.restricted(marked.interactions.filter(pl.col("user_id") == "u"))
    assert part.given_split and part.interactions["test"].sum() == 2


def test_what_cannot_be_honoured_is_refused() -> None:
    with pytest.raises(InputError, match="brings its own test part.*global_time"):
        make_split(dataset_of(BY_HAND), by="global_time")
    with pytest.raises(InputError, match="all records are in the given test part"):
        make_split(dataset_of([(*r[:4], True, r[5]) for r in BY_HAND]))
    frame = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "rating": [3.0], "test": [None]})
    items = pl.DataFrame({"item_id": ["a"], "name": ["A"]})
    with pytest.raises(InputError, match="column 'test', data row 1: found nothing, expected true or false"):
        make_dataset("folds", "movie", frame, items)


records = st.lists(
    st.tuples(
        st.sampled_from("uvw"),
        st.sampled_from("abcdef"),
        st.integers(0, 6),
        st.sampled_from((1.0, 3.0, 5.0)),
        st.booleans(),
        st.sampled_from(("", "food", "price")),
    ),
    min_size=2,
    max_size=30,
    unique_by=lambda r: (r[0], r[1]),
).filter(lambda rs: not all(r[4] for r in rs))


@settings(max_examples=60, deadline=None)
@given(records, st.booleans(), st.sampled_from((1.0, 0.5)))
def test_nothing_a_test_record_says_is_seen_anywhere(made: list[Record], ordered: bool, share: float) -> None:
    changed = [(*r[:3], 6 - r[3], True, "PLANTED") if r[4] else r for r in made]
    split, other = (make_split(dataset_of(rs, ordered), train_fraction=share) for rs in (made, changed))
    test = np.isin(np.arange(len(split.user)), split.test)
    assert "PLANTED" not in other.aspect_names
    for name, array in split.fields().items():
        rows = ~test if name in ("target", "liked") else slice(None)
        np.testing.assert_array_equal(array[rows], other.fields()[name][rows], err_msg=name)
    given_test = {(r[0], r[1]) for r in made if r[4]}
    assert ids(split, split.test) == given_test
    assert set(split.earlier_of_user.order) | set(split.earlier_of_item.order) <= set(split.train)
    for record, past in enumerate(split.history_position):
        user = split.user_position[record]
        met = (split.user_position == user) & np.isin(split.item_position, past[past >= 0])
        assert not test[met].any(), "a user meets an item once here: what is in the history does not test"
        if split.timestamp is not None:
            assert (split.timestamp[met] < split.timestamp[record]).all()
