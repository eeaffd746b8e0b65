"""Follow the signal: how much of what the biases leave unexplained is explained at each link from tastes to network.

Where a row comes out near the biases, the reason lies at one link of the chain: nothing to say beyond them, too little
said, said in words that the code loses, a code the network cannot read, or a head that leaves it unused. Each link is
read the same way, linearly on top of the biases, so that their shares can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit

from lrrecsys_core import metrics
from lrrecsys_core.data.simulate import balance, taste_for
from lrrecsys_core.data.split import Split
from lrrecsys_core.models.autoencoder import Vocabulary
from lrrecsys_core.models.base import Recommender
from lrrecsys_core.models.biases import bias_logits, residual_biases
from lrrecsys_core.models.boosting import GRID
from lrrecsys_core.models.on_biases import on_biases
from lrrecsys_core.study.texts import TextSet
from lrrecsys_core.study.train_row import Given, Trained
from lrrecsys_core.training.fit import Fields, predict

Floats = NDArray[np.float64]
Outcomes = dict[str, list[Floats]]  # link -> predictions (N,) of one reader, or of each network's
WORDS: Final = 300  # most frequent words of a slot that are marked
RECORDS: Final = 20_000  # training records that links of texts and networks are read on at most
TREES: Final = 100  # at each point: this is a diagnosis, half of what the row of boosted trees may grow
SCHEMA: Final = {
    "replicate": pl.Int64, "link": pl.String, "task": pl.String, "part": pl.String, "value": pl.Float64,
    "sampled": pl.Boolean,
}  # fmt: skip


def links(given: Sequence[Given], trained: Trained) -> pl.DataFrame:
    """What each link explains beyond the biases, for every replicate, task and part.

    Links, in the order of the chain: on markets the true ``tastes`` and the ``balance`` of reasons over S*; the
    ``words`` of the sentences; their ``codes`` as the network reads them, by ridge, and by ``trees``; the tokens after
    ``fusion``, by ridge; one ``network``, and several ``networks`` averaged. Where a replicate has several networks,
    the links of one are means over them.

    Parameters
    ----------
    given : replicates of a row that reads texts.
    trained : its networks.

    Returns
    -------
    frame with the columns of :data:`SCHEMA`: ``value`` is the share of the biases' squared error that is removed
    (regression), or the AUC gained over them (classification); ``sampled`` where `RECORDS` training records stand for
    all. Parts without records, and tasks whose training outcome does not vary, have no lines.
    """
    lines = []
    before_networks: dict[object, Outcomes] = {}
    for one, fields, tasks in zip(given, trained.fields, trained.modules, strict=True):
        assert one.texts is not None
        split = one.split
        records = _sample(split)
        for (task, _), modules in zip(one.networks, tasks, strict=True):
            if np.ptp(_target(split, task)[split.train]) == 0:
                continue
            # Replicates on the same records differ in their networks alone.
            key = split, id(one.texts), task
            if key not in before_networks:
                before_networks[key] = _read(split, one.texts, fields, task, records)
            found = before_networks[key] | _networks(split, modules, fields, task, records)
            lines += [
                (one.replicate, link, task, part, value, len(records) < len(split.train))
                for link, outcomes in found.items()
                for part in ("validation", "test")
                if np.isfinite(value := _mean_explained(split, task, getattr(split, part), outcomes))
            ]
    return pl.DataFrame(lines, schema=SCHEMA, orient="row")


def explained(split: Split, task: str, records: NDArray[np.int64], outcome: Floats) -> float:
    """Share of the biases' squared error on these records that an outcome (N,) removes, or its gain in AUC over them.

    NaN where there are no records, or none of one class.
    """
    if not len(records):
        return float("nan")
    base, target = _base(split, task)[records], _target(split, task)[records]
    if task == "classification":
        return float(metrics.auc(outcome[records], target) - metrics.auc(base, target))
    left = float(metrics.rmse(base, target))
    return 1.0 - (float(metrics.rmse(outcome[records], target)) / left) ** 2 if left else float("nan")


def word_marks(split: Split, texts: TextSet) -> NDArray[np.float32]:
    """Which words each record's sentences hold, (N, words): the most frequent ones of training, slot by slot."""
    blocks = []
    for codes in texts.codes.values():
        told = [texts.sentences[k] for k in codes[split.train]]
        vocabulary = Vocabulary.of(told, limit=WORDS)
        marks = np.zeros((len(texts.sentences), len(vocabulary.words)), dtype=np.float32)
        np.put_along_axis(marks, vocabulary.encode(texts.sentences), 1.0, 1)
        blocks.append(marks[:, 2:][codes])  # without padding and unknown words
    marks = np.concatenate(blocks, 1)
    known = marks[split.train]
    return marks[:, known.min(0) < known.max(0)]


