"""How large is large: the smallest effect that matters, and what could have been gained at most."""

from __future__ import annotations

from typing import Final

from lrrecsys_core.stats import Estimate

# Effects nobody would act on, each in the figure's own unit: .002 stars of five in RMSE and MAE, one pair in 500 in
# AUC, a tenth of a percentage point of attention. The paper's own replicates differ by more, or as much: the median of
# its standard deviations is .0011, .0009 and .0018. Added after the first results, when a control was seen to change
# its verdict with the processor: between rows alike to the fourth digit, an interval lies beside 0 by chance of
# rounding.
MARGIN: Final = {"RMSE": 0.0005, "MAE": 0.0005, "AUC": 0.002, "attention": 0.001}


def beyond(metric: str, estimate: Estimate) -> bool:
    """Whether an effect is surely larger than the smallest that matters: its interval lies above the margin."""
    return bool(estimate.low > MARGIN[metric])
