from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.biased_mf import BiasedMF, UserItemBiases
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, train

SIZES = Sizes(users=21, items=21)


def planted() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """80% and 20% of a 20 x 20 grid whose labels are a two-factor interaction without main effects."""
    rng = np.random.default_rng(0)
    p, q = rng.choice([-1.0, 1.0], (20, 2)), rng.choice([-1.0, 1.0], (20, 2))
    user, item = (a.ravel() for a in np.meshgrid(np.arange(20), np.arange(20), indexing="ij"))
    label = ((p[user, 0] * q[item, 0] + 0.5 * p[user, 1] * q[item, 1]) > 0).astype(np.float32)
    part = rng.permutation(400)
    return tuple(  # type: ignore[return-value]
        {"user": user[rows] + 1, "item": item[rows] + 1, "target": label[rows]} for rows in (part[:320], part[320:])
    )


def test_score_by_hand() -> None:
    model = BiasedMF(Sizes(2, 2), rate=0.8, width=2)
    with torch.no_grad():
        model.users.weight[1] = torch.tensor([1.0, 2.0])
        model.items.weight[1] = torch.tensor([3.0, -0.5])
        model.user_bias.weight[1], model.item_bias.weight[1] = 0.25, -0.5
    batch = batch_of({"user": [1, 1, 0], "item": [1, 0, 0]})
    mu = math.log(4)
    assert model(batch).tolist() == pytest.approx([mu - 0.25 + 2.0, mu + 0.25, mu])


def test_biases_stay_when_rule_p2_is_off() -> None:
    assert BiasedMF(SIZES, biases=False).biases and UserItemBiases(SIZES, biases=False).biases


def test_factors_find_an_interaction_that_biases_cannot() -> None:
    seen, held_out = planted()
    aucs = []
    for kind in (UserItemBiases, BiasedMF):
        torch.manual_seed(1)
        model = train(kind(SIZES), seen, steps=200, lr=0.03, decay=1e-4, classification=True)
        aucs.append(area(model(batch_of(held_out)).detach(), held_out["target"]))
    assert aucs[0] < 0.65 and aucs[1] > 0.9


def test_additive_data_need_only_biases() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=20), rng.normal(size=20)
    user, item = rng.integers(0, 20, (2, 800))
    target = 1 / (1 + np.exp(-(a[user] + b[item])))
    fields = {"user": user + 1, "item": item + 1, "target": target}
    model = train(UserItemBiases(SIZES, rate=float(target.mean())), fields, steps=300, lr=0.03)
    assert np.abs(torch.sigmoid(model(batch_of(fields))).detach().numpy() - target).mean() < 0.02


def test_weight_decay_shrinks_factors_but_not_biases() -> None:
    seen, _ = planted()
    seen["target"] = (seen["user"] > 10).astype(np.float32)
    model = train(BiasedMF(SIZES), seen, steps=100, lr=0.03, decay=10.0)
    assert model.get_parameter("users.weight").abs().max() < 0.01
    assert model.get_parameter("user_bias.weight").abs().max() > 1


@pytest.mark.parametrize("kind", [UserItemBiases, BiasedMF])
def test_replicates_side_by_side(kind: type) -> None:
    seen, _ = planted()
    models = [train(kind(SIZES), seen, steps=3, seed=s) for s in (0, 1)]
    assert_trainable_side_by_side(models, [batch_of(seen), batch_of(seen, classification=True)])


def test_parameter_counts() -> None:
    sizes = Sizes(users=9766, items=6281)
    assert count(BiasedMF(sizes)) == (0, 9 * (9766 + 6281))
    assert count(UserItemBiases(sizes)) == (0, 9766 + 6281)
    assert len(BiasedMF.grid) == len(UserItemBiases.grid) == 8
