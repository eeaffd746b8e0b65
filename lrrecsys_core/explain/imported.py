"""Texts that exist already: item-level reasons for and against, such as the published movie profiles."""

from __future__ import annotations

import re

import numpy as np

from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.explanations import Explanations

_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s*")


def statements(text: str) -> list[str]:
    """The statements of a text: its lines, or its sentences where it is one line; bullets and end marks removed."""
    lines = text.split("\n")
    if len(lines) == 1:
        lines = re.split(r"(?<=[.!?])\s+", text)
    cut = (_BULLET.sub("", line).strip().rstrip(".!") for line in lines)
    return [line for line in cut if line]


def imported_explanations(split: Split) -> Explanations:
    """The candidate's own ready-made texts as its reasons for and against: the same for every user.

    Raises
    ------
    InputError
        When the data set brings no texts.
    """
    texts = split.dataset.texts
    if texts is None:
        raise InputError(
            f"the data set {split.dataset.name!r} has no item texts: give a frame item_id, positive, negative"
        )
    items = split.dataset.items.select("item_id").join(texts, on="item_id", how="left", maintain_order="left")
    sentences: dict[str, int] = {"": 0}
    codes = {}
    for slot in ("positive", "negative"):
        flat = ("; ".join(statements(text or "")) for text in items[slot])
        by_item = np.array([sentences.setdefault(text, len(sentences)) for text in flat], dtype=np.int32)
        codes[slot] = by_item[split.item_position]
    covered = float((codes["positive"] > 0).mean())
    told = "imported texts" + ("" if covered == 1.0 else f" (for {covered:.0%} of the records)")
    return Explanations(told, "full", tuple(sentences), codes)
