"""Probabilities that an answer begins with each of a few choices, such as the ratings "1" to "5"."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLLOWED = 1e-3
"""Beginnings less likely than this are not followed further: the odds they could add or move are smaller still."""


@dataclass(frozen=True)
class Beginning:
    """The first tokens of a possible answer.

    Parameters
    ----------
    source
        Its place among the beginnings of one token less; at first the prompt's place.
    prompt
        Place of the prompt it answers.
    token
        Its last token; -1 when there is none yet.
    text
        What the tokens say, without space before it.
    probability
        Of all its tokens together.
    reached
        The longest choice it has passed through; "" when none.
    """

    source: int
    prompt: int
    token: int = -1
    text: str = ""
    probability: float = 1.0
    reached: str = ""


Continue = Callable[[list[Beginning]], NDArray[np.float32]]
"""Beginnings, all new by one token -> probabilities of what comes next: (beginnings, vocabulary)."""


def choice_odds(
    choices: Sequence[Sequence[str]], vocabulary: Sequence[str], first: NDArray[np.float32], follow: Continue
) -> list[dict[str, float]]:
    """Odds of each prompt's choices, by following the tokens that can spell one.

    An answer counts for the longest choice it begins with, spaces and line breaks before it apart: with "1" and "10"
    as choices, the token "1" counts for "1" less the part of it that goes on to "10", while a token "10" never counted
    for "1". So no answer counts twice and the odds of a prompt sum to 1 at most.

    Parameters
    ----------
    choices
        Of each prompt; a prompt without any gets no odds.
    vocabulary
        What each token says within a text; "" for tokens that say nothing.
    first
        (prompts, vocabulary) Probabilities of the first token.
    follow
        Asked once for every further token that some choice still needs, with those beginnings worth following.

    Returns
    -------
    list of dict
        Choice -> probability, for each prompt.
    """
    odds: list[dict[str, float]] = [dict.fromkeys(wanted, 0.0) for wanted in choices]
    pieces = {wanted: _pieces(wanted, vocabulary) for wanted in {tuple(wanted) for wanted in choices}}
    here = [Beginning(prompt, prompt) for prompt in range(len(choices))]
    probabilities = first
    for _ in range(1 + max((len(choice) for wanted in choices for choice in wanted), default=0)):
        there: list[Beginning] = []
        for place, (one, nexts) in enumerate(zip(here, probabilities, strict=True)):
            wanted = tuple(choices[one.prompt])
            for token, text in pieces[wanted]:
                grown = (one.text + text).lstrip()
                if not any(choice.startswith(grown) for choice in wanted):
                    continue
                likely = one.probability * float(nexts[token])
                reached = grown if grown in wanted else one.reached
                if grown in wanted:
                    odds[one.prompt][grown] += likely
                    if one.reached:
                        odds[one.prompt][one.reached] -= likely
                if likely >= FOLLOWED and any(choice.startswith(grown) and choice != grown for choice in wanted):
                    there.append(Beginning(place, one.prompt, token, grown, likely, reached))
        if not there:
            break
        here, probabilities = there, follow(there)
    return odds


def _pieces(choices: Sequence[str], vocabulary: Sequence[str]) -> list[tuple[int, str]]:
    """Tokens that can be part of a choice, or the space before it."""
    return [
        (token, text)
        for token, text in enumerate(vocabulary)
        if text and (not text.strip() or any(text.lstrip() in choice for choice in choices))
    ]


def listed_odds(choice: dict[str, Any], choices: Sequence[str]) -> dict[str, float]:
    """Odds of the choices as an OpenAI-compatible server lists the likeliest first tokens of an answer.

    A blank first token leads on to the next, weighted by its probability. Choices that no list shows have odds 0.

    Parameters
    ----------
    choice
        A completion's or chat completion's choice with "logprobs".
    choices
        What to look for.

    Returns
    -------
    dict
        Choice -> probability. Empty where the list cannot tell: there is none, none of the choices is in it, or a token
        in it may go on to a longer choice ("1" where "10" is a choice too and is no token of the list itself).
    """
    odds = dict.fromkeys(choices, 0.0)
    weight = 1.0
    with suppress(KeyError, TypeError, ValueError, AttributeError, OverflowError):  # whatever servers may send
        for sampled, likely, listed in _positions(choice["logprobs"]):
            seen = {token.strip() for token, _ in listed}
            for token, logprob in listed:
                text, probability = token.strip(), weight * math.exp(logprob)
                longer = [one for one in choices if text and one.startswith(text) and one not in seen]
                if longer and probability >= FOLLOWED:
                    return {}
                if text in odds:
                    odds[text] += probability
            if sampled.strip():
                break
            weight *= math.exp(likely)
        return odds if 0 < sum(odds.values()) < 1.001 else {}
    return {}


def _positions(logprobs: dict[str, Any]) -> list[tuple[str, float, list[tuple[str, float]]]]:
    """Token, its log-probability and the likeliest tokens with theirs, for each token, of either interface."""
    if "content" in logprobs:
        return [
            (one["token"], one["logprob"], [(other["token"], other["logprob"]) for other in one["top_logprobs"]])
            for one in logprobs["content"]
        ]
    together = zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"], strict=True)
    return [(token, logprob, list(listed.items())) for token, logprob, listed in together]
