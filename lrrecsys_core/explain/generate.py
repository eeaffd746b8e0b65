"""From a split and an LLM to the texts of every record (Sec 3.4.1; Algorithm 1, line 3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.checks import SERIOUS, correction, faults, prompt_of, reader
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.llm import LLM, Request, Result
from lrrecsys_core.explain.prompt_sets import HOUSE, PromptSet
from lrrecsys_core.explain.prompts import VARIANTS, Asked, profile_request, record_requests
from lrrecsys_core.explain.reading import tidy

CHUNK = 4096
LOOKUP = 500  # prompts looked up in the store at once: short, so that a server never waits for it
PUT_OFF = 20_000  # prompts that failed before and wait for the new ones; more than these are asked in their order


class Store(Protocol):
    """What generation needs of a store: an :class:`~lrrecsys_core.explain.store.ExplanationStore` or a frozen one."""

    writable: bool

    def texts(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Stored answers by key; None where a failure is recorded; absent keys are left out."""

    def add(self, request: Request, result: Result, llm: LLM) -> None:
        """Record one result durably."""

    def answered(self, model: str) -> bool:
        """Whether there is any answer of a model (identifier with revision)."""


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
            answered = by_key.get(result.key) if result.key else new[position]
            if answered is not None:  # a stranger's answer is passed over, of repeated ones the first stays
                known.setdefault(answered.messages, result.text)
        for request in chunk:
            yield known.get(request.messages)


def fill(requests: Iterable[Request], llm: LLM, store: Store, *, progress: str = "", total: int | None = None) -> None:
    """Ask the LLM for every request without a stored answer; each result is stored before the next is awaited.

    Failures recorded by earlier runs are asked again, once a run and after what is new. With ``progress`` a bar of that
    name shows rate, failures, tokens and, when the ``total`` of requests is known, the time left.
    """
    in_flight: dict[str, Request] = {}
    failed, tokens = set[str](), 0
    bar = tqdm(desc=progress, unit="prompt", disable=not progress, total=total)
    if isinstance(llm, Endpoint):
        llm.answered = llm.answered or store.answered(llm.model)

    def missing() -> Iterator[Request]:
        stream = iter(requests)
        put_off: dict[str, Request] = {}
        while chunk := list(islice(stream, LOOKUP)):
            keyed = {request.key(llm.model): request for request in chunk}
            stored = store.texts(list(keyed))
            bar.update(len(chunk) - len(keyed))
            for key, request in keyed.items():
                if stored.get(key) is not None or key in in_flight or key in failed or key in put_off:
                    bar.update()
                elif key in stored and len(put_off) < PUT_OFF:
                    put_off[key] = request
                else:
                    in_flight[key] = request
                    yield request
        for key, request in put_off.items():
            in_flight[key] = request
            yield request

    with bar:
        for result in llm.complete(missing()):
            if not result.key:  # a client that answers in order: the oldest request in flight
                result.key = next(iter(in_flight))
            request = in_flight.get(result.key)
            if request is None:  # a stranger's or repeated answer: the first one stays
                continue
            store.add(request, result, llm)
            if result.text is None:
                failed.add(result.key)
            del in_flight[result.key]
            tokens += result.prompt_tokens + result.completion_tokens
            bar.postfix = f"{len(failed)} failed, {tokens:,} tokens"
            bar.update()


def stored_answers(requests: Iterable[Request], model: str, store: Store) -> Iterator[str | None]:
    """Stored answer of each request in order; None where there is none."""
    stream = iter(requests)
    while chunk := list(islice(stream, CHUNK)):
        keys = [request.key(model) for request in chunk]
        stored = store.texts(list(dict.fromkeys(keys)))
        yield from (stored.get(key) for key in keys)


def _read(requests: Iterable[Request], llm: LLM, store: Store | None, progress: str = "") -> Iterator[str | None]:
    """Answers in order: those stored, or asked in memory where there is no store."""
    if store is None:
        return answer_in_memory(requests, llm, progress=progress)
    return stored_answers(requests, llm.model, store)


