"""The claims C1-C24 and the controls, each as the contrasts on which it is judged.

Roles are tied to row names in :mod:`lrrecsys_core.rows`. The criteria were fixed before any result; what
changed afterwards is listed in docs/deviations.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.explain.explanations import asked_in
from lrrecsys_core.explain.prompt_sets import BUILT_IN, HOUSE
from lrrecsys_core.report import record_rules
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.finding import Finding, absent, judged, missing, versus, why_not
from lrrecsys_core.report.formats import one_note
from lrrecsys_core.report.scale import MARGIN, MARGIN_PERCENT, beyond
from lrrecsys_core.stats import Estimate

IMPROVEMENT_RANGE: Final = {"RMSE": (5.0, 20.0), "MAE": (15.0, 33.0), "AUC": (2.9, 3.7)}
PROFILE_SHARE: Final = 0.25
# Tab 4's three groups, best first.
LLM_GROUPS: Final = ((r.LLAMA31,), (r.LLAMA3, r.MIXTRAL), (r.VICUNA, r.QWEN2, r.GPT2))
STATEMENTS: Final = {
    "C1": "LR-Recsys beats every baseline (Tab 2)",
    "C2": "Size of the gain over the best baseline: RMSE 5-20%, MAE 15-33%, AUC 2.9-3.7%",
    "C3": "25% of the training data matches the best baseline at 100% (Tab 3)",
    "C4": "Better reasoners give better recommendations (Tab 4)",
    "C5": "LLM direct recommendation is worse than LR-Recsys (Tab 4)",
    "C6": "Profile augmentation adds little (Tab 4)",
    "C7": "History summaries instead of reasons do worse (Tab 4)",
    "C8": "Even GPT-2's explanations beat the baselines (Tab 4)",
    "C9": "Harder records gain more (Fig 6)",
    "C10": "Both explanations are needed (Tab 5)",
    "C11": "High ratings attend to positive, low ratings to negative explanations (Figs 7, 9)",
    "C12": "Explanations take 30-40% of the attention (Fig 10)",
    "C13": "Explanations beat free parameters (Ablation 1)",
    "C14": "The AutoEncoder beats raw embeddings (Ablation 2)",
    "C15": "Prompts do not matter (Ablation 3)",
    "C16": "Explanations help another network too (NCF)",
    "C17": "The gap between Lasso and oracle grows with p (Fig 5)",
    "C18": "EILLS recovers S* as n and environments grow",
    "C19": "One environment is not enough",
    "C20": "The nonlinear gap between all inputs and S* grows with p (Fig 8)",
    "C21": "Precomputed explanations allow single-digit-millisecond scoring (Sec 6)",
    "C22": "Negative explanations matter most for disliked products (Sec 1)",
    "C23": "New or sparse users and items gain most (Sec 1, 6)",
    "C24": "Keeping id embeddings helps (Sec 4.2)",
}  # fmt: skip
# The same in at most six words, where a line of a figure must do.
SHORT: Final = {
    "C1": "Beats every baseline", "C2": "Gain as large as published", "C3": "A quarter of the data suffices",
    "C4": "Better reasoners do better", "C5": "LLM's direct rating is worse", "C6": "Profiles add little",
    "C7": "Summaries do worse than reasons", "C8": "GPT-2's explanations suffice", "C9": "Harder records gain more",
    "C10": "Both explanations are needed", "C11": "Attention follows the rating",
    "C12": "Explanations: 30-40% attention", "C13": "Explanations beat free vectors",
    "C14": "AutoEncoder beats raw vectors", "C15": "Prompts do not matter",
    "C16": "Another network gains too (NCF)", "C17": "Lasso's gap grows with p", "C18": "EILLS recovers S*",
    "C19": "One environment is not enough", "C20": "Nonlinear gap grows with p", "C21": "Scoring within milliseconds",
    "C22": "Negatives matter for disliked items", "C23": "Sparse users and items gain", "C24": "ID embeddings help",
}  # fmt: skip


def _better(evidence: Evidence, metric: str, ours: str, reference: str) -> Finding:
    """One-sided test that ``ours`` is better than ``reference``."""
    pair = ours, reference
    return judged(
        evidence, metric, versus(*pair), evidence.gain(metric, *pair), pair, p=Estimate.p_greater,
        by_construction=evidence.by_construction(*pair),
    )  # fmt: skip


def _better_on_all(evidence: Evidence, ours: str, references: Sequence[str]) -> list[Finding]:
    return [_better(evidence, metric, ours, name) for metric in m.METRICS for name in references]


def _direct(evidence: Evidence) -> list[Finding]:
    if r.DIRECT_LLAMA31 in evidence.rows and r.LLAMA31 in evidence.rows:
        return _better_on_all(evidence, r.LLAMA31, [r.DIRECT_LLAMA31])
    whose = f"ratings by {evidence.explainer(r.DIRECT)}" if evidence.words(r.DIRECT, "llm") else ""
    return [replace(one, note=one_note(one.note, whose)) for one in _better_on_all(evidence, r.LR, [r.DIRECT])]


def _overlaps(low: float, high: float, estimate: Estimate) -> bool:
    return bool(estimate.low <= high and estimate.high >= low)


def _size(evidence: Evidence) -> Iterable[Finding]:
    for metric, (low, high) in IMPROVEMENT_RANGE.items():
        pair = r.LR, evidence.best_baseline(metric)
        gain = evidence.improvement(metric, *pair)
        outside = gain is not None and not low <= gain.effect <= high
        yield judged(
            evidence, metric, f"{r.LR} vs {pair[1] or 'best baseline'}", gain, pair,
            unit="%", holds=partial(_overlaps, low, high),
            note=f"claimed {low:g} to {high:g}%, which the interval must meet{' (the estimate is outside)' * outside}; "
            f"best of {len(evidence.baselines)} baselines run, chosen on validation",
        )  # fmt: skip


def _quarter(evidence: Evidence) -> Iterable[Finding]:
    ours = r.at_fraction(r.LR, 25)
    for metric in m.METRICS:
        pair = ours, evidence.best_baseline(metric)

        def excess(a: np.ndarray, b: np.ndarray, metric: str = metric) -> np.ndarray:
            # The loss behind the AUC is the share of pairs ranked wrongly.
            loss = b if m.LOWER_IS_BETTER[metric] else 1.0 - b
            return np.asarray(-100.0 * m.gain(metric, a, b) / loss)

        yield judged(
            evidence, metric, f"{ours} vs {pair[1] or 'best baseline'} at 100%",
            evidence.contrast(metric, pair, excess), pair, unit="% excess loss",
            p=lambda e: e.p_less(MARGIN_PERCENT), holds=lambda e: bool(e.high < MARGIN_PERCENT),
            note=f"margin {MARGIN_PERCENT:g}% of the baseline's loss",
        )  # fmt: skip


def _reasoners(evidence: Evidence) -> Iterable[Finding]:
    if evidence.simulated:
        yield from _dial(evidence)
        return
    groups = [
        (a, b) for i, group in enumerate(LLM_GROUPS) for worse in LLM_GROUPS[i + 1 :] for a in group for b in worse
    ]
    for finding in (_better(evidence, metric, *pair) for metric in m.METRICS for pair in groups):
        yield replace(finding, holds=None if finding.estimate is None else beyond(finding.metric, finding.estimate))
    for writer in writers(evidence):  # which reasons better nobody knows beforehand, so these are described only
        yield from _beside(evidence, writer.removeprefix(r.WITH), writer, r.LR)


def _dial(evidence: Evidence) -> Iterable[Finding]:
    """C4 on markets, where the share of S* a reasoner knows stands for the quality of an LLM."""
    shares, names = np.array(list(r.DIAL)) / 100.0, list(r.DIAL.values())
    for metric in m.METRICS:
        values = evidence.paired(metric, *names)
        if not values[0].size:
            yield absent(metric, "share of S* known", missing(evidence, *names))
            continue
        gains = -np.column_stack(values) if m.LOWER_IS_BETTER[metric] else np.column_stack(values)
        yield judged(
            evidence, metric, "trend over share of S* known", stats.trend(gains, shares), names,
            unit=f"{metric} per 100%", p=Estimate.p_greater, explainer="simulated reasoner",
        )  # fmt: skip
        yield judged(
            evidence, metric, "100% minus 0% of S* known", stats.paired_t(gains[:, -1] - gains[:, 0]),
            [names[-1], names[0]], holds=partial(beyond, metric), explainer="simulated reasoner",
        )  # fmt: skip


def _profile(evidence: Evidence) -> Iterable[Finding]:
    contrast = "share of the gain lost without profiles"
    for metric in m.METRICS:
        best = evidence.best_baseline(metric)
        names = r.LR, r.NO_PROFILE, best
        full, without = evidence.gain(metric, r.LR, best), evidence.gain(metric, r.LR, r.NO_PROFILE)
        reason = why_not(evidence, metric, without, r.LR, r.NO_PROFILE) or why_not(evidence, metric, full, r.LR, best)
        if reason or full is None:
            yield absent(metric, contrast, reason)
            continue
        # The verdict rests on a difference, which stays defined where the full gain is near zero and the ratio is not.
        excess = evidence.contrast(
            metric, names, lambda a, b, c, k=metric: m.gain(k, a, b) - PROFILE_SHARE * m.gain(k, a, c)
        )
        assert excess is not None and best is not None
        ratio, low, high = _share_lost(evidence, metric, (r.LR, r.NO_PROFILE, best))
        # The error of that difference as a share of the full gain: what the test could have told from PROFILE_SHARE.
        se = 100 * excess.se / full.effect if beyond(metric, full) else np.nan
        shown = Estimate(100 * ratio, se, 100 * low, 100 * high, excess.df, excess.test, excess.n)
        finding = judged(
            evidence, metric, contrast, shown, names, unit="% of the gain",
            note="" if beyond(metric, full) else f"no clear gain over {best} to lose",
            by_construction=evidence.by_construction(r.NO_PROFILE), explainer=evidence.explainer(r.NO_PROFILE),
        )  # fmt: skip
        yield replace(finding, p=excess.p_less(), holds=excess.high < 0 and beyond(metric, full))


def _share_lost(evidence: Evidence, metric: str, names: tuple[str, str, str]) -> tuple[float, float, float]:
    """Gain over the second row as a share of the gain over the third, with its interval."""
    if evidence.simulated:
        a, b, c = evidence.paired(metric, *names)
        return stats.ratio_interval(m.gain(metric, a, b), m.gain(metric, a, c))
    share = evidence.contrast(metric, names, lambda a, b, c: m.gain(metric, a, b) / m.gain(metric, a, c))
    assert share is not None
    return share.effect, share.low, share.high


def _free_parameters(evidence: Evidence) -> Iterable[Finding]:
    yield from _better_on_all(evidence, r.LR, [r.ABLATION1, r.SHUFFLE_ALL, r.SHUFFLE_USER, r.SHUFFLE_ITEM])
    pair = r.SHUFFLE_ALL, r.ABLATION1
    for metric in m.METRICS:
        yield judged(
            evidence, metric, f"{pair[0]} vs {pair[1]}: no gain left", evidence.gain(metric, *pair), pair,
            holds=partial(_no_gain, metric), note=f"no gain beyond {MARGIN[metric]:g}", explainer="",
        )  # fmt: skip
    for writer in writers(evidence):
        for reference, said in ((r.ABLATION1, ""), (r.placebo_in(evidence.rows, writer), ", placebo")):
            if reference is not None:
                yield from _beside(evidence, writer.removeprefix(r.WITH) + said, writer, reference)
    rivals = {"late ensemble": r.LATE_ENSEMBLE, "no texts": r.REMOVED[100], "codes as they come": r.UNWHITENED}
    for word, row in rivals.items():
        yield from _beside(evidence, word, r.LR, row)
    for word, row in (("", r.PRODUCT_FREE), (", placebo", r.PRODUCT_SHUFFLED)):
        yield from _beside(evidence, f"plus product of id vectors{word}", r.PRODUCT, row)
    yield from _beside(evidence, "product of id vectors alone", r.PRODUCT_FREE, r.ABLATION1)


def writers(evidence: Evidence) -> list[str]:
    """The rows of writers that have results, beside LR-Recsys and the paper's LLMs."""
    return [row.name for row in r.rows_of(4, evidence.rows) if r.writes(row.name) and row.name in evidence.rows]


