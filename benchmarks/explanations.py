"""The generation layer at size: calls a second, resuming millions of rows, planning millions of records."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.record import write
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.generate import fill
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.plan import plan_dataset
from lrrecsys_core.explain.recorded import Recorded
from lrrecsys_core.explain.store import ExplanationStore

PROMPT = "Past movies:\n" + "- A film: a sea adventure for viewers who enjoy voyages and loyal companions.\n" * 6
CONCURRENCY = 64


def main() -> None:
    """Measure and write all three."""
    throughput(prompts=20_000)
    resume(rows=5_000_000)
    plan(records=17_300_000)


def requests(n: int) -> Iterator[Request]:
    """N distinct prompts of about 500 characters."""
    return (
        Request((("user", f"{PROMPT}Current movie:\n- Film {place}"),), template="movie/positive@1")
        for place in range(n)
    )


@contextmanager
def instant_server() -> Iterator[str]:
    """Address of a server that answers at once, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.instant_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        process.kill()


def throughput(prompts: int) -> None:
    """Client and store against one `httpx` client, as many calls in flight, and a JSON line for each answer."""
    with tempfile.TemporaryDirectory() as folder, instant_server() as url:
        llm = Endpoint("m", urls=(url,), concurrency=CONCURRENCY)

        def ours(n: int) -> None:
            with ExplanationStore(Path(folder) / f"{n}.sqlite") as store:
                fill(requests(n), llm, store)
                assert len(store) == n

        ours(500)
        cpu, wall = timed(lambda: ours(prompts // 2))
        before = resident()
        cpu_2, wall_2 = timed(lambda: ours(prompts))
        grown = resident() - before
        few = prompts // 10
        theirs, _ = timed(lambda: asyncio.run(plainly(url, few, Path(folder) / "lines")))
    write(
        "explain_throughput",
        cpu_2 / prompts * 1000,
        theirs / few * 1000,
        f"{prompts:,} prompts of 500 characters, {CONCURRENCY} in flight, a local server that answers at once; client "
        f"and store in one process: {prompts / cpu_2:,.0f} prompts a CPU second, {prompts / wall_2:,.0f} a second of "
        f"the clock (half as many: {prompts / 2 / wall:,.0f}), memory grew {grown:.0f} MiB in the second half; "
        "theirs: one httpx client and a JSON line for each answer",
        unit="CPU milliseconds a prompt, client process",
    )


async def plainly(url: str, n: int, path: Path) -> None:
    """The straightforward way."""
    import httpx

    async with httpx.AsyncClient(base_url=url, timeout=None) as client:
        stream = requests(n)
        with path.open("w") as lines:

            async def ask() -> None:
                for request in stream:
                    messages = [{"role": role, "content": text} for role, text in request.messages]
                    body = {"model": "m", "messages": messages, "max_tokens": 128}
                    done = (await client.post("/chat/completions", json=body)).json()
                    lines.write(
                        json.dumps({"prompt": messages, "text": done["choices"][0]["message"]["content"]}) + "\n"
                    )

            await asyncio.gather(*(ask() for _ in range(CONCURRENCY)))


def resume(rows: int) -> None:
    """Time from opening a store of many rows to the first missing prompt, against reading every key into memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.sqlite"
        stored = [request for _, request in zip(range(1_000), requests(1_000), strict=False)]
        with ExplanationStore(path) as store:
            for request in stored:
                store.add(request, Result(request.key("m"), "a sentence"), Recorded("m", "m"))
            many_rows(path, rows - len(stored))
            size = path.stat().st_size / 2**30

        class First(Recorded):
            def complete(self, requests: object) -> Iterator[Result]:
                next(iter(requests))  # type: ignore[call-overload]
                return iter(())

        def ours() -> None:
            with ExplanationStore(path) as store:
                fill([*stored[:100], Request((("user", "a new prompt"),))], First("m", "m"), store)

        def theirs() -> None:
            with closing(sqlite3.connect(path)) as db:
                assert len({key for (key,) in db.execute("SELECT key FROM answers")}) == rows

        _, wall = timed(ours)
        _, slow = timed(theirs)
    write(
        "explain_resume",
        wall,
        slow,
        f"a store of {rows:,} rows ({size:.1f} GiB) opened and 100 prompts found before the first missing one; "
        "theirs: all keys read into a set",
        unit="seconds",
    )


def many_rows(path: Path, n: int) -> None:
    """Fill a store the fast way: random keys in order, a compressed prompt and a sentence in each row."""
    heads = np.sort(np.random.default_rng(0).integers(0, 2**63, n, dtype=np.uint64)).astype(">u8").tobytes()
    prompt = zlib.compress(PROMPT.encode(), 1)
    rows = (
        (
            heads[8 * place : 8 * place + 8] + place.to_bytes(8, "big"),
            prompt,
            f"The consumer watched this movie: {place}",
        )
        for place in range(n)
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute("BEGIN")
        db.executemany(
            "INSERT INTO answers (key, source, request, text, finish_reason, prompt_tokens, completion_tokens, error, "
            "attempts, seconds, created) VALUES (?, 1, ?, ?, 'stop', 400, 20, NULL, 1, 0.1, 0.0)",
            rows,
        )
        db.execute("COMMIT")


def plan(records: int) -> None:
    """Peak memory of planning a table as large as the paper's largest, against loading and splitting it.

    Everything runs in processes of its own, since the peak a process reports starts at that of its parent.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        height, _ = in_process("make_table", str(path), records)
        spec = f"table:{path}?timestamp=timestamp&domain=movie"
        ours, seconds = in_process("plan_peak", spec)
        theirs, _ = in_process("split_peak", spec)
    write(
        "explain_plan_memory",
        ours,
        theirs,
        f"{height:,.0f} records in a CSV file, planned in {seconds:.0f} s; theirs: load_dataset and make_split",
        unit="GiB at peak",
    )


def in_process(function: str, *arguments: str | int) -> tuple[float, float]:
    """The number a function of this module prints, and its seconds, in a process of its own."""
    code = f"from benchmarks import explanations; explanations.{function}(*{arguments!r})"
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1]), time.perf_counter() - began


def make_table(path: str, records: int) -> None:
    """Write random records with long-tailed users and items, and print how many are distinct."""
    draw = np.random.default_rng(0)
    users, items = records * 3 // 8, records // 23
    columns = {
        "user_id": (draw.pareto(1.2, records) * users / 50).astype(np.int64) % users,
        "item_id": (draw.pareto(1.1, records) * items / 200).astype(np.int64) % items,
        "rating": draw.integers(1, 6, records),
        "timestamp": draw.integers(900_000_000, 1_690_000_000, records),
    }
    frame = pl.DataFrame(columns).unique(["user_id", "item_id"], maintain_order=True)
    names = [pl.format("A{}", "user_id").alias("user_id"), pl.format("B{}", "item_id").alias("item_id")]
    frame.with_columns(names).write_csv(path)
    print(frame.height)


def plan_peak(spec: str) -> None:
    """Plan and print the peak in GiB."""
    plan_dataset(spec)
    print(resident() / 1024)


def split_peak(spec: str) -> None:
    """Load, split and print the peak in GiB."""
    from lrrecsys_core.data.load import load_dataset
    from lrrecsys_core.data.split import make_split

    make_split(load_dataset(spec))
    print(resident() / 1024)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of this process, all threads, and seconds of the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def resident() -> float:
    """Peak memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
