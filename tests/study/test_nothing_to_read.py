"""Rows of whose texts no code can be learned are not run; all others are, and the run ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrrecsys_core import rows
from lrrecsys_core.errors import InputError, NothingToRead
from lrrecsys_core.profiles import get_profile
from lrrecsys_core.study import text_sets
from lrrecsys_core.study.study import Study

PROFILE = get_profile("smoke", replicates=1, epochs=1, patience=1, autoencoder_epochs=5, seeds_on_files=1)


@pytest.fixture
def study(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A table of users, named items and ratings, where aspect terms come out without a code."""
    file = tmp_path / "bare.csv"
    lines = "".join(f"u{k % 6},i{k // 6},{1 + k % 5},Place {k // 6}\n" for k in range(48))
    file.write_text("user_id,item_id,rating,name\n" + lines)
    make = text_sets.make_text_set

    def collapsing(split: object, texts: rows.Texts, **options: object) -> object:
        if texts.variant == "aspects":
            raise NothingToRead("the autoencoder's code collapsed")
        return make(split, texts, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(text_sets, "make_text_set", collapsing)
    return Study(PROFILE, [f"table:{file}?name=name"])


def test_a_row_without_a_code_is_left_out_and_the_others_are_run(study: Study) -> None:
    wanted = {rows.LR, rows.ASPECTS_ONLY, rows.BIASES}
    for _ in range(2):  # the second time nothing is tried again
        study.run_rows(only=wanted, progress=False, jobs=1)
        assert set(study.metrics()["row"]) >= {rows.LR, rows.BIASES}
        assert rows.ASPECTS_ONLY not in set(study.metrics()["row"])
    [cell] = study.cells_of("bare", rows.ASPECTS_ONLY)
    assert cell.has_nothing_to_read
    assert not cell.done
    assert cell.text_jobs[0].nothing == "the autoencoder's code collapsed"


def test_on_markets_a_collapsed_code_is_a_fault_of_ours(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def collapsing(*given: object, **options: object) -> object:
        raise NothingToRead("the autoencoder's code collapsed")

    monkeypatch.setattr(text_sets, "make_text_set", collapsing)
    tiny = get_profile("smoke", users=20, items=15, records_per_user=6, replicates=1)
    with pytest.raises(InputError, match="collapsed"):
        Study(tiny).run_rows(only=[rows.LR], progress=False, jobs=1)


def test_an_encoder_that_cannot_be_had_is_told_and_not_taken_for_texts_that_say_nothing(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = text_sets.make_text_set

    def unavailable(*given: object, **options: object) -> object:
        raise InputError("the sentence encoder needs an extra: pip install it")

    monkeypatch.setattr(text_sets, "make_text_set", unavailable)
    with pytest.raises(InputError, match="needs an extra"):
        study.run_rows(only=[rows.LR], progress=False, jobs=1)
    monkeypatch.setattr(text_sets, "make_text_set", make)  # once it is there the row is run
    study.run_rows(only=[rows.LR], progress=False, jobs=1)
    assert rows.LR in set(study.metrics()["row"])
