"""Small record sets shared by the tests of several models."""

from __future__ import annotations

import numpy as np
import polars as pl

from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.split import Split, make_split


def records(n: int = 24, users: int = 7, items: int = 30, full: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
    """Random records whose histories hold 0 to 5 items, padded on the left (5 when `full`)."""
    rng = np.random.default_rng(seed)
    length = np.full(n, 5) if full else np.arange(n) % 6
    mask = np.arange(5) >= 5 - length[:, None]
    history = rng.integers(1, items, (n, 5)) * mask
    item = rng.integers(1, items, n)
    return {
        "user": rng.integers(1, users, n),
        "item": item,
        "history": history,
        "history_mask": mask,
        "window": np.column_stack([history, item]),
        "target": rng.random(n),
    }


def chain(items: int, length: int, seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Windows of walks where each item is followed by one fixed item: the records, and the successor of each item."""
    rng = np.random.default_rng(seed)
    cycle = rng.permutation(np.arange(1, items))
    follows = np.zeros(items, dtype=np.int64)
    follows[cycle] = np.roll(cycle, -1)
    window = np.zeros((length, 6), dtype=np.int64)
    window[:, 0] = rng.integers(1, items, length)
    for step in range(1, 6):
        window[:, step] = follows[window[:, step - 1]]
    fields = {
        "user": np.ones(length, dtype=np.int64),
        "item": window[:, 5],
        "history": window[:, :5],
        "history_mask": np.ones((length, 5), dtype=bool),
        "window": window,
        "target": rng.random(length),
    }
    return fields, follows


def small_split(users: int = 12, seed: int = 0) -> Split:
    """A split of a tiny data set whose items have a category and two further phrases."""
    rng = np.random.default_rng(seed)
    kinds, phrases = ("inn", "lodge", "hostel"), ("pool", "bar", "garden", "view")
    names = [f"item{k:02d}" for k in range(20)]
    details = ["; ".join([kinds[k % 3], *sorted(rng.choice(phrases, 2, replace=False))]) for k in range(len(names))]
    rows = [
        {"user_id": f"u{u:02d}", "item_id": names[k], "rating": float(rng.integers(1, 6)), "timestamp": 100 * step}
        for u in range(users)
        for step, k in enumerate(rng.permutation(len(names))[:10], 1)
    ]
    mentions = [
        {"user_id": r["user_id"], "item_id": r["item_id"], "aspect": phrase, "sentiment": 1 if r["rating"] > 3 else -1}
        for r in rows
        for phrase in rng.choice(phrases, 2, replace=False)
    ]
    items = pl.DataFrame({"item_id": names, "name": [f"The {n} {k}" for k, n in enumerate(names)], "details": details})
    dataset = make_dataset("tiny", "hotel", pl.DataFrame(rows), items, aspects=pl.DataFrame(mentions))
    return make_split(dataset, seed=seed)
