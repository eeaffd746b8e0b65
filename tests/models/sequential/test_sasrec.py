"""SASRec: padding is inert, time flows one way, and planted transitions are learnt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.sequential.sasrec import SASRec
from tests.models.planted import chain, records
from tests.models.training import assert_trainable_side_by_side, batch_of, count, train


def with_draws(model: SASRec, seed: int) -> dict[str, torch.Tensor]:
    fields = records(seed=seed)
    drawn = model.draws(len(fields["user"]), np.random.default_rng(seed))
    return batch_of(fields | drawn)


def test_parameter_counts() -> None:
    sizes = Sizes(users=6, items=11)
    # 984 with the library's attention, which adds a projection of (8 + 1) * 8 weights per block.
    assert count(SASRec(sizes)) == (984 - 2 * 72, 11 * 8)
    assert len(SASRec.grid) == 8


def test_padding_is_inert() -> None:
    model, batch = SASRec(Sizes(7, 30)).eval(), batch_of(records())
    before = model(batch)
    with torch.no_grad():
        model.items.weight[0] = torch.randn(8) * 5
    torch.testing.assert_close(model(batch), before, rtol=0, atol=0)


def test_padding_is_zero_and_never_a_key() -> None:
    model, batch = SASRec(Sizes(7, 30)).eval(), batch_of(records())
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda _, args: seen.append(args))
    model.states(batch)
    empty = ~batch["history_mask"]
    assert len(seen) == 2
    for x, mask in seen:
        assert not x[empty].any()
        assert not (mask & empty.unsqueeze(1)).any()


def test_states_do_not_see_later_items() -> None:
    model, batch = SASRec(Sizes(7, 30)).eval(), batch_of(records(full=True))
    changed = dict(batch)
    changed["history"] = batch["history"].clone()
    changed["history"][:, 3:] = 1 + (changed["history"][:, 3:] + 7) % 29
    before, after = model.states(batch), model.states(changed)
    torch.testing.assert_close(before[:, :3], after[:, :3], rtol=0, atol=0)
    assert (before[:, 3:] - after[:, 3:]).abs().max() > 1e-3


def test_an_unseen_newest_item_leaves_the_one_before_it_in_charge() -> None:
    model, batch = SASRec(Sizes(7, 30)).eval(), batch_of(records(full=True))
    batch["history_mask"] = batch["history_mask"].clone()
    batch["history_mask"][:, 4] = False
    states = model.states(batch)
    expected = (states[:, 3] * model.items(batch["item"])).sum(-1)
    torch.testing.assert_close(model.score(batch), expected)
    assert expected.abs().min() > 0


def test_negatives_out_of_the_window_only() -> None:
    model = SASRec(Sizes(7, 30), schedule="pre").eval()
    batch = with_draws(model, 0)
    batch["sampled"] = batch["sampled_window"] = batch["item"].unsqueeze(1).expand(-1, 5)
    moved = dict(batch)
    moved["sampled"] = torch.full_like(batch["sampled"], 5)
    assert torch.equal(model.pretrain_loss(batch), model.pretrain_loss(moved)), "a clash must not enter the loss"
    assert model.draws(3, np.random.default_rng(0)) != {}
    model.prepare_rating_stage()
    assert model.draws(3, np.random.default_rng(0)) == {} and "window" not in model.reads


@pytest.mark.parametrize("schedule", ["point", "pre"])
def test_side_by_side(schedule: str) -> None:
    models = [SASRec(Sizes(7, 30), schedule=schedule) for _ in range(2)]
    assert_trainable_side_by_side(models, [with_draws(m, s) for s, m in enumerate(models)])


def test_planted_transitions() -> None:
    fields, follows = chain(items=41, length=300)
    torch.manual_seed(0)
    model = SASRec(Sizes(2, 41), schedule="pre", dropout=0.0)
    train(model, fields, steps=250, lr=0.01, loss="pretrain_loss")
    batch = batch_of(fields)
    last = model.states(batch)[:, -1]
    rank = (-(last @ model.items.weight.T)).argsort(-1)[:, :10]
    truth = torch.from_numpy(follows[fields["history"][:, -1]])
    hits = (rank == truth.unsqueeze(1)).any(1).float().mean()
    assert hits > 0.95
