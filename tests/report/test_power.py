"""Nulls without power, the control of a reasoner that knows nothing, losses of controls, and the table of power."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import rows as r
from lrrecsys_core.app import power
from lrrecsys_core.metrics import METRICS
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.report.claim_report import headlines
from lrrecsys_core.report.claims import CONTROL, claims_table, evidence_table
from lrrecsys_core.stats import POWER, paired_t
from tests.report.synthetic import study

WAVE = np.linspace(-1.0, 1.0, 10)
WAVE = WAVE / WAVE.std(ddof=1)  # ten markets, mean 0, standard deviation 1


def with_errors(errors: dict[str, np.ndarray | float]) -> pl.DataFrame:
    """Metrics of ten markets whose test RMSE are these, .2 for every other row given to the study."""
    metrics = study(dict.fromkeys(errors, 0.1), users=20)[0]
    table = {row: np.broadcast_to(values, 10) for row, values in errors.items()}
    wanted = (pl.col("metric") == "RMSE") & (pl.col("part") == "test")
    values = [float(table[row][k]) for row, k in metrics.select("row", "replicate").iter_rows()]
    return metrics.with_columns(value=pl.when(wanted).then(pl.Series(values)).otherwise(pl.col("value")))


def judged(errors: dict[str, np.ndarray | float], claim: str, contrast: str) -> dict[str, object]:
    found = evidence_table(with_errors(errors)).filter(
        pl.col("claim") == claim, pl.col("metric") == "RMSE", pl.col("contrast").str.starts_with(contrast)
    )
    (line,) = found.to_dicts()
    return line


@pytest.mark.parametrize(
    ("gain", "spread", "verdict"),
    [
        (0.0, 0.02, "not tested"),  # could have found .017, and the match brings .010
        (0.0, 0.002, "not supported"),  # could have found .0017
        (-0.05, 0.02, "not supported"),  # surely a loss, however wide
        (0.02, 0.002, "supported"),
    ],
)
def test_a_null_is_tested_only_with_power_for_what_the_match_brings(gain: float, spread: float, verdict: str) -> None:
    errors = {r.LR: 0.2 - gain + spread * WAVE, r.ABLATION2: 0.2, r.MATCH: 0.19, r.BIASES: 0.2}
    line = judged(errors, "C14", f"{r.LR} vs")
    assert line["verdict"] == verdict
    assert ("no power" in str(line["note"])) == (verdict == "not tested")


def test_a_network_that_learns_nothing_does_not_excuse_itself() -> None:
    dial = dict.fromkeys(r.DIAL.values(), 0.2 + 0.0005 * WAVE)
    line = judged({**dial, r.MATCH: 0.19, r.BIASES: 0.2, r.ABLATION1: 0.2}, "C4", "100% minus 0%")
    assert line["verdict"] == "not supported"
    noisy = {name: 0.2 + 0.03 * np.roll(WAVE, k) for k, name in enumerate(r.DIAL.values())}
    assert judged({**noisy, r.MATCH: 0.19, r.BIASES: 0.2}, "C4", "100% minus 0%")["verdict"] == "not tested"


@pytest.mark.parametrize(("factor", "verdict"), [(1.02, "fail"), (1.005, "pass")])
def test_a_reasoner_that_knows_nothing_is_level_with_free_vectors(factor: float, verdict: str) -> None:
    errors = {r.DIAL[0]: factor * 0.2 + 1e-5 * WAVE, r.ABLATION1: 0.2}
    assert judged(errors, CONTROL, f"{r.DIAL[0]} vs")["verdict"] == verdict
    told = " ".join(headlines(claims_table(evidence_table(with_errors(errors)))))
    assert ("gain −2.00% [" in told) == (factor == 1.02)


def test_a_loss_of_shuffled_texts_holds_the_control_and_is_told_first() -> None:
    errors = {r.SHUFFLE_ALL: 0.21 + 1e-4 * WAVE, r.ABLATION1: 0.2}
    assert judged(errors, CONTROL, f"{r.SHUFFLE_ALL} vs")["verdict"] == "pass"
    told = headlines(claims_table(evidence_table(with_errors(errors))))
    assert any("a loss, so the control passes" in line and r.SHUFFLE_ALL in line for line in told)


@pytest.mark.parametrize("markets", [4, 10])
def test_the_smallest_effect_is_found_as_often_as_said(markets: int) -> None:
    shape = np.linspace(-1.0, 1.0, markets)
    differences = 0.3 * shape / shape.std(ddof=1)
    smallest = paired_t(differences).smallest()
    assert power.chance(smallest, 0.3, markets) == pytest.approx(POWER, abs=1e-6)
    assert power.chance(smallest, 0.3, markets, 0.05 / 9) < POWER


def test_power_is_measured_market_by_market(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {r.MATCH: 0.19 + 0.004 * WAVE, r.BIASES: 0.2}

    class Known:
        datasets = ("hotels",)

        def __init__(self, profile: object) -> None:
            assert (profile.first_seed, profile.replicates, profile.blocks) == (10, 10, (range(10),))

        def run_rows(self, only: set[str]) -> None:
            assert only == set(errors)

        def metrics(self) -> pl.DataFrame:
            return with_errors(errors)

    monkeypatch.setattr(power, "Study", Known)
    found = power.measured("demo", 10, [(r.MATCH, r.BIASES)])
    assert found["metric"].unique().len() == len(METRICS)
    assert sorted(set(found["markets"])) == [get_profile("demo").first_markets, 10]
    line = found.filter(metric="RMSE", markets=10).to_dicts()[0]
    assert (line["effect"], line["sd"]) == (pytest.approx(0.01), pytest.approx(0.004))
    assert line["power"] > line["corrected"] > 0.9
