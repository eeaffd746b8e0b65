"""LR-Recsys with the product of its user's and its item's vector added to the score, with texts and without.

Whether explanations help is asked of a network that learns what ids alone can tell. The paper's hardly learns products
of its id vectors, which are all that matrix factorisation has (docs/replication.md, fold u1); a null of its texts may
then be the network's. The product is that of Koren, Bell and Volinsky (see `biases`), in the vectors of Eq 4::

    s = MLP(flatten(O)) + u . v                                       (B,)
"""

from __future__ import annotations

from torch import Tensor

from lrrecsys_core.models.ablations import FreeVectors
from lrrecsys_core.models.base import Batch
from lrrecsys_core.models.lr_recsys import LRRecsys


class LRRecsysWithProduct(LRRecsys):
    """LR-Recsys, its score raised by u . v."""

    def score(self, batch: Batch) -> Tensor:
        return super().score(batch) + self.product(batch)

    def score_and_attention(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits (B,) and attention (B, tokens) in one pass, for serving."""
        logits, attention = super().score_and_attention(batch)
        return logits + self.product(batch), attention

    def product(self, batch: Batch) -> Tensor:
        """Product u . v of the two id vectors, (B,); 0 where training knows one of them not."""
        user, item = self.id_tokens(batch)
        return (user * item).sum(-1)


class FreeVectorsWithProduct(LRRecsysWithProduct, FreeVectors):
    """Ablation 1, its score raised by u . v."""
