"""The one protocol every source of text follows: requests in, results out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol, runtime_checkable

from lrrecsys_core.data.domains import Domain

Message = tuple[str, str]
"""Role ("system", "user" or "assistant") and text."""

KEY_SCHEMA = "lrrecsys-request-1"


@dataclass(frozen=True, slots=True)
class Task:
    """What a prompt asks for, in terms of the package rather than in words.

    Parameters
    ----------
    domain
        Its words fill the answer.
    variant, slot
        As in :data:`lrrecsys_core.explain.prompts.VARIANTS`, or "profile" and "single".
    low, high
        The rating scale.
    """

    domain: Domain
    variant: str
    slot: str
    low: float = 1.0
    high: float = 5.0


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt with everything that decides its answer.

    Parameters
    ----------
    messages
        The conversation, oldest first.
    max_tokens
        Upper bound on new tokens (the paper is silent; the autoencoder reads 50 words).
    temperature
        0 is greedy.
    stop
        Texts that end the answer.
    template
        Name and version of the prompt file, so that a changed file changes the key.
    task
        What the prompt asks for, for the programmes that answer in an LLM's place; an LLM reads the messages, so this
        enters no key and is sent nowhere.
    choices
        Answers whose probabilities are wanted beside the text ("1" to "5"); a client that cannot tell them gives none.
        They change no answer and enter no key.
    """

    messages: tuple[Message, ...]
    max_tokens: int = 128
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    template: str = ""
    task: Task | None = field(default=None, compare=False)
    choices: tuple[str, ...] = field(default=(), compare=False)

    def key(self, model: str) -> str:
        """Hash of the canonical whole request under a model (identifier with revision): 32 hexadecimal digits."""
        whole = (KEY_SCHEMA, model, self.messages, self.max_tokens, self.temperature, self.stop, self.template)
        return blake2b(json.dumps(whole, separators=(",", ":")).encode(), digest_size=16).hexdigest()

    def until_stop(self, text: str) -> tuple[str, bool]:
        """The answer up to the first of the stops, and whether there was one: engines may write past it."""
        ends = [place for stop in self.stop if (place := text.find(stop)) >= 0]
        return (text[: min(ends)], True) if ends else (text, False)


@dataclass(slots=True)
class Result:
    """What came back for one request: a text, or an error that says why there is none.

    Parameters
    ----------
    key
        ``request.key(model)``; empty when a client answers every request in the order given.
    text
        The answer as received, or None on failure.
    finish_reason
        "stop", "length", "content_filter", ... as reported.
    prompt_tokens, completion_tokens
        Usage as reported, 0 when unknown.
    error
        Why there is no text.
    seconds
        Time the call took, retries included.
    odds
        Probability of each of the request's choices as the beginning of the answer, over all of them 1 or less; empty
        when none were wanted or the client cannot tell.
    """

    key: str = ""
    text: str | None = None
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None
    seconds: float = 0.0
    odds: dict[str, float] = field(default_factory=dict)


class LLM(Protocol):
    """Anything that turns requests into results."""

    @property
    def name(self) -> str:
        """Shown in tables."""

    @property
    def model(self) -> str:
        """Enters every key: the model's identifier and revision, or a fingerprint of a configuration."""

    def complete(self, requests: Iterable[Request]) -> Iterator[Result]:
        """Answer each request once, in any order (keys set) or in the order given (keys empty).

        ``requests`` may be a lazy stream: a client takes from it as its capacity allows. A client never raises for
        a single request that fails: it yields a result with ``error`` set.
        """


@runtime_checkable
class Served(Protocol):
    """An LLM whose server may refuse one prompt or everything, which only a first answer tells apart.

    Attributes
    ----------
    answered : whether it is known to answer, now or from earlier runs.
    """

    answered: bool
