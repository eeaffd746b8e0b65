"""A store as Parquet files with a manifest: what travels to another machine and rebuilds every table without an LLM."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, cast

import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.llm import LLM, Request, Result
from lrrecsys_core.explain.sqlite_files import beside
from lrrecsys_core.explain.store import Answers, ExplanationStore

FORMAT = "lrrecsys-explanations-1"
ROWS_PER_FILE = 500_000
SAID = ["text", "finish_reason", "odds"]
FRAME_SCHEMA = {
    "key": pl.String, "model": pl.String, "template": pl.String, "client": pl.String, "request": pl.String,
    "text": pl.String, "finish_reason": pl.String, "prompt_tokens": pl.Int64, "completion_tokens": pl.Int64,
    "error": pl.String, "odds": pl.String, "attempts": pl.Int64, "seconds": pl.Float64, "created": pl.Float64,
}  # fmt: skip


def freeze(store: ExplanationStore, folder: str | Path) -> dict[str, object]:
    """Write a store as Parquet, sorted by key, with ``manifest.json``; returns the manifest.

    Parameters
    ----------
    store
        What to freeze.
    folder
        Where to; made when missing, refused when it holds another frozen store.

    Raises
    ------
    InputError
        When the folder already holds a frozen store.
    """
    folder = Path(folder)
    if (folder / "manifest.json").exists():
        raise InputError(f"{folder} already holds a frozen store: name an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, str] = {}
    count = 0
    with store.together():  # rows and counts are of one moment, also while a run adds to the store
        rows = store.rows(ordered=True)
        while part := list(islice(rows, ROWS_PER_FILE)):
            path = folder / f"answers-{len(files):04d}.parquet"
            with paths.naming(path):
                pl.DataFrame(part, schema=FRAME_SCHEMA).write_parquet(path, compression="zstd")
                files[path.name] = sha256(path.read_bytes()).hexdigest()
            count += len(part)
        counts, failures = store.counts(), dict(store.failures())
    manifest: dict[str, object] = {
        "format": FORMAT,
        "rows": count,
        "answered": sum(int(str(row["answered"])) for row in counts),
        "failed": sum(int(str(row["failed"])) for row in counts),
        "failures": failures,
        "sources": counts,
        "files": files,
    }
    with paths.replacing(folder / "manifest.json") as partial:
        partial.write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


class FrozenStore(Answers):
    """Answers read from a frozen folder; nothing is ever asked or added.

    Parameters
    ----------
    folder
        A folder written by :func:`freeze`.

    Raises
    ------
    InputError
        When the folder has no manifest, is of another format, a file is missing or changed, or the rows are not as many
        as the manifest says and in the order of their keys.
    """

    writable = False

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        columns = ["key", *SAID]
        parts = [pl.DataFrame(schema=dict.fromkeys(columns, pl.String))]
        for name, expected in sorted(self.manifest["files"].items()):
            path = self.folder / Path(name).name
            if not path.is_file() or sha256(path.read_bytes()).hexdigest() != expected:
                raise InputError(f"{path} is missing or differs from its manifest: copy the frozen folder again")
            there = pl.read_parquet_schema(path)  # odds are younger than the format
            parts.append(pl.read_parquet(path, columns=[name for name in columns if name in there]))
        frame = pl.concat(parts, how="diagonal")
        keys = frame["key"]
        if len(keys) != self.manifest["rows"] or keys.null_count() or not (keys[1:] > keys[:-1]).all():
            raise InputError(
                f"{self.folder} has {len(keys):,} rows where its manifest says {self.manifest['rows']}, or they are "
                "not in the order of their keys: freeze the store again"
            )
        self._keys = keys.set_sorted()
        self._said = frame.select(SAID)

    def __len__(self) -> int:
        return len(self._keys)

    def _rows(self, keys: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        if not len(self) or not keys:
            return
        wanted = pl.Series(list(keys), dtype=pl.String)
        places = self._keys.search_sorted(wanted).clip(0, len(self) - 1)
        there = pl.DataFrame({"key": wanted, "found": self._keys.gather(places)})
        for key, found, *said in pl.concat([there, self._said[places]], how="horizontal").iter_rows():
            if key == found:
                yield key, *said

    def asked(self) -> set[tuple[str, str]]:
        """Who was asked what: identifier, with revision, of the model and name of the template."""
        return asked_of(self.manifest)

    def answered(self, model: str) -> bool:
        """Whether there is any answer of a model (identifier with revision)."""
        sources = self.manifest.get("sources", ())
        return any(source["model"] == model and source["answered"] for source in sources)

    def close(self) -> None:
        """Nothing to close: everything was read when it was opened."""

    def add(self, request: Request, result: Result, llm: LLM) -> None:
        """Refused: a frozen store is the record of what was.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"{self.folder} is frozen: add answers to the store it was made from and freeze that again")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a frozen store.

    Raises
    ------
    InputError
        When the folder has none, or what it has is torn or of another format.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise InputError(f"{folder} has no manifest.json: name a folder made by 'lrrecsys explain freeze'")
    try:
        manifest = json.loads(path.read_bytes())
        found = manifest["format"]
        sound = isinstance(manifest["files"], dict) and isinstance(manifest["rows"], int)
        asked_of(manifest)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is no manifest of a frozen store: copy the frozen folder again") from error
    if found != FORMAT or not sound:
        raise InputError(f"{path} is of format {str(found)[:80]!r}: expected {FORMAT!r}")
    return cast(dict[str, Any], manifest)


def asked_of(manifest: dict[str, Any]) -> set[tuple[str, str]]:
    """The pairs of model and template that a frozen store's manifest names."""
    return {(source["model"], source["template"]) for source in manifest.get("sources", ())}


def answers_digest(path: str | Path) -> str:
    """SHA-256 of what a store, frozen or not, answers: equal for equal answers, whoever opened the file meanwhile.

    Read once for each state of its files: a store of a large release is tens of gigabytes.
    """
    place = Path(path)
    files = [place / "manifest.json"] if place.is_dir() else [place, beside(place, "-wal")]
    states = [(file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]
    return _digest(place, tuple(states))


@lru_cache(maxsize=64)
def _digest(place: Path, states: tuple[tuple[int, int], ...]) -> str:
    if place.is_dir():
        return paths.digest(place / "manifest.json")  # which has the hash of every part
    total = sha256()
    with closing(ExplanationStore(place, write=False)) as store:
        for row in store.rows(ordered=True):
            said = [row[name] for name in ("key", "model", *SAID)]
            total.update(json.dumps(said).encode())
    return total.hexdigest()


def open_store(path: str | Path) -> ExplanationStore | FrozenStore:
    """A frozen folder, or an SQLite store for reading."""
    return FrozenStore(path) if Path(path).is_dir() else ExplanationStore(path, write=False)
