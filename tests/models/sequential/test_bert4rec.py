"""BERT4Rec: both directions, no view of the candidate, and a Cloze loss that counts masked places only."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.sequential.bert4rec import LAST_ONLY, BERT4Rec
from tests.models.planted import chain, records
from tests.models.training import assert_trainable_side_by_side, batch_of, count, train


def cloze_batch(model: BERT4Rec, seed: int = 0, full: bool = False) -> dict[str, Tensor]:
    fields = records(seed=seed, full=full)
    return batch_of(fields | model.draws(len(fields["user"]), np.random.default_rng(seed)))


def test_parameter_counts() -> None:
    shared, entity = count(BERT4Rec(Sizes(users=6, items=11), biases=False))
    assert (shared - 11 * 9 - 8, entity) == (1896, 0)  # item table, Cloze bias, [MASK]
    assert len(BERT4Rec.grid) == 8


def test_the_mask_state_does_not_know_the_candidate() -> None:
    model = BERT4Rec(Sizes(7, 30)).eval()
    batch = cloze_batch(model)
    other = {**batch, "item": 1 + batch["item"] % 29}
    assert torch.equal(model.asked(batch), model.asked(other))
    assert (model.score(batch) != model.score(other)).all()


def test_both_directions() -> None:
    model = BERT4Rec(Sizes(7, 30)).eval()
    x, real = torch.randn(4, 6, 8), torch.ones(4, 6, dtype=torch.bool)
    before = model.encode(x, real)
    for changed, seen in ((1, 3), (3, 1)):
        other = x.clone()
        other[:, changed] = torch.randn(4, 8)
        assert ((model.encode(other, real) - before)[:, seen].abs().amax(-1) > 1e-6).all()


def test_padding_is_inert() -> None:
    model = BERT4Rec(Sizes(7, 30)).eval()
    batch = cloze_batch(model)
    score, native = model(batch), model.cloze_loss(batch)
    with torch.no_grad():
        model.items.weight[0] = torch.randn(8) * 5
    torch.testing.assert_close(model(batch), score, rtol=0, atol=0)
    torch.testing.assert_close(model.cloze_loss(batch), native, rtol=0, atol=0)


def test_only_a_masked_place_counts() -> None:
    model = BERT4Rec(Sizes(7, 30), schedule="joint", rho=0.3).eval()
    batch = cloze_batch(model, full=True)
    batch["cloze"] = torch.tensor([0.9, 0.25, 0.2, 0.8, 0.5, 0.31]).expand(24, 6)
    window = torch.cat([batch["history"], batch["item"].unsqueeze(1)], 1)
    x = model.items(window)
    x[:, 1:3] = model.token
    states = model.encode(x, torch.ones_like(window, dtype=torch.bool))[:, 2]
    logits = (states @ model.items.weight.T + model.cloze_bias)[:, 1:]
    expected = torch.nn.functional.cross_entropy(logits, window[:, 2] - 1)
    torch.testing.assert_close(model.cloze_loss(batch), expected)
    for classification, weight in ((0.0, 0.1 / 16), (1.0, 0.1)):
        batch["classification"] = torch.tensor(classification)
        assert torch.allclose(model.loss(batch), model.own_loss(batch) + weight * expected)


def test_every_sequence_masks_something_and_some_mask_the_last_alone() -> None:
    model = BERT4Rec(Sizes(7, 30), rho=0.2)
    drawn = model.draws(20_000, np.random.default_rng(0))["cloze"]
    alone = (drawn[:, -1] == 0) & (drawn[:, :-1] == 1).all(1)
    assert alone.mean() == pytest.approx(LAST_ONLY, abs=0.01)
    assert (drawn[~alone] < 0.2).mean() == pytest.approx(0.2, abs=0.01)
    batch = cloze_batch(model)
    batch["cloze"] = torch.full_like(batch["cloze"], 0.9)
    batch["cloze"][:, -1] = 0.8
    at_last = torch.ones_like(batch["cloze"])
    at_last[:, -1] = 0.0
    model.eval()
    torch.testing.assert_close(model.cloze_loss(batch), model.cloze_loss({**batch, "cloze": at_last}))
    model.prepare_rating_stage()
    assert model.draws(5, np.random.default_rng(0)) == {}


def test_items_of_other_replicates_get_no_probability() -> None:
    model = BERT4Rec(Sizes(7, 40)).eval()
    batch = cloze_batch(model)
    before = model.cloze_loss(batch)
    model.known = torch.arange(40).clamp_max(30) % 30 > 0
    assert model.cloze_loss(batch) < before
    model.cloze_loss(batch).backward()
    assert (model.items.weight.grad[30:] == 0).all() and (model.items.weight.grad[0] == 0).all()


@pytest.mark.parametrize("schedule", ["pre", "joint"])
def test_side_by_side(schedule: str) -> None:
    models = [BERT4Rec(Sizes(7, 30), schedule=schedule) for _ in range(2)]
    assert_trainable_side_by_side(models, [cloze_batch(m, s) for s, m in enumerate(models)])


def test_cloze_beats_popularity() -> None:
    fields, follows = chain(items=31, length=300)
    torch.manual_seed(0)
    model = BERT4Rec(Sizes(2, 31), dropout=0.0)
    train(model, fields, steps=400, lr=0.01, loss="pretrain_loss")
    truth = torch.from_numpy(follows[fields["history"][:, -1]])
    popular = torch.from_numpy(np.bincount(fields["window"].ravel(), minlength=31).astype(np.float32))

    def ndcg(logits: Tensor) -> float:
        better = (logits[:, 1:] > logits.gather(1, truth.unsqueeze(1))).sum(1)
        return float(torch.where(better < 10, 1 / torch.log2(better + 2.0), 0.0).mean())

    learnt = ndcg(model.asked(batch_of(fields)) @ model.items.weight.T + model.cloze_bias)
    assert learnt > 0.9 > 2 * ndcg(popular.expand(len(truth), -1))
