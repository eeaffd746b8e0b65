"""Batch files: whatever order, twice, cut or unknown."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.batch_files import Imported, export_batch, import_batch
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.llm import Request
from lrrecsys_core.explain.store import ExplanationStore

LLM = Endpoint("tiny@1", "Tiny")


def asked(n: int) -> list[Request]:
    return [Request((("user", f"prompt {place} ünï"),), template="t@1") for place in range(n)]


def answer(line: dict[str, object], text: str) -> str:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    return json.dumps({"custom_id": line["custom_id"], "response": {"status_code": 200, "body": body}, "error": None})


def failure(line: dict[str, object], status: int) -> str:
    body = {"error": {"message": "too long"}}
    return json.dumps({"custom_id": line["custom_id"], "response": {"status_code": status, "body": body}})


def test_shards_out_and_results_in_any_order(tmp_path: Path) -> None:
    requests = asked(25)
    with ExplanationStore(tmp_path / "s") as store:
        shards = export_batch([*requests, *requests[:5]], LLM, store, tmp_path / "out", lines=10)
        lines = [json.loads(line) for shard in shards for line in shard.read_text().splitlines()]
        assert [len(shard.read_text().splitlines()) for shard in shards] == [10, 10, 5]
        assert [line["custom_id"] for line in lines] == [one.key("tiny@1") for one in requests]
        assert lines[0]["url"] == "/v1/chat/completions"
        assert lines[0]["body"]["model"] == "tiny"
        with pytest.raises(InputError, match="already holds request files"):
            export_batch(requests, LLM, store, tmp_path / "out")

        good = [answer(line, f"answer to {line['body']['messages'][0]['content']}") for line in lines[:20]]
        stranger = answer({"custom_id": "0" * 32}, "not ours")
        mixed = [*good, answer(lines[0], "another answer"), stranger, good[3][:40], "[]", "", answer(lines[20], "  ")]
        random.Random(0).shuffle(mixed)
        (tmp_path / "result.jsonl").write_text("\n".join(mixed))
        (tmp_path / "errors.jsonl").write_text(failure(lines[21], 400) + "\n" + failure(lines[22], 500) + "\n")
        report = import_batch([tmp_path / "errors.jsonl", tmp_path / "result.jsonl"], store)
        assert report == Imported(answered=20, failed=3, repeated=1, unknown=1, unreadable=2, awaited=2)
        texts = store.texts([one.key("tiny@1") for one in requests])
        for place, one in enumerate(requests[1:20], 1):
            assert texts[one.key("tiny@1")] == f"answer to prompt {place} ünï"
        assert any("HTTP 400: too long" in reason for reason, _ in store.failures())

        again = export_batch(requests, LLM, store, tmp_path / "again")
        assert len(again[0].read_text().splitlines()) == 5


def test_plain_models_go_to_the_completions_interface(tmp_path: Path) -> None:
    with ExplanationStore(tmp_path / "s") as store:
        (shard,) = export_batch(asked(1), Endpoint("gpt2", chat_format="plain"), store, tmp_path / "out")
    line = json.loads(shard.read_text())
    assert (line["url"], line["body"]["prompt"]) == ("/v1/completions", "prompt 0 ünï\n")


def test_a_missing_file_is_one_clear_sentence(tmp_path: Path) -> None:
    with ExplanationStore(tmp_path / "s") as store, pytest.raises(InputError, match="cannot be read"):
        import_batch([tmp_path / "none"], store)
