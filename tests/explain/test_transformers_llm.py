"""The client in process, with tiny random models."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import chat_model, plain_model

from lrrecsys_core.errors import InputError
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
