"""The table and figure of faults, from made aggregates."""

from __future__ import annotations

from collections.abc import Iterator
from functools import wraps
from pathlib import Path

import matplotlib.pyplot as plt
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from lrrecsys_core.app import publish
from lrrecsys_core.app.publish import collect_faults, publish_faults
from lrrecsys_core.data.split import Split
from lrrecsys_core.explain.answers import Answer
from lrrecsys_core.explain.checks import FAULTS
from lrrecsys_core.explain.fault_report import DISTINCT, SAME, count_faults
from lrrecsys_core.explain.generate import explain_records
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.source import Source
from lrrecsys_core.explain.store import ExplanationStore
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.report.drawings import draw
from lrrecsys_core.report.faults import COLUMNS, faults, faults_grids, faults_notes, faults_title
from lrrecsys_core.report.kept import kept
from lrrecsys_core.study.study import Study

PROMPT = "[Instruction]\nAnswer in one sentence.\n\n[Input]\n- Tea\n[Output]"


def made(title: str, explainer: str, said: dict[str, list[str]]) -> pl.DataFrame:
    answers = (Answer(explainer, slot, PROMPT, text) for slot, texts in said.items() for text in texts)
    return count_faults(answers).select(pl.lit(title).alias("title"), pl.all())


@pytest.fixture
def frame() -> pl.DataFrame:
    """Two writers on a market and one of them on real data."""
    clean = {"positive": [f"Tea {k} is good." for k in range(4)], "negative": ["Tea is old.", "Tea is hot."]}
    same = {"positive": ["Tea. Tea is good."] * 3 + ["I'm sorry."], "negative": ["No tea.", "No tea.", "A", "B"]}
    return pl.concat(
        [
            made("inns (simulated)", "the clean", clean),
            made("inns (simulated)", "the dull", same),
            made("shop", "the dull", same),
        ]
    )


@pytest.fixture(autouse=True)
def _close() -> object:
    yield
    plt.close("all")


def test_the_table_has_a_line_for_each_slot_and_a_column_for_each_fault_there_is(frame: pl.DataFrame) -> None:
    (grid,) = faults_grids(frame)
    columns = ["none", "refusal", "several sentences", SAME, DISTINCT]
    assert grid.header == ["data set", "explainer", "slot", *columns]
    assert grid.body == [
        ["inns (simulated)", "the clean", "positive", "100.0%", "0.0%", "0.0%", "0.0%", "4"],
        ["inns (simulated)", "the clean", "negative", "100.0%", "0.0%", "0.0%", "0.0%", "2"],
        ["inns (simulated)", "the dull", "positive", "0.0%", "25.0%", "75.0%", "75.0%", "2"],
        ["inns (simulated)", "the dull", "negative", "100.0%", "0.0%", "0.0%", "50.0%", "3"],
        ["shop", "the dull", "positive", "0.0%", "25.0%", "75.0%", "75.0%", "2"],
        ["shop", "the dull", "negative", "100.0%", "0.0%", "0.0%", "50.0%", "3"],
    ]


def test_who_tells_everybody_the_same_is_named_and_no_one_else(frame: pl.DataFrame) -> None:
    named = [note for note in faults_notes(frame) if " by the " in note]
    assert named == [
        f"{title}, positive by the dull: nearly everybody is told the same, 75% on ten sentences."
        for title in ("inns (simulated)", "shop")
    ]
    assert "found nowhere: empty, echo of the prompt, other language," in faults_notes(frame)[0]


def test_the_title_says_which_data_are_simulated(frame: pl.DataFrame) -> None:
    assert faults_title(frame).endswith("(SIMULATED markets and real data)")
    assert faults_title(frame.filter(title="shop")).endswith("(real data)")


