from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from lrrecsys_core import __version__
from lrrecsys_core.cli import main
from lrrecsys_core.errors import InputError


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command, check that it is refused as promised, and return what it said."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    said = capsys.readouterr()
    assert caught.value.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    said = capsys.readouterr().out
    assert all(command in said for command in ("reproduce", "recommend", "explain", "report"))
    main(["--version"])
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "--profile", "huge"], "there is no profile 'huge'"),
        (["reproduce", "--profile", "smoke", "-p", "sede", "1"], "no parameter 'sede'"),
        (["reproduce", "--profile", "smoke", "-p", "seed", "x"], "parameter 'seed' must be int"),
        (["reproduce", "--profile", "smoke", "--datasets", "movielens:nowhere"], "no file or folder 'nowhere'"),
        (["reproduce", "--only", "99"], "there is no notebook '99'"),
        (["recommend"], "Missing argument 'USER'"),
        (["recommend", "u1", "--k", "0"], "x>=1"),
        (["reproduce", "--speed", "9"], "No such option"),
        (["reprodce"], "No such command 'reprodce'"),
    ],
)
def test_refusals_are_one_sentence_and_status_2(
    root: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(arguments, capsys)
    assert message in said
    assert said.startswith("lrrecsys: ")
    assert list(root.iterdir()) == []


def test_data_sets_are_separated_by_commas_that_a_kind_follows(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []

    def stand_in(profile: str, datasets: tuple[str, ...], *arguments: object, **options: object) -> Path:
        seen.append(datasets)
        return root / "manifest.json"

    monkeypatch.setattr("lrrecsys_core.app.runner.run_notebooks", stand_in)
    main(["reproduce", "--datasets", "movielens-imported:a,b.json,table:c.csv?context=d,e", "--datasets", "yelp:f"])
    main(["reproduce", "--datasets", ""])
    assert seen == [("movielens-imported:a,b.json", "table:c.csv?context=d,e", "yelp:f"), ()]


def test_a_wrong_column_is_refused_before_anything_is_written(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "shop.csv").write_text("customer,item_id,rating\nu,i,3\n")
    said = refusal(["reproduce", "--profile", "smoke", "--datasets", f"table:{tmp_path}/shop.csv?user=client"], capsys)
    assert "column 'client' is missing" in said
    assert list(root.iterdir()) == []


def test_read_only_output(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "results").write_text("in the way")
    assert "cannot create the output folder" in refusal(["reproduce", "--profile", "smoke"], capsys)


def test_recommend_prints_what_the_recommender_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in = ModuleType("lrrecsys_core.study.serve")
    stand_in.show = lambda run, user, k, dataset=None: f"{run} {user} {k} {dataset}"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lrrecsys_core.study.serve", stand_in)
    monkeypatch.setattr("lrrecsys_core.study.serve", stand_in, raising=False)
    main(["recommend", "u7", "--k", "3", "--run", "smoke"])
    assert capsys.readouterr().out == "smoke u7 3 None\n"


def test_a_defect_is_not_dressed_up_as_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = ModuleType("lrrecsys_core.study.serve")

    def show(*arguments: object, **options: object) -> str:
        raise ZeroDivisionError

    stand_in.show = show  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lrrecsys_core.study.serve", stand_in)
    monkeypatch.setattr("lrrecsys_core.study.serve", stand_in, raising=False)
    with pytest.raises(ZeroDivisionError):
        main(["recommend", "u7"])


def test_bad_input_inside_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in = ModuleType("lrrecsys_core.study.serve")

    def show(*arguments: object, **options: object) -> str:
        raise InputError("there is no user 'u7' in hotels")

    stand_in.show = show  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lrrecsys_core.study.serve", stand_in)
    monkeypatch.setattr("lrrecsys_core.study.serve", stand_in, raising=False)
    assert refusal(["recommend", "u7"], capsys) == "lrrecsys: there is no user 'u7' in hotels\n"
