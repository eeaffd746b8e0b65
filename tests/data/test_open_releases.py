"""Amazon, Yelp and PETER's TripAdvisor: made files of their true schema, what is read of them, and what never is."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.prompts import VARIANTS, profile_request, record_requests

Entry = dict[str, Any]
PLANTED = (4.87654, 98765)  # an average of ratings and their number: in the files, and nowhere else


def write(path: Path, entries: list[Entry] | bytes) -> Path:
    """A file of JSON Lines; gzipped where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = entries if isinstance(entries, bytes) else "".join(json.dumps(e) + "\n" for e in entries).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
    return path


# --- Amazon -----------------------------------------------------------------------------------------------------------


def amazon_2023(
    user: str = "AE1", item: str = "B1", rating: Any = 5.0, time: Any = 1586357219123, **more: Any
) -> Entry:
    told = {
        "rating": rating,
        "title": "Good",
        "text": "Very good.",
        "images": [{"small_image_url": "x"}],
        "asin": "C" + item,
    }
    told |= {"parent_asin": item, "user_id": user, "timestamp": time, "helpful_vote": 0, "verified_purchase": True}
    return told | more


def amazon_item(item: str = "B1", **more: Any) -> Entry:
    told: Entry = {"main_category": "Prime Video", "title": f"Film {item}", "average_rating": PLANTED[0]}
    told |= {
        "rating_number": PLANTED[1],
        "features": ["f"],
        "description": [],
        "price": 9.99,
        "images": [],
        "videos": [],
    }
    told |= {"store": "Ford", "categories": ["Movies & TV", "Drama"], "parent_asin": item, "bought_together": None}
    return told | {"details": {"Best Sellers Rank": {"Movies & TV": PLANTED[1]}}} | more


@pytest.mark.parametrize("end", ["", ".gz"])
def test_amazon_2023_is_read_as_published(tmp_path: Path, end: str) -> None:
    records = [amazon_2023(), amazon_2023("AE2", "B2", 1, 1586357220999), amazon_2023("AE2", "B3", 2, 1586357221000)]
    write(tmp_path / f"Movies_and_TV.jsonl{end}", records)
    items = [
        amazon_item(title="Tom &amp;\n Jerry"),
        amazon_item("B2", store=None, categories=[], title=""),
        amazon_item("B9"),
    ]
    write(tmp_path / f"meta_Movies_and_TV.jsonl{end}", items)
    dataset = load_dataset(f"amazon:{tmp_path}")
    assert dataset.interactions.rows() == [
        ("AE1", "B1", 5.0, 1586357219),
        ("AE2", "B2", 1.0, 1586357220),
        ("AE2", "B3", 2.0, 1586357221),
    ]
    assert dataset.items.rows() == [("B1", "Tom & Jerry", "Ford; Drama"), ("B2", "B2", "Prime Video"), ("B3", "B3", "")]
    assert (dataset.name, dataset.domain.name, dataset.release) == ("amazon", "movie", "amazon-2023-movies")
    assert dataset.reviews is None
    assert any("2 rated items have no name" in note for note in dataset.notes)
    reviewed = load_dataset(f"amazon:{tmp_path}?reviews=yes")
    assert reviewed.reviews is not None and reviewed.reviews["text"].to_list() == ["Very good."] * 3


def test_amazon_2018_is_read_as_published(tmp_path: Path) -> None:
    told = {"overall": 4.0, "verified": True, "reviewTime": "11 9, 2012", "reviewerID": "A1", "asin": "0001"}
    told |= {"reviewerName": "N.", "reviewText": "Nice", "summary": "s", "unixReviewTime": 1352419200, "vote": "3"}
    write(tmp_path / "Movies_and_TV_5.json.gz", [told, told | {"asin": "0002", "overall": 5}])
    about = {"category": ["Movies &amp; TV", "Movies"], "title": "One", "brand": "Pixar", "rank": "5 in Movies"}
    write(
        tmp_path / "meta_Movies_and_TV.json.gz",
        [
            about | {"asin": "0001"},
            about | {"asin": "0001", "title": "x"},
            {"asin": "0002", "title": "var getTime = 1"},
        ],
    )
    dataset = load_dataset(f"amazon:{tmp_path}")
    assert dataset.interactions.rows() == [("A1", "0001", 4.0, 1352419200), ("A1", "0002", 5.0, 1352419200)]
    assert dataset.items.rows() == [("0001", "One", "Pixar; Movies"), ("0002", "0002", "")]
    assert dataset.release == ""


