"""MovieLens 100k and 1m in their published layouts: latin-1, flags, folds as given splits, and faults."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError

BASE = "1\t1\t5\t874965758\n1\t2\t3\t876893171\n2\t1\t4\t874965759\n2\t3\t1\t889000000\n"
TEST = "1\t3\t4\t874965700\n2\t2\t2\t889000001\n"


def flags(*places: int) -> str:
    return "|".join(str(int(k in places)) for k in range(19))


ITEMS = (
    f"1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/x|{flags(3, 4, 5)}\n"
    f"2|Misérables, Les (1995)|01-Jan-1995|||{flags(8)}\n"
    f"3|unknown||||{flags(0)}\n"
)


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    (tmp_path / "u.data").write_text(BASE + TEST)
    (tmp_path / "u1.base").write_text(BASE)
    (tmp_path / "u1.test").write_text(TEST)
    (tmp_path / "u.item").write_bytes(ITEMS.encode("latin-1"))
    return tmp_path


def test_100k_is_read_as_published(hundred: Path) -> None:
    dataset = load_dataset(f"movielens:{hundred}")
    assert dataset.interactions.rows()[1] == ("1", "2", 3.0, 876893171)
    assert dataset.interactions.height == 6 and not dataset.given_split
    assert dataset.items.rows() == [
        ("1", "Toy Story (1995)", "Animation; Children's; Comedy"),
        ("2", "Misérables, Les (1995)", "Drama"),
        ("3", "unknown", ""),
    ]
    assert dataset.aspects is not None
    assert set(dataset.aspects["aspect"]) == {"Animation", "Children's", "Comedy", "Drama"}
    assert (dataset.name, dataset.rating_min, dataset.notes) == ("movielens", 1.0, ())


def test_a_fold_is_a_given_split(hundred: Path) -> None:
    named = load_dataset(f"movielens:{hundred}?fold=u1")
    assert named.name == "movielens-u1"
    (hundred / "u.data").unlink()
    only = load_dataset(f"movielens:{hundred}")
    assert only.name == "movielens" and named.fingerprint == replace(only, name=named.name).fingerprint
    split = make_split(only, validation=False)
    told = only.interactions[split.record[split.test]].select("user_id", "item_id", "timestamp")
    assert sorted(told.rows()) == [("1", "3", 874965700), ("2", "2", 889000001)]
    assert split.by == "given" and len(split.train) == 4
    (hundred / "u2.base").write_text(BASE)
    (hundred / "u2.test").write_text(TEST)
    with pytest.raises(InputError, match=r"no u.data, but folds u1, u2; name one: \?fold=u1"):
        load_dataset(f"movielens:{hundred}")
    with pytest.raises(InputError, match=r"no fold 'u9'; it holds u1, u2"):
        load_dataset(f"movielens:{hundred}?fold=u9")


def test_movies_without_a_line_go_by_their_id(hundred: Path) -> None:
    (hundred / "u.item").write_text(ITEMS.splitlines()[0] + "\n")
    dataset = load_dataset(f"movielens:{hundred}")
    assert dataset.items["name"].to_list() == ["Toy Story (1995)", "2", "3"]
    assert "2 rated items have no name" in dataset.notes[0] and "u.item" in dataset.notes[0]


def test_1m_is_read_as_published(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n2::661::3::978302109\n")
    movies = "661::Cité: la (1995)::Adventure|Sci-Fi\n1193::Cuckoo's Nest (1975)::Drama\n9::Unrated::Drama\n"
    (tmp_path / "movies.dat").write_bytes(movies.encode("latin-1"))
    dataset = load_dataset(f"movielens:{tmp_path}")
    assert dataset.interactions.rows() == [("1", "1193", 5.0, 978300760), ("2", "661", 3.0, 978302109)]
    assert sorted(dataset.items.rows()) == [
        ("1193", "Cuckoo's Nest (1975)", "Drama"),
        ("661", "Cité: la (1995)", "Adventure; Sci-Fi"),
    ]
    latin = dataset.fingerprint
    (tmp_path / "movies.dat").write_text(movies.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert load_dataset(f"movielens:{tmp_path}").fingerprint == latin


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.tuples(st.integers(1, 9), st.integers(1, 9)), st.integers(1, 5), min_size=1),
    st.lists(st.sets(st.integers(1, 18)), min_size=9, max_size=9),
)
def test_100k_round_trip(
    tmp_path_factory: pytest.TempPathFactory, ratings: dict[tuple[int, int], int], genres: list[set[int]]
) -> None:
    folder = tmp_path_factory.mktemp("ml")
    rows = [(u, i, r, 874965758 + k) for k, ((u, i), r) in enumerate(ratings.items())]
    (folder / "u.data").write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    listed = "".join(f"{k + 1}|Film {k}|||x|{flags(*found)}\n" for k, found in enumerate(genres))
    (folder / "u.item").write_text(listed)
    dataset = load_dataset(f"movielens:{folder}")
    assert dataset.interactions.rows() == [(str(u), str(i), float(r), t) for u, i, r, t in rows]
    for item, _, details in dataset.items.iter_rows():
        assert len(details.split("; ")) * bool(details) == len(genres[int(item) - 1])
    assert np.isin(dataset.interactions["item_id"], dataset.items["item_id"]).all()


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        (
            "u.data",
            BASE + "3\t1\t0\t1\n",
            "u.data: column 'rating', data row 5: found '0.0', expected a number from 1 to 5",
        ),
        ("u.data", BASE + "3\t1\tx\t1\n", "u.data: column 'rating', data row 5: found 'x'"),
        ("u.data", BASE + "3\t1\t4\tnever\n", "u.data: column 'timestamp', data row 5: found 'never'"),
        ("u.data", BASE + "3\t\t4\t874965758\n", "u.data: column 'item', data row 5: found nothing"),
        (
            "u.data",
            BASE.replace("\t", ","),
            "u.data: column 'line', data row 1: found '1,1,5,874965758', expected user, item, rating and time with",
        ),
        ("u.data", "", "u.data: column 'line', data row 1: found nothing, expected user"),
        ("u.item", "", "u.item: column 'line', data row 1: found nothing, expected id|title"),
        ("u.item", ITEMS + "4|x|1\n", "u.item: column 'line', data row 4: found '4|x|1', expected id|title"),
        ("u.item", ITEMS.replace("|0\n", "|2\n", 1), "expected id|title|date|date|address and 19 flags, 0 or 1"),
        ("u.item", None, "the file u.item is missing"),
    ],
)
def test_faults_name_file_and_row(hundred: Path, file: str, content: str | None, sentence: str) -> None:
    (hundred / file).unlink()
    if content is not None:
        (hundred / file).write_text(content)
    with pytest.raises(InputError) as complaint:
        load_dataset(f"movielens:{hundred}")
    assert sentence in str(complaint.value) and len(str(complaint.value)) <= 400
