"""What a data set is, and the sentence each kind of bad input gets."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.domains import DOMAINS
from lrrecsys_core.errors import InputError

RECORDS = pl.DataFrame(
    {
        "user_id": ["u", "u", "v", "v"],
        "item_id": ["a", "b", "a", "b"],
        "rating": [1.0, 3.0, 4.0, 5.0],
        "timestamp": [10, 20, 30, 40],
    }
)
ITEMS = pl.DataFrame({"item_id": ["a", "b", "c"], "name": ["Alpha", "Beta", "Gamma"], "details": ["x; y", "", "y"]})
SAID = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["a", "b"], "aspect": ["food", "price"], "sentiment": [1, -1]})


def build(**changes: Any) -> Dataset:
    given: dict[str, Any] = {"name": "toy", "domain": "hotel", "interactions": RECORDS, "items": ITEMS}
    given |= {"source": "stays.csv", "files": {"interactions": "stays.csv", "items": "hotels.csv"}}
    return make_dataset(**(given | changes))


def with_rating(values: list[Any]) -> pl.DataFrame:
    return RECORDS.with_columns(pl.Series("rating", values))


def test_a_good_table_comes_out_typed() -> None:
    text = RECORDS.with_columns(pl.col("rating", "timestamp").cast(pl.String))
    dataset = build(interactions=text, aspects=SAID)
    assert dataset.interactions.schema == RECORDS.schema
    assert dataset.interactions.equals(RECORDS)
    assert dataset.ordered
    assert dataset.domain is DOMAINS["hotel"]
    assert dataset.aspects is not None
    assert dataset.aspects.schema["sentiment"] == pl.Int8
    assert not build(interactions=RECORDS.drop("timestamp")).ordered


@pytest.mark.parametrize(
    "written",
    [
        ["1970-01-01", "1970-01-02", "1970-01-03", "1970-01-04"],
        ["1970-01-01 00:00:00", "1970-01-02T00:00:00", "1970-01-03T00:00:00Z", "1970/01/04"],
        ["0", " 86400", "172800.0", "1970-01-04"],
        ["1970-01-01T00:00:00.25", "1970-01-02 00:00:00.5", "1970-01-03T00:00:00.125Z", "259200"],
        [0.0, 86400.0, 172800.0, 259200.0],
    ],
)
def test_times_may_be_seconds_or_dates(written: list[Any]) -> None:
    dataset = build(interactions=RECORDS.with_columns(pl.Series("timestamp", written)))
    assert dataset.interactions["timestamp"].to_list() == [0, 86400, 172800, 259200]


def test_times_may_be_typed_dates() -> None:
    dates = pl.Series("timestamp", [0, 1, 2, 3]).cast(pl.Date)
    moments = dates.cast(pl.Datetime("ms"))
    for typed in (dates, moments, moments.dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")):
        dataset = build(interactions=RECORDS.with_columns(typed))
        assert dataset.interactions["timestamp"].to_list() == [0, 86400, 172800, 259200]


def test_ratings_are_scaled_onto_the_unit_interval() -> None:
    dataset = build()
    assert [dataset.scale(r) for r in (1.0, 2.0, 5.0)] == [0, 0.25, 1]
    halves = build(rating_min=0.5)
    np.testing.assert_allclose(halves.scale(np.array([0.5, 2.75, 5.0])), [0, 0.5, 1])


COMPLAINTS: dict[str, tuple[dict[str, Any], str]] = {
    "missing column": (
        {"interactions": RECORDS.drop("rating")},
        "stays.csv: column 'rating' is missing; expected user_id, item_id, rating, found user_id, item_id, timestamp.",
    ),
    "missing column, by the file's name": (
        {"interactions": RECORDS.drop("rating"), "columns": {"rating": "stars", "user_id": "guest"}},
        "stays.csv: column 'stars' is missing; expected guest, item_id, stars, found guest, item_id, timestamp.",
    ),
    "no rows": ({"interactions": RECORDS.clear()}, "stays.csv: no rows; expected at least one."),
    "rating above the scale": (
        {"interactions": with_rating([1.0, 5.5, 2.0, 9.0])},
        "stays.csv: column 'rating', data row 2: found '5.5', expected a number from 1 to 5.",
    ),
    "rating below the scale": (
        {"interactions": with_rating([0.5, 5.0, 2.0, 3.0])},
        "stays.csv: column 'rating', data row 1: found '0.5', expected a number from 1 to 5.",
    ),
    "rating not a number": (
        {"interactions": with_rating(["1", "2", "good", "4"])},
        "stays.csv: column 'rating', data row 3: found 'good', expected a number from 1 to 5.",
    ),
    "rating not finite": (
        {"interactions": with_rating([1.0, 2.0, 3.0, float("nan")])},
        "stays.csv: column 'rating', data row 4: found 'nan', expected a number from 1 to 5.",
    ),
    "rating infinite": (
        {"interactions": with_rating(["1", "-inf", "3", "2"])},
        "stays.csv: column 'rating', data row 2: found '-inf', expected a number from 1 to 5.",
    ),
    "rating absent": (
        {"interactions": with_rating([1.0, None, 3.0, 4.0])},
        "stays.csv: column 'rating', data row 2: found nothing, expected a number from 1 to 5.",
    ),
    "no user": (
        {"interactions": RECORDS.with_columns(user_id=pl.Series(["u", " ", "v", "v"]))},
        "stays.csv: column 'user_id', data row 2: found ' ', expected a non-empty value.",
    ),
    "date nobody can parse": (
        {"interactions": RECORDS.with_columns(timestamp=pl.Series(["1", "2", "3", "31 Feb"]))},
        "stays.csv: column 'timestamp', data row 4: found '31 Feb', expected seconds since 1970 or a date such as"
        " 2008-12-31 or 2008-12-31 23:59:59.",
    ),
    "date that does not exist": (
        {"interactions": RECORDS.with_columns(timestamp=pl.Series(["1", "2", "2009-02-30", "4"]))},
        "stays.csv: column 'timestamp', data row 3: found '2009-02-30', expected seconds since 1970 or a date"
        " such as 2008-12-31 or 2008-12-31 23:59:59.",
    ),
    "the same record twice": (
        {"interactions": pl.concat([RECORDS, RECORDS[1:2]])},
        "stays.csv: data row 5 repeats data row 2 (user_id u, item_id b, timestamp 20); expected each once.",
    ),
    "the same record twice, no time": (
        {"interactions": pl.concat([RECORDS, RECORDS[1:2]]).drop("timestamp")},
        "stays.csv: data row 5 repeats data row 2 (user_id u, item_id b); expected each once.",
    ),
    "item without a name": (
        {"items": ITEMS.with_columns(name=pl.Series(["Alpha", "", "Gamma"]))},
        "hotels.csv: column 'name', data row 2: found nothing, expected the name of the item.",
    ),
    "item listed twice": (
        {"items": pl.concat([ITEMS, ITEMS[:1]])},
        "hotels.csv: data row 4 repeats data row 1 (item_id a); expected each once.",
    ),
    "unknown item": (
        {"items": ITEMS[1:]},
        "stays.csv: column 'item_id', data row 1: found 'a', expected an item listed in hotels.csv.",
    ),
    "aspect of no record": (
        {"aspects": SAID.with_columns(user_id=pl.Series(["u", "w"]))},
        "stays.csv (aspects): column 'item_id', data row 2: found 'b', expected the item of a record of that user in"
        " stays.csv.",
    ),
    "impossible sentiment": (
        {"aspects": SAID.with_columns(sentiment=pl.Series([1, 3]))},
        "stays.csv (aspects): column 'sentiment', data row 2: found '3', expected +1, -1 or nothing.",
    ),
    "unknown domain": (
        {"domain": "boat"},
        "stays.csv: unknown domain 'boat'; expected one of hotel, restaurant, movie, product.",
    ),
    "impossible scale": (
        {"rating_min": 5.0, "rating_max": 1.0},
        "stays.csv: the rating scale 5 to 1, liked from 4, is impossible; expected minimum < liked from <= maximum, all"
        " finite.",
    ),
}


@pytest.mark.parametrize("case", COMPLAINTS)
def test_each_fault_gets_one_clear_sentence(case: str) -> None:
    changes, sentence = COMPLAINTS[case]
    with pytest.raises(InputError) as complaint:
        build(**changes)
    assert str(complaint.value) == sentence


def test_the_fingerprint_follows_content_and_nothing_else() -> None:
    one = build(aspects=SAID).fingerprint
    assert build(aspects=SAID, source="elsewhere.csv", files={}, truth=object()).fingerprint == one
    changed = [
        build(),
        build(aspects=SAID.with_columns(sentiment=pl.Series([1, None]))),
        build(aspects=SAID, interactions=with_rating([1.0, 3.0, 4.0, 4.0])),
        build(aspects=SAID, items=ITEMS.with_columns(details=pl.Series(["x; y", "", "z"]))),
        build(aspects=SAID, liked_from=3.0),
        build(aspects=SAID, domain="movie"),
    ]
    assert len({one, *(dataset.fingerprint for dataset in changed)}) == 1 + len(changed)


def test_a_part_of_a_data_set_takes_its_items_and_aspects_along() -> None:
    told = pl.DataFrame({"user_id": ["u", "v"], "item_id": ["b", "b"], "text": ["fine", "good"]})
    texts = pl.DataFrame({"item_id": ["a", "c"], "positive": ["p", "p"], "negative": ["n", None]})
    dataset = build(aspects=SAID, reviews=told, texts=texts)
    part = dataset.restricted(dataset.interactions.filter(pl.col("item_id") == "b"), name="part")
    assert part.name == "part"
    assert part.items["item_id"].to_list() == ["b"]
    assert part.aspects is not None and part.aspects["aspect"].to_list() == ["price"]
    assert part.reviews is not None and part.reviews.height == 2
    assert part.texts is not None and part.texts.height == 0
    with pytest.raises(InputError, match="no record is left"):
        dataset.restricted(dataset.interactions.clear())
    with pytest.raises(InputError, match="simulated market"):
        build(truth=object()).restricted(RECORDS)
