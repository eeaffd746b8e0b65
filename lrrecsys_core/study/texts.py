"""From a row's texts to the embeddings a recommender reads: explain every record, train the autoencoder, encode."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lrrecsys_core.data.simulate import shifted
from lrrecsys_core.data.split import Split
from lrrecsys_core.errors import NothingToRead
from lrrecsys_core.explain.checks import SAME_TO_ALL, same_to_all
from lrrecsys_core.explain.embeddings import Embedder, embed_texts, vector_cache
from lrrecsys_core.explain.generate import explain_records
from lrrecsys_core.explain.sources import default_source
from lrrecsys_core.models.autoencoder import TextCodes, collapsed, complain_if_collapsed, train_autoencoder
from lrrecsys_core.models.whitening import Whitening, condition, far, spectrum
from lrrecsys_core.rows import Texts

RAW_WIDTH, RAW_SPREAD = 64, 0.5
PAPER_RATE = 0.1  # App 10.1
Seen = dict[str, NDArray[np.int32]]  # slot -> sentences of its training records that have one


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
    report : what the autoencoder's training showed; per slot the ``spectrum`` of the training records' codes and its
        ``condition`` number (None: infinite); how many test records are ``far`` from them in some slot once whitened;
        ``note`` is printed with the rows that read the set.
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

    `strict` trains the autoencoder as the paper states, see `_codes`.
    """
    source = texts.source or default_source(split.dataset)
    told = source.explanations(split, texts.variant)
    sentences = {sentence: number for number, sentence in enumerate(told.sentences)}
    moved = shifted_codes(split, texts, sentences, seed) if with_shift else {}
    slots = [slot for slot in texts.slots if slot in told.codes]
    seen = {slot: said[said > 0] for slot in slots for said in [told.codes[slot][split.train]]}
    counts = np.bincount(np.concatenate(list(seen.values())), minlength=len(sentences))
    listed = list(sentences)
    same = told_the_same(listed, seen)
    coder: TextCodes | None = None
    embeddings: NDArray[np.floating]
    if texts.raw:
        embeddings, name = raw_vectors(listed, [listed[k] for k in np.flatnonzero(counts)], source.embedder())
        notes = [f"raw text vectors: {name}"]
        report: dict[str, Any] = {}
    else:
        coder, codes, notes = _codes(listed, counts, seen, same, seed, epochs, strict)
        embeddings = codes
        report = coder.facts() | {"words": len(coder.vocabulary.words), "sentences": int((counts > 0).sum())}
        report |= _shape(codes, seen)
    # Of a programme it is noted only where its code says little: its row tells how much it knows.
    notes += list(same.values()) if source.llm else []
    report["note"] = "; ".join(dict.fromkeys(filter(None, notes)))
    keep = {slot: told.codes[slot] for slot in slots}
    shift = {slot: moved[slot] for slot in slots} if moved else {}
    maps = {slot: Whitening.of(embeddings[said]) for slot, said in seen.items()}
    made = TextSet(told.explainer, tuple(listed), embeddings, keep, shift, maps, report, source.llm)
    tested = made.fields({slot: said[split.test] for slot, said in keep.items()})
    report["far"] = far(np.concatenate(list(tested.values()), axis=1))
    return made, coder


def told_the_same(sentences: list[str], seen: Seen) -> dict[str, str]:
    """The slots in which nearly every training record is told one of ten sentences, with a note that says so."""
    found = {}
    for slot, said in seen.items():
        share = same_to_all(Counter(sentences[k] for k in said.tolist()))
        if share > SAME_TO_ALL:
            found[slot] = f"nearly everybody is told the same ({slot}): {share:.0%} on ten sentences"
    return found


def _codes(
    sentences: list[str], counts: NDArray[np.int64], seen: Seen, same: dict[str, str], seed: int, epochs: int,
    strict: bool,
) -> tuple[TextCodes, NDArray[np.float64], list[str]]:  # fmt: skip
    """The autoencoder of the sentences that occur (`counts`), the codes (E, 8) of all of them, and notes on it.

    `strict` trains it at the paper's rate for all its epochs; where its code collapses, at the chosen rate instead. In
    a slot where nearly everybody is told the `same`, a code that says little is what the texts are: it is noted.

    Raises
    ------
    InputError
        If the code is not finite, or collapsed in some other slot.
    """
    training, note = np.flatnonzero(counts), ""
    data = [sentences[k] for k in training], counts[training]
    if strict:
        coder = train_autoencoder(*data, seed=seed, rates=(PAPER_RATE,), epochs=epochs, early_stop=False)
        codes = _embedded(coder, sentences)
        if not (reasons := _collapsed(coder, codes, seen)):
            return coder, codes, [f"autoencoder at the paper's rate {PAPER_RATE:g}"]
        note = f", since at the paper's rate {PAPER_RATE:g} its code collapsed ({next(iter(reasons.values()))})"
    coder = train_autoencoder(*data, seed=seed, epochs=epochs, early_stop=not strict)
    codes = _embedded(coder, sentences)
    reasons = _collapsed(coder, codes, seen)
    finite = np.isfinite(coder.validation_loss) and np.isfinite(codes).all()
    serious = (reason for slot, reason in reasons.items() if slot not in same or not finite)
    complain_if_collapsed(coder, next(serious, ""))
    return coder, codes, [f"autoencoder at {coder.lr:g}{note}" if note else "", *(same[slot] for slot in reasons)]


def _embedded(coder: TextCodes, sentences: list[str]) -> NDArray[np.float64]:
    """The codes (E, 8) of sentences, in the network's own units where a single training sentence has no spread."""
    if not torch.isfinite(coder.spread):
        coder.spread = torch.ones_like(coder.spread)
    return coder.embed(sentences)


def _collapsed(coder: TextCodes, codes: NDArray[np.float64], seen: Seen) -> dict[str, str]:
    """Why the codes (E, 8) carry nothing over the training records, by slot, where they do not."""
    if not np.isfinite(codes).all():
        return dict.fromkeys(seen, "it is not finite")
    reasons = {slot: collapsed(coder, codes[said], len(np.unique(said))) for slot, said in seen.items() if len(said)}
    return {slot: f"slot {slot}: {reason}" for slot, reason in reasons.items() if reason}


def _shape(codes: NDArray[np.float64], seen: Seen) -> dict[str, Any]:
    """Spectrum and condition number of each slot's codes over the training records."""
    spectra = {slot: spectrum(codes[said]) for slot, said in seen.items()}
    numbers = {slot: condition(variances) for slot, variances in spectra.items()}
    return {
        "spectrum": {slot: variances.tolist() for slot, variances in spectra.items()},
        "condition": {slot: number if np.isfinite(number) else None for slot, number in numbers.items()},
    }


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
    try:
        learned = vectorizer.fit_transform(training)
    except ValueError as error:  # no word in any of them
        raise NothingToRead("Ablation 2 has no word to learn from in the training records' texts.") from error
    width = max(1, min(RAW_WIDTH, learned.shape[1] - 1, learned.shape[0]))
    reducer = TruncatedSVD(width, random_state=0).fit(learned)
    out = np.zeros((len(sentences), RAW_WIDTH), dtype=np.float32)
    out[:, :width] = reducer.transform(vectorizer.transform(sentences))
    return out / max(float(out.std()), 1e-6) * RAW_SPREAD, "TF-IDF text vectors (no LLM embedding)"
