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
    chosen = [
        torch.log_softmax(some @ items.T + shift, -1).gather(-1, wanted.unsqueeze(-1)).squeeze(-1)
        for some, wanted in zip(states.split(CHUNK), target.split(CHUNK), strict=True)
    ]
    return -weighted_mean(torch.where(weight > 0, torch.cat(chosen), 0.0), weight)
