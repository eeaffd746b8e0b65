"""A study: every row of every table on every data set, as cells that are cached, resumable and independent.

A cell is one row on one data set, with all its replicates and both tasks. It is filed under a hash of the data, the
source of its texts, its parameters and the code that matters, and written in one stroke: a killed study loses at most
the cells it was in, and a second run reads them all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import joblib
import polars as pl
import torch
from tqdm import tqdm

from lrrecsys_core import paths, rows
from lrrecsys_core.cells import Training, run_cell
from lrrecsys_core.chosen import chosen_point
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS, simulate_market
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.generate import Explanations
from lrrecsys_core.fingerprints import code_hash, content_hash, plain
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.profiles import Profile, get_profile
from lrrecsys_core.recipes import RECIPES, Recipe, Texts, default_source, runnable, stores
from lrrecsys_core.serving import keep_model, model_folder
from lrrecsys_core.texts import (
    ENCODER_VARIABLE,
    TextSet,
    explanations_of,
    load_coder,
    load_text_set,
    make_text_set,
    save_text_set,
)

DOMAINS = ("hotels", "restaurants", "movies")
NULL_MARKET = f"{rows.NULL_PREFIX}hotels"
TABLES = (2, 3, 4, 5, 6)
COMPILE_FROM = 8  # rows sharing a network from which on compiling its step saves more than it costs


class Study:
    """All cells of one run.

    Parameters
    ----------
    profile : name of a profile, or a `Profile`.
    datasets : specifications as for `load_dataset`; empty for the simulated markets.

    Raises
    ------
    InputError
        If the profile is unknown, or (when first needed) a data set cannot be loaded.
    """

    def __init__(self, profile: str | Profile = "smoke", datasets: Sequence[str] = ()) -> None:
        self.profile = profile if isinstance(profile, Profile) else get_profile(profile)
        self.specs = tuple(datasets)

    @property
    def simulated(self) -> bool:
        """Whether the run is on simulated markets."""
        return not self.specs

    @property
    def run(self) -> str:
        """Name under which results, figures and tables are kept."""
        return paths.run_name(self.profile.name, self.specs)

    @property
    def folder(self) -> Path:
        """results/<run>."""
        return paths.results(self.run)

    @cached_property
    def _loaded(self) -> dict[str, Dataset]:
        loaded = [load_dataset(spec) for spec in self.specs]
        return {_short_name(spec): data for spec, data in zip(self.specs, loaded, strict=True)}

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets that the tables show."""
        return DOMAINS if self.simulated else tuple(_short_name(spec) for spec in self.specs)

    @property
    def all_datasets(self) -> tuple[str, ...]:
        """The data sets of the tables and, for simulated markets, the null market of the controls."""
        return (*DOMAINS, NULL_MARKET) if self.simulated else self.datasets

    def data(self, name: str) -> list[Dataset]:
        """One data set per replicate: fresh markets, or the same real data throughout."""
        if self.simulated:
            return [_market(name, seed, self.profile) for seed in self.profile.seeds]
        if name not in self._loaded:
            raise InputError(f"there is no data set {name!r} in this run: choose among {', '.join(self.datasets)}.")
        return [self._loaded[name]] * self.profile.replicates

    def split(self, name: str, replicate: int = 0, fraction: float = 1.0) -> Split:
        """The split of one replicate."""
        return _split(self.data(name)[replicate], fraction, validation=not self.profile.paper_strict)

    def explanations(self, name: str, row: str = rows.LR, replicate: int = 0) -> Explanations:
        """The texts a row reads."""
        recipe = RECIPES[row]
        if recipe.texts is None:
            raise InputError(f"the row {row!r} reads no texts: choose one with explanations, such as {rows.LR!r}.")
        return explanations_of(self.split(name, replicate, recipe.fraction), recipe.texts)

    def text_set(self, name: str, row: str = rows.LR, replicate: int = 0) -> TextSet:
        """The texts of a row with their embeddings and the facts of the autoencoder; made if missing."""
        recipe = RECIPES[row]
        assert recipe.texts is not None
        return self._texts(_text_job(self, name, recipe, replicate))

    def text_key(self, name: str, row: str = rows.LR, replicate: int = 0) -> str:
        """Hash under which `text_set` is kept in results/<run>/texts."""
        return _text_job(self, name, RECIPES[row], replicate).key(self)

    def _texts(self, job: _TextJob) -> TextSet:
        key = job.key(self)
        folder = self.folder / "texts"
        kept = load_text_set(folder, key)
        if kept is not None:
            return kept
        split = self.split(job.dataset, job.replicate, job.fraction)
        # Rows are evaluated under a shift by what they read, whichever row asked for these texts first.
        moved = (_text_job(self, job.dataset, recipe, job.replicate) for recipe in RECIPES.values() if recipe.shifted)
        made, coder = make_text_set(
            split,
            job.texts,
            seed=self.profile.seeds[job.replicate],
            epochs=self.profile.autoencoder_epochs,
            with_shift=split.dataset.simulated
            and not job.dataset.startswith(rows.NULL_PREFIX)
            and any(other == job for other in moved),
        )
        save_text_set(folder, key, made, coder)
        return made

    def rows_of(self, name: str, tables: Iterable[int] = TABLES) -> list[str]:
        """Rows of these tables that can be computed on a data set, each once."""
        data = self.data(name)[0]
        wanted = dict.fromkeys(row.name for table in tables for row in rows.rows_of(table))
        if not self.profile.baseline_fractions:
            wanted = {row: None for row in wanted if RECIPES.get(row, Recipe()).fraction == 1 or row.startswith("LR-")}
        return [row for row in wanted if runnable(row, data)]

    def cells(self, tables: Iterable[int] = TABLES) -> list[Cell]:
        """The cells behind these tables, those with equal networks next to each other."""
        tables = tuple(tables)
        found = [Cell(name, row) for name in self.all_datasets for row in self.rows_of(name, tables)]
        return sorted(found, key=lambda cell: _shape(RECIPES[cell.row]))

    def run_rows(
        self,
        tables: Iterable[int | str] = TABLES,
        *,
        only: Iterable[str] | None = None,
        progress: bool = True,
        jobs: int | None = None,
    ) -> None:
        """Compute whatever these tables still lack, in parallel processes.

        Parameters
        ----------
        tables : numbers of tables.
        only : names of rows; by default all rows of the tables.
        jobs : processes; by default one per core. Another joblib backend, a Ray cluster for instance, is chosen by
            ``with joblib.parallel_config(backend="ray")`` around the call.
        """
        named = None if only is None else set(only)
        cells = [cell for cell in self.cells([int(t) for t in tables]) if named is None or cell.row in named]
        missing = [cell for cell in cells if not cell.done(self)]
        texts = {job.key(self): job for cell in missing for job in cell.text_jobs(self)}
        waiting = [job for key, job in texts.items() if not (self.folder / "texts" / f"{key}.json").is_file()]
        self._in_parallel(waiting, "explanations", progress, jobs)
        self._in_parallel(missing, "cells", progress, jobs)

    def _in_parallel(self, work: Sequence[Any], label: str, progress: bool, jobs: int | None) -> None:
        if not work:
            return
        workers = min(len(work), jobs or os.cpu_count() or 1)
        results = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)(
            joblib.delayed(_perform)(self.profile, self.specs, item) for item in work
        )
        for _ in tqdm(results, total=len(work), desc=label, unit="", disable=not progress):
            pass

    def metrics(self, tables: Iterable[int] = TABLES) -> pl.DataFrame:
        """The metric rows of every cached cell, in a fixed order."""
        frames = [pl.read_parquet(cell.path(self, "metrics")) for cell in self.cells(tables) if cell.done(self)]
        if not frames:
            raise InputError(f"run {self.run!r} has no results yet: call run_rows first, or run `make reproduce`.")
        return pl.concat(frames, how="diagonal_relaxed").sort("dataset", "row", "part", "metric", "replicate")

    def predictions(self, rows: Sequence[str] | None = None, datasets: Sequence[str] | None = None) -> pl.DataFrame:
        """Per-record test predictions of the cached cells."""
        frames = [
            pl.read_parquet(cell.path(self, "predictions"))
            for cell in self.cells()
            if cell.done(self) and (datasets is None or cell.dataset in datasets)
        ]
        if not frames:
            raise InputError(f"run {self.run!r} has no results yet: call run_rows first, or run `make reproduce`.")
        chosen = [frame if rows is None else frame.filter(pl.col("row").is_in(list(rows))) for frame in frames]
        return pl.concat([f for f in chosen if f.height] or chosen[:1], how="diagonal_relaxed")


