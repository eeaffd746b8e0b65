"""PETER: a transformer that rates from two tokens and writes the explanation after them.

L. Li, Y. Zhang, L. Chen. Personalized Transformer for Explainable Recommendation. ACL-IJCNLP 2021, 4947-4957.

Tokens [u, i, <bos>, w_1 .. w_T], each from its own table times sqrt(d) plus sinusoidal positions, go through two
post-norm blocks under the causal mask, except that u may also see i. With h the last states (B, 3 + T, d)::

    rating   r = W_2 sigma(W_1 h_u + b_1) + b_2                             (B,)
    context  log softmax(O h_i)            against every word               (B, V)
    text     log softmax(O h_<bos>.. h_T)  against w_1 .. w_T, <eos>        (B, T + 1, V)
    loss     = (r - y)^2 + text_weight (text + context)

h_u and h_i see nothing but u and i, so neither text nor context can leak into the rating.

Deviations: D1 y in [0, 1]; ``text_weight=0.625`` is the published balance 0.1 : 1 : 1 on stars, rescaled. D2 high/low
task: the same head as a logit. D3 Adam instead of SGD with a falling rate. D4 without reviews, aspect terms are the
words. D5 no feature token (PETER, not PETER+). D6 the head starts at the base rate; ratings are clipped to [0, 1] (rule
P3). D7 the residual biases of rule P2, in units of the head.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrrecsys_core.models.base import Batch, Recommender, Sizes, base_rate, embedding, weighted_mean
from lrrecsys_core.models.layers import Dropout
from lrrecsys_core.models.profiles import mentions, words
from lrrecsys_core.models.transformer import Block, causal

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

# Vocabulary (padding, <bos> and <eos> included) and words of a text: with reviews, and with aspect terms only.
REVIEWS, TERMS = (1004, 15), (204, 6)
CLIP = 1e-4


def text_size(split: Split) -> tuple[int, int]:
    """Vocabulary and length of the texts this data set offers."""
    return TERMS if split.dataset.reviews is None else REVIEWS


def positions(length: int, width: int) -> Tensor:
    """Sinusoidal codes (length, width)."""
    angle = torch.arange(length).unsqueeze(1) * torch.exp(-math.log(1e4) / width * torch.arange(0, width, 2))
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[:, :width]


class PETER(Recommender):
    """Two-token transformer for ratings, continued by the words that explain them.

    Parameters
    ----------
    vocabulary : V; the last two codes are <bos> and <eos>, 0 is padding.
    classifies : train for the high/low task; decides how the head's output becomes a probability.
    width, blocks, heads, inner, dropout : of the transformer.
    text_weight : of both text losses beside the rating loss.
    """

    name: ClassVar[str] = "PETER"
    inputs: ClassVar[tuple[str, ...]] = ("user", "item", "words")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item",)}
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    tier: ClassVar[str] = "faithful"
    matched: ClassVar[dict[str, Any]] = {"width": 8, "inner": 32}
    as_published: ClassVar[dict[str, Any]] = {"width": 512, "inner": 2048, "dropout": 0.2, "vocabulary": 20004}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 0.0, "text_weight": weight, "dropout": dropout}
        for lr in (1e-3, 1e-2)
        for weight in (0.06, 0.625)
        for dropout in (0.0, 0.2)
    ]

    classifies: Tensor
    codes: Tensor

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        vocabulary: int = REVIEWS[0],
        classifies: bool = False,
        width: int = 8,
        blocks: int = 2,
        heads: int = 2,
        inner: int = 32,
        dropout: float = 0.2,
        text_weight: float = 0.625,
    ) -> None:
        super().__init__(sizes, rate, biases)
        self.text_weight, self.vocabulary = text_weight, vocabulary
        self.register_buffer("classifies", torch.tensor(classifies))
        self.register_buffer("codes", positions(REVIEWS[1] + 3, width))
        self.users = embedding(sizes.users, width)
        self.items = embedding(sizes.items, width)
        self.words = embedding(vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, heads, inner, dropout) for _ in range(blocks))
        self.dropout = Dropout(dropout)
        hidden, last, self.output = nn.Linear(width, width), nn.Linear(width, 1), nn.Linear(width, vocabulary)
        for layer in (hidden, last, self.output):
            nn.init.uniform_(layer.weight, -0.1, 0.1)
            nn.init.zeros_(layer.bias)
        # The head starts at the base rate, as every other row does by its offset; from 0 a short run never gets there.
        nn.init.constant_(last.bias, float(self.offset) if classifies else rate)
        self.rating_head = nn.Sequential(hidden, nn.Sigmoid(), last)

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        given = {"vocabulary": text_size(split)[0], **params}
        return cls(sizes, rate=base_rate(split, task), classifies=task == "classification", **given)

    @classmethod
    def record_fields(cls, split: Split, sizes: Sizes, *, vocabulary: int = 0, **params: Any) -> dict[str, np.ndarray]:
        """`words` (N, T): the record's own text, a target of the losses; no score reads it."""
        size, length = text_size(split)
        return {"words": words(split, mentions(split), (vocabulary or size) - 2, length).records}

    def states(self, batch: Batch, told: Tensor | None = None) -> Tensor:
        """Last states (B, 2 + n, d) of u, i and the word codes `told` (B, n)."""
        tokens = torch.stack([self.users(batch["user"]), self.items(batch["item"])], -2)
        if told is not None:
            tokens = torch.cat([tokens, self.words(told)], -2)
        length, width = tokens.shape[-2:]
        x = self.dropout(tokens * math.sqrt(width) + self.codes[:length])
        sees = causal(torch.ones(length, dtype=torch.bool, device=x.device))
        first = torch.arange(length, device=x.device)
        mask = sees | ((first == 0).unsqueeze(-1) & (first == 1))
        for block in self.blocks:
            x = block(x, mask.expand(*x.shape[:-1], length))
        return x

    def rated(self, states: Tensor, batch: Batch) -> Tensor:
        """The head's output (B,), with the residual biases where they are on."""
        rating = self.rating_head(states[..., 0, :]).squeeze(-1)
        if not self.biases:
            return rating
        return rating + (self.user_bias(batch["user"]) + self.item_bias(batch["item"])).squeeze(-1)

    def hold_biases(self, of_user: Tensor, of_item: Tensor) -> None:
        rate = torch.sigmoid(self.offset)
        unit = torch.where(self.classifies, 1.0, rate * (1 - rate))  # a logit is worth so much of a rating
        super().hold_biases(unit * of_user, unit * of_item)

    def raw(self, batch: Batch) -> Tensor:
        """Rating, or logit in the high/low task, from u and i alone (B,)."""
        return self.rated(self.states(batch), batch)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B,) whose sigmoid is the clipped rating, or the probability of a high one."""
        raw = self.raw(batch)
        return torch.where(self.classifies, raw, torch.logit(raw.clamp(CLIP, 1 - CLIP)))

    def head_loss(self, raw: Tensor, batch: Batch) -> Tensor:
        """Squared error of the unclipped rating, or cross-entropy of the logit."""
        entropy = F.binary_cross_entropy_with_logits(raw, batch["target"], reduction="none")
        squared = (raw - batch["target"]).square()
        return weighted_mean(torch.where(self.classifies, entropy, squared), batch["weight"])

    def own_loss(self, batch: Batch) -> Tensor:
        return self.head_loss(self.raw(batch), batch)

    def loss(self, batch: Batch) -> Tensor:
        told = batch["words"]
        begin = torch.full_like(told[..., :1], self.vocabulary - 2)
        states = self.states(batch, torch.cat([begin, told], -1))
        text, context = self.text_losses(states, told, batch["weight"])
        return self.head_loss(self.rated(states, batch), batch) + self.text_weight * (text + context)

    def text_losses(self, states: Tensor, told: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Mean negative log-likelihood of the words, one after the other and as a bag; records without words skip."""
        real = told > 0
        count = real.sum(-1, keepdim=True)
        place = torch.arange(told.shape[-1] + 1, device=told.device)
        ended = torch.cat([told, torch.zeros_like(told[..., :1])], -1)
        following = torch.where(place == count, self.vocabulary - 1, ended)
        text = torch.log_softmax(self.output(states[..., 2:, :]), -1)
        text = text.gather(-1, following.unsqueeze(-1)).squeeze(-1)
        bag = torch.log_softmax(self.output(states[..., 1, :]), -1).gather(-1, told)
        heard = weight.unsqueeze(-1) * (count > 0)
        return -weighted_mean(text, heard * (place <= count)), -weighted_mean(bag, heard * real)
