"""recommend: right items in the right order, reasons where there are some, models that survive a round trip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from lrrecsys_core import rows
from lrrecsys_core.app.publish import collect_attention
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.generate import Explanations
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.profiles import Profile
from lrrecsys_core.study import serve as serving
from lrrecsys_core.study.cell import Cell
from lrrecsys_core.study.fitted import FittedModel
from lrrecsys_core.study.inputs import record_fields
from lrrecsys_core.study.study import Study
from lrrecsys_core.training.fit import as_tensors, predict

TINY = Profile(
    "tiny", users=40, items=60, records_per_user=10, replicates=1, epochs=2, patience=2, autoencoder_epochs=40
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LRRECSYS_ROOT", str(root))
        Cell(Study(TINY), "hotels", rows.LR).compute()
    return root


@pytest.fixture
def model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FittedModel:
    monkeypatch.setenv("LRRECSYS_ROOT", str(folder))
    return serving.served("tiny")


def test_items_come_best_first_unseen_and_with_both_reasons(model: FittedModel) -> None:
    user = next(iter(model.latest))
    found = model.recommend(user, 7)
    assert len(found) == 7
    assert [r.score for r in found] == sorted((r.score for r in found), reverse=True)
    own = set(model.split.dataset.interactions.filter(user_id=user)["item_id"])
    assert own.isdisjoint(r.item_id for r in found)
    for item in found:
        assert item.positive.startswith("The consumer stayed at this hotel because the consumer")
        assert item.negative.startswith("The consumer did not stay at this hotel because the consumer")
        assert 0 < item.attention_positive + item.attention_negative < 1


def test_stored_reasons_are_read_and_never_asked_for_again(model: FittedModel) -> None:
    user = next(iter(model.latest))
    asked: list[int] = []
    write = model.explain
    assert write is not None

    def counting(pairs: Split) -> Explanations:
        asked.extend(pairs.item_position.tolist())
        return write(pairs)

    model.explain = counting
    model.recommend(user, 3, exclude_seen=False)
    own = model.split.item_position[model.split.user_position == model.split.user_position[model.latest[user]]]
    assert asked and set(own.tolist()).isdisjoint(asked)
    assert len(asked) <= 50
    assert model.stored.pair.dtype == np.int64, "users times items may be more than 32 bits hold"


def test_the_map_of_attention_is_that_of_the_served_network(model: FittedModel) -> None:
    study, row = Study(TINY), rows.BY_NAME[rows.LR]
    maps = collect_attention(study)
    assert maps["title"].unique().to_list() == ["hotels (simulated)"], "only its cell has been computed"
    for part in maps.partition_by("what"):
        np.testing.assert_allclose(part.group_by("from").agg(pl.col("share").sum())["share"], 1, atol=1e-5)
    split = model.split
    fields = as_tensors(record_fields(row, split, Sizes.of(split), study.text_set("hotels"), 0))
    received = predict(model.module, fields, split.test, method="attention").mean(0)
    mean = maps.filter(what="mean of the test records").group_by("to", maintain_order=True).agg(pl.col("share").mean())
    assert mean["to"].to_list() == list(model.module.token_names)
    np.testing.assert_allclose(mean["share"], received, atol=1e-5)


def test_score_of_a_stored_record_equals_the_batch_prediction(model: FittedModel) -> None:
    """The serving path and the training path are one model, that of the study's own text set."""
    split, row = model.split, rows.BY_NAME[rows.LR]
    last = int(split.test[0])
    before = last - 1
    assert split.user_position[last] == split.user_position[before]
    codes = model.stored.find(np.array([_pair(split, last)]))
    scores, _ = model.score(before, split.item_position[[last]], model.tokens(codes, model.stored.embeddings))
    fields = record_fields(row, split, Sizes.of(split), Study(TINY).text_set("hotels"), TINY.first_seed)
    fields["context"] = np.concatenate([np.eye(size, dtype=np.float32)[0] for size in split.context_sizes])[None]
    fields["context"] = np.repeat(fields["context"], len(split.user), 0)
    expected = predict(model.module, as_tensors(fields), np.array([last]))
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def test_recommended_items_are_scored_by_what_the_network_was_trained_on(model: FittedModel) -> None:
    split, texts = model.split, Study(TINY).text_set("hotels")
    read, raw = texts.fields(texts.codes), texts.fields(texts.codes, whitened=False)
    user = next(iter(model.latest))
    last = model.latest[user]
    own = np.flatnonzero(split.user_position == split.user_position[last])
    record = {split.dataset.items["item_id"][int(split.item_position[k])]: k for k in own}
    model.explain = None
    found = [r for r in model.recommend(user, split.dataset.items.height, exclude_seen=False) if r.item_id in record]
    assert len(found) == len(record) > 3
    moved = []
    for item in found:
        k = record[item.item_id]
        expected, attention = model.score(last, split.item_position[[k]], {slot: v[[k]] for slot, v in read.items()})
        assert item.score == pytest.approx(float(expected[0]), rel=1e-5)
        assert item.attention_positive == pytest.approx(float(attention[0, 0]), rel=1e-4)
        without = model.score(last, split.item_position[[k]], {slot: v[[k]] for slot, v in raw.items()})[0]
        moved.append(abs(float(without[0]) - item.score))
    assert max(moved) > 1e-3, "without the maps the scores would be others"


def test_tokens_of_no_reason_are_zero(model: FittedModel) -> None:
    codes = {slot: np.array([0, 1], dtype=np.int32) for slot in ("positive", "negative")}
    for values in model.tokens(codes, model.stored.embeddings).values():
        assert values.shape == (2, 8) and not values[0].any() and values[1].any()


def _pair(split: Split, record: int) -> int:
    return int(split.user_position[record]) * split.dataset.items.height + int(split.item_position[record])


def test_without_an_explainer_items_are_ranked_without_reasons(model: FittedModel) -> None:
    model.explain = None
    assert {r.positive for r in model.recommend(next(iter(model.latest)), 5)} == {""}


def test_a_model_read_back_is_the_model_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRRECSYS_ROOT", str(folder))
    one, two = serving.served("tiny"), serving.served("tiny", "hotels")
    for name, value in one.module.state_dict().items():
        assert torch.equal(value, two.module.state_dict()[name])
    user = next(iter(one.latest))
    assert one.recommend(user, 4) == two.recommend(user, 4)
    assert "attention" in serving.show("tiny", user, 2)


def test_bad_requests_get_one_sentence(model: FittedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="user 'nobody' has no record in 'hotels'"):
        model.recommend("nobody", 3)
    with pytest.raises(InputError, match="k must be at least 1"):
        model.recommend(next(iter(model.latest)), 0)
    with pytest.raises(InputError, match="no model of 'movies'"):
        serving.served("tiny", "movies")
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))
    with pytest.raises(InputError, match="holds no fitted model"):
        serving.served("tiny")


def test_a_model_of_other_data_is_refused(model: FittedModel, folder: Path) -> None:
    from lrrecsys_core.study.fitted import load_model, model_folder

    other = Study(TINY).split("movies")
    with pytest.raises(InputError, match="trained on other data"):
        load_model(model_folder("tiny", "hotels"), other)
