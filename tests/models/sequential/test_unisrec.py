"""UniSRec: texts stand for items, noise belongs to training, and repeated targets are no negatives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from lrrecsys_core.errors import NothingToRead
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.layers import set_noise
from lrrecsys_core.models.sequential.unisrec import TEXT_WIDTH, UniSRec, contrast, text_vectors
from tests.models.planted import records, small_split
from tests.models.training import assert_trainable_side_by_side, batch_of, count, train

TEXT = torch.cat([torch.zeros(1, TEXT_WIDTH), torch.randn(29, TEXT_WIDTH, generator=torch.Generator().manual_seed(1))])


def text_batch(model: UniSRec, seed: int = 0) -> dict[str, Tensor]:
    fields = records(seed=seed)
    fields |= {"item_text": fields["item"], "history_text": fields["history"], "text_mask": fields["history_mask"]}
    fields |= {"next_text": fields["item"]}
    return batch_of(fields | model.draws(len(fields["user"]), np.random.default_rng(seed)))


def test_parameter_counts() -> None:
    sizes = Sizes(users=6, items=11)
    assert count(UniSRec(sizes, text=TEXT)) == (7433, 0)
    assert count(UniSRec(sizes, text=TEXT, ids=True)) == (7433, 88)
    published = count(UniSRec(sizes, text=torch.zeros(3, 768), **UniSRec.as_published))[0]
    assert published == pytest.approx(2.91e6, rel=0.01)
    assert len(UniSRec.grid) == 8


def test_equal_texts_get_equal_scores_unless_ids_tell_them_apart() -> None:
    text = TEXT.clone()
    text[4] = text[9]
    for ids in (False, True):
        model = UniSRec(Sizes(7, 30), text=text, ids=ids).eval()
        batch = text_batch(model)
        one, other = (
            {**batch, k: torch.full_like(batch[k], v), "item": torch.full_like(batch["item"], v)}
            for k, v in (("item_text", 4), ("item_text", 9))
        )
        full = batch["text_mask"].any(1)
        assert torch.equal(model.score(one), model.score(other)) != ids
        assert (model.score(one)[full] != 0).all()


def test_noise_in_training_only() -> None:
    model = UniSRec(Sizes(7, 30), text=TEXT, dropout=0.0)
    model.adaptor.dropout.rate = 0.0
    batch = text_batch(model)
    model.eval()
    assert torch.equal(model(batch), model(batch))
    model.train()
    first = model(batch)
    set_noise(model, seed=0, step=1)
    assert not torch.equal(first, model(batch))


def test_padding_is_inert() -> None:
    model = UniSRec(Sizes(7, 30), text=TEXT.clone(), ids=True).eval()
    batch = text_batch(model)
    before, native = model(batch), model.pretrain_loss(batch)
    with torch.no_grad():
        model.items.weight[0] = 3.0
        model.text[0] = 5.0
    torch.testing.assert_close(model(batch), before, rtol=0, atol=0)
    torch.testing.assert_close(model.pretrain_loss(batch), native, rtol=0, atol=0)


def test_repeated_targets_and_absent_rows_are_no_negatives() -> None:
    left, right = torch.randn(4, 8), torch.randn(4, 8)
    target, weight = torch.tensor([1, 2, 3, 4]), torch.ones(4)
    alone = contrast(left, right, target, weight)
    assert contrast(left, right, torch.full_like(target, 7), weight).item() == pytest.approx(0.0, abs=1e-6)
    padded = [torch.cat([left, torch.randn(3, 8)]), torch.cat([right, torch.randn(3, 8)])]
    more = contrast(*padded, torch.arange(1, 8), torch.tensor([1.0] * 4 + [0.0] * 3))
    torch.testing.assert_close(more, alone)


def test_contrast_by_hand() -> None:
    side = torch.eye(2)
    expected = np.log1p(np.exp(-1 / 0.07))
    assert contrast(side, side, torch.tensor([1, 2]), torch.ones(2)).item() == pytest.approx(expected, abs=1e-6)
    crossed = contrast(side, side.flip(0), torch.tensor([1, 2]), torch.ones(2)).item()
    assert crossed == pytest.approx(1 / 0.07, rel=1e-4)


@pytest.mark.parametrize(("schedule", "ids"), [("pre", False), ("joint", True)])
def test_side_by_side(schedule: str, ids: bool) -> None:
    models = [UniSRec(Sizes(7, 30), text=TEXT + k, ids=ids, schedule=schedule) for k in range(2)]
    batches = [text_batch(m, s) for s, m in enumerate(models)]
    assert_trainable_side_by_side(models, batches)
    native = 0.1 / 16 * models[0].pretrain_loss(batches[0]) if schedule == "joint" else 0.0
    torch.testing.assert_close(models[0].loss(batches[0]), models[0].own_loss(batches[0]) + native)


def test_rating_stage_freezes_the_encoder() -> None:
    model = UniSRec(Sizes(7, 30), text=TEXT)
    batch = text_batch(model)
    model.prepare_rating_stage()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    train(model, {k: v.numpy() for k, v in batch.items() if k not in ("classification", "weight")}, steps=3)
    moved = {k.split(".")[0] for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved >= {"adaptor", "kappa"} and not moved & {"blocks", "positions", "norm"}


def test_vectors_come_from_names_and_details_of_training_items() -> None:
    split = small_split()
    vectors = text_vectors(split, width=8)
    assert vectors.shape == (split.dataset.items.height + 1, 8) and (vectors[0] == 0).all()
    assert float((vectors[1:] ** 2).mean()) == pytest.approx(1.0, rel=1e-4)
    fields = UniSRec.record_fields(split, Sizes.of(split))
    assert (fields["history_text"][~fields["text_mask"]] == 0).all()
    assert (fields["history_text"][fields["text_mask"]] > 0).all()
    model = UniSRec.build(split, Sizes.of(split), "regression")
    assert model.text.shape == (split.dataset.items.height + 1, TEXT_WIDTH)


def test_names_without_a_word_are_nothing_to_read() -> None:
    split = small_split()
    items = split.dataset.items.with_columns(name=pl.lit("\u2605"), details=pl.lit(""))
    with pytest.raises(NothingToRead, match="no word in the names"):
        text_vectors(replace(split, dataset=replace(split.dataset, items=items)))


def test_items_never_trained_on_are_ranked_by_their_texts() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 6, 61)
    text = torch.from_numpy(rng.normal(size=(6, TEXT_WIDTH))[kinds] + 0.3 * rng.normal(size=(61, TEXT_WIDTH))).float()
    members = [np.flatnonzero((kinds == k) & (np.arange(61) > 0) & (np.arange(61) <= 48)) for k in range(6)]
    kind = (rng.integers(0, 6, 1500)[:, None] + np.arange(6)) % 6
    window = np.array([[rng.choice(members[k]) for k in row] for row in kind])
    history, item = window[:, :5], window[:, 5]
    fields = {
        "user": np.ones(1500, np.int64), "item": item, "history": history, "history_mask": np.ones((1500, 5), bool),
        "item_text": item, "history_text": history, "text_mask": np.ones((1500, 5), bool), "next_text": item,
    }  # fmt: skip
    torch.manual_seed(0)
    model = UniSRec(Sizes(2, 61), text=text, dropout=0.0)
    train(model, fields, steps=200, batch_size=128, loss="pretrain_loss")
    batch = batch_of(fields)
    found = model.sequence(model.adapted(batch["history_text"], batch["history"]), batch["text_mask"])
    held = np.arange(49, 61)
    scores = (
        torch.nn.functional.normalize(found, dim=-1) @ torch.nn.functional.normalize(model.adaptor(text[49:]), dim=-1).T
    )
    best = kinds[held[scores.argmax(1).numpy()]]
    answerable = np.isin(kind[:, 5], kinds[held])
    assert (best == kind[:, 5])[answerable].mean() > 0.8