def item_profiles(
    split: Split,
    llm: LLM,
    *,
    store: Store | None = None,
    records: NDArray[np.integer] | None = None,
    prompts: PromptSet = HOUSE,
    progress: bool = False,
    go_on: bool = False,
) -> list[str]:
    """Step 0 (Sec 3.6): one profile for each row of ``split.dataset.items``; the item's name where a call failed.

    With ``records`` only the items in the prompts about these records are asked about; the others keep their names.

    Raises
    ------
    InputError
        When profiles lack an answer in a store that is written to, unless told to ``go_on`` with names: prompts about
        records hold the profiles, so that later profiles would leave all answers to these prompts behind.
    """
    items = _items_of(split, records)
    label = "profiles" if progress else ""
    requests = partial(profile_requests, split, items, prompts=prompts)
    if store is not None and store.writable:
        fill(requests(), llm, store, progress=label, total=len(items))
    answers = list(_read(requests(), llm, store, label))
    if store is not None and store.writable and not go_on and None in answers:
        raise InputError(
            f"{answers.count(None):,} of {len(items):,} profiles have no answer, and prompts about records are made of "
            "them: run the same command again to ask for these, or with --go-on to let names stand in"
        )
    return _profile_texts(split, items, answers)


def _items_of(split: Split, records: NDArray[np.integer] | None) -> list[int]:
    """Rows of the items that the prompts about some records hold, candidates and histories; of all items for None."""
    if records is None:
        return list(range(split.dataset.items.height))
    history = split.history_position[records]
    return np.unique(np.r_[split.item_position[records], history[history >= 0]]).tolist()


def _profile_texts(split: Split, items: Sequence[int], answers: Iterable[str | None]) -> list[str]:
    texts: list[str] = split.dataset.items["name"].to_list()
    for item, answer in zip(items, answers, strict=True):
        texts[item] = (tidy(answer) if answer else "") or texts[item]
    return texts


def profile_requests(
    split: Asked, items: Iterable[int] | None = None, *, prompts: PromptSet = HOUSE
) -> Iterator[Request]:
    """One request for each of these rows of ``split.dataset.items``, in order; for every row by default (Sec 3.6)."""
    frame = split.dataset.items
    names, details = frame["name"].to_list(), frame["details"].to_list()
    for item in range(frame.height) if items is None else items:
        yield profile_request(split.dataset.domain, names[item], details[item], prompts=prompts)


def cache_friendly(split: Split, records: NDArray[np.integer]) -> NDArray[np.integer]:
    """The records with equal histories back to back, so that a server's prefix cache serves all but the candidate."""
    history = split.history_position[records]
    return np.asarray(records)[np.lexsort((split.item_position[records], *history.T[::-1]))]


def all_requests(
    split: Split, model: str, store: Store, variants: Sequence[str], *, go_on: bool = False, prompts: PromptSet = HOUSE
) -> tuple[str, Iterator[Request]]:
    """What to ask next, with its name: profiles while some lack an answer and are needed, then all about records.

    With ``go_on`` names stand in for the profiles that lack an answer.
    """
    profiles: list[str] | None = None
    if set(variants) - {"no_profile"}:
        answers = list(stored_answers(profile_requests(split, prompts=prompts), model, store))
        if None in answers and not go_on:
            return "profiles", profile_requests(split, prompts=prompts)
        profiles = _profile_texts(split, _items_of(split, None), answers)
    records = cache_friendly(split, np.arange(len(split.user)))
    return "records", _about_records(split, profiles, variants, records, prompts)


def _about_records(
    split: Split,
    profiles: Sequence[str] | None,
    variants: Iterable[str],
    records: NDArray[np.integer],
    prompts: PromptSet,
) -> Iterator[Request]:
    """All requests about these records, variant by variant and slot by slot."""
    return chain.from_iterable(
        record_requests(split, profiles, variant, slot, records, prompts=prompts)
        for variant in variants
        for slot in VARIANTS[variant]
    )


