"""Text sets as units of work: made once, kept under results/<run>/texts, told apart by what decides them.

Rows that share their texts share the work, and an interrupted study loses at most one text set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from lrrecsys_core import paths, rows
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError, NothingToRead
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.recorded import EXPECTED
from lrrecsys_core.explain.source import Source
from lrrecsys_core.models.autoencoder import AutoEncoder, TextCodes, Vocabulary
from lrrecsys_core.models.whitening import Whitening, named_arrays, read_maps
from lrrecsys_core.rows import Row, Texts
from lrrecsys_core.source_code import code_hash
from lrrecsys_core.study.fingerprints import TEXT_CODE, array_hash, content_hash, plain, split_hash
from lrrecsys_core.study.run import Run
from lrrecsys_core.study.texts import TextSet, make_text_set

Codes = dict[str, NDArray[np.int32]]  # slot -> sentence of each record

_SHIFTED: Final = "shifted "  # begins the columns of a set's file that are about the other environment
RATINGS: Final = ("direct", EXPECTED)  # variants whose texts are the writer's own ratings, which no network reads


@dataclass(frozen=True)
class TextJob:
    """One text set of a run: whose texts, about which data."""

    run: Run
    dataset: str
    texts: Texts
    replicate: int
    fraction: float

    @property
    def source(self) -> Source:
        """Where the texts come from: the row's own source, or the data set's."""
        assert self.texts.source is not None
        return self.texts.source

    @property
    def split(self) -> Split:
        """The split whose records are explained."""
        return self.run.split(self.dataset, self.replicate, self.fraction)

    @property
    def key(self) -> str:
        """Content hash of everything the texts and their codes depend on."""
        embedder = self.source.embedder() if self.texts.raw else None
        return content_hash(
            {
                "split": split_hash(self.split),
                "texts": plain(self.texts) | {"source": self.source.key()},
                "shifted": self._shifted(),
                "seed": self.run.seeds[self.replicate],
                "epochs": self.run.profile.autoencoder_epochs,
                "strict": self.run.profile.paper_strict,
                "embedder": embedder and embedder.identity,
                "code": code_hash(("study.texts",), TEXT_CODE),
            }
        )

    @property
    def folder(self) -> Path:
        """results/<run>/texts."""
        return self.run.folder / "texts"

    @property
    def content(self) -> str | None:
        """Hash of the kept texts and codes, which cells that read them are filed under; None if not kept whole."""
        folder, key = self.folder, self.key
        done = folder / f"{key}.json"
        parts = ["whitening.safetensors", "codes.parquet", "sentences.parquet"]
        parts += [] if self.texts.raw or self.texts.variant in RATINGS else ["safetensors", "words.json"]
        if not all(paths.sound(folder / f"{key}.{part}") for part in ["json", *parts]):
            return None
        return _content(done, done.stat().st_mtime_ns)

    def explanations(self) -> Explanations:
        """The texts alone: read from the kept set where there is one, otherwise asked for without keeping them."""
        if self.content is None:
            return self.source.explanations(self.split, self.texts.variant)
        about, codes, _ = _load_codes(self.folder, self.key)
        sentences = pl.read_parquet(self.folder / f"{self.key}.sentences.parquet", columns=["sentence"]).to_series()
        # Those of a shifted environment come last; no record of this one holds them.
        own = 1 + max(int(held.max(initial=0)) for held in codes.values())
        return Explanations(about["explainer"], self.texts.variant, tuple(sentences[:own]), codes)

    @property
    def nothing(self) -> str:
        """Why there is nothing to read in these texts, as found when the set was to be made; "" where there is."""
        note = self.folder / f"{self.key}.nothing.json"
        return str(json.loads(note.read_text(encoding="utf-8"))) if paths.sound(note) else ""

    def text_set(self) -> TextSet:
        """The kept text set, made if missing.

        Raises
        ------
        NothingToRead
            Real data have next to nothing written about them, such as a table of users, items and ratings alone.
        InputError
            The texts are not at hand; or the code collapsed on a market, where that is a fault of ours.
        """
        if self.content is not None:
            return _load(self.folder, self.key)
        if self.nothing:
            raise NothingToRead(self.nothing)
        if self.texts.variant in RATINGS:
            made = _as_told(self.explanations(), self.source.llm)
            _save(self.folder, self.key, made, None)
            return made
        profile, seed = self.run.profile, self.run.seeds[self.replicate]
        try:
            made, coder = make_text_set(
                self.split, self.texts, seed=seed, epochs=profile.autoencoder_epochs, with_shift=self._shifted(),
                strict=profile.paper_strict,
            )  # fmt: skip
        except NothingToRead as error:
            if self.run.simulated:
                raise InputError(f"{self.dataset}, seed {seed}, texts of {self.source}: {error}") from error
            paths.write_json(self.folder / f"{self.key}.nothing.json", str(error))
            raise
        _save(self.folder, self.key, made, coder)
        return made

    def compute(self) -> None:
        """Make and keep the text set."""
        self.text_set()

    def _shifted(self) -> bool:
        """Whether some row is evaluated under a shift by these texts, whichever row asked for them first.

        Nobody but a reasoner can be asked about a market that has moved.
        """
        if not (self.run.simulated and self.source.answers_prompts) or self.dataset.startswith(rows.NULL_PREFIX):
            return False
        moved = (text_job(self.run, self.dataset, row, self.replicate) for row in rows.ROWS if row.shifted)
        return any(other == self for other in moved)


def text_job(run: Run, name: str, row: Row, replicate: int) -> TextJob:
    """The text set that a row reads in one replicate of a data set."""
    assert row.texts is not None
    slots, variant = row.texts.slots, row.texts.variant
    source = row.texts.source_on(run.data(name)[0], row.fraction)
    if variant == "full":
        slots = ("positive", "negative")  # "positive only" reads one slot of the same set
    # Networks with and without the whitening read the same set, too.
    texts = replace(row.texts, source=source, slots=slots, whitened=True)
    return TextJob(run, name, texts, replicate, row.fraction)


def _as_told(told: Explanations, llm: str) -> TextSet:
    """Texts without a code, which therefore may be about test records alone."""
    no_codes = np.zeros((len(told.sentences), 1))
    maps = {slot: Whitening.of(no_codes) for slot in told.codes}
    return TextSet(told.explainer, tuple(told.sentences), no_codes, dict(told.codes), {}, maps, {"note": ""}, llm)


@lru_cache(maxsize=4096)
def _content(done: Path, _written: int) -> str:
    return str(json.loads(done.read_text(encoding="utf-8"))["content"])


def _save(folder: Path, key: str, made: TextSet, coder: TextCodes | None) -> None:
    """Keep a text set; its last file marks it complete."""
    if coder is not None:
        with paths.replacing(folder / f"{key}.safetensors") as partial:
            tensors = {name: value.contiguous() for name, value in coder.model.state_dict().items()}
            save_file(tensors | {"centre": coder.centre, "spread": coder.spread.reshape(1)}, partial)
        paths.write_json(folder / f"{key}.words.json", list(coder.vocabulary.words))
    maps = named_arrays(made.maps)
    with paths.replacing(folder / f"{key}.whitening.safetensors") as partial:
        save_file({name: torch.from_numpy(values).contiguous() for name, values in maps.items()}, partial)
    codes = made.codes | {_SHIFTED + slot: values for slot, values in made.shifted.items()}
    with paths.replacing(folder / f"{key}.codes.parquet") as partial:
        pl.DataFrame(codes).write_parquet(partial)
    with paths.replacing(folder / f"{key}.sentences.parquet") as partial:
        pl.DataFrame({"sentence": made.sentences, "embedding": made.embeddings}).write_parquet(partial)
    about: dict[str, Any] = {"explainer": made.explainer, "llm": made.llm, "report": made.report}
    content = content_hash([array_hash(codes | maps | {"embeddings": made.embeddings}), made.sentences, about])
    paths.write_json(folder / f"{key}.json", about | {"content": content})


def _load(folder: Path, key: str) -> TextSet:
    about, codes, shifted = _load_codes(folder, key)
    sentences = pl.read_parquet(folder / f"{key}.sentences.parquet")
    maps = read_maps(load_file(folder / f"{key}.whitening.safetensors"), tuple(codes))
    embeddings = np.stack(sentences["embedding"].to_list())
    told = tuple(sentences["sentence"].to_list())
    return TextSet(about["explainer"], told, embeddings, codes, shifted, maps, about["report"], about["llm"])


def _load_codes(folder: Path, key: str) -> tuple[dict[str, Any], Codes, Codes]:
    """What is said about a kept set, and which record holds which sentence: as it is, and in the other environment."""
    about = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))
    kept = pl.read_parquet(folder / f"{key}.codes.parquet")
    own: Codes = {}
    moved: Codes = {}
    for name in kept.columns:
        slot = name.removeprefix(_SHIFTED)
        (own if slot == name else moved)[slot] = kept[name].to_numpy()
    return about, own, moved


def load_coder(job: TextJob) -> TextCodes:
    """The autoencoder of a kept text set, for sentences written later."""
    folder, key = job.folder, job.key
    words = json.loads((folder / f"{key}.words.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / f"{key}.safetensors")
    centre, spread = tensors.pop("centre"), tensors.pop("spread")[0]
    model = AutoEncoder(len(words))
    model.load_state_dict(tensors)
    facts = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))["report"]
    known = {name: facts[name] for name in TextCodes.__dataclass_fields__ if name in facts}
    coder = TextCodes(model, Vocabulary(tuple(words)), **known)
    coder.centre, coder.spread = centre, torch.as_tensor(spread)
    return coder
