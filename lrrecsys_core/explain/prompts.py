"""What an LLM is asked: prompts of our own wording, filled from template files, for Tables 2-6.

They keep the structure of the paper's (instruction, one worked example, input: App 10.2) and the form of the answer
sentence; none of its printed prompts is used, and our profile prompt allows no knowledge beyond the given details.
Only texts of items enter a prompt: the past five and the candidate. A record's rating and review never do.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from string import Template

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.dataset import Domain
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.llm import Request, Task

FOLDER = Path(__file__).parent / "prompts"
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
_ANSWER_TOKENS = {"direct": 8, "aspects": 32}


def profile_request(domain: Domain, name: str, details: str) -> Request:
    """Ask for the profile of one item: who would enjoy it (Sec 3.6)."""
    template = _template(Task(domain, "profile", "single"))
    return template.request({"item": _named(name, details)})


def record_requests(
    split: Split,
    profiles: Sequence[str] | None,
    variant: str,
    slot: str,
    records: NDArray[np.integer],
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

    Raises
    ------
    InputError
        When the variant or slot is unknown, or there are not as many profiles as items.
    """
    if slot not in VARIANTS.get(variant, ()):
        known = "; ".join(f"{name} ({', '.join(slots)})" for name, slots in VARIANTS.items())
        raise InputError(f"there is no slot {slot!r} of variant {variant!r}: choose one of {known}.")
    dataset = split.dataset
    template = _template(Task(dataset.domain, variant, slot, dataset.rating_min, dataset.rating_max))
    lines = item_lines(split, None if variant == "no_profile" else profiles)
    return _fill_all(template, lines, split.item_position[records].tolist(), split.history_position[records].tolist())


def item_lines(split: Split, profiles: Sequence[str] | None) -> list[str]:
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
    """One line, so that no item text can pass for a part of the prompt."""
    flat = " ".join(text.split())
    return "- " + (flat if len(flat) <= ITEM_CHARACTERS else flat[: ITEM_CHARACTERS - 1] + "…")


def _file(variant: str, slot: str) -> str:
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
    max_tokens: int
    version: str
    task: Task

    def request(self, texts: dict[str, str]) -> Request:
        parts = [self.pieces[0]]
        for field, piece in zip(self.fields, self.pieces[1:], strict=True):
            parts += (texts[field], piece)
        return Request((("user", "".join(parts)),), self.max_tokens, template=self.version, task=self.task)


@lru_cache
def _template(task: Task) -> _Prompt:
    """The template of a task; parts shared by all of its prompts come first, so that servers' prefix caches help."""
    domain, kind = task.domain.name, _file(task.variant, task.slot)
    path = FOLDER / domain / f"{kind}.txt"
    if not path.is_file():
        raise InputError(
            f"there is no prompt template for {domain!r}: choose a domain that has a folder in explain/prompts."
        )
    text = path.read_text(encoding="utf-8").rstrip("\n")
    version = f"{domain}/{kind}@{blake2b(text.encode(), digest_size=4).hexdigest()}"
    text = Template(text).safe_substitute(low=f"{task.low:g}", high=f"{task.high:g}")
    blocks = sorted(text.split("\n\n"), key=lambda block: _PLACE.search(block) is not None)
    pieces = _PLACE.split("\n\n".join(blocks))
    return _Prompt(tuple(pieces[::2]), tuple(pieces[1::2]), _ANSWER_TOKENS.get(kind, 128), version, task)
