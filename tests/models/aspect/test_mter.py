from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy.special import expit

from lrrecsys_core.data.dataset import make_dataset
from lrrecsys_core.data.domains import DOMAINS
from lrrecsys_core.data.split import make_split
from lrrecsys_core.models.aspect.cells import attention, cells, others, quality
from lrrecsys_core.models.aspect.mter import MTER, ComparER
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.biases import bias_logits, residual_biases
from lrrecsys_core.training.fit import Replicate, as_tensors, fit
from tests.models.markets import fields_of, market, replicates
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, train


def test_transforms() -> None:
    np.testing.assert_allclose(quality(np.array([1.0, -1.0])), [3.9242, 2.0758], atol=1e-4)
    np.testing.assert_allclose(attention(np.array([1.0, 3.0])), [2.8485, 4.6206], atol=1e-4)


def test_cells_of_records() -> None:
    records = [("ann", "i1", 5, 1), ("ann", "i2", 4, 2), ("ann", "i1", 3, 3), ("ann", "i3", 1, 4), ("ann", "i2", 1, 9)]
    said = [
        ("i1", "pool", 1, 1),
        ("i2", "pool", 2, -1),
        ("i1", "pool", 3, 1),
        ("i3", "bar", 4, 1),
        ("i3", "pool", 4, 1),
        ("i2", "pool", 9, 1),  # of the test record
    ]
    aspects = [("ann", item, aspect, sentiment, time) for item, aspect, time, sentiment in said]
    dataset = make_dataset(
        "toy",
        DOMAINS["hotel"],
        pl.DataFrame(records, schema=["user_id", "item_id", "rating", "timestamp"], orient="row"),
        pl.DataFrame({"item_id": ["i1", "i2", "i3"], "name": ["a", "b", "c"], "details": [""] * 3}),
        aspects=pl.DataFrame(
            aspects, schema=["user_id", "item_id", "aspect", "sentiment", "timestamp"], orient="row"
        ).with_columns(pl.col("sentiment").cast(pl.Int8)),
    )
    split = make_split(dataset, validation=False)
    found = cells(split, 5)
    assert found["cell_aspect"][:, :2].tolist() == [[1, 0], [1, 0], [1, 0], [1, 2], [0, 0]]  # pool, then bar
    np.testing.assert_allclose(found["cell_quality"][:, 0], [*quality(np.array([2, -1, 2, 1])), 0], rtol=1e-5)
    np.testing.assert_allclose(found["cell_user"][:, 0], [*attention(np.array([3, 1, 3, 3])), 0], rtol=1e-5)
    np.testing.assert_allclose(found["cell_item"][:, 0], [*attention(np.array([2, 1, 2, 1])), 0], rtol=1e-5)
    assert found["cell_opinion"][:, 0].tolist() == [1, 0, 1, 1, 0] and found["cell_mask"].sum() == 5
    # the third record's i1 (twice praised) beats i2 (blamed) but not itself; i3 (once praised) beats only i2
    assert [np.flatnonzero(row).tolist() for row in found["reference_mask"]] == [[], [], [4], [3], []]
    assert found["reference"][2, 4] == found["reference"][3, 3] == split.item[1]
    assert found["reference_aspect"][2, 4] == 1
    drawn = others(split)
    means = {1: 4.0, 2: 4.0, 3: 1.0}
    expected = np.sign(split.rating[:4, None] - np.vectorize(means.get)(drawn["other"][:4]))
    np.testing.assert_array_equal(drawn["other_order"][:4], expected)
    assert (drawn["other_order"][4] == 0).all()


