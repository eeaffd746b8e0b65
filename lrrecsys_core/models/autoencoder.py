"""The autoencoder that turns a sentence into 8 numbers (Sec 3.4.2, App 8.1, 10.1).

Words are looked up in a trained |V| x 8 table; the 50 x 8 block goes 400 -> 64 -> 8 -> 64 -> 400 (ReLU on the 64-wide
layers, none on the code, no biases: 52,224 weights beside the table); the 400 outputs are read as 50 x 8 and scored
against the word table. The loss is the cross-entropy of the sentence's real words, mean per word.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrrecsys_core.errors import InputError

LENGTH, WIDTH, HIDDEN = 50, 8, 64
LOGITS_AT_ONCE = 2**21  # numbers in one chunk of the output layer: 8 MiB in float32, whatever |V| is
PADDING, UNKNOWN = 0, 1
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|\d+")


def words_of(sentence: str) -> list[str]:
    """The whole lower-case words of a sentence, at most 50."""
    return _WORD.findall(sentence.lower())[:LENGTH]


@dataclass(frozen=True)
class Vocabulary:
    """Words of the training explanations; id 0 is padding, id 1 any word not among them."""

    words: tuple[str, ...]

    @classmethod
    def of(cls, sentences: Sequence[str], limit: int = 20_000) -> Vocabulary:
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


class _WordLoss(torch.autograd.Function):
    """Summed weighted cross-entropy of words scored against a table, a chunk of logits at a time.

    Gradients are formed in the same pass, so no more than one chunk of the n x |V| logits ever exists.
    """

    @staticmethod
    def forward(ctx: Any, outputs: Tensor, table: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """`outputs` (n, 8), `table` (|V|, 8), `target` (n,), `weight` (n,) -> scalar."""
        rows = max(1, LOGITS_AT_ONCE // len(table))
        total = outputs.new_zeros(())
        to_outputs, to_table = torch.empty_like(outputs), torch.zeros_like(table)
        for low in range(0, len(outputs), rows):
            part = slice(low, low + rows)
            log_share = torch.log_softmax(outputs[part] @ table.T, -1)
            chosen = target[part].unsqueeze(1)
            total -= (log_share.gather(1, chosen).squeeze(1) * weight[part]).sum()
            slope = log_share.exp_().scatter_add_(1, chosen, -torch.ones_like(chosen, dtype=outputs.dtype))
            slope *= weight[part].unsqueeze(1)
            torch.mm(slope, table, out=to_outputs[part])
            to_table.addmm_(slope.T, outputs[part])
        ctx.save_for_backward(to_outputs, to_table)
        return total

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None, None]:
        to_outputs, to_table = ctx.saved_tensors
        return slope * to_outputs, slope * to_table, None, None


class AutoEncoder(nn.Module):
    """AE(.) of Sec 3.4.2.

    Parameters
    ----------
    vocabulary : number of word ids, padding and unknown included.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, WIDTH)
        self.encoder = nn.Sequential(
            nn.Linear(LENGTH * WIDTH, HIDDEN, bias=False), nn.ReLU(), nn.Linear(HIDDEN, WIDTH, bias=False)
        )
        self.decoder = nn.Sequential(
            nn.Linear(WIDTH, HIDDEN, bias=False), nn.ReLU(), nn.Linear(HIDDEN, LENGTH * WIDTH, bias=False)
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
        weight = (real if count is None else real * count.unsqueeze(1)).to(self.table.weight.dtype)
        outputs = self.decode(self.code(words))[real]
        total: Tensor = _WordLoss.apply(outputs, self.table.weight, words[real], weight[real])
        return total / weight.sum().clamp_min(1.0)


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
            "lr",
            "epochs",
            "validation_loss",
            "word_accuracy",
            "content_accuracy",
            "constant_accuracy",
            "rank",
            "curve",
        )
        return {name: getattr(self, name) for name in names}

    def embed(self, sentences: Sequence[str]) -> np.ndarray:
        """Codes (n, 8) of sentences, standardised by the training codes' mean and common scale; "" becomes zeros."""
        words = torch.from_numpy(self.vocabulary.encode(sentences))
        with torch.no_grad():
            codes = (self.model.code(words) - self.centre) / self.spread
        return (codes * (words != PADDING).any(1, keepdim=True)).numpy().astype(np.float32)

    centre: Tensor = field(default_factory=lambda: torch.zeros(WIDTH))
    spread: Tensor = field(default_factory=lambda: torch.ones(()))


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
    check: bool = True,
) -> TextCodes:
    """Train AE(.) on the training set's explanations.

    Parameters
    ----------
    sentences : distinct training sentences, positive and negative together.
    counts : how often each occurs (equal sentences are read once, weighted by their count).
    rates : learning rates tried; the lowest validation reconstruction loss (a tenth of the sentences) wins. The
        paper's 0.1 is among the `paper_strict` settings and fails the check below with Adam.
    check : raise on a collapsed code instead of passing it on.

    Raises
    ------
    InputError
        If there is no sentence, or the code collapsed: its rank is below 8 although the sentences differ enough, or
        it tells words that vary between sentences no better than a constant code does.
    """
    if not any(words_of(sentence) for sentence in sentences):
        raise InputError(
            "the autoencoder has no sentence to learn from: generate explanations for the training records first."
        )
    vocabulary = Vocabulary.of(sentences)
    words = torch.from_numpy(vocabulary.encode(sentences))
    weight = torch.ones(len(words)) if counts is None else torch.from_numpy(np.asarray(counts, dtype=np.float32))
    rng = np.random.default_rng([seed, 2])
    order = rng.permutation(len(words))
    held = order[: max(1, len(words) // 10)] if len(words) >= 10 else order
    kept = order[len(held) :] if len(words) >= 10 else order
    tried = []
    for lr in rates:
        torch.manual_seed(seed)
        model = AutoEncoder(len(vocabulary.words))
        tried.append((lr, *_train(model, words, weight, kept, held, lr, epochs, batch_size, patience, optimizer, rng)))
    lr, model, best, best_epoch, curve = min(tried, key=lambda run: run[2] if np.isfinite(run[2]) else np.inf)
    with torch.no_grad():
        codes = model.code(words[kept])
        accuracy, content, constant = _accuracies(model, words[kept])
        spread = codes.std(0)
        rank = int(torch.linalg.matrix_rank((codes - codes.mean(0)).double(), rtol=1e-3))
    result = TextCodes(model, vocabulary, lr, best_epoch, best, accuracy, content, constant, rank, curve)
    result.centre, result.spread = codes.mean(0), spread.mean().clamp_min(1e-6)
    if check:
        complain_if_collapsed(result, len(kept))
    return result


def complain_if_collapsed(result: TextCodes, sentences: int) -> None:
    """Raise `InputError` for a code that carries nothing (spec section 3)."""
    reason = ""
    if not np.isfinite(result.validation_loss):
        reason = "its loss is not finite"
    elif result.rank < min(WIDTH, sentences - 1):
        reason = f"its rank is {result.rank} instead of {WIDTH}"
    elif result.content_accuracy <= result.constant_accuracy:
        reason = (
            f"it predicts {result.content_accuracy:.1%} of the words that vary between sentences, "
            f"a constant code {result.constant_accuracy:.1%}"
        )
    if reason:
        raise InputError(
            f"the autoencoder's code collapsed at learning rate {result.lr:g} ({reason}): "
            "use Adam at 0.003 to 0.01, or more epochs."
        )


def _train(
    model: AutoEncoder,
    words: Tensor,
    weight: Tensor,
    kept: np.ndarray,
    held: np.ndarray,
    lr: float,
    epochs: int,
    batch_size: int,
    patience: int,
    optimizer: str,
    rng: np.random.Generator,
) -> tuple[AutoEncoder, float, int, list[float]]:
    """Early-stopped training of one model; returns it in its best state, with loss, epoch and curve."""
    kind = torch.optim.SGD if optimizer == "sgd" else torch.optim.Adam
    moves = kind(model.parameters(), lr=lr)
    best, best_epoch, best_state, curve = float("inf"), 0, None, []
    for epoch in range(1, epochs + 1):
        shuffled = rng.permutation(kept)
        for low in range(0, len(shuffled), batch_size):
            rows = shuffled[low : low + batch_size]
            moves.zero_grad()
            model.loss(words[rows], weight[rows]).backward()
            moves.step()
        with torch.no_grad():
            curve.append(float(model.loss(words[held], weight[held])))
        if curve[-1] < best:
            best, best_epoch = curve[-1], epoch
            best_state = {name: value.clone() for name, value in model.state_dict().items()}
        if epoch - best_epoch >= patience:
            break
    if best_state is not None:
        model.load_state_dict(best_state)
    return model, best, best_epoch, curve


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
