from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lrrecsys_core.models.aspect.aarm import AARM, aspect_vectors
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.profiles import mentions
from tests.models.markets import fields_of, market, replicates
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, train

SIZES = Sizes(users=5, items=5)


def model_with_vectors(seed: int = 0, **params: object) -> AARM:
    torch.manual_seed(seed)
    model = AARM(SIZES, vocabulary=12, **params)  # type: ignore[arg-type]
    model.vectors[1:] = torch.randn(11, 8)
    with torch.no_grad():
        model.users.weight[1:].normal_()
    return model.eval()


def sets(user: list[int], item: list[int]) -> dict[str, Tensor]:
    return batch_of({"user": [1], "item": [2], "user_aspects": [user], "item_aspects": [item]})


def test_padding_is_inert() -> None:
    model = model_with_vectors()
    short = model(sets([3, 5], [4, 6, 7]))
    for user, item in (([3, 5, 0, 0], [4, 6, 7]), ([3, 5], [4, 6, 7, 0, 0]), ([0, 3, 5], [0, 4, 0, 6, 7])):
        torch.testing.assert_close(model(sets(user, item)), short, rtol=0, atol=1e-6)
    alpha, beta, *_ = model.attention(torch.tensor([[3, 0]]), torch.tensor([[4, 0]]))
    assert alpha.tolist() == [[1.0, 0.0]] and beta[0, 0].tolist() == [1.0, 0.0]


def test_empty_sets_leave_the_id_part() -> None:
    model = model_with_vectors()
    scores = torch.stack([model(sets([0, 0], [4, 5])), model(sets([3, 5], [0, 0])), model(sets([0], [0]))])
    ids = model.users.weight[1] * model.items.weight[2]
    torch.testing.assert_close(scores, (model.output.weight[0, :8] * ids).sum().expand(3, 1))


def test_a_synonym_changes_nothing() -> None:
    model = model_with_vectors()
    model.vectors[9] = model.vectors[4]
    assert torch.equal(model(sets([3, 5], [4, 6])), model(sets([3, 5], [9, 6])))
    assert not torch.equal(model(sets([3, 5], [4, 6])), model(sets([3, 5], [8, 6])))


def test_order_of_the_items_aspects_does_not_matter_but_the_item_moves_attention() -> None:
    model = model_with_vectors()
    torch.testing.assert_close(model(sets([3, 5], [4, 6, 7])), model(sets([3, 5], [7, 4, 6])))
    user = torch.tensor([[3, 5]])
    first, second = (model.attention(user, torch.tensor([item]))[0] for item in ([4, 6], [7, 8]))
    assert (first - second).abs().max() > 1e-3


def test_matching_aspects_are_learnt() -> None:
    rng = np.random.default_rng(0)
    n, kinds = 900, 8
    mine = rng.integers(1, kinds + 1, (n, 2))
    its = rng.integers(1, kinds + 1, (n, 2))
    liked = (mine[:, :, None] == its[:, None, :]).any((1, 2)).astype(np.float32)
    fields = {"user": rng.integers(1, 5, n), "item": rng.integers(1, 5, n), "user_aspects": mine, "item_aspects": its}
    fields["target"] = liked
    torch.manual_seed(0)
    model = AARM(SIZES, vocabulary=12)
    model.vectors[1 : kinds + 1] = torch.eye(8)
    train(model, {k: v[:700] for k, v in fields.items()}, steps=300, lr=0.03, classification=True)
    held = {k: v[700:] for k, v in fields.items()}
    assert area(model(batch_of(held)).detach(), held["target"]) > 0.9


def test_ridge_and_ranking_enter_the_loss() -> None:
    model = model_with_vectors(schedule="joint", ridge=0.5, ranking=2.0)
    batch = sets([3, 5], [4, 6]) | {
        "negative": torch.tensor([[3, 4]]),
        "negative_aspects": torch.tensor([[[7, 0], [8, 9]]]),
    }
    below = []
    for item, aspects in ((3, [7, 0]), (4, [8, 9])):
        below.append(model(sets([3, 5], aspects) | {"item": torch.tensor([item])}))
    ranking = torch.nn.functional.softplus(torch.cat(below) - model(batch)).mean()
    squares = (model.users.weight[1] ** 2).mean() + (model.items.weight[2] ** 2).mean()
    expected = model.own_loss(batch) + 0.5 * squares + 2.0 / 16 * ranking
    assert model.loss(batch).item() == pytest.approx(expected.item(), rel=1e-5)
    assert "negative" not in AARM(SIZES).reads


def test_vectors_hold_co_occurrence_in_training_records() -> None:
    split = market()
    said = mentions(split)
    vectors = aspect_vectors(split, said, 60, 8)
    known = len(said.names)
    norms = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(norms[1:known], 1.0, rtol=1e-5)
    assert norms[0] == 0 and (norms[known:] == 0).all()


def test_sets_and_negatives_of_a_market() -> None:
    split = market()
    fields = fields_of(AARM, split, Sizes.of(split), schedule="joint", set_size=5)
    assert fields["user_aspects"].shape == (len(split.user), 5)
    assert fields["negative_aspects"].shape == (len(split.user), 4, 5)
    first = split.earlier_of_user.count == 0
    assert (fields["user_aspects"][first] == 0).all() and (fields["user_aspects"][~first][:, 0] > 0).all()
    told = fields_of(AARM, split, Sizes.of(split), visibility="oracle", set_size=40)["user_aspects"]
    record = int(np.flatnonzero(first & np.isin(np.arange(len(first)), mentions(split).record))[0])
    own = mentions(split).aspect[mentions(split).record == record]
    assert set(told[record][told[record] > 0]) == set(own)


def test_ids_are_held_small_by_the_mean_of_their_squares() -> None:
    split = market()
    sizes = Sizes.of(split)
    model = AARM.build(split, sizes, "regression", dropout=0.0).eval()
    fields = fields_of(AARM, split, sizes)
    some = split.train[:3]
    batch = batch_of({name: fields[name][some] for name in model.reads})
    extra = model.loss(batch) - model.rating_loss(model(batch), batch)
    user, item = model.users(batch["user"]), model.items(batch["item"])
    expected = model.ridge * ((user**2).mean(-1) + (item**2).mean(-1)).mean()
    assert model.ridge > 0 and extra.item() == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("schedule", ["point", "joint"])
def test_replicates_side_by_side(schedule: str) -> None:
    models, batches = replicates(AARM, schedule=schedule)
    assert_trainable_side_by_side(models, batches)


def test_parameter_counts() -> None:
    sizes = Sizes(users=9766, items=6281)
    assert count(AARM(sizes, **AARM.matched)) == (98, 8 * (9766 + 6281))
    assert count(AARM(sizes, word_width=64))[0] == 546
    assert count(AARM(sizes, **AARM.as_published))[0] == 16_898
    assert len(AARM.grid) == 8
