"""Grid search with the same number of points for every model, on records that no report judges.

On markets all eight points of every grid are tried, on settling markets (seeds 0-2), which no table shows: there
the test records judge, because a network's epoch was chosen on validation already, which favours steps so large that
its loss jumps about. On a real data set validation judges, and test records are left out of sight: all eight points on
all records of fewer than `LARGER`, else a balanced half of them, whose networks are compared on a sample.
All points of a model that share a network, and all markets, train side by side in one pass of `fit`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lrrecsys_core import metrics, paths, rows
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.models.base import TASKS
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study.points import MARKETS, SHIPPED, Step, relative_losses
from lrrecsys_core.study.study import Study, in_parallel, place, runnable
from lrrecsys_core.study.train_row import Given, Training, train_row
from lrrecsys_core.training.device import chosen_device
from lrrecsys_core.training.fit import predict

POINTS = 8
# Grids are products of two or three settings. In this half every setting takes all its values equally often, though
# not every pair of values occurs.
HALF = (0, 3, 5, 6)
SAMPLE = 20_000  # records of a larger real data set
LARGER = 60_000  # records from which on a real data set is a larger one
_SETTLING = get_profile(
    "demo", replicates=3, first_markets=0, first_seed=0, first_seed_on_files=0, seeds_on_files=1, compile=False,
)  # fmt: skip


class SearchStudy(Study):
    """Settling markets, or one real data set without its test records: what points are chosen on.

    Parameters
    ----------
    datasets : one real data set; none for settling markets.
    whole : try all points, on all of its records throughout.
    """

    def __init__(self, datasets: Sequence[str] = (), *, whole: bool = False) -> None:
        # Texts are kept by the data they are about, not by the sample that histories and the autoencoder see.
        super().__init__(replace(_SETTLING, name="search-whole" if whole else "search"), datasets)
        self.whole = whole

    @property
    def _identity(self) -> tuple[Any, ...]:
        return (self.specs, self.whole)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SearchStudy, whole=self.whole), (self.specs,)

    def split(self, name: str, replicate: int = 0, fraction: float = 1.0) -> Split:
        """The split of one replicate, without test records where the data are real."""
        split = super().split(name, replicate, fraction)
        return split if self.simulated else sampled(split, len(split.target) if self.whole else SAMPLE)

    @cached_property
    def on_all(self) -> SearchStudy:
        """The same data with all of their training and validation records."""
        return SearchStudy(self.specs, whole=True)

    @property
    def full(self) -> bool:
        """Whether all points are tried, on all records: on settling markets, and where the data are no larger ones."""
        return self.simulated or self.whole or len(self.data(self.datasets[0])[0].interactions) < LARGER


@lru_cache(maxsize=8)
def sampled(split: Split, records: int, seed: int = 0) -> Split:
    """The split with a sample of its training and validation records, at most so many together, and no test records.

    Of n such records it takes those of a share sqrt(records / n) of the users, drawn at random, and of the items that
    these rated most. Users alone would thin the records of every item: factors look worse there than they are on all
    records, and steps that shut them off would win.
    """
    known = np.sort(np.concatenate([split.train, split.validation]))
    if len(known) > records:
        share = (records / len(known)) ** 0.5
        users = np.random.default_rng([seed, 7]).permutation(np.unique(split.user_position[known]))
        known = known[np.isin(split.user_position[known], users[: round(len(users) * share)])]
        counts = np.bincount(split.item_position[known])
        items = np.argsort(-counts, kind="stable")
        known = known[np.isin(split.item_position[known], items[: (counts[items].cumsum() <= records).sum()])]
    return replace(
        split,
        train=np.intersect1d(split.train, known),
        validation=np.intersect1d(split.validation, known),
        test=known[:0],
    )


def grid(row: str) -> list[dict[str, Any]]:
    """The points of a row: `lr`, `weight_decay` and build parameters."""
    model = rows.row_named(row).model
    points = getattr(model, "grid", None)
    if points is None or len(points) != POINTS:
        raise InputError(f"the model of row {row!r} has no grid of {POINTS} points: give its class a `grid`.")
    return list(points)


def search_row(study: SearchStudy, name: str, numbers: Iterable[int]) -> pl.DataFrame:
    """Metrics (row, point, dataset, replicate, metric, value) of the numbered points on a study's data: on validation,
    on settling markets on test."""
    row, points, found = rows.row_named(name), grid(name), []
    profile = study.profile
    training = Training(
        profile.epochs, profile.patience, compiled=profile.compile, device=chosen_device(),
        networks=profile.networks if study.simulated else 1,
    )  # fmt: skip
    groups: dict[str, list[int]] = {}
    for number in numbers:
        groups.setdefault(_network(points[number]), []).append(number)
    for encoded, alike in groups.items():
        built = replace(row, params={**json.loads(encoded), **row.params})
        steps = [Step(points[k].get("lr", 0.01), points[k].get("weight_decay", 0.0)) for k in alike]
        networks = tuple((task, step) for step in steps for task in TASKS)
        for dataset in study.datasets:
            texts = [study.text_set(dataset, name, k) if row.texts else None for k in range(len(study.seeds))]
            given = [Given(study.split(dataset, k), texts[k], seed, networks, k) for k, seed in enumerate(study.seeds)]
            trained = train_row(built, given, training)
            for k, (one, modules) in enumerate(zip(given, trained.modules, strict=True)):
                numbered = [number for number in alike for _ in TASKS]
                for number, (task, _), averaged in zip(numbered, networks, modules, strict=True):
                    metric = "RMSE" if task == "regression" else "AUC"
                    records = one.split.test if study.simulated else one.split.validation
                    outcome = np.mean([predict(module, trained.fields[k], records) for module in averaged], 0)
                    value = _judged(metric, one.split, records, outcome)
                    found.append((name, number, dataset, k, metric, value))
    return pl.DataFrame(found, schema=["row", "point", "dataset", "replicate", "metric", "value"], orient="row")


def _judged(metric: str, split: Split, records: NDArray[np.int64], outcome: NDArray[np.float32]) -> float:
    truth = split.target if metric == "RMSE" else split.liked
    return float(getattr(metrics, metric.lower())(outcome, truth[records]))


def _build(point: dict[str, Any]) -> dict[str, Any]:
    """The part of a point that decides the network."""
    return {key: value for key, value in point.items() if key not in ("lr", "weight_decay")}


def _network(point: dict[str, Any]) -> str:
    return json.dumps(_build(point), sort_keys=True)


def best_points(found: pl.DataFrame, points: Sequence[dict[str, Any]]) -> dict[str, int]:
    """Task -> number of its point: the best network for both tasks, and for each task its best step.

    A point's loss is its RMSE or 1 - AUC relative to the best point on that data set, averaged over data sets. A
    network is as good as its best regression and its best classification together.
    """
    ranked = relative_losses(found, "point").sort("loss", "point")
    build = dict(enumerate(map(_network, points)))
    ranked = ranked.with_columns(build=pl.col("point").replace_strict(build))
    best = ranked.group_by("build", "metric", maintain_order=True).first()
    network = best.group_by("build", maintain_order=True).agg(pl.col("loss").sum()).sort("loss", maintain_order=True)
    chosen = {metric: point for _, metric, point, _ in best.filter(build=network["build"][0]).iter_rows()}
    return {task: chosen[metric] for task, metric in zip(TASKS, ("RMSE", "AUC"), strict=True)}


def search(
    study: SearchStudy, names: Iterable[str] = rows.SEARCHED, *, into: Path = SHIPPED, progress: bool = True
) -> dict[str, Any]:
    """Search every named row that has something to read, resuming, and write the chosen points as JSON.

    Parameters
    ----------
    study : of one real data set, or of settling markets.
    into : file of chosen points; by default the one the package ships.
    """
    key = _key(study)
    readers = {name: reader for name in names if (reader := _reader(study, name)) and name not in _kept(into, key)}
    studies = [study] if study.simulated else [study.on_all] if study.full else [study, study.on_all]
    for name in filter(lambda name: rows.row_named(name).texts, readers.values()):  # once, for all processes
        for one in studies:
            for dataset in one.datasets:
                [one.text_set(dataset, name, k) for k in range(len(one.seeds))]
    tried = [Tried(study, name, readers[name]) for name in sorted(readers, key=place)]
    for name, found in in_parallel(tried, f"grid search, {key}", None, shown=progress):
        with paths.replacing(study.folder / "search" / f"{name.replace(' ', '_')}.parquet") as partial:
            found.write_parquet(partial)
        points, told = grid(name), {}
        for (task, number), metric in zip(best_points(found, points).items(), ("RMSE", "AUC"), strict=True):
            value = found.filter(point=number, metric=metric)["value"].mean()
            step = {"lr": points[number].get("lr", 0.01), "weight_decay": points[number].get("weight_decay", 0.0)}
            part = "test" if study.simulated else "validation"
            told[task] = step | {"point": number, f"{part} {metric}": round(float(value), 4)}  # type: ignore[arg-type]
        told["params"] = _build(points[number])
        paths.write_json(into, {**_chosen(into), key: {**_kept(into, key), name: told}})
    return _kept(into, key)


@dataclass(frozen=True)
class Tried:
    """The points of the row `name`, tried in a process of their own on what the row `reader` reads."""

    study: SearchStudy
    name: str
    reader: str

    def compute(self) -> tuple[str, pl.DataFrame]:
        """The row's name, and the metrics of the points that its are chosen among."""
        return self.name, _tried(self.study, self.reader)


