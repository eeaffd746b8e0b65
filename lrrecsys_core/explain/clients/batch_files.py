"""OpenAI Batch files: requests out in shards, answers in by ``custom_id``; ``vllm run-batch`` reads the same files."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.completions import CallFailed, read_answer, reason_of
from lrrecsys_core.explain.clients.endpoint import Endpoint
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.store import ExplanationStore

SHARD_LINES = 50_000
SHARD_BYTES = 180_000_000  # hosted services take 200 MB a file
AWAITED = "exported to a batch file, no answer yet"
_BROKEN = "\udcff"  # in place of bytes that cannot be decoded: no text that could be holds it
_UNDECODABLE = object()


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Mark bytes that are none of the encoding, so that their line alone is lost."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _BROKEN, error.end


codecs.register_error("lrrecsys.mark", _mark)


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
        Lines whose ``custom_id`` the store does not know, and those with one that is none of ours.
    unreadable
        Lines that are not whole JSON objects with a ``custom_id``, and undecodable ones.
    awaited
        Exported requests of which no file has said anything: export and ask them again.
    undecodable
        Of the unreadable lines, those that hold bytes which are none of the file's encoding.
    """

    answered: int = 0
    failed: int = 0
    repeated: int = 0
    unknown: int = 0
    unreadable: int = 0
    awaited: int = 0
    undecodable: int = 0


def import_batch(files: Sequence[str | Path], store: ExplanationStore) -> Imported:
    """Read output and error files, in any order and as many as there are, into the store the requests came from.

    A file holds one JSON object a line, or one array of them, in UTF-8, UTF-16 or UTF-32, compressed by gzip or not. No
    line ends the import: each is counted as one of the kinds of :class:`Imported`. Of a line that is in another
    encoding nothing is stored, since the answer in it would be damaged for good.

    Raises
    ------
    InputError
        When a file cannot be read.
    """
    report = Imported()
    for name in files:
        try:
            with store.together():
                for row in _rows(Path(name)):
                    _settle(row, store, report)
        except OSError as error:
            raise InputError(f"{name} cannot be read ({error.strerror}): name result files of a batch run") from error
    report.awaited = dict(store.failures()).get(AWAITED, 0)
    return report


def _rows(path: Path) -> Iterator[object]:
    """What the lines of a file hold; None for one that is no whole JSON, and where a compressed file breaks off.

    `_UNDECODABLE` stands for a line that is not in the file's encoding.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else path.open("rb") as file:
        try:
            encoding = json.detect_encoding(file.peek(4)[:4])
            text = io.TextIOWrapper(file, encoding, errors="lrrecsys.mark")
            first = text.readline()
            lines: Iterable[str] = chain([first], text)
            if first.lstrip().startswith("[") and _parsed(first) is None:  # an array over many lines
                whole = first + text.read()
                lines = [whole] if _parsed(whole) is not None else whole.split("\n")
            for line in filter(None, (line.strip("\ufeff \t\r\n") for line in lines)):
                row = _UNDECODABLE if _BROKEN in line else _parsed(line)
                yield from row if row and isinstance(row, list) else [row]
        except (EOFError, zlib.error, gzip.BadGzipFile):
            yield None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _settle(row: object, store: ExplanationStore, report: Imported) -> None:
    key = row.get("custom_id") if isinstance(row, dict) else None
    if not isinstance(row, dict) or key is None:
        report.unreadable += 1
        report.undecodable += row is _UNDECODABLE
        return
    if not re.fullmatch("[0-9a-fA-F]{32}", str(key)):
        report.unknown += 1
        return
    try:
        result = read_answer(_body(row), str(key))
    except CallFailed as failure:
        result = Result(str(key), None, "error", error=f"batch: {failure}")
    match store.settle(result):
        case None:
            report.unknown += 1
        case False:
            report.repeated += 1
        case True if result.text is None:
            report.failed += 1
        case True:
            report.answered += 1


def _body(row: dict[str, Any]) -> object:
    """Body of the answer in a line of an output or error file, in the envelope of OpenAI's or of another service.

    Raises
    ------
    CallFailed
        When the line tells of a failure.
    """
    response, error = row.get("response", row.get("result")), row.get("error")
    status: object = 200
    body = response
    if isinstance(response, dict):
        status = response.get("status_code") or 200
        body = response.get("body", response.get("message", response))
        error = response.get("error") if _blank(error) and "body" not in response else error
        if _blank(error) and str(response.get("type")) in ("errored", "expired", "canceled"):
            error = response["type"]
    if not _blank(error) or not re.fullmatch(r"2[0-9][0-9](\.0)?", str(status)):
        why = reason_of(body if _blank(error) else error)
        raise CallFailed(why if str(status) == "200" else f"HTTP {status}: {why}")
    if body is None:
        raise CallFailed("there is neither an answer nor an error")
    return body


def _blank(error: object) -> bool:
    """Whether an error says nothing: services write it empty in every form beside an answer."""
    return all(map(_blank, error.values())) if isinstance(error, dict) else error in (None, "", [], False, 0)
