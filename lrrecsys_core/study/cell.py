"""The units of work of a study: cells (a row on a data set) and text sets, filed under what decides them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from lrrecsys_core import paths, rows
from lrrecsys_core.data.simulate import DEFAULT_PARAMETERS
from lrrecsys_core.explain.sources import Source, default_source
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.study.fingerprints import code_hash, content_hash, plain
from lrrecsys_core.study.points import Point, chosen_point, relative_losses
from lrrecsys_core.study.recipes import RECIPES, Recipe, Texts
from lrrecsys_core.study.serve import keep_model, model_folder
from lrrecsys_core.study.texts import TextSet, load_coder, load_text_set, make_text_set, save_text_set
from lrrecsys_core.study.train_row import Training, run_cell

if TYPE_CHECKING:
    from lrrecsys_core.study.run import Study

COMPILE_FROM = 8  # rows sharing a network from which on compiling its step saves more than it costs


@dataclass(frozen=True)
class Cell:
    """One row on one data set, with all its replicates and both tasks."""

    dataset: str
    row: str

    def point(self) -> Point:
        """The point of the model's grid chosen on validation: on settling markets, or on a sample of real data."""
        return chosen_point(self.row, self.dataset)

    def seeds(self, study: Study) -> tuple[int, ...]:
        """One seed per replicate; rows of side tables may have fewer."""
        few = study.simulated and rows.BY_NAME[self.row].side
        return study.seeds[: study.profile.side_replicates] if few else study.seeds

    def training(self, study: Study) -> Training:
        """Settings of `fit`: the profile's, at the chosen point."""
        profile, point = study.profile, self.point()
        return Training(
            profile.epochs,
            profile.patience,
            regression=point.regression,
            classification=point.classification,
            # A row on a part of the records has too few steps to earn its compilation back.
            compiled=profile.compile and _uses(self.shape) >= COMPILE_FROM and self.recipe().fraction == 1.0,
        )

    def recipe(self) -> Recipe:
        """The row's recipe with the chosen build parameters."""
        recipe = RECIPES[self.row]
        return replace(recipe, params={**self.point().params, **recipe.params})

    def sizes(self, study: Study) -> dict[str, Recipe]:
        """The recipes compared on validation, by size: ``matched`` (as wide as LR-Recsys) and ``published``."""
        recipe = self.recipe()
        published = getattr(recipe.model, "as_published", None)
        if published is None or rows.BY_NAME[self.row].kind != "baseline":
            return {"": recipe}
        found = {"matched": recipe}
        if study.profile.published_sizes:
            found["published"] = replace(recipe, params={**recipe.params, **published})
        return found

    @property
    def shape(self) -> tuple[str, str]:
        """Sort key that brings rows with equal networks together, so that a compiled step is used again."""
        recipe = self.recipe()
        return (recipe.model.__name__ if recipe.model else "", json.dumps(plain(recipe.params), sort_keys=True))

    def text_jobs(self, study: Study) -> list[TextJob]:
        """The text sets this cell reads, one per replicate; on real data one for all."""
        recipe = self.recipe()
        if recipe.texts is None:
            return []
        return [text_job(study, self.dataset, recipe, k) for k in range(self._distinct(study))]

    def _distinct(self, study: Study) -> int:
        """How many different data sets the replicates have."""
        return len(self.seeds(study)) if study.simulated else 1

    def key(self, study: Study) -> str:
        """Content hash of everything the cell's numbers depend on."""
        recipe, sizes = self.recipe(), self.sizes(study)
        parts = {
            "data": [_data_key(study, self.dataset, k) for k in range(self._distinct(study))],
            "seeds": self.seeds(study),
            "recipe": plain(recipe),
            "training": asdict(self.training(study)) | {"compiled": None},
            "texts": [job.key(study) for job in self.text_jobs(study)],
            "code": code_hash(recipe.model or recipe.floor),  # type: ignore[arg-type]
        }
        if study.profile.paper_strict:
            parts["strict"] = True
        if len(sizes) > 1:
            parts["sizes"] = plain(sizes)
        return content_hash(parts)

    def path(self, study: Study, kind: str) -> Path:
        """File of the cell's metrics or predictions."""
        return study.folder / "cells" / f"{self.key(study)}.{kind}.parquet"

    def done(self, study: Study) -> bool:
        """Whether the cell is complete: its metrics are written last."""
        return self.path(study, "metrics").is_file()

    def compute(self, study: Study) -> None:
        """Train, evaluate and file the cell."""
        seeds, sizes = self.seeds(study), self.sizes(study)
        splits = [study.split(self.dataset, k, self.recipe().fraction) for k in range(len(seeds))]
        jobs = self.text_jobs(study)
        if not all(job.source.programmed for job in jobs):  # an LLM answered, not a programme
            sizes = {size: replace(recipe, by_construction=False) for size, recipe in sizes.items()}
        made = [job.texts_of(study) for job in jobs]
        texts = [made[k % len(made)] if made else None for k in range(len(seeds))]
        training = self.training(study)
        results = {
            size: run_cell(self.row, self.dataset, recipe, splits, texts, seeds, training)
            for size, recipe in sizes.items()
        }
        size = better_size({size: result.metrics for size, result in results.items()})
        result = results[size]
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
                    "stored": not jobs[0].source.programmed,
                    "task": "regression",
                },
            )
        measured = result.metrics.with_columns(size=pl.lit(size))
        for kind, frame in (("predictions", result.predictions), ("metrics", measured)):
            with paths.replacing(self.path(study, kind)) as partial:
                frame.write_parquet(partial)


