"""Data with next to nothing in them: refused before any notebook, or served as what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrrecsys_core import rows
from lrrecsys_core.cli import main
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study import serve as serving
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.run import Run
from lrrecsys_core.study.study import Study

QUICK = get_profile("smoke", epochs=1, patience=1, autoencoder_epochs=2, seeds_on_files=1)


def table(folder: Path, rated: list[tuple[str, str]]) -> str:
    lines = [f"{user},{item},{1 + k % 5},{k}" for k, (user, item) in enumerate(rated)]
    (folder / "t.csv").write_text("user_id,item_id,rating,when\n" + "\n".join(lines) + "\n")
    return f"table:{folder}/t.csv?timestamp=when"


@pytest.mark.parametrize(
    ("rated", "part"),
    [
        ([("u", "a")], "test"),
        ([(f"u{k}", "a") for k in range(30)], "test"),
        ([(f"u{k}", f"i{k}") for k in range(30)], "test"),
        ([("u", "a"), ("u", "b"), ("v", "a")], "validate"),
    ],
)
def test_data_that_nothing_can_be_learned_from_are_refused_before_any_notebook(
    root: Path, tmp_path: Path, rated: list[tuple[str, str]], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = table(tmp_path, rated)
    with pytest.raises(InputError, match=f"t.csv: no record is left to {part} on; .* expected some with more"):
        Run("smoke", (spec,)).split("t")
    with pytest.raises(SystemExit) as status:
        main(["reproduce", "--profile", "smoke", "--datasets", spec])
    assert status.value.code == 2 and "no record is left" in capsys.readouterr().err
    assert list(root.iterdir()) == []


def test_three_records_of_one_user_are_enough(tmp_path: Path) -> None:
    split = Run("smoke", (table(tmp_path, [("u", "a"), ("u", "b"), ("u", "c")]),)).split("t")
    assert (len(split.train), len(split.validation), len(split.test)) == (1, 1, 1)


def test_no_validation_is_needed_where_a_profile_has_none(tmp_path: Path) -> None:
    assert len(Run("paper_strict", (table(tmp_path, [("u", "a"), ("u", "b")]),)).split("t").test) == 1


def test_a_user_who_rated_everything_is_recommended_nothing(root: Path, tmp_path: Path) -> None:
    rated = [("all", f"i{k}") for k in range(12)] + [("some", f"i{k}") for k in range(8)]
    study = Study(QUICK, [table(tmp_path, rated)])
    Cell(study, "t", rows.LR).compute()
    model = serving.served(study.run)
    assert model.recommend("all", 3) == []
    assert {item.item_id for item in model.recommend("some", 9)} == {"i8", "i9", "i10", "i11"}
    assert len(model.recommend("all", 3, exclude_seen=False)) == 3
    assert serving.show(study.run, "all", 3).endswith("no item to recommend: the user has a record of every one")
