"""Residual user and item biases, the same under every model (baseline protocol, rule P2).

Y. Koren, R. Bell, C. Volinsky. Matrix Factorization Techniques for Recommender Systems. IEEE Computer 42(8), 2009,
30-37, call them baseline predictors. With mu the logit of the mean training rating on [0, 1]::

    s = mu + b_u + b_i   minimises   sum (sigmoid(s) - y)^2 + v^2 (prior_user sum_u b_u^2 + prior_item sum_i b_i^2)

over the training records. v, the slope of the sigmoid at mu, makes a prior count in records: an entity with few
stays near 0, one with many moves freely. The two priors are chosen on validation. The high/low task takes the same
biases times one factor, for a rating says more than whether it was high. They are fitted once and held fixed, so that
a network adds to them, and neither unlearns them nor has to wait for them.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit

from lrrecsys_core.models.base import base_rate

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

Floats = NDArray[np.float64]
PRIORS: Final = (100.0, 30.0, 10.0, 3.0, 1.0)
DEFAULT_PRIOR: Final = 10.0
LARGEST_FACTOR: Final = 10.0


@lru_cache(maxsize=128)
def residual_biases(split: Split, task: str) -> tuple[Floats, Floats]:
    """Biases of the users, (n_users,), and of the items, (n_items,), in logits of the task; 0 for the reserved row.

    The priors are the pair of `PRIORS` with the smallest squared error on validation; without validation records both
    are `DEFAULT_PRIOR`. The factor of the high/low task has the smallest cross-entropy on validation, or else on
    training.
    """
    of_user, of_item = _of_ratings(split) if task == "regression" else residual_biases(split, "regression")
    if task == "classification":
        factor = _factor(split, of_user, of_item)
        of_user, of_item = factor * of_user, factor * of_item
    for part in (of_user, of_item):
        part.setflags(write=False)  # kept, and so shared
    return of_user, of_item


def _of_ratings(split: Split) -> tuple[Floats, Floats]:
    """`fit_biases` with the priors that validation prefers."""
    if not len(split.validation):
        return fit_biases(split, DEFAULT_PRIOR, DEFAULT_PRIOR)
    best, chosen = np.inf, (np.zeros(split.n_users), np.zeros(split.n_items))
    found = chosen
    for priors in product(PRIORS, PRIORS):
        found = fit_biases(split, *priors, start=found)
        error = expit(bias_logits(split, "regression", *found)[split.validation]) - split.target[split.validation]
        if (loss := float((error**2).mean())) < best:
            best, chosen = loss, found
    return chosen


def fit_biases(
    split: Split, prior_user: float, prior_item: float, *, start: tuple[Floats, Floats] | None = None
) -> tuple[Floats, Floats]:
    """Biases of the users and items from the training ratings, for given priors; `start` only saves time."""
    user, item = split.user[split.train], split.n_users + split.item[split.train]
    outcome = split.target[split.train].astype(np.float64)
    rate = base_rate(split, "regression")
    mu, spread = logit(rate), rate * (1 - rate)
    prior = spread**2 * np.repeat([prior_user, prior_item], [split.n_users, split.n_items])

    def penalised(b: Floats) -> tuple[float, Floats]:
        predicted = expit(mu + b[user] + b[item])
        error = predicted - outcome
        slope = 2 * error * predicted * (1 - predicted)
        gradient = np.bincount(user, slope, len(b)) + np.bincount(item, slope, len(b))
        return float(error @ error + prior @ b**2), gradient + 2 * prior * b

    first = np.zeros(split.n_users + split.n_items) if start is None else np.concatenate(start)
    found = minimize(penalised, first, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found[: split.n_users], found[split.n_users :]


def bias_logits(split: Split, task: str, of_user: Floats, of_item: Floats) -> Floats:
    """mu + b_u + b_i of every record, (N,)."""
    return np.asarray(logit(base_rate(split, task)) + of_user[split.user] + of_item[split.item])


def _factor(split: Split, of_user: Floats, of_item: Floats) -> float:
    """What the biases are multiplied by to tell high ratings from low ones best."""
    records = split.validation if len(split.validation) else split.train
    mu, high = logit(base_rate(split, "classification")), split.liked[records] > 0
    both = of_user[split.user[records]] + of_item[split.item[records]]

    def entropy(factor: float) -> float:
        s = mu + factor * both
        return float(np.logaddexp(0, np.where(high, -s, s)).mean())

    return float(minimize_scalar(entropy, bounds=(0, LARGEST_FACTOR), method="bounded").x)
