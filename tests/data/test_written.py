"""A data set in one Parquet file reads back to the same."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.domains import Domain
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.simulate import simulate_market
from lrrecsys_core.data.written import write_dataset
from lrrecsys_core.errors import InputError

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=5)
ids = st.sampled_from(["u", "007", "+x; y", "é\u2028", '"q"'])
record = st.tuples(ids, ids, st.integers(0, 3), st.sampled_from((0.5, 3.0, 5.0)), st.booleans(), texts)
records = st.lists(record, min_size=1, max_size=12, unique_by=lambda r: r[:2])


def dataset_of(made: list[tuple[str, str, int, float, bool, str]], ordered: bool, marked: bool, timed: bool) -> Dataset:
    """Frames in an order of their own, some rows of a frame about the same record."""
    columns = ["user_id", "item_id", "timestamp", "rating", "test", "season"]
    frame = pl.DataFrame(made, schema=columns, orient="row")
    keys = ["user_id", "item_id", *(["timestamp"] if ordered and timed else [])]
    said = pl.concat([frame.reverse().select(keys, aspect=pl.lit("food")), frame.select(keys, aspect=pl.lit("; +"))])
    said = said.with_columns(sentiment=pl.Series([1, None] * len(made), dtype=pl.Int8))
    items = frame.select("item_id").unique().sort("item_id", descending=True)
    return make_dataset(
        "shop",
        Domain("boat", "boat", "boats", "sailed", "sail"),
        frame.drop([] if ordered else "timestamp", [] if marked else "test"),
        items.with_columns(name=pl.format("n{}", "item_id"), details=pl.lit("a; b")),
        aspects=said,
        reviews=frame.select(keys, text="season"),
        texts=items.reverse().with_columns(positive=pl.lit("+"), negative=pl.lit("")),
        rating_min=0.5,
        context=("season",),
    )


@settings(max_examples=40, deadline=None)
@given(records, st.booleans(), st.booleans(), st.booleans())
def test_what_is_written_reads_back_to_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[tuple[str, str, int, float, bool, str]],
    ordered: bool,
    marked: bool,
    timed: bool,
) -> None:
    dataset = dataset_of(made, ordered, marked, timed)
    file = tmp_path_factory.mktemp("written") / "shop.parquet"
    write_dataset(replace(dataset, release="yelp-open"), file)
    back = load_dataset(f"table:{file}")
    assert back.fingerprint == dataset.fingerprint
    assert (back.release, back.ordered, back.given_split) == ("yelp-open", ordered, marked)
    for name in ("interactions", "items", "aspects", "reviews", "texts"):
        assert getattr(back, name).equals(getattr(dataset, name), null_equal=True), name


def test_it_goes_by_the_name_of_its_file_and_a_part_may_be_taken(tmp_path: Path) -> None:
    rows = [(f"u{k % 4}", f"i{k}", k, 3.0, False, "") for k in range(12)]
    write_dataset(dataset_of(rows, True, False, True), tmp_path / "boats.parquet")
    assert load_dataset(f"table:{tmp_path}/boats.parquet").name == "boats"
    few = load_dataset(f"table:{tmp_path}/boats.parquet?sample_users=2")
    assert few.interactions["user_id"].n_unique() == 2 and few.items.height == 6
    with pytest.raises(InputError, match="it knows its columns; leave rating out"):
        load_dataset(f"table:{tmp_path}/boats.parquet?rating=stars")


def test_what_cannot_be_written_or_was_changed_is_refused(tmp_path: Path) -> None:
    dataset = dataset_of([("u", "a", 1, 3.0, False, "")], True, False, True)
    with pytest.raises(InputError, match=r"end its name in .parquet"):
        write_dataset(dataset, tmp_path / "t.csv")
    with pytest.raises(InputError, match="a simulated market is drawn from its seed"):
        write_dataset(simulate_market("hotels", 0), tmp_path / "t.parquet")
    extra = pl.concat([dataset.items, pl.DataFrame({"item_id": ["z"], "name": ["Z"], "details": [""]})])
    with pytest.raises(InputError, match="1 rows of its items are about no record"):
        write_dataset(replace(dataset, items=extra), tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "t.parquet"
    write_dataset(dataset, file)
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"t.parquet"):
        load_dataset(f"table:{file}")
    pl.DataFrame({"user_id": ["u"]}).write_parquet(file, metadata={"lrrecsys": "{}"})
    with pytest.raises(InputError, match="changed or cut since; write it again"):
        load_dataset(f"table:{file}")
