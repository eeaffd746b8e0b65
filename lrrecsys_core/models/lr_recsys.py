"""LR-Recsys: the deep recommender that reads two explanation embeddings (Sec 3.5, App 8.2, 8.3, 10.1).

With user c, candidate p, the user's last n = 5 items s_1..s_n and explanation embeddings e_pos and e_neg, all d wide::

    e_c = E_c[c], e_p = E_p[p], S = [E_p[s_1]; ...; E_p[s_n]]                                    (Eq 4)
    E  <- E - lr dL/dE, for the id tables like for all weights                                  (Eq 5)
    Q = S W_q, K = S W_k, V = S W_v, Z = softmax(Q K^T / sqrt(d)) V                              (Eq 6-9)
    h_1 = z_1, and for t = 2..n
    r = sigma(W_r z_t + U_r h + b_r), u = sigma(W_u z_t + U_u h + b_u)                           (Eq 10, 11)
    g = tanh(W_h z_t + U_h (r * h) + b_h), h <- u * h + (1 - u) * g; e_seq = h_n                 (Eq 12, 13)
    X = [e_pos; e_neg; e_c; e_p; e_seq (; e_context)]
    Q = X W_Q, K = X W_K, V = X W_V, A = softmax(Q K^T / sqrt(d)), F = A V                       (Eq 26-28)
    score = sigma(MLP(flat(F))), MLP of widths 64, 8, 1; loss: cross-entropy, or squared error   (Eq 14)

The attention a token receives is its column mean in A (Eq 24). Eq 6-13 stand in `layers` (`SelfAttention`, `PaperGRU`),
Eq 14 and the squared error in `base` (`Recommender.rating_loss`), Eq 5 in ``training``; networks with one part of this
one exchanged in `ablations`.
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
    biases : residual user and item biases (rule P2); off for the model to the letter.

    Notes
    -----
    Shared weights without the context MLP, biases off: 3,945 with five tokens, 4,457 with six (App 10.1).
    """

    name: ClassVar[str] = "LR-Recsys"
    inputs: ClassVar[tuple[str, ...]] = ("user", "item", "history", "history_mask")
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    id_names: ClassVar[tuple[str, ...]] = ("user", "item")
    tier: ClassVar[str] = "faithful"
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": decay} for lr in (1e-3, 1e-2) for decay in (0.0, 1e-5, 1e-4, 1e-3)
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
        """One (B, d) token per slot: the autoencoder's codes as they are."""
        return [batch[slot] for slot in self.slots]

    def id_tokens(self, batch: Batch) -> list[Tensor]:
        """The (B, d) vectors of the user and the item (Eq 4)."""
        return [self.users(batch["user"]), self.items(batch["item"])]

    def tokens(self, batch: Batch) -> Tensor:
        """The fusion layer's input X, (B, tokens, d), in the order of `token_names`."""
        mask = batch["history_mask"]
        past = self.items(batch["history"])
        sequence = self.history_state(self.history_attention(past, mask), mask)
        tokens = self.explanation_tokens(batch) + self.id_tokens(batch)
        # One history serves many candidates of the same user: its state is computed once and shared.
        tokens.append(sequence.expand(*batch["item"].shape, -1))
        if self.context is not None:
            tokens.append(self.context(batch["context"]))
        return torch.stack(tokens, -2)

    def score(self, batch: Batch) -> Tensor:
        fused = self.fusion(self.tokens(batch))
        return self.head(fused.flatten(-2)).squeeze(-1)

    def score_and_attention(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B,) and attention (B, tokens) in one pass, for serving."""
        tokens = self.tokens(batch)
        weights = self.fusion.weights(tokens)
        score = self.head(self.fusion.mix(weights, tokens).flatten(-2)).squeeze(-1)
        return self.with_biases(score, batch), weights.mean(-2)

    def attention(self, batch: Batch) -> Tensor:
        """Mean attention each token receives from all tokens, (B, tokens), rows summing to 1 (Eq 24)."""
        return self.fusion.weights(self.tokens(batch)).mean(-2)
