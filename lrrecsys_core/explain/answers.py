"""Answers as they came, with what they answer: what a report of faults reads, before anything is cut or corrected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lrrecsys_core.data.split import Split
from lrrecsys_core.explain.asking import answer_in_memory
from lrrecsys_core.explain.checks import prompt_of
from lrrecsys_core.explain.generate import item_profiles, profile_requests
from lrrecsys_core.explain.llm import LLM, Request
from lrrecsys_core.explain.prompt_sets import HOUSE, PromptSet
from lrrecsys_core.explain.prompts import VARIANTS, record_requests


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Parameters
    ----------
    explainer
        Who gave it.
    slot
        Which of the slots it was asked for, or "profile".
    prompt
        Text of the prompt; "" where there was none or it was not kept.
    text
        As received; "" where a call failed.
    finish_reason
        Why it ended, as reported.
    """

    explainer: str
    slot: str
    prompt: str
    text: str
    finish_reason: str = "stop"


def requests_about(
    split: Split, variant: str, profiles: Sequence[str] | None, prompts: PromptSet = HOUSE
) -> Iterator[tuple[str, Iterator[Request]]]:
    """The slots of a variant with what is asked for them: about every record, or every item for "profile"."""
    if variant == "profile":
        yield variant, profile_requests(split, prompts=prompts)
        return
    records = np.arange(len(split.user))
    for slot in VARIANTS[variant]:
        yield slot, record_requests(split, profiles, variant, slot, records, prompts=prompts)


def answered(split: Split, llm: LLM, variant: str) -> Iterator[Answer]:
    """What a programme answers to the prompts about a split; nothing is stored."""
    profiles = None if variant in ("profile", "no_profile") else item_profiles(split, llm)
    for slot, requests in requests_about(split, variant, profiles):
        everything = list(requests)
        for request, text in zip(everything, answer_in_memory(everything, llm), strict=True):
            yield Answer(llm.name, slot, prompt_of(request.messages), text or "")
