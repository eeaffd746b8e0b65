"""One cell of a study: train a row's replicates for both tasks, evaluate them, return metrics and predictions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit

from lrrecsys_core import metrics, rows
from lrrecsys_core.data.simulate import market_truth, record_attributes
from lrrecsys_core.data.split import Split
from lrrecsys_core.explain.checks import direct_ratings
from lrrecsys_core.explain.generate import Explanations
from lrrecsys_core.models.ablations import LRRecsysNCF, RawVectors
from lrrecsys_core.models.base import TASKS, Recommender, Sizes, base_rate
from lrrecsys_core.models.biases import bias_logits, residual_biases
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.study.points import Step
from lrrecsys_core.study.recipes import Recipe
from lrrecsys_core.study.texts import TextSet
from lrrecsys_core.training.fit import Fields, Fit, Replicate, as_tensors, fit, predict

ATTENTION = {"positive": "positive", "negative": "negative", "single": "positive", "user": "user", "item": "item"}
ATTENTION |= {"sequence": "sequence", "context": "context"}


@dataclass(frozen=True)
class Training:
    """Settings of `fit` for a cell."""

    epochs: int = 100
    patience: int = 5
    batch_size: int = 128
    regression: Step = Step()
    classification: Step = Step()
    compiled: bool = False
    optimizer: str = "adam"


@dataclass(frozen=True)
class CellResult:
    """What a cell leaves: metric rows, test predictions, fitted modules by (replicate, task)."""

    metrics: pl.DataFrame
    predictions: pl.DataFrame
    fitted: Fit[Any] | None
    params: dict[str, Any] = field(default_factory=dict)


def context_features(split: Split) -> NDArray[np.float32]:
    """Context codes (N, C) as concatenated one-hot columns (N, sum of context_sizes)."""
    blocks = [np.eye(size, dtype=np.float32)[split.context[:, k]] for k, size in enumerate(split.context_sizes)]
    return np.concatenate(blocks, 1) if blocks else np.zeros((len(split.user), 0), dtype=np.float32)


def shuffled(codes: dict[str, NDArray[np.int32]], split: Split, within: str, seed: int) -> dict[str, NDArray[np.int32]]:
    """The texts of other records in place of one's own, both slots moved together.

    `within` is "all" (any record), "user" (another record of the same user) or "item" (of the same item).
    """
    rng = np.random.default_rng([seed, 3])
    count = len(split.user)
    group = {"all": np.zeros(count), "user": split.user_position, "item": split.item_position}[within]
    mixed = np.lexsort((rng.random(count), group))
    order = np.lexsort((np.arange(count), group))
    source = np.empty(count, dtype=np.int64)
    source[order] = mixed
    return {slot: values[source] for slot, values in codes.items()}


def record_fields(
    recipe: Recipe, split: Split, sizes: Sizes, texts: TextSet | None, seed: int
) -> dict[str, np.ndarray]:
    """All record fields of one replicate."""
    fields: dict[str, np.ndarray] = {**split.fields(), "context": context_features(split)}
    if recipe.attributes:
        fields["context"] = np.concatenate([fields["context"], comparator_features(recipe, split)], 1)
    if recipe.model is not None:
        fields |= recipe.model.record_fields(split, sizes, **recipe.params)
    if texts is not None:
        codes = shuffled(texts.codes, split, recipe.shuffle, seed) if recipe.shuffle else texts.codes
        fields |= texts.fields(codes)
    return fields


def comparator_features(recipe: Recipe, split: Split) -> NDArray[np.float32]:
    """Attributes of a market given to the network as context: all of them, or S* alone."""
    truth = market_truth(split.dataset)
    names = truth.attributes if recipe.attributes == "all" else tuple(sorted(truth.important))
    both = [record_attributes(split, names, part) for part in ("present", "history")]
    return np.concatenate(both, 1).astype(np.float32)


def model_params(recipe: Recipe, splits: Sequence[Split], texts: Sequence[TextSet | None]) -> dict[str, Any]:
    """Build parameters of a row on this data: the sixth token where there is context, the width of raw vectors."""
    params = dict(recipe.params)
    if recipe.model is not None and issubclass(recipe.model, LRRecsys):
        params.setdefault("context", bool(splits[0].context_sizes))
        if issubclass(recipe.model, RawVectors):
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


def run_cell(
    row: str, dataset: str, recipe: Recipe, splits: Sequence[Split], texts: Sequence[TextSet | None],
    seeds: Sequence[int], training: Training,
) -> CellResult:  # fmt: skip
    """Compute one row on one data set, all replicates and both tasks in one pass.

    Parameters
    ----------
    splits, texts, seeds : one per replicate (a fresh market each, or the same real data under several seeds).
    """
    started = time.perf_counter()
    if recipe.floor:
        frames = _floor(row, dataset, recipe, splits, texts, seeds)
        return CellResult(
            _described(frames[0], recipe, splits, texts, None, time.perf_counter() - started), frames[1], None
        )
    assert recipe.model is not None
    sizes = Sizes.of(*splits)
    if recipe.attributes:
        width = context_features(splits[0]).shape[1] + comparator_features(recipe, splits[0]).shape[1]
        sizes = Sizes(sizes.users, sizes.items, width, sizes.aspects)
    params = model_params(recipe, splits, texts)
    numbered: dict[int, Fields] = {}
    modules: list[Recommender] = []
    fields: list[Fields] = []
    replicates: list[Replicate] = []
    for k, (split, seed) in enumerate(zip(splits, seeds, strict=True)):
        same = next((j for j in range(k) if splits[j] is split and texts[j] is texts[k] and not recipe.shuffle), k)
        if same == k:
            numbered[k] = as_tensors(record_fields(recipe, split, sizes, texts[k], seed))
        for task in TASKS:
            modules.append(build_module(recipe.model, split, sizes, task, seed, params))
            fields.append(numbered[same])
            step: Step = getattr(training, task)
            replicates.append(Replicate(seed, split.train, split.validation, task, step.lr, step.weight_decay))
    fitted = fit(
        modules, fields, replicates, epochs=training.epochs, pretrain_epochs=training.epochs,
        patience=training.patience, batch_size=training.batch_size,
        compiled=training.compiled, optimizer=training.optimizer,
    )  # fmt: skip
    metric_rows: list[dict[str, Any]] = []
    predicted: list[pl.DataFrame] = []
    for k, split in enumerate(splits):
        own = fields[k * len(TASKS)]
        for name, given in _evaluations(row, recipe, split, texts[k], own, seeds[k]).items():
            parts = ("test", "validation") if name == row else ("test",)
            for task, module in zip(TASKS, fitted.modules[k * len(TASKS) : (k + 1) * len(TASKS)], strict=True):
                for part in parts:
                    records = split.test if part == "test" else split.validation
                    outcome = predict(module, given, records)
                    own_part = _own_part(split, task, records, outcome)
                    metric_rows += _measured(name, dataset, k, task, part, split, records, outcome, own_part)
                    if part == "test":
                        predicted.append(_predictions(name, dataset, k, task, split, records, outcome, module, given))
    seconds = time.perf_counter() - started
    frame = _described(pl.DataFrame(metric_rows), recipe, splits, texts, fitted, seconds)
    return CellResult(frame, pl.concat(predicted, how="diagonal"), fitted, params)


def _evaluations(
    row: str, recipe: Recipe, split: Split, texts: TextSet | None, own: Fields, seed: int
) -> dict[str, Fields]:
    """What a trained row is evaluated on: its own inputs, those of the shifted environment, permuted texts."""
    out: dict[str, Fields] = {row: own}
    if texts is None:
        return out
    if recipe.shifted and texts.shifted:
        out[rows.shifted(row)] = {**own, **as_tensors(texts.fields(texts.shifted))}
    if recipe.permuted:
        order = np.arange(len(split.user))
        order[split.test] = np.random.default_rng([seed, 4]).permutation(split.test)
        moved = {slot: codes[order] for slot, codes in texts.codes.items()}
        out[rows.PERMUTED] = {**own, **as_tensors(texts.fields(moved))}
    return out


def _own_part(split: Split, task: str, records: np.ndarray, outcome: np.ndarray) -> float | None:
    """How much a model says beyond the shared biases: standard deviation over records of its logit minus theirs."""
    if not len(records):
        return None
    base = bias_logits(split, task, *residual_biases(split, task))[records]
    return float(np.std(logit(outcome.astype(np.float64).clip(1e-6, 1 - 1e-6)) - base))


def _measured(
    row: str, dataset: str, replicate: int, task: str, part: str, split: Split, records: np.ndarray,
    outcome: np.ndarray, own_part: float | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Metric rows of one fitted module on one part; a refused prediction (NaN) is left out, never guessed."""
    given = np.isfinite(outcome)
    about = {"dataset": dataset, "row": row, "replicate": replicate, "part": part, "own_part": own_part}
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
    module: Recommender | None, fields: Fields | None,
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
    if isinstance(module, LRRecsys) and not isinstance(module, LRRecsysNCF) and fields is not None:
        shares = predict(module, fields, records, method="attention")
        for k, name in enumerate(module.token_names):
            columns[f"attention_{ATTENTION[name]}"] = shares[:, k].astype(np.float32)
    frame = pl.DataFrame(columns)
    return frame.with_columns(dataset=pl.lit(dataset), row=pl.lit(row), replicate=pl.lit(replicate), task=pl.lit(task))


