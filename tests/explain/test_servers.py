"""From the command line to real servers on this machine, and no key on disk afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from test_endpoint import fault_server
from tiny_models import chat_model

from lrrecsys_core.explain.frozen import FrozenStore
from lrrecsys_core.explain.store import ExplanationStore

SECRET = "sk-test-5f1c9e77b2-never-on-disk"
TABLE = """user_id,item_id,rating,timestamp,name
u,a,5,1,<b>Tea</b>
u,b,4,2,Sea \\input
u,c,1,3,\u202eHOPELESS 🎬
v,a,3,4,<b>Tea</b>
"""


def lrrecsys(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lrrecsys_core.cli", "explain", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, env={**os.environ, **environment})


@pytest.fixture
def data(tmp_path: Path) -> str:
    (tmp_path / "own.csv").write_text(TABLE)
    return f"table:{tmp_path / 'own.csv'}?timestamp=timestamp&name=name&domain=movie"


def test_a_run_from_the_command_line_leaves_no_key_behind(tmp_path: Path, data: str) -> None:
    place = tmp_path / "work"
    place.mkdir()
    store, common = str(place / "s.sqlite"), ["--data", data, "--variant", "no_profile"]
    with fault_server(tmp_path / "log", "--faults", "0.2", "--secret", SECRET) as url:
        environment = {"LRRECSYS_BASE_URL": url, "LRRECSYS_API_KEY": SECRET, "TMPDIR": str(place), "HOME": str(place)}
        runs = [
            lrrecsys("run", *common, "--llm", "endpoint:tiny@1", "--store", store, "--timeout", "2", **environment),
            lrrecsys("status", "--store", store, **environment),
            lrrecsys(
                "export",
                *common,
                "--llm",
                "endpoint:other",
                "--store",
                store,
                "--folder",
                str(place / "b"),
                **environment,
            ),
            lrrecsys("freeze", "--store", store, "--folder", str(place / "f"), **environment),
            lrrecsys(
                "run",
                *common,
                "--llm",
                "endpoint:x",
                "--store",
                store,
                **{**environment, "LRRECSYS_BASE_URL": "ftp://x"},
            ),
        ]
    assert [run.returncode for run in runs] == [0, 0, 0, 0, 2], [run.stderr for run in runs]
    assert "HTTP 400" in runs[1].stdout
    assert "***" in runs[1].stdout, "the server quoted the key in its complaint"
    assert "Traceback" not in runs[4].stderr
    assert (place / "b" / "requests-0000.jsonl").is_file()
    assert len(FrozenStore(place / "f")) > 0
    for run in runs:
        assert SECRET not in run.stdout + run.stderr
    for file in place.rglob("*"):
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
    with ExplanationStore(store, write=False) as opened:
        assert SECRET not in repr(list(opened.rows()))


@contextmanager
def transformers_serve(model: str, log: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", model, *options]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


@pytest.mark.skipif(
    not (find_spec("fastapi") and find_spec("uvicorn")),
    reason="transformers serve needs fastapi and uvicorn (extra serve)",
)
def test_transformers_serve_answers_a_whole_run(tmp_path: Path, data: str) -> None:
    model = chat_model(tmp_path / "model")
    store = str(tmp_path / "s.sqlite")
    with transformers_serve(model, tmp_path / "log") as url:
        done = lrrecsys(
            "run",
            "--data",
            data,
            "--llm",
            f"endpoint:{model}",
            "--store",
            store,
            "--concurrency",
            "4",
            "--go-on",
            LRRECSYS_BASE_URL=url,
        )
    assert done.returncode == 0, done.stderr + (tmp_path / "log").read_text()
    with ExplanationStore(store, write=False) as opened:
        rows = list(opened.rows())
    assert len(rows) == 3 + 2 * 3  # two users have the same first prompt
    answered = [row for row in rows if row["text"]]
    assert answered, [row["error"] for row in rows]
    assert all(row["completion_tokens"] for row in answered)
    assert all(row["text"] or "empty" in str(row["error"]) for row in rows)
