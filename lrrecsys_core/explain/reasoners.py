"""Two sources of text that need no weights and read prompts only, like any LLM; both are named as what they are.

The *simulated reasoner* knows a stated set of attribute names and reasons with those alone. The *metadata explainer*
takes every phrase of an item's details (genre, category, price, place) for a possible reason.
"""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import takewhile

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.checks import expected_openings
from lrrecsys_core.explain.llm import Request, Result, Task
from lrrecsys_core.explain.prompts import NO_HISTORY

_PROFILE = "Suits people who look for "
_CACHE = 1 << 18  # item lines remembered


class _Reasoner(ABC):
    """Compares the phrases of a candidate with those of a history, both as they stand in the prompt."""

    name: str
    model: str

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, ...]] = {}

    @abstractmethod
    def _phrases(self, line: str) -> tuple[str, ...]:
        """Phrases of an item line this reasoner reasons with, each once, in a fixed order."""

    def _read(self, line: str) -> tuple[str, ...]:
        found = self._seen.get(line)
        if found is None:
            if len(self._seen) >= _CACHE:
                self._seen.clear()
            found = self._seen[line] = self._phrases(line)
        return found

    def complete(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Answer each request at once, in the order given."""
        for request in requests:
            yield Result(text=self.answer(request))

    def answer(self, request: Request) -> str:
        """Answer a request made from the package's templates; equal prompts have equal answers.

        A direct rating is low + (high - low) (1 + b) / 2, rounded to a tenth, where b is the balance of the reasons.

        Raises
        ------
        InputError
            If the request comes from elsewhere, or from templates of a user's that name no past or current items.
        """
        if request.task is None:
            raise InputError("this explainer reads only prompts made from the package's templates: ask an LLM instead.")
        lines = next(text for role, text in request.messages if role == "user").split("\n")
        if request.task.variant == "profile":
            phrases = self._read(next((line for line in lines[::-1] if line.startswith("- ")), ""))
            return _PROFILE + "; ".join(phrases) + "." if phrases else "Suits people without particular wishes."
        return _answer(self._case(lines, request.task), request.task)

    def _case(self, lines: list[str], task: Task) -> "_Case":
        """Lines of a prompt, reduced to the phrases of its input that this reasoner knows."""
        history = [line for line in _below(f"Past {task.domain.plural}:", lines) if line != NO_HISTORY]
        candidate = _below(f"Current {task.domain.noun}:", lines) if task.variant != "summary" else []
        return _Case(
            noun=task.domain.noun,
            plural=task.domain.plural,
            length=len(history),
            counts=Counter(phrase for line in history for phrase in self._read(line)),
            present=self._read(candidate[0]) if candidate else (),
        )


def _answer(case: "_Case", task: Task) -> str:
    if task.variant == "direct":
        return f"{task.low + (task.high - task.low) * (1 + case.balance()) / 2:.1f}"
    if task.variant == "aspects":
        return case.aspects()
    if task.variant == "summary":
        return case.summary()
    openings = expected_openings(task.domain, task.variant, task.slot)
    if task.variant == "general":
        liked = case.balance() >= 0
        return case.sentence(openings[not liked], case.reason_for() if liked else case.reason_against(), CLAUSES)
    reason = case.reason_against() if task.slot == "negative" else case.reason_for()
    return case.sentence(openings[0], reason, OTHER_CLAUSES if task.variant == "alternative" else CLAUSES)


class SimulatedReasoner(_Reasoner):
    """A reasoner that deems a given set of attributes important, and no others; it learns nothing and sees no data.

    Parameters
    ----------
    knowledge
        Names of the attributes it looks for in prompts.
    name
        Shown in tables; by default says how many attributes it knows.
    """

    def __init__(self, knowledge: Iterable[str], name: str | None = None) -> None:
        self.knowledge = tuple(sorted(set(knowledge)))
        self.name = name or f"simulated reasoner (knows {len(self.knowledge)} attributes)"
        self.model = f"simulated-reasoner-2@{blake2b(';'.join(self.knowledge).encode(), digest_size=8).hexdigest()}"
        longest_first = sorted(self.knowledge, key=len, reverse=True)
        self._pattern = re.compile(
            rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(?!\w)", re.IGNORECASE
        )
        super().__init__()

    def _phrases(self, line: str) -> tuple[str, ...]:
        found = {match.lower() for match in self._pattern.findall(line)}
        return tuple(name for name in self.knowledge if name.lower() in found)


class MetadataExplainer(_Reasoner):
    """Explains by the phrases of items' details that candidate and history share, whatever these are; knows nothing.

    Phrases of more than eight words are passed over, so that sentences stay short.
    """

    name = "metadata explainer (no LLM)"
    model = "metadata-explainer-2"

    def _phrases(self, line: str) -> tuple[str, ...]:
        _, found, listed = line.rpartition(_PROFILE)
        listed = listed.removesuffix(".") if found else _details(line)
        phrases = (phrase.strip() for phrase in listed.split(";"))
        return tuple(dict.fromkeys(phrase for phrase in phrases if phrase and len(phrase.split()) <= 8))


CLAUSES = {
    "shared": "the consumer has {grade} chosen {plural} with {phrase} before, which the {noun} offers, {match}",
    "untried": "the consumer has not tried {phrase} yet, which the {noun} offers, {match}",
    "nothing for": "the consumer has chosen many kinds of {plural} before, one of which the {noun} is, {match}",
    "missing": "the consumer has {grade} chosen {plural} with {phrase} before, which the {noun} lacks, {match}",
    "unwanted": "the consumer has never chosen {plural} with {phrase} before, which the {noun} has, {match}",
    "nothing against": "the consumer has shown no clear wishes and the {noun} offers little that stands out, {match}",
}
OTHER_CLAUSES = {
    "shared": "it comes with {phrase}, which this consumer has {grade} gone for before, {match}",
    "untried": "it comes with {phrase}, which is new to this consumer, {match}",
    "nothing for": "it is much like other {plural} this consumer knows, {match}",
    "missing": "it comes without {phrase}, which this consumer has {grade} gone for before, {match}",
    "unwanted": "it comes with {phrase}, which this consumer has never gone for before, {match}",
    "nothing against": "nothing about it speaks to this consumer, {match}",
}
# Names of a share of the history, and of a balance, from their lower ends on: one level for each of five past items.
_GRADES = ((0.9, "always"), (0.7, "usually"), (0.5, "often"), (0.3, "sometimes"), (0.0, "once"))
_BALANCES = (
    (0.5, "excellent"), (0.3, "good"), (0.1, "fair"), (-0.1, "even"), (-0.3, "weak"), (-0.5, "poor"), (-1.0, "bad"),
)  # fmt: skip
_ANY_ASPECTS = ("overall quality", "price", "variety")


@dataclass(frozen=True, slots=True)
class _Case:
    """A candidate and a history, reduced to the phrases the reasoner knows."""

    noun: str
    plural: str
    length: int
    counts: Counter[str]
    present: tuple[str, ...]

    def reason_for(self) -> tuple[str, str]:
        """The phrase of the candidate with the strongest support in the history."""
        if not self.present:
            return "nothing for", ""
        best = max(self.present, key=self.counts.__getitem__)
        return ("shared" if self.counts[best] else "untried"), best

    def reason_against(self) -> tuple[str, str]:
        """What the history often has and the candidate lacks; else what the candidate has and the history never."""
        absent = [phrase for phrase in sorted(self.counts) if phrase not in self.present]
        missed = max(absent, key=self.counts.__getitem__, default="")
        unwanted = [phrase for phrase in self.present if self.length and not self.counts[phrase]]
        if missed and (not unwanted or self.counts[missed] >= 0.4 * self.length):
            return "missing", missed
        return ("unwanted", unwanted[0]) if unwanted else ("nothing against", "")

    def sentence(self, opening: str, reason: tuple[str, str], words: dict[str, str]) -> str:
        kind, phrase = reason
        clause = words[kind].format(
            grade=self.grade(phrase), phrase=phrase, match=self.match(), noun=self.noun, plural=self.plural
        )
        return f"{opening} {clause}."

    def grade(self, phrase: str) -> str:
        return _level(self.counts[phrase] / max(self.length, 1), _GRADES)

    def match(self) -> str:
        """The balance in words."""
        known = f"{_level(self.balance(), _BALANCES)} match" if self.length else "match yet unknown"
        return f"{'an' if known[0] in 'e' else 'a'} {known}"

    def balance(self) -> float:
        """What speaks for the candidate less what speaks against it, -1 to 1.

        The largest history share among the known phrases it has, less the largest among those it lacks.
        """
        met, missed = (
            max((n for phrase, n in self.counts.items() if (phrase in self.present) == there), default=0)
            for there in (True, False)
        )
        return (met - missed) / max(self.length, 1)

    def ranked(self) -> list[str]:
        return sorted(self.counts, key=lambda phrase: (-self.counts[phrase], phrase))

    def aspects(self) -> str:
        own = sorted(self.present, key=lambda phrase: -self.counts[phrase])
        return ", ".join([*own, *(phrase for phrase in self.ranked() if phrase not in self.present), *_ANY_ASPECTS][:3])

    def summary(self) -> str:
        wishes = [f"{self.grade(phrase)} for {phrase}" for phrase in self.ranked()[:3]]
        return f"The consumer looks {', '.join(wishes)}." if wishes else "The consumer has no clear preferences."


def _level(value: float, levels: tuple[tuple[float, str], ...]) -> str:
    return next(name for low, name in levels if value >= low)


def _below(heading: str, lines: list[str]) -> list[str]:
    """The item lines below the last such heading: those of the input, which follows any example.

    They start with a dash, so no item text can pass for a heading.
    """
    if heading not in lines:
        raise InputError(
            f"the prompt has no line {heading!r}, which this explainer reads it by: ask an LLM, or take a built-in set."
        )
    last = len(lines) - lines[::-1].index(heading)
    return list(takewhile(lambda line: line.startswith("- "), lines[last:]))


def _details(line: str) -> str:
    """The last bracketed part of an item line, which may hold brackets of its own."""
    depth = 0
    for place in range(len(line) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(line[place], 0)
        if depth == 0:
            return line[place + 1 : -1] if line[place] == "(" else ""
    return ""