def _floor(
    row: str, dataset: str, recipe: Recipe, splits: Sequence[Split], texts: Sequence[TextSet | None],
    seeds: Sequence[int],
) -> tuple[pl.DataFrame, pl.DataFrame]:  # fmt: skip
    """Rows without a network: the training mean, biases, boosted trees, or the number the LLM itself answers."""
    measured, predicted = [], []
    for k, split in enumerate(splits):
        for task in TASKS:
            if recipe.floor == "mean":
                outcome = np.full(len(split.user), base_rate(split, task))
            elif recipe.floor == "biases":
                outcome = expit(bias_logits(split, task, *residual_biases(split, task)))
            elif recipe.floor == "boosting":
                from lrrecsys_core.models.boosting import boosted  # its library takes long to import

                outcome = boosted(split, task, seeds[k])
            else:
                told = texts[k]
                assert told is not None
                outcome = direct_answers(split, told)[0]
            for part in ("test", "validation"):
                records = getattr(split, part)
                measured += _measured(row, dataset, k, task, part, split, records, outcome[records])
            predicted.append(_predictions(row, dataset, k, task, split, split.test, outcome[split.test], None, None))
    return pl.DataFrame(measured), pl.concat(predicted)


def direct_answers(split: Split, texts: TextSet) -> tuple[NDArray[np.float64], dict[str, int]]:
    """The LLM's own ratings on [0, 1], NaN where it gave none, and how many answers of each kind there were."""
    data = split.dataset
    told = Explanations(texts.explainer, "direct", texts.sentences, texts.codes)
    read = direct_ratings(told, data.rating_min, data.rating_max)
    return (read.values - data.rating_min) / (data.rating_max - data.rating_min), read.counts


