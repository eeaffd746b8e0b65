from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lrrecsys_core.models.aspect.mmalfm import MMALFM, similarity
from lrrecsys_core.models.base import Sizes
from tests.models.markets import fields_of, market, replicates
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, train


def test_similarity_by_hand() -> None:
    first = np.array([[1.0, 0.0], [0.3, 0.7], [0.5, 0.5]])
    second = np.array([[0.0, 1.0], [0.3, 0.7], [1.0, 0.0]])
    np.testing.assert_allclose(similarity(first, second), [0.0, 1.0, 0.6887], atol=1e-4)


def test_score_by_hand() -> None:
    model = MMALFM(Sizes(2, 2), rate=0.8, aspects=2, width=2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, -1.0]]))
        model.users.weight[1], model.items.weight[1] = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.5])
        model.user_bias.weight[1] = 0.25
    batch = batch_of({"user": [1], "item": [1], "aspect_match": [[0.5, 0.1]]})
    # aspect ratings: 1*3 + 4*1 = 7 and 0*3 + 1*1 = 1
    assert model(batch).item() == pytest.approx(math.log(4) + 0.25 + 0.5 * 7 + 0.1 * 1)


def planted() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Four cells of a 2 x 2 pattern over 24 x 24 pairs; the aspect that decides differs from pair to pair."""
    rng = np.random.default_rng(0)
    user, item = (a.ravel() for a in np.meshgrid(np.arange(24), np.arange(24), indexing="ij"))
    match = rng.dirichlet([0.2, 0.2], len(user)).astype(np.float32)
    p, q = rng.choice([-1.0, 1.0], (2, 24, 2))
    label = (match * p[user] * q[item]).sum(-1) > 0
    rows = rng.permutation(len(user))
    fields = {"user": user + 1, "item": item + 1, "aspect_match": match, "target": label.astype(np.float32)}
    return {k: v[rows[:450]] for k, v in fields.items()}, {k: v[rows[450:]] for k, v in fields.items()}


def test_held_out_pairs_get_more_than_their_biases() -> None:
    seen, held_out = planted()
    torch.manual_seed(0)
    model = train(MMALFM(Sizes(25, 25), aspects=2, width=4), seen, steps=300, lr=0.03, classification=True)
    assert area(model(batch_of(held_out)).detach(), held_out["target"]) > 0.8
    ids = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    u, v, i, j = (
        ids[0, :2].repeat(2),
        ids[0, 2:].repeat(2),
        ids[1, :2].repeat_interleave(2),
        ids[1, 2:].repeat_interleave(2),
    )
    match = torch.full((4, 2), 0.5)

    def rating(user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        return model({"user": user, "item": item, "aspect_match": match})

    cycle = rating(u, i) - rating(u, j) - rating(v, i) + rating(v, j)
    assert cycle.abs().max() > 0.05


def test_aspect_matches_exist_for_test_records_and_are_proper() -> None:
    split = market()
    match = fields_of(MMALFM, split, Sizes.of(split), aspects=4)["aspect_match"]
    assert match.shape == (len(split.user), 4) and (match >= 0).all() and (match.sum(1) <= 1 + 1e-5).all()
    assert (match[split.test].sum(1) > 0.05).all() and match[split.test].std(0).min() > 1e-3
    nothing = (split.earlier_of_user.count == 0) & (split.earlier_of_item.count == 0)
    np.testing.assert_allclose(match[nothing], 0.25, rtol=1e-5)  # equal importance, equal topics
    # Importances sum to 1; user and item that speak of different things take something off each.
    both = (split.earlier_of_user.count > 0) & (split.earlier_of_item.count > 0)
    assert np.median(match[both].sum(1)) < 0.999


def test_the_l1_term_is_in_the_loss() -> None:
    model = MMALFM(Sizes(3, 3), aspects=2, width=2, sparsity=0.5)
    batch = batch_of({"user": [1], "item": [2], "aspect_match": [[0.5, 0.5]]})
    extra = model.loss(batch) - model.own_loss(batch)
    assert extra.item() == pytest.approx(0.5 * model.weight.abs().sum().item(), rel=1e-3)


def test_replicates_side_by_side() -> None:
    models, batches = replicates(MMALFM)
    assert_trainable_side_by_side(models, batches)


def test_parameter_counts() -> None:
    sizes = Sizes(users=9766, items=6281)
    assert count(MMALFM(sizes, **MMALFM.matched)) == (40, 8 * (9766 + 6281))
    assert count(MMALFM(sizes, **MMALFM.as_published))[0] == 25
    assert len(MMALFM.grid) == 8
