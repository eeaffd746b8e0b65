"""How large is large: no verdict hangs on a last digit, and gains are shares of what could be gained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core.report.claim_report import write_claims
from lrrecsys_core.report.claims import CONTROL, _decide, claims_table, evidence_table
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.finding import Finding
from lrrecsys_core.report.scale import MARGIN, beyond
from lrrecsys_core.report.tables import grids, result_table
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


@pytest.mark.parametrize(("margins", "expected"), [(0.1, {"pass", "supported"}), (2.0, {"fail", "not supported"})])
def test_controls_say_the_same_when_every_value_moves_in_the_fourth_digit(margins: float, expected: set[str]) -> None:
    metrics = gaining(margins)
    # The interval lies beside 0 in both cases, so that 0 itself would be no safe limit.
    assert (evidence_table(metrics).filter(claim=CONTROL)["low"].drop_nulls() > 0).sum() == 6
    first = verdicts_of(metrics)
    assert set(first) == expected
    for seed in range(10):
        moved = 1 + np.random.default_rng(seed).uniform(-1e-4, 1e-4, metrics.height)
        assert verdicts_of(metrics.with_columns(value=pl.col("value") * moved)) == first


def test_a_loss_is_printed_and_fails_no_control() -> None:
    table = claims_table(evidence_table(gaining(-3.0))).filter(pl.col("high") < 0)
    assert table.height == 6 and set(table["verdict"]) == {"pass"}


def test_beyond_asks_for_the_whole_interval() -> None:
    wide = paired_t([0.0, 0.002, 0.004])
    assert wide.effect > MARGIN["RMSE"] > wide.low and not beyond("RMSE", wide)
    assert beyond("RMSE", paired_t([0.0009, 0.001, 0.0011])) and not beyond("AUC", paired_t([0.0009, 0.001, 0.0011]))
    assert not beyond("RMSE", paired_t([1.0]))


@pytest.mark.parametrize(
    ("p", "verdict"), [(0.0494, "supported"), (0.0496, "not supported"), (0.04999, "not supported")]
)
def test_a_verdict_is_read_off_the_printed_p_value(p: float, verdict: str) -> None:
    found = Finding("RMSE", "a vs b", "RMSE", paired_t([1, 2]), p=p)
    real = Evidence("yelp", study({r.LR: 0.1}, users=5, simulated=False)[0])
    line: dict[str, object] = {"claim": "C1", "_finding": found, "_enough": True, "_source": real}
    _decide([line])
    assert line["verdict"] == verdict


def by_hand(values: dict[str, dict[str, list[float]]]) -> pl.DataFrame:
    """Metrics of ten markets: of each row and metric one value, or two in turn."""
    metrics, _ = study(dict.fromkeys(values, 0.2), users=5)
    given = {(row, metric): told for row, figures in values.items() for metric, told in figures.items()}
    kept = [line for line in metrics.to_dicts() if (line["row"], line["metric"]) in given]
    for line in kept:
        told = given[line["row"], line["metric"]]
        line["value"] = told[line["replicate"] % len(told)]
    return pl.DataFrame(kept, schema=metrics.schema)


VALUES = {
    r.BIASES: {"RMSE": [0.30, 0.32], "AUC": [0.60]},
    r.CEILING: {"RMSE": [0.20, 0.22], "AUC": [0.80]},
    r.LR: {"RMSE": [0.28, 0.27], "AUC": [0.65]},
    r.ABLATION1: {"RMSE": [0.31], "AUC": [0.60]},
}


def test_an_effect_as_a_share_of_the_ceiling_by_hand() -> None:
    found = evidence_table(by_hand(VALUES)).filter(pl.col("contrast") == f"{r.LR} vs {r.ABLATION1}", claim="C13")
    shares = dict(found.select("metric", "of_ceiling").iter_rows())
    # (.31 - .275) / .1 in RMSE, .05 / .2 in AUC; MAE was not run.
    assert (shares["RMSE"], shares["AUC"]) == pytest.approx((35.0, 25.0)) and shares["MAE"] is None


def test_no_ceiling_no_share() -> None:
    real = by_hand({k: v for k, v in VALUES.items() if k != r.CEILING})
    assert evidence_table(real)["of_ceiling"].is_null().all()
    assert result_table(2, real)["of_ceiling"].is_null().all()
    captions = [grid.caption for grid in grids(result_table(2, real))]
    assert captions == ["This run", "Published by the paper, on real data of its own"]
    # Tastes that gain next to nothing, as on a null market, are no measure of anything.
    flat = VALUES | {r.CEILING: {"RMSE": [0.2996, 0.3196], "AUC": [0.60]}}
    assert evidence_table(by_hand(flat))["of_ceiling"].is_null().all()


def test_rows_of_a_table_as_shares_of_the_ceiling_by_hand() -> None:
    metrics = by_hand(VALUES)
    # A row with one replicate is measured on that market: (.30 - .28) / .1.
    metrics = metrics.filter((pl.col("row") != r.LR) | (pl.col("replicate") == 0) | (pl.col("metric") == "AUC"))
    table = result_table(2, metrics)
    ours = dict(table.filter(row=r.LR).select("metric", "of_ceiling").iter_rows())
    assert (ours["RMSE"], ours["AUC"]) == pytest.approx((20.0, 25.0)) and ours["MAE"] is None
    assert table.filter(row=r.BIASES, metric="RMSE")["of_ceiling"].item() == 0.0
    assert table.filter(row=r.IMPROVED)["of_ceiling"].is_null().all()
    shares, six = (
        next(grid for grid in grids(found) if grid.caption.startswith("Gain over the user and item biases"))
        for found in (table, result_table(6, metrics))
    )
    assert shares.header[1:] == ["RMSE", "AUC"] and shares.groups[1] == ("Hotels", 2)
    assert shares.body[0] == [r.LR, "20.0", "25.0"]
    assert [row[0] for row in six.body] == [r.LR, r.ABLATION1, r.CEILING]
    assert six.body[1:] == [[r.ABLATION1, "0.0", "0.0"], [r.CEILING, "100.0", "100.0"]]


def test_shares_of_the_ceiling_are_printed_beside_the_effects(root: Path) -> None:
    metrics = by_hand(VALUES | {r.ABLATION2: {"RMSE": [0.31]}})
    write_claims("smoke", evidence_table(metrics), metrics)
    lines = (root / "paper_tables" / "smoke" / "claims.md").read_text().splitlines()
    effects = {line.split(" | ")[1]: line.split(" | ")[4] for line in lines if line.startswith("| C14 | Hotels")}
    shown = {where: "35.0% of ceiling" in effect for where, effect in effects.items() if "<br>" in where}
    assert shown == {f"Hotels<br>{k}; simulated": k == "RMSE" for k in ("RMSE", "MAE", "AUC")}
