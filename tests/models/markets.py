"""A small market with planted tastes, as the models meet it: split, sizes and record fields."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from lrrecsys_core.data.simulate import MarketParameters, simulate_market
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.models.base import Recommender, Sizes
from tests.models.training import batch_of


@cache
def market(seed: int = 0, users: int = 60, items: int = 40) -> Split:
    """A split of a little hotel market."""
    return make_split(simulate_market("hotels", seed, MarketParameters(users=users, items=items, records_per_user=10)))


def fields_of(kind: type[Recommender], split: Split, sizes: Sizes, **params: Any) -> dict[str, np.ndarray]:
    """Everything a model of this kind may be given."""
    return {**split.fields(), **kind.record_fields(split, sizes, **params)}


def replicates(kind: type[Recommender], seeds: tuple[int, ...] = (0, 1), rows: int = 64, **params: Any) -> Any:
    """Models of several markets and a batch of training records of each."""
    splits = [market(seed) for seed in seeds]
    sizes = Sizes.of(*splits)
    models = [kind.build(s, sizes, "regression", **params) for s in splits]
    batches = []
    for split in splits:
        whole = batch_of(fields_of(kind, split, sizes, **params))
        chosen = split.train[:rows].copy()
        batches.append({k: v[chosen] if v.dim() else v for k, v in whole.items() if k != "liked"})
    return models, batches
