"""LR-Recsys with one part exchanged: Ablations 1 and 2, no id tokens (Sec 4.2), and the tower of NCF (Tab 6).

The tower: X. He, L. Liao, H. Zhang, L. Nie, X. Hu, T.-S. Chua. Neural Collaborative Filtering. WWW 2017, 173-182::

    x_0 = flat(X)                         (B, tokens d), X the tokens of LR-Recsys
    x_l = ReLU(W_l x_{l-1} + b_l)         l = 1..3, widths 32, 16, 8
    s   = w . x_3 + b                     (B,)
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import Batch, Sizes, embedding
from lrrecsys_core.models.layers import MLP
from lrrecsys_core.models.lr_recsys import LRRecsys

TOWER = (32, 16, 8)  # the paper's "three layers with [32, 16, 8]", read as hidden sizes


class FreeVectors(LRRecsys):
    """Ablation 1: trained vectors in place of the explanation embeddings, the same for every record.

    `per_item` gives each item vectors of its own; which of the two is meant, the paper leaves open.
    """

    table_fields: ClassVar[dict[str, tuple[str, ...]]] = {"vectors.weight": ("item",)}

    def __init__(
        self, sizes: Sizes, rate: float = 0.5, biases: bool = True, *, per_item: bool = False, **params: Any
    ) -> None:
        self.per_item = per_item
        super().__init__(sizes, rate, biases, **params)

    def add_explanations(self, sizes: Sizes) -> None:
        if self.per_item:
            self.vectors = embedding(sizes.items, len(self.slots) * self.width)
        else:
            self.vector = nn.Parameter(torch.randn(len(self.slots), self.width) * 0.1)

    @property
    def reads(self) -> tuple[str, ...]:
        """Record fields this instance needs: no text."""
        return tuple(name for name in super().reads if name not in self.slots)

    def entity_tables(self) -> dict[str, str]:
        return super().entity_tables() | ({"vectors.weight": "item"} if self.per_item else {})

    def explanation_tokens(self, batch: Batch) -> list[Tensor]:
        if self.per_item:
            return list(self.vectors(batch["item"]).split(self.width, -1))
        return [self.vector[k].expand(*batch["item"].shape, self.width) for k in range(len(self.slots))]


class RawVectors(LRRecsys):
    """Ablation 2: raw text vectors, `raw_width` wide, through a trained linear map to d instead of the autoencoder."""

    def __init__(self, sizes: Sizes, rate: float = 0.5, biases: bool = True, *, raw_width: int, **params: Any) -> None:
        self.raw_width = raw_width
        super().__init__(sizes, rate, biases, **params)

    def add_explanations(self, sizes: Sizes) -> None:
        self.project = nn.Linear(self.raw_width, self.width)

    def explanation_tokens(self, batch: Batch) -> list[Tensor]:
        return [self.project(batch[slot]) for slot in self.slots]


class WithoutIds(LRRecsys):
    """No user and no item token: what the explanations, the history and the context tell alone (Sec 4.2)."""

    tables: ClassVar[dict[str, str]] = {"items.weight": "item"}

    @property
    def id_tokens(self) -> tuple[str, ...]:
        return ()

    def add_ids(self, sizes: Sizes) -> None:
        self.items = embedding(sizes.items, self.width)  # of the history

    def ids(self, batch: Batch) -> list[Tensor]:
        return []

    def lookups(self, table: str) -> tuple[str, ...]:
        return ("history",) if table == "items.weight" else super().lookups(table)


class LRRecsysNCF(LRRecsys):
    """Robustness check 1: the tokens of LR-Recsys, concatenated into the tower of NCF; nothing attends to anything."""

    def add_head(self) -> None:
        super().add_head()
        del self.fusion
        self.head = MLP([len(self.token_names) * self.width, *TOWER, 1])

    def score(self, batch: Batch) -> Tensor:
        return self.head(self.tokens(batch).flatten(-2)).squeeze(-1)

    def attention(self, batch: Batch) -> Tensor:
        """Unavailable: without fusion no token receives attention."""
        raise NotImplementedError("LR-Recsys with NCF has no attention to report")
