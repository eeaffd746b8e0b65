"""LR-Recsys with one part changed: Ablations 1 and 2, no id tokens, and another network (Sec 5.5)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import EMBEDDING_SD, Batch, Sizes, embedding
from lrrecsys_core.models.layers import MLP
from lrrecsys_core.models.lr_recsys import LRRecsys

TOWER = (32, 16, 8)


class FreeVectors(LRRecsys):
    """Ablation 1: trained vectors in the place of texts, the same for every record.

    ``per_item=True`` trains a set of them for every item.
    """

    table_fields: ClassVar[dict[str, tuple[str, ...]]] = {"vectors.weight": ("item",)}

    def __init__(
        self, sizes: Sizes, rate: float = 0.5, biases: bool = True, *, per_item: bool = False, **params: Any
    ) -> None:
        self.per_item = per_item  # before the rest, whose `draw_inputs` asks for it
        super().__init__(sizes, rate, biases, **params)

    def draw_inputs(self, sizes: Sizes, width: int) -> None:
        super().draw_inputs(sizes, width)
        if self.per_item:
            self.vectors = embedding(sizes.items, len(self.slots) * width)
        else:
            self.vector = nn.Parameter(torch.randn(len(self.slots), width) * EMBEDDING_SD)

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(field for field in super().reads if field not in self.slots)

    def entity_tables(self) -> dict[str, str]:
        return {**super().entity_tables(), **({"vectors.weight": "item"} if self.per_item else {})}

    def explanation_tokens(self, batch: Batch) -> list[Tensor]:
        """One (B, d) token per slot, whatever the record says."""
        if self.per_item:
            return list(self.vectors(batch["item"]).chunk(len(self.slots), -1))
        return [vector.expand(*batch["item"].shape, -1) for vector in self.vector.unbind()]


class RawVectors(LRRecsys):
    """Ablation 2: an LLM's own vectors or what stands in, (B, raw_width), through a trained linear map to d; no
    autoencoder."""

    def __init__(self, sizes: Sizes, rate: float = 0.5, biases: bool = True, *, raw_width: int, **params: Any) -> None:
        self.raw_width = raw_width  # before the rest, whose `draw_inputs` asks for it
        super().__init__(sizes, rate, biases, **params)

    def draw_inputs(self, sizes: Sizes, width: int) -> None:
        super().draw_inputs(sizes, width)
        self.project = nn.Linear(self.raw_width, width)

    def explanation_tokens(self, batch: Batch) -> list[Tensor]:
        """One (B, d) token per slot."""
        return [self.project(raw) for raw in super().explanation_tokens(batch)]


class WithoutIds(LRRecsys):
    """No user and item tokens (Sec 4.2 asks whether they help); the history still reads the items' table."""

    tables: ClassVar[dict[str, str]] = {"items.weight": "item"}
    table_fields: ClassVar[dict[str, tuple[str, ...]]] = {"items.weight": ("history",)}
    id_names: ClassVar[tuple[str, ...]] = ()

    def draw_inputs(self, sizes: Sizes, width: int) -> None:
        self.items = embedding(sizes.items, width)

    def id_tokens(self, batch: Batch) -> list[Tensor]:
        """None of them."""
        return []


class LRRecsysNCF(LRRecsys):
    """Robustness check 1: the tokens of LR-Recsys, concatenated into the tower of NCF; nothing attends to anything.

    X. He, L. Liao, H. Zhang, L. Nie, X. Hu, T.-S. Chua. Neural Collaborative Filtering. WWW 2017, 173-182::

        x_0 = [t_1 ; ... ; t_n]               (B, n d)
        x_l = ReLU(W_l x_{l-1} + b_l)         l = 1..3, widths 32, 16, 8
        s   = w . x_3 + b                     (B,)

    Deviations: D1 the paper's "three layers with [32, 16, 8]" are read as hidden sizes; read with 32 as the width of
    the input, there would be two.
    """

    def __init__(self, sizes: Sizes, rate: float = 0.5, biases: bool = True, **params: Any) -> None:
        super().__init__(sizes, rate, biases, **params)
        del self.fusion
        self.head = MLP([len(self.token_names) * self.items.embedding_dim, *TOWER, 1])

    def score(self, batch: Batch) -> Tensor:
        return self.head(self.tokens(batch).flatten(-2)).squeeze(-1)

    def attention(self, batch: Batch) -> Tensor:
        """Unavailable: without fusion no token receives attention."""
        raise NotImplementedError("LR-Recsys with NCF has no attention to report")
