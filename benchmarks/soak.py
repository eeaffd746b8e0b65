"""Kill it, fail it and feed it rubbish: ``python -m benchmarks soak [--kills 200 --prompts 5000 --inputs 10000]``.

What was stored is compared after every kill, and must not have become less; each part then ends as if nothing had been.
Every input is read, or refused by one sentence of at most 400 characters. ``results/bench/soak.json`` holds what was
lost, and how often each kind of sentence was said.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.explanations import requests
from lrrecsys_core import paths
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.checks import faults, parse_rating, tidy
from lrrecsys_core.explain.clients.batch_files import import_batch
from lrrecsys_core.explain.store import ExplanationStore

LONGEST = 400  # characters of a sentence
TABLE = "user_id,item_id,rating,when,tags\n" + "".join(
    f"u{k % 9},i{k * 7 % 13},{1 + k * 5 % 5},{1000 + k},{'red' if k % 2 else 'blue'}; round\n" for k in range(90)
)
LINE = (
    '{"id": "1", "custom_id": "%s", "response": {"status_code": 200, "body": {"choices": [{"message": '
    '{"content": "The consumer likes it."}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}}, "error": null}'
)
ANSWER = "<think>so</think> The consumer watched this movie because the consumer likes sea voyages. 4.5"
PIECES = (
    "\n", '"', ",", "{", "}", "</think>", "<|im_end|>", "\u2028", "\0", "1e308", "-inf", "NaN", "null", "[[[[", "é",
    "\ud800", "```", "**", "rating", "user_id", ";", "\t", "9" * 30, "\x1b[2J",
)  # fmt: skip
GENERATE = """
import sys
from benchmarks.explanations import requests
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.generate import fill
from lrrecsys_core.explain.store import ExplanationStore
short = {"timeout": 2.0, "attempts": 12, "pause": 0.02, "longest_pause": 0.2}  # a server on this machine
with ExplanationStore(sys.argv[1]) as store:
    fill(requests(int(sys.argv[3])), Endpoint("m", urls=(sys.argv[2],), concurrency=16, **short), store)
"""
TRAIN = """
from lrrecsys_core import rows
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study.study import Study
tiny = get_profile("smoke", replicates=1, epochs=1, patience=1, autoencoder_epochs=5, users=40, items=30)
Study(tiny).run_rows(only=[rows.LR, rows.BIASES, "DIN", "NARRE"], progress=False, jobs=2)
"""
REPORT = "from lrrecsys_core.cli import main\nmain(['report', '--run', 'demo'])"


@contextmanager
def faulty_server(folder: Path, share: float) -> Iterator[str]:
    """Address of the tests' server, which fails that share of the calls in every way a server can."""
    script = paths.repository() / "tests" / "explain" / "fault_server.py"
    command = [sys.executable, str(script), str(folder / "calls.log"), "--faults", str(share), "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def answered(store: Path) -> set[bytes]:
    """Keys with a stored answer."""
    if not store.is_file():
        return set()
    with sqlite3.connect(store) as database:
        try:
            return {key for (key,) in database.execute("SELECT key FROM answers WHERE text IS NOT NULL")}
        except sqlite3.OperationalError:  # killed before its tables were made
            return set()


def whole(root: Path) -> set[str]:
    """Finished files below a root that can be read to their end; a half one under a finished name raises."""
    found = set()
    for file in root.rglob("*"):
        if file.is_file() and not paths.is_partial(file) and file.suffix in (".parquet", ".safetensors", ".json"):
            assert paths.sound(file), f"{file} is half a file under a finished name"
            found.add(str(file))
        elif file.suffix == ".png" and not paths.is_partial(file):
            assert file.read_bytes().endswith(b"IEND\xaeB`\x82"), f"{file} is half a figure"
    return found


def killed(
    script: str, arguments: Sequence[str], kills: int, kept: Callable[[], set[object]], rng: random.Random
) -> int:
    """Start a script, kill it at a random moment, and look what is left, so many times; then let it end.

    Returns
    -------
    How many kept things a kill lost.
    """
    lost, before = 0, kept()
    command = [sys.executable, "-c", script, *arguments]
    for _ in range(kills):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(2, 12))
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        now = kept()
        lost += len(before - now)
        before = now
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return lost + len(before - kept())


