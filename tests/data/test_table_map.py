"""Every key of a table's map, against examples worked by hand and what must hold of any table."""

import json
from collections import Counter
from pathlib import Path
from urllib.parse import quote_plus

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core.app.publish import publish_data
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.selection import k_core, of_users
from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study.study import Study

few = settings(max_examples=40, deadline=None)


def load(folder: Path, text: str, query: str = "", **files: str) -> Dataset:
    for name, content in {"t.csv": text, **{k.replace("__", "."): v for k, v in files.items()}}.items():
        (folder / name).write_text(content, encoding="utf-8")
    return load_dataset(f"table:{folder}/t.csv?{query}")


RATED = "user_id,item_id,rating,t\nu,a,5,1\nu,b,4,2\nv,a,3,3\n"


# --- items and aspects ------------------------------------------------------------------------------------------------


def test_items_come_from_a_table_of_their_own(tmp_path: Path) -> None:
    goods = "sku,title,kind\nb,Beta,x; y\na,Alpha,\nc,Never rated,z\n"
    query = "items=goods.csv&item_key=sku&name=title&details=kind"
    dataset = load(tmp_path, RATED, query, goods__csv=goods)
    assert dataset.items.rows() == [("b", "Beta", "x; y"), ("a", "Alpha", "")]
    meta = [{"item_id": "a", "name": "Alpha", "tags": ["x", "y"]}, {"item_id": "b", "name": "Beta", "tags": []}]
    text = "\n".join(map(json.dumps, meta))
    dataset = load(tmp_path, RATED, "items=goods.jsonl&details=tags", goods__jsonl=text)
    assert dataset.items.rows() == [("a", "Alpha", "x; y"), ("b", "Beta", "")]


