"""Residual user and item biases, the same under every model (rule P2 of docs/protocol.md).

Y. Koren, R. Bell, C. Volinsky. Matrix Factorization Techniques for Recommender Systems. IEEE Computer 42(8), 2009,
30-37, call them baseline predictors. With mu the logit of the mean training outcome on [0, 1], and v = y' (1 - y') the
slope of the sigmoid there::

    s = mu + b_u + b_i   minimises   sum cross-entropy(s, y) + v / 2 (prior_user sum_u b_u^2 + prior_item sum_i b_i^2)

over the training records; a rating y on [0, 1] is a soft label. v / 2 makes a prior count in records: an entity with
few stays near 0, one with many moves freely. Validation chooses the two priors, or no biases at all, by the task's own
loss. Squared errors behind a sigmoid, which stood here before, pull ever less the nearer a prediction is to the end of
the scale: whoever gave fives alone stayed too far from five, and a plain ridge on the ratings did better by .0011 to
.0022 in RMSE on three of six public sets (`tests/models/test_biases_on_real_data.py`).

The high/low task starts from f times these biases, for a rating says more than whether it was high, and adds what it
knows better: some users call high what others do not. With mu the logit of the share of high, and v the slope there::

    s = mu + f b_u + c_u + f b_i + c_i
    c minimises   sum cross-entropy(s, high) + v / 2 (prior_user sum_u c_u^2 + prior_item sum_i c_i^2)

Validation chooses f and the two priors of c too, or c = 0. All biases are fitted once and held fixed, so that a network
adds to them, and neither unlearns them nor waits for them.
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
# The deviations c of the high/low task are smaller than the biases themselves, and so shrunk more.
PRIORS: Final = {"regression": (100.0, 30.0, 10.0, 5.0, 2.0, 1.0), "classification": (1000.0, 300.0, 100.0, 30.0, 10.0)}
DEFAULT_PRIOR: Final = {"regression": 5.0, "classification": 100.0}
LARGEST_FACTOR: Final = 10.0
BLOCK: Final = 1 << 16  # records looked at together: what is made of them stays in a processor's cache


@lru_cache(maxsize=128)
def residual_biases(split: Split, task: str) -> tuple[Floats, Floats]:
    """Biases of the users, (n_users,), and of the items, (n_items,), in logits of the task; 0 for the reserved row.

    The priors are the pair of `PRIORS` with the smallest loss of the task on validation, unless no shift at all does
    as well; without validation records both are `DEFAULT_PRIOR`. The factor of the high/low task has the smallest
    cross-entropy on validation, or else on training.
    """
    if task == "regression":
        around = np.zeros(split.n_users), np.zeros(split.n_items)
    else:
        of_user, of_item = residual_biases(split, "regression")
        factor = _factor(split, of_user, of_item)
        around = factor * of_user, factor * of_item
    fitted = _with_the_best_priors(split, task, around)
    for part in fitted:
        part.setflags(write=False)  # kept, and so shared
    return fitted


def _with_the_best_priors(split: Split, task: str, around: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """`fit_biases` with the priors that validation prefers, or `around` itself."""
    if not len(split.validation):
        return fit_biases(split, DEFAULT_PRIOR[task], DEFAULT_PRIOR[task], task=task, around=around)
    best, chosen, found = _mean_loss(split, task, around, split.validation), around, around
    for priors in product(PRIORS[task], PRIORS[task]):
        found = fit_biases(split, *priors, task=task, around=around, start=found)
        if (loss := _mean_loss(split, task, found, split.validation)) < best:
            best, chosen = loss, found
    return chosen


def fit_biases(
    split: Split,
    prior_user: float,
    prior_item: float,
    *,
    task: str = "regression",
    around: tuple[Floats, Floats] | None = None,
    start: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, Floats]:
    """Biases of the users and items from the training records, for given priors.

    They are shrunk towards `around` (0 by default); `start` only saves time.
    """
    user, item = split.user[split.train], split.n_users + split.item[split.train]
    outcome = _outcome(split, task)[split.train]
    rate = base_rate(split, task)
    prior = np.repeat([float(prior_user), float(prior_item)], [split.n_users, split.n_items]) * rate * (1 - rate) / 2
    n = len(prior)
    centre = np.zeros(n) if around is None else np.concatenate(around)
    # Each bias in units of its own curvature at 0: in common ones the busiest item decides how far all may step, and
    # the larger the data, the more steps that takes (results/bench/train_at_size.json has the evaluations).
    records = np.bincount(user, minlength=n) + np.bincount(item, minlength=n)
    unit = 1 / np.sqrt(2 * prior + rate * (1 - rate) * records)
    slope = np.empty(len(user))

    def penalised(scaled: Floats) -> tuple[float, Floats]:
        b = scaled * unit
        away = b - centre
        loss = prior @ away**2
        for begin in range(0, len(user), BLOCK):
            part = slice(begin, begin + BLOCK)
            logits = logit(rate) + b[user[part]] + b[item[part]]
            slope[part] = expit(logits) - outcome[part]
            loss += _entropies(logits, outcome[part]).sum()
        gradient = np.bincount(user, slope, n) + np.bincount(item, slope, n)
        return float(loss), (gradient + 2 * prior * away) * unit

    first = centre if start is None else np.concatenate(start)
    found = minimize(penalised, first / unit, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x * unit
    return found[: split.n_users], found[split.n_users :]


def bias_logits(split: Split, task: str, of_user: Floats, of_item: Floats) -> Floats:
    """mu + b_u + b_i of every record, (N,)."""
    return np.asarray(logit(base_rate(split, task)) + of_user[split.user] + of_item[split.item])


def _outcome(split: Split, task: str) -> Floats:
    """What the task predicts, in [0, 1], (N,)."""
    return np.asarray(split.target if task == "regression" else split.liked, dtype=np.float64)


def _entropies(logits: Floats, outcome: Floats) -> Floats:
    """Cross-entropy of each record, whose outcome in [0, 1] may be a soft label."""
    return np.asarray(np.logaddexp(0, logits) - outcome * logits)


def _mean_loss(split: Split, task: str, biases: tuple[Floats, Floats], records: NDArray[np.int64]) -> float:
    """The task's own loss on some records under the biases alone: mean squared error, or cross-entropy."""
    logits, outcome = bias_logits(split, task, *biases)[records], _outcome(split, task)[records]
    losses = (expit(logits) - outcome) ** 2 if task == "regression" else _entropies(logits, outcome)
    return float(losses.mean())


def _factor(split: Split, of_user: Floats, of_item: Floats) -> float:
    """What the biases are multiplied by to tell high ratings from low ones best."""
    records = split.validation if len(split.validation) else split.train

    def entropy(factor: float) -> float:
        return _mean_loss(split, "classification", (factor * of_user, factor * of_item), records)

    return float(minimize_scalar(entropy, bounds=(0, LARGEST_FACTOR), method="bounded").x)
