"""Where the texts of a row come from: small classes that are asked for what is needed and never told apart elsewhere.

`Simulated` and `Metadata` answer prompts by a programme, `Extractive` quotes, `Imported` takes what a data set brings,
`Stored` reads what an LLM wrote, `Given` what somebody has already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.simulate import knowledge, market_truth, record_attributes
from lrrecsys_core.data.split import Split, make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.answers import Answer
from lrrecsys_core.explain.clients.formats import EMBEDDED
from lrrecsys_core.explain.embeddings import Embedder, hidden_states_of, needed_encoder, sentence_encoder, vector_cache
from lrrecsys_core.explain.explanations import Explanations
from lrrecsys_core.explain.extractive import extractive_explanations
from lrrecsys_core.explain.frozen import answers_digest
from lrrecsys_core.explain.given import Given, is_given
from lrrecsys_core.explain.imported import imported_explanations
from lrrecsys_core.explain.named_stores import STORES_VARIABLE, NamedStore, programmes_first, store_of, stores
from lrrecsys_core.explain.prompt_sets import PromptSet
from lrrecsys_core.explain.prompts import VARIANTS
from lrrecsys_core.explain.reasoners import MetadataExplainer, SimulatedReasoner
from lrrecsys_core.explain.recorded import (
    EXPECTED,
    recorded_answers,
    recorded_explanations,
    recorded_model,
    recorded_profiles,
    stored_variants,
)
from lrrecsys_core.explain.source import Source
from lrrecsys_core.theory.markets import market_attributes
from lrrecsys_core.theory.selection import lasso_support

RANDOM_SEED = 11
ENVIRONMENT_SEED = 20_000  # apart from settling seeds (0-9), reported markets (from 200) and theory (from 10,000)
MOST_ENVIRONMENTS = 16
METHOD = {"eills": "EILLS", "pooled": "pooled regression"}


@dataclass(frozen=True)
class Simulated(Source):
    """A reasoner on a simulated market, with stated knowledge.

    Attributes
    ----------
    share, spurious : share of S* it knows, and how many spurious attributes (-1: all of them and nothing else).
    pick : where its knowledge comes from: S* itself, a random draw of as many attributes, a Lasso on the target
        market's own training records, or EILLS or pooled regression on other markets.
    environments : for the last two, how many other markets.
    """

    share: float = 0.8
    spurious: int = 3
    pick: Literal["truth", "random", "lasso", "eills", "pooled"] = "truth"
    environments: int = 0
    answers_prompts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.environments > MOST_ENVIRONMENTS:
            raise InputError(f"{self.environments} other markets would overlap: take at most {MOST_ENVIRONMENTS}.")

    def available(self, dataset: Dataset, variant: str = "full", fraction: float = 1.0) -> bool:
        """As `Source.available`: on markets, whose truth is known."""
        return dataset.simulated

    def key(self) -> dict[str, Any]:
        """As `Source.key`."""
        return super().key() | asdict(self)

    def reasoner(self, split: Split) -> SimulatedReasoner:
        """As `Source.reasoner`, on simulated markets only."""
        truth = market_truth(split.dataset)
        if self.pick == "random":
            rng = np.random.default_rng(RANDOM_SEED)
            chosen = rng.permutation(truth.attributes)[: len(truth.important)].tolist()
            return SimulatedReasoner(chosen, "simulated reasoner (random attributes)")
        if self.pick == "lasso":
            features = record_attributes(split, truth.attributes)[split.train]
            chosen = [truth.attributes[k] for k in lasso_support(features, split.target[split.train].astype(float))]
            told = "attributes from a Lasso on this market's training records"
            return SimulatedReasoner(chosen, f"simulated reasoner ({told})")
        if self.pick in METHOD:
            others = f"{self.environments} other market" + "s" * (self.environments > 1)
            told = f"attributes that {METHOD[self.pick]} found in {others}"
            return SimulatedReasoner(self._from_environments(split.dataset), f"simulated reasoner ({told})")
        spurious = len(truth.spurious) if self.spurious < 0 else self.spurious
        known = f"{self.share:.0%} of S*" + (f" and {spurious} spurious attributes" if spurious else "")
        chosen = knowledge(truth, self.share, spurious, fill=self.spurious >= 0)
        return SimulatedReasoner(chosen, f"simulated reasoner (knows {known})")

    def _from_environments(self, dataset: Dataset) -> tuple[str, ...]:
        """What EILLS or pooled regression takes for S* in other markets of the domain, drawn anew for every market."""
        first = ENVIRONMENT_SEED + MOST_ENVIRONMENTS * (int(dataset.fingerprint[:12], 16) % 4096)
        return market_attributes(METHOD[self.pick], dataset.name, range(first, first + self.environments))


@dataclass(frozen=True)
class Metadata(Source):
    """The metadata explainer: phrases of items' details that candidate and history share."""

    answers_prompts: ClassVar[bool] = True

    def available(self, dataset: Dataset, variant: str = "full", fraction: float = 1.0) -> bool:
        """As `Source.available`: where items have texts; markets have reasoners of stated knowledge instead."""
        return not dataset.simulated and dataset.item_text

    def reasoner(self, split: Split) -> MetadataExplainer:
        """As `Source.reasoner`."""
        return MetadataExplainer()


