"""What servers do when they refuse, rest or send odd things: no run ends for one prompt, and none waits for long."""

from __future__ import annotations

import json
import math
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from odd_server import completion, odd_server, prompt

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.calls import HOPELESS, retry_after
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.generate import fill
from lrrecsys_core.explain.llm import Request
from lrrecsys_core.explain.store import ExplanationStore


def prompts(*texts: object) -> list[Request]:
    return [Request((("user", str(text)),)) for text in texts]


def endpoint(*urls: str, **settings: Any) -> Endpoint:
    return Endpoint("m", urls=urls, **{"pause": 0.001, "longest_pause": 2.0, "attempts": 2, **settings})


def told(path: Path) -> dict[str, str]:
    """Prompt -> text, or the reason of its failure."""
    with ExplanationStore(path, write=False) as store:
        rows = list(store.rows())
    return {json.loads(str(row["request"]))["messages"][0][1]: str(row["text"] or row["error"]) for row in rows}


@pytest.mark.parametrize("status", [403, 404])
@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("place", [0, 5, 9])
def test_one_forbidden_prompt_fails_alone_and_never_ends_a_run(
    status: int, concurrency: int, place: int, tmp_path: Path
) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        if prompt(body) == f"p{place}":
            return status, {"error": {"message": "not this one"}}
        return 200, completion()

    path = tmp_path / "s"
    with odd_server(answer) as (url, asked):
        for _ in range(2):  # the second run has nothing but the forbidden prompt to ask
            with ExplanationStore(path) as store:
                fill(prompts(*(f"p{k}" for k in range(10))), endpoint(url, concurrency=concurrency), store)
    wanted = {f"p{k}": "4" for k in range(10)} | {f"p{place}": f"HTTP {status}: not this one"}
    assert told(path) == wanted
    assert len(asked.bodies) == 11


@pytest.mark.parametrize(("status", "said"), [(401, "refuses the key"), (403, "forbids"), (404, "does not know")])
def test_a_refusal_of_everything_ends_the_run_and_is_recorded_nowhere(status: int, said: str, tmp_path: Path) -> None:
    with odd_server(lambda body: (status, {"error": "no"})) as (url, asked), ExplanationStore(tmp_path / "s") as store:
        with pytest.raises(InputError, match=rf"{said}.*HTTP {status}: no"):
            fill(prompts(*range(500)), endpoint(url, concurrency=4, give_up_after=20), store)
        assert len(store) == 0 and len(asked.bodies) < 30


@pytest.mark.parametrize("status", sorted(HOPELESS))
def test_prompts_refused_for_their_own_sake_are_no_outage(status: int, tmp_path: Path) -> None:
    """Those before the first success, fewer than end a run, are recorded with it; after it any number is."""

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        return (status, {"error": "too long"}) if prompt(body).startswith("bad") else (200, completion())

    asked = prompts(*(f"bad {k}" for k in range(4)), "good", *(f"bad {k}" for k in range(4, 60)))
    with odd_server(answer) as (url, _), ExplanationStore(tmp_path / "s") as store:
        fill(asked, endpoint(url, concurrency=3, give_up_after=10), store)
        assert store.counts()[0]["answered"] == 1 and store.failures() == [(f"HTTP {status}: too long", 60)]


@pytest.mark.parametrize("status", sorted(HOPELESS))
@pytest.mark.parametrize("count", [1, 500])
def test_a_server_that_refuses_every_prompt_ends_the_run(status: int, count: int, tmp_path: Path) -> None:
    refuses = odd_server(lambda body: (status, {"error": {"message": "max_tokens is not supported"}}))
    with refuses as (url, asked), ExplanationStore(tmp_path / "s") as store:
        said = rf"has refused every request \(HTTP {status}: max_tokens is not supported\): check the model name 'm'"
        with pytest.raises(InputError, match=said):
            fill(prompts(*range(count)), endpoint(url, concurrency=4, give_up_after=20), store)
        assert len(store) == 0 and len(asked.bodies) < 30


def test_withheld_answers_are_failures_and_no_outage(tmp_path: Path) -> None:
    withheld = {"choices": [{"message": {"content": "The cons"}, "finish_reason": "content_filter"}]}
    with odd_server(lambda body: (200, withheld)) as (url, asked), ExplanationStore(tmp_path / "s") as store:
        fill(prompts(*range(40)), endpoint(url, give_up_after=10), store)
        assert len(asked.bodies) == 40 and store.counts()[0]["failed"] == 40


