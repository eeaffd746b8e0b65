"""LR-Recsys: the deep recommender that reads two explanation embeddings (Sec 3.5, App 8.2, 8.3, 10.1).

With tables U of users and I of items (rows of width d), step size eta, and x_1 .. x_5 the vectors of the user's last
five items (n = 5 below; real ones first to last, * is element by element)::

    u = U[user],  v = I[item],  x_t = I[history_t]                    Eq 4      (B, d)
    U <- U - eta dL/dU,  I <- I - eta dL/dI                           Eq 5      `fit` with "sgd"; Adam by default

    Q = X W_Q,  K = X W_K,  V = X W_V                                 Eq 6-9    (B, n, d)
    Z = softmax(Q K^T / sqrt(d)) V                                              (B, n, d), padding shut out

    r_t = sigmoid(W_r z_t + U_r h_{t-1} + b_r)                        Eq 10-13  (B, d)
    g_t = sigmoid(W_g z_t + U_g h_{t-1} + b_g)
    c_t = tanh(W_c z_t + U_c (r_t * h_{t-1}) + b_c)
    h_t = g_t * h_{t-1} + (1 - g_t) * c_t,  h_1 = z_1                           h_n is the sequence token

    L = mean of -y log p - (1 - y) log(1 - p),  p = sigmoid(logit)    Eq 14     squared errors for ratings

The positive and the negative explanation's codes e+, e-, the ids and the sequence (and context, by an MLP) are tokens::

    T = [e+ ; e- ; u ; v ; h_n ; c]                                             (B, k, d), k = 5 or 6
    A = softmax((T F_Q) (T F_K)^T / sqrt(d))                          Eq 26-28  (B, k, k)
    O = A (T F_V),  logit = MLP(flatten(O))                                     MLP of widths 64, 8, 1
    a_j = mean over i of A_ij                                         Eq 24     attention token j receives
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding
from lrrecsys_core.models.layers import MLP, PaperGRU, SelfAttention

WIDTH = 8
SLOTS = ("positive", "negative")


class LRRecsys(Recommender):
    """Fusion of explanation, user, item, sequence (and context) tokens by self-attention, then an MLP.

    Parameters
    ----------
    sizes : rows of the user and item tables; ``sizes.context`` is the width of the context features.
    slots : explanation slots read, in token order; one for the one-text variants of Table 5, none to leave them out.
    context : add the sixth token, made from ``batch["context"]`` (B, sizes.context) by an MLP.
    biases : residual user and item biases (rule P2 of docs/protocol.md); off for the model to the letter.

    Notes
    -----
    Shared weights without the context MLP, biases off: 3,945 with five tokens, 4,457 with six (App 10.1).
    Eq 6-9 attention over the last five items, Eq 10-13 recurrence, Eq 26-28 fusion, MLP [64, 8, 1] (App 8.3).
    """

    inputs: ClassVar[tuple[str, ...]] = ("user", "item", "history", "history_mask")
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    id_names: ClassVar[tuple[str, ...]] = ("user", "item")
    name: ClassVar[str] = "LR-Recsys"
    tier: ClassVar[str] = "faithful"

    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": decay} for lr in (3e-4, 1e-3, 3e-3, 1e-2) for decay in (0.0, 1e-4)
    ]

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        slots: Sequence[str] = SLOTS,
        context: bool = False,
        width: int = WIDTH,
    ) -> None:
        super().__init__(sizes, rate, biases)
        self.slots = tuple(slots)
        self.draw_inputs(sizes, width)
        self.history_attention = SelfAttention(width)
        self.history_state = PaperGRU(width)
        self.context = MLP([sizes.context, 2 * width, width]) if context else None
        self.fusion = SelfAttention(width)
        self.token_names = (*self.slots, *self.id_names, "sequence", *(("context",) if context else ()))
        self.head = MLP([len(self.token_names) * width, 64, 8, 1])

    def draw_inputs(self, sizes: Sizes, width: int) -> None:
        """Draw what the tokens are looked up in; the ablations change it."""
        self.users = embedding(sizes.users, width)
        self.items = embedding(sizes.items, width)

    @property
    def reads(self) -> tuple[str, ...]:
        """Record fields this instance needs."""
        return (*self.inputs, *self.slots, *(("context",) if self.context is not None else ()))

    def explanation_tokens(self, batch: Batch) -> list[Tensor]:
        """One (B, d) token per slot: the autoencoder's codes as they are given."""
        return [batch[slot] for slot in self.slots]

    def id_tokens(self, batch: Batch) -> list[Tensor]:
        """The (B, d) vectors of the user and the item (Eq 4)."""
        return [self.users(batch["user"]), self.items(batch["item"])]

    def tokens(self, batch: Batch) -> Tensor:
        """The fusion layer's input, (B, tokens, d), in the order of `token_names`."""
        mask = batch["history_mask"]
        past = self.items(batch["history"])
        sequence = self.history_state(self.history_attention(past, mask), mask)
        tokens = self.explanation_tokens(batch) + self.id_tokens(batch)
        # One history serves many candidates of the same user: its state is computed once and shared.
        tokens.append(sequence.expand(*batch["item"].shape, -1))
        if self.context is not None:
            tokens.append(self.context(batch["context"]))
        return torch.stack(tokens, -2)

    def fused(self, batch: Batch) -> Tensor:
        """What the head reads: the tokens after fusion, (B, tokens x d)."""
        return self.fusion(self.tokens(batch)).flatten(-2)

    def score(self, batch: Batch) -> Tensor:
        return self.head(self.fused(batch)).squeeze(-1)

    def score_and_attention(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B,) and attention (B, tokens) in one pass, for serving."""
        tokens = self.tokens(batch)
        weights = self.fusion.weights(tokens)
        score = self.head(self.fusion.mix(weights, tokens).flatten(-2)).squeeze(-1)
        return self.with_biases(score, batch), weights.mean(-2)

    def attention(self, batch: Batch) -> Tensor:
        """Mean attention each token receives from all tokens, (B, tokens), rows summing to 1 (Eq 24)."""
        return self.fusion.weights(self.tokens(batch)).mean(-2)
