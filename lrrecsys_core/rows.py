"""The rows of every table, in the order they are printed: the one place where row names are spelled.

Names of the paper's own rows are those of ``report/paper_values.csv``; rows added by this companion come after them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["ours", "baseline", "rival", "floor", "variant", "ablation", "control", "comparator", "direct"]

LR: Final = "LR-Recsys (Ours)"
LETTER: Final = "LR-Recsys to the letter (no biases)"
SENSITIVITY: Final = "sensitivity"  # the side table of choices of protocol, beside the paper's numbered ones
NATIVE_BIASES: Final = ("MMALFM",)  # biases are part of the method: there is nothing to switch off
READ_ASPECTS: Final = ("AARM", "ANR")  # can be shown the aspects of the very record they judge
IMPROVED: Final = "% Improved"
BEST_BASELINE: Final = "Best baseline"
PETER: Final = "PETER"

BASELINES: Final = (
    "A3NCF", "SULM", "AARM", "MMALFM", "ANR", "MTER", "SASRec",
    "DIN", "BERT4Rec", "UniSRec", "AMCF", PETER, "UCEPic", "PARSRec",
)  # fmt: skip
COMPARER: Final = "ComparER"
BOOSTING: Final = "Gradient boosting on running statistics"
BIASED_MF: Final = "Biased MF"
BIASES: Final = "User and item biases"
GLOBAL_MEAN: Final = "Global mean"

LLAMA31: Final = "LR-Recsys with Llama 3.1 (Ours)"
LLAMA3: Final = "LR-Recsys with Llama 3"
MIXTRAL: Final = "LR-Recsys with Mixtral-8 x7b"
VICUNA: Final = "LR-Recsys with Vicuna-7b-v1.5"
QWEN2: Final = "LR-Recsys with Qwen2-7B"
GPT2: Final = "LR-Recsys with GPT-2"
DIRECT_LLAMA31: Final = "LLM Direct Recommendation (with Llama 3.1)"
DIRECT: Final = "LLM Direct Recommendation (with this run's explainer)"
NO_PROFILE: Final = "LR-Recsys w/o Profile Augmentation"
SUMMARY: Final = "Consumption History Summarization"
METADATA: Final = "LR-Recsys with the metadata explainer"
EXTRACTIVE: Final = "LR-Recsys with the extractive explainer"
IMPORTED: Final = "LR-Recsys with imported texts"
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
NCF: Final = "Robustness Check 1"
NCF_WITHOUT: Final = "NCF without explanations"
NO_IDS: Final = "LR-Recsys without user and item tokens"
SHUFFLE_ALL: Final = "Shuffled explanations (all records)"
SHUFFLE_USER: Final = "Shuffled explanations (within user)"
SHUFFLE_ITEM: Final = "Shuffled explanations (within item)"
PERMUTED: Final = "Explanations permuted at test only"
ALL_ATTRIBUTES: Final = "Same network, all attributes"
TRUE_ATTRIBUTES: Final = "Same network, S* only"
RANDOM_REASONER: Final = "Random-attribute reasoner"
LASSO_REASONER: Final = "Lasso reasoner (own training data)"

FRACTIONS: Final = (100, 50, 25, 12)
NULL_PREFIX: Final = "null-"
# The markets stand in for the paper's data sets, the public data sets for their domain; neither is the paper's data.
PAPER_DATASET: Final = {
    "hotels": "TripAdvisor", "tripadvisor": "TripAdvisor", "restaurants": "Yelp", "yelp": "Yelp",
    "movies": "Amazon Movie", "movielens": "Amazon Movie", "amazon": "Amazon Movie",
}  # fmt: skip
_SHIFTED: Final = " (shifted environment)"


def shifted(name: str) -> str:
    """Name of a row trained in one environment and evaluated where the spurious attributes behave differently."""
    return name + _SHIFTED


def at_fraction(name: str, percent: int) -> str:
    """Name of a row of Table 3: ``name`` trained on ``percent`` % of the training records."""
    return f"{'LR-Recsys' if name == LR else name} {percent}% Training Data"


def without_biases(name: str) -> str:
    """Name of a row without the residual biases that every network shares (rule P2 of docs/protocol.md)."""
    return LETTER if name == LR else f"{name} without residual biases"


def seeing_own_aspects(name: str) -> str:
    """Name of a row whose inputs hold the aspects of the record it judges: a leak, to measure what it is worth."""
    return f"{name} told the record's own aspects (leak)"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the tables.

    Parameters
    ----------
    name : str
        Printed name, also the value of the column ``row`` of the results frames.
    tables : tuple of int or str
        Tables of the paper (2-6), or the side table, that show the row.
    kind : str
        ``ours`` | ``baseline`` (the paper's fourteen) | ``rival`` (baselines it does not mention) | ``floor`` |
        ``variant`` | ``ablation`` | ``control`` | ``comparator`` | ``direct`` (the LLM itself predicts).
    llm : str
        The LLM without which the row cannot be run, or "".
    same_as : str
        Row whose results stand for this one under another name, or "".
    optional : bool
        Shown only where results exist; otherwise an absent row says "not run".
    markets_only : bool
        Needs the truth of a simulated market.
    side : bool
        Belongs to a side table, which a small run leaves out or gives fewer replicates.
    """

    name: str
    tables: tuple[int | str, ...]
    kind: Kind
    llm: str = ""
    same_as: str = ""
    optional: bool = False
    markets_only: bool = False
    side: bool = False

    @property
    def needs_llm(self) -> bool:
        """Whether the row stays "not run" without the LLM it names."""
        return bool(self.llm)


