from __future__ import annotations

from pathlib import Path

from lrrecsys_core.app.provenance import describe, without_folder


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
