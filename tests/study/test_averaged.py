"""A row that averages others predicts their mean, of the records that all of them have, and is judged by it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from lrrecsys_core import rows
from lrrecsys_core.row import Row
from lrrecsys_core.study.averaged import averaged_metrics, averaged_predictions
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.study import Study
from tests.study.test_doses import TINY

MEAN = Row("mean", (), "variant", averages=("a", "b"))
OURS = {"dataset": "d", "replicate": 0, "record": 0, "target": 0.0, "liked": False}


def predictions() -> pl.DataFrame:
    """Two rows on two records: ratings .2 and .8; the row b lacks the second replicate."""
    lines = [
        {**OURS, "row": row, "task": task, "replicate": k, "record": record, "target": target, "liked": target > 0.5,
         "prediction": value + 0.2 * record, "attention_user": 0.3}
        for row, value, replicates in (("a", 0.2, (0, 1)), ("b", 0.4, (0,)))
        for k in replicates
        for task in ("regression", "classification")
        for record, target in ((0, 0.2), (1, 0.8))
    ]  # fmt: skip
    return pl.DataFrame(lines)


def metrics() -> pl.DataFrame:
    lines = [
        {"dataset": "d", "row": row, "replicate": 0, "part": part, "metric": metric, "value": 9.0, "single": 9.0,
         "own_part": [own], "note": "", "tier": "adapted", "seconds": 2.0, "parameters_shared": 5,
         "parameters_entity": 7, "epochs": 4.0 * own, "explainer": told, "cell": row}
        for row, own, told in (("a", 1.0, ""), ("b", 0.5, "an LLM"))
        for part in ("test", "validation")
        for metric in ("RMSE", "MAE", "AUC")
    ]  # fmt: skip
    return pl.DataFrame(lines)


def test_the_mean_of_two_by_hand() -> None:
    """Means .3 and .5 where .2 and .8 are true: errors .1 and .3, RMSE the root of .05, MAE .2, order right."""
    found = averaged_predictions(MEAN, predictions())
    assert found.filter(task="regression")["prediction"].to_list() == pytest.approx([0.3, 0.5])
    assert found["replicate"].unique().to_list() == [0] and set(found["row"]) == {"mean"}
    assert "attention_user" not in found.columns
    told = averaged_metrics(MEAN, metrics(), found)
    values = dict(told.select("metric", "value").iter_rows())
    assert values == pytest.approx({"RMSE": 0.05**0.5, "MAE": 0.2, "AUC": 1.0})
    about = told.drop("metric", "value").unique()
    assert about.to_dicts() == [
        {"dataset": "d", "row": "mean", "replicate": 0, "part": "test", "single": None, "own_part": [1.0, 0.5],
         "note": "mean of a and b", "tier": "faithful", "seconds": 0.0, "parameters_shared": 10,
         "parameters_entity": 14, "epochs": 3.0, "explainer": "an LLM", "cell": "b"}
    ]  # fmt: skip


def test_one_alone_has_no_mean() -> None:
    alone = predictions().filter(pl.col("row") == "a")
    assert averaged_predictions(MEAN, alone).is_empty()


def test_the_late_ensemble_of_a_study_is_the_mean_of_its_two_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    study = Study(replace(TINY, replicates=1, epochs=1))
    assert rows.LATE_ENSEMBLE not in study.rows_of("hotels")
    Cell(study, "hotels", rows.ABLATION1).compute()
    assert rows.LATE_ENSEMBLE not in set(study.metrics([rows.RIVALS])["row"])  # one of two
    Cell(study, "hotels", rows.NO_IDS).compute()
    found = study.metrics([rows.RIVALS]).filter(row=rows.LATE_ENSEMBLE)
    assert found["metric"].sort().to_list() == ["AUC", "MAE", "RMSE"] and found["value"].is_finite().all()
    told = study.predictions([rows.ABLATION1, rows.NO_IDS, rows.LATE_ENSEMBLE]).filter(task="regression")
    wide = told.pivot("row", index="record", values="prediction")
    halves = (wide[rows.ABLATION1] + wide[rows.NO_IDS]) / 2
    assert wide[rows.LATE_ENSEMBLE].to_list() == pytest.approx(halves.to_list(), abs=1e-6)
    error = (halves - told.filter(row=rows.NO_IDS)["target"]).to_numpy()
    assert found.filter(metric="RMSE")["value"][0] == pytest.approx((error**2).mean() ** 0.5, abs=1e-6)
    # Of the two rows' table it is a line among others, in a table without it none.
    assert rows.LATE_ENSEMBLE not in set(study.metrics([6])["row"])
