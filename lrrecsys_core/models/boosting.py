"""Gradient boosting on running statistics: what the past ratings of the same user and item tell a general learner.

J. H. Friedman. Greedy Function Approximation: A Gradient Boosting Machine. Annals of Statistics 29(5), 2001,
1189-1232; in the form of scikit-learn's histogram trees. The paper has no such row; it needs neither ids nor texts.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.earlier import Ints, earlier_training
from lrrecsys_core.data.split import HISTORY, Split

Floats = NDArray[np.float64]
_OF_EACH: Final = ("count", "mean", "shrunken mean", "share liked")
FEATURES: Final = (
    *(f"{entity}: {name}" for entity in ("user", "item") for name in _OF_EACH),
    f"user: mean of last {HISTORY}",
    "user: seconds since last",
)
SHRINKAGE: Final = 5.0  # records the overall mean counts for
GRID: Final = tuple(product((0.05, 0.1), (7, 15)))  # learning rate, leaves of a tree
TREES: Final = 200
_CATEGORIES: Final = 255  # scikit-learn takes a column of more for numbers only


def running_statistics(split: Split) -> Floats:
    """Describe each record by the training records before it: never by its own rating, nor by a held-out one.

    With n earlier training records of the user or item, of mean rating m, and M the mean rating of all earlier
    training records, the shrunken mean is ``(n m + SHRINKAGE M) / (n + SHRINKAGE)``; all means are scaled to [0, 1].

    *Without time* the training records get a random order of their own, before all the others: the ordered target
    statistics of L. Prokhorenkova et al., CatBoost (NeurIPS 2018). Statistics of all *other* training records would
    give a training record's rating away, as what is missing from a total that is the same in all records of its item.

    Returns
    -------
    (N, F) array
        Columns `FEATURES`, then the context codes; NaN where there is no earlier record, no time or no known context.
    """
    time = split.timestamp
    moment = _drawn_order(split) if time is None else time
    groups = (np.zeros_like(moment), split.user_position, split.item_position)
    of_all, of_user, of_item = (earlier_training(group, moment, split.in_training) for group in groups)
    scale = split.dataset.scale
    overall = _ratio(of_all.sums(split.rating), of_all.count)
    columns = []
    for earlier in (of_user, of_item):
        # Sums of raw ratings: stars add up exactly, so that not even rounding depends on ratings outside the window.
        n, total, liked = earlier.count, earlier.sums(split.rating), earlier.sums(split.liked.astype(np.float64))
        shrunken = (total + SHRINKAGE * overall) / (n + SHRINKAGE)
        columns += [n, scale(_ratio(total, n)), scale(shrunken), _ratio(liked, n)]
    last = of_user.last(HISTORY)
    known, newest = last >= 0, last[:, -1]
    columns.append(scale(_ratio(np.where(known, split.rating[last], 0.0).sum(1), known.sum(1))))
    since = np.full(len(moment), np.nan) if time is None else time - time[newest]
    columns.append(np.where(known[:, -1], since, np.nan))
    return np.column_stack([*columns, np.where(split.context > 0, split.context, np.nan)])


def boosted(split: Split, task: str, seed: int) -> Floats:
    """Predict every record with trees fitted to the training records.

    The point of `GRID` and the number of trees have the lowest validation loss of the task (squared error or
    log-loss); without validation records they are the first point and all `TREES`.

    Returns
    -------
    (N,) array
        The rating on [0, 1] ("regression"), or the probability that it is liked ("classification").
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor  # take long to import

    regression = task == "regression"
    outcome = (split.target if regression else split.liked).astype(np.float64)
    best, chosen = np.inf, np.full(len(outcome), outcome[split.train].mean())
    if chosen[0] in (0.0, 1.0):  # nothing to tell apart, and the classifier wants two classes
        return chosen
    features = running_statistics(split)
    features[:, np.isnan(features[split.train]).all(0)] = 0.0  # scikit-learn cannot bin a column of NaN alone
    learner = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    categorical = [False] * len(FEATURES) + [size <= _CATEGORIES for size in split.context_sizes]
    for rate, leaves in GRID if len(split.validation) else GRID[:1]:
        # scikit-learn's early stopping would hold out random training records; the split's are the later ones.
        model = learner(
            learning_rate=rate, max_leaf_nodes=leaves, max_iter=TREES, categorical_features=categorical,
            early_stopping=False, random_state=seed,
        ).fit(features[split.train], outcome[split.train])  # fmt: skip
        for stage in model.staged_predict(features) if regression else model.staged_predict_proba(features):
            predicted = np.clip(stage, 0.0, 1.0) if regression else stage[:, 1]
            p, y = predicted[split.validation], outcome[split.validation]
            loss = float(((p - y) ** 2 if regression else -np.log(np.abs(1.0 - y - p))).sum())
            if loss < best or not len(y):
                best, chosen = loss, predicted
    return chosen


def _drawn_order(split: Split) -> Ints:
    """(N,) random positions of the training records, below those of all the others."""
    order = np.random.default_rng([split.seed, 6]).permutation(len(split.user))
    return np.where(split.in_training, order, len(order))


def _ratio(total: Floats, count: Ints) -> Floats:
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
