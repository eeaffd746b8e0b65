"""UniSRec, adapted to ratings: items known by their texts.

Y. Hou, S. Mu, W. X. Zhao, Y. Li, B. Ding, J.-R. Wen. Towards Universal Sequence Representation Learning for Recommender
Systems. KDD 2022, 585-593.

With t_i the frozen text vector of an item (T) and G = 8 experts::

    gate   = softmax(t W_1 + noise * softplus(t W_2))                       noise in training only
    a_i    = sum_g gate_g W_g (Dropout(t_i) - b_g)  [+ e(i)]                (d), e with ``ids=True``
    f      = causal post-norm encoder over LN(a + pos), newest state        (B, d)
    s      = kappa cos(f, a_i)

Native losses: InfoNCE of f with the next item's a (temperature 0.07, the other records of the batch as negatives) and,
with weight 0.001, of f with the f of the same history after dropping 20% of its items.

Deviations: D1 no checkpoint from other domains: pre-trained on the training records of the same data. D2 text vectors:
TF-IDF of names and details reduced to T = 64 by SVD, both fitted on training items. D3 kappa learned; residual biases,
sigmoid, pointwise loss. D4 no word-dropping augmentation. D5 records with the same next item are left out of the
denominator (the release leaves them in with logit 0); 128 records contrast with each other.

Schedules: ``pre`` (then encoder and positions are frozen, as published), or ``joint``: plus 0.1 x the native losses
(/ 16 beside ratings, rule P5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrrecsys_core.data.split import HISTORY
from lrrecsys_core.errors import NothingToRead
from lrrecsys_core.models.base import Batch, Recommender, Sizes, base_rate, embedding, weighted_mean
from lrrecsys_core.models.layers import Dropout, Noise
from lrrecsys_core.models.transformer import Block, causal, newest

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

TEXT_WIDTH = 64
TEMPERATURE = 0.07
DROPPED = 0.2
CONTRAST = 128


def text_vectors(split: Split, width: int = TEXT_WIDTH) -> Tensor:
    """(items + 1, width) vectors of the rows of ``dataset.items``, one lower; row 0 is zero. Mean square 1."""
    from sklearn.decomposition import TruncatedSVD  # takes long to import
    from sklearn.feature_extraction.text import TfidfVectorizer

    table = split.dataset.items
    texts = [f"{name} {details}" for name, details in zip(table["name"], table["details"], strict=True)]
    trained = np.unique(split.item_position[split.train])
    counter = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
    try:
        learnt = counter.fit_transform([texts[k] for k in trained])
    except ValueError as error:  # no word in any of them
        raise NothingToRead("UniSRec finds no word in the names and details of the training records' items.") from error
    kept = min(width, *learnt.shape)
    reduced = TruncatedSVD(kept, random_state=0).fit(learnt).transform(counter.transform(texts))
    out = np.zeros((len(texts) + 1, width), dtype=np.float32)
    out[1:, :kept] = reduced / max(float(np.sqrt((reduced**2).mean())), 1e-8)
    return torch.from_numpy(out)


class Adaptor(nn.Module):
    """Mixture of parametric whitenings, texts (..., T) -> (..., d)."""

    def __init__(self, text: int, width: int, experts: int = 8, dropout: float = 0.2) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(experts, text))
        self.maps = nn.Parameter(torch.randn(experts, text, width) * text**-0.5)
        self.gate = nn.Parameter(torch.zeros(text, experts))
        self.noise = nn.Parameter(torch.zeros(text, experts))
        self.dropout, self.drawn = Dropout(dropout), Noise()

    def forward(self, text: Tensor) -> Tensor:
        logits = text @ self.gate
        if self.training:
            logits = logits + self.drawn.normal(logits) * F.softplus(text @ self.noise)
        # sum_g gate_g W_g (t - b_g), the experts' maps applied to all texts at once
        moved = torch.einsum("...t,gtd->...gd", self.dropout(text), self.maps)
        moved = moved - torch.einsum("gt,gtd->gd", self.shift, self.maps)
        return (torch.softmax(logits, -1).unsqueeze(-1) * moved).sum(-2)


class UniSRec(Recommender):
    """Causal encoder over adapted text vectors; the candidate is its own adapted text.

    Parameters
    ----------
    text : (rows, T) frozen vectors, see `text_vectors`.
    width, blocks, heads, inner, dropout : of the encoder.
    ids : add an item table to the adapted texts (the transductive setting).
    schedule : "pre" or "joint"; `native` is the weight of the native losses in "joint".
    """

    name: ClassVar[str] = "UniSRec"
    needs_order: ClassVar[bool] = True
    inputs: ClassVar[tuple[str, ...]] = (
        "user",
        "item",
        "history",
        "history_mask",
        "item_text",
        "history_text",
        "text_mask",
    )
    entities: ClassVar[dict[str, tuple[str, ...]]] = {
        "user": ("user",),
        "item": ("item", "history"),
        "text": ("item_text", "history_text"),
    }
    tier: ClassVar[str] = "adapted"
    matched: ClassVar[dict[str, Any]] = {"width": 8}
    as_published: ClassVar[dict[str, Any]] = {"width": 300, "inner": 256, "dropout": 0.5}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 0.0, "ids": ids, "schedule": schedule}
        for lr in (1e-3, 1e-2)
        for ids in (False, True)
        for schedule in ("pre", "joint")
    ]

    text: Tensor

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        text: Tensor,
        width: int = 8,
        blocks: int = 2,
        heads: int = 2,
        inner: int = 32,
        dropout: float = 0.2,
        ids: bool = False,
        schedule: str = "pre",
        native: float = 0.1,
    ) -> None:
        super().__init__(sizes, rate, biases)
        if schedule not in ("pre", "joint"):
            raise ValueError(f"unknown schedule {schedule!r}: use 'pre' or 'joint'")
        self.pretrains, self.joint, self.native = schedule == "pre", schedule == "joint", native
        self.register_buffer("text", text)
        self.adaptor = Adaptor(text.shape[1], width)
        self.items = embedding(sizes.items, width) if ids else None
        self.positions = nn.Parameter(torch.randn(HISTORY, width) * 0.1)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, inner, dropout, nn.GELU) for _ in range(blocks))
        self.kappa = nn.Parameter(torch.ones(()))

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        return cls(sizes, rate=base_rate(split, task), text=text_vectors(split), **params)

    @classmethod
    def record_fields(cls, split: Split, sizes: Sizes, **params: Any) -> dict[str, np.ndarray]:
        """Rows of the text table (texts exist for items unseen in training too), and the candidate's once more."""
        candidate, past = (places.astype(np.int64) + 1 for places in (split.item_position, split.history_position))
        return {"item_text": candidate, "history_text": past, "text_mask": past > 0, "next_text": candidate}

    @property
    def reads(self) -> tuple[str, ...]:
        return (*self.inputs, "next_text") if self.pretrains or self.joint else self.inputs

    def entity_tables(self) -> dict[str, str]:
        own = {"text": "text"} if self.items is None else {"text": "text", "items.weight": "item"}
        return {**super().entity_tables(), **own}

    def adapted(self, text: Tensor, item: Tensor) -> Tensor:
        """Item vectors (..., d) from rows of the text table and of the item table."""
        known = self.adaptor(self.text[text])
        return known if self.items is None else known + self.items(item)

    def sequence(self, past: Tensor, mask: Tensor, use: int = 0) -> Tensor:
        """f (B, d) of item vectors (B, 5, d); zero without any."""
        x = self.dropout(self.norm(past + self.positions), use)
        for block in self.blocks:
            x = block(x, causal(mask), use=use)
        return newest(x, mask)

    def states(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Adapted history (B, 5, d), its sequence f (B, d) and the adapted candidate (B, d)."""
        past = self.adapted(batch["history_text"], batch["history"])
        return past, self.sequence(past, batch["text_mask"]), self.adapted(batch["item_text"], batch["item"])

    def match(self, found: Tensor, candidate: Tensor) -> Tensor:
        """Score (B,) of candidates (B, d) after sequences (B, d)."""
        return self.kappa * F.cosine_similarity(found, candidate, dim=-1)

    def score(self, batch: Batch) -> Tensor:
        _, found, candidate = self.states(batch)
        return self.match(found, candidate)

    def native_loss(self, past: Tensor, found: Tensor, following: Tensor, batch: Batch) -> Tensor:
        """Sequence with next item, and sequence with its thinned self, of `states`."""
        thinned = self.sequence(past, batch["text_mask"] & batch["kept"], use=1)
        weight = batch["weight"] * batch["text_mask"].any(-1)
        with_item = contrast(found, following, batch["next_text"], weight)
        return with_item + 1e-3 * contrast(found, thinned, batch["next_text"], weight)

    def loss(self, batch: Batch) -> Tensor:
        if not self.joint:
            return self.own_loss(batch)
        past, found, candidate = self.states(batch)
        native = self.native_loss(past, found, candidate, batch)
        return self.joint_loss(self.with_biases(self.match(found, candidate), batch), native, self.native, batch)

    def pretrain_loss(self, batch: Batch) -> Tensor:
        return self.native_loss(*self.states(batch), batch)

    def draws(self, records: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """`kept` (records, 5): the places left after thinning."""
        if not (self.pretrains or self.joint):
            return {}
        return {"kept": rng.random((records, HISTORY)) >= DROPPED}

    def prepare_rating_stage(self) -> None:
        """Freeze encoder and positions; adaptor and item table go on."""
        self.pretrains = False
        self.lr_scale = {"positions": 0.0, "norm": 0.0, "blocks": 0.0}  # type: ignore[misc]


def contrast(left: Tensor, right: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """InfoNCE of each row of `left` (B, d) with its row of `right` against the rows of other targets (B,).

    Rows contrast within groups of 128, so that the loss does not depend on how many are evaluated at once; rows
    without `weight` (B,) are neither anchors nor negatives.
    """
    left, right = F.normalize(left, dim=-1), F.normalize(right, dim=-1)
    losses = []
    for start in range(0, left.shape[-2], CONTRAST):
        part = slice(start, start + CONTRAST)
        group, here = target[..., part], weight[..., part] > 0
        logits = left[..., part, :] @ right[..., part, :].T / TEMPERATURE
        own = torch.eye(group.shape[-1], dtype=torch.bool, device=logits.device)
        negative = (group.unsqueeze(-1) != group.unsqueeze(-2)) & here.unsqueeze(-2)
        logits = logits.masked_fill(~(negative | own), torch.finfo(logits.dtype).min)
        losses.append(-torch.log_softmax(logits, -1).diagonal(dim1=-2, dim2=-1))
    return weighted_mean(torch.cat(losses, -1), weight)
