"""PARSRec: sets within a step, order across steps, personal attention, and what lies before the history."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.sequential.parsrec import OLDER, PARSRec
from lrrecsys_core.models.sequential.softmax import item_cross_entropy, known_items
from tests.models.planted import chain, records, small_split
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, train


def parsrec_batch(seed: int = 0, full: bool = False) -> dict[str, Tensor]:
    fields = records(seed=seed, full=full)
    rng = np.random.default_rng(seed)
    mask = np.arange(OLDER) >= rng.integers(0, OLDER + 1, len(fields["user"]))[:, None]
    return batch_of(fields | {"older": rng.integers(1, 30, mask.shape) * mask, "older_mask": mask})


def test_parameter_counts() -> None:
    sizes = Sizes(users=6, items=11)
    assert count(PARSRec(sizes)) == (1408, 17 * 8)
    assert count(PARSRec(sizes, schedule="joint")) == (1408 + 11 * 8, 6 * 8)
    assert count(PARSRec(sizes, **PARSRec.as_published)) == (329_600 + 128, 17 * 128)
    assert len(PARSRec.grid) == 8


def test_a_step_sees_a_set_but_the_steps_see_an_order() -> None:
    model, batch = PARSRec(Sizes(7, 30)), parsrec_batch(full=True)
    past, user = model.items(batch["history"]), model.users(batch["user"])
    query = torch.cat([user, user], -1).unsqueeze(-2)
    all_five = torch.ones(len(user), 1, 5, dtype=torch.bool)
    torch.testing.assert_close(model.attention(query, past, all_five), model.attention(query, past.flip(-2), all_five))
    turned = dict(batch)
    turned["history"] = batch["history"][:, [1, 0, 2, 3, 4]]
    assert (model(batch) - model(turned)).abs().max() > 1e-4


def test_the_user_decides_what_is_attended_to() -> None:
    model, batch = PARSRec(Sizes(7, 30)), parsrec_batch(full=True)
    past = model.items(batch["history"])
    mask = torch.ones(len(past), 1, 5, dtype=torch.bool)
    state = past.mean(-2)
    weights = [
        model.attention.weights(torch.cat([user.expand_as(state), state], -1).unsqueeze(-2), past, mask)
        for user in model.users.weight[1:3]
    ]
    assert (weights[0] - weights[1]).abs().max() > 1e-5


@pytest.mark.parametrize("state", ["long", "window"])
def test_padding_is_inert(state: str) -> None:
    model, batch = PARSRec(Sizes(7, 30), state=state), parsrec_batch()
    before = model(batch)
    with torch.no_grad():
        model.items.weight[0] = torch.randn(8)
    torch.testing.assert_close(model(batch), before, rtol=0, atol=0)
    assert before.isfinite().all()


def test_the_start_token_speaks_only_before_the_first_item() -> None:
    model, batch = PARSRec(Sizes(7, 30)), parsrec_batch()
    before = model.score(batch)
    with torch.no_grad():
        model.start += 1.0
    moved = (model.score(batch) != before).numpy()
    np.testing.assert_array_equal(moved, ~batch["history_mask"].any(1).numpy())


def test_older_items_precede_the_history() -> None:
    split = small_split()
    fields = PARSRec.record_fields(split, Sizes.of(split))
    assert fields["older"].shape == (len(split.user), OLDER)
    trained = set(split.train.tolist())
    for record in range(0, len(split.user), 7):
        before = [
            k
            for k in range(len(split.user))
            if split.user_position[k] == split.user_position[record] and split.timestamp[k] < split.timestamp[record]
        ]
        expected = [int(split.item[k]) for k in before[:-5] if k in trained]
        assert fields["older"][record][fields["older_mask"][record]].tolist() == expected


@pytest.mark.parametrize(("schedule", "state"), [("point", "long"), ("joint", "window")])
def test_side_by_side(schedule: str, state: str) -> None:
    models = [PARSRec(Sizes(7, 30), schedule=schedule, state=state) for _ in range(2)]
    assert_trainable_side_by_side(models, [parsrec_batch(seed=s) for s in (0, 1)])


def test_cross_entropy_by_hand() -> None:
    states = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    items = torch.tensor([[9.0, 9.0], [0.0, 0.0], [np.log(3.0), 0.0], [9.0, 9.0]]).float()
    known = known_items(3, 4)
    weight = torch.tensor([1.0, 0.0])
    loss = item_cross_entropy(states, items, known, torch.tensor([2, 3]), weight)
    assert loss.item() == pytest.approx(-np.log(0.75), rel=1e-5)
    many = [torch.cat([x] * 700) for x in (states, torch.tensor([2, 3]), weight)]
    torch.testing.assert_close(item_cross_entropy(many[0], items, known, many[1], many[2]), loss)


def test_native_loss_learns_transitions() -> None:
    fields, follows = chain(items=21, length=200)
    torch.manual_seed(0)
    model = PARSRec(Sizes(2, 21), schedule="joint", state="window")
    batch = batch_of(fields)
    last = model.outputs(batch)[:, -1]
    for classification, weight in ((0.0, 0.1 / 16), (1.0, 0.1)):
        batch["classification"] = torch.tensor(classification)
        native = weight * model.next_item_loss(last, batch)
        torch.testing.assert_close(model.loss(batch), model.own_loss(batch) + native)
    model.native = 1e6  # drowns the rating loss
    train(model, fields, steps=250, lr=0.02)
    best = (model.outputs(batch_of(fields))[:, -1] @ model.items.weight.T)[:, 1:].argmax(-1) + 1
    assert (best.numpy() == follows[fields["history"][:, -1]]).mean() > 0.9


def test_personal_lag_is_learnt() -> None:
    rng = np.random.default_rng(0)
    history, user = rng.integers(1, 13, (4000, 5)), rng.integers(1, 21, 4000)
    repeated = np.where(user % 2 == 0, history[:, -1], history[:, -2])
    other = np.where(user % 2 == 0, history[:, -2], history[:, -1])
    liked = rng.random(4000) < 0.5
    fields = {
        "user": user,
        "item": np.where(liked, repeated, other),
        "history": history,
        "history_mask": np.ones((4000, 5), bool),
        "target": liked.astype(np.float64),
    }
    fields = {k: v[repeated != other] for k, v in fields.items()}
    learn, held = ({k: v[part] for k, v in fields.items()} for part in (slice(3000), slice(3000, None)))
    torch.manual_seed(0)
    model = PARSRec(Sizes(21, 13), state="window")
    train(model, learn, steps=400, lr=0.02, batch_size=256, classification=True)
    # Who does not know the user knows nothing: half the users repeat the last item, half the one before it.
    assert area(model(batch_of(held)), held["target"]) > 0.7
