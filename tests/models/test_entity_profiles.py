from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.domains import DOMAINS
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.models.profiles import (
    aspect_counts,
    documents,
    mentions,
    own_mentions,
    tokens,
    top_aspects,
    words,
)

# user, item, rating, time, mentions; ann's fifth record (of 5) is test
RECORDS = [
    ("ann", "i1", 5, 1, [("pool", 1), ("bar", -1)]),
    ("ann", "i2", 2, 2, [("pool", None)]),
    ("ann", "i3", 4, 3, [("view", 1), ("pool", 1)]),
    ("ann", "i1", 3, 4, [("bar", 1), ("pool", 1)]),
    ("ann", "i2", 5, 5, [("secret", 1), ("bar", -1)]),
    ("bob", "i1", 4, 0, [("bar", 1)]),
    ("bob", "i2", 1, 3, [("view", -1), ("view", 1)]),
]


def dataset(shuffle_test: bool = False, stated: bool = True) -> Dataset:
    frame = {"user_id": [], "item_id": [], "aspect": [], "sentiment": [], "timestamp": []}
    for user, item, _, time, said in RECORDS:
        for aspect, sentiment in [("other", 1)] if shuffle_test and time == 5 else said:
            for column, value in zip(frame, (user, item, aspect, sentiment, time), strict=True):
                frame[column].append(value)
    records = pl.DataFrame([r[:4] for r in RECORDS], schema=["user_id", "item_id", "rating", "timestamp"], orient="row")
    items = pl.DataFrame(
        {"item_id": ["i1", "i2", "i3"], "name": ["Sea Inn", "Hill Inn", "Bay"], "details": ["spa; big pool", "spa", ""]}
    )
    aspects = pl.DataFrame(frame, schema_overrides={"sentiment": pl.Int8}) if stated else None
    return make_dataset("toy", DOMAINS["hotel"], records, items, aspects=aspects)


@pytest.fixture
def split() -> Split:
    return make_split(dataset(), validation=False)


def at(split: Split, user: int, time: int) -> int:
    assert split.timestamp is not None
    return int(np.flatnonzero((split.user_position == user) & (split.timestamp == time))[0])


def test_vocabulary_is_of_training_records_by_frequency(split: Split) -> None:
    said = mentions(split)
    assert said.names == ("", "pool", "bar", "view") and set(split.test) == {at(split, 0, 5), at(split, 1, 3)}
    assert said.weak == pytest.approx(1 / 8)  # pool at ann's second record, of the 8 training mentions


def test_own_sentiments(split: Split) -> None:
    own = own_mentions(split, mentions(split), 3)
    assert own[at(split, 0, 1)].tolist() == [0, 1, -1, 0]
    assert own[at(split, 0, 2)].tolist() == [0, -1, 0, 0]  # unknown sentiment of a low rating
    assert own[at(split, 1, 3)].tolist() == [0, 0, 0, 1]  # tied, and not in training: the rating must not show


def test_counts_are_of_strictly_earlier_training_records(split: Split) -> None:
    said = mentions(split)
    user, item = (aspect_counts(split, said, of, 3) for of in ("user", "item"))
    assert user[at(split, 0, 1)].tolist() == [0, 0, 0, 0]
    assert user[at(split, 0, 4)].tolist() == [0, 3, 1, 1]
    assert user[at(split, 0, 5)].tolist() == [0, 4, 2, 1]
    assert item[at(split, 0, 1)].tolist() == [0, 0, 1, 0]  # bob was there at time 0
    assert item[at(split, 0, 4)].tolist() == [0, 1, 2, 0]
    signed = aspect_counts(split, said, "user", 3, signed=True)
    assert signed[at(split, 0, 5)].tolist() == [0, 2, 0, 1]
    oracle = aspect_counts(split, said, "user", 3, oracle=True)
    assert oracle[at(split, 0, 4)].tolist() == [0, 4, 2, 1]


def test_ranked_aspects_in_any_block_size(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    said = mentions(split)
    whole = top_aspects(split, said, "user", 4)
    assert whole[at(split, 0, 5)].tolist() == [1, 2, 3, 0] and whole[at(split, 0, 1)].tolist() == [0, 0, 0, 0]
    assert top_aspects(split, said, "item", 1)[at(split, 0, 4)].tolist() == [2]
    monkeypatch.setattr("lrrecsys_core.models.profiles._CELLS", 1)
    np.testing.assert_array_equal(top_aspects(split, said, "user", 4), whole)


def test_without_mentions_the_items_details_stand_in() -> None:
    said = mentions(make_split(dataset(stated=False), validation=False))
    assert said.names == ("", "spa", "big pool") and said.weak == 1.0


def test_documents(split: Split) -> None:
    found = words(split, mentions(split), 30, width=4)
    spell = [" ".join(found.vocabulary[t] for t in row if t) for row in documents(split, found, "user", 9)]
    assert spell[at(split, 0, 1)] == ""
    assert spell[at(split, 0, 4)] == "pool view pool pool bar bay hill inn spa"
    items = [" ".join(found.vocabulary[t] for t in row if t) for row in documents(split, found, "item", 9)]
    assert items[at(split, 0, 1)] == "sea inn spa big bar"
    assert items[at(split, 0, 4)] == "sea inn spa big pool bar bar"
    assert documents(split, found, "item", 3).shape == (7, 3)


def test_words_of_the_record_itself_and_of_test_records_reach_no_profile() -> None:
    def everything(data: Dataset) -> list[np.ndarray]:
        split = make_split(data, validation=False)
        said = mentions(split)
        found = words(split, said, 30, width=4)
        return [
            *(aspect_counts(split, said, of, 3) for of in ("user", "item")),
            *(top_aspects(split, said, of, 3) for of in ("user", "item")),
            *(documents(split, found, of, 12) for of in ("user", "item")),
        ]

    for before, after in zip(everything(dataset()), everything(dataset(shuffle_test=True)), strict=True):
        np.testing.assert_array_equal(before, after)


def test_tokens() -> None:
    assert tokens("It's a 5-star Inn_2!") == ["it's", "a", "5", "star", "inn", "2"]
