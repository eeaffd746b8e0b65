"""Grid search with the same number of points for every model, on settling markets only, judged on validation only.

All points of a model that share a network, and all markets, train side by side in one pass of `fit`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from tqdm import tqdm

from lrrecsys_core import metrics, paths, rows
from lrrecsys_core.cells import model_params, record_fields
from lrrecsys_core.errors import InputError
from lrrecsys_core.experiments import Study
from lrrecsys_core.models.base import TASKS, Sizes
from lrrecsys_core.models.registry import MODELS
from lrrecsys_core.recipes import RECIPES
from lrrecsys_core.train import Replicate, as_tensors, fit, predict

POINTS = 8
SEARCHED = (rows.LR, *MODELS)


def grid(row: str) -> list[dict[str, Any]]:
    """The points of a row: `lr`, `weight_decay` and build parameters."""
    model = RECIPES[row].model
    points = getattr(model, "grid", None)
    if points is None or len(points) != POINTS:
        raise InputError(f"the model of row {row!r} has no grid of {POINTS} points: give its class a `grid`.")
    return list(points)


def search_row(study: Study, row: str) -> pl.DataFrame:
    """Validation metrics (row, point, dataset, replicate, metric, value) of every point on every market of a study."""
    recipe, found = RECIPES[row], []
    assert recipe.model is not None
    pairs = [(name, k) for name in study.datasets for k in range(study.profile.replicates)]
    splits = [study.split(name, k) for name, k in pairs]
    texts = [study.text_set(name, row, k) if recipe.texts else None for name, k in pairs]
    sizes = Sizes.of(*splits)
    points = grid(row)
    groups: dict[str, list[int]] = {}
    for number, point in enumerate(points):
        build = {key: value for key, value in point.items() if key not in ("lr", "weight_decay")}
        groups.setdefault(json.dumps(build, sort_keys=True), []).append(number)
    for encoded, numbers in groups.items():
        params = {**json.loads(encoded), **recipe.params}
        for dataset in study.datasets:
            here = [j for j, (name, _) in enumerate(pairs) if name == dataset]
            own = model_params(recipe, [splits[j] for j in here], [texts[j] for j in here]) | params
            runs, modules, fields = [], [], []
            for j in here:
                seed = study.profile.seeds[pairs[j][1]]
                given = as_tensors(record_fields(replace(recipe, params=params), splits[j], sizes, texts[j], seed))
                for number in numbers:
                    lr, decay = points[number].get("lr", 0.01), points[number].get("weight_decay", 0.0)
                    for task in TASKS:
                        torch.manual_seed(seed)
                        modules.append(recipe.model.build(splits[j], sizes, task, **own))
                        runs.append(
                            (Replicate(seed, splits[j].train, splits[j].validation, task, lr, decay), number, j)
                        )
                        fields.append(given)
            profile = study.profile
            fitted = fit(
                modules, fields, [r for r, _, _ in runs], epochs=profile.epochs, pretrain_epochs=profile.epochs,
                patience=profile.patience,
                compiled=profile.compile,
            )  # fmt: skip
            for module, (run, number, j), given in zip(fitted.modules, runs, fields, strict=True):
                outcome = predict(module, given, splits[j].validation)
                name = "RMSE" if run.task == "regression" else "AUC"
                truth = splits[j].target if name == "RMSE" else splits[j].liked
                value = getattr(metrics, name.lower())(outcome, truth[splits[j].validation])
                found.append((row, number, dataset, pairs[j][1], name, float(value)))
    return pl.DataFrame(found, schema=["row", "point", "dataset", "replicate", "metric", "value"], orient="row")


def best_point(found: pl.DataFrame) -> int:
    """The point with the lowest mean excess: RMSE and 1 - AUC, each relative to the best point on that data set."""
    loss = pl.when(pl.col("metric") == "AUC").then(1 - pl.col("value")).otherwise(pl.col("value"))
    mean = found.with_columns(loss=loss).group_by("point", "dataset", "metric").agg(pl.col("loss").mean())
    excess = mean.with_columns(excess=pl.col("loss") / pl.col("loss").min().over("dataset", "metric"))
    ranked = excess.group_by("point").agg(pl.col("excess").mean()).sort("excess", "point")
    return int(ranked["point"][0])


def search(
    study: Study, names: Iterable[str] = SEARCHED, *, into: Path | None = None, progress: bool = True
) -> dict[str, Any]:
    """Search every named row, resuming from rows already searched, and write the chosen points as JSON.

    Parameters
    ----------
    study : on settling seeds (0-9) for markets.
    into : file of chosen points; by default the one the package ships.

    Raises
    ------
    InputError
        If a simulated study uses report seeds.
    """
    if study.simulated and max(study.profile.seeds) > 9:
        raise InputError(
            "grid points are chosen on market seeds 0-9: give a profile with first_seed 0 and at most 10 replicates."
        )
    target = into or Path(__file__).with_name("chosen_points.json")
    chosen: dict[str, Any] = json.loads(target.read_text(encoding="utf-8")) if target.is_file() else {}
    listed: Sequence[str] = tuple(names)
    for row in tqdm(listed, desc="grid search", disable=not progress):
        if row in chosen:
            continue
        found = search_row(study, row)
        with paths.replacing(study.folder / "search" / f"{row.replace(' ', '_')}.parquet") as partial:
            found.write_parquet(partial)
        number = best_point(found)
        point = grid(row)[number]
        build = {key: value for key, value in point.items() if key not in ("lr", "weight_decay")}
        scores = found.filter(pl.col("point") == number).group_by("metric").agg(pl.col("value").mean()).sort("metric")
        chosen[row] = {
            "lr": point.get("lr", 0.01),
            "weight_decay": point.get("weight_decay", 0.0),
            "params": build,
            "validation": {name: round(float(np.round(value, 4)), 4) for name, value in scores.iter_rows()},
            "point": number,
        }
        paths.write_json(target, chosen)
    return chosen
