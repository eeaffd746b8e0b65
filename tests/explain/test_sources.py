"""Each source of texts: when it is available, what it says, and that its key moves with what decides its texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_models import plain_model

from lrrecsys_core import rows
from lrrecsys_core.data.dataset import Dataset, make_dataset
from lrrecsys_core.data.simulate import market_truth, simulate_market
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.transformers_llm import TransformersLLM
from lrrecsys_core.explain.embeddings import HiddenStates, SentenceEncoder, hidden_states_of
from lrrecsys_core.explain.generate import explain_records
from lrrecsys_core.explain.llm import Request, Result
from lrrecsys_core.explain.prompts import VARIANTS
from lrrecsys_core.explain.reasoners import MetadataExplainer
from lrrecsys_core.explain.source import Source
from lrrecsys_core.explain.sources import (
    MOST_ENVIRONMENTS,
    Extractive,
    Imported,
    Metadata,
    Simulated,
    Stored,
    default_source,
    source_without_llm,
    stores,
)
from lrrecsys_core.explain.store import ExplanationStore
from lrrecsys_core.rows import Texts
from lrrecsys_core.study.fingerprints import content_hash
from lrrecsys_core.study.texts import make_text_set


@pytest.fixture(scope="module")
def market() -> Dataset:
    return simulate_market("hotels", 3)


@pytest.fixture(scope="module")
def real() -> Dataset:
    """Five users who rate six films in turn; texts and reviews are added where a test wants them."""
    records = [
        {"user_id": f"u{user}", "item_id": f"f{place}", "rating": 1.0 + (user + place) % 5, "timestamp": place}
        for user in range(5)
        for place in range(6)
    ]
    names = [f"f{place}" for place in range(6)]
    items = pl.DataFrame({"item_id": names, "name": names, "details": ["Drama; 1990s", "Comedy"] * 3})
    return make_dataset("films", "movie", pl.DataFrame(records), items)


def texts_of(dataset: Dataset, items: int) -> Dataset:
    some = dataset.items["item_id"].head(items)
    return replace(dataset, texts=pl.DataFrame({"item_id": some, "positive": "Warm.", "negative": "Long."}))


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LRRECSYS_STORES", "LRRECSYS_ENCODER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LRRECSYS_ROOT", str(tmp_path))


class Writer:
    """Stands in for an LLM: its own identity in every key, a programme's answers."""

    def __init__(self, model: str) -> None:
        self.name = self.model = model

    def complete(self, requests: Iterator[Request]) -> Iterator[Result]:
        return MetadataExplainer().complete(requests)


def write_store(place: Path, split: Split, model: str, *variants: str) -> Path:
    with ExplanationStore(place) as store:
        for variant in variants:
            explain_records(split, Writer(model), variant, store=store)
    return place


def test_reasoners_know_what_the_source_says(market: Dataset) -> None:
    split, truth = make_split(market), market_truth(market)
    assert set(Simulated(share=1.0, spurious=0).reasoner(split).knowledge) == set(truth.important)
    assert set(Simulated(share=0.0, spurious=-1).reasoner(split).knowledge) == set(truth.spurious)
    drawn = Simulated(pick="random", share=1.0, spurious=0).reasoner(split)
    assert len(drawn.knowledge) == len(truth.important) and set(drawn.knowledge) <= set(truth.attributes)
    assert "Lasso" in Simulated(pick="lasso").reasoner(split).name
    elsewhere = Simulated(pick="pooled", environments=1).reasoner(split)
    assert elsewhere.name == "simulated reasoner (attributes that pooled regression found in 1 other market)"


@pytest.mark.parametrize("variant", ["full", "aspects"])
def test_a_programmes_explanations_are_its_answers_to_the_prompts(market: Dataset, real: Dataset, variant: str) -> None:
    for source, dataset in ((Simulated(), market), (Metadata(), real)):
        split = make_split(dataset)
        told = source.explanations(split, variant)
        answered = explain_records(split, source.reasoner(split), variant)
        assert (told.explainer, told.fingerprint) == (answered.explainer, answered.fingerprint)


