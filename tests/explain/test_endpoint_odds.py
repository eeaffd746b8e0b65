"""Servers that list the likeliest tokens, refuse to, or break over it: the text always arrives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from odd_server import Answer, odd_server

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.llm import Request, Result

RATINGS = ("1", "2", "3", "4", "5")


@contextmanager
def server(answer: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with odd_server(answer) as (url, asked):
        yield url, asked.bodies


def completion(listed: dict[str, float] | None = None) -> dict[str, Any]:
    top = [{"token": token, "logprob": math.log(chance)} for token, chance in (listed or {}).items()]
    told = {"logprobs": {"content": [{**top[0], "top_logprobs": top}]}} if top else {}
    return {"choices": [{"message": {"content": "4"}, "finish_reason": "stop", **told}]}


def ask(url: str, n: int = 1, choices: tuple[str, ...] = RATINGS, **settings: Any) -> list[Result]:
    llm = Endpoint("m", urls=(url,), pause=0.001, concurrency=1, **settings)
    return list(llm.complete(Request((("user", f"Rate {k}"),), choices=choices) for k in range(n)))


def test_odds_are_asked_for_where_choices_are_given_and_nowhere_else() -> None:
    with server(lambda body: (200, completion({"4": 0.5, " 5": 0.25, "The": 0.25}))) as (url, bodies):
        (rated,), (plain,) = ask(url), ask(url, choices=())
    assert rated.text == plain.text == "4"
    assert rated.odds == pytest.approx({"1": 0, "2": 0, "3": 0, "4": 0.5, "5": 0.25}) and plain.odds == {}
    assert bodies[0].items() >= {"logprobs": True, "top_logprobs": 20}.items()
    assert not bodies[1].keys() & {"logprobs", "top_logprobs"}


def test_the_completions_interface_is_asked_in_its_own_way() -> None:
    listed = {"tokens": ["4"], "token_logprobs": [math.log(0.5)], "top_logprobs": [{"4": math.log(0.5)}]}
    with server(lambda body: (200, {"choices": [{"text": "4", "logprobs": listed}]})) as (url, bodies):
        (rated,) = ask(url, choices=("4", "5"), chat_format="plain")
    assert rated.odds == pytest.approx({"4": 0.5, "5": 0})
    assert bodies[0]["logprobs"] == 20 and "top_logprobs" not in bodies[0]


@pytest.mark.parametrize("status", [400, 403, 422, 501])
def test_a_server_that_refuses_is_asked_again_without_and_then_spared(status: int) -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return (status, {"error": "no logprobs here"}) if "logprobs" in body else (200, completion())

    with server(refuse) as (url, bodies):
        results = ask(url, 3)
    assert [(one.text, one.odds, one.error) for one in results] == [("4", {}, None)] * 3
    assert ["logprobs" in body for body in bodies] == [True, False, False, False]


def test_a_request_refused_for_its_own_sake_costs_later_ones_no_odds() -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        wrong = body["messages"][0]["content"] == "Rate 0"
        return (400, {"error": "too long"}) if wrong else (200, completion({"4": 1.0}))

    with server(refuse) as (url, _):
        first, second = ask(url, 2)
    assert first.text is None and "too long" in str(first.error)
    assert second.odds["4"] == 1


def test_a_server_that_breaks_over_it_still_gives_its_text_in_the_end() -> None:
    with server(lambda body: (500, {}) if "logprobs" in body else (200, completion())) as (url, bodies):
        (rated,) = ask(url, attempts=3)
    assert (rated.text, rated.odds, len(bodies)) == ("4", {}, 3)


def test_a_forbidden_key_is_still_said() -> None:
    with server(lambda body: (403, {})) as (url, _), pytest.raises(InputError, match="forbids the request"):
        ask(url)


@pytest.mark.parametrize("logprobs", [None, "soon", {"content": [{"token": 4}]}])
def test_lists_that_make_no_sense_cost_no_text(logprobs: object) -> None:
    choice = {"message": {"content": "4"}, "logprobs": logprobs}
    with server(lambda body: (200, {"choices": [choice]})) as (url, _):
        (rated,) = ask(url)
    assert (rated.text, rated.odds, rated.error) == ("4", {}, None)
