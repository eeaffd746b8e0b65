"""NCF: the tower's shape, what feeds it, and a pattern no additive model can hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.ncf import NCF, LRRecsysNCF
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, train


def lr_batch(users: int = 7, items: int = 9, n: int = 12, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    mask = np.tril(np.ones((5, 5), bool))[:, ::-1][rng.integers(0, 5, n)]
    fields = {
        "user": rng.integers(1, users, n),
        "item": rng.integers(1, items, n),
        "history": rng.integers(1, items, (n, 5)) * mask,
        "history_mask": mask,
        "positive": rng.normal(size=(n, 8)),
        "negative": rng.normal(size=(n, 8)),
        "target": rng.random(n),
    }
    return batch_of(fields)


def test_parameter_counts() -> None:
    sizes = Sizes(users=6, items=11)
    model = NCF(sizes)
    assert model.tower[0].weight.shape == (32, 16)
    assert count(model) == (1217, 17 * 8)
    assert count(NCF(sizes, width=32))[0] == 2753
    with_texts, without = LRRecsysNCF(sizes), LRRecsysNCF(sizes, explanations=False)
    assert sum(p.numel() for p in with_texts.head.parameters()) == 1985
    assert with_texts.head[0].weight.shape == (32, 40)
    assert without.head[0].weight.shape == (32, 24)
    assert not any("fusion" in name for name, _ in with_texts.named_parameters())


def test_zero_tables_make_the_score_constant() -> None:
    model, batch = NCF(Sizes(7, 9)), lr_batch()
    assert model.score(batch).std() > 0
    with torch.no_grad():
        model.users.weight.zero_()
        model.items.weight.zero_()
    assert model.score(batch).std() < 1e-7


def test_the_switch_decides_whether_explanations_are_read() -> None:
    batch, other = lr_batch(), lr_batch()
    other["positive"] = torch.randn(12, 8)
    with_texts, without = LRRecsysNCF(Sizes(7, 9)), LRRecsysNCF(Sizes(7, 9), explanations=False)
    assert (with_texts(batch) - with_texts(other)).abs().max() > 1e-4
    assert torch.equal(without(batch), without(other))
    assert "positive" not in without.reads


@pytest.mark.parametrize("kind", [NCF, LRRecsysNCF])
def test_side_by_side(kind: type[NCF]) -> None:
    assert_trainable_side_by_side([kind(Sizes(7, 9)) for _ in range(2)], [lr_batch(seed=s) for s in (0, 1)])


def test_parity_of_user_and_item_is_learnt() -> None:
    user, item = (a.ravel() for a in np.meshgrid(np.arange(1, 21), np.arange(1, 21)))
    fields = {"user": user, "item": item, "target": ((user + item) % 2 == 0).astype(np.float64)}
    train_rows = np.random.default_rng(0).random(400) < 0.8
    torch.manual_seed(0)
    model = NCF(Sizes(21, 21))
    train(model, {k: v[train_rows] for k, v in fields.items()}, steps=600, lr=0.02, batch_size=64, classification=True)
    held = {k: v[~train_rows] for k, v in fields.items()}
    assert area(model(batch_of(held)), held["target"]) > 0.95
