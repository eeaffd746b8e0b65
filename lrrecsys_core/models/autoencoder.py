"""The autoencoder that turns a sentence into 8 numbers (Sec 3.4.2, App 8.1, 10.1).

Words are looked up in a trained |V| x 8 table; the 50 x 8 block goes 400 -> 64 -> 8 -> 64 -> 400 (ReLU on the 64-wide
layers, none on the code, no biases: 52,224 weights beside the table); the 400 outputs are read as 50 x 8 and scored
against the word table. The loss is the cross-entropy of the sentence's real words, mean per word.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.errors import NothingToRead
from lrrecsys_core.models.whitening import Floats, condition, rank, spectrum

LENGTH, WIDTH, HIDDEN = 50, 8, 64
PADDING, UNKNOWN = 0, 1
LEAST_RANK = WIDTH // 2  # a slot with a few short texts may leave a direction or two unused; a collapse leaves none
TRIAL_EPOCHS = 10
WORDS, SENTENCES, HELD = 2_000, 6_400, 1_000  # bounds of the vocabulary, of an epoch and of validation: see below
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|\d+")


def words_of(sentence: str) -> list[str]:
    """The whole lower-case words of a sentence, at most 50."""
    return _WORD.findall(sentence.lower())[:LENGTH]


@dataclass(frozen=True)
class Vocabulary:
    """Words of the training explanations; id 0 is padding, id 1 any word not among them."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, sentences: Sequence[str], limit: int = WORDS) -> Vocabulary:
        """The `limit` most frequent words of `sentences`, ties by spelling."""
        counts = Counter(word for sentence in sentences for word in words_of(sentence))
        ranked = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(("", "<unknown>", *ranked[:limit]))

    def encode(self, sentences: Sequence[str]) -> np.ndarray:
        """Word ids (n, 50), padded with 0."""
        ids = {word: number for number, word in enumerate(self.words) if number > UNKNOWN}
        out = np.zeros((len(sentences), LENGTH), dtype=np.int64)
        for row, sentence in enumerate(sentences):
            found = [ids.get(word, UNKNOWN) for word in words_of(sentence)]
            out[row, : len(found)] = found
        return out


class AutoEncoder(nn.Module):
    """AE(.) of Sec 3.4.2.

    Parameters
    ----------
    vocabulary : number of word ids, padding and unknown included.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        # Training amplifies rounding: in float32 two processors end in different codes, in float64 in the same ones,
        # if the first weights are drawn in it too.
        exact: Any = {"bias": False, "dtype": torch.float64}
        self.table = nn.Embedding(vocabulary, WIDTH, dtype=torch.float64)
        self.encoder = nn.Sequential(
            nn.Linear(LENGTH * WIDTH, HIDDEN, **exact), nn.ReLU(), nn.Linear(HIDDEN, WIDTH, **exact)
        )
        self.decoder = nn.Sequential(
            nn.Linear(WIDTH, HIDDEN, **exact), nn.ReLU(), nn.Linear(HIDDEN, LENGTH * WIDTH, **exact)
        )

    def code(self, words: Tensor) -> Tensor:
        """Word ids (B, 50) -> codes (B, 8)."""
        block = self.table(words) * (words != PADDING).unsqueeze(-1)
        return self.encoder(block.flatten(1))

    def decode(self, code: Tensor) -> Tensor:
        """Codes (B, 8) -> one vector per word position (B, 50, 8)."""
        return self.decoder(code).view(-1, LENGTH, WIDTH)

    def forward(self, words: Tensor) -> Tensor:
        """Word logits (B, 50, |V|), all at once: for reading and small vocabularies."""
        return self.decode(self.code(words)) @ self.table.weight.T

    def loss(self, words: Tensor, count: Tensor | None = None) -> Tensor:
        """Mean cross-entropy per real word (Eq 2 and 25), sentences weighted by `count` (B,)."""
        real = words != PADDING
        weight = (real if count is None else real * count.unsqueeze(1)).to(self.table.weight.dtype)[real]
        places = self.decode(self.code(words))[real]
        total: Tensor = _CrossEntropy.apply(places, self.table.weight, words[real], weight)
        return total / weight.sum().clamp_min(1.0)


class _CrossEntropy(torch.autograd.Function):
    """Weighted sum of cross-entropies of vectors (n, d) against a word table (|V|, d).

    The gradients are made on the way, a few words at a time, so that their logits stay in a processor's cache: 3.6
    times faster in float64 than all at once, and training codes is most of what a run on real data waits for.
    """

    PART = 256  # words, 4 MB of logits

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, table: Tensor, words: Tensor, weight: Tensor) -> Tensor:
        """The sum; keeps both gradients for `backward`."""
        total, by_vector, by_table = vectors.new_zeros(()), torch.empty_like(vectors), torch.zeros_like(table)
        for low in range(0, len(vectors), _CrossEntropy.PART):
            part = slice(low, low + _CrossEntropy.PART)
            logits, word, mass = vectors[part] @ table.T, words[part].unsqueeze(1), weight[part].unsqueeze(1)
            most, told = logits.amax(1, keepdim=True), logits.gather(1, word)
            odds = logits.sub_(most).exp_()
            normal = odds.sum(1, keepdim=True)
            total += ((normal.log() + most - told) * mass).sum()
            residual = odds.mul_(mass / normal).scatter_add_(1, word, -mass)
            by_vector[part] = residual @ table
            by_table.addmm_(residual.T, vectors[part])
        ctx.save_for_backward(by_vector, by_table)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """As autograd asks."""
        by_vector, by_table = ctx.saved_tensors
        return by_vector * grad, by_table * grad, None, None


@dataclass
class TextCodes:
    """A trained autoencoder with its vocabulary and what its training showed."""

    model: AutoEncoder
    vocabulary: Vocabulary
    lr: float
    epochs: int
    validation_loss: float
    word_accuracy: float
    content_accuracy: float
    constant_accuracy: float
    rank: int
    curve: list[float] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """What the training showed, as plain numbers."""
        names = (
            "lr", "epochs", "validation_loss", "word_accuracy", "content_accuracy", "constant_accuracy",
            "rank", "curve",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def embed(self, sentences: Sequence[str]) -> np.ndarray:
        """Codes (n, 8) of sentences, standardised by the training codes' mean and common scale; "" becomes zeros."""
        words = torch.from_numpy(self.vocabulary.encode(sentences))
        with torch.no_grad():
            codes = (self.model.code(words) - self.centre) / self.spread
        return (codes * (words != PADDING).any(1, keepdim=True)).numpy()

    centre: Tensor = field(default_factory=lambda: torch.zeros(WIDTH, dtype=torch.float64))
    spread: Tensor = field(default_factory=lambda: torch.ones((), dtype=torch.float64))


