"""DIN, adapted to ratings.

G. Zhou, X. Zhu, C. Song, Y. Fan, H. Zhu, X. Ma, Y. Yan, J. Jin, H. Li, K. Gai. Deep Interest Network for Click-Through
Rate Prediction. KDD 2018, 1059-1068.

An item is ``[item vector ; category vector]`` (D). For history item k and candidate q::

    a_k      = MLP_{16-8-1}([q ; k ; q - k ; q * k])                        (B, 5)
    interest = sum_k a_k k                                                  (B, D), 0 for an empty history
    s        = MLP_{64-8-1}([user ; interest ; q ; interest * q])           (B,)

Deviations: D1 the paper's weights a_k stay unnormalised by default (the intensity of interest counts);
``normalise=True`` is the released code's softmax(a / sqrt(D)). D2 PReLU instead of Dice, no batch normalisation. D3 no
sampled negatives: ratings are the labels. D4 plain weight decay, which is not mini-batch-aware. D5 the category is the
first phrase of an item's details, the rarer ones sharing a row. D6 sigmoid link and residual biases (rules P1,
P2), Adam.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding
from lrrecsys_core.models.layers import MLP, masked_softmax

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

CATEGORIES = 32


def item_categories(split: Split, rows: int = CATEGORIES) -> np.ndarray:
    """Category row (items,) of each row of ``dataset.items``: 1.. by falling number of training items, 0 = the rest."""
    names = [details.split("; ")[0] for details in split.dataset.items["details"]]
    trained = np.unique(split.item_position[split.train]).tolist()
    counts = Counter(names[k] for k in trained if names[k])
    chosen = sorted(counts, key=lambda name: (-counts[name], name))[: rows - 1]
    place = {name: row for row, name in enumerate(chosen, 1)}
    return np.array([place.get(name, 0) for name in names], dtype=np.int64)


class DIN(Recommender):
    """Pools the history by its items' relevance to the candidate.

    Parameters
    ----------
    width, category_width : lengths of the item (and user) vector and of the category vector; D is their sum.
    attention, tower : hidden layers of the local unit and of the output net.
    normalise : softmax over the history instead of raw weights.
    """

    inputs: ClassVar[tuple[str, ...]] = (
        "user",
        "item",
        "history",
        "history_mask",
        "item_category",
        "history_category",
    )
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    name: ClassVar[str] = "DIN"
    needs_order: ClassVar[bool] = True
    tier: ClassVar[str] = "adapted"
    matched: ClassVar[dict[str, Any]] = {"width": 8, "category_width": 8}
    as_published: ClassVar[dict[str, Any]] = {
        "width": 64,
        "category_width": 64,
        "attention": (80, 40),
        "tower": (80, 40),
    }
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": decay, "normalise": normalise}
        for lr in (1e-3, 1e-2)
        for decay in (0.0, 1e-5)
        for normalise in (False, True)
    ]

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        width: int = 8,
        category_width: int = 8,
        attention: tuple[int, ...] = (16, 8),
        tower: tuple[int, ...] = (64, 8),
        normalise: bool = False,
    ) -> None:
        super().__init__(sizes, rate, biases)
        self.normalise = normalise
        self.users = embedding(sizes.users, width)
        self.items = embedding(sizes.items, width)
        self.categories = nn.Embedding(CATEGORIES, category_width)
        nn.init.normal_(self.categories.weight, std=0.1)
        both = width + category_width
        self.unit = MLP([4 * both, *attention, 1], nn.PReLU)
        self.tower = MLP([width + 3 * both, *tower, 1], nn.PReLU)

    @classmethod
    def record_fields(cls, split: Split, sizes: Sizes, **params: Any) -> dict[str, np.ndarray]:
        """Categories of the candidate (N,) and of the history (N, 5)."""
        category = item_categories(split)
        past = np.where(split.history_position >= 0, category[split.history_position], 0)
        return {"item_category": category[split.item_position], "history_category": past}

    def described(self, item: Tensor, category: Tensor) -> Tensor:
        """Item vectors (..., D)."""
        return torch.cat([self.items(item), self.categories(category)], -1)

    def interest(self, query: Tensor, past: Tensor, mask: Tensor) -> Tensor:
        """History (B, 5, D) pooled (B, D) for the candidates (B, D)."""
        asked = query.unsqueeze(-2).expand_as(past)
        weights = self.unit(torch.cat([asked, past, asked - past, asked * past], -1)).squeeze(-1)
        weights = masked_softmax(weights / past.shape[-1] ** 0.5, mask) if self.normalise else weights * mask
        return (weights.unsqueeze(-1) * past).sum(-2)

    def score(self, batch: Batch) -> Tensor:
        query = self.described(batch["item"], batch["item_category"])
        past = self.described(batch["history"], batch["history_category"])
        interest = self.interest(query, past, batch["history_mask"])
        told = torch.cat([self.users(batch["user"]), interest, query, interest * query], -1)
        return self.tower(told).squeeze(-1)
