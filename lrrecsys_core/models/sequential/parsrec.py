"""PARSRec, adapted to ratings: attention inside a recurrence over partial actions.

E. Gholami, M. Motamedi, A. Aravindakshan. PARSRec: Explainable Personalized Attention-fused Recurrent Sequential
Recommendation Using Session Partial Actions. KDD 2022, 454-464.

The history plays the session, u is the user's vector, e the item table (d). For t = 1..5::

    q_t = [u ; h_{t-1}]                                                     (B, 2 d)
    c_t = Linear(LN(q_t + MHA(q_t, items fed so far)))                      (B, d); a start token before the first item
    z_t = [u ; h_{t-1} ; c_t]
    h_t = ReLU(W_h z_t),  o_t = W_o z_t
    s   = <o_5, e(i)>

h_0 is the mean vector of the training items before the history (``state="long"``), or of the history itself where
there are none (or ``state="window"``). Native loss: softmax cross-entropy of the next item over all items.

Deviations: D1 a session is the last five items in their order; o_5 is scored against the candidate by a pointwise
loss. D2 the observed order is followed (the paper lets the model choose its own order inside a basket). D3 places
without an item leave h as it is. D4 sigmoid link and residual biases (rules P1, P2). D5 Adam for all weights, no
gradient clipping. D6 the native loss scores the last step only: with histories sliding over all records, every
step is the last one once.

Schedules: ``point``, or ``joint``: plus 0.1 x the native loss, / 16 beside ratings (P5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding
from lrrecsys_core.models.sequential.softmax import item_cross_entropy, known_items
from lrrecsys_core.models.transformer import Attention

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

OLDER = 20


class PARSRec(Recommender):
    """Recurrence whose every step attends, for this user, to the items fed so far.

    Parameters
    ----------
    width, heads, dropout : d, heads of the attention (2 d wide), dropout on its weights.
    state : "long" or "window", where h_0 comes from.
    schedule : "point" or "joint"; `native` is the weight of the native loss in "joint".
    """

    name: ClassVar[str] = "PARSRec"
    needs_order: ClassVar[bool] = True
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item", "history", "older")}
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    tier: ClassVar[str] = "adapted"
    matched: ClassVar[dict[str, Any]] = {"width": 8, "heads": 1}
    as_published: ClassVar[dict[str, Any]] = {"width": 128, "heads": 2, "dropout": 0.1}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 0.0, "state": state, "schedule": schedule}
        for lr in (1e-3, 1e-2)
        for state in ("long", "window")
        for schedule in ("point", "joint")
    ]

    known: Tensor

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        width: int = 8,
        heads: int = 1,
        dropout: float = 0.0,
        state: str = "long",
        schedule: str = "point",
        native: float = 0.1,
    ) -> None:
        super().__init__(sizes, rate, biases)
        if state not in ("long", "window") or schedule not in ("point", "joint"):
            raise ValueError(f"unknown state {state!r} or schedule {schedule!r}: use long/window and point/joint")
        self.long, self.joint, self.native = state == "long", schedule == "joint", native
        self.users = embedding(sizes.users, width)
        self.items = embedding(sizes.items, width)
        self.start = nn.Parameter(torch.randn(width) * 0.1)
        self.attention = Attention(2 * width, heads, memory=width, dropout=dropout)
        self.norm = nn.LayerNorm(2 * width)
        self.context = nn.Linear(2 * width, width)
        self.state = nn.Linear(3 * width, width)
        self.output = nn.Linear(3 * width, width)
        self.register_buffer("known", known_items(sizes.items, sizes.items))

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        model = super().build(split, sizes, task, **params)
        model.known = known_items(split.n_items, sizes.items)
        return model

    @classmethod
    def record_fields(cls, split: Split, sizes: Sizes, **params: Any) -> dict[str, np.ndarray]:
        """`older` (N, 20): the newest training items of the user that precede the history, padded on the left."""
        past = split.earlier_of_user.last(OLDER + split.history.shape[1])
        if split.timestamp is not None:
            moved = (np.diff(split.user_position) != 0) | (np.diff(split.timestamp) != 0)
            now = np.maximum.accumulate(np.where(np.concatenate([[True], moved]), np.arange(len(past)), 0))
            past = np.where(past < now[:, None] - split.history.shape[1], past, -1)
        past = np.take_along_axis(past, np.argsort(past >= 0, axis=1, kind="stable"), 1)[:, -OLDER:]
        return {"older": np.where(past >= 0, split.item[past], 0), "older_mask": past >= 0}

    @property
    def reads(self) -> tuple[str, ...]:
        return (*self.inputs, "older", "older_mask") if self.long else self.inputs

    def row_tables(self) -> dict[str, str]:
        """The softmax reads all items, so in "joint" only the users' tables are row-wise."""
        tables = super().row_tables()
        return {k: v for k, v in tables.items() if v != "item"} if self.joint else tables

    def first_state(self, batch: Batch, past: Tensor) -> Tensor:
        """h_0 (B, d)."""
        mask = batch["history_mask"].unsqueeze(-1)
        window = (past * mask).sum(-2) / mask.sum(-2).clamp_min(1)
        if not self.long:
            return window
        old = batch["older_mask"].unsqueeze(-1)
        mean = (self.items(batch["older"]) * old).sum(-2) / old.sum(-2).clamp_min(1)
        return torch.where(old.any(-2), mean, window)

    def visible(self, mask: Tensor) -> Tensor:
        """(B, 5, 6): what step t attends to, the start token first: only while no item has been fed."""
        fed = mask.unsqueeze(-2) & torch.ones(mask.shape[-1], mask.shape[-1], dtype=torch.bool).to(mask.device).tril()
        return torch.cat([~fed.any(-1, keepdim=True), fed], -1)

    def outputs(self, batch: Batch) -> Tensor:
        """o_1 .. o_5, (B, 5, d)."""
        user, past, mask = self.users(batch["user"]), self.items(batch["history"]), batch["history_mask"]
        memory = torch.cat([self.start.expand_as(past[..., :1, :]), past], -2)
        visible, state, out = self.visible(mask), self.first_state(batch, past), []
        for t in range(mask.shape[-1]):
            query = torch.cat([user, state], -1)
            told = self.attention(query.unsqueeze(-2), memory, visible[..., t : t + 1, :]).squeeze(-2)
            step = torch.cat([query, self.context(self.norm(query + told))], -1)
            state = torch.where(mask[..., t, None], torch.relu(self.state(step)), state)
            out.append(self.output(step))
        return torch.stack(out, -2)

    def match(self, last: Tensor, batch: Batch) -> Tensor:
        """Score (B,) of the candidates under o_5 (B, d)."""
        return (last * self.items(batch["item"])).sum(-1)

    def score(self, batch: Batch) -> Tensor:
        return self.match(self.outputs(batch)[..., -1, :], batch)

    def next_item_loss(self, last: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy, under o_5 (B, d), of the item that followed the history."""
        weight = batch["weight"] * (batch["item"] > 0)
        return item_cross_entropy(last, self.items.weight, self.known, batch["item"], weight)

    def loss(self, batch: Batch) -> Tensor:
        if not self.joint:
            return self.own_loss(batch)
        last = self.outputs(batch)[..., -1, :]
        logits = self.with_biases(self.match(last, batch), batch)
        return self.joint_loss(logits, self.next_item_loss(last, batch), self.native, batch)
