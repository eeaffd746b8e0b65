"""A study: every row of every table on every data set, as cells that are cached, resumable and independent.

A cell is one row on one data set, with all its replicates and both tasks. It is filed under a hash of the data, the
source of its texts, its parameters and the code that matters, and written in one stroke: a killed study loses at most
the cells it was in, and a second run reads them all.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from pathlib import Path

import joblib
import polars as pl
import torch
from tqdm import tqdm

from lrrecsys_core import paths, rows
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.load import load_dataset
from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS, simulate_market
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.generate import Explanations
from lrrecsys_core.profiles import Profile, get_profile
from lrrecsys_core.study.cell import Cell, TextJob, text_job
from lrrecsys_core.study.recipes import RECIPES, runnable
from lrrecsys_core.study.texts import TextSet

DOMAINS = ("hotels", "restaurants", "movies")
NULL_MARKET = f"{rows.NULL_PREFIX}hotels"
# By the time they took on real ratings (statements compared for each record, softmax over all items, texts as
# targets): one of them started last keeps the other cores waiting.
SLOWEST = (rows.EXTRACTIVE, "BERT4Rec", "UniSRec", "UCEPic", rows.PETER, "PARSRec", "MMALFM")
TABLES: tuple[int | str, ...] = (2, 3, 4, 5, 6, rows.SENSITIVITY)


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
    def seeds(self) -> tuple[int, ...]:
        """One seed per replicate."""
        return self.profile.seeds if self.simulated else self.profile.seeds_of_files

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
        names = self.datasets
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"two data sets of this run are called {twice!r}: rename a file, or run them apart.")
        return {name: load_dataset(spec) for name, spec in zip(names, self.specs, strict=True)}

    @property
    def datasets(self) -> tuple[str, ...]:
        """Data sets that the tables show."""
        return DOMAINS if self.simulated else tuple(map(paths.dataset_name, self.specs))

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
        return [self._loaded[name]] * len(self.seeds)

    def split(self, name: str, replicate: int = 0, fraction: float = 1.0) -> Split:
        """The split of one replicate."""
        return _split(self.data(name)[replicate], fraction, validation=not self.profile.paper_strict)

    def explanations(self, name: str, row: str = rows.LR, replicate: int = 0) -> Explanations:
        """The texts a row reads."""
        recipe = RECIPES[row]
        if recipe.texts is None:
            raise InputError(f"the row {row!r} reads no texts: choose one with explanations, such as {rows.LR!r}.")
        job = text_job(self, name, recipe, replicate)
        return job.source.explanations(self.split(name, replicate, recipe.fraction), job.texts.variant)

    def text_set(self, name: str, row: str = rows.LR, replicate: int = 0) -> TextSet:
        """The texts of a row with their embeddings and the facts of the autoencoder; made if missing."""
        return text_job(self, name, RECIPES[row], replicate).texts_of(self)

    def text_key(self, name: str, row: str = rows.LR, replicate: int = 0) -> str:
        """Hash under which `text_set` is kept in results/<run>/texts."""
        return text_job(self, name, RECIPES[row], replicate).key(self)

    def rows_of(self, name: str, tables: Iterable[int | str] = TABLES) -> list[str]:
        """Rows of these tables that can be computed on a data set, each once."""
        data = self.data(name)[0]
        # Short of all replicates, the side rows are a sample: the first markets of each domain, and none on real data.
        sides = self.profile.side_replicates >= (1 if self.simulated else self.profile.replicates)
        wanted = (row for table in tables for row in rows.rows_of(table) if sides or not row.side)
        return [name for name in dict.fromkeys(row.name for row in wanted) if runnable(name, data)]

    def cells(self, tables: Iterable[int | str] = TABLES) -> list[Cell]:
        """The cells behind these tables, those with equal networks next to each other."""
        tables = tuple(tables)
        found = [Cell(name, row) for name in self.all_datasets for row in self.rows_of(name, tables)]
        return sorted(found, key=lambda cell: cell.shape)

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
        cells = [cell for cell in self.cells(tables) if named is None or cell.row in named]
        missing = sorted((cell for cell in cells if not cell.done(self)), key=_place)
        readers = Counter(job for cell in missing for job in cell.text_jobs(self))
        # A set that one cell alone reads is made by that cell, so that no process waits for it; several are not, since
        # a cell would make them one after the other.
        alone = {job for cell in missing if len(made := cell.text_jobs(self)) == 1 for job in made if readers[job] == 1}
        waiting = [job for job in readers if job not in alone and not job.done(self)]
        self._in_parallel(waiting, "explanations", progress, jobs)
        self._in_parallel(missing, "cells", progress, jobs)

    def _in_parallel(self, work: Sequence[Cell | TextJob], label: str, progress: bool, jobs: int | None) -> None:
        if not work:
            return
        workers = min(len(work), jobs or os.cpu_count() or 1)
        results = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)(
            joblib.delayed(_perform)(self.profile, self.specs, item) for item in work
        )
        for _ in tqdm(results, total=len(work), desc=label, unit="", disable=not progress):
            pass

    def metrics(self, tables: Iterable[int | str] = TABLES) -> pl.DataFrame:
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


def _place(cell: Cell) -> int:
    """Place of a cell in the order of starting; cells of equal place stay next to those with an equal network."""
    return next((k for k, name in enumerate(SLOWEST) if cell.row.startswith(name)), len(SLOWEST))


def _perform(profile: Profile, specs: tuple[str, ...], item: Cell | TextJob) -> None:
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
