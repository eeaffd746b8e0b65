"""The softmax over all items that BERT4Rec and PARSRec learn from."""

from __future__ import annotations

import torch
from torch import Tensor


def known_items(rows: int, table: int) -> Tensor:
    """(table,) True for item rows 1 .. rows - 1: those that stand for an item of this replicate's training part."""
    number = torch.arange(table)
    return (number > 0) & (number < rows)


def item_cross_entropy(
    states: Tensor, items: Tensor, known: Tensor, target: Tensor, weight: Tensor, bias: Tensor | None = None
) -> Tensor:
    """Mean of -log softmax(states . items)[target] over the places with weight.

    Parameters
    ----------
    states, items : (..., d) and (I, d).
    known : (I,) items that take part.
    bias : (I,) added to the logits.
    target : (...) item rows, anything where `weight` (...) is 0.
    """
    scores = states @ items.T if bias is None else states @ items.T + bias
    logits = scores.masked_fill(~known, torch.finfo(states.dtype).min)
    chosen = torch.log_softmax(logits, -1).gather(-1, target.unsqueeze(-1)).squeeze(-1)
    return -torch.where(weight > 0, chosen * weight, 0.0).sum() / weight.sum().clamp_min(1.0)
