"""What the system is for: rank items for a user, with both reasons and the attention paid to them (Sec 6).

A fitted model is a folder: weights and text coder as safetensors, and a JSON of everything needed to build them again.
Reasons that are stored are read; items without any are explained on the spot, after a first pass without reasons has
cut the list.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from lrrecsys_core import paths
from lrrecsys_core.data.earlier import Ints, Positions
from lrrecsys_core.data.split import HISTORY, Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.generate import Explanations
from lrrecsys_core.models.autoencoder import AutoEncoder, TextCodes, Vocabulary
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.lr_recsys import SLOTS, LRRecsys
from lrrecsys_core.models.whitening import Whitening, named_arrays, read_maps
from lrrecsys_core.study.texts import TextSet

FIRST_PASS = 50


@dataclass(frozen=True)
class Recommendation:
    """One ranked item: score in [0, 1], both reasons, and the mean attention each receives (Eq 24)."""

    item_id: str
    name: str
    score: float
    positive: str
    negative: str
    attention_positive: float
    attention_negative: float


@dataclass
class StoredReasons:
    """Reasons written beforehand, with their embeddings: one row per (user, item) pair.

    Attributes
    ----------
    pair : (P,) sorted ``user * items + item`` of the pairs that have reasons.
    sentences, embeddings : (E,) texts and (E, 8) their codes, as they come; the first stands for "none".
    codes : slot -> (P,) sentence of each pair.
    """

    pair: Ints
    sentences: tuple[str, ...]
    embeddings: NDArray[np.float64]
    codes: Mapping[str, NDArray[np.int32]]

    def find(self, pairs: Ints) -> dict[str, NDArray[np.int32]]:
        """Slot -> sentence number of each of `pairs`; 0 where none is stored."""
        if not len(self.pair):
            return {slot: np.zeros(len(pairs), dtype=np.int32) for slot in SLOTS}
        place = np.minimum(np.searchsorted(self.pair, pairs), len(self.pair) - 1)
        there = self.pair[place] == pairs
        return {slot: np.where(there, values[place], 0) for slot, values in self.codes.items()}


@dataclass
class FittedModel:
    """A trained LR-Recsys with what it needs to serve.

    Parameters
    ----------
    module : the recommender, with positive and negative tokens.
    coder : the autoencoder of its explanations.
    maps : slot -> whitening of the codes, through which the recommender reads them.
    split : whose users, items and histories are served.
    stored : reasons written beforehand.
    explain : writes the reasons that are missing, for a split whose records are the pairs asked for; None leaves such
        items without.
    """

    module: LRRecsys
    coder: TextCodes
    maps: Mapping[str, Whitening]
    split: Split
    stored: StoredReasons
    explain: Callable[[Split], Explanations] | None = None
    about: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def latest(self) -> dict[str, int]:
        """User id -> number of their last record."""
        ids = self.split.dataset.interactions["user_id"].to_numpy()[self.split.record]
        return {user: place for place, user in enumerate(ids)}  # records are sorted by user and time

    def recommend(self, user: str, k: int = 10, *, exclude_seen: bool = True) -> list[Recommendation]:
        """The k best items for a user, given everything they chose so far; none if they have met every item.

        Raises
        ------
        InputError
            If the user has no record in the data, or k is not positive.
        """
        if k < 1:
            raise InputError(f"k must be at least 1, not {k}: give the number of items you want.")
        if user not in self.latest:
            raise InputError(
                f"user {user!r} has no record in {self.split.dataset.name!r}: give one of its user ids, "
                f"for instance {next(iter(self.latest))!r}."
            )
        last = self.latest[user]
        own = self.split.item_position[self.split.user_position == self.split.user_position[last]]
        everything = np.arange(self.split.dataset.items.height)
        candidates = np.setdiff1d(everything, own) if exclude_seen else everything
        if not len(candidates):
            return []
        codes, texts, embeddings = self._reasons(last, candidates)
        if self.explain is not None and (missing := codes["positive"] == 0).any():
            blank = {slot: np.zeros((len(candidates), embeddings.shape[1]), dtype=np.float32) for slot in SLOTS}
            first = self.score(last, candidates, blank)[0]
            kept = np.sort(np.argsort(-first, kind="stable")[: max(FIRST_PASS, k)])
            candidates = candidates[kept]
            codes = {slot: values[kept] for slot, values in codes.items()}
            texts, embeddings = self._explained(last, candidates, missing[kept], codes, texts, embeddings)
        scores, attention = self.score(last, candidates, self.tokens(codes, embeddings))
        items = self.split.dataset.items
        return [
            Recommendation(
                items["item_id"][int(candidates[j])],
                items["name"][int(candidates[j])],
                float(scores[j]),
                texts[codes["positive"][j]],
                texts[codes["negative"][j]],
                float(attention[j, 0]),
                float(attention[j, 1]),
            )
            for j in np.argsort(-scores, kind="stable")[:k]
        ]

    def tokens(
        self, codes: Mapping[str, NDArray[np.integer]], embeddings: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float32]]:
        """Slot -> (n, 8) whitened codes of the sentences `codes` (n,); zeros for sentence 0, "none"."""
        return {slot: self.maps[slot](embeddings[codes[slot]], codes[slot] > 0) for slot in SLOTS}

    def score(
        self, last: int, candidates: Ints, reasons: Mapping[str, NDArray[np.float32]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (n,) and token attention (n, tokens) of `candidates` after record `last`; `reasons` slot -> (n, 8)."""
        count = len(candidates)
        history = self._history(last)
        rows = np.where(history >= 0, self.split.item_rows[history], 0)
        batch = {
            "user": np.full(count, self.split.user[last]),
            "item": self.split.item_rows[candidates],
            "history": rows[None],
            "history_mask": rows[None] > 0,
            **reasons,
        }
        if self.module.context is not None:  # an unknown context: the code 0 of every column
            unknown = np.concatenate([np.eye(size, dtype=np.float32)[0] for size in self.split.context_sizes])
            batch["context"] = np.broadcast_to(unknown, (count, len(unknown)))
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in batch.items()}
        with torch.inference_mode():
            logits, attention = self.module.score_and_attention(tensors)
        return torch.sigmoid(logits).numpy(), attention.numpy()

    def _history(self, last: int) -> Positions:
        """Positions of the last five items, the record `last` among them, padded on the left with -1."""
        chosen = [*self.split.history_position[last], self.split.item_position[last]]
        return np.array(chosen[-HISTORY:])

    def _reasons(
        self, last: int, candidates: Ints
    ) -> tuple[dict[str, NDArray[np.int32]], tuple[str, ...], NDArray[np.float64]]:
        pairs = int(self.split.user_position[last]) * self.split.dataset.items.height + candidates
        return self.stored.find(pairs), self.stored.sentences, self.stored.embeddings

    def _explained(
        self,
        last: int,
        candidates: Ints,
        missing: NDArray[np.bool_],
        codes: dict[str, NDArray[np.int32]],
        texts: tuple[str, ...],
        embeddings: NDArray[np.float64],
    ) -> tuple[tuple[str, ...], NDArray[np.float64]]:
        """Write reasons for the `missing` candidates; `codes` then point into the returned texts and embeddings."""
        assert self.explain is not None
        asked = candidates[missing].astype(np.int32)
        history = np.broadcast_to(self._history(last), (len(asked), HISTORY))
        pairs = replace(self.split, user=np.zeros(len(asked), int), item_position=asked, history_position=history)
        told = self.explain(pairs)
        for slot in SLOTS:
            codes[slot] = codes[slot].copy()
            codes[slot][missing] = np.where(told.codes[slot] > 0, told.codes[slot] + len(texts), 0)
        return (*texts, *told.sentences), np.concatenate([embeddings, self.coder.embed(told.sentences)])


