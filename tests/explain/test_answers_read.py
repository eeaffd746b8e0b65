"""An answer in any wrapping is the same text; what leads to it, follows it or stands around it never is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrrecsys_core.explain.checks import faults, reader, text_of
from lrrecsys_core.explain.llm import Request
from lrrecsys_core.explain.reading import tidy

REASON = "The consumer watched this movie because the consumer likes tea and the movie has tea."
PROFILE = "A sea adventure about two friends; it suits viewers who enjoy voyages."
OPENING = ("The consumer watched this movie because",)
ASKS = '[Instruction]\nAnswer with exactly one sentence of this form: "The consumer watched this movie because ..."'
LONG = "a text that says how useful it is for a system which recommends things to people " * 3

WRAPPINGS = [
    "{}", "Sure! Here is the profile:\n\n{}", "Sure! Here is the profile: {}", "Sure!\n\n{}", "Certainly. {}",
    "Okay, I looked at it. I can help.\n\nHere's a short one:\n\n{}\n\nLet me know!",
    f"Absolutely! Below is {LONG}:\n\n{{}}", "Answer:\n{}", "[Output]\n{}\n[Input]\nPast", "ASSISTANT: {}",
    "```\n{}\n```", '```json\n{{"profile": "{}"}}\n```', "Here you go:\n```text\n{}\n```\nI hope this helps!",
    '{{"profile": "{}", "confidence": 0.9}}', 'Here you go: {{"x": "{}"}}', '["{}"]', '{{"profile": "{}', "`{}`",
    "{}</s>", "<s> {}", "{}<|im_end|>\n<|im_start|>user\nMore", "<|im_start|>assistant\n{}<|im_end|>",
    "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>", "{}<end_of_turn>", "[/INST] {}", "{}<|endoftext|>",
    "<answer>{}</answer>", "**{}**", "*{}*", "_{}_", "- {}", "1. {}", "> {}", "# Profile\n\n{}", "**Profile**\n{}",
    "**Profile:** {}", "## Profile of Tea:\n{}", '"{}', '{}"', '"{}"', "“{}”", "'{}'", 'Profile: "{}"', '"**{}**"',
    "{}\n\nNote: this is a guess.", "{}\n\n### Instruction: x", "{}\nUSER: more", "<think>a: b</think>\n\n{}",
    "no tag: a\n</think>{}", "{}\u200b", "\ufeff{}", "{} Let me know if you want more!",
    "{}\nI hope this helps. Feel free to ask.",
]  # fmt: skip


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize(("text", "openings"), [(REASON, OPENING), (REASON, ()), (PROFILE, ())])
def test_a_text_is_the_same_in_every_wrapping(wrapping: str, text: str, openings: tuple[str, ...]) -> None:
    assert tidy(wrapping.format(text), openings) == text


@given(st.lists(st.sampled_from([one for one in WRAPPINGS if "{{" not in one and '["' not in one]), max_size=2))
def test_wrappings_within_wrappings(chosen: list[str]) -> None:
    text = REASON
    for wrapping in chosen:
        text = wrapping.format(text)
    assert tidy(text, OPENING) == REASON


@pytest.mark.parametrize(
    "said",
    [
        f"Sure! I can help with that. {REASON}", f"{LONG}. {REASON}", f"{REASON} It is good.",
        f"{REASON}\nI hope this helps!", f"1. {REASON}\n2. {REASON}", f'It should be "{REASON}" as you asked.',
        f'I begin with "{OPENING[0]} ...". {REASON}', REASON.replace("likes ", "likes\n"), f"{LONG} - {REASON}",
    ],
)  # fmt: skip
def test_the_sentence_asked_for_is_found_wherever_it_stands(said: str) -> None:
    assert tidy(said, OPENING) == tidy(said) == REASON
    assert text_of(said, ASKS) == reader(Request((("user", ASKS),)))(said) == REASON


def test_what_is_cut_off_behind_the_sentence_is_counted() -> None:
    assert faults(f"{REASON} It is good.", ASKS) == ["several sentences"]
    assert faults(REASON, ASKS) == faults(f"Sure! {REASON}</s>", ASKS) == []


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("1. tea\n2. rain\n3. bikes", "tea, rain, bikes"), ("Three terms:\n- tea,\n- rain", "tea, rain"),
        ('["tea", "rain"]', "tea, rain"), ('{"aspects": ["tea", "rain"]}', "tea, rain"),
        ("Here is the profile:", ""), ("Sure!", ""), ("<think>tea", ""), ("</s>", ""), ("```\n```", ""),
        # Texts that only look like wrappings stay whole.
        ("The Goldilocks Hotel: A luxurious abode.", "The Goldilocks Hotel: A luxurious abode."),
        ("The hotel has amenities, including:", "The hotel has amenities, including:"),
        ("M*A*S*H and a_long_name, 5 * 4.", "M*A*S*H and a_long_name, 5 * 4."),
        ('"Tea" is "good"', '"Tea" is "good"'), ("Greater than it seems.", "Greater than it seems."),
        ("A film [sic] of {tea}.", "A film [sic] of {tea}."), ("It is 1 < 2 > 0.", "It is 1 < 2 > 0."),
        ("A film.\n\nWho would enjoy it:\n\n- you", "A film."), ("Ein Satz. The consumer is late.",) * 2,
        (f"{OPENING[0]} ...", f"{OPENING[0]} ..."),
        ("Here is love, a film of 1931.\n\nMore.", "Here is love, a film of 1931."),
    ],
)  # fmt: skip
def test_other_answers(said: str, text: str) -> None:
    assert tidy(said) == text


def test_no_abbreviation_and_no_title_ends_a_sentence() -> None:
    for name in ("Mr. Bean", "J. Doe", "Oh, God! Book II", "And Now... Ladies", "Monsters, Inc. Two"):
        assert tidy(REASON.replace("tea.", f"{name}."), OPENING).endswith(f"{name}.")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("I'd be happy to write one.", "other opening"),
        ("Based on the details, it is a good film.", "other opening"),
        ("<think>A film", "empty"),
        ("Sure! Here is the profile:", "empty"),
        ("A film of {tea}.", "control characters"),
        ("A film of <|tea|", None),
        ("A film.</s>", None),
        ("A film.", None),
    ],
)
def test_profiles_and_terms_are_judged_too(said: str, fault: str | None) -> None:
    assert faults(said, "[Instruction]\nDescribe this movie.") == ([fault] if fault else [])


@given(st.text(alphabet="The consumr because.:*_`{}[]<>|/\"'\n#-1 ", max_size=80))
def test_whatever_is_said_is_one_line_that_stays_as_it_is(said: str) -> None:
    text = tidy(said)
    assert "\n" not in text and text == text.strip()
