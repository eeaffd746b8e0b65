"""Whether a data set is one of the paper's: its release, and counts within a tenth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from lrrecsys_core.data import releases
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.errors import InputError


def made(records: int, users: int, items: int) -> Dataset:
    """A data set with exactly these counts; record k has user k and item k, as far as there are so many."""
    frame = pl.DataFrame(
        {
            "user_id": [f"u{min(k, users - 1)}" for k in range(records)],
            "item_id": [f"i{k % items}" for k in range(records)],
            "rating": [4.0] * records,
            "timestamp": list(range(records)),
        }
    )
    goods = pl.DataFrame({"item_id": [f"i{k}" for k in range(items)], "name": ["x"] * items})
    return make_dataset("made", "product", frame, goods)


def test_same_release_and_counts_within_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(releases.RELEASES, "toy", releases.Release("Toy", 100, 50, 20, "toys"))
    exact = replace(made(100, 50, 20), release="toy")
    assert releases.counts(exact) == {"records": 100, "users": 50, "items": 20}
    assert releases.same_as_paper(exact)
    assert releases.same_as_paper(replace(made(110, 55, 22), release="toy"))  # each 10% more
    for records, users, items in ((111, 50, 20), (89, 50, 20), (100, 56, 20), (100, 50, 17)):
        assert not releases.same_as_paper(replace(made(records, users, items), release="toy"))
    assert not releases.same_as_paper(made(100, 50, 20))  # another release with the same counts
    assert not releases.same_as_paper(replace(exact, simulated=True))


def test_a_table_says_which_release_it_holds(tmp_path: Path) -> None:
    table = tmp_path / "reviews.csv"
    table.write_text("user_id,item_id,rating\na,b,4\nc,d,2\n")
    assert load_dataset(f"table:{table}?release=yelp-open").release == "yelp-open"
    assert load_dataset(f"table:{table}").release == ""
    with pytest.raises(InputError, match="release=yelp in .* is unknown; expected one of amazon-2023-movies"):
        load_dataset(f"table:{table}?release=yelp")
