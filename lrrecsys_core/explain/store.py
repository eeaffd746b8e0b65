"""Every answer ever paid for, found again by the hash of its whole request; stored text is the artefact of record."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import finalize

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.llm import LLM, Request, Result
from lrrecsys_core.explain.sqlite_files import Connection, application_id, beside, connect, lock, unsettled, uri

SCHEMA_VERSION = 2
OPEN = 0x6C72  # the file's application_id while it is written
MOST_TOKENS = 2**31  # no prompt has more: what claims to is no count
LOOKUP = 900  # below the 999 placeholders that the oldest SQLite builds accept
COLUMNS = "key, request, text, finish_reason, prompt_tokens, completion_tokens, error, odds, attempts, seconds, created"

SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, template TEXT NOT NULL, client TEXT NOT NULL,
    UNIQUE (model, template, client)
);
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, source INTEGER NOT NULL REFERENCES sources (id),
    request BLOB, text TEXT, finish_reason TEXT NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, error TEXT, odds TEXT, attempts INTEGER NOT NULL, seconds REAL NOT NULL,
    created REAL NOT NULL
);
"""

# An answer, once stored, stays; a failure gives way to an answer or to a later failure.
KEEP_FIRST_ANSWER = """
ON CONFLICT (key) DO UPDATE SET
    source = excluded.source, text = excluded.text, finish_reason = excluded.finish_reason,
    prompt_tokens = excluded.prompt_tokens, completion_tokens = excluded.completion_tokens, error = excluded.error,
    odds = excluded.odds, attempts = answers.attempts + excluded.attempts, seconds = excluded.seconds,
    created = excluded.created
WHERE answers.text IS NULL
"""