def _reader(study: SearchStudy, name: str) -> str | None:
    """The row on whose texts one is searched: itself; for LR-Recsys, where it has nothing to read, the first named
    writer's row that has; None where there is none.
    """
    dataset = study.datasets[0]
    if not study.absence(dataset, name):
        return name
    written = [row.name for row in rows.rows_of(4) if rows.writes(row.name)] if name == rows.LR else []
    return next((row for row in written if runnable(row, study.data(dataset)[0])), None)


def _tried(study: SearchStudy, row: str) -> pl.DataFrame:
    """Metrics of the points that a row's are chosen among.

    Points that train the same network are told apart on all records: a step that is right on a sample can leave nothing
    but the biases, or a constant, on five times as many.
    """
    if study.full:
        return search_row(study if study.simulated else study.on_all, row, range(POINTS))
    points = grid(row)
    alike: dict[str, list[int]] = {}
    for number in HALF:
        alike.setdefault(_network(points[number]), []).append(number)
    if len(alike) == 1:
        return search_row(study.on_all, row, HALF)
    found = search_row(study, row, HALF)
    numbers = alike[_network(points[best_points(found, points)["regression"]])]
    return search_row(study.on_all, row, numbers) if len(numbers) > 1 else found


def forget(study: Study, into: Path = SHIPPED) -> None:
    """Drop the points chosen for the study's data, so that they are searched anew."""
    paths.write_json(into, {name: points for name, points in _chosen(into).items() if name != _key(study)})


def already(study: Study, into: Path = SHIPPED) -> int:
    """How many rows have points under the name of the study's data, which is all that tells data sets apart here."""
    return len(_kept(into, _key(study)))


def _key(study: Study) -> str:
    return MARKETS if study.simulated else study.datasets[0]


def _kept(file: Path, key: str) -> dict[str, Any]:
    return dict(_chosen(file).get(key, {}))


def _chosen(file: Path) -> dict[str, dict[str, Any]]:
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