def _registry() -> tuple[Row, ...]:
    rows = [Row(LR, (2, 5, 6, SENSITIVITY), "ours"), *(Row(name, (2, SENSITIVITY), "baseline") for name in BASELINES)]
    rows += [
        Row(COMPARER, (2, SENSITIVITY), "rival"),
        Row(LETTER, (2, SENSITIVITY), "variant"),
        Row(BOOSTING, (2,), "rival", optional=True),
        Row(BIASED_MF, (2,), "rival"),
        Row(BIASES, (2,), "floor"),
        Row(GLOBAL_MEAN, (2, SENSITIVITY), "floor"),
    ]
    rows += [Row(at_fraction(LR, p), (3,), "ours", same_as=LR if p == 100 else "") for p in FRACTIONS]
    rows += [Row(at_fraction(PETER, 100), (3,), "baseline", same_as=PETER)]
    rows += [Row(at_fraction(BEST_BASELINE, 100), (3,), "baseline")]
    # Whether less data hurts the network or the biases it stands on.
    rows += [Row(at_fraction(BIASES, p), (3,), "floor", optional=True) for p in FRACTIONS[1:]]
    fractions = [at_fraction(name, p) for name in BASELINES for p in FRACTIONS[1:]]
    rows += [Row(name, (3,), "baseline", optional=True, side=True) for name in fractions]
    plain = [without_biases(name) for name in (*BASELINES, COMPARER) if name not in NATIVE_BIASES]
    plain += map(seeing_own_aspects, READ_ASPECTS)
    rows += [Row(name, (SENSITIVITY,), "variant", optional=True, side=True) for name in plain]
    rows += [
        Row(LLAMA31, (4,), "ours", llm="Llama 3.1"),
        Row(LLAMA3, (4,), "ours", llm="Llama 3"),
        Row(MIXTRAL, (4,), "ours", llm="Mixtral-8x7B"),
        Row(VICUNA, (4,), "ours", llm="Vicuna-7b-v1.5"),
        Row(QWEN2, (4,), "ours", llm="Qwen2-7B"),
        Row(GPT2, (4,), "ours", llm="GPT-2"),
        Row(DIRECT_LLAMA31, (4,), "direct", llm="Llama 3.1"),
        Row(NO_PROFILE, (4,), "variant"),
        Row(SUMMARY, (4,), "variant"),
        Row(DIRECT, (4,), "direct"),
        Row(METADATA, (4,), "ours", optional=True),
        Row(EXTRACTIVE, (4,), "ours", optional=True),
        Row(IMPORTED, (4,), "ours", optional=True),
        *(Row(name, (4,), "comparator", markets_only=True) for name in DIAL.values()),
        *(Row(name, (4,), "comparator", markets_only=True) for name in (*FROM_EILLS.values(), *FROM_POOLED.values())),
        *(
            Row(shifted(name), (4,), "comparator", optional=True, markets_only=True)
            for name in (*FROM_EILLS.values(), *FROM_POOLED.values(), LASSO_REASONER)
        ),
        Row(SPURIOUS, (4,), "comparator", markets_only=True),
        Row(shifted(SPURIOUS), (4,), "comparator", markets_only=True),
        Row(ASPECTS_ONLY, (5,), "variant"),
        Row(POSITIVE_ONLY, (5,), "variant"),
        Row(GENERAL_ONLY, (5,), "variant"),
        Row(ABLATION1, (6,), "ablation"),
        Row(ABLATION2, (6,), "ablation"),
        Row(ABLATION3, (6,), "ablation"),
        Row(NCF, (6,), "variant"),
        Row(NCF_WITHOUT, (6,), "ablation"),
        Row(NO_IDS, (6,), "ablation"),
        Row(SHUFFLE_ALL, (6,), "control"),
        Row(SHUFFLE_USER, (6,), "control"),
        Row(SHUFFLE_ITEM, (6,), "control"),
        Row(PERMUTED, (6,), "control", optional=True),
        Row(ALL_ATTRIBUTES, (6,), "comparator", markets_only=True),
        Row(TRUE_ATTRIBUTES, (6,), "comparator", markets_only=True),
        Row(RANDOM_REASONER, (6,), "comparator", markets_only=True),
        Row(LASSO_REASONER, (6,), "comparator", markets_only=True),
        Row(shifted(LR), (6,), "comparator", optional=True, markets_only=True),
    ]
    return tuple(rows)


ROWS: Final = _registry()
NETWORKS: Final = (LR, *BASELINES, COMPARER, LETTER)
BY_NAME: Final = {row.name: row for row in ROWS}


def rows_of(table: int | str) -> list[Row]:
    """Rows of one of Tables 2-6 or of the side table, in printing order."""
    return [row for row in ROWS if table in row.tables]
