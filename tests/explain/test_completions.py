"""One reader of every body that servers and batch files send: no good answer is lost, no withheld one passes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrrecsys_core.explain.clients.completions import LONGEST_REASON, CallFailed, read_answer, reason_of
from lrrecsys_core.explain.reading import without_thoughts

TOLD = "The consumer watched this movie because tea."


def chat(content: Any = TOLD, reason: Any = "stop", usage: Any = None, **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content} | more
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage}


@pytest.mark.parametrize(
    "body",
    [
        chat(), chat([{"type": "text", "text": TOLD}]), chat([TOLD[:9], {"type": "output_text", "text": TOLD[9:]}]),
        chat([{"type": "thinking", "thinking": "hm", "text": "hm"}, {"type": "text", "text": {"value": TOLD}}]),
        chat(refusal=None), chat(refusal=""), chat(reason=None), chat(reasoning_content="Let me see."),
        {"choices": [{"text": TOLD}]},
        {"status": "completed", "error": None, "output": [
            {"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": TOLD}]},
        ]},
        {"type": "message", "content": [{"type": "text", "text": TOLD}], "stop_reason": "end_turn"},
        json.dumps(chat()), json.dumps(chat()).encode("utf-16"), b"\xef\xbb\xbf" + json.dumps(chat()).encode(),
        json.dumps(json.dumps(chat())),
    ],
)  # fmt: skip
def test_the_text_is_found_in_every_form(body: object) -> None:
    result = read_answer(body, "k")
    assert (result.key, result.text, result.finish_reason, result.error) == ("k", TOLD, "stop", None)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2}, (3, 2)), ({"input_tokens": 3, "output_tokens": 2}, (3, 2)),
        ({"prompt_tokens": "3"}, (3, 0)), ({"prompt_tokens": 3.0}, (3, 0)), (None, (0, 0)), ("none", (0, 0)),
        ([3], (0, 0)), (7, (0, 0)), ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, (0, 0)),
        ({"prompt_tokens": 2**63, "completion_tokens": -1}, (0, 0)), ({"prompt_tokens": {"a": 1}}, (0, 0)),
        ({"prompt_tokens": "9" * 5000, "completion_tokens": None}, (0, 0)),
    ],
)  # fmt: skip
def test_counts_that_are_none_lose_no_answer(usage: object, tokens: tuple[int, int]) -> None:
    result = read_answer(chat(usage=usage), "k")
    assert (result.text, result.prompt_tokens, result.completion_tokens) == (TOLD, *tokens)


def test_reasons_of_ending_are_short_plain_text_of_one_vocabulary() -> None:
    assert read_answer(chat(reason="MAX_TOKENS"), "k").finish_reason == "length"
    assert read_answer(chat(reason="length"), "k").finish_reason == "length"
    assert read_answer(chat(reason="\ud800" * 99), "k").finish_reason == "?" * 40
    assert read_answer(chat(reason={"type": "eos"}), "k").finish_reason == "{'type': 'eos'}"


deep: list[Any] = []
for _ in range(10_000):
    deep = [deep]


@pytest.mark.parametrize(
    ("body", "why", "again"),
    [
        (chat(reason="content_filter"), "withheld", False), (chat(reason="SAFETY"), "withheld", False),
        (chat(None, refusal="I will not."), "withheld .*I will not", False),
        (chat(refusal="I will not."), "withheld .*I will not", False),
        (chat([{"type": "refusal", "refusal": "No."}]), "withheld .*No", False),
        (chat("", reason="content_filter"), "withheld", False),
        (chat("<think>So the consumer", reason="length"), "thoughts alone", False),
        (chat("<think>So.</think>\n "), "thoughts alone", False),
        (chat(reason="error"), "broke off", True),
        (chat(None), "is empty", True), (chat([]), "is empty", True), (chat(" \n"), "is empty", True),
        ({"choices": [], "error": {"message": "overloaded"}}, "overloaded", True),
        ({"error": {"error": {"message": "too long"}}}, "too long", True),
        ({"output": [], "status": "failed", "error": {"code": "x", "message": "no room"}}, "failed.*no room", True),
        ({"output": [], "status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "withheld", False),
        (b"", "not a completion", True), (b"{", "not a completion", True), ([], "not a completion", True),
        ({"choices": []}, "not a completion", True), ({"choices": [None]}, "not a completion", True),
        ({"choices": {"0": 1}}, "not a completion", True), (b"null", "not a completion", True),
        (b"\xff\xfe\xfa", "not a completion", True), ("upstream died", "not a completion.*upstream died", True),
        (b"[" * 100_000, "not a completion", True), ({"choices": [{"text": " "}]}, "empty", True),
        (chat(deep), "not a completion", True), (chat(json.loads("[" * 700 + "]" * 700)), "completion|empty", True),
    ],
)  # fmt: skip
def test_what_is_no_answer_fails_with_its_reason(body: object, why: str, again: bool) -> None:
    with pytest.raises(CallFailed, match=why) as caught:
        read_answer(body, "k")
    assert caught.value.again == again and len(str(caught.value)) <= LONGEST_REASON + 100


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("text", "text"), (["text"], "text"), ({"message": "m"}, "m"), ({"message": "", "code": "c"}, "c"),
        ({"error": {"message": "m"}}, "m"), ({"error": {"error": {"message": "m\n  n"}}}, "m n"),
        ([{"error": {"detail": [{"msg": "m"}]}}], "m"), (["a", "b"], "['a', 'b']"), ({"code": 400}, "400"),
        ({}, "{}"), ({"x": 1}, "{'x': 1}"), (None, "None"), ("x" * 999, "x" * 200), ("\ud800", "?"),
    ],
)  # fmt: skip
def test_the_words_of_an_error_are_found_wherever_they_are(said: object, reason: str) -> None:
    assert reason_of(said) == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", TOLD]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "text", "usage", "output", "type", "error", "finish_reason"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON)
def test_whatever_is_sent_gives_a_text_or_a_failure(body: object) -> None:
    try:
        result = read_answer(body, "k")
    except CallFailed as failure:
        assert str(failure)
    else:
        assert result.text and result.text.strip() and 0 <= result.prompt_tokens < 1 << 31


@pytest.mark.parametrize(
    "thought",
    [
        "<think>{}</think>", "{}</think>", "<thinking>{}</thinking>", "<reasoning>\n{}\n</reasoning>\n",
        "<think>{}</think>More of it.</think>", "<THINK>{}</THINK>", "< think >{}< / think >", "[THINK]{}[/THINK]",
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
        "analysis{}assistantfinal", "<|channel>thought\n{}<channel|>", "<|START_THINKING|>{}<|END_THINKING|>",
        "<|begin_of_thought|>{}<|end_of_thought|>", "◁think▷{}◁/think▷", "<seed:think>{}</seed:think>",
        "<thought>{}</thought>", '<think budget="9">{}</think>',
    ],
)  # fmt: skip
def test_thoughts_in_any_tag_are_left_out_and_unclosed_ones_leave_nothing(thought: str) -> None:
    marked = thought.format(f"We say 3 <b>stars</b>.\n\n{TOLD} Or not?")
    assert without_thoughts(marked + TOLD).strip() == TOLD
    opening = thought.partition("{")[0]
    if opening:
        assert without_thoughts(f"{opening}We say 3.\n\n{TOLD}") == ""
        assert without_thoughts(f"{marked}{TOLD} {opening}" if "analysis{" not in thought else opening + "We") == ""
    assert without_thoughts(TOLD) == TOLD and without_thoughts("Analysis is a film.") == "Analysis is a film."