@dataclass(frozen=True)
class Cell:
    """One row on one data set."""

    dataset: str
    row: str

    def training(self, study: Study) -> Training:
        """Settings of `fit`: the profile's, at the point chosen for this model on settling seeds."""
        profile = study.profile
        point = chosen_point(self.row)
        return Training(
            profile.epochs,
            profile.patience,
            lr=point.lr,
            weight_decay=point.weight_decay,
            compiled=profile.compile and _uses(_shape(self.recipe())) >= COMPILE_FROM,
        )

    def recipe(self) -> Recipe:
        """The row's recipe with the chosen build parameters."""
        recipe = RECIPES[self.row]
        return replace(recipe, params={**chosen_point(self.row).params, **recipe.params})

    def text_jobs(self, study: Study) -> list[_TextJob]:
        """The text sets this cell reads, one per replicate; on real data one for all."""
        recipe = self.recipe()
        if recipe.texts is None:
            return []
        count = study.profile.replicates if study.simulated else 1
        return [_text_job(study, self.dataset, recipe, k) for k in range(count)]

    def key(self, study: Study) -> str:
        """Content hash of everything the cell's numbers depend on."""
        recipe = self.recipe()
        count = study.profile.replicates if study.simulated else 1
        parts = {
            "data": [_data_key(study, self.dataset, k) for k in range(count)],
            "seeds": study.profile.seeds,
            "recipe": plain(recipe),
            "training": asdict(self.training(study)) | {"compiled": None},
            "texts": [job.key(study) for job in self.text_jobs(study)],
            "code": code_hash(recipe.model),  # type: ignore[arg-type]
        }
        if study.profile.paper_strict:
            parts["strict"] = True
        return content_hash(parts)

    def path(self, study: Study, kind: str) -> Path:
        """File of the cell's metrics or predictions."""
        return study.folder / "cells" / f"{self.key(study)}.{kind}.parquet"

    def done(self, study: Study) -> bool:
        """Whether the cell is complete: its metrics are written last."""
        return self.path(study, "metrics").is_file()

    def compute(self, study: Study) -> None:
        """Train, evaluate and file the cell."""
        recipe, count = self.recipe(), study.profile.replicates
        splits = [study.split(self.dataset, k, recipe.fraction) for k in range(count)]
        jobs = self.text_jobs(study)
        made = [study._texts(job) for job in jobs]
        texts = [made[k % len(made)] if made else None for k in range(count)]
        result = run_cell(self.row, self.dataset, recipe, splits, texts, study.profile.seeds, self.training(study))
        if self.row == rows.LR and result.fitted is not None and texts[0] is not None:
            keep_model(
                model_folder(study.run, self.dataset),
                result.fitted.modules[0],
                load_coder(study.folder / "texts", jobs[0].key(study)),
                splits[0],
                texts[0],
                result.params,
                Sizes.of(*splits),
                {
                    "profile": asdict(study.profile),
                    "specs": study.specs,
                    "explainer": texts[0].explainer,
                    "task": "regression",
                },
            )
        for kind, frame in (("predictions", result.predictions), ("metrics", result.metrics)):
            with paths.replacing(self.path(study, kind)) as partial:
                frame.write_parquet(partial)


