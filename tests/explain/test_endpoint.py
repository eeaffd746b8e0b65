"""The endpoint client and the store, as processes, against a server that fails in every way."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fault_server import KINDS, answer_to
from fill_store import CONCURRENCY, endpoint, prompts

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.calls import retry_after
from lrrecsys_core.explain.clients.endpoint import Endpoint, base_urls
from lrrecsys_core.explain.generate import fill
from lrrecsys_core.explain.llm import Request
from lrrecsys_core.explain.store import ExplanationStore

HERE = Path(__file__).parent
SLOW = pytest.mark.skipif(not os.environ.get("LRRECSYS_SLOW"), reason="set LRRECSYS_SLOW=1 for the full-size runs")


@contextmanager
def fault_server(log: Path, *options: str) -> Iterator[str]:
    command = [sys.executable, str(HERE / "fault_server.py"), str(log), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def start_client(url: str, store: Path, n: int, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "fill_store.py"), url, str(store), str(n), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def outcomes(log: Path) -> Counter[str]:
    return Counter(line.split(" ", 1)[1] for line in log.read_text().splitlines())


def sound_answers(log: Path) -> Counter[str]:
    """How often each key was answered soundly ("twice" is one call)."""
    lines = (line.split(" ", 1) for line in log.read_text().splitlines())
    return Counter(key for key, kind in lines if kind in ("ok", "twice"))


def assert_complete(path: Path, n: int) -> None:
    """Every prompt answered by its own answer, or recorded as failed with the reason; one row a key."""
    requests = {request.key("tiny"): request for request in prompts(n)}
    with ExplanationStore(path, write=False) as store:
        rows = {str(row["key"]): row for row in store.rows()}
        assert len(store) == len(rows) == n
    assert rows.keys() == requests.keys()
    for key, request in requests.items():
        text = request.messages[0][1]
        if "HOPELESS" in text:
            assert rows[key]["text"] is None
            assert "HTTP 400" in str(rows[key]["error"])
        else:
            assert rows[key]["text"] == answer_to(text), rows[key]["error"]


@pytest.mark.parametrize(
    ("n", "kills"), [(1000, 4), pytest.param(5000, 20, marks=[pytest.mark.slow, SLOW])], ids=["small", "full"]
)
def test_killed_runs_lose_nothing_and_repeat_no_more_than_was_in_flight(tmp_path: Path, n: int, kills: int) -> None:
    log, path = tmp_path / "log", tmp_path / "store.sqlite"
    moments = random.Random(7)
    with fault_server(log, "--faults", "0.3", "--seed", "3") as url:
        killed = 0
        while killed < kills:
            before = log.stat().st_size if log.exists() else 0
            client = start_client(url, path, n)
            while client.poll() is None and (log.stat().st_size if log.exists() else 0) == before:
                time.sleep(0.01)  # imports are over once the first call arrives
            time.sleep(moments.uniform(0, 0.6))
            client.send_signal(signal.SIGKILL)
            client.wait()
            killed += 1
        last = start_client(url, path, n)
        assert last.wait(timeout=300) == 0, last.stderr.read() if last.stderr else ""
    assert_complete(path, n)
    repeated = sum(count - 1 for count in sound_answers(log).values())
    print(f"{n} prompts, {kills} kills: {repeated} answers repeated, at most {kills * CONCURRENCY} in flight at kills")
    assert repeated <= kills * CONCURRENCY
    assert not set(KINDS) - {"time-out", "slow drip"} - set(outcomes(log)), "some fault never happened"


def test_every_fault_ends_in_an_answer_or_a_reason(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "store.sqlite"
    with fault_server(log, "--seed", "5") as url, ExplanationStore(path) as store:
        fill(prompts(300), endpoint(url), store)
    assert_complete(path, 300)
    # An answer sent twice meets the next request on its connection, which refuses it and is asked once more.
    assert sum(count - 1 for count in sound_answers(log).values()) <= outcomes(log)["twice"]


def test_a_second_run_asks_only_for_failures(tmp_path: Path) -> None:
    log, path = tmp_path / "log", tmp_path / "store.sqlite"
    with fault_server(log, "--faults", "0") as url:
        for _ in range(2):
            with ExplanationStore(path) as store:
                fill(prompts(100), endpoint(url), store)
    assert outcomes(log) == {"ok": 98, "hopeless": 4}
    with ExplanationStore(path, write=False) as store:
        assert {row["attempts"] for row in store.rows() if row["text"] is None} == {2}


def test_several_servers_share_the_work_and_a_dead_one_is_left_alone(tmp_path: Path) -> None:
    logs = [tmp_path / "a", tmp_path / "b"]
    with fault_server(logs[0], "--faults", "0") as first, fault_server(logs[1], "--faults", "0") as second:
        llm = endpoint(first)
        llm.urls = (first, "http://127.0.0.1:9/v1", second)
        results = list(llm.complete(prompts(400)))
    assert sum(result.text is not None for result in results) == 392
    assert min(sum(outcomes(log).values()) for log in logs) > 100


def test_a_refused_key_ends_the_run_with_one_sentence_that_does_not_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRRECSYS_API_KEY", "sk-very-secret-123456")

    import asyncio
    import threading

    ready, port = threading.Event(), []

    async def serve() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 401 no\r\nContent-Length: 0\r\n\r\n")

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port.append(server.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.sleep(3)

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()
    ready.wait()
    with pytest.raises(InputError, match="refuses the key") as caught:
        list(endpoint(f"http://127.0.0.1:{port[0]}/v1").complete(prompts(5)))
    assert "very-secret" not in str(caught.value)


def test_a_dead_server_ends_the_run_after_some_failures() -> None:
    llm = Endpoint("m", urls=("http://127.0.0.1:9/v1",), attempts=2, pause=0.001, give_up_after=5, concurrency=4)
    with pytest.raises(InputError, match="127.0.0.1:9.*no server answers"):
        list(llm.complete(prompts(50)))


def test_addresses_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("LRRECSYS_BASE_URL", "http://a:1/v1, http://b:2/v1")
    assert base_urls() == ("http://a:1/v1", "http://b:2/v1")
    monkeypatch.delenv("LRRECSYS_BASE_URL")
    with pytest.raises(InputError, match="LRRECSYS_BASE_URL"):
        base_urls()


def test_plain_formats_go_to_the_completions_interface() -> None:
    request = Request((("user", "Why?"),), max_tokens=9, stop=("\n",))
    path, body = Endpoint("gpt2@abc", chat_format="plain").body(request)
    assert path == "/completions"
    assert body == {"model": "gpt2", "max_tokens": 9, "temperature": 0.0, "stop": ["\n"], "prompt": "Why?\n"}


def test_retry_after_in_seconds_milliseconds_and_as_a_date() -> None:
    assert retry_after({"retry-after": "2.5"}) == 2.5
    assert retry_after({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after({"retry-after": "soon"}) == retry_after({}) == 0.0
