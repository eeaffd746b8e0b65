"""SASRec, adapted to ratings.

W.-C. Kang, J. McAuley. Self-Attentive Sequential Recommendation. ICDM 2018, 197-206.

With e the item table (d), pos the positions, t = 1..5 the places of the history (newest last)::

    x_t   = Dropout(sqrt(d) e(j_t) + pos_t), zero at padding                (B, 5, d)
    block : q = LN(x); y = q + MHA(q, x, x); z = LN(y); x' = z + FFN(z)     causal, padding never a key; twice
    s     = <LN(x_L), e(i)>                                                 (B,)

L is the newest place that holds an item. Native loss: at every place, BCE of <x_t, e(next item)> against one
uniform negative.

Deviations: D1 s plus biases through a sigmoid and a pointwise loss at the last place only. D2 five places.
D3 the user enters through the residual bias alone (rule P2). D4 negatives avoid the record's own window instead of
everything its user ever met. D5 Adam with beta2 = 0.999 instead of 0.98.

Schedules: ``point``, or ``pre``: the native loss first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrrecsys_core.data.split import HISTORY
from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding
from lrrecsys_core.models.layers import Dropout
from lrrecsys_core.models.transformer import Block, causal, newest

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split


class SASRec(Recommender):
    """Causal self-attention over the last items, its last state against the candidate's vector.

    Parameters
    ----------
    width : d.
    blocks, heads, dropout : of the encoder.
    schedule : "point" (ratings only) or "pre" (next-item loss first).
    """

    name: ClassVar[str] = "SASRec"
    needs_order: ClassVar[bool] = True
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item", "history", "sampled")}
    tables: ClassVar[dict[str, str]] = {"items.weight": "item"}
    tier: ClassVar[str] = "adapted"
    matched: ClassVar[dict[str, Any]] = {"width": 8}
    as_published: ClassVar[dict[str, Any]] = {"width": 50}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 0.0, "dropout": dropout, "schedule": schedule}
        for lr in (1e-3, 1e-2)
        for dropout in (0.2, 0.5)
        for schedule in ("point", "pre")
    ]

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        width: int = 8,
        blocks: int = 2,
        heads: int = 1,
        dropout: float = 0.2,
        schedule: str = "point",
    ) -> None:
        super().__init__(sizes, rate, biases)
        if schedule not in ("point", "pre"):
            raise ValueError(f"unknown schedule {schedule!r}: use 'point' or 'pre'")
        self.pretrains = schedule == "pre"
        self.known_items = sizes.items
        # States have length sqrt(d): with larger items every score would start as noise that few records never undo.
        self.items = embedding(sizes.items, width, sd=0.02)
        self.positions = nn.Parameter(torch.randn(HISTORY, width) * 0.1)
        self.blocks = nn.ModuleList(
            Block(width, heads, dropout=dropout, order="sasrec", project=False) for _ in range(blocks)
        )
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        model = super().build(split, sizes, task, **params)
        model.known_items = split.n_items
        return model

    @classmethod
    def record_fields(cls, split: Split, sizes: Sizes, **params: Any) -> dict[str, np.ndarray]:
        """`window` (N, 6): history and item again, under a name whose numbers `fit` leaves alone."""
        return {"window": np.column_stack([split.history, split.item])}

    @property
    def reads(self) -> tuple[str, ...]:
        return (*self.inputs, "window") if self.pretrains else self.inputs

    def states(self, batch: Batch) -> Tensor:
        """State after each place of the history, (B, 5, d); zero at padding."""
        past, mask = self.items(batch["history"]), batch["history_mask"]
        real = mask.unsqueeze(-1)
        x = self.dropout(past * past.shape[-1] ** 0.5 + self.positions) * real
        for block in self.blocks:
            x = block(x, causal(mask)) * real
        return self.norm(x) * real

    def score(self, batch: Batch) -> Tensor:
        state = newest(self.states(batch), batch["history_mask"])
        return (state * self.items(batch["item"])).sum(-1)

    def pretrain_loss(self, batch: Batch) -> Tensor:
        """Next item against a sampled one, wherever the next item is known; negatives from the window do not count."""
        states, window, mask = self.states(batch), batch["window"], batch["history_mask"]
        next_rows = torch.cat([batch["history"][..., 1:], batch["item"].unsqueeze(-1)], -1)
        positive = (states * self.items(next_rows)).sum(-1)
        negative = (states * self.items(batch["sampled"])).sum(-1)
        real = mask & (window[..., 1:] > 0)
        fresh = (batch["sampled_window"].unsqueeze(-1) != window.unsqueeze(-2)).all(-1)
        weight = batch["weight"].unsqueeze(-1)
        told, refused = real * weight, (real & fresh) * weight
        total = (F.softplus(-positive) * told).sum() + (F.softplus(negative) * refused).sum()
        return total / told.sum().clamp_min(1.0)

    def draws(self, records: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """One negative per place, twice: as table rows and, in `sampled_window`, as the numbers `window` uses."""
        if not self.pretrains:
            return {}
        drawn = rng.integers(1, max(2, self.known_items), size=(records, HISTORY))
        return {"sampled": drawn, "sampled_window": drawn}

    def prepare_rating_stage(self) -> None:
        self.pretrains = False  # from here on no negatives are drawn and `window` is not read
