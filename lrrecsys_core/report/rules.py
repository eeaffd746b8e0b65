"""The claims C1-C24 and the controls, each as the contrasts on which it is judged.

Roles are tied to row names in :mod:`lrrecsys_core.rows`; the criteria were fixed before any result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from lrrecsys_core import metrics as m
from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report import record_rules
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.finding import Finding, absent, missing, why_not
from lrrecsys_core.report.formats import one_note
from lrrecsys_core.stats import Estimate

IMPROVEMENT_RANGE: Final = {"RMSE": (5.0, 20.0), "MAE": (15.0, 33.0), "AUC": (2.9, 3.7)}
MARGIN_PERCENT: Final = 1.0
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


def _better(evidence: Evidence, metric: str, ours: str, reference: str) -> Finding:
    """One-sided test that ``ours`` is better than ``reference``."""
    contrast = f"{ours} vs {reference}"
    estimate = evidence.gain(metric, ours, reference)
    if reason := why_not(evidence, metric, estimate, ours, reference):
        return absent(metric, contrast, reason)
    assert estimate is not None
    return Finding(
        metric, contrast, metric, estimate, p=estimate.p_greater(),
        by_construction=evidence.by_construction(ours, reference), note=evidence.silence(metric, ours, reference),
        seed_sd=evidence.seed_sd(metric, ours, reference), explainer=evidence.explainer(ours),
    )  # fmt: skip


def _better_on_all(evidence: Evidence, ours: str, references: Sequence[str]) -> list[Finding]:
    return [_better(evidence, metric, ours, name) for metric in m.METRICS for name in references]


def _direct(evidence: Evidence) -> list[Finding]:
    if r.DIRECT_LLAMA31 in evidence.rows and r.LLAMA31 in evidence.rows:
        return _better_on_all(evidence, r.LLAMA31, [r.DIRECT_LLAMA31])
    return _better_on_all(evidence, r.LR, [r.DIRECT])


def _size(evidence: Evidence) -> Iterable[Finding]:
    for metric in m.METRICS:
        best = evidence.best_baseline(metric)
        low, high = IMPROVEMENT_RANGE[metric]
        contrast = f"{r.LR} vs {best or 'best baseline'}"
        estimate = evidence.improvement(metric, r.LR, best) if best else None
        if reason := why_not(evidence, metric, estimate, r.LR, best):
            yield absent(metric, contrast, reason)
            continue
        assert best is not None and estimate is not None
        overlaps = bool(estimate.low <= high and estimate.high >= low)
        note = f"claimed {low:g} to {high:g}%; best of {len(evidence.baselines)} baselines run, chosen on validation"
        note = one_note(note, evidence.silence(metric, r.LR, best))
        yield Finding(metric, contrast, "%", estimate, holds=overlaps, note=note, explainer=evidence.explainer(r.LR))


def _quarter(evidence: Evidence) -> Iterable[Finding]:
    ours = r.at_fraction(r.LR, 25)
    for metric in m.METRICS:
        best = evidence.best_baseline(metric)

        def excess(a: np.ndarray, b: np.ndarray, metric: str = metric) -> np.ndarray:
            # The loss behind the AUC is the share of pairs ranked wrongly.
            loss = b if m.LOWER_IS_BETTER[metric] else 1.0 - b
            return np.asarray(-100.0 * m.gain(metric, a, b) / loss)

        estimate = evidence.contrast(metric, (ours, best), excess) if best else None
        contrast = f"{ours} vs {best or 'best baseline'} at 100%"
        if reason := why_not(evidence, metric, estimate, ours, best):
            yield absent(metric, contrast, reason)
            continue
        assert best is not None and estimate is not None
        note = one_note(f"margin {MARGIN_PERCENT:g}% of the baseline's loss", evidence.silence(metric, ours, best))
        yield Finding(
            metric, contrast, "% excess loss", estimate, p=estimate.p_less(MARGIN_PERCENT),
            holds=bool(estimate.high < MARGIN_PERCENT), note=note, explainer=evidence.explainer(ours),
        )  # fmt: skip


def _reasoners(evidence: Evidence) -> Iterable[Finding]:
    if evidence.simulated:
        yield from _dial(evidence)
        return
    for metric in m.METRICS:
        for better, group in enumerate(LLM_GROUPS[:-1]):
            for worse in LLM_GROUPS[better + 1 :]:
                for pair in ((a, b) for a in group for b in worse):
                    finding = _better(evidence, metric, *pair)
                    holds = None if finding.estimate is None else bool(finding.estimate.low > 0)
                    yield replace(finding, holds=holds)


def _dial(evidence: Evidence) -> Iterable[Finding]:
    """C4 on markets, where the share of S* a reasoner knows stands for the quality of an LLM."""
    shares, names = np.array(list(r.DIAL)) / 100.0, list(r.DIAL.values())
    for metric in m.METRICS:
        values = evidence.paired(metric, *names)
        if not values[0].size:
            yield absent(metric, "share of S* known", missing(evidence, *names))
            continue
        gains = -np.column_stack(values) if m.LOWER_IS_BETTER[metric] else np.column_stack(values)
        up, ends = stats.trend(gains, shares), stats.paired_t(gains[:, -1] - gains[:, 0])
        for contrast, unit, estimate, rows, p, holds in (
            ("trend over share of S* known", f"{metric} per 100%", up, names, up.p_greater(), None),
            ("100% minus 0% of S* known", metric, ends, [names[0], names[-1]], np.nan, bool(ends.low > 0)),
        ):
            if silent := evidence.nothing_said(metric, *rows):
                yield absent(metric, contrast, silent)
                continue
            yield Finding(
                metric, contrast, unit, estimate, p=p, holds=holds, note=evidence.silence(metric, *rows),
                explainer="simulated reasoner",
            )  # fmt: skip


def _profile(evidence: Evidence) -> Iterable[Finding]:
    for metric in m.METRICS:
        best = evidence.best_baseline(metric)
        contrast = "share of the gain lost without profiles"
        names = (r.LR, r.NO_PROFILE, best or "")
        full = evidence.gain(metric, r.LR, best) if best else None
        without = evidence.gain(metric, r.LR, r.NO_PROFILE)
        reason = why_not(evidence, metric, without, r.LR, r.NO_PROFILE)
        if reason := reason or why_not(evidence, metric, full, r.LR, best):
            yield absent(metric, contrast, reason)
            continue
        # The verdict rests on a difference, which stays defined where the full gain is near zero and the ratio is not.
        excess = evidence.contrast(
            metric, names, lambda a, b, c, k=metric: m.gain(k, a, b) - PROFILE_SHARE * m.gain(k, a, c)
        )
        assert excess is not None and full is not None
        holds = bool(excess.high < 0 and full.low > 0)
        if evidence.simulated:
            values = evidence.paired(metric, *names)
            ratio, low, high = stats.ratio_interval(
                m.gain(metric, values[0], values[1]), m.gain(metric, values[0], values[2])
            )
        else:
            share = evidence.contrast(metric, names, lambda a, b, c, k=metric: m.gain(k, a, b) / m.gain(k, a, c))
            assert share is not None
            ratio, low, high = share.effect, share.low, share.high
        shown = Estimate(100 * ratio, np.nan, 100 * low, 100 * high, excess.df, excess.test, excess.n)
        note = "" if full.low > 0 else f"no clear gain over {best} to lose"
        yield Finding(
            metric, contrast, "% of the gain", shown, p=excess.p_less(), holds=holds,
            note=one_note(note, evidence.silence(metric, *names)),
            by_construction=evidence.by_construction(r.NO_PROFILE), explainer=evidence.explainer(r.NO_PROFILE),
        )  # fmt: skip


def _free_parameters(evidence: Evidence) -> Iterable[Finding]:
    yield from _better_on_all(evidence, r.LR, [r.ABLATION1, r.SHUFFLE_ALL, r.SHUFFLE_USER, r.SHUFFLE_ITEM])
    for metric in m.METRICS:
        pair = r.SHUFFLE_ALL, r.ABLATION1
        estimate = evidence.gain(metric, *pair)
        contrast = f"{r.SHUFFLE_ALL} vs {r.ABLATION1}: no gain left"
        if reason := why_not(evidence, metric, estimate, *pair):
            yield absent(metric, contrast, reason)
            continue
        assert estimate is not None
        note = one_note("interval should reach 0", evidence.silence(metric, *pair))
        yield Finding(metric, contrast, metric, estimate, holds=bool(estimate.low <= 0), note=note)
    for texts, row in (("quoted statements", r.EXTRACTIVE), ("imported texts", r.IMPORTED)):
        yield from _beside(evidence, texts, row, r.ABLATION1)


def _beside(evidence: Evidence, word: str, ours: str, reference: str) -> Iterable[Finding]:
    """A contrast shown beside a claim without deciding it, nor widening its family of tests."""
    for metric in m.METRICS:
        finding = _better(evidence, metric, ours, reference)
        if finding.estimate is not None:
            yield replace(finding, metric=f"{metric}, {word}", p=float("nan"), decisive=False)


def _beats(evidence: Evidence) -> Iterable[Finding]:
    """C1, and beside it the simple rivals that the paper does not mention."""
    yield from _better_on_all(evidence, r.LR, r.BASELINES)
    for word, rival in (("biases alone", r.BIASES), ("biased MF", r.BIASED_MF), ("boosting", r.BOOSTING)):
        yield from _beside(evidence, word, r.LR, rival)


def _prompts(evidence: Evidence) -> Iterable[Finding]:
    for metric in m.METRICS:
        pair = r.ABLATION3, r.LR
        estimate = evidence.improvement(metric, *pair)
        contrast = f"{r.ABLATION3} vs {r.LR}"
        if reason := why_not(evidence, metric, estimate, *pair):
            yield absent(metric, contrast, reason)
            continue
        assert estimate is not None
        yield Finding(
            metric, contrast, "%", estimate, p=estimate.p_within(MARGIN_PERCENT),
            holds=estimate.inside(-MARGIN_PERCENT, MARGIN_PERCENT),
            note=one_note(f"equivalence within {MARGIN_PERCENT:g}%", evidence.silence(metric, *pair)),
            by_construction=evidence.by_construction(*pair), explainer=evidence.explainer(r.ABLATION3),
        )  # fmt: skip


JUDGES: Final[dict[str, Callable[[Evidence], Iterable[Finding]]]] = {
    "C1": _beats,
    "C2": _size,
    "C3": _quarter,
    "C4": _reasoners,
    "C5": _direct,
    "C6": _profile,
    "C7": lambda e: _better_on_all(e, r.LR, [r.SUMMARY]),
    "C8": lambda e: _better_on_all(e, r.GPT2, r.BASELINES),
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
    shifted spurious texts."""
    if _null(evidence):
        pairs: list[tuple[str, str, str]] = [(r.LR, r.ABLATION1, "null market")]
    else:
        pairs = [(name, r.ABLATION1, "") for name in (r.SHUFFLE_ALL, r.SHUFFLE_USER, r.SHUFFLE_ITEM)]
        if evidence.simulated:
            pairs += [
                (r.SPURIOUS, r.ABLATION1, "may help in its own environment"),
                # Ablation 1 reads no texts, so the shift of the items' attributes leaves it as it is.
                (r.shifted(r.SPURIOUS), r.ABLATION1, "must vanish or reverse"),
            ]
    yield from _voices(evidence)
    must_cover = {r.SHUFFLE_ALL, r.LR}
    for ours, reference, word in pairs:
        for metric in m.METRICS:
            estimate = evidence.gain(metric, ours, reference)
            contrast = f"{ours} vs {reference}"
            reason = why_not(evidence, metric, estimate, ours, reference)
            # Two silent rows cannot differ, which on a null market is as it should be.
            if estimate is None or (reason and not _null(evidence)):
                yield absent(metric, contrast, reason)
                continue
            if ours in must_cover:
                holds: bool | None = bool(estimate.low <= 0 <= estimate.high)
            elif ours == r.shifted(r.SPURIOUS):
                holds = bool(estimate.low <= 0)
            else:
                holds = None
            yield Finding(
                metric, contrast, metric, estimate, holds=holds,
                note=one_note(word, evidence.silence(metric, ours, reference)),
                seed_sd=evidence.seed_sd(metric, ours, reference), explainer=evidence.explainer(ours),
            )  # fmt: skip
