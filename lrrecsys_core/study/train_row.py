"""The one loop that trains a row, and what a row leaves: metrics and predictions of each replicate and task."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit

from lrrecsys_core import metrics, rows
from lrrecsys_core.data.releases import same_as_paper
from lrrecsys_core.data.simulate import balance, taste_for
from lrrecsys_core.data.split import Split
from lrrecsys_core.explain.checks import direct_ratings
from lrrecsys_core.explain.generate import Explanations
from lrrecsys_core.models.ablations import LRRecsysNCF
from lrrecsys_core.models.base import TASKS, Recommender, Sizes, base_rate
from lrrecsys_core.models.biases import bias_logits, residual_biases
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.models.on_biases import on_biases
from lrrecsys_core.rows import Row
from lrrecsys_core.study.inputs import comparator_features, context_features, record_fields, text_fields
from lrrecsys_core.study.points import Step
from lrrecsys_core.study.texts import TextSet
from lrrecsys_core.training.fit import Fields, Fit, Replicate, as_tensors, fit, predict

ATTENTION = {"positive": "positive", "negative": "negative", "single": "positive", "user": "user", "item": "item"}
ATTENTION |= {"sequence": "sequence", "context": "context"}
SEED_STEP = 100_000  # between the seeds of the networks that are averaged; those of replicates lie closer
TRUTH = {"ceiling": taste_for, "match": balance}


@dataclass(frozen=True)
class Training:
    """Settings of `fit` that all networks of a row share.

    A row's prediction is the mean of ``networks`` networks that differ in their seed: what a single one adds to the
    biases hangs as much on its initial weights and on a few hundred validation records as on what it reads.
    """

    epochs: int = 100
    patience: int = 5
    batch_size: int = 128
    compiled: bool = False
    optimizer: str = "adam"
    device: str = "cpu"
    networks: int = 1


@dataclass(frozen=True)
class Given:
    """What one replicate of a row trains on, the predictors to train (task and step of each), its number in the run."""

    split: Split
    texts: TextSet | None
    seed: int
    networks: tuple[tuple[str, Step], ...]
    replicate: int


@dataclass(frozen=True)
class Trained:
    """Fitted networks of a row: by replicate, in the order of `Given.networks`, and those that are averaged."""

    modules: list[list[list[Recommender]]]
    fields: list[Fields]
    fit: Fit[Any]
    params: dict[str, Any]


@dataclass(frozen=True)
class CellResult:
    """What a cell leaves: metric rows, test predictions, the networks where there are any."""

    metrics: pl.DataFrame
    predictions: pl.DataFrame
    trained: Trained | None


def model_params(row: Row, splits: Sequence[Split], texts: Sequence[TextSet | None]) -> dict[str, Any]:
    """Build parameters of a row on this data: the sixth token where there is context, the width of raw vectors."""
    params = dict(row.params)
    if row.model is not None and issubclass(row.model, LRRecsys):
        params.setdefault("context", bool(splits[0].context_sizes))
        if row.texts is not None and row.texts.raw:
            params["raw_width"] = 0 if texts[0] is None else texts[0].embeddings.shape[1]
    return params


def build_module(
    model: type[Recommender], split: Split, sizes: Sizes, task: str, seed: int, params: dict[str, Any]
) -> Recommender:
    """A fresh module of one replicate and task on top of the residual biases that all rows share (rule P2).

    Weights are drawn at the split's own sizes, so that they do not depend on what is trained beside it, and stand in
    the leading corner of tables of `sizes`; the rest, which no record of the split looks up, is zero.
    """
    own = replace(Sizes.of(split), context=sizes.context)
    torch.manual_seed(seed)
    module = model.build(split, own, task, **params)
    if own != sizes:
        small = module.state_dict()
        module = model.build(split, sizes, task, **params)
        for name, value in module.state_dict().items():
            value.zero_()[tuple(slice(n) for n in small[name].shape)] = small[name]
    module.hold_biases(*(torch.tensor(part, dtype=torch.float32) for part in residual_biases(split, task)))
    return module


def train_row(row: Row, given: Sequence[Given], training: Training) -> Trained:
    """Train all networks of a row in one pass; the replicates may be markets of their own or seeds on the same data."""
    assert row.model is not None
    splits, texts = [one.split for one in given], [one.texts for one in given]
    sizes = Sizes.of(*splits)
    if row.attributes:
        width = context_features(splits[0]).shape[1] + comparator_features(row, splits[0]).shape[1]
        sizes = replace(sizes, context=width)
    params = model_params(row, splits, texts)
    shared: dict[object, Fields] = {}
    modules: list[Recommender] = []
    fields: list[Fields] = []
    replicates: list[Replicate] = []
    for one in given:
        # Replicates on the same records share their tensors, unless each shuffles its texts its own way.
        key = (one.split, id(one.texts), one.seed if row.shuffle else None)
        if key not in shared:
            shared[key] = as_tensors(record_fields(row, one.split, sizes, one.texts, one.seed))
        records = one.split.train, one.split.validation
        for task, step in one.networks:
            for seed in range(one.seed, one.seed + SEED_STEP * training.networks, SEED_STEP):
                modules.append(build_module(row.model, one.split, sizes, task, seed, params))
                fields.append(shared[key])
                replicates.append(Replicate(seed, *records, task, step.lr, step.weight_decay))
    fitted = fit(
        modules, fields, replicates, epochs=training.epochs, pretrain_epochs=training.epochs,
        patience=training.patience, batch_size=training.batch_size, compiled=training.compiled,
        optimizer=training.optimizer, device=training.device,
    )  # fmt: skip
    starts = range(0, len(modules), training.networks)
    averaged = [fitted.modules[low : low + training.networks] for low in starts]
    ends = np.cumsum([0, *(len(one.networks) for one in given)])
    per_replicate = [averaged[low:high] for low, high in pairwise(ends)]
    return Trained(per_replicate, [fields[low * training.networks] for low in ends[:-1]], fitted, params)


def run_row(row: Row, dataset: str, given: Sequence[Given], training: Training) -> CellResult:
    """Compute one row on one data set, all replicates and both tasks in one pass."""
    started = time.perf_counter()
    trained = None if row.floor else train_row(row, given, training)
    measured: list[dict[str, Any]] = []
    predicted: list[pl.DataFrame] = []
    for k, one in enumerate(given):
        made = _floor(row, dataset, one) if trained is None else _evaluated(row, dataset, k, one, trained)
        measured += made[0]
        predicted += made[1]
    frame = _described(pl.DataFrame(measured), row, given, trained, time.perf_counter() - started)
    return CellResult(frame, pl.concat(predicted, how="diagonal"), trained)


def _evaluated(
    row: Row, dataset: str, k: int, one: Given, trained: Trained
) -> tuple[list[dict[str, Any]], list[pl.DataFrame]]:
    """Metric rows and test predictions of the networks in place `k`, on everything the row is evaluated on."""
    measured, predicted = [], []
    split, number = one.split, one.replicate
    for name, inputs in _evaluations(row, one, trained.fields[k]).items():
        parts = ("test", "validation") if name == row.name else ("test",)
        for (task, _), modules in zip(one.networks, trained.modules[k], strict=True):
            for part in parts:
                records = getattr(split, part)
                single = [predict(module, inputs, records) for module in modules]
                outcome = np.mean(single, 0)
                lines = _measured(name, dataset, number, task, part, split, records, outcome)
                alone = [_measured(name, dataset, number, task, part, split, records, each) for each in single]
                own_parts = [_own_part(split, task, records, each) for each in single]
                for line, *others in zip(lines, *alone, strict=True):
                    line |= {"own_part": own_parts, "single": float(np.mean([other["value"] for other in others]))}
                measured += lines
                if part == "test":
                    predicted.append(
                        _predictions(name, dataset, number, task, split, records, outcome, modules, inputs)
                    )
    return measured, predicted


def _evaluations(row: Row, one: Given, own: Fields) -> dict[str, Fields]:
    """What a trained row is evaluated on: its own inputs, those of the shifted environment, permuted texts."""
    out: dict[str, Fields] = {row.name: own}
    split, texts = one.split, one.texts
    if texts is None:
        return out
    if row.shifted and texts.shifted:
        out[rows.shifted(row.name)] = {**own, **as_tensors(text_fields(row, texts, texts.shifted))}
    if row.permuted:
        order = np.arange(len(split.user))
        order[split.test] = np.random.default_rng([one.seed, 4]).permutation(split.test)
        moved = {slot: codes[order] for slot, codes in texts.codes.items()}
        out[rows.PERMUTED] = {**own, **as_tensors(text_fields(row, texts, moved))}
    return out


def _own_part(split: Split, task: str, records: np.ndarray, outcome: np.ndarray) -> float | None:
    """How much a model says beyond the shared biases: standard deviation over records of its logit minus theirs."""
    if not len(records):
        return None
    base = bias_logits(split, task, *residual_biases(split, task))[records]
    return float(np.std(logit(outcome.astype(np.float64).clip(1e-6, 1 - 1e-6)) - base))


def _measured(
    row: str, dataset: str, replicate: int, task: str, part: str, split: Split, records: np.ndarray,
    outcome: np.ndarray,
) -> list[dict[str, Any]]:  # fmt: skip
    """Metric rows of predictions on one part; a refused prediction (NaN) is left out, never guessed."""
    given = np.isfinite(outcome)
    about = {"dataset": dataset, "row": row, "replicate": replicate, "part": part, "own_part": None, "single": None}
    records, outcome = records[given], outcome[given]
    if not len(records):
        values = {}
    elif task == "regression":
        target = split.target[records]
        values = {"RMSE": float(metrics.rmse(outcome, target)), "MAE": float(metrics.mae(outcome, target))}
    else:
        values = {"AUC": float(metrics.auc(outcome, split.liked[records]))}
    return [{**about, "metric": name, "value": value} for name, value in values.items()]


def _predictions(
    row: str, dataset: str, replicate: int, task: str, split: Split, records: np.ndarray, outcome: np.ndarray,
    modules: Sequence[Recommender] = (), fields: Fields | None = None,
) -> pl.DataFrame:  # fmt: skip
    """Per-record test predictions with activity counts and, for LR-Recsys, the attention of every token (Eq 24)."""
    train_users = np.bincount(split.user[split.train], minlength=split.n_users)
    train_items = np.bincount(split.item[split.train], minlength=split.n_items)
    columns: dict[str, Any] = {
        "record": split.record[records],
        "user": split.user_position[records],
        "item": split.item_position[records],
        "rating": split.rating[records],
        "target": split.target[records],
        "liked": split.liked[records],
        "prediction": outcome.astype(np.float32),
        "user_count": np.where(split.user[records] > 0, train_users[split.user[records]], 0),
        "item_count": np.where(split.item[records] > 0, train_items[split.item[records]], 0),
    }
    if modules and fields is not None and (names := _attended(modules[0])):
        shares = np.mean([predict(module, fields, records, method="attention") for module in modules], 0)
        for k, name in enumerate(names):
            columns[f"attention_{ATTENTION[name]}"] = shares[:, k].astype(np.float32)
    frame = pl.DataFrame(columns)
    return frame.with_columns(dataset=pl.lit(dataset), row=pl.lit(row), replicate=pl.lit(replicate), task=pl.lit(task))


def _attended(module: Recommender) -> tuple[str, ...]:
    """Tokens whose attention is kept: those of LR-Recsys with fusion."""
    if isinstance(module, LRRecsys) and not isinstance(module, LRRecsysNCF):
        return module.token_names
    return ()


def _floor(row: Row, dataset: str, one: Given) -> tuple[list[dict[str, Any]], list[pl.DataFrame]]:
    """One replicate without a network: the training mean, biases, boosted trees, or the number the LLM answers."""
    measured, predicted, split, k = [], [], one.split, one.replicate
    for task in TASKS:
        outcome = _floor_outcome(row.floor, one, task)
        for part in ("test", "validation"):
            records = getattr(split, part)
            measured += _measured(row.name, dataset, k, task, part, split, records, outcome[records])
        predicted.append(_predictions(row.name, dataset, k, task, split, split.test, outcome[split.test]))
    return measured, predicted


def _floor_outcome(floor: str, one: Given, task: str) -> NDArray[np.float64]:
    """(N,) predictions on [0, 1]."""
    if floor == "mean":
        return np.full(len(one.split.user), base_rate(one.split, task))
    if floor == "biases":
        return np.asarray(expit(bias_logits(one.split, task, *residual_biases(one.split, task))))
    if floor == "boosting":
        from lrrecsys_core.models.boosting import boosted  # its library takes long to import

        return boosted(one.split, task, one.seed)
    if floor in TRUTH:
        return on_biases(one.split, task, TRUTH[floor](one.split)[:, None])
    assert one.texts is not None
    return direct_answers(one.split, one.texts)[0]


def direct_answers(split: Split, texts: TextSet) -> tuple[NDArray[np.float64], dict[str, int]]:
    """The LLM's own ratings on [0, 1], NaN where it gave none, and how many answers on test there were of each kind."""
    data = split.dataset
    low, high = data.rating_min, data.rating_max
    told = Explanations(texts.explainer, "direct", texts.sentences, texts.codes)
    judged = replace(told, codes={slot: codes[split.test] for slot, codes in told.codes.items()})
    return (direct_ratings(told, low, high).values - low) / (high - low), direct_ratings(judged, low, high).counts


