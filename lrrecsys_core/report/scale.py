"""How large is large: the smallest effect that matters, and what could have been gained at most."""

from __future__ import annotations

from typing import Final

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.stats import Estimate

# Effects nobody would act on, each in the figure's own unit: .002 stars of five in RMSE and MAE, one pair in 500 in
# AUC, a tenth of a percentage point of attention. The paper's own replicates differ by more, or as much: the median of
# its standard deviations is .0011, .0009 and .0018. Added after the first results, when a control was seen to change
# its verdict with the processor: between rows alike to the fourth digit, an interval lies beside 0 by chance of
# rounding.
MARGIN: Final = {"RMSE": 0.0005, "MAE": 0.0005, "AUC": 0.002, "attention": 0.001}
VIEW: Final = 0.1  # of a margin: no figure shows less of an axis than that
MARGIN_PERCENT: Final = 1.0  # of the reference's metric: rows nearer to each other than this count as equivalent


def beyond(metric: str, estimate: Estimate) -> bool:
    """Whether an effect is surely larger than the smallest that matters: its interval lies above the margin."""
    return bool(estimate.low > MARGIN[metric])


def of_ceiling(evidence: Evidence, metric: str, gain: float, *rows: str) -> float | None:
    """A gain in percent of what a predictor that knows the true tastes gains over the user and item biases.

    Parameters
    ----------
    evidence, metric
    gain : in the metric's unit
    rows : the ceiling is that of the markets that these rows have too

    Returns
    -------
    float or None
        None where the ceiling is unknown, as on real data, or too near the biases to be a measure.
    """
    tastes, biases, *_ = evidence.paired(metric, r.CEILING, r.BIASES, *rows)
    most = float(m.gain(metric, tastes, biases).mean()) if tastes.size else 0.0
    return 100.0 * gain / most if most > MARGIN[metric] else None


def row_of_ceiling(evidence: Evidence, metric: str, row: str) -> float | None:
    """The same for what a row gains over the biases, on the markets where all three have values."""
    ours, biases, _ = evidence.paired(metric, row, r.BIASES, r.CEILING)
    return of_ceiling(evidence, metric, float(m.gain(metric, ours, biases).mean()), row) if ours.size else None
