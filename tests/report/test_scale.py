"""The smallest effect that matters: no verdict hangs on a last digit."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core.report.claims import CONTROL, _decide, claims_table, evidence_table
from lrrecsys_core.report.finding import Finding
from lrrecsys_core.report.scale import MARGIN, beyond
from lrrecsys_core.stats import paired_t
from tests.report.synthetic import study

KEYS = ["metric", "part", "replicate"]
JUDGED = (r.SHUFFLE_ALL, r.shifted(r.SPURIOUS))


def gaining(margins: float) -> pl.DataFrame:
    """A study whose judged controls gain so many margins over Ablation 1, give or take a hundredth of a margin."""
    metrics, _ = study({r.ABLATION1: 0.2, **dict.fromkeys(JUDGED, 0.2)})
    base = metrics.filter(row=r.ABLATION1).select(*KEYS, base="value")
    one = pl.col("metric").replace_strict({k: (-1 if m.LOWER_IS_BETTER[k] else 1) * MARGIN[k] for k in m.METRICS})
    gained = pl.col("base") + one * (margins + (pl.col("replicate") % 2 - 0.5) / 50)
    joined = metrics.join(base, on=KEYS, how="left", maintain_order="left")
    value = pl.when(pl.col("row").is_in(JUDGED)).then(gained).otherwise("value")
    return joined.with_columns(value=value).drop("base")


def verdicts_of(metrics: pl.DataFrame) -> list[str]:
    """Verdicts of the controls that can fail, and of the contrast of claim C13 that asks the same."""
    found = evidence_table(metrics)
    control = (pl.col("claim") == CONTROL) & pl.col("contrast").is_in([f"{row} vs {r.ABLATION1}" for row in JUDGED])
    judged = found.filter(control | pl.col("contrast").str.ends_with("no gain left"))
    assert judged.height == 9 and judged["low"].is_not_null().all()
    return judged["verdict"].to_list()


@pytest.mark.parametrize(
    ("margins", "expected"), [(0.1, {"as it should be", "supported"}), (2.0, {"NOT as it should be", "not supported"})]
)
def test_controls_say_the_same_when_every_value_moves_in_the_fourth_digit(margins: float, expected: set[str]) -> None:
    metrics = gaining(margins)
    # The interval lies beside 0 in both cases, so that 0 itself would be no safe limit.
    assert (evidence_table(metrics).filter(claim=CONTROL)["low"].drop_nulls() > 0).sum() == 6
    first = verdicts_of(metrics)
    assert set(first) == expected
    for seed in range(20):
        moved = 1 + np.random.default_rng(seed).uniform(-1e-4, 1e-4, metrics.height)
        assert verdicts_of(metrics.with_columns(value=pl.col("value") * moved)) == first


def test_a_loss_is_printed_and_fails_no_control() -> None:
    table = claims_table(evidence_table(gaining(-3.0))).filter(pl.col("high") < 0)
    assert table.height == 6 and set(table["verdict"]) == {"as it should be"}


def test_beyond_asks_for_the_whole_interval() -> None:
    wide = paired_t([0.0, 0.002, 0.004])
    assert wide.effect > MARGIN["RMSE"] > wide.low and not beyond("RMSE", wide)
    assert beyond("RMSE", paired_t([0.0009, 0.001, 0.0011])) and not beyond("AUC", paired_t([0.0009, 0.001, 0.0011]))
    assert not beyond("RMSE", paired_t([1.0]))


@pytest.mark.parametrize(
    ("p", "verdict"), [(0.0494, "supported"), (0.0496, "not supported"), (0.04999, "not supported")]
)
def test_a_verdict_is_read_off_the_printed_p_value(p: float, verdict: str) -> None:
    line: dict[str, object] = {"_finding": Finding("RMSE", "a vs b", "RMSE", paired_t([1, 2]), p=p), "_enough": True}
    _decide([line])
    assert line["verdict"] == verdict
