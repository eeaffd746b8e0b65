"""Items a user has not met in training, drawn once per record for the ranking losses."""

from __future__ import annotations

import numpy as np

from lrrecsys_core.data.split import Split

ROUNDS = 20


def unseen_items(split: Split, per_record: int, seed: int = 0) -> np.ndarray:
    """(N, per_record) item rows, uniform among those the record's user has no training record of.

    Users who know nearly every item keep, after `ROUNDS` redraws, what was drawn last.
    """
    rng = np.random.default_rng([seed, split.seed])
    user = np.repeat(split.user, per_record)
    width = max(split.n_items, 2)
    known = np.unique(split.user[split.train] * width + split.item[split.train])
    drawn = rng.integers(1, width, len(user))
    again = np.arange(len(user))
    for _ in range(ROUNDS):
        again = again[np.isin(user[again] * width + drawn[again], known)]
        if not len(again):
            break
        drawn[again] = rng.integers(1, width, len(again))
    return drawn.reshape(-1, per_record)


def some_record_of(split: Split, item: np.ndarray, seed: int = 0) -> np.ndarray:
    """A random training record of each of these item rows, in the shape of `item`; an item's profile has a date."""
    order = split.train[np.argsort(split.item[split.train], kind="stable")]
    start = np.searchsorted(split.item[order], item)
    stop = np.searchsorted(split.item[order], item, side="right")
    pick = np.random.default_rng([seed, split.seed, 1]).random(item.shape) * (stop - start)
    return order[np.minimum(start + pick.astype(np.int64), len(order) - 1)]