def train_autoencoder(
    sentences: Sequence[str],
    counts: np.ndarray | None = None,
    *,
    seed: int = 0,
    rates: Sequence[float] = (0.003, 0.01),
    epochs: int = 100,
    batch_size: int = 128,
    patience: int = 5,
    optimizer: str = "adam",
    early_stop: bool = True,
) -> TextCodes:
    """Train AE(.) on the training set's explanations.

    Parameters
    ----------
    sentences : distinct training sentences, positive and negative together (Eq 3). However many there are, an epoch
        reads at most `SENTENCES` of them, drawn anew each time, validation `HELD`, and the `WORDS` most frequent words
        are told apart: the time of training does not grow with the data.
    counts : how often each occurs (equal sentences are read once, weighted by their count).
    rates : learning rates tried for 10 epochs each; the one with the lowest validation reconstruction loss (on a
        tenth of the sentences, see `_held_out`) goes on. At the paper's 0.1 the code collapses, see `collapsed`.
    batch_size : sentences in a batch; fewer where that would leave an epoch with fewer than four batches.
    early_stop : keep the state with the lowest validation loss, and stop `patience` epochs after it; otherwise the last
        state after all epochs.

    Raises
    ------
    NothingToRead
        If there is no sentence.
    """
    if not any(words_of(sentence) for sentence in sentences):
        raise NothingToRead(
            "the autoencoder has no sentence to learn from: generate explanations for the training records first."
        )
    vocabulary = Vocabulary.of(sentences)
    words = torch.from_numpy(vocabulary.encode(sentences))
    weight = torch.from_numpy(np.ones(len(words)) if counts is None else np.asarray(counts, dtype=np.float64))
    held, kept = _held_out(weight.numpy(), seed)
    batch_size = min(batch_size, max(8, len(kept) // 4))
    tried: list[_Run] = []
    for lr in rates:
        torch.manual_seed(seed)
        run = _Run(AutoEncoder(len(vocabulary.words)), lr, optimizer, np.random.default_rng([seed, 5]))
        run.train(words, weight, kept, held, TRIAL_EPOCHS if len(rates) > 1 else epochs, batch_size, patience)
        tried.append(run)
    chosen = min(tried, key=lambda run: run.best if np.isfinite(run.best) else np.inf)
    chosen.train(words, weight, kept, held, epochs, batch_size, patience if early_stop else epochs)
    if not early_stop:
        chosen.keep()
    model, lr, best, best_epoch, curve = chosen.restored(), chosen.lr, chosen.best, chosen.best_epoch, chosen.curve
    with torch.no_grad():
        codes = model.code(words[kept])
        accuracy, content, constant = _accuracies(model, words[kept])
        spread = codes.std(0)
    full = rank(spectrum(codes.numpy())) if np.isfinite(best) else 0
    result = TextCodes(model, vocabulary, lr, best_epoch, best, accuracy, content, constant, full, curve)
    result.centre, result.spread = codes.mean(0), spread.mean().clamp_min(1e-6)
    return result


def collapsed(result: TextCodes, codes: Floats, sentences: int) -> str:
    """Why a code carries nothing about the texts of some records, or "".

    Parameters
    ----------
    codes : (n, 8), one per record, so that each sentence counts as often as it occurs.
    sentences : how many distinct ones the records have.
    """
    if not np.isfinite(result.validation_loss):
        return "its loss is not finite"
    needed = min(LEAST_RANK, sentences - 1)
    variances = spectrum(codes)
    if rank(variances) < needed:
        return (
            f"its rank is {rank(variances)} where {needed} are needed, its condition number {condition(variances):.1g}"
        )
    if result.content_accuracy <= result.constant_accuracy:
        return (
            f"it predicts {result.content_accuracy:.1%} of the words that vary between sentences, "
            f"a constant code {result.constant_accuracy:.1%}"
        )
    return ""


def complain_if_collapsed(result: TextCodes, reason: str) -> None:
    """Raise `NothingToRead` for a code of which `collapsed` gives a reason (docs/deviations.md)."""
    if reason:
        raise NothingToRead(
            f"the autoencoder's code collapsed at learning rate {result.lr:g} ({reason}): "
            "use Adam at 0.003 to 0.01, or more epochs."
        )


def _held_out(weight: Floats, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of sentences for validation, a tenth and at most `HELD`, and of those learnt from; under ten serve both.

    The most frequent one is always learnt from. A sentence told whenever nothing else can be said may be a twentieth of
    all texts and four tenths of what validation weighs: held out, it let the loss there rise from the third epoch on.
    """
    order = np.random.default_rng([seed, 2]).permutation(len(weight))
    if len(order) < 10:
        return order, order
    size = min(HELD, len(order) // 10)
    place = int(np.flatnonzero(order == weight.argmax())[0])
    if place < size:
        order[[place, size]] = order[[size, place]]
    return order[:size], order[size:]


class _Run:
    """One autoencoder in training: early-stopped, and able to go on where it paused."""

    def __init__(self, model: AutoEncoder, lr: float, optimizer: str, rng: np.random.Generator) -> None:
        self.model, self.lr, self.rng = model, lr, rng
        self.optimizer = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[optimizer](model.parameters(), lr)
        self.best, self.best_epoch = float("inf"), 0
        self.curve: list[float] = []
        self.best_state = copy.deepcopy(model.state_dict())

    def train(
        self,
        words: Tensor,
        weight: Tensor,
        kept: np.ndarray,
        held: np.ndarray,
        epochs: int,
        batch_size: int,
        patience: int,
    ) -> None:
        """Train up to epoch `epochs`, or until `patience` epochs brought no lower validation loss."""
        while len(self.curve) < epochs and len(self.curve) - self.best_epoch < patience:
            shuffled = self.rng.permutation(kept)[:SENTENCES]
            for low in range(0, len(shuffled), batch_size):
                rows = torch.from_numpy(shuffled[low : low + batch_size])
                self.optimizer.zero_grad()
                self.model.loss(words[rows], weight[rows]).backward()
                self.optimizer.step()
            with torch.no_grad():
                parts = torch.from_numpy(held).split(128)
                losses = torch.stack([self.model.loss(words[part], weight[part]) for part in parts])
                size = torch.stack([((words[part] != PADDING).sum(1) * weight[part]).sum() for part in parts])
                self.curve.append(float((losses * size).sum() / size.sum()))
            if self.curve[-1] < self.best:
                self.keep()

    def keep(self) -> None:
        """Take the present state for the best."""
        self.best, self.best_epoch = self.curve[-1], len(self.curve)
        self.best_state = copy.deepcopy(self.model.state_dict())

    def restored(self) -> AutoEncoder:
        """The model in its best state."""
        self.model.load_state_dict(self.best_state)
        return self.model


def _accuracies(model: AutoEncoder, words: Tensor, limit: int = 1000) -> tuple[float, float, float]:
    """Share of words recovered: all words; words that vary between sentences; the same by the most usual word there.

    A position "varies" when its most usual word covers under 95% of the sentences that reach it.
    """
    words = words[:limit]
    real = words != PADDING
    predicted = torch.cat([model(part).argmax(-1) for part in words.split(64)])
    hits = (predicted == words) & real
    usual = torch.stack(
        [
            column[column != PADDING].mode().values if bool((column != PADDING).any()) else column[0]
            for column in words.T
        ]
    )
    same = (words == usual) & real
    varies = (same.sum(0) < 0.95 * real.sum(0)) & (real.sum(0) > 0)
    content = real & varies
    total, content_total = int(real.sum()), max(1, int(content.sum()))
    return (
        float(hits.sum() / total),
        float((hits & content).sum() / content_total),
        float((same & content).sum() / content_total),
    )
