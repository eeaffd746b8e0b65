"""The autoencoder: its size, its loss against the dense formula, its memory, and its refusal of collapsed codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lrrecsys_core.errors import InputError
from lrrecsys_core.models import autoencoder
from lrrecsys_core.models.autoencoder import LENGTH, AutoEncoder, Vocabulary, train_autoencoder, words_of

NOUNS = [f"thing{k}" for k in range(12)]
PLACES = [f"place{k}" for k in range(10)]
SENTENCES = [f"the consumer stayed because of the {a} and the {b}" for a in NOUNS for b in PLACES]


def dense_loss(model: AutoEncoder, words: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Eq 25 over real words, all logits at once."""
    logits = model(words)
    loss = F.cross_entropy(logits.flatten(0, 1), words.flatten(), reduction="none").view_as(words)
    weight = (words != 0) * count.unsqueeze(1)
    return (loss * weight).sum() / weight.sum()


def random_words(seed: int, vocabulary: int, rows: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    words = rng.integers(1, vocabulary, (rows, LENGTH))
    for row, length in enumerate(rng.integers(1, LENGTH + 1, rows)):
        words[row, length:] = 0
    return torch.from_numpy(words), torch.from_numpy(rng.integers(1, 5, rows)).double()


def test_has_the_papers_52224_weights_beside_the_word_table() -> None:
    model = AutoEncoder(100)
    assert sum(p.numel() for p in model.parameters()) - 100 * 8 == 52_224
    assert not any("bias" in name for name, _ in model.named_parameters())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), vocabulary=st.integers(3, 60), at_once=st.sampled_from([1, 64, 10_000]))
def test_chunked_loss_and_gradients_equal_the_dense_formula(seed: int, vocabulary: int, at_once: int) -> None:
    words, count = random_words(seed, vocabulary)
    torch.manual_seed(seed)
    model = AutoEncoder(vocabulary).double()
    expected = dense_loss(model, words, count)
    slopes = torch.autograd.grad(expected, list(model.parameters()))
    before = autoencoder.LOGITS_AT_ONCE
    autoencoder.LOGITS_AT_ONCE = at_once
    try:
        actual = model.loss(words, count)
        own = torch.autograd.grad(actual, list(model.parameters()))
    finally:
        autoencoder.LOGITS_AT_ONCE = before
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    for one, two in zip(own, slopes, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-12)


def test_counts_stand_for_repeated_sentences() -> None:
    words, _ = random_words(3, 20, rows=2)
    model = AutoEncoder(20).double()
    repeated = model.loss(words[[0, 0, 0, 1]])
    torch.testing.assert_close(model.loss(words, torch.tensor([3.0, 1.0]).double()), repeated)


def test_padding_does_not_reach_the_code() -> None:
    words, _ = random_words(1, 20, rows=1)
    model = AutoEncoder(20)
    code = model.code(words)
    with torch.no_grad():
        model.table.weight[0] = 99.0
    torch.testing.assert_close(model.code(words), code)


def test_words_are_whole_lower_case_and_at_most_fifty() -> None:
    assert words_of("The consumer's pet-friendly Café, 24h!") == ["the", "consumer's", "pet-friendly", "café", "24h"]
    assert len(words_of("word " * 80)) == 50


def test_unknown_words_share_one_id_and_ties_go_by_spelling() -> None:
    vocabulary = Vocabulary.of(["b a", "c a"], limit=2)
    assert vocabulary.words == ("", "<unknown>", "a", "b")
    assert vocabulary.encode(["c a zebra b"])[0, :5].tolist() == [1, 2, 1, 3, 0]


def test_recovers_planted_sentences_and_tells_them_apart() -> None:
    coder = train_autoencoder(SENTENCES, seed=0, epochs=80, rates=(0.01,), batch_size=12, patience=20)
    assert coder.rank == 8
    assert coder.content_accuracy > 0.7 > coder.constant_accuracy
    codes = coder.embed([*SENTENCES, ""])
    assert np.all(codes[-1] == 0)
    same = [codes[k] for k in range(len(SENTENCES)) if SENTENCES[k].endswith("place0")]
    assert np.isfinite(codes).all() and len({tuple(code) for code in same}) == len(NOUNS)


def test_same_seed_gives_the_same_codes() -> None:
    one, two = (train_autoencoder(SENTENCES[:40], seed=4, epochs=12, check=False) for _ in range(2))
    np.testing.assert_array_equal(one.embed(SENTENCES[:3]), two.embed(SENTENCES[:3]))


def test_a_collapsed_code_is_an_error() -> None:
    """The paper's learning rate with Adam ends in a constant code."""
    with pytest.raises(InputError, match="collapsed at learning rate 0.1"):
        train_autoencoder(SENTENCES, seed=0, rates=(0.1,), epochs=30, batch_size=12)


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(InputError, match="no sentence to learn from"):
        train_autoencoder(["", " "])


def test_more_sentences_than_an_epoch_reads_are_drawn_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder, "SENTENCES", 16)
    monkeypatch.setattr(autoencoder, "HELD", 5)
    seen: list[np.ndarray] = []
    loss = AutoEncoder.loss

    def spy(self: AutoEncoder, words: torch.Tensor, count: torch.Tensor | None = None) -> torch.Tensor:
        seen.append(words.numpy())
        return loss(self, words, count)

    monkeypatch.setattr(AutoEncoder, "loss", spy)
    sentences = [f"number{k} likes thing{k % 7} because of colour{k % 11}" for k in range(200)]
    train_autoencoder(sentences, rates=(0.01,), epochs=3, batch_size=8, patience=9, check=False)
    sizes = [len(words) for words in seen]
    assert sizes == [8, 8, 5] * 3  # two batches of an epoch, then validation
    first, second = (np.concatenate(seen[k : k + 2]) for k in (0, 3))
    assert len({tuple(row) for row in first} & {tuple(row) for row in second}) < 16
    assert all(np.array_equal(seen[2], seen[k]) for k in (5, 8))
