"""OpenAI Batch files: requests out in shards, answers in by ``custom_id``; ``vllm run-batch`` reads the same files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.completions import CallFailed, read_answer
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.store import ExplanationStore

SHARD_LINES = 50_000
SHARD_BYTES = 180_000_000  # hosted services take 200 MB a file
AWAITED = "exported to a batch file, no answer yet"


def export_batch(
    requests: Iterable[Request], llm: Endpoint, store: ExplanationStore, folder: str | Path, *, lines: int = SHARD_LINES
) -> list[Path]:
    """Write every request without a stored answer, each distinct one once, as ``requests-0000.jsonl`` and so on.

    The store notes each as awaited, so that results are joined to it later, on any machine that has the store.

    Parameters
    ----------
    requests
        What to ask.
    llm
        Decides keys, interface (chat or plain) and the bodies; its addresses are not used.
    store
        Answers already there are left out.
    folder
        Made when missing; must hold no shards yet.
    lines
        Most lines in a shard; a shard also stays below 180 MB.

    Returns
    -------
    list of Path
        The shards; empty when nothing is missing.

    Raises
    ------
    InputError
        When the folder holds shards already.
    """
    folder = Path(folder)
    if list(folder.glob("requests-*.jsonl")):
        raise InputError(f"{folder} already holds request files: name an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[Path] = []
    asked = _missing(requests, llm, store)
    line = next(asked, None)
    while line is not None:
        shards.append(folder / f"requests-{len(shards):04d}.jsonl")
        with paths.naming(shards[-1]), shards[-1].open("w", encoding="ascii") as file:
            size = written = 0
            while line is not None and written < lines and (not written or size + len(line) < SHARD_BYTES):
                size += file.write(line)
                written += 1
                line = next(asked, None)
    return shards


def _missing(requests: Iterable[Request], llm: Endpoint, store: ExplanationStore) -> Iterator[str]:
    """Lines, each only once the store knows its request: a result of one it does not know would be a stranger's."""
    seen: set[bytes] = set()
    stream = iter(requests)
    while chunk := list(islice(stream, 500)):
        keyed = {request.key(llm.model): request for request in chunk}
        stored = store.texts(list(keyed))
        new = {key: one for key, one in keyed.items() if stored.get(key) is None and bytes.fromhex(key) not in seen}
        with store.together():
            for key, request in new.items():
                store.add(request, Result(key, None, "error", error=AWAITED), llm)
        for key, request in new.items():
            seen.add(bytes.fromhex(key))
            path, body = llm.body(request)
            yield json.dumps({"custom_id": key, "method": "POST", "url": f"/v1{path}", "body": body}) + "\n"


@dataclass
class Imported:
    """What came of reading result files.

    Parameters
    ----------
    answered, failed
        Lines that gave an answer, or the reason of a failure, to a request that had no answer.
    repeated
        Lines for a request already answered: the first answer stays.
    unknown
        Lines whose ``custom_id`` the store does not know.
    unreadable
        Lines that are not whole JSON objects with a ``custom_id``.
    awaited
        Exported requests of which no file has said anything: export and ask them again.
    """

    answered: int = 0
    failed: int = 0
    repeated: int = 0
    unknown: int = 0
    unreadable: int = 0
    awaited: int = 0


def import_batch(files: Sequence[str | Path], store: ExplanationStore) -> Imported:
    """Read output and error files, in any order and as many as there are, into the store the requests came from.

    Raises
    ------
    InputError
        When a file cannot be read.
    """
    report = Imported()
    for name in files:
        try:
            with Path(name).open("rb") as lines, store.together():
                for line in lines:
                    _settle(line, store, report)
        except OSError as error:
            raise InputError(f"{name} cannot be read ({error.strerror}): name result files of a batch run") from error
    report.awaited = dict(store.failures()).get(AWAITED, 0)
    return report


def _settle(line: bytes, store: ExplanationStore, report: Imported) -> None:
    try:
        row = json.loads(line)
        key = row["custom_id"]
        bytes.fromhex(key)
    except (ValueError, KeyError, TypeError):
        report.unreadable += bool(line.strip())
        return
    try:
        result = read_answer(_body(row), key)
    except CallFailed as failure:
        result = Result(key, None, "error", error=str(failure))
    match store.settle(result):
        case None:
            report.unknown += 1
        case False:
            report.repeated += 1
        case True if result.text is None:
            report.failed += 1
        case True:
            report.answered += 1


def _body(row: dict[str, Any]) -> bytes:
    """Body of the answer in a line of an output or error file.

    Raises
    ------
    CallFailed
        When the line tells of a failure.
    """
    response = row.get("response") or {}
    if row.get("error") or response.get("status_code") != 200:
        said = row.get("error") or (response.get("body") or {}).get("error") or {}
        reason = said.get("message") or said.get("code") if isinstance(said, dict) else said
        raise CallFailed(f"batch: HTTP {response.get('status_code')}: {reason}")
    return json.dumps(response.get("body")).encode()