@pytest.mark.parametrize(
    ("goods", "sentence"),
    [
        ("item_id,name\na,Alpha\n", "column 'item_id', data row 2: found 'b', expected an item listed in .*goods.csv"),
        ("item_id,name\na,Alpha\nb,\n", "goods.csv: column 'name', data row 2: found nothing, expected the name"),
        ("item_id,name\na,Alpha\nb,B\na,A\n", "goods.csv: data row 3 repeats data row 1"),
        ("id,name\na,Alpha\n", "goods.csv: column 'item_id' is missing"),
    ],
)
def test_faults_of_the_table_of_items_name_it(tmp_path: Path, goods: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load(tmp_path, RATED, "items=goods.csv", goods__csv=goods)
    with pytest.raises(InputError, match="nowhere.csv: no such file"):
        load(tmp_path, RATED, "items=nowhere.csv")


def test_aspects_of_a_record_may_carry_a_sentiment(tmp_path: Path) -> None:
    text = "user_id,item_id,rating,t,said\nu,a,5,1,+staff; -price;pool;;\nu,b,4,2,\n"
    dataset = load(tmp_path, text, "timestamp=t&aspects=said")
    assert dataset.aspects is not None
    told = dataset.aspects.select("item_id", "timestamp", "aspect", "sentiment").rows()
    assert told == [("a", 1, "staff", 1), ("a", 1, "price", -1), ("a", 1, "pool", None)]


# --- scales -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high", "liked"), [(1, 5, 4), (0, 1, 0.75), (0, 100, 75), (-10, 10, 5), (1, 10, 7.75)])
def test_any_scale_is_liked_from_its_last_quarter(tmp_path: Path, low: float, high: float, liked: float) -> None:
    text = f"user_id,item_id,rating\nu,a,{low}\nu,b,{high}\n"
    dataset = load(tmp_path, text, f"rating_min={low}&rating_max={high}")
    assert dataset.liked_from == liked
    assert [dataset.scale(r) for r in dataset.interactions["rating"]] == [0, 1]
    assert load(tmp_path, text, f"rating_min={low}&rating_max={high}&liked_from={high}").liked_from == high


# --- repeated records, bad rows ---------------------------------------------------------------------------------------

TWICE = "user_id,item_id,rating,t,said\nu,a,5,1,x\nv,a,1,1,y\nu,a,2,1.0,z\nu,a,4,2,w\n"


@pytest.mark.parametrize(("how", "rating", "said"), [("first", 5.0, "x"), ("last", 2.0, "z"), ("mean", 3.5, "x")])
def test_of_repeated_records_one_is_kept(tmp_path: Path, how: str, rating: float, said: str) -> None:
    dataset = load(tmp_path, TWICE, f"timestamp=t&review=said&duplicates={how}")
    kept = dataset.interactions.filter(pl.col("user_id") == "u", pl.col("timestamp") == 1)
    assert kept["rating"].to_list() == [rating]
    assert dataset.interactions.height == 3, "the same item at another time is another record"
    assert dataset.reviews is not None
    assert said in dataset.reviews["text"].to_list()
    assert "1 repeated records merged" in dataset.notes[0]
    with pytest.raises(InputError, match="data row 3 repeats data row 1 .*duplicates=first, last or mean keeps one"):
        load(tmp_path, TWICE, "timestamp=t")


BAD = """user_id,item_id,rating,t,title
u,a,5,2020-01-01,A
,a,5,2020-01-01,A
u,b,x,2020-01-01,B
u,c,9,2020-01-01,C
u,d,,2020-01-01,D
u,e,0,2020-01-01,E
u,f,4,soon,F
u,g,4,2020-01-01,G,more
u,h,4,2020-01-01,
u
u,i,4,2020-01-01,I
"""


def test_lenient_drops_bad_rows_by_reason_and_quotes_three(tmp_path: Path) -> None:
    query = "timestamp=t&name=title&lenient"
    dataset = load(tmp_path, BAD, query)
    assert dataset.interactions["item_id"].to_list() == ["a", "i"]
    told = [note.partition("t.csv: ")[2] for note in dataset.notes]
    assert told == [
        "1 row dropped, a row that has more fields than the first line (row 8)",
        "1 row dropped, column 'user_id': nothing there (row 2 nothing)",
        "1 row dropped, column 'item_id': nothing there (row 10 nothing)",
        "1 row dropped, column 'title': nothing there (row 9 nothing)",
        "4 rows dropped, column 'rating': no number from 1 to 5 (row 3 'x', row 4 '9', row 5 nothing, ...)",
        "1 row dropped, column 't': expected seconds since 1970 or a date such as 2008-12-31 or 2008-12-31 23:59:59"
        " (row 7 'soon')",
    ]
    with pytest.raises(InputError, match="more fields"):
        load(tmp_path, BAD, query.removesuffix("&lenient"))
    with pytest.raises(InputError, match="no row is left"):
        load(tmp_path, "user_id,item_id,rating\nu,a,x\n", "lenient=yes")


cells = st.sampled_from(["u", "v", "", "5", "4", "9", "x", "2020-01-01", "1e30", "nan", " "])


@few
@given(st.lists(st.lists(cells, min_size=1, max_size=5), min_size=1, max_size=12))
def test_lenient_keeps_exactly_the_rows_that_would_pass_alone(
    tmp_path_factory: pytest.TempPathFactory, lines: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("bad")
    lines = [[f"{k}{line[0]}" if line[0].strip() else line[0], *line[1:]] for k, line in enumerate(lines)]
    head = "user_id,item_id,rating,t\n"

    def passes(line: list[str]) -> bool:
        try:
            return load(folder, head + ",".join(line) + "\n", "timestamp=t").interactions.height == 1
        except InputError:
            return False

    sound = [line[0] for line in lines if passes(line)]
    text = head + "\n".join(",".join(line) for line in lines) + "\n"
    if not sound:
        with pytest.raises(InputError):
            load(folder, text, "timestamp=t&lenient")
    else:
        kept = load(folder, text, "timestamp=t&lenient")
        assert kept.interactions["user_id"].to_list() == sound
        dropped = sum(int(note.split(": ")[1].split()[0]) for note in kept.notes)
        assert dropped == sum(any(cell for cell in line) for line in lines) - len(sound)


# --- a part of the records --------------------------------------------------------------------------------------------

pairs = st.sets(st.tuples(st.sampled_from("abcdef"), st.sampled_from("pqrst")), min_size=1)


@few
@given(pairs, st.integers(1, 4))
def test_the_k_core_is_the_largest_part_where_all_have_k(made: set[tuple[str, str]], k: int) -> None:
    frame = pl.DataFrame(sorted(made), schema=["user_id", "item_id"], orient="row")
    left = set(made)
    while True:  # drop one short user or item at a time: the order does not matter
        users, items = Counter(u for u, _ in left), Counter(i for _, i in left)
        short = next((pair for pair in sorted(left) if users[pair[0]] < k or items[pair[1]] < k), None)
        if short is None:
            break
        left.remove(short)
    if not left:
        with pytest.raises(InputError, match="lower min_records"):
            k_core(frame, k, "f.csv")
    else:
        assert set(k_core(frame, k, "f.csv").rows()) == left


@few
@given(pairs, st.integers(1, 7), st.integers(0, 3), st.randoms(use_true_random=False))
def test_users_are_drawn_whole_and_whatever_the_order(
    made: set[tuple[str, str]], n: int, seed: int, random: object
) -> None:
    rows = sorted(made)
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    random.shuffle(rows)  # type: ignore[attr-defined]
    drawn = of_users(frame, n, seed)
    assert drawn["user_id"].n_unique() == min(n, frame["user_id"].n_unique())
    assert drawn.sort("user_id", "item_id").equals(
        frame.filter(pl.col("user_id").is_in(drawn["user_id"].implode())).sort("user_id", "item_id")
    )
    other = of_users(pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row"), n, seed)
    assert set(other.rows()) == set(drawn.rows())


def test_core_and_sample_of_a_table_take_its_items_along(tmp_path: Path) -> None:
    text = "user_id,item_id,rating\n" + "".join(f"u{k % 6},i{k % 4},3\n" for k in range(12)) + "lone,odd,3\n"
    core = load(tmp_path, text, "min_records=2")
    assert core.interactions.height == 12 and "odd" not in core.items["item_id"]
    sampled = load(tmp_path, text, "min_records=2&sample_users=2&seed=1")
    assert sampled.interactions["user_id"].n_unique() == 2
    assert sampled.fingerprint == load(tmp_path, text, "min_records=2&sample_users=2&seed=1").fingerprint
    draws = {load(tmp_path, text, f"sample_users=2&seed={seed}").fingerprint for seed in range(6)}
    assert len(draws) > 1


# --- a given test part ------------------------------------------------------------------------------------------------


def test_a_test_file_is_the_test_part(root: Path, tmp_path: Path) -> None:
    tested = "user_id,item_id,rating,t\nu,c,2,1\nw,a,3,9\n"
    dataset = load(tmp_path, RATED, "timestamp=t&test=base.test.csv", base__test__csv=tested)
    split = make_split(dataset, validation=False)
    assert split.by == "given"
    rows = dataset.interactions[split.record[split.test].tolist()]
    assert rows.select("user_id", "item_id").rows() == [("u", "c"), ("w", "a")]
    assert dataset.items["item_id"].to_list() == ["a", "b", "c"]
    query = f"table:{tmp_path}/t.csv?timestamp=t&test=base.test.csv"
    publish_data(Study(get_profile("smoke"), [query]))
    told = (root / "paper_tables" / "smoke-t" / "data.md").read_text()
    assert "Given split (the data bring their own test part): t." in told


@pytest.mark.parametrize(
    ("tested", "sentence"),
    [
        ("user_id,item_id,rating,t\nu,c,2,1\nu,a,5,1\n", "test.csv: a record of it is in .*t.csv too .user_id u"),
        ("user_id,item_id,rating,t\nu,c,2,1\nu,c,3,1\n", "test.csv: data row 2 repeats data row 1"),
        ("user_id,item_id,rating,t\nu,c,8,1\n", "test.csv: column 'rating', data row 1: found '8'"),
        ("user_id,item_id,rating\nu,c,3\n", "test.csv: column 't' is missing"),
    ],
)  # fmt: skip
def test_faults_of_the_test_file_name_it(tmp_path: Path, tested: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load(tmp_path, RATED, "timestamp=t&test=test.csv", test__csv=tested)


# --- the words themselves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    ["min_records=two", "sample_users=-1", "seed=x", "unit=hours", "duplicates=drop", "header=maybe", "lenient=perhaps",
     "rating_min=low", "release=mine", "nonsense", "usr=x", "context=rating", "domain=boat"],
)  # fmt: skip
def test_words_that_mean_nothing_are_refused(tmp_path: Path, query: str) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path, RATED, query)
    assert query.split("=")[0] in str(error.value) or "unknown domain" in str(error.value)
    assert len(str(error.value)) <= 400


def test_odd_column_names_are_written_as_in_an_address(tmp_path: Path) -> None:
    text = 'customer & co,item=id,"rating, in stars"\nu,a,5\n'
    names = {"user": "customer & co", "item": "item=id", "rating": "rating, in stars"}
    query = "&".join(f"{key}={quote_plus(name)}" for key, name in names.items())
    assert load(tmp_path, text, query).interactions.rows() == [("u", "a", 5.0)]
