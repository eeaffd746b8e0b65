"""Every row of the tables, declared once: its name, tables, kind, model, texts, and what is done to data or texts.

Names of the paper's own rows are those of ``report/paper_values.csv``; rows added by this companion come after them.
A new baseline is its file, its test, and its class in `FURTHER_BASELINES`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, Literal

from lrrecsys_core.errors import InputError
from lrrecsys_core.explain import sources
from lrrecsys_core.explain.clients.formats import EMBEDDED
from lrrecsys_core.explain.recorded import EXPECTED
from lrrecsys_core.explain.sources import Extractive, Imported, Metadata, Simulated, Stored
from lrrecsys_core.models.ablations import FreeVectors, LRRecsysNCF, RawVectors, WithoutIds
from lrrecsys_core.models.aspect import a3ncf, aarm, anr, mmalfm, mter, sulm
from lrrecsys_core.models.base import Recommender
from lrrecsys_core.models.biased_mf import BiasedMF
from lrrecsys_core.models.interpretable import amcf, peter, ucepic
from lrrecsys_core.models.lr_recsys import LRRecsys
from lrrecsys_core.models.sequential import bert4rec, din, parsrec, sasrec, unisrec
from lrrecsys_core.models.with_product import FreeVectorsWithProduct, LRRecsysWithProduct
from lrrecsys_core.row import LR, Kind, Row, Texts

PAPER_BASELINES: Final[tuple[type[Recommender], ...]] = (
    a3ncf.A3NCF, sulm.SULM, aarm.AARM, mmalfm.MMALFM, anr.ANR, mter.MTER, sasrec.SASRec, din.DIN, bert4rec.BERT4Rec,
    unisrec.UniSRec, amcf.AMCF, peter.PETER, ucepic.UCEPic, parsrec.PARSRec,
)  # fmt: skip
FURTHER_BASELINES: Final[tuple[type[Recommender], ...]] = (mter.ComparER, BiasedMF)  # the paper does not mention them
LETTER: Final = "LR-Recsys to the letter (no biases)"
# Side tables, beside the paper's numbered ones: choices of protocol, and other reasons why a row with texts may gain or
# not.
SENSITIVITY: Final = "sensitivity"
RIVALS: Final = "rivals"
SIDE_TABLES: Final = (SENSITIVITY, RIVALS)
IMPROVED: Final = "% Improved"
BEST_BASELINE: Final = "Best baseline"
BASELINES: Final = tuple(model.name for model in PAPER_BASELINES)
PETER: Final = peter.PETER.name
COMPARER: Final = mter.ComparER.name
BIASED_MF: Final = BiasedMF.name
BOOSTING: Final = "Gradient boosting on running statistics"
BIASES: Final = "User and item biases"
CEILING: Final = "Ceiling (true tastes)"
MATCH: Final = "Match over S*"
GLOBAL_MEAN: Final = "Global mean"
WITH: Final = "LR-Recsys with "  # and the writer: how rows of Table 4 are called
LLAMA31: Final = "LR-Recsys with Llama 3.1 (Ours)"
LLAMA3: Final = "LR-Recsys with Llama 3"
MIXTRAL: Final = "LR-Recsys with Mixtral-8 x7b"
VICUNA: Final = "LR-Recsys with Vicuna-7b-v1.5"
QWEN2: Final = "LR-Recsys with Qwen2-7B"
GPT2: Final = "LR-Recsys with GPT-2"
OF_LLM: Final = {
    "llama-3.1": LLAMA31, "llama-3": LLAMA3, "mixtral": MIXTRAL, "vicuna": VICUNA, "qwen2": QWEN2, "gpt-2": GPT2,
}  # fmt: skip
SMOLLM2: Final = f"{WITH}{EMBEDDED['smollm2'].name}"
OF_WRITER: Final = OF_LLM | {"smollm2": SMOLLM2}  # short names with a row that is always shown
DEFAULT_LLM: Final = "llama-3.1"  # writes the texts of every row of the paper that names no other
DIRECT_LLAMA31: Final = "LLM Direct Recommendation (with Llama 3.1)"
DIRECT: Final = "LLM Direct Recommendation (with this run's explainer)"
DIRECT_EXPECTED: Final = "LLM Direct Recommendation (expected rating)"
NO_PROFILE: Final = "LR-Recsys w/o Profile Augmentation"
SUMMARY: Final = "Consumption History Summarization"
METADATA: Final = "LR-Recsys with the metadata explainer"
EXTRACTIVE: Final = "LR-Recsys with the extractive explainer"
IMPORTED: Final = "LR-Recsys with imported texts"
_WITHIN: Final = ", shuffled within "  # and whose texts change places: how placebos of writers' rows are called
DIAL: Final = {share: f"Reasoner knows {share}% of S*" for share in (0, 25, 50, 75, 100)}
SPURIOUS: Final = "Spurious-only reasoner"
ENVIRONMENTS: Final = (1, 2, 4, 8, 16)
FROM_EILLS: Final = {n: f"Reasoner from {n} environment{'s' if n > 1 else ''} (EILLS)" for n in ENVIRONMENTS}
FROM_POOLED: Final = {n: f"Reasoner from {n} environment{'s' if n > 1 else ''} (pooled)" for n in ENVIRONMENTS}
ASPECTS_ONLY: Final = "Aspect Terms Only"
POSITIVE_ONLY: Final = "Positive Explanations Only"
GENERAL_ONLY: Final = "General Explanations Only"
ABLATION1: Final = "Ablation Model 1"
ABLATION2: Final = "Ablation Model 2"
ABLATION3: Final = "Ablation Model 3"
UNWHITENED: Final = "LR-Recsys on codes as they come"
NCF: Final = "Robustness Check 1"
NCF_WITHOUT: Final = "NCF without explanations"
NO_IDS: Final = "LR-Recsys without user and item tokens"
SHUFFLE_ALL: Final = "Shuffled explanations (all records)"
SHUFFLE_USER: Final = "Shuffled explanations (within user)"
SHUFFLE_ITEM: Final = "Shuffled explanations (within item)"
PERMUTED: Final = "Explanations permuted at test only"
LATE_ENSEMBLE: Final = "Late ensemble (ids and texts apart)"
_PRODUCT: Final = " plus product of id vectors"
PRODUCT: Final = f"LR-Recsys{_PRODUCT}"
PRODUCT_FREE: Final = f"{ABLATION1}{_PRODUCT}"
PRODUCT_SHUFFLED: Final = f"{SHUFFLE_ITEM}{_PRODUCT}"
REMOVED: Final = {percent: f"Explanations removed ({percent}% of records)" for percent in (50, 100)}
EXCHANGED: Final = {percent: f"Explanations exchanged ({percent}% of records)" for percent in (50, 100)}
ALL_ATTRIBUTES: Final = "Same network, all attributes"
TRUE_ATTRIBUTES: Final = "Same network, S* only"
LASSO_REASONER: Final = "Lasso reasoner (own training data)"
FRACTIONS: Final = (100, 50, 25, 12)
NULL_PREFIX: Final = "null-"
NO_ITEM_TEXT: Final = "no item text"
RAW_VECTORS: Final = "raw text vectors"  # begins the note of a row that reads them
NO_ORDER: Final = "no order"
# The markets stand in for the paper's data sets, the public data sets for their domain; neither is the paper's data.
PAPER_DATASET: Final = {
    **dict.fromkeys(("hotels", "tripadvisor", "tripadvisor-peter", "tripadvisor_peter_fifth"), "TripAdvisor"),
    **dict.fromkeys(("restaurants", "yelp", "yelp-open"), "Yelp"),
    **dict.fromkeys(("movies", "movielens", "movielens-u1", "amazon", "amazon_upr"), "Amazon Movie"),
}


def shifted(name: str) -> str:
    """Name of a row trained in one environment and evaluated where the spurious attributes behave differently."""
    return f"{name} (shifted environment)"


def at_fraction(name: str, percent: int) -> str:
    """Name of a row of Table 3: ``name`` trained on ``percent`` % of the training records."""
    return f"{'LR-Recsys' if name == LR else name} {percent}% Training Data"


def without_biases(name: str) -> str:
    """Name of a row without the residual biases that every network shares (rule P2)."""
    return LETTER if name == LR else f"{name} without residual biases"


def placebo_in(found: Iterable[str], writer: str) -> str | None:
    """The placebo of a writer's row among the names of rows, or None.

    In it texts change places within the item: if they say something of the user, they say it to another then. Texts
    that belong to items alone change places within the user.
    """
    return min((name for name in found if name.startswith(writer + _WITHIN)), default=None)


def seeing_own_aspects(name: str) -> str:
    """Name of a row whose inputs hold the aspects of the record it judges: a leak, to measure what it is worth."""
    return f"{name} told the record's own aspects (leak)"


FULL: Final = Texts()
AS_THEY_COME: Final = Texts(whitened=False)
_ONE: Final = ("single",)
_BOTH: Final = {"slots": FULL.slots}  # of free vectors, which stand where the texts' are


def _lr(
    name: str, tables: tuple[int | str, ...], kind: Kind, texts: Texts | None = FULL,
    model: type[Recommender] = LRRecsys, *, params: dict[str, Any] | None = None, **facts: Any,
) -> Row:  # fmt: skip
    """A row on the tokens of LR-Recsys."""
    return Row(name, tables, kind, model, {"slots": texts.slots if texts else (), **(params or {})}, texts, **facts)


def _simulated(name: str, table: int, source: Simulated, **facts: Any) -> Row:
    """A row on a market whose reasoner knows what `source` says."""
    return _lr(name, (table,), "comparator", Texts(source), markets_only=True, **facts)


def _moved(name: str, table: int, *, optional: bool = True) -> Row:
    """The row `name` where the spurious attributes behave differently."""
    return Row(shifted(name), (table,), "comparator", evaluates=name, optional=optional, markets_only=True)


def _table2() -> Iterable[Row]:
    yield _lr(LR, (2, 5, 6, *SIDE_TABLES), "ours", shifted=True, permuted=True)
    for model in PAPER_BASELINES:
        yield Row(model.name, (2, SENSITIVITY), "baseline", model, point=model.name)
    for model in FURTHER_BASELINES:
        shown = (2,) if model.own_biases else (2, SENSITIVITY)
        yield Row(model.name, shown, "rival", model, point=model.name)
    yield _lr(LETTER, (2, SENSITIVITY), "variant", AS_THEY_COME, params={"biases": False}, point=LETTER)
    yield Row(BOOSTING, (2,), "rival", floor="boosting", optional=True)
    yield Row(CEILING, (2, 3, 4, 5, 6), "floor", floor="ceiling", markets_only=True)
    yield Row(MATCH, (2, 3, 4, 5, 6), "floor", floor="match", markets_only=True)
    yield Row(BIASES, (2, RIVALS), "floor", floor="biases")
    yield Row(GLOBAL_MEAN, (2, SENSITIVITY), "floor", floor="mean")


def _table3() -> Iterable[Row]:
    yield Row(at_fraction(LR, 100), (3,), "ours", same_as=LR)
    for percent in FRACTIONS[1:]:
        yield _lr(at_fraction(LR, percent), (3,), "ours", fraction=percent / 100)
    yield Row(at_fraction(PETER, 100), (3,), "baseline", same_as=PETER)
    yield Row(at_fraction(BEST_BASELINE, 100), (3,), "baseline")  # which one, validation decides
    for percent in FRACTIONS[1:]:  # whether less data hurts the network or the biases it stands on
        yield Row(at_fraction(BIASES, percent), (3,), "floor", floor="biases", fraction=percent / 100, optional=True)
    for model in PAPER_BASELINES:
        for percent in FRACTIONS[1:]:
            yield Row(
                at_fraction(model.name, percent), (3,), "baseline", model, point=model.name, fraction=percent / 100,
                optional=True, side=True,
            )  # fmt: skip


def _sensitivity() -> Iterable[Row]:
    networks = (*PAPER_BASELINES, *FURTHER_BASELINES)
    plain: list[tuple[str, type[Recommender], dict[str, Any]]]
    plain = [(without_biases(m.name), m, {"biases": False}) for m in networks if not m.own_biases]
    plain += [(seeing_own_aspects(m.name), m, {"visibility": "oracle"}) for m in networks if m.sees_own_aspects]
    for name, model, params in plain:
        yield Row(name, (SENSITIVITY,), "variant", model, params, point=model.name, optional=True, side=True)


def _table4() -> Iterable[Row]:
    for llm, name in OF_WRITER.items():
        yield _lr(name, (4,), "ours", Texts(Stored(llm)), llm=llm)
    answers = Texts(Stored(DEFAULT_LLM), "direct", _ONE)
    yield Row(DIRECT_LLAMA31, (4,), "direct", texts=answers, floor="direct", llm=DEFAULT_LLM)
    yield _lr(NO_PROFILE, (4,), "variant", Texts(variant="no_profile"), written=True)
    yield _lr(SUMMARY, (4,), "variant", Texts(variant="summary", slots=_ONE), by_construction=True)
    for name, variant in ((DIRECT, "direct"), (DIRECT_EXPECTED, EXPECTED)):
        answers, optional = Texts(variant=variant, slots=_ONE), variant == EXPECTED
        yield Row(name, (4,), "direct", texts=answers, floor="direct", written=True, optional=optional)
    for name, source in ((METADATA, Metadata()), (EXTRACTIVE, Extractive()), (IMPORTED, Imported())):
        yield _lr(name, (4, RIVALS), "ours", Texts(source), optional=True)
    # The dial adds no spurious attribute: only the share of S* changes along it (one who knows none names others).
    for share, name in DIAL.items():
        yield _simulated(name, 4, Simulated(share=share / 100, spurious=0))
    picks: dict[Literal["eills", "pooled"], dict[int, str]] = {"eills": FROM_EILLS, "pooled": FROM_POOLED}
    for pick, named in picks.items():
        for count, name in named.items():
            yield _simulated(name, 4, Simulated(pick=pick, spurious=0, environments=count), shifted=True)
    for name in (*FROM_EILLS.values(), *FROM_POOLED.values(), LASSO_REASONER):
        yield _moved(name, 4)
    yield _simulated(SPURIOUS, 4, Simulated(share=0.0, spurious=-1), shifted=True)
    yield _moved(SPURIOUS, 4, optional=False)


def _table5() -> Iterable[Row]:
    yield _lr(ASPECTS_ONLY, (5,), "variant", Texts(variant="aspects", slots=_ONE))
    yield _lr(POSITIVE_ONLY, (5,), "variant", Texts(slots=("positive",)), by_construction=True)
    yield _lr(GENERAL_ONLY, (5,), "variant", Texts(variant="general", slots=_ONE), by_construction=True)


def _table6() -> Iterable[Row]:
    yield _lr(ABLATION1, (6, RIVALS), "ablation", None, FreeVectors, params=_BOTH, point=ABLATION1)
    yield _lr(ABLATION2, (6,), "ablation", Texts(raw=True), RawVectors)
    yield _lr(UNWHITENED, (6, RIVALS), "ablation", AS_THEY_COME)
    yield _lr(ABLATION3, (6,), "ablation", Texts(variant="alternative"), by_construction=True)
    yield _lr(NCF, (6,), "variant", FULL, LRRecsysNCF)
    yield _lr(NCF_WITHOUT, (6,), "ablation", None, LRRecsysNCF)
    yield _lr(NO_IDS, (6, RIVALS), "ablation", FULL, WithoutIds)
    for name, over in ((SHUFFLE_ALL, "all"), (SHUFFLE_USER, "user"), (SHUFFLE_ITEM, "item")):
        yield _lr(name, (6,), "control", shuffle=over)
    yield Row(PERMUTED, (6,), "control", evaluates=LR, optional=True)
    for name, given in ((ALL_ATTRIBUTES, "all"), (TRUE_ATTRIBUTES, "important")):
        yield _lr(name, (6,), "comparator", None, params={"context": True}, attributes=given, markets_only=True)
    yield _simulated("Random-attribute reasoner", 6, Simulated(pick="random", share=1.0, spurious=0))
    yield _simulated(LASSO_REASONER, 6, Simulated(pick="lasso", spurious=0), shifted=True)
    yield _moved(LR, 6)


def _rivals() -> Iterable[Row]:
    # Of two models trained apart (arXiv 2512.17820), each at the steps chosen for it.
    yield Row(LATE_ENSEMBLE, (RIVALS,), "variant", averages=(ABLATION1, NO_IDS))
    for percent, name in REMOVED.items():
        yield _lr(name, (RIVALS,), "control", dose=("removed", percent / 100))
    yield _lr(EXCHANGED[50], (RIVALS,), "control", dose=("exchanged", 0.5))
    yield Row(EXCHANGED[100], (RIVALS,), "control", same_as=SHUFFLE_ALL)
    # Whether the paper's network hides what texts add, for it does not learn what ids alone can tell.
    yield _lr(PRODUCT, (RIVALS,), "variant", FULL, LRRecsysWithProduct, point=PRODUCT)
    yield _lr(PRODUCT_FREE, (RIVALS,), "ablation", None, FreeVectorsWithProduct, params=_BOTH, point=PRODUCT_FREE)
    yield _lr(PRODUCT_SHUFFLED, (RIVALS,), "control", FULL, LRRecsysWithProduct, shuffle="item", point=PRODUCT)


ROWS: Final = (*_table2(), *_table3(), *_sensitivity(), *_table4(), *_table5(), *_table6(), *_rivals())
NETWORKS: Final = (LR, *BASELINES, COMPARER, LETTER)
BY_NAME: Final = {row.name: row for row in ROWS}
ON_NULL_MARKETS: Final = (LR, ABLATION1)
# Rows with a grid point of their own: free vectors too, so that they are not judged at steps chosen for texts.
SEARCHED: Final = tuple(row.name for row in ROWS if row.point == row.name)


def row_named(name: str) -> Row:
    """The row of that name; that of a writer who is none of the paper's LLMs, or of its placebo, reads the slots that
    its texts have."""
    if name in BY_NAME or not name.startswith(WITH):
        return BY_NAME[name]
    told, _, over = name.rpartition(_WITHIN)
    if told:
        within: Literal["user", "item"] = "user" if over == "user" else "item"
        return replace(row_named(told), name=name, tables=(RIVALS,), kind="control", shuffle=within, optional=True)
    source = sources.named_source(name.removeprefix(WITH))
    return _lr(name, (4, RIVALS), "ours", Texts(source, *source.form), llm=source.llm, optional=True)


def absence(row: Row, item_text: bool, ordered: bool = True) -> str:
    """Why a row without an LLM has nothing to read where items have texts or not, records times or not, or ""."""
    row = BY_NAME.get(row.evaluates or row.same_as or "".join(row.averages[-1:]), row)
    if row.texts and not (item_text or row.llm):
        return NO_ITEM_TEXT
    return NO_ORDER if row.model is not None and row.model.needs_order and not ordered else ""


def rows_of(table: int | str, found: Iterable[str] | None = None) -> list[Row]:
    """Rows of one of Tables 2-6 or of a side table in printing order: own writers' after those of the paper's LLMs, and
    behind each writer's row its placebo.

    They are the writers with a row in ``found``, the names of rows with results; by default those of LRRECSYS_STORES.
    """
    found = set(_at_hand() if found is None else found)
    own = sorted(name for name in found - set(BY_NAME) if name.startswith(WITH) and _WITHIN not in name)
    names = [name for row in ROWS for name in (row.name, *(own if row.name == SMOLLM2 else ()))]
    behind = [(name, *filter(None, [writes(name) and placebo_in(found, name)])) for name in names]
    return [row for row in map(row_named, (name for both in behind for name in both)) if table in row.tables]


def _at_hand() -> Iterable[str]:
    """The rows of the writers named in LRRECSYS_STORES, and the placebos of all writers."""
    own = [WITH + writer for writer in sources.explaining() if writer not in OF_WRITER]
    if taken := sorted(set(own) & set(BY_NAME)):
        raise InputError(f"{taken[0]!r} is another row already: that writer needs another name in LRRECSYS_STORES.")
    for name in (*own, *filter(writes, BY_NAME)):
        texts = row_named(name).texts
        assert texts is not None and texts.source is not None
        yield from (name, f"{name}{_WITHIN}{texts.source.shuffled_within}")


def writes(name: str) -> bool:
    """Whether a row is a writer's of its own, with a placebo: not one of the paper's LLMs, nor the metadata explainer,
    which mostly writes LR-Recsys' own texts, whose placebos are the shuffled rows of Table 6."""
    return name.startswith(WITH) and name not in (*OF_LLM.values(), METADATA) and _WITHIN not in name