def test_score_by_hand_and_cold_rows() -> None:
    model = MTER(Sizes(2, 2), rate=0.75, widths=(1, 1, 2, 1), aspects=1)
    with torch.no_grad():
        model.users.weight[1], model.items.weight[1] = 2.0, 0.5
        model.core.copy_(torch.tensor([[[1.0, 3.0]]]))
        model.aspects.copy_(torch.tensor([[1.0, 0.5], [9.0, 9.0]]))
        model.user_bias.weight[1] = 0.25
    batch = batch_of({"user": [1, 1], "item": [1, 0], "known": [1.0, 0.0]})
    assert model.score(batch).tolist() == pytest.approx([2.5, 4.0])
    lifted = 1 / (1 + math.exp(-math.log(3) - 0.25)) - 0.75  # what the bias adds to the base rate of .75
    expected = [1.5 / 4 + lifted, 3 / 4 + lifted]
    assert torch.sigmoid(model(batch)).tolist() == pytest.approx(expected, abs=1e-5)
    model.classification = torch.tensor(1.0)
    with torch.no_grad():
        model.slope.fill_(math.log(math.e**2 - 1))  # c = 2, which stretches no bias; t = 3 - log 3
    expected = [2 * (2.5 - 3 + math.log(3)) + 0.25, math.log(3) + 0.25]
    assert model(batch).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", [MTER, ComparER])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_everyone_starts_at_the_mean_rating_or_at_three_stars(kind: type[MTER], task: str) -> None:
    split = market()
    sizes = Sizes.of(split)
    fields = as_tensors(fields_of(kind, split, sizes))
    stars = 1 + 4 * split.target[split.train].mean() if task == "regression" else 3.0
    assert abs(stars - 3) > 0.1 or task == "classification"
    for seed in range(3):
        torch.manual_seed(seed)
        model = kind.build(split, sizes, task)
        start = model.score({k: v[split.train.copy()] for k, v in fields.items()})
        assert start.mean().item() == pytest.approx(stars, abs=0.02) and start.std() < 0.02


def test_every_factor_stays_nonnegative() -> None:
    split = market()
    sizes = Sizes.of(split)
    fields = as_tensors(fields_of(ComparER, split, sizes))
    torch.manual_seed(0)
    model = ComparER.build(split, sizes, "regression", ranking=1.0)
    fit([model], [fields], [Replicate(0, split.train, split.validation, lr=0.1)], epochs=3)
    lowest = [model.get_parameter(name).min().item() for name in model.nonnegative]
    assert len(lowest) == 7 and min(lowest) == 0.0


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_at_first_predictions_are_those_of_the_biases(task: str) -> None:
    split = market()
    sizes = Sizes.of(split)
    told = as_tensors(fields_of(MTER, split, sizes))
    batch = {name: value[split.train.copy()] for name, value in told.items()}
    biases = residual_biases(split, task)
    expected = expit(bias_logits(split, task, *biases))[split.train]
    for biased in (True, False):
        torch.manual_seed(0)
        model = MTER.build(split, sizes, task, biases=biased)
        model.hold_biases(*(torch.tensor(part, dtype=torch.float32) for part in biases))
        apart = torch.sigmoid(model(batch)).detach().numpy() - expected
        assert (np.abs(apart).max() < 0.02) == biased


def planted_qualities(seed: int = 0) -> tuple[dict[str, Any], Sizes]:
    """Comparisons that follow items' hidden qualities, one aspect per pair, and nothing else to learn."""
    rng = np.random.default_rng(seed)
    n, items = 600, 30
    user, item, other = rng.integers(1, 21, n), rng.integers(1, items + 1, n), rng.integers(1, items + 1, n)
    aspect, worth = rng.integers(1, 5, n), rng.normal(size=(items + 1, 5))
    later = np.where(worth[item, aspect] > worth[other, aspect], item, other)
    earlier = item + other - later
    none = np.zeros((n, 1))
    fields = {
        "user": user,
        "item": later,
        "known": np.ones(n),
        "reference": earlier[:, None],
        "reference_aspect": aspect[:, None],
        "reference_mask": (later != earlier).astype(np.float32)[:, None],
        "cell_aspect": aspect[:, None],
        "cell_opinion": np.ones((n, 1), int),
        **{f"cell_{name}": none + 3 for name in ("quality", "user", "item")},
        "cell_mask": none + 1,
        "target": np.full(n, 0.5),
    }
    return {k: np.asarray(v, np.float32) if np.asarray(v).dtype == float else v for k, v in fields.items()}, Sizes(
        21, 31
    )


