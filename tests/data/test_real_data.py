"""The published files, where they lie beside the repository: counts, shares, and nothing of the future."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.split import Split, make_split

DATA = Path(__file__).parents[3] / "shared" / "data"
FOLDERS = {
    "movielens": "movielens_latest_small",
    "movielens-imported": "movielens_latest_small",
    "tripadvisor": "tripadvisor_lara_full",
    "yelp": "yelp_mter",
}
COUNTS = {
    "movielens": (100_836, 610, 9_724),
    "movielens-imported": (40_155, 610, 1_045),
    "tripadvisor": (22_948, 6_102, 1_760),
    "yelp": (53_536, 10_344, 9_642),
}


@pytest.fixture(scope="module", params=list(FOLDERS))
def split(request: pytest.FixtureRequest) -> Split:
    kind = request.param
    if not (DATA / FOLDERS[kind]).is_dir():
        pytest.skip(f"{FOLDERS[kind]} is not beside the repository")
    return make_split(load_dataset(f"{kind}:{DATA / FOLDERS[kind]}"))


def test_the_published_counts_are_met(split: Split) -> None:
    dataset = split.dataset
    counts = (dataset.interactions.height, dataset.interactions["user_id"].n_unique(), dataset.items.height)
    assert counts == COUNTS[dataset.name]
    assert dataset.ordered == (dataset.name != "yelp")


def test_shares_are_as_the_rules_foresee(split: Split) -> None:
    shares = split.shares
    sizes = split.dataset.interactions.group_by("user_id").len()["len"].to_numpy()
    assert len(split.test) == (sizes - np.maximum(1, 4 * sizes // 5)).sum()
    held_out = len(split.validation) / (len(split.train) + len(split.validation))
    assert 0.05 <= held_out <= 0.11
    assert shares["test_cold_users"] == 0
    assert 0 < shares["test_cold_items"] < 0.1


def test_all_of_movielens_can_carry_the_texts_of_some_movies() -> None:
    folder, profiles = DATA / FOLDERS["movielens"], DATA / "imdb_exp3rt"
    if not folder.is_dir() or not profiles.is_dir():
        pytest.skip("MovieLens or its profiles are not beside the repository")
    dataset = load_dataset(f"movielens:{folder},{profiles}")
    counts = (dataset.interactions.height, dataset.interactions["user_id"].n_unique(), dataset.items.height)
    assert counts == COUNTS["movielens"]
    assert dataset.texts is not None and dataset.texts.height == COUNTS["movielens-imported"][2]


def test_histories_precede_their_record(split: Split) -> None:
    if split.timestamp is None:
        return
    first = pl.DataFrame({"user": split.user_position, "item": split.item_position, "time": split.timestamp})
    first = first.group_by("user", "item").agg(pl.col("time").min())
    past = pl.DataFrame(
        {"user": np.repeat(split.user_position, 5), "item": split.history_position.ravel()}
        | {"now": np.repeat(split.timestamp, 5)}
    ).filter(pl.col("item") >= 0)
    seen = past.join(first, on=["user", "item"], how="left")
    assert seen.height > 0
    assert seen.select((pl.col("time") < pl.col("now")).all()).item()


def test_every_item_is_described(split: Split) -> None:
    dataset: Dataset = split.dataset
    assert (dataset.items["name"].str.len_chars() > 0).all()
    assert len(split.aspect_names) > 5
    assert (split.aspects[split.test][:, 0] > 0).mean() > 0.9
    if dataset.name == "movielens-imported":
        assert dataset.texts is not None
        assert dataset.texts.height == 1_045
