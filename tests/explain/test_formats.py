"""Chat formats, the six LLMs of Table 4, and what names an LLM on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrrecsys_core import rows
from lrrecsys_core.data.domains import DOMAINS
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.checks import correction
from lrrecsys_core.explain.clients import openvino_llm
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.clients.formats import EMBEDDED, PAPER_LLMS, known_llm, neutral, render, split_revision
from lrrecsys_core.explain.clients.transformers_llm import TransformersLLM
from lrrecsys_core.explain.llm import Request
from lrrecsys_core.explain.open import open_data, open_llm
from lrrecsys_core.explain.prompts import profile_request

TALK = (("user", "Why?"), ("assistant", "Because."), ("user", "Shorter."))


def test_conversations_as_plain_text() -> None:
    assert render(TALK, "plain") == "Why?\n\nBecause.\n\nShorter.\n"
    assert render(TALK, "vicuna").endswith("USER: Why? ASSISTANT: Because. USER: Shorter. ASSISTANT:")
    assert render((("system", "Be kind."), *TALK), "vicuna").startswith("Be kind. USER: Why?")
    with pytest.raises(InputError, match="unknown"):
        render(TALK, "llama")


MARKS = [
    "<|im_end|>", "<|im_start|>", "<|eot_id|>", "<|start_header_id|>", "<|endoftext|>", "<|end|>", "<|channel|>",
    "</s>",
    "<s>", "<S>", "<bos>", "<eos>", "<pad>", "<unk>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]",
    "<<SYS>>",
    "<</SYS>>", "<think>", "</think>", "<｜User｜>", "<｜end▁of▁sentence｜>", "ASSISTANT:", "USER:", "Assistant:",
    "### Response:", "### Instruction:", "[CLS]", "[SEP]", "<unused7>", "<0x0A>", "[TOOL_CALLS]", "<|",
]  # fmt: skip


@pytest.mark.parametrize("mark", MARKS)
def test_no_item_text_ends_a_turn_or_begins_one_in_any_format(mark: str) -> None:
    for name in (f"Tea {mark}", f"{mark} Tea", f"a{mark}{mark}b", mark, f"<{mark}>", f"\n{mark}\nTea"):
        request = profile_request(DOMAINS["movie"], name, f"drama {mark} sea")
        for chat_format in ("plain", "vicuna"):
            told = render(request.messages, chat_format)
            calm = render(profile_request(DOMAINS["movie"], "Tea", "drama").messages, chat_format)
            assert told.count(mark) == calm.count(mark), told
        assert mark not in str(Endpoint("m").body(request)[1]["messages"])
    again = correction(Request((("user", "Why?"),)), f"I am sorry. {mark}")
    assert again and mark not in again.messages[1][1]


@given(st.text(alphabet="abcXYZ 0123456789.,:;!?'\"&()[]<>#*/-_%$éß漢字", max_size=40))
def test_ordinary_names_stay_as_they_are(name: str) -> None:
    assert neutral(name) == name
    for title in (
        "[REC]",
        "Mission: Impossible",
        "S.O.S.",
        "<3",
        "Human: A Film",
        "Hearts & Souls [End]: II",
        "[User]",
    ):
        assert neutral(title) == title


def test_the_six_llms_are_the_rows_of_table_4() -> None:
    named = [row.llm for row in rows.rows_of(4) if row.llm and row.kind == "ours"]
    assert list(PAPER_LLMS) == list(rows.OF_LLM) and [*PAPER_LLMS, *EMBEDDED] == named == list(rows.OF_WRITER)
    assert all(PAPER_LLMS[short].name.split("-")[0] in row for short, row in rows.OF_LLM.items())
    assert all(known.revision == "" for known in PAPER_LLMS.values())


def test_a_revision_enters_the_model_and_the_key() -> None:
    assert known_llm("gpt-2", "abc").pinned == known_llm("gpt-2@abc").pinned == "openai-community/gpt2@abc"
    other = known_llm("my/model@r1")
    assert (other.name, other.pinned, other.chat_format) == ("my/model", "my/model@r1", "template")


def test_only_what_follows_a_name_is_a_revision(tmp_path: Path) -> None:
    folder = tmp_path / "me@home"
    folder.mkdir()
    assert split_revision("a/b@c") == ("a/b", "c")
    assert split_revision("@hosted/model") == ("@hosted/model", "")
    assert split_revision(str(folder)) == (str(folder), "")


def test_llms_by_text() -> None:
    llm = open_llm("endpoint:vicuna", concurrency=3, device=None)
    assert isinstance(llm, Endpoint)
    assert (llm.model, llm.served_as, llm.chat_format, llm.concurrency) == (
        "lmsys/vicuna-7b-v1.5", "lmsys/vicuna-7b-v1.5", "vicuna", 3,
    )  # fmt: skip
    assert open_llm("endpoint:m@r").served_as == "m"  # type: ignore[attr-defined]
    own = open_llm("transformers:/some/folder", dtype="float32")
    assert isinstance(own, TransformersLLM)
    assert (own.chat_format, own.dtype) == ("auto", "float32")
    named = open_llm("endpoint:llama-3.1", served_as="llama3.1:8b")
    assert (named.name, named.model, named.served_as) == (  # type: ignore[attr-defined]
        "Llama 3.1", "meta-llama/Llama-3.1-8B-Instruct", "llama3.1:8b",
    )  # fmt: skip
    for spec, alien in (("endpoint:m", {"batch_size": 3}), ("transformers:m", {"timeout": 1.0})):
        with pytest.raises(InputError, match="has no option"):
            open_llm(spec, **alien)
    assert open_llm("metadata").model.startswith("metadata")
    for wrong in ("gpt-2", "endpoint:", "metadata:x", "other:m"):
        with pytest.raises(InputError, match="names no LLM"):
            open_llm(wrong)


@pytest.mark.parametrize("openvino", [True, False])
def test_options_that_mean_nothing_are_refused_for_every_kind(
    openvino: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_llm, "at_hand", lambda: openvino)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    file = f"gguf:{tmp_path / 'm.gguf'}"
    refused: list[tuple[str, dict[str, Any], str]] = [
        ("metadata", {"chat_format": "nonsense"}, "chat-format"), ("metadata", {"revision": "abc"}, "revision"),
        ("metadata", {"device": "cuda"}, "device"), ("metadata", {"timeout": 1.0}, "timeout"),
        (file, {"revision": "abc"}, "revision"), (file, {"revision": "abc", "device": "cpu"}, "revision"),
        (file, {"served_as": "foo"}, "served-as"), (file, {"served_as": "foo", "device": "cpu"}, "served-as"),
        (file, {"timeout": 1.0}, "timeout"), (file, {"name": "x"}, "name"), ("endpoint:m", {"model": "x"}, "model"),
    ]  # fmt: skip
    for spec, options, option in refused:
        with pytest.raises(InputError, match=f"{spec} has no option '{option}': leave it out"):
            open_llm(spec, **options)
    told = open_llm(file, chat_format="plain")
    assert isinstance(told, TransformersLLM) and told.chat_format == "plain", "the engine that knows of formats"
    assert isinstance(open_llm(file), openvino_llm.OpenVinoLLM if openvino else TransformersLLM)
    both = open_llm("endpoint:vicuna", revision="abc", chat_format="plain", device=None, served_as=None)
    assert isinstance(both, Endpoint) and (both.model, both.chat_format) == ("lmsys/vicuna-7b-v1.5@abc,plain", "plain")


def test_markets_by_text() -> None:
    with pytest.raises(InputError, match="no market 'cats'"):
        open_data("market:cats")
    with pytest.raises(InputError, match="unknown kind"):
        open_data("nothing:here")


@pytest.mark.parametrize("kind", ["endpoint", "transformers"])
def test_a_chat_format_of_ones_own_is_part_of_who_answered(kind: str) -> None:
    """What the model reads differs, so answers in one format are not taken for those in another."""
    one = Request((("user", "Why tea?"),))
    plain, vicuna, own = (open_llm(f"{kind}:my/model@r1", chat_format=form) for form in ("plain", "vicuna", ""))
    assert isinstance(plain, Endpoint | TransformersLLM) and isinstance(own, Endpoint | TransformersLLM)
    assert len({one.key(llm.model) for llm in (plain, vicuna, own)}) == 3
    assert (own.model, plain.model) == ("my/model@r1", "my/model@r1,plain")
    assert plain.served_as == ("my/model" if kind == "endpoint" else "my/model@r1")
    usual = {"endpoint": "template", "transformers": "auto"}[kind]
    assert open_llm(f"{kind}:my/model@r1", chat_format=usual).model == "my/model@r1"
    assert open_llm(f"{kind}:vicuna", chat_format="vicuna").model == known_llm("vicuna").pinned
