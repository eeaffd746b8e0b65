"""Biased matrix factorisation.

Y. Koren, R. Bell, C. Volinsky. Matrix Factorization Techniques for Recommender Systems. IEEE Computer 42(8),
2009, 30-37::

    s = mu + b_u + b_i + p_u . q_i          p_u, q_i of width d

Deviations: D1 sigmoid link on s and the shared losses (rule P1); mu is the logit of the training mean. D2 Adam, whose
weight decay stands in for the L2 term on the factors. D3 the biases are those shared by all rows (rule P2), fitted
before the factors.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding


class BiasedMF(Recommender):
    """Biased matrix factorisation.

    Parameters
    ----------
    width : d, the length of p_u and q_i.
    biases : part of the method; accepted so that every model is built alike, and changes nothing.
    """

    name: ClassVar[str] = "Biased MF"
    own_biases: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("user", "item")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item",)}
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    tier: ClassVar[str] = "faithful"
    matched: ClassVar[dict[str, Any]] = {"width": 8}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": decay} for lr in (3e-3, 1e-2) for decay in (1e-4, 3e-4, 1e-3, 3e-3)
    ]

    def __init__(self, sizes: Sizes, rate: float = 0.5, biases: bool = True, *, width: int = 8) -> None:
        super().__init__(sizes, rate, biases=True)
        self.users = embedding(sizes.users, width)
        self.items = embedding(sizes.items, width)

    def score(self, batch: Batch) -> Tensor:
        return (self.users(batch["user"]) * self.items(batch["item"])).sum(-1)
