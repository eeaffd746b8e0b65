"""UCEPic-R: our rating adaptation of UCEPic.

J. Li, Z. He, J. Shang, J. McAuley. UCEpic: Unifying Aspect Planning and Lexical Constraints for Generating Explanations
in Recommendation. KDD 2023, 1248-1257.

The published model writes texts by insertion; it has no rating head, no ids, and no ratings in its data. Here the
encoder reads a prefix [<s> ; user references ; item references ; profile aspects], and after it two versions of the
record's text: the *source*, in which some words are left out, and the *frame*, in which [MASK] stands for them::

    rating     s = MLP_{d-d-1}(h_<s>)                                       (B,)
    insertion  13 classes per source word: how many words are missing after it
    tokens     V classes per [MASK]
    loss       = rating loss + native (insertion + tokens)

Aspect planning, a quarter of the samples: nothing is kept, and an aspect of the record is given.

Deviations: D1 a small encoder trained from scratch instead of RoBERTa with phrase mining. D2 the rating head, with
sigmoid and residual biases. D3 aspects at prediction are the three the item is known for among those the user
mentions, never the record's. D4 one round of insertion; all missing words at once; a planned aspect leads to the whole
text. D5 the prefix does not attend to the text: no word can reach the rating. D6 padding in references is masked
(the release marks it as valid). D7 without reviews, aspect terms are the text. D8 Adam, no dropout on attention. D9 a
quarter of each (shuffled) batch carries the text losses, and references are shorter: both for time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.models.base import Batch, Recommender, Sizes, base_rate, embedding, weighted_mean
from lrrecsys_core.models.layers import MLP, Dropout
from lrrecsys_core.models.profiles import Mentions, aspect_counts, documents, mentions, own_mentions, words
from lrrecsys_core.models.transformer import Block

if TYPE_CHECKING:
    from lrrecsys_core.data.split import Split

# Vocabulary (padding and the three marks included) and words of a text: with reviews, and with aspect terms only.
REVIEWS, TERMS = (1004, 12), (204, 6)
MARKS = 3
ASPECTS, PROFILE, GAPS = 20, 3, 13
PLANNED, ZEROS_KEPT = 0.25, 0.1
SHARE = 4


def text_size(split: Split) -> tuple[int, int]:
    """Vocabulary and length of the texts this data set offers."""
    return TERMS if split.dataset.reviews is None else REVIEWS


def profile_aspects(split: Split, said: Mentions) -> np.ndarray:
    """(N, 3) codes of the item's most mentioned aspects among the user's, both before the record; 0 = none."""
    user, item = (aspect_counts(split, said, of, ASPECTS) for of in ("user", "item"))
    score = item * (user > 0)
    order = np.argsort(-score, axis=1, kind="stable")[:, :PROFILE]
    return np.where(np.take_along_axis(score, order, 1) > 0, order, 0)


class UCEPic(Recommender):
    """Reference encoder with a rating head and the two heads of insertion-based generation.

    Parameters
    ----------
    vocabulary, length : V (its last three codes are <s>, </s> and [MASK]) and T, words of a text, at most 12.
    reference : words of each of the two references.
    width, blocks, heads, dropout : of the encoder; its feed-forward layer is four times as wide.
    native : weight of the two text losses; 0 leaves the text out altogether.
    """

    name: ClassVar[str] = "UCEPic"
    inputs: ClassVar[tuple[str, ...]] = ("user", "item", "user_refs", "item_refs", "profile")
    entities: ClassVar[dict[str, tuple[str, ...]]] = {"user": ("user",), "item": ("item",)}
    tier: ClassVar[str] = "reduced"
    matched: ClassVar[dict[str, Any]] = {"width": 8, "reference": 8}
    as_published: ClassVar[dict[str, Any]] = {"width": 128, "reference": 64}
    grid: ClassVar[list[dict[str, Any]]] = [
        {"lr": lr, "weight_decay": 0.0, "native": native, "reference": reference}
        for lr in (1e-3, 1e-2)
        for native in (0.06, 0.6)
        for reference in (8, 16)
    ]

    def __init__(
        self,
        sizes: Sizes,
        rate: float = 0.5,
        biases: bool = True,
        *,
        vocabulary: int = REVIEWS[0],
        length: int = REVIEWS[1],
        reference: int = 8,
        width: int = 8,
        blocks: int = 2,
        heads: int = 2,
        dropout: float = 0.1,
        native: float = 0.06,
    ) -> None:
        super().__init__(sizes, rate, biases)
        self.native, self.length = native, length
        self.start, self.end, self.mask = range(vocabulary - MARKS, vocabulary)
        self.words = embedding(vocabulary, width)
        self.aspects = nn.Embedding(ASPECTS + 1, width)
        nn.init.normal_(self.aspects.weight, std=0.1)
        self.prefix = 1 + 2 * reference + PROFILE
        self.positions = nn.Parameter(torch.randn(self.prefix + 1 + length + 2, width) * 0.1)
        self.norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads, 4 * width, dropout, nn.GELU, drop_weights=False) for _ in range(blocks)
        )
        self.rating = MLP([width, width, 1])
        self.insertion = nn.Linear(width, GAPS)
        self.output = nn.Linear(width, vocabulary)

    @classmethod
    def build(cls, split: Split, sizes: Sizes, task: str, **params: Any) -> Self:
        vocabulary, length = text_size(split)
        given = {"vocabulary": vocabulary, "length": length, **params}
        return cls(sizes, rate=base_rate(split, task), **given)

    @classmethod
    def record_fields(
        cls, split: Split, sizes: Sizes, *, vocabulary: int = 0, reference: int = 8, **params: Any
    ) -> dict[str, np.ndarray]:
        """References and profile from earlier training records; `text` and `planned` are targets no score reads."""
        size, length = text_size(split)
        said = mentions(split)
        found = words(split, said, (vocabulary or size) - MARKS)
        own = own_mentions(split, said, ASPECTS) != 0
        return {
            "user_refs": documents(split, found, "user", reference),
            "item_refs": documents(split, found, "item", reference),
            "profile": profile_aspects(split, said),
            "text": found.records[:, :length],
            "planned": own.argmax(1),
        }

    @property
    def reads(self) -> tuple[str, ...]:
        return (*self.inputs, "text", "planned") if self.native else self.inputs

    def encode(self, batch: Batch, *texts: tuple[Tensor, Tensor]) -> list[Tensor]:
        """States of the prefix (of <s> only when alone) and of each text: its aspect (B,) and its words (B, T + 2)."""
        known = torch.cat([batch["user_refs"], batch["item_refs"]], -1)
        begin = torch.full_like(known[..., :1], self.start)
        parts = [self.words(torch.cat([begin, known], -1)), self.aspects(batch["profile"])]
        real = [torch.ones_like(begin, dtype=torch.bool), known > 0, batch["profile"] > 0]
        group = [0] * self.prefix
        for number, (aspect, told) in enumerate(texts, 1):
            parts += [self.aspects(aspect).unsqueeze(-2), self.words(told)]
            real += [torch.ones_like(begin, dtype=torch.bool), told > 0]
            group += [number] * (self.length + 3)
        place = self.positions[: self.prefix], *[self.positions[self.prefix :]] * len(texts)
        x = self.dropout(self.norm(torch.cat(parts, -2) + torch.cat(place)))
        of = torch.tensor(group, device=x.device)
        sees = (of == 0) | (of.unsqueeze(-1) == of)
        mask = torch.cat(real, -1).unsqueeze(-2) & sees
        for block in self.blocks[:-1]:
            x = block(x, mask)
        if not texts:
            return [self.blocks[-1](x, mask, slice(0, 1))]
        return list(self.blocks[-1](x, mask).split([self.prefix, *[self.length + 3] * len(texts)], -2))

    def score(self, batch: Batch) -> Tensor:
        return self.rating(self.encode(batch)[0][..., 0, :]).squeeze(-1)

    def corrupted(self, text: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frame (B, T + 2), its version with [MASK]s, the source, and the words missing after each source word.

        The last is -1 where there is no gap to fill: at </s> and at padding.
        """
        count = (text > 0).sum(-1, keepdim=True)
        place = torch.arange(self.length + 2, device=text.device)
        edge = torch.zeros_like(text[..., :1])
        inner = torch.cat([edge, text, edge], -1)
        marked = torch.where(place == 0, self.start, torch.where(place == count + 1, self.end, inner))
        never = edge.bool()
        stays = (torch.cat([never, kept, never], -1) & (inner > 0)) | (place == 0) | (place == count + 1)
        masked = torch.where(stays | (marked == 0), marked, self.mask)
        # Kept places first, in their order: a stable sort of "is missing".
        key = torch.where(stays, place, place + self.length + 2)
        order = key.argsort(-1)
        left = stays.gather(-1, order)
        source = torch.where(left, marked.gather(-1, order), 0)
        missing = torch.where(left[..., 1:], order[..., 1:] - order[..., :-1] - 1, -1)
        return marked, masked, source, torch.cat([missing, torch.full_like(edge, -1)], -1)

    def native_losses(self, source: Tensor, filled: Tensor, batch: Batch, told: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy of the gaps (a tenth of the empty ones counts) plus that of the masked words."""
        frame, masked, _, gaps = told
        weight = (batch["weight"] * (batch["text"] > 0).any(-1)).unsqueeze(-1)
        counted = (gaps > 0) | ((gaps == 0) & batch["counted"])
        guess = torch.log_softmax(self.insertion(source[..., 1:, :]), -1)
        insertion = guess.gather(-1, gaps.clamp_min(0).unsqueeze(-1)).squeeze(-1)
        word = torch.log_softmax(self.output(filled[..., 1:, :]), -1).gather(-1, frame.unsqueeze(-1)).squeeze(-1)
        return -weighted_mean(insertion, counted * weight) - weighted_mean(word, (masked == self.mask) * weight)

    def native_loss(self, batch: Batch) -> Tensor:
        """Insertion and token losses of the batch."""
        told = self.corrupted(batch["text"], batch["kept"] & ~batch["planning"].unsqueeze(-1))
        aspect = torch.where(batch["planning"], batch["planned"], 0)
        _, source, filled = self.encode(batch, (aspect, told[2]), (aspect, told[1]))
        return self.native_losses(source, filled, batch, told)

    def loss(self, batch: Batch) -> Tensor:
        if not self.native:
            return self.own_loss(batch)
        some = -(-batch["user"].shape[-1] // SHARE)
        texts = {name: value[:some] if value.dim() else value for name, value in batch.items()}
        return self.own_loss(batch) + self.native * self.native_loss(texts)

    def draws(self, records: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Which words stay, which samples plan from an aspect, which empty gaps count."""
        if not self.native:
            return {}
        return {
            "kept": rng.random((records, self.length)) < rng.random((records, 1)),
            "planning": rng.random(records) < PLANNED,
            "counted": rng.random((records, self.length + 2)) < ZEROS_KEPT,
        }

    @torch.no_grad()
    def generate(self, batch: Batch, given: Tensor, rounds: int = 4) -> Tensor:
        """Texts (B, T) grown by insertion around the words of `given` (B, T), which all stay, in their order.

        The best count per gap and the best word per [MASK] are taken, at most T words in all; the first profile
        aspect is the plan.
        """
        text, aspect = given.clone(), batch["profile"][..., 0]
        for _ in range(rounds):
            source = self.corrupted(text, text > 0)[2]
            gaps = self.insertion(self.encode(batch, (aspect, source))[1][..., 1:, :]).argmax(-1).tolist()
            rows = [self._widened(row.tolist(), gap) for row, gap in zip(text, gaps, strict=True)]
            opened = torch.tensor(rows, device=text.device)
            holes = opened == self.mask
            if not holes.any():
                break
            frame = self.corrupted(opened, opened > 0)[0]
            choice = self.output(self.encode(batch, (aspect, frame))[1][..., 2:-1, :])
            text = torch.where(holes, choice[..., 1 : self.start].argmax(-1) + 1, opened)
        return text

    def _widened(self, row: list[int], gaps: list[int]) -> list[int]:
        """A row of words with [MASK]s where words are missing, cut so that all its words fit."""
        words_in, out = [word for word in row if word], []
        room = self.length - len(words_in)
        for word, gap in zip([0, *words_in], gaps, strict=False):
            holes = min(gap, room)
            room -= holes
            out += ([word] if word else []) + [self.mask] * holes
        return out + [0] * (self.length - len(out))
