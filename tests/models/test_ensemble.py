"""Two networks averaged: the prediction is their mean, and neither learns anything from the other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lrrecsys_core.models.ablations import FreeVectors
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.ensemble import LateEnsemble
from tests.models.test_ablations import lr_batch
from tests.models.training import assert_trainable_side_by_side, count, hold_random_biases, train

SIZES = Sizes(7, 9)


def ensemble(seed: int = 0) -> LateEnsemble:
    torch.manual_seed(seed)
    model = LateEnsemble(SIZES, rate=0.7)
    hold_random_biases(model)
    return model


def test_the_prediction_is_the_mean_of_two() -> None:
    """By hand: logits 0 and log 3 are .5 and .75, their mean is .625, whose logit is log(5 / 3)."""
    model, batch = ensemble(), lr_batch()
    model.parts = lambda _: (torch.zeros(12), torch.full((12,), 3.0).log())  # type: ignore[method-assign]
    torch.testing.assert_close(model(batch), torch.full((12,), 5 / 3).log())
    model.parts = lambda _: (torch.full((12,), 90.0), torch.full((12,), -90.0))  # type: ignore[method-assign]
    torch.testing.assert_close(torch.sigmoid(model(batch)), torch.full((12,), 0.5))


def test_both_stand_on_the_same_biases() -> None:
    model, batch = ensemble(), lr_batch()
    ids, texts = model.parts(batch)
    shared = model.offset + (model.user_bias(batch["user"]) + model.item_bias(batch["item"])).squeeze(-1)
    torch.testing.assert_close(ids - model.ids.score(batch), shared)
    torch.testing.assert_close(texts - model.texts.score(batch), shared)
    torch.testing.assert_close(torch.sigmoid(model(batch)), (torch.sigmoid(ids) + torch.sigmoid(texts)) / 2)


def gradients(model: LateEnsemble, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    model.loss(batch).backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize(("own", "other"), [("ids", "texts"), ("texts", "ids")])
def test_gradients_do_not_mix(own: str, other: str) -> None:
    model, batch = ensemble(), lr_batch()
    before = gradients(model, batch)
    with torch.no_grad():
        for value in getattr(model, other).parameters():
            value += torch.randn_like(value)
    after = gradients(model, batch)
    assert set(before) == {name for name, _ in model.named_parameters()}
    assert all(torch.equal(after[name], value) for name, value in before.items() if name.startswith(f"{own}."))
    assert any((after[name] - value).abs().max() > 1e-4 for name, value in before.items() if name.startswith(other))


def test_a_network_ends_where_it_would_alone() -> None:
    model, fields = ensemble(), {k: v for k, v in lr_batch(n=40).items() if k not in ("classification", "weight")}
    alone = FreeVectors(SIZES, rate=0.7)
    alone.load_state_dict(model.ids.state_dict(), strict=False)
    alone.hold_biases(model.user_bias.weight[:, 0], model.item_bias.weight[:, 0])
    alone.offset.copy_(model.offset)
    for one in (model, alone):
        train(one, fields, steps=20, lr=0.05)
    for name, value in alone.named_parameters():
        torch.testing.assert_close(model.ids.get_parameter(name), value)


def test_texts_are_read_by_one_network_and_ids_by_the_other() -> None:
    model, batch = ensemble().eval(), lr_batch()
    told = model.parts({**batch, "positive": torch.randn(12, 8)})
    ids, texts = model.parts(batch)
    assert torch.equal(told[0], ids) and (told[1] - texts).abs().max() > 1e-4
    assert model.reads == ("user", "item", "history", "history_mask", "positive", "negative")
    assert count(model)[1] == 8 * (7 + 9 + 9)


def test_side_by_side() -> None:
    assert_trainable_side_by_side([ensemble(seed) for seed in (0, 1)], [lr_batch(seed=seed) for seed in (0, 1)])


def test_a_context_is_a_token_of_both() -> None:
    model = LateEnsemble(Sizes(7, 9, context=3))
    assert model.ids.token_names[-1] == model.texts.token_names[-1] == "context" and "context" in model.reads
