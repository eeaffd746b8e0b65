from __future__ import annotations

import json
from pathlib import Path

import pytest

from lrrecsys_core import paths
from lrrecsys_core.app.provenance import carried_over, describe, digests, other_data, without_folder


def test_a_manifest_names_no_folder_of_the_machine(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "shop.csv"
    data.write_text("user_id,item_id,rating\n")
    record = describe("smoke", [f"table:{data}"], {"seed": 3, "texts": str(tmp_path / "mine.sqlite")})
    assert str(tmp_path) not in str(record) and record["parameters"] == {"seed": 3, "texts": "mine.sqlite"}
    assert list(record["inputs"]) == ["shop"] and len(record["inputs"]["shop"]["shop.csv"]) == 64
    data.with_name("goods.csv").write_text("item_id,name\n")
    record = describe("smoke", [f"table:{data}?items=goods.csv&test=shop.csv"], {})
    assert sorted(record["inputs"]["shop"]) == ["goods.csv", "shop.csv"]
    assert without_folder(["~/a/b", "smoke", 0.5]) == ["b", "smoke", 0.5]


def test_a_run_of_one_name_made_of_other_files_says_what_it_replaces(root: Path, tmp_path: Path) -> None:
    data = tmp_path / "shop.csv"
    data.write_text("user_id,item_id,rating\n")
    spec = f"table:{data}?timestamp=when"
    assert not other_data("demo-shop", spec)  # nothing there
    record = json.dumps(describe("demo", [spec], {}))
    (paths.results("demo-shop") / "manifest.json").write_text(record)
    assert not other_data("demo-shop", spec)
    data.write_text("user_id,item_id,rating\na,b,3\n")
    assert "'demo-shop' was made of other files (shop.csv) before" in other_data("demo-shop", spec)
    (paths.results("demo-shop") / "manifest.json").write_text(record[:50])
    assert not other_data("demo-shop", spec)


def test_texts_found_by_default_are_inputs(tmp_path: Path) -> None:
    (folder := tmp_path / "ml").mkdir()
    (folder / "ratings.csv").write_text("1")
    (beside := tmp_path / "imdb_exp3rt").mkdir()
    texts = beside / "item_profile.json"
    texts.write_text("[]")
    found = digests(f"movielens-imported:{folder}")
    assert found == {"ml": paths.digest(folder), "item_profile.json": paths.digest(texts)}
    texts.write_text("[{}]")
    assert digests(f"movielens-imported:{folder}") != found
    assert list(digests(f"movielens-imported:{folder},{texts}")) == ["ml", "item_profile.json"]
    assert list(digests(f"movielens:{folder}")) == ["ml"]
    (folder / "item_profile.json").write_text("[]")  # first choice, and one of the folder's files
    assert list(digests(f"movielens-imported:{folder}")) == ["ml"]


@pytest.mark.parametrize(("given", "told"), [("/a/folder/small", "small"), ("maker/small", "maker/small")])
def test_a_manifest_names_the_encoder_without_its_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch, given: str, told: str
) -> None:
    monkeypatch.delenv("LRRECSYS_ENCODER", raising=False)
    assert "encoder" not in describe("smoke", [], {})
    monkeypatch.setenv("LRRECSYS_ENCODER", given)
    assert describe("smoke", [], {})["encoder"] == told


def test_nothing_is_carried_over_from_a_manifest_made_otherwise(tmp_path: Path) -> None:
    file, other = tmp_path / "manifest.json", Path("02_second.ipynb")
    record = {"profile": {}, "seeds": [1], "parameters": {}, "inputs": {}, "texts": {}}
    assert carried_over(file, record, [other]) == {}
    entry = {"02_second": {"seconds": 1}}
    paths.write_json(file, record | {"notebooks": entry})
    assert carried_over(file, record, [other]) == entry and carried_over(file, record, []) == {}
    for change in ({"seeds": [2]}, {"inputs": {"yelp": {}}}, {"texts": {"gpt-2": "0"}}, {"encoder": "small"}):
        assert carried_over(file, record | change, [other]) == {}
    file.write_text("[]\n")
    assert carried_over(file, record, [other]) == {}
