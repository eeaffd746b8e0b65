"""LR-Recsys: the deep recommender that reads two explanation embeddings (Sec 3.5, App 8.2, 8.3, 10.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import Batch, Recommender, Sizes, embedding
from lrrecsys_core.models.layers import MLP, PaperGRU, SelfAttention

WIDTH = 8
SLOTS = ("positive", "negative")


class ExplanationTokens(nn.Module):
    """The explanation tokens of a record, (B, k, d), by one of three ways.

    ``text``: the autoencoder's codes, used as they are. ``free``: trained vectors in their place, the same for
    every record (Ablation 1; `per_item` gives each item its own). ``raw``: the LLM's own embedding through a
    trained linear map to d (Ablation 2).
    """

    def __init__(self, slots: Sequence[str], source: str, width: int, raw_width: int = 0, items: int = 0) -> None:
        super().__init__()
        if source not in ("text", "free", "raw"):
            raise ValueError(f"unknown explanation source {source!r}: use 'text', 'free' or 'raw'")
        self.slots, self.source, self.width = tuple(slots), source, width
        self.per_item = bool(items) and source == "free"
        if self.per_item:
            self.vectors = embedding(items, len(self.slots) * width)
        elif source == "free":
            self.vector = nn.Parameter(torch.randn(len(self.slots), width) * 0.1)
        elif source == "raw":
            self.project = nn.Linear(raw_width, width)

    def forward(self, batch: Batch) -> list[Tensor]:
        """One (B, d) token per slot."""
        if self.per_item:
            return list(self.vectors(batch["item"]).split(self.width, -1))
        if self.source == "free":
            return [self.vector[k].expand(*batch["item"].shape, self.width) for k in range(len(self.slots))]
        given = [batch[slot] for slot in self.slots]
        return [self.project(x) for x in given] if self.source == "raw" else given


class LRRecsys(Recommender):
    """Fusion of explanation, user, item, sequence (and context) tokens by self-attention, then an MLP.

    Parameters
    ----------
    sizes : rows of the user and item tables; ``sizes.context`` is the width of the context features.
    slots : explanation slots read, in token order; one for the one-text variants of Table 5, none to leave them out.
    source : where explanation tokens come from, see `ExplanationTokens`.
    raw_width : width of the raw embeddings when ``source="raw"``.
    free_per_item : Ablation 1 with one pair of vectors per item.
    ids : keep the user and item tokens (Sec 4.2 asks whether they help).
    context : add the sixth token, made from ``batch["context"]`` (B, sizes.context) by an MLP.
    biases : residual user and item biases (rule P2 of docs/protocol.md); off for the model to the letter.

    Notes
    -----
    Shared weights without the context MLP, biases off: 3,945 with five tokens, 4,457 with six (App 10.1).
    Eq 6-9 attention over the last five items, Eq 10-13 recurrence, Eq 26-28 fusion, MLP [64, 8, 1] (App 8.3).
    """

    inputs: ClassVar[tuple[str, ...]] = ("user", "item", "history", "history_mask")
    tables: ClassVar[dict[str, str]] = {"users.weight": "user", "items.weight": "item"}
    table_fields: ClassVar[dict[str, tuple[str, ...]]] = {"explanations.vectors.weight": ("item",)}
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
        source: str = "text",
        raw_width: int = 0,
        free_per_item: bool = False,
        ids: bool = True,
        context: bool = False,
        width: int = WIDTH,
    ) -> None:
        super().__init__(sizes, rate, biases)
        self.slots, self.ids = tuple(slots), ids
        self.users = embedding(sizes.users, width) if ids else None
        self.items = embedding(sizes.items, width)
        self.explanations = ExplanationTokens(self.slots, source, width, raw_width, sizes.items if free_per_item else 0)
        self.history_attention = SelfAttention(width)
        self.history_state = PaperGRU(width)
        self.context = MLP([sizes.context, 2 * width, width]) if context else None
        self.fusion = SelfAttention(width)
        self.token_names = (
            *self.slots,
            *(("user", "item") if ids else ()),
            "sequence",
            *(("context",) if context else ()),
        )
        self.head = MLP([len(self.token_names) * width, 64, 8, 1])

    @property
    def reads(self) -> tuple[str, ...]:
        """Record fields this instance needs."""
        texts = self.slots if self.explanations.source != "free" else ()
        return (*self.inputs, *texts, *(("context",) if self.context is not None else ()))

    def entity_tables(self) -> dict[str, str]:
        tables = super().entity_tables()
        if not self.ids:
            del tables["users.weight"]
        if self.explanations.per_item:
            tables["explanations.vectors.weight"] = "item"
        return tables

    def lookups(self, table: str) -> tuple[str, ...]:
        return ("history",) if table == "items.weight" and not self.ids else super().lookups(table)

    def tokens(self, batch: Batch) -> Tensor:
        """The fusion layer's input, (B, tokens, d), in the order of `token_names`."""
        mask = batch["history_mask"]
        past = self.items(batch["history"])
        sequence = self.history_state(self.history_attention(past, mask), mask)
        tokens = self.explanations(batch)
        if self.users is not None:
            tokens += [self.users(batch["user"]), self.items(batch["item"])]
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
