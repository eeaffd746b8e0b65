"""From a number to its code: what the command prints, and that the number comes out again."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrrecsys_core import rows
from lrrecsys_core.app.one_row import describe, find_row
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import Profile
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.study import Study

TINY = Profile(
    "tiny", users=30, items=25, records_per_user=8, replicates=2, epochs=1, patience=1, autoencoder_epochs=30
)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    return Study(TINY)


def test_a_number_leads_to_its_model_point_key_and_file(study: Study, tmp_path: Path) -> None:
    cell = Cell(study, "movies", "Biased MF")
    cell.compute()
    told = "\n".join(describe(study, "biased mf"))
    assert "model BiasedMF, lrrecsys_core/models/biased_mf.py:" in told
    movies = told[told.index("\nmovies") :]
    assert f"lr {cell.point.regression.lr:g}, decay {cell.point.regression.weight_decay:g}" in movies
    assert f"key     {cell.key}" in movies
    (line,) = [line.split()[-1] for line in movies.splitlines() if line.strip().startswith("file")]
    assert (tmp_path / line).is_file() and line.startswith("results/tiny/cells/")
    rmse = study.metrics([2]).filter(dataset="movies", part="test", metric="RMSE").sort("replicate")
    assert set(rmse["cell"]) == {cell.key}
    assert "  RMSE    " + " ".join(f"{value:.4f}" for value in rmse["value"]) in movies
    assert "not kept: run `make reproduce`" in told[: told.index("\nmovies")]


def test_again_computes_the_same_and_replaces_nothing(study: Study, tmp_path: Path) -> None:
    for name in study.all_datasets[:3]:
        Cell(study, name, rows.GLOBAL_MEAN).compute()
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.parquet")}
    told = [line for line in describe(study, rows.GLOBAL_MEAN, again=True) if ", again " in line]
    assert len(told) == 9, "three metrics on three markets"
    for line in told:
        kept, again = line.split(", again ")
        assert kept.split()[1:] == again.split()
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.parquet")}


def test_a_borrowed_row_says_whose_networks_give_its_numbers(study: Study) -> None:
    told = list(describe(study, rows.PERMUTED))
    assert told[1] == f"its numbers come from the networks of {rows.LR!r}"
    assert any("texts   Simulated(share=0.8" in line for line in told)


def test_an_unknown_row_gets_the_nearest_names() -> None:
    assert find_row("sasrec").name == "SASRec"
    with pytest.raises(InputError, match="there is no row 'SASRek': did you mean 'SASRec'"):
        find_row("SASRek")


def test_a_row_without_texts_at_hand_is_refused(study: Study) -> None:
    with pytest.raises(InputError, match="has no cell in run 'tiny'"):
        list(describe(study, rows.GPT2))
