"""What is kept is whole and of this very content, or it is made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import rows
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study import serve as serving
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.study import Study

PROFILE = get_profile("smoke", replicates=1, epochs=1, patience=1, autoencoder_epochs=20, seeds_on_files=1)


def write_table(file: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lines = [
        f"u{user},i{item},{rng.integers(1, 6)},{'red' if item % 2 else 'blue'}; {'big' if item % 3 else 'small'}"
        for user in range(12)
        for item in rng.permutation(15)[:8]
    ]
    file.write_text("user_id,item_id,rating,tags\n" + "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the cell of LR-Recsys on a small table."""
    root = tmp_path_factory.mktemp("root")
    write_table(root / "shop.csv", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRRECSYS_ROOT", str(root))
        patch.chdir(root)
        small_cell().compute()
    return root


@pytest.fixture
def copied(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "root"
    shutil.copytree(done, root)
    monkeypatch.setenv("LRRECSYS_ROOT", str(root))
    monkeypatch.chdir(root)
    return root


def small_cell() -> Cell:
    return Cell(Study(PROFILE, ["table:shop.csv?details=tags"]), "shop", rows.LR)


def scores(run: str) -> list[float]:
    model = serving.served(run)
    model.explain = None
    return [item.score for item in model.recommend("u0", 5)]


def damage(file: Path, how: str) -> None:
    whole = file.read_bytes()
    match how:
        case "cut":
            file.write_bytes(whole[: len(whole) // 2])
        case "empty":
            file.write_bytes(b"")
        case "text":
            file.write_bytes(b"no longer what it was")
        case "gone":
            file.unlink()


@pytest.mark.parametrize("how", ["cut", "empty", "text", "gone"])
@pytest.mark.parametrize(
    "pattern",
    [
        "cells/*.metrics.parquet", "cells/*.predictions.parquet", "cells/*.signal.parquet", "models/shop/model.json",
        "models/shop/model.safetensors", "models/shop/coder.safetensors", "models/shop/reasons.parquet",
    ],
)  # fmt: skip
def test_a_damaged_file_of_a_cell_means_not_done(copied: Path, pattern: str, how: str) -> None:
    cell = small_cell()
    assert cell.done
    [file] = cell.run.folder.glob(pattern)
    damage(file, how)
    assert not cell.done
    assert cell.key is not None
    if "model" in pattern:
        with pytest.raises(InputError, match="no whole fitted model in"):
            serving.served(cell.run.run)


@pytest.mark.parametrize("how", ["cut", "empty", "text", "gone"])
@pytest.mark.parametrize(
    "suffix", [".json", ".safetensors", ".words.json", ".whitening.safetensors", ".codes.parquet", ".sentences.parquet"]
)
def test_a_damaged_text_set_is_not_kept(copied: Path, suffix: str, how: str) -> None:
    cell = small_cell()
    [job] = cell.text_jobs
    assert job.content is not None
    damage(job.folder / f"{job.key}{suffix}", how)
    assert job.content is None
    assert not cell.done


def test_damaged_files_are_made_anew_with_the_same_content(copied: Path) -> None:
    study = small_cell().run
    assert isinstance(study, Study)
    before, told = study.metrics(), scores(study.run)
    [job] = small_cell().text_jobs
    content = job.content
    for file in (job.folder / f"{job.key}.codes.parquet", job.folder / f"{job.key}.safetensors"):
        damage(file, "cut")
    for file in (study.folder / "cells").iterdir():
        damage(file, "cut")
    study.run_rows(only=[rows.LR], progress=False, jobs=1)
    again = pl.concat([before, study.metrics()]).drop("seconds", strict=False)
    assert job.content == content
    compared = ["row", "part", "metric", "replicate", "value"]
    assert again.head(before.height).select(compared).equals(again.tail(before.height).select(compared))
    assert scores(study.run) == told


def test_the_model_served_is_that_of_the_data_there_are(copied: Path) -> None:
    study = small_cell().run
    first, table = scores(study.run), (copied / "shop.csv").read_bytes()
    write_table(copied / "shop.csv", 1)
    with pytest.raises(InputError, match="was trained on other data, texts or code"):
        serving.served(study.run)
    Study(PROFILE, study.specs).run_rows(only=[rows.LR], progress=False, jobs=2)
    second = scores(study.run)
    assert second != first
    (copied / "shop.csv").write_bytes(table)
    again = Study(PROFILE, study.specs)
    assert not Cell(again, "shop", rows.LR).done, "the cell's tables are kept, and its model is another's"
    again.run_rows(only=[rows.LR], progress=False, jobs=2)
    assert scores(study.run) == first
    # Weights of one model beside the description of another, as a kill between two writes leaves them.
    shutil.copytree(study.folder / "models", copied / "of the first")
    write_table(copied / "shop.csv", 1)
    Study(PROFILE, study.specs).run_rows(only=[rows.LR], progress=False, jobs=2)
    assert scores(study.run) == second
    shutil.copy(copied / "of the first" / "shop" / "model.safetensors", study.folder / "models" / "shop")
    assert not small_cell().done
    with pytest.raises(InputError, match="no whole fitted model"):
        serving.served(study.run)


@pytest.mark.parametrize("run", ["../../x", "..", "/tmp", "a/b", "", "~", ".", "smoke/../../x"])
def test_no_name_of_a_run_leaves_the_root(root: Path, tmp_path: Path, run: str) -> None:
    (tmp_path / "x" / "models" / "shop").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot name a run"):
        serving.served(run)
    assert list(root.iterdir()) == []
