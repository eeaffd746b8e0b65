"""Single records laid open: what the model read, what it attended to, what it predicted (Sec 5.3)."""

from __future__ import annotations

import numpy as np
import polars as pl

from lrrecsys_core import rows
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.answers import Answer
from lrrecsys_core.explain.checks import faults
from lrrecsys_core.explain.open import open_data
from lrrecsys_core.explain.prompts import record_requests
from lrrecsys_core.explain.sources import Stored, writers
from lrrecsys_core.report.evidence import ATTENTION, Evidence
from lrrecsys_core.study.study import Study
from lrrecsys_core.study.text_sets import text_job

WRITER, SHOWN = "smollm2", "market:hotels@smoke"  # whose answers come with the repository, and of which market
SAID = {  # the rows whose texts are shown of a case, by what they are
    "explanation": rows.LR,
    "aspect terms": rows.ASPECTS_ONLY,
    "general explanation": rows.GENERAL_ONLY,
    "summary of the history": rows.SUMMARY,
    "rating named by the explainer": rows.DIRECT,
}


def telling_records(study: Study, name: str, replicate: int = 0) -> pl.DataFrame:
    """The two test records on which LR-Recsys gains and loses most against the best baseline.

    They are picked by their outcome, so they illustrate and prove nothing; that is why both are shown.

    Returns
    -------
    frame : case ("largest gain", "largest loss"), record (row of the data set's interactions), rating, ours, baseline,
        PETER (predictions on the rating scale; the paper lays PETER's beside ours, it is null where it was not run),
        best (the baseline's name) and the attention columns of our row.

    Raises
    ------
    InputError
        When LR-Recsys or every baseline has not been run on this data set.
    """
    best = Evidence(name, study.metrics()).best_baseline("RMSE")
    if best is None:
        raise InputError(f"no baseline has been run on {name}: run the rows of Table 2 first.")
    chosen = (pl.col("task") == "regression") & (pl.col("replicate") == replicate)
    found = study.predictions(rows=[rows.LR, best, rows.PETER], datasets=[name]).filter(chosen)
    ours = found.filter(pl.col("row") == rows.LR).rename({"prediction": "ours"})
    for row, column, how in ((best, "baseline", "inner"), (rows.PETER, rows.PETER, "left")):
        theirs = found.filter(pl.col("row") == row).select("record", pl.col("prediction").alias(column))
        ours = ours.join(theirs, on="record", how=how)  # type: ignore[arg-type]
    if ours.is_empty():
        raise InputError(f"{rows.LR} has not been run on {name}: run the rows of Table 2 first.")
    gain = (pl.col("baseline") - pl.col("target")) ** 2 - (pl.col("ours") - pl.col("target")) ** 2
    ordered = ours.with_columns(gain=gain, best=pl.lit(best)).sort("gain", "record", descending=[True, False])
    data = study.data(name)[replicate]
    scale = pl.col("ours", "baseline", rows.PETER) * (data.rating_max - data.rating_min) + data.rating_min
    attention = [column for column in ATTENTION if column in ordered.columns and not ordered[column].null_count()]
    return pl.concat([ordered.head(1), ordered.tail(1)]).select(
        pl.Series("case", ["largest gain", "largest loss"]), "record", "rating", scale, "best", *attention
    )


def lay_open(study: Study, name: str, case: dict[str, object], replicate: int = 0) -> pl.DataFrame:
    """One record in words, as two columns: what, value.

    Parameters
    ----------
    case : a row of `telling_records`.
    """
    split = study.split(name, replicate)
    at = int(np.flatnonzero(split.record == case["record"])[0])
    items, told = split.dataset.items, study.explanations(name, rows.LR, replicate)
    past = items["name"][[int(place) for place in split.history_position[at] if place >= 0]]
    candidate = items.row(int(split.item_position[at]), named=True)
    lines = [
        ("history, oldest first", "; ".join(past) or "none"),
        ("candidate", candidate["name"]),
        ("its details", candidate["details"]),
        *((f"{slot} explanation", told.texts(slot)[at]) for slot in told.codes),
        ("explanations by", told.explainer),
        *written_about(study, name, at, replicate).items(),
        *(
            (f"attention on {column.removeprefix('attention_')}", f"{case[column]:.2f}")
            for column in case
            if column in ATTENTION
        ),
        ("rating", f"{case['rating']:g}"),
        ("predicted by LR-Recsys", f"{case['ours']:.2f}"),
        (f"predicted by {case['best']}", f"{case['baseline']:.2f}"),
    ]
    if case[rows.PETER] is not None and case["best"] != rows.PETER:
        lines.append((f"predicted by {rows.PETER}", f"{case[rows.PETER]:.2f}"))
    return pl.DataFrame(lines, schema=["what", "value"], orient="row")


