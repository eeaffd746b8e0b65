"""The Parquet copy of a large data set: the same as what was loaded, and never older than its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lrrecsys_core.data import kept_copy as module
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.kept_copy import kept_copy


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file to load; from one record on a copy is kept."""
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path / "root"))
    monkeypatch.setattr(module, "LEAST", 1)
    for name in ("root", "files"):
        (tmp_path / name).mkdir()
    (tmp_path / "files" / "a.json").write_text("3 5")
    return tmp_path / "files"


def made(folder: Path) -> Dataset:
    """A data set with every frame and setting, its ratings from the file."""
    ratings = list(map(float, (folder / "a.json").read_text().split()))
    records = pl.DataFrame({"user_id": ["u", "ü"], "item_id": ["b", "a"], "rating": ratings, "timestamp": [7, 5]})
    return make_dataset(
        "amazon",
        "movie",
        records.with_columns(trip=pl.Series(["x", None])),
        pl.DataFrame({"item_id": ["a", "b"], "name": ["A", "B"], "details": ["", "p; q"]}),
        aspects=pl.DataFrame({"user_id": ["u"], "item_id": ["b"], "aspect": ["pool"], "sentiment": [1]}),
        texts=pl.DataFrame({"item_id": ["a"], "positive": ["yes"], "negative": ["no"]}),
        reviews=pl.DataFrame({"user_id": ["u"], "item_id": ["b"], "text": ["told"]}),
        rating_max=9.0,
        liked_from=6.5,
        context=("trip",),
        source=str(folder),
    )


def counted(folder: Path) -> tuple[Callable[[], Dataset], list[int]]:
    calls: list[int] = []

    def load() -> Dataset:
        calls.append(1)
        return made(folder)

    return load, calls


def test_the_copy_is_what_was_loaded_with_every_frame_and_setting(files: Path) -> None:
    load, calls = counted(files)
    first, again = (kept_copy("amazon:x", files, load) for _ in range(2))
    assert len(calls) == 1 and again is not first
    for field in fields(Dataset):
        one, other = getattr(first, field.name), getattr(again, field.name)
        if isinstance(one, pl.DataFrame):
            assert_frame_equal(one, other)
        else:
            assert one == other, field.name
    assert again.fingerprint == first.fingerprint


def test_other_options_have_a_copy_of_their_own(files: Path) -> None:
    load, calls = counted(files)
    for spec in ("amazon:x", "amazon:x?reviews=yes", "amazon:x"):
        kept_copy(spec, files, load)
    assert len(calls) == 2


def test_a_changed_or_further_file_or_other_code_is_loaded_anew(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, calls = counted(files)
    kept_copy("amazon:x", files, load)
    (files / "a.json").write_text("4 5")
    os.utime(files / "a.json", (1, 1))  # as if restored from an archive: older than the copy, of the same size
    assert kept_copy("amazon:x", files, load).interactions["rating"].to_list() == [4.0, 5.0]
    (files / "below").mkdir()
    (files / "below" / "b.json").write_text("")
    kept_copy("amazon:x", files, load)
    assert len(calls) == 3
    monkeypatch.setattr(module, "__file__", __file__)
    kept_copy("amazon:x", files, load)
    assert len(calls) == 4


def test_a_damaged_copy_is_made_anew(files: Path) -> None:
    load, calls = counted(files)
    kept_copy("amazon:x", files, load)
    for name in ("interactions.parquet", "about.json"):
        (damaged,) = (files.parent / "root").rglob(name)
        damaged.write_bytes(damaged.read_bytes()[:-20])
        kept_copy("amazon:x", files, load)
        kept_copy("amazon:x", files, load)
    assert len(calls) == 3


def test_small_sets_and_places_nothing_can_be_written_to_have_no_copy(
    files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, calls = counted(files)
    monkeypatch.setenv("LRRECSYS_ROOT", str(files / "nowhere"))
    kept_copy("amazon:x", files, load)
    monkeypatch.setenv("LRRECSYS_ROOT", str(files.parent / "root"))
    monkeypatch.setattr(module, "LEAST", 3)
    kept_copy("amazon:x", files, load)
    assert len(calls) == 2 and not list(files.parent.rglob("*.parquet"))
