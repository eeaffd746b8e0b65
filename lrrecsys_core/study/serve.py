"""The fitted model of a run, kept and served: what `lrrecsys recommend` shows."""

from __future__ import annotations

import numpy as np

from lrrecsys_core import paths, rows
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.sources import source_without_llm
from lrrecsys_core.models.lr_recsys import SLOTS
from lrrecsys_core.profiles import Profile
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.fitted import FittedModel, load_about, load_model
from lrrecsys_core.study.run import Run


def served(run: str, dataset: str | None = None) -> FittedModel:
    """The fitted model of a run, ready to recommend.

    Raises
    ------
    InputError
        If the run has no such model, or its data or texts are no longer those the model was trained on.
    """
    folder = paths.root() / "results" / paths.checked_run(run) / "models"
    kept = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not kept:
        raise InputError(
            f"run {run!r} holds no fitted model: run `make reproduce` on data with item texts, or name another."
        )
    name = dataset or kept[0]
    if name not in kept:
        raise InputError(f"run {run!r} holds no model of {name!r}: choose among {', '.join(kept)}.")
    about = load_about(folder / name)
    trained = Run(Profile(**about["profile"]), about["specs"])
    if Cell(trained, name, rows.LR).key != about["cell"]:
        raise InputError(
            f"the model of {name!r} in run {run!r} was trained on other data, texts or code: run it again."
        )
    split = trained.split(name)
    # Where an LLM wrote the reasons, those stored are all there are: nobody else's are mixed in.
    explain = None if about["llm"] else source_without_llm(split.dataset).explanations
    return load_model(folder / name, split, explain)


def show(run: str, user: str, k: int, *, dataset: str | None = None) -> str:
    """The k best items for a user as text: score, both reasons and the attention on each."""
    model = served(run, dataset)
    lines = [f"{model.split.dataset.name}, user {user}; explanations: {model.about['explainer']}"]
    found = model.recommend(user, k)
    if not found:
        lines.append("no item to recommend: the user has a record of every one")
    for rank, item in enumerate(found, 1):
        lines += [
            f"{rank}. {item.name} ({item.item_id})  score {item.score:.3f}",
            f"   + {item.positive or 'no reason'}  [attention {item.attention_positive:.2f}]",
            f"   - {item.negative or 'no reason'}  [attention {item.attention_negative:.2f}]",
        ]
    if len(lines) == 1:
        lines.append("nothing is left to recommend: this user has a record of every item")
    # Names and reasons are anybody's text: nothing in them may steer a terminal.
    return "\n".join("".join(sign if sign.isprintable() else " " for sign in line) for line in lines)


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
        model.score(last, chosen, model.tokens(codes, model.stored.embeddings))
        taken.append((time.perf_counter() - started) * 1e3)
    return np.array(taken)
