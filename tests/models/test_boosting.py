"""Running statistics by hand and under attack, and what boosting makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest

from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.metrics import auc, rmse
from lrrecsys_core.models import boosting
from lrrecsys_core.models.boosting import FEATURES, boosted, running_statistics

UNKNOWN = float("nan")


@dataclass(frozen=True)
class Rated:
    user: str
    item: str
    time: int
    rating: float
    season: str = "summer"


def split_of(records: list[Rated], ordered: bool = True, validation: bool = True) -> Split:
    frame = pl.DataFrame(
        {
            "user_id": [r.user for r in records],
            "item_id": [r.item for r in records],
            "rating": [r.rating for r in records],
            "timestamp": [r.time for r in records],
            "season": [r.season for r in records],
        }
    )
    items = pl.DataFrame({"item_id": sorted({r.item for r in records})}).with_columns(name="item_id")
    dataset = make_dataset("toy", "movie", frame if ordered else frame.drop("timestamp"), items, context=("season",))
    return make_split(dataset, validation=validation)


def market(users: int, items: int, per_user: int, *, effect: float = 1.0) -> list[Rated]:
    """Users and items with effects of standard deviation `effect`, and noise of 0.7, on 1 to 5 stars."""
    rng = np.random.default_rng(5)
    of_user, of_item = effect * rng.standard_normal(users), effect * rng.standard_normal(items)
    out = []
    for u in range(users):
        for step, i in enumerate(rng.permutation(items)[:per_user].tolist()):
            stars = np.clip(np.round(3 + of_user[u] + of_item[i] + 0.7 * rng.standard_normal()), 1, 5)
            # several users rate at the same moment, which is what ties test
            out.append(Rated(f"u{u:03}", f"i{i:03}", 10 * step + u % 3, float(stars)))
    return out


def test_statistics_by_hand() -> None:
    records = [
        Rated("u", "a", 1, 5.0),
        Rated("u", "b", 2, 3.0, "winter"),
        Rated("u", "c", 4, 4.0, ""),  # test
        Rated("v", "b", 2, 2.0),  # written at the same moment as u's
        Rated("v", "a", 3, 1.0),
        Rated("v", "a", 5, 5.0, "autumn"),  # test, in a season no training record has
    ]
    split = split_of(records, validation=False)
    assert split.test.tolist() == [2, 5]
    third = 10 / 3  # mean of 5, 3 and 2, the training records before moment 3; with the 1 it is 2.75
    stars = np.array(
        [
            # user: mean, shrunken mean          item: mean, shrunken mean           last five
            [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN],
            [5, (5 + 5 * 5) / 6, UNKNOWN, 5, 5],
            [4, (8 + 5 * 2.75) / 7, UNKNOWN, 2.75, 4],
            [UNKNOWN, 5, UNKNOWN, 5, UNKNOWN],
            [2, (2 + 5 * third) / 6, 5, (5 + 5 * third) / 6, 2],
            [1.5, (3 + 5 * 2.75) / 7, 3, (6 + 5 * 2.75) / 7, 1.5],
        ]
    )
    others = np.array(
        [
            # user: count, share liked; item: count, share liked; seconds; season
            [0, UNKNOWN, 0, UNKNOWN, UNKNOWN, 1],
            [1, 1, 0, UNKNOWN, 1, 2],
            [2, 0.5, 0, UNKNOWN, 2, UNKNOWN],
            [0, UNKNOWN, 0, UNKNOWN, UNKNOWN, 1],
            [1, 0, 1, 1, 1, 1],
            [2, 0, 2, 0.5, 2, UNKNOWN],
        ]
    )
    found = running_statistics(split)
    assert found.shape == (6, len(FEATURES) + 1)
    np.testing.assert_allclose(found[:, [1, 2, 5, 6, 8]], (stars - 1) / 4)
    np.testing.assert_allclose(found[:, [0, 3, 4, 7, 9, 10]], others)


def test_only_the_last_five_ratings_count_as_recent() -> None:
    split = split_of([Rated("u", f"i{k}", k, r) for k, r in enumerate([1.0, 1, 5, 4, 5, 4, 5, 3, 3])], validation=False)
    assert running_statistics(split)[7, FEATURES.index("user: mean of last 5")] == (4.6 - 1) / 4


@pytest.mark.parametrize("ordered", [True, False])
def test_no_record_knows_its_own_rating_a_held_out_one_or_one_of_its_future(ordered: bool) -> None:
    records = market(8, 12, 10)
    before = split_of(records, ordered)
    kept = running_statistics(before)
    assert len(before.validation) and len(before.test)
    spread = 0
    for i in range(len(records)):
        row = int(before.record[i])
        changed = list(records)
        changed[row] = replace(records[row], rating=1.0 if records[row].rating > 3 else 5.0)
        after = split_of(changed, ordered)
        np.testing.assert_array_equal(after.record, before.record)
        differs = ((kept != running_statistics(after)) & ~np.isnan(kept)).any(1)
        assert not differs[i]
        if not before.in_training[i]:
            assert not differs.any()
        elif before.timestamp is not None:
            assert (before.timestamp[differs] > before.timestamp[i]).all()
        spread += int(differs.sum())
    assert spread > len(records), "training ratings do reach later records"


def test_without_time_training_records_follow_one_another_and_the_others_know_them_all() -> None:
    split = split_of(market(8, 12, 10), ordered=False)
    statistics = running_statistics(split)
    for name, group in (("user", split.user_position), ("item", split.item_position)):
        count = statistics[:, FEATURES.index(f"{name}: count")]
        for g in range(group.max() + 1):
            mine = (group == g) & split.in_training
            assert sorted(count[mine]) == list(range(mine.sum()))
            assert (count[(group == g) & ~split.in_training] == mine.sum()).all()
    assert np.isnan(statistics[:, FEATURES.index("user: seconds since last")]).all()


def test_without_time_noise_is_not_recovered_from_what_is_missing_in_a_total() -> None:
    # Three items with hundreds of records: statistics that only leave a record itself out would reveal its rating.
    split = split_of(market(300, 3, 3, effect=0.0), ordered=False)
    prediction = boosted(split, "classification", 0)
    assert auc(prediction[split.train], split.liked[split.train]) < 0.9


@pytest.mark.parametrize("ordered", [True, False])
def test_users_and_items_that_differ_are_told_apart(ordered: bool) -> None:
    split = split_of(market(60, 40, 20), ordered)
    test, truth = split.test, split.target[split.test]
    rating = boosted(split, "regression", 0)
    assert rating.min() >= 0 and rating.max() <= 1
    assert rmse(rating[test], truth) < 0.85 * rmse(np.full(len(test), split.target[split.train].mean()), truth)
    liked = boosted(split, "classification", 0)
    assert liked.min() >= 0 and liked.max() <= 1
    assert auc(liked[test], split.liked[test]) > 0.75


def test_a_season_is_a_category_and_not_a_number() -> None:
    # Every other of 16 seasons is good: a tree that reads the codes as numbers needs 15 cuts, of categories one.
    noise = market(40, 40, 20, effect=0.0)
    records = [replace(r, season=f"s{k % 16:02}", rating=5.0 if k % 2 else 1.0) for k, r in enumerate(noise)]
    split = split_of(records)
    assert rmse(boosted(split, "regression", 0)[split.test], split.target[split.test]) < 0.01


def test_a_context_column_may_have_more_codes_than_scikit_learn_has_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "TREES", 2)
    split = split_of([replace(r, season=f"s{k}") for k, r in enumerate(market(40, 20, 12))])
    assert split.context_sizes[0] > 255
    assert np.isfinite(boosted(split, "regression", 0)).all()


def test_predictions_depend_on_no_test_rating_and_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boosting, "TREES", 20)
    records = market(20, 20, 12)
    split = split_of(records)
    hidden = set(split.record[split.test].tolist())
    other = split_of([replace(r, rating=6 - r.rating) if k in hidden else r for k, r in enumerate(records)])
    assert (other.target[split.test] != split.target[split.test]).any()
    for task in ("regression", "classification"):
        first = boosted(split, task, 3)
        assert first.std() > 0
        np.testing.assert_array_equal(first, boosted(split, task, 3))
        np.testing.assert_array_equal(first, boosted(other, task, 3))


def test_the_validation_records_choose_the_number_of_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    records = market(40, 30, 12, effect=0.0)
    chosen = split_of(records)
    full = split_of(records, validation=False)
    spread = boosted(chosen, "regression", 0)[chosen.train].std()
    assert spread < 0.75 * boosted(full, "regression", 0)[full.train].std(), "noise is not worth 200 trees"
    monkeypatch.setattr(boosting, "GRID", boosting.GRID[:1])
    without = boosted(full, "regression", 0)
    monkeypatch.setattr(boosting, "GRID", (boosting.GRID[0], (0.1, 15)))
    np.testing.assert_array_equal(without, boosted(full, "regression", 0))


@pytest.mark.parametrize("stars", [1.0, 5.0])
def test_one_class_is_predicted_as_such(stars: float) -> None:
    split = split_of([replace(r, rating=stars) for r in market(5, 5, 5)])
    assert (boosted(split, "classification", 0) == (stars > 3)).all()
