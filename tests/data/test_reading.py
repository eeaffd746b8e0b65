"""Files of every kind: values as written, or one short sentence."""

import gzip
import json
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.reading import read_lines, read_table
from lrrecsys_core.errors import InputError

PLAIN = [("u1", "i1", 5.0), ("u2", "i1", 4.5)]


def rows(spec: str) -> list[tuple[Any, ...]]:
    return load_dataset(f"table:{spec}").interactions.rows()


def complaint(spec: str) -> str:
    with pytest.raises(InputError) as error:
        load_dataset(f"table:{spec}")
    said = str(error.value)
    assert "\n" not in said and len(said.replace(spec.partition("?")[0], "F")) <= 400
    return said


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "query"),
    [
        ("t.csv", "user_id,item_id,rating\nu1,i1,5\nu2,i1,4.5\n", ""),
        ("t.csv", '\ufeff"user_id","item_id","rating"\r\n"u1","i1","5"\r\n\r\n"u2","i1"," 4.5"\r\n', ""),
        ("t.csv", "\n\nuser_id, item_id ,rating,\nu1,i1,5,\nu2,i1,4.5", ""),
        ("t.csv", "user_id;item_id;rating\nu1;i1;5\nu2;i1;4.5\n", "?sep=;"),
        ("t.csv", "user_id;item_id;rating\nu1;i1;5\nu2;i1;4.5\n", "?sep=semicolon"),
        ("t.tsv", "user_id\titem_id\trating\nu1\ti1\t5\nu2\ti1\t4.5\n", ""),
        ("t.tsv", '"user_id"\t"item_id"\t"rating"\n"u1"\t"i1"\t"5"\n"u2"\t"i1"\t"4.5"\n', ""),
        ("u.data", "u1\ti1\t5\nu2\ti1\t4.5\n", "?sep=tab&header=none&user=1&item=2&rating=3"),
        ("r.dat", "u1::i1::5::9\nu2::i1::4.5::9\n", "?sep=::&header=none&user=1&item=2&rating=3"),
        ("t.txt", "user_id¦item_id¦rating\nu1¦i1¦5\nu2¦i1¦4.5\n", "?sep=¦"),
        ("t.txt", "rating|item_id|user_id\n5|i1|u1\n4.5|i1|u2\n", "?sep=bar"),
        ("t.jsonl", '{"user_id":"u1","item_id":"i1","rating":5.0}\n\n{"rating":"4.5","item_id":"i1",'
         '"user_id":"u2"}', ""),
        ("t.json", '\ufeff{"user_id":"u1","item_id":"i1","rating":5,"x":{}}\r\n{"user_id":"u2","item_id":"i1",'
         '"rating":4.5,"x":[1]}\r\n', ""),
    ],
)  # fmt: skip
def test_one_table_in_many_forms(tmp_path: Path, name: str, text: str, query: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert rows(f"{tmp_path / name}{query}") == PLAIN
    with gzip.open(tmp_path / f"{name}.gz", "wt", encoding="utf-8", newline="") as stream:
        stream.write(text)
    assert rows(f"{tmp_path / name}.gz{query}") == PLAIN


ids = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ids, ids, st.text(max_size=8).filter(lambda t: "\x00" not in t)), min_size=1, max_size=5))
def test_values_come_out_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[str, ...]]
) -> None:
    made = [(f"{k}{user}", item, text) for k, (user, item, text) in enumerate(made)]
    entries = [{"user_id": u, "item_id": i, "rating": 3, "said": s} for u, i, s in made]
    file = tmp_path_factory.mktemp("json") / "t.jsonl"
    file.write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    told = load_dataset(f"table:{file}?review=said")
    assert told.interactions["user_id"].to_list() == [u for u, _, _ in made]
    assert told.reviews is not None
    assert told.reviews["text"].to_list() == [s for _, _, s in made if s.strip()]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("u.data", b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n", "by a tab: say sep=tab; the first line"),
        ("u.tsv", b"196\t242\t3\t881250949\n", "the first line holds values, not names: say header=none"),
        ("u.tsv?header=none", b"196\t242\t3\n", "go by their numbers, 1 to 3: say user=1&item=2&rating=3"),
        ("r.dat", b"1::1193::5::978300760\n", "separated by '::': say sep=::"),
        ("a.inter", b"user_id:token\titem_id:token\trating:float\n1\t2\t3\n", "say sep=tab; 'user_id:token' may be it"),
        ("t.csv", b"user_id;item_id;rating\nu1;i1;5\n", "separated by semicolons: say sep=semicolon"),
        ("t.tsv", b"user_id,item_id,rating\nu1,i1,5\n", "separated by commas: say sep=comma"),
        ("t.csv", json.dumps({"text": "private words, " * 99}).encode(), "is JSON: write one object a line"),
        ("t.json", b'[{"user_id": 1}]', "one JSON list; write it as JSON Lines"),
        ("t.csv", ",".join(f"a long name {k}" for k in range(99)).encode() + b"\n1\n", "found a long name 0"),
        ("t.csv", b"UserId,item_id,rating\n1,2,3\n", "column 'user_id' is missing; 'UserId' may be it"),
        ("t.csv", b"User_ID,item_id,rating\n1,2,3\n", "'User_ID' may be it"),
        ("t.csv", b"user_id,item_id,item_id,rating\n1,2,2,3\n", "2 columns are called 'item_id'"),
        ("t.csv", b"user_id,item_id,rating\nu,i,3\nu,j,3,4\n", "data row 2 has more fields than the first line"),
        ("t.csv", b"user_id,item_id,rating\rU,I,3\r", "lines end in a carriage return"),
        ("t.csv", "user_id,item_id,rating\nJosé,i,3\n".encode("latin1"), "not UTF-8 text"),
        ("t.csv", b"user_id,item_id,rating\n" + b"u,i,3\n" * 60_000 + b"\xe9,i,3\n", "not UTF-8 text"),
        ("t.csv", "user_id,item_id,rating\nu,i,3\n".encode("utf-16"), "not UTF-8 text"),
        ("t.csv", b"user_id item_id rating\nu i 3\n", "separated by blanks: say sep=space"),
        ('t.csv?sep="', b"user_id,item_id,rating\nu,i,3\n", "fields cannot be separated by"),
        ("t.csv?user=", b"user_id,item_id,rating\nu,i,3\n", "user= in "),
        ("t.jsonl", b'{"user_id": 1, "item_id": 2, "rating": 1e400}\n', "data row 1 is no JSON object"),
        ("t.csv", b"PK\x03\x04rest", "a zip archive or a spreadsheet"),
        ("t.csv.gz", gzip.compress(b"user_id,item_id,rating\nu,i,3\n", mtime=0)[:-9], "cut short"),
        ("t.parquet", b"PAR1 and then nothing", "cannot be read as a table"),
        ("t.jsonl", b'{"user_id": 1, "item_id": 2, "rating": 3}\nnot json\n', "data row 2 is no JSON object"),
        ("t.jsonl", b'{"user_id": 1, "item_id": 2, "rating": NaN}\n', "data row 1 is no JSON object"),
        ("t.jsonl", b'{"z": ' + b"[" * 3000 + b"]" * 3000 + b"}\n", "data row 1 is no JSON object, or nested too deep"),
        ("t.jsonl", b'{"user_id": {"a": 1}, "item_id": 2, "rating": 3}\n', "column 'user_id' holds JSON objects"),
        ("t.jsonl", b'{"user_id": ["a"], "item_id": 2, "rating": 3}\n', "column 'user_id' is of type List"),
        ("t.csv?item=sku", b"user_id,sku,rating\nu1,a,5\nu2,,4\n", "column 'sku', data row 2: found nothing"),
        ("t.csv", b"user_id,item_id,rating\nu1,a,1e400\n", "column 'rating', data row 1: found '1e400'"),
        ("t.csv", b"user_id,item_id,rating\nu1,a,8\n", "expected a number from 1 to 5 (rating_min and rating_max say"),
        ("t.csv?rating_max=inf", b"user_id,item_id,rating\nu1,a,8\n", "scale 1 to inf"),
        ("t.csv?rating_min=-inf", b"user_id,item_id,rating\nu1,a,8\n", "all finite"),
        ("t.csv?rating_min=-1e308&rating_max=1e308", b"user_id,item_id,rating\nu1,a,8\n", "all finite"),
        ("t.csv?context=s,s", b"user_id,item_id,rating,s\nu1,a,3,x\n", "'s' cannot be the name of a context column"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_gets_one_short_sentence(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    file, mark, query = name.partition("?")
    (tmp_path / file).write_bytes(content)
    said = complaint(f"{tmp_path / file}{mark}{query}")
    assert sentence in said
    assert "private words" not in said


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl.gz", "t.dat.gz?sep=::&header=none&user=1&item=2&rating=3"])
@pytest.mark.parametrize("at", [0.02, 0.5])
def test_a_damaged_gzip_gets_one_sentence_wherever_the_damage_lies(tmp_path: Path, name: str, at: float) -> None:
    told = {
        "t.csv.gz": ("user_id,item_id,rating\n", "u{0},i{1},3\n"),
        "t.jsonl.gz": ("", '{{"user_id": "u{0}", "item_id": "i{1}", "rating": 3}}\n'),
        "t.dat.gz": ("", "u{0}::i{1}::3\n"),
    }
    file = name.partition("?")[0]
    head, line = told[file]
    text = head + "".join(line.format(k * k * 7919 % 100_003, k) for k in range(30_000))
    packed = bytearray(gzip.compress(text.encode()))
    middle = int(at * len(packed))
    for place in range(middle, middle + 64):
        packed[place] = 0xFF
    (tmp_path / file).write_bytes(packed)
    said = complaint(f"{tmp_path / name}")
    assert said.startswith(f"{tmp_path / file}: ") and "Traceback" not in said


# --- Parquet ----------------------------------------------------------------------------------------------------------


def parquet(folder: Path, **columns: Any) -> str:
    whole = {"user_id": ["u1", "u2"], "item_id": ["i1", "i1"], "rating": [5.0, 4.5]} | columns
    pl.DataFrame(whole).write_parquet(folder / "t.parquet")
    return str(folder / "t.parquet")


@pytest.mark.parametrize(
    "columns",
    [
        {"user_id": pl.Series(["u1", "u2"], dtype=pl.Categorical)},
        {"user_id": pl.Series([b"u1", b"u2"])},
        {"item_id": pl.Series(["i1", "i1"], dtype=pl.Enum(["i1"]))},
        {"rating": pl.Series(["5", "4.5"], dtype=pl.Categorical)},
        {"rating": pl.Series([Decimal("5.00"), Decimal("4.50")])},
        {"rating": pl.Series([5.0, 4.5], dtype=pl.Float32)},
        {"other": pl.Series([{"a": 1}, {"a": 2}])},
    ],
)
def test_typed_columns_are_read_as_written(tmp_path: Path, columns: dict[str, Any]) -> None:
    assert rows(parquet(tmp_path, **columns)) == PLAIN


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"rating": [True, False]}, "column 'rating', data row 1: found 'True', expected a number"),
        ({"rating": [timedelta(seconds=3)] * 2}, "column 'rating', data row 1"),
        ({"rating": [time(3)] * 2}, "column 'rating', data row 1"),
        ({"rating": [[3.0], [4.0]]}, "column 'rating' is of type List(Float64)"),
        ({"user_id": [["a"], ["b"]]}, "column 'user_id' is of type List(String)"),
        ({"user_id": [{"a": 1}, {"a": 2}]}, "column 'user_id' is of type Struct"),
        ({"user_id": [b"\xff\xfe", b"u"]}, "column 'user_id' is of type Binary"),
        ({"item_id": [1.0, float("nan")]}, "column 'item_id', data row 2: found 'nan', expected a non-empty value"),
        ({"item_id": pl.Series([None, None])}, "column 'item_id', data row 1: found nothing"),
    ],
)
def test_typed_columns_that_say_something_else_are_refused(
    tmp_path: Path, columns: dict[str, Any], sentence: str
) -> None:
    assert sentence in complaint(parquet(tmp_path, **columns))


def test_lists_of_texts_are_phrases(tmp_path: Path) -> None:
    dataset = load_dataset(
        f"table:{parquet(tmp_path, tags=[['tea', 'cake'], ['x']], said=[['a', None], []])}?details=tags&review=said"
    )
    assert dataset.items["details"].to_list() == ["tea; cake"]
    assert dataset.reviews is not None and dataset.reviews["text"].to_list() == ["a"]


# --- lines ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=("Cs",)), min_size=1), min_size=1))
def test_only_line_feeds_cut_lines(tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    file = tmp_path_factory.mktemp("lines") / "t.txt"
    lines[0] = lines[0].lstrip("\ufeff") or "x"
    for end in ("\n", "\r\n"):
        file.write_bytes(end.join(lines).encode())
        assert read_lines(file) == lines
        file.write_bytes((end.join(lines) + end).encode())
        assert read_lines(file) == lines


def test_a_missing_table_and_a_folder_are_told(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(InputError, match="no such file"):
            read_table(place)