def test_where_each_source_is_available(market: Dataset, real: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    with_texts = texts_of(real, 6)
    assert Simulated().available(market) and not Simulated().available(real)
    assert Metadata().available(real) and not Metadata().available(market)
    assert Imported().available(with_texts) and not Imported().available(real)
    assert not Imported().available(with_texts, "aspects"), "what exists already comes in one form"
    assert not Extractive().available(with_texts)
    monkeypatch.setenv("LRRECSYS_ENCODER", "an-encoder")
    assert Extractive().available(with_texts) and not Extractive().available(real)
    assert not Stored("gpt-2").available(real)


def test_what_answers_no_prompts_says_so(real: Dataset) -> None:
    split = make_split(texts_of(real, 6))
    for source in (Imported(), Extractive()):
        assert not source.answers_prompts and source.profiles(split) is None
        with pytest.raises(InputError, match="no answers to prompts"):
            source.reasoner(split)
    profiles = Metadata().profiles(split)
    assert profiles is not None and profiles[0] == "Suits people who look for Drama; 1990s."
    with pytest.raises(InputError, match="LRRECSYS_ENCODER"):
        Extractive().explanations(split)
    with pytest.raises(InputError, match=r"no store of gpt-2 .* LRRECSYS_STORES"):
        Stored("gpt-2").explanations(split)


def test_only_stored_texts_are_an_llms(real: Dataset) -> None:
    assert Stored("gpt-2").llm == "gpt-2" and not Stored("gpt-2").programmed
    for source in (Simulated(), Metadata(), Imported(), Extractive()):
        assert source.llm == "" and source.programmed


def key(source: Source) -> str:
    return content_hash(json.loads(json.dumps(source.key())))


def test_keys_tell_sources_apart_by_each_of_their_fields() -> None:
    sources = [
        Simulated(), Simulated(share=0.5), Simulated(spurious=0), Simulated(pick="random"), Simulated(pick="lasso"),
        Simulated(pick="eills", environments=2), Simulated(pick="eills", environments=4),
        Simulated(pick="pooled", environments=2), Metadata(), Imported(), Extractive(),
    ]  # fmt: skip
    assert len({key(source) for source in sources}) == len(sources)
    assert key(Simulated()) == key(Simulated(share=0.8))
    with pytest.raises(InputError, match="at most 16"):
        Simulated(pick="eills", environments=17)
    assert max(rows.ENVIRONMENTS) <= MOST_ENVIRONMENTS


def test_the_extractive_key_follows_the_encoder_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unset = key(Extractive())
    monkeypatch.setenv("LRRECSYS_ENCODER", "by-name")
    named = key(Extractive())
    weights = {}
    for folder in ("a", "b"):
        (tmp_path / folder / "model").mkdir(parents=True)
        (tmp_path / folder / "model" / "weights").write_text(folder)
        monkeypatch.setenv("LRRECSYS_ENCODER", str(tmp_path / folder / "model"))
        weights[folder] = key(Extractive())
    assert len({unset, named, *weights.values()}) == 4, "two folders of one name hold different encoders"


def test_a_stored_key_follows_what_the_store_holds(
    real: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = make_split(real)
    place = write_store(tmp_path / "s.sqlite", split, "my/model", "full")
    monkeypatch.setenv("LRRECSYS_STORES", f"my/model={place}")
    first = key(Stored("my/model"))
    elsewhere = write_store(tmp_path / "t.sqlite", split, "my/model", "full", "aspects")
    monkeypatch.setenv("LRRECSYS_STORES", f"my/model={elsewhere}")
    assert key(Stored("my/model")) != first
    elsewhere.write_bytes(place.read_bytes())
    assert key(Stored("my/model")) == first, "where it lies is no content"


def test_a_store_is_available_for_the_variants_it_was_asked(
    real: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = make_split(real)
    monkeypatch.setenv("LRRECSYS_STORES", f"my/model={write_store(tmp_path / 's', split, 'my/model', 'full')}")
    source = Stored("my/model")
    assert [variant for variant in VARIANTS if source.available(real, variant)] == ["full"]
    assert not source.available(real, "full", 0.5)
    told = source.explanations(split)
    assert told.explainer == "my/model, prompts house"
    assert told.fingerprint == Metadata().explanations(split).fingerprint
    assert source.profiles(split) == Metadata().profiles(split)


def test_rows_that_name_no_source_share_one_writer(
    market: Dataset, real: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = make_split(real)
    assert default_source(market) == source_without_llm(market) == Simulated()
    assert source_without_llm(texts_of(real, 5)) == Metadata() and source_without_llm(texts_of(real, 6)) == Imported()
    one = write_store(tmp_path / "one", split, "one", "aspects")
    two = write_store(tmp_path / "two", split, "two", "full")
    monkeypatch.setenv("LRRECSYS_STORES", f"one={one},two={two}")
    assert default_source(real) == default_source(real, "aspects") == Stored("two")
    assert not default_source(real, "aspects").available(real, "aspects"), "rather no row than another's texts"
    monkeypatch.setenv("LRRECSYS_STORES", f"one={one}")
    assert default_source(real, "aspects") == Stored("one") and default_source(real) == Metadata()


def test_raw_vectors_are_the_writing_models_own_hidden_states_where_it_is_at_hand(
    real: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, folder = make_split(real), plain_model(tmp_path / "model")
    place = write_store(tmp_path / "s", split, folder, "full")
    other = write_store(tmp_path / "t", split, "far/away@1", "full")
    monkeypatch.setenv("LRRECSYS_STORES", f"{folder}={place},far/away={other}")
    made, _ = make_text_set(split, Texts(Stored(folder), raw=True), seed=0, epochs=1, with_shift=False)
    assert made.report["note"].startswith(f"raw text vectors: mean last hidden states of {folder}")
    assert made.embeddings.shape == (len(made.sentences), 16) and not made.embeddings[0].any()
    own = HiddenStates(TransformersLLM(folder)).embed(made.sentences[1:])
    np.testing.assert_allclose(made.embeddings[1:] / made.embeddings[1, 0], own / own[0, 0], rtol=1e-3)
    assert hidden_states_of("far/away@1") is None and Stored("far/away").embedder() is None
    elsewhere, _ = make_text_set(split, Texts(Stored("far/away"), raw=True), seed=0, epochs=1, with_shift=False)
    assert elsewhere.report["note"].startswith("raw text vectors: TF-IDF text vectors (no LLM embedding)")
    monkeypatch.setenv("LRRECSYS_ENCODER", "an-encoder")
    assert Stored("far/away").embedder() == Metadata().embedder() == SentenceEncoder("an-encoder")
    assert Stored(folder).embedder() == HiddenStates(TransformersLLM(folder))


@pytest.mark.parametrize(
    ("given", "said"), [("gpt-2", "write MODEL=PATH"), ("gpt-9=x", "among llama-3.1"), ("gpt-2=/nowhere", "nothing is")]
)
def test_stores_are_named_clearly_or_refused(given: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRRECSYS_STORES", given)
    with pytest.raises(InputError, match=said):
        stores()
