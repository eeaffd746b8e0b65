"""The fitted model of a run, kept and served: what `lrrecsys recommend` shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lrrecsys_core import paths
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.sources import source_without_llm
from lrrecsys_core.models.autoencoder import TextCodes
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.lr_recsys import SLOTS, LRRecsys
from lrrecsys_core.profiles import Profile
from lrrecsys_core.study.fitted import FittedModel, load_model, save_model, stored_reasons
from lrrecsys_core.study.texts import TextSet


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
    pairs = split.user_position * split.dataset.items.height + split.item_position
    told = {slot: [texts.sentences[code] for code in texts.codes[slot]] for slot in SLOTS}
    stored = stored_reasons(pl.DataFrame({"pair": pairs, **told}), coder)
    save_model(folder, FittedModel(module, coder, split, stored, about=dict(about)), params, sizes)


def served(run: str, dataset: str | None = None) -> FittedModel:
    """The fitted model of a run, ready to recommend.

    Raises
    ------
    InputError
        If the run has no such model.
    """
    from lrrecsys_core.study.run import Study  # a study files models, so it imports this module

    folder = paths.root() / "results" / run / "models"
    kept = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not kept:
        raise InputError(f"run {run!r} holds no fitted model: run `make reproduce` first, or name another run.")
    name = dataset or kept[0]
    if name not in kept:
        raise InputError(f"run {run!r} holds no model of {name!r}: choose among {', '.join(kept)}.")
    about = load_about(folder / name)
    study = Study(Profile(**about["profile"]), about["specs"])
    split = study.split(name)
    # Where an LLM wrote the reasons, those stored are all there are: nobody else's are mixed in.
    explain = None if about.get("stored") else source_without_llm(split.dataset).explanations
    return load_model(folder / name, split, explain)


def load_about(folder: Path) -> dict[str, Any]:
    """How the model in a folder came about."""
    import json

    about: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))["about"]
    return about


def show(run: str, user: str, k: int, *, dataset: str | None = None) -> str:
    """The k best items for a user as text: score, both reasons and the attention on each."""
    model = served(run, dataset)
    lines = [f"{model.split.dataset.name}, user {user}; explanations: {model.about['explainer']}"]
    for rank, item in enumerate(model.recommend(user, k), 1):
        lines += [
            f"{rank}. {item.name} ({item.item_id})  score {item.score:.3f}",
            f"   + {item.positive or 'no reason'}  [attention {item.attention_positive:.2f}]",
            f"   - {item.negative or 'no reason'}  [attention {item.attention_negative:.2f}]",
        ]
    return "\n".join(lines)


def latency(model: FittedModel, user: str, candidates: int, repeats: int, seed: int = 0) -> np.ndarray:
    """Milliseconds (repeats,) to score `candidates` items with stored reasons for one user, one core (claim C21)."""
    import time

    rng = np.random.default_rng(seed)
    last = model.latest[user]
    taken = []
    for _ in range(repeats):
        chosen = rng.integers(0, model.split.dataset.items.height, candidates)
        codes = {slot: rng.integers(0, len(model.stored.embeddings), candidates) for slot in SLOTS}
        started = time.perf_counter()
        model.score(last, chosen, {slot: model.stored.embeddings[codes[slot]] for slot in SLOTS})
        taken.append((time.perf_counter() - started) * 1e3)
    return np.array(taken)
