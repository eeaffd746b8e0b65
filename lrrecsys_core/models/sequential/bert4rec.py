"""BERT4Rec, adapted to ratings.

F. Sun, J. Liu, J. Wu, C. Pei, X. Lin, W. Ou, P. Jiang. BERT4Rec: Sequential Recommendation with Bidirectional Encoder
Representations from Transformer. CIKM 2019, 1441-1450.

With e the item table (d), pos the positions, m the learned [MASK] vector::

    x   = Dropout(LN(e(history), m + pos))                                  (B, 6, d), the mask in sixth place
    x'  = two post-norm blocks, feed-forward 4 d with GELU, every place sees every item
    h   = LN(GELU(W x'_6 + b));  s = <h, e(i)>                              (B,)

Native loss (Cloze): in the sequence [history ; item] places are masked with probability rho, at least one; in one of
eleven copies the last alone. At masked places: softmax cross-entropy of <h, e(.)> + bias over all items.

Deviations: D1 s plus residual biases through a sigmoid, pointwise; the Cloze bias (a popularity) stays out of the
rating. D2 schedules: ``pre`` (Cloze first) or ``joint`` (plus 0.1 x Cloze, / 16 beside ratings, rule P5). D3 six places
instead of 50-200. D4 Adam at a constant rate, without warm-up, decay and clipping. D5 of the masked places of a
sequence one is scored, at random, for time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.data.split import HISTORY
from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding
from lrrecsys_core.models.layers import Dropout
from lrrecsys_core.models.sequential.softmax import item_cross_entropy, known_items
from lrrecsys_core.models.transformer import Block, bidirectional

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

LAST_ONLY = 1 / 11


class BERT4Rec(Recommender):
    """Bidirectional encoder whose [MASK] state after the history meets the candidate.

    Parameters
    ----------
    width, blocks, heads, dropout : of the encoder; its feed-forward layer is four times as wide.
    rho : probability of masking a place.
    schedule : "pre" or "joint"; `native` is the weight of the Cloze loss in "joint".
    """

    name: ClassVar[str] = "BERT4Rec"
    needs_order: ClassVar[bool] = True
    tables: ClassVar[dict[str, str]] = {"items.weight": "item", "cloze_bias": "item"}
    tier: ClassVar[str] = "adapted"
    matched: ClassVar[dict[str, Any]] = {"width": 8}
    as_published: ClassVar[dict[str, Any]] = {"width": 64}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 0.0, "rho": rho, "schedule": schedule}
        for lr in (1e-3, 1e-2)
        for rho in (0.2, 0.5)
        for schedule in ("pre", "joint")
    ]

    known: Tensor

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        width: int = 8,
        blocks: int = 2,
        heads: int = 2,
        dropout: float = 0.1,
        rho: float = 0.2,
        schedule: str = "pre",
        native: float = 0.1,
    ) -> None:
        super().__init__(sizes, rate, biases)
        if schedule not in ("pre", "joint"):
            raise ValueError(f"unknown schedule {schedule!r}: use 'pre' or 'joint'")
        self.pretrains, self.joint = schedule == "pre", schedule == "joint"
        self.rho, self.native = rho, native
        # States have length sqrt(d): with larger items every score would start as noise that few records never undo.
        self.items = embedding(sizes.items, width, sd=0.02)
        self.token = nn.Parameter(torch.randn(width) * 0.1)
        self.positions = nn.Parameter(torch.randn(HISTORY + 1, width) * 0.1)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, 4 * width, dropout, nn.GELU) for _ in range(blocks))
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width))
        self.cloze_bias = nn.Parameter(torch.zeros(sizes.items))
        self.register_buffer("known", known_items(sizes.items, sizes.items))

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        model = super().build(split, sizes, task, **params)
        model.known = known_items(split.n_items, sizes.items)
        return model

    def row_tables(self) -> dict[str, str]:
        """The softmax reads all items, so only the user bias is row-wise."""
        return {name: entity for name, entity in super().row_tables().items() if entity != "item"}

    def encode(self, x: Tensor, mask: Tensor, rows: slice = slice(None)) -> Tensor:
        """Head states (B, 6, d) of a sequence of vectors (B, 6, d) of which `mask` (B, 6) are real; only of `rows`."""
        x, sees = self.dropout(self.norm(x + self.positions)), bidirectional(mask)
        for block in self.blocks[:-1]:
            x = block(x, sees)
        return self.head(self.blocks[-1](x, sees, rows))

    def asked(self, batch: Batch) -> Tensor:
        """State (B, d) of the [MASK] that follows the history: it knows nothing of the candidate."""
        past, mask = self.items(batch["history"]), batch["history_mask"]
        x = torch.cat([past, self.token.expand_as(past[..., :1, :])], -2)
        real = torch.cat([mask, torch.ones_like(mask[..., :1])], -1)
        return self.encode(x, real, slice(HISTORY, None)).squeeze(-2)

    def score(self, batch: Batch) -> Tensor:
        return (self.asked(batch) * self.items(batch["item"])).sum(-1)

    def cloze_loss(self, batch: Batch) -> Tensor:
        """Cross-entropy at one masked place of [history ; item], the one with the least noise."""
        window = torch.cat([batch["history"], batch["item"].unsqueeze(-1)], -1)
        real = window > 0
        noise = torch.where(real, batch["cloze"], 2.0)
        least = noise.argmin(-1, keepdim=True)
        place = torch.arange(HISTORY + 1, device=window.device)
        masked = real & ((noise < self.rho) | (place == least))
        states = self.encode(torch.where(masked.unsqueeze(-1), self.token, self.items(window)), real)
        state = (states * (place == least).unsqueeze(-1)).sum(-2)
        weight = batch["weight"] * real.any(-1)
        target = window.gather(-1, least).squeeze(-1)
        return item_cross_entropy(state, self.items.weight, self.known, target, weight, self.cloze_bias)

    def loss(self, batch: Batch) -> Tensor:
        if not self.joint:
            return self.own_loss(batch)
        return self.joint_loss(self(batch), self.cloze_loss(batch), self.native, batch)

    def pretrain_loss(self, batch: Batch) -> Tensor:
        return self.cloze_loss(batch)

    def draws(self, records: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """`cloze` (records, 6): noise in [0, 1) that decides which places are masked."""
        if not (self.pretrains or self.joint):
            return {}
        cloze = rng.random((records, HISTORY + 1))
        cloze[rng.random(records) < LAST_ONLY] = np.arange(HISTORY + 1) != HISTORY
        return {"cloze": cloze}

    def prepare_rating_stage(self) -> None:
        self.pretrains = False  # from here on nothing is masked
