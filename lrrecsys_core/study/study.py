"""A study: every row of every table on every data set of a run, as cells that are kept, resumable and independent.

A killed study loses at most the cells it was in, and a second run reads them all.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import joblib
import polars as pl
import torch

from lrrecsys_core import rows
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.errors import InputError, NothingToRead
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.study.averaged import averaged_metrics, averaged_predictions
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.run import Run
from lrrecsys_core.study.signal import SCHEMA
from lrrecsys_core.study.text_sets import TextJob, text_job
from lrrecsys_core.study.texts import TextSet
from lrrecsys_core.terminal import PROGRESS_VARIABLE, track
from lrrecsys_core.workers import tied

# By the time they took on real ratings (statements compared for each record, softmax over all items, texts as targets,
# many epochs): one of them started last keeps the other cores waiting.
SLOWEST = (
    rows.EXTRACTIVE, "BERT4Rec", "UCEPic", "UniSRec", rows.PETER, rows.PRODUCT, rows.PRODUCT_SHUFFLED,
    rows.PRODUCT_FREE, "ANR", "PARSRec", "MMALFM",
)  # fmt: skip
T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")
AVERAGED = tuple(row for row in rows.ROWS if row.averages)
TABLES: tuple[int | str, ...] = (2, 3, 4, 5, 6, *rows.SIDE_TABLES)


class Work(Protocol[T_co]):
    """What a worker process can do: a cell, a text set, the grid of a row."""

    def compute(self) -> T_co:
        """Do it."""


class Study(Run):
    """All cells of one run; parameters as for `Run`."""

    def rows_of(self, name: str, tables: Iterable[int | str] = TABLES) -> list[str]:
        """Rows of these tables that can be computed on a data set, each once."""
        data = self.data(name)[0]
        # Short of all replicates, the side rows are a sample: the first markets of each domain, and none on real data.
        sides = self.profile.side_replicates >= (1 if self.simulated else self.profile.replicates)
        wanted = (row for table in tables for row in rows.rows_of(table) if sides or not row.side)
        return [name for name in dict.fromkeys(row.name for row in wanted) if runnable(name, data)]

    def cells(self, tables: Iterable[int | str] = TABLES) -> list[Cell]:
        """The cells behind these tables that the run is asked for, those with equal networks next to each other."""
        tables = tuple(tables)
        wanted = ((name, row) for name in self.all_datasets for row in self.rows_of(name, tables))
        return sorted((cell for pair in wanted for cell in self.cells_of(*pair)), key=lambda cell: cell.shape)

    def cells_of(self, name: str, row: str) -> list[Cell]:
        """The cells of a row on a data set, one per block that the run is asked for; side rows have the first alone.

        A row that an LLM wrote has none in blocks whose markets nobody asked it about.
        """
        asked = self.asked[:1] if rows.row_named(row).side else self.asked
        return [cell for block in asked if (cell := Cell(self, name, row, block)).replicates]

    def explanations(self, name: str, row: str = rows.LR, replicate: int = 0) -> Explanations:
        """The texts a row reads; `NothingToRead` where the items have none, as for `text_set`."""
        return self._text_job(name, row, replicate).explanations()

    def text_set(self, name: str, row: str = rows.LR, replicate: int = 0) -> TextSet:
        """The texts of a row with their embeddings and the facts of the autoencoder; made if missing."""
        return self._text_job(name, row, replicate).text_set()

    def absence(self, name: str, row: str = rows.LR) -> str:
        """Why a row has nothing to read on a data set, or ""."""
        data = self.data(name)[0]
        return "" if runnable(row, data) else rows.absence(rows.row_named(row), data.item_text, data.ordered)

    def _text_job(self, name: str, row: str, replicate: int) -> TextJob:
        if rows.row_named(row).texts is None:
            raise InputError(f"the row {row!r} reads no texts: choose one with explanations, such as {rows.LR!r}.")
        if reason := self.absence(name, row):
            raise NothingToRead(f"{name}: {row!r} is not run: {reason}. Give `name` or `details`, or texts of an LLM.")
        return text_job(self, name, rows.row_named(row), replicate)

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
        progress : show what is done, and how long the rest will take.
        jobs : processes; by default one per core. Another joblib backend, a Ray cluster for instance, is chosen by
            ``with joblib.parallel_config(backend="ray")`` around the call.
        """
        named = None if only is None else set(only)
        cells = [cell for cell in self.cells(tables) if named is None or cell.name in named]
        missing = [cell for cell in cells if not cell.done and not cell.has_nothing_to_read]
        missing.sort(key=lambda cell: place(cell.name))
        readers = Counter(job for cell in missing for job in cell.text_jobs)
        # A set that one cell alone reads is made by that cell, so that no process waits for it; several are not, since
        # a cell would make them one after the other.
        alone = {job for cell in missing if len(made := cell.text_jobs) == 1 for job in made if readers[job] == 1}
        waiting = [job for job in readers if job not in alone and job.content is None]
        deque(in_parallel(waiting, "texts", jobs, shown=progress), maxlen=0)
        # A text set made anew may be what it was, and then the cells that read it are, too.
        left = [cell for cell in missing if not (waiting and (cell.done or cell.has_nothing_to_read))]
        beside = {}
        if left and progress and os.environ.get(PROGRESS_VARIABLE):  # whoever watches the run counts all its cells
            everything = self.cells()
            kept = sum(cell.done for cell in everything)
            beside = {"kept": kept, "later": max(len(everything) - kept - len(left), 0)}
        deque(in_parallel(left, "rows", jobs, shown=progress, **beside), maxlen=0)

    def metrics(self, tables: Iterable[int | str] = TABLES) -> pl.DataFrame:
        """The metric rows of every kept cell asked for, in a fixed order.

        Three columns are added: ``cell``, its key, ``markets``, how many the profile has of each domain (null where
        the data are real), and ``item_text``, whether the data set's items have any.
        """
        markets = pl.lit(len(self.seeds) if self.simulated else None, pl.Int64).alias("markets")
        told = {name: self.data(name)[0].item_text for name in self.all_datasets}
        item_text = pl.col("dataset").replace_strict(told, return_dtype=pl.Boolean).alias("item_text")
        tables = tuple(tables)
        kept = self._kept("metrics", self.cells(tables))
        for row in (row for row in AVERAGED if set(tables) & set(row.tables)):
            cells = [cell for cell in self.cells(tables) if cell.name in row.averages]
            if {cell.name for cell in cells if cell.done} == set(row.averages):
                predicted = averaged_predictions(row, self._kept("predictions", cells))
                of_parts = kept.filter(pl.col("row").is_in(row.averages))
                kept = pl.concat([kept, averaged_metrics(row, of_parts, predicted)])
        kept = kept.with_columns(markets, item_text)
        return kept.sort("dataset", "row", "part", "metric", "replicate")

    def predictions(self, rows: Sequence[str] | None = None, datasets: Sequence[str] | None = None) -> pl.DataFrame:
        """Per-record test predictions of the kept cells asked for."""
        kept = self._kept("predictions", [c for c in self.cells() if datasets is None or c.dataset in datasets])
        for row in AVERAGED:
            of_parts = kept.filter(pl.col("row").is_in(row.averages))
            if of_parts["row"].n_unique() == len(row.averages):
                kept = pl.concat([kept, averaged_predictions(row, of_parts)], how="diagonal")
        kept = kept.drop("cell")
        return kept if rows is None else kept.filter(pl.col("row").is_in(list(rows)))

    def signal(self) -> pl.DataFrame:
        """What each link of the chain explains (see `links`) in the kept cells of LR-Recsys asked for; perhaps none."""
        cells = [cell for name in self.all_datasets for cell in self.cells_of(name, rows.LR) if cell.done]
        if not cells:
            return pl.DataFrame(schema=SCHEMA | {"dataset": pl.String, "cell": pl.String})
        return self._kept("signal", cells).sort("dataset", "replicate", maintain_order=True)

    def _kept(self, kind: str, cells: Iterable[Cell]) -> pl.DataFrame:
        frames = [
            pl.read_parquet(cell.filed(key, kind)).with_columns(cell=pl.lit(key))
            for cell in cells
            if (key := cell.kept_key)
        ]
        if not frames:
            raise InputError(f"run {self.run!r} has no results yet: call run_rows first, or run `make reproduce`.")
        return pl.concat(frames, how="diagonal_relaxed")


