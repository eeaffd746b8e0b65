from __future__ import annotations

import numpy as np
import pytest
import torch

from lrrecsys_core.models.aspect.anr import ANR
from lrrecsys_core.models.base import Sizes
from lrrecsys_core.training.fit import Replicate, as_tensors, fit
from tests.models.markets import fields_of, market, replicates
from tests.models.training import area, assert_trainable_side_by_side, batch_of, count, train

SIZES = Sizes(4, 4)


def documents(*texts: list[int]) -> torch.Tensor:
    return torch.tensor(texts)


def test_encoder_is_the_published_one() -> None:
    torch.manual_seed(0)
    model = ANR(SIZES, aspects=2, width=3, word_width=4, vocabulary=9)
    text = [3, 5, 2, 8]
    for k in range(2):
        x = model.words[text] @ model.project[k]
        framed = torch.cat([torch.zeros(1, 3), x, torch.zeros(1, 3)])
        logits = torch.stack([torch.dot(model.attend[k].flatten(), framed[j : j + 3].flatten()) for j in range(4)])
        expected = (torch.softmax(logits, 0)[:, None] * x).sum(0)
        torch.testing.assert_close(model.encode(documents(text))[0, k], expected, rtol=1e-4, atol=1e-5)


def test_score_is_the_published_one() -> None:
    torch.manual_seed(3)
    model = ANR(SIZES, aspects=2, width=3, hidden=4, word_width=4, vocabulary=9)
    with torch.no_grad():
        model.affinity.normal_(std=3.0)
    batch = {"user_document": documents([1, 2, 3]), "item_document": documents([4, 5, 0])}
    p, q = model.encode(batch["user_document"])[0], model.encode(batch["item_document"])[0]
    affinity = torch.relu(p @ model.affinity @ q.T)
    assert (affinity - affinity.T).abs().max() > 0.1
    mine = torch.relu(model.of_user.weight @ p.T + (model.of_item.weight @ q.T) @ affinity.T)
    its = torch.relu(model.of_item.weight @ q.T + (model.of_user.weight @ p.T) @ affinity)
    beta_user = torch.softmax(model.of_user_weight.weight @ mine, -1)
    beta_item = torch.softmax(model.of_item_weight.weight @ its, -1)
    expected = (beta_user * beta_item * (p * q).sum(-1)).sum()
    torch.testing.assert_close(model.score(batch)[0], expected)


def test_padding_is_inert() -> None:
    torch.manual_seed(0)
    model = ANR(SIZES, vocabulary=9)
    torch.testing.assert_close(model.encode(documents([3, 5, 2])), model.encode(documents([3, 5, 2, 0, 0, 0])))
    empty = model.encode(documents([0, 0, 0]))
    assert torch.equal(empty, torch.zeros_like(empty))


def test_swapping_documents_swaps_aspect_vectors() -> None:
    torch.manual_seed(0)
    model = ANR(SIZES, vocabulary=9)
    both = documents([3, 5, 2], [7, 8, 1])
    one, other = model.encode(both), model.encode(both.flip(0))
    assert torch.equal(one, other.flip(0))


def keyword_data() -> dict[str, np.ndarray]:
    """The label says whether the user document's keyword (1-6) is the item document's; the rest is noise."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(1, 41, (2, 1200))
    keywords = rng.integers(1, 7, (2, 41))

    def text(keyword: int) -> np.ndarray:
        out = rng.integers(7, 40, 8)
        out[rng.integers(8)] = keyword
        return out

    return {
        "user": user,
        "item": item,
        "user_document": np.array([text(keywords[0, u]) for u in user]),
        "item_document": np.array([text(keywords[1, i]) for i in item]),
        "target": (keywords[0, user] == keywords[1, item]).astype(np.float32),
    }


def test_matching_keywords_are_learnt() -> None:
    fields = keyword_data()
    torch.manual_seed(1)
    # Without dropout it learns the noise words of 900 records by heart.
    model = ANR(Sizes(41, 41), rate=float(fields["target"].mean()), vocabulary=40, dropout=0.3)
    seen, held = ({k: v[part] for k, v in fields.items()} for part in (slice(900), slice(900, None)))
    train(model, seen, steps=350, lr=0.02, classification=True, batch_size=256)
    with torch.no_grad():
        assert area(model(batch_of(held)), held["target"]) > 0.95


def test_pretraining_moves_the_encoder_and_then_slows_it_down() -> None:
    split = market()
    sizes = Sizes.of(split)
    fields = as_tensors(fields_of(ANR, split, sizes))
    torch.manual_seed(0)
    model = ANR.build(split, sizes, "regression", pretrain=True)
    start = {name: value.detach().clone() for name, value in model.named_parameters()}
    replicate = Replicate(0, split.train, split.validation)
    fit([model], [fields], [replicate], epochs=2, pretrain_epochs=1)
    assert model.lr_scale == {"words": 0.01, "project": 0.01, "attend": 0.01}
    moved = {name: (value - start[name]).abs().max().item() for name, value in model.named_parameters()}
    assert moved["project"] > 1e-3 and moved["before_output.weight"] > 1e-3 and moved["affinity"] > 1e-3
    slow = ANR.build(split, sizes, "regression")
    slow.prepare_rating_stage()
    before = slow.project.detach().clone()
    fit([slow], [fields], [replicate], epochs=1)
    assert 0 < (slow.project - before).abs().max() < 0.01 * len(split.train) / 128 * 0.02


def test_documents_of_a_market() -> None:
    split = market()
    fields = fields_of(ANR, split, Sizes.of(split), length=12)
    assert fields["user_document"].shape == fields["item_document"].shape == (len(split.user), 12)
    first = (split.earlier_of_user.count == 0) & (split.history_position < 0).all(1)
    assert (fields["user_document"][first] == 0).all() and (fields["item_document"][:, 0] > 0).all()


@pytest.mark.parametrize("pretrain", [False, True])
def test_replicates_side_by_side(pretrain: bool) -> None:
    models, batches = replicates(ANR, pretrain=pretrain)
    assert_trainable_side_by_side(models, batches)
    if pretrain:
        assert models[0].pretrain_loss(batches[0]).isfinite()


def test_parameter_counts() -> None:
    sizes = Sizes(users=9766, items=6281)
    assert count(ANR(sizes, **ANR.matched)) == (792 + 8 * 1004, 0)
    assert count(ANR(sizes, **{**ANR.as_published, "vocabulary": 1}))[0] - 300 == 16_350
    assert len(ANR.grid) == 8