def _beside(evidence: Evidence, word: str, ours: str, reference: str) -> Iterable[Finding]:
    """A contrast shown beside a claim without deciding it, nor widening its family of tests."""
    for finding in _better_on_all(evidence, ours, [reference]):
        if finding.estimate is not None:
            yield replace(finding, metric=f"{finding.metric}, {word}", p=float("nan"), decisive=False)


def _beats(evidence: Evidence) -> Iterable[Finding]:
    """C1, and beside it the simple rivals that the paper does not mention."""
    yield from _better_on_all(evidence, r.LR, r.BASELINES)
    for word, rival in (("biases alone", r.BIASES), ("biased MF", r.BIASED_MF), ("boosting", r.BOOSTING)):
        yield from _beside(evidence, word, r.LR, rival)


def _small(evidence: Evidence) -> str:
    """The row of GPT-2, or else of a model of its size (135 million weights to 124), which the finding names."""
    named = (name for name in writers(evidence) if name.startswith(r.SMOLLM2))
    return r.GPT2 if r.GPT2 in evidence.rows else next(named, r.GPT2)


def _prompts(evidence: Evidence) -> Iterable[Finding]:
    pair = r.ABLATION3, r.LR
    name = asked_in(evidence.explainer(pair[0])) or HOUSE.name  # programmes are asked in the house prompts
    whose = "worded by us" if name in BUILT_IN else "the user's"
    for metric in m.METRICS:
        yield judged(
            evidence, metric, f"{pair[0]} vs {pair[1]}", evidence.improvement(metric, *pair), pair, unit="%",
            p=lambda e: e.p_within(MARGIN_PERCENT), holds=lambda e: e.inside(-MARGIN_PERCENT, MARGIN_PERCENT),
            note=f"equivalence within {MARGIN_PERCENT:g}%; both prompts from the set {name}, {whose}",
            by_construction=evidence.by_construction(*pair),
        )  # fmt: skip


