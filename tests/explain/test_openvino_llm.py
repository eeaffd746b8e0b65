"""The embedded model, really asked: answers end, are those of their prompts, and survive kills; without its engine one
clear sentence says what is missing."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from importlib import metadata

import pytest

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients import openvino_llm
from lrrecsys_core.explain.clients.openvino_llm import OpenVinoLLM
from lrrecsys_core.explain.clients.transformers_llm import TransformersLLM
from lrrecsys_core.explain.clients.weights import packaged_gguf
from lrrecsys_core.explain.llm import Request
from lrrecsys_core.explain.open import open_llm


def about(text: str, **settings) -> Request:
    return Request((("user", text),), **{"max_tokens": 16, **settings})


@pytest.fixture(scope="module")
def llm() -> OpenVinoLLM:
    return open_llm("smollm2")


def answers(llm, requests):
    found = {result.key: result for result in llm.complete(requests)}
    return [found[request.key(llm.model)] for request in requests]


def test_the_embedded_model_answers_with_its_file_and_engine_in_its_identity(llm):
    (one,) = answers(llm, [about("What is the capital of France? Answer in one word.", max_tokens=24)])
    assert "Paris" in one.text and one.finish_reason == "stop" and one.error is None
    assert 0 < one.completion_tokens < 24 and one.prompt_tokens > 10
    name, _, rest = llm.model.partition("@")
    assert name == "SmolLM2-135M-Instruct.Q4_1" and rest.endswith(
        f"openvino-genai {metadata.version('openvino-genai')}"
    )
    assert llm.name == "SmolLM2-135M"


def test_answers_are_those_of_their_prompts_and_the_same_again(llm):
    requests = [about(f"What is the capital of {land}? Answer in one word.") for land in ("France", "Japan", "Egypt")]
    together = [one.text for one in answers(llm, requests)]
    assert "Paris" in together[0] and len(set(together)) == 3
    assert [one.text for one in answers(llm, requests)] == together
    narrow = OpenVinoLLM(llm.path, in_flight=2)  # the third waits until one has ended
    assert [one.text for one in answers(narrow, requests)] == together


def test_stops_and_limits_end_an_answer_and_what_exceeds_the_context_fails_alone(llm):
    story = "Tell a long story about a lighthouse."
    free, short, long = answers(llm, [about(story, max_tokens=40), about(story, max_tokens=5), about("word " * 9000)])
    assert free.completion_tokens == 40 and free.finish_reason == "length"
    assert short.finish_reason == "length" and short.completion_tokens == 5 and free.text.startswith(short.text.strip())
    assert long.text is None and "exceed 8192" in long.error
    stop = free.text.split()[4]
    (cut,) = answers(llm, [about(story, max_tokens=40, stop=(stop,))])
    assert cut.text.strip() == free.text.partition(stop)[0].strip() and cut.finish_reason == "stop"


def test_where_probabilities_cannot_be_had_answers_stand_without_and_one_sentence_says_so(monkeypatch, capsys):
    class Unloadable(TransformersLLM):
        tried = 0

        def complete(self, requests):
            Unloadable.tried += 1
            raise InputError("a GGUF file needs gguf: run `make llm`")

    monkeypatch.setattr(openvino_llm, "TransformersLLM", Unloadable)
    rating = about("Rate it from 1 to 5.", max_tokens=2, choices=("1", "2", "3", "4", "5"))
    found = answers(
        open_llm("smollm2"), [rating, about("Rate it from 1 to 5 again.", max_tokens=2, choices=("1", "2"))]
    )
    assert all(one.text and not one.odds for one in found) and Unloadable.tried == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "SmolLM2-135M gives no probabilities of its ratings" in line and "run `make llm`" in line


def test_an_interrupt_leaves_nothing_behind(llm):
    stream = llm.complete(about(f"Write about the number {k}.") for k in range(40))
    next(stream)
    stream.close()
    (one,) = answers(llm, [about("Say hello.")])
    assert one.text and not llm.load()[0].has_non_finished_requests()


def test_without_the_engine_the_other_one_is_taken_or_named(llm, monkeypatch):
    monkeypatch.setattr(openvino_llm, "at_hand", lambda: False)
    other = open_llm("smollm2")
    assert isinstance(other, TransformersLLM) and other.served_as == str(llm.path) and "transformers" in other.model

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(openvino_llm, "version", missing)
    with pytest.raises(InputError, match=r"needs the engine openvino-genai: run `make llm`"):
        _ = OpenVinoLLM(packaged_gguf("smollm2")).model


def test_a_file_that_is_no_gguf_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_llm(f"gguf:{tmp_path / 'none.gguf'}")
    (tmp_path / "bad.gguf").write_bytes(b"GGUF nonsense")
    with pytest.raises(InputError, match="cannot be read by openvino-genai"):
        list(open_llm(f"gguf:{tmp_path / 'bad.gguf'}").complete([about("x")]))


@pytest.mark.slow
def test_killed_runs_lose_nothing_and_ask_nothing_twice(tmp_path):
    asked = ["run", "--data", "market:hotels@smoke", "--llm", "smollm2", "--variant", "no_profile", "--limit", "3"]
    asked += ["--prompts", "zero-shot", "--store"]

    def start(store):
        command = [sys.executable, "-m", "lrrecsys_core.cli", "explain", *asked, store]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=(tmp_path / "said.txt").open("w"))

    def kept(store) -> dict[bytes, tuple[str, int]]:
        try:
            with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
                return {
                    key: (text, tries) for key, text, tries in db.execute("SELECT key, text, attempts FROM answers")
                }
        except sqlite3.OperationalError:
            return {}

    killed = tmp_path / "killed.sqlite"
    for least in (1, 4):
        process = start(str(killed))
        while len(kept(killed)) < least and process.poll() is None:
            time.sleep(0.05)
        before = kept(killed)
        process.kill()
        process.wait()
        assert before.items() <= kept(killed).items()  # none lost
    stored = kept(killed)
    assert start(str(killed)).wait() == 0, (tmp_path / "said.txt").read_text()
    whole = kept(killed)
    assert stored.items() <= whole.items() and len(whole) == 6
    assert {tries for _, tries in whole.values()} == {1} and all(text for text, _ in whole.values())  # none asked twice
