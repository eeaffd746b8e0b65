"""The first markets of a run and the rest of them: two blocks that add up to one run, whichever came first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from lrrecsys_core import rows
from lrrecsys_core.app.one_row import describe
from lrrecsys_core.app.provenance import describe as manifest_of
from lrrecsys_core.cli import lrrecsys
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import MARKETS_VARIABLE, Profile, get_profile
from lrrecsys_core.report.notes import table_notes
from lrrecsys_core.report.sizes import costs_table
from lrrecsys_core.study import cell as cells
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.fitted import kept_cell, model_folder
from lrrecsys_core.study.study import Study

TINY = Profile(
    "tiny", users=40, items=40, records_per_user=10, replicates=3, first_markets=1, epochs=2, patience=2,
    autoencoder_epochs=2, side_replicates=2,
)  # fmt: skip
SIDE = rows.without_biases("SASRec")
FEW = (rows.LR, "SASRec", rows.BIASES, SIDE)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    monkeypatch.setenv(MARKETS_VARIABLE, "")
    return tmp_path


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    """Row and numbers of the replicates of everything that is computed."""
    computed: list[tuple[str, tuple[int, ...]]] = []
    run_row = cells.run_row

    def spy(row: rows.Row, dataset: str, given: list[cells.Given], training: cells.Training) -> cells.CellResult:
        computed.append((row.name, tuple(one.replicate for one in given)))
        return run_row(row, dataset, given, training)

    monkeypatch.setattr(cells, "run_row", spy)
    return computed


def run(profile: Profile = TINY) -> Study:
    """Compute the hotels of a run in this process, as far as it is asked for and they are missing."""
    study = Study(profile)
    for cell in study.cells():
        if cell.dataset == "hotels" and cell.name in FEW and not cell.done:
            cell.compute()
    return study


def numbers(study: Study) -> dict[str, set[int]]:
    """Replicates of each row that the metrics show."""
    found = study.metrics().group_by("row").agg(pl.col("replicate").unique())
    return {row: set(replicates) for row, replicates in found.iter_rows()}


def test_the_rest_is_added_to_the_first_markets_and_nothing_is_computed_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch, trained: list[tuple[str, tuple[int, ...]]]
) -> None:
    first = run()
    assert sorted(trained) == sorted((row, (0,)) for row in FEW)
    assert set(map(frozenset, numbers(first).values())) == {frozenset({0})}
    alone, served = first.metrics(), kept_cell(model_folder("tiny", "hotels"))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    trained.clear()

    monkeypatch.setenv(MARKETS_VARIABLE, "all")
    both = run()
    assert sorted(trained) == sorted((row, (1, 2)) for row in FEW if row != SIDE)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert numbers(both) == {row: {0} if row == SIDE else {0, 1, 2} for row in numbers(first)}
    assert kept_cell(model_folder("tiny", "hotels")) == served == Cell(both, "hotels", rows.LR).key
    assert_frame_equal(both.metrics().filter(replicate=0), alone)
    told = both.predictions([rows.LR])
    for k in range(3):
        split, part = both.split("hotels", k), told.filter(replicate=k, task="regression")
        assert part["record"].to_list() == split.record[split.test].tolist()
        assert part["rating"].to_list() == split.rating[split.test].tolist()

    trained.clear()
    run()
    monkeypatch.setenv(MARKETS_VARIABLE, "")
    assert_frame_equal(run().metrics(), alone)
    assert trained == [], "what is there is read, and only what is asked for is shown"


@pytest.mark.slow
def test_it_comes_out_as_if_all_had_been_asked_for_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def values(study: Study) -> pl.DataFrame:
        found = study.metrics().filter(pl.col("row") != SIDE)
        return found.select("row", "part", "metric", "replicate", "value", "own_part")

    run()
    monkeypatch.setenv(MARKETS_VARIABLE, "all")
    later = values(run())
    for name, profile, exact in (("blocks", TINY, True), ("company", replace(TINY, first_markets=0), False)):
        (folder / name).mkdir()
        monkeypatch.setenv("LRRECSYS_ROOT", str(folder / name))
        # In other company sums of a batch may come out in another order.
        assert_frame_equal(values(run(profile)), later, check_exact=exact, abs_tol=1e-5)


def test_a_study_starts_the_cells_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Study(TINY).cells()
    assert {(cell.block, cell.replicates) for cell in first} == {(0, (0,))}
    monkeypatch.setenv(MARKETS_VARIABLE, "all")
    more = Study(TINY).cells()
    assert set(first) < set(more) and len(more) == len(set(more))
    added = set(more) - set(first)
    assert {(cell.block, cell.replicates) for cell in added} == {(1, (1, 2))}
    expected = {(cell.dataset, cell.name) for cell in first if not rows.BY_NAME[cell.name].side}
    assert {(cell.dataset, cell.name) for cell in added} == expected
    assert {job.replicate for cell in added for job in cell.text_jobs} == {1, 2}


def test_equal_seeds_under_other_numbers_are_other_cells() -> None:
    rest = Cell(Study(TINY), "hotels", rows.BIASES, 1)
    same = Cell(
        Study(replace(TINY, first_seed=TINY.first_seed + 1, replicates=2, first_markets=0)), "hotels", rows.BIASES
    )
    assert rest.seeds == same.seeds and rest.key != same.key


def test_a_profile_has_one_block_or_two() -> None:
    assert TINY.blocks == (range(1), range(1, 3))
    for whole in (0, 3, 7):
        assert replace(TINY, first_markets=whole).blocks == (range(3),)
    assert get_profile("demo", replicates=2, first_markets=4).blocks == (range(2),)
    for name in ("smoke", "demo", "paper"):
        profile = get_profile(name)
        assert sum(map(len, profile.blocks)) == profile.replicates
        assert profile.side_replicates <= len(profile.blocks[0]), "the side tables keep their markets"


def test_real_data_are_untouched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = folder / "shop.csv"
    lines = [f"u{k % 5},i{k % 8},{1 + k % 5},{k}" for k in range(40)]
    table.write_text("\n".join(["user_id,item_id,rating,timestamp", *lines]))
    told = []
    for asked in ("", "all"):
        monkeypatch.setenv(MARKETS_VARIABLE, asked)
        study = Study(replace(TINY, seeds_on_files=3), [f"table:{table}?timestamp=timestamp"])
        found = [cell for cell in study.cells() if cell.name == rows.BIASED_MF]
        told.append([(cell.key, cell.seeds, cell.replicates) for cell in found])
    assert told[0] == told[1] and [seeds for _, seeds, _ in told[0]] == [(200, 201, 202)]
    found[0].compute()
    frame = study.metrics()
    assert set(frame["replicate"]) == {0, 1, 2} and frame["markets"].null_count() == frame.height
    assert not any("per domain" in note for note in table_notes(2, frame))


def test_anything_else_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    sentence = "markets 'some' cannot be asked for: say all, or nothing for the first of each domain."
    outcome = CliRunner().invoke(lrrecsys, ["reproduce", "--profile", "smoke", "--markets", "some"])
    assert isinstance(outcome.exception, InputError) and str(outcome.exception) == sentence
    monkeypatch.setenv(MARKETS_VARIABLE, "some")
    with pytest.raises(InputError) as caught:
        Study(TINY).cells()
    assert str(caught.value) == sentence
    outcome = CliRunner().invoke(lrrecsys, ["reproduce", "--profile", "smoke"])
    assert isinstance(outcome.exception, InputError) and str(outcome.exception) == sentence
    assert not (folder / "results").exists(), "nothing is written before it is refused"


def test_the_command_line_asks_for_all_and_the_manifest_names_their_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("lrrecsys_core.app.runner.run_notebooks", lambda *_, **__: asked.append(seeds()) or Path("x"))

    def seeds() -> list[int]:
        return list(manifest_of("demo", [], {})["seeds"])

    demo = get_profile("demo")
    assert len(demo.blocks) == 2
    for options, count in (([], len(demo.blocks[0])), (["--markets", "all"], demo.replicates)):
        assert CliRunner().invoke(lrrecsys, ["reproduce", *options]).exit_code == 0
        assert asked.pop() == list(demo.seeds[:count])


def test_every_table_says_how_many_markets_it_rests_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rest = "1 market per domain, of 3; `make reproduce MARKETS=all` runs the rest."
    frame = run().metrics()
    assert rest in table_notes(2, frame)[2] and "1 market per domain, of 3." in table_notes(rows.SENSITIVITY, frame)[2]
    monkeypatch.setenv(MARKETS_VARIABLE, "all")
    frame = run().metrics()
    assert "3 markets per domain." in table_notes(2, frame)[2]
    assert "1 market per domain, of 3." in table_notes(rows.SENSITIVITY, frame)[2], "all markets have no side rows"
    behind = frame.filter(pl.col("replicate") < 2).with_columns(dataset=pl.lit("movies"))
    told = table_notes(2, pl.concat([frame, behind]))[2]
    assert "2 to 3 markets per domain, of 3; `make reproduce MARKETS=all` runs the rest." in told
    assert "3 markets per domain." in table_notes(2, frame.drop("markets"))[2]


def test_the_costs_of_a_row_are_those_of_both_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    run()
    monkeypatch.setenv(MARKETS_VARIABLE, "all")
    frame = run().metrics()
    costs = dict(costs_table(frame).filter(dataset="hotels").select("row", "seconds").iter_rows())
    spent = frame.filter(row="SASRec").group_by("cell").agg(pl.col("seconds").first())["seconds"]
    assert len(spent) == 2 and costs["SASRec"] == pytest.approx(spent.sum())


def test_a_row_leads_to_the_keys_of_both_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    study = run()
    told = "\n".join(describe(study, rows.BIASES))
    assert "hotels, markets 0\n" in told and "markets 1-2" not in told
    monkeypatch.setenv(MARKETS_VARIABLE, "all")
    told = "\n".join(describe(study, rows.BIASES, again=True))
    hotels = told[told.index("hotels") : told.index("restaurants")]
    for block in (0, 1):
        assert f"key     {Cell(study, 'hotels', rows.BIASES, block).key}" in hotels
    assert "hotels, markets 1-2\n" in hotels and "not kept: run `make reproduce MARKETS=all`" in hotels
