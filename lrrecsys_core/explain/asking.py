"""Requests to an LLM and its answers, asked once, kept in a store and sent back where they are faulty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Protocol

from tqdm import tqdm

from lrrecsys_core.explain.checks import SERIOUS, correction, faults, prompt_of
from lrrecsys_core.explain.llm import LLM, Request, Result, Served

CHUNK = 4096
LOOKUP = 500  # prompts looked up in the store at once: short, so that a server never waits for it
Read = Callable[[Iterable[Request]], Iterator[str | None]]  # the answers to requests, in order
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
    if isinstance(llm, Served):
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


def read_answers(
    requests: Iterable[Request], llm: LLM, store: Store | None, progress: str = ""
) -> Iterator[str | None]:
    """Answers in order: those stored, or asked in memory where there is no store."""
    if store is None:
        return answer_in_memory(requests, llm, progress=progress)
    return stored_answers(requests, llm.model, store)


def second_answers(
    requests: Iterable[Request], answers: list[str | None], read: Read
) -> Iterator[tuple[str | None, bool]]:
    """The answers, those with serious faults replaced by the answer to a correction where that has none; whether it is
    one without."""
    needed = [
        correction(request, answer) if answer else None for request, answer in zip(requests, answers, strict=True)
    ]
    again = iter(read([request for request in needed if request is not None]))
    for request, answer in zip(needed, answers, strict=True):
        if request is None:
            yield answer, True
            continue
        second = next(again)
        good = bool(second) and not SERIOUS.intersection(faults(second or "", prompt_of(request.messages)))
        yield (second, True) if good else (answer, False)
