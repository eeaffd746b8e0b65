"""What a store says about a split, read as the texts of its records: how tables are rebuilt where there is no LLM."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.answers import Answer, requests_about
from lrrecsys_core.explain.checks import expected_rating, prompt_of
from lrrecsys_core.explain.clients.formats import known_llm, split_revision
from lrrecsys_core.explain.explanations import Explanations, told_by
from lrrecsys_core.explain.frozen import FrozenStore, asked_of, open_store, read_manifest
from lrrecsys_core.explain.generate import explain_records, item_profiles
from lrrecsys_core.explain.llm import Result
from lrrecsys_core.explain.prompt_sets import BUILT_IN, HOUSE, PromptSet, prompt_set
from lrrecsys_core.explain.prompts import VARIANTS, record_requests
from lrrecsys_core.explain.store import ExplanationStore

EXPECTED = "expected"
"""A reading of the answers to "direct": the mean rating by the probabilities that the LLM gave to each, as text."""
SAMPLE = 256  # records looked up to tell whether a store was asked about all of them


@dataclass(frozen=True)
class Recorded:
    """Stands for an LLM whose answers are all stored: names the row and the keys, and is never asked.

    Parameters
    ----------
    name
        Shown in tables.
    model
        Identifier with revision, as it was when the answers were made.
    """

    name: str
    model: str

    def complete(self, requests: object) -> Iterator[Result]:
        """Refused: there is no LLM here.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"{self.name} stands for stored answers only: open its store for reading, or name a real LLM")


def recorded_explanations(
    split: Split, path: str | Path, model: str, variant: str = "full", *, prompts: PromptSet | None = None
) -> Explanations:
    """Texts of every record from a store alone: how a row of Table 4 is rebuilt where there is no LLM.

    Corrected answers are preferred where the store holds any. The explainer, as tables show it, is the LLM with the
    prompt set it was asked in: "Llama 3.1, prompts house".

    Parameters
    ----------
    split
        The records.
    path
        A frozen folder, or an SQLite store.
    model
        Short name of one of the paper's LLMs, or the identifier the answers were made with. The revision behind "@" may
        be left out where the store holds only one.
    variant
        One of :data:`lrrecsys_core.explain.prompts.VARIANTS`, or :data:`EXPECTED`.
    prompts
        The set the answers were made with; None takes the store's own, where that is one built-in set.

    Raises
    ------
    InputError
        When the store cannot be read, or holds none of the answers, those of several revisions, or (with ``prompts``
        None) answers to several sets or a user's.
    """
    with _opened(path, model, prompts) as (store, llm, prompts):
        if variant == EXPECTED:
            told = _expected(split, llm, store, prompts)
        else:
            told = explain_records(split, llm, variant, store=store, prompts=prompts, second_try=True)
    return replace(told, explainer=told_by(told.explainer, prompts.name))


def recorded_profiles(split: Split, path: str | Path, model: str, *, prompts: PromptSet | None = None) -> list[str]:
    """Stored profile of each row of ``split.dataset.items`` (Sec 3.6), its name where there is none."""
    with _opened(path, model, prompts) as (store, llm, prompts):
        return item_profiles(split, llm, store=store, prompts=prompts)


def recorded_answers(
    split: Split, path: str | Path, model: str, variant: str = "full", *, prompts: PromptSet | None = None
) -> Iterator[Answer]:
    """What a store holds of a split in a variant, or of its "profile"s, as the LLM wrote it and before second tries."""
    with _opened(path, model, prompts) as (store, llm, prompts):
        named = variant in ("profile", "no_profile")
        profiles = None if named else item_profiles(split, llm, store=store, prompts=prompts)
        for slot, requests in requests_about(split, variant, profiles, prompts):
            while chunk := list(islice(requests, SAMPLE)):
                keys = [request.key(llm.model) for request in chunk]
                found = store.answers(list(dict.fromkeys(keys)))
                for request, key in zip(chunk, keys, strict=True):
                    if key in found:
                        text, reason = found[key]
                        yield Answer(
                            told_by(llm.name, prompts.name), slot, prompt_of(request.messages), text or "", reason
                        )


def stored_variants(split: Split, path: str | Path, model: str, *, prompts: PromptSet | None = None) -> frozenset[str]:
    """The variants for which a store was asked about every record, by a sample of them: what its rows can be made of.

    A trial of the first records does not count, nor does a variant without any answer; failures do.

    Raises
    ------
    InputError
        As :func:`recorded_explanations`, but for a store without answers.
    """
    with _opened(path, model, prompts) as (store, llm, prompts):
        if split.dataset.domain.name not in prompts.domains:
            return frozenset()
        looked_up = ((variant, *_sampled(split, store, llm, variant, prompts)) for variant in VARIANTS)
        found = frozenset(variant for variant, unasked, answers in looked_up if not unasked and answers)
        sample = _sample(split)
        rated = "direct" in found and _expected(split, llm, store, prompts, sample).codes["single"].any()
    return found | {EXPECTED} if rated else found