def _described(
    frame: pl.DataFrame, row: Row, given: Sequence[Given], trained: Trained | None, seconds: float
) -> pl.DataFrame:
    """Metric rows with what a reader needs beside the number."""
    shared = entity = 0
    tier = note = ""
    epochs = 0.0
    first, data = given[0].texts, given[0].split.dataset
    if trained is not None:
        module = trained.fit.modules[0]
        tables = module.entity_tables()
        sizes = {name: value.numel() for name, value in module.named_parameters()}
        entity = sum(size for name, size in sizes.items() if name in tables)
        shared = sum(sizes.values()) - entity
        tier, note = module.tier, module.deviations
        epochs = float(np.mean(trained.fit.epochs))
    if first is not None and (told := first.report.get("note")):
        note = told
    if row.floor == "direct":
        kinds: Counter[str] = Counter()
        for one in given if data.simulated else given[:1]:  # seeds on real data share the LLM's answers
            kinds.update(direct_answers(one.split, one.texts)[1] if one.texts is not None else {})
        # On markets a cell may hold a part of a table's replicates, so its counts say of how many they are.
        of = f" of {len(given)} market{'s'[: len(given) > 1]}" if data.simulated else ""
        note = f"answers for the test records{of}: " + ", ".join(
            f"{count} {kind}" for kind, count in sorted(kinds.items())
        )
    about = {
        "tier": tier, "explainer": first.explainer if first else "", "llm": first.llm if first else "", "note": note,
        "simulated": data.simulated, "same_data": same_as_paper(data), "ordered": data.ordered,
        "by_construction": row.by_construction and not (first and first.llm), "parameters_shared": shared,
        "parameters_entity": entity, "seconds": seconds, "epochs": epochs,
    }  # fmt: skip
    return frame.with_columns(pl.lit(value).alias(name) for name, value in about.items())
