"""Neural collaborative filtering, on ids alone and on the tokens of LR-Recsys (robustness check 1).

X. He, L. Liao, H. Zhang, L. Nie, X. Hu, T.-S. Chua. Neural Collaborative Filtering. WWW 2017, 173-182 (the MLP)::

    x_0 = [p_u ; q_i]                     (B, 2 d)
    x_l = ReLU(W_l x_{l-1} + b_l)         l = 1..3, widths 32, 16, 8
    s   = w . x_3 + b                     (B,)

Deviations: D1 pointwise loss on the observed ratings instead of log loss with sampled negatives. D2 sigmoid link and
residual biases (rules P1, P2). D3 the paper's "three layers with [32, 16, 8]" are read as hidden sizes; read with 32
as the width of the input, there would be two.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding
from lrrecsys_core.models.layers import MLP
from lrrecsys_core.models.lr_recsys import LRRecsys

TOWER = (32, 16, 8)


class NCF(Recommender):
    """An MLP on the user's and the item's vector; `width` is the length of each."""

    inputs: ClassVar[tuple[str, ...]] = ("user", "item")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item",)}
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    tier: ClassVar[str] = "adapted"
    deviations: ClassVar[str] = "D1 pointwise rating loss, D2 sigmoid link and biases, D3 three hidden layers"
    matched: ClassVar[dict[str, Any]] = {"width": 8}
    as_published: ClassVar[dict[str, Any]] = {"width": 32}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": decay, "dropout": dropout}
        for lr in (1e-3, 1e-2)
        for decay in (0.0, 1e-5)
        for dropout in (0.0, 0.2)
    ]

    def __init__(
        self, sizes: Sizes, rate: float = 0.5, biases: bool = True, *, width: int = 8, dropout: float = 0.0
    ) -> None:
        super().__init__(sizes, rate, biases)
        self.users = embedding(sizes.users, width)
        self.items = embedding(sizes.items, width)
        self.tower = MLP([2 * width, *TOWER, 1], dropout=dropout)

    def score(self, batch: Batch) -> Tensor:
        both = torch.cat([self.users(batch["user"]), self.items(batch["item"])], -1)
        return self.tower(both).squeeze(-1)


class LRRecsysNCF(LRRecsys):
    """Robustness check 1: the tokens of LR-Recsys, concatenated into the tower of NCF; nothing attends to anything.

    ``explanations=False`` leaves the explanation tokens out. The other parameters are those of `LRRecsys`.
    """

    deviations: ClassVar[str] = "D3 three hidden layers"

    def __init__(
        self, sizes: Sizes, rate: float = 0.5, biases: bool = True, *, explanations: bool = True, **params: Any
    ) -> None:
        if not explanations:
            params["slots"] = ()
        super().__init__(sizes, rate, biases, **params)
        del self.fusion
        width = self.items.embedding_dim
        self.head = MLP([len(self.token_names) * width, *TOWER, 1])

    def score(self, batch: Batch) -> Tensor:
        return self.head(self.tokens(batch).flatten(-2)).squeeze(-1)

    def attention(self, batch: Batch) -> Tensor:
        """Unavailable: without fusion no token receives attention."""
        raise NotImplementedError("LR-Recsys with NCF has no attention to report")
