"""The signal followed link by link: a planted reason is found where it is told, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from lrrecsys_core import rows
from lrrecsys_core.data.split import Split
from lrrecsys_core.models.biases import bias_logits, residual_biases
from lrrecsys_core.models.whitening import Whitening
from lrrecsys_core.profiles import Profile
from lrrecsys_core.study import signal
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.points import Step
from lrrecsys_core.study.study import Study
from lrrecsys_core.study.texts import TextSet
from lrrecsys_core.study.train_row import Given, Trained
from lrrecsys_core.training.fit import as_tensors
from tests.models.markets import market

TINY = Profile(
    "tiny", users=40, items=40, records_per_user=10, replicates=2, epochs=2, patience=2, autoencoder_epochs=40,
    networks=2,
)  # fmt: skip
SENTENCES = ("", "they like the pool here", "they miss the pool here", "they say nothing", "they keep quiet")
BOTH = (("regression", Step()), ("classification", Step()))


def planted() -> tuple[Split, np.ndarray]:
    """A market whose ratings are its biases and whether a sentence likes or misses a pool; the sentence of a record."""
    split = market()
    said = np.random.default_rng(0).integers(1, 3, len(split.user))
    base = bias_logits(split, "regression", *residual_biases(split, "regression"))
    target = np.clip(1 / (1 + np.exp(-base)) + np.where(said == 1, 0.2, -0.2), 0, 1).astype(np.float32)
    liked = (target > np.median(target)).astype(np.float32)
    return replace(split, target=target, liked=liked), said.astype(np.int32)


def told(said: np.ndarray) -> TextSet:
    """The sentences as the positive slot, a negative one that says nothing, and codes that keep the first's sense."""
    rng = np.random.default_rng(1)
    embeddings = rng.normal(0, 1, (len(SENTENCES), 8))
    codes = {"positive": said, "negative": rng.integers(3, 5, len(said)).astype(np.int32)}
    maps = {slot: Whitening(np.zeros(8), np.eye(8)) for slot in codes}
    return TextSet("reader", SENTENCES, embeddings, codes, {}, maps, {})


class Deaf(SimpleNamespace):
    """Stands for networks: `predict` is replaced where it is used."""


def followed(split: Split, texts: TextSet, monkeypatch: pytest.MonkeyPatch, networks: int = 2) -> pl.DataFrame:
    """The links of a replicate whose networks say what the biases say, from tokens that are noise."""

    def predict(module: Any, fields: Any, records: np.ndarray, method: str = "forward") -> np.ndarray:
        rng = np.random.default_rng(module.seed)
        task = "regression" if module.seed < 10 else "classification"
        base = bias_logits(split, task, *residual_biases(split, task))
        return rng.normal(0, 1, (len(records), 6)) if method == "fused" else 1 / (1 + np.exp(-base[records]))

    monkeypatch.setattr(signal, "predict", predict)
    modules = [[Deaf(seed=10 * task + k) for k in range(networks)] for task in range(2)]
    fields = as_tensors(texts.fields(texts.codes))
    trained = Trained([modules], [fields], None, {})  # type: ignore[arg-type, list-item]
    return signal.links([Given(split, texts, 0, BOTH, 7)], trained)


def values(frame: pl.DataFrame, task: str, part: str) -> dict[str, float]:
    return dict(frame.filter(task=task, part=part).select("link", "value").iter_rows())


def test_a_planted_reason_is_found_where_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    split, said = planted()
    frame = followed(split, told(said), monkeypatch)
    assert set(frame["replicate"]) == {7} and set(frame["part"]) == {"validation", "test"} and not any(frame["sampled"])
    for part in ("validation", "test"):
        share, gain = values(frame, "regression", part), values(frame, "classification", part)
        assert min(share[link] for link in ("words", "codes", "trees")) > 0.7
        assert min(gain[link] for link in ("words", "codes", "trees")) > 0.1
        assert max(abs(share[link]) for link in ("tastes", "balance", "fusion")) < 0.25
        assert (
            share["network"] == share["networks"] == gain["network"] == gain["networks"] == pytest.approx(0, abs=1e-9)
        )


def test_a_shuffled_reason_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    split, said = planted()
    frame = followed(split, told(np.random.default_rng(5).permutation(said)), monkeypatch)
    share = values(frame, "regression", "test")
    assert max(share[link] for link in ("words", "codes", "trees")) < 0.1