@dataclass(frozen=True)
class Imported(Source):
    """Item-level texts that come with the data set."""

    @property
    def shuffled_within(self) -> Literal["item", "user"]:
        """As `Source.shuffled_within`."""
        return "user"

    def explanations(self, split: Split, variant: str = "full") -> Explanations:
        """As `Source.explanations`."""
        return imported_explanations(split)

    def available(self, dataset: Dataset, variant: str = "full", fraction: float = 1.0) -> bool:
        """As `Source.available`."""
        return dataset.texts is not None and variant == "full"


@dataclass(frozen=True)
class Extractive(Source):
    """Statements that exist already, chosen by the sentence encoder that LRRECSYS_ENCODER names."""

    def explanations(self, split: Split, variant: str = "full") -> Explanations:
        """As `Source.explanations`."""
        return extractive_explanations(split, needed_encoder(), cache=str(vector_cache()))

    def available(self, dataset: Dataset, variant: str = "full", fraction: float = 1.0) -> bool:
        """As `Source.available`: with an encoder and statements to choose from."""
        has_statements = dataset.texts is not None or dataset.reviews is not None
        return sentence_encoder() is not None and has_statements and variant == "full"

    def key(self) -> dict[str, Any]:
        """As `Source.key`: with the encoder, since it chooses."""
        encoder = sentence_encoder()
        return super().key() | {"encoder": encoder and encoder.identity}


@dataclass(frozen=True)
class Stored(Source):
    """Answers of an LLM, read from the store that LRRECSYS_STORES names for it, or that comes with the repository.

    Attributes
    ----------
    model : short name of one of the paper's LLMs, or another's identifier.
    """

    model: str
    programmed: ClassVar[bool] = False

    @property
    def llm(self) -> str:
        """As `Source.llm`."""
        return self.model

    @property
    def store(self) -> NamedStore:
        """Where the texts lie.

        Raises
        ------
        InputError
            If the environment names no store for this LLM.
        """
        found = store_of(self.model)
        if found is None:
            raise InputError(f"no store of {self.model} is at hand: name one in {STORES_VARIABLE}.")
        return found

    @property
    def prompts(self) -> PromptSet:
        """As `Source.prompts`: the set the store was asked in."""
        return self.store.prompts

    def explanations(self, split: Split, variant: str = "full") -> Explanations:
        """As `Source.explanations`.

        Raises
        ------
        InputError
            If the store was not asked about these records in this split: its prompts hold their histories.
        """
        place, prompts = self.store.path, self.prompts
        if variant not in stored_variants(split, place, self.model, prompts=prompts):
            raise InputError(
                f"the store of {self.model} was not asked for {variant!r} about {split.dataset.name} as this run cuts "
                "it: 'lrrecsys explain' asks about the default cut, so take a profile that keeps it, or another store."
            )
        return recorded_explanations(split, place, self.model, variant, prompts=prompts)

    def available(self, dataset: Dataset, variant: str = "full", fraction: float = 1.0) -> bool:
        """As `Source.available`: once every record was asked about."""
        return store_of(self.model) is not None and variant in _stored(dataset, self.model, fraction)

    def key(self) -> dict[str, Any]:
        """As `Source.key`: with all that the store answers, and the prompts it is read with."""
        held = answers_digest(self.store.path)
        return super().key() | {"model": self.model, "store": held, "prompts": self.prompts.digest}

    def answers(self, split: Split, variant: str = "full") -> Iterator[Answer]:
        """As `Source.answers`: those stored, before second tries."""
        return recorded_answers(split, self.store.path, self.model, variant, prompts=self.prompts)

    def profiles(self, split: Split) -> list[str]:
        """As `Source.profiles`: those stored, an item's name where there is none."""
        return recorded_profiles(split, self.store.path, self.model, prompts=self.prompts)

    def embedder(self) -> Embedder | None:
        """As `Source.embedder`: the writing LLM's own hidden states where its weights lie on this machine."""
        return hidden_states_of(recorded_model(self.store.path, self.model)) or super().embedder()


