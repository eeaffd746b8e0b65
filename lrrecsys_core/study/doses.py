"""Dose and response: how a row fares as more and more records lose their texts, or are told another record's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.split import Split
from lrrecsys_core.row import Row
from lrrecsys_core.study.inputs import shuffled
from lrrecsys_core.study.texts import TextSet

SEED = 12


def chosen(split: Split, share: float) -> NDArray[np.bool_]:
    """Which records (N,) a dose falls on: a draw of each record's own, the same for all seeds and in every part.

    The records of a smaller share are among those of a larger one.
    """
    draws = np.random.default_rng(SEED).random(int(split.record.max()) + 1)
    return np.asarray(draws[split.record] < share)


def dosed(row: Row, split: Split, texts: TextSet, seed: int) -> TextSet:
    """The texts as the row is told them.

    Codes and whitening stay those of all texts. An exchange of all records is the row whose texts are shuffled.
    """
    what, share = row.dose
    if not what:
        return texts
    hit = chosen(split, share)
    others = shuffled(texts.codes, split, "all", seed) if what == "exchanged" else dict.fromkeys(texts.codes, 0)
    told = {slot: np.where(hit, others[slot], own).astype(own.dtype) for slot, own in texts.codes.items()}
    return replace(texts, codes=told)
