"""The lines above a table: what a reader has to know before comparing its figures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from lrrecsys_core import rows as r
from lrrecsys_core.models.aspect.mter import MTER
from lrrecsys_core.report.evidence import SILENT, Evidence, datasets_in_order
from lrrecsys_core.report.formats import named

# What a cell's sign says of the paper's number.
SIGNS: Final = {
    "reproduced": "=", "differs": "≠", "not comparable": "~", "no published number": "°", "not run": "–",
    f"not run: {r.NO_ITEM_TEXT}": "∅", f"not run: {r.NO_ORDER}": "⊘",
}  # fmt: skip
BY_CONSTRUCTION: Final = "†"
MISPRINT: Final = "‡"
LEGEND: Final = ", ".join(f"{sign} {status}" for status, sign in SIGNS.items())
SIZES: Final = {
    "matched": "At matched size, as wide as LR-Recsys (SULM also narrower, by its grid)",
    "published": "At the published size, better on validation",
}

BEHIND: Final = 0.0015  # RMSE by which a network may stay behind the biases without a reason
_STEPS: Final = (
    "the smallest step of its grid is too large where users have many records: on validation MTER ends .0011 behind at "
    "a step of .0001, .0001 ahead at .00001"
)
# By row, and by row and data set where a reason was found on that.
REASONS: Final = {
    (r.LETTER, ""): "no residual biases: users and items are learnt from what Adam leaves of few records",
    (MTER.name, "movielens"): _STEPS,
    (r.COMPARER, "movielens"): _STEPS,
}


def gap(evidence: Evidence, row: str) -> float:
    """How far a network is behind the biases in mean RMSE, or 0 where that is no more than noise or to be expected:
    of controls, and of networks with fewer training records."""
    spec = r.row_named(row) if row in evidence.rows else None
    if spec is None or spec.model is None or spec.kind in ("control", "comparator") or spec.fraction < 1:
        return 0.0
    own, base = evidence.paired("RMSE", row, r.BIASES)
    behind = float((own - base).mean()) if own.size else 0.0
    return behind if behind > BEHIND else 0.0


def reason(evidence: Evidence, row: str) -> str:
    """Why a network is behind the biases."""
    return REASONS.get((row, evidence.dataset)) or REASONS.get((row, ""), "why is not known")


def rows_behind(table: int | str, metrics: pl.DataFrame) -> list[str]:
    """One sentence per reason: the rows of a table that are behind the biases, and by how much."""
    told: dict[str, list[str]] = {}
    for name in datasets_in_order(metrics):
        evidence = Evidence(name, metrics)
        for spec in r.rows_of(table, metrics["row"]):
            if lost := gap(evidence, spec.name):
                told.setdefault(reason(evidence, spec.name), []).append(f"{spec.name} on {named(name)} by {lost:.4f}")
    return [f"Behind the biases in RMSE: {', '.join(listed)}. Reason: {why}." for why, listed in told.items()]


def unordered(metrics: pl.DataFrame) -> list[str]:
    """One sentence about the data sets without timestamps, if there are any."""
    names = metrics.filter(~pl.col("ordered"))["dataset"].unique().sort().to_list()
    return [unordered_note(names)] if names else []


def unordered_note(names: Sequence[str]) -> str:
    """What data sets without timestamps lack."""
    listed = ", ".join(map(named, names))
    return f"Unordered data, without timestamps: {listed}. Histories and the split are drawn at random."


def markets_told(metrics: pl.DataFrame, *, side: bool = False) -> list[str]:
    """How many simulated markets of each domain a table rests on and, where these are not all, what runs the others.

    Parameters
    ----------
    metrics : the rows of the table; where known, a column ``markets``: how many each domain has in the whole run.
    side : the table rests on the first markets, whatever the run is asked for.
    """
    tested = metrics.filter(pl.col("simulated"), pl.col("part") == "test")
    if tested.is_empty():
        return []
    by_row = tested.group_by("dataset", "row").agg(pl.col("replicate").n_unique())
    counts = by_row.group_by("dataset").agg(pl.col("replicate").max())["replicate"].to_list()
    least, most = min(counts), max(counts)
    told = f"{least} to {most}" if least < most else str(most)
    told += f" market{'s' if most > 1 else ''} per domain"
    whole = max(filter(None, tested["markets"].to_list()), default=0) if "markets" in tested.columns else 0
    if least >= whole:
        return [f"{told}."]
    return [f"{told}, of {whole}" + ("." if side else "; `make reproduce MARKETS=all` runs the rest.")]


def short_rows(table: int | str, metrics: pl.DataFrame) -> list[str]:
    """One sentence per data set and number of replicates: which rows of a table have fewer than the others."""
    rows = [row.name for row in r.rows_of(table, metrics["row"])]
    counts = metrics.filter(pl.col("row").is_in(rows)).group_by("dataset", "row").agg(pl.col("replicate").n_unique())
    sentences = []
    for name in datasets_in_order(metrics):
        here = {row: count for dataset, row, count in counts.iter_rows() if dataset == name}
        most = max(here.values(), default=0)
        for fewer in sorted(set(here.values()) - {most}):
            listed = ", ".join(row for row in rows if here.get(row) == fewer)
            sentences.append(f"On {named(name)}, {fewer} of {most} replicates only: {listed}.")
    return sentences


def silent_rows(table: int | str, metrics: pl.DataFrame) -> list[str]:
    """One sentence per data set: the rows some of whose networks add nothing to the shared biases."""
    sentences = []
    for name in datasets_in_order(metrics):
        evidence = Evidence(name, metrics)
        # One metric per task: every network is counted once.
        counted = {row.name: evidence.silent(row.name, "RMSE", "AUC") for row in r.rows_of(table, metrics["row"])}
        listed = ", ".join(f"{row} {silent} of {n}" for row, (silent, n) in counted.items() if silent)
        if listed:
            sentences.append(
                f"On {named(name)}, networks (replicates times tasks) that add less than {SILENT:g} logits to the user "
                f"and item biases under every row, so that they are bias-only: {listed}."
            )
    return sentences


def vectors_told(table: int | str, metrics: pl.DataFrame) -> list[str]:
    """One sentence per kind of vectors: which rows of a table read them, in place of codes, on which data sets."""
    told: dict[tuple[str, str], list[str]] = {}
    for name in datasets_in_order(metrics):
        for spec in r.rows_of(table, metrics["row"]):
            note = Evidence(name, metrics).words(spec.name, "note") if spec.texts and spec.texts.raw else ""
            if whose := re.search(rf"{r.RAW_VECTORS}: ([^;]*)", note):
                told.setdefault((spec.name, whose[1]), []).append(named(name))
    return [f"{row} reads {whose}: {', '.join(names)}." for (row, whose), names in told.items()]


def sizes_told(table: int | str, metrics: pl.DataFrame) -> list[str]:
    """One sentence per size: the baselines of a table that were trained at it."""
    names = [row.name for row in r.rows_of(table, metrics["row"])]
    if "size" not in metrics.columns:
        return []
    found = metrics.filter(pl.col("row").is_in(names), pl.col("size").fill_null("") != "")
    sentences = []
    for size, words in SIZES.items():
        where = dict(found.filter(size=size).group_by("row").agg(pl.col("dataset").unique().sort()).iter_rows())
        listed = [
            f"{row} ({', '.join(map(named, where[row]))})" if size == "published" else row
            for row in names
            if row in where
        ]
        if listed:
            sentences.append(f"{words}: {', '.join(listed)}.")
    return sentences


def shown(table: int | str, metrics: pl.DataFrame) -> pl.DataFrame:
    """The results that a table rests on: all, but for the side table its rows on the replicates that all of them have.

    The side table leaves out the data sets on which none of its own rows was run.
    """
    if table != r.SENSITIVITY:
        return metrics
    rows = r.rows_of(table, metrics["row"])
    chosen = metrics.filter(
        pl.col("row").is_in([row.name for row in rows]),
        pl.col("row").is_in([row.name for row in rows if row.side]).any().over("dataset"),
    )
    # A data set's replicates are numbered from 0, and those of a side row are its first.
    last = pl.col("replicate").max().over("dataset", "row")
    return chosen.filter(pl.col("replicate") <= last.min().over("dataset"))


def table_notes(table: int | str, metrics: pl.DataFrame) -> list[str]:
    """What a reader has to know before comparing figures, and who wrote the explanations behind each row."""
    metrics = shown(table, metrics).filter(
        pl.col("row").is_in([name for row in r.rows_of(table, metrics["row"]) for name in (row.name, row.same_as)])
    )
    notes = [
        "Means over replicates, standard deviations beneath; RMSE and MAE on ratings in [0, 1]. Bold: the best row "
        f"of those that neither know a market's truth, nor are {BY_CONSTRUCTION}, nor evaluate another row's networks; "
        "underlined: the best baseline on validation.",
        f"Against the paper: {LEGEND}. {BY_CONSTRUCTION} By construction: a programme, not an LLM, wrote the texts, so "
        "it is no evidence.",
    ]
    where = markets_told(metrics, side=table == r.SENSITIVITY) + unordered(metrics)
    if metrics["simulated"].any():
        where.insert(0, "SIMULATED markets test the mechanism, not the claim about real markets.")
    notes.append(" ".join(where) or "Real data.")
    if metrics["simulated"].any():
        notes.append(
            "Simulated markets are built so that the theory's assumption holds. A replicate is a fresh market; the "
            "reasoner is a programme with a stated knowledge."
        )
    if table == 2:
        notes.append(
            "Stars, *** p < .01 and ** p < .05, that LR-Recsys beats a baseline, at its own row all fourteen: by the "
            "rule of claim C1 (one-sided, markets paired or users resampled, Holm's correction). Apart from it, the "
            "test that the paper probably used: Student's t for two samples over the runs, at its own row against the "
            "best baseline on validation. On real data runs are seeds on the same records, no independent data."
        )
    if table == r.RIVALS:
        notes.append(
            "Late ensemble: Ablation 1 and LR-Recsys without user and item tokens, trained apart, their predictions "
            "averaged. Removed and exchanged: the same records in training and test have no text, or another record's. "
            "Plus product of id vectors: u . v of the user and the item, which matrix factorisation adds to biases, is "
            "added to the score of a network that hardly learns it."
        )
    notes.append(
        "Published numbers stand apart: other data and another LLM, not comparable unless a cell's sign says so."
    )
    if table == r.SENSITIVITY:
        notes.append("Every row on the same replicates: the first ones, where the other tables may rest on more.")
    else:
        notes += sizes_told(table, metrics) + short_rows(table, metrics)
    notes += silent_rows(table, metrics) + rows_behind(table, metrics) + vectors_told(table, metrics)
    authors = metrics.filter(pl.col("explainer") != "").group_by("row").agg(pl.col("explainer").unique().sort())
    written = {row: "; ".join(names) for row, names in authors.iter_rows()}
    by_author: dict[str, list[str]] = {}
    for spec in r.rows_of(table, metrics["row"]):
        if author := written.get(spec.name) or written.get(spec.same_as):
            by_author.setdefault(author, []).append(spec.name)
    notes += [f"Explanations by {author}: {', '.join(names)}." for author, names in by_author.items()]
    if any(author.startswith("imported") for author in by_author):
        notes.append(
            "Imported texts carry no date: one text of an item serves all its records, and may tell opinions from "
            "after them. The extractive explainer quotes the same texts where a data set has them."
        )
    return notes
