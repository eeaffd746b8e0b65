"""From a study's kept results to the aggregates that tables, claims, figures and the page are drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import nn

from lrrecsys_core import paths, rows
from lrrecsys_core.app.remembered import remembered
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.data.toy import fruit_basket
from lrrecsys_core.errors import NothingToRead
from lrrecsys_core.explain.clients.formats import EMBEDDED
from lrrecsys_core.explain.fault_report import fault_report
from lrrecsys_core.explain.generate import explain_records
from lrrecsys_core.explain.reasoners import MetadataExplainer
from lrrecsys_core.explain.source import Source
from lrrecsys_core.explain.sources import writers
from lrrecsys_core.models.autoencoder import WIDTH, AutoEncoder
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.report.claims import judge_all
from lrrecsys_core.report.description import write_description
from lrrecsys_core.report.drawings import collect_figures
from lrrecsys_core.report.evidence import null_markets, sources
from lrrecsys_core.report.faults import write_faults
from lrrecsys_core.report.figures import MAPS
from lrrecsys_core.report.kept import keep, kept, theory_of
from lrrecsys_core.report.page import write_report
from lrrecsys_core.report.signal import collect_signal, write_signal
from lrrecsys_core.report.style import titled
from lrrecsys_core.report.tables import write_tables
from lrrecsys_core.study.fingerprints import split_hash
from lrrecsys_core.study.fitted import kept_cell, load_model, model_folder
from lrrecsys_core.study.inputs import record_fields
from lrrecsys_core.study.study import Study
from lrrecsys_core.study.text_sets import text_job
from lrrecsys_core.theory.claims import evidence
from lrrecsys_core.theory.study import Study as Simulations
from lrrecsys_core.training.fit import as_tensors, predict


def publish(study: Study, *, redraw: bool = True) -> Path:
    """Collect the aggregates of a run and write every table, claim, figure and the page from them; return the page.

    Parameters
    ----------
    redraw : draw every figure; if False only those that are missing or older than their aggregate.

    Raises
    ------
    InputError
        When the run has no results yet.
    """
    collect(study)
    return write_report(study.run, redraw=redraw)


def collect(study: Study) -> None:
    """Keep in ``figures/<run>/data`` what :func:`~lrrecsys_core.report.page.write_report` needs, from the run's cells.

    What only a notebook makes (its figures, and the simulations of theory) it keeps itself, when it runs.
    """
    run = study.run
    metrics, predictions = study.metrics(), study.predictions()
    keep(run, "metrics", metrics)
    keep(run, "parts", parameter_parts(study))
    keep(run, "description", describe_data(study))
    keep_toy(run)
    theory = kept(theory_of(run), "claims")
    found = sources(metrics, predictions), null_markets(metrics, predictions)
    keep(run, "evidence", judge_all(*found, theory=theory, bench=paths.read_bench(), profile=run))
    collect_figures(run, *found)
    keep_signal(study, metrics)
    if not (maps := collect_attention(study)).is_empty():
        keep(run, "attention_map", maps)


def collect_attention(study: Study) -> pl.DataFrame:
    """Attention of every token on every token (Eq 26-28) in the network that is served of each data set.

    Returns
    -------
    frame : title, what, from, to, share; mean over the test records of the first replicate and, of markets, the first
        test record alone. No lines of data sets without a network of this run.
    """
    lines: list[tuple[str, str, str, str, float]] = []
    for name in study.datasets:
        folder, row = model_folder(study.run, name), rows.BY_NAME[rows.LR]
        key = kept_cell(folder)
        if key is None or key not in {cell.key for cell in study.cells_of(name, rows.LR)}:
            continue
        split = study.split(name)
        module = load_model(folder, split).module
        fields = as_tensors(record_fields(row, split, Sizes.of(split), study.text_set(name), split.seed))
        tokens = torch.from_numpy(predict(module, fields, split.test, method="tokens"))
        with torch.no_grad():
            weights = module.fusion.weights(tokens).numpy()
        shown = {MAPS[0]: weights[0]} if split.dataset.simulated else {}
        for what, shares in (shown | {MAPS[1]: weights.mean(0)}).items():
            ends = (tuple(module.token_names[k] for k in at) for at in np.ndindex(shares.shape))
            lines += [(titled(split.dataset), what, *pair, float(v)) for pair, v in zip(ends, shares.flat, strict=True)]
    return pl.DataFrame(lines, schema=["title", "what", "from", "to", "share"], orient="row")


def keep_signal(study: Study, metrics: pl.DataFrame) -> None:
    """Keep what each link of the chain explains, where LR-Recsys was run."""
    links = study.signal()
    if not links.is_empty():
        keep(study.run, "signal", collect_signal(links, [*sources(metrics), *null_markets(metrics)]))


def publish_signal(study: Study) -> pl.DataFrame:
    """Write and return the table ``signal``: what each link of the chain explains, and where it is lost.

    Raises
    ------
    InputError
        When LR-Recsys was not run.
    """
    keep_signal(study, study.metrics())
    return write_signal(study.run)


def publish_faults(study: Study) -> pl.DataFrame:
    """Keep and return what is wrong with the answers about every data set (first replicate), and write it as a table.

    Judged are the answers behind LR-Recsys and those of every real writer at hand, profiles included.
    """
    keep(study.run, "faults", collect_faults(study))
    return write_faults(study.run)


def collect_faults(study: Study) -> pl.DataFrame:
    """The lines of `fault_report` for every data set of a study and whoever wrote about it, with its ``title``.

    Raises
    ------
    NothingToRead
        When nobody wrote about any of them.
    """
    found = []
    for name in study.datasets:
        split = study.split(name)
        own = text_job(study, name, rows.BY_NAME[rows.LR], 0).source
        told = [source for source in dict.fromkeys([own, *writers()]) if source.available(split.dataset)]
        title = pl.lit(titled(split.dataset)).alias("title")
        found += [_faults_of(split, source).select(title, pl.all()) for source in told]
    if not found:
        raise NothingToRead(f"run {study.run!r} has no answers whose faults could be counted: {rows.NO_ITEM_TEXT}.")
    return pl.concat(found)


def _faults_of(split: Split, source: Source) -> pl.DataFrame:
    """`fault_report`, judged once: answers by the hundred thousand are kept as long as text sets are."""
    return remembered(fault_report, split, source, about=[split_hash(split), source.key()])


def publish_tables(study: Study) -> dict[int | str, pl.DataFrame]:
    """Write Tables 1-6 from what is kept; rows that were not run say so."""
    return write_tables(study.run, study.metrics(), parts=parameter_parts(study))


def publish_theory(study: Simulations) -> pl.DataFrame:
    """Keep and return the contrasts of claims C17 to C20."""
    found = evidence(study)
    keep(theory_of(study.run), "claims", found, rows=True)
    return found


def publish_data(study: Study) -> pl.DataFrame:
    """Write and return the table ``data``: counts of every data set and shares of its split (first replicate)."""
    keep(study.run, "description", describe_data(study))
    return write_description(study.run)


def describe_data(study: Study) -> pl.DataFrame:
    """Counts and shares of every data set of a study, a line each."""
    lines = []
    for name in study.datasets:
        split = study.split(name)
        records = split.dataset.interactions
        counts = {f"{of}s": records[f"{of}_id"].n_unique() for of in ("user", "item")}
        shares = {key.replace("_", " "): value for key, value in split.shares.items()}
        data = split.dataset
        flags = {"simulated": study.simulated, "ordered": data.ordered, "given split": data.given_split}
        lines.append({"data set": name, "records": records.height, **counts, **shares, **flags})
    return pl.DataFrame(lines)


def parameter_parts(study: Study) -> pl.DataFrame:
    """Trainable weights of each part of LR-Recsys on each data set, for Table 1: part, dataset, parameters.

    The id tables are those of the first replicate; residual biases of the shared protocol are no part of the model.
    Parts that read texts have null parameters where items have none.
    """
    lines: list[tuple[str, str, int | None]] = []
    for name in study.datasets:
        sizes = Sizes.of(study.split(name))
        model = LRRecsys(sizes, biases=False, context=sizes.context > 0)
        words = None if study.absence(name) else int(study.text_set(name, rows.LR).report["words"])
        lines += [
            ("Fine-tuned AutoEncoder", name, None if words is None else _count(AutoEncoder(words)) - words * WIDTH),
            ("Word table", name, None if words is None else words * WIDTH),
            ("Self-attention and GRU layer", name, _count(model.history_attention) + _count(model.history_state)),
            ("Consumer embedding table", name, sizes.users * WIDTH),
            ("Product embedding table", name, sizes.items * WIDTH),
            ("Self-attention layer", name, _count(model.fusion)),
            ("Multi-layer perceptron layers (MLPs)", name, _count(model.head)),
            ("Context layers", name, _count(model.context) if model.context is not None else 0),
        ]
    return pl.DataFrame(lines, schema={"part": pl.String, "dataset": pl.String, "parameters": pl.Int64}, orient="row")


def toy_split() -> Split:
    """The toy history of Figure 2; its last record is the one explained."""
    return make_split(fruit_basket(), validation=False)


def keep_toy(run: str) -> pl.DataFrame:
    """Keep and return the texts of Figure 2: writer, history, candidate, positive, negative.

    In place of the paper's GPT-4 stand the metadata explainer and the embedded models whose answers are at hand.
    """
    split = toy_split()
    *history, candidate = split.dataset.items["name"]
    programme = explain_records(split, MetadataExplainer(), "no_profile", records=np.array([4]))
    models = [source for source in writers() if source.llm in EMBEDDED]
    told = [one.explanations(split, "no_profile") for one in models if one.available(split.dataset, "no_profile")]
    lines = [
        {"writer": one.explainer, "history": ", ".join(history), "candidate": candidate}
        | {slot: one.texts(slot)[4] for slot in ("positive", "negative")}
        for one in (programme, *told)
    ]
    keep(theory_of(run), "fig02", found := pl.DataFrame(lines))
    return found


def _count(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