class Answers(ABC):
    """Answers that are looked up by their keys, wherever they lie."""

    @abstractmethod
    def _rows(self, keys: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Key, text, reason of its end and odds as JSON for each of the keys that is there."""

    def answers(self, keys: Sequence[str]) -> dict[str, tuple[str | None, str]]:
        """Stored answers by key with the reason why each ended; None where a failure is recorded."""
        return {key: (text, reason) for key, text, reason, _ in self._rows(keys)}

    def texts(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Stored answers by key; None where a failure is recorded; absent keys are left out."""
        return {key: text for key, (text, _) in self.answers(keys).items()}

    def odds(self, keys: Sequence[str]) -> dict[str, dict[str, float]]:
        """Probabilities of the choices, by key, of the answers that were stored with any."""
        return {key: json.loads(odds) for key, _, _, odds in self._rows(keys) if odds}


class ExplanationStore(Answers):
    """Answers in an SQLite file: many readers, one writer, each result durable before the next call starts.

    While it is written, and after a writer was killed, the newest answers are in a file beside it whose name ends in
    ``-wal``; a store that was closed is one file. A store moved without that file says so.

    Parameters
    ----------
    path
        The SQLite file; made (with its folder) when writing and missing.
    write
        False opens an existing store for reading only, also while another process writes.
    keep_requests
        Keep the prompts (compressed) beside the answers; without them an answer is still found by its key.

    Raises
    ------
    InputError
        When the file is no store of ours, is missing for reading, has a writer already, or was moved without its -wal;
        and whenever it cannot be read or written: what it holds stays.
    """

    def __init__(self, path: str | Path, *, write: bool = True, keep_requests: bool = True) -> None:
        self.path = Path(os.path.realpath(path))  # one lock, whatever name a file is called by
        self.writable = write
        self._keep_requests = keep_requests
        self._sources: dict[tuple[str, str, str], int] = {}
        self._check_file()
        with ExitStack() as opened:
            held = opened.enter_context(closing(lock(self.path))) if write else None
            self._check_whole()
            self._db = opened.enter_context(closing(connect(self.path, write=write)))
            self._check_schema()
            opened.pop_all()
            self._close = finalize(self, _close, self._db, held)  # however the store is let go of
            opened.callback(self._close)
            if write:
                self._begin()
            opened.pop_all()

    def _check_file(self) -> None:
        if self.path.exists() and not self.path.is_file():
            raise InputError(f"{self.path} is no file, and a store is one file: name a file")
        if not self.writable and not self.path.is_file():
            raise InputError(f"{self.path} does not exist: name a store made by 'lrrecsys explain run'")
        if self.writable and self.path.is_file() and self.path.stat().st_nlink > 1:
            raise InputError(
                f"{self.path} is one file under several names (hard links), which two processes could write to "
                "without knowing of each other: copy it, or remove the other names"
            )
        if self.writable:
            self.path.parent.mkdir(parents=True, exist_ok=True)

    def _check_whole(self) -> None:
        """Refuse a file that says it is open while what was written last, in its -wal, is not beside it."""
        wal = beside(self.path, "-wal")
        if wal.exists() or not self.path.is_file() or not self.path.stat().st_size:
            return
        if application_id(self.path) == OPEN and not wal.exists():
            raise InputError(
                f"{self.path} was moved without {wal.name}, which has the newest answers since its writer was killed: "
                f"move {wal.name} beside it, or, if that is gone, make an empty file of this name to ask them anew"
            )

    def _check_schema(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables and not self.writable:
            raise InputError(f"{self.path} holds nothing yet: fill it by 'lrrecsys explain run'")
        if tables and (version not in (1, SCHEMA_VERSION) or "answers" not in tables):
            raise InputError(
                f"{self.path} is not an explanation store (schema version {version}, expected {SCHEMA_VERSION}): "
                "name another file"
            )
        if version == 1 and not self.writable:
            ExplanationStore(self.path).close()
        self._db.execute("PRAGMA cache_size = -65536")

    def _begin(self) -> None:
        """Make ready for writing and mark the file as open."""
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version != SCHEMA_VERSION:  # at once, so that a kill leaves either form
            older = "ALTER TABLE answers ADD COLUMN odds TEXT;" if version == 1 else ""  # before answers had odds
            self._db.executescript(f"BEGIN; {older} {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT")
        self._db.execute("PRAGMA synchronous = NORMAL")
        if self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal":
            self._db.execute(f"PRAGMA application_id = {OPEN}")
            self._db.execute("PRAGMA wal_checkpoint")  # the mark reaches the file only once its -wal is there

    def __enter__(self) -> ExplanationStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Make the store one file again, close it and let the next writer in."""
        self._close()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM answers").fetchone()[0])

    def _rows(self, keys: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), LOOKUP):
            part = [bytes.fromhex(key) for key in keys[start : start + LOOKUP]]
            query = f"SELECT key, text, finish_reason, odds FROM answers WHERE key IN ({','.join('?' * len(part))})"
            yield from ((key.hex(), *said) for key, *said in self._db.execute(query, part))

    def _source(self, model: str, template: str, client: str) -> int:
        source = (model, template, client)
        if source not in self._sources:
            self._db.execute("INSERT OR IGNORE INTO sources (model, template, client) VALUES (?, ?, ?)", source)
            where = "SELECT id FROM sources WHERE model = ? AND template = ? AND client = ?"
            self._sources[source] = self._db.execute(where, source).fetchone()[0]
        return self._sources[source]

    def add(self, request: Request, result: Result, llm: LLM) -> None:
        """Record one result durably: an answer already stored under the key stays."""
        said = _said(result) | {
            "key": bytes.fromhex(result.key),
            "source": self._source(llm.model, request.template, llm.name),
            "request": pack(request) if self._keep_requests else None,
            "attempts": 1,
            "seconds": result.seconds,
        }
        self._db.execute(
            f"INSERT INTO answers ({', '.join(said)}) VALUES ({', '.join(f':{name}' for name in said)}) "
            + KEEP_FIRST_ANSWER,
            said,
        )

    def settle(self, result: Result) -> bool | None:
        """Give an answer, or the reason of a failure, to a request the store knows: how batch files come in.

        Returns True when it was taken, False when there is an answer already, None when the key is unknown.
        """
        said = _said(result)
        key = bytes.fromhex(result.key)
        changed = self._db.execute(
            f"UPDATE answers SET {', '.join(f'{name} = :{name}' for name in said)} WHERE key = :key AND text IS NULL",
            said | {"key": key},
        ).rowcount
        if changed:
            return True
        return False if self._db.execute("SELECT 1 FROM answers WHERE key = ?", (key,)).fetchone() else None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make what is written inside durable all at once, for work that can be done again; read as of one moment."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # SQLite has taken it back itself where the disk was full
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def rows(self, *, ordered: bool = False, every: int = 1) -> Iterator[dict[str, object]]:
        """Every row as a dictionary, the request unpacked; sorted by key where equal contents must come out equally.

        With `every` above 1 a sample: one row in so many, in the order they came.
        """
        columns = f"{COLUMNS}, model, template, client"
        query = f"SELECT {columns} FROM answers JOIN sources ON sources.id = answers.source"
        query += f" WHERE answers.id % {int(every)} = 0"
        names = columns.split(", ")
        for values in self._db.execute(query + (" ORDER BY key" if ordered else "")):
            row = dict(zip(names, values, strict=True))
            row["key"] = row["key"].hex()
            row["request"] = zlib.decompress(row["request"]).decode() if row["request"] else None
            yield row

    @property
    def keeps_requests(self) -> bool:
        """Whether the prompt of every answer is kept beside it."""
        query = "SELECT EXISTS (SELECT 1 FROM answers WHERE request IS NULL AND text IS NOT NULL)"
        return not self._db.execute(query).fetchone()[0]

    @property
    def parts(self) -> list[Path]:
        """The files that must be moved together: one for a store that was closed."""
        return [self.path, *unsettled(self.path)]

    def answered(self, model: str) -> bool:
        """Whether there is any answer of a model (identifier with revision)."""
        query = "SELECT 1 FROM answers JOIN sources ON sources.id = source WHERE model = ? AND text NOT NULL LIMIT 1"
        return self._db.execute(query, (model,)).fetchone() is not None

    def asked(self) -> set[tuple[str, str]]:
        """Who was asked what: identifier, with revision, of the model and name of the template."""
        return set(self._db.execute("SELECT DISTINCT model, template FROM sources"))

    def counts(self) -> list[dict[str, object]]:
        """Answers, failures and tokens by model and template: what ``lrrecsys explain status`` prints."""
        names = ["model", "template", "client", "answered", "failed", "truncated", "prompt_tokens", "completion_tokens"]
        query = (
            "SELECT model, template, client, count(text), count(*) - count(text), sum(finish_reason = 'length'), "
            "CAST(total(prompt_tokens) AS INTEGER), CAST(total(completion_tokens) AS INTEGER) "
            "FROM answers JOIN sources ON sources.id = answers.source GROUP BY source ORDER BY model, template, client"
        )
        return [dict(zip(names, values, strict=True)) for values in self._db.execute(query)]

    def failures(self) -> list[tuple[str, int]]:
        """Reasons of the recorded failures with their counts, most frequent first."""
        query = "SELECT error, count(*) FROM answers WHERE text IS NULL GROUP BY error ORDER BY 2 DESC, 1"
        return [(str(error), int(count)) for error, count in self._db.execute(query)]

    def merge(self, others: Iterable[str | Path]) -> int:
        """Take in the rows of other stores; where both have an answer ours stays. Returns the number of new rows."""
        before = len(self)
        for other in others:
            ExplanationStore(other, write=False).close()  # one clear sentence when it is not a store
            self._db.execute("ATTACH ? AS other", (uri(Path(os.path.realpath(other))),))
            try:
                with self.together():
                    self._db.execute(
                        "INSERT OR IGNORE INTO sources (model, template, client) "
                        "SELECT model, template, client FROM other.sources"
                    )
                    self._db.execute(
                        f"INSERT INTO answers ({COLUMNS}, source) "
                        f"SELECT {', '.join(f'a.{name}' for name in COLUMNS.split(', '))}, ours.id "
                        "FROM other.answers a JOIN other.sources theirs ON theirs.id = a.source "
                        "JOIN main.sources ours USING (model, template, client) WHERE true " + KEEP_FIRST_ANSWER
                    )
            finally:
                self._db.execute("DETACH other")
        return len(self) - before


def _close(db: Connection, held: sqlite3.Connection | None) -> None:
    """Bring everything into the one file, as far as that is possible now, and let go of it."""
    with ExitStack() as after:
        if held is not None:
            after.enter_context(closing(held))
            try:
                db.execute("PRAGMA busy_timeout = 1000")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                db.execute("PRAGMA application_id = 0")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                db.execute("PRAGMA journal_mode = DELETE")
            except InputError:  # a full disk, or somebody reading: a reader of ours keeps the -wal beside the file
                with suppress(InputError):
                    after.enter_context(closing(connect(db.path))).execute("SELECT 1 FROM sources").fetchone()
        db.close()


def storable(text: str | None) -> str | None:
    """The text with what UTF-8 cannot carry (lone surrogates) replaced; everything else stays as received."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _said(result: Result) -> dict[str, object]:
    """A result in columns, whatever a client may have put into it."""
    return {
        "text": storable(result.text),
        "finish_reason": storable(str(result.finish_reason or "stop")),
        "prompt_tokens": _count(result.prompt_tokens),
        "completion_tokens": _count(result.completion_tokens),
        "error": storable(result.error),
        "odds": json.dumps(result.odds) if result.odds else None,
        "created": time.time(),
    }


def _count(tokens: object) -> int:
    return tokens if isinstance(tokens, int) and 0 <= tokens < MOST_TOKENS else 0


def pack(request: Request) -> bytes:
    """The request as compressed JSON: messages and sampling."""
    whole = {
        "messages": request.messages, "max_tokens": request.max_tokens,
        "temperature": request.temperature, "stop": request.stop,
    }  # fmt: skip
    return zlib.compress(json.dumps(whole, separators=(",", ":")).encode(), 1)
