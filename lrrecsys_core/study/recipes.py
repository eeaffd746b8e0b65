"""How each row of the tables is computed: which model reads which texts, and what is changed on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from lrrecsys_core import rows
from lrrecsys_core.data.dataset import Dataset
from lrrecsys_core.explain.clients.formats import PAPER_LLMS
from lrrecsys_core.explain.sources import Extractive, Imported, Metadata, Simulated, Source, Stored, default_source
from lrrecsys_core.models.ablations import FreeVectors, LRRecsysNCF, RawVectors, WithoutIds
from lrrecsys_core.models.aspect.a3ncf import A3NCF
from lrrecsys_core.models.aspect.aarm import AARM
from lrrecsys_core.models.aspect.anr import ANR
from lrrecsys_core.models.aspect.mmalfm import MMALFM
from lrrecsys_core.models.aspect.mter import MTER, ComparER
from lrrecsys_core.models.aspect.sulm import SULM
from lrrecsys_core.models.base import Recommender
from lrrecsys_core.models.biased_mf import BiasedMF
from lrrecsys_core.models.interpretable.amcf import AMCF
from lrrecsys_core.models.interpretable.peter import PETER
from lrrecsys_core.models.interpretable.ucepic import UCEPic
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.models.sequential.bert4rec import BERT4Rec
from lrrecsys_core.models.sequential.din import DIN
from lrrecsys_core.models.sequential.parsrec import PARSRec
from lrrecsys_core.models.sequential.sasrec import SASRec
from lrrecsys_core.models.sequential.unisrec import UniSRec

_BASELINES = (A3NCF, SULM, AARM, MMALFM, ANR, MTER, SASRec, DIN, BERT4Rec, UniSRec, AMCF, PETER, UCEPic, PARSRec)
MODELS: dict[str, type[Recommender]] = {model.name: model for model in (*_BASELINES, ComparER, BiasedMF)}
Shuffle = Literal["", "all", "user", "item"]


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
_ROW_OF = {row.llm: row.name for row in rows.ROWS if row.llm and row.kind == "ours"}
# A reasoner that knows nothing of S* still names something; the dial adds no spurious attribute, so that only the
# share of S* changes along it.
_DIAL = {share: Simulated(share=share / 100, spurious=0) for share in rows.DIAL}


def _lr(texts: Texts | None = FULL, model: type[Recommender] = LRRecsys, **changes: Any) -> Recipe:
    keys = {name: changes.pop(name) for name in list(changes) if name in Recipe.__dataclass_fields__}
    slots = texts.slots if texts else ()
    params: dict[str, Any] = {"slots": slots, **changes}
    return Recipe(model, params, texts, **keys)


def _without_texts(model: type[Recommender] = LRRecsys, **changes: Any) -> Recipe:
    return _lr(None, model, **changes)


def _from_markets(pick: Literal["eills", "pooled"], count: int) -> Recipe:
    return _lr(Texts(Simulated(pick=pick, spurious=0, environments=count)), shifted=True)


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
    **{_ROW_OF[known.name]: _lr(Texts(Stored(name))) for name, known in PAPER_LLMS.items()},
    rows.DIRECT_LLAMA31: Recipe(floor="direct", texts=Texts(Stored("llama-3.1"), "direct", _ONE)),
    rows.NO_PROFILE: _lr(Texts(variant="no_profile"), by_construction=True),
    rows.SUMMARY: _lr(Texts(variant="summary", slots=_ONE), by_construction=True),
    rows.DIRECT: Recipe(floor="direct", texts=Texts(variant="direct", slots=_ONE), by_construction=True),
    rows.METADATA: _lr(Texts(Metadata())),
    rows.EXTRACTIVE: _lr(Texts(Extractive())),
    rows.IMPORTED: _lr(Texts(Imported())),
    **{rows.DIAL[share]: _lr(Texts(source)) for share, source in _DIAL.items()},
    rows.SPURIOUS: _lr(Texts(Simulated(share=0.0, spurious=-1)), shifted=True),
    rows.ASPECTS_ONLY: _lr(Texts(variant="aspects", slots=_ONE)),
    rows.POSITIVE_ONLY: _lr(Texts(slots=("positive",))),
    rows.GENERAL_ONLY: _lr(Texts(variant="general", slots=_ONE), by_construction=True),
    rows.ABLATION1: _without_texts(FreeVectors, slots=("positive", "negative")),
    rows.ABLATION2: _lr(Texts(raw=True), RawVectors),
    rows.ABLATION3: _lr(Texts(variant="alternative"), by_construction=True),
    rows.NCF: _lr(model=LRRecsysNCF),
    rows.NCF_WITHOUT: _without_texts(LRRecsysNCF),
    rows.NO_IDS: _lr(model=WithoutIds),
    rows.SHUFFLE_ALL: _lr(shuffle="all"),
    rows.SHUFFLE_USER: _lr(shuffle="user"),
    rows.SHUFFLE_ITEM: _lr(shuffle="item"),
    rows.ALL_ATTRIBUTES: _without_texts(attributes="all", context=True),
    rows.TRUE_ATTRIBUTES: _without_texts(attributes="important", context=True),
    rows.RANDOM_REASONER: _lr(Texts(Simulated(pick="random", share=1.0, spurious=0))),
    rows.LASSO_REASONER: _lr(Texts(Simulated(pick="lasso", spurious=0)), shifted=True),
    **{name: _from_markets("eills", count) for count, name in rows.FROM_EILLS.items()},
    **{name: _from_markets("pooled", count) for count, name in rows.FROM_POOLED.items()},
}
NULL_ROWS = (rows.LR, rows.ABLATION1)


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
    variant, fraction = recipe.texts.variant, recipe.fraction
    return (recipe.texts.source or default_source(dataset, variant, fraction)).available(dataset, variant, fraction)
