from __future__ import annotations

import json
from pathlib import Path

from lrrecsys_core import paths
from lrrecsys_core.app.provenance import describe, other_data, without_folder


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
