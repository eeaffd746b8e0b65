"""How often answers show faults: programmes none, planted ones by hand, from stores as they came."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.explain.answers import Answer
from lrrecsys_core.explain.checks import FAULTS
from lrrecsys_core.explain.cli import explain
from lrrecsys_core.explain.fault_report import DISTINCT, SAME, count_faults, fault_report, store_faults
from lrrecsys_core.explain.frozen import freeze
from lrrecsys_core.explain.generate import explain_records
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.prompts import VARIANTS
from lrrecsys_core.explain.sources import Imported, Metadata, Simulated, Stored
from lrrecsys_core.explain.store import ExplanationStore
from lrrecsys_core.study.run import Run

Found = dict[tuple[str, str], dict[str, int]]


def found_in(report: pl.DataFrame, of: str = "slot") -> Found:
    """Records by explainer, slot and fault, without zeros."""
    found: Found = {}
    for line in report.filter(pl.col("records") > 0).to_dicts():
        found.setdefault((line["explainer"], line[of]), {})[line["fault"]] = line["records"]
    return found


def basket() -> Dataset:
    """Three users who each bought the same four things."""
    names = ["apple", "bread", "cheese", "dates"]
    records = {
        "user_id": [f"u{user}" for user in range(3) for _ in names], "item_id": names * 3, "rating": [4.0] * 12,
        "timestamp": list(range(4)) * 3,
    }  # fmt: skip
    items = {"item_id": names, "name": names, "details": ["fruit", "bakery", "dairy", "fruit"]}
    return make_dataset("basket", "product", pl.DataFrame(records), pl.DataFrame(items))


def example_of(prompt: str) -> str:
    return prompt.partition("[Example Output]\n")[2].partition("\n")[0]


class Parrot:
    """Copies the example where it is asked for, gives the form back against, and is cut off in every profile.

    Asked again it gives a good reason.
    """

    name = model = "parrot@1"

    def complete(self, requests: Iterator[Request]) -> Iterator[Result]:
        for request in requests:
            prompt = request.messages[0][1]
            if len(request.messages) > 1:
                text = (
                    f"The consumer {'did not purchase' if 'did not' in prompt else 'purchased'} this product because "
                )
                yield Result(key=request.key(self.model), text=text + "the consumer bakes and the product is flour.")
            elif "profile" in prompt:
                yield Result(key=request.key(self.model), text="Good for\n\nall who", finish_reason="length")
            elif "did not purchase" in prompt:
                yield Result(key=request.key(self.model), text="The consumer did not purchase this product because ...")
            else:
                yield Result(key=request.key(self.model), text=example_of(prompt))


@pytest.fixture
def split() -> Split:
    return make_split(basket())


def filled(path: Path, split: Split, *, second_try: bool = False, keep_requests: bool = True) -> Path:
    with ExplanationStore(path, keep_requests=keep_requests) as store:
        explain_records(split, Parrot(), store=store, second_try=second_try)
    return path


# Twelve records; four items, whose profiles are one and the same "Good for".
PARROT: Found = {
    ("parrot@1", "profile"): {"unfinished": 4, SAME: 4, DISTINCT: 1},
    ("parrot@1", "positive"): {"copied from the example": 12, SAME: 12, DISTINCT: 1},
    ("parrot@1", "negative"): {"repeats the question": 12, SAME: 12, DISTINCT: 1},
}


@pytest.mark.parametrize("domain", ["hotels", "restaurants", "movies"])
@pytest.mark.parametrize("source", [Simulated(), Metadata()])
def test_programmes_show_no_fault_in_any_variant(domain: str, source: Simulated | Metadata) -> None:
    split = Run("smoke").split(domain)
    report = fault_report(split, source, ("profile", *VARIANTS))
    slots = 1 + sum(map(len, VARIANTS.values()))
    clean = report.filter(fault="none")
    assert clean.height == slots and (clean["share"] == 1).all()
    faulty = report.filter(pl.col("fault").is_in(FAULTS), pl.col("records") > 0)
    assert faulty.is_empty(), faulty
    told = report.filter(pl.col("fault") == SAME, pl.col("variant") == "full")
    assert (told["share"] < 0.5).all(), "a reasoner does not say the same to everybody"


def test_faults_are_counted_by_hand() -> None:
    prompt = "[Instruction]\nAnswer in one sentence.\n\n[Input]\n- Tea\n[Output]"
    said = ["Fine tea.", "Fine tea.", "Fine tea. Old tea.", "", "Good tea."]
    report = count_faults(Answer("x", "single", prompt, text) for text in said)
    assert found_in(report) == {("x", "single"): {"none": 3, "several sentences": 1, "empty": 1, SAME: 2, DISTINCT: 4}}
    shares = dict(report.select("fault", "share").iter_rows())
    assert shares["none"] == 0.6 and shares["empty"] == 0.2 and shares[SAME] == 0.4 and shares[DISTINCT] == 0.8
    assert report["fault"].to_list() == ["none", *FAULTS, SAME, DISTINCT]
    assert count_faults([]).columns == report.columns


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("second_try", [False, True])
def test_an_llm_is_judged_by_what_it_said_first(
    split: Split, frozen: bool, second_try: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = filled(tmp_path / "s.sqlite", split, second_try=second_try)
    if second_try:
        told = Stored("parrot")
        monkeypatch.setenv("LRRECSYS_STORES", f"parrot={place}")
        assert {text[-6:] for text in told.explanations(split).texts("positive")} == {"flour."}
    if frozen:
        with ExplanationStore(place, write=False) as store:
            freeze(store, place := tmp_path / "frozen")
    monkeypatch.setenv("LRRECSYS_STORES", f"parrot={place}")
    report = fault_report(split, Stored("parrot"))
    assert report.columns == ["explainer", "variant", "slot", "fault", "records", "share"]
    assert found_in(report) == {("parrot, prompts house", slot): counts for (_, slot), counts in PARROT.items()}


def test_only_what_was_asked_is_judged(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExplanationStore(tmp_path / "s") as store:
        explain_records(split, Parrot(), store=store, records=np.array([0, 5]))
    monkeypatch.setenv("LRRECSYS_STORES", f"parrot={tmp_path / 's'}")
    report = fault_report(split, Stored("parrot"), ("full",)).filter(fault=SAME)
    # Records of the three users are the same, so that two prompts answer for six records.
    assert report["records"].to_list() == [6, 6]


def test_texts_without_prompts_are_judged_as_they_are(split: Split) -> None:
    texts = pl.DataFrame({"item_id": ["apple", "bread"], "positive": ["Sweet.", ""], "negative": ["I'm sorry", "Dry."]})
    names = basket()
    with_texts = make_split(make_dataset("basket", "product", names.interactions, names.items, texts=texts))
    report = found_in(fault_report(with_texts, Imported()))
    assert {slot for _, slot in report} == {"positive", "negative"}
    (name, _), positive = next(iter(report.items()))
    assert positive == {"none": 3, "empty": 9, SAME: 3, DISTINCT: 2}
    assert report[name, "negative"] == {"none": 3, "empty": 6, "refusal": 3, SAME: 6, DISTINCT: 3}


def test_a_store_alone_tells_the_same_by_model_and_template(split: Split, tmp_path: Path) -> None:
    place = filled(tmp_path / "s.sqlite", split, second_try=True)
    with ExplanationStore(place, write=False) as store:
        report = store_faults(store)
    found = {(model, name.split("@")[0]): counts for (model, name), counts in found_in(report).items()}
    # Each distinct prompt once: the three users' four records, in two slots.
    assert found == {
        ("parrot@1", "house/product/profile"): {"unfinished": 4, SAME: 4, DISTINCT: 1},
        ("parrot@1", "house/product/positive"): {"copied from the example": 4, SAME: 4, DISTINCT: 1},
        ("parrot@1", "house/product/negative"): {"repeats the question": 4, SAME: 4, DISTINCT: 1},
    }


def test_of_a_large_store_status_judges_a_sample(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = filled(tmp_path / "s.sqlite", split)
    with ExplanationStore(place, write=False) as store:
        assert len(store) == 12
        reports = [store_faults(store, every) for every in (1, 2, 3)]
    judged = [report.filter(pl.col("fault").is_in(FAULTS))["records"].sum() for report in reports]
    assert judged == [12, 6, 4], "each answer has one fault"
    monkeypatch.setattr("lrrecsys_core.explain.cli.MOST_JUDGED", 5)
    said = CliRunner().invoke(explain, ["status", "--store", str(place)], catch_exceptions=False)
    assert "faults are those of one answer in 3" in said.output and "copied from the example 100%" in said.output


def test_status_prints_the_shares(split: Split, tmp_path: Path) -> None:
    said = CliRunner().invoke(
        explain, ["status", "--store", str(filled(tmp_path / "s", split))], catch_exceptions=False
    )
    lines = said.output.splitlines()
    at = next(number for number, line in enumerate(lines) if "product/positive@" in line)
    assert (
        lines[at + 1]
        == "  copied from the example 100%; 100% on ten sentences, 1 distinct: nearly everybody is told the same"
    )
    without = filled(tmp_path / "t", split, keep_requests=False)
    said = CliRunner().invoke(explain, ["status", "--store", str(without)], catch_exceptions=False)
    assert "copied" not in said.output and "prompts were not kept" in said.output
