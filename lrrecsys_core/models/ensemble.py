"""A late ensemble: one network that knows ids and one that reads texts, trained apart and averaged.

Where LR-Recsys gains because two models err in different ways, and not because it reads a text beside a user and an
item, this gains as much. With a the logit of Ablation 1 (ids, history and free vectors), b that of LR-Recsys without
user and item tokens (texts and history), both on the same residual biases (rule P2)::

    p    = (sigmoid(a) + sigmoid(b)) / 2            the prediction
    loss = loss(a) + loss(b)                        no weight has a part in both, so each network learns as if alone

Deviations: D1 both keep the weights of one epoch, that of the average's best validation loss (rule P4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, logaddexp
from torch.nn.functional import logsigmoid

from lrrecsys_core.models.ablations import FreeVectors, WithoutIds
from lrrecsys_core.models.base import Batch, Recommender, Sizes
from lrrecsys_core.models.lr_recsys import SLOTS, WIDTH


class LateEnsemble(Recommender):
    """The mean of two predictions; parameters as for `LRRecsys`, which both networks are but for one part."""

    tables: ClassVar[dict[str, str]] = {
        "ids.users.weight": "user", "ids.items.weight": "item", "texts.items.weight": "item",
    }  # fmt: skip
    table_fields: ClassVar[dict[str, tuple[str, ...]]] = {"texts.items.weight": ("history",)}
    tier: ClassVar[str] = "faithful"

    def __init__(
        self, sizes: Sizes, rate: float = 0.5, biases: bool = True, *, slots: Sequence[str] = SLOTS, width: int = WIDTH
    ) -> None:
        super().__init__(sizes, rate, biases)
        context = sizes.context > 0
        self.ids = FreeVectors(sizes, rate, biases=False, slots=slots, context=context, width=width)
        self.texts = WithoutIds(sizes, rate, biases=False, slots=slots, context=context, width=width)

    @property
    def reads(self) -> tuple[str, ...]:
        """Record fields that either network needs."""
        return self.texts.reads

    def parts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B,) of both networks, on the biases that they share."""
        ids, texts = (self.with_biases(part.score(batch), batch) for part in (self.ids, self.texts))
        return ids, texts

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B,) whose sigmoid is the mean of the two predictions."""
        a, b = self.parts(batch)
        return logaddexp(logsigmoid(a), logsigmoid(b)) - logaddexp(logsigmoid(-a), logsigmoid(-b))

    def loss(self, batch: Batch) -> Tensor:
        """Both networks' own losses, added."""
        a, b = self.parts(batch)
        return self.rating_loss(a, batch) + self.rating_loss(b, batch)
