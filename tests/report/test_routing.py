"""Routing saves where the gain sits in the records that come first, and nothing by asking more."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import rows as r
from lrrecsys_core.report.evidence import Evidence, sources
from lrrecsys_core.report.routing import DISAGREEMENT, FEWEST, RANDOM, SHARES, collect_routing, routing
from tests.report.synthetic import study

COUNTS = ("user_count", "item_count")


def test_four_records_by_hand() -> None:
    """Without explanations all err by .4, with them the two cold ones by 0: at half, sqrt(.08) beside sqrt(.12)."""
    common = {"dataset": "hotels", "replicate": 0, "task": "regression", "target": 0.0, "liked": 0.0, "rating": 1.0}
    answers = {r.ABLATION1: [0.4] * 4, r.LR: [0.4, 0.0, 0.4, 0.0]}
    predictions = pl.concat(
        pl.DataFrame({"record": range(4), "user": range(4), "item": range(4), "prediction": told})
        .with_columns(pl.lit(value).alias(name) for name, value in common.items())
        .with_columns(row=pl.lit(row), user_count=pl.Series([9, 0, 9, 1]), item_count=pl.Series([9, 1, 9, 0]))
        for row, told in answers.items()
    )
    metrics, _ = study({r.LR: 0.1}, replicates=1, users=2)
    frame = collect_routing([Evidence("hotels", metrics, predictions)])
    at = {(line["order"], line["share"]): line for line in frame.to_dicts()}
    assert at[FEWEST, 50]["rmse"] == pytest.approx(0.08**0.5) and at[RANDOM, 50]["rmse"] == pytest.approx(0.12**0.5)
    assert at[FEWEST, 50]["effect"] == pytest.approx(0.12**0.5 - 0.08**0.5)
    assert [at[FEWEST, share]["rmse"] for share in (0, 100)] == pytest.approx([0.4, 0.08**0.5])
    assert {order for order, _ in at} == {FEWEST, RANDOM}  # nobody else was run who could disagree


@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.parametrize("cold_gain", [True, False])
def test_an_order_saves_if_the_gain_is_where_it_asks_first(simulated: bool, cold_gain: bool) -> None:
    noise = {r.LR: 0.1, r.ABLATION1: 0.1, "DIN": 0.1, "SASRec": 0.1}
    metrics, predictions = study(noise, simulated=simulated, replicates=6, users=80)
    cold = pl.sum_horizontal(1 / (1 + pl.col(name)) for name in COUNTS) > 0.08
    knows = (pl.col("row") == r.LR) & (cold if cold_gain else ~cold)
    told = predictions.with_columns(prediction=pl.when(knows).then("target").otherwise(0.5))
    frame = collect_routing(sources(metrics, told))
    assert frame.height == 3 * len(SHARES) and frame["rmse"].null_count() == 0
    few = frame.filter(order=FEWEST).sort("share")
    inside = few.filter(pl.col("share").is_between(20, 80))
    assert ((inside["low"] > 0) if cold_gain else (inside["high"] < 0)).all()
    # All orders start without explanations and end with all of them.
    ends = (
        frame.filter(pl.col("share").is_in([0, 100])).group_by("share").agg(pl.col("rmse").max() - pl.col("rmse").min())
    )
    assert np.allclose(ends["rmse"], 0) and few["effect"][0] is few["effect"][-1] is None
    assert frame.filter(order=RANDOM)["effect"].null_count() == len(SHARES)
    figure = routing(pl.read_csv(frame.write_csv().encode()))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [FEWEST, DISAGREEMENT, RANDOM] and len(figure.axes) == 2


def test_ties_are_broken_by_no_property_of_the_records() -> None:
    """Of equally active records whose first half gains, half of those asked about must gain."""
    metrics, predictions = study({r.LR: 0.1, r.ABLATION1: 0.1}, replicates=1, users=400)
    first = pl.col("record") < predictions["record"].max() / 2  # type: ignore[operator]
    told = predictions.with_columns(
        prediction=pl.when((pl.col("row") == r.LR) & first).then("target").otherwise(0.5), user_count=3, item_count=3
    )
    frame = collect_routing(sources(metrics, told)).filter(order=FEWEST)
    assert frame["effect"].drop_nulls().abs().max() < 0.01  # type: ignore[operator]