def fill_records(
    split: Split,
    llm: LLM,
    store: Store,
    variants: str | Sequence[str] = "full",
    *,
    records: NDArray[np.integer] | None = None,
    profiles: Sequence[str] | None = None,
    prompts: PromptSet = HOUSE,
    progress: bool = True,
    second_try: bool = False,
    go_on: bool = False,
) -> None:
    """Ask and store what :func:`explain_records` reads of some variants, without keeping texts in memory.

    All are asked in one stream, so that what is new in any comes before what failed in another. Parameters are those of
    :func:`explain_records` and :func:`item_profiles`.
    """
    variants = (variants,) if isinstance(variants, str) else tuple(variants)
    if profiles is None and set(variants) - {"no_profile"}:
        profiles = item_profiles(
            split, llm, store=store, records=records, prompts=prompts, progress=progress, go_on=go_on
        )
    chosen = cache_friendly(split, np.arange(len(split.user)) if records is None else np.asarray(records))
    requests = partial(_about_records, split, profiles, variants, chosen, prompts)
    total = len(chosen) * sum(len(VARIANTS[variant]) for variant in variants)
    fill(requests(), llm, store, progress="records" if progress else "", total=total)
    if second_try:
        answers = stored_answers(requests(), llm.model, store)
        faulty = (correction(one, said) for one, said in zip(requests(), answers, strict=True) if said)
        fill((one for one in faulty if one), llm, store, progress="corrected" if progress else "")


def explain_records(
    split: Split,
    llm: LLM,
    variant: str = "full",
    *,
    store: Store | None = None,
    records: NDArray[np.integer] | None = None,
    profiles: Sequence[str] | None = None,
    prompts: PromptSet = HOUSE,
    progress: bool = False,
    second_try: bool = False,
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
        Where answers are kept and looked up first; None keeps nothing. A store open for reading, or a frozen one, is
        read and the LLM is never asked.
    records
        Record indices to explain; None means all. The others get "".
    profiles
        One text for each row of ``split.dataset.items``; None asks the LLM (Sec 3.6), or uses names in "no_profile".
    prompts
        Whose words the LLM is asked in.
    progress
        Show a bar.
    second_try
        Send an answer with a serious fault back once with a correction
        (:func:`lrrecsys_core.explain.checks.correction`), which is stored like any other request.

    Raises
    ------
    InputError
        When the variant is unknown, a store for reading holds none of the answers, or profiles failed
        (:func:`item_profiles`).
    """
    if variant not in VARIANTS:
        raise InputError(f"variant {variant!r} is unknown: choose one of {', '.join(VARIANTS)}")
    if profiles is None and variant != "no_profile":
        profiles = item_profiles(split, llm, store=store, records=records, prompts=prompts, progress=progress)
    chosen = np.arange(len(split.user)) if records is None else np.asarray(records)
    if store is not None and store.writable:
        fill_records(
            split, llm, store, variant,
            records=chosen, profiles=profiles, prompts=prompts, progress=progress, second_try=second_try,
        )  # fmt: skip
    sentences: dict[str, int] = {"": 0}
    codes: dict[str, NDArray[np.int32]] = {}
    for slot in VARIANTS[variant]:
        requests = partial(record_requests, split, profiles, variant, slot, chosen, prompts=prompts)
        read = reader(next(requests(), None))
        answers = _read(requests(), llm, store, f"{variant} {slot}" if progress else "")
        if second_try:
            answers = _second_answers(requests(), list(answers), llm, store)
        texts: dict[str | None, int] = {None: 0}
        codes[slot] = np.zeros(len(split.user), dtype=np.int32)
        for record, answer in zip(chosen.tolist(), answers, strict=True):
            if answer is not None and answer not in texts:
                texts[answer] = sentences.setdefault(read(answer), len(sentences))
            codes[slot][record] = texts[answer]
    if store is not None and not store.writable and len(chosen) and not any(code.any() for code in codes.values()):
        raise InputError(
            f"the store holds no answer of {llm.model!r} to these prompts: name the model and data it was made with"
        )
    return Explanations(llm.name, variant, tuple(sentences), codes)


def _second_answers(
    requests: Iterable[Request], answers: list[str | None], llm: LLM, store: Store | None
) -> Iterator[str | None]:
    """The answers, those with serious faults replaced by the answer to a correction where that one has none."""
    needed = [
        correction(request, answer) if answer else None for request, answer in zip(requests, answers, strict=True)
    ]
    again = _read((request for request in needed if request is not None), llm, store)
    for request, answer in zip(needed, answers, strict=True):
        if request is None:
            yield answer
            continue
        second = next(again)
        good = second and not SERIOUS.intersection(faults(second, prompt_of(request.messages)))
        yield second if good else answer
