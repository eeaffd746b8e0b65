"""The embedded model by each way of asking it, side by side in one run, and what kills cost.

OpenVINO GenAI and transformers in this process, and OpenVINO GenAI behind an OpenAI-compatible server on this machine.
"""

from __future__ import annotations

import os
import platform
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
from gguf import GGUFReader

from benchmarks.model_server import serving
from lrrecsys_core import paths
from lrrecsys_core.data.split import make_split
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.clients.formats import EMBEDDED
from lrrecsys_core.explain.clients.weights import packaged_gguf
from lrrecsys_core.explain.llm import LLM, Request
from lrrecsys_core.explain.open import open_data, open_llm
from lrrecsys_core.explain.prompt_sets import prompt_set
from lrrecsys_core.explain.prompts import record_requests

MARKET = "market:hotels@smoke"
PROMPTS, KILLED, KILLS = 48, 500, 10


def main() -> None:
    """Measure and write ``results/bench/llm_engines.json``."""
    requests = list(islice(_requests(), PROMPTS))
    engine = open_llm("smollm2")
    with serving(engine) as address:
        ways: dict[str, LLM] = {
            "OpenVINO GenAI": engine,
            "OpenVINO GenAI behind a server": Endpoint("smollm2", "smollm2", urls=(address,)),
            "transformers": open_llm("smollm2", device="cpu"),
        }
        found = {way: _rate(llm, requests) for way, llm in ways.items()}
    record = {
        "name": "llm_engines",
        "writer": EMBEDDED["smollm2"].name,
        "weights": sum(int(np.prod(one.shape)) for one in GGUFReader(packaged_gguf("smollm2")).tensors),
        "prompts": PROMPTS,
        "engines": found,
        "conditions": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; {MARKET}, "
        "prompt set zero-shot, positive reasons; loading apart",
    }
    file = paths.root() / "results" / "bench" / "llm_engines.json"
    paths.write_json(file, record)
    for way, told in found.items():
        print(f"{way}: {told['prompts_a_second']:.2f} prompts a second, {told['cpu_seconds']:.2f} CPU seconds each")
    paths.write_json(file, record | {"kills": kills()})


def _requests() -> Iterator[Request]:
    split = make_split(open_data(MARKET))
    records = np.random.default_rng(0).permutation(len(split.user))
    return record_requests(split, None, "no_profile", "positive", records, prompts=prompt_set("zero-shot"))


def _rate(llm: LLM, requests: list[Request]) -> dict[str, float]:
    """Prompts a second and CPU seconds a prompt of one way, after a first prompt that loads the model."""
    list(llm.complete(requests[:1]))
    wall, used = time.monotonic(), time.process_time()
    results = list(llm.complete(requests[1:]))
    wall, used = time.monotonic() - wall, time.process_time() - used
    n = len(results)
    return {
        "prompts_a_second": n / wall, "cpu_seconds": used / n,
        "tokens_in": float(np.mean([one.prompt_tokens for one in results])),
        "tokens_out": float(np.mean([one.completion_tokens for one in results])),
        "failed": sum(one.text is None for one in results),
    }  # fmt: skip


def kills() -> dict[str, float]:
    """Prompts asked by a run that is killed at random moments, against one that is left alone."""
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole.sqlite", Path(folder) / "killed.sqlite"
        began = time.monotonic()
        _start(whole).wait()
        length = time.monotonic() - began
        chance, lost = random.Random(0), 0
        for _ in range(KILLS):
            process = _start(killed)
            time.sleep(chance.uniform(0.05, 0.3) * length)
            before = _kept(killed)
            process.kill()
            process.wait()
            lost += len(before.keys() - _kept(killed).keys())
        _start(killed).wait()
        once, again = _kept(whole), _kept(killed)
    return {
        "prompts": len(once), "kills": KILLS, "lost": lost, "missing": len(once.keys() - again.keys()),
        "asked_twice": sum(tries > 1 for _, tries in again.values()),
        "differing": sum(again[key][0] != text for key, (text, _) in once.items() if key in again) / max(len(once), 1),
    }  # fmt: skip


def _start(store: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "lrrecsys_core.cli", "explain", "run", "--data", MARKET, "--llm", "smollm2"]
    command += ["--prompts", "zero-shot", "--variant", "no_profile", "--limit", str(KILLED // 2), "--store", str(store)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _kept(store: Path) -> dict[bytes, tuple[str, int]]:
    """Text and number of attempts of each stored answer."""
    if not store.is_file():
        return {}
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers'").fetchone():
            return {}
        return {key: (text, tries) for key, text, tries in db.execute("SELECT key, text, attempts FROM answers")}