@dataclass(frozen=True)
class TextJob:
    """One text set to make: which data, which texts."""

    dataset: str
    texts: Texts
    replicate: int
    fraction: float

    @property
    def source(self) -> Source:
        """Where the texts come from: the row's own source, or the data set's."""
        assert self.texts.source is not None
        return self.texts.source

    def key(self, study: Study) -> str:
        """Content hash of everything the texts and their codes depend on."""
        parts: dict[str, Any] = {
            "data": _data_key(study, self.dataset, self.replicate),
            "texts": plain(self.texts) | {"source": self.source.key()},
            "fraction": self.fraction,
            "seed": study.seeds[self.replicate],
            "epochs": study.profile.autoencoder_epochs,
            "code": code_hash(None),
        }
        if study.profile.paper_strict:
            parts["strict"] = True
        if self.texts.raw and (embedder := self.source.embedder()) is not None:
            parts["embedder"] = embedder.identity
        return content_hash(parts)

    def done(self, study: Study) -> bool:
        """Whether the text set is kept: its last file marks it complete."""
        return (study.folder / "texts" / f"{self.key(study)}.json").is_file()

    def compute(self, study: Study) -> None:
        """Make and keep the text set."""
        self.texts_of(study)

    def texts_of(self, study: Study) -> TextSet:
        """The kept text set, made if missing."""
        key, folder = self.key(study), study.folder / "texts"
        kept = load_text_set(folder, key)
        if kept is not None:
            return kept
        split = study.split(self.dataset, self.replicate, self.fraction)
        made, coder = make_text_set(
            split,
            self.texts,
            seed=study.seeds[self.replicate],
            epochs=study.profile.autoencoder_epochs,
            with_shift=self._shifted(study),
        )
        save_text_set(folder, key, made, coder)
        return made

    def _shifted(self, study: Study) -> bool:
        """Whether some row is evaluated under a shift by these texts, whichever row asked for them first.

        Nobody but a reasoner can be asked about a market that has moved.
        """
        if not (study.simulated and self.source.answers_prompts) or self.dataset.startswith(rows.NULL_PREFIX):
            return False
        moved = (text_job(study, self.dataset, recipe, self.replicate) for recipe in RECIPES.values() if recipe.shifted)
        return any(other == self for other in moved)


def text_job(study: Study, name: str, recipe: Recipe, replicate: int) -> TextJob:
    """The text set that a recipe reads in one replicate of a data set."""
    assert recipe.texts is not None
    slots, variant = recipe.texts.slots, recipe.texts.variant
    source = recipe.texts.source or default_source(study.data(name)[0], variant, recipe.fraction)
    if variant == "full":
        slots = ("positive", "negative")  # "positive only" reads one slot of the same set
    return TextJob(name, replace(recipe.texts, source=source, slots=slots), replicate, recipe.fraction)


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
    """How many rows train this very network."""
    return sum(Cell("", row).shape == shape for row in RECIPES)


def _data_key(study: Study, name: str, replicate: int) -> str:
    """Identity of a replicate's data: content for files; seed and parameters for markets, which their code makes."""
    if not study.simulated:
        return study.data(name)[0].fingerprint
    profile = study.profile
    return _market_key(name, study.seeds[replicate], (profile.users, profile.items, profile.records_per_user))


@cache
def _market_key(name: str, seed: int, size: tuple[int, int, int]) -> str:
    return content_hash([name, seed, size, asdict(DEFAULT_PARAMETERS[name.removeprefix(rows.NULL_PREFIX)])])
