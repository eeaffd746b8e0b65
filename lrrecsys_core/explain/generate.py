"""From a split and an LLM to the texts of every record (Sec 3.4.1; Algorithm 1, line 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.asking import Read, Store, fill, read_answers, second_answers, stored_answers
from lrrecsys_core.explain.checks import correction, reader
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.llm import LLM, Request
from lrrecsys_core.explain.prompt_sets import HOUSE, PromptSet
from lrrecsys_core.explain.prompts import VARIANTS, Asked, profile_request, record_requests


def item_profiles(
    split: Split,
    llm: LLM,
    *,
    store: Store | None = None,
    records: NDArray[np.integer] | None = None,
    prompts: PromptSet = HOUSE,
    progress: bool = False,
    second_try: bool = False,
    go_on: bool = False,
) -> list[str]:
    """Step 0 (Sec 3.6): one profile for each row of ``split.dataset.items``; the item's name where a call failed.

    With ``records`` only the items in the prompts about these records are asked about; the others keep their names.
    Stored ones are checked like reasons: a second answer stands in for one with a serious fault, or else the name.
    Told to ``go_on``, one that failed before is not asked for again.

    Raises
    ------
    InputError
        When profiles lack a sound answer in a store that is written to, unless told to ``go_on`` with names: prompts
        about records hold the profiles, so that later profiles would leave all answers to these prompts behind.
    """
    items = _items_of(split, records)
    label = "profiles" if progress else ""
    if store is not None and store.writable:
        left = _not_failed(split, items, llm, store, prompts) if go_on else items
        requests = partial(profile_requests, split, left, prompts=prompts)
        _fill(requests, llm, store, label, total=len(left), second_try=second_try)
    read = partial(read_answers, llm=llm, store=store, progress=label)
    texts, unanswered, faulty = _profiles(split, items, prompts, read, checked=store is not None or second_try)
    if store is not None and store.writable and not go_on and unanswered + faulty:
        raise _unsound(unanswered, faulty, len(items))
    return texts


def _items_of(split: Split, records: NDArray[np.integer] | None) -> list[int]:
    """Rows of the items that the prompts about some records hold, candidates and histories; of all items for None."""
    if records is None:
        return list(range(split.dataset.items.height))
    history = split.history_position[records]
    return np.unique(np.r_[split.item_position[records], history[history >= 0]]).tolist()


def _not_failed(split: Split, items: Sequence[int], llm: LLM, store: Store, prompts: PromptSet) -> list[int]:
    """Those of the items whose profile has not failed before: names stand in for the others for good, since a profile
    that came now would leave the answers to all prompts that hold the name behind, to be paid for again."""
    keys = [request.key(llm.model) for request in profile_requests(split, items, prompts=prompts)]
    failed = {key for key, text in store.texts(keys).items() if text is None}
    return [item for item, key in zip(items, keys, strict=True) if key not in failed]


def _profiles(
    split: Split, items: Sequence[int], prompts: PromptSet, read: Read, *, checked: bool
) -> tuple[list[str], int, int]:
    """A text for each row of the items, its name where there is no sound answer; how many have none, or a faulty one.

    Programmes are not ``checked``: what they say is taken as it is.
    """
    requests = list(profile_requests(split, items, prompts=prompts))
    answers = list(read(requests))
    found = list(second_answers(requests, answers, read)) if checked else [(answer, True) for answer in answers]
    texts: list[str] = split.dataset.items["name"].to_list()
    for item, request, (answer, sound) in zip(items, requests, found, strict=True):
        texts[item] = (reader(request)(answer) if answer and sound else "") or texts[item]
    return texts, answers.count(None), sum(not sound for _, sound in found)


def _unsound(unanswered: int, faulty: int, asked: int) -> InputError:
    return InputError(
        f"{unanswered:,} of {asked:,} profiles have no answer and {faulty:,} a seriously faulty one, and prompts about "
        "records are made of them: run the same command again to ask for the former, 'explain run' with --second-try "
        "to send the latter back, or with --go-on to let names stand in"
    )


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

    With ``go_on`` names stand in for the profiles that lack a sound answer.

    Raises
    ------
    InputError
        When answered profiles have serious faults, as in :func:`item_profiles`.
    """
    profiles: list[str] | None = None
    if set(variants) - {"no_profile"}:
        items, read = _items_of(split, None), partial(stored_answers, model=model, store=store)
        profiles, unanswered, faulty = _profiles(split, items, prompts, read, checked=True)
        if unanswered and not go_on:
            return "profiles", profile_requests(split, prompts=prompts)
        if faulty and not go_on:
            raise _unsound(unanswered, faulty, len(items))
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
            split, llm, store=store, records=records, prompts=prompts, progress=progress, second_try=second_try,
            go_on=go_on,
        )  # fmt: skip
    chosen = cache_friendly(split, np.arange(len(split.user)) if records is None else np.asarray(records))
    requests = partial(_about_records, split, profiles, variants, chosen, prompts)
    total = len(chosen) * sum(len(VARIANTS[variant]) for variant in variants)
    _fill(requests, llm, store, "records" if progress else "", total=total, second_try=second_try)


def _fill(
    requests: Callable[[], Iterable[Request]], llm: LLM, store: Store, label: str, *, total: int, second_try: bool
) -> None:
    """Ask what is not stored and, with ``second_try``, send the answers with serious faults back."""
    fill(requests(), llm, store, progress=label, total=total)
    if second_try:
        answers = stored_answers(requests(), llm.model, store)
        faulty = (correction(one, said) for one, said in zip(requests(), answers, strict=True) if said)
        fill((one for one in faulty if one), llm, store, progress=label and f"{label} corrected")


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
        profiles = item_profiles(
            split, llm, store=store, records=records, prompts=prompts, progress=progress, second_try=second_try
        )
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
        answers = read_answers(requests(), llm, store, f"{variant} {slot}" if progress else "")
        if second_try:
            seconds = second_answers(requests(), list(answers), partial(read_answers, llm=llm, store=store))
            answers = (answer for answer, _ in seconds)
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
