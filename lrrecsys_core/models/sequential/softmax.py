"""The softmax over all items that BERT4Rec and PARSRec learn from."""

from __future__ import annotations

import torch
from torch import Tensor

from lrrecsys_core.models.base import weighted_mean

CHUNK = 512  # records scored against all items at once: bounds memory when a whole validation part comes in


def known_items(rows: int, table: int) -> Tensor:
    """(table,) True for item rows 1 .. rows - 1: those that stand for an item of this replicate's training part."""
    number = torch.arange(table)
    return (number > 0) & (number < rows)


def item_cross_entropy(
    states: Tensor, items: Tensor, known: Tensor, target: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Mean of -log softmax(states . items)[target] over the records with weight.

    Parameters
    ----------
    states, items : (B, d) and (I, d).
    known : (I,) items that take part.
    target, weight : (B,) item rows, anything where the weight is 0.
    bias : (I,) added to the logits.
    """
    shut = (~known).to(states.dtype) * torch.finfo(states.dtype).min
    shift = shut if bias is None else shut + bias
    # The shift as one more coordinate, items in columns: less than half the time of adding it to (B, I) logits, of
    # which nothing but their sum of exponentials is kept.
    columns = torch.cat([items.T, shift.unsqueeze(0)])
    lengthened = torch.cat([states, torch.ones_like(states[..., :1])], -1)
    total = torch.cat([torch.logsumexp(some @ columns, -1) for some in lengthened.split(CHUNK)])
    own = (states * items.index_select(0, target)).sum(-1) + shift.index_select(0, target)
    return weighted_mean(torch.where(weight > 0, total - own, 0.0), weight)
