from __future__ import annotations

from copy import copy
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import rows
from lrrecsys_core.app.cases import lay_open, telling_records
from lrrecsys_core.app.publish import keep_toy, parameter_parts, publish_data, toy_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study.study import Study


@pytest.fixture(scope="module")
def study() -> Study:
    tiny = get_profile("smoke", users=40, items=30, records_per_user=8, replicates=1, autoencoder_epochs=30)
    return Study(tiny)


def test_the_toy_history_is_that_of_figure_2(root: Path) -> None:
    programme, model = keep_toy("smoke").iter_rows(named=True)
    for told in (programme, model):
        assert told["history"].split(", ") == ["apple", "orange", "pear", "watermelon"]
        assert told["candidate"] == "orange juice" and told["positive"] and told["negative"]
    assert "no LLM" in programme["writer"] and "SmolLM2" in model["writer"]
    assert "citrus" in programme["positive"] and "whole fruit" in programme["negative"]
    assert not any(word in programme["positive"] + programme["negative"] for word in ("carton", "logo"))
    assert toy_split().history_mask[4].sum() == 4


def test_the_data_table_counts_records_and_adds_up(root: Path, study: Study) -> None:
    table = publish_data(study)
    assert table["data set"].to_list() == list(study.datasets)
    assert (table["records"] == [study.data(name)[0].interactions.height for name in study.datasets]).all()
    total = table["train"] + table["validation"] + table["test"]
    np.testing.assert_allclose(total, 1.0)
    assert "SIMULATED" in (root / "paper_tables" / study.run / "data.md").read_text()


def test_data_without_time_say_so_and_have_no_tied_cuts(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "shop.csv"
    table.write_text("user_id,item_id,rating\n" + "\n".join(f"u{k % 5},i{k % 8},{1 + k % 5}" for k in range(40)) + "\n")
    publish_data(Study(get_profile("smoke"), [f"table:{table}"]))
    told = (root / "paper_tables" / "smoke-shop" / "data.md").read_text()
    assert "without timestamps: shop." in told and "| tied cuts | no time |" in told
    assert "| validation by random users | no |" in told


def test_the_parts_of_table_1_add_up_to_the_quoted_weights(root: Path, study: Study) -> None:
    parts = parameter_parts(study)
    for name, tokens in (("hotels", 4_457), ("restaurants", 3_945)):
        count = dict(parts.filter(pl.col("dataset") == name).select("part", "parameters").iter_rows())
        assert count["Fine-tuned AutoEncoder"] == 52_224
        network = ["Self-attention and GRU layer", "Self-attention layer", "Multi-layer perceptron layers (MLPs)"]
        assert sum(count[part] for part in network) == tokens
        assert count["Word table"] % 8 == 0
        assert (count["Context layers"] > 0) == (name == "hotels")
        assert count["Consumer embedding table"] == 8 * study.split(name).n_users


def results(study: Study, ours: list[float], baseline: list[float], peter: list[float] | None = None) -> Study:
    """A study whose rows predict the first three test records of the hotels as given."""
    split = study.split("hotels")
    at = split.test[:3]
    common = {"dataset": "hotels", "replicate": 0}
    records = {"record": split.record[at], "rating": split.rating[at], "target": [0.0, 0.0, 1.0]}
    lines = [
        pl.DataFrame(records | {"prediction": values}).with_columns(
            row=pl.lit(row), task=pl.lit("regression"), **{key: pl.lit(value) for key, value in common.items()}
        )
        for row, values in ((rows.LR, ours), ("DIN", baseline), (rows.PETER, peter))
        if values is not None
    ]
    shares = pl.lit(0.3).alias("attention_positive"), pl.lit(0.2).alias("attention_negative")
    lines[0] = lines[0].with_columns(*shares)
    predictions = pl.concat(lines, how="diagonal")
    parts = {"part": ["validation", "test"], "value": [0.2, 0.2]}
    metrics = pl.DataFrame(parts).with_columns(row=pl.lit("DIN"), metric=pl.lit("RMSE"), simulated=pl.lit(True))
    given = copy(study)
    given.metrics = lambda: metrics.with_columns(**{key: pl.lit(value) for key, value in common.items()})  # type: ignore[method-assign]
    given.predictions = lambda rows, datasets: predictions  # type: ignore[assignment, misc]
    return given


def test_the_cases_are_the_largest_gain_and_the_largest_loss(root: Path, study: Study) -> None:
    given = results(study, ours=[0.0, 0.5, 0.5], baseline=[1.0, 0.5, 1.0])
    found = telling_records(given, "hotels")
    split = study.split("hotels")
    assert found["record"].to_list() == [split.record[split.test[0]], split.record[split.test[2]]]
    assert found["ours"].to_list() == [1.0, 3.0]
    assert found["baseline"].to_list() == [5.0, 5.0]
    told = dict(lay_open(given, "hotels", found.row(1, named=True)).iter_rows())
    assert told["predicted by DIN"] == "5.00" and "predicted by PETER" not in told
    assert told["attention on positive"] == "0.30"
    assert told["positive explanation"] == study.explanations("hotels").texts("positive")[split.test[2]]
    last = split.history_position[split.test[2], -1]
    assert told["history, oldest first"].endswith(split.dataset.items["name"][int(last)])


def test_the_cases_show_peter_beside_ours(root: Path, study: Study) -> None:
    given = results(study, ours=[0.0, 0.5, 0.5], baseline=[1.0, 0.5, 1.0], peter=[0.25, 0.5, 0.75])
    found = telling_records(given, "hotels")
    assert found[rows.PETER].to_list() == [2.0, 4.0]
    assert dict(lay_open(given, "hotels", found.row(0, named=True)).iter_rows())["predicted by PETER"] == "2.00"


def test_no_baseline_no_case(root: Path, study: Study) -> None:
    given = results(study, ours=[0.0] * 3, baseline=[0.0] * 3)
    given.metrics = lambda: pl.DataFrame(
        schema={
            "dataset": str,
            "row": str,
            "metric": str,
            "part": str,
            "replicate": int,
            "value": float,
            "simulated": bool,
        }
    )
    with pytest.raises(InputError, match="no baseline has been run on hotels"):
        telling_records(given, "hotels")
    assert np.isfinite(study.split("hotels").rating).all()
