"""What stands in place of a part of LR-Recsys: shapes, what is read, and what a tower without attention can hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lrrecsys_core.models.ablations import FreeVectors, LRRecsysNCF, RawVectors, WithoutIds
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.lr_recsys import LRRecsys
from tests.models.training import area, assert_trainable_side_by_side, batch_of, train


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


def test_the_tower_s_shape() -> None:
    sizes = Sizes(users=6, items=11)
    with_texts, without = LRRecsysNCF(sizes), LRRecsysNCF(sizes, slots=())
    assert sum(p.numel() for p in with_texts.head.parameters()) == 1985
    assert with_texts.head[0].weight.shape == (32, 40)
    assert without.head[0].weight.shape == (32, 24)
    assert not any("fusion" in name for name, _ in with_texts.named_parameters())


def test_without_slots_no_explanation_is_read() -> None:
    batch, other = lr_batch(), lr_batch()
    other["positive"] = torch.randn(12, 8)
    with_texts, without = LRRecsysNCF(Sizes(7, 9)), LRRecsysNCF(Sizes(7, 9), slots=())
    assert (with_texts(batch) - with_texts(other)).abs().max() > 1e-4
    assert torch.equal(without(batch), without(other))
    assert "positive" not in without.reads


@pytest.mark.parametrize("kind", [FreeVectors, WithoutIds, LRRecsysNCF])
def test_side_by_side(kind: type[LRRecsys]) -> None:
    assert_trainable_side_by_side([kind(Sizes(7, 9)) for _ in range(2)], [lr_batch(seed=s) for s in (0, 1)])


def test_parity_of_user_and_item_is_learnt() -> None:
    """No additive model can hold it."""
    user, item = (a.ravel() for a in np.meshgrid(np.arange(1, 21), np.arange(1, 21)))
    none = {"history": np.zeros((400, 5), int), "history_mask": np.zeros((400, 5), bool)}
    fields = {"user": user, "item": item, "target": ((user + item) % 2 == 0).astype(np.float64), **none}
    train_rows = np.random.default_rng(0).random(400) < 0.8
    torch.manual_seed(0)
    model = LRRecsysNCF(Sizes(21, 21), slots=())
    train(model, {k: v[train_rows] for k, v in fields.items()}, steps=600, lr=0.02, batch_size=64, classification=True)
    held = {k: v[~train_rows] for k, v in fields.items()}
    assert area(model(batch_of(held)), held["target"]) > 0.95


def test_free_vectors_are_the_same_for_all_or_one_pair_per_item() -> None:
    batch, shared = lr_batch(), FreeVectors(Sizes(7, 9))
    first, second = shared.explanation_tokens(batch)
    assert torch.equal(first, shared.vector[0].expand(12, 8)) and torch.equal(second, shared.vector[1].expand(12, 8))
    own = FreeVectors(Sizes(7, 9), per_item=True)
    assert own.vectors.weight.shape == (9, 16) and own.row_tables()["vectors.weight"] == "item"
    first, second = own.explanation_tokens(batch)
    assert torch.equal(torch.cat([first, second], -1), own.vectors.weight[batch["item"]])
    assert set(shared.reads) == set(own.reads) == {"user", "item", "history", "history_mask"}


def test_without_ids_only_texts_and_history_count() -> None:
    torch.manual_seed(1)
    model, given = WithoutIds(Sizes(7, 9), biases=False).eval(), lr_batch()
    assert model.token_names == ("positive", "negative", "sequence")
    moved = {**given, "user": given["user"] % 6 + 1, "item": given["item"] % 8 + 1}
    torch.testing.assert_close(model(moved), model(given))


def test_raw_embeddings_pass_a_trained_map() -> None:
    model = RawVectors(Sizes(7, 9), raw_width=20)
    given = lr_batch() | {slot: torch.randn(12, 20) for slot in ("positive", "negative")}
    assert model(given).shape == (12,) and model.project.weight.shape == (8, 20)
