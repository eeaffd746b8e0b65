"""AMCF: matrix factorisation whose item vectors are explained by aspects.

D. Pan, X. Li, X. Li, D. Zhu. Explainable Recommendation via Interpretable Feature Mapping and Evaluation of
Explainability. IJCAI 2020, 2690-2696.

With m_i the item's multi-hot aspects (A), psi_k aspect vectors (d), sg the stopped gradient::

    s        = mu + b_u + b_i + p_u . q_i
    w        = softmax(L_3 L_2 L_1 sg[q_i])                                 (B, A), three linear layers in a row
    mapped_i = sum_k w_k m_ik psi_k                                         (B, d)
    loss     = rating loss + lambda mean ||mapped_i - sg[q_i]||

The preference of user u for aspect k is p_u . psi_k. The two losses share no parameter that s reads: whatever lambda
is, predictions are those of biased matrix factorisation.

Deviations: D1 sigmoid link. D2 Adam, with the published ratios of weight decay and step size between the groups. D3 mu
from the training part instead of 3.53; biases are those shared by all rows (rule P2). D4 losses averaged over the batch
instead of summed, lambda / 16 (rule P5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import Batch, Recommender, Sizes, base_rate, embedding, padded_rows, weighted_mean
from lrrecsys_core.models.profiles import mentions, own_mentions

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

ASPECTS = 20


def item_aspects(split: Split, size: int = ASPECTS) -> np.ndarray:
    """(n_items, size) 1 where a training record of the item mentions the aspect, else 0."""
    said = own_mentions(split, mentions(split), size)[split.train, 1:] != 0
    out = np.zeros((split.n_items, size), dtype=np.float32)
    np.maximum.at(out, split.item[split.train], said.astype(np.float32))
    return out


class AMCF(Recommender):
    """Biased matrix factorisation beside a mapping of its items onto aspects.

    Parameters
    ----------
    carried : (rows, A) multi-hot aspects of the item rows, see `item_aspects`.
    width : d.
    strength : lambda.
    biases : part of the method; accepted so that every model is built alike, and changes nothing.
    """

    name: ClassVar[str] = "AMCF"
    own_biases: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("user", "item")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item",)}
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item", "carried": "item"}
    lr_scale: ClassVar[dict[str, float]] = {"psi": 10.0}
    decay_scale: ClassVar[dict[str, float]] = {"psi": 0.05}
    tier: ClassVar[str] = "faithful"
    matched: ClassVar[dict[str, Any]] = {"width": 8}
    as_published: ClassVar[dict[str, Any]] = {"width": 120}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": decay, "strength": strength}
        for lr in (1e-3, 1e-2)
        for decay in (1e-5, 1e-4)
        for strength in (0.003, 0.05)
    ]

    carried: Tensor

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        carried: Tensor,
        width: int = 8,
        strength: float = 0.003,
    ) -> None:
        super().__init__(sizes, rate, biases=True)
        self.strength = strength
        self.register_buffer("carried", carried)
        self.users = embedding(sizes.users, width)
        self.items = embedding(sizes.items, width)
        aspects = carried.shape[1]
        self.attend = nn.Sequential(nn.Linear(width, 50), nn.Linear(50, 25), nn.Linear(25, aspects))
        self.psi = nn.Parameter(torch.randn(aspects, width) * 0.1)

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        carried = padded_rows(item_aspects(split), sizes.items)
        return cls(sizes, rate=base_rate(split, task), carried=carried, **params)

    def score(self, batch: Batch) -> Tensor:
        return (self.users(batch["user"]) * self.items(batch["item"])).sum(-1)

    def mapping_loss(self, batch: Batch) -> Tensor:
        """Mean distance between item vectors and what their aspects make of them."""
        item = self.items(batch["item"]).detach()
        weights = torch.softmax(self.attend(item), -1) * self.carried[batch["item"]]
        distance = ((weights @ self.psi - item).square().sum(-1) + 1e-12).sqrt()
        return weighted_mean(distance, batch["weight"])

    def loss(self, batch: Batch) -> Tensor:
        return self.own_loss(batch) + self.strength * self.mapping_loss(batch)

    def preferences(self, batch: Batch) -> Tensor:
        """What each user likes: p_u . psi_k with absolute values summing to 1, (B, A)."""
        raw = self.users(batch["user"]) @ self.psi.T
        return raw / raw.abs().sum(-1, keepdim=True).clamp_min(1e-12)
