"""What an LLM is asked: the templates of a prompt set, filled with texts of items, for Tables 2-6.

The built-in sets are worded by us: none of the paper's printed prompts (App 10.2) is used, but its form of the answer
sentence is. Only texts of items enter a prompt: the past five and the candidate. A record's rating and review never do.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.domains import Domain
from lrrecsys_core.data.earlier import Positions
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.formats import neutral
from lrrecsys_core.explain.llm import Request, Task
from lrrecsys_core.explain.prompt_sets import HOUSE, PromptSet, PromptTemplate

ITEM_CHARACTERS = 1_000  # longest item line: six of them leave room for the rest in a small model's context
NO_HISTORY = "- none known"

VARIANTS: dict[str, tuple[str, ...]] = {
    "full": ("positive", "negative"),
    "no_profile": ("positive", "negative"),
    "alternative": ("positive", "negative"),
    "aspects": ("single",),
    "general": ("single",),
    "summary": ("single",),
    "direct": ("single",),
}
"""Slots of each variant: full (Sec 3.4.1), without profiles and direct rating and summary (Table 4), aspect terms and
general (Table 5), alternative prompt (Table 6)."""

_PLACE = re.compile(r"\$(history|candidate|item)\b")


class Asked(Protocol):
    """The part of a :class:`~lrrecsys_core.data.split.Split` that prompts are made of."""

    @property
    def dataset(self) -> Dataset:
        """Whose items and words."""

    @property
    def item_position(self) -> Positions:
        """(N,) row of the candidate in ``dataset.items``."""

    @property
    def history_position(self) -> Positions:
        """(N, 5) rows of the history, newest last; -1 where it is shorter."""


def profile_request(domain: Domain, name: str, details: str, *, prompts: PromptSet = HOUSE) -> Request:
    """Ask for the profile of one item: who would enjoy it (Sec 3.6)."""
    template = _template(prompts, Task(domain, "profile", "single"))
    return template.request({"item": _named(name, details)})


def record_requests(
    split: Asked,
    profiles: Sequence[str] | None,
    variant: str,
    slot: str,
    records: NDArray[np.integer],
    *,
    prompts: PromptSet = HOUSE,
) -> Iterator[Request]:
    """Ask about records, in the order given (Sec 3.4.1, Sec 5.5, Ablation 3).

    Parameters
    ----------
    split
        Its histories and candidates; nothing else of a record is read.
    profiles
        One text for each row of ``split.dataset.items``; None, and the variant "no_profile", use names and details.
    variant, slot
        See :data:`VARIANTS`.
    records
        (n,) record indices.
    prompts
        Whose words are used.

    Raises
    ------
    InputError
        When the variant or slot is unknown, the set has no prompts for the domain, or there are not as many profiles
        as items.
    """
    if slot not in VARIANTS.get(variant, ()):
        known = "; ".join(f"{name} ({', '.join(slots)})" for name, slots in VARIANTS.items())
        raise InputError(f"there is no slot {slot!r} of variant {variant!r}: choose one of {known}.")
    dataset = split.dataset
    template = _template(prompts, Task(dataset.domain, variant, slot, dataset.rating_min, dataset.rating_max))
    lines = item_lines(split, None if variant == "no_profile" else profiles)
    return _fill_all(template, lines, split.item_position[records].tolist(), split.history_position[records].tolist())


def fields_of(domain: Domain, variant: str, slot: str, prompts: PromptSet) -> tuple[str, ...]:
    """Which texts a prompt of this kind holds: "history", "candidate"."""
    return _template(prompts, Task(domain, variant, slot)).fields


def item_lines(split: Asked, profiles: Sequence[str] | None) -> list[str]:
    """How each row of ``split.dataset.items`` appears in prompts: "- name: profile", or "- name (details)".

    Raises
    ------
    InputError
        When there are not as many profiles as items.
    """
    names = split.dataset.items["name"].to_list()
    if profiles is None:
        return [_named(*row) for row in zip(names, split.dataset.items["details"].to_list(), strict=True)]
    if len(profiles) != len(names):
        raise InputError(
            f"there are {len(profiles)} profiles for {len(names)} items: give one for each row of the items."
        )
    return [
        _line(f"{name}: {text}" if text not in ("", name) else name) for name, text in zip(names, profiles, strict=True)
    ]


def _named(name: str, details: str) -> str:
    return _line(f"{name} ({details})" if details else name)


def _line(text: str) -> str:
    """One line without marks of chat formats, so that no item text can pass for a part of the prompt."""
    flat = neutral(" ".join(text.split()))
    return "- " + (flat if len(flat) <= ITEM_CHARACTERS else flat[: ITEM_CHARACTERS - 1] + "…")


def _kind(variant: str, slot: str) -> str:
    if slot == "single":
        return variant
    return f"alternative_{slot}" if variant == "alternative" else slot


def _fill_all(
    template: "_Prompt", lines: list[str], candidates: list[int], histories: list[list[int]]
) -> Iterator[Request]:
    for candidate, history in zip(candidates, histories, strict=True):
        past = "\n".join([lines[item] for item in history if item >= 0]) or NO_HISTORY
        yield template.request({"history": past, "candidate": lines[candidate]})


@dataclass(frozen=True, slots=True)
class _Prompt:
    """A template cut at its places for item texts, which are joined in and never parsed."""

    pieces: tuple[str, ...]
    fields: tuple[str, ...]
    template: PromptTemplate
    task: Task
    choices: tuple[str, ...]

    def request(self, texts: dict[str, str]) -> Request:
        parts = [self.pieces[0]]
        for field, piece in zip(self.fields, self.pieces[1:], strict=True):
            parts += (texts[field], piece)
        asked, whose = "".join(parts), self.template
        return Request(
            (("user", asked),), whose.answer_tokens, stop=whose.stop, template=whose.name, task=self.task,
            choices=self.choices,
        )  # fmt: skip


@lru_cache
def _template(prompts: PromptSet, task: Task) -> _Prompt:
    """The template of a task; parts shared by all of its prompts come first, so that servers' prefix caches help."""
    template = prompts.template(task.domain.name, _kind(task.variant, task.slot))
    text = template.text.replace("$low", f"{task.low:g}").replace("$high", f"{task.high:g}")
    blocks = sorted(text.split("\n\n"), key=lambda block: _PLACE.search(block) is not None)
    pieces = _PLACE.split("\n\n".join(blocks))
    choices = rating_choices(task.low, task.high) if task.variant == "direct" else ()
    return _Prompt(tuple(pieces[::2]), tuple(pieces[1::2]), template, task, choices)


def rating_choices(low: float, high: float) -> tuple[str, ...]:
    """The ratings of a scale in whole steps, in halves where it begins with half a point: "1" to "5", "0.5" to "5"."""
    step = 1.0 if float(low).is_integer() else 0.5
    return tuple(f"{low + step * k:g}" for k in range(round((high - low) / step) + 1))
