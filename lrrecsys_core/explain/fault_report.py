"""How often answers show each fault, by who wrote them and for what."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from lrrecsys_core.data.split import Split
from lrrecsys_core.explain.answers import Answer
from lrrecsys_core.explain.checks import FAULTS, SAME_TO_ALL, faults, prompt_of, same_to_all, text_of
from lrrecsys_core.explain.sources import Source
from lrrecsys_core.explain.store import ExplanationStore

SAME: Final = "same ten sentences"
DISTINCT: Final = "distinct"
NEARLY_ALL: Final = "nearly everybody is told the same"
SCHEMA: Final = dict.fromkeys(("explainer", "slot", "fault"), pl.String) | {"records": pl.Int64, "share": pl.Float64}


@dataclass
class _Tally:
    """Faults and sentences of one slot."""

    faults: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer) -> None:
        self.faults.update(faults(answer.text, answer.prompt, answer.finish_reason) or ["none"])
        self.sentences[text_of(answer.text, answer.prompt)] += 1

    def lines(self) -> Iterator[tuple[str, int, float]]:
        """Fault, records and share; "none" comes first, what concerns the slot as a whole last."""
        total = self.sentences.total()
        for fault in ("none", *FAULTS):
            yield fault, self.faults[fault], self.faults[fault] / total
        same = same_to_all(self.sentences)
        yield SAME, round(same * total), same
        yield DISTINCT, len(self.sentences), len(self.sentences) / total


def count_faults(answers: Iterable[Answer]) -> pl.DataFrame:
    """Faults of answers by explainer and slot.

    Returns
    -------
    frame : explainer, slot, fault, records, share (of the slot's records). The fault "none" stands for answers without
        one, "same ten sentences" for the records told one of the ten most frequent sentences (told more than once),
        "distinct" for the number of different ones.
    """
    tallies: dict[tuple[str, str], _Tally] = {}
    for answer in answers:
        tallies.setdefault((answer.explainer, answer.slot), _Tally()).add(answer)
    lines = [(*key, *line) for key, tally in tallies.items() for line in tally.lines()]
    return pl.DataFrame(lines, schema=SCHEMA, orient="row")


def fault_report(split: Split, source: Source, variants: Sequence[str] = ("profile", "full")) -> pl.DataFrame:
    """What is wrong with the answers about a split's records and items, as they came and before second tries.

    Parameters
    ----------
    split
        Whose records and items.
    source
        Where the texts come from.
    variants
        Of :data:`lrrecsys_core.explain.prompts.VARIANTS`, or "profile".

    Returns
    -------
    frame : as :func:`count_faults`, with the column ``variant``.

    Raises
    ------
    InputError
        When the source has no such texts.
    """
    found = [count_faults(source.answers(split, variant)).with_columns(variant=pl.lit(variant)) for variant in variants]
    return pl.concat(found).select("explainer", "variant", *list(SCHEMA)[1:])


def store_faults(store: ExplanationStore, every: int = 1) -> pl.DataFrame:
    """The same from a store alone, whatever data it is about: by model, with the template for slot; no second tries.

    Parameters
    ----------
    store
        The answers.
    every
        Judges one answer in so many.
    """
    return count_faults(_first_answers(store, every))


def told_faults(report: pl.DataFrame) -> dict[tuple[str, str], str]:
    """The shares of :func:`count_faults` in a line for each explainer and slot, without faults that nothing shows."""
    told = {}
    for (explainer, slot), part in report.group_by("explainer", "slot", maintain_order=True):
        shares = {fault: (records, share) for fault, records, share in part.select("fault", "records", "share").rows()}
        shown = [f"{fault} {shares[fault][1]:.0%}" for fault in FAULTS if shares[fault][0]]
        same = shares[SAME][1]
        line = f"{', '.join(shown) or 'no faults'}; {same:.0%} on ten sentences, {shares[DISTINCT][0]:,} distinct"
        told[str(explainer), str(slot)] = line + (f": {NEARLY_ALL}" if same > SAME_TO_ALL else "")
    return told


def _first_answers(store: ExplanationStore, every: int) -> Iterator[Answer]:
    for row in store.rows(every=every):
        if row["text"] is None:
            continue
        messages = json.loads(str(row["request"]))["messages"] if row["request"] else []
        if not any(role == "assistant" for role, _ in messages):
            said, reason = str(row["text"]), str(row["finish_reason"])
            yield Answer(str(row["model"]), str(row["template"]), prompt_of(messages), said, reason)
