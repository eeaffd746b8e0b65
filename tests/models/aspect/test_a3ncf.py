from __future__ import annotations

import numpy as np
import pytest
import torch

from lrrecsys_core.models.aspect.a3ncf import A3NCF
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.profiles import mentions
from tests.models.markets import fields_of, market, replicates
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, train


def toy(n_users: int = 30, n_items: int = 30, topics: int = 4) -> tuple[dict[str, np.ndarray], Sizes]:
    """Labels that say whether user and item share their main topic."""
    rng = np.random.default_rng(0)
    theta = rng.dirichlet([0.3] * topics, (2, max(n_users, n_items) + 1)).astype(np.float32)
    user, item = (a.ravel() for a in np.meshgrid(np.arange(1, n_users + 1), np.arange(1, n_items + 1), indexing="ij"))
    liked = (theta[0, user].argmax(1) == theta[1, item].argmax(1)).astype(np.float32)
    fields = {"user": user, "item": item, "theta_user": theta[0, user], "theta_item": theta[1, item], "target": liked}
    return fields, Sizes(n_users + 1, n_items + 1)


def test_score_by_hand() -> None:
    model = A3NCF(Sizes(2, 2), biases=False, topics=2)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        model.users.weight[1] = torch.tensor([0.5, -2.0])
        for layer in (model.of_user, model.of_item, model.hidden):
            layer.weight.copy_(torch.eye(2))
        model.output.weight.fill_(1.0)
        model.output.bias.fill_(0.1)
    batch = batch_of({"user": [1], "item": [0], "theta_user": [[0.25, 0.75]], "theta_item": [[0.4, 0.6]]})
    # P = ReLU(.75, -1.25), Q = (.4, .6), a = (.5, .5): h = (.5 * .75 * .4, 0)
    assert model(batch).item() == pytest.approx(0.15 + 0.1)


def test_attention_sums_to_one_and_follows_the_item() -> None:
    fields, sizes = toy()
    model = train(A3NCF(sizes, topics=4), fields, steps=20)
    attention = model.gates(batch_of(fields))[0]
    torch.testing.assert_close(attention.sum(-1), torch.ones(len(attention)))
    of_one_user = attention[:30]
    assert (of_one_user.std(0) > 1e-3).any()


def test_topics_matter_and_hold_no_parameters() -> None:
    fields, sizes = toy()
    model = train(A3NCF(sizes, topics=4), fields, steps=20)
    flat = fields | {name: np.full_like(fields[name], 0.25) for name in ("theta_user", "theta_item")}
    assert (model(batch_of(fields)) - model(batch_of(flat))).abs().max() > 1e-3
    assert not any("theta" in name for name, _ in model.named_parameters())


def test_shared_topics_are_learnt_on_held_out_pairs() -> None:
    fields, sizes = toy(topics=8)
    rows = np.random.default_rng(1).permutation(900)
    torch.manual_seed(0)
    model = A3NCF(sizes)
    train(model, {k: v[rows[:700]] for k, v in fields.items()}, steps=300, lr=0.02, classification=True)
    held = {k: v[rows[700:]] for k, v in fields.items()}
    assert area(model(batch_of(held)).detach(), held["target"]) > 0.85


def test_topic_shares_come_from_strictly_earlier_training_records() -> None:
    split, sizes = market(), Sizes.of(market())
    fields = A3NCF.record_fields(split, sizes, topics=4)
    for name, windows in (("user", split.earlier_of_user), ("item", split.earlier_of_item)):
        theta = fields[f"theta_{name}"]
        np.testing.assert_allclose(theta.sum(1), 1.0, rtol=1e-5)
        said = np.bincount(mentions(split).record, minlength=len(split.user))
        nothing = windows.sums(np.where(split.in_training, said, 0)) == 0
        np.testing.assert_allclose(theta[nothing], 0.25, rtol=1e-5)
        assert (theta[~nothing].std(1) > 0).all()


def test_replicates_side_by_side() -> None:
    models, batches = replicates(A3NCF, topics=5)
    assert_trainable_side_by_side(models, batches)


def test_parameter_counts() -> None:
    sizes = Sizes(users=9766, items=6281)
    shared, entity = count(A3NCF(sizes, topics=8))
    assert shared == 489 and entity == 8 * (9766 + 6281)
    assert count(A3NCF(sizes, **A3NCF.as_published))[0] == 201
    assert count(A3NCF(sizes, topics=20))[0] == 2901
    assert len(A3NCF.grid) == 8 and fields_of(A3NCF, market(), Sizes.of(market()))["theta_user"].shape[1] == 8
