"""The bridge from theory to the system: slopes by hand, and silence where rows are missing."""

from __future__ import annotations

import polars as pl
import pytest

from lrrecsys_core import rows as r
from lrrecsys_core.report.bridge import bridge, collect_bridge, trends


def frame(gain: float, markets: int = 4) -> pl.DataFrame:
    """Ablation 1 at RMSE 0.2; EILLS rows better by `gain` percent per doubling, pooled rows level."""
    found = []
    for k in range(markets):
        found.append(("hotels", r.ABLATION1, k, 0.2))
        for doubling, count in enumerate(r.ENVIRONMENTS):
            better = (gain + 0.01 * k) * doubling
            found.append(("hotels", r.FROM_EILLS[count], k, 0.2 * (1 - better / 100)))
            found.append(("hotels", r.FROM_POOLED[count], k, 0.2))
    base = pl.DataFrame(found, schema=["dataset", "row", "replicate", "value"], orient="row")
    return base.with_columns(metric=pl.lit("RMSE"), part=pl.lit("test"), simulated=pl.lit(True))


def test_slope_per_doubling_by_hand() -> None:
    found = trends(frame(1.0)).filter(method="EILLS")
    assert found["environment"].to_list() == ["own"]
    assert found["effect"].item() == pytest.approx(1.015)
    assert found["p"].item() < 0.001 and found["markets"].item() == 4
    level = trends(frame(1.0)).filter(method="pooled regression")
    assert level["effect"].item() == pytest.approx(0.0, abs=1e-9)


def test_a_falling_trend_is_not_significant() -> None:
    assert trends(frame(-1.0)).filter(method="EILLS")["p"].item() > 0.99


def test_missing_rows_are_left_out() -> None:
    few = frame(1.0).filter(pl.col("row") != r.FROM_EILLS[4])
    assert set(trends(few)["method"]) == {"pooled regression"}
    assert bridge(collect_bridge(few.filter(row="nothing"))) is not None
    assert trends(few.with_columns(simulated=pl.lit(False))).height == 0
