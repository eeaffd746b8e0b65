"""A3NCF.

Z. Cheng, Y. Ding, X. He, L. Zhu, X. Song, M. Kankanhalli. A^3NCF: An Adaptive Aspect Attention Model for Rating
Prediction. IJCAI 2018, 3748-3754.

theta_u, theta_i (B, K) are topic shares of the user-item topic model (`topics`), p_u, q_i (B, K) trained::

    P = ReLU(A (p_u + theta_u)),  Q = ReLU(B (q_i + theta_i))        (B, K)
    a = softmax(C [theta_u; theta_i; P; Q])                          (B, K)
    s = w . Dropout(ReLU(D (a * P * Q))) + c                         (B,)

One layer of attention and the sum p + theta are what the release computes; the paper also discusses other fusions, and
``att_hidden`` adds a hidden layer to the attention. Initial weights as released (Glorot normal; attention within 0.05).

Deviations: D1 theta by CVB0 instead of Gibbs sampling, same priors. D2 sigmoid link and residual biases (rules P1, P2).
D3 without review text the aspect terms of a record are its document. D4 the epoch is chosen on validation (the release
reports the best test epoch). D5 theta is read off at each record from strictly earlier training records; the release
keeps one table fitted on all reviews, the target's included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding
from lrrecsys_core.models.layers import MLP, Dropout
from lrrecsys_core.models.topics import ALPHA, corpus, user_item_topics, words_by_record

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split


class A3NCF(Recommender):
    """Topic-steered gates on the element-wise product of user and item vectors.

    Parameters
    ----------
    topics : K, the width of every vector.
    dropout : before the output layer.
    att_hidden : width of a hidden layer in the attention, 0 for none.
    """

    name: ClassVar[str] = "A3NCF"
    inputs: ClassVar[tuple[str, ...]] = ("user", "item", "theta_user", "theta_item")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item",)}
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    tier: ClassVar[str] = "faithful"
    matched: ClassVar[dict[str, Any]] = {"topics": 8}
    as_published: ClassVar[dict[str, Any]] = {"topics": 5, "dropout": 0.5}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 0.0, "topics": topics, "dropout": dropout}
        for lr in (1e-3, 1e-2)
        for topics in (5, 8)
        for dropout in (0.0, 0.5)
    ]

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        topics: int = 8,
        dropout: float = 0.0,
        att_hidden: int = 0,
    ) -> None:
        super().__init__(sizes, rate, biases)
        self.users = embedding(sizes.users, topics, sd=0.01)
        self.items = embedding(sizes.items, topics, sd=0.01)
        self.of_user = nn.Linear(topics, topics)
        self.of_item = nn.Linear(topics, topics)
        self.attend = MLP([4 * topics, *([att_hidden] if att_hidden else []), topics])
        self.hidden = nn.Linear(topics, topics)
        self.dropout = Dropout(dropout)
        self.output = nn.Linear(topics, 1)
        for layer in (self.of_user, self.of_item, self.hidden, self.output):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        for weight in self.attend.parameters():
            nn.init.uniform_(weight, -0.05, 0.05) if weight.dim() > 1 else nn.init.zeros_(weight)

    @classmethod
    def record_fields(cls, split: Split, sizes: Sizes, *, topics: int = 8, **_: Any) -> dict[str, np.ndarray]:
        """`theta_user`, `theta_item` (N, K): topic shares of what the user and the item side said before."""
        data = corpus(split)
        share, _phi = user_item_topics(data, topics)
        told = words_by_record(data, share, len(split.user))
        fields = {}
        for side, (name, windows) in enumerate((("user", split.earlier_of_user), ("item", split.earlier_of_item))):
            counts = windows.sums(told[:, side]).clip(min=0) + ALPHA
            fields[f"theta_{name}"] = (counts / counts.sum(1, keepdims=True)).astype(np.float32)
        return fields

    def gates(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Attention over topics and the two fused vectors, each (B, K)."""
        of_user = torch.relu(self.of_user(self.users(batch["user"]) + batch["theta_user"]))
        of_item = torch.relu(self.of_item(self.items(batch["item"]) + batch["theta_item"]))
        told = torch.cat([batch["theta_user"], batch["theta_item"], of_user, of_item], -1)
        return torch.softmax(self.attend(told), -1), of_user, of_item

    def score(self, batch: Batch) -> Tensor:
        attention, of_user, of_item = self.gates(batch)
        hidden = torch.relu(self.hidden(attention * of_user * of_item))
        return self.output(self.dropout(hidden)).squeeze(-1)