def test_amazon_categories_are_named_and_chosen(tmp_path: Path) -> None:
    for category in ("Books", "Movies_and_TV"):
        write(tmp_path / "review_categories" / f"{category}.jsonl", [amazon_2023(item=category[0])])
        write(tmp_path / "meta_categories" / f"meta_{category}.jsonl", [amazon_item(category[0])])
    with pytest.raises(InputError, match=r"several categories \(Books, Movies_and_TV\).*\?category=Books"):
        load_dataset(f"amazon:{tmp_path}")
    with pytest.raises(InputError, match="no Toys.jsonl.*it holds Books, Movies_and_TV"):
        load_dataset(f"amazon:{tmp_path}?category=Toys")
    books = load_dataset(f"amazon:{tmp_path}?category=Books")
    assert (books.interactions["item_id"].to_list(), books.domain.name, books.release) == (["B"], "product", "")
    for option in ("categry=Books", "reviews=maybe", "category="):
        with pytest.raises(InputError, match=r"expected some of category=NAME & reviews=yes"):
            load_dataset(f"amazon:{tmp_path}?{option}")
    (tmp_path / "meta_categories" / "meta_Books.jsonl").unlink()
    with pytest.raises(InputError, match="meta_Books.jsonl.* is missing"):
        load_dataset(f"amazon:{tmp_path}?category=Books")


