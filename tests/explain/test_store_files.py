"""Stores as files: killed, moved, linked, locked, damaged, on full disks and in folders that may only be read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

import polars as pl
import pytest

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.frozen import FrozenStore, freeze
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.recorded import Recorded
from lrrecsys_core.explain.store import ExplanationStore

LLM = Recorded("Tiny", "tiny@1")
ROWS = 60
ADD = """
import os, sys
from test_store_files import LLM, add
from lrrecsys_core.explain.store import ExplanationStore
store = ExplanationStore(sys.argv[1])
"""


def add(store: ExplanationStore, first: int, last: int, size: int = 20) -> None:
    for place in range(first, last):
        one = Request((("user", f"prompt {place}"),), template="t@1")
        store.add(one, Result(one.key(LLM.model), f"{place} " * size), LLM)


def process(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parent)


def count(path: Path) -> int:
    with ExplanationStore(path, write=False) as store:
        return len(store)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A store whose writer was killed."""
    path = tmp_path / "killed" / "s.sqlite"
    done = process(ADD + f"add(store, 0, {ROWS}); os.kill(os.getpid(), {signal.SIGKILL:d})", path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    return path


@pytest.mark.parametrize(
    "end", ["store.close()", "del store", "sys.exit(1)", "raise KeyboardInterrupt", "held = store"]
)
def test_a_store_that_was_let_go_of_is_one_file(end: str, tmp_path: Path) -> None:
    path = tmp_path / "a" / "s.sqlite"
    process(ADD + f"add(store, 0, {ROWS})\n{end}", path)
    assert {file.name for file in path.parent.iterdir()} == {"s.sqlite", "s.sqlite.lock"}
    (tmp_path / "b").mkdir()
    shutil.copy(path, tmp_path / "b" / "moved")
    for _ in range(2):  # reading leaves nothing behind, either
        assert count(tmp_path / "b" / "moved") == ROWS
        assert [file.name for file in (tmp_path / "b").iterdir()] == ["moved"]


def test_a_store_moved_without_its_wal_says_so_and_loses_nothing(killed: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.sqlite"
    shutil.copy(killed, alone)
    for write in (False, True, False):
        with pytest.raises(InputError, match=r"was moved without alone\.sqlite-wal") as caught:
            ExplanationStore(alone, write=write)
        assert len(str(caught.value)) - len(str(alone)) < 300
        assert not alone.with_name("alone.sqlite-wal").exists()
    shutil.copy(f"{killed}-wal", tmp_path / "alone.sqlite-wal")
    with ExplanationStore(alone, write=False) as store:
        assert [part.name for part in store.parts] == ["alone.sqlite", "alone.sqlite-wal"]
    assert count(alone) == ROWS
    with ExplanationStore(killed) as store:
        add(store, ROWS, 2 * ROWS)
        assert len(store) == 2 * ROWS
    assert not Path(f"{killed}-wal").exists() and count(killed) == 2 * ROWS


def test_a_store_killed_while_its_wal_was_taken_in_and_moved_without_it_says_so(killed: Path, tmp_path: Path) -> None:
    path, whole = tmp_path / "cut.sqlite", tmp_path / "whole.sqlite"
    for ending in ("", "-wal"):
        shutil.copy(f"{killed}{ending}", f"{path}{ending}")
        shutil.copy(f"{killed}{ending}", f"{whole}{ending}")
    with closing(sqlite3.connect(whole, isolation_level=None)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    page = int.from_bytes(whole.read_bytes()[16:18], "big")
    assert len(whole.read_bytes()) > 2 * page
    path.write_bytes(whole.read_bytes()[: 2 * page])  # the header already tells of pages that are still in the -wal
    beside = Path(f"{path}-wal").rename(tmp_path / "kept")
    with pytest.raises(InputError, match=r"was moved without cut\.sqlite-wal"):
        count(path)
    beside.rename(f"{path}-wal")
    assert count(path) == ROWS


def test_an_empty_wal_takes_the_loss(killed: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copy(killed, alone)
    (tmp_path / "alone-wal").touch()
    with ExplanationStore(alone) as store:
        assert len(store) < ROWS
        add(store, 0, ROWS)
    assert count(alone) == ROWS


def test_a_reader_at_the_end_of_a_run_costs_nothing(tmp_path: Path) -> None:
    writer = ExplanationStore(tmp_path / "s")
    add(writer, 0, ROWS)
    with ExplanationStore(tmp_path / "s", write=False) as reader, reader.together():
        assert len(reader) == ROWS
        add(writer, ROWS, ROWS + 1)
        writer.close()
        assert len(reader) == ROWS, "read as of one moment"
    assert count(tmp_path / "s") == ROWS + 1
    ExplanationStore(tmp_path / "s").close()
    shutil.copy(tmp_path / "s", tmp_path / "moved")
    assert count(tmp_path / "moved") == ROWS + 1


LINKS = {
    "the file": lambda path, new: new.symlink_to(path),
    "a link to a link": lambda path, new: new.symlink_to(path.parent / "l"),
    "its folder": lambda path, new: new.parent.joinpath("f").symlink_to(path.parent),
    "a roundabout path": lambda path, new: None,
}  # fmt: skip


@pytest.mark.parametrize("link", LINKS)
def test_a_store_has_one_writer_by_whatever_name(link: str, tmp_path: Path) -> None:
    path, new = tmp_path / "deep" / "s", tmp_path / "new"
    with ExplanationStore(path):
        (path.parent / "l").symlink_to(path)
        LINKS[link](path, new)
        name = {"its folder": tmp_path / "f" / "s", "a roundabout path": tmp_path / "deep" / ".." / "deep" / "s"}.get(
            link, new
        )
        assert name.exists()
        done = process(ADD, name)
    assert done.returncode == 1 and "is in use by another process" in done.stderr


def test_hard_links_are_refused_for_writing(tmp_path: Path) -> None:
    with ExplanationStore(tmp_path / "s") as store:
        add(store, 0, 3)
    os.link(tmp_path / "s", tmp_path / "t")
    for name in "st":
        with pytest.raises(InputError, match="hard links"):
            ExplanationStore(tmp_path / name)
        assert count(tmp_path / name) == 3


def test_a_lock_that_is_broken_is_no_other_process(tmp_path: Path) -> None:
    ExplanationStore(tmp_path / "s").close()
    (tmp_path / "s.lock").write_bytes(b"by no means a lock" * 100)
    with pytest.raises(InputError, match=r"s\.lock") as caught:
        ExplanationStore(tmp_path / "s")
    (tmp_path / "s.lock").unlink()
    (tmp_path / "s.lock").mkdir()
    with pytest.raises(InputError, match=r"s\.lock cannot be opened") as again:
        ExplanationStore(tmp_path / "s")
    assert "another process" not in str(caught.value) + str(again.value)


@pytest.mark.parametrize("damage", ["cut", "overwritten", "wal", "empty pages"])
def test_a_damaged_store_is_one_sentence_whatever_is_done_with_it(damage: str, killed: Path, tmp_path: Path) -> None:
    if damage != "wal":
        with ExplanationStore(killed) as store:
            add(store, 0, 2000)
    whole = killed.read_bytes()
    half = len(whole) // 2
    match damage:
        case "cut":
            killed.write_bytes(whole[:half])
        case "overwritten":
            killed.write_bytes(whole[:8192] + b"\xa5" * (len(whole) - 16384) + whole[-8192:])
        case "empty pages":
            killed.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
        case "wal":  # as SQLite takes it: what is sound before the damage counts
            side = Path(f"{killed}-wal")
            side.write_bytes(side.read_bytes()[: side.stat().st_size // 2])
    keys = [Request((("user", f"prompt {k}"),), template="t@1").key(LLM.model) for k in range(2000)]
    for write in (False, True):
        try:
            with ExplanationStore(killed, write=write) as store:
                store.answers(keys), list(store.rows(ordered=True)), store.counts(), store.failures(), store.asked()
                freeze(store, tmp_path / f"f{write}")
                if write:
                    add(store, 0, 2100)
        except InputError as error:
            assert damage != "wal" and str(killed) in str(error) and "another process" not in str(error)
        else:
            assert damage == "wal"


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    add(store, 0, 3000, 100)
except Exception as error:
    print(type(error).__name__, error)
    print(len(store))
store.close()
"""


@pytest.mark.parametrize("before", [0, 1500])
def test_a_full_disk_is_one_sentence_and_what_is_stored_stays(before: int, tmp_path: Path) -> None:
    """No file may grow beyond a limit, which the system says as it says that a disk is full; some are beyond it."""
    path = tmp_path / "s"
    with ExplanationStore(path) as store:
        add(store, 0, before, 100)
    said, rows = process(ADD + FULL, path).stdout.splitlines()
    assert said.startswith(f"InputError {path} cannot be read or written (disk I/O error):")
    assert before + 10 < int(rows) == count(path) < 3000
    with ExplanationStore(path) as store:
        add(store, 0, 3000, 100)
    assert count(path) == 3000


AS_ANOTHER = """
import os, sys
import lrrecsys_core.explain.cli, lrrecsys_core.explain.fault_report
from lrrecsys_core.cli import main
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path in sys.argv[1:]:
    for arguments in (["status", "--store", path], ["merge", "--store", path, path]):
        print("##", flush=True)
        try:
            main(["explain", *arguments])
        except SystemExit as end:
            print("exit", end.code)
"""


def test_stores_in_a_folder_one_may_only_read(killed: Path) -> None:
    folder = Path(mkdtemp())  # pytest's own folders may not even be entered by others
    try:
        kinds = ("closed", "as stores once were", "killed", "moved alone")
        paths = dict(zip(kinds, (folder / f"{k}.sqlite" for k in range(4)), strict=True))
        for kind, path in paths.items():
            shutil.copy(killed, path)
            if kind != "moved alone":
                shutil.copy(f"{killed}-wal", f"{path}-wal")
        for kind in kinds[:2]:
            ExplanationStore(paths[kind]).close()
        with closing(sqlite3.connect(paths["as stores once were"])) as db:
            db.execute("PRAGMA journal_mode = WAL")
        for file in folder.iterdir():
            file.unlink() if file.suffix == ".lock" else file.chmod(0o444)
        folder.chmod(0o555)
        command = [sys.executable, "-c", AS_ANOTHER, *map(str, paths.values())]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert "Traceback" not in done.stdout and "not an explanation store" not in done.stdout, done.stdout
    said = [part.splitlines() for part in done.stdout.split("##\n")[1:]]
    for (kind, path), read, write in zip(paths.items(), said[::2], said[1::2], strict=True):
        if kind in kinds[:2]:
            assert f"{ROWS} answered" in read[0]
        else:
            assert len(read) == 2 and read[1] == "exit 2"
            assert ("was moved without" if kind == "moved alone" else "cannot be opened") in read[0]
        assert len(write) == 2 and write[1] == "exit 2" and str(path) in write[0]
        assert "cannot be opened" in write[0] or "may only be read" in write[0]


def test_what_is_frozen_during_a_run_is_of_one_moment(tmp_path: Path) -> None:
    path = tmp_path / "s"
    command = [sys.executable, "-c", ADD + "print(flush=True)\nadd(store, 0, 10**6)", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent) as writer:
        assert writer.stdout is not None and writer.stdout.readline()
        rows, k = [], 0
        while len(set(rows)) < 4:  # however fast the machine freezes and however slowly it writes
            assert writer.poll() is None, "nothing was written meanwhile"
            with ExplanationStore(path, write=False) as store:
                manifest = freeze(store, tmp_path / f"f{k}")
            held = pl.read_parquet(tmp_path / f"f{k}" / "answers-*.parquet").height if manifest["files"] else 0
            assert held == manifest["rows"] == manifest["answered"]
            assert len(FrozenStore(tmp_path / f"f{k}")) == held
            rows.append(held)
            k += 1
        writer.kill()
    assert rows == sorted(rows)


@pytest.mark.parametrize("change", ["rows", "order", "repeated", "torn", "no object", "no files", "no rows"])
def test_a_frozen_folder_whose_rows_or_manifest_are_wrong_is_refused(change: str, tmp_path: Path) -> None:
    with ExplanationStore(tmp_path / "s") as store:
        add(store, 0, 9)
        freeze(store, tmp_path / "f")
    assert len(FrozenStore(tmp_path / "f")) == 9
    path, part = tmp_path / "f" / "manifest.json", tmp_path / "f" / "answers-0000.parquet"
    manifest, frame = json.loads(path.read_text()), pl.read_parquet(part)
    match change:
        case "rows":
            manifest["rows"] = 10
        case "order":
            frame[::-1].write_parquet(part)
        case "repeated":
            frame[[0, 0, *range(2, 9)]].write_parquet(part)
        case "no files" | "no rows":
            del manifest[change.removeprefix("no ")]
    manifest["files"] = {part.name: sha256(part.read_bytes()).hexdigest()} if "files" in manifest else {}
    if change == "no files":
        del manifest["files"]
    whole = json.dumps([] if change == "no object" else manifest)
    path.write_text(whole[:-40] if change == "torn" else whole)
    with pytest.raises(InputError, match=r"freeze the store again|copy the frozen folder again") as caught:
        FrozenStore(tmp_path / "f")
    assert str(tmp_path / "f") in str(caught.value)
