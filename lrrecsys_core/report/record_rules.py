"""The claims that are judged record by record: disagreement, attention, disliked products, sparse users and items."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

import numpy as np

from lrrecsys_core import rows as r
from lrrecsys_core import stats
from lrrecsys_core.report.evidence import Evidence, Panel, attention_panels
from lrrecsys_core.report.finding import Finding, absent, judged
from lrrecsys_core.report.formats import percent
from lrrecsys_core.report.scale import beyond
from lrrecsys_core.stats import Estimate

ATTENTION_RANGE: Final = (0.30, 0.40)


def harder(evidence: Evidence) -> Iterable[Finding]:
    """C9: slope of the gain on disagreement, without the two compared models too, and beyond a placebo."""
    best, other = evidence.best_baseline("RMSE"), evidence.best_baseline("RMSE", rank=1)
    names = [r.LR, *evidence.baselines]
    panels = evidence.panels("regression", names)
    panels = [p for p in panels if all(name in p.predictions for name in names)]
    if best is None or other is None or r.LR not in evidence.rows or not panels or len(names) < 5:
        yield absent("squared error", "gain on disagreement", "needs LR-Recsys, four baselines and their predictions")
        return
    gain = [panel.squared_error_gain(r.LR, best) for panel in panels]
    placebo = [panel.squared_error_gain(other, best) for panel in panels]
    beyond = [a - b for a, b in zip(gain, placebo, strict=True)]
    all_models = [panel.disagreement(names) for panel in panels]
    others = [panel.disagreement([name for name in names if name not in (r.LR, best)]) for panel in panels]
    for contrast, compared, x, y in (
        (f"slope of the gain over {best} on disagreement", best, all_models, gain),
        ("the same, LR-Recsys and that baseline left out of the disagreement", best, others, gain),
        (f"slope beyond the placebo with {other} in our place", other, all_models, beyond),
    ):
        estimate = evidence.slope(panels, x, y, clustered=True)
        yield judged(evidence, "squared error", contrast, estimate, (r.LR, compared), p=Estimate.p_greater)


def _attention(evidence: Evidence) -> tuple[list[Panel], str]:
    """The panels with attention of LR-Recsys on every record, and why there is nothing to judge in them, or ""."""
    found = attention_panels(evidence)
    return found, evidence.nothing_said("AUC", r.LR) if found else "no attention recorded"


def attend(evidence: Evidence) -> Iterable[Finding]:
    """C11: positive minus negative attention, high minus low rating (Eq 24)."""
    panels, reason = _attention(evidence)
    if reason:
        yield absent("attention", "positive minus negative, high minus low", reason)
        return
    lean = [panel.column("attention_positive") - panel.column("attention_negative") for panel in panels]
    true = [panel.column("liked") for panel in panels]
    predicted = [(panel.predictions[r.LR] >= 0.5).astype(np.float64) for panel in panels]
    for word, high in (("true", true), ("predicted", predicted)):
        d = np.mean([stats.cohens_d(a[h > 0.5], a[h <= 0.5]) for a, h in zip(lean, high, strict=True)])
        yield judged(
            evidence, "attention" if word == "true" else "attention, by predicted rating",
            f"positive minus negative attention, high minus low {word} rating", evidence.slope(panels, high, lean),
            [r.LR], unit="share of attention", p=Estimate.p_greater, holds=partial(beyond, "attention"),
            note=f"Cohen's d {d:.2f}", decisive=word == "true",
        )  # fmt: skip


def share(evidence: Evidence) -> Iterable[Finding]:
    """C12: attention on both explanations, beside uniform attention and permutation importance."""
    panels, reason = _attention(evidence)
    if reason:
        yield absent("attention", "share of both explanations", reason)
        return
    both = [panel.column("attention_positive") + panel.column("attention_negative") for panel in panels]
    records = panels[0].records
    context = "attention_context" in records.columns and bool((records["attention_context"].fill_null(0) > 0).any())
    note = f"uniform attention would give {100 * 2 / (6 if context else 5):.0f}%; "
    worse = evidence.improvement("AUC", r.PERMUTED, r.LR)
    note += (
        f"permuting the explanations at test changes the AUC by {percent(worse.effect)}"
        if worse
        else "permutation importance not run"
    )
    yield judged(
        evidence, "attention", "share of both explanations", evidence.mean(panels, both), [r.LR],
        unit="share of attention", holds=lambda e: e.inside(*ATTENTION_RANGE), note=note,
    )  # fmt: skip


def disliked(evidence: Evidence) -> Iterable[Finding]:
    """C22: gain of both explanations over positive ones alone, low- minus high-rated records."""
    names = [r.LR, r.POSITIVE_ONLY]
    panels = [p for p in evidence.panels("regression", names) if set(names) <= set(p.predictions)]
    low_rated = [1.0 - panel.column("liked") for panel in panels]
    estimate = evidence.slope(panels, low_rated, [p.squared_error_gain(r.LR, r.POSITIVE_ONLY) for p in panels])
    yield judged(
        evidence, "squared error", "gain of both over positive only, low- minus high-rated records", estimate, names,
        p=Estimate.p_greater, by_construction=evidence.by_construction(*names),
    )  # fmt: skip


def sparse(evidence: Evidence) -> Iterable[Finding]:
    """C23: fall of the gain with the activity of user and item, over the best baseline and over free vectors."""
    # What a baseline learns of rare users and items may be noise, and whatever learns less then gains most on those.
    for over in (evidence.best_baseline("RMSE"), r.ABLATION1):
        pair = r.LR, over or "the best baseline"
        panels = [p for p in evidence.panels("regression", pair) if set(pair) <= set(p.predictions)]
        for side in ("user", "item"):
            count = f"{side}_count"
            usable = [p for p in panels if count in p.records.columns and p.records[count].null_count() == 0]
            activity = [np.log1p(panel.column(count)) for panel in usable]
            estimate = evidence.slope(usable, activity, [-panel.squared_error_gain(*pair) for panel in usable])
            contrast = f"fall of the gain over {pair[1]} per unit of log(1 + records of the {side})"
            yield judged(evidence, "squared error", contrast, estimate, (r.LR, over), p=Estimate.p_greater)
