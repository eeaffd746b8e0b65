from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.biased_mf import BiasedMF
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, hold_random_biases, train

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
    model.hold_biases(torch.tensor([0.0, 0.25]), torch.tensor([0.0, -0.5]))
    batch = batch_of({"user": [1, 1, 0], "item": [1, 0, 0]})
    mu = math.log(4)
    assert model(batch).tolist() == pytest.approx([mu - 0.25 + 2.0, mu + 0.25, mu])


def test_biases_stay_when_rule_p2_is_off() -> None:
    model = BiasedMF(SIZES, biases=False)
    model.hold_biases(torch.arange(21.0), -torch.arange(21.0))
    assert model.biases and model.user_bias.weight[20] == 20 and model.item_bias.weight[20] == -20


def test_factors_find_an_interaction_that_biases_cannot() -> None:
    seen, held_out = planted()
    means = {
        name: np.bincount(seen[name], seen["target"], 21) / np.maximum(np.bincount(seen[name], minlength=21), 1)
        for name in ("user", "item")
    }
    additive = torch.from_numpy(means["user"][held_out["user"]] + means["item"][held_out["item"]])
    torch.manual_seed(1)
    model = train(BiasedMF(SIZES), seen, steps=200, lr=0.03, decay=1e-4, classification=True)
    assert area(additive, held_out["target"]) < 0.65
    assert area(model(batch_of(held_out)).detach(), held_out["target"]) > 0.9


def test_factors_are_trained_and_decayed_and_biases_are_left_alone() -> None:
    seen, _ = planted()
    torch.manual_seed(0)
    model = BiasedMF(SIZES)
    hold_random_biases(model, sd=1.0)
    biases = [table.weight.clone() for table in (model.user_bias, model.item_bias)]
    assert {name for name, _ in model.named_parameters()} == {"users.weight", "items.weight"}
    train(model, seen, steps=100, lr=0.03, decay=10.0)
    assert model.get_parameter("users.weight").abs().max() < 0.01
    assert torch.equal(model.user_bias.weight, biases[0]) and torch.equal(model.item_bias.weight, biases[1])
    assert model.user_bias.weight.abs().max() > 1


def test_replicates_side_by_side() -> None:
    seen, _ = planted()
    models = [train(BiasedMF(SIZES), seen, steps=3, seed=s) for s in (0, 1)]
    assert_trainable_side_by_side(models, [batch_of(seen), batch_of(seen, classification=True)])


def test_parameter_counts() -> None:
    assert count(BiasedMF(Sizes(users=9766, items=6281))) == (0, 8 * (9766 + 6281))
    assert len(BiasedMF.grid) == 8
