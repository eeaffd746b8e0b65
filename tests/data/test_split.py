"""The split against hand-worked examples, a slow reference, and attempts to leak the future into the past."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError


@dataclass(frozen=True)
class Rated:
    user: str
    item: str
    time: int
    rating: int = 4
    aspects: tuple[str, ...] = ()
    season: str = "summer"


def dataset_of(records: list[Rated], ordered: bool = True) -> Dataset:
    frame = pl.DataFrame(
        {
            "user_id": [r.user for r in records],
            "item_id": [r.item for r in records],
            "rating": [float(r.rating) for r in records],
            "timestamp": [r.time for r in records],
            "season": [r.season for r in records],
        }
    )
    said = [(r.user, r.item, r.time, a) for r in records for a in r.aspects]
    names = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64, "aspect": pl.String}
    aspects = pl.DataFrame(said, schema=names, orient="row")
    items = pl.DataFrame({"item_id": sorted({r.item for r in records})}).with_columns(name="item_id")
    if not ordered:
        frame, aspects = frame.drop("timestamp"), aspects.drop("timestamp")
    return make_dataset("toy", "movie", frame, items, aspects=aspects, context=("season",))


def one_user(items: str, times: list[int] | None = None, user: str = "u") -> list[Rated]:
    times = times or list(range(len(items)))
    return [Rated(user, item, time) for item, time in zip(items, times, strict=True)]


def names_of(split: Split, positions: np.ndarray) -> list[str]:
    ids = split.dataset.items["item_id"].to_list()
    return ["" if p < 0 else ids[p] for p in positions]


def ids_of(split: Split, indices: np.ndarray) -> set[tuple[str, str, int]]:
    rows = split.dataset.interactions[split.record[indices].tolist()]
    times = rows["timestamp"] if split.dataset.ordered else [0] * rows.height
    return set(zip(rows["user_id"], rows["item_id"], times, strict=True))


# --- hand-worked ------------------------------------------------------------------------------------------------------


def test_the_last_five_items_are_listed_newest_last_and_padded_on_the_left() -> None:
    split = make_split(dataset_of(one_user("abcdefgh")), validation=False)
    assert names_of(split, split.item_position) == list("abcdefgh")
    assert names_of(split, split.history_position[0]) == ["", "", "", "", ""]
    assert names_of(split, split.history_position[2]) == ["", "", "", "a", "b"]
    assert names_of(split, split.history_position[7]) == ["c", "d", "e", "f", "g"]
    # floor(0.8 * 8) = 6 train, so that g and h have no model row
    assert split.item.tolist() == [1, 2, 3, 4, 5, 6, 0, 0]
    assert split.history[7].tolist() == [3, 4, 5, 6, 0]
    assert split.history_mask[7].tolist() == [True, True, True, True, False]
    assert split.train.tolist() == [0, 1, 2, 3, 4, 5]
    assert split.test.tolist() == [6, 7]
    assert (split.n_users, split.n_items, split.user_ids) == (2, 7, ("", "u"))


def test_records_of_one_moment_are_never_in_each_others_history() -> None:
    split = make_split(dataset_of(one_user("cabfed", [5, 5, 1, 9, 5, 7])), validation=False)
    # sorted: b(1) a(5) c(5) e(5) d(7) f(9)
    assert names_of(split, split.item_position) == list("bacedf")
    for place in (1, 2, 3):
        assert names_of(split, split.history_position[place]) == ["", "", "", "", "b"]
    assert names_of(split, split.history_position[4]) == ["", "b", "a", "c", "e"]
    assert names_of(split, split.history_position[5]) == ["b", "a", "c", "e", "d"]


@pytest.mark.parametrize(("n", "train"), [(1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (9, 7), (10, 8)])
def test_each_user_trains_on_the_first_four_fifths_rounded_down_but_at_least_one(n: int, train: int) -> None:
    split = make_split(dataset_of(one_user("abcdefghij"[:n])), validation=False)
    assert (len(split.train), len(split.test)) == (train, n - train)


def test_validation_is_the_last_tenth_of_each_users_training_records() -> None:
    letters = "abcdefghijklmnopqrstuvwxy"  # 25 records: 20 before the test part, of which the last two validate
    split = make_split(dataset_of(one_user(letters)))
    assert split.validation.tolist() == [18, 19]
    assert split.shares["validation_by_random_users"] == 0
    assert split.item[18] == 0, "an item first met in validation is as unknown as one first met in test"


def test_short_histories_validate_on_the_last_record_of_random_users() -> None:
    records = [r for u in range(40) for r in one_user("abc", user=f"u{u:02}")]  # two training records each
    split = make_split(dataset_of(records), seed=1)
    assert split.shares["validation_by_random_users"] == 1
    assert len(split.validation) == 8, "10% of 80"
    assert set(names_of(split, split.item_position[split.validation])) == {"b"}
    assert len(set(split.user[split.validation])) == 8
    other = make_split(dataset_of(records), seed=2)
    assert set(other.validation) != set(split.validation)


def test_users_with_a_single_training_record_never_give_it_up() -> None:
    split = make_split(dataset_of([Rated(f"u{u}", "a", 1) for u in range(5)]))
    assert len(split.train) == 5
    assert len(split.validation) == len(split.test) == 0


def test_cuts_inside_a_tie_are_counted() -> None:
    tied = one_user("abcde", [1, 2, 3, 4, 4], "x")
    free = one_user("abcde", user="y")
    assert make_split(dataset_of(tied + free)).shares["tied_cuts"] == 0.5


def test_aspects_rank_by_mentions_in_strictly_earlier_training_records_of_user_and_item() -> None:
    records = [
        Rated("u", "a", 1, aspects=("food", "price", "food")),  # a record counts an aspect once
        Rated("u", "b", 2, aspects=("food", "service")),
        Rated("v", "c", 1, aspects=("view", "price")),
        Rated("v", "d", 2, aspects=("view",)),
        Rated("v", "e", 3, aspects=("garden",)),
        Rated("v", "f", 9, aspects=("secret",)),
        Rated("u", "c", 3, aspects=("noise",)),
        Rated("u", "d", 4, aspects=("noise",)),
        Rated("u", "e", 5, aspects=("noise", "hidden")),
    ]
    split = make_split(dataset_of(records), validation=False)
    place = {(r.user, r.item): i for i, r in enumerate(sorted(records, key=lambda r: (r.user, r.time)))}

    def terms(user: str, item: str) -> list[str]:
        return [split.aspect_names[a] for a in split.aspects[place[user, item]]]

    assert terms("u", "a") == ["", "", ""]
    assert terms("u", "b") == ["food", "price", ""]
    # user: food 2, price 1, service 1; item c: price 1, view 1
    assert terms("u", "c") == ["food", "price", "service"]
    # user: food 2, noise 1, price 1, service 1; item d: view 1 (ties by name)
    assert terms("u", "d") == ["food", "noise", "price"]
    # user: food 2, noise 2, price, service; item e: garden
    assert terms("u", "e") == ["food", "noise", "garden"]
    assert "secret" not in split.aspect_names, "only said in a test record"
    assert "hidden" not in split.aspect_names


def test_context_codes_come_from_training_and_blanks_are_unknown() -> None:
    seasons = ["winter", "summer", "", "summer", "spring"]
    records = [Rated("u", item, t, season=s) for t, (item, s) in enumerate(zip("abcde", seasons, strict=True))]
    split = make_split(dataset_of(records), validation=False)
    assert split.context[:, 0].tolist() == [2, 1, 0, 1, 0]
    assert split.context_sizes == (3,)


def test_targets_are_scaled_and_liked_from_four() -> None:
    split = make_split(dataset_of([Rated("u", "abcde"[r - 1], r, rating=r) for r in (1, 2, 3, 4, 5)]))
    np.testing.assert_allclose(split.target, [0, 0.25, 0.5, 0.75, 1])
    assert split.liked.tolist() == [0, 0, 0, 1, 1]
    assert split.target.dtype == split.liked.dtype == np.float32


def test_global_time_cuts_between_two_moments() -> None:
    records = one_user("abcde", [1, 2, 3, 4, 5], "x") + one_user("abcde", [2, 4, 6, 8, 9], "y")
    split = make_split(dataset_of(records), by="global_time", validation=False)
    # times 1 2 2 3 4 4 5 6 | 8 9
    assert sorted(t for *_, t in ids_of(split, split.test)) == [8, 9]
    later = make_split(dataset_of(records), by="global_time")
    assert sorted(t for *_, t in ids_of(later, later.validation)) == [6]
    tied = one_user("abcde", [1, 4, 4, 4, 4])
    split = make_split(dataset_of(tied), by="global_time", validation=False)
    assert len(split.train) == 1, "a moment is never divided"


def test_global_time_needs_time_that_passes() -> None:
    with pytest.raises(InputError, match="needs a timestamp"):
        make_split(dataset_of(one_user("abcde"), ordered=False), by="global_time")
    with pytest.raises(InputError, match="share one timestamp"):
        make_split(dataset_of(one_user("abcde", [3] * 5)), by="global_time")


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.5, float("nan")])
def test_impossible_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(InputError, match="train_fraction"):
        make_split(dataset_of(one_user("abc")), train_fraction=fraction)


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(InputError, match="user_time"):
        make_split(dataset_of(one_user("abc")), by="random")  # type: ignore[arg-type]


def test_mentions_without_time_belong_to_the_latest_meeting() -> None:
    frame = pl.DataFrame(
        {"user_id": ["u"] * 5, "item_id": list("abcad"), "rating": [3.0] * 5, "timestamp": [1, 2, 3, 4, 5]}
    )
    items = pl.DataFrame({"item_id": list("abcd"), "name": list("abcd")})
    said = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "aspect": ["late", "early"]})
    split = make_split(make_dataset("toy", "movie", frame, items, aspects=said), validation=False)
    assert split.records_of(said).tolist() == [3, 1]
    assert [split.aspect_names[a] for a in split.aspects[2]] == ["early", "", ""]
    dated = said.with_columns(timestamp=pl.Series([1, 2]))
    split = make_split(make_dataset("toy", "movie", frame, items, aspects=dated), validation=False)
    assert split.records_of(dated).tolist() == [0, 1]


def test_users_and_items_whose_hashes_agree_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [*one_user("abcd", user="v"), *one_user("bcda", user="u"), *one_user("cd", user="w")]
    apart, hashed = make_split(dataset_of(records)), pl.Series.hash
    for same in (pl.Series.is_null, lambda ids: ids.cast(pl.String) == "w"):
        # under one seed; that two of 64 bits agree nobody will live to see
        monkeypatch.setattr(
            pl.Series,
            "hash",
            lambda ids, seed=0, same=same: hashed(ids, seed) if seed else same(ids).cast(pl.UInt64),
        )
        found = make_split(dataset_of(records))
        assert found.user.tolist() == apart.user.tolist() and found.item.tolist() == apart.item.tolist()


# --- properties -------------------------------------------------------------------------------------------------------

ratings = st.builds(
    Rated,
    user=st.sampled_from("uvw"),
    item=st.sampled_from("abcdefg"),
    time=st.integers(0, 6),
    rating=st.integers(1, 5),
    aspects=st.lists(st.sampled_from(("food", "price", "view", "staff", "pool")), max_size=3).map(tuple),
    season=st.sampled_from(("summer", "winter")),
)
timed = st.lists(ratings, min_size=1, max_size=40, unique_by=lambda r: (r.user, r.item, r.time))
untimed = st.lists(ratings, min_size=1, max_size=20, unique_by=lambda r: (r.user, r.item))
few = settings(max_examples=40, deadline=None)


@few
@given(timed, st.booleans(), st.sampled_from((1.0, 0.5, 0.25)), st.integers(0, 3))
def test_every_record_falls_into_exactly_one_part(
    records: list[Rated], validation: bool, fraction: float, seed: int
) -> None:
    split = make_split(dataset_of(records), validation=validation, train_fraction=fraction, seed=seed)
    parts = np.concatenate([split.train, split.validation, split.test])
    assert sorted(parts) == list(range(len(split.record)))
    assert len(split.train) >= 1
    shares = [split.shares[part] for part in ("train", "validation", "test")]
    assert sum(shares) == pytest.approx(1)
    assert set(split.user[split.train]) == set(range(1, split.n_users))
    assert set(split.item[split.train]) == set(range(1, split.n_items))
    for array in split.fields().values():
        assert len(array) == len(split.record)
        assert not array.flags.writeable


@few
@given(timed, st.booleans())
def test_histories_and_aspects_equal_a_slow_reference(records: list[Rated], validation: bool) -> None:
    split = make_split(dataset_of(records), validation=validation)
    own = sorted(records, key=lambda r: (r.user, r.time, r.item))
    training = [own[i] for i in split.train]
    for index, record in enumerate(own):
        past = [r.item for r in own if r.user == record.user and r.time < record.time][-5:]
        assert names_of(split, split.history_position[index]) == [""] * (5 - len(past)) + past
        of_user = [r for r in training if r.time < record.time and r.user == record.user]
        of_item = [r for r in training if r.time < record.time and r.item == record.item]
        counts = Counter(a for r in of_user + of_item for a in set(r.aspects))
        ranked = sorted(counts, key=lambda a: (-counts[a], a))[:3]
        assert [split.aspect_names[a] for a in split.aspects[index]] == ranked + [""] * (3 - len(ranked))
        assert split.earlier_of_user.count[index] == len(of_user)
        assert split.earlier_of_item.count[index] == len(of_item)
        last = split.earlier_of_item.last(2)[index]
        assert {own[i].time for i in last if i >= 0} <= {r.time for r in of_item}
        assert (last >= 0).sum() == min(2, len(of_item))
    stars = split.earlier_of_user.sums(split.rating)
    for index, record in enumerate(own):
        told = [r.rating for r in training if r.user == record.user and r.time < record.time]
        assert stars[index] == sum(told)


@few
@given(untimed, st.integers(0, 3))
def test_without_time_histories_hold_other_training_items_only(records: list[Rated], seed: int) -> None:
    split = make_split(dataset_of(records, ordered=False), seed=seed)
    assert split.timestamp is None
    for index in range(len(split.record)):
        here = (split.user_position == split.user_position[index]) & split.in_training
        here[index] = False
        others = set(split.item_position[here])
        past = [p for p in split.history_position[index] if p >= 0]
        assert len(past) == len(set(past)) == min(5, len(others))
        assert set(past) <= others
        assert split.history_position[index].tolist() == [-1] * (5 - len(past)) + past
        used = Counter(np.flatnonzero(here))
        assert split.earlier_of_user.count[index] == len(used)
        assert set(split.earlier_of_user.last(99)[index]) - {-1} == set(used)


@few
@given(timed, st.booleans(), st.integers(0, 2))
def test_less_training_data_keeps_the_test_records_and_nests(records: list[Rated], ordered: bool, seed: int) -> None:
    if not ordered:
        records = list({(r.user, r.item): r for r in records}.values())
    dataset = dataset_of(records, ordered)
    splits = [make_split(dataset, train_fraction=f, seed=seed) for f in (1.0, 0.5, 0.25, 0.12)]
    pool = len(splits[0].train) + len(splits[0].validation)
    for larger, smaller, share in zip(splits, splits[1:], (0.5, 0.25, 0.12), strict=False):
        assert set(smaller.record[smaller.test]) == set(larger.record[larger.test])
        kept = np.concatenate([smaller.train, smaller.validation])
        assert len(kept) == max(1, round(share * pool))
        assert set(smaller.record) <= set(larger.record)
        known = set(smaller.item_position.tolist()) | {-1}
        assert set(smaller.history_position.ravel().tolist()) <= known, "dropped records are as if never written"


@few
@given(timed, st.randoms(use_true_random=False))
def test_the_order_of_rows_in_the_file_does_not_matter(records: list[Rated], random: object) -> None:
    shuffled = list(records)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for ordered in (True, False):
        rows = [
            list({(r.user, r.item): r for r in sorted(x, key=str)}.values()) if not ordered else x
            for x in (records, shuffled)
        ]
        one, two = (make_split(dataset_of(x, ordered), train_fraction=0.5, seed=3) for x in rows)
        for name, array in one.fields().items():
            np.testing.assert_array_equal(array, two.fields()[name], err_msg=name)


@few
@given(timed, st.data())
def test_rating_and_review_of_a_test_record_change_no_input(records: list[Rated], data: st.DataObject) -> None:
    split = make_split(dataset_of(records))
    if not len(split.test):
        return
    own = sorted(records, key=lambda r: (r.user, r.time, r.item))
    index = int(data.draw(st.sampled_from(split.test.tolist())))
    old = own[index]
    own[index] = Rated(old.user, old.item, old.time, 6 - old.rating, ("planted", "food"), old.season)
    other = make_split(dataset_of(own))
    assert split.aspect_names == other.aspect_names
    for name, array in split.fields().items():
        rows = np.arange(len(own)) != index if name in ("target", "liked") else slice(None)
        np.testing.assert_array_equal(array[rows], other.fields()[name][rows], err_msg=name)
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(split, part), getattr(other, part))


@few
@given(timed)
def test_an_impossible_record_in_the_future_changes_nothing_before_it(records: list[Rated]) -> None:
    # a record takes the place of another, so that no cut moves; of two records or more, the last is always tested
    ends = [Rated(user, "a", 99) for user in "uvw"] + [Rated(user, "b", 98) for user in "uvw"]
    real = sorted(records + ends, key=lambda r: (r.user, r.time, r.item))
    planted = [Rated(r.user, "IMPOSSIBLE", 99, 1, ("planted",)) if r.time == 99 else r for r in real]
    split, other = make_split(dataset_of(real)), make_split(dataset_of(planted))
    before = np.array([r.time != 99 for r in real])
    assert "planted" not in other.aspect_names
    assert other.item[~before].tolist() == [0] * 3
    for part in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(split, part), getattr(other, part))
    for name, array in split.fields().items():
        np.testing.assert_array_equal(array[before], other.fields()[name][before], err_msg=name)
    history = [names_of(other, h) for h in other.history_position]
    assert not any("IMPOSSIBLE" in names for names in history)
    # the planted record itself sees exactly what the one it replaced saw
    np.testing.assert_array_equal(split.history[~before], other.history[~before])


def test_wide_aspect_vocabularies_are_ranked_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    words = [f"aspect{k:02}" for k in range(30)]
    records = [
        Rated(f"u{u}", f"i{i}", t, aspects=tuple(rng.choice(words, 6)))
        for u in range(6)
        for t, i in enumerate(rng.permutation(12))
    ]
    whole = make_split(dataset_of(records))
    monkeypatch.setattr("lrrecsys_core.data.split._CELLS", 4 * len(records))
    np.testing.assert_array_equal(make_split(dataset_of(records)).aspects, whole.aspects)
