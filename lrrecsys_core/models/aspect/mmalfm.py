"""ALFM, that is MMALFM without images.

Z. Cheng, X. Chang, L. Zhu, R. C. Kanjirathinkal, M. Kankanhalli. MMALFM: Explainable Recommendation by Leveraging
Reviews and Images. ACM TOIS 37(2), 2019, 1-28. It extends Z. Cheng, Y. Ding, L. Zhu, M. Kankanhalli. Aspect-Aware
Latent Factor Model: Rating Prediction with Ratings and Reviews. WWW 2018, 639-648.

From the sentence-aspect topic model (`topics`): pi_u, lambda (B, A), theta (B, A, K)::

    rho_a = pi_u lambda_{u,a} + (1 - pi_u) lambda_{i,a}              importance, sums to 1
    S_a   = 1 - JSD_2(theta_{u,a}, theta_{i,a})                      similarity in [0, 1], base-2 divergence
    s     = mu + b_u + b_i + sum_a rho_a S_a sum_f w_{a,f}^2 p_{u,f} q_{i,f}

Loss: the rating's, plus 0.01 x smoothed L1 of w; L2 on factors and biases.

Deviations: D1 no visual words, since no images are at hand: the row is *reduced*. D2 CVB0 instead of Gibbs sampling,
and a sentence's aspect by log-sum-exp: the released sampler scales each aspect's likelihood by its own maximum and so
draws aspects almost from the prior. D3 sigmoid link on top of mu + biases, which are those shared by all rows (rule
P2); the L1 weight is divided by 16 (rule P5). D4 Adam instead of SGD, L2 as weight decay. D5 rho and S are computed for
every record from strictly earlier training records; the release has them for training pairs only, which turns its test
predictions into mu + b_u + b_i. D6 without review text each aspect term is a sentence of one word. D7 |w| starts near
0.5: near 0 its square would keep it there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding
from lrrecsys_core.models.topics import (
    ALPHA,
    ETA,
    GAMMA,
    corpus,
    sentence_aspects,
    sentences_by_record,
    words_by_record,
)

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split


def similarity(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """1 minus the base-2 Jensen-Shannon divergence of distributions along the last axis."""
    middle = (first + second) / 2

    def divergence(p: np.ndarray) -> np.ndarray:
        # 0 log 0 = 0; the middle is positive wherever p is.
        ratio = np.divide(p, middle, out=np.ones_like(p), where=p > 0)
        return (p * np.log2(ratio)).sum(-1)

    return np.clip(1 - (divergence(first) + divergence(second)) / 2, 0, 1)


class MMALFM(Recommender):
    """Matrix factorisation whose factors count per aspect as much as the reviews say.

    Parameters
    ----------
    aspects : A, and K, the number of topics.
    width : F.
    sparsity : weight of the smoothed L1 norm of w.
    biases : part of the method; accepted so that every model is built alike, and changes nothing.
    """

    name: ClassVar[str] = "MMALFM"
    own_biases: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("user", "item", "aspect_match")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item",)}
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    decay_scale: ClassVar[dict[str, float]] = {"weight": 0.0}
    tier: ClassVar[str] = "reduced"
    matched: ClassVar[dict[str, Any]] = {"aspects": 5, "width": 8}
    as_published: ClassVar[dict[str, Any]] = {"aspects": 5, "width": 5}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": decay, "aspects": aspects}
        for lr in (1e-3, 1e-2)
        for decay in (1e-5, 1e-4)
        for aspects in (5, 8)
    ]

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        aspects: int = 5,
        width: int = 8,
        sparsity: float = 0.01 / 16,
    ) -> None:
        super().__init__(sizes, rate, biases=True)
        self.sparsity = sparsity
        self.users = embedding(sizes.users, width)
        self.items = embedding(sizes.items, width)
        self.weight = nn.Parameter(0.5 + 0.1 * torch.randn(aspects, width))

    @classmethod
    def record_fields(cls, split: Split, sizes: Sizes, *, aspects: int = 5, **_: Any) -> dict[str, np.ndarray]:
        """`aspect_match` (N, A): rho_a S_a of every record."""
        data, n = corpus(split), len(split.user)
        picked, share = sentence_aspects(data, aspects, aspects)
        sentences, told = sentences_by_record(data, picked, n), words_by_record(data, share, n)
        likes, theta, spoken = [], [], []
        for side, windows in enumerate((split.earlier_of_user, split.earlier_of_item)):
            likes.append(windows.sums(sentences[:, side]).clip(min=0) + GAMMA)
            theta.append(windows.sums(told[:, side]).clip(min=0) + ALPHA)
            spoken.append(split.earlier_of_user.sums(sentences[:, side].sum(-1)).clip(min=0) + ETA)
        of_user, of_item = (x / x.sum(-1, keepdims=True) for x in likes)
        by_user = (spoken[0] / (spoken[0] + spoken[1]))[:, None]
        importance = by_user * of_user + (1 - by_user) * of_item
        alike = similarity(*(x / x.sum(-1, keepdims=True) for x in theta))
        return {"aspect_match": (importance * alike).astype(np.float32)}

    def score(self, batch: Batch) -> Tensor:
        factors = batch["aspect_match"] @ self.weight**2
        return (factors * self.users(batch["user"]) * self.items(batch["item"])).sum(-1)

    def loss(self, batch: Batch) -> Tensor:
        return self.own_loss(batch) + self.sparsity * (self.weight**2 + 1e-6).sqrt().sum()
