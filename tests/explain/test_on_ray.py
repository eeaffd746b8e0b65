"""The example that answers batch files from many machines: its worker alone, and on Ray where that is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from fault_server import answer_to
from fill_store import prompts
from test_endpoint import fault_server

from lrrecsys_core import paths
from lrrecsys_core.explain.clients.batch_files import export_batch, import_batch
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.store import ExplanationStore

SCRIPT = paths.repository() / "examples" / "explain_on_ray.py"
ENDPOINT = Endpoint("tiny@1")


def example() -> Any:
    spec = spec_from_file_location("explain_on_ray", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_imported(results: Path, store: ExplanationStore, n: int) -> None:
    report = import_batch([results], store)
    assert (report.answered, report.failed, report.awaited) == (n - n // 50, n // 50, 0)
    for request in prompts(n):
        key, text = request.key("tiny@1"), request.messages[0][1]
        assert store.texts([key])[key] == (None if "HOPELESS" in text else answer_to(text))


def test_a_worker_gives_each_line_its_answer_or_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = example()
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    with ExplanationStore(tmp_path / "s") as store, fault_server(tmp_path / "log", "--faults", "0") as url:
        (shard,) = export_batch(prompts(100), ENDPOINT, store, tmp_path / "out")
        worker = module.Worker(["http://127.0.0.1:9/v1", url], "none")
        lines = shard.read_text().splitlines()
        answered = worker({"text": lines})["text"]
        assert [json.loads(one)["custom_id"] for one in answered] == [json.loads(one)["custom_id"] for one in lines]
        (tmp_path / "results.jsonl").write_text("\n".join(answered) + "\n")
        assert_imported(tmp_path / "results.jsonl", store, 100)


@pytest.mark.skipif(not find_spec("ray"), reason="Ray is not installed")
def test_the_example_answers_batch_files_on_ray(tmp_path: Path) -> None:
    with ExplanationStore(tmp_path / "s") as store, fault_server(tmp_path / "log", "--faults", "0") as url:
        export_batch(prompts(100), ENDPOINT, store, tmp_path / "out")
        results = tmp_path / "results.jsonl"
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(tmp_path / "out"), str(results), "--workers", "1"],
            capture_output=True, text=True, timeout=240, env={**os.environ, "LRRECSYS_BASE_URL": url},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert_imported(results, store, 100)
