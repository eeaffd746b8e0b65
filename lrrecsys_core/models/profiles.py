"""What training says about a user or an item before a record: aspect counts, ranked aspects, documents.

Everything but `own_mentions` (a loss target) uses strictly earlier training records and never the record itself; the
switch ``oracle=True`` adds the record's own terms and exists to show what such leakage is worth.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from lrrecsys_core.data.earlier import Earlier
from lrrecsys_core.data.split import Split

Of = Literal["user", "item"]
_CELLS = 1 << 24
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


@dataclass(frozen=True)
class Mentions:
    """Which record mentions which aspect, and how: one row per (record, aspect), sorted by record.

    Attributes
    ----------
    record, aspect, sentiment
        (M,) record, code from 1 into `names`, and -1 or +1 (majority of the record's mentions of the aspect).
    names
        Aspects of the training records by falling frequency, then by name; ``names[0] == ""``.
    weak
        Share of training mentions whose sentiment is only the record's rating, high or low.
    """

    record: np.ndarray
    aspect: np.ndarray
    sentiment: np.ndarray
    names: tuple[str, ...]
    weak: float


def mentions(split: Split) -> Mentions:
    """Aspect mentions of all records; the vocabulary comes from training records only.

    Without aspects in the data set the phrases of an item's details are what each of its records mentions. Where a
    sentiment is unknown or tied, a training record's rating decides; on other records +1 stands in, unread.
    """
    said = _raw_mentions(split).filter(pl.col("record") >= 0)
    trains = split.in_training
    said = said.group_by("record", "aspect").agg(pl.col("sentiment").fill_null(0).cast(pl.Int64).sum())
    said = said.with_columns(trained=pl.Series(trains[said["record"].to_numpy()]))
    names = (
        said.filter("trained")
        .group_by("aspect")
        .len()
        .sort(["len", "aspect"], descending=[True, False])["aspect"]
        .to_list()
    )
    codes = pl.DataFrame(
        {"aspect": names, "code": np.arange(1, len(names) + 1)}, schema={"aspect": pl.String, "code": pl.Int64}
    )
    said = said.join(codes, on="aspect").sort("record", "code")
    record, sentiment = said["record"].to_numpy().astype(np.int64), np.sign(said["sentiment"].to_numpy())
    weak = sentiment == 0
    known = trains[record]
    fallback = np.where(known, np.where(split.liked[record] > 0, 1, -1), 1)
    return Mentions(
        record=record,
        aspect=said["code"].to_numpy().astype(np.int64),
        sentiment=np.where(weak, fallback, sentiment).astype(np.int8),
        names=("", *names),
        weak=float(weak[known].mean()) if known.any() else 0.0,
    )


def _raw_mentions(split: Split) -> pl.DataFrame:
    """record, aspect, sentiment as the data set states them, or the details of the items."""
    stated = split.dataset.aspects
    if stated is not None:
        return stated.select(pl.Series("record", split.records_of(stated)), "aspect", "sentiment")
    details = split.dataset.items["details"].gather(split.item_position).str.split("; ")
    frame = pl.DataFrame({"record": np.arange(len(split.user)), "aspect": details})
    frame = frame.explode("aspect").filter(pl.col("aspect").fill_null("") != "")
    return frame.with_columns(sentiment=pl.lit(None, pl.Int8))


def own_mentions(split: Split, said: Mentions, size: int) -> np.ndarray:
    """(N, size + 1) int8: the record's own sentiment on aspects 1..size, 0 where unmentioned; column 0 stays 0.

    A target for losses: no score may read it.
    """
    out = np.zeros((len(split.user), size + 1), np.int8)
    kept = said.aspect <= size
    out[said.record[kept], said.aspect[kept]] = said.sentiment[kept]
    return out


def earlier(split: Split, of: Of) -> Earlier:
    """The training records each record may learn from: its user's or its item's."""
    return split.earlier_of_user if of == "user" else split.earlier_of_item


def aspect_counts(
    split: Split, said: Mentions, of: Of, size: int, *, signed: bool = False, oracle: bool = False
) -> np.ndarray:
    """(N, size + 1): in how many earlier training records of the user (item) each of the top aspects is mentioned.

    `signed` sums sentiments instead. ``> 0`` of the unsigned counts is the multi-hot aspect vector. Column 0 is 0.
    """
    own = own_mentions(split, said, size).astype(np.float32)
    own = own if signed else np.abs(own)
    return earlier(split, of).sums(own) + (own if oracle else 0.0)


def top_aspects(
    split: Split, said: Mentions, of: Of, width: int, *, vocabulary: int | None = None, oracle: bool = False
) -> np.ndarray:
    """(N, width) codes of the user's (item's) aspects by falling count in earlier training records, then by code.

    Padded on the right with 0. All of ``said.names`` take part, or those below code `vocabulary`, a block at a time
    to bound memory.
    """
    names = min(len(said.names), vocabulary or len(said.names))
    best = np.zeros((len(split.user), width), np.int64)
    score = np.zeros((len(split.user), width), np.float32)
    for codes in _blocks(names, len(split.user)):
        place = np.full(len(said.names), -1)
        place[codes] = np.arange(len(codes))
        kept = np.flatnonzero(place[said.aspect] >= 0)
        own = np.zeros((len(split.user), len(codes)), np.float32)
        own[said.record[kept], place[said.aspect[kept]]] = 1.0
        counts = earlier(split, of).sums(own) + (own if oracle else 0.0)
        scores = np.hstack([score, counts])
        candidates = np.hstack([best, np.broadcast_to(codes, counts.shape)])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :width]
        score, best = np.take_along_axis(scores, order, 1), np.take_along_axis(candidates, order, 1)
    return np.where(score > 0, best, 0)


def _blocks(names: int, records: int) -> Iterator[np.ndarray]:
    step = max(1, _CELLS // max(records, 1))
    for low in range(1, names, step):
        yield np.arange(low, min(low + step, names))


@dataclass(frozen=True)
class Words:
    """Tokens of the training texts and of the items: codes from 1 by falling frequency in `vocabulary`, 0 = padding.

    Attributes
    ----------
    records
        (N, words) tokens of each record's own review, or of its aspect terms where there are no reviews.
    items
        (items, words) tokens of name and details, rows as ``dataset.items``.
    """

    vocabulary: tuple[str, ...]
    records: np.ndarray
    items: np.ndarray


def words(split: Split, said: Mentions, vocabulary: int, width: int = 20) -> Words:
    """Tokenise reviews (or aspect terms) and items, at most `width` words each and `vocabulary` - 1 distinct ones."""
    table = split.dataset.items
    of_items = [tokens(f"{name} {details}") for name, details in zip(table["name"], table["details"], strict=True)]
    own: list[list[str]] = [[] for _ in split.user]
    if split.dataset.reviews is not None:
        for record, text in zip(split.records_of(split.dataset.reviews), split.dataset.reviews["text"], strict=True):
            if record >= 0:
                own[record] += tokens(text)
    else:
        for record, code in zip(said.record.tolist(), said.aspect.tolist(), strict=True):
            own[record] += tokens(said.names[code])
    counts: Counter[str] = Counter()
    for record in split.train.tolist():
        counts.update(own[record])
    for row in np.unique(split.item_position[split.train]).tolist():
        counts.update(of_items[row])
    chosen = sorted(counts, key=lambda word: (-counts[word], word))[: vocabulary - 1]
    codes = {word: code for code, word in enumerate(chosen, 1)}
    return Words(("", *chosen), _coded(own, codes, width), _coded(of_items, codes, width))


def tokens(text: str) -> list[str]:
    """Lower-case words of a text."""
    return _WORD.findall(text.lower())


def _coded(texts: Sequence[Sequence[str]], codes: dict[str, int], width: int) -> np.ndarray:
    out = np.zeros((len(texts), width), np.int64)
    for row, text in enumerate(texts):
        known = [codes[word] for word in text if word in codes][:width]
        out[row, : len(known)] = known
    return out


def documents(split: Split, found: Words, of: Of, length: int, *, oracle: bool = False) -> np.ndarray:
    """(N, length) tokens, padded on the right with 0: what is known of the user (item) before each record.

    A user's document holds the user's earlier training texts, newest first, then the items of the history; an item's
    document its name and details, then its earlier training texts. The record's own text is in neither.
    """
    kept = max(1, -(-length // 3))
    past = earlier(split, of).last(kept)[:, ::-1]
    blank = np.zeros((1, found.records.shape[1]), np.int64)
    texts = np.vstack([found.records, blank])
    items = np.vstack([found.items, np.zeros((1, found.items.shape[1]), np.int64)])
    own = found.records if oracle else np.broadcast_to(blank, found.records.shape)
    out = np.zeros((len(split.user), length), np.int64)
    step = max(1, _CELLS // (kept * texts.shape[1]))
    for low in range(0, len(out), step):
        part = slice(low, low + step)
        told = np.hstack([own[part], texts[past[part]].reshape(len(past[part]), -1)])
        if of == "user":
            about = items[split.history_position[part][:, ::-1]].reshape(len(told), -1)
            told = np.hstack([told, about])
        else:
            told = np.hstack([items[split.item_position[part]], told])
        order = np.argsort(told == 0, axis=1, kind="stable")[:, :length]
        block = np.take_along_axis(told, order, 1)
        out[part, : block.shape[1]] = block
    return out