def kill_all(kills: int, prompts: int, root: Path, rng: random.Random) -> dict[str, object]:
    """Kills over generation, training and reporting, a third each."""
    store, share = root / "store.sqlite", kills // 3
    with faulty_server(root, 0.0) as url:
        many = max(prompts, 50)
        lost = killed(GENERATE, [str(store), url, str(many)], share, lambda: set(answered(store)), rng)
    assert len(answered(store)) == many, "some prompts have no answer"
    lost += killed(TRAIN, [], share, lambda: set(whole(root)), rng)
    for name in ("demo", "theory"):
        shutil.copytree(paths.repository() / "figures" / name, root / "figures" / name)
    lost += killed(REPORT, [], kills - 2 * share, lambda: set(whole(root)), rng)
    told = subprocess.run(
        [sys.executable, "-m", "lrrecsys_core.cli", "verify", "--run", "demo"], capture_output=True, text=True
    )
    return {"kills": kills, "lost": lost, "report differs": told.stderr.splitlines()}


def fail_calls(prompts: int, folder: Path) -> dict[str, object]:
    """So many prompts, of which a third of the calls fail: all are answered in the end."""
    store = folder / "faulty.sqlite"
    with faulty_server(folder, 1 / 3) as url:
        for _ in range(5):  # what failed for good in one run is asked again in the next
            command = [sys.executable, "-c", GENERATE, str(store), url, str(prompts)]
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if len(answered(store)) == prompts:
                break
    return {"prompts": prompts, "lost": prompts - len(answered(store))}


def mangled(text: str, rng: random.Random) -> str:
    """The text with a few pieces cut out, put in or doubled."""
    for _ in range(rng.randint(1, 4)):
        a, b = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        match rng.randrange(3):
            case 0:
                text = text[:a] + text[min(b, a + 40) :]
            case 1:
                text = text[:a] + rng.choice(PIECES) + text[a:]
            case _:
                text = text[:b] + text[a:b] + text[b:]
    return text


def feed(inputs: int, folder: Path, rng: random.Random) -> dict[str, object]:
    """Mangled tables, lines of batch files and answers, a third each; anything but a result or a sentence raises."""
    kinds: Counter[str] = Counter()
    key = next(requests(1)).messages[0][1].encode().hex()[:64]
    with ExplanationStore(folder / "fed.sqlite") as store:
        for number in range(inputs):
            file = folder / ("table.csv" if number % 3 == 0 else "lines.jsonl")
            text = mangled((TABLE, LINE % key, ANSWER)[number % 3], rng)
            try:
                if number % 3 == 2:
                    faults(tidy(text)), parse_rating(text, 1, 5)
                else:
                    file.write_bytes(text.encode("utf-8", "surrogatepass"))
                    load_dataset(f"table:{file}?timestamp=when&details=tags") if number % 3 == 0 else import_batch(
                        [file], store
                    )
                kinds["read"] += 1
            except InputError as error:
                assert len(str(error)) <= LONGEST and "\n" not in str(error), str(error)
                kinds[_kind(str(error).replace(str(file), "FILE"))] += 1
    return {"inputs": inputs, "sentences": dict(kinds.most_common())}


def _kind(sentence: str) -> str:
    """A sentence without what it quotes and counts."""
    return re.sub(r"\d+", "N", re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", sentence))[:100]


def main() -> None:
    """Run all three parts in a folder of their own."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks soak")
    for name, default in (("kills", 200), ("prompts", 5000), ("inputs", 10_000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args(sys.argv[2:] if sys.argv[1:2] == ["soak"] else [])
    rng = random.Random(given.seed)
    target = paths.root() / "results" / "bench" / "soak.json"
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.environ[paths.ROOT_VARIABLE] = str(root)
        found = {"name": "soak", "fuzz": feed(given.inputs, root, rng), "faults": fail_calls(given.prompts, root)}
        found["kills"] = kill_all(given.kills, given.prompts, root, rng)
    paths.write_json(target, found)
    print(f"soak: {found}")
