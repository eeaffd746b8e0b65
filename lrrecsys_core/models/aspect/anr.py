"""ANR.

J. Y. Chin, K. Zhao, S. Joty, G. Cong. ANR: Aspect-based Neural Recommender. CIKM 2018, 147-156.

Words e_j of a user document and an item document; per aspect k = 1..K, with the same W_k and v_k for both::

    x_j   = W_k^T e_j                                                      (h1)
    t_kj  = softmax_j(v_k . [x_{j-1}; x_j; x_{j+1}])
    P_k   = sum_j t_kj x_j   (Q_k for the item)                            (B, K, h1)
    S     = ReLU(P W_s Q^T)                                                (B, K, K)
    H_u   = ReLU(W_p P^T + (W_q Q^T) S^T),  H_i = ReLU(W_q Q^T + (W_p P^T) S)
    beta_u = softmax_k(h_u . H_u),  beta_i = softmax_k(h_i . H_i)
    s     = mu + b_u + b_i + sum_k beta_{u,k} beta_{i,k} Dropout(P_k) . Dropout(Q_k)

Since x_j is linear in e_j, the attention reads W_k v_k off the words and W_k is applied to their weighted sum: the same
numbers at a fraction of the cost. ``pretrain`` first trains the document encoder under a simple net (one layer per
side, then a linear one) and then moves it at a hundredth of the learning rate, as published.

Deviations: D1 word vectors are trained from scratch instead of word2vec's, documents are shorter. D2 padding is shut
out of the softmax over words, where the release lets zero vectors compete. D3 documents hold what was written before
the record; the release leaves the target's own review in the training documents. D4 larger initial weights: the
released ones leave the interaction at 1e-7 for hundreds of steps. D5 sigmoid link; the biases, to which the L2 term
belongs, are those shared by all rows (rule P2). D6 without review text documents consist of aspect terms, item names
and details.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import Batch, Recommender, Sizes
from lrrecsys_core.models.layers import Dropout, masked_softmax
from lrrecsys_core.models.profiles import documents, mentions, words

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

WINDOW = 3
ENCODER = ("words", "project", "attend")


class ANR(Recommender):
    """Aspect vectors of two documents, weighted by how much each aspect matters to this pair.

    Parameters
    ----------
    aspects : K.
    width : h1, of an aspect vector.
    hidden : h2, of the importance layer.
    word_width, vocabulary : of the word table; row 0 is padding.
    length : words per document.
    dropout : on the aspect vectors in the final product.
    pretrain : train the document encoder first.
    biases : part of the method; accepted so that every model is built alike, and changes nothing.
    visibility : "profile", or "oracle" to put the record's own terms into both documents (leakage, to compare only).
    """

    name: ClassVar[str] = "ANR"
    own_biases: ClassVar[bool] = True
    sees_own_aspects: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = ("user", "item", "user_document", "item_document")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item",)}
    pretrain_reads_outcome: ClassVar[bool] = True
    tier: ClassVar[str] = "faithful"
    matched: ClassVar[dict[str, Any]] = {"width": 8, "hidden": 16, "word_width": 8}
    as_published: ClassVar[dict[str, Any]] = {
        "width": 10, "hidden": 50, "word_width": 300, "length": 500, "vocabulary": 50_000, "dropout": 0.5,
    }  # fmt: skip
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 0.0, "aspects": aspects, "pretrain": pretrain}
        for lr in (1e-3, 1e-2)
        for aspects in (3, 5)
        for pretrain in (False, True)
    ]

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        aspects: int = 5,
        width: int = 8,
        hidden: int = 16,
        word_width: int = 8,
        vocabulary: int = 1004,
        length: int = 48,
        dropout: float = 0.0,
        pretrain: bool = False,
        visibility: str = "profile",
    ) -> None:
        super().__init__(sizes, rate, biases=True)
        self.pretrains = pretrain
        self.words = nn.Parameter(torch.randn(vocabulary, word_width))
        self.project = nn.Parameter(torch.randn(aspects, word_width, width) / word_width**0.5)
        self.attend = nn.Parameter(torch.randn(aspects, WINDOW, width) / width**0.5)
        self.affinity = nn.Parameter(torch.randn(width, width) / width)
        self.of_user = nn.Linear(width, hidden, bias=False)
        self.of_item = nn.Linear(width, hidden, bias=False)
        self.of_user_weight = nn.Linear(hidden, 1, bias=False)
        self.of_item_weight = nn.Linear(hidden, 1, bias=False)
        self.dropout = Dropout(dropout)
        if pretrain:
            self.before_user = nn.Linear(aspects * width, hidden)
            self.before_item = nn.Linear(aspects * width, hidden)
            self.before_output = nn.Linear(2 * hidden, 1)

    @classmethod
    def record_fields(
        cls,
        split: Split,
        sizes: Sizes,
        *,
        vocabulary: int = 1004,
        length: int = 48,
        visibility: str = "profile",
        **_: Any,
    ) -> dict[str, np.ndarray]:
        """`user_document`, `item_document` (N, length): word codes, 0 = padding."""
        if visibility not in ("profile", "oracle"):
            raise ValueError(f"unknown visibility {visibility!r}: use 'profile' or 'oracle'")
        found = words(split, mentions(split), vocabulary, min(length, 40))
        return {
            f"{of}_document": documents(split, found, of, length, oracle=visibility == "oracle")
            for of in ("user", "item")
        }

    def encode(self, document: Tensor) -> Tensor:
        """Aspect vectors (B, K, h1) of documents (B, L)."""
        there = (document > 0).unsqueeze(-1)
        word = self.words[document] * there
        reading = torch.einsum("kdh,kwh->dwk", self.project, self.attend).flatten(1)
        before, here, after = (word @ reading).unflatten(-1, (WINDOW, -1)).unbind(-2)
        blank = torch.zeros_like(here[..., :1, :])
        logits = here + torch.cat([blank, before[..., :-1, :]], -2) + torch.cat([after[..., 1:, :], blank], -2)
        attention = masked_softmax(logits, there, dim=-2)
        pooled = attention.transpose(-1, -2) @ word
        return (pooled.unsqueeze(-2) @ self.project).squeeze(-2)

    def importance(self, of_user: Tensor, of_item: Tensor) -> tuple[Tensor, Tensor]:
        """beta_u and beta_i, (B, K) each, of aspect vectors (B, K, h1)."""
        affinity = torch.relu(of_user @ self.affinity @ of_item.transpose(-1, -2))
        mine, its = self.of_user(of_user), self.of_item(of_item)
        user = self.of_user_weight(torch.relu(mine + affinity @ its)).squeeze(-1)
        item = self.of_item_weight(torch.relu(its + affinity.transpose(-1, -2) @ mine)).squeeze(-1)
        return torch.softmax(user, -1), torch.softmax(item, -1)

    def score(self, batch: Batch) -> Tensor:
        of_user, of_item = self.encode(batch["user_document"]), self.encode(batch["item_document"])
        user_weight, item_weight = self.importance(of_user, of_item)
        agreement = (self.dropout(of_user) * self.dropout(of_item, use=1)).sum(-1)
        return (user_weight * item_weight * agreement).sum(-1)

    def pretrain_loss(self, batch: Batch) -> Tensor:
        """The rating from the aspect vectors of both sides by two plain layers."""
        of_user, of_item = self.encode(batch["user_document"]), self.encode(batch["item_document"])
        sides = (self.before_user(of_user.flatten(-2)), self.before_item(of_item.flatten(-2)))
        logits = self.before_output(self.dropout(torch.relu(torch.cat(sides, -1)))).squeeze(-1) + self.offset
        return self.rating_loss(logits, batch)

    def prepare_rating_stage(self) -> None:
        self.lr_scale = dict.fromkeys(ENCODER, 0.01)  # type: ignore[misc]
