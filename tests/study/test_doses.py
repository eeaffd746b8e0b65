"""A dose falls on records, not on seeds or parts, and leaves all other records and rows as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import rows
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.profiles import Profile
from lrrecsys_core.study import cell as cells
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.doses import chosen, dosed
from lrrecsys_core.study.inputs import record_fields
from lrrecsys_core.study.study import Study
from lrrecsys_core.study.text_sets import TextJob
from lrrecsys_core.study.texts import TextSet

TINY = Profile(
    "tiny", users=40, items=40, records_per_user=10, replicates=2, epochs=2, patience=2, autoencoder_epochs=40,
)  # fmt: skip
SLOTS = ("positive", "negative")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    return Study(TINY)


def told(name: str, split: Split, texts: TextSet, seed: int) -> np.ndarray:
    """Both texts (N, 16) as a row's network reads them."""
    row = rows.BY_NAME[name]
    fields = record_fields(row, split, Sizes.of(split), dosed(row, split, texts, seed), seed)
    return np.concatenate([fields[slot] for slot in SLOTS], 1)


def test_a_dose_is_a_property_of_the_record(study: Study) -> None:
    split = study.split("hotels")
    half = chosen(split, 0.5)
    assert 0.4 < half.mean() < 0.6 and chosen(split, 1.0).all() and not chosen(split, 0.0).any()
    assert not (chosen(split, 0.2) & ~half).any()
    for part in (split.train, split.test):
        assert 0.3 < half[part].mean() < 0.7
    other = make_split(study.data("hotels")[0], by="global_time")
    by_record = dict(zip(split.record.tolist(), half.tolist(), strict=True))
    assert [by_record[k] for k in other.record.tolist()] == chosen(other, 0.5).tolist()


def test_removed_texts_are_the_zero_vector_and_exchanged_ones_another_record_s(study: Study) -> None:
    split, texts, seed = study.split("hotels"), study.text_set("hotels"), 7
    half = chosen(split, 0.5)
    own = told(rows.LR, split, texts, seed)
    assert np.abs(own).max(1).min() > 0
    removed = told(rows.REMOVED[50], split, texts, seed)
    assert not removed[half].any() and np.array_equal(removed[~half], own[~half])
    assert not told(rows.REMOVED[100], split, texts, seed).any()
    exchanged, shuffled = told(rows.EXCHANGED[50], split, texts, seed), told(rows.SHUFFLE_ALL, split, texts, seed)
    assert np.array_equal(exchanged[half], shuffled[half]) and np.array_equal(exchanged[~half], own[~half])
    assert (exchanged[half] != own[half]).any(1).mean() > 0.5
    whole = replace(rows.BY_NAME[rows.EXCHANGED[50]], dose=("exchanged", 1.0))
    everyone = texts.fields(dosed(whole, split, texts, seed).codes)
    assert np.array_equal(np.concatenate([everyone[slot] for slot in SLOTS], 1), shuffled)


def test_a_dose_is_part_of_the_key_and_its_code_of_rows_with_one(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes how doses are given makes no other row stale."""
    monkeypatch.setattr(TextJob, "content", "texts")
    filed: dict[str, Any] = {}
    roots: dict[str, tuple[str, ...]] = {}
    for name in (rows.LR, rows.SHUFFLE_ALL, *rows.REMOVED.values(), rows.EXCHANGED[50]):
        monkeypatch.setattr(cells, "content_hash", lambda parts, name=name: filed.setdefault(name, parts) and name)
        monkeypatch.setattr(cells, "code_hash", lambda code, _, name=name: roots.setdefault(name, code) and "")
        assert Cell(study, "hotels", name).key == name
    doses = {name: parts["rows"][""].get("dose") for name, parts in filed.items()}
    assert doses == {
        rows.LR: ["", 0.0], rows.SHUFFLE_ALL: ["", 0.0], rows.REMOVED[50]: ["removed", 0.5],
        rows.REMOVED[100]: ["removed", 1.0], rows.EXCHANGED[50]: ["exchanged", 0.5],
    }  # fmt: skip
    with_one = {name for name, dose in doses.items() if dose[0]}
    assert {name for name, code in roots.items() if "study.doses" in code} == with_one


def test_the_rows_run_on_markets_and_real_data(study: Study, tmp_path: Path) -> None:
    table = tmp_path / "shop.csv"
    lines = [f"u{k % 12},i{k % 17},{1 + k % 5},{k},item {k % 17},kind {k % 3}; place {k % 4}" for k in range(150)]
    table.write_text("user_id,item_id,rating,timestamp,name,details\n" + "\n".join(lines))
    once = replace(TINY, replicates=1, seeds_on_files=1, epochs=1)
    study, real = Study(once), Study(once, [f"table:{table}?timestamp=timestamp&name=name&details=details"])
    new = {*rows.REMOVED.values(), rows.EXCHANGED[50]}
    for run, name in ((study, "hotels"), (real, "shop")):
        assert new | {rows.LR, rows.UNWHITENED, rows.ABLATION1, rows.NO_IDS} <= set(run.rows_of(name, [rows.RIVALS]))
        for row in sorted(new):
            Cell(run, name, row).compute()
        frame = run.metrics([rows.RIVALS]).filter(pl.col("dataset") == name, pl.col("part") == "test")
        assert set(frame["row"]) == new and frame["value"].is_finite().all() and frame.height == 3 * len(new)
