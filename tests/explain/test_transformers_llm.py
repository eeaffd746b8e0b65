"""The client in process, with tiny random models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import chat_model, plain_model, rating_model

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients import odds
from lrrecsys_core.explain.clients.transformers_llm import TransformersLLM
from lrrecsys_core.explain.embeddings import HiddenStates
from lrrecsys_core.explain.llm import Request, Result

PROMPTS = [
    "the consumer likes tea",
    "this movie has tea and tea and tea because the consumer likes a movie",
    "tea",
    "a b c d",
]


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> str:
    return chat_model(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    return plain_model(tmp_path_factory.mktemp("plain"))


def requests(n: int = 6) -> list[Request]:
    return [Request((("user", prompt),), max_tokens=n) for prompt in PROMPTS]


def by_key(results: list[Result]) -> dict[str, tuple[str | None, int, str | None]]:
    return {result.key: (result.text, result.prompt_tokens, result.error) for result in results}


@pytest.mark.parametrize("kind", ["chat", "plain"])
def test_batches_answer_as_single_prompts_do(kind: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(kind)
    alone = by_key(list(TransformersLLM(folder, batch_size=1, dtype="float32").complete(requests())))
    together = by_key(list(TransformersLLM(folder, batch_size=4, dtype="float32").complete(iter(requests()))))
    assert alone == together
    assert alone.keys() == {one.key(folder) for one in requests()}


def test_the_chat_template_is_used_where_there_is_one(chat: str, plain: str) -> None:
    asked = Request((("system", "tea"), ("user", "a movie")))
    llm = TransformersLLM(chat)
    assert llm._prompt(llm.load()[0], asked) == "<s> system : tea </s> <s> user : a movie </s> <s> assistant :"
    llm = TransformersLLM(plain)
    assert llm._prompt(llm.load()[0], asked) == "tea\n\na movie\n"


def test_prompts_beyond_the_context_fail_alone(plain: str) -> None:
    long = Request((("user", "tea " * 80),), max_tokens=6)
    results = list(TransformersLLM(plain).complete([*requests(), long]))
    errors = [result for result in results if result.error and "exceed 64" in result.error]
    assert [result.key for result in errors] == [long.key(plain)]
    assert len(results) == len(PROMPTS) + 1


def test_a_missing_model_is_one_clear_sentence() -> None:
    with pytest.raises(InputError, match="cannot be loaded"):
        list(TransformersLLM("no/such-folder").complete(requests()))


def test_a_model_may_be_loaded_from_elsewhere_than_it_is_called(chat: str) -> None:
    named = list(TransformersLLM("meta-llama/Llama-3.1-8B-Instruct", served_as=chat).complete(requests()))
    assert {one.key for one in named} == {one.key("meta-llama/Llama-3.1-8B-Instruct") for one in requests()}
    assert {one.text for one in named} == {one.text for one in TransformersLLM(chat).complete(requests())}


@pytest.mark.parametrize("wrong", [{"device": "nowhere"}, {"dtype": "float17"}])
def test_a_device_or_type_that_is_not_there_is_one_clear_sentence(chat: str, wrong: dict[str, str]) -> None:
    with pytest.raises(InputError, match="nowhere|float17"):
        TransformersLLM(chat, **wrong).load()


def test_hidden_states_are_means_over_tokens_whatever_the_batch(plain: str) -> None:
    import torch

    llm = TransformersLLM(plain, batch_size=3, dtype="float32")
    vectors = HiddenStates(llm).embed(PROMPTS)
    tokenizer, model = llm.load()
    for prompt, vector in zip(PROMPTS, vectors, strict=True):
        with torch.no_grad():
            hidden = model(**tokenizer(prompt, return_tensors="pt"), output_hidden_states=True).hidden_states[-1]
        np.testing.assert_allclose(vector, hidden[0].mean(0).numpy(), atol=1e-5)


SHARED = "tea and movie because this consumer likes a movie and tea because a consumer watched this movie and likes "
TAILS = ["tea", "a movie", "this movie because the consumer has tea", "b c d e f g", "x", "the a the a the a the a a"]


@pytest.mark.parametrize("kind", ["chat", "plain"])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_what_prompts_share_is_computed_once_and_changes_no_answer(
    kind: str, temperature: float, request: pytest.FixtureRequest
) -> None:
    import torch

    folder = request.getfixturevalue(kind)
    asked = [Request((("user", SHARED + tail),), max_tokens=8, temperature=temperature) for tail in TAILS]
    answers, widths = {}, {}
    for share in (True, False):
        llm = TransformersLLM(folder, dtype="float32", share=share)
        tokenizer, model = llm.load()
        seen: list[int] = []
        model.register_forward_pre_hook(
            lambda *given, seen=seen: seen.append(given[2]["input_ids"].shape[1]), with_kwargs=True
        )
        torch.manual_seed(3)
        answers[share], widths[share] = by_key(list(llm.complete(asked))), seen
    assert answers[True] == answers[False]
    assert len({text for text, _, _ in answers[True].values()}) > 1
    first = {True: widths[True][0], False: widths[False][0]}
    shared = len(tokenizer(SHARED)["input_ids"]) + (4 if kind == "chat" else 0)  # "<s> user :" and a word's end
    assert first[False] - first[True] in (shared, shared - 1), "only the rest is computed for each"
    alone = by_key(list(TransformersLLM(folder, batch_size=1, dtype="float32").complete(asked)))
    if not temperature:
        assert alone == answers[True]


def test_prompts_are_grouped_by_template_before_they_are_batched(chat: str) -> None:
    llm = TransformersLLM(chat, batch_size=2, dtype="float32")
    asked = [Request((("user", tail),), max_tokens=2, template=f"t{k % 2}") for k, tail in enumerate(TAILS[:4])]
    keys = [result.key for result in llm.complete(asked)]
    assert {frozenset(keys[:2]), frozenset(keys[2:])} == {
        frozenset(one.key(chat) for one in asked[k::2]) for k in (0, 1)
    }


def out_of_memory_beyond(model: object, most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    import torch

    tried: list[int] = []
    whole = model.generate  # type: ignore[attr-defined]

    def generate(tokens: torch.Tensor, **options: object) -> object:
        tried.append(len(tokens))
        if len(tokens) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(tokens, **options)

    monkeypatch.setattr(model, "generate", generate)
    return tried


def test_batches_that_do_not_fit_are_halved_and_nothing_is_lost(chat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = by_key(list(TransformersLLM(chat, dtype="float32").complete(requests())))
    llm = TransformersLLM(chat, dtype="float32", batch_size=8)
    tried = out_of_memory_beyond(llm.load()[1], 2, monkeypatch)
    more = [*requests(), *requests(5)]
    found = by_key(list(llm.complete(more)))
    assert found.items() >= whole.items() and len(found) == len(more)
    assert tried == [4, 2, 2, 2, 2] and llm.batch == 2, "later batches are small at once"


def test_a_prompt_that_does_not_fit_alone_fails_alone(chat: str, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = TransformersLLM(chat, dtype="float32")
    out_of_memory_beyond(llm.load()[1], 0, monkeypatch)
    results = list(llm.complete(requests()))
    assert len(results) == len(PROMPTS) == sum("no memory" in str(result.error) for result in results)


def test_batches_are_small_on_a_processor(chat: str) -> None:
    assert TransformersLLM(chat).batch == 16 and TransformersLLM(chat, batch_size=3).batch == 3


RATED = {
    "": {"4": 0.25, " 4": 0.125, "5": 0.25, "1": 0.125, "10": 0.0625, "tea": 0.1875},
    "1": {"0": 0.5, "</s>": 0.5},
    "4": {".": 0.5, "</s>": 0.5},
    ".": {"5": 0.25, "0": 0.75},
}
"""By hand: "1" is .125 less .125 x .5 = .0625; "10" is .0625 + .0625 = .125; "4.5" is .25 x .5 x .25 = .03125 (" 4" is
another token, after which nothing of this comes); "4" is .375 less .03125 = .34375."""


def test_odds_are_the_models_own_whatever_the_batch(tmp_path: Path) -> None:
    folder = rating_model(tmp_path, RATED)
    choices = [("4", "5"), ("1", "10"), ("4", "4.5", "5"), (), ("3",), tuple("12345")]
    expected = [
        {"4": 0.375, "5": 0.25}, {"1": 0.0625, "10": 0.125}, {"4": 0.34375, "4.5": 0.03125, "5": 0.25}, {}, {"3": 0},
        {"1": 0.125, "2": 0, "3": 0, "4": 0.375, "5": 0.25},
    ]  # fmt: skip
    for size, share in ((1, True), (6, True), (4, False)):
        llm = TransformersLLM(folder, dtype="float32", batch_size=size, share=share)
        asked = [
            Request((("user", SHARED + tail),), max_tokens=3, choices=one)
            for tail, one in zip(TAILS, choices, strict=True)
        ]
        found = {result.key: result for result in llm.complete(asked)}
        for one, told in zip(asked, expected, strict=True):
            assert found[one.key(folder)].odds == pytest.approx(told, abs=1e-5)
            assert found[one.key(folder)].text in ("4", "4.", "5"), "the text is the likeliest as before"


def test_odds_are_those_of_whole_passes_over_each_prompt_and_change_no_answer(
    chat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The choice "tea a" is the token "tea", then "a" after it; several beginnings of each prompt are followed."""
    import torch

    monkeypatch.setattr(odds, "FOLLOWED", 0.0)
    llm = TransformersLLM(chat, dtype="float32", batch_size=6)
    tokenizer, model = llm.load()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(20 if weight.dim() > 1 else 1)  # as they are drawn, all that came before hardly matters
    plain = [Request((("user", SHARED + tail),), max_tokens=6) for tail in TAILS]
    asked = [Request(one.messages, one.max_tokens, choices=("tea", "tea a", "movie", "movie a")) for one in plain]
    found = {result.key: result for result in llm.complete(asked)}
    for one in asked:

        def chance(*words: str, prompt: str = llm._prompt(tokenizer, one)) -> float:
            told = tokenizer(" ".join([prompt, *words[:-1]]), add_special_tokens=False, return_tensors="pt")
            with torch.no_grad():
                likely = model(told["input_ids"]).logits[0, -1].softmax(-1)
            return float(likely[tokenizer.convert_tokens_to_ids(words[-1])])

        expected = {}
        for word in ("tea", "movie"):
            expected[f"{word} a"] = chance(word) * chance(word, "a")
            expected[word] = chance(word) - expected[f"{word} a"]
        assert found[one.key(chat)].odds == pytest.approx(expected, rel=1e-3, abs=1e-7)
    assert by_key(list(found.values())) == by_key(list(llm.complete(plain)))
