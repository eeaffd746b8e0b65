"""Texts that tell everybody the same: noted and computed; codes that collapsed for other reasons still stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest

from lrrecsys_core import rows
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.generate import explain_records
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.sources import Source
from lrrecsys_core.explain.store import ExplanationStore
from lrrecsys_core.models.autoencoder import TextCodes
from lrrecsys_core.profiles import Profile
from lrrecsys_core.rows import Texts
from lrrecsys_core.study import texts as module
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.study import Study
from lrrecsys_core.study.texts import TextSet, make_text_set, told_the_same
from tests.models.markets import market

TINY = Profile(
    "tiny", users=40, items=30, records_per_user=10, replicates=1, epochs=2, patience=2, autoencoder_epochs=20,
)  # fmt: skip
SAME = "The consumer stayed at this hotel because it is a hotel."
WORDS = [
    "amber",
    "brisk",
    "candid",
    "daring",
    "eager",
    "fabled",
    "gentle",
    "humble",
    "ironic",
    "jovial",
    "keen",
    "lavish",
    "mellow",
    "nimble",
    "ornate",
    "placid",
]
Say = Callable[[int], str]


def varied(number: int) -> str:
    """A sentence of its own for each number below 4,096."""
    return "The consumer did not stay because of " + " and ".join(WORDS[number // 16**k % 16] for k in range(3)) + "."


def few(number: int) -> str:
    return f"The consumer did not stay because of {WORDS[number % 2]} rooms."


@dataclass(frozen=True)
class Says(Source):
    """Two functions of a record's number in place of an LLM, or of a programme."""

    positive: Say
    negative: Say
    writer: str = "dull"

    @property
    def llm(self) -> str:
        return self.writer

    def available(self, dataset: Dataset, variant: str = "full", fraction: float = 1.0) -> bool:
        return True

    def explanations(self, split: Split, variant: str = "full") -> Explanations:
        sentences = {"": 0}
        codes = {
            slot: np.array([sentences.setdefault(say(k), len(sentences)) for k in range(len(split.user))], np.int32)
            for slot, say in (("positive", self.positive), ("negative", self.negative))
        }
        return Explanations(self.writer, variant, tuple(sentences), codes)


def constant(number: int) -> str:
    return SAME


def silent(number: int) -> str:
    return ""


def made_of(positive: Say, negative: Say, writer: str = "dull", *, raw: bool = False, strict: bool = False) -> TextSet:
    texts = Texts(source=Says(positive, negative, writer), raw=raw)
    return make_text_set(market(), texts, seed=0, epochs=12, with_shift=False, strict=strict)[0]


ONE = "nearly everybody is told the same (positive): 100% on ten sentences"
OTHER = ONE.replace("positive", "negative")


@pytest.mark.parametrize(
    ("positive", "negative", "writer", "notes"),
    [
        (varied, varied, "dull", []),
        (constant, varied, "dull", [ONE]),
        (constant, varied, "", []),  # a programme's row tells what it knows; its code is sound
        (constant, few, "dull", [ONE, OTHER]),
        (few, constant, "dull", [ONE, OTHER]),
        (constant, constant, "", [ONE, OTHER]),  # one sentence in all: no code can tell records apart
        (constant, silent, "dull", [ONE]),
    ],
)
@pytest.mark.parametrize("raw", [False, True])
def test_texts_that_tell_the_same_are_computed_and_noted(
    positive: Say, negative: Say, writer: str, notes: list[str], raw: bool
) -> None:
    made = made_of(positive, negative, writer, raw=raw)
    told = made.report["note"].split("; ") if made.report["note"] else []
    if raw:
        assert told == ["raw text vectors: TF-IDF text vectors (no LLM embedding)", *(notes if writer else [])]
    else:
        assert told == notes
    assert np.isfinite(made.embeddings).all() and made.report["far"] >= 0
    for fields in (made.fields(made.codes), made.fields(made.codes, whitened=False)):
        assert all(np.isfinite(values).all() for values in fields.values())
    if positive is constant:
        values = made.fields(made.codes)["positive"]
        assert np.abs(values).max() < 1e-4, "what everybody is told tells nobody apart"
    if negative is few:
        values = made.fields(made.codes)["negative"]
        assert len(np.unique(values.round(3), axis=0)) == 2, "two sentences stay two"


