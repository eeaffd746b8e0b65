from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.describe import data_table, late_history, market_attributes
from lrrecsys_core.data.releases import RELEASES, Release
from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS, simulate_market
from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError


@pytest.fixture(scope="module")
def market() -> Dataset:
    return simulate_market("hotels", 3, replace(DEFAULT_PARAMETERS["hotels"], users=60, items=40, records_per_user=8))


def three_records() -> Dataset:
    records = {"user_id": ["u"] * 3, "item_id": ["a", "b", "c"], "rating": [1.0, 5.0, 3.0], "timestamp": [10, 20, 20]}
    items = {"item_id": ["a", "b", "c", "d"], "name": ["A", "B", "C", "D"]}
    return make_dataset("mine", "product", pl.DataFrame(records), pl.DataFrame(items))


def test_the_table_counts_what_was_rated_after_the_printed_lines() -> None:
    table = data_table({"mine": three_records()})
    assert table["records"].to_list() == [343_277, 6_990_280, 17_328_314, 3]
    assert table["what they are"].to_list()[:3] == ["hotel reviews", "restaurant reviews", "movie reviews"]
    assert table.row(3) == ("mine", 3, 1, 3, "real ratings of products")


def test_a_release_of_the_paper_stands_beside_its_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    part = replace(three_records(), release="yelp-open")
    assert data_table({"mine": part})["what they are"][3].endswith(
        "release of Yelp (counts not within 10% of the paper's)"
    )
    monkeypatch.setitem(RELEASES, "yelp-open", Release("Yelp", 3, 1, 3, "restaurant reviews"))
    assert data_table({"mine": part})["what they are"][3].endswith("release of Yelp (counts within 10% of the paper's)")


def test_no_history_reaches_its_moment_and_a_planted_one_is_found(market: Dataset) -> None:
    split = make_split(market)
    assert late_history(split) == 0
    tied = make_split(three_records(), validation=False)
    assert late_history(tied) == 0
    planted = tied.history_position.copy()
    planted[1, -1] = tied.item_position[2]  # item c, met at the very moment of the record
    assert late_history(replace(tied, history_position=planted)) == 1


def test_market_attributes_name_s_star_and_give_strength_to_spurious_ones_only(market: Dataset) -> None:
    table = market_attributes(market)
    assert table.height == 40
    assert set(table.filter(pl.col("kind") == "important")["attribute"]) == set(market.truth.important)  # type: ignore[attr-defined]
    strong = table.filter(pl.col("strength") != 0)
    assert set(strong["kind"]) == {"spurious"}
    means = market.interactions.group_by("item_id").agg(pl.col("rating").mean()).sort("item_id")
    rated = market.items.join(means, on="item_id").sort("item_id")
    name = table["attribute"][0]
    has = [name in details.split("; ") for details in rated["details"]]
    assert table["correlation"][0] == pytest.approx(np.corrcoef(has, rated["rating"])[0, 1])


def test_real_data_has_no_attributes_to_name() -> None:
    with pytest.raises(InputError):
        market_attributes(three_records())
