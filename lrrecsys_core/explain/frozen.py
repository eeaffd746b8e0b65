"""A store as Parquet files with a manifest: what travels to another machine and rebuilds every table without an LLM."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.answers import Answer, asked
from lrrecsys_core.explain.checks import prompt_of
from lrrecsys_core.explain.clients.formats import known_llm, split_revision
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.generate import explain_records, item_profiles
from lrrecsys_core.explain.llm import LLM, Request, Result
from lrrecsys_core.explain.prompts import VARIANTS, record_requests
from lrrecsys_core.explain.store import ExplanationStore

FORMAT = "lrrecsys-explanations-1"
ROWS_PER_FILE = 500_000
SAMPLE = 256  # records looked up to tell whether a store was asked about all of them
FRAME_SCHEMA = {
    "key": pl.String, "model": pl.String, "template": pl.String, "client": pl.String, "request": pl.String,
    "text": pl.String, "finish_reason": pl.String, "prompt_tokens": pl.Int64, "completion_tokens": pl.Int64,
    "error": pl.String, "attempts": pl.Int64, "seconds": pl.Float64, "created": pl.Float64,
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
    rows = store.rows(ordered=True)
    files: dict[str, str] = {}
    while part := list(islice(rows, ROWS_PER_FILE)):
        path = folder / f"answers-{len(files):04d}.parquet"
        pl.DataFrame(part, schema=FRAME_SCHEMA).write_parquet(path, compression="zstd")
        files[path.name] = sha256(path.read_bytes()).hexdigest()
    counts = store.counts()
    manifest: dict[str, object] = {
        "format": FORMAT,
        "rows": len(store),
        "answered": sum(int(str(row["answered"])) for row in counts),
        "failed": sum(int(str(row["failed"])) for row in counts),
        "failures": dict(store.failures()),
        "sources": counts,
        "files": files,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


class FrozenStore:
    """Answers read from a frozen folder; nothing is ever asked or added.

    Parameters
    ----------
    folder
        A folder written by :func:`freeze`.

    Raises
    ------
    InputError
        When the folder has no manifest, is of another format, or a file is missing or changed.
    """

    writable = False

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = self.folder / "manifest.json"
        if not manifest.is_file():
            raise InputError(f"{self.folder} has no manifest.json: name a folder made by 'lrrecsys explain freeze'")
        self.manifest = json.loads(manifest.read_text())
        if self.manifest.get("format") != FORMAT:
            raise InputError(f"{manifest} is of format {self.manifest.get('format')!r}: expected {FORMAT!r}")
        for name, expected in self.manifest["files"].items():
            path = self.folder / Path(name).name
            if not path.is_file() or sha256(path.read_bytes()).hexdigest() != expected:
                raise InputError(f"{path} is missing or differs from its manifest: copy the frozen folder again")
        paths = [self.folder / Path(name).name for name in sorted(self.manifest["files"])]
        columns = ["key", "text", "finish_reason"]
        frame = pl.concat([pl.read_parquet(path, columns=columns) for path in paths]) if paths else None
        frame = pl.DataFrame(schema=dict.fromkeys(columns, pl.String)) if frame is None else frame
        self._keys = frame["key"].set_sorted()
        self._said = frame.select("text", "finish_reason")

    def __len__(self) -> int:
        return len(self._keys)

    def answers(self, keys: Sequence[str]) -> dict[str, tuple[str | None, str]]:
        """Stored answers by key with the reason why each ended; None where a failure is recorded."""
        if not len(self) or not keys:
            return {}
        wanted = pl.Series(list(keys), dtype=pl.String)
        places = self._keys.search_sorted(wanted).clip(0, len(self) - 1)
        there = pl.DataFrame({"key": wanted, "found": self._keys.gather(places)})
        rows = pl.concat([there, self._said[places]], how="horizontal").iter_rows()
        return {key: (text, reason) for key, found, text, reason in rows if key == found}

    def texts(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Stored answers by key; None where a failure is recorded; absent keys are left out."""
        return {key: text for key, (text, _) in self.answers(keys).items()}

    def models(self) -> set[str]:
        """Identifiers, with revision, of the models that were asked."""
        return {source["model"] for source in self.manifest["sources"]}

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