def test_the_last_of_repeated_records_stays_and_is_counted(tmp_path: Path) -> None:
    records = [amazon_2023(rating=1), amazon_2023("AE2"), amazon_2023(rating=3), amazon_2023(time=1586357220123)]
    write(tmp_path / "Books.jsonl", records)
    write(tmp_path / "meta_Books.jsonl", [amazon_item()])
    dataset = load_dataset(f"amazon:{tmp_path}")
    assert dataset.interactions.select("user_id", "rating", "timestamp").rows() == [
        ("AE2", 5.0, 1586357219),
        ("AE1", 3.0, 1586357219),
        ("AE1", 5.0, 1586357220),
    ]
    assert any("1 records repeat" in note and "the last is kept" in note for note in dataset.notes)


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1).filter(lambda s: s.strip())
records_of = st.lists(
    st.tuples(names, names, st.integers(1, 5), st.integers(10**12, 17 * 10**11)),
    min_size=1,
    max_size=12,
    unique_by=lambda record: (record[0], record[1], record[3] // 1000),
)


@settings(max_examples=30, deadline=None)
@given(records=records_of, packed=st.booleans())
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[str, str, int, int]], packed: bool
) -> None:
    folder, end = tmp_path_factory.mktemp("amazon"), ".gz" if packed else ""
    write(folder / f"Books.jsonl{end}", [amazon_2023(*record) for record in records])
    titles = {item: f"Title of {k}" for k, item in enumerate(sorted({record[1] for record in records}))}
    write(folder / f"meta_Books.jsonl{end}", [amazon_item(item, title=title) for item, title in titles.items()])
    dataset = load_dataset(f"amazon:{folder}")
    assert dataset.interactions.rows() == [(u, i, float(r), t // 1000) for u, i, r, t in records]
    assert dict(dataset.items.select("item_id", "name").iter_rows()) == titles


# --- Yelp -------------------------------------------------------------------------------------------------------------


def yelp_review(user: str = "U1", item: str = "P1", stars: Any = 4.0, date: Any = "2018-07-07 22:09:11") -> Entry:
    told = {"review_id": "R", "user_id": user, "business_id": item, "stars": stars, "useful": 0, "funny": 0, "cool": 0}
    return told | {"text": "Nice\u2028place.\n", "date": date}


def yelp_business(item: str = "P1", **more: Any) -> Entry:
    told: Entry = {"business_id": item, "name": f"Place {item}", "address": "1 St", "city": "Tucson", "state": "AZ"}
    told |= {"postal_code": "1", "latitude": 1.5, "longitude": 2.5, "stars": PLANTED[0], "review_count": PLANTED[1]}
    told |= {"is_open": 1, "attributes": {"WiFi": "u'no'", "RestaurantsPriceRange2": "2"}, "hours": None}
    return told | {"categories": "Restaurants, Pizza"} | more


@pytest.fixture
def yelp(tmp_path: Path) -> Path:
    write(
        tmp_path / "yelp_academic_dataset_review.json",
        [yelp_review(), yelp_review("U2", "P2", 1, "2005-02-16 00:00:01")],
    )
    about = [yelp_business(), yelp_business("P2", categories=None, attributes=None, city="")]
    write(tmp_path / "yelp_academic_dataset_business.json", about)
    return tmp_path


def test_yelp_is_read_as_published(yelp: Path) -> None:
    dataset = load_dataset(f"yelp-open:{yelp}")
    assert dataset.interactions.rows() == [("U1", "P1", 4.0, 1531001351), ("U2", "P2", 1.0, 1108512001)]
    assert dataset.items.rows() == [
        ("P1", "Place P1", "Tucson AZ; price level 2 of 4; Pizza"),
        ("P2", "Place P2", "AZ"),
    ]
    assert (dataset.name, dataset.domain.name, dataset.release) == ("yelp-open", "restaurant", "yelp-open")
    assert load_dataset(f"yelp-open:{yelp}?restaurants=yes").interactions["item_id"].to_list() == ["P1"]
    reviewed = load_dataset(f"yelp-open:{yelp}?reviews=yes").reviews
    assert reviewed is not None and reviewed["text"].to_list() == ["Nice\u2028place.\n"] * 2
    plain = dataset.fingerprint
    for name in ("review", "business"):
        path = yelp / f"yelp_academic_dataset_{name}.json"
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert load_dataset(f"yelp-open:{yelp}").fingerprint == plain


# --- TripAdvisor ------------------------------------------------------------------------------------------------------


def peter(
    user: Any = "A", item: Any = "7", rating: Any = 4, template: Any = ("pool", "big", "the pool was big", 1)
) -> Entry:
    return {"user": user, "item": item, "rating": rating, "template": template, "predicted": "room"}


def pickled(folder: Path, content: object) -> Path:
    (folder / "reviews.pickle").write_bytes(content if isinstance(content, bytes) else pickle.dumps(content))
    return folder


def test_tripadvisor_of_peter_is_read_as_published(tmp_path: Path) -> None:
    entries = [peter(), peter("B", 8, 2, ("room", "dirty", "", -1)), peter("B", "7", 1, ("", "", "nothing", 0))]
    dataset = load_dataset(f"tripadvisor-peter:{pickled(tmp_path, [*entries, peter(rating=5)])}")
    assert dataset.interactions.rows() == [("B", "8", 2.0), ("B", "7", 1.0), ("A", "7", 5.0)]
    assert not dataset.ordered
    assert dataset.items.rows() == [("7", "7", ""), ("8", "8", "")]
    assert dataset.aspects is not None and dataset.reviews is not None
    assert dataset.aspects.rows() == [("B", "8", "room", -1), ("A", "7", "pool", 1)]
    assert dataset.reviews.rows() == [("B", "7", "nothing"), ("A", "7", "the pool was big")]
    assert dataset.release == "tripadvisor-peter"
    assert any("1 records repeat" in note for note in dataset.notes)


class _Runs:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def _laughs() -> list[Any]:
    deep: list[Any] = ["ha"]
    for _ in range(60):
        deep = [deep, deep]
    return deep


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_code_runs_none(tmp_path: Path, protocol: int) -> None:
    ran = tmp_path / "ran"
    pickled(tmp_path, pickle.dumps([peter(), _Runs(ran)], protocol))
    with pytest.raises(InputError, match=r"reviews.pickle: not read as a pickle of plain records \(it asks for"):
        load_dataset(f"tripadvisor-peter:{tmp_path}")
    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "not read as a pickle"),
        (pickle.dumps([peter()] * 9)[:-20], "not read as a pickle"),
        (b"user,item\n", "not read as a pickle"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "not read as a pickle"),
        (b"cos\nsystem\n(S'true'\ntR.", "not read as a pickle"),
        (b"Pstored elsewhere\n.", "not read as a pickle"),
        (pickle.dumps({}), "no list of records"),
        (pickle.dumps([]), "no list of records"),
        (pickle.dumps([peter(), 5]), "entry 2 is no record"),
        (pickle.dumps([peter(), {"user": "A"}]), "entry 2 is no record"),
        (pickle.dumps([peter(template=("a", "b"))]), "entry 1 is no record"),
        (pickle.dumps([peter(template=("a", "b", "c", "d"))]), "entry 1 is no record"),
        (pickle.dumps([peter(rating=10**400)]), "entry 1 is no record"),
        (pickle.dumps([peter(user=_laughs())]), "entry 1 is no record"),
        (pickle.dumps([peter(), peter(user=None)]), "column 'user', data row 2: found nothing"),
        (pickle.dumps([peter(), peter("B", rating=7)]), "column 'rating', data row 2: found '7.0'"),
        (pickle.dumps([peter(rating=float("nan"))]), "column 'rating', data row 1"),
    ],
)
def test_a_bad_pickle_gets_one_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(InputError) as complaint:
        load_dataset(f"tripadvisor-peter:{pickled(tmp_path, content)}")
    assert sentence in str(complaint.value) and "reviews.pickle" in str(complaint.value)
    assert len(str(complaint.value)) <= 400


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40).map(lambda noise: pickle.dumps([peter()])[:30] + noise) | st.binary(max_size=60))
def test_no_bytes_get_past_the_sentence(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    with pytest.raises(InputError):
        load_dataset(f"tripadvisor-peter:{pickled(tmp_path_factory.mktemp('noise'), noise)}")


# --- leaks ------------------------------------------------------------------------------------------------------------


def everything_told(dataset: Dataset) -> str:
    """Every text and number a model or an LLM may read of a data set's items, prompts of each kind among them."""
    split = make_split(dataset)
    asked = [profile_request(dataset.domain, *row) for row in dataset.items.select("name", "details").iter_rows()]
    for variant, slots in VARIANTS.items():
        for slot in slots:
            asked += list(record_requests(split, None, variant, slot, np.arange(len(split.record))))
    frames = (dataset.interactions, dataset.items, dataset.aspects, dataset.texts, dataset.reviews)
    return repr([frame.rows() for frame in frames if frame is not None]) + repr(asked)


@pytest.mark.parametrize("reviews", ["", "?reviews=yes"])
@pytest.mark.parametrize("kind", ["amazon", "yelp-open"])
def test_averages_of_the_ratings_to_be_predicted_are_told_nowhere(tmp_path: Path, kind: str, reviews: str) -> None:
    ids = [f"B{k}" for k in range(4)]
    if kind == "amazon":
        write(tmp_path / "Books.jsonl", [amazon_2023("AE1", item, time=10**12 + k) for k, item in enumerate(ids)])
        write(tmp_path / "meta_Books.jsonl", [amazon_item(item) for item in ids])
    else:
        visits = [yelp_review("U1", item, 4.0, f"2018-07-0{k + 1} 00:00:00") for k, item in enumerate(ids)]
        write(tmp_path / "yelp_academic_dataset_review.json", visits)
        write(tmp_path / "yelp_academic_dataset_business.json", [yelp_business(item) for item in ids])
    files = "".join(path.read_text(encoding="utf-8") for path in tmp_path.iterdir())
    told = everything_told(load_dataset(f"{kind}:{tmp_path}{reviews}"))
    assert ids[2] in told
    for number in map(str, PLANTED):
        assert number in files and number not in told


# --- faults -----------------------------------------------------------------------------------------------------------


def lines(*entries: Entry) -> bytes:
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries).encode()