def test_constraints_order_the_pairs() -> None:
    fields, sizes = planted_qualities()
    shares = []
    for weight in (0.0, 1.0, 10.0):
        torch.manual_seed(0)
        model = train(ComparER(sizes, aspects=4, constraint=weight), fields, steps=300, lr=0.02)
        gaps = model.gaps(batch_of(fields))[fields["reference_mask"] > 0]
        shares.append((gaps > 0).float().mean().item())
    assert shares[0] < shares[1] <= shares[2] and shares[0] < 0.6 and shares[2] > 0.95


def test_cell_loss_falls_on_a_planted_tensor() -> None:
    split = market()
    sizes = Sizes.of(split)
    fields = {k: v[split.train] for k, v in fields_of(MTER, split, sizes).items()}
    torch.manual_seed(3)
    planted = MTER(sizes, widths=(2, 2, 2, 2))
    batch = batch_of(fields)
    with torch.no_grad():
        for name in planted.nonnegative:  # of any size, or there would be nothing to tell apart
            planted.get_parameter(name).uniform_(0, 1.5)
        for name in ("quality", "user", "item"):
            batch[f"cell_{name}"].zero_()
        user, items = planted.users(batch["user"]), planted.items(batch["item"])[:, None].expand(-1, 5, -1)
        fields["cell_quality"] = planted.qualities(user, items, planted.aspects[batch["cell_aspect"]]).numpy()
    torch.manual_seed(0)
    model = MTER(sizes)
    before = model.cell_loss(batch_of(fields)).item()
    train(model, fields, steps=120, lr=0.02)
    assert model.cell_loss(batch_of(fields)).item() < 0.3 * before


def test_both_tasks_are_learnt() -> None:
    rng = np.random.default_rng(0)
    user, item = (a.ravel() for a in np.meshgrid(np.arange(24), np.arange(24), indexing="ij"))
    p, q = rng.uniform(0, 1, (2, 24, 2))
    stars = 1 + 4 * np.clip((p[user] * q[item]).sum(-1) / 1.2, 0, 1)
    rows = rng.permutation(len(user))
    none = np.zeros((len(user), 1))
    fields = {"user": user + 1, "item": item + 1, "known": np.ones(len(user)), "cell_aspect": none.astype(int)}
    fields |= {"cell_opinion": none.astype(int), "target": ((stars - 1) / 4).astype(np.float32)}
    fields |= {f"cell_{name}": none.astype(np.float32) for name in ("quality", "user", "item", "mask")}
    high = (stars > np.median(stars)).astype(np.float32)
    for classification in (False, True):
        data = fields | ({"target": high} if classification else {})
        torch.manual_seed(0)
        model = MTER(Sizes(25, 25))
        model.classification = torch.tensor(float(classification))
        seen, held = ({k: v[part] for k, v in data.items()} for part in (rows[:460], rows[460:]))
        train(model, seen, steps=250, lr=0.02, classification=classification)
        assert area(model(batch_of(held)).detach(), high[rows[460:]]) > 0.9


def test_weights_of_the_terms() -> None:
    fields, sizes = planted_qualities()
    torch.manual_seed(0)
    model = ComparER(sizes, aspects=4, constraint=2.0)
    batch = batch_of(fields)
    rating = ((model.rating(batch) - 0.5) ** 2).mean()
    extra = model.cell_loss(batch) + 2 * model.constraint_loss(batch)
    assert model.loss(batch).item() == pytest.approx((rating + extra / 16).item(), rel=1e-5)


@pytest.mark.parametrize(("kind", "task"), [(MTER, "regression"), (ComparER, "classification")])
def test_replicates_side_by_side(kind: type[MTER], task: str) -> None:
    models, batches = replicates(kind, ranking=1.0)
    for model in models:
        model.classification = torch.tensor(float(task == "classification"))
    assert_trainable_side_by_side(models, batches)


def test_parameter_counts() -> None:
    sizes = Sizes(users=9766, items=6281)
    shared, entity = count(MTER(sizes, opinions=50))
    assert shared == 2104 + 2 and entity == 8 * (9766 + 6281)  # 2: the affine link
    assert count(MTER(sizes))[0] == 2104 - 48 * 8 + 2  # two polarities instead of 50 opinions
    assert count(MTER(sizes, **MTER.as_published, opinions=1019))[0] == 20_508 + 2
    assert len(MTER.grid) == len(ComparER.grid) == 8
