"""The autoencoder: its size, its loss against the dense formula, codes for every processor, none that collapsed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from lrrecsys_core.errors import InputError
from lrrecsys_core.models import autoencoder
from lrrecsys_core.models.autoencoder import (
    LENGTH,
    AutoEncoder,
    TextCodes,
    Vocabulary,
    _held_out,
    collapsed,
    complain_if_collapsed,
    train_autoencoder,
    words_of,
)

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
@given(seed=st.integers(0, 10_000), vocabulary=st.integers(3, 60), part=st.sampled_from([1, 7, 256]))
def test_loss_and_gradients_equal_the_dense_formula(seed: int, vocabulary: int, part: int) -> None:
    words, count = random_words(seed, vocabulary)
    torch.manual_seed(seed)
    model = AutoEncoder(vocabulary)
    expected = dense_loss(model, words, count)
    slopes = torch.autograd.grad(expected, list(model.parameters()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autoencoder._CrossEntropy, "PART", part)
        actual = model.loss(words, count)
        own = torch.autograd.grad(actual, list(model.parameters()))
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
    one, two = (train_autoencoder(SENTENCES[:40], seed=4, epochs=12) for _ in range(2))
    np.testing.assert_array_equal(one.embed(SENTENCES[:3]), two.embed(SENTENCES[:3]))


def planes(size: int, least: float, rows: int = 400) -> np.ndarray:
    """Vectors (n, 8) in so many directions, the last of them with `least` times the others' spread."""
    drawn = np.random.default_rng(size).standard_normal((rows, 8)) * (np.arange(8) < size)
    drawn[:, size - 1] *= least
    return drawn


def coder_with(**facts: float) -> TextCodes:
    """An untrained autoencoder whose training showed this."""
    about = {"lr": 0.01, "epochs": 1, "validation_loss": 1.0, "word_accuracy": 0.9, "content_accuracy": 0.8}
    return TextCodes(AutoEncoder(4), Vocabulary(("", "?")), **(about | {"constant_accuracy": 0.1, "rank": 8} | facts))


def test_what_counts_as_collapsed_by_hand() -> None:
    good = coder_with()
    assert collapsed(good, planes(8, 1.0), 100) == ""
    assert collapsed(good, planes(8, 1e-2), 100) == "", "little variance is some"
    assert collapsed(good, planes(4, 1.0), 100) == "", "a direction or two may lie idle"
    assert "its rank is 3 where 4 are needed, its condition number 1e+08" in collapsed(
        good, planes(4, 1e-4) + 1e-4 * planes(8, 1.0) * (np.arange(8) > 2), 100
    )
    assert "its rank is 2 where 4 are needed, its condition number inf" in collapsed(good, planes(2, 1.0), 100)
    # Four distinct sentences span three directions at most, and one sentence none.
    assert collapsed(good, planes(3, 1.0), 4) == "" != collapsed(good, planes(2, 1.0), 4)
    assert collapsed(good, np.full((9, 8), 0.3), 1) == ""
    assert "its loss is not finite" in collapsed(coder_with(validation_loss=np.nan), np.full((9, 8), np.nan), 9)
    reason = collapsed(coder_with(content_accuracy=0.1), planes(8, 1.0), 100)
    assert reason == "it predicts 10.0% of the words that vary between sentences, a constant code 10.0%"


def test_the_papers_rate_ends_in_a_collapsed_code() -> None:
    """Adam at 0.1 ends in a constant code."""
    coder = train_autoencoder(SENTENCES, seed=0, rates=(0.1,), epochs=30, batch_size=12)
    reason = collapsed(coder, coder.embed(SENTENCES), len(SENTENCES))
    assert "its rank is" in reason
    with pytest.raises(InputError, match=r"collapsed at learning rate 0.1 \(its rank is"):
        complain_if_collapsed(coder, reason)
    complain_if_collapsed(coder, "")


_TRAIN = """
import sys
import numpy as np, torch
from lrrecsys_core.models.autoencoder import train_autoencoder
torch.set_num_threads(1)
sentences = [f"the consumer stayed because of thing{k % 12} and place{k % 7}" for k in range(84)]
coder = train_autoencoder(sentences, seed=3, rates=(0.01,), epochs=20, patience=20)
print(torch.backends.cpu.get_cpu_capability())
np.save(sys.argv[1], coder.embed(sentences))
"""


def test_codes_are_those_of_another_processor(tmp_path: Path) -> None:
    """Reported numbers hang on them; in float32 two kinds of processor end in codes that differ by tenths."""
    codes, used = [], set()
    for capability in ("default", ""):
        environment = {name: value for name, value in os.environ.items() if name != "ATEN_CPU_CAPABILITY"}
        environment |= {"ATEN_CPU_CAPABILITY": capability} if capability else {}
        place = tmp_path / f"{capability or 'best'}.npy"
        done = subprocess.run(
            [sys.executable, "-c", _TRAIN, str(place)], env=environment, check=True, capture_output=True, text=True
        )
        used.add(done.stdout.strip())
        codes.append(np.load(place))
    if len(used) == 1:
        pytest.skip("this machine has no instructions beyond the default ones")
    assert codes[0].dtype == np.float64 and codes[0].std() > 0.1
    np.testing.assert_allclose(codes[0], codes[1], rtol=0, atol=1e-9)


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
    train_autoencoder(sentences, rates=(0.01,), epochs=3, batch_size=8, patience=9)
    sizes = [len(words) for words in seen]
    assert sizes == [8, 8, 5] * 3  # two batches of an epoch, then validation
    first, second = (np.concatenate(seen[k : k + 2]) for k in (0, 3))
    assert len({tuple(row) for row in first} & {tuple(row) for row in second}) < 16
    assert all(np.array_equal(seen[2], seen[k]) for k in (5, 8))


@given(st.integers(1, 15_000), st.integers(0, 10_000))
def test_a_tenth_is_held_out_and_the_most_frequent_sentence_never(size: int, seed: int) -> None:
    weight = np.random.default_rng(seed).permutation(size).astype(float)
    held, kept = _held_out(weight, seed)
    order = np.random.default_rng([seed, 2]).permutation(size)
    if size < 10:
        assert sorted(held) == sorted(kept) == list(range(size))
        return
    assert len(held) == min(1000, size // 10) and sorted([*held, *kept]) == list(range(size))
    assert weight.argmax() in kept
    if weight.argmax() in order[len(held) :]:  # left to chance it is learnt from, and nothing is to change
        np.testing.assert_array_equal(np.concatenate([held, kept]), order)


def test_the_most_frequent_sentence_is_learnt() -> None:
    told = [*SENTENCES, "nothing is known of this guest"]
    counts = np.array([1] * len(SENTENCES) + [80])
    seed = next(seed for seed in range(99) if len(SENTENCES) in np.random.default_rng([seed, 2]).permutation(121)[:12])
    coder = train_autoencoder(told, counts, seed=seed, epochs=40)
    words = torch.from_numpy(coder.vocabulary.encode(told[-1:]))
    read = coder.model(words).argmax(-1)[words != 0]
    assert (read == words[words != 0]).all()
