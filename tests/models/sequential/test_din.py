"""DIN: what doubling, reordering and emptying a history do, and a pattern that pooling alone blurs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.sequential.din import DIN, item_categories
from tests.models.planted import records, small_split
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, train


def din_batch(seed: int = 0) -> dict[str, Tensor]:
    fields = records(seed=seed)
    category = np.random.default_rng(9).integers(1, 5, 30)
    fields |= {"item_category": category[fields["item"]], "history_category": category[fields["history"]]}
    return batch_of(fields)


class MeanPooling(DIN):
    """The same net with a plain average in place of the local unit."""

    def interest(self, query: Tensor, past: Tensor, mask: Tensor) -> Tensor:
        return (past * mask.unsqueeze(-1)).sum(-2) / mask.sum(-1, keepdim=True).clamp_min(1)


def test_parameter_counts() -> None:
    shared, entity = count(DIN(Sizes(users=6, items=11)))
    unit = 64 * 16 + 16 + 16 * 8 + 8 + 8 + 1
    tower = 56 * 64 + 64 + 64 * 8 + 8 + 8 + 1
    assert shared == unit + tower + 4 + 32 * 8  # four PReLU slopes, 32 categories
    assert entity == 17 * 8
    assert len(DIN.grid) == 8


@pytest.mark.parametrize(("normalise", "factor"), [(False, 2.0), (True, 1.0)])
def test_a_repeated_item_doubles_the_interest_unless_normalised(normalise: bool, factor: float) -> None:
    model = DIN(Sizes(7, 30), normalise=normalise)
    query, item = torch.randn(3, 16), torch.randn(3, 1, 16)
    once = model.interest(query, item, torch.ones(3, 1, dtype=torch.bool))
    twice = model.interest(query, item.expand(3, 2, 16), torch.ones(3, 2, dtype=torch.bool))
    torch.testing.assert_close(twice, factor * once)


def test_order_of_the_history_does_not_matter_and_padding_is_inert() -> None:
    model, batch = DIN(Sizes(7, 30)), din_batch()
    before = model(batch)
    turned = {k: v.flip(-1) if k.startswith("history") else v for k, v in batch.items()}
    torch.testing.assert_close(model(turned), before)
    batch["history_category"] = torch.where(batch["history_mask"], batch["history_category"], 3)
    with torch.no_grad():
        model.items.weight[0] = 7.0
    torch.testing.assert_close(model(batch), before, rtol=0, atol=0)
    empty = ~batch["history_mask"].any(1)
    assert empty.any()
    past = model.described(batch["history"], batch["history_category"])
    assert (model.interest(past[:, 0], past, batch["history_mask"])[empty] == 0).all()


@pytest.mark.parametrize("normalise", [False, True])
def test_side_by_side(normalise: bool) -> None:
    models = [DIN(Sizes(7, 30), normalise=normalise) for _ in range(2)]
    assert_trainable_side_by_side(models, [din_batch(seed=s) for s in (0, 1)])


def test_categories_come_from_training_items() -> None:
    split = small_split()
    category = item_categories(split)
    names = [d.split("; ")[0] for d in split.dataset.items["details"]]
    assert all((category[a] == category[b]) == (names[a] == names[b]) for a in range(6) for b in range(6))
    assert (category[np.unique(split.item_position[split.train])] > 0).all()
    few = item_categories(split, rows=2)
    assert set(few) == {0, 1}
    fields = DIN.record_fields(split, Sizes.of(split))
    assert (fields["history_category"][split.history_position < 0] == 0).all()
    assert (fields["item_category"] == category[split.item_position]).all()


def test_relevance_beats_averaging() -> None:
    rng = np.random.default_rng(0)
    category = np.arange(121) % 20
    history, item = rng.integers(1, 121, (3000, 5)), rng.integers(1, 121, 3000)
    liked = (category[history] == category[item][:, None]).any(1).astype(np.float64)
    fields = {
        "user": np.ones(3000, np.int64),
        "item": item,
        "history": history,
        "history_mask": np.ones((3000, 5), bool),
        "item_category": category[item],
        "history_category": category[history],
        "target": liked,
    }
    learn, held = ({k: v[part] for k, v in fields.items()} for part in (slice(2400), slice(2400, None)))

    def accuracy(kind: type[DIN], seed: int) -> float:
        torch.manual_seed(seed)
        model = train(kind(Sizes(2, 121)), learn, steps=400, batch_size=256, classification=True)
        return area(model(batch_of(held)), held["target"])

    for seed in range(2):
        assert accuracy(DIN, seed) > accuracy(MeanPooling, seed) + 0.005
