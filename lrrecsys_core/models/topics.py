"""Topic models of reviews with a user side and an item side, fitted by CVB0 on training records.

Both say that what is written in review (u, i) comes from the user or from the item, y ~ Bern(pi_u):

- user-item topics (A3NCF): every *word* picks y, a topic z ~ theta_u or theta_i, a word ~ phi_z;
- sentence aspects (ALFM / MMALFM): every *sentence* picks y and an aspect a ~ lambda_u or lambda_i, each of its words
  a topic z ~ theta_{u,a} or theta_{i,a}, then a word ~ phi_z.

CVB0 (A. Asuncion, M. Welling, P. Smyth, Y. W. Teh. On Smoothing and Inference for Topic Models. UAI 2009) replaces
Gibbs draws by their probabilities under the counts of all other words: deterministic given the start.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lrrecsys_core.data.split import Split
from lrrecsys_core.models.profiles import mentions, tokens

ALPHA, BETA, GAMMA, ETA = 0.1, 0.01, 0.5, 1.0
TOLERANCE = 1e-3
PART = 1 << 13  # words that are worked on at once
_SENTENCE = re.compile(r"[.!?\n]+")


@dataclass(frozen=True)
class Corpus:
    """Words of the training records; S sentences, T words with repeats inside a sentence counted.

    Attributes
    ----------
    user, item, record
        (S,) of each sentence: two entity numbers below `users` and `items`, and the record it was written in.
    sentence, word, count
        (T,) sentence, word below `words`, and how often it occurs there.
    """

    user: Tensor
    item: Tensor
    record: Tensor
    sentence: Tensor
    word: Tensor
    count: Tensor
    users: int
    items: int
    words: int


def corpus(split: Split, vocabulary: int = 5000) -> Corpus:
    """Sentences of the training reviews; without reviews every aspect term is a sentence of one word."""
    record: list[int] = []
    texts: list[list[str]] = []
    if split.dataset.reviews is not None:
        for row, text in zip(split.records_of(split.dataset.reviews), split.dataset.reviews["text"], strict=True):
            if row >= 0 and split.in_training[row]:
                found = [tokens(part) for part in _SENTENCE.split(text)]
                texts += [part for part in found if part]
                record += [int(row)] * (len(texts) - len(record))
    else:
        said = mentions(split)
        kept = split.in_training[said.record]
        record = said.record[kept].tolist()
        texts = [[said.names[code]] for code in said.aspect[kept].tolist()]
    counts = Counter(word for text in texts for word in text)
    chosen = sorted(counts, key=lambda word: (-counts[word], word))[:vocabulary]
    codes = {word: code for code, word in enumerate(chosen)}
    rows = [(s, codes[word], n) for s, text in enumerate(texts) for word, n in Counter(text).items() if word in codes]
    table = torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)
    written = torch.tensor(record, dtype=torch.int64)
    return Corpus(
        user=torch.from_numpy(split.user.copy())[written],
        item=torch.from_numpy(split.item.copy())[written],
        record=written,
        sentence=table[:, 0],
        word=table[:, 1],
        count=table[:, 2].float(),
        users=split.n_users,
        items=split.n_items,
        words=max(1, len(chosen)),
    )


def _totals(index: Tensor, values: Tensor, rows: int) -> Tensor:
    """Sums (rows, ...) of `values` (T, ...) by `index` (T,)."""
    return torch.zeros(rows, *values.shape[1:]).index_add_(0, index, values)


def user_item_topics(
    data: Corpus, topics: int, *, seed: int = 0, sweeps: int = 150, restarts: int = 1
) -> tuple[Tensor, Tensor]:
    """Fit the user-item topic model.

    Returns
    -------
    share : (T, 2, topics) probability that a word came from the user (0) or the item (1) and from each topic.
    phi : (topics, words).

    Of several random starts the one with the highest likelihood is kept.
    """
    generator = torch.Generator().manual_seed(seed)
    user, item = data.user[data.sentence], data.item[data.sentence]
    best, kept = -float("inf"), (torch.zeros(len(user), 2, topics), torch.full((topics, data.words), 1 / data.words))
    for _ in range(restarts):
        share = torch.rand(len(user), 2, topics, generator=generator).add_(0.5)
        share /= share.sum((1, 2), keepdim=True)
        for _ in range(sweeps):
            weighted = share * data.count.view(-1, 1, 1)
            of_user, of_item = _totals(user, weighted[:, 0], data.users), _totals(item, weighted[:, 1], data.items)
            from_item = _totals(user, weighted[:, 1].sum(-1), data.users)
            of_word = _totals(data.word, weighted.sum(1), data.words)
            own = share.sum(-1)
            by_user = (of_user[user] - share[:, 0] + ALPHA) / (of_user.sum(1)[user] - own[:, 0] + topics * ALPHA)[
                :, None
            ]
            by_item = (of_item[item] - share[:, 1] + ALPHA) / (of_item.sum(1)[item] - own[:, 1] + topics * ALPHA)[
                :, None
            ]
            side = torch.stack([of_user.sum(1)[user], from_item[user]], 1) - own + ETA
            said = share.sum(1)
            spoken = (of_word[data.word] - said + BETA) / (of_word.sum(0) - said + data.words * BETA)
            fresh = torch.stack([by_user, by_item], 1) * side[:, :, None] * spoken[:, None]
            fit = fresh.sum((1, 2))
            fresh = (fresh / fit[:, None, None]).clamp_min(0)
            moved = (fresh - share).abs().sum((1, 2)).mean() if len(user) else torch.tensor(0.0)
            share = fresh
            if moved < TOLERANCE:
                break
        likelihood = float((data.count * (fit / side.sum(1)).log()).sum())
        if likelihood > best:
            best, kept = likelihood, (share, ((of_word + BETA) / (of_word.sum(0) + data.words * BETA)).T)
    return kept


def sentence_aspects(
    data: Corpus, aspects: int, topics: int, *, seed: int = 0, sweeps: int = 60
) -> tuple[Tensor, Tensor]:
    """Fit the sentence-aspect model; aspects are compared by their whole log likelihood (log-sum-exp).

    An entity's aspects can be relabelled without changing the likelihood. The start leans aspect a of every entity
    towards topic a (mod `topics`), which picks the one labelling under which users' and items' aspects correspond.

    Returns
    -------
    picked : (S, 2, aspects) probability of side and aspect of each sentence.
    share : (T, 2, aspects, topics) probability of side, aspect and topic of each word.
    """
    generator = torch.Generator().manual_seed(seed)
    user, item = data.user[data.sentence], data.item[data.sentence]
    lean = 1.0 + 4.0 * torch.eye(topics).repeat(-(-aspects // topics), 1)[:aspects]
    start = torch.rand(data.words, topics, generator=generator).add_(0.1)
    topic = start[data.word][:, None, None] * lean
    topic = topic.expand(-1, 2, -1, -1) / topic.sum(-1, keepdim=True)
    picked = torch.full((len(data.user), 2, aspects), 1 / (2 * aspects))
    share = picked[data.sentence][..., None] * topic
    # Part by part: whole temporaries of long reviews would not fit the processor's cache, at many times the cost.
    parts = [slice(low, low + PART) for low in range(0, len(data.word), PART)]
    for _ in range(sweeps):
        of = [torch.zeros(rows, aspects, topics) for rows in (data.users, data.items)]
        of_word = torch.zeros(data.words, topics)
        for part in parts:
            weighted = share[part] * data.count[part].view(-1, 1, 1, 1)
            of[0].index_add_(0, user[part], weighted[:, 0])
            of[1].index_add_(0, item[part], weighted[:, 1])
            of_word.index_add_(0, data.word[part], weighted.sum((1, 2)))
        of_topic = of_word.sum(0)
        told = torch.zeros(len(data.user), 2, aspects)
        for part in parts:
            own = share[part]
            said = own.sum((1, 2))
            spoken = (of_word[data.word[part]] - said + BETA) / (of_topic - said + data.words * BETA)
            within = torch.stack([of[0][user[part]], of[1][item[part]]], 1) - own + ALPHA
            joint = within / within.sum(-1, keepdim=True) * spoken[:, None, None]
            fit = joint.sum(-1)
            told.index_add_(0, data.sentence[part], data.count[part].view(-1, 1, 1) * fit.log())
            share[part] = joint / fit[..., None]
        sentences = [_totals(data.user, picked[:, 0], data.users), _totals(data.item, picked[:, 1], data.items)]
        chosen = torch.stack([sentences[0][data.user], sentences[1][data.item]], 1) - picked + GAMMA
        from_item = _totals(data.user, picked[:, 1].sum(-1), data.users)
        side = torch.stack([sentences[0].sum(1)[data.user], from_item[data.user]], 1) - picked.sum(-1) + ETA
        logits = side.log()[..., None] + (chosen / chosen.sum(-1, keepdim=True)).log() + told
        fresh = torch.softmax(logits.flatten(1), 1).view_as(picked)
        moved = (fresh - picked).abs().sum((1, 2)).mean() if len(fresh) else torch.tensor(0.0)
        picked = fresh
        for part in parts:
            share[part] *= picked[data.sentence[part]][..., None]
        if moved < TOLERANCE:
            break
    return picked, share


def words_by_record(data: Corpus, values: Tensor, records: int) -> np.ndarray:
    """Sums (records, ...) over the words of each record of `values` (T, ...)."""
    weighted = values * data.count.view(-1, *[1] * (values.dim() - 1))
    return _totals(data.record[data.sentence], weighted, records).double().numpy()


def sentences_by_record(data: Corpus, values: Tensor, records: int) -> np.ndarray:
    """Sums (records, ...) over the sentences of each record of `values` (S, ...)."""
    return _totals(data.record, values, records).double().numpy()