def test_the_strict_run_falls_back_and_then_takes_what_the_texts_are() -> None:
    made = made_of(constant, constant, strict=True)
    fallen, *notes = made.report["note"].split("; ")
    assert fallen.startswith("autoencoder at 0.0") and "at the paper's rate 0.1 its code collapsed (slot pos" in fallen
    assert notes == [ONE, OTHER]


def flattened(monkeypatch: pytest.MonkeyPatch, mark: str, value: float = 0.25) -> None:
    """Codes of sentences with this mark keep two directions alone."""
    embed = TextCodes.embed

    def flat(self: TextCodes, sentences: list[str]) -> np.ndarray:
        codes = embed(self, sentences)
        codes[[mark in sentence for sentence in sentences], 2:] = value
        return codes

    monkeypatch.setattr(TextCodes, "embed", flat)


def most(number: int) -> str:
    """Ten sentences for nine tenths of the records, others for the rest."""
    return varied(number) if number % 10 == 0 else varied(number % 10)


def half(number: int) -> str:
    """Ten sentences for less than half of the records."""
    return varied(number) if number % 5 < 3 else varied(number % 10)


def test_a_code_that_collapsed_is_noted_where_most_are_told_the_same_and_stops_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flattened(monkeypatch, "did not stay")
    other = lambda number: varied(number).replace("did not stay", "stayed")  # noqa: E731
    made = made_of(other, most, "")
    (note,) = made.report["note"].split("; ")
    assert note.startswith("nearly everybody is told the same (negative): 9") and note.endswith("% on ten sentences")
    with pytest.raises(InputError, match=r"collapsed at .*\(slot negative: its rank is 2 where 4 are needed"):
        made_of(other, half)
    # The slot that is the same to all excuses no other one.
    with pytest.raises(InputError, match=r"collapsed at .*\(slot negative: its rank is 2 where 4 are needed"):
        made_of(constant, half)


def test_what_cannot_be_computed_stops_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no sentence to learn from"):
        made_of(silent, silent)
    with monkeypatch.context() as patch:
        flattened(patch, "stay", np.nan)
        with pytest.raises(InputError, match=r"collapsed at .*\(it is not finite\)"):
            made_of(constant, constant)
    train = module.train_autoencoder
    diverged = lambda *data, **given: replace(train(*data, **given), validation_loss=np.inf)  # noqa: E731
    monkeypatch.setattr(module, "train_autoencoder", diverged)
    with pytest.raises(InputError, match=r"collapsed at .*\(slot positive: its loss is not finite\)"):
        made_of(constant, constant)


def test_the_share_is_of_training_records_that_have_a_text() -> None:
    sentences = ["", *map(str, range(1, 13))]
    seen = {"positive": np.repeat(np.arange(1, 13, dtype=np.int32), 2), "negative": np.arange(1, 13, dtype=np.int32)}
    assert told_the_same(sentences, seen) == {
        "positive": "nearly everybody is told the same (positive): 83% on ten sentences"  # 20 of 24
    }


class Dull:
    """An LLM that gives one reason for everything, and some reason against."""

    name = model = "dull@1"

    def complete(self, requests: Iterator[Request]) -> Iterator[Result]:
        for request in requests:
            prompt = request.messages[0][1]
            number = int(blake2b(prompt.encode(), digest_size=2).hexdigest(), 16)
            text = varied(number) if "did not stay" in prompt else "A hotel." if "profile" in prompt else SAME
            yield Result(key=request.key(self.model), text=text)


def test_a_row_trains_on_texts_that_tell_everybody_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(TINY)
    with ExplanationStore(root / "dull.sqlite") as store:
        explain_records(study.split("hotels"), Dull(), store=store)
    monkeypatch.setenv("LRRECSYS_STORES", f"dull={root / 'dull.sqlite'}")
    cell = Cell(study, "hotels", rows.LR)
    cell.compute()
    assert cell.done
    found = study.metrics()
    own = {(metric, part): value for metric, part, value in found.select("metric", "part", "value").rows()}
    assert len(own) >= 4 and all(np.isfinite(value) for value in own.values())
    assert found["llm"].unique().to_list() == ["dull"]
    assert found.filter(row=rows.LR)["note"].str.contains("told the same (positive): 100%", literal=True).all()
    assert np.isfinite(study.predictions([rows.LR])["prediction"].to_numpy()).all()