def model_folder(run: str, dataset: str) -> Path:
    """results/<run>/models/<dataset>."""
    return paths.results(run) / "models" / dataset


def keep_model(
    folder: Path,
    module: LRRecsys,
    coder: TextCodes,
    split: Split,
    texts: TextSet,
    params: Mapping[str, Any],
    sizes: Sizes,
    about: Mapping[str, Any],
) -> None:
    """File a fitted LR-Recsys with the reasons of all records of its split."""
    pairs = split.user_position.astype(np.int64) * split.dataset.items.height + split.item_position
    said = {slot: [texts.sentences[code] for code in texts.codes[slot]] for slot in SLOTS}
    stored = stored_reasons(pl.DataFrame({"pair": pairs, **said}), coder)
    save_model(folder, FittedModel(module, coder, texts.maps, split, stored, about=dict(about)), params, sizes)


PARTS = ("model.safetensors", "coder.safetensors", "reasons.parquet")


def kept_cell(folder: Path) -> str | None:
    """Key of the cell whose network a folder holds; None where there is none, or not all of it as it was written."""
    try:
        about = load_about(folder)
    except InputError:
        return None
    return about.get("cell")


def load_about(folder: Path) -> dict[str, Any]:
    """How the model in a folder came about.

    Raises
    ------
    InputError
        There is none, or one of its files is missing, damaged or another model's.
    """
    try:
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        about: dict[str, Any] = facts["about"]
        whole = facts["parts"] == {part: paths.digest(folder / part) for part in PARTS} and "data" in about
    except (OSError, ValueError, LookupError, TypeError):
        whole = False
    if not whole:
        raise InputError(
            f"there is no whole fitted model in {folder}: run notebook 04_train (or `make reproduce`) first."
        )
    return about


