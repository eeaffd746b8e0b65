from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lrrecsys_core.models.aspect.sulm import SULM
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.profiles import mentions, own_mentions
from tests.models.markets import fields_of, market, replicates
from tests.models.training import assert_trainable_side_by_side, batch_of, count, train


def fill(model: SULM, constant: tuple[float, float], aspect: tuple[float, float]) -> None:
    """Make the utilities and coefficients of the constant aspect and of aspect 1 those given, by the user alone."""
    with torch.no_grad():
        model.weight.zero_()
        model.mean_utility.zero_()
        row = model.users.weight[1].view(2, 3)
        row[0], row[1] = torch.tensor([*constant, 0.0]), torch.tensor([*aspect, 0.0])


def test_rating_by_hand() -> None:
    model = SULM(Sizes(2, 2), aspects=1, width=1)
    fill(model, constant=(1.0, 0.5), aspect=(-1.0, 0.25))
    score = model(batch_of({"user": [1], "item": [0]}))
    assert score.item() == pytest.approx(0.25) and torch.sigmoid(score).item() == pytest.approx(0.5622, abs=1e-4)


def without_factors(model: SULM) -> SULM:
    with torch.no_grad():
        for table in (model.users, model.items):
            table.weight.unflatten(-1, (model.aspects + 1, -1))[..., 2:] = 0.0
    return model


def test_base_rate_and_shared_biases_stand_beside_the_utilities_and_are_held() -> None:
    of_user, of_item = torch.tensor([0.0, 0.5, -1.0]), torch.tensor([0.0, -0.25, 0.75])
    torch.manual_seed(0)
    model = SULM(Sizes(4, 4), rate=0.8, aspects=3, width=2)  # a replicate with more users and items sets the sizes
    model.hold_biases(of_user, of_item)
    for table in (model.users.weight, model.items.weight):
        columns = table.detach().view(4, 4, 4)[..., :2].clone()  # bias and weight of every aspect
        assert not columns.any()
        assert (table.detach().view(4, 4, 4)[1:, :, 2:] != 0).all()
    fields = {"user": [1, 2, 2, 0], "item": [1, 2, 0, 2], "own_sentiment": np.zeros((4, 4), np.float32)}
    mu = math.log(4)
    expected = [mu + 0.5 - 0.25, mu - 1 + 0.75, mu - 1, mu + 0.75]
    assert without_factors(model)(batch_of(fields)).tolist() == pytest.approx(expected, abs=1e-6)
    with torch.no_grad():
        model.weight[0] = 2.0  # stretches neither
    assert model(batch_of(fields)).tolist() == pytest.approx(expected, abs=1e-6)
    train(model, fields, steps=3)
    assert model.user_bias.weight[:3, 0].tolist() == of_user.tolist()
    assert model.users.weight[1, 0].abs() > 0.01  # the constant aspect's own, which are trained


def test_without_biases_it_starts_at_the_base_rate() -> None:
    model = without_factors(SULM(Sizes(3, 3), rate=0.8, biases=False, aspects=3, width=2))
    model.hold_biases(torch.tensor([0.0, 0.5, -1.0]), torch.tensor([0.0, -0.25, 0.75]))
    batch = batch_of({"user": [1, 2, 0], "item": [1, 2, 2]})
    assert model(batch).tolist() == pytest.approx([math.log(4)] * 3, abs=1e-6)


def test_loss_by_hand() -> None:
    model = SULM(Sizes(2, 2), aspects=1, width=1, alpha=0.25, utility=0.1)
    fill(model, constant=(1.0, 0.5), aspect=(-1.0, 0.25))
    batch = batch_of({"user": [1], "item": [0], "own_sentiment": [[0.0, -1.0]], "target": [1.0]})
    rating, sentiment = math.log(1 + math.exp(-0.25)), math.log(1 + math.exp(-1.0))
    assert model.loss(batch).item() == pytest.approx(0.25 * rating + 0.75 * sentiment + 0.1 * 2)
    silent = batch | {"own_sentiment": torch.zeros(1, 2)}
    assert model.loss(silent).item() == pytest.approx(0.25 * rating + 0.1)


