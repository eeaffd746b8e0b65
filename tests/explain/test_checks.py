"""Checks of answers: hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest

from lrrecsys_core.data.dataset import DOMAINS
from lrrecsys_core.explain.checks import (
    correction,
    direct_ratings,
    expected_openings,
    faults,
    parse_rating,
    quality_report,
    tidy,
)
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.llm import Request

MOVIE = DOMAINS["movie"]
GOOD = "The consumer watched this movie because the consumer likes tea and the movie has tea."
OPENING = expected_openings(MOVIE, "full", "positive")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (GOOD, GOOD),
        (f"  Explanation: {GOOD}\n\nLet me know if you want more!", GOOD),
        (f'Sure! Here is the sentence:\n\n"{GOOD}"', GOOD),
        (f'"{GOOD}"', GOOD),
        (f"[Output]\n{GOOD}\n[Input]\nPast movies:", GOOD),
        ("The consumer\x00 watched\n this", "The consumer watched this"),
        ("Ein Satz. The consumer is named late.", "Ein Satz. The consumer is named late."),
        ("", ""),
    ],
)
def test_tidy_leaves_the_answer_proper(raw: str, expected: str) -> None:
    assert tidy(raw) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD, []),
        ("", ["empty"]),
        ("I'm sorry, but as an AI I cannot say.", ["refusal", "other opening"]),
        (GOOD.replace("tea.", "tea with Mr. Bean and J. Doe."), []),
        (f"{GOOD} It is a good film.", ["several sentences"]),
        (f"{GOOD[:-1]}{' and tea' * 25}.", ["over 50 words"]),
        ("Der Zuschauer sah diesen Film weil er Tee trinkt und gerne lacht", ["other language", "other opening"]),
        ("消费者看了这部电影", ["other language", "other opening"]),
        ("The consumer did not watch this movie because of tea.", ["other opening"]),
        (f"{OPENING[0]} [Instruction] tea.", ["echo of the prompt"]),
        (f"{OPENING[0]} the consumer cannot provide a reason to stay away.", []),
    ],
)
def test_faults_by_name(text: str, expected: list[str]) -> None:
    assert faults(text, OPENING) == expected


def test_openings_follow_domain_variant_and_slot() -> None:
    assert expected_openings(DOMAINS["hotel"], "full", "negative") == (
        "The consumer did not stay at this hotel because",
    )
    assert expected_openings(MOVIE, "general", "single")[1] == "The consumer disliked this movie because"
    assert expected_openings(MOVIE, "aspects", "single") == expected_openings(MOVIE, "direct", "single") == ()


def test_a_correction_keeps_the_conversation_and_says_what_was_wanted() -> None:
    asked = Request((("user", "Why?"),), max_tokens=9, template="t@1")
    assert correction(asked, GOOD, OPENING) is None
    again = correction(asked, "I am sorry.", OPENING)
    assert again is not None
    assert again.messages[:2] == (("user", "Why?"), ("assistant", "I am sorry."))
    assert OPENING[0] in again.messages[2][1]
    assert (again.max_tokens, again.template) == (9, "t@1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", (4.0, "ok")), ("Rating: 3.5", (3.5, "ok")), ("3,5", (3.5, "ok")), ("4/5", (4.0, "ok")),
        ("4 out of 5 stars", (4.0, "ok")), ("On a scale from 1 to 5, I would say 4.", (4.0, "ok")), 
        ("4. Or 4", (4.0, "ok")),
        ("0", (None, "off the scale")), ("-3", (None, "off the scale")), ("11", (None, "off the scale")),
        ("3 or 4", (None, "several numbers")), ("I cannot say", (None, "refusal")), ("four", (None, "no number")),
        ("", (None, "empty")), ("v2x", (None, "no number")), ("nan", (None, "no number")),
        ("1e99", (None, "no number")),
    ],
)  # fmt: skip
def test_ratings_are_read_and_never_guessed(text: str, expected: tuple[float | None, str]) -> None:
    assert parse_rating(text, 1, 5) == expected


def test_direct_ratings_count_what_could_not_be_read() -> None:
    texts = Explanations("x", "direct", ("", "4", "I cannot say"), {"single": np.array([1, 2, 1, 0], np.int32)})
    read = direct_ratings(texts, 1, 5)
    np.testing.assert_array_equal(read.values, [4, np.nan, 4, np.nan])
    assert read.counts == {"ok": 2, "refusal": 1, "empty": 1}


def test_the_quality_report_weighs_sentences_by_records() -> None:
    sentences = ("", GOOD, "I am sorry.")
    codes = {"positive": np.array([1, 1, 2, 0], np.int32), "negative": np.array([1, 0, 0, 0], np.int32)}
    report = quality_report(Explanations("x", "full", sentences, codes), MOVIE)
    found = {(slot, check): records for slot, check, records, _ in report.iter_rows() if records}
    assert found == {
        ("positive", "none"): 2, ("positive", "refusal"): 1, ("positive", "other opening"): 1, ("positive", "empty"): 1,
        ("negative", "other opening"): 1, ("negative", "empty"): 3,
    }  # fmt: skip