@dataclass(frozen=True)
class Recorded:
    """Stands for an LLM whose answers are all stored: names the row and the keys, and is never asked.

    Parameters
    ----------
    name
        Shown in tables.
    model
        Identifier with revision, as it was when the answers were made.
    """

    name: str
    model: str

    def complete(self, requests: object) -> Iterator[Result]:
        """Refused: there is no LLM here.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError(f"{self.name} stands for stored answers only: open its store for reading, or name a real LLM")


def recorded_explanations(split: Split, path: str | Path, model: str, variant: str = "full") -> Explanations:
    """Texts of every record from a store alone: how a row of Table 4 is rebuilt where there is no LLM.

    Corrected answers are preferred where the store holds any.

    Parameters
    ----------
    split
        The records.
    path
        A frozen folder, or an SQLite store.
    model
        Short name of one of the paper's LLMs, or the identifier the answers were made with. The revision behind "@" may
        be left out where the store holds only one.
    variant
        One of :data:`lrrecsys_core.explain.prompts.VARIANTS`.

    Raises
    ------
    InputError
        When the store cannot be read, or holds none of the answers, or those of several revisions.
    """
    with closing(open_store(path)) as store:
        return explain_records(split, _recorded(store.models(), model), variant, store=store, second_try=True)


def recorded_profiles(split: Split, path: str | Path, model: str) -> list[str]:
    """Stored profile of each row of ``split.dataset.items`` (Sec 3.6), its name where there is none.

    Parameters
    ----------
    split, path, model
        As in :func:`recorded_explanations`.
    """
    with closing(open_store(path)) as store:
        return item_profiles(split, _recorded(store.models(), model), store=store)


def recorded_answers(split: Split, path: str | Path, model: str, variant: str = "full") -> Iterator[Answer]:
    """What a store holds of a split in a variant, or of its "profile"s, as the LLM wrote it and before second tries.

    Parameters
    ----------
    split, path, model
        As in :func:`recorded_explanations`.
    """
    with closing(open_store(path)) as store:
        llm = _recorded(store.models(), model)
        profiles = None if variant in ("profile", "no_profile") else item_profiles(split, llm, store=store)
        for slot, requests in asked(split, variant, profiles):
            while chunk := list(islice(requests, SAMPLE)):
                keys = [request.key(llm.model) for request in chunk]
                found = store.answers(list(dict.fromkeys(keys)))
                for request, key in zip(chunk, keys, strict=True):
                    if key in found:
                        text, reason = found[key]
                        yield Answer(llm.name, slot, prompt_of(request.messages), text or "", reason)


def stored_variants(split: Split, path: str | Path, model: str) -> frozenset[str]:
    """The variants for which a store was asked about every record, by a sample of them: what its rows can be made of.

    A trial of the first records does not count, nor does a variant without any answer; failures do.

    Parameters
    ----------
    split, path, model
        As in :func:`recorded_explanations`.

    Raises
    ------
    InputError
        When the store cannot be read, or holds answers of several revisions of the model.
    """
    with closing(open_store(path)) as store:
        llm = _recorded(store.models(), model)
        looked_up = ((variant, *_sampled(split, store, llm, variant)) for variant in VARIANTS)
        return frozenset(variant for variant, unasked, answers in looked_up if not unasked and answers)


def holds(path: str | Path, model: str) -> bool:
    """Whether there is a store that was asked anything of a model; the revision behind "@" may be left out."""
    return any(model in (name, split_revision(name)[0]) for name in _asked(Path(path)))


def recorded_model(path: str | Path, model: str) -> str:
    """Identifier and revision with which a store's answers were made.

    Parameters
    ----------
    path, model
        As in :func:`recorded_explanations`.
    """
    return _recorded(_asked(Path(path)), model).model


def _asked(path: Path) -> set[str]:
    """The models that a store was asked anything of; empty where there is no store."""
    manifest = path / "manifest.json"
    if manifest.is_file():  # reading the answers would take longer than the question is worth
        return {source["model"] for source in json.loads(manifest.read_text()).get("sources", ())}
    if not path.is_file():
        return set()
    with closing(ExplanationStore(path, write=False)) as store:
        return store.models()


def _sampled(split: Split, store: ExplanationStore | FrozenStore, llm: Recorded, variant: str) -> tuple[int, int]:
    """Of the prompts about a sample of the records, how many were never asked and how many are answered."""
    profiles = None if variant == "no_profile" else item_profiles(split, llm, store=store)
    sample = np.unique(np.linspace(0, len(split.user) - 1, SAMPLE).astype(int))
    keys = {
        request.key(llm.model)
        for slot in VARIANTS[variant]
        for request in record_requests(split, profiles, variant, slot, sample)
    }
    found = store.texts(list(keys))
    return len(keys) - len(found), sum(text is not None for text in found.values())


def _recorded(models: set[str], model: str) -> Recorded:
    """The model as the store that was asked these knows it: with the revision it was pinned to."""
    known = known_llm(model)
    held = {name for name in models if split_revision(name)[0] == known.model}
    if known.revision or not held:
        return Recorded(known.name, known.pinned)
    if len(held) > 1:
        raise InputError(
            f"the store holds answers of {' and '.join(sorted(held))}: keep each revision in a store of its own"
        )
    return Recorded(known.name, held.pop())


def open_store(path: str | Path) -> ExplanationStore | FrozenStore:
    """A frozen folder, or an SQLite store for reading."""
    return FrozenStore(path) if Path(path).is_dir() else ExplanationStore(path, write=False)
