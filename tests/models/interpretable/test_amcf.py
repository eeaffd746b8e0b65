"""AMCF: two losses that never meet, and aspects that tell what users like."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.biased_mf import BiasedMF
from lrrecsys_core.models.interpretable.amcf import AMCF, item_aspects
from tests.models.planted import records, small_split
from tests.models.training import assert_trainable_side_by_side, batch_of, count, train

CARRIED = (torch.rand(30, 20, generator=torch.Generator().manual_seed(0)) < 0.2).float()


def fields() -> dict[str, np.ndarray]:
    return {k: v for k, v in records(n=60).items() if k in ("user", "item", "target")}


def trained(strength: float) -> Tensor:
    torch.manual_seed(3)
    model = AMCF(Sizes(7, 30), carried=CARRIED, strength=strength)
    return train(model, fields(), steps=40, lr=0.01, decay=0.01)(batch_of(fields()))


def test_parameter_counts() -> None:
    assert count(AMCF(Sizes(users=6, items=30), carried=CARRIED)) == (2405, 36 * 8)
    published = AMCF(Sizes(2, 30), carried=CARRIED[:, :18], **AMCF.as_published)
    assert count(published)[0] == 9953
    assert len(AMCF.grid) == 8


def test_predictions_do_not_depend_on_lambda() -> None:
    once, again, strong = trained(0.0), trained(0.05), trained(5.0)
    assert torch.equal(once, again) and torch.equal(once, strong)


def test_predictions_are_those_of_biased_matrix_factorisation() -> None:
    torch.manual_seed(3)
    model, plain = AMCF(Sizes(7, 30), carried=CARRIED), BiasedMF(Sizes(7, 30))
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if k in plain.state_dict()})
    torch.testing.assert_close(model(batch_of(fields())), plain(batch_of(fields())), rtol=0, atol=0)


def test_gradients_stay_apart() -> None:
    model, batch = AMCF(Sizes(7, 30), carried=CARRIED), batch_of(fields())
    model.own_loss(batch).backward()
    assert model.psi.grad is None and model.attend[0].weight.grad is None
    model.zero_grad()
    model.mapping_loss(batch).backward()
    assert model.psi.grad.abs().sum() > 0 and model.attend[0].weight.grad.abs().sum() > 0
    assert all(p.grad is None or not p.grad.any() for p in (model.users.weight, model.items.weight))


def test_mapping_by_hand() -> None:
    carried = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    model = AMCF(Sizes(2, 2), carried=carried, width=2)
    with torch.no_grad():
        for p in model.attend.parameters():
            p.zero_()
        model.psi.copy_(torch.tensor([[2.0, 0.0], [9.0, 9.0]]))
        model.items.weight[1] = torch.tensor([1.0, 3.0])
    batch = batch_of({"user": np.array([1]), "item": np.array([1])})
    # Even attention (1/2, 1/2); only the first aspect is carried: mapped = (1, 0), at distance 3 from (1, 3).
    torch.testing.assert_close(model.mapping_loss(batch), torch.tensor(3.0))


def test_side_by_side() -> None:
    models = [AMCF(Sizes(7, 30), carried=c, strength=0.05) for c in (CARRIED, 1 - CARRIED)]
    assert_trainable_side_by_side(models, [batch_of(fields()), batch_of(fields())])


def test_aspects_of_items_come_from_training_records() -> None:
    split = small_split()
    found = item_aspects(split)
    assert found.shape == (split.n_items, 20) and not found[0].any()
    assert set(np.unique(found)) == {0.0, 1.0}
    stated = split.dataset.aspects
    place = split.records_of(stated)
    for row in range(1, split.n_items):
        told = {
            a for a, k in zip(stated["aspect"], place, strict=True) if split.item[k] == row and split.in_training[k]
        }
        assert found[row].sum() == len(told)
    assert AMCF.build(split, Sizes.of(split), "regression").carried.shape == (split.n_items, 20)


def test_preferences_recover_what_users_like() -> None:
    rng = np.random.default_rng(0)
    kinds, likes = np.arange(60) % 6, np.arange(40) % 6
    user, item = (a.ravel() for a in np.meshgrid(np.arange(1, 41), np.arange(1, 61)))
    target = np.where(likes[user - 1] == kinds[item - 1], 0.9, 0.2) + 0.02 * rng.normal(size=len(user))
    carried = torch.zeros(61, 6)
    carried[torch.arange(1, 61), torch.from_numpy(kinds)] = 1.0
    torch.manual_seed(0)
    model = AMCF(Sizes(41, 61), carried=carried, strength=0.05)
    train(model, {"user": user, "item": item, "target": target}, steps=300, lr=0.02, batch_size=600)
    batch = batch_of({"user": np.arange(1, 41), "item": np.ones(40, np.int64)})
    assert (model.preferences(batch).argmax(1).numpy() == likes).mean() > 0.9