def opposite_records(split: Split, seed: int = 0) -> tuple[int, int]:
    """Two test records of one consumer with five past items, one liked and one not; random by `seed`.

    They are chosen by ratings alone, before any model is trained. Where no consumer has both, the test records with
    the highest and the lowest rating.
    """
    test = split.test[split.history_mask[split.test].sum(1) == split.history_mask.shape[1]]
    test = test if len(test) else split.test
    both = np.intersect1d(*(split.user_position[test[split.liked[test] == value]] for value in (0, 1)))
    if not len(both):
        return int(test[np.argmax(split.rating[test])]), int(test[np.argmin(split.rating[test])])
    rng = np.random.default_rng(seed)
    own = test[split.user_position[test] == rng.choice(both)]
    return int(own[np.argmax(split.rating[own])]), int(own[np.argmin(split.rating[own])])


def question(study: Study, name: str, at: int, slot: str = "positive", replicate: int = 0) -> str:
    """The prompt about record `at` of the split, with profiles; with names and details where texts are not asked for.

    Parameters
    ----------
    slot : "positive" or "negative".
    """
    split = study.split(name, replicate)
    source = text_job(study, name, rows.BY_NAME[rows.LR], replicate).source
    asked = record_requests(split, source.profiles(split), "full", slot, np.array([at]), prompts=source.prompts)
    return next(asked).messages[-1][1]


def shipped_answers(records: int = 20, seed: int = 0) -> tuple[str, pl.DataFrame]:
    """What the embedded model wrote about random records of the simulated market `SHOWN`, as it came.

    Returns
    -------
    prompt : the first of the prompts, whole.
    frame : candidate, slot, answer, faults; sorted by the number of faults.

    Raises
    ------
    InputError
        When the repository's store is missing.
    """
    split, source = make_split(open_data(SHOWN)), Stored(WRITER)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(split.user))[:records])
    names = split.dataset.items["name"].gather(split.item_position)
    told: dict[str, list[Answer]] = {}
    for answer in source.answers(split):
        told.setdefault(answer.slot, []).append(answer)
    lines = [
        (
            names[int(at)],
            slot,
            answers[at].text,
            faults(answers[at].text, answers[at].prompt, answers[at].finish_reason),
        )
        for at in chosen
        for slot, answers in told.items()
    ]
    lines.sort(key=lambda line: len(line[3]))
    shown = [(name, slot, text, "; ".join(found) or "none") for name, slot, text, found in lines]
    first = next(iter(told.values()))[chosen[0]]
    return first.prompt, pl.DataFrame(shown, schema=["candidate", "slot", "answer", "faults"], orient="row")


def written_about(study: Study, name: str, at: int, replicate: int = 0) -> dict[str, str]:
    """Texts about record `at` of the split by each real writer at hand beside the run's own, by slot and writer."""
    split = study.split(name, replicate)
    own = text_job(study, name, rows.BY_NAME[rows.LR], replicate).source
    found: dict[str, str] = {}
    for source in writers():
        if source != own and source.available(split.dataset):
            told = source.explanations(split)
            found |= {f"{slot} explanation by {told.explainer}": told.texts(slot)[at] for slot in told.codes}
    return found


def told_about(study: Study, name: str, at: int, replicate: int = 0) -> dict[str, str]:
    """What record `at` of the split is and everything that was said about it: rating and texts, nothing trained."""
    split, at_hand = study.split(name, replicate), study.rows_of(name)
    item = split.dataset.items.row(int(split.item_position[at]), named=True)
    found = {"candidate": item["name"], "its details": item["details"], "rating": f"{split.rating[at]:g}"}
    for what, row in SAID.items():
        if row in at_hand:
            told = study.explanations(name, row, replicate)
            for slot in told.codes:
                found[what if slot == "single" else f"{slot} {what}"] = told.texts(slot)[at]
    return found | written_about(study, name, at, replicate)
