"""Odds of choices: worked by hand, against full enumeration, and as servers list them."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lrrecsys_core.explain.clients import odds as module
from lrrecsys_core.explain.clients.odds import Beginning, choice_odds, listed_odds

VOCABULARY = ["1", " 1", "0", "10", "5", ".", "\n", "", "15", "x"]


def row(**chances: float) -> NDArray[np.float32]:
    """Probabilities by token, written out for space ("_1") and signs; what is left goes to "x"."""
    names = {"n1": "1", "s1": " 1", "n0": "0", "n10": "10", "n5": "5", "dot": ".", "line": "\n", "end": ""}
    made = np.zeros(len(VOCABULARY), dtype=np.float32)
    for name, chance in chances.items():
        made[VOCABULARY.index(names[name])] = chance
    made[-1] = 1 - made.sum()
    return made


class Model:
    """Answers by the text so far; remembers what it was asked."""

    def __init__(self, **after: NDArray[np.float32]) -> None:
        self.after = {name.replace("t", ""): nexts for name, nexts in after.items()}
        self.asked: list[list[str]] = []

    def __call__(self, beginnings: list[Beginning]) -> NDArray[np.float32]:
        self.asked.append([one.text for one in beginnings])
        return np.stack([self.after[one.text] for one in beginnings])


def test_tokens_with_and_without_space_are_summed_and_no_further_pass_is_made() -> None:
    model = Model()
    told = choice_odds([("1", "5")], VOCABULARY, np.stack([row(n1=0.25, s1=0.125, n5=0.5, n10=0.0625)]), model)
    assert told == [{"1": 0.375, "5": 0.5}], "15 and 10 begin with other tokens"
    assert model.asked == []


def test_a_choice_that_begins_another_loses_what_goes_on_to_it() -> None:
    """P("10") = .125 + .5 x .25 = .25; P("1") = .5 - .5 x .25 = .375: the token "10" never was a "1"."""
    model = Model(t1=row(n0=0.25, n5=0.5))
    told = choice_odds([("1", "10")], VOCABULARY, np.stack([row(n1=0.5, n10=0.125)]), model)
    assert told == [{"1": 0.375, "10": 0.25}]
    assert model.asked == [["1"]]


def test_a_choice_of_three_tokens_is_followed_to_its_end() -> None:
    """P("1.5") = .5 x .5 x .25 = .0625, of which "1" loses as much: .4375."""
    model = Model(**{"t1": row(dot=0.5), "t1.": row(n5=0.25, n0=0.5)})
    told = choice_odds([("1", "1.5")], VOCABULARY, np.stack([row(n1=0.5)]), model)
    assert told == [{"1": 0.4375, "1.5": 0.0625}]
    assert model.asked == [["1"], ["1."]]


def test_of_three_nested_choices_each_keeps_its_own() -> None:
    """ "1" .5, of it .5 to "10", of it .5 to "100": .25, .125, .125."""
    model = Model(t1=row(n0=0.5), t10=row(n0=0.5))
    assert choice_odds([("1", "10", "100")], VOCABULARY, np.stack([row(n1=0.5)]), model) == [
        {"1": 0.25, "10": 0.125, "100": 0.125}
    ]


def test_a_line_break_leads_on_and_prompts_are_kept_apart() -> None:
    model = Model(**{"t": row(n5=0.5, end=0.5)})
    told = choice_odds(
        [("1", "5"), (), ("5",)], VOCABULARY, np.stack([row(n1=0.5, line=0.25), row(n1=1.0), row(line=0.5)]), model
    )
    assert told == [{"1": 0.5, "5": 0.125}, {}, {"5": 0.25}]
    assert model.asked == [["", ""]]


def test_unlikely_beginnings_are_not_followed() -> None:
    model = Model(t1=row(n0=1.0))
    assert choice_odds([("1", "10")], VOCABULARY, np.stack([row(n1=0.0005)]), model)[0]["10"] == 0
    assert model.asked == []


DIGITS = ["1", "0", " ", "10", "5", "x"]
CHOICES = st.lists(st.sampled_from(["1", "10", "100", "5", "05", "50"]), min_size=1, max_size=4, unique=True)


@settings(deadline=None, max_examples=50)
@given(choices=CHOICES, seed=st.integers(0, 1000))
def test_odds_are_what_all_answers_together_say(choices: list[str], seed: int) -> None:
    """Every sequence of tokens, each counted for the longest choice that a beginning of it spells."""
    rng = np.random.default_rng(seed)
    first, table = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6), size=6)
    expected = dict.fromkeys(choices, 0.0)
    most = 1 + max(map(len, choices))
    for path in product(range(6), repeat=most):
        weight = first[path[0]] * math.prod(table[a, b] for a, b in zip(path, path[1:], strict=False))
        spelt = ["".join(DIGITS[token] for token in path[: n + 1]).lstrip() for n in range(most)]
        reached = [text for text in spelt if text in choices]
        if reached:
            expected[max(reached, key=len)] += weight
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FOLLOWED", 0.0)
        told = choice_odds([choices], DIGITS, np.stack([first]), lambda ones: table[[one.token for one in ones]])[0]
    assert told == pytest.approx(expected, abs=1e-9)


def chat(*positions: dict[str, float], sampled: tuple[str, ...] = ()) -> dict[str, Any]:
    """A chat completion's choice with the chances of the likeliest tokens at each position."""
    content = []
    for place, chances in enumerate(positions):
        token = sampled[place] if sampled else max(chances, key=lambda one: chances[one])
        listed = [{"token": one, "logprob": math.log(chance), "bytes": None} for one, chance in chances.items()]
        content.append({"token": token, "logprob": math.log(chances[token]), "top_logprobs": listed})
    return {"message": {"content": "?"}, "logprobs": {"content": content}}