GOOD = lines(*(amazon_2023(time=1586357219123 + 1000 * k) for k in range(3)))
REVIEWS = [
    (b"", "holds no records"),
    (b"\n \n", "holds no records"),
    (GOOD + b'{"rating": 4.0, "user', "line 4 is no complete JSON object"),
    (GOOD + b"<html>\n" + GOOD, "line 4 is no complete JSON object"),
    (GOOD + b"5\n", "line 4"),
    (GOOD + b'{"rating": NaN}\n', "line 4"),
    (GOOD * 3_000 + b"null\n" + GOOD, "line 9001 is no complete JSON object"),
    (b"[" + GOOD.replace(b"\n", b",\n") + b"{}]", "line 1 is a JSON list; write one object on each line"),
    (b"\xef\xbb\xbf" + GOOD, "line 1 starts with a byte order mark"),
    (GOOD.decode().encode("utf-16"), "line 1 starts with a byte order mark"),
    (GOOD + lines(amazon_2023("Zo\xeb")).decode().encode("latin-1"), "line 4 is not UTF-8 text"),
    (lines(amazon_2023(rating="five")), "line 1: cannot parse 'five' (string) as Float64"),
    (GOOD + lines(amazon_2023(time=1.5)), "line 4: cannot parse '1.5'"),
    (lines({"stars": 5, "asin": "B1"}), "line 1 has neither 'user_id' (release of 2023) nor 'reviewerID' (2018)"),
    (GOOD.replace(b"parent_asin", b"parentasin"), "line 1 has no 'parent_asin'"),
    (GOOD + lines(amazon_2023(user=None)), "column 'user_id', data row 4: found nothing, expected an id"),  # type: ignore[arg-type]
    (GOOD + lines(amazon_2023(item="  ")), "column 'parent_asin', data row 4"),
    (GOOD + lines(amazon_2023(rating=None)), "column 'rating', data row 4: found nothing"),
    (GOOD + lines(amazon_2023(rating=0)), "column 'rating', data row 4: found '0.0', expected a number from 1 to 5"),
    (GOOD + lines(amazon_2023(rating=5.1)), "column 'rating', data row 4: found '5.1'"),
    (GOOD + lines(amazon_2023(time=None)), "column 'timestamp', data row 4: found nothing"),
    (GOOD + lines(amazon_2023(time=1586357219)), "column 'timestamp', data row 4: found '1970-01-19"),
    (GOOD + lines(amazon_2023(time=2**62)), "column 'timestamp', data row 4"),
]


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize(("content", "sentence"), REVIEWS)
def test_a_bad_file_of_reviews_gets_one_sentence(tmp_path: Path, content: bytes, sentence: str, end: str) -> None:
    path = write(tmp_path / f"Books.jsonl{end}", content)
    write(tmp_path / "meta_Books.jsonl", [amazon_item()])
    complaint = refused(f"amazon:{tmp_path}")
    assert sentence in complaint and str(path) in complaint


