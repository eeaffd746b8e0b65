"""One transformer block and its masks, shared by the sequence and text models.

Written with plain linear layers so that it vectorises over replicates, and because the residual order of SASRec is
not that of the library's encoder layer.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from lrrecsys_core.models.layers import Dropout


class Attention(nn.Module):
    """Multi-head scaled dot-product attention of queries (..., n, width) on a memory (..., m, memory width).

    Parameters
    ----------
    width, heads : size of queries, and heads it is split into.
    memory : width of keys and values; `width` by default.
    project : linear map after the heads are joined (SASRec's original has none).
    dropout : on the attention weights.
    """

    def __init__(
        self, width: int, heads: int = 1, memory: int | None = None, project: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} cannot be split into {heads} heads")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory or width, width)
        self.value = nn.Linear(memory or width, width)
        self.out = nn.Linear(width, width) if project else None
        self.dropout = Dropout(dropout)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(-2, -3)

    def weights(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Weights (..., heads, n, m), zero where `mask` (..., n, m) is False; a row that sees nothing means nothing."""
        query = self._split(self.query(queries))
        key = self._split(self.key(memory) / math.sqrt(query.shape[-1]))
        # Added rather than filled in per head: with short sequences filling costs as much as the rest.
        shut = (~mask).to(query.dtype).unsqueeze(-3) * torch.finfo(query.dtype).min
        return torch.softmax(query @ key.transpose(-1, -2) + shut, -1)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor, use: int = 0) -> Tensor:
        """Attended values, (..., n, width)."""
        weights = self.dropout(self.weights(queries, memory, mask), use)
        joined = (weights @ self._split(self.value(memory))).transpose(-2, -3).flatten(-2)
        return joined if self.out is None else self.out(joined)


class Block(nn.Module):
    """Attention and a two-layer feed-forward net, with residuals.

    ``order="post"`` (BERT, the library's default): ``y = LN(x + MHA(x, x)); x' = LN(y + FFN(y))``.
    ``order="sasrec"``: ``q = LN(x); y = q + MHA(q, x); z = LN(y); x' = z + FFN(z)``: the residual starts from the
    *normalised* input while keys and values come from the raw one. `drop_weights` applies dropout to attention too.
    """

    def __init__(
        self,
        width: int,
        heads: int = 1,
        inner: int | None = None,
        dropout: float = 0.0,
        activation: type[nn.Module] = nn.ReLU,
        order: str = "post",
        project: bool = True,
        drop_weights: bool = True,
    ) -> None:
        super().__init__()
        self.order = order
        self.attention = Attention(width, heads, project=project, dropout=dropout if drop_weights else 0.0)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, inner or width), activation(), Dropout(dropout), nn.Linear(inner or width, width)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, rows: slice = slice(None), use: int = 0) -> Tensor:
        """States (..., n, width) under `mask` (..., n, n): True where a row may look at a column.

        `rows` limits which states are computed: a last block need not compute what nothing reads. `use` tells calls of
        one step apart, whose dropout shall differ.
        """
        kept, mask = x[..., rows, :], mask[..., rows, :]
        if self.order == "sasrec":
            query = self.norm1(kept)
            middle = self.norm2(query + self.attention(query, x, mask, use))
            return middle + self.dropout(self.feed(middle), 2 * use)
        middle = self.norm1(kept + self.dropout(self.attention(kept, x, mask, use), 2 * use))
        return self.norm2(middle + self.dropout(self.feed(middle), 2 * use + 1))


def bidirectional(mask: Tensor) -> Tensor:
    """(..., n, n): every position sees every real position of `mask` (..., n)."""
    return mask.unsqueeze(-2).expand(*mask.shape, mask.shape[-1])


def causal(mask: Tensor) -> Tensor:
    """(..., n, n): every position sees the real positions up to itself; padding is never a key."""
    n = mask.shape[-1]
    return bidirectional(mask) & torch.ones(n, n, dtype=torch.bool, device=mask.device).tril()


def newest(states: Tensor, mask: Tensor) -> Tensor:
    """State (..., width) at the newest real position of `states` (..., n, width); zeros where there is none.

    The newest position itself may be empty: an item unseen in training has no row.
    """
    real_from_here = mask.flip(-1).cumsum(-1).flip(-1)
    chosen = mask & (real_from_here == 1)
    return (states * chosen.unsqueeze(-1)).sum(-2)
