"""Checks of answers: hand-made cases."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.domains import DOMAINS
from lrrecsys_core.data.split import make_split
from lrrecsys_core.explain.checks import (
    correction,
    direct_ratings,
    expected_openings,
    expected_rating,
    faults,
    parse_rating,
    prompt_of,
    same_to_all,
    tidy,
    wanted_openings,
)
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.llm import Request
from lrrecsys_core.explain.prompt_sets import prompt_set
from lrrecsys_core.explain.prompts import VARIANTS, profile_request, record_requests

MOVIE, HOTEL = DOMAINS["movie"], DOMAINS["hotel"]
GOOD = "The consumer watched this movie because the consumer likes tea and the movie has tea."
OPENING = expected_openings(MOVIE, "full", "positive")
PROMPT = """[Instruction]
You explain how viewers choose movies. Find the most convincing reason why this consumer watched the current movie. \
Answer with exactly one sentence of this form: \
"The consumer watched this movie because the consumer ... and the movie ..."

[Example Output]
The consumer watched this movie because the consumer likes to explore by bike and the movie has a long ride in rain.

[Input]
Past movies:
- Say "The End": A film about one sentence of a judge.
Current movie:
- Tea (tea)
[Output]"""
AS_ASKED = "The consumer watched this movie because "


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
        (" \n ", ["empty"]),
        ("I'm sorry, but as an AI I cannot say.", ["refusal", "other opening"]),
        (GOOD.replace("tea.", "tea with Mr. Bean and J. Doe."), []),
        (f"{GOOD} It is a good film.", ["several sentences"]),
        (f"{GOOD[:-1]}{' and tea' * 25}.", ["says the same twice", "over 50 words"]),
        (f"{AS_ASKED}{' '.join(map(str, range(43)))} a.", []),
        (f"{AS_ASKED}{' '.join(map(str, range(44)))} a.", ["over 50 words"]),
        ("Der Zuschauer sah diesen Film weil er Tee trinkt und gerne lacht", ["other language", "other opening"]),
        ("消费者看了这部电影", ["other language", "other opening"]),
        ("The consumer did not watch this movie because of tea.", ["other opening"]),
        (f"{AS_ASKED}[Instruction] tea.", ["echo of the prompt"]),
        (f"{AS_ASKED}the consumer cannot provide a reason to stay away.", []),
        (GOOD.replace("tea.", "te\x07a."), ["control characters"]),
    ],
)
def test_faults_by_name(text: str, expected: list[str]) -> None:
    assert faults(text, PROMPT) == expected


COPY = "the consumer likes to explore by bike and the movie has a long ride in rain."


@pytest.mark.parametrize(
    ("text", "copied"),
    [
        (AS_ASKED + COPY, True),
        (AS_ASKED + COPY.replace("long", "short"), True),  # one word of sixteen is its own
        (f"Viewers say that {COPY}", True),
        # The way of speaking is the example's, what is said is not.
        (AS_ASKED + "the consumer likes to cook at home and the movie has a famous kitchen.", False),
        # Nine of eighteen words stand in runs of five of the example, then nine of nineteen.
        (AS_ASKED + "the consumer likes to explore by bike and the new film shows very old men who sip tea.", True),
        (AS_ASKED + "the consumer likes to explore by bike and the new film shows old men who sip tea at home.", False),
    ],
)  # fmt: skip
def test_copied_from_the_example(text: str, copied: bool) -> None:
    assert ("copied from the example" in faults(text, PROMPT)) == copied
    assert "copied from the example" not in faults(text, PROMPT.replace("[Example Output]", "[Output Form]"))


def test_short_answers_are_copies_only_as_a_whole() -> None:
    prompt = "[Instruction]\nName three terms.\n\n[Example Output]\nlong ride, rain, bike\n\n[Input]\n- Tea\n[Output]"
    assert faults("Long ride, rain, bike", prompt) == ["copied from the example"]
    assert faults("long ride, rain, tea", prompt) == faults("rain", prompt) == []


@pytest.mark.parametrize(
    ("text", "repeats"),
    [
        ("This consumer watched the current movie.", True),
        (AS_ASKED + "this consumer watched the current movie.", True),
        (AS_ASKED + "it is the most convincing reason why this consumer watched the current movie.", True),
        (AS_ASKED + "the consumer ... and the movie ...", True),
        # Five words in a row are enough where they are most of what is said.
        (AS_ASKED + "that is a reason why this consumer watched films.", True),
        # The form is given back, not filled in, whatever else is said.
        (
            AS_ASKED
            + "the consumer… and the movie is full of tea that old men drink at home in long and dark winters.",
            True,
        ),
        (AS_ASKED + "...", True),
        ("The consumer watched this movie because", True),
        # A title with dots is no form, and a few words of the question are no repetition of it.
        (AS_ASKED + "the consumer likes to laugh and the movie is And Now... Ladies and Gentlemen.", False),
        (AS_ASKED + "the current movie is full of tea.", False),
        (AS_ASKED + "of all films with tea it is the most convincing reason why people drink more of it.", False),
    ],
)
def test_repeats_the_question(text: str, repeats: bool) -> None:
    assert ("repeats the question" in faults(text, PROMPT)) == repeats
    assert "repeats the question" not in faults(text)


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        (f"{GOOD} {GOOD}", True),
        (f"{GOOD}\n\n{GOOD}", True),  # in a paragraph that nobody reads, but said
        (AS_ASKED + "it is a drama" + " and a drama and a drama" * 3 + ".", True),
        (AS_ASKED + "it has old and young who drink tea at home and old and young who drink tea at home.", True),
        # Seven words come back, then a refrain of three words, and the opening of two sentences.
        (AS_ASKED + "it has old and young who drink tea at home and old and young who drink tea at noon.", False),
        (AS_ASKED + "of tea. Tea is good. Tea is good.", False),
        (f"{AS_ASKED}of tea. {AS_ASKED}of cake.", False),
        (AS_ASKED + "of The Lord of the Rings: The Two Towers, before The Lord of the Rings: The Return.", False),
    ],
)  # fmt: skip
def test_says_the_same_twice(text: str, twice: bool) -> None:
    assert ("says the same twice" in faults(text, PROMPT)) == twice


def test_unfinished_by_the_reason_given_or_by_the_missing_full_stop() -> None:
    words = " ".join(map(str, range(20)))  # 26 words with the opening
    assert faults(GOOD, PROMPT, "length") == ["unfinished"]
    assert faults(AS_ASKED + words, PROMPT) == ["unfinished"]
    assert faults(f'"{AS_ASKED}{words}."', PROMPT) == []
    assert faults(AS_ASKED + words.removesuffix(" 19"), PROMPT) == []
    assert faults(f"{GOOD}\n\n{words}", PROMPT) == ["unfinished"], "it ran on, in what nobody reads"


def test_forms_are_quoted_in_more_ways_than_one() -> None:
    assert wanted_openings("Use the format: “The guest liked it because …”.") == ("The guest liked it because",)
    assert wanted_openings('Begin with "A guest ..." or "No guest".') == ("A guest", "No guest")
    assert wanted_openings('Never say "because" or "x", nor speak of "The End".') == ()
    assert faults("A guest came.", '[Instruction] Begin with "A guest".\n[Input]\n- Inn\n[Output]') == []


def test_what_is_asked_for_stands_in_the_prompt() -> None:
    two = "It offers tea. Lovers of tea enjoy it."
    assert faults(two, "[Instruction]\nWrite a short profile.\n\n[Input]\n- Tea\n[Output]") == []
    assert faults(two, "[Instruction]\nWrite one sentence.\n\n[Input]\n- Tea\n[Output]") == ["several sentences"]
    # Instructions without a heading, or of the system; items never count as one.
    assert faults("Say why people drink this tea.", "Say why people drink this tea.") == ["repeats the question"]
    assert faults("Old tea from a green hill.", 'Say why.\n- Old tea from a green hill, "The one sentence"') == []
    with_system = prompt_of(
        (("system", "Answer in one sentence."), ("user", "Why?"), ("assistant", "No [Instruction]"))
    )
    assert with_system == "Answer in one sentence.\n\nWhy?"


def small_dataset(domain: str) -> Dataset:
    records = {"user_id": ["u"] * 4, "item_id": list("abcd"), "rating": [5.0, 4.0, 3.0, 2.0], "timestamp": [1, 2, 3, 4]}
    return make_dataset(
        "small", domain, pl.DataFrame(records), pl.DataFrame({"item_id": list("abcd"), "name": list("abcd")})
    )


def every_request() -> list[Request]:
    """A request of every template of the package."""
    found = []
    for domain in DOMAINS.values():
        split = make_split(small_dataset(domain.name))
        found.append(profile_request(domain, "Tea", "tea"))
        for variant, slots in VARIANTS.items():
            for slot in slots:
                found += record_requests(split, split.dataset.items["name"].to_list(), variant, slot, np.array([0]))
    return found


def test_openings_of_the_package_s_prompts_are_those_its_programmes_use() -> None:
    for request in every_request():
        task = request.task
        assert task is not None
        instruction = request.messages[0][1].partition("[Instruction]")[2].partition("[")[0]
        assert wanted_openings(instruction) == expected_openings(task.domain, task.variant, task.slot), request.template


def test_openings_are_known_without_quotation_marks_too() -> None:
    split = make_split(small_dataset("hotel"))
    for variant, slot in (("full", "positive"), ("full", "negative"), ("general", "single")):
        names, prompts = split.dataset.items["name"].to_list(), prompt_set("zero-shot")
        (request,) = record_requests(split, names, variant, slot, np.array([0]), prompts=prompts)
        prompt = request.messages[0][1]
        wanted = expected_openings(DOMAINS["hotel"], variant, slot)
        assert wanted_openings(prompt) == wanted
        assert faults(f"{wanted[-1]} there is no tea.", prompt) == []
        assert faults("The consumer went past because there is no tea.", prompt) == ["other opening"]
        assert faults(wanted[-1], prompt) == ["repeats the question"]


def test_the_expected_rating_is_the_mean_by_odds_or_nothing() -> None:
    assert expected_rating({"1": 0.1, "2": 0.0, "5": 0.3}) == "4.0000"  # (0.1 + 1.5) / 0.4
    assert expected_rating({"0.5": 0.5, "5": 0.25}) == "2.0000"
    assert expected_rating({"1": 0.004, "5": 0.005}) == expected_rating({}) == ""


def test_every_example_is_known_for_a_copy_and_no_instruction_for_one() -> None:
    shown = [r for r in every_request() if "[Example Output]\n" in r.messages[0][1]]
    assert len(shown) > 20
    for request in shown:
        prompt = request.messages[0][1]
        example = prompt.partition("[Example Output]\n")[2].partition("\n")[0]
        assert faults(example, prompt) == ["copied from the example"], request.template


def test_openings_follow_domain_variant_and_slot() -> None:
    assert expected_openings(DOMAINS["hotel"], "full", "negative") == (
        "The consumer did not stay at this hotel because",
    )
    assert expected_openings(MOVIE, "general", "single")[1] == "The consumer disliked this movie because"
    assert expected_openings(MOVIE, "aspects", "single") == expected_openings(MOVIE, "direct", "single") == ()


def test_a_correction_keeps_the_conversation_and_says_what_was_wanted() -> None:
    asked = Request((("user", PROMPT),), max_tokens=9, template="t@1")
    assert correction(asked, GOOD) is None
    again = correction(asked, "I am sorry.")
    assert again is not None
    assert again.messages[:2] == (("user", PROMPT), ("assistant", "I am sorry."))
    wish = (
        'Answer with exactly one sentence that begins with "The consumer watched this movie because", and nothing else.'
    )
    assert again.messages[2:] == (("user", wish),)
    assert (again.max_tokens, again.template) == (9, "t@1")


def test_a_correction_names_what_was_given_back_and_leaves_what_says_enough() -> None:
    asked = Request((("user", PROMPT),))
    copied, repeated = correction(asked, AS_ASKED + COPY), correction(asked, AS_ASKED + "...")
    assert copied is not None and copied.messages[-1][1].endswith(" Speak of the input, not of the example.")
    assert repeated is not None and repeated.messages[-1][1].endswith(" Do not repeat the question.")
    for wordy in (f"{GOOD} {GOOD}", f"{GOOD[:-1]}{' and tea' * 25}", GOOD.replace("tea.", "te\x07a.")):
        assert faults(wordy, PROMPT) and correction(asked, wordy) is None


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=60))
def test_the_share_told_the_same_is_a_share_and_grows_with_repetition(told: list[str]) -> None:
    once = Counter(f"{word}{number}" for number, word in enumerate(told))
    assert same_to_all(once) == 0, "nobody is told what another one is"
    assert same_to_all(Counter(told)) == sum(n for n in Counter(told).values() if n > 1) / len(told)


def test_ten_sentences_count_and_silence_does_not() -> None:
    twelve = Counter({f"s{k}": 2 for k in range(12)})
    assert same_to_all(twelve) == 20 / 24
    assert same_to_all(twelve + Counter({"": 24})) == 20 / 48
    assert same_to_all(Counter()) == 0


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