def test_the_figure_has_a_panel_for_each_explainer_and_says_every_share(frame: pl.DataFrame) -> None:
    figure = faults(frame)
    clean, dull = figure.axes
    assert (clean.get_title("left"), dull.get_title("left")) == ("the clean", "the dull")
    lines = [label.get_text() for label in dull.get_yticklabels()]
    told = [f"{title}: {slot}" for title in ("inns (simulated)", "shop") for slot in ("positive", "negative")]
    assert [line.replace("\n", " ") for line in lines] == told
    assert [label.get_text() for label in dull.get_xticklabels()] == [*COLUMNS]
    values = dull.collections[0].get_array().reshape(4, len(COLUMNS))
    assert values[0, FAULTS.index("several sentences")] == 0.75 and values[1, -1] == 0.5
    assert sorted(filter(None, (text.get_text() for text in dull.texts))) == ["25"] * 2 + ["50"] * 2 + ["75"] * 4
    assert not any(text.get_text() for text in clean.texts)


def test_small_shares_are_not_shown_as_none() -> None:
    said = {"single": ["I'm sorry."] + [f"Tea {k}." for k in range(299)]}
    figure = faults(made("shop", "x", said))
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text()] == ["<1"]


class Dull:
    def __init__(self, name: str) -> None:
        self.name = self.model = name

    def complete(self, requests: Iterator[Request]) -> Iterator[Result]:
        return (Result(key=request.key(self.model), text="The consumer liked it.") for request in requests)


def test_a_study_is_judged_with_every_store_that_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study(get_profile("smoke", users=30, items=20, records_per_user=6, replicates=1))
    written = publish_faults(study)
    assert set(written["explainer"]) == {"simulated reasoner (knows 80% of S* and 3 spurious attributes)"}
    assert written["title"].unique(maintain_order=True).to_list() == [f"{name} (simulated)" for name in study.datasets]
    assert (written.filter(fault="none")["share"] == 1).all()
    for model, asked in (("dull", study.datasets), ("flat", study.datasets[:1])):
        with ExplanationStore(root / model) as store:
            for name in asked:
                explain_records(study.split(name), Dull(model), store=store)
    monkeypatch.setenv("LRRECSYS_STORES", f"dull={root / 'dull'},flat={root / 'flat'}")
    both = collect_faults(study)
    writers = both.select("title", "explainer").unique(maintain_order=True).rows()
    # The first store writes the texts of LR-Recsys; another is judged where it was asked about every record.
    assert writers == [
        ("hotels (simulated)", "dull, prompts house"), ("hotels (simulated)", "flat, prompts house"),
        ("restaurants (simulated)", "dull, prompts house"), ("movies (simulated)", "dull, prompts house"),
    ]  # fmt: skip
    assert (both.filter(fault="other opening", variant="full")["share"] == 1).all()
    again = kept(study.run, "faults")
    assert again is not None and again.equals(written), "the aggregate is what the table says"
    assert "SIMULATED" in (root / "paper_tables" / study.run / "faults.md").read_text()
    picture, _ = draw(study.run, "faults")
    assert picture.is_file()


def test_answers_are_judged_again_only_when_they_or_the_code_changed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = Study(get_profile("smoke", users=30, items=20, records_per_user=6, replicates=1))
    first, asked = collect_faults(study), []
    true = publish.fault_report

    @wraps(true)
    def counting(split: Split, source: Source) -> pl.DataFrame:
        asked.append(split.dataset.name)
        return true(split, source)

    monkeypatch.setattr(publish, "fault_report", counting)
    assert_frame_equal(collect_faults(study), first)
    assert asked == []
    name = study.datasets[0]
    with ExplanationStore(root / "dull") as store:
        explain_records(study.split(name), Dull("dull"), store=store)
    monkeypatch.setenv("LRRECSYS_STORES", f"dull={root / 'dull'}")
    collect_faults(study)
    assert asked == [name], "another writer of one data set"
    monkeypatch.setattr("lrrecsys_core.app.remembered.code_hash", lambda *_: "other code")
    collect_faults(study)
    assert asked == [name, *study.datasets]
