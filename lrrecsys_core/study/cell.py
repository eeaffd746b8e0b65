"""The unit of work of a study: a row on a data set, filed under the content it was computed from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from lrrecsys_core import paths, rows
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.models.ablations import FreeVectors
from lrrecsys_core.models.base import TASKS, Recommender, Sizes
from lrrecsys_core.models.lr_recsys import WIDTH, LRRecsys
from lrrecsys_core.rows import Row
from lrrecsys_core.source_code import code_hash
from lrrecsys_core.study.doses import dosed
from lrrecsys_core.study.fingerprints import CELL_CODE, array_hash, content_hash, plain, split_hash
from lrrecsys_core.study.fitted import keep_model, kept_cell, model_folder
from lrrecsys_core.study.inputs import comparator_features
from lrrecsys_core.study.points import Point, chosen_point, relative_losses
from lrrecsys_core.study.run import Run
from lrrecsys_core.study.signal import links
from lrrecsys_core.study.text_sets import TextJob, load_coder, text_job
from lrrecsys_core.study.train_row import TRUTH, CellResult, Given, Training, run_row, same_as_paper
from lrrecsys_core.training.device import chosen_device

# What training holds of a table (the module, the stack, two moments, a scratch table, the best state), and of logits.
TABLE_COPIES, LOGIT_COPIES = 6, 3
# Steps an epoch, of all rows that share a network, from which on compiling its step pays as a rule.
COMPILE_FROM = 140


@dataclass(frozen=True)
class Cell:
    """One row on one data set of a run, with one block of its replicates and both tasks.

    What is computed of the first markets stays valid when the rest are asked for later, because a replicate comes out
    the same alone and in company.
    """

    run: Run
    dataset: str
    name: str
    block: int = 0

    @property
    def row(self) -> Row:
        """The row with the build parameters of the point it trains at."""
        row = rows.row_named(self.name)
        option = {"per_item": True} if row.model is FreeVectors and self.run.profile.free_per_item else {}
        return replace(row, params={**self.point.params, **row.params, **option})

    @property
    def point(self) -> Point:
        """The grid point chosen on validation; in `paper_strict` what the paper states, without residual biases."""
        row = rows.row_named(self.name)
        if self.run.profile.paper_strict:
            strict = row.model is not None and not row.model.own_biases
            return Point(params={"biases": False} if strict else {})
        return chosen_point(row, self.dataset)

    @property
    def replicates(self) -> tuple[int, ...]:
        """Numbers of the block's replicates within the run.

        Rows of side tables may have fewer, and so have those that read what an LLM wrote about some markets only.
        """
        row, block = rows.row_named(self.name), tuple(self.run.blocks[self.block])
        if not self.run.simulated:
            return block
        if row.side:
            block = block[: self.run.profile.side_replicates]
        if row.texts is None:
            return block
        markets, variant = self.run.data(self.dataset), row.texts.variant
        source = row.texts.source_on(markets[0], row.fraction)
        return tuple(k for k in block if source.available(markets[k], variant, row.fraction))

    @property
    def seeds(self) -> tuple[int, ...]:
        """One seed per replicate."""
        return tuple(self.run.seeds[k] for k in self.replicates)

    @property
    def training(self) -> Training:
        """Settings of `fit` of the profile."""
        profile = self.run.profile
        return Training(
            profile.epochs, profile.patience, compiled=profile.compile and self._steps >= COMPILE_FROM,
            device=chosen_device(), networks=profile.networks if self.run.simulated else 1,
        )  # fmt: skip

    @property
    def _steps(self) -> float:
        """Steps an epoch that one compilation serves."""
        row = self.row
        records = [len(self.run.split(self.dataset, k, row.fraction).train) for k in self.replicates[:1]]
        # Rows on a part of the records have another number of replicates, and so a compilation each.
        served = _uses(self.shape) if row.fraction == 1.0 else 1
        return served * sum(records) / Training.batch_size

    @property
    def sizes(self) -> dict[str, Row]:
        """The row at the sizes compared on validation: ``matched`` (as wide as LR-Recsys) and ``published``."""
        row = self.row
        published = getattr(row.model, "as_published", None)
        if published is None or row.kind != "baseline":
            return {"": row}
        found = {"matched": row}
        if self.run.profile.published_sizes:
            found["published"] = replace(row, params={**row.params, **published})
        return found

    @property
    def shape(self) -> tuple[str, str]:
        """Sort key that brings rows with equal networks together, so that a compiled step is used again."""
        row = self.row
        return (row.model.__name__ if row.model else "", json.dumps(plain(row.params), sort_keys=True))

    @property
    def own_data(self) -> tuple[int, ...]:
        """Replicates with data of their own: all of them on markets, the first alone where the data are real."""
        return self.replicates if self.run.simulated else self.replicates[:1]

    @property
    def text_jobs(self) -> list[TextJob]:
        """The text sets this cell reads, one per data set."""
        return [text_job(self.run, self.dataset, self.row, k) for k in self.own_data] if self.row.texts else []

    @property
    def key(self) -> str | None:
        """Content hash of everything the cell's numbers depend on; None while a text set it reads is not kept."""
        texts = [job.content for job in self.text_jobs]
        if None in texts:
            return None
        row = self.row
        splits = [self.run.split(self.dataset, k, row.fraction) for k in self.own_data]
        roots = ["study.train_row", "study.inputs", "study.texts", "models.whitening", "training.fit", "metrics"]
        roots += [row.model.__module__.removeprefix("lrrecsys_core.")] if row.model else []
        roots += ["study.signal"] if self.follows else []
        roots += ["study.doses"] if row.dose[0] else []
        roots += ["data.split", "data.earlier"]  # their methods run inside models
        roots += ["explain.checks", "explain.ratings", "explain.reading"] if row.floor == "direct" else []
        training = asdict(self.training) | {"compiled": None, "device": None}
        return content_hash(
            {
                "splits": [split_hash(split) for split in splits],
                "same data": same_as_paper(splits[0].dataset),
                "texts": texts,
                "whitened": row.texts is not None and row.texts.whitened,
                # They come from a market's truth, which is no part of its records.
                "attributes": [array_hash({"": comparator_features(row, split)}) for split in splits if row.attributes],
                "truth": [array_hash(self._truth(split)) for split in splits],
                "seeds": self.seeds,
                "replicates": list(self.replicates),  # the numbers under which the cell files its results
                "rows": {size: _deciding(one) for size, one in self.sizes.items()},
                "training": training | plain(self.point),
                "described": [row.model.tier, row.model.deviations] if row.model else [],
                "code": code_hash(tuple(roots), CELL_CODE),
            }
        )

    def _truth(self, split: Split) -> dict[str, Any]:
        """What floors and followed links read of a market's truth."""
        if not split.dataset.simulated or not (self.follows or self.row.floor in TRUTH):
            return {}
        return {name: read(split) for name, read in TRUTH.items()}

    def path(self, kind: str) -> Path | None:
        """File of one of the cell's `tables`; None while its key is unknown."""
        key = self.key
        return None if key is None else self.filed(key, kind)

    def filed(self, key: str, kind: str) -> Path:
        """File of one of the cell's `tables` under `key`, for callers that have it: computing it takes time."""
        return self.run.folder / "cells" / f"{key}.{kind}.parquet"

    @property
    def done(self) -> bool:
        """Whether everything the cell leaves is kept and can be read."""
        return self.kept_key is not None

    @property
    def kept_key(self) -> str | None:
        """The cell's key where its tables and the model served are kept and can be read, else None."""
        key = self.key
        if key is None or not all(paths.sound(self.filed(key, kind)) for kind in self.tables):
            return None
        return None if self.served and kept_cell(model_folder(self.run.run, self.dataset)) != key else key

    @property
    def has_nothing_to_read(self) -> bool:
        """Whether no code could be learned of the texts it reads, so that its row is not run."""
        return any(job.nothing for job in self.text_jobs)

    @property
    def tables(self) -> tuple[str, ...]:
        """What the cell leaves as Parquet, in the order of writing."""
        return (*(("signal",) if self.follows else ()), "predictions", "metrics")

    @property
    def follows(self) -> bool:
        """Whether this is a cell whose signal is followed link by link: one of LR-Recsys."""
        return self.name == rows.LR

    @property
    def served(self) -> bool:
        """Whether this is the cell whose first network `lrrecsys recommend` serves."""
        return self.name == rows.LR and self.block == 0

    def given(self) -> list[Given]:
        """Split, texts, seed and steps of each replicate; text sets are made if missing."""
        point, row = self.point, self.row
        steps = tuple((task, getattr(point, task)) for task in TASKS)
        made = [job.text_set() for job in self.text_jobs]
        texts = made if self.run.simulated else made * len(self.seeds)
        splits = [self.run.split(self.dataset, k, row.fraction) for k in self.replicates]
        return [
            Given(split, dosed(row, split, texts[at], seed) if texts else None, seed, steps, k)
            for at, (split, seed, k) in enumerate(zip(splits, self.seeds, self.replicates, strict=True))
        ]

    def run_sizes(self) -> dict[str, CellResult]:
        """Train and evaluate the row at each size; nothing is kept."""
        given = self.given()
        for row in self.sizes.values():
            refuse_beyond_memory(row, self.dataset, given, self.training)
        return {size: run_row(row, self.dataset, given, self.training) for size, row in self.sizes.items()}

    def compute(self) -> None:
        """Train, evaluate and file the cell."""
        results = self.run_sizes()
        size = better_size({size: result.metrics for size, result in results.items()})
        result = results[size]
        if self.served:
            self._keep_model(result)
        frames = {kind: getattr(result, kind) for kind in ("predictions", "metrics")}
        frames = {kind: frame.with_columns(size=pl.lit(size)) for kind, frame in frames.items()}
        if self.follows:
            assert result.trained is not None
            frames["signal"] = links(self.given(), result.trained).with_columns(dataset=pl.lit(self.dataset))
        for kind in self.tables:
            place = self.path(kind)
            assert place is not None
            with paths.replacing(place) as partial:
                frames[kind].write_parquet(partial)

    def _keep_model(self, result: CellResult) -> None:
        """File the first regression network of the first replicate, which `lrrecsys recommend` serves."""
        given, job = self.given(), self.text_jobs[0]
        first = given[0]
        assert result.trained is not None and first.texts is not None
        module = result.trained.modules[0][0][0]
        assert isinstance(module, LRRecsys)
        about = {
            "cell": self.key, "data": first.split.dataset.fingerprint,
            "profile": asdict(self.run.profile), "specs": self.run.specs,
            "explainer": first.texts.explainer, "llm": first.texts.llm, "task": TASKS[0],
        }  # fmt: skip
        sizes = Sizes.of(*(one.split for one in given))
        keep_model(
            model_folder(self.run.run, self.dataset), module, load_coder(job), first.split,
            first.texts, result.trained.params, sizes, about,
        )  # fmt: skip