def _described(
    frame: pl.DataFrame, recipe: Recipe, splits: Sequence[Split], texts: Sequence[TextSet | None],
    fitted: Fit[Any] | None, seconds: float,
) -> pl.DataFrame:  # fmt: skip
    """Metric rows with what a reader needs beside the number."""
    shared = entity = 0
    tier = note = ""
    epochs = 0.0
    if fitted is not None:
        module = fitted.modules[0]
        tables = module.entity_tables()
        sizes = {name: value.numel() for name, value in module.named_parameters()}
        entity = sum(size for name, size in sizes.items() if name in tables)
        shared = sum(sizes.values()) - entity
        tier, note = module.tier, module.deviations
        epochs = float(np.mean(fitted.epochs))
    explainer = texts[0].explainer if texts and texts[0] is not None else ""
    if recipe.texts is not None and recipe.texts.raw and texts[0] is not None:
        note = f"raw text vectors: {texts[0].report['embedding']}"
    if recipe.floor == "direct":
        kinds: Counter[str] = Counter()
        for split, told in zip(splits, texts, strict=True):
            kinds.update(direct_answers(split, told)[1] if told is not None else {})
        note = "answers: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    data = splits[0].dataset
    return frame.with_columns(
        tier=pl.lit(tier),
        explainer=pl.lit(explainer),
        note=pl.lit(note),
        simulated=pl.lit(data.simulated),
        by_construction=pl.lit(recipe.by_construction),
        ordered=pl.lit(data.ordered),
        parameters_shared=pl.lit(shared),
        parameters_entity=pl.lit(entity),
        seconds=pl.lit(seconds),
        epochs=pl.lit(epochs),
    )
