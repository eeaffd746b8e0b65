"""What records of simulated markets tell about S*."""

from dataclasses import replace

import pytest

from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS, market_truth, simulate_market
from lrrecsys_core.errors import InputError
from lrrecsys_core.theory.markets import knowledge_repetition, market_attributes, market_support

SMALL = replace(DEFAULT_PARAMETERS["movies"], users=150, items=100, records_per_user=12)


def test_more_markets_tell_more_of_what_matters_and_less_of_what_does_not() -> None:
    rows = knowledge_repetition("movies", SMALL, (1, 8), seed=0, repetition=0)
    known = {(row["method"], row["environments"]): (row["known"], row["spurious"]) for row in rows}
    assert set(known) == {("EILLS", 1), ("EILLS", 8), ("pooled regression", 1), ("pooled regression", 8), ("Lasso", 1)}
    assert float(str(known["EILLS", 8][0])) >= 0.5 > float(str(known["EILLS", 1][0]))
    assert float(str(known["EILLS", 8][1])) <= float(str(known["pooled regression", 8][1]))


def test_names_are_those_of_the_selected_attributes() -> None:
    names = market_truth(simulate_market("movies", 7, SMALL)).attributes
    chosen = market_support("Lasso", "movies", [7], SMALL)
    assert market_attributes("Lasso", "movies", [7], SMALL) == tuple(names[k] for k in chosen)
    assert len(chosen)


def test_the_lasso_sees_one_market_only() -> None:
    with pytest.raises(InputError, match="one market"):
        market_support("Lasso", "movies", [7, 8], SMALL)
