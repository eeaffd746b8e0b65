from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from lrrecsys_core.models.topics import (
    ALPHA,
    Corpus,
    corpus,
    sentence_aspects,
    sentences_by_record,
    user_item_topics,
    words_by_record,
)
from tests.models.markets import market


def as_corpus(users: int, items: int, words: int, pairs: np.ndarray, texts: list[np.ndarray]) -> Corpus:
    """One sentence per (user, item) pair and text."""
    rows = [
        (s, w, n) for s, text in enumerate(texts) for w, n in zip(*np.unique(text, return_counts=True), strict=True)
    ]
    table = torch.tensor(np.array(rows))
    user, item = (torch.tensor(pairs[:, k]) for k in (0, 1))
    return Corpus(
        user, item, torch.arange(len(texts)), table[:, 0], table[:, 1], table[:, 2].float(), users, items, words
    )


def test_user_item_topics_are_recovered() -> None:
    rng = np.random.default_rng(0)
    users, items, topics, length, words = 40, 30, 4, 25, 60
    of_user, of_item = rng.dirichlet([0.2] * topics, users), rng.dirichlet([0.2] * topics, items)
    phi, side = rng.dirichlet([0.05] * words, topics), rng.beta(2, 2, users)
    pairs = np.array([(u, i) for u in range(users) for i in range(items)])
    texts = []
    for u, i in pairs:
        mine = rng.random(length) < side[u]
        topic = np.where(mine, rng.choice(topics, length, p=of_user[u]), rng.choice(topics, length, p=of_item[i]))
        texts.append(np.array([rng.choice(words, p=phi[z]) for z in topic]))
    data = as_corpus(users, items, words, pairs, texts)
    share, found = user_item_topics(data, topics, restarts=2)
    torch.testing.assert_close(share.sum((1, 2)), torch.ones(len(share)))
    overlap = np.minimum(phi[:, None], found.numpy()[None]).sum(-1)
    _, match = linear_sum_assignment(-overlap)
    assert (overlap[np.arange(topics), match] > 0.9).all()
    told = words_by_record(data, share, len(pairs))
    assert told.sum() == pytest.approx(len(pairs) * length, rel=1e-4)
    counts = np.zeros((2, max(users, items), topics))
    for k in (0, 1):
        np.add.at(counts[k], pairs[:, k], told[:, k])
    counts += ALPHA
    theta = counts / counts.sum(-1, keepdims=True)
    assert np.corrcoef(theta[0][:, match].ravel(), of_user.ravel())[0, 1] > 0.9
    assert np.corrcoef(theta[1][:items, match].ravel(), of_item.ravel())[0, 1] > 0.9
    from_item = np.zeros(users)
    np.add.at(from_item, pairs[:, 0], told[:, 1].sum(1))
    assert np.corrcoef(1 - from_item / (items * length), side)[0, 1] > 0.9


@pytest.mark.parametrize("length", [1, 6])
def test_disjoint_vocabularies_become_different_aspects(length: int) -> None:
    rng = np.random.default_rng(1)
    users, items, words = 40, 30, 20
    likes, has, side = rng.beta(0.5, 0.5, users), rng.beta(0.5, 0.5, items), rng.beta(2, 2, users)
    pairs = np.array([(u, i) for u in range(users) for i in range(items) for _ in range(3)])
    mine = rng.random(len(pairs)) < side[pairs[:, 0]]
    truth = rng.random(len(pairs)) < np.where(mine, likes[pairs[:, 0]], has[pairs[:, 1]])
    texts = [rng.integers(0, words // 2, length) + a * words // 2 for a in truth]
    picked, share = sentence_aspects(as_corpus(users, items, words, pairs, texts), 2, 2)
    torch.testing.assert_close(picked.sum((1, 2)), torch.ones(len(pairs)))
    torch.testing.assert_close(share.sum((1, 2, 3)), torch.ones(len(share)))
    aspect = picked.sum(1).argmax(1).numpy()
    purity = max((aspect == truth).mean(), (aspect != truth).mean())
    assert purity > 0.9


def test_corpus_holds_training_terms_only_and_fits_are_deterministic() -> None:
    split = market()
    data = corpus(split)
    assert split.in_training[data.record.numpy()].all() and data.words > 10
    np.testing.assert_array_equal(split.user[data.record.numpy()], data.user.numpy())
    first, again = (user_item_topics(data, 3, sweeps=5)[0] for _ in range(2))
    assert torch.equal(first, again)
    picked, _ = sentence_aspects(data, 2, 3, sweeps=5)
    assert sentences_by_record(data, picked, len(split.user)).sum() == pytest.approx(len(data.user), rel=1e-4)


def test_nothing_said_gives_empty_tables() -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    data = Corpus(empty, empty, empty, empty, empty, torch.zeros(0), 3, 3, 1)
    assert user_item_topics(data, 4)[0].shape == (0, 2, 4)
    assert sentence_aspects(data, 2, 4)[0].shape == (0, 2, 2)