@dataclass(frozen=True)
class _TextJob:
    """One text set to make: which data, which texts."""

    dataset: str
    texts: Texts
    replicate: int
    fraction: float

    def key(self, study: Study) -> str:
        parts: dict[str, Any] = {
            "data": _data_key(study, self.dataset, self.replicate),
            "texts": plain(self.texts),
            "fraction": self.fraction,
            "seed": study.profile.seeds[self.replicate],
            "epochs": study.profile.autoencoder_epochs,
            "encoder": os.environ.get(ENCODER_VARIABLE) if self.texts.raw else None,
            "code": code_hash(None),
        }
        if study.profile.paper_strict:
            parts["strict"] = True
        source = self.texts.source
        if source is not None and source.kind == "store":
            parts["store"] = paths.digest(Path(stores()[source.model]))
        return content_hash(parts)

    def compute(self, study: Study) -> None:
        study._texts(self)


def _text_job(study: Study, name: str, recipe: Recipe, replicate: int) -> _TextJob:
    assert recipe.texts is not None
    source = recipe.texts.source or default_source(study.data(name)[0])
    slots = recipe.texts.slots
    if recipe.texts.variant == "full":
        slots = ("positive", "negative")  # "positive only" reads one slot of the same set
    return _TextJob(name, replace(recipe.texts, source=source, slots=slots), replicate, recipe.fraction)


