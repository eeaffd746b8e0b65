"""What may be wrong with an answer, how often it is, and what is sent back when it is.

What was asked for is read from the prompt itself, so that prompts of any wording are judged by their own words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.domains import Domain
from lrrecsys_core.explain.clients.formats import neutral
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.llm import Message, Request
from lrrecsys_core.explain.ratings import REFUSAL, parse_rating
from lrrecsys_core.explain.reading import CHATTER, CONTROL, MARK, NOT_AN_END, PREFACE, paragraph, tidy, without_thoughts

MOST_WORDS = 50
LEAST_ODDS = 0.01  # of all ratings together, below which their proportions say nothing
TERMS = 12  # words that three aspect terms may take: no language is told by words that a list does without
RUN = 5  # words in a row that nobody shares by chance; runs of four are already "and the hotel has"
TWICE = 8  # the same within one answer, where names come back: two films of "The Lord of the Rings: The" share six
COPIED = 0.5  # share of an answer's words in such runs from which on it says more of its source than of its own
MOST_FREQUENT, SAME_TO_ALL = 10, 0.5
"""The sentences, and the share of records told one of them, from which on nearly everybody is told the same."""

FAULTS = (
    "empty", "refusal", "echo of the prompt", "other language", "other opening", "copied from the example",
    "repeats the question", "several sentences", "says the same twice", "unfinished", f"over {MOST_WORDS} words",
    "control characters",
)  # fmt: skip
SERIOUS = frozenset(FAULTS[:7])
"""Faults for which an answer is sent back when second tries are asked for: nothing in it is about this record, so that
another can only tell more. A wordy, repetitive or broken-off answer has told its reason by then."""

_ECHO = re.compile(r"\[(Instruction|Input|Example (Input|Output))\]|Answer with exactly one sentence|Reply in one")
_LEFT = re.compile(rf"{MARK.pattern}|[{{}}]|\*\*")
_ENDS = re.compile(r"[.!?…](?=[\s\"”']+[A-Z])")
_CLOSED = re.compile(r"[.!?…。][\s\"”'’)*_`\]}]*$")
_COMMON = frozenset(
    ["a", "an", "and", "as", "because", "but", "for", "has", "in", "is", "it", "of", "or", "that", "the", "this", "to"]
)
_BLOCK = re.compile(r"^\[([^\]\n]+)\]", re.MULTILINE)
_ITEM = re.compile(r"^- .*$", re.MULTILINE)
_FORM = re.compile(r"\b(?:form:?|format:?|with|or)\s+[\"“]([A-Z][^\"”]+)[\"”]|\bwith: ([A-Z][^\n,]+)")
_DOTS = "..."
Run = tuple[str, ...]
_WORD = re.compile(r"\w+(?:['’-]\w+)*|\.{3,}|…")


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


def faults(answer: str, prompt: str = "", finish_reason: str = "stop") -> list[str]:
    """What is wrong with an answer, by the names in :data:`FAULTS`; empty when all is well.

    Thoughts are not judged; nothing but thoughts is "empty". What :func:`~lrrecsys_core.explain.reading.tidy` hides is
    judged as it came (further sentences, the same twice, unfinished, control characters), all else in the tidied text,
    which is what networks and later prompts read. Where no opening is asked for, words to the one who asks ("Sure,",
    "I would") are an other opening; marks of chat formats and of markup that are left count as control characters.

    Parameters
    ----------
    answer
        As received.
    prompt
        What it answers (:func:`prompt_of`); without one, openings, sentences and copies are not judged.
    finish_reason
        As reported: "length" where the answer was cut at the limit of tokens.
    """
    return list(_judged(answer, *_parts(prompt), finish_reason))


@lru_cache(maxsize=1 << 16)
def _judged(answer: str, instruction: str, example: str, finish_reason: str) -> tuple[str, ...]:
    asked = _asked(instruction, example)
    openings = asked.openings
    text, told = tidy(answer, openings), paragraph(answer, openings)[0]
    if not text:
        return ("empty",)
    said = MARK.sub("\n", without_thoughts(answer))
    letters = [character for character in text if character.isalpha()]
    latin = text.isascii() or sum(character < "\u0250" for character in letters) >= 0.8 * len(letters)
    count = len(text.split())
    english = count < TERMS or any(word.lower().strip(".,;") in _COMMON for word in text.split())
    own = _without(_words(text), openings)
    found = [
        bool(REFUSAL.search(text)) and not text.startswith(openings or ("The consumer",)),
        bool(_ECHO.search(text)),
        not (latin and english),
        not text.startswith(openings) if openings else bool(CHATTER.match(text) or PREFACE.match(text)),
        bool(asked.example) and (own == asked.example or _share(own, asked.copied) >= COPIED),
        _asks_back(own, asked),
        asked.single and any(not NOT_AN_END.search(told[: end.end()]) for end in _ENDS.finditer(told)),
        _says_twice(said, openings),
        finish_reason == "length" or (len(said.split()) > MOST_WORDS // 2 and not _CLOSED.search(said)),
        count > MOST_WORDS,
        bool(CONTROL.search(answer) or _LEFT.search(text)),
    ]
    return tuple(name for name, present in zip(FAULTS[1:], found, strict=True) if present)


def text_of(answer: str, prompt: str = "") -> str:
    """The text of an answer, read by what its own prompt (:func:`prompt_of`) asks for."""
    return tidy(answer, wanted_openings(_parts(prompt)[0]))


def reader(request: Request | None) -> Callable[[str], str]:
    """How answers to a request, and to all of its template, become texts: ratings stay as received."""
    if request is None or (request.task is not None and request.task.variant == "direct"):
        return str.strip
    openings = wanted_openings(_parts(prompt_of(request.messages))[0])
    return partial(tidy, openings=openings)


def prompt_of(messages: Iterable[Message]) -> str:
    """The text of a conversation that is not the model's own."""
    return "\n\n".join(text for role, text in messages if role != "assistant")