def save_model(folder: Path, model: FittedModel, params: Mapping[str, Any], sizes: Sizes) -> None:
    """Write a fitted model as safetensors and JSON; `params` and `sizes` are those its module was built with."""
    with paths.replacing(folder / "model.safetensors") as partial:
        save_file({name: value.contiguous() for name, value in model.module.state_dict().items()}, partial)
    with paths.replacing(folder / "coder.safetensors") as partial:
        weights = {name: value.contiguous() for name, value in model.coder.model.state_dict().items()}
        maps = named_arrays(model.maps)
        weights |= {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in maps.items()}
        save_file(weights | {"centre": model.coder.centre, "spread": model.coder.spread.reshape(1)}, partial)
    with paths.replacing(folder / "reasons.parquet") as partial:
        stored = model.stored
        columns = {slot: [stored.sentences[code] for code in stored.codes[slot]] for slot in SLOTS}
        pl.DataFrame({"pair": stored.pair, **columns}).write_parquet(partial)
    paths.write_json(
        folder / "model.json",
        {
            "params": dict(params),
            "sizes": asdict(sizes),
            "coder": model.coder.facts(),
            "words": list(model.coder.vocabulary.words),
            "about": model.about,
            "parts": {part: paths.digest(folder / part) for part in PARTS},
        },
    )


def load_model(folder: Path, split: Split, explain: Callable[[Split], Explanations] | None = None) -> FittedModel:
    """Read a fitted model back.

    Parameters
    ----------
    split : of the same data it was trained on.

    Raises
    ------
    InputError
        If there is no model in the folder, or it does not fit the data.
    """
    about = load_about(folder)
    if about["data"] != split.dataset.fingerprint:
        raise InputError(
            f"the model in {folder} was trained on other data than {split.dataset.name!r}: train it again."
        )
    facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    module = LRRecsys(Sizes(**facts["sizes"]), **facts["params"])
    try:
        module.load_state_dict(load_file(folder / "model.safetensors"))
    except RuntimeError as error:
        raise InputError(f"the weights in {folder} do not fit model.json: train the model again.") from error
    tensors = load_file(folder / "coder.safetensors")
    centre, spread = tensors.pop("centre"), tensors.pop("spread")[0]
    try:
        maps = read_maps(tensors, SLOTS)
    except KeyError as error:
        raise InputError(f"the model in {folder} is older than the whitening of codes: train it again.") from error
    autoencoder = AutoEncoder(len(facts["words"]))
    autoencoder.load_state_dict(tensors)
    coder = TextCodes(autoencoder, Vocabulary(tuple(facts["words"])), **facts["coder"], centre=centre, spread=spread)
    stored = pl.read_parquet(folder / "reasons.parquet")
    return FittedModel(module.eval(), coder, maps, split, stored_reasons(stored, coder), explain, facts["about"])


def stored_reasons(frame: pl.DataFrame, coder: TextCodes) -> StoredReasons:
    """Index a frame (pair, positive, negative) for serving; of a pair's repeated rows the last one stays."""
    frame = frame.unique("pair", keep="last").sort("pair")
    sentences: dict[str, int] = {"": 0}
    codes = {
        slot: np.array([sentences.setdefault(text, len(sentences)) for text in frame[slot]], dtype=np.int32)
        for slot in SLOTS
    }
    return StoredReasons(frame["pair"].to_numpy(), tuple(sentences), coder.embed(list(sentences)), codes)
