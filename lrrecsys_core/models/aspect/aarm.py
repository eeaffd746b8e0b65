"""AARM.

X. Guan, Z. Cheng, X. He, Y. Zhang, Z. Zhu, Q. Peng, T.-S. Chua. Attentive Aspect Modeling for Review-Aware
Recommendation. ACM TOIS 37(3), 2019, 1-27.

Aspects a of the user and b of the item (S each) have frozen word vectors x; e = T x / |T x|, zero for padding::

    m_ab    = e_a * e_b                                          (B, S, S, d)
    beta_ab = softmax_b(w_2 . m_ab + c_2)
    alpha_a = softmax_a(w_1 . (e_a * sum_b e_b) + c_1)
    h       = sum_a alpha_a sum_b beta_ab m_ab                   (B, d)
    s       = w . [Dropout(p_u * q_i) ; Dropout(h)]              (B,)

plus 0.1 x the mean squared entry of each id table (of the rows in the batch). Native loss: BPR against an unseen item.

Deviations: D1 the pointwise loss of the ratings leads; ``joint`` adds BPR with weight 0.1, / 16 beside ratings (rule
P5). D2 sigmoid link and residual biases (rules P1, P2). D3 the word vectors are a singular value decomposition of which
training records mention two aspects together. D4 padded aspects are shut out of both softmaxes, where the release lets
them compete. D5 sets are the S most frequent aspects of strictly earlier training records instead of a quantile of all.
D6 four negatives per record are drawn once, each with its aspects at the time of some record of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding, weighted_mean
from lrrecsys_core.models.layers import Dropout, masked_softmax
from lrrecsys_core.models.negatives import some_record_of, unseen_items
from lrrecsys_core.models.profiles import Mentions, mentions, top_aspects

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

NEGATIVES = 4


def aspect_vectors(split: Split, said: Mentions, rows: int, width: int) -> np.ndarray:
    """(rows, width) word vectors of the most frequent aspects, row 0 zero, each of length 1 where there is anything.

    Positive pointwise mutual information of being mentioned in one training record, factorised by its strongest
    singular vectors (O. Levy, Y. Goldberg. Neural Word Embedding as Implicit Matrix Factorization. NIPS 2014).
    """
    known = min(rows, len(said.names))
    kept = split.in_training[said.record] & (said.aspect < known)
    present = np.zeros((len(split.user), known), np.float32)
    present[said.record[kept], said.aspect[kept]] = 1.0
    together = present.T @ present + 1e-9
    alone = np.diag(together)
    surprise = np.log(together * max(1, len(split.train)) / np.outer(alone, alone)).clip(min=0)
    surprise[0] = surprise[:, 0] = 0.0
    left, strength, _ = np.linalg.svd(surprise)
    vectors = np.zeros((rows, width), np.float32)
    used = min(width, known)
    vectors[:known, :used] = left[:, :used] * np.sqrt(strength[:used])
    vectors[0] = 0.0
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-9)


class AARM(Recommender):
    """Attention over all pairs of a user aspect and an item aspect, beside a product of id vectors.

    Parameters
    ----------
    width : d.
    word_width : length of the frozen word vectors.
    vocabulary : rows of the word table; rarer aspects are left out.
    set_size : S.
    dropout : on both halves before the output.
    schedule : "point", or "joint" for BPR beside the ratings with weight `ranking`.
    ridge : weight of the mean squared entries of the id vectors.
    visibility : "profile", or "oracle" to add the record's own aspects to both sets (leakage, for comparison only).
    """

    name: ClassVar[str] = "AARM"
    sees_own_aspects: ClassVar[bool] = True
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item", "negative")}
    table_fields: ClassVar[dict[str, tuple[str, ...]]] = {"item_bias.weight": ("item", "negative")}
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    tier: ClassVar[str] = "adapted"
    matched: ClassVar[dict[str, Any]] = {"width": 8, "word_width": 8}
    as_published: ClassVar[dict[str, Any]] = {"width": 128, "word_width": 128, "dropout": 0.5}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 0.0, "dropout": dropout, "schedule": schedule}
        for lr in (1e-3, 1e-2)
        for dropout in (0.0, 0.5)
        for schedule in ("point", "joint")
    ]

    vectors: Tensor

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        width: int = 8,
        word_width: int = 8,
        vocabulary: int = 256,
        set_size: int = 8,
        dropout: float = 0.0,
        schedule: str = "point",
        ranking: float = 0.1,
        ridge: float = 0.1,
        visibility: str = "profile",
    ) -> None:
        super().__init__(sizes, rate, biases)
        if schedule not in ("point", "joint"):
            raise ValueError(f"unknown schedule {schedule!r}: use 'point' or 'joint'")
        self.ranking = ranking if schedule == "joint" else 0.0
        self.ridge = ridge
        self.users = embedding(sizes.users, width)
        self.items = embedding(sizes.items, width)
        self.register_buffer("vectors", torch.zeros(vocabulary, word_width))
        self.project = nn.Linear(word_width, width, bias=False)
        self.of_pair = nn.Linear(width, 1)
        self.of_aspect = nn.Linear(width, 1)
        self.output = nn.Linear(2 * width, 1, bias=False)
        self.dropout = Dropout(dropout)

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        model = super().build(split, sizes, task, **params)
        model.vectors = torch.from_numpy(aspect_vectors(split, mentions(split), *model.vectors.shape))
        return model

    @classmethod
    def record_fields(
        cls,
        split: Split,
        sizes: Sizes,
        *,
        vocabulary: int = 256,
        set_size: int = 8,
        schedule: str = "point",
        visibility: str = "profile",
        **_: Any,
    ) -> dict[str, np.ndarray]:
        """`user_aspects`, `item_aspects` (N, S); with ``joint``, `negative` (N, 4) and its aspects (N, 4, S)."""
        if visibility not in ("profile", "oracle"):
            raise ValueError(f"unknown visibility {visibility!r}: use 'profile' or 'oracle'")
        said = mentions(split)
        oracle = visibility == "oracle"
        fields = {
            f"{of}_aspects": top_aspects(split, said, of, set_size, vocabulary=vocabulary, oracle=oracle)
            for of in ("user", "item")
        }
        if schedule == "joint":
            fields["negative"] = unseen_items(split, NEGATIVES)
            fields["negative_aspects"] = fields["item_aspects"][some_record_of(split, fields["negative"])]
        return fields

    @property
    def reads(self) -> tuple[str, ...]:
        ranking = ("negative", "negative_aspects") if self.ranking else ()
        return ("user", "item", "user_aspects", "item_aspects", *ranking)

    def units(self, aspects: Tensor) -> Tensor:
        """Projected word vectors of length 1, zero for padding: (..., S, d)."""
        projected = self.project(self.vectors[aspects])
        return projected * torch.rsqrt((projected**2).sum(-1, keepdim=True) + 1e-12)

    def attention(self, of_user: Tensor, of_item: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha (B, S) over user aspects, beta (B, S, S) over item aspects, both sides' e (B, S, d); from codes (B, S).

        As w_2 . m_ab = (w_2 * e_a) . e_b, the (B, S, S, d) products m never need to exist.
        """
        mine, its = self.units(of_user), self.units(of_item)
        pairs = (mine * self.of_pair.weight) @ its.transpose(-1, -2) + self.of_pair.bias
        beta = masked_softmax(pairs, (of_item > 0).unsqueeze(-2).expand(pairs.shape))
        alpha = masked_softmax(self.of_aspect(mine * its.sum(-2, keepdim=True)).squeeze(-1), of_user > 0)
        return alpha, beta, mine, its

    def match(self, user: Tensor, item: Tensor, of_user: Tensor, of_item: Tensor, use: int = 0) -> Tensor:
        """Score (...) of id vectors (..., d) and aspect sets (..., S)."""
        alpha, beta, mine, its = self.attention(of_user, of_item)
        joined = (alpha.unsqueeze(-1) * mine * (beta @ its)).sum(-2)
        return self.output(torch.cat([self.dropout(user * item, use), self.dropout(joined, use + 1)], -1)).squeeze(-1)

    def score(self, batch: Batch) -> Tensor:
        user, item = self.users(batch["user"]), self.items(batch["item"])
        return self.match(user, item, batch["user_aspects"], batch["item_aspects"])

    def loss(self, batch: Batch) -> Tensor:
        logits = self(batch)
        user, item = self.users(batch["user"]), self.items(batch["item"])
        squares = (user**2).mean(-1) + (item**2).mean(-1)
        ridge = self.ridge * weighted_mean(squares, batch["weight"])
        if not self.ranking:
            return self.rating_loss(logits, batch) + ridge
        return self.joint_loss(logits, self.ranking_loss(logits, batch), self.ranking, batch) + ridge

    def ranking_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """BPR: the record's item above items its user never met, whatever the rating."""
        others = self.items(batch["negative"])
        user = self.users(batch["user"]).unsqueeze(-2).expand(others.shape)
        of_user = batch["user_aspects"].unsqueeze(-2).expand(batch["negative_aspects"].shape)
        below = self.match(user, others, of_user, batch["negative_aspects"], use=2)
        if self.biases:
            below = below + self.offset + self.user_bias(batch["user"]) + self.item_bias(batch["negative"]).squeeze(-1)
        gap = (logits.unsqueeze(-1) - below).clamp_min(-80.0)
        return weighted_mean(F.softplus(-gap).mean(-1), batch["weight"])