def _mean_explained(split: Split, task: str, records: NDArray[np.int64], outcomes: Sequence[Floats]) -> float:
    return float(np.mean([explained(split, task, records, outcome) for outcome in outcomes]))


def _read(split: Split, texts: TextSet, fields: Fields, task: str, records: NDArray[np.int64]) -> Outcomes:
    """The links up to the codes, none of which has to do with a network."""
    codes = np.concatenate([fields[slot].numpy() for slot in texts.codes], 1)
    found: dict[str, Floats] = {}
    if split.dataset.simulated:
        found |= {"tastes": on_biases(split, task, taste_for(split)[:, None])}
        found |= {"balance": on_biases(split, task, balance(split)[:, None])}
    marks = word_marks(split, texts)
    found["words"] = on_biases(split, task, marks, records) if marks.shape[1] else _base(split, task)
    found["codes"] = on_biases(split, task, codes, records)
    found["trees"] = _trees(split, task, codes, records)
    return {link: [outcome] for link, outcome in found.items()}


def _networks(
    split: Split, modules: Sequence[Recommender], fields: Fields, task: str, records: NDArray[np.int64]
) -> Outcomes:
    """The links of the networks: what the head is handed, what it makes of it, and the average."""
    everything = np.arange(len(split.user))
    fused = [predict(module, fields, everything, method="fused") for module in modules]
    alone = [predict(module, fields, everything).astype(np.float64) for module in modules]
    found = {"fusion": [on_biases(split, task, tokens, records) for tokens in fused], "network": alone}
    return found | ({"networks": [np.mean(alone, 0)]} if len(alone) > 1 else {})


def _trees(split: Split, task: str, codes: NDArray[np.floating], records: NDArray[np.int64]) -> Floats:
    """Boosted trees on the biases' errors, from the codes and the biases' logit: whatever the codes hold.

    Validation chooses among the points of the row of boosted trees, and the number of trees, perhaps none.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # takes long to import

    base, target, held = _base(split, task), _target(split, task), split.validation
    features = np.column_stack([codes, bias_logits(split, task, *residual_biases(split, task))])
    best, chosen = float(((base - target)[held] ** 2).sum()), base
    for rate, leaves in GRID if len(held) else GRID[:1]:
        model = HistGradientBoostingRegressor(
            learning_rate=rate, max_leaf_nodes=leaves, max_iter=TREES, early_stopping=False, random_state=split.seed
        ).fit(features[records], (target - base)[records])
        for stage in model.staged_predict(features):
            outcome = np.clip(base + stage, 0.0, 1.0)
            loss = float(((outcome - target)[held] ** 2).sum())
            if loss < best or not len(held):
                best, chosen = loss, outcome
    return chosen


def _sample(split: Split) -> NDArray[np.int64]:
    """All training records, or `RECORDS` of them."""
    if len(split.train) <= RECORDS:
        return split.train
    return np.sort(np.random.default_rng([split.seed, 8]).choice(split.train, RECORDS, replace=False))


def _base(split: Split, task: str) -> Floats:
    """(N,) predictions of the biases alone."""
    return np.asarray(expit(bias_logits(split, task, *residual_biases(split, task))))


def _target(split: Split, task: str) -> Floats:
    return (split.target if task == "regression" else split.liked).astype(np.float64)
