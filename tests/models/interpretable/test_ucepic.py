"""UCEPic-R: the text never reaches the rating, insertion adds up, and given words survive."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from lrrecsys_core.models.base import Sizes
from lrrecsys_core.models.interpretable.ucepic import GAPS, TERMS, UCEPic
from tests.models.planted import records, small_split
from tests.models.training import assert_trainable_side_by_side, batch_of, count, train

V, T, R = 40, 6, 4


def ucepic(**params: object) -> UCEPic:
    torch.manual_seed(0)
    given = {"vocabulary": V, "length": T, "reference": R, **params}
    return UCEPic(Sizes(7, 30), **given).eval()  # type: ignore[arg-type]


def fields(seed: int = 0, n: int = 24) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def told(width: int) -> np.ndarray:
        return rng.integers(1, V - 3, (n, width)) * (np.arange(width) < rng.integers(0, width + 1, n)[:, None])

    base = {k: v for k, v in records(n=n, seed=seed).items() if k in ("user", "item", "target")}
    references = {"user_refs": told(R), "item_refs": told(R), "profile": rng.integers(0, 21, (n, 3))}
    return base | references | {"text": told(T), "planned": rng.integers(0, 21, n)}


def batch_for(model: UCEPic, seed: int = 0) -> dict[str, Tensor]:
    given = fields(seed)
    return batch_of(given | model.draws(len(given["user"]), np.random.default_rng(seed)))


def test_parameter_counts() -> None:
    shared, entity = count(UCEPic(Sizes(users=6, items=11), reference=16))
    assert shared == 19_706 - 8 * (64 - 51)  # positions for the 51 places there are, not for 64
    assert entity == 0  # it rates from texts alone, beside the fixed biases
    assert len(UCEPic.grid) == 8


def test_insertion_adds_up() -> None:
    model = ucepic()
    text = torch.from_numpy(fields(n=200)["text"])
    frame, masked, source, gaps = model.corrupted(text, torch.rand(200, T) < 0.5)
    words = (text > 0).sum(1)
    assert ((frame > 0).sum(1) == words + 2).all()
    assert ((source > 0).sum(1) + gaps.clamp_min(0).sum(1) == words + 2).all()
    assert ((masked == model.mask).sum(1) == gaps.clamp_min(0).sum(1)).all()
    assert gaps.max() < GAPS
    for k in range(200):  # opening the gaps of the source gives back the frame with its masks
        opened = []
        for word, gap in zip(source[k].tolist(), gaps[k].tolist(), strict=True):
            opened += [word] * (word > 0) + [model.mask] * max(gap, 0)
        assert opened == masked[k][masked[k] > 0].tolist()


def test_corruption_by_hand() -> None:
    model = ucepic()
    kept = torch.tensor([[False, True, False, False, True, False]])
    frame, masked, source, gaps = model.corrupted(torch.tensor([[5, 6, 7, 8, 0, 0]]), kept)
    start, end, mask = V - 3, V - 2, V - 1
    assert frame.tolist() == [[start, 5, 6, 7, 8, end, 0, 0]]
    assert masked.tolist() == [[start, mask, 6, mask, mask, end, 0, 0]]
    assert source.tolist() == [[start, 6, end, 0, 0, 0, 0, 0]]
    assert gaps.tolist() == [[1, 2, -1, -1, -1, -1, -1, -1]]


def test_the_rating_ignores_the_record_s_own_text() -> None:
    model = ucepic()
    batch = batch_for(model)
    before = model(batch)
    own = {"text": batch["text"].flip(0), "planned": batch["planned"].flip(0)}
    assert torch.equal(model({**batch, **own}), before)
    told = model.corrupted(batch["text"], batch["kept"])
    full = model.encode(batch, (batch["planned"], told[2]), (batch["planned"], told[1]))
    torch.testing.assert_close(full[0][:, :1], model.encode(batch)[0])
    for name in ("user_refs", "item_refs", "profile"):
        assert (model({**batch, name: batch[name].flip(0)}) - before).abs().max() > 1e-5


def test_source_and_frame_do_not_see_each_other() -> None:
    model = ucepic()
    batch = batch_for(model)
    told = model.corrupted(batch["text"], batch["kept"])
    one = model.encode(batch, (batch["planned"], told[2]), (batch["planned"], told[1]))
    other = model.encode(batch, (batch["planned"], told[2]), (batch["planned"], told[0]))
    torch.testing.assert_close(one[1], other[1], rtol=0, atol=0)
    assert (one[2] - other[2]).abs().max() > 1e-4


def test_padding_of_references_is_inert() -> None:
    model = ucepic()
    batch = batch_for(model)
    before, loss = model(batch), model.loss(batch)
    with torch.no_grad():
        model.words.weight[0] = torch.randn(8) * 5
    torch.testing.assert_close(model(batch), before, rtol=0, atol=0)
    torch.testing.assert_close(model.loss(batch), loss, rtol=0, atol=0)


@pytest.mark.parametrize("native", [0.6, 0.0])
def test_side_by_side(native: float) -> None:
    models = [UCEPic(Sizes(7, 30), vocabulary=V, length=T, reference=R, native=native) for _ in range(2)]
    assert_trainable_side_by_side(models, [batch_for(m, s) for s, m in enumerate(models)])
    assert ("text" in models[0].reads) == bool(native)
    batch = batch_for(models[0])
    some = {k: v[:6] if v.dim() else v for k, v in batch.items()}
    told = native * models[0].native_loss(some) if native else 0.0
    torch.testing.assert_close(models[0].loss(batch), models[0].own_loss(batch) + told)


def test_fields_and_build() -> None:
    split = small_split()
    sizes = Sizes.of(split)
    found = UCEPic.record_fields(split, sizes)
    assert found["text"].shape == (len(split.user), TERMS[1]) and found["user_refs"].shape == (len(split.user), 8)
    assert max(v.max() for k, v in found.items() if k in ("text", "user_refs", "item_refs")) < TERMS[0] - 3
    first = split.earlier_of_user.count == 0
    assert not found["profile"][first].any() and found["profile"][split.test].any()
    model = UCEPic.build(split, sizes, "regression", native=0.6)
    assert model.length == TERMS[1] and model.mask == TERMS[0] - 1


def corpus(sentences: int = 20) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    n = sentences * 4
    which = np.arange(n) % sentences
    text = rng.integers(1, V - 3, (sentences, T))
    base = {"user": np.ones(n, np.int64), "item": np.ones(n, np.int64), "target": rng.random(n)}
    references = {"user_refs": text[which][:, :R], "item_refs": text[which][:, -R:], "profile": np.zeros((n, 3), int)}
    return base | references | {"text": text[which], "planned": np.zeros(n, int)}


def test_masked_words_of_a_small_corpus_are_learnt_and_given_words_survive() -> None:
    torch.manual_seed(0)
    model = UCEPic(Sizes(2, 2), vocabulary=V, length=T, reference=R, width=32, dropout=0.0)
    given = corpus()
    train(model, given, steps=300, lr=0.01, loss="native_loss")
    batch = batch_of(given)
    kept = torch.rand(batch["text"].shape, generator=torch.Generator().manual_seed(0)) < 0.5
    frame, masked, *_ = model.corrupted(batch["text"], kept)
    plan = batch["planned"]
    guess = model.output(model.encode(batch, (plan, masked))[1][:, 1:]).argmax(-1)
    holes = masked == model.mask
    assert (guess == frame)[holes].float().mean() > 0.9

    some = torch.where(kept, batch["text"], 0)
    packed = some.gather(1, (some == 0).int().argsort(dim=1, stable=True))
    written = model.generate(batch, packed)
    assert written.shape == packed.shape and (written < model.start).all()
    for told, out in zip(packed.tolist(), written.tolist(), strict=True):
        rest = iter(out)
        assert all(word in rest for word in told if word), "given words must survive in their order"
    assert ((written > 0).sum(1) > (packed > 0).sum(1)).float().mean() > 0.5
