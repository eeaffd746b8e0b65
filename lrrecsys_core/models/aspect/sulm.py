"""SULM.

K. Bauman, B. Liu, A. Tuzhilin. Aspect Based Recommendations: Recommending Items with the Most Valuable Aspects Based on
User Reviews. KDD 2017, 717-725.

For aspects k = 1..A and the constant aspect 0 (the release puts it last), user and item rows (A + 1)(F + 2) wide::

    g_k = mu_k + b_{u,k} + b_{i,k} + p_{u,k} . q_{i,k}          sentiment utilities, (B, A + 1)
    s   = sum_k g_k (z_k + w_{u,k} + v_{i,k})                   rating utility, (B,)

mu is fixed: the logit of the mean sentiment of each aspect, and of the mean rating for the constant one. Objective:
``alpha`` x log loss of the rating + (1 - alpha) x log losses of the *mentioned* aspects' sentiments + 0.05 x squares of
the utilities in these losses. The aspects of a record are targets only: a score needs the two ids.

Deviations: D1 ratings in [0, 1] are soft labels of the same log loss (high/low is native); early stopping watches the
task's own loss. D2 Adam on minibatches instead of block-wise SGD, L2 as weight decay of the rows a batch touches. D3
where sentiments are missing the rating stands in. D4 base rate and shared biases (rule P2) are added to s, held fixed,
and mu of the constant aspect is 0: as parts of its utility the rating's weights would stretch them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding, weighted_mean
from lrrecsys_core.models.profiles import mentions, own_mentions

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split


class SULM(Recommender):
    """Latent factors per aspect for sentiments, a weighted sum of the utilities for the rating.

    Parameters
    ----------
    aspects : A, the most frequent aspects of the training records.
    width : F, factors per aspect.
    alpha : weight of the rating against the sentiments.
    utility : weight of the squared utilities.
    biases : add base rate and shared biases (rule P2) to s; without them mu of the constant aspect is the base rate.
    """

    name: ClassVar[str] = "SULM"
    inputs: ClassVar[tuple[str, ...]] = ("user", "item", "own_sentiment")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item",)}
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    tier: ClassVar[str] = "adapted"
    matched: ClassVar[dict[str, Any]] = {"aspects": 20, "width": 8}
    as_published: ClassVar[dict[str, Any]] = {"aspects": 20, "width": 3}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 1e-4, "aspects": aspects, "width": width}
        for lr in (1e-4, 1e-3)
        for aspects in (10, 20)
        for width in (3, 8)
    ]

    mean_utility: Tensor

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        aspects: int = 20,
        width: int = 8,
        alpha: float = 0.5,
        utility: float = 0.05,
    ) -> None:
        super().__init__(sizes, rate, biases)
        self.aspects, self.alpha, self.utility = aspects, alpha, utility
        self.users = embedding(sizes.users, (aspects + 1) * (width + 2))
        self.items = embedding(sizes.items, (aspects + 1) * (width + 2))
        with torch.no_grad():
            for table in (self.users, self.items):
                # Biases and weights start at 0: twenty random ones would drown the rating of a user with few records.
                table.weight.unflatten(-1, (aspects + 1, -1))[..., :2] = 0.0
        # The constant aspect alone adds to the rating at first: mu_0 up to noise.
        self.weight = nn.Parameter(F.one_hot(torch.tensor(0), aspects + 1).float())
        self.register_buffer("mean_utility", F.pad(self.offset.view(1) * (not biases), (0, aspects)))

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        model = super().build(split, sizes, task, **params)
        own = own_mentions(split, mentions(split), model.aspects)[split.train]
        share = ((own > 0).sum(0) + 1) / ((own != 0).sum(0) + 2)
        means = torch.from_numpy(np.log(share / (1 - share))).float()
        model.mean_utility[1:] = means[1:]
        return model

    @classmethod
    def record_fields(cls, split: Split, sizes: Sizes, *, aspects: int = 20, **_: Any) -> dict[str, np.ndarray]:
        """`own_sentiment` (N, A + 1): the record's own sentiments, read by the loss only."""
        return {"own_sentiment": own_mentions(split, mentions(split), aspects).astype(np.float32)}

    def utilities(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sentiment utilities g and their coefficients z + w + v, each (B, A + 1)."""
        of_user, of_item = (
            table(batch[name]).unflatten(-1, (self.aspects + 1, -1))
            for table, name in ((self.users, "user"), (self.items, "item"))
        )
        shared = (of_user[..., 2:] * of_item[..., 2:]).sum(-1)
        utility = self.mean_utility + of_user[..., 0] + of_item[..., 0] + shared
        return utility, self.weight + of_user[..., 1] + of_item[..., 1]

    def score(self, batch: Batch) -> Tensor:
        utility, coefficient = self.utilities(batch)
        return (utility * coefficient).sum(-1)

    def loss(self, batch: Batch) -> Tensor:
        utility, coefficient = self.utilities(batch)
        said, logits = batch["own_sentiment"], self.with_biases((utility * coefficient).sum(-1), batch)
        rating = F.binary_cross_entropy_with_logits(logits, batch["target"], reduction="none")
        mentioned = said.abs()
        sentiment = (F.softplus(-said * utility) * mentioned).sum(-1)
        squares = (utility**2 * mentioned).sum(-1) + utility[..., 0] ** 2
        total = self.alpha * rating + (1 - self.alpha) * sentiment + self.utility * squares
        return weighted_mean(total, batch["weight"])
