"""Two cases in words: chosen by ratings alone, with what was asked and what came back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lrrecsys_core import rows
from lrrecsys_core.app.cases import opposite_records, question, told_about
from lrrecsys_core.explain.sources import Stored
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study.study import Study


@pytest.fixture(scope="module")
def study() -> Study:
    return Study(get_profile("smoke", users=40, items=30, records_per_user=10, replicates=1))


@pytest.mark.parametrize("seed", range(5))
def test_the_cases_are_one_consumers_liked_and_other_item(study: Study, seed: int) -> None:
    split = study.split("hotels")
    high, low = both = opposite_records(split, seed)
    assert both == opposite_records(split, seed)
    assert split.user_position[high] == split.user_position[low]
    assert (split.liked[high], split.liked[low]) == (1, 0)
    assert set(both) <= set(split.test) and split.history_mask[list(both)].all()


def test_without_such_a_consumer_they_are_the_extremes(study: Study) -> None:
    split = study.split("hotels")
    alike = replace(split, liked=np.ones_like(split.liked))
    high, low = opposite_records(alike)
    full = split.test[split.history_mask[split.test].all(1)]
    assert split.rating[high] == split.rating[full].max() and split.rating[low] == split.rating[full].min()


def test_what_was_asked_holds_profiles_and_no_rating(study: Study) -> None:
    at = opposite_records(study.split("hotels"))[0]
    told = told_about(study, "hotels", at)
    asked = [question(study, "hotels", at, slot) for slot in ("positive", "negative")]
    for prompt in asked:
        assert f"- {told['candidate']}: Suits people" in prompt and prompt.count("\n- ") == 5 + 1 + 3
    assert told["positive explanation"] == study.explanations("hotels").texts("positive")[at]
    assert told["aspect terms"] == study.explanations("hotels", rows.ASPECTS_ONLY).texts("single")[at]
    assert told["rating"] == f"{study.split('hotels').rating[at]:g}"


def test_texts_that_are_not_at_hand_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.csv").write_text(
        "user_id,item_id,rating,timestamp,name\n"
        + "".join(f"{u},{i},{1 + (u + i) % 5},{i},Film {i}\n" for u in range(6) for i in range(8))
    )
    study = Study("smoke", [f"table:{tmp_path / 'own.csv'}?timestamp=timestamp&name=name&domain=movie"])
    monkeypatch.setattr(Study, "rows_of", lambda self, name: [rows.LR])
    at = opposite_records(study.split(study.datasets[0]))[0]
    assert list(told_about(study, study.datasets[0], at)) == [
        "candidate", "its details", "rating", "positive explanation", "negative explanation",
    ]  # fmt: skip


def test_what_a_real_model_wrote_stands_beside_the_programmes_words() -> None:
    study = Study("smoke")
    at = opposite_records(study.split("hotels"))[0]
    told = told_about(study, "hotels", at)
    beside = {what: text for what, text in told.items() if " by " in what}
    assert [what.partition(" ")[0] for what in beside] == ["positive", "negative"]
    assert all("SmolLM2" in what for what in beside)
    written = Stored("smollm2").explanations(study.split("hotels"))
    assert list(beside.values()) == [written.texts(slot)[at] for slot in ("positive", "negative")]
