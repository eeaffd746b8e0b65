"""From a row's texts to the embeddings a recommender reads: explain every record, train the autoencoder, encode.

Everything made here is kept under results/<run>/texts, filed by a hash of the data, the source and the code, so that
rows sharing their texts share the work and an interrupted study loses at most one text set.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from lrrecsys_core import paths
from lrrecsys_core.data.simulate import shifted
from lrrecsys_core.data.split import Split
from lrrecsys_core.explain.embeddings import Embedder, embed_texts, vector_cache
from lrrecsys_core.explain.generate import explain_records
from lrrecsys_core.explain.sources import default_source
from lrrecsys_core.models.autoencoder import AutoEncoder, TextCodes, Vocabulary, train_autoencoder
from lrrecsys_core.study.recipes import Texts

RAW_WIDTH, RAW_SPREAD = 64, 0.5


@dataclass(frozen=True)
class TextSet:
    """The sentences of one split, the embedding of each, and which record holds which.

    Attributes
    ----------
    explainer : name shown in tables.
    sentences : (E,) distinct sentences, the first "".
    embeddings : (E, width) float32; zeros for "".
    codes : slot -> (N,) sentence of each record.
    shifted : the same in the shifted environment (test records only), or empty.
    report : what the autoencoder's training showed.
    """

    explainer: str
    sentences: tuple[str, ...]
    embeddings: NDArray[np.float32]
    codes: dict[str, NDArray[np.int32]]
    shifted: dict[str, NDArray[np.int32]]
    report: dict[str, Any]

    def fields(self, codes: dict[str, NDArray[np.int32]]) -> dict[str, NDArray[np.float32]]:
        """Record fields slot -> (N, width)."""
        return {slot: self.embeddings[values] for slot, values in codes.items()}


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
    split: Split, texts: Texts, *, seed: int, epochs: int, with_shift: bool
) -> tuple[TextSet, TextCodes | None]:
    """Explain, learn the code on the training records' sentences, and encode all sentences."""
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
        report: dict[str, Any] = {"embedding": name}
    else:
        coder = train_autoencoder(chosen, counts[training], seed=seed, epochs=epochs)
        embeddings = coder.embed(listed)
        report = coder.facts() | {"words": len(coder.vocabulary.words), "sentences": len(chosen)}
    keep = {slot: told.codes[slot] for slot in slots}
    shift = {slot: moved[slot] for slot in slots} if moved else {}
    return TextSet(told.explainer, tuple(listed), embeddings, keep, shift, report), coder


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


def save_text_set(folder: Path, key: str, made: TextSet, coder: TextCodes | None) -> None:
    """Keep a text set; its last file marks it complete."""
    if coder is not None:
        with paths.replacing(folder / f"{key}.safetensors") as partial:
            tensors = {name: value.contiguous() for name, value in coder.model.state_dict().items()}
            save_file(tensors | {"centre": coder.centre, "spread": coder.spread.reshape(1)}, partial)
        paths.write_json(folder / f"{key}.words.json", list(coder.vocabulary.words))
    codes = {f"{slot}": values for slot, values in made.codes.items()}
    codes |= {f"shifted {slot}": values for slot, values in made.shifted.items()}
    with paths.replacing(folder / f"{key}.codes.parquet") as partial:
        pl.DataFrame(codes).write_parquet(partial)
    with paths.replacing(folder / f"{key}.sentences.parquet") as partial:
        pl.DataFrame({"sentence": made.sentences, "embedding": made.embeddings}).write_parquet(partial)
    paths.write_json(folder / f"{key}.json", {"explainer": made.explainer, "report": made.report})


def load_text_set(folder: Path, key: str) -> TextSet | None:
    """A kept text set, or None."""
    done = folder / f"{key}.json"
    if not done.is_file():
        return None
    about = json.loads(done.read_text(encoding="utf-8"))
    codes = pl.read_parquet(folder / f"{key}.codes.parquet")
    sentences = pl.read_parquet(folder / f"{key}.sentences.parquet")
    shift = {
        name.removeprefix("shifted "): codes[name].to_numpy() for name in codes.columns if name.startswith("shifted ")
    }
    plain = {name: codes[name].to_numpy() for name in codes.columns if not name.startswith("shifted ")}
    return TextSet(
        about["explainer"],
        tuple(sentences["sentence"].to_list()),
        np.stack(sentences["embedding"].to_list()).astype(np.float32),
        plain,
        shift,
        about["report"],
    )


def load_coder(folder: Path, key: str) -> TextCodes:
    """The autoencoder of a kept text set, for sentences written later."""
    words = json.loads((folder / f"{key}.words.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / f"{key}.safetensors")
    centre, spread = tensors.pop("centre"), tensors.pop("spread")[0]
    model = AutoEncoder(len(words))
    model.load_state_dict(tensors)
    facts = json.loads((folder / f"{key}.json").read_text(encoding="utf-8"))["report"]
    known = {name: facts[name] for name in TextCodes.__dataclass_fields__ if name in facts}
    coder = TextCodes(model, Vocabulary(tuple(words)), **known)
    coder.centre, coder.spread = centre, torch.as_tensor(spread)
    return coder
