"""From a row's texts to the embeddings a recommender reads: explain every record, train the autoencoder, encode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrrecsys_core.data.simulate import shifted
from lrrecsys_core.data.split import Split
from lrrecsys_core.explain.embeddings import Embedder, embed_texts, vector_cache
from lrrecsys_core.explain.generate import explain_records
from lrrecsys_core.explain.sources import default_source
from lrrecsys_core.models.autoencoder import TextCodes, collapsed, train_autoencoder
from lrrecsys_core.models.whitening import Whitening
from lrrecsys_core.rows import Texts

RAW_WIDTH, RAW_SPREAD = 64, 0.5
PAPER_RATE = 0.1  # App 10.1


@dataclass(frozen=True)
class TextSet:
    """The sentences of one split, the embedding of each, and which record holds which.

    Attributes
    ----------
    explainer : name shown in tables.
    sentences : (E,) distinct sentences, the first "".
    embeddings : (E, width) as they come, codes in float64, raw vectors in float32; zeros for "".
    codes : slot -> (N,) sentence of each record.
    shifted : the same in the shifted environment (test records only), or empty.
    maps : slot -> whitening on its training records, through which networks read the slot.
    report : what the autoencoder's training showed; ``note`` is printed with the rows that read the set.
    llm : the LLM that wrote the sentences, or "".
    """

    explainer: str
    sentences: tuple[str, ...]
    embeddings: NDArray[np.floating]
    codes: dict[str, NDArray[np.int32]]
    shifted: dict[str, NDArray[np.int32]]
    maps: dict[str, Whitening]
    report: dict[str, Any]
    llm: str = ""

    def fields(self, codes: dict[str, NDArray[np.int32]], *, whitened: bool = True) -> dict[str, NDArray[np.float32]]:
        """Record fields slot -> (N, width)."""
        if not whitened:
            return {slot: self.embeddings[values].astype(np.float32) for slot, values in codes.items()}
        return {slot: self.maps[slot](self.embeddings, self._there)[values] for slot, values in codes.items()}

    @property
    def _there(self) -> NDArray[np.bool_]:
        """(E,) whether a sentence is one."""
        return np.array([bool(sentence) for sentence in self.sentences])


def shifted_codes(split: Split, texts: Texts, sentences: dict[str, int], seed: int) -> dict[str, NDArray[np.int32]]:
    """Sentences of the test records when the spurious attributes of all items follow another environment.

    New sentences are appended to `sentences`. The reasoner is the one of the original environment.
    """
    elsewhere = replace(split, dataset=shifted(split.dataset, seed))
    llm = (texts.source or default_source(split.dataset)).reasoner(split)
    told = explain_records(elsewhere, llm, texts.variant, records=split.test)
    place = np.array([sentences.setdefault(sentence, len(sentences)) for sentence in told.sentences], dtype=np.int32)
    return {slot: place[codes] for slot, codes in told.codes.items()}


def make_text_set(
    split: Split, texts: Texts, *, seed: int, epochs: int, with_shift: bool, strict: bool = False
) -> tuple[TextSet, TextCodes | None]:
    """Explain, learn the code on the training records' sentences, and encode all sentences.

    `strict` trains the autoencoder as the paper states, see `_strict_codes`.
    """
    source = texts.source or default_source(split.dataset)
    told = source.explanations(split, texts.variant)
    sentences = {sentence: number for number, sentence in enumerate(told.sentences)}
    moved = shifted_codes(split, texts, sentences, seed) if with_shift else {}
    slots = [slot for slot in texts.slots if slot in told.codes]
    seen = np.concatenate([told.codes[slot][split.train] for slot in slots])
    counts = np.bincount(seen[seen > 0], minlength=len(sentences))
    training = np.flatnonzero(counts)
    listed = list(sentences)
    chosen = [listed[k] for k in training]
    coder = None
    if texts.raw:
        embeddings, name = raw_vectors(listed, chosen, source.embedder())
        report: dict[str, Any] = {"note": f"raw text vectors: {name}"}
    else:
        note = ""
        if strict:
            coder, note = _strict_codes(chosen, counts[training], seed, epochs)
        else:
            coder = train_autoencoder(chosen, counts[training], seed=seed, epochs=epochs)
        embeddings = coder.embed(listed)
        report = coder.facts() | {"words": len(coder.vocabulary.words), "sentences": len(chosen), "note": note}
    keep = {slot: told.codes[slot] for slot in slots}
    shift = {slot: moved[slot] for slot in slots} if moved else {}
    maps = {slot: Whitening.of(embeddings[said[said > 0]]) for slot in slots for said in [keep[slot][split.train]]}
    return TextSet(told.explainer, tuple(listed), embeddings, keep, shift, maps, report, source.llm), coder


def _strict_codes(sentences: list[str], counts: NDArray[np.int64], seed: int, epochs: int) -> tuple[TextCodes, str]:
    """The autoencoder at the paper's rate for all its epochs; where its code collapses, at the chosen rate instead.

    Returns
    -------
    The codes, and what happened at the paper's rate, in words.
    """
    stated = train_autoencoder(
        sentences, counts, seed=seed, rates=(PAPER_RATE,), epochs=epochs, early_stop=False, check=False
    )
    reason = collapsed(stated, len(sentences))
    if not reason:
        return stated, f"autoencoder at the paper's rate {PAPER_RATE:g}"
    coder = train_autoencoder(sentences, counts, seed=seed, epochs=epochs, early_stop=False)
    return coder, f"autoencoder at {coder.lr:g}, since at the paper's rate {PAPER_RATE:g} its code collapsed ({reason})"


def raw_vectors(
    sentences: list[str], training: list[str], embedder: Embedder | None
) -> tuple[NDArray[np.float32], str]:
    """Text vectors (E, width) that skip the autoencoder (Ablation 2), and their name.

    Without an embedder TF-IDF reduced by a truncated SVD, both fitted on training sentences, stands in for an LLM's own
    embeddings, and the row says so.
    """
    if embedder is not None:
        vectors = embed_texts(sentences, embedder, cache=str(vector_cache()))
        vectors[[not sentence for sentence in sentences]] = 0.0
        return vectors / max(float(vectors.std()), 1e-6) * RAW_SPREAD, embedder.name
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), max_features=20_000)
    learned = vectorizer.fit_transform(training)
    width = max(1, min(RAW_WIDTH, learned.shape[1] - 1, learned.shape[0]))
    reducer = TruncatedSVD(width, random_state=0).fit(learned)
    out = np.zeros((len(sentences), RAW_WIDTH), dtype=np.float32)
    out[:, :width] = reducer.transform(vectorizer.transform(sentences))
    return out / max(float(out.std()), 1e-6) * RAW_SPREAD, "TF-IDF text vectors (no LLM embedding)"
