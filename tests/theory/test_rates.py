"""The formulas of Section 4 at hand-worked points."""

import numpy as np
import pytest

from lrrecsys_core.theory import rates


def test_rates_at_round_numbers() -> None:
    assert rates.oracle_rate(1000, 10) == pytest.approx(0.1)
    assert rates.lasso_rate(100, 4, np.e**4) == pytest.approx(0.4)
    assert rates.sharp_lasso_rate(100, 4, 4 * np.e) == pytest.approx(0.2)
    assert rates.theory_lambda(200, np.e**4, 3.0) == pytest.approx(0.6)
    assert rates.lasso_oracle_law(np.e**4) == pytest.approx(3.0)


def test_nonparametric_rate_matches_the_arithmetic_of_the_paper() -> None:
    # n = 10,000: squared-error rates for 2, 5, 10, 20 and 100 inputs.
    values = rates.nonparametric_rate(10_000, [2, 5, 10, 20, 100])
    assert np.round(values, 3).tolist() == [0.01, 0.072, 0.215, 0.433, 0.835]