def named_source(writer: str) -> Source:
    """Where the texts are read from of a writer named in LRRECSYS_STORES: an imported table, or an LLM's store."""
    store = stores().get(writer)
    return Given(writer, store.path) if store and is_given(store.path) else Stored(writer)


def serving(dataset: Dataset) -> set[str]:
    """Writers named in LRRECSYS_STORES that wrote something which rows on a data set read."""
    found = {name: named_source(name) for name in stores()}
    return {
        name
        for name, source in found.items()
        if any(source.available(dataset, variant) for variant in (source.form[0], *VARIANTS, EXPECTED))
    }


def explaining() -> list[str]:
    """Writers named in LRRECSYS_STORES whose texts are reasons, not ratings, which the direct row reads."""
    return [writer for writer in stores() if named_source(writer).form[0] != "direct"]


def writers() -> list[Source]:
    """Every real writer whose texts are at hand: those named, and embedded models whose store is in the repository."""
    shipped = [model for model in EMBEDDED if model not in stores() and store_of(model)]
    return [*map(named_source, stores()), *map(Stored, shipped)]


_STORED: dict[tuple[object, ...], frozenset[str]] = {}


def _stored(dataset: Dataset, model: str, fraction: float) -> frozenset[str]:
    """The variants for which a model's store was asked about every record of a data set."""
    store = Stored(model).store
    place, prompts = Path(store.path), store.prompts
    key = (place, place.stat().st_mtime_ns, model, prompts.digest, dataset.fingerprint, fraction)
    if key not in _STORED:
        _STORED[key] = stored_variants(make_split(dataset, train_fraction=fraction), place, model, prompts=prompts)
    return _STORED[key]


def default_source(dataset: Dataset, variant: str = "full", fraction: float = 1.0) -> Source:
    """Where the texts of a row come from that names no source.

    From the first writer in LRRECSYS_STORES with the full texts of the data set, and then nowhere else: rows that are
    compared must not differ in who wrote their texts, so those whose variant it lacks stay "not run". Without such a
    writer, from the first one with this variant. With "metadata" before all writers, from none of them.
    """
    if programmes_first():
        return source_without_llm(dataset)
    named = [named_source(writer) for writer in stores()]
    for wanted, share in (("full", 1.0), (variant, fraction)):
        for source in named:
            if source.available(dataset, wanted, share) and source.complete(dataset):
                return source
    return source_without_llm(dataset)


def source_without_llm(dataset: Dataset) -> Source:
    """Markets: a reasoner that knows 80% of S* and three spurious attributes; real data: texts imported for every item,
    or else the metadata explainer."""
    if dataset.simulated:
        return Simulated()
    whole = dataset.texts is not None and set(dataset.items["item_id"]) <= set(dataset.texts["item_id"])
    return Imported() if whole else Metadata()