@lru_cache(maxsize=256)
def wanted_openings(instruction: str) -> tuple[str, ...]:
    """How an answer has to begin: what the instruction quotes, or has behind "with:", up to "because" or the dots."""
    quoted = ("".join(form).partition(_DOTS)[0] for form in _FORM.findall(instruction))
    return tuple("".join(form.partition("because")[:2]).strip() for form in quoted)


def _parts(prompt: str) -> tuple[str, str]:
    """The instruction of a prompt and its example's output: "" where there is none."""
    before, *rest = _BLOCK.split(_ITEM.sub("", prompt))
    blocks = list(zip(map(str.lower, rest[::2]), rest[1::2], strict=True))
    instruction = [before, *(text for name, text in blocks if name.startswith("instruction"))]
    example = [text for name, text in blocks if name.startswith("example output")]
    return "\n".join(instruction).strip(), "\n".join(example).strip()


def _words(text: str) -> list[str]:
    return [_DOTS if word[0] in ".…" else word for word in _WORD.findall(text.lower())]


def _runs(words: list[str], length: int) -> list[Run]:
    return list(zip(*(words[step:] for step in range(length)), strict=False))


def _without(words: list[str], openings: Sequence[str]) -> list[str]:
    """The words that an answer adds to the openings it was asked to have."""
    joined = f" {' '.join(words)} "
    for opening in openings:
        joined = joined.replace(f" {' '.join(_words(opening))} ", " ")
    return joined.split()


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a prompt asks for: openings, whether of one sentence, and the runs of its words that are no answer.

    Those of the example are counted without the opening that every answer shares with it, those of the ``form`` are the
    ones with its dots.
    """

    openings: tuple[str, ...]
    single: bool
    instruction: frozenset[Run]
    form: frozenset[Run]
    example: list[str]
    copied: frozenset[Run]


@lru_cache(maxsize=256)
def _asked(instruction: str, example: str) -> _Asked:
    openings = wanted_openings(instruction)
    runs = frozenset(_runs(_words(instruction), RUN))
    form = frozenset(run for run in runs if _DOTS in run)
    shown = _without(_words(example), openings)
    return _Asked(openings, "one sentence" in instruction, runs, form, shown, frozenset(_runs(shown, RUN)))


def _share(words: list[str], runs: frozenset[Run]) -> float:
    """Share of the words that stand in one of the runs."""
    starts = [at for at, run in enumerate(_runs(words, RUN)) if run in runs]
    return len({at + step for at in starts for step in range(RUN)}) / max(len(words), 1)


def _asks_back(own: list[str], asked: _Asked) -> bool:
    """Whether an answer adds nothing to the instruction's words, or gives back the form with its dots."""
    nothing = bool(asked.openings) and not set(own) - {_DOTS}
    return nothing or _share(own, asked.instruction) >= COPIED or not asked.form.isdisjoint(_runs(own, RUN))


def _says_twice(answer: str, openings: Sequence[str]) -> bool:
    """Whether a sentence of four words or more, or a run of eight, comes twice in the answer."""
    sentences = [tuple(_words(part)) for part in re.split(r"(?<=[.!?…])[\s\"”]+|\n", answer)]
    told = [sentence for sentence in sentences if len(sentence) >= 4]
    runs = _runs(_without(_words(answer), openings), TWICE)
    return len(set(told)) < len(told) or len(set(runs)) < len(runs)


def same_to_all(sentences: Counter[str]) -> float:
    """Share of the records that are told one of the ten most frequent sentences; one told once only does not count."""
    told = (uses for sentence, uses in sentences.most_common(MOST_FREQUENT + 1) if sentence and uses > 1)
    return sum(list(told)[:MOST_FREQUENT]) / max(sentences.total(), 1)


def correction(request: Request, answer: str) -> Request | None:
    """The request that sends a faulty answer back, or None when the answer will do."""
    prompt = prompt_of(request.messages)
    found = SERIOUS.intersection(faults(answer, prompt))
    if not found:
        return None
    asked = _asked(*_parts(prompt))
    wish = "Answer with exactly one sentence" if asked.single or asked.openings else "Answer as you were asked to"
    if openings := asked.openings:
        wish += " that begins with " + " or ".join(f'"{opening}"' for opening in openings)
    wish += ", and nothing else."
    wish += " Speak of the input, not of the example." if "copied from the example" in found else ""
    wish += " Do not repeat the question." if "repeats the question" in found else ""
    return replace(request, messages=(*request.messages, ("assistant", neutral(answer)), ("user", wish)))


def expected_rating(odds: Mapping[str, float]) -> str:
    """Mean of the choices by their odds, as text with four digits; "" where hardly any answer begins with a choice.

    Parameters
    ----------
    odds
        Probability of each choice, as :class:`~lrrecsys_core.explain.llm.Result` carries them; they need not sum to 1,
        since an answer may begin with something else.
    """
    whole = sum(odds.values())
    return f"{sum(float(choice) * p for choice, p in odds.items()) / whole:.4f}" if whole >= LEAST_ODDS else ""


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