JUDGES: Final[dict[str, Callable[[Evidence], Iterable[Finding]]]] = {
    "C1": _beats,
    "C2": _size,
    "C3": _quarter,
    "C4": _reasoners,
    "C5": _direct,
    "C6": _profile,
    "C7": lambda e: _better_on_all(e, r.LR, [r.SUMMARY]),
    "C8": lambda e: _better_on_all(e, _small(e), r.BASELINES),
    "C9": record_rules.harder,
    "C10": lambda e: _better_on_all(e, r.LR, [r.ASPECTS_ONLY, r.POSITIVE_ONLY, r.GENERAL_ONLY]),
    "C11": record_rules.attend,
    "C12": record_rules.share,
    "C13": _free_parameters,
    "C14": lambda e: _better_on_all(e, r.LR, [r.ABLATION2]),
    "C15": _prompts,
    "C16": lambda e: _better_on_all(e, r.NCF, [r.NCF_WITHOUT]),
    "C22": record_rules.disliked,
    "C23": record_rules.sparse,
    "C24": lambda e: _better_on_all(e, r.LR, [r.NO_IDS]),
}


def _no_gain(metric: str, estimate: Estimate) -> bool:
    return not beyond(metric, estimate)


# Rows that must not gain over Ablation 1, by which the controls are judged; the others are only reported.
MUST_NOT_GAIN: Final = frozenset({r.SHUFFLE_ALL, r.LR, r.shifted(r.SPURIOUS)})