def _perform(profile: Profile, specs: tuple[str, ...], item: Any) -> None:
    """Compute one cell or text set in a worker process."""
    torch.set_num_threads(1)
    item.compute(_study(profile, specs))


@cache
def _study(profile: Profile, specs: tuple[str, ...]) -> Study:
    return Study(profile, specs)


@lru_cache(maxsize=64)
def _market(name: str, seed: int, profile: Profile) -> Dataset:
    domain = name.removeprefix(rows.NULL_PREFIX)
    if domain not in DEFAULT_PARAMETERS:
        raise InputError(f"there is no simulated market {name!r}: choose among {', '.join((*DOMAINS, NULL_MARKET))}.")
    parameters = replace(
        DEFAULT_PARAMETERS[domain], users=profile.users, items=profile.items, records_per_user=profile.records_per_user
    )
    market = simulate_market(domain, seed, parameters, null=name != domain)
    return replace(market, name=name)


_SPLITS: dict[tuple[str, float, bool], Split] = {}


def _split(data: Dataset, fraction: float, validation: bool) -> Split:
    """Splits are shared by identity, so that replicates on the same data share their tensors."""
    key = (data.fingerprint, fraction, validation)
    if key not in _SPLITS:
        if len(_SPLITS) >= 64:
            _SPLITS.pop(next(iter(_SPLITS)))
        _SPLITS[key] = make_split(data, train_fraction=fraction, validation=validation)
    return _SPLITS[key]


def _short_name(spec: str) -> str:
    return spec.partition(":")[0].strip()


@cache
def _uses(shape: tuple[str, str]) -> int:
    """How many rows train this very network."""
    return sum(_shape(Cell("", row).recipe()) == shape for row in RECIPES)


def _shape(recipe: Recipe) -> tuple[str, str]:
    """Sort key that brings rows with equal networks together, so that a compiled step is used again."""
    return (recipe.model.__name__ if recipe.model else "", json.dumps(plain(recipe.params), sort_keys=True))


def _data_key(study: Study, name: str, replicate: int) -> str:
    """Identity of a replicate's data: content for files; seed and parameters for markets, which their code makes."""
    if not study.simulated:
        return study.data(name)[0].fingerprint
    profile = study.profile
    size = (profile.users, profile.items, profile.records_per_user)
    parameters = asdict(DEFAULT_PARAMETERS[name.removeprefix(rows.NULL_PREFIX)])
    return content_hash([name, profile.seeds[replicate], size, parameters])
