"""Prompts computed together: what all of them begin with is computed once."""

from __future__ import annotations

import inspect
import os.path
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SHORTEST = 16
"""Tokens that prompts must share before computing them once is worth a pass of its own."""


@dataclass
class Batch:
    """Prompts of different lengths as one tensor: what they share, padding, the rest of each.

    Padding in the middle is as good as padding on the left: masked tokens change nothing, and positions count only
    what is not masked.

    Parameters
    ----------
    tokens, mask
        (prompts, width) Token ids, and 1 where there is one that counts.
    cache
        Keys and values of what the prompts share, for each of them; None when nothing was computed beforehand.
    """

    tokens: Any
    mask: Any
    cache: Any = None


def batch_of(model: Any, prompts: Sequence[list[int]], pad: int, *, share: bool = True) -> Batch:
    """Pad prompts and compute what they share.

    Parameters
    ----------
    model
        A causal language model.
    prompts
        Token ids.
    pad
        Id to pad with.
    share
        False computes nothing beforehand.
    """
    import torch

    shared = len(os.path.commonprefix([prompt[:-1] for prompt in prompts]))  # of lists too; the last token stays out
    share = share and len(prompts) > 1 and shared >= SHORTEST and model.generation_config.cache_implementation is None
    shared *= share
    width = max(map(len, prompts))
    rows = [[*one[:shared], *[pad] * (width - len(one)), *one[shared:]] for one in prompts]
    marks = [[1] * shared + [0] * (width - len(one)) + [1] * (len(one) - shared) for one in prompts]
    batch = Batch(torch.tensor(rows, device=model.device), torch.tensor(marks, device=model.device))
    if share:
        with torch.inference_mode():
            cache = model.base_model(batch.tokens[:1, :shared], use_cache=True).past_key_values
        if is_plain(cache):
            cache.batch_repeat_interleave(len(prompts))
            batch.cache = cache
    return batch


def is_plain(cache: Any) -> bool:
    """Whether a cache holds the keys and values of every token: one that slides or sums up cannot be cut or shared."""
    from transformers.cache_utils import DynamicLayer

    return bool(getattr(cache, "layers", ())) and all(type(layer) is DynamicLayer for layer in cache.layers)


def next_logits(model: Any, tokens: Any, mask: Any, cache: Any) -> Any:
    """Logits after one more token for each row of a cache, which it joins.

    Parameters
    ----------
    model
        A causal language model.
    tokens
        (rows, 1)
    mask
        (rows, tokens so far, this one included)
    cache
        Of the tokens before.

    Returns
    -------
    (rows, vocabulary) float32
    """
    inputs = {"input_ids": tokens, "attention_mask": mask, "past_key_values": cache, "use_cache": True}
    if "position_ids" in inspect.signature(model.forward).parameters:
        inputs["position_ids"] = mask.sum(1, keepdim=True) - 1
    return model(**inputs).logits[:, -1].float()