def _voices(evidence: Evidence) -> Iterable[Finding]:
    """Share of LR-Recsys' networks that say something of their own: attention in a silent one means nothing.

    On a null market, where users and items are all there is, nothing is the right thing to say.
    """
    for metric in ("RMSE", "AUC"):
        silent, n = evidence.silent(r.LR, metric)
        if n:
            share = 1.0 - silent / n
            counted = Estimate(share, np.nan, share, share, np.inf, "counted", n)
            yield Finding(
                metric, f"{r.LR}: networks that add to the biases they stand on", "share", counted,
                holds=None if _null(evidence) else not silent, note=f"{n - silent} of {n}",
                explainer=evidence.explainer(r.LR),
            )  # fmt: skip


def _null(evidence: Evidence) -> bool:
    return evidence.dataset.startswith(r.NULL_PREFIX)


def controls(evidence: Evidence) -> Iterable[Finding]:
    """Whether networks speak, and gain over Ablation 1 where there should be none: shuffled explanations, null market,
    shifted spurious texts.

    A gain there, surely larger than the smallest that matters, means that something other than what the texts say
    helps, and the control fails. A loss does not fail it: to read texts that say nothing costs accuracy, and hides no
    such help. It is printed with its interval.
    """
    if _null(evidence):
        pairs = [(r.LR, r.ABLATION1, "null market")]
    else:
        pairs = [(name, r.ABLATION1, "") for name in (r.SHUFFLE_ALL, r.SHUFFLE_USER, r.SHUFFLE_ITEM)]
        if evidence.simulated:
            pairs += [
                (r.SPURIOUS, r.ABLATION1, "may help in its own environment"),
                # Ablation 1 reads no texts, so the shift of the items' attributes leaves it as it is.
                (r.shifted(r.SPURIOUS), r.ABLATION1, "must vanish or reverse"),
            ]
    yield from _voices(evidence)
    if evidence.simulated and not _null(evidence):
        equal = r.DIAL[0], r.ABLATION1
        yield judged(
            evidence, "RMSE", f"{equal[0]} vs {equal[1]}: equal", evidence.improvement("RMSE", *equal), equal, unit="%",
            holds=lambda e: e.inside(-MARGIN_PERCENT, MARGIN_PERCENT), even_silent=True,
            note=f"knows nothing of S*: within {MARGIN_PERCENT:g}%",
        )  # fmt: skip
    for ours, reference, word in pairs:
        for metric in m.METRICS:
            # Two silent rows cannot differ, which on a null market is as it should be.
            yield judged(
                evidence, metric, f"{ours} vs {reference}", evidence.gain(metric, ours, reference), (ours, reference),
                holds=partial(_no_gain, metric) if ours in MUST_NOT_GAIN else None, note=word,
                even_silent=_null(evidence),
            )  # fmt: skip
