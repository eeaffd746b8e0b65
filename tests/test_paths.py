from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

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
        (("movielens:/data/ml-100k?fold=u1",), "demo-movielens-u1"),
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


def test_partial_files_of_ended_writers_are_removed_and_others_kept(root: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    folder = paths.figures("smoke")
    names = [f".fig10.{ended.pid}-0123abcd.partial.png", ".fig10.0123abcd.partial.png", ".04_train.partial.ipynb"]
    mine = f".fig10.{os.getpid()}-0123abcd.partial.png"
    for name in [*names, mine, "fig10.png", "a.partial.b", ".lock"]:
        (folder / name).write_text("x")
    (paths.results("smoke") / "cells").mkdir()
    (paths.results("smoke") / "cells" / ".k.metrics.0123abcd.partial.parquet").write_text("x")
    with paths.locked("smoke"):
        assert sorted(file.name for file in folder.iterdir()) == sorted([mine, "fig10.png", "a.partial.b", ".lock"])
        assert list((paths.results("smoke") / "cells").iterdir()) == []


HOLD = """
from lrrecsys_core import paths
with paths.locked('smoke'):
    print('held', flush=True)
    input()
"""


def test_a_run_is_held_by_one_process_and_freed_when_it_is_killed(root: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(InputError, match="run 'smoke' in .* is being written by another process"),
        paths.locked("smoke"),
    ):
        pass
    with paths.locked("demo"):
        pass
    holder.kill()
    holder.communicate()
    with paths.locked("smoke"):
        pass


WRITE = """
import resource, sys
from pathlib import Path
import numpy as np, polars as pl
from safetensors.numpy import save_file
from lrrecsys_core import paths
from lrrecsys_core.errors import InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
many = np.random.default_rng(0).random(20_000)
writers = {
    "text.txt": lambda place: place.write_text("x" * 20_000),
    "table.csv": lambda place: pl.DataFrame({"a": many}).write_csv(place),
    "table.parquet": lambda place: pl.DataFrame({"a": many}).write_parquet(place),
    "weights.safetensors": lambda place: save_file({"a": many}, place),
}
for name, write in writers.items():
    try:
        with paths.replacing(Path(sys.argv[1]) / name) as partial:
            write(partial)
    except InputError as error:
        print(error)
"""


def test_a_full_disk_is_one_sentence_with_path_and_reason_whoever_writes(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("old")
    told = subprocess.run([sys.executable, "-c", WRITE, str(tmp_path)], capture_output=True, text=True, check=True)
    lines = told.stdout.splitlines()
    for line, name in zip(lines, ("text.txt", "table.csv", "table.parquet", "weights.safetensors"), strict=True):
        assert line.startswith(f"cannot write {tmp_path / name}: ")
        assert "File too large" in line
        assert len(line) <= 400
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("table.csv", "old")]


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "x.json" / "inside").mkdir(parents=True)
    with pytest.raises(InputError, match=r"cannot write .*x\.json: Is a directory"):
        paths.write_json(tmp_path / "x.json", {})
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("damage", ["cut", "empty", "zeros", "missing", "folder"])
@pytest.mark.parametrize("suffix", ["parquet", "safetensors", "json"])
def test_a_damaged_file_is_not_sound(tmp_path: Path, suffix: str, damage: str) -> None:
    file = tmp_path / f"kept.{suffix}"
    many = np.arange(5000.0)
    match suffix:
        case "parquet":
            pl.DataFrame({"a": many}).write_parquet(file)
        case "safetensors":
            save_file({"a": many}, file)
        case _:
            paths.write_json(file, many.tolist())
    assert paths.sound(file)
    whole = file.read_bytes()
    file.unlink()
    match damage:
        case "cut":
            file.write_bytes(whole[: len(whole) * 2 // 3])
        case "empty":
            file.write_bytes(b"")
        case "zeros":
            file.write_bytes(bytes(len(whole)))
        case "folder":
            file.mkdir()
    assert not paths.sound(file)