def test_an_aspect_nobody_mentions_leaves_the_sentiment_loss_unchanged() -> None:
    torch.manual_seed(0)
    sizes, n, width = Sizes(6, 6), 12, 2
    small, large = (SULM(sizes, aspects=a, width=width, alpha=0.0) for a in (2, 3))
    with torch.no_grad():
        for name in ("users", "items"):
            getattr(large, name).weight[:, : 3 * (width + 2)] = getattr(small, name).weight
    rng = np.random.default_rng(0)
    said = np.c_[np.zeros(n), rng.integers(-1, 2, (n, 2))].astype(np.float32)
    fields = {"user": rng.integers(0, 6, n), "item": rng.integers(0, 6, n)}
    with_none = np.c_[said, np.zeros(n)].astype(np.float32)
    losses = [m.loss(batch_of({**fields, "own_sentiment": s})) for m, s in ((small, said), (large, with_none))]
    torch.testing.assert_close(losses[0], losses[1])


def test_the_aspect_that_decides_the_rating_gets_the_weight() -> None:
    rng = np.random.default_rng(0)
    users, items, aspects, n = 40, 40, 4, 1200
    taste, quality = rng.normal(size=(users, aspects)), rng.normal(size=(items, aspects))
    user, item = rng.integers(0, users, n), rng.integers(0, items, n)
    said = np.where(taste[user] + quality[item] > 0, 1.0, -1.0)
    fields = {
        "user": user + 1,
        "item": item + 1,
        "target": (said[:, 0] > 0).astype(np.float32),
        "own_sentiment": np.c_[np.zeros(n), said].astype(np.float32),
    }
    torch.manual_seed(0)
    model = train(SULM(Sizes(users + 1, items + 1), aspects=aspects, width=3), fields, steps=300, lr=0.02)
    coefficient = model.utilities(batch_of(fields))[1].mean(0)
    assert coefficient[1] > 3 * coefficient[2:].abs().max()


def test_the_constants_are_those_of_training() -> None:
    split = market()
    model = SULM.build(split, Sizes.of(split), "regression", aspects=10)
    own = own_mentions(split, mentions(split), 10)[split.train]
    share = np.array([(own[:, k] == 1).sum() + 1 for k in range(1, 11)]) / ((own[:, 1:] != 0).sum(0) + 2)
    np.testing.assert_allclose(torch.sigmoid(model.mean_utility[1:]), share, rtol=1e-4)
    assert model.mean_utility[0] == 0  # the base rate stands beside the utilities
    alone = SULM.build(split, Sizes.of(split), "regression", biases=False, aspects=10).mean_utility[0]
    assert torch.sigmoid(alone).item() == pytest.approx(split.target[split.train].mean(), rel=1e-4)
    assert "mean_utility" not in dict(model.named_parameters())


def test_scores_ignore_the_records_own_aspects() -> None:
    split = market()
    fields = fields_of(SULM, split, Sizes.of(split))
    model = train(SULM.build(split, Sizes.of(split), "regression"), fields, steps=2)
    before = model(batch_of(fields))
    after = model(batch_of(fields | {"own_sentiment": -fields["own_sentiment"]}))
    assert torch.equal(before, after)
    assert not torch.equal(
        *(model.loss(batch_of(f)) for f in (fields, fields | {"own_sentiment": -fields["own_sentiment"]}))
    )


def test_replicates_side_by_side() -> None:
    models, batches = replicates(SULM)
    assert_trainable_side_by_side(models, batches)


def test_parameter_counts() -> None:
    sizes = Sizes(users=9766, items=6281)
    shared, entity = count(SULM(sizes, **SULM.matched))
    assert shared == 21 and entity == 210 * (9766 + 6281)
    assert count(SULM(sizes, **SULM.as_published))[1] == 105 * (9766 + 6281)
    assert len(SULM.grid) == 8
