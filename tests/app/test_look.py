"""What is told of a data set before any run: counts worked by hand, and each doubt by a table that deserves it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrrecsys_core import paths
from lrrecsys_core.app.look import doubts, found
from lrrecsys_core.app.notebook import show_table
from lrrecsys_core.cli import main
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.split import Split, make_split

GOOD = [("u", "a", 5, 1577836800), ("u", "b", 2, 1577923200), ("u", "c", 4, 1577923200), ("u", "a", 1, 1609459200),
        ("u", "d", 3, 1609459201), ("v", "a", 4, 1577836800), ("v", "b", 5, 1609459200)]  # fmt: skip
SAME = [(u, i, 3, k) for u in "uv" for k, i in enumerate("abcde")]
NARROW = [(u, i, 2 + k % 2, k) for u in "uv" for k, i in enumerate("abcde")]
OWN = [(u, f"{u}{k}", k, k) for u in "uv" for k in range(1, 6)]


def split_of(
    folder: Path, rows: list[tuple[str, str, float, int]], query: str = "timestamp=t&name=n&details=d"
) -> Split:
    names = {item: f"The {item.upper()}" for _, item, *_ in rows}
    lines = [f"{user},{item},{rating:g},{time},{names[item]},x; y" for user, item, rating, time in rows]
    (folder / "t.csv").write_text("user_id,item_id,rating,t,n,d\n" + "\n".join(lines) + "\n")
    return make_split(load_dataset(f"table:{folder}/t.csv?{query}"))


def test_the_counts_are_those_of_the_file(tmp_path: Path) -> None:
    told = dict(found(split_of(tmp_path, GOOD)).rows())
    assert (told["records"], told["users"], told["items"]) == ("7", "2", "4")
    assert told["span"] == "2020-01-01 to 2021-01-01"
    assert told["ratings"] == "1 to 5 on a scale of 1 to 5, mean 3.43; 57% liked (from 4 on)"
    assert told["ties"].startswith("28.6% "), "b and c of u"
    assert told["repeated"].startswith("1 records"), "u meets a again"
    assert told["split"].startswith("by each user's time: ")
    assert told["item texts"] == "100% of the items have a name, 100% details"
    assert told["item 1 in a prompt"] == "- The A (x; y)"


def test_good_data_raise_few_doubts(tmp_path: Path) -> None:
    rows = [(f"u{u}", f"i{(u + k) % 10}", 1 + (u + k) % 5, 1577836800 + 100 * k) for u in range(6) for k in range(10)]
    assert doubts(split_of(tmp_path, rows)) == []


@pytest.mark.parametrize(
    ("rows", "query", "doubt"),
    [
        ([("u", "a", 3, 1), ("v", "b", 4, 2)], "timestamp=t", "no record tests"),
        ([("u", "a", 3, 1), ("u", "b", 4, 2)], "timestamp=t", "no record validates"),
        ([(u, i, 4, 1) for u in "uv" for i in "abcde"], "", "no order: without times"),
        ([(u, i, 4, 7) for u in "uv" for i in "abcde"], "timestamp=t", "100% of the records share user and time"),
        (SAME, "timestamp=t", "all ratings are 3"),
        (SAME, "timestamp=t", "all training records are not liked"),
        (NARROW, "timestamp=t", "less than half of the scale"),
        (NARROW, "timestamp=t", "no item texts: prompts show ids"),
        (OWN, "timestamp=t", "100% of the test records have an item"),
        ([(u, i, 4, 4_000_000_000) for u in "uv" for i in "abcde"], "timestamp=t", "10 records lie in the future"),
        ([("u ", "a", 4, 1), ("u", "a", 4, 2), (" w", "a", 4, 3)], "timestamp=t",
         "2 values of user_id have white space around them; 1 differ"),
        ([("u", "a", 4, 1), ("u", "b", 4, 2)], "timestamp=t&name=d", "2 items share their name"),
        ([("u", "a", 4, 1), ("u", "b", 9, 2)], "timestamp=t&lenient", "1 row dropped"),
    ],
)  # fmt: skip
def test_each_doubt_has_its_table(
    tmp_path: Path, rows: list[tuple[str, str, float, int]], query: str, doubt: str
) -> None:
    assert any(doubt in told for told in doubts(split_of(tmp_path, rows, query)))


def test_the_command_tells_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = split_of(tmp_path, GOOD)
    spec = f"table:{tmp_path}/t.csv?timestamp=t&name=n&details=d"
    main(["data", spec, "--write", str(tmp_path / "out" / "t.parquet")])
    told = capsys.readouterr().out
    assert "records             7" in told and f"written             table:{tmp_path}/out/t.parquet" in told
    assert load_dataset(f"table:{tmp_path}/out/t.parquet").fingerprint == split.dataset.fingerprint
    with pytest.raises(SystemExit):
        main(["data", f"table:{tmp_path}/none.csv"])
    said = capsys.readouterr().err
    assert said.startswith("lrrecsys: ") and "no such file" in said


def test_a_notebook_says_where_no_row_of_a_table_could_be_run(root: Path) -> None:
    (paths.tables("demo") / "table2.md").write_text("# Table 2\n\n| a |\n")
    assert show_table("demo", "table2").data == "**Table 2**\n\n| a |\n"
    assert show_table("demo", "table_rivals").data == "None of this table's rows can be run on these data."