def refused(spec: str) -> str:
    with pytest.raises(InputError) as error:
        load_dataset(spec)
    complaint = str(error.value)
    assert len(complaint) <= 400 and "\n" not in complaint and complaint.endswith(".")
    return complaint


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("name", ["Books.jsonl.gz", "meta_Books.jsonl.gz"])
def test_a_cut_gzip_names_file_and_last_line(tmp_path: Path, name: str, share: float) -> None:
    packed = {
        "Books.jsonl.gz": [amazon_2023(f"AE{k}", time=10**12 + 7919**3 * k % 10**11) for k in range(2_000)],
        "meta_Books.jsonl.gz": [amazon_item(f"B{k}", title=str(k**7)) for k in range(2_000)],
    }
    for file, entries in packed.items():
        write(tmp_path / file, entries)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(share * len(whole))])
    complaint = refused(f"amazon:{tmp_path}")
    assert str(tmp_path / name) in complaint and "fetch the file again" in complaint
    (tmp_path / name).write_bytes(whole[:100] + bytes(len(whole) - 100))
    assert "fetch the file again" in refused(f"amazon:{tmp_path}")


def test_wrong_folders_are_explained(tmp_path: Path) -> None:
    for kind in ("amazon", "yelp-open", "tripadvisor-peter"):
        assert "no such folder" in refused(f"{kind}:{tmp_path / 'nowhere'}")
        file = write(tmp_path / "file", GOOD)
        assert "no such folder" in refused(f"{kind}:{file}")
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert "empty: " in refused(f"{kind}:{tmp_path / 'empty'}")


def test_yelp_faults_name_file_and_line(yelp: Path) -> None:
    review, business = (yelp / f"yelp_academic_dataset_{name}.json" for name in ("review", "business"))
    good = review.read_bytes()
    for date in ("07/07/2018", "", None, 1531001351):
        write(review, good + lines(yelp_review(date=date)))
        complaint = refused(f"yelp-open:{yelp}")
        assert f"{review}: column 'date', data row 3" in complaint and "2018-07-07 22:09:11" in complaint
    write(review, good.replace(b"business_id", b"businessId"))
    assert f"{review}: line 1 has no 'business_id'" in refused(f"yelp-open:{yelp}")
    write(review, good + lines(yelp_review(item=None)))  # type: ignore[arg-type]
    assert f"{review}: column 'business_id', data row 3: found nothing" in refused(f"yelp-open:{yelp}")
    write(review, good)
    write(business, [{"business_id": "P1", "title": "x"}])
    assert f"{business}: line 1 has no 'name'" in refused(f"yelp-open:{yelp}")
    write(business, [yelp_business(categories="Dentists")])
    assert "no review of a restaurant" in refused(f"yelp-open:{yelp}?restaurants=yes")
    business.unlink()
    assert "yelp_academic_dataset_business.json[.gz] is missing" in refused(f"yelp-open:{yelp}")