def test_new_prompts_are_asked_before_those_that_failed(tmp_path: Path) -> None:
    """Many that always fail stand before the good ones: one run stops at them, the next passes them by."""

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        return (500, "down") if prompt(body).startswith("bad") else (200, completion())

    wanted = prompts(*(f"bad {k}" for k in range(30)), *(f"good {k}" for k in range(30)))
    path = tmp_path / "s"
    with odd_server(answer) as (url, _):
        for good in (0, 30):
            # One at a time: of two, a good answer may come after the first of those that fail again, and of twenty
            # failures in a row nineteen are left.
            with ExplanationStore(path) as store, pytest.raises(InputError, match="requests .* all failed"):
                fill(wanted, endpoint(url, concurrency=1, attempts=1, give_up_after=20), store)
            assert sum(text == "4" for text in told(path).values()) == good


FAR = formatdate(4e9, usegmt=True)  # in 2096


@pytest.mark.parametrize("asks", ["86400", "inf", "1e300", FAR, FAR.replace("GMT", "-0000"), "9999999999ms", "2.1"])
def test_a_pause_longer_than_a_request_may_wait_ends_the_run(asks: str, tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> tuple[Any, ...]:
        return (200, completion()) if prompt(body) == "0" else (429, {}, {"Retry-After": asks})

    with odd_server(answer) as (url, _), ExplanationStore(tmp_path / "s") as store:
        with pytest.raises(InputError, match=r"left alone for .* longer than the 2 s"):
            fill(prompts(*range(5)), endpoint(url, concurrency=1), store)
        assert store.counts()[0]["answered"] == 1


@pytest.mark.parametrize("asks", [{"Retry-After": "0.3"}, {"Retry-After": "300ms"}, {"Retry-After-Ms": "300"}])
def test_a_short_pause_is_kept(asks: dict[str, str]) -> None:
    times: list[float] = []

    def answer(_: dict[str, Any]) -> tuple[Any, ...]:
        times.append(time.monotonic())
        return (429, {}, asks) if len(times) == 1 else (200, completion())

    with odd_server(answer) as (url, _):
        (result,) = endpoint(url).complete(prompts("x"))
    assert result.text == "4" and times[1] - times[0] > 0.29


@pytest.mark.parametrize("asks", ["86400", "inf"])
def test_nothing_waits_for_a_resting_server_while_another_is_free(asks: str) -> None:
    rests = odd_server(lambda body: (503, {}, {"Retry-After": asks}))
    with rests as (resting, few), odd_server(lambda body: (200, completion())) as (free, _):
        results = list(endpoint(resting, free, concurrency=4, pause=0.3).complete(prompts(*range(40))))
    assert all(result.text for result in results) and len(few.bodies) <= 4


@given(
    st.text() | st.floats().map(str) | st.integers().map(str) | st.sampled_from(["Wed, 21 Oct 2015 07:28", "ms", FAR])
)
def test_whatever_a_server_asks_for_is_a_number_of_seconds(asks: str) -> None:
    for headers in ({"retry-after": asks}, {"retry-after-ms": asks}, {"retry-after": asks + "ms"}):
        assert retry_after(headers) >= 0 and not math.isnan(retry_after(headers))
    assert retry_after({"retry-after-ms": "soon", "retry-after": "7 s"}) == 7


def test_odd_answers_cost_themselves_at_most(tmp_path: Path) -> None:
    """Each sent beside sound ones, as bytes where Python's JSON would not write it."""
    odd: dict[str, Any] = {
        "huge": completion() | {"usage": {"prompt_tokens": 2**70, "completion_tokens": -(2**70)}},
        "nan": b'{"choices": [{"message": {"content": "4"}}], "usage": {"prompt_tokens": NaN}}',
        "text": completion() | {"usage": "many"}, "list": completion() | {"usage": [1]},
        "null": completion() | {"usage": None},
        "reason": completion(finish_reason="\ud800"), "surrogate": completion("4 \udfff"),
        "parts": {"choices": [{"message": {"content": [{"type": "text", "text": "4"}]}}]},
        "deep": b'{"choices": ' + b"[" * 100_000, "nothing": b"", "refusal": completion("", refusal="no"),
    }  # fmt: skip

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        return 200, odd.get(prompt(body), completion())

    path = tmp_path / "s"
    with odd_server(answer) as (url, _), ExplanationStore(path) as store:
        fill(prompts(*odd, *range(20)), endpoint(url, concurrency=3), store)
    held = told(path)
    assert len(held) == 20 + len(odd) and {held[str(k)] for k in range(20)} == {"4"}
    assert [held[name] for name in ("huge", "nan", "text", "list", "null", "reason", "parts")] == ["4"] * 7
    assert held["surrogate"] == "4 ?"


@pytest.mark.parametrize(
    "setting", [{"concurrency": 0}, {"concurrency": -1}, {"timeout": math.nan}, {"timeout": 0.0}, {"attempts": 0}]
)
def test_settings_that_would_ask_nothing_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(setting))} of an endpoint is"):
        Endpoint("m", **setting)
