"""Texts that exist already: item-level reasons for and against, such as the published movie profiles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl

from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.explanations import Explanations

_SECTION = re.compile(r"\[\s*(like|dislike)s?\s*\]", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s*")


def statements(text: str) -> list[str]:
    """The statements of a text: its lines, or its sentences where it is one line; bullets and end marks removed."""
    lines = text.split("\n")
    if len(lines) == 1:
        lines = re.split(r"(?<=[.!?])\s+", text)
    cut = (_BULLET.sub("", line).strip().rstrip(".!") for line in lines)
    return [line for line in cut if line]


def read_item_profiles(path: str | Path) -> pl.DataFrame:
    """Read the movie profiles of EXP3RT (Kim et al., SIGIR 2025): a list of items with "[Like] - ... [Dislike] - ...".

    Returns
    -------
    polars.DataFrame
        item_id (as in the file), positive, negative: one statement a line, "" where a part is missing.

    Raises
    ------
    InputError
        When the file is not such a list.
    """
    try:
        rows = json.loads(Path(path).read_text(encoding="utf-8"))
        pairs = [(str(row["item_id"]), str(row["item_synopsis"])) for row in rows]
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name the file item_profile.json") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not a list of objects with item_id and item_synopsis ({error}): name the file item_profile.json"
        ) from error
    records = []
    for item, synopsis in pairs:
        _, *parts = _SECTION.split(synopsis)
        by_side = {side.lower(): part for side, part in zip(parts[::2], parts[1::2], strict=True)}
        texts = ["\n".join(_bullets(by_side.get(side, ""))) for side in ("like", "dislike")]
        records.append((item, *texts))
    return pl.DataFrame(records, schema=dict.fromkeys(["item_id", "positive", "negative"], pl.String), orient="row")


def _bullets(part: str) -> list[str]:
    pieces = re.split(r"(?:^|\s)-\s+", part) if "\n" not in part.strip() else part.split("\n")
    return [piece for piece in (_BULLET.sub("", piece).strip() for piece in pieces) if piece]


def imported_explanations(split: Split, *, name: str = "imported texts") -> Explanations:
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
    told = name if covered == 1.0 else f"{name} (for {covered:.0%} of the records)"
    return Explanations(told, "full", tuple(sentences), codes)
