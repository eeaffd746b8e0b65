"""One contrast of a claim, with its figures and what they rest on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lrrecsys_core.metrics import METRICS
from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.report.formats import one_note
from lrrecsys_core.report.scale import MARGIN_PERCENT
from lrrecsys_core.stats import Estimate

# The networks behind figures that are not one of the paper's three metrics.
NETWORKS: Final = {"squared error": "RMSE", "attention": "AUC", "attention, by predicted rating": "AUC"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One contrast of a claim on one data set.

    Attributes
    ----------
    metric, contrast, unit, note : str
    estimate : Estimate or None
        None where a row it needs was not run (``note`` says which).
    p : float
        One-sided p-value before Holm's correction; NaN where the criterion is an interval.
    p_equal : float
        Equivalence, two one-sided tests: p-value for "the first row's metric is within `MARGIN_PERCENT` % of the
        second's". NaN where not one metric of two rows is compared.
    holds : bool or None
        The criterion's answer where it is an interval; None where the corrected p-value decides.
    by_construction : bool
    seed_sd : float or None
    explainer : str
    decisive : bool
        False for a figure that is shown beside the claim without deciding it.
    """

    metric: str
    contrast: str
    unit: str
    estimate: Estimate | None
    p: float = float("nan")
    p_equal: float = float("nan")
    holds: bool | None = None
    by_construction: bool = False
    note: str = ""
    seed_sd: float | None = None
    explainer: str = ""
    decisive: bool = True


def versus(ours: str, reference: str) -> str:
    """How the contrast of two rows is called."""
    return f"{ours} vs {reference}"


def absent(metric: str, contrast: str, note: str) -> Finding:
    """A contrast that could not be made, and why."""
    return Finding(metric, contrast, "", None, note=note)


def judged(
    evidence: Evidence, metric: str, contrast: str, estimate: Estimate | None, rows: Sequence[str | None], *,
    p: Callable[[Estimate], float] | None = None, holds: Callable[[Estimate], bool] | None = None,
    unit: str = "", note: str = "", even_silent: bool = False, **known: Any,
) -> Finding:  # fmt: skip
    """The finding of an estimate that compares ``rows``, or why there is none.

    Parameters
    ----------
    estimate : None where a row was not run; a row is None where the best baseline was wanted and there is none
    p, holds : the criterion, asked only of an estimate that can be judged
    unit : the metric if left out
    note : told before the rows' silent networks
    even_silent : judge rows that all say nothing, too
    known : other attributes of the finding; the explainer is that of the first row if left out

    Of one metric of two rows it is also told whether they are equivalent and, where no other unit is given, how much
    their difference varies over the seeds of real data.
    """
    behind = NETWORKS.get(metric, metric)
    reason = why_not(evidence, behind, estimate, *rows)
    if estimate is None or (reason and not even_silent):
        return absent(metric, contrast, reason)
    names = [name for name in rows if name is not None]
    if metric in METRICS and len(names) == 2:
        relative = evidence.improvement(metric, *names)
        known["p_equal"] = relative.p_within(MARGIN_PERCENT) if relative else float("nan")
        known["seed_sd"] = None if unit else evidence.seed_sd(metric, *names)
    return Finding(
        metric, contrast, unit or metric, estimate, note=one_note(note, evidence.silence(behind, *names)),
        p=p(estimate) if p else float("nan"), holds=holds(estimate) if holds else None,
        **{"explainer": evidence.explainer(names[0])} | known,
    )  # fmt: skip


def why_not(evidence: Evidence, metric: str, estimate: Estimate | None, *rows: str | None) -> str:
    """Why a contrast of these rows cannot be judged, or "": a row was not run, or none of them speaks."""
    names = [name for name in rows if name is not None]
    if len(names) < len(rows):
        return "no baseline with validation figures"
    return missing(evidence, *names) if estimate is None else evidence.nothing_said(metric, *names)


def missing(evidence: Evidence, *names: str) -> str:
    """Which of the rows were not run, in words."""
    absent = [name for name in names if name not in evidence.rows]
    return "not run: " + ", ".join(absent) if absent else "no per-record predictions"