def refuse_beyond_memory(row: Row, dataset: str, given: Sequence[Given], training: Training) -> None:
    """Refuse a row whose networks take more memory than there is, before any is built.

    Counted are what grows with users and items: the tables, and the logits of a softmax over all items.

    Raises
    ------
    InputError
        With both numbers.
    """
    if row.model is None:
        return
    sizes = Sizes.of(*(one.split for one in given))
    networks = training.networks * sum(len(one.networks) for one in given)
    entities = [entity for name, entity in row.model.tables.items() if name.endswith(".weight")]
    vectors = entities.count("user") * sizes.users + entities.count("item") * sizes.items
    numbers = TABLE_COPIES * vectors * row.params.get("width", WIDTH)
    if row.model.row_tables is not Recommender.row_tables and row.params.get("schedule") != "point":
        numbers += LOGIT_COPIES * training.batch_size * sizes.items
    needed, free = 4 * numbers * networks, psutil.virtual_memory().available
    if needed > free:
        raise InputError(
            f"{dataset}: {networks} networks of {row.name} for {sizes.users - 1:,} users and {sizes.items - 1:,} items"
            f" need {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} are free; take a profile with fewer seeds, or"
            " fewer users by sample_users of a table."
        )


def _deciding(row: Row) -> dict[str, Any]:
    """What a row says that decides its numbers, and not only where it is shown."""
    shown = ("tables", "kind", "texts", "point", "optional", "side", "llm", "markets_only", "written")
    return plain(row) | dict.fromkeys(shown)


def better_size(measured: dict[str, pl.DataFrame]) -> str:
    """The size with the smaller losses on validation, RMSE and 1 - AUC relative to the better one, added up."""
    if len(measured) == 1:
        return next(iter(measured))
    found = pl.concat(
        frame.filter(pl.col("part") == "validation", pl.col("metric").is_in(["RMSE", "AUC"])).select(
            "dataset", "metric", "value", size=pl.lit(size)
        )
        for size, frame in measured.items()
    )
    total = relative_losses(found, "size").group_by("size").agg(pl.col("loss").sum())
    return str(total.sort("loss", "size")["size"][0])


@cache
def _uses(shape: tuple[str, str]) -> int:
    """How many rows train this very network on the markets; one where it has this shape on other data only."""
    return max(1, sum(Cell(Run(), "", row.name).shape == shape for row in rows.ROWS if row.computed))
