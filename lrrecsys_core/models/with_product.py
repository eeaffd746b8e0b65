"""LR-Recsys with the product of its user's and its item's vector added to the score, with texts and without.

Whether explanations help should be asked of a network that learns what ids tell. The paper's hardly learns the product
of two vectors, which is what matrix factorisation adds to biases (docs/replication.md, fold u1); a null of its texts
may then be the network's. The product is that of Koren, Bell and Volinsky (see `biases`), in the vectors of Eq 4::

    s = MLP(flatten(O)) + u . v                                       (B,)

Deviations: D1 the paper's score is the first summand alone.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from lrrecsys_core.models.ablations import FreeVectors
from lrrecsys_core.models.base import Batch
from lrrecsys_core.models.lr_recsys import LRRecsys


class LRRecsysWithProduct(LRRecsys):
    """LR-Recsys, its score raised by u . v."""

    tier: ClassVar[str] = "adapted"

    def score(self, batch: Batch) -> Tensor:
        return super().score(batch) + self.product(batch)

    def score_and_attention(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B,) and attention (B, tokens) in one pass, for serving."""
        logits, attention = super().score_and_attention(batch)
        return logits + self.product(batch), attention

    def product(self, batch: Batch) -> Tensor:
        """Product u . v of the two id vectors, (B,); 0 where training has not seen one of them."""
        user, item = self.id_tokens(batch)
        return (user * item).sum(-1)


class FreeVectorsWithProduct(LRRecsysWithProduct, FreeVectors):
    """Ablation 1, its score raised by u . v."""
