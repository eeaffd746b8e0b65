"""What may be wrong with an answer, how often it is, and what is sent back when it is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lrrecsys_core.data.dataset import Domain
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.llm import Request

MOST_WORDS = 50
FAULTS = (
    "empty", "refusal", "echo of the prompt", "other language", "other opening",
    "several sentences", f"over {MOST_WORDS} words", "control characters",
)  # fmt: skip
SERIOUS = frozenset(FAULTS[:5])
"""Faults for which an answer is sent back when second tries are asked for."""

_REFUSAL = re.compile(
    r"\b(I('m| am) sorry|I (can|could) ?no?t|I can't|I am unable|I'm unable|as an AI|as a language model|"
    r"I do not have (access|enough)|I don't have (access|enough)|cannot (provide|determine|answer))\b",
    re.IGNORECASE,
)
_ECHO = re.compile(r"\[(Instruction|Input|Example (Input|Output))\]|Answer with exactly one sentence|Reply in one")
_PREFACE = re.compile(r'^(?:[^.]{0,120}?[:!\n]\s*)?["“\']*(?=The consumer\b)')
_LABEL = re.compile(r"^\s*(\[Output\]|Explanation:|Answer:|Output:|Profile:|Rating:)\s*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ENDS = re.compile(r"[.!?…](?=[\s\"”']+[A-Z])")
_NOT_AN_END = re.compile(r"\b(Mr|Mrs|Ms|Dr|St|Jr|Sr|vs|No|Vol|e\.g|i\.e|etc|[A-Z])\.$")
_COMMON = frozenset(
    ["a", "an", "and", "as", "because", "but", "for", "has", "in", "is", "it", "of", "or", "that", "the", "this", "to"]
)


def tidy(text: str) -> str:
    """The answer proper: first paragraph, on one line, without label, preface or quotation marks around it."""
    text = _LABEL.sub("", _CONTROL.sub(" ", text).strip())
    text = _PREFACE.sub("", text, count=1)
    text = " ".join(re.split(r"\n\s*\n|\n\[", text, maxsplit=1)[0].split())
    quoted = len(text) > 1 and (text[0], text[-1]) in {('"', '"'), ("“", "”"), ("'", "'")}
    return text[1:-1].strip() if quoted else text.rstrip('"”') if text.count('"') == 1 else text


def expected_openings(domain: Domain, variant: str, slot: str) -> tuple[str, ...]:
    """How an answer may begin (the form of App 10.2); empty where any beginning will do."""
    if variant in ("aspects", "direct", "profile"):
        return ()
    if variant == "summary":
        return ("The consumer",)
    if variant == "general":
        return tuple(f"The consumer {verb} this {domain.noun} because" for verb in ("liked", "disliked"))
    verb = domain.verb_past if slot == "positive" else f"did not {domain.verb_base}"
    return (f"The consumer {verb} this {domain.noun} because",)


def faults(text: str, openings: Sequence[str] = ()) -> list[str]:
    """What is wrong with a tidied answer, by the names in :data:`FAULTS`; empty when all is well."""
    words = text.split()
    if not words:
        return ["empty"]
    letters = [character for character in text if character.isalpha()]
    latin = sum(character < "\u0250" for character in letters) >= 0.8 * len(letters)
    english = len(words) < 8 or any(word.lower().strip(".,;") in _COMMON for word in words)
    found = [
        bool(_REFUSAL.search(text)) and not text.startswith(tuple(openings) or ("The consumer",)),
        bool(_ECHO.search(text)),
        not (latin and english),
        bool(openings) and not text.startswith(tuple(openings)),
        any(not _NOT_AN_END.search(text[: end.end()]) for end in _ENDS.finditer(text)),
        len(words) > MOST_WORDS,
        bool(_CONTROL.search(text)),
    ]
    return [name for name, present in zip(FAULTS[1:], found, strict=True) if present]


def correction(request: Request, answer: str, openings: Sequence[str]) -> Request | None:
    """The request that sends a faulty answer back, or None when the answer will do."""
    if not SERIOUS.intersection(faults(tidy(answer), openings)):
        return None
    wish = "Answer with exactly one sentence"
    if openings:
        wish += " that begins with " + " or ".join(f'"{opening}"' for opening in openings)
    return replace(request, messages=(*request.messages, ("assistant", answer), ("user", f"{wish}, and nothing else.")))


def quality_report(explanations: Explanations, domain: Domain) -> pl.DataFrame:
    """How many records' texts show each fault: slot, check, records, share (of all records of the split)."""
    rows = []
    for slot, codes in explanations.codes.items():
        openings = expected_openings(domain, explanations.variant, slot)
        uses = np.bincount(codes, minlength=len(explanations.sentences))
        counts: Counter[str] = Counter()
        for sentence, used in zip(explanations.sentences, uses.tolist(), strict=True):
            if used:
                counts.update(dict.fromkeys(faults(sentence, openings) or ["none"], used))
        for check in ("none", *FAULTS):
            rows.append((slot, check, counts[check], counts[check] / max(len(codes), 1)))
    return pl.DataFrame(rows, schema=["slot", "check", "records", "share"], orient="row")


_NUMBER = re.compile(r"(?<![\w.,-])-?\d+(?:[.,]\d+)?(?![\w]|[.,]\d)")
_SCALE = re.compile(r"(?:scale|from|between)\s+(?:of\s+|from\s+)?\d+(?:\.\d+)?\s*(?:to|-|–|and)\s*\d+(?:\.\d+)?", re.I)
_OUT_OF = re.compile(r"(?:\s*/\s*|\s+out\s+of\s+)\d+(?:\.\d+)?", re.I)


def parse_rating(text: str, low: float, high: float) -> tuple[float | None, str]:
    """The one number an answer gives, with "ok", or None with the reason; nothing is ever guessed.

    Parameters
    ----------
    text
        The answer to the prompt for a direct rating.
    low, high
        The scale.
    """
    if not text.strip():
        return None, "empty"
    stated = {float(number.replace(",", ".")) for number in _NUMBER.findall(_OUT_OF.sub("", _SCALE.sub("", text)))}
    if len(stated) == 1:
        rating = stated.pop()
        return (rating, "ok") if low <= rating <= high else (None, "off the scale")
    if stated:
        return None, "several numbers"
    return None, "refusal" if _REFUSAL.search(text) else "no number"


@dataclass(frozen=True)
class DirectRatings:
    """Ratings read from the LLM's own answers (Table 4, "LLM Direct Recommendation").

    Parameters
    ----------
    values
        (N,) on the data set's scale; NaN where no number could be read.
    counts
        Records by outcome: "ok", "empty", "refusal", "no number", "several numbers", "off the scale".
    """

    values: NDArray[np.float64]
    counts: dict[str, int]


def direct_ratings(explanations: Explanations, low: float, high: float) -> DirectRatings:
    """Read the ratings of the variant "direct"; records without one stay NaN and are counted by reason."""
    read = [parse_rating(sentence, low, high) for sentence in explanations.sentences]
    codes = explanations.codes["single"]
    values = np.array([np.nan if value is None else value for value, _ in read])[codes]
    uses = np.bincount(codes, minlength=len(read))
    counts: Counter[str] = Counter()
    for (_, outcome), used in zip(read, uses.tolist(), strict=True):
        counts[outcome] += used
    return DirectRatings(values, {outcome: count for outcome, count in counts.items() if count})
