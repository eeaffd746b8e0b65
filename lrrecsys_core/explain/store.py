"""Every answer ever paid for, found again by the hash of its whole request; stored text is the artefact of record."""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.llm import LLM, Request, Result

SCHEMA_VERSION = 2
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


class ExplanationStore:
    """Answers in an SQLite file: many readers, one writer, each result durable before the next call starts.

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
        When the file is no store of ours, is missing for reading, or has a writer already.
    """

    def __init__(self, path: str | Path, *, write: bool = True, keep_requests: bool = True) -> None:
        self.path = Path(path)
        self.writable = write
        self._keep_requests = keep_requests
        self._lock = self._take_lock() if write else None
        self._sources: dict[tuple[str, str, str], int] = {}
        if not write and not self.path.is_file():
            raise InputError(f"{self.path} does not exist: name a store made by 'lrrecsys explain run'")
        self._db = sqlite3.connect(self.path, isolation_level=None, timeout=60)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self.close()
            raise InputError(f"{self.path} is not an explanation store ({error}): name another file") from error

    def _take_lock(self) -> sqlite3.Connection:
        """A transaction held open on a side file: freed by the system however the process ends, on every platform."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = sqlite3.connect(f"{self.path}.lock", isolation_level=None, timeout=0)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            lock.close()
            raise InputError(f"{self.path} is being written by another process: wait for it or stop it") from error
        return lock

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 1:  # before answers had odds
            self._db.execute("ALTER TABLE answers ADD COLUMN odds TEXT")
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            version = SCHEMA_VERSION
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if (tables or not self.writable) and (version != SCHEMA_VERSION or "answers" not in tables):
            raise sqlite3.DatabaseError(f"schema version {version}, expected {SCHEMA_VERSION}")
        self._db.execute("PRAGMA cache_size = -65536")
        if not self.writable:
            self._db.execute("PRAGMA query_only = ON")
        if self.writable:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SCHEMA)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def __enter__(self) -> ExplanationStore:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let the next writer in."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM answers").fetchone()[0])

    def answers(self, keys: Sequence[str]) -> dict[str, tuple[str | None, str]]:
        """Stored answers by key with the reason why each ended; None where a failure is recorded."""
        found: dict[str, tuple[str | None, str]] = {}
        for start in range(0, len(keys), LOOKUP):
            part = [bytes.fromhex(key) for key in keys[start : start + LOOKUP]]
            places = ",".join("?" * len(part))
            rows = self._db.execute(f"SELECT key, text, finish_reason FROM answers WHERE key IN ({places})", part)
            found.update((key.hex(), (text, reason)) for key, text, reason in rows)
        return found

    def texts(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Stored answers by key; None where a failure is recorded; absent keys are left out."""
        return {key: text for key, (text, _) in self.answers(keys).items()}

    def odds(self, keys: Sequence[str]) -> dict[str, dict[str, float]]:
        """Probabilities of the choices, by key, of the answers that were stored with any."""
        found: dict[str, dict[str, float]] = {}
        for start in range(0, len(keys), LOOKUP):
            part = [bytes.fromhex(key) for key in keys[start : start + LOOKUP]]
            places = ",".join("?" * len(part))
            rows = self._db.execute(f"SELECT key, odds FROM answers WHERE odds NOT NULL AND key IN ({places})", part)
            found.update((key.hex(), json.loads(odds)) for key, odds in rows)
        return found

    def _source(self, model: str, template: str, client: str) -> int:
        source = (model, template, client)
        if source not in self._sources:
            self._db.execute("INSERT OR IGNORE INTO sources (model, template, client) VALUES (?, ?, ?)", source)
            where = "SELECT id FROM sources WHERE model = ? AND template = ? AND client = ?"
            self._sources[source] = self._db.execute(where, source).fetchone()[0]
        return self._sources[source]

    def add(self, request: Request, result: Result, llm: LLM) -> None:
        """Record one result durably: an answer already stored under the key stays."""
        row = (
            bytes.fromhex(result.key), self._source(llm.model, request.template, llm.name),
            pack(request) if self._keep_requests else None, storable(result.text), result.finish_reason,
            result.prompt_tokens, result.completion_tokens, storable(result.error), _odds(result), result.seconds,
            time.time(),
        )  # fmt: skip
        self._db.execute(
            "INSERT INTO answers (key, source, request, text, finish_reason, prompt_tokens, completion_tokens, error, "
            f"odds, attempts, seconds, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?) {KEEP_FIRST_ANSWER}",
            row,
        )

    def settle(self, result: Result) -> bool | None:
        """Give an answer, or the reason of a failure, to a request the store knows: how batch files come in.

        Returns True when it was taken, False when there is an answer already, None when the key is unknown.
        """
        key = bytes.fromhex(result.key)
        changed = self._db.execute(
            "UPDATE answers SET text = ?, finish_reason = ?, prompt_tokens = ?, completion_tokens = ?, error = ?, "
            "odds = ?, created = ? WHERE key = ? AND text IS NULL",
            (storable(result.text), result.finish_reason, result.prompt_tokens, result.completion_tokens,
             storable(result.error), _odds(result), time.time(), key),
        ).rowcount  # fmt: skip
        if changed:
            return True
        return False if self._db.execute("SELECT 1 FROM answers WHERE key = ?", (key,)).fetchone() else None

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make what is written inside durable all at once: faster, for work that can simply be done again."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def rows(self, *, ordered: bool = False) -> Iterator[dict[str, object]]:
        """Every row as a dictionary, the request unpacked; sorted by key where equal contents must come out equally."""
        columns = f"{COLUMNS}, model, template, client"
        query = f"SELECT {columns} FROM answers JOIN sources ON sources.id = answers.source"
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

    def asked(self) -> set[tuple[str, str]]:
        """Who was asked what: identifier, with revision, of the model and name of the template."""
        return set(self._db.execute("SELECT DISTINCT model, template FROM sources"))

    def counts(self) -> list[dict[str, object]]:
        """Answers, failures and tokens by model and template: what ``lrrecsys explain status`` prints."""
        names = ["model", "template", "client", "answered", "failed", "truncated", "prompt_tokens", "completion_tokens"]
        query = (
            "SELECT model, template, client, count(text), count(*) - count(text), sum(finish_reason = 'length'), "
            "sum(prompt_tokens), sum(completion_tokens) FROM answers JOIN sources ON sources.id = answers.source "
            "GROUP BY source ORDER BY model, template, client"
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
            self._db.execute("ATTACH ? AS other", (str(other),))
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


def storable(text: str | None) -> str | None:
    """The text with what UTF-8 cannot carry (lone surrogates) replaced; everything else stays as received."""
    return None if text is None else text.encode("utf-8", "replace").decode()


def _odds(result: Result) -> str | None:
    return json.dumps(result.odds) if result.odds else None


def pack(request: Request) -> bytes:
    """The request as compressed JSON: messages and sampling."""
    whole = {
        "messages": request.messages, "max_tokens": request.max_tokens,
        "temperature": request.temperature, "stop": request.stop,
    }  # fmt: skip
    return zlib.compress(json.dumps(whole, separators=(",", ":")).encode(), 1)
