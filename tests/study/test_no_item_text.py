"""On a table of users, items and ratings alone, rows that read item texts or an order are not run and say why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from lrrecsys_core import rows
from lrrecsys_core.app.one_row import describe
from lrrecsys_core.app.publish import collect_faults, parameter_parts
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.errors import InputError, NothingToRead
from lrrecsys_core.explain.import_table import import_table
from lrrecsys_core.explain.sources import Metadata
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.report.sizes import parts_table
from lrrecsys_core.report.tables import result_table
from lrrecsys_core.study.search import SearchStudy, search
from lrrecsys_core.study.study import Study, runnable

PROFILE = get_profile("smoke", replicates=1, epochs=1, patience=1, autoencoder_epochs=5, seeds_on_files=1)
NO_TEXT = "not run: no item text"
WITHOUT_TEXTS = {rows.BIASES, rows.GLOBAL_MEAN, rows.BIASED_MF, rows.NCF_WITHOUT, rows.ABLATION1, "AMCF", rows.BOOSTING}


IN_ORDER = {"SASRec", "DIN", "BERT4Rec", "UniSRec", "PARSRec"}


def study_of(folder: Path, column: str = "", values: str = "") -> Study:
    """48 records of 6 users and 8 items; where asked for, items have one more column."""
    more = [f",{column}" if column else "", f",{values}" if column else ""]
    lines = "".join(f"u{k % 6},i{k // 6},{1 + k % 5}{more[1].format(k // 6)}\n" for k in range(48))
    (folder / "bare.csv").write_text(f"user_id,item_id,rating{more[0]}\n{lines}")
    return Study(PROFILE, [f"table:{folder / 'bare.csv'}" + (f"?{column}={column}" if column else "")])


@pytest.mark.parametrize(
    ("column", "values", "read"),
    [("", "", False), ("name", "i{}", False), ("details", "", False), ("name", "Bar {}", True),
     ("details", "quiet; bar {}", True)],
)  # fmt: skip
def test_a_name_or_details_are_something_to_read(
    root: Path, tmp_path: Path, column: str, values: str, read: bool
) -> None:
    study = study_of(tmp_path, column, values)
    data = study.data("bare")[0]
    assert data.item_text == Metadata().available(data) == read
    at_hand = set(study.rows_of("bare"))
    assert at_hand >= WITHOUT_TEXTS | set(rows.BASELINES) - IN_ORDER, "what reads ids runs either way"
    assert not at_hand & IN_ORDER and {study.absence("bare", row) for row in IN_ORDER} == {"no order"}
    text_rows = {rows.LR, rows.ABLATION2, rows.NCF, rows.METADATA, rows.ASPECTS_ONLY, rows.at_fraction(rows.LR, 50)}
    assert at_hand & text_rows == (text_rows if read else set())
    assert {study.absence("bare", row) for row in text_rows} == {"" if read else "no item text"}
    assert not any(study.absence("bare", row) for row in WITHOUT_TEXTS)


def test_a_market_and_rows_without_texts_never_lack_item_text() -> None:
    assert not any(rows.absence(row, item_text=True) for row in rows.ROWS)
    reads = {row.name for row in rows.ROWS if rows.absence(row, item_text=False)}
    assert reads.isdisjoint(WITHOUT_TEXTS | set(rows.BASELINES) | {rows.at_fraction(rows.PETER, 100)})
    assert reads.isdisjoint(rows.OF_WRITER.values()), "they wait for texts of their LLM"
    assert {row.model.name for row in rows.ROWS if rows.absence(row, True, ordered=False) and row.model} == IN_ORDER
    # Rows that show another's numbers lack what that one lacks.
    assert reads >= {rows.LR, rows.at_fraction(rows.LR, 100), rows.PERMUTED, rows.shifted(rows.LR)}


def test_tables_say_why_and_nothing_stops_them(root: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path)
    study.run_rows(only={rows.LR, rows.BIASES, rows.GLOBAL_MEAN}, progress=False, jobs=1)
    metrics = study.metrics()
    assert set(metrics["row"]) == {rows.BIASES, rows.GLOBAL_MEAN}
    assert not metrics["item_text"].any()
    status = {}
    for table in range(2, 7):
        status |= dict(result_table(table, metrics).select("row", "status").iter_rows())
    assert status[rows.LR] == status[rows.IMPROVED] == status[rows.at_fraction(rows.LR, 100)] == NO_TEXT
    assert status[rows.at_fraction(rows.LR, 25)] == status[rows.GENERAL_ONLY] == status[rows.SHUFFLE_ALL] == NO_TEXT
    assert status[rows.BIASED_MF] == status[rows.ABLATION1] == status[rows.at_fraction(rows.PETER, 100)] == "not run"
    assert {status[row] for row in IN_ORDER} == {"not run: no order"}
    assert status[rows.BIASES] == "no published number"
    parts = parts_table(parameter_parts(study))
    silent = parts.filter(pl.col("status") == NO_TEXT)
    assert set(silent["part"]) == {"Fine-tuned AutoEncoder", "Word table"}
    assert silent["parameters"].null_count() == 2
    assert parts.filter(part="Product embedding table")["parameters"].item() == 8 * study.split("bare").n_items


def test_kept_results_that_do_not_tell_had_item_texts(root: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path)
    study.run_rows(only={rows.BIASES}, progress=False, jobs=1)
    table = result_table(2, study.metrics().drop("item_text"))
    assert table.filter(row=rows.LR)["status"].unique().to_list() == ["not run"]


def test_asking_for_the_texts_names_the_reason(root: Path, tmp_path: Path) -> None:
    study = study_of(tmp_path)
    for asked in (study.explanations, study.text_set):
        with pytest.raises(NothingToRead, match="bare: 'LR-Recsys .Ours.' is not run: no item text. Give `name`"):
            asked("bare")
    with pytest.raises(NothingToRead, match="no item text"):
        collect_faults(study)
    with pytest.raises(InputError, match="has no cell in run .*: no item text"):
        list(describe(study, rows.LR))
    assert not runnable(rows.METADATA, study.data("bare")[0])


def test_a_search_passes_over_rows_that_have_nothing_to_read(root: Path, tmp_path: Path) -> None:
    study_of(tmp_path)
    found = search(
        SearchStudy([f"table:{tmp_path / 'bare.csv'}"]), [rows.LR], into=tmp_path / "points.json", progress=False
    )
    assert found == {} and not (tmp_path / "points.json").exists()


def test_lr_recsys_is_searched_on_the_first_writers_texts_where_items_have_none(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = study_of(tmp_path).specs[0]
    users = pl.DataFrame({"user_id": [f"u{k}" for k in range(6)]}).with_columns(
        text=pl.format("I like quiet places for {} people.", "user_id")
    )
    users.write_parquet(tmp_path / "users.parquet")
    import_table(load_dataset(spec), tmp_path / "users.parquet", "Dora", "titles", tmp_path / "Dora")
    monkeypatch.setenv("LRRECSYS_STORES", f"Dora={tmp_path / 'Dora'}")
    tried = []

    def row_of(study: SearchStudy, row: str, numbers: Sequence[int]) -> pl.DataFrame:
        tried.append(row)
        every = [(k, "bare", 0, metric, 0.5) for k in numbers for metric in ("RMSE", "AUC")]
        return pl.DataFrame(every, schema=["point", "dataset", "replicate", "metric", "value"], orient="row")

    monkeypatch.setattr("lrrecsys_core.study.search.search_row", row_of)
    monkeypatch.setattr(SearchStudy, "text_set", lambda *_: None)
    told = search(SearchStudy([spec]), [rows.LR, rows.LETTER], into=tmp_path / "points.json", progress=False)
    assert tried == [f"{rows.WITH}Dora"] and set(told) == {rows.LR}
