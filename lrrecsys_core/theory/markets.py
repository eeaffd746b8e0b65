"""Simulated markets as environments: what can be known of S* from records alone, before any recommender is trained."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from lrrecsys_core.data.simulate import (
    DEFAULT_PARAMETERS,
    MarketParameters,
    market_truth,
    record_attributes,
    simulate_market,
)
from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.theory.eills import Array, Index
from lrrecsys_core.theory.repetitions import Row
from lrrecsys_core.theory.selection import eills_support, lasso_support, pooled_support

METHODS = ("EILLS", "pooled regression", "Lasso")
# Far from the seeds on which market parameters were settled and from those of reported markets.
FIRST_SEED = 10_000
# Ratings of an item share its appeal, so J is as noisy as some hundred items make it; settled on seeds 0-15 (hotels)
# and 0-7 (the others).
GAMMA = 0.5


@lru_cache(maxsize=64)
def environment(domain: str, seed: int, parameters: MarketParameters) -> tuple[Array, Array]:
    """Training records of one market: attribute of the candidate by its share in the history (n, K), rating (n,)."""
    market = simulate_market(domain, seed, parameters)
    split = make_split(market)
    regressors = record_attributes(split, market_truth(market).attributes)
    return regressors[split.train], split.target[split.train].astype(float)


def market_support(method: str, domain: str, seeds: Sequence[int], parameters: MarketParameters | None = None) -> Index:
    """Attributes, by number, that `method` holds for causes of ratings, from the markets with these `seeds`.

    Parameters
    ----------
    method : one of `METHODS`. EILLS and pooled regression are told that ratings of one item are not independent; the
        Lasso, which takes a single market, is run as it usually is.

    Raises
    ------
    InputError
        Unknown method, or several markets for the Lasso.
    """
    chosen = parameters or DEFAULT_PARAMETERS[domain]
    data = [environment(domain, seed, chosen) for seed in seeds]
    X, y = [x for x, _ in data], [t for _, t in data]
    if method == "EILLS":
        return eills_support(X, y, gamma=GAMMA, independent=chosen.items * len(seeds))
    if method == "pooled regression":
        return pooled_support(X, y, independent=chosen.items * len(seeds))
    if method != "Lasso" or len(seeds) > 1:
        raise InputError(
            f"{method!r} on {len(seeds)} markets: choose among {', '.join(METHODS)}, the Lasso on one market"
        )
    return lasso_support(X[0], y[0])


def market_attributes(
    method: str, domain: str, seeds: Sequence[int], parameters: MarketParameters | None = None
) -> tuple[str, ...]:
    """`market_support` by name: exactly what a simulated reasoner is to know."""
    names = market_truth(simulate_market(domain, seeds[0], parameters)).attributes
    return tuple(names[k] for k in market_support(method, domain, seeds, parameters))


def knowledge_repetition(
    domain: str, parameters: MarketParameters, counts: tuple[int, ...], seed: int, repetition: int
) -> list[Row]:
    """What each method knows from 1, 2, ... fresh markets: share of S*, and how many spurious and idle attributes."""
    first = FIRST_SEED + 1000 * seed + repetition * max(counts)
    truth = market_truth(simulate_market(domain, first, parameters))
    important = np.array([name in truth.important for name in truth.attributes])
    spurious = np.array([name in truth.spurious for name in truth.attributes])
    rows: list[Row] = []
    for count in counts:
        for method in METHODS if count == 1 else METHODS[:2]:
            support = market_support(method, domain, range(first, first + count), parameters)
            about: Row = {"domain": domain, "environments": count, "method": method, "repetition": repetition}
            about |= {"known": float(important[support].sum() / important.sum())}
            about |= {"spurious": float(spurious[support].sum())}
            rows.append(about | {"idle": float((~important & ~spurious)[support].sum())})
    return rows
