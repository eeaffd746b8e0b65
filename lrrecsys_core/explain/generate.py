"""From a split and an LLM to the texts of every record (Sec 3.4.1; Algorithm 1, line 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from typing import Protocol

import numpy as np
from tqdm import tqdm

from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.llm import LLM, Request, Result
from lrrecsys_core.explain.prompts import VARIANTS, profile_request, record_requests

CHUNK = 4096


class Store(Protocol):
    """What generation needs of a store: see :mod:`lrrecsys_core.explain.store`."""

    def texts(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Stored answers by key; None where a failure is recorded; absent keys are left out."""

    def add(self, request: Request, result: Result, llm: LLM) -> None:
        """Record one result durably."""


@dataclass(frozen=True)
class Explanations:
    """The texts of every record of a split, each distinct sentence kept once.

    Parameters
    ----------
    explainer
        Name of the LLM, as shown in tables.
    variant
        One of :data:`lrrecsys_core.explain.prompts.VARIANTS`.
    sentences
        Distinct sentences; the first is "" (no text).
    codes
        For each slot ("positive", "negative" or "single") the sentence of each record: (N,) int32.
    """

    explainer: str
    variant: str
    sentences: tuple[str, ...]
    codes: dict[str, np.ndarray]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the texts and their places: what results computed from them are filed under."""
        digest = blake2b(digest_size=16)
        for sentence in self.sentences:
            digest.update(sentence.encode("utf-8", "surrogatepass") + b"\0")
        for slot in sorted(self.codes):
            digest.update(slot.encode() + np.ascontiguousarray(self.codes[slot], dtype=np.int32).tobytes())
        return digest.hexdigest()

    def texts(self, slot: str) -> list[str]:
        """The sentence of each record in a slot, "" where there is none."""
        return [self.sentences[code] for code in self.codes[slot]]

    @property
    def coverage(self) -> dict[str, float]:
        """Share of records with a text, by slot."""
        return {slot: float(np.mean(codes > 0)) if len(codes) else 0.0 for slot, codes in self.codes.items()}


class _Sentences:
    """Distinct texts in order of first appearance."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {"": 0}

    def code(self, text: str | None) -> int:
        return self.codes.setdefault(text, len(self.codes)) if text else 0


def answer_in_memory(requests: Iterable[Request], llm: LLM, *, progress: str = "") -> Iterator[str | None]:
    """Answer of each request in order, each distinct prompt asked once; nothing is written.

    Requests of one call share their sampling settings, so that prompts are told apart by their messages alone.
    """
    known: dict[object, str | None] = {}
    stream = iter(tqdm(requests, desc=progress, unit="prompt") if progress else requests)
    while chunk := list(islice(stream, CHUNK)):
        new = list({request.messages: request for request in chunk if request.messages not in known}.values())
        by_key: dict[str, Request] = {}
        for position, result in enumerate(llm.complete(new)):
            if result.key and not by_key:
                by_key = {request.key(llm.model): request for request in new}
            request = by_key[result.key] if result.key else new[position]
            known[request.messages] = result.text
        for request in chunk:
            yield known.get(request.messages)


def fill(requests: Iterable[Request], llm: LLM, store: Store, *, progress: str = "") -> None:
    """Ask the LLM for every request without a stored answer; each result is stored before the next is awaited.

    Failures recorded by earlier runs are asked again, once a run.
    """
    in_flight: dict[str, Request] = {}
    failed: set[str] = set()
    bar = tqdm(desc=progress, unit="prompt", disable=not progress, postfix={"failed": 0})

    def missing() -> Iterator[Request]:
        stream = iter(requests)
        while chunk := list(islice(stream, CHUNK)):
            keyed = {request.key(llm.model): request for request in chunk}
            stored = store.texts(list(keyed))
            for key, request in keyed.items():
                if stored.get(key) is None and key not in in_flight and key not in failed:
                    in_flight[key] = request
                    yield request
                else:
                    bar.update()

    for result in llm.complete(missing()):
        if not result.key:  # a client that answers in order: the oldest request in flight
            result.key = next(iter(in_flight))
        request = in_flight.get(result.key)
        if request is None:  # a stranger's or repeated answer: the first one stays
            continue
        store.add(request, result, llm)
        if result.text is None:
            failed.add(result.key)
            bar.set_postfix({"failed": len(failed)}, refresh=False)
        del in_flight[result.key]
        bar.update()
    bar.close()


def stored_answers(requests: Iterable[Request], model: str, store: Store) -> Iterator[str | None]:
    """Stored answer of each request in order; None where there is none."""
    stream = iter(requests)
    while chunk := list(islice(stream, CHUNK)):
        keys = [request.key(model) for request in chunk]
        stored = store.texts(list(dict.fromkeys(keys)))
        yield from (stored.get(key) for key in keys)


def _answers(requests: list[Iterable[Request]], llm: LLM, store: Store | None, progress: str) -> Iterator[str | None]:
    if store is None:
        return answer_in_memory(requests[0], llm, progress=progress)
    fill(requests[0], llm, store, progress=progress)
    return stored_answers(requests[1], llm.model, store)


def item_profiles(split: Split, llm: LLM, *, store: Store | None = None, progress: bool = False) -> list[str]:
    """Step 0 (Sec 3.6): one profile for each row of ``split.dataset.items``; the item's name where a call failed."""
    items = split.dataset.items
    names = items["name"].to_list()

    def requests() -> Iterator[Request]:
        for name, details in zip(names, items["details"].to_list(), strict=True):
            yield profile_request(split.dataset.domain, name, details)

    answers = _answers([requests(), requests()], llm, store, "profiles" if progress else "")
    return [answer.strip() if answer and answer.strip() else name for answer, name in zip(answers, names, strict=True)]


def explain_records(
    split: Split,
    llm: LLM,
    variant: str = "full",
    *,
    store: Store | None = None,
    records: np.ndarray | None = None,
    profiles: Sequence[str] | None = None,
    progress: bool = False,
) -> Explanations:
    """Texts of every record for one variant (Tables 4 and 5, Ablation 3), each distinct prompt asked once.

    Parameters
    ----------
    split
        Whose records and histories are explained; ratings and reviews never enter a prompt.
    llm
        Where texts come from.
    variant
        One of :data:`lrrecsys_core.explain.prompts.VARIANTS`.
    store
        Where answers are kept and looked up first; None keeps nothing.
    records
        Record indices to explain; None means all. The others get "".
    profiles
        One text for each row of ``split.dataset.items``; None asks the LLM (Sec 3.6), or uses names in "no_profile".
    progress
        Show a bar.

    Raises
    ------
    InputError
        When the variant is unknown.
    """
    if variant not in VARIANTS:
        raise InputError(f"variant {variant!r} is unknown: choose one of {', '.join(VARIANTS)}")
    if profiles is None and variant != "no_profile":
        profiles = item_profiles(split, llm, store=store, progress=progress)
    chosen = np.arange(len(split.user)) if records is None else np.asarray(records)
    sentences = _Sentences()
    codes: dict[str, np.ndarray] = {}
    for slot in VARIANTS[variant]:
        requests = [record_requests(split, profiles, variant, slot, chosen) for _ in range(2 if store else 1)]
        answers = _answers(list(requests), llm, store, f"{variant} {slot}" if progress else "")
        codes[slot] = np.zeros(len(split.user), dtype=np.int32)
        codes[slot][chosen] = np.fromiter(map(sentences.code, answers), dtype=np.int32, count=len(chosen))
    return Explanations(llm.name, variant, tuple(sentences.codes), codes)
