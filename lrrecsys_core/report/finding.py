"""One contrast of a claim, with its figures and what they rest on."""

from __future__ import annotations

from dataclasses import dataclass

from lrrecsys_core.report.evidence import Evidence
from lrrecsys_core.stats import Estimate


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
    holds: bool | None = None
    by_construction: bool = False
    note: str = ""
    seed_sd: float | None = None
    explainer: str = ""
    decisive: bool = True


def absent(metric: str, contrast: str, note: str) -> Finding:
    """A contrast that could not be made, and why."""
    return Finding(metric, contrast, "", None, note=note)


def why_not(evidence: Evidence, metric: str, estimate: Estimate | None, *names: str | None) -> str:
    """Why a contrast of these rows cannot be judged, or "": a row was not run, or none of them speaks.

    A name is None where the best baseline on validation was wanted and there is none.
    """
    rows = [name for name in names if name is not None]
    if len(rows) < len(names):
        return "no baseline with validation figures"
    return missing(evidence, *rows) if estimate is None else evidence.nothing_said(metric, *rows)


def missing(evidence: Evidence, *names: str) -> str:
    """Which of the rows were not run, in words."""
    absent = [name for name in names if name not in evidence.rows]
    return "not run: " + ", ".join(absent) if absent else "no per-record predictions"