def holds(path: str | Path, model: str) -> bool:
    """Whether there is a store that was asked anything of a model; the revision behind "@" may be left out."""
    return any(model in (name, split_revision(name)[0]) for name, _ in _asked(Path(path)))


def recorded_model(path: str | Path, model: str) -> str:
    """Identifier and revision with which a store's answers were made."""
    return _recorded(_asked(Path(path)), model).model


def recorded_prompts(path: str | Path, model: str) -> PromptSet:
    """The built-in prompt set with which a store's answers were made, by the names of the templates recorded there.

    Raises
    ------
    InputError
        When the model was asked in several sets, or in a user's own.
    """
    asked = _asked(Path(path))
    return _prompts(asked, _recorded(asked, model).model, path)


def _asked(path: Path) -> set[tuple[str, str]]:
    """Who was asked what in a store, model and template; empty where there is no store."""
    if (path / "manifest.json").is_file():  # reading the answers would take longer than the question is worth
        return asked_of(read_manifest(path))
    if not path.is_file():
        return set()
    with closing(ExplanationStore(path, write=False)) as store:
        return store.asked()


def _prompts(asked: set[tuple[str, str]], model: str, path: str | Path) -> PromptSet:
    found = sorted({template.partition("/")[0] for name, template in asked if name == model and template})
    if len(found) <= 1 and set(found) <= set(BUILT_IN):
        return prompt_set(found[0]) if found else HOUSE
    several = "several prompt sets" if len(found) > 1 else "a prompt set of your own"
    raise InputError(
        f"{path} holds answers of {model} in {several} ({', '.join(found)}): say which by MODEL=PATH?prompts=SET in "
        "LRRECSYS_STORES (prompts=... in Python), where SET is house, zero-shot or a folder."
    )


def _sampled(
    split: Split, store: ExplanationStore | FrozenStore, llm: Recorded, variant: str, prompts: PromptSet
) -> tuple[int, int]:
    """Of the prompts about a sample of the records, how many were never asked and how many are answered."""
    profiles = None if variant == "no_profile" else item_profiles(split, llm, store=store, prompts=prompts)
    keys = {
        request.key(llm.model)
        for slot in VARIANTS[variant]
        for request in record_requests(split, profiles, variant, slot, _sample(split), prompts=prompts)
    }
    found = store.texts(list(keys))
    return len(keys) - len(found), sum(text is not None for text in found.values())


def _sample(split: Split) -> NDArray[np.int64]:
    """Records spread over a split, its first and last among them."""
    return np.unique(np.linspace(0, len(split.user) - 1, SAMPLE).astype(int))


def _expected(
    split: Split, llm: Recorded, store: ExplanationStore | FrozenStore, prompts: PromptSet,
    records: NDArray[np.int64] | None = None,
) -> Explanations:  # fmt: skip
    """Expected ratings (:data:`EXPECTED`) of all records, or of some; "" where the LLM gave no probabilities."""
    profiles = item_profiles(split, llm, store=store, prompts=prompts)
    chosen = np.arange(len(split.user)) if records is None else records
    requests = record_requests(split, profiles, "direct", "single", chosen, prompts=prompts)
    keys = [request.key(llm.model) for request in requests]
    odds = store.odds(list(dict.fromkeys(keys)))
    sentences = {"": 0}
    codes = np.zeros(len(split.user), dtype=np.int32)
    for record, key in zip(chosen.tolist(), keys, strict=True):
        codes[record] = sentences.setdefault(expected_rating(odds.get(key, {})), len(sentences))
    return Explanations(llm.name, EXPECTED, tuple(sentences), {"single": codes})


@contextmanager
def _opened(
    path: str | Path, model: str, prompts: PromptSet | None
) -> Iterator[tuple[ExplanationStore | FrozenStore, Recorded, PromptSet]]:
    """A store for reading, the model as it knows it, and the prompt set it was asked in."""
    with closing(open_store(path)) as store:
        llm = _recorded(store.asked(), model)
        yield store, llm, prompts or _prompts(store.asked(), llm.model, path)


def _recorded(asked: set[tuple[str, str]], model: str) -> Recorded:
    """The model as the store that was asked these knows it: with the revision it was pinned to."""
    known = known_llm(model)
    held = {name for name, _ in asked if split_revision(name)[0] == known.model}
    if known.revision or not held:
        return Recorded(known.name, known.pinned)
    if len(held) > 1:
        raise InputError(
            f"the store holds answers of {' and '.join(sorted(held))}: keep each revision in a store of its own"
        )
    return Recorded(known.name, held.pop())
