from __future__ import annotations

import os
from pathlib import Path

import pytest

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError


def test_root_is_the_checkout_whatever_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRRECSYS_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    assert (paths.root() / "lrrecsys_core" / "paths.py").is_file()


def test_folders_are_made_on_demand_below_the_root(root: Path) -> None:
    assert paths.results("smoke") == root.resolve() / "results" / "smoke"
    assert paths.figures("smoke").is_dir()
    assert paths.tables("demo-movielens") == root.resolve() / "paper_tables" / "demo-movielens"


@pytest.mark.parametrize(
    ("specs", "name"),
    [
        ((), "demo"),
        (("movielens:/data/ml",), "demo-movielens"),
        (("yelp:a:b", "movielens:c"), "demo-yelp-movielens"),
        (("table:/d/my.csv?user=u",), "demo-my"),
    ],
)
def test_run_name(specs: tuple[str, ...], name: str) -> None:
    assert paths.run_name("demo", specs) == name


@pytest.mark.parametrize("run", ["", "..", "a/b", "{x}", "-p", "a b"])
def test_names_that_leave_the_root_or_break_papermill_are_refused(root: Path, run: str) -> None:
    with pytest.raises(InputError, match="cannot name a run"):
        paths.results(run)
    assert list(root.iterdir()) == []


def test_missing_override_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="not a folder"):
        paths.root()


def test_a_file_where_a_folder_should_be(root: Path) -> None:
    (root / "results").write_text("in the way")
    with pytest.raises(InputError, match="cannot create the output folder"):
        paths.results("smoke")


def test_read_only_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="read-only"):
        paths.results("smoke")


def test_replacing_leaves_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), paths.replacing(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_digest_depends_on_names_and_contents(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.csv").write_text("1")
    assert paths.digest(tmp_path / "a") == paths.digest(tmp_path / "b")
    (tmp_path / "b" / "x.csv").rename(tmp_path / "b" / "y.csv")
    assert paths.digest(tmp_path / "a") != paths.digest(tmp_path / "b")
    # The published SHA-256 of the empty string.
    (tmp_path / "empty").write_bytes(b"")
    assert paths.digest(tmp_path / "empty").startswith("e3b0c44298fc1c14")
