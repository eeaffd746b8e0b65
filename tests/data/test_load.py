"""Loaders on small folders written by the tests in the published formats."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from lrrecsys_core.data.item_profiles import read_item_profiles
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.movielens import load_movielens
from lrrecsys_core.data.split import make_split
from lrrecsys_core.data.tripadvisor import load_tripadvisor
from lrrecsys_core.data.yelp import load_yelp
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.imported import imported_explanations
from lrrecsys_core.explain.sources import Imported, Metadata, default_source, source_without_llm


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


# --- tables -----------------------------------------------------------------------------------------------------------

TABLE = """who,what,title,stars,when,tags,said,trip
1,007,"Bond, James",5,2020-01-01,Action; Spy,Great fun,family
1,12,Ring,2,2020-01-02,Horror,,
2,007,Bond (again),4,2020-01-03,Spy,Good,couple
"""
COLUMNS = "user=who&item=what&rating=stars&timestamp=when&name=title&details=tags&review=said&context=trip&domain=movie"


def test_any_table_is_read_through_a_column_map(tmp_path: Path) -> None:
    write(tmp_path, my_films__csv=TABLE)
    dataset = load_dataset(f"table:{tmp_path}/my_films.csv?{COLUMNS}")
    assert dataset.name == "my_films"
    assert dataset.domain.name == "movie"
    assert dataset.interactions["item_id"].to_list() == ["007", "12", "007"]
    assert dataset.interactions["timestamp"].to_list() == [1577836800, 1577923200, 1578009600]
    assert dataset.interactions["trip"].to_list() == ["family", None, "couple"]
    assert dataset.items.rows() == [("007", "Bond, James", "Action; Spy"), ("12", "Ring", "Horror")]
    assert dataset.reviews is not None
    assert dataset.reviews["text"].to_list() == ["Great fun", "Good"]


def test_parquet_and_tsv_tables_give_the_same_data(tmp_path: Path) -> None:
    write(tmp_path, t__csv=TABLE)
    frame = pl.read_csv(tmp_path / "t.csv", schema_overrides={"what": pl.String}, try_parse_dates=True)
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.tsv", separator="\t")
    prints = {load_dataset(f"table:{tmp_path}/t.{kind}?{COLUMNS}").fingerprint for kind in ("csv", "parquet", "tsv")}
    assert len(prints) == 1


def test_a_table_may_lack_names_and_time(tmp_path: Path) -> None:
    write(tmp_path, t__csv="user_id,item_id,rating\n1,x,0.5\n2,x,10\n")
    dataset = load_dataset(f"table:{tmp_path}/t.csv?rating_min=0.5&rating_max=10&liked_from=7")
    assert not dataset.ordered
    assert dataset.items.rows() == [("x", "x", "")]
    assert dataset.scale(5.25) == 0.5


@pytest.mark.parametrize(
    ("text", "spec", "sentence"),
    [
        ("", "", "the file is empty"),
        ("user_id,item_id,rating\n", "", "holds no records"),
        ("user_id,item_id,score\n1,2,3\n", "", "column 'rating' is missing"),
        ("user_id,item_id,rating\n1,2,3\n1,3,eight\n", "", "column 'rating', data row 2: found 'eight'"),
        ("user_id,item_id,rating\n1,2,3\n1,3\n", "", "column 'rating', data row 2: found nothing"),
        ("user_id,item_id,rating\n1,2,3,4\n", "", "cannot be read as a table"),
        (
            "user_id,item_id,rating,n\n1,2,3,a\n2,3,3, \n",
            "name=n",
            "column 'n', data row 2: found ' ', expected the name",
        ),
        ("user_id,item_id,rating,t\n1,2,3,soon\n", "timestamp=t", "column 't', data row 1: found 'soon'"),
        ("user_id,item_id,rating\n1,2,3\n", "rating=item_id&timestamp=item_id", None),
        ("user_id,item_id,rating\n1,2,3\n", "usr=x", "unknown key 'usr'"),
        ("user_id,item_id,rating\n1,2,3\n", "rating_min=low", "rating_min=low"),
        ("user_id,item_id,rating\n1,2,3\n", "nonsense", "cannot be read; expected key=column"),
        ("user_id,item_id,rating\n1,2,3\n", "context=rating", "cannot be the name of a context column"),
        ("user_id,item_id,rating\n1,2,3\n", "domain=boat", "unknown domain 'boat'"),
    ],
)
def test_bad_tables_and_bad_maps_are_explained(tmp_path: Path, text: str, spec: str, sentence: str | None) -> None:
    write(tmp_path, t__csv=text)
    if sentence is None:
        assert load_dataset(f"table:{tmp_path}/t.csv?{spec}").interactions.height == 1
        return
    with pytest.raises(InputError) as complaint:
        load_dataset(f"table:{tmp_path}/t.csv?{spec}")
    assert sentence in str(complaint.value)
    assert "\n" not in str(complaint.value)


@pytest.mark.parametrize("spec", ["movielens", "movielens:", "films:here", "", "yelp:nowhere", "table:nowhere.csv"])
def test_a_spec_that_leads_nowhere_is_explained(spec: str) -> None:
    with pytest.raises(InputError, match="expected"):
        load_dataset(spec)


@pytest.mark.parametrize("name", ["movielens", "hotels", "null-shop", "markets", "yelp"])
def test_a_table_does_not_pass_for_another_data_set(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.csv").write_text("user_id,item_id,rating\na,b,3\na,c,4\n")
    with pytest.raises(InputError, match="is what another data set goes by here; rename the file"):
        load_dataset(f"table:{tmp_path / name}.csv")


# --- MovieLens --------------------------------------------------------------------------------------------------------


@pytest.fixture
def movielens(tmp_path: Path) -> Path:
    return write(
        tmp_path / "ml",
        ratings__csv="userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,3,0.5,964981247\n2,1,5.0,964982224\n",
        movies__csv="movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n"
        '2,"Unseen, The",Drama\n3,Odd,(no genres listed)\n',
        tags__csv="userId,movieId,tag,timestamp\n2,1,Pixar,1\n9,1,never rated,1\n",
        links__csv="movieId,imdbId,tmdbId\n1,0114709,862\n2,0000002,\n3,0113228,15602\n",
    )


def test_movielens_has_genres_as_details_and_aspects(movielens: Path) -> None:
    dataset = load_dataset(f"movielens:{movielens}")
    assert dataset.items.rows() == [("1", "Toy Story (1995)", "Animation; Comedy"), ("3", "Odd", "")]
    assert dataset.aspects is not None
    assert dataset.aspects.rows()[:2] == [("1", "1", "Animation", None), ("1", "1", "Comedy", None)]
    assert dataset.aspects.height == 4
    assert (dataset.rating_min, dataset.rating_max, dataset.liked_from) == (0.5, 5.0, 4.0)
    assert load_movielens(movielens, tags=True).aspects.rows()[-1] == ("2", "1", "pixar", None)  # type: ignore[union-attr]


def test_movielens_joins_profiles_whether_padded_or_not(movielens: Path, tmp_path: Path) -> None:
    synopsis = "[Like]\n- Great humor.\n- Warm story.\n\n[Dislike]\n- Too short."
    profiles = [{"item_id": "114709", "item_synopsis": synopsis}, {"item_id": "0000002", "item_synopsis": synopsis}]
    write(tmp_path / "imdb_exp3rt", item_profile__json=json.dumps(profiles))
    dataset = load_dataset(f"movielens-imported:{movielens}")
    assert dataset.name == "movielens-imported"
    assert dataset.interactions.height == 2
    assert dataset.texts is not None
    assert dataset.texts.rows() == [("1", "Great humor.\nWarm story.", "Too short.")]
    elsewhere = load_dataset(f"movielens-imported:{movielens},{tmp_path}/imdb_exp3rt/item_profile.json")
    assert elsewhere.fingerprint == dataset.fingerprint


def test_movielens_with_profiles_keeps_every_record_and_has_texts_of_some_movies(
    movielens: Path, tmp_path: Path
) -> None:
    profiles = [
        {"item_id": number, "item_synopsis": "[Like]\n- Great humor.\n[Dislike]\n- Too short."}
        for number in ("114709", "2")  # 2: a movie nobody rated
    ]
    folder = write(tmp_path / "profiles", item_profile__json=json.dumps(profiles))
    dataset, plain = load_dataset(f"movielens:{movielens},{folder}"), load_dataset(f"movielens:{movielens}")
    assert dataset.name == "movielens" and dataset.interactions.equals(plain.interactions)
    assert dataset.items.equals(plain.items) and plain.texts is None
    assert dataset.texts is not None and dataset.texts.rows() == [("1", "Great humor.", "Too short.")]
    assert dataset.fingerprint != plain.fingerprint
    assert load_dataset(f"movielens:{movielens},{folder}/item_profile.json").fingerprint == dataset.fingerprint
    only = load_dataset(f"movielens-imported:{movielens},{folder}")
    assert source_without_llm(dataset) == source_without_llm(plain) == default_source(dataset) == Metadata()
    assert source_without_llm(only) == default_source(only) == Imported()
    assert imported_explanations(make_split(dataset)).explainer == "imported texts (for 67% of the records)"
    assert imported_explanations(make_split(only)).explainer == "imported texts"


def test_profiles_that_are_not_there_or_fit_no_movie_are_refused(movielens: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no item_profile.json at .*nowhere"):
        load_dataset(f"movielens:{movielens},{tmp_path}/nowhere")
    strangers = [{"item_id": "2", "item_synopsis": "[Like]\n- Fun.\n[Dislike]\n- Loud."}]
    folder = write(tmp_path / "profiles", item_profile__json=json.dumps(strangers))
    for kind in ("movielens", "movielens-imported"):
        with pytest.raises(InputError, match="no profile belongs to a rated movie"):
            load_dataset(f"{kind}:{movielens},{folder}")


def test_profiles_are_read_side_by_side(tmp_path: Path) -> None:
    written = [
        "[Like] - One - Two\n[Dislike]\n- Three",
        "**[Like]**\n- A well-made film - mostly\n- Fun\n\n[Dislike]\n- None.",
        "nothing",
    ]
    entries = [{"item_id": number, "item_synopsis": text} for number, text in enumerate(written)]
    write(tmp_path, p__json=json.dumps(entries))
    assert read_item_profiles(tmp_path / "p.json").rows() == [
        ("0", "One\nTwo", "Three"),
        ("1", "A well-made film - mostly\nFun", ""),
        ("2", "", ""),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("{", "not JSON"), ("{}", "a JSON list"), ("[]", "a JSON list"), ('[{"item_id": "1"}]', "entry 1 lacks")],
)
def test_bad_profiles_are_explained(tmp_path: Path, text: str, sentence: str) -> None:
    write(tmp_path, p__json=text)
    with pytest.raises(InputError, match=sentence):
        read_item_profiles(tmp_path / "p.json")
    with pytest.raises(InputError, match="cannot be read"):
        read_item_profiles(tmp_path / "missing.json")


def test_movielens_faults_name_the_file(movielens: Path) -> None:
    with pytest.raises(InputError, match="no item_profile.json"):
        load_dataset(f"movielens-imported:{movielens}")
    write(movielens, ratings__csv="userId,movieId,rating,timestamp\n1,1,4.0,964982703\n1,3,7,964981247\n")
    with pytest.raises(InputError, match=r"ratings.csv: column 'rating', data row 2: found '7'"):
        load_movielens(movielens)
    write(movielens, ratings__csv="userId,movieId,rating,timestamp\n1,1,4.0,http://\n")
    with pytest.raises(InputError, match=r"column 'timestamp', data row 1: found 'http://'"):
        load_movielens(movielens)
    write(movielens, ratings__csv="userId,movieId,rating,timestamp\n1,1,4.0,1\n")
    write(movielens, movies__csv="movieId,title,genres\n1,,Drama\n")
    with pytest.raises(InputError, match=r"movies.csv: column 'title', data row 1"):
        load_movielens(movielens)
    (movielens / "movies.csv").unlink()
    with pytest.raises(InputError, match=r"movies.csv is missing"):
        load_movielens(movielens)


# --- TripAdvisor ------------------------------------------------------------------------------------------------------

HEAD = (
    "review_id hotel_id user date overall value rooms location cleanliness checkin_frontdesk service business_service"
)
ROWS = """\
1 10 ann 2008-03-01 5 4 -1 0 3 5 -1 -1
2 10 ann 2007-01-01 1 1 1 1 1 1 1 1
3 20 ann 2008-02-01 3 -1 -1 -1 -1 -1 -1 -1
4 30 ann 2008-01-01 2 -1 -1 -1 -1 -1 -1 2
5 10 bob 2008-01-01 4 4 4 4 4 4 4 4
6 20 bob 2008-01-02 4 4 4 4 4 4 4 4
7 10  2008-01-01 4 4 4 4 4 4 4 4
8 40 ann 2008-01-01 -1 4 4 4 4 4 4 4"""


@pytest.fixture
def tripadvisor(tmp_path: Path) -> Path:
    offering = {"id": 10, "name": "Casablanca", "hotel_class": 4.0, "address": {"locality": "New York", "region": "NY"}}
    folder = write(
        tmp_path / "ta",
        hotel_price_location__txt="Hotel\tPrice\tLocation\nhotel_20_parsed\t214\tPunta_Cana\nhotel_30_parsed\tUnknown\tUnknown\n",
        offering__txt=json.dumps(offering) + "\n",
    )
    rows = "\n".join("\t".join(line.split(" ")) for line in [HEAD, *ROWS.splitlines()])
    (folder / "lara_ratings.tsv.gz").write_bytes(gzip.compress(rows.encode()))
    texts = 'review_id\ttext\n1\tA "fine" place, really\n'
    (folder / "lara_text_users3plus.tsv.gz").write_bytes(gzip.compress(texts.encode()))
    return folder


def test_tripadvisor_keeps_the_latest_review_of_users_with_three_hotels(tripadvisor: Path) -> None:
    dataset = load_dataset(f"tripadvisor:{tripadvisor}")
    assert dataset.interactions.select("user_id", "item_id", "rating").rows() == [
        ("ann", "10", 5.0),
        ("ann", "20", 3.0),
        ("ann", "30", 2.0),
    ]
    assert dataset.items.rows() == [
        ("10", "Casablanca", "New York NY; 4-star"),
        ("20", "hotel in Punta Cana, about $214", "Punta Cana; $200 to $299"),
        ("30", "hotel in an unknown city", ""),
    ]
    assert dataset.aspects is not None
    assert sorted(dataset.aspects.rows()) == [
        ("ann", "10", "check-in and front desk", 1),
        ("ann", "10", "cleanliness", -1),
        ("ann", "10", "value", 1),
        ("ann", "30", "business service", -1),
    ]
    assert dataset.reviews is not None
    assert dataset.reviews.rows() == [("ann", "10", 'A "fine" place, really')]
    assert load_tripadvisor(tripadvisor, min_hotels=2).interactions.height == 5


def test_tripadvisor_faults_name_file_and_row(tripadvisor: Path) -> None:
    with pytest.raises(InputError, match="no user with at least 9 hotels"):
        load_tripadvisor(tripadvisor, min_hotels=9)
    bad = "\t".join(HEAD.split()) + "\n" + "1 10 ann 2008-13-01 5 4 4 4 4 4 4 4".replace(" ", "\t")
    (tripadvisor / "lara_ratings.tsv.gz").write_bytes(gzip.compress(bad.encode()))
    with pytest.raises(InputError, match=r"column 'date', data row 1: found '2008-13-01'"):
        load_tripadvisor(tripadvisor)
    bad = bad.replace("2008-13-01\t5", "2008-12-01\t50")
    (tripadvisor / "lara_ratings.tsv.gz").write_bytes(gzip.compress(bad.encode()))
    with pytest.raises(InputError, match=r"column 'overall', data row 1: found '50'"):
        load_tripadvisor(tripadvisor)
    (tripadvisor / "lara_ratings.tsv.gz").write_bytes(b"not gzip at all")
    with pytest.raises(InputError):
        load_tripadvisor(tripadvisor)


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_other_breaks_are_part_of_a_name(tripadvisor: Path, yelp: Path, mark: str) -> None:
    offering = {"id": 10, "name": f"Casa{mark}Blanca"}
    (tripadvisor / "offering.txt").write_text(json.dumps(offering, ensure_ascii=False) + "\r\n", encoding="utf-8")
    assert load_tripadvisor(tripadvisor).items["name"][0] == f"Casa{mark}Blanca"
    write(yelp, yelp_recursive__itemmap=f"0=Ba=Joe{mark}Diner ['Pizza']\n1=Bb=Moe's ['Restaurants']\n")
    assert load_yelp(yelp).items["name"].to_list() == [f"Joe{mark}Diner", "Moe's"]


def test_other_encodings_and_odd_stars_get_one_sentence(tripadvisor: Path, yelp: Path) -> None:
    head, star = "\t".join(HEAD.split()), "1 10 ann 2008-01-01 {} 4 4 4 4 4 4 4".replace(" ", "\t")
    for stars in ("4.7", "1e30", "-0.5", "6"):
        (tripadvisor / "lara_ratings.tsv.gz").write_bytes(gzip.compress(f"{head}\n{star.format(stars)}\n".encode()))
        with pytest.raises(InputError, match=f"column 'overall', data row 1: found '{stars}', expected whole stars"):
            load_tripadvisor(tripadvisor)
    good = "\n".join("\t".join(line.split(" ")) for line in [head, *ROWS.splitlines()])
    (tripadvisor / "lara_ratings.tsv.gz").write_bytes(gzip.compress(good.encode()))
    for text in ('{"id": 10, "name": "Café"}'.encode("latin1"), '{"id": 10, "name": "A"}'.encode("utf-16")):
        (tripadvisor / "offering.txt").write_bytes(text)
        with pytest.raises(InputError, match=r"offering.txt: not UTF-8 text; save it as UTF-8"):
            load_tripadvisor(tripadvisor)
    (tripadvisor / "offering.txt").write_text('{"id": 10, "name": ' + "[" * 99_999 + "]" * 99_999 + "}")
    with pytest.raises(InputError, match="line 1 is not a hotel"):
        load_tripadvisor(tripadvisor)
    (yelp / "yelp_recursive.itemmap").write_bytes("0=Ba=Café ['Pizza']\n".encode("latin1"))
    with pytest.raises(InputError, match="itemmap: not UTF-8 text"):
        load_yelp(yelp)


# --- Yelp -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def yelp(tmp_path: Path) -> Path:
    folder = write(tmp_path / "yelp", TheFacT_yelp_test__txt="0,1,4,0 1 1 -1\n1,0,2,1 -1\n")
    write(folder, yelp_recursive_test__entry="0,0,5,0:1 0:1 1:-1\n0,1,4,0:1 1:-1\n")
    write(folder, yelp_recursive__usermap="0=Ua\n1=Ub\n", yelp_recursive__featuremap="0=food=9\n1=price=7\n")
    write(
        folder,
        yelp_recursive__itemmap="0=Ba=A [B] Cafe ['Cafes', 'Restaurants', 'Pizza']\n1=Bb=Moe's ['Restaurants']\n",
    )
    return folder


def test_yelp_is_the_union_of_both_samples(yelp: Path) -> None:
    dataset = load_dataset(f"yelp:{yelp}")
    assert dataset.interactions.rows() == [("Ua", "Ba", 5.0), ("Ua", "Bb", 4.0), ("Ub", "Ba", 2.0)]
    assert not dataset.ordered
    assert dataset.items.rows() == [("Ba", "A [B] Cafe", "Cafes; Pizza"), ("Bb", "Moe's", "")]
    assert dataset.aspects is not None
    assert dataset.aspects.rows() == [
        ("Ua", "Ba", "food", 1),
        ("Ua", "Ba", "food", 1),
        ("Ua", "Ba", "price", -1),
        ("Ua", "Bb", "food", 1),
        ("Ua", "Bb", "price", -1),
        ("Ub", "Ba", "price", -1),
    ]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0,1,3,0 1\n", "otherwise than in"),
        ("0,1\n", "data row 1: found '0,1', expected user,item,rating"),
        ("1,1,4,0 1\n1,0,4,0 2\n", "data row 2: found '1,0,4,0 2'"),
        ("7,1,4,0 1\n", "column 'user', data row 1: found '7'"),
        ("1,9,4,0 1\n", "column 'item', data row 1: found '9'"),
        ("1,0,x,0 1\n", "column 'rating', data row 1: found 'x'"),
        ("1,0,4,55 1\n", "column 'feature'"),
        ("", "the file is empty"),
    ],
)
def test_yelp_faults_name_file_and_line(yelp: Path, line: str, sentence: str) -> None:
    write(yelp, TheFacT_yelp_test__txt=line)
    with pytest.raises(InputError) as complaint:
        load_yelp(yelp)
    assert sentence in str(complaint.value)
    assert "TheFacT_yelp_test.txt" in str(complaint.value)
