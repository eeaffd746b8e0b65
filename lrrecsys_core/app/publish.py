"""From a study's kept results to its tables, claims, figures and page; nothing is trained here."""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
import polars as pl
from torch import nn

from lrrecsys_core import paths, rows
from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.explain.generate import explain_records
from lrrecsys_core.explain.reasoners import MetadataExplainer
from lrrecsys_core.models.autoencoder import WIDTH, AutoEncoder
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.report.formats import Grid, number, write_all
from lrrecsys_core.report.notes import unordered_note
from lrrecsys_core.report.page import Toy, write_report
from lrrecsys_core.report.tables import write_tables
from lrrecsys_core.study.study import Study

TIED = "tied cuts"
CUTS = "A tied cut is a user whose last training and first test record have the same time."


def publish(study: Study, *, redraw: bool = True) -> Path:
    """Write every table, claim, figure and the page of a run from what is kept of it; return the page.

    Parameters
    ----------
    redraw : draw every figure; if False only those that are missing or older than some kept result.

    Raises
    ------
    InputError
        When the run has no results yet.
    """
    metrics, predictions = study.metrics(), study.predictions()
    publish_data(study)
    return write_report(
        study.run, metrics, predictions, parts=parameter_parts(study), toy=toy_texts(), newer_than=newest(study, redraw)
    )


def newest(study: Study, redraw: bool) -> float:
    """Time of the last kept result, which an up-to-date figure is newer than; infinite when all are to be redrawn."""
    return inf if redraw else max(file.stat().st_mtime for file in (study.folder / "cells").iterdir())


def publish_tables(study: Study) -> dict[int | str, pl.DataFrame]:
    """Write Tables 1-6 from what is kept; rows that were not run say so."""
    return write_tables(study.run, study.metrics(), parts=parameter_parts(study))


def publish_data(study: Study) -> pl.DataFrame:
    """Write and return the table ``data``: counts of every data set and shares of its split (first replicate)."""
    lines = []
    for name in study.datasets:
        split = study.split(name)
        records = split.dataset.interactions
        counts = {f"{of}s": records[f"{of}_id"].n_unique() for of in ("user", "item")}
        shares = {key.replace("_", " "): value for key, value in split.shares.items()}
        lines.append({"data set": name, "records": records.height, **counts, **shares})
    table = pl.DataFrame(lines)
    untimed = [name for name in study.datasets if not study.split(name).dataset.ordered]
    body = [
        [key, *("no time" if key == TIED and line["data set"] in untimed else _told(key, line[key]) for line in lines)]
        for key in table.columns[1:]
    ]
    title = f"Data and split ({'SIMULATED markets' if study.simulated else 'real data'})"
    notes = ["Shares of all records; cold users and items as shares of the test (or validation) records.", CUTS]
    if untimed:
        notes.append(unordered_note(untimed))
    write_all(paths.tables(study.run), "data", table, title, notes, [Grid("", ["", *study.datasets], body)])
    return table


def _told(key: str, value: object) -> str:
    """A count, a share, or yes or no."""
    if key == "validation by random users":
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else number(value, 3)


def parameter_parts(study: Study) -> pl.DataFrame:
    """Trainable weights of each part of LR-Recsys on each data set, for Table 1: part, dataset, parameters.

    The id tables are those of the first replicate; residual biases of the shared protocol are no part of the model.
    """
    lines: list[tuple[str, str, int]] = []
    for name in study.datasets:
        sizes = Sizes.of(study.split(name))
        model = LRRecsys(sizes, biases=False, context=sizes.context > 0)
        words = int(study.text_set(name, rows.LR).report["words"])
        lines += [
            ("Fine-tuned AutoEncoder", name, _count(AutoEncoder(words)) - words * WIDTH),
            ("Word table", name, words * WIDTH),
            ("Self-attention and GRU layer", name, _count(model.history_attention) + _count(model.history_state)),
            ("Consumer embedding table", name, sizes.users * WIDTH),
            ("Product embedding table", name, sizes.items * WIDTH),
            ("Self-attention layer", name, _count(model.fusion)),
            ("Multi-layer perceptron layers (MLPs)", name, _count(model.head)),
            ("Context layers", name, _count(model.context) if model.context is not None else 0),
        ]
    return pl.DataFrame(lines, schema=["part", "dataset", "parameters"], orient="row")


def fruit_basket() -> Split:
    """The toy history of Figure 2: four fruits, then an orange juice (the last record) and its packaging."""
    details = {
        "apple": "whole fruit; sweet",
        "orange": "whole fruit; citrus",
        "pear": "whole fruit; sweet",
        "watermelon": "whole fruit; sweet",
        "orange juice": "pressed; citrus; one-litre carton; smiling logo",
    }
    names = list(details)
    records = {"user_id": ["consumer"] * 5, "item_id": names, "rating": [5.0] * 5, "timestamp": list(range(1, 6))}
    items = {"item_id": names, "name": names, "details": list(details.values())}
    return make_split(make_dataset("toy", "product", pl.DataFrame(records), pl.DataFrame(items)), validation=False)


def toy_texts() -> Toy:
    """Figure 2 with the metadata explainer in place of the paper's GPT-4."""
    split, explainer = fruit_basket(), MetadataExplainer()
    told = explain_records(split, explainer, "no_profile", records=np.array([4]))
    *history, candidate = split.dataset.items["name"]
    return Toy(history, candidate, told.texts("positive")[4], told.texts("negative")[4], explainer.name)


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
