"""Ratings as answers state them: what is read, and what is never taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrrecsys_core.explain.ratings import parse_rating

FOUR = [
    "4", "4.", "4!", "- 4", "'4'", '"4"', "**4**", "\n\n  4  \n", "4\n4",
    "4\n\nThe consumer has watched 3", "4 stars", "4 ★",
    "4/5", "4 / 5", "4.0/5.0", "4 out of 5", "4 of 5", "4 (out of 5)", "4 out of a possible 5", "4 out of 5 stars",
    "Rating: 4", "**Rating:** 4/5", "Rating (1-5): 4", "Rating:\n4", "Final rating: 4 stars", "Answer: 4", "Rating 4",
    "The rating is 4.", "My prediction is 4.", "I'd go with 4", "I would rate this movie a 4.", "Sure! 4",
    "Sure! Here is the rating:\n\n4", "On a scale from 1 to 5, I would say 4.", "4 on a scale of 1 to 5", "4. Or 4",
    "I would give it 4 stars because 2 friends watched it", "4, because 2 of 3 were good", "4 (good)", "4: great",
    "4 - the consumer has watched 3 alike", "4. The consumer has watched 3 films", "The consumer would rate this 4.",
    "The consumer would give this movie a 4 out of 5, having seen 3 alike", "Based on 3 past movies, I would say 4/5",
    "The consumer will likely give this a rating of 4 out of 5 since 3 of them", "1. The consumer would rate this 4",
    '{"rating": 4}', '```json\n{"rating": 4, "reason": "watched 3 films"}\n```', "<answer>4</answer>", "\\boxed{4}",
    "4</s>", "4<|im_end|>\n<|im_start|>user\n3", "<|im_start|>assistant\n4<|im_end|>", "[Output]\n4\n[Input]\nPast: 3",
    "4\nUSER: 3", "<think>Between 3 and 5? 3.</think>4", "no tag 3</think>\n4",
    "<|channel|>analysis<|message|>3?<|end|><|start|>assistant<|channel|>final<|message|>4",
]  # fmt: skip

NONE = {
    "empty": ["", " \n", "<think>4", "<think>4</think>", "</s>", "\x00"],
    "refusal": ["I cannot say", "I'm sorry, I cannot answer."],
    "off the scale": [
        "0", "-1", "−1", "10", "Rating: -1", "8/10", "4 out of 10", "2024",
        "On a scale of 1 to 10, 8", "4.5/4",
    ],
    "several numbers": [
        "3-4", "3–4", "3 to 4", "3 or 4", "between 3 and 4", "Rating: 4-5", "Rating: 3 or 4", "3\n4", "4 5", "4, 5",
        "4 and 3", "4 vs 3", "4, no, 3", "4.5.1 or 2", "The average rating of past movies is 4, so 3.",
        "3 out of 5 movies were good", "I would rate it 4, and 2 others too",
    ],
    "no number": [
        "four", "three and a half", "Rating: three and a half", "3 and a half", "3½", "80%", "4th", "v2x",
        "nan", "inf", "1e99",
        "The consumer has watched 3", "The consumer watched 3 movies", "3 movies", "5 past movies",
        "I gave 3 friends tea",
        "I am 4 years old", "The hotel has 4 stars", "A 4-star hotel", "1 to 5", "1. tea",
        "1. The consumer likes tea\n2. x",
        "The consumer rated the past movies 4", "The consumer has watched 3 movies rated 4 out of 5",
        "[Input]\nPast: 3",
    ],
}  # fmt: skip


@pytest.mark.parametrize("said", FOUR)
def test_a_stated_rating_is_read(said: str) -> None:
    assert parse_rating(said, 1, 5) == (4.0, "ok")


@pytest.mark.parametrize(("reason", "said"), [(reason, one) for reason, many in NONE.items() for one in many])
def test_no_other_number_is_a_rating(reason: str, said: str) -> None:
    assert parse_rating(said, 1, 5) == (None, reason)


def test_scales_are_those_asked_for() -> None:
    assert parse_rating("8/10", 1, 10) == parse_rating("8 out of 10", 1, 10) == (8.0, "ok")
    assert parse_rating("0.5", 0.5, 5) == (0.5, "ok") and parse_rating("0,5/5", 0.5, 5) == (0.5, "ok")
    assert parse_rating("0.5 to 5", 0.5, 5) == (None, "no number")
    assert parse_rating("3/5", 1, 10) == (None, "off the scale") and parse_rating("0", 0, 10) == (0.0, "ok")


@given(st.sampled_from([1.0, 2.0, 3.5, 5.0]), st.text(alphabet="abc 0123456789/-.,\n", max_size=40))
def test_what_is_explained_below_a_rating_never_moves_it(rating: float, explained: str) -> None:
    told = f"Rating: {rating:g}\n\nThe consumer has watched {explained.replace(chr(10), ' ')}"
    assert parse_rating(told, 1, 5) == (rating, "ok")


@given(st.text(max_size=60), st.integers(0, 10), st.integers(1, 10))
def test_a_rating_is_on_the_scale_and_among_the_numbers_said(said: str, low: int, width: int) -> None:
    rating, reason = parse_rating(said, low, low + width)
    assert (rating is None) == (reason != "ok")
    if rating is not None:
        assert low <= rating <= low + width and f"{rating:g}".split(".")[0] in said


def test_a_runaway_answer_is_read_at_once() -> None:
    assert parse_rating("4\n" + "4 " * 100_000, 1, 5) == (4.0, "ok")
    assert parse_rating("3 4 " * 100_000, 1, 5) == (None, "several numbers")
