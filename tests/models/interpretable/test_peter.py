"""PETER: the rating sees two tokens, the text sees no further than itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.interpretable.peter import PETER, TERMS, positions
from tests.models.planted import records, small_split
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, train

V = 40


def worded(seed: int = 0, n: int = 24) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    fields = {k: v for k, v in records(n=n, seed=seed).items() if k in ("user", "item", "target")}
    words = rng.integers(1, V - 2, (n, 5)) * (np.arange(5) < rng.integers(0, 6, n)[:, None])
    return fields | {"words": words}


def peter(**params: object) -> PETER:
    torch.manual_seed(0)
    return PETER(Sizes(7, 30), vocabulary=V, **params).eval()  # type: ignore[arg-type]


def test_parameter_counts() -> None:
    sizes = Sizes(users=6, items=11)
    shared, entity = count(PETER(sizes))
    assert (shared, entity) == (18_893, 17 * 8)
    assert count(PETER(sizes, vocabulary=20_004))[0] == 341_893
    assert len(PETER.grid) == 8


def test_positions_by_hand() -> None:
    codes = positions(3, 4)
    expected = [np.sin(2), np.cos(2), np.sin(0.02), np.cos(0.02)]
    torch.testing.assert_close(codes[2], torch.tensor(expected, dtype=codes.dtype))


@pytest.mark.parametrize("classification", [False, True])
def test_the_rating_reads_user_and_item_and_no_word(classification: bool) -> None:
    model = peter(classifies=classification)
    fields = worded()
    batch = batch_of(fields, classification=classification)
    rewritten = {**batch, "words": batch["words"].flip(0)}
    assert torch.equal(model(batch), model(rewritten))
    begin = torch.full((24, 1), V - 2)
    full = model.states(batch, torch.cat([begin, batch["words"]], 1))
    torch.testing.assert_close(model.rated(full, batch), model.raw(batch))
    assert (model.raw(batch) != model.raw({**batch, "item": 1 + batch["item"] % 29})).all()
    assert (model.raw(batch) != model.raw({**batch, "user": 1 + batch["user"] % 6})).all()


def test_later_words_stay_unseen() -> None:
    model, batch = peter(), batch_of(worded())
    told = torch.randint(1, V - 2, (24, 6))
    changed = told.clone()
    changed[:, 4:] = 1 + changed[:, 4:] % (V - 3)
    before, after = model.states(batch, told), model.states(batch, changed)
    torch.testing.assert_close(before[:, :6], after[:, :6], rtol=0, atol=0)
    assert (before[:, 6:] - after[:, 6:]).abs().max() > 1e-3


def test_the_context_reads_the_item_state_alone() -> None:
    model, batch = peter(), batch_of(worded())
    states = torch.randn(24, 8, 8)
    _, context = model.text_losses(states, batch["words"], batch["weight"])
    other = torch.randn(24, 8, 8)
    other[:, 1] = states[:, 1]
    assert torch.equal(context, model.text_losses(other, batch["words"], batch["weight"])[1])


def test_text_losses_by_hand() -> None:
    model = peter()
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias[3], model.output.bias[V - 1] = 2.0, 1.0
    rest = float(torch.logsumexp(model.output.bias, 0).detach())
    told = torch.tensor([[3, 5, 0], [0, 0, 0]])
    text, context = model.text_losses(torch.randn(2, 6, 8), told, torch.ones(2))
    assert text.item() == pytest.approx(rest - (2 + 0 + 1) / 3, rel=1e-5)  # words 3 and 5, then <eos>
    assert context.item() == pytest.approx(rest - (2 + 0) / 2, rel=1e-5)


def test_clipped_rating_is_the_sigmoid_of_the_logit() -> None:
    model = peter()
    with torch.no_grad():
        model.rating_head[2].bias.fill_(0.4)
    batch = batch_of(worded())
    torch.testing.assert_close(torch.sigmoid(model(batch)), model.raw(batch))
    with torch.no_grad():
        model.rating_head[2].bias.fill_(7.0)
    assert torch.sigmoid(model(batch)).max() <= 1.0 and model(batch).isfinite().all()
    model.own_loss(batch).backward()
    assert model.rating_head[2].bias.grad.item() != 0, "the loss must see past the clip"


@pytest.mark.parametrize(("classifies", "unit"), [(False, 0.8 * 0.2), (True, 1.0)])
def test_a_logit_of_bias_is_worth_its_slope_in_ratings_or_one_logit_of_high_and_low(
    classifies: bool, unit: float
) -> None:
    model, batch = peter(rate=0.8, classifies=classifies), batch_of(worded())
    before = model.raw(batch)
    of_user, of_item = torch.linspace(0, 0.5, 7), torch.linspace(0, -0.3, 30)
    model.hold_biases(of_user, of_item)
    told = unit * (of_user[batch["user"]] + of_item[batch["item"]])
    torch.testing.assert_close(model.raw(batch) - before, told, rtol=1e-4, atol=1e-6)
    begin = torch.full((24, 1), V - 2)
    torch.testing.assert_close(model.rated(model.states(batch, begin), batch), model.raw(batch))
    bare = peter(rate=0.8, classifies=classifies, biases=False)
    bare.hold_biases(of_user, of_item)
    torch.testing.assert_close(bare.raw(batch), before)


@pytest.mark.parametrize(("biases", "classifies"), [(False, False), (True, True)])
def test_side_by_side(biases: bool, classifies: bool) -> None:
    models = [PETER(Sizes(7, 30), vocabulary=V, biases=biases, classifies=classifies) for _ in range(2)]
    assert_trainable_side_by_side(models, [batch_of(worded(s), classification=classifies) for s in (0, 1)])


def test_fields_and_build() -> None:
    split = small_split()
    sizes = Sizes.of(split)
    fields = PETER.record_fields(split, sizes)
    assert fields["words"].shape == (len(split.user), TERMS[1]) and fields["words"].max() < TERMS[0] - 2
    assert (fields["words"] > 0).any(1).mean() > 0.9
    model = PETER.build(split, sizes, "classification", text_weight=0.06)
    assert bool(model.classifies) and model.vocabulary == TERMS[0]


def interaction(n: int = 2000) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    user, item = rng.integers(1, 21, n), rng.integers(1, 21, n)
    liked = (user + item) % 2 == 0
    words = np.where(liked[:, None], [3, 4], [5, 6])
    return {"user": user, "item": item, "words": words, "target": liked.astype(np.float64)}


def trained(text_weight: float) -> tuple[PETER, float]:
    fields = interaction()
    torch.manual_seed(0)
    model = PETER(Sizes(21, 21), vocabulary=12, classifies=True, dropout=0.0, text_weight=text_weight)
    learn, held = ({k: v[part] for k, v in fields.items()} for part in (slice(1500), slice(1500, None)))
    train(model, learn, steps=200, lr=0.01, batch_size=128, classification=True)
    return model, area(model(batch_of(held)), held["target"])


def test_ratings_and_words_are_learnt_together() -> None:
    model, accuracy = trained(0.625)
    assert accuracy > 0.95
    batch: dict[str, Tensor] = batch_of(interaction())
    begin = torch.full((2000, 1), 10)
    first = model.output(model.states(batch, begin)[:, 2]).argmax(-1).numpy()
    assert (first == interaction()["words"][:, 0]).mean() > 0.9


def test_without_text_it_is_a_two_token_transformer() -> None:
    model, accuracy = trained(0.0)
    assert accuracy > 0.95
    assert not model.words.weight.grad.any()