RATINGS = ("1", "2", "3", "4", "5")


def test_listed_tokens_are_read_with_and_without_space() -> None:
    told = listed_odds(chat({"4": 0.5, " 4": 0.125, "5": 0.25, "The": 0.125}, {"3": 1.0}), RATINGS)
    assert told == pytest.approx({"1": 0, "2": 0, "3": 0, "4": 0.625, "5": 0.25})


def test_a_blank_first_token_leads_to_the_next_list() -> None:
    told = listed_odds(chat({" ": 0.5, "4": 0.25}, {"4": 0.5, "5": 0.5}), RATINGS)
    assert told == pytest.approx({"1": 0, "2": 0, "3": 0, "4": 0.5, "5": 0.25})


def test_the_completions_interface_lists_in_its_own_way() -> None:
    listed = {"tokens": ["4", "."], "token_logprobs": [math.log(0.5), 0.0], "top_logprobs": [{"4": math.log(0.5)}, {}]}
    assert listed_odds({"text": "4.", "logprobs": listed}, ("4", "5")) == pytest.approx({"4": 0.5, "5": 0})


def test_a_list_that_cannot_tell_choices_apart_tells_nothing() -> None:
    scale = tuple(map(str, range(1, 11)))
    assert listed_odds(chat({"1": 0.5, "7": 0.5}), scale) == {}, "the 1 may become a 10"
    told = listed_odds(chat({"1": 0.25, "10": 0.25, "7": 0.5}), scale)
    assert told["1"] == pytest.approx(0.25) and told["10"] == pytest.approx(0.25), "here 10 is a token"
    assert listed_odds(chat({"1": 0.0001, "7": 0.5}), scale)["7"] == pytest.approx(0.5)
    assert listed_odds(chat({"4": 0.5, "5": 0.5}), ("4.5", "5")) == {}
    assert listed_odds(chat({"The": 1.0}), RATINGS) == {}


@pytest.mark.parametrize(
    "logprobs",
    [None, {}, {"content": None}, {"content": [{}]}, {"content": [{"token": "4", "logprob": 0, "top_logprobs": None}]},
     {"tokens": ["4"], "token_logprobs": [None], "top_logprobs": [None]}, [], "no", {"content": [None]},
     {"content": [{"token": "4", "logprob": 0.0, "top_logprobs": [{"token": "4", "logprob": "x"}]}]},
     {"content": [{"token": "4", "logprob": 0.0, "top_logprobs": [{"token": "4", "logprob": 1e9}]}]},
     {"content": [{"token": "4", "logprob": 0.0, "top_logprobs": [{"token": "4", "logprob": 3.0}]}]},
     {"content": [{"token": "4", "logprob": 0.0, "top_logprobs": [{"token": "4", "logprob": math.nan}]}]}],
)  # fmt: skip
def test_whatever_else_a_server_sends_tells_nothing(logprobs: object) -> None:
    assert listed_odds({"text": "4", "logprobs": logprobs}, RATINGS) == {} == listed_odds({"text": "4"}, RATINGS)