def runnable(name: str, dataset: Dataset) -> bool:
    """Whether a row can be computed on a data set with what is at hand."""
    row = rows.row_named(name)
    if not row.computed or (row.markets_only and not dataset.simulated):
        return False
    if rows.absence(row, item_text=True, ordered=dataset.ordered):
        return False
    if dataset.simulated and dataset.name.startswith(rows.NULL_PREFIX):
        return name in rows.ON_NULL_MARKETS
    if row.texts is None:
        return True
    source = row.texts.source_on(dataset, row.fraction)
    return not (row.written and source.programmed) and source.available(dataset, row.texts.variant, row.fraction)


def in_parallel(work: Sequence[Work[T]], what: str, jobs: int | None, **told: Any) -> Iterator[T]:
    """Compute pieces of work in worker processes and yield what comes of them as it comes; `told` goes to `track`."""
    if not work:
        return
    workers = min(len(work), jobs or os.cpu_count() or 1)
    results = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)(
        joblib.delayed(tied)(os.getpid(), _perform, item) for item in work
    )
    yield from track(results, len(work), what, **told)


def _perform(item: Work[T]) -> T | None:
    """Compute one piece of work in a worker process."""
    torch.set_num_threads(1)
    with suppress(NothingToRead):  # noted beside the texts; tables say "not run"
        return item.compute()
    return None


def place(row: str) -> int:
    """Place of a row in the order of starting; rows of equal place stay next to those with an equal network."""
    return next((k for k, name in enumerate(SLOWEST) if row.startswith(name)), len(SLOWEST))