def test_a_code_that_forgets_is_the_link_that_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    split, said = planted()
    texts = told(said)
    texts.embeddings[2] = texts.embeddings[1]
    share = values(followed(split, texts, monkeypatch), "regression", "validation")
    assert share["words"] > 0.7 and share["codes"] < 0.1 and share["trees"] < 0.1


def test_test_outcomes_decide_nothing_on_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    split, said = planted()
    target, liked = split.target.copy(), split.liked.copy()
    target[split.test], liked[split.test] = 1 - target[split.test], 1 - liked[split.test]
    flipped = replace(split, target=target, liked=liked)
    one, two = (followed(data, told(said), monkeypatch) for data in (split, flipped))
    assert one.filter(part="validation").equals(two.filter(part="validation"))
    assert not one.filter(part="test").equals(two.filter(part="test"))


def test_the_measure_by_hand() -> None:
    split, _ = planted()
    records = split.test
    base = 1 / (1 + np.exp(-bias_logits(split, "regression", *residual_biases(split, "regression"))))
    halfway = (base + split.target) / 2  # half the error, a quarter of its square
    assert signal.explained(split, "regression", records, halfway) == pytest.approx(0.75, abs=1e-6)
    assert signal.explained(split, "regression", records, base) == pytest.approx(0.0)
    perfect = signal.explained(split, "classification", records, split.liked.astype(float))
    logits = bias_logits(split, "classification", *residual_biases(split, "classification"))[records]
    high, low = logits[split.liked[records] > 0], logits[split.liked[records] == 0]
    wins = (high[:, None] > low).mean() + 0.5 * (high[:, None] == low).mean()
    assert perfect == pytest.approx(1 - wins)
    assert np.isnan(signal.explained(split, "regression", records[:0], base))


def test_words_are_marked_once_and_only_those_that_vary() -> None:
    split, said = planted()
    marks = signal.word_marks(split, told(said))
    # like/miss; say, nothing, keep, quiet: "they", "the", "pool" and "here" stand in every sentence of their slot
    assert marks.shape == (len(said), 6) and set(np.unique(marks)) == {0.0, 1.0}
    np.testing.assert_array_equal(np.sort(marks[:, :2].sum(1)), 1.0)


def test_large_data_are_sampled_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    split, said = planted()
    monkeypatch.setattr(signal, "RECORDS", 150)
    frame = followed(split, told(said), monkeypatch, networks=1)
    assert all(frame["sampled"]) and "networks" not in set(frame["link"])
    assert values(frame, "regression", "test")["words"] > 0.7


def test_without_validation_records_only_test_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    split, said = planted()
    joined = np.sort(np.concatenate([split.train, split.validation]))
    strict = replace(split, train=joined, validation=joined[:0])
    frame = followed(strict, told(said), monkeypatch)
    assert set(frame["part"]) == {"test"} and values(frame, "regression", "test")["trees"] > 0.5


def test_a_task_whose_outcome_does_not_vary_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    split, said = planted()
    frame = followed(replace(split, liked=np.ones_like(split.liked)), told(said), monkeypatch)
    assert set(frame["task"]) == {"regression"}


def test_the_cell_of_ours_keeps_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    study = Study(TINY)
    cells = [Cell(study, "restaurants", name) for name in (rows.LR, rows.BIASES)]
    for cell in cells:
        cell.compute()
    assert all(cell.done for cell in cells) and "signal" not in cells[1].tables
    frame, kept = study.signal(), study.metrics()
    assert set(frame["dataset"]) == {"restaurants"} and set(frame["replicate"]) == {0, 1}
    assert frame["link"].unique(maintain_order=True).to_list() == [
        "tastes", "balance", "words", "codes", "trees", "fusion", "network", "networks",
    ]  # fmt: skip
    # The last link is the row's own number, told in another unit.
    for replicate in range(2):
        error = {
            row: kept.filter(row=row, metric="RMSE", part="test", replicate=replicate)["value"].item()
            for row in (rows.LR, rows.BIASES)
        }
        last = frame.filter(link="networks", task="regression", part="test", replicate=replicate)["value"].item()
        assert last == pytest.approx(1 - (error[rows.LR] / error[rows.BIASES]) ** 2, abs=1e-5)
    place = cells[0].path("signal")
    assert place is not None
    place.unlink()
    assert not cells[0].done and cells[1].done
    assert study.signal().is_empty()
