"""How each row of the tables is computed: which model reads which texts, and what is changed on the way."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lrrecsys_core import rows
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.data.split import make_split
from lrrecsys_core.errors import InputError
from lrrecsys_core.explain.clients.formats import PAPER_LLMS
from lrrecsys_core.explain.frozen import holds, stored_variants
from lrrecsys_core.models.base import Recommender
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.models.ncf import LRRecsysNCF
from lrrecsys_core.models.registry import MODELS

STORES_VARIABLE = "LRRECSYS_STORES"
Shuffle = Literal["", "all", "user", "item"]


@dataclass(frozen=True)
class Source:
    """Where the sentences of a row come from.

    Parameters
    ----------
    kind : ``simulated`` (a reasoner with stated knowledge), ``metadata``, ``imported``, ``extractive`` or ``store``.
    share, spurious : of a simulated reasoner: share of S* it knows, and how many spurious attributes (-1: all of
        them and nothing else).
    pick : where its knowledge comes from: S* itself, a random draw of as many attributes, a Lasso on the target
        market's own training records, or EILLS or pooled regression on other markets.
    environments : for the last two, how many other markets.
    model : of a frozen store: the LLM whose answers are read.
    """

    kind: str = "simulated"
    share: float = 0.8
    spurious: int = 3
    pick: Literal["truth", "random", "lasso", "eills", "pooled"] = "truth"
    environments: int = 0
    model: str = ""


@dataclass(frozen=True)
class Texts:
    """The explanation inputs of a row: a source (None: the data set's default), a prompt variant and the slots read.

    ``raw=True`` skips the autoencoder (Ablation 2).
    """

    source: Source | None = None
    variant: str = "full"
    slots: tuple[str, ...] = ("positive", "negative")
    raw: bool = False


@dataclass(frozen=True)
class Recipe:
    """One row: a model with parameters, its texts, and what is done to data or texts.

    Parameters
    ----------
    model : class to train; None for rows that need no training (`floor`).
    floor : ``mean`` (the training mean), ``biases`` (those every network adds to), ``boosting`` (trees on statistics),
        ``direct`` (the LLM's own number) or "".
    attributes : comparators on markets: give the network ``all`` attributes or the true ``important`` ones as context.
    shuffle : permute the texts over all records, within user or within item.
    fraction : share of the training records kept (Table 3).
    shifted : also evaluate the trained row where the spurious attributes behave differently.
    permuted : also evaluate it with texts permuted over the test records.
    by_construction : unless an LLM wrote its texts, a programme decides how the row comes out, so it is no evidence.
    """

    model: type[Recommender] | None = None
    params: dict[str, Any] = field(default_factory=dict)
    texts: Texts | None = None
    floor: str = ""
    attributes: Literal["", "all", "important"] = ""
    shuffle: Shuffle = ""
    fraction: float = 1.0
    shifted: bool = False
    permuted: bool = False
    by_construction: bool = False


FULL = Texts()
_ONE = ("single",)
# A reasoner that knows nothing of S* still names something; the dial adds no spurious attribute, so that only the
# share of S* changes along it.
_DIAL = {share: Source(share=share / 100, spurious=0) for share in rows.DIAL}


def _lr(texts: Texts | None = FULL, model: type[Recommender] = LRRecsys, **changes: Any) -> Recipe:
    keys = {name: changes.pop(name) for name in list(changes) if name in Recipe.__dataclass_fields__}
    slots = texts.slots if texts else ()
    params: dict[str, Any] = {"slots": slots, **({"source": "raw"} if texts and texts.raw else {}), **changes}
    return Recipe(model, params, texts, **keys)


def _without_texts(model: type[Recommender] = LRRecsys, **changes: Any) -> Recipe:
    return _lr(None, model, **changes)


def _from_markets(pick: Literal["eills", "pooled"], count: int) -> Recipe:
    return _lr(Texts(Source(pick=pick, spurious=0, environments=count)), shifted=True)


RECIPES: dict[str, Recipe] = {
    rows.LR: _lr(shifted=True, permuted=True),
    rows.LETTER: _lr(biases=False),
    **{name: Recipe(model) for name, model in MODELS.items()},
    **{
        rows.without_biases(name): Recipe(MODELS[name], {"biases": False})
        for name in (*rows.BASELINES, rows.COMPARER)
        if name not in rows.NATIVE_BIASES
    },
    **{rows.seeing_own_aspects(name): Recipe(MODELS[name], {"visibility": "oracle"}) for name in rows.READ_ASPECTS},
    rows.GLOBAL_MEAN: Recipe(floor="mean"),
    rows.BIASES: Recipe(floor="biases"),
    rows.BOOSTING: Recipe(floor="boosting"),
    **{rows.at_fraction(rows.LR, p): _lr(fraction=p / 100) for p in rows.FRACTIONS[1:]},
    **{rows.at_fraction(rows.BIASES, p): Recipe(floor="biases", fraction=p / 100) for p in rows.FRACTIONS[1:]},
    **{
        rows.at_fraction(name, p): Recipe(model, fraction=p / 100)
        for name, model in MODELS.items()
        for p in rows.FRACTIONS[1:]
        if name in rows.BASELINES
    },
    **{known.row: _lr(Texts(Source("store", model=name))) for name, known in PAPER_LLMS.items()},
    rows.DIRECT_LLAMA31: Recipe(floor="direct", texts=Texts(Source("store", model="llama-3.1"), "direct", _ONE)),
    rows.NO_PROFILE: _lr(Texts(variant="no_profile"), by_construction=True),
    rows.SUMMARY: _lr(Texts(variant="summary", slots=_ONE), by_construction=True),
    rows.DIRECT: Recipe(floor="direct", texts=Texts(variant="direct", slots=_ONE), by_construction=True),
    rows.METADATA: _lr(Texts(Source("metadata"))),
    rows.EXTRACTIVE: _lr(Texts(Source("extractive"))),
    rows.IMPORTED: _lr(Texts(Source("imported"))),
    **{rows.DIAL[share]: _lr(Texts(source)) for share, source in _DIAL.items()},
    rows.SPURIOUS: _lr(Texts(Source(share=0.0, spurious=-1)), shifted=True),
    rows.ASPECTS_ONLY: _lr(Texts(variant="aspects", slots=_ONE)),
    rows.POSITIVE_ONLY: _lr(Texts(slots=("positive",))),
    rows.GENERAL_ONLY: _lr(Texts(variant="general", slots=_ONE), by_construction=True),
    rows.ABLATION1: _without_texts(slots=("positive", "negative"), source="free"),
    rows.ABLATION2: _lr(Texts(raw=True)),
    rows.ABLATION3: _lr(Texts(variant="alternative"), by_construction=True),
    rows.NCF: _lr(model=LRRecsysNCF),
    rows.NCF_WITHOUT: _without_texts(LRRecsysNCF),
    rows.NO_IDS: _lr(ids=False),
    rows.SHUFFLE_ALL: _lr(shuffle="all"),
    rows.SHUFFLE_USER: _lr(shuffle="user"),
    rows.SHUFFLE_ITEM: _lr(shuffle="item"),
    rows.ALL_ATTRIBUTES: _without_texts(attributes="all", context=True),
    rows.TRUE_ATTRIBUTES: _without_texts(attributes="important", context=True),
    rows.RANDOM_REASONER: _lr(Texts(Source(pick="random", share=1.0, spurious=0))),
    rows.LASSO_REASONER: _lr(Texts(Source(pick="lasso", spurious=0)), shifted=True),
    **{name: _from_markets("eills", count) for count, name in rows.FROM_EILLS.items()},
    **{name: _from_markets("pooled", count) for count, name in rows.FROM_POOLED.items()},
}
NULL_ROWS = (rows.LR, rows.ABLATION1)


def stores() -> dict[str, str]:
    """Stores of real LLMs' texts named in LRRECSYS_STORES, as ``llama-3.1=folder,gpt-2=file.sqlite``: model -> path.

    Raises
    ------
    InputError
        If an entry is not of that form, or names a path where nothing is, or a model that is neither in Table 4 nor
        in the store.
    """
    found = {}
    for entry in filter(None, os.environ.get(STORES_VARIABLE, "").split(",")):
        model, equals, place = entry.partition("=")
        if not equals or not (model in PAPER_LLMS or holds(place, model)):
            raise InputError(
                f"{STORES_VARIABLE} has {entry!r}: write MODEL=PATH with a MODEL among {', '.join(PAPER_LLMS)}, "
                "or one whose answers the store holds."
            )
        if not Path(place).exists():
            raise InputError(
                f"{STORES_VARIABLE} names {place!r} for {model}, where nothing is: freeze its texts first."
            )
        found[model] = str(Path(place).resolve())
    return found


_STORED: dict[tuple[object, ...], frozenset[str]] = {}


def stored(dataset: Dataset, model: str, fraction: float = 1.0) -> frozenset[str]:
    """The variants for which the store named for a model was asked about every record of a data set."""
    place = Path(stores()[model])
    key = (place, place.stat().st_mtime_ns, model, dataset.fingerprint, fraction)
    if key not in _STORED:
        _STORED[key] = stored_variants(make_split(dataset, train_fraction=fraction), place, model)
    return _STORED[key]


def default_source(dataset: Dataset, variant: str = "full", fraction: float = 1.0) -> Source:
    """Where the texts of a row come from that names no source.

    From the first store in LRRECSYS_STORES with the full texts of the data set, and then nowhere else: rows that are
    compared must not differ in who wrote their texts, so those whose variant it lacks stay "not run". Without such a
    store, from the first one with this variant.
    """
    for wanted, share in (("full", 1.0), (variant, fraction)):
        for model in stores():
            if wanted in stored(dataset, model, share):
                return Source("store", model=model)
    return source_without_llm(dataset)


def source_without_llm(dataset: Dataset) -> Source:
    """Markets: a reasoner that knows 80% of S* and three spurious attributes; real data: texts imported for every item,
    or else the metadata explainer."""
    if dataset.simulated:
        return Source()
    whole = dataset.texts is not None and set(dataset.items["item_id"]) <= set(dataset.texts["item_id"])
    return Source("imported" if whole else "metadata")


def runnable(name: str, dataset: Dataset) -> bool:
    """Whether a row can be computed on a data set with what is at hand."""
    row = rows.BY_NAME[name]
    recipe = RECIPES.get(name)
    if recipe is None or (row.markets_only and not dataset.simulated):
        return False
    if dataset.name.startswith(rows.NULL_PREFIX):
        return name in NULL_ROWS
    if recipe.texts is None:
        return True
    variant = recipe.texts.variant
    source = recipe.texts.source or default_source(dataset, variant, recipe.fraction)
    if source.kind == "store":
        return source.model in stores() and variant in stored(dataset, source.model, recipe.fraction)
    if source.kind == "imported":
        return dataset.texts is not None and variant == "full"
    if source.kind == "extractive":
        return bool(os.environ.get("LRRECSYS_ENCODER")) and (dataset.texts is not None or dataset.reviews is not None)
    return source.kind != "metadata" or not dataset.simulated
