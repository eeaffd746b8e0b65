"""Any OpenAI-compatible endpoint (vLLM, llama.cpp, Ollama, hosted), or several at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.calls import Arrived, Calls
from lrrecsys_core.explain.clients.formats import render, split_revision
from lrrecsys_core.explain.llm import Request, Result


@dataclass
class Endpoint:
    """A model behind one or more OpenAI-compatible servers.

    The key is read from ``LRRECSYS_API_KEY`` or ``OPENAI_API_KEY`` when a run starts and kept nowhere. A request with
    choices asks for the 20 likeliest tokens too, from which their odds are read; a server that refuses gives its text.

    Parameters
    ----------
    model
        Identifier with revision, as it enters every key.
    name
        Shown in tables; the model when empty.
    served_as
        What the servers call the model, when that differs.
    urls
        Base URLs; empty reads ``LRRECSYS_BASE_URL`` (several with commas) or ``OPENAI_BASE_URL``.
    chat_format
        "template" uses the chat interface, any other format of :mod:`~lrrecsys_core.explain.clients.formats` sends
        plain text.
    concurrency
        Calls in flight over all servers; an answer counts until it is stored.
    timeout
        Seconds for one call, first byte to last.
    attempts
        Calls for one request before its failure is recorded.
    pause, longest_pause
        Seconds waited after the first failure, doubled each time with full jitter, and the most ever waited.
    give_up_after
        Requests failing one after another, with no success between, that end the run; those that a server which is
        known to answer refuses for their own sake (HTTP 400, 413, 415, 422) do not count, nor do those it filters.
    answered
        Whether the model is known to answer at these addresses: from then on a 400, 403, 404, 413, 415 or 422 fails
        one request; before, they fail none, and end the run when nothing else comes.
    """

    model: str
    name: str = ""
    served_as: str = ""
    urls: tuple[str, ...] = ()
    chat_format: str = "template"
    concurrency: int = 64
    timeout: float = 120.0
    attempts: int = 6
    pause: float = 0.5
    longest_pause: float = 60.0
    give_up_after: int = 100
    answered: bool = False

    def __post_init__(self) -> None:
        for setting in ("concurrency", "attempts", "give_up_after", "timeout"):
            if not getattr(self, setting) > 0:
                raise InputError(f"{setting} of an endpoint is {getattr(self, setting)}: give a number above 0")
        self.name = self.name or self.model
        self.served_as = self.served_as or split_revision(self.model)[0]

    def complete(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Answer requests as they come, in the order in which answers arrive.

        Raises
        ------
        InputError
            When no address is given, the key or model is refused, call after call fails, or all servers ask for a
            longer pause than ``longest_pause``: answers so far are kept.
        """
        stream = iter(requests)
        answers: SimpleQueue[Arrived | InputError] = SimpleQueue()
        calls = Calls(self, base_urls(self.urls), answers)
        in_flight, failures, said = 0, 0, ""
        unsure: list[Arrived] = []  # refused: for their own sake, or is everything? The first success tells
        try:
            while True:
                new = list(islice(stream, self.concurrency - in_flight))
                calls.start(new)
                in_flight += len(new)
                if not in_flight:
                    break
                arrived = [answers.get()]
                arrived += [answers.get() for _ in range(answers.qsize())]
                in_flight -= len(arrived)
                for one in sorted(arrived, key=lambda one: isinstance(one, InputError)):  # what has come is kept first
                    if isinstance(one, InputError):
                        raise one
                    if one.result.text is not None:
                        self.answered, failures = True, 0
                    elif one.outage or (one.unsure and not self.answered):
                        failures, said = failures + 1, str(one.result.error)
                    if one.unsure and not self.answered:
                        unsure.append(one)
                        continue
                    yield from (earlier.result for earlier in unsure if self.answered)
                    unsure = [] if self.answered else unsure
                    yield one.result
                if failures >= self.give_up_after:
                    break
            if unsure and unsure[0].failure:
                raise calls.refusal(calls.addresses, unsure[0].failure)
            if failures >= self.give_up_after:
                raise InputError(
                    f"the last {failures} requests to {calls.addresses} all failed ({said[:200]}): "
                    "see to the server and run the same command again"
                )
        finally:
            calls.stop()

    def body(self, request: Request) -> tuple[str, dict[str, Any]]:
        """Path and JSON body of one call for its text; batch files hold these and so tell no odds."""
        body: dict[str, Any] = {
            "model": self.served_as, "max_tokens": request.max_tokens, "temperature": request.temperature,
        }  # fmt: skip
        if request.stop:
            body["stop"] = list(request.stop)
        if self.chat_format == "template":
            body["messages"] = [{"role": role, "content": text} for role, text in request.messages]
            return "/chat/completions", body
        body["prompt"] = render(request.messages, self.chat_format)
        return "/completions", body


def base_urls(urls: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The addresses given, or those of the environment.

    Raises
    ------
    InputError
        When there are none, or one is no address of a server.
    """
    import httpx

    stated = os.environ.get("LRRECSYS_BASE_URL") or os.environ.get("OPENAI_BASE_URL") or ""
    urls = urls or tuple(url.strip() for url in stated.split(",") if url.strip())
    if not urls:
        raise InputError("no endpoint is named: set LRRECSYS_BASE_URL, for example to http://localhost:8000/v1")
    for place, url in enumerate(urls, 1):
        try:
            sound = url.startswith(("http://", "https://")) and bool(httpx.URL(url).host) and urlsplit(url).port != 0
        except (ValueError, httpx.InvalidURL):  # a port beyond 65535, a broken bracket, a control character
            sound = False
        if not sound:  # not shown, since there may be a key in it
            raise InputError(
                f"address {place} of {len(urls)} in LRRECSYS_BASE_URL is none: it must start with http:// or https:// "
                "and have a host and, where it names a port, one from 1 to 65535"
            )
    return urls
