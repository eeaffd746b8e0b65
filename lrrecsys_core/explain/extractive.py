"""Reasons found rather than written: the pair of statements, past and candidate, that fits best or clashes most.

No generation is involved: a sentence encoder (extra ``encoder``) compares statements that exist already, so that real
data get readable, user-specific reasons offline, and what generation adds can be measured. Reimers and Gurevych (2019)
describe such encoders; the use is ours, not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lrrecsys_core.data.earlier import Ints
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.embeddings import Embedder, Vectors, embed_texts
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.imported import statements

PER_ITEM = 6  # statements of one item, or of one user about one item
LONGEST = 20  # words of a statement that is quoted in an answer
BATCH = 512


@dataclass(frozen=True)
class Sources:
    """Statements and who may use them.

    Parameters
    ----------
    statements
        Distinct statements; the first is "".
    past
        (N, H) statements about the history that a record may use, 0 for none.
    praise, blame
        (N, K) statements for and against the candidate that a record may use, 0 for none.
    """

    statements: tuple[str, ...]
    past: Ints
    praise: Ints
    blame: Ints


def extractive_explanations(split: Split, encoder: Embedder, *, cache: str | None = None) -> Explanations:
    """Fill a sentence in the form of App 10.2's answers with statements that exist.

    *Positive*: the past and candidate statements with the largest cosine. *Negative*: of the statements against the
    candidate, the one closest to a past statement (the same matter). Past statements are what item texts say for
    earlier items or, in a data set without such texts, the user's own words about them, complaints included: they tell
    what the user cares about, not what was liked.

    Parameters
    ----------
    split
        Records to explain. Review statements come from strictly earlier training records, never the record itself.
    encoder
        Such as :class:`~lrrecsys_core.explain.embeddings.SentenceEncoder`.
    cache
        SQLite file of vectors.

    Raises
    ------
    InputError
        When the data set has neither item texts nor reviews.
    """
    everyone = np.arange(len(split.user))
    found = gather_statements(split)
    vectors = _vectors_of_used(found, encoder, cache)
    domain = split.dataset.domain
    sentences: dict[str, int] = {"": 0}
    codes = {slot: np.zeros(len(split.user), dtype=np.int32) for slot in ("positive", "negative")}
    for slot, candidates in (("positive", found.praise), ("negative", found.blame)):
        for start in range(0, len(everyone), BATCH):
            part = everyone[start : start + BATCH]
            past, own = best_pairs(vectors, found.past[part], candidates[part])
            for record, cared, said in zip(part.tolist(), past.tolist(), own.tolist(), strict=True):
                if said:
                    pair = found.statements[cared], found.statements[said]
                    sentence = fill_sentence(*pair, domain.noun, domain.verb_past, domain.verb_base, slot)
                    codes[slot][record] = sentences.setdefault(sentence, len(sentences))
    covered = float((codes["positive"] > 0).mean())
    share = "" if covered == 1.0 else f", a reason for {covered:.0%} of the records"
    return Explanations(f"extractive ({encoder.name}{share})", "full", tuple(sentences), codes)


def _vectors_of_used(found: Sources, encoder: Embedder, cache: str | None) -> Vectors:
    """(statements, width) vectors of the statements some record may use; zeros for the others and for ""."""
    used = np.unique(np.concatenate([part.ravel() for part in (found.past, found.praise, found.blame)]))
    used = used[used > 0]
    if not len(used):
        return np.zeros((len(found.statements), 1), dtype=np.float32)
    known = embed_texts([found.statements[k] for k in used.tolist()], encoder, cache=cache)
    vectors = np.zeros((len(found.statements), known.shape[1]), dtype=np.float32)
    vectors[used] = known
    return vectors


def best_pairs(vectors: Vectors, past: Ints, candidates: Ints) -> tuple[Ints, Ints]:
    """The chosen past and candidate statement of each record.

    Parameters
    ----------
    vectors
        (statements, width), length 1, the first all zero.
    past, candidates
        (B, H) and (B, K) statements, 0 for none.

    Returns
    -------
    two (B,) arrays
        Statements; the candidate's is 0 where there is none, the past's 0 where the history is empty.
    """
    # Rounded, so that the last bits of an encoder, which change with its batches, choose nothing.
    cosine = np.einsum("bhd,bkd->bkh", vectors[past], vectors[candidates]).round(4)  # (B, K, H)
    cosine = np.where((past != 0)[:, None, :], cosine, -np.inf)
    best = np.where((past != 0).any(1)[:, None], cosine.max(2), 0.0)  # (B, K)
    score = np.where(candidates != 0, best, -np.inf)
    rows = np.arange(len(past))
    which = score.argmax(1)
    return past[rows, cosine[rows, which].argmax(1)], candidates[rows, which]


def fill_sentence(cared: str, said: str, noun: str, past: str, base: str, slot: str) -> str:
    """The answer sentence around two statements."""
    verb = past if slot == "positive" else f"did not {base}"
    taste = f'the consumer cares about "{cared}"' if cared else "the consumer is new here"
    return f'The consumer {verb} this {noun} because {taste} and the {noun} is described by "{said}".'


def gather_statements(split: Split) -> Sources:
    """What item texts say for and against each item; where there are none, what reviews say.

    Raises
    ------
    InputError
        When the data set has neither.
    """
    dataset = split.dataset
    if dataset.texts is None:
        if dataset.reviews is None:
            raise InputError(f"the data set {dataset.name!r} has neither item texts nor reviews: nothing can be quoted")
        return _from_reviews(split, dataset.reviews)
    texts = dataset.items.select("item_id").join(dataset.texts, on="item_id", how="left", maintain_order="left")
    both = [[statements(text or "") for text in texts[side]] for side in ("positive", "negative")]
    known: dict[str, int] = {"": 0}
    praise, blame = (_table([[_code(one, known) for one in item] for item in side], PER_ITEM) for side in both)
    past = np.where(split.history_position[:, :, None] >= 0, praise[split.history_position], 0)
    return Sources(tuple(known), past.reshape(len(past), -1), praise[split.item_position], blame[split.item_position])


def _from_reviews(split: Split, reviews: pl.DataFrame) -> Sources:
    """Past: what the user wrote about earlier items. Candidate: what others wrote, by whether they liked it."""
    known: dict[str, int] = {"": 0}
    said: list[list[int]] = [[] for _ in split.user]
    for record, text in zip(split.records_of(reviews).tolist(), reviews["text"], strict=True):
        if record >= 0:
            said[record] += [_code(one, known) for one in statements(text or "")]
    by_record = _table(said, PER_ITEM)
    liked = split.liked > 0

    def use(newest: Ints, keep: NDArray[np.bool_] | None) -> Ints:
        usable = newest >= 0 if keep is None else (newest >= 0) & keep[newest]
        return np.where(usable[:, :, None], by_record[newest], 0).reshape(len(newest), -1)

    past = use(split.earlier_of_user.last(5), None)
    others = split.earlier_of_item.last(8)
    return Sources(tuple(known), past, use(others, liked), use(others, ~liked))


def _code(statement: str, known: dict[str, int]) -> int:
    words = statement.split()
    short = " ".join(words[:LONGEST]) + (" …" if len(words) > LONGEST else "")
    return known.setdefault(short.replace('"', "'"), len(known))


def _table(rows: Sequence[list[int]], width: int) -> Ints:
    table = np.zeros((len(rows), width), dtype=np.int64)
    for place, row in enumerate(rows):
        cut = list(dict.fromkeys(row))[:width]
        table[place, : len(cut)] = cut
    return table
